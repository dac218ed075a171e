/* fault.c -- owns the fault points of a build with MP_FAULTS. */
#include "mp.h"

#include "fault.h"

#ifdef MP_FAULTS

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* "name:n" in the environment: the n-th passage of that point. */
static void at_point(const char *spec, const char *name, int sig) {
  static int passed;
  size_t len = strlen(name);

  if (!spec || strncmp(spec, name, len) != 0 || spec[len] != ':')
    return;
  if (++passed == atoi(spec + len + 1))
    (void)raise(sig);
}

void mp__fault(const char *name) {
  at_point(getenv("MP_CRASH"), name, SIGKILL);
  at_point(getenv("MP_STOP"), name, SIGSTOP);
}

#else
typedef int mp__no_faults; /* a file must hold something */
#endif
