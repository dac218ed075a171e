/* lmp_proc.c -- processes as values: record, start, end.
 *
 * The functions take the box first; lua/mp/proc.lua makes methods of them and
 * gives an instance its fields (the box's user value).
 */
#include "lmp.h"

#include <string.h>

static struct lmp_box *check(lua_State *L) {
  return lmp_box_check(L, 1, MP_TYPE_PROC);
}

static void check_type(lua_State *L) {
  struct lmp_box *b = lmp_box_test(L, 1);

  if (!b || b->kind != MP_TYPE_PROC)
    luaL_typeerror(L, 1, "mp.Process");
}

/* What belongs to this instance alone lies in its user values. */
enum { U_CLASS = 1, U_FIELDS, U_TARGET, U_ARGS };

/* core.proc_new(name | nil, daemon | nil, quiet, class, target, args) ->
 * Process; a daemon or not as the caller is one, if that is nil */
static int lmp_proc_new(lua_State *L) {
  const char *name = luaL_optstring(L, 1, NULL);
  unsigned flags = lua_toboolean(L, 2) ? MP_PROC_DAEMON : 0;
  struct lmp_box *b;
  int rc = mp_enter();

  lua_settop(L, 6);
  b = lmp_box_new(L, MP_TYPE_PROC);
  if (rc == 0 && lua_isnil(L, 2))
    flags = (unsigned)mp_proc_flags(mp_proc_self());
  if (rc == 0)
    rc = mp_proc_open(&b->held, name,
                      lua_toboolean(L, 3) ? flags | MP_PROC_QUIET : flags);
  if (rc < 0)
    return lmp_raise(L, rc, "Process");
  lmp_box_settle(L, -1);
  lua_insert(L, 4); /* before class, target, args */
  lua_setiuservalue(L, 4, U_ARGS);
  lua_setiuservalue(L, 4, U_TARGET);
  lua_setiuservalue(L, 4, U_CLASS);
  lmp_account(L, 4);
  return 1;
}

/* core.proc_class(p) -> class | nil, table of fields | nil */
static int lmp_proc_class(lua_State *L) {
  check_type(L);
  lua_getiuservalue(L, 1, U_CLASS);
  lua_getiuservalue(L, 1, U_FIELDS);
  return 2;
}

/* core.proc_field(p, key, Process) -> what it has itself or from its class;
 * Process: the class of one that has none of its own */
static int lmp_proc_field(lua_State *L) {
  check_type(L);
  if (lua_getiuservalue(L, 1, U_FIELDS) == LUA_TTABLE) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, -2) != LUA_TNIL)
      return 1;
  }
  if (lua_getiuservalue(L, 1, U_CLASS) == LUA_TNIL)
    lua_pushvalue(L, 3);
  lua_pushvalue(L, 2);
  lua_gettable(L, -2);
  return 1;
}

/* core.proc_work(p) -> target, args */
static int lmp_proc_work(lua_State *L) {
  check_type(L);
  lua_getiuservalue(L, 1, U_TARGET);
  lua_getiuservalue(L, 1, U_ARGS);
  return 2;
}

/* core.proc_assign(p, class, fields, target, args) */
static int lmp_proc_assign(lua_State *L) {
  int i;

  check_type(L);
  lua_settop(L, 1 + LMP_BOX_VALUES);
  for (i = LMP_BOX_VALUES; i > 0; i--)
    lua_setiuservalue(L, 1, i);
  return 0;
}

/* core.proc_self() -> Process */
static int lmp_proc_self(lua_State *L) {
  int rc = mp_enter();

  if (rc < 0)
    return lmp_raise(L, rc, "current_process");
  lmp_box_push(L, mp_proc_self());
  return 1;
}

/* core.proc_parent() -> Process | nil */
static int lmp_proc_parent(lua_State *L) {
  mp_ref parent = mp_entered() ? mp_proc_parent() : MP_REF_EMPTY;

  if (parent == MP_REF_EMPTY)
    return 0;
  lmp_box_push(L, parent);
  return 1;
}

/* core.proc_children() -> list of those that run */
static int lmp_proc_children(lua_State *L) {
  struct lmp_box *b;
  unsigned at = 0;
  lua_Integer n = 0;

  lua_settop(L, 0);
  lua_newtable(L);
  if (!mp_entered())
    return 1;
  for (;;) {
    b = lmp_box_new(L, MP_TYPE_PROC);
    if (mp_proc_child(at, &b->held) < 0)
      break;
    if (mp_proc_alive(b->held)) {
      at++;
      lmp_box_push(L, b->held);
      lua_rawseti(L, 1, ++n);
    } else if (mp_proc_join(b->held, MP_NOW) < 0) {
      at++;
    } /* else it has left the list */
    lmp_box_close(b);
    lua_settop(L, 1);
  }
  lua_settop(L, 1);
  return 1;
}

/* core.proc_name(p [, new]) -> name */
static int lmp_proc_name(lua_State *L) {
  struct lmp_box *b = check(L);
  char name[MP_NAME_MAX + 1];

  if (!lua_isnoneornil(L, 2)) {
    size_t len;
    const char *s = luaL_checklstring(L, 2, &len);

    luaL_argcheck(L, len > 0 && len <= MP_NAME_MAX && strlen(s) == len, 2,
                  "a name has 1 to 63 bytes, none of them NUL");
    (void)mp_proc_rename(b->held, s);
  }
  (void)mp_proc_name(b->held, name);
  lua_pushstring(L, name);
  return 1;
}

/* core.proc_daemon(p [, new]) -> boolean */
static int lmp_proc_daemon(lua_State *L) {
  struct lmp_box *b = check(L);
  int rc;

  if (!lua_isnone(L, 2)) {
    luaL_checktype(L, 2, LUA_TBOOLEAN);
    rc = mp_proc_set_flags(b->held, lua_toboolean(L, 2) ? MP_PROC_DAEMON : 0);
    if (rc < 0)
      return lmp_raise(L, rc, "daemon");
  }
  lua_pushboolean(L, mp_proc_flags(b->held) & MP_PROC_DAEMON);
  return 1;
}

/* core.proc_pid(p) -> pid | nil */
static int lmp_proc_pid(lua_State *L) {
  int pid = mp_proc_pid(check(L)->held);

  if (pid == 0)
    return 0;
  lua_pushinteger(L, pid);
  return 1;
}

/* core.proc_exitcode(p) -> code | nil */
static int lmp_proc_exitcode(lua_State *L) {
  int code;

  if (!mp_proc_exitcode(check(L)->held, &code))
    return 0;
  lua_pushinteger(L, code);
  return 1;
}

static int lmp_proc_alive(lua_State *L) {
  lua_pushboolean(L, mp_proc_alive(check(L)->held));
  return 1;
}

/* core.proc_gone(p): has it left the family? */
static int lmp_proc_gone(lua_State *L) {
  lua_pushboolean(L, mp_proc_gone(check(L)->held));
  return 1;
}

/* core.proc_join(p [, timeout]) -> true | false, "timeout" */
static int lmp_proc_join(lua_State *L) {
  struct lmp_box *b = check(L);
  int64_t deadline = lmp_deadline(L, 2);
  int rc;

  do {
    if (deadline == MP_FOREVER && mp_arm())
      (void)lmp_resume(L);
    rc = mp_proc_join(b->held, deadline);
  } while (rc == LMP_INTERRUPTED && lmp_resume(L));
  if (rc < 0)
    return lmp_refuse(L, rc, "join");
  lua_pushboolean(L, 1);
  return 1;
}

/* core.proc_signal(p, number) */
static int lmp_proc_signal(lua_State *L) {
  struct lmp_box *b = check(L);
  int rc = mp_proc_signal(b->held, (int)luaL_checkinteger(L, 2));

  if (rc < 0)
    return lmp_raise(L, rc, "signal");
  return 0;
}

/* core.proc_sentinel(p) -> descriptor */
static int lmp_proc_sentinel(lua_State *L) {
  struct lmp_box *b = check(L);
  int rc;

  if (b->fd < 0) {
    rc = mp_proc_fd(b->held);
    if (rc < 0)
      return lmp_raise(L, rc, "sentinel");
    b->fd = rc;
  }
  lua_pushinteger(L, b->fd);
  return 1;
}

static int lmp_proc_close(lua_State *L) {
  struct lmp_box *b = lmp_box_test(L, 1);

  if (!b || b->kind != MP_TYPE_PROC)
    return luaL_typeerror(L, 1, "mp.Process");
  lmp_box_close(b);
  return 0;
}

static int lmp_proc_closed(lua_State *L) {
  struct lmp_box *b = lmp_box_test(L, 1);

  if (!b || b->kind != MP_TYPE_PROC)
    return luaL_typeerror(L, 1, "mp.Process");
  lua_pushboolean(L, b->held == MP_REF_EMPTY);
  return 1;
}

/* Plan and answer.  A plan is two values: what must be in place before the
 * other can be decoded (paths), and the work. */

static int lmp_proc_set_plan(lua_State *L) {
  struct lmp_box *b = check(L);
  struct lmp_packer *work;
  struct mp_iov *iov;
  struct mp_out out;
  const char *setup;
  size_t len;
  uint32_t head;
  unsigned i;
  int rc;

  luaL_checkany(L, 3);
  lua_settop(L, 3);
  lua_pushcfunction(L, lmp_codec_encode);
  lua_pushvalue(L, 2);
  lua_call(L, 1, 1);
  setup = lua_tolstring(L, -1, &len);
  work = lmp_pack(L, 3, 0, "start: ");
  iov = lua_newuserdatauv(L, (work->out.niov + 2) * sizeof *iov, 0);
  head = (uint32_t)len;
  iov[0].base = &head;
  iov[0].len = sizeof head;
  iov[1].base = setup;
  iov[1].len = len;
  for (i = 0; i < work->out.niov; i++)
    iov[i + 2] = work->out.iov[i];
  out =
      (struct mp_out){iov, work->out.niov + 2, work->out.nrefs, work->out.refs};
  rc = mp_proc_set_plan(b->held, &out);
  return rc < 0 ? lmp_raise(L, rc, "start") : 0;
}

/* core.proc_set_answer(value) */
static int lmp_proc_set_answer(lua_State *L) {
  struct lmp_packer *p;
  int rc;

  lua_settop(L, 1);
  p = lmp_pack(L, 1, 0, "result");
  rc = mp_proc_set_answer(mp_proc_self(), &p->out);
  return rc < 0 ? lmp_raise(L, rc, "result") : 0;
}

/* core.proc_answer(p) -> true, value | false */
static int lmp_proc_answer(lua_State *L) {
  struct lmp_box *b = check(L);
  struct mp_msg *m = lmp_view_push(L);
  int ok;

  if (mp_proc_answer(b->held, m) < 0) {
    lua_pushboolean(L, 0);
    return 1;
  }
  lua_pushboolean(L, 1);
  ok = lmp_unpack(L, m->data, m->len, m->refs, m->nrefs, 0);
  mp_msg_close(m);
  return ok ? 2 : lua_error(L);
}

const luaL_Reg lmp_proc_functions[] = {{"proc_new", lmp_proc_new},
                                       {"proc_class", lmp_proc_class},
                                       {"proc_field", lmp_proc_field},
                                       {"proc_work", lmp_proc_work},
                                       {"proc_assign", lmp_proc_assign},
                                       {"proc_self", lmp_proc_self},
                                       {"proc_parent", lmp_proc_parent},
                                       {"proc_children", lmp_proc_children},
                                       {"proc_name", lmp_proc_name},
                                       {"proc_daemon", lmp_proc_daemon},
                                       {"proc_pid", lmp_proc_pid},
                                       {"proc_exitcode", lmp_proc_exitcode},
                                       {"proc_alive", lmp_proc_alive},
                                       {"proc_gone", lmp_proc_gone},
                                       {"proc_join", lmp_proc_join},
                                       {"proc_signal", lmp_proc_signal},
                                       {"proc_sentinel", lmp_proc_sentinel},
                                       {"proc_close", lmp_proc_close},
                                       {"proc_closed", lmp_proc_closed},
                                       {"proc_set_plan", lmp_proc_set_plan},
                                       {"proc_set_answer", lmp_proc_set_answer},
                                       {"proc_answer", lmp_proc_answer},
                                       {NULL, NULL}};
