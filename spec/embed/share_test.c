/* share_test.c -- values and objects that a script and a C program share. */
#define main run_tests
#include "../core/test.h"
#undef main

#include <lauxlib.h>
#include <lualib.h>
#include <luamp.h>

static lua_State *open_state(void) {
  lua_State *L = luaL_newstate();

  REQUIRE(L != NULL);
  luaL_openlibs(L);
  luamp_preload(L);
  return L;
}

static int run(lua_State *L, const char *code) {
  int rc = luaL_dostring(L, code);

  if (rc != LUA_OK)
    printf("%s: %s\n", test_name, lua_tostring(L, -1));
  return rc == LUA_OK;
}

/* Lua's equality, of what C made and what a script says. */
static void check_global(lua_State *L, const char *name, const char *code) {
  lua_setglobal(L, name);
  CHECK(run(L, code));
  lua_settop(L, 0);
}

/* The same values as Lua has them and as C has them. */
static const char both[] =
    "mp = require 'mp'\n"
    "list = {1, -1, 80, 1 << 40, math.mininteger, 0.5, -0.0, 1/0, true, "
    "false, nil, '', 'short', ('x'):rep(100), ('y'):rep(5000), n = nil}\n"
    "nums, ints, floats = {}, {}, {}\n"
    "for i = 1, 100 do nums[i] = i; ints[i] = i * 1000003 ^ 2 // 1 | 0 "
    "floats[i] = i / 4 end\n"
    "function same(a, b) return a == b and math.type(a) == math.type(b) and "
    "(a ~= 0 or 1 / a == 1 / b) end\n"
    "function equal(a, b) if type(a) ~= 'table' then return same(a, b) end\n"
    "  for i = 1, 200 do if not same(a[i], b[i]) then return false end end\n"
    "  return true end\n";

/* Decode what mp.encode made and encode it again; mp.decode must agree. */
static void there_and_back(lua_State *L, const char *expr) {
  static struct mp_value v[300];
  static char bytes[20000];
  struct mp_values rest;
  struct mp_value value;
  char code[200];
  size_t len, n = 0;
  const char *s;
  int64_t got;

  (void)snprintf(code, sizeof code, "value = %s return mp.encode(value)", expr);
  REQUIRE(run(L, code));
  s = lua_tolstring(L, -1, &len);
  REQUIRE(mp_value_decode(s, len, &value, &rest) == 0);
  if (value.kind == MP_LIST) {
    while (n < 300 && mp_value_next(&rest, &v[n]) == 1)
      n++;
    CHECK_EQ(n, value.len);
    value.as.list = v;
  }
  got = mp_value_encode(&value, bytes, sizeof bytes);
  REQUIRE(got > 0 && got <= (int64_t)sizeof bytes);
  lua_pushlstring(L, bytes, (size_t)got);
  check_global(L, "back", "assert(equal(value, mp.decode(back)))");
}

TEST(flat_values_are_the_same_on_both_sides) {
  static const char *const values[] = {
      "nil",     "true",
      "false",   "0",
      "-17",     "1 << 62",
      "0.1",     "-0.0",
      "'a\\0b'", "('x'):rep(9000)",
      "{}",      "list",
      "nums",    "ints",
      "floats",  "{nums[1], 'x', table.unpack(floats)}"};
  lua_State *L = open_state();
  unsigned i;

  REQUIRE(run(L, both));
  for (i = 0; i < sizeof values / sizeof *values; i++)
    there_and_back(L, values[i]);
  lua_close(L);
}

TEST(values_that_are_not_flat_are_told) {
  static const char *const values[] = {"{x = 1}", "{{}}", "print",
                                       "setmetatable({}, {})"};
  lua_State *L = open_state();
  struct mp_values rest;
  struct mp_value v;
  char code[100];
  size_t len;
  const char *s;
  unsigned i;
  int rc;

  REQUIRE(run(L, both));
  for (i = 0; i < sizeof values / sizeof *values; i++) {
    (void)snprintf(code, sizeof code, "return mp.encode(%s)", values[i]);
    REQUIRE(run(L, code));
    s = lua_tolstring(L, -1, &len);
    rc = mp_value_decode(s, len, &v, &rest);
    if (rc == 0)
      rc = mp_value_next(&rest, &v);
    CHECK_EQ(rc, -ENOTSUP);
  }
  lua_close(L);
}

static mp_ref global_ref(lua_State *L, const char *name) {
  mp_ref ref;

  lua_getglobal(L, name);
  ref = luamp_ref(L, -1);
  lua_pop(L, 1);
  return ref;
}

TEST(an_object_is_the_same_on_both_sides) {
  struct mp_value v = MP_VALUE_STRING("from C", 6);
  char bytes[64], scratch[MP_INLINE_MAX];
  struct mp_iov iov = {bytes, 0};
  struct mp_out out = {&iov, 1, 0, NULL};
  struct mp_values rest;
  struct mp_msg m;
  mp_ref queue, held;
  lua_State *L = open_state(), *other = open_state();

  CHECK(run(L, "mp = require 'mp' q = mp.Queue() t = {}"));
  CHECK_EQ(global_ref(L, "t"), MP_REF_EMPTY);
  CHECK_EQ(global_ref(L, "mp"), MP_REF_EMPTY);
  CHECK_EQ(global_ref(L, "none"), MP_REF_EMPTY);
  queue = global_ref(L, "q");
  CHECK_EQ(mp_ref_type(queue), MP_TYPE_QUEUE);
  iov.len = (size_t)mp_value_encode(&v, bytes, sizeof bytes);
  CHECK_EQ(mp_queue_put(queue, &out, MP_NOW, NULL), 0);
  CHECK(run(L, "assert(q:get() == 'from C') q:put('from Lua')"));
  CHECK_EQ(mp_queue_get(queue, &m, scratch, MP_NOW), 0);
  CHECK_EQ(mp_value_decode(m.data, m.len, &v, &rest), 0);
  CHECK(v.len == 8 && memcmp(v.as.string, "from Lua", 8) == 0);
  mp_msg_close(&m);
  luamp_push(L, queue);
  check_global(L, "p", "assert(rawequal(p, q))");
  /* Held by C alone, and given to a state that has not required mp. */
  CHECK_EQ(mp_ref_dup(queue, &held), 0);
  CHECK(run(L, "q:put(42) q, p = nil, nil collectgarbage()"));
  lua_close(L);
  luamp_push(other, held);
  mp_ref_close(&held);
  check_global(other, "q", "assert(q:get() == 42 and q:qsize() == 0)");
  lua_close(other);
}

/* The family's descriptors stay: they are there before each test counts. */
int main(int argc, char **argv) {
  REQUIRE(mp_enter() == 0);
  return run_tests(argc, argv);
}
