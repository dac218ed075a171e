/* family.h -- the process table, for the core's files. */
#ifndef MP_FAMILY_H
#define MP_FAMILY_H

#include "arena.h"

/* life: the truth about whether a member lives.  The kernel knows the word
 * through the thread's robust list and writes it at the thread's last breath.
 *   0              not born yet; bit 31 as below
 *   tid            lives; bit 31 (MP__LIFE_WAITERS): somebody sleeps on it
 *   MP__LIFE_DIED  dead (or has called exec, which ends a member too)
 * Written by the member at birth, by the kernel or the member at the end, and
 * by whoever finds the process gone while the word still says alive.
 */
#define MP__LIFE_DIED 0x40000000u
#define MP__LIFE_WAITERS 0x80000000u
#define MP__LIFE_TID 0x3fffffffu

/* exit: what is known of the end.
 *   0                          nothing
 *   MP__EXIT_CLAIMED | code    written by the process itself, before the end
 *   MP__EXIT_FINAL | code      as the kernel reported it; only the parent
 * code is biased by 256, so that -255..255 is positive.
 */
#define MP__EXIT_CLAIMED 0x10000u
#define MP__EXIT_FINAL 0x20000u
#define MP__EXIT_LOST 255 /* the code when nobody could learn it */

/* The node of the thread's robust list, in the layout of the C library's
 * mutex: so far lies the futex word before `next`, and musl reads `kind`. */
struct mp__life {
#ifdef __GLIBC__
  uint32_t life;
  uint32_t kind;
#else
  uint32_t kind; /* MP__LIFE_SHARED; the member */
  uint32_t life;
#endif
  uint64_t pad[2];
  uint64_t prev; /* addresses of the member itself, of use to it alone */
  uint64_t next;
};
#define MP__LIFE_SHARED 128 /* musl's mark of what other processes wait for */

struct mp__slot {
  struct mp__obj obj;
  struct mp__life life;
  uint64_t born;        /* clock ticks since boot, no earlier than the start of
                          the process and earlier than any heir of its pid's;
                          itself */
  uint64_t gen;         /* lives of this seat; big */
  uint64_t state;       /* enum mp_state; big */
  uint64_t flags;       /* MP_PROC_DAEMON, MP__PROC_*; big */
  uint32_t pid;         /* 0 until forked; written by the kernel in clone */
  uint32_t method;      /* enum mp_method; the parent */
  uint32_t exit;        /* futex; see above */
  uint32_t stop;        /* thread: the signal it is to end by; anyone */
  uint32_t nchild;      /* for default names; the process itself */
  uint32_t tid;         /* of the thread its life hangs on; itself */
  uint32_t stop_signal; /* thread: what makes it look at `stop`; the parent */
  uint32_t sent;        /* the last signal of ours that ends it; anyone */
  uint32_t standby;     /* fork server: the child that stands by; the kernel in
                           clone, 0 by the child once it has a seat */
  uint64_t waiting;     /* offset of the count we are in, or 0; itself */
  /* the family tree; big */
  uint64_t parent;      /* seat of the starter, 0: orphan or first */
  uint64_t parent_name; /* the same, kept for parent_process() */
  uint64_t child;       /* first child */
  uint64_t older;       /* next in the parent's list */
  uint64_t younger;     /* previous in it */
  /* what it holds; big */
  uint64_t ledger;            /* block of uint64_t entries */
  uint64_t ledger_len;        /* entries used so far, the free ones included */
  uint64_t ledger_free;       /* first free entry, 0: none */
  uint64_t plan;              /* parcel: what it is to do */
  uint64_t answer;            /* parcel: what it answered */
  uint64_t blocks;            /* first named block that it has made */
  uint64_t next_free;         /* in the list of free seats */
  char name[MP_NAME_MAX + 1]; /* the parent */
  char ident[40]; /* "1:2": the second child of the first; the parent */
};
_Static_assert(sizeof(struct mp__slot) <= MP__SLOT_SIZE, "seat size");

enum {
  MP__PROC_MAIN = 0x100,  /* the founder, or a process that entered by itself */
  MP__PROC_SWEPT = 0x200, /* dead, and its ledger is empty */
  MP__PROC_REAPED = 0x400, /* the parent has waited for it */
  MP__PROC_BLIND = 0x800,  /* no robust list: only the second detector sees */
  MP__PROC_GUEST = 0x1000, /* its life hangs on a thread that is not the main */
  MP__PROC_PIPED = 0x4000  /* its ledger names an end of a pipe, or did */
};

/* A free ledger entry: MP__ENTRY_FREE | index of the next free << 6. */
#define MP__ENTRY_FREE 0x20u
#define MP__ENTRY_MIN 15
#define MP__ENTRIES_MAX ((1u << (64 - MP_REF_BITS)) - 1)

#define MP__SLOT_REF(s) mp__off(s)

/* The calling member: the process, or a thread with a seat of its own, if that
 * was given in this life of the process and not before a fork.  One that the
 * host forked takes a seat first; seat 0 when there is none for it. */
extern _Thread_local struct mp__slot *mp__thread_me
    __attribute__((visibility("hidden")));
extern _Thread_local uint32_t mp__thread_generation
    __attribute__((visibility("hidden")));
struct mp__slot *mp__me_anew(void);
static inline struct mp__slot *mp__me(void) {
  struct mp__slot *me = mp__here.self->me;

  if (mp__thread_me && mp__thread_generation == mp__here.generation)
    return mp__thread_me;
  return __builtin_expect(me != NULL, 1) ? me : mp__me_anew();
}
void mp__set_me(struct mp__slot *s, int thread);
/* In a child that we forked, before all else. */
void mp__set_newborn(struct mp__slot *s);
/* The calling member as mp__me, but nothing is written to learn it: NULL for
 * who has no seat (and for another thread of a child's than its first, before
 * any of them was a caller of mp__me). */
struct mp__slot *mp__who(void);
int mp__self_make(void); /* so that a process can be somebody; or -ENOMEM */
/* Does the process exist that was born then (ticks; 0: not known), by the
 * kernel's word?  One that cannot be looked at does. */
int mp__process_exists(int pid, uint64_t born);
/* door.c: for a process that has no seat, seat 0 to lock with until it has one
 * and leaves the door. */
struct mp__slot *mp__door_enter(void);
void mp__door_leave(void);
/* The calling thread as the owner of something: its seat, which is that of the
 * member, or one that a thread of the host has beside, for its life alone.
 * Bits 0..15 index, 16..30 and 32..63 generation; bit 31 is free for use.  The
 * first call of a thread may fail. */
extern _Thread_local uint64_t mp__owner_word
    __attribute__((visibility("hidden"))); /* 0: not known yet */
int mp__find_owner(uint64_t *word);
static inline int mp__owner(uint64_t *word) {
  uint64_t found = 0; /* so that the caller's can stay in a register */
  int rc;

  *word = mp__owner_word;
  if (*word)
    return 0;
  rc = mp__find_owner(&found);
  *word = found;
  return rc;
}
/* Has that owner ended? */
int mp__owner_ended(uint64_t word);
struct mp__slot *mp__owner_seat(uint64_t word);
struct mp__slot *mp__slot_at(uint64_t off);
static inline unsigned mp__slot_index(const struct mp__slot *s) {
  return (unsigned)((mp__off(s) - MP__SLOTS) / MP__SLOT_SIZE);
}
int mp__life_begun(struct mp__slot *s);  /* it may have ended since */
int mp__slot_dead(struct mp__slot *s);   /* one load */
int mp__slot_verify(struct mp__slot *s); /* asks the kernel too */
void mp__name_self(struct mp__slot *s);
/* head: the thread's robust list, or NULL */
int mp__born(struct mp__slot *s,
             uint64_t *head); /* link the calling thread's life */

void *mp__robust_head(void);            /* robust.c; NULL: none for us */
void mp__robust_after_fork(void *head); /* what the C library's fork does */
int mp__life_link(struct mp__slot *s, uint64_t *head);
void mp__life_unlink(struct mp__slot *s); /* the thread goes on without */

/* In a transaction. */
int mp__slot_new(struct mp__txn *t, struct mp__slot **out);
int mp__hold(struct mp__txn *t, struct mp__slot *who, uint64_t name,
             mp_ref *held);                       /* a ledger entry, no count */
void mp__ref(struct mp__txn *t, uint64_t name);   /* count + 1 */
void mp__unref(struct mp__txn *t, uint64_t name); /* count - 1, garbage at 0 */
void mp__let(struct mp__txn *t, struct mp__slot *who, mp_ref held);
void mp__pass(struct mp__txn *t, struct mp__slot *who, mp_ref held);
int mp__obj_new(struct mp__txn *t, enum mp_type type, uint64_t len,
                uint64_t *off);
uint64_t *mp__ledger(const struct mp__slot *s); /* all of its entries */
int mp__ledger_copy(struct mp__txn *t, struct mp__slot *from,
                    struct mp__slot *to);

int mp__ledger_step(struct mp__txn *t, struct mp__slot *s); /* sweep.c */
void mp__leave_parent(struct mp__txn *t, struct mp__slot *s);
void mp__drop_word(struct mp__txn *t, uint64_t *word); /* a name to let go */

/* Outside of any transaction. */
/* Begin one, with an object in it and our hold, its only one; the caller ends
 * it.  On failure there is none, and *held is empty. */
int mp__obj_open(struct mp__txn *t, enum mp_type type, uint64_t len,
                 mp_ref *held);
/* The same in one that the caller has begun. */
int mp__obj_fill(struct mp__txn *t, enum mp_type type, uint64_t len,
                 mp_ref *held);
void mp__leave_pipes(struct mp__slot *me);
void mp__collect(void);     /* take the garbage apart */
void mp__close_late(void);  /* what could not be closed when it should */
void mp__ledger_ring(void); /* the bells of all that the caller holds */
/* The name in the caller's ledger behind entry *at, 0: none; big lock held. */
uint64_t mp__ledger_next(uint64_t *at);

/* sweep.c */
int mp__scan(void); /* sweep what has died; the number of them */
/* The same, and now and then ask the kernel of each; of those who are about to
 * be born always, and *unborn says whether there are any. */
int mp__scan_at(int64_t now, int *unborn);
int mp__sweep(struct mp__slot *s); /* 0: a stopped process keeps us from it */
void mp__tell_end(struct mp__slot *s);
void mp__tell_deaths(void); /* those who sleep shall look, as after a death */
/* An object lost its last holder of that end; the big lock is held. */
void mp__gone(uint64_t name);

/* nap.c */

/* Be one of those that *count counts (sleepers on a word, pollers): the seat
 * notes where, so that the sweep can take a dead one out of the count. */
void mp__count_in(uint32_t *count);
void mp__count_out(uint32_t *count);

/* The one way to sleep.  Before the first nap the caller has announced itself
 * where the waker looks, and looked again. */
struct mp__nap {
  unsigned naps;
  uint32_t deaths; /* told before the caller looked, from the second on */
};

/* 0: look again (woken, a member died, or just time to look); -EINTR;
 * -MP_ETIMEOUT. */
int mp__nap(struct mp__nap *nap, uint32_t *word, uint32_t val,
            int64_t deadline);
/* A daemon whose starter's life hangs on a thread has no tie in the kernel: it
 * looks after its starter in its naps. */
int mp__is_loose(void);

/* vault.c: descriptors that any member can get at */
struct mp__fd {
  struct mp__obj obj;
  uint64_t seq;  /* number of its entry; big */
  uint64_t next; /* the live entries in order; big */
  uint64_t prev;
  uint64_t label; /* the owner of the descriptor; 0 for a bell */
};
int mp__vault_open(void);
int mp__vault_get(uint64_t name); /* a new descriptor */
int mp__vault_get_by(uint64_t name, int64_t deadline);
int mp__vault_peek(uint64_t name); /* the same; the big lock is held */
/* Put fd, unless *word names one already; it then counts as a holder. */
int mp__vault_keep(uint64_t *word, int fd, uint64_t label);
void mp__vault_drop(struct mp__txn *t, uint64_t name);
void mp__vault_tidy(void); /* drop what belongs to nobody, wherever it is */
void mp__vault_replay(void);

/* bell.c */
int mp__bell_fd(struct mp__bell *b); /* the caller's own descriptor */
void mp__bell_ring(struct mp__bell *b);
/* The same by a descriptor that the caller has; cannot fail. */
void mp__bell_ring_own(struct mp__bell *b, int fd);
void mp__bell_late(void); /* what could not be rung when it should have been */
void mp__bell_ring_held(struct mp__bell *b); /* the big lock is held */
void mp__bell_forget(struct mp__bell *b); /* one who used it died; the same */
void mp__bell_quiet(struct mp__bell *b, int fd); /* then look again */

/* parcel.c */
struct mp__parcel {
  struct mp__obj obj;
  uint64_t nrefs; /* those that count so far; big */
  uint64_t len;   /* of the bytes behind the refs */
  uint64_t refs[];
};
/* By the deadline for the lock: -MP_ETIMEOUT, -EINTR. */
int mp__parcel_new(const struct mp_out *out, mp_ref *held, int64_t deadline);
void mp__parcel_view(mp_ref held, struct mp_msg *m);
void mp__parcel_check(const struct mp__parcel *p); /* or it is damaged */
size_t mp__out_len(const struct mp_out *out);
void mp__out_copy(void *to, const struct mp_out *out);

/* pipe.c: what the collector takes apart, one step a transaction */
int mp__pipe_step(struct mp__txn *t, uint64_t off);
void mp__pipe_gone(uint64_t name);
struct mp__bell *mp__pipe_bell(mp_ref end);
/* One who held it has died: ring what it may not have come to ring.  The big
 * lock is held. */
void mp__pipe_died(uint64_t name);
void mp__fifo_died(uint64_t name);

/* block.c */
struct mp__block {
  struct mp__obj obj; /* refs[1]: 1 while its creator answers for the name */
  uint64_t dev, ino;  /* the file, to be told from another of that name */
  uint64_t fd;        /* name of its descriptor in the vault, or 0; big */
  uint64_t owner;     /* seat of the creator, 0: nobody's; big */
  uint64_t next;      /* in the creator's list; big */
  uint64_t prev;
  char name[MP_BLOCK_NAME_MAX + 1]; /* the creator */
};
int mp__block_step(struct mp__txn *t, struct mp__block *b);
/* Unlink the first block of the seat; a descriptor, to be closed once the big
 * lock is free. */
int mp__block_sweep(struct mp__txn *t, struct mp__slot *s);
void mp__block_leave(void); /* the caller's blocks lose their names */

/* end.c */
void mp__proc_bury(struct mp__slot *s, int code, int final);
void mp__claim_exit(struct mp__slot *me, int code);
int mp__exit_of(int status);      /* of a wait status: N, or -signal */
int mp__exit_code(uint32_t word); /* of an exit word that is not 0 */

/* sem.c: taken apart; one that died may have had permits in its hands */
int mp__sem_step(struct mp__txn *t, uint64_t off);
void mp__sem_died(uint64_t name);

/* event.c: one that held it has died, perhaps before it rang */
void mp__event_died(uint64_t name);

/* cond.c */
int mp__cond_step(struct mp__txn *t, uint64_t off);

/* barrier.c */
int mp__barrier_step(struct mp__txn *t, uint64_t off);

#endif
