/* err.c -- owns the codes' names and messages. */
#include "mp.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define AT(code) [(code)-MP_ETIMEOUT]
#define AUTH(code, text) AT(code) = {text, text}

static const struct {
  const char *reason; /* what a script sees; NULL: it sees an error */
  const char *text;
} own[] = {
    AT(MP_ETIMEOUT) = {"timeout", "the time is up"},
    AT(MP_EFULL) = {"full", "the queue is full"},
    AT(MP_EEMPTY) = {"empty", "the queue is empty"},
    AT(MP_ECLOSED) = {"closed", "the other side is gone"},
    AT(MP_EBROKEN) = {"broken", "the barrier is broken"},
    AT(MP_ETRUNCATED) = {"truncated", "the peer ended inside a message"},
    AT(MP_EPROTOCOL) = {"protocol", "the peer broke the protocol"},
    AT(MP_ETOOLONG) = {NULL, "message too long"},
    AT(MP_EABANDONED) = {"abandoned", "the holder has died"},
    AT(MP_ESTALE) = {NULL, "the object is gone"},
    AT(MP_ESTARTED) = {NULL, "process already started"},
    AT(MP_ENOTSTARTED) = {NULL, "process not started"},
    AT(MP_ENOTOURS) = {NULL, "only the process that made it may do so"},
    AT(MP_ESELF) = {NULL, "a process cannot wait for itself"},
    AT(MP_EFAMILY) = {NULL,
                      "the descriptors of the process family were closed"},
    AT(MP_EVERSION) = {NULL, "parent and child are of different "
                             "builds of luamp"},
    AT(MP_EADDRESS) = {NULL, "the address names nothing"},
    AUTH(MP_EAUTH, "auth: wrong key"),
    AUTH(MP_EAUTHTIME, "auth: the peer did not answer in time"),
    AUTH(MP_EAUTHGONE, "auth: the peer broke off"),
    AUTH(MP_EAUTHFORM, "auth: the peer asks for no key"),
    AUTH(MP_EAUTHWEAK, "auth: the peer knows only md5"),
    AUTH(MP_EAUTHUSER, "auth: the peer is another user's"),
    AUTH(MP_EAUTHEMPTY, "auth: the key is empty"),
    AT(MP_ECRYPTO) = {NULL, "a key needs libcrypto (Debian: libssl3), "
                            "which is not installed"},
    AT(MP_EDONE) = {NULL, "task_done() called too many times"},
    AT(MP_EDEATH) = {"death", "a process of the family has died"},
    AT(MP_ENOTHELD) = {NULL, "the lock is not held"},
    AT(MP_ENOTOWNER) = {NULL, "the lock is held by another"},
    AT(MP_ETOOMANY) = {NULL, "released too many times"},
    AT(MP_EKERNEL) = {NULL, "luamp needs memfd_create, pidfd_open and "
                            "pidfd_send_signal (Linux 5.3)"},
    AT(MP_EDAMAGED) = {NULL, "the family's shared memory is damaged"},
};

_Static_assert(sizeof own / sizeof *own == MP_ELAST - MP_ETIMEOUT,
               "every code has its line above");

/* Codes are looked up as returned (-code) and as named. */
static int positive(int code) {
  return code == INT_MIN ? INT_MAX : code < 0 ? -code : code;
}

static int own_index(int code) {
  code = positive(code);
  return code >= MP_ETIMEOUT && code < MP_ELAST ? code - MP_ETIMEOUT : -1;
}

const char *mp_err_reason(int code) {
  int i = own_index(code);

  return i < 0 ? NULL : own[i].reason;
}

const char *mp_err_text(int code) {
  int i = own_index(code);

  return i < 0 ? strerror(positive(code)) : own[i].text;
}

int mp_err_is_want(int code) {
  switch (positive(code)) {
  case ENOMEM:
  case ENFILE:
  case EMFILE:
  case ENOBUFS:
  case EAGAIN:
  case MP_ECRYPTO:
    return 1;
  default:
    return 0;
  }
}
