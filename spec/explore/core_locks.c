/* core_locks.c -- scenarios of lock.c, the core's own lock. */
#include "explore.h"
#include "scenarios.h"

static struct mp__lock *lock;
static int inside; /* who is, or -1 */

static void make(void) {
  struct mp__txn t;
  uint64_t at;

  mp__begin(&t);
  if (mp__alloc(&t, sizeof *lock, &at) < 0)
    abort();
  mp__end(&t);
  lock = mp__at(at);
  lock->word = 0;
}

static void begin(void) {
  inside = -1;
}

static void died(int who) {
  if (inside == who)
    inside = -1;
}

static void once(int self) {
  int rc = mp__lock_take(lock);

  SIM_CHECK(rc == 0 || (rc == 1 && sim_deaths() > 0));
  SIM_CHECK(inside == -1);
  inside = self;
  sim_step();
  SIM_CHECK(inside == self);
  inside = -1;
  mp__lock_drop(lock);
}

static void end(void) {
  (void)mp__lock_take(lock);
  mp__lock_drop(lock);
  SIM_CHECK(lock->word == 0);
}

static void end_alone(void) {
  SIM_ALONE();
  end();
}

const struct scenario core_lock_scenarios[] = {
    {"core-1", 1, make, begin, once, died, end_alone, 0},
    {"core-2-death", 2, make, begin, once, died, end, 1},
    {"core-3", 3, make, begin, once, died, end, 0},
    {"core-4-deaths", 4, make, begin, once, died, end, 2},
    {0}};
