/* futex.c -- owns the three futex calls, with an absolute deadline.
 *
 * The words lie in a shared mapping, so none of the calls is private.  A wake
 * cannot fail in a way that matters: a word that is gone has no sleepers.
 */
#include "mp.h"

#include "futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

#define SIZE_U32 2 /* FUTEX2_SIZE_U32; newer than some headers */

/* The kernel's struct futex_waitv. */
struct kernel_waitv {
  uint64_t val;
  uint64_t uaddr;
  uint32_t flags;
  uint32_t reserved;
};

static struct timespec *absolute(struct timespec *ts, int64_t deadline) {
  if (deadline == MP_FOREVER)
    return NULL;
  ts->tv_sec = (time_t)(deadline / 1000000000);
  ts->tv_nsec = (long)(deadline % 1000000000);
  return ts;
}

static int outcome(long rc) {
  if (rc >= 0)
    return 0;
  if (errno == EAGAIN)
    return 0;
  return errno == ETIMEDOUT ? -MP_ETIMEOUT : -errno;
}

int mp__futex_wait(uint32_t *word, uint32_t val, int64_t deadline) {
  struct timespec ts;

  return outcome(syscall(SYS_futex, word, FUTEX_WAIT_BITSET, val,
                         absolute(&ts, deadline), NULL,
                         FUTEX_BITSET_MATCH_ANY));
}

void mp__futex_wake(uint32_t *word, int n) {
  (void)syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);
}

int mp__futex_waitv(const struct mp__waitv *list, unsigned n,
                    int64_t deadline) {
  struct kernel_waitv v[MP__WAITV_MAX];
  struct timespec ts;
  unsigned i;
  int rc;

  for (i = 0; i < n; i++) {
    v[i].val = list[i].val;
    v[i].uaddr = (uint64_t)(uintptr_t)list[i].word;
    v[i].flags = SIZE_U32;
    v[i].reserved = 0;
  }
  rc = outcome(syscall(SYS_futex_waitv, v, n, 0, absolute(&ts, deadline),
                       CLOCK_MONOTONIC));
  return rc == -EPERM ? -ENOSYS : rc; /* so say containers' filters */
}
