/* frame_fuzz.c -- any bytes at all for who receives framed messages.
 *
 * The first byte says in what pieces they come, and whether the end follows.
 * Whole messages have the length that was said; after an error there is never
 * another message; memory is asked for by nobody.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* As far as it goes without waiting; the last answer. */
static int receive(struct mp_conn *c) {
  char part[100];
  uint64_t whole = 0, seen;
  size_t got;
  int rc;

  for (;;) {
    rc = mp_conn_head(c, &whole, MP_NOW);
    if (rc < 0)
      return rc;
    for (seen = 0;; seen += got) {
      rc = mp_conn_body(c, part, sizeof part, &got, MP_NOW);
      if (rc < 0) /* what is left of a message is asked for by its length */
        return rc;
      if (got > sizeof part || seen + got > whole)
        abort();
      if (got == 0)
        break;
    }
    if (seen != whole)
      abort();
    mp_conn_next(c);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  struct mp_conn c = MP_CONN_EMPTY;
  size_t piece, at, n;
  int fd[2], rc = 0, again;

  if (len < 1 || socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
    return 0;
  c.fd = fd[0];
  piece = (data[0] & 127u) + 1;
  for (at = 1; at < len && rc != -MP_EPROTOCOL && rc != -MP_ETRUNCATED;
       at += n) {
    n = len - at < piece ? len - at : piece;
    if (write(fd[1], data + at, n) != (ssize_t)n)
      abort();
    rc = receive(&c);
    if (rc != -MP_ETIMEOUT && rc != -MP_EPROTOCOL && rc != -MP_ETRUNCATED)
      abort();
  }
  if (data[0] & 128)
    (void)shutdown(fd[1], SHUT_WR);
  rc = receive(&c);
  again = receive(&c);
  if (rc != -MP_ETIMEOUT && again != rc)
    abort(); /* an end stays the end */
  mp_conn_close(&c);
  (void)close(fd[1]);
  return 0;
}
