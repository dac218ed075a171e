/* map.c -- owns the mapping of a named block into this process.
 *
 * A file of /dev/shm has no memory before it is touched, and touching it when
 * none is left is a SIGBUS.  To give it all its memory when it is made costs
 * 25 times what making it costs (2 microseconds a page), so each chunk gets
 * its own before its first use here; which ones have it is each process's own
 * knowledge.  A block of a chunk or less gets it at once.
 */
#include "mp.h"

#include "map.h"
#include "sys.h"

#include <errno.h>
#include <stdlib.h>

#define CHUNK 65536

static int is_backed(const struct mp_map *m, uint64_t i) {
  return m->backed[i / 8] >> i % 8 & 1;
}

static void all_backed(struct mp_map *m) {
  free(m->backed);
  m->backed = NULL;
  m->left = 0;
}

/* Chunks [i, end).  What others have given memory to meanwhile costs little;
 * and where the file has been made shorter, it gets its length back. */
static int back(struct mp_map *m, uint64_t i, uint64_t end) {
  uint64_t from = i * CHUNK;
  uint64_t to = end * CHUNK < m->size ? end * CHUNK : m->size;
  int rc;

  if (mp__sys_inode(m->fd) != m->ino)
    return -MP_EFAMILY;
  rc = mp__sys_fallocate(m->fd, from, to - from);
  if (rc < 0)
    return rc;
  for (; i < end; i++)
    if (!is_backed(m, i)) {
      m->backed[i / 8] |= (unsigned char)(1u << i % 8);
      m->left--;
    }
  if (m->left == 0)
    all_backed(m);
  return 0;
}

int mp_map_use(struct mp_map *m, uint64_t off, uint64_t len) {
  uint64_t i = off / CHUNK;
  uint64_t end;

  if (!m->backed || len == 0)
    return 0;
  end = (off + len - 1) / CHUNK + 1;
  while (i < end && is_backed(m, i))
    i++;
  return i < end ? back(m, i, end) : 0;
}

/* The descriptor is the mapping's from here on. */
int mp__map_fd(struct mp_map *m, int fd, struct mp__file *f) {
  uint64_t n;
  int rc;

  *m = MP_MAP_EMPTY;
  m->fd = fd;
  rc = mp__sys_file(fd, f);
  if (rc == 0 && f->size == 0)
    rc = -ENODATA;
  if (rc < 0)
    goto fail;
  m->ino = f->ino;
  m->size = f->size;
  n = (f->size - 1) / CHUNK + 1;
  if (f->backed < f->size) {
    m->left = n;
    m->backed = calloc(n / 8 + 1, 1);
  }
  m->at = mp__sys_map_file(fd, f->size);
  if (!m->at || (m->left && !m->backed))
    rc = -ENOMEM;
  else if (n == 1)
    rc = mp_map_use(m, 0, m->size);
  if (rc < 0)
    goto fail;
  return 0;

fail:
  mp__sys_close(fd);
  m->fd = -1;
  mp_map_close(m);
  return rc;
}

int mp__map_new(struct mp_map *m, uint64_t size, struct mp__file *f) {
  int fd = mp__shm_new();
  int rc;

  *m = MP_MAP_EMPTY;
  if (fd < 0)
    return fd;
  rc = size > mp__sys_room(fd) ? -ENOSPC : mp__sys_resize(fd, size);
  if (rc == 0)
    return mp__map_fd(m, fd, f);
  mp__sys_close(fd);
  return rc;
}

void mp_map_close(struct mp_map *m) {
  if (m->at)
    mp__sys_unmap(m->at, m->size);
  m->at = NULL;
  all_backed(m);
  if (m->fd >= 0 && mp__sys_inode(m->fd) == m->ino)
    mp__sys_close(m->fd);
  m->fd = -1;
}
