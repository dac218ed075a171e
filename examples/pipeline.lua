-- A pipeline: each stage is a process, each arrow a pipe.
--
--   numbers -> square -> only even ones -> sum
local mp = require "mp"

-- Iterate over what arrives until the sender has gone.
local function each(conn)
  return function()
    local value, reason = conn:recv()
    if not reason then return value end
  end
end

-- A process that runs stage(input, emit); returns where its output arrives.
local function stage(input, work)
  local reader, writer = mp.Pipe(false)
  mp.Process(function()
    reader:close() -- a forked child has this end, too
    work(input, function(value) writer:send(value) end)
  end):start()
  writer:close() -- only the stage writes: its end is the stream's end
  if input then input:close() end
  return reader
end

local numbers = stage(nil, function(_, emit)
  for n = 1, 1000 do emit(n) end
end)

local squares = stage(numbers, function(input, emit)
  for n in each(input) do emit(n * n) end
end)

local even = stage(squares, function(input, emit)
  for n in each(input) do
    if n % 2 == 0 then emit(n) end
  end
end)

local sum, count = 0, 0
for n in each(even) do sum, count = sum + n, count + 1 end

print(("%d even squares, sum %d"):format(count, sum))
assert(count == 500 and sum == 167167000)
