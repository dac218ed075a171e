/* lmp_pack.c -- value to bytes.
 *
 * One pass over the value, straight into the packer's buffer.  There is no
 * recursion: a container that is being written has a frame in the packer,
 * and itself and its current key on the Lua stack.  Access is raw; the only
 * Lua code that runs is __reduce (and finalizers, at any allocation).
 *
 * What is read by address must not die before the message ends: tables and
 * functions hang on the root, and so do strings, unless Lua code unhooks
 * them.  Before the first __reduce is called the message therefore starts
 * over with `anchors` set, and keeps whatever it meets.
 */
#include "lmp_pack.h"

void lmp__put_varint(struct lmp_enc *e, unsigned tag, uint64_t x) {
  unsigned char *at = lmp__room(e, 11);
  size_t n = 0;

  at[n++] = (unsigned char)tag;
  for (; x >= 0x80; x >>= 7)
    at[n++] = (unsigned char)(x | 0x80);
  at[n++] = (unsigned char)x;
  e->len += n;
}

void lmp__put_back(struct lmp_enc *e, uint32_t number) {
  e->head |= LMP_F_BACKS;
  lmp__put_varint(e, LMP_T_BACK, number);
}

void lmp__put_integer(struct lmp_enc *e, lua_Integer v) {
  if (v >= LMP_SMALL_MIN && v <= LMP_SMALL_MAX)
    lmp__put_byte(e, (unsigned)(v + LMP_SMALL_ZERO));
  else
    lmp__put_varint(e, LMP_T_INT,
                    ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0));
}

void lmp__put_float(struct lmp_enc *e, lua_Number v) {
  unsigned char *at = lmp__room(e, 9);
  uint64_t bits;

  memcpy(&bits, &v, 8);
  bits = LMP_LE64(bits);
  at[0] = LMP_T_FLOAT;
  memcpy(at + 1, &bits, 8);
  e->len += 9;
}

static void put_number(struct lmp_enc *e, int idx) {
  if (lua_isinteger(e->L, idx))
    lmp__put_integer(e, lua_tointeger(e->L, idx));
  else
    lmp__put_float(e, lua_tonumber(e->L, idx));
}

/* A long string is an object, so that it is sent once. */
static void put_long(struct lmp_enc *e, int idx, const char *s, size_t len) {
  struct lmp_memo *m = lmp__memo(e, lmp__key(s));

  if (m->epoch == e->epoch) {
    lmp__put_back(e, m->val);
    return;
  }
  m->epoch = e->epoch;
  m->val = e->next++;
  if (e->depth > 0) /* the root is on the caller's stack */
    lmp__anchor(e, idx);
  lmp__put_varint(e, LMP_T_LONG, len);
  lmp__piece(e, s, len);
}

/* The string at idx: s, of len bytes. */
static void put_bytes(struct lmp_enc *e, int idx, const char *s, size_t len) {
  if (len <= LMP_SHORT_MAX) {
    unsigned char *at = lmp__room(e, len + 1);
    at[0] = (unsigned char)(LMP_T_SHORT + len);
    memcpy(at + 1, s, len);
    e->len += len + 1;
  } else if (len < LMP_SPLIT) {
    lmp__put_varint(e, LMP_T_STRING, len);
    memcpy(lmp__room(e, len), s, len);
    e->len += len;
  } else {
    put_long(e, idx, s, len);
  }
}

void lmp__put_string(struct lmp_enc *e, int idx) {
  size_t len;
  const char *s = lua_tolstring(e->L, idx, &len);

  put_bytes(e, idx, s, len);
}

/* ---- tables ---- */

/* Tag, length of the dense part; the pairs are counted on the way. */
static int open_table(struct lmp_enc *e, int meta) {
  lua_State *L = e->L;
  int slot = lua_gettop(L);
  struct lmp_frame *f = lmp__frame(e, slot, LMP_K_PAIRS);
  lua_Unsigned n = lua_rawlen(L, slot);

  if (meta)
    lmp__put_byte(e, LMP_T_META);
  f->meta = meta != 0;
  f->tag = e->len;
  if (n > 0) {
    f->kind = LMP_K_DENSE;
    f->ordered = 1;
    f->n = (lua_Integer)n;
    lmp__put_varint(e, LMP_T_ARRAY, n);
  } else {
    lmp__put_byte(e, LMP_T_TABLE);
  }
  lua_pushnil(L); /* the key before the first */
  return LMP_OPEN;
}

/* The root is n elements of the table on top. */
static int open_part(struct lmp_enc *e, lua_Integer first, lua_Integer n) {
  struct lmp_frame *f = lmp__frame(e, lua_gettop(e->L), LMP_K_PART);

  e->next++; /* the receiver's table has a number */
  f->skip = first - 1;
  f->n = n;
  lmp__put_varint(e, LMP_T_ARRAY, (uint64_t)n);
  lua_pushnil(e->L); /* in the place of the key */
  return LMP_OPEN;
}

/* Write the tag anew, now that it is known what it must say. */
static int close_pairs(struct lmp_enc *e, struct lmp_frame *f) {
  lua_State *L = e->L;
  unsigned hint = 0;

  if (f->count > 0) {
    while (hint < LMP_HINT_MASK && ((size_t)1 << hint) < f->count)
      hint++;
    if (hint < LMP_HINT_MASK)
      hint++;
    lmp__put_byte(e, LMP_T_END);
    e->buf[f->tag] = (unsigned char)(e->buf[f->tag] + hint);
  }
  if (f->meta) {
    f->kind = LMP_K_META;
    f->i = 0;
    lua_pushnil(L); /* in the place of the key */
    return LMP_DONE;
  }
  lua_settop(L, f->slot - 1);
  e->depth--;
  return LMP_DONE;
}

static int is_dense_key(lua_State *L, const struct lmp_frame *f) {
  lua_Integer k;

  if (!lua_isinteger(L, -2))
    return 0;
  k = lua_tointeger(L, -2);
  return k >= 1 && k <= f->n;
}

/* The string key below the value on top. */
static void put_key(struct lmp_enc *e) {
  size_t len;
  const char *s = lua_tolstring(e->L, -2, &len);
  uint64_t h = lmp__key(s);
  struct lmp_key *k = &e->keys[(h >> 4 ^ h >> 10) % 64];

  if (k->s == s && k->epoch == e->epoch) {
    unsigned char *at = lmp__room(e, 2);
    at[0] = LMP_T_KEY;
    at[1] = (unsigned char)k->number;
    e->len += 2;
    e->head |= LMP_F_KEYS;
    return;
  }
  if (len <= LMP_SHORT_MAX && e->nkeys < LMP_KEYS)
    *k = (struct lmp_key){s, e->epoch, e->nkeys++};
  put_bytes(e, -2, s, len);
}

static int step_pairs(struct lmp_enc *e, struct lmp_frame *f) {
  lua_State *L = e->L;
  int rc;

  while (f->key || lua_next(L, f->slot)) {
    if (!f->key) {
      if (f->n > 0 && is_dense_key(L, f)) {
        lua_pop(L, 1);
        continue;
      }
      f->count++;
      if (lua_type(L, -2) == LUA_TSTRING) {
        put_key(e);
      } else {
        f->key = 1;
        lua_pushvalue(L, -2);
        rc = lmp__put(e);
        if (rc != LMP_DONE)
          return rc;
      }
    }
    f->key = 0;
    rc = lmp__put(e);
    if (rc != LMP_DONE)
      return rc;
  }
  return close_pairs(e, f);
}

/* First the metatable (i = 0), then the end. */
static int step_meta(struct lmp_enc *e, struct lmp_frame *f) {
  lua_State *L = e->L;

  if (f->i++ == 0) {
    if (!lua_getmetatable(L, f->slot))
      lua_pushnil(L); /* a __reduce took it away */
    return lmp__put(e);
  }
  lua_settop(L, f->slot - 1);
  e->depth--;
  return LMP_DONE;
}

/* ---- objects ---- */

/* The address of the globals, of which the packer has a copy. */
static const void *globals(lua_State *L) {
  const void *p;

  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  p = lua_topointer(L, -1);
  lua_pop(L, 1);
  return p;
}

/* The index must know of every module before anything goes by name, or by
 * value for want of a name.  1: start over. */
static int check_names(struct lmp_enc *e) {
  int stale;

  if (e->fresh)
    return 0;
  e->fresh = 1;
  stale = e->globals != globals(e->L);
  e->globals = globals(e->L);
  return lmp__names_refresh(e->L, e->names, 0) || stale;
}

int lmp__put_named(struct lmp_enc *e, int is_meta) {
  lua_State *L = e->L;
  const char *name;
  size_t len;

  if (!lmp__names_find(L, e->names, -1, is_meta))
    return 0;
  name = lua_tolstring(L, -1, &len);
  lmp__put_varint(e, LMP_T_NAMED, len);
  memcpy(lmp__room(e, len), name, len);
  e->len += len;
  lua_pop(L, 2);
  return 1;
}

static int is_metatable(const struct lmp_enc *e) {
  return e->depth > 0 && e->frames[e->depth - 1].kind == LMP_K_META;
}

/* A table with a metatable. */
static int put_object(struct lmp_enc *e, struct lmp_memo *m) {
  if (check_names(e))
    return LMP_AGAIN;
  if (lmp__put_named(e, is_metatable(e)))
    return LMP_DONE;
  if (lmp__get_reduce(e->L)) {
    m->val |= LMP_PENDING;
    return lmp__open_reduce(e);
  }
  return open_table(e, 1);
}

static int put_table(struct lmp_enc *e) {
  lua_State *L = e->L;
  const void *p = lua_topointer(L, -1);
  struct lmp_memo *m;

  if (p == e->globals && p == globals(L)) { /* takes no number */
    lmp__put_byte(e, LMP_T_GLOBALS);
    lua_pop(L, 1);
    return LMP_DONE;
  }
  m = lmp__memo(e, lmp__key(p));
  if (m->epoch == e->epoch) {
    if (m->val & LMP_PENDING)
      lmp__refuse(e, "a table whose own __reduce refers to it");
    lmp__put_back(e, m->val);
    lua_pop(L, 1);
    return LMP_DONE;
  }
  m->epoch = e->epoch;
  m->val = e->next++;
  if (e->anchors)
    lmp__anchor(e, -1);
  if (lua_getmetatable(L, -1)) {
    lua_pop(L, 1);
    return put_object(e, m);
  }
  if (lmp__names_maybe(e->names, p) && lmp__put_named(e, is_metatable(e)))
    return LMP_DONE;
  return open_table(e, 0);
}

/* Userdata: mp objects, the standard files, what has a __reduce. */
static int put_foreign(struct lmp_enc *e) {
  lua_State *L = e->L;
  struct lmp_memo *m = lmp__memo(e, lmp__key(lua_topointer(L, -1)));

  if (m->epoch == e->epoch) {
    if (m->val & LMP_PENDING)
      lmp__refuse(e, "a userdata whose own __reduce refers to it");
    lmp__put_back(e, m->val);
    lua_pop(L, 1);
    return LMP_DONE;
  }
  if (check_names(e))
    return LMP_AGAIN;
  m->epoch = e->epoch;
  m->val = e->next++;
  if (lmp__put_named(e, 0))
    return LMP_DONE;
  if (!lmp__get_reduce(L))
    lmp__refuse_top(e);
  m->val |= LMP_PENDING;
  if (e->anchors)
    lmp__anchor(e, -2);
  return lmp__open_reduce(e);
}

static int put_userdata(struct lmp_enc *e) {
  mp_ref name;

  if (!lmp_box_ref(e->L, -1, &name))
    return put_foreign(e);
  if (e->flags & LMP_NOREFS)
    lmp__refuse(e, "an mp object in a string");
  lmp__put_varint(e, LMP_T_REF, lmp__ref(e, name));
  lua_pop(e->L, 1);
  return LMP_DONE;
}

int lmp__put(struct lmp_enc *e) {
  lua_State *L = e->L;

  switch (lua_type(L, -1)) {
  case LUA_TSTRING:
    lmp__put_string(e, -1);
    break;
  case LUA_TNUMBER:
    put_number(e, -1);
    break;
  case LUA_TTABLE:
    return put_table(e);
  case LUA_TBOOLEAN:
    lmp__put_byte(e, lua_toboolean(L, -1) ? LMP_T_TRUE : LMP_T_FALSE);
    break;
  case LUA_TNIL:
    lmp__put_byte(e, LMP_T_NIL);
    break;
  case LUA_TFUNCTION:
    if (check_names(e))
      return LMP_AGAIN;
    return lmp__put_function(e);
  case LUA_TUSERDATA:
    return put_userdata(e);
  default:
    lmp__refuse_top(e);
  }
  lua_pop(L, 1);
  return LMP_DONE;
}

static int step(struct lmp_enc *e) {
  struct lmp_frame *f = &e->frames[e->depth - 1];

  switch (f->kind) {
  case LMP_K_DENSE:
  case LMP_K_PART:
    return lmp__step_dense(e, f);
  case LMP_K_PAIRS:
    return step_pairs(e, f);
  case LMP_K_META:
    return step_meta(e, f);
  case LMP_K_REDUCE:
    return lmp__step_reduce(e, f);
  default:
    return lmp__step_function(e, f);
  }
}

/* n < 0: the value as it is. */
static int walk(struct lmp_enc *e, int idx, lua_Integer first, lua_Integer n) {
  size_t lead = e->flags & LMP_TAGGED ? LMP_TAG_LEN : 0;
  lua_State *L = e->L;
  unsigned char *at;
  int rc;

  lmp__packer_reset(e);
  at = lmp__room(e, lead + 2);
  at[lead] = LMP_MAGIC;
  e->len = lead + 2;
  lua_pushvalue(L, idx);
  rc = n < 0 ? lmp__put(e) : open_part(e, first, n);
  while (e->depth > 0 && rc != LMP_AGAIN)
    rc = step(e);
  e->buf[lead + 1] = e->head;
  return rc;
}

static struct lmp_packer *pack(lua_State *L, int idx, lua_Integer first,
                               lua_Integer n, unsigned flags,
                               const char *root) {
  int base = lua_gettop(L);
  struct lmp_enc *e;

  idx = lua_absindex(L, idx);
  luaL_checkstack(L, LMP_S_VALUE + LMP_STACK, NULL);
  e = lmp__packer(L);
  e->base = base;
  e->flags = flags;
  e->root = root;
  lua_settop(L, base + LMP_S_VALUE - 1);
  while (walk(e, idx, first, n) == LMP_AGAIN) {
    lua_settop(L, base + LMP_S_PACKER);
    lua_settop(L, base + LMP_S_VALUE - 1);
  }
  lua_settop(L, base + LMP_S_PACKER);
  lmp__packer_finish(e);
  return &e->pub;
}

struct lmp_packer *lmp_pack(lua_State *L, int idx, unsigned flags,
                            const char *root) {
  return pack(L, idx, 1, -1, flags, root);
}

struct lmp_packer *lmp_pack_part(lua_State *L, int idx, lua_Integer first,
                                 lua_Integer n, unsigned flags,
                                 const char *root) {
  return pack(L, idx, first, n, flags, root);
}
