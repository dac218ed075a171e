/* start.c -- starting and joining processes and threads, and what an
 * idle child costs.
 *
 * Those that fork hold a Lua state as large as luamp's with `mp` loaded:
 * run.lua asks luamp for its size and passes it in BENCH_HEAP_KIB.
 */
#include "floor.h"

#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lauxlib.h>

extern char **environ;

#define WARMUPS 5

/* --- what the parent holds --- */

/* Keep small tables and strings, as a program does, up to the size asked. */
static void host_state(void) {
  const char *size = getenv("BENCH_HEAP_KIB");
  lua_State *L = floor_state();

  lua_pushnumber(L, size != NULL ? strtod(size, NULL) : 200);
  lua_setglobal(L, "size");
  if (luaL_dostring(L, "held = {} "
                       "while collectgarbage('count') < size do "
                       "  held[#held + 1] = {name = 'n' .. #held} "
                       "end"))
    floor_die(lua_tostring(L, -1));
}

static void hold_gib(void) {
  size_t len = (size_t)1 << 30;
  char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                 -1, 0);

  floor_must(p != MAP_FAILED, "mmap of 1 GiB");
  for (size_t i = 0; i < len; i += 4096)
    p[i] = 1;
}

/* --- start+join: `once` n times in a row --- */

static double rate(void (*once)(void), long n) {
  double begin;

  n = floor_count(n);
  for (int i = 0; i < WARMUPS; i++)
    once();
  begin = floor_now();
  for (long i = 0; i < n; i++)
    once();
  return (double)n / (floor_now() - begin);
}

static void nothing(void *arg) {
  (void)arg;
}

static void fork_once(void) {
  floor_join(floor_child(nothing, NULL));
}

static void spawn_once(void) {
  static char *const argv[] = {"lua5.4", "-e", "", NULL};
  pid_t pid;

  if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) != 0)
    floor_die("cannot spawn lua5.4");
  floor_join(pid);
}

static void *thread_main(void *arg) {
  lua_close(floor_state());
  return arg;
}

static void thread_once(void) {
  pthread_t t;

  if (pthread_create(&t, NULL, thread_main, NULL) != 0)
    floor_die("cannot start a thread");
  pthread_join(t, NULL);
}

/* The fork server: a byte asks for a child, its status is the answer. */

static int server_fd;

static void serve(void *arg) {
  int fd = *(int *)arg;
  int status;
  char c;

  while (read(fd, &c, 1) == 1) {
    pid_t pid = floor_child(nothing, NULL);

    floor_must(waitpid(pid, &status, 0) == pid, "waitpid");
    floor_must(write(fd, &status, sizeof status) == sizeof status, "write");
  }
}

static void server_start(void) {
  int fd[2];

  floor_must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == 0,
             "socketpair");
  if (fork() == 0) {
    close(fd[0]);
    host_state();
    serve(&fd[1]);
    _exit(0);
  }
  close(fd[1]);
  server_fd = fd[0];
}

static void server_once(void) {
  int status;

  floor_must(write(server_fd, "f", 1) == 1, "write to the server");
  floor_must(read(server_fd, &status, sizeof status) == sizeof status,
             "read from the server");
  if (status != 0)
    floor_die("a child failed");
}

static double start_fork(void) {
  host_state();
  return rate(fork_once, 2000);
}

static double start_fork_big(void) {
  host_state();
  hold_gib();
  return rate(fork_once, 20);
}

static double start_spawn(void) {
  return rate(spawn_once, 600);
}

static double start_spawn_big(void) {
  hold_gib();
  return rate(spawn_once, 600);
}

static double start_server(void) {
  server_start();
  return rate(server_once, 2500);
}

static double start_server_big(void) {
  server_start();
  hold_gib();
  return rate(server_once, 2500);
}

static double start_thread(void) {
  return rate(thread_once, 4000);
}

/* --- a whole program --- */

static double run_program(char **argv) {
  double begin = floor_now();
  pid_t pid;

  if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) != 0)
    floor_die("cannot spawn the command");
  floor_join(pid);
  return floor_now() - begin;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;

  return (x > y) - (x < y);
}

#define TIMES 200

/* The median of each, taken in turns, so that both see the same weather; a
 * slow program runs for two seconds, and at least five times.
 */
double floor_us_of(char **argv) {
  static double time[TIMES], base_time[TIMES];
  double begin = floor_now();
  long n = floor_count(TIMES);
  long i;
  char **base = argv;

  while (*base != NULL && strcmp(*base, "--") != 0)
    base++;
  if (*base != NULL)
    *base++ = NULL;
  else
    base = NULL;
  if (n > TIMES)
    n = TIMES;
  for (i = 0; i < n && (i < 5 || floor_now() - begin < 2); i++) {
    time[i] = run_program(argv);
    if (base != NULL)
      base_time[i] = run_program(base);
  }
  qsort(time, (size_t)i, sizeof *time, by_value);
  qsort(base_time, (size_t)i, sizeof *time, by_value);
  return (time[i / 2] - base_time[i / 2]) * 1e6;
}

/* --- the private memory of an idle child, KiB --- */

static double private_kib(pid_t pid) {
  char path[64], line[256];
  double sum = 0;
  long kib;
  FILE *f;

  snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
  f = fopen(path, "r");
  floor_must(f != NULL, path);
  while (fgets(line, sizeof line, f) != NULL) {
    if (sscanf(line, "Private_Clean: %ld", &kib) == 1 ||
        sscanf(line, "Private_Dirty: %ld", &kib) == 1)
      sum += (double)kib;
  }
  fclose(f);
  return sum;
}

/* A child that says it is ready and then waits on its standard input. */
static double memory_of(pid_t (*start)(int in, int out)) {
  int in[2], out[2];
  double kib;
  pid_t pid;
  char c;

  floor_must(pipe(in) == 0 && pipe(out) == 0, "pipe");
  pid = start(in[0], out[1]);
  floor_must(read(out[0], &c, 1) == 1, "read");
  usleep(100000);
  kib = private_kib(pid);
  floor_must(write(in[1], "q", 1) == 1, "write");
  floor_join(pid);
  return kib;
}

static pid_t idle_fork(int in, int out) {
  pid_t pid = fork();
  char c;

  floor_must(pid >= 0, "fork");
  if (pid > 0)
    return pid;
  _exit(write(out, "r", 1) != 1 || read(in, &c, 1) != 1);
}

static pid_t idle_spawn(int in, int out) {
  static char *const argv[] = {"lua5.4", "-e",
                               "io.write('r'):flush() io.read(1)", NULL};
  posix_spawn_file_actions_t acts;
  pid_t pid;

  posix_spawn_file_actions_init(&acts);
  posix_spawn_file_actions_adddup2(&acts, in, 0);
  posix_spawn_file_actions_adddup2(&acts, out, 1);
  if (posix_spawnp(&pid, argv[0], &acts, NULL, argv, environ) != 0)
    floor_die("cannot spawn lua5.4");
  posix_spawn_file_actions_destroy(&acts);
  return pid;
}

static double memory_fork(void) {
  host_state();
  return memory_of(idle_fork);
}

static double memory_spawn(void) {
  return memory_of(idle_spawn);
}

/* --- what a process gains by an idle thread with a Lua state, KiB --- */

#define THREADS 50

static struct floor_word parked; /* threads that wait */
static struct floor_word leave;  /* 1: they may go */

static void *park(void *arg) {
  lua_State *L = floor_state();

  floor_set(&parked, atomic_load(&parked.value) + 1);
  floor_wait_for(&leave, 1);
  lua_close(L);
  return arg;
}

static void park_one(pthread_t *t) {
  uint32_t before = atomic_load(&parked.value);

  if (pthread_create(t, NULL, park, NULL) != 0)
    floor_die("cannot start a thread");
  floor_wait_for(&parked, before + 1);
}

static double memory_thread(void) {
  pthread_t t[THREADS + 1];
  double before, kib;

  park_one(&t[THREADS]);
  before = private_kib(getpid());
  for (int i = 0; i < THREADS; i++)
    park_one(&t[i]);
  kib = (private_kib(getpid()) - before) / THREADS;
  floor_set(&leave, 1);
  for (int i = 0; i <= THREADS; i++)
    pthread_join(t[i], NULL);
  return kib;
}

const struct floor_workload floor_start[] = {
    {"start_join_fork", start_fork},
    {"start_join_spawn", start_spawn},
    {"start_join_forkserver", start_server},
    {"start_join_thread", start_thread},
    {"start_join_fork_bigparent", start_fork_big},
    {"start_join_spawn_bigparent", start_spawn_big},
    {"start_join_forkserver_bigparent", start_server_big},
    {"memory_fork", memory_fork},
    {"memory_spawn", memory_spawn},
    {"memory_forkserver", memory_fork},
    {"memory_thread", memory_thread},
    {NULL, NULL}};
