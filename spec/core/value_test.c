/* value_test.c -- flat values: to bytes and back, and bytes that are none. */
#include "mp.h"
#include "test.h"

#include <math.h>

static unsigned char bytes[20000];
static struct mp_value got;
static struct mp_values rest;

static int same(const struct mp_value *a, const struct mp_value *b) {
  if (a->kind != b->kind)
    return 0;
  switch (a->kind) {
  case MP_NIL:
    return 1;
  case MP_BOOLEAN:
    return a->as.boolean == b->as.boolean;
  case MP_INTEGER:
    return a->as.integer == b->as.integer;
  case MP_FLOAT:
    return memcmp(&a->as.number, &b->as.number, 8) == 0;
  default:
    return a->len == b->len && memcmp(a->as.string, b->as.string, a->len) == 0;
  }
}

static int decode(const void *data, size_t len) {
  return mp_value_decode(data, len, &got, &rest);
}

static void round_trip(struct mp_value v) {
  int64_t len = mp_value_encode(&v, bytes, sizeof bytes);

  REQUIRE(len > 2 && len <= (int64_t)sizeof bytes);
  CHECK_EQ(mp_value_encode(&v, NULL, 0), len);
  CHECK_EQ(decode(bytes, (size_t)len), 0);
  CHECK(same(&v, &got));
}

static const int64_t integers[] = {
    0,         1,        -1,        -16,          -17,
    79,        80,       127,       -128,         128,
    32767,     -32769,   1LL << 31, -(1LL << 31), (1LL << 53) + 1,
    INT64_MAX, INT64_MIN};
static const double floats[] = {0.0, -0.0, 0.1, 1e308, -5e-324, 3.0};
enum { N_INTEGERS = sizeof integers / sizeof *integers };
enum { N_FLOATS = sizeof floats / sizeof *floats };

TEST(scalars_come_back) {
  static const size_t lens[] = {0, 1, 63, 64, 127, 128, 4095, 4096, 16384};
  static char text[16384];
  unsigned i;

  round_trip((struct mp_value){.kind = MP_NIL});
  round_trip((struct mp_value){.kind = MP_BOOLEAN, .as.boolean = 0});
  round_trip((struct mp_value){.kind = MP_BOOLEAN, .as.boolean = 1});
  for (i = 0; i < N_INTEGERS; i++)
    round_trip(MP_VALUE_INTEGER(integers[i]));
  for (i = 0; i < N_FLOATS; i++)
    round_trip(MP_VALUE_FLOAT(floats[i]));
  round_trip(MP_VALUE_FLOAT(INFINITY));
  round_trip(MP_VALUE_FLOAT((double)NAN));
  memset(text, '\xfe', sizeof text);
  for (i = 0; i < sizeof lens / sizeof *lens; i++)
    round_trip(MP_VALUE_STRING(text, lens[i]));
}

TEST(lists_come_back) {
  struct mp_value v[N_INTEGERS + N_FLOATS + 3];
  struct mp_value list;
  unsigned i, n = 0;
  int64_t len;

  for (i = 0; i < N_INTEGERS; i++)
    v[n++] = MP_VALUE_INTEGER(integers[i]);
  for (i = 0; i < N_FLOATS; i++)
    v[n++] = MP_VALUE_FLOAT(floats[i]);
  v[n++] = (struct mp_value){.kind = MP_NIL};
  v[n++] = MP_VALUE_STRING("a\0b", 3);
  v[n++] = (struct mp_value){.kind = MP_BOOLEAN, .as.boolean = 1};
  list = MP_VALUE_LIST(v, n);
  len = mp_value_encode(&list, bytes, sizeof bytes);
  REQUIRE(len > 0);
  CHECK_EQ(decode(bytes, (size_t)len), 0);
  CHECK_EQ(got.kind, MP_LIST);
  CHECK_EQ(got.len, n);
  for (i = 0; i < n; i++) {
    CHECK_EQ(mp_value_next(&rest, &got), 1);
    CHECK(same(&v[i], &got));
  }
  CHECK_EQ(mp_value_next(&rest, &got), 0);
  CHECK_EQ(mp_value_next(&rest, &got), 0);
  /* Cut anywhere it is damaged, and says so. */
  for (i = 0; i < len; i++) {
    int rc = decode(bytes, i);

    while (rc == 0 || rc == 1)
      if ((rc = mp_value_next(&rest, &got)) == 0)
        break;
    CHECK_EQ(rc, -MP_EPROTOCOL);
  }
  list.len = 0;
  len = mp_value_encode(&list, bytes, sizeof bytes);
  CHECK_EQ(decode(bytes, (size_t)len), 0);
  CHECK_EQ(got.len, 0);
  CHECK_EQ(mp_value_next(&rest, &got), 0);
  v[0] = MP_VALUE_LIST(v, 1);
  list = MP_VALUE_LIST(v, 1);
  CHECK_EQ(mp_value_encode(&list, bytes, sizeof bytes), -EINVAL);
}

TEST(nothing_is_written_beyond_the_room) {
  struct mp_value v = MP_VALUE_STRING("0123456789", 10);
  int64_t len = mp_value_encode(&v, NULL, 0);
  size_t cap;

  for (cap = 0; cap <= (size_t)len; cap++) {
    memset(bytes, '#', sizeof bytes);
    CHECK_EQ(mp_value_encode(&v, bytes, cap), len);
    CHECK_EQ(bytes[cap], '#');
  }
}

#define MESSAGE(...)                                                           \
  (const unsigned char[]){__VA_ARGS__},                                        \
      sizeof((const unsigned char[]){__VA_ARGS__})

TEST(runs_of_numbers_as_the_binding_writes_them) {
  CHECK_EQ(decode(MESSAGE(0xA1, 0, 0xE0, 5, 0x10, 2, 0, 0, 0, 0xff, 0x7f, 0x11,
                          2, 0, 0, 0, 0x00, 0x80, 1, 0, 0x31)),
           0);
  CHECK_EQ(got.len, 5);
  CHECK_EQ(mp_value_next(&rest, &got), 1);
  CHECK_EQ(got.as.integer, -1);
  CHECK_EQ(mp_value_next(&rest, &got), 1);
  CHECK_EQ(got.as.integer, 127);
  CHECK_EQ(mp_value_next(&rest, &got), 1);
  CHECK_EQ(got.as.integer, -32768);
  CHECK_EQ(mp_value_next(&rest, &got), 1);
  CHECK_EQ(got.as.integer, 1);
  CHECK_EQ(mp_value_next(&rest, &got), 1);
  CHECK_EQ(got.as.integer, 1);
  CHECK_EQ(mp_value_next(&rest, &got), 0);
  CHECK_EQ(decode(MESSAGE(0xA1, 0, 0xE0, 1, 0x14, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                          0xf8, 0xbf)),
           0);
  CHECK_EQ(mp_value_next(&rest, &got), 1);
  CHECK_EQ(got.kind, MP_FLOAT);
  CHECK(got.as.number == -1.5);
  CHECK_EQ(mp_value_next(&rest, &got), 0);
}

TEST(what_is_damaged_or_not_flat) {
  static const unsigned char tags[] = {0, 8, 9, 10, 11, 12, 13, 14, 15, 22};
  unsigned i;

  CHECK_EQ(decode(MESSAGE(0xA1, 0)), -MP_EPROTOCOL);
  CHECK_EQ(decode(MESSAGE(0xA2, 0, 0x30)), -MP_EPROTOCOL);
  CHECK_EQ(decode(MESSAGE(0xA1, 0, 0x30, 0x30)), -MP_EPROTOCOL);
  CHECK_EQ(decode(MESSAGE(0xA1, 0, 5, 0, 0)), -MP_EPROTOCOL);
  CHECK_EQ(decode(MESSAGE(0xA1, 0, 6, 5, 'x')), -MP_EPROTOCOL);
  CHECK_EQ(decode(MESSAGE(0xA1, 0, 0x85, 'x')), -MP_EPROTOCOL);
  CHECK_EQ(decode(MESSAGE(0xA1, 0, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                          0xff, 0xff, 2)),
           -MP_EPROTOCOL);
  CHECK_EQ(decode(MESSAGE(0xA1, 0, 0xE0, 0xff, 0x7f)), -MP_EPROTOCOL);
  CHECK_EQ(decode(MESSAGE(0xA1, 0, 0xE1, 1, 0x30)), -ENOTSUP);
  CHECK_EQ(decode(MESSAGE(0xA1, 0, 0xC1, 0)), -ENOTSUP);
  CHECK_EQ(decode(MESSAGE(0xA1, 0, 0xC0)), 0);
  CHECK_EQ(mp_value_next(&rest, &got), 0);
  CHECK_EQ(decode(MESSAGE(0xA1, 0, 0xE0, 1, 0xC0)), 0);
  CHECK_EQ(mp_value_next(&rest, &got), -ENOTSUP);
  CHECK_EQ(decode(MESSAGE(0xA1, 0, 0xE0, 1, 0x30, 0x30)), 0);
  CHECK_EQ(mp_value_next(&rest, &got), 1);
  CHECK_EQ(mp_value_next(&rest, &got), -MP_EPROTOCOL);
  /* A run of more numbers than the list has, or than there are bytes. */
  CHECK_EQ(decode(MESSAGE(0xA1, 0, 0xE0, 1, 0x10, 2, 0, 0, 0, 1, 1)), 0);
  CHECK_EQ(mp_value_next(&rest, &got), -MP_EPROTOCOL);
  CHECK_EQ(decode(MESSAGE(0xA1, 0, 0xE0, 2, 0x13, 2, 0, 0, 0, 1, 1)), 0);
  CHECK_EQ(mp_value_next(&rest, &got), -MP_EPROTOCOL);
  for (i = 0; i < sizeof tags; i++)
    CHECK_EQ(decode(MESSAGE(0xA1, 0, tags[i], 0)), -ENOTSUP);
}

/* Any bytes: no read outside of them (the sanitizers look), and an end. */
TEST(noise) {
  unsigned i, k, n;
  uint32_t x = 1;

  for (i = 0; i < 200000; i++) {
    unsigned char *some;
    int rc;

    n = 3 + i % 30;
    some = malloc(n);
    REQUIRE(some != NULL);
    for (k = 0; k < n; k++)
      some[k] = (unsigned char)((x = x * 1664525 + 1013904223) >> 24);
    some[0] = 0xA1;
    if (i & 1)
      some[2] = 0xE0;
    rc = decode(some, n);
    for (k = 0; rc == 0 && got.kind == MP_LIST; k++) {
      struct mp_value v;

      REQUIRE(k <= got.len);
      if (mp_value_next(&rest, &v) <= 0)
        break;
    }
    free(some);
  }
}
