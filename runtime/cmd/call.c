/* call.c -- running Lua code for the user: tracebacks, errors, Ctrl-C. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cmd.h"

/* The state that Ctrl-C stops.  Written before the handler is installed; a
 * signal handler has no other way to learn it.
 */
static lua_State *interrupted;

void cmd_message(const char *name, const char *message) {
  if (name)
    fprintf(stderr, "%s: ", name);
  fprintf(stderr, "%s\n", message);
  fflush(stderr);
}

int cmd_report(lua_State *L, const char *name, int status) {
  if (status != LUA_OK) {
    const char *message = lua_tostring(L, -1);

    cmd_message(name, message ? message : "(error message not a string)");
    lua_pop(L, 1);
  }
  return status;
}

/* The message handler: an error object -> the text to print */
static int explain(lua_State *L) {
  const char *message = lua_tostring(L, 1);

  if (!message) {
    /* An object that knows how to print itself needs no traceback. */
    if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING)
      return 1;
    message =
        lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
  }
  luaL_traceback(L, L, message, 1);
  return 1;
}

/* The hook that the handler leaves: runs in Lua, where raising is allowed. */
static void stop(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  luaL_error(L, "interrupted!");
}

/* Without SA_RESTART, so that a blocking call returns EINTR and gets to see
 * the hook.
 */
static void on_sigint(void (*handler)(int)) {
  struct sigaction action;

  memset(&action, 0, sizeof(action));
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
}

/* lua_sethook is the one function of Lua that a handler may call.  A second
 * Ctrl-C, before the hook had its turn, ends the process.
 */
static void interrupt(int sig) {
  int events = LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT;

  (void)sig;
  on_sigint(SIG_DFL);
  lua_sethook(interrupted, stop, events, 1);
}

int cmd_call(lua_State *L, int narg, int nres) {
  int base = lua_gettop(L) - narg;
  int status;

  lua_pushcfunction(L, explain);
  lua_insert(L, base);
  interrupted = L;
  on_sigint(interrupt);
  status = lua_pcall(L, narg, nres, base);
  on_sigint(SIG_DFL);
  lua_remove(L, base);
  return status;
}
