/* listen_fuzz.c -- any bytes at all from the clients of a listener.
 *
 * Two at a time, in pieces; who has not the key is never let in, nobody keeps
 * the listener from the others, and none of their descriptors is left open.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "mp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct mp_listener listener = MP_LISTENER_EMPTY;

static int connect_one(void) {
  struct sockaddr_un sun = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

  memcpy(sun.sun_path, listener.addr.name, listener.addr.len);
  if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof sun) < 0)
    abort();
  return fd;
}

/* As long as somebody is turned away there is more to do. */
static void accept_all(void) {
  struct mp_conn c = MP_CONN_EMPTY;
  struct mp_addr peer;
  int rc;

  do {
    rc = mp_accept(&listener, "secret", 6, &c, &peer, MP_NOW);
    if (rc >= 0)
      abort();
  } while (rc != -MP_ETIMEOUT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  size_t at = 1, n;
  int fd[2], i;

  if (len < 1)
    return 0;
  if (listener.fd < 0 &&
      mp_listen(&listener, NULL, 10, 0, (int64_t)3600 * 1000000000) < 0)
    abort();
  fd[0] = connect_one();
  fd[1] = connect_one();
  for (i = 0; at < len; i = !i, at += n) {
    n = data[0] % 64 + 1u;
    if (n > len - at)
      n = len - at;
    (void)send(fd[i], data + at, n, MSG_NOSIGNAL);
    accept_all();
  }
  for (i = 0; i < 2; i++)
    (void)close(fd[i]);
  accept_all();
  if (listener.npending > 0)
    abort();
  return 0;
}
