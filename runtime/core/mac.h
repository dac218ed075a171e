/* mac.h -- HMAC by the names of the handshake. */
#ifndef MP_MAC_H
#define MP_MAC_H

#include <stddef.h>

#define MP__MAC_MAX 64

/* Load the library, once.  0 or -MP_ECRYPTO */
int mp__mac_load(void);
/* HMAC-name(key, m) into `to`; its length, or -ENOENT: no such name. */
int mp__mac(const char *name, size_t namelen, const void *key, size_t keylen,
            const void *m, size_t len, unsigned char to[MP__MAC_MAX]);
/* 1 if equal, in a time that does not tell where they differ. */
int mp__mac_equal(const unsigned char *a, const unsigned char *b, size_t len);

#endif
