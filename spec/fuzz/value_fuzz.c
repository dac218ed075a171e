/* value_fuzz.c -- any bytes at all for the flat values of C programs.
 *
 * It may be no message, or a value whose strings lie within the message, and
 * whose lists have as many elements as they say.
 */
#include <stdint.h>
#include <stdlib.h>

#include "mp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct mp_value *v, const uint8_t *data, size_t len) {
  const char *from = (const char *)data;

  if (v->kind == MP_STRING && v->len > 0 &&
      (v->as.string < from || v->len > len ||
       v->as.string > from + (len - v->len)))
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  struct mp_values rest;
  struct mp_value v, list;
  size_t n = 0;
  int rc;

  if (mp_value_decode(data, len, &list, &rest) < 0)
    return 0;
  check(&list, data, len);
  if (list.kind != MP_LIST)
    return 0;
  while ((rc = mp_value_next(&rest, &v)) > 0) {
    check(&v, data, len);
    if (++n > list.len)
      abort();
  }
  if (rc == 0 && n != list.len)
    abort();
  return 0;
}
