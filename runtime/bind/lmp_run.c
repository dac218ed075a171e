/* lmp_run.c -- runs of tasks, for crews: what Lua itself would pay most for,
 * element by element.  Lists here are accessed raw.
 */
#include "lmp.h"

#define LONGEST (1 << 24) /* elements for which room is made ahead */
#define UNTIMED 16        /* tasks between two looks at the clock */

/* core.run_list(n) -> an empty list with room for n elements */
static int lmp_run_list(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 1);

  lua_createtable(L, n < 0 ? 0 : n < LONGEST ? (int)n : LONGEST, 0);
  return 1;
}

/* core.run_move(list, first, n, to, at): to[at ..] = list[first .. first+n-1] */
static int lmp_run_move(lua_State *L) {
  lua_Integer first = luaL_checkinteger(L, 2);
  lua_Integer n = luaL_checkinteger(L, 3);
  lua_Integer at = luaL_checkinteger(L, 5);
  lua_Integer i;

  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 4, LUA_TTABLE);
  lua_settop(L, 4);
  for (i = 0; i < n; i++) {
    lua_rawgeti(L, 1, first + i);
    lua_rawseti(L, 4, at + i);
  }
  return 0;
}

void *lmp_run_cell(lua_State *L, int idx, lua_Integer i) {
  struct lmp_box *b = lmp_box_hot(L, idx, MP_TYPE_ARRAY);

  if (b->cell.code != 'Q' || i < 1 || (uint64_t)i > b->cell.n)
    luaL_argerror(L, idx, "not the cell of a worker");
  return (char *)b->cell.data + (uint64_t)(i - 1) * b->cell.size;
}

/* core.run_tasks(f, list, first, last, results, from, cells, i, mark, deadline)
 * -> the last task that was run
 *
 * results[1 ..] = f(list[from]) ..., for the tasks first .. last, until the
 * clock (core.now) has passed the deadline.  cells[i] is mark | the task that
 * runs; so it tells which one has raised. */
static int lmp_run_tasks(lua_State *L) {
  lua_Integer task = luaL_checkinteger(L, 3);
  lua_Integer last = luaL_checkinteger(L, 4);
  lua_Integer from = luaL_checkinteger(L, 6);
  void *cell = lmp_run_cell(L, 7, luaL_checkinteger(L, 8));
  union mp_num at = {.u = (uint64_t)luaL_checkinteger(L, 9)};
  int64_t deadline = (int64_t)(luaL_checknumber(L, 10) * 1e9);
  uint64_t mark = at.u;

  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checktype(L, 5, LUA_TTABLE);
  lua_settop(L, 7); /* the box of the cells stays */
  for (;; task++) {
    at.u = mark | (uint64_t)task;
    mp_num_store('Q', cell, at);
    lua_pushvalue(L, 1);
    lua_rawgeti(L, 2, task);
    lua_call(L, 1, 1);
    lua_rawseti(L, 5, task - from + 1);
    if (task >= last)
      break;
    if ((task < UNTIMED || task % UNTIMED == 0) && mp_now() > deadline)
      break;
  }
  lua_pushinteger(L, task);
  return 1;
}

const luaL_Reg lmp_run_functions[] = {{"run_list", lmp_run_list},
                                      {"run_move", lmp_run_move},
                                      {"run_tasks", lmp_run_tasks},
                                      {NULL, NULL}};
