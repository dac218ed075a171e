/* step.h -- one operation, killed at every point that makes a difference.
 *
 * A child performs the operation one instruction at a time under ptrace.
 * Between two steps the shared memory is compared: an instruction that wrote
 * there, or a system call, makes an event.  Then, for each event, another
 * child runs up to it and is killed right behind it; kills between two events
 * would leave the same memory behind.  After each, the survivor looks: is what
 * the child had in hand whole or not there, can the same thing be done at
 * once, are all counts right, is nothing lost?
 */
#ifndef STEP_H
#define STEP_H

#include "../core/crew.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#define SURVIVOR_NS 1000000000 /* how long a survivor may take for anything */
#define STEPS_MAX 2000000
#define EVENTS_MAX 4000

/* What the operations work on, made anew for each round. */
static mp_ref a, b;       /* a pipe */
static mp_ref c, d;       /* another */
static mp_ref holds[400]; /* any number of them */
static int nholds;
static int a_fd; /* of the survivor and so of the child */

struct op {
  void (*prepare)(void); /* in the survivor; may be NULL */
  void (*run)(void);     /* in the child, stepped */
  void (*look)(void);    /* in the survivor, afterwards; may be NULL */
  void (*ready)(void);   /* in the survivor, the child waits; may be NULL */
  int hosts; /* the child is the host's own fork, and no member yet */
};

/* The memory that is compared: the head, the seats, the blocks in use. */

struct snapshot {
  char *copy;
  uint64_t from[3], len[3];
};

static uint64_t blocks_start(void) {
  uint64_t end = MP__SLOTS + (uint64_t)MP__HEAD->max_slots * MP__SLOT_SIZE;

  return (end + 4095) & ~(uint64_t)4095;
}

static void take(struct snapshot *s) {
  struct mp__head *h = MP__HEAD;
  uint64_t at = 0;
  int i;

  s->from[0] = 0;
  s->len[0] = sizeof *h;
  s->from[1] = MP__SLOTS;
  s->len[1] = (h->nslots + 2) * MP__SLOT_SIZE;
  s->from[2] = blocks_start();
  s->len[2] = h->size - s->from[2];
  if (s->len[1] > h->seats_end - MP__SLOTS)
    s->len[1] = h->seats_end - MP__SLOTS;
  if (s->len[2] > 128 << 10)
    s->len[2] = 128 << 10;
  for (i = 0; i < 3; i++)
    at += s->len[i];
  s->copy = realloc(s->copy, at);
  REQUIRE(s->copy != NULL);
  for (at = 0, i = 0; i < 3; at += s->len[i++])
    memcpy(s->copy + at, mp__at(s->from[i]), s->len[i]);
}

static int changed(const struct snapshot *s) {
  uint64_t at = 0;
  int i;

  for (i = 0; i < 3; at += s->len[i++])
    if (memcmp(s->copy + at, mp__at(s->from[i]), s->len[i]) != 0)
      return 1;
  return 0;
}

/* Stepping */

static int wait_stop(pid_t pid) {
  int status = 0;

  while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
    ;
  return status;
}

/* Is the next instruction a system call? */
static int at_syscall(pid_t pid) {
#if defined(__x86_64__)
  struct user_regs_struct regs;
  long word;

  if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0)
    return 0;
  word = ptrace(PTRACE_PEEKTEXT, pid, (void *)(uintptr_t)regs.rip, NULL);
  return (word & 0xffff) == 0x050f;
#elif defined(__aarch64__)
  struct user_regs_struct regs;
  struct iovec iov = {&regs, sizeof regs};
  long word;

  if (ptrace(PTRACE_GETREGSET, pid, (void *)1, &iov) < 0)
    return 0;
  word = ptrace(PTRACE_PEEKTEXT, pid, (void *)(uintptr_t)regs.pc, NULL);
  return (word & 0xffffffff) == 0xd4000001;
#else
  (void)pid;
  return 0;
#endif
}

/* An event, and how to get there again: let the process run into a breakpoint
 * `hits` times, then make `extra` steps (a repeated string instruction), and
 * the one that counts.  Where there are no breakpoints: `steps` steps. */
struct event {
  uint64_t at;
  unsigned hits, extra, steps;
};

static struct event events[EVENTS_MAX];
static int nevents;

static uint64_t where(pid_t pid) {
#if defined(__x86_64__)
  struct user_regs_struct regs;

  if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) == 0)
    return regs.rip;
#endif
  (void)pid;
  return 0;
}

/* One instruction; 0 when that was the last. */
static int step(pid_t pid) {
  int status;

  if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0)
    return 0;
  status = wait_stop(pid);
  if (!WIFSTOPPED(status) || WSTOPSIG(status) == SIGSTOP)
    return 0;
  CHECK_EQ(WSTOPSIG(status), SIGTRAP);
  return WSTOPSIG(status) == SIGTRAP;
}

/* How often each address was come to, so far; a small hash table. */
static struct arrival {
  uint64_t at;
  unsigned n;
} arrivals[1 << 14];

static struct arrival *arrival_at(uint64_t at) {
  unsigned i = (unsigned)(at * 0x9e3779b97f4a7c15ULL >> 50);

  while (arrivals[i].n && arrivals[i].at != at)
    i = (i + 1) % (1 << 14);
  arrivals[i].at = at;
  return &arrivals[i];
}

/* Step through the whole operation and note its events. */
static void record(pid_t pid) {
  static struct snapshot snap;
  uint64_t at, before = 0;
  unsigned steps = 0, extra = 0;
  int call;

  memset(arrivals, 0, sizeof arrivals);
  nevents = 0;
  take(&snap);
  for (;; steps++) {
    at = where(pid);
    call = at_syscall(pid);
    if (at == before)
      extra++;
    else
      extra = 0, arrival_at(at)->n++;
    before = at;
    if (!step(pid))
      return;
    REQUIRE(steps < STEPS_MAX);
    if (!call && !changed(&snap))
      continue;
    take(&snap);
    REQUIRE(nevents < EVENTS_MAX);
    events[nevents++] = (struct event){at, arrival_at(at)->n, extra, steps};
  }
}

/* Run until right behind the event; 0 when the process came to its end and
 * not there. */
static int run_to(pid_t pid, const struct event *e) {
  unsigned i;

#if defined(__x86_64__)
  void *at = (void *)(uintptr_t)e->at;
  struct user_regs_struct regs;
  unsigned hits = where(pid) == e->at;
  long word = ptrace(PTRACE_PEEKTEXT, pid, at, NULL);
  int status;

  while (hits < e->hits) {
    if (hits > 0 && !step(pid)) /* off the breakpoint's place */
      return 0;
    (void)ptrace(PTRACE_POKETEXT, pid, at, (word & ~0xffL) | 0xcc);
    (void)ptrace(PTRACE_CONT, pid, NULL, NULL);
    status = wait_stop(pid);
    if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
      return 0;
    (void)ptrace(PTRACE_POKETEXT, pid, at, word);
    (void)ptrace(PTRACE_GETREGS, pid, NULL, &regs);
    regs.rip = e->at;
    (void)ptrace(PTRACE_SETREGS, pid, NULL, &regs);
    hits++;
  }
  for (i = 0; i <= e->extra; i++)
    if (!step(pid))
      return 0;
#else
  for (i = 0; i <= e->steps; i++)
    if (!step(pid))
      return 0;
#endif
  return 1;
}

static _Noreturn void victim(const struct op *op) {
  (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
  (void)raise(SIGSTOP);
  op->run();
  (void)raise(SIGSTOP);
  _exit(0);
}

static pid_t start_victim(const struct op *op, mp_ref *p) {
  int pid;

  *p = MP_REF_EMPTY;
  if (!op->hosts)
    REQUIRE(mp_proc_open(p, "victim", 0) == 0);
  pid = op->hosts ? fork() : mp_proc_fork(*p);
  REQUIRE(pid >= 0);
  if (pid == 0)
    victim(op);
  if (!op->hosts)
    pid = mp_proc_pid(*p);
  REQUIRE(WIFSTOPPED(wait_stop(pid)));
  return pid;
}

static void end_victim(mp_ref *p, pid_t pid) {
  int unborn;
  int64_t start;

  CHECK_EQ(kill(pid, SIGKILL), 0);
  start = mp_now();
  if (*p == MP_REF_EMPTY) {
    (void)wait_stop(pid);
    (void)mp__scan_at(start, &unborn); /* and not at the next opportunity */
  } else {
    CHECK_EQ(join_until(*p, start + SURVIVOR_NS), 0);
  }
  CHECK(mp_now() - start < SURVIVOR_NS);
  mp_ref_close(p);
}

/* No block is to be had but fresh ones: the free lists are hidden for a
 * while. */
static uint64_t hidden[MP__CLASSES], hidden_retained;

static void hide_free(void) {
  struct mp__head *h = MP__HEAD;

  memcpy(hidden, h->free, sizeof hidden);
  hidden_retained = h->retained;
  memset(h->free, 0, sizeof h->free);
  h->retained = 0;
}

static void show_free(void) {
  struct mp__head *h = MP__HEAD;
  struct mp__txn t;
  int i;

  mp__begin(&t); /* and what the dead left in the journal is written */
  for (i = 0; i < MP__CLASSES; i++) {
    uint64_t *link = &h->free[i];

    while (*link)
      link = &((struct check_block *)mp__at(*link))->next;
    *link = hidden[i];
    hidden[i] = 0;
  }
  h->retained += hidden_retained;
  hidden_retained = 0;
  mp__abort(&t);
}

static void make(const struct op *op) {
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  REQUIRE(mp_pipe_open(&c, &d, MP_PIPE_SIMPLEX) == 0);
  nholds = 0;
  if (op->prepare)
    op->prepare();
}

static void unmake(void) {
  mp_ref_close(&a);
  mp_ref_close(&b);
  mp_ref_close(&c);
  mp_ref_close(&d);
  while (nholds > 0)
    mp_ref_close(&holds[--nholds]);
}

/* Whatever was under way, the pipe works both ways, and is empty then. */
static void pipe_works(void) {
  static char bytes[9000];
  int64_t n, end = mp_now() + SURVIVOR_NS;

  CHECK_EQ(send_bytes(a, "end", 3, end), 0);
  do {
    n = recv_bytes(b, bytes, sizeof bytes, end);
    REQUIRE(n >= 0);
  } while (n != 3 || memcmp(bytes, "end", 3) != 0);
  CHECK_EQ(send_bytes(b, bytes, sizeof bytes, end), 0);
  CHECK_EQ(recv_bytes(a, bytes, sizeof bytes, end), sizeof bytes);
  CHECK_EQ(send_refs(a, "x", 1, &c, 1, end), 0);
  CHECK_EQ(recv_bytes(b, bytes, 1, end), 1);
  CHECK(mp_now() < end);
}

static void some_other_things_work(void) {
  mp_ref p, f;
  int fd;

  CHECK_EQ(mp_proc_open(&p, NULL, 0), 0);
  CHECK_EQ(mp_fd_share(1, 1, &f), 0);
  fd = mp_fd_get(f);
  CHECK(fd > 2);
  mp_fd_close(fd);
  mp_ref_close(&f);
  mp_ref_close(&p);
}

/* One kill, and what is left behind. */
static int round_of(const struct op *op, int n, int fresh,
                    const struct check_use *use) {
  char when[60];
  mp_ref p;
  pid_t pid;
  int there, good;

  (void)snprintf(when, sizeof when, "%safter a kill at event %d of %d",
                 fresh ? "fresh, " : "", n, nevents);
  make(op);
  if (fresh)
    hide_free();
  pid = start_victim(op, &p);
  if (op->ready)
    op->ready();
  there = run_to(pid, &events[n]);
  end_victim(&p, pid);
  if (fresh)
    show_free();
  good = check_arena(when, NULL);
  if (!good)
    return -1;
  if (op->look)
    op->look();
  pipe_works();
  some_other_things_work();
  unmake();
  return check_same(when, use) ? there : -1;
}

static void rounds(const struct op *op, int fresh,
                   const struct check_use *use) {
  struct check_use now;
  uint64_t top = 0;
  int missed = 0, n, rc;
  mp_ref p;
  pid_t pid;

  make(op);
  if (fresh)
    hide_free();
  pid = start_victim(op, &p);
  if (op->ready)
    op->ready();
  record(pid);
  end_victim(&p, pid);
  if (fresh)
    show_free();
  if (op->look)
    op->look();
  unmake();
  CHECK(nevents > 2);
  for (n = 0; n < nevents; n++) {
    rc = round_of(op, n, fresh, use);
    if (rc < 0)
      return;
    missed += !rc;
    CHECK(check_arena("in between", &now));
    if (n == 2)
      top = now.top;
  }
  if (!fresh)
    CHECK(now.top <= top + (16 << 10)); /* an event may take another path */
  if (getenv("TEST_VERBOSE"))
    printf("%s: %d events, %d missed\n", test_name, nevents, missed);
  CHECK(missed <= nevents / 2);
}

static void killed_everywhere(const struct op *op) {
  struct check_use use;

  REQUIRE(mp_enter() == 0);
  a_fd = mp__sys_eventfd(0);
  make(op);
  unmake();
  CHECK(check_arena("at first", &use));
  rounds(op, 0, &use);
  if (test_failures == 0)
    rounds(op, 1, &use);
  CHECK(check_same("in the end", &use));
  mp__sys_close(a_fd);
  check_leave();
}

#define STEPPED(name, prepare, run, look)                                      \
  STEPPED_AFTER(name, prepare, run, look, NULL)
#define STEPPED_AFTER(name, prepare, run, look, ready)                         \
  TEST_LIMIT(name, 60) {                                                       \
    static const struct op op = {prepare, run, look, ready, 0};                \
    killed_everywhere(&op);                                                    \
  }
#define STEPPED_BY_THE_HOST(name, run)                                         \
  TEST_LIMIT(name, 60) {                                                       \
    static const struct op op = {NULL, run, NULL, NULL, 1};                    \
    killed_everywhere(&op);                                                    \
  }

#endif
