/* host.c -- a C program that works with a pool of Lua scripts.
 *
 *   host pool.lua work.lua [workers] < jobs
 *
 * Each line of stdin is a job.  The jobs are dealt out to processes that have
 * loaded the script; what its function returns is printed in the order of the
 * jobs.  A worker that crashes costs the job that it had, and is replaced.
 *
 * Build it with: cc host.c $(pkg-config --cflags --libs luamp) -o host
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lualib.h>
#include <luamp.h>

/* Where messages of luamp go: the uncaught errors of workers. */
static void report(void *ud, const char *text) {
  fprintf(stderr, "[%s] %s", (const char *)ud, text);
}

static char name[] = "host";
static const struct luamp_host host = {
    .program = "/proc/self/exe", /* its own child: see main */
    .report = report,
    .ud = name,
};

/* A state with luamp in it. */
static lua_State *open_state(void) {
  lua_State *L = luaL_newstate();

  if (!L)
    return NULL;
  luaL_openlibs(L);
  luamp_preload(L);
  luamp_set_host(L, &host);
  return L;
}

/* The lines of stdin as a list on the top. */
static void push_jobs(lua_State *L) {
  char line[1024];
  lua_Integer n = 0;

  lua_newtable(L);
  while (fgets(line, sizeof(line), stdin)) {
    lua_pushlstring(L, line, strcspn(line, "\n"));
    lua_rawseti(L, -2, ++n);
  }
}

/* Print {ok =, value =}, which is on the top; 1 if it failed. */
static int print_result(lua_State *L) {
  int ok;

  lua_getfield(L, -1, "ok");
  ok = lua_toboolean(L, -1);
  lua_getfield(L, -2, "value");
  printf("%s%s\n", ok ? "" : "failed: ", luaL_tolstring(L, -1, NULL));
  lua_pop(L, 3);
  return !ok;
}

/* Let the pool run the script on all jobs: pool.run(script, workers, jobs).
 * Returns how many have failed, -1 if the pool itself has. */
static int work(lua_State *L, const char *pool, const char *script,
                int workers) {
  int failed = 0;
  lua_Integer i;

  if (luaL_dofile(L, pool) != LUA_OK)
    return -1;
  lua_getfield(L, -1, "run");
  lua_pushstring(L, script);
  lua_pushinteger(L, workers);
  push_jobs(L);
  if (lua_pcall(L, 3, 1, 0) != LUA_OK)
    return -1;
  for (i = 1; lua_rawgeti(L, -1, i) == LUA_TTABLE; i++) {
    failed += print_result(L);
    lua_pop(L, 1);
  }
  return failed;
}

int main(int argc, char **argv) {
  int code = luamp_child_main(argc, argv, &host);
  lua_State *L;

  if (code >= 0) /* we were a worker */
    return code;
  if (argc < 3) {
    fprintf(stderr, "usage: host pool.lua script.lua [workers] < jobs\n");
    return 2;
  }
  L = open_state();
  if (!L)
    return 2;
  code = work(L, argv[1], argv[2], argc > 3 ? atoi(argv[3]) : 2);
  if (code < 0)
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
  lua_close(L);
  return code != 0;
}
