/* decode_fuzz.c -- any bytes at all for mp.decode, with code and without.
 *
 * It may answer nil and a message, or a value; it may raise for want of
 * memory; it may not crash, hang, or read what is not its own.
 */
#include "state.h"

const char script[] = "local mp = require 'mp'\n"
                      "return function(s)\n"
                      "  mp.decode(s)\n"
                      "  mp.decode(s, {code = false})\n"
                      "end";
