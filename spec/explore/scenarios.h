/* scenarios.h -- every file's list; each ends with an empty one. */
#ifndef SCENARIOS_H
#define SCENARIOS_H

#include "explore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

extern const struct scenario core_lock_scenarios[];
extern const struct scenario lock_scenarios[];
extern const struct scenario event_scenarios[];
extern const struct scenario sem_scenarios[];
extern const struct scenario cond_scenarios[];
extern const struct scenario barrier_scenarios[];
extern const struct scenario queue_scenarios[];
extern const struct scenario join_scenarios[];
extern const struct scenario arena_scenarios[];
extern const struct scenario nap_scenarios[];

#endif
