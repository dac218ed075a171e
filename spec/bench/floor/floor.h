/* floor.h -- what the floors share.
 *
 * A floor is a plain C program doing the same job as a workload of luamp.lua
 * with nothing to spare: the figure that the library can come near to.  Every
 * workload is a function that runs once and returns its value (a rate, or
 * microseconds, or KiB); main.c prints it.  Nothing here is used by the
 * library, and any failure ends the program with a message.
 */
#ifndef FLOOR_H
#define FLOOR_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <lua.h>

struct floor_workload {
  const char *name;
  double (*run)(void);
};

/* One table a file; a NULL name ends it. */
extern const struct floor_workload floor_start[];
extern const struct floor_workload floor_chan[];
extern const struct floor_workload floor_net[];
extern const struct floor_workload floor_queue[];
extern const struct floor_workload floor_sync[];
extern const struct floor_workload floor_cell[];
extern const struct floor_workload floor_walk[];

/* main.c */
_Noreturn void floor_die(const char *what);
double floor_now(void);         /* seconds, CLOCK_MONOTONIC */
long floor_count(long n);       /* n times the scale asked for, >= 1 */
void *floor_shared(size_t len); /* zeroed, shared with later children */
void floor_must(int ok, const char *what); /* dies with errno's text if !ok */
pid_t floor_child(void (*run)(void *), void *arg); /* fork, run, _exit(0) */
void floor_join(pid_t pid);      /* dies unless the child exited with 0 */
lua_State *floor_state(void);    /* a new state with its libraries */
double floor_us_of(char **argv); /* see start.c */

/* A 32-bit word in shared memory that one process waits on while another
 * changes it.  `sleepers` counts those inside futex wait; it pairs with
 * `value` as in Dekker's algorithm, both accessed sequentially consistent.
 */
struct floor_word {
  _Alignas(64) _Atomic uint32_t value;
  _Atomic uint32_t sleepers;
};

/* word.c */
void floor_await(struct floor_word *w, uint32_t seen); /* until != seen */
void floor_set(struct floor_word *w, uint32_t v);      /* and wake all */
void floor_wait_for(struct floor_word *w, uint32_t v); /* until == v */

/* A lock of three states: 0 free, 1 held, 2 held with sleepers. */
typedef _Atomic uint32_t floor_lock_t;
void floor_lock(floor_lock_t *l);
void floor_unlock(floor_lock_t *l);
void floor_futex_wait(_Atomic uint32_t *w, uint32_t seen);
void floor_futex_wake(_Atomic uint32_t *w, int n);

/* The gate at which children and parent meet before the clock starts. */
struct floor_gate {
  struct floor_word ready; /* children at the gate */
  struct floor_word open;  /* 1: go */
};
void floor_arrive(struct floor_gate *g); /* child: say ready, wait for go */
void floor_open(struct floor_gate *g, uint32_t n); /* parent: wait for n, go */

#endif
