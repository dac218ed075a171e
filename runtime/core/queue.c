/* queue.c -- owns the chain of segments between producers and consumers.
 *
 * Lock order: put or get lock, then the big lock.  See queue.h for the words,
 * segment.h for what the segments hold; recall.c voids messages in here.
 */
#include "mp.h"

#include "family.h"
#include "fault.h"
#include "futex.h"
#include "queue.h"
#include "segment.h"
#include "spin.h"

#include <errno.h>
#include <string.h>

#define FIRST_SEG 2048
#define LAST_SEG 65536
#define PIPE_LONG (16u << 20) /* bytes of parcels that wait in a pipe */

static int new_segment(struct mp__txn *t, uint64_t bytes, uint64_t *off) {
  struct mp__segment *s;
  int rc = mp__alloc(t, sizeof *s + bytes, off);

  if (rc < 0)
    return rc;
  s = mp__at(*off);
  s->next = 0;
  s->len = (mp__usable(*off) - sizeof *s) & ~(uint64_t)7;
  return 0;
}

int mp__queue_init(struct mp__txn *t, struct mp__queue *q, int in_pipe) {
  uint64_t seg;
  int rc = new_segment(t, FIRST_SEG, &seg);

  if (rc < 0)
    return rc;
  q->put_seg = q->get_seg = seg;
  q->two_segs = in_pipe != 0;
  q->max_long = in_pipe ? PIPE_LONG : UINT64_MAX;
  return 0;
}

/* Exact at the moment of the middle load: nothing was taken around it. */
uint32_t mp__queue_len(const struct mp__queue *q) {
  uint64_t get = mp__load64_seq(&q->get);
  uint64_t put;
  uint64_t seen;

  do {
    seen = get;
    put = mp__load64_seq(&q->put);
    get = mp__load64_seq(&q->get);
  } while (get != seen);
  return (uint32_t)((put >> 32) - (get >> 32));
}

/* Waking: whoever changed the state looks for sleepers afterwards; a sleeper
 * has counted itself and read the sequence before it looked at the state. */
static void wake(uint32_t *sleepers, uint32_t *seq, int n) {
  if (mp__load32_seq(sleepers) == 0)
    return;
  mp__add32_seq(seq, 1);
  mp__futex_wake(seq, n);
}

/* Wake one, unless one is on its way: it looks after it has taken its call
 * back, so it sees what we have done, and calls the next if there is more than
 * it needs.  Without this each put would wake somebody until the first woken
 * gets a CPU.  One that is killed on its way is noticed by those who sleep. */
static void call(uint32_t *sleepers, uint32_t *called, uint32_t *seq) {
  if (mp__load32_seq(sleepers) == 0 || mp__swap32_seq(called, 1))
    return;
  mp__add32_seq(seq, 1);
  mp__futex_wake(seq, 1);
}

/* The sequence first: a call that comes after the store changes it, one that
 * came before is taken back.  The other way round a call in between would be
 * slept over, and keep those after it from calling. */
static uint32_t sleep_on(uint32_t *sleepers, uint32_t *called, uint32_t *seq) {
  uint32_t seen;

  mp__count_in(sleepers);
  seen = mp__load32_seq(seq);
  mp__store32_seq(called, 0);
  return seen;
}

static void awake(uint32_t *sleepers, uint32_t *called) {
  mp__store32_seq(called, 0);
  mp__count_out(sleepers);
}

uint32_t mp__queue_sleep(struct mp__queue *q) {
  return sleep_on(&q->item_sleepers, &q->item_called, &q->item_seq);
}

void mp__queue_awake(struct mp__queue *q) {
  awake(&q->item_sleepers, &q->item_called);
}

void mp__queue_roomy(struct mp__queue *q, int n) {
  wake(&q->room_sleepers, &q->room_seq, n);
}

static void wake_both(struct mp__queue *q) {
  wake(&q->item_sleepers, &q->item_seq, INT32_MAX);
  mp__queue_roomy(q, INT32_MAX);
}

void mp__queue_wake_all(struct mp__queue *q) {
  wake_both(q);
  mp__bell_ring_held(&q->bell);
}

/* Killed between the commit and the ring, or between the quiet and the look:
 * an item would lie there and nobody who polls would know. */
void mp__queue_died(struct mp__queue *q) {
  if (!q->bell.fd)
    return;
  mp__bell_forget(&q->bell);
  if (!mp__queue_empty(q) || mp__load32_seq(&q->closed))
    mp__bell_ring_held(&q->bell);
}

int mp__queue_wait_room(struct mp__queue *q, const struct mp__full *full,
                        struct mp__nap *nap, int64_t deadline) {
  uint32_t seq;
  int rc = 0;

  if (deadline <= MP_NOW)
    return -MP_ETIMEOUT;
  if (mp__spin(full->word, full->seen, UINT64_MAX))
    return rc;
  seq = sleep_on(&q->room_sleepers, &q->room_called, &q->room_seq);
  if (mp__load64_seq(full->word) == full->seen && !mp__load32_seq(&q->closed))
    rc = mp__nap(nap, &q->room_seq, seq, deadline);
  awake(&q->room_sleepers, &q->room_called);
  return rc;
}

/* With the put lock, so that nothing comes in behind it. */
void mp__queue_shut(struct mp__queue *q) {
  (void)mp__lock_take(&q->put_lock);
  mp__store32_seq(&q->closed, 1);
  mp__lock_drop(&q->put_lock);
  MP_FAULT("queue.shut");
  wake_both(q);
  mp__bell_ring(&q->bell);
}

/* Put */

static int full_on(struct mp__full *full, const uint64_t *word, uint64_t seen) {
  full->word = word;
  full->seen = seen;
  return -MP_EFULL;
}

/* Mark the end of the segment and go on in a new one; put lock held.  The
 * mark is in nobody's reach until a message follows it. */
static int next_segment(struct mp__queue *q, uint64_t need,
                        struct mp__full *full) {
  struct mp__segment *last = mp__at(q->put_seg);
  struct mp__record *mark = mp__record_at(q->put_seg, mp__units(q->put));
  uint64_t len = last->len < LAST_SEG / 4 ? last->len * 4 : LAST_SEG;
  /* the spare is one of the long ones: any short message fits */
  uint64_t first = mp__load64_seq(&q->get_seg);
  struct mp__txn t;
  uint64_t seg;
  int rc;

  if (q->two_segs && first != q->put_seg)
    return full_on(full, &q->get_seg, first);
  rc = mp__begin_by(&t, full->deadline);
  if (rc < 0)
    return rc;
  seg = mp__peek(&t, &q->spare);
  if (seg)
    mp__set(&t, &q->spare, 0);
  else
    rc = new_segment(&t, len < need ? need : len, &seg);
  if (rc < 0) {
    mp__abort(&t);
    return rc;
  }
  ((struct mp__segment *)mp__at(seg))->next = 0;
  mark->kind = MP__NEXT;
  mp__set(&t, &last->next, seg);
  mp__set(&t, &q->put_seg, seg);
  mp__set(&t, &q->put, q->put >> 32 << 32);
  mp__end(&t);
  MP_FAULT("queue.put.segment");
  return 0;
}

static int one_more(const struct mp__queue *q, struct mp__full *full) {
  uint64_t get;

  if (!q->max_items)
    return 0;
  get = mp__load64_seq(&q->get);
  if ((uint32_t)((mp__load64_rlx(&q->put) >> 32) - (get >> 32)) < q->max_items)
    return 0;
  return full_on(full, &q->get, get);
}

/* The place for a payload of `len` bytes, with room for a mark behind. */
static int reserve(struct mp__queue *q, uint64_t len, struct mp__record **r,
                   struct mp__full *full) {
  struct mp__segment *s = mp__at(q->put_seg);
  uint64_t need = mp__record_size(len) + sizeof **r;
  int rc;

  if (mp__load32_rlx(&q->closed))
    return -MP_ECLOSED;
  rc = one_more(q, full);
  if (rc == 0 && mp__units(q->put) * MP__UNIT + need > s->len)
    rc = next_segment(q, need, full);
  if (rc == 0)
    *r = mp__record_at(q->put_seg, mp__units(q->put));
  return rc;
}

static int put_short(struct mp__queue *q, const struct mp_out *out, size_t len,
                     struct mp__full *full) {
  struct mp__record *r;
  int rc = mp__lock_by(&q->put_lock, full->deadline);

  if (rc < 0)
    return rc;
  rc = reserve(q, len, &r, full);
  if (rc == 0) {
    r->len = (uint32_t)len;
    r->kind = MP__RECORD;
    mp__out_copy(r + 1, out);
    MP_FAULT("queue.put.copied");
    mp__store64_seq(&q->put, mp__past(q->put, r));
    full->number = (uint32_t)(q->put >> 32);
    MP_FAULT("queue.put.committed");
  }
  mp__lock_drop(&q->put_lock);
  return rc;
}

/* One long message is always let in, however long. */
static int long_fits(struct mp__queue *q, uint64_t len, struct mp__full *full) {
  uint64_t got = mp__load64_seq(&q->long_got);
  uint64_t put = mp__load64_seq(&q->long_put);

  if (put == got || put - got + len <= q->max_long)
    return 0;
  return full_on(full, &q->long_got, got);
}

/* The parcel's count passes from our ledger to the queue. */
static int put_parcel(struct mp__queue *q, mp_ref parcel, uint64_t len,
                      struct mp__full *full) {
  struct mp__txn t;
  struct mp__record *r;
  int rc = mp__lock_by(&q->put_lock, full->deadline);

  if (rc < 0)
    return rc;
  rc = long_fits(q, len, full);
  if (rc == 0)
    rc = reserve(q, sizeof(uint64_t), &r, full);
  if (rc == 0)
    rc = mp__begin_by(&t, full->deadline);
  if (rc == 0) {
    uint64_t name = MP_REF_ID(parcel);

    r->len = sizeof name;
    r->kind = MP__PARCEL;
    memcpy(r + 1, &name, sizeof name);
    mp__pass(&t, mp__me(), parcel);
    mp__set(&t, &q->long_put, q->long_put + len);
    mp__set(&t, &q->put, mp__past(q->put, r));
    mp__end(&t);
    full->number = (uint32_t)(q->put >> 32);
    MP_FAULT("queue.put.parcel");
  }
  mp__lock_drop(&q->put_lock);
  return rc;
}

/* For a long message, without the lock. */
static int is_full(struct mp__queue *q, uint64_t len, struct mp__full *full) {
  int rc = long_fits(q, len, full);

  return rc < 0 ? rc : one_more(q, full);
}

int mp__queue_put(struct mp__queue *q, const struct mp_out *out,
                  struct mp__full *full, int64_t deadline) {
  size_t len = mp__out_len(out);
  mp_ref parcel;
  int rc;

  full->deadline = deadline;
  if (len <= MP_INLINE_MAX && out->nrefs == 0) {
    rc = put_short(q, out, len, full);
  } else {
    /* Looked for before the copy, and again with the lock: two producers may
     * see the same room, and the second then copies in vain. */
    if ((rc = is_full(q, len, full)) < 0 ||
        (rc = mp__parcel_new(out, &parcel, deadline)) < 0)
      return rc;
    rc = put_parcel(q, parcel, len, full);
    if (rc < 0)
      mp_ref_close(&parcel);
  }
  if (rc == 0) {
    call(&q->item_sleepers, &q->item_called, &q->item_seq);
    if (q->max_items && mp__load32_seq(&q->room_sleepers) &&
        one_more(q, full) == 0)
      call(&q->room_sleepers, &q->room_called, &q->room_seq);
    mp__bell_ring(&q->bell);
  }
  return rc;
}

/* Get */

/* The first segment is used up: go on in the next, keep this one as the spare
 * or free it.  Get lock held. */
static int leave_segment(struct mp__queue *q, int64_t deadline) {
  struct mp__segment *s = mp__at(q->get_seg);
  struct mp__txn t;
  int rc = mp__begin_by(&t, deadline);

  if (rc < 0)
    return rc;
  mp__set(&t, &q->get, q->get >> 32 << 32);
  mp__set(&t, &q->get_seg, s->next);
  if (q->spare == 0 && s->len >= LAST_SEG / 2)
    mp__set(&t, &q->spare, q->get_seg);
  else
    mp__free(&t, q->get_seg);
  mp__end(&t);
  MP_FAULT("queue.get.segment");
  return 0;
}

/* Take a parcel into our ledger. */
static int get_parcel(struct mp__queue *q, struct mp__record *r,
                      struct mp_msg *m, int64_t deadline) {
  uint64_t name = mp__parcel_name(r);
  struct mp__parcel *p = mp__at(name);
  struct mp__txn t;
  mp_ref held;
  int rc = mp__begin_by(&t, deadline);

  if (rc < 0)
    return rc;
  rc = mp__hold(&t, mp__me(), name, &held);
  if (rc < 0) {
    mp__abort(&t);
    return rc;
  }
  mp__set(&t, &q->long_got, q->long_got + p->len);
  mp__set(&t, &q->get, mp__past(q->get, r));
  mp__end(&t);
  mp__parcel_view(held, m);
  return 0;
}

int mp__queue_first(struct mp__queue *q, struct mp__record **r, int *left,
                    int64_t deadline) {
  uint64_t steps = 0;
  int rc;

  *left = 0;
  while ((*r = mp__record_at(q->get_seg, mp__units(q->get)))->kind ==
         MP__NEXT) {
    mp__turn(&steps);
    rc = leave_segment(q, deadline);
    if (rc < 0)
      return rc;
    *left = 1;
  }
  return 0;
}

int mp__queue_take(struct mp__queue *q, struct mp_msg *m, void *scratch,
                   int64_t deadline) {
  struct mp__record *r;
  int left;
  int rc = mp__queue_first(q, &r, &left, deadline);

  if (rc == 0 && r->kind == MP__PARCEL) {
    rc = get_parcel(q, r, m, deadline);
    if (rc == 0)
      return INT32_MAX;
  }
  if (rc < 0)
    return rc;
  if (r->len > MP_INLINE_MAX)
    return -MP_EDAMAGED; /* somebody wrote where nobody should */
  memcpy(scratch, r + 1, r->len);
  m->data = scratch;
  m->len = r->len;
  MP_FAULT("queue.get.copied");
  mp__store64_seq(&q->get, mp__past(q->get, r));
  if (left)
    return INT32_MAX;
  return q->max_items ? 1 : 0;
}

void mp__queue_took(struct mp__queue *q, int n) {
  MP_FAULT("queue.get.committed");
  if (n == 1)
    call(&q->room_sleepers, &q->room_called, &q->room_seq);
  else if (n)
    mp__queue_roomy(q, n);
  if (mp__load32_seq(&q->item_sleepers) && !mp__queue_empty(q))
    call(&q->item_sleepers, &q->item_called, &q->item_seq);
}

int mp__queue_get(struct mp__queue *q, struct mp_msg *m, void *scratch,
                  int64_t deadline) {
  int rc;

  *m = MP_MSG_EMPTY;
  rc = mp__lock_by(&q->get_lock, deadline);
  if (rc < 0)
    return rc;
  rc = mp__queue_pass(q, deadline);
  if (rc == 0)
    rc = mp__queue_empty(q) ? -MP_EEMPTY
                            : mp__queue_take(q, m, scratch, deadline);
  mp__lock_drop(&q->get_lock);
  if (rc < 0)
    return rc;
  mp__queue_took(q, rc);
  return 0;
}

/* Taking apart; nobody else can reach the queue. */
int mp__queue_step(struct mp__txn *t, struct mp__queue *q) {
  struct mp__segment *s = q->get_seg ? mp__at(q->get_seg) : NULL;
  struct mp__record *r;

  if (q->bell.fd) {
    mp__drop_word(t, &q->bell.fd);
  } else if (q->spare) {
    mp__free(t, q->spare);
    mp__set(t, &q->spare, 0);
  } else if (!s) {
    return 0;
  } else if (mp__queue_empty(q) ||
             (r = mp__record_at(q->get_seg, mp__units(q->get)))->kind ==
                 MP__NEXT) {
    /* If empty, a segment may still be linked behind a mark. */
    mp__set(t, &q->get, q->get >> 32 << 32);
    mp__set(t, &q->get_seg, s->next);
    mp__free(t, q->get_seg);
  } else {
    if (r->kind & MP__PARCEL)
      mp__unref(t, mp__parcel_name(r));
    mp__set(t, &q->get, mp__past(q->get, r));
  }
  return 1;
}
