/* lmp_codec.c -- core.encode and core.decode: the codec over strings. */
#include "lmp_pack.h"

static void push_pieces(lua_State *L, const struct mp_out *out, size_t len) {
  luaL_Buffer b;
  unsigned i;

  if (out->niov == 1) {
    lua_pushlstring(L, out->iov[0].base, len);
    return;
  }
  luaL_buffinitsize(L, &b, len);
  for (i = 0; i < out->niov; i++)
    luaL_addlstring(&b, out->iov[i].base, out->iov[i].len);
  luaL_pushresult(&b);
}

/* core.encode(v) -> string
 *
 * The packer is still busy while the string is made: a finalizer might run
 * then, and send something.
 */
int lmp_codec_encode(lua_State *L) {
  struct lmp_packer *p;
  struct lmp_enc *e;

  luaL_checkany(L, 1);
  p = lmp_pack(L, 1, LMP_NOREFS | LMP_NAMED, "encode: value");
  e = (struct lmp_enc *)p;
  e->busy = 1;
  push_pieces(L, &p->out, p->len);
  e->busy = 0;
  return 1;
}

/* core.decode(s [, code]) -> v | nil, message
 *
 * code = false refuses every function.
 */
int lmp_codec_decode(lua_State *L) {
  unsigned flags = 0;
  size_t len;
  const char *s;

  if (lua_type(L, 1) != LUA_TSTRING)
    luaL_typeerror(L, 1, "string");
  if (lua_isboolean(L, 2) && !lua_toboolean(L, 2))
    flags = LMP_NOCODE;
  s = lua_tolstring(L, 1, &len);
  if (lmp_unpack(L, s, len, NULL, 0, flags))
    return 1;
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}
