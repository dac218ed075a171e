/* arena.h -- the family's shared memory, for the core's files.
 *
 * One memfd, mapped whole by every member at an address of its own; an
 * offset means the same everywhere, a pointer only here.
 *
 *   0                  struct mp__head
 *   MP__SLOTS          the process table, max_slots seats, filled on demand
 *   MP__SLOTS + ...    blocks, up to `top`
 *
 * Everything that is structure (free lists, reference counts, ledgers, the
 * table) changes only in a transaction under the big lock: the new values of
 * all its words are written to the journal, then their number, which commits,
 * then the words themselves.  A death before the commit changed nothing; after
 * it, the next owner of the big lock writes the words again.
 */
#ifndef MP_ARENA_H
#define MP_ARENA_H

#include "atomic.h"
#include "mp.h"
#include "sys.h"

#define MP__MAGIC 0x31706d61756cULL /* "luamp1" */
#define MP__LAYOUT_MUSL 0x10000u    /* see struct mp__life */
#ifdef __GLIBC__
#define MP__LAYOUT 4u /* bump when any layout changes */
#else
#define MP__LAYOUT (MP__LAYOUT_MUSL | 4u)
#endif
#define MP__CLASSES 128
#define MP__TXN_MAX 126
#define MP__SLOTS 4096 /* offset of the process table */
#define MP__SLOT_SIZE 512
#define MP__TAIL 16384 /* bytes behind the last block: see mp__at */

/* 0: free; else slot index (bits 0..15), low bits of its generation (16..30)
 * of the holder, bit 31: somebody sleeps on the word. */
struct mp__lock {
  uint32_t word;
};

/* A descriptor beside something that one waits for, made when first asked
 * for.  A waker rings it once until somebody quiets it. */
struct mp__bell {
  uint64_t fd;   /* name of the descriptor object, 0: nobody polls; big */
  uint32_t rung; /* 1: readable; anyone, atomically */
  uint32_t pad;
};

/* The first line of everything that can be held.  All words: big lock, and
 * atomic loads by anyone who holds the object. */
struct mp__obj {
  uint64_t type;    /* enum mp_type | serial << 8: one life of the block */
  uint64_t refs[2]; /* holders: ledger entries, parcels, the family tree */
  uint64_t gnext;   /* next in the garbage list, once refs are all zero */
  struct mp__bell bell;
  uint64_t pad[2];
};

struct mp__head {
  uint64_t magic;
  uint32_t layout;
  uint32_t max_slots;
  uint64_t window;   /* bytes of address space that each member maps */
  uint64_t size;     /* bytes of the file that are backed by memory; big */
  uint64_t top;      /* first byte never handed out; big */
  uint64_t retained; /* bytes of large free blocks that keep their pages; big */
  uint64_t garbage;  /* objects that nobody holds, to be taken apart; big */
  uint64_t serial;   /* the last serial given to an object; big */

  struct mp__lock big;
  uint32_t deaths;   /* futex: counts sweeps; anyone after a sweep */
  uint32_t napping;  /* members asleep on `deaths` or on a life; themselves.
                        Too high after one of them was killed */
  uint64_t verified; /* when somebody last asked the kernel for all; anyone */
  uint64_t njournal; /* words of a committed transaction still to write */
  uint64_t journal[2 * MP__TXN_MAX];

  uint64_t nslots;     /* seats ever used; big */
  uint64_t seats_end;  /* end of the table's part that is backed; big */
  uint64_t free_first; /* offset of the seat to be used next, 0: none; big */
  uint64_t free_last;  /* seats are reused in turn (FIFO); big */

  uint64_t vault_op;    /* 0 idle, 1 sending, 2 dropping; see vault.c */
  uint64_t vault_head;  /* number of the first entry in the socket; big */
  uint64_t vault_tail;  /* number of the next entry; big */
  uint64_t vault_live;  /* entries that somebody holds; big */
  uint64_t vault_first; /* the fd object with the lowest number; big */
  uint64_t vault_last;  /* ... and with the highest; big */
  uint64_t vault_room;  /* bytes of the socket's buffer; the founder */

  uint64_t named; /* blocks whose creator answers for the name; big */

  uint64_t free[MP__CLASSES]; /* free blocks by size class; big */
  unsigned char authkey[32];  /* random; written by the founder */
  uint32_t spinning;          /* members polling a word just now; anyone */
  uint64_t door;              /* who comes to sit by itself; see door.c */
};

struct mp__slot;

/* Who this process is, in a page that a fork wipes: one that the host forked
 * by itself finds that it is nobody; one that we forked writes here and to
 * nothing else of what it has of its parent. */
struct mp__self {
  struct mp__slot *me; /* NULL: without a seat */
  uint32_t alive;      /* 1 while we are who we were; set last, so who reads 1
                          finds all the rest */
};

/* What this process knows of its family.  Written by mp_enter and mp_join,
 * and by the child right after a fork. */
struct mp__here {
  char *base;     /* NULL: no family yet */
  uint64_t reach; /* eighths of the last offset that is known to be backed */
  uint64_t turns; /* steps that a walk can have in what is backed */
  uint64_t window;
  int memfd;
  int vault[2];
  uint64_t memfd_ino;
  uint64_t vault_ino[2];
  uint32_t generation;
  struct mp__self *self; /* never NULL */
  int wiped;             /* 0: only the C library tells of a fork */
};

extern struct mp__here mp__here;
extern struct mp__self mp__nobody; /* before the first entry; never written */

/* Both within 64 KiB, which the kernel maps at one fault: the head and the
 * first hundred seats. */
_Static_assert(sizeof(struct mp__head) <= MP__SLOTS, "the head's room");

#define MP__HEAD ((struct mp__head *)(void *)mp__here.base)

/* Threads move it, but no other process does: it is no step of a schedule to
 * be explored, hence the brackets. */
static inline uint64_t mp__reached(void) {
  return (mp__load64_rlx)(&mp__here.reach);
}

/* The one door to shared memory.  An offset that somebody's stray write has
 * made leads nowhere outside: unaligned ones are turned into large ones, and
 * behind any that passes there are MP__TAIL bytes.  What is longer (ledgers,
 * parcels, cells) is looked at by mp__usable.  arena.c */
void *mp__reach(uint64_t off);
static inline void *mp__at(uint64_t off) {
  if (__builtin_expect((off >> 3 | off << 61) > mp__reached(), 0))
    return mp__reach(off);
  return mp__here.base + off;
}

/* One more step along what lies in the memory: there are never more than its
 * blocks have words and its seats take, unless a stray write has made a circle.
 */
static inline void mp__turn(uint64_t *steps) {
  if (++*steps > (mp__load64_rlx)(&mp__here.turns))
    mp__sys_damaged("a list has no end");
}

static inline uint64_t mp__off(const void *p) {
  return (uint64_t)((const char *)p - mp__here.base);
}

/* lock.c */

/* 0, or 1 when the holder had died; the journal has then been replayed. */
int mp__lock_take(struct mp__lock *l);
/* The same; or, without the lock because its holder is stopped, -MP_ETIMEOUT
 * (the deadline is past) or -EINTR (let signals be looked at, and come again
 * with the same deadline). */
#define MP__SURELY INT64_MIN /* a deadline with which that cannot happen */
int mp__lock_by(struct mp__lock *l, int64_t deadline)
    __attribute__((warn_unused_result));
void mp__lock_drop(struct mp__lock *l);

/* arena.c */

#define MP__GONE_MAX 8
struct mp__txn {
  unsigned n;
  unsigned ngone;
  uint64_t gone[MP__GONE_MAX]; /* names whose last holder lets go */
  uint64_t bare; /* the large block whose pages go back after the commit */
};

int mp__arena_found(void);         /* make and map a new one */
int mp__arena_map(int memfd);      /* map one that exists */
void mp__arena_forget(void);       /* undo the founding */
int mp__arena_check(void);         /* are the descriptors ours? */
void mp__begin(struct mp__txn *t); /* takes the big lock */
/* The same by the deadline: 0, -MP_ETIMEOUT, -EINTR. */
int mp__begin_by(struct mp__txn *t, int64_t deadline)
    __attribute__((warn_unused_result));
uint64_t mp__peek(struct mp__txn *t, const uint64_t *word);
void mp__set(struct mp__txn *t, uint64_t *word, uint64_t value);
void mp__commit(struct mp__txn *t); /* keeps the big lock */
void mp__end(struct mp__txn *t);    /* commits, drops the big lock */
void mp__abort(struct mp__txn *t);  /* forgets, drops the big lock */
void mp__replay(void);              /* after a death; big lock held */

/* A block of at least `len` bytes, 64-byte aligned, not zeroed; reachable
 * from nothing until the transaction says so. */
int mp__alloc(struct mp__txn *t, uint64_t len, uint64_t *off);
void mp__free(struct mp__txn *t, uint64_t off);
uint64_t mp__usable(uint64_t off); /* bytes in the block */
/* The block at `off` has `len` bytes, or somebody has damaged it. */
void mp__whole(uint64_t off, uint64_t len);
/* Back [from, to) of the file with memory. */
int mp__back(uint64_t from, uint64_t to);

#endif
