-- luamp luamp.lua NAME [SCALE]: the workloads as a program of ours does them.
-- Prints one number: the value of one run (a rate unless the name says else).

package.path = "spec/bench/?.lua;" .. package.path
local mp = require "mp"
local objects = require "objects"
local rates = require "rates"
local now = require("mp.core").now

local name, scale = arg[1], tonumber(arg[2] or 1)
local REC = {id = 1, name = "abc", value = 3.14}
local WARMUPS = 500
local MIB = 1 << 20

local workload = {}

local function count(n)
  return math.max(1, math.floor(n * scale))
end

-- start+join, memory ---------------------------------------------------------

local function nothing() end

local function start_join(method, n)
  local Process = mp.get_context(method).Process
  local function once()
    local p = Process(nothing)
    p:start()
    p:join()
  end

  n = count(n)
  for _ = 1, 5 do once() end
  local begin = now()
  for _ = 1, n do once() end
  return n / (now() - begin)
end

local function start_join_bigparent(method, n)
  local held = {} -- 1 GiB, every page written
  for i = 1, 16 do held[i] = string.char(64 + i):rep(65536):rep(1024) end
  local value = start_join(method, n)
  assert(#held == 16)
  return value
end

for method, n in pairs{fork = 1500, spawn = 500, forkserver = 2000} do
  workload["start_join_" .. method] = function()
    return start_join(method, n)
  end
  workload["start_join_" .. method .. "_bigparent"] = function()
    return start_join_bigparent(method, method == "fork" and 20 or n)
  end
end

function workload.start_join_thread()
  return start_join("thread", 3000)
end

local function idle(conn)
  conn:send(true)
  conn:recv()
end

--- KiB private to a child that waits on a pipe.
local function memory(method)
  local context = mp.get_context(method)
  local ours, theirs = context.Pipe()
  local p = context.Process(idle, theirs)
  collectgarbage "stop" -- what ours writes to, the child has for itself
  p:start()
  theirs:close()
  assert(ours:recv())
  ours:poll(0.1)
  local kib = 0
  for line in io.lines("/proc/" .. p.pid .. "/smaps_rollup") do
    kib = kib + (line:match("^Private_%a+: +(%d+)") or 0)
  end
  collectgarbage "restart"
  ours:send(true)
  p:join()
  return kib
end

for _, method in ipairs{"fork", "spawn", "forkserver"} do
  workload["memory_" .. method] = function() return memory(method) end
end

--- KiB that the process grows by for each further idle thread.
function workload.memory_thread()
  local n, context = 50, mp.get_context("thread")
  local ready, gate = context.SimpleQueue(), context.SimpleQueue()
  local function add_one()
    local p = context.Process(function()
      ready:put(true)
      gate:get() -- until it is closed
    end):start()
    ready:get()
    return p
  end
  local function private()
    local kib = 0
    for line in io.lines("/proc/self/smaps_rollup") do
      kib = kib + (line:match("^Private_%a+: +(%d+)") or 0)
    end
    return kib
  end
  local team = {add_one()}
  local before = private()
  for i = 2, n + 1 do team[i] = add_one() end
  local kib = (private() - before) / n
  gate:close()
  for _, p in ipairs(team) do p:join() end
  return kib
end

--- The size that run.lua gives to the C programs' Lua states.
function workload.heap()
  start_join("fork", 1)
  collectgarbage()
  return collectgarbage("count")
end

-- pipes ----------------------------------------------------------------------

local function echo(conn, n)
  for _ = 1, n do conn:send(conn:recv()) end
end

function workload.pipe_pingpong()
  local n = count(200000)
  local ours, theirs = mp.Pipe()
  local p = mp.Process(echo, theirs, WARMUPS + n)
  p:start()
  theirs:close()
  for i = 1, WARMUPS do
    ours:send(i)
    ours:recv()
  end
  local begin = now()
  for i = 1, n do
    ours:send(i)
    ours:recv()
  end
  local took = now() - begin
  p:join()
  return n / took
end

local function throughput(method, value, n)
  local function send_all(writer, times)
    for _ = 1, times do writer["send" .. method](writer, value) end
  end

  n = count(n)
  local reader, writer = mp.Pipe(false)
  local p = mp.Process(send_all, writer, n + 1)
  p:start()
  writer:close()
  local recv = reader["recv" .. method]
  recv(reader)
  local begin = now()
  for _ = 1, n do recv(reader) end
  local took = now() - begin
  p:join()
  return n / took
end

function workload.pipe_throughput_small()
  return throughput("", REC, 600000)
end

function workload.pipe_throughput_int()
  return throughput("", 1, 800000)
end

function workload.pipe_throughput_1m()
  return throughput("_bytes", ("x"):rep(MIB), 4000)
end

function workload.pipe_throughput_1m_obj()
  return throughput("", ("x"):rep(MIB), 4000)
end

-- sockets --------------------------------------------------------------------

function workload.tcp_pingpong()
  local n = count(40000)
  local listener = assert(mp.connection.Listener { family = "AF_INET" })
  local p = mp.Process(function()
    echo(assert(mp.connection.Client { address = listener.address }),
      WARMUPS + n)
  end)
  p:start()
  local conn = assert(listener:accept())
  local begin
  for i = 1, WARMUPS + n do
    if i == WARMUPS + 1 then begin = now() end
    conn:send(i)
    conn:recv()
  end
  local took = now() - begin
  p:join()
  return n / took
end

-- queues ---------------------------------------------------------------------

for kind, Queue in pairs{queue = mp.Queue, simplequeue = mp.SimpleQueue} do
  workload[kind .. "_1p1c_int"] = function()
    return rates.queue(Queue(), 1, 1, 1, count(1000000))
  end
  for members, p in pairs{["1p1c"] = 1, ["2p2c"] = 2, ["4p1c"] = 4} do
    workload[kind .. "_" .. members .. "_rec"] = function()
      return rates.queue(Queue(), p, p == 2 and 2 or 1, REC, count(600000))
    end
  end
end

function workload.queue_64k()
  local rate = rates.queue(mp.Queue(), 1, 1, ("x"):rep(64 << 10), count(20000))
  return rate * (64 << 10) / MIB
end

function workload.queue_pingpong()
  local n = count(200000)
  local there, back = mp.Queue(), mp.Queue()
  local p = mp.Process(function()
    for _ = 1, WARMUPS + n do back:put((there:get())) end
  end):start()
  local begin
  for i = 1, WARMUPS + n do
    if i == WARMUPS then begin = now() end
    there:put(i)
    back:get()
  end
  local took = now() - begin
  p:join()
  return n / took
end

-- managers -------------------------------------------------------------------

local function with_dict(n, once)
  n = count(n)
  local manager <close> = mp.Manager()
  local dict = manager:dict { a = 0 }
  local begin
  for i = 1, WARMUPS + n do
    if i == WARMUPS + 1 then begin = now() end
    once(dict, i)
  end
  return n / (now() - begin)
end

function workload.manager_dict_get()
  return with_dict(50000, function(dict) return dict.a end)
end

function workload.manager_dict_set()
  return with_dict(50000, function(dict, i) dict.a = i end)
end

function workload.manager_start()
  local n = count(20)
  local took = 0
  for _ = 1, n do
    local begin = now()
    local _manager <close> = mp.Manager()
    took = took + now() - begin
  end
  return took / n * 1e6
end

-- encode and decode ----------------------------------------------------------

local function serialize(object)
  local encode, decode = mp.encode, mp.decode
  local n = count(objects.times[object])
  local value = objects[object]()
  local data = encode(value)
  local begin = now()
  for _ = 1, n do encode(value) end
  for _ = 1, n do decode(data) end
  return n / (now() - begin)
end

for object in pairs(objects.times) do
  workload["serialize_" .. object] = function() return serialize(object) end
end

-- locks and signals ----------------------------------------------------------

local function pairs_of(lock, n)
  for _ = 1, n do
    lock:acquire()
    lock:release()
  end
end

local function uncontended(lock)
  local n = count(5000000)
  local begin = now()
  pairs_of(lock, n)
  return n / (now() - begin)
end

function workload.lock_uncontended() return uncontended(mp.Lock()) end
function workload.rlock_uncontended() return uncontended(mp.RLock()) end

function workload.semaphore_uncontended()
  return uncontended(mp.Semaphore(1))
end

function workload.lock_contended_2()
  local n = count(3000000)
  local lock, ready, go = mp.Lock(), mp.Event(), mp.Event()
  local p = mp.Process(function()
    ready:set()
    go:wait()
    pairs_of(lock, n)
  end)
  p:start()
  ready:wait()
  local begin = now()
  go:set()
  pairs_of(lock, n)
  p:join()
  return 2 * n / (now() - begin)
end

--- Two processes that do once(self, a, b) in turns, self 0 and 1.
local function turns(n, once, a, b)
  n = count(n)
  local p = mp.Process(function()
    for _ = 1, WARMUPS + n do once(1, a, b) end
  end)
  p:start()
  for _ = 1, WARMUPS do once(0, a, b) end
  local begin = now()
  for _ = 1, n do once(0, a, b) end
  local took = now() - begin
  p:join()
  return n / took
end

local function semaphore_turn(self, a, b)
  if self == 0 then
    a:release()
    b:acquire()
  else
    a:acquire()
    b:release()
  end
end

function workload.semaphore_pingpong()
  return turns(200000, semaphore_turn, mp.Semaphore(0), mp.Semaphore(0))
end

local function condition_turn(self, cond, turn)
  cond:acquire()
  while turn.value ~= self do cond:wait() end
  turn.value = 1 - self
  cond:notify()
  cond:release()
end

function workload.condition_pingpong()
  return turns(100000, condition_turn, mp.Condition(), mp.RawValue("i", 0))
end

local function barrier_turn(_, barrier)
  barrier:wait()
end

function workload.barrier_2()
  return turns(200000, barrier_turn, mp.Barrier(2))
end

local function event_turn(self, a, b)
  if self == 0 then
    a:set()
    b:wait()
    b:clear()
  else
    a:wait()
    a:clear()
    b:set()
  end
end

function workload.event_pingpong()
  return turns(200000, event_turn, mp.Event(), mp.Event())
end

-- named memory ---------------------------------------------------------------

local function shared_memory(text)
  local SharedMemory = mp.shared_memory.SharedMemory
  local n = count(text and 2000 or 20000)
  local begin = now()
  for _ = 1, n do
    local shm = SharedMemory{create = true, size = MIB}
    if text then shm.buf:write(0, text) end
    shm:close()
    shm:unlink()
  end
  return n / (now() - begin)
end

function workload.shared_memory() return shared_memory() end

function workload.shared_memory_touched()
  return shared_memory(("x"):rep(MIB))
end

--- 64 MiB into a block that has its memory, and out again.
function workload.shared_memory_copy()
  local size, n = 64 * MIB, count(20)
  local shm <close> = mp.shared_memory.SharedMemory{create = true, size = size}
  local text = ("x"):rep(size)
  shm.buf:write(0, text)
  local begin = now()
  for _ = 1, n do
    shm.buf:write(0, text)
    text = shm.buf:read(0, size)
  end
  local took = now() - begin
  shm:unlink()
  return 2 * 64 * n / took
end

-- pools ----------------------------------------------------------------------

local function nop(x) return x end

--- Milliseconds for a pool of 2: one call, close, join.
local function pool_start(method)
  local n = count(50)
  local Pool = mp.get_context(method).Pool
  local function once()
    local pool = Pool(2)
    pool:apply(nop, {1})
    pool:close()
    pool:join()
  end
  once()
  local begin = now()
  for _ = 1, n do once() end
  return (now() - begin) / n * 1e3
end

for _, method in ipairs{"fork", "spawn", "forkserver", "thread"} do
  workload["pool_start_" .. method] = function() return pool_start(method) end
end

--- Milliseconds for two processes, started and joined one after the other.
function workload.start_two()
  return 2e3 / start_join("fork", 100)
end

local function integers(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

local function timed_map(n, list, f, opts)
  local pool <close> = mp.Pool(2)
  pool:map(nop, integers(4), {chunksize = 1})
  local begin = now()
  assert(pool:map(f, list, opts).n == #list)
  return n / (now() - begin)
end

function workload.pool_map_tiny()
  local n = count(100000)
  return timed_map(n, integers(n), nop)
end

function workload.pool_map_tiny_chunk1()
  local n = count(100000)
  return timed_map(n, integers(n), nop, {chunksize = 1})
end

function workload.pool_map_bytes()
  local list = {}
  for i = 1, 64 do list[i] = string.char(64 + i % 32):rep(MIB) end
  return timed_map(64, list, nop)
end

function workload.pool_apply_latency()
  local n = count(50000)
  local pool <close> = mp.Pool(2)
  for i = 1, WARMUPS do pool:apply(nop, {i}) end
  local begin = now()
  for i = 1, n do pool:apply(nop, {i}) end
  return n / (now() - begin)
end

function workload.executor_submit()
  local n = count(20000)
  local executor <close> = mp.futures.ProcessPoolExecutor{max_workers = 2}
  executor:submit(nop, 0):result()
  local begin, futures = now(), {}
  for i = 1, n do futures[i] = executor:submit(nop, i) end
  for i = 1, n do assert(futures[i]:result() == i) end
  return n / (now() - begin)
end

function workload.executor_submit_latency()
  local n = count(20000)
  local executor <close> = mp.futures.ProcessPoolExecutor{max_workers = 2}
  for i = 1, WARMUPS do executor:submit(nop, i):result() end
  local begin = now()
  for i = 1, n do executor:submit(nop, i):result() end
  return n / (now() - begin)
end

local function primes(limit)
  local found = 0
  for n = 2, limit - 1 do
    local prime, d = true, 2
    while d * d <= n do
      if n % d == 0 then
        prime = false
        break
      end
      d = d + 1
    end
    if prime then found = found + 1 end
  end
  return found
end

--- How much faster than one after the other: the two in turns, as the speed of
--- the machine drifts.
function workload.pool_map_cpu()
  local list = {}
  for i = 1, 64 do list[i] = 20000 end
  local pool <close> = mp.Pool(2)
  pool:map(nop, integers(4), {chunksize = 1})
  local serial, parallel = 0, 0
  for _ = 1, 4 do
    local begin = now()
    for i = 1, 16 do assert(primes(list[i]) == 2262) end
    local middle = now()
    for _, r in ipairs(pool:map(primes, list)) do assert(r == 2262) end
    serial = serial + (middle - begin) * 4
    parallel = parallel + now() - middle
  end
  return serial / parallel
end

--- Milliseconds of CPU time of an idle pool of 2, its owner's too, in 5 s.
function workload.idle_pool_cpu()
  local pool <close> = mp.Pool(2)
  pool:map(nop, integers(4), {chunksize = 1})
  local pids = {mp.current_process().pid}
  for _, p in ipairs(mp.active_children()) do pids[#pids + 1] = p.pid end
  local function used()
    local sum = 0
    for _, pid in ipairs(pids) do
      local file <close> = io.open("/proc/" .. pid .. "/schedstat")
      sum = sum + file:read("n")
    end
    return sum / 1e6
  end
  local before = used()
  mp.wait({}, 5)
  return used() - before
end

-- shared values --------------------------------------------------------------

local function arrive(gate, run, ...)
  gate:add(1)
  while gate.value < 2 do end
  return run(...)
end

--- Seconds until both of two processes have done run(...).
local function beside(run, ...)
  local gate = mp.RawValue("i")
  local p = mp.Process(arrive, gate, run, ...)
  p:start()
  arrive(gate, now)
  local begin = now()
  run(...)
  p:join()
  return now() - begin
end

local function increment(v, n)
  for _ = 1, n do
    local lock = v:get_lock()
    lock:acquire()
    v.value = v.value + 1
    lock:release()
  end
end

function workload.value_increment()
  local n = count(1000000)
  local v = mp.Value("q")
  local took = beside(increment, v, n)
  assert(v.value == 2 * n)
  return 2 * n / took
end

function workload.value_increment_1()
  local n = count(2000000)
  local v = mp.Value("q")
  local begin = now()
  increment(v, n)
  local took = now() - begin
  assert(v.value == n)
  return n / took
end

local function add_all(v, n)
  for _ = 1, n do v:add(1) end
end

function workload.value_add()
  local n = count(3000000)
  local v = mp.Value("q")
  local took = beside(add_all, v, n)
  assert(v.value == 2 * n)
  return 2 * n / took
end

local ELEMENTS = 1000000

local function fill_elements(array)
  local times = count(8)
  local a = array("d", ELEMENTS)
  local begin = now()
  for _ = 1, times do
    for i = 1, ELEMENTS do a[i] = 1.5 end
  end
  return times * ELEMENTS / (now() - begin)
end

function workload.array_fill_elem() return fill_elements(mp.Array) end
function workload.array_fill_elem_raw() return fill_elements(mp.RawArray) end

local function fill_bulk(source, times)
  local a = mp.Array("d", ELEMENTS)
  times = count(times)
  local begin = now()
  for _ = 1, times do a:assign(1, source) end
  return times * ELEMENTS / (now() - begin)
end

function workload.array_fill_bulk()
  local list = {}
  for i = 1, ELEMENTS do list[i] = 1.5 end
  return fill_bulk(list, 40)
end

function workload.array_fill_bulk_buf()
  return fill_bulk(string.pack("d", 1.5):rep(ELEMENTS), 400)
end

function workload.array_slice()
  local a = mp.Array("d", ELEMENTS)
  local times = count(20)
  local begin = now()
  for _ = 1, times do a:slice() end
  return times * ELEMENTS / (now() - begin)
end

local run = workload[name] or error("no such workload: " .. tostring(name))
print(string.format("%.6g", run()))
