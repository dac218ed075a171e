/* cmd.h -- what the files of the command share. */
#ifndef LUAMP_CMD_H
#define LUAMP_CMD_H

#include "lauxlib.h"
#include "lua.h"
#include "lualib.h"

/* call.c -- running Lua code for the user */

/* lua_pcall of the function and its narg arguments on the stack's top, with a
 * traceback added to errors, and Ctrl-C turned into the error "interrupted!".
 */
int cmd_call(lua_State *L, int narg, int nres);
/* If status is an error, print the error object on the top and pop it.
 * `name` goes before the message; NULL: nothing does.  Returns the status.
 */
int cmd_report(lua_State *L, const char *name, int status);
/* One line to stderr: "name: message". */
void cmd_message(const char *name, const char *message);

/* repl.c -- read, evaluate, print, until the end of stdin */

void cmd_repl(lua_State *L);

#endif
