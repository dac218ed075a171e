/* spin.h -- poll a word for a moment before going to sleep.
 *
 * A round trip through two sleeps costs ten times one through two polls, but
 * polling pays only on a CPU that nobody else wants.  So: at most one poller
 * less than there are CPUs, and a budget that success restores and failure
 * halves.  To have been put off the CPU is failure, too: the one that we wait
 * for, or a stranger, had no other.  Two that take turns and have both come to
 * sleep at once would never learn that polling pays again, as each then comes
 * late for the other: now and then a poll has the whole budget.
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
