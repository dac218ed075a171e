/* mutex_step_test.c -- what locks and events do, killed at every point. */
#include "step.h"

/* Locks and events */

static mp_ref lock, event, first;

static int acquire_soon(mp_ref l) {
  int rc;

  do
    rc = mp_mutex_acquire(l, in_ms(1000));
  while (rc == -EINTR);
  return rc;
}

static void prepare_lock(void) {
  CHECK_EQ(mp_mutex_open(&lock, 0), 0);
  CHECK_EQ(mp_event_open(&event), 0);
}

static void prepare_rlock(void) {
  CHECK_EQ(mp_mutex_open(&lock, 1), 0);
  CHECK_EQ(mp_event_open(&event), 0);
}

/* Whoever was killed where: the next one gets it, is told at most once, and
 * begins at depth 1. */
static void look_lock(void) {
  int rc = acquire_soon(lock);

  CHECK(rc == 0 || rc == MP_EABANDONED);
  CHECK_EQ(mp_mutex_release(lock), 0);
  CHECK_EQ(mp_mutex_release(lock), -MP_ENOTHELD);
  CHECK_EQ(acquire_soon(lock), 0);
  CHECK_EQ(mp_mutex_release(lock), 0);
  mp_event_set(event);
  CHECK_EQ(mp_event_wait(event, mp_event_sets(event), MP_NOW), 0);
  mp_event_clear(event);
  CHECK_EQ(mp_event_is_set(event), 0);
  mp_ref_close(&lock);
  mp_ref_close(&event);
}

static void lock_and_unlock(void) {
  (void)acquire_soon(lock);
  (void)mp_mutex_acquire(lock, MP_NOW);
  (void)mp_mutex_release(lock);
  (void)mp_mutex_release(lock);
}

STEPPED(take_and_give_a_lock, prepare_lock, lock_and_unlock, look_lock)
STEPPED(take_and_give_a_recursive_lock, prepare_rlock, lock_and_unlock,
        look_lock)

/* It sleeps once, and leaves its mark on the word. */
static void prepare_held_lock(void) {
  prepare_lock();
  CHECK_EQ(acquire_soon(lock), 0);
}

static void lock_in_vain(void) {
  (void)mp_mutex_acquire(lock, mp_now() + 1000000);
}

static void look_held_lock(void) {
  CHECK_EQ(mp_mutex_release(lock), 0);
  look_lock();
}

STEPPED(wait_for_a_lock, prepare_held_lock, lock_in_vain, look_held_lock)

/* The first holder dies; who takes over is killed, too. */
static void die_with_lock(void) {
  (void)mp_mutex_acquire(lock, MP_NOW);
  (void)raise(SIGKILL);
}

static void death_with_lock(void) {
  siginfo_t info;
  int rc;

  REQUIRE(mp_proc_open(&first, "first", 0) == 0);
  rc = mp_proc_fork(first);
  REQUIRE(rc >= 0);
  if (rc == 0)
    die_with_lock();
  CHECK_EQ(waitid(P_PID, (id_t)mp_proc_pid(first), &info,
                  WEXITED | WNOWAIT | __WALL),
           0);
}

static void look_first_and_lock(void) {
  CHECK_EQ(join_until(first, in_ms(1000)), 0);
  mp_ref_close(&first);
  look_lock();
}

STEPPED_AFTER(take_over_a_lock, prepare_lock, lock_and_unlock,
              look_first_and_lock, death_with_lock)

static void set_and_clear(void) {
  mp_event_set(event);
  mp_event_clear(event);
  mp_event_set(event);
}

STEPPED(set_and_clear_an_event, prepare_lock, set_and_clear, look_lock)

static void wait_in_vain(void) {
  (void)mp_event_wait(event, mp_event_sets(event), mp_now() + 1000000);
}

STEPPED(wait_for_an_event, prepare_lock, wait_in_vain, look_lock)

/* With a bell: setting rings, clearing makes it quiet. */
static void prepare_event_bell(void) {
  int fd;

  prepare_lock();
  fd = mp_event_fd(event);
  CHECK(fd > 2);
  mp_fd_close(fd);
}

STEPPED(set_an_event_and_ring, prepare_event_bell, set_and_clear, look_lock)

static void make_locks(void) {
  mp_ref l, e;

  (void)mp_mutex_open(&l, 0);
  (void)mp_event_open(&e);
  mp_ref_close(&l);
  mp_ref_close(&e);
}

STEPPED(make_and_drop_a_lock, NULL, make_locks, NULL)
