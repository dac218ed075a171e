/* sem_test.c -- semaphores: permits are counted, whoever dies. */
#include "crew.h"

static mp_ref sem, other;
static uint32_t *shared;

static void found(struct check_use *use) {
  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", use));
}

static void leave(const struct check_use *use) {
  mp_ref_close(&sem);
  mp_ref_close(&other);
  CHECK(check_same("in the end", use));
  check_leave();
}

static int acquire(mp_ref s, int64_t deadline) {
  int rc;

  do
    rc = mp_sem_acquire(s, deadline);
  while (rc == -EINTR);
  return rc;
}

TEST(counts_down_and_up) {
  struct check_use use;
  int i;

  found(&use);
  CHECK_EQ(mp_sem_open(&sem, 3, 0), 0);
  CHECK_EQ(mp_ref_type(sem), MP_TYPE_SEM);
  for (i = 0; i < 3; i++) {
    CHECK_EQ(mp_sem_value(sem), 3 - i);
    CHECK_EQ(acquire(sem, MP_NOW), 0);
  }
  CHECK_EQ(acquire(sem, MP_NOW), -MP_ETIMEOUT);
  CHECK_EQ(acquire(sem, in_ms(30)), -MP_ETIMEOUT);
  for (i = 0; i < 3; i++)
    CHECK_EQ(mp_sem_release(sem), 0);
  CHECK_EQ(mp_sem_value(sem), 3);
  CHECK_EQ(mp_sem_release(sem), 0); /* signalling from here on */
  CHECK_EQ(mp_sem_value(sem), 4);
  for (i = 0; i < 4; i++)
    CHECK_EQ(acquire(sem, MP_NOW), 0);
  CHECK_EQ(acquire(sem, MP_NOW), -MP_ETIMEOUT);
  CHECK_EQ(mp_sem_value(sem), 0);
  leave(&use);
}

TEST(has_bounds) {
  struct check_use use;

  found(&use);
  CHECK_EQ(mp_sem_open(&other, 1, MP_SEM_SIGNALLING), 0);
  CHECK_EQ(mp_ref_type(other), MP_TYPE_SEM);
  mp_ref_close(&other);
  CHECK_EQ(mp_sem_open(&sem, 1, MP_SEM_BOUNDED), 0);
  CHECK_EQ(mp_ref_type(sem), MP_TYPE_BOUNDED);
  CHECK_EQ(mp_sem_release(sem), -MP_ETOOMANY);
  CHECK_EQ(mp_sem_value(sem), 1);
  CHECK_EQ(acquire(sem, MP_NOW), 0);
  CHECK_EQ(mp_sem_release(sem), 0);
  CHECK_EQ(mp_sem_release(sem), -MP_ETOOMANY);
  CHECK_EQ(mp_sem_open(&other, MP_SEM_MAX, 0), 0);
  CHECK_EQ(mp_sem_release(other), -MP_ETOOMANY);
  mp_ref_close(&other);
  CHECK_EQ(mp_sem_open(&other, MP_SEM_MAX, MP_SEM_SIGNALLING), 0);
  CHECK_EQ(mp_sem_release(other), -MP_ETOOMANY);
  CHECK_EQ(acquire(other, MP_NOW), 0);
  CHECK_EQ(mp_sem_release(other), 0);
  leave(&use);
}

/* At most two at a time between acquire and release. */
static int in_and_out(void *arg) {
  int i, n = (int)(uintptr_t)arg;

  for (i = 0; i < n; i++) {
    MUST(acquire(sem, MP_FOREVER) == 0);
    MUST(mp__add32_seq(&shared[0], 1) < 2);
    MUST(mp__add32_seq(&shared[0], (uint32_t)-1) <= 2);
    MUST(mp_sem_release(sem) == 0);
  }
  return 0;
}

static uint64_t set_up(void) {
  struct mp__txn t;
  uint64_t at;

  mp__begin(&t);
  REQUIRE(mp__alloc(&t, 64, &at) == 0);
  mp__end(&t);
  shared = mp__at(at);
  memset(shared, 0, 64);
  return at;
}

static void give_back(uint64_t at) {
  struct mp__txn t;

  mp__begin(&t);
  mp__free(&t, at);
  mp__end(&t);
}

static void two_at_a_time(int threads, unsigned flags) {
  struct crew crew = {.threads = threads};
  struct check_use use;
  uint64_t at;
  int i;

  found(&use);
  at = set_up();
  CHECK_EQ(mp_sem_open(&sem, 2, flags), 0);
  for (i = 0; i < 5; i++)
    crew_start(&crew, in_and_out, (void *)3000);
  crew_join(&crew);
  CHECK_EQ(mp_sem_value(sem), 2);
  give_back(at);
  leave(&use);
}

TWICE(two_at_a_time) {
  two_at_a_time(threads, 0);
}

TWICE(two_at_a_time_signalling) {
  two_at_a_time(threads, MP_SEM_SIGNALLING);
}

static int to_and_fro(void *arg) {
  mp_ref mine = arg ? sem : other, theirs = arg ? other : sem;
  int i;

  for (i = 0; i < 2000; i++) {
    MUST(acquire(mine, MP_FOREVER) == 0);
    MUST(mp_sem_release(theirs) == 0);
  }
  return 0;
}

TWICE(signals_to_and_fro) {
  struct crew crew = {.threads = threads};
  struct check_use use;

  found(&use);
  CHECK_EQ(mp_sem_open(&sem, 1, 0), 0);
  CHECK_EQ(mp_sem_open(&other, 0, 0), 0);
  crew_start(&crew, to_and_fro, NULL);
  crew_start(&crew, to_and_fro, &use);
  crew_join(&crew);
  CHECK_EQ(mp_sem_value(sem) + mp_sem_value(other), 1);
  leave(&use);
}

/* The switch to signalling, among others that take and give. */
static int from_all_sides(void *arg) {
  int i;

  for (i = 0; i < 1000; i++) {
    if (i == 500 && arg)
      MUST(mp_sem_release(sem) == 0);
    MUST(acquire(sem, MP_FOREVER) == 0);
    MUST(mp_sem_release(sem) == 0);
  }
  return 0;
}

TWICE(switches_under_way) {
  struct crew crew = {.threads = threads};
  struct check_use use;

  found(&use);
  CHECK_EQ(mp_sem_open(&sem, 1, 0), 0);
  crew_start(&crew, from_all_sides, NULL);
  crew_start(&crew, from_all_sides, NULL);
  crew_start(&crew, from_all_sides, &use);
  crew_join(&crew);
  CHECK_EQ(mp_sem_value(sem), 2);
  leave(&use);
}

/* Deaths */

static void kill_and_join(mp_ref *p) {
  CHECK_EQ(mp_proc_signal(*p, SIGKILL), 0);
  CHECK_EQ(join_until(*p, in_ms(2000)), 0);
  mp_ref_close(p);
}

static int take_and_wait(void *arg) {
  int i;

  for (i = 0; i < (int)(uintptr_t)arg; i++)
    MUST(acquire(sem, MP_FOREVER) == 0);
  mp__add32_seq(shared, 1);
  for (;;)
    (void)pause();
}

static void until(uint32_t n) {
  while (mp__load32_seq(shared) != n)
    (void)usleep(100);
}

TEST(permits_of_the_dead_come_back) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  uint64_t at;
  int64_t start;

  found(&use);
  at = set_up();
  CHECK_EQ(mp_sem_open(&sem, 5, 0), 0);
  CHECK_EQ(acquire(sem, MP_NOW), 0);
  crew_start(&crew, take_and_wait, (void *)3);
  crew_start(&crew, take_and_wait, (void *)1);
  until(2);
  CHECK_EQ(mp_sem_value(sem), 0);
  CHECK_EQ(acquire(sem, MP_NOW), -MP_ETIMEOUT);
  kill_and_join(&crew.proc[0]);
  CHECK_EQ(acquire(sem, MP_NOW), 0);
  CHECK_EQ(mp_sem_value(sem), 2);
  CHECK_EQ(mp_proc_signal(crew.proc[1], SIGKILL), 0);
  start = mp_now();
  CHECK_EQ(acquire(sem, in_ms(1000)), 0);
  CHECK_EQ(acquire(sem, in_ms(1000)), 0);
  CHECK_EQ(acquire(sem, in_ms(1000)), 0); /* that of the dead one */
  CHECK(mp_now() - start < 1000000000);
  CHECK_EQ(join_until(crew.proc[1], in_ms(2000)), 0);
  mp_ref_close(&crew.proc[1]);
  CHECK_EQ(mp_sem_value(sem), 0);
  give_back(at);
  leave(&use);
}

/* Many holders: the roster grows, and the rows of the dead are used again. */
TEST(many_holders) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  uint64_t at;
  int i, k;

  found(&use);
  at = set_up();
  CHECK_EQ(mp_sem_open(&sem, 20, MP_SEM_BOUNDED), 0);
  for (k = 0; k < 3; k++) {
    mp__store32_seq(shared, 0);
    for (i = 0; i < 12; i++)
      crew_start(&crew, take_and_wait, (void *)1);
    until(12);
    CHECK_EQ(mp_sem_value(sem), 8);
    for (i = 0; i < 12; i++)
      kill_and_join(&crew.proc[i]);
    crew.n = 0;
    CHECK_EQ(mp_sem_value(sem), 20);
    CHECK_EQ(mp_sem_release(sem), -MP_ETOOMANY);
  }
  give_back(at);
  leave(&use);
}

/* What the dead had is not there to be released by others. */
TEST(signals_of_the_dead_stay) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  uint64_t at;

  found(&use);
  at = set_up();
  CHECK_EQ(mp_sem_open(&sem, 2, MP_SEM_SIGNALLING), 0);
  crew_start(&crew, take_and_wait, (void *)1);
  until(1);
  kill_and_join(&crew.proc[0]);
  CHECK_EQ(mp_sem_value(sem), 1);
  give_back(at);
  leave(&use);
}

static int take_one(void *arg) {
  int64_t end = in_ms(3000);

  (void)arg;
  mp__add32_seq(shared, 1);
  MUST(acquire(sem, end) == 0);
  return 0;
}

/* One sleeper is killed just when it was woken: the next one gets it. */
TEST(a_permit_passes_a_dead_sleeper) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  uint64_t at;
  int i, k;

  found(&use);
  at = set_up();
  for (i = 0; i < 5; i++) {
    CHECK_EQ(mp_sem_open(&sem, 0, MP_SEM_SIGNALLING), 0);
    mp__store32_seq(shared, 0);
    for (k = 0; k < 3; k++)
      crew_start(&crew, take_one, NULL);
    until(3);
    (void)usleep(30000);
    for (k = 0; k < 3; k++)
      CHECK_EQ(mp_proc_signal(crew.proc[k], SIGSTOP), 0);
    CHECK_EQ(mp_sem_release(sem), 0); /* wakes one of them, stopped */
    CHECK_EQ(mp_sem_release(sem), 0);
    CHECK_EQ(mp_proc_signal(crew.proc[0], SIGKILL), 0);
    for (k = 1; k < 3; k++)
      CHECK_EQ(mp_proc_signal(crew.proc[k], SIGCONT), 0);
    CHECK_EQ(join_until(crew.proc[0], in_ms(2000)), 0);
    mp_ref_close(&crew.proc[0]);
    crew.proc[0] = crew.proc[1];
    crew.proc[1] = crew.proc[2];
    crew.n = 2;
    crew_join(&crew);
    CHECK_EQ(mp_sem_value(sem), 0);
    mp_ref_close(&sem);
  }
  give_back(at);
  leave(&use);
}

static int for_ever(void *arg) {
  (void)arg;
  while (getppid() != 1) {
    MUST(acquire(sem, MP_FOREVER) == 0);
    MUST(acquire(sem, MP_NOW) <= 0);
    (void)mp_sem_release(sem);
  }
  return 1;
}

TEST(killed_at_random) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  int i, k;

  found(&use);
  CHECK_EQ(mp_sem_open(&sem, 4, MP_SEM_BOUNDED), 0);
  for (i = 0; i < 30; i++) {
    for (k = 0; k < 3; k++)
      crew_start(&crew, for_ever, NULL);
    (void)usleep((useconds_t)(1000 + i * 100));
    for (k = 0; k < 3; k++)
      kill_and_join(&crew.proc[k]);
    crew.n = 0;
    CHECK_EQ(mp_sem_value(sem), 4);
  }
  leave(&use);
}

/* Descriptors */

static int readable(int fd) {
  struct mp_poll p = {.fd = fd};

  return mp_poll(&p, 1, MP_NOW);
}

TEST(has_a_descriptor) {
  struct crew crew = {.threads = 0};
  struct mp_poll p = {.fd = -1};
  struct check_use use;
  uint64_t at;
  int fd, rc;

  found(&use);
  at = set_up();
  CHECK_EQ(mp_sem_open(&sem, 1, 0), 0);
  fd = mp_sem_fd(sem);
  REQUIRE(fd > 2);
  CHECK_EQ(readable(fd), 1);
  CHECK_EQ(mp_sem_ready(sem, fd), 1);
  CHECK_EQ(readable(fd), 1);
  CHECK_EQ(acquire(sem, MP_NOW), 0);
  CHECK_EQ(mp_sem_ready(sem, fd), 0);
  CHECK_EQ(readable(fd), 0);
  CHECK_EQ(mp_sem_release(sem), 0);
  CHECK_EQ(readable(fd), 1);
  crew_start(&crew, take_and_wait, (void *)1);
  until(1);
  CHECK_EQ(mp_sem_ready(sem, fd), 0);
  CHECK_EQ(mp_proc_signal(crew.proc[0], SIGKILL), 0);
  p.fd = fd;
  do
    rc = mp_watch(&p, 1, in_ms(2000));
  while (rc == -EINTR);
  CHECK_EQ(rc, 1);
  CHECK_EQ(mp_sem_ready(sem, fd), 1);
  CHECK_EQ(join_until(crew.proc[0], in_ms(2000)), 0);
  mp_ref_close(&crew.proc[0]);
  mp_fd_close(fd);
  give_back(at);
  leave(&use);
}
