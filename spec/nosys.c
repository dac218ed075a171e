/* nosys.c -- nosys NAME[,NAME...] program [args]
 *
 * Runs a program for which these system calls do not exist, as on an older
 * kernel: a filter answers ENOSYS, for its children, too.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST = 16 };

static const struct {
  const char *name;
  unsigned number;
} calls[] = {
    {"memfd_create", SYS_memfd_create},
    {"pidfd_open", 434},
    {"pidfd_send_signal", 424},
    {"clone3", 435},
    {"close_range", 436},
    {"futex_waitv", 449},
};

static unsigned number_of(const char *name) {
  size_t i;

  for (i = 0; i < sizeof calls / sizeof *calls; i++)
    if (strcmp(calls[i].name, name) == 0)
      return calls[i].number;
  fprintf(stderr, "nosys: %s is not in the list\n", name);
  exit(2);
}

int main(int argc, char **argv) {
  struct sock_filter code[2 * MOST + 2];
  unsigned short n = 0;
  struct sock_fprog filter;
  char *word;

  if (argc < 3)
    return 2;
  code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                           offsetof(struct seccomp_data, nr));
  for (word = strtok(argv[1], ","); word && n < 2 * MOST;
       word = strtok(NULL, ",")) {
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                             number_of(word), 0, 1);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
                                             SECCOMP_RET_ERRNO | ENOSYS);
  }
  code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  filter = (struct sock_fprog){n, code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0) {
    perror("nosys");
    return 77;
  }
  execvp(argv[2], argv + 2);
  perror(argv[2]);
  return 127;
}
