/* joins.c -- scenarios of claim.c and recall.c: each item is finished by
 * somebody, lost with its consumer, or taken back. */
#include "explore.h"
#include "fifo.h"
#include "scenarios.h"

#define ITEMS 2

static mp_ref queue;
static int took[ITEMS + 1];  /* who has got it, + 1; 0: nobody */
static int doing[ITEMS + 1]; /* 1: it is being finished, or is */
static int back[ITEMS + 1];  /* 1: taken back */
static int lost_told;        /* joins that told of a loss */

static int owed; /* somebody died with an item in his hands */

static void died(int who) {
  int i;

  for (i = 1; i <= ITEMS; i++)
    if (took[i] == who + 1 && !doing[i])
      owed = 1;
}

static void put(uint32_t item) {
  struct mp_iov iov = {&item, sizeof item};
  struct mp_out out = {&iov, 1, 0, NULL};
  uint32_t number = 0;
  int rc;

  do
    rc = mp_queue_put(queue, &out, MP_FOREVER, &number);
  while (rc == -EINTR);
  SIM_CHECK(rc == 0);
  SIM_CHECK(number == item);
}

static void make_empty(void) {
  if (mp_queue_open(&queue, MP_TYPE_JOINABLE, 0) < 0)
    abort();
  sim_share(queue);
}

static void make(void) {
  uint32_t i;

  make_empty();
  for (i = 1; i <= ITEMS; i++)
    put(i);
}

static void begin(void) {
  memset(took, 0, sizeof took);
  memset(doing, 0, sizeof doing);
  memset(back, 0, sizeof back);
  lost_told = owed = 0;
}

/* Its number, or 0 when there is none. */
static uint32_t get(int self, int64_t deadline) {
  char scratch[MP_INLINE_MAX];
  struct mp_msg m;
  uint32_t item;
  int rc;

  do
    rc = mp_queue_get(queue, &m, scratch, deadline);
  while (rc == -EINTR);
  if (rc == -MP_EEMPTY)
    return 0;
  SIM_CHECK(rc == 0 && m.len == sizeof item);
  memcpy(&item, m.data, sizeof item);
  SIM_CHECK(item >= 1 && item <= ITEMS);
  SIM_CHECK(!took[item] && !back[item]);
  took[item] = self + 1;
  return item;
}

static void finish(uint32_t item) {
  doing[item] = 1;
  SIM_CHECK(mp_queue_done(queue) == 0);
}

/* Nothing is unfinished, but what went with the dead. */
static void join(void) {
  int rc, i;

  do
    rc = mp_queue_join(queue, MP_FOREVER);
  while (rc == -EINTR);
  SIM_CHECK(rc == 0 || rc == 1);
  SIM_CHECK(rc == 0 || sim_deaths() > 0);
  lost_told += rc;
  for (i = 1; i <= ITEMS; i++)
    SIM_CHECK(!took[i] || doing[i] || !sim_alive(took[i] - 1));
}

/* The first puts and joins, the other finishes. */
static void put_and_join(int self) {
  uint32_t i;

  for (i = 1; i <= ITEMS; i++)
    if (self == 0)
      put(i);
    else
      finish(get(self, MP_FOREVER));
  if (self == 0) {
    join();
    SIM_CHECK(doing[1] && doing[2]);
  }
}

/* Each finishes what it finds; the first joins then. */
static void work_and_join(int self) {
  uint32_t item;

  while ((item = get(self, MP_NOW)))
    finish(item);
  if (self == 0)
    join();
}

/* Takes all before it finishes any. */
static void hoard_and_join(int self) {
  uint32_t mine[ITEMS];
  int n = 0;

  while (n < ITEMS && (mine[n] = get(self, MP_NOW)))
    n++;
  while (n > 0)
    finish(mine[--n]);
  if (self == 0)
    join();
}

/* Takes both and finishes one; the other is finished by one who has none. */
static void work_for_another(int self) {
  if (self == 1) {
    (void)get(self, MP_FOREVER);
    finish(get(self, MP_FOREVER));
    return;
  }
  while (!took[2])
    sim_pause();
  finish(1);
  join();
  SIM_CHECK(get(self, MP_NOW) == 0);
  SIM_CHECK(doing[2] || mp_queue_done(queue) == -MP_EDONE);
}

static void end(void) {
  const struct mp__fifo *f = mp__at(MP_REF_ID(queue));
  uint32_t item;

  SIM_NOBODY(f->join_sleepers);
  /* What the dead did not come to take is there. */
  while ((item = get(SIM_MAX, MP_NOW)))
    finish(item);
  lost_told += mp_queue_join(queue, MP_NOW);
  SIM_CHECK(lost_told > 0 || !owed);
  SIM_CHECK(mp_queue_join(queue, MP_NOW) == 0); /* told once */
  SIM_CHECK(mp_queue_len(queue) == 0);
}

/* As a pool does: whose worker has died asks for what it held. */
static void work_one(int self) {
  uint32_t item = get(self, MP_NOW);

  if (item)
    finish(item);
}

static void end_lost(void) {
  uint32_t item, number;
  int lost[ITEMS + 1] = {0};
  int i;

  for (i = 0; i < 2; i++) {
    number = 0;
    if (!mp_queue_lost(queue, sim_seat(i), &number))
      continue;
    SIM_CHECK(!sim_alive(i));
    SIM_CHECK(number >= 1 && number <= ITEMS && !lost[number]);
    SIM_CHECK(!took[number] || took[number] == i + 1);
    lost[number] = 1;
    SIM_CHECK(!mp_queue_lost(queue, sim_seat(i), &number));
  }
  while ((item = get(SIM_MAX, MP_NOW))) {
    SIM_CHECK(!lost[item]);
    finish(item);
  }
  for (i = 1; i <= ITEMS; i++) /* nothing has vanished */
    SIM_CHECK(doing[i] || lost[i]);
  SIM_CHECK(mp_queue_join(queue, MP_NOW) == 0); /* it was told above */
}

/* One that takes both tells of the one that it took last. */
static void work_two(int self) {
  uint32_t first = self == 0 ? get(self, MP_NOW) : 0;

  work_one(self);
  if (first)
    finish(first);
}

static void end_lost_two(void) {
  uint32_t item, number = 0;
  int told = 0, i;

  for (i = 0; i < 2; i++)
    if (mp_queue_lost(queue, sim_seat(i), &number)) {
      SIM_CHECK(!sim_alive(i) && number >= 1 && number <= ITEMS);
      SIM_CHECK(!took[number] || took[number] == i + 1);
      told = 1;
    }
  SIM_CHECK(told || !owed);
  while ((item = get(SIM_MAX, MP_NOW))) {
    SIM_CHECK(item != number);
    finish(item);
  }
  SIM_CHECK(mp_queue_join(queue, MP_NOW) == 0);
}

/* The first takes them back, while the other works. */
static void take_back(int self) {
  uint32_t which[ITEMS];
  unsigned n;

  if (self > 0) {
    work_one(self);
    work_one(self);
    return;
  }
  n = mp_queue_void(queue, 1, ITEMS, which, ITEMS);
  while (n-- > 0) {
    SIM_CHECK(which[n] >= 1 && which[n] <= ITEMS);
    SIM_CHECK(!took[which[n]]);
    back[which[n]] = 1;
  }
  join();
}

static void alone(int self) {
  put(1);
  finish(get(self, MP_FOREVER));
  put(2);
  finish(get(self, MP_NOW));
  join();
}

static void end_alone(void) {
  SIM_ALONE();
  end();
}

/* All who join are told. */
static void two_join(int self) {
  if (self > 0) {
    join();
  } else {
    work_one(self);
    work_one(self);
  }
}

/* Who waits for room has it when what is in the queue is taken back. */
static void make_full(void) {
  if (mp_queue_open(&queue, MP_TYPE_JOINABLE, ITEMS) < 0)
    abort();
  sim_share(queue);
  put(1);
  put(2);
}

static void make_room(int self) {
  uint32_t which[ITEMS];
  struct mp_iov iov = {&self, sizeof self};
  struct mp_out out = {&iov, 1, 0, NULL};
  int rc;

  if (self == 0) {
    SIM_CHECK(mp_queue_void(queue, 1, ITEMS, which, ITEMS) == ITEMS);
    return;
  }
  do
    rc = mp_queue_put(queue, &out, MP_FOREVER, NULL);
  while (rc == -EINTR);
  SIM_CHECK(rc == 0);
}

/* One puts two, and each of the others has one. */
static void take_one_each(int self) {
  if (self == 0) {
    put(1);
    put(2);
  } else {
    finish(get(self, MP_FOREVER));
  }
}

/* The other joins, perhaps before they are taken back. */
static void take_back_joined(int self) {
  uint32_t which[ITEMS];

  if (self > 0) {
    work_one(self);
    join();
    return;
  }
  SIM_CHECK(mp_queue_void(queue, 1, 1, which, ITEMS) <= 1);
  SIM_CHECK(mp_queue_void(queue, 1, ITEMS, which, ITEMS) <= ITEMS);
}

static void end_joined(void) {
  SIM_CHECK(get(SIM_MAX, MP_NOW) == 0);
  end();
}

static void end_room(void) {
  char scratch[MP_INLINE_MAX];
  struct mp_msg m;

  SIM_NOBODY(((struct mp__fifo *)mp__at(MP_REF_ID(queue)))->q.room_sleepers);
  while (mp_queue_get(queue, &m, scratch, MP_NOW) == 0)
    SIM_CHECK(mp_queue_done(queue) == 0);
}

static void end_taken_back(void) {
  int i;

  SIM_CHECK(get(SIM_MAX, MP_NOW) == 0 || sim_deaths() > 0);
  if (sim_deaths() == 0)
    for (i = 1; i <= ITEMS; i++)
      SIM_CHECK(!took[i] != !back[i]);
  for (i = 1; i <= ITEMS; i++)
    if (took[i] == SIM_MAX + 1)
      finish((uint32_t)i);
  end();
}

const struct scenario join_scenarios[] = {
    {"join-1", 1, make_empty, begin, alone, died, end_alone, 0},
    {"join-all-3", 3, make, begin, two_join, died, end, 0},
    {"join-2", 2, make_empty, begin, put_and_join, died, end, 0},
    {"join-work-2", 2, make, begin, work_and_join, died, end, 0},
    {"join-work-2-death", 2, make, begin, work_and_join, died, end, 1},
    {"join-work-3-death", 3, make, begin, work_and_join, died, end, 1},
    {"join-work-4-deaths", 4, make, begin, work_and_join, died, end, 2},
    {"join-hoard-3-death", 3, make, begin, hoard_and_join, died, end, 1},
    {"join-each-3", 3, make_empty, begin, take_one_each, died, end, 0},
    {"join-another-2", 2, make, begin, work_for_another, died, end, 0},
    {"join-lost-2-death", 2, make, begin, work_one, died, end_lost, 1},
    {"join-lost-2-deaths", 2, make, begin, work_one, died, end_lost, 2},
    {"join-lost-two-2-death", 2, make, begin, work_two, died, end_lost_two, 1},
    {"recall-room-2", 2, make_full, begin, make_room, NULL, end_room, 0},
    {"recall-room-3", 3, make_full, begin, make_room, NULL, end_room, 0},
    {"recall-join-2", 2, make, begin, take_back_joined, died, end_joined, 0},
    {"recall-2", 2, make, begin, take_back, died, end_taken_back, 0},
    {"recall-2-death", 2, make, begin, take_back, died, end_taken_back, 1},
    {"recall-3-death", 3, make, begin, take_back, died, end_taken_back, 1},
    {0}};
