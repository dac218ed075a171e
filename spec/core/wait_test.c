/* wait_test.c -- waiting for descriptors: who is ready, when, what is wrong. */
#include "test.h"

#include "mp.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>

#define MS 1000000 /* nanoseconds */

static void on_alarm(int sig) {
  (void)sig;
}

/* SIGALRM every `ms` milliseconds, restarting nothing; 0: no more. */
static void storm(long ms) {
  struct sigaction sa = {.sa_handler = on_alarm};
  struct itimerval every = {{0, ms * 1000}, {0, ms * 1000}};

  REQUIRE(sigaction(SIGALRM, &sa, NULL) == 0);
  REQUIRE(setitimer(ITIMER_REAL, &every, NULL) == 0);
}

/* n pipes: list[i] reads, out[i] writes. */
static void open_pipes(struct mp_poll *list, int *out, unsigned n) {
  unsigned i;
  int fd[2];

  for (i = 0; i < n; i++) {
    REQUIRE(pipe(fd) == 0);
    list[i] = (struct mp_poll){fd[0], 99, 0};
    out[i] = fd[1];
  }
}

static void close_pipes(struct mp_poll *list, int *out, unsigned n) {
  unsigned i;

  for (i = 0; i < n; i++) {
    close(list[i].fd);
    if (out[i] >= 0)
      close(out[i]);
  }
}

TEST(tells_the_ready_ones) {
  struct mp_poll p[4];
  int out[4];

  open_pipes(p, out, 4);
  CHECK_EQ(mp_poll(p, 4, MP_NOW), 0);
  CHECK(!p[0].ready && !p[1].ready && !p[2].ready && !p[3].ready);
  REQUIRE(write(out[1], "x", 1) == 1);
  CHECK_EQ(mp_poll(p, 4, MP_FOREVER), 1);
  CHECK(!p[0].ready && p[1].ready && !p[2].ready && !p[3].ready);
  REQUIRE(write(out[3], "x", 1) == 1);
  CHECK_EQ(mp_poll(p, 4, MP_FOREVER), 2);
  CHECK(!p[0].ready && p[1].ready == 1 && !p[2].ready && p[3].ready == 1);
  CHECK_EQ(mp_poll(p, 1, MP_NOW), 0);
  close_pipes(p, out, 4);
}

TEST(hangup_and_error_are_ready) {
  struct mp_poll p[3] = {{0}};
  int out[2], fd[2];

  open_pipes(p, out, 2);
  close(out[0]); /* POLLHUP alone */
  out[0] = -1;
  REQUIRE(pipe(fd) == 0);
  close(fd[0]);
  p[2].fd = fd[1]; /* POLLERR alone */
  CHECK_EQ(mp_poll(p, 3, MP_FOREVER), 2);
  CHECK(p[0].ready == 1 && !p[1].ready && p[2].ready == 1);
  close_pipes(p, out, 2);
  close(fd[1]);
}

TEST(bad_descriptor_is_said) {
  struct mp_poll p[3];
  int out[3], fd;

  open_pipes(p, out, 3);
  fd = p[1].fd;
  REQUIRE(write(out[0], "x", 1) == 1);
  p[1].fd = 1000;
  CHECK_EQ(mp_poll(p, 3, MP_FOREVER), -EBADF);
  p[1].fd = -1;
  CHECK_EQ(mp_poll(p, 3, MP_FOREVER), -EBADF);
  CHECK(!p[0].ready && !p[2].ready);
  p[1].fd = fd;
  CHECK_EQ(mp_poll(p, 3, MP_FOREVER), 1);
  close_pipes(p, out, 3);
}

TEST(same_descriptor_twice) {
  struct mp_poll p[2];
  int out;

  open_pipes(p, &out, 1);
  p[1] = p[0];
  REQUIRE(write(out, "x", 1) == 1);
  CHECK_EQ(mp_poll(p, 2, MP_FOREVER), 2);
  CHECK(p[0].ready && p[1].ready);
  close_pipes(p, &out, 1);
}

TEST(any_number_of_descriptors) {
  static struct mp_poll p[1000];
  static int out[1000];
  const struct rlimit enough = {2100, 2100};
  static const unsigned counts[] = {1, 63, 64, 65, 1000};
  unsigned i, n;

  if (setrlimit(RLIMIT_NOFILE, &enough) < 0) {
    printf("%s: skipped: too few descriptors allowed\n", test_name);
    return;
  }
  open_pipes(p, out, 1000);
  for (i = 0; i < sizeof counts / sizeof *counts; i++) {
    n = counts[i];
    CHECK_EQ(mp_poll(p, n, MP_NOW), 0);
    REQUIRE(write(out[n - 1], "x", 1) == 1);
    CHECK_EQ(mp_poll(p, n, MP_FOREVER), 1);
    CHECK(p[n - 1].ready && (n == 1 || !p[n - 2].ready));
    REQUIRE(read(p[n - 1].fd, &(char){0}, 1) == 1);
  }
  close_pipes(p, out, 1000);
}

TEST(deadline_is_absolute) {
  struct mp_poll p;
  int64_t t;
  int out;

  open_pipes(&p, &out, 1);
  t = mp_now();
  CHECK_EQ(mp_poll(&p, 1, t + 30 * MS), 0);
  CHECK(mp_now() >= t + 30 * MS && mp_now() < t + 500 * MS);
  CHECK_EQ(mp_poll(&p, 1, t + 30 * MS), 0); /* past: not again */
  CHECK_EQ(mp_poll(&p, 1, MP_NOW), 0);
  CHECK_EQ(mp_poll(&p, 1, -1), 0);
  CHECK(mp_now() < t + 500 * MS);
  t = mp_now();
  CHECK_EQ(mp_poll(NULL, 0, t + 30 * MS), 0); /* a mere pause */
  CHECK(mp_now() >= t + 30 * MS && mp_now() < t + 500 * MS);
  REQUIRE(write(out, "x", 1) == 1);
  CHECK_EQ(mp_poll(&p, 1, MP_FOREVER), 1);
  CHECK_EQ(mp_poll(&p, 1, MP_FOREVER - 1), 1);
  close_pipes(&p, &out, 1);
}

TEST(signals_interrupt_and_shorten_nothing) {
  struct mp_poll p;
  unsigned interruptions = 0;
  int64_t t;
  int out, rc;

  open_pipes(&p, &out, 1);
  storm(1);
  CHECK_EQ(mp_poll(&p, 1, MP_FOREVER), -EINTR);
  t = mp_now();
  while ((rc = mp_poll(&p, 1, t + 100 * MS)) == -EINTR)
    interruptions++;
  storm(0);
  CHECK_EQ(rc, 0);
  CHECK(interruptions > 3);
  CHECK(mp_now() >= t + 100 * MS && mp_now() < t + 1000 * MS);
  close_pipes(&p, &out, 1);
}

TEST(wakes_when_a_writer_writes_or_dies) {
  struct mp_poll p[2];
  int out[2], go[2];
  char byte;
  pid_t pid;

  open_pipes(p, out, 2);
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, go) == 0);
  pid = test_fork();
  if (pid == 0) {
    (void)usleep(20000);
    CHECK_EQ(write(out[1], "x", 1), 1);
    CHECK_EQ(read(go[1], &byte, 1), 1);
    (void)usleep(20000);
    (void)raise(SIGKILL);
  }
  close(out[0]);
  out[0] = -1;
  CHECK_EQ(mp_poll(p, 2, MP_FOREVER), 1);
  CHECK(!p[0].ready && p[1].ready);
  CHECK_EQ(write(go[0], "x", 1), 1);
  CHECK_EQ(mp_poll(p, 1, MP_FOREVER), 1);
  CHECK(WIFSIGNALED(test_wait(pid)));
  close(go[0]);
  close(go[1]);
  close_pipes(p, out, 2);
}

/* E9 */
TEST(deadline_of_any_timeout) {
  const double inf = 1e308 * 10;
  int64_t now = mp_now();

  CHECK_EQ(mp_deadline(0), MP_NOW);
  CHECK_EQ(mp_deadline(-0.0), MP_NOW);
  CHECK_EQ(mp_deadline(-1e300), MP_NOW);
  CHECK_EQ(mp_deadline(-inf), MP_NOW);
  CHECK_EQ(mp_deadline(inf - inf), MP_NOW); /* NaN */
  CHECK_EQ(mp_deadline(inf), MP_FOREVER);
  CHECK_EQ(mp_deadline(1e300), MP_FOREVER);
  CHECK_EQ(mp_deadline(9223372036.854775807), MP_FOREVER);
  CHECK(mp_deadline(1e9) > now && mp_deadline(1e9) < MP_FOREVER);
  CHECK(mp_deadline(1e-300) > now);
  CHECK(mp_deadline(1.5) >= now + 1500 * (int64_t)MS);
  CHECK(mp_deadline(1.5) < now + 2500 * (int64_t)MS);
}

TEST(writers_are_told_when_there_is_room) {
  static char bytes[1 << 20];
  struct mp_poll p[2];
  int fd[2];

  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0);
  p[0] = (struct mp_poll){fd[0], 99, 1};
  p[1] = (struct mp_poll){fd[0], 99, 0};
  CHECK_EQ(mp_poll(p, 2, MP_NOW), 1);
  CHECK(p[0].ready && !p[1].ready);
  while (send(fd[0], bytes, sizeof bytes, MSG_DONTWAIT) > 0)
    ;
  CHECK_EQ(mp_poll(p, 2, MP_NOW), 0);
  close(fd[0]);
  close(fd[1]);
}
