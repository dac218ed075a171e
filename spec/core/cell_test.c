/* cell_test.c -- shared values and arrays: their memory, their fields, their
 * lock. */
#include "crew.h"

#include <sched.h>
#include <stddef.h>
#include <sys/resource.h>

static void opened(struct check_use *use) {
  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", use));
}

static void closed(const struct check_use *use) {
  CHECK(check_same("in the end", use));
  check_leave();
}

static int open_array(mp_ref *held, char code, uint64_t n) {
  struct mp_cell what = {.code = code, .n = n};

  return mp_cell_open(held, MP_TYPE_ARRAY, &what);
}

static int is_zero(const struct mp_cell *c) {
  const char *p = c->data;
  uint64_t i;

  for (i = 0; i < c->n * c->size; i++)
    if (p[i])
      return 0;
  return 1;
}

TEST(a_new_one_is_zero_and_aligned) {
  static const uint64_t lens[] = {0, 1, 3, 100, 5000, 300000};
  struct check_use use;
  struct mp_cell c;
  const char *code;
  mp_ref cell;
  size_t k;
  int round;

  opened(&use);
  for (round = 0; round < 2; round++) /* the second in memory that was used */
    for (code = MP_CODES; *code; code++)
      for (k = 0; k < sizeof lens / sizeof *lens; k++) {
        REQUIRE(open_array(&cell, *code, lens[k]) == 0);
        CHECK_EQ(mp_ref_type(cell), MP_TYPE_ARRAY);
        mp_cell_view(cell, &c);
        CHECK_EQ(c.n, lens[k]);
        CHECK_EQ(c.size, mp_num_size(*code));
        CHECK_EQ(c.code, *code);
        CHECK_EQ((uintptr_t)c.data % 64, 0);
        CHECK_EQ(c.nfields, 0);
        CHECK(is_zero(&c));
        memset(c.data, 0xff, c.n * c.size);
        CHECK(check_arena("with an array", NULL));
        mp_ref_close(&cell);
      }
  closed(&use);
}

TEST(a_value_takes_one_small_block) {
  struct mp_cell what = {.code = 'd', .n = 1};
  struct check_use use, now;
  mp_ref cell;

  opened(&use);
  REQUIRE(mp_cell_open(&cell, MP_TYPE_VALUE, &what) == 0);
  CHECK(check_arena("with a value", &now));
  CHECK_EQ(now.blocks, use.blocks + 1);
  CHECK_EQ(mp__usable(MP_REF_ID(cell)), 192);
  mp_ref_close(&cell);
  closed(&use);
}

/* As the compiler does. */
struct mixed {
  char c;
  double d;
  _Bool b;
  short h;
  char name[13];
  int i;
  unsigned char last;
};

static struct mp_field mixed[] = {
    {.name = "c", .code = 'c', .count = 1},
    {.name = "d", .code = 'd', .count = 1},
    {.name = "b", .code = '?', .count = 1},
    {.name = "h", .code = 'h', .count = 1},
    {.name = "name", .code = 'c', .count = 13},
    {.name = "i", .code = 'i', .count = 1},
    {.name = "last", .code = 'B', .count = 1},
};
enum { MIXED = sizeof mixed / sizeof *mixed };

TEST(a_struct_is_laid_out_as_in_c) {
  struct mp_field bad = {.name = "x", .code = 'x', .count = 1};
  struct mp_cell what = {.code = MP_STRUCT, .n = 10};
  struct check_use use;
  struct mp_cell c;
  mp_ref cell;

  opened(&use);
  CHECK_EQ(mp_struct_layout(mixed, MIXED), sizeof(struct mixed));
  CHECK_EQ(mixed[1].offset, offsetof(struct mixed, d));
  CHECK_EQ(mixed[2].offset, offsetof(struct mixed, b));
  CHECK_EQ(mixed[3].offset, offsetof(struct mixed, h));
  CHECK_EQ(mixed[4].offset, offsetof(struct mixed, name));
  CHECK_EQ(mixed[5].offset, offsetof(struct mixed, i));
  CHECK_EQ(mixed[6].offset, offsetof(struct mixed, last));
  CHECK_EQ(mp_struct_layout(mixed, 0), -EINVAL);
  CHECK_EQ(mp_struct_layout(&bad, 1), -EINVAL);
  CHECK_EQ(mp_cell_open(&cell, MP_TYPE_ARRAY, &what), -EINVAL);
  what.size = sizeof(struct mixed);
  what.fields = mixed;
  what.nfields = MIXED;
  REQUIRE(mp_cell_open(&cell, MP_TYPE_ARRAY, &what) == 0);
  mp_cell_view(cell, &c);
  CHECK_EQ(c.code, MP_STRUCT);
  CHECK_EQ(c.nfields, MIXED);
  CHECK(memcmp(c.fields, mixed, sizeof mixed) == 0);
  CHECK_EQ((uintptr_t)c.data % 64, 0);
  CHECK(is_zero(&c));
  mp_ref_close(&cell);
  closed(&use);
}

/* Want of memory is an error, and nothing has happened. */
TEST(too_large_is_an_error) {
  static const uint64_t lens[] = {(uint64_t)1 << 33, (uint64_t)1 << 36,
                                  (uint64_t)1 << 60, UINT64_MAX};
  struct check_use use;
  mp_ref cell;
  size_t k;
  int rc;

  opened(&use);
  for (k = 0; k < sizeof lens / sizeof *lens; k++) {
    rc = open_array(&cell, 'd', lens[k]);
    CHECK(rc == -ENOMEM || rc == -ENOSPC);
    CHECK_EQ(cell, MP_REF_EMPTY);
  }
  CHECK_EQ(open_array(&cell, 'x', 1), -EINVAL);
  closed(&use);
}

TEST(no_space_is_an_error_and_no_signal) {
  struct rlimit lim = {(rlim_t)96 << 20, RLIM_INFINITY};
  static mp_ref held[64];
  struct check_use use;
  struct mp_cell c;
  int n = 0, rc, i;

  opened(&use);
  REQUIRE(setrlimit(RLIMIT_FSIZE, &lim) == 0);
  while ((rc = open_array(&held[n], 'd', 1 << 20)) == 0) {
    mp_cell_view(held[n], &c);
    memset(c.data, n, c.n * c.size); /* all that was given is there */
    REQUIRE(++n < 64);
  }
  CHECK_EQ(rc, -EFBIG);
  CHECK(n >= 4);
  CHECK(check_arena("when it is full", NULL));
  for (i = 0; i < n; i++)
    mp_ref_close(&held[i]);
  CHECK_EQ(open_array(&held[0], 'd', 1 << 20), 0);
  mp_ref_close(&held[0]);
  closed(&use);
}

/* The lock: given, or made when asked for, and gone with the cell. */

TEST(a_lock_that_is_given) {
  struct mp_cell what = {.code = 'i', .n = 1};
  struct check_use use;
  struct mp_cell c;
  mp_ref cell, lock, name;

  opened(&use);
  REQUIRE(mp_mutex_open(&lock, 0) == 0);
  what.lock = lock;
  REQUIRE(mp_cell_open(&cell, MP_TYPE_VALUE, &what) == 0);
  mp_cell_view(cell, &c);
  CHECK_EQ(c.lock, MP_REF_ID(lock));
  mp_ref_close(&lock); /* the cell keeps it */
  CHECK(check_arena("with a lock", NULL));
  CHECK_EQ(mp_cell_lock(cell, &name), 0);
  CHECK_EQ(name, c.lock);
  CHECK_EQ(mp_ref_type(name), MP_TYPE_LOCK);
  mp_ref_close(&cell);
  closed(&use);
}

TEST(a_raw_one_has_none) {
  struct mp_cell what = {.code = 'i', .n = 1, .flags = MP_CELL_RAW};
  struct check_use use;
  struct mp_cell c;
  mp_ref cell, name;

  opened(&use);
  REQUIRE(mp_cell_open(&cell, MP_TYPE_VALUE, &what) == 0);
  mp_cell_view(cell, &c);
  CHECK_EQ(c.flags, MP_CELL_RAW);
  CHECK_EQ(mp_cell_lock(cell, &name), 0);
  CHECK_EQ(name, MP_REF_EMPTY);
  mp_ref_close(&cell);
  closed(&use);
}

enum { CELLS = 100, CREW = 3 };
static mp_ref cells[CELLS];
static mp_ref gates; /* who has come to a cell */

static void meet(int i) {
  struct mp_cell c;
  union mp_num old;
  int32_t *at;

  mp_cell_view(gates, &c);
  at = (int32_t *)c.data + i;
  (void)mp_num_add('i', at, (union mp_num){.i = 1}, &old);
  while (mp_num_load('i', at).i < CREW)
    (void)sched_yield();
}

/* All ask at once for the locks of the same cells, and count under them. */
static int lock_and_count(void *arg) {
  struct mp_cell c;
  mp_ref lock, held;
  int64_t v;
  int i;

  (void)arg;
  for (i = 0; i < CELLS; i++) {
    meet(i);
    MUST(mp_cell_lock(cells[i], &lock) == 0 && lock);
    MUST(mp_ref_dup(lock, &held) == 0);
    MUST(mp_mutex_acquire(held, in_ms(5000)) == 0);
    mp_cell_view(cells[i], &c);
    MUST(c.lock == lock);
    v = mp_num_load('q', c.data).i;
    mp_num_store('q', c.data, (union mp_num){.i = v + 1});
    MUST(mp_mutex_release(held) == 0);
    mp_ref_close(&held);
  }
  return 0;
}

TWICE(the_lock_is_one_for_all) {
  struct mp_cell what = {.code = 'q', .n = 1};
  struct check_use use;
  struct mp_cell c;
  mp_ref lock;
  int i;

  opened(&use);
  REQUIRE(open_array(&gates, 'i', CELLS) == 0);
  for (i = 0; i < CELLS; i++)
    REQUIRE(mp_cell_open(&cells[i], MP_TYPE_VALUE, &what) == 0);
  crew_all(threads, CREW, lock_and_count, NULL);
  CHECK(check_arena("with locks", NULL));
  for (i = 0; i < CELLS; i++) {
    mp_cell_view(cells[i], &c);
    CHECK_EQ(mp_num_load('q', c.data).i, CREW);
    CHECK_EQ(mp_cell_lock(cells[i], &lock), 0);
    CHECK_EQ(mp_ref_type(lock), MP_TYPE_RLOCK);
    mp_ref_close(&cells[i]);
  }
  mp_ref_close(&gates);
  closed(&use);
}

/* Made and dropped, by many: nothing is left, and the memory does not grow. */
static int make_and_drop(void *arg) {
  mp_ref cell, lock;
  int i;

  (void)arg;
  for (i = 0; i < 500; i++) {
    MUST(open_array(&cell, 'i', (uint64_t)i * 13 % 700) == 0);
    MUST(i % 3 || mp_cell_lock(cell, &lock) == 0);
    mp_ref_close(&cell);
  }
  return 0;
}

TWICE(many_made_and_dropped) {
  struct check_use use;

  opened(&use);
  crew_all(threads, 4, make_and_drop, NULL);
  closed(&use);
}
