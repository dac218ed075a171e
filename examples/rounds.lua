-- Rounds in step, and what a death does to them.
--
-- Four processes work in rounds: nobody begins the next before all have ended
-- this one.  At most two of them are in the narrow part at a time.  Then one
-- is killed while the others wait for it: they hear of it at once, and its
-- permit is back.
--
--   luamp examples/rounds.lua
local mp = require "mp"

local PARTIES, ROUNDS = 4, 3
local narrow = mp.Semaphore(2)
local barrier = mp.Barrier(PARTIES, {
  action = function() print("all are there") end,
})

local function work(name)
  for round = 1, ROUNDS do
    do
      local _held <close> = narrow:guard()
      print(("%s works in round %d"):format(name, round))
    end
    assert(barrier:wait())
  end
  local _, why = barrier:wait(30)
  return why
end

local function doomed(name)
  for _ = 1, ROUNDS do assert(barrier:wait()) end
  print(name .. " waits no more")
  narrow:acquire() -- and keeps it
  barrier:wait()
end

local victim = mp.Process{ target = doomed, args = { "d" } }
victim:start()
local others = {}
for i, name in ipairs{ "a", "b" } do
  others[i] = mp.Process{ target = work, args = { name } }:start()
end
for _ = 1, ROUNDS do assert(barrier:wait()) end
while barrier.n_waiting < PARTIES - 1 do mp.wait({}, 0.01) end
victim:kill()
for _, process in ipairs(others) do
  assert(process:result(30) == "broken")
end
print("broken: " .. tostring(barrier.broken))
barrier:reset()
assert(narrow:acquire(1) and narrow:acquire(1), "both permits are back")
