-- A connection in somebody else's event loop: luv's, beside a timer.
local mp = require "mp"

local found, luv = pcall(require, "luv")
if not found then
  print("luv is not installed (Debian: lua-luv); nothing to show")
  return
end

local here, there = mp.Pipe()

mp.Process(function()
  for n = 1, 5 do there:send { n = n, square = n * n } end
  there:send "done"
end):start()

local ticks, sum = 0, 0

local timer = luv.new_timer()
timer:start(0, 5, function() ticks = ticks + 1 end)

-- The descriptor is readable when there is something to receive.
local watch = luv.new_poll(here:fileno())
watch:start("r", function()
  local message, reason = here:recv(0)
  if reason == "timeout" then return end
  if message == "done" then
    watch:close()
    timer:close()
  else
    print(("received %d, square %d"):format(message.n, message.square))
    sum = sum + message.square
  end
end)

luv.run()
print(("sum %d; the timer ran meanwhile: %s"):format(sum, ticks > 0))
assert(sum == 55)
