-- The values of the serialize workloads, for every Lua side and for the floor.
-- Plain enough for Lua 5.1, where some of the peers live.

local objects = {}

function objects.record()
  return {id = 1, name = "abc", value = 3.14}
end

local function list(n, item)
  local t = {}
  for i = 1, n do t[i] = item(i) end
  return t
end

function objects.nested10k()
  return list(10000, function(i)
    return {
      id = i,
      name = "user" .. i,
      score = i * 0.5,
      active = i % 2 == 0,
      tags = {"a" .. i % 7, "bb", "ccc"},
    }
  end)
end

function objects.floats1e6()
  return list(1000000, function(i) return i * 0.1 end)
end

function objects.ints1e6()
  return list(1000000, function(i) return i end)
end

function objects.strings1e5()
  return list(100000, function(i) return "str" .. i end)
end

--- How often a side of ordinary speed encodes and decodes it in half a second.
objects.times = {
  record = 400000, nested10k = 25, floats1e6 = 8, ints1e6 = 8, strings1e5 = 20,
}

return objects
