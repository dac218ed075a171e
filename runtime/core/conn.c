/* conn.c -- owns framed messages over a stream descriptor.
 *
 * A frame is Python's: int32 big-endian length and the bytes, or -1, a uint64
 * length and the bytes (multiprocessing/connection.py, Connection._send_bytes).
 *
 * The descriptor may be shared with other processes, so its blocking mode is
 * neither changed nor relied on: a socket is used with MSG_DONTWAIT; anything
 * else is polled first, and written in pieces that then cannot block.  Bytes
 * are moved first and waited for only when none can be, so the deadline bounds
 * waiting, not a transfer that goes on.
 *
 * What a call that comes back early has done is kept in struct mp_conn:
 *   sent > 0   -EINTR left a message half sent; only the same one may follow
 *   nhead      bytes of the next header that are in
 *   left       bytes of the body that are not; fewer than the header says once
 *              the body was begun
 * A direction whose place in the stream is lost keeps its error for good.
 */
#include "mp.h"

#include "sys.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

#define SHORT_MAX 0x7fffffffu /* the longest body of the short form */
#define LONG_FORM 0xffffffffu /* -1: a uint64 follows */
#define CHUNK 0x7ffff000u     /* the most that one read or write moves */
#define PIECES 32             /* the most that one write gathers */

static int is_reset(int64_t rc) {
  return rc == -EPIPE || rc == -ECONNRESET;
}

/* 0 when there is something to try again for. */
static int wait_for(const struct mp_conn *c, short events, int64_t deadline) {
  int rc = mp__sys_poll1(c->fd, events, deadline);

  return rc > 0 ? 0 : rc < 0 ? rc : -MP_ETIMEOUT;
}

/* Headers */

static void put_be(unsigned char *to, int n, uint64_t v) {
  for (; n > 0; v >>= 8)
    to[--n] = (unsigned char)v;
}

static uint64_t get_be(const unsigned char *from, int n) {
  uint64_t v = 0;

  for (; n > 0; n--)
    v = v << 8 | *from++;
  return v;
}

/* Its size. */
static unsigned make_head(unsigned char head[12], uint64_t len) {
  if (len <= SHORT_MAX) {
    put_be(head, 4, len);
    return 4;
  }
  put_be(head, 4, LONG_FORM);
  put_be(head + 4, 8, len);
  return 12;
}

/* The size of the header that is coming in, as far as it is known. */
static unsigned head_size(const struct mp_conn *c) {
  return c->nhead >= 4 && get_be(c->head, 4) == LONG_FORM ? 12 : 4;
}

static int head_whole(const struct mp_conn *c) {
  return c->nhead == head_size(c);
}

static uint64_t head_value(const struct mp_conn *c) {
  return head_size(c) == 12 ? get_be(c->head + 4, 8) : get_be(c->head, 4);
}

/* Lengths below -1, and those with the top bit set, are nobody's. */
static int head_valid(const struct mp_conn *c) {
  return head_value(c) <= (head_size(c) == 12 ? INT64_MAX : SHORT_MAX);
}

/* Sending */

/* A message with its header as piece 0, and the place of the next byte. */
struct out {
  unsigned char head[12];
  unsigned nhead;
  const struct mp_iov *iov;
  size_t n;  /* pieces, the header included */
  size_t at; /* the piece of the next byte */
  size_t off;
};

static struct mp_iov piece(const struct out *o, size_t i) {
  return i ? o->iov[i - 1] : (struct mp_iov){o->head, o->nhead};
}

static void advance(struct out *o, uint64_t by) {
  while (by > 0) {
    size_t rest = piece(o, o->at).len - o->off;

    if (by < rest) {
      o->off += (size_t)by;
      return;
    }
    by -= rest;
    o->at++;
    o->off = 0;
  }
}

/* The next pieces, up to `max` bytes in all; how many. */
static unsigned gather(const struct out *o, struct mp_iov v[PIECES],
                       size_t max) {
  size_t off = o->off;
  unsigned n = 0;
  size_t i;

  for (i = o->at; i < o->n && n < PIECES && max > 0; i++, off = 0) {
    struct mp_iov p = piece(o, i);
    size_t len = p.len - off < max ? p.len - off : max;

    if (len == 0)
      continue;
    v[n++] = (struct mp_iov){(const char *)p.base + off, len};
    max -= len;
  }
  return n;
}

/* Write what can be written at once: > 0 bytes, -EAGAIN if none. */
static int64_t push(struct mp_conn *c, const struct out *o) {
  struct mp_iov v[PIECES];
  int64_t rc;

  if (!c->is_pipe) {
    rc = mp__sys_sendv(c->fd, v, gather(o, v, CHUNK));
    if (rc != -ENOTSOCK)
      return rc;
    c->is_pipe = 1;
  }
  /* A pipe that polls writable takes PIPE_BUF bytes without blocking. */
  rc = mp__sys_poll1(c->fd, POLLOUT, MP_NOW);
  if (rc <= 0)
    return rc < 0 ? rc : -EAGAIN;
  return mp__sys_writev(c->fd, v, gather(o, v, PIPE_BUF));
}

/* Prepare to send, or to go on with the message that -EINTR interrupted. */
static int begin(struct mp_conn *c, struct out *o, const struct mp_iov *iov,
                 unsigned niov) {
  uint64_t len = 0;
  unsigned i;

  if (c->fd < 0)
    return -MP_ESTALE;
  for (i = 0; i < niov; i++) {
    if (iov[i].len > (uint64_t)INT64_MAX - 12 - len)
      return -MP_ETOOLONG;
    len += iov[i].len;
  }
  o->nhead = make_head(o->head, len);
  o->iov = iov;
  o->n = (size_t)niov + 1;
  o->at = o->off = 0;
  if (c->sent > 0 && c->sending != o->nhead + len)
    mp_conn_abandon(c); /* this is another message */
  if (c->send_err)
    return c->send_err;
  c->sending = o->nhead + len;
  advance(o, c->sent);
  return 0;
}

/* The rest of a message that was begun cannot be left out: what the peer
 * reads next would be taken for it. */
static int give_up(struct mp_conn *c, int64_t why) {
  if (is_reset(why))
    why = -MP_ECLOSED;
  if (c->sent > 0 && why != -EINTR) {
    c->send_err = why == -MP_ECLOSED ? -MP_ECLOSED : -MP_ETRUNCATED;
    c->sent = 0;
  }
  return (int)why;
}

int mp_conn_send(struct mp_conn *c, const struct mp_iov *iov, unsigned niov,
                 int64_t deadline) {
  struct out o;
  int64_t rc = begin(c, &o, iov, niov);

  if (rc < 0)
    return (int)rc;
  while (c->sent < c->sending) {
    rc = push(c, &o);
    if (rc == -EAGAIN)
      rc = wait_for(c, POLLOUT, deadline);
    if (rc < 0)
      return give_up(c, rc);
    c->sent += (uint64_t)rc;
    advance(&o, (uint64_t)rc);
  }
  c->sent = 0;
  return 0;
}

int64_t mp_conn_push(struct mp_conn *c, const void *bytes, size_t n) {
  struct mp_iov v = {bytes, n < CHUNK ? n : CHUNK};
  int64_t rc;

  if (c->fd < 0)
    return -MP_ESTALE;
  rc = mp__sys_sendv(c->fd, &v, 1);
  if (rc == -EAGAIN)
    return 0;
  return is_reset(rc) ? -MP_ECLOSED : rc;
}

void mp_conn_abandon(struct mp_conn *c) {
  (void)give_up(c, -MP_ETRUNCATED);
}

/* Receiving */

/* Read what is there: > 0 bytes, 0 at the end, -EAGAIN if nothing is. */
static int64_t pull(struct mp_conn *c, void *to, size_t n) {
  int64_t rc;

  if (!c->is_pipe) {
    rc = mp__sys_recv(c->fd, to, n);
    if (rc != -ENOTSOCK)
      return rc;
    c->is_pipe = 1;
  }
  rc = mp__sys_poll1(c->fd, POLLIN, MP_NOW);
  if (rc <= 0)
    return rc < 0 ? rc : -EAGAIN;
  return mp__sys_read(c->fd, to, n);
}

/* The first look.  A socket that our side made is read as C would, with one
 * call that waits; it comes back soon enough for signals. */
static int64_t look(struct mp_conn *c, void *to, size_t n, int64_t deadline) {
  if (c->naps && deadline == MP_FOREVER)
    return mp__sys_recv_nap(c->fd, to, n);
  return pull(c, to, n);
}

/* At least one byte; how many.  The end of the stream is -MP_ECLOSED. */
static int64_t take(struct mp_conn *c, void *to, size_t n, int64_t deadline) {
  int64_t rc;

  for (;;) {
    rc = look(c, to, n < CHUNK ? n : CHUNK, deadline);
    if (rc != -EAGAIN)
      return rc == 0 || is_reset(rc) ? -MP_ECLOSED : rc;
    rc = wait_for(c, POLLIN, deadline);
    if (rc < 0)
      return rc;
  }
}

/* From now on, nothing can be read. */
static int lose(struct mp_conn *c, int why) {
  c->recv_err = why;
  return why;
}

static int take_head(struct mp_conn *c, int64_t deadline) {
  while (!head_whole(c)) {
    int64_t rc = take(c, c->head + c->nhead, head_size(c) - c->nhead, deadline);

    if (rc == -MP_ECLOSED && c->nhead > 0)
      return lose(c, -MP_ETRUNCATED);
    if (rc < 0)
      return (int)rc;
    c->nhead += (unsigned)rc;
  }
  if (!head_valid(c))
    return lose(c, -MP_EPROTOCOL);
  c->left = head_value(c);
  return 0;
}

int mp_conn_head(struct mp_conn *c, uint64_t *len, int64_t deadline) {
  int rc = 0;

  if (c->fd < 0)
    return -MP_ESTALE;
  if (c->recv_err)
    return c->recv_err;
  if (!head_whole(c))
    rc = take_head(c, deadline);
  else if (c->left != head_value(c))
    rc = lose(c, -MP_ETRUNCATED); /* the last message was left half read */
  if (rc == 0)
    *len = c->left;
  return rc;
}

int mp_conn_body(struct mp_conn *c, void *to, size_t cap, size_t *got,
                 int64_t deadline) {
  int64_t rc;

  *got = 0;
  if (c->fd < 0)
    return -MP_ESTALE;
  if (c->recv_err)
    return c->recv_err;
  if (cap > c->left)
    cap = (size_t)c->left;
  if (cap == 0)
    return 0;
  rc = take(c, to, cap, deadline);
  if (rc == -MP_ECLOSED)
    return lose(c, -MP_ETRUNCATED);
  if (rc < 0)
    return (int)rc;
  *got = (size_t)rc;
  c->left -= (uint64_t)rc;
  return 0;
}

void mp_conn_next(struct mp_conn *c) {
  if (c->left > 0)
    (void)lose(c, -MP_ETRUNCATED);
  c->nhead = 0;
}

int mp_conn_poll(struct mp_conn *c, int64_t deadline) {
  int rc;

  if (c->fd < 0)
    return -MP_ESTALE;
  if (c->recv_err || (head_whole(c) && c->left == 0))
    return 1;
  rc = mp__sys_poll1(c->fd, POLLIN, deadline);
  return rc > 0 ? 1 : rc;
}

void mp_conn_close(struct mp_conn *c) {
  mp__sys_close(c->fd);
  *c = MP_CONN_EMPTY;
}
