/* dial.c -- owns connecting to an address, with a deadline.
 *
 * A name may stand for several addresses, which are tried in turn.  A unix
 * socket whose backlog is full refuses for the moment (-EAGAIN): nothing tells
 * when there is room again, so it is asked again and again.
 */
#include "mp.h"

#include "net.h"
#include "sys.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#define AGAIN_NS 2000000 /* between two knocks at a full backlog */

int mp_dial_open(struct mp_dial *d, const struct mp_addr *a) {
  int rc;

  *d = MP_DIAL_EMPTY;
  rc = mp__net_resolve(a, 0, &d->list);
  d->next = d->list;
  d->why = -MP_EADDRESS;
  return rc;
}

void mp_dial_close(struct mp_dial *d) {
  mp__sys_close(d->fd);
  mp__net_free(d->list);
  *d = MP_DIAL_EMPTY;
}

/* On to the next address. */
static int failed(struct mp_dial *d, int why) {
  d->why = why;
  mp__sys_close(d->fd);
  d->fd = -1;
  d->waiting = 0;
  d->next = d->next->ai_next;
  return d->next ? 0 : why;
}

static int begin(struct mp_dial *d) {
  int rc;

  if (d->fd < 0) {
    rc = mp__net_socket(d->next->ai_family, 1);
    if (rc < 0)
      return failed(d, rc);
    d->fd = rc;
  }
  rc = mp__net_connect(d->fd, d->next);
  if (rc == -EINPROGRESS || rc == 0) {
    d->waiting = 1;
    return 0;
  }
  return rc == -EAGAIN ? rc : failed(d, rc);
}

/* 1: connected; 0: look again */
static int look(struct mp_dial *d, int64_t deadline) {
  int64_t until;
  int rc;

  if (!d->waiting) {
    rc = begin(d);
    if (rc != -EAGAIN)
      return rc;
    until = mp_now() + AGAIN_NS;
    rc = mp__sys_poll(NULL, 0, until < deadline ? until : deadline);
    if (rc < 0)
      return rc;
    return mp_now() >= deadline ? -MP_ETIMEOUT : 0;
  }
  rc = mp__sys_poll1(d->fd, POLLOUT, deadline);
  if (rc <= 0)
    return rc == 0 ? -MP_ETIMEOUT : rc;
  rc = mp__net_error(d->fd);
  return rc < 0 ? failed(d, rc) : 1;
}

int mp_dial_wait(struct mp_dial *d, struct mp_conn *c, unsigned flags,
                 int64_t deadline) {
  int family, rc = 0;

  while (rc == 0) {
    if (!d->next)
      return d->why;
    rc = look(d, deadline);
  }
  if (rc < 0)
    return rc;
  family = d->next->ai_family;
  if (family == AF_UNIX && !(flags & MP_NET_ANY_USER) &&
      !mp__net_same_user(d->fd))
    return -MP_EAUTHUSER;
  mp__net_tune(d->fd, family);
  mp__net_block(d->fd);
  *c = MP_CONN_EMPTY;
  c->fd = d->fd;
  c->naps = mp__sys_set_naps(c->fd);
  d->fd = -1;
  return 0;
}
