/* ref_test.c -- ledgers, counts, and the end of what nobody holds. */
#include "crew.h"

static mp_ref a, b;

static void opened(struct check_use *use) {
  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", use));
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
}

static void closed(const struct check_use *use) {
  mp_ref_close(&a);
  mp_ref_close(&b);
  CHECK(check_same("in the end", use));
  check_leave();
}

TEST(a_name_and_its_holds) {
  struct check_use use;
  mp_ref x, y;

  opened(&use);
  CHECK(MP_REF_ID(a) != MP_REF_ID(b));
  CHECK_EQ(MP_REF_ID(a) ^ MP_REF_ID(b), 1);
  CHECK_EQ(mp_ref_type(a), MP_TYPE_PIPE);
  CHECK_EQ(mp_ref_dup(a, &x), 0);
  CHECK_EQ(mp_ref_dup(MP_REF_ID(a), &y), 0);
  CHECK(x != a && x != y);
  CHECK_EQ(MP_REF_ID(x), MP_REF_ID(a));
  CHECK_EQ(MP_REF_ID(y), MP_REF_ID(a));
  mp_ref_close(&x);
  CHECK_EQ(x, MP_REF_EMPTY);
  mp_ref_close(&x);
  mp_ref_close(&y);
  x = MP_REF_ID(a); /* only a name: nothing to close */
  mp_ref_close(&x);
  CHECK_EQ(send_bytes(a, "x", 1, MP_NOW), 0);
  closed(&use);
}

TEST(a_ledger_grows_and_its_entries_are_used_again) {
  enum { N = 5000 };
  static mp_ref held[N];
  struct check_use use;
  uint64_t len = 0;
  int i, round;

  opened(&use);
  for (round = 0; round < 3; round++) {
    for (i = 0; i < N; i++)
      REQUIRE(mp_ref_dup(i & 1 ? a : b, &held[i]) == 0);
    CHECK(check_arena("with many holds", NULL));
    if (round == 0)
      len = mp__me()->ledger_len;
    CHECK_EQ(mp__me()->ledger_len, len);
    for (i = 0; i < N; i++)
      mp_ref_close(&held[(i * 7 + round) % N]);
  }
  closed(&use);
}

TEST(adopting_what_is_alive_and_what_is_gone) {
  struct check_use use;
  uint64_t serial;
  mp_ref name, x;

  opened(&use);
  name = MP_REF_ID(a);
  serial = mp_ref_serial(name);
  CHECK_EQ(mp_ref_adopt(name, serial, &x), 0);
  CHECK_EQ(MP_REF_ID(x), name);
  mp_ref_close(&x);
  CHECK_EQ(mp_ref_adopt(name, serial + 256, &x), -MP_ESTALE);
  CHECK_EQ(x, MP_REF_EMPTY);
  mp_ref_close(&a); /* the other end is held: this one has nobody */
  CHECK_EQ(mp_ref_adopt(name, serial, &x), -MP_ESTALE);
  mp_ref_close(&b);
  CHECK_EQ(mp_ref_adopt(name, serial, &x), -MP_ESTALE);
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0); /* in the same block */
  CHECK_EQ(MP_REF_ID(a), name);
  CHECK(mp_ref_serial(a) != serial);
  CHECK_EQ(mp_ref_adopt(name, serial, &x), -MP_ESTALE);
  closed(&use);
}

static int only_exit(void *arg) {
  return (int)(uintptr_t)arg;
}

/* A forked child holds all that its parent held, and lets go by ending. */
TEST(a_forked_child_holds_the_same) {
  static mp_ref held[100];
  struct check_use use;
  mp_ref p;
  int i, rc;

  opened(&use);
  for (i = 0; i < 100; i++)
    REQUIRE(mp_ref_dup(a, &held[i]) == 0);
  for (i = 0; i < 100; i += 3)
    mp_ref_close(&held[i]); /* holes in the ledger */
  REQUIRE(mp_proc_open(&p, NULL, 0) == 0);
  rc = mp_proc_fork(p);
  REQUIRE(rc >= 0);
  if (rc == 0) {
    test_failures = 0;
    CHECK(check_arena("in the child", NULL));
    for (i = 0; i < 100; i++)
      mp_ref_close(&held[i]);
    for (i = 0; i < 40; i++)
      CHECK_EQ(mp_ref_dup(b, &held[i]), 0);
    CHECK(check_arena("in the child, later", NULL));
    CHECK_EQ(send_bytes(a, "x", 1, MP_NOW), 0);
    mp_exit(test_failures > 0);
  }
  CHECK_EQ(join_until(p, in_ms(5000)), 0);
  CHECK_EQ(mp_proc_exitcode(p, &rc), 1);
  CHECK_EQ(rc, 0);
  CHECK(check_arena("after the child", NULL));
  for (i = 0; i < 100; i++)
    mp_ref_close(&held[i]);
  mp_ref_close(&p);
  closed(&use);
}

TEST(plan_and_answer) {
  struct mp_iov iov = {"do this", 7};
  struct mp_out out;
  struct check_use use;
  struct mp_msg m;
  mp_ref p, x;
  int i;

  opened(&use);
  REQUIRE(mp_proc_open(&p, NULL, 0) == 0);
  CHECK(mp_proc_plan(p, &m) < 0);
  for (i = 0; i < 3; i++) { /* the last one stands */
    out = (struct mp_out){&iov, 1, 1, &a};
    CHECK_EQ(mp_proc_set_plan(p, &out), 0);
    out.nrefs = 0;
    CHECK_EQ(mp_proc_set_answer(p, &out), 0);
  }
  CHECK(check_arena("with a plan", NULL));
  CHECK_EQ(mp_proc_plan(p, &m), 0);
  CHECK_EQ(m.len, 7);
  CHECK_EQ(m.nrefs, 1);
  CHECK_EQ(mp_ref_dup(m.refs[0], &x), 0);
  mp_ref_close(&p); /* the plan lives as long as the message */
  CHECK(memcmp(m.data, "do this", 7) == 0);
  mp_msg_close(&m);
  mp_ref_close(&x);
  closed(&use);
}

/* Many dup and close at once. */
static int dup_and_close(void *arg) {
  mp_ref held[60];
  int i, k;

  (void)arg;
  for (i = 0; i < 200; i++) {
    for (k = 0; k < 60; k++)
      MUST(mp_ref_dup(k & 1 ? a : b, &held[k]) == 0);
    for (k = 0; k < 60; k++)
      mp_ref_close(&held[(k * 7 + i) % 60]);
  }
  return 0;
}

TWICE(many_dup_and_close) {
  struct check_use use;

  opened(&use);
  crew_all(threads, 4, dup_and_close, NULL);
  closed(&use);
}

/* Pipes with pipes in them are made and dropped, by many. */
static int make_and_drop(void *arg) {
  mp_ref c, d, e, f, refs[2];
  int i;

  (void)arg;
  for (i = 0; i < 200; i++) {
    MUST(mp_pipe_open(&c, &d, 0) == 0);
    MUST(mp_pipe_open(&e, &f, MP_PIPE_SIMPLEX) == 0);
    refs[0] = e;
    refs[1] = a;
    MUST(send_refs(c, "x", 1, refs, 2, MP_NOW) == 0);
    mp_ref_close(&e);
    mp_ref_close(&c);
    mp_ref_close(&d);
    MUST(send_bytes(f, "x", 1, MP_NOW) == -MP_ECLOSED);
    mp_ref_close(&f);
  }
  return 0;
}

TWICE(many_make_and_drop) {
  struct check_use use;

  opened(&use);
  crew_all(threads, 4, make_and_drop, NULL);
  closed(&use);
}

TEST(thousand_starts_leave_nothing) {
  struct check_use use, now;
  uint64_t top = 0, nslots = 0;
  int i, rc, code, fds = 0;
  mp_ref p;

  opened(&use);
  for (i = 0; i < 1000; i++) {
    REQUIRE(mp_proc_open(&p, NULL, 0) == 0);
    rc = mp_proc_fork(p);
    REQUIRE(rc >= 0);
    if (rc == 0)
      mp_exit(only_exit((void *)(uintptr_t)(i % 100)));
    REQUIRE(join_until(p, in_ms(5000)) == 0);
    CHECK_EQ(mp_proc_exitcode(p, &code), 1);
    CHECK_EQ(code, i % 100);
    mp_ref_close(&p);
    if (i == 20) {
      CHECK(check_arena("soon", &now));
      fds = test_count_fds();
      top = now.top;
      nslots = MP__HEAD->nslots;
    }
  }
  CHECK(check_arena("after all", &now));
  CHECK_EQ(now.top, top);
  CHECK_EQ(MP__HEAD->nslots, nslots);
  CHECK_EQ(test_count_fds(), fds);
  CHECK(!test_has_child());
  closed(&use);
}
