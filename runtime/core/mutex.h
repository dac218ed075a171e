/* mutex.h -- the locks that scripts hold, for the core's files.  (lock.c is
 * another thing: the core's own short lock.) */
#ifndef MP_MUTEX_H
#define MP_MUTEX_H

#include "arena.h"

/* word:
 *   0                      free
 *   holder                 bits 0..15 seat index, 16..30 and 32..63 generation
 *   ... | MP__MUTEX_SLEEPERS  held, and somebody may sleep on the low half
 * Written by whoever acquires or releases, by one compare-and-swap; SLEEPERS
 * also by whoever is about to sleep.
 */
#define MP__MUTEX_SLEEPERS ((uint64_t)1 << 31)

struct mp__mutex {
  struct mp__obj obj;
  uint64_t word;
  uint32_t recursive; /* the maker, once */
  uint32_t depth;     /* of a recursive one that is held; the holder */
};

#endif
