/* map.h -- how blocks are mapped, for block.c.
 *
 * On failure the mapping is empty, and the descriptor closed.
 */
#ifndef MP_MAP_H
#define MP_MAP_H

#include "sys.h"

struct mp_map;

int mp__map_new(struct mp_map *m, uint64_t size, struct mp__file *f);
int mp__map_fd(struct mp_map *m, int fd, struct mp__file *f);

#endif
