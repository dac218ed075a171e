/* conds.c -- scenarios of cond.c: who waits is told, whoever dies. */
#include "../core/layout.h"
#include "explore.h"
#include "mutex.h"
#include "scenarios.h"

static mp_ref lock, cond;
static int inside; /* who has the lock, or -1 */
static int flag;
static enum { AWAY, WAITS, WOKEN, OUT } stage[SIM_MAX];
static int told;    /* the notifier is through */
static int excused; /* a notification went with who had it */

static void open_both(int recursive) {
  if (mp_mutex_open(&lock, recursive) < 0 || mp_cond_open(&cond, lock) < 0)
    abort();
  sim_share(lock);
  sim_share(cond);
}

static void make(void) {
  open_both(0);
}

static void make_recursive(void) {
  open_both(1);
}

static void begin(void) {
  inside = -1;
  flag = told = excused = 0;
  memset(stage, 0, sizeof stage);
}

static void take(int self) {
  int rc;

  do
    rc = mp_mutex_acquire(lock, MP_FOREVER);
  while (rc == -EINTR);
  SIM_CHECK(rc == 0 || rc == MP_EABANDONED);
  SIM_CHECK(inside == -1);
  inside = self;
}

static void give(void) {
  inside = -1;
  SIM_CHECK(mp_mutex_release(lock) == 0);
}

/* 1: notified; 0: the time was up, or it left when it was interrupted. */
static int wait_for(int self, int64_t deadline, int leaves) {
  struct mp_waiter w = {0};
  int rc;

  inside = -1;
  stage[self] = WAITS;
  while ((rc = mp_cond_wait(cond, &w, deadline)) == -EINTR)
    if (leaves)
      mp_cond_leave(cond, &w);
  stage[self] = w.notified ? WOKEN : OUT;
  SIM_CHECK(rc == 0);
  SIM_CHECK(inside == -1);
  SIM_CHECK(mp_mutex_mine(lock));
  SIM_CHECK(((struct mp__mutex *)mp__at(MP_REF_ID(lock)))->depth == 1);
  inside = self;
  return w.notified;
}

/* The first waits for the flag, the others set it. */
static void flagged(int self) {
  take(self);
  if (self == 0) {
    while (!flag)
      (void)wait_for(self, MP_FOREVER, 0);
  } else {
    flag = 1;
    SIM_CHECK(mp_cond_notify(cond, 1) == 0);
  }
  give();
}

static void died_flagged(int who) {
  if (inside == who)
    inside = -1;
}

/* Two levels of a recursive one are let go of, and had again. */
static void nested(int self) {
  struct mp__mutex *m = mp__at(MP_REF_ID(lock));
  struct mp_waiter w = {0};

  if (self > 0) {
    flagged(self);
    return;
  }
  take(self);
  SIM_CHECK(mp_mutex_acquire(lock, MP_NOW) == 0);
  while (!flag) {
    inside = -1;
    while (mp_cond_wait(cond, &w, MP_FOREVER) == -EINTR)
      ;
    SIM_CHECK(inside == -1);
    inside = self;
    SIM_CHECK(mp_mutex_mine(lock) && m->depth == 2);
  }
  SIM_CHECK(mp_mutex_release(lock) == 0);
  SIM_CHECK(mp_mutex_mine(lock));
  give();
}

/* The last one notifies when the others wait, or are through. */
static int all_wait(int self) {
  int i;

  for (i = 0; i < self; i++)
    if (sim_alive(i) && stage[i] != WAITS && stage[i] != OUT)
      return 0;
  return 1;
}

static void notify(int self, uint64_t n) {
  take(self);
  while (!all_wait(self)) {
    give();
    sim_pause();
    take(self);
  }
  SIM_CHECK(mp_cond_notify(cond, n) == 0);
  told = 1;
  give();
}

/* Who is told tells the next.  So all are told, unless one died with the
 * word in its mouth. */
static void pass(int self, int64_t deadline, int leaves) {
  int rc;

  take(self);
  rc = wait_for(self, deadline, leaves);
  if (rc)
    SIM_CHECK(mp_cond_notify(cond, 1) == 0);
  stage[self] = OUT;
  give();
  SIM_CHECK(rc || excused || leaves || deadline != sim_last_resort());
}

static void died(int who) {
  died_flagged(who);
  if (stage[who] == WOKEN || (who == 2 && !told))
    excused = 1;
}

static void chain(int self) {
  if (self == 2)
    notify(self, 1);
  else
    pass(self, sim_last_resort(), 0);
}

static void chain_leaving(int self) {
  if (self == 2)
    notify(self, 1);
  else
    pass(self, sim_last_resort(), self == 0);
}

static void impatient(int self) {
  if (self == 2)
    notify(self, 1);
  else
    pass(self, self == 0 ? sim_deadline() : sim_last_resort(), 0);
}

/* All at once, without a chain. */
static void all(int self) {
  if (self == 2) {
    notify(self, MP_NOTIFY_ALL);
    return;
  }
  take(self);
  SIM_CHECK(wait_for(self, sim_last_resort(), 0) || excused);
  stage[self] = OUT;
  give();
}

static void end(void) {
  const struct check_cond *c = mp__at(MP_REF_ID(cond));
  struct mp__walk w = MP__WALK((struct mp__roster *)(uintptr_t)&c->waiters);
  const struct mp__row *row;

  SIM_CHECK(mp_cond_notify(cond, 1) == -MP_ENOTHELD);
  take(SIM_MAX);
  (void)mp__scan(); /* if nobody was left to notice a death */
  SIM_CHECK(mp_cond_notify(cond, MP_NOTIFY_ALL) == 0);
  give();
  SIM_CHECK(c->lock.word == 0);
  while ((row = mp__walk(&w)))
    SIM_CHECK(row->value == 0);
}

/* It notifies, and nobody is there. */
static void in_vain(int self) {
  take(self);
  SIM_CHECK(mp_cond_notify(cond, 1) == 0);
  SIM_CHECK(mp_cond_notify(cond, MP_NOTIFY_ALL - 1) == 0);
  SIM_CHECK(mp_cond_notify(cond, MP_NOTIFY_ALL) == 0);
  give();
}

static void end_alone(void) {
  SIM_ALONE();
  end();
}

const struct scenario cond_scenarios[] = {
    {"cond-1", 1, make, begin, in_vain, died_flagged, end_alone, 0},
    {"cond-2", 2, make, begin, flagged, died_flagged, end, 0},
    {"cond-3", 3, make, begin, flagged, died_flagged, end, 0},
    {"cond-3-death", 3, make, begin, flagged, died_flagged, end, 1},
    {"cond-rlock-2", 2, make_recursive, begin, nested, died_flagged, end, 0},
    {"cond-chain-3", 3, make, begin, chain, died, end, 0},
    {"cond-chain-3-death", 3, make, begin, chain, died, end, 1},
    {"cond-leave-3-death", 3, make, begin, chain_leaving, died, end, 1},
    {"cond-timeout-3", 3, make, begin, impatient, died, end, 0},
    {"cond-timeout-3-death", 3, make, begin, impatient, died, end, 1},
    {"cond-all-3", 3, make, begin, all, died, end, 0},
    {"cond-all-3-death", 3, make, begin, all, died, end, 1},
    {0}};
