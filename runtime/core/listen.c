/* listen.c -- owns listening, and the handshakes under way there.
 *
 * A client that has come is *pending* until it has shown that it knows the
 * key; without a key nobody is.  All pending ones stand in one epoll set with
 * the socket, so accept waits for all at once, and a silent one keeps nobody
 * waiting.  There may be PENDING_MAX of them; when one more comes, or there
 * are no more descriptors, the oldest one has to go, but not before PATIENCE:
 * a good client needs far less.
 *
 * The set is shared with forked children, who must not find pointers of ours
 * in it: clients are known by a number.  A child begins with a set of its own.
 * Whoever leaves the set is taken out by hand; closing is not enough while a
 * child has a copy of the descriptor.
 */
#include "mp.h"

#include "net.h"
#include "sys.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PENDING_MAX 512
#define PATIENCE_NS 1000000000
#define ROUND 64 /* of the set's ready ones that are looked at in one go */
#define SOCKET_TAG 0

struct mp_pending {
  struct mp_pending *older, *newer;
  uint64_t tag;
  int64_t since;
  struct mp_conn conn;
  struct mp_auth auth;
  struct mp_addr peer;
};

/* The set */

static int watch_socket(struct mp_listener *l) {
  return mp__sys_epoll_tag(l->set, l->fd, SOCKET_TAG);
}

static void mute(struct mp_listener *l) {
  if (!l->muted)
    mp__sys_epoll_del(l->set, l->fd);
  l->muted = 1;
}

static void unmute(struct mp_listener *l) {
  if (l->muted && watch_socket(l) == 0)
    l->muted = 0;
}

static struct mp_pending *find(struct mp_listener *l, uint64_t tag) {
  struct mp_pending *p;

  for (p = l->first; p && p->tag != tag;)
    p = p->newer;
  return p;
}

/* Out of the list and of the set; the caller frees it. */
static void leave(struct mp_listener *l, struct mp_pending *p) {
  *(p->older ? &p->older->newer : &l->first) = p->newer;
  *(p->newer ? &p->newer->older : &l->last) = p->older;
  l->npending--;
  mp__sys_epoll_del(l->set, p->conn.fd);
  unmute(l);
}

static void drop(struct mp_listener *l, struct mp_pending *p) {
  leave(l, p);
  mp_conn_close(&p->conn);
  free(p);
}

static int enter(struct mp_listener *l, struct mp_pending *p) {
  int rc;

  p->tag = ++l->serial;
  rc = mp__sys_epoll_tag(l->set, p->conn.fd, p->tag);
  if (rc < 0)
    return rc;
  p->older = l->last;
  p->newer = NULL;
  *(l->last ? &l->last->newer : &l->first) = p;
  l->last = p;
  l->npending++;
  return 0;
}

/* In a forked child: the pending ones are the parent's to serve. */
static int own_set(struct mp_listener *l) {
  struct mp_pending *p, *next;

  if (l->pid == mp__sys_getpid())
    return 0;
  for (p = l->first; p; p = next) {
    next = p->newer;
    mp_conn_close(&p->conn);
    free(p);
  }
  l->first = l->last = NULL;
  l->npending = 0;
  mp__sys_close(l->set);
  l->set = mp__sys_epoll();
  if (l->set < 0)
    return l->set;
  l->muted = 0;
  l->pid = mp__sys_getpid();
  return watch_socket(l);
}

/* Opening */

/* Bind to a path.  The directory's lock is held from the look at what is there
 * until we listen, so that two do not take each other's for a dead one's. */
static int bind_path(struct mp_listener *l, const struct addrinfo *ai,
                     int backlog) {
  int lock = mp__net_lock_dir(l->addr.name);
  struct mp__node f = {0, 0};
  int rc = mp__net_private(l->fd);

  if (rc == 0)
    rc = mp__net_bind(l->fd, ai);
  if (rc == -EADDRINUSE && mp__net_file(l->addr.name, &f) == 0 &&
      !mp__net_answers(l->addr.name)) {
    mp__net_unlink(l->addr.name);
    rc = mp__net_bind(l->fd, ai);
  }
  if (rc == 0)
    rc = mp__net_file(l->addr.name, &f);
  if (rc == 0) {
    l->dev = f.dev;
    l->ino = f.ino;
    rc = mp__net_listen(l->fd, backlog);
  }
  mp__sys_close(lock);
  return rc;
}

static int bind_name(struct mp_listener *l, const struct addrinfo *ai,
                     int backlog) {
  int rc = l->addr.family == MP_UNIX ? 0 : mp__net_reuse(l->fd);

  if (rc == 0)
    rc = mp__net_bind(l->fd, ai);
  return rc == 0 ? mp__net_listen(l->fd, backlog) : rc;
}

static int open_socket(struct mp_listener *l, int backlog) {
  struct addrinfo *list = NULL;
  int rc = mp__net_resolve(&l->addr, 1, &list);

  if (rc == 0) {
    rc = l->fd = mp__net_socket(list->ai_family, 1);
    if (rc >= 0)
      rc = l->addr.family == MP_UNIX && l->addr.name[0]
               ? bind_path(l, list, backlog)
               : bind_name(l, list, backlog);
    mp__net_free(list);
  }
  return rc;
}

/* An address of our own, if none was given. */
static int choose(struct mp_listener *l, const struct mp_addr *a) {
  int rc;

  if (a) {
    l->addr = *a;
    return 0;
  }
  l->addr.family = MP_UNIX;
  rc = mp__net_make_dir(l->addr.name, MP_PATH_MAX - 2);
  if (rc < 0)
    return rc;
  l->own_dir = 1;
  (void)strcat(l->addr.name, "/s");
  l->addr.len = (unsigned)strlen(l->addr.name);
  return 0;
}

int mp_listen(struct mp_listener *l, const struct mp_addr *a, int backlog,
              unsigned flags, int64_t patience_ns) {
  int rc;

  *l = MP_LISTENER_EMPTY;
  l->flags = flags;
  l->patience_ns = patience_ns;
  l->pid = l->creator = mp__sys_getpid();
  rc = choose(l, a);
  if (rc == 0)
    rc = open_socket(l, backlog);
  if (rc == 0 && l->addr.family != MP_UNIX)
    rc = mp__net_name(l->fd, &l->addr);
  if (rc == 0) {
    rc = l->set = mp__sys_epoll();
    if (rc >= 0)
      rc = watch_socket(l);
  }
  if (rc < 0)
    mp_listener_close(l);
  return rc;
}

/* Only what is still ours: somebody may have put another in its place. */
static void remove_file(struct mp_listener *l) {
  struct mp__node f;

  if (l->creator != mp__sys_getpid() || l->addr.family != MP_UNIX)
    return;
  if (l->ino && mp__net_file(l->addr.name, &f) == 0 && f.dev == l->dev &&
      f.ino == l->ino)
    mp__net_unlink(l->addr.name);
  if (l->own_dir) {
    *strrchr(l->addr.name, '/') = '\0';
    mp__net_remove_dir(l->addr.name);
  }
}

void mp_listener_close(struct mp_listener *l) {
  int ours = l->pid == mp__sys_getpid();

  remove_file(l);
  while (l->first) {
    struct mp_pending *p = l->first;

    l->first = p->newer;
    if (ours)
      mp__sys_epoll_del(l->set, p->conn.fd);
    mp_conn_close(&p->conn);
    free(p);
  }
  mp__sys_close(l->set);
  mp__sys_close(l->fd);
  *l = MP_LISTENER_EMPTY;
}

/* Accepting */

static int no_descriptors(int rc) {
  return rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM || rc == -ENOBUFS;
}

/* The failure of one client, which is not the listener's (accept(2)). */
static int passing(int rc) {
  return rc == -ECONNABORTED || rc == -EPROTO || rc == -EPERM ||
         rc == -ENETDOWN || rc == -ENETUNREACH || rc == -EHOSTDOWN ||
         rc == -EHOSTUNREACH || rc == -ENONET || rc == -ENOPROTOOPT ||
         rc == -EOPNOTSUPP;
}

/* The next client's descriptor; -EAGAIN. */
static int next_client(struct mp_listener *l, struct mp_addr *peer) {
  int fd;

  do
    fd = mp__net_accept(l->fd, peer);
  while (fd < 0 && passing(fd));
  if (fd >= 0 && l->addr.family == MP_UNIX && !(l->flags & MP_NET_ANY_USER) &&
      !mp__net_same_user(fd)) {
    mp__sys_close(fd);
    return -MP_EAUTHUSER;
  }
  return fd;
}

/* One more to shake hands with. */
static int take_client(struct mp_listener *l) {
  struct mp_pending *p = calloc(1, sizeof *p);
  int rc;

  if (!p)
    return -ENOMEM;
  p->conn = MP_CONN_EMPTY;
  p->since = mp_now();
  rc = p->conn.fd = next_client(l, &p->peer);
  if (rc >= 0)
    rc =
        mp_auth_begin(&p->auth, (l->flags & MP_AUTH_STRONG) | MP_AUTH_LISTENER);
  if (rc == 0)
    rc = enter(l, p);
  if (rc < 0) {
    mp_conn_close(&p->conn);
    free(p);
  }
  return rc;
}

/* Move one on: 1, it is through and handed over; 0; or how it failed. */
static int move(struct mp_listener *l, struct mp_pending *p, const void *key,
                size_t len, struct mp_conn *c, struct mp_addr *peer) {
  int rc = mp_auth_step(&p->auth, &p->conn, key, len);

  if (rc < 0) {
    drop(l, p);
  } else if (rc > 0) {
    *c = p->conn;
    c->naps = mp__sys_set_naps(c->fd);
    *peer = p->peer;
    leave(l, p);
    free(p);
  }
  return rc;
}

/* Take in those who wait at the socket, up to one that is through at once or
 * fails.  When there is no room for one, the socket is left alone until there
 * is. */
static int take_clients(struct mp_listener *l, const void *key, size_t len,
                        struct mp_conn *c, struct mp_addr *peer) {
  int rc = 0;

  while (rc == 0) {
    if (l->npending == PENDING_MAX) {
      mute(l);
      return 0;
    }
    rc = take_client(l);
    if (rc == 0)
      rc = move(l, l->last, key, len, c, peer); /* the challenge is sent */
    else if (no_descriptors(rc) && l->npending > 0)
      mute(l);
    else
      return rc == -EAGAIN ? 0 : rc;
  }
  return no_descriptors(rc) ? 0 : rc;
}

/* Whoever is ready moves on: 1, a client is through; 0; or how one failed. */
static int move_on(struct mp_listener *l, const void *key, size_t len,
                   struct mp_conn *c, struct mp_addr *peer) {
  uint64_t tags[ROUND];
  int n = mp__sys_epoll_ready(l->set, tags, ROUND);
  int i, rc;

  for (i = 0; i < n; i++) {
    struct mp_pending *p;

    if (tags[i] == SOCKET_TAG) {
      rc = take_clients(l, key, len, c, peer);
    } else {
      p = find(l, tags[i]);
      rc = p ? move(l, p, key, len, c, peer) : 0;
    }
    if (rc != 0)
      return rc;
  }
  return n < 0 ? n : 0;
}

/* When the oldest pending one has to go. */
static int64_t oldest_ends(const struct mp_listener *l) {
  int64_t patience = l->patience_ns;

  if (l->muted && patience > PATIENCE_NS)
    patience = PATIENCE_NS;
  if (!l->first || l->first->since > MP_FOREVER - patience)
    return MP_FOREVER;
  return l->first->since + patience;
}

static int accept_known(struct mp_listener *l, const void *key, size_t len,
                        struct mp_conn *c, struct mp_addr *peer,
                        int64_t deadline) {
  for (;;) {
    int64_t ends;
    int rc = move_on(l, key, len, c, peer);

    if (rc != 0)
      return rc < 0 ? rc : 0;
    ends = oldest_ends(l);
    if (mp_now() >= ends) {
      drop(l, l->first);
      return -MP_EAUTHTIME;
    }
    rc = mp__sys_poll1(l->set, POLLIN, ends < deadline ? ends : deadline);
    if (rc < 0)
      return rc;
    if (rc == 0 && mp_now() >= deadline)
      return -MP_ETIMEOUT;
  }
}

static int accept_any(struct mp_listener *l, struct mp_conn *c,
                      struct mp_addr *peer, int64_t deadline) {
  for (;;) {
    int rc = next_client(l, peer);

    if (rc >= 0) {
      *c = MP_CONN_EMPTY;
      c->fd = rc;
      c->naps = mp__sys_set_naps(rc);
      return 0;
    }
    if (rc != -EAGAIN)
      return rc;
    rc = mp__sys_poll1(l->fd, POLLIN, deadline);
    if (rc <= 0)
      return rc == 0 ? -MP_ETIMEOUT : rc;
  }
}

int mp_accept(struct mp_listener *l, const void *key, size_t len,
              struct mp_conn *c, struct mp_addr *peer, int64_t deadline) {
  int rc;

  if (l->fd < 0)
    return -MP_ESTALE;
  rc = own_set(l);
  if (rc < 0)
    return rc;
  return key ? accept_known(l, key, len, c, peer, deadline)
             : accept_any(l, c, peer, deadline);
}

int mp_listener_fd(struct mp_listener *l) {
  int rc;

  if (l->fd < 0)
    return -MP_ESTALE;
  rc = own_set(l);
  return rc < 0 ? rc : l->set;
}
