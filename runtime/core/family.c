/* family.c -- owns who is alive: the members, their births and ends.
 *
 * A member is a process, or a thread started as one.  Its seat in the process
 * table says who it is; its life word says whether it lives (family.h).  The
 * word is on the thread's robust list, so the kernel writes it at the end of
 * the thread and wakes one sleeper, who sweeps: lets go of all the dead held,
 * and wakes the others.  A sleeper that is killed instead of sweeping delays
 * the rest to their next look (NAP_NS); nothing is lost.
 */
#include "mp.h"

#include "family.h"
#include "fault.h"
#include "futex.h"
#include "sys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_NAP_NS 20000000 /* before one looks for deaths at all */
#define NAP_NS 500000000
#define VERIFY_NS 2000000000  /* between two looks at /proc for everybody */
#define BLIND_NAP_NS 50000000 /* without futex_waitv or robust lists */
#define LEDGER_STEP 8         /* entries let go of in one transaction */
#define NODE_OFFSET (-32)     /* the C library's futex word from its node */

static struct mp__slot *process_me;
static _Thread_local struct mp__slot *thread_me;
static _Thread_local uint32_t thread_generation;

/* Who am I */

struct mp__slot *mp__slot_at(uint64_t off) {
  return mp__at(off);
}

unsigned mp__slot_index(const struct mp__slot *s) {
  return (unsigned)((mp__off(s) - MP__SLOTS) / MP__SLOT_SIZE);
}

struct mp__slot *mp__me(void) {
  if (thread_me && thread_generation == mp__here.generation)
    return thread_me;
  return process_me;
}

void mp__set_me(struct mp__slot *s, int thread) {
  if (thread) {
    thread_me = s;
    thread_generation = mp__here.generation;
  } else {
    thread_me = NULL;
    process_me = s;
    mp__here.alive[0] = 1;
  }
}

int mp_entered(void) {
  return mp__here.base != NULL && mp__here.alive[0];
}

uint32_t mp_generation(void) {
  if (mp__here.base && !mp__here.alive[0])
    (void)mp_enter();
  return mp__here.generation;
}

/* Life */

void *mp__robust_head(void) {
  int64_t *head = mp__sys_robust_list();

  /* {next, offset, pending}; another C library's list is not ours to use */
  return head && head[1] == NODE_OFFSET ? head : NULL;
}

void mp__robust_after_fork(void *head) {
  uint64_t *h = head;

  if (!h)
    return;
  h[-1] = (uint64_t)(uintptr_t)h;
  h[0] = (uint64_t)(uintptr_t)h;
  h[2] = 0;
  mp__sys_set_robust_list(h);
}

static void life_link(struct mp__slot *s, uint64_t *head, uint32_t tid) {
  uint64_t node = (uint64_t)(uintptr_t)&s->life.next;
  uint64_t *next;

  head[2] = node; /* pending: a death from here on is seen */
  mp__store32_rel(&s->life.life, tid);
  next = (uint64_t *)(uintptr_t)(head[0] & ~(uint64_t)1);
  s->life.prev = (uint64_t)(uintptr_t)(head - 1);
  s->life.next = head[0];
  next[-1] = (uint64_t)(uintptr_t)&s->life.prev;
  head[0] = node;
  head[2] = 0;
}

/* Who the calling thread is; a forked child's parent has said so already. */
void mp__name_self(struct mp__slot *s) {
  mp__store32_rlx(&s->tid, (uint32_t)mp__sys_gettid());
  mp__store64_rlx(&s->born, mp__sys_ticks());
  mp__store32_rel(&s->pid, (uint32_t)mp__sys_getpid());
}

int mp__born(struct mp__slot *s, uint64_t *head) {
  struct mp__txn t;

  mp__begin(&t);
  if (mp__load32_acq(&s->life.life) & MP__LIFE_DIED) {
    mp__abort(&t);
    return -ESRCH; /* given up while we came */
  }
  mp__set(&t, &s->state, MP_RUNNING);
  if (!head)
    mp__set(&t, &s->flags, s->flags | MP__PROC_BLIND);
  else if (s->tid != s->pid && s->method != MP_THREAD)
    mp__set(&t, &s->flags, s->flags | MP__PROC_GUEST);
  mp__end(&t);
  if (head)
    life_link(s, head, s->tid);
  else
    mp__store32_rel(&s->life.life, s->tid);
  return 0;
}

/* The thread goes on, or ends, without the seat. */
void mp__unborn(struct mp__slot *s) {
  uint64_t *next = (uint64_t *)(uintptr_t)(s->life.next & ~(uint64_t)1);
  uint64_t *prev = (uint64_t *)(uintptr_t)(s->life.prev & ~(uint64_t)1);

  if (s->flags & MP__PROC_BLIND || !next || !prev)
    return;
  next[-1] = s->life.prev;
  prev[1] = s->life.next;
}

/* Does the process behind the seat exist, by the kernel's word? */
static int process_exists(struct mp__slot *s) {
  uint64_t born = mp__load64_rlx(&s->born);
  uint64_t start = 0;
  char state = 0;

  if (mp__sys_procstat((int)mp__load32_rlx(&s->pid), &state, &start) < 0)
    return 0;
  if (state == 'Z' || state == 'X')
    return 0;
  return born == 0 || start <= born;
}

int mp__slot_dead(struct mp__slot *s) {
  uint32_t life = mp__load32_acq(&s->life.life);

  if (!(life & MP__LIFE_DIED))
    return 0;
  return !(mp__load64_rlx(&s->flags) & MP__PROC_GUEST) || !process_exists(s);
}

int mp__slot_verify(struct mp__slot *s) {
  uint64_t gen = mp__load64_rlx(&s->gen);
  uint32_t life = mp__load32_acq(&s->life.life);
  uint32_t tid = life & MP__LIFE_TID;

  if (life & MP__LIFE_DIED)
    return mp__slot_dead(s);
  if (mp__load32_acq(&s->pid) == 0 || mp__load64_rlx(&s->state) == MP_NEW)
    return 0;
  if (process_exists(s))
    return 0;
  /* The kernel never got to the robust list.  The seat may have been swept
   * and taken meanwhile: the next one's life is not ours to end. */
  while (mp__load64_acq(&s->gen) == gen && (life & MP__LIFE_TID) == tid &&
         !mp__cas32_seq(&s->life.life, &life,
                        MP__LIFE_DIED | (life & MP__LIFE_WAITERS)))
    ;
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

static int seat_myself(uint64_t flags) {
  struct mp__slot *s = NULL;
  struct mp__txn t;
  mp_ref self;
  int rc;

  mp__begin(&t);
  rc = mp__slot_new(&t, &s);
  if (rc == 0)
    rc = mp__hold(&t, s, MP__SLOT_REF(s), &self);
  if (rc < 0) {
    mp__abort(&t);
    return rc;
  }
  mp__set(&t, &s->obj.refs[0], 1);
  mp__set(&t, &s->flags, flags);
  strcpy(s->name, "MainProcess");
  mp__end(&t);
  mp__set_me(s, 0);
  mp__name_self(s);
  return mp__born(s, mp__robust_head());
}

/* The founder has no seat yet to lock anything with; nobody else can. */
static int found(void) {
  struct mp__slot *first;
  int rc = mp__arena_found();

  if (rc < 0)
    return rc;
  rc = mp__back(MP__SLOTS, MP__SLOTS + SEATS_AT_ONCE);
  if (rc < 0)
    return rc;
  MP__HEAD->seats_end = MP__SLOTS + SEATS_AT_ONCE;
  first = mp__slot_at(MP__SLOTS);
  first->gen = 1;
  process_me = first; /* locks as seat 0 until it sits */
  rc = mp__vault_open();
  if (rc < 0)
    return rc;
  rc = mp__sys_random(MP__HEAD->authkey, sizeof MP__HEAD->authkey);
  return rc < 0 ? rc : seat_myself(MP__PROC_MAIN);
}

static int enter(void) {
  int rc;

  if (mp_entered())
    return 0;
  if (!mp__here.alive) {
    mp__here.alive = mp__sys_fork_page();
    if (!mp__here.alive)
      return -ENOMEM;
  }
  if (!mp__here.base) {
    rc = found();
    if (rc < 0)
      mp__arena_forget();
    return rc;
  }
  /* The host forked this process: a member that nobody started.  It has the
   * parent's handles, but not its holds. */
  mp__here.generation++;
  return seat_myself(MP__PROC_MAIN);
}

/* Threads of a host may come at once; the flag is the process's own. */
int mp_enter(void) {
  static uint32_t entering;
  uint32_t seen;
  int rc;

  if (mp_entered())
    return 0;
  for (seen = 0; !mp__cas32_acq(&entering, &seen, 1); seen = 0)
    mp__sys_yield();
  rc = enter();
  mp__store32_rel(&entering, 0);
  return rc;
}

/* The end of others */

static void sweep_sleeper(struct mp__slot *s) {
  uint64_t off = mp__load64_rlx(&s->waiting);

  if (!off)
    return;
  mp__store64_rlx(&s->waiting, 0);
  (void)mp__add32_seq(mp__at(off), (uint32_t)-1);
}

void mp__leave_parent(struct mp__txn *t, struct mp__slot *s) {
  struct mp__slot *p = mp__slot_at(mp__peek(t, &s->parent));
  uint64_t older = mp__peek(t, &s->older);
  uint64_t younger = mp__peek(t, &s->younger);

  if (!mp__peek(t, &s->parent))
    return;
  if (younger)
    mp__set(t, &mp__slot_at(younger)->older, older);
  else
    mp__set(t, &p->child, older);
  if (older)
    mp__set(t, &mp__slot_at(older)->younger, younger);
  mp__set(t, &s->parent, 0);
  mp__set(t, &s->older, 0);
  mp__set(t, &s->younger, 0);
  mp__unref(t, MP__SLOT_REF(s));
}

/* Let go of the last entries of a ledger, as many as fit a transaction well;
 * 0 when there are none.  The owner is dead, or was never born. */
int mp__ledger_step(struct mp__txn *t, struct mp__slot *s) {
  uint64_t *e = s->ledger ? mp__at(s->ledger) : NULL;
  uint64_t i = e ? s->ledger_len : 0;
  int n = 0;

  for (; i > 1 && n < LEDGER_STEP; i--)
    if (!(e[i - 1] & MP__ENTRY_FREE) && e[i - 1]) {
      mp__unref(t, e[i - 1]);
      n++;
    }
  if (i == s->ledger_len || !e)
    return 0;
  mp__set(t, &s->ledger_len, i);
  mp__set(t, &s->ledger_free, 0);
  return 1;
}

/* The starter died before the child was there: nobody will sit down, and if a
 * fork server was just about to fork, that child sees it (mp__born). */
static void leave_unborn(struct mp__slot *child) {
  uint32_t unborn = 0;

  if (mp__load32_acq(&child->pid) == 0)
    (void)mp__cas32_seq(&child->life.life, &unborn, MP__LIFE_DIED);
}

/* One step, one transaction; 0 when it was the last.  After it the seat may
 * be another's: the last entry to go is often its hold on itself. */
static int sweep_step(struct mp__txn *t, struct mp__slot *s) {
  if (s->plan) { /* it never came to take it up */
    mp__drop_word(t, &s->plan);
    return 1;
  }
  if (s->child) {
    leave_unborn(mp__slot_at(s->child));
    mp__leave_parent(t, mp__slot_at(s->child));
    return 1;
  }
  if (s->ledger_len > LEDGER_STEP + 1)
    return mp__ledger_step(t, s);
  (void)mp__ledger_step(t, s);
  mp__set(t, &s->flags, s->flags | MP__PROC_SWEPT);
  return 0;
}

static int to_sweep(struct mp__slot *s) {
  return (mp__load64_rlx(&s->obj.type) & 0xff) == MP_TYPE_PROC &&
         !(mp__load64_rlx(&s->flags) & MP__PROC_SWEPT) &&
         mp__load64_rlx(&s->state) >= MP_STARTING && mp__slot_dead(s);
}

void mp__sweep(struct mp__slot *s) {
  struct mp__txn t;
  int more = 1;

  while (more) {
    mp__begin(&t);
    if (!to_sweep(s)) {
      mp__abort(&t);
      break;
    }
    sweep_sleeper(s);
    more = sweep_step(&t, s);
    mp__end(&t);
    MP_FAULT("sweep.step");
  }
  mp__add32_seq(&MP__HEAD->deaths, 1);
  mp__futex_wake(&MP__HEAD->deaths, INT32_MAX);
  mp__collect();
}

/* Now and then the kernel's word on everybody. */
static int time_to_verify(int64_t now) {
  static int64_t last; /* who writes it last does not matter */

  if (now - __atomic_load_n(&last, __ATOMIC_RELAXED) < VERIFY_NS)
    return 0;
  __atomic_store_n(&last, now, __ATOMIC_RELAXED);
  return 1;
}

static int scan(int verify) {
  uint64_t n = mp__load64_rlx(&MP__HEAD->nslots);
  struct mp__slot *s;
  uint64_t flags;
  int found_dead = 0;
  uint64_t i;

  for (i = 1; i <= n; i++) {
    s = mp__slot_at(MP__SLOTS + i * MP__SLOT_SIZE);
    flags = mp__load64_rlx(&s->flags);
    if (mp__load64_rlx(&s->state) < MP_STARTING || flags & MP__PROC_SWEPT)
      continue;
    if ((verify || flags & MP__PROC_BLIND) &&
        (mp__load64_rlx(&s->obj.type) & 0xff) == MP_TYPE_PROC)
      (void)mp__slot_verify(s);
    if (to_sweep(s)) {
      mp__sweep(s);
      found_dead++;
    }
  }
  return found_dead;
}

int mp__scan(void) {
  return scan(0);
}

/* Sleeping */

void mp__count_in(uint32_t *count) {
  mp__add32_seq(count, 1);
  mp__store64_seq(&mp__me()->waiting, mp__off(count));
}

void mp__count_out(uint32_t *count) {
  mp__store64_seq(&mp__me()->waiting, 0);
  mp__add32_seq(count, (uint32_t)-1);
}

/* A daemon whose starter's life hung on a thread has no tie in the kernel. */
static void follow_parent(void) {
  struct mp__slot *me = mp__me();
  struct mp__slot *p = mp__slot_at(me->parent_name);

  if (me->flags & MP_PROC_DAEMON && me->parent_name &&
      p->flags & MP__PROC_GUEST && mp__slot_verify(p))
    mp__sys_kill_self();
}

static int64_t earlier(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* Sleep on the word and on the lives of the others. */
static int nap_with_family(uint32_t *word, uint32_t val, int64_t deadline) {
  struct mp__waitv v[MP__WAITV_MAX];
  uint64_t nslots = mp__load64_rlx(&MP__HEAD->nslots);
  struct mp__slot *me = mp__me();
  unsigned n = 0;
  uint64_t i;

  v[n].word = word;
  v[n++].val = val;
  v[n].word = &MP__HEAD->deaths;
  v[n++].val = mp__load32_seq(&MP__HEAD->deaths);
  for (i = 1; i <= nslots && n < MP__WAITV_MAX; i++) {
    struct mp__slot *s = mp__slot_at(MP__SLOTS + i * MP__SLOT_SIZE);
    uint32_t life = mp__load32_rlx(&s->life.life);

    if (s == me || life == 0 || life & MP__LIFE_DIED)
      continue;
    if (!(life & MP__LIFE_WAITERS))
      life = mp__or32_seq(&s->life.life, MP__LIFE_WAITERS);
    if (life & MP__LIFE_DIED)
      return 0;
    v[n].word = &s->life.life;
    v[n++].val = life | MP__LIFE_WAITERS;
  }
  return mp__futex_waitv(v, n, deadline);
}

int mp__nap(struct mp__nap *nap, uint32_t *word, uint32_t val,
            int64_t deadline) {
  int64_t now = mp_now();
  int64_t until;
  int rc;

  if (now >= deadline)
    return -MP_ETIMEOUT;
  if (nap->naps++ == 0) {
    until = earlier(deadline, now + FIRST_NAP_NS);
    rc = mp__futex_wait(word, val, until);
  } else {
    follow_parent();
    if (scan(time_to_verify(now)))
      return 0;
    until = earlier(deadline, now + NAP_NS);
    rc = nap_with_family(word, val, until);
    if (rc == -ENOSYS)
      rc = mp__futex_wait(word, val, earlier(until, now + BLIND_NAP_NS));
  }
  if (rc != -MP_ETIMEOUT || until == deadline)
    return rc;
  /* A signal that came just before the nap has woken nobody: let the caller
   * look, as if it had. */
  return nap->naps > 1 ? -EINTR : 0;
}
