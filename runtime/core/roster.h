/* roster.h -- who has a part in an object: rows of {member, value}.
 *
 * A row belongs to the member that `who` names while its value is not 0; what
 * the value says is the object's business.  One store of a value commits.  Rows
 * are given out under the object's short lock, never move, and go with the
 * object, so a sleeper may wait on one.
 */
#ifndef MP_ROSTER_H
#define MP_ROSTER_H

#include "arena.h"

struct mp__row {
  uint64_t who;   /* see mp__member; who takes it, with the lock; the owner,
                     when it deserts it */
  uint64_t value; /* 0: free; the object's users */
};

#define MP__ROSTER_FIRST 3

/* The first lies in the object, the next ones are blocks of their own, each
 * twice as long as the one before. */
struct mp__roster {
  uint64_t more; /* offset of the next part, 0: none; lock and big */
  uint64_t len;  /* rows of this part; its maker */
  struct mp__row row[MP__ROSTER_FIRST];
};

/* The calling member, for all times: seat index (bits 0..15), lives of that
 * seat (16..63).  Never 0. */
uint64_t mp__member(void);
int mp__member_dead(uint64_t who); /* a few loads */

/* A free row, named the caller's; 0, -ENOMEM, or by the deadline -MP_ETIMEOUT,
 * -EINTR.  The short lock is held. */
int mp__row_take(struct mp__roster *r, struct mp__row **row, int64_t deadline);
/* The row that the caller had last, free or not; NULL. */
struct mp__row *mp__row_find(struct mp__roster *r);
/* Without the lock, by its owner: the row is to be taken for a dead one's. */
void mp__row_desert(struct mp__row *row);
/* Give the parts back, one a transaction; 0 when none is left. */
int mp__roster_step(struct mp__txn *t, struct mp__roster *r);

struct mp__walk {
  struct mp__roster *part;
  uint64_t i;
  uint64_t steps;
};

#define MP__WALK(roster) ((struct mp__walk){roster, 0, 0})

/* The next row, or NULL. */
static inline struct mp__row *mp__walk(struct mp__walk *w) {
  mp__turn(&w->steps);
  while (w->i == w->part->len) {
    if (!w->part->more)
      return NULL;
    mp__turn(&w->steps);
    w->part = mp__at(w->part->more);
    w->i = 0;
  }
  return mp__at(mp__off(w->part->row) + w->i++ * sizeof(struct mp__row));
}

#endif
