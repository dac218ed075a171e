/* arena_test.c -- blocks, the journal, growth, and what happens without
 * memory. */
#include "crew.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

static uint64_t get(uint64_t len) {
  struct mp__txn t;
  uint64_t off = 0;

  mp__begin(&t);
  if (mp__alloc(&t, len, &off) < 0) {
    mp__abort(&t);
    return 0;
  }
  mp__end(&t);
  return off;
}

static void give(uint64_t off) {
  struct mp__txn t;

  mp__begin(&t);
  mp__free(&t, off);
  mp__end(&t);
}

static void founded(struct check_use *use) {
  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", use));
}

static void left(const struct check_use *use) {
  CHECK(check_same("in the end", use));
  check_leave();
}

TEST(blocks_are_as_large_as_asked_for_and_aligned) {
  struct check_use use;
  uint64_t len, off;

  founded(&use);
  for (len = 0; len < 300000; len += len / 7 + 1) {
    off = get(len);
    REQUIRE(off != 0);
    CHECK_EQ(off % 64, 0);
    CHECK(mp__usable(off) >= len);
    CHECK(len < 64 || mp__usable(off) <= len + len / 3 + 128);
    memset(mp__at(off), 0xff, mp__usable(off)); /* and it is ours alone */
    give(off);
  }
  left(&use);
}

TEST(blocks_are_used_again) {
  uint64_t off[500], top = 0;
  struct check_use use;
  int i, round;

  founded(&use);
  for (round = 0; round < 10; round++) {
    for (i = 0; i < 500; i++)
      REQUIRE((off[i] = get((uint64_t)(i * 37 % 5000))) != 0);
    if (round == 0)
      top = MP__HEAD->top;
    CHECK_EQ(MP__HEAD->top, top);
    for (i = 0; i < 500; i++)
      give(off[(i * 7 + round) % 500]);
  }
  left(&use);
}

TEST(several_in_one_transaction) {
  struct check_use use;
  struct mp__txn t;
  uint64_t off[6];
  int i, k;

  founded(&use);
  for (k = 0; k < 2; k++) { /* fresh ones, and free ones */
    mp__begin(&t);
    for (i = 0; i < 6; i++)
      CHECK_EQ(mp__alloc(&t, 100, &off[i]), 0);
    mp__end(&t);
    for (i = 1; i < 6; i++)
      CHECK(off[i] != off[i - 1]);
    mp__begin(&t);
    for (i = 0; i < 6; i++)
      mp__free(&t, off[i]);
    mp__end(&t);
    CHECK(check_same("after a transaction", &use));
  }
  left(&use);
}

TEST(what_is_given_up_never_was) {
  struct check_use use;
  struct mp__txn t;
  uint64_t off, again;

  founded(&use);
  off = get(1000);
  give(off);
  mp__begin(&t);
  CHECK_EQ(mp__alloc(&t, 1000, &again), 0);
  CHECK_EQ(off, again);
  CHECK_EQ(mp__alloc(&t, 100000, &again), 0);
  mp__abort(&t);
  CHECK(check_same("after it was given up", &use));
  CHECK_EQ(get(1000), off);
  give(off);
  left(&use);
}

TEST(a_transaction_sees_its_own_writes) {
  struct check_use use;
  struct mp__txn t;
  uint64_t off, *w;

  founded(&use);
  off = get(64);
  w = mp__at(off);
  *w = 1;
  mp__begin(&t);
  CHECK_EQ(mp__peek(&t, w), 1);
  mp__set(&t, w, 2);
  CHECK_EQ(mp__peek(&t, w), 2);
  mp__set(&t, w, 3);
  CHECK_EQ(mp__peek(&t, w), 3);
  CHECK_EQ(*w, 1); /* nobody else does */
  mp__end(&t);
  CHECK_EQ(*w, 3);
  give(off);
  left(&use);
}

TEST(a_committed_journal_is_written_by_the_next) {
  struct check_use use;
  struct mp__txn t;
  uint64_t off, *w;
  int i;

  founded(&use);
  off = get(64);
  w = mp__at(off);
  w[0] = w[1] = 0;
  for (i = 1; i < 3; i++) {
    mp__begin(&t);
    mp__set(&t, &w[0], (uint64_t)i);
    mp__set(&t, &w[1], (uint64_t)i);
    mp__store64_rel(&MP__HEAD->njournal, t.n);
    w[0] = 77; /* half-written, by the dead */
    mp__replay();
    mp__replay();
    mp__abort(&t);
    CHECK_EQ(w[0], i);
    CHECK_EQ(w[1], i);
  }
  give(off);
  left(&use);
}

/* Bytes of memory behind the arena. */
static int64_t backed(void) {
  char line[256];
  long long kb = -1;
  FILE *f = fopen("/proc/self/smaps", "r");

  while (f && fgets(line, sizeof line, f)) {
    if (strstr(line, "memfd:luamp"))
      kb = 0;
    if (kb == 0 && sscanf(line, "Rss: %lld", &kb) == 1)
      break;
  }
  if (f)
    (void)fclose(f);
  return kb * 1024;
}

TEST(large_blocks_give_their_memory_back) {
  struct check_use use;
  uint64_t len = 130 << 20, off[4], page;
  int i, round;

  founded(&use);
  for (round = 0; round < 3; round++) {
    for (i = 0; i < 4; i++) {
      off[i] = get(len);
      REQUIRE(off[i] != 0);
      for (page = 0; page < len; page += 4096)
        *(char *)mp__at(off[i] + page) = 1;
    }
    CHECK(backed() >= (int64_t)(4 * (len - 4096)));
    for (i = 0; i < 4; i++)
      give(off[i]);
    CHECK(backed() < (int64_t)(2 * len));
    CHECK(check_same("after large blocks", &use));
  }
  left(&use);
}

/* Growth that the kernel refuses is an error, not a signal. */
TEST(no_room_in_the_file) {
  struct rlimit lim, low;
  struct check_use use;
  uint64_t off[64];
  int n = 0;

  founded(&use);
  (void)signal(SIGXFSZ, SIG_DFL);
  REQUIRE(getrlimit(RLIMIT_FSIZE, &lim) == 0);
  low = lim;
  low.rlim_cur = MP__HEAD->size + (1 << 20);
  REQUIRE(setrlimit(RLIMIT_FSIZE, &low) == 0);
  while (n < 64 && (off[n] = get(100000)) != 0)
    memset(mp__at(off[n++]), 1, 100000);
  CHECK(n > 3 && n < 20);
  CHECK_EQ(get(100000), 0);
  CHECK(get(1 << 30) == 0);
  give(off[--n]);
  off[n] = get(100000);
  CHECK(off[n++] != 0);
  REQUIRE(setrlimit(RLIMIT_FSIZE, &lim) == 0);
  off[n] = get(1 << 20);
  CHECK(off[n++] != 0);
  while (n > 0)
    give(off[--n]);
  left(&use);
}

static int open_kind(int kind, mp_ref lock, mp_ref *held) {
  static const struct mp_cell cell = {.code = 'd', .n = 20};

  switch (kind) {
  case 0:
    return mp_mutex_open(held, 1);
  case 1:
    return mp_event_open(held);
  case 2:
    return mp_sem_open(held, 1, 0);
  case 3:
    return mp_cond_open(held, lock);
  case 4:
    return mp_barrier_open(held, 2, 0, NULL);
  case 5:
    return mp_queue_open(held, MP_TYPE_JOINABLE, 0);
  default:
    return mp_cell_open(held, MP_TYPE_ARRAY, &cell);
  }
}

#define KINDS 7

/* As many of each kind as there is room for; then an error, and no hold. */
static void objects_without_memory(mp_ref lock, mp_ref *hold, int room) {
  int kind, n;

  for (kind = 0; kind < KINDS; kind++) {
    for (n = 0; n < room && open_kind(kind, lock, &hold[n]) == 0; n++)
      ;
    CHECK(n < room && hold[n] == MP_REF_EMPTY);
    while (n > 0)
      mp_ref_close(&hold[--n]);
  }
}

/* Every call that needs memory, when there is none: an error, and all as
 * before. */
TEST(calls_without_memory) {
  static char big[2 << 20];
  struct rlimit lim, low;
  struct check_use use, full;
  mp_ref a, b, c, d, p, f, lock, hold[4000], more[4000];
  struct mp_iov iov = {big, sizeof big};
  struct mp_out out = {&iov, 1, 0, NULL};
  int i, n, rc;

  founded(&use);
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  REQUIRE(mp_mutex_open(&lock, 0) == 0);
  REQUIRE(getrlimit(RLIMIT_FSIZE, &lim) == 0);
  low = lim;
  low.rlim_cur = 4096; /* no growth at all */
  REQUIRE(setrlimit(RLIMIT_FSIZE, &low) == 0);
  CHECK(send_bytes(a, big, sizeof big, MP_NOW) < 0);
  for (n = 0; n < 4000 && mp_pipe_open(&c, &d, 0) == 0; n += 2)
    hold[n] = c, hold[n + 1] = d;
  CHECK(n > 2 && n < 4000);
  CHECK(c == MP_REF_EMPTY && d == MP_REF_EMPTY);
  CHECK(check_arena("without memory", &full));
  for (i = 0; i < 20000 && mp_proc_open(&p, NULL, 0) == 0; i++)
    mp_ref_close(&p);
  rc = mp_proc_open(&p, NULL, 0);
  if (rc == 0) {
    CHECK(mp_proc_set_plan(p, &out) < 0);
    rc = mp_proc_fork(p); /* its ledger needs a block, which may be free */
    if (rc == 0)
      mp_exit(0);
    if (rc > 0)
      CHECK_EQ(join_until(p, in_ms(1000)), 0);
    else
      CHECK_EQ(mp_proc_state(p), MP_NEW);
    mp_ref_close(&p);
  }
  rc = mp_fd_share(1, 1, &f);
  if (rc == 0)
    mp_ref_close(&f);
  CHECK(check_same("after the errors", &full));
  objects_without_memory(lock, more, 4000);
  CHECK(check_same("after the objects", &full));
  /* What was there goes on working. */
  CHECK_EQ(send_bytes(a, "x", 1, MP_NOW), 0);
  CHECK_EQ(recv_bytes(b, big, 1, MP_NOW), 1);
  REQUIRE(setrlimit(RLIMIT_FSIZE, &lim) == 0);
  while (n > 0)
    mp_ref_close(&hold[--n]);
  CHECK_EQ(send_bytes(a, big, sizeof big, MP_NOW), 0);
  mp_ref_close(&a);
  mp_ref_close(&b);
  mp_ref_close(&lock);
  left(&use);
}

TEST(a_family_in_little_address_space) {
  struct rlimit low = {1 << 30, RLIM_INFINITY};
  struct check_use use;
  mp_ref a, b;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return; /* their own mappings are larger */
#endif
#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
  return;
#endif
#endif
  REQUIRE(setrlimit(RLIMIT_AS, &low) == 0);
  founded(&use);
  CHECK(mp__here.window <= 1 << 30);
  CHECK_EQ(get((uint64_t)8 << 30), 0);
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  mp_ref_close(&a);
  mp_ref_close(&b);
  left(&use);
}

TEST(no_family_without_address_space_or_descriptors) {
  struct rlimit lim, low;
  int fds = test_count_fds();

  REQUIRE(getrlimit(RLIMIT_NOFILE, &lim) == 0);
  low = lim;
  for (low.rlim_cur = 3; low.rlim_cur < 6; low.rlim_cur++) {
    REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
    CHECK_EQ(mp_enter(), -EMFILE);
    CHECK_EQ(mp_entered(), 0);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &lim) == 0);
    CHECK_EQ(test_count_fds(), fds);
  }
  REQUIRE(mp_enter() == 0);
  check_leave();
}

/* The same by many: they take and give at once. */
static int take_and_give(void *arg) {
  uint64_t off[20], i, k;

  for (i = 0; i < 300; i++) {
    for (k = 0; k < 20; k++) {
      off[k] = get(64 + (i * 13 + k * 400) % 9000);
      MUST(off[k] != 0);
      memset(mp__at(off[k]), (int)(uintptr_t)arg, 64);
    }
    for (k = 0; k < 20; k++) {
      const unsigned char *p = mp__at(off[k]);

      MUST(p[0] == (unsigned char)(uintptr_t)arg && p[63] == p[0]);
      give(off[k]);
    }
  }
  return 0;
}

TWICE(many_take_and_give) {
  struct crew crew = {.threads = threads};
  struct check_use use;
  uintptr_t i;

  founded(&use);
  for (i = 1; i <= 4; i++)
    crew_start(&crew, take_and_give, (void *)i);
  crew_join(&crew);
  left(&use);
}

/* A file with a head in it, and so long; what comes of mapping it. */
static int map_file(const struct mp__head *h, uint64_t size) {
  struct mp__here ours = mp__here;
  int fd = memfd_create("damaged", MFD_CLOEXEC);
  int rc;

  REQUIRE(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
  if (size >= sizeof *h)
    REQUIRE(pwrite(fd, h, sizeof *h, 0) == sizeof *h);
  rc = mp__arena_map(fd);
  if (rc == 0)
    (void)munmap(mp__here.base, mp__here.window);
  close(fd);
  mp__here = ours;
  return rc;
}

/* What a program that was built with musl finds when one that was built with
 * glibc has started it, and the other way round. */
TEST(a_family_of_the_other_c_library_is_refused) {
  struct check_use use;
  struct mp__head h;

  founded(&use);
  h = *MP__HEAD;
  CHECK_EQ(map_file(&h, h.size), 0);
  h.layout ^= MP__LAYOUT_MUSL;
  CHECK_EQ(map_file(&h, h.size), -MP_EVERSION);
  left(&use);
}

TEST(a_damaged_head_is_refused) {
  struct check_use use;
  struct mp__head h;
  uint64_t size;

  founded(&use);
  h = *MP__HEAD;
  size = h.size;
  CHECK_EQ(map_file(&h, size), 0);
  CHECK_EQ(map_file(&h, 0), -MP_EVERSION);
  CHECK_EQ(map_file(&h, MP__SLOTS), -MP_EDAMAGED); /* cut */
  CHECK_EQ(map_file(&h, size - 4096), -MP_EDAMAGED);
  h.magic++;
  CHECK_EQ(map_file(&h, size), -MP_EVERSION);
  h = *MP__HEAD;
  h.window = (uint64_t)1 << 50;
  CHECK_EQ(map_file(&h, size), -MP_EDAMAGED);
  h = *MP__HEAD;
  h.top = h.size;
  CHECK_EQ(map_file(&h, size), -MP_EDAMAGED);
  h = *MP__HEAD;
  h.nslots = h.max_slots;
  CHECK_EQ(map_file(&h, size), -MP_EDAMAGED);
  left(&use);
}

/* Follow an offset in a process that says nothing; how it ends. */
static int end_of_following(uint64_t off) {
  pid_t pid = fork();
  int status;

  REQUIRE(pid >= 0);
  if (pid == 0) {
    (void)dup2(open("/dev/null", O_WRONLY), 2);
    *(volatile char *)mp__at(off);
    _exit(0);
  }
  REQUIRE(waitpid(pid, &status, 0) == pid);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(an_offset_leads_nowhere_outside) {
  struct check_use use;
  uint64_t end;

  founded(&use);
  end = MP__HEAD->size - MP__TAIL;
  CHECK_EQ(end_of_following(MP__SLOTS), 0);
  CHECK_EQ(end_of_following(end), 0);
  CHECK_EQ(end_of_following(end + 8), -SIGABRT);
  CHECK_EQ(end_of_following(MP__SLOTS + 1), -SIGABRT);
  CHECK_EQ(end_of_following(mp__here.window), -SIGABRT);
  CHECK_EQ(end_of_following(UINT64_MAX), -SIGABRT);
  left(&use);
}
