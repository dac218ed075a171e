/* sys.c -- owns every plain system call: EINTR, close-on-exec, the clock. */
#include "mp.h"

#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/single_threaded.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

#define SECOND 1000000000
#define SLICE_NS (SECOND / 4) /* the longest poll without a look around */

/* Time */

int64_t mp_now(void) {
  struct timespec ts;

  (void)clock_gettime(CLOCK_MONOTONIC, &ts);
  return (int64_t)ts.tv_sec * SECOND + ts.tv_nsec;
}

int64_t mp_deadline(double seconds) {
  int64_t now;

  if (!(seconds > 0))
    return MP_NOW;
  now = mp_now();
  if (seconds >= (double)(INT64_MAX - now) / SECOND)
    return MP_FOREVER;
  return now + (int64_t)ceil(seconds * SECOND);
}

struct timespec *mp__sys_left(struct timespec *ts, int64_t deadline) {
  int64_t left;

  if (deadline == MP_FOREVER)
    return NULL;
  left = deadline == MP_NOW ? 0 : deadline - mp_now();
  if (left < 0)
    left = 0;
  ts->tv_sec = (time_t)(left / SECOND);
  ts->tv_nsec = (long)(left % SECOND);
  return ts;
}

/* Descriptors */

void mp__sys_close(int fd) {
  int keep = errno;

  if (fd >= 0)
    (void)close(fd);
  errno = keep;
}

/* A host may run with 0, 1 or 2 closed; what lands there would be written to
 * by whoever prints. */
int mp__sys_high(int fd) {
  int high;

  if (fd < 0)
    return -errno;
  if (fd > 2)
    return fd;
  high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (high < 0)
    high = -errno;
  mp__sys_close(fd);
  return high;
}

int mp__sys_dup(int fd) {
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

  return copy < 0 ? -errno : copy;
}

static int high_pair(int fd[2]) {
  int i;

  for (i = 0; i < 2; i++) {
    int rc = mp__sys_high(fd[i]);

    if (rc < 0) {
      mp__sys_close(fd[!i]);
      fd[0] = fd[1] = -1;
      return rc;
    }
    fd[i] = rc;
  }
  return 0;
}

int mp__sys_socketpair(int fd[2]) {
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
    return -errno;
  return high_pair(fd);
}

int mp__sys_seqpacket(int fd[2]) {
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) < 0)
    return -errno;
  return high_pair(fd);
}

int mp__sys_eventfd(unsigned initial) {
  return mp__sys_high(eventfd(initial, EFD_CLOEXEC | EFD_NONBLOCK));
}

int mp__sys_epoll(void) {
  return mp__sys_high(epoll_create1(EPOLL_CLOEXEC));
}

int mp__sys_epoll_add(int ep, int fd) {
  struct epoll_event e = {.events = EPOLLIN};

  return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

int mp__sys_replace(int fd, int by) {
  int rc = dup3(by, fd, O_CLOEXEC) < 0 ? -errno : 0;

  mp__sys_close(by);
  return rc;
}

void mp__sys_epoll_del(int ep, int fd) {
  (void)epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL);
}

int mp__sys_memfd(const char *name) {
  return mp__sys_high(memfd_create(name, MFD_CLOEXEC));
}

int mp__sys_fallocate(int fd, uint64_t off, uint64_t len) {
  int rc;

  do
    rc = fallocate(fd, 0, (off_t)off, (off_t)len);
  while (rc < 0 && errno == EINTR);
  return rc < 0 ? -errno : 0;
}

void mp__sys_punch(int fd, uint64_t off, uint64_t len) {
  (void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
                  (off_t)len);
}

uint64_t mp__sys_inode(int fd) {
  struct stat st;

  return fstat(fd, &st) < 0 ? 0 : (uint64_t)st.st_ino;
}

int mp__sys_inherit(int fd) {
  return fcntl(fd, F_SETFD, 0) < 0 ? -errno : 0;
}

int mp__sys_cloexec(int fd) {
  return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

int64_t mp__sys_send(int sock, const void *from, size_t n) {
  ssize_t rc;

  do
    rc = send(sock, from, n, MSG_NOSIGNAL);
  while (rc < 0 && errno == EINTR);
  return rc < 0 ? -errno : rc;
}

void mp__sys_null_stdin(void) {
  /* Bare calls: in a fresh child each function of the C library that nobody
   * has called there is a page fault. */
  long fd = syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC);

  if (fd > 0) {
    (void)syscall(SYS_dup3, fd, 0, 0);
    (void)syscall(SYS_close, fd);
  }
  __fpurge(stdin);
}

/* In slices: a signal that came just before the call has woken nobody, and
 * the caller is to look for it soon. */
int mp__sys_poll(struct pollfd *list, unsigned n, int64_t deadline) {
  int64_t until = deadline;
  struct timespec ts;
  int rc;

  if (deadline > MP_NOW) {
    until = mp_now() + SLICE_NS;
    if (until > deadline)
      until = deadline;
  }
  rc = ppoll(list, n, mp__sys_left(&ts, until), NULL);
  if (rc < 0)
    return -errno;
  return rc == 0 && until < deadline ? -EINTR : rc;
}

int mp__sys_poll1(int fd, short events, int64_t deadline) {
  struct pollfd p = {fd, events, 0};
  int rc = mp__sys_poll(&p, 1, deadline);

  return rc > 0 && p.revents & POLLNVAL ? -EBADF : rc;
}

int64_t mp__sys_read(int fd, void *to, size_t n) {
  ssize_t rc;

  do
    rc = read(fd, to, n);
  while (rc < 0 && errno == EINTR);
  return rc < 0 ? -errno : rc;
}

int64_t mp__sys_write(int fd, const void *from, size_t n) {
  ssize_t rc;

  do
    rc = write(fd, from, n);
  while (rc < 0 && errno == EINTR);
  return rc < 0 ? -errno : rc;
}

/* As much as the limit allows; past it only with the privilege. */
int mp__sys_sndbuf(int sock, int bytes) {
  socklen_t len = sizeof bytes;

  if (setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0)
    (void)setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  if (getsockopt(sock, SOL_SOCKET, SO_SNDBUF, &bytes, &len) < 0)
    return -errno;
  return bytes / 2; /* the kernel doubles what it is asked for */
}

int mp__sys_queued(int fd) {
  int n = 0;

  return ioctl(fd, FIONREAD, &n) < 0 ? -errno : n;
}

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

int64_t mp__sys_sendv(int sock, const struct mp_iov *iov, unsigned n) {
  struct msghdr m = {.msg_iovlen = n};
  ssize_t rc;

  m.msg_iov = (struct iovec *)(uintptr_t)iov;
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

/* Processes */

int mp__sys_getpid(void) {
  return getpid();
}

uint64_t mp__sys_ids(void) {
  return (uint64_t)geteuid() << 32 | (uint64_t)getegid();
}

int mp__sys_gettid(void) {
  return (int)syscall(SYS_gettid);
}

void mp__sys_yield(void) {
  (void)sched_yield();
}

void mp__sys_kill_self(void) {
  (void)kill(getpid(), SIGKILL);
}

/* The fields of /proc/PID/stat behind the name, which may hold anything. */
static int read_stat(int pid, char *buf, size_t cap, char **fields) {
  char path[40];
  int64_t n;
  int fd;

  (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
  fd = mp__sys_high(open(path, O_RDONLY | O_CLOEXEC));
  if (fd < 0)
    return fd;
  n = mp__sys_read(fd, buf, cap - 1);
  mp__sys_close(fd);
  if (n <= 0)
    return -ESRCH;
  buf[n] = '\0';
  *fields = strrchr(buf, ')');
  return *fields ? 0 : -ESRCH;
}

/* The n-th field, as proc(5) counts them. */
static uint64_t stat_field(const char *fields, int n) {
  int i;

  for (i = 2; i < n && fields; i++)
    fields = strchr(fields + 1, ' ');
  return fields ? strtoull(fields + 1, NULL, 10) : 0;
}

int mp__sys_procstat(int pid, char *state, uint64_t *start_time) {
  char buf[1024];
  char *f;
  int rc = read_stat(pid, buf, sizeof buf, &f);

  if (rc < 0)
    return rc;
  *state = f[2];
  *start_time = stat_field(f, 22);
  return 0;
}

/* The wait status of a process that somebody else has yet to wait for. */
int mp__sys_exit_status(int pid, uint64_t born, int *status) {
  char buf[1024];
  char *f;
  int rc = read_stat(pid, buf, sizeof buf, &f);

  if (rc < 0)
    return rc;
  if (f[2] != 'Z' || (born && stat_field(f, 22) > born))
    return -ESRCH;
  *status = (int)stat_field(f, 52);
  return 0;
}

uint64_t mp__sys_ticks(void) {
  struct timespec ts;
  static uint64_t hz; /* the same whoever writes it */

  if (hz == 0)
    hz = (uint64_t)sysconf(_SC_CLK_TCK);
  (void)clock_gettime(CLOCK_BOOTTIME, &ts);
  return (uint64_t)ts.tv_sec * hz + (uint64_t)ts.tv_nsec * hz / SECOND;
}

int mp__sys_threads(void) {
  char buf[1024];
  char *f;

  if (__libc_single_threaded)
    return 1;
  if (read_stat(getpid(), buf, sizeof buf, &f) < 0)
    return -1;
  return (int)stat_field(f, 20);
}

int mp__sys_pidfd_open(int pid) {
  return mp__sys_high((int)syscall(SYS_pidfd_open, pid, 0));
}

int mp__sys_pidfd_signal(int pidfd, int sig) {
  return syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

/* Linux 6.15 keeps the status of the dead for those who hold a pidfd. */
struct pidfd_info {
  uint64_t mask;
  uint64_t cgroupid;
  uint32_t ids[11];
  int32_t exit_code;
};
#define PIDFD_GET_INFO _IOWR(0xFF, 11, struct pidfd_info)
#define PIDFD_INFO_EXIT 8

int mp__sys_pidfd_status(int pidfd, int *status) {
  struct pidfd_info info;

  memset(&info, 0, sizeof info);
  info.mask = PIDFD_INFO_EXIT;
  if (ioctl(pidfd, PIDFD_GET_INFO, &info) < 0)
    return -errno;
  if (!(info.mask & PIDFD_INFO_EXIT))
    return -ESRCH;
  *status = info.exit_code;
  return 0;
}

int mp__sys_tgkill(int pid, int tid, int sig) {
  return syscall(SYS_tgkill, pid, tid, sig) < 0 ? -errno : 0;
}

int mp__sys_wait(int pid, int block, int *status) {
  pid_t rc = waitpid(pid, status, __WALL | (block ? 0 : WNOHANG));

  return rc < 0 ? -errno : rc > 0;
}

int mp__sys_affinity(void) {
  cpu_set_t set;

  return sched_getaffinity(0, sizeof set, &set) < 0 ? 1 : CPU_COUNT(&set);
}

#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS 40
#endif

/* The C library keeps the thread's id, and gives the kernel the address; a
 * child made behind its back must have it set anew. */
int mp__sys_clone(uint64_t flags, uint32_t *pid) {
  struct clone_args a;
  int *tid = NULL;
  long rc;

  if (prctl(PR_GET_TID_ADDRESS, &tid, 0, 0, 0) < 0 || !tid ||
      *tid != mp__sys_gettid())
    return -ENOSYS;
  memset(&a, 0, sizeof a);
  a.flags =
      flags | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
  a.parent_tid = (uint64_t)(uintptr_t)pid;
  a.child_tid = (uint64_t)(uintptr_t)tid;
  rc = syscall(SYS_clone3, &a, sizeof a);
  return rc < 0 ? -errno : (int)rc;
}

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

int mp__sys_wait_fd(int pidfd, int block, int *status) {
  siginfo_t si;

  si.si_pid = 0;
  if (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &si,
             WEXITED | __WALL | (block ? 0 : WNOHANG)) < 0)
    return -errno;
  *status = si.si_code == CLD_EXITED ? si.si_status << 8 : si.si_status;
  return si.si_pid != 0;
}

/* Memory */

void *mp__sys_map(size_t bytes) {
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  return p == MAP_FAILED ? NULL : p;
}

void mp__sys_unmap(void *p, size_t bytes) {
  (void)munmap(p, bytes);
}

void *mp__sys_fork_page(void) {
  void *p = mp__sys_map(4096);

  if (p)
    (void)madvise(p, 4096, MADV_WIPEONFORK);
  return p;
}

int64_t *mp__sys_robust_list(void) {
  int64_t *head = NULL;
  size_t len = 0;

  if (syscall(SYS_get_robust_list, 0, &head, &len) < 0)
    return NULL;
  return head;
}

void mp__sys_set_robust_list(void *head) {
  (void)syscall(SYS_set_robust_list, head, (size_t)24);
}

int mp__sys_random(void *to, size_t n) {
  return getrandom(to, n, 0) == (ssize_t)n ? 0 : -EIO;
}
