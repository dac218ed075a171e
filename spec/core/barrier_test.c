/* barrier_test.c -- barriers: all or none pass, and nobody waits for the
 * dead. */
#include "layout.h"
#include "stop.h"

static mp_ref bar;
static struct shared {
  uint32_t ready;
  uint32_t came; /* in all phases */
  uint32_t acted;
  uint32_t firsts;
} * shared;
static uint64_t shared_at;

static void found(struct check_use *use) {
  struct mp__txn t;

  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", use));
  mp__begin(&t);
  REQUIRE(mp__alloc(&t, sizeof *shared, &shared_at) == 0);
  mp__end(&t);
  shared = mp__at(shared_at);
  memset(shared, 0, sizeof *shared);
}

static void open_for(uint32_t parties, const char *action) {
  struct mp_iov iov = {action, action ? strlen(action) : 0};
  struct mp_out out = {&iov, 1, 0, NULL};

  REQUIRE(mp_barrier_open(&bar, parties, 0.5, action ? &out : NULL) == 0);
}

static void leave(const struct check_use *use) {
  struct mp__txn t;

  mp_ref_close(&bar);
  mp__begin(&t);
  mp__free(&t, shared_at);
  mp__end(&t);
  CHECK(check_same("in the end", use));
  check_leave();
}

/* As the binding does it. */
static int pass(int64_t deadline) {
  struct mp_arrival a = {0};
  int rc;

  do
    rc = mp_barrier_wait(bar, &a, deadline);
  while (rc == -EINTR);
  if (rc != 0)
    return rc;
  mp__add32_seq(&shared->acted, 1);
  return mp_barrier_acted(bar, &a, 1);
}

static void until(const uint32_t *word, uint32_t n) {
  int64_t end = in_ms(5000);

  while (mp__load32_seq(word) != n && mp_now() < end)
    (void)usleep(100);
  CHECK_EQ(*word, n);
}

static void until_waiting(uint32_t n) {
  int64_t end = in_ms(5000);

  while (mp_barrier_waiting(bar) != n && mp_now() < end)
    (void)usleep(100);
  CHECK_EQ(mp_barrier_waiting(bar), n);
}

TEST(for_one) {
  struct check_use use;
  struct mp_msg m;
  int i;

  found(&use);
  open_for(1, NULL);
  CHECK_EQ(mp_barrier_parties(bar), 1);
  CHECK(mp_barrier_patience(bar) == 0.5);
  CHECK_EQ(mp_barrier_action(bar, &m), -ENOENT);
  for (i = 0; i < 5; i++)
    CHECK_EQ(pass(MP_NOW), 1);
  mp_ref_close(&bar);
  open_for(1, "act");
  CHECK_EQ(mp_barrier_action(bar, &m), 0);
  CHECK_EQ(m.len, 3);
  CHECK(memcmp(m.data, "act", 3) == 0);
  mp_msg_close(&m);
  for (i = 0; i < 5; i++)
    CHECK_EQ(pass(MP_NOW), 1);
  CHECK_EQ(shared->acted, 5);
  leave(&use);
}

TEST(breaks_when_the_time_is_up) {
  struct check_use use;

  found(&use);
  open_for(2, NULL);
  CHECK_EQ(mp_barrier_broken(bar), 0);
  CHECK_EQ(pass(in_ms(30)), -MP_ETIMEOUT);
  CHECK_EQ(mp_barrier_broken(bar), 1);
  CHECK_EQ(mp_barrier_waiting(bar), 0);
  CHECK_EQ(pass(in_ms(30)), -MP_EBROKEN);
  mp_barrier_reset(bar);
  CHECK_EQ(mp_barrier_broken(bar), 0);
  mp_barrier_abort(bar);
  CHECK_EQ(mp_barrier_broken(bar), 1);
  CHECK_EQ(pass(MP_FOREVER), -MP_EBROKEN);
  leave(&use);
}

#define ROUNDS 1500
#define PARTIES 4

/* In each phase all have come before one goes, and each has its own index. */
static int in_step(void *arg) {
  int i, rc;

  (void)arg;
  for (i = 1; i <= ROUNDS; i++) {
    mp__add32_seq(&shared->came, 1);
    rc = pass(MP_FOREVER);
    MUST(rc >= 1 && rc <= PARTIES);
    MUST(mp__load32_seq(&shared->came) >= (uint32_t)(i * PARTIES));
    if (rc == 1)
      mp__add32_seq(&shared->firsts, 1);
  }
  return 0;
}

static void all_in_step(int threads, const char *action) {
  struct check_use use;

  found(&use);
  open_for(PARTIES, action);
  crew_all(threads, PARTIES, in_step, NULL);
  CHECK_EQ(shared->came, ROUNDS * PARTIES);
  CHECK_EQ(shared->firsts, ROUNDS);
  CHECK_EQ(shared->acted, action ? ROUNDS : 0);
  leave(&use);
}

TWICE(in_step) {
  all_in_step(threads, NULL);
}

TWICE(in_step_with_an_action) {
  all_in_step(threads, "act");
}

static int expect(void *arg) {
  MUST(pass(MP_FOREVER) == (int)(intptr_t)arg);
  return 0;
}

static void broken_by(int threads, void (*how)(mp_ref)) {
  struct crew crew = {.threads = threads};
  struct check_use use;
  int i;

  found(&use);
  open_for(4, NULL);
  for (i = 0; i < 3; i++)
    crew_start(&crew, expect, (void *)(intptr_t)-MP_EBROKEN);
  until_waiting(3);
  how(bar);
  crew_join(&crew);
  CHECK_EQ(mp_barrier_broken(bar), how != mp_barrier_reset);
  mp_barrier_reset(bar);
  CHECK_EQ(mp_barrier_waiting(bar), 0);
  leave(&use);
}

TWICE(broken_by_abort) {
  broken_by(threads, mp_barrier_abort);
}

TWICE(broken_by_reset) {
  broken_by(threads, mp_barrier_reset);
}

TWICE(broken_by_one_whose_time_is_up) {
  struct crew crew = {.threads = threads};
  struct check_use use;

  found(&use);
  open_for(3, NULL);
  crew_start(&crew, expect, (void *)(intptr_t)-MP_EBROKEN);
  until_waiting(1);
  CHECK_EQ(pass(in_ms(20)), -MP_ETIMEOUT);
  crew_join(&crew);
  leave(&use);
}

/* Resets and aborts from aside, parties that come and go: whoever passes has
 * passed with all the others. */
static int come_and_go(void *arg) {
  int i, rc;

  for (i = 0; i < 2000; i++) {
    rc = pass(MP_FOREVER);
    MUST(rc == -MP_EBROKEN || (rc >= 1 && rc <= 2));
    if (rc > 0)
      mp__add32_seq(&shared->came, 1);
    else
      mp__store32_seq(&shared->ready, 1);
  }
  mp__store32_seq(&shared->firsts, 1);
  mp_barrier_abort(bar);
  (void)arg;
  return 0;
}

static int meddle(void *arg) {
  (void)arg;
  while (!mp__load32_seq(&shared->firsts)) {
    (void)usleep(50);
    mp_barrier_reset(bar);
  }
  mp_barrier_abort(bar);
  return 0;
}

TWICE(reset_under_way) {
  struct crew crew = {.threads = threads};
  struct check_use use;

  found(&use);
  open_for(2, NULL);
  crew_start(&crew, come_and_go, NULL);
  crew_start(&crew, come_and_go, NULL);
  crew_start(&crew, meddle, NULL);
  crew_join(&crew);
  CHECK_EQ(shared->came % 2, 0);
  leave(&use);
}

/* One that was interrupted has not come; the others close the gap. */
TEST(one_leaves) {
  struct crew crew = {.threads = 0};
  struct mp_arrival a = {0};
  struct check_use use;

  found(&use);
  open_for(3, NULL);
  CHECK(mp_barrier_wait(bar, &a, in_ms(40)) == -MP_ETIMEOUT);
  mp_barrier_leave(bar, &a); /* nothing to leave */
  mp_barrier_reset(bar);
  do { /* naps return -EINTR in the end */
    a.row = 0;
    CHECK_EQ(mp_barrier_wait(bar, &a, MP_FOREVER), -EINTR);
  } while (!a.row);
  CHECK_EQ(mp_barrier_waiting(bar), 1);
  crew_start(&crew, expect, (void *)1); /* will have come second */
  until_waiting(2);
  mp_barrier_leave(bar, &a);
  CHECK_EQ(mp_barrier_waiting(bar), 1);
  crew_start(&crew, expect, (void *)2);
  until_waiting(2);
  CHECK_EQ(pass(MP_FOREVER), 3);
  crew_join(&crew);
  leave(&use);
}

/* Deaths */

static int wait_for_ever(void *arg) {
  (void)arg;
  (void)pass(MP_FOREVER);
  (void)pause();
  return 1;
}

static void kill_it(mp_ref *p) {
  CHECK_EQ(mp_proc_signal(*p, SIGKILL), 0);
  CHECK_EQ(join_until(*p, in_ms(2000)), 0);
  mp_ref_close(p);
}

TEST(broken_by_a_death) {
  struct crew crew = {.threads = 0};
  struct check_use use;
  int64_t start;
  int i;

  found(&use);
  open_for(4, NULL);
  crew_start(&crew, wait_for_ever, NULL);
  crew_start(&crew, expect, (void *)(intptr_t)-MP_EBROKEN);
  crew_start(&crew, expect, (void *)(intptr_t)-MP_EBROKEN);
  until_waiting(3);
  start = mp_now();
  CHECK_EQ(mp_proc_signal(crew.proc[0], SIGKILL), 0);
  for (i = 1; i < 3; i++)
    CHECK_EQ(join_until(crew.proc[i], in_ms(2000)), 0);
  CHECK(mp_now() - start < 1000000000);
  kill_it(&crew.proc[0]);
  mp_ref_close(&crew.proc[1]);
  mp_ref_close(&crew.proc[2]);
  CHECK_EQ(mp_barrier_broken(bar), 1);
  mp_barrier_reset(bar);
  CHECK_EQ(pass(MP_NOW), -MP_ETIMEOUT);
  leave(&use);
}

/* Nobody has noticed it before the last one comes. */
TEST(found_dead_by_the_last) {
  struct crew crew = {.threads = 0};
  struct check_use use;

  found(&use);
  open_for(2, NULL);
  crew_start(&crew, wait_for_ever, NULL);
  until_waiting(1);
  kill_it(&crew.proc[0]);
  CHECK_EQ(pass(MP_FOREVER), -MP_EBROKEN);
  leave(&use);
}

static int die_in_action(void *arg) {
  struct mp_arrival a = {0};

  (void)arg;
  MUST(mp_barrier_wait(bar, &a, MP_FOREVER) == 0);
  mp__store32_seq(&shared->ready, 1);
  (void)usleep(30000);
  (void)raise(SIGKILL);
  return 1;
}

TEST(killed_in_its_action) {
  struct crew crew = {.threads = 0};
  struct check_use use;

  found(&use);
  open_for(2, "act");
  crew_start(&crew, expect, (void *)(intptr_t)-MP_EBROKEN);
  until_waiting(1);
  crew_start(&crew, die_in_action, NULL);
  until(&shared->ready, 1);
  CHECK_EQ(pass(MP_FOREVER), -MP_EBROKEN); /* one too many waits as well */
  CHECK_EQ(join_until(crew.proc[0], in_ms(2000)), 0);
  CHECK_EQ(join_until(crew.proc[1], in_ms(2000)), 0);
  mp_ref_close(&crew.proc[0]);
  mp_ref_close(&crew.proc[1]);
  leave(&use);
}

TEST(an_action_that_fails) {
  struct mp_arrival a = {0};
  struct check_use use;

  found(&use);
  open_for(1, "act");
  CHECK_EQ(mp_barrier_wait(bar, &a, MP_FOREVER), 0);
  CHECK_EQ(mp_barrier_waiting(bar), 1);
  CHECK_EQ(mp_barrier_acted(bar, &a, 0), -MP_EBROKEN);
  CHECK_EQ(mp_barrier_broken(bar), 1);
  mp_barrier_reset(bar);
  CHECK_EQ(pass(MP_FOREVER), 1);
  CHECK_EQ(mp_barrier_wait(bar, &a, MP_FOREVER), 0);
  mp_barrier_reset(bar);
  CHECK_EQ(mp_barrier_acted(bar, &a, 1), -MP_EBROKEN);
  CHECK_EQ(mp_barrier_broken(bar), 0);
  leave(&use);
}

/* Its outcome is another's by then: it changes nothing. */
TEST(an_action_that_comes_too_late) {
  struct mp_arrival first = {0}, next = {0};
  struct check_use use;

  found(&use);
  open_for(1, "act");
  CHECK_EQ(mp_barrier_wait(bar, &first, MP_FOREVER), 0);
  mp_barrier_abort(bar);
  CHECK_EQ(mp_barrier_acted(bar, &first, 1), -MP_EBROKEN);
  CHECK_EQ(mp_barrier_broken(bar), 1);
  mp_barrier_reset(bar);
  CHECK_EQ(mp_barrier_wait(bar, &first, MP_FOREVER), 0);
  mp_barrier_reset(bar);
  CHECK_EQ(mp_barrier_wait(bar, &next, MP_FOREVER), 0);
  CHECK_EQ(mp_barrier_acted(bar, &first, 1), -MP_EBROKEN);
  CHECK_EQ(mp_barrier_waiting(bar), 1); /* the next one acts still */
  CHECK_EQ(mp_barrier_acted(bar, &next, 1), 1);
  leave(&use);
}

static void come(struct mp_arrival *a) {
  do {
    *a = (struct mp_arrival){0};
    CHECK_EQ(mp_barrier_wait(bar, a, MP_FOREVER), -EINTR);
  } while (!a->row);
}

static int run_out(struct mp_arrival *a) {
  int rc;

  do
    rc = mp_barrier_wait(bar, a, in_ms(10));
  while (rc == -EINTR);
  return rc;
}

static int leave_it(struct mp_arrival *a) {
  mp_barrier_leave(bar, a);
  return -MP_ETIMEOUT;
}

/* Nobody takes the lock from one that is stopped: who goes then is as good as
 * dead, and breaks it. */
static void goes_while_one_is_stopped(int (*go)(struct mp_arrival *)) {
  struct crew crew = {.threads = 0}, stopped = {.n = 0};
  struct mp_arrival a;
  struct check_use use;

  found(&use);
  open_for(3, NULL);
  come(&a);
  crew_start(&crew, expect, (void *)(intptr_t)-MP_EBROKEN);
  until_waiting(2);
  stop_with(&stopped, &((struct check_barrier *)mp__at(MP_REF_ID(bar)))->lock);
  CHECK_EQ(go(&a), -MP_ETIMEOUT);
  CHECK_EQ(a.row, 0);
  stop_over(&stopped);
  CHECK_EQ(mp_barrier_broken(bar), 1);
  crew_join(&crew);
  leave(&use);
}

TEST(runs_out_while_one_is_stopped) {
  goes_while_one_is_stopped(run_out);
}

TEST(leaves_while_one_is_stopped) {
  goes_while_one_is_stopped(leave_it);
}

/* More processes than parties: they pass in groups, until so few are left that
 * no group comes together. */
static int in_groups(void *arg) {
  int rc;

  (void)arg;
  do
    rc = pass(MP_FOREVER);
  while (rc > 0);
  MUST(rc == -MP_EBROKEN);
  return 0;
}

TWICE(more_than_parties) {
  struct crew crew = {.threads = threads};
  struct check_use use;
  int64_t end = in_ms(5000);
  int i;

  found(&use);
  open_for(2, "act");
  for (i = 0; i < 5; i++)
    crew_start(&crew, in_groups, NULL);
  while (mp__load32_seq(&shared->acted) < 1000 && mp_now() < end)
    (void)usleep(1000);
  CHECK(mp__load32_seq(&shared->acted) >= 1000);
  mp_barrier_abort(bar);
  crew_join(&crew);
  leave(&use);
}

/* Rows as they are when some have not seen yet that they have passed: who
 * leaves moves up those behind it, of its own phase. */
TEST(who_leaves_moves_up_its_own_phase) {
  struct check_barrier *b;
  struct mp_arrival a;
  struct check_use use;
  struct mp__row *row;
  int i;

  found(&use);
  CHECK_EQ(mp_barrier_open(&bar, 4, 0, NULL), 0);
  mp_barrier_reset(bar);
  b = mp__at(MP_REF_ID(bar));
  row = b->waiting.row;
  CHECK_EQ(b->waiting.len, MP__ROSTER_FIRST);
  for (i = 0; i < MP__ROSTER_FIRST; i++)
    row[i].who = mp__member();
  row[0].value = 1 << 17 | 1 << 1; /* phase 1, the first to come */
  row[1].value = 1 << 17 | 2 << 1;
  row[2].value = 0 << 17 | 3 << 1; /* phase 0, which it has passed */
  a.row = mp__off(&row[0]);
  mp_barrier_leave(bar, &a);
  CHECK_EQ(a.row, 0);
  CHECK_EQ(row[0].value, 0);
  CHECK_EQ(row[1].value, 1 << 17 | 1 << 1);
  CHECK_EQ(row[2].value, 0 << 17 | 3 << 1);
  row[0].value = 0 << 17 | 1 << 1; /* it has passed: nobody moves */
  row[1].value = 1 << 17 | 2 << 1;
  a.row = mp__off(&row[0]);
  mp_barrier_leave(bar, &a);
  CHECK_EQ(row[1].value, 1 << 17 | 2 << 1);
  row[0].value = 1 << 17 | 2 << 1; /* who came before it stays, too */
  row[1].value = 1 << 17 | 1 << 1;
  a.row = mp__off(&row[0]);
  mp_barrier_leave(bar, &a);
  CHECK_EQ(row[1].value, 1 << 17 | 1 << 1);
  row[1].value = row[2].value = 0;
  leave(&use);
}
