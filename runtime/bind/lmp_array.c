/* lmp_array.c -- elements 1 .. n of tables, both ways.
 *
 * Numbers of one kind that follow each other are packed: RUN_MIN or more
 * integers, or floats, become one LMP_T_RUN... item, the integers as narrow as
 * the widest of them allows.
 */
#include "lmp_pack.h"

#define RUN_MIN 6 /* shorter runs are written as single numbers */
#define BLOCK 256 /* numbers for which room is made at once */

/* ---- packing ---- */

/* Push the value of the next element.  Below it lies a key: the element's
 * index as long as lua_next gives 1, 2, .. (which saves a second pass over
 * the array for the pairs), then nil. */
static inline void next_element(lua_State *L, struct lmp_frame *f) {
  f->i++;
  if (f->ordered) {
    if (lua_next(L, f->slot)) {
      if (lua_isinteger(L, -2) && lua_tointeger(L, -2) == f->i)
        return;
      lua_pop(L, 2);
    }
    f->ordered = 0;
    lua_pushnil(L);
  }
  lua_rawgeti(L, f->slot, f->skip + f->i);
}

static void narrow(unsigned char *data, size_t n, unsigned width) {
  size_t i;

  for (i = 0; i < n; i++) {
    uint64_t v;
    memcpy(&v, data + i * 8, 8);
    if (width == 1) {
      data[i] = (unsigned char)v;
    } else if (width == 2) {
      uint16_t w = LMP_LE16((uint16_t)v);
      memcpy(data + i * 2, &w, 2);
    } else {
      uint32_t w = LMP_LE32((uint32_t)v);
      memcpy(data + i * 4, &w, 4);
    }
  }
}

/* The numbers of a run lie in buf from `start` + 5 on, 8 bytes each and as
 * the machine has them; `mag` has every bit that some |integer| has. */
static void close_run(struct lmp_enc *e, size_t start, int ints, uint64_t mag) {
  unsigned char *head = e->buf + start;
  size_t n = (e->len - start - 5) / 8;
  uint32_t count = LMP_LE32((uint32_t)n);
  unsigned log = mag < 0x80 ? 0 : mag < 0x8000 ? 1 : mag < 0x80000000 ? 2 : 3;

  if (!ints) {
    head[0] = LMP_T_RUNF;
    log = 3;
  } else {
    head[0] = (unsigned char)(LMP_T_RUN8 + log);
  }
  memcpy(head + 1, &count, 4);
  if (log < 3)
    narrow(head + 5, n, 1u << log);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  else
    for (size_t i = 0; i < n; i++) {
      uint64_t v;
      memcpy(&v, head + 5 + i * 8, 8);
      v = LMP_LE64(v);
      memcpy(head + 5 + i * 8, &v, 8);
    }
#endif
  e->len = start + 5 + (n << log);
}

static void undo_run(struct lmp_enc *e, size_t start, int ints) {
  uint64_t few[RUN_MIN];
  size_t n = (e->len - start - 5) / 8;
  size_t i;

  memcpy(few, e->buf + start + 5, n * 8);
  e->len = start;
  for (i = 0; i < n; i++) {
    if (ints) {
      lmp__put_integer(e, (lua_Integer)few[i]);
    } else {
      lua_Number v;
      memcpy(&v, &few[i], 8);
      lmp__put_float(e, v);
    }
  }
}

/* Is the value on top a float?  The question whether it is an integer is
 * asked only where the number does not tell. */
static int is_float(lua_State *L, lua_Number *v) {
  if (lua_type(L, -1) != LUA_TNUMBER)
    return 0;
  *v = lua_tonumber(L, -1);
  if (!(*v >= -9007199254740992.0 && *v <= 9007199254740992.0) ||
      (lua_Number)(lua_Integer)*v == *v)
    return !lua_isinteger(L, -1);
  return 1;
}

/* Store the integer on top, and those that follow, up to BLOCK; returns how
 * many.  *more: another value is on top (else no element is left). */
static size_t integers(lua_State *L, struct lmp_frame *f, unsigned char *at,
                       uint64_t *mag, int *more) {
  size_t n = 0;

  do {
    lua_Integer v = lua_tointeger(L, -1);
    *mag |= (uint64_t)(v < 0 ? ~v : v);
    memcpy(at + n++ * 8, &v, 8);
    lua_pop(L, 1);
    *more = f->i < f->n;
    if (!*more)
      break;
    next_element(L, f);
  } while (n < BLOCK && lua_isinteger(L, -1));
  return n;
}

static size_t floats(lua_State *L, struct lmp_frame *f, unsigned char *at,
                     int *more) {
  lua_Number v = lua_tonumber(L, -1);
  size_t n = 0;

  do {
    memcpy(at + n++ * 8, &v, 8);
    lua_pop(L, 1);
    *more = f->i < f->n;
    if (!*more)
      break;
    next_element(L, f);
  } while (is_float(L, &v) && n < BLOCK);
  return n;
}

/* Write the number on top and all that follow of its kind.  Returns 1 when
 * the element that ended the run is on top, 0 when none is left. */
static int put_run(struct lmp_enc *e, struct lmp_frame *f) {
  lua_State *L = e->L;
  int ints = lua_isinteger(L, -1);
  size_t start = e->len;
  uint64_t mag = 0;
  int more;
  size_t n;

  lmp__room(e, 5);
  e->len += 5;
  do {
    unsigned char *at = lmp__room(e, BLOCK * 8);
    n = ints ? integers(L, f, at, &mag, &more) : floats(L, f, at, &more);
    e->len += n * 8;
  } while (more && n == BLOCK && lua_type(L, -1) == LUA_TNUMBER &&
           lua_isinteger(L, -1) == ints &&
           e->len - start < (size_t)UINT32_MAX * 8 - BLOCK * 8);
  if (e->len - start - 5 < RUN_MIN * 8)
    undo_run(e, start, ints);
  else
    close_run(e, start, ints, mag);
  return more;
}

int lmp__step_dense(struct lmp_enc *e, struct lmp_frame *f) {
  lua_State *L = e->L;

  while (f->i < f->n) {
    int rc;
    next_element(L, f);
    if (f->n - f->i >= RUN_MIN && lua_type(L, -1) == LUA_TNUMBER &&
        !put_run(e, f))
      break;
    rc = lmp__put(e);
    if (rc != LMP_DONE)
      return rc;
  }
  if (f->kind == LMP_K_PART) {
    lua_settop(L, f->slot - 1);
    e->depth--;
    return LMP_DONE;
  }
  f->kind = LMP_K_PAIRS;
  if (f->ordered)
    f->n = 0; /* the key on top is n, and no pair's key is in 1..n */
  return LMP_DONE;
}

/* ---- unpacking ---- */

static lua_Integer run_integer(const unsigned char *at, unsigned log) {
  uint16_t w16;
  uint32_t w32;
  uint64_t w64;

  switch (log) {
  case 0:
    return (int8_t)*at;
  case 1:
    memcpy(&w16, at, 2);
    return (int16_t)LMP_LE16(w16);
  case 2:
    memcpy(&w32, at, 4);
    return (int32_t)LMP_LE32(w32);
  default:
    memcpy(&w64, at, 8);
    return (lua_Integer)LMP_LE64(w64);
  }
}

static lua_Number run_float(const unsigned char *at) {
  uint64_t bits;
  lua_Number v;

  memcpy(&bits, at, 8);
  bits = LMP_LE64(bits);
  memcpy(&v, &bits, 8);
  return v;
}

/* A run of numbers, from element f->i + 1 on. */
static int get_run(struct lmp_dec *d, struct lmp_dframe *f) {
  unsigned tag = *d->at++;
  unsigned log = tag == LMP_T_RUNF ? 3 : tag - LMP_T_RUN8;
  lua_State *L = d->L;
  int slot = f->slot;
  size_t i = f->i;
  uint32_t n;
  size_t end;

  if (lmp__get_u32(d, &n) != LMP_DONE)
    return LMP_BAD;
  if (n > f->n - i || n > (size_t)(d->end - d->at) >> log)
    return lmp__bad(d, "too long a run of numbers");
  end = i + n;
  while (i < end) {
    if (tag == LMP_T_RUNF)
      lua_pushnumber(L, run_float(d->at));
    else
      lua_pushinteger(L, run_integer(d->at, log));
    d->at += (size_t)1 << log;
    lua_rawseti(L, slot, (lua_Integer)++i);
  }
  f->i = i;
  return LMP_DONE;
}

int lmp__step_ddense(struct lmp_dec *d, struct lmp_dframe *f, int have) {
  lua_State *L = d->L;

  for (;;) {
    int rc;
    if (have) {
      if (lua_isnil(L, -1))
        lua_pop(L, 1);
      else
        lua_rawseti(L, f->slot, (lua_Integer)f->i);
    }
    while (f->i < f->n && d->at < d->end && *d->at >= LMP_T_RUN8 &&
           *d->at <= LMP_T_RUNF) {
      d->item = d->at;
      if (get_run(d, f) != LMP_DONE)
        return LMP_BAD;
    }
    if (f->i == f->n)
      break;
    f->i++;
    rc = lmp__get(d);
    if (rc != LMP_DONE)
      return rc;
    have = 1;
  }
  f->kind = LMP_K_PAIRS;
  return LMP_DONE;
}
