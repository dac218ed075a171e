/* wait.c -- owns one wait for any number of descriptors.
 *
 * Ready is what would not block a reader: bytes, the end, an error.  Nothing
 * is kept between calls; a descriptor may be in the list more than once.
 */
#include "mp.h"

#include "sys.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#define ON_STACK 64

/* A negative descriptor would be passed over by the kernel, silently. */
static int ask(struct mp_poll *list, struct pollfd *p, unsigned n) {
  unsigned i;

  for (i = 0; i < n; i++) {
    if (list[i].fd < 0)
      return -EBADF;
    p[i] = (struct pollfd){list[i].fd, list[i].to_write ? POLLOUT : POLLIN, 0};
    list[i].ready = 0;
  }
  return 0;
}

static int answer(struct mp_poll *list, const struct pollfd *p, unsigned n) {
  int found = 0;
  unsigned i;

  for (i = 0; i < n; i++)
    if (p[i].revents & POLLNVAL)
      return -EBADF;
  for (i = 0; i < n; i++)
    found += list[i].ready = p[i].revents != 0;
  return found;
}

static int poll_all(struct mp_poll *list, struct pollfd *p, unsigned n,
                    int64_t deadline) {
  int rc = ask(list, p, n);

  if (rc == 0)
    rc = mp__sys_poll(p, n, deadline);
  return rc > 0 ? answer(list, p, n) : rc;
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
