/* arenas.c -- scenarios of arena.c and ref.c: blocks and counts after deaths
 * in the middle of transactions. */
#include "../core/layout.h"
#include "explore.h"
#include "scenarios.h"

static mp_ref object;
static unsigned used; /* blocks, before anything happens */
static uint64_t refs;

static uint64_t block_of(uint64_t at) {
  return at + sizeof(struct check_block);
}

static uint64_t first_block(void) {
  return MP__SLOTS + (uint64_t)MP__HEAD->max_slots * MP__SLOT_SIZE;
}

/* Every block is in one free list, once, or in use. */
static unsigned blocks_in_use(void) {
  unsigned n = 0, nfree = 0, cls;
  uint64_t at;

  for (at = (first_block() + 4095) & ~(uint64_t)4095; at < MP__HEAD->top;
       at += sizeof(struct check_block) + mp__usable(block_of(at)))
    n++;
  SIM_CHECK(at == MP__HEAD->top);
  for (cls = 0; cls < MP__CLASSES; cls++)
    for (at = MP__HEAD->free[cls]; at;
         at = ((struct check_block *)mp__at(at))->next) {
      SIM_CHECK(((struct check_block *)mp__at(at))->cls == cls);
      SIM_CHECK(++nfree <= n);
    }
  return n - nfree;
}

static uint64_t refs_of(mp_ref ref) {
  return ((struct mp__obj *)mp__at(MP_REF_ID(ref)))->refs[0];
}

static void make(void) {
  if (mp_event_open(&object) < 0)
    abort();
  sim_share(object); /* so each has a ledger, too */
  used = blocks_in_use();
  refs = refs_of(object);
}

static void begin(void) {
}

/* Holds, and what is made and let go of. */
static void hold_and_let(int self) {
  mp_ref more, mine;

  (void)self;
  SIM_CHECK(mp_ref_dup(object, &more) == 0);
  SIM_CHECK(refs_of(object) > refs - sim_deaths());
  SIM_CHECK(mp_event_open(&mine) == 0);
  SIM_CHECK(mine != more && MP_REF_ID(mine) != MP_REF_ID(object));
  mp_ref_close(&mine);
  mp_ref_close(&more);
}

static void make_two(int self) {
  mp_ref mine[2];

  (void)self;
  SIM_CHECK(mp_event_open(&mine[0]) == 0);
  SIM_CHECK(mp_event_open(&mine[1]) == 0);
  SIM_CHECK(MP_REF_ID(mine[0]) != MP_REF_ID(mine[1]));
  mp_ref_close(&mine[0]);
  mp_ref_close(&mine[1]);
}

static void end(void) {
  mp_ref more;

  (void)mp__scan();
  SIM_CHECK(mp_ref_dup(object, &more) == 0);
  mp_ref_close(&more);
  mp__collect();
  SIM_CHECK(MP__HEAD->njournal == 0);
  SIM_CHECK(MP__HEAD->big.word == 0);
  SIM_CHECK(MP__HEAD->garbage == 0);
  SIM_CHECK(refs_of(object) == refs - sim_deaths());
  SIM_CHECK(blocks_in_use() == used);
}

const struct scenario arena_scenarios[] = {
    {"arena-2", 2, make, begin, hold_and_let, NULL, end, 0},
    {"arena-2-death", 2, make, begin, hold_and_let, NULL, end, 1},
    {"arena-2-deaths", 2, make, begin, make_two, NULL, end, 2},
    {"arena-3-deaths", 3, make, begin, make_two, NULL, end, 2},
    {"arena-4-deaths", 4, make, begin, hold_and_let, NULL, end, 2},
    {0}};
