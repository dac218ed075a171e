/* lmp_sem.c -- Semaphore and BoundedSemaphore.  The methods are what Lua
 * calls; lua/mp/semaphore.lua has the rest. */
#include "lmp.h"

static struct lmp_box *check(lua_State *L) {
  struct lmp_box *b = lmp_box_test(L, 1);

  return lmp_box_hot(
      L, 1, b && b->kind == MP_TYPE_BOUNDED ? MP_TYPE_BOUNDED : MP_TYPE_SEM);
}

/* A descriptor that tells of permits is to be quiet when there are none. */
static int wait_for(lua_State *L, const struct lmp_box *b, int64_t deadline) {
  int rc;

  do
    rc = mp_sem_acquire(b->held, deadline);
  while (rc == LMP_INTERRUPTED && lmp_resume(L));
  if (b->fd >= 0)
    (void)mp_sem_ready(b->held, b->fd);
  return rc;
}

/* Each type has its own, which knows what it looks for. */

static inline int acquire(lua_State *L, enum mp_type kind) {
  struct lmp_box *b = lmp_box_hot(L, 1, kind);
  int64_t deadline = lua_isnoneornil(L, 2) ? MP_FOREVER : lmp_deadline(L, 2);
  int rc = wait_for(L, b, deadline);

  if (rc < 0)
    return lmp_refuse(L, rc, "acquire");
  lua_pushboolean(L, 1);
  return 1;
}

/* sem:acquire([timeout]) -> true | false, "timeout" */
static int lmp_sem_acquire(lua_State *L) {
  return acquire(L, MP_TYPE_SEM);
}

static int lmp_bounded_acquire(lua_State *L) {
  return acquire(L, MP_TYPE_BOUNDED);
}

static inline int release(lua_State *L, enum mp_type kind) {
  struct lmp_box *b = lmp_box_hot(L, 1, kind);
  int rc;

  do
    rc = mp_sem_release(b->held);
  while (rc == LMP_INTERRUPTED && lmp_resume(L));
  return rc < 0 ? lmp_raise(L, rc, "release") : 0;
}

/* sem:release() */
static int lmp_sem_release(lua_State *L) {
  return release(L, MP_TYPE_SEM);
}

static int lmp_bounded_release(lua_State *L) {
  return release(L, MP_TYPE_BOUNDED);
}

/* sem:guard([timeout]) -> guard | nil, "timeout" */
static int lmp_sem_guard(lua_State *L) {
  struct lmp_box *b = check(L);
  int64_t deadline = lmp_deadline(L, 2);
  struct lmp_guard *g = lmp_guard_push(L, 1);
  int rc = wait_for(L, b, deadline);

  if (rc < 0)
    return lmp_fail(L, rc, "guard");
  lmp_guard_own(g);
  return 1;
}

/* sem:get_value() -> integer */
static int lmp_sem_value(lua_State *L) {
  lua_pushinteger(L, mp_sem_value(check(L)->held));
  return 1;
}

/* sem:locked() -> boolean: would acquire wait? */
static int lmp_sem_locked(lua_State *L) {
  lua_pushboolean(L, mp_sem_value(check(L)->held) == 0);
  return 1;
}

/* sem:fileno() -> descriptor, readable while there may be a permit */
static int lmp_sem_fileno(lua_State *L) {
  struct lmp_box *b = check(L);
  int rc = b->fd;

  if (rc < 0)
    rc = mp_sem_fd(b->held);
  if (rc < 0)
    return lmp_raise(L, rc, "fileno");
  b->fd = rc;
  (void)mp_sem_ready(b->held, b->fd);
  lua_pushinteger(L, b->fd);
  return 1;
}

/* For mp.wait: is there one? */
static int lmp_sem_ready(lua_State *L) {
  struct lmp_box *b = check(L);
  int there =
      b->fd < 0 ? mp_sem_value(b->held) > 0 : mp_sem_ready(b->held, b->fd);

  lua_pushboolean(L, there);
  return 1;
}

static int lmp_sem_close(lua_State *L) {
  struct lmp_box *b = lmp_box_test(L, 1);

  if (!b || (b->kind != MP_TYPE_SEM && b->kind != MP_TYPE_BOUNDED))
    return luaL_typeerror(L, 1, "mp.Semaphore");
  lmp_box_close(b);
  return 0;
}

static int open_one(lua_State *L, enum mp_type kind, unsigned flags,
                    const char *what) {
  lua_Integer n = luaL_checkinteger(L, 1);
  struct lmp_box *b;
  int rc;

  luaL_argcheck(L, n >= 0 && n <= MP_SEM_MAX, 1,
                "a number of permits from 0 to 2147483647 expected");
  b = lmp_box_new(L, kind);
  rc = mp_sem_open(&b->held, (uint32_t)n, flags);
  if (rc < 0)
    return lmp_raise(L, rc, what);
  lmp_box_settle(L, -1);
  lmp_account(L, 1);
  return 1;
}

/* core.semaphore(permits, signalling) -> Semaphore */
static int lmp_sem_new(lua_State *L) {
  return open_one(L, MP_TYPE_SEM, lua_toboolean(L, 2) ? MP_SEM_SIGNALLING : 0,
                  "Semaphore");
}

/* core.bounded_semaphore(permits) -> BoundedSemaphore */
static int lmp_sem_bounded(lua_State *L) {
  return open_one(L, MP_TYPE_BOUNDED, MP_SEM_BOUNDED, "BoundedSemaphore");
}

const luaL_Reg lmp_sem_functions[] = {{"semaphore", lmp_sem_new},
                                      {"bounded_semaphore", lmp_sem_bounded},
                                      {"sem_acquire", lmp_sem_acquire},
                                      {"bounded_acquire", lmp_bounded_acquire},
                                      {"sem_guard", lmp_sem_guard},
                                      {"sem_release", lmp_sem_release},
                                      {"bounded_release", lmp_bounded_release},
                                      {"sem_value", lmp_sem_value},
                                      {"sem_locked", lmp_sem_locked},
                                      {"sem_fileno", lmp_sem_fileno},
                                      {"sem_ready", lmp_sem_ready},
                                      {"sem_close", lmp_sem_close},
                                      {NULL, NULL}};
