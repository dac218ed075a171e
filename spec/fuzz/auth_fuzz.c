/* auth_fuzz.c -- any bytes at all for either side of a handshake.
 *
 * The first byte says which side, whether md5 will do, and in what pieces they
 * come.  Who has not the key is never let in, and is never sent more than the
 * handshake has frames for.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  struct mp_conn c = MP_CONN_EMPTY;
  struct mp_auth a;
  char answer[4 * (MP_AUTH_FRAME + 4)];
  size_t piece, at, n;
  unsigned flags;
  int fd[2], rc;

  if (len < 1 || socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
    return 0;
  c.fd = fd[0];
  flags = (data[0] & 1 ? MP_AUTH_LISTENER : 0u) |
          (data[0] & 2 ? MP_AUTH_STRONG : 0u);
  piece = (data[0] >> 2) + 1u;
  if (mp_auth_begin(&a, flags) < 0)
    abort();
  rc = mp_auth_step(&a, &c, "secret", 6);
  for (at = 1; at < len && rc == 0; at += n) {
    n = len - at < piece ? len - at : piece;
    if (write(fd[1], data + at, n) != (ssize_t)n)
      abort();
    rc = mp_auth_step(&a, &c, "secret", 6);
  }
  if (rc == 0) {
    (void)shutdown(fd[1], SHUT_WR);
    rc = mp_auth_step(&a, &c, "secret", 6);
  }
  if (rc > 0 || a.got > MP_AUTH_FRAME)
    abort();
  if (recv(fd[1], answer, sizeof answer, MSG_DONTWAIT) == sizeof answer)
    abort();
  mp_conn_close(&c);
  (void)close(fd[1]);
  return 0;
}
