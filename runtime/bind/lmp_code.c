/* lmp_code.c -- owns how Lua's values become numbers of C and back.
 *
 * A number that does not fit its typecode is refused, never cut.  Lua has no
 * integers from 2^63 on: those of Q (and L) are read as the negative integer
 * of the same bits, as string.unpack does, and written as floats.
 */
#include "lmp.h"

#include <float.h>
#include <math.h>
#include <string.h>

_Static_assert(sizeof(int) == 4 && sizeof(short) == 2, "as in Python's struct");

unsigned lmp_code_size(int code) {
  switch (code) {
  case 'b':
  case 'B':
  case '?':
  case 'c':
    return 1;
  case 'h':
  case 'H':
    return 2;
  case 'i':
  case 'I':
  case 'f':
    return 4;
  case 'l':
  case 'L':
    return sizeof(long);
  case 'q':
  case 'Q':
  case 'd':
    return 8;
  default:
    return 0;
  }
}

int lmp_code_check(lua_State *L, int idx) {
  size_t len = 0;
  const char *s =
      lua_type(L, idx) == LUA_TSTRING ? lua_tolstring(L, idx, &len) : NULL;

  if (!s || len != 1 || !lmp_code_size(s[0]))
    luaL_argerror(L, idx, "not a typecode (one of bBhHiIlLqQfd?c)");
  return s[0];
}

static int is_signed(int code) {
  return memchr("bhilq", code, 5) != NULL;
}

#define LOAD(type)                                                             \
  do {                                                                         \
    type v;                                                                    \
    memcpy(&v, from, sizeof v);                                                \
    return (int64_t)v;                                                         \
  } while (0)

static int64_t load(int code, const void *from) {
  switch (lmp_code_size(code)) {
  case 1:
    if (is_signed(code))
      LOAD(int8_t);
    LOAD(uint8_t);
  case 2:
    if (is_signed(code))
      LOAD(int16_t);
    LOAD(uint16_t);
  case 4:
    if (is_signed(code))
      LOAD(int32_t);
    LOAD(uint32_t);
  default:
    LOAD(int64_t);
  }
}

void lmp_code_push(lua_State *L, int code, const void *from) {
  double d;
  float f;

  switch (code) {
  case 'd':
    memcpy(&d, from, sizeof d);
    lua_pushnumber(L, d);
    break;
  case 'f':
    memcpy(&f, from, sizeof f);
    lua_pushnumber(L, (lua_Number)f);
    break;
  case '?':
    lua_pushboolean(L, *(const unsigned char *)from != 0);
    break;
  case 'c':
    lua_pushlstring(L, from, 1);
    break;
  default:
    lua_pushinteger(L, load(code, from));
  }
}

static void misfit(lua_State *L, int idx, int code) {
  luaL_argerror(L, idx,
                lua_pushfstring(L, "%s does not fit typecode '%c'",
                                luaL_tolstring(L, idx, NULL), code));
}

/* A number, and no string that looks like one. */
static void expect_number(lua_State *L, int idx) {
  luaL_argexpected(L, lua_type(L, idx) == LUA_TNUMBER, idx, "number");
}

/* The bits of an integer that fits; a float with an integer's value is one. */
static uint64_t integer(lua_State *L, int idx, int code) {
  unsigned bits = 8 * lmp_code_size(code);
  lua_Integer n = 0;
  lua_Number x;
  int exact;

  expect_number(L, idx);
  n = lua_tointegerx(L, idx, &exact);
  if (!exact && bits == 64 && !is_signed(code)) {
    x = lua_tonumber(L, idx);
    if (x >= 0x1p63 && x < 0x1p64)
      return (uint64_t)x;
  }
  if (!exact)
    misfit(L, idx, code);
  else if (is_signed(code)
               ? bits < 64 && (n < -((lua_Integer)1 << (bits - 1)) ||
                               n >= (lua_Integer)1 << (bits - 1))
               : n < 0 || (bits < 64 && n >> bits != 0))
    misfit(L, idx, code);
  return (uint64_t)n;
}

static void store_integer(lua_State *L, int idx, int code, void *to) {
  uint64_t n = integer(L, idx, code);
  uint32_t n32 = (uint32_t)n;
  uint16_t n16 = (uint16_t)n;
  uint8_t n8 = (uint8_t)n;

  switch (lmp_code_size(code)) {
  case 1:
    memcpy(to, &n8, 1);
    break;
  case 2:
    memcpy(to, &n16, 2);
    break;
  case 4:
    memcpy(to, &n32, 4);
    break;
  default:
    memcpy(to, &n, 8);
  }
}

static void store_float(lua_State *L, int idx, int code, void *to) {
  lua_Number d;
  float f;

  expect_number(L, idx);
  d = lua_tonumber(L, idx);
  if (code == 'd') {
    memcpy(to, &d, sizeof d);
    return;
  }
  f = (float)d;
  if (isinf(f) && !isinf(d))
    misfit(L, idx, code);
  memcpy(to, &f, sizeof f);
}

void lmp_code_store(lua_State *L, int idx, int code, void *to) {
  size_t len;
  const char *s;

  switch (code) {
  case 'd':
  case 'f':
    store_float(L, idx, code, to);
    break;
  case '?':
    luaL_checktype(L, idx, LUA_TBOOLEAN);
    *(unsigned char *)to = (unsigned char)lua_toboolean(L, idx);
    break;
  case 'c':
    s = luaL_checklstring(L, idx, &len);
    luaL_argcheck(L, len == 1, idx, "a string of one byte was expected");
    *(char *)to = *s;
    break;
  default:
    store_integer(L, idx, code, to);
  }
}
