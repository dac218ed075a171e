/* lmp_wait.c -- one wait for descriptors, with the family looked after. */
#include "lmp.h"

/* -1, which is never open, for what no descriptor can be. */
static int to_fd(lua_Integer n) {
  return n >= 0 && n <= INT32_MAX ? (int)n : -1;
}

/* core.wait(list of descriptors, timeout [, n]) -> list of the indices ready |
 * nil, the index of one that is not open.  The first n of the list are to be
 * written to. */
static int lmp_wait_fds(lua_State *L) {
  int64_t deadline = lmp_deadline(L, 2);
  lua_Integer writers = luaL_optinteger(L, 3, 0);
  struct mp_poll *list;
  lua_Integer found = 0;
  unsigned n;
  unsigned i;
  int rc;

  luaL_checktype(L, 1, LUA_TTABLE);
  n = (unsigned)lua_rawlen(L, 1);
  list = lua_newuserdatauv(L, (n + 1) * sizeof *list, 0);
  for (i = 0; i < n; i++) {
    lua_rawgeti(L, 1, (lua_Integer)i + 1);
    list[i].fd = to_fd(lua_tointeger(L, -1));
    list[i].ready = 0;
    list[i].to_write = i < writers;
    lua_pop(L, 1);
  }
  do
    rc = mp_watch(list, n, deadline);
  while (rc == LMP_INTERRUPTED && lmp_resume(L));
  if (rc < 0) {
    for (i = 0; i < n; i++)
      if (!mp_fd_is_open(list[i].fd)) {
        lua_pushnil(L);
        lua_pushinteger(L, (lua_Integer)i + 1);
        return 2;
      }
    return lmp_raise(L, rc, "wait");
  }
  lua_createtable(L, rc, 0);
  for (i = 0; i < n; i++)
    if (list[i].ready) {
      lua_pushinteger(L, (lua_Integer)i + 1);
      lua_rawseti(L, -2, ++found);
    }
  return 1;
}

/* core.settle(timeout) -> boolean: false when a stopped process keeps us all
 * that time from what changes the family. */
static int lmp_wait_settle(lua_State *L) {
  int64_t deadline = lmp_deadline(L, 1);
  int rc;

  do
    rc = mp_settle(deadline);
  while (rc == LMP_INTERRUPTED && lmp_resume(L));
  lua_pushboolean(L, rc == 0);
  return 1;
}

const luaL_Reg lmp_wait_functions[] = {
    {"wait", lmp_wait_fds}, {"settle", lmp_wait_settle}, {NULL, NULL}};
