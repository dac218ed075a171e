/* lmp_cell.h -- shared values and arrays: what their files share.
 *
 * `what` is the name of the operation, for messages.
 */
#ifndef LMP_CELL_H
#define LMP_CELL_H

#include "lmp_num.h"

/* lmp_item.c -- elements, be they numbers or structs */

static inline char *lmp_item_place(const struct mp_cell *c, lua_Integer i) {
  return (char *)c->data + (uint64_t)(i - 1) * c->size;
}

/* An element's value: a number, a boolean, a string; a table of a struct. */
LMP_LOCAL void lmp_item_push(lua_State *L, const struct mp_cell *c,
                             const void *at);
/* Set the element in shared memory to the value at idx; raises before it
 * changes anything. */
LMP_LOCAL void lmp_item_set(lua_State *L, const struct mp_cell *c, void *at,
                            int idx, const char *what);
/* Make one of the value at idx, in memory of our own that is zero. */
LMP_LOCAL void lmp_item_make(lua_State *L, const struct mp_cell *c, void *to,
                             int idx, const char *what, lua_Integer item);
/* The field that the key at idx names, or NULL. */
LMP_LOCAL const struct mp_field *
lmp_field_find(lua_State *L, const struct mp_cell *c, int idx);
LMP_LOCAL void lmp_field_push(lua_State *L, const struct mp_field *f,
                              const void *base);
LMP_LOCAL void lmp_field_set(lua_State *L, const struct mp_field *f, void *base,
                             int idx);
/* Bytes at `at`, up to the first NUL. */
LMP_LOCAL void lmp_chars_push(lua_State *L, const void *at, size_t len);
/* The string at idx, and a NUL if there is room. */
LMP_LOCAL void lmp_chars_set(lua_State *L, void *at, size_t len, int idx,
                             const char *what);

/* lmp_struct.c -- definitions of structs */

/* Read a typecode or a struct's definition at idx into *c.  The fields lie in
 * a userdata that is left on the stack's top (nil for a typecode). */
LMP_LOCAL void lmp_struct_read(lua_State *L, int idx, struct mp_cell *c,
                               const char *what);

/* lmp_cell.c -- boxes of values and arrays */

/* The table of options at idx, or none: sets flags and lock. */
LMP_LOCAL void lmp_cell_options(lua_State *L, int idx, struct mp_cell *c,
                                const char *what);
/* A cell like *c; the lock is kept alive by the caller. */
LMP_LOCAL struct lmp_box *lmp_cell_new(lua_State *L, enum mp_type type,
                                       struct mp_cell *c, const char *what);
LMP_LOCAL int lmp_cell_get_lock(lua_State *L);
LMP_LOCAL int lmp_cell_close(lua_State *L);
/* A metatable's functions and methods.  Methods are the second upvalue of
 * __index; the first is the string "value". */
LMP_LOCAL void lmp_cell_type(lua_State *L, const char *name,
                             const luaL_Reg *meta, const luaL_Reg *methods);

/* lmp_element.c */

/* The view of element i of the array at index 1, whose box is b. */
LMP_LOCAL void lmp_element_push(lua_State *L, struct lmp_box *b, lua_Integer i);
LMP_LOCAL void lmp_element_type(lua_State *L);
LMP_LOCAL int lmp_element_new(lua_State *L);

/* lmp_value.c, lmp_items.c */

LMP_LOCAL void lmp_value_type(lua_State *L);
LMP_LOCAL void lmp_items_type(lua_State *L);
LMP_LOCAL int lmp_value_new(lua_State *L);
LMP_LOCAL int lmp_value_raw(lua_State *L);
LMP_LOCAL int lmp_items_new(lua_State *L);
LMP_LOCAL int lmp_items_raw(lua_State *L);
LMP_LOCAL int lmp_struct_new(lua_State *L);

#endif
