/* event_test.c -- events: set wakes all, and no set is missed. */
#include "crew.h"

struct shared {
  uint32_t stage;
  uint32_t woken;
};

static struct shared *shared;
static uint64_t at;
static mp_ref event, back;

static void found(struct check_use *use) {
  struct mp__txn t;

  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", use));
  mp__begin(&t);
  REQUIRE(mp__alloc(&t, sizeof *shared, &at) == 0);
  mp__end(&t);
  shared = mp__at(at);
  memset(shared, 0, sizeof *shared);
  REQUIRE(mp_event_open(&event) == 0);
  REQUIRE(mp_event_open(&back) == 0);
}

static void leave(const struct check_use *use) {
  struct mp__txn t;

  mp_ref_close(&event);
  mp_ref_close(&back);
  mp__begin(&t);
  mp__free(&t, at);
  mp__end(&t);
  CHECK(check_same("in the end", use));
  check_leave();
}

static void wait_stage(uint32_t stage) {
  while (mp__load32_acq(&shared->stage) < stage)
    (void)usleep(200);
}

static int wait_since(mp_ref e, uint64_t since, int64_t deadline) {
  int rc;

  do
    rc = mp_event_wait(e, since, deadline);
  while (rc == -EINTR);
  return rc;
}

static int wait_for(mp_ref e, int64_t deadline) {
  return wait_since(e, mp_event_sets(e), deadline);
}

TEST(a_flag) {
  struct check_use use;
  uint64_t since;
  int64_t end;

  found(&use);
  CHECK_EQ(mp_event_is_set(event), 0);
  CHECK_EQ(wait_for(event, MP_NOW), -MP_ETIMEOUT);
  end = in_ms(60);
  CHECK_EQ(wait_for(event, end), -MP_ETIMEOUT);
  CHECK(mp_now() >= end);
  since = mp_event_sets(event);
  mp_event_set(event);
  mp_event_set(event);
  CHECK_EQ(mp_event_sets(event), since + 1); /* it was set already */
  CHECK_EQ(mp_event_is_set(event), 1);
  CHECK_EQ(wait_for(event, MP_NOW), 0);
  mp_event_clear(event);
  mp_event_clear(event);
  CHECK_EQ(mp_event_is_set(event), 0);
  CHECK_EQ(wait_since(event, since, MP_NOW), 0); /* began before the set */
  CHECK_EQ(wait_for(event, MP_NOW), -MP_ETIMEOUT);
  leave(&use);
}

/* Each set is followed by a clear at once: all who wait see it. */
static int wait_twice(void *arg) {
  uint64_t since = mp_event_sets(event);

  (void)arg;
  mp__add32_seq(&shared->stage, 1);
  MUST(wait_since(event, since, in_ms(8000)) == 0);
  mp__add32_seq(&shared->woken, 1);
  return 0;
}

TWICE(all_are_woken) {
  struct crew crew = {.threads = threads};
  struct check_use use;
  uint32_t i;

  found(&use);
  for (i = 0; i < 6; i++)
    crew_start(&crew, wait_twice, NULL);
  wait_stage(6);
  (void)usleep(30000); /* some asleep, some not yet */
  mp_event_set(event);
  mp_event_clear(event);
  crew_join(&crew);
  CHECK_EQ(shared->woken, 6);
  leave(&use);
}

#define ROUNDS 5000

static int answer(void *arg) {
  int i;

  (void)arg;
  for (i = 0; i < ROUNDS; i++) {
    MUST(wait_for(event, in_ms(8000)) == 0);
    mp_event_clear(event);
    mp_event_set(back);
  }
  return 0;
}

TWICE(to_and_fro) {
  struct crew crew = {.threads = threads};
  struct check_use use;
  int i;

  found(&use);
  crew_start(&crew, answer, NULL);
  for (i = 0; i < ROUNDS; i++) {
    mp_event_set(event);
    if (!CHECK_EQ(wait_for(back, in_ms(8000)), 0))
      break;
    mp_event_clear(back);
  }
  crew_join(&crew);
  leave(&use);
}

static int wait_and_stay(void *arg) {
  (void)arg;
  mp__add32_seq(&shared->stage, 1);
  (void)wait_for(event, MP_FOREVER);
  while (pause() < 0)
    ;
  return 0;
}

/* Waiters are killed, asleep or just woken; the rest goes on. */
TEST(waiters_are_killed) {
  struct crew crew = {.threads = 0};
  struct crew victims = {.threads = 0};
  struct check_use use;
  int i;

  found(&use);
  for (i = 0; i < 4; i++)
    crew_start(&victims, wait_and_stay, NULL);
  wait_stage(4);
  crew_start(&crew, wait_twice, NULL);
  wait_stage(5);
  (void)usleep(3000);
  for (i = 0; i < 4; i++) {
    if (i == 2)
      mp_event_set(event);
    CHECK_EQ(mp_proc_signal(victims.proc[i], SIGKILL), 0);
  }
  crew_join(&crew);
  for (i = 0; i < 4; i++) {
    CHECK_EQ(join_until(victims.proc[i], in_ms(5000)), 0);
    mp_ref_close(&victims.proc[i]);
  }
  mp_event_clear(event);
  mp_event_set(event);
  CHECK_EQ(mp_event_is_set(event), 1);
  leave(&use);
}

static int readable(int fd) {
  struct mp_poll p = {.fd = fd};

  return mp_poll(&p, 1, MP_NOW) == 1;
}

static int set_it(void *arg) {
  (void)arg;
  mp_event_set(event);
  return 0;
}

TWICE(the_descriptor_tells) {
  struct crew crew = {.threads = threads};
  struct check_use use;
  int fd, other, i;

  found(&use);
  mp_event_set(event); /* before anybody asks */
  fd = mp_event_fd(event);
  REQUIRE(fd > 2);
  CHECK(readable(fd));
  other = mp_event_fd(event);
  CHECK(readable(other));
  for (i = 0; i < 3; i++) {
    mp_event_clear(event);
    CHECK(!readable(fd));
    CHECK(!readable(other));
    mp_event_rearm(event, fd);
    CHECK(!readable(fd));
    crew_start(&crew, set_it, NULL);
    crew_join(&crew);
    CHECK(readable(fd));
    mp_event_rearm(event, fd); /* it is up: left alone */
    CHECK(readable(fd));
  }
  mp_fd_close(fd);
  mp_fd_close(other);
  leave(&use);
}
