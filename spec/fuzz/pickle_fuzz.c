/* pickle_fuzz.c -- any bytes at all for mp.pickle.loads.
 *
 * It may raise, or answer a value, which can be pickled again and is read as
 * the same; it may not crash, hang, or take much memory.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "lauxlib.h"
#include "lualib.h"
#include "luamp.h"

static const char script[] = "local mp = require 'mp'\n"
                             "return function(s)\n"
                             "  local t = mp.pickle.loads(s)\n"
                             "  mp.pickle.loads(mp.pickle.dumps(t))\n"
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
