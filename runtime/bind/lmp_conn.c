/* lmp_conn.c -- Connection: an end of a pipe, or a framed descriptor.
 *
 * Methods that need no Lua around them are the methods of the type; the rest
 * is in lua/mp/connection.lua.
 */
#include "lmp.h"

static struct lmp_box *check(lua_State *L, unsigned mode) {
  struct lmp_box *b = lmp_box_check(L, 1, MP_TYPE_PIPE);

  if (mode && !(b->modes & mode))
    luaL_argerror(L, 1,
                  mode == MP_PIPE_READABLE ? "connection is write-only"
                                           : "connection is read-only");
  return b;
}

/* Sending */

static int send_out(lua_State *L, struct lmp_box *b, const struct mp_out *out) {
  int rc;

  /* Ctrl-C may have left another message half sent. */
  if (b->kind == MP_TYPE_FD)
    mp_conn_abandon(&b->conn);
  do
    rc = b->kind == MP_TYPE_PIPE
             ? mp_pipe_send(b->held, out, MP_FOREVER)
             : mp_conn_send(&b->conn, out->iov, out->niov, MP_FOREVER);
  while (rc == LMP_INTERRUPTED && lmp_resume(L));
  if (rc < 0)
    return lmp_refuse(L, rc, "send");
  lua_pushboolean(L, 1);
  return 1;
}

/* conn:send(value) -> true | false, "closed" */
static int lmp_conn_send(lua_State *L) {
  struct lmp_box *b = check(L, MP_PIPE_WRITABLE);
  struct lmp_packer *p;

  luaL_checkany(L, 2);
  lua_settop(L, 2);
  /* What leaves the family names no objects of it. */
  p = lmp_pack(L, 2, LMP_NAMED | (b->kind == MP_TYPE_FD ? LMP_NOREFS : 0),
               "send: value");
  return send_out(L, b, &p->out);
}

/* conn:send_bytes(s [, i [, j]]), i and j as in string.sub */
static int lmp_conn_send_bytes(lua_State *L) {
  struct lmp_box *b = check(L, MP_PIPE_WRITABLE);
  size_t len;
  const char *s = luaL_checklstring(L, 2, &len);
  lua_Integer i = luaL_optinteger(L, 3, 1);
  lua_Integer j = luaL_optinteger(L, 4, -1);
  lua_Integer n = (lua_Integer)len;
  struct mp_iov iov;
  struct mp_out out = {&iov, 1, 0, NULL};

  if (i < 0)
    i = i < -n ? 1 : n + i + 1;
  else if (i == 0)
    i = 1;
  if (j < 0)
    j = j < -n ? 0 : n + j + 1;
  else if (j > n)
    j = n;
  iov.base = s + (i <= j ? i - 1 : 0);
  iov.len = i <= j ? (size_t)(j - i + 1) : 0;
  return send_out(L, b, &out);
}

/* Receiving */

/* The body of a framed message, read as it comes: a length that is claimed
 * costs nothing before its bytes are there. */
static int read_body(lua_State *L, struct lmp_box *b, uint64_t len,
                     int64_t deadline) {
  luaL_Buffer buf;
  size_t got;
  size_t want;
  int rc = 0;

  luaL_buffinit(L, &buf);
  while (len > 0) {
    want = len < 65536 ? (size_t)len : 65536;
    rc = mp_conn_body(&b->conn, luaL_prepbuffsize(&buf, want), want, &got,
                      deadline);
    if (rc == LMP_INTERRUPTED) {
      luaL_addsize(&buf, got);
      len -= got;
      (void)lmp_resume(L);
      continue;
    }
    if (rc < 0)
      return rc;
    luaL_addsize(&buf, got);
    len -= got;
  }
  mp_conn_next(&b->conn);
  luaL_pushresult(&buf);
  return 0;
}

/* Leaves the message as a string on the stack's top. */
static int recv_framed(lua_State *L, struct lmp_box *b, uint64_t max,
                       int64_t deadline) {
  uint64_t len;
  int rc;

  do
    rc = mp_conn_head(&b->conn, &len, deadline);
  while (rc == LMP_INTERRUPTED && lmp_resume(L));
  if (rc == 0 && (len > max || len > b->limit))
    rc = -MP_ETOOLONG;
  if (rc == 0)
    rc = read_body(L, b, len, MP_FOREVER); /* begun: see it through */
  if (rc < 0 && rc != -MP_ETIMEOUT)
    lmp_box_close(b); /* there is no finding the next message */
  return rc;
}

static int recv_value_framed(lua_State *L, struct lmp_box *b,
                             int64_t deadline) {
  size_t len;
  const char *s;
  int rc = recv_framed(L, b, UINT64_MAX, deadline);

  if (rc < 0)
    return lmp_fail(L, rc, "recv");
  s = lua_tolstring(L, -1, &len);
  if (lmp_unpack(L, s, len, NULL, 0, b->modes & LMP_TRUSTED ? 0 : LMP_NOCODE))
    return 1;
  lmp_box_close(b);
  lua_pushnil(L);
  lua_pushliteral(L, "protocol");
  return 2;
}

static int recv_msg(lua_State *L, struct lmp_box *b, struct lmp_scratch *s,
                    int64_t deadline) {
  int rc;

  s->busy = 1; /* a hook may run in lmp_resume */
  mp_pipe_look(b->held, &b->ready);
  do
    rc = mp_pipe_recv(b->held, &s->msg, s->bytes, deadline);
  while (rc == LMP_INTERRUPTED && lmp_resume(L));
  if (b->ready.fd >= 0 && !(b->modes & LMP_LAZY))
    mp_pipe_rearm(b->held, &b->ready);
  if (rc < 0)
    lmp_scratch_release(s);
  return rc;
}

/* conn:recv([timeout]) -> value | nil, "closed" | nil, "timeout" | ... */
static int lmp_conn_recv(lua_State *L) {
  struct lmp_box *b = check(L, MP_PIPE_READABLE);
  int64_t deadline = lmp_deadline(L, 2);
  struct lmp_scratch *s;
  int rc;

  lua_settop(L, 1);
  if (b->kind == MP_TYPE_FD)
    return recv_value_framed(L, b, deadline);
  s = lmp_scratch_push(L);
  rc = recv_msg(L, b, s, deadline);
  if (rc < 0)
    return lmp_fail(L, rc, "recv");
  return lmp_scratch_value(L, s);
}

/* conn:recv_bytes([maxlength]) -> string | nil, reason */
static int lmp_conn_recv_bytes(lua_State *L) {
  struct lmp_box *b = check(L, MP_PIPE_READABLE);
  lua_Integer max = luaL_optinteger(L, 2, LUA_MAXINTEGER);
  struct lmp_scratch *s;
  int rc;

  luaL_argcheck(L, max >= 0, 2, "maxlength is negative");
  lua_settop(L, 1);
  if (b->kind == MP_TYPE_FD) {
    rc = recv_framed(L, b, (uint64_t)max, MP_FOREVER);
    return rc < 0 ? lmp_fail(L, rc, "recv_bytes") : 1;
  }
  s = lmp_scratch_push(L);
  rc = recv_msg(L, b, s, MP_FOREVER);
  if (rc < 0)
    return lmp_fail(L, rc, "recv_bytes");
  if (s->msg.len > (uint64_t)max) {
    lmp_scratch_release(s);
    lmp_box_close(b);
    return lmp_raise(L, -MP_ETOOLONG, "recv_bytes");
  }
  lua_pushlstring(L, s->msg.data, s->msg.len);
  lmp_scratch_release(s);
  return 1;
}

/* Messages for event loops: what is there, a part of a message at a time */

#define GATHER_MAX (1 << 20) /* bytes of one message that one call takes */

/* The user value of the box holds what has come of a message: a list. */
static void begin_gathering(lua_State *L) {
  if (lua_getiuservalue(L, 1, 1) == LUA_TTABLE)
    return;
  lua_pop(L, 1);
  lua_createtable(L, 4, 0);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, 1);
}

static void end_gathering(lua_State *L) {
  lua_pushnil(L);
  lua_setiuservalue(L, 1, 1);
}

/* Append what is there to the list on top. */
static int gather(lua_State *L, struct lmp_box *b) {
  size_t taken = 0;
  int rc = 0;

  while (rc == 0 && b->conn.left > 0) {
    size_t want = b->conn.left < 65536 ? (size_t)b->conn.left : 65536;
    size_t got = 0;
    luaL_Buffer buf;
    char *to = luaL_buffinitsize(L, &buf, want);

    if (taken >= GATHER_MAX)
      rc = -MP_ETIMEOUT;
    else
      rc = mp_conn_body(&b->conn, to, want, &got, MP_NOW);
    luaL_pushresultsize(&buf, got);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    taken += got;
  }
  return rc;
}

/* Push the pieces of the list on top as one string. */
static void concat(lua_State *L) {
  lua_Integer i, n = (lua_Integer)lua_rawlen(L, -1);
  luaL_Buffer buf;

  luaL_buffinit(L, &buf);
  for (i = 1; i <= n; i++) {
    (void)lua_rawgeti(L, 2, i);
    luaL_addvalue(&buf);
  }
  luaL_pushresult(&buf);
}

/* core.conn_gather(conn) -> message | nil, "timeout" (not whole yet)
 *   | nil, reason */
static int lmp_conn_gather(lua_State *L) {
  struct lmp_box *b = check(L, MP_PIPE_READABLE);
  uint64_t len;
  int rc = 0;

  luaL_argcheck(L, b->kind == MP_TYPE_FD, 1, "not over a descriptor");
  lua_settop(L, 1);
  if (lua_getiuservalue(L, 1, 1) != LUA_TTABLE) {
    rc = mp_conn_head(&b->conn, &len, MP_NOW);
    if (rc == 0 && len > b->limit)
      rc = -MP_ETOOLONG;
  }
  lua_settop(L, 1);
  if (rc == 0) {
    begin_gathering(L);
    rc = gather(L, b);
  }
  if (rc == -MP_ETIMEOUT || rc == LMP_INTERRUPTED)
    return lmp_fail(L, -MP_ETIMEOUT, "recv");
  if (rc < 0) {
    lmp_box_close(b);
    return lmp_fail(L, rc == -MP_ETOOLONG ? -MP_EPROTOCOL : rc, "recv");
  }
  mp_conn_next(&b->conn);
  concat(L);
  end_gathering(L);
  return 1;
}

/* core.conn_push(conn, bytes, from) -> index of the first byte that is still
 *   to be written | nil, "closed" */
static int lmp_conn_push(lua_State *L) {
  struct lmp_box *b = check(L, MP_PIPE_WRITABLE);
  size_t len;
  const char *s = luaL_checklstring(L, 2, &len);
  lua_Integer from = luaL_checkinteger(L, 3);
  int64_t rc;

  luaL_argcheck(L, b->kind == MP_TYPE_FD, 1, "not over a descriptor");
  luaL_argcheck(L, from >= 1 && (size_t)from <= len, 3, "out of range");
  rc = mp_conn_push(&b->conn, s + from - 1, len - (size_t)from + 1);
  if (rc < 0)
    return lmp_fail(L, (int)rc, "send");
  lua_pushinteger(L, from + (lua_Integer)rc);
  return 1;
}

/* conn:poll([timeout = 0]) -> boolean */
static int lmp_conn_poll(lua_State *L) {
  struct lmp_box *b = check(L, MP_PIPE_READABLE);
  int64_t deadline = lua_isnone(L, 2) ? MP_NOW : lmp_deadline(L, 2);
  int rc;

  mp_pipe_look(b->held, &b->ready);
  do
    rc = b->kind == MP_TYPE_PIPE ? mp_pipe_poll(b->held, deadline)
                                 : mp_conn_poll(&b->conn, deadline);
  while (rc == LMP_INTERRUPTED && lmp_resume(L));
  if (rc < 0)
    return lmp_raise(L, rc, "poll");
  lua_pushboolean(L, rc);
  return 1;
}

/* conn:fileno() -> descriptor, readable while recv would not block */
static int lmp_conn_fileno(lua_State *L) {
  struct lmp_box *b = check(L, 0);
  int rc;

  if (b->kind == MP_TYPE_FD) {
    lua_pushinteger(L, b->conn.fd);
    return 1;
  }
  rc = mp_pipe_ready(b->held, &b->ready);
  if (rc < 0)
    return lmp_raise(L, rc, "fileno");
  lua_pushinteger(L, rc);
  return 1;
}

/* core.conn_lazy(conn): from now on who waits for the descriptor asks fileno
 * each time */
static int lmp_conn_lazy(lua_State *L) {
  check(L, MP_PIPE_READABLE)->modes |= LMP_LAZY;
  return 0;
}

/* conn:close(): lets go of this handle; others keep theirs */
static int lmp_conn_close(lua_State *L) {
  struct lmp_box *b = lmp_box_test(L, 1);

  if (!b || (b->kind != MP_TYPE_PIPE && b->kind != MP_TYPE_FD))
    return luaL_typeerror(L, 1, "mp.Connection");
  lmp_box_close(b);
  return 0;
}

/* core.conn_state(conn) -> closed, readable, writable */
static int lmp_conn_state(lua_State *L) {
  struct lmp_box *b = lmp_box_test(L, 1);

  if (!b || (b->kind != MP_TYPE_PIPE && b->kind != MP_TYPE_FD))
    return luaL_typeerror(L, 1, "mp.Connection");
  if (b->kind == MP_TYPE_PIPE && b->modes == 0 && b->held)
    b->modes = mp_pipe_modes(b->held);
  lua_pushboolean(L, b->kind == MP_TYPE_FD ? b->conn.fd < 0 : !b->held);
  lua_pushboolean(L, (b->modes & MP_PIPE_READABLE) != 0);
  lua_pushboolean(L, (b->modes & MP_PIPE_WRITABLE) != 0);
  return 3;
}

/* core.pipe(duplex) -> Connection, Connection */
static int lmp_conn_pipe(lua_State *L) {
  unsigned flags = lua_toboolean(L, 1) ? 0 : MP_PIPE_SIMPLEX;
  struct lmp_box *a = lmp_box_new(L, MP_TYPE_PIPE);
  struct lmp_box *b = lmp_box_new(L, MP_TYPE_PIPE);
  int rc = mp_pipe_open(&a->held, &b->held, flags);

  if (rc < 0)
    return lmp_raise(L, rc, "Pipe");
  lmp_box_settle(L, -2);
  lmp_box_settle(L, -1);
  a->modes = mp_pipe_modes(a->held);
  b->modes = mp_pipe_modes(b->held);
  lmp_account(L, 8);
  return 2;
}

/* core.connection(fd [, readable [, writable]]): takes the descriptor over */
static int lmp_conn_adopt(lua_State *L) {
  lua_Integer fd = luaL_checkinteger(L, 1);
  int readable = lua_isnoneornil(L, 2) || lua_toboolean(L, 2);
  int writable = lua_isnoneornil(L, 3) || lua_toboolean(L, 3);
  struct lmp_box *b;

  luaL_argcheck(L, fd >= 0 && fd < INT32_MAX && mp_fd_is_open((int)fd), 1,
                "not an open descriptor");
  luaL_argcheck(L, readable || writable, 2,
                "at least one of readable and writable must be true");
  b = lmp_box_new(L, MP_TYPE_FD);
  b->conn.fd = (int)fd;
  b->modes =
      (readable ? MP_PIPE_READABLE : 0u) | (writable ? MP_PIPE_WRITABLE : 0u);
  return 1;
}

const luaL_Reg lmp_conn_functions[] = {{"pipe", lmp_conn_pipe},
                                       {"connection", lmp_conn_adopt},
                                       {"conn_state", lmp_conn_state},
                                       {"conn_send", lmp_conn_send},
                                       {"conn_send_bytes", lmp_conn_send_bytes},
                                       {"conn_recv", lmp_conn_recv},
                                       {"conn_recv_bytes", lmp_conn_recv_bytes},
                                       {"conn_poll", lmp_conn_poll},
                                       {"conn_gather", lmp_conn_gather},
                                       {"conn_push", lmp_conn_push},
                                       {"conn_lazy", lmp_conn_lazy},
                                       {"conn_fileno", lmp_conn_fileno},
                                       {"conn_close", lmp_conn_close},
                                       {NULL, NULL}};
