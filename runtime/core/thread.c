/* thread.c -- owns processes that are threads of this process.
 *
 * A member like any other: a seat, a life on the thread's own robust list, an
 * exit word that the thread itself writes.  It is stopped by a real-time
 * signal to that very thread, whose handler calls what the binding asked for
 * (mp_on_stop); that is the only handler of the core, and only a process that
 * starts threads has it.
 */
#include "mp.h"

#include "fault.h"
#include "futex.h"
#include "launch.h"
#include "sys.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct work {
  struct mp__slot *slot;
  int (*run)(void *arg);
  void *arg;
};

static _Thread_local void (*stop_hook)(void);
static int stop_signal; /* 0: not chosen yet; the same whoever writes it */

void mp_on_stop(void (*hook)(void)) {
  stop_hook = hook;
}

static void on_signal(int sig) {
  int keep = errno;

  (void)sig;
  if (stop_hook)
    stop_hook();
  errno = keep;
}

/* The highest real-time signal that nobody else uses. */
static int choose_signal(void) {
  struct sigaction old;
  struct sigaction sa;
  int sig;

  if (stop_signal)
    return 0;
  memset(&sa, 0, sizeof sa);
  sa.sa_handler = on_signal; /* without SA_RESTART: waits are to end */
  for (sig = SIGRTMAX - 2; sig > SIGRTMIN; sig--) {
    if (sigaction(sig, NULL, &old) < 0 || old.sa_handler != SIG_DFL)
      continue;
    if (sigaction(sig, &sa, NULL) < 0)
      return -errno;
    stop_signal = sig;
    return 0;
  }
  return -EAGAIN;
}

/* Tell of the end.  The moment the exit word is there the seat may be buried
 * and become another's, so before it the thread's own list lets go of the
 * seat, and a hold of the process's keeps it until the bell has been rung. */
static void announce(struct mp__slot *s, int code) {
  uint32_t seen = 0;
  mp_ref guard;

  mp__set_me(NULL, 1); /* from here on we act for the process */
  (void)mp_ref_dup(MP__SLOT_REF(s), &guard);
  mp__life_unlink(s);
  while (
      !mp__cas32_seq(&s->exit, &seen, MP__EXIT_FINAL | (uint32_t)(code + 256)))
    ;
  mp__futex_wake(&s->exit, INT32_MAX);
  mp__tell_end(s); /* who waits for what it holds */
  mp__bell_ring(&s->obj.bell);
  /* What the kernel does for a process: whoever sleeps on what we held. */
  if (mp__swap32_seq(&s->life.life, MP__LIFE_DIED) & MP__LIFE_WAITERS)
    mp__futex_wake(&s->life.life, INT32_MAX);
  mp_ref_close(&guard);
}

static void *thread_main(void *arg) {
  struct work w = *(struct work *)arg;
  struct mp__slot *s = w.slot;
  sigset_t set;
  int code;

  free(arg);
  mp__set_me(s, 1);
  mp__name_self(s);
  (void)mp__born(s, mp__robust_head());
  (void)sigemptyset(&set);
  (void)sigaddset(&set, stop_signal);
  (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  code = w.run(w.arg);
  stop_hook = NULL;
  (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
  mp__server_close();
  mp__block_leave();
  if (mp__load32_acq(&s->stop) == SIGTERM || s->stop == SIGKILL)
    code = -(int)s->stop;
  announce(s, code);
  return NULL;
}

#define STACK ((size_t)2 << 20) /* bytes: what C code of modules counts on */

/* As the C library makes them, but musl's 128 KiB are not for Lua. */
static void set_stack(pthread_attr_t *attr) {
  size_t bytes = 0;

  (void)pthread_attr_getstacksize(attr, &bytes);
  if (bytes < STACK)
    (void)pthread_attr_setstacksize(attr, STACK);
}

/* Threads of ours take no signals that are meant for the program. */
static int create(struct work *w) {
  pthread_attr_t attr;
  pthread_t id;
  sigset_t all;
  sigset_t mask;
  int rc;

  (void)pthread_attr_init(&attr);
  (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  set_stack(&attr);
  (void)sigfillset(&all);
  (void)pthread_sigmask(SIG_SETMASK, &all, &mask);
  rc = pthread_create(&id, &attr, thread_main, w);
  (void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
  (void)pthread_attr_destroy(&attr);
  return -rc;
}

int mp_proc_thread(mp_ref p, int (*run)(void *arg), void *arg) {
  struct mp__slot *s = mp__at(MP_REF_ID(p));
  struct work *w = malloc(sizeof *w);
  int rc = w ? choose_signal() : -ENOMEM;

  if (rc == 0)
    rc = mp__start_prepare(s, MP_THREAD);
  if (rc < 0) {
    free(w);
    return rc;
  }
  *w = (struct work){s, run, arg};
  s->stop_signal = (uint32_t)stop_signal;
  mp__store32_rel(&s->pid, (uint32_t)mp__sys_getpid());
  rc = create(w);
  if (rc < 0) {
    free(w);
    mp__store32_rel(&s->pid, 0);
    mp__start_undo(s);
  }
  return rc;
}

int mp__thread_stop(struct mp__slot *s, int sig) {
  uint32_t tid;

  if (mp__load32_acq(&s->exit) & MP__EXIT_FINAL)
    return 0;
  mp__store32_seq(&s->stop, (uint32_t)sig);
  tid = mp__load32_acq(&s->life.life) & MP__LIFE_TID;
  if (mp__load32_acq(&s->life.life) & MP__LIFE_DIED || tid == 0)
    return 0; /* over, or it looks at `stop` when it begins */
  (void)mp__sys_tgkill((int)s->pid, (int)tid, (int)s->stop_signal);
  return 0;
}

int mp_stopping(void) {
  return (int)mp__load32_acq(&mp__me()->stop);
}

void mp_stop_clear(void) {
  mp__store32_seq(&mp__me()->stop, 0);
}
