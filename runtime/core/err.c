/* err.c -- owns the codes' names and messages. */
#include "mp.h"

#include <string.h>

static const struct {
  const char *reason; /* what a script sees; NULL: it sees an error */
  const char *text;
} own[] = {
    [MP_ETIMEOUT - MP_ETIMEOUT] = {"timeout", "the time is up"},
    [MP_EFULL - MP_ETIMEOUT] = {"full", "the queue is full"},
    [MP_EEMPTY - MP_ETIMEOUT] = {"empty", "the queue is empty"},
    [MP_ECLOSED - MP_ETIMEOUT] = {"closed", "the other side is gone"},
    [MP_EBROKEN - MP_ETIMEOUT] = {"broken", "the barrier is broken"},
    [MP_ETRUNCATED - MP_ETIMEOUT] = {"truncated",
                                     "the peer ended inside a message"},
    [MP_EPROTOCOL - MP_ETIMEOUT] = {"protocol",
                                    "the peer broke the protocol"},
    [MP_ETOOLONG - MP_ETIMEOUT] = {NULL, "message too long"},
    [MP_EABANDONED - MP_ETIMEOUT] = {"abandoned", "the holder has died"},
    [MP_ESTALE - MP_ETIMEOUT] = {NULL, "the object is gone"},
    [MP_ESTARTED - MP_ETIMEOUT] = {NULL, "process already started"},
    [MP_ENOTSTARTED - MP_ETIMEOUT] = {NULL, "process not started"},
    [MP_ENOTOURS - MP_ETIMEOUT] = {NULL,
                                   "only the process that made it may do so"},
    [MP_ESELF - MP_ETIMEOUT] = {NULL, "a process cannot wait for itself"},
    [MP_EFAMILY - MP_ETIMEOUT] =
        {NULL, "the descriptors of the process family were closed"},
    [MP_EVERSION - MP_ETIMEOUT] = {NULL, "parent and child are of different "
                                         "builds of luamp"},
};

static int own_index(int code) {
  int i = (code < 0 ? -code : code) - MP_ETIMEOUT;

  return i >= 0 && i < (int)(sizeof own / sizeof own[0]) ? i : -1;
}

const char *mp_err_reason(int code) {
  int i = own_index(code);

  return i < 0 ? NULL : own[i].reason;
}

const char *mp_err_text(int code) {
  int i = own_index(code);

  return i < 0 ? strerror(code < 0 ? -code : code) : own[i].text;
}
