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

#include "bare.h"
#include "launch.h"
#include "sys.h"

#include <errno.h>
#include <string.h>

#define TIDY 2 /* children looked at in each start */

/* By seat: descriptor, or 0; only the thread that started a child touches its
 * entry.  Of this process: one that it forked wipes what it inherits. */
static int *kids;
static uint32_t nkids; /* entries that are not 0; any thread */
static uint32_t kids_generation;

static int *table(void) {
  size_t bytes = ((size_t)MP__HEAD->max_slots + 1) * sizeof *kids;
  int *fresh;
  int *none = NULL;

  if (!__atomic_load_n(&kids, __ATOMIC_ACQUIRE)) {
    fresh = mp__sys_map(bytes); /* pages come with use */
    /* Before others see the table, or they would take it for a parent's. */
    mp__store32_rlx(&kids_generation, mp__here.generation);
    if (fresh &&
        !__atomic_compare_exchange_n(&kids, &none, fresh, 0, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE))
      mp__sys_unmap(fresh, bytes);
  }
  if (kids && mp__load32_rlx(&kids_generation) != mp__here.generation) {
    memset(kids, 0, bytes); /* a host's own fork: those are our parent's */
    nkids = 0;
    mp__store32_rlx(&kids_generation, mp__here.generation);
  }
  return kids;
}

void mp__child_keep(struct mp__slot *s, int fd) {
  int *t = table();

  if (fd < 0 || !t) {
    mp__sys_close(fd); /* then its pid will have to do */
    return;
  }
  t[mp__slot_index(s)] = fd;
  mp__add32_seq(&nkids, 1);
}

void mp__child_note(struct mp__slot *s) {
  mp__child_keep(s, mp__sys_pidfd_open((int)s->pid));
}

static int noted(const struct mp__slot *s) {
  return kids && mp__load32_rlx(&kids_generation) == mp__here.generation
             ? kids[mp__slot_index(s)]
             : 0;
}

static void forget(const struct mp__slot *s) {
  int fd = noted(s);

  if (fd)
    fd = __atomic_exchange_n(&kids[mp__slot_index(s)], 0, __ATOMIC_ACQ_REL);
  if (!fd)
    return;
  mp__sys_close(fd);
  mp__add32_seq(&nkids, (uint32_t)-1);
}

/* In a forked child: what we hold are the parent's. */
MP__NEAR void mp__child_forget_all(void) {
  unsigned i;

  for (i = 0; nkids > 0 && i <= MP__HEAD->max_slots; i++)
    if (kids[i]) {
      mp__sys_close(kids[i]);
      kids[i] = 0;
      nkids--;
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

/* Bury a few children that have ended and whom nobody may ask for any more,
 * going round among them: each start buries more than it makes. */
void mp__child_tidy(void) {
  static _Thread_local uint64_t at;
  struct mp__slot *me = mp__me();
  struct mp__slot *s;
  int i;

  if (!at && !mp__load64_acq(&me->child))
    return; /* and write to no page */
  for (i = 0; i < TIDY; i++) {
    s = at ? mp__slot_at(at) : NULL;
    if (!s || mp__load64_acq(&s->parent) != MP__SLOT_REF(me))
      at = mp__load64_acq(&me->child); /* from the start again */
    if (!at)
      return;
    s = mp__slot_at(at);
    at = mp__load64_acq(&s->older);
    if (mp__load64_acq(&s->state) != MP_RUNNING)
      continue;
    if (s->method == MP_THREAD)
      (void)mp_proc_join(MP__SLOT_REF(s), MP_NOW);
    else if (mp__slot_dead(s))
      (void)mp__child_reap(s, MP__WAIT_NOT);
  }
}

int mp__child_reap(struct mp__slot *s, enum mp__wait how) {
  int fd = noted(s);
  int status = 0;
  uint32_t word;
  int code;
  int rc;

  if (mp__load64_acq(&s->state) == MP_ENDED)
    return 1;
  if (mp__load32_acq(&s->pid) == 0)
    return 0; /* another thread is starting it */
  word = mp__load32_acq(&s->exit);
  if (word & MP__EXIT_FINAL) { /* waited for already, and not yet buried */
    forget(s);
    mp__proc_bury(s, mp__exit_code(word), 1);
    return 1;
  }
  rc = mp__sys_wait((int)s->pid, fd, how, &status);
  if (rc != 1 && rc != -ECHILD)
    return rc;
  code = rc == 1 ? mp__exit_of(status) : stolen(s, fd);
  forget(s); /* first: once it is buried another thread may sit there */
  if (mp__load64_acq(&s->state) != MP_ENDED)
    mp__proc_bury(s, code, 1);
  return 1;
}
