/* test.h -- the harness of the C tests; one file is one program.
 *
 * TEST(name) { ... } defines a test; all are run in the order of the file, or
 * those whose names contain one of the program's arguments.  Each runs in a
 * process (and process group) of its own.  It fails when a check fails, when
 * it dies, when it takes longer than TEST_SECONDS (its whole group is then
 * killed), and when it leaves another number of descriptors than it found,
 * or a child.  The last line is "N passed, N failed".
 *
 * CHECK and CHECK_EQ go on after a failure and return whether all was well;
 * REQUIRE ends the process.  All three also work in a child that test_fork
 * made: test_join fails when one of the child's checks did.
 *
 * test_skip(why) ends a test that cannot be done here; skipped ones are
 * counted, too: "N passed, N failed, N skipped".
 */
#ifndef TEST_H
#define TEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEST_SECONDS 10
#define TEST_REPORTS 20 /* failed checks that are printed, per process */

struct test {
  const char *name;
  void (*run)(void);
  unsigned seconds;
  struct test *next;
};

static struct test *test_first;
static struct test **test_last = &test_first;
static const char *test_name = "?"; /* of the running one */
static unsigned test_failures;      /* of this process */
static volatile sig_atomic_t test_late;

#define TEST(name) TEST_LIMIT(name, TEST_SECONDS)
#define TEST_LIMIT(name, limit)                                                \
  static void test_run_##name(void);                                           \
  __attribute__((constructor)) static void test_add_##name(void) {             \
    static struct test t = {#name, test_run_##name, limit, NULL};              \
    *test_last = &t;                                                           \
    test_last = &t.next;                                                       \
  }                                                                            \
  static void test_run_##name(void)

#define CHECK(cond) test_check(!!(cond), __FILE__, __LINE__, #cond)
#define CHECK_EQ(a, b)                                                         \
  test_equal((long long)(a), (long long)(b), __FILE__, __LINE__, #a " == " #b)
#define REQUIRE(cond) ((void)(CHECK(cond) || (exit(1), 0)))

static inline int test_check(int good, const char *file, int line,
                             const char *what) {
  if (!good && test_failures++ < TEST_REPORTS)
    printf("%s:%d: %s: failed: %s\n", file, line, test_name, what);
  return good;
}

static inline int test_equal(long long a, long long b, const char *file,
                             int line, const char *what) {
  if (a != b && test_failures++ < TEST_REPORTS)
    printf("%s:%d: %s: failed: %s (%lld, %lld)\n", file, line, test_name, what,
           a, b);
  return a == b;
}

enum { TEST_SKIPPED = 77 };

static inline _Noreturn void test_skip(const char *why) {
  printf("%s: skipped: %s\n", test_name, why);
  exit(TEST_SKIPPED);
}

/* The test's own children */

/* As fork; the child has no failures of its own yet. */
static inline pid_t test_fork(void) {
  pid_t pid = fork();

  REQUIRE(pid >= 0);
  if (pid == 0)
    test_failures = 0;
  return pid;
}

/* How a child of test_fork ends. */
static inline _Noreturn void test_exit(void) {
  _exit(test_failures > 0);
}

static inline int test_wait(pid_t pid) {
  int status = -1;

  while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
    ;
  return status;
}

#define test_join(pid) CHECK_EQ(test_wait(pid), 0)

/* The leak guard */

static inline int test_count_fds(void) {
  DIR *dir = opendir("/proc/self/fd");
  int n = 0;

  if (!dir)
    return -1;
  while (readdir(dir))
    n++;
  closedir(dir);
  return n;
}

/* 1 if there is a child, be it alive or a zombie, with or without a signal */
static inline int test_has_child(void) {
  siginfo_t info;
  int rc;

  do
    rc = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL);
  while (rc < 0 && errno == EINTR);
  return rc == 0;
}

/* Running */

static inline _Noreturn void test_child(const struct test *t) {
  int fds = test_count_fds();

  (void)setpgid(0, 0);
  (void)signal(SIGALRM, SIG_DFL);
  t->run();
  if (test_count_fds() != fds)
    test_check(0, t->name, 0, "as many descriptors as before");
  if (test_has_child())
    test_check(0, t->name, 0, "no children left");
  exit(test_failures > 0);
}

static inline void test_on_alarm(int sig) {
  (void)sig;
  test_late = 1;
}

static inline unsigned test_option(const char *name, unsigned otherwise) {
  const char *value = getenv(name);
  int n = value ? atoi(value) : 0;

  return n > 0 ? (unsigned)n : otherwise;
}

/* Do we run under valgrind (TEST_MEMCHECK=1)?  It answers some system calls
 * itself, is slow to fork, and has no CPU for a second thread. */
static inline int test_memcheck(void) {
  return test_option("TEST_MEMCHECK", 0) != 0;
}

/* TEST_SLOWER=n gives each test n times as long (valgrind), TEST_MOST=n no
 * more than n seconds (mutants). */
static inline unsigned test_limit(const struct test *t) {
  unsigned seconds = t->seconds * test_option("TEST_SLOWER", 1);
  unsigned most = test_option("TEST_MOST", seconds);

  return seconds < most ? seconds : most;
}

/* TEST_SKIP='name name': those that cannot be run as we are (valgrind). */
static inline int test_left_out(const struct test *t) {
  const char *all = getenv("TEST_SKIP");
  const char *list = all;
  size_t len = strlen(t->name);

  while (list && (list = strstr(list, t->name))) {
    if ((list == all || list[-1] == ' ') &&
        (list[len] == ' ' || list[len] == '\0'))
      return 1;
    list += len;
  }
  return 0;
}

/* 1 if it passed, TEST_SKIPPED */
static inline int test_one(const struct test *t) {
  int status = 0;
  pid_t pid;

  test_name = t->name;
  test_late = 0;
  pid = fork();
  if (pid == 0)
    test_child(t);
  if (pid < 0)
    return 0;
  (void)setpgid(pid, pid);
  alarm(test_limit(t));
  while (waitpid(pid, &status, 0) < 0 && !test_late)
    ;
  alarm(0);
  (void)kill(-pid, SIGKILL); /* also what outlived the test */
  if (test_late) {
    printf("%s: failed: took longer than %u s\n", t->name, test_limit(t));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
      ;
    return 0;
  }
  if (WIFSIGNALED(status))
    printf("%s: failed: killed by signal %d\n", t->name, WTERMSIG(status));
  else if (WEXITSTATUS(status) == TEST_SKIPPED)
    return TEST_SKIPPED;
  else if (WEXITSTATUS(status) > 1)
    printf("%s: failed: status %d\n", t->name, WEXITSTATUS(status));
  return status == 0;
}

static inline int test_chosen(const struct test *t, int argc, char **argv) {
  int i;

  for (i = 1; i < argc; i++)
    if (strstr(t->name, argv[i]))
      return 1;
  return argc < 2;
}

int main(int argc, char **argv) {
  struct sigaction late = {.sa_handler = test_on_alarm}; /* no SA_RESTART */
  unsigned counts[3] = {0, 0, 0}; /* failed, passed, skipped */
  const struct test *t;
  int good;

  (void)setvbuf(stdout, NULL, _IOLBF, 0);
  (void)sigaction(SIGALRM, &late, NULL);
  for (t = test_first; t; t = t->next) {
    if (counts[0] > 0 && test_option("TEST_FIRST", 0))
      break; /* the first failure is enough */
    if (!test_chosen(t, argc, argv) || test_left_out(t))
      continue;
    good = test_one(t);
    counts[good == TEST_SKIPPED ? 2 : good]++;
  }
  printf("%u passed, %u failed", counts[1], counts[0]);
  if (counts[2] > 0)
    printf(", %u skipped", counts[2]);
  (void)putchar('\n');
  return counts[0] > 0;
}

#endif
