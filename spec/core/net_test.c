/* net_test.c -- sockets with addresses, where the system or another user is
 * in the way: directories, locks of directories, peers, calls that fail.
 */
#include "conn_help.h"
#include "deny.h"
#include "golden.h"

#include "net.h"
#include "sys.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>

#define SECOND INT64_C(1000000000)

static char base[] = "/tmp/luamp-net-XXXXXX"; /* of the test, and its cwd */

static void made(void) {
  REQUIRE(mkdtemp(base) != NULL);
  REQUIRE(chdir(base) == 0);
}

static void removed(void) {
  REQUIRE(chdir("/") == 0);
  CHECK_EQ(rmdir(base), 0); /* it is empty */
}

static const char *below(const char *name) {
  static char path[100];

  REQUIRE(snprintf(path, sizeof path, "%s/%s", base, name) < 100);
  return path;
}

static struct mp_addr unix_addr(const char *name, size_t len) {
  struct mp_addr a = {.family = MP_UNIX, .len = (unsigned)len};

  memcpy(a.name, name, len);
  return a;
}

/* A socket at a path of its own, which listens if asked to. */
static int bound(const char *path, int listens) {
  struct sockaddr_un u = {.sun_family = AF_UNIX};
  int fd = mp__net_socket(AF_UNIX, 0);

  (void)snprintf(u.sun_path, sizeof u.sun_path, "%s", path);
  REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&u, sizeof u) == 0);
  if (listens)
    REQUIRE(mp__net_listen(fd, 5) == 0);
  return fd;
}

TEST(errors_are_said) {
  struct mp_addr a;
  int fd = mp__sys_eventfd(0);

  CHECK_EQ(mp__net_name(fd, &a), -ENOTSOCK);
  CHECK_EQ(mp__net_error(fd), -ENOTSOCK);
  CHECK_EQ(mp__net_reuse(fd), -ENOTSOCK);
  CHECK_EQ(mp__net_listen(fd, 1), -ENOTSOCK);
  CHECK_EQ(mp__net_same_user(fd), 0);
  mp__net_block(-1);
  mp__sys_close(fd);
  CHECK_EQ(mp__net_private(-1), -EBADF);
}

/* Directories for sockets */

TEST(the_directory_is_made_where_the_owner_says) {
  char path[MP_PATH_MAX], wanted[40];
  char longer[100];

  made();
  (void)unsetenv("TMPDIR");
  REQUIRE(setenv("XDG_RUNTIME_DIR", base, 1) == 0);
  CHECK_EQ(mp__net_make_dir(path, sizeof path), 0);
  (void)snprintf(wanted, sizeof wanted, "luamp-%d-", getpid());
  CHECK(strncmp(path, below(wanted), strlen(below(wanted))) == 0);
  mp__net_remove_dir(path);
  REQUIRE(setenv("TMPDIR", base, 1) == 0);
  (void)memset(longer, 'x', sizeof longer - 1);
  longer[0] = '/';
  longer[sizeof longer - 1] = '\0';
  REQUIRE(setenv("XDG_RUNTIME_DIR", ".", 1) == 0); /* not absolute */
  CHECK_EQ(mp__net_make_dir(path, sizeof path), 0);
  mp__net_remove_dir(path);
  REQUIRE(setenv("XDG_RUNTIME_DIR", longer, 1) == 0);
  CHECK_EQ(mp__net_make_dir(path, sizeof path), 0);
  CHECK(strncmp(path, base, strlen(base)) == 0);
  mp__net_remove_dir(path);
  REQUIRE(setenv("XDG_RUNTIME_DIR", "/nowhere", 1) == 0);
  CHECK_EQ(mp__net_make_dir(path, 10), -ENAMETOOLONG);
  CHECK_EQ(mp__net_make_dir(path, sizeof path), 0);
  mp__net_remove_dir(path);
  removed();
}

TEST(no_directory_no_listener) {
  struct mp_listener l;

  deny(SYS_mkdir, EROFS);
  deny(SYS_mkdirat, EROFS);
  CHECK_EQ(mp_listen(&l, NULL, 5, 0, SECOND), -EROFS);
  CHECK_EQ(l.fd, -1);
  mp_listener_close(&l);
}

static pid_t dead(void) {
  pid_t pid = test_fork();

  if (pid == 0)
    _exit(0);
  test_join(pid);
  return pid;
}

/* What the dead have left goes; what lives, and what is none, stays. */
TEST(only_directories_of_the_dead_are_removed) {
  char gone[60], seen[60], own[60], path[MP_PATH_MAX], file[80];
  int fd;

  made();
  REQUIRE(setenv("XDG_RUNTIME_DIR", base, 1) == 0);
  (void)snprintf(gone, sizeof gone, "luamp-%d-aaaaaa", dead());
  (void)snprintf(seen, sizeof seen, "luamp-%d-bbbbbb", dead());
  (void)snprintf(own, sizeof own, "luamp-%d-cccccc", getpid());
  REQUIRE(mkdir(gone, 0700) == 0 && mkdir(seen, 0700) == 0);
  REQUIRE(mkdir(own, 0700) == 0 && mkdir("luamp-0-dddddd", 0700) == 0);
  REQUIRE(mkdir("other", 0700) == 0);
  (void)snprintf(file, sizeof file, "%s/s", gone);
  mp__sys_close(bound(file, 1)); /* nobody answers */
  (void)snprintf(file, sizeof file, "%s/s", seen);
  fd = bound(file, 1); /* of a process in another container, perhaps */
  CHECK_EQ(mp__net_make_dir(path, sizeof path), 0);
  mp__net_remove_dir(path);
  CHECK(access(gone, F_OK) < 0);
  CHECK_EQ(access(file, F_OK), 0);
  CHECK_EQ(mp__net_answers(file), 1);
  mp__sys_close(fd);
  CHECK_EQ(mp__net_answers(file), 0);
  CHECK_EQ(unlink(file), 0);
  CHECK_EQ(rmdir(seen), 0);
  CHECK_EQ(rmdir(own), 0);
  CHECK_EQ(rmdir("luamp-0-dddddd"), 0);
  CHECK_EQ(rmdir("other"), 0);
  removed();
}

/* Who cannot find out takes a file for a living one's. */
TEST(a_file_that_cannot_be_asked_is_left) {
  struct mp_listener l;
  struct mp_addr a;
  int fd;

  made();
  fd = bound("s", 1);
  mp__sys_close(fd);
  a = unix_addr(below("s"), strlen(below("s")));
  deny_if(SYS_socket, 1, SOCK_DGRAM | SOCK_CLOEXEC, EMFILE);
  CHECK_EQ(mp__net_answers("s"), 1);
  CHECK_EQ(mp_listen(&l, &a, 5, 0, SECOND), -EADDRINUSE);
  mp_listener_close(&l);
  CHECK_EQ(unlink("s"), 0);
  removed();
}

/* The lock of a directory */

TEST(the_lock_of_a_directory) {
  int pipes[2], fd, waited;
  pid_t pid;
  char byte;

  made();
  fd = mp__net_lock_dir("s"); /* the one we are in */
  CHECK(fd >= 0);
  CHECK_EQ(mp__net_lock_dir(below("s")), -EWOULDBLOCK);
  mp__sys_close(fd);
  fd = mp__net_lock_dir("/s");
  CHECK(fd >= 0);
  mp__sys_close(fd);
  CHECK_EQ(mp__net_lock_dir("nowhere/s"), -ENOENT);
  REQUIRE(mp__sys_socketpair(pipes) == 0);
  pid = test_fork();
  if (pid == 0) {
    fd = mp__net_lock_dir("s");
    CHECK_EQ(mp__sys_write(pipes[1], "x", 1), 1);
    (void)usleep(50000);
    test_exit(); /* and lets go */
  }
  CHECK_EQ(mp__sys_read(pipes[0], &byte, 1), 1);
  waited = mp__net_lock_dir("s");
  CHECK(waited >= 0);
  mp__sys_close(waited);
  test_join(pid);
  deny_nth(SYS_flock, 1, ENOLCK);
  CHECK(mp__net_lock_dir("s") < 0);
  allow(SYS_flock);
  mp__sys_close(pipes[0]);
  mp__sys_close(pipes[1]);
  removed();
}

/* Peers */

TEST(a_peer_with_a_name_is_known_by_it) {
  struct mp_conn c = MP_CONN_EMPTY;
  struct mp_listener l;
  struct mp_addr peer;
  struct addrinfo *list;
  int fd;

  made();
  REQUIRE(mp_listen(&l, NULL, 5, 0, SECOND) == 0);
  REQUIRE(mp__net_resolve(&l.addr, 0, &list) == 0);
  fd = bound("me", 0);
  CHECK_EQ(mp__net_connect(fd, list), 0);
  CHECK_EQ(mp_accept(&l, NULL, 0, &c, &peer, MP_FOREVER), 0);
  CHECK(peer.family == MP_UNIX && peer.len == 2);
  CHECK_EQ(memcmp(peer.name, "me", 3), 0);
  mp_conn_close(&c);
  mp__sys_close(fd);
  fd = mp__net_socket(AF_UNIX, 0); /* one without */
  CHECK_EQ(mp__net_connect(fd, list), 0);
  CHECK_EQ(mp_accept(&l, NULL, 0, &c, &peer, MP_FOREVER), 0);
  CHECK(peer.family == MP_UNIX && peer.len == 0);
  mp_conn_close(&c);
  mp__sys_close(fd);
  mp__net_free(list);
  mp_listener_close(&l);
  CHECK_EQ(unlink("me"), 0);
  removed();
}

#define NOBODY 65534

static int dial(const struct mp_addr *a, struct mp_conn *c, unsigned flags) {
  struct mp_dial d;
  int rc = mp_dial_open(&d, a);

  *c = MP_CONN_EMPTY;
  while (rc == 0 && (rc = mp_dial_wait(&d, c, flags, MP_FOREVER)) == -EINTR)
    rc = 0;
  mp_dial_close(&d);
  return rc;
}

/* An abstract name has no mode that would keep others away. */
TEST(a_listener_of_another_user) {
  struct mp_addr a = unix_addr("\0luamp-net", 10);
  struct mp_listener l;
  struct mp_conn c;
  int pipes[2];
  pid_t pid;
  char byte;

  if (geteuid() != 0)
    test_skip("needs the right to become somebody else");
  REQUIRE(mp__sys_socketpair(pipes) == 0);
  a.len += (unsigned)snprintf(a.name + a.len, 20, "%d", getpid());
  pid = test_fork();
  if (pid == 0) {
    REQUIRE(setuid(NOBODY) == 0);
    CHECK_EQ(mp_listen(&l, &a, 5, 0, SECOND), 0);
    CHECK_EQ(mp__sys_write(pipes[1], "x", 1), 1);
    CHECK_EQ(mp__sys_read(pipes[1], &byte, 1), 1);
    CHECK_EQ(dial(&a, &c, 0), 0); /* its own is good enough */
    mp_conn_close(&c);
    test_exit();
  }
  CHECK_EQ(mp__sys_read(pipes[0], &byte, 1), 1);
  CHECK_EQ(dial(&a, &c, 0), -MP_EAUTHUSER);
  CHECK_EQ(c.fd, -1);
  CHECK_EQ(dial(&a, &c, MP_NET_ANY_USER), 0);
  mp_conn_close(&c);
  CHECK_EQ(mp__sys_write(pipes[0], "x", 1), 1);
  test_join(pid);
  mp__sys_close(pipes[0]);
  mp__sys_close(pipes[1]);
}

/* Calls that fail on the way to a listener or a connection */

TEST(a_listener_that_cannot_be_made_leaves_nothing) {
  static const struct {
    long nr;
    int error;
  } calls[] = {{SYS_socket, EMFILE},        {SYS_fchmod, EPERM},
               {SYS_bind, EACCES},          {SYS_listen, EADDRINUSE},
               {SYS_epoll_create1, EMFILE}, {SYS_epoll_ctl, ENOSPC}};
  struct mp_listener l;
  struct mp_addr a;
  size_t i;

  made();
  REQUIRE(setenv("XDG_RUNTIME_DIR", base, 1) == 0);
  for (i = 0; i < sizeof calls / sizeof *calls; i++) {
    deny_nth(calls[i].nr, DENY_ANY, calls[i].error);
    if (!CHECK_EQ(mp_listen(&l, NULL, 5, 0, SECOND), -calls[i].error))
      printf("call %zu\n", i);
    CHECK_EQ(l.fd, -1);
    mp_listener_close(&l);
    allow(calls[i].nr);
  }
  a = unix_addr("127.0.0.1", 9);
  a.family = MP_INET;
  deny_nth(SYS_getsockname, 1, ENOBUFS); /* which port, then? */
  CHECK_EQ(mp_listen(&l, &a, 5, 0, SECOND), -ENOBUFS);
  deny_nth(SYS_setsockopt, 1, ENOPROTOOPT);
  CHECK_EQ(mp_listen(&l, &a, 5, 0, SECOND), -ENOPROTOOPT);
  CHECK_EQ(l.fd, -1);
  CHECK_EQ(mp_listen(&l, NULL, 5, 0, SECOND), 0);
  CHECK_EQ(mp_listener_fd(&l), l.set);
  mp_listener_close(&l);
  CHECK_EQ(mp_listener_fd(&l), -MP_ESTALE);
  removed();
}

TEST(a_closed_listener_accepts_nobody) {
  struct mp_listener l = MP_LISTENER_EMPTY;
  struct mp_addr peer;
  struct mp_conn c;

  CHECK_EQ(mp_accept(&l, NULL, 0, &c, &peer, MP_FOREVER), -MP_ESTALE);
  CHECK_EQ(mp_listener_fd(&l), -MP_ESTALE);
  mp_listener_close(&l);
}

/* A client that is gone before it is accepted is nobody's error; one for which
 * there is no descriptor is. */
TEST(errors_of_accepting) {
  static const int passing[] = {
      ECONNABORTED, EPROTO, EPERM,       ENETDOWN,   ENETUNREACH, EHOSTDOWN,
      EHOSTUNREACH, ENONET, ENOPROTOOPT, EOPNOTSUPP, EINTR};
  static const int lasting[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS, EBADF};
  struct mp_listener l;
  struct mp_addr peer;
  struct mp_conn c, s;
  size_t i;

  REQUIRE(mp_listen(&l, NULL, 5, 0, SECOND) == 0);
  for (i = 0; i < sizeof passing / sizeof *passing; i++) {
    REQUIRE(dial(&l.addr, &c, 0) == 0);
    deny_nth(SYS_accept4, 1, passing[i]);
    if (!CHECK_EQ(mp_accept(&l, NULL, 0, &s, &peer, MP_FOREVER), 0))
      printf("error %d\n", passing[i]);
    CHECK_EQ(deny_hits, 1);
    mp_conn_close(&s);
    mp_conn_close(&c);
  }
  for (i = 0; i < sizeof lasting / sizeof *lasting; i++) {
    REQUIRE(dial(&l.addr, &c, 0) == 0);
    deny_nth(SYS_accept4, 1, lasting[i]);
    CHECK_EQ(mp_accept(&l, NULL, 0, &s, &peer, MP_FOREVER), -lasting[i]);
    CHECK_EQ(mp_accept(&l, NULL, 0, &s, &peer, MP_FOREVER), 0);
    mp_conn_close(&s);
    mp_conn_close(&c);
  }
  mp_listener_close(&l);
}

TEST(errors_of_connecting) {
  struct mp_listener l;
  struct mp_conn c;

  REQUIRE(mp_listen(&l, NULL, 5, 0, SECOND) == 0);
  deny_nth(SYS_socket, 1, EMFILE);
  CHECK_EQ(dial(&l.addr, &c, 0), -EMFILE);
  deny_nth(SYS_connect, 1, EACCES);
  CHECK_EQ(dial(&l.addr, &c, 0), -EACCES);
  deny_nth(SYS_getsockopt, 1, ENOBUFS);
  CHECK_EQ(dial(&l.addr, &c, 0), -ENOBUFS);
  CHECK_EQ(c.fd, -1);
  CHECK_EQ(dial(&l.addr, &c, 0), 0);
  mp_conn_close(&c);
  mp_listener_close(&l);
}
