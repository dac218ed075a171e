/* parcel.c -- owns long messages: a block with the bytes, and the names of
 * objects that it keeps alive.
 *
 * nrefs counts the names whose counts the parcel has added so far, one a
 * transaction; a parcel whose maker dies half-way is let go by the sweep and
 * gives back just those.
 */
#include "mp.h"

#include "family.h"
#include "fault.h"
#include "sys.h"

#include <string.h>

size_t mp__out_len(const struct mp_out *out) {
  size_t len = 0;
  unsigned i;

  for (i = 0; i < out->niov; i++)
    len += out->iov[i].len;
  return len;
}

void mp__out_copy(void *to, const struct mp_out *out) {
  char *p = to;
  unsigned i;

  for (i = 0; i < out->niov; i++) {
    if (out->iov[i].len)
      memcpy(p, out->iov[i].base, out->iov[i].len);
    p += out->iov[i].len;
  }
}

/* The parcel keeps one more of the objects alive. */
static int add_ref(struct mp__parcel *p, uint64_t name, int64_t deadline) {
  struct mp__txn t;
  int rc = mp__begin_by(&t, deadline);

  if (rc < 0)
    return rc;
  p->refs[p->nrefs] = name;
  mp__ref(&t, name);
  mp__set(&t, &p->nrefs, p->nrefs + 1);
  mp__end(&t);
  MP_FAULT("parcel.ref");
  return 0;
}

int mp__parcel_new(const struct mp_out *out, mp_ref *held, int64_t deadline) {
  uint64_t len = mp__out_len(out);
  uint64_t head = sizeof(struct mp__parcel) + out->nrefs * sizeof(uint64_t);
  struct mp__parcel *p;
  struct mp__txn t;
  unsigned i;
  int rc = mp__begin_by(&t, deadline);

  *held = MP_REF_EMPTY;
  if (rc < 0)
    return rc;
  rc = mp__obj_fill(&t, MP_TYPE_PARCEL, head + len, held);
  if (rc < 0)
    return rc;
  p = mp__at(MP_REF_ID(*held));
  p->nrefs = 0;
  p->len = len;
  mp__end(&t);
  for (i = 0; i < out->nrefs; i++) {
    rc = add_ref(p, MP_REF_ID(out->refs[i]), deadline);
    if (rc < 0) {
      mp_ref_close(held);
      return rc;
    }
  }
  mp__out_copy(p->refs + out->nrefs, out);
  MP_FAULT("parcel.copied");
  return 0;
}

void mp__parcel_check(const struct mp__parcel *p) {
  uint64_t room = mp__usable(mp__off(p)) - sizeof *p;

  if (p->len > room || p->nrefs > (room - p->len) / sizeof *p->refs)
    mp__sys_damaged("a message is longer than its block");
}

void mp__parcel_view(mp_ref held, struct mp_msg *m) {
  struct mp__parcel *p = mp__at(MP_REF_ID(held));

  mp__parcel_check(p);
  m->parcel = held;
  m->refs = p->refs;
  m->nrefs = (unsigned)p->nrefs;
  m->data = (const char *)(p->refs + p->nrefs);
  m->len = p->len;
}

void mp_msg_close(struct mp_msg *m) {
  mp_ref_close(&m->parcel);
  *m = MP_MSG_EMPTY;
}
