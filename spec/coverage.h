/* coverage.h -- included into every file of FLAVOUR=cov: whoever ends without
 * exit() writes down what it has covered, too.
 *
 * That is who leaves by _exit or by the bare system call, and who kills
 * itself.  What one had covered that somebody else killed is lost.
 *
 * libgcov writes down before an exec as well, and not once more afterwards;
 * but whoever calls it in the core (spawn.c) does so in the memory of its
 * parent, which goes on and has more to write.  So exec is a system call here.
 */
#ifndef COVERAGE_H
#define COVERAGE_H

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

void __gcov_dump(void);

/* Before the end: limits that a test has set are not for this. */
static inline void coverage_dump(void) {
  static const int limits[] = {RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_AS};
  struct rlimit lim;
  int i;

  for (i = 0; i < 3; i++)
    if (getrlimit(limits[i], &lim) == 0) {
      lim.rlim_cur = lim.rlim_max;
      (void)setrlimit(limits[i], &lim);
    }
  __gcov_dump();
}

static inline _Noreturn void coverage_exit(int code) {
  coverage_dump();
  _exit(code);
}

static inline int coverage_raise(int sig) {
  if (sig == SIGKILL)
    coverage_dump();
  return raise(sig);
}

static inline int coverage_kill(pid_t pid, int sig) {
  if (pid == getpid() && sig == SIGKILL)
    coverage_dump();
  return kill(pid, sig);
}

static inline int coverage_execv(const char *path, char *const argv[]) {
  return (int)syscall(SYS_execve, path, argv, environ);
}

#define _exit(code) coverage_exit(code)
#define raise(sig) coverage_raise(sig)
#define kill(pid, sig) coverage_kill(pid, sig)
#define execv(path, argv) coverage_execv(path, argv)

/* In the place of bare.h. */
#define MP_BARE_H

static inline long mp__bare(long nr, long a, long b, long c, long d) {
  long rc;

  if (nr == SYS_exit_group)
    coverage_dump();
  rc = syscall(nr, a, b, c, d);
  return rc < 0 ? -errno : rc;
}

#endif
