/* luamp.h -- luamp in a C program of your own.
 *
 *   #include <lauxlib.h>
 *   #include <lualib.h>
 *   #include <luamp.h>
 *
 *   static const struct luamp_host host = {.program = "/proc/self/exe"};
 *
 *   int main(int argc, char **argv) {
 *     int code = luamp_child_main(argc, argv, &host);
 *     if (code >= 0)
 *       return code;
 *     lua_State *L = luaL_newstate();
 *     luaL_openlibs(L);
 *     luamp_preload(L);
 *     luamp_set_host(L, &host);
 *     luaL_dostring(L, "local mp = require 'mp' ...");
 *
 * Build it with `cc host.c $(pkg-config --cflags --libs luamp)`.
 *
 * States.  Any number of states of one process may use luamp, each in a thread
 * of its own or not; a state is used by one thread at a time, as Lua wants it.
 * All states of a process are one process of the family, with one list of
 * children.  A process with more than one thread starts its children through a
 * fork server by default; every start method works from any thread.
 *
 * What luamp leaves to the program: it never ends it, prints nothing (what
 * would go to stderr goes to `report`), changes no signal's handler and no
 * signal mask, and does not use SIGCHLD.  One exception: a program that starts
 * processes as threads (method "thread") gives it one real-time signal, by
 * which such threads are stopped.  Children that are still there when a state
 * closes are not waited for: that is what the program's own script does.
 *
 * A program that wants the core alone, without Lua, includes mp.h instead.
 */
#ifndef LUAMP_H
#define LUAMP_H

#include "lua.h"
#include "mp.h"

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

/* What a program may have to say about the processes that its scripts start.
 * Each member may be zero.  The struct belongs to the program and must stay
 * unchanged while a state that knows it lives.
 */
struct luamp_host {
  /* What spawn and forkserver run: a program that begins with
   * luamp_child_main, as a rule the host itself ("/proc/self/exe").
   * Default: the luamp beside the module, or on PATH. */
  const char *program;
  /* A new state with its standard libraries opened, for a process that is a
   * thread, or for luamp_child_main: with the allocator, the panic function
   * and the libraries of the host's choice.  NULL when there is no memory.
   * Called in the thread that starts the process; the state is then used, and
   * closed, in the new one.  Default: luaL_newstate and luaL_openlibs. */
  lua_State *(*open)(void *ud);
  /* Where messages go: the uncaught error of a process, with its traceback.
   * `text` is valid during the call, which may come in any thread and, after
   * a fork, in a child.  It must not raise.  Default: stderr. */
  void (*report)(void *ud, const char *text);
  void *ud; /* the first argument of both */
};

/* Tell a state about its host, before mp is required there.  NULL: forget it.
 * A state without a host takes the program that runs for an interpreter if its
 * name is that of one (lua5.4, luamp). */
void luamp_set_host(lua_State *L, const struct luamp_host *host);

/* To be called first in main.  If this process was started as a child of the
 * family, do the child's work: it then leaves by exit, or returns an exit code
 * when it could not even begin.  Else -1, at once. */
int luamp_child_main(int argc, char **argv, const struct luamp_host *host);

/* Objects of the family, which a script and the program may share: a queue
 * that a script has made is filled by mp_queue_put (mp.h), with no Lua in the
 * way.  mp_value_encode makes the messages, mp_value_decode reads them.
 *
 * luamp_ref: the object that the value at idx stands for; MP_REF_EMPTY when it
 * stands for none.  It is alive as long as that value is; mp_ref_dup takes a
 * hold that outlives it.  Raises when the value was closed.
 * luamp_push: push the value that stands for the object in this state, where
 * mp is then required.
 */
mp_ref luamp_ref(lua_State *L, int idx);
void luamp_push(lua_State *L, mp_ref ref);

#ifdef __cplusplus
}
#endif
#endif
