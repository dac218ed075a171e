-- Several processes crunch one array in place: a sieve of Eratosthenes over
-- shared bytes, each process striking out in a part of its own.  Nothing is
-- copied between them; a struct in shared memory collects what they found.
local mp = require "mp"

local LIMIT = tonumber(arg[1]) or 1000000
local WORKERS = mp.process_cpu_count()

local composite = mp.RawArray("?", LIMIT)
local total = mp.Value("q", 0)
local Found = mp.Struct { { "count", "i" }, { "largest", "i" } }
local found = mp.Array(Found, WORKERS)

-- The primes up to the root, which everybody needs.
local small = {}
for i = 2, math.floor(math.sqrt(LIMIT)) do
  if not composite[i] then
    small[#small + 1] = i
    for k = i * i, math.floor(math.sqrt(LIMIT)), i do composite[k] = true end
  end
end

local function strike_out(worker, from, to)
  for _, p in ipairs(small) do
    for k = math.max(p * p, (from + p - 1) // p * p), to, p do
      composite[k] = true
    end
  end
  local mine = found[worker]
  for i = math.max(from, 2), to do
    if not composite[i] then
      mine.count = mine.count + 1
      mine.largest = i
    end
  end
  total:add(mine.count)
end

local workers = {}
for w = 1, WORKERS do
  local from, to = LIMIT * (w - 1) // WORKERS + 1, LIMIT * w // WORKERS
  workers[w] = mp.Process(strike_out, w, from, to):start()
end
for _, p in ipairs(workers) do p:join() end

local largest = 0
for _, f in ipairs(found) do largest = math.max(largest, f.largest) end
print(("%d primes up to %d, the largest is %d"):format(total.value, LIMIT,
  largest))
