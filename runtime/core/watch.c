/* watch.c -- owns waiting for descriptors of the family's objects.
 *
 * A pipe's descriptor is rung by whoever puts something in.  A peer that is
 * killed rings nothing, so the waiter looks at the lives of the members each
 * time it comes here, and the sweep rings for the dead.
 */
#include "mp.h"

#include "family.h"

int mp_watch(struct mp_poll *list, unsigned n, int64_t deadline) {
  if (mp_entered()) {
    mp__close_late();
    (void)mp__scan();
  }
  return mp_poll(list, n, deadline); /* -EINTR a few times a second */
}
