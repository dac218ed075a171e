/* cond_test.c -- conditions: a notification reaches one that lives. */
#include "layout.h"
#include "stop.h"

static mp_ref cond, lock;
static struct shared {
  uint32_t waiting; /* under the lock, but read by anyone */
  uint32_t woken;
  uint32_t turn; /* under the lock */
} * shared;
static uint64_t shared_at;

static void found(struct check_use *use, int recursive) {
  struct mp__txn t;

  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", use));
  mp__begin(&t);
  REQUIRE(mp__alloc(&t, sizeof *shared, &shared_at) == 0);
  mp__end(&t);
  shared = mp__at(shared_at);
  memset(shared, 0, sizeof *shared);
  REQUIRE(mp_mutex_open(&lock, recursive) == 0);
  REQUIRE(mp_cond_open(&cond, lock) == 0);
}

static void leave(const struct check_use *use) {
  struct mp__txn t;

  mp_ref_close(&cond);
  mp_ref_close(&lock);
  mp__begin(&t);
  mp__free(&t, shared_at);
  mp__end(&t);
  CHECK(check_same("in the end", use));
  check_leave();
}

static int acquire(void) {
  int rc;

  do
    rc = mp_mutex_acquire(lock, MP_FOREVER);
  while (rc == -EINTR);
  return rc;
}

/* 1: notified; 0: the time was up */
static int wait_until(int64_t deadline) {
  struct mp_waiter w = {0};
  int rc;

  do
    rc = mp_cond_wait(cond, &w, deadline);
  while (rc == -EINTR);
  return rc < 0 ? rc : w.notified;
}

static void until(const uint32_t *word, uint32_t n) {
  int64_t end = in_ms(5000);

  while (mp__load32_seq(word) != n && mp_now() < end)
    (void)usleep(100);
  CHECK_EQ(*word, n);
}

TEST(wants_the_lock) {
  struct check_use use;

  found(&use, 0);
  CHECK_EQ(MP_REF_ID(mp_cond_mutex(cond)), MP_REF_ID(lock));
  CHECK_EQ(wait_until(MP_FOREVER), -MP_ENOTHELD);
  CHECK_EQ(mp_cond_notify(cond, 1), -MP_ENOTHELD);
  CHECK_EQ(mp_cond_notify(cond, MP_NOTIFY_ALL), -MP_ENOTHELD);
  CHECK_EQ(acquire(), 0);
  CHECK_EQ(mp_cond_notify(cond, 1), 0);
  CHECK_EQ(wait_until(MP_NOW), 0);
  CHECK_EQ(wait_until(in_ms(30)), 0);
  CHECK_EQ(mp_mutex_mine(lock), 1);
  CHECK_EQ(mp_mutex_release(lock), 0);
  leave(&use);
}

TEST(gives_back_all_levels) {
  struct check_use use;
  int i;

  found(&use, 1);
  for (i = 0; i < 3; i++)
    CHECK_EQ(acquire(), 0);
  CHECK_EQ(wait_until(in_ms(10)), 0);
  for (i = 0; i < 3; i++)
    CHECK_EQ(mp_mutex_release(lock), 0);
  CHECK_EQ(mp_mutex_release(lock), -MP_ENOTHELD);
  leave(&use);
}

static int wait_once(void *arg) {
  int64_t end = arg ? in_ms((intptr_t)arg) : MP_FOREVER;

  MUST(acquire() >= 0);
  mp__add32_seq(&shared->waiting, 1);
  MUST(wait_until(end) == 1);
  MUST(mp_mutex_mine(lock));
  mp__add32_seq(&shared->woken, 1);
  MUST(mp_mutex_release(lock) == 0);
  return 0;
}

static void notify(uint64_t n) {
  CHECK(acquire() >= 0);
  CHECK_EQ(mp_cond_notify(cond, n), 0);
  CHECK_EQ(mp_mutex_release(lock), 0);
}

TWICE(notifies_as_many_as_told) {
  struct crew crew = {.threads = threads};
  struct check_use use;
  uint32_t i;

  found(&use, 1);
  for (i = 0; i < 8; i++)
    crew_start(&crew, wait_once, NULL);
  until(&shared->waiting, 8);
  notify(0);
  notify(1);
  until(&shared->woken, 1);
  notify(3);
  until(&shared->woken, 4);
  (void)usleep(20000);
  CHECK_EQ(shared->woken, 4);
  notify(MP_NOTIFY_ALL);
  crew_join(&crew);
  CHECK_EQ(shared->woken, 8);
  notify(MP_NOTIFY_ALL);
  leave(&use);
}

#define TURNS 1500
#define PLAYERS 3

static int take_turns(void *arg) {
  uint32_t me = (uint32_t)(uintptr_t)arg;
  int i;

  for (i = 0; i < TURNS; i++) {
    MUST(acquire() == 0);
    while (shared->turn != me)
      MUST(wait_until(MP_FOREVER) == 1);
    shared->turn = (me + 1) % PLAYERS;
    MUST(mp_cond_notify(cond, MP_NOTIFY_ALL) == 0);
    MUST(mp_mutex_release(lock) == 0);
  }
  return 0;
}

TWICE(takes_turns) {
  struct crew crew = {.threads = threads};
  struct check_use use;
  uintptr_t i;

  found(&use, 0);
  for (i = 0; i < PLAYERS; i++)
    crew_start(&crew, take_turns, (void *)i);
  crew_join(&crew);
  CHECK_EQ(shared->turn, 0);
  leave(&use);
}

/* Notifications and ends of time that cross: as many are woken as were
 * notified while they waited, and no row is left. */
static int wait_briefly(void *arg) {
  int i, rc;

  (void)arg;
  MUST(acquire() == 0);
  for (i = 0; i < 400; i++) {
    shared->waiting++;
    rc = wait_until(mp_now() + (i % 7) * 20000);
    MUST(rc == 0 || rc == 1);
    shared->waiting--;
    shared->woken += (uint32_t)rc;
  }
  MUST(mp_mutex_release(lock) == 0);
  return 0;
}

TWICE(times_cross) {
  struct crew crew = {.threads = threads};
  struct check_use use;
  uint32_t notified = 0;
  int i;

  found(&use, 0);
  for (i = 0; i < 3; i++)
    crew_start(&crew, wait_briefly, NULL);
  for (i = 0; i < 1500; i++) {
    CHECK_EQ(acquire(), 0);
    notified += shared->waiting > 0;
    CHECK_EQ(mp_cond_notify(cond, 1), 0);
    CHECK_EQ(mp_mutex_release(lock), 0);
  }
  crew_join(&crew);
  CHECK(shared->woken <= notified);
  CHECK_EQ(acquire(), 0);
  CHECK_EQ(wait_until(MP_NOW), 0);
  CHECK_EQ(mp_mutex_release(lock), 0);
  leave(&use);
}

/* Several conditions over one lock. */
TEST(shares_a_lock) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  mp_ref other;

  found(&use, 1);
  CHECK_EQ(mp_cond_open(&other, lock), 0);
  crew_start(&crew, wait_once, NULL);
  until(&shared->waiting, 1);
  CHECK_EQ(acquire(), 0);
  CHECK_EQ(mp_cond_notify(other, MP_NOTIFY_ALL), 0);
  CHECK_EQ(mp_mutex_release(lock), 0);
  (void)usleep(20000);
  CHECK_EQ(shared->woken, 0);
  notify(1);
  crew_join(&crew);
  mp_ref_close(&other);
  leave(&use);
}

/* Deaths */

static void kill_it(mp_ref *p) {
  CHECK_EQ(mp_proc_signal(*p, SIGKILL), 0);
  CHECK_EQ(join_until(*p, in_ms(2000)), 0);
  mp_ref_close(p);
}

TEST(a_dead_sleeper_is_passed_by) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  int i;

  found(&use, 0);
  for (i = 0; i < 5; i++) {
    memset(shared, 0, sizeof *shared);
    crew_start(&crew, wait_once, NULL);
    until(&shared->waiting, 1);
    crew_start(&crew, wait_once, (void *)3000);
    until(&shared->waiting, 2);
    notify(0); /* the second sleeps, or is about to */
    CHECK_EQ(mp_proc_signal(crew.proc[0], SIGKILL), 0);
    notify(1); /* perhaps it looks alive still */
    CHECK_EQ(join_until(crew.proc[1], in_ms(2000)), 0);
    CHECK_EQ(shared->woken, 1);
    CHECK_EQ(join_until(crew.proc[0], in_ms(2000)), 0);
    mp_ref_close(&crew.proc[0]);
    mp_ref_close(&crew.proc[1]);
    crew.n = 0;
  }
  leave(&use);
}

/* Granted, and killed before it has the lock again: the other one gets it. */
TEST(a_grant_of_a_dead_one_is_passed_on) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  int64_t start;

  found(&use, 0);
  crew_start(&crew, wait_once, NULL);
  until(&shared->waiting, 1);
  crew_start(&crew, wait_once, (void *)3000);
  until(&shared->waiting, 2);
  CHECK_EQ(acquire(), 0);
  CHECK_EQ(mp_proc_signal(crew.proc[0], SIGSTOP), 0);
  CHECK_EQ(mp_cond_notify(cond, 1), 0);
  CHECK_EQ(mp_mutex_release(lock), 0);
  (void)usleep(10000);
  CHECK_EQ(shared->woken, 0);
  start = mp_now();
  kill_it(&crew.proc[0]);
  CHECK_EQ(join_until(crew.proc[1], in_ms(2000)), 0);
  CHECK(mp_now() - start < 1000000000);
  CHECK_EQ(shared->woken, 1);
  mp_ref_close(&crew.proc[1]);
  leave(&use);
}

static int notify_and_die(void *arg) {
  (void)arg;
  MUST(acquire() == 0);
  MUST(mp_cond_notify(cond, MP_NOTIFY_ALL) == 0);
  (void)raise(SIGKILL);
  return 1;
}

/* The lock of one that was killed with it tells so to one of the waiters. */
static int hear_of_it(void *arg) {
  struct mp_waiter w = {0};
  int rc;

  (void)arg;
  MUST(acquire() == 0);
  mp__add32_seq(&shared->waiting, 1);
  do
    rc = mp_cond_wait(cond, &w, MP_FOREVER);
  while (rc == -EINTR);
  MUST(rc == 0 && w.notified);
  mp__add32_seq(&shared->woken, (uint32_t)w.abandoned);
  MUST(mp_mutex_release(lock) == 0);
  return 0;
}

TEST(the_lock_of_a_dead_notifier) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  int i;

  found(&use, 1);
  for (i = 0; i < 3; i++)
    crew_start(&crew, hear_of_it, NULL);
  until(&shared->waiting, 3);
  crew_start(&crew, notify_and_die, NULL);
  for (i = 0; i < 4; i++) {
    CHECK_EQ(join_until(crew.proc[i], in_ms(2000)), 0);
    mp_ref_close(&crew.proc[i]);
  }
  CHECK_EQ(shared->woken, 1);
  leave(&use);
}

/* Interrupted: it leaves, and what it was granted goes to another. */
TEST(one_leaves) {
  struct crew crew = {.threads = 0};
  struct mp_waiter w = {0};
  struct check_use use;

  found(&use, 1);
  CHECK_EQ(acquire(), 0);
  CHECK_EQ(mp_cond_wait(cond, &w, MP_FOREVER), -EINTR); /* as naps do */
  crew_start(&crew, wait_once, (void *)3000);
  until(&shared->waiting, 1);
  notify(1); /* for the first, which is not there to see it */
  (void)usleep(10000);
  CHECK_EQ(shared->woken, 0);
  mp_cond_leave(cond, &w);
  CHECK_EQ(mp_cond_wait(cond, &w, MP_NOW), 0);
  CHECK_EQ(mp_mutex_mine(lock), 1);
  CHECK_EQ(mp_mutex_release(lock), 0);
  crew_join(&crew);
  CHECK_EQ(shared->woken, 1);
  leave(&use);
}

/* Those who came first are told first, wherever their rows lie. */
TEST(the_oldest_is_told) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  int i;

  found(&use, 0);
  for (i = 0; i < 2; i++) {
    crew_start(&crew, wait_once, NULL);
    until(&shared->waiting, (uint32_t)i + 1);
  }
  notify(1);
  CHECK_EQ(join_until(crew.proc[0], in_ms(2000)), 0);
  mp_ref_close(&crew.proc[0]);
  crew_start(&crew, wait_once, NULL); /* in the first's row */
  until(&shared->waiting, 3);
  notify(1);
  CHECK_EQ(join_until(crew.proc[1], in_ms(2000)), 0);
  CHECK_EQ(join_until(crew.proc[2], MP_NOW), -MP_ETIMEOUT);
  notify(1);
  CHECK_EQ(join_until(crew.proc[2], in_ms(2000)), 0);
  mp_ref_close(&crew.proc[1]);
  mp_ref_close(&crew.proc[2]);
  leave(&use);
}

static int notify_soon(void *arg) {
  (void)arg;
  notify(1);
  return 0;
}

/* One record for a wait after the other, and in none of them a row is left. */
TEST(a_record_is_used_again) {
  struct crew crew = {.threads = 0};
  struct mp_waiter w = {0};
  struct check_use use;
  int i, rc;

  found(&use, 0);
  CHECK_EQ(acquire(), 0);
  for (i = 0; i < 3; i++) {
    crew_start(&crew, notify_soon, NULL);
    do
      rc = mp_cond_wait(cond, &w, MP_FOREVER);
    while (rc == -EINTR);
    CHECK_EQ(rc, 0);
    CHECK_EQ(w.notified, 1);
    CHECK_EQ(w.row, 0);
    CHECK_EQ(w.stage, MP_WAITER_NEW);
    crew_join(&crew);
  }
  CHECK_EQ(mp_mutex_release(lock), 0);
  leave(&use);
}

static int hold_the_lock(void *arg) {
  (void)arg;
  MUST(acquire() == 0);
  mp__add32_seq(&shared->turn, 1);
  while (mp__load32_seq(&shared->turn) < 2)
    (void)usleep(100);
  MUST(mp_mutex_release(lock) == 0);
  return 0;
}

/* The time is up, and the lock is another's: it is waited for, and that alone,
 * whatever interrupts it. */
TEST(a_late_one_waits_for_the_lock) {
  struct crew crew = {.threads = 0};
  struct mp_waiter w = {0};
  struct check_use use;

  found(&use, 0);
  CHECK_EQ(acquire(), 0);
  crew_start(&crew, hold_the_lock, NULL);
  CHECK_EQ(mp_cond_wait(cond, &w, in_ms(10)), -EINTR); /* as naps do */
  CHECK_EQ(shared->turn, 1);
  CHECK_EQ(w.stage, MP_WAITER_BACK);
  CHECK_EQ(w.row, 0);
  mp__add32_seq(&shared->turn, 1);
  CHECK_EQ(mp_cond_wait(cond, &w, in_ms(5000)), 0);
  CHECK_EQ(w.notified, 0);
  CHECK_EQ(mp_mutex_release(lock), 0);
  crew_join(&crew);
  leave(&use);
}

/* It has no row any more: there is nothing to leave. */
TEST(one_leaves_twice) {
  struct crew crew = {.threads = 0};
  struct mp_waiter w = {0};
  struct check_use use;

  found(&use, 1);
  CHECK_EQ(acquire(), 0);
  CHECK_EQ(mp_cond_wait(cond, &w, MP_FOREVER), -EINTR);
  mp_cond_leave(cond, &w);
  CHECK_EQ(w.row, 0);
  crew_start(&crew, wait_once, NULL); /* in the row that it has left */
  until(&shared->waiting, 1);
  mp_cond_leave(cond, &w);
  CHECK_EQ(mp_cond_wait(cond, &w, MP_NOW), 0);
  CHECK_EQ(mp_cond_notify(cond, 1), 0);
  CHECK_EQ(mp_mutex_release(lock), 0);
  crew_join(&crew);
  CHECK_EQ(shared->woken, 1);
  leave(&use);
}

/* Nobody takes the condition's own lock from one that is stopped: who leaves
 * goes as if it had died, and who is told next is another. */
TEST(one_leaves_while_another_is_stopped) {
  struct check_cond *c;
  struct crew crew = {.threads = 0}, stopped = {.n = 0};
  struct mp_waiter w = {0};
  struct check_use use;

  found(&use, 0);
  c = mp__at(MP_REF_ID(cond));
  CHECK_EQ(acquire(), 0);
  CHECK_EQ(mp_cond_wait(cond, &w, MP_FOREVER), -EINTR);
  crew_start(&crew, wait_once, (void *)5000);
  until(&shared->waiting, 1);
  notify(0); /* it waits */
  stop_with(&stopped, &c->lock);
  mp_cond_leave(cond, &w);
  CHECK_EQ(w.row, 0);
  CHECK_EQ(mp_cond_wait(cond, &w, MP_FOREVER), 0);
  CHECK_EQ(w.notified, 0);
  CHECK_EQ(mp_cond_notify(cond, 1), -EINTR);
  stop_over(&stopped);
  CHECK_EQ(mp_cond_notify(cond, 1), 0);
  CHECK_EQ(mp_mutex_release(lock), 0);
  crew_join(&crew);
  CHECK_EQ(shared->woken, 1);
  leave(&use);
}

static int for_ever(void *arg) {
  (void)arg;
  while (getppid() != 1) {
    MUST(acquire() >= 0);
    (void)mp_cond_notify(cond, 1);
    MUST(wait_until(in_ms(1)) >= 0);
    MUST(mp_mutex_release(lock) == 0);
  }
  return 1;
}

TEST(killed_at_random) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  int i, k;

  found(&use, 1);
  for (i = 0; i < 30; i++) {
    for (k = 0; k < 4; k++)
      crew_start(&crew, for_ever, NULL);
    (void)usleep((useconds_t)(1000 + i * 100));
    for (k = 0; k < 4; k++)
      kill_it(&crew.proc[k]);
    crew.n = 0;
    crew_start(&crew, wait_once, (void *)3000);
    until(&shared->waiting, (uint32_t)i + 1);
    notify(1);
    CHECK_EQ(join_until(crew.proc[0], in_ms(2000)), 0);
    mp_ref_close(&crew.proc[0]);
    crew.n = 0;
    CHECK_EQ(shared->woken, i + 1);
  }
  leave(&use);
}
