/* walk.c -- what the Lua C API allows: walk a value into a flat buffer
 * and rebuild it, with none of a codec's duties (no cycles, no shared
 * references, no bounds, no errors).
 */
#include "floor.h"

#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#define BUFFER_LEN ((size_t)64 << 20)

/* One value is a tag and its bytes.  An array's run of equal numbers is one
 * tag, a count, and the numbers.
 */
enum tag { NIL, FALSE, TRUE, INT, FLT, STR, TABLE, INTS, FLTS, ANY };

static char *put(char *p, const void *data, size_t len) {
  memcpy(p, data, len);
  return p + len;
}

static char *put_value(lua_State *L, char *p);

/* The array part 1..n of the table on top: as a run if it is one. */
static char *put_array(lua_State *L, char *p, uint32_t n) {
  char *start = p;
  uint32_t i;
  int ints;

  lua_rawgeti(L, -1, 1);
  ints = lua_isinteger(L, -1);
  if (lua_type(L, -1) != LUA_TNUMBER)
    goto any;
  lua_pop(L, 1);
  *p++ = ints ? INTS : FLTS;
  p = put(p, &n, 4);
  for (i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, i);
    if (lua_type(L, -1) != LUA_TNUMBER || lua_isinteger(L, -1) != ints)
      goto any;
    if (ints) {
      lua_Integer v = lua_tointeger(L, -1);

      p = put(p, &v, 8);
    } else {
      lua_Number v = lua_tonumber(L, -1);

      p = put(p, &v, 8);
    }
    lua_pop(L, 1);
  }
  return p;

any:
  lua_pop(L, 1);
  p = start; /* no run: take it back */
  *p++ = ANY;
  p = put(p, &n, 4);
  for (i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, i);
    p = put_value(L, p);
    lua_pop(L, 1);
  }
  return p;
}

static char *put_table(lua_State *L, char *p) {
  uint32_t n = (uint32_t)lua_rawlen(L, -1), pairs = 0;
  char *count;

  *p++ = TABLE;
  count = p;
  p += 4;
  if (n > 0) {
    p = put_array(L, p, n);
    lua_pushinteger(L, n); /* go on behind the array */
  } else {
    *p++ = ANY;
    p = put(p, &n, 4);
    lua_pushnil(L);
  }
  for (; lua_next(L, -2) != 0; pairs++) {
    lua_pushvalue(L, -2);
    p = put_value(L, p);
    lua_pop(L, 1);
    p = put_value(L, p);
    lua_pop(L, 1);
  }
  put(count, &pairs, 4);
  return p;
}

/* The value on top; it stays there. */
static char *put_value(lua_State *L, char *p) {
  switch (lua_type(L, -1)) {
  case LUA_TBOOLEAN:
    *p++ = lua_toboolean(L, -1) ? TRUE : FALSE;
    return p;
  case LUA_TNUMBER:
    if (lua_isinteger(L, -1)) {
      lua_Integer v = lua_tointeger(L, -1);

      *p++ = INT;
      return put(p, &v, 8);
    } else {
      lua_Number v = lua_tonumber(L, -1);

      *p++ = FLT;
      return put(p, &v, 8);
    }
  case LUA_TSTRING: {
    size_t len;
    const char *s = lua_tolstring(L, -1, &len);
    uint32_t len32 = (uint32_t)len;

    *p++ = STR;
    p = put(p, &len32, 4);
    return put(p, s, len);
  }
  case LUA_TTABLE:
    return put_table(L, p);
  default:
    *p++ = NIL;
    return p;
  }
}

static uint32_t get_u32(const char **p) {
  uint32_t v;

  memcpy(&v, *p, 4);
  *p += 4;
  return v;
}

static void get_value(lua_State *L, const char **p);

static void get_int(lua_State *L, const char **p) {
  lua_Integer v;

  memcpy(&v, *p, 8);
  *p += 8;
  lua_pushinteger(L, v);
}

static void get_flt(lua_State *L, const char **p) {
  lua_Number v;

  memcpy(&v, *p, 8);
  *p += 8;
  lua_pushnumber(L, v);
}

static void get_table(lua_State *L, const char **p) {
  uint32_t pairs = get_u32(p);
  enum tag tag = *(*p)++;
  uint32_t n = get_u32(p);
  void (*get)(lua_State *, const char **) = tag == INTS   ? get_int
                                            : tag == FLTS ? get_flt
                                                          : get_value;

  lua_createtable(L, (int)n, (int)pairs);
  for (uint32_t i = 1; i <= n; i++) {
    get(L, p);
    lua_rawseti(L, -2, i);
  }
  for (; pairs > 0; pairs--) {
    get_value(L, p);
    get_value(L, p);
    lua_rawset(L, -3);
  }
}

static void get_value(lua_State *L, const char **p) {
  enum tag tag = *(*p)++;

  switch (tag) {
  case INT:
    get_int(L, p);
    return;
  case FLT:
    get_flt(L, p);
    return;
  case STR: {
    uint32_t len = get_u32(p);

    lua_pushlstring(L, *p, len);
    *p += len;
    return;
  }
  case TABLE:
    get_table(L, p);
    return;
  case NIL:
    lua_pushnil(L);
    return;
  default:
    lua_pushboolean(L, tag == TRUE);
  }
}

/* The objects come from objects.lua; `same` checks that the walk is true. */
static const char prepare[] =
    "package.path = 'spec/bench/?.lua' "
    "function same(a, b) "
    "  if type(a) ~= 'table' or type(b) ~= 'table' then "
    "    return a == b and math.type(a) == math.type(b) "
    "  end "
    "  for k in pairs(b) do if a[k] == nil then return false end end "
    "  for k, v in pairs(a) do "
    "    if not same(v, b[k]) then return false end "
    "  end "
    "  return true "
    "end "
    "local objects = require 'objects' "
    "return objects[...](), objects.times[...]";

static double walk(const char *name) {
  lua_State *L = floor_state();
  char *buffer = malloc(BUFFER_LEN);
  const char *p = buffer;
  double begin;
  long n;

  floor_must(buffer != NULL, "malloc");
  if (luaL_loadstring(L, prepare) != LUA_OK ||
      (lua_pushstring(L, name), lua_pcall(L, 1, 2, 0)) != LUA_OK)
    floor_die(lua_tostring(L, -1));
  n = floor_count((long)lua_tointeger(L, -1));
  lua_pop(L, 1);

  put_value(L, buffer);
  lua_getglobal(L, "same");
  lua_pushvalue(L, -2);
  get_value(L, &p);
  lua_call(L, 2, 1);
  if (!lua_toboolean(L, -1))
    floor_die("the walk gives another value");
  lua_pop(L, 1);

  begin = floor_now();
  for (long i = 0; i < n; i++)
    put_value(L, buffer);
  for (long i = 0; i < n; i++) {
    p = buffer;
    get_value(L, &p);
    lua_pop(L, 1);
  }
  begin = floor_now() - begin;
  lua_close(L);
  free(buffer);
  return (double)n / begin;
}

static double record(void) {
  return walk("record");
}

static double nested10k(void) {
  return walk("nested10k");
}

static double floats1e6(void) {
  return walk("floats1e6");
}

static double ints1e6(void) {
  return walk("ints1e6");
}

static double strings1e5(void) {
  return walk("strings1e5");
}

const struct floor_workload floor_walk[] = {
    {"serialize_record", record},         {"serialize_nested10k", nested10k},
    {"serialize_floats1e6", floats1e6},   {"serialize_ints1e6", ints1e6},
    {"serialize_strings1e5", strings1e5}, {NULL, NULL}};
