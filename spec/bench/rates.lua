--- Rates that both luamp.lua and grow.lua measure.
local mp = require "mp"
local now = require("mp.core").now

local rates = {}

--- Items a second through a queue from `p` producers to `c` consumers, which
-- are released together.
function rates.queue(queue, p, c, value, total)
  total = math.max(1, total // (p * c)) * (p * c)
  local ready, gate = mp.SimpleQueue(), mp.SimpleQueue()
  local ends, team = mp.SimpleQueue(), {}
  local function produce()
    ready:put(true)
    gate:get() -- until it is closed
    for _ = 1, total // p do queue:put(value) end
  end
  local function consume()
    ready:put(true)
    gate:get()
    for _ = 1, total // c do queue:get() end
    ends:put(now())
  end
  for i = 1, p + c do
    team[i] = mp.Process(i <= p and produce or consume):start()
    ready:get()
  end
  local begin, last = now(), 0
  gate:close()
  for _ = 1, c do last = math.max(last, (ends:get())) end
  for _, member in ipairs(team) do member:join() end
  return total / (last - begin)
end

return rates
