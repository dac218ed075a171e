/* stop.h -- a process that is stopped with a lock of the core's in its hand:
 * nobody may take it from it, and nobody is made to wait unasked.
 */
#ifndef STOP_H
#define STOP_H

#include "crew.h"

static inline int stop_holding(void *held) {
  (void)mp__lock_take(held);
  (void)raise(SIGSTOP);
  mp__lock_drop(held);
  return 0;
}

static inline char stop_state(mp_ref p) {
  uint64_t start;
  char state = 0;

  (void)mp__sys_procstat(mp_proc_pid(p), &state, &start);
  return state;
}

static inline void stop_with(struct crew *c, struct mp__lock *held) {
  c->threads = 0;
  crew_start(c, stop_holding, held);
  while (stop_state(c->proc[c->n - 1]) != 'T')
    (void)usleep(100);
}

/* It goes on, and to its end. */
static inline void stop_over(struct crew *c) {
  CHECK_EQ(stop_state(c->proc[c->n - 1]), 'T'); /* it was, all the while */
  CHECK_EQ(mp_proc_signal(c->proc[c->n - 1], SIGCONT), 0);
  crew_join(c);
}

#endif
