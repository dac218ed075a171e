/* bell.c -- owns the descriptor beside an object: an eventfd in the vault,
 * made when somebody first polls, rung by wakers from then on.
 *
 * rung: 0 quiet; 1 the eventfd is readable, or is about to be.  The waiter
 * quiets it first and looks for its condition afterwards; a waker makes the
 * condition true first and rings afterwards, so one of them sees the other.
 */
#include "mp.h"

#include "bare.h"
#include "family.h"
#include "sys.h"

int mp__bell_fd(struct mp__bell *b) {
  int fd;
  int rc;

  if (mp__load64_acq(&b->fd))
    return mp__vault_get(b->fd);
  fd = mp__sys_eventfd(0);
  if (fd < 0)
    return fd;
  rc = mp__vault_keep(&b->fd, fd, 0);
  mp__sys_close(fd);
  return rc < 0 ? rc : mp__vault_get(b->fd);
}

/* 1: this thread could not ring a bell, as a stopped process has the big lock,
 * or no descriptor was to be had.  Whoever dies with a debt is swept, and the
 * sweep rings all it could reach. */
static _Thread_local int owing;

static void ring(struct mp__bell *b, int (*get)(uint64_t name)) {
  uint64_t one = 1;
  int fd;

  if (!mp__load64_rlx(&b->fd) || mp__swap32_seq(&b->rung, 1))
    return;
  fd = get(b->fd);
  if (fd < 0) {
    (void)mp__swap32_seq(&b->rung, 0); /* not rung: the next one tries again */
    owing = 1;
    return;
  }
  (void)mp__sys_write(fd, &one, sizeof one);
  mp__sys_close(fd);
}

static int get_now(uint64_t name) {
  return mp__vault_get_by(name, MP_NOW);
}

MP__NEAR void mp__bell_ring(struct mp__bell *b) {
  ring(b, get_now);
}

void mp__bell_late(void) {
  struct mp__txn t;

  if (!owing || mp__begin_by(&t, MP_NOW) < 0)
    return;
  owing = 0;
  mp__ledger_ring();
  mp__abort(&t);
}

void mp__bell_ring_own(struct mp__bell *b, int fd) {
  uint64_t one = 1;

  if (!mp__swap32_seq(&b->rung, 1))
    (void)mp__sys_write(fd, &one, sizeof one);
}

void mp__bell_ring_held(struct mp__bell *b) {
  ring(b, mp__vault_peek);
}

/* For one who died and may have been half-way through a ring or a quiet: what
 * the descriptor says is not known, so the next ring is one.  Who calls looks
 * then, and rings if there is a reason to. */
void mp__bell_forget(struct mp__bell *b) {
  (void)mp__swap32_seq(&b->rung, 0);
}

void mp__bell_quiet(struct mp__bell *b, int fd) {
  uint64_t n;

  /* Read first: a waker whose turn comes after the swap writes again.  One
   * that writes late rings for nothing once, which the next read takes. */
  (void)mp__sys_read(fd, &n, sizeof n);
  (void)mp__swap32_seq(&b->rung, 0);
}
