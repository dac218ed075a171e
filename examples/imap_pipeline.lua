-- A pipeline of imap stages: each reads what the one before gives, as it is
-- needed, and every stage is at work at once.
local mp = require "mp"

local function numbers(n)
  local i = 0
  return function()
    i = i + 1
    if i <= n then return i end
  end
end

-- A stage's results as the next stage's input.
local function values(next_pair)
  return function()
    local _, value = next_pair()
    return value
  end
end

local pool <close> = mp.Pool()

local squares = pool:imap(function(n) return n * n end, numbers(1000))
local words = pool:imap(function(n) return ("%x"):format(n) end,
  values(squares))

local digits = {}
for _, word in pool:imap(function(s) return s:reverse() end, values(words)) do
  local first = word:sub(1, 1)
  digits[first] = (digits[first] or 0) + 1
end

local last = {}
for digit in pairs(digits) do last[#last + 1] = digit end
table.sort(last)
print("last hexadecimal digits of squares: " .. table.concat(last, " "))
