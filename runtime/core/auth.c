/* auth.c -- owns the handshake of two that share a key.
 *
 * It is that of Python's multiprocessing.connection.  One side challenges the
 * other to show that it has the key, then they change roles:
 *
 *   X -> Y  "#CHALLENGE#" M      M = "{sha256}" and 40 random bytes
 *   Y -> X  "{sha256}" HMAC-sha256(key, M)
 *   X -> Y  "#WELCOME#" or "#FAILURE#"
 *
 * Before 3.12, Python's M is 20 random bytes and the answer HMAC-md5(key, M)
 * without a name; the M above gets such an answer from it, too.  A listener is
 * X first, so nothing is answered for a peer that has not shown that it has
 * the key.  A challenge of ours that comes back is not answered: the peer
 * could use us to answer itself.
 */
#include "mp.h"

#include "mac.h"
#include "sys.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define CHALLENGE "#CHALLENGE#"
#define WELCOME "#WELCOME#"
#define FAILURE "#FAILURE#"
#define OURS "{sha256}"
#define LEN(s) (sizeof(s) - 1)

#define OLD_CHALLENGE 20 /* bytes of M before 3.12 */
#define OLD_ANSWER 16

/* What a handshake is made of; what is received waits for the peer. */
enum step { ASK, CHECK, REPLY, VERDICT, DONE };

static const unsigned char as_listener[] = {ASK, CHECK, REPLY, VERDICT, DONE};
static const unsigned char as_client[] = {REPLY, VERDICT, ASK, CHECK, DONE};

int mp_auth_begin(struct mp_auth *a, unsigned flags) {
  int rc = mp__mac_load();

  if (rc < 0)
    return rc;
  memset(a, 0, sizeof *a);
  a->flags = flags;
  memcpy(a->challenge, OURS, LEN(OURS));
  return mp__sys_random(a->challenge + LEN(OURS),
                        sizeof a->challenge - LEN(OURS));
}

/* Frames.  Those that are sent are smaller than any socket's buffer. */

static int put(struct mp_conn *c, const void *head, size_t headlen,
               const void *body, size_t bodylen) {
  struct mp_iov iov[] = {{head, headlen}, {body, bodylen}};
  int rc = mp_conn_send(c, iov, 2, MP_NOW);

  return rc < 0 ? -MP_EAUTHGONE : 0;
}

/* 1: the frame is in; 0: not yet. */
static int get(struct mp_auth *a, struct mp_conn *c) {
  size_t got;
  int rc;

  if (!a->begun) {
    rc = mp_conn_head(c, &a->len, MP_NOW);
    if (rc == 0 && a->len > MP_AUTH_FRAME)
      rc = -MP_EAUTHFORM;
    a->begun = rc == 0;
    a->got = 0;
  } else {
    rc = 0;
  }
  while (rc == 0 && a->got < a->len) {
    rc = mp_conn_body(c, a->frame + a->got, a->len - a->got, &got, MP_NOW);
    a->got += (unsigned)got;
  }
  if (rc == -MP_ETIMEOUT || rc == -EINTR)
    return 0;
  if (rc == -MP_EPROTOCOL || rc == -MP_EAUTHFORM)
    return -MP_EAUTHFORM;
  if (rc < 0)
    return -MP_EAUTHGONE;
  mp_conn_next(c);
  a->begun = 0;
  return 1;
}

static int is(const struct mp_auth *a, const char *text, size_t len) {
  return a->len == len && memcmp(a->frame, text, len) == 0;
}

/* The length of the digest's name in "{name}...", or 0. */
static size_t name_of(const unsigned char *m, size_t len) {
  size_t i;

  if (len == 0 || m[0] != '{')
    return 0;
  for (i = 1; i < 10 && i < len; i++)
    if (m[i] == '}')
      return i - 1;
  return 0;
}

/* The steps: 0 or an error */

/* Our own challenge was answered: is it right? */
static int check(struct mp_auth *a, const void *key, size_t keylen) {
  unsigned char want[MP__MAC_MAX];
  size_t name = name_of(a->frame, (size_t)a->len);
  size_t skip = name ? name + 2 : 0;
  int old = a->len == OLD_ANSWER || a->len == OLD_CHALLENGE;
  int n;

  if (old || (name == 3 && memcmp(a->frame + 1, "md5", 3) == 0)) {
    if (a->flags & MP_AUTH_STRONG)
      return -MP_EAUTHWEAK;
    if (old)
      skip = 0;
    n = mp__mac("md5", 3, key, keylen, a->challenge, sizeof a->challenge, want);
  } else {
    n = mp__mac((const char *)a->frame + 1, name, key, keylen, a->challenge,
                sizeof a->challenge, want);
  }
  if (n < 0)
    return -MP_EAUTHFORM;
  if (a->len - skip != (uint64_t)n ||
      !mp__mac_equal(a->frame + skip, want, (size_t)n))
    return -MP_EAUTH;
  return 0;
}

/* An answer to the peer's challenge. */
static int reply(struct mp_auth *a, struct mp_conn *c, const void *key,
                 size_t keylen) {
  const unsigned char *m = a->frame + LEN(CHALLENGE);
  size_t len = (size_t)a->len - LEN(CHALLENGE);
  size_t name = len == OLD_CHALLENGE ? 0 : name_of(m, len);
  unsigned char mac[MP__MAC_MAX];
  int n;

  if (a->len < LEN(CHALLENGE) + OLD_CHALLENGE ||
      memcmp(a->frame, CHALLENGE, LEN(CHALLENGE)) != 0 ||
      (len != OLD_CHALLENGE && name == 0))
    return -MP_EAUTHFORM;
  if (len == sizeof a->challenge && memcmp(m, a->challenge, len) == 0)
    return -MP_EAUTH; /* our own, sent back */
  if (name == 0) {
    if (a->flags & MP_AUTH_STRONG)
      return -MP_EAUTHWEAK;
    n = mp__mac("md5", 3, key, keylen, m, len, mac);
  } else {
    if (a->flags & MP_AUTH_STRONG && name == 3 && memcmp(m + 1, "md5", 3) == 0)
      return -MP_EAUTHWEAK;
    n = mp__mac((const char *)m + 1, name, key, keylen, m, len, mac);
  }
  if (n < 0)
    return -MP_EAUTHFORM;
  return put(c, m, name ? name + 2 : 0, mac, (size_t)n);
}

static int take(struct mp_auth *a, struct mp_conn *c, enum step step,
                const void *key, size_t len) {
  int rc;

  if (step == REPLY)
    return reply(a, c, key, len);
  if (step == VERDICT)
    return is(a, WELCOME, LEN(WELCOME))   ? 0
           : is(a, FAILURE, LEN(FAILURE)) ? -MP_EAUTH
                                          : -MP_EAUTHFORM;
  rc = check(a, key, len);
  if (rc < 0) {
    (void)put(c, FAILURE, LEN(FAILURE), NULL, 0);
    return rc;
  }
  return put(c, WELCOME, LEN(WELCOME), NULL, 0);
}

int mp_auth_step(struct mp_auth *a, struct mp_conn *c, const void *key,
                 size_t len) {
  const unsigned char *steps =
      a->flags & MP_AUTH_LISTENER ? as_listener : as_client;
  int rc;

  if (len == 0)
    return -MP_EAUTHEMPTY;
  for (; steps[a->done] != DONE; a->done++) {
    if (steps[a->done] == ASK) {
      rc = put(c, CHALLENGE, LEN(CHALLENGE), a->challenge, sizeof a->challenge);
    } else {
      rc = get(a, c);
      if (rc == 0)
        return 0;
      if (rc > 0)
        rc = take(a, c, steps[a->done], key, len);
    }
    if (rc < 0)
      return rc;
  }
  return 1;
}

int mp_auth_run(struct mp_auth *a, struct mp_conn *c, const void *key,
                size_t len, int64_t deadline) {
  int rc;

  for (;;) {
    rc = mp_auth_step(a, c, key, len);
    if (rc != 0)
      return rc < 0 ? rc : 0;
    rc = mp__sys_poll1(c->fd, POLLIN, deadline);
    if (rc <= 0)
      return rc == 0 ? -MP_EAUTHTIME : rc;
  }
}
