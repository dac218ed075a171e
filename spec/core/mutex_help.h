/* mutex_help.h -- what the tests of mutex.c share: a lock, and memory for those
 * who use it.
 */
#ifndef MUTEX_HELP_H
#define MUTEX_HELP_H

#include "crew.h"
#include "mutex.h"

struct shared {
  uint32_t in;    /* how many are inside */
  uint64_t count; /* under the lock */
  uint32_t left;  /* how often it was taken from a dead one */
  uint32_t stage; /* of a test, that another waits for */
};

static struct shared *shared;
static uint64_t at;
static mp_ref lock;

static inline struct mp__mutex *mutex(void) {
  return mp__at(MP_REF_ID(lock));
}

static inline void found(struct check_use *use, int recursive) {
  struct mp__txn t;

  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", use));
  mp__begin(&t);
  REQUIRE(mp__alloc(&t, sizeof *shared, &at) == 0);
  mp__end(&t);
  shared = mp__at(at);
  memset(shared, 0, sizeof *shared);
  REQUIRE(mp_mutex_open(&lock, recursive) == 0);
}

static inline void leave(const struct check_use *use) {
  struct mp__txn t;

  mp_ref_close(&lock);
  mp__begin(&t);
  mp__free(&t, at);
  mp__end(&t);
  CHECK(check_same("in the end", use));
  check_leave();
}

static inline int acquire(int64_t deadline) {
  int rc;

  do
    rc = mp_mutex_acquire(lock, deadline);
  while (rc == -EINTR);
  return rc;
}

static inline void wait_stage(uint32_t stage) {
  while (mp__load32_acq(&shared->stage) < stage)
    (void)usleep(200);
}

static inline void next_stage(void) {
  mp__add32_seq(&shared->stage, 1);
}

#endif
