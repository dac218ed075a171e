/* conn_fault_test.c -- signals, and peers that are killed. */
#include "conn_help.h"

#define MAX (1u << 20)

static unsigned char buf[MAX];

static void on_alarm(int sig) {
  (void)sig;
}

/* SIGALRM every `us` microseconds, restarting nothing; 0: no more. */
static void storm(long us) {
  struct sigaction sa = {.sa_handler = on_alarm};
  struct itimerval every = {{0, us}, {0, us}};

  REQUIRE(sigaction(SIGALRM, &sa, NULL) == 0);
  REQUIRE(setitimer(ITIMER_REAL, &every, NULL) == 0);
}

/* Stay away for a while, so that the other side has to wait. */
static void dawdle(unsigned i) {
  int64_t until = in_ms(5);

  if (i % 8 == 0)
    while (mp_now() < until)
      ;
}

static size_t nth_size(unsigned i) {
  return (i * 7919u) % 300000;
}

/* E1 */
static void transfer_in_a_storm(unsigned kind) {
  const unsigned n = 64;
  struct mp_conn c[2];
  unsigned i;
  pid_t pid;

  open_stream(c, kind);
  pid = test_fork();
  storm(1000);
  interruptions = 0;
  if (pid == 0) {
    mp_conn_close(&c[1]);
    for (i = 0; i < n; i++) {
      fill(buf, nth_size(i), i);
      CHECK_EQ(send_bytes(&c[0], buf, nth_size(i), MP_FOREVER), 0);
      dawdle(i + 4);
    }
    CHECK(interruptions > 0);
    test_exit();
  }
  mp_conn_close(&c[0]);
  for (i = 0; i < n; i++) {
    if (!CHECK_EQ(recv_bytes(&c[1], buf, MAX, MP_FOREVER), nth_size(i)))
      break;
    CHECK(is_filled(buf, nth_size(i), i));
    dawdle(i);
  }
  if (i == n)
    CHECK_EQ(recv_bytes(&c[1], buf, MAX, MP_FOREVER), -MP_ECLOSED);
  CHECK(interruptions > 0);
  storm(0);
  close_stream(c);
  test_join(pid);
}

TEST(storm_over_socket) {
  transfer_in_a_storm(SOCKET);
}

TEST(storm_over_tiny_socket) {
  transfer_in_a_storm(SOCKET_TINY);
}

TEST(storm_over_nonblocking_socket) {
  transfer_in_a_storm(SOCKET_NONBLOCK);
}

TEST(storm_over_pipe) {
  transfer_in_a_storm(PIPE);
}

TEST(storm_over_nonblocking_pipe) {
  transfer_in_a_storm(PIPE_NONBLOCK);
}

TEST(deadlines_hold_in_a_storm) {
  struct mp_conn c[2];
  uint64_t len;
  int64_t t;
  unsigned kind;
  int rc;

  storm(1000);
  for (kind = 0; kind < STREAMS; kind++) {
    open_stream(c, kind);
    interruptions = 0;
    t = mp_now();
    CHECK_EQ(recv_head(&c[1], &len, t + 100000000), -MP_ETIMEOUT);
    CHECK(mp_now() >= t + 100000000 && ms_since(t) < 1000);
    t = mp_now();
    while ((rc = mp_conn_poll(&c[1], t + 50000000)) == -EINTR)
      interruptions++;
    CHECK_EQ(rc, 0);
    CHECK(mp_now() >= t + 50000000 && ms_since(t) < 1000);
    t = mp_now();
    CHECK_EQ(send_bytes(&c[0], buf, MAX, t + 100000000), -MP_ETIMEOUT);
    CHECK(mp_now() >= t + 100000000 && ms_since(t) < 1000);
    CHECK(interruptions > 3);
    close_stream(c);
  }
  storm(0);
}

/* The first -EINTR of a send that finds no reader. */
static int interrupted_send(struct mp_conn *c, size_t n) {
  struct mp_iov iov = {buf, n};
  int rc;

  storm(1000);
  rc = mp_conn_send(c, &iov, 1, MP_FOREVER);
  storm(0);
  return rc;
}

TEST(message_left_half_sent_ends_sending) {
  struct mp_conn c[2];
  unsigned kind;
  int how;

  for (kind = 0; kind < STREAMS; kind++)
    for (how = 0; how < 2; how++) {
      open_stream(c, kind);
      CHECK_EQ(interrupted_send(&c[0], MAX), -EINTR);
      if (how) /* said so; else another message shows it */
        mp_conn_abandon(&c[0]);
      CHECK_EQ(send_bytes(&c[0], buf, how ? MAX : 5, MP_NOW), -MP_ETRUNCATED);
      CHECK_EQ(send_bytes(&c[0], buf, MAX, MP_NOW), -MP_ETRUNCATED);
      mp_conn_close(&c[0]);
      CHECK_EQ(recv_bytes(&c[1], buf, MAX, MP_NOW), -MP_ETRUNCATED);
      close_stream(c);
    }
}

TEST(message_not_begun_may_be_abandoned) {
  struct mp_conn c[2];
  unsigned sent = 0;
  unsigned kind;

  for (kind = 0; kind < STREAMS; kind++) {
    open_stream(c, kind);
    for (sent = 0; send_bytes(&c[0], buf, 100, MP_NOW) == 0; sent++)
      ;
    CHECK_EQ(interrupted_send(&c[0], 100), -EINTR);
    mp_conn_abandon(&c[0]);
    for (; sent > 0; sent--)
      CHECK_EQ(recv_bytes(&c[1], buf, MAX, MP_NOW), 100);
    CHECK_EQ(send_bytes(&c[0], "hello", 5, MP_NOW), 0);
    CHECK_EQ(recv_bytes(&c[1], buf, MAX, MP_NOW), 5);
    close_stream(c);
  }
}

/* E2 */
TEST(gone_reader_raises_no_sigpipe) {
  sigset_t set;
  struct mp_conn c[2];
  unsigned kind;
  int i;

  (void)signal(SIGPIPE, SIG_DFL);
  for (kind = 0; kind < STREAMS; kind++) {
    open_stream(c, kind);
    mp_conn_close(&c[1]);
    for (i = 0; i < 3; i++)
      CHECK_EQ(send_bytes(&c[0], "hello", 5, MP_FOREVER), -MP_ECLOSED);
    CHECK_EQ(send_bytes(&c[0], buf, MAX, MP_FOREVER), -MP_ECLOSED);
    REQUIRE(sigpending(&set) == 0);
    CHECK(!sigismember(&set, SIGPIPE));
    REQUIRE(sigprocmask(SIG_BLOCK, NULL, &set) == 0);
    CHECK(!sigismember(&set, SIGPIPE));
    close_stream(c);
  }
}

TEST(sigpipe_of_the_host_stays_pending) {
  sigset_t set;
  struct mp_conn c[2];
  unsigned kind;
  int own;

  (void)signal(SIGPIPE, SIG_DFL);
  REQUIRE(sigemptyset(&set) == 0 && sigaddset(&set, SIGPIPE) == 0);
  REQUIRE(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
  for (own = 0; own < 2; own++) {
    if (own)
      REQUIRE(raise(SIGPIPE) == 0);
    for (kind = 0; kind < STREAMS; kind++) {
      open_stream(c, kind);
      mp_conn_close(&c[1]);
      CHECK_EQ(send_bytes(&c[0], "hello", 5, MP_FOREVER), -MP_ECLOSED);
      REQUIRE(sigpending(&set) == 0);
      CHECK_EQ(sigismember(&set, SIGPIPE), own);
      close_stream(c);
    }
  }
}

/* B6: what was sent is there, the message is not. */
TEST(sender_killed_inside_a_frame) {
  struct mp_conn c[2];
  uint64_t len;
  int64_t t;
  pid_t pid;
  unsigned kind;

  for (kind = 0; kind < STREAMS; kind++) {
    open_stream(c, kind);
    pid = test_fork();
    if (pid == 0) {
      (void)send_bytes(&c[0], buf, MAX, MP_FOREVER); /* has no room */
      test_exit();
    }
    mp_conn_close(&c[0]);
    CHECK_EQ(recv_head(&c[1], &len, MP_FOREVER), 0);
    CHECK_EQ(len, MAX);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    t = mp_now();
    CHECK_EQ(recv_bytes(&c[1], buf, MAX, MP_FOREVER), -MP_ETRUNCATED);
    CHECK(ms_since(t) < 1000);
    CHECK_EQ(recv_bytes(&c[1], buf, MAX, MP_FOREVER), -MP_ETRUNCATED);
    CHECK_EQ(mp_conn_poll(&c[1], MP_NOW), 1);
    close_stream(c);
    CHECK(WIFSIGNALED(test_wait(pid)));
  }
}

TEST(sender_killed_between_frames) {
  struct mp_conn c[2];
  pid_t pid;
  unsigned kind;

  for (kind = 0; kind < STREAMS; kind++) {
    open_stream(c, kind);
    pid = test_fork();
    if (pid == 0) {
      CHECK_EQ(send_bytes(&c[0], "hello", 5, MP_FOREVER), 0);
      (void)raise(SIGKILL);
    }
    mp_conn_close(&c[0]);
    CHECK_EQ(recv_bytes(&c[1], buf, MAX, MP_FOREVER), 5);
    CHECK_EQ(recv_bytes(&c[1], buf, MAX, MP_FOREVER), -MP_ECLOSED);
    close_stream(c);
    CHECK(WIFSIGNALED(test_wait(pid)));
  }
}

/* B7 */
TEST(receiver_killed) {
  struct mp_conn c[2];
  int64_t t;
  pid_t pid;
  unsigned kind;

  (void)signal(SIGPIPE, SIG_DFL);
  for (kind = 0; kind < STREAMS; kind++) {
    open_stream(c, kind);
    pid = test_fork();
    if (pid == 0) {
      mp_conn_close(&c[0]);
      (void)usleep(50000); /* by then the sender waits for room */
      (void)raise(SIGKILL);
    }
    mp_conn_close(&c[1]);
    t = mp_now();
    CHECK_EQ(send_bytes(&c[0], buf, MAX, MP_FOREVER), -MP_ECLOSED);
    CHECK(ms_since(t) < 1000);
    CHECK_EQ(send_bytes(&c[0], "hello", 5, MP_FOREVER), -MP_ECLOSED);
    close_stream(c);
    CHECK(WIFSIGNALED(test_wait(pid)));
  }
}

/* The peer left with bytes of ours unread: a reset, which is an end too. */
TEST(reset_is_an_end) {
  struct mp_conn c[2];

  open_stream(c, SOCKET);
  CHECK_EQ(send_bytes(&c[0], "hello", 5, MP_NOW), 0);
  mp_conn_close(&c[1]);
  CHECK_EQ(recv_bytes(&c[0], buf, MAX, MP_FOREVER), -MP_ECLOSED);
  CHECK_EQ(recv_bytes(&c[0], buf, MAX, MP_FOREVER), -MP_ECLOSED);
  CHECK_EQ(send_bytes(&c[0], "hello", 5, MP_NOW), -MP_ECLOSED);
  close_stream(c);
}
