/* lmp_struct.c -- owns mp.Struct: a list of fields that stands for a typecode.
 *
 * To Lua it is a table {{name, typecode [, count]}, ...} with a metatable that
 * travels by name; a cell keeps the fields in its own record.
 */
#include "lmp_cell.h"

#include <string.h>

/* What v.x would find instead of a field. */
static const char *const reserved[] = {"value",    "get_lock",         "add",
                                       "exchange", "compare_exchange", NULL};

static int bad_field(lua_State *L, const char *what, lua_Integer i,
                     const char *why) {
  return luaL_error(L, "%s: field %I: %s", what, (LUAI_UACINT)i, why);
}

/* The name on top. */
static void read_name(lua_State *L, struct mp_field *f, const char *what,
                      lua_Integer i) {
  size_t len = 0;
  const char *s = NULL;
  int k;

  if (lua_type(L, -1) == LUA_TSTRING)
    s = lua_tolstring(L, -1, &len);
  if (!s || len == 0 || len > MP_FIELD_NAME || strlen(s) != len)
    bad_field(L, what, i, "a name has 1 to 47 bytes, none of them NUL");
  for (k = 0; s && reserved[k]; k++)
    if (strcmp(s, reserved[k]) == 0)
      luaL_error(L, "%s: field %I: the name '%s' is taken", what,
                 (LUAI_UACINT)i, s);
  memcpy(f->name, s, len);
}

/* fields[i - 1] of the table on top. */
static void read_field(lua_State *L, struct mp_field *fields, lua_Integer i,
                       const char *what) {
  struct mp_field *f = &fields[i - 1];
  lua_Integer count;
  lua_Integer k;
  int ok;

  if (!lua_istable(L, -1))
    bad_field(L, what, i, "{name, typecode} was expected");
  lua_rawgeti(L, -1, 1);
  read_name(L, f, what, i);
  for (k = 0; k < i - 1; k++)
    if (strcmp(fields[k].name, f->name) == 0)
      luaL_error(L, "%s: two fields '%s'", what, f->name);
  lua_rawgeti(L, -2, 2);
  f->code = lmp_num_code(L, -1);
  if (!f->code)
    luaL_error(L, "%s: field '%s': unknown typecode (valid: %s)", what, f->name,
               MP_CODES);
  lua_rawgeti(L, -3, 3);
  count = lua_isnil(L, -1) ? 1 : lua_tointegerx(L, -1, &ok);
  if (!lua_isnil(L, -1) &&
      (!ok || f->code != 'c' || count < 1 || count > UINT32_MAX))
    luaL_error(L, "%s: field '%s': only an array of c has a length, from 1",
               what, f->name);
  f->count = (uint32_t)count;
  lua_pop(L, 3);
}

static void read_fields(lua_State *L, int idx, struct mp_cell *c,
                        const char *what) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, idx);
  struct mp_field *fields;
  lua_Integer i;

  if (n == 0 || n > MP_FIELDS_MAX)
    luaL_error(L, "%s: a struct has 1 to %d fields", what, MP_FIELDS_MAX);
  luaL_checkstack(L, 8, what);
  fields = lua_newuserdatauv(L, (size_t)n * sizeof *fields, 0);
  memset(fields, 0, (size_t)n * sizeof *fields);
  for (i = 1; i <= n; i++) {
    lua_rawgeti(L, idx, i);
    read_field(L, fields, i, what);
    lua_pop(L, 1);
  }
  c->code = MP_STRUCT;
  c->fields = fields;
  c->nfields = (unsigned)n;
  c->size = (uint64_t)mp_struct_layout(fields, c->nfields);
}

void lmp_struct_read(lua_State *L, int idx, struct mp_cell *c,
                     const char *what) {
  memset(c, 0, sizeof *c);
  c->code = lmp_num_code(L, idx);
  if (c->code) {
    c->size = mp_num_size(c->code);
    lua_pushnil(L);
  } else if (lua_istable(L, idx)) {
    read_fields(L, idx, c, what);
  } else if (lua_type(L, idx) == LUA_TSTRING) {
    luaL_error(L, "%s: unknown typecode '%s' (valid: %s, or an mp.Struct)",
               what, lua_tostring(L, idx), MP_CODES);
  } else {
    luaL_error(L, "%s: a typecode or an mp.Struct was expected, not a %s", what,
               luaL_typename(L, idx));
  }
}

/* core.struct{{name, typecode [, count]}, ...} -> mp.Struct */
int lmp_struct_new(lua_State *L) {
  struct mp_cell c;
  unsigned i;

  luaL_argexpected(L, lua_istable(L, 1), 1, "table of fields");
  lmp_struct_read(L, 1, &c, "Struct");
  lua_createtable(L, (int)c.nfields, 0);
  for (i = 0; i < c.nfields; i++) {
    lua_createtable(L, 3, 0);
    lua_pushstring(L, c.fields[i].name);
    lua_rawseti(L, -2, 1);
    lua_pushlstring(L, &c.fields[i].code, 1);
    lua_rawseti(L, -2, 2);
    if (c.fields[i].count > 1) {
      lua_pushinteger(L, c.fields[i].count);
      lua_rawseti(L, -2, 3);
    }
    lua_rawseti(L, -2, i + 1);
  }
  luaL_setmetatable(L, "mp.Struct");
  return 1;
}
