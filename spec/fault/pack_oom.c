/* pack_oom.c -- each allocation of the codec fails once, and from then on.
 *
 * A state whose allocator counts encodes and decodes values of every kind.
 * For all n, the n-th request fails (once: Lua collects and tries again; or
 * with all that follow: an error).  Afterwards the same must work, nothing
 * may have been lost, and in the end all memory must be back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lauxlib.h"
#include "lualib.h"
#include "luamp.h"

struct memory {
  size_t used;
  long left; /* requests until one fails; < 0: none does */
  int all;   /* those after it fail, too */
  int hit;   /* one has failed */
};

static const char script[] =
    "local core = ...\n"
    "local long = ('x'):rep(5000)\n"
    "local P = {__name = 'P'}\n"
    "local function new(x) return setmetatable({x = x}, P) end\n"
    "P.__reduce = function(p) return new, p.x, {core.encode(1)} end\n"
    "local n, t = 0, {1, 2, 3, 4, 5, 6, 7, 8, 9.5, 'x', long}\n"
    "t.self, t[t], t.p = t, true, {new(1), new(long)}\n"
    "t.meta = setmetatable({}, {__index = t})\n"
    "for i = 1, 100 do t['k' .. i] = {i, {id = i}} end\n"
    "for i = 12, 400 do t[i] = i * 1.5 end\n"
    "local deep = {}\n"
    "for i = 1, 40 do deep = {deep, x = {}} end\n"
    "t.deep = deep\n"
    "function oom_global() return oom_data end\n"
    "oom_data = {1}\n"
    "t.inc = function() n = n + 1 return n end\n"
    "t.get = function() return n, t, print, oom_global() end\n"
    "t.named = {string.format, print, io.stdout, string, _G}\n"
    "return function()\n"
    "  local got = assert(core.decode(core.encode(t)))\n"
    "  got.inc() got.inc()\n"
    "  local n, same, p, data = got.get()\n"
    "  assert(n == 2 and same == got and got[got] and p == print)\n"
    "  assert(data == oom_data and got.deep[1] and #got == 400)\n"
    "  assert(got.p[1].x == 1 and got.p[2].x == long and got[11] == long)\n"
    "  assert(got.named[3] == io.stdout and got.named[4] == string)\n"
    "  assert(not pcall(core.encode, {coroutine.create(print)}))\n"
    "  assert(core.decode('\\xA1\\0') == nil)\n"
    "end\n";

static void *allocate(void *ud, void *p, size_t old, size_t new) {
  struct memory *m = ud;
  void *q;

  if (p == NULL)
    old = 0;
  if (new == 0) {
    free(p);
    m->used -= old;
    return NULL;
  }
  if (new > old && (m->left == 0 || (m->all && m->hit))) {
    m->left = -1;
    m->hit = 1;
    return NULL;
  }
  if (new > old && m->left > 0)
    m->left--;
  q = realloc(p, new);
  if (q != NULL)
    m->used += new - old;
  return q;
}

static int run(lua_State *L) {
  lua_pushvalue(L, 1);
  return lua_pcall(L, 0, 0, 0);
}

/* Returns 1 when all is well; *more: the n-th request was reached. */
static int attempt(lua_State *L, struct memory *m, long n, int all, int *more) {
  int rc;

  *m = (struct memory){m->used, n, all, 0};
  rc = run(L);
  *more = m->hit;
  *m = (struct memory){m->used, -1, 0, 0};
  if (rc != LUA_OK && (!*more || !strstr(lua_tostring(L, -1), "memory"))) {
    printf("request %ld fails: %s\n", n, lua_tostring(L, -1));
    return 0;
  }
  lua_settop(L, 1);
  if (run(L) != LUA_OK) {
    printf("after request %ld failed: %s\n", n, lua_tostring(L, -1));
    lua_settop(L, 1);
    return 0;
  }
  return 1;
}

static lua_State *open_state(struct memory *m) {
  lua_State *L = lua_newstate(allocate, m);

  luaL_openlibs(L);
  luamp_preload(L);
  luaL_requiref(L, "mp.core", luaopen_mp_core, 0);
  if (luaL_loadstring(L, script) != LUA_OK)
    abort();
  lua_insert(L, 1);
  lua_call(L, 1, 1);
  return L;
}

static size_t settled(lua_State *L, struct memory *m) {
  lua_gc(L, LUA_GCCOLLECT);
  lua_gc(L, LUA_GCCOLLECT);
  return m->used;
}

/* The n-th request of the first message of a state fails, for all n. */
static void cold(int all, unsigned *passed, unsigned *failed) {
  int more = 1;
  long n;

  for (n = 0; more; n += 3) {
    struct memory m = {0, -1, 0, 0};
    lua_State *L = open_state(&m);
    int good = attempt(L, &m, n, all, &more);

    lua_close(L);
    if (good && m.used != 0)
      printf("request %ld: %zu bytes are lost\n", n, m.used);
    if (good && m.used == 0)
      ++*passed;
    else
      ++*failed;
  }
}

/* The same in a state where all has worked before. */
static void warm(int all, unsigned *passed, unsigned *failed) {
  struct memory m = {0, -1, 0, 0};
  lua_State *L = open_state(&m);
  size_t before, after;
  int more;
  long n;

  if (run(L) != LUA_OK && ++*failed)
    printf("%s\n", lua_tostring(L, -1));
  lua_settop(L, 1);
  before = settled(L, &m);
  for (n = 0, more = 1; more; n++) {
    if (attempt(L, &m, n, all, &more))
      ++*passed;
    else
      ++*failed;
  }
  after = settled(L, &m);
  if (after > before + 65536 && ++*failed)
    printf("%zu bytes before, %zu after\n", before, after);
  lua_close(L);
  if (m.used != 0 && ++*failed)
    printf("%zu bytes are lost\n", m.used);
}

int main(void) {
  unsigned passed = 0, failed = 0;
  int all;

  for (all = 0; all <= 1; all++) {
    warm(all, &passed, &failed);
    cold(all, &passed, &failed);
  }
  printf("%u passed, %u failed\n", passed, failed);
  return failed > 0;
}
