/* sys_proc.c -- owns the system calls on processes. */
#include "mp.h"

#include "bare.h"
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#define SECOND 1000000000

MP__NEAR int mp__sys_getpid(void) {
  return (int)mp__bare(SYS_getpid, 0, 0, 0, 0);
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

void mp__sys_damaged(const char *what) {
  static const char says[] = "luamp: the family's shared memory is damaged: ";
  struct iovec part[] = {{(void *)(uintptr_t)says, sizeof says - 1},
                         {(void *)(uintptr_t)what, strlen(what)},
                         {(void *)(uintptr_t) "\n", 1}};

  (void)!writev(2, part, 3);
  abort();
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

  if (mp__sys_single())
    return 1;
  if (read_stat(getpid(), buf, sizeof buf, &f) < 0)
    return -1;
  return (int)stat_field(f, 20);
}

int mp__sys_pidfd_open(int pid) {
  return mp__sys_high((int)syscall(SYS_pidfd_open, pid, 0));
}

/* Can processes be held and signalled here at all? */
int mp__sys_probe(void) {
  int fd = mp__sys_pidfd_open(mp__sys_getpid());
  int rc = fd < 0 ? fd : mp__sys_pidfd_signal(fd, 0);

  mp__sys_close(fd);
  return rc;
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
  if (syscall(SYS_ioctl, pidfd, PIDFD_GET_INFO, &info) < 0)
    return -errno;
  if (!(info.mask & PIDFD_INFO_EXIT))
    return -ESRCH;
  *status = info.exit_code;
  return 0;
}

int mp__sys_tgkill(int pid, int tid, int sig) {
  return syscall(SYS_tgkill, pid, tid, sig) < 0 ? -errno : 0;
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

/* The C library keeps the thread's id; a child made behind its back must have
 * it set anew.  glibc's is where the kernel has been told to clear a word at
 * the thread's end; musl's lies before errno, and the word is another,
 * or none.  NULL: in neither place. */
static int *thread_id(int *cleared) {
  int *before_errno = &errno - 1;
  int id = mp__sys_gettid();

  if (cleared && *cleared == id)
    return cleared;
  return *before_errno == id ? before_errno : NULL;
}

MP__NEAR int mp__sys_clone(uint64_t flags, uint32_t *pid) {
  struct clone_args a;
  int *cleared = NULL;
  int *tid;
  long rc;

  if (prctl(PR_GET_TID_ADDRESS, &cleared, 0, 0, 0) < 0)
    return -ENOSYS;
  tid = thread_id(cleared);
  if (!tid)
    return -ENOSYS;
  memset(&a, 0, sizeof a);
  a.flags =
      flags | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
  a.parent_tid = (uint64_t)(uintptr_t)pid;
  a.child_tid = (uint64_t)(uintptr_t)tid;
  rc = mp__bare(SYS_clone3, (long)(uintptr_t)&a, sizeof a, 0, 0);
  /* The address of the id is the fourth argument or the fifth; the other is
   * that of a thread's memory, which is not asked for. */
  if (rc == -ENOSYS || rc == -EPERM) { /* a filter that knows it not */
    rc = syscall(SYS_clone, (long)a.flags, 0L, pid, tid, tid);
    if (rc < 0)
      rc = -errno;
  }
  if (rc == 0 && tid != cleared)
    (void)mp__bare(SYS_set_tid_address, (long)(uintptr_t)cleared, 0, 0, 0);
  return (int)rc;
}
