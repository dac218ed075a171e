/* full.h -- the family's memory is full: what is made then fails, leaves
 * nothing behind, and works again when there is memory.
 */
#ifndef FULL_H
#define FULL_H

#include "check.h"

#include <sys/resource.h>

struct full {
  struct rlimit was;
  mp_ref *held;
  size_t n;
};

/* Take all there is, small blocks and entries of our ledger. */
static inline void full_begin(struct full *f) {
  struct rlimit now;
  int rc;

  REQUIRE(getrlimit(RLIMIT_FSIZE, &f->was) == 0);
  now = f->was;
  now.rlim_cur = MP__HEAD->size;
  REQUIRE(setrlimit(RLIMIT_FSIZE, &now) == 0);
  f->held = NULL;
  for (f->n = 0;; f->n++) {
    if (f->n % 1024 == 0)
      f->held = realloc(f->held, (f->n + 1024) * sizeof *f->held);
    REQUIRE(f->held != NULL);
    rc = mp_event_open(&f->held[f->n]);
    if (rc < 0)
      break;
  }
  CHECK_EQ(rc, -EFBIG);
}

static inline void full_end(struct full *f) {
  REQUIRE(setrlimit(RLIMIT_FSIZE, &f->was) == 0);
  while (f->n > 0)
    mp_ref_close(&f->held[--f->n]);
  free(f->held);
}

#define FULL_SPARE 64 /* of some sizes a few blocks are left */

/* What `open` makes cannot be made. */
static inline void full_check(int (*open)(mp_ref *held)) {
  mp_ref spare[FULL_SPARE], held = 1;
  struct full full;
  int n = 0, i;

  full_begin(&full);
  while (n < FULL_SPARE && open(&spare[n]) == 0)
    n++;
  for (i = 0; i < 2; i++) { /* the second finds no lock held */
    CHECK(open(&held) < 0);
    CHECK_EQ(held, MP_REF_EMPTY);
    held = 1;
  }
  full_end(&full);
  CHECK_EQ(open(&held), 0);
  mp_ref_close(&held);
  while (n > 0)
    mp_ref_close(&spare[--n]);
}

#endif
