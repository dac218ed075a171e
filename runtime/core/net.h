/* net.h -- every plain system call on sockets that have an address.
 *
 * As in sys.h: >= 0 or -errno, close-on-exec from birth.
 */
#ifndef MP_NET_H
#define MP_NET_H

#include <stdint.h>

struct mp_addr;
struct addrinfo;

/* A file's identity, to tell our socket from one that took its place. */
struct mp__node {
  uint64_t dev, ino;
};

/* The addresses that `a` stands for; to be freed.  -MP_EADDRESS, ... */
int mp__net_resolve(const struct mp_addr *a, int passive,
                    struct addrinfo **list);
void mp__net_free(struct addrinfo *list);

int mp__net_socket(int family, int nonblock);
int mp__net_bind(int fd, const struct addrinfo *ai);
int mp__net_listen(int fd, int backlog);
/* A blocking descriptor; the peer's address through *peer. */
int mp__net_accept(int fd, struct mp_addr *peer);
/* 0, -EINPROGRESS, -EAGAIN (a unix socket's backlog is full) */
int mp__net_connect(int fd, const struct addrinfo *ai);
int mp__net_error(int fd); /* what became of a connect: 0 or -errno */
int mp__net_name(int fd, struct mp_addr *a);
void mp__net_block(int fd);
int mp__net_private(int fd); /* the file that bind makes is the owner's alone */
int mp__net_reuse(int fd);
void mp__net_tune(int fd, int family); /* a connected one: no delay, alive */
/* 1 when the peer is root or runs under our own user */
int mp__net_same_user(int fd);

/* the file of a unix socket */
int mp__net_file(const char *path, struct mp__node *f); /* -ENOTSOCK, ... */
void mp__net_unlink(const char *path);
/* 1: somebody listens there, 0: nobody */
int mp__net_answers(const char *path);
/* A descriptor that holds a lock on the path's directory, for a second at
 * most; < 0 if it was not to be had. */
int mp__net_lock_dir(const char *path);

/* the directory of our own for a socket without an address */
int mp__net_make_dir(char *path, uint64_t cap);
void mp__net_remove_dir(const char *path);

#endif
