/* lmp_block.c -- SharedMemory, and the buffer that its bytes are reached by.
 *
 * The buffer, mp.Buffer, owns the mapping; it is the user value of the box,
 * which owns the hold on the block.  So a buffer that somebody still has goes
 * on when the box is collected, and `close` ends it.
 */
#include "lmp_num.h"

#include <string.h>

/* Of strings this long Lua keeps no table, so that bytes which another process
 * changes meanwhile may be its source. */
#define LONG_STRING 4096

/* What a block weighs for the collector, in KiB: a descriptor more than
 * anything, of which there are few. */
#define WEIGHT 16

static struct mp_map *new_buffer(lua_State *L) {
  struct mp_map *m = lua_newuserdatauv(L, sizeof *m, 0);

  *m = MP_MAP_EMPTY;
  luaL_setmetatable(L, "mp.Buffer");
  return m;
}

/* Methods have the buffers' metatable as their first upvalue. */
static struct mp_map *check_buffer(lua_State *L) {
  struct mp_map *m = lua_touserdata(L, 1);

  if (!m || !lua_getmetatable(L, 1) ||
      !lua_rawequal(L, -1, lua_upvalueindex(1)))
    luaL_typeerror(L, 1, "mp.Buffer");
  lua_pop(L, 1);
  luaL_argcheck(L, m->at != NULL, 1, "shared memory is closed");
  return m;
}

/* The place of n bytes at the offset at idx, ready to be used. */
static char *place(lua_State *L, struct mp_map *m, int idx, uint64_t n) {
  lua_Integer off = luaL_checkinteger(L, idx);
  int rc = 0;

  if (off < 0 || (uint64_t)off > m->size || n > m->size - (uint64_t)off)
    luaL_argerror(L, idx,
                  lua_pushfstring(L,
                                  "offset %I: %I bytes there do not lie in "
                                  "a block of %I bytes",
                                  off, (lua_Integer)n, (lua_Integer)m->size));
  if (m->backed)
    rc = mp_map_use(m, (uint64_t)off, n);
  if (rc < 0)
    lmp_raise(L, rc, "shared memory");
  return m->at + off;
}

static char check_code(lua_State *L, int idx) {
  char code = lmp_num_code(L, idx);

  luaL_argcheck(L, code != 0, idx, "not a typecode (one of " MP_CODES ")");
  return code;
}

static int is_aligned(const char *at, char code) {
  return (uintptr_t)at % mp_num_size(code) == 0;
}

/* buf:get(typecode, offset) -> value */
static int lmp_block_get(lua_State *L) {
  struct mp_map *m = check_buffer(L);
  char code = check_code(L, 2);
  const char *at = place(L, m, 3, mp_num_size(code));
  uint64_t copy;

  if (!is_aligned(at, code))
    at = memcpy(&copy, at, mp_num_size(code));
  lmp_num_push(L, code, mp_num_load(code, at));
  return 1;
}

/* buf:set(typecode, offset, value) */
static int lmp_block_set(lua_State *L) {
  struct mp_map *m = check_buffer(L);
  char code = check_code(L, 2);
  char *at = place(L, m, 3, mp_num_size(code));
  union mp_num v;
  uint64_t copy;

  luaL_checkany(L, 4);
  if (!lmp_num_test(L, 4, code, &v))
    return lmp_num_misfit(L, 4, code, "set", 0);
  if (is_aligned(at, code)) {
    mp_num_store(code, at, v);
  } else {
    mp_num_store(code, &copy, v);
    memcpy(at, &copy, mp_num_size(code));
  }
  return 0;
}

/* buf:read(offset, n) -> string */
static int lmp_block_read(lua_State *L) {
  struct mp_map *m = check_buffer(L);
  lua_Integer n = luaL_checkinteger(L, 3);
  char few[LONG_STRING];
  const char *from;

  luaL_argcheck(L, n >= 0, 3, "number of bytes is negative");
  from = place(L, m, 2, (uint64_t)n);
  if (n < LONG_STRING)
    from = memcpy(few, from, (size_t)n);
  lua_pushlstring(L, from, (size_t)n);
  return 1;
}

/* buf:write(offset, s) */
static int lmp_block_write(lua_State *L) {
  struct mp_map *m = check_buffer(L);
  size_t len;
  const char *s = luaL_checklstring(L, 3, &len);
  char *to = place(L, m, 2, len);

  memcpy(to, s, len);
  return 0;
}

/* #buf */
static int lmp_block_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check_buffer(L)->size);
  return 1;
}

static int lmp_block_tostring(lua_State *L) {
  const struct mp_map *m = luaL_checkudata(L, 1, "mp.Buffer");

  if (m->at)
    lua_pushfstring(L, "mp.Buffer (%I bytes): %p", (lua_Integer)m->size,
                    (const void *)m);
  else
    lua_pushfstring(L, "mp.Buffer (closed): %p", (const void *)m);
  return 1;
}

static int lmp_block_gc(lua_State *L) {
  mp_map_close(luaL_checkudata(L, 1, "mp.Buffer"));
  return 0;
}

static const luaL_Reg methods[] = {{"get", lmp_block_get},
                                   {"set", lmp_block_set},
                                   {"read", lmp_block_read},
                                   {"write", lmp_block_write},
                                   {NULL, NULL}};
static const luaL_Reg metamethods[] = {{"__len", lmp_block_len},
                                       {"__tostring", lmp_block_tostring},
                                       {"__gc", lmp_block_gc},
                                       {NULL, NULL}};

void lmp_block_types(lua_State *L) {
  (void)luaL_newmetatable(L, "mp.Buffer");
  lua_pushvalue(L, -1);
  luaL_setfuncs(L, metamethods, 1);
  luaL_newlibtable(L, methods);
  lua_pushvalue(L, -2);
  luaL_setfuncs(L, methods, 1);
  lua_setfield(L, -2, "__index");
  lua_pushliteral(L, "mp object");
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}

/* The box */

static struct mp_map *map_of(lua_State *L, int idx) {
  struct mp_map *m;

  (void)lua_getiuservalue(L, idx, 1);
  m = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return m;
}

/* [] -> [box], its buffer empty */
static struct lmp_box *new_box(lua_State *L, struct mp_map **m) {
  struct lmp_box *b = lmp_box_new(L, MP_TYPE_BLOCK);

  *m = new_buffer(L);
  (void)lua_setiuservalue(L, -2, 1);
  return b;
}

static const char *check_name(lua_State *L, int idx) {
  size_t len;
  const char *name = luaL_checklstring(L, idx, &len);

  luaL_argcheck(L, strlen(name) == len, idx, "a name has no NUL bytes");
  return name;
}

/* core.block_create(name or nil, size) -> SharedMemory | nil, message, errno */
static int lmp_block_create(lua_State *L) {
  const char *name = lua_isnil(L, 1) ? NULL : check_name(L, 1);
  lua_Integer size = luaL_checkinteger(L, 2);
  struct mp_map *m;
  struct lmp_box *b;
  int rc;

  luaL_argcheck(L, size > 0, 2, "size must be positive");
  b = new_box(L, &m);
  rc = mp_block_create(name, (uint64_t)size, &b->held, m);
  if (rc < 0)
    return lmp_outside(L, rc, name ? name : "SharedMemory");
  lmp_box_settle(L, -1);
  lmp_account(L, WEIGHT);
  return 1;
}

/* core.block_attach(name) -> SharedMemory | nil, message, errno */
static int lmp_block_attach(lua_State *L) {
  const char *name = check_name(L, 1);
  struct mp_map *m;
  struct lmp_box *b = new_box(L, &m);
  int rc = mp_block_attach(name, &b->held, m);

  if (rc < 0)
    return lmp_outside(L, rc, name);
  lmp_box_settle(L, -1);
  lmp_account(L, WEIGHT);
  return 1;
}

int lmp_block_receive(lua_State *L, int idx) {
  struct lmp_box *b = lua_touserdata(L, idx);
  struct mp_map *m;

  idx = lua_absindex(L, idx);
  m = new_buffer(L);
  (void)lua_setiuservalue(L, idx, 1);
  return mp_block_map(b->held, m);
}

int lmp_block_send(lua_State *L, int idx) {
  struct lmp_box *b = lua_touserdata(L, idx);
  const struct mp_map *m = map_of(L, idx);

  luaL_argcheck(L, m && m->at, idx, "shared memory is closed");
  return mp_block_share(b->held, m);
}

/* core.block_name(shm) */
static int lmp_block_name(lua_State *L) {
  struct lmp_box *b = lmp_box_check(L, 1, MP_TYPE_BLOCK);
  char name[MP_BLOCK_NAME_MAX + 1];

  (void)mp_block_name(b->held, name);
  lua_pushstring(L, name);
  return 1;
}

/* core.block_size(shm): as it was mapped */
static int lmp_block_size(lua_State *L) {
  (void)lmp_box_check(L, 1, MP_TYPE_BLOCK);
  lua_pushinteger(L, (lua_Integer)map_of(L, 1)->size);
  return 1;
}

/* core.block_buf(shm) -> buffer; nil once it was closed */
static int lmp_block_buf(lua_State *L) {
  const struct mp_map *m;

  (void)lmp_box_check(L, 1, MP_TYPE_BLOCK);
  (void)lua_getiuservalue(L, 1, 1);
  m = lua_touserdata(L, -1);
  if (!m->at)
    lua_pushnil(L);
  return 1;
}

/* core.block_close(shm): this process's mapping ends, the name stays */
static int lmp_block_close(lua_State *L) {
  (void)lmp_box_check(L, 1, MP_TYPE_BLOCK);
  mp_map_close(map_of(L, 1));
  return 0;
}

/* core.block_unlink(shm) -> true | nil, message, errno */
static int lmp_block_unlink(lua_State *L) {
  struct lmp_box *b = lmp_box_check(L, 1, MP_TYPE_BLOCK);
  char name[MP_BLOCK_NAME_MAX + 1];
  int rc = mp_block_unlink(b->held);

  (void)mp_block_name(b->held, name);
  if (rc < 0)
    return lmp_outside(L, rc, name);
  lua_pushboolean(L, 1);
  return 1;
}

const luaL_Reg lmp_block_functions[] = {
    {"block_create", lmp_block_create}, {"block_attach", lmp_block_attach},
    {"block_name", lmp_block_name},     {"block_size", lmp_block_size},
    {"block_buf", lmp_block_buf},       {"block_close", lmp_block_close},
    {"block_unlink", lmp_block_unlink}, {NULL, NULL}};
