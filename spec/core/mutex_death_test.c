/* mutex_death_test.c -- Lock and RLock: never lost, however a holder ends. */
#include "mutex_help.h"

static int hold_and_stay(void *arg) {
  int i;

  for (i = 0; i < (int)(uintptr_t)arg; i++)
    MUST(acquire(MP_FOREVER) == 0);
  next_stage();
  for (;;)
    (void)pause();
}

static int hold_and_leave(void *arg) {
  MUST(acquire(MP_FOREVER) == (int)(uintptr_t)arg);
  return 0;
}

static void kill_last(struct crew *c) {
  mp_ref *p = &c->proc[--c->n];
  int code = 0;

  CHECK_EQ(mp_proc_signal(*p, SIGKILL), 0);
  CHECK_EQ(join_until(*p, in_ms(5000)), 0);
  CHECK_EQ(mp_proc_exitcode(*p, &code), 1);
  CHECK_EQ(code, -SIGKILL);
  mp_ref_close(p);
}

static void holder_is_killed(int depth) {
  struct crew crew = {.threads = 0};
  struct check_use use;

  found(&use, depth > 0);
  crew_start(&crew, hold_and_stay, (void *)(uintptr_t)(depth ? depth : 1));
  wait_stage(1);
  CHECK_EQ(acquire(MP_NOW), -MP_ETIMEOUT);
  kill_last(&crew);
  CHECK_EQ(mp_mutex_locked(lock), 0);
  CHECK_EQ(acquire(MP_NOW), MP_EABANDONED);
  CHECK_EQ(mp_mutex_release(lock), 0);
  CHECK_EQ(mp_mutex_release(lock), -MP_ENOTHELD);
  CHECK_EQ(acquire(MP_NOW), 0); /* said once */
  CHECK_EQ(mp_mutex_release(lock), 0);
  leave(&use);
}

TEST(a_killed_holder) {
  holder_is_killed(0);
}

TEST(a_killed_owner_at_depth_1) {
  holder_is_killed(1);
}

TEST(a_killed_owner_at_depth_100) {
  holder_is_killed(100);
}

/* Its seat is another's by now: who comes last is not taken for the owner. */
TEST(the_seat_of_a_dead_holder_is_used_again) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  unsigned seat;
  int i;

  found(&use, 1);
  crew_start(&crew, hold_and_leave, NULL);
  seat = mp__slot_index(mp__at(MP_REF_ID(crew.proc[0])));
  crew_join(&crew);
  for (i = 0; i < 70000; i++) { /* past what 15 or 16 bits can tell apart */
    struct mp__slot *s = mp__slot_at(MP__SLOTS + seat * MP__SLOT_SIZE);

    if (s->gen % 65536 == 3)
      break;
    s->gen++;
  }
  CHECK_EQ(acquire(MP_NOW), MP_EABANDONED);
  CHECK_EQ(mp_mutex_release(lock), 0);
  leave(&use);
}

TWICE(a_holder_that_leaves) {
  struct crew crew = {.threads = threads};
  struct check_use use;
  int i;

  found(&use, 0);
  for (i = 0; i < 3; i++) {
    crew_start(&crew, hold_and_leave,
               (void *)(uintptr_t)(i ? MP_EABANDONED : 0));
    crew_join(&crew);
  }
  CHECK_EQ(acquire(MP_NOW), MP_EABANDONED);
  CHECK_EQ(mp_mutex_release(lock), 0);
  leave(&use);
}

/* Several wait; the one that gets it says it was left, once. */
static int wait_for_it(void *arg) {
  int rc;

  (void)arg;
  next_stage();
  rc = acquire(in_ms(8000));
  MUST(rc == 0 || rc == MP_EABANDONED);
  if (rc == MP_EABANDONED)
    mp__add32_seq(&shared->left, 1);
  MUST(mp__add32_seq(&shared->in, 1) == 0);
  (void)usleep(1000);
  MUST(mp__add32_seq(&shared->in, (uint32_t)-1) == 1);
  MUST(mp_mutex_release(lock) == 0);
  return 0;
}

TEST(waiters_of_a_killed_holder) {
  struct crew crew = {.threads = 0};
  struct crew first = {.threads = 0};
  struct check_use use;
  int64_t from;
  int i;

  found(&use, 0);
  crew_start(&first, hold_and_stay, (void *)1);
  wait_stage(1);
  for (i = 0; i < 5; i++)
    crew_start(&crew, wait_for_it, NULL);
  wait_stage(6);
  (void)usleep(60000); /* asleep, past their first nap */
  from = mp_now();
  kill_last(&first);
  crew_join(&crew);
  CHECK_EQ(shared->left, 1);
  CHECK(mp_now() - from < 4000000000);
  leave(&use);
}

/* The waiter that the release has woken is killed, again and again. */
TEST(waiters_are_killed) {
  struct crew crew = {.threads = 0};
  struct crew victims = {.threads = 0};
  struct check_use use;
  int i;

  found(&use, 0);
  for (i = 0; i < 10; i++) {
    CHECK_EQ(acquire(MP_NOW), 0);
    crew_start(&victims, hold_and_stay, (void *)1);
    crew_start(&crew, wait_for_it, NULL);
    wait_stage(1);
    (void)usleep(3000);
    CHECK_EQ(mp_mutex_release(lock), 0);
    kill_last(&victims);
    crew_join(&crew);
    CHECK(acquire(MP_NOW) >= 0);
    CHECK_EQ(mp_mutex_release(lock), 0);
    shared->stage = 0;
  }
  leave(&use);
}

TEST(a_stopped_holder_keeps_it) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  int64_t end;

  found(&use, 0);
  crew_start(&crew, hold_and_stay, (void *)1);
  wait_stage(1);
  CHECK_EQ(mp_proc_signal(crew.proc[0], SIGSTOP), 0);
  end = in_ms(2500); /* everybody is verified in that time */
  CHECK_EQ(acquire(end), -MP_ETIMEOUT);
  CHECK(mp_now() >= end);
  CHECK_EQ(mp_mutex_locked(lock), 1);
  CHECK_EQ(mp_proc_signal(crew.proc[0], SIGCONT), 0);
  kill_last(&crew);
  CHECK_EQ(acquire(MP_NOW), MP_EABANDONED);
  leave(&use);
}

static int hold_and_exec(void *arg) {
  (void)arg;
  MUST(acquire(MP_NOW) == 0);
  next_stage();
  (void)execl("/bin/sleep", "sleep", "8", (char *)NULL);
  return 1;
}

TEST(a_holder_that_calls_exec) {
  struct crew crew = {.threads = 0};
  struct check_use use;

  found(&use, 0);
  crew_start(&crew, hold_and_exec, NULL);
  wait_stage(1);
  CHECK_EQ(acquire(in_ms(5000)), MP_EABANDONED);
  kill_last(&crew);
  leave(&use);
}

/* Threads of a host: each is an owner of its own. */

static void *of_the_host(void *arg) {
  int *rc = arg;

  rc[0] = mp_mutex_acquire(lock, MP_NOW);
  rc[1] = mp_mutex_release(lock);
  next_stage();
  wait_stage(2);
  rc[2] = acquire(MP_FOREVER);
  return NULL;
}

TEST(a_thread_of_a_host_that_ends) {
  struct check_use use;
  pthread_t thread;
  int rc[3];

  found(&use, 1);
  CHECK_EQ(acquire(MP_NOW), 0);
  REQUIRE(pthread_create(&thread, NULL, of_the_host, rc) == 0);
  wait_stage(1);
  CHECK_EQ(rc[0], -MP_ETIMEOUT);
  CHECK_EQ(rc[1], -MP_ENOTOWNER);
  CHECK_EQ(mp_mutex_release(lock), 0);
  next_stage();
  REQUIRE(pthread_join(thread, NULL) == 0);
  CHECK_EQ(rc[2], 0);
  CHECK_EQ(acquire(in_ms(2000)), MP_EABANDONED);
  CHECK_EQ(mp_mutex_release(lock), 0);
  (void)mp__scan();
  leave(&use);
}

static void *acquire_once(void *arg) {
  (void)arg;
  (void)acquire(MP_FOREVER);
  (void)mp_mutex_release(lock);
  return NULL;
}

TEST(many_threads_of_a_host) {
  struct check_use use;
  uint64_t seats;
  pthread_t thread;
  int i;

  found(&use, 0);
  seats = MP__HEAD->nslots;
  for (i = 0; i < 300; i++) {
    REQUIRE(pthread_create(&thread, NULL, acquire_once, NULL) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
  }
  CHECK(MP__HEAD->nslots <= seats + 3);
  (void)mp__scan();
  leave(&use);
}

TEST(many_locks_of_a_killed_holder) {
  static mp_ref many[3000];
  struct crew crew = {.threads = 0};
  struct check_use use;
  int i;

  found(&use, 0);
  for (i = 0; i < 3000; i++)
    REQUIRE(mp_mutex_open(&many[i], i & 1) == 0);
  REQUIRE(mp_proc_open(&crew.proc[0], NULL, 0) == 0);
  crew.n = 1;
  if (mp_proc_fork(crew.proc[0]) == 0) {
    for (i = 0; i < 3000; i++)
      (void)mp_mutex_acquire(many[i], MP_NOW);
    (void)hold_and_stay((void *)1);
  }
  wait_stage(1);
  kill_last(&crew);
  for (i = 0; i < 3000; i++) {
    CHECK_EQ(mp_mutex_acquire(many[i], MP_NOW), MP_EABANDONED);
    CHECK_EQ(mp_mutex_release(many[i]), 0);
    mp_ref_close(&many[i]);
  }
  leave(&use);
}

static int hold_as_blind(void *arg) {
  (void)arg;
  mp__life_unlink(mp__me()); /* the kernel will not tell */
  MUST(acquire(MP_NOW) == 0);
  next_stage();
  for (;;)
    (void)pause();
}

TEST(a_holder_whose_end_the_kernel_does_not_tell) {
  struct crew crew = {.threads = 0};
  struct check_use use;

  found(&use, 0);
  crew_start(&crew, hold_as_blind, NULL);
  wait_stage(1);
  CHECK_EQ(mp_proc_signal(crew.proc[0], SIGKILL), 0);
  CHECK_EQ(acquire(in_ms(5000)), MP_EABANDONED);
  kill_last(&crew);
  leave(&use);
}
