/* futex.h -- wait and wake on a word that several processes share. */
#ifndef MP_FUTEX_H
#define MP_FUTEX_H

#include <stdint.h>

/* Sleep while *word == val.  0: woken, or the word had changed; -EINTR;
 * -MP_ETIMEOUT at the deadline (absolute, CLOCK_MONOTONIC). */
int mp__futex_wait(uint32_t *word, uint32_t val, int64_t deadline);
void mp__futex_wake(uint32_t *word, int n);

#define MP__WAITV_MAX 128
struct mp__waitv {
  uint32_t *word;
  uint32_t val;
};

/* Sleep until any of the words differs or is woken.  -ENOSYS on a kernel
 * without futex_waitv (before 5.16). */
int mp__futex_waitv(const struct mp__waitv *list, unsigned n, int64_t deadline);

#endif
