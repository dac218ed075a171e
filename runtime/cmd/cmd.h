/* cmd.h -- what the files of the command share. */
#ifndef LUAMP_CMD_H
#define LUAMP_CMD_H

#include "lauxlib.h"
#include "lua.h"
#include "lualib.h"

/* state.c -- the interpreter's state, and where it lies */

/* As luaL_newstate; NULL: not enough memory. */
lua_State *cmd_state_open(void);

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

/* `keep`: what is typed at a terminal is kept in the history file. */
void cmd_repl(lua_State *L, int keep);

/* edit.c -- line editing at a terminal */

/* 1 when the terminal and libedit are there; `keep` as above. */
int cmd_edit_open(int keep);
/* The next line without its newline, malloced; NULL at the end of input. */
char *cmd_edit_line(const char *prompt);
/* Remember what was typed; nothing without line editing. */
void cmd_edit_save(const char *entry);

/* history.c -- the file with what was typed */

#define CMD_HISTORY_MAX 1000 /* entries; the file may have twice as many */

/* Find the file, and give its entries to `add`, the oldest first. */
void cmd_history_load(int (*add)(const char *entry));
void cmd_history_append(const char *entry);

#endif
