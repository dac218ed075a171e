/* lmp_items.c -- Array: elements in shared memory, one by one and in bulk.
 *
 * What is assigned in bulk is looked at whole before the first element is
 * written.
 */
#include "lmp_cell.h"

#include <string.h>

#define BATCH 64 /* values on the stack at once */

static struct lmp_box *check(lua_State *L) {
  return lmp_box_hot(L, 1, MP_TYPE_ARRAY);
}

/* One element */

/* A number of the key at idx: 1 when it names an element. */
static int find(lua_State *L, const struct mp_cell *c, int idx,
                lua_Integer *i) {
  int ok;

  *i = lua_tointegerx(L, idx, &ok);
  return ok && (uint64_t)*i - 1 < c->n;
}

static int chars_index(lua_State *L, const struct mp_cell *c) {
  const char *key = lua_tostring(L, 2);

  if (strcmp(key, "value") == 0)
    lmp_chars_push(L, c->data, c->n);
  else if (strcmp(key, "raw") == 0)
    lua_pushlstring(L, c->data, c->n);
  else
    return 0;
  return 1;
}

static int items_index(lua_State *L) {
  struct lmp_box *b = check(L);
  const struct mp_cell *c = &b->cell;
  lua_Integer i;

  if (lua_type(L, 2) == LUA_TNUMBER) {
    if (!find(L, c, 2, &i))
      lua_pushnil(L);
    else if (c->code == MP_STRUCT)
      lmp_element_push(L, b, i);
    else
      lmp_num_push(L, c->code, mp_num_load(c->code, lmp_item_place(c, i)));
    return 1;
  }
  if (c->code == 'c' && lua_type(L, 2) == LUA_TSTRING && chars_index(L, c))
    return 1;
  lua_settop(L, 2);
  lua_rawget(L, lua_upvalueindex(2));
  return 1;
}

static int chars_newindex(lua_State *L, const struct mp_cell *c) {
  const char *key = lua_tostring(L, 2);
  size_t len;

  if (strcmp(key, "value") == 0) {
    lmp_chars_set(L, c->data, c->n, 3, "value");
    return 1;
  }
  if (strcmp(key, "raw") != 0)
    return 0;
  if (lua_type(L, 3) != LUA_TSTRING || lua_rawlen(L, 3) > c->n)
    luaL_error(L, "raw: a string of at most %I bytes was expected",
               (LUAI_UACINT)c->n);
  key = lua_tolstring(L, 3, &len);
  mp_num_write(c->data, key, len);
  return 1;
}

static int items_newindex(lua_State *L) {
  struct lmp_box *b = check(L);
  const struct mp_cell *c = &b->cell;
  lua_Integer i;

  if (lua_type(L, 2) == LUA_TNUMBER) {
    if (!find(L, c, 2, &i))
      return luaL_error(L, "mp.Array: index %s is out of range (1 to %I)",
                        luaL_tolstring(L, 2, NULL), (LUAI_UACINT)c->n);
    lmp_item_set(L, c, lmp_item_place(c, i), 3, "mp.Array");
    return 0;
  }
  if (c->code == 'c' && lua_type(L, 2) == LUA_TSTRING && chars_newindex(L, c))
    return 0;
  return luaL_error(L, "mp.Array: cannot set '%s'", luaL_tolstring(L, 2, NULL));
}

static int items_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check(L)->cell.n);
  return 1;
}

static int items_next(lua_State *L) {
  lua_Integer i = luaL_checkinteger(L, 2);

  lua_settop(L, 1);
  lua_pushinteger(L, (lua_Integer)((uint64_t)i + 1));
  lua_pushvalue(L, 2);
  return lua_gettable(L, 1) == LUA_TNIL ? 1 : 2;
}

static int items_pairs(lua_State *L) {
  (void)check(L);
  lua_pushcfunction(L, items_next);
  lua_pushvalue(L, 1);
  lua_pushinteger(L, 0);
  return 3;
}

/* In bulk */

/* i and j at idx and idx + 1, as in string.sub; the number of elements. */
static lua_Integer range(lua_State *L, const struct mp_cell *c, int idx,
                         lua_Integer *i) {
  lua_Integer n = (lua_Integer)c->n;
  lua_Integer j = luaL_optinteger(L, idx + 1, -1);

  *i = luaL_optinteger(L, idx, 1);
  if (*i < 0)
    *i = *i < -n ? 1 : n + *i + 1;
  else if (*i == 0)
    *i = 1;
  if (j < 0)
    j = j < -n ? 0 : n + j + 1;
  else if (j > n)
    j = n;
  return *i <= j ? j - *i + 1 : 0;
}

static void push_bytes(lua_State *L, const char *at, size_t len) {
  luaL_Buffer buf;

  mp_num_read(luaL_buffinitsize(L, &buf, len), at, len);
  luaL_pushresultsize(&buf, len);
}

/* array:slice([i [, j]]) -> table; of an array of c a string */
static int lmp_items_slice(lua_State *L) {
  const struct mp_cell *c = &check(L)->cell;
  lua_Integer i;
  lua_Integer n = range(L, c, 2, &i);
  const char *at = lmp_item_place(c, i);
  lua_Integer k;

  if (c->code == 'c') {
    push_bytes(L, at, (size_t)n);
    return 1;
  }
  luaL_argcheck(L, n < INT32_MAX, 1, "too many elements for a table");
  lua_createtable(L, (int)n, 0);
  for (k = 1; k <= n; k++, at += c->size) {
    if (c->code == 'd')
      lua_pushnumber(L, mp_num_load('d', at).d);
    else
      lmp_item_push(L, c, at);
    lua_rawseti(L, -2, k);
  }
  return 1;
}

/* array:tostring() -> the bytes */
static int lmp_items_tostring(lua_State *L) {
  const struct mp_cell *c = &check(L)->cell;

  push_bytes(L, c->data, c->n * c->size);
  return 1;
}

/* Doubles are the common case: no look at each one's typecode, one pop and
 * one store for many.  Returns the number of the first that is no number, which
 * is on top, or 0. */
static lua_Integer put_doubles(lua_State *L, int idx, lua_Integer n, char *at) {
  int top = lua_gettop(L);
  double batch[BATCH];
  lua_Integer done;
  lua_Integer m;
  lua_Integer k;

  luaL_checkstack(L, BATCH, "assign");
  for (done = 0; done < n; done += m) {
    m = n - done < BATCH ? n - done : BATCH;
    for (k = 0; k < m; k++) {
      if (lua_rawgeti(L, idx, done + k + 1) != LUA_TNUMBER)
        return done + k + 1;
      if (at)
        batch[k] = lua_tonumber(L, -1);
    }
    lua_settop(L, top);
    if (at)
      mp_num_write(at + (uint64_t)done * sizeof *batch, batch,
                   (size_t)m * sizeof *batch);
  }
  return 0;
}

/* Elements 1 .. n of the list at idx, written to `at`; to NULL: only looked
 * at.  Raises for the first that does not fit. */
static void put_numbers(lua_State *L, const struct mp_cell *c, int idx,
                        lua_Integer n, char *at, const char *what) {
  union mp_num v;
  lua_Integer k;

  if (c->code == 'd') {
    k = put_doubles(L, idx, n, at);
    if (k)
      lmp_num_misfit(L, -1, 'd', what, k);
    return;
  }
  for (k = 1; k <= n; k++) {
    lua_rawgeti(L, idx, k);
    if (!lmp_num_test(L, -1, c->code, &v))
      lmp_num_misfit(L, -1, c->code, what, k);
    if (at) {
      mp_num_store(c->code, at, v);
      at += c->size;
    }
    lua_pop(L, 1);
  }
}

/* The list of structs at idx, made in a userdata that is left on the top. */
static char *make_structs(lua_State *L, const struct mp_cell *c, int idx,
                          lua_Integer n, const char *what) {
  char *made;
  lua_Integer k;

  if ((uint64_t)n > ((uint64_t)1 << MP_REF_BITS) / c->size)
    luaL_error(L, "%s: not enough memory", what);
  made = lua_newuserdatauv(L, (size_t)n * c->size, 0);
  memset(made, 0, (size_t)n * c->size);
  for (k = 1; k <= n; k++) {
    lua_rawgeti(L, idx, k);
    lmp_item_make(L, c, made + (uint64_t)(k - 1) * c->size, -1, what, k);
    lua_pop(L, 1);
  }
  return made;
}

static void assign_list(lua_State *L, const struct mp_cell *c, lua_Integer i,
                        lua_Integer n) {
  if (c->code == MP_STRUCT) {
    mp_num_write(lmp_item_place(c, i), make_structs(L, c, 3, n, "assign"),
                 (size_t)n * c->size);
    return;
  }
  put_numbers(L, c, 3, n, NULL, "assign");
  put_numbers(L, c, 3, n, lmp_item_place(c, i), "assign");
}

/* array:assign(i, list or packed string): elements i, i + 1, ... */
static int lmp_items_assign(lua_State *L) {
  const struct mp_cell *c = &check(L)->cell;
  lua_Integer i = luaL_checkinteger(L, 2);
  size_t n = lua_rawlen(L, 3);
  int packed = lua_type(L, 3) == LUA_TSTRING;

  luaL_argexpected(L, packed || lua_istable(L, 3), 3, "table or string");
  if (packed)
    luaL_argcheck(L, n % c->size == 0, 3, "not a whole number of elements");
  if (packed)
    n /= c->size;
  if (i < 0)
    i += (lua_Integer)c->n + 1;
  luaL_argcheck(L, i >= 1 && (uint64_t)i - 1 <= c->n, 2, "out of range");
  luaL_argcheck(L, n <= c->n - ((uint64_t)i - 1), 3,
                "more elements than there is room for");
  if (packed)
    mp_num_write(lmp_item_place(c, i), lua_tostring(L, 3), n * c->size);
  else
    assign_list(L, c, i, (lua_Integer)n);
  return 0;
}

/* array:fill(value [, i [, j]]) */
static int lmp_items_fill(lua_State *L) {
  const struct mp_cell *c = &check(L)->cell;
  lua_Integer i;
  lua_Integer n;
  char *element;

  luaL_checkany(L, 2);
  n = range(L, c, 3, &i);
  element = lua_newuserdatauv(L, c->size, 0);
  memset(element, 0, c->size);
  lmp_item_make(L, c, element, 2, "fill", 0);
  mp_num_fill(lmp_item_place(c, i), element, c->size, (uint64_t)n);
  return 0;
}

/* Making one */

/* What the second argument says: the number of elements. */
static uint64_t initial_len(lua_State *L, const struct mp_cell *c,
                            const char *what) {
  lua_Integer n;
  int ok;

  switch (lua_type(L, 2)) {
  case LUA_TNUMBER:
    n = lua_tointegerx(L, 2, &ok);
    if (!ok || n < 0)
      luaL_error(L, "%s: the number of elements must be an integer >= 0", what);
    return (uint64_t)n;
  case LUA_TTABLE:
    return lua_rawlen(L, 2);
  case LUA_TSTRING:
    if (c->code == 'c')
      return lua_rawlen(L, 2);
    break;
  default:
    break;
  }
  luaL_error(L, "%s: a number of elements or a list was expected, not a %s",
             what, luaL_typename(L, 2));
  return 0;
}

static int open_array(lua_State *L, struct mp_cell *c, const char *what) {
  int type = lua_type(L, 2);
  const char *made = NULL;
  struct lmp_box *b;

  c->n = initial_len(L, c, what);
  if (type == LUA_TSTRING)
    made = lua_tostring(L, 2);
  else if (type == LUA_TTABLE && c->code == MP_STRUCT)
    made = make_structs(L, c, 2, (lua_Integer)c->n, what);
  else if (type == LUA_TTABLE)
    put_numbers(L, c, 2, (lua_Integer)c->n, NULL, what);
  b = lmp_cell_new(L, MP_TYPE_ARRAY, c, what);
  if (made)
    mp_num_write(b->cell.data, made, c->n * c->size);
  else if (type == LUA_TTABLE)
    put_numbers(L, c, 2, (lua_Integer)c->n, b->cell.data, what);
  return 1;
}

/* core.array(typecode, n or list [, {lock=}]) -> Array */
int lmp_items_new(lua_State *L) {
  struct mp_cell c;

  lua_settop(L, 3);
  lmp_struct_read(L, 1, &c, "Array");
  lmp_cell_options(L, 3, &c, "Array");
  return open_array(L, &c, "Array");
}

/* core.raw_array(typecode, n or list) -> Array */
int lmp_items_raw(lua_State *L) {
  struct mp_cell c;

  lua_settop(L, 2);
  lmp_struct_read(L, 1, &c, "RawArray");
  c.flags = MP_CELL_RAW;
  return open_array(L, &c, "RawArray");
}

static int items_text(lua_State *L) {
  struct lmp_box *b = lmp_box_test(L, 1);

  if (!b || b->kind != MP_TYPE_ARRAY)
    return luaL_typeerror(L, 1, "mp.Array");
  if (!b->held)
    lua_pushliteral(L, "mp.Array (closed)");
  else if (b->cell.code == MP_STRUCT)
    lua_pushfstring(L, "mp.Array (%I structs of %d): %p",
                    (LUAI_UACINT)b->cell.n, (int)b->cell.nfields, b);
  else
    lua_pushfstring(L, "mp.Array ('%c', %I): %p", b->cell.code,
                    (LUAI_UACINT)b->cell.n, b);
  return 1;
}

static const luaL_Reg meta[] = {{"__index", items_index},
                                {"__newindex", items_newindex},
                                {"__len", items_len},
                                {"__pairs", items_pairs},
                                {"__close", lmp_cell_close},
                                {"__tostring", items_text},
                                {NULL, NULL}};

static const luaL_Reg methods[] = {
    {"slice", lmp_items_slice},      {"assign", lmp_items_assign},
    {"fill", lmp_items_fill},        {"tostring", lmp_items_tostring},
    {"get_lock", lmp_cell_get_lock}, {NULL, NULL}};

void lmp_items_type(lua_State *L) {
  lmp_cell_type(L, "mp.Array", meta, methods);
}
