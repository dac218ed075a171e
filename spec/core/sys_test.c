/* sys_test.c -- system calls that fail, are interrupted, or are not there: what
 * their callers are told, and that nothing is left open.
 */
#include "deny.h"
#include "joiner.h"

#include "futex.h"
#include "net.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Descriptors */

TEST(interrupted_calls_are_made_again) {
  int pair[2], memfd, rc, epoll = mp__sys_epoll();
  uint64_t tag;
  char byte;

  REQUIRE(mp__sys_seqpacket(pair) == 0);
  memfd = mp__sys_memfd("x");
  REQUIRE(memfd >= 0 && epoll >= 0);
  REQUIRE(mp__sys_epoll_tag(epoll, pair[1], 7) == 0);
  deny_nth(SYS_write, 1, EINTR);
  CHECK_EQ(mp__sys_write(pair[0], "a", 1), 1);
  CHECK_EQ(deny_hits, 1);
  deny_nth(SYS_read, 1, EINTR);
  CHECK_EQ(mp__sys_read(pair[1], &byte, 1), 1);
  CHECK_EQ(deny_hits, 1);
  deny_nth(SYS_sendmsg, 1, EINTR);
  CHECK_EQ(mp__sys_send(pair[0], "b", 1), 1);
  CHECK_EQ(deny_hits, 1);
  deny_nth(SYS_fallocate, 1, EINTR);
  CHECK_EQ(mp__sys_fallocate(memfd, 0, 4096), 0);
  CHECK_EQ(deny_hits, 1);
#ifdef SYS_epoll_wait
  deny_nth(DENY_EPOLL, 1, EINTR);
  CHECK_EQ(mp__sys_epoll_ready(epoll, &tag, 1), 1);
  CHECK_EQ(deny_hits, 1);
  CHECK_EQ(tag, 7);
#endif
  deny_nth(SYS_recvfrom, 1, EINTR);
  CHECK_EQ(mp__sys_recv(pair[1], &byte, 1), 1);
  CHECK_EQ(deny_hits, 1);
  deny_nth(SYS_sendmsg, 1, EINTR);
  CHECK_EQ(mp__sys_send_fd(pair[0], memfd), 0);
  CHECK_EQ(deny_hits, 1);
  deny_nth(SYS_recvmsg, 1, EINTR);
  rc = mp__sys_recv_fd(pair[1]);
  CHECK(rc >= 0);
  CHECK_EQ(deny_hits, 1);
  mp__sys_close(rc);
  mp__sys_close(memfd);
  mp__sys_close(epoll);
  mp__sys_close(pair[0]);
  mp__sys_close(pair[1]);
}

TEST(closing_keeps_errno) {
  int fd = mp__sys_eventfd(0);

  REQUIRE(fd >= 0);
  errno = ENOENT;
  mp__sys_close(fd);
  mp__sys_close(fd); /* EBADF is not for the caller */
  mp__sys_close(-1);
  CHECK_EQ(errno, ENOENT);
}

/* A host that runs with 0, 1, 2 closed. */
static void close_standard(void) {
  int fd;

  for (fd = 0; fd < 3; fd++)
    (void)close(fd);
}

TEST(a_descriptor_below_3_that_cannot_be_moved_is_closed) {
  pid_t pid = test_fork();
  int pair[2], fds, rc, n;

  if (pid == 0) {
    fds = dup(1);
    close_standard();
    deny_nth(SYS_fcntl, DENY_ANY, EMFILE);
    rc = mp__sys_eventfd(0);
    n = mp__sys_socketpair(pair);
    allow(SYS_fcntl);
    CHECK_EQ(rc, -EMFILE);
    CHECK_EQ(n, -EMFILE);
    CHECK(pair[0] == -1 && pair[1] == -1);
    for (n = 0; n < 3; n++) /* none stayed open */
      CHECK(fcntl(n, F_GETFD) < 0);
    deny_nth(SYS_fcntl, 1 + DENY_FCNTLS, EMFILE);
    rc = mp__sys_socketpair(pair);
    allow(SYS_fcntl);
    CHECK_EQ(rc, -EMFILE);
    for (n = 0; n < 10; n++)
      CHECK((fcntl(n, F_GETFD) < 0) == (n != fds));
    (void)dup2(fds, 1);
    (void)fflush(stdout);
    test_exit();
  }
  test_join(pid);
}

TEST(errors_of_calls_on_descriptors_are_said) {
  struct mp__file file;
  int fd = mp__sys_eventfd(0);
  int pipes[2];

  CHECK_EQ(mp__sys_inherit(-1), -EBADF);
  CHECK_EQ(mp__sys_cloexec(-1), -EBADF);
  CHECK_EQ(mp__sys_queued(-1), -EBADF);
  CHECK_EQ(mp__sys_write(-1, "x", 1), -EBADF);
  CHECK_EQ(mp__sys_sndbuf(fd, 4096), -ENOTSOCK);
  CHECK_EQ(mp__sys_peek_fd(fd, 0), -ENOTSOCK);
  CHECK_EQ(mp__sys_replace(fd, -1), -EBADF);
  CHECK_EQ(mp__sys_file(-1, &file), -EBADF);
  CHECK_EQ(mp__sys_recv_nap(fd, &pipes, 1), -ENOTSOCK);
  CHECK_EQ(mp__sys_resize(fd, (uint64_t)INT64_MAX + 1), -EFBIG);
  CHECK_EQ(mp__sys_inode(-1), 0);
  CHECK_EQ(mp__sys_epoll_ready(-1, NULL, 1), -EBADF);
  CHECK_EQ(mp__sys_poll1(fd, POLLIN, MP_NOW), 0);
  mp__sys_close(fd);
  CHECK_EQ(mp__sys_poll1(fd, POLLIN, MP_NOW), -EBADF);
  CHECK_EQ(mp_fd_is_open(fd), 0);
}

/* One takes the other's number, and its own is free again. */
TEST(a_descriptor_is_replaced) {
  int fd = mp__sys_eventfd(0), by = mp__sys_memfd("by");
  uint64_t inode = mp__sys_inode(by);

  REQUIRE(fd >= 0 && by >= 0);
  CHECK_EQ(mp__sys_replace(fd, by), 0);
  CHECK_EQ(mp__sys_inode(fd), inode);
  CHECK_EQ(mp_fd_is_open(by), 0);
  CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  mp__sys_close(fd);
}

/* Without the privilege the limit of the system holds. */
TEST(a_buffer_grows_as_far_as_it_may) {
  int pair[2], most;

  REQUIRE(mp__sys_seqpacket(pair) == 0);
  deny_if(SYS_setsockopt, 2, SO_SNDBUFFORCE, EPERM);
  most = mp__sys_sndbuf(pair[0], 64 << 20);
  CHECK(most > 0 && most < 64 << 20);
  CHECK_EQ(mp__sys_sndbuf(pair[0], 8192), 8192);
  mp__sys_close(pair[0]);
  mp__sys_close(pair[1]);
}

TEST(a_descriptor_that_does_not_come) {
  int pair[2];

  REQUIRE(mp__sys_socketpair(pair) == 0);
  CHECK_EQ(mp__sys_recv_fd(pair[1]), -EAGAIN);
  CHECK_EQ(mp__sys_write(pair[0], "x", 1), 1);
  CHECK_EQ(mp__sys_recv_fd(pair[1]), -ENOENT);
  mp__sys_close(pair[0]);
  CHECK_EQ(mp__sys_recv_fd(pair[1]), -ENOENT);
  CHECK_EQ(mp__sys_send_fd(pair[1], 1), -EPIPE);
  mp__sys_close(pair[1]);
}

/* Named shared memory */

static const char *shm_name(void) {
  static char name[40];

  (void)snprintf(name, sizeof name, "luamp-sys-%d", getpid());
  return name;
}

/* Linux before 6.10 wants a privilege for the short way. */
TEST(a_file_gets_its_name_without_the_privilege) {
  int fd = mp__shm_new(), keep;
  struct mp__file f;

  REQUIRE(fd >= 0 && mp__sys_file(fd, &f) == 0);
  deny_if(SYS_linkat, 4, AT_EMPTY_PATH, ENOENT);
  CHECK_EQ(mp__shm_link(fd, shm_name()), 0);
  CHECK_EQ(mp__shm_link(fd, shm_name()), -EEXIST);
  CHECK_EQ(mp__shm_unlink(shm_name(), f.dev, f.ino + 1, &keep), -ENOENT);
  CHECK_EQ(keep, -1);
  CHECK_EQ(mp__shm_unlink(shm_name(), f.dev + 1, f.ino, &keep), -ENOENT);
  CHECK_EQ(mp__shm_unlink(shm_name(), f.dev, f.ino, &keep), 0);
  mp__sys_close(keep);
  CHECK_EQ(mp__shm_open(shm_name()), -ENOENT);
  mp__sys_close(fd);
}

TEST(a_file_that_can_get_no_name) {
  int fd = mp__shm_new();

  REQUIRE(fd >= 0);
  deny(SYS_linkat, EACCES);
  CHECK_EQ(mp__shm_link(fd, shm_name()), -EACCES);
  CHECK_EQ(mp__shm_open(shm_name()), -ENOENT);
  mp__sys_close(fd);
}

/* Whose size nobody knows is taken for one without a limit. */
TEST(room_that_cannot_be_asked_for) {
  int fd = mp__shm_new();

  REQUIRE(fd >= 0);
  CHECK(mp__sys_room(fd) < UINT64_MAX);
  deny(SYS_fstatfs, ENOSYS);
  CHECK_EQ(mp__sys_room(fd), UINT64_MAX);
  mp__sys_close(fd);
}

/* Processes */

TEST(a_process_that_is_not_there) {
  uint64_t start;
  char state;
  int status, pid = test_fork();

  if (pid == 0)
    _exit(3);
  while (mp__sys_procstat(pid, &state, &start) == 0 && state != 'Z')
    mp__sys_yield();
  CHECK_EQ(mp__sys_exit_status(pid, 0, &status), 0);
  CHECK_EQ(status, 3 << 8);
  CHECK_EQ(mp__sys_exit_status(pid, 1, &status), -ESRCH); /* another life */
  CHECK_EQ(mp__sys_exit_status(getpid(), 0, &status), -ESRCH); /* lives */
  CHECK_EQ(test_wait(pid), 3 << 8);
  CHECK_EQ(mp__sys_procstat(pid, &state, &start), -ENOENT);
  CHECK_EQ(mp__sys_exit_status(pid, 0, &status), -ENOENT);
  CHECK_EQ(mp__sys_tgkill(pid, pid, 0), -ESRCH);
  CHECK_EQ(mp__sys_pidfd_open(pid), -ESRCH);
  CHECK_EQ(mp__sys_pidfd_signal(-1, 0), -EBADF);
  CHECK_EQ(mp__sys_wait(pid, 0, MP__WAIT, &status), -ECHILD);
  CHECK_EQ(mp__sys_wait(pid, -1, MP__WAIT, &status), -EINVAL);
  CHECK(mp__sys_pidfd_status(1, &status) < 0);
}

static void *wait_for_byte(void *arg) {
  char byte;

  (void)mp__sys_read(*(int *)arg, &byte, 1);
  return NULL;
}

/* /proc out of reach: with threads nobody knows how many. */
static void count_threads(void) {
  pthread_t thread;
  int pipes[2];

#ifndef __SANITIZE_THREAD__ /* which starts one of its own */
  CHECK_EQ(mp__sys_threads(), 1);
#endif
  REQUIRE(mp__sys_socketpair(pipes) == 0);
  REQUIRE(pthread_create(&thread, NULL, wait_for_byte, &pipes[0]) == 0);
  CHECK(mp__sys_threads() > 1);
  deny_nth(DENY_OPEN, DENY_ANY, EMFILE);
  CHECK_EQ(mp__sys_threads(), -1);
  CHECK_EQ(mp_single_threaded(), 0);
  allow(DENY_OPEN);
  CHECK_EQ(mp__sys_write(pipes[1], "x", 1), 1);
  REQUIRE(pthread_join(thread, NULL) == 0);
}

TEST(threads_that_cannot_be_counted) {
  pid_t pid = test_fork();

  if (pid == 0) {
    count_threads();
    test_exit();
  }
  test_join(pid);
}

TEST(the_program_around_us) {
  char text[200], small[2];
  int fd = open("/dev/null", O_RDWR);

  CHECK_EQ(mp_getcwd(text, sizeof text), 0);
  CHECK_EQ(mp_getcwd(small, 1), -ERANGE);
  CHECK_EQ(mp_chdir("/nowhere at all"), -ENOENT);
  CHECK_EQ(mp_chdir(text), 0);
  CHECK_EQ(mp_program(text, sizeof text), 0);
  CHECK(mp_is_program(text));
  CHECK(!mp_is_program("/nowhere at all"));
  deny(SYS_ioctl, ENOTTY);
  CHECK_EQ(mp_terminal_width(), 0);
  deny(SYS_sched_getaffinity, EPERM);
  CHECK_EQ(mp__sys_affinity(), 1);
  CHECK_EQ(mp_cpu_usable(), 1);
  deny(SYS_readlink, EACCES);
  CHECK_EQ(mp_program(text, sizeof text), -EACCES);
  deny(SYS_getrandom, EIO);
  CHECK_EQ(mp__sys_random(text, 8), -EIO);
  deny(SYS_get_robust_list, ENOSYS);
  CHECK(mp__sys_robust_list() == NULL);
  (void)close(fd);
}

/* CPUs: groups within groups, as the kernel shows them */

static char tree[] = "/tmp/luamp-sys-XXXXXX";

static const char *in_tree(const char *name) {
  static char path[100];

  (void)snprintf(path, sizeof path, "%s%s", tree, name);
  return path;
}

static void write_in_tree(const char *name, const char *text) {
  FILE *f = fopen(in_tree(name), "w");

  REQUIRE(f != NULL && fputs(text, f) >= 0);
  (void)fclose(f);
}

/* The quota, when this is said of our group, of the outer and the root. */
static int quota(const char *ours, const char *outer, const char *root) {
  char groups[100];

  write_in_tree("/a/b/cpu.max", ours);
  write_in_tree("/a/cpu.max", outer);
  write_in_tree("/cpu.max", root);
  (void)strcpy(groups, in_tree("/groups"));
  return mp__cpu_quota(groups, tree);
}

TEST(the_tightest_quota_counts) {
  REQUIRE(mkdtemp(tree) != NULL);
  REQUIRE(mkdir(in_tree("/a"), 0700) == 0);
  REQUIRE(mkdir(in_tree("/a/b"), 0700) == 0);
  CHECK_EQ(quota("100000 100000\n", "", ""), 0); /* no file */
  write_in_tree("/groups", "");
  CHECK_EQ(quota("100000 100000\n", "", ""), 0);
  write_in_tree("/groups", "4:cpu:/a/b\n"); /* the older kind */
  CHECK_EQ(quota("100000 100000\n", "", ""), 0);
  write_in_tree("/groups", "0::/a/b\n");
  CHECK_EQ(quota("max 100000\n", "max 100000\n", ""), 0);
  CHECK_EQ(quota("300000 100000\n", "max 100000\n", ""), 3);
  CHECK_EQ(quota("300000 100000\n", "200000 100000\n", ""), 2);
  CHECK_EQ(quota("200000 100000\n", "300000 100000\n", ""), 2);
  CHECK_EQ(quota("max 100000\n", "max 100000\n", "400000 100000\n"), 4);
  CHECK_EQ(quota("1000 100000\n", "", ""), 1); /* rounded up */
  CHECK_EQ(quota("250001 100000\n", "", ""), 3);
  CHECK_EQ(quota("0 100000\n", "-1 100000\n", "5 0\n"), 0);
  write_in_tree("/groups", "0::/\n");
  CHECK_EQ(quota("100000 100000\n", "", "200000 100000\n"), 2);
  CHECK_EQ(unlink(in_tree("/a/b/cpu.max")), 0);
  CHECK_EQ(unlink(in_tree("/a/cpu.max")), 0);
  CHECK_EQ(unlink(in_tree("/cpu.max")), 0);
  CHECK_EQ(unlink(in_tree("/groups")), 0);
  CHECK_EQ(rmdir(in_tree("/a/b")), 0);
  CHECK_EQ(rmdir(in_tree("/a")), 0);
  CHECK_EQ(rmdir(tree), 0);
  CHECK(mp_cpu_usable() >= 1 && mp_cpu_usable() <= mp_cpu_count());
}

/* What needs a family says why there is none, and nothing is held. */
TEST(without_a_family_nothing_opens) {
  mp_ref r, s;
  struct mp_map m;
  unsigned char key[32];

  deny(SYS_memfd_create, ENFILE);
  CHECK_EQ(mp_mutex_open(&r, 0), -ENFILE);
  CHECK_EQ(r, MP_REF_EMPTY);
  CHECK_EQ(mp_event_open(&r), -ENFILE);
  CHECK_EQ(mp_sem_open(&r, 1, 0), -ENFILE);
  CHECK_EQ(mp_barrier_open(&r, 2, 0, NULL), -ENFILE);
  CHECK_EQ(mp_queue_open(&r, MP_TYPE_QUEUE, 0), -ENFILE);
  CHECK_EQ(mp_pipe_open(&r, &s, 0), -ENFILE);
  CHECK_EQ(s, MP_REF_EMPTY);
  CHECK_EQ(mp_proc_open(&r, NULL, 0), -ENFILE);
  CHECK_EQ(mp_fd_share(1, 1, &r), -ENFILE);
  CHECK_EQ(r, MP_REF_EMPTY);
  CHECK_EQ(mp_block_create(NULL, 100, &r, &m), -ENFILE);
  CHECK_EQ(mp_block_attach("luamp-none", &r, &m), -ENFILE);
  CHECK_EQ(mp_authkey(key), -ENFILE);
  CHECK_EQ(mp_finish(), 0);
  CHECK_EQ(mp_is_fork(), 0);
  mp_claim(1); /* there is nowhere to say it */
  CHECK_EQ(mp_entered(), 0);
}
