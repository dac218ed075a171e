/* lmp_cond.c -- Condition.  lua/mp/condition.lua has what goes beyond one call.
 *
 * The box's user value is the lock, once a script has asked for it.
 */
#include "lmp.h"

static struct lmp_box *check(lua_State *L) {
  return lmp_box_hot(L, 1, MP_TYPE_COND);
}

/* core.condition(lock) -> Condition */
static int lmp_cond_new(lua_State *L) {
  struct lmp_box *lock = lmp_box_test(L, 1);
  struct lmp_box *b;
  int rc;

  lock = lmp_box_check(
      L, 1, lock && lock->kind == MP_TYPE_RLOCK ? MP_TYPE_RLOCK : MP_TYPE_LOCK);
  lua_settop(L, 1);
  b = lmp_box_new(L, MP_TYPE_COND);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, 2, 1);
  rc = mp_cond_open(&b->held, lock->held);
  if (rc < 0)
    return lmp_raise(L, rc, "Condition");
  lmp_box_settle(L, 2);
  lmp_account(L, 1);
  return 1;
}

/* core.cond_lock(cond) -> the Lock or RLock */
static int lmp_cond_lock(lua_State *L) {
  struct lmp_box *b = check(L);

  lua_settop(L, 1);
  if (lua_getiuservalue(L, 1, 1) != LUA_TNIL)
    return 1;
  lmp_box_push(L, mp_cond_mutex(b->held));
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, 1);
  return 1;
}

/* cond:acquire([timeout]) -> true [, "abandoned"] | false, "timeout" */
static int lmp_cond_acquire(lua_State *L) {
  struct lmp_box *b = check(L);
  int64_t deadline = lmp_deadline(L, 2);
  int rc;

  do
    rc = mp_mutex_acquire(mp_cond_mutex(b->held), deadline);
  while (rc == LMP_INTERRUPTED && lmp_resume(L));
  return rc < 0 ? lmp_refuse(L, rc, "acquire") : lmp_mutex_acquired(L, rc);
}

/* cond:release() */
static int lmp_cond_release(lua_State *L) {
  int rc = mp_mutex_release(mp_cond_mutex(check(L)->held));

  return rc < 0 ? lmp_raise(L, rc, "release") : 0;
}

/* Wait, and have the lock again even when a hook has raised (Ctrl-C): 0 or < 0;
 * 1 with the error on the stack's top.  A second error, while it waits for the
 * lock, gives up: the lock is then not held. */
static int wait_until(lua_State *L, struct lmp_box *b, struct mp_waiter *w,
                      int64_t deadline) {
  int raised = 0;
  int rc;

  while ((rc = mp_cond_wait(b->held, w, deadline)) == LMP_INTERRUPTED) {
    if (!lmp_resume_caught(L)) {
      if (b->held)
        mp_cond_leave(b->held, w);
      if (raised++ || w->stage == MP_WAITER_NEW) /* it has the lock still */
        return 1;
    }
    if (!b->held) {
      lua_pushliteral(L, "wait: the condition was closed");
      return 1;
    }
  }
  /* A thread that was killed will not act on it. */
  if (rc == 0 && w->notified && mp_stopping())
    while (mp_cond_notify(b->held, 1) == LMP_INTERRUPTED)
      ;
  return raised ? 1 : rc;
}

/* cond:wait([timeout]) -> true [, "abandoned"]
 *                       | false, "timeout" [, "abandoned"] */
static int lmp_cond_wait(lua_State *L) {
  struct lmp_box *b = check(L);
  int64_t deadline = lmp_deadline(L, 2);
  struct mp_waiter w = {0};
  int rc;

  luaL_checkstack(L, 6, "wait");
  rc = wait_until(L, b, &w, deadline);
  if (rc > 0)
    return lua_error(L);
  if (rc < 0 && rc != -MP_ETIMEOUT) /* it was up before the lock was free */
    return lmp_raise(L, rc, "wait");
  lua_pushboolean(L, w.notified);
  if (!w.notified)
    lua_pushliteral(L, "timeout");
  if (w.abandoned)
    lua_pushliteral(L, "abandoned");
  return 1 + !w.notified + w.abandoned;
}

static int notify(lua_State *L, struct lmp_box *b, uint64_t n,
                  const char *what) {
  int rc;

  do
    rc = mp_cond_notify(b->held, n);
  while (rc == LMP_INTERRUPTED && lmp_resume(L));
  return rc < 0 ? lmp_raise(L, rc, what) : 0;
}

/* cond:notify([n = 1]) */
static int lmp_cond_notify(lua_State *L) {
  struct lmp_box *b = check(L);
  lua_Integer n = luaL_optinteger(L, 2, 1);

  return notify(L, b, n > 0 ? (uint64_t)n : 0, "notify");
}

/* cond:notify_all() */
static int lmp_cond_notify_all(lua_State *L) {
  return notify(L, check(L), MP_NOTIFY_ALL, "notify_all");
}

static int lmp_cond_close(lua_State *L) {
  struct lmp_box *b = lmp_box_test(L, 1);

  if (!b || b->kind != MP_TYPE_COND)
    return luaL_typeerror(L, 1, "mp.Condition");
  lmp_box_close(b);
  return 0;
}

const luaL_Reg lmp_cond_functions[] = {{"condition", lmp_cond_new},
                                       {"cond_lock", lmp_cond_lock},
                                       {"cond_acquire", lmp_cond_acquire},
                                       {"cond_release", lmp_cond_release},
                                       {"cond_wait", lmp_cond_wait},
                                       {"cond_notify", lmp_cond_notify},
                                       {"cond_notify_all", lmp_cond_notify_all},
                                       {"cond_close", lmp_cond_close},
                                       {NULL, NULL}};
