/* claim_test.c -- joinable queues: what is finished, and what is lost. */
#include "stop.h"

#include <fcntl.h>

static mp_ref q; /* the queue of the test */
static mp_ref gate;

static void opened(struct check_use *use) {
  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", use));
  REQUIRE(mp_queue_open(&q, MP_TYPE_JOINABLE, 0) == 0);
}

static void closed(const struct check_use *use) {
  CHECK(check_arena("before the end", NULL));
  mp_ref_close(&q);
  CHECK(check_same("in the end", use));
  check_leave();
}

static int join_queue(int64_t deadline) {
  int rc;

  do
    rc = mp_queue_join(q, deadline);
  while (rc == -EINTR);
  return rc;
}

/* Items are one byte; what get_bytes took, or '-'. */
static char get_one(int64_t deadline) {
  char byte = '-';

  (void)get_bytes(q, &byte, 1, deadline);
  return byte;
}

TEST(finished_when_each_is_done) {
  struct check_use use;
  int i;

  opened(&use);
  CHECK_EQ(join_queue(MP_NOW), 0);
  CHECK_EQ(mp_queue_done(q), -MP_EDONE);
  for (i = 0; i < 3; i++)
    CHECK_EQ(put_bytes(q, "x", 1, MP_NOW), 0);
  CHECK_EQ(mp_queue_done(q), -MP_EDONE); /* nobody has taken one */
  CHECK_EQ(join_queue(in_ms(20)), -MP_ETIMEOUT);
  for (i = 0; i < 3; i++) {
    CHECK_EQ(get_one(MP_NOW), 'x');
    CHECK_EQ(join_queue(MP_NOW), -MP_ETIMEOUT);
    CHECK_EQ(mp_queue_done(q), 0);
  }
  CHECK_EQ(join_queue(MP_FOREVER), 0);
  CHECK_EQ(mp_queue_done(q), -MP_EDONE);
  CHECK_EQ(get_one(MP_NOW), '-');
  CHECK_EQ(join_queue(MP_NOW), 0);
  closed(&use);
}

TEST(nothing_was_taken) {
  char scratch[MP_INLINE_MAX];
  struct check_use use;
  struct mp_msg m;

  opened(&use);
  memset(&m, 0xff, sizeof m);
  CHECK_EQ(mp_queue_get(q, &m, scratch, MP_NOW), -MP_EEMPTY);
  CHECK_EQ(m.parcel, MP_REF_EMPTY); /* there is nothing to close */
  CHECK_EQ(m.len, 0);
  closed(&use);
}

TEST(numbers_count_from_one) {
  struct check_use use;
  struct mp_iov iov = {"x", 1};
  struct mp_out out = {&iov, 1, 0, NULL};
  static char big[20000];
  uint32_t number = 0;

  opened(&use);
  CHECK_EQ(mp_queue_put(q, &out, MP_NOW, &number), 0);
  CHECK_EQ(number, 1);
  iov = (struct mp_iov){big, sizeof big};
  CHECK_EQ(mp_queue_put(q, &out, MP_NOW, &number), 0);
  CHECK_EQ(number, 2);
  closed(&use);
}

/* A producer waits for room; all that is in the queue is taken back. */
static int put_another(void *arg) {
  (void)arg;
  MUST(put_bytes(gate, "g", 1, MP_NOW) == 0);
  MUST(put_bytes(q, "y", 1, in_ms(5000)) == 0);
  return 0;
}

TWICE(room_comes_from_what_is_taken_back) {
  struct crew crew = {.threads = threads};
  struct check_use use;
  uint32_t which[2];
  char byte;

  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", &use));
  REQUIRE(mp_queue_open(&q, MP_TYPE_JOINABLE, 1) == 0);
  REQUIRE(mp_queue_open(&gate, MP_TYPE_SIMPLE, 0) == 0);
  CHECK_EQ(put_bytes(q, "x", 1, MP_NOW), 0);
  crew_start(&crew, put_another, NULL);
  CHECK_EQ(get_bytes(gate, &byte, 1, in_ms(5000)), 1);
  CHECK_EQ(mp_queue_void(q, 1, 1, which, 2), 1);
  CHECK_EQ(get_one(in_ms(5000)), 'y');
  CHECK_EQ(mp_queue_done(q), 0);
  CHECK_EQ(join_queue(MP_NOW), 0);
  crew_join(&crew);
  mp_ref_close(&gate);
  closed(&use);
}

/* Workers */

#define EACH 2000

static int work(void *arg) {
  char byte;

  (void)arg;
  while (get_bytes(q, &byte, 1, MP_FOREVER) == 1)
    MUST(mp_queue_done(q) == 0);
  return 0;
}

TWICE(a_join_waits_for_all_workers) {
  struct crew crew = {.threads = threads};
  struct check_use use;
  int i, round;

  opened(&use);
  for (i = 0; i < 3; i++)
    crew_start(&crew, work, NULL);
  for (round = 0; round < 3; round++) {
    for (i = 0; i < EACH; i++)
      CHECK_EQ(put_bytes(q, "x", 1, MP_FOREVER), 0);
    CHECK_EQ(join_queue(in_ms(8000)), 0);
    CHECK_EQ(mp_queue_len(q), 0);
  }
  mp_queue_close(q);
  crew_join(&crew);
  CHECK_EQ(join_queue(MP_NOW), 0);
  closed(&use);
}

/* One takes, and hands the item to us with what is to be done about it. */
static int take_and_tell(void *arg) {
  MUST(get_one(MP_FOREVER) == 'x');
  MUST(put_bytes(gate, "g", 1, MP_NOW) == 0);
  if (arg)
    while (pause() < 0)
      ;
  return 0;
}

static int take_and_wait(void *arg) {
  char byte;

  (void)arg;
  MUST(get_one(MP_FOREVER) == 'x');
  MUST(get_bytes(gate, &byte, 1, MP_FOREVER) == 1);
  MUST(mp_queue_done(q) == -MP_EDONE);
  return 0;
}

TWICE(another_may_tell_of_the_end) {
  struct crew crew = {.threads = threads};
  struct check_use use;

  opened(&use);
  REQUIRE(mp_queue_open(&gate, MP_TYPE_SIMPLE, 0) == 0);
  CHECK_EQ(put_bytes(q, "x", 1, MP_NOW), 0);
  crew_start(&crew, take_and_tell, NULL);
  crew_join(&crew);
  /* It has ended with the item; we are late, but not wrong. */
  CHECK_EQ(join_queue(MP_NOW), 1);
  CHECK_EQ(mp_queue_done(q), 0);
  CHECK_EQ(mp_queue_done(q), -MP_EDONE);
  CHECK_EQ(join_queue(MP_NOW), 0);
  mp_ref_close(&gate);
  closed(&use);
}

/* One that lives has it still; and what was told of so is told of. */
TWICE(another_may_tell_of_what_is_held) {
  struct crew crew = {.threads = threads};
  struct check_use use;
  char byte;

  opened(&use);
  REQUIRE(mp_queue_open(&gate, MP_TYPE_SIMPLE, 0) == 0);
  CHECK_EQ(put_bytes(q, "x", 1, MP_NOW), 0);
  crew_start(&crew, take_and_wait, NULL);
  while (mp_queue_len(q) > 0)
    (void)usleep(100);
  CHECK_EQ(join_queue(MP_NOW), -MP_ETIMEOUT);
  CHECK_EQ(mp_queue_done(q), 0);
  CHECK_EQ(join_queue(MP_NOW), 0);
  CHECK_EQ(mp_queue_done(q), -MP_EDONE);
  CHECK_EQ(put_bytes(gate, "g", 1, MP_NOW), 0);
  crew_join(&crew);
  CHECK_EQ(get_bytes(gate, &byte, 1, MP_NOW), -MP_EEMPTY);
  mp_ref_close(&gate);
  closed(&use);
}

/* Somebody wrote where nobody should: a length that is none is not believed,
 * nothing is copied by it, and the item is on nobody's account. */
TEST(a_damaged_length_is_refused) {
  char small[16];
  struct check_use use;
  struct mp__queue *damaged;
  struct mp__record *r;

  opened(&use);
  CHECK_EQ(put_bytes(q, "hello", 5, MP_NOW), 0);
  damaged = &((struct mp__fifo *)mp__at(MP_REF_ID(q)))->q;
  r = mp__record_at(damaged->get_seg, mp__units(damaged->get));
  r->len = MP_INLINE_MAX + 1;
  CHECK_EQ(get_bytes(q, small, sizeof small, MP_NOW), -MP_EDAMAGED);
  CHECK_EQ(mp_queue_done(q), -MP_EDONE);
  r->len = 5;
  CHECK_EQ(get_bytes(q, small, sizeof small, MP_NOW), 5);
  CHECK_EQ(mp_queue_done(q), 0);
  closed(&use);
}

/* The same with a list: who finds no end of it says so, and ends. */
static int tell_of_the_end(void *arg) {
  (void)dup2(open("/dev/null", O_WRONLY), 2);
  if (arg)
    (void)join_queue(MP_NOW);
  else
    (void)mp_queue_done(q);
  return 1;
}

TEST(a_circle_is_noticed) {
  struct mp__fifo *f;
  struct check_use use;
  uint64_t *next;
  int i;

  opened(&use);
  f = mp__at(MP_REF_ID(q));
  CHECK_EQ(put_bytes(q, "x", 1, MP_NOW), 0);
  CHECK_EQ(get_one(MP_NOW), 'x');
  CHECK_EQ(mp_queue_done(q), 0);
  next = mp__at(f->rows); /* the first word of a block of rows */
  CHECK_EQ(*next, 0);
  *next = f->rows;
  for (i = 0; i < 2; i++) {
    struct crew crew = {.threads = 0};
    int code = 0;

    crew_start(&crew, tell_of_the_end, i ? &q : NULL);
    CHECK_EQ(join_until(crew.proc[0], in_ms(5000)), 0);
    CHECK_EQ(mp_proc_exitcode(crew.proc[0], &code), 1);
    CHECK_EQ(code, -SIGABRT);
    mp_ref_close(&crew.proc[0]);
  }
  *next = 0;
  closed(&use);
}

/* Deaths */

static void kill_all(struct crew *crew) {
  int i;

  for (i = 0; i < crew->n; i++)
    CHECK_EQ(mp_proc_signal(crew->proc[i], SIGKILL), 0);
  for (i = 0; i < crew->n; i++) {
    CHECK_EQ(join_until(crew->proc[i], in_ms(2000)), 0);
    mp_ref_close(&crew->proc[i]);
  }
  crew->n = 0;
}

static void many_die(struct crew *crew, int n) {
  char byte;
  int i;

  for (i = 0; i < n; i++)
    CHECK_EQ(put_bytes(q, "x", 1, MP_NOW), 0);
  for (i = 0; i < n; i++)
    crew_start(crew, take_and_tell, q ? &q : NULL);
  for (i = 0; i < n; i++)
    CHECK_EQ(get_bytes(gate, &byte, 1, in_ms(5000)), 1);
}

TEST(items_of_the_dead_count_as_finished) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  int round;

  opened(&use);
  REQUIRE(mp_queue_open(&gate, MP_TYPE_SIMPLE, 0) == 0);
  for (round = 0; round < 2; round++) {
    many_die(&crew, 3);
    CHECK_EQ(join_queue(in_ms(20)), -MP_ETIMEOUT);
    kill_all(&crew);
    CHECK_EQ(join_queue(in_ms(2000)), 1);
    CHECK_EQ(join_queue(in_ms(2000)), 0); /* told once */
  }
  mp_ref_close(&gate);
  closed(&use);
}

/* More than a block of rows; each is used again. */
TEST(rows_for_many_and_for_those_after_them) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  uint32_t number, n;
  uint64_t rows = 0;
  int round;

  opened(&use);
  REQUIRE(mp_queue_open(&gate, MP_TYPE_SIMPLE, 0) == 0);
  for (round = 0; round < 4; round++) {
    many_die(&crew, CREW_MAX);
    if (round == 0)
      rows = ((struct mp__fifo *)mp__at(MP_REF_ID(q)))->rows;
    CHECK_EQ(((struct mp__fifo *)mp__at(MP_REF_ID(q)))->rows, rows);
    kill_all(&crew);
    for (n = 0; mp_queue_lost(q, MP_REF_EMPTY, &number); n++)
      CHECK(number > (uint32_t)round * CREW_MAX &&
            number <= (uint32_t)(round + 1) * CREW_MAX);
    CHECK_EQ(n, CREW_MAX);
    CHECK_EQ(join_queue(MP_NOW), 0);
  }
  mp_ref_close(&gate);
  closed(&use);
}

static int stay(void *arg) {
  (void)arg;
  (void)pause();
  return 1;
}

/* Their seats ask for the same row: the second has the next one. */
TEST(no_more_rows_than_it_takes) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  struct mp__fifo *f;
  int i;

  opened(&use);
  REQUIRE(mp_queue_open(&gate, MP_TYPE_SIMPLE, 0) == 0);
  f = mp__at(MP_REF_ID(q));
  many_die(&crew, 1);
  for (i = 1; i < 14; i++)
    crew_start(&crew, stay, NULL);
  many_die(&crew, 1);
  CHECK_EQ(*(uint64_t *)mp__at(f->rows), 0); /* no second block */
  kill_all(&crew);
  CHECK_EQ(join_queue(in_ms(2000)), 1);
  mp_ref_close(&gate);
  closed(&use);
}

/* Who comes after it does not get a dead one's account, nor its seat's. */
TEST(the_account_of_a_dead_one_is_its_own) {
  struct crew dead = {.threads = 0}, crew = {.threads = 0};
  struct check_use use;
  uint32_t number = 0;

  opened(&use);
  REQUIRE(mp_queue_open(&gate, MP_TYPE_SIMPLE, 0) == 0);
  many_die(&dead, 1);
  kill_all(&dead);
  many_die(&crew, 1);
  CHECK_EQ(mp_queue_lost(q, MP_REF_EMPTY, &number), 1);
  CHECK_EQ(number, 1);
  CHECK_EQ(mp_queue_lost(q, MP_REF_EMPTY, &number), 0);
  CHECK_EQ(join_queue(MP_NOW), -MP_ETIMEOUT);
  kill_all(&crew);
  CHECK_EQ(mp_queue_lost(q, MP_REF_EMPTY, &number), 1);
  CHECK_EQ(number, 2);
  CHECK_EQ(mp_queue_done(q), -MP_EDONE); /* who asked knows of it */
  CHECK_EQ(join_queue(MP_NOW), 0);
  mp_ref_close(&gate);
  closed(&use);
}

/* It was noticed by one who did not come to tell of it. */
TEST(what_is_lost_is_told_by_the_join_that_ends) {
  struct crew dead = {.threads = 0};
  struct check_use use;

  opened(&use);
  REQUIRE(mp_queue_open(&gate, MP_TYPE_SIMPLE, 0) == 0);
  many_die(&dead, 1);
  CHECK_EQ(put_bytes(q, "y", 1, MP_NOW), 0);
  CHECK_EQ(get_one(MP_NOW), 'y');
  kill_all(&dead);
  CHECK_EQ(join_queue(MP_NOW), -MP_ETIMEOUT); /* ours is not finished */
  CHECK_EQ(mp_queue_done(q), 0);
  CHECK_EQ(join_queue(MP_NOW), 1);
  CHECK_EQ(join_queue(MP_NOW), 0);
  CHECK_EQ(mp_queue_done(q), 0); /* late, and not wrong */
  CHECK_EQ(mp_queue_done(q), -MP_EDONE);
  many_die(&dead, 1);
  kill_all(&dead);
  CHECK_EQ(mp_queue_done(q), 0); /* late, and it is lost all the same */
  CHECK_EQ(join_queue(MP_NOW), 1);
  CHECK_EQ(mp_queue_done(q), -MP_EDONE);
  mp_ref_close(&gate);
  closed(&use);
}

/* Who took it back has not come to pass over it. */
TEST(what_is_void_is_finished) {
  struct mp__queue *queue;
  struct check_use use;
  int i;

  opened(&use);
  queue = &((struct mp__fifo *)mp__at(MP_REF_ID(q)))->q;
  for (i = 0; i < 2; i++)
    CHECK_EQ(put_bytes(q, "x", 1, MP_NOW), 0);
  queue->voids = 1;
  for (i = 0; i < 2; i++)
    mp__record_at(queue->get_seg, (uint64_t)i * 2)->kind |= MP__VOID;
  CHECK_EQ(join_queue(MP_NOW), 0);
  CHECK_EQ(mp_queue_len(q), 0);
  closed(&use);
}

/* Death with the get lock in the hand: before the item is out, and after. */
static int die_in_get(void *arg) {
  struct mp__fifo *f = mp__at(MP_REF_ID(q));
  char scratch[MP_INLINE_MAX];
  struct mp_msg m;

  (void)mp__claim_lock(f, MP_NOW);
  if (mp__claim(f, MP_NOW) < 0)
    return 1;
  if (arg && mp__queue_take(&f->q, &m, scratch, MP_NOW) < 0)
    return 1;
  (void)raise(SIGKILL);
  return 1;
}

TEST(a_claim_without_the_item_is_none) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  uint32_t number = 0;

  opened(&use);
  CHECK_EQ(put_bytes(q, "x", 1, MP_NOW), 0);
  CHECK_EQ(put_bytes(q, "y", 1, MP_NOW), 0);
  crew_start(&crew, die_in_get, NULL);
  CHECK_EQ(join_until(crew.proc[0], in_ms(2000)), 0);
  CHECK_EQ(get_one(in_ms(2000)), 'x');
  CHECK_EQ(mp_queue_lost(q, MP_REF_EMPTY, &number), 0);
  mp_ref_close(&crew.proc[0]);
  crew.n = 0;
  crew_start(&crew, die_in_get, &q);
  CHECK_EQ(join_until(crew.proc[0], in_ms(2000)), 0);
  CHECK_EQ(mp_queue_lost(q, MP_REF_EMPTY, &number), 1);
  CHECK_EQ(number, 2);
  CHECK_EQ(mp_queue_lost(q, MP_REF_EMPTY, &number), 0);
  CHECK_EQ(get_one(MP_NOW), '-');
  CHECK_EQ(mp_queue_done(q), 0);
  CHECK_EQ(join_queue(MP_NOW), 0);
  mp_ref_close(&crew.proc[0]);
  closed(&use);
}

/* The join sleeps when the last item's consumer is killed. */
static int kill_soon(void *arg) {
  (void)usleep(50000);
  return mp_proc_signal(*(mp_ref *)arg, SIGKILL) < 0;
}

TEST(a_death_wakes_a_join_at_once) {
  struct crew crew = {.threads = 0}, killer = {.threads = 0};
  struct check_use use;
  int64_t start;

  opened(&use);
  REQUIRE(mp_queue_open(&gate, MP_TYPE_SIMPLE, 0) == 0);
  many_die(&crew, 1);
  crew_start(&killer, kill_soon, &crew.proc[0]);
  start = mp_now();
  CHECK_EQ(join_queue(in_ms(5000)), 1);
  CHECK(mp_now() - start < 1000000000);
  crew_join(&killer);
  kill_all(&crew);
  mp_ref_close(&gate);
  closed(&use);
}
