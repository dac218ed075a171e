/* lmp_box.c -- owns the Lua values that stand for objects of the family.
 *
 * One box for each object and Lua state: a table in the registry, weak in its
 * values, finds it again by the object's name, so the same object is the same
 * Lua value.  A box holds its object by an entry in the process's ledger.  In
 * a process that the host forked by itself that entry is the parent's; the
 * box then takes a hold of its own, or finds the object gone.
 */
#include "lmp.h"

#include "luamp.h"

static char cache_key; /* registry: name of the object -> box */

const char lmp_box_mark = 0;

/* The kinds; an end of a pipe and a descriptor are one type to a script.  The
 * module has the methods; it is loaded when the first such object arrives.
 * NULL: they are all in C. */
static const struct {
  const char *name;
  const char *noun;
  const char *module;
} types[MP_TYPES] = {
    [MP_TYPE_PROC] = {"mp.Process", "process", "mp.proc"},
    [MP_TYPE_PIPE] = {"mp.Connection", "connection", "mp.connection"},
    [MP_TYPE_FD] = {"mp.Connection", "connection", "mp.connection"},
    [MP_TYPE_QUEUE] = {"mp.Queue", "queue", "mp.queue"},
    [MP_TYPE_JOINABLE] = {"mp.JoinableQueue", "queue", "mp.queue"},
    [MP_TYPE_SIMPLE] = {"mp.SimpleQueue", "queue", "mp.queue"},
    [MP_TYPE_LOCK] = {"mp.Lock", "lock", "mp.mutex"},
    [MP_TYPE_RLOCK] = {"mp.RLock", "lock", "mp.mutex"},
    [MP_TYPE_EVENT] = {"mp.Event", "event", "mp.event"},
    [MP_TYPE_BLOCK] = {"mp.SharedMemory", "shared memory", "mp.shared_memory"},
    [MP_TYPE_VALUE] = {"mp.Value", "value", NULL},
    [MP_TYPE_ARRAY] = {"mp.Array", "array", NULL},
    [MP_TYPE_SEM] = {"mp.Semaphore", "semaphore", "mp.semaphore"},
    [MP_TYPE_BOUNDED] = {"mp.BoundedSemaphore", "semaphore", "mp.semaphore"},
    [MP_TYPE_COND] = {"mp.Condition", "condition", "mp.condition"},
    [MP_TYPE_BARRIER] = {"mp.Barrier", "barrier", "mp.barrier"},
};

static int is_conn(enum mp_type kind) {
  return kind == MP_TYPE_PIPE || kind == MP_TYPE_FD;
}

static int is_cell(enum mp_type kind) {
  return kind == MP_TYPE_VALUE || kind == MP_TYPE_ARRAY;
}

static size_t size_of(enum mp_type kind) {
  if (is_conn(kind))
    return sizeof(struct lmp_box);
  return is_cell(kind) ? LMP_BOX_CELL : LMP_BOX_SMALL;
}

/* A process's are its fields, a cell's and a condition's is its lock, a
 * block's its buffer, a barrier's its action. */
static int values_of(enum mp_type kind) {
  if (kind == MP_TYPE_PROC)
    return LMP_BOX_VALUES;
  return is_cell(kind) || kind == MP_TYPE_BLOCK || kind == MP_TYPE_COND ||
         kind == MP_TYPE_BARRIER;
}

void lmp_box_close(struct lmp_box *b) {
  /* Not mp_generation: a fork of the host's that only closes its copy of the
   * state is not to become a member for it. */
  int generation_is_ours = mp_entered() && b->generation == mp_generation();

  if (b->kind == MP_TYPE_FD)
    mp_conn_close(&b->conn);
  if (b->fd >= 0 && generation_is_ours)
    mp_fd_close(b->fd);
  b->fd = -1;
  if (generation_is_ours && is_conn(b->kind))
    mp_ready_close(&b->ready);
  if (generation_is_ours)
    mp_ref_close(&b->held);
  b->held = MP_REF_EMPTY;
}

static int box_gc(lua_State *L) {
  struct lmp_box *b = lua_touserdata(L, 1);

  if (!b)
    return 0;
  if (b->kind == MP_TYPE_LOCK || b->kind == MP_TYPE_RLOCK ||
      b->kind == MP_TYPE_COND)
    lmp_mutex_dropped(L, b);
  lmp_box_close(b);
  return 0;
}

static void new_type(lua_State *L, const char *name) {
  if (!luaL_newmetatable(L, name)) { /* two kinds, one type */
    lua_pop(L, 1);
    return;
  }
  lua_pushcfunction(L, box_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushliteral(L, "mp object");
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}

void lmp_box_types(lua_State *L) {
  for (int kind = 0; kind < MP_TYPES; kind++)
    if (types[kind].name)
      new_type(L, types[kind].name);
  lua_createtable(L, 0, 0);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &cache_key);
}

struct lmp_box *lmp_box_new(lua_State *L, enum mp_type kind) {
  struct lmp_box *b = lua_newuserdatauv(L, size_of(kind), values_of(kind));

  b->mark = &lmp_box_mark;
  b->held = MP_REF_EMPTY;
  b->serial = 0;
  b->generation = mp_generation();
  b->kind = kind;
  b->modes = 0;
  b->fd = -1;
  if (is_conn(kind)) {
    b->ready = MP_READY_EMPTY;
    b->conn = MP_CONN_EMPTY;
    b->limit = UINT64_MAX;
  }
  luaL_setmetatable(L, types[kind].name);
  return b;
}

void lmp_box_settle(lua_State *L, int idx) {
  struct lmp_box *b = lua_touserdata(L, idx);

  idx = lua_absindex(L, idx);
  b->serial = mp_ref_serial(b->held);
  b->generation = mp_generation(); /* the first object founds the family */
  lua_rawgetp(L, LUA_REGISTRYINDEX, &cache_key);
  lua_pushvalue(L, idx);
  lua_rawseti(L, -2, (lua_Integer)MP_REF_ID(b->held));
  lua_pop(L, 1);
}

struct lmp_box *lmp_box_test(lua_State *L, int idx) {
  struct lmp_box *b = lua_touserdata(L, idx);

  return b && lua_rawlen(L, idx) >= LMP_BOX_SMALL && b->mark == &lmp_box_mark
             ? b
             : NULL;
}

/* After a fork of the host's own: hold it ourselves. */
static int adopt(struct lmp_box *b) {
  mp_ref name = b->held;
  int rc = mp_ref_adopt(name, b->serial, &b->held);

  b->generation = mp_generation();
  b->fd = -1; /* the parent's numbers, perhaps closed since */
  if (is_conn(b->kind))
    b->ready = MP_READY_EMPTY;
  return rc;
}

static int is_closed(const struct lmp_box *b) {
  return b->kind == MP_TYPE_FD ? b->conn.fd < 0 : b->held == MP_REF_EMPTY;
}

struct lmp_box *lmp_box_check(lua_State *L, int idx, enum mp_type kind) {
  struct lmp_box *b = lmp_box_test(L, idx);

  if (!b || (b->kind != kind && !(is_conn(b->kind) && is_conn(kind))))
    luaL_typeerror(L, idx, types[kind].name);
  else if (is_closed(b))
    luaL_argerror(L, idx,
                  lua_pushfstring(L, "%s is closed", types[b->kind].noun));
  else if (b->held && b->generation != mp_generation() && adopt(b) < 0)
    luaL_argerror(L, idx,
                  lua_pushfstring(L, "the %s is gone", types[b->kind].noun));
  return b;
}

int lmp_box_ref(lua_State *L, int idx, mp_ref *name) {
  struct lmp_box *b = lmp_box_test(L, idx);
  int rc = 0;

  if (!b)
    return 0;
  b = lmp_box_check(L, idx, b->kind);
  if (b->kind == MP_TYPE_FD && b->held == MP_REF_EMPTY) {
    rc = mp_fd_share(b->conn.fd, b->modes, &b->held);
    if (rc < 0)
      return lmp_raise(L, rc, "send a connection");
    lmp_box_settle(L, idx);
  }
  if (b->kind == MP_TYPE_BLOCK)
    rc = lmp_block_send(L, idx);
  if (rc < 0)
    return lmp_raise(L, rc, "send shared memory");
  *name = MP_REF_ID(b->held);
  return 1;
}

/* What is on the top shall have its methods. */
static void complete(lua_State *L, enum mp_type kind) {
  if (luaL_getmetafield(L, -1, "__index") != LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  lua_getglobal(L, "require");
  lua_pushstring(L, types[kind].module);
  lua_call(L, 1, 0);
}

static void push_new(lua_State *L, mp_ref name) {
  struct lmp_box *b = lmp_box_new(L, mp_ref_type(name));
  int rc = mp_ref_dup(name, &b->held);

  complete(L, b->kind);
  if (rc == 0 && b->kind == MP_TYPE_FD) {
    rc = mp_fd_get(b->held);
    b->conn.fd = rc;
    b->modes = mp_fd_modes(b->held);
  }
  if (rc == 0 && b->kind == MP_TYPE_BLOCK)
    rc = lmp_block_receive(L, -1);
  if (rc < 0)
    lmp_raise(L, rc, "receive an mp object");
  if (b->kind == MP_TYPE_PIPE)
    b->modes = mp_pipe_modes(b->held);
  if (is_cell(b->kind))
    mp_cell_view(b->held, &b->cell);
  lmp_box_settle(L, -1);
}

void lmp_box_push(lua_State *L, mp_ref name) {
  luaL_checkstack(L, 8, "mp object");
  name = MP_REF_ID(name);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &cache_key);
  if (lua_rawgeti(L, -1, (lua_Integer)name) == LUA_TUSERDATA) {
    struct lmp_box *b = lua_touserdata(L, -1);

    if (MP_REF_ID(b->held) == name && b->serial == mp_ref_serial(name)) {
      lua_remove(L, -2);
      return;
    }
  }
  lua_pop(L, 2);
  push_new(L, name);
}

/* For the program around us: luamp.h. */

mp_ref luamp_ref(lua_State *L, int idx) {
  mp_ref name = MP_REF_EMPTY;

  (void)lmp_box_ref(L, lua_absindex(L, idx), &name);
  return name;
}

void luamp_push(lua_State *L, mp_ref ref) {
  luaL_checkstack(L, 8, "mp object");
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &cache_key) != LUA_TTABLE) {
    lua_getglobal(L, "require");
    lua_pushliteral(L, "mp");
    lua_call(L, 1, 0);
  }
  lua_pop(L, 1);
  lmp_box_push(L, ref);
}
