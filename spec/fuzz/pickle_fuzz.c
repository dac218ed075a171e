/* pickle_fuzz.c -- any bytes at all for mp.pickle.loads.
 *
 * It may raise, or answer a value, which can be pickled again and is read as
 * the same; it may not crash, hang, or take much memory.
 */
#include "state.h"

const char script[] = "local mp = require 'mp'\n"
                      "return function(s)\n"
                      "  local t = mp.pickle.loads(s)\n"
                      "  mp.pickle.loads(mp.pickle.dumps(t))\n"
                      "end";
