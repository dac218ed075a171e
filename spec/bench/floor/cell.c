/* cell.c -- shared values, arrays and named memory: in C alone, and as
 * one Lua call into C where the library cannot do with less.
 */
#include "floor.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <lauxlib.h>

#define ELEMENTS 1000000

/* --- increments by two processes --- */

struct counter {
  struct floor_gate gate;
  _Alignas(64) pthread_mutex_t lock; /* robust */
  long value;                        /* under the lock */
  _Alignas(64) _Atomic long sum;
  void (*add)(struct counter *c);
  long n;
};

static void add_locked(struct counter *c) {
  pthread_mutex_lock(&c->lock);
  c->value++;
  pthread_mutex_unlock(&c->lock);
}

static void add_atomic(struct counter *c) {
  atomic_fetch_add(&c->sum, 1);
}

static void add_all(struct counter *c) {
  for (long i = 0; i < c->n; i++)
    c->add(c);
}

static void add_child(void *arg) {
  struct counter *c = arg;

  floor_arrive(&c->gate);
  add_all(c);
}

static double increments(void (*add)(struct counter *), long n, int members) {
  struct counter *c = floor_shared(sizeof *c);
  pthread_mutexattr_t a;
  double begin;
  pid_t pid = 0;

  pthread_mutexattr_init(&a);
  pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&c->lock, &a);
  c->add = add;
  c->n = floor_count(n);
  if (members == 2) {
    pid = floor_child(add_child, c);
    floor_open(&c->gate, 1);
  }
  begin = floor_now();
  add_all(c);
  if (members == 2)
    floor_join(pid);
  begin = floor_now() - begin;
  if (c->value + atomic_load(&c->sum) != members * c->n)
    floor_die("the sum is wrong");
  return (double)(members * c->n) / begin;
}

static double value_increment(void) {
  return increments(add_locked, 1500000, 2);
}

static double value_increment_1(void) {
  return increments(add_locked, 15000000, 1);
}

static double value_atomic_add_2(void) {
  return increments(add_atomic, 10000000, 2);
}

/* --- a Lua call for each --- */

/* v:add(n) on a userdata of a known metatable, kept as an upvalue. */
static int cell_add(lua_State *L) {
  _Atomic long *cell = lua_touserdata(L, 1);

  if (cell == NULL || !lua_getmetatable(L, 1) ||
      !lua_rawequal(L, -1, lua_upvalueindex(1)))
    return luaL_argerror(L, 1, "cell expected");
  lua_pushinteger(L, atomic_fetch_add(cell, lua_tointeger(L, 2)));
  return 1;
}

static int array_newindex(lua_State *L) {
  double *a = lua_touserdata(L, 1);
  lua_Integer i = lua_tointeger(L, 2);

  if (i < 1 || i > ELEMENTS)
    return luaL_argerror(L, 2, "out of range");
  a[i - 1] = luaL_checknumber(L, 3);
  return 0;
}

/* array:assign(table) */
static int array_assign(lua_State *L) {
  double *a = lua_touserdata(L, 1);

  for (lua_Integer i = 1; i <= ELEMENTS; i++) {
    lua_rawgeti(L, 2, i);
    a[i - 1] = lua_tonumber(L, -1);
    lua_pop(L, 1);
  }
  return 0;
}

/* The seconds that `code` takes, given a userdata of `size` bytes and n. */
static double lua_seconds(size_t size, long n, const char *code) {
  lua_State *L = floor_state();
  double begin;

  if (luaL_loadstring(L, code) != LUA_OK)
    floor_die(lua_tostring(L, -1));
  memset(lua_newuserdatauv(L, size, 0), 0, size);
  lua_newtable(L); /* the metatable */
  lua_newtable(L); /* its methods */
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, cell_add, 1);
  lua_setfield(L, -2, "add");
  lua_pushcfunction(L, array_assign);
  lua_setfield(L, -2, "assign");
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, array_newindex);
  lua_setfield(L, -2, "__newindex");
  lua_setmetatable(L, -2);
  lua_pushinteger(L, n);
  lua_call(L, 2, 1); /* prepares; returns what is timed */
  begin = floor_now();
  lua_call(L, 0, 0);
  begin = floor_now() - begin;
  lua_close(L);
  return begin;
}

static double value_add_calls(void) {
  long n = floor_count(5000000);

  return (double)n / lua_seconds(8, n,
                                 "local v, n = ... return function() "
                                 "for _ = 1, n do v:add(1) end end");
}

static double array_fill_elem(void) {
  long n = floor_count(8);

  return ELEMENTS * (double)n /
         lua_seconds(ELEMENTS * sizeof(double), n,
                     "local a, n = ... return function() "
                     "for _ = 1, n do "
                     "for i = 1, 1000000 do a[i] = 1.5 end end end");
}

static double array_fill_bulk(void) {
  long n = floor_count(40);

  return ELEMENTS * (double)n /
         lua_seconds(ELEMENTS * sizeof(double), n,
                     "local a, n = ... local t = {} "
                     "for i = 1, 1000000 do t[i] = 1.5 end "
                     "return function() for _ = 1, n do a:assign(t) end end");
}

static double array_fill_bulk_buf(void) {
  size_t len = ELEMENTS * sizeof(double);
  double *a = floor_shared(len), *from = floor_shared(len);
  long n = floor_count(400);
  double begin;

  memset(from, 1, len);
  memset(a, 2, len);
  begin = floor_now();
  for (long i = 0; i < n; i++) {
    memcpy(a, from, len);
    atomic_signal_fence(memory_order_seq_cst); /* each copy counts */
  }
  return ELEMENTS * (double)n / (floor_now() - begin);
}

/* --- named memory --- */

static char *named(size_t len) {
  static char name[32];
  void *p;
  int fd;

  if (!*name)
    snprintf(name, sizeof name, "/luamp-floor-%d", getpid());
  fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
  floor_must(fd >= 0 && ftruncate(fd, (off_t)len) == 0, "shm_open");
  p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  floor_must(p != MAP_FAILED, "mmap");
  close(fd);
  shm_unlink(name);
  return p;
}

static double make_named(long n, const char *from) {
  size_t len = (size_t)1 << 20;
  double begin = floor_now();

  for (long i = 0; i < n; i++) {
    char *p = named(len);

    if (from)
      memcpy(p, from, len);
    munmap(p, len);
  }
  return (double)n / (floor_now() - begin);
}

static double shared_memory(void) {
  return make_named(floor_count(40000), NULL);
}

static double shared_memory_touched(void) {
  char *from = floor_shared((size_t)1 << 20);

  memset(from, 1, (size_t)1 << 20);
  return make_named(floor_count(2000), from);
}

static double shared_memory_copy(void) {
  size_t len = (size_t)64 << 20;
  char *block = named(len), *other = floor_shared(len);
  long n = floor_count(20);
  double begin;

  memset(block, 1, len);
  memset(other, 2, len);
  begin = floor_now();
  for (long i = 0; i < n; i++) {
    memcpy(block, other, len);
    atomic_signal_fence(memory_order_seq_cst); /* each copy counts */
    memcpy(other, block, len);
    atomic_signal_fence(memory_order_seq_cst);
  }
  return 2 * 64 * (double)n / (floor_now() - begin);
}

const struct floor_workload floor_cell[] = {
    {"value_increment", value_increment},
    {"value_increment_1", value_increment_1},
    {"value_add", value_atomic_add_2},
    {"value_add_calls", value_add_calls},
    {"array_fill_elem", array_fill_elem},
    {"array_fill_bulk", array_fill_bulk},
    {"array_fill_bulk_buf", array_fill_bulk_buf},
    {"shared_memory", shared_memory},
    {"shared_memory_touched", shared_memory_touched},
    {"shared_memory_copy", shared_memory_copy},
    {NULL, NULL}};
