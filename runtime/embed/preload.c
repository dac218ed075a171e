/* preload.c -- the modules that libluamp.a and core.so carry, for `require`.
 *
 * Starting costs one closure a module; undumping happens on `require`.
 */
#include <stdint.h>
#include <string.h>

#include "embed.h"
#include "lauxlib.h"
#include "luamp.h"

/* The loader of each embedded module: (name, ":preload:") -> its value
 *
 * Compiled code of another Lua release must not be run: it might crash.
 */
static int load_module(lua_State *L) {
  const struct luamp_module *m = lua_touserdata(L, lua_upvalueindex(1));
  int rc;

  if (!luamp_fits())
    return luaL_error(L, "libluamp.a was built for another Lua than %s",
                      LUA_RELEASE);
  lua_settop(L, 2);
  rc = luaL_loadbufferx(L, (const char *)m->code, m->len, m->chunk, NULL);
  if (rc != LUA_OK)
    return lua_error(L);
  lua_insert(L, 1);
  lua_call(L, 2, 1);
  return 1;
}

int luamp_fits(void) {
  return luamp_modules_ident[0] == '\0' ||
         strcmp(lua_ident, luamp_modules_ident) == 0;
}

void luamp_preload(lua_State *L) {
  const struct luamp_module *m;

  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  for (m = luamp_modules; m->name; m++) {
    /* Loaders only read it, so the constant is safe behind the void *. */
    lua_pushlightuserdata(L, (void *)(uintptr_t)m);
    lua_pushcclosure(L, load_module, 1);
    lua_setfield(L, -2, m->name);
  }
  lua_pushcfunction(L, luaopen_mp_core);
  lua_setfield(L, -2, "mp.core");
  lua_pop(L, 1);
}
