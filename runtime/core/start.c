/* start.c -- owns what all start methods share, and fork.
 *
 * Before the child exists the parent has put it into the tree (state
 * STARTING) and filled its ledger.  The kernel writes the pid into the seat
 * within clone, before the child runs: so a parent that is killed at any point
 * leaves either a seat without a pid, which nobody can sit on and a sweep
 * frees, or a process that finds its seat whole.
 */
#include "mp.h"

#include "bare.h"
#include "fault.h"
#include "launch.h"
#include "sys.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static void into_tree(struct mp__txn *t, struct mp__slot *me,
                      struct mp__slot *s) {
  if (me->child)
    mp__set(t, &mp__slot_at(me->child)->younger, MP__SLOT_REF(s));
  mp__set(t, &s->older, me->child);
  mp__set(t, &s->younger, 0);
  mp__set(t, &s->parent, MP__SLOT_REF(me));
  mp__set(t, &me->child, MP__SLOT_REF(s));
  mp__ref(t, MP__SLOT_REF(s));
}

/* A hold in the child's ledger, made by the parent. */
static int hold_for(struct mp__txn *t, struct mp__slot *s, uint64_t name) {
  mp_ref held;
  int rc = mp__hold(t, s, name, &held);

  if (rc == 0)
    mp__ref(t, name);
  return rc;
}

int mp__start_prepare(struct mp__slot *s, enum mp_method method) {
  struct mp__slot *me = mp__me();
  struct mp__txn t;
  int rc = mp__arena_check();

  if (rc < 0)
    return rc;
  mp__child_tidy();
  mp__begin(&t);
  rc = s->state != MP_NEW                   ? -MP_ESTARTED
       : s->parent_name != MP__SLOT_REF(me) ? -MP_ENOTOURS
                                            : 0;
  if (rc < 0)
    goto fail;
  s->method = method;
  /* First into the tree: if we die on the way, who sweeps us finds it there. */
  mp__set(&t, &s->state, MP_STARTING);
  into_tree(&t, me, s);
  if (method == MP_FORK)
    rc = mp__ledger_copy(&t, me, s);
  else
    rc = hold_for(&t, s, MP__SLOT_REF(me));
  if (rc == 0)
    rc = hold_for(&t, s, MP__SLOT_REF(s));
  if (rc < 0) {
    mp__abort(&t);
    mp__start_undo(s);
    return rc;
  }
  /* Forked, it finds all that it is written already, and is born by one store
   * to its life word. */
  if (method == MP_FORK || method == MP_FORKSERVER)
    mp__set(&t, &s->state, MP_RUNNING);
  mp__end(&t);
  MP_FAULT("start.prepared");
  return 0;

fail:
  mp__abort(&t);
  return rc;
}

/* The child was not made: as before the call, and may be started again. */
void mp__start_undo(struct mp__slot *s) {
  struct mp__txn t;

  mp__begin(&t);
  while (mp__ledger_step(&t, s))
    mp__commit(&t);
  mp__set(&t, &s->state, MP_NEW);
  mp__leave_parent(&t, s);
  if (s->ledger) {
    mp__free(&t, s->ledger);
    mp__set(&t, &s->ledger, 0);
  }
  mp__end(&t);
}

/* A daemon dies with its starter.  The kernel watches the thread that started
 * it, so a starter whose life is a thread that may end first is watched by
 * the daemon itself, whenever it waits (family.c). */
MP__NEAR int mp__start_tie(const struct mp__slot *s) {
  const struct mp__slot *p;

  if (!(s->flags & MP_PROC_DAEMON))
    return 0;
  p = mp__slot_at(s->parent_name);
  if (p->flags & MP__PROC_GUEST)
    return 0;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
    return -errno;
  return getppid() == (int)p->pid ? 0 : -ESRCH;
}

MP__NEAR void mp__start_afresh(void *robust_head) {
  mp__robust_after_fork(robust_head);
  mp__server_forget();
  mp__child_forget_all();
}

MP__NEAR void mp__start_child(struct mp__slot *s, void *robust_head) {
  mp__set_newborn(s);
  MP_FAULT("start.child");
  if (mp__start_tie(s) < 0)
    mp__sys_exit(1);
  s->tid = s->pid; /* the kernel wrote it */
  if (mp__born(s, robust_head) < 0)
    mp__sys_exit(1);
  MP_FAULT("start.born");
}

void mp__hush(struct mp__hush *h, const struct mp__slot *s) {
  sigset_t set;

  h->hushed = (mp__load64_rlx(&s->flags) & MP_PROC_QUIET) != 0;
  if (!h->hushed)
    return;
  (void)sigemptyset(&set);
  (void)sigaddset(&set, SIGINT);
  (void)pthread_sigmask(SIG_BLOCK, &set, &h->before);
}

void mp__unhush(struct mp__hush *h) {
  if (h->hushed)
    (void)pthread_sigmask(SIG_SETMASK, &h->before, NULL);
}

MP__NEAR int mp_single_threaded(void) {
  return mp__sys_threads() == 1;
}

MP__NEAR int mp_proc_fork(mp_ref p) {
  struct mp__slot *s = mp__at(MP_REF_ID(p));
  void *robust = mp__robust_head();
  int quiet = 1; /* no exit signal: nobody else can wait for it */
  int rc = mp__start_prepare(s, MP_FORK);
  struct mp__hush hush;

  if (rc < 0)
    return rc;
  mp__hush(&hush, s);
  mp__sys_flush(); /* or the child would write it once more */
  mp__sys_null_ready();
  /* With other threads the C library must bring its own locks through. */
  rc = mp_single_threaded() ? mp__sys_clone(0, &s->pid) : -ENOSYS;
  if (rc == -ENOSYS || rc == -EPERM || rc == -EINVAL) {
    quiet = 0;
    rc = fork();
    if (rc < 0)
      rc = -errno;
    else
      mp__store32_rel(&s->pid, (uint32_t)(rc ? rc : mp__sys_getpid()));
  }
  if (rc != 0)
    mp__unhush(&hush);
  if (rc < 0) {
    mp__start_undo(s);
    return rc;
  }
  if (rc > 0) {
    mp__store64_rlx(&s->born, mp__sys_ticks());
    if (!quiet)
      mp__child_note(s);
    return 1;
  }
  /* Written to at first, its page alone is mapped; read at first, all that
   * lies around it is, and unmapped at the end. */
  mp__store32_rlx(&s->tid, 0);
  mp__start_afresh(robust);
  mp__start_child(s, robust);
  mp__sys_null_stdin();
  return 0;
}

int mp_is_fork(void) {
  struct mp__slot *me;

  if (!mp_entered())
    return 0;
  me = mp__me();
  return !(me->flags & MP__PROC_MAIN) &&
         (me->method == MP_FORK || me->method == MP_FORKSERVER);
}

MP__NEAR void mp_exit(int code) {
  struct mp__slot *me = mp__who();

  if (me) {
    mp__claim_exit(me, code);
    if (me->method == MP_THREAD)
      return;
    if (me->blocks) /* a page less to touch */
      mp__block_leave();
    mp__leave_pipes(me);
  }
  mp__sys_flush();
  mp__sys_exit(code & 0xff);
}
