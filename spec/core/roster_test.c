/* roster_test.c -- rows: found again, never given out twice, given back. */
#include "check.h"
#include "full.h"

#define ROWS 40 /* some parts */

static mp_ref sem;

static struct mp__roster *roster(void) {
  return &((struct check_sem *)mp__at(MP_REF_ID(sem)))->holders;
}

static void found(struct check_use *use) {
  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", use));
  REQUIRE(mp_sem_open(&sem, 1, 0) == 0);
}

static void leave(const struct check_use *use) {
  mp_ref_close(&sem);
  CHECK(check_same("in the end", use));
  check_leave();
}

/* As take, use and give back of so many at once. */
static void fill(struct mp__row **row, int n) {
  int i, k;

  for (i = 0; i < n; i++) {
    CHECK_EQ(mp__row_take(roster(), &row[i], MP__SURELY), 0);
    CHECK_EQ(row[i]->value, 0);
    CHECK_EQ(row[i]->who, mp__member());
    for (k = 0; k < i; k++)
      CHECK(row[k] != row[i]);
    row[i]->value = 1;
  }
}

static void empty(struct mp__row **row, int n) {
  int i;

  for (i = 0; i < n; i++)
    row[i]->value = 0;
}

TEST(the_first_rows_lie_in_the_object) {
  struct mp__row *row[MP__ROSTER_FIRST];
  struct check_use use;

  found(&use);
  CHECK_EQ(roster()->len, MP__ROSTER_FIRST);
  fill(row, MP__ROSTER_FIRST);
  CHECK_EQ(roster()->more, 0);
  CHECK(mp__row_find(roster()) == row[0]);
  empty(row, MP__ROSTER_FIRST);
  leave(&use);
}

/* Also into memory that somebody has used. */
TEST(it_grows_and_goes_with_the_object) {
  struct mp__row *row[ROWS];
  struct check_use use;
  struct mp__txn t;
  uint64_t at[3];
  int i;

  found(&use);
  for (i = 0; i < 3; i++) {
    mp__begin(&t);
    REQUIRE(mp__alloc(&t, (uint64_t)100 << 2 * i, &at[i]) == 0);
    mp__end(&t);
    memset(mp__at(at[i]), 0xff, mp__usable(at[i]));
  }
  for (i = 0; i < 3; i++) {
    mp__begin(&t);
    mp__free(&t, at[i]);
    mp__end(&t);
  }
  fill(row, ROWS);
  empty(row, ROWS);
  CHECK_EQ(mp__row_take(roster(), &row[1], MP__SURELY), 0);
  CHECK(row[1] == row[0]);
  leave(&use);
}

TEST(want_of_memory_is_an_error) {
  struct mp__row *row[MP__ROSTER_FIRST], *more = NULL;
  struct check_use use;
  struct full full;

  found(&use);
  fill(row, MP__ROSTER_FIRST);
  full_begin(&full);
  CHECK_EQ(mp__row_take(roster(), &more, MP__SURELY), -EFBIG);
  CHECK_EQ(mp__row_take(roster(), &more, MP__SURELY), -EFBIG);
  full_end(&full);
  CHECK_EQ(mp__row_take(roster(), &more, MP__SURELY), 0);
  empty(row, MP__ROSTER_FIRST);
  leave(&use);
}

/* Who has said how it will end lives until it has ended. */
TEST(a_claimed_exit_is_no_death) {
  struct check_use use;
  struct mp__slot *me;

  found(&use);
  me = mp__me();
  CHECK(!mp__member_dead(mp__member()));
  me->exit = MP__EXIT_CLAIMED | 256;
  CHECK(!mp__member_dead(mp__member()));
  me->exit = MP__EXIT_FINAL | 256;
  CHECK(mp__member_dead(mp__member()));
  me->exit = 0;
  leave(&use);
}

/* Others see it as one of the dead's, and are told to look. */
TEST(a_deserted_row_is_nobodys) {
  struct check_use use;
  struct mp__row *row;
  uint32_t deaths;

  found(&use);
  fill(&row, 1);
  deaths = mp_deaths();
  mp__row_desert(row);
  CHECK(mp__member_dead(row->who));
  CHECK_EQ(row->value, 1);
  CHECK_EQ(mp_deaths(), deaths + 1);
  CHECK(mp__row_find(roster()) == NULL);
  empty(&row, 1);
  leave(&use);
}
