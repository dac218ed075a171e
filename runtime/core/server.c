/* server.c -- owns the fork server: a small template process that forks on
 * request, and the far side of a ticket.
 *
 * Each member that asks has a server of its own.  The server forks with
 * CLONE_PARENT, so what it forks are children of the asker: exit codes,
 * waiting and the tie of daemons are those of any child, and a server that is
 * killed takes nobody with it.  The conversation is one datagram there (the
 * seat) and one back (pid, or -errno); the pid is in the seat by then, written
 * by the kernel, so an answer that is lost is no loss.
 */
#include "mp.h"

#include "fault.h"
#include "launch.h"
#include "sys.h"

#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct request {
  uint64_t slot;
  uint64_t gen;
};

/* The caller's server; a thread that is a member has its own. */
static _Thread_local struct {
  int sock; /* 0: none (numbers begin at 3) */
  uint32_t generation;
  uint64_t ids; /* whose rights it has */
  mp_ref proc;  /* held */
} server;

static int serving_sock; /* in the server itself */

void mp__server_close(void) {
  if (server.sock && server.generation == mp__here.generation) {
    mp__sys_close(server.sock); /* the end of its input is its end */
    mp_ref_close(&server.proc);
  }
  server.sock = 0;
}

void mp__server_forget(void) {
  mp__sys_close(server.sock ? server.sock : -1);
  server.sock = 0;
  server.proc = MP_REF_EMPTY;
}

static int launch(const char *const *argv) {
  struct mp__slot *s;
  struct mp__txn t;
  int pair[2];
  int rc = mp__sys_seqpacket(pair);

  if (rc < 0)
    return rc;
  rc = mp_proc_open(&server.proc, "ForkServer", MP_PROC_DAEMON);
  if (rc < 0)
    goto fail;
  s = mp__at(MP_REF_ID(server.proc));
  mp__me()->nchild--; /* no name of a process is used up */
  mp__begin(&t);
  mp__set(&t, &s->flags, s->flags | MP__PROC_HIDDEN | MP_PROC_QUIET);
  mp__end(&t);
  rc = mp__spawn(s, argv, pair[1]);
  if (rc < 0)
    goto fail;
  mp__sys_close(pair[1]);
  server.sock = pair[0];
  server.generation = mp__here.generation;
  server.ids = mp__sys_ids();
  return 0;

fail:
  mp_ref_close(&server.proc);
  mp__sys_close(pair[0]);
  mp__sys_close(pair[1]);
  return rc;
}

/* -EPIPE when the server is gone. */
static int converse(const struct request *q) {
  int32_t answer;
  int64_t rc = mp__sys_send(server.sock, q, sizeof *q);

  if (rc < 0)
    return -EPIPE;
  rc = mp__sys_read(server.sock, &answer, sizeof answer);
  return rc == sizeof answer ? answer : -EPIPE;
}

static void bury_server(void) {
  struct mp__slot *s = mp__at(MP_REF_ID(server.proc));

  mp__sys_close(server.sock);
  server.sock = 0;
  (void)mp_proc_signal(server.proc, SIGKILL);
  (void)mp_proc_join(MP__SLOT_REF(s), MP_FOREVER);
  mp_ref_close(&server.proc);
}

/* Is there one?  A host's own fork has its parent's; and one that was started
 * with other rights would pass them on. */
static int have_server(void) {
  if (server.generation != mp__here.generation)
    server.sock = 0;
  if (server.sock && server.ids != mp__sys_ids())
    bury_server();
  return server.sock != 0;
}

int mp_proc_serve(mp_ref p, const char *const *argv) {
  struct mp__slot *s = mp__at(MP_REF_ID(p));
  struct request q;
  int tries;
  int rc;

  if (!have_server() && !argv)
    return -ENOENT;
  rc = mp__start_prepare(s, MP_FORKSERVER);
  if (rc < 0)
    return rc;
  q.slot = mp__off(s);
  q.gen = s->gen;
  for (tries = 0; tries < 2; tries++) {
    rc = server.sock ? 0 : argv ? launch(argv) : -ENOENT;
    if (rc < 0)
      break;
    rc = converse(&q);
    if (mp__load32_acq(&s->pid) != 0) {
      mp__child_note(s);
      return 0; /* forked, whatever became of the answer */
    }
    if (rc != -EPIPE)
      break;
    bury_server();
  }
  if (rc >= 0)
    rc = -EPIPE;
  mp__start_undo(s);
  /* A C library that cannot be forked behind its back: a fresh program
   * is what the caller wants, too. */
  if (rc == -ENOSYS)
    return argv ? mp_proc_spawn(p, argv) : -ENOENT;
  return rc;
}

/* In the server */

/* The seat that is to be sat on, and by nobody yet; NULL: what came is not from
 * mp_proc_serve. */
static struct mp__slot *asked(const struct request *q) {
  uint64_t at = q->slot - MP__SLOTS;
  struct mp__slot *s;

  if (at % MP__SLOT_SIZE || at / MP__SLOT_SIZE == 0 ||
      at / MP__SLOT_SIZE > MP__HEAD->nslots)
    return NULL;
  s = mp__slot_at(q->slot);
  return s->gen == q->gen && s->method == MP_FORKSERVER &&
                 s->state == MP_RUNNING && mp__load32_acq(&s->pid) == 0
             ? s
             : NULL;
}

static int fork_one(const struct request *q, void **robust) {
  struct mp__slot *s = asked(q);
  int rc;

  if (!s)
    return -ESRCH;
  *robust = mp__robust_head();
  mp__sys_null_ready();
  rc = mp__sys_clone(CLONE_PARENT, &s->pid);
  if (rc == 0)
    MP_FAULT("server.child");
  return rc;
}

/* One request; 0 in a forked child, else > 0 or -errno, which is answered.  An
 * answer that cannot be sent would be waited for: the end of the server is one,
 * too. */
static int32_t answer_one(struct request *q, void **robust) {
  int64_t n = mp__sys_read(serving_sock, q, sizeof *q);
  int32_t rc;

  if (n != sizeof *q)
    mp_exit(0); /* nobody is left to ask */
  rc = fork_one(q, robust);
  if (rc > 0)
    ((struct mp__slot *)mp__at(q->slot))->born = mp__sys_ticks();
  MP_FAULT("server.forked");
  if (rc != 0 && mp__sys_send(serving_sock, &rc, sizeof rc) < 0)
    mp_exit(0);
  return rc;
}

int mp_serve(void) {
  struct mp__slot *s;
  struct request q;
  void *robust = NULL;

  /* Ctrl-C is for the others: the server was started with it blocked
   * (MP_PROC_QUIET), and so are its children until they are what it is for. */
  while (answer_one(&q, &robust) != 0)
    ;
  s = mp__at(q.slot);
  mp__sys_close(serving_sock);
  mp__start_child(s, robust);
  if (!(s->flags & MP_PROC_QUIET))
    mp__heed_interrupt();
  return 0;
}

int mp_join(const char *ticket) {
  int fd[4];
  unsigned index;
  unsigned long long gen;
  struct mp__slot *s;
  int rc;

  if (sscanf(ticket, "%d,%d,%d,%d,%u,%llu", &fd[0], &fd[1], &fd[2], &fd[3],
             &index, &gen) != 6)
    return -EINVAL;
  mp__here.alive = mp__sys_fork_page();
  if (!mp__here.alive)
    return -ENOMEM;
  rc = mp__arena_map(fd[0]);
  if (rc < 0)
    return rc;
  mp__here.vault[0] = fd[1];
  mp__here.vault[1] = fd[2];
  mp__here.vault_ino[0] = mp__sys_inode(fd[1]);
  mp__here.vault_ino[1] = mp__sys_inode(fd[2]);
  for (rc = 0; rc < 4; rc++)
    if (fd[rc] >= 0)
      (void)mp__sys_cloexec(fd[rc]);
  if (index == 0 || index > MP__HEAD->nslots)
    return -MP_EDAMAGED;
  s = mp__slot_at(MP__SLOTS + (uint64_t)index * MP__SLOT_SIZE);
  if (s->gen != gen || s->state != MP_STARTING)
    return -MP_EDAMAGED;
  mp__set_me(s, 0);
  mp__name_self(s);
  (void)mp__born(s, mp__robust_head());
  MP_FAULT("start.born");
  serving_sock = fd[3];
  return fd[3] >= 0;
}
