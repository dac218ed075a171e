/* fifo_test.c -- queues as objects: many producers, many consumers, the end. */
#include "stop.h"

#include <poll.h>

static mp_ref q; /* the queue of the test */

static void opened(enum mp_type type, uint32_t max, struct check_use *use) {
  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", use));
  REQUIRE(mp_queue_open(&q, type, max) == 0);
}

static void closed(const struct check_use *use) {
  mp_ref_close(&q);
  CHECK(check_same("in the end", use));
  check_leave();
}

static int readable(int fd) {
  struct pollfd p = {fd, POLLIN, 0};

  return poll(&p, 1, 0) == 1;
}

TEST(sizes) {
  static const size_t sizes[] = {0,    1,     7,     8,      9,       2047,
                                 2048, 8191,  8192,  8193,   8200,    65535,
                                 1,    65536, 65537, 100000, 1 << 20, 3};
  static unsigned char out[1 << 20], in[1 << 20];
  const unsigned n = sizeof sizes / sizeof *sizes;
  struct check_use use;
  unsigned i, k;

  opened(MP_TYPE_QUEUE, 0, &use);
  for (i = 0; i < n; i++) {
    memset(out, (int)i + 1, sizes[i]);
    CHECK_EQ(put_bytes(q, out, sizes[i], MP_NOW), 0);
    CHECK_EQ(mp_queue_len(q), i + 1);
  }
  CHECK(check_arena("with messages", NULL));
  for (i = 0; i < n; i++) {
    CHECK_EQ(get_bytes(q, in, sizeof in, MP_NOW), (int64_t)sizes[i]);
    for (k = 0; k < sizes[i]; k++)
      if (in[k] != i + 1)
        break;
    CHECK_EQ(k, sizes[i]);
  }
  CHECK_EQ(get_bytes(q, in, 1, MP_NOW), -MP_EEMPTY);
  closed(&use);
}

TEST(a_limit_counts_items_short_and_long) {
  static char big[20000];
  struct check_use use;
  int64_t start;
  char byte;

  opened(MP_TYPE_QUEUE, 2, &use);
  CHECK_EQ(mp_queue_max(q), 2);
  CHECK_EQ(put_bytes(q, big, sizeof big, MP_NOW), 0);
  CHECK_EQ(put_bytes(q, "x", 1, MP_NOW), 0);
  CHECK_EQ(put_bytes(q, "y", 1, MP_NOW), -MP_EFULL);
  CHECK_EQ(put_bytes(q, big, sizeof big, MP_NOW), -MP_EFULL);
  start = mp_now();
  CHECK_EQ(put_bytes(q, "y", 1, in_ms(60)), -MP_EFULL);
  CHECK(mp_now() - start >= 60000000);
  CHECK_EQ(get_bytes(q, big, sizeof big, MP_NOW), (int64_t)sizeof big);
  CHECK_EQ(put_bytes(q, "y", 1, MP_NOW), 0);
  CHECK_EQ(put_bytes(q, "z", 1, MP_NOW), -MP_EFULL);
  CHECK_EQ(get_bytes(q, &byte, 1, MP_NOW), 1);
  CHECK_EQ(byte, 'x');
  closed(&use);
}

TEST(closed_for_all_and_emptied) {
  struct check_use use;
  char byte;
  int fd;

  opened(MP_TYPE_QUEUE, 1, &use);
  fd = mp_queue_fd(q);
  CHECK(fd > 2 && !readable(fd));
  CHECK_EQ(put_bytes(q, "1", 1, MP_NOW), 0);
  mp_queue_close(q);
  mp_queue_close(q);
  CHECK(mp_queue_is_closed(q));
  CHECK_EQ(put_bytes(q, "2", 1, MP_FOREVER), -MP_ECLOSED);
  CHECK(readable(fd));
  CHECK_EQ(get_bytes(q, &byte, 1, MP_FOREVER), 1);
  mp_queue_rearm(q, fd);
  CHECK(readable(fd));
  CHECK_EQ(get_bytes(q, &byte, 1, MP_FOREVER), -MP_ECLOSED);
  CHECK_EQ(get_bytes(q, &byte, 1, MP_NOW), -MP_ECLOSED);
  mp_fd_close(fd);
  closed(&use);
}

TEST(a_descriptor_tells_of_a_close) {
  struct check_use use;
  int fd;

  opened(MP_TYPE_QUEUE, 0, &use);
  fd = mp_queue_fd(q);
  CHECK(fd > 2 && !readable(fd));
  mp_queue_close(q);
  CHECK(readable(fd));
  mp_queue_rearm(q, fd);
  CHECK(readable(fd));
  mp_fd_close(fd);
  closed(&use);
}

TEST(a_descriptor_tells_of_items) {
  struct check_use use;
  char byte;
  int fd, again, i;

  opened(MP_TYPE_SIMPLE, 0, &use);
  CHECK_EQ(put_bytes(q, "0", 1, MP_NOW), 0);
  fd = mp_queue_fd(q);
  again = mp_queue_fd(q);
  REQUIRE(fd > 2 && again > 2 && fd != again);
  CHECK(readable(fd) && readable(again));
  CHECK_EQ(get_bytes(q, &byte, 1, MP_NOW), 1);
  mp_queue_rearm(q, again);
  for (i = 0; i < 3; i++) {
    CHECK(!readable(fd) && !readable(again));
    CHECK_EQ(put_bytes(q, "x", 1, MP_NOW), 0);
    CHECK_EQ(put_bytes(q, "y", 1, MP_NOW), 0);
    CHECK(readable(fd) && readable(again));
    CHECK_EQ(get_bytes(q, &byte, 1, MP_NOW), 1);
    mp_queue_rearm(q, fd);
    CHECK(readable(fd));
    CHECK_EQ(get_bytes(q, &byte, 1, MP_NOW), 1);
    CHECK(readable(fd)); /* late: nobody has looked */
    mp_queue_rearm(q, fd);
  }
  CHECK(check_arena("with a bell", NULL));
  mp_fd_close(fd);
  mp_fd_close(again);
  closed(&use);
}

/* A producer is killed when the item is in, and nobody was told. */
static int die_before_the_ring(void *arg) {
  struct mp__fifo *f = mp__at(MP_REF_ID(q));

  f->q.bell.rung = (uint32_t)(uintptr_t)arg;
  if (!arg)
    f->q.bell.fd = 0; /* the put shall not see it */
  MUST(put_bytes(q, "x", 1, MP_NOW) == 0);
  (void)raise(SIGKILL);
  return 1;
}

static void rung_for_the_dead(void *about_to_write) {
  struct crew crew = {.threads = 0};
  struct mp__fifo *f;
  struct check_use use;
  uint64_t bell;
  char byte;
  int fd;

  opened(MP_TYPE_QUEUE, 0, &use);
  f = mp__at(MP_REF_ID(q));
  fd = mp_queue_fd(q);
  bell = f->q.bell.fd;
  crew_start(&crew, die_before_the_ring, about_to_write);
  while (kill(mp_proc_pid(crew.proc[0]), 0) == 0 &&
         !mp__slot_dead(mp__slot_at(MP_REF_ID(crew.proc[0]))))
    (void)usleep(100);
  CHECK(!readable(fd));
  f->q.bell.fd = bell;
  (void)mp__scan();
  CHECK(readable(fd));
  CHECK_EQ(get_bytes(q, &byte, 1, MP_NOW), 1);
  mp_queue_rearm(q, fd);
  CHECK(!readable(fd));
  mp_fd_close(fd);
  CHECK_EQ(join_until(crew.proc[0], in_ms(2000)), 0);
  mp_ref_close(&crew.proc[0]);
  closed(&use);
}

TEST(who_dies_before_it_rings_is_rung_for) {
  rung_for_the_dead(NULL);
}

TEST(who_dies_in_the_ring_is_rung_for) {
  rung_for_the_dead((void *)1);
}

/* Items say who made them, and the how-manieth. */

#define EACH 3000
struct item {
  uint32_t producer, n;
};

static mp_ref results;

static int produce(void *arg) {
  struct item item = {(uint32_t)(uintptr_t)arg, 0};
  char bytes[9000];
  size_t len;

  memset(bytes, 0, sizeof bytes);
  for (; item.n < EACH; item.n++) {
    len = item.n % 100 == 99 ? sizeof bytes : sizeof item + item.n % 50;
    memcpy(bytes, &item, sizeof item);
    MUST(put_bytes(q, bytes, len, MP_FOREVER) == 0);
  }
  return 0;
}

static int consume(void *arg) {
  uint32_t next[CREW_MAX] = {0};
  uint32_t n = 0;
  struct item item;
  char bytes[9000];
  int64_t len;

  (void)arg;
  while ((len = get_bytes(q, bytes, sizeof bytes, MP_FOREVER)) > 0) {
    memcpy(&item, bytes, sizeof item);
    MUST(item.producer < CREW_MAX && item.n >= next[item.producer]);
    next[item.producer] = item.n + 1;
    n++;
  }
  MUST(len == -MP_ECLOSED);
  MUST(put_bytes(results, &n, sizeof n, MP_FOREVER) == 0);
  return 0;
}

static void many(int threads, uint32_t max, unsigned producers,
                 unsigned consumers) {
  struct crew makers = {.threads = threads}, takers = {.threads = threads};
  struct check_use use;
  uint32_t n, sum = 0;
  unsigned i;

  opened(MP_TYPE_QUEUE, max, &use);
  REQUIRE(mp_queue_open(&results, MP_TYPE_SIMPLE, 0) == 0);
  for (i = 0; i < consumers; i++)
    crew_start(&takers, consume, NULL);
  for (i = 0; i < producers; i++)
    crew_start(&makers, produce, (void *)(uintptr_t)i);
  crew_join(&makers);
  mp_queue_close(q);
  crew_join(&takers);
  CHECK_EQ(mp_queue_len(q), 0);
  CHECK_EQ(mp_queue_len(results), consumers);
  while (get_bytes(results, &n, sizeof n, MP_NOW) > 0)
    sum += n;
  CHECK_EQ(sum, producers * EACH);
  mp_ref_close(&results);
  closed(&use);
}

TWICE(one_to_one) {
  many(threads, 0, 1, 1);
}

TWICE(many_to_many) {
  many(threads, 0, 3, 3);
}

TWICE(many_to_many_in_a_narrow_queue) {
  many(threads, 2, 3, 3);
}

/* Somebody else closes it, while we wait. */

static int close_soon(void *arg) {
  (void)arg;
  (void)usleep(30000);
  mp_queue_close(q);
  return 0;
}

TWICE(a_close_wakes_who_waits_for_an_item) {
  struct crew crew = {.threads = threads};
  struct check_use use;
  char byte;

  opened(MP_TYPE_QUEUE, 0, &use);
  crew_start(&crew, close_soon, NULL);
  CHECK_EQ(get_bytes(q, &byte, 1, in_ms(5000)), -MP_ECLOSED);
  crew_join(&crew);
  closed(&use);
}

TWICE(a_close_wakes_who_waits_for_room) {
  struct crew crew = {.threads = threads};
  struct check_use use;
  char byte;

  opened(MP_TYPE_QUEUE, 1, &use);
  CHECK_EQ(put_bytes(q, "x", 1, MP_NOW), 0);
  crew_start(&crew, close_soon, NULL);
  CHECK_EQ(put_bytes(q, "y", 1, in_ms(5000)), -MP_ECLOSED);
  CHECK_EQ(get_bytes(q, &byte, 1, MP_NOW), 1);
  crew_join(&crew);
  closed(&use);
}

/* Who waits for an item or a death. */

static int stay(void *arg) {
  (void)arg;
  (void)pause();
  return 1;
}

static int get_or_death(int64_t deadline, uint32_t *deaths) {
  char scratch[MP_INLINE_MAX];
  struct mp_msg m;
  int rc;

  do
    rc = mp_queue_get_or_death(q, &m, scratch, deadline, deaths);
  while (rc == -EINTR);
  return rc;
}

static void death_of(mp_ref *p) {
  CHECK_EQ(mp_proc_signal(*p, SIGKILL), 0);
  while (!mp__slot_dead(mp__slot_at(MP_REF_ID(*p))))
    (void)usleep(100);
}

TEST(a_death_is_told_to_who_looks) {
  struct crew crew = {.threads = 0};
  uint32_t deaths;
  struct check_use use;
  int i;

  opened(MP_TYPE_QUEUE, 0, &use);
  deaths = mp_deaths();
  CHECK_EQ(get_or_death(MP_NOW, &deaths), -MP_EEMPTY);
  for (i = 0; i < 2; i++)
    crew_start(&crew, stay, NULL);
  CHECK_EQ(get_or_death(in_ms(30), &deaths), -MP_EEMPTY);
  death_of(&crew.proc[0]); /* nobody has noticed */
  CHECK_EQ(put_bytes(q, "x", 1, MP_NOW), 0);
  CHECK_EQ(get_or_death(MP_NOW, &deaths), 0); /* the item first */
  CHECK_EQ(get_or_death(MP_NOW, &deaths), -MP_EDEATH);
  CHECK_EQ(deaths, mp_deaths());
  CHECK_EQ(get_or_death(MP_NOW, &deaths), -MP_EEMPTY); /* said once */
  death_of(&crew.proc[1]);
  CHECK_EQ(get_or_death(MP_FOREVER, &deaths), -MP_EDEATH);
  CHECK_EQ(get_or_death(MP_NOW, &deaths), -MP_EEMPTY);
  for (i = 0; i < 2; i++) {
    CHECK_EQ(join_until(crew.proc[i], in_ms(2000)), 0);
    mp_ref_close(&crew.proc[i]);
  }
  closed(&use);
}

/* What the queue keeps */

static struct mp__queue *kept(void) {
  return &((struct mp__fifo *)mp__at(MP_REF_ID(q)))->q;
}

/* Blocks of those sizes that somebody has written all over. */
static void soil(uint64_t bytes) {
  struct mp__txn t;
  uint64_t at;

  mp__begin(&t);
  REQUIRE(mp__alloc(&t, bytes, &at) == 0);
  mp__end(&t);
  memset(mp__at(at), 0xff, mp__usable(at));
  mp__begin(&t);
  mp__free(&t, at);
  mp__end(&t);
}

TEST(from_memory_that_was_used) {
  static char bytes[1000];
  struct check_use use;
  int i;

  opened(MP_TYPE_QUEUE, 0, &use);
  mp_ref_close(&q);
  soil(sizeof(struct mp__fifo));
  soil(2048 + sizeof(struct mp__segment));
  REQUIRE(mp_queue_open(&q, MP_TYPE_QUEUE, 0) == 0);
  mp_ref_close(&q); /* empty, with its first segment */
  soil(2048 + sizeof(struct mp__segment));
  soil(8192);
  soil(32768);
  soil(65536);
  REQUIRE(mp_queue_open(&q, MP_TYPE_QUEUE, 0) == 0);
  for (i = 0; i < 200; i++)
    CHECK_EQ(put_bytes(q, bytes, sizeof bytes, MP_NOW), 0);
  for (i = 0; i < 200; i++)
    CHECK_EQ(get_bytes(q, bytes, sizeof bytes, MP_NOW), sizeof bytes);
  CHECK(check_arena("with long segments", NULL));
  CHECK(kept()->spare != 0);
  for (i = 0; i < 200; i++) /* the spare one is used, and kept */
    CHECK_EQ(put_bytes(q, bytes, sizeof bytes, MP_NOW), 0);
  for (i = 0; i < 200; i++)
    CHECK_EQ(get_bytes(q, bytes, sizeof bytes, MP_NOW), sizeof bytes);
  CHECK(kept()->spare != 0);
  CHECK(check_arena("with a spare", NULL));
  closed(&use);
}

TEST(short_ones_lie_in_the_segments) {
  static char bytes[MP_INLINE_MAX + 1];
  struct check_use use;

  opened(MP_TYPE_QUEUE, 0, &use);
  CHECK_EQ(put_bytes(q, bytes, MP_INLINE_MAX, MP_NOW), 0);
  CHECK_EQ(kept()->long_put, 0);
  CHECK_EQ(put_bytes(q, bytes, MP_INLINE_MAX + 1, MP_NOW), 0);
  CHECK_EQ(kept()->long_put, MP_INLINE_MAX + 1);
  closed(&use);
}

/* A segment is used to its end, with the mark. */
TEST(an_exact_fit) {
  static char bytes[4096];
  struct mp__segment *s;
  struct check_use use;
  uint64_t seg;

  opened(MP_TYPE_QUEUE, 0, &use);
  seg = kept()->put_seg;
  s = mp__at(seg);
  REQUIRE(s->len > 16 && s->len - 16 <= sizeof bytes);
  CHECK_EQ(put_bytes(q, bytes, s->len - 16, MP_NOW), 0);
  CHECK_EQ(kept()->put_seg, seg);
  CHECK_EQ(put_bytes(q, "x", 1, MP_NOW), 0);
  CHECK(kept()->put_seg != seg);
  CHECK_EQ(get_bytes(q, bytes, sizeof bytes, MP_NOW), (int64_t)s->len - 16);
  CHECK_EQ(get_bytes(q, bytes, sizeof bytes, MP_NOW), 1);
  closed(&use);
}

TEST(no_bound_but_its_own) {
  static char bytes[1 << 20];
  struct check_use use;
  int i;

  opened(MP_TYPE_QUEUE, 0, &use);
  for (i = 0; i < 20; i++) /* more than a pipe takes */
    CHECK_EQ(put_bytes(q, bytes, sizeof bytes, MP_NOW), 0);
  closed(&use);
}

/* By those who look first, and who have copied already. */
TEST(what_cannot_be_put_leaves_nothing) {
  static char bytes[2 * MP_INLINE_MAX];
  struct mp_iov iov[] = {{bytes, sizeof bytes}, {bytes, 1}};
  struct crew crew = {.n = 0};
  struct check_use use;
  struct mp__full full;
  int i;

  opened(MP_TYPE_QUEUE, 0, &use);
  for (i = 0; i < 2; i++) {
    struct mp_out out = {&iov[i], 1, 0, NULL};

    stop_with(&crew, &kept()->put_lock);
    memset(&full, 0x7f, sizeof full);
    CHECK_EQ(mp__queue_put(kept(), &out, &full, MP_NOW), -MP_ETIMEOUT);
    stop_over(&crew);
    kept()->closed = 1;
    CHECK_EQ(mp__queue_put(kept(), &out, &full, MP_NOW), -MP_ECLOSED);
    kept()->closed = 0;
  }
  closed(&use);
}

TEST(a_million_queues_leave_the_memory_where_it_was) {
  struct check_use use;
  uint64_t top = 0;
  int i;

  opened(MP_TYPE_QUEUE, 0, &use);
  for (i = 0; i < (TEST_TSAN ? 10000 : 1000000); i++) {
    mp_ref x;

    REQUIRE(mp_queue_open(&x, MP_TYPE_QUEUE, 0) == 0);
    if (i % 3 == 0)
      CHECK_EQ(put_bytes(x, "left in it", 10, MP_NOW), 0);
    mp_ref_close(&x);
    if (i == 10)
      top = MP__HEAD->top;
  }
  CHECK_EQ(MP__HEAD->top, top);
  closed(&use);
}
