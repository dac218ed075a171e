-- What readings.c runs: two workers that add up what it measures.
local mp = require "mp"

local WORKERS <const> = 2
local readings, summaries = mp.Queue(100), mp.Queue()
local lock = mp.Lock()
local seen = mp.RawArray("d", 2) -- how many were noted, and the highest

local function work()
  local count, sum = 0, 0.0
  while true do
    local reading = readings:get()
    if not reading then break end -- closed, and nothing is left
    local _, value, unit = table.unpack(reading)
    assert(unit == "mm")
    count, sum = count + 1, sum + value
    lock:with(function()
      seen[1] = seen[1] + 1
      seen[2] = math.max(seen[2], value)
    end)
  end
  summaries:put{ mp.current_process().name, count, sum }
end

for i = 1, WORKERS do
  mp.Process{ name = "worker " .. i, target = work, daemon = true }:start()
end
return readings, summaries, lock, seen, WORKERS
