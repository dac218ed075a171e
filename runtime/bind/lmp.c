/* lmp.c -- owns the open function, and how errors and times cross over. */
#include "lmp.h"

#include "luamp.h"

#include <math.h>
#include <string.h>

#define INTERRUPTED "interrupted!" /* as lua.c has it */

static char resume_key; /* registry: an empty Lua function */

int lmp_raise(lua_State *L, int rc, const char *what) {
  return luaL_error(L, "%s: %s", what, mp_err_text(rc));
}

static int answer(lua_State *L, int rc, const char *what) {
  const char *reason = mp_err_reason(rc);

  if (!reason)
    return lmp_raise(L, rc, what);
  lua_pushstring(L, reason);
  return 2;
}

int lmp_fail(lua_State *L, int rc, const char *what) {
  lua_pushnil(L);
  return answer(L, rc, what);
}

int lmp_refuse(lua_State *L, int rc, const char *what) {
  lua_pushboolean(L, 0);
  return answer(L, rc, what);
}

/* ENOMEM, ENFILE, EMFILE, ENOSPC on every Linux */
static int is_exhaustion(int rc) {
  return rc == -12 || rc == -23 || rc == -24 || rc == -28 || rc == -MP_EFAMILY;
}

int lmp_outside(lua_State *L, int rc, const char *what) {
  if (is_exhaustion(rc))
    return lmp_raise(L, rc, what);
  lua_pushnil(L);
  lua_pushfstring(L, "%s: %s", what, mp_err_text(rc));
  lua_pushinteger(L, -rc);
  return 3;
}

int64_t lmp_deadline(lua_State *L, int idx) {
  lua_Number seconds;

  if (lua_isnoneornil(L, idx))
    return MP_FOREVER;
  /* A string that looks like a number is no number here. */
  luaL_argexpected(L, lua_type(L, idx) == LUA_TNUMBER, idx,
                   "number (seconds) or nil");
  seconds = lua_tonumber(L, idx);
  luaL_argcheck(L, seconds == seconds, idx, "timeout is not a number (NaN)");
  return mp_deadline(seconds);
}

/* The interpreter's Ctrl-C handler sets a hook on the main state; what runs
 * in a coroutine would not see it. */
static void copy_main_hook(lua_State *L) {
  lua_State *main;

  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  main = lua_tothread(L, -1);
  lua_pop(L, 1);
  if (main && main != L && !lua_gethook(L) && lua_gethook(main))
    lua_sethook(L, lua_gethook(main), lua_gethookmask(main),
                lua_gethookcount(main));
}

void lmp_open_types(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &resume_key) == LUA_TNIL) {
    lmp_box_types(L);
    lmp_block_types(L);
    lmp_listen_types(L);
    lmp_mutex_types(L);
    lmp_cell_types(L);
    if (luaL_loadbuffer(L, "", 0, "=signal") != LUA_OK)
      lua_error(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &resume_key);
  }
  lua_pop(L, 1);
}

int lmp_resume(lua_State *L) {
  luaL_checkstack(L, 4, "interrupted");
  lmp_open_types(L); /* a thread may not have come to them yet */
  copy_main_hook(L);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &resume_key);
  lua_call(L, 0, 0); /* a call and a return: any pending hook fires */
  return 1;
}

static int resume(lua_State *L) {
  (void)lmp_resume(L);
  return 0;
}

int lmp_resume_caught(lua_State *L) {
  lua_pushcfunction(L, resume);
  return lua_pcall(L, 0, 0, 0) == LUA_OK;
}

void lmp_pass_interrupt(lua_State *L) {
  size_t len;
  const char *err;

  if (lua_type(L, -1) != LUA_TSTRING)
    return;
  err = lua_tolstring(L, -1, &len);
  if (len >= sizeof INTERRUPTED - 1 &&
      strcmp(err + len - (sizeof INTERRUPTED - 1), INTERRUPTED) == 0)
    lua_error(L);
}

static int lmp_now(lua_State *L) {
  lua_pushnumber(L, (lua_Number)mp_now() / 1e9);
  return 1;
}

void lmp_account(lua_State *L, int kib) {
  if (lua_gc(L, LUA_GCISRUNNING)) /* a step would run it all the same */
    (void)lua_gc(L, LUA_GCSTEP, kib);
}

/* What another Lua compiled must not be run; it then finds the files. */
void lmp_preload(lua_State *L) {
  if (luamp_fits())
    luamp_preload(L);
}

/* core.metatable(name) -> the metatable of a type, for the Lua half */
static int lmp_metatable(lua_State *L) {
  luaL_getmetatable(L, luaL_checkstring(L, 1));
  return 1;
}

static int lmp_version(lua_State *L) {
  lua_pushliteral(L, MP_VERSION);
  return 1;
}

static const luaL_Reg functions[] = {{"now", lmp_now},
                                     {"metatable", lmp_metatable},
                                     {"version", lmp_version},
                                     {"encode", lmp_codec_encode},
                                     {"decode", lmp_codec_decode},
                                     {NULL, NULL}};


static const luaL_Reg *const parts[] = {
    functions,           lmp_proc_functions,   lmp_start_functions,
    lmp_work_functions,  lmp_conn_functions,   lmp_life_functions,
    lmp_wait_functions,  lmp_host_functions,   lmp_queue_functions,
    lmp_task_functions,  lmp_run_functions,    lmp_each_functions,
    lmp_block_functions, lmp_listen_functions, lmp_mutex_functions,
    lmp_event_functions, lmp_cell_functions,   lmp_sem_functions,
    lmp_cond_functions,  lmp_barrier_functions};

int luaopen_mp_core(lua_State *L) {
  size_t i;
  int n = 0;

  luaL_checkversion(L);
  lmp_open_types(L);
  for (i = 0; i < sizeof parts / sizeof *parts; i++)
    for (const luaL_Reg *f = parts[i]; f->name; f++)
      n++;
  lua_createtable(L, 0, n); /* to grow it costs as much as to fill it */
  for (i = 0; i < sizeof parts / sizeof *parts; i++)
    luaL_setfuncs(L, parts[i], 0);
  return 1;
}
