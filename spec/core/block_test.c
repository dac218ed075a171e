/* block_test.c -- named shared memory: blocks, their names, and who goes. */
#include "crew.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

static mp_ref block;
static struct mp_map map = {.fd = -1};
static _Thread_local char name[MP_BLOCK_NAME_MAX + 1];

/* What a program that knows nothing of us sees. */

static const char *path_of(const char *of) {
  static char path[1000];

  (void)snprintf(path, sizeof path, "/dev/shm/%s", of);
  return path;
}

/* Each test's own: others may run beside it. */
static const char *own(void) {
  static char text[30];

  (void)snprintf(text, sizeof text, "luamp-test-%d", getpid());
  return text;
}

static int is_there(const char *of) {
  struct stat st;

  return stat(path_of(of), &st) == 0;
}

static int make_foreign(const char *of, off_t size) {
  int fd = shm_open(of, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

  REQUIRE(fd >= 0);
  REQUIRE(ftruncate(fd, size) == 0);
  return fd;
}

static int64_t backed(const char *of) {
  struct stat st;

  REQUIRE(stat(path_of(of), &st) == 0);
  return (int64_t)st.st_blocks * 512;
}

static void make(uint64_t size) {
  REQUIRE(mp_block_create(NULL, size, &block, &map) == 0);
  REQUIRE(mp_block_name(block, name) == 0);
}

static void unmake(void) {
  mp_map_close(&map);
  (void)mp_block_unlink(block);
  mp_ref_close(&block);
}

static void opened(struct check_use *use) {
  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", use));
}

static void closed(const struct check_use *use) {
  CHECK(check_same("in the end", use));
  check_leave();
}

TEST(a_block_is_a_file_of_python_s_kind) {
  struct check_use use;
  struct stat st;

  opened(&use);
  make(100001);
  CHECK_EQ(strncmp(name, "psm_", 4), 0);
  CHECK_EQ(strlen(name), 12);
  CHECK_EQ(strspn(name + 4, "0123456789abcdef"), 8);
  CHECK_EQ(stat(path_of(name), &st), 0);
  CHECK_EQ(st.st_mode, S_IFREG | 0600);
  CHECK_EQ(st.st_size, 100001);
  CHECK_EQ(st.st_nlink, 1);
  CHECK_EQ(map.size, 100001);
  CHECK_EQ(mp_map_use(&map, 100000, 1), 0);
  CHECK_EQ(map.at[100000], 0);
  unmake();
  CHECK(!is_there(name));
  closed(&use);
}

TEST(bytes_are_shared_with_whoever_attaches) {
  struct check_use use;
  struct mp_map other;
  mp_ref again;
  char *p;
  int fd;

  opened(&use);
  make(70000);
  fd = shm_open(name, O_RDWR | O_CLOEXEC, 0);
  REQUIRE(fd >= 0);
  p = mmap(NULL, 70000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  REQUIRE(p != MAP_FAILED);
  REQUIRE(mp_block_attach(name, &again, &other) == 0);
  CHECK_EQ(other.size, 70000);
  CHECK_EQ(mp_map_use(&map, 0, 70000), 0);
  memset(map.at, 'x', 70000);
  CHECK_EQ(p[69999], 'x');
  p[69999] = 'y';
  CHECK_EQ(mp_map_use(&other, 69999, 1), 0);
  CHECK_EQ(other.at[69999], 'y');
  (void)munmap(p, 70000);
  (void)close(fd);
  mp_map_close(&other);
  mp_map_close(&other);
  CHECK_EQ(other.at, NULL);
  CHECK_EQ(other.size, 70000);
  mp_ref_close(&again);
  CHECK(is_there(name));
  unmake();
  closed(&use);
}

TEST(names_that_cannot_be) {
  static const char *const bad[] = {"", ".", "..", "a/b", "/a"};
  char name_256[MP_BLOCK_NAME_MAX + 2];
  struct check_use use;
  unsigned i;

  opened(&use);
  for (i = 0; i < sizeof bad / sizeof *bad; i++) {
    CHECK_EQ(mp_block_create(bad[i], 10, &block, &map), -EINVAL);
    CHECK_EQ(mp_block_attach(bad[i], &block, &map), -EINVAL);
  }
  memset(name_256, 'n', sizeof name_256);
  name_256[sizeof name_256 - 1] = '\0';
  CHECK_EQ(mp_block_create(name_256, 10, &block, &map), -ENAMETOOLONG);
  name_256[sizeof name_256 - 2] = '\0';
  CHECK_EQ(mp_block_create(name_256, 10, &block, &map), 0);
  CHECK_EQ(mp_block_name(block, name), 0);
  CHECK_EQ(strcmp(name, name_256), 0);
  unmake();
  closed(&use);
}

TEST(what_cannot_be_made_leaves_nothing) {
  struct rlimit lim = {1 << 20, 1 << 20};
  struct check_use use;
  struct mp_map other;
  mp_ref again;

  opened(&use);
  CHECK_EQ(mp_block_create(own(), 0, &block, &map), -EINVAL);
  CHECK_EQ(mp_block_create(own(), (uint64_t)1 << 60, &block, &map), -ENOSPC);
  CHECK(!is_there(own()));
  CHECK_EQ(mp_block_attach(own(), &block, &map), -ENOENT);
  REQUIRE(mp_block_create(own(), 10, &block, &map) == 0);
  CHECK_EQ(mp_block_create(own(), 10, &again, &other), -EEXIST);
  CHECK_EQ(again, MP_REF_EMPTY);
  CHECK_EQ(other.at, NULL);
  CHECK(is_there(own()));
  unmake();
  REQUIRE(setrlimit(RLIMIT_FSIZE, &lim) == 0);
  CHECK_EQ(mp_block_create(own(), 2 << 20, &block, &map), -EFBIG);
  CHECK(!is_there(own()));
  closed(&use);
}

/* A foreign block of any kind, at the name that we are to attach to. */
TEST(attaching_to_what_others_have_made) {
  struct check_use use;
  int fd;

  opened(&use);
  fd = make_foreign(own(), 0);
  CHECK_EQ(mp_block_attach(own(), &block, &map), -ENODATA);
  CHECK_EQ(ftruncate(fd, 200000), 0);
  CHECK_EQ(mp_block_attach(own(), &block, &map), 0);
  CHECK_EQ(map.size, 200000);
  mp_map_close(&map);
  mp_ref_close(&block);
  CHECK(is_there(own()));
  REQUIRE(unlink(path_of(own())) == 0);
  REQUIRE(symlink("/etc/passwd", path_of(own())) == 0);
  CHECK_EQ(mp_block_attach(own(), &block, &map), -ELOOP);
  CHECK_EQ(mp_block_create(own(), 10, &block, &map), -EEXIST);
  REQUIRE(unlink(path_of(own())) == 0);
  REQUIRE(mkfifo(path_of(own()), 0600) == 0);
  CHECK_EQ(mp_block_attach(own(), &block, &map), -EINVAL);
  REQUIRE(unlink(path_of(own())) == 0);
  (void)close(fd);
  closed(&use);
}

TEST(memory_comes_a_chunk_at_a_time_before_it_is_used) {
  enum { CHUNK = 65536 };
  struct check_use use;

  opened(&use);
  make(CHUNK);
  CHECK_EQ(backed(name), CHUNK);
  CHECK_EQ(map.backed, NULL);
  unmake();
  make(10 * CHUNK + 1);
  CHECK_EQ(backed(name), 0);
  CHECK_EQ(mp_map_use(&map, CHUNK - 1, 0), 0);
  CHECK_EQ(backed(name), 0);
  CHECK_EQ(mp_map_use(&map, CHUNK - 1, 1), 0);
  CHECK_EQ(backed(name), CHUNK);
  CHECK_EQ(mp_map_use(&map, CHUNK - 1, 2), 0);
  CHECK_EQ(backed(name), 2 * CHUNK);
  CHECK_EQ(mp_map_use(&map, 10 * CHUNK, 1), 0);
  CHECK_EQ(backed(name), 2 * CHUNK + 4096);
  CHECK(map.backed != NULL);
  CHECK_EQ(mp_map_use(&map, 0, map.size), 0);
  CHECK_EQ(backed(name), 10 * CHUNK + 4096);
  CHECK_EQ(map.backed, NULL);
  unmake();
  closed(&use);
}

/* Shortened by somebody else: what has not been used gets its length back. */
TEST(a_block_that_was_cut_is_made_whole_before_its_first_use) {
  struct check_use use;

  opened(&use);
  make(1 << 20);
  REQUIRE(truncate(path_of(name), 100) == 0);
  CHECK_EQ(mp_map_use(&map, 900000, 1), 0);
  map.at[900000] = 'x';
  unmake();
  closed(&use);
}

TEST(a_host_may_take_our_descriptor_s_number) {
  struct check_use use;
  int fd;

  opened(&use);
  make(1 << 20);
  fd = map.fd;
  REQUIRE(dup2(STDOUT_FILENO, fd) == fd);
  CHECK_EQ(mp_map_use(&map, 0, 1), -MP_EFAMILY);
  CHECK_EQ(mp_block_share(block, &map), -MP_EFAMILY);
  mp_map_close(&map);
  CHECK_EQ(fcntl(fd, F_GETFD), 0); /* not ours to close */
  (void)close(fd);
  unmake();
  closed(&use);
}

/* Names */

TEST(unlinking_takes_only_what_is_ours) {
  struct check_use use;
  int fd;

  opened(&use);
  REQUIRE(mp_block_create(own(), 10, &block, &map) == 0);
  CHECK_EQ(mp_block_unlink(block), 0);
  CHECK_EQ(mp_block_unlink(block), -ENOENT);
  fd = make_foreign(own(), 10);
  CHECK_EQ(mp_block_unlink(block), -ENOENT);
  CHECK(is_there(own()));
  unmake();
  (void)close(fd);
  /* One that somebody else has taken away, and made anew. */
  (void)unlink(path_of(own()));
  REQUIRE(mp_block_create(own(), 10, &block, &map) == 0);
  (void)unlink(path_of(own()));
  fd = make_foreign(own(), 10);
  mp__block_leave();
  CHECK(is_there(own()));
  unmake();
  (void)close(fd);
  /* Attached: taken away by whoever says so, not by our end. */
  REQUIRE(mp_block_attach(own(), &block, &map) == 0);
  mp__block_leave();
  CHECK(is_there(own()));
  unmake();
  CHECK(!is_there(own()));
  closed(&use);
}

/* The name outlives the mapping and the holds, and goes with the process. */
TEST(a_name_lives_as_long_as_its_creator) {
  struct check_use use;

  opened(&use);
  make(10);
  mp_map_close(&map);
  mp_ref_close(&block);
  CHECK(is_there(name));
  CHECK(check_arena("with a name alone", NULL));
  mp__block_leave();
  CHECK(!is_there(name));
  closed(&use);
}

static mp_ref ours, theirs;

static int64_t get_name(void) {
  int64_t n = recv_bytes(ours, name, sizeof name, in_ms(5000));

  REQUIRE(n > 0 && n < (int64_t)sizeof name);
  name[n] = '\0';
  return n;
}

/* Makes blocks, sends their names, and waits for a byte. */
static int make_three(void *arg) {
  int i;

  for (i = 0; i < 3; i++) {
    make(100000);
    MUST(send_bytes(theirs, name, strlen(name), in_ms(5000)) == 0);
    mp_map_close(&map);
  }
  (void)recv_bytes(theirs, name, 1, in_ms(5000));
  (void)arg;
  return 0;
}

static void names_go(int threads, int how) {
  struct crew crew = {.threads = threads};
  char names[3][sizeof name];
  struct check_use use;
  int i;

  REQUIRE(mp_enter() == 0);
  REQUIRE(mp_pipe_open(&ours, &theirs, 0) == 0);
  CHECK(check_arena("at first", &use));
  crew_start(&crew, make_three, NULL);
  for (i = 0; i < 3; i++) {
    (void)get_name();
    strcpy(names[i], name);
    CHECK(is_there(name));
  }
  if (how == 0) {
    CHECK_EQ(send_bytes(ours, "x", 1, MP_NOW), 0);
    crew_join(&crew);
  } else {
    CHECK_EQ(kill(mp_proc_pid(crew.proc[0]), how), 0);
    CHECK_EQ(join_until(crew.proc[0], in_ms(5000)), 0);
    mp_ref_close(&crew.proc[0]);
  }
  for (i = 0; i < 3; i++)
    CHECK(!is_there(names[i]));
  CHECK(check_same("after the creator", &use));
  mp_ref_close(&ours);
  mp_ref_close(&theirs);
  check_leave();
}

TWICE(the_names_of_one_that_ends_go) {
  names_go(threads, 0);
}

TEST(the_names_of_one_that_is_killed_go) {
  names_go(0, SIGKILL);
}

/* A forked child has its parent's blocks, but does not answer for them. */
TEST(a_forked_child_leaves_its_parent_s_names) {
  struct check_use use;
  mp_ref p;
  int rc;

  opened(&use);
  make(100);
  REQUIRE(mp_proc_open(&p, NULL, 0) == 0);
  rc = mp_proc_fork(p);
  REQUIRE(rc >= 0);
  if (rc == 0) {
    map.at[99] = 'x';
    mp_exit(0);
  }
  CHECK_EQ(join_until(p, in_ms(5000)), 0);
  mp_ref_close(&p);
  CHECK_EQ(map.at[99], 'x');
  CHECK(is_there(name));
  unmake();
  closed(&use);
}

/* The program's own end: by exit, with nobody left to notice. */
TEST(the_last_one_s_names_go_at_exit) {
  int fd[2];
  pid_t pid;

  REQUIRE(pipe(fd) == 0);
  pid = test_fork();
  if (pid == 0) {
    make(100000);
    mp_ref_close(&block);
    REQUIRE(write(fd[1], name, sizeof name) == sizeof name);
    exit(test_failures > 0);
  }
  REQUIRE(read(fd[0], name, sizeof name) == sizeof name);
  test_join(pid);
  CHECK(!is_there(name));
  (void)close(fd[0]);
  (void)close(fd[1]);
}

/* Blocks in messages */

static int read_block(void *arg) {
  struct mp_msg m;
  char scratch[MP_INLINE_MAX];
  struct mp_map there;
  mp_ref held;

  (void)arg;
  MUST(recv_msg(theirs, &m, scratch, in_ms(5000)) == 0);
  MUST(m.nrefs == 1 && mp_ref_type(m.refs[0]) == MP_TYPE_BLOCK);
  MUST(mp_ref_dup(m.refs[0], &held) == 0);
  mp_msg_close(&m);
  MUST(mp_block_map(held, &there) == 0);
  MUST(there.size == 100000);
  MUST(mp_map_use(&there, 99999, 1) == 0);
  MUST(there.at[99999] == 'x');
  there.at[99999] = 'y';
  mp_map_close(&there);
  mp_ref_close(&held);
  return 0;
}

/* Sent, unlinked and let go of before it is received. */
TWICE(a_block_in_a_message_outlives_its_name) {
  struct crew crew = {.threads = threads};
  struct check_use use;

  REQUIRE(mp_enter() == 0);
  REQUIRE(mp_pipe_open(&ours, &theirs, 0) == 0);
  CHECK(check_arena("at first", &use));
  make(100000);
  CHECK_EQ(mp_map_use(&map, 99999, 1), 0);
  map.at[99999] = 'x';
  CHECK_EQ(mp_block_share(block, &map), 0);
  CHECK_EQ(mp_block_share(block, &map), 0);
  CHECK_EQ(send_refs(ours, "x", 1, &block, 1, MP_NOW), 0);
  CHECK_EQ(mp_block_unlink(block), 0);
  mp_ref_close(&block);
  crew_start(&crew, read_block, NULL);
  crew_join(&crew);
  CHECK_EQ(map.at[99999], 'y');
  mp_map_close(&map);
  CHECK(check_same("after the message", &use));
  mp_ref_close(&ours);
  mp_ref_close(&theirs);
  check_leave();
}

TEST(what_was_not_shared_cannot_be_mapped) {
  struct check_use use;
  struct mp_map other;

  opened(&use);
  make(10);
  CHECK_EQ(mp_block_map(block, &other), -MP_ESTALE);
  CHECK_EQ(other.at, NULL);
  unmake();
  closed(&use);
}

static int make_and_drop(void *arg) {
  struct mp_map m = MP_MAP_EMPTY;
  mp_ref held;
  int i;

  (void)arg;
  for (i = 0; i < 300; i++) {
    MUST(mp_block_create(NULL, 1 + 100 * (unsigned)i, &held, &m) == 0);
    mp_map_close(&m);
    if (i & 1)
      MUST(mp_block_unlink(held) == 0);
    mp_ref_close(&held);
  }
  return 0;
}

TWICE(many_make_and_drop) {
  struct check_use use;

  opened(&use);
  crew_all(threads, 4, make_and_drop, NULL);
  closed(&use);
}
