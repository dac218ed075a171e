/* conn_help.h -- what the tests of conn.c share: streams, whole messages. */
#ifndef CONN_HELP_H
#define CONN_HELP_H

#include "test.h"

#include "mp.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>

/* What a connection may be made of. */
enum {
  SOCKET,
  SOCKET_TINY, /* with the smallest buffer there is */
  SOCKET_NONBLOCK,
  PIPE,
  PIPE_NONBLOCK,
  STREAMS
};

static unsigned interruptions; /* -EINTR seen by the helpers below */

static inline int64_t in_ms(int64_t ms) {
  return mp_now() + ms * 1000000;
}

static inline int64_t ms_since(int64_t then) {
  return (mp_now() - then) / 1000000;
}

/* c[0] writes, c[1] reads; sockets do both. */
static inline void open_stream(struct mp_conn c[2], unsigned kind) {
  int fd[2];
  int tiny = 1;

  c[0] = c[1] = MP_CONN_EMPTY;
  if (kind >= PIPE) {
    REQUIRE(pipe2(fd, kind == PIPE_NONBLOCK ? O_NONBLOCK : 0) == 0);
    c[0].fd = fd[1];
    c[1].fd = fd[0];
    return;
  }
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0);
  c[0].fd = fd[0];
  c[1].fd = fd[1];
  if (kind == SOCKET_TINY)
    REQUIRE(setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &tiny, sizeof tiny) == 0);
  if (kind == SOCKET_NONBLOCK)
    REQUIRE(fcntl(fd[0], F_SETFL, O_NONBLOCK) == 0 &&
            fcntl(fd[1], F_SETFL, O_NONBLOCK) == 0);
}

static inline void close_stream(struct mp_conn c[2]) {
  mp_conn_close(&c[0]);
  mp_conn_close(&c[1]);
}

/* Bytes that are no frame of ours. */
static inline void put_raw(const struct mp_conn *c, const void *p, size_t n) {
  REQUIRE(write(c->fd, p, n) == (ssize_t)n);
}

static inline int send_bytes(struct mp_conn *c, const void *p, size_t n,
                             int64_t deadline) {
  struct mp_iov iov = {p, n};
  int rc;

  while ((rc = mp_conn_send(c, &iov, 1, deadline)) == -EINTR)
    interruptions++;
  return rc;
}

static inline int recv_head(struct mp_conn *c, uint64_t *len,
                            int64_t deadline) {
  int rc;

  while ((rc = mp_conn_head(c, len, deadline)) == -EINTR)
    interruptions++;
  return rc;
}

/* A whole message of at most `cap` bytes: its length, or what went wrong. */
static inline int64_t recv_bytes(struct mp_conn *c, void *to, size_t cap,
                                 int64_t deadline) {
  uint64_t len;
  uint64_t done = 0;
  size_t got;
  int rc = recv_head(c, &len, deadline);

  if (rc == 0 && len > cap)
    rc = -MP_ETOOLONG;
  while (rc == 0 && done < len) {
    rc = mp_conn_body(c, (char *)to + done, cap - done, &got, deadline);
    done += got;
    if (rc == -EINTR) {
      interruptions++;
      rc = 0;
    }
  }
  if (rc < 0)
    return rc;
  mp_conn_next(c);
  return (int64_t)len;
}

/* Bytes that differ from one seed to the next, and are easily told apart. */
static inline unsigned char pattern(unsigned seed, size_t i) {
  return (unsigned char)((i * 2654435761u + seed * 40503u) >> 11);
}

static inline void fill(unsigned char *p, size_t n, unsigned seed) {
  size_t i;

  for (i = 0; i < n; i++)
    p[i] = pattern(seed, i);
}

static inline int is_filled(const unsigned char *p, size_t n, unsigned seed) {
  size_t i;

  for (i = 0; i < n; i++)
    if (p[i] != pattern(seed, i))
      return 0;
  return 1;
}

#endif
