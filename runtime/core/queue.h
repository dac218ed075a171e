/* queue.h -- messages through shared memory, for the core's files.
 *
 * A queue is a chain of segments.  Producers append to the last one under the
 * put lock, consumers take from the first under the get lock; the two meet
 * only in the counts.
 *
 *   put, get: count << 32 | position, the position in units of 8 bytes in the
 *   segment that put_seg, get_seg name.  One store of such a word commits: the
 *   message it moves past is in the queue, or out of it.  Until then nothing
 *   has happened, so a death under a lock leaves nothing to repair.
 *
 * A record is 8 bytes of header and a payload padded to 8: a short message
 * itself, the name of a parcel (long messages, and those that name objects),
 * or the mark that the next segment follows (segment.h).  A message that was
 * taken back is void, and consumers pass over it (recall.c).
 */
#ifndef MP_QUEUE_H
#define MP_QUEUE_H

#include "family.h"

struct mp__queue {
  /* producers' line */
  struct mp__lock put_lock;
  uint32_t room_sleepers; /* producers asleep for want of room */
  uint64_t put;           /* put lock */
  uint64_t put_seg;       /* put lock, and big when it changes */
  uint32_t room_seq;      /* futex: changes at each wake of a producer */
  uint32_t max_items;     /* 0: no limit; the founder of the queue */
  uint32_t room_called;   /* 1: a producer was woken, and has not looked yet */
  uint32_t pad0[7];
  /* consumers' line */
  struct mp__lock get_lock;
  uint32_t item_sleepers; /* consumers asleep for want of an item */
  uint64_t get;           /* get lock */
  uint64_t get_seg;       /* get lock, and big when it changes */
  uint32_t item_seq;      /* futex: changes at each wake of a consumer */
  uint32_t voids;         /* 1: some messages may be void; get lock */
  uint32_t item_called;   /* 1: a consumer was woken, and has not looked yet */
  uint32_t pad1;
  uint64_t pad2[3];
  /* rarely written */
  uint64_t spare;       /* an empty segment for the next producer; big */
  uint64_t long_put;    /* bytes of parcels ever put; big */
  uint64_t long_got;    /* ... and ever taken; big */
  uint64_t max_long;    /* parcels stop when so many bytes lie here; founder */
  uint32_t two_segs;    /* 1: at most two segments; founder */
  uint32_t closed;      /* 1: nothing more comes in; put lock */
  struct mp__bell bell; /* readable while there is something to take */
  uint64_t pad3;
};

/* In memory that is 0.  One in a pipe takes no more than so much. */
int mp__queue_init(struct mp__txn *t, struct mp__queue *q, int in_pipe);
/* What came of a put.  A full queue waits for this: that *word differs from
 * `seen`. */
struct mp__full {
  const uint64_t *word;
  uint64_t seen;
  int64_t deadline; /* for the locks alone */
  uint32_t number;  /* success: of the message, counted from 1 */
};

/* 0, -MP_EFULL and *full, -MP_ECLOSED, -ENOMEM...; never waits for room.  By
 * the deadline, as all that follow: -MP_ETIMEOUT, -EINTR of mp__lock_by. */
int mp__queue_put(struct mp__queue *q, const struct mp_out *out,
                  struct mp__full *full, int64_t deadline);
/* Wait until there may be room; 0, -MP_ETIMEOUT, -EINTR. */
int mp__queue_wait_room(struct mp__queue *q, const struct mp__full *full,
                        struct mp__nap *nap, int64_t deadline);
/* 0, -MP_EEMPTY */
int mp__queue_get(struct mp__queue *q, struct mp_msg *m, void *scratch,
                  int64_t deadline);
/* The same in two parts.  With the get lock, and not empty: the number of
 * producers that can now go on, < 0; then without it: wake so many, and
 * another consumer if there is more to take. */
int mp__queue_take(struct mp__queue *q, struct mp_msg *m, void *scratch,
                   int64_t deadline);
void mp__queue_took(struct mp__queue *q, int n);
/* Around a consumer's nap on item_seq, of which the first gives the value;
 * in between it looks once more. */
uint32_t mp__queue_sleep(struct mp__queue *q);
void mp__queue_awake(struct mp__queue *q);
uint32_t mp__queue_len(const struct mp__queue *q);
/* Nothing more comes in; everybody who waits looks again. */
void mp__queue_shut(struct mp__queue *q);
/* With the get lock, before a take: 0 when nothing void lies in front. */
int mp__queue_pass(struct mp__queue *q, int64_t deadline);
/* There is room: n sleeping producers look again. */
void mp__queue_roomy(struct mp__queue *q, int n);
/* Give memory back, a step a transaction; 0 when nothing is left. */
int mp__queue_step(struct mp__txn *t, struct mp__queue *q);
void mp__queue_wake_all(struct mp__queue *q); /* the big lock is held */
/* A member that held it has died; the same. */
void mp__queue_died(struct mp__queue *q);

static inline int mp__queue_empty(const struct mp__queue *q) {
  return mp__load64_seq(&q->put) >> 32 == mp__load64_seq(&q->get) >> 32;
}

#endif
