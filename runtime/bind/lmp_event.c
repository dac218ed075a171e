/* lmp_event.c -- Event: a flag that is waited for. */
#include "lmp.h"

static mp_ref check(lua_State *L) {
  return lmp_box_hot(L, 1, MP_TYPE_EVENT)->held;
}

/* event:set() */
static int lmp_event_set(lua_State *L) {
  mp_event_set(check(L));
  return 0;
}

/* event:clear() */
static int lmp_event_clear(lua_State *L) {
  mp_event_clear(check(L));
  return 0;
}

/* event:is_set() -> boolean */
static int lmp_event_is_set(lua_State *L) {
  lua_pushboolean(L, mp_event_is_set(check(L)));
  return 1;
}

/* event:wait([timeout]) -> true | false, "timeout" */
static int lmp_event_wait(lua_State *L) {
  mp_ref event = check(L);
  uint64_t since = mp_event_sets(event);
  int64_t deadline = lmp_deadline(L, 2);
  int rc;

  do
    rc = mp_event_wait(event, since, deadline);
  while (rc == LMP_INTERRUPTED && lmp_resume(L));
  if (rc < 0)
    return lmp_refuse(L, rc, "wait");
  lua_pushboolean(L, 1);
  return 1;
}

/* For mp.wait: is it set?  If not, the descriptor shall not say so. */
static int lmp_event_ready(lua_State *L) {
  struct lmp_box *b = lmp_box_check(L, 1, MP_TYPE_EVENT);
  int ready = mp_event_is_set(b->held);

  if (!ready && b->fd >= 0)
    mp_event_rearm(b->held, b->fd);
  lua_pushboolean(L, ready);
  return 1;
}

/* event:fileno() -> descriptor, readable while it is set */
static int lmp_event_fileno(lua_State *L) {
  struct lmp_box *b = lmp_box_check(L, 1, MP_TYPE_EVENT);
  int rc;

  if (b->fd < 0) {
    rc = mp_event_fd(b->held);
    if (rc < 0)
      return lmp_raise(L, rc, "fileno");
    b->fd = rc;
  } else {
    mp_event_rearm(b->held, b->fd);
  }
  lua_pushinteger(L, b->fd);
  return 1;
}

static int lmp_event_close(lua_State *L) {
  struct lmp_box *b = lmp_box_test(L, 1);

  if (!b || b->kind != MP_TYPE_EVENT)
    return luaL_typeerror(L, 1, "mp.Event");
  lmp_box_close(b);
  return 0;
}

/* core.event() -> Event */
static int lmp_event_open(lua_State *L) {
  struct lmp_box *b = lmp_box_new(L, MP_TYPE_EVENT);
  int rc = mp_event_open(&b->held);

  if (rc < 0)
    return lmp_raise(L, rc, "Event");
  lmp_box_settle(L, -1);
  lmp_account(L, 1);
  return 1;
}

const luaL_Reg lmp_event_functions[] = {{"event", lmp_event_open},
                                        {"event_set", lmp_event_set},
                                        {"event_clear", lmp_event_clear},
                                        {"event_is_set", lmp_event_is_set},
                                        {"event_wait", lmp_event_wait},
                                        {"event_ready", lmp_event_ready},
                                        {"event_fileno", lmp_event_fileno},
                                        {"event_close", lmp_event_close},
                                        {NULL, NULL}};
