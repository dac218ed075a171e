/* memcheck.c -- what valgrind 3.19 does not know of, for the tests under it.
 *
 * Preloaded before a test: the core's plain system calls come through
 * syscall().  A pidfd is had from a socket instead, as the credentials of a
 * message name any process to a receiver who asks for its pidfd (Linux 6.5,
 * and others than oneself may be named by root only).  futex_waitv does not
 * exist, as on an older kernel.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
  PIDFD_SEND_SIGNAL = 424,
  PIDFD_OPEN = 434,
  FUTEX_WAITV = 449,
  PASS_PIDFD = 76, /* SO_PASSPIDFD */
  PIDFD = 4        /* SCM_PIDFD */
};

/* What valgrind runs is not the file of its own process. */
__attribute__((visibility("default"))) int execv(const char *path,
                                                 char *const argv[]) {
  static char self[4096];

  if (strcmp(path, "/proc/self/exe") == 0 &&
      readlink(path, self, sizeof self - 1) > 0)
    path = self;
  return execve(path, argv, environ);
}

static int send_name(int fd, pid_t pid) {
  struct ucred who = {pid, getuid(), getgid()};
  union {
    struct cmsghdr head;
    char space[CMSG_SPACE(sizeof who)];
  } control = {.head = {CMSG_LEN(sizeof who), SOL_SOCKET, SCM_CREDENTIALS}};
  struct iovec iov = {(char[1]){0}, 1};
  struct msghdr m = {.msg_iov = &iov,
                     .msg_iovlen = 1,
                     .msg_control = &control,
                     .msg_controllen = sizeof control};

  memcpy(CMSG_DATA(&control.head), &who, sizeof who);
  return sendmsg(fd, &m, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static int receive_pidfd(int fd) {
  union {
    struct cmsghdr head;
    char space[256];
  } control;
  struct iovec iov = {(char[1]){0}, 1};
  struct msghdr m = {.msg_iov = &iov,
                     .msg_iovlen = 1,
                     .msg_control = &control,
                     .msg_controllen = sizeof control};
  struct cmsghdr *c;
  int pidfd = -1;

  memset(&control, 0, sizeof control);
  if (recvmsg(fd, &m, MSG_CMSG_CLOEXEC) < 0)
    return -1;
  errno = ESRCH;
  for (c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == PIDFD)
      memcpy(&pidfd, CMSG_DATA(c), sizeof pidfd);
  if (pidfd < -1) {
    errno = -pidfd;
    pidfd = -1;
  }
  return pidfd;
}

static long pidfd_open(pid_t pid) {
  int pair[2], yes = 1, pidfd = -1, why;

  if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) < 0)
    return -1;
  if (setsockopt(pair[1], SOL_SOCKET, PASS_PIDFD, &yes, sizeof yes) == 0 &&
      send_name(pair[0], pid) == 0)
    pidfd = receive_pidfd(pair[1]);
  why = errno;
  close(pair[0]);
  close(pair[1]);
  errno = why;
  return pidfd;
}

static long pidfd_send_signal(int pidfd, int sig) {
  char path[40], line[100];
  int pid = 0;
  FILE *file;

  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
  file = fopen(path, "re");
  if (!file) {
    errno = EBADF;
    return -1;
  }
  while (fgets(line, sizeof line, file) && sscanf(line, "Pid: %d", &pid) != 1)
    ;
  fclose(file);
  if (pid > 0)
    return kill(pid, sig);
  errno = pid ? ESRCH : EBADF;
  return -1;
}

__attribute__((visibility("default"))) long syscall(long number, ...) {
  static long (*next)(long, ...);
  long a[6];
  va_list list;
  int i;

  va_start(list, number);
  for (i = 0; i < 6; i++)
    a[i] = va_arg(list, long);
  va_end(list);
  switch (number) {
  case PIDFD_OPEN:
    return pidfd_open((pid_t)a[0]);
  case PIDFD_SEND_SIGNAL:
    return pidfd_send_signal((int)a[0], (int)a[1]);
  case FUTEX_WAITV:
    errno = ENOSYS;
    return -1;
  default:
    if (!next)
      *(void **)&next = dlsym(RTLD_NEXT, "syscall");
    return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  }
}
