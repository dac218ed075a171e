/* sys_sock.c -- owns the system calls on streams and sockets. */
#include "mp.h"

#include "sys.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

/* Streams */

_Static_assert(sizeof(struct mp_iov) == sizeof(struct iovec) &&
                   offsetof(struct mp_iov, len) ==
                       offsetof(struct iovec, iov_len),
               "struct mp_iov has the layout of struct iovec");

int64_t mp__sys_recv(int sock, void *to, size_t n) {
  ssize_t rc;

  do
    rc = recv(sock, to, n, MSG_DONTWAIT);
  while (rc < 0 && errno == EINTR);
  return rc < 0 ? -errno : rc;
}

#define NAP_US 250000

int mp__sys_set_naps(int sock) {
  struct timeval nap = {0, NAP_US};

  return setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &nap, sizeof nap) == 0;
}

int64_t mp__sys_recv_nap(int sock, void *to, size_t n) {
  ssize_t rc = recv(sock, to, n, 0);

  return rc < 0 ? -errno : rc;
}

int64_t mp__sys_sendv(int sock, const struct mp_iov *iov, unsigned n) {
  struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)iov};
  ssize_t rc;

  m.msg_iovlen = (__typeof__(m.msg_iovlen))n; /* an int in musl */
  do
    rc = sendmsg(sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (rc < 0 && errno == EINTR);
  return rc < 0 ? -errno : rc;
}

/* A pipe has no MSG_NOSIGNAL: hold the signal back, and take away the one
 * that our own write raised.  One that was pending before is the host's. */
int64_t mp__sys_writev(int fd, const struct mp_iov *iov, unsigned n) {
  static const struct timespec now = {0, 0};
  sigset_t sigpipe, before, pending;
  int64_t rc;

  (void)sigemptyset(&sigpipe);
  (void)sigaddset(&sigpipe, SIGPIPE);
  (void)pthread_sigmask(SIG_BLOCK, &sigpipe, &before);
  (void)sigpending(&pending);
  rc = writev(fd, (const struct iovec *)(const void *)iov, (int)n);
  if (rc < 0)
    rc = -errno;
  if (rc == -EPIPE && !sigismember(&pending, SIGPIPE))
    while (sigtimedwait(&sigpipe, NULL, &now) < 0 && errno == EINTR)
      ;
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  return rc;
}

/* Passing descriptors */

union control {
  char bytes[CMSG_SPACE(sizeof(int))];
  struct cmsghdr align;
};

int mp__sys_send_fd(int sock, int fd) {
  char byte = 'f';
  struct iovec iov = {&byte, 1};
  union control c;
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
  struct cmsghdr *h;
  ssize_t rc;

  memset(&c, 0, sizeof c);
  m.msg_control = c.bytes;
  m.msg_controllen = sizeof c.bytes;
  h = CMSG_FIRSTHDR(&m);
  h->cmsg_level = SOL_SOCKET;
  h->cmsg_type = SCM_RIGHTS;
  h->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(h), &fd, sizeof(int));
  do
    rc = sendmsg(sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (rc < 0 && errno == EINTR);
  return rc < 0 ? -errno : 0;
}

static int recv_fd(int sock, int flags) {
  char byte;
  struct iovec iov = {&byte, 1};
  union control c;
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
  struct cmsghdr *h;
  ssize_t rc;
  int fd;

  m.msg_control = c.bytes;
  m.msg_controllen = sizeof c.bytes;
  do
    rc = recvmsg(sock, &m, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (rc < 0 && errno == EINTR);
  if (rc < 0)
    return -errno;
  h = CMSG_FIRSTHDR(&m);
  if (rc == 0 || !h || h->cmsg_type != SCM_RIGHTS)
    return m.msg_flags & MSG_CTRUNC ? -EMFILE : -ENOENT;
  memcpy(&fd, CMSG_DATA(h), sizeof(int));
  return mp__sys_high(fd);
}

int mp__sys_recv_fd(int sock) {
  return recv_fd(sock, 0);
}

int mp__sys_peek_fd(int sock, unsigned at) {
  int off = (int)at;
  int fd;

  if (setsockopt(sock, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof off) < 0)
    return -errno;
  fd = recv_fd(sock, MSG_PEEK);
  off = -1;
  (void)setsockopt(sock, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof off);
  return fd;
}
