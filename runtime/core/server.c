/* server.c -- owns the fork server: a small template process that keeps one
 * child forked ahead, and the far side of a ticket.
 *
 * Each member that asks has a server of its own.  The server forks with
 * CLONE_PARENT, so what it forks are children of the asker: exit codes,
 * waiting and the tie of daemons are those of any child, and a server that is
 * killed takes nobody with it.
 *
 * A child that stands by is nobody yet: it has no seat, and touches nothing of
 * the family's.  The conversation: the server announces each by its pid, in a
 * datagram that lies there until the asker starts a process; the asker writes
 * the pid into the seat and sends the seat's place; who stands by reads that,
 * and sits down if the seat has its pid.  So a request that outlives whom it
 * was meant for is one for nobody.  The server never reads while somebody
 * stands by: it waits at a pipe whose other end only that child has.  The
 * pipe's end says that it stands by no more, and the next is forked: at once if
 * it was taken (it has cleared `standby` in the server's seat) or was given a
 * seat and died.  If it died without one, as after a fork that failed (announced
 * by -errno), the server waits for any datagram first: the asker sends one when
 * it comes across the dead or the failure; whoever gets one too many takes no
 * notice.  The end of the asker's side is the end of both.
 *
 * A pipe's end, and not a byte: who writes is taken for one about to sleep, and
 * the reader is run in its stead, where the child is to go on.
 */
#include "mp.h"

#include "bare.h"
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

#define LOOK_NS 100000000   /* between two looks whether the server lives */
#define GRACE_NS 1000000000 /* for one that stands by to end */

struct request {
  uint64_t slot;
  uint64_t gen;
};

/* The caller's server; a thread that is a member has its own. */
static _Thread_local struct {
  int sock; /* 0: none (numbers begin at 3) */
  uint32_t generation;
  uint32_t taken; /* the last that stood by and was given a seat */
  uint64_t ids;   /* whose rights it has */
  mp_ref proc;    /* held */
} server;

static int serving_sock; /* in the server itself */

static int have_one(void) {
  return server.sock && server.generation == mp__here.generation;
}

/* A word of the server's, if there is one: its bytes, 0 at the end, -EAGAIN.
 * That it left a request unread is told first, and just once. */
static int64_t hear(int32_t *word) {
  int64_t n = mp__sys_recv(server.sock, word, sizeof *word);

  return n == -ECONNRESET ? mp__sys_recv(server.sock, word, sizeof *word) : n;
}

/* One that stood by and has read the end, or was killed.  Should it be stopped,
 * the program's end waits for it. */
static void reap(uint32_t pid) {
  int64_t until = mp_now() + GRACE_NS;
  int fd = mp__sys_pidfd_open((int)pid);
  int status;

  while (fd >= 0 && mp__sys_poll1(fd, POLLIN, until) == -EINTR)
    ;
  (void)mp__sys_wait((int)pid, 0, MP__WAIT_NOT, &status);
  mp__sys_close(fd);
}

/* The server has ended, or is about to: nobody stands by any more. */
static void part(void) {
  uint32_t last = ((struct mp__slot *)mp__at(MP_REF_ID(server.proc)))->standby;
  int32_t pid;

  mp__sys_end_writing(server.sock);
  while (hear(&pid) == sizeof pid)
    if (pid > 0)
      reap((uint32_t)pid);
  /* It may have been killed before it could announce that one. */
  if (last && last != server.taken)
    reap(last);
  mp__sys_close(server.sock);
  server.sock = 0;
  mp_ref_close(&server.proc);
}

MP__NEAR void mp__server_dismiss(void) {
  if (have_one())
    mp__sys_end_writing(server.sock);
}

MP__NEAR void mp__server_close(void) {
  if (have_one())
    part();
  server.sock = 0;
}

MP__NEAR void mp__server_forget(void) {
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
  server.taken = 0;
  server.ids = mp__sys_ids();
  return 0;

fail:
  mp_ref_close(&server.proc);
  mp__sys_close(pair[0]);
  mp__sys_close(pair[1]);
  return rc;
}

static void bury_server(void) {
  struct mp__slot *s = mp__at(MP_REF_ID(server.proc));

  (void)mp_proc_signal(server.proc, SIGKILL);
  (void)mp_proc_join(MP__SLOT_REF(s), MP_FOREVER);
  part();
}

/* Is there one?  A host's own fork has its parent's; and one that was started
 * with other rights would pass them on. */
static int have_server(void) {
  if (!have_one())
    server.sock = 0;
  if (server.sock && server.ids != mp__sys_ids())
    bury_server();
  return server.sock != 0;
}

/* What the server says next.  One that was killed says nothing, and who stands
 * by keeps its end of the socket open. */
static int next_word(int32_t *word) {
  struct mp__slot *s = mp__at(MP_REF_ID(server.proc));
  int64_t until = mp_now() + LOOK_NS;
  int alive = 1;
  int64_t n;

  while ((n = hear(word)) == -EAGAIN && alive)
    if (mp__sys_poll1(server.sock, POLLIN, until) == 0) {
      alive = !mp__slot_verify(s);
      until = mp_now() + LOOK_NS;
    }
  return n == sizeof *word ? 0 : -EPIPE;
}

static int is_over(int pidfd) {
  return pidfd == -ESRCH ||
         (pidfd >= 0 && mp__sys_poll1(pidfd, POLLIN, MP_NOW) > 0);
}

/* The pid of one that stands by, and a descriptor of it, if one is to be had;
 * -EPIPE: the server is gone.  A failure and a death may be of long ago; where
 * all that stand by die at once, so does the one that gets the seat. */
static int take_one(int *pidfd) {
  int bad = 0;
  int32_t word;
  int rc;

  while ((rc = next_word(&word)) == 0) {
    if (word > 0) {
      *pidfd = mp__sys_pidfd_open(word);
      if (bad > 1 || !is_over(*pidfd)) {
        server.taken = (uint32_t)word;
        return word;
      }
      mp__sys_close(*pidfd);
      reap((uint32_t)word);
    }
    (void)mp__sys_send(server.sock, "", 1);
    if (bad++ && word <= 0)
      return word;
  }
  return rc;
}

/* Give the seat to one that stands by. */
static int seat_one(struct mp__slot *s) {
  struct request q = {mp__off(s), s->gen};
  int pidfd = -1;
  int pid = take_one(&pidfd);

  if (pid < 0)
    return pid;
  mp__store64_rlx(&s->born, mp__sys_ticks());
  mp__store32_rel(&s->pid, (uint32_t)pid);
  MP_FAULT("start.seated");
  if (mp__sys_send(server.sock, &q, sizeof q) < 0) { /* both have just died */
    mp__store32_rel(&s->pid, 0);
    mp__sys_close(pidfd);
    reap((uint32_t)pid);
    return -EPIPE;
  }
  mp__child_keep(s, pidfd);
  return 0;
}

int mp_proc_serve(mp_ref p, const char *const *argv) {
  struct mp__slot *s = mp__at(MP_REF_ID(p));
  int tries;
  int rc;

  if (!have_server() && !argv)
    return -ENOENT;
  rc = mp__start_prepare(s, MP_FORKSERVER);
  if (rc < 0)
    return rc;
  for (tries = 0; tries < 2; tries++) {
    rc = server.sock ? 0 : argv ? launch(argv) : -ENOENT;
    if (rc == 0)
      rc = seat_one(s);
    if (rc == 0)
      return 0;
    if (rc != -EPIPE)
      break;
    bury_server();
  }
  mp__start_undo(s);
  /* A C library that cannot be forked behind its back: a fresh program
   * is what the caller wants, too. */
  if (rc == -ENOSYS)
    return argv ? mp_proc_spawn(p, argv) : -ENOENT;
  return rc;
}

/* In the server */

/* Had it been given a seat?  If that is yet to be, the request will tell. */
static int had_seat(uint32_t pid) {
  struct mp__slot *s;
  uint64_t i;

  for (i = 1; i <= MP__HEAD->nslots; i++) {
    s = mp__slot_at(MP__SLOTS + i * MP__SLOT_SIZE);
    if (mp__load32_acq(&s->pid) == pid && s->method == MP_FORKSERVER)
      return 1;
  }
  return 0;
}

/* Fork one that stands by, announce it, and wait until it does so no more.  0
 * in the child, which has the other end. */
MP__NEAR static int32_t keep_one(int *end) {
  int pair[2];
  int32_t rc = mp__sys_pipe(pair);
  char any[sizeof(struct request)];
  int taken = 0;

  if (rc < 0)
    pair[0] = pair[1] = -1;
  else
    rc = mp__sys_clone(CLONE_PARENT, &mp__me()->standby);
  *end = pair[1];
  mp__sys_close(rc == 0 ? pair[0] : pair[1]);
  if (rc == 0)
    return 0;
  MP_FAULT("server.forked");
  if (mp__sys_send(serving_sock, &rc, sizeof rc) < 0)
    mp_exit(0);
  if (rc > 0) {
    (void)mp__sys_read(pair[0], any, 1);
    taken = mp__load32_acq(&mp__me()->standby) == 0 || had_seat((uint32_t)rc);
  }
  mp__sys_close(pair[0]);
  if (mp__sys_poll1(serving_sock, POLLRDHUP, MP_NOW) > 0 ||
      (!taken && mp__sys_read(serving_sock, any, sizeof any) <= 0))
    mp_exit(0);
  return rc;
}

/* In one that stands by */

/* What sitting down will touch: written with what it holds already, or read. */
static void touch(const struct mp__slot *server_seat) {
  mp__store32_rel(&mp__here.self->alive, 0);
  (void)mp__load64_acq(&MP__HEAD->nslots);
  (void)mp__load64_acq(&server_seat->flags);
  /* Where the plan is, if the family is small; and the code that fetches it. */
  (void)mp__load64_acq(mp__at(mp__load64_acq(&MP__HEAD->top)));
  (void)*(const volatile char *)(uintptr_t)mp__parcel_view;
}

/* The seat that is the caller's, and nobody sits on it yet; NULL: what came is
 * not from mp_proc_serve, or was for another. */
MP__NEAR static struct mp__slot *mine(const struct request *q) {
  uint64_t at = q->slot - MP__SLOTS;
  struct mp__slot *s;

  if (at % MP__SLOT_SIZE || at / MP__SLOT_SIZE == 0 ||
      at / MP__SLOT_SIZE > MP__HEAD->nslots)
    return NULL;
  s = mp__slot_at(q->slot);
  return s->gen == q->gen && s->method == MP_FORKSERVER &&
                 s->state == MP_RUNNING &&
                 mp__load32_acq(&s->pid) == (uint32_t)mp__sys_getpid()
             ? s
             : NULL;
}

MP__NEAR static struct mp__slot *stand_by(void) {
  struct mp__slot *s = NULL;
  struct request q;
  int64_t n;

  do {
    n = mp__sys_read(serving_sock, &q, sizeof q);
    if (n <= 0)
      mp__sys_exit(0); /* nobody is left to ask; we are nobody ourselves */
    if (n == sizeof q)
      s = mine(&q);
  } while (!s);
  return s;
}

#define PAGE 4096
#define HOLE_MAX 1024 /* bytes; a larger one has room for many things */
#define HOLES_MAX 8192

/* A page that a forked child is the first to write to is copied for it, and
 * these copies are most of what its start costs.  What was freed here lies in
 * holes all over the heap, and malloc hands these out first: so they are taken,
 * for good, up to a block that lies beyond them, and what a child makes lies
 * together.  Where malloc has another order this does no harm. */
static void fill_holes(void) {
  static void **filled; /* a list by their first words */
  static int n;
  void *beyond = malloc((size_t)HOLE_MAX * 64);
  void **hole;
  size_t size;

  for (size = sizeof *hole; size <= HOLE_MAX; size += 2 * sizeof *hole)
    for (; n < HOLES_MAX; n++) {
      hole = malloc(size);
      if (!hole || (uintptr_t)hole > (uintptr_t)beyond) {
        free(hole);
        break;
      }
      *hole = filled;
      filled = hole;
    }
  free(beyond);
}

/* The next page of the heap: what the work is made of goes there. */
static void touch_heap(void) {
  char *volatile page = malloc(PAGE);

  if (page)
    page[0] = page[PAGE - 1] = 0;
  free(page);
}

MP__NEAR int mp_serve(void (*rehearse)(void *ud), void *ud) {
  struct mp__slot *server_seat = mp__me();
  void *robust = mp__robust_head();
  struct mp__slot *s;
  int end = -1;

  fill_holes();
  mp__sys_null_ready();
  /* Ctrl-C is for the others: the server was started with it blocked
   * (MP_PROC_QUIET), and so are its children until they are what it is for. */
  while (keep_one(&end) != 0)
    ;
  MP_FAULT("server.standby");
  mp__start_afresh(robust);
  mp__sys_null_stdin();
  touch(server_seat);
  if (rehearse)
    rehearse(ud);
  touch_heap();
  s = stand_by();
  MP_FAULT("server.child");
  mp__store32_rel(&server_seat->standby, 0);
  mp__sys_close(end);
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
  rc = mp__self_make();
  if (rc == 0)
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
