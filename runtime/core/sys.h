/* sys.h -- every plain system call of the core.
 *
 * Each returns >= 0 or -errno and leaves errno out of it.  Short calls retry
 * EINTR; those with a deadline return it.  Descriptors are close-on-exec from
 * birth and never 0, 1 or 2.
 */
#ifndef MP_SYS_H
#define MP_SYS_H

#include <stddef.h>
#include <stdint.h>

struct mp_iov;
struct pollfd;

/* descriptors */
void mp__sys_close(int fd); /* total; keeps errno */
int mp__sys_high(int fd);   /* the same file under a number above 2 */
int mp__sys_socketpair(int fd[2]);
int mp__sys_seqpacket(int fd[2]);
int mp__sys_pipe(int fd[2]);        /* read, write */
void mp__sys_end_writing(int sock); /* its other side reads the end */
int mp__sys_eventfd(unsigned initial);
int mp__sys_epoll(void);
int mp__sys_epoll_add(int ep, int fd);
void mp__sys_epoll_del(int ep, int fd);
/* The same with a number that mp__sys_epoll_ready then gives. */
int mp__sys_epoll_tag(int ep, int fd, uint64_t tag);
/* The tags of up to n that are ready now; how many. */
int mp__sys_epoll_ready(int ep, uint64_t *tags, unsigned n);
int mp__sys_replace(int fd, int by); /* fd's number; `by` is closed */
int mp__sys_memfd(const char *name);
int mp__sys_fallocate(int fd, uint64_t off, uint64_t len);
void mp__sys_punch(int fd, uint64_t off, uint64_t len);
uint64_t mp__sys_inode(int fd); /* 0 when there is none */
int mp__sys_inherit(int fd);    /* survives exec */
/* Before a fork: so that the child has /dev/null at hand. */
void mp__sys_null_ready(void);
void mp__sys_null_drop(void);
void mp__sys_null_stdin(void); /* and forget what stdio has read ahead */
void mp__sys_flush(void);      /* what stdio has still to write */
/* >0 ready, 0 at the deadline, -EINTR, -errno */
int mp__sys_poll1(int fd, short events, int64_t deadline);
/* the same for n of them; who is ready says revents */
int mp__sys_poll(struct pollfd *list, unsigned n, int64_t deadline);
int64_t mp__sys_read(int fd, void *to, size_t n);
int64_t mp__sys_write(int fd, const void *from, size_t n);
int64_t mp__sys_send(int sock, const void *from, size_t n); /* no SIGPIPE */
int mp__sys_cloexec(int fd);
int mp__sys_sndbuf(int sock, int bytes); /* returns how many it became */
int mp__sys_queued(int fd);              /* bytes that wait to be read */

/* Streams that others may share, so their flags are left alone; never SIGPIPE.
 * On a socket never blocking (-EAGAIN), -ENOTSOCK for anything else.  writev
 * blocks as the descriptor does. */
int64_t mp__sys_recv(int sock, void *to, size_t n);
int mp__sys_set_naps(int sock);
/* Waits as long as mp__sys_set_naps has said, then -EAGAIN; -EINTR. */
int64_t mp__sys_recv_nap(int sock, void *to, size_t n);
int64_t mp__sys_sendv(int sock, const struct mp_iov *iov, unsigned n);
int64_t mp__sys_writev(int fd, const struct mp_iov *iov, unsigned n);

/* one descriptor with one byte over a unix socket, never blocking */
int mp__sys_send_fd(int sock, int fd);
int mp__sys_recv_fd(int sock);
int mp__sys_peek_fd(int sock, unsigned at); /* the at-th byte from the head */

/* processes */
int mp__sys_getpid(void);
uint64_t mp__sys_ids(void); /* effective user and group */
int mp__sys_gettid(void);
void mp__sys_yield(void);
void mp__sys_kill_self(void);
_Noreturn void mp__sys_exit(int code); /* at once */
/* Somebody has written where nobody should: says so, and is killed by SIGABRT
 * before more is damaged. */
_Noreturn void mp__sys_damaged(const char *what);
int mp__sys_procstat(int pid, char *state, uint64_t *start_time);
/* `born`: of a process that started no later, in ticks; 0: of any */
int mp__sys_exit_status(int pid, uint64_t born, int *status);
uint64_t mp__sys_ticks(void); /* since boot, as /proc counts them */
int mp__sys_pidfd_open(int pid);
int mp__sys_pidfd_signal(int pidfd, int sig);
/* 0, or -ENOSYS where there are no such descriptors. */
int mp__sys_probe(void);
int mp__sys_pidfd_status(int pidfd, int *status);
int mp__sys_tgkill(int pid, int tid, int sig);
int mp__sys_threads(void); /* of this process */

int mp__sys_affinity(void); /* CPUs this thread may run on */
/* cpu.c: the tightest quota of the group that the file `groups` names and of
 * those around it, below `root`; 0: none */
int mp__cpu_quota(const char *groups, const char *root);
/* glibc's fork without its exit signal; flags of clone3, *pid is written in
 * both before the child runs.  0 in the child, the pid, -ENOSYS... */
int mp__sys_clone(uint64_t flags, uint32_t *pid);

/* waiting for a child: sys_wait.c */
enum mp__wait {
  MP__WAIT_NOT,
  MP__WAIT,
  MP__WAIT_ARMED /* if no signal was handled since mp__sys_arm, else -EINTR */
};
int mp__sys_arm(void); /* 0: one cannot here */
int mp__sys_armed(void);
/* By descriptor, unless that is 0.  1 and a wait status, 0: still running;
 * -ECHILD: not ours to wait for */
int mp__sys_wait(int pid, int pidfd, enum mp__wait how, int *status);

/* named shared memory: sys_shm.c */
struct mp__file {
  uint64_t dev, ino; /* who it is */
  uint64_t size;     /* bytes */
  uint64_t backed;   /* bytes of it that have memory */
};
int mp__shm_name(const char *name); /* 0: fit for a name */
int mp__shm_new(void);
int mp__shm_open(const char *name);
int mp__shm_link(int fd, const char *name); /* -EEXIST */
int mp__shm_unlink(const char *name, uint64_t dev, uint64_t ino, int *keep);
int mp__sys_file(int fd, struct mp__file *f); /* -EINVAL: no plain file */
int mp__sys_resize(int fd, uint64_t size);
uint64_t mp__sys_room(int fd); /* bytes free in its file system */
void *mp__sys_map_file(int fd, uint64_t size); /* shared; NULL */

/* memory */
void *mp__sys_map(size_t bytes); /* private, zero; NULL */
void mp__sys_unmap(void *p, size_t bytes);
/* Where a mapping of so many bytes shares page tables with what each process
 * has, and begins where one page fault does: behind the dynamic loader's data.
 * NULL: there is no room. */
void *mp__sys_beside_loader(uint64_t bytes);
/* A page that is wiped to zero in a forked child, if the kernel says so. */
void *mp__sys_fork_page(int *wiped);
uint64_t *mp__sys_robust_list(void);
void mp__sys_set_robust_list(void *head);
int mp__sys_random(void *to, size_t n);
uint64_t mp__sys_memory(void); /* bytes the machine has; 0: unknown */

/* 1 only if no second thread was ever started; glibc counts them. */
#ifdef __GLIBC__
extern char __libc_single_threaded; /* as in sys/single_threaded.h */
#define mp__sys_single() (__libc_single_threaded != 0)
#else
#define mp__sys_single() 0
#endif

#endif
