/* repl.c -- read, evaluate, print. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

/* Push the prompt: the global `which`, or `otherwise`. */
static const char *push_prompt(lua_State *L, const char *which,
                               const char *otherwise) {
  if (lua_getglobal(L, which) == LUA_TNIL)
    lua_pushstring(L, otherwise);
  else
    luaL_tolstring(L, -1, NULL);
  lua_remove(L, -2);
  return lua_tostring(L, -1);
}

/* Push the next line of stdin without its newline; 0 at the end of input. */
static int read_plain(lua_State *L, const char *prompt) {
  luaL_Buffer line;
  int c;

  fputs(prompt, stdout);
  fflush(stdout);
  luaL_buffinit(L, &line);
  while ((c = getchar()) != EOF && c != '\n')
    luaL_addchar(&line, (char)c);
  luaL_pushresult(&line);
  if (c == EOF && lua_rawlen(L, -1) == 0) {
    lua_pop(L, 1);
    return 0;
  }
  return 1;
}

/* The same with line editing. */
static int read_edited(lua_State *L, const char *prompt) {
  char *line = cmd_edit_line(prompt);

  if (!line)
    return 0;
  lua_pushstring(L, line);
  free(line);
  return 1;
}

/* Ask for a line with a prompt, and push it; 0 at the end of input. */
static int read_line(lua_State *L, int editing, const char *which,
                     const char *otherwise) {
  const char *prompt = push_prompt(L, which, otherwise);
  int got = editing ? read_edited(L, prompt) : read_plain(L, prompt);

  lua_remove(L, got ? -2 : -1); /* the prompt */
  return got;
}

/* Push the chunk, or the message that says what is wrong with it. */
static int compile(lua_State *L, const char *source) {
  return luaL_loadbuffer(L, source, strlen(source), "=stdin");
}

/* Does the message on the top say that more lines would help? */
static int incomplete(lua_State *L, int status) {
  const char *mark = "<eof>";
  size_t len;
  const char *message = lua_tolstring(L, -1, &len);

  return status == LUA_ERRSYNTAX && len >= strlen(mark) &&
         strcmp(message + len - strlen(mark), mark) == 0;
}

/* Compile what begins with the line at index 1, reading on while it is
 * unfinished.  An expression is compiled so that its values can be shown.
 */
static int read_chunk(lua_State *L, int editing) {
  const char *first = lua_tostring(L, 1);
  int status;

  if (*first == '=') { /* the way of old versions to ask for a value */
    lua_pushfstring(L, "return %s", first + 1);
    lua_replace(L, 1);
  }
  status = compile(L, lua_pushfstring(L, "return %s;", lua_tostring(L, 1)));
  while (status != LUA_OK) {
    lua_settop(L, 1);
    status = compile(L, lua_tostring(L, 1));
    if (!incomplete(L, status))
      break;
    lua_settop(L, 1);
    if (!read_line(L, editing, "_PROMPT2", ">> ")) {
      compile(L, lua_tostring(L, 1)); /* for the message */
      break;
    }
    lua_pushfstring(L, "%s\n%s", lua_tostring(L, 1), lua_tostring(L, 2));
    lua_replace(L, 1);
  }
  if (*lua_tostring(L, 1) != '\0')
    cmd_edit_save(lua_tostring(L, 1));
  lua_replace(L, 1); /* the chunk or the message is all that stays */
  lua_settop(L, 1);
  return status;
}

/* Show all values on the stack through the global `print`. */
static void show(lua_State *L) {
  int n = lua_gettop(L);

  if (n == 0)
    return;
  luaL_checkstack(L, LUA_MINSTACK, "too many results to print");
  lua_getglobal(L, "print");
  lua_insert(L, 1);
  if (lua_pcall(L, n, 0, 0) != LUA_OK) {
    lua_pushfstring(L, "error calling 'print' (%s)", lua_tostring(L, -1));
    cmd_message(NULL, lua_tostring(L, -1));
  }
}

void cmd_repl(lua_State *L, int keep) {
  int editing = cmd_edit_open(keep);
  int status;

  for (;;) {
    lua_settop(L, 0);
    if (!read_line(L, editing, "_PROMPT", "> "))
      break;
    status = read_chunk(L, editing);
    if (status == LUA_OK)
      status = cmd_call(L, 0, LUA_MULTRET);
    if (cmd_report(L, NULL, status) == LUA_OK)
      show(L);
  }
  fputs("\n", stdout);
  fflush(stdout);
}
