/* sys_shm.c -- owns the system calls of named shared memory: the files of
 * /dev/shm, where the C library's shm_open and so Python's SharedMemory look.
 */
#include "mp.h"

#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define DIR "/dev/shm"
#define FREED_AT_ONCE (64u << 10)

struct path {
  char text[sizeof DIR + 1 + MP_BLOCK_NAME_MAX];
};

int mp__shm_name(const char *name) {
  if (strlen(name) > MP_BLOCK_NAME_MAX)
    return -ENAMETOOLONG;
  if (!*name || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
    return -EINVAL;
  return 0;
}

static const char *path_of(struct path *p, const char *name) {
  (void)snprintf(p->text, sizeof p->text, DIR "/%s", name);
  return p->text;
}

/* A file that has no name yet: until it gets one, a death leaves nothing. */
int mp__shm_new(void) {
  return mp__sys_high(open(DIR, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

int mp__shm_open(const char *name) {
  struct path p;

  return mp__sys_high(open(path_of(&p, name), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
}

int mp__shm_link(int fd, const char *name) {
  char self[40];
  struct path p;

  (void)path_of(&p, name);
  if (linkat(fd, "", AT_FDCWD, p.text, AT_EMPTY_PATH) == 0)
    return 0;
  if (errno != ENOENT)
    return -errno;
  /* Before Linux 6.10 that took a privilege; this way takes /proc. */
  (void)snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
  return linkat(AT_FDCWD, self, AT_FDCWD, p.text, AT_SYMLINK_FOLLOW) < 0
             ? -errno
             : 0;
}

/* Only if it is still that file's.  The last name frees the memory at once,
 * which may take long: *keep puts it off until that is closed.  Not for what is
 * freed sooner than a descriptor is opened and closed. */
int mp__shm_unlink(const char *name, uint64_t dev, uint64_t ino, int *keep) {
  struct path p;
  struct stat st;

  *keep = -1;
  if (lstat(path_of(&p, name), &st) < 0)
    return -errno;
  if (st.st_dev != dev || st.st_ino != ino)
    return -ENOENT;
  if ((uint64_t)st.st_blocks * 512 > FREED_AT_ONCE)
    *keep = open(p.text, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  return unlink(p.text) < 0 ? -errno : 0;
}

int mp__sys_file(int fd, struct mp__file *f) {
  struct stat st;

  if (fstat(fd, &st) < 0)
    return -errno;
  if (!S_ISREG(st.st_mode))
    return -EINVAL;
  f->dev = st.st_dev;
  f->ino = st.st_ino;
  f->size = (uint64_t)st.st_size;
  f->backed = (uint64_t)st.st_blocks * 512;
  return 0;
}

int mp__sys_resize(int fd, uint64_t size) {
  struct rlimit lim;

  /* Past the file size limit the kernel answers with SIGXFSZ. */
  if (getrlimit(RLIMIT_FSIZE, &lim) == 0 && size > lim.rlim_cur)
    return -EFBIG;
  if (size > INT64_MAX)
    return -EFBIG;
  return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

uint64_t mp__sys_room(int fd) {
  struct statfs fs;

  if (fstatfs(fd, &fs) < 0 || fs.f_blocks == 0) /* no limit */
    return UINT64_MAX;
  return (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
}

void *mp__sys_map_file(int fd, uint64_t size) {
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

  return p == MAP_FAILED ? NULL : p;
}
