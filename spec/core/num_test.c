/* num_test.c -- numbers of every typecode, alone and with many at them. */
#include "crew.h"

#include <math.h>
#include <sys/mman.h>

static union mp_num of_int(int64_t i) {
  return (union mp_num){.i = i};
}

static union mp_num of_uint(uint64_t u) {
  return (union mp_num){.u = u};
}

static union mp_num of_double(double d) {
  return (union mp_num){.d = d};
}

static void *shared(size_t len) {
  void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                 -1, 0);

  REQUIRE(p != MAP_FAILED);
  return p;
}

TEST(sizes_are_those_of_c) {
  CHECK_EQ(mp_num_size('b'), sizeof(char));
  CHECK_EQ(mp_num_size('B'), sizeof(char));
  CHECK_EQ(mp_num_size('h'), sizeof(short));
  CHECK_EQ(mp_num_size('H'), sizeof(short));
  CHECK_EQ(mp_num_size('i'), sizeof(int));
  CHECK_EQ(mp_num_size('I'), sizeof(int));
  CHECK_EQ(mp_num_size('l'), sizeof(long));
  CHECK_EQ(mp_num_size('L'), sizeof(long));
  CHECK_EQ(mp_num_size('q'), sizeof(long long));
  CHECK_EQ(mp_num_size('Q'), sizeof(long long));
  CHECK_EQ(mp_num_size('f'), sizeof(float));
  CHECK_EQ(mp_num_size('d'), sizeof(double));
  CHECK_EQ(mp_num_size('?'), sizeof(_Bool));
  CHECK_EQ(mp_num_size('c'), sizeof(char));
  CHECK_EQ(mp_num_size('x'), 0);
  CHECK_EQ(mp_num_size(0), 0);
}

/* What stands beside the number is left alone. */
static uint64_t cells[3];

static void check_beside(void) {
  CHECK_EQ(cells[0], 0x5555555555555555);
  CHECK_EQ(cells[2], 0x5555555555555555);
}

static void *fresh(void) {
  memset(cells, 0x55, sizeof cells);
  cells[1] = 0;
  return &cells[1];
}

static void check_signed(char code, int64_t v) {
  void *at = fresh();
  union mp_num seen = of_int(0);

  mp_num_store(code, at, of_int(v));
  CHECK_EQ(mp_num_load(code, at).i, v);
  CHECK_EQ(mp_num_exchange(code, at, of_int(3)).i, v);
  CHECK_EQ(mp_num_compare_exchange(code, at, of_int(4), of_int(v), &seen), 0);
  CHECK_EQ(seen.i, 3);
  CHECK_EQ(mp_num_compare_exchange(code, at, of_int(3), of_int(v), &seen), 1);
  CHECK_EQ(mp_num_load(code, at).i, v);
  check_beside();
}

static void check_unsigned(char code, uint64_t v) {
  void *at = fresh();
  union mp_num seen = of_uint(0);

  mp_num_store(code, at, of_uint(v));
  CHECK_EQ(mp_num_load(code, at).u, v);
  CHECK_EQ(mp_num_exchange(code, at, of_uint(1)).u, v);
  CHECK_EQ(mp_num_compare_exchange(code, at, of_uint(0), of_uint(v), &seen), 0);
  CHECK_EQ(seen.u, 1);
  CHECK_EQ(mp_num_compare_exchange(code, at, of_uint(1), of_uint(v), &seen), 1);
  CHECK_EQ(mp_num_load(code, at).u, v);
  check_beside();
}

TEST(the_limits_of_every_integer) {
  const char *code;
  unsigned bits;

  for (code = "bhilq"; *code; code++) {
    bits = (unsigned)mp_num_size(*code) * 8;
    check_signed(*code, INT64_MIN >> (64 - bits));
    check_signed(*code, INT64_MAX >> (64 - bits));
    check_signed(*code, -1);
  }
  for (code = "BHILQ"; *code; code++) {
    bits = (unsigned)mp_num_size(*code) * 8;
    check_unsigned(*code, UINT64_MAX >> (64 - bits));
    check_unsigned(*code, 0);
  }
  check_unsigned('?', 1);
  check_unsigned('c', 255);
}

TEST(sums_that_do_not_fit_change_nothing) {
  const char *code;
  unsigned bits;
  union mp_num old;
  void *at;

  for (code = "bhilq"; *code; code++) {
    bits = (unsigned)mp_num_size(*code) * 8;
    at = fresh();
    mp_num_store(*code, at, of_int(INT64_MAX >> (64 - bits)));
    CHECK_EQ(mp_num_add(*code, at, of_int(1), &old), -ERANGE);
    CHECK_EQ(mp_num_add(*code, at, of_int(INT64_MAX), &old), -ERANGE);
    CHECK_EQ(mp_num_load(*code, at).i, INT64_MAX >> (64 - bits));
    CHECK_EQ(mp_num_add(*code, at, of_int(-1), &old), 0);
    CHECK_EQ(old.i, INT64_MAX >> (64 - bits));
    mp_num_store(*code, at, of_int(INT64_MIN >> (64 - bits)));
    CHECK_EQ(mp_num_add(*code, at, of_int(-1), &old), -ERANGE);
    CHECK_EQ(mp_num_add(*code, at, of_int(0), &old), 0);
    CHECK_EQ(old.i, INT64_MIN >> (64 - bits));
    check_beside();
  }
  for (code = "BHILQ"; *code; code++) {
    bits = (unsigned)mp_num_size(*code) * 8;
    at = fresh();
    CHECK_EQ(mp_num_add(*code, at, of_int(-1), &old), -ERANGE);
    mp_num_store(*code, at, of_uint(UINT64_MAX >> (64 - bits)));
    CHECK_EQ(mp_num_add(*code, at, of_int(1), &old), -ERANGE);
    CHECK_EQ(mp_num_add(*code, at, of_int(-1), &old), 0);
    CHECK_EQ(old.u, UINT64_MAX >> (64 - bits));
    CHECK_EQ(mp_num_load(*code, at).u, (UINT64_MAX >> (64 - bits)) - 1);
    check_beside();
  }
  at = fresh();
  CHECK_EQ(mp_num_add('?', at, of_int(1), &old), -EINVAL);
  CHECK_EQ(mp_num_add('c', at, of_int(1), &old), -EINVAL);
  CHECK_EQ(cells[1], 0);
}

TEST(floats) {
  union mp_num old = of_double(0);
  void *at = fresh();

  mp_num_store('d', at, of_double(0.1));
  CHECK(mp_num_load('d', at).d == 0.1);
  CHECK_EQ(mp_num_add('d', at, of_double(0.2), &old), 0);
  CHECK(old.d == 0.1 && mp_num_load('d', at).d == 0.1 + 0.2);
  CHECK(mp_num_exchange('d', at, of_double(-0.0)).d == 0.1 + 0.2);
  CHECK_EQ(mp_num_compare_exchange('d', at, of_double(0), of_double(NAN), &old),
           1);
  CHECK_EQ(mp_num_compare_exchange('d', at, of_double(NAN), of_double(1), &old),
           0);
  CHECK(isnan(old.d) && isnan(mp_num_load('d', at).d));
  check_beside();

  mp_num_store('f', at, of_double(0.1));
  CHECK(mp_num_load('f', at).d == (double)0.1f);
  CHECK_EQ(mp_num_compare_exchange('f', at, of_double(0.1), of_double(2), &old),
           1);
  CHECK(old.d == (double)0.1f && mp_num_load('f', at).d == 2);
  mp_num_store('f', at, of_double(3e38));
  CHECK_EQ(mp_num_add('f', at, of_double(3e38), &old), -ERANGE);
  CHECK(mp_num_load('f', at).d == (double)3e38f);
  CHECK_EQ(mp_num_add('f', at, of_double(INFINITY), &old), 0);
  CHECK(isinf(mp_num_load('f', at).d));
  check_beside();
  CHECK(!mp_num_fits_float(1e39) && mp_num_fits_float(-INFINITY));
  CHECK(mp_num_fits_float(3.4028235e38) && mp_num_fits_float(NAN));
}

/* Bytes at every alignment and of every length come over, and no others. */
TEST(bulk_moves_what_it_should) {
  _Alignas(8) unsigned char at[96];
  unsigned char from[64], back[64];
  size_t off, len, i;

  for (i = 0; i < sizeof from; i++)
    from[i] = (unsigned char)(i + 1);
  for (off = 0; off < 16; off++)
    for (len = 0; len < 50; len++) {
      memset(at, 0, sizeof at);
      memset(back, 0, sizeof back);
      mp_num_write(at + off, from + len % 3, len);
      CHECK(memcmp(at + off, from + len % 3, len) == 0);
      CHECK(at[off + len] == 0 && (off == 0 || at[off - 1] == 0));
      mp_num_read(back + len % 5, at + off, len);
      CHECK(memcmp(back + len % 5, from + len % 3, len) == 0);
      CHECK(back[len % 5 + len] == 0);
    }
}

TEST(fill_repeats_an_element) {
  static const size_t sizes[] = {1, 2, 3, 8, 24, 500, 520, 1000};
  static _Alignas(64) unsigned char at[200000];
  static unsigned char element[1000];
  size_t k, i, n;

  for (i = 0; i < sizeof element; i++)
    element[i] = (unsigned char)(i * 7 + 1);
  for (k = 0; k < sizeof sizes / sizeof *sizes; k++)
    for (n = 0; n < 180; n = n * 2 + 1) {
      memset(at, 0, sizeof at);
      mp_num_fill(at, element, sizes[k], n);
      for (i = 0; i < n; i++)
        if (!CHECK(memcmp(at + i * sizes[k], element, sizes[k]) == 0))
          break;
      CHECK_EQ(at[n * sizes[k]], 0);
    }
}

/* Many at once. */

static char *place;
static char code_of_crew;
static struct check_use use;

static void opened(void) {
  place = shared(4096);
  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", &use));
}

static void closed(void) {
  CHECK(check_same("in the end", &use));
  check_leave();
}

enum { ADDS = 100000, CREW = 3 };

static int add_many(void *arg) {
  int is_float = code_of_crew == 'd' || code_of_crew == 'f';
  union mp_num n = is_float ? of_double(1) : of_int(1);
  union mp_num old;
  int i;

  (void)arg;
  for (i = 0; i < ADDS; i++)
    MUST(mp_num_add(code_of_crew, place, n, &old) == 0);
  return 0;
}

TWICE(adds_are_never_lost) {
  const char *code;
  int i;

  opened();
  for (code = "iIlLqQfd"; *code; code++) {
    struct crew crew = {.threads = threads};

    code_of_crew = *code;
    memset(place, 0, 8);
    for (i = 0; i < CREW; i++)
      crew_start(&crew, add_many, NULL);
    crew_join(&crew);
    if (*code == 'd' || *code == 'f')
      CHECK(mp_num_load(*code, place).d == CREW * ADDS);
    else
      CHECK_EQ(mp_num_load(*code, place).i, CREW * ADDS);
  }
  closed();
}

/* compare_exchange as a lock around a plain word. */
static int cas_many(void *arg) {
  uint64_t *plain = (uint64_t *)(void *)(place + 64);
  union mp_num seen;
  int i;

  (void)arg;
  for (i = 0; i < ADDS / 10; i++) {
    while (!mp_num_compare_exchange('b', place, of_int(0), of_int(1), &seen))
      mp__pause();
    *plain += 1;
    mp_num_store('b', place, of_int(0));
  }
  return 0;
}

TWICE(compare_exchange_orders_what_is_around_it) {
  opened();
  crew_all(threads, CREW, cas_many, NULL);
  CHECK_EQ(*(uint64_t *)(void *)(place + 64), CREW * ADDS / 10);
  closed();
}

/* A writer stores two patterns by turns, alone and in bulk; readers see one or
 * the other in each element, whatever its size. */
enum { ELEMENTS = 61 };

static int write_patterns(void *arg) {
  size_t size = mp_num_size(code_of_crew);
  unsigned char whole[ELEMENTS * 8];
  unsigned i;

  (void)arg;
  for (i = 0; mp__load32_seq((uint32_t *)(void *)place) < CREW - 1; i++) {
    memset(whole, i & 1 ? 0x11 : 0x22, sizeof whole);
    mp_num_write(place + 64 + size, whole, ELEMENTS * size);
    mp_num_store(code_of_crew, place + 64,
                 of_uint(i & 1 ? 0x1111111111111111 : 0x2222222222222222));
    mp_num_fill(place + 64 + size,
                i & 2 ? "\x11\x11\x11\x11\x11\x11\x11\x11"
                      : "\x22\x22\x22\x22\x22\x22\x22\x22",
                size, ELEMENTS);
  }
  return 0;
}

static int is_pattern(const unsigned char *p, size_t size) {
  size_t i;

  for (i = 1; i < size; i++)
    if (p[i] != p[0])
      return 0;
  return p[0] == 0x11 || p[0] == 0x22;
}

static int read_patterns(void *arg) {
  size_t size = mp_num_size(code_of_crew);
  unsigned char whole[ELEMENTS * 8];
  union mp_num one;
  int i, k;

  (void)arg;
  for (i = 0; i < 3000; i++) {
    one = mp_num_load(code_of_crew, place + 64);
    MUST(is_pattern((unsigned char *)&one, size));
    mp_num_read(whole, place + 64 + size, ELEMENTS * size);
    for (k = 0; k < ELEMENTS; k++)
      MUST(is_pattern(whole + (size_t)k * size, size));
  }
  (void)mp__add32_seq((uint32_t *)(void *)place, 1);
  return 0;
}

TWICE(nothing_is_torn) {
  const char *code;
  int i;

  opened();
  for (code = "BHILQ"; *code; code++) {
    struct crew crew = {.threads = threads};

    code_of_crew = *code;
    memset(place, 0x11, 4096);
    memset(place, 0, 4);
    crew_start(&crew, write_patterns, NULL);
    for (i = 0; i < CREW - 1; i++)
      crew_start(&crew, read_patterns, NULL);
    crew_join(&crew);
  }
  closed();
}
