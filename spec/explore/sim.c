/* sim.c -- owns the simulated processes: fibres, their futexes, their clock
 * and their deaths.
 *
 * The core's objects are linked with --wrap, so what would ask the kernel asks
 * this file; outside of fibres it goes on to the real thing.
 */
#include "explore.h"
#include "futex.h"
#include "spin.h"
#include "sys.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK (256 << 10)
#define HOUR INT64_C(3600000000000)
#define FIRST_PID 1000000
#define STEPS_MAX 200000 /* of one schedule: else it runs in circles */
#define RESCUES_MAX 40   /* naps that had to end by themselves after a death */
#define LAST_RESORT INT64_C(20000000000) /* less than these take */
#define FDS_LOST 4 /* that a fibre may have open when it is killed */

struct fibre {
  ucontext_t context;
  char *stack;
  struct mp__slot *seat;
  mp_ref held;
  uint64_t owner;
  enum sim_state state;
  uint32_t *word[MP__WAITV_MAX]; /* asleep on these; NULL: woken by that */
  unsigned nwords;
  int64_t until; /* asleep: no longer than that */
  int timed_out; /* it was */
};

static const struct scenario *scene;
static struct fibre fibres[SIM_MAX];
static ucontext_t outside;
static int current = -1; /* -1: outside */
static int64_t clock_ns = HOUR;
static uint32_t deaths;
static unsigned steps, rescues;
static int failed;
static int64_t asked_for;      /* the deadline that the scenario knows */
static int64_t began;          /* the schedule */
static struct sim_calls calls; /* of the kernel, in this schedule */
static int first_fd;           /* from here on they are of fibres that died */

/* The state to go back to: the head, the seats, the blocks. */
static struct piece {
  uint64_t from, len;
  char *copy;
} pieces[3];

/* Back to sim_run: the schedule is over. */
static void __attribute__((noreturn)) leave(void) {
  current = -1;
  (void)setcontext(&outside);
  abort();
}

/* Failing */

void sim_fail(const char *format, ...) {
  va_list args;

  printf("%s: ", scene->name);
  va_start(args, format);
  (void)vprintf(format, args);
  va_end(args);
  printf("\n  %s\n", search_replay());
  (void)fflush(stdout);
  if (current < 0)
    exit(1);
  failed = 1;
  leave();
}

int sim_failed(void) {
  return failed;
}

/* Switching */

static void enter(int who) {
  int from = current;
  struct fibre *f = &fibres[who];

  current = who;
  mp__set_me(f->seat, 1);
  mp__owner_word = f->owner;
  if (from == who)
    return;
  if (from < 0)
    (void)swapcontext(&outside, &f->context);
  else
    (void)swapcontext(&fibres[from].context, &f->context);
}

static int killed(int who) {
  struct fibre *f = &fibres[who];
  uint32_t life = f->seat->life.life;

  f->state = SIM_DEAD;
  deaths++;
  f->seat->life.life = MP__LIFE_DIED | (life & MP__LIFE_WAITERS);
  if (scene->died)
    scene->died(who);
  return (life & MP__LIFE_WAITERS) != 0;
}

static void wake(uint32_t *word, int n);

static void kill_one(int who) {
  if (killed(who))
    wake(&fibres[who].seat->life.life, 1);
}

/* What may happen at this point: `self` goes on, if it can; another does (then
 * that is a preemption); somebody dies; the deadline of a sleeper passes; or,
 * when nobody can go on, just time. */
struct choice {
  int who;
  enum { GOES_ON, DIES, IS_LATE, TIME } what;
};

static int list_choices(struct choice *c, int self) {
  int could = self >= 0 && fibres[self].state == SIM_READY;
  int n = 0;
  int ready;
  int i;

  if (could)
    c[n++] = (struct choice){self, GOES_ON};
  if (!could || search_may_preempt())
    for (i = 0; i < scene->n; i++)
      if (i != self && fibres[i].state == SIM_READY)
        c[n++] = (struct choice){i, GOES_ON};
  ready = n;
  if (ready == 0 && deaths == 0)
    return 0; /* that is no time to die: they must get on without */
  if (ready == 0)
    c[n++] = (struct choice){0, TIME};
  if ((int)deaths < scene->crashes)
    for (i = 0; i < scene->n; i++)
      if (i == self ? could : !could && fibres[i].state == SIM_ASLEEP)
        c[n++] = (struct choice){i, DIES};
  for (i = 0; ready > 0 && i < scene->n; i++)
    if (fibres[i].state == SIM_ASLEEP && fibres[i].until == asked_for)
      c[n++] = (struct choice){i, IS_LATE};
  return n;
}

static int64_t first_to_wake(void) {
  int64_t first = -1;
  int i;

  for (i = 0; i < scene->n; i++)
    if (fibres[i].state == SIM_ASLEEP && (first < 0 || fibres[i].until < first))
      first = fibres[i].until;
  return first;
}

static void set_clock(int64_t now) {
  int i;

  clock_ns = now;
  for (i = 0; i < scene->n; i++)
    if (fibres[i].state == SIM_ASLEEP && fibres[i].until <= now) {
      fibres[i].state = SIM_READY;
      fibres[i].timed_out = 1;
    }
}

/* Everybody sleeps: time passes until the first of them has slept enough.  0
 * when nobody is left.  A sleep that ends by itself, and not at the time that
 * the scenario asked for, must have its reason in a death. */
static int pass_time(void) {
  int64_t first = first_to_wake();

  if (first < 0)
    return 0;
  if (first == MP_FOREVER)
    sim_fail("all sleep, for ever");
  if (first != asked_for && deaths == 0)
    sim_fail("all sleep, and nobody has died");
  if (first != asked_for && rescues++ > RESCUES_MAX)
    sim_fail("the survivors do not get on");
  set_clock(first);
  return 1;
}

/* There are only pollers and sleepers: after a death the next of these wakes by
 * itself; if there are no such, another poller looks.  0: nobody is left. */
static int look_again(int self) {
  int i, who;

  for (i = 1; i <= scene->n; i++) {
    who = (self + i) % scene->n;
    if (fibres[who].state == SIM_PAUSED) {
      if (deaths == 0 || !pass_time())
        fibres[who].state = SIM_READY;
      return 1;
    }
  }
  return pass_time();
}

/* Who goes on?  Returns in the fibre that called, when it is its turn. */
static void schedule(void) {
  struct choice c[3 * SIM_MAX];
  int self = current;
  int n;
  int pick;

  for (;;) {
    n = list_choices(c, self);
    pick = n > 0 ? search_pick(n) : -1;
    if (pick < 0 || c[pick].what == TIME) {
      if (!look_again(self))
        leave();
      continue;
    }
    if (c[pick].what == GOES_ON)
      break;
    if (c[pick].what == IS_LATE) {
      set_clock(asked_for);
      continue;
    }
    kill_one(c[pick].who);
    if (c[pick].who == self)
      self = -1;
  }
  if (self >= 0 && fibres[self].state == SIM_READY && c[pick].who != self)
    search_preempted();
  fibres[c[pick].who].state = SIM_READY;
  enter(c[pick].who);
}

void sim_step(void) {
  int i;

  if (current < 0)
    return;
  if (++steps > STEPS_MAX)
    sim_fail("it runs in circles");
  for (i = 0; i < scene->n; i++) /* somebody does something: look again */
    if (fibres[i].state == SIM_PAUSED && i != current)
      fibres[i].state = SIM_READY;
  schedule();
}

void sim_pause(void) {
  if (current < 0)
    return;
  if (++steps > STEPS_MAX)
    sim_fail("it runs in circles");
  fibres[current].state = SIM_PAUSED;
  schedule();
}

/* The kernel's part */

/* Who sleeps on several words and is woken by one stays in the queues of the
 * others until it runs: it takes wakes that others could use. */
static int wake_fibre(struct fibre *f, uint32_t *word) {
  unsigned k;

  if (f->state != SIM_ASLEEP && f->state != SIM_READY)
    return 0;
  for (k = 0; k < f->nwords; k++)
    if (f->word[k] == word) {
      f->word[k] = NULL;
      f->state = SIM_READY;
      f->timed_out = 0;
      return 1;
    }
  return 0;
}

static void wake(uint32_t *word, int n) {
  int i;

  for (i = 0; i < scene->n && n > 0; i++)
    n -= wake_fibre(&fibres[i], word);
}

static int sleep_on(int64_t until) {
  struct fibre *f = &fibres[current];

  f->until = until;
  f->timed_out = 0;
  f->state = SIM_ASLEEP;
  schedule();
  f->nwords = 0;
  return f->timed_out ? -MP_ETIMEOUT : 0;
}

/* Nobody else does anything: who looks at what is left only waits for time. */
static int sleep_outside(int64_t until) {
  if (until == MP_FOREVER || rescues++ > RESCUES_MAX)
    sim_fail("nobody is left, and it cannot be had");
  clock_ns = until;
  return -MP_ETIMEOUT;
}

int __wrap_mp__futex_wait(uint32_t *word, uint32_t val, int64_t deadline);
int __wrap_mp__futex_wait(uint32_t *word, uint32_t val, int64_t deadline) {
  if (current < 0)
    return sleep_outside(deadline);
  sim_step();
  calls.waits++;
  if (*word != val)
    return 0;
  fibres[current].word[0] = word;
  fibres[current].nwords = 1;
  return sleep_on(deadline);
}

int __wrap_mp__futex_waitv(const struct mp__waitv *list, unsigned n,
                           int64_t deadline);
int __wrap_mp__futex_waitv(const struct mp__waitv *list, unsigned n,
                           int64_t deadline) {
  unsigned i;

  if (current < 0)
    return sleep_outside(deadline);
  sim_step();
  for (i = 0; i < n; i++) {
    if (*list[i].word != list[i].val)
      return 0;
    fibres[current].word[i] = list[i].word;
  }
  fibres[current].nwords = n;
  return sleep_on(deadline);
}

void __wrap_mp__futex_wake(uint32_t *word, int n);
void __wrap_mp__futex_wake(uint32_t *word, int n) {
  sim_step();
  calls.wakes++;
  if (current >= 0)
    wake(word, n);
}

int64_t __wrap_mp_now(void);
int64_t __wrap_mp_now(void) {
  return clock_ns;
}

int __wrap_mp__sys_affinity(void);
int __wrap_mp__sys_affinity(void) {
  return 1; /* no CPU to poll on */
}

int __wrap_mp__sys_procstat(int pid, char *state, uint64_t *start);
int __wrap_mp__sys_procstat(int pid, char *state, uint64_t *start) {
  int who = pid - FIRST_PID;

  calls.looks++;
  if (who >= 0 && who < scene->n && fibres[who].state == SIM_DEAD)
    return -ESRCH;
  *state = 'S';
  *start = 0;
  return 0;
}

int __real_mp__sys_peek_fd(int sock, unsigned at);
int __wrap_mp__sys_peek_fd(int sock, unsigned at);
int __wrap_mp__sys_peek_fd(int sock, unsigned at) {
  calls.peeks++;
  return __real_mp__sys_peek_fd(sock, at);
}

/* A schedule */

static void run_fibre(int who) {
  scene->run(who);
  fibres[who].state = SIM_OVER;
  schedule();
}

static void restore(void) {
  unsigned i;
  int fd;

  for (i = 0; i < 3; i++)
    memcpy(mp__at(pieces[i].from), pieces[i].copy, pieces[i].len);
  for (fd = first_fd; deaths > 0 && fd < first_fd + FDS_LOST; fd++)
    (void)close(fd);
}

/* nap.c knows how idle the thread was: it has just had something to do. */
static void forget_naps(void) {
  struct mp__nap nap = {.naps = 1};
  uint32_t word = 0;

  (void)mp__nap(&nap, &word, 0, clock_ns + 1);
}

static void begin_fibre(int who) {
  struct fibre *f = &fibres[who];

  (void)getcontext(&f->context);
  f->context.uc_stack.ss_sp = f->stack;
  f->context.uc_stack.ss_size = STACK;
  f->context.uc_link = NULL;
  makecontext(&f->context, (void (*)(void))run_fibre, 1, who);
  f->state = SIM_READY;
  f->nwords = 0;
}

void sim_run(void) {
  struct mp__slot *me = mp__me();
  int i;

  forget_naps();
  restore();
  clock_ns += HOUR; /* whoever looks at the clock finds much time gone */
  began = clock_ns;
  asked_for = 0;
  deaths = 0;
  steps = rescues = 0;
  calls = (struct sim_calls){0};
  failed = 0;
  for (i = 0; i < scene->n; i++)
    begin_fibre(i);
  scene->begin();
  enter(search_pick(scene->n));
  mp__set_me(me, 1);
  if (!failed)
    scene->end();
}

int64_t sim_deadline(void) {
  asked_for = clock_ns + 1000000;
  return asked_for;
}

int64_t sim_last_resort(void) {
  return began + LAST_RESORT;
}

int sim_alive(int who) {
  return who >= scene->n || fibres[who].state != SIM_DEAD;
}

mp_ref sim_seat(int who) {
  return who < scene->n ? fibres[who].held : MP_REF_EMPTY;
}

uint64_t sim_owner(int who) {
  return fibres[who].owner;
}

uint32_t sim_deaths(void) {
  return deaths;
}

struct sim_calls sim_calls(void) {
  return calls;
}

/* The scene */

static void seat(int who) {
  struct fibre *f = &fibres[who];
  struct mp__slot *s;
  char name[8];

  (void)snprintf(name, sizeof name, "P%d", who);
  if (mp_proc_open(&f->held, name, 0) < 0)
    exit(1);
  s = f->seat = mp__at(MP_REF_ID(f->held));
  s->state = MP_RUNNING;
  s->method = MP_FORK;
  s->flags = MP__PROC_PIPED; /* as most have */
  s->pid = s->tid = (uint32_t)(FIRST_PID + who);
  s->life.life = s->tid;
  f->owner = mp__slot_index(s) | (s->gen & 0x7fff) << 16;
  if (!f->stack)
    f->stack = malloc(STACK);
}

static void keep(unsigned i, uint64_t from, uint64_t to) {
  pieces[i].from = from;
  pieces[i].len = to - from;
  pieces[i].copy = malloc(to - from);
  memcpy(pieces[i].copy, mp__at(from), to - from);
}

void sim_make(const struct scenario *s) {
  uint64_t zero = 0;
  int i;

  scene = s;
  if (mp_enter() < 0)
    exit(1);
  for (i = 0; i < s->n; i++)
    seat(i);
  s->make();
  (void)mp__spin(&zero, 0, 0); /* what it finds out once, it knows now */
  keep(0, 0, sizeof(struct mp__head));
  keep(1, MP__SLOTS, MP__SLOTS + (MP__HEAD->nslots + 1) * MP__SLOT_SIZE);
  keep(2, MP__SLOTS + MP__HEAD->max_slots * MP__SLOT_SIZE, MP__HEAD->top);
  first_fd = dup(0);
  (void)close(first_fd);
}
