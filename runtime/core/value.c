/* value.c -- owns flat values in messages, without a Lua.
 *
 * What the binding's codec writes and reads (runtime/README.md has the wire
 * format; the tags are those of lmp_pack.h), as far as it is scalars and lists
 * of scalars.  Of what a message claims nothing is believed beyond its bytes.
 */
#include "mp.h"

#include <errno.h>
#include <string.h>

#define MAGIC 0xA1

enum tag {
  T_NIL = 1,
  T_FALSE,
  T_TRUE,
  T_INT,    /* varint, zigzag */
  T_FLOAT,  /* 8 bytes */
  T_STRING, /* varint length, bytes */
  T_LONG,   /* the same, from 4 KiB on */
  T_RUN8 = 0x10,
  T_RUNF = 0x14,
  T_SMALL = 0x20, /* to 0x7f: the integer tag - SMALL_ZERO */
  T_SHORT = 0x80, /* to 0xbf: a string of tag - T_SHORT bytes */
  T_TABLE = 0xC0, /* without pairs: nothing follows */
  T_ARRAY = 0xE0  /* without pairs: varint n, n elements */
};

#define SMALL_ZERO 0x30
#define SMALL_MIN (T_SMALL - SMALL_ZERO)
#define SMALL_MAX (T_SHORT - 1 - SMALL_ZERO)
#define SHORT_MAX (T_TABLE - 1 - T_SHORT)

/* Encoding: counts on beyond the end of the room. */

struct writer {
  unsigned char *to;
  size_t cap;
  size_t len;
};

static void put_byte(struct writer *w, unsigned byte) {
  if (w->len < w->cap)
    w->to[w->len] = (unsigned char)byte;
  w->len++;
}

static void put_varint(struct writer *w, uint64_t x) {
  for (; x >= 0x80; x >>= 7)
    put_byte(w, (unsigned)x | 0x80);
  put_byte(w, (unsigned)x);
}

static void put_bytes(struct writer *w, const void *from, size_t n) {
  if (w->len < w->cap && n > 0)
    memcpy(w->to + w->len, from, n < w->cap - w->len ? n : w->cap - w->len);
  w->len += n;
}

static void put_integer(struct writer *w, int64_t n) {
  if (n >= SMALL_MIN && n <= SMALL_MAX) {
    put_byte(w, (unsigned)(n + SMALL_ZERO));
  } else {
    put_byte(w, T_INT);
    put_varint(w, (uint64_t)n << 1 ^ (n < 0 ? UINT64_MAX : 0));
  }
}

static void put_float(struct writer *w, double x) {
  uint64_t bits;
  int i;

  memcpy(&bits, &x, sizeof bits);
  put_byte(w, T_FLOAT);
  for (i = 0; i < 64; i += 8)
    put_byte(w, bits >> i & 0xff);
}

static void put_string(struct writer *w, const char *s, size_t n) {
  if (n <= SHORT_MAX) {
    put_byte(w, T_SHORT + (unsigned)n);
  } else {
    put_byte(w, T_STRING);
    put_varint(w, n);
  }
  put_bytes(w, s, n);
}

static int put_scalar(struct writer *w, const struct mp_value *v) {
  switch (v->kind) {
  case MP_NIL:
    put_byte(w, T_NIL);
    return 0;
  case MP_BOOLEAN:
    put_byte(w, v->as.boolean ? T_TRUE : T_FALSE);
    return 0;
  case MP_INTEGER:
    put_integer(w, v->as.integer);
    return 0;
  case MP_FLOAT:
    put_float(w, v->as.number);
    return 0;
  case MP_STRING:
    put_string(w, v->as.string, v->len);
    return 0;
  default:
    return -EINVAL;
  }
}

int64_t mp_value_encode(const struct mp_value *v, void *to, size_t cap) {
  struct writer w = {to, cap, 0};
  size_t i;
  int rc = 0;

  put_byte(&w, MAGIC);
  put_byte(&w, 0);
  if (v->kind == MP_LIST) {
    put_byte(&w, T_ARRAY);
    put_varint(&w, v->len);
    for (i = 0; i < v->len && rc == 0; i++)
      rc = put_scalar(&w, &v->as.list[i]);
  } else {
    rc = put_scalar(&w, v);
  }
  return rc < 0 ? rc : (int64_t)w.len;
}

/* Decoding */

static size_t left(const struct mp_values *r) {
  return (size_t)(r->end - r->at);
}

static int get_varint(struct mp_values *r, uint64_t *x) {
  unsigned shift = 0;

  *x = 0;
  for (;; shift += 7) {
    unsigned byte;

    if (r->at == r->end || shift > 63)
      return -MP_EPROTOCOL;
    byte = *r->at++;
    if (shift == 63 && byte > 1)
      return -MP_EPROTOCOL;
    *x |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80)
      return 0;
  }
}

/* n bytes, little-endian; there are as many. */
static uint64_t get_word(struct mp_values *r, unsigned n) {
  uint64_t x = 0;
  unsigned i;

  for (i = 0; i < n; i++)
    x |= (uint64_t)*r->at++ << 8 * i;
  return x;
}

static void set_float(struct mp_value *v, uint64_t bits) {
  v->kind = MP_FLOAT;
  memcpy(&v->as.number, &bits, sizeof bits);
}

static void set_integer(struct mp_value *v, int64_t n) {
  v->kind = MP_INTEGER;
  v->as.integer = n;
}

static int get_string(struct mp_values *r, struct mp_value *v, uint64_t len) {
  if (len > left(r))
    return -MP_EPROTOCOL;
  v->kind = MP_STRING;
  v->len = (size_t)len;
  v->as.string = (const char *)r->at;
  r->at += len;
  return 0;
}

static int get_rare(struct mp_values *r, unsigned tag, struct mp_value *v) {
  uint64_t x;
  int rc;

  switch (tag) {
  case T_NIL:
    v->kind = MP_NIL;
    return 0;
  case T_FALSE:
  case T_TRUE:
    v->kind = MP_BOOLEAN;
    v->as.boolean = tag == T_TRUE;
    return 0;
  case T_FLOAT:
    if (left(r) < 8)
      return -MP_EPROTOCOL;
    set_float(v, get_word(r, 8));
    return 0;
  case T_INT:
  case T_STRING:
  case T_LONG:
    rc = get_varint(r, &x);
    if (rc < 0)
      return rc;
    if (tag == T_INT)
      set_integer(v, (int64_t)(x >> 1 ^ (0 - (x & 1))));
    else
      return get_string(r, v, x);
    return 0;
  default:
    return -ENOTSUP;
  }
}

static int get_scalar(struct mp_values *r, struct mp_value *v) {
  unsigned tag;

  if (r->at == r->end)
    return -MP_EPROTOCOL;
  tag = *r->at++;
  if (tag >= T_TABLE)
    return -ENOTSUP;
  if (tag >= T_SHORT)
    return get_string(r, v, tag - T_SHORT);
  if (tag >= T_SMALL) {
    set_integer(v, (int64_t)tag - SMALL_ZERO);
    return 0;
  }
  return get_rare(r, tag, v);
}

/* Numbers that follow each other in one item. */
static int open_run(struct mp_values *r) {
  r->tag = *r->at++;
  r->width = r->tag == T_RUNF ? 8 : 1u << (r->tag - T_RUN8);
  if (left(r) < 4)
    return -MP_EPROTOCOL;
  r->run = (uint32_t)get_word(r, 4);
  return r->run == 0 || r->run > r->left || r->run > left(r) / r->width
             ? -MP_EPROTOCOL
             : 0;
}

static void get_of_run(struct mp_values *r, struct mp_value *v) {
  uint64_t bits = get_word(r, r->width);
  unsigned unused = 64 - 8 * r->width;

  r->run--;
  if (r->tag == T_RUNF)
    set_float(v, bits);
  else /* the sign is that of the narrow number */
    set_integer(v, (int64_t)(bits << unused) >> unused);
}

int mp_value_next(struct mp_values *r, struct mp_value *v) {
  int rc;

  if (r->left == 0)
    return r->at == r->end ? 0 : -MP_EPROTOCOL;
  if (r->run == 0 && r->at < r->end && *r->at >= T_RUN8 && *r->at <= T_RUNF) {
    rc = open_run(r);
    if (rc < 0)
      return rc;
  }
  if (r->run > 0) {
    get_of_run(r, v);
  } else {
    rc = get_scalar(r, v);
    if (rc < 0)
      return rc;
  }
  r->left--;
  return 1;
}

static int open_list(struct mp_values *r, struct mp_value *v) {
  unsigned tag = *r->at++;
  uint64_t n = 0;
  int rc = 0;

  if (tag == T_ARRAY)
    rc = get_varint(r, &n);
  else if (tag != T_TABLE)
    return -ENOTSUP;         /* it has pairs */
  if (rc < 0 || n > left(r)) /* an element has a byte at least */
    return -MP_EPROTOCOL;
  r->left = n;
  v->kind = MP_LIST;
  v->len = (size_t)n;
  v->as.list = NULL;
  return 0;
}

int mp_value_decode(const void *data, size_t len, struct mp_value *v,
                    struct mp_values *rest) {
  const unsigned char *at = data;
  int rc;

  *rest = (struct mp_values){.end = at + len};
  if (len < 3 || at[0] != MAGIC)
    return -MP_EPROTOCOL;
  rest->at = at + 2;
  if (*rest->at >= T_TABLE)
    return open_list(rest, v);
  rc = get_scalar(rest, v);
  if (rc == 0 && rest->at != rest->end)
    rc = -MP_EPROTOCOL;
  return rc;
}
