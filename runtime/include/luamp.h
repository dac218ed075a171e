/* luamp.h -- luamp in a C program of your own.
 *
 *   #include <lauxlib.h>
 *   #include <lualib.h>
 *   #include <luamp.h>
 *
 *   lua_State *L = luaL_newstate();
 *   luaL_openlibs(L);
 *   luamp_preload(L);
 *   luaL_dostring(L, "local mp = require 'mp' ...");
 *
 * Build it with `cc host.c $(pkg-config --cflags --libs luamp)`.  Any number
 * of states of one process may do this, each in a thread of its own or not.
 *
 * A program that wants the core alone, without Lua, includes mp.h instead.
 */
#ifndef LUAMP_H
#define LUAMP_H

#include "lua.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Register every module of luamp ("mp", "mp.core", "multiprocessing", ...)
 * in package.preload, so that `require` finds them without any file.  Nothing
 * is loaded or parsed before it is required.
 *
 * The library `package` must be open.  Raises only for want of memory.
 */
void luamp_preload(lua_State *L);

/* 1 when the Lua that runs is the one that compiled those modules. */
int luamp_fits(void);

/* The C half alone, module "mp.core"; a lua_CFunction for luaL_requiref.  The
 * modules of lua/mp/ are built on it.
 */
int luaopen_mp_core(lua_State *L);

#ifdef __cplusplus
}
#endif
#endif
