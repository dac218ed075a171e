/* lmp_queue.c -- Queue, JoinableQueue, SimpleQueue: put and get.
 *
 * The functions are methods as they are; lua/mp/queue.lua says of which type.
 */
#include "lmp.h"

static int is_queue(enum mp_type kind) {
  return kind == MP_TYPE_QUEUE || kind == MP_TYPE_JOINABLE ||
         kind == MP_TYPE_SIMPLE;
}

static struct lmp_box *check(lua_State *L) {
  struct lmp_box *b = lmp_box_test(L, 1);

  if (b && is_queue(b->kind))
    return lmp_box_hot(L, 1, b->kind);
  return lmp_box_check(L, 1, MP_TYPE_QUEUE);
}

/* Putting */

static int put(lua_State *L, int64_t deadline, const char *what,
               const char *root) {
  struct lmp_box *b = check(L);
  struct lmp_packer *p;
  int rc;

  luaL_checkany(L, 2);
  lua_settop(L, 2);
  p = lmp_pack(L, 2, LMP_NAMED, root);
  do
    rc = mp_queue_put(b->held, &p->out, deadline, NULL);
  while (rc == LMP_INTERRUPTED && lmp_resume(L));
  if (rc < 0)
    return lmp_refuse(L, rc, what);
  lua_pushboolean(L, 1);
  return 1;
}

/* queue:put(value [, timeout]) -> true | false, "full" | false, "closed" */
static int lmp_queue_put(lua_State *L) {
  return put(L, lmp_deadline(L, 3), "put", "put: value");
}

static int lmp_queue_put_nowait(lua_State *L) {
  return put(L, MP_NOW, "put_nowait", "put_nowait: value");
}

/* Getting */

static int get(lua_State *L, int64_t deadline, const char *what) {
  struct lmp_box *b = check(L);
  struct lmp_scratch *s;
  int rc;

  lua_settop(L, 1);
  s = lmp_scratch_push(L);
  s->busy = 1; /* a hook may run in lmp_resume */
  do
    rc = mp_queue_get(b->held, &s->msg, s->bytes, deadline);
  while (rc == LMP_INTERRUPTED && lmp_resume(L));
  if (b->fd >= 0)
    mp_queue_rearm(b->held, b->fd);
  if (rc == 0)
    return lmp_scratch_value(L, s);
  lmp_scratch_release(s);
  return lmp_fail(L, rc, what);
}

/* queue:get([timeout]) -> value | nil, "empty" | nil, "closed" */
static int lmp_queue_get(lua_State *L) {
  return get(L, lmp_deadline(L, 2), "get");
}

static int lmp_queue_get_nowait(lua_State *L) {
  return get(L, MP_NOW, "get_nowait");
}

/* Looking */

static int lmp_queue_qsize(lua_State *L) {
  lua_pushinteger(L, mp_queue_len(check(L)->held));
  return 1;
}

static int lmp_queue_empty(lua_State *L) {
  lua_pushboolean(L, mp_queue_len(check(L)->held) == 0);
  return 1;
}

static int lmp_queue_full(lua_State *L) {
  mp_ref queue = check(L)->held;
  uint32_t max = mp_queue_max(queue);

  lua_pushboolean(L, max > 0 && mp_queue_len(queue) >= max);
  return 1;
}

/* For mp.wait: would get return at once? */
static int lmp_queue_ready(lua_State *L) {
  struct lmp_box *b = check(L);
  int ready = mp_queue_poll(b->held);

  if (!ready && b->fd >= 0)
    mp_queue_rearm(b->held, b->fd);
  lua_pushboolean(L, ready);
  return 1;
}

/* queue:fileno() -> descriptor, readable while get would not block */
static int lmp_queue_fileno(lua_State *L) {
  struct lmp_box *b = check(L);
  int rc;

  if (b->fd < 0) {
    rc = mp_queue_fd(b->held);
    if (rc < 0)
      return lmp_raise(L, rc, "fileno");
    b->fd = rc;
  } else {
    mp_queue_rearm(b->held, b->fd);
  }
  lua_pushinteger(L, b->fd);
  return 1;
}

/* core.queue_state(queue) -> items in it, closed */
static int lmp_queue_state(lua_State *L) {
  mp_ref queue = check(L)->held;

  lua_pushinteger(L, mp_queue_len(queue));
  lua_pushboolean(L, mp_queue_is_closed(queue));
  return 2;
}

/* queue:close(): for everybody */
static int lmp_queue_close(lua_State *L) {
  mp_queue_close(check(L)->held);
  return 0;
}

/* Joinable queues */

static struct lmp_box *check_joinable(lua_State *L) {
  return lmp_box_hot(L, 1, MP_TYPE_JOINABLE);
}

/* queue:task_done() */
static int lmp_queue_task_done(lua_State *L) {
  struct lmp_box *b = check_joinable(L);
  int rc;

  do
    rc = mp_queue_done(b->held);
  while (rc == LMP_INTERRUPTED && lmp_resume(L));
  return rc < 0 ? luaL_error(L, "%s", mp_err_text(rc)) : 0;
}

/* queue:join([timeout]) -> true | true, "lost" | false, "timeout" */
static int lmp_queue_join(lua_State *L) {
  struct lmp_box *b = check_joinable(L);
  int64_t deadline = lmp_deadline(L, 2);
  int rc;

  do
    rc = mp_queue_join(b->held, deadline);
  while (rc == LMP_INTERRUPTED && lmp_resume(L));
  if (rc < 0)
    return lmp_refuse(L, rc, "join");
  lua_pushboolean(L, 1);
  if (rc == 0)
    return 1;
  lua_pushliteral(L, "lost");
  return 2;
}

/* core.queue(type name, limit) -> queue; limit 0: none */
static int lmp_queue_open(lua_State *L) {
  static const char *const names[] = {"mp.Queue", "mp.JoinableQueue",
                                      "mp.SimpleQueue", NULL};
  static const enum mp_type kinds[] = {MP_TYPE_QUEUE, MP_TYPE_JOINABLE,
                                       MP_TYPE_SIMPLE};
  enum mp_type kind = kinds[luaL_checkoption(L, 1, NULL, names)];
  lua_Integer max = luaL_checkinteger(L, 2);
  struct lmp_box *b = lmp_box_new(L, kind);
  int rc = mp_queue_open(&b->held, kind,
                         max < UINT32_MAX ? (uint32_t)max : UINT32_MAX);

  if (rc < 0)
    return lmp_raise(L, rc, "Queue");
  lmp_box_settle(L, -1);
  lmp_account(L, 4);
  return 1;
}

const luaL_Reg lmp_queue_functions[] = {
    {"queue", lmp_queue_open},
    {"queue_put", lmp_queue_put},
    {"queue_put_nowait", lmp_queue_put_nowait},
    {"queue_get", lmp_queue_get},
    {"queue_get_nowait", lmp_queue_get_nowait},
    {"queue_qsize", lmp_queue_qsize},
    {"queue_empty", lmp_queue_empty},
    {"queue_full", lmp_queue_full},
    {"queue_ready", lmp_queue_ready},
    {"queue_fileno", lmp_queue_fileno},
    {"queue_state", lmp_queue_state},
    {"queue_close", lmp_queue_close},
    {"queue_task_done", lmp_queue_task_done},
    {"queue_join", lmp_queue_join},
    {NULL, NULL}};
