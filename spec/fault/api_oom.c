/* api_oom.c -- each allocation fails, in whatever the API does.
 *
 * A state whose allocator counts goes through one scenario after the other.
 * Counted are Lua's requests, the core's for memory of the process (malloc and
 * calloc, wrapped by the linker) and for shared memory (mp__alloc: "no space").
 * The n-th request fails, for n = 0, 1, ... (once: Lua collects and tries
 * again; or with all that follow: an error).  It is an error of memory or none
 * at all; then nothing is held or open that was not before, no child is left,
 * and the same scenario works.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lauxlib.h"
#include "lualib.h"
#include "luamp.h"

#define FEW 60 /* so many are tried one by one; then larger and larger steps */

static struct memory {
  long left; /* requests until one fails; < 0: none does */
  int all;   /* those after it fail, too */
  int hit;   /* one has failed */
} memory = {-1, 0, 0};

static const char script[] =
    "local mp = require 'mp'\n"
    "local fork, thread = mp.get_context 'fork', mp.get_context 'thread'\n"
    "local spawn, server = mp.get_context 'spawn', mp.get_context 'forkserver'\n"
    "mp.set_executable(os.getenv 'LUAMP' or 'build/bin/luamp')\n"
    "local lock, rlock, event = mp.Lock(), mp.RLock(), mp.Event()\n"
    "local long, list = ('x'):rep(20000), {}\n"
    "for i = 1, 50 do list[i] = i end\n"
    "local t = {1, 'two', {3, long}, f = function() return list end}\n"
    "local function same(x)\n"
    "  assert(x[2] == 'two' and x[3][2] == long and #x.f() == 50)\n"
    "end\n"
    "return {\n"
    "  process = function()\n"
    "    local p <close> = fork.Process(function(x) calm() return x end, t)\n"
    "    same(p:start():result())\n"
    "  end,\n"
    "  thread = function()\n"
    "    local p <close> = thread.Process(function() return 1 end)\n"
    "    assert(p:start():result() == 1)\n"
    "  end,\n"
    "  pipe = function()\n"
    "    local c, d = mp.Pipe()\n"
    "    for _ = 1, 3 do c:send(t) same(d:recv()) end\n"
    "    c:send_bytes(long) assert(d:recv_bytes() == long)\n"
    "    c:send{c, d} local x = d:recv() x[1]:send(1)\n"
    "    assert(d:recv() == 1)\n"
    "    c:close() d:close()\n"
    "  end,\n"
    "  queue = function()\n"
    "    for _, kind in ipairs{'Queue', 'JoinableQueue', 'SimpleQueue'} do\n"
    "      local q = mp[kind]()\n"
    "      q:put(t) q:put(1) same(q:get()) assert(q:get() == 1)\n"
    "      q:close()\n"
    "    end\n"
    "  end,\n"
    "  lock = function()\n"
    "    do local g <close> = lock:guard() assert(lock:locked()) end\n"
    "    assert(rlock:with(function(...)\n"
    "      local g <close> = rlock:guard() return #{...} end, 1, 2) == 2)\n"
    "    local l = mp.Lock() l:acquire() l:release() tostring(l)\n"
    "  end,\n"
    "  event = function()\n"
    "    event:set() assert(event:wait(0)) event:clear()\n"
    "    tostring(mp.Event())\n"
    "  end,\n"
    "  sync = function()\n"
    "    local s = mp.Semaphore(2) assert(s:acquire()) s:release()\n"
    "    local c = mp.Condition() c:acquire() c:notify_all() c:release()\n"
    "    local b = mp.Barrier(1) b:wait()\n"
    "  end,\n"
    "  cells = function()\n"
    "    local v, a = mp.Value('i', 7), mp.Array('d', list)\n"
    "    v:add(1) v:get_lock() a:assign(3, {1, 2, 3})\n"
    "    assert(#a:slice(1, -1) == 50 and #a:tostring() == 400)\n"
    "    mp.Value(mp.Struct{{'x', 'd'}, {'y', 'i'}}, {x = 1, y = 2})\n"
    "  end,\n"
    "  blocks = function()\n"
    "    local m <close> = assert(mp.shared_memory.SharedMemory{\n"
    "      create = true, size = 5000})\n"
    "    local ok, why = pcall(function()\n"
    "      m.buf:write(0, long:sub(1, 5000)) m.buf:read(0, 5000)\n"
    "    end)\n"
    "    m:unlink()\n"
    "    if not ok then error(why, 0) end\n"
    "  end,\n"
    "  wait = function()\n"
    "    local a, b = mp.Pipe() b:send(1)\n"
    "    assert(mp.wait({a, mp.Queue()}, 1)[1] == a)\n"
    "  end,\n"
    "  codec = function()\n"
    "    same(mp.decode(mp.encode(t)))\n"
    "    mp.pickle.loads(mp.pickle.dumps{1, 'x', {a = 2}})\n"
    "  end,\n"
    "  pool = function()\n"
    "    local pool <close> = fork.Pool(1, {initializer = calm})\n"
    "    assert(pool:apply(function(x) return x end, {5}) == 5)\n"
    "    assert(pool:map(function(x) return x + 1 end, list)[50] == 51)\n"
    "  end,\n"
    "  limits = function()\n"
    "    local s = mp.BoundedSemaphore(2)\n"
    "    do local g <close> = s:guard() s:get_value() end\n"
    "    local c = mp.Condition(lock)\n"
    "    local held <close> = lock:guard()\n"
    "    assert(c:wait_for(function() return true end))\n"
    "    assert(select(2, c:wait(0)) == 'timeout')\n"
    "    local b = mp.Barrier(1, {action = function() return list end})\n"
    "    assert(b:wait() == 1)\n"
    "  end,\n"
    "  raw = function()\n"
    "    local v, a = mp.RawValue('c', 'x'), mp.RawArray('I', 3)\n"
    "    v.value = 'y' a:fill(7) assert(a[3] == 7 and v.value == 'y')\n"
    "    local S = mp.Struct{{'x', 'd'}, {'n', 'i'}}\n"
    "    local d = mp.Array(S, {{x = 1, n = 2}, {x = 3, n = 4}})\n"
    "    assert(d[2].n == 4 and #d:slice(1, 2) == 2)\n"
    "    tostring(d) tostring(d[1])\n"
    "  end,\n"
    "  tasks = function()\n"
    "    local q = mp.JoinableQueue(3)\n"
    "    for i = 1, 3 do q:put(i) end\n"
    "    assert(select(2, q:put_nowait(4)) == 'full')\n"
    "    for i = 1, 3 do assert(q:get_nowait() == i) q:task_done() end\n"
    "    assert(q:join()) q:fileno()\n"
    "  end,\n"
    "  shareable = function()\n"
    "    local l = mp.shared_memory.ShareableList{1, 'two', 3.5, true}\n"
    "    local ok, why = pcall(function()\n"
    "      assert(l[2] == 'two') l[2] = '2' assert(#l == 4)\n"
    "      local again = mp.shared_memory.ShareableList{name = l.shm.name}\n"
    "      assert(again[2] == '2') again.shm:close()\n"
    "    end)\n"
    "    l.shm:close() l.shm:unlink()\n"
    "    if not ok then error(why, 0) end\n"
    "  end,\n"
    "  spawn = function()\n"
    "    local p <close> = spawn.Process(function(x) return x end, t)\n"
    "    same(p:start():result())\n"
    "  end,\n"
    "  forkserver = function()\n"
    "    local p <close> = server.Process(function(x) return x end, t)\n"
    "    same(p:start():result())\n"
    "  end,\n"
    "  imap = function()\n"
    "    local pool <close> = fork.Pool(1, {initializer = calm})\n"
    "    for i, x in pool:imap(math.abs, list) do assert(i == x) end\n"
    "    for _, x in pool:imap_unordered(math.abs, list) do assert(x) end\n"
    "    assert(pool:starmap(math.max, {{1, 2}, {4, 3}})[2] == 4)\n"
    "  end,\n"
    "  executor = function()\n"
    "    local e <close> = mp.futures.ProcessPoolExecutor{max_workers = 1,\n"
    "      initializer = calm, context = fork}\n"
    "    local f = e:submit(math.abs, -5)\n"
    "    assert(f:result() == 5 and #mp.futures.wait{f} == 1)\n"
    "    for _, x in e:map(math.abs, list) do assert(x) end\n"
    "    for g in mp.futures.as_completed{f} do assert(g == f) end\n"
    "  end,\n"
    "  threads = function()\n"
    "    local e <close> = mp.futures.ThreadPoolExecutor{max_workers = 1}\n"
    "    assert(e:submit(math.abs, -5):result() == 5)\n"
    "  end,\n"
    "  listener = function()\n"
    "    local l <close> = assert(mp.connection.Listener{family = 'AF_UNIX'})\n"
    "    local c <close> = assert(mp.connection.Client{\n"
    "      address = l.address})\n"
    "    local s <close> = assert(l:accept(5))\n"
    "    c:send{1, long} assert(s:recv()[2] == long)\n"
    "    c:send_bytes(long) assert(s:recv_bytes() == long)\n"
    "    assert(mp.wait({l, s}, 0)[1] == nil)\n"
    "  end,\n"
    "  manager = function()\n"
    "    local m <close> = mp.managers.SyncManager{context = fork}:start(calm)\n"
    "    local d = m:dict() d.x = list\n"
    "    assert(#d.x == 50 and m:Lock():acquire())\n"
    "  end,\n"
    "  logging = function()\n"
    "    local logger = mp.get_logger()\n"
    "    logger:warn('%d of %s', 1, list) logger:setLevel 'DEBUG'\n"
    "    logger:debug(function() return long end) logger:setLevel 'WARN'\n"
    "  end,\n"
    "}, function()\n"
    "  collectgarbage() collectgarbage()\n"
    "  assert(not lock:locked() and not rlock:locked(), 'a lock is held')\n"
    "  return #mp.active_children()\n"
    "end\n";

/* One request more: is it to fail? */
static int refused(struct memory *m) {
  if (m->left == 0 || (m->all && m->hit)) {
    m->left = -1;
    m->hit = 1;
    return 1;
  }
  if (m->left > 0)
    m->left--;
  return 0;
}

static void *allocate(void *ud, void *p, size_t old, size_t new) {
  struct memory *m = ud;

  if (new == 0) {
    free(p);
    return NULL;
  }
  if (new > (p ? old : 0) && refused(m))
    return NULL;
  return realloc(p, new);
}

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_malloc(size_t n) {
  return refused(&memory) ? NULL : __real_malloc(n);
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size) {
  return refused(&memory) ? NULL : __real_calloc(n, size);
}

struct mp__txn;
int __real_mp__alloc(struct mp__txn *t, uint64_t len, uint64_t *off);
int __wrap_mp__alloc(struct mp__txn *t, uint64_t len, uint64_t *off);
int __wrap_mp__alloc(struct mp__txn *t, uint64_t len, uint64_t *off) {
  return refused(&memory) ? -ENOSPC : __real_mp__alloc(t, len, off);
}

/* calm(): in this process nothing fails any more. */
static int calm(lua_State *L) {
  (void)L;
  memory = (struct memory){-1, 0, 0};
  return 0;
}

static int descriptors(void) {
  DIR *dir = opendir("/proc/self/fd");
  int n = 0;

  while (dir && readdir(dir))
    n++;
  if (dir)
    (void)closedir(dir);
  return n;
}

/* [scenarios, census]: runs one; its error is left on the stack */
static int run(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  return lua_pcall(L, 0, 0, 0);
}

/* Children that were ended need a moment. */
static int settle(lua_State *L) {
  struct timespec moment = {0, 2000000};
  int tries, left = 1;

  for (tries = 0; tries < 2000 && left; tries++) {
    if (tries)
      (void)nanosleep(&moment, NULL);
    lua_pushvalue(L, 2);
    if (lua_pcall(L, 0, 1, 0) != LUA_OK)
      return -1;
    left = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
  if (left)
    lua_pushliteral(L, "children are left");
  return left ? -1 : 0;
}

static int wrong(lua_State *L, const char *name, long n, const char *what) {
  printf("%s, request %ld%s: %s: %s\n", name, n, memory.all ? " and on" : "",
         what, lua_isstring(L, -1) ? lua_tostring(L, -1) : "?");
  lua_settop(L, 2);
  return 0;
}

/* Here, or in a worker that was not yet calm. */
static int of_memory(const char *message) {
  return strstr(message, "memory") || strstr(message, "exit code 1") ||
         strstr(message, "No space") || strstr(message, "no space");
}

/* Returns 1 when all is well; *more: the n-th request was reached. */
static int attempt(lua_State *L, const char *name, long n, int all, int *more) {
  int before, rc;

  before = descriptors();
  memory = (struct memory){n, all, 0};
  rc = run(L, name);
  *more = memory.hit;
  memory = (struct memory){-1, all, 0};
  if (rc != LUA_OK && !of_memory(luaL_tolstring(L, -1, NULL)))
    return wrong(L, name, n, "fails");
  lua_settop(L, 2);
  if (settle(L) < 0)
    return wrong(L, name, n, "afterwards");
  if (run(L, name) != LUA_OK)
    return wrong(L, name, n, "does not work again");
  if (settle(L) < 0)
    return wrong(L, name, n, "in the end");
  if (descriptors() != before) {
    lua_pushfstring(L, "%d, and %d now", before, descriptors());
    return wrong(L, name, n, "descriptors");
  }
  return 1;
}

static lua_State *open_state(void) {
  lua_State *L = lua_newstate(allocate, &memory);

  luaL_openlibs(L);
  luamp_preload(L);
  lua_register(L, "calm", calm);
  if (luaL_dostring(L, script) != LUA_OK) {
    printf("%s\n", lua_tostring(L, -1));
    abort();
  }
  return L;
}

int main(int argc, char **argv) {
  static const char *const names[] = {
      "process", "thread",   "pipe",    "queue",     "lock",    "event",
      "sync",    "cells",    "blocks",  "wait",      "codec",   "pool",
      "limits",  "raw",      "tasks",   "shareable", "spawn",   "forkserver",
      "imap",    "executor", "threads", "listener",  "manager", "logging"};
  lua_State *L = open_state();
  unsigned passed = 0, failed = 0, i;
  int all, more;
  long n;

  (void)setvbuf(stdout, NULL, _IOLBF, 0);
  for (i = 0; i < sizeof names / sizeof *names; i++) {
    if (argc > 1 && strcmp(argv[1], names[i]) != 0)
      continue;
    /* twice: what is made once and kept */
    if (run(L, names[i]) != LUA_OK || run(L, names[i]) != LUA_OK) {
      failed += !wrong(L, names[i], -1, "cannot");
      continue;
    }
    (void)settle(L);
    for (all = 0; all <= 1; all++)
      for (n = 0, more = 1; more; n += 1 + (n > FEW ? n / 16 : 0)) {
        if (attempt(L, names[i], n, all, &more))
          passed++;
        else
          failed++;
      }
  }
  printf("%u passed, %u failed\n", passed, failed);
  return failed > 0;
}
