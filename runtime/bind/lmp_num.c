/* lmp_num.c -- owns the conversion of Lua values to numbers of a typecode.
 *
 * Nothing is rounded into range: what a typecode cannot hold does not fit.
 * Lua has no integers from 2^63 on: those of L and Q are read as the integer
 * of the same bits, as string.unpack does, and written as floats.
 */
#include "lmp_num.h"

#include <string.h>

#define TWO_63 9223372036854775808.0

char lmp_num_code(lua_State *L, int idx) {
  const char *s;

  if (lua_type(L, idx) != LUA_TSTRING || lua_rawlen(L, idx) != 1)
    return 0;
  s = lua_tostring(L, idx);
  return mp_num_size(s[0]) ? s[0] : 0;
}

/* By letter: the integers' limits (of L and Q only the lower one). */
static int limits(char code, lua_Integer *min, lua_Integer *max) {
  unsigned bits = (unsigned)mp_num_size(code) * 8 - 1;

  switch (code) {
  case 'b':
  case 'h':
  case 'i':
  case 'l':
  case 'q':
    *max = (lua_Integer)(((uint64_t)1 << bits) - 1);
    *min = -*max - 1;
    return 1;
  case 'B':
  case 'H':
  case 'I':
  case 'L':
  case 'Q':
    *min = 0;
    *max =
        bits == 63 ? LUA_MAXINTEGER : (lua_Integer)(((uint64_t)2 << bits) - 1);
    return 1;
  default:
    return 0;
  }
}

static int is_signed(char code) {
  return code >= 'a';
}

static int test_integer(lua_State *L, int idx, char code, union mp_num *v) {
  lua_Integer min = 0, max = 0;
  lua_Number d;
  int ok;

  v->i = lua_tointegerx(L, idx, &ok);
  (void)limits(code, &min, &max);
  if (ok) {
    ok = v->i >= min && v->i <= max;
    if (!is_signed(code))
      v->u = (uint64_t)v->i;
    return ok;
  }
  d = lua_tonumber(L, idx);
  if (max != LUA_MAXINTEGER || is_signed(code) ||
      !(d >= TWO_63 && d < 2 * TWO_63))
    return 0;
  v->u = (uint64_t)d;
  return 1;
}

int lmp_num_test(lua_State *L, int idx, char code, union mp_num *v) {
  const char *s;
  size_t len;

  switch (lua_type(L, idx)) {
  case LUA_TNUMBER:
    if (code == 'd' || code == 'f') {
      v->d = lua_tonumber(L, idx);
      return code == 'd' || mp_num_fits_float(v->d);
    }
    return code != '?' && code != 'c' && test_integer(L, idx, code, v);
  case LUA_TBOOLEAN:
    v->u = (uint64_t)lua_toboolean(L, idx);
    return code == '?';
  case LUA_TSTRING:
    if (code != 'c')
      return 0;
    s = lua_tolstring(L, idx, &len);
    v->u = (unsigned char)s[0];
    return len == 1;
  default:
    return 0;
  }
}

int lmp_num_test_addend(lua_State *L, int idx, char code, union mp_num *v) {
  int ok;

  if (lua_type(L, idx) != LUA_TNUMBER)
    return 0;
  if (code == 'd' || code == 'f') {
    v->d = lua_tonumber(L, idx);
    return 1;
  }
  v->i = lua_tointegerx(L, idx, &ok);
  return ok;
}

void lmp_num_push(lua_State *L, char code, union mp_num v) {
  char byte;

  switch (code) {
  case 'd':
  case 'f':
    lua_pushnumber(L, v.d);
    break;
  case '?':
    lua_pushboolean(L, v.u != 0);
    break;
  case 'c':
    byte = (char)v.u;
    lua_pushlstring(L, &byte, 1);
    break;
  default:
    lua_pushinteger(L, is_signed(code) ? v.i : (lua_Integer)v.u);
  }
}

static void push_range(lua_State *L, char code) {
  lua_Integer min, max;

  if (!limits(code, &min, &max))
    lua_pushstring(L, code == '?'   ? "a boolean"
                      : code == 'c' ? "a string of one byte"
                                    : "a number");
  else if (!is_signed(code) && max == LUA_MAXINTEGER)
    lua_pushliteral(L, "an integer from 0 to 18446744073709551615");
  else
    lua_pushfstring(L, "an integer from %I to %I", (LUAI_UACINT)min,
                    (LUAI_UACINT)max);
}

int lmp_num_misfit(lua_State *L, int idx, char code, const char *what,
                   lua_Integer item) {
  idx = lua_absindex(L, idx);
  if (lua_type(L, idx) == LUA_TNUMBER) {
    lua_pushvalue(L, idx);
    (void)lua_tostring(L, -1);
  } else {
    lua_pushfstring(L, "a %s", luaL_typename(L, idx));
  }
  push_range(L, code);
  if (item)
    lua_pushfstring(L, "element %I: ", (LUAI_UACINT)item);
  else
    lua_pushliteral(L, "");
  return luaL_error(L, "%s: %s%s does not fit typecode '%c' (%s)", what,
                    lua_tostring(L, -1), lua_tostring(L, -3), code,
                    lua_tostring(L, -2));
}
