/* sync.c -- locks and signals between two processes: a futex lock of
 * our own, and what POSIX offers over shared memory for the rest.
 */
#include "floor.h"

#include <pthread.h>
#include <semaphore.h>

#include <lauxlib.h>

/* --- acquire and release --- */

struct locked {
  struct floor_gate gate;
  _Alignas(64) floor_lock_t lock;
  sem_t sem;
  long n;
};

static void pairs(struct locked *s) {
  for (long i = 0; i < s->n; i++) {
    floor_lock(&s->lock);
    floor_unlock(&s->lock);
  }
}

static double lock_uncontended(void) {
  struct locked *s = floor_shared(sizeof *s);
  double begin;

  s->n = floor_count(30000000);
  begin = floor_now();
  pairs(s);
  return (double)s->n / (floor_now() - begin);
}

static double semaphore_uncontended(void) {
  struct locked *s = floor_shared(sizeof *s);
  double begin;

  sem_init(&s->sem, 1, 1);
  s->n = floor_count(20000000);
  begin = floor_now();
  for (long i = 0; i < s->n; i++) {
    sem_wait(&s->sem);
    sem_post(&s->sem);
  }
  return (double)s->n / (floor_now() - begin);
}

static void contend(void *arg) {
  struct locked *s = arg;

  floor_arrive(&s->gate);
  pairs(s);
}

static double lock_contended(void) {
  struct locked *s = floor_shared(sizeof *s);
  double begin;
  pid_t pid;

  s->n = floor_count(6000000);
  pid = floor_child(contend, s);
  floor_open(&s->gate, 1);
  begin = floor_now();
  pairs(s);
  floor_join(pid);
  return 2 * (double)s->n / (floor_now() - begin);
}

/* Two empty method calls from Lua: no binding of a lock can be faster.  Each
 * looks whether it was called with one of its objects, in the fastest way that
 * Lua's interface has for that, the metatable as an upvalue; the bare ones do
 * not even look. */

static int bare(lua_State *L) {
  lua_pushboolean(L, 1);
  return 1;
}

static int checked(lua_State *L) {
  if (!lua_touserdata(L, 1) || !lua_getmetatable(L, 1) ||
      !lua_rawequal(L, -1, lua_upvalueindex(1)))
    return luaL_typeerror(L, 1, "lock");
  lua_pushboolean(L, 1);
  return 1;
}

static double lock_methods(lua_CFunction method) {
  lua_State *L = floor_state();
  long n = floor_count(5000000);
  double begin;

  lua_newuserdatauv(L, 8, 0);
  lua_newtable(L);
  lua_newtable(L);
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, method, 1);
  lua_setfield(L, -2, "acquire");
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, method, 1);
  lua_setfield(L, -2, "release");
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
  luaL_loadstring(L, "local lock, n = ... "
                     "for _ = 1, n do lock:acquire() lock:release() end");
  lua_insert(L, -2);
  lua_pushinteger(L, n);
  begin = floor_now();
  lua_call(L, 2, 0);
  begin = floor_now() - begin;
  lua_close(L);
  return (double)n / begin;
}

static double lock_calls(void) {
  return lock_methods(checked);
}

static double lock_bare(void) {
  return lock_methods(bare);
}

/* --- in turns --- */

struct turns {
  sem_t sem[2];
  pthread_mutex_t lock;
  pthread_cond_t cond;
  int turn; /* under the lock */
  struct floor_word event[2];
  pthread_barrier_t barrier;
  void (*once)(struct turns *t, int self);
  long n;
};

static void sem_turn(struct turns *t, int self) {
  if (self == 0)
    sem_post(&t->sem[0]);
  sem_wait(&t->sem[1 - self]);
  if (self == 1)
    sem_post(&t->sem[1]);
}

static void cond_turn(struct turns *t, int self) {
  pthread_mutex_lock(&t->lock);
  while (t->turn != self)
    pthread_cond_wait(&t->cond, &t->lock);
  t->turn = 1 - self;
  pthread_cond_signal(&t->cond);
  pthread_mutex_unlock(&t->lock);
}

static void event_take(struct floor_word *event) {
  floor_wait_for(event, 1);
  floor_set(event, 0);
}

static void event_turn(struct turns *t, int self) {
  if (self == 1)
    event_take(&t->event[0]);
  floor_set(&t->event[self], 1);
  if (self == 0)
    event_take(&t->event[1]);
}

static void barrier_turn(struct turns *t, int self) {
  (void)self;
  pthread_barrier_wait(&t->barrier);
}

static void other(void *arg) {
  struct turns *t = arg;

  for (long i = 0; i < t->n; i++)
    t->once(t, 1);
}

static struct turns *new_turns(void) {
  struct turns *t = floor_shared(sizeof *t);
  pthread_mutexattr_t ma;
  pthread_condattr_t ca;
  pthread_barrierattr_t ba;

  sem_init(&t->sem[0], 1, 0);
  sem_init(&t->sem[1], 1, 0);
  pthread_mutexattr_init(&ma);
  pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(&t->lock, &ma);
  pthread_condattr_init(&ca);
  pthread_condattr_setpshared(&ca, PTHREAD_PROCESS_SHARED);
  pthread_cond_init(&t->cond, &ca);
  pthread_barrierattr_init(&ba);
  pthread_barrierattr_setpshared(&ba, PTHREAD_PROCESS_SHARED);
  pthread_barrier_init(&t->barrier, &ba, 2);
  return t;
}

static double in_turns(void (*once)(struct turns *, int), long n) {
  struct turns *t = new_turns();
  long warm = 500;
  double begin = 0;
  pid_t pid;

  n = floor_count(n);
  t->once = once;
  t->n = warm + n;
  pid = floor_child(other, t);
  for (long i = 0; i < t->n; i++) {
    if (i == warm)
      begin = floor_now();
    once(t, 0);
  }
  begin = floor_now() - begin;
  floor_join(pid);
  return (double)n / begin;
}

static double semaphore_pingpong(void) {
  return in_turns(sem_turn, 60000);
}

static double condition_pingpong(void) {
  return in_turns(cond_turn, 50000);
}

static double event_pingpong(void) {
  return in_turns(event_turn, 400000);
}

static double barrier_2(void) {
  return in_turns(barrier_turn, 80000);
}

const struct floor_workload floor_sync[] = {
    {"lock_uncontended", lock_uncontended},
    {"lock_uncontended_calls", lock_calls},
    {"lock_uncontended_bare", lock_bare},
    {"semaphore_uncontended", semaphore_uncontended},
    {"lock_contended_2", lock_contended},
    {"semaphore_pingpong", semaphore_pingpong},
    {"condition_pingpong", condition_pingpong},
    {"event_pingpong", event_pingpong},
    {"barrier_2", barrier_2},
    {NULL, NULL}};
