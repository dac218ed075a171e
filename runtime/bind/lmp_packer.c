/* lmp_packer.c -- owns the packer: its memory, its memo, its pieces.
 *
 * All memory is userdata that the packer's user values hold, so any lua_ call
 * may jump at any time and nothing needs a finalizer: a packer that an error
 * left busy is replaced, and goes with all it has.
 */
#include "lmp_pack.h"

#define KEEP_BUF ((size_t)1 << 20)   /* bytes kept between messages */
#define KEEP_ITEMS ((size_t)1 << 15) /* frames, memo entries kept */
#define KEEP_STRINGS ((size_t)1 << 16)
#define FIRST_MEMO 64

static const char packer_key;

/* The user values of a packer. */
enum {
  U_ANCHORS = 1,
  U_NAMES, /* keeps e->names alive */
  U_BUF,
  U_FRAMES,
  U_MEMO,
  U_IOV,
  U_REFS,
  U_LAST = U_REFS
};

/* Double *cap items of `size` bytes until `need` fit; the first `used` are
 * kept. */
static void *widen(struct lmp_enc *e, int which, const void *old, size_t *cap,
                   size_t need, size_t used, size_t size) {
  size_t new = *cap ? *cap : 512 / size + 1;
  void *p;

  while (new < need) {
    if (new > SIZE_MAX / 2 / size)
      luaL_error(e->L, "not enough memory");
    new *= 2;
  }
  p = lua_newuserdatauv(e->L, new *size, 0);
  if (used > 0)
    memcpy(p, old, used * size);
  lua_setiuservalue(e->L, e->base + LMP_S_PACKER, which);
  *cap = new;
  return p;
}

/* Forget a block of the packer on top. */
static void drop(lua_State *L, int which, size_t *cap) {
  lua_pushnil(L);
  lua_setiuservalue(L, -2, which);
  *cap = 0;
}

/* Give back what a big message left behind, unless they are all big. */
static void trim(lua_State *L, struct lmp_enc *e) {
  if (e->cap > KEEP_BUF && e->len < e->cap / 8)
    drop(L, U_BUF, &e->cap);
  if (e->frames_cap > KEEP_ITEMS)
    drop(L, U_FRAMES, &e->frames_cap);
  if (e->memo_cap > KEEP_ITEMS && e->memo_used < e->memo_cap / 16)
    drop(L, U_MEMO, &e->memo_cap);
  if (e->iov_cap > KEEP_ITEMS)
    drop(L, U_IOV, &e->iov_cap);
  if (e->refs_cap > KEEP_ITEMS)
    drop(L, U_REFS, &e->refs_cap);
}

static struct lmp_enc *packer_new(lua_State *L) {
  struct lmp_enc *e = lua_newuserdatauv(L, sizeof *e, U_LAST);

  memset(e, 0, sizeof *e);
  e->names = lmp__names(L);
  lua_setiuservalue(L, -2, U_NAMES);
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  e->globals = lua_topointer(L, -1);
  lua_pop(L, 1);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &packer_key);
  return e;
}

/* Push a packer that nobody uses, and begin a message in it. */
struct lmp_enc *lmp__packer(lua_State *L) {
  struct lmp_enc *e = NULL;

  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &packer_key) == LUA_TUSERDATA)
    e = lua_touserdata(L, -1);
  if (e == NULL || e->busy) {
    lua_pop(L, 1);
    e = packer_new(L);
  } else {
    trim(L, e);
  }
  if (e->kept > 0) { /* by the last message */
    lua_pushnil(L);
    lua_setiuservalue(L, -2, U_ANCHORS);
  }
  e->busy = 1;
  e->L = L;
  e->anchors = e->rebuilt = e->fresh = 0;
  e->kept = 0;
  return e;
}

/* Begin the message, perhaps not for the first time. */
void lmp__packer_reset(struct lmp_enc *e) {
  e->len = e->depth = e->niov = e->nrefs = e->seg = 0;
  e->memo_used = 0;
  e->next = 0;
  e->head = 0;
  e->nkeys = e->anchors ? LMP_KEYS : 0; /* addresses may be used again */
  e->epoch++;
  if (e->epoch == 0) {
    if (e->memo != NULL)
      memset(e->memo, 0, e->memo_cap * sizeof *e->memo);
    memset(e->keys, 0, sizeof e->keys);
    e->epoch = 1;
  }
}

void lmp__grow(struct lmp_enc *e, size_t n) {
  if (n > SIZE_MAX / 2 - e->len)
    luaL_error(e->L, "not enough memory");
  e->buf = widen(e, U_BUF, e->buf, &e->cap, e->len + n, e->len, 1);
}

static struct mp_iov *next_piece(struct lmp_enc *e) {
  if (e->niov == e->iov_cap)
    e->iov = widen(e, U_IOV, e->iov, &e->iov_cap, e->niov + 1, e->niov,
                   sizeof *e->iov);
  return &e->iov[e->niov];
}

/* End the current piece of buf; the next begins here. */
static void cut(struct lmp_enc *e) {
  *next_piece(e) = (struct mp_iov){NULL, e->len - e->seg};
  e->niov++;
  e->seg = e->len;
}

void lmp__piece(struct lmp_enc *e, const char *s, size_t len) {
  cut(e);
  *next_piece(e) = (struct mp_iov){s, len};
  e->niov++;
}

/* The buffer moves no more: fill in `out`.  A packer that keeps big strings
 * alive is not cached any longer, so that they go with it. */
void lmp__packer_finish(struct lmp_enc *e) {
  size_t at = 0;
  size_t total = 0;
  size_t i;

  if (e->len > e->seg || e->niov == 0)
    cut(e);
  for (i = 0; i < e->niov; i++) {
    if (i % 2 == 0) {
      e->iov[i].base = e->buf + at;
      at += e->iov[i].len;
    }
    total += e->iov[i].len;
  }
  e->pub.len = total;
  e->pub.out =
      (struct mp_out){e->iov, (unsigned)e->niov, (unsigned)e->nrefs, e->refs};
  if (e->kept > KEEP_STRINGS) {
    lua_pushnil(e->L);
    lua_rawsetp(e->L, LUA_REGISTRYINDEX, &packer_key);
  }
  e->busy = 0;
}

static struct lmp_memo *probe(struct lmp_enc *e, uint64_t key) {
  size_t mask = e->memo_cap - 1;
  size_t i = (size_t)((key * 0x9E3779B97F4A7C15u) >> 32) & mask;

  while (e->memo[i].epoch == e->epoch && e->memo[i].key != key)
    i = (i + 1) & mask;
  return &e->memo[i];
}

/* The old entries are still in the old block: nothing else has run. */
static void memo_grow(struct lmp_enc *e) {
  const struct lmp_memo *old = e->memo;
  size_t old_cap = e->memo_cap;
  size_t cap = old_cap ? old_cap * 2 : FIRST_MEMO;
  struct lmp_memo *new = lua_newuserdatauv(e->L, cap * sizeof *new, 0);
  size_t i;

  memset(new, 0, cap * sizeof *new);
  e->memo = new;
  e->memo_cap = cap;
  for (i = 0; i < old_cap; i++) {
    if (old[i].epoch == e->epoch)
      *probe(e, old[i].key) = old[i];
  }
  lua_setiuservalue(e->L, e->base + LMP_S_PACKER, U_MEMO);
}

/* Its entry if it was seen in this message, else a new one: the caller looks
 * at epoch, and if it is not the message's, sets epoch and val. */
struct lmp_memo *lmp__memo(struct lmp_enc *e, uint64_t key) {
  struct lmp_memo *m;

  if (e->memo_used * 2 >= e->memo_cap)
    memo_grow(e);
  m = probe(e, key);
  if (m->epoch != e->epoch) {
    m->key = key;
    e->memo_used++;
  }
  return m;
}

/* The index of an object of the family among the message's refs. */
uint32_t lmp__ref(struct lmp_enc *e, mp_ref name) {
  struct lmp_memo *m = lmp__memo(e, name | (uint64_t)1 << 63);

  if (m->epoch != e->epoch) {
    if (e->nrefs == e->refs_cap)
      e->refs = widen(e, U_REFS, e->refs, &e->refs_cap, e->nrefs + 1, e->nrefs,
                      sizeof *e->refs);
    e->refs[e->nrefs] = name;
    m->epoch = e->epoch;
    m->val = (uint32_t)e->nrefs++;
  }
  return m->val;
}

struct lmp_frame *lmp__frame(struct lmp_enc *e, int slot, enum lmp_kind kind) {
  struct lmp_frame *f;

  if (e->depth >= LMP_SHALLOW &&
      (e->depth >= LMP_DEPTH_MAX || !lua_checkstack(e->L, 12)))
    lmp__refuse(e, "so deep a nesting");
  if (e->depth == e->frames_cap)
    e->frames = widen(e, U_FRAMES, e->frames, &e->frames_cap, e->depth + 1,
                      e->depth, sizeof *e->frames);
  f = &e->frames[e->depth++];
  *f = (struct lmp_frame){.slot = slot, .kind = (unsigned char)kind};
  return f;
}

void lmp__anchor(struct lmp_enc *e, int idx) {
  lua_State *L = e->L;
  int list = e->base + LMP_S_ANCHORS;

  idx = lua_absindex(L, idx);
  if (lua_isnil(L, list)) {
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_replace(L, list);
    lua_setiuservalue(L, e->base + LMP_S_PACKER, U_ANCHORS);
  }
  lua_pushvalue(L, idx);
  lua_rawseti(L, list, (lua_Integer)lua_rawlen(L, list) + 1);
  e->kept += lua_type(L, idx) == LUA_TSTRING ? lua_rawlen(L, idx) : 64;
}
