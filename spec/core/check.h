/* check.h -- walks the whole arena and says what is wrong with it.
 *
 * check_arena holds the big lock meanwhile, so it may be called while others
 * live, but not while they are in the middle of a call: between two steps of
 * one the sums need not agree.  What it checks:
 *
 *   blocks    each is in a free list, once, or belongs to one owner
 *   seats     each is taken or in the list of free ones, once
 *   counts    each object's is the sum of ledger entries, messages, parcels,
 *             bells, plans, answers and the family tree
 *   queues    as many records as the words say, up to where they say
 *   vault     as many entries in the socket as the words say, in order
 *   the rest  no transaction half done, no garbage, no lock held
 *
 * Objects that are reached from nobody (a cycle of pipes, or a leak) show up
 * as blocks without an owner.  check_use says how much is in use, to compare.
 */
#ifndef CHECK_H
#define CHECK_H

#include "arena.h"
#include "cell.h"
#include "family.h"
#include "fifo.h"
#include "layout.h"
#include "roster.h"
#include "segment.h"
#include "sys.h"
#include "test.h"

struct check_use {
  uint64_t top;
  unsigned blocks;  /* that are no longer, or not yet, free */
  unsigned seats;   /* taken */
  unsigned entries; /* of all ledgers */
  unsigned fds;     /* in the vault */
};

/* What is found: a name's count so far, a block's owner. */
struct check_seen {
  uint64_t off;      /* of the space behind the block's line, or of a seat */
  uint64_t want[2];  /* how many hold each end */
  const char *owner; /* NULL: none was found yet */
  unsigned queued;   /* 1: its own references have been or will be counted */
};

struct check {
  const char *when;
  struct check_seen *seen; /* sorted by offset */
  size_t n, cap;
  struct check_seen **todo; /* objects whose references are to be counted */
  size_t ntodo;
  struct check_use use;
  unsigned bad;
};

#define CHECK_BAD(c, ...)                                                      \
  do {                                                                         \
    if ((c)->bad++ < 10) {                                                     \
      printf("%s: arena %s: ", test_name, (c)->when);                          \
      printf(__VA_ARGS__);                                                     \
      printf("\n");                                                            \
    }                                                                          \
  } while (0)

typedef unsigned long long check_ull;

static inline void check_add(struct check *c, uint64_t off) {
  if (c->n == c->cap) {
    c->cap = c->cap ? 2 * c->cap : 1024;
    c->seen = realloc(c->seen, c->cap * sizeof *c->seen);
    REQUIRE(c->seen != NULL);
  }
  memset(&c->seen[c->n], 0, sizeof *c->seen);
  c->seen[c->n++].off = off;
}

static inline struct check_seen *check_find(struct check *c, uint64_t off) {
  size_t lo = 0, hi = c->n;

  while (lo < hi) {
    size_t mid = (lo + hi) / 2;

    if (c->seen[mid].off == off)
      return &c->seen[mid];
    if (c->seen[mid].off < off)
      lo = mid + 1;
    else
      hi = mid;
  }
  return NULL;
}

/* The block at `off` belongs to `owner`; 0 if it cannot. */
static inline int check_own(struct check *c, uint64_t off, const char *owner) {
  struct check_seen *b = check_find(c, off);

  if (!b) {
    CHECK_BAD(c, "%s: no block at %llu", owner, (check_ull)off);
    return 0;
  }
  if (b->owner) {
    CHECK_BAD(c, "block %llu: %s, and %s", (check_ull)off, b->owner, owner);
    return 0;
  }
  b->owner = owner;
  c->use.blocks += owner[0] != '-'; /* "- free" */
  return 1;
}

/* Somebody (`who`) holds `name`. */
static inline void check_hold(struct check *c, uint64_t name, const char *who) {
  uint64_t off = name & ~(uint64_t)63;
  struct check_seen *o = check_find(c, off);

  if (!o || name >> MP_REF_BITS || (name & 62)) {
    CHECK_BAD(c, "%s holds %llx: no such object", who, (check_ull)name);
    return;
  }
  o->want[name & 1]++;
  if (o->queued)
    return;
  o->queued = 1;
  c->todo[c->ntodo++] = o;
}

/* Blocks and seats */

static inline void check_list_blocks(struct check *c) {
  struct mp__head *h = MP__HEAD;
  uint64_t seats = MP__SLOTS + (uint64_t)h->max_slots * MP__SLOT_SIZE;
  uint64_t at = (seats + 4095) & ~(uint64_t)4095;
  uint64_t i;

  for (i = 0; i <= h->nslots; i++)
    check_add(c, MP__SLOTS + i * MP__SLOT_SIZE);
  while (at < h->top) {
    const struct check_block *b = mp__at(at);

    if (b->cls >= MP__CLASSES) {
      CHECK_BAD(c, "block %llu: class %llu", (check_ull)at, (check_ull)b->cls);
      return;
    }
    check_add(c, at + 64);
    at += mp__usable(at + 64) + 64;
  }
  if (at != h->top)
    CHECK_BAD(c, "the last block ends at %llu, top is %llu", (check_ull)at,
              (check_ull)h->top);
  if (h->top > h->size)
    CHECK_BAD(c, "top %llu, size %llu", (check_ull)h->top, (check_ull)h->size);
}

static inline void check_free_blocks(struct check *c) {
  struct mp__head *h = MP__HEAD;
  uint64_t retained = 0;
  uint64_t cls, at;

  for (cls = 0; cls < MP__CLASSES; cls++)
    for (at = h->free[cls]; at; at = ((struct check_block *)mp__at(at))->next) {
      const struct check_block *b = mp__at(at);

      if (!check_own(c, at + 64, "- free"))
        break; /* or a ring would keep us for ever */
      if (b->cls != cls)
        CHECK_BAD(c, "free block %llu: class %llu in list %llu", (check_ull)at,
                  (check_ull)b->cls, (check_ull)cls);
      if (mp__usable(at + 64) + 64 >= 256 << 10 && !b->bare)
        retained += mp__usable(at + 64) + 64;
    }
  if (retained != h->retained)
    CHECK_BAD(c, "retained %llu, found %llu", (check_ull)h->retained,
              (check_ull)retained);
}

static inline void check_free_seats(struct check *c) {
  struct mp__head *h = MP__HEAD;
  uint64_t last = 0, at, i;

  for (at = h->free_first; at; at = mp__slot_at(at)->next_free) {
    const struct mp__slot *s = mp__slot_at(at);
    struct check_seen *o = check_find(c, at);

    if (!o || o->owner || at == MP__SLOTS) {
      CHECK_BAD(c, "free seat %llu: none, or free twice", (check_ull)at);
      break;
    }
    o->owner = "- free";
    if ((s->obj.type & 0xff) != MP_TYPE_NONE || s->ledger || s->plan ||
        s->answer || s->obj.refs[0])
      CHECK_BAD(c, "free seat %u is in use", mp__slot_index(s));
    last = at;
  }
  if (last != h->free_last)
    CHECK_BAD(c, "last free seat %llu, found %llu", (check_ull)h->free_last,
              (check_ull)last);
  for (i = 1; i <= h->nslots; i++) {
    const struct mp__slot *s = mp__slot_at(MP__SLOTS + i * MP__SLOT_SIZE);
    struct check_seen *o = check_find(c, mp__off(s));

    if ((s->obj.type & 0xff) == MP_TYPE_NONE && !o->owner)
      CHECK_BAD(c, "seat %llu is neither taken nor free", (check_ull)i);
  }
}

/* What holds what */

static inline void check_ledger(struct check *c, struct mp__slot *s) {
  const uint64_t *e = mp__at(s->ledger);
  uint64_t nfree = 0, chain = 0, i;

  if (!s->ledger)
    return;
  if (!check_own(c, s->ledger, "ledger"))
    return;
  if (s->ledger_len > mp__usable(s->ledger) / 8) {
    CHECK_BAD(c, "seat %u: ledger of %llu entries", mp__slot_index(s),
              (check_ull)s->ledger_len);
    return;
  }
  for (i = 1; i < s->ledger_len; i++)
    if (e[i] & MP__ENTRY_FREE) {
      nfree++;
    } else if (e[i]) {
      check_hold(c, e[i], s->name);
      c->use.entries++;
    } else {
      CHECK_BAD(c, "seat %u: entry %llu is 0", mp__slot_index(s), (check_ull)i);
    }
  if (s->flags & MP__PROC_SWEPT || s->state != MP_RUNNING)
    return;
  for (i = s->ledger_free; i && chain <= nfree; i = e[i] >> 6, chain++)
    if (i >= s->ledger_len || !(e[i] & MP__ENTRY_FREE)) {
      CHECK_BAD(c, "seat %u: entry %llu is not free", mp__slot_index(s),
                (check_ull)i);
      return;
    }
  if (chain != nfree)
    CHECK_BAD(c, "seat %u: %llu free entries, %llu in the list",
              mp__slot_index(s), (check_ull)nfree, (check_ull)chain);
}

static inline void check_children(struct check *c, struct mp__slot *s) {
  uint64_t younger = 0, at;
  unsigned n = 0;

  for (at = s->child; at; at = mp__slot_at(at)->older) {
    const struct mp__slot *k = mp__slot_at(at);

    if (n++ > MP__HEAD->nslots) {
      CHECK_BAD(c, "seat %u: its children are a ring", mp__slot_index(s));
      return;
    }
    if (k->parent != mp__off(s) || k->younger != younger)
      CHECK_BAD(c, "seat %u: child %u is linked badly", mp__slot_index(s),
                mp__slot_index(k));
    check_hold(c, at, "a parent");
    younger = at;
  }
}

static inline uint64_t check_blocks(struct check *c, struct mp__slot *s) {
  uint64_t prev = 0, n = 0, at;

  for (at = s->blocks; at; at = ((struct mp__block *)mp__at(at))->next) {
    const struct mp__block *b = mp__at(at);

    if (n++ > MP__HEAD->named) {
      CHECK_BAD(c, "seat %u: its blocks are a ring", mp__slot_index(s));
      break;
    }
    if (b->owner != mp__off(s) || b->prev != prev)
      CHECK_BAD(c, "seat %u: block %s is linked badly", mp__slot_index(s),
                b->name);
    check_hold(c, at | 1, "a creator");
    prev = at;
  }
  return n;
}

static inline void check_sleepers(struct check *c, const uint32_t *count,
                                  const char *what) {
  uint32_t n = 0;
  uint64_t i;

  for (i = 1; i <= MP__HEAD->nslots; i++) {
    struct mp__slot *s = mp__slot_at(MP__SLOTS + i * MP__SLOT_SIZE);

    if ((s->obj.type & 0xff) == MP_TYPE_PROC && !(s->flags & MP__PROC_SWEPT) &&
        s->waiting == mp__off(count))
      n++;
  }
  /* A kill between counting oneself and noting where leaves one too many,
   * which costs a wake now and then; one too few would be a lost wake. */
  if (mp__load32_seq(count) < n)
    CHECK_BAD(c, "%s: %u are counted, %u sleep", what, *count, n);
}

static inline void check_segments(struct check *c, const struct mp__queue *q) {
  uint64_t seg;

  for (seg = q->get_seg; seg; seg = ((struct mp__segment *)mp__at(seg))->next)
    if (!check_own(c, seg, "segment"))
      return;
    else if (seg == q->put_seg)
      break;
  if (seg && ((struct mp__segment *)mp__at(seg))->next)
    CHECK_BAD(c, "a segment behind the last one");
  if (seg != q->put_seg)
    CHECK_BAD(c, "the producers' segment is not in the chain");
}

/* The records from `get` to `put`. */
static inline void check_records(struct check *c, const struct mp__queue *q) {
  uint64_t pos = q->get & 0xffffffffu, seg = q->get_seg, bytes = 0, name;
  uint32_t left = mp__queue_len(q);

  for (;;) {
    const struct mp__segment *s = mp__at(seg);
    const struct mp__record *r = mp__at(seg + sizeof *s + pos * 8);
    uint32_t kind = r->kind & ~(uint32_t)MP__VOID;

    if (seg == q->put_seg && pos == (q->put & 0xffffffffu))
      break;
    if (pos * 8 + sizeof *r > s->len || kind > MP__NEXT ||
        (kind != MP__NEXT && left-- == 0)) {
      CHECK_BAD(c, "queue: a bad record at %llu of segment %llu",
                (check_ull)pos, (check_ull)seg);
      return;
    }
    if (kind == MP__NEXT) {
      seg = s->next;
      pos = 0;
      if (!seg)
        break;
      continue;
    }
    if (kind == MP__PARCEL) {
      memcpy(&name, r + 1, sizeof name);
      check_hold(c, name, "a message");
      bytes += ((struct mp__parcel *)mp__at(name))->len;
    }
    pos += 1 + (r->len + 7) / 8;
  }
  if (left != 0 || !seg)
    CHECK_BAD(c, "queue: %u records too few", left);
  if (bytes != q->long_put - q->long_got)
    CHECK_BAD(c, "queue: %llu bytes of parcels, counted %llu", (check_ull)bytes,
              (check_ull)(q->long_put - q->long_got));
}

static inline void check_lock(struct check *c, const struct mp__lock *l,
                              const char *what) {
  uint32_t word = mp__load32_rlx(&l->word);
  const struct mp__slot *s =
      mp__slot_at(MP__SLOTS + (uint64_t)(word & 0xffff) * MP__SLOT_SIZE);

  /* One that a dead member holds is taken over by the next taker. */
  if (word == 0 || (s->gen & 0x7fff) != (word >> 16 & 0x7fff) ||
      s->life.life & MP__LIFE_DIED)
    return;
  CHECK_BAD(c, "the %s lock is held by seat %u", what, word & 0xffff);
}

static inline void check_queue(struct check *c, const struct mp__queue *q) {
  if (q->get_seg == 0) /* the missing half of a simplex pipe */
    return;
  check_lock(c, &q->put_lock, "put");
  check_lock(c, &q->get_lock, "get");
  check_segments(c, q);
  if (q->spare)
    (void)check_own(c, q->spare, "spare segment");
  check_records(c, q);
  check_sleepers(c, &q->item_sleepers, "sleepers for an item");
  check_sleepers(c, &q->room_sleepers, "sleepers for room");
  if (q->bell.fd)
    check_hold(c, q->bell.fd, "a queue's bell");
}

static inline void check_fifo(struct check *c, const struct mp__fifo *f) {
  uint64_t rows;

  check_queue(c, &f->q);
  if ((f->obj.type & 0xff) != MP_TYPE_JOINABLE)
    return;
  for (rows = f->rows; rows; rows = *(uint64_t *)mp__at(rows))
    if (!check_own(c, rows, "claims"))
      return;
  check_sleepers(c, &f->join_sleepers, "sleepers for the end");
  if (f->excused > f->lost || f->told > f->lost)
    CHECK_BAD(c, "queue: lost %llu, told %llu, excused %llu",
              (check_ull)f->lost, (check_ull)f->told, (check_ull)f->excused);
}

static inline void check_roster(struct check *c, const struct mp__roster *r) {
  const struct mp__roster *part;
  uint64_t at;

  for (at = r->more; at; at = part->more) {
    part = mp__at(at);
    if (!check_own(c, at, "roster"))
      return;
    if (mp__usable(at) <
        sizeof *r + (part->len - MP__ROSTER_FIRST) * sizeof(struct mp__row))
      CHECK_BAD(c, "roster: %llu rows in a part", (check_ull)part->len);
  }
}

static inline void check_sem(struct check *c, const struct check_sem *s) {
  struct mp__walk w = MP__WALK((struct mp__roster *)(uintptr_t)&s->holders);
  const struct mp__row *row;
  uint64_t taken = 0;

  check_lock(c, &s->lock, "semaphore's");
  check_sleepers(c, &s->sleepers, "sleepers for a permit");
  check_roster(c, &s->holders);
  while ((row = mp__walk(&w)))
    if (row->value && !mp__member_dead(row->who))
      taken += row->value;
  /* A death may have left the copy too low. */
  if (!(s->value >> 63) && s->lock.word == 0 && taken + s->value > s->initial)
    CHECK_BAD(c, "semaphore: %llu of %llu taken, %llu left", (check_ull)taken,
              (check_ull)s->initial, (check_ull)s->value);
}

static inline void check_cond(struct check *c, const struct check_cond *d) {
  check_lock(c, &d->lock, "condition's");
  check_roster(c, &d->waiters);
  check_hold(c, d->mutex, "a condition");
}

static inline void check_barrier(struct check *c,
                                 const struct check_barrier *b) {
  check_lock(c, &b->lock, "barrier's");
  check_sleepers(c, &b->sleepers, "sleepers at a barrier");
  check_roster(c, &b->waiting);
  if (b->action)
    check_hold(c, b->action, "a barrier");
}

static inline void check_refs_of(struct check *c, const struct check_seen *o) {
  struct mp__obj *obj = mp__at(o->off);
  const struct mp__parcel *p = mp__at(o->off);
  const struct check_pipe *pipe = mp__at(o->off);
  const struct mp__fifo *fifo = mp__at(o->off);
  const struct mp__cell *cell = mp__at(o->off);
  uint64_t i;

  if (obj->bell.fd)
    check_hold(c, obj->bell.fd, "a bell");
  switch (obj->type & 0xff) {
  case MP_TYPE_PROC: /* all seats are looked at anyway */
    break;
  case MP_TYPE_PIPE:
    if (check_own(c, o->off, "pipe")) {
      check_queue(c, &pipe->q[0]);
      check_queue(c, &pipe->q[1]);
    }
    break;
  case MP_TYPE_QUEUE:
  case MP_TYPE_JOINABLE:
  case MP_TYPE_SIMPLE:
    if (check_own(c, o->off, "queue"))
      check_fifo(c, fifo);
    break;
  case MP_TYPE_PARCEL:
    if (check_own(c, o->off, "parcel"))
      for (i = 0; i < p->nrefs; i++)
        check_hold(c, p->refs[i], "a parcel");
    break;
  case MP_TYPE_SEM:
  case MP_TYPE_BOUNDED:
    if (check_own(c, o->off, "semaphore"))
      check_sem(c, mp__at(o->off));
    break;
  case MP_TYPE_COND:
    if (check_own(c, o->off, "condition"))
      check_cond(c, mp__at(o->off));
    break;
  case MP_TYPE_BARRIER:
    if (check_own(c, o->off, "barrier"))
      check_barrier(c, mp__at(o->off));
    break;
  case MP_TYPE_FD:
    (void)check_own(c, o->off, "descriptor");
    break;
  case MP_TYPE_BLOCK:
    (void)check_own(c, o->off, "block");
    if (((struct mp__block *)mp__at(o->off))->fd)
      check_hold(c, ((struct mp__block *)mp__at(o->off))->fd, "a block");
    break;
  case MP_TYPE_LOCK:
  case MP_TYPE_RLOCK:
    (void)check_own(c, o->off, "lock");
    break;
  case MP_TYPE_EVENT:
    (void)check_own(c, o->off, "event");
    break;
  case MP_TYPE_VALUE:
  case MP_TYPE_ARRAY:
    if (check_own(c, o->off, "cell") && cell->lock)
      check_hold(c, cell->lock, "a cell");
    break;
  default:
    CHECK_BAD(c, "object %llu: type %llu", (check_ull)o->off,
              (check_ull)(obj->type & 0xff));
  }
}

static inline void check_seats(struct check *c) {
  uint64_t named = 0, i;

  for (i = 1; i <= MP__HEAD->nslots; i++) {
    struct mp__slot *s = mp__slot_at(MP__SLOTS + i * MP__SLOT_SIZE);

    if ((s->obj.type & 0xff) != MP_TYPE_PROC)
      continue;
    c->use.seats++;
    check_ledger(c, s);
    check_children(c, s);
    named += check_blocks(c, s);
    if (s->plan)
      check_hold(c, s->plan, "a plan");
    if (s->answer)
      check_hold(c, s->answer, "an answer");
  }
  if (named != MP__HEAD->named)
    CHECK_BAD(c, "%llu named blocks, counted %llu", (check_ull)named,
              (check_ull)MP__HEAD->named);
}

static inline void check_counts(struct check *c) {
  size_t i;
  int end;

  for (i = 0; i < c->n; i++) {
    const struct check_seen *o = &c->seen[i];
    const struct mp__obj *obj = mp__at(o->off);
    int seat = i <= MP__HEAD->nslots;

    if (!seat && !o->owner)
      CHECK_BAD(c, "block %llu (%llu bytes, type %llu) is nobody's",
                (check_ull)o->off, (check_ull)mp__usable(o->off),
                (check_ull)(obj->type & 0xff));
    if (seat ? i == 0 || (obj->type & 0xff) != MP_TYPE_PROC : !o->queued)
      continue;
    for (end = 0; end < 2; end++)
      if (obj->refs[end] != o->want[end])
        CHECK_BAD(c, "%s %llu, end %d: counts %llu holders, has %llu",
                  seat       ? "seat"
                  : o->owner ? o->owner
                             : "object",
                  seat ? (check_ull)i : (check_ull)o->off, end,
                  (check_ull)obj->refs[end], (check_ull)o->want[end]);
  }
}

static inline void check_vault(struct check *c) {
  struct mp__head *h = MP__HEAD;
  uint64_t at, prev = 0, seq = 0;
  int queued = mp__sys_queued(mp__here.vault[1]);

  for (at = h->vault_first; at; at = ((struct mp__fd *)mp__at(at))->next) {
    const struct mp__fd *f = mp__at(at);
    const struct check_seen *o = check_find(c, at);

    if (!o || !o->queued || (f->obj.type & 0xff) != MP_TYPE_FD) {
      CHECK_BAD(c, "vault: %llu is no descriptor", (check_ull)at);
      return;
    }
    if (f->prev != prev || f->seq < h->vault_head || f->seq >= h->vault_tail ||
        (prev && f->seq <= seq))
      CHECK_BAD(c, "vault: %llu is out of order", (check_ull)at);
    seq = f->seq;
    prev = at;
    c->use.fds++;
  }
  if (prev != h->vault_last)
    CHECK_BAD(c, "vault: the list ends badly");
  if (queued < 0 || (uint64_t)queued != h->vault_tail - h->vault_head)
    CHECK_BAD(c, "vault: %d entries, counted %llu", queued,
              (check_ull)(h->vault_tail - h->vault_head));
  if (h->vault_op)
    CHECK_BAD(c, "vault: in the middle of %llu", (check_ull)h->vault_op);
}

/* Whoever is dead is let go of, by the kernel's word too: one that died before
 * it was born has left no other trace. */
static inline void check_sweep(void) {
  uint64_t i;

  for (i = 1; i <= MP__HEAD->nslots; i++) {
    struct mp__slot *s = mp__slot_at(MP__SLOTS + i * MP__SLOT_SIZE);

    if ((s->obj.type & 0xff) == MP_TYPE_PROC && s != mp__me())
      (void)mp__slot_verify(s);
  }
  while (mp__scan() > 0)
    ;
  mp__collect();
}

/* Check everything; 1 when all is well.  `use` may be NULL. */
static inline int check_arena(const char *when, struct check_use *use) {
  struct mp__head *h = MP__HEAD;
  struct check c;
  struct mp__txn t;

  memset(&c, 0, sizeof c);
  c.when = when;
  check_sweep();
  mp__begin(&t);
  if (h->njournal)
    CHECK_BAD(&c, "a transaction is half done");
  if (h->garbage)
    CHECK_BAD(&c, "garbage is left");
  c.use.top = h->top;
  check_list_blocks(&c);
  c.todo = calloc(c.n + 1, sizeof(struct check_seen *));
  REQUIRE(c.todo != NULL);
  if (!c.bad) {
    check_free_blocks(&c);
    check_free_seats(&c);
    check_seats(&c);
    while (c.ntodo > 0)
      check_refs_of(&c, c.todo[--c.ntodo]);
    check_counts(&c);
    check_vault(&c);
    check_sleepers(&c, &h->spinning, "pollers");
  }
  mp__abort(&t);
  free(c.seen);
  free(c.todo);
  if (use)
    *use = c.use;
  if (c.bad)
    test_failures++;
  return c.bad == 0;
}

static inline void check_dump_seats(void) {
  uint64_t i;

  for (i = 1; i <= MP__HEAD->nslots; i++) {
    const struct mp__slot *s = mp__slot_at(MP__SLOTS + i * MP__SLOT_SIZE);

    if ((s->obj.type & 0xff) == MP_TYPE_PROC)
      printf("  seat %llu: %s, state %d, flags %x, pid %u, life %x, method %u, "
             "held by %llu, parent %llx, %llu entries\n",
             (check_ull)i, s->name, (int)s->state, (unsigned)s->flags, s->pid,
             s->life.life, s->method, (check_ull)s->obj.refs[0],
             (check_ull)s->parent, (check_ull)s->ledger_len);
  }
}

/* Waits for threads that are over for the family but not for themselves. */
static void (*check_before_leave)(void);

/* As little in use as before; the free blocks may be more. */
static inline int check_same(const char *when, const struct check_use *was) {
  struct check_use now;

  if (check_before_leave)
    check_before_leave();
  if (!check_arena(when, &now))
    return 0;
  if (now.blocks == was->blocks && now.seats == was->seats &&
      now.entries == was->entries && now.fds == was->fds)
    return 1;
  printf("%s: arena %s: blocks %u, was %u; seats %u, was %u; "
         "entries %u, was %u; descriptors %u, was %u\n",
         test_name, when, now.blocks, was->blocks, now.seats, was->seats,
         now.entries, was->entries, now.fds, was->fds);
  check_dump_seats();
  test_failures++;
  return 0;
}

/* The last member leaves, so that the next test founds a family of its own
 * and the descriptors are closed. */
static inline void check_leave(void) {
  mp__life_unlink(mp__me());
  mp__arena_forget();
}

#endif
