-- A pipeline: processes that are stages, joined by pipes.
local mp = require "mp"

--- The values that arrive, up to the end of the stream.
local function values(reader)
  return function()
    return (reader:recv())
  end
end

--- A process that passes on what `f` makes of each value.
local function stage(input, f)
  local output, writer = mp.Pipe(false)
  mp.get_context("spawn").Process(function()
    for value in values(input) do
      local made = f(value)
      if made ~= nil then writer:send(made) end
    end
  end):start()
  input:close() -- the stage holds them now
  writer:close()
  return output
end

local source, feed = mp.Pipe(false)
local squares = stage(source, function(n) return n * n end)
local even = stage(squares, function(n)
  return n % 2 == 0 and n or nil
end)
local text = stage(even, function(n) return ("<%d>"):format(n) end)

for n = 1, 10 do feed:send(n) end
feed:close() -- the end of the stream runs through all stages

for s in values(text) do io.write(s, " ") end
print()
