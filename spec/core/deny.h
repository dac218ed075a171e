/* deny.h -- system calls that fail, in the process of a test.
 *
 * deny() is for good, and holds for threads, children and programs that are
 * run, too.  deny_nth() counts, and may be lifted: a filter of the kernel's
 * raises SIGSYS, whose handler either answers with the error or makes the call
 * itself (known to the filter by its sixth argument).  So it is for calls that
 * do not look at six arguments, are not made with all signals blocked, and do
 * not start a process; and the process runs no other program.
 */
#ifndef DENY_H
#define DENY_H

#include "test.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

#define DENY_OWN 0x6d700000L /* the sixth argument; also an offset of mmap */
#define DENY_ANY 0           /* for deny_nth: all of them */

/* What the C library calls for open, epoll_wait, and how often for a descriptor
 * from F_DUPFD_CLOEXEC. */
#ifdef __GLIBC__
#define DENY_OPEN SYS_openat
#define DENY_EPOLL SYS_epoll_wait
#define DENY_FCNTLS 1
#else
#ifdef SYS_open
#define DENY_OPEN SYS_open
#else
#define DENY_OPEN SYS_openat
#endif
#define DENY_EPOLL SYS_epoll_pwait
#define DENY_FCNTLS 2
#endif

static struct deny {
  long nr;
  int error;
  int left; /* calls until it fails; < 0: none does */
  int each; /* the others, too */
  int filtered;
} deny_list[8];

static volatile int deny_hits; /* calls that deny_nth made fail */

#ifdef __SANITIZE_ADDRESS__
/* The thread that looks for leaks has all signals blocked: such a call there
 * would kill it, and we would wait for it. */
__attribute__((visibility("default"))) int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) {
  return deny_list[0].filtered;
}
#endif

static inline void deny_filter(struct sock_filter *code, unsigned short n) {
  struct sock_fprog filter = {n, code};

  REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

#define DENY_ARG(i) ((uint32_t)offsetof(struct seccomp_data, args[i]))
#define DENY_LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(at))
#define DENY_UNLESS(value, skip)                                               \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, skip)
#define DENY_RETURN(what) BPF_STMT(BPF_RET | BPF_K, (uint32_t)(what))

/* The call fails from now on. */
static inline void deny(long nr, int error) {
  struct sock_filter code[] = {DENY_LOAD(offsetof(struct seccomp_data, nr)),
                               DENY_UNLESS(nr, 1),
                               DENY_RETURN(SECCOMP_RET_ERRNO | (uint32_t)error),
                               DENY_RETURN(SECCOMP_RET_ALLOW)};

  deny_filter(code, sizeof code / sizeof *code);
}

/* It does when the low half of its n-th argument (from 0) is this. */
static inline void deny_if(long nr, unsigned n, uint32_t value, int error) {
  struct sock_filter code[] = {DENY_LOAD(offsetof(struct seccomp_data, nr)),
                               DENY_UNLESS(nr, 3),
                               DENY_LOAD(DENY_ARG(n)),
                               DENY_UNLESS(value, 1),
                               DENY_RETURN(SECCOMP_RET_ERRNO | (uint32_t)error),
                               DENY_RETURN(SECCOMP_RET_ALLOW)};

  deny_filter(code, sizeof code / sizeof *code);
}

/* The handler */

/* 1 if this one is to fail */
static inline int deny_counts(struct deny *d) {
  if (d->left < 0 || (d->left > 0 && --d->left > 0))
    return 0;
  if (d->left == 0 && !d->each)
    d->left = -1;
  deny_hits++;
  return 1;
}

static inline void deny_on_sigsys(int sig, siginfo_t *si, void *context) {
  ucontext_t *uc = context;
  int keep = errno;
  struct deny *d = deny_list;
  long rc;
#if defined(__x86_64__)
  greg_t *r = uc->uc_mcontext.gregs;
  long a[] = {r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8]};
  greg_t *result = &r[REG_RAX];
#elif defined(__aarch64__)
  unsigned long long *r = uc->uc_mcontext.regs;
  long a[] = {(long)r[0], (long)r[1], (long)r[2], (long)r[3], (long)r[4]};
  unsigned long long *result = r;
#else
#error "which registers have the arguments?"
#endif

  (void)sig;
  while (d->nr != si->si_syscall)
    d++;
  rc = -d->error;
  if (!deny_counts(d)) {
    rc = syscall(d->nr, a[0], a[1], a[2], a[3], a[4], DENY_OWN);
    if (rc < 0)
      rc = -errno;
  }
  *result = (__typeof__(*result))rc;
  errno = keep;
}

/* The n-th call from now on fails (1: the next), or each (DENY_ANY). */
static inline void deny_nth(long nr, int n, int error) {
  struct sigaction sa = {.sa_flags = SA_SIGINFO | SA_NODEFER};
  struct sock_filter code[] = {DENY_LOAD(offsetof(struct seccomp_data, nr)),
                               DENY_UNLESS(nr, 2),
                               DENY_LOAD(DENY_ARG(5)),
                               DENY_UNLESS(DENY_OWN, 1),
                               DENY_RETURN(SECCOMP_RET_ALLOW),
                               DENY_RETURN(SECCOMP_RET_TRAP)};
  struct deny *d = deny_list;

  while (d->filtered && d->nr != nr)
    d++;
  REQUIRE(d < deny_list + 8);
  *d = (struct deny){nr, error, n, n == DENY_ANY, d->filtered};
  deny_hits = 0;
  if (d->filtered)
    return;
  sa.sa_sigaction = deny_on_sigsys;
  REQUIRE(sigaction(SIGSYS, &sa, NULL) == 0);
  d->filtered = 1;
  deny_filter(code, sizeof code / sizeof *code);
}

/* It works again. */
static inline void allow(long nr) {
  deny_nth(nr, -1, 0);
}

#endif
