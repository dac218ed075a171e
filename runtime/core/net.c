/* net.c -- owns every plain system call on sockets that have an address. */
#include "mp.h"

#include "net.h"
#include "sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

_Static_assert(MP_PATH_MAX < sizeof(((struct sockaddr_un *)0)->sun_path),
               "a path and its NUL fit");

/* Addresses */

/* One block, so that both kinds are freed alike: see mp__net_free. */
struct unix_info {
  struct addrinfo ai; /* first */
  struct sockaddr_un sun;
};

static int resolve_unix(const struct mp_addr *a, struct addrinfo **list) {
  struct unix_info *u;

  if (a->len > MP_PATH_MAX)
    return -ENAMETOOLONG;
  u = calloc(1, sizeof *u);
  if (!u)
    return -ENOMEM;
  u->sun.sun_family = AF_UNIX;
  memcpy(u->sun.sun_path, a->name, a->len);
  u->ai.ai_family = AF_UNIX;
  u->ai.ai_addr = (struct sockaddr *)&u->sun;
  /* An abstract name is as long as it is; a path has its NUL. */
  u->ai.ai_addrlen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
                                 a->len + (a->name[0] != '\0'));
  *list = &u->ai;
  return 0;
}

static int resolve_error(int rc) {
  switch (rc) {
  case EAI_SYSTEM:
    return -errno;
  case EAI_MEMORY:
    return -ENOMEM;
  default:
    return -MP_EADDRESS;
  }
}

int mp__net_resolve(const struct mp_addr *a, int passive,
                    struct addrinfo **list) {
  struct addrinfo want = {.ai_socktype = SOCK_STREAM};
  char port[8];
  int rc;

  if (a->family == MP_UNIX)
    return resolve_unix(a, list);
  want.ai_family = a->family == MP_INET ? AF_INET : AF_INET6;
  want.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0);
  (void)snprintf(port, sizeof port, "%u", a->port & 0xffffu);
  rc = getaddrinfo(a->len ? a->name : NULL, port, &want, list);
  return rc == 0 ? 0 : resolve_error(rc);
}

void mp__net_free(struct addrinfo *list) {
  if (list && list->ai_family == AF_UNIX)
    free(list);
  else if (list)
    freeaddrinfo(list);
}

static void read_address(struct mp_addr *a, const struct sockaddr_storage *s,
                         socklen_t len) {
  char port[8];
  size_t from = offsetof(struct sockaddr_un, sun_path);

  memset(a, 0, sizeof *a);
  a->family = s->ss_family == AF_UNIX    ? MP_UNIX
              : s->ss_family == AF_INET6 ? MP_INET6
                                         : MP_INET;
  if (a->family == MP_UNIX) {
    const struct sockaddr_un *u = (const struct sockaddr_un *)s;

    if (len > from)
      a->len = (unsigned)(len - from);
    memcpy(a->name, u->sun_path, a->len);
    if (a->len && a->name[0])
      a->len = (unsigned)strlen(a->name);
    return;
  }
  if (getnameinfo((const struct sockaddr *)s, len, a->name, sizeof a->name,
                  port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
    a->len = (unsigned)strlen(a->name);
    a->port = (unsigned)strtoul(port, NULL, 10);
  }
}

int mp__net_name(int fd, struct mp_addr *a) {
  struct sockaddr_storage s;
  socklen_t len = sizeof s;

  memset(&s, 0, sizeof s);
  if (getsockname(fd, (struct sockaddr *)&s, &len) < 0)
    return -errno;
  read_address(a, &s, len);
  return 0;
}

/* Sockets */

int mp__net_socket(int family, int nonblock) {
  return mp__sys_high(socket(
      family, SOCK_STREAM | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0), 0));
}

int mp__net_bind(int fd, const struct addrinfo *ai) {
  return bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 ? -errno : 0;
}

int mp__net_listen(int fd, int backlog) {
  return listen(fd, backlog) < 0 ? -errno : 0;
}

int mp__net_accept(int fd, struct mp_addr *peer) {
  struct sockaddr_storage s;
  socklen_t len = sizeof s;
  int rc;

  memset(&s, 0, sizeof s);
  do
    rc = accept4(fd, (struct sockaddr *)&s, &len, SOCK_CLOEXEC);
  while (rc < 0 && errno == EINTR);
  rc = mp__sys_high(rc);
  if (rc >= 0) {
    read_address(peer, &s, len);
    mp__net_tune(rc, s.ss_family);
  }
  return rc;
}

int mp__net_connect(int fd, const struct addrinfo *ai) {
  return connect(fd, ai->ai_addr, ai->ai_addrlen) < 0 ? -errno : 0;
}

int mp__net_error(int fd) {
  int error = 0;
  socklen_t len = sizeof error;

  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
    return -errno;
  return -error;
}

void mp__net_block(int fd) {
  int flags = fcntl(fd, F_GETFL);

  if (flags >= 0)
    (void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

/* The kernel takes the mode of the file from the socket's. */
int mp__net_private(int fd) {
  return fchmod(fd, S_IRUSR | S_IWUSR) < 0 ? -errno : 0;
}

int mp__net_reuse(int fd) {
  int on = 1;

  return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ? -errno
                                                                      : 0;
}

/* A peer whose machine has vanished is noticed within two minutes. */
void mp__net_tune(int fd, int family) {
  int on = 1, idle = 60, every = 20, times = 3;

  if (family == AF_UNIX)
    return;
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
  (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
}

int mp__net_same_user(int fd) {
  struct ucred peer;
  socklen_t len = sizeof peer;

  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
    return 0;
  return peer.uid == 0 || peer.uid == geteuid();
}

/* The file of a unix socket */

int mp__net_file(const char *path, struct mp__node *f) {
  struct stat st;

  if (lstat(path, &st) < 0)
    return -errno;
  if (!S_ISSOCK(st.st_mode))
    return -ENOTSOCK;
  f->dev = (uint64_t)st.st_dev;
  f->ino = (uint64_t)st.st_ino;
  return 0;
}

void mp__net_unlink(const char *path) {
  (void)unlink(path);
}

/* Asked with a socket of another kind, which a stream socket refuses before it
 * has taken notice (-EPROTOTYPE): an accept there must not see us. */
int mp__net_answers(const char *path) {
  struct sockaddr_un u = {.sun_family = AF_UNIX};
  int fd = mp__sys_high(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  int rc;

  if (fd < 0)
    return 1; /* not to be found out: as if it were alive */
  (void)snprintf(u.sun_path, sizeof u.sun_path, "%s", path);
  rc = connect(fd, (struct sockaddr *)&u, sizeof u) < 0 ? -errno : 0;
  mp__sys_close(fd);
  return rc != -ECONNREFUSED && rc != -ENOENT;
}

int mp__net_lock_dir(const char *path) {
  const char *slash = strrchr(path, '/');
  int len = slash ? (int)(slash - path) : 0;
  char dir[MP_PATH_MAX + 2];
  int fd, tries;

  (void)snprintf(dir, sizeof dir, "%.*s", len, path);
  if (len == 0)
    (void)strcpy(dir, slash ? "/" : ".");
  fd = mp__sys_high(open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd < 0)
    return fd;
  for (tries = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; tries++) {
    if (errno != EWOULDBLOCK || tries == 100) {
      mp__sys_close(fd);
      return -EWOULDBLOCK;
    }
    (void)usleep(10000);
  }
  return fd;
}

/* A directory for a socket
 *
 * "luamp-", the pid of its owner, and six letters; in it the socket `s`.
 */

#define DIR_PREFIX "luamp-"

/* What an owner that was killed has left. */
static void tidy(const char *base) {
  char path[MP_PATH_MAX + 1], file[MP_PATH_MAX + 3];
  struct dirent *e;
  DIR *dir = opendir(base);

  while (dir && (e = readdir(dir))) {
    long pid = 0;
    int n = snprintf(path, sizeof path, "%s/%s", base, e->d_name);

    if (strncmp(e->d_name, DIR_PREFIX, strlen(DIR_PREFIX)) == 0)
      pid = strtol(e->d_name + strlen(DIR_PREFIX), NULL, 10);
    if (pid <= 0 || n >= (int)sizeof path || kill((pid_t)pid, 0) == 0 ||
        errno != ESRCH)
      continue;
    (void)snprintf(file, sizeof file, "%s/s", path);
    if (mp__net_answers(file))
      continue; /* a process that we cannot see from here */
    (void)unlink(file);
    (void)rmdir(path);
  }
  if (dir)
    (void)closedir(dir);
}

int mp__net_make_dir(char *path, uint64_t cap) {
  static const char *const variables[] = {"XDG_RUNTIME_DIR", "TMPDIR"};
  const char *base = NULL;
  unsigned i;
  int n;

  for (i = 0; i < 2 && !base; i++) {
    base = getenv(variables[i]);
    if (base && (base[0] != '/' || strlen(base) > 60 || access(base, W_OK) < 0))
      base = NULL;
  }
  if (!base)
    base = "/tmp";
  tidy(base);
  n = snprintf(path, cap, "%s/" DIR_PREFIX "%d-XXXXXX", base, getpid());
  if (n < 0 || (uint64_t)n >= cap)
    return -ENAMETOOLONG;
  return mkdtemp(path) ? 0 : -errno; /* 0700 */
}

void mp__net_remove_dir(const char *path) {
  (void)rmdir(path);
}
