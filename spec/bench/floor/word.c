/* word.c -- waiting on shared words: spin a little, then futex. */
#include "floor.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How long to poll: less after each time that it was in vain, so that a busy
 * machine is not kept busier.
 */
#define SPINS 2000
static int spins = SPINS;

static inline void pause_cpu(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#else
  atomic_signal_fence(memory_order_seq_cst);
#endif
}

void floor_futex_wait(_Atomic uint32_t *w, uint32_t seen) {
  syscall(SYS_futex, w, FUTEX_WAIT, seen, NULL, NULL, 0);
}

void floor_futex_wake(_Atomic uint32_t *w, int n) {
  syscall(SYS_futex, w, FUTEX_WAKE, n, NULL, NULL, 0);
}

void floor_await(struct floor_word *w, uint32_t seen) {
  for (int i = 0; i < spins; i++) {
    if (atomic_load_explicit(&w->value, memory_order_acquire) != seen) {
      spins = spins < SPINS / 2 ? spins * 2 : SPINS;
      return;
    }
    pause_cpu();
  }
  spins = spins < 20 ? 10 : spins / 2;
  atomic_fetch_add(&w->sleepers, 1);
  while (atomic_load(&w->value) == seen)
    floor_futex_wait(&w->value, seen);
  atomic_fetch_sub(&w->sleepers, 1);
}

void floor_set(struct floor_word *w, uint32_t v) {
  atomic_store(&w->value, v);
  if (atomic_load(&w->sleepers) != 0)
    floor_futex_wake(&w->value, INT_MAX);
}

void floor_wait_for(struct floor_word *w, uint32_t v) {
  uint32_t seen;

  while ((seen = atomic_load(&w->value)) != v)
    floor_await(w, seen);
}

void floor_lock(floor_lock_t *l) {
  uint32_t was = 0;

  if (atomic_compare_exchange_strong(l, &was, 1))
    return;
  for (int i = 0; i < 100; i++) {
    was = 0;
    if (atomic_load_explicit(l, memory_order_relaxed) == 0 &&
        atomic_compare_exchange_strong(l, &was, 1))
      return;
    pause_cpu();
  }
  while (atomic_exchange(l, 2) != 0)
    floor_futex_wait(l, 2);
}

void floor_unlock(floor_lock_t *l) {
  if (atomic_exchange(l, 0) == 2)
    floor_futex_wake(l, 1);
}

void floor_arrive(struct floor_gate *g) {
  atomic_fetch_add(&g->ready.value, 1);
  if (atomic_load(&g->ready.sleepers) != 0)
    floor_futex_wake(&g->ready.value, INT_MAX);
  floor_wait_for(&g->open, 1);
}

void floor_open(struct floor_gate *g, uint32_t n) {
  floor_wait_for(&g->ready, n);
  floor_set(&g->open, 1);
}
