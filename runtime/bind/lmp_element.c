/* lmp_element.c -- owns the views of structs in arrays: a[i].x
 *
 * A view remembers the array, which it keeps alive, and its place there.  Two
 * of the same place are equal.
 */
#include "lmp_cell.h"

struct element {
  const void *mark;
  struct lmp_box *array; /* kept alive by our user value */
  lua_Integer i;
};

static const char element_mark;

void lmp_element_push(lua_State *L, struct lmp_box *b, lua_Integer i) {
  struct element *e = lua_newuserdatauv(L, sizeof *e, 1);

  e->mark = &element_mark;
  e->array = b;
  e->i = i;
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  luaL_setmetatable(L, "mp.Element");
}

static struct element *check_element(lua_State *L, int idx) {
  struct element *e = lua_touserdata(L, idx);

  if (!e || lua_rawlen(L, idx) != sizeof *e || e->mark != &element_mark)
    luaL_typeerror(L, idx, "mp.Element");
  else if (!e->array->held || e->array->generation != mp_generation()) {
    lua_getiuservalue(L, idx, 1);
    (void)lmp_box_check(L, -1, MP_TYPE_ARRAY);
    lua_pop(L, 1);
  }
  return e;
}

static int element_index(lua_State *L) {
  struct element *e = check_element(L, 1);
  const struct mp_cell *c = &e->array->cell;
  const struct mp_field *f = lmp_field_find(L, c, 2);

  if (f)
    lmp_field_push(L, f, lmp_item_place(c, e->i));
  else
    lua_pushnil(L);
  return 1;
}

static int element_newindex(lua_State *L) {
  struct element *e = check_element(L, 1);
  const struct mp_cell *c = &e->array->cell;
  const struct mp_field *f = lmp_field_find(L, c, 2);

  if (!f)
    return luaL_error(L, "mp.Element: the struct has no field '%s'",
                      luaL_tolstring(L, 2, NULL));
  lmp_field_set(L, f, lmp_item_place(c, e->i), 3);
  return 0;
}

static int element_eq(lua_State *L) {
  struct element *a = check_element(L, 1);
  struct element *b = check_element(L, 2);

  lua_pushboolean(L, a->array == b->array && a->i == b->i);
  return 1;
}

static int element_tostring(lua_State *L) {
  struct element *e = check_element(L, 1);

  lua_pushfstring(L, "mp.Element %I of %p", (LUAI_UACINT)e->i, e->array);
  return 1;
}

/* The fields in their order. */
static int element_next(lua_State *L) {
  struct element *e = check_element(L, 1);
  const struct mp_cell *c = &e->array->cell;
  const struct mp_field *f = c->fields;

  if (!lua_isnil(L, 2)) {
    f = lmp_field_find(L, c, 2);
    if (!f)
      return luaL_error(L, "pairs: the struct has no such field");
    f++;
  }
  if (f == c->fields + c->nfields)
    return 0;
  lua_pushstring(L, f->name);
  lmp_field_push(L, f, lmp_item_place(c, e->i));
  return 2;
}

static int element_pairs(lua_State *L) {
  (void)check_element(L, 1);
  lua_pushcfunction(L, element_next);
  lua_pushvalue(L, 1);
  return 2;
}

/* It travels as the array and the place in it. */
static int element_reduce(lua_State *L) {
  struct element *e = check_element(L, 1);

  lua_pushcfunction(L, lmp_element_new);
  lua_getiuservalue(L, 1, 1);
  lua_pushinteger(L, e->i);
  return 3;
}

/* core.element(array, i) -> a[i] */
int lmp_element_new(lua_State *L) {
  (void)lmp_box_check(L, 1, MP_TYPE_ARRAY);
  (void)luaL_checkinteger(L, 2);
  lua_settop(L, 2);
  lua_gettable(L, 1);
  return 1;
}

static const luaL_Reg meta[] = {{"__index", element_index},
                                {"__newindex", element_newindex},
                                {"__eq", element_eq},
                                {"__pairs", element_pairs},
                                {"__reduce", element_reduce},
                                {"__tostring", element_tostring},
                                {NULL, NULL}};

void lmp_element_type(lua_State *L) {
  luaL_newmetatable(L, "mp.Element");
  luaL_setfuncs(L, meta, 0);
  lua_pushliteral(L, "mp object");
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}
