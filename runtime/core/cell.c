/* cell.c -- owns shared values and arrays: one object, its data behind it.
 *
 * What a cell is (struct mp__cell, and the fields of a struct) is written
 * before anybody else can name it and never changes.  The data belongs to
 * its users.  The lock is an object of its own, made when first asked for and
 * counted by the cell.
 */
#include "mp.h"

#include "cell.h"
#include "family.h"
#include "fault.h"
#include "sys.h"

#include <errno.h>
#include <string.h>

#define ALIGN 64

static uint64_t aligned(uint64_t at, uint64_t to) {
  return (at + to - 1) / to * to;
}

static struct mp__cell *cell_of(mp_ref cell) {
  return mp__at(MP_REF_ID(cell));
}

int64_t mp_struct_layout(struct mp_field *fields, unsigned n) {
  uint64_t at = 0, widest = 1, size;
  unsigned i;

  if (n == 0 || n > MP_FIELDS_MAX)
    return -EINVAL;
  for (i = 0; i < n; i++) {
    size = mp_num_size(fields[i].code);
    if (size == 0 || fields[i].count == 0)
      return -EINVAL;
    at = aligned(at, size);
    fields[i].offset = at;
    at += size * fields[i].count;
    if (size > widest)
      widest = size;
  }
  return (int64_t)aligned(at, widest);
}

/* The element's size, and where the data begins; 0 or < 0. */
static int measure(const struct mp_cell *what, uint64_t *size, uint64_t *data,
                   uint64_t *len) {
  *size = what->code == MP_STRUCT ? what->size : mp_num_size(what->code);
  *data = aligned(
      sizeof(struct mp__cell) + what->nfields * sizeof(struct mp_field), ALIGN);
  if (*size == 0)
    return -EINVAL;
  if (what->n > (((uint64_t)1 << MP_REF_BITS) - *data) / *size)
    return -ENOMEM;
  *len = *data + *size * what->n;
  return 0;
}

int mp_cell_open(mp_ref *held, enum mp_type type, const struct mp_cell *what) {
  uint64_t size = 0, data = 0, len = 0;
  struct mp__cell *c;
  struct mp__txn t;
  int rc = mp_enter();

  *held = MP_REF_EMPTY;
  if (rc == 0)
    rc = measure(what, &size, &data, &len);
  if (rc < 0)
    return rc;
  rc = mp__obj_open(&t, type, len, held);
  if (rc < 0)
    return rc;
  if (what->lock)
    mp__ref(&t, MP_REF_ID(what->lock));
  c = mp__at(MP_REF_ID(*held)); /* nobody else's yet */
  c->n = what->n;
  c->size = size;
  c->data = data;
  c->code = what->code;
  c->raw = (what->flags & MP_CELL_RAW) != 0;
  c->lock = MP_REF_ID(what->lock);
  c->nfields = what->nfields;
  if (what->nfields)
    memcpy(c->fields, what->fields, what->nfields * sizeof *c->fields);
  mp__end(&t);
  /* Without the big lock: it may be long. */
  memset((char *)c + data, 0, len - data);
  MP_FAULT("cell.cleared");
  return 0;
}

/* Its data lies behind its fields, and in its block. */
static void check_room(const struct mp__cell *c) {
  uint64_t room = mp__usable(mp__off(c));
  uint64_t len;

  if (c->data > room || __builtin_mul_overflow(c->n, c->size, &len) ||
      len > room - c->data || c->data < sizeof *c ||
      (c->data - sizeof *c) / sizeof *c->fields < c->nfields)
    mp__sys_damaged("an array is longer than its block");
}

void mp_cell_view(mp_ref cell, struct mp_cell *view) {
  struct mp__cell *c = cell_of(cell);

  check_room(c);
  *view = (struct mp_cell){
      .data = (char *)c + c->data,
      .n = c->n,
      .size = c->size,
      .code = c->code,
      .flags = c->raw ? MP_CELL_RAW : 0,
      .nfields = c->nfields,
      .fields = c->nfields ? c->fields : NULL,
      .lock = mp__load64_acq(&c->lock),
  };
}

/* Another may be first; then ours goes again. */
static int make_lock(struct mp__cell *c) {
  struct mp__txn t;
  mp_ref lock;
  int rc = mp_mutex_open(&lock, 1);

  if (rc < 0)
    return rc;
  mp__begin(&t);
  if (mp__peek(&t, &c->lock) == 0) {
    mp__ref(&t, MP_REF_ID(lock));
    mp__set(&t, &c->lock, MP_REF_ID(lock));
  }
  mp__end(&t);
  mp_ref_close(&lock);
  return 0;
}

int mp_cell_lock(mp_ref cell, mp_ref *lock) {
  struct mp__cell *c = cell_of(cell);
  int rc = 0;

  *lock = MP_REF_EMPTY;
  if (c->raw)
    return 0;
  if (mp__load64_acq(&c->lock) == 0)
    rc = make_lock(c);
  if (rc == 0)
    *lock = mp__load64_acq(&c->lock);
  return rc;
}

int mp__cell_step(struct mp__txn *t, uint64_t off) {
  struct mp__cell *c = mp__at(off);

  if (c->lock == 0)
    return 0;
  mp__drop_word(t, &c->lock);
  return 1;
}
