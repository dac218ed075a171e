/* locks.c -- scenarios of mutex.c: Lock and RLock. */
#include "explore.h"
#include "mutex.h"
#include "scenarios.h"

static mp_ref lock;
static int inside; /* who is, or -1 */
static int left;   /* its holder died: to be said once */
static int taken;  /* how often it was acquired */
static int timed_out;

static struct mp__mutex *mutex(void) {
  return mp__at(MP_REF_ID(lock));
}

static void make(void) {
  if (mp_mutex_open(&lock, 0) < 0)
    abort();
}

static void make_recursive(void) {
  if (mp_mutex_open(&lock, 1) < 0)
    abort();
}

static void begin(void) {
  inside = -1;
  left = taken = timed_out = 0;
}

/* Nobody of them has it at first. */
static void begin_held(void) {
  begin();
  if (mp_mutex_acquire(lock, MP_NOW) != 0)
    abort();
}

static void died(int who) {
  if ((mutex()->word & ~MP__MUTEX_SLEEPERS) == sim_owner(who))
    left = 1;
  if (inside == who)
    inside = -1;
}

static int acquire(int64_t deadline) {
  int rc;

  do
    rc = mp_mutex_acquire(lock, deadline);
  while (rc == -EINTR);
  return rc;
}

static void got(int self, int rc) {
  SIM_CHECK(rc == 0 || rc == MP_EABANDONED);
  SIM_CHECK(left == (rc == MP_EABANDONED));
  left = 0;
  taken++;
  SIM_CHECK(inside == -1);
  inside = self;
  sim_step();
  SIM_CHECK(inside == self);
}

static void give(void) {
  inside = -1;
  SIM_CHECK(mp_mutex_release(lock) == 0);
}

static void once(int self) {
  got(self, acquire(MP_FOREVER));
  give();
}

static void twice(int self) {
  once(self);
  once(self);
}

static void nested(int self) {
  got(self, acquire(MP_FOREVER));
  SIM_CHECK(mp_mutex_acquire(lock, MP_NOW) == 0);
  sim_step();
  SIM_CHECK(inside == self);
  SIM_CHECK(mp_mutex_release(lock) == 0);
  SIM_CHECK(mp_mutex_mine(lock));
  sim_step();
  SIM_CHECK(inside == self);
  give();
}

/* One gives up after a moment, the others must not suffer. */
static void impatient(int self) {
  int rc;

  if (self == 1)
    once(self);
  if (self > 0) {
    once(self);
    return;
  }
  rc = acquire(sim_deadline());
  if (rc == -MP_ETIMEOUT) {
    timed_out = 1;
    return;
  }
  got(self, rc);
  give();
}

static void tries(int self) {
  int rc = self ? acquire(MP_FOREVER) : acquire(MP_NOW);

  if (rc == -MP_ETIMEOUT)
    return;
  got(self, rc);
  give();
}

/* The first one gives it back for whoever holds it, while the rest come. */
static void for_another(int self) {
  if (self == 0)
    SIM_CHECK(mp_mutex_release(lock) == 0);
  else
    once(self);
}

static void end(void) {
  int i, alive = 0;
  int rc = acquire(MP_NOW);

  for (i = 0; i < SIM_MAX; i++)
    alive += sim_alive(i);
  SIM_CHECK(rc == (left ? MP_EABANDONED : 0));
  SIM_CHECK(mp_mutex_release(lock) == 0);
  SIM_CHECK(mutex()->word == 0);
}

static void end_alone(void) {
  SIM_ALONE();
  end();
}

const struct scenario lock_scenarios[] = {
    {"lock-1", 1, make, begin, twice, died, end_alone, 0},
    {"rlock-1", 1, make_recursive, begin, nested, died, end_alone, 0},
    {"lock-2", 2, make, begin, twice, died, end, 0},
    {"lock-2-death", 2, make, begin, once, died, end, 1},
    {"lock-2-deaths", 2, make, begin, once, died, end, 2},
    {"lock-3", 3, make, begin, once, died, end, 0},
    {"lock-3-death", 3, make, begin, once, died, end, 1},
    {"lock-4-deaths", 4, make, begin, twice, died, end, 2},
    {"lock-timeout-3", 3, make, begin, impatient, died, end, 0},
    {"lock-timeout-3-death", 3, make, begin, impatient, died, end, 1},
    {"lock-try-2-death", 2, make, begin, tries, died, end, 1},
    {"lock-for-another-2", 2, make, begin_held, for_another, died, end, 0},
    {"lock-for-another-3", 3, make, begin_held, for_another, died, end, 0},
    {"rlock-2-death", 2, make_recursive, begin, nested, died, end, 1},
    {"rlock-3-deaths", 3, make_recursive, begin, nested, died, end, 2},
    {0}};
