/* lmp_pack.h -- what the files of the codec share.
 *
 * A message is two bytes, LMP_MAGIC and LMP_F_ flags, then one item.  An
 * item is a tag byte and what the tag says; tags, not types, so that small
 * things are small.  Numbers wider than a byte are little-endian; a varint
 * is LEB128.
 *
 * Objects (tables, functions, what goes by name, what __reduce makes, long
 * strings) are numbered from 0 in the order of their tags; a function takes
 * one more number for each upvalue, which names the upvalue's cell.
 * Keys of pairs that are LMP_T_SHORT strings have numbers of their own, the
 * first LMP_KEYS of them.
 */
#ifndef LMP_PACK_H
#define LMP_PACK_H

#include <string.h>

#include "lmp.h"

#define LMP_MAGIC 0xA1 /* format 1 */

enum {
  LMP_F_BACKS = 1, /* some object is referred to again */
  LMP_F_KEYS = 2   /* some key is */
};

enum lmp_tag {
  LMP_T_END, /* ends the pairs of a table */
  LMP_T_NIL,
  LMP_T_FALSE,
  LMP_T_TRUE,
  LMP_T_INT,     /* varint, zigzag */
  LMP_T_FLOAT,   /* 8 bytes */
  LMP_T_STRING,  /* varint length, bytes */
  LMP_T_LONG,    /* the same, and numbered as an object */
  LMP_T_BACK,    /* varint: the object with that number */
  LMP_T_REF,     /* varint: index into the message's refs */
  LMP_T_META,    /* a table item, then the item of its metatable */
  LMP_T_REDUCE,  /* varint n; n items: a constructor and its arguments */
  LMP_T_GLOBALS, /* the receiver's globals */
  LMP_T_NAMED,   /* varint length, "module" or "module\0field" */
  LMP_T_FUNC,    /* see lmp_func.c */
  LMP_T_JOIN,    /* in place of an upvalue: varint number of its cell */

  /* u32 n, then n numbers; only among the elements of an array */
  LMP_T_RUN8 = 0x10, /* integers of 1, 2, 4, 8 bytes */
  LMP_T_RUN16,
  LMP_T_RUN32,
  LMP_T_RUN64,
  LMP_T_RUNF, /* floats */

  LMP_T_KEY, /* in place of a key: byte, its number */

  LMP_T_SMALL = 0x20, /* to 0x7F: the integer tag - LMP_SMALL_ZERO */
  LMP_T_SHORT = 0x80, /* to 0xBF: a string of tag - LMP_T_SHORT bytes */
  /* Low five bits: 0 there are no pairs (and no END), else a hint: 1 + log2
   * of their number, rounded up.  Pairs, END. */
  LMP_T_TABLE = 0xC0,
  /* The same, but first varint n and the elements 1 .. n. */
  LMP_T_ARRAY = 0xE0
};

#define LMP_SMALL_ZERO 0x30
#define LMP_SMALL_MIN (LMP_T_SMALL - LMP_SMALL_ZERO)
#define LMP_SMALL_MAX (LMP_T_SHORT - 1 - LMP_SMALL_ZERO)
#define LMP_SHORT_MAX (LMP_T_TABLE - 1 - LMP_T_SHORT)
#define LMP_HINT_MASK 0x1F
#define LMP_KEYS 256

/* Longer strings are not copied, but become pieces of their own. */
#define LMP_SPLIT 4096
/* A frame holds at most three slots of the Lua stack (LUAI_MAXSTACK). */
#define LMP_DEPTH_MAX 190000
/* Room for this many frames is on the stack from the start. */
#define LMP_SHALLOW 6
#define LMP_STACK (4 * LMP_SHALLOW + 12)

_Static_assert(sizeof(lua_Integer) == 8 && sizeof(lua_Number) == 8,
               "the format is made for 64-bit numbers");

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define LMP_LE16(x) __builtin_bswap16(x)
#define LMP_LE32(x) __builtin_bswap32(x)
#define LMP_LE64(x) __builtin_bswap64(x)
#else
#define LMP_LE16(x) (x)
#define LMP_LE32(x) (x)
#define LMP_LE64(x) (x)
#endif

/* What a step of the two walks answers. */
enum {
  LMP_DONE,  /* the item is complete */
  LMP_OPEN,  /* a frame was pushed; come back when it is complete */
  LMP_AGAIN, /* packing: start the message over (the index was stale) */
  LMP_BAD    /* unpacking: a message is on the stack, or in `why` */
};

/* ---- packing ------------------------------------------------------- */

enum lmp_kind {
  LMP_K_DENSE,   /* elements 1 .. n of a table */
  LMP_K_PART,    /* n elements of a table, as a table of their own */
  LMP_K_PAIRS,   /* what else the table holds */
  LMP_K_META,    /* its metatable */
  LMP_K_REDUCE,  /* the results of __reduce */
  LMP_K_UPVALUE, /* upvalues of a function */
  LMP_K_GLOBAL   /* globals that the function mentions */
};

/* A container whose items are being written.  Above its slot of the Lua
 * stack lie its key (tables), or the list of its items (the others). */
struct lmp_frame {
  lua_Integer i;         /* index of the current item */
  lua_Integer n;         /* number of items; of pairs: keys 1..n are done */
  size_t tag;            /* tables: offset of the tag, written at the end */
  size_t count;          /* pairs written */
  lua_Integer skip;      /* part: elements before its first */
  int slot;              /* the container, on the Lua stack */
  unsigned char kind;    /* enum lmp_kind */
  unsigned char meta;    /* table: has a metatable */
  unsigned char ordered; /* dense: lua_next has given 1, 2, .. so far */
  unsigned char key;     /* pairs: 1 while the key is being written */
};

/* An object seen in this message.  key is its address; cells of upvalues
 * count as objects; names of refs have bit 63 set. */
struct lmp_memo {
  uint64_t key;
  uint32_t epoch; /* the message it belongs to; any other: vacant */
  uint32_t val;   /* its number */
};

/* A key seen in this message: strings this short are known by address. */
struct lmp_key {
  const char *s;
  uint32_t epoch;
  uint32_t number;
};

#define LMP_PENDING 0x80000000u /* its __reduce is not through yet */

/* The packer.  One is cached in each lua_State; `busy` is set while a
 * message is made.  One that is found busy (a __reduce or a finalizer sends
 * something itself, or an error jumped out) is left to its user or to the
 * collector, and replaced. */
struct lmp_enc {
  struct lmp_packer pub; /* first */
  lua_State *L;          /* of this message */

  unsigned char *buf;
  size_t len, cap;
  struct lmp_frame *frames;
  size_t depth, frames_cap;
  struct lmp_memo *memo;
  size_t memo_cap, memo_used; /* a power of two; at most half is used */
  struct mp_iov *iov;         /* even: of buf, bases set at the end */
  size_t niov, iov_cap;
  mp_ref *refs;
  size_t nrefs, refs_cap;

  size_t kept; /* bytes, about, that the anchors keep alive */
  size_t seg;  /* offset in buf where the current piece begins */
  uint32_t epoch;
  uint32_t next; /* number of the next object */
  int base;      /* slots: see LMP_S_ */
  unsigned flags;
  const char *root;
  const void *globals; /* address of the globals when last looked */
  struct lmp_names *names;
  unsigned nkeys;          /* keys that have a number */
  struct lmp_key keys[64]; /* by a hash of the address */
  unsigned char busy;
  unsigned char head;    /* LMP_F_ flags of the message */
  unsigned char fresh;   /* the index was checked in this message */
  unsigned char rebuilt; /* .. and made anew */
  unsigned char anchors; /* keep all tables: Lua code may run */
  unsigned char parser;  /* lmp_chunk.c: 1 tested good, 2 bad */
};

/* Slots of the Lua stack, from base. */
enum {
  LMP_S_PACKER = 1,
  LMP_S_ANCHORS,  /* list of what must outlive the message, or nil */
  LMP_S_CAPTURED, /* set of the globals that travel, or nil */
  LMP_S_VALUE     /* the root */
};

/* lmp_packer.c -- owns memory, memo and pieces */

LMP_LOCAL struct lmp_enc *lmp__packer(lua_State *L);
LMP_LOCAL void lmp__packer_reset(struct lmp_enc *e);
LMP_LOCAL void lmp__packer_finish(struct lmp_enc *e);
LMP_LOCAL void lmp__grow(struct lmp_enc *e, size_t n);
LMP_LOCAL void lmp__piece(struct lmp_enc *e, const char *s, size_t len);
LMP_LOCAL uint32_t lmp__ref(struct lmp_enc *e, mp_ref name);
LMP_LOCAL struct lmp_memo *lmp__memo(struct lmp_enc *e, uint64_t key);
LMP_LOCAL struct lmp_frame *lmp__frame(struct lmp_enc *e, int slot,
                                       enum lmp_kind kind);
/* Keep the value at idx alive until the next message. */
LMP_LOCAL void lmp__anchor(struct lmp_enc *e, int idx);

/* lmp_pack.c -- owns the walk */

/* Write the value on top of the stack.  LMP_DONE: it was popped.  LMP_OPEN:
 * it stays, under a new frame, which pops it. */
LMP_LOCAL int lmp__put(struct lmp_enc *e);
LMP_LOCAL void lmp__put_integer(struct lmp_enc *e, lua_Integer v);
LMP_LOCAL void lmp__put_float(struct lmp_enc *e, lua_Number v);
LMP_LOCAL void lmp__put_string(struct lmp_enc *e, int idx);
LMP_LOCAL void lmp__put_varint(struct lmp_enc *e, unsigned tag, uint64_t x);
/* If the object on top goes by name, write it, pop it, return 1. */
LMP_LOCAL int lmp__put_named(struct lmp_enc *e, int is_meta);
LMP_LOCAL void lmp__put_back(struct lmp_enc *e, uint32_t number);

/* lmp_array.c -- owns arrays and runs of numbers */

LMP_LOCAL int lmp__step_dense(struct lmp_enc *e, struct lmp_frame *f);

/* lmp_reduce.c -- owns __reduce */

/* Has the object on top a metatable with __reduce?  1: pushes it. */
LMP_LOCAL int lmp__get_reduce(lua_State *L);
/* The object on top, whose __reduce lies above it. */
LMP_LOCAL int lmp__open_reduce(struct lmp_enc *e);
LMP_LOCAL int lmp__step_reduce(struct lmp_enc *e, struct lmp_frame *f);

/* lmp_refuse.c -- owns the words of a refusal */

/* Raise: the path to the current item, ": cannot send ", what it is. */
LMP_LOCAL _Noreturn void lmp__refuse(struct lmp_enc *e, const char *what);
/* The same for the value on the stack's top. */
LMP_LOCAL _Noreturn void lmp__refuse_top(struct lmp_enc *e);
/* Raise the path, ": ", and the string on top. */
LMP_LOCAL _Noreturn void lmp__refuse_with(struct lmp_enc *e);

/* lmp_func.c -- owns functions */

LMP_LOCAL int lmp__put_function(struct lmp_enc *e);
LMP_LOCAL int lmp__step_function(struct lmp_enc *e, struct lmp_frame *f);

/* lmp_chunk.c -- owns what we know about bytecode */

/* Add the names of the globals that a dumped function mentions to the list
 * on top of the stack.  env is a set of bits: the upvalues that are the
 * globals.  Returns 0 when the bytes are not as expected. */
LMP_LOCAL int lmp__chunk_names(lua_State *L, const unsigned char *chunk,
                               size_t len, const unsigned char env[32]);
/* Do all counts in it agree with its length? */
LMP_LOCAL int lmp__chunk_sound(const unsigned char *chunk, size_t len);
/* Against accidents: bytecode that has changed crashes Lua. */
LMP_LOCAL uint64_t lmp__chunk_sum(const unsigned char *chunk, size_t len);

/* lmp_names.c -- owns the index of what `require` finds again */

LMP_LOCAL struct lmp_names *lmp__names(lua_State *L); /* pushes its owner */
/* Make the index anew if modules were loaded since, or `force`.  1: done. */
LMP_LOCAL int lmp__names_refresh(lua_State *L, struct lmp_names *names,
                                 int force);
/* Does the value at idx go by name?  1: pushes the name. */
LMP_LOCAL int lmp__names_find(lua_State *L, struct lmp_names *names, int idx,
                              int is_meta);
/* Could it?  A few instructions, for tables. */
LMP_LOCAL int lmp__names_maybe(const struct lmp_names *names, const void *p);
/* Is the string on top a global of the standard library? */
LMP_LOCAL int lmp__names_standard(lua_State *L);
/* Push what the name means, return 1; or push a message, return 0. */
LMP_LOCAL int lmp__names_resolve(lua_State *L, const char *name, size_t len);

static inline unsigned char *lmp__room(struct lmp_enc *e, size_t n) {
  if (e->cap - e->len < n)
    lmp__grow(e, n);
  return e->buf + e->len;
}

static inline void lmp__put_byte(struct lmp_enc *e, unsigned byte) {
  *lmp__room(e, 1) = (unsigned char)byte;
  e->len++;
}

static inline uint64_t lmp__key(const void *p) {
  return (uint64_t)(uintptr_t)p;
}

/* ---- unpacking ----------------------------------------------------- */

/* A container whose items are being read; it lies at its slot. */
struct lmp_dframe {
  size_t i;
  size_t n;
  int slot;
  unsigned char kind;  /* enum lmp_kind */
  unsigned char phase; /* pairs: 0 between, 1, 2 key, 3 value */
  unsigned char meta;  /* table: a metatable follows; 2 it is a reference */
  unsigned char pairs; /* dense: pairs follow */
  uint32_t number;     /* of the object */
  uint64_t globals;    /* function: how many travel along */
};

#define LMP_DFRAMES 12

struct lmp_dec {
  lua_State *L;
  const unsigned char *start, *at, *end;
  const unsigned char *item; /* for the message: where it went wrong */
  const char *why;           /* .. and why; NULL: it is on the stack */
  const mp_ref *refs;
  struct lmp_dframe *frames; /* `first`, or the userdata at LMP_D_FRAMES */
  size_t depth, frames_cap;
  size_t budget; /* slots of tables that may still be allocated ahead */
  uint32_t next; /* number of the next object */
  unsigned nrefs;
  unsigned flags;
  int base;
  unsigned backs;       /* objects are kept in the memo */
  unsigned keys_wanted; /* keys that will be kept, of those to come */
  unsigned nkeys;
  lua_Integer nglobals, nlate; /* length of the lists */
  struct lmp_dframe first[LMP_DFRAMES];
};

enum {
  LMP_D_MEMO = 1, /* number -> object, or of a cell: its function's number */
  LMP_D_FRAMES,
  LMP_D_GLOBALS, /* list: name, value, .. to be set at the end */
  LMP_D_KEYS,    /* list of keys, by number */
  LMP_D_LATE,    /* list of objects whose metatable may have been unfinished */
  LMP_D_VALUE
};

/* Read one item: LMP_DONE, it is on the stack; LMP_OPEN; LMP_BAD. */
LMP_LOCAL int lmp__get(struct lmp_dec *d);
LMP_LOCAL int lmp__bad(struct lmp_dec *d, const char *why);
LMP_LOCAL int lmp__get_varint(struct lmp_dec *d, uint64_t *x);
LMP_LOCAL int lmp__get_u32(struct lmp_dec *d, uint32_t *x);
LMP_LOCAL struct lmp_dframe *lmp__dframe(struct lmp_dec *d, enum lmp_kind kind);
LMP_LOCAL void lmp__learn(struct lmp_dec *d, uint32_t number);

/* The other files; `have`: the item that the frame waits for is on top. */
LMP_LOCAL int lmp__step_ddense(struct lmp_dec *d, struct lmp_dframe *f,
                               int have);
LMP_LOCAL int lmp__step_dpairs(struct lmp_dec *d, struct lmp_dframe *f);
LMP_LOCAL int lmp__step_dmeta(struct lmp_dec *d, struct lmp_dframe *f);
LMP_LOCAL int lmp__get_reduced(struct lmp_dec *d);
LMP_LOCAL int lmp__step_dreduce(struct lmp_dec *d, struct lmp_dframe *f);
LMP_LOCAL int lmp__get_function(struct lmp_dec *d);
LMP_LOCAL int lmp__step_dfunction(struct lmp_dec *d, struct lmp_dframe *f,
                                  int have);

#endif
