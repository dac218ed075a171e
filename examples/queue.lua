-- Work that makes more work: an integral, cut into pieces until each is exact
-- enough.  A worker takes a piece from the queue and either adds it up or puts
-- its halves back; `join` knows when none is left.
local mp = require "mp"

local WORKERS = math.max(2, mp.process_cpu_count())

local function f(x) return 4 * math.sqrt(1 - x * x) end -- a circle's quarter

-- Simpson's rule.
local function estimate(from, to)
  return (to - from) / 6 * (f(from) + 4 * f((from + to) / 2) + f(to))
end

local function worker(pieces, results)
  local sum, count = 0, 0
  while true do
    local piece, reason = pieces:get()
    if reason then break end -- "closed"
    local from, to, tolerance = table.unpack(piece)
    local middle = (from + to) / 2
    local whole = estimate(from, to)
    local halves = estimate(from, middle) + estimate(middle, to)
    if math.abs(whole - halves) < 15 * tolerance then
      sum, count = sum + halves, count + 1
    else -- before task_done: the queue is not finished in between
      pieces:put{ from, middle, tolerance / 2 }
      pieces:put{ middle, to, tolerance / 2 }
    end
    pieces:task_done()
  end
  results:put{ sum = sum, count = count }
end

local pieces, results = mp.JoinableQueue(), mp.SimpleQueue()
local team = {}
for i = 1, WORKERS do team[i] = mp.Process(worker, pieces, results):start() end

pieces:put{ 0, 1, 1e-11 }
assert(pieces:join()) -- every piece is done, those of pieces, too
pieces:close() -- the workers may go home

local sum, count = 0, 0
for i = 1, WORKERS do
  local result = results:get()
  sum, count = sum + result.sum, count + result.count
  team[i]:join()
end
print(("%d pieces by %d workers: %.9f"):format(count, WORKERS, sum))
assert(math.abs(sum - math.pi) < 1e-8)
