/* main.c -- floor NAME [SCALE]: run one workload, print its value.
 *
 *     floor us_of SCALE command [arg...] [-- base [arg...]]
 *
 * prints the microseconds that a command takes, less those of the base.
 */
#include "floor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lualib.h>

static double scale = 1;

_Noreturn void floor_die(const char *what) {
  fprintf(stderr, "floor: %s\n", what);
  exit(1);
}

void floor_must(int ok, const char *what) {
  if (ok)
    return;
  fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
  exit(1);
}

double floor_now(void) {
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

long floor_count(long n) {
  long scaled = (long)((double)n * scale);

  return scaled < 1 ? 1 : scaled;
}

void *floor_shared(size_t len) {
  void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                 -1, 0);

  floor_must(p != MAP_FAILED, "mmap");
  return p;
}

pid_t floor_child(void (*run)(void *), void *arg) {
  pid_t pid = fork();

  floor_must(pid >= 0, "fork");
  if (pid > 0)
    return pid;
  run(arg);
  _exit(0);
}

void floor_join(pid_t pid) {
  int status;

  floor_must(waitpid(pid, &status, 0) == pid, "waitpid");
  if (status != 0)
    floor_die("a child failed");
}

lua_State *floor_state(void) {
  lua_State *L = luaL_newstate();

  if (L == NULL)
    floor_die("no memory for a Lua state");
  luaL_openlibs(L);
  return L;
}

static const struct floor_workload *find(const char *name) {
  static const struct floor_workload *const tables[] = {
      floor_start, floor_chan, floor_net, floor_queue,
      floor_sync,  floor_cell, floor_walk};

  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
    for (const struct floor_workload *w = tables[i]; w->name != NULL; w++) {
      if (strcmp(w->name, name) == 0)
        return w;
    }
  }
  return NULL;
}

int main(int argc, char **argv) {
  const struct floor_workload *w;

  if (argc < 2)
    floor_die("usage: floor NAME [SCALE]");
  if (argc > 2)
    scale = strtod(argv[2], NULL);
  if (argc > 3 && strcmp(argv[1], "us_of") == 0) {
    printf("%.6g\n", floor_us_of(argv + 3));
    return 0;
  }
  w = find(argv[1]);
  if (w == NULL)
    floor_die("no such workload");
  printf("%.6g\n", w->run());
  return 0;
}
