/* sems.c -- scenarios of sem.c: permits that are taken and given back, permits
 * that others give, and who polls for one. */
#include "../core/layout.h"
#include "explore.h"
#include "scenarios.h"

static mp_ref sem;
static uint32_t limit;
static uint32_t holds[SIM_MAX]; /* permits in the hands of each */
static uint32_t begun, given;   /* releases by one that holds none */
static uint32_t wanted, got;    /* acquisitions that keep the permit */
static int fd;

static void open_sem(uint32_t value, unsigned flags) {
  limit = value;
  if (mp_sem_open(&sem, value, flags) < 0)
    abort();
  sim_share(sem);
}

static void make_0(void) {
  open_sem(0, 0);
}

static void make_1(void) {
  open_sem(1, 0);
}

static void make_2(void) {
  open_sem(2, 0);
}

static void make_bounded(void) {
  open_sem(1, MP_SEM_BOUNDED);
}

static void make_polled(void) {
  open_sem(1, 0);
  fd = mp_sem_fd(sem);
}

static void begin(void) {
  memset(holds, 0, sizeof holds);
  begun = given = wanted = got = 0;
}

static void begin_polled(void) {
  begin();
  sim_bell(sem, fd);
}

static void died(int who) {
  holds[who] = 0;
}

static int acquire(int64_t deadline) {
  int rc;

  do
    rc = mp_sem_acquire(sem, deadline);
  while (rc == -EINTR);
  return rc;
}

/* It has one: there are no more than there should be. */
static void hold(int self) {
  uint32_t all = 0;
  int i;

  holds[self]++;
  for (i = 0; i < SIM_MAX; i++)
    all += holds[i];
  SIM_CHECK(all <= limit);
  sim_step();
}

static void once(int self) {
  SIM_CHECK(acquire(MP_FOREVER) == 0);
  hold(self);
  holds[self]--;
  SIM_CHECK(mp_sem_release(sem) == 0);
}

static void twice(int self) {
  once(self);
  once(self);
}

static void both(int self) {
  SIM_CHECK(acquire(MP_FOREVER) == 0);
  hold(self);
  once(self);
  holds[self]--;
  SIM_CHECK(mp_sem_release(sem) == 0);
}

static void one_too_many(int self) {
  SIM_CHECK(acquire(MP_NOW) == 0);
  hold(self);
  SIM_CHECK(acquire(MP_NOW) == -MP_ETIMEOUT);
  SIM_CHECK(mp_sem_value(sem) == 0);
  holds[self]--;
  SIM_CHECK(mp_sem_release(sem) == 0);
}

/* Two of one process, one of the others. */
static void two_or_one(int self) {
  if (self == 0 && limit > 1)
    both(self);
  else
    once(self);
}

/* One gives up after a moment, or at once. */
static void impatient(int self) {
  int rc;

  if (self > 0) {
    once(self);
    return;
  }
  rc = acquire(sim_deadline());
  SIM_CHECK(rc == 0 || rc == -MP_ETIMEOUT);
  if (rc == 0) {
    hold(self);
    holds[self]--;
    SIM_CHECK(mp_sem_release(sem) == 0);
  }
}

static void tries(int self) {
  int rc = acquire(MP_NOW);

  SIM_CHECK(rc == 0 || rc == -MP_ETIMEOUT);
  if (rc == 0) {
    hold(self);
    holds[self]--;
    SIM_CHECK(mp_sem_release(sem) == 0);
  }
}

static void end(void) {
  const struct check_sem *s = mp__at(MP_REF_ID(sem));
  uint32_t i;

  SIM_NOBODY(s->sleepers);
  SIM_CHECK(mp_sem_value(sem) == limit);
  for (i = 0; i < limit; i++)
    SIM_CHECK(acquire(MP_NOW) == 0);
  SIM_CHECK(acquire(MP_NOW) == -MP_ETIMEOUT);
  SIM_CHECK(mp_sem_value(sem) == 0);
  for (i = 0; i < limit; i++)
    SIM_CHECK(mp_sem_release(sem) == 0);
}

static void end_alone(void) {
  SIM_ALONE();
  end();
}

/* Signalling */

static void give(void) {
  int rc;

  begun++;
  rc = mp_sem_release(sem);
  SIM_CHECK(rc == 0 || rc == -MP_ETOOMANY);
  if (rc == 0)
    given++;
  else
    begun--;
}

static void keep(void) {
  wanted++;
  SIM_CHECK(acquire(MP_FOREVER) == 0);
  got++;
}

static void give_or_keep(int self) {
  if (self == 0)
    keep();
  else
    give();
}

/* There is one more for each that gives: all get theirs. */
static void mixed(int self) {
  if (self == 0) {
    keep();
    give();
  } else if (self == 1) {
    give();
  } else {
    keep();
  }
}

/* Above the limit is refused, whoever comes first. */
static void refused(int self) {
  if (self == 0)
    keep();
  give();
}

static void end_given(void) {
  uint32_t value = mp_sem_value(sem);

  SIM_CHECK(value + wanted >= limit + given);
  SIM_CHECK(value + got <= limit + begun);
}

static void end_refused(void) {
  end_given();
  SIM_CHECK(mp_sem_value(sem) <= limit);
}

/* Polling */

static void poll_for_one(int self) {
  if (self == 0) {
    once(self);
    return;
  }
  for (;;)
    if (!sim_readable(fd))
      sim_look();
    else if (mp_sem_ready(sem, fd))
      break;
}

const struct scenario sem_scenarios[] = {
    {"sem-1", 1, make_1, begin, one_too_many, died, end_alone, 0},
    {"sem-2", 2, make_1, begin, twice, died, end, 0},
    {"sem-2-death", 2, make_1, begin, once, died, end, 1},
    {"sem-2-deaths", 2, make_1, begin, once, died, end, 2},
    {"sem-3", 3, make_1, begin, once, died, end, 0},
    {"sem-3-death", 3, make_1, begin, once, died, end, 1},
    {"sem-two-3-death", 3, make_2, begin, two_or_one, died, end, 1},
    {"sem-two-4-deaths", 4, make_2, begin, once, died, end, 2},
    {"sem-timeout-3", 3, make_1, begin, impatient, died, end, 0},
    {"sem-timeout-3-death", 3, make_1, begin, impatient, died, end, 1},
    {"sem-try-2-death", 2, make_1, begin, tries, died, end, 1},
    {"sem-given-2", 2, make_0, begin, give_or_keep, NULL, end_given, 0},
    {"sem-given-3-death", 3, make_0, begin, give_or_keep, NULL, end_given, 1},
    {"sem-mixed-3", 3, make_1, begin, mixed, NULL, end_given, 0},
    {"sem-refused-2", 2, make_bounded, begin, refused, NULL, end_refused, 0},
    {"sem-refused-2-death", 2, make_bounded, begin, refused, NULL, end_refused,
     1},
    {"sem-poll-2-death", 2, make_polled, begin_polled, poll_for_one, died, end,
     1},
    {0}};
