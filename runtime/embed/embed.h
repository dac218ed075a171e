/* embed.h -- what embed.c writes and preload.c reads. */
#ifndef LUAMP_EMBED_H
#define LUAMP_EMBED_H

#include <stddef.h>

struct luamp_module {
  const char *name;          /* as required: "mp.proc" */
  const char *chunk;         /* as in tracebacks: "@mp/proc.lua" */
  const unsigned char *code; /* what lua_dump gave, or the source */
  size_t len;                /* bytes of code */
};

/* The last entry's name is NULL. */
extern const struct luamp_module luamp_modules[];
/* lua_ident of the Lua that compiled them, no other may load them; "" of
 * sources. */
extern const char luamp_modules_ident[];

#endif
