/* lmp_host.c -- the program that has embedded us: what it wants to be asked.
 *
 * The registry of each state holds a pointer to the host's struct, which the
 * host keeps alive.  A state made for a process that is a thread gets the
 * pointer of the state that started it.
 */
#include "lmp.h"

#include "lualib.h"
#include "luamp.h"

#include <string.h>

static char host_key; /* registry: the host's struct, a light userdata */

const struct luamp_host *lmp_host(lua_State *L) {
  const struct luamp_host *host;

  lua_rawgetp(L, LUA_REGISTRYINDEX, &host_key);
  host = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return host;
}

void luamp_set_host(lua_State *L, const struct luamp_host *host) {
  if (host)
    lua_pushlightuserdata(L, (void *)(uintptr_t)host);
  else
    lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &host_key);
}

lua_State *lmp_host_open(const struct luamp_host *host) {
  return host && host->open ? host->open(host->ud) : luaL_newstate();
}

void lmp_host_prepare(lua_State *L, const struct luamp_host *host) {
  if (!host || !host->open)
    luaL_openlibs(L);
  luamp_set_host(L, host);
}

/* core.hosted() -> true in a program that is no interpreter, and the program
 * that it wants to be started for its children, if it has named one */
static int lmp_host_hosted(lua_State *L) {
  const struct luamp_host *host = lmp_host(L);

  lua_pushboolean(L, host != NULL);
  lua_pushstring(L, host ? host->program : NULL);
  return 2;
}

/* core.report(text) -> true when the host has taken it */
static int lmp_host_report(lua_State *L) {
  const char *text = luaL_checkstring(L, 1);
  const struct luamp_host *host = lmp_host(L);

  if (host && host->report)
    host->report(host->ud, text);
  lua_pushboolean(L, host && host->report);
  return 1;
}

/* The host as its own child */

enum { WORDS = 6 }; /* program -E -e code - ticket; see proc.lua */

static int is_child(int argc, char **argv) {
  return argc == WORDS && strcmp(argv[1], "-E") == 0 &&
         strcmp(argv[2], "-e") == 0 && strstr(argv[3], "'mp.child'.main") &&
         strcmp(argv[4], "-") == 0;
}

struct start {
  const struct luamp_host *host;
  char **argv;
};

/* Runs protected, in the child's new state. */
static int run_child(lua_State *L) {
  const struct start *s = lua_touserdata(L, 1);

  lmp_host_prepare(L, s->host);
  luamp_preload(L);
  lua_createtable(L, 1, 1);
  lua_pushstring(L, s->argv[4]);
  lua_rawseti(L, -2, 0);
  lua_pushstring(L, s->argv[5]);
  lua_rawseti(L, -2, 1);
  lua_setglobal(L, "arg");
  if (luaL_loadbuffer(L, s->argv[3], strlen(s->argv[3]), "=start") != LUA_OK)
    return lua_error(L);
  lua_call(L, 0, 0);
  return 0;
}

int luamp_child_main(int argc, char **argv, const struct luamp_host *host) {
  struct start s = {host, argv};
  lua_State *L;
  int rc;

  if (!is_child(argc, argv))
    return -1;
  L = lmp_host_open(host);
  if (!L)
    return 1;
  lua_pushcfunction(L, run_child);
  lua_pushlightuserdata(L, &s);
  rc = lua_pcall(L, 1, 0, 0);
  if (rc != LUA_OK && host && host->report && lua_tostring(L, -1))
    host->report(host->ud, lua_tostring(L, -1));
  lua_close(L);
  return rc != LUA_OK;
}

const luaL_Reg lmp_host_functions[] = {
    {"hosted", lmp_host_hosted}, {"report", lmp_host_report}, {NULL, NULL}};
