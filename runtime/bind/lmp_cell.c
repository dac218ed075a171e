/* lmp_cell.c -- owns the boxes of shared values and arrays.
 *
 * Such a box keeps what a process knows of the cell, address and typecode, so
 * that an access is a look at the box and one at the memory.  Its user value
 * is the box of the lock, once that was asked for.
 */
#include "lmp_cell.h"

/* The value on top is option `lock`. */
static void read_lock(lua_State *L, struct mp_cell *c, const char *what) {
  struct lmp_box *b = lmp_box_test(L, -1);

  if (b && (b->kind == MP_TYPE_LOCK || b->kind == MP_TYPE_RLOCK))
    (void)lmp_box_ref(L, -1, &c->lock);
  else if (lua_isboolean(L, -1))
    c->flags = lua_toboolean(L, -1) ? 0 : MP_CELL_RAW;
  else
    luaL_error(L, "%s: option 'lock' must be a boolean, a Lock or an RLock",
               what);
}

void lmp_cell_options(lua_State *L, int idx, struct mp_cell *c,
                      const char *what) {
  if (lua_isnoneornil(L, idx))
    return;
  if (!lua_istable(L, idx))
    luaL_error(L, "%s: a table of options was expected, not a %s", what,
               luaL_typename(L, idx));
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    lua_pushliteral(L, "lock");
    if (!lua_rawequal(L, -1, -3))
      luaL_error(L, "%s: unknown option '%s' (valid: lock)", what,
                 luaL_tolstring(L, -3, NULL));
    lua_pop(L, 1);
    read_lock(L, c, what);
    lua_pop(L, 1);
  }
}

struct lmp_box *lmp_cell_new(lua_State *L, enum mp_type type, struct mp_cell *c,
                             const char *what) {
  struct lmp_box *b = lmp_box_new(L, type);
  int rc = mp_cell_open(&b->held, type, c);

  if (rc < 0)
    lmp_raise(L, rc, what);
  lmp_box_settle(L, -1);
  mp_cell_view(b->held, &b->cell);
  /* The collector sees the box only. */
  if (c->size * c->n >= 1024)
    lmp_account(L, c->size * c->n >> 10 < 1 << 30 ? (int)(c->size * c->n >> 10)
                                                  : 1 << 30);
  return b;
}

static struct lmp_box *check_cell(lua_State *L) {
  struct lmp_box *b = lmp_box_test(L, 1);

  return lmp_box_check(
      L, 1, b && b->kind == MP_TYPE_ARRAY ? MP_TYPE_ARRAY : MP_TYPE_VALUE);
}

/* cell:get_lock() -> Lock or RLock */
int lmp_cell_get_lock(lua_State *L) {
  struct lmp_box *b = check_cell(L);
  mp_ref lock;
  int rc;

  if (lua_getiuservalue(L, 1, 1) == LUA_TUSERDATA)
    return 1;
  rc = mp_cell_lock(b->held, &lock);
  if (rc < 0)
    return lmp_raise(L, rc, "get_lock");
  if (!lock)
    return luaL_error(L, "get_lock: this one was made without a lock");
  lmp_box_push(L, lock);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, 1);
  return 1;
}

/* __close: lets go of this handle; others keep theirs */
int lmp_cell_close(lua_State *L) {
  lmp_box_close(check_cell(L));
  return 0;
}

void lmp_cell_type(lua_State *L, const char *name, const luaL_Reg *meta,
                   const luaL_Reg *methods) {
  luaL_getmetatable(L, name);
  lua_pushliteral(L, "value");
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  luaL_setfuncs(L, meta, 2);
  lua_pop(L, 1);
}

void lmp_cell_types(lua_State *L) {
  lmp_value_type(L);
  lmp_items_type(L);
  lmp_element_type(L);
  luaL_newmetatable(L, "mp.Struct");
  lua_pop(L, 1);
}

const luaL_Reg lmp_cell_functions[] = {{"value", lmp_value_new},
                                       {"raw_value", lmp_value_raw},
                                       {"array", lmp_items_new},
                                       {"raw_array", lmp_items_raw},
                                       {"element", lmp_element_new},
                                       {"struct", lmp_struct_new},
                                       {NULL, NULL}};
