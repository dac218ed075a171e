/* lmp_work.c -- the work of a started process: from its plan to its exit code.
 *
 * As much as can be is done here and not in Lua.  The state of a thread is
 * new, and what need not be loaded there is what its start does not cost; so
 * Lua modules come in only for what is out of the ordinary.
 */
#include "lmp.h"

#include <string.h>

static _Thread_local int setting_up; /* the work is not decoded yet */

/* core.setting_up() -> true: this process may start nothing yet */
static int lmp_work_setting_up(lua_State *L) {
  lua_pushboolean(L, setting_up);
  return 1;
}

/* Push a module of ours, loaded if need be. */
static void require(lua_State *L, const char *name) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, name) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_getglobal(L, "require");
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
  }
  lua_remove(L, -2);
}

/* Push a function of a Lua module of ours. */
static void push_function(lua_State *L, const char *module, const char *name) {
  require(L, module);
  lua_getfield(L, -1, name);
  lua_remove(L, -2);
}

/* (message) -> what settle makes an answer of */
static int on_error(lua_State *L) {
  lua_settop(L, 1);
  push_function(L, "mp.child", "note_failure");
  lua_insert(L, 1);
  lua_pushinteger(L, 3); /* the traceback begins above both of us */
  lua_call(L, 2, 1);
  return 1;
}

/* The owner of a message that is being decoded */

static int view_gc(lua_State *L) {
  mp_msg_close(lua_touserdata(L, 1));
  return 0;
}

LMP_NEAR struct mp_msg *lmp_view_push(lua_State *L) {
  struct mp_msg *m = lua_newuserdatauv(L, sizeof *m, 0);

  *m = MP_MSG_EMPTY;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, view_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  return m;
}

/* Set a field of the table on top to what it is at idx, if it is there.  What
 * is the same already is not written: the page would be copied. */
LMP_NEAR static void take_field(lua_State *L, int idx, const char *name) {
  int there = lua_getfield(L, -1, name);

  if (lua_getfield(L, idx, name) != LUA_TSTRING ||
      (there == LUA_TSTRING && lua_rawequal(L, -1, -2)))
    lua_pop(L, 1);
  else
    lua_setfield(L, -3, name);
  lua_pop(L, 1);
}

/* The surroundings that the starter had are on top: what is in the table has
 * to be set. */
LMP_NEAR static void take_setup(lua_State *L) {
  int setup = lua_gettop(L);

  if (!lua_istable(L, setup))
    return;
  if (lua_getglobal(L, "package") == LUA_TTABLE) {
    take_field(L, setup, "path");
    take_field(L, setup, "cpath");
  }
  lua_getfield(L, setup, "arg");
  lua_setglobal(L, "arg");
  if (lua_getfield(L, setup, "cwd") == LUA_TSTRING)
    (void)mp_chdir(lua_tostring(L, -1));
  lua_settop(L, setup - 1);
}

/* Decode the plan: the work is left on top. */
LMP_NEAR static void take_plan(lua_State *L) {
  struct mp_msg *m = lmp_view_push(L);
  uint32_t head = 0;
  int rc = mp_proc_plan(mp_proc_self(), m);
  int ok;

  if (rc < 0)
    lmp_raise(L, rc, "plan");
  if (m->len >= sizeof head)
    memcpy(&head, m->data, sizeof head);
  if (!lmp_unpack(L, m->data + sizeof head, head, NULL, 0, 0))
    lua_error(L);
  take_setup(L);
  if (m->nrefs > 0)
    lmp_open_types(L);
  ok = lmp_unpack(L, m->data + sizeof head + head, m->len - sizeof head - head,
                  m->refs, m->nrefs, 0);
  mp_msg_close(m);
  mp_proc_drop_plan();
  if (!ok)
    lua_error(L);
}

/* target(args) of the table at idx; all that they return is on top. */
LMP_NEAR static void call_target(lua_State *L, int idx) {
  lua_Integer n = 0;
  lua_Integer i;

  lua_getfield(L, idx, "target");
  if (lua_getfield(L, idx, "args") == LUA_TTABLE) {
    int args = lua_gettop(L);

    if (lua_getfield(L, args, "n") == LUA_TNUMBER)
      n = lua_tointeger(L, -1);
    else
      n = luaL_len(L, args);
    lua_pop(L, 1);
    if (n < 0 || n > 1000000)
      luaL_error(L, "too many arguments");
    luaL_checkstack(L, (int)n + 4, "too many arguments");
    for (i = 1; i <= n; i++)
      lua_geti(L, args, i);
    lua_remove(L, args);
  } else {
    lua_pop(L, 1);
  }
  lua_call(L, (int)n, LUA_MULTRET);
}

/* Nothing but a function to be called? */
LMP_NEAR static int is_plain(lua_State *L, int work) {
  int plain;

  lua_getfield(L, work, "class");
  lua_getfield(L, work, "fields");
  lua_getfield(L, work, "target");
  plain = lua_isnil(L, -3) && lua_isnil(L, -2) && lua_isfunction(L, -1);
  lua_pop(L, 3);
  return plain;
}

/* () -> what the target returned */
LMP_NEAR static int perform(lua_State *L) {
  int work;

  setting_up = 1;
  take_plan(L);
  setting_up = 0;
  work = lua_gettop(L);
  if (is_plain(L, work)) {
    call_target(L, work);
  } else {
    push_function(L, "mp.child", "run");
    lua_pushvalue(L, work);
    lua_call(L, 1, LUA_MULTRET);
  }
  return lua_gettop(L) - work;
}

#define NAMES 24 /* enough for nearly all pages of a small table */

/* Strings of the work's own are yet to find their places in the table of all
 * strings: so that it is copied now. */
LMP_NEAR static void touch_strings(lua_State *L) {
  char name[] = "@?";

  for (name[1] = 'A'; name[1] < 'A' + NAMES; name[1]++) {
    lua_pushlstring(L, name, sizeof name - 1);
    lua_pop(L, 1);
  }
}

/* (surroundings, work) -> what the target returned */
LMP_NEAR static int perform_rehearsal(lua_State *L) {
  size_t len;
  const char *s = lua_tolstring(L, 1, &len);

  touch_strings(L);
  if (!lmp_unpack(L, s, len, NULL, 0, 0))
    return 0;
  take_setup(L);
  s = lua_tolstring(L, 2, &len);
  if (lmp_unpack(L, s, len, NULL, 0, 0) && is_plain(L, 3))
    call_target(L, 3);
  return 0;
}

LMP_NEAR void lmp_work_rehearse(lua_State *L, int idx) {
  int base = lua_gettop(L);

  lua_pushcfunction(L, on_error);
  lua_pushcfunction(L, perform_rehearsal);
  lua_pushvalue(L, idx);
  lua_pushvalue(L, idx + 1);
  (void)lua_pcall(L, 2, LUA_MULTRET, base + 1);
  lua_settop(L, base);
}

LMP_NEAR int lmp_work(lua_State *L) {
  int base = lua_gettop(L);
  int code = 0;
  int ok;

  lua_pushcfunction(L, on_error);
  lua_pushcfunction(L, perform);
  ok = lua_pcall(L, 0, LUA_MULTRET, base + 1) == LUA_OK;
  setting_up = 0;
  if (!ok || lua_gettop(L) > base + 1) {
    luaL_checkstack(L, 8, NULL);
    push_function(L, "mp.child", "settle_run");
    lua_replace(L, base + 1);
    lua_pushboolean(L, ok);
    lua_insert(L, base + 2);
    lua_call(L, lua_gettop(L) - base - 1, 1);
    code = (int)lua_tointeger(L, -1);
  }
  lua_settop(L, base);
  return code;
}

/* core.work() -> exit code */
static int lmp_work_run(lua_State *L) {
  lua_pushinteger(L, lmp_work(L));
  return 1;
}

const luaL_Reg lmp_work_functions[] = {
    {"work", lmp_work_run}, {"setting_up", lmp_work_setting_up}, {NULL, NULL}};
