/* alloc_test.c -- each block that a call asks of the arena is refused once:
 * the call says so, and nothing has changed.
 *
 * The linker puts mp__alloc of this file before the arena's own.
 */
#include "joiner.h"

#include <limits.h>

int __real_mp__alloc(struct mp__txn *t, uint64_t len, uint64_t *off);
int __wrap_mp__alloc(struct mp__txn *t, uint64_t len, uint64_t *off);

static int until = INT_MAX; /* requests before the one that is refused */
static int refused;

int __wrap_mp__alloc(struct mp__txn *t, uint64_t len, uint64_t *off) {
  if (until-- == 0) {
    refused = 1;
    return -ENOMEM;
  }
  return __real_mp__alloc(t, len, off);
}

static void refuse(int nth) {
  until = nth;
  refused = 0;
}

static void refuse_none(void) {
  until = INT_MAX;
}

/* What a call is made with. */
static mp_ref lock, a, b, it;
static char bytes[20000]; /* longer than what goes without a parcel */

struct call {
  const char *what;
  void (*prepare)(void);
  int (*run)(void); /* 0 or an error, and nothing is left of either */
};

static int closed(int rc, mp_ref *held) {
  if (rc < 0)
    CHECK_EQ(*held, MP_REF_EMPTY);
  mp_ref_close(held);
  return rc < 0 ? rc : 0;
}

#define OPENS(name, call)                                                      \
  static int name(void) {                                                      \
    mp_ref r;                                                                  \
                                                                               \
    return closed(call, &r);                                                   \
  }

OPENS(a_lock, mp_mutex_open(&r, 1))
OPENS(an_event, mp_event_open(&r))
OPENS(a_semaphore, mp_sem_open(&r, 1, 0))
OPENS(a_condition, mp_cond_open(&r, lock))
static int open_barrier(mp_ref *held) {
  struct mp_iov iov = {bytes, 100};
  struct mp_out out = {&iov, 1, 0, NULL};

  return mp_barrier_open(held, 2, 0, &out);
}

OPENS(a_barrier, open_barrier(&r))
static void need_barrier(void) {
  REQUIRE(open_barrier(&it) == 0);
}

static int its_action(void) {
  struct mp_msg m = MP_MSG_EMPTY;
  int rc = mp_barrier_action(it, &m);

  mp_msg_close(&m);
  return rc;
}

OPENS(a_queue, mp_queue_open(&r, MP_TYPE_JOINABLE, 0))
static int open_cell(mp_ref *held) {
  static const struct mp_cell cell = {.code = 'd', .n = 20};

  return mp_cell_open(held, MP_TYPE_ARRAY, &cell);
}

OPENS(a_cell, open_cell(&r))
static void need_cell(void) {
  REQUIRE(open_cell(&it) == 0);
}

OPENS(the_lock_of_a_cell, mp_cell_lock(it, &r))
static int a_pipe(void) {
  mp_ref r, s;
  int rc = mp_pipe_open(&r, &s, 0);

  if (rc < 0)
    CHECK_EQ(s, MP_REF_EMPTY);
  mp_ref_close(&s);
  return closed(rc, &r);
}

OPENS(a_seat, mp_proc_open(&r, NULL, 0))
static int a_block(void) {
  char path[60];
  struct mp_map m;
  mp_ref r;
  int rc;

  (void)snprintf(path, sizeof path, "/dev/shm/luamp-alloc-%d", getpid());
  rc = mp_block_create(strrchr(path, '/') + 1, 100, &r, &m);
  if (rc == 0)
    CHECK_EQ(mp_block_unlink(r), 0);
  CHECK(access(path, F_OK) < 0);
  mp_map_close(&m);
  return closed(rc, &r);
}

OPENS(another_hold, mp_ref_dup(lock, &r))
OPENS(a_descriptor, mp_fd_share(1, 1, &r))
static void need_bell(void) {
  REQUIRE(mp_event_open(&it) == 0);
}

static int the_descriptor_of_an_event(void) {
  int fd = mp_event_fd(it);

  mp_fd_close(fd);
  return fd < 0 ? fd : 0;
}

static int send_long(void) {
  return send_bytes(a, bytes, sizeof bytes, MP_NOW);
}

static void need_message(void) {
  REQUIRE(send_long() == 0);
}

static int receive_it(void) {
  char got[sizeof bytes];
  int64_t rc = recv_bytes(b, got, sizeof got, MP_NOW);

  if (rc >= 0)
    CHECK_EQ(rc, sizeof bytes);
  return rc < 0 ? (int)rc : 0;
}

static void need_first_item(void) {
  REQUIRE(mp_queue_open(&it, MP_TYPE_JOINABLE, 0) == 0);
  REQUIRE(put_bytes(it, bytes, sizeof bytes, MP_NOW) == 0);
}

/* For one who has taken some before. */
static void need_item(void) {
  need_first_item();
  REQUIRE(get_bytes(it, bytes, sizeof bytes, MP_NOW) == sizeof bytes);
  REQUIRE(mp_queue_done(it) == 0);
  REQUIRE(put_bytes(it, bytes, sizeof bytes, MP_NOW) == 0);
}

/* One that was not got stays, and is on nobody's account. */
static int get_it(void) {
  char got[sizeof bytes];
  int64_t rc = get_bytes(it, got, sizeof got, MP_NOW);

  if (rc < 0) {
    CHECK_EQ(mp_queue_len(it), 1);
    CHECK_EQ(mp_queue_done(it), -MP_EDONE);
    return (int)rc;
  }
  CHECK_EQ(rc, sizeof bytes);
  CHECK_EQ(mp_queue_done(it), 0);
  CHECK_EQ(mp_queue_join(it, MP_NOW), 0);
  return 0;
}

/* One more does not fit into the first segment. */
static void need_full_segment(void) {
  struct mp__fifo *f;
  uint64_t seg;

  REQUIRE(mp_queue_open(&it, MP_TYPE_QUEUE, 0) == 0);
  f = mp__at(MP_REF_ID(it));
  seg = f->q.put_seg;
  while (mp__units(f->q.put) * MP__UNIT + 232 <=
         ((struct mp__segment *)mp__at(seg))->len)
    REQUIRE(put_bytes(it, bytes, 200, MP_NOW) == 0);
  CHECK_EQ(f->q.put_seg, seg);
}

static int one_more(void) {
  uint32_t n = mp_queue_len(it);
  int rc = put_bytes(it, bytes, 200, MP_NOW);

  CHECK_EQ(mp_queue_len(it), n + (rc == 0));
  return rc;
}

/* Objects whose first rows are taken, by three others. */

enum { OTHERS = 3 };
static mp_ref others[OTHERS], ready[2];

static void start_others(int (*run)(void *)) {
  char byte;
  int i, rc;

  REQUIRE(mp_pipe_open(&ready[0], &ready[1], 0) == 0);
  for (i = 0; i < OTHERS; i++) {
    REQUIRE(mp_proc_open(&others[i], NULL, 0) == 0);
    rc = mp_proc_fork(others[i]);
    REQUIRE(rc >= 0);
    if (rc == 0)
      mp_exit(run(NULL));
    REQUIRE(recv_bytes(ready[1], &byte, 1, in_ms(5000)) == 1);
  }
}

static void end_others(void) {
  int i;

  for (i = 0; i < OTHERS && others[i]; i++) {
    CHECK_EQ(mp_proc_signal(others[i], SIGKILL), 0);
    CHECK_EQ(join_until(others[i], in_ms(5000)), 0);
    mp_ref_close(&others[i]);
  }
  mp_ref_close(&ready[0]);
  mp_ref_close(&ready[1]);
}

static int hold_a_permit(void *arg) {
  (void)arg;
  MUST(mp_sem_acquire(it, MP_NOW) == 0);
  MUST(send_bytes(ready[0], "x", 1, MP_NOW) == 0);
  for (;;)
    (void)pause();
}

static void need_holders(void) {
  REQUIRE(mp_sem_open(&it, 10, 0) == 0);
  start_others(hold_a_permit);
}

static int a_permit(void) {
  int rc = mp_sem_acquire(it, MP_NOW);

  CHECK_EQ(mp_sem_value(it), rc == 0 ? 6 : 7);
  if (rc == 0)
    CHECK_EQ(mp_sem_release(it), 0);
  return rc;
}

/* Says so before, but the parent waits until it is seen there. */
static int wait_at_the_barrier(void *arg) {
  struct mp_arrival arrival = {0};

  (void)arg;
  MUST(send_bytes(ready[0], "x", 1, MP_NOW) == 0);
  while (mp_barrier_wait(it, &arrival, MP_FOREVER) == -EINTR)
    ;
  return 0;
}

static void need_crowd(void) {
  REQUIRE(mp_barrier_open(&it, 10, 0, NULL) == 0);
  start_others(wait_at_the_barrier);
  while (mp_barrier_waiting(it) < OTHERS)
    (void)usleep(100);
}

static int arrive(void) {
  struct mp_arrival arrival = {0};
  int rc = mp_barrier_wait(it, &arrival, MP_NOW);

  CHECK_EQ(mp_barrier_broken(it), rc == -MP_ETIMEOUT);
  return rc == -MP_ETIMEOUT ? 0 : rc;
}

static int wait_for_the_condition(void *arg) {
  struct mp_waiter w = {0};

  (void)arg;
  MUST(mp_mutex_acquire(lock, MP_FOREVER) == 0);
  MUST(send_bytes(ready[0], "x", 1, MP_NOW) == 0);
  while (mp_cond_wait(it, &w, MP_FOREVER) == -EINTR)
    ;
  return 0;
}

static void need_waiters(void) {
  REQUIRE(mp_cond_open(&it, lock) == 0);
  start_others(wait_for_the_condition);
}

static int wait_too(void) {
  struct mp_waiter w = {0};
  int rc;

  CHECK_EQ(mp_mutex_acquire(lock, in_ms(5000)), 0);
  rc = mp_cond_wait(it, &w, MP_NOW);
  CHECK(mp_mutex_mine(lock));
  CHECK_EQ(mp_mutex_release(lock), 0);
  return rc;
}

static void need_process(void) {
  REQUIRE(mp_proc_open(&it, NULL, 0) == 0);
  REQUIRE(set_plan(it, 'e', 0, NULL) == 0);
}

static int began(int rc) {
  if (rc < 0)
    CHECK_EQ(mp_proc_state(it), MP_NEW);
  else
    CHECK_EQ(join_until(it, in_ms(5000)), 0);
  return rc < 0 ? rc : 0;
}

static int no_work(void *arg) {
  (void)arg;
  return 0;
}

static int a_thread(void) {
  return began(start_thread(it, no_work, NULL));
}

static int a_fork(void) {
  int rc = mp_proc_fork(it);

  if (rc == 0)
    mp_exit(0);
  return began(rc);
}

static int a_program(void) {
  return began(mp_proc_spawn(it, joiner_argv));
}

static int a_plan(void) {
  return set_plan(it, 'e', 0, NULL);
}

/* Until the ledger would have to grow. */
static mp_ref fill[200];
static int nfill;

static void fill_ledger(void) {
  for (refuse(0); mp_ref_dup(lock, &fill[nfill]) == 0; refuse(0))
    REQUIRE(++nfill < 200);
  refuse_none();
}

/* The nth request (from 0) of a call is refused; 0 if it makes fewer. */
static int refused_once(const struct call *c, int nth, int full) {
  struct check_use first, use;
  int rc;

  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", &first));
  REQUIRE(mp_mutex_open(&lock, 0) == 0);
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  if (c->prepare)
    c->prepare();
  if (full)
    fill_ledger();
  CHECK(check_arena(c->what, &use));
  refuse(nth);
  rc = c->run();
  refuse_none();
  if (refused) {
    CHECK_EQ(rc, -ENOMEM);
    CHECK(check_same(c->what, &use));
    rc = c->run();
  }
  CHECK_EQ(rc, 0);
  end_others();
  while (nfill > 0)
    mp_ref_close(&fill[--nfill]);
  mp_ref_close(&it);
  mp_ref_close(&lock);
  mp_ref_close(&a);
  mp_ref_close(&b);
  CHECK(check_same("in the end", &first));
  check_leave();
  return refused;
}

/* Each time in a family of its own.  Returns how many requests there are. */
static int each_refused(const struct call *c, int full) {
  enum { ENOUGH = 7 };
  int nth, status, rc = ENOUGH;
  pid_t pid;

  for (nth = 0; nth < 20 && rc == ENOUGH; nth++) {
    pid = test_fork();
    if (pid == 0) {
      rc = refused_once(c, nth, full);
      _exit(test_failures > 0 ? 1 : rc ? ENOUGH : 0);
    }
    status = test_wait(pid);
    rc = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
  }
  if (!CHECK_EQ(rc, 0))
    printf("%s, request %d%s\n", c->what, nth - 1, full ? ", full" : "");
  return nth - 1;
}

TEST_LIMIT(each_refusal_is_said_and_changes_nothing, 60) {
  static const struct call with_a_hold[] = {
      {"a lock", NULL, a_lock},
      {"an event", NULL, an_event},
      {"its descriptor", need_bell, the_descriptor_of_an_event},
      {"a semaphore", NULL, a_semaphore},
      {"a condition", NULL, a_condition},
      {"a barrier", NULL, a_barrier},
      {"its action", need_barrier, its_action},
      {"a queue", NULL, a_queue},
      {"a cell", NULL, a_cell},
      {"the lock of a cell", need_cell, the_lock_of_a_cell},
      {"a pipe", NULL, a_pipe},
      {"a seat", NULL, a_seat},
      {"a block", NULL, a_block},
      {"another hold", NULL, another_hold},
      {"a descriptor", NULL, a_descriptor},
      {"sending", NULL, send_long},
      {"receiving", need_message, receive_it},
      {"an item", need_item, get_it},
      {"a plan", need_process, a_plan}};
  static const struct call more[] = {
      {"a segment", need_full_segment, one_more},
      {"a first item", need_first_item, get_it},
      {"a permit", need_holders, a_permit},
      {"arriving at a barrier", need_crowd, arrive},
      {"waiting for a condition", need_waiters, wait_too}};
  size_t i;

  for (i = 0; i < sizeof with_a_hold / sizeof *with_a_hold; i++) {
    (void)each_refused(&with_a_hold[i], 0);
    CHECK(each_refused(&with_a_hold[i], 1) > 0);
  }
  for (i = 0; i < sizeof more / sizeof *more; i++)
    CHECK(each_refused(&more[i], 0) > 0);
}

TEST_LIMIT(a_start_that_is_refused_leaves_the_process_new, 60) {
  static const struct call starts[] = {{"a fork", need_process, a_fork},
                                       {"a thread", need_process, a_thread},
                                       {"a program", need_process, a_program}};
  int i;

  for (i = 0; i < (TEST_TSAN ? 2 : 3); i++)
    CHECK(each_refused(&starts[i], 0) > 0);
}

/* A process that the host forked has to take a seat before it can own. */
TEST(a_host_s_fork_without_a_seat_owns_nothing) {
  pid_t pid;

  REQUIRE(mp_enter() == 0);
  REQUIRE(mp_mutex_open(&lock, 0) == 0);
  pid = test_fork();
  if (pid == 0) {
    refuse(0);
    CHECK_EQ(mp_mutex_acquire(lock, MP_NOW), -ENOMEM);
    refuse(0);
    CHECK_EQ(mp_mutex_release(lock), -ENOMEM);
    refuse(0);
    CHECK_EQ(mp_mutex_mine(lock), 0);
    refuse_none();
    CHECK_EQ(mp_mutex_acquire(lock, MP_NOW), 0);
    CHECK_EQ(mp_mutex_mine(lock), 1);
    CHECK_EQ(mp_mutex_release(lock), 0);
    test_exit();
  }
  test_join(pid);
  CHECK_EQ(mp_mutex_acquire(lock, MP_NOW), 0);
  CHECK_EQ(mp_mutex_release(lock), 0);
  mp_ref_close(&lock);
  check_leave();
}
