/* lock.c -- owns the core's own lock: short, and never lost.
 *
 * The word: 0 free; else the holder's seat (bits 0..15) and the low 15 bits of
 * the seat's generation (16..30); bit 31: somebody may sleep on the word.
 * Taken only for short sections that call neither Lua nor anything that
 * waits.  When the holder is dead the next taker gets the lock as it is, with
 * the journal replayed, so every structure is whole; what the section itself
 * keeps outside the journal commits by one store (see queue.c).
 *
 * A holder that is stopped (SIGSTOP, a debugger) keeps the lock, for it may go
 * on at any time and write.  So who has a deadline gives up at it, and all
 * come back now and then, so that a signal is looked at (mp__lock_by).
 */
#include "mp.h"

#include "family.h"
#include "fault.h"
#include "futex.h"
#include "sys.h"

#include <errno.h>

#define WAITERS 0x80000000u
#ifndef MP__LOCK_SPINS /* the explorer of schedules has fewer */
#define MP__LOCK_SPINS 200
#endif
#define LOOK_NS 2000000   /* how long to sleep before one looks at the holder */
#define TURN_NS 100000000 /* between two looks of the caller at signals */
#define LATE_NS 1000000000 /* behind the deadline, for a holder without a CPU */

static uint32_t my_word(void) {
  struct mp__slot *me = mp__me();

  return mp__slot_index(me) | (uint32_t)(mp__load64_rlx(&me->gen) & 0x7fff)
                                  << 16;
}

/* Has the holder that the word names ended? */
static int holder_died(uint32_t word) {
  struct mp__slot *s =
      mp__slot_at(MP__SLOTS + (uint64_t)(word & 0xffff) * MP__SLOT_SIZE);

  if ((mp__load64_rlx(&s->gen) & 0x7fff) != (word >> 16 & 0x7fff))
    return 1;
  return mp__slot_verify(s);
}

/* What there is to wait for: NULL in place of it waits as long as it takes. */
struct patience {
  int64_t deadline;
  int64_t since; /* now, when the waiting began */
};

static int take(struct mp__lock *l, uint32_t mine, const struct patience *p);

/* 1: it is ours; 0: another was faster; < 0 */
static int take_over(struct mp__lock *l, uint32_t seen, uint32_t mine,
                     const struct patience *p) {
  if (l != &MP__HEAD->big) { /* the dead may have left the journal full */
    int rc = take(&MP__HEAD->big, mine, p);

    if (rc < 0)
      return rc;
    mp__lock_drop(&MP__HEAD->big);
  }
  if (!mp__cas32_acq(&l->word, &seen, mine | WAITERS))
    return 0;
  if (l == &MP__HEAD->big)
    mp__replay();
  return 1;
}

/* Will the holder not let go by itself, because it is stopped or traced? */
static int holder_stopped(uint32_t word) {
  struct mp__slot *s =
      mp__slot_at(MP__SLOTS + (uint64_t)(word & 0xffff) * MP__SLOT_SIZE);
  uint64_t start;
  char state;

  return mp__sys_procstat((int)mp__load32_rlx(&s->pid), &state, &start) == 0 &&
         (state == 'T' || state == 't');
}

/* Is it enough?  A holder that only waits for a CPU is given a second more:
 * "empty" of a queue with something in it would be wrong. */
static int give_up(uint32_t seen, const struct patience *p) {
  int64_t now = mp_now();
  int64_t late = p->since > p->deadline ? p->since : p->deadline;

  if (now < p->deadline)
    return now - p->since >= TURN_NS && holder_stopped(seen) ? -EINTR : 0;
  return now - late >= LATE_NS || holder_stopped(seen) ? -MP_ETIMEOUT : 0;
}

static int take_polling(struct mp__lock *l, uint32_t mine) {
  int i;

  for (i = 0; i < MP__LOCK_SPINS; i++) {
    uint32_t seen = mp__load32_rlx(&l->word);

    if (seen == 0 && mp__cas32_acq(&l->word, &seen, mine))
      return 1;
    mp__pause();
  }
  return 0;
}

static int take_slowly(struct mp__lock *l, uint32_t mine,
                       const struct patience *p) {
  int slept = 0; /* and nobody came to wake us */
  uint32_t seen;
  int rc = 0;

  if (take_polling(l, mine))
    return 0;
  for (;;) {
    seen = mp__load32_rlx(&l->word);
    if (seen == 0) {
      /* Others may sleep: the bit stays until nobody had to wait. */
      if (mp__cas32_acq(&l->word, &seen, mine | WAITERS))
        return 0;
      continue;
    }
    if (slept && holder_died(seen))
      rc = take_over(l, seen, mine, p);
    else if (slept && p)
      rc = give_up(seen, p);
    if (rc != 0)
      return rc;
    if (!(seen & WAITERS))
      (void)mp__cas32_acq(&l->word, &seen, seen | WAITERS);
    else
      slept =
          mp__futex_wait(&l->word, seen, mp_now() + LOOK_NS) == -MP_ETIMEOUT;
  }
}

static int take(struct mp__lock *l, uint32_t mine, const struct patience *p) {
  uint32_t seen = 0;

  return mp__cas32_acq(&l->word, &seen, mine) ? 0 : take_slowly(l, mine, p);
}

int mp__lock_take(struct mp__lock *l) {
  return take(l, my_word(), NULL);
}

/* The clock is read by those alone who find the lock held. */
int mp__lock_by(struct mp__lock *l, int64_t deadline) {
  uint32_t mine = my_word();
  uint32_t seen = 0;

  if (mp__cas32_acq(&l->word, &seen, mine))
    return 0;
  if (deadline == MP__SURELY)
    return take_slowly(l, mine, NULL);
  return take_slowly(l, mine, &(struct patience){deadline, mp_now()});
}

void mp__lock_drop(struct mp__lock *l) {
  /* seq: whoever unlocks looks for sleepers next */
  if (mp__swap32_seq(&l->word, 0) & WAITERS)
    mp__futex_wake(&l->word, 1);
}
