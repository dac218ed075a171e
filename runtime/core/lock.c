/* lock.c -- owns the core's own lock: short, and never lost.
 *
 * The word: 0 free; else the holder's seat (bits 0..15) and the low 15 bits of
 * the seat's generation (16..30); bit 31: somebody may sleep on the word.
 * Taken only for short sections that call neither Lua nor anything that
 * waits.  When the holder is dead the next taker gets the lock as it is, with
 * the journal replayed, so every structure is whole; what the section itself
 * keeps outside the journal commits by one store (see queue.c).
 */
#include "mp.h"

#include "family.h"
#include "fault.h"
#include "futex.h"

#define WAITERS 0x80000000u
#ifndef MP__LOCK_SPINS /* the explorer of schedules has fewer */
#define MP__LOCK_SPINS 200
#endif
#define LOOK_NS 2000000 /* how long to sleep before one looks at the holder */

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

static int take_over(struct mp__lock *l, uint32_t seen, uint32_t mine) {
  if (!mp__cas32_acq(&l->word, &seen, mine | WAITERS))
    return 0;
  if (l == &MP__HEAD->big)
    mp__replay();
  else { /* the dead may have left the journal full */
    (void)mp__lock_take(&MP__HEAD->big);
    mp__lock_drop(&MP__HEAD->big);
  }
  return 1;
}

static int take_slowly(struct mp__lock *l, uint32_t mine) {
  uint32_t seen;
  int i;

  for (i = 0; i < MP__LOCK_SPINS; i++) {
    seen = mp__load32_rlx(&l->word);
    if (seen == 0 && mp__cas32_acq(&l->word, &seen, mine))
      return 0;
    mp__pause();
  }
  for (;;) {
    seen = mp__load32_rlx(&l->word);
    if (seen == 0) {
      /* Others may sleep: the bit stays until nobody had to wait. */
      if (mp__cas32_acq(&l->word, &seen, mine | WAITERS))
        return 0;
      continue;
    }
    if (!(seen & WAITERS)) {
      (void)mp__cas32_acq(&l->word, &seen, seen | WAITERS);
      continue;
    }
    if (mp__futex_wait(&l->word, seen, mp_now() + LOOK_NS) == -MP_ETIMEOUT &&
        holder_died(seen) && take_over(l, seen, mine))
      return 1;
  }
}

int mp__lock_take(struct mp__lock *l) {
  uint32_t mine = my_word();
  uint32_t seen = 0;

  if (mp__cas32_acq(&l->word, &seen, mine))
    return 0;
  return take_slowly(l, mine);
}

void mp__lock_drop(struct mp__lock *l) {
  /* seq: whoever unlocks looks for sleepers next */
  if (mp__swap32_seq(&l->word, 0) & WAITERS)
    mp__futex_wake(&l->word, 1);
}
