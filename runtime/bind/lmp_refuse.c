/* lmp_refuse.c -- owns the words of a refusal.
 *
 * The frames at the moment of failure are the path to the value: nothing is
 * kept for it while all goes well.
 */
#include "lmp_pack.h"

#define SHOWN 12   /* frames shown at each end of a deep path */
#define KEY_MAX 64 /* bytes shown of a key */

static int is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static int is_name(const char *s, size_t len) {
  size_t i;

  if (len == 0 || len > KEY_MAX || !is_letter(s[0]))
    return 0;
  for (i = 1; i < len; i++) {
    if (!is_letter(s[i]) && !(s[i] >= '0' && s[i] <= '9'))
      return 0;
  }
  return 1;
}

static void add_quoted(luaL_Buffer *b, const char *s, size_t len) {
  size_t i;

  luaL_addchar(b, '"');
  for (i = 0; i < len && i < KEY_MAX; i++) {
    if (s[i] == '"' || s[i] == '\\')
      luaL_addchar(b, '\\');
    luaL_addchar(b, (unsigned char)s[i] < ' ' ? '?' : s[i]);
  }
  luaL_addstring(b, i < len ? "...\"" : "\"");
}

/* A key of a table.  `b` may have a box on top, so idx is absolute. */
static void add_key(lua_State *L, luaL_Buffer *b, int idx) {
  size_t len;
  const char *s;

  switch (lua_type(L, idx)) {
  case LUA_TSTRING:
    s = lua_tolstring(L, idx, &len);
    if (is_name(s, len)) {
      if (luaL_buffaddr(b)[luaL_bufflen(b) - 1] != ' ') /* a field is a root */
        luaL_addchar(b, '.');
      luaL_addlstring(b, s, len);
      return;
    }
    luaL_addchar(b, '[');
    add_quoted(b, s, len);
    break;
  case LUA_TNUMBER:
  case LUA_TBOOLEAN:
    luaL_addchar(b, '[');
    luaL_tolstring(L, idx, NULL);
    luaL_addvalue(b);
    break;
  default:
    luaL_addstring(b, "[a ");
    luaL_addstring(b, luaL_typename(L, idx));
  }
  luaL_addchar(b, ']');
}

static void add_index(lua_State *L, luaL_Buffer *b, const char *open,
                      lua_Integer i) {
  lua_pushfstring(L, "%s[%I]", open, (LUAI_UACINT)i);
  luaL_addvalue(b);
}

static void add_upvalue(lua_State *L, luaL_Buffer *b,
                        const struct lmp_frame *f) {
  const char *name = lua_getupvalue(L, f->slot, (int)f->i);

  lua_pop(L, 1);
  luaL_addstring(b, ", upvalue '");
  luaL_addstring(b, name && *name ? name : "?");
  luaL_addchar(b, '\'');
}

static void add_frame(lua_State *L, luaL_Buffer *b, const struct lmp_frame *f) {
  switch (f->kind) {
  case LMP_K_DENSE:
  case LMP_K_PART:
    add_index(L, b, "", f->i);
    break;
  case LMP_K_PAIRS:
    if (f->key)
      luaL_addstring(b, ", key");
    else
      add_key(L, b, f->slot + 1);
    break;
  case LMP_K_META:
    luaL_addstring(b, ", metatable");
    break;
  case LMP_K_REDUCE:
    add_index(L, b, ", __reduce", f->i);
    break;
  case LMP_K_UPVALUE:
    add_upvalue(L, b, f);
    break;
  default:
    lua_rawgeti(L, f->slot + 1, f->i);
    lua_pushfstring(L, ", global '%s'", lua_tostring(L, -1));
    lua_remove(L, -2);
    luaL_addvalue(b);
  }
}

static void push_path(struct lmp_enc *e) {
  luaL_Buffer b;
  size_t i;

  luaL_buffinit(e->L, &b);
  luaL_addstring(&b, e->root);
  for (i = 0; i < e->depth; i++) {
    if (i == SHOWN && e->depth > 2 * SHOWN) {
      luaL_addstring(&b, " ... ");
      i = e->depth - SHOWN;
    }
    add_frame(e->L, &b, &e->frames[i]);
  }
  luaL_pushresult(&b);
}

/* The string on top ends the message.  The packer is free again. */
static _Noreturn void raise_message(struct lmp_enc *e) {
  lua_State *L = e->L;

  push_path(e);
  lua_insert(L, -2);
  lua_pushliteral(L, ": ");
  lua_insert(L, -2);
  lua_concat(L, 3);
  if (e->flags & LMP_NAMED) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  e->busy = 0;
  lua_error(L);
  __builtin_unreachable();
}

void lmp__refuse(struct lmp_enc *e, const char *what) {
  if (!lua_checkstack(e->L, 20)) { /* LUAI_MAXSTACK keeps some in reserve */
    e->busy = 0;
    lua_settop(e->L, e->base + LMP_S_VALUE);
    luaL_error(e->L, "%s: cannot send %s", e->root, what);
  }
  lua_pushfstring(e->L, "cannot send %s", what);
  raise_message(e);
}

void lmp__refuse_with(struct lmp_enc *e) {
  if (lua_type(e->L, -1) != LUA_TSTRING)
    lua_pushfstring(e->L, "its __reduce raised a %s", luaL_typename(e->L, -1));
  raise_message(e);
}

void lmp__refuse_top(struct lmp_enc *e) {
  lua_State *L = e->L;
  const char *what = luaL_typename(L, -1);

  lua_checkstack(L, 20);
  if (lua_islightuserdata(L, -1)) {
    what = "light userdata";
  } else if (lua_iscfunction(L, -1)) {
    what = "C function";
  } else if (lua_type(L, -1) == LUA_TUSERDATA &&
             luaL_getmetafield(L, -1, "__name") == LUA_TSTRING) {
    lua_pushfstring(L, "a userdata (%s)", lua_tostring(L, -1));
    lmp__refuse(e, lua_tostring(L, -1));
  }
  lua_pushfstring(L, "a %s", what);
  lmp__refuse(e, lua_tostring(L, -1));
}
