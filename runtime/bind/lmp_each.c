/* lmp_each.c -- tasks that travel alone, by the hundred: the three loops of a
 * crew in which Lua itself would cost more than the queue.
 *
 * The tags are those of worker.lua.
 */
#include "lmp.h"

#include <string.h>

#define SLOT 0x3ffffffu
#define KIND(tag) ((tag) >> 26 & 7)
#define COUNT 29
#define INDEX(tag) ((tag) >> COUNT & 0xffff)
#define FUNCTION(tag) ((tag) >> 45)
enum { ONE = 0, EACH = 4 }; /* kinds of items */
enum { VALUE = 0 };         /* of replies */

/* ---- the owner puts ---- */

struct series {
  mp_ref queue;
  lua_Integer first; /* the element of the list */
  lua_Integer n;
  uint64_t tag;
  lua_Integer put;    /* so many are in */
  lua_Integer number; /* of the first, in the queue */
};

/* (series, list), protected: an element may be refused. */
static int put_series(lua_State *L) {
  struct series *s = lua_touserdata(L, 1);

  while (s->put < s->n) {
    uint64_t tag = s->tag | (uint64_t)(s->put + 1) << COUNT;
    struct lmp_packer *p;
    uint32_t number;
    int rc;

    lua_settop(L, 2);
    lua_rawgeti(L, 2, s->first + s->put);
    p = lmp_pack(L, 3, LMP_TAGGED, "value");
    memcpy((void *)(uintptr_t)p->out.iov[0].base, &tag, sizeof tag);
    do
      rc = mp_queue_put(s->queue, &p->out, MP_FOREVER, &number);
    while (rc == LMP_INTERRUPTED && lmp_resume(L));
    if (rc < 0)
      return lmp_raise(L, rc, "put");
    if (s->put++ == 0)
      s->number = number;
  }
  return 0;
}

/* queue:_put_each(list, first, n, tag) -> how many, the number of the first
 * [, error]
 *
 * Elements first .. first+n-1, each an item with its index (from 1) in the tag.
 * Their numbers follow each other if nobody else puts. */
static int lmp_each_put(lua_State *L) {
  struct series s = {.queue = lmp_task_box(L, 1)->held};
  int ok;

  luaL_checktype(L, 2, LUA_TTABLE);
  s.first = luaL_checkinteger(L, 3);
  s.n = luaL_checkinteger(L, 4);
  s.tag = (uint64_t)luaL_checkinteger(L, 5);
  lua_pushcfunction(L, put_series);
  lua_pushlightuserdata(L, &s);
  lua_pushvalue(L, 2);
  ok = lua_pcall(L, 2, 0, 0) == LUA_OK;
  lua_pushinteger(L, s.put);
  lua_pushinteger(L, s.number);
  if (ok)
    return 2;
  lua_rotate(L, -3, 2);
  return 3;
}

/* ---- a worker serves ---- */

/* Where the arguments of _serve lie. */
enum { TASKS = 1, RESULTS, CELLS, KNOWN, HANDLER, LAST = HANDLER };

/* The function of an item, pushed; 0 when Lua has to see to it. */
static int push_function(lua_State *L, uint64_t tag) {
  uint64_t id = FUNCTION(tag);

  if (id == 0 || (KIND(tag) != ONE && KIND(tag) != EACH))
    return 0;
  if (lua_rawgeti(L, KNOWN, (lua_Integer)id) != LUA_TNIL)
    return 1;
  lua_pop(L, 1);
  return 0;
}

/* The item lies on top: tag, ok, value.  NULL: it is done; else what Lua shall
 * do, and the tag and a value are on top. */
static const char *run_item(lua_State *L, uint64_t tag) {
  uint64_t reply = tag & SLOT;

  if (!push_function(L, tag))
    return "item";
  if (KIND(tag) == EACH)
    reply |= INDEX(tag) << COUNT;
  lua_insert(L, -2);
  if (lua_pcall(L, 1, 1, HANDLER) != LUA_OK)
    return "raised";
  lua_pushcfunction(L, lmp_task_put);
  lua_insert(L, -2);
  lua_pushvalue(L, RESULTS);
  lua_insert(L, -2);
  lua_pushinteger(L, (lua_Integer)reply);
  if (lua_pcall(L, 3, 0, 0) != LUA_OK)
    return "unsent";
  return NULL;
}

/* queue:_serve(results, cells, known, handler, i, quota) -> ran [, what, tag,
 * value]
 *
 * Take items and run them, `quota` at most, as long as they are single tasks
 * whose function is known[id]; reply to `results`.  cells[i] is where it says
 * what it is at.  Ends when the queue is closed, the quota is used up, or with
 * something for Lua to do, task_done included: an "item", or "damaged" and why;
 * a task has "raised", its result is "unsent". */
static int lmp_each_serve(lua_State *L) {
  struct lmp_box *b = lmp_task_box(L, TASKS);
  void *cell = lmp_run_cell(L, CELLS, luaL_checkinteger(L, 6));
  lua_Integer quota = luaL_checkinteger(L, 7);
  lua_Integer ran = 0;
  const char *what;

  lua_settop(L, LAST);
  luaL_checkstack(L, 10, NULL);
  while (ran < quota) {
    uint64_t tag;
    int rc;

    lua_settop(L, LAST);
    rc = lmp_task_take(L, b, MP_FOREVER, NULL);
    if (rc == -MP_ECLOSED)
      break;
    if (rc < 0)
      return lmp_raise(L, rc, "get");
    tag = (uint64_t)lua_tointeger(L, -3);
    mp_num_store('Q', cell, (union mp_num){.u = (tag & SLOT) << 32 | 1});
    what = lua_toboolean(L, -2) ? run_item(L, tag) : "damaged";
    if (what) {
      lua_pushinteger(L, ran);
      lua_pushstring(L, what);
      lua_pushinteger(L, (lua_Integer)tag);
      lua_pushvalue(L, -4);
      return 4;
    }
    rc = mp_queue_done(b->held);
    if (rc < 0)
      return luaL_error(L, "%s", mp_err_text(rc));
    ran++;
  }
  lua_pushinteger(L, ran);
  return 1;
}

/* ---- the owner collects ---- */

/* queue:_collect(slot, results, before, done) -> n [, tag, ok, value]
 *
 * Take what is there as long as it is values of that slot's tasks:
 * results[before + index] = value, done[index] = true.  n: how many; then the
 * first reply of another kind, as from _get. */
static int lmp_each_collect(lua_State *L) {
  struct lmp_box *b = lmp_task_box(L, 1);
  uint64_t slot = (uint64_t)luaL_checkinteger(L, 2);
  lua_Integer before = luaL_checkinteger(L, 4);
  lua_Integer n = 0;

  luaL_checktype(L, 3, LUA_TTABLE);
  luaL_checktype(L, 5, LUA_TTABLE);
  for (;; n++) {
    uint64_t tag;

    lua_settop(L, 5);
    if (lmp_task_take(L, b, MP_NOW, NULL) < 0)
      break;
    tag = (uint64_t)lua_tointeger(L, -3);
    if ((tag & SLOT) != slot || KIND(tag) != VALUE || !lua_toboolean(L, -2)) {
      lua_pushinteger(L, n);
      lua_insert(L, -4);
      return 4;
    }
    lua_rawseti(L, 3, before + (lua_Integer)INDEX(tag));
    lua_pushboolean(L, 1);
    lua_rawseti(L, 5, (lua_Integer)INDEX(tag));
  }
  lua_pushinteger(L, n);
  return 1;
}

const luaL_Reg lmp_each_functions[] = {{"each_put", lmp_each_put},
                                       {"each_serve", lmp_each_serve},
                                       {"each_collect", lmp_each_collect},
                                       {NULL, NULL}};
