/* lmp_mutex.c -- Lock and RLock, and the guard that releases one at the end
 * of a block.  The methods are what Lua calls, without any Lua around them.
 */
#include "lmp.h"

#include <string.h>

static char abandoned_key; /* registry: the string; pushing it cannot fail */
static char told_key;      /* registry: true once the state's end has come */

/* With the lock in hand no call may raise. */
int lmp_mutex_acquired(lua_State *L, int rc) {
  lua_pushboolean(L, 1);
  if (rc != MP_EABANDONED)
    return 1;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &abandoned_key);
  return 2;
}

static int wait_for(lua_State *L, const struct lmp_box *b, int64_t deadline) {
  int rc;

  do
    rc = mp_mutex_acquire(b->held, deadline);
  while (rc == LMP_INTERRUPTED && lmp_resume(L));
  return rc;
}

static inline int acquire(lua_State *L, enum mp_type kind) {
  struct lmp_box *b = lmp_box_hot(L, 1, kind);
  int64_t deadline = lua_gettop(L) < 2 ? MP_FOREVER : lmp_deadline(L, 2);
  int rc = mp_mutex_acquire(b->held, deadline);

  if (rc == LMP_INTERRUPTED)
    rc = wait_for(L, b, deadline);
  return rc < 0 ? lmp_refuse(L, rc, "acquire") : lmp_mutex_acquired(L, rc);
}

/* lock:acquire([timeout]) -> true [, "abandoned"] | false, "timeout" */
static int lmp_lock_acquire(lua_State *L) {
  return acquire(L, MP_TYPE_LOCK);
}

static int lmp_rlock_acquire(lua_State *L) {
  return acquire(L, MP_TYPE_RLOCK);
}

static inline int release(lua_State *L, enum mp_type kind) {
  int rc = mp_mutex_release(lmp_box_hot(L, 1, kind)->held);

  return rc < 0 ? lmp_raise(L, rc, "release") : 0;
}

/* lock:release() */
static int lmp_lock_release(lua_State *L) {
  return release(L, MP_TYPE_LOCK);
}

static int lmp_rlock_release(lua_State *L) {
  return release(L, MP_TYPE_RLOCK);
}

/* What both types share */

static struct lmp_box *check_either(lua_State *L) {
  struct lmp_box *b = lmp_box_test(L, 1);

  return lmp_box_check(
      L, 1, b && b->kind == MP_TYPE_RLOCK ? MP_TYPE_RLOCK : MP_TYPE_LOCK);
}

/* lock:locked() -> boolean */
static int lmp_mutex_locked(lua_State *L) {
  lua_pushboolean(L, mp_mutex_locked(check_either(L)->held));
  return 1;
}

/* What the family calls it: in all its processes the same. */
static lua_Integer number_of(mp_ref lock) {
  return (lua_Integer)(mp_ref_serial(lock) >> 8);
}

/* core.mutex_holder(lock) -> name | nil, number */
static int lmp_mutex_holder(lua_State *L) {
  struct lmp_box *b = check_either(L);
  char name[MP_NAME_MAX + 1];

  if (mp_mutex_holder(b->held, name))
    lua_pushstring(L, name);
  else
    lua_pushnil(L);
  lua_pushinteger(L, number_of(b->held));
  return 2;
}

/* To whoever wants to know: Lua's warnings, and our logger if there is one. */
static void warn(lua_State *L, const char *text) {
  lua_warning(L, text, 0);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, "mp.log") == LUA_TTABLE) {
    lua_getfield(L, -1, "warn");
    lua_pushstring(L, text);
    lua_call(L, 1, 0);
  }
  lua_pop(L, 2);
}

static void name_lock(lua_State *L, mp_ref lock, const char *format) {
  char name[MP_NAME_MAX + 1];

  (void)mp_proc_name(mp_proc_self(), name);
  lua_pushfstring(L, format, name, mp_proc_pid(mp_proc_self()),
                  mp_ref_type(lock) == MP_TYPE_RLOCK ? "mp.RLock" : "mp.Lock",
                  (LUAI_UACINT)number_of(lock));
  warn(L, lua_tostring(L, -1));
  lua_pop(L, 1);
}

/* (): the caller is about to end: name the locks that it leaves held. */
static int lmp_mutex_left(lua_State *L) {
  uint64_t at = 0;
  mp_ref lock;

  lua_pushboolean(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &told_key);
  while ((lock = mp_mutex_left(&at)) != MP_REF_EMPTY)
    name_lock(L, lock, "%s (pid %d) ends and holds %s %I");
  return 0;
}

void lmp_mutex_warn(lua_State *L) {
  if (!mp_entered())
    return;
  lua_pushcfunction(L, lmp_mutex_left);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK)
    lua_pop(L, 1);
}

/* (lock as a light userdata) */
static int lmp_mutex_drop(lua_State *L) {
  mp_ref lock = (mp_ref)(uintptr_t)lua_touserdata(L, 1);

  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &told_key) == LUA_TNIL)
    name_lock(L, lock, "%s (pid %d) drops %s %I and holds it still");
  return 0;
}

/* A script that returns closes its state: its locks may go before what looks
 * for those that are left. */
void lmp_mutex_dropped(lua_State *L, const struct lmp_box *b) {
  mp_ref lock;

  if (b->held == MP_REF_EMPTY || !mp_entered() ||
      b->generation != mp_generation())
    return;
  lock = mp_mutex_last(b->held);
  if (lock == MP_REF_EMPTY)
    return;
  lua_pushcfunction(L, lmp_mutex_drop);
  lua_pushlightuserdata(L, (void *)(uintptr_t)lock);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK)
    lua_pop(L, 1);
}

static int lmp_mutex_close(lua_State *L) {
  struct lmp_box *b = lmp_box_test(L, 1);

  if (!b || (b->kind != MP_TYPE_LOCK && b->kind != MP_TYPE_RLOCK))
    return luaL_typeerror(L, 1, "mp.Lock");
  lmp_mutex_dropped(L, b);
  lmp_box_close(b);
  return 0;
}

static int open_one(lua_State *L, enum mp_type kind, const char *what) {
  struct lmp_box *b = lmp_box_new(L, kind);
  int rc = mp_mutex_open(&b->held, kind == MP_TYPE_RLOCK);

  if (rc < 0)
    return lmp_raise(L, rc, what);
  lmp_box_settle(L, -1);
  lmp_account(L, 1);
  return 1;
}

/* core.lock() -> Lock */
static int lmp_mutex_lock(lua_State *L) {
  return open_one(L, MP_TYPE_LOCK, "Lock");
}

/* core.rlock() -> RLock */
static int lmp_mutex_rlock(lua_State *L) {
  return open_one(L, MP_TYPE_RLOCK, "RLock");
}

/* The guard: one acquisition, given back once.  Its user value is the lock, or
 * the semaphore. */

struct lmp_guard {
  uint64_t owner; /* serial of the process that acquired; 0: given back */
};

static const char guard_name[] = "mp.Guard";

static uint64_t myself(void) {
  return mp_ref_serial(mp_proc_self());
}

/* Give it back, unless that was done, or it is not ours: a fork's copy.
 * 0, or why it could not be. */
static int give_back(lua_State *L, struct lmp_guard *g) {
  struct lmp_box *b;
  uint64_t owner = g->owner;
  int rc;

  g->owner = 0;
  if (owner == 0 || !mp_entered() || owner != myself())
    return 0;
  lua_getiuservalue(L, 1, 1);
  b = lmp_box_test(L, -1);
  if (!b || !b->held)
    return 0;
  if (b->kind == MP_TYPE_SEM || b->kind == MP_TYPE_BOUNDED) {
    do /* no hook: what raises here would leave the permit taken */
      rc = mp_sem_release(b->held);
    while (rc == LMP_INTERRUPTED);
    return rc;
  }
  /* Somebody may have released it, and another have it now. */
  return mp_mutex_mine(b->held) ? mp_mutex_release(b->held) : -MP_ENOTHELD;
}

/* guard:release(), and its __close */
static int lmp_guard_release(lua_State *L) {
  int rc = give_back(L, luaL_checkudata(L, 1, guard_name));

  return rc < 0 ? lmp_raise(L, rc, "release") : 0;
}

static int guard_gc(lua_State *L) {
  (void)give_back(L, luaL_checkudata(L, 1, guard_name));
  return 0;
}

struct lmp_guard *lmp_guard_push(lua_State *L, int idx) {
  struct lmp_guard *g;

  idx = lua_absindex(L, idx);
  g = lua_newuserdatauv(L, sizeof *g, 1);
  g->owner = 0;
  lua_pushvalue(L, idx);
  lua_setiuservalue(L, -2, 1);
  luaL_setmetatable(L, guard_name);
  return g;
}

void lmp_guard_own(struct lmp_guard *g) {
  g->owner = myself();
}

/* lock:guard([timeout]) -> guard [, "abandoned"] | nil, "timeout" */
static int lmp_mutex_guard(lua_State *L) {
  struct lmp_box *b = check_either(L);
  int64_t deadline = lmp_deadline(L, 2);
  struct lmp_guard *g = lmp_guard_push(L, 1);
  int rc = wait_for(L, b, deadline);
  if (rc < 0)
    return lmp_fail(L, rc, "guard");
  lmp_guard_own(g);
  if (rc != MP_EABANDONED)
    return 1;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &abandoned_key);
  return 2;
}

void lmp_mutex_types(lua_State *L) {
  lua_pushliteral(L, "abandoned");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &abandoned_key);
  luaL_newmetatable(L, guard_name);
  lua_pushcfunction(L, guard_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, lmp_guard_release);
  lua_setfield(L, -2, "__close");
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, lmp_guard_release);
  lua_setfield(L, -2, "release");
  lua_setfield(L, -2, "__index");
  lua_pushliteral(L, "mp object");
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}

const luaL_Reg lmp_mutex_functions[] = {{"lock", lmp_mutex_lock},
                                        {"rlock", lmp_mutex_rlock},
                                        {"lock_acquire", lmp_lock_acquire},
                                        {"lock_release", lmp_lock_release},
                                        {"rlock_acquire", lmp_rlock_acquire},
                                        {"rlock_release", lmp_rlock_release},
                                        {"mutex_locked", lmp_mutex_locked},
                                        {"mutex_guard", lmp_mutex_guard},
                                        {"mutex_holder", lmp_mutex_holder},
                                        {"mutex_close", lmp_mutex_close},
                                        {NULL, NULL}};
