/* claim.c -- owns what consumers of a joinable queue have not finished.
 *
 * Every member that takes items has a row.  Its word is
 *
 *   held << 32 | number    how many items the owner has taken and not finished,
 *                          and which was the last, as `put` numbered it
 *
 * A consumer claims first and takes afterwards, both with the get lock: one
 * store of the row's word, then the one that moves `get`.  So a claim of the
 * number after the count of `get` is one whose taking never happened; who
 * takes the lock over from a dead holder undoes it.  The owner finishes
 * without a lock, so all change the word by compare-and-swap; words of rows of
 * the dead change in transactions, with the get lock.
 *
 *   unfinished = items in the queue + the sum of held
 */
#include "mp.h"

#include "fault.h"
#include "fifo.h"
#include "futex.h"

#include <errno.h>
#include <string.h>

#define ROWS 14 /* with the line of the block, 1 KiB */

struct row {
  uint64_t owner; /* the life of a seat: its serial; 0: free; get lock */
  uint64_t seat;  /* which; get lock */
  uint64_t word;  /* see above; atomically */
  uint64_t pad[5];
};

struct rows {
  uint64_t next; /* more of them, 0: none; the maker */
  uint64_t pad[7];
  struct row row[ROWS];
};

static struct mp__fifo *fifo_of(mp_ref queue) {
  return mp__at(MP_REF_ID(queue));
}

static uint32_t held(uint64_t word) {
  return (uint32_t)(word >> 32);
}

static int is_gone(const struct row *r) {
  struct mp__slot *s = mp__slot_at(r->seat);

  return mp__load64_rlx(&s->obj.type) != mp__load64_rlx(&r->owner) ||
         mp__slot_dead(s);
}

/* All rows, one after the other. */
struct walk {
  uint64_t off; /* of the block that is walked through, 0: that was all */
  unsigned i;   /* the next one of it */
  uint64_t steps;
};

static struct walk all_rows(const struct mp__fifo *f) {
  return (struct walk){mp__load64_acq(&f->rows), 0, 0};
}

static struct row *next_row(struct walk *w) {
  struct rows *block = w->off ? mp__at(w->off) : NULL;
  struct row *r = block ? &block->row[w->i] : NULL;

  if (r && ++w->i == ROWS) {
    mp__turn(&w->steps);
    w->off = block->next;
    w->i = 0;
  }
  return r;
}

/* The caller's own, or (with `spare`) one that it may have; else NULL.  Looked
 * for from where the seat's number says, so that the first is mostly it. */
static struct row *my_row(const struct mp__fifo *f, int spare) {
  uint64_t me = mp__load64_rlx(&mp__me()->obj.type);
  unsigned hint = mp__slot_index(mp__me());
  struct row *found = NULL;
  struct rows *block;
  uint64_t steps = 0;
  uint64_t off;
  unsigned i;

  for (off = mp__load64_acq(&f->rows); off; off = block->next) {
    mp__turn(&steps);
    block = mp__at(off);
    for (i = 0; i < ROWS; i++) {
      struct row *r = &block->row[(hint + i) % ROWS];
      uint64_t owner = mp__load64_rlx(&r->owner);

      if (owner == me)
        return r;
      if (spare && !found && (owner == 0 || (held(r->word) == 0 && is_gone(r))))
        found = r;
    }
  }
  return found;
}

static int more_rows(struct mp__fifo *f, int64_t deadline) {
  struct rows *block;
  struct mp__txn t;
  uint64_t off;
  int rc = mp__begin_by(&t, deadline);

  if (rc < 0)
    return rc;
  rc = mp__alloc(&t, sizeof *block, &off);
  if (rc < 0) {
    mp__abort(&t);
    return rc;
  }
  block = mp__at(off);
  memset(block, 0, sizeof *block);
  block->next = f->rows;
  mp__set(&t, &f->rows, off);
  mp__end(&t);
  MP_FAULT("claim.rows");
  return 0;
}

/* The word becomes what `by` (+1, -1) makes of held; 0 when none is held. */
static int change(struct row *r, int by, uint32_t number) {
  uint64_t seen = mp__load64_rlx(&r->word);

  do
    if (by < 0 && held(seen) == 0)
      return 0;
  while (!mp__cas64_seq(&r->word, &seen,
                        (uint64_t)(held(seen) + (uint32_t)by) << 32 |
                            (by > 0 ? number : (uint32_t)seen)));
  return 1;
}

static uint32_t next_number(const struct mp__fifo *f) {
  return (uint32_t)(mp__load64_rlx(&f->q.get) >> 32) + 1;
}

/* Claims of the dead that came to nothing; may be done twice. */
static void undo_claims(struct mp__fifo *f) {
  struct walk w = all_rows(f);
  struct row *r;
  uint64_t seen;

  while ((r = next_row(&w))) {
    seen = mp__load64_rlx(&r->word);
    if (r->owner && held(seen) && (uint32_t)seen == next_number(f) &&
        is_gone(r))
      mp__store64_seq(&r->word,
                      (uint64_t)(held(seen) - 1) << 32 | ((uint32_t)seen - 1));
    MP_FAULT("claim.undone");
  }
}

int mp__claim_lock(struct mp__fifo *f, int64_t deadline) {
  int rc = mp__lock_by(&f->q.get_lock, deadline);

  if (rc > 0)
    undo_claims(f);
  return rc < 0 ? rc : 0;
}

int mp__claim(struct mp__fifo *f, int64_t deadline) {
  struct row *r = my_row(f, 1);
  int rc;

  while (!r) {
    rc = more_rows(f, deadline);
    if (rc < 0)
      return rc;
    r = my_row(f, 1);
  }
  if (r->owner != mp__load64_rlx(&mp__me()->obj.type)) {
    mp__store64_rel(&r->seat, mp__off(mp__me()));
    mp__store64_rel(&r->owner, mp__me()->obj.type);
    MP_FAULT("claim.row");
  }
  (void)change(r, 1, next_number(f));
  MP_FAULT("claim.made");
  return 0;
}

void mp__unclaim(struct mp__fifo *f) {
  (void)change(my_row(f, 0), -1, 0);
}

/* Finished or not */

static uint64_t unfinished(const struct mp__fifo *f) {
  struct walk w = all_rows(f);
  const struct row *r;
  uint64_t sum = 0;

  /* Rows first: an item that moves is in one of them at least. */
  while ((r = next_row(&w)))
    sum += held(mp__load64_seq(&r->word));
  return sum + mp__queue_len(&f->q);
}

/* A row of the dead: its items count as finished.  Get lock held. */
static int write_off(struct mp__fifo *f, struct row *r, int64_t deadline) {
  struct mp__txn t;
  int rc = mp__begin_by(&t, deadline);

  if (rc < 0)
    return rc;
  mp__set(&t, &f->lost, f->lost + held(r->word));
  mp__set(&t, &r->word, 0);
  mp__end(&t);
  MP_FAULT("claim.lost");
  return 0;
}

/* Of that seat, 0: of any. */
static struct row *lost_row(const struct mp__fifo *f, uint64_t seat) {
  struct walk w = all_rows(f);
  struct row *r;

  while ((r = next_row(&w)))
    if (r->owner && (!seat || r->seat == seat) &&
        held(mp__load64_rlx(&r->word)) && is_gone(r))
      break;
  return r;
}

static int write_all_off(struct mp__fifo *f, int64_t deadline) {
  struct row *r;
  int rc = 0;

  while (rc == 0 && (r = lost_row(f, 0)) != NULL)
    rc = write_off(f, r, deadline);
  return rc;
}

void mp__claim_told(struct mp__fifo *f) {
  if (mp__load32_seq(&f->join_sleepers) == 0 || unfinished(f) > 0)
    return;
  mp__add32_seq(&f->join_seq, 1);
  mp__futex_wake(&f->join_seq, INT32_MAX);
}

/* Anybody's item: the caller has none.  Get lock held. */
static int finish_any(struct mp__fifo *f) {
  struct walk w = all_rows(f);
  struct row *r;

  (void)write_all_off(f, MP__SURELY);
  while ((r = next_row(&w)))
    if (change(r, -1, 0))
      return 0;
  if (f->excused == f->lost)
    return -MP_EDONE;
  mp__store64_rel(&f->excused, f->excused + 1); /* late, but not wrong */
  return 0;
}

int mp_queue_done(mp_ref queue) {
  struct mp__fifo *f = fifo_of(queue);
  struct row *mine = my_row(f, 0);
  int rc = 0;

  if (!mine || !change(mine, -1, 0)) {
    rc = mp__claim_lock(f, MP_FOREVER);
    if (rc < 0)
      return rc;
    rc = finish_any(f);
    mp__lock_drop(&f->q.get_lock);
  }
  MP_FAULT("claim.finished");
  if (rc == 0)
    mp__claim_told(f);
  return rc;
}

int mp_queue_lost(mp_ref queue, mp_ref consumer, uint32_t *number) {
  struct mp__fifo *f = fifo_of(queue);
  struct row *r;

  (void)mp__claim_lock(f, MP__SURELY);
  r = lost_row(f, MP_REF_ID(consumer));
  if (r) {
    *number = (uint32_t)r->word;
    (void)write_off(f, r, MP__SURELY);
    mp__store64_rel(&f->told, f->lost);
    mp__store64_rel(&f->excused, f->lost);
  }
  mp__lock_drop(&f->q.get_lock);
  if (r)
    mp__claim_told(f);
  return r != NULL;
}

/* 1: all is finished; *lost: was something lost that no join has told of, or
 * since there were `before`? */
static int is_finished(struct mp__fifo *f, uint64_t before, int *lost,
                       int64_t deadline) {
  int rc = mp__claim_lock(f, deadline);

  if (rc < 0)
    return rc;
  rc = write_all_off(f, deadline);
  if (rc == 0) /* one who was to do that may have died */
    rc = mp__queue_pass(&f->q, deadline);
  if (rc == 0)
    rc = unfinished(f) == 0;
  if (rc > 0) {
    *lost = f->lost != f->told || f->lost != before;
    mp__store64_rel(&f->told, f->lost);
  }
  mp__lock_drop(&f->q.get_lock);
  return rc;
}

/* As mp__queue_sleep. */
static uint32_t join_sleep(struct mp__fifo *f) {
  mp__count_in(&f->join_sleepers);
  return mp__load32_seq(&f->join_seq);
}

int mp_queue_join(mp_ref queue, int64_t deadline) {
  struct mp__fifo *f = fifo_of(queue);
  uint64_t before = mp__load64_rlx(&f->lost);
  struct mp__nap nap = {0};
  int finished = 0;
  int lost = 0;
  int rc = 0;

  while (finished == 0 && rc == 0) {
    uint32_t seq = join_sleep(f);

    finished = is_finished(f, before, &lost, deadline);
    if (finished == 0)
      rc = mp__nap(&nap, &f->join_seq, seq, deadline);
    mp__count_out(&f->join_sleepers);
  }
  if (finished < 0)
    return finished;
  return finished ? lost : rc;
}

int mp__claims_step(struct mp__txn *t, struct mp__fifo *f) {
  uint64_t off = f->rows;

  if (!off)
    return 0;
  mp__set(t, &f->rows, ((struct rows *)mp__at(off))->next);
  mp__free(t, off);
  return 1;
}
