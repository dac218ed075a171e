/* spin.c -- owns the decision to poll. */
#include "mp.h"

#include "family.h"
#include "spin.h"
#include "sys.h"

#define BUDGET_MAX 4000 /* pauses; some 50 to 100 microseconds */
#define BUDGET_MIN 100

static _Thread_local int budget = BUDGET_MAX;

int mp__may_spin(void) {
  static uint32_t cpus; /* the same whoever writes it */

  if (mp__load32_rlx(&cpus) == 0)
    mp__store32_rlx(&cpus, (uint32_t)mp__sys_affinity());
  return mp__load32_rlx(&MP__HEAD->spinning) + 1 < mp__load32_rlx(&cpus);
}

int mp__spin(const uint64_t *word, uint64_t old, uint64_t mask) {
  int i;
  int hit = 0;

  if (!mp__may_spin())
    return 0;
  mp__count_in(&MP__HEAD->spinning);
  for (i = 0; i < budget && !hit; i++) {
    mp__pause();
    hit = ((mp__load64_rlx(word) ^ old) & mask) != 0;
  }
  mp__count_out(&MP__HEAD->spinning);
  if (hit)
    budget = budget < BUDGET_MAX / 2 ? budget * 2 : BUDGET_MAX;
  else
    budget = budget > BUDGET_MIN * 2 ? budget / 2 : BUDGET_MIN;
  return hit;
}
