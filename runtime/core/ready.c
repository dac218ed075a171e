/* ready.c -- owns the descriptor that tells an event loop when an end of a
 * pipe can be read.
 *
 * It is an epoll instance over the queue's bell, which senders ring, and over
 * pidfds of processes that hold the other end, because one that is killed
 * rings nothing.  At least one living holder is watched while there is any (at
 * most WATCHED are); when a watched one dies the owner sweeps it, which rings
 * the bell if it was the last, and looks for others.
 */
#include "mp.h"

#include "family.h"
#include "sys.h"

#define WATCHED MP_READY_PEERS

static uint64_t myself(void) {
  return mp__load64_rlx(&mp__me()->obj.type);
}

static void drop_peer(struct mp_ready *r, unsigned i) {
  /* A close alone does not do while a forked child has it open, too. */
  if (r->owner == myself())
    mp__sys_epoll_del(r->fd, r->peer_fd[i]);
  mp__sys_close(r->peer_fd[i]);
  r->n--;
  r->peer_fd[i] = r->peer_fd[r->n];
  r->peer[i] = r->peer[r->n];
  r->life[i] = r->life[r->n];
}

/* Only the kernel knows of one that died before it was born. */
static int is_dead(struct mp__slot *s) {
  return mp__life_begun(s) ? mp__slot_dead(s) : mp__slot_verify(s);
}

/* Bury the watched that have died; how many. */
static int sweep_peers(struct mp_ready *r) {
  struct mp__slot *s;
  int dead = 0;
  unsigned i;

  for (i = r->n; i-- > 0;) {
    s = mp__slot_at(r->peer[i]);
    /* Somebody else may have swept it, and its seat be another's by now. */
    if (mp__load64_rlx(&s->obj.type) == r->life[i]) {
      if (!is_dead(s))
        continue;
      (void)mp__sweep(s);
    }
    drop_peer(r, i);
    dead++;
  }
  return dead;
}

static int holds(struct mp__slot *s, uint64_t name) {
  const uint64_t *e = s->ledger ? mp__ledger(s) : NULL;
  uint64_t i;

  for (i = 1; e && i < s->ledger_len; i++)
    if (e[i] == name)
      return 1;
  return 0;
}

/* From its fork on; it may not have come to its seat yet. */
static int is_running(const struct mp__slot *s) {
  return s->state != MP_NEW && s->state != MP_ENDED &&
         mp__load32_acq(&s->pid) != 0;
}

static int is_watched(const struct mp_ready *r, uint64_t slot) {
  unsigned i;

  for (i = 0; i < r->n; i++)
    if (r->peer[i] == slot)
      return 1;
  return 0;
}

static void watch(struct mp_ready *r, struct mp__slot *s) {
  uint64_t life = mp__load64_rlx(&s->obj.type);
  int fd = mp__sys_pidfd_open((int)s->pid);

  if (fd < 0)
    return;
  if (mp__slot_dead(s) || mp__load64_rlx(&s->obj.type) != life ||
      mp__sys_epoll_add(r->fd, fd) < 0) {
    mp__sys_close(fd);
    return;
  }
  r->life[r->n] = life;
  r->peer_fd[r->n] = fd;
  r->peer[r->n++] = mp__off(s);
}

/* A thread that ends lets go by itself, so it needs no watch. */
static void find_peers(struct mp_ready *r, uint64_t name) {
  uint64_t found[WATCHED];
  uint64_t n = mp__load64_rlx(&MP__HEAD->nslots);
  struct mp__slot *s;
  struct mp__txn t;
  unsigned len = 0;
  uint64_t i;

  if (mp__begin_by(&t, MP_NOW) < 0) /* with it, ledgers stand still */
    return; /* a stopped process has it: nobody is watched until the next look */
  for (i = 1; i <= n && r->n + len < WATCHED; i++) {
    s = mp__slot_at(MP__SLOTS + i * MP__SLOT_SIZE);
    if (s != mp__me() && is_running(s) && s->method != MP_THREAD &&
        !is_watched(r, mp__off(s)) && holds(s, name))
      found[len++] = mp__off(s);
  }
  mp__abort(&t);
  while (len > 0)
    watch(r, mp__slot_at(found[--len]));
}

static int open_set(struct mp__bell *bell, struct mp_ready *r) {
  int rc = mp__sys_epoll();

  if (rc < 0)
    return rc;
  r->fd = rc;
  r->owner = myself();
  rc = mp__bell_fd(bell);
  if (rc < 0)
    goto fail;
  r->bell = rc;
  rc = mp__sys_epoll_add(r->fd, r->bell);
  if (rc < 0)
    goto fail;
  return 0;

fail:
  mp_ready_close(r);
  return rc;
}

void mp_ready_close(struct mp_ready *r) {
  while (r->n > 0)
    drop_peer(r, r->n - 1);
  mp__sys_close(r->bell);
  mp__sys_close(r->fd);
  *r = MP_READY_EMPTY;
}

/* What a fork has copied is still the parent's set: one of our own takes its
 * number. */
static void make_ours(struct mp_ready *r) {
  int fd;

  if (r->owner == myself())
    return;
  fd = mp__sys_epoll();
  if (fd < 0 || mp__sys_replace(r->fd, fd) < 0)
    return;
  while (r->n > 0)
    drop_peer(r, r->n - 1);
  r->owner = myself();
  (void)mp__sys_epoll_add(r->fd, r->bell);
}

void mp_pipe_look(mp_ref end, struct mp_ready *r) {
  if (r->fd < 0)
    return;
  if (r->owner != myself()) {
    make_ours(r);
    find_peers(r, MP_REF_ID(end) ^ 1);
  } else if (sweep_peers(r)) {
    find_peers(r, MP_REF_ID(end) ^ 1);
  }
}

int mp_pipe_ready(mp_ref end, struct mp_ready *r) {
  int rc;

  if (r->fd < 0) {
    rc = open_set(mp__pipe_bell(end), r);
    if (rc < 0)
      return rc;
  }
  make_ours(r);
  (void)sweep_peers(r);
  find_peers(r, MP_REF_ID(end) ^ 1);
  mp_pipe_rearm(end, r);
  return r->fd;
}

void mp_pipe_rearm(mp_ref end, struct mp_ready *r) {
  mp_pipe_look(end, r);
  mp__bell_quiet(mp__pipe_bell(end), r->bell);
  if (mp_pipe_poll(end, MP_NOW) == 1)
    mp__bell_ring_own(mp__pipe_bell(end), r->bell);
}
