/* fifo.h -- a queue as an object, for the core's files. */
#ifndef MP_FIFO_H
#define MP_FIFO_H

#include "queue.h"

struct mp__fifo {
  struct mp__obj obj;
  struct mp__queue q;
  /* of a joinable one; see claim.c */
  uint64_t rows;          /* what each consumer holds; get lock, and big */
  uint64_t lost;          /* consumers died over them; get lock, and big */
  uint64_t excused;       /* of those, finished late; get lock */
  uint64_t told;          /* `lost` when a join last told of it; get lock */
  uint32_t join_sleepers; /* those who wait until all is finished */
  uint32_t join_seq;      /* futex: changes at each wake of them */
};

/* Take the get lock of a joinable queue, and put right what a dead holder of
 * it left; 0, or what mp__lock_by says. */
int mp__claim_lock(struct mp__fifo *f, int64_t deadline);
/* With that lock: the next item is going to be the caller's; 0, -ENOMEM, and
 * by the deadline -MP_ETIMEOUT, -EINTR. */
int mp__claim(struct mp__fifo *f, int64_t deadline);
void mp__unclaim(struct mp__fifo *f);    /* it could not be taken */
void mp__claim_told(struct mp__fifo *f); /* wakes joiners if all is finished */
int mp__claims_step(struct mp__txn *t, struct mp__fifo *f);

int mp__fifo_step(struct mp__txn *t, uint64_t off);

#endif
