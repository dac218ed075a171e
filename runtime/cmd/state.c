/* state.c -- owns the interpreter's state, and where its busiest parts lie.
 *
 * Every call writes to the state's head, to the stack and to the record of
 * the call; and after a fork each page that is written to is copied first, for
 * the parent as for the child.  So these share one page, which is the heap's
 * first if that can be, since malloc writes to its own head there:
 *
 *   ... | stack | records of calls,  | head of the state, | rest of it ...
 *       | at    | the first so many  | from malloc        |
 *                                          end of the page
 *
 * The state comes to lie there because the C library cuts what it gives off
 * one block, in turn; where it does not, nothing is lost but pages.  A stack
 * that grows larger, and the records of deeper calls, lie where all the rest
 * does.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

#define PAGE 4096
#define HEAD 384  /* bytes of a state: what is written to often */
#define MIN 2560  /* bytes, or another page is taken */
#define SLOTS 125 /* of the stack; collections make it no smaller */
#define OWN 8     /* bytes that malloc needs before a block */

/* For the life of the program; only the thread that runs the state comes. */
static struct {
  char *at;
  size_t room;   /* bytes there; 0: there was no memory */
  size_t used;   /* of them */
  size_t record; /* bytes of a record */
  void *free;    /* a chain through the records that are not in use */
} page;

static void *outside(void *p, size_t nsize) {
  if (nsize > 0)
    return realloc(p, nsize);
  free(p);
  return NULL;
}

/* While the stack and then records are made, and nothing else. */
static void *inside(void *ud, void *p, size_t osize, size_t nsize) {
  char *to = page.at + page.used;

  (void)ud;
  if (nsize == 0 || nsize > page.room - page.used)
    return outside(p, nsize);
  page.used += nsize;
  page.record = nsize;
  if (p) {
    memcpy(to, p, osize);
    free(p);
  }
  return to;
}

/* What is in the page is freed, or was a record that somebody had for an array
 * of its size, which grows. */
static void *leave(void *p, size_t osize, size_t nsize) {
  void *to = NULL;

  if (nsize > 0) {
    to = malloc(nsize);
    if (!to)
      return NULL;
    memcpy(to, p, osize < nsize ? osize : nsize);
  }
  if (p != page.at) { /* that is the stack */
    memcpy(p, &page.free, sizeof page.free);
    page.free = p;
  }
  return to;
}

static void *allocate(void *ud, void *p, size_t osize, size_t nsize) {
  (void)ud;
  if ((uintptr_t)p - (uintptr_t)page.at < page.room)
    return leave(p, osize, nsize);
  if (page.free && !p && osize == 0 && nsize == page.record) {
    p = page.free;
    memcpy(&page.free, p, sizeof page.free);
    return p;
  }
  return outside(p, nsize);
}

/* As deep as there is room for records. */
static int descend(lua_State *L) {
  if (page.used + page.record <= page.room) {
    lua_pushcfunction(L, descend);
    lua_call(L, 0, 0);
  }
  return 0;
}

/* What is left of a page, but for the head of what malloc gives next. */
static void take_room(void) {
  char *probe = malloc(PAGE);
  size_t begin = (uintptr_t)probe % PAGE;
  char *fill = NULL;

  free(probe); /* and the next one begins where it did */
  if (begin > PAGE - HEAD - MIN) {
    fill = malloc(PAGE - begin - OWN);
    begin = 0;
  }
  page.room = PAGE - HEAD - begin - OWN;
  page.at = malloc(page.room);
  free(fill);
  if (!page.at)
    page.room = 0;
}

lua_State *cmd_state_open(void) {
  lua_State *L;

  take_room();
  L = luaL_newstate();
  if (!L || !page.at)
    return L;
  lua_gc(L, LUA_GCSTOP);
  lua_setallocf(L, inside, NULL);
  if (lua_checkstack(L, SLOTS)) {
    lua_pushcfunction(L, descend);
    (void)lua_pcall(L, 0, 0, 0);
  }
  lua_setallocf(L, allocate, NULL);
  lua_settop(L, 0); /* no memory for more records: the message */
  lua_gc(L, LUA_GCRESTART);
  return L;
}
