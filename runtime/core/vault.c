/* vault.c -- owns descriptors that any member can get at.
 *
 * A socket pair that every member inherits, kept as a store: putting a
 * descriptor sends it (one byte each) into the pair, getting one peeks at it,
 * which installs a copy and leaves the entry where it is.  So the kernel keeps
 * the descriptor, whoever put it may die, and all are closed with the last
 * member.  Entries have numbers; vault_head is that of the first in the
 * socket.  An entry whose object is gone is dropped once it is first.
 *
 * All under the big lock.  A system call and the words that count it cannot
 * change together: vault_op says which call was under way, and after a death
 * the number of bytes in the socket tells whether it happened.
 */
#include "mp.h"

#include "family.h"
#include "fault.h"
#include "sys.h"

#include <errno.h>

enum { IDLE, SENDING, DROPPING };

#define ROOM (1 << 20) /* socket buffer asked for; a limit may give less */
#define RESERVE 4096   /* of it, for an entry that is to be sent again */

/* The socket is full for puts while the reserve is not let in. */
static void set_room(int reserve) {
  (void)mp__sys_sndbuf(mp__here.vault[0], (int)MP__HEAD->vault_room + reserve);
}

int mp__vault_open(void) {
  int rc = mp__sys_socketpair(mp__here.vault);

  if (rc < 0)
    return rc;
  rc = mp__sys_sndbuf(mp__here.vault[0], ROOM);
  if (rc < 0)
    return rc;
  MP__HEAD->vault_room = (uint64_t)rc - RESERVE;
  set_room(0);
  mp__here.vault_ino[0] = mp__sys_inode(mp__here.vault[0]);
  mp__here.vault_ino[1] = mp__sys_inode(mp__here.vault[1]);
  return 0;
}

static int usable(void) {
  int i;

  for (i = 0; i < 2; i++)
    if (mp__sys_inode(mp__here.vault[i]) != mp__here.vault_ino[i])
      return -MP_EFAMILY;
  return 0;
}

void mp__vault_replay(void) {
  struct mp__head *h = MP__HEAD;
  uint64_t op = mp__load64_acq(&h->vault_op);
  int queued;

  if (op == IDLE || mp__here.vault[1] < 0)
    return;
  set_room(0);
  queued = mp__sys_queued(mp__here.vault[1]);
  if (op == SENDING && (uint64_t)queued > h->vault_tail - h->vault_head)
    h->vault_tail++; /* nobody's; dropped when it is first */
  if (op == DROPPING && (uint64_t)queued < h->vault_tail - h->vault_head)
    h->vault_head++;
  mp__store64_rel(&h->vault_op, IDLE);
}

/* Drop what is first and belongs to nobody. */
static void drop_dead(void) {
  struct mp__head *h = MP__HEAD;
  struct mp__fd *first;
  int fd;

  while (h->vault_head < h->vault_tail) {
    first = h->vault_first ? mp__at(h->vault_first) : NULL;
    if (first && first->seq == h->vault_head)
      return;
    mp__store64_rel(&h->vault_op, DROPPING);
    fd = mp__sys_recv_fd(mp__here.vault[1]);
    MP_FAULT("vault.dropped");
    mp__sys_close(fd);
    h->vault_head = fd == -EAGAIN ? h->vault_tail : h->vault_head + 1;
    mp__store64_rel(&h->vault_op, IDLE);
  }
}

/* Make room by sending the first one again, behind the others: first it is
 * in the socket twice, then what is first is nobody's. */
static int rotate(struct mp__txn *t) {
  struct mp__head *h = MP__HEAD;
  struct mp__fd *f = mp__at(h->vault_first);
  int fd = mp__sys_peek_fd(mp__here.vault[1], 0);
  int rc;

  if (fd < 0)
    return fd;
  mp__store64_rel(&h->vault_op, SENDING);
  rc = mp__sys_send_fd(mp__here.vault[0], fd);
  if (rc == -EAGAIN) {
    set_room(RESERVE);
    rc = mp__sys_send_fd(mp__here.vault[0], fd);
    set_room(0);
  }
  mp__sys_close(fd);
  if (rc < 0) {
    mp__store64_rel(&h->vault_op, IDLE);
    return rc;
  }
  if (f->next) {
    struct mp__fd *last = mp__at(h->vault_last);

    mp__set(t, &h->vault_first, f->next);
    mp__set(t, &((struct mp__fd *)mp__at(f->next))->prev, 0);
    mp__set(t, &last->next, mp__off(f));
    mp__set(t, &f->prev, mp__off(last));
    mp__set(t, &f->next, 0);
    mp__set(t, &h->vault_last, mp__off(f));
  }
  mp__set(t, &f->seq, h->vault_tail);
  mp__set(t, &h->vault_tail, h->vault_tail + 1);
  mp__commit(t);
  mp__store64_rel(&h->vault_op, IDLE);
  drop_dead();
  return 0;
}

/* Holes between live entries fill the socket: turn it until one comes out. */
static int make_room(struct mp__txn *t) {
  struct mp__head *h = MP__HEAD;
  uint64_t n = h->vault_tail - h->vault_head;
  uint64_t i;
  int rc = 0;

  for (i = 0; i < n && h->vault_first && rc == 0; i++) {
    rc = rotate(t);
    if (h->vault_tail - h->vault_head < n)
      return 0;
  }
  return rc;
}

static int send_entry(struct mp__txn *t, int fd) {
  int rc;

  drop_dead();
  mp__store64_rel(&MP__HEAD->vault_op, SENDING);
  rc = mp__sys_send_fd(mp__here.vault[0], fd);
  if (rc != -EAGAIN && rc != -ETOOMANYREFS)
    return rc;
  mp__store64_rel(&MP__HEAD->vault_op, IDLE);
  rc = make_room(t);
  if (rc < 0)
    return rc;
  mp__store64_rel(&MP__HEAD->vault_op, SENDING);
  rc = mp__sys_send_fd(mp__here.vault[0], fd);
  return rc == -EAGAIN ? -ENFILE : rc;
}

/* What was just sent is f's, which nobody can reach yet. */
static void append(struct mp__txn *t, struct mp__fd *f) {
  struct mp__head *h = MP__HEAD;
  uint64_t off = mp__off(f);

  f->seq = h->vault_tail;
  f->next = 0;
  f->prev = h->vault_last;
  if (h->vault_last)
    mp__set(t, &((struct mp__fd *)mp__at(h->vault_last))->next, off);
  else
    mp__set(t, &h->vault_first, off);
  mp__set(t, &h->vault_last, off);
  mp__set(t, &h->vault_tail, h->vault_tail + 1);
  mp__set(t, &h->vault_live, h->vault_live + 1);
}

/* fd stays the caller's. */
static int put(int fd, uint64_t label, mp_ref *held) {
  struct mp__head *h = MP__HEAD;
  struct mp__txn t;
  struct mp__fd *f;
  uint64_t off;
  int rc = usable();

  if (rc < 0)
    return rc;
  mp__begin(&t);
  rc = send_entry(&t, fd);
  MP_FAULT("vault.sent");
  if (rc < 0)
    goto fail;
  rc = mp__obj_new(&t, MP_TYPE_FD, sizeof(struct mp__fd), &off);
  if (rc == 0)
    rc = mp__hold(&t, mp__me(), off, held);
  if (rc < 0) {
    h->vault_tail++; /* it is in the socket, and nobody's */
    goto fail;
  }
  f = mp__at(off);
  f->obj.refs[0] = 1;
  f->label = label;
  append(&t, f);
  mp__commit(&t);
  mp__store64_rel(&h->vault_op, IDLE);
  mp__end(&t);
  return 0;

fail:
  mp__store64_rel(&h->vault_op, IDLE);
  mp__abort(&t);
  *held = MP_REF_EMPTY;
  return rc;
}

int mp__vault_keep(uint64_t *word, int fd, uint64_t label) {
  mp_ref made = MP_REF_EMPTY;
  struct mp__txn t;
  int rc = put(fd, label, &made);

  if (rc < 0)
    return rc;
  mp__begin(&t);
  if (*word) { /* another was faster */
    mp__let(&t, mp__me(), made);
  } else {
    mp__set(&t, word, MP_REF_ID(made));
    mp__pass(&t, mp__me(), made);
  }
  mp__end(&t);
  mp__collect();
  return 0;
}

int mp__vault_peek(uint64_t name) {
  struct mp__fd *f = mp__at(name);
  int rc = usable();

  if (rc < 0)
    return rc;
  return mp__sys_peek_fd(mp__here.vault[1],
                         (unsigned)(f->seq - MP__HEAD->vault_head));
}

int mp__vault_get(uint64_t name) {
  return mp__vault_get_by(name, MP__SURELY);
}

int mp__vault_get_by(uint64_t name, int64_t deadline) {
  struct mp__txn t;
  int rc = mp__begin_by(&t, deadline);

  if (rc < 0)
    return rc;
  rc = mp__vault_peek(name);
  mp__abort(&t);
  return rc;
}

/* The object goes; its entry is dropped when it is first. */
void mp__vault_drop(struct mp__txn *t, uint64_t name) {
  struct mp__head *h = MP__HEAD;
  struct mp__fd *f = mp__at(name);

  mp__set(t, &h->vault_live, h->vault_live - 1);
  if (f->prev)
    mp__set(t, &((struct mp__fd *)mp__at(f->prev))->next, f->next);
  else
    mp__set(t, &h->vault_first, f->next);
  if (f->next)
    mp__set(t, &((struct mp__fd *)mp__at(f->next))->prev, f->prev);
  else
    mp__set(t, &h->vault_last, f->prev);
}

/* The public face */

#define FEW 64

/* An entry that nobody holds keeps its descriptor open, and so a peer from
 * seeing the end: turn the socket around until all such are out; among many,
 * once a quarter of them are such. */
void mp__vault_tidy(void) {
  struct mp__head *h = MP__HEAD;
  struct mp__txn t;
  uint64_t dead;

  if (mp__begin_by(&t, MP_NOW) < 0)
    return; /* the next one that tidies */
  if (usable() == 0) {
    drop_dead();
    dead = h->vault_tail - h->vault_head - h->vault_live;
    if (dead > 0 && (h->vault_live <= FEW || dead > h->vault_live / 4))
      (void)make_room(&t);
  }
  mp__abort(&t);
}

int mp_fd_share(int fd, unsigned modes, mp_ref *held) {
  int rc = mp_enter();

  *held = MP_REF_EMPTY;
  return rc < 0 ? rc : put(fd, modes, held);
}

unsigned mp_fd_modes(mp_ref ref) {
  return (unsigned)((struct mp__fd *)mp__at(MP_REF_ID(ref)))->label;
}

int mp_fd_get(mp_ref ref) {
  return mp__vault_get(MP_REF_ID(ref));
}

int mp_fd_is_open(int fd) {
  return mp__sys_inode(fd) != 0;
}

void mp_fd_close(int fd) {
  mp__sys_close(fd);
}
