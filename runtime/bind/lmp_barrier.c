/* lmp_barrier.c -- Barrier.  lua/mp/barrier.lua has the fields.
 *
 * Whoever waits has a row in the shared memory, named in a C variable: nothing
 * may jump out of wait before the row is freed, so a pending hook and the
 * action run protected.
 */
#include "lmp.h"

#include <math.h>

static struct lmp_box *check(lua_State *L) {
  return lmp_box_hot(L, 1, MP_TYPE_BARRIER);
}

/* core.barrier(parties, timeout | nil, action | nil) -> Barrier.  The action
 * goes with the object as it is now; this state, and its forks, call it as it
 * is (the box's user value). */
static int lmp_barrier_new(lua_State *L) {
  lua_Integer parties = luaL_checkinteger(L, 1);
  double patience = luaL_optnumber(L, 2, HUGE_VAL);
  struct lmp_packer *p = NULL;
  struct lmp_box *b;
  int rc;

  luaL_argcheck(L, parties >= 1 && parties <= MP_BARRIER_MAX, 1,
                "a number of parties from 1 to 65535 expected");
  lua_settop(L, 3);
  b = lmp_box_new(L, MP_TYPE_BARRIER);
  if (!lua_isnil(L, 3)) {
    lua_pushvalue(L, 3);
    lua_setiuservalue(L, 4, 1);
    p = lmp_pack(L, 3, 0, "Barrier: action");
  }
  rc = mp_barrier_open(&b->held, (uint32_t)parties, patience,
                       p ? &p->out : NULL);
  if (rc < 0)
    return lmp_raise(L, rc, "Barrier");
  lmp_box_settle(L, 4);
  lmp_account(L, 1);
  lua_settop(L, 4);
  return 1;
}

/* The action of one that was received comes with its first use. */
static void push_action(lua_State *L, struct lmp_box *b) {
  struct lmp_scratch *s;
  int rc;

  if (lua_getiuservalue(L, 1, 1) != LUA_TNIL)
    return;
  s = lmp_scratch_push(L);
  s->busy = 1;
  rc = mp_barrier_action(b->held, &s->msg);
  if (rc < 0) {
    lmp_scratch_release(s);
    lmp_raise(L, rc, "action");
  }
  (void)lmp_scratch_value(L, s);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, 1);
}

static int act(lua_State *L) {
  push_action(L, lua_touserdata(L, 1));
  lua_call(L, 0, 0);
  return 0;
}

/* The hook or the action may have closed the box. */
static int is_closed(lua_State *L, const struct lmp_box *b) {
  if (b->held)
    return 0;
  lua_pushliteral(L, "wait: the barrier was closed");
  return 1;
}

static int run_action(lua_State *L, struct lmp_box *b, struct mp_arrival *a) {
  int good;
  int rc;

  lua_pushcfunction(L, act);
  lua_pushvalue(L, 1);
  good = lua_pcall(L, 1, 0, 0) == LUA_OK;
  if (is_closed(L, b))
    return lua_error(L);
  rc = mp_barrier_acted(b->held, a, good);
  return good ? rc : lua_error(L);
}

/* barrier:wait([timeout]) -> 1..parties | nil, "timeout" | nil, "broken" */
static int lmp_barrier_wait(lua_State *L) {
  struct lmp_box *b = check(L);
  int64_t deadline = lua_isnoneornil(L, 2)
                         ? mp_deadline(mp_barrier_patience(b->held))
                         : lmp_deadline(L, 2);
  struct mp_arrival a = {0};
  int rc;

  luaL_checkstack(L, 6, "wait");
  while ((rc = mp_barrier_wait(b->held, &a, deadline)) == LMP_INTERRUPTED)
    if (!lmp_resume_caught(L)) {
      if (b->held && mp_stopping()) /* killed, as far as a thread can be */
        mp_barrier_abort(b->held);
      if (b->held)
        mp_barrier_leave(b->held, &a);
      return lua_error(L);
    } else if (is_closed(L, b)) {
      return lua_error(L);
    }
  if (rc == 0)
    rc = run_action(L, b, &a);
  if (rc < 0)
    return lmp_fail(L, rc, "wait");
  lua_pushinteger(L, rc);
  return 1;
}

/* barrier:reset() */
static int lmp_barrier_reset(lua_State *L) {
  mp_barrier_reset(check(L)->held);
  return 0;
}

/* barrier:abort() */
static int lmp_barrier_abort(lua_State *L) {
  mp_barrier_abort(check(L)->held);
  return 0;
}

static int lmp_barrier_parties(lua_State *L) {
  lua_pushinteger(L, mp_barrier_parties(check(L)->held));
  return 1;
}

static int lmp_barrier_waiting(lua_State *L) {
  lua_pushinteger(L, mp_barrier_waiting(check(L)->held));
  return 1;
}

static int lmp_barrier_broken(lua_State *L) {
  lua_pushboolean(L, mp_barrier_broken(check(L)->held));
  return 1;
}

static int lmp_barrier_close(lua_State *L) {
  struct lmp_box *b = lmp_box_test(L, 1);

  if (!b || b->kind != MP_TYPE_BARRIER)
    return luaL_typeerror(L, 1, "mp.Barrier");
  lmp_box_close(b);
  return 0;
}

const luaL_Reg lmp_barrier_functions[] = {
    {"barrier", lmp_barrier_new},
    {"barrier_wait", lmp_barrier_wait},
    {"barrier_reset", lmp_barrier_reset},
    {"barrier_abort", lmp_barrier_abort},
    {"barrier_parties", lmp_barrier_parties},
    {"barrier_waiting", lmp_barrier_waiting},
    {"barrier_broken", lmp_barrier_broken},
    {"barrier_close", lmp_barrier_close},
    {NULL, NULL}};
