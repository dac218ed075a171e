/* lmp_reduce.c -- objects that say themselves how they are made anew.
 *
 * __reduce of the metatable gives a constructor and its arguments.  They are
 * packed in place of the object, which has a number, but cannot be referred
 * to until they are through.  All this is Lua code, which may do anything:
 * drop what was already packed, collect garbage, pack another message.
 */
#include "lmp_pack.h"

/* ---- packing ---- */

/* Call obj's __reduce; [obj] [reduce] becomes [obj] [list of results]. */
static int call_reduce(struct lmp_enc *e, struct lmp_frame *f) {
  lua_State *L = e->L;
  int slot = f->slot;
  int n, i;

  lua_pushvalue(L, slot);
  if (lua_pcall(L, 1, LUA_MULTRET, 0) != LUA_OK) {
    e->depth--;
    lmp__refuse_with(e);
  }
  n = lua_gettop(L) - slot;
  if (n == 0 || lua_isnil(L, slot + 1)) {
    e->depth--;
    lmp__refuse(e, "what its __reduce gives: no constructor");
  }
  if (!lua_checkstack(L, 12))
    lmp__refuse(e, "so many values of its __reduce");
  lua_createtable(L, n, 0);
  lua_insert(L, slot + 1);
  for (i = n; i >= 1; i--)
    lua_rawseti(L, slot + 1, i);
  lmp__anchor(e, slot + 1);
  f = &e->frames[e->depth - 1];
  f->n = n;
  lmp__put_varint(e, LMP_T_REDUCE, (uint64_t)n);
  return LMP_OPEN;
}


int lmp__open_reduce(struct lmp_enc *e) {
  lua_State *L = e->L;
  struct lmp_frame *f;

  if (e->flags & LMP_PLAIN)
    lmp__refuse(e, "what has a __reduce");
  if (!e->anchors) {
    e->anchors = 1;
    return LMP_AGAIN;
  }
  f = lmp__frame(e, lua_gettop(L) - 1, LMP_K_REDUCE);
  return call_reduce(e, f);
}

int lmp__step_reduce(struct lmp_enc *e, struct lmp_frame *f) {
  lua_State *L = e->L;

  if (f->i < f->n) {
    f->i++;
    lua_rawgeti(L, f->slot + 1, f->i);
    return lmp__put(e);
  }
  lmp__memo(e, lmp__key(lua_topointer(L, f->slot)))->val &= ~LMP_PENDING;
  lua_settop(L, f->slot - 1);
  e->depth--;
  return LMP_DONE;
}


int lmp__get_reduce(lua_State *L) {
  if (!lua_getmetatable(L, -1))
    return 0;
  lua_pushliteral(L, "__reduce");
  lua_rawget(L, -2);
  lua_remove(L, -2);
  if (!lua_isnil(L, -1))
    return 1;
  lua_pop(L, 1);
  return 0;
}

/* ---- unpacking ---- */

/* The constructor's place on the stack is the object's. */
int lmp__get_reduced(struct lmp_dec *d) {
  struct lmp_dframe *f;
  uint64_t n;

  if (lmp__get_varint(d, &n) != LMP_DONE)
    return LMP_BAD;
  if (n == 0 || n > (size_t)(d->end - d->at))
    return lmp__bad(d, "bad number of arguments");
  f = lmp__dframe(d, LMP_K_REDUCE);
  if (f == NULL)
    return LMP_BAD;
  if (!lua_checkstack(d->L, (int)(n < 1000000 ? n : 1000000) + 12))
    return lmp__bad(d, "too many arguments");
  f->n = (size_t)n;
  f->number = d->next++;
  return LMP_OPEN;
}

static int construct(struct lmp_dec *d, struct lmp_dframe *f) {
  lua_State *L = d->L;
  uint32_t number = f->number;

  switch (lua_pcall(L, (int)f->n - 1, 1, 0)) {
  case LUA_OK:
    break;
  case LUA_ERRMEM:
    return lua_error(L);
  default:
    lmp_pass_interrupt(L);
    if (lua_type(L, -1) == LUA_TSTRING)
      lua_pushfstring(L, "a constructor raised: %s", lua_tostring(L, -1));
    else
      lua_pushfstring(L, "a constructor raised a %s", luaL_typename(L, -1));
    return lmp__bad(d, NULL);
  }
  lmp__learn(d, number);
  d->depth--;
  return LMP_DONE;
}

int lmp__step_dreduce(struct lmp_dec *d, struct lmp_dframe *f) {
  while (f->i < f->n) {
    int rc;
    f->i++;
    rc = lmp__get(d);
    if (rc != LMP_DONE)
      return rc;
  }
  return construct(d, f);
}
