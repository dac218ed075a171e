/* damage.h -- a family of one whose shared memory the fuzzer writes to.
 *
 * What the core does then is taken here (the linker wraps these calls): a
 * sleep is over at once, and only so many are slept; nobody is started,
 * signalled or unlinked; and where a process ends, the input ends, and the
 * memory is put back.
 */
#ifndef DAMAGE_H
#define DAMAGE_H

#include <errno.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "family.h"
#include "futex.h"
#include "mp.h"
#include "sys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define SLEEPS 200
#define SEATS 8
#define FILE_MAX ((uint64_t)40 << 20) /* no growth that the machine feels */

static sigjmp_buf end_of_input;
static unsigned slept;
static int cloned = 1 << 30; /* 0: the caller becomes the child */

#define TAKES(type, name, ...) type __wrap_##name(__VA_ARGS__)
#define ENDS(name, ...)                                                        \
  _Noreturn void __wrap_##name(__VA_ARGS__);                                   \
  void __wrap_##name(__VA_ARGS__) {                                            \
    longjmp(end_of_input, 1);                                                  \
  }

/* A lock's word may name one who lives and does not hold it: its waiters wait,
 * as they do for a holder that is stopped. */
static int sleeps(void) {
  if (++slept > SLEEPS)
    longjmp(end_of_input, 2);
  return -MP_ETIMEOUT;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
TAKES(int, mp__futex_wait, uint32_t *word, uint32_t val, int64_t deadline);
TAKES(int, mp__futex_wait, uint32_t *word, uint32_t val, int64_t deadline) {
  return sleeps();
}

TAKES(int, mp__futex_waitv, const struct mp__waitv *v, unsigned n,
      int64_t deadline);
TAKES(int, mp__futex_waitv, const struct mp__waitv *v, unsigned n,
      int64_t deadline) {
  return sleeps();
}

TAKES(int, mp__sys_pidfd_signal, int fd, int sig);
TAKES(int, mp__sys_pidfd_signal, int fd, int sig) {
  return -ESRCH;
}

TAKES(int, mp__sys_tgkill, int pid, int tid, int sig);
TAKES(int, mp__sys_tgkill, int pid, int tid, int sig) {
  return -ESRCH;
}

TAKES(int, mp__sys_wait, int pid, int pidfd, enum mp__wait how, int *status);
TAKES(int, mp__sys_wait, int pid, int pidfd, enum mp__wait how, int *status) {
  return -ECHILD;
}

TAKES(int, mp__shm_unlink, const char *name, uint64_t dev, uint64_t ino,
      int *keep);
TAKES(int, mp__shm_unlink, const char *name, uint64_t dev, uint64_t ino,
      int *keep) {
  return -ENOENT;
}

/* Who asks a server gets an answer, and no process; who becomes the child has
 * its page wiped, as the kernel does it. */
TAKES(int, mp__sys_clone, uint64_t flags, uint32_t *pid);
TAKES(int, mp__sys_clone, uint64_t flags, uint32_t *pid) {
  *pid = 1 << 30;
  if (cloned == 0)
    *mp__here.self = (struct mp__self){0};
  return cloned;
}

ENDS(mp__sys_damaged, const char *what)
ENDS(mp__sys_kill_self, void)
ENDS(mp__sys_exit, int code)
ENDS(mp_exit, int code)
#pragma GCC diagnostic pop

/* What is written to: the head, the first seats, the blocks. */
static struct {
  uint64_t from, len;
  char *copy;
} piece[2];

static uint64_t robust; /* where the list of the kernel's begins */

static void keep_memory(void) {
  uint64_t *list = mp__robust_head();
  uint64_t first = MP__SLOTS + (uint64_t)MP__HEAD->max_slots * MP__SLOT_SIZE;
  int i;

  first = (first + 4095) & ~(uint64_t)4095;
  piece[0].len = MP__SLOTS + SEATS * MP__SLOT_SIZE;
  piece[1].from = first;
  piece[1].len = MP__HEAD->size - first;
  for (i = 0; i < 2; i++) {
    piece[i].copy = malloc(piece[i].len);
    memcpy(piece[i].copy, mp__here.base + piece[i].from, piece[i].len);
  }
  robust = list ? list[0] : 0;
}

static void put_back(void) {
  uint64_t *list = mp__robust_head();
  char byte[64];
  int i;

  for (i = 0; i < 2; i++)
    memcpy(mp__here.base + piece[i].from, piece[i].copy, piece[i].len);
  while (recv(mp__here.vault[1], byte, sizeof byte, MSG_DONTWAIT) > 0)
    ;
  if (list)
    list[0] = robust;
  mp__owner_word = 0;
  slept = 0;
}

static void enter_family(void) {
  struct rlimit lim = {FILE_MAX, FILE_MAX};

  if (setrlimit(RLIMIT_FSIZE, &lim) < 0 || mp_enter() < 0) {
    perror("enter");
    abort();
  }
}

struct input {
  const uint8_t *at, *end;
};

static unsigned byte_of(struct input *in) {
  return in->at < in->end ? *in->at++ : 0;
}

static unsigned half_of(struct input *in) {
  unsigned low = byte_of(in);

  return low | byte_of(in) << 8;
}

/* The n-th word of what is used: head, seats, blocks up to `top`. */
static uint64_t *word_of(uint64_t n) {
  const struct mp__head *h = (const void *)piece[0].copy;
  uint64_t head = sizeof(struct mp__head) / 8;
  uint64_t seats = (h->nslots + 1) * MP__SLOT_SIZE / 8;
  uint64_t blocks = (h->top - piece[1].from) / 8;

  n %= head + seats + blocks;
  if (n < head)
    return (uint64_t *)(void *)mp__here.base + n;
  n -= head;
  if (n < seats)
    return (uint64_t *)(void *)(mp__here.base + MP__SLOTS) + n;
  return (uint64_t *)(void *)(mp__here.base + piece[1].from) + (n - seats);
}

/* One stray write. */
static void damage(struct input *in) {
  unsigned how = byte_of(in);
  uint64_t *word = word_of(half_of(in));
  unsigned value = byte_of(in);

  switch (how & 7) {
  case 0:
    *word ^= (uint64_t)1 << (value & 63);
    break;
  case 1:
    *word = value;
    break;
  case 2:
    *word = ~(uint64_t)value;
    break;
  case 3:
    *word += value + 1;
    break;
  case 4:
    *word -= value + 1;
    break;
  case 5: /* an offset to some word that is used */
    *word = mp__off(word_of(half_of(in)));
    break;
  case 6: /* what another says */
    *word = *word_of(half_of(in));
    break;
  default: /* a block's, or one of the names in it */
    *word = (mp__off(word_of(half_of(in))) & ~(uint64_t)63) | (value & 1);
  }
}

#endif
