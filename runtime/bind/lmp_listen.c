/* lmp_listen.c -- Listener, and connecting to one.
 *
 * Addresses come and go as family ("AF_UNIX", ..), name (a path or a host)
 * and port; what they look like to a script is lua/mp/listen.lua's.
 */
#include "lmp.h"

#include <string.h>

#define TYPE "mp.Listener"

static const char *const families[] = {"AF_UNIX", "AF_INET", "AF_INET6", NULL};

/* nil, message, errno: something outside the program is not as it should be */
static int outside(lua_State *L, int rc, const char *what) {
  if (mp_err_reason(rc))
    return lmp_fail(L, rc, what);
  if (mp_err_is_want(rc))
    return lmp_raise(L, rc, what);
  lua_pushnil(L);
  lua_pushfstring(L, "%s: %s", what, mp_err_text(rc));
  lua_pushinteger(L, -rc);
  return 3;
}

/* family, name, port at idx, idx + 1, idx + 2 */
static void check_address(lua_State *L, int idx, struct mp_addr *a) {
  size_t len;
  const char *name;

  memset(a, 0, sizeof *a);
  a->family = (enum mp_net)luaL_checkoption(L, idx, NULL, families);
  name = luaL_checklstring(L, idx + 1, &len);
  /* What is cut off here is too long for the core as well. */
  a->len = (unsigned)(len < sizeof a->name ? len : sizeof a->name - 1);
  memcpy(a->name, name, a->len);
  a->port = (unsigned)luaL_optinteger(L, idx + 2, 0);
}

static int push_address(lua_State *L, const struct mp_addr *a) {
  lua_pushstring(L, families[a->family]);
  lua_pushlstring(L, a->name, a->len);
  lua_pushinteger(L, a->port);
  return 3;
}

static unsigned flag(lua_State *L, int idx, const char *name, unsigned bit) {
  int is = lua_getfield(L, idx, name) != LUA_TNIL && lua_toboolean(L, -1);

  lua_pop(L, 1);
  return is ? bit : 0;
}

/* Fields of the options at idx that the core knows. */
static unsigned check_flags(lua_State *L, int idx) {
  luaL_checktype(L, idx, LUA_TTABLE);
  return flag(L, idx, "require", MP_AUTH_STRONG) |
         flag(L, idx, "any_user", MP_NET_ANY_USER);
}

static int64_t check_patience(lua_State *L, int idx) {
  int64_t ns;

  (void)lua_getfield(L, idx, "auth_timeout");
  ns = (int64_t)(luaL_optnumber(L, -1, 20) * 1e9);
  lua_pop(L, 1);
  return ns;
}

/* The connection that is to have the descriptor, with the options at idx. */
static struct lmp_box *new_conn(lua_State *L, int idx) {
  struct lmp_box *b = lmp_box_new(L, MP_TYPE_FD);

  b->modes = MP_PIPE_READABLE | MP_PIPE_WRITABLE |
             flag(L, idx, "trusted", LMP_TRUSTED);
  (void)lua_getfield(L, idx, "max_message");
  b->limit = (uint64_t)luaL_optinteger(L, -1, LUA_MAXINTEGER);
  lua_pop(L, 1);
  return b;
}

/* Connecting */

static int dial_gc(lua_State *L) {
  struct mp_dial *d = lua_touserdata(L, 1);

  mp_dial_close(d);
  return 0;
}

static struct mp_dial *new_dial(lua_State *L) {
  struct mp_dial *d = lua_newuserdatauv(L, sizeof *d, 0);

  *d = MP_DIAL_EMPTY;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, dial_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  return d;
}

static int shake_hands(lua_State *L, struct mp_conn *c, unsigned flags,
                       const char *key, size_t len, int64_t patience,
                       int64_t deadline) {
  int64_t until = mp_now() + patience;
  struct mp_auth a;
  int rc = mp_auth_begin(&a, flags & MP_AUTH_STRONG);

  if (until > deadline)
    until = deadline;
  while (rc == 0) {
    rc = mp_auth_run(&a, c, key, len, until);
    if (rc != LMP_INTERRUPTED)
      break;
    rc = 0;
    (void)lmp_resume(L);
  }
  return rc == -MP_EAUTHTIME && until == deadline ? -MP_ETIMEOUT : rc;
}

/* core.dial(family, name, port, options, key, timeout) -> Connection
 *   | nil, reason | nil, message, errno */
static int lmp_listen_dial(lua_State *L) {
  unsigned flags = check_flags(L, 4);
  size_t len = 0;
  const char *key = luaL_optlstring(L, 5, NULL, &len);
  int64_t deadline = lmp_deadline(L, 6);
  int64_t patience = check_patience(L, 4);
  struct mp_addr a;
  struct mp_dial *d;
  struct lmp_box *b;
  int rc;

  check_address(L, 1, &a);
  if (key && len == 0)
    return lmp_fail(L, -MP_EAUTHEMPTY, "Client");
  d = new_dial(L);
  b = new_conn(L, 4);
  rc = mp_dial_open(d, &a);
  while (rc == 0) {
    rc = mp_dial_wait(d, &b->conn, flags, deadline);
    if (rc != LMP_INTERRUPTED)
      break;
    rc = 0;
    (void)lmp_resume(L);
  }
  mp_dial_close(d);
  if (rc == 0 && key)
    rc = shake_hands(L, &b->conn, flags, key, len, patience, deadline);
  if (rc == 0)
    return 1;
  lmp_box_close(b);
  return outside(L, rc, "Client");
}

/* Listening */

static struct mp_listener *check(lua_State *L) {
  struct mp_listener *l = luaL_checkudata(L, 1, TYPE);

  luaL_argcheck(L, l->fd >= 0, 1, "listener is closed");
  return l;
}

/* core.listen(options, backlog [, family, name, port]) -> Listener
 *   | nil, message, errno */
static int lmp_listen_open(lua_State *L) {
  unsigned flags = check_flags(L, 1);
  int64_t patience = check_patience(L, 1);
  int backlog = (int)luaL_checkinteger(L, 2);
  int chosen = !lua_isnoneornil(L, 3);
  struct mp_addr a;
  struct mp_listener *l;
  int rc;

  if (chosen)
    check_address(L, 3, &a);
  l = lua_newuserdatauv(L, sizeof *l, 0);
  *l = MP_LISTENER_EMPTY;
  luaL_setmetatable(L, TYPE);
  rc = mp_listen(l, chosen ? &a : NULL, backlog, flags, patience);
  return rc < 0 ? outside(L, rc, "Listener") : 1;
}

/* core.accept(listener, options, key, timeout) -> Connection, family, name,
 *   port | nil, reason */
static int lmp_listen_accept(lua_State *L) {
  struct mp_listener *l = check(L);
  size_t len = 0;
  const char *key = luaL_optlstring(L, 3, NULL, &len);
  int64_t deadline = lmp_deadline(L, 4);
  struct mp_addr peer;
  struct lmp_box *b;
  int rc;

  luaL_checktype(L, 2, LUA_TTABLE);
  b = new_conn(L, 2);
  do {
    rc = mp_accept(l, key, len, &b->conn, &peer, deadline);
    if (rc == LMP_INTERRUPTED) {
      (void)lmp_resume(L);
      (void)check(L); /* what ran may have closed it */
    }
  } while (rc == LMP_INTERRUPTED);
  if (rc < 0)
    return lmp_fail(L, rc, "accept");
  return 1 + push_address(L, &peer);
}

/* core.listener_address(listener) -> family, name, port | nil: it is closed */
static int lmp_listen_address(lua_State *L) {
  struct mp_listener *l = luaL_checkudata(L, 1, TYPE);

  return l->fd < 0 ? 0 : push_address(L, &l->addr);
}

/* listener:fileno() -> descriptor, readable when accept has something to do */
static int lmp_listen_fileno(lua_State *L) {
  int rc = mp_listener_fd(check(L));

  if (rc < 0)
    return lmp_raise(L, rc, "fileno");
  lua_pushinteger(L, rc);
  return 1;
}

/* listener:close() */
static int lmp_listen_close(lua_State *L) {
  mp_listener_close(luaL_checkudata(L, 1, TYPE));
  return 0;
}

void lmp_listen_types(lua_State *L) {
  luaL_newmetatable(L, TYPE);
  lua_pushcfunction(L, lmp_listen_close);
  lua_setfield(L, -2, "__gc");
  lua_pushliteral(L, "mp object");
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}

const luaL_Reg lmp_listen_functions[] = {
    {"dial", lmp_listen_dial},
    {"listen", lmp_listen_open},
    {"accept", lmp_listen_accept},
    {"listener_address", lmp_listen_address},
    {"listener_fileno", lmp_listen_fileno},
    {"listener_close", lmp_listen_close},
    {NULL, NULL}};
