/* event.c -- owns events: a flag that is waited for.
 *
 * The word counts how often the flag was set, so who began to wait before a
 * set succeeds by it, whatever becomes of the flag next.  Each change is one
 * compare-and-swap; a death in between leaves the flag set or not set, and
 * wakes the sleepers.
 *
 * word: bit 0 the flag; above it the number of times it went up.  Its low half
 * is the futex.  Written by who sets and who clears.
 */
#include "mp.h"

#include "family.h"
#include "fault.h"
#include "futex.h"
#include "spin.h"

#define SET ((uint64_t)1)
#define ONCE ((uint64_t)2)

struct event {
  struct mp__obj obj;
  uint64_t word;
  uint32_t sleepers; /* those who wait; themselves, or who sweeps them */
  uint32_t pad;
};

static struct event *event_of(mp_ref ref) {
  return mp__at(MP_REF_ID(ref));
}

void mp_event_set(mp_ref ref) {
  struct event *e = event_of(ref);
  uint64_t seen = mp__load64_seq(&e->word);

  if (seen & SET)
    return;
  /* Only a set changes a word that is not: it counts for both. */
  if (!mp__cas64_seq(&e->word, &seen, (seen + ONCE) | SET))
    return;
  MP_FAULT("event.set");
  if (mp__load32_seq(&e->sleepers))
    mp__futex_wake(mp__low32(&e->word), INT32_MAX);
  mp__bell_ring(&e->obj.bell);
}

int mp_event_is_set(mp_ref ref) {
  return (int)(mp__load64_acq(&event_of(ref)->word) & SET);
}

uint64_t mp_event_sets(mp_ref ref) {
  return mp__load64_seq(&event_of(ref)->word) / ONCE;
}

static int came(uint64_t word, uint64_t since) {
  return word & SET || word / ONCE != since;
}

int mp_event_wait(mp_ref ref, uint64_t since, int64_t deadline) {
  struct event *e = event_of(ref);
  uint64_t seen = mp__load64_seq(&e->word);
  struct mp__nap nap = {0};
  int rc = 0;

  if (came(seen, since))
    return 0;
  if (deadline == MP_NOW)
    return -MP_ETIMEOUT;
  if (mp__spin(&e->word, seen, UINT64_MAX))
    return 0; /* the flag was down: only a set changes the word */
  mp__count_in(&e->sleepers);
  while (rc == 0 && !came(seen = mp__load64_seq(&e->word), since))
    rc = mp__nap(&nap, mp__low32(&e->word), (uint32_t)seen, deadline);
  mp__count_out(&e->sleepers);
  return came(mp__load64_seq(&e->word), since) ? 0 : rc;
}

int mp_event_fd(mp_ref ref) {
  int fd = mp__bell_fd(&event_of(ref)->obj.bell);

  if (fd >= 0)
    mp_event_rearm(ref, fd);
  return fd;
}

/* As a queue's (fifo.c): a bell that has a reason to ring is left alone. */
void mp_event_rearm(mp_ref ref, int fd) {
  struct mp__bell *bell = &event_of(ref)->obj.bell;

  if (!mp_event_is_set(ref))
    mp__bell_quiet(bell, fd);
  if (mp_event_is_set(ref))
    mp__bell_ring_own(bell, fd);
}

/* Killed between the store and the ring, or between the quiet and the look: it
 * would be set, and nobody who polls would know.  Big lock held. */
void mp__event_died(uint64_t name) {
  struct event *e = event_of(name);

  mp__bell_forget(&e->obj.bell);
  if (mp__load64_seq(&e->word) & SET)
    mp__bell_ring_held(&e->obj.bell);
}

/* Whoever polls the descriptor shall not see it readable any more. */
static void quiet(mp_ref ref) {
  int fd = mp__vault_get_by(event_of(ref)->obj.bell.fd, MP_NOW);

  if (fd >= 0)
    mp_event_rearm(ref, fd);
  mp_fd_close(fd);
}

void mp_event_clear(mp_ref ref) {
  struct event *e = event_of(ref);
  uint64_t seen = mp__load64_seq(&e->word);

  /* Only a clear changes a word that is set: it counts for both. */
  if (!(seen & SET) || !mp__cas64_seq(&e->word, &seen, seen & ~SET))
    return;
  if (mp__load32_seq(&e->obj.bell.rung))
    quiet(ref);
}

int mp_event_open(mp_ref *held) {
  struct mp__txn t;
  int rc = mp_enter();

  *held = MP_REF_EMPTY;
  if (rc < 0)
    return rc;
  rc = mp__obj_open(&t, MP_TYPE_EVENT, sizeof(struct event), held);
  if (rc < 0)
    return rc;
  mp__end(&t);
  return 0;
}
