/* fifo.h -- a queue as an object, for the core's files. */
#ifndef MP_FIFO_H
#define MP_FIFO_H

#include "queue.h"

struct mp__fifo {
  struct mp__obj obj;
  struct mp__queue q;
};

int mp__fifo_step(struct mp__txn *t, uint64_t off);

#endif
