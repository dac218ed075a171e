-- Crunching a shared array in place: tasks carry two numbers, not the data.
local mp = require "mp"

local N, PIECES = 400000, 16
local samples = mp.RawArray("d", N)
for i = 1, N do samples[i] = i end

-- Each task works on a piece of the one array that all processes share.
local function smooth(first, last)
  local piece = samples:slice(first, last)
  local sum = 0
  for i, x in ipairs(piece) do
    piece[i] = math.sqrt(x)
    sum = sum + piece[i]
  end
  samples:assign(first, piece)
  return sum
end

local pieces = {}
for p = 1, PIECES do
  pieces[p] = { (p - 1) * N // PIECES + 1, p * N // PIECES }
end

local pool <close> = mp.Pool()
local total = 0
for _, sum in ipairs(pool:starmap(smooth, pieces)) do total = total + sum end
print(("sum of %d roots: %.1f"):format(N, total))
print(("the last one: %.4f"):format(samples[N]))
