/* mutex.c -- owns locks that scripts hold: Lock and RLock.
 *
 * One word says who holds the lock (mutex.h), so a death needs no clean-up:
 * who comes next finds the holder's seat dead, or another's by now, and swaps
 * itself in.  Uncontended: one compare-and-swap each way.
 *
 * Sleepers: who is about to sleep sets SLEEPERS; who releases clears it and
 * wakes one.  Others may overtake the one that was woken, so whoever has slept
 * sets the bit again, with its own name when it gets the lock, or in another's
 * when it sleeps on: those who sleep beside it are not forgotten.  (Who gives
 * up was not woken, so nobody relies on it.)  One that was woken and killed
 * has woken all by its death (nap.c).
 */
#include "mp.h"

#include "bare.h"
#include "family.h"
#include "fault.h"
#include "futex.h"
#include "mutex.h"
#include "spin.h"

#include <errno.h>
#include <string.h>

#define SLEEPERS MP__MUTEX_SLEEPERS
#define PAUSES_MAX 64 /* between two looks */
#define SPINS 16      /* times that it was free and another was faster */

static struct mp__mutex *mutex_of(mp_ref ref) {
  return mp__at(MP_REF_ID(ref));
}

/* Take it if it is to be had; `mine` may have SLEEPERS.  -EAGAIN: it is not,
 * and *seen is what is there. */
static int take(struct mp__mutex *m, uint64_t mine, uint64_t *seen) {
  int died = 0;

  *seen = mp__load64_rlx(&m->word);
  do {
    died = *seen != 0 && mp__owner_ended(*seen);
    if (*seen != 0 && !died)
      return -EAGAIN;
  } while (!mp__cas64_seq(&m->word, seen, mine | (*seen & SLEEPERS)));
  MP_FAULT("mutex.taken");
  mp__store32_rlx(&m->depth, 1);
  return died ? MP_EABANDONED : 0;
}

/* Poll, less and less often: each look costs the holder its cache line, and
 * an empty section is over soon.  1 when it was free. */
static int poll_word(struct mp__mutex *m) {
  int i;
  int n;

  for (n = 1; n <= PAUSES_MAX && mp__load64_rlx(&m->word) != 0; n *= 2)
    for (i = 0; i < n; i++)
      mp__pause();
  return mp__load64_rlx(&m->word) == 0;
}

static int acquire_slowly(struct mp__mutex *m, uint64_t mine,
                          int64_t deadline) {
  struct mp__nap nap = {0};
  uint64_t seen;
  int spins = 0;
  int rc = deadline == MP_NOW ? -MP_ETIMEOUT : 0;
  int got;

  while ((got = take(m, mine, &seen)) < 0) {
    if (rc < 0)
      return rc;
    if (spins++ < SPINS && mp__may_spin() && poll_word(m))
      continue;
    if (!(seen & SLEEPERS) && !mp__cas64_seq(&m->word, &seen, seen | SLEEPERS))
      continue;
    mine |= SLEEPERS;
    rc = mp__nap(&nap, mp__low32(&m->word), (uint32_t)(seen | SLEEPERS),
                 deadline);
  }
  return got;
}

/* It is held, perhaps by the caller.  Aside, so that the common case needs no
 * stack frame. */
static __attribute__((noinline)) int acquire_held(struct mp__mutex *m,
                                                  uint64_t mine, uint64_t seen,
                                                  int64_t deadline) {
  if (!m->recursive || (seen & ~SLEEPERS) != mine)
    return acquire_slowly(m, mine, deadline);
  if (m->depth == UINT32_MAX)
    return -EOVERFLOW;
  mp__store32_rlx(&m->depth, m->depth + 1);
  return 0;
}

int mp_mutex_acquire(mp_ref ref, int64_t deadline) {
  struct mp__mutex *m = mutex_of(ref);
  uint64_t seen = 0;
  uint64_t mine;
  int rc = mp__owner(&mine);

  if (rc < 0)
    return rc;
  if (!mp__cas64_acq(&m->word, &seen, mine))
    return acquire_held(m, mine, seen, deadline);
  mp__store32_rlx(&m->depth, 1);
  return 0;
}

/* Leave one level of a recursive one: 1 when it is held still. */
static int leave_level(struct mp__mutex *m, uint64_t mine) {
  uint64_t seen = mp__load64_rlx(&m->word);

  if ((seen & ~SLEEPERS) != mine)
    return seen == 0 ? -MP_ENOTHELD : -MP_ENOTOWNER;
  if (m->depth == 1)
    return 0;
  mp__store32_rlx(&m->depth, m->depth - 1);
  return 1;
}

static void wake_one(struct mp__mutex *m, uint64_t seen) {
  MP_FAULT("mutex.released");
  if (seen & SLEEPERS)
    mp__futex_wake(mp__low32(&m->word), 1);
}

/* There are sleepers, or it is another's. */
static __attribute__((noinline)) int release_other(struct mp__mutex *m,
                                                   uint64_t seen) {
  do
    if (seen == 0)
      return -MP_ENOTHELD;
  while (!mp__cas64_seq(&m->word, &seen, 0));
  wake_one(m, seen);
  return 0;
}

int mp_mutex_release(mp_ref ref) {
  struct mp__mutex *m = mutex_of(ref);
  uint64_t seen; /* at first what is there in the common case: our name */
  int rc = mp__owner(&seen);

  if (rc < 0)
    return rc;
  if (m->recursive) {
    rc = leave_level(m, seen);
    if (rc != 0)
      return rc < 0 ? rc : 0;
  }
  if (mp__cas64_seq(&m->word, &seen, 0)) { /* our name alone: nobody sleeps */
    MP_FAULT("mutex.released");
    return 0;
  }
  return release_other(m, seen);
}

int mp_mutex_locked(mp_ref ref) {
  uint64_t seen = mp__load64_acq(&mutex_of(ref)->word);

  return seen != 0 && !mp__owner_ended(seen);
}

int mp_mutex_mine(mp_ref ref) {
  uint64_t seen = mp__load64_rlx(&mutex_of(ref)->word);

  return mp__owner_word != 0 && (seen & ~SLEEPERS) == mp__owner_word;
}

/* The lock that a name in the ledger stands for, if the caller holds it. */
static uint64_t held_by_me(uint64_t name) {
  enum mp_type type = mp_ref_type(name);

  if (type == MP_TYPE_COND)
    name = mp_cond_mutex(name);
  else if (type != MP_TYPE_LOCK && type != MP_TYPE_RLOCK)
    return 0;
  return mp_mutex_mine(name) ? name : 0;
}

/* Is it there before entry `at`, too? */
static int was_named(uint64_t lock, uint64_t at) {
  uint64_t i = 0;
  uint64_t name;

  while ((name = mp__ledger_next(&i)) && i < at)
    if (held_by_me(name) == lock)
      return 1;
  return 0;
}

MP__NEAR mp_ref mp_mutex_left(uint64_t *at) {
  struct mp__txn t;
  uint64_t lock = 0;
  uint64_t name;

  if (mp__owner_word == 0 || mp__begin_by(&t, MP_NOW) < 0)
    return MP_REF_EMPTY; /* this thread has never had one */
  while (!lock && (name = mp__ledger_next(at))) {
    lock = held_by_me(name);
    if (lock && was_named(lock, *at))
      lock = 0;
  }
  mp__abort(&t);
  return lock;
}

mp_ref mp_mutex_last(mp_ref held) {
  uint64_t lock = held_by_me(MP_REF_ID(held));
  struct mp__txn t;
  uint64_t at = 0;
  uint64_t name;
  int n = 0;

  if (!lock || mp__begin_by(&t, MP_NOW) < 0)
    return MP_REF_EMPTY;
  while ((name = mp__ledger_next(&at)))
    n += held_by_me(name) == lock;
  mp__abort(&t);
  return n == 1 ? lock : MP_REF_EMPTY;
}

int mp_mutex_holder(mp_ref ref, char name[MP_NAME_MAX + 1]) {
  uint64_t seen = mp__load64_acq(&mutex_of(ref)->word);

  if (seen == 0)
    return 0;
  memcpy(name, mp__owner_seat(seen)->name, MP_NAME_MAX);
  name[MP_NAME_MAX] = '\0'; /* the seat may be another's, half written */
  return !mp__owner_ended(seen);
}

int mp_mutex_open(mp_ref *held, int recursive) {
  struct mp__mutex *m;
  struct mp__txn t;
  int rc = mp_enter();

  *held = MP_REF_EMPTY;
  if (rc < 0)
    return rc;
  rc = mp__obj_open(&t, recursive ? MP_TYPE_RLOCK : MP_TYPE_LOCK, sizeof *m,
                    held);
  if (rc < 0)
    return rc;
  m = mp__at(MP_REF_ID(*held));
  m->recursive = recursive != 0;
  mp__end(&t);
  return 0;
}
