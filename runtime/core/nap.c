/* nap.c -- owns the one way to sleep.
 *
 * First on the word alone, then on the lives of the others, too: who wakes by
 * a death sweeps, which tells all.  If it is killed instead, its own death
 * wakes the next; if it is stopped, the rest look when they have slept enough
 * (NAP_NS, IDLE_NAP_NS).
 */
#include "mp.h"

#include "family.h"
#include "futex.h"
#include "sys.h"

#include <errno.h>

#define FIRST_NAP_NS 20000000 /* before one looks for deaths at all */
#define NAP_NS 500000000
#define IDLE_NAPS 4 /* after so many of these it is an idle one, and sleeps */
#define IDLE_NAP_NS 2000000000
#define BLIND_NAP_NS 50000000 /* without futex_waitv or robust lists */
#define YOUNG_NAP_NS 20000000 /* while one is about to be born; then doubled */

void mp__count_in(uint32_t *count) {
  mp__add32_seq(count, 1);
  mp__store64_seq(&mp__me()->waiting, mp__off(count));
}

void mp__count_out(uint32_t *count) {
  mp__store64_seq(&mp__me()->waiting, 0);
  mp__add32_seq(count, (uint32_t)-1);
}

int mp__is_loose(void) {
  struct mp__slot *me = mp__me();

  return me->flags & MP_PROC_DAEMON && me->parent_name &&
         mp__slot_at(me->parent_name)->flags & MP__PROC_GUEST;
}

static void follow_parent(void) {
  if (mp__is_loose() && mp__slot_verify(mp__slot_at(mp__me()->parent_name)))
    mp__sys_kill_self();
}

static int64_t earlier(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* Is the seat a member's, or one's who is about to be born?  Birth keeps the
 * bit that says that somebody sleeps on the life word. */
static int is_awaited(struct mp__slot *s) {
  return (mp__load64_rlx(&s->obj.type) & 0xff) == MP_TYPE_PROC &&
         mp__load64_rlx(&s->state) >= MP_STARTING &&
         !(mp__load64_rlx(&s->flags) & MP__PROC_SWEPT);
}

/* The word, the count of sweeps, and the lives of the others; how many, or 0
 * when one of these has just ended.  The kernel takes so many words: of a
 * large family each watches those who sit behind it, so that every life is
 * watched by many, and who sweeps tells all. */
static unsigned list_words(struct mp__waitv *v, uint32_t *word, uint32_t val,
                           uint32_t deaths) {
  uint64_t nslots = mp__load64_rlx(&MP__HEAD->nslots);
  uint64_t seat = mp__slot_index(mp__me());
  unsigned n = 0;
  uint64_t i;

  v[n].word = word;
  v[n++].val = val;
  v[n].word = &MP__HEAD->deaths;
  v[n++].val = deaths;
  for (i = 1; i < nslots && n < MP__WAITV_MAX; i++) {
    uint64_t at = 1 + (seat - 1 + i) % nslots;
    struct mp__slot *s = mp__slot_at(MP__SLOTS + at * MP__SLOT_SIZE);
    uint32_t life;

    if (!is_awaited(s))
      continue;
    life = mp__load32_rlx(&s->life.life);
    if (!(life & (MP__LIFE_WAITERS | MP__LIFE_DIED)))
      life = mp__or32_seq(&s->life.life, MP__LIFE_WAITERS);
    if (life & MP__LIFE_DIED) {
      if (mp__slot_dead(s))
        return 0;
      continue; /* a guest's thread, whose process lives on */
    }
    v[n].word = &s->life.life;
    v[n++].val = life | MP__LIFE_WAITERS;
  }
  return n;
}

/* The kernel tells one sleeper of a death.  That one sweeps before all else,
 * which tells the others: its caller may find what it waits for and be gone.
 * It may have been woken by its word, and told while it was about to run. */
static void sweep_listed(const struct mp__waitv *v, unsigned n) {
  unsigned i;

  for (i = 2; i < n; i++)
    if (mp__load32_acq(v[i].word) & MP__LIFE_DIED) {
      (void)mp__scan();
      return;
    }
}

static int nap_with_family(uint32_t *word, uint32_t val, uint32_t deaths,
                           int64_t deadline) {
  struct mp__waitv v[MP__WAITV_MAX];
  unsigned n;
  int rc;

  /* Before the kernel looks at `deaths`: who sweeps counts first and then looks
   * here. */
  mp__add32_seq(&MP__HEAD->napping, 1);
  n = list_words(v, word, val, deaths);
  /* A death that cannot be swept is seen here again and again: Ctrl-C must
   * come through. */
  rc = n ? mp__futex_waitv(v, n, deadline) : -EINTR;
  mp__add32_seq(&MP__HEAD->napping, (uint32_t)-1);
  if (rc == 0)
    sweep_listed(v, n);
  return rc;
}

/* How many naps of this thread in a row nothing has ended: a wait that its
 * caller resumes after -EINTR goes on where it was. */
static _Thread_local unsigned idle;

/* Nobody wakes us when one that is about to be born ends. */
static int64_t nap_ns(int unborn) {
  if (idle >= IDLE_NAPS)
    return unborn ? NAP_NS : IDLE_NAP_NS;
  return unborn ? YOUNG_NAP_NS << idle : NAP_NS;
}

/* The next one is with the family: the caller looks after the deaths that have
 * been told by now, and one that is told later ends that nap. */
static int look_again(struct mp__nap *nap) {
  nap->deaths = mp__load32_seq(&MP__HEAD->deaths);
  return 0;
}

int mp__nap(struct mp__nap *nap, uint32_t *word, uint32_t val,
            int64_t deadline) {
  int first = nap->naps++ == 0;
  int64_t now = mp_now();
  int64_t until;
  int unborn;
  int rc;

  if (now >= deadline)
    return -MP_ETIMEOUT;
  if (first && idle)
    return look_again(nap);
  if (first) {
    until = earlier(deadline, now + FIRST_NAP_NS);
    rc = mp__futex_wait(word, val, until);
  } else {
    follow_parent();
    mp__close_late();
    if (mp__scan_at(now, &unborn)) {
      idle = 0;
      return look_again(nap);
    }
    until = earlier(deadline, now + nap_ns(unborn));
    rc = nap_with_family(word, val, nap->deaths, until);
    if (rc == -ENOSYS)
      rc = mp__futex_wait(word, val, earlier(until, now + BLIND_NAP_NS));
  }
  if (rc != -MP_ETIMEOUT || until == deadline) {
    idle = 0;
    return rc == 0 ? look_again(nap) : rc;
  }
  if (first)
    return look_again(nap);
  /* A signal that came just before the nap has woken nobody: let the caller
   * look, as if it had. */
  idle++;
  return -EINTR;
}
