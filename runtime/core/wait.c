/* wait.c -- owns one wait for any number of descriptors. */
#include "mp.h"

#include "sys.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#define ON_STACK 64

static int mark(struct mp_poll *list, const struct pollfd *p, unsigned n) {
  int found = 0;
  unsigned i;

  for (i = 0; i < n; i++) {
    if (p[i].revents & POLLNVAL)
      return -EBADF;
    list[i].ready = p[i].revents != 0; /* a hangup and an error count too */
    found += list[i].ready;
  }
  return found;
}

static int poll_all(struct mp_poll *list, struct pollfd *p, unsigned n,
                    int64_t deadline) {
  struct timespec ts;
  unsigned i;

  for (i = 0; i < n; i++) {
    p[i].fd = list[i].fd;
    p[i].events = POLLIN;
    p[i].revents = 0;
  }
  if (ppoll(p, n, mp__sys_left(&ts, deadline), NULL) < 0)
    return -errno;
  return mark(list, p, n);
}

int mp_poll(struct mp_poll *list, unsigned n, int64_t deadline) {
  struct pollfd few[ON_STACK];
  struct pollfd *p = few;
  int rc;

  if (n > ON_STACK) {
    p = malloc(n * sizeof *p);
    if (!p)
      return -ENOMEM;
  }
  rc = poll_all(list, p, n, deadline);
  if (p != few)
    free(p);
  return rc;
}
