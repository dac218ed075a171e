/* listen_test.c -- listeners, and clients of every kind at once.
 *
 * Clients are driven by hand in the same process: a step of theirs, an accept
 * that does not wait, and so on.
 */
#include "conn_help.h"
#include "golden.h"

#include <sys/resource.h>
#include <sys/stat.h>

#define SECOND INT64_C(1000000000)

static struct mp_addr path_of(const char *path) {
  struct mp_addr a = {.family = MP_UNIX};

  a.len = (unsigned)strlen(path);
  memcpy(a.name, path, a.len + 1);
  return a;
}

static struct mp_addr host_of(enum mp_net family, const char *host) {
  struct mp_addr a = path_of(host);

  a.family = family;
  return a;
}

static int listen_at(struct mp_listener *l, const struct mp_addr *a) {
  return mp_listen(l, a, 128, 0, 20 * SECOND);
}

static int dial(const struct mp_addr *a, struct mp_conn *c) {
  struct mp_dial d;
  int rc = mp_dial_open(&d, a);

  while (rc == 0 && (rc = mp_dial_wait(&d, c, 0, MP_FOREVER)) == -EINTR)
    rc = 0;
  mp_dial_close(&d);
  return rc;
}

static int accept_one(struct mp_listener *l, struct mp_conn *c,
                      int64_t deadline) {
  struct mp_addr peer;
  int rc;

  do
    rc = mp_accept(l, KEY, c, &peer, deadline);
  while (rc == -EINTR);
  return rc;
}

/* A client that does all right, whatever else goes on. */
static void good_client(struct mp_listener *l) {
  struct mp_conn c = MP_CONN_EMPTY, s = MP_CONN_EMPTY;
  struct mp_auth a;
  int rc = 0, i;

  REQUIRE(dial(&l->addr, &c) == 0);
  REQUIRE(mp_auth_begin(&a, 0) == 0);
  for (i = 0; s.fd < 0 && i < 10000; i++) {
    int got = accept_one(l, &s, i < 100 ? MP_NOW : mp_deadline(0.01));

    if (got != -MP_ETIMEOUT && got != 0)
      CHECK(got <= -MP_EAUTH); /* of another client */
    if (rc == 0)
      rc = mp_auth_step(&a, &c, KEY);
  }
  CHECK(s.fd >= 0);
  if (rc == 0)
    rc = mp_auth_step(&a, &c, KEY);
  CHECK_EQ(rc, 1);
  mp_conn_close(&c);
  mp_conn_close(&s);
}

KEYED(each_family_connects) {
  struct mp_addr all[] = {host_of(MP_INET, "127.0.0.1"),
                          host_of(MP_INET, "localhost"),
                          host_of(MP_INET6, "::1")};
  struct mp_listener l;
  unsigned i;
  int rc;

  for (i = 0; i < 3; i++) {
    rc = listen_at(&l, &all[i]);
    if (rc == -EADDRNOTAVAIL && i == 2)
      continue; /* no IPv6 here */
    REQUIRE(rc == 0);
    CHECK(l.addr.port > 0);
    good_client(&l);
    mp_listener_close(&l);
  }
}

KEYED(abstract_name_connects) {
  struct mp_addr a = {.family = MP_UNIX};
  struct mp_listener l, other;

  a.len = (unsigned)snprintf(a.name + 1, 80, "luamp-test-%d", getpid()) + 1;
  REQUIRE(listen_at(&l, &a) == 0);
  good_client(&l);
  CHECK_EQ(listen_at(&other, &a), -EADDRINUSE);
  mp_listener_close(&l);
}

KEYED(own_socket_is_private_and_goes_away) {
  struct mp_listener l;
  char dir[256], path[256];
  struct stat st;

  REQUIRE(listen_at(&l, NULL) == 0);
  (void)strcpy(path, l.addr.name);
  (void)strcpy(dir, path);
  *strrchr(dir, '/') = '\0';
  REQUIRE(stat(path, &st) == 0);
  CHECK_EQ(st.st_mode & 0777, 0600);
  REQUIRE(stat(dir, &st) == 0);
  CHECK_EQ(st.st_mode & 0777, 0700);
  good_client(&l);
  mp_listener_close(&l);
  CHECK(stat(dir, &st) < 0 && errno == ENOENT);
}

static void in_tmp(char path[64], const char *name) {
  (void)snprintf(path, 64, "/tmp/luamp_test_%d_%s", getpid(), name);
}

KEYED(live_address_is_refused_and_a_dead_ones_taken) {
  struct mp_listener l, other;
  char path[64];
  struct mp_addr a;
  pid_t pid;

  in_tmp(path, "stale");
  a = path_of(path);
  REQUIRE(listen_at(&l, &a) == 0);
  CHECK_EQ(listen_at(&other, &a), -EADDRINUSE);
  good_client(&l);
  mp_listener_close(&l);
  pid = test_fork();
  if (pid == 0) {
    REQUIRE(listen_at(&l, &a) == 0);
    (void)kill(getpid(), SIGKILL);
  }
  CHECK(WIFSIGNALED(test_wait(pid)));
  CHECK_EQ(access(path, F_OK), 0);
  REQUIRE(listen_at(&l, &a) == 0);
  good_client(&l);
  mp_listener_close(&l);
  CHECK(access(path, F_OK) < 0);
}

TEST(what_is_no_socket_is_left_alone) {
  struct mp_listener l;
  char path[64];
  struct mp_addr a;

  in_tmp(path, "file");
  a = path_of(path);
  close(open(path, O_CREAT | O_WRONLY, 0600));
  CHECK_EQ(listen_at(&l, &a), -EADDRINUSE);
  CHECK_EQ(unlink(path), 0);
}

TEST(directory_of_a_killed_owner_is_removed) {
  struct mp_listener l;
  char path[256];
  int fd[2];
  pid_t pid;

  REQUIRE(pipe(fd) == 0);
  pid = test_fork();
  if (pid == 0) {
    REQUIRE(listen_at(&l, NULL) == 0);
    REQUIRE(write(fd[1], l.addr.name, sizeof path) == sizeof path);
    (void)kill(getpid(), SIGKILL);
  }
  (void)test_wait(pid);
  REQUIRE(read(fd[0], path, sizeof path) == sizeof path);
  close(fd[0]);
  close(fd[1]);
  CHECK_EQ(access(path, F_OK), 0);
  REQUIRE(listen_at(&l, NULL) == 0);
  CHECK(access(path, F_OK) < 0);
  mp_listener_close(&l);
}

/* C9 */
KEYED(another_socket_in_our_place_is_not_removed) {
  struct mp_listener l, other;
  char path[64];
  struct mp_addr a;
  struct mp_conn c;

  in_tmp(path, "place");
  a = path_of(path);
  REQUIRE(listen_at(&l, &a) == 0);
  REQUIRE(unlink(path) == 0);
  CHECK_EQ(dial(&a, &c), -ENOENT);
  REQUIRE(listen_at(&other, &a) == 0);
  mp_listener_close(&l);
  good_client(&other);
  mp_listener_close(&other);
}

KEYED(forked_child_removes_nothing) {
  struct mp_listener l;
  pid_t pid;

  REQUIRE(listen_at(&l, NULL) == 0);
  pid = test_fork();
  if (pid == 0) {
    mp_listener_close(&l);
    test_exit();
  }
  test_join(pid);
  good_client(&l);
  mp_listener_close(&l);
}

/* Its parent has a client in the middle of a handshake. */
KEYED(forked_child_accepts_for_itself) {
  struct mp_listener l;
  struct mp_conn silent, s;
  pid_t pid;

  REQUIRE(listen_at(&l, NULL) == 0);
  REQUIRE(dial(&l.addr, &silent) == 0);
  CHECK_EQ(accept_one(&l, &s, MP_NOW), -MP_ETIMEOUT);
  pid = test_fork();
  if (pid == 0) {
    mp_conn_close(&silent);
    good_client(&l);
    CHECK_EQ(l.npending, 0);
    mp_listener_close(&l);
    test_exit();
  }
  test_join(pid);
  CHECK_EQ(l.npending, 1);
  good_client(&l);
  mp_conn_close(&silent);
  mp_listener_close(&l);
}

TEST(bad_addresses_are_refused) {
  struct mp_addr long_path = path_of("/tmp/x");
  struct mp_addr no_host = host_of(MP_INET, "no.such.host.invalid");
  struct mp_addr wrong = host_of(MP_INET6, "127.0.0.1");
  struct mp_listener l;

  long_path.len = MP_PATH_MAX + 1;
  memset(long_path.name, 'x', MP_PATH_MAX + 1);
  CHECK_EQ(listen_at(&l, &long_path), -ENAMETOOLONG);
  CHECK(listen_at(&l, &no_host) < 0);
  CHECK_EQ(listen_at(&l, &wrong), -MP_EADDRESS);
}

KEYED(handshake_goes_on_in_the_next_accept) {
  struct mp_listener l;
  struct mp_conn c, s;
  struct mp_auth a;
  int rc = 0, i, n = 0;

  REQUIRE(listen_at(&l, NULL) == 0);
  REQUIRE(dial(&l.addr, &c) == 0);
  REQUIRE(mp_auth_begin(&a, 0) == 0);
  for (i = 0; i < 10 && (rc = accept_one(&l, &s, MP_NOW)) == -MP_ETIMEOUT; i++)
    n += mp_auth_step(&a, &c, KEY) == 0;
  CHECK_EQ(rc, 0);
  CHECK(n > 1);
  mp_conn_close(&c);
  mp_conn_close(&s);
  mp_listener_close(&l);
}

KEYED(silent_client_is_dropped_at_its_deadline) {
  struct mp_listener l;
  struct mp_conn silent, s;

  REQUIRE(mp_listen(&l, NULL, 16, 0, SECOND / 20) == 0);
  REQUIRE(dial(&l.addr, &silent) == 0);
  CHECK_EQ(accept_one(&l, &s, mp_deadline(8)), -MP_EAUTHTIME);
  CHECK_EQ(l.npending, 0);
  mp_conn_close(&silent);
  mp_listener_close(&l);
}

/* More of them than there is room for. */
KEYED_LIMIT(silent_crowd_keeps_nobody_waiting, 30) {
  static struct mp_conn silent[700];
  struct mp_listener l;
  unsigned i;

  REQUIRE(mp_listen(&l, NULL, 4096, 0, 20 * SECOND) == 0);
  for (i = 0; i < 700; i++)
    REQUIRE(dial(&l.addr, &silent[i]) == 0);
  good_client(&l);
  CHECK(l.npending <= 512);
  for (i = 0; i < 700; i++)
    mp_conn_close(&silent[i]);
  mp_listener_close(&l);
}

KEYED_LIMIT(no_descriptors_left_keeps_nobody_waiting, 30) {
  static struct mp_conn silent[90];
  struct rlimit few = {120, 120};
  struct mp_listener l;
  unsigned i, n;

  REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
  REQUIRE(listen_at(&l, NULL) == 0);
  for (n = 0; n < 90 && dial(&l.addr, &silent[n]) == 0; n++)
    ;
  good_client(&l);
  for (i = 0; i < n; i++)
    mp_conn_close(&silent[i]);
  mp_listener_close(&l);
}

/* Each prefix of a good handshake, and then silence, the end, or garbage:
 * whatever they do, the good ones are served meanwhile. */
static void hostile(int how) {
  static struct mp_conn bad[256];
  unsigned char bytes[512];
  size_t ends[3], len = golden_side(modern, 1, bytes, ends), n;
  struct mp_listener l;

  REQUIRE(mp_listen(&l, NULL, 4096, 0, 20 * SECOND) == 0);
  for (n = 0; n < len; n++) {
    REQUIRE(dial(&l.addr, &bad[n]) == 0);
    put_raw(&bad[n], bytes, n);
    if (how == 1)
      mp_conn_close(&bad[n]);
    else if (how == 2)
      put_raw(&bad[n], "\377\376\375garbage", 10);
    if (n % 8 == 0)
      good_client(&l);
  }
  good_client(&l);
  for (n = 0; n < len; n++)
    mp_conn_close(&bad[n]);
  mp_listener_close(&l);
}

KEYED_LIMIT(prefixes_and_silence, 30) {
  hostile(0);
}

KEYED_LIMIT(prefixes_and_the_end, 30) {
  hostile(1);
}

KEYED_LIMIT(prefixes_and_garbage, 30) {
  hostile(2);
}

#define CLIENTS 1000

KEYED_LIMIT(a_thousand_clients_at_once, 60) {
  static struct mp_conn c[CLIENTS], s[CLIENTS];
  static struct mp_auth a[CLIENTS];
  static int through[CLIENTS];
  struct mp_addr address = host_of(MP_INET, "127.0.0.1");
  struct mp_listener l;
  unsigned accepted = 0, i, done = 0;
  int64_t patience = 20 * SECOND * test_option("TEST_SLOWER", 1);
  int rc;

  REQUIRE(mp_listen(&l, &address, 4096, 0, patience) == 0);
  for (i = 0; i < CLIENTS; i++) {
    REQUIRE(dial(&l.addr, &c[i]) == 0);
    REQUIRE(mp_auth_begin(&a[i], 0) == 0);
  }
  while (accepted < CLIENTS || done < CLIENTS) {
    while (accepted < CLIENTS) {
      rc = accept_one(&l, &s[accepted], MP_NOW);
      if (rc == -MP_ETIMEOUT)
        break;
      if (!CHECK_EQ(rc, 0))
        exit(1);
      accepted++;
    }
    for (i = 0; i < CLIENTS; i++) {
      if (through[i])
        continue;
      rc = mp_auth_step(&a[i], &c[i], KEY);
      REQUIRE(rc >= 0);
      through[i] = rc;
      done += (unsigned)rc;
    }
  }
  for (i = 0; i < CLIENTS; i++) {
    mp_conn_close(&c[i]);
    mp_conn_close(&s[i]);
  }
  mp_listener_close(&l);
}

TEST(connecting_has_a_deadline) {
  struct mp_addr a;
  struct mp_listener l;
  struct mp_conn c[8];
  struct mp_dial d;
  int rc = 0;
  unsigned n;

  REQUIRE(mp_listen(&l, NULL, 1, 0, SECOND) == 0);
  a = l.addr;
  for (n = 0; n < 8 && rc == 0; n++) { /* until the backlog is full */
    c[n] = MP_CONN_EMPTY;
    REQUIRE(mp_dial_open(&d, &a) == 0);
    do
      rc = mp_dial_wait(&d, &c[n], 0, mp_deadline(0.05));
    while (rc == -EINTR);
    mp_dial_close(&d);
  }
  CHECK_EQ(rc, -MP_ETIMEOUT);
  while (n > 0)
    mp_conn_close(&c[--n]);
  mp_listener_close(&l);
}

TEST(nobody_there_is_an_error) {
  struct mp_addr a = host_of(MP_INET, "127.0.0.1");
  struct mp_listener l;
  struct mp_conn c;

  REQUIRE(listen_at(&l, &a) == 0);
  a = l.addr;
  mp_listener_close(&l);
  CHECK_EQ(dial(&a, &c), -ECONNREFUSED);
}
