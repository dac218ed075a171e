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
static int quota_of(const char *group) {
  char path[600];
  char buf[64];
  long quota;
  long period;

  (void)snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
  if (read_file(path, buf, sizeof buf) < 0 ||
      sscanf(buf, "%ld %ld", &quota, &period) != 2 || quota <= 0 || period <= 0)
    return 0;
  return (int)((quota + period - 1) / period);
}

/* The tightest quota from our group up to the root. */
static int cgroup_quota(void) {
  char buf[512];
  char *group;
  char *end;
  int least = 0;
  int q;

  if (read_file("/proc/self/cgroup", buf, sizeof buf) < 0 ||
      strncmp(buf, "0::/", 4) != 0)
    return 0;
  group = buf + 3;
  group[strcspn(group, "\n")] = '\0';
  for (;;) {
    q = quota_of(group);
    if (q > 0 && (least == 0 || q < least))
      least = q;
    end = strrchr(group, '/');
    if (!end || group[0] == '\0')
      return least;
    *end = '\0';
  }
}

int mp_cpu_usable(void) {
  int n = mp__sys_affinity();
  int q = cgroup_quota();

  return q > 0 && q < n ? q : n;
}
