/* spin.h -- poll a word for a moment before going to sleep.
 *
 * A round trip through two sleeps costs ten times one through two polls, but
 * polling pays only on a CPU that nobody else wants.  So: at most one poller
 * less than there are CPUs, and a budget that grows with success and shrinks
 * with failure.  To have been put off the CPU is failure, too: the one that we
 * wait for, or a stranger, had no other.
 */
#ifndef MP_SPIN_H
#define MP_SPIN_H

#include "arena.h"

#define MP__COUNT ((uint64_t)0xffffffff << 32) /* of a queue's word */

/* Is there a CPU that no poller has? */
int mp__may_spin(void);
/* 1 when *word has come to differ from `old` in the bits of `mask`. */
int mp__spin(const uint64_t *word, uint64_t old, uint64_t mask);

#endif
