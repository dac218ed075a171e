/* full_test.c -- no memory is an error, and leaves all as it was. */
#include "full.h"

static mp_ref lock;

static void found(struct check_use *use) {
  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", use));
}

static void leave(const struct check_use *use) {
  CHECK(check_same("in the end", use));
  check_leave();
}

static int open_lock(mp_ref *held) {
  return mp_mutex_open(held, 0);
}

static int open_event(mp_ref *held) {
  return mp_event_open(held);
}

static int open_sem(mp_ref *held) {
  return mp_sem_open(held, 1, 0);
}

static int open_cond(mp_ref *held) {
  return mp_cond_open(held, lock);
}

static int open_barrier(mp_ref *held) {
  return mp_barrier_open(held, 2, 0, NULL);
}

static int open_queue(mp_ref *held) {
  return mp_queue_open(held, MP_TYPE_QUEUE, 0);
}

TEST(a_lock) {
  struct check_use use;

  found(&use);
  full_check(open_lock);
  leave(&use);
}

TEST(an_event) {
  struct check_use use;

  found(&use);
  full_check(open_event);
  leave(&use);
}

TEST(a_semaphore) {
  struct check_use use;

  found(&use);
  full_check(open_sem);
  leave(&use);
}

TEST(a_condition_and_its_lock) {
  struct check_use use;
  mp_ref cond;

  found(&use);
  REQUIRE(open_lock(&lock) == 0);
  full_check(open_cond);
  REQUIRE(open_cond(&cond) == 0);
  mp_ref_close(&lock); /* it lives in the condition */
  CHECK_EQ(mp_ref_type(mp_cond_mutex(cond)), MP_TYPE_LOCK);
  CHECK_EQ(mp_mutex_acquire(mp_cond_mutex(cond), MP_NOW), 0);
  CHECK_EQ(mp_cond_notify(cond, 1), 0);
  CHECK_EQ(((struct check_cond *)mp__at(MP_REF_ID(cond)))->waiters.len,
           MP__ROSTER_FIRST);
  CHECK_EQ(mp_mutex_release(mp_cond_mutex(cond)), 0);
  mp_ref_close(&cond);
  leave(&use);
}

TEST(a_barrier) {
  struct check_use use;

  found(&use);
  full_check(open_barrier);
  leave(&use);
}

/* Nor can a family be founded, where there are no descriptors. */
TEST(nothing_without_a_family) {
  static int (*const open[])(mp_ref *) = {open_lock, open_event, open_sem,
                                          open_barrier, open_queue};
  struct rlimit was, none;
  mp_ref held = 1;
  unsigned i;

  REQUIRE(getrlimit(RLIMIT_NOFILE, &was) == 0);
  none = was;
  none.rlim_cur = 0;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  for (i = 0; i < sizeof open / sizeof *open; i++) {
    CHECK_EQ(open[i](&held), -EMFILE);
    CHECK_EQ(held, MP_REF_EMPTY);
    held = 1;
  }
  REQUIRE(setrlimit(RLIMIT_NOFILE, &was) == 0);
}

/* There is a block for the parcel, and none for the barrier. */
TEST(a_barrier_with_an_action) {
  struct mp_iov iov = {"act", 3};
  struct mp_out out = {&iov, 1, 0, NULL};
  struct check_use use;
  struct full full;
  mp_ref held = 1;

  found(&use);
  full_begin(&full);
  mp_ref_close(&full.held[--full.n]);
  while (mp_barrier_open(&held, 2, 0, &out) == 0) /* blocks left over */
    full.held[full.n++] = held;
  CHECK_EQ(held, MP_REF_EMPTY);
  CHECK_EQ(mp_event_open(&full.held[full.n++]), 0); /* the block is there */
  full_end(&full);
  leave(&use);
}

TEST(a_queue) {
  struct check_use use;

  found(&use);
  full_check(open_queue);
  leave(&use);
}

/* There is a block for the queue, and none for its first segment. */
TEST(a_queue_without_a_segment) {
  static uint64_t taken[65];
  struct check_use use;
  struct mp__txn t;
  struct full full;
  mp_ref queue, held = 1;
  unsigned n = 0;
  int i;

  found(&use);
  REQUIRE(open_queue(&queue) == 0);
  full_begin(&full);
  mp_ref_close(&queue);
  mp__begin(&t);
  while (n < 64 && mp__alloc(&t, 2048, &taken[n]) == 0)
    n++;
  mp__end(&t);
  for (i = 0; i < 2; i++) { /* the second finds no lock held */
    CHECK_EQ(open_queue(&held), -EFBIG);
    CHECK_EQ(held, MP_REF_EMPTY);
    held = 1;
  }
  mp__begin(&t); /* the block is there */
  CHECK_EQ(mp__alloc(&t, sizeof(struct mp__fifo), &taken[n++]), 0);
  mp__end(&t);
  while (n > 0) {
    mp__begin(&t);
    mp__free(&t, taken[--n]);
    mp__end(&t);
  }
  full_end(&full);
  leave(&use);
}

/* There is none for the next: what is in it stays, and nothing is held. */
TEST(a_queues_next_segment) {
  static char bytes[500];
  char scratch[MP_INLINE_MAX];
  struct mp_iov iov = {bytes, sizeof bytes};
  struct mp_out out = {&iov, 1, 0, NULL};
  struct check_use use;
  struct full full;
  struct mp_msg m;
  int n = 0, i;
  mp_ref q;

  found(&use);
  REQUIRE(open_queue(&q) == 0);
  full_begin(&full);
  while (mp_queue_put(q, &out, MP_NOW, NULL) == 0)
    n++;
  CHECK(n > 1);
  for (i = 0; i < 2; i++) /* the second finds no lock held */
    CHECK_EQ(mp_queue_put(q, &out, MP_NOW, NULL), -EFBIG);
  full_end(&full);
  for (i = 0; i < 100; i++)
    CHECK_EQ(mp_queue_put(q, &out, MP_NOW, NULL), 0);
  for (i = 0; i < n + 100; i++)
    CHECK_EQ(mp_queue_get(q, &m, scratch, MP_NOW), 0);
  CHECK_EQ(mp_queue_get(q, &m, scratch, MP_NOW), -MP_EEMPTY);
  mp_ref_close(&q);
  leave(&use);
}

/* The first item of a consumer needs a row for its account. */
TEST(a_consumers_account) {
  char scratch[MP_INLINE_MAX];
  struct mp_iov iov = {"item", 4};
  struct mp_out out = {&iov, 1, 0, NULL};
  struct check_use use;
  struct full full;
  struct mp_msg m;
  mp_ref q;
  int i;

  found(&use);
  REQUIRE(mp_queue_open(&q, MP_TYPE_JOINABLE, 0) == 0);
  CHECK_EQ(mp_queue_put(q, &out, MP_NOW, NULL), 0);
  full_begin(&full);
  for (i = 0; i < 2; i++)
    CHECK_EQ(mp_queue_get(q, &m, scratch, MP_NOW), -EFBIG);
  CHECK_EQ(mp_queue_len(q), 1);
  full_end(&full);
  CHECK_EQ(mp_queue_get(q, &m, scratch, MP_NOW), 0);
  CHECK_EQ(mp_queue_done(q), 0);
  CHECK_EQ(mp_queue_done(q), -MP_EDONE);
  mp_ref_close(&q);
  leave(&use);
}

/* A long one needs an entry of the ledger: it stays, and is nobody's. */
TEST(a_long_item) {
  static char bytes[3 * MP_INLINE_MAX];
  char scratch[MP_INLINE_MAX];
  struct mp_iov iov = {bytes, sizeof bytes};
  struct mp_out out = {&iov, 1, 0, NULL};
  struct mp_iov little = {"item", 4};
  struct mp_out first = {&little, 1, 0, NULL};
  static mp_ref more[1 << 16];
  struct check_use use;
  struct full full;
  struct mp_msg m;
  unsigned n = 0;
  mp_ref q;

  found(&use);
  REQUIRE(mp_queue_open(&q, MP_TYPE_JOINABLE, 0) == 0);
  CHECK_EQ(mp_queue_put(q, &first, MP_NOW, NULL), 0);
  CHECK_EQ(mp_queue_get(q, &m, scratch, MP_NOW), 0);
  CHECK_EQ(mp_queue_done(q), 0);
  CHECK_EQ(mp_queue_put(q, &out, MP_NOW, NULL), 0);
  full_begin(&full);
  while (n < 1 << 16 && mp_ref_dup(q, &more[n]) == 0)
    n++;
  CHECK_EQ(mp_queue_get(q, &m, scratch, MP_NOW), -EFBIG);
  CHECK_EQ(mp_queue_get(q, &m, scratch, MP_NOW), -EFBIG);
  CHECK_EQ(mp_queue_done(q), -MP_EDONE);
  while (n > 0)
    mp_ref_close(&more[--n]);
  full_end(&full);
  CHECK_EQ(mp_queue_get(q, &m, scratch, MP_NOW), 0);
  CHECK_EQ(m.len, sizeof bytes);
  mp_msg_close(&m);
  CHECK_EQ(mp_queue_join(q, MP_NOW), -MP_ETIMEOUT);
  CHECK_EQ(mp_queue_done(q), 0);
  CHECK_EQ(mp_queue_join(q, MP_NOW), 0);
  mp_ref_close(&q);
  leave(&use);
}
