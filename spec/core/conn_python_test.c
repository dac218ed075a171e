/* conn_python_test.c -- the same frames as multiprocessing.connection, and
 * those longer than 4 GiB (MP_HUGE=1 runs them; nobody holds them in memory).
 */
#include "conn_help.h"

#define MAX (1u << 20)
#define HUGE_PIECES 4096u /* of MAX bytes, and one byte more */

static unsigned char buf[MAX];

static const char echo[] =
    "import sys\n"
    "from multiprocessing.connection import Connection\n"
    "rd, wr = int(sys.argv[1]), int(sys.argv[2])\n"
    "a = Connection(rd, writable=rd == wr)\n"
    "b = a if rd == wr else Connection(wr, readable=False)\n"
    "try:\n"
    "  while True: b.send_bytes(a.recv_bytes()[::-1])\n"
    "except EOFError: pass\n";

/* A python3 that sends back, reversed, what it receives. */
static pid_t start_python(int rd, int wr) {
  char a[16], b[16];
  pid_t pid = test_fork();

  if (pid == 0) {
    (void)snprintf(a, sizeof a, "%d", rd);
    (void)snprintf(b, sizeof b, "%d", wr);
    (void)execlp("python3", "python3", "-c", echo, a, b, (char *)NULL);
    _exit(127);
  }
  return pid;
}

static void need_python(void) {
  if (system("python3 -c 'import multiprocessing.connection' 2>/dev/null") != 0)
    test_skip("there is no python3");
}

static void reverse(unsigned char *p, size_t n) {
  size_t i;

  for (i = 0; i < n / 2; i++) {
    unsigned char swap = p[i];

    p[i] = p[n - 1 - i];
    p[n - 1 - i] = swap;
  }
}

static void talk(struct mp_conn *out, struct mp_conn *in) {
  static const size_t sizes[] = {0,     1,     16384,   16385, 65535,
                                 65536, 65537, MAX - 1, MAX,   0};
  unsigned i;

  for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    fill(buf, sizes[i], i);
    CHECK_EQ(send_bytes(out, buf, sizes[i], MP_FOREVER), 0);
    memset(buf, 0, sizeof buf);
    if (!CHECK_EQ(recv_bytes(in, buf, MAX, MP_FOREVER), sizes[i]))
      break;
    reverse(buf, sizes[i]);
    CHECK(is_filled(buf, sizes[i], i));
  }
}

TEST_LIMIT(python_over_a_socket, 30) {
  struct mp_conn c[2];
  pid_t pid;

  need_python();
  open_stream(c, SOCKET);
  REQUIRE(fcntl(c[0].fd, F_SETFD, FD_CLOEXEC) == 0);
  pid = start_python(c[1].fd, c[1].fd);
  mp_conn_close(&c[1]);
  talk(&c[0], &c[0]);
  REQUIRE(shutdown(c[0].fd, SHUT_WR) == 0);
  CHECK_EQ(recv_bytes(&c[0], buf, MAX, MP_FOREVER), -MP_ECLOSED);
  test_join(pid);
  close_stream(c);
}

TEST_LIMIT(python_over_pipes, 30) {
  struct mp_conn to[2], from[2];
  pid_t pid;

  need_python();
  open_stream(to, PIPE);
  open_stream(from, PIPE);
  REQUIRE(fcntl(to[0].fd, F_SETFD, FD_CLOEXEC) == 0);
  REQUIRE(fcntl(from[1].fd, F_SETFD, FD_CLOEXEC) == 0);
  pid = start_python(to[1].fd, from[0].fd);
  mp_conn_close(&to[1]);
  mp_conn_close(&from[0]);
  talk(&to[0], &from[1]);
  mp_conn_close(&to[0]);
  CHECK_EQ(recv_bytes(&from[1], buf, MAX, MP_FOREVER), -MP_ECLOSED);
  test_join(pid);
  mp_conn_close(&from[1]);
}

/* H1 */
static void send_huge(struct mp_conn *c) {
  static struct mp_iov iov[HUGE_PIECES + 1];
  unsigned i;

  fill(buf, MAX, 0);
  for (i = 0; i < HUGE_PIECES; i++)
    iov[i] = (struct mp_iov){buf, MAX};
  iov[i] = (struct mp_iov){"!", 1};
  CHECK_EQ(mp_conn_send(c, iov, HUGE_PIECES + 1, MP_FOREVER), 0);
  CHECK_EQ(send_bytes(c, "next", 4, MP_FOREVER), 0);
}

/* Exactly n bytes. */
static int recv_part(struct mp_conn *c, unsigned char *to, size_t n) {
  size_t done, got;

  for (done = 0; done < n; done += got)
    if (mp_conn_body(c, to + done, n - done, &got, MP_FOREVER) < 0)
      return 0;
  return 1;
}

static void recv_huge(struct mp_conn *c) {
  static unsigned char want[MAX];
  uint64_t len;
  unsigned i;

  fill(want, MAX, 0);
  REQUIRE(recv_head(c, &len, MP_FOREVER) == 0);
  CHECK_EQ(len, (uint64_t)HUGE_PIECES * MAX + 1);
  for (i = 0; i < HUGE_PIECES; i++)
    REQUIRE(recv_part(c, buf, MAX) && memcmp(buf, want, MAX) == 0);
  CHECK(recv_part(c, buf, 1) && buf[0] == '!');
  mp_conn_next(c);
  CHECK_EQ(recv_bytes(c, buf, MAX, MP_FOREVER), 4);
}

static void stream_huge(unsigned kind) {
  struct mp_conn c[2];
  pid_t pid;

  if (!getenv("MP_HUGE"))
    test_skip("MP_HUGE is not set");
  open_stream(c, kind);
  pid = test_fork();
  if (pid == 0) {
    mp_conn_close(&c[1]);
    send_huge(&c[0]);
    test_exit();
  }
  mp_conn_close(&c[0]);
  recv_huge(&c[1]);
  close_stream(c);
  test_join(pid);
}

TEST_LIMIT(over_4_gib_through_a_socket, 120) {
  stream_huge(SOCKET);
}

TEST_LIMIT(over_4_gib_through_a_pipe, 120) {
  stream_huge(PIPE);
}
