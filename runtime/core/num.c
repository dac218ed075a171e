/* num.c -- owns typecodes: numbers of C's types in shared memory.
 *
 * Whoever reads while another writes, or dies, finds the old number or the
 * new one: an element is moved by one aligned access, also in bulk, where
 * the words that are copied hold whole elements.
 * Plain loads acquire and plain stores release, so what was written before a
 * number is there for those who have read it; the rest is sequentially
 * consistent.
 */
#include "mp.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define LOAD(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define STORE(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define SWAP(p, v) __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST)
#define CAS(p, seen, v)                                                        \
  __atomic_compare_exchange_n(p, seen, v, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

/* Each typecode, its type, and the member of mp_num that holds it. */
#define INTEGERS(X)                                                            \
  X('b', int8_t, i)                                                            \
  X('h', int16_t, i)                                                           \
  X('i', int32_t, i)                                                           \
  X('l', long, i)                                                              \
  X('q', int64_t, i)                                                           \
  X('B', uint8_t, u)                                                           \
  X('H', uint16_t, u)                                                          \
  X('I', uint32_t, u)                                                          \
  X('L', unsigned long, u)                                                     \
  X('Q', uint64_t, u)
#define BYTES(X)                                                               \
  X('?', uint8_t, u)                                                           \
  X('c', uint8_t, u)

static uint64_t bits_of_double(double d) {
  uint64_t bits;

  memcpy(&bits, &d, sizeof bits);
  return bits;
}

static double double_of(uint64_t bits) {
  double d;

  memcpy(&d, &bits, sizeof d);
  return d;
}

static uint32_t bits_of_float(double d) {
  float f = (float)d;
  uint32_t bits;

  memcpy(&bits, &f, sizeof bits);
  return bits;
}

static double float_of(uint32_t bits) {
  float f;

  memcpy(&f, &bits, sizeof f);
  return (double)f;
}

int mp_num_fits_float(double d) {
  return isinf(d) || !isinf((float)d);
}

size_t mp_num_size(char code) {
  switch (code) {
#define X(letter, type, member)                                                \
  case letter:                                                                 \
    return sizeof(type);
    INTEGERS(X)
    BYTES(X)
#undef X
  case 'f':
    return sizeof(float);
  case 'd':
    return sizeof(double);
  default:
    return 0;
  }
}

union mp_num mp_num_load(char code, const void *at) {
  union mp_num v = {0};

  switch (code) {
#define X(letter, type, member)                                                \
  case letter:                                                                 \
    v.member = LOAD((const type *)at);                                         \
    break;
    INTEGERS(X)
    BYTES(X)
#undef X
  case 'f':
    v.d = float_of(LOAD((const uint32_t *)at));
    break;
  case 'd':
    v.d = double_of(LOAD((const uint64_t *)at));
    break;
  default:
    break;
  }
  return v;
}

void mp_num_store(char code, void *at, union mp_num v) {
  switch (code) {
#define X(letter, type, member)                                                \
  case letter:                                                                 \
    STORE((type *)at, (type)v.member);                                         \
    break;
    INTEGERS(X)
    BYTES(X)
#undef X
  case 'f':
    STORE((uint32_t *)at, bits_of_float(v.d));
    break;
  case 'd':
    STORE((uint64_t *)at, bits_of_double(v.d));
    break;
  default:
    break;
  }
}

/* Atomics */

static int add_float(uint32_t *at, double n, double *old) {
  uint32_t seen = LOAD(at);
  double sum;

  do {
    *old = float_of(seen);
    sum = *old + n;
    if (!mp_num_fits_float(sum))
      return -ERANGE;
  } while (!CAS(at, &seen, bits_of_float(sum)));
  return 0;
}

static void add_double(uint64_t *at, double n, double *old) {
  uint64_t seen = LOAD(at);

  do
    *old = double_of(seen);
  while (!CAS(at, &seen, bits_of_double(*old + n)));
}

int mp_num_add(char code, void *at, union mp_num n, union mp_num *old) {
  switch (code) {
#define X(letter, type, member)                                                \
  case letter: {                                                               \
    type seen = LOAD((type *)at);                                              \
    type sum;                                                                  \
                                                                               \
    do                                                                         \
      if (__builtin_add_overflow(seen, n.i, &sum))                             \
        return -ERANGE;                                                        \
    while (!CAS((type *)at, &seen, sum));                                      \
    old->member = seen;                                                        \
    return 0;                                                                  \
  }
    INTEGERS(X)
#undef X
  case 'f':
    return add_float(at, n.d, &old->d);
  case 'd':
    add_double(at, n.d, &old->d);
    return 0;
  default:
    return -EINVAL;
  }
}

union mp_num mp_num_exchange(char code, void *at, union mp_num v) {
  union mp_num old = {0};

  switch (code) {
#define X(letter, type, member)                                                \
  case letter:                                                                 \
    old.member = SWAP((type *)at, (type)v.member);                             \
    break;
    INTEGERS(X)
    BYTES(X)
#undef X
  case 'f':
    old.d = float_of(SWAP((uint32_t *)at, bits_of_float(v.d)));
    break;
  case 'd':
    old.d = double_of(SWAP((uint64_t *)at, bits_of_double(v.d)));
    break;
  default:
    break;
  }
  return old;
}

/* Floats are compared as numbers: 0.0 is -0.0, and NaN is never found. */
static int cas_float(uint32_t *at, double old, double v, double *found) {
  uint32_t seen = LOAD(at);

  do {
    *found = float_of(seen);
    if (!(*found == (double)(float)old))
      return 0;
  } while (!CAS(at, &seen, bits_of_float(v)));
  return 1;
}

static int cas_double(uint64_t *at, double old, double v, double *found) {
  uint64_t seen = LOAD(at);

  do {
    *found = double_of(seen);
    if (!(*found == old))
      return 0;
  } while (!CAS(at, &seen, bits_of_double(v)));
  return 1;
}

int mp_num_compare_exchange(char code, void *at, union mp_num old,
                            union mp_num v, union mp_num *found) {
  int done;

  switch (code) {
#define X(letter, type, member)                                                \
  case letter: {                                                               \
    type seen = (type)old.member;                                              \
                                                                               \
    done = CAS((type *)at, &seen, (type)v.member);                             \
    found->member = seen;                                                      \
    return done;                                                               \
  }
    INTEGERS(X)
    BYTES(X)
#undef X
  case 'f':
    return cas_float(at, old.d, v.d, &found->d);
  case 'd':
    return cas_double(at, old.d, v.d, &found->d);
  default:
    return -EINVAL;
  }
}

/* In bulk: as wide as the place in shared memory is aligned, which is never
 * less than an element. */

static size_t width(const void *at, size_t len) {
  uintptr_t a = (uintptr_t)at;

  if (!(a & 7) && len >= 8)
    return 8;
  if (!(a & 3) && len >= 4)
    return 4;
  return !(a & 1) && len >= 2 ? 2 : 1;
}

#define MOVE_IN(type)                                                          \
  do {                                                                         \
    type v = LOAD((const type *)(const void *)from);                           \
    memcpy(p, &v, sizeof v);                                                   \
  } while (0)
#define MOVE_OUT(type)                                                         \
  do {                                                                         \
    type v;                                                                    \
    memcpy(&v, p, sizeof v);                                                   \
    STORE((type *)(void *)to, v);                                              \
  } while (0)

void mp_num_read(void *to, const void *at, size_t len) {
  const char *from = at;
  char *p = to;
  size_t w;

  for (; len > 0; from += w, p += w, len -= w) {
    w = width(from, len);
    for (; w == 8 && len >= 16; from += 8, p += 8, len -= 8)
      MOVE_IN(uint64_t);
    if (w == 8)
      MOVE_IN(uint64_t);
    else if (w == 4)
      MOVE_IN(uint32_t);
    else if (w == 2)
      MOVE_IN(uint16_t);
    else
      MOVE_IN(uint8_t);
  }
}

void mp_num_write(void *at, const void *from, size_t len) {
  const char *p = from;
  char *to = at;
  size_t w;

  for (; len > 0; to += w, p += w, len -= w) {
    w = width(to, len);
    for (; w == 8 && len >= 16; to += 8, p += 8, len -= 8)
      MOVE_OUT(uint64_t);
    if (w == 8)
      MOVE_OUT(uint64_t);
    else if (w == 4)
      MOVE_OUT(uint32_t);
    else if (w == 2)
      MOVE_OUT(uint16_t);
    else
      MOVE_OUT(uint8_t);
  }
}

void mp_num_fill(void *at, const void *element, size_t size, uint64_t n) {
  char pattern[512]; /* as many elements as fit */
  uint64_t per = sizeof pattern / size;
  char *to = at;
  uint64_t i;

  if (per == 0)
    for (; n > 0; n--, to += size)
      mp_num_write(to, element, size);
  for (i = 0; i < per; i++)
    memcpy(pattern + i * size, element, size);
  for (; n > 0; n -= i, to += i * size) {
    i = n < per ? n : per;
    mp_num_write(to, pattern, i * size);
  }
}
