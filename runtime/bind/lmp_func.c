/* lmp_func.c -- functions by value, both ways.
 *
 * LMP_T_FUNC is followed by
 *   u32     length of the chunk
 *   u64     checksum of the chunk, then the chunk as lua_dump writes it
 *   byte    number of upvalues
 *   varint  number of globals that travel along
 *   the items of the upvalues, LMP_T_JOIN for a cell met before
 *   name and value of each global
 * The function exists before its upvalues are read, so it may refer to
 * itself.  An upvalue that holds the globals holds the receiver's there.
 */
#include "lmp_pack.h"

#define HEAD (1 + 4 + 8) /* tag, length, checksum */

/* ---- packing ---- */

static int add_chunk(lua_State *L, const void *p, size_t n, void *ud) {
  struct lmp_enc *e = ud;

  (void)L;
  if (n > 0) {
    memcpy(lmp__room(e, n), p, n);
    e->len += n;
  }
  return 0;
}

/* Write the dump of the function on top, after its length and checksum. */
static void put_chunk(struct lmp_enc *e) {
  size_t start = e->len + HEAD;
  uint32_t len;
  uint64_t sum;

  lmp__room(e, HEAD)[0] = LMP_T_FUNC;
  e->len = start;
  lua_dump(e->L, add_chunk, e, 0);
  if (e->len - start > INT32_MAX)
    lmp__refuse(e, "a function of such a size");
  len = LMP_LE32((uint32_t)(e->len - start));
  sum = LMP_LE64(lmp__chunk_sum(e->buf + start, e->len - start));
  memcpy(e->buf + start - 12, &len, 4);
  memcpy(e->buf + start - 8, &sum, 8);
}

/* Is bytecode here what lmp_chunk.c takes it for?  Asked once a packer. */
static void test_parser(struct lmp_enc *e) {
  static const char code[] =
      "local t = ...; t.a = b.c(t); return function() return d end";
  static const unsigned char env[32] = {1};
  lua_State *L = e->L;
  int top = lua_gettop(L);
  size_t at = e->len;

  e->parser = 2;
  if (luaL_loadbufferx(L, code, sizeof code - 1, "=mp", "t") == LUA_OK) {
    lua_dump(L, add_chunk, e, 0);
    lua_newtable(L);
    if (lmp__chunk_names(L, e->buf + at, e->len - at, env) &&
        lua_rawlen(L, -1) == 2) {
      lua_rawgeti(L, -1, 1);
      lua_rawgeti(L, -2, 2);
      if (strcmp(lua_tostring(L, -2), "b") == 0 &&
          strcmp(lua_tostring(L, -1), "d") == 0)
        e->parser = 1;
    }
  }
  e->len = at;
  lua_settop(L, top);
}

/* Count the upvalues, and put those that are the globals into the set. */
static int look_at_upvalues(struct lmp_enc *e, int slot, unsigned char *env,
                            int *globals) {
  lua_State *L = e->L;
  int n = 0;

  *globals = 0;
  while (lua_getupvalue(L, slot, n + 1) != NULL) {
    if (lua_istable(L, -1) && lua_topointer(L, -1) == e->globals) {
      env[n / 8] |= (unsigned char)(1u << n % 8);
      *globals = 1;
    }
    lua_pop(L, 1);
    n++;
  }
  return n;
}

/* Does the global whose name is on top travel, as the first of its name? */
static int is_wanted(struct lmp_enc *e, int globals) {
  lua_State *L = e->L;
  int captured = e->base + LMP_S_CAPTURED;
  int wanted;

  if (lmp__names_standard(L))
    return 0;
  lua_pushvalue(L, -1);
  lua_rawget(L, globals);
  wanted = !lua_isnil(L, -1);
  lua_pop(L, 1);
  if (!wanted)
    return 0;
  if (lua_isnil(L, captured)) {
    lua_newtable(L);
    lua_replace(L, captured);
  }
  lua_pushvalue(L, -1);
  wanted = lua_rawget(L, captured) == LUA_TNIL;
  lua_pop(L, 1);
  if (wanted) {
    lua_pushvalue(L, -1);
    lua_pushboolean(L, 1);
    lua_rawset(L, captured);
  }
  return wanted;
}

/* Leave only those names in the list on top that travel; their number. */
static lua_Integer choose_names(struct lmp_enc *e) {
  lua_State *L = e->L;
  int list = lua_gettop(L);
  lua_Integer n = (lua_Integer)lua_rawlen(L, list);
  lua_Integer kept = 0;
  lua_Integer i;

  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  for (i = 1; i <= n; i++) {
    lua_rawgeti(L, list, i);
    if (is_wanted(e, list + 1))
      lua_rawseti(L, list, ++kept);
    else
      lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return kept;
}

/* Push the list of the globals that travel with a function whose chunk ends
 * the buffer; returns their number. */
static lua_Integer find_globals(struct lmp_enc *e, size_t start,
                                const unsigned char *env) {
  lua_State *L = e->L;

  lua_newtable(L);
  if (e->parser == 1 &&
      lmp__chunk_names(L, e->buf + start, e->len - start, env))
    return choose_names(e);
  lua_pop(L, 1);
  lmp__refuse(e, "a function: this Lua's bytecode is not known");
}

static int open_function(struct lmp_enc *e, struct lmp_memo *m) {
  lua_State *L = e->L;
  int slot = lua_gettop(L);
  unsigned char env[32] = {0};
  struct lmp_frame *f;
  lua_Integer nglobals = 0;
  int globals;
  int n = look_at_upvalues(e, slot, env, &globals);
  size_t start;

  m->val = e->next;
  e->next += 1 + (uint32_t)n;
  if (globals && e->parser == 0)
    test_parser(e);
  start = e->len + HEAD;
  put_chunk(e);
  if (globals)
    nglobals = find_globals(e, start, env);
  else
    lua_pushnil(L);
  lmp__put_varint(e, (unsigned)n, (uint64_t)nglobals);
  f = lmp__frame(e, slot, LMP_K_UPVALUE);
  f->n = n;
  f->tag = m->val; /* no tag to be rewritten: the function's number */
  f->count = (size_t)nglobals;
  return LMP_OPEN;
}

int lmp__put_function(struct lmp_enc *e) {
  lua_State *L = e->L;
  struct lmp_memo *m = lmp__memo(e, lmp__key(lua_topointer(L, -1)));

  if (m->epoch == e->epoch) {
    lmp__put_back(e, m->val);
    lua_pop(L, 1);
    return LMP_DONE;
  }
  m->epoch = e->epoch;
  m->val = e->next;
  if (lmp__put_named(e, 0)) {
    e->next++;
    return LMP_DONE;
  }
  if (lua_iscfunction(L, -1)) {
    if (e->rebuilt)
      lmp__refuse_top(e);
    e->rebuilt = 1; /* a field that came after the module, perhaps */
    lmp__names_refresh(L, e->names, 1);
    return LMP_AGAIN;
  }
  if (!lua_checkstack(L, 12))
    lmp__refuse(e, "so deep a nesting");
  if (e->anchors)
    lmp__anchor(e, -1);
  return open_function(e, m);
}

/* A cell is known by its address; the number is the function's + i. */
static int put_upvalue(struct lmp_enc *e, struct lmp_frame *f) {
  lua_State *L = e->L;
  const void *cell = lua_upvalueid(L, f->slot, (int)f->i);
  struct lmp_memo *m = lmp__memo(e, lmp__key(cell));

  if (m->epoch == e->epoch) {
    e->head |= LMP_F_BACKS;
    lmp__put_varint(e, LMP_T_JOIN, m->val);
    return LMP_DONE;
  }
  m->epoch = e->epoch;
  m->val = (uint32_t)(f->tag + (size_t)f->i);
  lua_getupvalue(L, f->slot, (int)f->i);
  return lmp__put(e);
}

static int put_global(struct lmp_enc *e, struct lmp_frame *f) {
  lua_State *L = e->L;

  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  lua_rawgeti(L, f->slot + 1, f->i);
  lmp__put_string(e, -1);
  lua_rawget(L, -2);
  lua_remove(L, -2);
  return lmp__put(e);
}

int lmp__step_function(struct lmp_enc *e, struct lmp_frame *f) {
  if (f->i < f->n) {
    f->i++;
    if (f->kind == LMP_K_UPVALUE)
      return put_upvalue(e, f);
    return put_global(e, f);
  }
  if (f->kind == LMP_K_UPVALUE) {
    f->kind = LMP_K_GLOBAL;
    f->i = 0;
    f->n = (lua_Integer)f->count;
    return LMP_DONE;
  }
  lua_settop(e->L, f->slot - 1);
  e->depth--;
  return LMP_DONE;
}

/* ---- unpacking ---- */

struct piece {
  const char *s;
  size_t len;
};

static const char *read_piece(lua_State *L, void *ud, size_t *len) {
  struct piece *p = ud;

  (void)L;
  *len = p->len;
  p->len = 0;
  return p->s;
}

/* Push the function; its upvalues are not its own yet. */
static int get_chunk(struct lmp_dec *d) {
  struct piece p;
  uint32_t len;
  uint64_t sum;
  int rc;

  if (lmp__get_u32(d, &len) != LMP_DONE)
    return LMP_BAD;
  if ((size_t)(d->end - d->at) < 8 || len > (size_t)(d->end - d->at) - 8)
    return lmp__bad(d, "truncated");
  memcpy(&sum, d->at, 8);
  d->at += 8;
  if (LMP_LE64(sum) != lmp__chunk_sum(d->at, len) ||
      !lmp__chunk_sound(d->at, len))
    return lmp__bad(d, "a function that was damaged");
  p.s = (const char *)d->at;
  p.len = len;
  d->at += len;
  rc = lua_load(d->L, read_piece, &p, "=mp", "b");
  if (rc == LUA_ERRMEM)
    lua_error(d->L);
  return rc == LUA_OK ? LMP_DONE : lmp__bad(d, NULL);
}

/* Has the function at idx an upvalue n?  (Not every 5.4 lets one ask
 * lua_upvalueid.) */
static int has_upvalue(lua_State *L, int idx, int n) {
  if (lua_getupvalue(L, idx, n) == NULL)
    return 0;
  lua_pop(L, 1);
  return 1;
}

/* A function of n upvalues was pushed: number it and them. */
static void learn_function(struct lmp_dec *d, unsigned n) {
  uint32_t number = d->next;
  unsigned i;

  lmp__learn(d, number);
  d->next += 1 + n;
  if (!d->backs)
    return;
  for (i = 1; i <= n; i++) {
    lua_pushinteger(d->L, number);
    lua_rawseti(d->L, d->base + LMP_D_MEMO, (lua_Integer)(number + i));
  }
}

int lmp__get_function(struct lmp_dec *d) {
  struct lmp_dframe *f;
  uint64_t globals;
  unsigned n;

  if (get_chunk(d) != LMP_DONE)
    return LMP_BAD;
  if (d->at == d->end)
    return lmp__bad(d, "truncated");
  n = *d->at++;
  if ((n > 0 && !has_upvalue(d->L, -1, (int)n)) ||
      has_upvalue(d->L, -1, (int)n + 1))
    return lmp__bad(d, "wrong number of upvalues");
  if (lmp__get_varint(d, &globals) != LMP_DONE)
    return LMP_BAD;
  if (globals > (size_t)(d->end - d->at))
    return lmp__bad(d, "truncated");
  learn_function(d, n);
  f = lmp__dframe(d, LMP_K_UPVALUE);
  if (f == NULL)
    return LMP_BAD;
  f->n = n;
  f->globals = globals;
  return LMP_OPEN;
}

/* Let upvalue i of the function at slot be a cell met before. */
static int join(struct lmp_dec *d, int slot, int i) {
  lua_State *L = d->L;
  int memo = d->base + LMP_D_MEMO;
  lua_Integer owner;
  uint64_t cell;

  d->at++;
  if (lmp__get_varint(d, &cell) != LMP_DONE)
    return LMP_BAD;
  if (!d->backs || cell >= d->next)
    return lmp__bad(d, "bad upvalue");
  lua_rawgeti(L, memo, (lua_Integer)cell);
  owner = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : -1;
  lua_pop(L, 1);
  if (owner < 0 || (uint64_t)owner >= cell || cell - (uint64_t)owner > 255)
    return lmp__bad(d, "bad upvalue");
  lua_rawgeti(L, memo, owner);
  if (!lua_isfunction(L, -1) || lua_iscfunction(L, -1) ||
      !has_upvalue(L, -1, (int)(cell - (uint64_t)owner)))
    return lmp__bad(d, "bad upvalue");
  lua_upvaluejoin(L, slot, i, -1, (int)(cell - (uint64_t)owner));
  lua_pop(L, 1);
  return LMP_DONE;
}

static int step_upvalues(struct lmp_dec *d, struct lmp_dframe *f, int have) {
  if (have)
    lua_setupvalue(d->L, f->slot, (int)f->i);
  while (f->i < f->n) {
    int rc;
    f->i++;
    if (d->at < d->end && *d->at == LMP_T_JOIN) {
      if (join(d, f->slot, (int)f->i) != LMP_DONE)
        return LMP_BAD;
      continue;
    }
    rc = lmp__get(d);
    if (rc != LMP_DONE)
      return rc;
    lua_setupvalue(d->L, f->slot, (int)f->i);
  }
  f->kind = LMP_K_GLOBAL;
  f->i = 0;
  f->n = f->globals;
  return LMP_DONE;
}

/* The name and the value on top wait in a list for the message's end. */
static void keep_global(struct lmp_dec *d) {
  lua_State *L = d->L;
  int list = d->base + LMP_D_GLOBALS;

  if (lua_isnil(L, list)) {
    lua_newtable(L);
    lua_replace(L, list);
  }
  lua_rawseti(L, list, d->nglobals + 2);
  lua_rawseti(L, list, d->nglobals + 1);
  d->nglobals += 2;
}

static int step_globals(struct lmp_dec *d, struct lmp_dframe *f, int have) {
  if (have)
    keep_global(d);
  while (f->i < f->n) {
    int rc;
    f->i++;
    rc = lmp__get(d);
    if (rc == LMP_BAD)
      return rc;
    if (rc != LMP_DONE || lua_type(d->L, -1) != LUA_TSTRING)
      return lmp__bad(d, "bad name of a global");
    rc = lmp__get(d);
    if (rc != LMP_DONE)
      return rc;
    keep_global(d);
  }
  d->depth--;
  return LMP_DONE;
}

int lmp__step_dfunction(struct lmp_dec *d, struct lmp_dframe *f, int have) {
  if (f->kind == LMP_K_UPVALUE) {
    int rc = step_upvalues(d, f, have);
    if (rc != LMP_DONE)
      return rc;
    have = 0;
  }
  return step_globals(d, f, have);
}
