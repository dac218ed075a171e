/* luamp.c -- the command: the stand-alone interpreter of Lua, with mp in it.
 *
 * Options, messages and exit codes are those of `lua` (reference manual,
 * section 7); spec/luamp_spec.lua compares the two.
 */
#include <alloca.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "luamp.h"
#include "mp.h"

#define PAGE 4096

enum {
  OPT_INTERACTIVE = 1, /* -i */
  OPT_VERSION = 2,     /* -v, -i */
  OPT_EXECUTE = 4,     /* -e */
  OPT_NOENV = 8        /* -E */
};

/* What is to be done; filled by parse, then only read. */
struct command {
  const char *name; /* before messages: argv[0], or "luamp" */
  int argc;
  char **argv;
  unsigned options; /* OPT_... */
  int script;       /* its index in argv; argc if there is none */
};

static void print_usage(FILE *to, const char *name) {
  fprintf(to,
          "usage: %s [options] [script [args]]\n"
          "Available options are:\n"
          "  -e stat   execute string 'stat'\n"
          "  -i        enter interactive mode after executing 'script'\n"
          "  -l mod    require library 'mod' into global 'mod'\n"
          "  -l g=mod  require library 'mod' into global 'g'\n"
          "  -v        show version information\n"
          "  -E        ignore environment variables\n"
          "  -W        turn warnings on\n"
          "  --        stop handling options\n"
          "  -         stop handling options and execute stdin\n",
          name);
  fflush(to);
}

static void print_version(void) {
  printf("%s\n", LUA_COPYRIGHT);
  fflush(stdout);
}

/* `luamp --help` and `luamp --version`, which are not options of lua.  They
 * count only as the first word.  Returns 1 when that was all.
 */
static int is_question(const struct command *c) {
  const char *word = c->argc > 1 ? c->argv[1] : "";

  if (strcmp(word, "--version") == 0) {
    printf("luamp %s (%s)\n", MP_VERSION, LUA_RELEASE);
    return 1;
  }
  if (strcmp(word, "--help") == 0) {
    print_usage(stdout, c->name);
    printf("  --help    show this text\n"
           "  --version show luamp's version\n");
    return 1;
  }
  return 0;
}

/* Read argv[i], an option, into c.  Returns the index of its last word, 0 if
 * it is no option of ours or lacks its argument.
 */
static int parse_option(struct command *c, int i) {
  const char *word = c->argv[i];

  if (word[1] == 'e' || word[1] == 'l') {
    if (word[1] == 'e')
      c->options |= OPT_EXECUTE;
    if (word[2] != '\0')
      return i;
    return i + 1 < c->argc && c->argv[i + 1][0] != '-' ? i + 1 : 0;
  }
  if (word[2] != '\0')
    return 0;
  switch (word[1]) {
  case 'E':
    c->options |= OPT_NOENV;
    return i;
  case 'i':
    c->options |= OPT_INTERACTIVE | OPT_VERSION;
    return i;
  case 'v':
    c->options |= OPT_VERSION;
    return i;
  case 'W':
    return i;
  default:
    return 0;
  }
}

/* Find the options and the script.  Returns 0 or the index of a bad word. */
static int parse(struct command *c) {
  int i;

  for (i = 1; i < c->argc && c->argv[i][0] == '-'; i++) {
    const char *word = c->argv[i];
    int last;

    if (word[1] == '\0') /* "-" is a script, too: stdin */
      break;
    if (strcmp(word, "--") == 0) {
      i++;
      break;
    }
    last = parse_option(c, i);
    if (last == 0)
      return i;
    i = last;
  }
  c->script = i;
  return 0;
}

static void refuse(const struct command *c, const char *word) {
  int known = word[1] == 'e' || word[1] == 'l';

  fprintf(stderr,
          known ? "%s: '%s' needs argument\n"
                : "%s: unrecognized option '%s'\n",
          c->name, word);
  print_usage(stderr, c->name);
}

/* The global `arg`: the script at 0, its arguments from 1 on, the words
 * before it at negative indices.
 */
static void push_arg(lua_State *L, const struct command *c) {
  int zero = c->script == c->argc ? 0 : c->script;
  int i;

  lua_createtable(L, c->argc - zero, zero + 1);
  for (i = 0; i < c->argc; i++) {
    lua_pushstring(L, c->argv[i]);
    lua_rawseti(L, -2, i - zero);
  }
  lua_setglobal(L, "arg");
}

/* Run the chunk on the top, if luaL_load... has given one. */
static int run_chunk(lua_State *L, const struct command *c, int status) {
  if (status == LUA_OK)
    status = cmd_call(L, 0, 0);
  return cmd_report(L, c->name, status);
}

static int run_string(lua_State *L, const struct command *c, const char *code,
                      const char *chunk) {
  return run_chunk(L, c, luaL_loadbuffer(L, code, strlen(code), chunk));
}

/* What LUA_INIT_5_4, or else LUA_INIT, says: code, or "@file". */
static int run_init(lua_State *L, const struct command *c) {
  const char *chunk = "=LUA_INIT" LUA_VERSUFFIX;
  const char *init = getenv(chunk + 1);

  if (!init) {
    chunk = "=LUA_INIT";
    init = getenv(chunk + 1);
  }
  if (!init)
    return LUA_OK;
  if (init[0] == '@')
    return run_chunk(L, c, luaL_loadfile(L, init + 1));
  return run_string(L, c, init, chunk);
}

/* -l mod, -l g=mod */
static int run_require(lua_State *L, const struct command *c,
                       const char *word) {
  const char *equal = strchr(word, '=');
  size_t len = equal ? (size_t)(equal - word) : strlen(word);
  const char *name = lua_pushlstring(L, word, len);
  int status;

  lua_getglobal(L, "require");
  lua_pushstring(L, equal ? equal + 1 : word);
  status = cmd_call(L, 1, 1);
  if (status == LUA_OK)
    lua_setglobal(L, name);
  else
    cmd_report(L, c->name, status);
  lua_pop(L, 1); /* the name */
  return status;
}

/* -e, -l and -W take effect in the order in which they were given. */
static int run_options(lua_State *L, const struct command *c) {
  int i;

  for (i = 1; i < c->script; i++) {
    const char *word = c->argv[i];
    const char *argument;
    int status;

    if (word[1] == 'W')
      lua_warning(L, "@on", 0);
    if (word[1] != 'e' && word[1] != 'l')
      continue;
    argument = word[2] ? word + 2 : c->argv[++i];
    status = word[1] == 'e' ? run_string(L, c, argument, "=(command line)")
                            : run_require(L, c, argument);
    if (status != LUA_OK)
      return status;
  }
  return LUA_OK;
}

/* Push what the table `arg` holds from 1 on: the script may be run with other
 * arguments than it was given, if LUA_INIT or -e has changed them.
 */
static int push_script_args(lua_State *L) {
  int table;
  lua_Integer n;
  lua_Integer i;

  if (lua_getglobal(L, "arg") != LUA_TTABLE)
    luaL_error(L, "'arg' is not a table");
  table = lua_gettop(L);
  n = luaL_len(L, table);
  if (n >= INT_MAX - LUA_MINSTACK)
    luaL_error(L, "too many arguments to script");
  luaL_checkstack(L, (int)n + LUA_MINSTACK, "too many arguments to script");
  for (i = 1; i <= n; i++)
    lua_rawgeti(L, table, i);
  lua_remove(L, table);
  return (int)n;
}

static int run_script(lua_State *L, const struct command *c) {
  const char *file = c->argv[c->script];
  int status;

  /* "-" is stdin, but after "--" it is a file of that name. */
  if (strcmp(file, "-") == 0 && strcmp(c->argv[c->script - 1], "--") != 0)
    file = NULL;
  status = luaL_loadfile(L, file);
  if (status == LUA_OK)
    status = cmd_call(L, push_script_args(L), 0);
  return cmd_report(L, c->name, status);
}

/* Everything after the options were read; called by main under lua_pcall.
 * Pushes whether all went well.
 */
static int run(lua_State *L) {
  const struct command *c = lua_touserdata(L, 1);
  int keep = !(c->options & OPT_NOENV);
  int status = LUA_OK;

  lua_settop(L, 0);
  luaL_checkversion(L);
  if (c->options & OPT_VERSION)
    print_version();
  if (c->options & OPT_NOENV) {
    lua_pushboolean(L, 1); /* the libraries look at it, too */
    lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
  }
  luaL_openlibs(L);
  luamp_preload(L);
  push_arg(L, c);
  lua_gc(L, LUA_GCGEN, 0, 0);

  if (!(c->options & OPT_NOENV))
    status = run_init(L, c);
  if (status == LUA_OK)
    status = run_options(L, c);
  if (status == LUA_OK && c->script < c->argc)
    status = run_script(L, c);
  if (status != LUA_OK)
    return 0;

  if (c->options & OPT_INTERACTIVE) {
    cmd_repl(L, keep);
  } else if (c->script == c->argc &&
             !(c->options & (OPT_EXECUTE | OPT_VERSION))) {
    if (isatty(STDIN_FILENO)) {
      print_version();
      cmd_repl(L, keep);
    } else {
      run_chunk(L, c, luaL_loadfile(L, NULL)); /* lua ignores its failure */
    }
  }
  lua_pushboolean(L, 1);
  return 1;
}

static __attribute__((noinline)) int start(int argc, char **argv) {
  struct command c = {"luamp", argc, argv, 0, argc};
  lua_State *L;
  int bad;
  int status;
  int good;

  if (argc > 0 && argv[0][0] != '\0')
    c.name = argv[0];
  if (is_question(&c))
    return EXIT_SUCCESS;
  bad = parse(&c);
  if (bad > 0) {
    refuse(&c, argv[bad]);
    return EXIT_FAILURE;
  }
  L = cmd_state_open();
  if (!L) {
    cmd_message(c.name, "cannot create state: not enough memory");
    return EXIT_FAILURE;
  }
  lua_pushcfunction(L, run);
  lua_pushlightuserdata(L, &c);
  status = lua_pcall(L, 1, 1, 0);
  good = status == LUA_OK && lua_toboolean(L, -1);
  cmd_report(L, c.name, status);
  /* The end of the script.  Children are joined by mp's own finalizer, which
   * lua_close runs, as it must under every other host.
   */
  lua_close(L);
  return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The calls below begin with a page of the C stack, too: most of the time they
 * need no other. */
int main(int argc, char **argv) {
  volatile char *rest =
      alloca((uintptr_t)__builtin_frame_address(0) % PAGE + 1);

  *rest = 0;
  return start(argc, argv);
}
