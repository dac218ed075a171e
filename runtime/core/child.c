/* child.c -- owns the descriptors of our own children, and waiting for them.
 *
 * A child that was forked with exit signal 0 meets nobody else's wait, so its
 * pid will do.  Exec gives a child the exit signal SIGCHLD back (and what it
 * forks with CLONE_PARENT inherits that), so a host that reaps with
 * waitpid(-1), or ignores SIGCHLD, may take such a child's status: for these a
 * pidfd is kept from the start.  It never means another process, and since
 * Linux 6.15 it tells the status of the dead, whoever waited.  Before that, a
 * process that left by itself has claimed its code, and one that was ended by
 * the family's own signal is known by that.
 */
#include "mp.h"

#include "launch.h"
#include "sys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* By seat: descriptor, or 0.  Of this process; one for each that it forked is
 * made when it first notes a child. */
static struct {
  int *fd;
  unsigned len;
  unsigned noted;
  uint32_t generation;
} kids;

static int make_room(unsigned index) {
  unsigned len = index + 64;
  int *fd;

  if (kids.generation != mp__here.generation) {
    kids.noted = 0; /* a host's own fork: those were our parent's */
    if (kids.fd)
      memset(kids.fd, 0, kids.len * sizeof *kids.fd);
    kids.generation = mp__here.generation;
  }
  if (index < kids.len)
    return 0;
  fd = realloc(kids.fd, len * sizeof *fd);
  if (!fd)
    return -ENOMEM;
  memset(fd + kids.len, 0, (len - kids.len) * sizeof *fd);
  kids.fd = fd;
  kids.len = len;
  return 0;
}

void mp__child_note(struct mp__slot *s) {
  unsigned i = mp__slot_index(s);
  int fd = mp__sys_pidfd_open((int)s->pid);

  if (fd < 0 || make_room(i) < 0) {
    mp__sys_close(fd); /* then its pid will have to do */
    return;
  }
  kids.fd[i] = fd;
  kids.noted++;
}

static int noted(const struct mp__slot *s) {
  unsigned i = mp__slot_index(s);

  return i < kids.len && kids.generation == mp__here.generation ? kids.fd[i]
                                                                : 0;
}

static void forget(const struct mp__slot *s) {
  int fd = noted(s);

  if (!fd)
    return;
  mp__sys_close(fd);
  kids.fd[mp__slot_index(s)] = 0;
  kids.noted--;
}

/* In a forked child: what we hold are the parent's. */
void mp__child_forget_all(void) {
  unsigned i;

  for (i = 0; i < kids.len && kids.noted > 0; i++)
    if (kids.fd[i]) {
      mp__sys_close(kids.fd[i]);
      kids.fd[i] = 0;
      kids.noted--;
    }
}

/* Somebody else has waited for it. */
static int stolen(struct mp__slot *s, int fd) {
  uint32_t word = mp__load32_acq(&s->exit);
  int status;

  if (fd && mp__sys_pidfd_status(fd, &status) == 0)
    return mp__exit_of(status);
  if (word)
    return mp__exit_code(word);
  return s->sent ? -(int)s->sent : MP__EXIT_LOST;
}

int mp__child_reap(struct mp__slot *s, int block) {
  int fd = noted(s);
  int status = 0;
  int rc;

  if (mp__load64_acq(&s->state) == MP_ENDED)
    return 1;
  rc = fd ? mp__sys_wait_fd(fd, block, &status)
          : mp__sys_wait((int)s->pid, block, &status);
  if (rc == 1)
    mp__proc_bury(s, mp__exit_of(status), 1);
  else if (rc == -ECHILD && mp__load64_acq(&s->state) != MP_ENDED)
    mp__proc_bury(s, stolen(s, fd), 1);
  if (rc == 1 || rc == -ECHILD) {
    forget(s);
    rc = 1;
  }
  return rc;
}
