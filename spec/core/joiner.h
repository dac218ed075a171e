/* joiner.h -- children by spawn and fork server: this very program, started
 * with "join TICKET".
 *
 * Their plan says what they do: one byte, and what it needs.  See do_plan.
 */
#ifndef JOINER_H
#define JOINER_H

#include "crew.h"

#include <stdio.h>
#include <string.h>

static const char *const joiner_argv[] = {"/proc/self/exe", "joiner", "join",
                                          "%d", NULL};

/* exit N: "eN"; end with no claim: "_N"; wait for ever: "w"; end by signal:
 * "kN"; send its own mask of signals and what is open to the first pipe: "r" */
static inline int do_plan(void) {
  struct mp_msg m;
  char what;
  int n;

  if (mp_proc_plan(mp_proc_self(), &m) < 0 || m.len < 1)
    return 99;
  what = m.data[0];
  n = m.len > 1 ? (unsigned char)m.data[1] : 0;
  if (what == 'r' && m.nrefs == 1) {
    mp_ref end;

    if (mp_ref_dup(m.refs[0], &end) < 0)
      return 98;
    n = send_bytes(end, "here", 4, in_ms(5000)) == 0 ? n : 97;
    mp_ref_close(&end);
  }
  mp_msg_close(&m);
  if (what == '_')
    _exit(n);
  while (what == 'w')
    (void)pause();
  if (what == 'k')
    (void)raise(n);
  return n;
}

static inline int set_plan(mp_ref p, char what, int n, const mp_ref *ref) {
  char bytes[2] = {what, (char)n};
  struct mp_iov iov = {bytes, 2};
  struct mp_out out = {&iov, 1, ref ? 1 : 0, ref};

  return mp_proc_set_plan(p, &out);
}

/* A new process that is to follow the plan; 0 or what went wrong. */
static inline int start_plan(mp_ref *p, enum mp_method how, char what, int n,
                             const mp_ref *ref, unsigned flags) {
  int rc = mp_proc_open(p, NULL, flags);

  if (rc == 0)
    rc = set_plan(*p, what, n, ref);
  if (rc < 0)
    return rc;
  if (how == MP_FORK) {
    rc = mp_proc_fork(*p);
    if (rc == 0)
      mp_exit(do_plan());
    return rc < 0 ? rc : 0;
  }
  return how == MP_SPAWN ? mp_proc_spawn(*p, joiner_argv)
                         : mp_proc_serve(*p, joiner_argv);
}

/* Asked before main, wherever this program is started; not every C library
 * hands a constructor the arguments. */
__attribute__((constructor)) static void joiner(void) {
  char line[512];
  FILE *f = fopen("/proc/self/cmdline", "r");
  size_t len = f ? fread(line, 1, sizeof line - 1, f) : 0;
  const char *how = line + strlen("joiner") + 1;
  int rc;

  if (!f)
    _exit(126); /* one without descriptors is none that runs tests */
  (void)fclose(f);
  line[len] = '\0';
  if (len < sizeof "joiner\0join" || memcmp(line, "joiner\0join", 12) != 0)
    return;
  rc = mp_join(how + sizeof "join");
  if (rc == 1)
    rc = mp_serve(NULL, NULL);
  if (rc < 0)
    _exit(96);
  mp_exit(do_plan());
}

#endif
