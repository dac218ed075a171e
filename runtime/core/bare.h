/* bare.h -- what spares a forked child its page faults.
 *
 * Each page of code or data that nobody has touched there is one, and those are
 * what starting a process costs.  So its functions lie side by side (MP__NEAR),
 * and make system calls without the C library.  On other machines than these
 * two it is the C library's function; either way the result is >= 0 or -errno.
 */
#ifndef MP_BARE_H
#define MP_BARE_H

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of a function that a child runs beside its work: into a part of the program
 * that the linker keeps together. */
#define MP__NEAR __attribute__((hot))

static inline long mp__bare(long nr, long a, long b, long c, long d) {
#if defined(__x86_64__) && defined(__LP64__)
  register long r10 __asm__("r10") = d;
  long rc;

  __asm__ volatile("syscall"
                   : "=a"(rc)
                   : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
                   : "rcx", "r11", "memory");
  return rc;
#elif defined(__aarch64__) && defined(__LP64__)
  register long x8 __asm__("x8") = nr;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;

  __asm__ volatile("svc 0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3)
                   : "memory");
  return x0;
#else
  int keep = errno;
  long rc = syscall(nr, a, b, c, d);

  rc = rc < 0 ? -errno : rc;
  errno = keep;
  return rc;
#endif
}

#endif
