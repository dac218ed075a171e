/* layout.h -- the layouts that are private to a file of the core, for those who
 * look at what it left there.
 */
#ifndef LAYOUT_H
#define LAYOUT_H

#include "queue.h"
#include "roster.h"

struct check_block { /* arena.c */
  uint64_t cls, next, bare, pad[5];
};
struct check_pipe { /* pipe.c */
  struct mp__obj obj;
  struct mp__queue q[2];
  uint64_t flags;
};
struct check_event { /* event.c */
  struct mp__obj obj;
  uint64_t word;
  uint32_t sleepers, pad;
};
struct check_sem { /* sem.c */
  struct mp__obj obj;
  uint64_t value;
  struct mp__lock lock;
  uint32_t pad0, sleepers, seq;
  uint64_t initial, limit, pad[3];
  struct mp__roster holders;
};
struct check_cond { /* cond.c */
  struct mp__obj obj;
  uint64_t mutex, order;
  struct mp__lock lock;
  uint32_t pad0;
  uint64_t pad[5];
  struct mp__roster waiters;
};
struct check_barrier { /* barrier.c */
  struct mp__obj obj;
  uint64_t phase;
  struct mp__lock lock;
  uint32_t sleepers, parties, pad0;
  uint64_t action;
  double patience;
  uint64_t pad[3];
  struct mp__roster waiting;
};

#endif
