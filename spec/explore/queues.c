/* queues.c -- scenarios of queue.c, fifo.c and, below them, lock.c and the
 * journal: producers and consumers of a small queue. */
#include "explore.h"
#include "fifo.h"
#include "segment.h"
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

/* As many as there are at some moment, however often it changes. */
static void look_at_len(int self) {
  if (self == 0) {
    put_one(0);
    SIM_CHECK(get_one(MP_NOW) == 0);
    put_one(1);
    SIM_CHECK(get_one(MP_NOW) == 1);
  } else {
    SIM_CHECK(mp_queue_len(queue) <= 1);
  }
}

/* Two are called when there is room for two. */
static void make_full_of_two(void) {
  if (mp_queue_open(&queue, MP_TYPE_QUEUE, 2) < 0)
    abort();
  put_one(0);
  put_one(1);
}

static void begin_full_of_two(void) {
  begin();
  put[0] = put[1] = 2;
}

static void two_more(int self) {
  if (self > 0) {
    put_one(1 + self);
  } else {
    SIM_CHECK(get_one(MP_FOREVER) == 0);
    SIM_CHECK(get_one(MP_FOREVER) == 1);
  }
}

/* Long ones, and so few bytes: only one finds room. */
static void make_narrow(void) {
  make();
  ((struct mp__fifo *)mp__at(MP_REF_ID(queue)))->q.max_long = 1;
}

static void put_long(int self) {
  static char bytes[MP_INLINE_MAX + 1];
  struct mp_iov iov = {bytes, sizeof bytes};
  struct mp_out out = {&iov, 1, 0, NULL};
  int rc = mp_queue_put(queue, &out, MP_NOW, NULL);

  SIM_CHECK(rc == 0 || rc == -MP_EFULL);
  put[self] = rc == 0 ? 2 : 1;
}

static void end_long(void) {
  char scratch[MP_INLINE_MAX];
  struct mp_msg m;

  SIM_CHECK((put[0] == 2) + (put[1] == 2) == 1);
  SIM_CHECK(mp_queue_get(queue, &m, scratch, MP_NOW) == 0);
  mp_msg_close(&m);
  SIM_CHECK(mp_queue_get(queue, &m, scratch, MP_NOW) == -MP_EEMPTY);
}

/* There is room for one of them; who needs more sleeps on. */
static void put_bytes(size_t len, int64_t deadline) {
  static char bytes[3 * (MP_INLINE_MAX + 1)];
  struct mp_iov iov = {bytes, len};
  struct mp_out out = {&iov, 1, 0, NULL};
  int rc;

  do
    rc = mp_queue_put(queue, &out, deadline, NULL);
  while (rc == -EINTR);
  SIM_CHECK(rc == 0 || (rc == -MP_EFULL && deadline != MP_FOREVER));
}

#define ONE (MP_INLINE_MAX + 1)

static void make_long(void) {
  make();
  ((struct mp__fifo *)mp__at(MP_REF_ID(queue)))->q.max_long = 4 * ONE;
  put_bytes(ONE, MP_NOW);
  put_bytes(3 * ONE, MP_NOW);
}

static void take(void) {
  char scratch[MP_INLINE_MAX];
  struct mp_msg m;
  int rc;

  do
    rc = mp_queue_get(queue, &m, scratch, MP_FOREVER);
  while (rc == -EINTR);
  SIM_CHECK(rc == 0);
  mp_msg_close(&m);
}

static void more_long(int self) {
  if (self == 0)
    take();
  else if (self == 1)
    put_bytes(2 * ONE, sim_deadline());
  else
    put_bytes(ONE, MP_FOREVER);
}

/* As in a pipe: no more than two segments. */
#define SHORT 2000

static void make_two_segments(void) {
  struct mp__fifo *f;

  make();
  f = mp__at(MP_REF_ID(queue));
  f->q.two_segs = 1;
  while (f->q.put_seg == f->q.get_seg)
    put_bytes(SHORT, MP_NOW);
  while (((struct mp__segment *)mp__at(f->q.put_seg))->len -
             mp__units(f->q.put) * MP__UNIT >=
         SHORT + 16)
    put_bytes(SHORT, MP_NOW);
}

/* The first gets the first segment's, and one more. */
static void more_short(int self) {
  const struct mp__fifo *f = mp__at(MP_REF_ID(queue));
  uint64_t seg = f->q.get_seg;

  if (self > 0)
    put_bytes(SHORT, MP_FOREVER);
  else
    while (f->q.get_seg == seg)
      take();
}

static void end_sizes(void) {
  const struct mp__fifo *f = mp__at(MP_REF_ID(queue));

  SIM_NOBODY(f->q.room_sleepers);
  while (mp_queue_len(queue) > 0)
    take();
}

/* A pipe: the first has one end, the others have the other. */
static mp_ref ends[3];

static void hold(int who, mp_ref end) {
  struct mp__txn t;

  mp__begin(&t);
  if (mp__hold(&t, mp__at(MP_REF_ID(sim_seat(who))), MP_REF_ID(end),
               &ends[who]) < 0)
    abort();
  mp__ref(&t, MP_REF_ID(end));
  mp__end(&t);
}

static void make_pipe(void) {
  mp_ref a, b;
  int i;

  if (mp_pipe_open(&a, &b, 0) < 0)
    abort();
  for (i = 0; i < 3; i++)
    hold(i, i ? b : a);
  mp_ref_close(&a);
  mp_ref_close(&b);
}

static void let_go(int self) {
  char scratch[MP_INLINE_MAX];
  mp_ref end = ends[self];
  struct mp_msg m;
  int rc;

  if (self == 0) {
    mp_ref_close(&end);
    return;
  }
  do
    rc = mp_pipe_recv(end, &m, scratch, MP_FOREVER);
  while (rc == -EINTR);
  SIM_CHECK(rc == -MP_ECLOSED);
}

static void end_nothing(void) {
}

/* The first closes; whoever waits hears of it. */
static void close_it(int self) {
  char scratch[MP_INLINE_MAX];
  struct mp_msg m;
  int rc;

  if (self == 0) {
    mp_queue_close(queue);
    return;
  }
  do
    rc = mp_queue_get(queue, &m, scratch, MP_FOREVER);
  while (rc == -EINTR);
  SIM_CHECK(rc == -MP_ECLOSED);
}

static void close_full(int self) {
  int item = ITEMS;
  struct mp_iov iov = {&item, sizeof item};
  struct mp_out out = {&iov, 1, 0, NULL};
  int rc;

  if (self == 0) {
    mp_queue_close(queue);
    return;
  }
  do
    rc = mp_queue_put(queue, &out, MP_FOREVER, NULL);
  while (rc == -EINTR);
  SIM_CHECK(rc == -MP_ECLOSED);
}

static void make_full(void) {
  make_bounded();
  put_one(0);
}

static void end_closed(void) {
  const struct mp__fifo *f = mp__at(MP_REF_ID(queue));

  SIM_NOBODY(f->q.item_sleepers);
  SIM_NOBODY(f->q.room_sleepers);
  SIM_CHECK(mp_queue_is_closed(queue));
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

static void end_room(void) {
  const struct mp__fifo *f = mp__at(MP_REF_ID(queue));

  SIM_NOBODY(f->q.room_sleepers);
  SIM_CHECK(get_one(MP_NOW) >= 2);
  SIM_CHECK(get_one(MP_NOW) >= 2);
}

const struct scenario queue_scenarios[] = {
    {"queue-1", 1, make, begin, to_itself, NULL, end, 0},
    {"queue-1-full", 1, make_bounded, begin, to_itself, NULL, end, 0},
    {"queue-close-2", 2, make, begin, close_it, NULL, end_closed, 0},
    {"queue-close-3", 3, make, begin, close_it, NULL, end_closed, 0},
    {"queue-close-full-3", 3, make_full, begin, close_full, NULL, end_closed,
     0},
    {"queue-1p1c", 2, make, begin, one_to_one, NULL, end, 0},
    {"queue-1p1c-full", 2, make_bounded, begin, one_to_one, NULL, end, 0},
    {"queue-1p2c", 3, make, begin, two_consumers, NULL, end, 0},
    {"queue-1p2c-full", 3, make_bounded, begin, two_consumers, NULL, end, 0},
    {"queue-2p1c-full", 3, make_bounded, begin, two_producers, NULL, end, 0},
    {"queue-2p1c-room", 3, make_full_of_two, begin_full_of_two, two_more, NULL,
     end_room, 0},
    {"queue-long-room-3", 3, make_long, begin, more_long, NULL, end_sizes, 0},
    {"queue-segments-3", 3, make_two_segments, begin, more_short, NULL,
     end_sizes, 0},
    {"queue-pipe-3", 3, make_pipe, begin, let_go, NULL, end_nothing, 0},
    {"queue-len-2", 2, make, begin, look_at_len, NULL, end, 0},
    {"queue-long-2", 2, make_narrow, begin, put_long, NULL, end_long, 0},
    {"queue-2p1c-death", 3, make, begin, put_or_look, NULL, end, 1},
    {"queue-poll-2", 2, make_polled, begin_polled, put_or_poll, NULL, end, 0},
    {"queue-poll-2-death", 2, make_polled, begin_polled, put_or_poll, NULL, end,
     1},
    {"queue-poll-3-death", 3, make_polled, begin_polled, put_or_poll, NULL, end,
     1},
    {"queue-2p2c-deaths", 4, make, begin, put_or_look, NULL, end, 2},
    {0}};
