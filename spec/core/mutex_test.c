/* mutex_test.c -- Lock and RLock: one at a time, and their rules. */
#include "mutex_help.h"
#include "stop.h"

/* One at a time */

static int count_up(void *arg) {
  int i, n = (int)(uintptr_t)arg;

  for (i = 0; i < n; i++) {
    MUST(acquire(MP_FOREVER) == 0);
    MUST(mp__add32_seq(&shared->in, 1) == 0);
    shared->count++;
    MUST(mp__add32_seq(&shared->in, (uint32_t)-1) == 1);
    MUST(mp_mutex_release(lock) == 0);
  }
  return 0;
}

static void all_count(int threads, int recursive) {
  struct check_use use;

  found(&use, recursive);
  crew_all(threads, 4, count_up, (void *)20000);
  CHECK_EQ(shared->count, 80000);
  CHECK_EQ(mutex()->word, 0);
  leave(&use);
}

TWICE(one_at_a_time) {
  all_count(threads, 0);
}

TWICE(one_at_a_time_recursive) {
  all_count(threads, 1);
}

/* Some give up after a moment: whom they overtook is woken all the same. */
static int count_impatiently(void *arg) {
  int i, rc, n = (int)(uintptr_t)arg;

  for (i = 0; i < n;) {
    rc = acquire(i % 3 ? MP_FOREVER : mp_now() + 20000);
    MUST(rc == 0 || rc == -MP_ETIMEOUT);
    if (rc < 0)
      continue;
    MUST(mp__add32_seq(&shared->in, 1) == 0);
    shared->count++;
    if (i % 16 == 0)
      (void)usleep(50);
    MUST(mp__add32_seq(&shared->in, (uint32_t)-1) == 1);
    MUST(mp_mutex_release(lock) == 0);
    i++;
  }
  return 0;
}

TWICE(some_give_up) {
  struct check_use use;

  found(&use, 0);
  crew_all(threads, 4, count_impatiently, (void *)2000);
  CHECK_EQ(shared->count, 8000);
  CHECK_EQ(mutex()->word, 0);
  leave(&use);
}

/* Rules */

TEST(a_lock_is_released_once) {
  struct check_use use;

  found(&use, 0);
  CHECK_EQ(mp_mutex_release(lock), -MP_ENOTHELD);
  CHECK_EQ(mp_mutex_locked(lock), 0);
  CHECK_EQ(acquire(MP_NOW), 0);
  CHECK_EQ(mp_mutex_locked(lock), 1);
  CHECK_EQ(mp_mutex_mine(lock), 1);
  CHECK_EQ(acquire(MP_NOW), -MP_ETIMEOUT);
  CHECK_EQ(mutex()->word & MP__MUTEX_SLEEPERS, 0); /* nobody waited */
  CHECK_EQ(mp_mutex_release(lock), 0);
  CHECK_EQ(mp_mutex_mine(lock), 0);
  CHECK_EQ(mp_mutex_release(lock), -MP_ENOTHELD);
  leave(&use);
}

TEST(a_recursive_lock_counts) {
  struct check_use use;
  int i;

  found(&use, 1);
  for (i = 0; i < 100; i++)
    CHECK_EQ(acquire(MP_NOW), 0);
  for (i = 0; i < 100; i++) {
    CHECK_EQ(mp_mutex_locked(lock), 1);
    CHECK_EQ(mp_mutex_release(lock), 0);
  }
  CHECK_EQ(mp_mutex_locked(lock), 0);
  CHECK_EQ(mp_mutex_release(lock), -MP_ENOTHELD);
  CHECK_EQ(acquire(MP_NOW), 0);
  mutex()->depth = UINT32_MAX;
  CHECK_EQ(acquire(MP_NOW), -EOVERFLOW);
  mutex()->depth = 1;
  CHECK_EQ(mp_mutex_release(lock), 0);
  leave(&use);
}

static int release_it(void *arg) {
  int want = *(int *)arg;

  MUST(mp_mutex_mine(lock) == 0);
  MUST(mp_mutex_release(lock) == want);
  return 0;
}

static void another_releases(int threads, int recursive, int want) {
  struct crew crew = {.threads = threads};
  struct check_use use;

  found(&use, recursive);
  CHECK_EQ(acquire(MP_NOW), 0);
  crew_start(&crew, release_it, &want);
  crew_join(&crew);
  CHECK_EQ(mp_mutex_locked(lock), want != 0);
  CHECK_EQ(mp_mutex_release(lock), want == 0 ? -MP_ENOTHELD : 0);
  leave(&use);
}

TWICE(anyone_may_release_a_lock) {
  another_releases(threads, 0, 0);
}

TWICE(only_the_owner_may_release_a_recursive_lock) {
  another_releases(threads, 1, -MP_ENOTOWNER);
}

TEST(a_timeout_is_exact_from_below) {
  struct check_use use;
  int64_t end;

  found(&use, 0);
  CHECK_EQ(acquire(MP_NOW), 0);
  end = in_ms(60); /* past the first nap */
  CHECK_EQ(acquire(end), -MP_ETIMEOUT);
  CHECK(mp_now() >= end);
  CHECK_EQ(mp_mutex_release(lock), 0); /* nobody to wake any more */
  CHECK_EQ(mutex()->word, 0);
  leave(&use);
}

/* Whatever the seat has for a name: it ends, and a free lock is nobody's. */
TEST(the_holder_is_named) {
  char name[MP_NAME_MAX + 1] = "?";
  char was[MP_NAME_MAX + 1];
  struct check_use use;

  found(&use, 0);
  CHECK_EQ(mp_mutex_holder(lock, name), 0);
  CHECK(strcmp(name, "?") == 0);
  CHECK_EQ(mp_mutex_acquire(lock, MP_NOW), 0);
  CHECK_EQ(mp_mutex_holder(lock, name), 1);
  CHECK(strcmp(name, mp__me()->name) == 0);
  memcpy(was, mp__me()->name, sizeof was);
  memset(mp__me()->name, 'x', sizeof was);
  memset(name, '?', sizeof name);
  CHECK_EQ(mp_mutex_holder(lock, name), 1);
  CHECK_EQ(strlen(name), MP_NAME_MAX);
  memcpy(mp__me()->name, was, sizeof was);
  CHECK_EQ(mp_mutex_release(lock), 0);
  leave(&use);
}

/* Those that the caller holds, each once, whatever has brought it. */
static void check_left(const mp_ref *want, int n) {
  uint64_t entry = 0;
  int i;

  for (i = 0; i < n; i++)
    CHECK_EQ(mp_mutex_left(&entry), MP_REF_ID(want[i]));
  CHECK_EQ(mp_mutex_left(&entry), MP_REF_EMPTY);
}

/* The lock that would be held by nobody's handle once this one is dropped. */
TEST(the_last_handle_of_what_the_caller_holds) {
  struct crew crew = {.n = 0};
  struct check_use use;
  mp_ref copy, event;

  found(&use, 0);
  REQUIRE(mp_event_open(&event) == 0);
  CHECK_EQ(mp_mutex_last(lock), MP_REF_EMPTY);
  CHECK_EQ(acquire(MP_NOW), 0);
  CHECK_EQ(mp_mutex_last(event), MP_REF_EMPTY);
  CHECK_EQ(mp_mutex_last(lock), MP_REF_ID(lock));
  CHECK_EQ(mp_mutex_last(lock), MP_REF_ID(lock)); /* and no more is held */
  REQUIRE(mp_ref_dup(lock, &copy) == 0);
  CHECK_EQ(mp_mutex_last(lock), MP_REF_EMPTY);
  mp_ref_close(&copy);
  stop_with(&crew, &MP__HEAD->big); /* that cannot be seen now */
  CHECK_EQ(mp_mutex_last(lock), MP_REF_EMPTY);
  stop_over(&crew);
  CHECK_EQ(mp_mutex_release(lock), 0);
  CHECK_EQ(mp_mutex_last(lock), MP_REF_EMPTY);
  mp_ref_close(&event);
  leave(&use);
}

static void *check_nothing_left(void *arg) {
  (void)arg;
  check_left(NULL, 0); /* and the thread gets no seat for that */
  CHECK_EQ(mp__owner_word, 0);
  return NULL;
}

TEST(what_the_caller_holds) {
  mp_ref copy, recursive, free, of_cond, cond, event;
  struct crew crew = {.n = 0};
  struct check_use use;
  pthread_t thread;

  found(&use, 0);
  check_left(NULL, 0);
  REQUIRE(mp_event_open(&event) == 0);
  REQUIRE(mp_ref_dup(lock, &copy) == 0);
  REQUIRE(mp_mutex_open(&recursive, 1) == 0);
  REQUIRE(mp_mutex_open(&free, 0) == 0);
  REQUIRE(mp_mutex_open(&of_cond, 0) == 0);
  REQUIRE(mp_cond_open(&cond, of_cond) == 0);
  mp_ref_close(&of_cond); /* the condition has it still */
  check_left(NULL, 0);
  CHECK_EQ(mp_mutex_acquire(mp_cond_mutex(cond), MP_NOW), 0);
  check_left((mp_ref[]){mp_cond_mutex(cond)}, 1);
  CHECK_EQ(mp_mutex_acquire(recursive, MP_NOW), 0);
  CHECK_EQ(acquire(MP_NOW), 0);
  check_left((mp_ref[]){lock, recursive, mp_cond_mutex(cond)}, 3);
  REQUIRE(pthread_create(&thread, NULL, check_nothing_left, NULL) == 0);
  REQUIRE(pthread_join(thread, NULL) == 0);

  stop_with(&crew, &MP__HEAD->big); /* what it holds cannot be seen now */
  check_left(NULL, 0);
  stop_over(&crew);

  CHECK_EQ(mp_mutex_release(recursive), 0);
  check_left((mp_ref[]){lock, mp_cond_mutex(cond)}, 2);
  mp_ref_close(&cond);
  CHECK_EQ(mp_mutex_release(lock), 0);
  check_left(NULL, 0);
  mp_ref_close(&copy);
  mp_ref_close(&recursive);
  mp_ref_close(&free);
  mp_ref_close(&event);
  leave(&use);
}
