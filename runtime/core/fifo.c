/* fifo.c -- owns queues as objects: a queue that any number of processes put
 * into and take from, until somebody closes it for all.
 *
 * Messages, locks and sleepers are those of queue.c; what consumers of a
 * joinable queue have not finished is in claim.c, what producers take back in
 * recall.c.
 */
#include "mp.h"

#include "fault.h"
#include "fifo.h"
#include "spin.h"

#include <errno.h>

static struct mp__fifo *fifo_of(mp_ref queue) {
  return mp__at(MP_REF_ID(queue));
}

int mp_queue_open(mp_ref *held, enum mp_type type, uint32_t max_items) {
  struct mp__fifo *f;
  struct mp__txn t;
  int rc = mp_enter();

  *held = MP_REF_EMPTY;
  if (rc < 0)
    return rc;
  rc = mp__obj_open(&t, type, sizeof *f, held);
  if (rc < 0)
    return rc;
  f = fifo_of(*held);
  rc = mp__queue_init(&t, &f->q, 0);
  if (rc < 0) {
    mp__abort(&t);
    *held = MP_REF_EMPTY;
    return rc;
  }
  f->q.max_items = max_items;
  mp__end(&t);
  return 0;
}

int mp_queue_put(mp_ref queue, const struct mp_out *out, int64_t deadline,
                 uint32_t *number) {
  struct mp__queue *q = &fifo_of(queue)->q;
  struct mp__nap nap = {0};
  struct mp__full full;
  int rc;

  for (;;) {
    if (mp__load32_rlx(&q->closed))
      return -MP_ECLOSED;
    rc = mp__queue_put(q, out, &full, deadline);
    if (rc == 0 && number)
      *number = full.number;
    if (rc == -MP_ETIMEOUT) /* a stopped process has the lock */
      return -MP_EFULL;
    if (rc != -MP_EFULL)
      return rc;
    rc = mp__queue_wait_room(q, &full, &nap, deadline);
    if (rc == -MP_ETIMEOUT)
      return -MP_EFULL;
    if (rc < 0)
      return rc;
  }
}

/* 0: look again; -MP_ETIMEOUT, -EINTR */
static int wait_for_item(struct mp__queue *q, struct mp__nap *nap,
                         int64_t deadline) {
  uint32_t seq;
  int rc = 0;

  if (deadline <= MP_NOW)
    return -MP_ETIMEOUT;
  if (mp__spin(&q->put, mp__load64_rlx(&q->get), MP__COUNT))
    return rc;
  seq = mp__queue_sleep(q);
  if (mp__queue_empty(q) && !mp__load32_seq(&q->closed))
    rc = mp__nap(nap, &q->item_seq, seq, deadline);
  mp__queue_awake(q);
  return rc;
}

/* As mp__queue_get, and the item is on the taker's account until it is done. */
static int get_claimed(struct mp__fifo *f, struct mp_msg *m, void *scratch,
                       int64_t deadline) {
  int rc;

  *m = MP_MSG_EMPTY;
  rc = mp__claim_lock(f, deadline);
  if (rc < 0)
    return rc;
  rc = mp__queue_pass(&f->q, deadline);
  if (rc == 0)
    rc = mp__queue_empty(&f->q) ? -MP_EEMPTY : mp__claim(f, deadline);
  if (rc == 0) {
    rc = mp__queue_take(&f->q, m, scratch, deadline);
    if (rc < 0)
      mp__unclaim(f);
    else
      (void)mp__queue_pass(&f->q,
                           MP_NOW); /* what is taken back is not unfinished */
  }
  mp__lock_drop(&f->q.get_lock);
  if (rc < 0)
    return rc;
  mp__queue_took(&f->q, rc);
  return 0;
}

/* 1: a member has died since *deaths (NULL: never mind). */
static int has_died(uint32_t *deaths, int64_t deadline) {
  uint32_t now;

  if (!deaths)
    return 0;
  if (deadline <= MP_NOW)
    (void)mp__scan(); /* who only looks never sleeps, and would not notice */
  now = mp_deaths();
  if (now == *deaths)
    return 0;
  *deaths = now;
  return 1;
}

static int get(mp_ref queue, struct mp_msg *m, void *scratch, int64_t deadline,
               uint32_t *deaths) {
  struct mp__fifo *f = fifo_of(queue);
  int joinable = mp_ref_type(queue) == MP_TYPE_JOINABLE;
  struct mp__nap nap = {0};
  uint32_t closed;
  int rc;

  for (;;) {
    closed = mp__load32_seq(&f->q.closed); /* nothing comes after that */
    rc = joinable ? get_claimed(f, m, scratch, deadline)
                  : mp__queue_get(&f->q, m, scratch, deadline);
    if (rc == -MP_ETIMEOUT) /* a stopped process has the lock */
      return -MP_EEMPTY;
    if (rc != -MP_EEMPTY)
      return rc;
    if (closed)
      return -MP_ECLOSED;
    if (has_died(deaths, deadline))
      return -MP_EDEATH;
    rc = wait_for_item(&f->q, &nap, deadline);
    if (rc == -MP_ETIMEOUT)
      return -MP_EEMPTY;
    if (rc < 0)
      return rc;
  }
}

int mp_queue_get(mp_ref queue, struct mp_msg *m, void *scratch,
                 int64_t deadline) {
  return get(queue, m, scratch, deadline, NULL);
}

int mp_queue_get_or_death(mp_ref queue, struct mp_msg *m, void *scratch,
                          int64_t deadline, uint32_t *deaths) {
  return get(queue, m, scratch, deadline, deaths);
}

uint32_t mp_queue_len(mp_ref queue) {
  return mp__queue_len(&fifo_of(queue)->q);
}

uint32_t mp_queue_max(mp_ref queue) {
  return fifo_of(queue)->q.max_items;
}

int mp_queue_is_closed(mp_ref queue) {
  return mp__load32_seq(&fifo_of(queue)->q.closed) != 0;
}

void mp_queue_close(mp_ref queue) {
  mp__queue_shut(&fifo_of(queue)->q);
}

int mp_queue_poll(mp_ref queue) {
  return mp_queue_len(queue) > 0 || mp_queue_is_closed(queue);
}

int mp_queue_fd(mp_ref queue) {
  int fd = mp__bell_fd(&fifo_of(queue)->q.bell);

  if (fd >= 0)
    mp_queue_rearm(queue, fd);
  return fd;
}

/* A bell that still has a reason to ring is left alone, so that who takes one
 * of many makes no system call, and a death in here silences nothing. */
void mp_queue_rearm(mp_ref queue, int fd) {
  struct mp__bell *bell = &fifo_of(queue)->q.bell;

  if (!mp_queue_poll(queue))
    mp__bell_quiet(bell, fd);
  if (mp_queue_poll(queue))
    mp__bell_ring_own(bell, fd);
}

void mp__fifo_died(uint64_t name) {
  mp__queue_died(&fifo_of(name)->q);
}

int mp__fifo_step(struct mp__txn *t, uint64_t off) {
  struct mp__fifo *f = mp__at(off);

  return mp__queue_step(t, &f->q) || mp__claims_step(t, f);
}
