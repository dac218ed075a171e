/* sem.c -- owns semaphores.
 *
 * value: how many permits are left.  In the first mode it is a copy for speed:
 * each row of `holders` says how many permits its member took and did not give
 * back, so value = initial - the sum of the living one's rows.  A take or a
 * release commits by the store of one's own row, under the lock.  The copy is
 * made anew, without the rows of the dead, when there seems to be none left.
 * Whoever dies between row and copy leaves one that is right without him, or
 * too low: never too high.
 *
 * A release by a member that holds none commits by storing the value with
 * SIGNALLING.  From then on the word alone counts, by compare-and-swap, without
 * lock or rows, and nobody's death changes it.
 *
 * Sleepers count themselves, read `seq`, look again; whoever makes the value
 * greater looks for sleepers afterwards.
 */
#include "mp.h"

#include "family.h"
#include "fault.h"
#include "futex.h"
#include "roster.h"
#include "spin.h"

#include <errno.h>
#include <string.h>

#define SIGNALLING ((uint64_t)1 << 63)

struct mp__sem {
  struct mp__obj obj;
  uint64_t value; /* lock; or anyone, once it has SIGNALLING */
  struct mp__lock lock;
  uint32_t pad0;
  uint32_t sleepers; /* on seq */
  uint32_t seq;      /* futex: changes at each wake */
  uint64_t initial;  /* the founder */
  uint64_t limit;    /* the founder */
  uint64_t pad[3];
  struct mp__roster holders;
};

static struct mp__sem *sem_of(mp_ref ref) {
  return mp__at(MP_REF_ID(ref));
}

int mp_sem_open(mp_ref *held, uint32_t value, unsigned flags) {
  enum mp_type type = flags & MP_SEM_BOUNDED ? MP_TYPE_BOUNDED : MP_TYPE_SEM;
  struct mp__sem *s;
  struct mp__txn t;
  int rc = mp_enter();

  *held = MP_REF_EMPTY;
  if (rc < 0)
    return rc;
  rc = mp__obj_open(&t, type, sizeof *s, held);
  if (rc < 0)
    return rc;
  s = mp__at(MP_REF_ID(*held));
  s->value = value | (flags & MP_SEM_SIGNALLING ? SIGNALLING : 0);
  s->initial = value;
  s->limit = flags & MP_SEM_BOUNDED ? value : MP_SEM_MAX;
  s->holders.len = MP__ROSTER_FIRST;
  mp__end(&t);
  return 0;
}

static uint64_t value_of(const struct mp__sem *s) {
  return mp__load64_rlx(&s->value);
}

static uint64_t left(const struct mp__sem *s) {
  return mp__load64_seq(&s->value) & ~SIGNALLING;
}

/* One of those that sleep may go on.  (A death wakes all of them.) */
static void wake(struct mp__sem *s) {
  if (mp__load32_seq(&s->sleepers)) {
    mp__add32_seq(&s->seq, 1);
    mp__futex_wake(&s->seq, 1);
  }
  mp__bell_ring(&s->obj.bell);
}

/* Drop the rows of the dead and make the value anew; lock held, not
 * signalling. */
static void recount(struct mp__sem *s) {
  struct mp__walk w = MP__WALK(&s->holders);
  uint64_t taken = 0;
  struct mp__row *row;

  while ((row = mp__walk(&w))) {
    if (row->value && mp__member_dead(row->who))
      mp__store64_rlx(&row->value, 0);
    taken += row->value;
  }
  MP_FAULT("sem.recounted");
  mp__store64_rel(&s->value, s->initial - taken);
}

/* 1: have one; 0: there is none; 2: look again, it is signalling */
static int take_ledgered(struct mp__sem *s, int64_t deadline) {
  struct mp__row *row;
  int rc = mp__lock_by(&s->lock, deadline);

  if (rc < 0)
    return rc;
  if (value_of(s) & SIGNALLING) {
    mp__lock_drop(&s->lock);
    return 2;
  }
  if (value_of(s) == 0)
    recount(s);
  rc = 0;
  if (value_of(s) > 0) {
    row = mp__row_find(&s->holders);
    if (!row)
      rc = mp__row_take(&s->holders, &row, deadline);
    if (rc == 0) {
      mp__store64_rlx(&row->value, row->value + 1); /* commits */
      MP_FAULT("sem.taken");
      mp__store64_rel(&s->value, value_of(s) - 1);
      rc = 1;
    }
  }
  mp__lock_drop(&s->lock);
  return rc;
}

static int take(struct mp__sem *s, int64_t deadline) {
  uint64_t v = value_of(s);
  int rc = 2;

  do {
    while (v & SIGNALLING) {
      if (v == SIGNALLING)
        return 0;
      if (mp__cas64_seq(&s->value, &v, v - 1))
        return 1;
    }
    rc = take_ledgered(s, deadline);
    v = value_of(s);
  } while (rc == 2);
  return rc;
}

/* Wait until there may be a permit. */
static int wait_for_permit(struct mp__sem *s, struct mp__nap *nap,
                           int64_t deadline) {
  uint32_t seq;
  int rc = 0;

  if (deadline > MP_NOW &&
      mp__spin(&s->value, value_of(s) & SIGNALLING, UINT64_MAX))
    return 0;
  mp__count_in(&s->sleepers);
  seq = mp__load32_seq(&s->seq);
  if (left(s) == 0)
    rc = mp__nap(nap, &s->seq, seq, deadline);
  mp__count_out(&s->sleepers);
  return rc;
}

int mp_sem_acquire(mp_ref ref, int64_t deadline) {
  struct mp__sem *s = sem_of(ref);
  struct mp__nap nap = {0};
  int rc;

  while ((rc = take(s, deadline)) == 0) {
    rc = wait_for_permit(s, &nap, deadline);
    if (rc < 0)
      break;
  }
  return rc < 0 ? rc : 0;
}

/* By one that holds none: from now on it is used for signalling.  Lock held. */
static int release_anothers(struct mp__sem *s) {
  recount(s);
  if (value_of(s) >= s->limit)
    return -MP_ETOOMANY;
  mp__store64_rel(&s->value, SIGNALLING | (value_of(s) + 1)); /* commits */
  MP_FAULT("sem.signalling");
  return 0;
}

/* 2: look again, it is signalling */
static int release_ledgered(struct mp__sem *s) {
  struct mp__row *row;
  int rc = mp__lock_by(&s->lock, MP_FOREVER);

  if (rc < 0)
    return rc;
  rc = 0;
  row = mp__row_find(&s->holders);
  if (value_of(s) & SIGNALLING) {
    rc = 2;
  } else if (row && row->value) {
    mp__store64_rlx(&row->value, row->value - 1); /* commits */
    MP_FAULT("sem.released");
    mp__store64_rel(&s->value, value_of(s) + 1);
  } else {
    rc = release_anothers(s);
  }
  mp__lock_drop(&s->lock); /* the exchange orders the value before the look */
  return rc;
}

int mp_sem_release(mp_ref ref) {
  struct mp__sem *s = sem_of(ref);
  uint64_t v = value_of(s);
  int rc = 2;

  if (!(v & SIGNALLING))
    rc = release_ledgered(s);
  if (rc == 2) {
    do /* above the limit at any moment of this call is enough */
      if ((v & ~SIGNALLING) >= s->limit)
        return -MP_ETOOMANY;
    while (!mp__cas64_seq(&s->value, &v, v + 1));
    rc = 0;
  }
  if (rc == 0)
    wake(s);
  return rc;
}

uint32_t mp_sem_value(mp_ref ref) {
  struct mp__sem *s = sem_of(ref);

  if (value_of(s) & SIGNALLING)
    return (uint32_t)left(s);
  if (mp__lock_by(&s->lock, MP_NOW) <
      0) /* a stopped process has it: what one can see */
    return (uint32_t)left(s);
  if (!(value_of(s) & SIGNALLING))
    recount(s);
  mp__lock_drop(&s->lock);
  return (uint32_t)left(s);
}

int mp_sem_fd(mp_ref ref) {
  struct mp__sem *s = sem_of(ref);
  int fd = mp__bell_fd(&s->obj.bell);

  if (fd >= 0)
    (void)mp_sem_ready(ref, fd);
  return fd;
}

int mp_sem_ready(mp_ref ref, int fd) {
  struct mp__sem *s = sem_of(ref);

  /* A bell that has a reason to ring is left alone. */
  if (mp_sem_value(ref) == 0) {
    mp__bell_quiet(&s->obj.bell, fd);
    if (mp_sem_value(ref) == 0)
      return 0;
  }
  mp__bell_ring_own(&s->obj.bell, fd);
  return 1;
}

int mp__sem_step(struct mp__txn *t, uint64_t off) {
  return mp__roster_step(t, &sem_of(off)->holders);
}

/* One that had it in its hands has died, and perhaps a permit, too: those that
 * sleep look for themselves, those that poll are told.  Big lock held. */
void mp__sem_died(uint64_t name) {
  struct mp__bell *bell = &sem_of(name)->obj.bell;

  mp__bell_forget(bell);
  mp__bell_ring_held(bell);
}
