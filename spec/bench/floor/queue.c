/* queue.c -- one plain design of a queue: a bounded ring of fixed slots
 * under one futex lock.  Not a bound, but what an afternoon's C gives.
 */
#include "floor.h"

#include <string.h>
#include <unistd.h>

#define SLOTS 1024u
#define SLOT_LEN 64
#define REC_LEN 40
#define INT_LEN 9
#define MEMBERS 8

/* `items` and `rooms` change under the lock with every put and get; who finds
 * the queue empty (full) waits for `items` (`rooms`) to change.
 */
struct queue {
  floor_lock_t lock;
  uint32_t head, tail; /* under the lock: items taken, items put */
  struct floor_word items, rooms;
  char slot[SLOTS][SLOT_LEN];
};

/* Under the lock; the unlock that follows is the fence before `sleepers`. */
static void bump(struct floor_word *w) {
  uint32_t v = atomic_load_explicit(&w->value, memory_order_relaxed);

  atomic_store_explicit(&w->value, v + 1, memory_order_relaxed);
}

static void unlock_and_wake(struct queue *q, struct floor_word *w) {
  floor_unlock(&q->lock);
  if (atomic_load(&w->sleepers) != 0)
    floor_futex_wake(&w->value, 1);
}

/* Returns with the lock held once `*w` need not be waited for. */
static void enter(struct queue *q, struct floor_word *w, uint32_t bad) {
  floor_lock(&q->lock);
  while (q->tail - q->head == bad) {
    uint32_t seen = atomic_load(&w->value);

    floor_unlock(&q->lock);
    floor_await(w, seen);
    floor_lock(&q->lock);
  }
}

static void put(struct queue *q, const void *item, size_t len) {
  enter(q, &q->rooms, SLOTS);
  memcpy(q->slot[q->tail++ % SLOTS], item, len);
  bump(&q->items);
  unlock_and_wake(q, &q->items);
}

static void get(struct queue *q, void *item, size_t len) {
  enter(q, &q->items, 0);
  memcpy(item, q->slot[q->head++ % SLOTS], len);
  bump(&q->rooms);
  unlock_and_wake(q, &q->rooms);
}

/* --- P producers, C consumers --- */

struct team {
  struct floor_gate gate;
  struct queue queue;
  size_t len;
  long share;          /* items of the member that is started next */
  int self;            /* its index */
  double end[MEMBERS]; /* each consumer's clock when it is done */
};

static void produce(void *arg) {
  struct team *t = arg;
  char item[SLOT_LEN] = {0};
  long n = t->share;

  floor_arrive(&t->gate);
  while (n-- > 0)
    put(&t->queue, item, t->len);
}

static void consume(void *arg) {
  struct team *t = arg;
  char item[SLOT_LEN];
  int self = t->self;
  long n = t->share;

  floor_arrive(&t->gate);
  while (n-- > 0)
    get(&t->queue, item, t->len);
  t->end[self] = floor_now();
}

/* A member copies `share` and `self` before it arrives, but the parent sets
 * the next one's at once: so each waits for the one before.
 */
static pid_t join_team(struct team *t, int self, long share,
                       void (*run)(void *)) {
  pid_t pid;

  t->self = self;
  t->share = share;
  pid = floor_child(run, t);
  floor_wait_for(&t->gate.ready, (uint32_t)self + 1);
  return pid;
}

static double queue_rate(int p, int c, size_t len) {
  struct team *t = floor_shared(sizeof *t);
  long total = floor_count(1000000) / (p * c) * (p * c);
  pid_t pid[MEMBERS];
  double begin, end = 0;

  t->len = len;
  for (int i = 0; i < c; i++)
    pid[i] = join_team(t, i, total / c, consume);
  for (int i = c; i < c + p; i++)
    pid[i] = join_team(t, i, total / p, produce);
  begin = floor_now();
  floor_open(&t->gate, (uint32_t)(p + c));
  for (int i = 0; i < p + c; i++)
    floor_join(pid[i]);
  for (int i = 0; i < c; i++) {
    if (t->end[i] > end)
      end = t->end[i];
  }
  return (double)total / (end - begin);
}

static double q_1p1c_int(void) {
  return queue_rate(1, 1, INT_LEN);
}

static double q_1p1c_rec(void) {
  return queue_rate(1, 1, REC_LEN);
}

static double q_2p2c_rec(void) {
  return queue_rate(2, 2, REC_LEN);
}

static double q_4p1c_rec(void) {
  return queue_rate(4, 1, REC_LEN);
}

/* --- there and back --- */

struct two {
  struct queue there, back;
  long n;
};

static void echo(void *arg) {
  struct two *q = arg;
  char item[SLOT_LEN];

  for (long i = 0; i < q->n; i++) {
    get(&q->there, item, INT_LEN);
    put(&q->back, item, INT_LEN);
  }
}

static double q_pingpong(void) {
  struct two *q = floor_shared(sizeof *q);
  char item[SLOT_LEN] = {0};
  double begin = 0;
  long warm = 500;
  pid_t pid;

  q->n = warm + floor_count(200000);
  pid = floor_child(echo, q);
  for (long i = 0; i < q->n; i++) {
    if (i == warm)
      begin = floor_now();
    put(&q->there, item, INT_LEN);
    get(&q->back, item, INT_LEN);
  }
  begin = floor_now() - begin;
  floor_join(pid);
  return (double)(q->n - warm) / begin;
}

/* --- two workers that send each task back, WINDOW of them under way --- */

#define WINDOW 512

static double pool_chunk1(void) {
  struct two *q = floor_shared(sizeof *q);
  long n = floor_count(500000) / 2 * 2;
  char item[SLOT_LEN] = {0};
  pid_t pid[2];
  double begin;
  long sent = 0;

  q->n = n / 2;
  for (int i = 0; i < 2; i++)
    pid[i] = floor_child(echo, q);
  begin = floor_now();
  for (long got = 0; got < n; got++) {
    for (; sent < n && sent < got + WINDOW; sent++)
      put(&q->there, item, INT_LEN);
    get(&q->back, item, INT_LEN);
  }
  begin = floor_now() - begin;
  floor_join(pid[0]);
  floor_join(pid[1]);
  return (double)n / begin;
}

const struct floor_workload floor_queue[] = {
    {"queue_1p1c_int", q_1p1c_int},
    {"queue_1p1c_rec", q_1p1c_rec},
    {"queue_2p2c_rec", q_2p2c_rec},
    {"queue_4p1c_rec", q_4p1c_rec},
    {"queue_pingpong", q_pingpong},
    {"pool_map_tiny_chunk1", pool_chunk1},
    {NULL, NULL}};
