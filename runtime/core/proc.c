/* proc.c -- owns a process as a value: its record.
 *
 * A record is a seat in the family's table, counted like any object, so name,
 * pid and exit code can be read by every holder after the process's end.
 */
#include "mp.h"

#include "bare.h"
#include "launch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define IDENT_KEPT 28 /* bytes of the parent's; a deep one is cut */

static struct mp__slot *slot_of(mp_ref p) {
  return mp__at(MP_REF_ID(p));
}

/* The record */

/* Not by printf, which works so far down the stack that after each fork a page
 * more has to be copied. */
static void next_ident(struct mp__slot *me, struct mp__slot *s) {
  char digits[12];
  char *first = digits + sizeof digits - 1;
  uint32_t n = ++me->nchild;
  size_t len = strnlen(me->ident, IDENT_KEPT);

  *first = '\0';
  do
    *--first = (char)('0' + n % 10);
  while ((n /= 10) > 0);
  memcpy(s->ident, me->ident, len);
  if (len > 0)
    s->ident[len++] = ':';
  memcpy(s->ident + len, first, strlen(first) + 1);
}

int mp_proc_open(mp_ref *held, const char *name, unsigned flags) {
  struct mp__slot *s;
  struct mp__slot *me;
  struct mp__txn t;
  int rc = mp_enter();

  *held = MP_REF_EMPTY;
  if (rc < 0)
    return rc;
  me = mp__me();
  mp__begin(&t);
  rc = mp__slot_new(&t, &s);
  if (rc == 0)
    rc = mp__hold(&t, me, MP__SLOT_REF(s), held);
  if (rc < 0) {
    mp__abort(&t);
    *held = MP_REF_EMPTY;
    return rc;
  }
  next_ident(me, s);
  if (name)
    (void)snprintf(s->name, sizeof s->name, "%s", name);
  else
    (void)stpcpy(stpcpy(s->name, "Process-"), s->ident);
  s->parent_name = MP__SLOT_REF(me);
  mp__set(&t, &s->flags, flags & (MP_PROC_DAEMON | MP_PROC_QUIET));
  mp__set(&t, &s->obj.refs[0], 1);
  mp__end(&t);
  return 0;
}

MP__NEAR mp_ref mp_proc_self(void) {
  return MP__SLOT_REF(mp__me());
}

mp_ref mp_proc_parent(void) {
  return mp__me()->parent_name;
}

int mp_proc_child(unsigned i, mp_ref *held) {
  struct mp__slot *s;
  struct mp__txn t;
  uint64_t steps = 0;
  uint64_t at;
  int rc = -ENOENT;

  *held = MP_REF_EMPTY;
  mp__begin(&t);
  for (at = mp__me()->child; at; at = s->older) {
    mp__turn(&steps);
    s = mp__slot_at(at);
    if (!(s->flags & MP__PROC_HIDDEN) && i-- == 0) {
      rc = mp__hold(&t, mp__me(), at, held);
      break;
    }
  }
  if (rc < 0) {
    mp__abort(&t);
    *held = MP_REF_EMPTY;
    return rc;
  }
  mp__ref(&t, at);
  mp__end(&t);
  return 0;
}

int mp_proc_name(mp_ref p, char name[MP_NAME_MAX + 1]) {
  memcpy(name, slot_of(p)->name, MP_NAME_MAX + 1);
  name[MP_NAME_MAX] = '\0';
  return 0;
}

int mp_proc_rename(mp_ref p, const char *name) {
  struct mp__slot *s = slot_of(p);

  (void)snprintf(s->name, sizeof s->name, "%s", name);
  return 0;
}

int mp_proc_flags(mp_ref p) {
  return (int)(slot_of(p)->flags & MP_PROC_DAEMON);
}

int mp_proc_set_flags(mp_ref p, unsigned flags) {
  struct mp__slot *s = slot_of(p);
  struct mp__txn t;
  int rc = 0;

  mp__begin(&t);
  if (s->state != MP_NEW)
    rc = -MP_ESTARTED;
  else
    mp__set(&t, &s->flags,
            (s->flags & ~(uint64_t)MP_PROC_DAEMON) | (flags & MP_PROC_DAEMON));
  mp__end(&t);
  return rc;
}

int mp_proc_state(mp_ref p) {
  return (int)mp__load64_acq(&slot_of(p)->state);
}

int mp_proc_method(mp_ref p) {
  return (int)slot_of(p)->method;
}

int mp_proc_pid(mp_ref p) {
  return (int)mp__load32_acq(&slot_of(p)->pid);
}

/* Plan and answer: parcels that the record holds */

static int keep_parcel(uint64_t *word, const struct mp_out *out) {
  struct mp__txn t;
  mp_ref parcel;
  int rc = mp__parcel_new(out, &parcel, MP__SURELY);

  if (rc < 0)
    return rc;
  mp__begin(&t);
  if (*word)
    mp__drop_word(&t, word);
  mp__pass(&t, mp__me(), parcel);
  mp__set(&t, word, MP_REF_ID(parcel));
  mp__end(&t);
  mp__collect();
  return 0;
}

static int view_parcel(uint64_t *word, struct mp_msg *m) {
  struct mp__txn t;
  mp_ref held = MP_REF_EMPTY;
  int rc = -ENOENT;

  *m = MP_MSG_EMPTY;
  mp__begin(&t);
  if (*word)
    rc = mp__hold(&t, mp__me(), *word, &held);
  if (rc < 0) {
    mp__abort(&t);
    return rc;
  }
  mp__ref(&t, MP_REF_ID(held));
  mp__end(&t);
  mp__parcel_view(held, m);
  return 0;
}

int mp_proc_set_plan(mp_ref p, const struct mp_out *out) {
  return keep_parcel(&slot_of(p)->plan, out);
}

int mp_proc_plan(mp_ref p, struct mp_msg *m) {
  return view_parcel(&slot_of(p)->plan, m);
}

/* Taken up: what it names is held by whoever runs it now. */
void mp_proc_drop_plan(void) {
  struct mp__slot *me = mp__me();
  struct mp__txn t;

  mp__begin(&t);
  if (me->plan)
    mp__drop_word(&t, &me->plan);
  mp__end(&t);
  mp__collect();
}

int mp_proc_set_answer(mp_ref p, const struct mp_out *out) {
  return keep_parcel(&slot_of(p)->answer, out);
}

int mp_proc_answer(mp_ref p, struct mp_msg *m) {
  return view_parcel(&slot_of(p)->answer, m);
}
