/* segment.h -- what the segments of a queue hold, for queue.c and recall.c.
 *
 * Records, one behind the other, each of a multiple of 8 bytes; which of them
 * are in the queue is said by its words alone (queue.h).
 */
#ifndef MP_SEGMENT_H
#define MP_SEGMENT_H

#include "queue.h"

#include <string.h>

/* kinds of record: a short message, the name of a parcel, the mark that the
 * next segment follows; VOID is a bit: the message was taken back */
enum { MP__RECORD, MP__PARCEL, MP__NEXT, MP__VOID = 4 };

struct mp__record {
  uint32_t len;  /* of the payload, bytes; put lock */
  uint32_t kind; /* put lock; once it is in the queue, get lock: VOID */
};

struct mp__segment {
  uint64_t next; /* the segment that follows, 0: none yet; big */
  uint64_t len;  /* bytes for records; the founder of the segment */
};

#define MP__UNIT 8u

/* The position in a word, `put` or `get`. */
static inline uint64_t mp__units(uint64_t word) {
  return word & 0xffffffffu;
}

static inline struct mp__record *mp__record_at(uint64_t seg, uint64_t pos) {
  return mp__at(seg + sizeof(struct mp__segment) + pos * MP__UNIT);
}

/* With a payload of so many bytes. */
static inline uint64_t mp__record_size(uint64_t len) {
  return sizeof(struct mp__record) +
         ((len + MP__UNIT - 1) & ~(uint64_t)(MP__UNIT - 1));
}

/* The word one message further: behind the record that it is at. */
static inline uint64_t mp__past(uint64_t word, const struct mp__record *r) {
  return ((word >> 32) + 1) << 32 |
         (mp__units(word) + mp__record_size(r->len) / MP__UNIT);
}

/* The parcel that a record names. */
static inline uint64_t mp__parcel_name(const struct mp__record *r) {
  uint64_t name;

  memcpy(&name, r + 1, sizeof name);
  return name;
}

/* The first record of the queue, which is not empty, moving `get` past marks;
 * get lock held; 0, or by the deadline -MP_ETIMEOUT, -EINTR.  *left: 1 if a
 * segment was used up, and so room made. */
int mp__queue_first(struct mp__queue *q, struct mp__record **r, int *left,
                    int64_t deadline);

#endif
