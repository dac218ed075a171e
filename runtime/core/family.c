/* family.c -- owns who is alive: the members, their seats and births.
 *
 * A member is a process, or a thread started as one.  Its seat in the process
 * table says who it is; its life word says whether it lives (family.h).  The
 * word is on the thread's robust list (robust.c), so the kernel writes it at
 * the end of the thread and wakes one sleeper (nap.c), who sweeps (sweep.c).
 */
#include "mp.h"

#include "bare.h"
#include "family.h"
#include "futex.h"
#include "sys.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

_Thread_local struct mp__slot *mp__thread_me;
_Thread_local uint32_t mp__thread_generation;
_Thread_local uint64_t mp__owner_word;

/* Who am I */

MP__NEAR struct mp__slot *mp__slot_at(uint64_t off) {
  return mp__at(off);
}

/* A child that we forked, until it is written down in mp__self: that is a page
 * for it to make, and many need no more than to end.  Known to its first
 * thread alone, and good for the process with that pid: a fork of the host's
 * has a copy. */
static _Thread_local struct {
  struct mp__slot *seat;
  int pid;
} newborn;

/* In a child of the C library's fork, whatever its pid is. */
static void be_nobody(void) {
  newborn.seat = NULL;
  if (!mp__here.wiped && mp__here.self != &mp__nobody) {
    mp__here.self->me = NULL;
    mp__store32_rel(&mp__here.self->alive, 0);
  }
}

MP__NEAR void mp__set_newborn(struct mp__slot *s) {
  if (!mp__here.wiped) { /* it says that we are our parent */
    mp__set_me(s, 0);
    return;
  }
  mp__owner_word = 0;
  mp__thread_me = NULL;
  newborn.seat = s;
  newborn.pid = mp__sys_getpid();
}

MP__NEAR void mp__set_me(struct mp__slot *s, int thread) {
  mp__owner_word = 0;
  if (thread) {
    mp__thread_me = s;
    mp__thread_generation = mp__here.generation;
  } else {
    mp__thread_me = NULL;
    newborn.seat = NULL;
    mp__here.self->me = s;
    mp__store32_rel(&mp__here.self->alive, 1);
  }
}

int mp__self_make(void) {
  struct mp__self *page;

  if (mp__here.self != &mp__nobody)
    return 0;
  page = mp__sys_fork_page(&mp__here.wiped);
  if (!page)
    return -ENOMEM;
  (void)pthread_atfork(NULL, NULL, be_nobody);
  mp__store_ptr_rel(&mp__here.self, page);
  return 0;
}

static int alive(void) {
  const struct mp__self *self = mp__load_ptr_acq(&mp__here.self);

  return mp__load32_acq(&self->alive) != 0;
}

MP__NEAR struct mp__slot *mp__who(void) {
  if (mp__thread_me && mp__thread_generation == mp__here.generation)
    return mp__thread_me;
  if (newborn.seat && newborn.pid == mp__sys_getpid())
    return newborn.seat;
  return alive() ? mp__here.self->me : NULL;
}

MP__NEAR int mp_entered(void) {
  return mp__who() != NULL;
}

/* Not in mp_generation, which is on the way to every operation and is to be
 * a few loads without a stack frame. */
static __attribute__((noinline, cold)) uint32_t enter_anew(void) {
  (void)mp_enter();
  return mp__here.generation;
}

uint32_t mp_generation(void) {
  return !alive() && mp__here.self != &mp__nobody ? enter_anew()
                                                  : mp__here.generation;
}

__attribute__((noinline, cold)) struct mp__slot *mp__me_anew(void) {
  if (mp__here.self == &mp__nobody)
    return NULL;
  return mp_enter() == 0 ? mp__here.self->me : mp__slot_at(MP__SLOTS);
}

/* Life */

/* Who the calling thread is; a forked child's parent has said so already. */
void mp__name_self(struct mp__slot *s) {
  mp__store32_rlx(&s->tid, (uint32_t)mp__sys_gettid());
  mp__store64_rlx(&s->born, mp__sys_ticks());
  mp__store32_rel(&s->pid, (uint32_t)mp__sys_getpid());
}

/* What the seat does not say already. */
static int complete_seat(struct mp__slot *s, uint64_t flags) {
  struct mp__txn t;

  if (s->state == MP_RUNNING && s->flags == flags)
    return 0;
  mp__begin(&t);
  if (mp__load32_acq(&s->life.life) & MP__LIFE_DIED) {
    mp__abort(&t);
    return -ESRCH; /* given up while we came */
  }
  mp__set(&t, &s->state, MP_RUNNING);
  mp__set(&t, &s->flags, flags);
  mp__end(&t);
  return 0;
}

MP__NEAR int mp__born(struct mp__slot *s, uint64_t *head) {
  uint64_t flags = s->flags;
  int rc;

  if (!head)
    flags |= MP__PROC_BLIND;
  else if (s->tid != s->pid && s->method != MP_THREAD)
    flags |= MP__PROC_GUEST;
  rc = complete_seat(s, flags);
  if (rc < 0)
    return rc;
  return mp__life_link(s, head);
}

int mp__process_exists(int pid, uint64_t born) {
  uint64_t start = 0;
  char state = 0;
  int rc = mp__sys_procstat(pid, &state, &start);

  if (rc == -ESRCH)
    return 0;
  /* No descriptor left, no memory, no /proc: that says nothing of it. */
  if (rc < 0)
    return mp__sys_tgkill(pid, pid, 0) != -ESRCH;
  if (state == 'Z' || state == 'X')
    return 0;
  return born == 0 || start <= born;
}

static int sits(struct mp__slot *s) {
  return mp__process_exists((int)mp__load32_rlx(&s->pid),
                            mp__load64_rlx(&s->born));
}

int mp__life_begun(struct mp__slot *s) {
  return (mp__load32_acq(&s->life.life) & ~MP__LIFE_WAITERS) != 0;
}

int mp__slot_dead(struct mp__slot *s) {
  uint32_t life = mp__load32_acq(&s->life.life);

  if (!(life & MP__LIFE_DIED))
    return 0;
  return !(mp__load64_rlx(&s->flags) & MP__PROC_GUEST) || !sits(s);
}

int mp__slot_verify(struct mp__slot *s) {
  uint64_t gen = mp__load64_rlx(&s->gen);
  uint32_t life = mp__load32_acq(&s->life.life);
  uint32_t tid = life & MP__LIFE_TID;

  if (life & MP__LIFE_DIED)
    return mp__slot_dead(s);
  if (mp__load32_acq(&s->pid) == 0 || mp__load64_rlx(&s->state) == MP_NEW)
    return 0;
  if (sits(s))
    return 0;
  /* The kernel never got to the robust list.  The seat may have been swept
   * and taken meanwhile: the next one's life is not ours to end. */
  while (mp__load64_acq(&s->gen) == gen && (life & MP__LIFE_TID) == tid &&
         !mp__cas32_seq(&s->life.life, &life,
                        MP__LIFE_DIED | (life & MP__LIFE_WAITERS)))
    ;
  if (life & MP__LIFE_WAITERS)
    mp__futex_wake(&s->life.life, 1); /* as the kernel would have */
  return 1;
}

/* Entering */

/* Until the transaction is in, the seat is in the list of free ones: what a
 * death here leaves behind keeps its place there (next_free) and its life's
 * number.  Others may be looking at it: see scan. */
static void slot_init(struct mp__slot *s) {
  uint64_t *word = (uint64_t *)(void *)s;
  uint64_t *end = word + sizeof *s / sizeof *word;

  for (; word < end; word++)
    if (word != &s->gen && word != &s->next_free)
      mp__store64_rlx(word, 0);
  if (s->gen == 0)
    mp__store64_rlx(&s->gen, 1);
}

#define SEATS_AT_ONCE 16384 /* bytes of the table backed at a time */

static int back_seat(struct mp__txn *t, uint64_t off) {
  struct mp__head *h = MP__HEAD;
  uint64_t end = mp__peek(t, &h->seats_end);
  int rc;

  if (off + MP__SLOT_SIZE <= end)
    return 0;
  rc = mp__back(end, end + SEATS_AT_ONCE);
  if (rc == 0)
    mp__set(t, &h->seats_end, end + SEATS_AT_ONCE);
  return rc;
}

int mp__slot_new(struct mp__txn *t, struct mp__slot **out) {
  struct mp__head *h = MP__HEAD;
  uint64_t off = mp__peek(t, &h->free_first);
  uint64_t serial = mp__peek(t, &h->serial) + 1;
  uint64_t n = mp__peek(t, &h->nslots);
  struct mp__slot *s;
  int rc;

  if (off) {
    s = mp__slot_at(off);
    mp__set(t, &h->free_first, s->next_free);
    if (!s->next_free)
      mp__set(t, &h->free_last, 0);
  } else {
    if (n + 1 >= h->max_slots)
      return -EAGAIN;
    off = MP__SLOTS + (n + 1) * MP__SLOT_SIZE; /* seat 0 stays empty */
    rc = back_seat(t, off);
    if (rc < 0)
      return rc;
    s = mp__slot_at(off);
    mp__set(t, &h->nslots, n + 1);
  }
  mp__set(t, &h->serial, serial);
  /* The words that a scan reads are journalled, so that it sees a seat that
   * is taken only when it is whole. */
  slot_init(s);
  mp__set(t, &s->obj.type, (uint64_t)MP_TYPE_PROC | serial << 8);
  *out = s;
  return 0;
}

/* A seat for the calling thread.  It holds itself: its sweep gives it back.
 * From the moment it is taken it says whose it is, so that who dies before it
 * is born is found out. */
static int take_seat(struct mp__slot **s, const char *name, uint64_t flags,
                     enum mp_method method) {
  struct mp__txn t;
  mp_ref self;
  int rc;

  mp__begin(&t);
  rc = mp__slot_new(&t, s);
  if (rc == 0)
    rc = mp__hold(&t, *s, MP__SLOT_REF(*s), &self);
  if (rc < 0) {
    mp__abort(&t);
    return rc;
  }
  mp__set(&t, &(*s)->obj.refs[0], 1);
  mp__set(&t, &(*s)->flags, flags);
  mp__set(&t, &(*s)->state, MP_RUNNING);
  memmove((*s)->name, name, strnlen(name, MP_NAME_MAX));
  (*s)->method = method;
  mp__name_self(*s);
  mp__end(&t);
  return 0;
}

static int seat_myself(uint64_t flags) {
  struct mp__slot *s = NULL;
  int rc = take_seat(&s, "MainProcess", flags, MP_FORK);

  if (rc < 0)
    return rc;
  mp__owner_word = 0;
  mp__thread_me = NULL;
  mp__here.self->me = s;
  return mp__born(s, mp__robust_head());
}

/* Owners */

#define OWNER_GEN (((uint64_t)1 << 47) - 1)

static uint64_t owner_of(struct mp__slot *s) {
  uint64_t gen = mp__load64_rlx(&s->gen);

  return mp__slot_index(s) | (gen & 0x7fff) << 16 | (gen >> 15) << 32;
}

struct mp__slot *mp__owner_seat(uint64_t word) {
  return mp__slot_at(MP__SLOTS + (word & 0xffff) * MP__SLOT_SIZE);
}

int mp__owner_ended(uint64_t word) {
  struct mp__slot *s = mp__owner_seat(word);
  uint64_t gen = (word >> 16 & 0x7fff) | word >> 32 << 15;

  if (gen != (mp__load64_acq(&s->gen) & OWNER_GEN))
    return 1;
  /* A thread's life word stays as it is until somebody buries it. */
  if (mp__load32_acq(&s->exit) & MP__EXIT_FINAL)
    return 1;
  return mp__load64_rlx(&s->flags) & MP__PROC_BLIND ? mp__slot_verify(s)
                                                    : mp__slot_dead(s);
}

/* Several threads of a host act through the seat of their process.  What
 * belongs to a thread, and must not outlive it, needs a seat for the thread. */
static int take_thread_seat(struct mp__slot *me, struct mp__slot **s) {
  int rc;

  (void)mp__scan(); /* threads come and go: use their seats again */
  /* Its life is the thread's, not the process's. */
  rc = take_seat(s, me->name, 0, MP_THREAD);
  if (rc < 0)
    return rc;
  return mp__born(*s, mp__robust_head());
}

int mp__find_owner(uint64_t *word) {
  struct mp__slot *s;
  int rc = mp_enter();

  if (rc < 0)
    return rc;
  s = mp__me();
  if (s->tid != (uint32_t)mp__sys_gettid() ||
      mp__load64_rlx(&s->flags) & MP__PROC_GUEST)
    rc = take_thread_seat(s, &s);
  if (rc == 0)
    *word = mp__owner_word = owner_of(s);
  return rc;
}

/* The founder has no seat yet to lock anything with; nobody else can. */
static int found(void) {
  struct mp__slot *first;
  int rc = mp__sys_probe();

  if (rc == 0)
    rc = mp__arena_found();
  if (rc == -ENOSYS)
    return -MP_EKERNEL;
  if (rc < 0)
    return rc;
  rc = mp__back(MP__SLOTS, MP__SLOTS + SEATS_AT_ONCE);
  if (rc < 0)
    return rc;
  MP__HEAD->seats_end = MP__SLOTS + SEATS_AT_ONCE;
  first = mp__slot_at(MP__SLOTS);
  first->gen = 1;
  mp__here.self->me = first; /* locks as seat 0 until it sits */
  rc = mp__vault_open();
  if (rc < 0)
    return rc;
  rc = mp__sys_random(MP__HEAD->authkey, sizeof MP__HEAD->authkey);
  return rc < 0 ? rc : seat_myself(MP__PROC_MAIN);
}

/* The same, asked by another thread than the first. */
static struct mp__slot *forked_seat(void) {
  uint32_t pid = (uint32_t)mp__sys_getpid();
  struct mp__slot *s;
  uint64_t i;

  for (i = 1; i <= MP__HEAD->nslots; i++) {
    s = mp__slot_at(MP__SLOTS + i * MP__SLOT_SIZE);
    if (mp__load64_acq(&s->state) == MP_RUNNING &&
        mp__load32_acq(&s->pid) == pid && mp__load32_rlx(&s->tid) == pid &&
        s->method == MP_FORK && !(s->flags & MP__PROC_MAIN) &&
        !(mp__load32_acq(&s->life.life) & MP__LIFE_DIED) && sits(s))
      return s;
  }
  return NULL;
}

static int enter_forked(void) {
  struct mp__slot *s = mp__who();
  int rc;

  if (!s)
    s = forked_seat();
  newborn.seat = NULL;
  if (s) {
    mp__here.self->me = s;
    return 0;
  }
  /* The host forked this process: a member that nobody started.  It has the
   * parent's handles, but not its holds. */
  mp__here.generation++;
  mp__here.self->me = mp__door_enter();
  rc = seat_myself(MP__PROC_MAIN);
  if (rc < 0)
    mp__here.self->me = NULL;
  mp__door_leave();
  return rc;
}

static int enter(void) {
  int rc;

  if (alive())
    return 0;
  rc = mp__self_make();
  if (rc < 0)
    return rc;
  if (!mp__here.base) {
    rc = found();
    if (rc < 0)
      mp__arena_forget();
  } else {
    rc = enter_forked();
  }
  if (rc == 0)
    mp__store32_rel(&mp__here.self->alive, 1);
  return rc;
}

/* Threads of a host may come at once; the flag is the process's own. */
int mp_enter(void) {
  static uint32_t entering;
  uint32_t seen;
  int rc;

  if (alive())
    return 0;
  for (seen = 0; !mp__cas32_acq(&entering, &seen, 1); seen = 0)
    mp__sys_yield();
  rc = enter();
  mp__store32_rel(&entering, 0);
  return rc;
}
