/* robust.c -- owns the thread's robust list: where a member's life hangs.
 *
 * The list is the C library's, which keeps the mutexes there that the thread
 * holds; the kernel knows its head, and at the thread's end it walks the nodes
 * and writes the word that lies at the head's offset from each.  A life is
 * linked as if it were a mutex, in the library's own layout (family.h):
 *
 *            head                       prev           who tells at the end
 *   glibc    known from the start, and  the neighbour  the kernel
 *            a prev before it           before `next`
 *   musl     known once the thread has  the neighbour  the kernel; the library
 *            locked a robust mutex      itself         for a thread that returns
 *
 * Called by the thread whose list it is.
 */
#include "mp.h"

#include "bare.h"
#include "family.h"
#include "sys.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>

#define NODE_OFFSET                                                            \
  ((int64_t)offsetof(struct mp__life, life) -                                  \
   (int64_t)offsetof(struct mp__life, next))

static uint64_t address(const void *p) {
  return (uint64_t)(uintptr_t)p;
}

static uint64_t *pointer(uint64_t address) {
  return (uint64_t *)(uintptr_t)(address & ~(uint64_t)1);
}

#ifdef __GLIBC__
_Static_assert(NODE_OFFSET == -32, "the layout of glibc's mutexes");
enum { BEFORE = 1 }; /* words from what `prev` points at to its node */

static uint64_t *list_head(void) {
  return mp__sys_robust_list();
}

#else
_Static_assert(NODE_OFFSET == -28, "the layout of musl's mutexes");
enum { BEFORE = 0 };

static _Thread_local uint64_t *last_head; /* a host's own fork keeps it */

/* musl tells the kernel when the thread locks its first robust mutex. */
static void make_known(void) {
  pthread_mutexattr_t attr;
  pthread_mutex_t mutex;

  (void)pthread_mutexattr_init(&attr);
  (void)pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
  if (pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0 &&
      pthread_mutex_init(&mutex, &attr) == 0 && pthread_mutex_lock(&mutex) == 0)
    (void)pthread_mutex_unlock(&mutex);
}

/* musl's fork leaves the parent's list in place.  From our life on nothing in
 * it is the child's. */
static void cut(uint64_t *head) {
  uint64_t base = address(mp__here.base);
  uint64_t *at = head;

  while (*at != address(head) && *at - base >= mp__here.window)
    at = pointer(*at);
  *at = address(head);
  head[1] = (uint64_t)NODE_OFFSET;
  mp__sys_set_robust_list(head);
}

static uint64_t *list_head(void) {
  uint64_t *head = mp__sys_robust_list();

  if (!head && last_head)
    cut(last_head);
  else if (!head)
    make_known();
  return last_head = head ? head : mp__sys_robust_list();
}
#endif

void *mp__robust_head(void) {
  uint64_t *head = list_head();

  /* {next, offset, pending}; another list is not ours to use */
  return head && head[1] == (uint64_t)NODE_OFFSET ? head : NULL;
}

MP__NEAR void mp__robust_after_fork(void *head) {
  uint64_t *h = head;

  if (!h)
    return;
  if (BEFORE)
    h[-1] = address(h);
  /* One by one: two at once would come from a page of constants. */
  mp__store64_rlx(&h[0], address(h));
  mp__store64_rlx(&h[1], (uint64_t)NODE_OFFSET); /* musl's fork forgets it */
  mp__store64_rlx(&h[2], 0);
  mp__sys_set_robust_list(h);
}

/* From "not born" to the thread's id; -ESRCH: it was given up meanwhile. */
static int begin_life(struct mp__slot *s) {
  uint32_t seen = 0;

  while (
      !mp__cas32_seq(&s->life.life, &seen, s->tid | (seen & MP__LIFE_WAITERS)))
    if (seen & MP__LIFE_DIED)
      return -ESRCH;
  return 0;
}

MP__NEAR int mp__life_link(struct mp__slot *s, uint64_t *head) {
  struct mp__life *life = &s->life;

  if (!head)
    return begin_life(s);
  life->kind = MP__LIFE_SHARED;
  head[2] = address(&life->next); /* pending: a death from here on is seen */
  if (begin_life(s) < 0) {
    head[2] = 0;
    return -ESRCH;
  }
  life->prev = address(head - BEFORE);
  life->next = head[0];
  if (BEFORE || life->next != address(head))
    pointer(life->next)[-1] = address(&life->next - BEFORE);
  head[0] = address(&life->next);
  head[2] = 0;
  return 0;
}

void mp__life_unlink(struct mp__slot *s) {
  uint64_t *next = pointer(s->life.next);
  uint64_t *prev = pointer(s->life.prev);

  if (s->flags & MP__PROC_BLIND || !next || !prev)
    return;
  if (BEFORE || next != mp__sys_robust_list())
    next[-1] = s->life.prev;
  prev[BEFORE] = s->life.next;
}
