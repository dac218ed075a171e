/* crew.h -- the same work as processes and as threads.
 *
 * TWICE(name) { ... } is two tests, name_processes and name_threads; the body
 * sees `threads` and starts its workers with crew_start.  A worker returns 0,
 * or MUST makes it return the line of what failed.
 */
#ifndef CREW_H
#define CREW_H

#include "check.h"

#include <pthread.h>

#define CREW_MAX 16

#if defined(__SANITIZE_THREAD__)
#define TEST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_TSAN 1
#endif
#endif
#ifndef TEST_TSAN
#define TEST_TSAN 0
#endif

#define CREW_SECONDS 9

struct crew {
  mp_ref proc[CREW_MAX];
  int n;
  int threads;
};

#define TWICE(name)                                                            \
  static void test_both_##name(int threads);                                   \
  TEST(name##_processes) {                                                     \
    test_both_##name(0);                                                       \
  }                                                                            \
  TEST(name##_threads) {                                                       \
    test_both_##name(1);                                                       \
  }                                                                            \
  static void test_both_##name(int threads)

/* In a worker: go on, or end with a code that is not 0. */
#define MUST(cond)                                                             \
  do {                                                                         \
    if (!(cond)) {                                                             \
      printf("%s:%d: %s: failed in a worker: %s\n", __FILE__, __LINE__,        \
             test_name, #cond);                                                \
      return 1;                                                                \
    }                                                                          \
  } while (0)

static inline int64_t in_ms(int64_t ms) {
  return mp_now() + ms * 1000000;
}

/* Waits return -EINTR now and then; these go on. */

static inline int join_until(mp_ref p, int64_t deadline) {
  int rc;

  do
    rc = mp_proc_join(p, deadline);
  while (rc == -EINTR);
  return rc;
}

static inline int finish(void) {
  int rc;

  do
    rc = mp_finish();
  while (rc == -EINTR);
  return rc;
}

static inline int poll_until(mp_ref end, int64_t deadline) {
  int rc;

  do
    rc = mp_pipe_poll(end, deadline);
  while (rc == -EINTR);
  return rc;
}

/* A thread is over for the family a moment before it is over for itself; it
 * must not find the family left.  So each says so with its last breath. */

static pthread_key_t crew_key;
static uint32_t crew_begun, crew_ended;

struct crew_work {
  int (*run)(void *arg);
  void *arg;
};

static inline void crew_last_breath(void *arg) {
  (void)arg;
  mp__add32_seq(&crew_ended, 1);
}

static inline int crew_main(void *arg) {
  struct crew_work work = *(struct crew_work *)arg;

  free(arg);
  (void)pthread_setspecific(crew_key, &crew_key);
  return work.run(work.arg);
}

static inline void threads_gone(void) {
  while (mp__load32_seq(&crew_ended) != crew_begun)
    (void)usleep(100);
}

static inline int start_thread(mp_ref p, int (*run)(void *arg), void *arg) {
  struct crew_work *work = malloc(sizeof *work);
  int rc;

  if (crew_begun == 0)
    REQUIRE(pthread_key_create(&crew_key, crew_last_breath) == 0);
  REQUIRE(work != NULL);
  *work = (struct crew_work){run, arg};
  rc = mp_proc_thread(p, crew_main, work);
  if (rc < 0)
    free(work);
  else
    crew_begun++;
  check_before_leave = threads_gone;
  return rc;
}

static inline void crew_start(struct crew *c, int (*run)(void *arg),
                              void *arg) {
  mp_ref *p = &c->proc[c->n++];
  int rc;

  REQUIRE(mp_proc_open(p, NULL, 0) == 0);
  if (c->threads) {
    REQUIRE(start_thread(*p, run, arg) == 0);
    return;
  }
  rc = mp_proc_fork(*p);
  REQUIRE(rc >= 0);
  if (rc == 0) {
    test_failures = 0;
    rc = run(arg);
    mp_exit(rc | (test_failures > 0));
  }
}

static inline void crew_join(struct crew *c) {
  int64_t deadline = in_ms(CREW_SECONDS * 1000 * test_option("TEST_SLOWER", 1));
  int code = -1;
  int i;

  for (i = 0; i < c->n; i++) {
    if (!CHECK_EQ(join_until(c->proc[i], deadline), 0))
      continue;
    CHECK_EQ(mp_proc_exitcode(c->proc[i], &code), 1);
    CHECK_EQ(code, 0);
    mp_ref_close(&c->proc[i]);
  }
  c->n = 0;
}

/* n who do the same, to their end. */
static inline void crew_all(int threads, int n, int (*run)(void *arg),
                            void *arg) {
  struct crew crew = {.threads = threads};

  while (n-- > 0)
    crew_start(&crew, run, arg);
  crew_join(&crew);
}

/* Messages */

static inline int send_out(mp_ref end, const struct mp_out *out,
                           int64_t deadline) {
  int rc;

  do
    rc = mp_pipe_send(end, out, deadline);
  while (rc == -EINTR);
  return rc;
}

static inline int recv_msg(mp_ref end, struct mp_msg *m, void *scratch,
                           int64_t deadline) {
  int rc;

  do
    rc = mp_pipe_recv(end, m, scratch, deadline);
  while (rc == -EINTR);
  return rc;
}

static inline int send_refs(mp_ref end, const void *p, size_t len,
                            const mp_ref *refs, unsigned nrefs,
                            int64_t deadline) {
  struct mp_iov iov = {p, len};
  struct mp_out out = {&iov, 1, nrefs, refs};

  return send_out(end, &out, deadline);
}

/* Into and out of queues: 0 or < 0; the length or < 0. */

static inline int put_bytes(mp_ref queue, const void *p, size_t len,
                            int64_t deadline) {
  struct mp_iov iov = {p, len};
  struct mp_out out = {&iov, 1, 0, NULL};
  int rc;

  do
    rc = mp_queue_put(queue, &out, deadline, NULL);
  while (rc == -EINTR);
  return rc;
}

static inline int64_t get_bytes(mp_ref queue, void *p, size_t cap,
                                int64_t deadline) {
  char scratch[MP_INLINE_MAX];
  struct mp_msg m;
  int64_t len;
  int rc;

  do
    rc = mp_queue_get(queue, &m, scratch, deadline);
  while (rc == -EINTR);
  if (rc < 0)
    return rc;
  len = (int64_t)m.len;
  if (m.len && m.len <= cap)
    memcpy(p, m.data, m.len);
  mp_msg_close(&m);
  return len;
}

static inline int send_bytes(mp_ref end, const void *p, size_t len,
                             int64_t deadline) {
  return send_refs(end, p, len, NULL, 0, deadline);
}

/* The next message's length, its bytes in `to` as far as they fit. */
static inline int64_t recv_bytes(mp_ref end, void *to, size_t cap,
                                 int64_t deadline) {
  char scratch[MP_INLINE_MAX];
  struct mp_msg m;
  int64_t len;
  int rc = recv_msg(end, &m, scratch, deadline);

  if (rc < 0)
    return rc;
  len = (int64_t)m.len;
  memcpy(to, m.data, m.len < cap ? m.len : cap);
  mp_msg_close(&m);
  return len;
}

#endif
