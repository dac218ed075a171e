/* host_test.c -- luamp inside a C program: what it does there, and does not.
 *
 * The program is its own child: spawn and forkserver start it again.
 */
#define main run_tests
#include "../core/test.h"
#undef main

#include <lauxlib.h>
#include <lualib.h>
#include <luamp.h>

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { THREADS = 8, ROUNDS = 3 };

/* What the host's functions saw; in memory that forked children share. */
struct seen {
  atomic_int opened;     /* states made by host_open */
  atomic_int reports;    /* messages given to host_report */
  atomic_long allocated; /* bytes that states of host_open hold now */
  char text[1024];       /* the last message */
};

static struct seen *seen;

static void *count_alloc(void *ud, void *p, size_t old, size_t size) {
  struct seen *s = ud;

  atomic_fetch_add(&s->allocated, (long)size - (p ? (long)old : 0));
  if (size > 0)
    return realloc(p, size);
  free(p);
  return NULL;
}

static lua_State *host_open(void *ud) {
  struct seen *s = ud;
  lua_State *L = lua_newstate(count_alloc, s);

  if (!L)
    return NULL;
  atomic_fetch_add(&s->opened, 1);
  luaL_openlibs(L);
  lua_pushliteral(L, "the host's own");
  lua_setglobal(L, "HOST");
  return L;
}

static void host_report(void *ud, const char *text) {
  struct seen *s = ud;

  (void)snprintf(s->text, sizeof s->text, "%s", text);
  atomic_fetch_add(&s->reports, 1);
}

static struct luamp_host host = {"/proc/self/exe", host_open, host_report,
                                 NULL};

static lua_State *state_with(const struct luamp_host *h) {
  lua_State *L = h && h->open ? h->open(h->ud) : luaL_newstate();

  REQUIRE(L != NULL);
  if (!h || !h->open)
    luaL_openlibs(L);
  luamp_preload(L);
  luamp_set_host(L, h);
  return L;
}

/* Run code; 1 if it did well. */
static int run(lua_State *L, const char *code) {
  int rc = luaL_dostring(L, code);

  if (rc != LUA_OK)
    printf("%s: %s\n", test_name, lua_tostring(L, -1));
  lua_settop(L, 0);
  return rc == LUA_OK;
}

TEST(a_host_is_its_own_child) {
  lua_State *L = state_with(&host);

  CHECK(run(L, "local mp = require 'mp' "
               "for _, m in ipairs{'spawn', 'forkserver'} do "
               "  local p = mp.get_context(m).Process(function() "
               "    local f = io.popen('readlink /proc/$PPID/exe') "
               "    return HOST, f:read() end) "
               "  local host, exe = p:start():result() "
               "  assert(host == 'the host\\'s own', host) "
               "  assert(exe:find('/host_test$'), exe) "
               "end"));
  lua_close(L);
  exit(test_failures > 0); /* the family's descriptors and server stay */
}

TEST(threads_get_the_hosts_states) {
  lua_State *L = state_with(&host);
  int before = seen->opened;

  CHECK(run(L, "local mp = require 'mp' "
               "local T = mp.get_context('thread') "
               "local p = T.Process(function() "
               "  local q = T.Process(function() return HOST end):start() "
               "  return HOST, q:result() end):start() "
               "local a, b = p:result() assert(a == b and b == HOST)"));
  CHECK_EQ(seen->opened, before + 2);
  lua_close(L);
  while (seen->allocated != 0) /* the threads close theirs at their very end */
    usleep(1000);
  exit(test_failures > 0);
}

TEST(messages_go_to_the_host_and_nowhere_else) {
  static const char *const methods[] = {"fork", "spawn", "forkserver",
                                        "thread"};
  lua_State *L = state_with(&host);
  FILE *out = tmpfile();
  char code[256];
  unsigned i;
  int saved = dup(1), saved2 = dup(2);

  REQUIRE(out && dup2(fileno(out), 1) == 1 && dup2(fileno(out), 2) == 2);
  for (i = 0; i < 4; i++) {
    int before = seen->reports;

    (void)snprintf(code, sizeof code,
                   "local p = require 'mp'.get_context('%s').Process{"
                   "name = 'Fails', target = function() error 'the reason' end}"
                   "p:start():join() assert(p.exitcode == 1)",
                   methods[i]);
    CHECK(run(L, code));
    /* A program that is started anew has memory of its own. */
    if (i == 0 || i == 3) {
      CHECK_EQ(seen->reports, before + 1);
      CHECK(strstr(seen->text, "Fails (pid ") && strstr(seen->text, "reason"));
    }
  }
  (void)dup2(saved, 1);
  (void)dup2(saved2, 2);
  CHECK_EQ(lseek(fileno(out), 0, SEEK_END), 0);
  lua_close(L);
  exit(test_failures > 0);
}

TEST(no_handler_and_no_mask_is_changed) {
  struct sigaction before[65], after;
  sigset_t mask, now;
  lua_State *L;
  int sig;

  for (sig = 1; sig < 65; sig++)
    (void)sigaction(sig, NULL, &before[sig]);
  (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
  L = state_with(&host);
  CHECK(run(L, "local mp = require 'mp' "
               "for _, m in ipairs{'fork', 'spawn', 'forkserver'} do "
               "  local p = mp.get_context(m).Process(function() end):start() "
               "  p:join() "
               "  local q = mp.get_context(m).Process(function() "
               "    while true do end end):start() "
               "  q:terminate() q:join() "
               "end"));
  lua_close(L);
  for (sig = 1; sig < 65; sig++) {
    if (sigaction(sig, NULL, &after) == 0) /* two are the C library's own */
      CHECK(before[sig].sa_handler == after.sa_handler);
  }
  (void)pthread_sigmask(SIG_SETMASK, NULL, &now);
  for (sig = 1; sig < 65; sig++)
    CHECK_EQ(sigismember(&mask, sig), sigismember(&now, sig));
  exit(test_failures > 0);
}

TEST(closing_a_state_waits_for_nobody) {
  lua_State *L = state_with(&host);
  pid_t pid;

  CHECK_EQ(luaL_dostring(L, "local mp = require 'mp' "
                            "local a, b = mp.Pipe() "
                            "local p = mp.get_context('fork').Process("
                            "  function() a:close() b:recv() "
                            "    while true do end end):start() "
                            "a:send(1) return p.pid"),
           LUA_OK);
  pid = (pid_t)lua_tointeger(L, -1);
  lua_close(L);
  CHECK_EQ(kill(pid, 0), 0);
  CHECK_EQ(kill(pid, SIGKILL), 0);
  exit(test_failures > 0);
}

TEST(a_host_without_a_program_says_so) {
  struct luamp_host bare = {NULL, NULL, NULL, NULL};
  lua_State *L = state_with(&bare);

  CHECK(run(L, "local mp = require 'mp' "
               "os.getenv = function() return '/nowhere' end "
               "package.cpath = '' "
               "local p = mp.get_context('spawn').Process(function() end) "
               "local ok, why = pcall(p.start, p) "
               "assert(not ok and why:find('set_executable', 1, true), why)"));
  lua_close(L);
  exit(test_failures > 0);
}

/* Threads */

struct busy {
  pthread_barrier_t *together;
  int failed;
};

static void *busy_thread(void *arg) {
  struct busy *b = arg;
  lua_State *L = state_with(&host);

  luaL_checkstack(L, LUA_MINSTACK, NULL);
  lua_pushinteger(L, ROUNDS);
  lua_setglobal(L, "ROUNDS");
  (void)pthread_barrier_wait(b->together);
  b->failed = luaL_dostring(
      L, "local mp = require 'mp' "
         "local function busy(n) local s = 0 "
         "  for i = 1, n do s = s + i % 7 end return s end "
         "local want = busy(10000) "
         "for round = 1, ROUNDS do "
         "  local list = {} "
         "  for _, m in ipairs(mp.get_all_start_methods()) do "
         "    local p = mp.get_context(m).Process(busy, 10000) "
         "    list[#list + 1] = p:start() "
         "    busy(10000) "
         "  end "
         "  for _, p in ipairs(list) do "
         "    assert(p:result() == want) assert(p.exitcode == 0) end "
         "end");
  if (b->failed)
    printf("%s: %s\n", test_name, lua_tostring(L, -1));
  lua_close(L);
  return NULL;
}

TEST_LIMIT(eight_busy_threads_start_by_every_method, 60) {
  pthread_t thread[THREADS];
  struct busy busy[THREADS];
  pthread_barrier_t together;
  int i;

  REQUIRE(pthread_barrier_init(&together, NULL, THREADS) == 0);
  for (i = 0; i < THREADS; i++) {
    busy[i] = (struct busy){&together, 0};
    REQUIRE(pthread_create(&thread[i], NULL, busy_thread, &busy[i]) == 0);
  }
  for (i = 0; i < THREADS; i++) {
    (void)pthread_join(thread[i], NULL);
    CHECK_EQ(busy[i].failed, 0);
  }
  exit(test_failures > 0);
}

int main(int argc, char **argv) {
  int code;

  seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE,
              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (seen == MAP_FAILED)
    return 1;
  host.ud = seen;
  code = luamp_child_main(argc, argv, &host);
  return code >= 0 ? code : run_tests(argc, argv);
}
