/* armed_test.c -- the wait for a child that no signal slips past: one that is
 * handled before it, at its very instruction, and within. */
#include "crew.h"
#include "sys.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/user.h>

static volatile sig_atomic_t handled;

static void note(int sig) {
  (void)sig;
  handled++;
}

static void handle(int flags) {
  struct sigaction sa;

  memset(&sa, 0, sizeof sa);
  sa.sa_handler = note;
  sa.sa_flags = flags;
  REQUIRE(sigaction(SIGUSR1, &sa, NULL) == 0);
  handled = 0;
}

/* It may have been put off its CPU since. */
static void arm(void) {
  if (!mp__sys_arm())
    test_skip("no armed waits here");
}

/* A child that lives until the test ends it. */
static pid_t idle_child(void) {
  pid_t pid = test_fork();

  if (pid == 0)
    for (;;)
      pause();
  return pid;
}

static void end(pid_t pid) {
  REQUIRE(kill(pid, SIGKILL) == 0);
  CHECK_EQ(test_wait(pid), SIGKILL);
}

static int wait_armed(pid_t pid, int *status) {
  return mp__sys_wait(pid, 0, MP__WAIT_ARMED, status);
}

TEST(of_a_child_that_ends) {
  int status = -1, rc;
  pid_t pid = test_fork();

  if (pid == 0)
    _exit(3);
  do {
    arm();
    rc = wait_armed(pid, &status);
  } while (rc == -EINTR);
  CHECK_EQ(rc, 1);
  CHECK_EQ(status, 3 << 8);
  CHECK(!mp__sys_armed());
}

TEST(not_without_being_armed) {
  pid_t pid = idle_child();
  int status;

  CHECK(!mp__sys_armed());
  CHECK_EQ(wait_armed(pid, &status), -EINTR);
  end(pid);
}

static void *nothing(void *arg) {
  return arg;
}

/* A second thread may handle what is ours. */
TEST(not_beside_a_thread) {
  pid_t pid = idle_child();
  pthread_t thread;
  int status;

  arm();
  REQUIRE(pthread_create(&thread, NULL, nothing, NULL) == 0);
  CHECK(!mp__sys_armed());
  CHECK(!mp__sys_arm());
  CHECK_EQ(wait_armed(pid, &status), -EINTR);
  REQUIRE(pthread_join(thread, NULL) == 0);
  end(pid);
}

static void handled_before(int flags) {
  pid_t pid = idle_child();
  int status;

  handle(flags);
  arm();
  REQUIRE(raise(SIGUSR1) == 0);
  CHECK_EQ(handled, 1);
  CHECK(!mp__sys_armed());
  CHECK_EQ(wait_armed(pid, &status), -EINTR);
  end(pid);
}

TEST(a_signal_handled_before_it) {
  handled_before(0);
}

TEST(one_that_restarts_calls_before_it) {
  handled_before(SA_RESTART);
}

/* Of a child: signal the parent once that sleeps, and live on. */
static _Noreturn void signal_sleeper(pid_t parent) {
  uint64_t start;
  char state;

  do
    usleep(1000);
  while (mp__sys_procstat(parent, &state, &start) == 0 && state != 'S');
  (void)kill(parent, SIGUSR1);
  for (;;)
    pause();
}

static void handled_within(int flags) {
  int status, rc;
  pid_t self = getpid();
  pid_t pid;

  handle(flags);
  pid = test_fork();
  if (pid == 0)
    signal_sleeper(self);
  do {
    arm();
    rc = wait_armed(pid, &status);
  } while (rc == -EINTR && !handled);
  CHECK_EQ(rc, -EINTR);
  CHECK_EQ(handled, 1);
  end(pid);
}

TEST(a_signal_within_it) {
  handled_within(0);
}

TEST(one_that_restarts_calls_within_it) {
  handled_within(SA_RESTART);
}

/* The whole of it, as a program does: a signal comes while its join sleeps, and
 * the next sees the end. */
TEST(by_a_join) {
  pid_t self = getpid();
  mp_ref p;
  int rc;

  handle(SA_RESTART);
  REQUIRE(mp_enter() == 0);
  REQUIRE(mp_proc_open(&p, NULL, 0) == 0);
  rc = mp_proc_fork(p);
  REQUIRE(rc >= 0);
  if (rc == 0)
    signal_sleeper(self);
  do {
    (void)mp_arm();
    rc = mp_proc_join(p, MP_FOREVER);
  } while (rc == -EINTR && !handled);
  CHECK_EQ(rc, -EINTR);
  REQUIRE(kill(mp_proc_pid(p), SIGKILL) == 0);
  do {
    (void)mp_arm();
    rc = mp_proc_join(p, MP_FOREVER);
  } while (rc == -EINTR);
  CHECK_EQ(rc, 0);
  CHECK_EQ(mp_proc_exitcode(p, &rc), 1);
  CHECK_EQ(rc, -SIGKILL);
  mp_ref_close(&p);
  check_leave();
}

#if defined(__x86_64__) && defined(__LP64__)

#define BREAKPOINT 0xcc
#define CALL_BYTES 2 /* of the instruction */

/* version and flags, start, length, abort */
extern const uint64_t mp__sequence[];

/* Let the child run up to that instruction. */
static void run_up_to(pid_t pid, uint64_t at) {
  struct user_regs_struct regs;
  int status;
  long word = ptrace(PTRACE_PEEKTEXT, pid, at, NULL);

  REQUIRE(ptrace(PTRACE_POKETEXT, pid, at, (word & ~0xffL) | BREAKPOINT) == 0);
  REQUIRE(ptrace(PTRACE_CONT, pid, NULL, NULL) == 0);
  REQUIRE(waitpid(pid, &status, 0) == pid);
  REQUIRE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
  REQUIRE(ptrace(PTRACE_POKETEXT, pid, at, word) == 0);
  REQUIRE(ptrace(PTRACE_GETREGS, pid, NULL, &regs) == 0);
  regs.rip = at;
  REQUIRE(ptrace(PTRACE_SETREGS, pid, NULL, &regs) == 0);
}

static void handled_at_the_call(int flags) {
  int status;
  pid_t pid;

  arm(); /* or skip */
  pid = test_fork();
  if (pid == 0) {
    pid_t idle = idle_child();
    int rc = 0;

    handle(flags);
    REQUIRE(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
    REQUIRE(raise(SIGSTOP) == 0);
    while (!handled) {
      arm();
      rc = wait_armed(idle, &status);
    }
    CHECK_EQ(rc, -EINTR);
    end(idle);
    test_exit();
  }
  REQUIRE(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
  run_up_to(pid, mp__sequence[1] + mp__sequence[2] - CALL_BYTES);
  REQUIRE(ptrace(PTRACE_DETACH, pid, NULL, SIGUSR1) == 0);
  test_join(pid);
}

TEST(a_signal_at_the_very_call) {
  handled_at_the_call(0);
}

TEST(one_that_restarts_calls_at_the_very_call) {
  handled_at_the_call(SA_RESTART);
}

#endif
