/* block.c -- owns named shared memory: the names of blocks, and who answers
 * for them.
 *
 * A block's record is an object of the family.  It is made before the name is,
 * and knows the file, so that whoever finds the creator dead can tell whether
 * what has the name is what was meant to have it:
 *
 *   killed before the record           a file without a name, which is gone
 *   ... between record and name        a record; unlinking finds nothing
 *   ... between unlinking and record   the same
 *
 * The record is in the list of its creator's seat, which counts as a holder
 * (refs[1]) but is not handed to forked children as a ledger is.
 */
#include "mp.h"

#include "family.h"
#include "fault.h"
#include "map.h"

#include <errno.h>
#include <string.h>

static struct mp__block *block_of(mp_ref ref) {
  return mp__at(MP_REF_ID(ref));
}

/* Records */

static void into_list(struct mp__txn *t, struct mp__slot *s,
                      struct mp__block *b) {
  b->owner = MP__SLOT_REF(s);
  b->next = s->blocks;
  b->obj.refs[1] = 1;
  if (b->next)
    mp__set(t, &((struct mp__block *)mp__at(b->next))->prev, mp__off(b));
  mp__set(t, &s->blocks, mp__off(b));
  mp__set(t, &MP__HEAD->named, MP__HEAD->named + 1);
}

static void out_of_list(struct mp__txn *t, struct mp__block *b) {
  if (!b->owner)
    return;
  if (b->next)
    mp__set(t, &((struct mp__block *)mp__at(b->next))->prev, b->prev);
  if (b->prev)
    mp__set(t, &((struct mp__block *)mp__at(b->prev))->next, b->next);
  else
    mp__set(t, &mp__slot_at(b->owner)->blocks, b->next);
  mp__set(t, &b->owner, 0);
  mp__set(t, &MP__HEAD->named, MP__HEAD->named - 1);
  mp__unref(t, mp__off(b) | 1);
}

static int record(const char *name, const struct mp__file *f, int ours,
                  mp_ref *held) {
  struct mp__block *b;
  struct mp__txn t;
  int rc = mp__obj_open(&t, MP_TYPE_BLOCK, sizeof *b, held);

  if (rc < 0)
    return rc;
  b = mp__at(MP_REF_ID(*held));
  b->dev = f->dev;
  b->ino = f->ino;
  strcpy(b->name, name);
  if (ours)
    into_list(&t, mp__me(), b);
  mp__end(&t);
  MP_FAULT("block.recorded");
  return 0;
}

/* The big lock is held.  Whatever is wrong with the name (its directory may
 * have been taken away), the list must come to its end. */
int mp__block_sweep(struct mp__txn *t, struct mp__slot *s) {
  struct mp__block *b = mp__at(s->blocks);
  int keep;

  (void)mp__shm_unlink(b->name, b->dev, b->ino, &keep);
  MP_FAULT("block.unlinked");
  out_of_list(t, b);
  return keep;
}

int mp__block_step(struct mp__txn *t, struct mp__block *b) {
  if (!b->fd)
    return 0;
  mp__drop_word(t, &b->fd);
  return 1;
}

/* The public face */

static int random_name(char *name) {
  static const char digit[] = "0123456789abcdef";
  unsigned char bytes[4];
  int rc = mp__sys_random(bytes, sizeof bytes);
  unsigned i;

  strcpy(name, "psm_");
  for (i = 0; i < 2 * sizeof bytes; i++)
    name[4 + i] = digit[bytes[i / 2] >> 4 * (i & 1) & 15];
  name[4 + i] = '\0';
  return rc;
}

static int publish(const char *name, const struct mp_map *m,
                   const struct mp__file *f, mp_ref *held) {
  struct mp__txn t;
  int rc = record(name, f, 1, held);

  if (rc < 0)
    return rc;
  rc = mp__shm_link(m->fd, name);
  MP_FAULT("block.linked");
  if (rc == 0)
    return 0;
  mp__begin(&t);
  out_of_list(&t, block_of(*held));
  mp__end(&t);
  mp_ref_close(held);
  return rc;
}

static int publish_made_up(const struct mp_map *m, const struct mp__file *f,
                           mp_ref *held) {
  char name[16];
  int rc;

  do {
    rc = random_name(name);
    if (rc == 0)
      rc = publish(name, m, f, held);
  } while (rc == -EEXIST);
  return rc;
}

int mp_block_create(const char *name, uint64_t size, mp_ref *held,
                    struct mp_map *m) {
  struct mp__file f;
  int rc = mp_enter();

  *held = MP_REF_EMPTY;
  *m = MP_MAP_EMPTY;
  if (rc == 0 && name)
    rc = mp__shm_name(name);
  if (rc == 0)
    rc = size == 0 ? -EINVAL : mp__map_new(m, size, &f);
  if (rc < 0)
    return rc;
  rc = name ? publish(name, m, &f, held) : publish_made_up(m, &f, held);
  if (rc < 0)
    mp_map_close(m);
  return rc;
}

int mp_block_attach(const char *name, mp_ref *held, struct mp_map *m) {
  struct mp__file f;
  int rc = mp_enter();

  *held = MP_REF_EMPTY;
  *m = MP_MAP_EMPTY;
  if (rc == 0)
    rc = mp__shm_name(name);
  if (rc == 0)
    rc = mp__shm_open(name);
  if (rc >= 0)
    rc = mp__map_fd(m, rc, &f);
  if (rc < 0)
    return rc;
  rc = record(name, &f, 0, held);
  if (rc < 0)
    mp_map_close(m);
  return rc;
}

/* Its memory may outlive the name: those who get the message get it from the
 * vault. */
int mp_block_share(mp_ref ref, const struct mp_map *m) {
  struct mp__block *b = block_of(ref);

  if (mp__load64_acq(&b->fd))
    return 0;
  if (mp__sys_inode(m->fd) != m->ino)
    return -MP_EFAMILY;
  return mp__vault_keep(&b->fd, m->fd, 1);
}

int mp_block_map(mp_ref ref, struct mp_map *m) {
  struct mp__block *b = block_of(ref);
  struct mp__file f;
  int fd;

  *m = MP_MAP_EMPTY;
  if (!mp__load64_acq(&b->fd))
    return -MP_ESTALE;
  fd = mp__vault_get(b->fd);
  return fd < 0 ? fd : mp__map_fd(m, fd, &f);
}

int mp_block_name(mp_ref ref, char name[MP_BLOCK_NAME_MAX + 1]) {
  memcpy(name, block_of(ref)->name, MP_BLOCK_NAME_MAX);
  name[MP_BLOCK_NAME_MAX] = '\0';
  return 0;
}

int mp_block_unlink(mp_ref ref) {
  struct mp__block *b = block_of(ref);
  struct mp__txn t;
  int keep;
  int rc;

  mp__begin(&t);
  rc = mp__shm_unlink(b->name, b->dev, b->ino, &keep);
  MP_FAULT("block.unlinked");
  if (rc == 0 || rc == -ENOENT)
    out_of_list(&t, b);
  mp__end(&t);
  mp__sys_close(keep);
  mp__collect();
  return rc;
}

/* The end */

/* Of a seat of this process: its own, or that of a thread. */
static void leave(struct mp__slot *s) {
  uint32_t pid = (uint32_t)mp__sys_getpid();
  struct mp__txn t;
  int keep;

  while (mp__load64_acq(&s->blocks) && mp__load32_acq(&s->pid) == pid) {
    keep = -1;
    mp__begin(&t);
    if (s->blocks && s->pid == pid)
      keep = mp__block_sweep(&t, s);
    mp__end(&t);
    mp__sys_close(keep);
  }
  mp__collect();
}

void mp__block_leave(void) {
  leave(mp__me());
}

/* The program ends (exit, or main returns): the names of this process go, and
 * those of the dead, whom perhaps nobody else has noticed. */
__attribute__((destructor)) static void at_exit(void) {
  struct mp__slot *s;
  uint64_t i;

  if (!mp_entered() || mp__load64_acq(&MP__HEAD->named) == 0)
    return;
  for (i = 1; i <= mp__load64_acq(&MP__HEAD->nslots); i++) {
    s = mp__slot_at(MP__SLOTS + i * MP__SLOT_SIZE);
    leave(s);
    if (mp__load64_acq(&s->blocks) && mp__slot_verify(s))
      (void)mp__sweep(s);
  }
}
