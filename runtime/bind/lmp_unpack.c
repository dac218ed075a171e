/* lmp_unpack.c -- bytes to value.
 *
 * Trusts nothing: every length is compared with what is left of the input,
 * every reference with what came before, and memory is never allocated
 * ahead for more than the input could fill (`budget`).  There is no
 * recursion: a container that is being read has a frame, and lies on the
 * Lua stack.  Lua code runs only where `flags` allow code: constructors of
 * __reduce, and modules that are loaded by name.
 */
#include "lmp_pack.h"

/* In the memo for an object that turned out to be nil. */
static const char nil_object;

int lmp__bad(struct lmp_dec *d, const char *why) {
  d->why = why;
  return LMP_BAD;
}

static size_t left(const struct lmp_dec *d) {
  return (size_t)(d->end - d->at);
}

int lmp__get_varint(struct lmp_dec *d, uint64_t *x) {
  unsigned shift = 0;

  for (*x = 0; d->at < d->end; shift += 7) {
    unsigned char b = *d->at++;
    if (shift == 63 && b > 1)
      return lmp__bad(d, "number too long"); /* so it ends here at the latest */
    *x |= (uint64_t)(b & 0x7F) << shift;
    if (b < 0x80)
      return LMP_DONE;
  }
  return lmp__bad(d, "truncated");
}

int lmp__get_u32(struct lmp_dec *d, uint32_t *x) {
  if (left(d) < 4)
    return lmp__bad(d, "truncated");
  memcpy(x, d->at, 4);
  *x = LMP_LE32(*x);
  d->at += 4;
  return LMP_DONE;
}

/* The value on top is the object of that number. */
void lmp__learn(struct lmp_dec *d, uint32_t number) {
  lua_State *L = d->L;

  if (!d->backs)
    return;
  if (lua_isnil(L, -1))
    lua_pushlightuserdata(L, (void *)(uintptr_t)&nil_object);
  else
    lua_pushvalue(L, -1);
  lua_rawseti(L, d->base + LMP_D_MEMO, (lua_Integer)number);
}

static void grow_frames(struct lmp_dec *d) {
  size_t cap = d->frames_cap * 2;
  struct lmp_dframe *new;

  new = lua_newuserdatauv(d->L, cap * sizeof *new, 0);
  memcpy(new, d->frames, d->depth * sizeof *new);
  lua_replace(d->L, d->base + LMP_D_FRAMES);
  d->frames = new;
  d->frames_cap = cap;
}

/* A frame for the container on top; NULL: too deep. */
struct lmp_dframe *lmp__dframe(struct lmp_dec *d, enum lmp_kind kind) {
  struct lmp_dframe *f;

  if (d->depth >= LMP_SHALLOW &&
      (d->depth >= LMP_DEPTH_MAX || !lua_checkstack(d->L, 12))) {
    lmp__bad(d, "nested too deep");
    return NULL;
  }
  if (d->depth == d->frames_cap)
    grow_frames(d);
  f = &d->frames[d->depth++];
  memset(f, 0, sizeof *f);
  f->slot = lua_gettop(d->L);
  f->kind = (unsigned char)kind;
  return f;
}

/* ---- single items ---- */

static int get_bytes(struct lmp_dec *d, size_t len) {
  if (len > left(d))
    return lmp__bad(d, "truncated");
  lua_pushlstring(d->L, (const char *)d->at, len);
  d->at += len;
  return LMP_DONE;
}

static int get_string(struct lmp_dec *d) {
  uint64_t len;

  if (lmp__get_varint(d, &len) != LMP_DONE)
    return LMP_BAD;
  if (len > left(d))
    return lmp__bad(d, "truncated");
  return get_bytes(d, (size_t)len);
}

static int get_integer(struct lmp_dec *d) {
  uint64_t x;

  if (lmp__get_varint(d, &x) != LMP_DONE)
    return LMP_BAD;
  lua_pushinteger(d->L, (lua_Integer)(x >> 1 ^ (0 - (x & 1))));
  return LMP_DONE;
}

static int get_float(struct lmp_dec *d) {
  uint64_t bits;
  lua_Number v;

  if (left(d) < 8)
    return lmp__bad(d, "truncated");
  memcpy(&bits, d->at, 8);
  bits = LMP_LE64(bits);
  memcpy(&v, &bits, 8);
  d->at += 8;
  lua_pushnumber(d->L, v);
  return LMP_DONE;
}

/* A cell of an upvalue is an integer in the memo, as may be what a
 * constructor made: neither does harm where the other is meant. */
static int get_back(struct lmp_dec *d) {
  lua_State *L = d->L;
  uint64_t number;

  if (lmp__get_varint(d, &number) != LMP_DONE)
    return LMP_BAD;
  if (!d->backs || number >= d->next)
    return lmp__bad(d, "bad reference");
  switch (lua_rawgeti(L, d->base + LMP_D_MEMO, (lua_Integer)number)) {
  case LUA_TNIL:
    return lmp__bad(d, "reference to what is not complete");
  case LUA_TLIGHTUSERDATA:
    if (lua_touserdata(L, -1) == (const void *)&nil_object) {
      lua_pop(L, 1);
      lua_pushnil(L);
    }
    break;
  default:
    break;
  }
  return LMP_DONE;
}

static int get_ref(struct lmp_dec *d) {
  uint64_t i;

  if (lmp__get_varint(d, &i) != LMP_DONE)
    return LMP_BAD;
  if (i >= d->nrefs)
    return lmp__bad(d, "bad reference to an object");
  lmp_box_push(d->L, d->refs[i]);
  return LMP_DONE;
}

static int get_named(struct lmp_dec *d) {
  const char *name;
  uint64_t len;

  if (lmp__get_varint(d, &len) != LMP_DONE)
    return LMP_BAD;
  if (len > left(d))
    return lmp__bad(d, "truncated");
  name = (const char *)d->at;
  d->at += len;
  if (!lmp__names_resolve(d->L, name, (size_t)len))
    return lmp__bad(d, NULL);
  lmp__learn(d, d->next++);
  return LMP_DONE;
}

/* ---- containers ---- */

/* Slots that may be allocated ahead.  A sound message fills each with at
 * least one byte, so its budget never runs out. */
static int claim(struct lmp_dec *d, uint64_t n) {
  if (n > d->budget || n > 1 << 26)
    return 0;
  d->budget -= (size_t)n;
  return (int)n;
}

static int open_table(struct lmp_dec *d, unsigned tag, int meta) {
  unsigned hint = tag & LMP_HINT_MASK;
  struct lmp_dframe *f;
  uint64_t n = 0;
  int narray;

  if (tag >= LMP_T_ARRAY) {
    if (lmp__get_varint(d, &n) != LMP_DONE)
      return LMP_BAD;
    if (n > left(d))
      return lmp__bad(d, "truncated");
  }
  narray = claim(d, n);
  lua_createtable(d->L, narray, hint ? claim(d, (uint64_t)1 << (hint - 1)) : 0);
  f = lmp__dframe(d, tag >= LMP_T_ARRAY ? LMP_K_DENSE : LMP_K_PAIRS);
  if (f == NULL)
    return LMP_BAD;
  lmp__learn(d, d->next++);
  f->n = (size_t)n;
  f->meta = meta != 0;
  f->pairs = hint != 0;
  return LMP_OPEN;
}

static int open_meta(struct lmp_dec *d) {
  if (d->at == d->end || *d->at < LMP_T_TABLE)
    return lmp__bad(d, "a metatable, but no table");
  return open_table(d, *d->at++, 1);
}

static int get_code(struct lmp_dec *d, unsigned tag) {
  if (d->flags & LMP_NOCODE)
    return lmp__bad(d, tag == LMP_T_META ? "a metatable, refused"
                                         : "code, refused");
  switch (tag) {
  case LMP_T_META:
    return open_meta(d);
  case LMP_T_REDUCE:
    return lmp__get_reduced(d);
  case LMP_T_GLOBALS:
    lua_rawgeti(d->L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    return LMP_DONE;
  case LMP_T_NAMED:
    return get_named(d);
  default:
    return lmp__get_function(d);
  }
}

static int get_rare(struct lmp_dec *d, unsigned tag) {
  switch (tag) {
  case LMP_T_NIL:
    lua_pushnil(d->L);
    return LMP_DONE;
  case LMP_T_FALSE:
  case LMP_T_TRUE:
    lua_pushboolean(d->L, tag == LMP_T_TRUE);
    return LMP_DONE;
  case LMP_T_INT:
    return get_integer(d);
  case LMP_T_FLOAT:
    return get_float(d);
  case LMP_T_STRING:
    return get_string(d);
  case LMP_T_LONG:
    if (get_string(d) != LMP_DONE)
      return LMP_BAD;
    lmp__learn(d, d->next++);
    return LMP_DONE;
  case LMP_T_BACK:
    return get_back(d);
  case LMP_T_REF:
    return get_ref(d);
  case LMP_T_META:
  case LMP_T_REDUCE:
  case LMP_T_GLOBALS:
  case LMP_T_NAMED:
  case LMP_T_FUNC:
    return get_code(d, tag);
  default:
    return lmp__bad(d, "unknown tag");
  }
}

int lmp__get(struct lmp_dec *d) {
  unsigned tag;

  d->item = d->at;
  if (d->at == d->end)
    return lmp__bad(d, "truncated");
  tag = *d->at++;
  if (tag >= LMP_T_TABLE)
    return open_table(d, tag, 0);
  if (tag >= LMP_T_SHORT)
    return get_bytes(d, tag - LMP_T_SHORT);
  if (tag >= LMP_T_SMALL) {
    lua_pushinteger(d->L, (lua_Integer)tag - LMP_SMALL_ZERO);
    return LMP_DONE;
  }
  return get_rare(d, tag);
}

/* ---- steps ----
 *
 * `have` says that an item which the frame asked for is on top.  A step that
 * answers LMP_DONE leaves one there: the frame's own, and the frame is gone,
 * or one that it has turned into another kind to wait for.
 */

static int step(struct lmp_dec *d, int have) {
  struct lmp_dframe *f = &d->frames[d->depth - 1];
  int rc;

  switch (f->kind) {
  case LMP_K_DENSE:
    rc = lmp__step_ddense(d, f, have);
    if (rc != LMP_DONE)
      return rc;
    return lmp__step_dpairs(d, f);
  case LMP_K_PAIRS:
    return lmp__step_dpairs(d, f);
  case LMP_K_META:
    return lmp__step_dmeta(d, f);
  case LMP_K_REDUCE:
    return lmp__step_dreduce(d, f);
  default:
    return lmp__step_dfunction(d, f, have);
  }
}

/* ---- the message ---- */

/* A metatable that was only referred to may have got its __gc since. */
static void set_late(struct lmp_dec *d) {
  lua_State *L = d->L;
  lua_Integer i;

  for (i = 1; i <= d->nlate; i++) {
    lua_rawgeti(L, d->base + LMP_D_LATE, i);
    if (lua_getmetatable(L, -1)) {
      lua_pushliteral(L, "__gc");
      if (lua_rawget(L, -2) != LUA_TNIL) {
        lua_pop(L, 1);
        lua_setmetatable(L, -2);
        lua_pop(L, 1);
        continue;
      }
      lua_pop(L, 2);
    }
    lua_pop(L, 1);
  }
}

/* Globals that functions brought, where we have none of the name. */
static void set_globals(struct lmp_dec *d) {
  lua_State *L = d->L;
  int list = d->base + LMP_D_GLOBALS;
  lua_Integer i;

  if (d->nglobals == 0)
    return;
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  for (i = 1; i < d->nglobals; i += 2) {
    lua_rawgeti(L, list, i);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, -3) == LUA_TNIL) {
      lua_pop(L, 1);
      lua_rawgeti(L, list, i + 1);
      lua_rawset(L, -3);
    } else {
      lua_pop(L, 2);
    }
  }
  lua_pop(L, 1);
}

static int get_head(struct lmp_dec *d) {
  if (left(d) < 2)
    return lmp__bad(d, "truncated");
  if (d->at[0] != LMP_MAGIC || (d->at[1] & ~(LMP_F_BACKS | LMP_F_KEYS)) != 0)
    return lmp__bad(d, "not a message of this format");
  d->backs = d->at[1] & LMP_F_BACKS;
  d->at += 2;
  if (d->backs) {
    lua_newtable(d->L);
    lua_replace(d->L, d->base + LMP_D_MEMO);
  }
  if (d->at[-1] & LMP_F_KEYS) {
    lua_createtable(d->L, 16, 0);
    lua_replace(d->L, d->base + LMP_D_KEYS);
    d->keys_wanted = LMP_KEYS;
  }
  return LMP_DONE;
}

static int get_message(struct lmp_dec *d) {
  int rc = get_head(d);

  if (rc != LMP_DONE)
    return rc;
  rc = lmp__get(d);
  while (rc != LMP_BAD && d->depth > 0)
    rc = step(d, rc == LMP_DONE);
  if (rc == LMP_DONE && d->at != d->end) {
    d->item = d->at;
    return lmp__bad(d, "bytes after the end");
  }
  return rc;
}

static void push_why(struct lmp_dec *d) {
  lua_State *L = d->L;
  LUAI_UACINT at = d->item - d->start;

  if (d->why != NULL)
    lua_pushstring(L, d->why);
  lua_pushfstring(L, "damaged message: byte %I: %s", at, lua_tostring(L, -1));
}

int lmp_unpack(lua_State *L, const char *data, size_t len, const mp_ref *refs,
               unsigned nrefs, unsigned flags) {
  const unsigned char *start = (const unsigned char *)data;
  struct lmp_dec d;
  int ok;

  memset(&d, 0, offsetof(struct lmp_dec, first));
  d.L = L;
  d.start = d.at = d.item = start;
  d.end = start + len;
  d.refs = refs;
  d.nrefs = nrefs;
  d.flags = flags;
  d.frames = d.first;
  d.frames_cap = LMP_DFRAMES;
  d.budget = len;
  d.base = lua_gettop(L);
  if (!lua_checkstack(L, LMP_D_VALUE + LMP_STACK))
    luaL_error(L, "stack overflow");
  lua_settop(L, d.base + LMP_D_VALUE - 1);
  ok = get_message(&d) == LMP_DONE;
  if (ok) {
    set_late(&d);
    set_globals(&d);
  } else {
    push_why(&d);
  }
  lua_copy(L, -1, d.base + 1);
  lua_settop(L, d.base + 1);
  return ok;
}
