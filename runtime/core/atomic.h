/* atomic.h -- C11 atomics with the order in the name.
 *
 * Shared words are plain uint32_t / uint64_t in the layouts, so that a layout
 * can be read without knowing C11; they are touched only through these.
 * "acq" pairs with a "rel" on the same word; "seq" takes part in the one total
 * order that a store followed by a load of another word needs (the sleeper
 * announces itself, then looks again; the waker publishes, then looks for
 * sleepers).
 */
#ifndef MP_ATOMIC_H
#define MP_ATOMIC_H

#include <stdatomic.h>
#include <stdint.h>

#define MP__AT32(p) ((_Atomic uint32_t *)(void *)(p))
#define MP__AT64(p) ((_Atomic uint64_t *)(void *)(p))

static inline uint32_t mp__load32_rlx(const uint32_t *p) {
  return atomic_load_explicit((const _Atomic uint32_t *)(const void *)p,
                              memory_order_relaxed);
}

static inline uint32_t mp__load32_acq(const uint32_t *p) {
  return atomic_load_explicit((const _Atomic uint32_t *)(const void *)p,
                              memory_order_acquire);
}

static inline uint32_t mp__load32_seq(const uint32_t *p) {
  return atomic_load_explicit((const _Atomic uint32_t *)(const void *)p,
                              memory_order_seq_cst);
}

/* A pointer of any type, at p */
#define mp__load_ptr_acq(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define mp__store_ptr_rel(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

static inline void mp__store32_rlx(uint32_t *p, uint32_t v) {
  atomic_store_explicit(MP__AT32(p), v, memory_order_relaxed);
}

static inline void mp__store32_rel(uint32_t *p, uint32_t v) {
  atomic_store_explicit(MP__AT32(p), v, memory_order_release);
}

static inline void mp__store32_seq(uint32_t *p, uint32_t v) {
  atomic_store_explicit(MP__AT32(p), v, memory_order_seq_cst);
}

static inline uint32_t mp__swap32_seq(uint32_t *p, uint32_t v) {
  return atomic_exchange_explicit(MP__AT32(p), v, memory_order_seq_cst);
}

static inline uint32_t mp__add32_seq(uint32_t *p, uint32_t v) {
  return atomic_fetch_add_explicit(MP__AT32(p), v, memory_order_seq_cst);
}

static inline uint32_t mp__or32_seq(uint32_t *p, uint32_t v) {
  return atomic_fetch_or_explicit(MP__AT32(p), v, memory_order_seq_cst);
}

static inline int mp__cas32_acq(uint32_t *p, uint32_t *seen, uint32_t v) {
  return atomic_compare_exchange_strong_explicit(
      MP__AT32(p), seen, v, memory_order_acquire, memory_order_relaxed);
}

static inline int mp__cas32_seq(uint32_t *p, uint32_t *seen, uint32_t v) {
  return atomic_compare_exchange_strong_explicit(
      MP__AT32(p), seen, v, memory_order_seq_cst, memory_order_seq_cst);
}

static inline uint64_t mp__load64_rlx(const uint64_t *p) {
  return atomic_load_explicit((const _Atomic uint64_t *)(const void *)p,
                              memory_order_relaxed);
}

static inline uint64_t mp__load64_acq(const uint64_t *p) {
  return atomic_load_explicit((const _Atomic uint64_t *)(const void *)p,
                              memory_order_acquire);
}

static inline uint64_t mp__load64_seq(const uint64_t *p) {
  return atomic_load_explicit((const _Atomic uint64_t *)(const void *)p,
                              memory_order_seq_cst);
}

static inline void mp__store64_rlx(uint64_t *p, uint64_t v) {
  atomic_store_explicit(MP__AT64(p), v, memory_order_relaxed);
}

static inline void mp__store64_rel(uint64_t *p, uint64_t v) {
  atomic_store_explicit(MP__AT64(p), v, memory_order_release);
}

static inline void mp__store64_seq(uint64_t *p, uint64_t v) {
  atomic_store_explicit(MP__AT64(p), v, memory_order_seq_cst);
}

static inline uint64_t mp__swap64_seq(uint64_t *p, uint64_t v) {
  return atomic_exchange_explicit(MP__AT64(p), v, memory_order_seq_cst);
}

static inline int mp__cas64_acq(uint64_t *p, uint64_t *seen, uint64_t v) {
  return atomic_compare_exchange_strong_explicit(
      MP__AT64(p), seen, v, memory_order_acquire, memory_order_relaxed);
}


static inline int mp__cas64_seq(uint64_t *p, uint64_t *seen, uint64_t v) {
  return atomic_compare_exchange_strong_explicit(
      MP__AT64(p), seen, v, memory_order_seq_cst, memory_order_seq_cst);
}

/* The half of a 64-bit word that a futex call can look at. */
static inline uint32_t *mp__low32(uint64_t *p) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  return (uint32_t *)(void *)p + 1;
#else
  return (uint32_t *)(void *)p;
#endif
}

static inline void mp__pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#else
  atomic_signal_fence(memory_order_seq_cst);
#endif
}

#endif
