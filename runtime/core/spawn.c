/* spawn.c -- owns the start of a new program: a child plan as data, and one
 * vfork-class clone, so that the parent's size does not matter.
 *
 * The child shares the parent's memory until exec: between clone and exec it
 * makes system calls on data prepared before, and nothing else.  What went
 * wrong comes back in the plan.  The ticket on the command line says which
 * descriptors and which seat are its own; the work itself waits in the arena.
 */
#include "mp.h"

#include "fault.h"
#include "launch.h"
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARGS 64
#define STACK (64u << 10)

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define CLOEXEC_RANGE 4 /* CLOSE_RANGE_CLOEXEC */

struct plan {
  const struct mp__slot *slot;
  const char *path; /* the file to run */
  const char *argv[ARGS + 1];
  char ticket[96];
  int fd[4];     /* to be inherited; -1: none */
  sigset_t mask; /* the caller's, to be put back in the parent */
  int error;     /* 0, or what stopped the child before exec */
};

/* Everything above 2 that is not the family's stays behind, whoever opened
 * it. */
static void close_on_exec(void) {
  int fd;

  if (syscall(SYS_close_range, 3, ~0u, CLOEXEC_RANGE) == 0)
    return;
  for (fd = 3; fd < 4096; fd++)
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void default_signals(const struct mp__slot *s) {
  struct sigaction dfl;
  sigset_t set;
  int sig;

  memset(&dfl, 0, sizeof dfl);
  dfl.sa_handler = SIG_DFL;
  for (sig = 1; sig < 65; sig++)
    (void)sigaction(sig, &dfl, NULL);
  (void)sigemptyset(&set);
  if (s->flags & MP_PROC_QUIET)
    (void)sigaddset(&set, SIGINT);
  (void)sigprocmask(SIG_SETMASK, &set, NULL);
}

/* Its value is the exit code: it must not call what never returns, for the
 * address sanitizer would then look for the end of a stack it does not know. */
static int child(void *arg) {
  struct plan *p = arg;
  int null;
  int i;

  if (mp__start_tie(p->slot) < 0)
    return 1;
  default_signals(p->slot);
  close_on_exec();
  for (i = 0; i < 4; i++)
    if (p->fd[i] >= 0 && mp__sys_inherit(p->fd[i]) < 0)
      return p->error = EBADF;
  null = open("/dev/null", O_RDONLY);
  if (null > 0) {
    (void)dup2(null, 0);
    (void)close(null);
  }
  (void)execv(p->path, (char *const *)(uintptr_t)p->argv);
  p->error = errno;
  return 127;
}

static int fill(struct plan *p, const char *const *argv, int sock) {
  int n;

  p->fd[0] = mp__here.memfd;
  p->fd[1] = mp__here.vault[0];
  p->fd[2] = mp__here.vault[1];
  p->fd[3] = sock;
  (void)snprintf(p->ticket, sizeof p->ticket, "%d,%d,%d,%d,%u,%llu", p->fd[0],
                 p->fd[1], p->fd[2], sock, mp__slot_index(p->slot),
                 (unsigned long long)p->slot->gen);
  p->path = *argv++;
  for (n = 0; argv[n]; n++) {
    if (n == ARGS)
      return -E2BIG;
    p->argv[n] = strcmp(argv[n], "%d") == 0 ? p->ticket : argv[n];
  }
  p->argv[n] = NULL;
  return 0;
}

/* clone(2) with a stack of its own; the caller sleeps until exec. */
static int clone_and_exec(struct plan *p, uint32_t *pid) {
  char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  sigset_t all;
  int rc;

  if (stack == MAP_FAILED)
    return -errno;
  (void)sigfillset(&all);
  (void)pthread_sigmask(SIG_BLOCK, &all, &p->mask);
  rc = clone(child, stack + STACK, CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID,
             p, pid);
  if (rc < 0)
    rc = -errno;
  (void)pthread_sigmask(SIG_SETMASK, &p->mask, NULL);
  (void)munmap(stack, STACK);
  return rc;
}

int mp__spawn(struct mp__slot *s, const char *const *argv, int sock) {
  struct plan p;
  int status;
  int rc;

  memset(&p, 0, sizeof p);
  p.slot = s;
  rc = fill(&p, argv, sock);
  if (rc == 0)
    rc = mp__start_prepare(s, MP_SPAWN);
  if (rc < 0)
    return rc;
  rc = clone_and_exec(&p, &s->pid);
  if (rc > 0 && p.error) {
    while (mp__sys_wait(rc, 0, MP__WAIT, &status) == -EINTR)
      ;
    rc = -p.error;
  }
  if (rc < 0) {
    mp__store32_rel(&s->pid, 0);
    mp__start_undo(s);
    return rc;
  }
  mp__child_note(s);
  return 0;
}

int mp_proc_spawn(mp_ref p, const char *const *argv) {
  return mp__spawn(mp__at(MP_REF_ID(p)), argv, -1);
}
