/* lmp_names.c -- owns the index of what `require` finds again.
 *
 * A weak table of the state maps values to names: loaded modules, and what
 * lies directly in their fields.  Each name begins with a letter:
 *   m  "module"          the module itself
 *   f  "module\0field"   a function, or a standard file of `io`
 *   c  "module\0field"   a table that holds functions (a class)
 *   d  "module\0field"   another table: by name only where it is a metatable
 * Modules that nobody else could load (put into package.loaded by hand, or
 * out of package.preload) are left out: they travel by value.
 *
 * The index is made anew when a fingerprint of package.loaded has changed.
 * A name is checked when it is used: the module must still hold the value.
 */
#include "lmp_pack.h"

#define CLASS_SCAN 64 /* fields looked at in search of a function */

struct lmp_names {
  uint64_t print;      /* of package.loaded, when the index was made */
  uint64_t filter[16]; /* bits of the addresses of tables in the index */
};

enum { U_INDEX = 1, U_FOUND, U_STANDARD, U_LAST = U_STANDARD };

static const char names_key;

/* Of the libraries; and names that no receiver needs to be sent. */
static const char *const standard[] = {
    "_G",       "package",      "coroutine",
    "table",    "io",           "os",
    "string",   "math",         "utf8",
    "debug",    "assert",       "collectgarbage",
    "dofile",   "error",        "getmetatable",
    "ipairs",   "load",         "loadfile",
    "next",     "pairs",        "pcall",
    "print",    "rawequal",     "rawget",
    "rawlen",   "rawset",       "require",
    "select",   "setmetatable", "tonumber",
    "tostring", "type",         "warn",
    "xpcall",   "_VERSION",     "_ENV",
    NULL};

#define STANDARD_MODULES 10 /* the first of them */

struct lmp_names *lmp__names(lua_State *L) {
  struct lmp_names *names;
  int i;

  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &names_key) == LUA_TUSERDATA)
    return lua_touserdata(L, -1);
  lua_pop(L, 1);
  names = lua_newuserdatauv(L, sizeof *names, U_LAST);
  memset(names, 0, sizeof *names);
  lua_newtable(L);
  lua_setiuservalue(L, -2, U_INDEX);
  lua_newtable(L);
  lua_setiuservalue(L, -2, U_FOUND);
  lua_newtable(L);
  for (i = 0; standard[i] != NULL; i++) {
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, standard[i]);
  }
  lua_setiuservalue(L, -2, U_STANDARD);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &names_key);
  return names;
}

/* Push one of the tables. */
static void push_part(lua_State *L, int part) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &names_key);
  lua_getiuservalue(L, -1, part);
  lua_remove(L, -2);
}

int lmp__names_standard(lua_State *L) {
  int yes;

  push_part(L, U_STANDARD);
  lua_pushvalue(L, -2);
  lua_rawget(L, -2);
  yes = lua_toboolean(L, -1);
  lua_pop(L, 2);
  return yes;
}

static void push_loaded(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
}

static uint64_t mix(const void *p) {
  uint64_t x = lmp__key(p) * 0x9E3779B97F4A7C15u;

  return x ^ x >> 29;
}

static void add_filter(struct lmp_names *names, const void *p) {
  uint64_t h = mix(p) % 1024;

  names->filter[h / 64] |= (uint64_t)1 << h % 64;
}

int lmp__names_maybe(const struct lmp_names *names, const void *p) {
  uint64_t h = mix(p) % 1024;

  return (int)(names->filter[h / 64] >> h % 64 & 1);
}

/* ---- can another process load it? ---- */

/* package.searchpath(name on top, package[path]); pops nothing. */
static int on_path(lua_State *L, const char *path) {
  int top = lua_gettop(L);
  int found = 0;

  push_loaded(L);
  lua_getfield(L, -1, "package");
  if (lua_istable(L, -1)) {
    lua_pushliteral(L, "searchpath");
    lua_rawget(L, -2);
    lua_pushvalue(L, top);
    lua_pushstring(L, path);
    lua_rawget(L, -4);
    found = lua_pcall(L, 2, 1, 0) == LUA_OK;
    if (!found)
      lmp_pass_interrupt(L);
    found = found && lua_isstring(L, -1);
  }
  lua_settop(L, top);
  return found;
}

/* "a.b" may live in the C library of "a". */
static int in_root(lua_State *L) {
  const char *name = lua_tostring(L, -1);
  const char *dot = strchr(name, '.');
  int found;

  if (dot == NULL)
    return 0;
  lua_pushlstring(L, name, (size_t)(dot - name));
  found = on_path(L, "cpath");
  lua_pop(L, 1);
  return found;
}

static int is_ours(const char *name) {
  return strcmp(name, "mp") == 0 || strncmp(name, "mp.", 3) == 0 ||
         strcmp(name, "multiprocessing") == 0;
}

/* Can the module whose name is at idx be found elsewhere? */
static int findable(lua_State *L, int idx) {
  const char *name = lua_tostring(L, idx);
  int top = lua_gettop(L);
  int i, found;

  for (i = 0; i < STANDARD_MODULES; i++) {
    if (strcmp(name, standard[i]) == 0)
      return 1;
  }
  if (is_ours(name))
    return 1;
  push_part(L, U_FOUND);
  lua_pushvalue(L, idx);
  if (lua_rawget(L, -2) != LUA_TNIL) {
    found = lua_toboolean(L, -1);
  } else {
    lua_pushvalue(L, idx);
    found = on_path(L, "path") || on_path(L, "cpath") || in_root(L);
    lua_pushboolean(L, found);
    lua_rawset(L, top + 1);
  }
  lua_settop(L, top);
  return found;
}

/* ---- making the index ---- */

/* index[value at idx] = kind .. name, unless it has a name already. */
static void enter(lua_State *L, struct lmp_names *names, int index, int idx,
                  const char *kind, int name) {
  idx = lua_absindex(L, idx);
  lua_pushvalue(L, idx);
  if (lua_rawget(L, index) == LUA_TNIL) {
    lua_pushvalue(L, idx);
    lua_pushstring(L, kind);
    lua_pushvalue(L, name);
    lua_concat(L, 2);
    lua_rawset(L, index);
    if (lua_istable(L, idx))
      add_filter(names, lua_topointer(L, idx));
  }
  lua_pop(L, 1);
}

/* Is the table on top a class: does it hold functions? */
static int is_class(lua_State *L) {
  int yes = 0;
  int i;

  lua_pushnil(L);
  for (i = 0; lua_next(L, -2); i++) {
    yes = lua_isfunction(L, -1);
    lua_pop(L, 1);
    if (yes || i == CLASS_SCAN) {
      lua_pop(L, 1);
      break;
    }
  }
  return yes;
}

static int is_standard_file(const char *module, const char *field) {
  return strcmp(module, "io") == 0 &&
         (strcmp(field, "stdin") == 0 || strcmp(field, "stdout") == 0 ||
          strcmp(field, "stderr") == 0);
}

/* The letter for a field, or NULL: its key and value are on top. */
static const char *field_kind(lua_State *L, const char *module) {
  switch (lua_type(L, -1)) {
  case LUA_TFUNCTION:
    if (strcmp(module, "_G") == 0 && !lua_iscfunction(L, -1))
      return NULL; /* the user's own global: `require` knows nothing of it */
    return "f";
  case LUA_TTABLE:
    if (strcmp(module, "_G") == 0)
      return NULL;
    return is_class(L) ? "c" : "d";
  case LUA_TUSERDATA:
    return is_standard_file(module, lua_tostring(L, -2)) ? "f" : NULL;
  default:
    return NULL;
  }
}

/* Stack: .. module's name, module. */
static void enter_fields(lua_State *L, struct lmp_names *names, int index) {
  int name = lua_gettop(L) - 1;
  const char *module = lua_tostring(L, name);

  lua_pushnil(L);
  while (lua_next(L, name + 1)) {
    const char *kind = NULL;
    if (lua_type(L, -2) == LUA_TSTRING)
      kind = field_kind(L, module);
    if (kind != NULL) {
      lua_pushvalue(L, name);
      lua_pushlstring(L, "", 1);
      lua_pushvalue(L, -4);
      lua_concat(L, 3);
      enter(L, names, index, -2, kind, lua_gettop(L));
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
}

/* The module whose name is on top. */
static void enter_module(lua_State *L, struct lmp_names *names, int index,
                         int loaded, int fields) {
  int name = lua_gettop(L);
  int type;

  lua_pushvalue(L, name);
  type = lua_rawget(L, loaded);
  if ((type == LUA_TTABLE || type == LUA_TFUNCTION) && findable(L, name)) {
    if (!fields)
      enter(L, names, index, -1, "m", name);
    else if (type == LUA_TTABLE)
      enter_fields(L, names, index);
  }
  lua_settop(L, name);
}

/* Push a list of the names of the modules, the standard ones first: the
 * table itself may change while one searches for them. */
static lua_Integer push_modules(lua_State *L, int loaded) {
  lua_Integer n = 0;

  lua_newtable(L);
  for (; n < STANDARD_MODULES; n++) {
    lua_pushstring(L, standard[n]);
    lua_rawseti(L, -2, n + 1);
  }
  lua_pushnil(L);
  while (lua_next(L, loaded)) {
    lua_pop(L, 1);
    if (lua_type(L, -1) == LUA_TSTRING &&
        strlen(lua_tostring(L, -1)) == lua_rawlen(L, -1)) {
      lua_pushvalue(L, -1);
      lua_rawseti(L, -3, ++n);
    }
  }
  return n;
}

static void push_index(lua_State *L) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
}

static void build(lua_State *L, struct lmp_names *names, int loaded) {
  int index = lua_gettop(L) + 1;
  lua_Integer n, i;
  int fields;

  memset(names->filter, 0, sizeof names->filter);
  push_index(L);
  n = push_modules(L, loaded);
  for (fields = 0; fields <= 1; fields++) {
    for (i = 1; i <= n; i++) {
      lua_rawgeti(L, index + 1, i);
      enter_module(L, names, index, loaded, fields);
      lua_pop(L, 1);
    }
  }
  lua_rawgetp(L, LUA_REGISTRYINDEX, &names_key);
  lua_pushvalue(L, index);
  lua_setiuservalue(L, -2, U_INDEX);
  lua_settop(L, index - 1);
}

static uint64_t fingerprint(lua_State *L, int loaded) {
  uint64_t print = 1;

  lua_pushnil(L);
  while (lua_next(L, loaded)) {
    print += mix(lua_topointer(L, -2)) ^ lmp__key(lua_topointer(L, -1)) << 1;
    lua_pop(L, 1);
  }
  return print;
}

int lmp__names_refresh(lua_State *L, struct lmp_names *names, int force) {
  int top = lua_gettop(L);
  uint64_t print;
  int stale;

  luaL_checkstack(L, 20, NULL);
  push_loaded(L);
  print = fingerprint(L, top + 1);
  stale = force || print != names->print;
  if (stale) {
    names->print = 0; /* until it is complete */
    build(L, names, top + 1);
    names->print = print;
  }
  lua_settop(L, top);
  return stale;
}

/* ---- use ---- */

/* Push what the name means here, or nil; loads nothing. */
static void push_named(lua_State *L, const char *name, size_t len) {
  size_t module = strlen(name);

  push_loaded(L);
  lua_pushlstring(L, name, module);
  lua_rawget(L, -2);
  lua_remove(L, -2);
  if (module == len)
    return;
  if (lua_istable(L, -1)) {
    lua_pushlstring(L, name + module + 1, len - module - 1);
    lua_rawget(L, -2);
  } else {
    lua_pushnil(L);
  }
  lua_remove(L, -2);
}

int lmp__names_find(lua_State *L, struct lmp_names *names, int idx,
                    int is_meta) {
  const char *name;
  size_t len;

  (void)names;
  idx = lua_absindex(L, idx);
  luaL_checkstack(L, 8, NULL);
  push_part(L, U_INDEX);
  lua_pushvalue(L, idx);
  lua_rawget(L, -2);
  lua_remove(L, -2);
  name = lua_tolstring(L, -1, &len);
  if (name != NULL && (*name != 'd' || is_meta)) {
    push_named(L, name + 1, len - 1);
    if (lua_rawequal(L, -1, idx)) {
      lua_pop(L, 1);
      lua_pushlstring(L, name + 1, len - 1);
      lua_remove(L, -2);
      return 1;
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return 0;
}

/* require(module), protected.  1: pushes nothing; 0: a message. */
static int load_module(lua_State *L, const char *name, size_t len) {
  push_loaded(L);
  lua_getfield(L, -1, "_G");
  if (lua_istable(L, -1)) {
    lua_pushliteral(L, "require");
    lua_rawget(L, -2);
  }
  lua_pushlstring(L, name, len);
  switch (lua_pcall(L, 1, 0, 0)) {
  case LUA_OK:
    lua_pop(L, 2);
    return 1;
  case LUA_ERRMEM:
    lua_error(L);
    break;
  default:
    lmp_pass_interrupt(L);
    lua_pushlstring(L, name, len);
    lua_pushfstring(L, "cannot load module '%s': %s", lua_tostring(L, -1),
                    lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2)
                                                   : luaL_typename(L, -2));
  }
  return 0;
}

/* (module, field): the field, which the module may have to load. */
static int index_module(lua_State *L) {
  lua_gettable(L, 1);
  return 1;
}

/* Push what a module makes of a field that it does not have yet, or nil. */
static void push_late(lua_State *L, const char *name, size_t module,
                      size_t len) {
  int rc;

  if (module == len) {
    lua_pushnil(L);
    return;
  }
  lua_pushcfunction(L, index_module);
  push_named(L, name, module);
  lua_pushlstring(L, name + module + 1, len - module - 1);
  rc = lua_pcall(L, 2, 1, 0);
  if (rc == LUA_ERRMEM)
    lua_error(L);
  if (rc != LUA_OK) {
    lmp_pass_interrupt(L);
    lua_pop(L, 1);
    lua_pushnil(L);
  }
}

int lmp__names_resolve(lua_State *L, const char *name, size_t len) {
  size_t module;
  int top = lua_gettop(L);

  luaL_checkstack(L, 16, NULL);
  name = lua_pushlstring(L, name, len); /* has a NUL at its end */
  module = strlen(name);
  push_named(L, name, module);
  if (!lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    if (!load_module(L, name, module))
      goto fail;
  } else {
    lua_pop(L, 1);
  }
  push_named(L, name, len);
  if (lua_isnil(L, -1))
    push_late(L, name, module, len);
  if (!lua_isnil(L, -1)) {
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
    return 1;
  }
  lua_pushlstring(L, name, module);
  lua_pushfstring(L, "module '%s' has no field '%s'", lua_tostring(L, -1),
                  module < len ? name + module + 1 : "");

fail:
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
  return 0;
}
