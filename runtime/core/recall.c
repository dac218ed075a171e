/* recall.c -- owns messages that are taken back before anybody took them.
 *
 * Such a message stays where it is and is void, by one store of its record's
 * kind; consumers pass over it.  `voids` is stored before the first, so a
 * queue in which nothing was ever voided costs its consumers one load; it goes
 * back to 0 when the queue is empty.  Both words: get lock.
 */
#include "mp.h"

#include "fault.h"
#include "fifo.h"
#include "segment.h"

/* The record of the message behind the position *pos of segment *seg. */
static struct mp__record *next_record(uint64_t *seg, uint64_t *pos) {
  struct mp__record *r;
  uint64_t steps = 0;

  while ((r = mp__record_at(*seg, *pos))->kind == MP__NEXT) {
    mp__turn(&steps);
    *seg = ((struct mp__segment *)mp__at(*seg))->next;
    *pos = 0;
  }
  *pos += mp__record_size(r->len) / MP__UNIT;
  return r;
}

/* With the get lock: void those of from..to that are still there. */
static unsigned void_some(struct mp__queue *q, uint32_t from, uint32_t to,
                          uint32_t *which, unsigned n) {
  uint32_t last = (uint32_t)(mp__load64_seq(&q->put) >> 32);
  uint32_t number = (uint32_t)(q->get >> 32);
  uint64_t seg = q->get_seg;
  uint64_t pos = mp__units(q->get);
  unsigned found = 0;
  uint64_t steps = 0;

  while (number++ != last && found < n && (int32_t)(to - number) >= 0) {
    mp__turn(&steps);
    struct mp__record *r = next_record(&seg, &pos);

    if ((int32_t)(number - from) < 0 || r->kind & MP__VOID)
      continue;
    mp__store32_rel(&q->voids, 1);
    mp__store32_rel(&r->kind, r->kind | MP__VOID);
    MP_FAULT("queue.void");
    which[found++] = number;
  }
  return found;
}

unsigned mp_queue_void(mp_ref queue, uint32_t from, uint32_t to,
                       uint32_t *which, unsigned n) {
  struct mp__fifo *f = mp__at(MP_REF_ID(queue));

  if (mp__claim_lock(f, MP_NOW) < 0)
    return 0; /* a stopped process has the lock: nothing is taken back */
  n = void_some(&f->q, from, to, which, n);
  (void)mp__queue_pass(&f->q, MP_NOW);
  mp__lock_drop(&f->q.get_lock);
  mp__claim_told(f); /* that may have been all that was unfinished */
  return n;
}

int mp_queue_took(mp_ref queue, uint32_t number) {
  struct mp__fifo *f = mp__at(MP_REF_ID(queue));
  uint32_t got = (uint32_t)(mp__load64_seq(&f->q.get) >> 32);

  return (int32_t)(got - number) >= 0;
}

/* Move past the void record in front. */
static int pass_one(struct mp__queue *q, struct mp__record *r,
                    int64_t deadline) {
  uint64_t word = mp__past(q->get, r);
  struct mp__parcel *p;
  struct mp__txn t;
  uint64_t name;
  int rc;

  if (!(r->kind & MP__PARCEL)) {
    mp__store64_seq(&q->get, word);
    return 0;
  }
  name = mp__parcel_name(r);
  p = mp__at(name);
  rc = mp__begin_by(&t, deadline);
  if (rc < 0)
    return rc;
  mp__set(&t, &q->long_got, q->long_got + p->len);
  mp__set(&t, &q->get, word);
  mp__unref(&t, name);
  mp__end(&t);
  mp__collect();
  return 0;
}

int mp__queue_pass(struct mp__queue *q, int64_t deadline) {
  uint64_t get = q->get;
  struct mp__record *r;
  uint64_t steps = 0;
  int left;
  int rc = 0;

  if (!q->voids)
    return 0;
  while (rc == 0 && !mp__queue_empty(q)) {
    mp__turn(&steps);
    rc = mp__queue_first(q, &r, &left, deadline);
    if (rc < 0 || !(r->kind & MP__VOID))
      break;
    rc = pass_one(q, r, deadline);
    MP_FAULT("queue.passed");
  }
  if (mp__queue_empty(q))
    mp__store32_rel(&q->voids, 0);
  if (q->get != get) /* there is room, and perhaps nothing to take */
    mp__queue_roomy(q, INT32_MAX);
  return rc;
}
