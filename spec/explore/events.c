/* events.c -- scenarios of event.c. */
#include "../core/layout.h"
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

/* Who polls hears of it, whoever dies in the middle. */
static int fd;

static void make_polled(void) {
  make();
  sim_share(event);
  fd = mp_event_fd(event);
}

static void begin_polled(void) {
  begin();
  sim_bell(event, fd);
}

static void poll_set(int self) {
  if (self == 0) {
    mp_event_set(event);
    return;
  }
  for (;;) {
    if (sim_readable(fd)) {
      if (mp_event_is_set(event))
        break;
      mp_event_rearm(event, fd);
    } else if (!sim_alive(0) && !mp_event_is_set(event)) {
      break;
    } else {
      sim_look();
    }
  }
}

/* The last one takes it back; when all is over, what is readable is set. */
static void poll_cleared(int self) {
  if (self == 2)
    mp_event_clear(event);
  else if (self == 0)
    mp_event_set(event);
  else
    mp_event_rearm(event, fd);
}

/* Each takes it back and sets it again: who has seen it down sees the count
 * go up by his set, or by another's. */
static void race(int self) {
  const struct check_event *e = mp__at(MP_REF_ID(event));
  uint64_t seen;

  mp_event_set(event);
  mp_event_clear(event);
  seen = mp__load64_seq(&e->word);
  SIM_CHECK(seen / 2 > 0);
  mp_event_set(event);
  SIM_CHECK(seen & 1 || mp__load64_seq(&e->word) / 2 > seen / 2);
  if (self == 0) {
    seen = mp__load64_seq(&e->word);
    mp_event_clear(event);
    SIM_CHECK(mp__load64_seq(&e->word) / 2 >= seen / 2);
  }
}

static void set_and_clear(int self) {
  (void)self;
  mp_event_set(event);
  mp_event_clear(event);
  mp_event_clear(event);
}

static void end(void) {
  const struct check_event *e = mp__at(MP_REF_ID(event));

  SIM_NOBODY(e->sleepers);
}

static void end_alone(void) {
  SIM_ALONE();
  end();
}

static void end_polled(void) {
  (void)mp__scan();
  mp_event_rearm(event, fd);
  SIM_CHECK(sim_readable(fd) == mp_event_is_set(event));
}

/* Without anybody's help. */
static void end_cleared(void) {
  (void)mp__scan();
  SIM_CHECK(sim_readable(fd) || !mp_event_is_set(event));
  end_polled();
}

const struct scenario event_scenarios[] = {
    {"event-1", 1, make, begin, set_and_clear, NULL, end_alone, 0},
    {"event-race-2", 2, make, begin, race, NULL, end, 0},
    {"event-2", 2, make, begin, set_for_all, NULL, end, 0},
    {"event-3", 3, make, begin, set_for_all, NULL, end, 0},
    {"event-pulse-2", 2, make, begin, pulse, NULL, end, 0},
    {"event-pulse-4", 4, make, begin, pulse, NULL, end, 0},
    {"event-turns-2", 2, make, begin, in_turns, NULL, end, 0},
    {"event-poll-2", 2, make_polled, begin_polled, poll_set, NULL, end_polled,
     0},
    {"event-poll-2-death", 2, make_polled, begin_polled, poll_set, NULL,
     end_polled, 1},
    {"event-poll-3", 3, make_polled, begin_polled, poll_cleared, NULL,
     end_cleared, 0},
    {"event-poll-3-death", 3, make_polled, begin_polled, poll_cleared, NULL,
     end_cleared, 1},
    {0}};
