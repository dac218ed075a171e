/* lmp_chunk.c -- owns what we know about bytecode.
 *
 * Finds the names of the globals that a function mentions.  A global x is
 * _ENV.x, where _ENV is an upvalue; in the bytecode of Lua 5.4 that is
 *   GETTABUP A B C              B the upvalue, C the constant "x"
 * or, where the constant's index or its length is too great for that,
 *   GETUPVAL A B, LOADK A' x    and then GETTABLE or SETTABLE.
 * Nested functions reach _ENV through the upvalues of those around them.
 *
 * The chunk comes from lua_dump a moment ago, yet every read is checked; a
 * test in lmp_func.c makes sure that this Lua writes what is read here.
 */
#include "lmp_pack.h"

#define NESTING_MAX 200 /* as the parser of Lua */

enum { OP_LOADK = 3, OP_LOADKX = 4, OP_GETUPVAL = 9, OP_GETTABUP = 11 };

#define OPCODE(i) ((i)&0x7F)
#define ARG_A(i) ((i) >> 7 & 0xFF)
#define ARG_B(i) ((i) >> 16 & 0xFF)
#define ARG_C(i) ((i) >> 24 & 0xFF)
#define ARG_BX(i) ((i) >> 15)
#define ARG_AX(i) ((i) >> 7)

enum {
  K_NIL = 0x00,
  K_FALSE = 0x01,
  K_TRUE = 0x11,
  K_INT = 0x03,
  K_FLOAT = 0x13,
  K_SHORT = 0x04,
  K_LONG = 0x14
};

struct reader {
  lua_State *L; /* NULL: only look whether it is sound */
  const unsigned char *at, *end;
  int bad;   /* read past the end, or something unknown */
  int depth; /* of nested functions */
};

/* What of one function the search needs. */
struct proto {
  const unsigned char *code;      /* 4 bytes each */
  const unsigned char *constants; /* as dumped */
  size_t ncode, nconstants;
};

static const unsigned char *skip(struct reader *r, size_t n) {
  const unsigned char *p = r->at;

  if (r->bad || n > (size_t)(r->end - r->at)) {
    r->bad = 1;
    return NULL;
  }
  r->at += n;
  return p;
}

static unsigned get_byte(struct reader *r) {
  const unsigned char *p = skip(r, 1);

  return p ? *p : 0;
}

/* Seven bits a byte, the highest first; the last byte has bit 7 set. */
static size_t get_size(struct reader *r) {
  size_t x = 0;

  while (!r->bad) {
    unsigned b = get_byte(r);
    if (x > SIZE_MAX >> 8)
      r->bad = 1;
    x = x << 7 | (b & 0x7F);
    if (b & 0x80)
      break;
  }
  return x;
}

/* Length + 1, or 0 for none. */
static const unsigned char *get_string(struct reader *r, size_t *len) {
  size_t n = get_size(r);

  *len = n > 0 ? n - 1 : 0;
  return skip(r, *len);
}

/* One constant; a string's bytes, or NULL for another kind. */
static const unsigned char *get_constant(struct reader *r, size_t *len) {
  switch (get_byte(r)) {
  case K_NIL:
  case K_FALSE:
  case K_TRUE:
    break;
  case K_INT:
  case K_FLOAT:
    skip(r, 8);
    break;
  case K_SHORT:
  case K_LONG:
    return get_string(r, len);
  default:
    r->bad = 1;
  }
  return NULL;
}

static void add_name(struct reader *r, const unsigned char *s, size_t len) {
  if (s == NULL)
    return;
  lua_pushlstring(r->L, (const char *)s, len);
  lua_rawseti(r->L, -2, (lua_Integer)lua_rawlen(r->L, -2) + 1);
}

/* The names whose constants are in the set of the first 256. */
static void add_used(struct reader *r, const struct proto *p,
                     const unsigned char *used) {
  struct reader k = *r;
  size_t i;

  k.at = p->constants;
  for (i = 0; i < p->nconstants && i < 256; i++) {
    size_t len = 0;
    const unsigned char *s = get_constant(&k, &len);
    if (used[i / 8] >> i % 8 & 1)
      add_name(r, s, len);
  }
}

/* The name that is constant i: far up, and rare. */
static void add_far(struct reader *r, const struct proto *p, size_t i) {
  struct reader k = *r;
  const unsigned char *s = NULL;
  size_t len = 0;

  if (i >= p->nconstants)
    return;
  for (k.at = p->constants; i + 1 > 0; i--)
    s = get_constant(&k, &len);
  add_name(r, s, len);
}

static uint32_t instruction(const struct proto *p, size_t pc) {
  uint32_t i;

  memcpy(&i, p->code + pc * 4, 4);
  return i;
}

static int has(const unsigned char *env, uint32_t i) {
  return env[i / 8] >> i % 8 & 1;
}

static void search(struct reader *r, const struct proto *p,
                   const unsigned char *env) {
  unsigned char used[32] = {0};
  size_t pc;

  for (pc = 0; pc < p->ncode; pc++) {
    uint32_t i = instruction(p, pc);
    if (OPCODE(i) == OP_GETTABUP && has(env, ARG_B(i))) {
      used[ARG_C(i) / 8] |= (unsigned char)(1u << ARG_C(i) % 8);
    } else if (OPCODE(i) == OP_GETUPVAL && has(env, ARG_B(i)) &&
               pc + 2 < p->ncode) {
      uint32_t k = instruction(p, pc + 1);
      if (OPCODE(k) == OP_LOADK)
        add_far(r, p, ARG_BX(k));
      else if (OPCODE(k) == OP_LOADKX)
        add_far(r, p, ARG_AX(instruction(p, pc + 2)));
    }
  }
  add_used(r, p, used);
}

static void skip_debug(struct reader *r) {
  size_t len, n;

  skip(r, get_size(r)); /* line info */
  for (n = get_size(r); n > 0 && !r->bad; n--) {
    get_size(r);
    get_size(r);
  }
  for (n = get_size(r); n > 0 && !r->bad; n--) { /* local variables */
    get_string(r, &len);
    get_size(r);
    get_size(r);
  }
  for (n = get_size(r); n > 0 && !r->bad; n--) /* names of upvalues */
    get_string(r, &len);
}

static void get_head(struct reader *r, struct proto *p) {
  size_t len, i;

  get_string(r, &len); /* source */
  get_size(r);         /* lines */
  get_size(r);
  skip(r, 3); /* parameters, vararg, stack */
  p->ncode = get_size(r);
  if (p->ncode > SIZE_MAX / 4)
    r->bad = 1;
  p->code = skip(r, p->ncode * 4);
  p->nconstants = get_size(r);
  p->constants = r->at;
  for (i = 0; i < p->nconstants && !r->bad; i++)
    get_constant(r, &len);
}

/* Which of a function's upvalues are _ENV, given those of the one around
 * it (NULL for the outermost, whose set is known). */
static void get_upvalues(struct reader *r, const unsigned char *outer,
                         unsigned char *env) {
  size_t n = get_size(r);
  size_t i;

  for (i = 0; i < n && !r->bad; i++) {
    unsigned in_stack = get_byte(r);
    unsigned idx = get_byte(r);
    get_byte(r);
    if (outer != NULL && !in_stack && has(outer, idx) && i < 256)
      env[i / 8] |= (unsigned char)(1u << i % 8);
  }
}

static void function(struct reader *r, const unsigned char *outer,
                     const unsigned char *known) {
  unsigned char env[32] = {0};
  struct proto p;
  size_t n;

  if (known != NULL)
    memcpy(env, known, sizeof env);
  if (++r->depth > NESTING_MAX)
    r->bad = 1;
  get_head(r, &p);
  get_upvalues(r, outer, env);
  if (!r->bad && r->L != NULL)
    search(r, &p, env);
  for (n = get_size(r); n > 0 && !r->bad; n--)
    function(r, env, NULL);
  skip_debug(r);
  r->depth--;
}

static int read_chunk(struct reader *r, const unsigned char *env) {
  static const unsigned char head[] = "\x1bLua\x54\0\x19\x93\r\n\x1a\n\4\10\10";
  const unsigned char *p = skip(r, sizeof head - 1);

  if (p == NULL || memcmp(p, head, sizeof head - 1) != 0)
    return 0;
  skip(r, 8 + 8 + 1); /* a test integer, a test float, upvalues */
  function(r, NULL, env);
  return !r->bad && r->at == r->end;
}

int lmp__chunk_names(lua_State *L, const unsigned char *chunk, size_t len,
                     const unsigned char env[32]) {
  struct reader r = {L, chunk, chunk + len, 0, 0};

  return read_chunk(&r, env);
}

int lmp__chunk_sound(const unsigned char *chunk, size_t len) {
  struct reader r = {NULL, chunk, chunk + len, 0, 0};

  return read_chunk(&r, NULL);
}

uint64_t lmp__chunk_sum(const unsigned char *chunk, size_t len) {
  uint64_t sum = len * 0x9E3779B97F4A7C15u;

  while (len > 0) {
    size_t n = len < 8 ? len : 8;
    uint64_t word = 0;
    memcpy(&word, chunk, n);
    sum = (sum ^ LMP_LE64(word)) * 0xFF51AFD7ED558CCDu;
    sum ^= sum >> 29;
    chunk += n;
    len -= n;
  }
  return sum;
}
