/* events.c -- scenarios of event.c. */
#include "explore.h"
#include "scenarios.h"

static mp_ref event, back;
static int began; /* waits that began before the set */

static void make(void) {
  if (mp_event_open(&event) < 0 || mp_event_open(&back) < 0)
    abort();
}

static void begin(void) {
  began = 0;
}

static int wait_since(mp_ref e, uint64_t since) {
  int rc;

  do
    rc = mp_event_wait(e, since, MP_FOREVER);
  while (rc == -EINTR);
  return rc;
}

/* The first sets it (twice, cleared in between), the others wait. */
static void set_for_all(int self) {
  if (self == 0) {
    mp_event_set(event);
    mp_event_clear(event);
    mp_event_set(event);
    return;
  }
  SIM_CHECK(wait_since(event, mp_event_sets(event)) == 0);
}

/* A pulse: it reaches those who had begun. */
static void pulse(int self) {
  uint64_t since;

  if (self == 0) {
    mp_event_set(event);
    mp_event_clear(event);
    return;
  }
  since = mp_event_sets(event);
  if (since > 0)
    return; /* too late */
  SIM_CHECK(wait_since(event, since) == 0);
}

static void in_turns(int self) {
  if (self == 0) {
    mp_event_set(event);
    SIM_CHECK(wait_since(back, mp_event_sets(back)) == 0);
    mp_event_clear(back);
  } else {
    SIM_CHECK(wait_since(event, mp_event_sets(event)) == 0);
    mp_event_clear(event);
    mp_event_set(back);
  }
}

static void end(void) {
}

const struct scenario event_scenarios[] = {
    {"event-2", 2, make, begin, set_for_all, NULL, end, 0},
    {"event-3", 3, make, begin, set_for_all, NULL, end, 0},
    {"event-pulse-2", 2, make, begin, pulse, NULL, end, 0},
    {"event-pulse-4", 4, make, begin, pulse, NULL, end, 0},
    {"event-turns-2", 2, make, begin, in_turns, NULL, end, 0},
    {0}};
