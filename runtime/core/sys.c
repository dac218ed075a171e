/* sys.c -- owns the plain system calls: EINTR, close-on-exec, the clock.
 *
 * Those on streams are in sys_sock.c, those on processes in sys_proc.c.
 */
#include "mp.h"

#include "atomic.h"
#include "bare.h"
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

#define PAGE 4096
#define AROUND 65536 /* bytes that one page fault maps, if they are there */
#define STACK_ROOM ((uint64_t)1 << 30) /* beside its limit, which may rise */
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

/* What is left until the deadline, as ppoll wants it; NULL for MP_FOREVER. */
static struct timespec *left_of(struct timespec *ts, int64_t deadline) {
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

MP__NEAR void mp__sys_close(int fd) {
  if (fd >= 0)
    (void)mp__bare(SYS_close, fd, 0, 0, 0);
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

int mp__sys_pipe(int fd[2]) {
  if (pipe2(fd, O_CLOEXEC) < 0)
    return -errno;
  return high_pair(fd);
}

void mp__sys_end_writing(int sock) {
  (void)shutdown(sock, SHUT_WR);
}

int mp__sys_eventfd(unsigned initial) {
  return mp__sys_high(eventfd(initial, EFD_CLOEXEC | EFD_NONBLOCK));
}

int mp__sys_epoll(void) {
  return mp__sys_high(epoll_create1(EPOLL_CLOEXEC));
}

int mp__sys_epoll_add(int ep, int fd) {
  return mp__sys_epoll_tag(ep, fd, 0);
}

int mp__sys_epoll_tag(int ep, int fd, uint64_t tag) {
  struct epoll_event e = {.events = EPOLLIN, .data.u64 = tag};

  return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

#define READY_MAX 64

int mp__sys_epoll_ready(int ep, uint64_t *tags, unsigned n) {
  struct epoll_event e[READY_MAX];
  int rc, i;

  do
    rc = epoll_wait(ep, e, (int)(n < READY_MAX ? n : READY_MAX), 0);
  while (rc < 0 && errno == EINTR);
  for (i = 0; i < rc; i++)
    tags[i] = e[i].data.u64;
  return rc < 0 ? -errno : rc;
}

int mp__sys_replace(int fd, int by) {
  int rc = dup3(by, fd, O_CLOEXEC) < 0 ? -errno : 0;

  mp__sys_close(by);
  return rc;
}

void mp__sys_epoll_del(int ep, int fd) {
  (void)epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL);
}

/* It can only grow: nobody's mapping can be cut (SIGBUS). */
int mp__sys_memfd(const char *name) {
  int fd = mp__sys_high(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));

  if (fd >= 0)
    (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
  return fd;
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

MP__NEAR int64_t mp__sys_send(int sock, const void *from, size_t n) {
  struct iovec iov = {(void *)(uintptr_t)from, n};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
  long rc;

  do
    rc = mp__bare(SYS_sendmsg, sock, (long)(uintptr_t)&m, MSG_NOSIGNAL, 0);
  while (rc == -EINTR);
  return rc;
}

/* What stdio has buffered.  Both only read: a call of fflush or __fpurge that
 * finds nothing to do still writes to pages that a fork has made shared.  With
 * other threads, or another C library, they say 1. */
#ifdef __GLIBC__
extern FILE *_IO_list_all __attribute__((weak));

static int unflushed(void) {
  const FILE *f;

  if (!&_IO_list_all || !mp__sys_single())
    return 1;
  for (f = _IO_list_all; f; f = f->_chain)
    if (f->_mode > 0 || f->_IO_write_ptr > f->_IO_write_base)
      return 1;
  return 0;
}

static int read_ahead(void) {
  return stdin->_mode > 0 || stdin->_IO_read_ptr != stdin->_IO_read_end;
}
#else
static int unflushed(void) {
  return 1;
}

static int read_ahead(void) {
  return 1;
}
#endif

MP__NEAR void mp__sys_flush(void) {
  if (unflushed())
    (void)fflush(NULL);
}

MP__NEAR void mp__sys_exit(int code) {
  for (;;)
    (void)mp__bare(SYS_exit_group, code, 0, 0, 0);
}

/* /dev/null, kept open from the first fork on, or -1: a child opens nothing
 * then, and finds it for children of its own. */
static uint32_t null_fd = (uint32_t)-1;

/* Whoever closes descriptors that he did not open may have closed this. */
static int is_null(int fd) {
  struct stat st;

  return fd >= 0 && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) &&
         st.st_rdev == makedev(1, 3);
}

static int open_null(void) {
  int low = open("/dev/null", O_RDONLY | O_CLOEXEC);
  int fd;

  if (low < 0 || low > 2)
    return low;
  fd = fcntl(low, F_DUPFD_CLOEXEC, 3); /* the low ones are the host's */
  close(low);
  return fd;
}

void mp__sys_null_ready(void) {
  uint32_t old = mp__load32_rlx(&null_fd);
  int fd;

  if (is_null((int)old))
    return;
  fd = open_null();
  if (fd >= 0 && !mp__cas32_seq(&null_fd, &old, (uint32_t)fd))
    close(fd); /* another thread has been faster */
}

void mp__sys_null_drop(void) {
  int fd = (int)mp__load32_rlx(&null_fd);

  if (is_null(fd))
    close(fd);
  mp__store32_rlx(&null_fd, (uint32_t)-1);
}

MP__NEAR void mp__sys_null_stdin(void) {
  int fd = (int)mp__load32_rlx(&null_fd);

  if (fd < 0 || mp__bare(SYS_dup3, fd, 0, 0, 0) < 0) {
    close(0);
    (void)open("/dev/null", O_RDONLY);
  }
  if (read_ahead())
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
  rc = ppoll(list, n, left_of(&ts, until), NULL);
  if (rc < 0)
    return -errno;
  return rc == 0 && until < deadline ? -EINTR : rc;
}

int mp__sys_poll1(int fd, short events, int64_t deadline) {
  struct pollfd p = {fd, events, 0};
  int rc = mp__sys_poll(&p, 1, deadline);

  return rc > 0 && p.revents & POLLNVAL ? -EBADF : rc;
}

/* Not a bare call: the memory sanitizer must know what was written. */
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

/* Memory */

void *mp__sys_map(size_t bytes) {
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  return p == MAP_FAILED ? NULL : p;
}

void mp__sys_unmap(void *p, size_t bytes) {
  (void)munmap(p, bytes);
}

/* Behind the dynamic loader, by its program headers; NULL in a program that has
 * none. */
static char *loader_end(void) {
  char *loader = (char *)(uintptr_t)getauxval(AT_BASE);
  const ElfW(Ehdr) *elf = (const void *)loader;
  const ElfW(Phdr) * part;
  size_t bytes = 0;
  int i;

  if (!loader)
    return NULL;
  part = (const void *)(loader + elf->e_phoff);
  for (i = 0; i < elf->e_phnum; i++)
    if (part[i].p_type == PT_LOAD)
      bytes = part[i].p_vaddr + part[i].p_memsz;
  return loader + bytes - (uintptr_t)(loader + bytes) % AROUND + AROUND;
}

/* The stack is above, and must have room to grow. */
void *mp__sys_beside_loader(uint64_t bytes) {
  char *end = loader_end();
  char *stack = (char *)(uintptr_t)getauxval(AT_EXECFN);
  struct rlimit lim;
  uint64_t gap;

  if (!end || stack < end || getrlimit(RLIMIT_STACK, &lim) < 0)
    return NULL;
  gap = (uint64_t)(stack - end);
  if (gap < STACK_ROOM + bytes || gap - STACK_ROOM - bytes < lim.rlim_cur)
    return NULL;
  return end;
}

void *mp__sys_fork_page(int *wiped) {
  void *p = mp__sys_map(PAGE);

  *wiped = p && madvise(p, PAGE, MADV_WIPEONFORK) == 0;
  return p;
}

uint64_t *mp__sys_robust_list(void) {
  uint64_t *head = NULL;
  size_t len = 0;

  if (syscall(SYS_get_robust_list, 0, &head, &len) < 0)
    return NULL;
  return head;
}

MP__NEAR void mp__sys_set_robust_list(void *head) {
  (void)mp__bare(SYS_set_robust_list, (long)(uintptr_t)head, 24, 0, 0);
}

uint64_t mp__sys_memory(void) {
  long pages = sysconf(_SC_PHYS_PAGES);
  long size = sysconf(_SC_PAGESIZE);

  return pages < 0 || size < 0 ? 0 : (uint64_t)pages * (uint64_t)size;
}

int mp__sys_random(void *to, size_t n) {
  return getrandom(to, n, 0) == (ssize_t)n ? 0 : -EIO;
}
