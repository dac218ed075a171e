/* door.c -- owns the way in of a process that nobody has given a seat.
 *
 * To take a seat one needs the lock, and the lock's word names a seat: who
 * looks at it must find out whether its holder lives.  A process that the host
 * forked by itself has none yet, and its parent's would tell of the parent.
 * So it locks as seat 0, which is nobody's, and only one process at a time
 * does; the head's word `door` says which:
 *
 *   0            nobody
 *   pid | t<<22  the process pid, which came at t (ticks since the boot)
 *
 * Whoever finds there a process that has ended puts itself in its place.  The
 * seat's generation grows each time, so what the dead one had locked is seen
 * to be a dead one's: by the generation, and until then by the seat's pid.
 */
#include "mp.h"

#include "family.h"
#include "fault.h"
#include "sys.h"

#define PID_BITS 22 /* Linux has no larger ones */
#define LOOK_NS 1000000

static uint64_t *door(void) {
  return &MP__HEAD->door;
}

/* Has who stands there ended?  What has our own pid is from before us. */
static int deserted(uint64_t word) {
  int pid = (int)(word & ((1u << PID_BITS) - 1));

  return pid == mp__sys_getpid() || !mp__process_exists(pid, word >> PID_BITS);
}

struct mp__slot *mp__door_enter(void) {
  struct mp__slot *s = mp__slot_at(MP__SLOTS);
  uint64_t mine = (uint64_t)mp__sys_getpid() | mp__sys_ticks() << PID_BITS;
  uint64_t seen = 0;

  while (!mp__cas64_acq(door(), &seen, mine))
    if (seen && !deserted(seen)) {
      (void)mp__sys_poll(NULL, 0, mp_now() + LOOK_NS);
      seen = 0;
    }
  MP_FAULT("door.first");
  mp__store64_rel(&s->gen, s->gen + 1);
  mp__store64_rel(&s->state, MP_RUNNING);
  mp__name_self(s);
  /* As the last of all, and before the lock's word can name it. */
  (void)mp__swap32_seq(&s->life.life, s->tid & MP__LIFE_TID);
  return s;
}

void mp__door_leave(void) {
  MP_FAULT("door.last");
  mp__store64_rel(door(), 0);
}
