/* cond.c -- owns conditions, each over a lock that others may use, too.
 *
 * Each waiter has a row {who, order, state} and sleeps on its own value's low
 * half, so that a notify wakes just those it grants.
 *
 *   WAITING  waits, awake         the waiter, under the lock
 *   ASLEEP   waits, in the kernel the waiter
 *   GRANTED  notified             the notifier, under the lock
 *   0        free                 the waiter, or who finds it dead
 *
 * All but the first by compare-and-swap or exchange.  A waiter frees its row
 * when it has the mutex again.  If it dies before, whoever looks next passes
 * the grant on: grants another row, then frees that of the dead; killed
 * between, one is granted too many, which is a spurious wake-up.
 */
#include "mp.h"

#include "family.h"
#include "fault.h"
#include "futex.h"
#include "mutex.h"
#include "roster.h"
#include "spin.h"

#include <errno.h>
#include <string.h>

enum { WAITING = 1, ASLEEP = 2, GRANTED = 3 };
#define STATE 3u
#define ORDER_SHIFT 2

struct mp__cond {
  struct mp__obj obj;
  uint64_t mutex; /* name of a Lock or RLock, counted; big */
  uint64_t order; /* of the last that came to wait; lock */
  struct mp__lock lock;
  uint32_t pad0;
  uint64_t pad[5];
  struct mp__roster waiters;
};

static struct mp__cond *cond_of(mp_ref ref) {
  return mp__at(MP_REF_ID(ref));
}

static struct mp__mutex *mutex_of(const struct mp__cond *c) {
  return mp__at(c->mutex);
}

int mp_cond_open(mp_ref *held, mp_ref mutex) {
  struct mp__cond *c;
  struct mp__txn t;
  int rc = mp__obj_open(&t, MP_TYPE_COND, sizeof *c, held);

  if (rc < 0)
    return rc;
  c = mp__at(MP_REF_ID(*held));
  c->mutex = MP_REF_ID(mutex);
  c->waiters.len = MP__ROSTER_FIRST;
  mp__ref(&t, MP_REF_ID(mutex));
  mp__end(&t);
  return 0;
}

mp_ref mp_cond_mutex(mp_ref ref) {
  return cond_of(ref)->mutex;
}

/* Granting; lock held */

static int is_waiting(uint64_t value) {
  return (value & STATE) == WAITING || (value & STATE) == ASLEEP;
}

/* The one that has waited longest, and lives. */
static struct mp__row *oldest(struct mp__cond *c) {
  struct mp__walk w = MP__WALK(&c->waiters);
  struct mp__row *found = NULL;
  uint64_t least = UINT64_MAX;
  struct mp__row *row;
  uint64_t value;

  while ((row = mp__walk(&w))) {
    value = mp__load64_seq(&row->value);
    if (is_waiting(value) && value >> ORDER_SHIFT < least &&
        !mp__member_dead(row->who)) {
      found = row;
      least = value >> ORDER_SHIFT;
    }
  }
  return found;
}

/* 0 when it has gone meanwhile */
static int grant(struct mp__row *row) {
  uint64_t value = mp__load64_seq(&row->value);

  while (is_waiting(value))
    if (mp__cas64_seq(&row->value, &value, value | GRANTED)) {
      MP_FAULT("cond.granted");
      if ((value & STATE) == ASLEEP)
        mp__futex_wake(mp__low32(&row->value), 1);
      return 1;
    }
  return 0;
}

static void grant_all(struct mp__cond *c) {
  struct mp__walk w = MP__WALK(&c->waiters);
  struct mp__row *row;

  while ((row = mp__walk(&w)))
    if (!mp__member_dead(row->who))
      (void)grant(row);
}

static int grant_oldest(struct mp__cond *c) {
  struct mp__row *row;

  while ((row = oldest(c)))
    if (grant(row))
      return 1;
  return 0;
}

/* Free the rows of the dead, and pass on what they were granted. */
static void bury(struct mp__cond *c) {
  struct mp__walk w = MP__WALK(&c->waiters);
  struct mp__row *row;
  uint64_t value;

  while ((row = mp__walk(&w))) {
    value = mp__load64_seq(&row->value);
    if (value == 0 || !mp__member_dead(row->who))
      continue;
    if ((value & STATE) == GRANTED)
      (void)grant_oldest(c);
    MP_FAULT("cond.passed_on");
    mp__store64_seq(&row->value, 0);
  }
}

static int enter(struct mp__cond *c, int64_t deadline) {
  int rc = mp__lock_by(&c->lock, deadline);

  if (rc >= 0)
    bury(c);
  return rc;
}

/* Waiting */

static int enlist(struct mp__cond *c, struct mp_waiter *w, int64_t deadline) {
  struct mp__row *row;
  int rc = enter(c, deadline);

  if (rc < 0)
    return rc;
  rc = mp__row_take(&c->waiters, &row, deadline);
  if (rc == 0) {
    c->order++;
    mp__store64_seq(&row->value, c->order << ORDER_SHIFT | WAITING);
    w->row = mp__off(row);
  }
  mp__lock_drop(&c->lock);
  MP_FAULT("cond.enlisted");
  return rc;
}

/* All levels of a recursive one. */
static int let_go(struct mp__cond *c, struct mp_waiter *w) {
  struct mp__mutex *m = mutex_of(c);

  w->levels = m->recursive ? mp__load32_rlx(&m->depth) : 1;
  if (m->recursive)
    mp__store32_rlx(&m->depth, 1);
  return mp_mutex_release(c->mutex);
}

/* 0: look again; 1: granted; < 0 */
static int sleep_once(struct mp__cond *c, struct mp__row *row,
                      struct mp__nap *nap, int64_t deadline) {
  uint64_t value = mp__load64_seq(&row->value);
  int rc;

  if ((value & STATE) == GRANTED)
    return 1;
  if ((value & STATE) == WAITING) {
    if (deadline <= MP_NOW || !mp__spin(&row->value, value, UINT64_MAX))
      (void)mp__cas64_seq(&row->value, &value,
                          (value & ~(uint64_t)STATE) | ASLEEP);
    return 0;
  }
  rc = mp__nap(nap, mp__low32(&row->value), (uint32_t)value, deadline);
  /* Woken by a death?  (If a stopped process has the lock, it looks itself
   * when it goes on, or the next one does.) */
  if (mp__load64_seq(&row->value) == value && enter(c, MP_NOW) >= 0)
    mp__lock_drop(&c->lock);
  return rc;
}

/* 0: it was granted before. */
static int withdraw(struct mp__row *row) {
  uint64_t value = mp__load64_seq(&row->value);

  while ((value & STATE) != GRANTED)
    if (mp__cas64_seq(&row->value, &value, 0))
      return 1;
  return 0;
}

/* 1: notified; 0: the time was up before; -EINTR */
static int sleep_until(struct mp__cond *c, struct mp_waiter *w,
                       int64_t deadline) {
  struct mp__row *row = mp__at(w->row);
  struct mp__nap nap = {0};
  int rc;

  do
    rc = sleep_once(c, row, &nap, deadline);
  while (rc == 0);
  if (rc != -MP_ETIMEOUT)
    return rc;
  if (!withdraw(row))
    return 1;
  w->row = 0;
  return 0;
}

/* Have the mutex again, as deep as before. */
static int come_back(struct mp__cond *c, struct mp_waiter *w) {
  struct mp__mutex *m = mutex_of(c);
  int rc = mp_mutex_acquire(c->mutex, MP_FOREVER);

  if (rc < 0)
    return rc;
  w->abandoned = rc == MP_EABANDONED;
  MP_FAULT("cond.back");
  if (m->recursive)
    mp__store32_rlx(&m->depth, w->levels);
  if (w->row)
    mp__store64_seq(&((struct mp__row *)mp__at(w->row))->value, 0);
  w->row = 0;
  w->stage = MP_WAITER_NEW;
  return 0;
}

int mp_cond_wait(mp_ref ref, struct mp_waiter *w, int64_t deadline) {
  struct mp__cond *c = cond_of(ref);
  int rc;

  if (w->stage == MP_WAITER_NEW) {
    if (!mp_mutex_mine(c->mutex))
      return -MP_ENOTHELD;
    rc = enlist(c, w, deadline);
    if (rc < 0)
      return rc;        /* it has the mutex still */
    (void)let_go(c, w); /* it is ours, so that cannot fail */
    w->stage = MP_WAITER_ASLEEP;
  }
  if (w->stage == MP_WAITER_ASLEEP) {
    rc = sleep_until(c, w, deadline);
    if (rc < 0)
      return rc;
    w->notified = rc;
    w->stage = MP_WAITER_BACK;
  }
  return come_back(c, w);
}

void mp_cond_leave(mp_ref ref, struct mp_waiter *w) {
  struct mp__cond *c = cond_of(ref);
  uint64_t value = 0;

  if (w->row && enter(c, MP_NOW) < 0) {
    mp__row_desert(mp__at(w->row));
  } else if (w->row) {
    value = mp__swap64_seq(&((struct mp__row *)mp__at(w->row))->value, 0);
    if ((value & STATE) == GRANTED)
      (void)grant_oldest(c);
    mp__lock_drop(&c->lock);
  }
  w->row = 0;
  if (w->stage == MP_WAITER_ASLEEP)
    w->stage = MP_WAITER_BACK;
}

int mp_cond_notify(mp_ref ref, uint64_t n) {
  struct mp__cond *c = cond_of(ref);
  int rc;

  if (!mp_mutex_mine(c->mutex))
    return -MP_ENOTHELD;
  rc = enter(c, MP_FOREVER);
  if (rc < 0)
    return rc;
  if (n == MP_NOTIFY_ALL)
    grant_all(c);
  else
    for (; n > 0 && grant_oldest(c); n--)
      ;
  mp__lock_drop(&c->lock);
  return 0;
}

int mp__cond_step(struct mp__txn *t, uint64_t off) {
  struct mp__cond *c = cond_of(off);

  if (c->mutex) {
    mp__drop_word(t, &c->mutex);
    return 1;
  }
  return mp__roster_step(t, &c->waiters);
}
