/* pipe.c -- owns pipes: two queues and two ends.
 *
 * End e writes to queue e and reads from the other; a simplex pipe has no
 * queue 0, so that end 0 only reads.  Each end counts its holders, in any
 * number of processes and messages; when the last lets go, or dies, the other
 * end sees the end of the stream behind what is still in the queue.
 */
#include "mp.h"

#include "family.h"
#include "fault.h"
#include "queue.h"
#include "spin.h"

#include <errno.h>

struct mp__pipe {
  struct mp__obj obj;
  struct mp__queue q[2];
  uint64_t flags;
};

static struct mp__pipe *pipe_of(mp_ref end) {
  return mp__at(MP_REF_ID(end) & ~(uint64_t)63);
}

static unsigned end_of(mp_ref end) {
  return (unsigned)(end & 1);
}

static int init_queues(struct mp__txn *t, struct mp__pipe *p, int simplex) {
  int rc = mp__queue_init(t, &p->q[1], 1);

  if (rc == 0 && !simplex)
    rc = mp__queue_init(t, &p->q[0], 1);
  return rc;
}

int mp_pipe_open(mp_ref *a, mp_ref *b, unsigned flags) {
  struct mp__pipe *p;
  struct mp__txn t;
  uint64_t off;
  int rc = mp_enter();

  *a = *b = MP_REF_EMPTY;
  if (rc < 0)
    return rc;
  mp__begin(&t);
  rc = mp__obj_new(&t, MP_TYPE_PIPE, sizeof *p, &off);
  if (rc == 0)
    rc = init_queues(&t, mp__at(off), (flags & MP_PIPE_SIMPLEX) != 0);
  if (rc == 0)
    rc = mp__hold(&t, mp__me(), off, a);
  if (rc == 0)
    rc = mp__hold(&t, mp__me(), off | 1, b);
  if (rc < 0) {
    mp__abort(&t);
    *a = *b = MP_REF_EMPTY;
    return rc;
  }
  p = mp__at(off);
  p->obj.refs[0] = p->obj.refs[1] = 1;
  p->flags = flags;
  mp__end(&t);
  return 0;
}

unsigned mp_pipe_modes(mp_ref end) {
  if (!(pipe_of(end)->flags & MP_PIPE_SIMPLEX))
    return MP_PIPE_READABLE | MP_PIPE_WRITABLE;
  return end_of(end) == 0 ? MP_PIPE_READABLE : MP_PIPE_WRITABLE;
}

static int peer_gone(struct mp__pipe *p, unsigned end) {
  return mp__load64_seq(&p->obj.refs[!end]) == 0;
}

int mp_pipe_send(mp_ref end, const struct mp_out *out, int64_t deadline) {
  struct mp__pipe *p = pipe_of(end);
  unsigned e = end_of(end);
  struct mp__nap nap = {0};
  struct mp__full full;
  int rc;

  for (;;) {
    if (peer_gone(p, e))
      return -MP_ECLOSED;
    rc = mp__queue_put(&p->q[e], out, &full, deadline);
    if (rc != -MP_EFULL)
      return rc;
    rc = mp__queue_wait_room(&p->q[e], &full, &nap, deadline);
    if (rc < 0)
      return rc;
  }
}

/* 1: there is something, or the end; 0 look again; < 0 */
static int wait_for_item(struct mp__pipe *p, unsigned e, struct mp__nap *nap,
                         int64_t deadline) {
  struct mp__queue *q = &p->q[!e];
  uint32_t seq;
  int rc = 0;

  if (deadline > MP_NOW &&
      mp__spin(&q->put, mp__load64_rlx(&q->get), MP__COUNT))
    return 0;
  seq = mp__queue_sleep(q);
  if (mp__queue_empty(q) && !peer_gone(p, e))
    rc = mp__nap(nap, &q->item_seq, seq, deadline);
  mp__queue_awake(q);
  return rc;
}

int mp_pipe_recv(mp_ref end, struct mp_msg *m, void *scratch,
                 int64_t deadline) {
  struct mp__pipe *p = pipe_of(end);
  unsigned e = end_of(end);
  struct mp__nap nap = {0};
  int gone;
  int rc;

  for (;;) {
    gone = peer_gone(p, e); /* before the look: what it sent came first */
    rc = mp__queue_get(&p->q[!e], m, scratch, deadline);
    if (rc != -MP_EEMPTY)
      return rc;
    if (gone)
      return -MP_ECLOSED;
    rc = wait_for_item(p, e, &nap, deadline);
    if (rc < 0)
      return rc;
  }
}

int mp_pipe_poll(mp_ref end, int64_t deadline) {
  struct mp__pipe *p = pipe_of(end);
  unsigned e = end_of(end);
  struct mp__nap nap = {0};
  int rc;

  for (;;) {
    if (!mp__queue_empty(&p->q[!e]) || peer_gone(p, e))
      return 1;
    if (deadline <= MP_NOW)
      return 0;
    rc = wait_for_item(p, e, &nap, deadline);
    if (rc == -MP_ETIMEOUT)
      return 0;
    if (rc < 0)
      return rc;
  }
}

/* Rung when there is something to read at this end. */
struct mp__bell *mp__pipe_bell(mp_ref end) {
  return &pipe_of(end)->q[!end_of(end)].bell;
}

void mp__pipe_gone(uint64_t name) {
  struct mp__pipe *p = pipe_of(name);

  if ((p->obj.type & 0xff) != MP_TYPE_PIPE ||
      mp__load64_seq(&p->obj.refs[!end_of(name)]) == 0)
    return;
  mp__queue_wake_all(&p->q[0]);
  mp__queue_wake_all(&p->q[1]);
}

void mp__pipe_died(uint64_t name) {
  mp__queue_died(&pipe_of(name)->q[0]);
  mp__queue_died(&pipe_of(name)->q[1]);
}

int mp__pipe_step(struct mp__txn *t, uint64_t off) {
  struct mp__pipe *p = mp__at(off);

  return mp__queue_step(t, &p->q[0]) || mp__queue_step(t, &p->q[1]);
}
