/* recall_test.c -- messages that are taken back before anybody took them. */
#include "stop.h"

#include <fcntl.h>

static mp_ref q; /* the queue of the test */

static struct mp__fifo *fifo(void) {
  return mp__at(MP_REF_ID(q));
}

static void opened(enum mp_type type, struct check_use *use) {
  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", use));
  REQUIRE(mp_queue_open(&q, type, 0) == 0);
}

static void closed(const struct check_use *use) {
  CHECK(check_arena("before the end", NULL));
  mp_ref_close(&q);
  CHECK(check_same("in the end", use));
  check_leave();
}

#define LONG (3 * MP_INLINE_MAX)

/* Each begins with its number. */
static void put(uint32_t number, size_t len) {
  static char bytes[LONG];

  memcpy(bytes, &number, sizeof number);
  CHECK_EQ(put_bytes(q, bytes, len, MP_NOW), 0);
}

/* 0: there is none */
static uint32_t get(void) {
  static char bytes[LONG];
  uint32_t number = 0;

  if (get_bytes(q, bytes, sizeof bytes, MP_NOW) > 0)
    memcpy(&number, bytes, sizeof number);
  return number;
}

/* Those are void by that, and nothing behind them is said. */
static void take_back(uint32_t from, uint32_t to, unsigned most, uint32_t first,
                      unsigned n) {
  uint32_t which[64];
  unsigned i;

  memset(which, 0, sizeof which);
  CHECK_EQ(mp_queue_void(q, from, to, which, most), n);
  for (i = 0; i < n; i++)
    CHECK_EQ(which[i], first + i);
  CHECK_EQ(which[n], 0);
}

TEST(some_in_the_middle) {
  struct check_use use;
  uint32_t i;

  opened(MP_TYPE_JOINABLE, &use);
  for (i = 1; i <= 5; i++)
    put(i, 4);
  take_back(2, 4, 2, 2, 2);
  take_back(1, 4, 0, 0, 0);
  take_back(2, 4, 9, 4, 1); /* the others are void already */
  take_back(5, 1, 9, 0, 0);
  take_back(6, 9, 9, 0, 0);
  CHECK_EQ(mp_queue_took(q, 1), 0);
  CHECK_EQ(get(), 1);
  CHECK_EQ(mp_queue_took(q, 1), 1);
  CHECK_EQ(mp_queue_took(q, 4), 1); /* passed over, which is the same */
  CHECK_EQ(mp_queue_took(q, 5), 0);
  CHECK_EQ(mp_queue_len(q), 1);
  CHECK_EQ(fifo()->q.voids, 1); /* until it is empty */
  CHECK_EQ(mp_queue_done(q), 0);
  CHECK_EQ(get(), 5);
  CHECK_EQ(mp_queue_done(q), 0);
  CHECK_EQ(mp_queue_join(q, MP_NOW), 0);
  CHECK_EQ(fifo()->q.voids, 0);
  CHECK_EQ(get(), 0);
  put(6, 4);
  take_back(6, 6, 1, 6, 1);
  CHECK_EQ(fifo()->q.voids, 0);
  put(7, 4);
  CHECK_EQ(get(), 7);
  CHECK_EQ(mp_queue_done(q), 0);
  closed(&use);
}

/* What is last in hand leaves nothing unfinished behind it. */
TEST(all_but_the_first) {
  struct check_use use;
  uint32_t i;

  opened(MP_TYPE_JOINABLE, &use);
  for (i = 1; i <= 3; i++)
    put(i, i == 2 ? LONG : 4);
  take_back(2, 3, 9, 2, 2);
  CHECK_EQ(mp_queue_len(q), 3);
  CHECK_EQ(get(), 1);
  CHECK_EQ(mp_queue_len(q), 0);
  CHECK_EQ(mp_queue_done(q), 0);
  CHECK_EQ(mp_queue_done(q), -MP_EDONE);
  closed(&use);
}

TEST(of_a_queue_that_nobody_joins) {
  struct check_use use;

  opened(MP_TYPE_QUEUE, &use);
  put(1, 4);
  put(2, 4);
  put(3, LONG);
  put(4, 4);
  take_back(2, 3, 9, 2, 2);
  CHECK_EQ(get(), 1);
  CHECK_EQ(get(), 4);
  CHECK_EQ(get(), 0);
  closed(&use);
}

TEST(long_ones_give_their_memory_back) {
  struct check_use use;
  uint32_t i;

  opened(MP_TYPE_QUEUE, &use);
  for (i = 1; i <= 6; i++)
    put(i, i == 4 ? 4 : LONG);
  take_back(1, 2, 9, 1, 2);
  CHECK_EQ(MP__HEAD->garbage, 0);
  CHECK_EQ(fifo()->q.long_got, 2 * LONG);
  CHECK_EQ(mp_queue_len(q), 4);
  CHECK_EQ(get(), 3);
  CHECK_EQ(get(), 4);
  take_back(6, 6, 9, 6, 1);
  CHECK_EQ(get(), 5);
  CHECK_EQ(get(), 0);
  CHECK_EQ(fifo()->q.long_got, fifo()->q.long_put);
  put(7, LONG);
  put(8, LONG);
  take_back(8, 8, 9, 8, 1); /* goes with the queue */
  closed(&use);
}

/* What looks like a name in a short one is none. */
TEST(a_short_one_goes_with_the_queue) {
  const struct mp__obj *o;
  struct check_use use;
  mp_ref event;

  opened(MP_TYPE_QUEUE, &use);
  REQUIRE(mp_event_open(&event) == 0);
  o = mp__at(MP_REF_ID(event));
  put(1, 4);
  CHECK_EQ(put_bytes(q, &event, sizeof event, MP_NOW), 0);
  take_back(2, 2, 9, 2, 1);
  mp_ref_close(&q);
  CHECK_EQ(o->refs[0], 1);
  mp_ref_close(&event);
  closed(&use);
}

#define MANY 40

TEST(across_segments) {
  struct check_use use;
  uint32_t i;

  opened(MP_TYPE_QUEUE, &use);
  for (i = 1; i <= MANY; i++)
    put(i, 500);
  take_back(MANY - 2, MANY, 9, MANY - 2, 3);
  for (i = 1; i <= MANY - 3; i++)
    CHECK_EQ(get(), i);
  CHECK_EQ(get(), 0);
  for (i = 1; i <= MANY; i++)
    put(i, 500);
  take_back(MANY + 1, 2 * MANY - 1, 60, MANY + 1, MANY - 1);
  CHECK_EQ(get(), MANY);
  closed(&use);
}

/* Of somebody who is stopped with a lock: not taken back, or passed over when
 * he goes on. */
TEST(while_one_is_stopped) {
  struct crew crew = {.n = 0};
  struct check_use use;

  opened(MP_TYPE_JOINABLE, &use);
  put(1, LONG);
  put(2, 4);
  stop_with(&crew, &fifo()->q.get_lock);
  take_back(1, 1, 9, 0, 0);
  stop_over(&crew);
  stop_with(&crew, &MP__HEAD->big);
  take_back(1, 1, 9, 1, 1);
  CHECK_EQ(get(), 0);
  CHECK_EQ(mp_queue_join(q, MP_NOW), -MP_ETIMEOUT);
  CHECK_EQ(mp_queue_len(q), 2);
  stop_over(&crew);
  CHECK_EQ(get(), 2);
  CHECK_EQ(mp_queue_done(q), 0);
  CHECK_EQ(mp_queue_join(q, MP_NOW), 0);
  closed(&use);
}

/* Somebody wrote where nobody should: who finds no end says so, and ends. */

static int take_one_back(void *arg) {
  uint32_t which[4];

  (void)dup2(open("/dev/null", O_WRONLY), 2);
  (void)arg;
  (void)mp_queue_void(q, INT32_MAX, INT32_MAX, which, 4);
  return 1;
}

static int pass_over_all(void *arg) {
  (void)dup2(open("/dev/null", O_WRONLY), 2);
  (void)arg;
  return get() == 0;
}

static void finds_no_end(int (*how)(void *arg)) {
  struct crew crew = {.threads = 0};
  int code = 0;

  crew_start(&crew, how, NULL);
  CHECK_EQ(join_until(crew.proc[0], in_ms(5000)), 0);
  CHECK_EQ(mp_proc_exitcode(crew.proc[0], &code), 1);
  CHECK_EQ(code, -SIGABRT);
  mp_ref_close(&crew.proc[0]);
}

TEST(a_circle_is_noticed) {
  struct mp__segment *s;
  struct mp__record *r;
  struct check_block was, *block;
  struct check_use use;
  uint64_t word, list;

  opened(MP_TYPE_QUEUE, &use);
  put(1, 8);
  put(2, 8);
  block = (struct check_block *)mp__at(fifo()->q.get_seg) - 1;
  s = mp__at(fifo()->q.get_seg);
  r = mp__record_at(fifo()->q.get_seg, 0);
  s->next = fifo()->q.get_seg;
  r[0].kind = MP__NEXT; /* nothing but marks */
  finds_no_end(take_one_back);
  was = *block; /* a segment that is passed over is given back */
  list = MP__HEAD->free[block->cls];
  finds_no_end(pass_over_all);
  MP__HEAD->free[block->cls] = list;
  *block = was;
  fifo()->q.get = 0;
  r[0].kind = MP__RECORD;
  r[2].kind = MP__NEXT; /* and with a message */
  word = fifo()->q.put;
  fifo()->q.put |= (uint64_t)1 << 63;
  finds_no_end(take_one_back);
  fifo()->q.voids = 1;
  r[0].kind = MP__RECORD | MP__VOID;
  finds_no_end(pass_over_all);
  MP__HEAD->free[block->cls] = list;
  *block = was;
  r[0].kind = MP__RECORD;
  fifo()->q.voids = 0;
  fifo()->q.get = 0;
  fifo()->q.put = word;
  r[2].kind = MP__RECORD;
  s->next = 0;
  CHECK_EQ(get(), 1);
  CHECK_EQ(get(), 2);
  closed(&use);
}
