/* auth_test.c -- the handshake: golden transcripts, every role, every cut. */
#include "conn_help.h"
#include "deny.h"
#include "golden.h"

#include <sys/ptrace.h>

static void fix_random(struct mp_auth *a) {
  unsigned i, from = a->flags & MP_AUTH_LISTENER ? 0x40 : 0x80;

  for (i = 0; i < 40; i++)
    a->challenge[8 + i] = (unsigned char)(from + i);
}

/* What the machine has sent. */
static size_t sent(struct mp_conn *c, unsigned char *to, size_t cap) {
  ssize_t n = recv(c->fd, to, cap, MSG_DONTWAIT);

  return n > 0 ? (size_t)n : 0;
}

/* Play the other side of a transcript; ours must send what it says. */
static void play(const struct golden *g, int side) {
  unsigned char want[512], frame[128], got[512];
  struct mp_conn c[2];
  struct mp_auth a;
  size_t ends[3], nwant = golden_side(g, side, want, ends), ngot = 0, i;
  int rc;

  open_stream(c, SOCKET);
  REQUIRE(mp_auth_begin(&a, side == 0 ? MP_AUTH_LISTENER : 0) == 0);
  fix_random(&a);
  rc = mp_auth_step(&a, &c[0], KEY);
  ngot += sent(&c[1], got, sizeof got);
  for (i = 0; i < 6; i++)
    if (g[i].from != side) {
      CHECK_EQ(rc, 0);
      put_raw(&c[1], frame, golden_bytes(g[i].hex, frame));
      rc = mp_auth_step(&a, &c[0], KEY);
      ngot += sent(&c[1], got + ngot, sizeof got - ngot);
    }
  CHECK_EQ(rc, 1);
  CHECK_EQ(ngot, nwant);
  CHECK(memcmp(got, want, nwant) == 0);
  close_stream(c);
}

KEYED(transcript_of_a_modern_listener) {
  play(modern, 0);
}

KEYED(transcript_of_a_modern_client) {
  play(modern, 1);
}

/* The answers to a legacy challenge are Python's; our challenge is modern. */
KEYED(legacy_challenge_is_answered_as_python_does) {
  unsigned char frame[128], want[128], got[128];
  struct mp_conn c[2];
  struct mp_auth a;
  size_t n;

  open_stream(c, SOCKET);
  REQUIRE(mp_auth_begin(&a, 0) == 0);
  put_raw(&c[1], frame, golden_bytes(legacy[0].hex, frame));
  CHECK_EQ(mp_auth_step(&a, &c[0], KEY), 0);
  n = golden_bytes(legacy[1].hex, want);
  CHECK_EQ(sent(&c[1], got, sizeof got), n);
  CHECK(memcmp(got, want, n) == 0);
  close_stream(c);
}

/* Two machines of ours, byte by byte. */
static int meet(unsigned lflags, unsigned cflags, const char *lkey,
                const char *ckey, int rc[2]) {
  struct mp_conn c[2];
  struct mp_auth l, a;
  int i;

  open_stream(c, SOCKET);
  REQUIRE(mp_auth_begin(&l, lflags | MP_AUTH_LISTENER) == 0);
  REQUIRE(mp_auth_begin(&a, cflags) == 0);
  rc[0] = rc[1] = 0;
  for (i = 0; i < 10; i++) {
    if (rc[0] == 0)
      rc[0] = mp_auth_step(&l, &c[0], lkey, strlen(lkey));
    if (rc[0] < 0 && c[0].fd >= 0)
      mp_conn_close(&c[0]);
    if (rc[1] == 0)
      rc[1] = mp_auth_step(&a, &c[1], ckey, strlen(ckey));
    if (rc[1] < 0 && c[1].fd >= 0)
      mp_conn_close(&c[1]);
  }
  close_stream(c);
  return rc[0] == 1 && rc[1] == 1;
}

KEYED(two_with_the_same_key_meet) {
  int rc[2];

  CHECK(meet(0, 0, "k", "k", rc));
  CHECK(meet(MP_AUTH_STRONG, MP_AUTH_STRONG, "k", "k", rc));
}

KEYED(another_key_is_refused_on_both_sides) {
  int rc[2];

  CHECK(!meet(0, 0, "k", "K", rc));
  CHECK_EQ(rc[0], -MP_EAUTH);
  CHECK_EQ(rc[1], -MP_EAUTH);
  CHECK(!meet(0, 0, "", "k", rc));
  CHECK_EQ(rc[0], -MP_EAUTHEMPTY);
  CHECK_EQ(rc[1], -MP_EAUTHGONE);
}

static void strong(const char *hex, unsigned flags, const char *before) {
  unsigned char frame[128];
  struct mp_conn c[2];
  struct mp_auth a;

  open_stream(c, SOCKET);
  REQUIRE(mp_auth_begin(&a, flags | MP_AUTH_STRONG) == 0);
  if (before)
    CHECK_EQ(mp_auth_step(&a, &c[0], KEY), 0);
  put_raw(&c[1], frame, golden_bytes(hex, frame));
  CHECK_EQ(mp_auth_step(&a, &c[0], KEY), -MP_EAUTHWEAK);
  close_stream(c);
}

KEYED(md5_is_refused_on_demand) {
  static const char named[] = "0000002e234348414c4c454e4745237b6d64357d"
                              "404142434445464748494a4b4c4d4e4f50515253"
                              "5455565758595a5b5c5d5e5f";

  strong(named, 0, NULL);
  strong(legacy[0].hex, 0, NULL);
  strong(legacy[1].hex, MP_AUTH_LISTENER, "ask");
  strong("000000157b6d64357d00000000000000000000000000000000", MP_AUTH_LISTENER,
         "ask");
}

/* Frames that are no step of a handshake, as the first one that comes. */
KEYED(nonsense_is_refused) {
  static const char *const all[] = {
      "00000000",
      "00000001ff",
      "00000101", /* longer than any */
      "fffffffe",
      "ffffffff8000000000000000",
      "7fffffff",
      "000000092357454c434f4d4523",     /* welcome, at once */
      "00000009234641494c55524523",     /* failure */
      "0000000b234348414c4c454e474523", /* nothing to hash */
      "0000001b234348414c4c454e47452300000000000000000000000000000000",
      "0000002b234348414c4c454e4745237b736861317d0000000000000000000000000000"
      "00000000000000000000000000000000",
      "0000000c7b7368613235367d00000000",      /* an answer that is short */
      "000000267b7368613235367d00000000000000" /* ... and a digest unnamed */
      "0000000000000000000000000000000000000000000000",
      "000000147b6d64357d000000000000000000000000000000", /* 20 bytes */
      "0000002b234348414c4c454e4745237b7368613235363536353635363536000000000000"
      "000000000000000000000000000000", /* a name without an end */
      "000000187b736861323536323536323536323536323536323536323536",
  };
  unsigned i;

  for (i = 0; i < sizeof all / sizeof *all; i++) {
    unsigned char frame[128];
    struct mp_conn c[2];
    struct mp_auth a;
    int rc;

    open_stream(c, SOCKET);
    REQUIRE(mp_auth_begin(&a, i % 2 ? MP_AUTH_LISTENER : 0) == 0);
    (void)mp_auth_step(&a, &c[0], KEY);
    put_raw(&c[1], frame, golden_bytes(all[i], frame));
    rc = mp_auth_step(&a, &c[0], KEY);
    if (!CHECK(rc <= -MP_EAUTH))
      printf("case %u: %d\n", i, rc);
    close_stream(c);
  }
}

/* What needs a digest says that there is none, be it that the library is out
 * of reach or that it refuses (as one does that was told to by its file). */
static void without_library(void) {
  struct mp_auth a;

  deny_nth(DENY_OPEN, DENY_ANY, EACCES);
  CHECK_EQ(mp_auth_begin(&a, 0), -MP_ECRYPTO);
  allow(DENY_OPEN); /* it is not tried again */
  CHECK_EQ(mp_auth_begin(&a, MP_AUTH_LISTENER), -MP_ECRYPTO);
}

static void with_digests_refused(void) {
  static const char text[] = "openssl_conf = c\n[c]\nalg_section = a\n"
                             "[a]\ndefault_properties = fips=yes\n";
  char path[] = "/tmp/luamp-auth-XXXXXX";
  unsigned char frame[128];
  struct mp_conn c[2];
  struct mp_auth a;
  int fd = mkstemp(path);

  REQUIRE(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
  REQUIRE(setenv("OPENSSL_CONF", path, 1) == 0);
  open_stream(c, SOCKET);
  CHECK_EQ(mp_auth_begin(&a, 0), 0);
  put_raw(&c[1], frame, golden_bytes(modern[0].hex, frame));
  CHECK_EQ(mp_auth_step(&a, &c[0], KEY), -MP_EAUTHFORM);
  close_stream(c);
  (void)close(fd);
  (void)unlink(path);
}

static void in_a_child(void (*run)(void)) {
  pid_t pid = test_fork();

  if (pid == 0) {
    run();
    test_exit();
  }
  test_join(pid);
}

TEST(without_the_library_there_is_no_handshake) {
  in_a_child(without_library);
}

TEST(digests_that_the_library_refuses) {
  pid_t pid = test_fork(); /* to know without having it loaded */

  if (pid == 0)
    _exit(mp__mac_load() < 0);
  if (test_wait(pid) != 0)
    return;
  in_a_child(with_digests_refused);
}

/* A listener answers nothing before its own challenge was answered; one that
 * is shown its own challenge does not help to answer it. */
KEYED(reflection_gets_no_answer) {
  unsigned char mine[256], got[256];
  struct mp_conn c[2];
  struct mp_auth a;
  size_t n;

  open_stream(c, SOCKET);
  REQUIRE(mp_auth_begin(&a, MP_AUTH_LISTENER) == 0);
  CHECK_EQ(mp_auth_step(&a, &c[0], KEY), 0);
  n = sent(&c[1], mine, sizeof mine);
  put_raw(&c[1], mine, n);
  CHECK(mp_auth_step(&a, &c[0], KEY) < 0);
  n = sent(&c[1], got, sizeof got);
  CHECK_EQ(n, 13);
  CHECK(memcmp(got + 4, "#FAILURE#", 9) == 0);
  close_stream(c);
}

/* A client with the key that asks what it was asked itself: an answer would
 * serve a third. */
KEYED(our_own_challenge_is_not_answered) {
  struct mp_conn c[2];
  struct mp_auth l, a;
  int i, rc = 0;

  open_stream(c, SOCKET);
  REQUIRE(mp_auth_begin(&l, MP_AUTH_LISTENER) == 0);
  REQUIRE(mp_auth_begin(&a, 0) == 0);
  for (i = 0; i < 10 && rc == 0; i++) {
    rc = mp_auth_step(&l, &c[0], KEY);
    if (rc == 0)
      (void)mp_auth_step(&a, &c[1], KEY);
    memcpy(a.challenge, l.challenge, sizeof a.challenge); /* once answered */
  }
  CHECK_EQ(rc, -MP_EAUTH);
  close_stream(c);
}

/* Pythons before 3.12 answer with the md5 of all that they were asked. */
KEYED(an_old_answer_will_do_unless_it_is_refused) {
  unsigned char frame[4 + MP__MAC_MAX] = {0, 0, 0, 16}, got[128];
  struct mp_conn c[2];
  struct mp_auth l;
  int right;

  for (right = 0; right <= 1; right++) {
    open_stream(c, SOCKET);
    REQUIRE(mp_auth_begin(&l, MP_AUTH_LISTENER) == 0);
    CHECK_EQ(mp_auth_step(&l, &c[0], KEY), 0);
    (void)sent(&c[1], got, sizeof got);
    CHECK_EQ(mp__mac("md5", 3, KEY, l.challenge, sizeof l.challenge, frame + 4),
             16);
    frame[4] ^= (unsigned char)!right;
    put_raw(&c[1], frame, 20);
    CHECK_EQ(mp_auth_step(&l, &c[0], KEY), right ? 0 : -MP_EAUTH);
    CHECK_EQ(sent(&c[1], got, sizeof got), 13);
    CHECK(memcmp(got + 4, right ? "#WELCOME#" : "#FAILURE#", 9) == 0);
    close_stream(c);
  }
}

/* Every prefix of what a good peer sends, then the end, or other bytes. */
static void cut(int side, int garbage) {
  unsigned char bytes[512];
  size_t ends[3], len = golden_side(modern, !side, bytes, ends), n;

  for (n = 0; n < len; n++) {
    struct mp_conn c[2];
    struct mp_auth a;
    int rc;

    open_stream(c, SOCKET);
    REQUIRE(mp_auth_begin(&a, side == 0 ? MP_AUTH_LISTENER : 0) == 0);
    fix_random(&a);
    put_raw(&c[1], bytes, n);
    CHECK_EQ(mp_auth_step(&a, &c[0], KEY), 0);
    if (garbage)
      put_raw(&c[1], memset(bytes + 256, 0x5a, 256), 256);
    else
      REQUIRE(shutdown(c[1].fd, SHUT_WR) == 0);
    rc = mp_auth_step(&a, &c[0], KEY);
    if (garbage && rc == 0) { /* it waits for the rest of a long frame */
      close(c[1].fd);
      c[1].fd = -1;
      rc = mp_auth_step(&a, &c[0], KEY);
    }
    if (!CHECK(rc <= -MP_EAUTH))
      printf("side %d, after %zu bytes: %d\n", side, n, rc);
    close_stream(c);
    len = golden_side(modern, !side, bytes, ends);
  }
}

KEYED(every_cut_is_an_error) {
  cut(0, 0);
  cut(1, 0);
}

KEYED(garbage_after_every_prefix_is_an_error) {
  cut(0, 1);
  cut(1, 1);
}

/* What follows the handshake at once is the program's. */
KEYED(nothing_is_read_past_the_last_frame) {
  unsigned char bytes[512], buf[16];
  struct mp_conn c[2];
  struct mp_auth a;
  size_t ends[3], n = golden_side(modern, 1, bytes, ends);

  open_stream(c, SOCKET);
  REQUIRE(mp_auth_begin(&a, MP_AUTH_LISTENER) == 0);
  fix_random(&a);
  put_raw(&c[1], bytes, n);
  put_raw(&c[1], "\0\0\0\2hi", 6);
  CHECK_EQ(mp_auth_step(&a, &c[0], KEY), 1);
  CHECK_EQ(recv_bytes(&c[0], buf, sizeof buf, MP_NOW), 2);
  CHECK(memcmp(buf, "hi", 2) == 0);
  close_stream(c);
}

KEYED(run_gives_up_at_its_deadline) {
  struct mp_conn c[2];
  struct mp_auth a;
  int64_t deadline = mp_deadline(0.05);
  int rc;

  open_stream(c, SOCKET);
  REQUIRE(mp_auth_begin(&a, 0) == 0);
  do
    rc = mp_auth_run(&a, &c[0], KEY, deadline);
  while (rc == -EINTR);
  CHECK_EQ(rc, -MP_EAUTHTIME);
  CHECK(mp_now() >= deadline);
  close_stream(c);
}

/* Instructions from stop to stop, comparing two hashes that differ at a byte;
 * -1 where nothing can be traced */
static long steps(int at) {
  unsigned char x[32] = {0}, y[32] = {0};
  int status = 0;
  long n = -1;
  pid_t pid;

  if (at >= 0)
    y[at] = 0xff;
  pid = test_fork();
  if (pid == 0) {
    volatile int equal;

    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
      _exit(0);
    (void)raise(SIGSTOP);
    equal = mp__mac_equal(x, y, sizeof x);
    (_exit)(equal != (at < 0)); /* with nothing more to step through */
  }
  while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
    n++;
    (void)ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
  }
  CHECK_EQ(status, 0);
  return n;
}

TEST(comparing_takes_the_same_steps) {
#ifndef __SANITIZE_THREAD__ /* whose own steps are counted, too */
  long all;
  int i;

  if (test_memcheck())
    test_skip("valgrind's steps would be counted");
  all = steps(-1);
  for (i = 0; i < 32; i++)
    CHECK_EQ(steps(i), all);
#else
  (void)steps;
#endif
}
