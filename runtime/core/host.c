/* host.c -- owns what a start needs to know of the program around us. */
#include "mp.h"

#include "arena.h"
#include "bare.h"
#include "launch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int mp_getcwd(char *to, size_t cap) {
  return getcwd(to, cap) ? 0 : -errno;
}

int mp_chdir(const char *path) {
  return (int)mp__bare(SYS_chdir, (long)(uintptr_t)path, 0, 0, 0);
}

/* The file itself, also when it was replaced or deleted since: execve of the
 * link in /proc starts what runs now. */
int mp_program(char *to, size_t cap) {
  ssize_t n = readlink("/proc/self/exe", to, cap - 1);

  if (n < 0)
    return -errno;
  to[n] = '\0';
  return 0;
}

int mp_is_program(const char *path) {
  return access(path, X_OK) == 0;
}

int mp_authkey(unsigned char key[32]) {
  int rc = mp_enter();

  if (rc == 0)
    memcpy(key, MP__HEAD->authkey, 32);
  return rc;
}

MP__NEAR void mp__heed_interrupt(void) {
  uint64_t set = (uint64_t)1 << (SIGINT - 1); /* as the kernel has it */

  (void)mp__bare(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)(uintptr_t)&set, 0,
                 sizeof set);
}

/* For a worker: Ctrl-C reaches the whole group, and its owner sees to it. */
void mp_ignore_interrupt(void) {
  struct sigaction sa;

  memset(&sa, 0, sizeof sa);
  sa.sa_handler = SIG_IGN;
  (void)sigaction(SIGINT, &sa, NULL);
  mp__heed_interrupt();
}

int mp_terminal_width(void) {
  struct winsize size;

  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0)
    return 0;
  return size.ws_col > 0 ? size.ws_col : 80;
}
