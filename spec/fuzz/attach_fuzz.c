/* attach_fuzz.c -- a process that joins a family whose memory is damaged, cut
 * short, or not the family's at all.
 *
 * It joins, or is told that it cannot; then it does what a child does first.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "damage.h"
#include "launch.h"

static mp_ref ends[2];
static mp_ref child;
static int file;
static struct mp__here ours;
static struct mp__slot *me;
static char bytes[20000];

static void make_family(void) {
  struct mp_iov iov = {bytes, sizeof bytes};
  struct mp_out out = {&iov, 1, 1, ends};

  enter_family();
  file = memfd_create("damaged", MFD_CLOEXEC);
  if (file < 0 || mp_pipe_open(&ends[0], &ends[1], 0) < 0 ||
      mp_proc_open(&child, "child", 0) < 0 ||
      mp_pipe_send(ends[0], &out, MP_NOW) < 0 ||
      mp__start_prepare(mp__at(MP_REF_ID(child)), MP_SPAWN) < 0)
    abort();
  keep_memory();
  ours = mp__here;
  me = mp__me();
}

/* The family's memory, as it is now, up to `size` bytes. */
static void copy_memory(uint64_t size) {
  int i;

  if (ftruncate(file, 0) < 0 || ftruncate(file, (off_t)size) < 0)
    abort();
  for (i = 0; i < 2; i++) {
    uint64_t n = piece[i].len;

    if (piece[i].from >= size)
      continue;
    if (piece[i].from + n > size)
      n = size - piece[i].from;
    if (pwrite(file, mp__here.base + piece[i].from, n, (off_t)piece[i].from) !=
        (ssize_t)n)
      abort();
  }
}

static void attach(struct mp__slot *seat) {
  struct mp_msg m = {0};
  char ticket[120];
  mp_ref held;

  (void)snprintf(ticket, sizeof ticket, "%d,%d,%d,-1,%u,%llu", file,
                 ours.vault[0], ours.vault[1], mp__slot_index(seat),
                 (unsigned long long)seat->gen);
  mp__here.base = NULL;
  mp__here.reach = 0;
  if (mp_join(ticket) < 0)
    return;
  (void)mp__scan();
  mp__collect();
  if (mp_ref_dup(MP_REF_ID(ends[1]), &held) == 0) {
    static char scratch[MP_INLINE_MAX];

    if (mp_pipe_recv(held, &m, scratch, MP_NOW) == 0)
      mp_msg_close(&m);
    mp_ref_close(&held);
  }
  if (mp_proc_open(&held, NULL, 0) == 0)
    mp_ref_close(&held);
}

/* Who we were. */
static void detach(void) {
  if (mp__here.base && mp__here.base != ours.base)
    (void)munmap(mp__here.base, mp__here.window);
  mp__here = ours;
  mp__set_me(me, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  struct input in = {data, data + len};
  uint64_t size;
  unsigned cut;

  if (!piece[0].copy)
    make_family();
  put_back();
  size = piece[1].from + piece[1].len;
  cut = byte_of(&in);
  if (cut & 1)
    size = cut & 2 ? half_of(&in) * 8 : size - half_of(&in) * 8;
  while (in.at < in.end)
    damage(&in);
  copy_memory(size);
  memcpy(mp__here.base, piece[0].copy, piece[0].len);
  if (setjmp(end_of_input) == 0)
    attach(mp__at(MP_REF_ID(child)));
  detach();
  return 0;
}
