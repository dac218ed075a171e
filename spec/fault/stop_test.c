/* stop_test.c -- a process is stopped (SIGSTOP) with one of the core's locks in
 * its hand.
 *
 * Nobody may take the lock from it, so what needs the lock cannot be done: but
 * whoever has a deadline comes back by it, whoever has none comes back now and
 * then to look at signals, and all is done after SIGCONT.  Needs a core built
 * with MP_FAULTS.
 */
#include "../core/crew.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define SHORT_MS 50 /* of a deadline; nothing depends on how long it is */

/* Go on with the same deadline until it has come to an end. */
#define SEE_THROUGH(rc, call)                                                  \
  while (((rc) = (call)) == -EINTR)                                            \
  continue

static mp_ref queue, joinable, left, right, lock, sem, cond, barrier, event;
static char bytes[20000];

static void make_all(void) {
  REQUIRE(mp_queue_open(&queue, MP_TYPE_QUEUE, 0) == 0);
  REQUIRE(mp_queue_open(&joinable, MP_TYPE_JOINABLE, 0) == 0);
  REQUIRE(mp_pipe_open(&left, &right, 0) == 0);
  REQUIRE(mp_mutex_open(&lock, 0) == 0);
  REQUIRE(mp_sem_open(&sem, 100, 0) == 0);
  REQUIRE(mp_cond_open(&cond, lock) == 0);
  REQUIRE(mp_barrier_open(&barrier, 2, 0, NULL) == 0);
  REQUIRE(mp_event_open(&event) == 0);
  REQUIRE(put_bytes(queue, "item", 4, MP_NOW) == 0);
  REQUIRE(put_bytes(joinable, "item", 4, MP_NOW) == 0);
}

static void drop_all(void) {
  mp_ref *all[] = {&queue, &joinable, &left,    &right, &lock,
                   &sem,   &cond,     &barrier, &event};
  unsigned i;

  for (i = 0; i < sizeof all / sizeof *all; i++)
    mp_ref_close(all[i]);
}

/* What the victim is at */

static void open_one(void) {
  mp_ref q;

  (void)mp_queue_open(&q, MP_TYPE_QUEUE, 0);
  mp_ref_close(&q);
}

static void put_one(void) {
  (void)put_bytes(queue, "theirs", 6, MP_FOREVER);
}

static void put_long(void) {
  (void)put_bytes(queue, bytes, sizeof bytes, MP_FOREVER);
}

static void get_one(void) {
  (void)get_bytes(queue, bytes, sizeof bytes, MP_FOREVER);
}

static void claim_one(void) {
  (void)get_bytes(joinable, bytes, sizeof bytes, MP_FOREVER);
  (void)mp_queue_done(joinable);
}

static void send_one(void) {
  (void)send_bytes(left, "theirs", 6, MP_FOREVER);
}

static void take_permit(void) {
  int rc;

  SEE_THROUGH(rc, mp_sem_acquire(sem, MP_FOREVER));
  SEE_THROUGH(rc, mp_sem_release(sem));
}

static void come(void) {
  struct mp_arrival a = {0};

  (void)mp_barrier_wait(barrier, &a, MP_NOW);
  mp_barrier_reset(barrier);
}

static void hold_condition(void) {
  struct check_cond *c = mp__at(MP_REF_ID(cond));

  (void)mp__lock_take(&c->lock);
  (void)raise(SIGSTOP);
  mp__lock_drop(&c->lock);
}

/* Where it is stopped, and which lock it then has. */
static const struct stop {
  const char *point;
  void (*act)(void);
} stops[] = {
    {"txn.filled:1", open_one},       {"txn.committed:1", open_one},
    {"txn.write:2", open_one},        {"queue.put.copied:1", put_one},
    {"parcel.copied:1", put_long},    {"txn.filled:2", put_long},
    {"queue.get.copied:1", get_one},  {"claim.made:1", claim_one},
    {"queue.put.copied:1", send_one}, {"sem.taken:1", take_permit},
    {"barrier.arrived:1", come},      {"barrier.reset:1", come},
    {"none:1", hold_condition},
};

static mp_ref start_victim(const struct stop *stop) {
  mp_ref p;
  int rc;

  REQUIRE(mp_proc_open(&p, "victim", 0) == 0);
  rc = mp_proc_fork(p);
  REQUIRE(rc >= 0);
  if (rc == 0) {
    (void)setenv("MP_STOP", stop->point, 1);
    stop->act();
    mp_exit(0);
  }
  return p;
}

static char state_of(mp_ref p) {
  uint64_t start;
  char state = 0;

  (void)mp__sys_procstat(mp_proc_pid(p), &state, &start);
  return state;
}

/* Others, meanwhile: done, or that reason. */

static int fine(int64_t rc, int reason) {
  return rc >= 0 || rc == reason;
}

static void use_queues(int64_t end) {
  char b[64];
  int rc;

  CHECK(fine(put_bytes(queue, "mine", 4, end), -MP_EFULL));
  CHECK(fine(put_bytes(queue, bytes, sizeof bytes, end), -MP_EFULL));
  CHECK(fine(get_bytes(queue, b, sizeof b, end), -MP_EEMPTY));
  CHECK(fine(get_bytes(joinable, b, sizeof b, end), -MP_EEMPTY));
  SEE_THROUGH(rc, mp_queue_join(joinable, end));
  CHECK(fine(rc, -MP_ETIMEOUT));
  CHECK(fine(send_bytes(left, "mine", 4, end), -MP_ETIMEOUT));
  CHECK(fine(send_bytes(left, bytes, sizeof bytes, end), -MP_ETIMEOUT));
  CHECK(fine(recv_bytes(right, b, sizeof b, end), -MP_ETIMEOUT));
  CHECK(fine(recv_bytes(left, b, sizeof b, end), -MP_ETIMEOUT));
}

static void use_the_rest(int64_t end) {
  struct mp_arrival a = {0};
  struct mp_waiter w = {0};
  int rc;

  SEE_THROUGH(rc, mp_sem_acquire(sem, end));
  CHECK(fine(rc, -MP_ETIMEOUT));
  SEE_THROUGH(rc, mp_event_wait(event, 0, end));
  CHECK_EQ(rc, -MP_ETIMEOUT);
  SEE_THROUGH(rc, mp_barrier_wait(barrier, &a, end));
  CHECK(rc == -MP_ETIMEOUT || rc == -MP_EBROKEN);
  SEE_THROUGH(rc, mp_mutex_acquire(lock, end));
  CHECK_EQ(rc, 0);
  SEE_THROUGH(rc, mp_cond_wait(cond, &w, end));
  CHECK(rc == -MP_ETIMEOUT || (rc == 0 && !w.notified));
  CHECK_EQ(mp_mutex_release(lock), 0);
}

static void use_lives(mp_ref victim, mp_ref dead, int64_t end) {
  int code = 0;

  CHECK_EQ(join_until(victim, end), -MP_ETIMEOUT);
  CHECK_EQ(join_until(dead, MP_FOREVER), 0);
  CHECK_EQ(mp_proc_exitcode(dead, &code), 1);
  CHECK_EQ(code, -SIGKILL);
  (void)mp__scan();
}

/* With the very lock wanted: nobody is made to wait unasked. */
static void forever_comes_back(const struct stop *stop) {
  struct mp_iov iov = {"mine", 4};
  struct mp_out out = {&iov, 1, 0, NULL};

  if (stop->act == put_one)
    CHECK_EQ(mp_queue_put(queue, &out, MP_FOREVER, NULL), -EINTR);
  if (stop->act == take_permit) {
    CHECK_EQ(mp_sem_acquire(sem, MP_FOREVER), -EINTR);
    CHECK_EQ(mp_sem_release(sem), -EINTR);
  }
  if (stop->act == send_one)
    CHECK_EQ(mp_pipe_send(left, &out, MP_FOREVER), -EINTR);
}

static mp_ref start_dead(void) {
  mp_ref p;

  REQUIRE(mp_proc_open(&p, "dead", 0) == 0);
  if (mp_proc_fork(p) == 0)
    for (;;)
      (void)pause();
  return p;
}

static void stop_at(const struct stop *stop, const struct check_use *use) {
  mp_ref victim, dead, copies[3];
  unsigned i;

  test_name = stop->point;
  make_all();
  dead = start_dead();
  for (i = 0; i < 3; i++)
    REQUIRE(mp_ref_dup(queue, &copies[i]) == 0);
  victim = start_victim(stop);
  while (state_of(victim) != 'T')
    (void)usleep(200);
  CHECK_EQ(mp_proc_signal(dead, SIGKILL), 0);
  for (i = 0; i < 2; i++) {
    int64_t end = i ? in_ms(SHORT_MS) : MP_NOW;

    use_queues(end);
    use_the_rest(end);
    use_lives(victim, dead, end);
  }
  forever_comes_back(stop);
  (void)mp_queue_void(joinable, 1, 9, (uint32_t[9]){0}, 9);
  (void)mp_sem_value(sem);
  for (i = 0; i < 3; i++)
    mp_ref_close(&copies[i]);
  CHECK_EQ(state_of(victim), 'T'); /* all of it, and it was stopped still */

  CHECK_EQ(mp_proc_signal(victim, SIGCONT), 0);
  CHECK_EQ(join_until(victim, MP_FOREVER), 0);
  CHECK_EQ(join_until(dead, MP_FOREVER), 0);
  mp_ref_close(&victim);
  mp_ref_close(&dead);
  drop_all();
  CHECK(check_same(stop->point, use));
}

TEST_LIMIT(whoever_has_a_deadline_comes_back, 60) {
  const char *self = test_name;
  struct check_use use;
  unsigned i;

  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", &use));
  for (i = 0; i < sizeof stops / sizeof *stops && test_failures == 0; i++)
    stop_at(&stops[i], &use);
  test_name = self;
  check_leave();
}

/* With no deadline: not done while it is stopped, done afterwards. */
static int put_patiently(void *arg) {
  (void)arg;
  return put_bytes(queue, "patient", 7, MP_FOREVER);
}

TEST(whoever_has_none_goes_on_afterwards) {
  static const struct stop stop = {"queue.put.copied:1", put_one};
  struct crew crew = {.threads = 0};
  struct check_use use;
  char b[16];
  mp_ref victim;

  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", &use));
  make_all();
  victim = start_victim(&stop);
  while (state_of(victim) != 'T')
    (void)usleep(200);
  crew_start(&crew, put_patiently, NULL);
  (void)usleep(20000);
  CHECK_EQ(mp_queue_len(queue), 1);
  CHECK_EQ(mp_proc_signal(victim, SIGCONT), 0);
  crew_join(&crew);
  CHECK_EQ(join_until(victim, MP_FOREVER), 0);
  CHECK_EQ(get_bytes(queue, b, sizeof b, MP_NOW), 4);
  CHECK_EQ(get_bytes(queue, b, sizeof b, MP_NOW), 6);
  CHECK_EQ(get_bytes(queue, b, sizeof b, MP_NOW), 7);
  mp_ref_close(&victim);
  drop_all();
  CHECK(check_same("in the end", &use));
  check_leave();
}
