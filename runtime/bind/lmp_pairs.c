/* lmp_pairs.c -- the pairs of a table that is being read, and its metatable. */
#include "lmp_pack.h"

static int is_bad_key(lua_State *L) {
  switch (lua_type(L, -1)) {
  case LUA_TNIL:
    return 1;
  case LUA_TNUMBER:
    return lua_tonumber(L, -1) != lua_tonumber(L, -1);
  default:
    return 0;
  }
}

/* The pairs are through.  Of the metatable the next step takes care. */
static int close_pairs(struct lmp_dec *d, struct lmp_dframe *f) {
  if (!f->meta) {
    d->depth--;
    return LMP_DONE;
  }
  f->kind = LMP_K_META;
  f->meta = d->at < d->end && *d->at == LMP_T_BACK ? 2 : 1;
  return lmp__get(d);
}

static int get_key_back(struct lmp_dec *d) {
  d->item = d->at;
  if (d->end - d->at < 2 || d->at[1] >= d->nkeys)
    return lmp__bad(d, "bad reference to a key");
  lua_rawgeti(d->L, d->base + LMP_D_KEYS, d->at[1] + 1);
  d->at += 2;
  return LMP_DONE;
}

static int get_short_key(struct lmp_dec *d) {
  if (lmp__get(d) != LMP_DONE)
    return LMP_BAD;
  if (d->nkeys < d->keys_wanted) {
    lua_pushvalue(d->L, -1);
    lua_rawseti(d->L, d->base + LMP_D_KEYS, ++d->nkeys);
  }
  return LMP_DONE;
}

/* Read a key.  phase 2: it is good; 1: that must be looked at. */
static int get_key(struct lmp_dec *d, struct lmp_dframe *f) {
  unsigned tag = d->at < d->end ? *d->at : LMP_T_END;

  f->phase = 2;
  if (tag >= LMP_T_SHORT && tag < LMP_T_TABLE)
    return get_short_key(d);
  if (tag == LMP_T_KEY)
    return get_key_back(d);
  f->phase = 1;
  return lmp__get(d);
}

int lmp__step_dpairs(struct lmp_dec *d, struct lmp_dframe *f) {
  lua_State *L = d->L;
  int rc;

  while (f->pairs) {
    if (f->phase == 0) {
      if (d->at < d->end && *d->at == LMP_T_END) {
        d->at++;
        break;
      }
      rc = get_key(d, f);
      if (rc != LMP_DONE)
        return rc;
    }
    if (f->phase < 3) {
      if (f->phase == 1 && is_bad_key(L))
        return lmp__bad(d, "a key that is nil or NaN");
      f->phase = 3;
      rc = lmp__get(d);
      if (rc != LMP_DONE)
        return rc;
    }
    lua_rawset(L, f->slot);
    f->phase = 0;
  }
  return close_pairs(d, f);
}

/* The metatable is on top. */
int lmp__step_dmeta(struct lmp_dec *d, struct lmp_dframe *f) {
  lua_State *L = d->L;

  if (!lua_istable(L, -1) && !lua_isnil(L, -1))
    return lmp__bad(d, "a metatable that is no table");
  lua_setmetatable(L, f->slot);
  if (f->meta == 2) {
    int list = d->base + LMP_D_LATE;
    if (lua_isnil(L, list)) {
      lua_newtable(L);
      lua_replace(L, list);
    }
    lua_pushvalue(L, f->slot);
    lua_rawseti(L, list, ++d->nlate);
  }
  d->depth--;
  return LMP_DONE;
}
