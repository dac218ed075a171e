/* host.c -- for specs: what a host program may do around us.
 *
 * Debian has no luaposix for Lua 5.4; these are the calls that specs need, as
 * thin as they can be.  Failures give nil, message, errno.  helper.lua builds
 * it and loads it as the module "host".
 */
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#define SIGNALS 65
#define HUNG "\nwatchdog: a call does not return to Lua\n"

static int result(lua_State *L, long rc) {
  if (rc < 0)
    return luaL_fileresult(L, 0, NULL);
  lua_pushinteger(L, rc);
  return 1;
}

static int arg(lua_State *L, int i) {
  return (int)luaL_checkinteger(L, i);
}

/* Processes */

static int host_fork(lua_State *L) {
  return result(L, fork());
}

/* forkpty() -> pid, the terminal's other end: a child on a new terminal */
static int host_forkpty(lua_State *L) {
  int fd = -1;
  pid_t pid = forkpty(&fd, NULL, NULL, NULL);

  if (pid > 0)
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
  if (result(L, pid) > 1)
    return 3;
  lua_pushinteger(L, fd);
  return 2;
}

/* fork_as(pid): a child of just that pid, which sleeps until it is killed */
static int host_fork_as(lua_State *L) {
  struct clone_args args;
  pid_t pid = arg(L, 1);
  long rc;

  memset(&args, 0, sizeof args);
  args.exit_signal = SIGCHLD;
  args.set_tid = (unsigned long)&pid;
  args.set_tid_size = 1;
  rc = syscall(SYS_clone3, &args, sizeof args);
  if (rc == 0)
    for (;;)
      pause();
  return result(L, rc);
}

static int host_leave(lua_State *L) {
  _exit(arg(L, 1));
  return 0;
}

static int host_abort(lua_State *L) {
  (void)L;
  abort();
}

/* resize(fd, columns): the terminal's width; who is on it gets SIGWINCH */
static int host_resize(lua_State *L) {
  struct winsize size = {.ws_row = 24};

  size.ws_col = (unsigned short)arg(L, 2);
  return result(L, ioctl(arg(L, 1), TIOCSWINSZ, &size));
}

static int host_getpid(lua_State *L) {
  return result(L, getpid());
}

static int host_getppid(lua_State *L) {
  return result(L, getppid());
}

static int host_setsid(lua_State *L) {
  return result(L, setsid());
}

static int host_kill(lua_State *L) {
  return result(L, kill(arg(L, 1), arg(L, 2)));
}

/* waitpid(pid [, nohang]) -> pid, code (-N: signal N); 0 when none has ended */
static int host_waitpid(lua_State *L) {
  int status = 0;
  pid_t pid = waitpid(arg(L, 1), &status, lua_toboolean(L, 2) ? WNOHANG : 0);

  if (pid <= 0)
    return result(L, pid);
  lua_pushinteger(L, pid);
  lua_pushinteger(L, WIFSIGNALED(status) ? -WTERMSIG(status)
                                         : WEXITSTATUS(status));
  return 2;
}

/* exec(path, ...) */
static int host_exec(lua_State *L) {
  const char *argv[32];
  int n = lua_gettop(L);
  int i;

  luaL_argcheck(L, n < 32, 32, "too many arguments");
  for (i = 0; i < n; i++)
    argv[i] = luaL_checkstring(L, i + 1);
  argv[n] = NULL;
  return result(L, execv(argv[0], (char *const *)argv));
}

static int host_setuid(lua_State *L) {
  uid_t id = (uid_t)arg(L, 1);

  return result(L, setgid(id) < 0 ? -1 : setuid(id));
}

static int host_chroot(lua_State *L) {
  return result(L, chroot(luaL_checkstring(L, 1)));
}

/* unshare_pid(): children from now on live in a PID namespace of their own */
static int host_unshare_pid(lua_State *L) {
  return result(L, unshare(CLONE_NEWPID));
}

static int host_chdir(lua_State *L) {
  return result(L, chdir(luaL_checkstring(L, 1)));
}

/* limit("nofile" | "nproc" | "as", n): the soft limit */
static int host_limit(lua_State *L) {
  static const char *const names[] = {"nofile", "nproc", "as", NULL};
  static const int which[] = {RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_AS};
  int resource = which[luaL_checkoption(L, 1, NULL, names)];
  struct rlimit r;

  if (getrlimit(resource, &r) < 0)
    return result(L, -1);
  r.rlim_cur = (rlim_t)luaL_checkinteger(L, 2);
  return result(L, setrlimit(resource, &r));
}

/* Signals: Lua handlers run in a hook, as luaposix does it */

static lua_State *signal_state;
static volatile sig_atomic_t pending[SIGNALS];
static const char handler[SIGNALS]; /* registry keys */
static int watchdog;                /* the alarm rings every few seconds */

static void run_handlers(lua_State *L, lua_Debug *ar) {
  int sig;

  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  for (sig = 1; sig < SIGNALS; sig++) {
    if (!pending[sig])
      continue;
    pending[sig] = 0;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &handler[sig]);
    lua_pushinteger(L, sig);
    lua_call(L, 1, 0);
  }
}

static void on_signal(int sig) {
  if (sig == SIGALRM && pending[sig] && watchdog) {
    /* The watchdog barked before and Lua has not heard it: a call hangs. */
    (void)!write(2, HUNG, sizeof HUNG - 1);
    (void)signal(sig, SIG_DFL);
    (void)raise(sig);
  }
  pending[sig] = 1;
  lua_sethook(signal_state, run_handlers,
              LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

/* signal(number, function | "ignore" | "default") */
static int host_signal(lua_State *L) {
  int sig = arg(L, 1);
  struct sigaction sa;

  luaL_argcheck(L, sig > 0 && sig < SIGNALS, 1, "no such signal");
  memset(&sa, 0, sizeof sa);
  if (lua_isfunction(L, 2)) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    signal_state = lua_tothread(L, -1);
    lua_settop(L, 2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &handler[sig]);
    sa.sa_handler = on_signal;
  } else {
    static const char *const names[] = {"ignore", "default", NULL};

    sa.sa_handler = luaL_checkoption(L, 2, NULL, names) ? SIG_DFL : SIG_IGN;
  }
  return result(L, sigaction(sig, &sa, NULL));
}

/* disposition(number) -> "default" | "ignore" | "handler" */
static int host_disposition(lua_State *L) {
  struct sigaction sa;

  if (sigaction(arg(L, 1), NULL, &sa) < 0)
    return result(L, -1);
  lua_pushstring(L, sa.sa_handler == SIG_DFL   ? "default"
                    : sa.sa_handler == SIG_IGN ? "ignore"
                                               : "handler");
  return 1;
}

/* block(number...) */
static int host_block(lua_State *L) {
  sigset_t set;
  int i;

  (void)sigemptyset(&set);
  for (i = 1; i <= lua_gettop(L); i++)
    (void)sigaddset(&set, arg(L, i));
  return result(L, pthread_sigmask(SIG_BLOCK, &set, NULL));
}

/* alarm(seconds [, interval]): SIGALRM; 0 stops it */
static int host_alarm(lua_State *L) {
  double s = luaL_checknumber(L, 1);
  double every = luaL_optnumber(L, 2, 0);
  struct itimerval t;

  watchdog = every >= 1;
  t.it_value.tv_sec = (time_t)s;
  t.it_value.tv_usec = (suseconds_t)((s - (double)(time_t)s) * 1e6);
  t.it_interval.tv_sec = (time_t)every;
  t.it_interval.tv_usec = (suseconds_t)((every - (double)(time_t)every) * 1e6);
  return result(L, setitimer(ITIMER_REAL, &t, NULL));
}

/* Descriptors */

static int host_pipe(lua_State *L) {
  int fd[2];

  if (pipe2(fd, O_CLOEXEC) < 0)
    return result(L, -1);
  lua_pushinteger(L, fd[0]);
  lua_pushinteger(L, fd[1]);
  return 2;
}

/* open(path [, write]): not close-on-exec */
static int host_open(lua_State *L) {
  int mode = lua_toboolean(L, 2) ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY;

  return result(L, open(luaL_checkstring(L, 1), mode, 0600));
}

/* read(fd, seconds) -> bytes, "" at the end; nil, "timeout" */
static int host_read(lua_State *L) {
  struct pollfd p = {.fd = arg(L, 1), .events = POLLIN};
  char buf[4096];
  ssize_t n;
  int rc = poll(&p, 1, (int)(luaL_checknumber(L, 2) * 1000));

  if (rc == 0) {
    lua_pushnil(L);
    lua_pushliteral(L, "timeout");
    return 2;
  }
  n = rc < 0 ? -1 : read(p.fd, buf, sizeof buf);
  if (n < 0)
    return result(L, -1);
  lua_pushlstring(L, buf, (size_t)n);
  return 1;
}

static int host_write(lua_State *L) {
  size_t len;
  const char *s = luaL_checklstring(L, 2, &len);

  return result(L, write(arg(L, 1), s, len));
}

static int host_close(lua_State *L) {
  return result(L, close(arg(L, 1)));
}

static int host_closefrom(lua_State *L) {
  return result(L, syscall(SYS_close_range, arg(L, 1), ~0u, 0));
}

static int host_dup2(lua_State *L) {
  return result(L, dup2(arg(L, 1), arg(L, 2)));
}

/* list(directory) -> names */
static int host_list(lua_State *L) {
  DIR *d = opendir(luaL_checkstring(L, 1));
  struct dirent *e;
  lua_Integer n = 0;

  if (!d)
    return result(L, -1);
  lua_newtable(L);
  while ((e = readdir(d)) != NULL) {
    if (e->d_name[0] == '.')
      continue;
    lua_pushstring(L, e->d_name);
    lua_rawseti(L, -2, ++n);
  }
  (void)closedir(d);
  return 1;
}

static int host_readlink(lua_State *L) {
  char to[4096];
  ssize_t n = readlink(luaL_checkstring(L, 1), to, sizeof to);

  if (n < 0)
    return result(L, -1);
  lua_pushlstring(L, to, (size_t)n);
  return 1;
}

/* Threads, states, time */

static int host_sleep(lua_State *L) {
  double s = luaL_checknumber(L, 1);
  struct timespec t = {(time_t)s, (long)((s - (double)(time_t)s) * 1e9)};

  return result(L, nanosleep(&t, NULL));
}

static int host_now(lua_State *L) {
  struct timespec t;

  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  lua_pushnumber(L, (double)t.tv_sec + (double)t.tv_nsec / 1e9);
  return 1;
}

static void *idle(void *unused) {
  (void)unused;
  for (;;)
    pause();
  return NULL;
}

/* threads(n): threads of the host that do nothing, to its end */
static int host_threads(lua_State *L) {
  pthread_t t;
  int n = arg(L, 1);

  while (n-- > 0)
    if (pthread_create(&t, NULL, idle, NULL) == 0)
      (void)pthread_detach(t);
  return 0;
}

struct job {
  const char *text;
  const char *path;
  const char *cpath;
  char answer[512];
};

static void set_package(lua_State *L, const char *field, const char *value) {
  lua_getglobal(L, "package");
  lua_pushstring(L, value);
  lua_setfield(L, -2, field);
  lua_pop(L, 1);
}

static void *run_state(void *arg) {
  struct job *j = arg;
  lua_State *L = luaL_newstate();

  luaL_openlibs(L);
  set_package(L, "path", j->path);
  set_package(L, "cpath", j->cpath);
  if (luaL_loadstring(L, j->text) == LUA_OK)
    (void)lua_pcall(L, 0, 1, 0);
  (void)strncpy(j->answer, luaL_tolstring(L, -1, NULL), sizeof j->answer - 1);
  lua_close(L);
  return NULL;
}

/* state(text [, n]) -> what it returned, as a string, from each of n new
 * states in threads of their own (0: one, in this thread) */
static int host_state(lua_State *L) {
  struct job jobs[16];
  pthread_t t[16];
  int n = (int)luaL_optinteger(L, 2, 1);
  int i;

  luaL_argcheck(L, n >= 0 && n <= 16, 2, "0 to 16");
  lua_settop(L, 2);
  lua_getglobal(L, "package");
  lua_getfield(L, 3, "path");
  lua_getfield(L, 3, "cpath");
  for (i = 0; i < n || i == 0; i++) {
    memset(&jobs[i], 0, sizeof jobs[i]);
    jobs[i].text = luaL_checkstring(L, 1);
    jobs[i].path = lua_tostring(L, 4);
    jobs[i].cpath = lua_tostring(L, 5);
    if (n == 0)
      (void)run_state(&jobs[i]);
    else
      (void)pthread_create(&t[i], NULL, run_state, &jobs[i]);
  }
  for (i = 0; i < n; i++)
    (void)pthread_join(t[i], NULL);
  for (i = 0; i < n || i == 0; i++)
    lua_pushstring(L, jobs[i].answer);
  return i;
}

static const luaL_Reg functions[] = {{"fork", host_fork},
                                     {"fork_as", host_fork_as},
                                     {"leave", host_leave},
                                     {"abort", host_abort},
                                     {"resize", host_resize},
                                     {"getpid", host_getpid},
                                     {"getppid", host_getppid},
                                     {"setsid", host_setsid},
                                     {"kill", host_kill},
                                     {"waitpid", host_waitpid},
                                     {"exec", host_exec},
                                     {"setuid", host_setuid},
                                     {"chroot", host_chroot},
                                     {"chdir", host_chdir},
                                     {"unshare_pid", host_unshare_pid},
                                     {"limit", host_limit},
                                     {"signal", host_signal},
                                     {"disposition", host_disposition},
                                     {"block", host_block},
                                     {"alarm", host_alarm},
                                     {"pipe", host_pipe},
                                     {"open", host_open},
                                     {"read", host_read},
                                     {"write", host_write},
                                     {"close", host_close},
                                     {"closefrom", host_closefrom},
                                     {"dup2", host_dup2},
                                     {"list", host_list},
                                     {"readlink", host_readlink},
                                     {"sleep", host_sleep},
                                     {"now", host_now},
                                     {"threads", host_threads},
                                     {"state", host_state},
                                     {NULL, NULL}};

int luaopen_host(lua_State *L) {
  luaL_newlib(L, functions);
  lua_pushcfunction(L, host_forkpty);
  lua_setfield(L, -2, "forkpty");
  return 1;
}
