/* queue_test.c -- pipes and the queues in them. */
#include "crew.h"

#include <poll.h>

static mp_ref a, b; /* the pipe of the test */

static void fill(unsigned char *p, size_t n, unsigned seed) {
  size_t i;

  for (i = 0; i < n; i++)
    p[i] = (unsigned char)(seed + i * 7 + (i >> 8));
}

static int same(const void *p, size_t n, unsigned seed) {
  const unsigned char *c = p;
  size_t i;

  for (i = 0; i < n; i++)
    if (c[i] != (unsigned char)(seed + i * 7 + (i >> 8)))
      return 0;
  return 1;
}

static void opened(unsigned flags, struct check_use *use) {
  REQUIRE(mp_enter() == 0);
  if (use)
    CHECK(check_arena("at first", use));
  REQUIRE(mp_pipe_open(&a, &b, flags) == 0);
}

static void closed(const struct check_use *use) {
  mp_ref_close(&a);
  mp_ref_close(&b);
  CHECK(check_same("in the end", use));
  check_leave();
}

TEST(sizes) {
  static const size_t sizes[] = {0,    1,     7,     8,      9,       2047,
                                 2048, 8191,  8192,  8193,   8200,    65535,
                                 1,    65536, 65537, 100000, 1 << 20, 3};
  static unsigned char out[1 << 20];
  char scratch[MP_INLINE_MAX];
  struct check_use use;
  struct mp_msg m;
  unsigned i, round;

  opened(0, &use);
  for (round = 0; round < 3; round++) {
    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      mp_ref from = round & 1 ? b : a, to = round & 1 ? a : b;

      fill(out, sizes[i], i);
      CHECK_EQ(send_bytes(from, out, sizes[i], MP_NOW), 0);
      CHECK_EQ(poll_until(to, MP_NOW), 1);
      CHECK_EQ(poll_until(from, MP_NOW), 0);
      CHECK(check_arena("with a message", NULL));
      REQUIRE(recv_msg(to, &m, scratch, MP_NOW) == 0);
      CHECK_EQ(m.len, sizes[i]);
      CHECK_EQ(m.nrefs, 0);
      CHECK(same(m.data, m.len, i));
      mp_msg_close(&m);
      CHECK_EQ(poll_until(to, MP_NOW), 0);
    }
  }
  closed(&use);
}

TEST(pieces) {
  char scratch[MP_INLINE_MAX];
  const struct mp_iov iov[] = {
      {"ab", 2}, {NULL, 0}, {"cde", 3}, {"", 0}, {"f", 1}};
  struct mp_out out = {iov, 5, 0, NULL};
  struct check_use use;
  struct mp_msg m;

  opened(0, &use);
  CHECK_EQ(send_out(a, &out, MP_NOW), 0);
  REQUIRE(recv_msg(b, &m, scratch, MP_NOW) == 0);
  CHECK_EQ(m.len, 6);
  CHECK(memcmp(m.data, "abcdef", 6) == 0);
  mp_msg_close(&m);
  out.niov = 0;
  CHECK_EQ(send_out(a, &out, MP_NOW), 0);
  REQUIRE(recv_msg(b, &m, scratch, MP_NOW) == 0);
  CHECK_EQ(m.len, 0);
  closed(&use);
}

TEST(order_is_kept_across_segments_and_parcels) {
  static unsigned char big[40000];
  struct check_use use;
  unsigned put = 0, got = 0, i;
  unsigned char *buf = malloc(sizeof big);

  opened(0, &use);
  for (i = 0; i < 3000; i++) {
    size_t len = put % 17 == 0 ? 20000 : put % 5 == 0 ? 3000 : put % 100;

    memcpy(big, &put, sizeof put);
    if (send_bytes(a, big, len + sizeof put, MP_NOW) == 0)
      put++;
    if (i % 3 == 0 && got < put) {
      unsigned n = 0;

      CHECK(recv_bytes(b, buf, sizeof big, MP_NOW) >= 4);
      memcpy(&n, buf, sizeof n);
      CHECK_EQ(n, got);
      got++;
    }
    if (i % 100 == 0)
      CHECK(check_arena("in between", NULL));
  }
  CHECK(put > 1000);
  for (; got < put; got++) {
    unsigned n = 0;

    CHECK(recv_bytes(b, buf, sizeof big, MP_NOW) >= 4);
    memcpy(&n, buf, sizeof n);
    CHECK_EQ(n, got);
  }
  CHECK_EQ(recv_bytes(b, buf, 1, MP_NOW), -MP_ETIMEOUT);
  free(buf);
  closed(&use);
}

TEST(a_full_pipe_refuses_and_goes_on_when_there_is_room) {
  char bytes[1000];
  struct check_use use, full;
  uint64_t top = 0;
  int n, round;

  memset(bytes, 1, sizeof bytes);
  opened(MP_PIPE_SIMPLEX, &use);
  for (round = 0; round < 20; round++) {
    for (n = 0; send_bytes(b, bytes, sizeof bytes, MP_NOW) == 0; n++)
      REQUIRE(n < 1000);
    CHECK(n > 1);
    CHECK_EQ(send_bytes(b, bytes, sizeof bytes, in_ms(30)), -MP_ETIMEOUT);
    CHECK(check_arena("when full", &full));
    if (round == 3)
      top = full.top;
    if (round > 3)
      CHECK_EQ(full.top, top);
    while (n-- > 0)
      CHECK_EQ(recv_bytes(a, bytes, sizeof bytes, MP_NOW), sizeof bytes);
    CHECK_EQ(recv_bytes(a, bytes, 1, MP_NOW), -MP_ETIMEOUT);
  }
  closed(&use);
}

TEST(parcels_are_bounded_but_one_always_fits) {
  size_t len = 20 << 20;
  unsigned char *big = calloc(1, len);
  struct check_use use;
  int n;

  opened(0, &use);
  CHECK_EQ(send_bytes(a, big, len, MP_NOW), 0);
  CHECK_EQ(send_bytes(a, big, 9000, MP_NOW), -MP_ETIMEOUT);
  CHECK_EQ(send_bytes(a, big, 100, MP_NOW), 0);
  CHECK_EQ(recv_bytes(b, big, len, MP_NOW), (int64_t)len);
  CHECK_EQ(recv_bytes(b, big, len, MP_NOW), 100);
  for (n = 0; send_bytes(a, big, 1 << 20, MP_NOW) == 0; n++)
    REQUIRE(n < 100);
  CHECK_EQ(n, 16);
  CHECK(check_arena("with parcels", NULL));
  free(big);
  closed(&use); /* with the parcels in it */
}

TEST(modes) {
  struct check_use use;
  char byte;

  opened(MP_PIPE_SIMPLEX, &use);
  CHECK_EQ(mp_pipe_modes(a), MP_PIPE_READABLE);
  CHECK_EQ(mp_pipe_modes(b), MP_PIPE_WRITABLE);
  CHECK_EQ(mp_ref_type(a), MP_TYPE_PIPE);
  CHECK_EQ(send_bytes(b, "x", 1, MP_NOW), 0);
  CHECK_EQ(recv_bytes(a, &byte, 1, MP_NOW), 1);
  closed(&use);
  opened(0, &use);
  CHECK_EQ(mp_pipe_modes(a), MP_PIPE_READABLE | MP_PIPE_WRITABLE);
  CHECK_EQ(mp_pipe_modes(b), MP_PIPE_READABLE | MP_PIPE_WRITABLE);
  closed(&use);
}

TEST(deadlines_are_kept) {
  struct check_use use;
  int64_t start;
  char byte;

  opened(0, &use);
  CHECK_EQ(recv_bytes(b, &byte, 1, MP_NOW), -MP_ETIMEOUT);
  CHECK_EQ(recv_bytes(b, &byte, 1, mp_now() - 1), -MP_ETIMEOUT);
  start = mp_now();
  CHECK_EQ(recv_bytes(b, &byte, 1, in_ms(70)), -MP_ETIMEOUT);
  CHECK(mp_now() - start >= 70000000);
  start = mp_now();
  CHECK_EQ(poll_until(b, in_ms(10)), 0);
  CHECK(mp_now() - start >= 10000000);
  closed(&use);
}

TEST(the_end_comes_behind_what_is_queued) {
  struct check_use use;
  char byte;

  opened(0, &use);
  CHECK_EQ(send_bytes(a, "1", 1, MP_NOW), 0);
  CHECK_EQ(send_bytes(a, "2", 1, MP_NOW), 0);
  mp_ref_close(&a);
  CHECK_EQ(poll_until(b, MP_NOW), 1);
  CHECK_EQ(recv_bytes(b, &byte, 1, MP_FOREVER), 1);
  CHECK_EQ(recv_bytes(b, &byte, 1, MP_FOREVER), 1);
  CHECK_EQ(poll_until(b, MP_FOREVER), 1);
  CHECK_EQ(recv_bytes(b, &byte, 1, MP_FOREVER), -MP_ECLOSED);
  CHECK_EQ(send_bytes(b, "x", 1, MP_FOREVER), -MP_ECLOSED);
  closed(&use);
}

TEST(an_end_is_open_while_anyone_holds_it) {
  struct check_use use;
  mp_ref again;
  char byte;

  opened(0, &use);
  CHECK_EQ(mp_ref_dup(a, &again), 0);
  mp_ref_close(&a);
  CHECK_EQ(send_bytes(again, "1", 1, MP_NOW), 0);
  CHECK_EQ(recv_bytes(b, &byte, 1, MP_NOW), 1);
  CHECK_EQ(recv_bytes(b, &byte, 1, MP_NOW), -MP_ETIMEOUT);
  mp_ref_close(&again);
  mp_ref_close(&again); /* total */
  CHECK_EQ(recv_bytes(b, &byte, 1, MP_NOW), -MP_ECLOSED);
  closed(&use);
}

TEST(ends_travel_in_messages) {
  char scratch[MP_INLINE_MAX];
  struct check_use use;
  mp_ref c, d, e, many[200];
  struct mp_msg m;
  char byte;
  int i;

  opened(0, &use);
  REQUIRE(mp_pipe_open(&c, &d, 0) == 0);
  CHECK_EQ(send_refs(a, "it", 2, &c, 1, MP_NOW), 0);
  mp_ref_close(&c); /* the message holds it */
  CHECK_EQ(recv_bytes(d, &byte, 1, MP_NOW), -MP_ETIMEOUT);
  CHECK(check_arena("under way", NULL));
  REQUIRE(recv_msg(b, &m, scratch, MP_NOW) == 0);
  CHECK_EQ(m.nrefs, 1);
  CHECK_EQ(m.len, 2);
  CHECK_EQ(mp_ref_dup(m.refs[0], &e), 0);
  mp_msg_close(&m);
  CHECK_EQ(send_bytes(e, "x", 1, MP_NOW), 0);
  CHECK_EQ(recv_bytes(d, &byte, 1, MP_NOW), 1);
  for (i = 0; i < 200; i++)
    many[i] = i & 1 ? d : e;
  CHECK_EQ(send_refs(a, "", 0, many, 200, MP_NOW), 0);
  mp_ref_close(&e);
  mp_ref_close(&d);
  CHECK(check_arena("with many", NULL));
  closed(&use); /* and with it the other pipe */
}

TEST(a_chain_of_pipes_goes_at_once) {
  struct check_use use;
  mp_ref prev, c, d;
  int i;

  opened(0, &use);
  CHECK_EQ(mp_ref_dup(a, &prev), 0);
  for (i = 0; i < 300; i++) { /* each holds the one before */
    REQUIRE(mp_pipe_open(&c, &d, 0) == 0);
    CHECK_EQ(send_refs(c, "", 0, &prev, 1, MP_NOW), 0);
    mp_ref_close(&prev);
    mp_ref_close(&c);
    prev = d;
  }
  CHECK(check_arena("with the chain", NULL));
  mp_ref_close(&prev);
  closed(&use);
}

static int readable(int fd) {
  struct pollfd p = {fd, POLLIN, 0};

  return poll(&p, 1, 0) == 1;
}

TEST(a_descriptor_tells_of_items_and_of_the_end) {
  struct mp_ready r = MP_READY_EMPTY, again = MP_READY_EMPTY;
  struct check_use use;
  char byte;
  int i;

  opened(0, &use);
  REQUIRE(mp_pipe_ready(b, &r) > 2);
  CHECK(!readable(r.fd));
  for (i = 0; i < 3; i++) {
    CHECK_EQ(send_bytes(a, "x", 1, MP_NOW), 0);
    CHECK_EQ(send_bytes(a, "y", 1, MP_NOW), 0);
    CHECK(readable(r.fd));
    CHECK_EQ(recv_bytes(b, &byte, 1, MP_NOW), 1);
    mp_pipe_rearm(b, &r);
    CHECK(readable(r.fd));
    CHECK_EQ(recv_bytes(b, &byte, 1, MP_NOW), 1);
    mp_pipe_rearm(b, &r);
    CHECK(!readable(r.fd));
  }
  CHECK(check_arena("with a bell", NULL));
  CHECK(mp_pipe_ready(b, &again) > 2 && again.fd != r.fd);
  mp_ref_close(&a);
  CHECK(readable(r.fd));
  CHECK(readable(again.fd));
  mp_ready_close(&again);
  mp_ready_close(&r);
  closed(&use);
}

static int hold_a(void *arg) {
  (void)arg;
  mp_ref_close(&b);
  while (pause() < 0)
    ;
  return 1;
}

/* The one who holds the other end is killed, swept by somebody, and his seat
 * is another's: the descriptor tells of the end, and else is quiet. */
TEST(a_descriptor_and_a_peer_that_is_killed) {
  struct mp_ready r = MP_READY_EMPTY;
  struct check_use use;
  int last, i;
  char byte;

  opened(0, &use);
  for (last = 0; last < 2; last++) {
    struct crew crew = {.threads = 0};
    struct pollfd p;

    crew_start(&crew, hold_a, NULL);
    if (last)
      mp_ref_close(&a);
    REQUIRE(mp_pipe_ready(b, &r) > 2);
    CHECK(!readable(r.fd));
    CHECK_EQ(mp_proc_signal(crew.proc[0], SIGKILL), 0);
    p = (struct pollfd){r.fd, POLLIN, 0};
    CHECK_EQ(poll(&p, 1, 2000), 1);
    CHECK_EQ(join_until(crew.proc[0], in_ms(2000)), 0);
    mp_ref_close(&crew.proc[0]);
    crew.n = 0;
    for (i = 0; i < 2; i++)
      crew_start(&crew, hold_a, NULL);
    mp_pipe_rearm(b, &r);
    CHECK_EQ(readable(r.fd), last);
    CHECK_EQ(recv_bytes(b, &byte, 1, MP_NOW),
             last ? -MP_ECLOSED : -MP_ETIMEOUT);
    for (i = 0; i < 2; i++) {
      CHECK_EQ(mp_proc_signal(crew.proc[i], SIGKILL), 0);
      CHECK_EQ(join_until(crew.proc[i], in_ms(2000)), 0);
      mp_ref_close(&crew.proc[i]);
    }
  }
  mp_ready_close(&r);
  closed(&use);
}

/* A forked child has the parent's copy: it makes one of its own. */
static struct mp_ready copied;

static int use_the_copy(void *arg) {
  char byte;

  (void)arg;
  mp_pipe_rearm(b, &copied);
  MUST(!readable(copied.fd));
  MUST(send_bytes(a, "x", 1, MP_NOW) == 0);
  MUST(readable(copied.fd));
  MUST(recv_bytes(b, &byte, 1, MP_NOW) == 1);
  mp_pipe_rearm(b, &copied);
  MUST(!readable(copied.fd));
  MUST(send_bytes(b, "x", 1, MP_NOW) == 0);
  while (pause() < 0)
    ;
  return 1;
}

TEST(a_descriptor_in_a_forked_child) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  char byte;
  int i;

  opened(0, &use);
  copied = MP_READY_EMPTY;
  crew_start(&crew, hold_a, NULL);
  REQUIRE(mp_pipe_ready(b, &copied) > 2);
  crew_start(&crew, use_the_copy, NULL);
  CHECK_EQ(recv_bytes(a, &byte, 1, in_ms(3000)), 1);
  CHECK_EQ(mp_proc_signal(crew.proc[0], SIGKILL), 0);
  CHECK_EQ(join_until(crew.proc[0], in_ms(2000)), 0);
  for (i = 0; i < 3; i++) {
    mp_pipe_rearm(b, &copied);
    CHECK(!readable(copied.fd));
  }
  CHECK_EQ(send_bytes(a, "x", 1, MP_NOW), 0);
  CHECK(readable(copied.fd));
  CHECK_EQ(mp_proc_signal(crew.proc[1], SIGKILL), 0);
  CHECK_EQ(join_until(crew.proc[1], in_ms(2000)), 0);
  mp_ref_close(&crew.proc[0]);
  mp_ref_close(&crew.proc[1]);
  mp_ready_close(&copied);
  closed(&use);
}

/* The raw queue: no bound but the number of items. */
TEST(a_queue_with_a_limit_of_items) {
  char scratch[MP_INLINE_MAX];
  struct mp_iov iov = {"x", 1};
  struct mp_out out = {&iov, 1, 0, NULL};
  struct check_use use;
  struct mp__full full;
  struct mp__queue *q;
  struct mp__txn t;
  struct mp_msg m;
  uint64_t off;
  int i;

  opened(0, &use);
  mp__begin(&t);
  REQUIRE(mp__alloc(&t, sizeof *q, &off) == 0);
  q = mp__at(off);
  memset(q, 0, sizeof *q);
  REQUIRE(mp__queue_init(&t, q, 0) == 0);
  mp__end(&t);
  q->max_items = 3;
  for (i = 0; i < 3; i++)
    CHECK_EQ(mp__queue_put(q, &out, &full, MP_NOW), 0);
  CHECK_EQ(mp__queue_put(q, &out, &full, MP_NOW), -MP_EFULL);
  CHECK_EQ(*full.word, full.seen);
  CHECK_EQ(mp__queue_len(q), 3);
  CHECK_EQ(mp__queue_get(q, &m, scratch, MP_NOW), 0);
  CHECK(*full.word != full.seen);
  CHECK_EQ(mp__queue_put(q, &out, &full, MP_NOW), 0);
  CHECK_EQ(mp__queue_put(q, &out, &full, MP_NOW), -MP_EFULL);
  q->max_items = 0;
  for (i = 0; i < 100000; i++)
    CHECK_EQ(mp__queue_put(q, &out, &full, MP_NOW), 0);
  CHECK_EQ(mp__queue_len(q), 100003);
  for (i = 0; i < 50000; i++)
    CHECK_EQ(mp__queue_get(q, &m, scratch, MP_NOW), 0);
  do {
    mp__begin(&t);
    i = mp__queue_step(&t, q);
    mp__end(&t);
  } while (i);
  mp__begin(&t);
  mp__free(&t, off);
  mp__end(&t);
  closed(&use);
}

/* Many at once: each item once, each producer's in order. */

#define PRODUCERS 3
#define CONSUMERS 3
#define ITEMS 2000

struct item {
  unsigned producer, seq, len, sum;
  unsigned char rest[12000];
};

static unsigned sum_of(const struct item *it) {
  unsigned sum = it->producer * 31 + it->seq * 17 + it->len, i;

  for (i = 0; i < it->len; i++)
    sum = sum * 33 + it->rest[i];
  return sum;
}

static mp_ref results_in, results_out;

static int produce(void *arg) {
  struct item *it = calloc(1, sizeof *it);
  const size_t head = offsetof(struct item, rest);
  mp_ref to, held;
  unsigned i, k;

  MUST(mp_ref_dup(a, &to) == 0);
  MUST(mp_ref_dup(results_in, &held) == 0);
  it->producer = (unsigned)(uintptr_t)arg;
  for (i = 0; i < ITEMS; i++) {
    it->seq = i;
    it->len = i % 50 == 0 ? 12000 : i % 9 == 0 ? 3000 : i % 60;
    for (k = 0; k < it->len; k++)
      it->rest[k] = (unsigned char)(i + k * it->producer);
    it->sum = sum_of(it);
    if (i % 77 == 0)
      MUST(send_refs(to, it, head + it->len, &held, 1, in_ms(8000)) == 0);
    else
      MUST(send_bytes(to, it, head + it->len, in_ms(8000)) == 0);
  }
  mp_ref_close(&to);
  mp_ref_close(&held);
  free(it);
  return 0;
}

/* Sends what it has seen: how many, and the sum of producer and seq. */
static int consume(void *arg) {
  struct item *it = calloc(1, sizeof *it);
  const size_t head = offsetof(struct item, rest);
  int64_t last[PRODUCERS];
  uint64_t tally[2] = {0, 0};
  mp_ref from, held;
  int64_t n;
  unsigned i;

  (void)arg;
  for (i = 0; i < PRODUCERS; i++)
    last[i] = -1;
  MUST(mp_ref_dup(b, &from) == 0);
  MUST(mp_ref_dup(results_in, &held) == 0);
  for (;;) {
    n = recv_bytes(from, it, sizeof *it, in_ms(8000));
    MUST(n >= (int64_t)head);
    if (it->producer == PRODUCERS)
      break;
    MUST(n == (int64_t)(head + it->len));
    MUST(it->sum == sum_of(it));
    MUST(it->producer < PRODUCERS);
    MUST(it->seq > last[it->producer]);
    last[it->producer] = it->seq;
    tally[0]++;
    tally[1] += (uint64_t)it->producer * ITEMS + it->seq;
  }
  MUST(send_bytes(held, tally, sizeof tally, in_ms(8000)) == 0);
  mp_ref_close(&from);
  mp_ref_close(&held);
  free(it);
  return 0;
}

TWICE(many_producers_and_consumers) {
  struct crew makers = {.threads = threads}, takers = {.threads = threads};
  uint64_t n = PRODUCERS * ITEMS, tally[2], sum[2] = {0, 0};
  struct item stop = {.producer = PRODUCERS};
  struct check_use use;
  uintptr_t i;

  opened(0, &use);
  REQUIRE(mp_pipe_open(&results_out, &results_in, 0) == 0);
  for (i = 0; i < CONSUMERS; i++)
    crew_start(&takers, consume, NULL);
  for (i = 0; i < PRODUCERS; i++)
    crew_start(&makers, produce, (void *)i);
  crew_join(&makers);
  for (i = 0; i < CONSUMERS; i++)
    CHECK_EQ(send_bytes(a, &stop, offsetof(struct item, rest), in_ms(1000)), 0);
  crew_join(&takers);
  for (i = 0; i < CONSUMERS; i++) {
    CHECK_EQ(recv_bytes(results_out, tally, sizeof tally, in_ms(1000)),
             sizeof tally);
    sum[0] += tally[0];
    sum[1] += tally[1];
  }
  CHECK_EQ(sum[0], n);
  CHECK_EQ(sum[1], n * (n - 1) / 2);
  mp_ref_close(&results_in);
  mp_ref_close(&results_out);
  closed(&use);
}

static int echo(void *arg) {
  char byte;
  mp_ref end;
  int i;

  (void)arg;
  MUST(mp_ref_dup(b, &end) == 0);
  for (i = 0; i < 2000; i++) {
    MUST(recv_bytes(end, &byte, 1, in_ms(5000)) == 1);
    MUST(send_bytes(end, &byte, 1, in_ms(5000)) == 0);
  }
  mp_ref_close(&end);
  return 0;
}

TWICE(there_and_back) {
  struct crew crew = {.threads = threads};
  struct check_use use;
  char byte;
  int i;

  opened(0, &use);
  crew_start(&crew, echo, NULL);
  for (i = 0; i < 2000; i++) {
    CHECK_EQ(send_bytes(a, "x", 1, in_ms(5000)), 0);
    CHECK_EQ(recv_bytes(a, &byte, 1, in_ms(5000)), 1);
  }
  crew_join(&crew);
  closed(&use);
}

/* A slow receiver: the sender sleeps for room, over and over. */
static int sip(void *arg) {
  static const struct timespec pause = {0, 100000};
  char bytes[8000];
  mp_ref end;
  int i;

  (void)arg;
  MUST(mp_ref_dup(b, &end) == 0);
  for (i = 0; i < 500; i++) {
    MUST(recv_bytes(end, bytes, sizeof bytes, in_ms(5000)) == 8000);
    if (i % 7 == 0)
      (void)nanosleep(&pause, NULL);
  }
  mp_ref_close(&end);
  return 0;
}

TWICE(a_sender_waits_for_room) {
  struct crew crew = {.threads = threads};
  static char bytes[8000];
  struct check_use use;
  int i;

  opened(0, &use);
  crew_start(&crew, sip, NULL);
  for (i = 0; i < 500; i++)
    CHECK_EQ(send_bytes(a, bytes, sizeof bytes, in_ms(5000)), 0);
  crew_join(&crew);
  closed(&use);
}

/* All that wait for one end wake when the other is gone. */
static int wait_for_end(void *arg) {
  char byte;
  mp_ref end;

  (void)arg;
  mp_ref_close(&a); /* a process's own copy; a thread has none */
  MUST(mp_ref_dup(b, &end) == 0);
  mp_ref_close(&b);
  MUST(recv_bytes(end, &byte, 1, in_ms(5000)) == -MP_ECLOSED);
  mp_ref_close(&end);
  return 0;
}

TEST(the_end_wakes_all_who_wait) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  int64_t start;
  int i;

  opened(0, &use);
  for (i = 0; i < 4; i++)
    crew_start(&crew, wait_for_end, NULL);
  (void)usleep(50000);
  start = mp_now();
  mp_ref_close(&a);
  crew_join(&crew);
  CHECK(mp_now() - start < 1000000000);
  closed(&use);
}

/* Deaths */

static int sleep_for_item(void *arg) {
  char byte;

  (void)arg;
  (void)recv_bytes(b, &byte, 1, MP_FOREVER);
  return 1;
}

TEST(a_receiver_killed_asleep_costs_nobody_a_message) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  char byte;
  int i;

  opened(0, &use);
  for (i = 0; i < 4; i++)
    crew_start(&crew, sleep_for_item, NULL);
  (void)usleep(50000);
  for (i = 0; i < 4; i++)
    CHECK_EQ(mp_proc_signal(crew.proc[i], SIGKILL), 0);
  CHECK_EQ(send_bytes(a, "x", 1, MP_NOW), 0);
  for (i = 0; i < 4; i++) {
    CHECK_EQ(join_until(crew.proc[i], in_ms(2000)), 0);
    mp_ref_close(&crew.proc[i]);
  }
  /* At most one of them had it in hand when it died. */
  i = (int)recv_bytes(b, &byte, 1, MP_NOW);
  CHECK(i == 1 || i == -MP_ETIMEOUT);
  CHECK_EQ(send_bytes(a, "x", 1, MP_NOW), 0);
  CHECK_EQ(recv_bytes(b, &byte, 1, MP_NOW), 1);
  closed(&use);
}

TEST(the_last_holder_of_an_end_is_killed) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  int64_t start;
  char byte;

  opened(0, &use);
  crew_start(&crew, hold_a, NULL);
  mp_ref_close(&a);
  CHECK_EQ(recv_bytes(b, &byte, 1, in_ms(50)), -MP_ETIMEOUT);
  CHECK_EQ(mp_proc_signal(crew.proc[0], SIGKILL), 0);
  start = mp_now();
  CHECK_EQ(recv_bytes(b, &byte, 1, in_ms(3000)), -MP_ECLOSED);
  CHECK(mp_now() - start < 1000000000);
  CHECK_EQ(join_until(crew.proc[0], in_ms(2000)), 0);
  mp_ref_close(&crew.proc[0]);
  closed(&use);
}

static int send_for_ever(void *arg) {
  struct item *it = calloc(1, sizeof *it);
  unsigned len[] = {0, 3000, 12000, 40};

  it->producer = (unsigned)(uintptr_t)arg;
  for (;; it->seq++) {
    it->len = len[it->seq % 4];
    it->sum = sum_of(it);
    if (send_bytes(a, it, offsetof(struct item, rest) + it->len, MP_FOREVER))
      return 1;
  }
}

/* Senders are killed at random; what arrives is whole and in order. */
TEST(senders_killed_at_random) {
  struct item *it = calloc(1, sizeof *it);
  struct check_use use;
  unsigned round, i;

  opened(0, &use);
  for (round = 0; round < 60; round++) {
    struct crew crew = {.threads = 0};
    int64_t last[2] = {-1, -1};
    int64_t n;

    for (i = 0; i < 2; i++)
      crew_start(&crew, send_for_ever, (void *)(uintptr_t)i);
    for (i = 0; i < 10 + round * 3; i++) {
      n = recv_bytes(b, it, sizeof *it, in_ms(3000));
      REQUIRE(n > 0);
      CHECK_EQ(it->sum, sum_of(it));
      CHECK_EQ(it->seq, last[it->producer] + 1);
      last[it->producer] = it->seq;
      if (i == 5 + round)
        CHECK_EQ(mp_proc_signal(crew.proc[0], SIGKILL), 0);
    }
    CHECK_EQ(mp_proc_signal(crew.proc[1], SIGKILL), 0);
    for (i = 0; i < 2; i++) {
      CHECK_EQ(mp_proc_signal(crew.proc[i], SIGKILL), 0);
      CHECK_EQ(join_until(crew.proc[i], in_ms(2000)), 0);
      mp_ref_close(&crew.proc[i]);
    }
    while ((n = recv_bytes(b, it, sizeof *it, MP_NOW)) > 0) {
      CHECK_EQ(it->sum, sum_of(it));
      CHECK_EQ(it->seq, last[it->producer] + 1);
      last[it->producer] = it->seq;
    }
    CHECK_EQ(n, -MP_ETIMEOUT);
    CHECK(check_arena("after the kills", NULL));
  }
  free(it);
  closed(&use);
}

static int receive_for_ever(void *arg) {
  struct item *it = calloc(1, sizeof *it);

  (void)arg;
  while (recv_bytes(b, it, sizeof *it, MP_FOREVER) > 0)
    if (it->sum != sum_of(it))
      return 1;
  return 1;
}

/* Receivers are killed at random; the sender goes on, each costs one message
 * at most. */
TEST(receivers_killed_at_random) {
  struct item *it = calloc(1, sizeof *it);
  struct check_use use;
  unsigned round, i;

  opened(0, &use);
  for (round = 0; round < 60; round++) {
    struct crew crew = {.threads = 0};
    int64_t n, got = 0;

    for (i = 0; i < 2; i++)
      crew_start(&crew, receive_for_ever, NULL);
    for (i = 0; i < 40 + round * 3; i++) {
      it->seq = i;
      it->len = i % 5 == 0 ? 12000 : i * 7 % 3000;
      it->sum = sum_of(it);
      CHECK_EQ(
          send_bytes(a, it, offsetof(struct item, rest) + it->len, in_ms(3000)),
          0);
      if (i == 10 + round)
        CHECK_EQ(mp_proc_signal(crew.proc[round & 1], SIGKILL), 0);
    }
    for (i = 0; i < 2; i++) {
      CHECK_EQ(mp_proc_signal(crew.proc[i], SIGKILL), 0);
      CHECK_EQ(join_until(crew.proc[i], in_ms(2000)), 0);
      mp_ref_close(&crew.proc[i]);
    }
    while ((n = recv_bytes(b, it, sizeof *it, MP_NOW)) > 0) {
      CHECK_EQ(it->sum, sum_of(it));
      got++;
    }
    CHECK_EQ(n, -MP_ETIMEOUT);
    CHECK(check_arena("after the kills", NULL));
  }
  free(it);
  closed(&use);
}
