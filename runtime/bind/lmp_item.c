/* lmp_item.c -- owns elements: numbers, and structs of them, in shared memory
 * and in our own.
 *
 * Every conversion ends before the first byte in shared memory is written.
 */
#include "lmp_cell.h"

#include <string.h>

#define SMALL_STRUCT 512 /* bytes: made on the C stack */

/* Strings in arrays of c */

void lmp_chars_push(lua_State *L, const void *at, size_t len) {
  const char *end = memchr(at, 0, len);

  lua_pushlstring(L, at, end ? (size_t)(end - (const char *)at) : len);
}

static const char *check_chars(lua_State *L, int idx, size_t room, size_t *len,
                               const char *what) {
  const char *s = NULL;

  if (lua_type(L, idx) == LUA_TSTRING)
    s = lua_tolstring(L, idx, len);
  if (!s)
    luaL_error(L, "%s: a string was expected, not a %s", what,
               luaL_typename(L, idx));
  else if (*len > room)
    luaL_error(L, "%s: a string of %I bytes, and room for %I", what,
               (LUAI_UACINT)*len, (LUAI_UACINT)room);
  return s;
}

void lmp_chars_set(lua_State *L, void *at, size_t room, int idx,
                   const char *what) {
  size_t len = 0;
  const char *s = check_chars(L, idx, room, &len, what);

  /* Lua keeps a NUL behind each string. */
  mp_num_write(at, s, len < room ? len + 1 : len);
}

/* Fields */

const struct mp_field *lmp_field_find(lua_State *L, const struct mp_cell *c,
                                      int idx) {
  const char *name;
  unsigned i;

  if (lua_type(L, idx) != LUA_TSTRING)
    return NULL;
  name = lua_tostring(L, idx);
  for (i = 0; i < c->nfields; i++)
    if (strcmp(c->fields[i].name, name) == 0)
      return &c->fields[i];
  return NULL;
}

static int is_chars(const struct mp_field *f) {
  return f->code == 'c' && f->count > 1;
}

void lmp_field_push(lua_State *L, const struct mp_field *f, const void *base) {
  const char *at = (const char *)base + f->offset;

  if (is_chars(f))
    lmp_chars_push(L, at, f->count);
  else
    lmp_num_push(L, f->code, mp_num_load(f->code, at));
}

void lmp_field_set(lua_State *L, const struct mp_field *f, void *base,
                   int idx) {
  char *at = (char *)base + f->offset;
  union mp_num v;

  if (is_chars(f))
    lmp_chars_set(L, at, f->count, idx, f->name);
  else if (lmp_num_test(L, idx, f->code, &v))
    mp_num_store(f->code, at, v);
  else
    lmp_num_misfit(L, idx, f->code, f->name, 0);
}

static void push_struct(lua_State *L, const struct mp_cell *c,
                        const void *base) {
  unsigned i;

  luaL_checkstack(L, 4, "struct");
  lua_createtable(L, 0, (int)c->nfields);
  for (i = 0; i < c->nfields; i++) {
    lmp_field_push(L, &c->fields[i], base);
    lua_setfield(L, -2, c->fields[i].name);
  }
}

/* A key in a table that stands for a struct: a field's name or its number. */
static const struct mp_field *
field_of_key(lua_State *L, const struct mp_cell *c, int idx, const char *what) {
  const struct mp_field *f = lmp_field_find(L, c, idx);
  lua_Integer i;

  if (!f && lua_isinteger(L, idx)) {
    i = lua_tointeger(L, idx);
    if (i >= 1 && i <= (lua_Integer)c->nfields)
      f = &c->fields[i - 1];
  }
  if (!f)
    luaL_error(L, "%s: the struct has no field '%s'", what,
               luaL_tolstring(L, idx, NULL));
  return f;
}

static void make_struct(lua_State *L, const struct mp_cell *c, void *to,
                        int idx, const char *what, lua_Integer item) {
  if (!lua_istable(L, idx)) {
    if (item)
      what = lua_pushfstring(L, "%s: element %I", what, (LUAI_UACINT)item);
    luaL_error(L, "%s: a table of fields was expected, not a %s", what,
               luaL_typename(L, idx));
  }
  luaL_checkstack(L, 8, what);
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    lmp_field_set(L, field_of_key(L, c, -2, what), to, -1);
    lua_pop(L, 1);
  }
}

/* Elements */

void lmp_item_push(lua_State *L, const struct mp_cell *c, const void *at) {
  if (c->code == MP_STRUCT)
    push_struct(L, c, at);
  else
    lmp_num_push(L, c->code, mp_num_load(c->code, at));
}

void lmp_item_make(lua_State *L, const struct mp_cell *c, void *to, int idx,
                   const char *what, lua_Integer item) {
  union mp_num v;

  idx = lua_absindex(L, idx);
  if (c->code == MP_STRUCT)
    make_struct(L, c, to, idx, what, item);
  else if (lmp_num_test(L, idx, c->code, &v))
    mp_num_store(c->code, to, v);
  else
    lmp_num_misfit(L, idx, c->code, what, item);
}

static void set_struct(lua_State *L, const struct mp_cell *c, void *at, int idx,
                       const char *what) {
  _Alignas(8) char small[SMALL_STRUCT];
  void *made = small;

  idx = lua_absindex(L, idx);
  if (c->size > sizeof small)
    made = lua_newuserdatauv(L, c->size, 0);
  memset(made, 0, c->size);
  lmp_item_make(L, c, made, idx, what, 0);
  mp_num_write(at, made, c->size);
  if (made != small)
    lua_pop(L, 1);
}

void lmp_item_set(lua_State *L, const struct mp_cell *c, void *at, int idx,
                  const char *what) {
  union mp_num v;

  if (c->code == MP_STRUCT)
    set_struct(L, c, at, idx, what);
  else if (lmp_num_test(L, idx, c->code, &v))
    mp_num_store(c->code, at, v);
  else
    lmp_num_misfit(L, idx, c->code, what, 0);
}
