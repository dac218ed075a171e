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

int mp__parcel_new(const struct mp_out *out, mp_ref *held) {
  uint64_t len = mp__out_len(out);
  uint64_t head = sizeof(struct mp__parcel) + out->nrefs * sizeof(uint64_t);
  struct mp__parcel *p;
  struct mp__txn t;
  uint64_t off;
  unsigned i;
  int rc;

  mp__begin(&t);
  rc = mp__obj_new(&t, MP_TYPE_PARCEL, head + len, &off);
  if (rc == 0)
    rc = mp__hold(&t, mp__me(), off, held);
  if (rc < 0) {
    mp__abort(&t);
    *held = MP_REF_EMPTY;
    return rc;
  }
  p = mp__at(off);
  p->obj.refs[0] = 1;
  p->nrefs = 0;
  p->len = len;
  mp__end(&t);
  for (i = 0; i < out->nrefs; i++) {
    mp__begin(&t);
    p->refs[i] = MP_REF_ID(out->refs[i]);
    mp__ref(&t, p->refs[i]);
    mp__set(&t, &p->nrefs, i + 1);
    mp__end(&t);
    MP_FAULT("parcel.ref");
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
