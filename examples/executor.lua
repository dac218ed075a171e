-- An executor: results as they come, an error that costs one call, and a
-- future that is taken back.
local mp = require "mp"

local function collatz(n)
  if n < 1 then error("a positive number was expected") end
  local steps = 0
  while n ~= 1 do
    n = n % 2 == 0 and n // 2 or 3 * n + 1
    steps = steps + 1
  end
  return steps
end

local executor <close> = mp.futures.ProcessPoolExecutor { max_workers = 2 }

local numbers = { 27, 97, 871, 6171, 0, 77031 }
local number_of = {}
for _, n in ipairs(numbers) do number_of[executor:submit(collatz, n)] = n end

local futures = {}
for future in pairs(number_of) do futures[#futures + 1] = future end

local most, failed = 0, 0
for future in mp.futures.as_completed(futures) do
  local err = future:exception()
  if err then
    failed = failed + 1
    print(("%d: %s"):format(number_of[future],
      tostring(err.message):match("[^:]*$")))
  else
    most = math.max(most, future:result())
  end
end
print(("the most steps: %d; failed: %d"):format(most, failed))

-- With every worker busy, what is queued can still be taken back.
local gate = mp.SimpleQueue()
for _ = 1, 2 do executor:submit(function() return gate:get() end) end
local last = executor:submit(collatz, 5)
print("taken back: " .. tostring(last:cancel()))
for _ = 1, 2 do gate:put(true) end
