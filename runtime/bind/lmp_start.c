/* lmp_start.c -- the starts of processes that are no threads. */
#include "lmp.h"

#define ARGS 32
#define NO_SERVER 2   /* ENOENT on every Linux */
#define FORK_ROOM 512 /* KiB */

static struct lmp_box *check(lua_State *L) {
  return lmp_box_check(L, 1, MP_TYPE_PROC);
}

/* The stack of core.proc_fork; from FORK_CALL on the function and its
 * arguments, then what it returned. */
enum { FORK_PROC = 1, FORK_HANDLER, FORK_SETTLE, FORK_CALL };

/* Within a lua_pcall that begins before the fork: what it touches, and the
 * child has not yet, costs the child a page fault each.  (&rc, p, f, ...) in
 * the place of f and its arguments; returns what f does, in the child. */
LMP_NEAR static int fork_and_call(lua_State *L) {
  int *rc = lua_touserdata(L, 1);
  struct lmp_box *b = lua_touserdata(L, 2);

  /* A collection in the child writes to all that the parent has.  A step of
   * less than nothing puts the next one off by so much. */
  (void)lua_gc(L, LUA_GCSTEP, -FORK_ROOM);
  *rc = mp_proc_fork(b->held);
  if (*rc == 0) {
    lua_call(L, lua_gettop(L) - 3, LUA_MULTRET);
    return lua_gettop(L) - 2;
  }
  (void)lua_gc(L, LUA_GCSTEP, FORK_ROOM);
  return 0;
}

/* In the child, after the call, on the parent's stack: an error that a hook
 * raises (Ctrl-C) must not unwind into the caller's copy.  Where nothing is
 * left to do no more Lua code runs. */
LMP_NEAR static void end_fork(lua_State *L, int ok) {
  if (ok && lua_gettop(L) < FORK_CALL && lmp_life_over())
    mp_exit(0);
  if (lua_checkstack(L, 2)) {
    lua_copy(L, FORK_SETTLE, FORK_HANDLER);
    lua_pushboolean(L, ok);
    lua_replace(L, FORK_SETTLE);
    lua_remove(L, FORK_PROC); /* settle, ok, results */
    (void)lua_pcall(L, lua_gettop(L) - 1, 0, 0);
  }
  mp_exit(1);
}

/* core.proc_fork(p, handler, settle, f, ...): f(...) in the child, then
 * settle(ok, ...) when there are results, an error, or children; neither
 * returns from here.  In the parent nothing, or why it failed. */
LMP_NEAR static int lmp_proc_fork(lua_State *L) {
  int rc = 1; /* of the fork; 0 in the child */
  int nargs = lua_gettop(L) - FORK_CALL + 1;
  int ok;
  int i;

  (void)check(L);
  for (i = FORK_HANDLER; i <= FORK_CALL; i++)
    luaL_checktype(L, i, LUA_TFUNCTION);
  luaL_checkstack(L, 3, "start");
  lua_pushcfunction(L, fork_and_call);
  lua_pushlightuserdata(L, &rc);
  lua_pushvalue(L, FORK_PROC);
  lua_rotate(L, FORK_CALL, 3);
  ok = lua_pcall(L, nargs + 2, LUA_MULTRET, FORK_HANDLER) == LUA_OK;
  if (rc == 0)
    end_fork(L, ok);
  if (!ok) { /* a hook's (Ctrl-C), or too little stack; as it was raised */
    if (lua_istable(L, -1))
      (void)lua_getfield(L, -1, "message");
    return lua_error(L);
  }
  if (rc > 0)
    return 0;
  lua_pushfstring(L, "start: %s", mp_err_text(rc));
  return 1;
}

typedef int (*starter)(mp_ref p, const char *const *argv);

/* (p, arg0, arg1, ...): a word "%d" becomes the ticket */
static int start_program(lua_State *L, starter start) {
  struct lmp_box *b = check(L);
  const char *argv[ARGS + 1];
  int n = lua_gettop(L) - 1;
  int rc;
  int i;

  luaL_argcheck(L, n > 0 && n <= ARGS, 2, "a program and its arguments");
  for (i = 0; i < n; i++)
    argv[i] = luaL_checkstring(L, i + 2);
  argv[n] = NULL;
  rc = start(b->held, argv);
  if (rc < 0)
    return luaL_error(L, "start '%s': %s", argv[0], mp_err_text(rc));
  return 0;
}

static int lmp_proc_spawn(lua_State *L) {
  return start_program(L, mp_proc_spawn);
}

/* core.proc_serve(p) -> true, or false when the server is to be started:
 * core.proc_serve(p, arg0, ...) */
static int lmp_proc_serve(lua_State *L) {
  int rc;

  if (lua_gettop(L) > 1)
    return start_program(L, mp_proc_serve);
  rc = mp_proc_serve(check(L)->held, NULL);
  if (rc < 0 && rc != -NO_SERVER)
    return lmp_raise(L, rc, "start");
  lua_pushboolean(L, rc >= 0);
  return 1;
}

const luaL_Reg lmp_start_functions[] = {{"proc_fork", lmp_proc_fork},
                                        {"proc_spawn", lmp_proc_spawn},
                                        {"proc_serve", lmp_proc_serve},
                                        {"proc_thread", lmp_thread_start},
                                        {NULL, NULL}};
