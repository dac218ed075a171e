/* lmp.h -- what the files of the binding share.
 *
 * The binding knows Lua and the core's contract, and no system call.  Every
 * lua_ call may jump, no mp_ call can: the order in every function is check,
 * box (an empty owner on the Lua stack), core, push.
 */
#ifndef LMP_H
#define LMP_H

#include "lua.h"
#include "lauxlib.h"
#include "mp.h"

#define LMP_LOCAL __attribute__((visibility("hidden")))
/* Of a function that a forked child runs beside its work: they lie together, and
 * are few pages. */
#define LMP_NEAR __attribute__((hot))

/* lmp_pack.c -- value to bytes.
 *
 * A packer is a userdata that owns its buffers; lmp_pack leaves it on the
 * stack's top, and what `out` points to stays valid while both the packer and
 * the value stay on the stack and no Lua code runs.  Long strings are not
 * copied: they are pieces of out->iov that point into the strings.
 * A value that cannot travel raises an error that begins with the path to
 * it, built on `root`: "args[1].cb, upvalue 'co': cannot send a thread".  With
 * LMP_NAMED it begins with the position of whoever called the function.
 */
struct lmp_packer {
  struct mp_out out;
  size_t len; /* sum of the pieces */
};

enum {
  LMP_NOREFS = 1, /* refuse mp objects (mp.encode) */
  LMP_TAGGED = 2, /* leave LMP_TAG_LEN bytes free at the start of iov[0] */
  LMP_PLAIN = 4,  /* refuse what has a __reduce */
  LMP_NAMED = 8   /* the root is that of a function that scripts call */
};
#define LMP_TAG_LEN 8

LMP_LOCAL struct lmp_packer *lmp_pack(lua_State *L, int idx, unsigned flags,
                                      const char *root);
/* Elements first .. first+n-1 of the table at idx (raw), as a table. */
LMP_LOCAL struct lmp_packer *lmp_pack_part(lua_State *L, int idx,
                                           lua_Integer first, lua_Integer n,
                                           unsigned flags, const char *root);

/* lmp_unpack.c -- bytes to value.
 *
 * Pushes the value and returns 1, or pushes nothing but a message and
 * returns 0 when the bytes are damaged or hold what `flags` refuses.
 * Raises only for want of memory.  `refs` are the message's objects.
 */
enum {
  LMP_NOCODE = 1 /* refuse every function, also those that go by name */
};

LMP_LOCAL int lmp_unpack(lua_State *L, const char *data, size_t len,
                         const mp_ref *refs, unsigned nrefs, unsigned flags);

/* lmp_scratch.c -- where messages arrive */
struct lmp_scratch {
  int busy; /* 1: the message is still wanted */
  struct mp_msg msg;
  char bytes[MP_INLINE_MAX];
};
/* One that is not busy; it lies on the stack from here on. */
LMP_LOCAL struct lmp_scratch *lmp_scratch_push(lua_State *L);
LMP_LOCAL void lmp_scratch_release(struct lmp_scratch *s);
/* Push the value of its message and release it; raises if it is damaged. */
LMP_LOCAL int lmp_scratch_value(lua_State *L, struct lmp_scratch *s);

/* lmp_codec.c -- core.encode(v) and core.decode(s [, code]). */
LMP_LOCAL int lmp_codec_encode(lua_State *L);
LMP_LOCAL int lmp_codec_decode(lua_State *L);

/* lmp_box.c -- the Lua value of an object of the family.
 *
 * lmp_box_ref: is the value at idx an mp object?  Gives its name (the name of
 * the object, not a hold on it); 0 when it is none.  Raises when it is one that
 * was closed here.
 * lmp_box_push: push the one Lua value that stands for the object here.
 */
LMP_LOCAL int lmp_box_ref(lua_State *L, int idx, mp_ref *name);
LMP_LOCAL void lmp_box_push(lua_State *L, mp_ref name);

/* The box itself, a userdata; that of a process has user values (lmp_proc.c).
 * Its kind is the type of its object (MP_TYPE_FD: a connection over a
 * descriptor); each kind is a type to Lua as well.  A box ends before the
 * first member that its kind has no use for. */
struct lmp_box {
  const void *mark;    /* tells our userdata from others; first */
  mp_ref held;         /* MP_REF_EMPTY: closed, or not shared yet (a conn) */
  uint64_t serial;     /* which life of the object `held` names */
  uint32_t generation; /* of the process that holds it */
  enum mp_type kind;
  int fd;         /* a descriptor made when asked for; -1 */
  unsigned modes; /* conn: MP_PIPE_READABLE, ... */
  union {
    struct {
      struct mp_ready ready; /* pipe: its descriptor, made when asked for */
      struct mp_conn conn;   /* kind MP_TYPE_FD */
      uint64_t limit;        /* the same: bytes of the longest message taken */
    };
    struct mp_cell cell; /* value, array: what we know of it */
  };
};
/* In modes of a connection: what comes may hold functions. */
#define LMP_TRUSTED 4u
/* The descriptor is brought up to date by fileno alone, not by each recv: for
 * those who mostly recv, since a ring costs the sender several system calls. */
#define LMP_LAZY 8u
#define LMP_BOX_VALUES 4 /* of a process */
#define LMP_BOX_SMALL offsetof(struct lmp_box, ready)
#define LMP_BOX_CELL (LMP_BOX_SMALL + sizeof(struct mp_cell))

LMP_LOCAL extern const char lmp_box_mark;

LMP_LOCAL struct lmp_box *lmp_box_new(lua_State *L, enum mp_type kind);
/* The box has got its object: make it the one that stands for it. */
LMP_LOCAL void lmp_box_settle(lua_State *L, int idx);
/* Raises unless idx is such a box, and open. */
LMP_LOCAL struct lmp_box *lmp_box_check(lua_State *L, int idx,
                                        enum mp_type kind);
/* A box of ours, of whatever kind, closed or not; or NULL. */
LMP_LOCAL struct lmp_box *lmp_box_test(lua_State *L, int idx);
/* lmp_box_check where each nanosecond counts: no look at the metatable. */
static inline struct lmp_box *lmp_box_hot(lua_State *L, int idx,
                                          enum mp_type kind) {
  struct lmp_box *b = lua_touserdata(L, idx);

  if (b && lua_rawlen(L, idx) >= LMP_BOX_SMALL && b->mark == &lmp_box_mark &&
      b->kind == kind && b->held && b->generation == mp_generation())
    return b;
  return lmp_box_check(L, idx, kind);
}
LMP_LOCAL void lmp_box_close(struct lmp_box *b);
LMP_LOCAL void lmp_box_types(lua_State *L);

/* lmp_block.c -- SharedMemory; its box's user value is the buffer. */
LMP_LOCAL void lmp_block_types(lua_State *L);
/* The box at idx came in a message: map its block. */
LMP_LOCAL int lmp_block_receive(lua_State *L, int idx);
/* It is to be named in a message; raises when it was closed. */
LMP_LOCAL int lmp_block_send(lua_State *L, int idx);

/* lmp.c -- errors, options, time */

/* Tell the collector of memory that it does not see, in KiB. */
LMP_LOCAL void lmp_account(lua_State *L, int kib);
/* Let the state find our modules in itself (a child: the parent's build). */
LMP_LOCAL void lmp_preload(lua_State *L);

/* Raise what went wrong. */
LMP_LOCAL int lmp_raise(lua_State *L, int rc, const char *what);
/* nil, message, errno: something outside of the program is not as wanted.
 * Raises for want of memory, descriptors or space. */
LMP_LOCAL int lmp_outside(lua_State *L, int rc, const char *what);
/* nil, reason for what a correct program expects; else raise. */
LMP_LOCAL int lmp_fail(lua_State *L, int rc, const char *what);
/* false, reason likewise. */
LMP_LOCAL int lmp_refuse(lua_State *L, int rc, const char *what);
/* Seconds at idx (nil: for ever) to a deadline; raises for NaN. */
LMP_LOCAL int64_t lmp_deadline(lua_State *L, int idx);
/* What a wait answers when a signal has come; the binding knows no errno.h. */
#define LMP_INTERRUPTED (-4) /* -EINTR on every Linux */
/* Then: let the hook run that the signal may have set; it may raise.
 * Returns 1. */
LMP_LOCAL int lmp_resume(lua_State *L);
/* The same for those who have something to put right first: 0, and the error
 * on the stack's top, when it has raised.  Needs two free slots. */
LMP_LOCAL int lmp_resume_caught(lua_State *L);
/* Raise the error on top again if it is what Ctrl-C raises: its hook is gone,
 * so who catches errors must not keep it. */
LMP_LOCAL void lmp_pass_interrupt(lua_State *L);

__attribute__((visibility("default"))) int luaopen_mp_core(lua_State *L);

/* Functions of mp.core, a stem a list. */
LMP_LOCAL extern const luaL_Reg lmp_proc_functions[];
LMP_LOCAL extern const luaL_Reg lmp_start_functions[];
LMP_LOCAL extern const luaL_Reg lmp_work_functions[];
LMP_LOCAL extern const luaL_Reg lmp_conn_functions[];
LMP_LOCAL extern const luaL_Reg lmp_life_functions[];
LMP_LOCAL extern const luaL_Reg lmp_wait_functions[];
LMP_LOCAL extern const luaL_Reg lmp_cell_functions[];

/* lmp_cell.c -- what values and arrays can do needs no Lua half. */
LMP_LOCAL void lmp_cell_types(lua_State *L);

LMP_LOCAL extern const luaL_Reg lmp_queue_functions[];
LMP_LOCAL extern const luaL_Reg lmp_task_functions[];
LMP_LOCAL extern const luaL_Reg lmp_run_functions[];
LMP_LOCAL extern const luaL_Reg lmp_each_functions[];

/* lmp_task.c, lmp_run.c -- what crews' queues and cells offer to lmp_each.c:
 * the box of a queue whose items have tags; put, as Lua calls it; take, which
 * pushes a scratch, the tag, whether the item could be decoded, and its value
 * or why not; a worker's cell, number i of the array at idx. */
LMP_LOCAL struct lmp_box *lmp_task_box(lua_State *L, int idx);
LMP_LOCAL int lmp_task_put(lua_State *L);
LMP_LOCAL int lmp_task_take(lua_State *L, struct lmp_box *b, int64_t deadline,
                            uint32_t *deaths);
LMP_LOCAL void *lmp_run_cell(lua_State *L, int idx, lua_Integer i);
LMP_LOCAL extern const luaL_Reg lmp_block_functions[];

/* lmp_host.c -- the program that has embedded us; NULL: none has told us. */
struct luamp_host;
LMP_LOCAL extern const luaL_Reg lmp_host_functions[];
LMP_LOCAL const struct luamp_host *lmp_host(lua_State *L);
/* A state as the host wants it; NULL: no memory. */
LMP_LOCAL lua_State *lmp_host_open(const struct luamp_host *host);
/* Its libraries, unless the host has opened them; to be called protected. */
LMP_LOCAL void lmp_host_prepare(lua_State *L, const struct luamp_host *host);
LMP_LOCAL extern const luaL_Reg lmp_listen_functions[];

/* lmp_listen.c -- the type mp.Listener. */
LMP_LOCAL void lmp_listen_types(lua_State *L);
LMP_LOCAL extern const luaL_Reg lmp_mutex_functions[];
LMP_LOCAL extern const luaL_Reg lmp_event_functions[];

/* lmp_mutex.c -- the type of guards, when the module opens */
LMP_LOCAL void lmp_mutex_types(lua_State *L);
/* the caller is about to end: a warning for each lock that it holds still */
LMP_LOCAL void lmp_mutex_warn(lua_State *L);
/* a lock or condition is dropped: a warning if the caller holds the lock, and
 * has no other handle to release it by; cannot raise */
LMP_LOCAL void lmp_mutex_dropped(lua_State *L, const struct lmp_box *b);
/* A guard for the box at idx; nothing to give back until it owns something. */
struct lmp_guard;
LMP_LOCAL struct lmp_guard *lmp_guard_push(lua_State *L, int idx);
LMP_LOCAL void lmp_guard_own(struct lmp_guard *g);
/* true [, "abandoned"] after an acquire that gave rc >= 0; cannot raise. */
LMP_LOCAL int lmp_mutex_acquired(lua_State *L, int rc);
LMP_LOCAL extern const luaL_Reg lmp_sem_functions[];
LMP_LOCAL extern const luaL_Reg lmp_cond_functions[];
LMP_LOCAL extern const luaL_Reg lmp_barrier_functions[];

/* lmp_work.c -- the work of a started process */

/* Do it; the exit code. */
LMP_LOCAL int lmp_work(lua_State *L);
/* As if, with what core.encode made: surroundings at idx, work at idx + 1. */
LMP_LOCAL void lmp_work_rehearse(lua_State *L, int idx);
/* Push the owner of a message. */
LMP_LOCAL struct mp_msg *lmp_view_push(lua_State *L);
/* core.finish(): join the children, end the daemons (lmp_life.c) */
LMP_LOCAL int lmp_life_finish(lua_State *L);
/* Do so; 1 when there is nothing more to do before the caller leaves. */
LMP_LOCAL int lmp_life_over(void);
/* The metatables of our types, once a state. */
LMP_LOCAL void lmp_open_types(lua_State *L);

/* lmp_thread.c -- the Lua half of the start method `thread`. */
LMP_LOCAL int lmp_thread_start(lua_State *L);
LMP_LOCAL int lmp_thread_exit(lua_State *L, int code);
LMP_LOCAL int lmp_thread_is_one(void);

#endif
