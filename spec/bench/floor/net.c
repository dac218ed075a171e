/* net.c -- an echo over TCP on this machine. */
#include "floor.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#define WARMUPS 500
#define MESSAGE 8 /* an integer with its header */

struct net {
  int fd;
  long n;
};

static void bounce(int fd) {
  char m[MESSAGE];

  floor_must(read(fd, m, MESSAGE) == MESSAGE, "read");
  floor_must(write(fd, m, MESSAGE) == MESSAGE, "write");
}

static void echo(void *arg) {
  struct net *p = arg;

  for (long i = 0; i < p->n; i++)
    bounce(p->fd);
}

static void connect_pair(int fd[2]) {
  struct sockaddr_in a = {.sin_family = AF_INET};
  socklen_t len = sizeof a;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  int on = 1;

  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  floor_must(bind(listener, (struct sockaddr *)&a, len) == 0, "bind");
  floor_must(listen(listener, 1) == 0, "listen");
  floor_must(getsockname(listener, (struct sockaddr *)&a, &len) == 0, "name");
  fd[0] = socket(AF_INET, SOCK_STREAM, 0);
  floor_must(connect(fd[0], (struct sockaddr *)&a, len) == 0, "connect");
  fd[1] = accept(listener, NULL, NULL);
  floor_must(fd[1] >= 0, "accept");
  for (int i = 0; i < 2; i++)
    setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  close(listener);
}

static double tcp_pingpong(void) {
  long n = floor_count(40000);
  char m[MESSAGE] = "";
  struct net p;
  double begin;
  int fd[2];
  pid_t pid;

  connect_pair(fd);
  p = (struct net){fd[1], n + WARMUPS};
  pid = floor_child(echo, &p);
  floor_must(write(fd[0], m, MESSAGE) == MESSAGE, "write");
  for (int i = 1; i < WARMUPS; i++)
    bounce(fd[0]);
  begin = floor_now();
  for (long i = 0; i < n; i++)
    bounce(fd[0]);
  begin = floor_now() - begin;
  floor_must(read(fd[0], m, MESSAGE) == MESSAGE, "read");
  floor_join(pid);
  return (double)n / begin;
}

const struct floor_workload floor_net[] = {
    {"tcp_pingpong", tcp_pingpong},
    {NULL, NULL},
};
