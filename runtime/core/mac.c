/* mac.c -- owns the hashes: libcrypto, loaded when a key is first used.
 *
 * A program that never has a key does not pay for it, and needs no OpenSSL to
 * be installed.  Of libcrypto only what has been the same since 1.1 is used.
 */
#include "mp.h"

#include "mac.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

typedef const void *digest_fn(void);
typedef unsigned char *hmac_fn(const void *md, const void *key, int keylen,
                               const unsigned char *m, size_t len,
                               unsigned char *to, unsigned *tolen);

static struct {
  const char *name; /* as it goes over the wire */
  const char *symbol;
  digest_fn *digest;
} digests[] = {
    {"sha256", "EVP_sha256", NULL},     {"md5", "EVP_md5", NULL},
    {"sha384", "EVP_sha384", NULL},     {"sha3_256", "EVP_sha3_256", NULL},
    {"sha3_384", "EVP_sha3_384", NULL},
};
#define DIGESTS (sizeof digests / sizeof *digests)

static hmac_fn *hmac;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ISO C has no cast from an object's pointer to a function's. */
static void symbol(void *lib, const char *name, void *to) {
  void *p = dlsym(lib, name);

  memcpy(to, &p, sizeof p);
}

static void load(void) {
  static const char *const files[] = {"libcrypto.so.3", "libcrypto.so.1.1",
                                      "libcrypto.so"};
  void *lib = NULL;
  size_t i;

  for (i = 0; i < sizeof files / sizeof *files && !lib; i++)
    lib = dlopen(files[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!lib)
    return;
  for (i = 0; i < DIGESTS; i++)
    symbol(lib, digests[i].symbol, &digests[i].digest);
  symbol(lib, "HMAC", &hmac);
}

int mp__mac_load(void) {
  (void)pthread_once(&once, load);
  return hmac ? 0 : -MP_ECRYPTO;
}

int mp__mac(const char *name, size_t namelen, const void *key, size_t keylen,
            const void *m, size_t len, unsigned char to[MP__MAC_MAX]) {
  unsigned n = 0;
  size_t i;

  for (i = 0; i < DIGESTS; i++)
    if (strlen(digests[i].name) == namelen &&
        memcmp(digests[i].name, name, namelen) == 0)
      break;
  if (i == DIGESTS || !digests[i].digest)
    return -ENOENT;
  if (!hmac(digests[i].digest(), key, (int)keylen, m, len, to, &n))
    return -ENOENT; /* switched off here, as md5 may be */
  return (int)n;
}

int mp__mac_equal(const unsigned char *a, const unsigned char *b, size_t len) {
  volatile unsigned char differ = 0;
  size_t i;

  for (i = 0; i < len; i++)
    differ = (unsigned char)(differ | (a[i] ^ b[i]));
  return differ == 0;
}
