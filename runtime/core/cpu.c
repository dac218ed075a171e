/* cpu.c -- owns the count of CPUs: those there are, and those we may use. */
#include "mp.h"

#include "sys.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int mp_cpu_count(void) {
  long n = sysconf(_SC_NPROCESSORS_ONLN);

  return n > 0 ? (int)n : 1;
}

static int read_file(const char *path, char *buf, size_t cap) {
  int fd = mp__sys_high(open(path, O_RDONLY | O_CLOEXEC));
  int64_t n;

  if (fd < 0)
    return fd;
  n = mp__sys_read(fd, buf, cap - 1);
  mp__sys_close(fd);
  buf[n > 0 ? n : 0] = '\0';
  return n > 0 ? 0 : -1;
}

/* "QUOTA PERIOD" of one group (cgroup v2): CPUs rounded up, 0: no limit. */
static int quota_of(const char *root, const char *group) {
  char path[600];
  char buf[64];
  long quota;
  long period;

  (void)snprintf(path, sizeof path, "%s%s/cpu.max", root, group);
  if (read_file(path, buf, sizeof buf) < 0 ||
      sscanf(buf, "%ld %ld", &quota, &period) != 2 || quota <= 0 || period <= 0)
    return 0;
  return (int)((quota + period - 1) / period);
}

/* From our group up to the root. */
int mp__cpu_quota(const char *groups, const char *root) {
  char buf[512];
  char *group;
  char *slash;
  int least = 0;
  int q;

  if (read_file(groups, buf, sizeof buf) < 0 || strncmp(buf, "0::/", 4) != 0)
    return 0;
  group = buf + 3;
  group[strcspn(group, "\n")] = '\0';
  do {
    q = quota_of(root, group);
    if (q > 0 && (least == 0 || q < least))
      least = q;
    slash = strrchr(group, '/');
    if (slash)
      *slash = '\0';
  } while (slash);
  return least;
}

int mp_cpu_usable(void) {
  int n = mp__sys_affinity();
  int q = mp__cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup");

  return q > 0 && q < n ? q : n;
}
