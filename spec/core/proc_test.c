/* proc_test.c -- processes as values: codes, joins, signals, hosts that meddle,
 * threads, limits. */
#include "joiner.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>

static void founded(struct check_use *use) {
  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", use));
}

static void left(const struct check_use *use) {
  CHECK_EQ(finish(), 0); /* the server, if there is one */
  CHECK(!test_has_child());
  CHECK(check_same("in the end", use));
  check_leave();
}

static int code_of(mp_ref p) {
  int code = 1000;

  CHECK_EQ(mp_proc_exitcode(p, &code), 1);
  return code;
}

static int readable(int fd, int ms) {
  struct pollfd f = {fd, POLLIN, 0};

  return poll(&f, 1, ms) == 1;
}

/* The thread sanitizer does not bear a clone that shares memory. */
#define NMETHODS (TEST_TSAN ? 1 : 3)
static const enum mp_method methods[] = {MP_FORK, MP_SPAWN, MP_FORKSERVER};

#define EACH_METHOD(how)                                                       \
  for (unsigned how##_i = 0; how##_i < NMETHODS; how##_i++)                    \
    for (enum mp_method how = methods[how##_i], *how##_p = &how; how##_p;      \
         how##_p = NULL)

TEST(codes) {
  struct check_use use;
  mp_ref p;

  founded(&use);
  EACH_METHOD(how) {
    static const struct {
      char what;
      int n, code;
    } ends[] = {{'e', 0, 0},
                {'e', 7, 7},
                {'e', 255, 255},
                {'_', 9, 9},
                {'k', SIGKILL, -9},
                {'k', SIGTERM, -SIGTERM},
                {'k', SIGUSR1, -SIGUSR1}};
    unsigned i;

    for (i = 0; i < sizeof ends / sizeof *ends; i++) {
      REQUIRE(start_plan(&p, how, ends[i].what, ends[i].n, NULL, 0) == 0);
      CHECK_EQ(join_until(p, in_ms(5000)), 0);
      CHECK_EQ(code_of(p), ends[i].code);
      CHECK_EQ(join_until(p, MP_NOW), 0); /* again */
      CHECK_EQ(code_of(p), ends[i].code);
      CHECK_EQ(mp_proc_state(p), MP_ENDED);
      CHECK_EQ(mp_proc_alive(p), 0);
      CHECK_EQ(mp_proc_signal(p, SIGKILL), 0); /* nobody is hurt */
      mp_ref_close(&p);
    }
  }
  left(&use);
}

TEST(a_life) {
  struct check_use use;
  char name[MP_NAME_MAX + 1];
  mp_ref p, k;
  int code, fd;

  founded(&use);
  CHECK_EQ(mp_proc_parent(), MP_REF_EMPTY);
  CHECK_EQ(mp_proc_name(mp_proc_self(), name), 0);
  CHECK(strcmp(name, "MainProcess") == 0);
  CHECK_EQ(mp_proc_pid(mp_proc_self()), getpid());
  CHECK_EQ(mp_proc_alive(mp_proc_self()), 1);
  CHECK_EQ(join_until(mp_proc_self(), MP_NOW), -MP_ESELF);
  EACH_METHOD(how) {
    REQUIRE(mp_proc_open(&p, NULL, 0) == 0);
    CHECK_EQ(mp_proc_state(p), MP_NEW);
    CHECK_EQ(mp_proc_pid(p), 0);
    CHECK_EQ(mp_proc_alive(p), 0);
    CHECK_EQ(mp_proc_exitcode(p, &code), 0);
    CHECK_EQ(join_until(p, MP_NOW), -MP_ENOTSTARTED);
    CHECK_EQ(mp_proc_signal(p, SIGTERM), -MP_ENOTSTARTED);
    CHECK_EQ(mp_proc_fd(p), -MP_ENOTSTARTED);
    CHECK_EQ(mp_proc_set_flags(p, MP_PROC_DAEMON), 0);
    CHECK_EQ(mp_proc_flags(p), MP_PROC_DAEMON);
    mp_ref_close(&p); /* never started */
    REQUIRE(start_plan(&p, how, 'w', 0, NULL, 0) == 0);
    CHECK_EQ(mp_proc_name(p, name), 0);
    CHECK(strncmp(name, "Process-", 8) == 0);
    CHECK(mp_proc_pid(p) > 0 && mp_proc_pid(p) != getpid());
    CHECK_EQ(mp_proc_alive(p), 1);
    CHECK_EQ(mp_proc_exitcode(p, &code), 0);
    CHECK_EQ(join_until(p, MP_NOW), -MP_ETIMEOUT);
    CHECK_EQ(join_until(p, in_ms(20)), -MP_ETIMEOUT);
    CHECK_EQ(mp_proc_set_flags(p, 0), -MP_ESTARTED);
    CHECK_EQ(mp_proc_fork(p), -MP_ESTARTED);
    CHECK_EQ(mp_proc_child(0, &k), 0);
    CHECK_EQ(MP_REF_ID(k), MP_REF_ID(p));
    mp_ref_close(&k);
    CHECK_EQ(mp_proc_child(1, &k), -ENOENT);
    fd = mp_proc_fd(p);
    CHECK(fd > 2);
    CHECK(!readable(fd, 0));
    CHECK_EQ(mp_proc_signal(p, SIGTERM), 0);
    CHECK(readable(fd, 2000));
    CHECK_EQ(mp_proc_alive(p), 0);
    CHECK_EQ(code_of(p), -SIGTERM);
    CHECK_EQ(mp_proc_child(0, &k), -ENOENT);
    mp_fd_close(fd);
    fd = mp_proc_fd(p); /* of one that is over */
    CHECK(readable(fd, 0));
    mp_fd_close(fd);
    mp_ref_close(&p);
  }
  left(&use);
}

/* A sibling, and the child's own child's view: who is not the parent joins
 * too, and learns the code, before and after the parent has waited. */
static int join_other(void *arg) {
  mp_ref p = (mp_ref)(uintptr_t)arg;
  int code = 1000, fd = mp_proc_fd(p);

  MUST(fd > 2);
  MUST(mp_proc_alive(p) == 1);
  MUST(join_until(p, in_ms(20)) == -MP_ETIMEOUT);
  MUST(mp_proc_signal(p, SIGTERM) == 0);
  MUST(join_until(p, in_ms(5000)) == 0);
  MUST(readable(fd, 1000));
  MUST(mp_proc_alive(p) == 0);
  MUST(mp_proc_exitcode(p, &code) == 1);
  MUST(code == -SIGTERM);
  mp_fd_close(fd);
  return 0;
}

TEST(joined_by_one_who_is_not_the_parent) {
  struct check_use use;
  mp_ref p;
  int early;

  founded(&use);
  for (early = 0; early < 2; early++) {
    EACH_METHOD(how) {
      struct crew crew = {.threads = 0};

      REQUIRE(start_plan(&p, how, 'w', 0, NULL, 0) == 0);
      crew_start(&crew, join_other, (void *)(uintptr_t)p);
      if (early)
        CHECK_EQ(join_until(p, in_ms(5000)), 0);
      crew_join(&crew);
      CHECK_EQ(join_until(p, in_ms(5000)), 0);
      CHECK_EQ(code_of(p), -SIGTERM);
      mp_ref_close(&p);
    }
  }
  left(&use);
}

/* Hosts that meddle with children */

static void on_child(int sig) {
  int keep = errno;

  (void)sig;
  while (waitpid(-1, NULL, WNOHANG) > 0)
    ;
  errno = keep;
}

static void meddled(void) {
  struct check_use use;
  mp_ref p[6];
  int i, n, code;

  founded(&use);
  EACH_METHOD(how) {
    for (i = 0; i < 6; i++)
      REQUIRE(start_plan(&p[i], how, i & 1 ? 'e' : '_', i, NULL, 0) == 0);
    for (n = 0; n < 50; n++) { /* and by polling, too */
      while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
      (void)usleep(200);
    }
    for (i = 0; i < 6; i++) {
      CHECK_EQ(join_until(p[i], in_ms(5000)), 0);
      /* Who claimed nothing, and was gone before anyone had a descriptor of
       * it, is lost; not so after our own fork, which nobody else can see
       * (TSan has a thread: then it is the C library's). */
      code = code_of(p[i]);
      if ((how == MP_FORK && !TEST_TSAN) || i & 1 || code != MP__EXIT_LOST)
        CHECK_EQ(code, i);
      mp_ref_close(&p[i]);
    }
    REQUIRE(start_plan(&p[0], how, 'w', 0, NULL, 0) == 0);
    CHECK_EQ(mp_proc_signal(p[0], SIGKILL), 0);
    CHECK_EQ(join_until(p[0], in_ms(5000)), 0);
    CHECK_EQ(code_of(p[0]), -SIGKILL);
    mp_ref_close(&p[0]);
  }
  left(&use);
}

TEST(sigchld_ignored) {
  (void)signal(SIGCHLD, SIG_IGN);
  meddled();
}

TEST(children_stolen_by_the_host) {
  (void)signal(SIGCHLD, on_child);
  meddled();
}

TEST(a_host_that_waits_for_none_sees_none) {
  struct check_use use;
  mp_ref p;

  if (TEST_TSAN)
    return; /* it has a thread: that is a fork of the C library's */
  founded(&use);
  REQUIRE(start_plan(&p, MP_FORK, 'e', 1, NULL, 0) == 0);
  CHECK_EQ(waitpid(-1, NULL, 0), -1);
  CHECK_EQ(errno, ECHILD);
  CHECK_EQ(join_until(p, in_ms(2000)), 0);
  CHECK_EQ(code_of(p), 1);
  mp_ref_close(&p);
  left(&use);
}

/* Daemons, orphans, the end */

static mp_ref a, b;

/* Starts one and tells its pid through the pipe; then is killed. */
static int start_and_die(void *arg) {
  unsigned bits = (unsigned)(uintptr_t)arg;
  mp_ref p;

  if (start_plan(&p, (enum mp_method)(bits >> 1), 'w', 0, NULL,
                 bits & 1 ? MP_PROC_DAEMON : 0) < 0)
    return 1;
  if (send_refs(a, "", 0, &p, 1, MP_NOW) < 0)
    return 2;
  (void)raise(SIGKILL);
  return 3;
}

static void parent_dies(int daemon) {
  char scratch[MP_INLINE_MAX];
  struct check_use use;
  struct mp_msg m;
  int64_t start;
  mp_ref p;

  founded(&use);
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  EACH_METHOD(how) {
    struct crew crew = {.threads = 0};

    crew_start(&crew, start_and_die,
               (void *)(uintptr_t)((unsigned)how << 1 | (unsigned)daemon));
    REQUIRE(recv_msg(b, &m, scratch, in_ms(3000)) == 0);
    REQUIRE(m.nrefs == 1);
    REQUIRE(mp_ref_dup(m.refs[0], &p) == 0);
    mp_msg_close(&m);
    CHECK_EQ(join_until(crew.proc[0], in_ms(3000)), 0);
    CHECK_EQ(code_of(crew.proc[0]), -SIGKILL);
    mp_ref_close(&crew.proc[0]);
    start = mp_now();
    if (!daemon) {
      CHECK_EQ(join_until(p, in_ms(50)), -MP_ETIMEOUT);
      CHECK_EQ(mp_proc_alive(p), 1);
      CHECK_EQ(mp_proc_signal(p, SIGKILL), 0);
    }
    CHECK_EQ(join_until(p, in_ms(3000)), 0);
    CHECK(mp_now() - start < 1500000000);
    CHECK_EQ(mp_proc_alive(p), 0);
    mp_ref_close(&p);
    (void)usleep(20000); /* the server of the dead ends by itself */
  }
  mp_ref_close(&a);
  mp_ref_close(&b);
  (void)usleep(100000);
  left(&use);
}

TEST(daemons_die_with_their_parent) {
  parent_dies(1);
}

TEST(others_outlive_it) {
  parent_dies(0);
}

TEST(the_end_waits_for_children_and_ends_daemons) {
  struct check_use use;
  mp_ref p, q;

  founded(&use);
  EACH_METHOD(how) {
    int64_t start = mp_now();

    REQUIRE(start_plan(&p, how, 'e', 5, NULL, 0) == 0);
    REQUIRE(start_plan(&q, how, 'w', 0, NULL, MP_PROC_DAEMON) == 0);
    CHECK_EQ(finish(), 0);
    CHECK(mp_now() - start < 1500000000);
    CHECK_EQ(code_of(p), 5);
    CHECK_EQ(code_of(q), -SIGTERM);
    mp_ref_close(&p);
    mp_ref_close(&q);
  }
  left(&use);
}

/* A daemon that lives so, and has said that it does. */
static void start_daemon(mp_ref *p, int (*live)(void)) {
  char bytes[8];
  int rc;

  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  REQUIRE(mp_proc_open(p, NULL, MP_PROC_DAEMON) == 0);
  rc = mp_proc_fork(*p);
  if (rc == 0)
    mp_exit(live());
  CHECK(recv_bytes(b, bytes, sizeof bytes, in_ms(2000)) > 0);
}

static int deaf(void) {
  (void)signal(SIGTERM, SIG_IGN);
  (void)send_bytes(a, "deaf", 4, MP_NOW);
  while (getppid() != 1)
    (void)usleep(10000);
  return 0;
}

TEST(a_daemon_that_ignores_sigterm_is_killed) {
  struct check_use use;
  mp_ref p;

  founded(&use);
  start_daemon(&p, deaf);
  CHECK_EQ(finish(), 0);
  CHECK_EQ(code_of(p), -SIGKILL);
  mp_ref_close(&p);
  mp_ref_close(&a);
  mp_ref_close(&b);
  left(&use);
}

static volatile sig_atomic_t terms;

static void count_term(int sig) {
  (void)sig;
  terms++;
}

/* Tells of each SIGTERM. */
static int unmoved(void) {
  int told = 0;

  (void)signal(SIGTERM, count_term);
  (void)send_bytes(a, "up", 2, MP_NOW);
  while (getppid() != 1) {
    while (told < terms)
      told += send_bytes(a, "term", 4, MP_NOW) == 0;
    (void)usleep(1000);
  }
  return 0;
}

static void interrupt_soon(void) {
  struct sigaction sa;
  struct itimerval soon = {{0, 0}, {0, 100000}};

  memset(&sa, 0, sizeof sa);
  sa.sa_handler = count_term;
  REQUIRE(sigaction(SIGALRM, &sa, NULL) == 0);
  REQUIRE(setitimer(ITIMER_REAL, &soon, NULL) == 0);
}

TEST(an_interrupted_end_tells_a_daemon_once) {
  struct check_use use;
  char bytes[4];
  mp_ref p;

  founded(&use);
  start_daemon(&p, unmoved);
  interrupt_soon();
  while (!terms)
    CHECK_EQ(mp_finish(), -EINTR);
  CHECK_EQ(finish(), 0);
  CHECK_EQ(code_of(p), -SIGKILL);
  CHECK_EQ(recv_bytes(b, bytes, 4, MP_NOW), 4);
  CHECK_EQ(recv_bytes(b, bytes, 4, MP_NOW), -MP_ETIMEOUT);
  mp_ref_close(&p);
  mp_ref_close(&a);
  mp_ref_close(&b);
  left(&use);
}

TEST(holds_of_a_child_reach_it) {
  struct check_use use;
  char bytes[8];
  mp_ref p;

  founded(&use);
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  EACH_METHOD(how) {
    REQUIRE(start_plan(&p, how, 'r', 3, &a, 0) == 0);
    CHECK_EQ(recv_bytes(b, bytes, sizeof bytes, in_ms(3000)), 4);
    CHECK_EQ(join_until(p, in_ms(3000)), 0);
    CHECK_EQ(code_of(p), 3);
    mp_ref_close(&p);
  }
  mp_ref_close(&a);
  mp_ref_close(&b);
  left(&use);
}

TEST(a_program_that_is_not_there) {
  static const char *const nothing[] = {"/nonexistent/program", "x", "%d",
                                        NULL};
  struct check_use use;
  mp_ref p;

  if (NMETHODS == 1)
    return;
  founded(&use);
  REQUIRE(mp_proc_open(&p, NULL, 0) == 0);
  CHECK_EQ(mp_proc_spawn(p, nothing), -ENOENT);
  CHECK_EQ(mp_proc_state(p), MP_NEW);
  CHECK_EQ(mp_proc_pid(p), 0);
  CHECK_EQ(mp_proc_serve(p, nothing), -ENOENT);
  CHECK_EQ(mp_proc_state(p), MP_NEW);
  CHECK(!test_has_child());
  CHECK_EQ(set_plan(p, 'e', 6, NULL), 0);
  CHECK_EQ(mp_proc_spawn(p, joiner_argv), 0); /* the same, again */
  CHECK_EQ(join_until(p, in_ms(3000)), 0);
  CHECK_EQ(code_of(p), 6);
  mp_ref_close(&p);
  left(&use);
}

/* The server is killed: what it has started lives on, the next start has a new
 * server. */
TEST(a_server_that_is_killed) {
  struct check_use use;
  mp_ref p, q;
  uint64_t i;

  if (NMETHODS == 1)
    return;
  founded(&use);
  REQUIRE(start_plan(&p, MP_FORKSERVER, 'w', 0, NULL, 0) == 0);
  for (i = 1; i <= MP__HEAD->nslots; i++) {
    struct mp__slot *s = mp__slot_at(MP__SLOTS + i * MP__SLOT_SIZE);

    if (strcmp(s->name, "ForkServer") == 0 && s->pid)
      CHECK_EQ(kill((pid_t)s->pid, SIGKILL), 0);
  }
  (void)usleep(10000);
  CHECK_EQ(mp_proc_alive(p), 1);
  REQUIRE(start_plan(&q, MP_FORKSERVER, 'e', 2, NULL, 0) == 0);
  CHECK_EQ(join_until(q, in_ms(3000)), 0);
  CHECK_EQ(code_of(q), 2);
  CHECK_EQ(mp_proc_signal(p, SIGKILL), 0);
  CHECK_EQ(join_until(p, in_ms(3000)), 0);
  CHECK_EQ(code_of(p), -SIGKILL);
  mp_ref_close(&p);
  mp_ref_close(&q);
  left(&use);
}

/* Threads */

static volatile sig_atomic_t hooked;

static void hook(void) {
  hooked = 1;
}

static int listening; /* 1: a stop will call the hook */

static int wait_for_stop(void *arg) {
  char scratch[MP_INLINE_MAX];
  struct mp_msg m;

  mp_on_stop(hook);
  __atomic_store_n(&listening, 1, __ATOMIC_RELEASE);
  while (mp_pipe_recv((mp_ref)(uintptr_t)arg, &m, scratch, MP_FOREVER) ==
         -EINTR)
    if (mp_stopping())
      return 5;
  return 6;
}

static int return_code(void *arg) {
  return (int)(intptr_t)arg;
}

TEST(threads_and_their_codes) {
  struct check_use use;
  mp_ref p;
  int i, fd;

  founded(&use);
  for (i = 0; i < 200; i++) {
    REQUIRE(mp_proc_open(&p, NULL, 0) == 0);
    REQUIRE(start_thread(p, return_code, (void *)(intptr_t)(i % 256)) == 0);
    fd = i % 10 ? -1 : mp_proc_fd(p);
    CHECK_EQ(join_until(p, in_ms(3000)), 0);
    CHECK_EQ(code_of(p), i % 256);
    CHECK_EQ(mp_proc_pid(p), getpid());
    CHECK_EQ(mp_proc_method(p), MP_THREAD);
    if (fd >= 0)
      CHECK(readable(fd, 1000));
    mp_fd_close(fd);
    mp_ref_close(&p);
  }
  left(&use);
}

TEST(a_thread_is_stopped_while_it_waits) {
  struct check_use use;
  mp_ref p;
  int i;

  founded(&use);
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  for (i = 0; i < 20; i++) {
    hooked = listening = 0;
    REQUIRE(mp_proc_open(&p, NULL, 0) == 0);
    REQUIRE(start_thread(p, wait_for_stop, (void *)(uintptr_t)b) == 0);
    while (i > 3 && !__atomic_load_n(&listening, __ATOMIC_ACQUIRE))
      (void)usleep(100);
    (void)usleep((useconds_t)(i * 3000));
    CHECK_EQ(mp_proc_signal(p, SIGTERM), 0);
    CHECK_EQ(join_until(p, in_ms(2000)), 0);
    CHECK_EQ(code_of(p), -SIGTERM);
    if (i > 3)
      CHECK_EQ(hooked, 1);
    mp_ref_close(&p);
  }
  mp_ref_close(&a);
  mp_ref_close(&b);
  left(&use);
}

static int start_from_thread(void *arg) {
  int code = -1;
  mp_ref p;

  MUST(start_plan(&p, (enum mp_method)(uintptr_t)arg, 'e', 8, NULL, 0) == 0);
  MUST(join_until(p, in_ms(5000)) == 0);
  MUST(mp_proc_exitcode(p, &code) == 1);
  MUST(code == 8);
  mp_ref_close(&p);
  return finish(); /* its server */
}

TEST(threads_start_processes) {
  struct crew crew = {.threads = 1};
  struct check_use use;
  int i;

  if (TEST_TSAN)
    return; /* it ends a process that was forked beside other threads */
  founded(&use);
  for (i = 0; i < 9; i++)
    crew_start(&crew, start_from_thread,
               (void *)(uintptr_t)(i % 3 == 0   ? MP_FORK
                                   : i % 3 == 1 ? MP_SPAWN
                                                : MP_FORKSERVER));
  crew_join(&crew);
  left(&use);
}

/* Limits */

static void count_limited(void) {
  struct rlimit lim, low;
  struct check_use use;
  mp_ref p;
  int rc;

  REQUIRE(mp_enter() == 0);
  REQUIRE(setuid(65534) == 0); /* root may always fork */
  CHECK(check_arena("at first", &use));
  REQUIRE(getrlimit(RLIMIT_NPROC, &lim) == 0);
  low = lim;
  low.rlim_cur = 1;
  REQUIRE(setrlimit(RLIMIT_NPROC, &low) == 0);
  REQUIRE(mp_proc_open(&p, NULL, 0) == 0);
  rc = mp_proc_fork(p);
  if (rc == 0)
    mp_exit(0);
  CHECK_EQ(rc, -EAGAIN);
  CHECK_EQ(mp_proc_state(p), MP_NEW);
  CHECK_EQ(mp_proc_spawn(p, joiner_argv), -EAGAIN);
  CHECK_EQ(mp_proc_state(p), MP_NEW);
  CHECK_EQ(mp_proc_serve(p, joiner_argv), -EAGAIN);
  CHECK_EQ(mp_proc_state(p), MP_NEW);
  CHECK_EQ(mp_proc_thread(p, return_code, NULL), -EAGAIN);
  CHECK_EQ(mp_proc_state(p), MP_NEW);
  mp_ref_close(&p);
  CHECK(check_same("after the refusals", &use));
  REQUIRE(setrlimit(RLIMIT_NPROC, &lim) == 0);
  REQUIRE(start_plan(&p, MP_FORK, 'e', 1, NULL, 0) == 0);
  CHECK_EQ(join_until(p, in_ms(3000)), 0);
  CHECK_EQ(code_of(p), 1);
  mp_ref_close(&p);
  CHECK(check_same("in the end", &use));
}

TEST(no_more_processes) {
  pid_t pid;

  if (NMETHODS == 1 || getuid() != 0)
    return; /* the limit would count what else the user runs */
  pid = test_fork();
  if (pid == 0) {
    count_limited();
    test_exit();
  }
  test_join(pid);
}

TEST_LIMIT(many_children_at_once, 120) {
  static mp_ref p[5000];
  int n = getenv("MP_HUGE") ? 5000 : 300;
  struct check_use use, now;
  int i, rc;

  founded(&use);
  for (i = 0; i < n; i++) {
    REQUIRE(mp_proc_open(&p[i], NULL, 0) == 0);
    rc = mp_proc_fork(p[i]);
    REQUIRE(rc >= 0);
    if (rc == 0) {
      while (pause() < 0)
        ;
      mp_exit(1);
    }
  }
  for (i = 0; i < n; i += 7)
    CHECK_EQ(mp_proc_alive(p[i]), 1);
  CHECK(check_arena("with all", &now));
  CHECK_EQ(now.seats, n + 1);
  for (i = 0; i < n; i++)
    CHECK_EQ(mp_proc_signal(p[i], i & 1 ? SIGKILL : SIGTERM), 0);
  for (i = 0; i < n; i++) {
    CHECK_EQ(join_until(p[i], in_ms(5000)), 0);
    CHECK_EQ(code_of(p[i]), i & 1 ? -SIGKILL : -SIGTERM);
    mp_ref_close(&p[i]);
  }
  left(&use);
}
