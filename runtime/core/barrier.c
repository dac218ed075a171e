/* barrier.c -- owns barriers.
 *
 * phase: number of the phase (bits 2..63) and its state (0..1), a futex by its
 * low half.  Each that waits has a row {who, phase, index, CUT}; how many have
 * arrived is counted from the rows whenever it matters, and a dead one among
 * those of the running phase breaks the barrier.
 *
 *   FILLING  parties arrive; the last one stores the next phase, FILLING: that
 *            lets all of this one go
 *   ACTING   all are there, the last one runs the action; then as above
 *   BROKEN   who waits, and who comes, is refused, until a reset
 *
 * Whoever sees the phase gone by has passed, unless its row says CUT.  A reset
 * stores BROKEN, then CUT in each row of this phase, then the next phase: one
 * that is killed on the way leaves the barrier broken.  Rows are freed by those
 * they belong to, with one store, and those of the dead by whoever comes by.
 */
#include "mp.h"

#include "family.h"
#include "fault.h"
#include "futex.h"
#include "roster.h"
#include "spin.h"

#include <errno.h>
#include <string.h>

enum { FILLING, ACTING, BROKEN };
#define STATE 3u
#define NEXT 4u /* one phase */

#define CUT 1u
#define INDEX_SHIFT 1
#define INDEX_MASK 0xffffu
#define PHASE_SHIFT 17

struct mp__barrier {
  struct mp__obj obj;
  uint64_t phase; /* lock */
  struct mp__lock lock;
  uint32_t sleepers; /* on phase */
  uint32_t parties;  /* the founder */
  uint32_t pad0;
  uint64_t action; /* parcel, 0: none; big */
  double patience; /* seconds, the founder's word; not used here */
  uint64_t pad[3];
  struct mp__roster waiting;
};

static struct mp__barrier *barrier_of(mp_ref ref) {
  return mp__at(MP_REF_ID(ref));
}

int mp_barrier_open(mp_ref *held, uint32_t parties, double patience,
                    const struct mp_out *action) {
  mp_ref parcel = MP_REF_EMPTY;
  struct mp__barrier *b;
  struct mp__txn t;
  int rc = mp_enter();

  *held = MP_REF_EMPTY;
  if (rc == 0 && action)
    rc = mp__parcel_new(action, &parcel, MP__SURELY);
  if (rc < 0)
    return rc;
  rc = mp__obj_open(&t, MP_TYPE_BARRIER, sizeof *b, held);
  if (rc < 0) {
    mp_ref_close(&parcel);
    return rc;
  }
  b = barrier_of(*held);
  b->waiting.len = MP__ROSTER_FIRST;
  b->parties = parties;
  b->patience = patience;
  b->action = MP_REF_ID(parcel);
  if (parcel)
    mp__pass(&t, mp__me(), parcel);
  mp__end(&t);
  return 0;
}

int mp_barrier_action(mp_ref ref, struct mp_msg *m) {
  struct mp__barrier *b = barrier_of(ref);
  mp_ref held;
  int rc;

  if (!b->action)
    return -ENOENT;
  rc = mp_ref_dup(b->action, &held);
  if (rc == 0)
    mp__parcel_view(held, m);
  return rc;
}

uint32_t mp_barrier_parties(mp_ref ref) {
  return barrier_of(ref)->parties;
}

double mp_barrier_patience(mp_ref ref) {
  return barrier_of(ref)->patience;
}

/* Rows */

static uint64_t row_value(uint64_t phase, unsigned index) {
  return phase >> 2 << PHASE_SHIFT | (uint64_t)index << INDEX_SHIFT;
}

static int is_of(uint64_t value, uint64_t phase) {
  return value != 0 &&
         value >> PHASE_SHIFT == (phase >> 2 << PHASE_SHIFT) >> PHASE_SHIFT;
}

static unsigned index_of(uint64_t value) {
  return value >> INDEX_SHIFT & INDEX_MASK;
}

/* The row's owner may free it at any time. */
static void change(struct mp__row *row, uint64_t seen, uint64_t value) {
  (void)mp__cas64_seq(&row->value, &seen, value);
}

/* How many have arrived, those that have died there since left out; lock
 * held.  Breaks the barrier when there are such: their deaths wake all. */
static unsigned census(struct mp__barrier *b) {
  struct mp__walk w = MP__WALK(&b->waiting);
  unsigned n = 0;
  struct mp__row *row;
  uint64_t value;

  while ((row = mp__walk(&w))) {
    value = mp__load64_seq(&row->value);
    if (value == 0)
      continue;
    if (!mp__member_dead(row->who)) {
      n += is_of(value, b->phase) ? 1 : 0;
      continue;
    }
    if (is_of(value, b->phase))
      mp__store64_seq(&b->phase, (b->phase & ~(uint64_t)STATE) | BROKEN);
    MP_FAULT("barrier.dead");
    change(row, value, 0);
  }
  return n;
}

/* After a change of the phase, without the lock. */
static void wake_all(struct mp__barrier *b) {
  if (mp__load32_seq(&b->sleepers))
    mp__futex_wake(mp__low32(&b->phase), INT32_MAX);
}

static void drop_and_wake(struct mp__barrier *b) {
  mp__lock_drop(&b->lock);
  wake_all(b);
}

/* Waiting */

static int sleep_for_change(struct mp__barrier *b, uint64_t seen,
                            struct mp__nap *nap, int64_t deadline) {
  int rc = 0;

  mp__count_in(&b->sleepers);
  if (mp__load64_seq(&b->phase) == seen)
    rc = mp__nap(nap, mp__low32(&b->phase), (uint32_t)seen, deadline);
  mp__count_out(&b->sleepers);
  if (mp__load64_seq(&b->phase) == seen &&
      mp__lock_by(&b->lock, MP_NOW) >= 0) { /* woken by a death? */
    (void)census(b);
    mp__lock_drop(&b->lock);
  }
  return rc;
}

/* Wait until the phase's word differs from `seen`. */
static int wait_for_change(struct mp__barrier *b, uint64_t seen,
                           struct mp__nap *nap, int64_t deadline) {
  int changed = deadline > MP_NOW && mp__spin(&b->phase, seen, UINT64_MAX);

  return changed ? 0 : sleep_for_change(b, seen, nap, deadline);
}

/* Take a row; when this was the last to come, go on.  Lock held. */
static int arrive_held(struct mp__barrier *b, struct mp_arrival *a,
                       unsigned index, int64_t deadline) {
  struct mp__row *row;
  int rc;

  if (index == b->parties && !b->action) {
    mp__store64_seq(&b->phase, b->phase + NEXT); /* commits */
    MP_FAULT("barrier.passed");
    return (int)index;
  }
  rc = mp__row_take(&b->waiting, &row, deadline);
  if (rc < 0)
    return rc;
  mp__store64_seq(&row->value, row_value(b->phase, index)); /* commits */
  MP_FAULT("barrier.arrived");
  if (index == b->parties)
    mp__store64_seq(&b->phase, b->phase | ACTING);
  a->row = mp__off(row);
  return 0;
}

/* > 0: passed, as this one; 0: is waiting; < 0 */
static int arrive(struct mp__barrier *b, struct mp_arrival *a,
                  int64_t deadline) {
  struct mp__nap nap = {0};
  uint64_t seen;
  unsigned n;
  int rc;

  for (;;) {
    rc = mp__lock_by(&b->lock, deadline);
    if (rc < 0)
      return rc; /* it has not come */
    n = census(b);
    seen = b->phase;
    rc = -MP_EBROKEN;
    if ((seen & STATE) == FILLING)
      rc = arrive_held(b, a, n + 1, deadline);
    mp__lock_drop(&b->lock);
    if (rc == (int)b->parties) /* the last one lets all go */
      wake_all(b);
    if ((seen & STATE) != ACTING)
      return rc;
    /* The action of those who came before is still running. */
    rc = wait_for_change(b, seen, &nap, deadline);
    if (rc < 0)
      return rc;
  }
}

/* How it ended for the row: > 0, -MP_EBROKEN; 0: not yet.  Frees the row. */
static int outcome(struct mp__barrier *b, struct mp_arrival *a,
                   uint64_t *seen) {
  struct mp__row *row = mp__at(a->row);
  uint64_t value;

  *seen = mp__load64_seq(&b->phase); /* before the row: see reset */
  value = mp__load64_seq(&row->value);
  if (is_of(value, *seen) && (*seen & STATE) != BROKEN)
    return 0;
  mp__store64_seq(&row->value, 0);
  a->row = 0;
  if (value & CUT || is_of(value, *seen))
    return -MP_EBROKEN;
  return (int)index_of(value);
}

/* Leave without the lock, which a stopped process has: whoever looks next
 * breaks the barrier, unless the holder was just letting all pass. */
static void desert(struct mp_arrival *a) {
  mp__row_desert(mp__at(a->row));
  a->row = 0;
}

/* The time is up for one: it breaks the barrier, unless it has just passed. */
static int run_out(struct mp__barrier *b, struct mp_arrival *a) {
  uint64_t seen;
  int rc;

  if (mp__lock_by(&b->lock, MP_NOW) < 0) {
    desert(a);
    return -MP_ETIMEOUT;
  }
  rc = outcome(b, a, &seen);
  if (rc == 0) {
    mp__store64_seq(&b->phase, (seen & ~(uint64_t)STATE) | BROKEN);
    MP_FAULT("barrier.ran_out");
    (void)outcome(b, a, &seen);
    rc = -MP_ETIMEOUT;
  }
  drop_and_wake(b);
  return rc;
}

/* All are there and this is the one to act. */
static int is_acting(struct mp__barrier *b, const struct mp_arrival *a) {
  return b->action &&
         index_of(mp__load64_rlx(&((struct mp__row *)mp__at(a->row))->value)) ==
             b->parties;
}

int mp_barrier_wait(mp_ref ref, struct mp_arrival *a, int64_t deadline) {
  struct mp__barrier *b = barrier_of(ref);
  struct mp__nap nap = {0};
  uint64_t seen;
  int rc = 0;

  if (!a->row) {
    rc = arrive(b, a, deadline);
    if (rc != 0)
      return rc;
    if (is_acting(b, a))
      return 0;
  }
  for (;;) {
    rc = outcome(b, a, &seen);
    if (rc != 0)
      return rc;
    rc = wait_for_change(b, seen, &nap, deadline);
    if (rc == -MP_ETIMEOUT)
      return run_out(b, a);
    if (rc < 0)
      return rc;
  }
}

int mp_barrier_acted(mp_ref ref, struct mp_arrival *a, int good) {
  struct mp__barrier *b = barrier_of(ref);
  uint64_t seen;
  int rc;

  (void)mp__lock_take(&b->lock);
  seen = b->phase;
  if (is_of(mp__load64_seq(&((struct mp__row *)mp__at(a->row))->value), seen) &&
      (seen & STATE) == ACTING)
    mp__store64_seq(&b->phase, good ? seen - ACTING + NEXT
                                    : seen - ACTING + BROKEN); /* commits */
  MP_FAULT("barrier.acted");
  rc = outcome(b, a, &seen);
  drop_and_wake(b);
  return rc;
}

/* The indices of those that came later close the gap.  One that is killed here
 * breaks the barrier, as its own row is still there. */
void mp_barrier_leave(mp_ref ref, struct mp_arrival *a) {
  struct mp__barrier *b = barrier_of(ref);
  struct mp__walk w = MP__WALK(&b->waiting);
  struct mp__row *mine = mp__at(a->row);
  struct mp__row *row;
  uint64_t value;

  if (!a->row)
    return;
  if (mp__lock_by(&b->lock, MP_NOW) < 0) {
    desert(a);
    return;
  }
  if (is_of(mine->value, b->phase) && (b->phase & STATE) == FILLING)
    while ((row = mp__walk(&w))) {
      value = mp__load64_seq(&row->value);
      if (is_of(value, b->phase) && index_of(value) > index_of(mine->value))
        change(row, value, value - (1u << INDEX_SHIFT));
    }
  mp__store64_seq(&mine->value, 0);
  a->row = 0;
  mp__lock_drop(&b->lock);
}

/* By anybody */

void mp_barrier_abort(mp_ref ref) {
  struct mp__barrier *b = barrier_of(ref);

  (void)mp__lock_take(&b->lock);
  mp__store64_seq(&b->phase, (b->phase & ~(uint64_t)STATE) | BROKEN);
  drop_and_wake(b);
}

void mp_barrier_reset(mp_ref ref) {
  struct mp__barrier *b = barrier_of(ref);
  struct mp__walk w = MP__WALK(&b->waiting);
  struct mp__row *row;
  uint64_t value;

  (void)mp__lock_take(&b->lock);
  mp__store64_seq(&b->phase, (b->phase & ~(uint64_t)STATE) | BROKEN);
  MP_FAULT("barrier.reset");
  while ((row = mp__walk(&w))) {
    value = mp__load64_seq(&row->value);
    if (is_of(value, b->phase))
      change(row, value, value | CUT);
  }
  mp__store64_seq(&b->phase, b->phase - BROKEN + NEXT); /* commits */
  drop_and_wake(b);
}

/* Look, with the dead left out. */
static unsigned look(struct mp__barrier *b, uint64_t *phase) {
  unsigned n;

  (void)mp__lock_take(&b->lock);
  n = census(b);
  *phase = b->phase;
  mp__lock_drop(&b->lock);
  return n;
}

uint32_t mp_barrier_waiting(mp_ref ref) {
  uint64_t phase;
  unsigned n = look(barrier_of(ref), &phase);

  return (phase & STATE) == BROKEN ? 0 : n;
}

int mp_barrier_broken(mp_ref ref) {
  uint64_t phase;

  (void)look(barrier_of(ref), &phase);
  return (phase & STATE) == BROKEN;
}

int mp__barrier_step(struct mp__txn *t, uint64_t off) {
  struct mp__barrier *b = barrier_of(off);

  if (b->action) {
    mp__drop_word(t, &b->action);
    return 1;
  }
  return mp__roster_step(t, &b->waiting);
}
