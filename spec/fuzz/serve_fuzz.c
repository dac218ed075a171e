/* serve_fuzz.c -- any requests at all to a child that stands by, of a family
 * whose memory may be damaged meanwhile.
 *
 * It sits down on the seat that was given to it, lets everything else pass, and
 * ends when the asker does.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "damage.h"
#include "launch.h"

static mp_ref waiting[2]; /* the first was given to it, the second to nobody */
static mp_ref other;      /* and this was not even started */
static mp_ref server;
static struct mp__here ours;
static struct mp__slot *me;
static int sock[2];

static struct mp__slot *seat_of(mp_ref p) {
  return (void *)(mp__here.base + MP_REF_ID(p));
}

static void make_family(void) {
  int i;

  enter_family();
  for (i = 0; i < 2; i++)
    if (mp_proc_open(&waiting[i], "child", 0) < 0 ||
        mp__start_prepare(seat_of(waiting[i]), MP_FORKSERVER) < 0)
      abort();
  if (mp_proc_open(&other, "other", 0) < 0 ||
      mp_proc_open(&server, "server", 0) < 0 ||
      mp__start_prepare(seat_of(server), MP_SPAWN) < 0)
    abort();
  seat_of(waiting[0])->pid = (uint32_t)mp__sys_getpid();
  cloned = 0;
  keep_memory();
  ours = mp__here;
  me = mp__me();
}

/* What may be asked, what may not, and what is no request. */
static void ask(struct input *in) {
  uint64_t q[3] = {0};
  size_t n = 16;
  unsigned how = byte_of(in);

  switch (how % 5) {
  case 0:
  case 1:
    q[0] = MP_REF_ID(waiting[how % 5]);
    q[1] = seat_of(waiting[how % 5])->gen;
    break;
  case 2:
    q[0] = MP_REF_ID(other);
    q[1] = seat_of(other)->gen;
    break;
  case 3:
    q[0] = (uint64_t)half_of(in) * 8;
    q[1] = byte_of(in);
    break;
  default:
    n = byte_of(in) % sizeof q;
    memcpy(q, in->at,
           n < (size_t)(in->end - in->at) ? n : (size_t)(in->end - in->at));
  }
  (void)send(sock[0], q, n, MSG_DONTWAIT);
}

/* A member of its own in the same memory, as exec would make it. */
static int serve(void) {
  char ticket[120];

  (void)snprintf(ticket, sizeof ticket, "%d,%d,%d,%d,%u,%llu", ours.memfd,
                 ours.vault[0], ours.vault[1], sock[1],
                 mp__slot_index(seat_of(server)),
                 (unsigned long long)seat_of(server)->gen);
  return mp_join(ticket) == 1 && mp_serve(NULL, NULL) == 0;
}

static void look(int sits, int damaged) {
  if (!damaged && sits &&
      mp__at(MP_REF_ID(mp_proc_self())) != (void *)seat_of(waiting[0]))
    abort(); /* on a seat that was not given to it */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  struct input in = {data, data + len};
  volatile int sits = 0;
  int damaged = 0;

  if (!piece[0].copy)
    make_family();
  put_back();
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sock) < 0)
    abort();
  while (in.at < in.end)
    if (byte_of(&in) < 200) {
      ask(&in);
    } else {
      damage(&in);
      damaged = 1;
    }
  (void)shutdown(sock[0], SHUT_WR);
  if (setjmp(end_of_input) == 0)
    sits = serve();
  look(sits, damaged);
  if (mp__here.base != ours.base)
    (void)munmap(mp__here.base, mp__here.window);
  mp__here = ours;
  mp__set_me(me, 0);
  (void)close(sock[0]);
  (void)close(sock[1]);
  return 0;
}
