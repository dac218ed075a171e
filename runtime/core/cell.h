/* cell.h -- the record of a shared value or array, for the core's files. */
#ifndef MP_CELL_H
#define MP_CELL_H

#include "arena.h"

/* Written by the maker, before anybody else knows the cell; but for `lock`. */
struct mp__cell {
  struct mp__obj obj;
  uint64_t n;       /* elements; of a value 1 */
  uint64_t size;    /* bytes of an element */
  uint64_t data;    /* distance of the data, 64-byte aligned */
  uint64_t lock;    /* name of its lock; 0: raw, or not yet asked for; big */
  uint32_t nfields; /* of a struct */
  char code;        /* typecode of the elements, or MP_STRUCT */
  char raw;         /* 1: it shall have no lock */
  char pad[2];
  uint64_t pad2[3];
  struct mp_field fields[]; /* then the data */
};
_Static_assert(sizeof(struct mp__cell) == 128, "two lines");

/* What the collector takes apart. */
int mp__cell_step(struct mp__txn *t, uint64_t off);

#endif
