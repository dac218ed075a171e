/* queues.c -- scenarios of queue.c, fifo.c and, below them, lock.c and the
 * journal: producers and consumers of a small queue. */
#include "explore.h"
#include "fifo.h"
#include "scenarios.h"

#define ITEMS 4

static mp_ref queue;
static int put[ITEMS]; /* 1: under way, 2: put has returned */
static int got[ITEMS]; /* how often it came */

static void make(void) {
  if (mp_queue_open(&queue, MP_TYPE_QUEUE, 0) < 0)
    abort();
}

static void make_bounded(void) {
  if (mp_queue_open(&queue, MP_TYPE_QUEUE, 1) < 0)
    abort();
}

static void begin(void) {
  memset(put, 0, sizeof put);
  memset(got, 0, sizeof got);
}

static void put_one(int item) {
  struct mp_iov iov = {&item, sizeof item};
  struct mp_out out = {&iov, 1, 0, NULL};
  int rc;

  put[item] = 1;
  do
    rc = mp_queue_put(queue, &out, MP_FOREVER, NULL);
  while (rc == -EINTR);
  SIM_CHECK(rc == 0);
  put[item] = 2;
}

static int get_one(int64_t deadline) {
  char scratch[MP_INLINE_MAX];
  struct mp_msg m;
  int item;
  int rc;

  do
    rc = mp_queue_get(queue, &m, scratch, deadline);
  while (rc == -EINTR);
  if (rc == -MP_EEMPTY)
    return -1;
  SIM_CHECK(rc == 0);
  SIM_CHECK(m.len == sizeof item);
  memcpy(&item, m.data, sizeof item);
  SIM_CHECK(item >= 0 && item < ITEMS);
  SIM_CHECK(got[item] == 0);
  SIM_CHECK(put[item] > 0);
  got[item]++;
  return item;
}

/* One puts two, one gets two. */
static void one_to_one(int self) {
  if (self == 0) {
    put_one(0);
    put_one(1);
  } else {
    SIM_CHECK(get_one(MP_FOREVER) == 0);
    SIM_CHECK(get_one(MP_FOREVER) == 1);
  }
}

static void two_consumers(int self) {
  if (self == 0) {
    put_one(0);
    put_one(1);
  } else {
    (void)get_one(MP_FOREVER);
  }
}

static void two_producers(int self) {
  if (self > 0) {
    put_one(self - 1);
  } else {
    (void)get_one(MP_FOREVER);
    (void)get_one(MP_FOREVER);
  }
}

/* With a death: all puts, then nobody needs to wait for what never comes. */
static void put_or_look(int self) {
  if (self < 2)
    put_one(self);
  else
    (void)get_one(MP_NOW);
}

/* Who polls hears of it, whoever dies in the middle. */
static int fd;

static void make_polled(void) {
  make();
  sim_share(queue);
  fd = mp_queue_fd(queue);
}

static void begin_polled(void) {
  begin();
  sim_bell(queue, fd);
}

static void put_or_poll(int self) {
  if (self == 0) {
    put_one(0);
    put_one(1);
    return;
  }
  while (put[1] < 2 || mp_queue_len(queue) > 0) {
    if (sim_readable(fd)) {
      (void)get_one(MP_NOW);
      mp_queue_rearm(queue, fd);
    } else if (!sim_alive(0) && mp_queue_len(queue) == 0) {
      break;
    } else {
      sim_look();
    }
  }
}

/* Puts and gets, and nobody waits. */
static void to_itself(int self) {
  (void)self;
  put_one(0);
  SIM_CHECK(get_one(MP_FOREVER) == 0);
  put_one(1);
  SIM_CHECK(get_one(MP_NOW) == 1);
  SIM_CHECK(get_one(MP_NOW) == -1);
  SIM_ALONE();
}

static void end(void) {
  const struct mp__fifo *f = mp__at(MP_REF_ID(queue));
  int in_hand = 0, i;

  SIM_NOBODY(f->q.item_sleepers);
  SIM_NOBODY(f->q.room_sleepers);

  while (get_one(MP_NOW) >= 0)
    ;
  SIM_CHECK(mp_queue_len(queue) == 0);
  for (i = 0; i < ITEMS; i++)
    in_hand += put[i] == 2 && !got[i];
  /* Of a dead consumer's, one may be lost. */
  SIM_CHECK(in_hand <= (int)sim_deaths());
  put_one(ITEMS - 1);
  SIM_CHECK(get_one(MP_NOW) == ITEMS - 1);
}

const struct scenario queue_scenarios[] = {
    {"queue-1", 1, make, begin, to_itself, NULL, end, 0},
    {"queue-1-full", 1, make_bounded, begin, to_itself, NULL, end, 0},
    {"queue-1p1c", 2, make, begin, one_to_one, NULL, end, 0},
    {"queue-1p1c-full", 2, make_bounded, begin, one_to_one, NULL, end, 0},
    {"queue-1p2c", 3, make, begin, two_consumers, NULL, end, 0},
    {"queue-1p2c-full", 3, make_bounded, begin, two_consumers, NULL, end, 0},
    {"queue-2p1c-full", 3, make_bounded, begin, two_producers, NULL, end, 0},
    {"queue-2p1c-death", 3, make, begin, put_or_look, NULL, end, 1},
    {"queue-poll-2", 2, make_polled, begin_polled, put_or_poll, NULL, end, 0},
    {"queue-poll-2-death", 2, make_polled, begin_polled, put_or_poll, NULL, end,
     1},
    {"queue-poll-3-death", 3, make_polled, begin_polled, put_or_poll, NULL, end,
     1},
    {"queue-2p2c-deaths", 4, make, begin, put_or_look, NULL, end, 2},
    {0}};
