/* naps.c -- scenarios of nap.c: a death is told to all who sleep, at once, though
 * the kernel wakes but one of them, and that one may have other things to do.
 */
#include "../core/layout.h"
#include "explore.h"
#include "futex.h"
#include "scenarios.h"

static mp_ref event[2]; /* for their words */
static uint32_t *item, *last;
static int64_t began;

static void make(void) {
  if (mp_event_open(&event[0]) < 0 || mp_event_open(&event[1]) < 0)
    abort();
}

static uint32_t *word_of(mp_ref e) {
  struct check_event *event_at = mp__at(MP_REF_ID(e));

  return (uint32_t *)&event_at->word;
}

static void begin(void) {
  item = word_of(event[0]);
  last = word_of(event[1]);
  began = mp_now();
}

static int is_swept(int who) {
  struct mp__slot *s = mp__at(MP_REF_ID(sim_seat(who)));

  return (mp__load64_seq(&s->flags) & MP__PROC_SWEPT) != 0;
}

/* Past the first nap.  (A second death may leave a lock to be taken over.) */
static void wait_on(uint32_t *word) {
  struct mp__nap nap = {1, mp_deaths()};

  while (!mp__load32_seq(word) && !is_swept(0))
    (void)mp__nap(&nap, word, 0, MP_FOREVER);
  SIM_CHECK(mp_now() == began || sim_deaths() > 1);
}

/* The first has something for the second, and then for the others. */
static void in_turn(int self) {
  if (self == 0) {
    mp__store32_seq(item, 1);
    mp__futex_wake(item, INT32_MAX);
    mp__store32_seq(last, 1);
    mp__futex_wake(last, INT32_MAX);
    return;
  }
  wait_on(self == 1 ? item : last);
}

static void end(void) {
}

const struct scenario nap_scenarios[] = {
    {"nap-2-death", 2, make, begin, in_turn, NULL, end, 1},
    {"nap-3-death", 3, make, begin, in_turn, NULL, end, 1},
    {"nap-4-deaths", 4, make, begin, in_turn, NULL, end, 2},
    {0}};
