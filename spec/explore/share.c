/* share.c -- what scenarios need around the objects that their processes share:
 * who holds them, their descriptors and locks.
 */
#include "explore.h"

#include <stdlib.h>
#include <unistd.h>

void sim_share(mp_ref ref) {
  struct mp__txn t;
  mp_ref held;
  int i;

  for (i = 0; sim_seat(i) != MP_REF_EMPTY; i++) {
    mp__begin(&t);
    if (mp__hold(&t, mp__at(MP_REF_ID(sim_seat(i))), MP_REF_ID(ref), &held) < 0)
      abort();
    mp__ref(&t, MP_REF_ID(ref));
    mp__end(&t);
  }
}

void sim_bell(mp_ref ref, int fd) {
  const struct mp__obj *o = mp__at(MP_REF_ID(ref));
  uint64_t n = 1;

  (void)read(fd, &n, sizeof n);
  n = 1;
  if (o->bell.rung && write(fd, &n, sizeof n) < 0)
    abort();
}

int sim_readable(int fd) {
  struct mp_poll p = {.fd = fd};

  return mp_poll(&p, 1, MP_NOW) == 1;
}

void sim_look(void) {
  sim_pause();
  if (sim_deaths() > 0)
    (void)mp__scan();
}

/* Only whoever has it drops it. */
void __real_mp__lock_drop(struct mp__lock *l);
void __wrap_mp__lock_drop(struct mp__lock *l);
void __wrap_mp__lock_drop(struct mp__lock *l) {
  const struct mp__slot *me = mp__me();

  if ((l->word & 0x7fffffff) !=
      (mp__slot_index(me) | (uint32_t)(me->gen & 0x7fff) << 16))
    sim_fail("a lock is dropped by one who has not got it");
  __real_mp__lock_drop(l);
}
