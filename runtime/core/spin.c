/* spin.c -- owns the decision to poll. */
#include "mp.h"

#include "family.h"
#include "spin.h"
#include "sys.h"

#define BUDGET_MAX 4000 /* pauses; some 50 to 100 microseconds */
#define BUDGET_MIN 100
#define AGAIN 8      /* misses, and the next poll has all the time again */
#define STEP 50      /* pauses between two looks at the clock */
#define STEP_NS 6000 /* more than they take; less than anybody else runs */

static _Thread_local int budget = BUDGET_MAX;
static _Thread_local unsigned misses; /* in a row */

int mp__may_spin(void) {
  static uint32_t cpus; /* the same whoever writes it */

  if (mp__load32_rlx(&cpus) == 0)
    mp__store32_rlx(&cpus, (uint32_t)mp__sys_affinity());
  return mp__load32_rlx(&MP__HEAD->spinning) + 1 < mp__load32_rlx(&cpus);
}

/* Poll for `most` pauses, or until somebody else had our CPU for a while:
 * `lost`. */
static int poll_for(const uint64_t *word, uint64_t old, uint64_t mask, int most,
                    int *lost) {
  int64_t last = mp_now();
  int64_t now;
  int hit = 0;
  int i = 0;

  *lost = 0;
  while (i < most && !hit && !*lost) {
    int end = i + STEP;

    for (; i < end && !hit; i++) {
      mp__pause();
      hit = ((mp__load64_rlx(word) ^ old) & mask) != 0;
    }
    now = mp_now();
    *lost = now - last > STEP_NS;
    last = now;
  }
  return hit;
}

int mp__spin(const uint64_t *word, uint64_t old, uint64_t mask) {
  int lost;
  int hit;

  if (!mp__may_spin())
    return 0;
  mp__count_in(&MP__HEAD->spinning);
  hit = poll_for(word, old, mask,
                 misses % AGAIN == AGAIN - 1 ? BUDGET_MAX : budget, &lost);
  mp__count_out(&MP__HEAD->spinning);
  if (hit && !lost) {
    budget = BUDGET_MAX;
    misses = 0;
  } else {
    budget = budget > BUDGET_MIN * 2 ? budget / 2 : BUDGET_MIN;
    misses++;
  }
  return hit;
}
