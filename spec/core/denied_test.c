/* denied_test.c -- processes where the system says no: calls of clone, of
 * pidfds, of robust lists that fail, and tickets that are none.
 */
#include "deny.h"
#include "joiner.h"

#include "sys.h"

#include <poll.h>
#include <sys/prctl.h>

#define PR_TID_ADDRESS 40 /* PR_GET_TID_ADDRESS */

/* Each in a child: what is denied is so for good. */
static void in_a_child(void (*run)(void)) {
  pid_t pid = test_fork();

  if (pid == 0) {
    run();
    test_exit();
  }
  test_join(pid);
}

static int code_of(mp_ref p) {
  int code = 1000;

  CHECK_EQ(mp_proc_exitcode(p, &code), 1);
  return code;
}

static void ends_with(enum mp_method how, char what, int n, int code) {
  mp_ref p;

  CHECK_EQ(start_plan(&p, how, what, n, NULL, 0), 0);
  CHECK_EQ(join_until(p, in_ms(5000)), 0);
  CHECK_EQ(code_of(p), code);
  mp_ref_close(&p);
}

/* A child that waits is not over, and is when it was killed. */
static void waits_and_is_killed(enum mp_method how) {
  mp_ref p;

  REQUIRE(start_plan(&p, how, 'w', 0, NULL, 0) == 0);
  CHECK_EQ(join_until(p, in_ms(20)), -MP_ETIMEOUT);
  CHECK_EQ(mp_proc_alive(p), 1);
  CHECK_EQ(mp_proc_signal(p, SIGKILL), 0);
  CHECK_EQ(join_until(p, in_ms(5000)), 0);
  CHECK_EQ(code_of(p), -SIGKILL);
  mp_ref_close(&p);
}

static void all_works(void) {
  struct check_use use;

  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", &use));
  ends_with(MP_FORK, 'e', 3, 3);
  ends_with(MP_FORK, 'k', SIGTERM, -SIGTERM);
  waits_and_is_killed(MP_FORK);
#if !TEST_TSAN
  ends_with(MP_SPAWN, 'e', 4, 4);
  ends_with(MP_FORKSERVER, 'e', 5, 5);
  waits_and_is_killed(MP_FORKSERVER);
#endif
  CHECK_EQ(finish(), 0);
  CHECK(!test_has_child());
  CHECK(check_same("in the end", &use));
  check_leave();
}

/* The older call, and the C library's own fork. */

static void without_clone3(void) {
  deny(SYS_clone3, ENOSYS);
  all_works();
}

static void without_the_right_to_clone3(void) {
  deny(SYS_clone3, EPERM);
  all_works();
}

/* As with musl: forkserver starts as spawn does. */
static void without_the_address_of_the_thread_s_id(void) {
  deny_if(SYS_prctl, 0, PR_TID_ADDRESS, EINVAL);
  all_works();
}

TEST_LIMIT(other_ways_to_fork, 30) {
  in_a_child(without_clone3);
  in_a_child(without_the_right_to_clone3);
  in_a_child(without_the_address_of_the_thread_s_id);
}

static void no_fork_at_all(void) {
  mp_ref p;

  REQUIRE(mp_enter() == 0);
  REQUIRE(mp_proc_open(&p, NULL, 0) == 0);
  deny(SYS_clone3, EPERM);
  deny(SYS_clone, EAGAIN);
  CHECK_EQ(mp_proc_fork(p), -EAGAIN);
  CHECK_EQ(mp_proc_state(p), MP_NEW);
  CHECK_EQ(mp_proc_spawn(p, joiner_argv), -EAGAIN);
  CHECK_EQ(mp_proc_state(p), MP_NEW);
  mp_ref_close(&p);
  check_leave();
}

/* The kernel wipes no page in a child: our own know who they are, and the C
 * library tells of its forks. */
static void nothing_is_wiped(void) {
  pid_t pid;

  deny(SYS_madvise, ENOMEM);
  REQUIRE(mp_enter() == 0);
  pid = test_fork();
  if (pid == 0) {
    CHECK(!mp_entered());
    CHECK_EQ(mp_enter(), 0);
    CHECK_EQ(mp_proc_pid(mp_proc_self()), getpid());
    test_exit();
  }
  test_join(pid);
  all_works();
}

TEST(a_fork_without_a_page_that_tells) {
  in_a_child(nothing_is_wiped);
}

TEST(no_way_to_fork) {
  in_a_child(no_fork_at_all);
}

/* Without the kernel's list nobody is told of a death: one looks. */
static void without_robust_lists(void) {
  deny(SYS_get_robust_list, ENOSYS);
  all_works();
}

static void a_lock_of_one_whom_nobody_tells_of(void) {
  mp_ref p, lock;
  int rc;

  deny(SYS_get_robust_list, ENOSYS);
  REQUIRE(mp_enter() == 0);
  REQUIRE(mp_mutex_open(&lock, 0) == 0);
  REQUIRE(mp_proc_open(&p, NULL, 0) == 0);
  rc = mp_proc_fork(p);
  REQUIRE(rc >= 0);
  if (rc == 0) {
    (void)mp_mutex_acquire(lock, MP_FOREVER);
    (void)raise(SIGKILL);
  }
  CHECK_EQ(join_until(p, in_ms(5000)), 0);
  do
    rc = mp_mutex_acquire(lock, in_ms(5000));
  while (rc == -EINTR);
  CHECK_EQ(rc, MP_EABANDONED);
  CHECK_EQ(mp_mutex_release(lock), 0);
  mp_ref_close(&p);
  mp_ref_close(&lock);
  check_leave();
}

TEST_LIMIT(deaths_that_nobody_tells, 30) {
  in_a_child(without_robust_lists);
  in_a_child(a_lock_of_one_whom_nobody_tells_of);
}

/* Neither a list nor a descriptor: a parent looks after its child. */
static void without_descriptors(void) {
  struct check_use use;
  mp_ref p;

  deny(SYS_get_robust_list, ENOSYS);
  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", &use));
  deny_nth(SYS_pidfd_open, DENY_ANY, EMFILE);
  ends_with(MP_FORK, 'e', 3, 3);
  REQUIRE(start_plan(&p, MP_FORK, 'w', 0, NULL, 0) == 0);
  CHECK_EQ(join_until(p, in_ms(20)), -MP_ETIMEOUT);
  CHECK_EQ(mp_proc_fd(p), -EMFILE);
  REQUIRE(kill(mp_proc_pid(p), SIGKILL) == 0);
  CHECK_EQ(join_until(p, in_ms(5000)), 0);
  CHECK_EQ(code_of(p), -SIGKILL);
  mp_ref_close(&p);
  CHECK(check_same("in the end", &use));
  check_leave();
}

TEST(a_parent_without_descriptors_looks) {
  in_a_child(without_descriptors);
}

/* One that cannot be looked at is not dead for that. */
static void without_looks(void) {
  struct mp__slot *s;
  int unborn;
  mp_ref p;

  REQUIRE(mp_enter() == 0);
  REQUIRE(start_plan(&p, MP_FORK, 'w', 0, NULL, 0) == 0);
  s = mp__at(MP_REF_ID(p));
  while (!mp__life_begun(s))
    mp__sys_yield();
  deny(DENY_OPEN, EMFILE);
  CHECK_EQ(mp__slot_verify(s), 0);
  CHECK_EQ(mp__slot_verify(mp__me()), 0);
  mp__store64_rlx(&MP__HEAD->verified, 0); /* all are due */
  CHECK_EQ(mp__scan_at(mp_now(), &unborn), 0);
  CHECK(mp_proc_alive(p));
  REQUIRE(kill(mp_proc_pid(p), SIGKILL) == 0);
  CHECK_EQ(join_until(p, in_ms(5000)), 0);
  CHECK_EQ(code_of(p), -SIGKILL);
  mp_ref_close(&p);
  check_leave();
}

TEST(one_that_cannot_be_looked_at) {
  in_a_child(without_looks);
}

/* A daemon that could not be tied to its parent does not run at all. */
static void without_a_tie(void) {
  mp_ref p;

  REQUIRE(mp_enter() == 0);
  deny_if(SYS_prctl, 0, PR_SET_PDEATHSIG, EPERM);
  REQUIRE(start_plan(&p, MP_FORK, 'w', 0, NULL, MP_PROC_DAEMON) == 0);
  CHECK_EQ(join_until(p, in_ms(5000)), 0);
  CHECK_EQ(code_of(p), 1);
  mp_ref_close(&p);
#if !TEST_TSAN
  REQUIRE(start_plan(&p, MP_SPAWN, 'w', 0, NULL, MP_PROC_DAEMON) == 0);
  CHECK_EQ(join_until(p, in_ms(5000)), 0);
  CHECK_EQ(code_of(p), 1);
  mp_ref_close(&p);
#endif
  check_leave();
}

TEST(a_daemon_without_a_tie_does_not_run) {
  in_a_child(without_a_tie);
}

TEST(a_command_line_that_is_too_long) {
  const char *argv[100];
  mp_ref p;
  int i;

  REQUIRE(mp_enter() == 0);
  REQUIRE(mp_proc_open(&p, NULL, 0) == 0);
  for (i = 0; i < 99; i++)
    argv[i] = "x";
  argv[99] = NULL;
  CHECK_EQ(mp_proc_spawn(p, argv), -E2BIG);
  CHECK_EQ(mp_proc_state(p), MP_NEW);
  mp_ref_close(&p);
  check_leave();
}

/* Tickets: whoever comes with one that is none is not let in. */

static void bad_tickets(void) {
  char ticket[60];
  int fd;

  CHECK_EQ(mp_join(""), -EINVAL);
  CHECK_EQ(mp_join("1,2,3,4,5"), -EINVAL);
  CHECK(mp_join("-1,-1,-1,-1,1,1") < 0);
  fd = mp__sys_memfd("no family"); /* of another version */
  REQUIRE(fd >= 0 && mp__sys_fallocate(fd, 0, 1 << 20) == 0);
  (void)snprintf(ticket, sizeof ticket, "%d,-1,-1,-1,1,1", fd);
  CHECK_EQ(mp_join(ticket), -MP_EVERSION);
  CHECK_EQ(mp_entered(), 0);
}

/* With the descriptors of a family, but not a seat of one's own. */
static void no_seat(const int fd[3], unsigned index, unsigned long long gen) {
  char ticket[90];

  (void)snprintf(ticket, sizeof ticket, "%d,%d,%d,-1,%u,%llu", fd[0], fd[1],
                 fd[2], index, gen);
  CHECK_EQ(mp_join(ticket), -MP_EDAMAGED);
}

static void come_with(int sock, unsigned index, unsigned long long gen) {
  int fd[3], i;

  for (i = 0; i < 3; i++) {
    REQUIRE(mp__sys_poll1(sock, POLLIN, in_ms(5000)) == 1);
    fd[i] = mp__sys_recv_fd(sock);
    REQUIRE(fd[i] >= 0);
  }
  no_seat(fd, index, gen);
}

TEST(tickets_that_are_none) {
  /* No seat, none yet, another life of one, one that is taken. */
  static const unsigned seats[][2] = {{0, 1}, {9999, 1}, {1, 77}, {1, 1}};
  enum { N = sizeof seats / sizeof *seats };
  int pair[N][2], i;
  pid_t pid[N];

  in_a_child(bad_tickets);
  for (i = 0; i < N; i++) { /* from before the family */
    REQUIRE(mp__sys_socketpair(pair[i]) == 0);
    pid[i] = test_fork();
    if (pid[i] == 0) {
      come_with(pair[i][1], seats[i][0], seats[i][1]);
      test_exit();
    }
  }
  REQUIRE(mp_enter() == 0);
  for (i = 0; i < N; i++) {
    CHECK_EQ(mp__sys_send_fd(pair[i][0], mp__here.memfd), 0);
    CHECK_EQ(mp__sys_send_fd(pair[i][0], mp__here.vault[0]), 0);
    CHECK_EQ(mp__sys_send_fd(pair[i][0], mp__here.vault[1]), 0);
    test_join(pid[i]);
    mp__sys_close(pair[i][0]);
    mp__sys_close(pair[i][1]);
  }
  CHECK(check_arena("after all", NULL));
  check_leave();
}

/* Bells */

static int readable(int fd) {
  struct pollfd p = {fd, POLLIN, 0};

  return poll(&p, 1, 0) == 1;
}

static int send_one(mp_ref end) {
  struct mp_iov iov = {"x", 1};
  struct mp_out out = {&iov, 1, 0, NULL};

  return mp_pipe_send(end, &out, MP_NOW);
}

/* The receiver has its bell's descriptor, and needs no other to ring it; a
 * sender that could not get one rings when it next waits, or lets go. */
static void bells(void) {
  struct mp_ready r = MP_READY_EMPTY;
  struct check_use use;
  struct mp_msg m = MP_MSG_EMPTY;
  char scratch[MP_INLINE_MAX];
  mp_ref a, b, other;

  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", &use));
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  REQUIRE(mp_pipe_ready(b, &r) > 2);
  CHECK_EQ(send_one(a), 0);
  deny_nth(SYS_recvmsg, DENY_ANY, ENOMEM);
  mp_pipe_rearm(b, &r);
  CHECK(readable(r.fd));
  CHECK_EQ(mp_pipe_recv(b, &m, scratch, MP_NOW), 0);
  mp_msg_close(&m);
  mp_pipe_rearm(b, &r);
  CHECK(!readable(r.fd));
  CHECK_EQ(send_one(a), 0);
  CHECK(!readable(r.fd));
  allow(SYS_recvmsg);
  REQUIRE(mp_ref_dup(a, &other) == 0);
  mp_ref_close(&other);
  CHECK(readable(r.fd));
  mp_ready_close(&r);
  mp_ref_close(&a);
  mp_ref_close(&b);
  CHECK(check_same("in the end", &use));
}

TEST(bells_without_descriptors) {
  in_a_child(bells);
}
