/* state.h -- for fuzzers of what Lua calls: `script` answers a function, which
 * is called with the bytes; it may raise. */
#ifndef FUZZ_STATE_H
#define FUZZ_STATE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "lauxlib.h"
#include "lualib.h"
#include "luamp.h"

extern const char script[];

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

#endif
