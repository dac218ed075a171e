/* err_test.c -- every code has a text; those that scripts see, a name. */
#include "test.h"

#include "mp.h"

#include <limits.h>

TEST(every_code_has_its_own_text) {
  int i, k;

  for (i = MP_ETIMEOUT; i < MP_ELAST; i++) {
    REQUIRE(mp_err_text(i) != NULL);
    CHECK(strlen(mp_err_text(i)) > 3);
    CHECK(strcmp(mp_err_text(i), mp_err_text(-i)) == 0);
    for (k = MP_ETIMEOUT; k < i; k++)
      CHECK(strcmp(mp_err_text(i), mp_err_text(k)) != 0);
  }
}

TEST(errno_and_nonsense_have_a_text) {
  static const int codes[] = {0, 1 << 20, MP_ETIMEOUT - 1, MP_ELAST, INT_MAX};
  unsigned i;

  CHECK(strcmp(mp_err_text(-ENOENT), strerror(ENOENT)) == 0);
  CHECK(strcmp(mp_err_text(ENOENT), strerror(ENOENT)) == 0);
  for (i = 0; i < sizeof codes / sizeof *codes; i++) {
    CHECK(mp_err_text(codes[i]) != NULL && mp_err_text(-codes[i]) != NULL);
    CHECK(mp_err_reason(codes[i]) == NULL);
  }
  CHECK(mp_err_text(INT_MIN) != NULL);
  CHECK(mp_err_reason(-EINTR) == NULL);
}

TEST(reasons_are_those_of_the_manual) {
  static const struct {
    int code;
    const char *reason;
  } all[] = {
      {MP_ETIMEOUT, "timeout"},   {MP_EFULL, "full"},
      {MP_EEMPTY, "empty"},       {MP_ECLOSED, "closed"},
      {MP_EBROKEN, "broken"},     {MP_ETRUNCATED, "truncated"},
      {MP_EPROTOCOL, "protocol"}, {MP_EABANDONED, "abandoned"},
      {MP_EDEATH, "death"}, /* only to those who look after workers */
  };
  unsigned i, named = 0;
  int code;

  for (i = 0; i < sizeof all / sizeof *all; i++) {
    REQUIRE(mp_err_reason(all[i].code) && mp_err_reason(-all[i].code));
    CHECK(strcmp(mp_err_reason(all[i].code), all[i].reason) == 0);
    CHECK(strcmp(mp_err_reason(-all[i].code), all[i].reason) == 0);
  }
  /* One that begins with "auth: " is a sentence as well. */
  for (code = MP_ETIMEOUT; code < MP_ELAST; code++)
    named += mp_err_reason(code) != NULL &&
             strncmp(mp_err_reason(code), "auth: ", 6) != 0;
  CHECK_EQ(named, sizeof all / sizeof *all);
}
