/* explore.h -- what scenarios and the explorer share.
 *
 * A scenario is up to four processes, fibres over one arena, that run the real
 * code.  The explorer runs it again and again from the same state, each time
 * under another schedule: which process does the next atomic step, and which
 * one is killed where.  A killed fibre is never resumed; what the kernel does
 * at a process's end is done for it.
 */
#ifndef EXPLORE_H
#define EXPLORE_H

#include "arena.h"
#include "family.h"
#include "mp.h"

#define SIM_MAX 4

struct scenario {
  const char *name;
  int n;                 /* processes */
  void (*make)(void);    /* once: the objects */
  void (*begin)(void);   /* before each schedule: what is not in the arena */
  void (*run)(int self); /* each process */
  void (*died)(int who); /* right after a death, or NULL */
  void (*end)(void);     /* the survivors are through */
  int crashes;           /* at most so many deaths */
};

/* In a scenario: it went wrong; the schedule is printed. */
#define SIM_CHECK(cond)                                                        \
  ((cond) ? (void)0 : sim_fail("%s:%d: %s", __FILE__, __LINE__, #cond))
void sim_fail(const char *format, ...)
    __attribute__((format(printf, 1, 2), noreturn));

/* sim.c -- fibres, their futexes, clock and deaths */

enum sim_state { SIM_READY, SIM_PAUSED, SIM_ASLEEP, SIM_OVER, SIM_DEAD };

void sim_make(
    const struct scenario *s); /* seats, and the state to go back to */
void sim_run(void);            /* one schedule */
int sim_alive(int who);
uint64_t sim_owner(int who); /* its owner word */
uint32_t sim_deaths(void);   /* so far in this schedule */
/* Calls of the kernel in this schedule: to wake and to wait, for a descriptor
 * of the vault, for the state of a process. */
struct sim_calls {
  unsigned wakes, waits, peeks, looks;
};
struct sim_calls sim_calls(void);
/* Nobody is left in a count of sleepers. */
#define SIM_NOBODY(count) SIM_CHECK((count) == 0 || sim_deaths() > 0)
/* One alone asks the kernel for nothing. */
#define SIM_ALONE()                                                            \
  SIM_CHECK(sim_calls().wakes + sim_calls().waits + sim_calls().peeks +        \
                sim_calls().looks ==                                           \
            0)
int sim_failed(void);     /* 1: the last schedule failed */
mp_ref sim_seat(int who); /* MP_REF_EMPTY: no such */
/* A deadline that a scenario may wait for: others need not be woken then. */
int64_t sim_deadline(void);
/* One that passes when a death has left all others asleep for long: whoever
 * waits for what the dead alone could do. */
int64_t sim_last_resort(void);
/* share.c -- what they share */

/* In make: all hold it, as those do who use something.  (Whose holder dies,
 * that is looked at.) */
void sim_share(mp_ref ref);
/* Descriptors are the kernel's, and not put back after a schedule: in begin,
 * the object's is made what its bell says. */
void sim_bell(mp_ref ref, int fd);
int sim_readable(int fd);
void sim_look(void); /* a poller waits for others, and looks for deaths */

/* search.c -- which schedules there are */

struct search {
  int random;         /* 1: at random, from `seed` on; 0: all of them ... */
  uint64_t seed;      /* of the next one */
  int preemptions;    /* ... with at most so many preemptions */
  double seconds;     /* give up after that; 0: never */
  const char *path;   /* or just this one */
  uint64_t schedules; /* out: how many it were */
  int complete;       /* out: there are no more */
};

/* One of n choices at this point; 0 goes on as it was. */
int search_pick(int n);
int search_may_preempt(void);
void search_preempted(void);
/* How to see the schedule again that runs. */
const char *search_replay(void);
/* 0, or -1: one failed */
int search_run(struct search *how);

#endif
