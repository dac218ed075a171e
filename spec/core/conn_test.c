/* conn_test.c -- frames, byte by byte: lengths, cuts, wrong headers, time. */
#include "conn_help.h"

#include <poll.h>
#include <sys/resource.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* their shadow does not fit into RLIMIT_AS */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define MAX (1u << 20)

static unsigned char buf[MAX + 64];

static void put_u32(unsigned char *p, uint32_t v) {
  p[0] = (unsigned char)(v >> 24);
  p[1] = (unsigned char)(v >> 16);
  p[2] = (unsigned char)(v >> 8);
  p[3] = (unsigned char)v;
}

static void put_long_head(unsigned char *p, uint64_t v) {
  put_u32(p, 0xffffffff);
  put_u32(p + 4, (uint32_t)(v >> 32));
  put_u32(p + 8, (uint32_t)v);
}

/* Two frames that say "hello", in the short and in the long form. */
static size_t hello(unsigned char f[32], int in_long_form) {
  size_t n = in_long_form ? 12 : 4;

  if (in_long_form)
    put_long_head(f, 5);
  else
    put_u32(f, 5);
  memcpy(f + n, "hello", 5);
  return n + 5;
}

static int64_t first_length(const void *head, size_t n, unsigned kind) {
  struct mp_conn c[2];
  uint64_t len = 77;
  int rc;

  open_stream(c, kind);
  put_raw(&c[0], head, n);
  rc = mp_conn_head(&c[1], &len, MP_NOW);
  CHECK_EQ(mp_conn_head(&c[1], &len, MP_NOW), rc); /* it stays so */
  CHECK_EQ(mp_conn_poll(&c[1], MP_NOW), rc < 0 || len == 0);
  close_stream(c);
  return rc < 0 ? rc : (int64_t)len;
}

TEST(head_on_the_wire_is_pythons) {
  static const struct {
    size_t npieces; /* of 1 MiB */
    size_t more;
    unsigned nhead;
    unsigned char head[12];
  } cases[] = {
      {0, 0, 4, {0, 0, 0, 0}},
      {0, 3, 4, {0, 0, 0, 3}},
      {1, 2, 4, {0, 16, 0, 2}},
      {2047, MAX - 1, 4, {0x7f, 0xff, 0xff, 0xff}},
      {2048, 0, 12, {255, 255, 255, 255, 0, 0, 0, 0, 0x80, 0, 0, 0}},
      {4096, 1, 12, {255, 255, 255, 255, 0, 0, 0, 1, 0, 0, 0, 1}},
  };
  static struct mp_iov iov[4097];
  struct mp_conn c[2];
  unsigned char head[12];
  size_t i, k;

  for (i = 0; i < sizeof cases / sizeof *cases; i++) {
    for (k = 0; k < cases[i].npieces; k++)
      iov[k] = (struct mp_iov){buf, MAX};
    iov[k] = (struct mp_iov){buf, cases[i].more};
    open_stream(c, SOCKET);
    (void)mp_conn_send(&c[0], iov, (unsigned)k + 1, MP_NOW);
    CHECK_EQ(read(c[1].fd, head, cases[i].nhead), cases[i].nhead);
    CHECK(memcmp(head, cases[i].head, cases[i].nhead) == 0);
    close_stream(c);
  }
}

TEST(small_message_is_one_write) {
  static const size_t sizes[] = {0, 1, 100, 16384, 16385};
  struct mp_conn c = MP_CONN_EMPTY;
  int fd[2];
  size_t i;

  REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd) == 0);
  c.fd = fd[0];
  for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    CHECK_EQ(send_bytes(&c, buf, sizes[i], MP_NOW), 0);
    CHECK_EQ(read(fd[1], buf, MAX), sizes[i] + 4);
  }
  mp_conn_close(&c);
  close(fd[1]);
}

/* More of them, and more bytes, than any one write takes. */
TEST(pieces_arrive_as_one_message) {
  static struct mp_iov iov[1000];
  struct mp_conn c[2];
  unsigned kind, i;
  size_t at = 0;
  pid_t pid;

  fill(buf, MAX, 1);
  for (i = 0; i < 1000; at += iov[i++].len)
    iov[i] = (struct mp_iov){buf + at, i % 3 ? i * 37 % 1999 : 0};
  iov[0].base = NULL;
  for (kind = 0; kind < STREAMS; kind++) {
    open_stream(c, kind);
    pid = test_fork();
    if (pid == 0) {
      CHECK_EQ(mp_conn_send(&c[0], iov, 1000, MP_FOREVER), 0);
      test_exit();
    }
    memset(buf, 0, at);
    CHECK_EQ(recv_bytes(&c[1], buf, MAX, MP_FOREVER), at);
    CHECK(is_filled(buf, at, 1));
    test_join(pid);
    close_stream(c);
  }
}

TEST(sizes_over_every_stream) {
  static const size_t sizes[] = {0,     1,       2,     4091,  4092,  4093,
                                 16384, 16385,   65531, 65532, 65535, 65536,
                                 65537, MAX - 1, MAX,   0};
  const unsigned n = sizeof sizes / sizeof *sizes;
  struct mp_conn c[2];
  unsigned kind;
  int flags;
  unsigned i;
  pid_t pid;

  for (kind = 0; kind < STREAMS; kind++) {
    open_stream(c, kind);
    flags = fcntl(c[0].fd, F_GETFL);
    pid = test_fork();
    if (pid == 0) {
      for (i = 0; i < n; i++) {
        fill(buf, sizes[i], i);
        CHECK_EQ(send_bytes(&c[0], buf, sizes[i], MP_FOREVER), 0);
      }
      CHECK_EQ(fcntl(c[0].fd, F_GETFL), flags);
      test_exit();
    }
    mp_conn_close(&c[0]);
    flags = fcntl(c[1].fd, F_GETFL);
    for (i = 0; i < n; i++) {
      CHECK_EQ(recv_bytes(&c[1], buf, MAX, MP_FOREVER), sizes[i]);
      CHECK(is_filled(buf, sizes[i], i));
    }
    CHECK_EQ(recv_bytes(&c[1], buf, MAX, MP_FOREVER), -MP_ECLOSED);
    CHECK_EQ(fcntl(c[1].fd, F_GETFL), flags);
    test_join(pid);
    close_stream(c);
  }
}

/* G1 */
TEST(frame_cut_at_every_byte) {
  struct mp_conn c[2];
  unsigned char f[32], to[8];
  size_t n, k;
  unsigned kind;
  int form;

  for (kind = 0; kind < STREAMS; kind++)
    for (form = 0; form < 2; form++) {
      n = hello(f, form);
      for (k = 0; k <= n; k++) {
        open_stream(c, kind);
        put_raw(&c[0], f, k);
        mp_conn_close(&c[0]);
        CHECK_EQ(recv_bytes(&c[1], to, sizeof to, MP_FOREVER),
                 k == 0   ? -MP_ECLOSED
                 : k == n ? 5
                          : -MP_ETRUNCATED);
        CHECK_EQ(recv_bytes(&c[1], to, sizeof to, MP_FOREVER),
                 k == 0 || k == n ? -MP_ECLOSED : -MP_ETRUNCATED);
        CHECK_EQ(mp_conn_poll(&c[1], MP_NOW), 1);
        close_stream(c);
      }
    }
}

/* One byte at a time, with a receiver that never waits. */
static void receive_bytewise(unsigned kind, const unsigned char *f, size_t n) {
  struct mp_conn c[2];
  unsigned char to[8];
  uint64_t len = 0;
  size_t k = 0, done = 0, got;
  int rc;

  open_stream(c, kind);
  while (done < 5) {
    got = 0;
    rc = len ? mp_conn_body(&c[1], to + done, 8, &got, MP_NOW)
             : mp_conn_head(&c[1], &len, MP_NOW);
    done += got;
    if (rc == 0)
      continue;
    if (!CHECK_EQ(rc, -MP_ETIMEOUT) || !CHECK(k < n))
      break;
    CHECK_EQ(mp_conn_poll(&c[1], MP_NOW), 0);
    put_raw(&c[0], f + k++, 1);
    CHECK_EQ(mp_conn_poll(&c[1], MP_NOW), 1);
  }
  CHECK_EQ(k, n);
  CHECK(memcmp(to, "hello", 5) == 0);
  mp_conn_next(&c[1]);
  CHECK_EQ(mp_conn_head(&c[1], &len, MP_NOW), -MP_ETIMEOUT);
  close_stream(c);
}

TEST(frame_goes_on_after_every_byte) {
  unsigned char f[32];
  unsigned kind;
  int form;

  for (kind = 0; kind < STREAMS; kind++)
    for (form = 0; form < 2; form++)
      receive_bytewise(kind, f, hello(f, form));
}

TEST(body_stops_at_the_message_end) {
  struct mp_conn c[2];
  char to[16];
  uint64_t len;
  size_t got;

  open_stream(c, SOCKET);
  put_raw(&c[0], "\0\0\0\3abc\0\0\0\0\0\0\0\1z", 16);
  CHECK_EQ(mp_conn_head(&c[1], &len, MP_NOW), 0);
  CHECK_EQ(mp_conn_body(&c[1], to, sizeof to, &got, MP_NOW), 0);
  CHECK_EQ(got, 3);
  CHECK_EQ(mp_conn_body(&c[1], to, sizeof to, &got, MP_FOREVER), 0);
  CHECK_EQ(got, 0);
  mp_conn_next(&c[1]);
  CHECK_EQ(mp_conn_head(&c[1], &len, MP_NOW), 0); /* an empty one */
  CHECK_EQ(len, 0);
  mp_conn_next(&c[1]);
  CHECK_EQ(recv_bytes(&c[1], to, sizeof to, MP_NOW), 1);
  CHECK_EQ(to[0], 'z');
  close_stream(c);
}

TEST(half_read_message_ends_receiving_only) {
  struct mp_conn c[2];
  char to[8];
  uint64_t len;
  size_t got;
  int with_next;

  for (with_next = 0; with_next < 2; with_next++) {
    open_stream(c, SOCKET);
    put_raw(&c[0], "\0\0\0\5he", 6);
    CHECK_EQ(mp_conn_head(&c[1], &len, MP_NOW), 0);
    CHECK_EQ(mp_conn_body(&c[1], to, 2, &got, MP_NOW), 0);
    if (with_next)
      mp_conn_next(&c[1]);
    CHECK_EQ(mp_conn_head(&c[1], &len, MP_NOW), -MP_ETRUNCATED);
    CHECK_EQ(mp_conn_body(&c[1], to, 2, &got, MP_NOW), -MP_ETRUNCATED);
    CHECK_EQ(mp_conn_poll(&c[1], MP_NOW), 1);
    CHECK_EQ(send_bytes(&c[1], "back", 4, MP_NOW), 0);
    CHECK_EQ(recv_bytes(&c[0], to, sizeof to, MP_NOW), 4);
    close_stream(c);
  }
}

/* G2 */
TEST(negative_lengths_are_refused_at_once) {
  unsigned char h[4];
  uint32_t i;

  for (i = 2; i < 1000; i++) {
    put_u32(h, 0u - i);
    CHECK_EQ(first_length(h, 4, i % STREAMS), -MP_EPROTOCOL);
  }
  for (i = 0; i < 1000; i++) {
    put_u32(h, 0x80000000u + i * 2147483u);
    CHECK_EQ(first_length(h, 4, i % STREAMS), -MP_EPROTOCOL);
  }
  put_u32(h, 0x7fffffffu);
  CHECK_EQ(first_length(h, 4, SOCKET), 0x7fffffff);
}

/* G3: a length is a number until the bytes are there. */
TEST(any_64_bit_length_costs_nothing) {
  const struct rlimit limit = {256u << 20, 256u << 20};
  unsigned char h[12];
  uint64_t v;
  unsigned i;

  if (!SANITIZED)
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
  for (i = 0; i < 64 * 3; i++) {
    v = ((uint64_t)1 << i / 3) + i % 3 - 1;
    put_long_head(h, v);
    CHECK_EQ(first_length(h, 12, i % STREAMS),
             v >> 63 ? -MP_EPROTOCOL : (int64_t)v);
  }
  put_long_head(h, UINT64_MAX);
  CHECK_EQ(first_length(h, 12, SOCKET), -MP_EPROTOCOL);
}

TEST(huge_claim_ends_with_the_bytes) {
  struct mp_conn c[2];
  unsigned char h[12];
  char to[64];
  uint64_t len;
  size_t got, done;

  put_long_head(h, INT64_MAX);
  open_stream(c, SOCKET);
  put_raw(&c[0], h, 12);
  put_raw(&c[0], buf, 1000);
  mp_conn_close(&c[0]);
  CHECK_EQ(mp_conn_head(&c[1], &len, MP_NOW), 0);
  for (done = 0; done < 1000; done += got)
    if (!CHECK_EQ(mp_conn_body(&c[1], to, sizeof to, &got, MP_NOW), 0))
      break;
  CHECK_EQ(mp_conn_body(&c[1], to, sizeof to, &got, MP_NOW), -MP_ETRUNCATED);
  CHECK_EQ(got, 0);
  close_stream(c);
}

TEST(deadlines_of_receiving) {
  struct mp_conn c[2];
  uint64_t len;
  int64_t t;
  unsigned kind;

  for (kind = 0; kind < STREAMS; kind++) {
    open_stream(c, kind);
    t = mp_now();
    CHECK_EQ(recv_head(&c[1], &len, t + 30000000), -MP_ETIMEOUT);
    CHECK(mp_now() >= t + 30000000 && ms_since(t) < 500);
    put_raw(&c[0], "\0\0", 2);
    t = mp_now();
    CHECK_EQ(recv_head(&c[1], &len, t + 30000000), -MP_ETIMEOUT);
    CHECK(mp_now() >= t + 30000000 && ms_since(t) < 500);
    t = mp_now();
    CHECK_EQ(mp_conn_poll(&c[1], t + 30000000), 0);
    CHECK(mp_now() >= t + 30000000 && ms_since(t) < 500);
    put_raw(&c[0], "\0\1x", 3);
    CHECK_EQ(mp_conn_poll(&c[1], MP_FOREVER), 1);
    CHECK_EQ(recv_bytes(&c[1], buf, 8, 1), 1); /* long past: still taken */
    close_stream(c);
  }
}

/* Small ones until there is no room: whole or not at all. */
TEST(send_that_wrote_nothing_can_be_repeated) {
  struct mp_conn c[2];
  unsigned sent, i;
  unsigned kind;
  int rc;

  for (kind = 0; kind < STREAMS; kind++) {
    open_stream(c, kind);
    for (sent = 0; (rc = send_bytes(&c[0], "hello", 5, MP_NOW)) == 0; sent++)
      ;
    CHECK(sent > 0);
    CHECK_EQ(rc, -MP_ETIMEOUT);
    for (i = 0; i < sent; i++)
      CHECK_EQ(recv_bytes(&c[1], buf, 8, MP_NOW), 5);
    CHECK_EQ(recv_bytes(&c[1], buf, 8, MP_NOW), -MP_ETIMEOUT);
    CHECK_EQ(send_bytes(&c[0], "again", 5, MP_NOW), 0);
    CHECK_EQ(recv_bytes(&c[1], buf, 8, MP_NOW), 5);
    CHECK(memcmp(buf, "again", 5) == 0);
    close_stream(c);
  }
}

TEST(send_that_times_out_half_way_ends_sending) {
  struct mp_conn c[2];
  int64_t t;
  unsigned kind;

  for (kind = 0; kind < STREAMS; kind++) {
    open_stream(c, kind);
    t = mp_now();
    CHECK_EQ(send_bytes(&c[0], buf, MAX, t + 30000000), -MP_ETIMEOUT);
    CHECK(mp_now() >= t + 30000000 && ms_since(t) < 500);
    CHECK_EQ(send_bytes(&c[0], buf, MAX, MP_FOREVER), -MP_ETRUNCATED);
    CHECK_EQ(send_bytes(&c[0], "hello", 5, MP_FOREVER), -MP_ETRUNCATED);
    if (kind < PIPE) {
      CHECK_EQ(send_bytes(&c[1], "hello", 5, MP_NOW), 0);
      CHECK_EQ(recv_bytes(&c[0], buf, 8, MP_NOW), 5);
    }
    mp_conn_close(&c[0]);
    CHECK_EQ(recv_bytes(&c[1], buf, MAX, MP_NOW), -MP_ETRUNCATED);
    close_stream(c);
  }
}

TEST(closed_handle_is_stale) {
  struct mp_conn c[2];
  uint64_t len;
  size_t got;

  open_stream(c, SOCKET);
  CHECK_EQ(send_bytes(&c[0], "hello", 5, MP_NOW), 0);
  close_stream(c);
  close_stream(c);
  errno = 4711;
  mp_conn_close(&c[0]);
  CHECK_EQ(errno, 4711);
  CHECK_EQ(send_bytes(&c[0], "hello", 5, MP_FOREVER), -MP_ESTALE);
  CHECK_EQ(mp_conn_head(&c[0], &len, MP_FOREVER), -MP_ESTALE);
  CHECK_EQ(mp_conn_body(&c[0], buf, 1, &got, MP_FOREVER), -MP_ESTALE);
  CHECK_EQ(mp_conn_poll(&c[0], MP_FOREVER), -MP_ESTALE);
  CHECK_EQ(mp_conn_push(&c[0], "x", 1), -MP_ESTALE);
  mp_conn_abandon(&c[0]);
  mp_conn_next(&c[0]);
}

/* A host that closed what is not its own. */
TEST(descriptor_that_was_closed_behind_it) {
  struct mp_conn c[2];
  uint64_t len;
  unsigned kind;

  for (kind = 0; kind < STREAMS; kind++) {
    open_stream(c, kind);
    CHECK_EQ(send_bytes(&c[0], "hello", 5, MP_NOW), 0);
    CHECK_EQ(recv_bytes(&c[1], buf, 5, MP_NOW), 5);
    (void)close(c[0].fd);
    (void)close(c[1].fd);
    CHECK_EQ(send_bytes(&c[0], "hello", 5, MP_FOREVER), -EBADF);
    CHECK_EQ(recv_head(&c[1], &len, MP_FOREVER), -EBADF);
    c[0] = c[1] = MP_CONN_EMPTY;
  }
}

TEST(pieces_of_more_than_a_frame_can_say) {
  struct mp_iov iov[2] = {{buf, 1}, {buf, INT64_MAX - 12}};
  struct mp_conn c[2];
  uint64_t len;

  open_stream(c, SOCKET);
  CHECK_EQ(mp_conn_send(&c[0], iov, 2, MP_NOW), -MP_ETOOLONG);
  CHECK_EQ(recv_head(&c[1], &len, MP_NOW), -MP_ETIMEOUT); /* nothing went */
  CHECK_EQ(send_bytes(&c[0], "hello", 5, MP_NOW), 0);
  CHECK_EQ(recv_bytes(&c[1], buf, 5, MP_NOW), 5);
  close_stream(c);
}

/* Bytes without a frame: as many as there is room for, and none but an error
 * when nobody reads. */
TEST(pushing_bytes) {
  struct mp_conn c[2];
  int64_t n, all = 0;

  open_stream(c, SOCKET);
  while ((n = mp_conn_push(&c[0], buf, sizeof buf)) > 0)
    all += n;
  CHECK_EQ(n, 0);
  CHECK(all > 0);
  for (; all > 0; all -= n)
    n = read(c[1].fd, buf, sizeof buf);
  CHECK_EQ(all, 0);
  CHECK_EQ(mp_conn_push(&c[0], "x", 1), 1);
  CHECK_EQ(read(c[1].fd, buf, 5), 1);
  mp_conn_close(&c[1]);
  CHECK_EQ(mp_conn_push(&c[0], "x", 1), -MP_ECLOSED);
  close_stream(c);
}
