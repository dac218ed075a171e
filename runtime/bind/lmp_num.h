/* lmp_num.h -- Lua values as numbers of a typecode (mp.h: num.c) */
#ifndef LMP_NUM_H
#define LMP_NUM_H

#include "lmp.h"

/* The typecode that the value at idx is, or 0. */
LMP_LOCAL char lmp_num_code(lua_State *L, int idx);
/* 1: the value at idx fits the typecode, *v is it.  Never jumps. */
LMP_LOCAL int lmp_num_test(lua_State *L, int idx, char code, union mp_num *v);
/* The same for what is added to such a number. */
LMP_LOCAL int lmp_num_test_addend(lua_State *L, int idx, char code,
                                  union mp_num *v);
LMP_LOCAL void lmp_num_push(lua_State *L, char code, union mp_num v);
/* Raise that the value at idx does not fit; `item` is its number in a list,
 * or 0. */
LMP_LOCAL int lmp_num_misfit(lua_State *L, int idx, char code, const char *what,
                             lua_Integer item);

#endif
