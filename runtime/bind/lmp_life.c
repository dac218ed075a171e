/* lmp_life.c -- a process's own beginning and end, and its surroundings. */
#include "lmp.h"

#include <string.h>

static char guard_key; /* registry: what finishes with the state */

/* core.join_family(ticket) -> true when this is to be a fork server */
static int lmp_life_join(lua_State *L) {
  int rc = mp_join(luaL_checkstring(L, 1));

  if (rc < 0)
    return lmp_raise(L, rc, "join the family");
  lua_pushboolean(L, rc);
  return 1;
}

/* core.finish(): join the children, end the daemons */
int lmp_life_finish(lua_State *L) {
  int rc;

  do
    rc = mp_finish();
  while (rc == LMP_INTERRUPTED && lmp_resume(L));
  lmp_mutex_warn(L); /* afterwards: a child may have released one */
  return 0;
}

static _Thread_local int ends_in_lua;

/* core.end_in_lua(): from now on the end takes more than core.finish */
static int lmp_life_end_in_lua(lua_State *L) {
  (void)L;
  ends_in_lua = 1;
  return 0;
}

/* Without a word of Lua, which would touch pages that are then copied. */
LMP_NEAR int lmp_life_over(void) {
  uint64_t at = 0;

  return !ends_in_lua && mp_finish() == 0 && mp_mutex_left(&at) == MP_REF_EMPTY;
}

/* (surroundings, work) of core.serve are at 1 and 2. */
LMP_NEAR static void rehearse(void *L) {
  lmp_work_rehearse(L, 1);
}

/* core.serve(surroundings, work): what a plan has, encoded, and the work is
 * nothing: for children that stand by to rehearse.  Returns in each child that
 * the server forks, after its own work -> exit code */
LMP_NEAR static int lmp_life_serve(lua_State *L) {
  int code;
  int rc;

  luaL_checkstring(L, 1);
  luaL_checkstring(L, 2);
  rc = mp_serve(rehearse, L);
  if (rc < 0)
    return lmp_raise(L, rc, "serve");
  code = lmp_work(L);
  if (code == 0 && lmp_life_over())
    mp_exit(0);
  lua_pushinteger(L, code);
  return 1;
}

/* core.exit(code): leave at once, by the one door */
static int lmp_life_exit(lua_State *L) {
  int code = (int)luaL_optinteger(L, 1, 0);

  if (lmp_thread_is_one())
    return lmp_thread_exit(L, code);
  mp_exit(code);
  return 0;
}

/* core.claim(code): say what the exit code is going to be */
static int lmp_life_claim(lua_State *L) {
  mp_claim((int)luaL_checkinteger(L, 1));
  return 0;
}

/* The state is closing: the program has come to its end. */
static int guard_gc(lua_State *L) {
  while (mp_finish() == LMP_INTERRUPTED)
    ;
  lmp_mutex_warn(L);
  return 0;
}

/* core.finish_at_close(): for a program that is an interpreter of its own */
static int lmp_life_guard(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &guard_key) != LUA_TNIL ||
      !mp_finish_claim())
    return 0;
  (void)lua_newuserdatauv(L, 1, 0);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, guard_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &guard_key);
  return 0;
}

/* core.preload(): let this state find our modules without reading files */
static int lmp_life_preload(lua_State *L) {
  lmp_preload(L);
  return 0;
}

static int lmp_life_getcwd(lua_State *L) {
  char path[4096];

  if (mp_getcwd(path, sizeof path) < 0)
    return 0;
  lua_pushstring(L, path);
  return 1;
}

/* core.program() -> path of the program that runs */
static int lmp_life_program(lua_State *L) {
  char path[4096];

  if (mp_program(path, sizeof path) < 0)
    return 0;
  lua_pushstring(L, path);
  return 1;
}

static int lmp_life_is_program(lua_State *L) {
  lua_pushboolean(L, mp_is_program(luaL_checkstring(L, 1)));
  return 1;
}

static int lmp_life_authkey(lua_State *L) {
  unsigned char key[32];
  int rc = mp_authkey(key);

  if (rc < 0)
    return lmp_raise(L, rc, "authkey");
  lua_pushlstring(L, (const char *)key, sizeof key);
  return 1;
}

static int lmp_life_cpus(lua_State *L) {
  lua_pushinteger(L, mp_cpu_count());
  return 1;
}

static int lmp_life_usable(lua_State *L) {
  lua_pushinteger(L, mp_cpu_usable());
  return 1;
}

static int lmp_life_single(lua_State *L) {
  lua_pushboolean(L, mp_single_threaded());
  return 1;
}

static int lmp_life_is_thread(lua_State *L) {
  lua_pushboolean(L, lmp_thread_is_one());
  return 1;
}

/* core.ignore_interrupt(): for a worker; a thread's process is its host's */
static int lmp_life_ignore_interrupt(lua_State *L) {
  (void)L;
  if (!lmp_thread_is_one())
    mp_ignore_interrupt();
  return 0;
}

/* core.terminal_width() -> columns of stderr, nil when it is no terminal */
static int lmp_life_terminal_width(lua_State *L) {
  int columns = mp_terminal_width();

  if (columns == 0)
    return 0;
  lua_pushinteger(L, columns);
  return 1;
}

static int lmp_life_is_fork(lua_State *L) {
  lua_pushboolean(L, mp_is_fork());
  return 1;
}

const luaL_Reg lmp_life_functions[] = {
    {"join_family", lmp_life_join},
    {"finish", lmp_life_finish},
    {"end_in_lua", lmp_life_end_in_lua},
    {"serve", lmp_life_serve},
    {"exit", lmp_life_exit},
    {"claim", lmp_life_claim},
    {"finish_at_close", lmp_life_guard},
    {"preload", lmp_life_preload},
    {"getcwd", lmp_life_getcwd},
    {"program", lmp_life_program},
    {"is_program", lmp_life_is_program},
    {"authkey", lmp_life_authkey},
    {"cpu_count", lmp_life_cpus},
    {"cpu_usable", lmp_life_usable},
    {"single_threaded", lmp_life_single},
    {"is_thread", lmp_life_is_thread},
    {"is_fork", lmp_life_is_fork},
    {"ignore_interrupt", lmp_life_ignore_interrupt},
    {"terminal_width", lmp_life_terminal_width},
    {NULL, NULL}};
