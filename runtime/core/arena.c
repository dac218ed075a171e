/* arena.c -- owns the mapping, the journal and the blocks.
 *
 * A block is a line of 64 bytes (struct block) and the space behind it.  Its
 * size is one of the classes, four to each doubling, and never changes; free
 * blocks of a class form a list.  The large ones give their pages back to the
 * kernel when they are freed, but for as much of them as is retained, and
 * are backed again, or refused, when they are handed out: touching memory that
 * the kernel cannot supply would be a SIGBUS.
 */
#include "mp.h"

#include "arena.h"
#include "family.h"
#include "fault.h"
#include "sys.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define LINE 64
/* The smallest block, its line included: steps of a quarter keep all of them
 * multiples of a line. */
#define SMALLEST 256
#define SMALLEST_LOG2 8
#define LARGE (256u << 10) /* from here on pages go back to the kernel */
#define RETAIN_MIN ((uint64_t)64 << 20)
#define RETAIN_MAX ((uint64_t)256 << 20)
#define GROW (256u << 10)
#define WINDOW_MAX ((uint64_t)64 << 30)
#define WINDOW_MIN ((uint64_t)32 << 20)
#define SEAT_TURNS 8 /* a seat is taken apart in fewer steps */

struct block {
  uint64_t cls;  /* size class; never changes */
  uint64_t next; /* next free block of the class; big */
  uint64_t bare; /* 1: free and without pages; big */
  uint64_t pad[5];
};

struct mp__self mp__nobody;
struct mp__here mp__here = {
    .memfd = -1, .vault = {-1, -1}, .generation = 1, .self = &mp__nobody};

/* Sizes of class 4k .. 4k+3: 256, 320, 384, 448 times 2^k. */
static uint64_t class_size(uint64_t cls) {
  return (uint64_t)(SMALLEST + (cls & 3) * (SMALLEST / 4)) << (cls >> 2);
}

static uint64_t class_for(uint64_t len) {
  uint64_t k;
  uint64_t cls;

  if (len <= SMALLEST)
    return 0;
  k = 63 - (uint64_t)__builtin_clzll(len) - SMALLEST_LOG2;
  cls = 4 * k;
  while (class_size(cls) < len)
    cls++;
  return cls;
}

/* Of the window alone, which no stray write changes. */
static uint32_t seats(void) {
  return mp__here.window >= (uint64_t)1 << 30 ? 65535 : 8192;
}

static uint64_t blocks_from(void) {
  uint64_t end = MP__SLOTS + (uint64_t)seats() * MP__SLOT_SIZE;

  return (end + 4095) & ~(uint64_t)4095;
}

/* Further than was known: the memory has grown, or the offset is none. */
void *mp__reach(uint64_t off) {
  struct mp__file f = {0};
  uint64_t size = MP__HEAD->size;
  uint64_t from = blocks_from();

  /* Of the descriptor, unless a host has put its own in its place. */
  if (mp__sys_file(mp__here.memfd, &f) == 0 && f.ino == mp__here.memfd_ino)
    size = f.size;
  if (size > mp__here.window)
    size = mp__here.window;
  if (off & 7 || size < MP__TAIL || off > size - MP__TAIL)
    mp__sys_damaged("an offset leads out of it");
  mp__store64_rlx(&mp__here.turns, seats() * SEAT_TURNS +
                                       (size > from ? (size - from) >> 3 : 0));
  mp__store64_rlx(&mp__here.reach, (size - MP__TAIL) >> 3);
  return mp__here.base + off;
}

/* The journal */

static void clear(struct mp__txn *t) {
  t->n = 0;
  t->ngone = 0;
  t->bare = 0;
}

void mp__begin(struct mp__txn *t) {
  clear(t);
  (void)mp__lock_take(&MP__HEAD->big);
}

int mp__begin_by(struct mp__txn *t, int64_t deadline) {
  int rc = mp__lock_by(&MP__HEAD->big, deadline);

  clear(t);
  return rc < 0 ? rc : 0;
}

uint64_t mp__peek(struct mp__txn *t, const uint64_t *word) {
  struct mp__head *h = MP__HEAD;
  uint64_t off = mp__off(word);
  unsigned i;

  for (i = t->n; i-- > 0;)
    if (h->journal[2 * i] == off)
      return h->journal[2 * i + 1];
  return *word;
}

void mp__set(struct mp__txn *t, uint64_t *word, uint64_t value) {
  struct mp__head *h = MP__HEAD;

  if (t->n == MP__TXN_MAX) /* no transaction is that long */
    mp__sys_damaged("a transaction has no end");
  h->journal[2 * t->n] = mp__off(word);
  h->journal[2 * t->n + 1] = value;
  t->n++;
}

/* Write every word of the committed transaction; may be done twice. */
void mp__replay(void) {
  struct mp__head *h = MP__HEAD;
  uint64_t n = h->njournal;
  uint64_t i;

  for (i = 0; i < n && i < MP__TXN_MAX; i++) {
    mp__store64_rel(mp__at(h->journal[2 * i]), h->journal[2 * i + 1]);
    MP_FAULT("txn.write");
  }
  mp__store64_rel(&h->njournal, 0);
  mp__vault_replay();
}

/* Only now: until the commit what lies in the block may still be wanted.  A
 * death before it leaves the pages where they are, until they are used. */
static void give_back(struct mp__txn *t) {
  struct block *b;

  if (!t->bare)
    return;
  b = mp__at(t->bare);
  if (mp__arena_check() == 0)
    mp__sys_punch(mp__here.memfd, t->bare + 4096, class_size(b->cls) - 4096);
  t->bare = 0;
}

void mp__commit(struct mp__txn *t) {
  struct mp__head *h = MP__HEAD;
  unsigned i;

  MP_FAULT("txn.filled");
  mp__store64_rel(&h->njournal, t->n);
  MP_FAULT("txn.committed");
  for (i = 0; i < t->n; i++) {
    mp__store64_rel(mp__at(h->journal[2 * i]), h->journal[2 * i + 1]);
    MP_FAULT("txn.write");
  }
  mp__store64_rel(&h->njournal, 0);
  t->n = 0;
  give_back(t);
}

void mp__end(struct mp__txn *t) {
  unsigned i;

  mp__commit(t);
  /* With the lock: without it the other end could go, too, and the block be
   * another's when we wake who waits there. */
  for (i = 0; i < t->ngone; i++)
    mp__gone(t->gone[i]);
  mp__lock_drop(&MP__HEAD->big);
}

void mp__abort(struct mp__txn *t) {
  t->n = 0;
  mp__lock_drop(&MP__HEAD->big);
}

/* Memory */

int mp__back(uint64_t from, uint64_t to) {
  struct rlimit lim;

  /* Past the file size limit the kernel answers with SIGXFSZ. */
  if (getrlimit(RLIMIT_FSIZE, &lim) == 0 && lim.rlim_cur != RLIM_INFINITY &&
      to > lim.rlim_cur)
    return -EFBIG;
  if (to > mp__here.window)
    return -ENOMEM;
  if (mp__arena_check() < 0)
    return -MP_EFAMILY; /* or a file of the host's would grow */
  return mp__sys_fallocate(mp__here.memfd, from, to - from);
}

static int grow(struct mp__txn *t, uint64_t need) {
  struct mp__head *h = MP__HEAD;
  uint64_t size = mp__peek(t, &h->size);
  uint64_t want;
  int rc;

  need += MP__TAIL;
  if (need <= size)
    return 0;
  want = need;
  /* An eighth more than needed, so that growth is rare. */
  want += (want - size < GROW) ? GROW : (want - MP__SLOTS) / 8;
  want = (want + 4095) & ~(uint64_t)4095;
  if (want > mp__here.window)
    want = (need + 4095) & ~(uint64_t)4095;
  rc = mp__back(size, want);
  if (rc < 0 && want > need) {
    want = (need + 4095) & ~(uint64_t)4095;
    rc = mp__back(size, want);
  }
  if (rc < 0)
    return rc;
  mp__set(t, &h->size, want);
  return 0;
}

static uint64_t block_size(const struct block *b) {
  uint64_t size;

  if (b->cls >= MP__CLASSES)
    mp__sys_damaged("a block has no size");
  size = class_size(b->cls);
  (void)mp__at(mp__off(b) + size - LINE);
  return size;
}

static int take_free(struct mp__txn *t, uint64_t cls, uint64_t *off) {
  struct mp__head *h = MP__HEAD;
  uint64_t at = mp__peek(t, &h->free[cls]);
  struct block *b = mp__at(at);
  uint64_t size = class_size(cls);
  int rc;

  if (b->cls != cls || block_size(b) != size)
    mp__sys_damaged("a free block is of another size");
  if (mp__peek(t, &b->bare)) {
    rc = mp__back(at, at + size);
    if (rc < 0)
      return rc;
    mp__set(t, &b->bare, 0);
    if (t->bare == at)
      t->bare = 0; /* freed in this very transaction: it keeps its pages */
  } else if (size >= LARGE) {
    mp__set(t, &h->retained, mp__peek(t, &h->retained) - size);
  }
  mp__set(t, &h->free[cls], mp__peek(t, &b->next));
  *off = at + LINE;
  return 0;
}

int mp__alloc(struct mp__txn *t, uint64_t len, uint64_t *off) {
  struct mp__head *h = MP__HEAD;
  uint64_t cls;
  uint64_t at;
  struct block *b;
  int rc;

  if (len > mp__here.window)
    return -ENOMEM;
  cls = class_for(len + LINE);
  if (mp__peek(t, &h->free[cls]))
    return take_free(t, cls, off);
  at = mp__peek(t, &h->top);
  (void)mp__at(at); /* before the kernel is asked for so much */
  if (at & (LINE - 1) || at < MP__SLOTS)
    mp__sys_damaged("the first free byte is none");
  rc = grow(t, at + class_size(cls));
  if (rc < 0)
    return rc;
  b = mp__at(at); /* nobody else's until the commit moves `top` */
  b->cls = cls;
  b->next = 0;
  b->bare = 0;
  mp__set(t, &h->top, at + class_size(cls));
  *off = at + LINE;
  return 0;
}

/* How much of what is free keeps its pages: a 64th of the machine's memory,
 * within bounds.  Giving pages back and touching new ones takes eight times as
 * long as copying into those that are there. */
static uint64_t retain(void) {
  static uint64_t bytes; /* the same whoever finds it out, and how often */
  uint64_t known = mp__load64_rlx(&bytes);

  if (known == 0) {
    known = mp__sys_memory() / 64;
    known = known < RETAIN_MIN ? RETAIN_MIN : known;
    known = known > RETAIN_MAX ? RETAIN_MAX : known;
    mp__store64_rlx(&bytes, known);
  }
  return known;
}

void mp__free(struct mp__txn *t, uint64_t off) {
  struct mp__head *h = MP__HEAD;
  uint64_t at = off - LINE;
  struct block *b = mp__at(at);
  uint64_t size = block_size(b);
  uint64_t kept = mp__peek(t, &h->retained);

  if (size >= LARGE && kept + size > retain() && !t->bare) {
    t->bare = at;
    mp__set(t, &b->bare, 1);
  } else if (size >= LARGE) {
    mp__set(t, &h->retained, kept + size);
  }
  mp__set(t, &b->next, mp__peek(t, &h->free[b->cls]));
  mp__set(t, &h->free[b->cls], at);
}

uint64_t mp__usable(uint64_t off) {
  return block_size(mp__at(off - LINE)) - LINE;
}

void mp__whole(uint64_t off, uint64_t len) {
  if (len > mp__usable(off))
    mp__sys_damaged("an object is longer than its block");
}

/* The mapping */

/* A hint where, no more: page tables of its own cost each child a twentieth
 * of its start. */
static int map(uint64_t window) {
  void *p = mmap(mp__sys_beside_loader(window), window, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_NORESERVE, mp__here.memfd, 0);

  if (p == MAP_FAILED)
    return -errno;
  mp__here.base = p;
  mp__here.window = window;
  return 0;
}

/* Under a limit on address space the window shrinks with it; all members
 * map as much as the founder could. */
static int map_largest(void) {
  struct rlimit lim;
  uint64_t window = WINDOW_MAX;
  int rc;

  if (getrlimit(RLIMIT_AS, &lim) == 0 && lim.rlim_cur != RLIM_INFINITY)
    while (window > lim.rlim_cur / 4 && window > WINDOW_MIN)
      window /= 2;
  while ((rc = map(window)) < 0 && window > WINDOW_MIN)
    window /= 2;
  return rc;
}

int mp__arena_found(void) {
  struct mp__head *h;
  uint64_t data;
  int rc;

  rc = mp__sys_memfd("luamp");
  if (rc < 0)
    return rc;
  mp__here.memfd = rc;
  mp__here.memfd_ino = mp__sys_inode(rc);
  rc = map_largest();
  if (rc < 0)
    goto fail;
  rc = mp__back(0, sizeof(struct mp__head));
  if (rc < 0)
    goto fail;
  h = MP__HEAD;
  h->max_slots = seats();
  data = blocks_from();
  rc = mp__back(data, data + MP__TAIL);
  if (rc < 0)
    goto fail;
  h->magic = MP__MAGIC;
  h->layout = MP__LAYOUT;
  h->window = mp__here.window;
  h->size = data + MP__TAIL;
  h->top = data;
  return 0;

fail:
  mp__arena_forget();
  return rc;
}

void mp__arena_forget(void) {
  int i;

  if (mp__here.self != &mp__nobody)
    mp__store32_rel(&mp__here.self->alive, 0);
  if (mp__here.base)
    (void)munmap(mp__here.base, mp__here.window);
  mp__here.base = NULL;
  mp__here.reach = mp__here.turns = 0;
  mp__sys_close(mp__here.memfd);
  mp__here.memfd = -1;
  mp__sys_null_drop();
  for (i = 0; i < 2; i++) {
    mp__sys_close(mp__here.vault[i]);
    mp__here.vault[i] = -1;
  }
}

/* Is this a head that we have written, and the file as long as it says?  It is
 * a copy: what is looked at does not change any more. */
static int check_head(const struct mp__head *h, const struct mp__file *f) {
  uint64_t seats = (uint64_t)h->max_slots * MP__SLOT_SIZE;

  if (h->magic != MP__MAGIC || h->layout != MP__LAYOUT)
    return -MP_EVERSION;
  if (h->window < WINDOW_MIN || h->window > WINDOW_MAX || h->window & 4095 ||
      h->size > f->size || h->size > h->window || h->size < MP__TAIL ||
      h->max_slots == 0 || h->max_slots > 65535 || h->nslots >= h->max_slots ||
      h->top < MP__SLOTS + seats || h->top > h->size - MP__TAIL ||
      h->top & (LINE - 1))
    return -MP_EDAMAGED;
  return 0;
}

int mp__arena_map(int memfd) {
  struct mp__file f = {0};
  struct mp__head h;
  int rc;

  mp__here.memfd = memfd;
  rc = mp__sys_file(memfd, &f);
  if (rc < 0)
    return rc;
  mp__here.memfd_ino = f.ino;
  if (f.size < MP__SLOTS)
    return -MP_EVERSION;
  rc = map(MP__SLOTS); /* to read how much there is to map */
  if (rc < 0)
    return rc;
  memcpy(&h, mp__here.base, sizeof h);
  /* Others let it grow: what contains is read after what is contained. */
  h.size = mp__load64_acq(&MP__HEAD->size);
  rc = mp__sys_file(memfd, &f);
  (void)munmap(mp__here.base, MP__SLOTS);
  mp__here.base = NULL;
  if (rc == 0)
    rc = check_head(&h, &f);
  return rc < 0 ? rc : map(h.window);
}

/* A host may close every descriptor, or put its own in the place of ours. */
int mp__arena_check(void) {
  if (mp__sys_inode(mp__here.memfd) != mp__here.memfd_ino)
    return -MP_EFAMILY;
  return 0;
}
