/* lmp_scratch.c -- owns the place where messages arrive: one a state, and
 * owner of a message that is being decoded.  A decoder may call a constructor
 * that receives in its turn, which then makes a new one.
 */
#include "lmp.h"

static char scratch_key; /* registry: the state's struct lmp_scratch */

static int scratch_gc(lua_State *L) {
  struct lmp_scratch *s = lua_touserdata(L, 1);

  mp_msg_close(&s->msg);
  return 0;
}

static struct lmp_scratch *new_scratch(lua_State *L) {
  struct lmp_scratch *s = lua_newuserdatauv(L, sizeof *s, 0);

  s->busy = 0;
  s->msg = MP_MSG_EMPTY;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, scratch_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &scratch_key);
  return s;
}

struct lmp_scratch *lmp_scratch_push(lua_State *L) {
  struct lmp_scratch *s;

  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &scratch_key) == LUA_TUSERDATA) {
    s = lua_touserdata(L, -1);
    if (!s->busy)
      return s;
  }
  lua_pop(L, 1);
  return new_scratch(L); /* one that an error left busy is forgotten here */
}

void lmp_scratch_release(struct lmp_scratch *s) {
  if (s->msg.parcel)
    mp_msg_close(&s->msg);
  s->busy = 0;
}

int lmp_scratch_value(lua_State *L, struct lmp_scratch *s) {
  int ok = lmp_unpack(L, s->msg.data, s->msg.len, s->msg.refs, s->msg.nrefs, 0);

  lmp_scratch_release(s);
  return ok ? 1 : lua_error(L);
}
