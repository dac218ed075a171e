/* lock_test.c -- the core's own lock: one at a time, and never lost. */
#include "stop.h"

struct shared {
  struct mp__lock lock;
  uint32_t in;    /* how many are inside */
  uint64_t count; /* under the lock */
  uint64_t taken; /* how often it was taken from a dead one */
};

static struct shared *shared;
static uint64_t at;

static void found(struct check_use *use) {
  struct mp__txn t;

  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", use));
  mp__begin(&t);
  REQUIRE(mp__alloc(&t, sizeof *shared, &at) == 0);
  mp__end(&t);
  shared = mp__at(at);
  memset(shared, 0, sizeof *shared);
}

static void leave(const struct check_use *use) {
  struct mp__txn t;

  mp__begin(&t);
  mp__free(&t, at);
  mp__end(&t);
  CHECK(check_same("in the end", use));
  check_leave();
}

static int count_up(void *arg) {
  int i, n = (int)(uintptr_t)arg;

  for (i = 0; i < n; i++) {
    (void)mp__lock_take(&shared->lock);
    MUST(mp__add32_seq(&shared->in, 1) == 0);
    shared->count++;
    MUST(mp__add32_seq(&shared->in, (uint32_t)-1) == 1);
    mp__lock_drop(&shared->lock);
  }
  return 0;
}

TWICE(one_at_a_time) {
  struct check_use use;

  found(&use);
  crew_all(threads, 4, count_up, (void *)20000);
  CHECK_EQ(shared->count, 80000);
  CHECK_EQ(shared->lock.word, 0);
  leave(&use);
}

/* Each dies with the lock in its hand. */
static int take_and_die(void *arg) {
  (void)arg;
  if (mp__lock_take(&shared->lock))
    shared->taken++;
  shared->count++;
  (void)raise(SIGKILL);
  return 1;
}

TEST(taken_from_the_dead_one_after_the_other) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  int64_t start;
  int i;

  found(&use);
  start = mp_now();
  for (i = 0; i < 10; i++)
    crew_start(&crew, take_and_die, NULL);
  for (i = 0; i < 10; i++) {
    CHECK_EQ(join_until(crew.proc[i], in_ms(2000)), 0);
    mp_ref_close(&crew.proc[i]);
  }
  CHECK_EQ(mp__lock_take(&shared->lock), 1);
  mp__lock_drop(&shared->lock);
  CHECK_EQ(shared->count, 10);
  CHECK_EQ(shared->taken, 9);
  CHECK_EQ(mp__lock_take(&shared->lock), 0);
  mp__lock_drop(&shared->lock);
  CHECK(mp_now() - start < 1000000000);
  leave(&use);
}

/* A dead one's seat is another's by now: the lock is not taken for his. */
TEST(taken_from_one_whose_seat_is_used_again) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  mp_ref p[3];
  int i;

  found(&use);
  crew_start(&crew, take_and_die, NULL);
  CHECK_EQ(join_until(crew.proc[0], in_ms(2000)), 0);
  mp_ref_close(&crew.proc[0]);
  for (i = 0; i < 3; i++)
    CHECK_EQ(mp_proc_open(&p[i], NULL, 0), 0);
  CHECK_EQ(mp__lock_take(&shared->lock), 1);
  mp__lock_drop(&shared->lock);
  for (i = 0; i < 3; i++)
    mp_ref_close(&p[i]);
  leave(&use);
}

static int hold_and_stop(void *arg) {
  (void)arg;
  (void)mp__lock_take(&shared->lock);
  mp__store32_seq(&shared->in, 1);
  (void)raise(SIGSTOP);
  mp__store32_seq(&shared->in, 0);
  mp__lock_drop(&shared->lock);
  return 0;
}

static int take_one(void *arg) {
  (void)arg;
  MUST(mp__lock_take(&shared->lock) == 0);
  MUST(mp__load32_seq(&shared->in) == 0);
  mp__lock_drop(&shared->lock);
  return 0;
}

TEST(one_that_is_stopped_is_not_taken_for_dead) {
  struct crew crew = {.threads = 0};
  struct check_use use;

  found(&use);
  crew_start(&crew, hold_and_stop, NULL);
  while (mp__load32_seq(&shared->in) == 0)
    (void)usleep(100);
  crew_start(&crew, take_one, NULL);
  (void)usleep(100000);
  CHECK_EQ(mp__load32_seq(&shared->in), 1);
  CHECK_EQ(mp_proc_signal(crew.proc[0], SIGCONT), 0);
  crew_join(&crew);
  leave(&use);
}

#define MS INT64_C(1000000)

/* What comes of it, and how long it took. */
static int64_t take_by(int64_t deadline, int want) {
  int64_t start = mp_now();

  CHECK_EQ(mp__lock_by(&shared->lock, deadline), want);
  return mp_now() - start;
}

TEST(who_has_a_deadline_gives_a_stopped_holder_up) {
  struct crew crew = {.n = 0};
  struct check_use use;
  int64_t took;

  found(&use);
  stop_with(&crew, &shared->lock);
  CHECK(take_by(MP_NOW, -MP_ETIMEOUT) < 950 * MS); /* not a second */
  took = take_by(in_ms(50), -MP_ETIMEOUT);
  CHECK(took >= 50 * MS && took < 1000 * MS);
  took = take_by(MP_FOREVER, -EINTR);
  CHECK(took >= 100 * MS);
  CHECK(take_by(in_ms(5000), -EINTR) < 5000 * MS);
  stop_over(&crew);
  (void)take_by(MP_NOW, 0);
  mp__lock_drop(&shared->lock);
  leave(&use);
}

static int take_surely(void *arg) {
  (void)arg;
  MUST(mp__lock_by(&shared->lock, MP__SURELY) == 0);
  mp__lock_drop(&shared->lock);
  return 0;
}

TEST(who_must_have_it_waits_for_a_stopped_holder) {
  struct crew holder = {.n = 0}, crew = {.n = 0};
  struct check_use use;

  found(&use);
  stop_with(&holder, &shared->lock);
  crew_start(&crew, take_surely, NULL);
  CHECK_EQ(join_until(crew.proc[0], in_ms(300)), -MP_ETIMEOUT);
  stop_over(&holder);
  crew_join(&crew);
  leave(&use);
}

static int hold_for(void *arg) {
  (void)mp__lock_take(&shared->lock);
  mp__store32_seq(&shared->in, 1);
  (void)usleep((useconds_t)(uintptr_t)arg * 1000);
  mp__store32_seq(&shared->in, 0);
  mp__lock_drop(&shared->lock);
  return 0;
}

static void start_slow(struct crew *crew, int ms) {
  crew_start(crew, hold_for, (void *)(uintptr_t)ms);
  while (mp__load32_seq(&shared->in) == 0)
    (void)usleep(100);
}

/* It has perhaps no CPU: that is waited for beyond the deadline, to a point. */
TEST(one_that_is_slow_is_waited_for) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  int64_t took;
  int i;

  found(&use);
  for (i = 0; i < 2; i++) {
    start_slow(&crew, 300);
    (void)take_by(i ? MP_NOW : MP_FOREVER, 0);
    CHECK_EQ(shared->in, 0);
    mp__lock_drop(&shared->lock);
    crew_join(&crew);
  }
  start_slow(&crew, 2500);
  took = take_by(in_ms(100), -MP_ETIMEOUT);
  CHECK(took >= 1100 * MS);
  CHECK_EQ(mp__load32_seq(&shared->in), 1); /* it was not waited for longer */
  crew_join(&crew);
  leave(&use);
}

/* Killed at random while they take and drop it: the count never goes back and
 * the lock always goes on. */
static int for_ever(void *arg) {
  (void)arg;
  while (getppid() != 1) {
    (void)mp__lock_take(&shared->lock);
    shared->count++;
    mp__lock_drop(&shared->lock);
  }
  return 1;
}

TEST(killed_at_random) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  int i, k;

  found(&use);
  for (i = 0; i < 30; i++) {
    uint64_t before;

    for (k = 0; k < 3; k++)
      crew_start(&crew, for_ever, NULL);
    (void)usleep((useconds_t)(1000 + i * 100));
    for (k = 0; k < 3; k++) {
      before = mp__load64_rlx(&shared->count);
      CHECK_EQ(mp_proc_signal(crew.proc[k], SIGKILL), 0);
      CHECK_EQ(join_until(crew.proc[k], in_ms(1000)), 0);
      CHECK(mp__load64_rlx(&shared->count) >= before);
      mp_ref_close(&crew.proc[k]);
    }
    crew.n = 0;
  }
  leave(&use);
}
