/* lmp_thread.c -- the Lua half of a process that is a thread: a state of its
 * own, and how it is stopped.
 *
 * Stopping sets a hook on the state that runs (the core's signal runs
 * on_stop in the thread itself); the hook raises at every instruction until
 * the thread's outermost call is left, so no pcall holds it.  The state that
 * runs may be a coroutine's, so here coroutine.resume and wrap note whom they
 * run; a library that resumes on its own is stopped when it returns to Lua.
 */
#include "lmp.h"

#include <string.h>

#define SIGINT_NUMBER 2

/* The thread we are in; L is NULL in any other. */
static _Thread_local struct {
  lua_State *L;       /* the state's main thread */
  lua_State *current; /* what runs: L or a coroutine */
  int exiting;        /* os.exit was called */
  int code;
} here;

struct start {
  lua_State *L; /* the new state; the new thread's once it runs */
};

int lmp_thread_is_one(void) {
  return here.L != NULL;
}

/* Stopping */

static void stop_hook(lua_State *L, lua_Debug *ar);

static void arm(lua_State *L) {
  lua_sethook(L, stop_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

static void stop_hook(lua_State *L, lua_Debug *ar) {
  (void)ar;
  if (!here.exiting && mp_stopping() == SIGINT_NUMBER) {
    mp_stop_clear();
    lua_sethook(L, NULL, 0, 0);
    luaL_error(L, "interrupted!");
  }
  if (!here.exiting && mp_stopping() == 0) {
    lua_sethook(L, NULL, 0, 0);
    return;
  }
  arm(L); /* whoever catches this is stopped again */
  luaL_error(L, "process ended");
}

/* In the signal's handler, in the thread that is to stop. */
static void on_stop(void) {
  if (here.L) {
    arm(here.current);
    if (here.current != here.L)
      arm(here.L);
  }
}

int lmp_thread_exit(lua_State *L, int code) {
  here.exiting = 1;
  here.code = code;
  arm(L);
  if (L != here.L)
    arm(here.L);
  return luaL_error(L, "process ended");
}

/* Coroutines */

static int resume_into(lua_State *L, lua_State *co, int nargs) {
  lua_State *before = here.current;
  int nres;
  int status;

  if (!lua_checkstack(co, nargs)) {
    lua_pushliteral(L, "too many arguments to resume");
    return -1;
  }
  lua_xmove(L, co, nargs);
  here.current = co;
  status = lua_resume(co, L, nargs, &nres);
  here.current = before;
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_xmove(co, L, 1); /* the error */
    return -1;
  }
  if (!lua_checkstack(L, nres + 1)) {
    lua_pop(co, nres);
    lua_pushliteral(L, "too many results to resume");
    return -1;
  }
  lua_xmove(co, L, nres);
  return nres;
}

static int co_resume(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  int n;

  luaL_argexpected(L, co, 1, "coroutine");
  n = resume_into(L, co, lua_gettop(L) - 1);
  lua_pushboolean(L, n >= 0);
  lua_insert(L, n < 0 ? -2 : -(n + 1));
  return n < 0 ? 2 : n + 1;
}

static int co_wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  int n = resume_into(L, co, lua_gettop(L));

  if (n >= 0)
    return n;
  n = lua_status(co);
  if (n != LUA_OK && n != LUA_YIELD) { /* an error in it: close what it holds */
    n = lua_resetthread(co);
    if (n != LUA_OK)
      lua_xmove(co, L, 1);
  }
  if (lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int co_wrap(lua_State *L) {
  lua_State *co;

  luaL_checktype(L, 1, LUA_TFUNCTION);
  co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, co_wrapped, 1);
  return 1;
}

static void note_coroutines(lua_State *L) {
  lua_getglobal(L, "coroutine");
  lua_pushcfunction(L, co_resume);
  lua_setfield(L, -2, "resume");
  lua_pushcfunction(L, co_wrap);
  lua_setfield(L, -2, "wrap");
  lua_pop(L, 1);
}

/* The new state */

/* os.exit([code]), in a thread: the end of the thread */
static int os_exit(lua_State *L) {
  int code = 0;

  if (lua_isboolean(L, 1))
    code = !lua_toboolean(L, 1);
  else if (!lua_isnoneornil(L, 1))
    code = (int)luaL_checkinteger(L, 1);
  lua_pushcfunction(L, lmp_life_finish);
  (void)lua_pcall(L, 0, 0, 0); /* Ctrl-C ends the waiting */
  return lmp_thread_exit(L, code);
}

static void own_exit(lua_State *L) {
  if (lua_getglobal(L, "os") == LUA_TTABLE) {
    lua_pushcfunction(L, os_exit);
    lua_setfield(L, -2, "exit");
  }
  lua_pop(L, 1);
}

static void preload(lua_State *L) {
  lmp_preload(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_mp_core);
  lua_setfield(L, -2, "mp.core");
  lua_pop(L, 1);
}

/* __index of package.preload: our modules come in when the first of all that
 * are required is looked for. */
static int preload_index(lua_State *L) {
  lua_settop(L, 2);
  lua_pushnil(L);
  lua_setmetatable(L, 1);
  preload(L);
  lua_rawget(L, 1);
  return 1;
}

static void preload_late(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, preload_index);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
  lua_pop(L, 1);
}

/* (host) -> exit code */
static int main_call(lua_State *L) {
  int code;

  lmp_host_prepare(L, lua_touserdata(L, 1));
  note_coroutines(L);
  own_exit(L);
  preload_late(L);
  code = lmp_work(L);
  lua_pushcfunction(L, lmp_life_finish);
  (void)lua_pcall(L, 0, 0, 0);
  lua_pushinteger(L, code);
  return 1;
}

/* The thread: returns the exit code. */
static int run(void *arg) {
  lua_State *L = arg;
  int code;

  here.L = here.current = L;
  here.exiting = 0;
  here.code = 0;
  mp_on_stop(on_stop);
  if (mp_stopping())
    arm(L);
  code = lua_pcall(L, 1, 1, 0) == LUA_OK ? (int)lua_tointeger(L, -1) : 1;
  if (here.exiting)
    code = here.code & 0xff;
  lua_sethook(L, NULL, 0, 0); /* the end is not to be stopped */
  here.exiting = 0;
  mp_on_stop(NULL);
  here.L = NULL;
  lua_close(L);
  return code;
}

static int start_gc(lua_State *L) {
  struct start *s = lua_touserdata(L, 1);

  if (s->L)
    lua_close(s->L);
  s->L = NULL;
  return 0;
}

/* core.proc_thread(p) */
int lmp_thread_start(lua_State *L) {
  struct lmp_box *b = lmp_box_check(L, 1, MP_TYPE_PROC);
  const struct luamp_host *host = lmp_host(L);
  struct start *s = lua_newuserdatauv(L, sizeof *s, 0);
  int rc;

  s->L = NULL;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, start_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  s->L = lmp_host_open(host);
  if (!s->L)
    return luaL_error(L, "start: not enough memory");
  /* Neither allocates: this state's errors would find no handler yet. */
  lua_pushcfunction(s->L, main_call);
  lua_pushlightuserdata(s->L, (void *)(uintptr_t)host);
  rc = mp_proc_thread(b->held, run, s->L);
  if (rc < 0)
    return lmp_raise(L, rc, "start");
  s->L = NULL; /* the thread's from here on */
  return 0;
}
