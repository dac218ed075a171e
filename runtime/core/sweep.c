/* sweep.c -- owns the end of others: what the dead held is let go of.
 *
 * Whoever notices a death sweeps, a step a transaction; one who is killed
 * doing so is continued by the next.
 */
#include "mp.h"

#include "family.h"
#include "fault.h"
#include "futex.h"
#include "sys.h"

#define VERIFY_NS 2000000000 /* between two looks at /proc for everybody */
#define LEDGER_STEP 8        /* entries let go of in one transaction */

static void sweep_sleeper(struct mp__slot *s) {
  uint64_t off = mp__load64_rlx(&s->waiting);

  if (!off)
    return;
  mp__store64_rlx(&s->waiting, 0);
  (void)mp__add32_seq((uint32_t *)mp__at(off & ~(uint64_t)7) + (off >> 2 & 1),
                      (uint32_t)-1);
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

static void holder_died(uint64_t name) {
  switch (mp_ref_type(name)) {
  case MP_TYPE_PIPE:
    mp__pipe_died(name);
    break;
  case MP_TYPE_QUEUE:
  case MP_TYPE_JOINABLE:
  case MP_TYPE_SIMPLE:
    mp__fifo_died(name);
    break;
  case MP_TYPE_SEM:
  case MP_TYPE_BOUNDED:
    mp__sem_died(name);
    break;
  case MP_TYPE_EVENT:
    mp__event_died(name);
    break;
  default:
    break;
  }
}

void mp__ledger_ring(void) {
  uint64_t at = 0;
  uint64_t name;

  while ((name = mp__ledger_next(&at)))
    holder_died(name);
}

/* Let go of the last entries of a ledger, as many as fit a transaction well;
 * 0 when there are none.  The owner is dead, or was never born. */
int mp__ledger_step(struct mp__txn *t, struct mp__slot *s) {
  uint64_t *e = s->ledger ? mp__ledger(s) : NULL;
  uint64_t i = e ? s->ledger_len : 0;
  int n = 0;

  for (; i > 1 && n < LEDGER_STEP; i--)
    if (!(e[i - 1] & MP__ENTRY_FREE) && e[i - 1]) {
      holder_died(e[i - 1]);
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
  uint32_t seen = 0;

  if (mp__load32_acq(&child->pid) != 0)
    return;
  while (!(seen & (MP__LIFE_DIED | MP__LIFE_TID)) &&
         !mp__cas32_seq(&child->life.life, &seen,
                        MP__LIFE_DIED | (seen & MP__LIFE_WAITERS)))
    ;
}

/* One step, one transaction; 0 when it was the last.  After it the seat may
 * be another's: the last entry to go is often its hold on itself.  *keep is
 * closed after the transaction. */
static int sweep_step(struct mp__txn *t, struct mp__slot *s, int *keep) {
  if (s->plan) { /* it never came to take it up */
    mp__drop_word(t, &s->plan);
    return 1;
  }
  if (s->child) {
    leave_unborn(mp__slot_at(s->child));
    mp__leave_parent(t, mp__slot_at(s->child));
    return 1;
  }
  if (s->blocks) {
    *keep = mp__block_sweep(t, s);
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

uint32_t mp_deaths(void) {
  return mp__load32_seq(&MP__HEAD->deaths);
}

int mp_settle(int64_t deadline) {
  struct mp__txn t;
  int rc;

  if (!mp_entered() || !mp__load32_rlx(&MP__HEAD->big.word))
    return 0;
  rc = mp__begin_by(&t, deadline);
  if (rc == 0)
    mp__abort(&t);
  return rc;
}

void mp__tell_deaths(void) {
  mp__add32_seq(&MP__HEAD->deaths, 1);
  if (mp__load32_seq(&MP__HEAD->napping))
    mp__futex_wake(&MP__HEAD->deaths, INT32_MAX);
}

/* A member is no more: whoever sleeps looks again. */
void mp__tell_end(struct mp__slot *s) {
  mp__tell_deaths();
  if (mp__load32_seq(&MP__HEAD->napping)) {
    mp__futex_wake(&s->life.life, INT32_MAX); /* the kernel woke only one */
  }
}

int mp__sweep(struct mp__slot *s) {
  struct mp__txn t;
  uint64_t steps = 0;
  int more = 1;
  int keep;

  while (more) {
    mp__turn(&steps);
    keep = -1;
    /* A stopped process has the lock: the next look sweeps. */
    if (mp__begin_by(&t, MP_NOW) < 0)
      return 0;
    if (!to_sweep(s)) {
      mp__abort(&t);
      break;
    }
    sweep_sleeper(s);
    more = sweep_step(&t, s, &keep);
    mp__end(&t);
    mp__sys_close(keep);
    MP_FAULT("sweep.step");
  }
  mp__tell_end(s);
  mp__collect();
  return 1;
}

/* Now and then the kernel's word on everybody; one asks for all. */
static int time_to_verify(int64_t now) {
  uint64_t last = mp__load64_rlx(&MP__HEAD->verified);

  return (uint64_t)now - last >= VERIFY_NS &&
         mp__cas64_seq(&MP__HEAD->verified, &last, (uint64_t)now);
}

/* The kernel does not tell of one that ends before its birth (killed on the
 * way, or a command that is no interpreter). */
static int is_unborn(struct mp__slot *s) {
  return mp__load32_acq(&s->pid) != 0 && !mp__life_begun(s);
}

static int scan(int verify, int *unborn) {
  uint64_t n = mp__load64_rlx(&MP__HEAD->nslots);
  struct mp__slot *s;
  uint64_t flags;
  int found_dead = 0;
  int is_young;
  uint64_t i;

  for (i = 1; i <= n; i++) {
    s = mp__slot_at(MP__SLOTS + i * MP__SLOT_SIZE);
    flags = mp__load64_rlx(&s->flags);
    if (mp__load64_rlx(&s->state) < MP_STARTING || flags & MP__PROC_SWEPT)
      continue;
    is_young = unborn && is_unborn(s);
    if ((verify || is_young || flags & MP__PROC_BLIND) &&
        (mp__load64_rlx(&s->obj.type) & 0xff) == MP_TYPE_PROC &&
        !mp__slot_verify(s) && is_young)
      *unborn = 1;
    if (to_sweep(s))
      found_dead += mp__sweep(s);
  }
  return found_dead;
}

int mp__scan(void) {
  return scan(0, NULL);
}

int mp__scan_at(int64_t now, int *unborn) {
  *unborn = 0;
  return scan(time_to_verify(now), unborn);
}
