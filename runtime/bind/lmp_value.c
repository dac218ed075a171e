/* lmp_value.c -- Value: one element in shared memory, and its atomics. */
#include "lmp_cell.h"

#include <string.h>

static int open_value(lua_State *L, struct mp_cell *c, const char *what) {
  _Alignas(8) char number[8] = {0};
  void *initial = number;
  struct lmp_box *b;

  c->n = 1;
  if (c->size > sizeof number) {
    initial = lua_newuserdatauv(L, c->size, 0);
    memset(initial, 0, c->size);
  }
  if (!lua_isnil(L, 2))
    lmp_item_make(L, c, initial, 2, what, 0);
  b = lmp_cell_new(L, MP_TYPE_VALUE, c, what);
  mp_num_write(b->cell.data, initial, c->size);
  return 1;
}

/* core.value(typecode [, initial [, {lock=}]]) -> Value */
int lmp_value_new(lua_State *L) {
  struct mp_cell c;

  lua_settop(L, 3);
  lmp_struct_read(L, 1, &c, "Value");
  lmp_cell_options(L, 3, &c, "Value");
  return open_value(L, &c, "Value");
}

/* core.raw_value(typecode [, initial]) -> Value */
int lmp_value_raw(lua_State *L) {
  struct mp_cell c;

  lua_settop(L, 2);
  lmp_struct_read(L, 1, &c, "RawValue");
  c.flags = MP_CELL_RAW;
  return open_value(L, &c, "RawValue");
}

static struct lmp_box *check(lua_State *L) {
  return lmp_box_hot(L, 1, MP_TYPE_VALUE);
}

static int value_index(lua_State *L) {
  struct lmp_box *b = check(L);
  const struct mp_field *f;

  if (lua_rawequal(L, 2, lua_upvalueindex(1))) {
    lmp_item_push(L, &b->cell, b->cell.data);
  } else if (b->cell.nfields && (f = lmp_field_find(L, &b->cell, 2)) != NULL) {
    lmp_field_push(L, f, b->cell.data);
  } else {
    lua_settop(L, 2);
    lua_rawget(L, lua_upvalueindex(2));
  }
  return 1;
}

static int value_newindex(lua_State *L) {
  struct lmp_box *b = check(L);
  const struct mp_field *f;

  if (lua_rawequal(L, 2, lua_upvalueindex(1)))
    lmp_item_set(L, &b->cell, b->cell.data, 3, "value");
  else if (b->cell.nfields && (f = lmp_field_find(L, &b->cell, 2)) != NULL)
    lmp_field_set(L, f, b->cell.data, 3);
  else
    return luaL_error(L, "mp.Value: cannot set '%s'",
                      luaL_tolstring(L, 2, NULL));
  return 0;
}

/* Atomics */

static struct mp_cell *check_number(lua_State *L, const char *what) {
  struct lmp_box *b = check(L);

  if (b->cell.code == MP_STRUCT)
    luaL_error(L, "%s: a struct is no number", what);
  return &b->cell;
}

static union mp_num check_arg(lua_State *L, const struct mp_cell *c, int idx,
                              const char *what) {
  union mp_num v = {0};

  luaL_checkany(L, idx);
  if (!lmp_num_test(L, idx, c->code, &v))
    lmp_num_misfit(L, idx, c->code, what, 0);
  return v;
}

/* value:add(n) -> what was there before */
static int lmp_value_add(lua_State *L) {
  struct mp_cell *c = check_number(L, "add");
  union mp_num n = {0};
  union mp_num old = {0};
  int rc;

  if (c->code == '?' || c->code == 'c')
    return luaL_error(L, "add: typecode '%c' is no number", c->code);
  if (!lmp_num_test_addend(L, 2, c->code, &n))
    return lmp_num_misfit(L, 2, c->code == 'd' || c->code == 'f' ? 'd' : 'q',
                          "add", 0);
  rc = mp_num_add(c->code, c->data, n, &old);
  if (rc < 0)
    return luaL_error(L, "add: the sum does not fit typecode '%c'", c->code);
  lmp_num_push(L, c->code, old);
  return 1;
}

/* value:exchange(new) -> what was there before */
static int lmp_value_exchange(lua_State *L) {
  struct mp_cell *c = check_number(L, "exchange");
  union mp_num v = check_arg(L, c, 2, "exchange");

  lmp_num_push(L, c->code, mp_num_exchange(c->code, c->data, v));
  return 1;
}

/* What compare_exchange looks for: also what was read from 2^63 on. */
static union mp_num expected(lua_State *L, const struct mp_cell *c) {
  if ((c->code == 'L' || c->code == 'Q') && lua_isinteger(L, 2))
    return (union mp_num){.u = (uint64_t)lua_tointeger(L, 2)};
  return check_arg(L, c, 2, "compare_exchange");
}

/* value:compare_exchange(old, new) -> done, what was there before */
static int lmp_value_compare_exchange(lua_State *L) {
  struct mp_cell *c = check_number(L, "compare_exchange");
  union mp_num old = expected(L, c);
  union mp_num v = check_arg(L, c, 3, "compare_exchange");
  union mp_num found = {0};

  lua_pushboolean(L, mp_num_compare_exchange(c->code, c->data, old, v, &found));
  lmp_num_push(L, c->code, found);
  return 2;
}

static int value_tostring(lua_State *L) {
  struct lmp_box *b = lmp_box_test(L, 1);

  if (!b || b->kind != MP_TYPE_VALUE)
    return luaL_typeerror(L, 1, "mp.Value");
  if (!b->held)
    lua_pushliteral(L, "mp.Value (closed)");
  else if (b->cell.code == MP_STRUCT)
    lua_pushfstring(L, "mp.Value (struct of %d): %p", (int)b->cell.nfields, b);
  else {
    check(L);
    lmp_item_push(L, &b->cell, b->cell.data);
    luaL_tolstring(L, -1, NULL);
    lua_pushfstring(L, "mp.Value ('%c', %s): %p", b->cell.code,
                    lua_tostring(L, -1), b);
  }
  return 1;
}

static const luaL_Reg meta[] = {{"__index", value_index},
                                {"__newindex", value_newindex},
                                {"__close", lmp_cell_close},
                                {"__tostring", value_tostring},
                                {NULL, NULL}};

static const luaL_Reg methods[] = {
    {"add", lmp_value_add},
    {"exchange", lmp_value_exchange},
    {"compare_exchange", lmp_value_compare_exchange},
    {"get_lock", lmp_cell_get_lock},
    {NULL, NULL}};

void lmp_value_type(lua_State *L) {
  lmp_cell_type(L, "mp.Value", meta, methods);
}
