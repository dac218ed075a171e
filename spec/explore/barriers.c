/* barriers.c -- scenarios of barrier.c: all come, or all hear that they do
 * not. */
#include "../core/layout.h"
#include "explore.h"
#include "scenarios.h"

#define ROUNDS 2

static mp_ref barrier;
static int begun[ROUNDS];            /* that came to wait */
static int outcome[ROUNDS][SIM_MAX]; /* what each was told; 0: nothing yet */
static int acting, acted;
static uint32_t missed; /* that died there, with a row */
static int disturbed, repaired;

/* Not in its first phase any more. */
static void open_barrier(uint32_t parties, int action) {
  struct mp_iov iov = {"act", 3};
  struct mp_out out = {&iov, 1, 0, NULL};

  if (mp_barrier_open(&barrier, parties, 0, action ? &out : NULL) < 0)
    abort();
  mp_barrier_reset(barrier);
  sim_share(barrier);
}

static void make_1(void) {
  open_barrier(1, 0);
}

static void make_2(void) {
  open_barrier(2, 0);
}

static void make_3(void) {
  open_barrier(3, 0);
}

static void make_4(void) {
  open_barrier(4, 0);
}

static void make_acting(void) {
  open_barrier(2, 1);
}

static const struct check_barrier *seen(void) {
  return mp__at(MP_REF_ID(barrier));
}

static int parties(void) {
  return (int)mp_barrier_parties(barrier);
}

static void begin(void) {
  memset(begun, 0, sizeof begun);
  memset(outcome, 0, sizeof outcome);
  acting = acted = disturbed = repaired = 0;
  missed = 0;
}

static struct mp__row *row_of(int who) {
  struct mp__walk w =
      MP__WALK((struct mp__roster *)(uintptr_t)&seen()->waiting);
  const struct mp__slot *s = mp__at(MP_REF_ID(sim_seat(who)));
  struct mp__row *row;

  while ((row = mp__walk(&w)))
    if (row->value && row->who == (mp__slot_index(s) | s->gen << 16))
      return row;
  return NULL;
}

static void died(int who) {
  missed += row_of(who) ? 1u : 0u;
}

static int wait_once(int64_t deadline, int good) {
  struct mp_arrival a = {0};
  int rc;

  do
    rc = mp_barrier_wait(barrier, &a, deadline);
  while (rc == -EINTR);
  if (rc == 0) {
    SIM_CHECK(!acting);
    acting = 1;
    sim_step();
    acting = 0;
    acted = good;
    rc = mp_barrier_acted(barrier, &a, good);
  }
  SIM_CHECK(a.row == 0);
  return rc;
}

/* It passed: so did all of the round, each as another one. */
static void pass(int self, int round, int rc) {
  int i;

  SIM_CHECK(rc > 0 && rc <= parties());
  SIM_CHECK(begun[round] == parties());
  for (i = 0; i < SIM_MAX; i++)
    SIM_CHECK(outcome[round][i] != rc);
  outcome[round][self] = rc;
}

static void rounds(int self) {
  int i;

  for (i = 0; i < ROUNDS; i++) {
    begun[i]++;
    pass(self, i, wait_once(MP_FOREVER, 1));
  }
}

/* With deaths: it passes, or it is broken, or one of them never came. */
static void once(int self) {
  int rc;

  begun[0]++;
  rc = wait_once(sim_last_resort(), 1);
  if (rc > 0)
    pass(self, 0, rc);
  else if (rc == -MP_ETIMEOUT)
    SIM_CHECK(sim_deaths() > missed);
  else
    SIM_CHECK(rc == -MP_EBROKEN && sim_deaths() > 0);
}

static void impatient(int self) {
  begun[0]++;
  outcome[0][self] = wait_once(self ? MP_FOREVER : sim_deadline(), 1);
}

static void act(int self) {
  int rc;

  begun[0]++;
  rc = wait_once(sim_last_resort(), 1);
  SIM_CHECK(!acting || sim_deaths() > 0);
  if (rc > 0) {
    SIM_CHECK(acted);
    pass(self, 0, rc);
    return;
  }
  SIM_CHECK(sim_deaths() > 0);
  SIM_CHECK(rc == -MP_EBROKEN || (rc == -MP_ETIMEOUT && !missed));
}

/* Two pairs, one after the other. */
static void act_in_turn(int self) {
  (void)self;
  SIM_CHECK(wait_once(MP_FOREVER, 1) > 0);
}

static void act_badly(int self) {
  (void)self;
  SIM_CHECK(wait_once(MP_FOREVER, 0) == -MP_EBROKEN);
  SIM_CHECK(mp_barrier_broken(barrier));
}

/* The last one cuts the others off, who come again until they pass. */
static void come_again(int self, void (*disturb)(void)) {
  int rc;

  if (self == 2) {
    disturbed = 1;
    disturb();
    repaired = 1;
    return;
  }
  begun[0]++;
  while ((rc = wait_once(sim_last_resort(), 1)) == -MP_EBROKEN) {
    while (!repaired && sim_deaths() == 0)
      sim_pause();
    if (sim_deaths() > 0)
      return;
  }
  if (rc == -MP_ETIMEOUT)
    SIM_CHECK(sim_deaths() > 0);
  else
    pass(self, 0, rc);
}

static void reset(void) {
  mp_barrier_reset(barrier);
}

static void abort_and_reset(void) {
  mp_barrier_abort(barrier);
  SIM_CHECK(mp_barrier_waiting(barrier) == 0);
  mp_barrier_reset(barrier);
}

static void until_reset(int self) {
  come_again(self, reset);
}

static void until_repaired(int self) {
  come_again(self, abort_and_reset);
}

/* It is whole again after a reset, and nobody is there. */
static void end(void) {
  struct mp__walk w =
      MP__WALK((struct mp__roster *)(uintptr_t)&seen()->waiting);
  const struct mp__row *row;
  int i;

  (void)mp__scan();
  SIM_NOBODY(seen()->sleepers);
  /* Whoever dies when all have come breaks nothing. */
  for (i = 0; i < SIM_MAX; i++)
    if (outcome[0][i] > 0 && !disturbed)
      SIM_CHECK(!mp_barrier_broken(barrier));
  SIM_CHECK(mp_barrier_waiting(barrier) == 0);
  while ((row = mp__walk(&w)))
    SIM_CHECK(row->value == 0);
  mp_barrier_reset(barrier);
  SIM_CHECK(!mp_barrier_broken(barrier));
  SIM_CHECK(seen()->lock.word == 0);
}

static void end_alone(void) {
  SIM_ALONE();
  end();
}

static void end_whole(void) {
  SIM_CHECK(!mp_barrier_broken(barrier));
  end();
}

/* Both, or neither. */
static void end_impatient(void) {
  int first = outcome[0][0], second = outcome[0][1];

  SIM_CHECK(first > 0 ? second > 0 && first != second
                      : first == -MP_ETIMEOUT && second == -MP_EBROKEN);
  end();
}

const struct scenario barrier_scenarios[] = {
    {"barrier-1", 1, make_1, begin, rounds, died, end_alone, 0},
    {"barrier-2", 2, make_2, begin, rounds, died, end_whole, 0},
    {"barrier-3", 3, make_3, begin, rounds, died, end_whole, 0},
    {"barrier-2-death", 2, make_2, begin, once, died, end, 1},
    {"barrier-2-deaths", 2, make_2, begin, once, died, end, 2},
    {"barrier-3-death", 3, make_3, begin, once, died, end, 1},
    {"barrier-4-deaths", 4, make_4, begin, once, died, end, 2},
    {"barrier-timeout-2", 2, make_2, begin, impatient, died, end_impatient, 0},
    {"barrier-action-2", 2, make_acting, begin, act, died, end_whole, 0},
    {"barrier-action-2-death", 2, make_acting, begin, act, died, end, 1},
    {"barrier-action-4", 4, make_acting, begin, act_in_turn, died, end, 0},
    {"barrier-action-bad-2", 2, make_acting, begin, act_badly, died, end, 0},
    {"barrier-reset-3", 3, make_2, begin, until_reset, died, end_whole, 0},
    {"barrier-reset-3-death", 3, make_2, begin, until_reset, died, end, 1},
    {"barrier-abort-3", 3, make_2, begin, until_repaired, died, end_whole, 0},
    {0}};
