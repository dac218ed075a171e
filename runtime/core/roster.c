/* roster.c -- owns the rows that say who has a part in an object. */
#include "mp.h"

#include "family.h"
#include "fault.h"
#include "roster.h"

#include <string.h>

uint64_t mp__member(void) {
  struct mp__slot *me = mp__me();

  return mp__slot_index(me) | mp__load64_rlx(&me->gen) << 16;
}

int mp__member_dead(uint64_t who) {
  struct mp__slot *s = mp__slot_at(MP__SLOTS + (who & 0xffff) * MP__SLOT_SIZE);

  if (mp__load64_acq(&s->gen) != who >> 16)
    return 1;
  /* A thread's life word stays as it is until somebody buries it. */
  if (mp__load32_acq(&s->exit) & MP__EXIT_FINAL)
    return 1;
  return mp__load64_rlx(&s->flags) & MP__PROC_BLIND ? mp__slot_verify(s)
                                                    : mp__slot_dead(s);
}

/* Another part behind the last one. */
static int grow(struct mp__roster *last, struct mp__row **row,
                int64_t deadline) {
  uint64_t bytes = 2 * last->len * sizeof **row;
  struct mp__roster *part;
  struct mp__txn t;
  uint64_t off;
  int rc = mp__begin_by(&t, deadline);

  if (rc < 0)
    return rc;
  rc = mp__alloc(&t, offsetof(struct mp__roster, row) + bytes, &off);
  if (rc < 0) {
    mp__abort(&t);
    return rc;
  }
  part = mp__at(off);
  part->more = 0;
  part->len =
      (mp__usable(off) - offsetof(struct mp__roster, row)) / sizeof **row;
  memset(part->row, 0, part->len * sizeof **row);
  mp__set(&t, &last->more, off);
  mp__end(&t);
  MP_FAULT("roster.grown");
  *row = &part->row[0];
  return 0;
}

int mp__row_take(struct mp__roster *r, struct mp__row **row, int64_t deadline) {
  struct mp__walk w = MP__WALK(r);
  int rc = 0;

  while ((*row = mp__walk(&w)) && mp__load64_rlx(&(*row)->value) != 0)
    ;
  if (!*row)
    rc = grow(w.part, row, deadline);
  if (rc == 0)
    (*row)->who = mp__member(); /* the row is nobody's yet */
  return rc;
}

struct mp__row *mp__row_find(struct mp__roster *r) {
  struct mp__walk w = MP__WALK(r);
  uint64_t me = mp__member();
  struct mp__row *row;

  while ((row = mp__walk(&w)) && row->who != me)
    ;
  return row;
}

/* An earlier life of this seat is dead for ever. */
void mp__row_desert(struct mp__row *row) {
  mp__store64_seq(&row->who, mp__member() - ((uint64_t)1 << 16));
  mp__tell_deaths();
}

int mp__roster_step(struct mp__txn *t, struct mp__roster *r) {
  struct mp__roster *part;

  if (!r->more)
    return 0;
  part = mp__at(r->more);
  mp__set(t, &r->more, part->more);
  mp__free(t, mp__off(part));
  return 1;
}
