/* family_test.c -- who lives and who does not: seats, sweeps, orphans, forks of
 * the host's own, members that the kernel's list does not know. */
#include "joiner.h"

#include <pthread.h>
#include <sys/syscall.h>

static void founded(struct check_use *use) {
  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", use));
}

static void left(const struct check_use *use) {
  CHECK(check_same("in the end", use));
  check_leave();
}

static int sleep_long(void *arg) {
  (void)arg;
  while (pause() < 0)
    ;
  return 1;
}

static void kill_all(struct crew *c) {
  int i;

  for (i = 0; i < c->n; i++) {
    CHECK_EQ(mp_proc_signal(c->proc[i], SIGKILL), 0);
    CHECK_EQ(join_until(c->proc[i], in_ms(3000)), 0);
    mp_ref_close(&c->proc[i]);
  }
  c->n = 0;
}

TEST(seats_are_used_in_turn_and_each_life_has_a_number) {
  struct check_use use;
  uint64_t nslots, gen[8], off[8];
  mp_ref p[8];
  int i, round;

  founded(&use);
  for (i = 0; i < 8; i++)
    REQUIRE(mp_proc_open(&p[i], NULL, 0) == 0);
  nslots = MP__HEAD->nslots;
  for (round = 0; round < 5; round++) {
    for (i = 0; i < 8; i++) {
      off[i] = MP_REF_ID(p[i]);
      gen[i] = mp__slot_at(off[i])->gen;
      mp_ref_close(&p[i]);
    }
    for (i = 0; i < 8; i++) {
      REQUIRE(mp_proc_open(&p[i], NULL, 0) == 0);
      CHECK_EQ(MP_REF_ID(p[i]), off[i]); /* the oldest first */
      CHECK_EQ(mp__slot_at(off[i])->gen, gen[i] + 1);
    }
  }
  CHECK_EQ(MP__HEAD->nslots, nslots);
  for (i = 0; i < 8; i++)
    mp_ref_close(&p[i]);
  left(&use);
}

static mp_ref a, b;

/* Holds much, of all kinds, and is killed. */
static int hold_much(void *arg) {
  mp_ref x, y, refs[2];
  int i;

  (void)arg;
  for (i = 0; i < 300; i++) {
    MUST(mp_ref_dup(a, &x) == 0);
    MUST(mp_pipe_open(&x, &y, 0) == 0);
    refs[0] = a; /* not x: a pipe in itself stays until the family ends */
    refs[1] = b;
    MUST(send_refs(y, "x", 1, refs, 2, MP_NOW) == 0);
    MUST(mp_fd_share(1, 1, &x) == 0);
    MUST(mp_proc_open(&x, NULL, 0) == 0);
    MUST(set_plan(x, 'e', 0, refs + 1) == 0);
  }
  MUST(send_bytes(a, "full", 4, MP_NOW) == 0);
  return sleep_long(NULL);
}

TEST(a_sweep_lets_go_of_everything) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  char bytes[4];

  founded(&use);
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  crew_start(&crew, hold_much, NULL);
  CHECK_EQ(recv_bytes(b, bytes, 4, in_ms(5000)), 4);
  CHECK(check_arena("with all that", NULL));
  kill_all(&crew);
  mp_ref_close(&a);
  mp_ref_close(&b);
  left(&use);
}

/* Everyone asleep learns of a death at once, though more live than one can
 * watch. */
static int wait_for_end(void *arg) {
  char byte;

  (void)arg;
  mp_ref_close(&a);
  MUST(recv_bytes(b, &byte, 1, in_ms(9000)) == -MP_ECLOSED);
  return 0;
}

TEST_LIMIT(a_death_among_many, 30) {
  enum { N = 180 };
  static mp_ref p[N];
  struct crew holder = {.threads = 0};
  struct check_use use;
  int64_t start;
  int i, rc, code;

  founded(&use);
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  for (i = 0; i < N; i++) {
    if (i == N / 2)
      crew_start(&holder, sleep_long, NULL);
    REQUIRE(mp_proc_open(&p[i], NULL, 0) == 0);
    rc = mp_proc_fork(p[i]);
    REQUIRE(rc >= 0);
    if (rc == 0)
      mp_exit(wait_for_end(NULL));
  }
  mp_ref_close(&a);
  (void)usleep(200000);
  kill_all(&holder);
  start = mp_now();
  for (i = 0; i < N; i++) {
    CHECK_EQ(join_until(p[i], in_ms(5000)), 0);
    CHECK_EQ(mp_proc_exitcode(p[i], &code), 1);
    CHECK_EQ(code, 0);
    mp_ref_close(&p[i]);
  }
  CHECK(mp_now() - start < 2000000000);
  mp_ref_close(&b);
  left(&use);
}

/* The kernel tells nobody of one that ends before it is born. */
TEST(a_death_before_the_birth) {
  static const char *const none[] = {"/bin/true", "true", "%d", NULL};
  static const char *const slow[] = {"/bin/sh",    "sh", "-c",
                                     "sleep 0.15", "%d", NULL};
  struct check_use use;
  int64_t start;
  char byte;
  mp_ref p;
  int i;

  founded(&use);
  for (i = 0; i < 6; i++) {
    REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
    REQUIRE(mp_proc_open(&p, NULL, 0) == 0);
    REQUIRE(set_plan(p, 'e', 0, &a) == 0);
    mp_ref_close(&a);
    mp__store64_rlx(&MP__HEAD->verified, (uint64_t)mp_now());
    start = mp_now();
    REQUIRE(mp_proc_spawn(p, i % 2 ? slow : none) == 0);
    CHECK_EQ(recv_bytes(b, &byte, 1, in_ms(9000)), -MP_ECLOSED);
    CHECK(mp_now() - start < 1000000000);
    CHECK_EQ(join_until(p, in_ms(3000)), 0);
    mp_ref_close(&p);
    mp_ref_close(&b);
  }
  left(&use);
}

static int sweep_others(void *arg) {
  int i;

  (void)arg;
  for (i = 0; i < 300; i++) {
    (void)mp__scan();
    mp__collect();
  }
  return 0;
}

/* Many sweep the same dead, at once. */
TWICE(many_sweepers) {
  struct crew sweepers = {.threads = threads};
  struct check_use use;
  char bytes[4];
  int i, k;

  founded(&use);
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  for (i = 0; i < 5; i++) {
    struct crew dead = {.threads = 0};

    for (k = 0; k < 3; k++)
      sweepers.threads = threads, crew_start(&sweepers, sweep_others, NULL);
    crew_start(&dead, hold_much, NULL);
    CHECK_EQ(recv_bytes(b, bytes, 4, in_ms(5000)), 4);
    CHECK_EQ(mp_proc_signal(dead.proc[0], SIGKILL), 0);
    crew_join(&sweepers);
    kill_all(&dead);
    CHECK(check_arena("after the sweep", NULL));
  }
  mp_ref_close(&a);
  mp_ref_close(&b);
  left(&use);
}

/* A fork of the host's own */

TEST(a_fork_of_the_hosts_own) {
  struct check_use use;
  uint32_t generation;
  char byte;
  pid_t pid;

  founded(&use);
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  generation = mp_generation();
  pid = test_fork();
  if (pid == 0) {
    uint64_t serial = mp_ref_serial(a);
    mp_ref held;

    CHECK(!mp_entered());
    CHECK(mp_generation() != generation);
    CHECK(mp_entered());
    CHECK_EQ(mp_proc_pid(mp_proc_self()), getpid());
    CHECK_EQ(mp_ref_adopt(a, serial, &held), 0);
    CHECK_EQ(send_bytes(held, "x", 1, MP_NOW), 0);
    CHECK(check_arena("in the fork", NULL));
    mp_ref_close(&held);
    test_exit();
  }
  test_join(pid);
  CHECK_EQ(mp_generation(), generation);
  CHECK_EQ(recv_bytes(b, &byte, 1, MP_NOW), 1);
  CHECK_EQ(recv_bytes(b, &byte, 1, MP_NOW), -MP_ETIMEOUT);
  CHECK(check_arena("after the fork", NULL));
  mp_ref_close(&a);
  mp_ref_close(&b);
  left(&use);
}

/* A child that we forked has written down nowhere who it is until it uses
 * something: others must not take themselves for it. */

static mp_ref child;

static void is_nobody_yet(void) {
  uint32_t generation;

  CHECK(!mp_entered());
  generation = mp_generation();
  CHECK(mp_entered());
  CHECK(mp_generation() == generation);
  CHECK(mp_proc_self() != MP_REF_ID(child));
  CHECK_EQ(mp_proc_pid(mp_proc_self()), getpid());
}

static void fork_by_the_library(void) {
  pid_t pid = test_fork();

  if (pid == 0) {
    is_nobody_yet();
    test_exit();
  }
  test_join(pid);
}

static void fork_by_the_kernel(void) {
  pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

  if (pid == 0) {
    is_nobody_yet();
    _exit(test_failures != 0);
  }
  CHECK_EQ(test_wait(pid), 0);
}

/* Its own fork leaves by the child's door. */
static void fork_that_leaves(void) {
  pid_t pid = test_fork();

  if (pid == 0)
    mp_exit(7);
  CHECK_EQ(test_wait(pid), 7 << 8);
  CHECK_EQ(send_bytes(a, "x", 1, MP_NOW), 0);
}

static void *who_am_i(void *arg) {
  (void)arg;
  CHECK_EQ(mp_proc_self(), MP_REF_ID(child));
  return NULL;
}

static void another_thread(void) {
  pthread_t thread;

  REQUIRE(pthread_create(&thread, NULL, who_am_i, NULL) == 0);
  (void)pthread_join(thread, NULL);
  CHECK_EQ(mp_proc_self(), MP_REF_ID(child));
}

static void in_a_child(void (*first)(void)) {
  struct check_use use;
  uint32_t generation;
  char byte;
  int code = -1, rc;

  founded(&use);
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  generation = mp_generation();
  REQUIRE(mp_proc_open(&child, NULL, 0) == 0);
  rc = mp_proc_fork(child);
  if (rc == 0) {
    first();
    CHECK(mp_entered());
    CHECK_EQ(mp_generation(), generation);
    CHECK_EQ(mp_proc_self(), MP_REF_ID(child));
    mp_exit(test_failures != 0);
  }
  CHECK_EQ(rc, 1);
  CHECK_EQ(join_until(child, in_ms(3000)), 0);
  CHECK(mp_proc_exitcode(child, &code));
  CHECK_EQ(code, 0);
  (void)recv_bytes(b, &byte, 1, MP_NOW);
  mp_ref_close(&child);
  mp_ref_close(&a);
  mp_ref_close(&b);
  left(&use);
}

TEST(a_child_whose_fork_is_the_librarys) {
  in_a_child(fork_by_the_library);
}

TEST(a_child_whose_fork_is_the_kernels) {
  in_a_child(fork_by_the_kernel);
}

TEST(a_child_whose_fork_leaves) {
  in_a_child(fork_that_leaves);
}

TEST(a_child_of_which_another_thread_comes_first) {
  in_a_child(another_thread);
}

/* They come in one after the other, and each has a seat of its own. */
TEST(many_forks_of_the_hosts_at_once) {
  enum { MANY = 12 };
  struct check_use use;
  int go[2], i;
  pid_t pid[MANY];
  mp_ref held;
  char byte;

  founded(&use);
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  REQUIRE(pipe(go) == 0);
  for (i = 0; i < MANY; i++) {
    pid[i] = test_fork();
    if (pid[i] != 0)
      continue;
    close(go[1]);
    (void)!read(go[0], &byte, 1);      /* its end lets all go on */
    CHECK_EQ(mp_ref_dup(a, &held), 0); /* not a word of mp_enter before */
    CHECK_EQ(mp_proc_pid(mp_proc_self()), getpid());
    CHECK_EQ(send_bytes(held, "x", 1, MP_NOW), 0);
    mp_ref_close(&held);
    test_exit();
  }
  close(go[0]);
  close(go[1]);
  for (i = 0; i < MANY; i++)
    test_join(pid[i]);
  for (i = 0; i < MANY; i++)
    CHECK_EQ(recv_bytes(b, &byte, 1, MP_NOW), 1);
  CHECK_EQ(MP__HEAD->door, 0);
  mp_ref_close(&a);
  mp_ref_close(&b);
  left(&use);
}

/* Its death is seen even if the kernel's list did not know it: killed before
 * anyone could say so, with the only hold on an end. */
static void seen_by_looking(void (*before)(void)) {
  struct check_use use;
  int64_t start;
  char byte;
  pid_t pid;

  founded(&use);
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  pid = test_fork();
  if (pid == 0) {
    mp_ref held;

    if (before)
      before();
    CHECK(mp_generation() > 0);
    CHECK_EQ(mp_ref_adopt(a, mp_ref_serial(a), &held), 0);
    CHECK_EQ(send_bytes(held, "x", 1, MP_NOW), 0);
    (void)pause();
    test_exit();
  }
  CHECK_EQ(recv_bytes(b, &byte, 1, in_ms(3000)), 1);
  mp_ref_close(&a);
  CHECK_EQ(recv_bytes(b, &byte, 1, in_ms(100)), -MP_ETIMEOUT);
  CHECK_EQ(kill(pid, SIGKILL), 0);
  start = mp_now();
  CHECK_EQ(recv_bytes(b, &byte, 1, in_ms(5000)), -MP_ECLOSED);
  CHECK(mp_now() - start < 1000000000);
  (void)test_wait(pid);
  mp_ref_close(&b);
  left(&use);
}

TEST(a_death_that_the_kernel_tells) {
  seen_by_looking(NULL);
}

/* One of another layout, as a host with a C library of its own has. */
static void no_robust_list(void) {
  static struct {
    void *next;
    long offset;
    void *pending;
  } list = {&list, -8, NULL};

  (void)syscall(SYS_set_robust_list, &list, sizeof list);
}

TEST(a_death_that_nobody_tells) {
  seen_by_looking(no_robust_list);
}

/* Entered from a thread that then ends: the process lives on. */
static void *enter(void *arg) {
  CHECK(mp_generation() > 0);
  CHECK_EQ(mp_ref_adopt(a, mp_ref_serial(a), arg), 0);
  return NULL;
}

TEST(a_guest) {
  struct check_use use;
  int64_t start;
  char byte;
  pid_t pid;

  founded(&use);
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  pid = test_fork();
  if (pid == 0) {
    pthread_t thread;
    mp_ref held;

    CHECK_EQ(pthread_create(&thread, NULL, enter, &held), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    (void)usleep(300000);
    CHECK_EQ(send_bytes(held, "x", 1, MP_NOW), 0);
    (void)pause();
    test_exit();
  }
  (void)usleep(100000);
  mp_ref_close(&a);
  CHECK_EQ(recv_bytes(b, &byte, 1, in_ms(3000)), 1);
  CHECK_EQ(recv_bytes(b, &byte, 1, in_ms(700)), -MP_ETIMEOUT);
  CHECK_EQ(kill(pid, SIGKILL), 0);
  start = mp_now();
  CHECK_EQ(recv_bytes(b, &byte, 1, in_ms(5000)), -MP_ECLOSED);
  CHECK(mp_now() - start < 1000000000);
  (void)test_wait(pid);
  mp_ref_close(&b);
  left(&use);
}

/* A member that calls exec is none any more; its parent learns the code. */
TEST(a_member_that_calls_exec) {
  struct check_use use;
  int64_t start;
  mp_ref p;
  char byte;
  int rc, code = -1;

  founded(&use);
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  REQUIRE(mp_proc_open(&p, NULL, 0) == 0);
  rc = mp_proc_fork(p);
  if (rc == 0) {
    (void)execl("/bin/sh", "sh", "-c", "sleep 0.3; exit 12", (char *)NULL);
    _exit(1);
  }
  mp_ref_close(&a);
  start = mp_now();
  CHECK_EQ(recv_bytes(b, &byte, 1, in_ms(3000)), -MP_ECLOSED);
  CHECK(mp_now() - start < 250000000); /* before that program's end */
  CHECK_EQ(mp_proc_alive(p), 1);
  CHECK_EQ(join_until(p, in_ms(3000)), 0);
  CHECK_EQ(mp_proc_exitcode(p, &code), 1);
  CHECK_EQ(code, 12);
  mp_ref_close(&p);
  mp_ref_close(&b);
  left(&use);
}

/* A tree whose inner members are killed: the leaves live on as orphans. */
static int have_children(void *arg) {
  uintptr_t depth = (uintptr_t)arg;
  struct crew crew = {.threads = 0};

  if (depth > 0) {
    crew_start(&crew, have_children, (void *)(depth - 1));
    crew_start(&crew, have_children, (void *)(depth - 1));
  }
  (void)send_bytes(a, "up", 2, MP_NOW);
  return sleep_long(NULL);
}

TEST(orphans) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  char bytes[2];
  uint64_t i;
  int n, alive;

  founded(&use);
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  crew_start(&crew, have_children, (void *)3);
  for (n = 0; n < 15; n++)
    CHECK_EQ(recv_bytes(b, bytes, 2, in_ms(3000)), 2);
  CHECK(check_arena("with a tree", NULL));
  kill_all(&crew);
  CHECK(check_arena("without a root", NULL));
  for (alive = 0, i = 1; i <= MP__HEAD->nslots; i++) {
    struct mp__slot *s = mp__slot_at(MP__SLOTS + i * MP__SLOT_SIZE);

    if ((s->obj.type & 0xff) != MP_TYPE_PROC || s == mp__me() ||
        s->state == MP_ENDED) /* the root: its children hold it */
      continue;
    CHECK(!mp__slot_verify(s));
    alive++;
    if (i % 2 == 0)
      CHECK_EQ(kill((pid_t)s->pid, SIGKILL), 0);
  }
  CHECK_EQ(alive, 14);
  (void)usleep(50000);
  CHECK(check_arena("with half of them", NULL));
  for (i = 1; i <= MP__HEAD->nslots; i++) {
    struct mp__slot *s = mp__slot_at(MP__SLOTS + i * MP__SLOT_SIZE);

    if ((s->obj.type & 0xff) == MP_TYPE_PROC && s != mp__me() &&
        s->state != MP_ENDED)
      (void)kill((pid_t)s->pid, SIGKILL);
  }
  (void)usleep(50000);
  mp_ref_close(&a);
  mp_ref_close(&b);
  left(&use);
}

/* Births and deaths by many, at once. */
static int bear_and_bury(void *arg) {
  int i, rc, code;
  mp_ref p;

  (void)arg;
  for (i = 0; i < 60; i++) {
    MUST(mp_proc_open(&p, NULL, 0) == 0);
    rc = mp_proc_fork(p);
    MUST(rc >= 0);
    if (rc == 0) {
      if (i % 3 == 0)
        (void)raise(SIGKILL);
      mp_exit(i);
    }
    if (i % 5) { /* else nobody waits */
      MUST(join_until(p, in_ms(8000)) == 0);
      MUST(mp_proc_exitcode(p, &code) == 1);
      MUST(code == (i % 3 ? i : -SIGKILL));
    }
    mp_ref_close(&p);
  }
  return finish();
}

TWICE(births_and_deaths) {
  struct check_use use;

  founded(&use);
  crew_all(threads, 4, bear_and_bury, NULL);
  CHECK(!test_has_child());
  left(&use);
}
