/* ref.c -- owns who holds what: ledgers, reference counts, garbage.
 *
 * A member's ledger is an array of names in the arena, one entry for each
 * thing it holds; a hold's number is its index.  Entry 0 is never used.  An
 * object counts its holders: ledger entries, and the parcels that name it.
 * Count and entry change in one transaction, so after a death the sum is
 * still right, and the sweep (family.c) lets go of what the dead held.
 *
 * An object whose counts are all zero is put on the garbage list in the
 * transaction that made it so.  Whoever is next takes it apart, one step a
 * transaction, and may die at any of them.
 */
#include "mp.h"

#include "bare.h"
#include "cell.h"
#include "family.h"
#include "fault.h"
#include "fifo.h"
#include "sys.h"

#include <errno.h>
#include <string.h>

#define TAG 63u
#define COPY_STEP 16 /* words: the journal is searched for each */

static struct mp__obj *obj_of(uint64_t name) {
  return mp__at(name & ~(uint64_t)TAG);
}

static uint64_t *count_of(uint64_t name) {
  return &obj_of(name)->refs[name & 1];
}

void mp__ref(struct mp__txn *t, uint64_t name) {
  uint64_t *n = count_of(name);

  mp__set(t, n, mp__peek(t, n) + 1);
}

void mp__unref(struct mp__txn *t, uint64_t name) {
  struct mp__head *h = MP__HEAD;
  struct mp__obj *o = obj_of(name);
  uint64_t *n = count_of(name);
  uint64_t left = mp__peek(t, n) - 1;

  mp__set(t, n, left);
  if (left > 0)
    return;
  if (t->ngone < MP__GONE_MAX)
    t->gone[t->ngone++] = name;
  if (mp__peek(t, &o->refs[!(name & 1)]) == 0) {
    mp__set(t, &o->gnext, mp__peek(t, &h->garbage));
    mp__set(t, &h->garbage, mp__off(o));
  }
}

int mp__obj_new(struct mp__txn *t, enum mp_type type, uint64_t len,
                uint64_t *off) {
  struct mp__head *h = MP__HEAD;
  struct mp__obj *o;
  uint64_t serial;
  int rc = mp__alloc(t, len, off);

  if (rc < 0)
    return rc;
  /* The block is in nobody's reach: plain stores will do. */
  o = mp__at(*off);
  memset(o, 0, len < 4096 ? len : sizeof *o);
  serial = mp__peek(t, &h->serial) + 1;
  mp__set(t, &h->serial, serial);
  o->type = (uint64_t)type | serial << 8;
  return 0;
}

int mp__obj_open(struct mp__txn *t, enum mp_type type, uint64_t len,
                 mp_ref *held) {
  mp__begin(t);
  return mp__obj_fill(t, type, len, held);
}

int mp__obj_fill(struct mp__txn *t, enum mp_type type, uint64_t len,
                 mp_ref *held) {
  uint64_t off;
  int rc = mp__obj_new(t, type, len, &off);

  *held = MP_REF_EMPTY;
  if (rc == 0)
    rc = mp__hold(t, mp__me(), off, held);
  if (rc < 0) {
    mp__abort(t);
    *held = MP_REF_EMPTY;
    return rc;
  }
  ((struct mp__obj *)mp__at(off))->refs[0] = 1;
  return 0;
}

/* The ledger */

static int is_pipe(uint64_t name) {
  return (mp__load64_rlx(&obj_of(name)->type) & 0xff) == MP_TYPE_PIPE;
}

/* One that leaves must look for its ends of pipes (mp__leave_pipes). */
static void note_pipe(struct mp__txn *t, struct mp__slot *who) {
  uint64_t flags = mp__peek(t, &who->flags);

  if (!(flags & MP__PROC_PIPED))
    mp__set(t, &who->flags, flags | MP__PROC_PIPED);
}

static uint64_t *entry(struct mp__txn *t, struct mp__slot *s, uint64_t i) {
  return mp__at(mp__peek(t, &s->ledger) + i * sizeof(uint64_t));
}

uint64_t *mp__ledger(const struct mp__slot *s) {
  mp__whole(s->ledger, s->ledger_len > MP__ENTRIES_MAX
                           ? UINT64_MAX
                           : s->ledger_len * sizeof(uint64_t));
  return mp__at(s->ledger);
}

static int ledger_grow(struct mp__txn *t, struct mp__slot *s) {
  uint64_t old = mp__peek(t, &s->ledger);
  uint64_t len = mp__peek(t, &s->ledger_len);
  uint64_t cap = old ? mp__usable(old) / sizeof(uint64_t) : 0;
  uint64_t off;
  uint64_t i;
  int rc;

  if (len < cap && len > 0)
    return 0;
  if (old && len > cap)
    mp__sys_damaged("a ledger is longer than its block");
  rc = mp__alloc(
      t, old ? cap * 2 * sizeof(uint64_t) : MP__ENTRY_MIN * sizeof(uint64_t),
      &off);
  if (rc < 0)
    return rc;
  if (old) {
    memcpy(mp__at(off), mp__at(old), len * sizeof(uint64_t));
    /* What this very transaction has set is not in memory yet. */
    for (i = 0; i < len; i++)
      ((uint64_t *)mp__at(off))[i] = mp__peek(t, (uint64_t *)mp__at(old) + i);
    mp__free(t, old);
  } else {
    *(uint64_t *)mp__at(off) = 0;
    mp__set(t, &s->ledger_len, 1);
  }
  mp__set(t, &s->ledger, off);
  return 0;
}

int mp__hold(struct mp__txn *t, struct mp__slot *who, uint64_t name,
             mp_ref *held) {
  uint64_t i = mp__peek(t, &who->ledger_free);
  uint64_t *e;
  int rc;

  name = MP_REF_ID(name);
  if (i) {
    e = entry(t, who, i);
    mp__set(t, &who->ledger_free, mp__peek(t, e) >> 6);
  } else {
    rc = ledger_grow(t, who);
    if (rc < 0)
      return rc;
    i = mp__peek(t, &who->ledger_len);
    if (i > MP__ENTRIES_MAX)
      return -ENOMEM;
    e = entry(t, who, i);
    mp__set(t, &who->ledger_len, i + 1);
  }
  mp__set(t, e, name);
  if (is_pipe(name))
    note_pipe(t, who);
  *held = name | i << MP_REF_BITS;
  return 0;
}

/* Give the entry back; the count is the caller's business. */
static void ledger_drop(struct mp__txn *t, struct mp__slot *who, mp_ref held) {
  uint64_t i = held >> MP_REF_BITS;

  mp__set(t, entry(t, who, i),
          mp__peek(t, &who->ledger_free) << 6 | MP__ENTRY_FREE);
  mp__set(t, &who->ledger_free, i);
}

void mp__let(struct mp__txn *t, struct mp__slot *who, mp_ref held) {
  ledger_drop(t, who, held);
  mp__unref(t, MP_REF_ID(held));
}

void mp__pass(struct mp__txn *t, struct mp__slot *who, mp_ref held) {
  ledger_drop(t, who, held);
}

/* A forked child holds what its parent held, under the same numbers.  In
 * several transactions, under one hold of the big lock: a child whose parent
 * dies here is swept with it. */
int mp__ledger_copy(struct mp__txn *t, struct mp__slot *from,
                    struct mp__slot *to) {
  uint64_t len = from->ledger_len;
  uint64_t *src = mp__ledger(from);
  uint64_t *dst;
  uint64_t off;
  uint64_t i;
  int rc;

  rc = mp__alloc(t, mp__usable(from->ledger), &off);
  if (rc < 0)
    return rc;
  dst = mp__at(off);
  for (i = 1; i < len; i++)
    dst[i] = MP__ENTRY_FREE; /* skipped by a sweep */
  mp__set(t, &to->ledger, off);
  mp__set(t, &to->ledger_len, len);
  mp__commit(t);
  for (i = 1; i < len; i++) {
    if (!(src[i] & MP__ENTRY_FREE)) {
      mp__ref(t, src[i]);
      if (is_pipe(src[i]))
        note_pipe(t, to);
    }
    mp__set(t, &dst[i], src[i]);
    if (t->n >= COPY_STEP)
      mp__commit(t);
  }
  mp__set(t, &to->ledger_free, from->ledger_free);
  mp__commit(t);
  return 0;
}

/* The first entry from the i-th on that names an end of a pipe; 0: none. */
static uint64_t next_pipe(struct mp__slot *s, uint64_t i) {
  const uint64_t *e = mp__ledger(s);

  for (; i < s->ledger_len; i++)
    if (e[i] && !(e[i] & MP__ENTRY_FREE) && is_pipe(e[i]))
      return i;
  return 0;
}

uint64_t mp__ledger_next(uint64_t *at) {
  struct mp__slot *me = mp__me();
  const uint64_t *e = me->ledger ? mp__at(me->ledger) : NULL;

  while (e && ++*at < me->ledger_len)
    if (e[*at] && !(e[*at] & MP__ENTRY_FREE))
      return e[*at];
  return 0;
}

/* The caller is about to leave: those who wait at the other ends of its pipes
 * shall know it from itself, not only when somebody notices its end. */
MP__NEAR void mp__leave_pipes(struct mp__slot *me) {
  struct mp__txn t;
  uint64_t i = 1;

  if (!(mp__load64_rlx(&me->flags) & MP__PROC_PIPED))
    return;
  for (;;) {
    mp__begin(&t);
    i = next_pipe(me, i);
    if (!i)
      break;
    mp__let(&t, me, *entry(&t, me, i) | i << MP_REF_BITS);
    mp__end(&t);
  }
  mp__abort(&t);
  mp__collect();
}

/* The public face */

int mp_ref_dup(mp_ref name, mp_ref *held) {
  struct mp__txn t;
  int rc;

  *held = MP_REF_EMPTY;
  name = MP_REF_ID(name);
  mp__begin(&t);
  rc = mp__hold(&t, mp__me(), name, held);
  if (rc < 0) {
    mp__abort(&t);
    *held = MP_REF_EMPTY;
    return rc;
  }
  mp__ref(&t, name);
  mp__end(&t);
  return 0;
}

int mp_ref_adopt(mp_ref name, uint64_t serial, mp_ref *held) {
  struct mp__obj *o = obj_of(MP_REF_ID(name));
  struct mp__txn t;
  int rc = -MP_ESTALE;

  *held = MP_REF_EMPTY;
  mp__begin(&t);
  if (o->type == serial && *count_of(MP_REF_ID(name)) > 0)
    rc = mp__hold(&t, mp__me(), name, held);
  if (rc < 0) {
    mp__abort(&t);
    *held = MP_REF_EMPTY;
    return rc;
  }
  mp__ref(&t, MP_REF_ID(name));
  mp__end(&t);
  return 0;
}

uint64_t mp_ref_serial(mp_ref name) {
  return obj_of(MP_REF_ID(name))->type;
}

/* What this thread has closed while a stopped process had the big lock: still
 * in the ledger, until a later look (mp__close_late).  The thread's end, or a
 * fork, leaves them to the sweep of the seat they belong to. */
#define LATE_MAX 128
static _Thread_local struct {
  struct mp__slot *me;
  uint64_t serial; /* of that life of the seat */
  unsigned n;
  mp_ref ref[LATE_MAX];
} late;

static int let_one(mp_ref ref, int64_t deadline) {
  struct mp__txn t;
  int rc = mp__begin_by(&t, deadline);

  if (rc < 0)
    return rc;
  mp__let(&t, mp__me(), ref);
  mp__end(&t);
  return 0;
}

/* In another member, or another life, they are not ours. */
static void know_self(void) {
  struct mp__slot *me = mp__me();

  if (late.me == me && late.serial == me->obj.type)
    return;
  late.me = me;
  late.serial = me->obj.type;
  late.n = 0;
}

void mp__close_late(void) {
  mp__bell_late();
  if (late.n == 0)
    return;
  know_self();
  while (late.n > 0 && let_one(late.ref[late.n - 1], MP_NOW) == 0)
    late.n--;
}

void mp_ref_close(mp_ref *held) {
  mp_ref ref = *held;

  *held = MP_REF_EMPTY;
  if (!(ref >> MP_REF_BITS) || !mp__here.base)
    return;
  if (let_one(ref, MP_NOW) < 0) {
    know_self();
    if (late.n < LATE_MAX)
      late.ref[late.n++] = ref;
    else
      (void)let_one(ref, MP__SURELY);
    return;
  }
  mp__close_late();
  mp__collect();
}

enum mp_type mp_ref_type(mp_ref ref) {
  return (enum mp_type)(obj_of(MP_REF_ID(ref))->type & 0xff);
}

/* An end of a pipe, a process, ... has lost its last holder: whoever waits
 * for it to act must look again. */
void mp__gone(uint64_t name) {
  if ((mp__load64_rlx(&obj_of(name)->type) & 0xff) == MP_TYPE_PIPE)
    mp__pipe_gone(name);
}

/* Garbage */

static void unlist(struct mp__txn *t, struct mp__obj *o) {
  mp__set(t, &MP__HEAD->garbage, mp__peek(t, &o->gnext));
  mp__set(t, &o->gnext, 0);
  mp__set(t, &o->type, MP_TYPE_NONE);
}

void mp__drop_word(struct mp__txn *t, uint64_t *word) {
  uint64_t name = mp__peek(t, word);

  mp__set(t, word, 0);
  mp__unref(t, name);
}

static int parcel_step(struct mp__txn *t, struct mp__parcel *p) {
  uint64_t n = p->nrefs;

  if (n == 0)
    return 0;
  mp__parcel_check(p);
  mp__set(t, &p->nrefs, n - 1);
  mp__unref(t, p->refs[n - 1]);
  return 1;
}

static int slot_step(struct mp__txn *t, struct mp__slot *s) {
  struct mp__head *h = MP__HEAD;

  if (s->plan)
    mp__drop_word(t, &s->plan);
  else if (s->answer)
    mp__drop_word(t, &s->answer);
  else if (mp__ledger_step(t, s)) /* its own end was never swept */
    return 1;
  else {
    if (s->ledger)
      mp__free(t, s->ledger);
    mp__set(t, &s->ledger, 0);
    mp__set(t, &s->gen, s->gen + 1);
    mp__set(t, &s->next_free, 0);
    if (h->free_last)
      mp__set(t, &((struct mp__slot *)mp__at(h->free_last))->next_free,
              mp__off(s));
    else
      mp__set(t, &h->free_first, mp__off(s));
    mp__set(t, &h->free_last, mp__off(s));
    return 0;
  }
  return 1;
}

/* One step of taking the object apart; 0: it can be forgotten. */
static int step(struct mp__txn *t, struct mp__obj *o) {
  switch (o->type & 0xff) {
  case MP_TYPE_PARCEL:
    return parcel_step(t, (struct mp__parcel *)(void *)o);
  case MP_TYPE_PROC:
    return slot_step(t, (struct mp__slot *)(void *)o);
  case MP_TYPE_PIPE:
    return mp__pipe_step(t, mp__off(o));
  case MP_TYPE_QUEUE:
  case MP_TYPE_JOINABLE:
  case MP_TYPE_SIMPLE:
    return mp__fifo_step(t, mp__off(o));
  case MP_TYPE_BLOCK:
    return mp__block_step(t, (struct mp__block *)(void *)o);
  case MP_TYPE_VALUE:
  case MP_TYPE_ARRAY:
    return mp__cell_step(t, mp__off(o));
  case MP_TYPE_SEM:
  case MP_TYPE_BOUNDED:
    return mp__sem_step(t, mp__off(o));
  case MP_TYPE_COND:
    return mp__cond_step(t, mp__off(o));
  case MP_TYPE_BARRIER:
    return mp__barrier_step(t, mp__off(o));
  default:
    return 0;
  }
}

void mp__collect(void) {
  struct mp__txn t;
  struct mp__obj *o;
  uint64_t steps = 0;
  uint64_t serial = 0;
  int tidy = 0;

  while (mp__load64_rlx(&MP__HEAD->garbage)) {
    /* A stopped process has the lock: whoever collects next does this. */
    if (mp__begin_by(&t, MP_NOW) < 0)
      break;
    /* There is new garbage for as long as others make objects. */
    if (serial != MP__HEAD->serial) {
      serial = MP__HEAD->serial;
      steps = 0;
    }
    mp__turn(&steps);
    if (MP__HEAD->garbage == 0) {
      mp__abort(&t);
      break;
    }
    o = mp__at(MP__HEAD->garbage);
    if (o->bell.fd) {
      mp__drop_word(&t, &o->bell.fd);
    } else if (!step(&t, o)) {
      if ((o->type & 0xff) == MP_TYPE_FD) {
        tidy |= ((struct mp__fd *)(void *)o)->label != 0;
        mp__vault_drop(&t, mp__off(o));
      }
      if ((o->type & 0xff) != MP_TYPE_PROC)
        mp__free(&t, mp__off(o));
      unlist(&t, o);
    }
    mp__end(&t);
    MP_FAULT("collect.step");
  }
  if (tidy)
    mp__vault_tidy();
}
