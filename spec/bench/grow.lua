-- luamp grow.lua NAME X: one point of a curve of curves.lua.
-- Prints one number.

package.path = "spec/bench/?.lua;" .. package.path
local mp = require "mp"
local rates = require "rates"
local now = require("mp.core").now

local name, x = arg[1], math.tointeger(arg[2])
local REC = {id = 1, name = "abc", value = 3.14}
local METHODS = {"fork", "spawn", "forkserver"}
local MIB = 1 << 20

local run = {}

local function nothing() end

--- `times` between 3 and `most` of them, for half a second if there are more.
local function seconds_of(once, most)
  once()
  local begin, times = now(), 0
  repeat
    once()
    times = times + 1
  until times == most or times >= 3 and now() - begin > 0.5
  return (now() - begin) / times
end

-- Milliseconds to start and join while the parent holds x MiB.
for _, method in ipairs(METHODS) do
  run["start_" .. method] = function()
    local Process = mp.get_context(method).Process
    local held = {}
    for i = 1, x do held[i] = string.char(i % 256):rep(256):rep(4096) end
    local seconds = seconds_of(function()
      Process(nothing):start():join()
    end, 300)
    assert(#held == x)
    return seconds * 1e3
  end
end

function run.queue_size()
  local total = math.max(8, math.min(300000, 512 * MIB // x))
  return rates.queue(mp.Queue(), 1, 1, ("x"):rep(x), total) * x / MIB
end

function run.queue_many()
  return rates.queue(mp.Queue(), x, x, REC, 200000)
end

function run.queue_fan_in()
  return rates.queue(mp.Queue(), x, 1, REC, 200000)
end

--- A task that keeps a CPU for so many microseconds.
local function busy(us)
  local until_when = now() + us * 1e-6
  while now() < until_when do end
end

local function pool_map(opts)
  local n = math.max(100, math.min(200000, 1000000 // x))
  local list = {}
  for i = 1, n do list[i] = x end
  local pool <close> = mp.Pool(2)
  pool:map(busy, {1, 1, 1, 1}, {chunksize = 1})
  local begin = now()
  assert(pool:map(busy, list, opts).n == n)
  return n / (now() - begin)
end

function run.pool_map() return pool_map() end
function run.pool_chunk1() return pool_map{chunksize = 1} end

local function nop(value) return value end

function run.pool_queued()
  local pool <close> = mp.Pool(2)
  pool:map(nop, {1, 1, 1, 1}, {chunksize = 1})
  local begin, results = now(), {}
  for i = 1, x do results[i] = pool:apply_async(nop, {i}) end
  for i = 1, x do assert(results[i]:get() == i) end
  return x / (now() - begin)
end

function run.pool_mapped()
  local list = {}
  for i = 1, x do list[i] = i end
  local pool <close> = mp.Pool(2)
  pool:map(nop, {1, 1, 1, 1}, {chunksize = 1})
  local begin = now()
  assert(pool:map(nop, list, {chunksize = 1}).n == x)
  return x / (now() - begin)
end

function run.executor_queued()
  local executor <close> = mp.futures.ProcessPoolExecutor{max_workers = 2}
  executor:submit(nop, 0):result()
  local begin, futures = now(), {}
  for i = 1, x do futures[i] = executor:submit(nop, i) end
  for i = 1, x do assert(futures[i]:result() == i) end
  return x / (now() - begin)
end

-- Memory ---------------------------------------------------------------------

--- The sum of a process's fields of that name, KiB.
local function kib(pid, field)
  local sum = 0
  for line in io.lines("/proc/" .. pid .. "/smaps_rollup") do
    sum = sum + (line:match("^" .. field .. ": +(%d+)") or 0)
  end
  return sum
end

--- What is private to each of x children, and what the parent gains.
for _, method in ipairs(METHODS) do
  run["memory_" .. method] = function()
    local context = mp.get_context(method)
    local ready, gate = context.SimpleQueue(), context.SimpleQueue()
    local function idle()
      ready:put(true)
      gate:get()
    end
    context.Process(nothing):start():join()
    collectgarbage()
    local before, team = kib("self", "Pss"), {}
    for i = 1, x do
      team[i] = context.Process(idle):start()
      ready:get()
    end
    collectgarbage()
    local sum = kib("self", "Private_%a+")
    sum = math.max(0, sum - before)
    for _, p in ipairs(team) do sum = sum + kib(p.pid, "Private_%a+") end
    gate:close()
    for _, p in ipairs(team) do p:join() end
    return sum / x
  end
end

--- Bytes of memory, shared and private, that x objects need.
local function objects(make)
  local held = {make()}
  collectgarbage()
  local before = kib("self", "Pss")
  for i = 2, x + 1 do held[i] = make() end
  collectgarbage()
  local bytes = (kib("self", "Pss") - before) * 1024 / x
  assert(#held == x + 1)
  return bytes
end

for _, class in ipairs{"Lock", "Event", "Queue"} do
  run["objects_" .. class] = function() return objects(mp[class]) end
end

function run.objects_Value()
  return objects(function() return mp.Value("i", 0) end)
end

print(("%.6g"):format((run[name] or error("no such curve: " .. name))()))
