/* embed.c -- a tool of the build: Lua modules in, a C file with them out.
 *
 *   embed [-s] lua mp/init.lua mp/proc.lua ... > modules.c
 *
 * With -s they are written as they are, for whatever Lua 5.4 may come.  Else
 * the modules are compiled here, so that a start of luamp parses nothing, and
 * by the very Lua that luamp is linked with, so that it can load the result.
 * Line numbers and names are kept: tracebacks read as they do from source.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lauxlib.h"
#include "lua.h"

/* What goes on while one module is written. */
struct column {
  unsigned n;
};

/* A lua_Writer: the next bytes of the array, sixteen a line. */
static int write_bytes(lua_State *L, const void *p, size_t len, void *ud) {
  const unsigned char *byte = p;
  struct column *col = ud;
  size_t i;

  (void)L;
  for (i = 0; i < len; i++)
    printf(col->n++ % 16 == 0 ? "\n  %u," : "%u,", byte[i]);
  return ferror(stdout);
}

/* "mp/init.lua" -> "mp", "mp/proc.lua" -> "mp.proc" */
static const char *push_name(lua_State *L, const char *file) {
  const char *name;

  lua_pushlstring(L, file, strlen(file) - strlen(".lua"));
  name = luaL_gsub(L, lua_tostring(L, -1), "/", ".");
  if (strlen(name) > 5 && strcmp(name + strlen(name) - 5, ".init") == 0)
    name = lua_pushlstring(L, name, strlen(name) - 5);
  return name;
}

/* Compile dir/file and write it as the array `module_<n>`. */
static int write_module(lua_State *L, const char *dir, const char *file, int n,
                        int as_source) {
  const char *path = lua_pushfstring(L, "%s/%s", dir, file);
  const char *chunk = lua_pushfstring(L, "@%s", file);
  struct column col = {0};
  luaL_Buffer source;
  FILE *f = fopen(path, "r");
  size_t got;

  if (!f) {
    perror(path);
    return -1;
  }
  luaL_buffinit(L, &source);
  do {
    char *room = luaL_prepbuffer(&source);

    got = fread(room, 1, LUAL_BUFFERSIZE, f);
    luaL_addsize(&source, got);
  } while (got > 0);
  fclose(f);
  luaL_pushresult(&source);

  if (luaL_loadbufferx(L, lua_tostring(L, -1), lua_rawlen(L, -1), chunk, "t") !=
      LUA_OK) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    return -1;
  }
  printf("static const unsigned char module_%d[] = {", n);
  if (as_source)
    (void)write_bytes(L, lua_tostring(L, -2), lua_rawlen(L, -2), &col);
  else if (lua_dump(L, write_bytes, &col, 0) != 0)
    return -1;
  printf("\n};\n\n");
  return 0;
}

int main(int argc, char **argv) {
  lua_State *L = luaL_newstate();
  int as_source = argc > 1 && strcmp(argv[1], "-s") == 0;
  int first = as_source ? 3 : 2;
  int i;

  if (!L || argc < first) {
    fprintf(stderr, "usage: embed [-s] dir file.lua ... > modules.c\n");
    return EXIT_FAILURE;
  }
  printf("/* Written by embed.c; do not edit. */\n#include \"embed.h\"\n\n");
  for (i = first; i < argc; i++) {
    if (write_module(L, argv[first - 1], argv[i], i, as_source) < 0)
      return EXIT_FAILURE;
    lua_settop(L, 0);
  }

  printf("const struct luamp_module luamp_modules[] = {\n");
  for (i = first; i < argc; i++) {
    printf("  {\"%s\", \"@%s\", module_%d, sizeof(module_%d)},\n",
           push_name(L, argv[i]), argv[i], i, i);
    lua_settop(L, 0);
  }
  printf("  {0, 0, 0, 0},\n};\n\n");
  printf("const char luamp_modules_ident[] =\n  \"");
  for (i = 0; !as_source && lua_ident[i]; i++)
    printf(strchr("\"\\", lua_ident[i]) ? "\\%c" : "%c", lua_ident[i]);
  printf("\";\n");
  lua_close(L);
  return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
