/* golden.h -- handshakes that Pythons have had, byte by byte: the key is
 * "secret", the listener's random bytes are 40 41 42 .., the client's 80 81 ..
 */
#ifndef GOLDEN_H
#define GOLDEN_H

#include "mac.h"
#include "test.h"

#define KEY "secret", 6

/* A test of what keys are for.  Debian's libcrypto is one of glibc's. */
#define KEYED(name) KEYED_LIMIT(name, TEST_SECONDS)
#define KEYED_LIMIT(name, limit)                                               \
  static void keyed_##name(void);                                              \
  TEST_LIMIT(name, limit) {                                                    \
    need_crypto();                                                             \
    keyed_##name();                                                            \
  }                                                                            \
  static void keyed_##name(void)

static inline void need_crypto(void) {
#ifndef __GLIBC__
  if (mp__mac_load() == -MP_ECRYPTO)
    test_skip("there is no libcrypto for this C library");
#endif
}

/* One frame: 0 the listener sends it, 1 the client. */
struct golden {
  int from;
  const char *hex;
};

/* 3.12.1 and 3.13.0 */
static const struct golden modern[] = {
    {0, "0000003b234348414c4c454e4745237b7368613235367d404142434445464748494a4b"
        "4c4d4e4f505152535455565758595a5b5c5d5e5f6061626364656667"},
    {1, "000000287b7368613235367d86ee889301f50c0623fcbcfa57962db6c25c73e7a8e649"
        "0939a4a0bf7c018fd7"},
    {0, "000000092357454c434f4d4523"},
    {1, "0000003b234348414c4c454e4745237b7368613235367d808182838485868788898a8b"
        "8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7"},
    {0, "000000287b7368613235367dc7558206f53527f232e4c2d810fa62449467e325a24ba2"
        "ff74b94ebfd271e583"},
    {1, "000000092357454c434f4d4523"},
};

/* 3.11.7 */
static const struct golden legacy[] = {
    {0,
     "0000001f234348414c4c454e474523404142434445464748494a4b4c4d4e4f50515253"},
    {1, "0000001014ec56402aa6b6d8629d67848ffdfa71"},
    {0, "000000092357454c434f4d4523"},
    {1,
     "0000001f234348414c4c454e474523808182838485868788898a8b8c8d8e8f90919293"},
    {0, "00000010853ac2883af57cefa5d6df14aa501ca0"},
    {1, "000000092357454c434f4d4523"},
};

static inline size_t golden_bytes(const char *hex, unsigned char *to) {
  size_t n = strlen(hex) / 2, i;
  unsigned byte;

  for (i = 0; i < n; i++) {
    REQUIRE(sscanf(hex + 2 * i, "%2x", &byte) == 1);
    to[i] = (unsigned char)byte;
  }
  return n;
}

/* All that one side sends; where each frame ends through `ends`. */
static inline size_t golden_side(const struct golden *g, int side,
                                 unsigned char to[512], size_t ends[3]) {
  size_t n = 0, k = 0, i;

  for (i = 0; i < 6; i++)
    if (g[i].from == side) {
      n += golden_bytes(g[i].hex, to + n);
      ends[k++] = n;
    }
  return n;
}

#endif
