/* decode_fuzz.c -- any bytes at all for mp.decode, with code and without.
 *
 * It may answer nil and a message, or a value; it may raise for want of
 * memory; it may not crash, hang, or read what is not its own.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "lauxlib.h"
#include "lualib.h"
#include "luamp.h"

static const char script[] = "local mp = require 'mp'\n"
                             "return function(s)\n"
                             "  mp.decode(s)\n"
                             "  mp.decode(s, {code = false})\n"
                             "end";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static lua_State *open_state(void) {
  lua_State *L = luaL_newstate();

  luaL_openlibs(L);
  luamp_preload(L);
  if (luaL_dostring(L, script) != LUA_OK) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    abort();
  }
  return L;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  static lua_State *L;

  if (!L)
    L = open_state();
  lua_pushvalue(L, 1);
  lua_pushlstring(L, (const char *)data, len);
  lua_pcall(L, 1, 0, 0);
  lua_settop(L, 1);
  lua_gc(L, LUA_GCCOLLECT);
  return 0;
}
