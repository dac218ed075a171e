/* watch.c -- owns waiting for descriptors of the family's objects.
 *
 * A pipe's descriptor is rung by whoever puts something in.  A peer that is
 * killed rings nothing, so the waiter looks at the lives of the members now
 * and then, and the sweep rings for the dead.
 */
#include "mp.h"

#include "family.h"

#define FIRST_LOOK_NS 50000000
#define LOOK_NS 250000000

int mp_watch(struct mp_poll *list, unsigned n, int64_t deadline) {
  int64_t look = FIRST_LOOK_NS;
  int64_t until;
  int rc;

  for (;;) {
    if (mp_entered())
      (void)mp__scan();
    until = deadline > MP_NOW && mp_entered() ? mp_now() + look : deadline;
    if (until > deadline)
      until = deadline;
    rc = mp_poll(list, n, until);
    if (rc != 0 || until >= deadline)
      return rc;
    look = LOOK_NS;
  }
}
