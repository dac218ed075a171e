/* vault_test.c -- descriptors that any member can get at. */
#include "joiner.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void founded(struct check_use *use) {
  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", use));
}

static void left(const struct check_use *use) {
  CHECK(check_same("in the end", use));
  check_leave();
}

static int numbered(uint64_t n) {
  return mp__sys_eventfd((unsigned)n);
}

static uint64_t number_of(int fd) {
  uint64_t n = 0;

  if (mp__sys_read(fd, &n, sizeof n) < 0)
    return 0;
  (void)mp__sys_write(fd, &n, sizeof n);
  return n;
}

TEST(put_and_get) {
  struct check_use use;
  int fd, got, again;
  mp_ref f;

  founded(&use);
  fd = numbered(7);
  CHECK_EQ(mp_fd_share(fd, 1, &f), 0);
  CHECK_EQ(mp_ref_type(f), MP_TYPE_FD);
  mp_fd_close(fd);
  got = mp_fd_get(f);
  again = mp_fd_get(f);
  CHECK(got > 2 && again > 2 && got != again);
  CHECK_EQ(number_of(got), 7);
  CHECK_EQ(number_of(again), 7);
  CHECK(fcntl(got, F_GETFD) & FD_CLOEXEC);
  CHECK(mp_fd_is_open(got));
  mp_fd_close(got);
  CHECK(!mp_fd_is_open(got));
  mp_fd_close(again);
  mp_ref_close(&f);
  left(&use);
}

TEST(what_is_no_descriptor_is_refused) {
  struct check_use use;
  mp_ref f;

  founded(&use);
  CHECK_EQ(mp_fd_share(-1, 1, &f), -EBADF);
  CHECK_EQ(f, MP_REF_EMPTY);
  CHECK_EQ(mp_fd_share(1000, 1, &f), -EBADF);
  CHECK(check_same("after the errors", &use));
  left(&use);
}

/* Many, dropped in all orders: each is still itself. */
TEST(many_and_their_order) {
  enum { N = 100 };
  struct check_use use;
  mp_ref f[N];
  int i, k, fd, round;

  founded(&use);
  for (round = 1; round < 12; round += 2) {
    for (i = 0; i < N; i++) {
      fd = numbered((uint64_t)i + 1);
      CHECK_EQ(mp_fd_share(fd, 1, &f[i]), 0);
      mp_fd_close(fd);
    }
    for (i = 0; i < N; i++) {
      mp_ref_close(&f[i * round % N]);
      for (k = 0; k < N; k += 9) {
        if (f[k] == MP_REF_EMPTY)
          continue;
        fd = mp_fd_get(f[k]);
        CHECK_EQ(number_of(fd), k + 1);
        mp_fd_close(fd);
      }
      CHECK(check_arena("in between", NULL));
      if (i % 3 == 0) { /* dropping happens at the next put */
        mp_ref g;

        CHECK_EQ(mp_fd_share(1, 1, &g), 0);
        mp_ref_close(&g);
      }
    }
    for (i = 0; i < N; i++)
      mp_ref_close(&f[i]);
  }
  left(&use);
}

/* One long life at the front, many short ones behind: the socket is turned
 * round when it is full. */
TEST_LIMIT(more_than_the_socket_holds, 20) {
  struct check_use use, now;
  mp_ref first, mid, f;
  int i, fd;

  founded(&use);
  fd = numbered(1);
  CHECK_EQ(mp_fd_share(fd, 1, &first), 0);
  mp_fd_close(fd);
  fd = numbered(2);
  for (i = 0; i < 20000; i++) {
    if (!CHECK_EQ(mp_fd_share(1, 1, &f), 0))
      break;
    mp_ref_close(&f);
    if (i == 500)
      CHECK_EQ(mp_fd_share(fd, 1, &mid), 0);
  }
  mp_fd_close(fd);
  CHECK(check_arena("after many", &now));
  CHECK_EQ(now.fds, 2);
  fd = mp_fd_get(first);
  CHECK_EQ(number_of(fd), 1);
  mp_fd_close(fd);
  fd = mp_fd_get(mid);
  CHECK_EQ(number_of(fd), 2);
  mp_fd_close(fd);
  mp_ref_close(&first);
  mp_ref_close(&mid);
  left(&use);
}

TEST_LIMIT(full_of_live_ones, 20) {
  enum { MAX = 60000 };
  static mp_ref f[MAX];
  struct check_use use;
  int i, n, fd, rc = 0;

  founded(&use);
  MP__HEAD->vault_room = 65536;
  (void)mp__sys_sndbuf(mp__here.vault[0], 65536);
  for (n = 0; n < MAX; n++) {
    fd = n % 100 == 0 ? numbered((uint64_t)n + 1) : 1;
    rc = mp_fd_share(fd, 1, &f[n]);
    if (n % 100 == 0)
      mp_fd_close(fd);
    if (rc < 0)
      break;
  }
  CHECK(n > 100);
  CHECK(n == MAX || rc == -ENFILE);
  CHECK(check_arena("when full", NULL));
  for (i = 0; i < n; i += 100) {
    fd = mp_fd_get(f[i]);
    if (!CHECK_EQ(number_of(fd), i + 1))
      break;
    mp_fd_close(fd);
  }
  while (n > 0)
    mp_ref_close(&f[--n]);
  CHECK_EQ(mp_fd_share(1, 1, &f[0]), 0);
  mp_ref_close(&f[0]);
  left(&use);
}

static int get_and_tell(void *arg) {
  mp_ref f = (mp_ref)(uintptr_t)arg;
  int i, fd;

  for (i = 0; i < 200; i++) {
    fd = mp_fd_get(f);
    MUST(fd > 2);
    MUST(fcntl(fd, F_GETFL) >= 0);
    mp_fd_close(fd);
  }
  return 0;
}

/* Whoever put it may be gone. */
static int put_one(void *arg) {
  mp_ref f;
  int fd = numbered(42);

  MUST(mp_fd_share(fd, 1, &f) == 0);
  MUST(send_refs((mp_ref)(uintptr_t)arg, "", 0, &f, 1, MP_NOW) == 0);
  mp_ref_close(&f);
  mp_fd_close(fd);
  return 0;
}

TWICE(put_by_one_got_by_many) {
  char scratch[MP_INLINE_MAX];
  struct crew crew = {.threads = threads};
  struct check_use use;
  struct mp_msg m;
  mp_ref a, b, f;
  int i, fd;

  founded(&use);
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  crew_start(&crew, put_one, (void *)(uintptr_t)a);
  crew_join(&crew);
  REQUIRE(recv_msg(b, &m, scratch, in_ms(1000)) == 0);
  REQUIRE(m.nrefs == 1);
  CHECK_EQ(mp_ref_dup(m.refs[0], &f), 0);
  mp_msg_close(&m);
  fd = mp_fd_get(f);
  CHECK_EQ(number_of(fd), 42);
  mp_fd_close(fd);
  for (i = 0; i < 4; i++)
    crew_start(&crew, get_and_tell, (void *)(uintptr_t)f);
  crew_join(&crew);
  mp_ref_close(&f);
  mp_ref_close(&a);
  mp_ref_close(&b);
  left(&use);
}

/* Exhaustion: at each number of free descriptors each call either works or
 * says so, and all is as before. */
TEST(without_descriptors) {
  struct rlimit lim, low;
  struct check_use use;
  struct mp_ready r = MP_READY_EMPTY;
  mp_ref a, b, f, g, p;
  int base, left_over, rc, fd;

  if (TEST_TSAN)
    return; /* it needs some itself */
  founded(&use);
  (void)!freopen("/dev/null", "w", stderr); /* of spawned ones that fail */
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  REQUIRE(mp_fd_share(1, 1, &f) == 0);
  base = fcntl(1, F_DUPFD_CLOEXEC, 3);
  mp_fd_close(base);
  REQUIRE(getrlimit(RLIMIT_NOFILE, &lim) == 0);
  for (left_over = 0; left_over < 6; left_over++) {
    low = lim;
    low.rlim_cur = (rlim_t)(base + left_over);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
    fd = mp_fd_get(f);
    CHECK(left_over ? fd > 2 : fd == -EMFILE);
    mp_fd_close(fd);
    fd = mp_fd_get(f); /* the entry is still there */
    CHECK(left_over ? fd > 2 : fd == -EMFILE);
    mp_fd_close(fd);
    CHECK_EQ(mp_fd_share(1, 1, &g), 0);
    mp_ref_close(&g);
    CHECK_EQ(mp_fd_share(1, 1, &g), 0); /* drops the one before */
    mp_ref_close(&g);
    fd = mp_pipe_ready(b, &r);
    CHECK(left_over > 2 ? fd > 2 : fd > 2 || fd == -EMFILE);
    mp_ready_close(&r);
    CHECK_EQ(send_bytes(a, "x", 1, MP_NOW), 0);
    CHECK_EQ(recv_bytes(b, &rc, 1, MP_NOW), 1);
    rc = mp_proc_open(&p, NULL, 0);
    CHECK_EQ(rc, 0);
    rc = mp_proc_fork(p);
    if (rc == 0)
      mp_exit(3);
    CHECK(rc == 1);
    rc = join_until(p, in_ms(1000));
    CHECK(rc == 0 || rc == -EMFILE);
    CHECK_EQ(join_until(p, MP_FOREVER), 0);
    CHECK_EQ(mp_proc_exitcode(p, &rc), 1);
    CHECK_EQ(rc, 3);
    mp_ref_close(&p);
    /* A spawn or a server needs some of its own. */
    rc = start_plan(&p, MP_SPAWN, 'e', 4, NULL, 0);
    CHECK(rc == 0 || rc == -EMFILE);
    if (rc == 0)
      CHECK_EQ(join_until(p, MP_FOREVER), 0);
    mp_ref_close(&p);
    rc = start_plan(&p, MP_FORKSERVER, 'e', 4, NULL, 0);
    CHECK(rc == 0 || rc == -EMFILE);
    if (rc == 0)
      CHECK_EQ(join_until(p, MP_FOREVER), 0);
    else
      CHECK_EQ(mp_proc_state(p), MP_NEW);
    mp_ref_close(&p);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &lim) == 0);
    CHECK_EQ(finish(), 0); /* the server, if there is one */
    CHECK(check_arena("afterwards", NULL));
  }
  CHECK(mp_pipe_ready(b, &r) > 2);
  mp_ready_close(&r);
  CHECK_EQ(start_plan(&p, MP_FORKSERVER, 'e', 4, NULL, 0), 0);
  CHECK_EQ(join_until(p, in_ms(2000)), 0);
  mp_ref_close(&p);
  CHECK_EQ(finish(), 0);
  mp_ref_close(&a);
  mp_ref_close(&b);
  mp_ref_close(&f);
  left(&use);
}

/* A host that closes all descriptors is told so, and nothing of its own is
 * touched. */
static void close_under_us(void) {
  struct mp_ready r = MP_READY_EMPTY;
  struct stat before, after;
  int i, memfd, vault[2];
  mp_ref a, b, f, p;

  REQUIRE(mp_enter() == 0);
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  memfd = mp__here.memfd;
  vault[0] = mp__here.vault[0];
  vault[1] = mp__here.vault[1];
  for (i = 3; i < 100; i++)
    (void)close(i);
  while ((i = open("/dev/null", O_RDWR)) >= 0 && i < vault[0] + 5)
    ; /* the host's own, in the place of ours */
  CHECK_EQ(mp_fd_share(1, 1, &f), -MP_EFAMILY);
  CHECK(mp_pipe_ready(b, &r) < 0);
  REQUIRE(mp_proc_open(&p, NULL, 0) == 0);
  CHECK_EQ(mp_proc_fork(p), -MP_EFAMILY);
  CHECK_EQ(send_bytes(a, "x", 1, MP_NOW), 0); /* what is mapped works on */
  CHECK_EQ(recv_bytes(b, &i, 1, MP_NOW), 1);
  CHECK_EQ(fstat(memfd, &before), 0);
  CHECK_EQ(fstat(vault[1], &after), 0);
  CHECK_EQ(before.st_ino, after.st_ino);
  for (i = 3; i < 100; i++)
    (void)close(i);
}

#define LARGE (60 << 20) /* bytes; of so many blocks some lose their pages */
#define PIPES 6

/* A file of the host's with the number of ours: it neither grows with the
 * family's memory nor has holes where something was freed. */
static void file_in_the_place_of_ours(void) {
  char *bytes = calloc(1, LARGE);
  struct stat before, after;
  mp_ref a[PIPES + 1], b[PIPES + 1];
  int file, i;

  REQUIRE(mp_enter() == 0 && bytes);
  for (i = 0; i <= PIPES; i++)
    REQUIRE(mp_pipe_open(&a[i], &b[i], 0) == 0);
  for (i = 0; i < PIPES; i++)
    CHECK_EQ(send_bytes(a[i], bytes, LARGE, MP_NOW), 0);
  file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
  REQUIRE(file >= 0 && fallocate(file, 0, 0, PIPES * (off_t)LARGE) == 0);
  REQUIRE(dup2(file, mp__here.memfd) == mp__here.memfd);
  CHECK_EQ(fstat(file, &before), 0);
  CHECK_EQ(send_bytes(a[PIPES], bytes, LARGE, MP_NOW), -MP_EFAMILY);
  for (i = 0; i < PIPES; i++)
    CHECK_EQ(recv_bytes(b[i], bytes, LARGE, MP_NOW), LARGE);
  for (i = 0; i < PIPES; i++)
    mp_ref_close(&a[i]);
  CHECK_EQ(fstat(file, &after), 0);
  CHECK_EQ(after.st_size, before.st_size);
  CHECK_EQ(after.st_blocks, before.st_blocks);
}

TEST(a_file_of_the_hosts_is_left_alone) {
  pid_t pid = test_fork();

  if (pid == 0) {
    file_in_the_place_of_ours();
    test_exit();
  }
  test_join(pid);
}

TEST(descriptors_closed_under_us) {
  pid_t pid = test_fork();

  if (pid == 0) {
    close_under_us();
    test_exit();
  }
  test_join(pid);
}
