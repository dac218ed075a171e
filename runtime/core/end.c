/* end.c -- owns the ends of processes: exit codes, waiting, signals, and the
 * caller's own.
 *
 * The exit code.  Children have no exit signal, so the host's SIGCHLD
 * handling never sees them; the parent waits with __WALL.  A process writes
 * its code before it leaves (MP__EXIT_CLAIMED); the parent that waited for it
 * writes what the kernel said (MP__EXIT_FINAL).  Others look at the record,
 * and at the zombie in /proc while the parent has not waited.
 */
#include "mp.h"

#include "bare.h"
#include "futex.h"
#include "launch.h"
#include "sys.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

static struct mp__slot *slot_of(mp_ref p) {
  return mp__at(MP_REF_ID(p));
}

static uint32_t exit_word(int code, uint32_t how) {
  return how | (uint32_t)(code + 256);
}

int mp__exit_of(int status) {
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int mp__exit_code(uint32_t word) {
  return (int)(word & 0xffff) - 256;
}

MP__NEAR static void set_exit(struct mp__slot *s, uint32_t word) {
  uint32_t seen = 0;

  /* What the kernel said stands; a claim gives way to it. */
  while (!(seen & MP__EXIT_FINAL) && !mp__cas32_seq(&s->exit, &seen, word))
    ;
  if (seen & MP__EXIT_FINAL)
    return; /* who wrote that tells of it, too */
  if (s->method == MP_THREAD)
    mp__futex_wake(&s->exit, INT32_MAX);
  mp__bell_ring(&s->obj.bell);
}

/* The process is over for its parent: out of the tree, and swept.  While a
 * stopped process has the lock its code is known, and the rest is left to the
 * parent's next look. */
void mp__proc_bury(struct mp__slot *s, int code, int final) {
  struct mp__txn t;

  set_exit(s, exit_word(code, final ? MP__EXIT_FINAL : MP__EXIT_CLAIMED));
  if (mp__begin_by(&t, MP_NOW) < 0)
    return;
  mp__set(&t, &s->state, MP_ENDED);
  mp__set(&t, &s->flags, s->flags | MP__PROC_REAPED);
  mp__leave_parent(&t, s);
  mp__end(&t);
  if (!(mp__load32_acq(&s->life.life) & MP__LIFE_DIED))
    (void)mp__swap32_seq(&s->life.life, MP__LIFE_DIED);
  (void)mp__sweep(s);
}

static int is_mine(struct mp__slot *s) {
  return mp__load64_rlx(&s->parent) == MP__SLOT_REF(mp__me()) ||
         (s->method != MP_THREAD && s->parent &&
          mp__slot_at(s->parent)->pid == (uint32_t)mp__sys_getpid());
}

static int ended(struct mp__slot *s) {
  return mp__load64_acq(&s->state) == MP_ENDED;
}

/* What one can know of the end of a process that is gone and was not waited
 * for by us. */
static int learn_exit(struct mp__slot *s) {
  int status;
  uint32_t word;

  word = mp__load32_acq(&s->exit);
  if (word & MP__EXIT_FINAL)
    return mp__exit_code(word);
  if (mp__sys_exit_status((int)s->pid, s->born, &status) == 0)
    return mp__exit_of(status);
  word = mp__load32_acq(&s->exit); /* its parent may just have waited */
  if (word & (MP__EXIT_FINAL | MP__EXIT_CLAIMED))
    return mp__exit_code(word);
  return s->sent ? -(int)s->sent : MP__EXIT_LOST;
}

/* A descriptor of the process, or -ESRCH when it is gone. */
static int open_pidfd(struct mp__slot *s) {
  int fd = mp__sys_pidfd_open((int)s->pid);
  uint64_t start = 0;
  char state;
  int rc;

  if (fd == -EINVAL)
    return -ESRCH; /* the race of pidfd_open with the last wait */
  if (fd < 0)
    return fd;
  /* Opened, and then still the same: it was ours when it was opened. */
  if (!(mp__load32_acq(&s->life.life) & MP__LIFE_DIED))
    return fd;
  rc = mp__sys_procstat((int)s->pid, &state, &start);
  if (rc == 0 && (start <= s->born || !s->born))
    return fd; /* a zombie, or it has called exec */
  mp__sys_close(fd);
  return rc == 0 || rc == -ENOENT ? -ESRCH : rc;
}

static int thread_over(struct mp__slot *s) {
  return (mp__load32_acq(&s->exit) & MP__EXIT_FINAL) || mp__slot_dead(s);
}

static int join_thread(struct mp__slot *s, int64_t deadline) {
  struct mp__nap nap = {0};
  int rc;

  while (!thread_over(s)) {
    rc = mp__nap(&nap, &s->exit, 0, deadline);
    if (rc < 0)
      return rc;
  }
  if (is_mine(s) && !ended(s)) {
    uint32_t word = mp__load32_acq(&s->exit);

    mp__proc_bury(s, word ? mp__exit_code(word) : MP__EXIT_LOST, 1);
  }
  return 0;
}

static int join_by_fd(struct mp__slot *s, int64_t deadline) {
  int fd = open_pidfd(s);
  int rc = 1;

  if (fd == -ESRCH)
    return 0;
  if (fd < 0)
    return fd;
  rc = mp__sys_poll1(fd, POLLIN, deadline);
  mp__sys_close(fd);
  if (rc < 0)
    return rc;
  return rc ? 0 : -MP_ETIMEOUT;
}

/* Wait for our own child, and for nothing else, if the caller has armed that.
 * 1: buried; 0: one must look otherwise. */
static int join_by_waiting(struct mp__slot *s) {
  if (!mp__sys_armed() || mp__is_loose())
    return 0;
  mp__close_late();
  return mp__child_reap(s, MP__WAIT_ARMED);
}

/* Wait for our own child by its life word: the kernel tells of that at once,
 * before all the rest of the end.  1: buried; 0: one must look otherwise. */
static int join_by_life(struct mp__slot *s, int64_t deadline) {
  struct mp__nap nap = {0};
  uint32_t life;
  int born = 0;
  int rc;

  while (!(mp__load64_rlx(&s->flags) & MP__PROC_BLIND)) {
    life = mp__or32_seq(&s->life.life, MP__LIFE_WAITERS) | MP__LIFE_WAITERS;
    if (life & MP__LIFE_DIED) /* of exec, perhaps, unless it said its code */
      return mp__child_reap(s,
                            mp__load32_acq(&s->exit) ? MP__WAIT : MP__WAIT_NOT);
    if (!(life & MP__LIFE_TID)) { /* nobody tells of a death before birth */
      rc = mp__child_reap(s, MP__WAIT_NOT);
      if (rc != 0 || nap.naps)
        return rc;
    } else if (!born) { /* that may have been all that ended the first nap */
      born = 1;
      nap.naps = 0;
    }
    mp__add32_seq(&MP__HEAD->napping, 1);
    rc = mp__nap(&nap, &s->life.life, life, deadline);
    mp__add32_seq(&MP__HEAD->napping, (uint32_t)-1);
    if (rc < 0)
      return rc;
  }
  return 0;
}

#define LOOK_NS 5000000

/* No descriptor is to be had: look after our own child now and then. */
static int join_by_looking(struct mp__slot *s, int64_t deadline) {
  int64_t until;
  int rc;

  for (;;) {
    rc = mp__child_reap(s, MP__WAIT_NOT);
    if (rc != 0)
      return rc < 0 ? rc : 0;
    until = mp_now() + LOOK_NS;
    rc = mp__sys_poll(NULL, 0, until < deadline ? until : deadline);
    if (rc < 0)
      return rc;
    if (until >= deadline)
      return -MP_ETIMEOUT;
  }
}

int mp_arm(void) {
  return mp__sys_arm();
}

int mp_proc_join(mp_ref p, int64_t deadline) {
  struct mp__slot *s = slot_of(p);
  int rc;

  if (s == mp__me())
    return -MP_ESELF;
  if (mp_proc_state(p) < MP_STARTING)
    return -MP_ENOTSTARTED;
  if (ended(s))
    return 0;
  if (s->method == MP_THREAD)
    return join_thread(s, deadline);
  if (!is_mine(s))
    return join_by_fd(s, deadline);
  if (deadline == MP_NOW)
    return mp__child_reap(s, MP__WAIT_NOT) == 0 ? -MP_ETIMEOUT : 0;
  rc = deadline == MP_FOREVER ? join_by_waiting(s) : 0;
  if (rc == 0)
    rc = join_by_life(s, deadline);
  if (rc != 0)
    return rc < 0 ? rc : 0;
  rc = join_by_fd(s, deadline);
  if (rc == -EMFILE || rc == -ENFILE)
    return join_by_looking(s, deadline);
  if (rc == 0)
    (void)mp__child_reap(s, MP__WAIT);
  return rc;
}

/* Is a process of others over?  Asked without waiting. */
static int over(struct mp__slot *s) {
  int fd;
  int rc;

  if (ended(s))
    return 1;
  if (s->method == MP_THREAD)
    return thread_over(s);
  if (!(mp__load32_acq(&s->life.life) & MP__LIFE_DIED) &&
      !(s->flags & MP__PROC_BLIND) && mp__life_begun(s))
    return 0;
  fd = open_pidfd(s);
  if (fd < 0)
    return fd == -ESRCH;
  rc = mp__sys_poll1(fd, POLLIN, MP_NOW);
  mp__sys_close(fd);
  return rc > 0;
}

int mp_proc_alive(mp_ref p) {
  struct mp__slot *s = slot_of(p);

  if (mp_proc_state(p) < MP_STARTING)
    return 0;
  if (s == mp__me())
    return 1;
  if (is_mine(s) && s->method != MP_THREAD)
    return mp__child_reap(s, MP__WAIT_NOT) == 0;
  return !over(s);
}

int mp_proc_gone(mp_ref p) {
  struct mp__slot *s = slot_of(p);

  return mp_proc_state(p) >= MP_STARTING && (ended(s) || mp__slot_dead(s));
}

int mp_proc_exitcode(mp_ref p, int *code) {
  struct mp__slot *s = slot_of(p);

  if (mp_proc_state(p) < MP_STARTING || mp_proc_alive(p))
    return 0;
  *code = learn_exit(s);
  return 1;
}

int mp_proc_signal(mp_ref p, int sig) {
  struct mp__slot *s = slot_of(p);
  int fd;
  int rc;

  if (mp_proc_state(p) < MP_STARTING)
    return -MP_ENOTSTARTED;
  if (s->method == MP_THREAD)
    return mp__thread_stop(s, sig);
  if (ended(s))
    return 0;
  fd = open_pidfd(s);
  if (fd < 0)
    return fd == -ESRCH ? 0 : fd;
  if (sig == SIGTERM || sig == SIGKILL)
    mp__store32_rel(&s->sent, (uint32_t)sig);
  rc = mp__sys_pidfd_signal(fd, sig);
  mp__sys_close(fd);
  return rc == -ESRCH ? 0 : rc;
}

int mp_proc_fd(mp_ref p) {
  struct mp__slot *s = slot_of(p);
  int fd;

  if (mp_proc_state(p) < MP_STARTING)
    return -MP_ENOTSTARTED;
  if (s->method == MP_THREAD) {
    fd = mp__bell_fd(&s->obj.bell);
    if (fd >= 0 && thread_over(s))
      mp__bell_ring(&s->obj.bell);
    return fd;
  }
  fd = ended(s) ? -ESRCH : open_pidfd(s);
  return fd == -ESRCH ? mp__sys_eventfd(1) : fd;
}

/* The end of the caller */

MP__NEAR static int child_at(struct mp__slot *me, unsigned i,
                             struct mp__slot **out) {
  struct mp__txn t;
  uint64_t at;

  if (!mp__load64_acq(&me->child))
    return 0;
  mp__begin(&t);
  for (at = me->child; at && i > 0; i--)
    at = mp__slot_at(at)->older;
  mp__abort(&t);
  *out = at ? mp__slot_at(at) : NULL;
  return at != 0;
}

/* The first state of an interpreter is the program; others that it makes come
 * and go without its end. */
int mp_finish_claim(void) {
  static uint32_t claimed;

  return mp__swap32_seq(&claimed, 1) == 0;
}

#define GRACE_NS 1000000000 /* for a daemon to obey SIGTERM */

MP__NEAR int mp_finish(void) {
  static _Thread_local int64_t grace; /* 0: none has begun; across -EINTR */
  struct mp__slot *me = mp__who();
  struct mp__slot *s;
  unsigned i;
  int rc = 0;

  if (!me)
    return 0;
  mp__server_dismiss();
  for (i = 0; child_at(me, i, &s); i++)
    if (s->flags & MP_PROC_DAEMON && !s->sent) /* once, however often we come */
      (void)mp_proc_signal(MP__SLOT_REF(s), SIGTERM);
  while (child_at(me, 0, &s)) {
    int daemon = (s->flags & MP_PROC_DAEMON) != 0;

    if (daemon && !grace)
      grace = mp_now() + GRACE_NS;
    rc = mp_proc_join(MP__SLOT_REF(s), daemon ? grace : MP_FOREVER);
    if (rc == -MP_ETIMEOUT) {
      (void)mp_proc_signal(MP__SLOT_REF(s), SIGKILL);
      rc = mp_proc_join(MP__SLOT_REF(s), MP_FOREVER);
    }
    if (rc == -EINTR)
      return rc;
    if (rc < 0)
      break;
  }
  mp__server_close();
  grace = 0;
  return rc;
}

MP__NEAR void mp__claim_exit(struct mp__slot *me, int code) {
  set_exit(me, exit_word(code & 0xff, MP__EXIT_CLAIMED));
}

MP__NEAR void mp_claim(int code) {
  struct mp__slot *me = mp__who();

  if (me)
    mp__claim_exit(me, code);
}
