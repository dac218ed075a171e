/* chan.c -- bytes from one process to another: kernel pipes, a shared
 * word, a byte ring in shared memory (one writer, one reader).
 */
#include "floor.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WARMUPS 500
#define REC_LEN 40 /* about {id=1, name="abc", value=3.14}, encoded */
#define INT_LEN 9
#define MIB ((size_t)1 << 20)

/* --- round trips --- */

struct pingpong {
  struct floor_word there, back;
  long n;
};

static void word_echo(void *arg) {
  struct pingpong *p = arg;

  for (long i = 1; i <= p->n; i++) {
    floor_wait_for(&p->there, (uint32_t)i);
    floor_set(&p->back, (uint32_t)i);
  }
}

/* Spin, then futex. */
static double pingpong_word(void) {
  struct pingpong *p = floor_shared(sizeof *p);
  double begin = 0;
  pid_t pid;

  p->n = WARMUPS + floor_count(500000);
  pid = floor_child(word_echo, p);
  for (long i = 1; i <= p->n; i++) {
    if (i == WARMUPS + 1)
      begin = floor_now();
    floor_set(&p->there, (uint32_t)i);
    floor_wait_for(&p->back, (uint32_t)i);
  }
  begin = floor_now() - begin;
  floor_join(pid);
  return (double)(p->n - WARMUPS) / begin;
}

struct pipes {
  int in, out;
  long n;
};

static void bounce(int in, int out) {
  uint64_t word;

  floor_must(read(in, &word, 8) == 8 && write(out, &word, 8) == 8, "echo");
}

static void pipe_echo(void *arg) {
  struct pipes *p = arg;

  for (long i = 0; i < p->n; i++)
    bounce(p->in, p->out);
}

/* Eight bytes over two pipes. */
static double pingpong_pipes(void) {
  long n = floor_count(60000);
  int there[2], back[2];
  uint64_t word = 0;
  struct pipes p;
  double begin;
  pid_t pid;

  floor_must(pipe(there) == 0 && pipe(back) == 0, "pipe");
  p = (struct pipes){there[0], back[1], n + WARMUPS};
  pid = floor_child(pipe_echo, &p);
  floor_must(write(there[1], &word, 8) == 8, "write");
  for (int i = 1; i < WARMUPS; i++)
    bounce(back[0], there[1]);
  begin = floor_now();
  for (long i = 0; i < n; i++)
    bounce(back[0], there[1]);
  begin = floor_now() - begin;
  floor_must(read(back[0], &word, 8) == 8, "read");
  floor_join(pid);
  return (double)n / begin;
}

/* --- one way --- */

#define RING_LEN (256u << 10) /* a power of two */
#define RING_STEP (64u << 10) /* publish at least this often */

struct ring {
  struct floor_word head; /* bytes written; the writer's */
  struct floor_word tail; /* bytes read; the reader's */
  size_t len;             /* of one message */
  long n;                 /* messages */
  _Alignas(64) char data[RING_LEN];
};

static uint32_t step(size_t want, uint32_t have, uint32_t pos) {
  uint32_t room = RING_LEN - pos % RING_LEN;
  uint32_t n = have < RING_STEP ? have : RING_STEP;

  if (n > room)
    n = room;
  return want < n ? (uint32_t)want : n;
}

static void ring_write(struct ring *r, const char *p, size_t len) {
  uint32_t head = r->head.value;

  while (len > 0) {
    uint32_t tail = atomic_load(&r->tail.value), n;

    if (head - tail == RING_LEN) {
      floor_await(&r->tail, tail);
      continue;
    }
    n = step(len, RING_LEN - (head - tail), head);
    memcpy(r->data + head % RING_LEN, p, n);
    p += n, len -= n, head += n;
    floor_set(&r->head, head);
  }
}

static void ring_read(struct ring *r, char *p, size_t len) {
  uint32_t tail = r->tail.value;

  while (len > 0) {
    uint32_t head = atomic_load(&r->head.value), n;

    if (head == tail) {
      floor_await(&r->head, head);
      continue;
    }
    n = step(len, head - tail, tail);
    memcpy(p, r->data + tail % RING_LEN, n);
    p += n, len -= n, tail += n;
    floor_set(&r->tail, tail);
  }
}

static void ring_sender(void *arg) {
  struct ring *r = arg;
  char *message = calloc(1, r->len);

  for (long i = 0; i < r->n; i++)
    ring_write(r, message, r->len);
}

static double ring_rate(size_t len, long n) {
  struct ring *r = floor_shared(sizeof *r);
  char *message = calloc(1, len);
  double begin;
  pid_t pid;

  r->len = len;
  r->n = n = floor_count(n) + 1;
  pid = floor_child(ring_sender, r);
  ring_read(r, message, len);
  begin = floor_now();
  for (long i = 1; i < n; i++)
    ring_read(r, message, len);
  begin = floor_now() - begin;
  floor_join(pid);
  free(message);
  return (double)(n - 1) / begin;
}

static void pipe_sender(void *arg) {
  struct pipes *p = arg;
  char message[REC_LEN] = {0};
  size_t len = (size_t)p->in;

  for (long i = 0; i < p->n; i++)
    floor_must(write(p->out, message, len) == (ssize_t)len, "write");
}

/* A write for each message; the reader takes what there is. */
static double pipe_rate(size_t len, long n) {
  static char buffer[64 << 10];
  int fd[2];
  struct pipes p;
  double begin;
  size_t left;
  pid_t pid;

  floor_must(pipe(fd) == 0, "pipe");
  n = floor_count(n);
  p = (struct pipes){(int)len, fd[1], n + 1};
  pid = floor_child(pipe_sender, &p);
  floor_must(read(fd[0], buffer, len) == (ssize_t)len, "read");
  begin = floor_now();
  for (left = (size_t)n * len; left > 0;) {
    ssize_t got = read(fd[0], buffer, sizeof buffer);

    floor_must(got > 0, "read");
    left -= (size_t)got;
  }
  begin = floor_now() - begin;
  floor_join(pid);
  return (double)n / begin;
}

static double small_ring(void) {
  return ring_rate(REC_LEN, 2000000);
}

static double small_pipes(void) {
  return pipe_rate(REC_LEN, 800000);
}

static double int_ring(void) {
  return ring_rate(INT_LEN, 2000000);
}

static double int_pipes(void) {
  return pipe_rate(INT_LEN, 800000);
}

static double mib_ring(void) {
  return ring_rate(MIB, 4000);
}

static double queue_64k(void) {
  return ring_rate(64 << 10, 100000) / 16;
}

const struct floor_workload floor_chan[] = {
    {"pipe_pingpong", pingpong_word},
    {"pipe_pingpong_pipes", pingpong_pipes},
    {"pipe_throughput_small", small_ring},
    {"pipe_throughput_small_pipes", small_pipes},
    {"pipe_throughput_int", int_ring},
    {"pipe_throughput_int_pipes", int_pipes},
    {"pipe_throughput_1m", mib_ring},
    {"pipe_throughput_1m_obj", mib_ring},
    {"queue_64k", queue_64k},
    {NULL, NULL}};
