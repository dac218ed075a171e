-- A connection in an event loop: luv waits for its descriptor.
local mp = require "mp"

local found, uv = pcall(require, "luv")
if not found then
  print("luv is not installed (Debian: lua-luv)")
  return
end

local reader, writer = mp.Pipe(false)

mp.Process(function()
  reader:close()
  for i = 1, 3 do writer:send("message " .. i) end
end):start()
writer:close()

local poll = uv.new_poll(reader:fileno())
local ticks = uv.new_timer()
local ticked = 0
ticks:start(0, 1, function() ticked = ticked + 1 end)

poll:start("r", function()
  while reader:poll() do
    local value, reason = reader:recv()
    if reason then -- the writer is gone
      poll:stop()
      ticks:stop()
      return
    end
    print("got", value)
  end
end)
uv.run()
print("the loop went on meanwhile:", ticked > 0)
