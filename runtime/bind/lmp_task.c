/* lmp_task.c -- queues as crews use them: each item carries a tag, a number of
 * the sender's, which the receiver learns also when it cannot decode the item.
 */
#include "lmp.h"

#include <string.h>

#define VOID_AT_ONCE 256

static struct lmp_box *check(lua_State *L) {
  return lmp_box_hot(L, 1, MP_TYPE_JOINABLE);
}

/* Replies come through a queue that keeps no account. */
struct lmp_box *lmp_task_box(lua_State *L, int idx) {
  struct lmp_box *b = lmp_box_test(L, idx);

  return lmp_box_hot(L, idx,
                     b && b->kind == MP_TYPE_SIMPLE ? MP_TYPE_SIMPLE
                                                    : MP_TYPE_JOINABLE);
}

/* queue:_put(value, tag [, plain [, first, n]]) -> the item's number in this
 * queue | false, "closed"
 *
 * With `plain`, raises before any __reduce is called; with `first`, the item is
 * the list of n elements of `value` from there on (raw). */
int lmp_task_put(lua_State *L) {
  struct lmp_box *b = lmp_task_box(L, 1);
  uint64_t tag = (uint64_t)luaL_checkinteger(L, 3);
  unsigned flags = LMP_TAGGED | (lua_toboolean(L, 4) ? LMP_PLAIN : 0);
  lua_Integer first = luaL_optinteger(L, 5, 0);
  lua_Integer n = luaL_optinteger(L, 6, -1);
  struct lmp_packer *p;
  uint32_t number;
  int rc;

  lua_settop(L, 2);
  if (first > 0 && n >= 0) {
    luaL_checktype(L, 2, LUA_TTABLE);
    p = lmp_pack_part(L, 2, first, n, flags, "value");
  } else {
    p = lmp_pack(L, 2, flags, "value");
  }
  memcpy((void *)(uintptr_t)p->out.iov[0].base, &tag, sizeof tag);
  do
    rc = mp_queue_put(b->held, &p->out, MP_FOREVER, &number);
  while (rc == LMP_INTERRUPTED && lmp_resume(L));
  if (rc < 0)
    return lmp_refuse(L, rc, "put");
  lua_pushinteger(L, number);
  return 1;
}

/* Decode the message behind its tag: tag, true, value | tag, false, message. */
static void push_item(lua_State *L, struct lmp_scratch *s) {
  uint64_t tag = 0;
  int ok;

  if (s->msg.len < sizeof tag) {
    lmp_scratch_release(s);
    luaL_error(L, "an item without a tag");
  }
  memcpy(&tag, s->msg.data, sizeof tag);
  lua_pushinteger(L, (lua_Integer)tag);
  lua_pushboolean(L, 1);
  ok = lmp_unpack(L, s->msg.data + sizeof tag, s->msg.len - sizeof tag,
                  s->msg.refs, s->msg.nrefs, 0);
  lmp_scratch_release(s);
  if (!ok) {
    lua_pushboolean(L, 0);
    lua_replace(L, -3);
  }
}

/* Take a message and push what push_item pushes, the scratch below it; < 0 and
 * nothing when there is none. */
int lmp_task_take(lua_State *L, struct lmp_box *b, int64_t deadline,
                  uint32_t *deaths) {
  struct lmp_scratch *s = lmp_scratch_push(L);
  int rc;

  s->busy = 1; /* a hook may run in lmp_resume */
  do
    rc = mp_queue_get_or_death(b->held, &s->msg, s->bytes, deadline, deaths);
  while (rc == LMP_INTERRUPTED && lmp_resume(L));
  if (b->fd >= 0)
    mp_queue_rearm(b->held, b->fd);
  if (rc < 0) {
    lmp_scratch_release(s);
    lua_pop(L, 1);
    return rc;
  }
  push_item(L, s);
  return 0;
}

/* queue:_get([timeout [, deaths]]) -> tag, true, value | tag, false, message |
 * nil, "empty" | nil, "closed" | nil, "death", nil, deaths
 *
 * With a number of deaths: also returns when the queue is empty and that many
 * is no longer how many processes of the family are known to have died. */
static int lmp_task_get(lua_State *L) {
  struct lmp_box *b = lmp_task_box(L, 1);
  int64_t deadline = lmp_deadline(L, 2);
  int watch = !lua_isnoneornil(L, 3);
  uint32_t deaths = (uint32_t)luaL_optinteger(L, 3, 0);
  int rc;

  lua_settop(L, 1);
  rc = lmp_task_take(L, b, deadline, watch ? &deaths : NULL);
  if (rc == 0)
    return 3;
  lua_pushnil(L);
  lua_pushstring(L, mp_err_reason(-rc));
  if (lua_isnil(L, -1))
    return lmp_raise(L, rc, "get");
  if (rc != -MP_EDEATH)
    return 2;
  lua_pushnil(L);
  lua_pushinteger(L, deaths);
  return 4;
}

/* queue:_lost(process) -> the number of the item that it had taken last and
 * not finished when it died, told once | nothing */
static int lmp_task_lost(lua_State *L) {
  struct lmp_box *b = check(L);
  struct lmp_box *p = lmp_box_check(L, 2, MP_TYPE_PROC);
  uint32_t number;

  if (!mp_queue_lost(b->held, p->held, &number))
    return 0;
  lua_pushinteger(L, number);
  return 1;
}

/* queue:_void(from, to) -> list of the numbers of the items from..to that were
 * still in the queue, and are no longer */
static int lmp_task_void(lua_State *L) {
  struct lmp_box *b = check(L);
  uint32_t from = (uint32_t)luaL_checkinteger(L, 2);
  uint32_t to = (uint32_t)luaL_checkinteger(L, 3);
  uint32_t which[VOID_AT_ONCE];
  lua_Integer total = 0;
  unsigned n;
  unsigned i;

  lua_newtable(L);
  do {
    n = mp_queue_void(b->held, from, to, which, VOID_AT_ONCE);
    for (i = 0; i < n; i++) {
      lua_pushinteger(L, which[i]);
      lua_rawseti(L, -2, ++total);
    }
  } while (n == VOID_AT_ONCE);
  return 1;
}

/* queue:_took(number) -> has that item left the queue? */
static int lmp_task_took(lua_State *L) {
  struct lmp_box *b = check(L);

  lua_pushboolean(L, mp_queue_took(b->held, (uint32_t)luaL_checkinteger(L, 2)));
  return 1;
}

const luaL_Reg lmp_task_functions[] = {
    {"task_put", lmp_task_put},   {"task_get", lmp_task_get},
    {"task_lost", lmp_task_lost}, {"task_void", lmp_task_void},
    {"task_took", lmp_task_took}, {NULL, NULL}};
