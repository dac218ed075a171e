-- Array: numbers in shared memory, one by one and in bulk.
local helper = require "helper"
local mp = require "mp"

local INTEGERS = { "b", "B", "h", "H", "i", "I", "l", "L", "q", "Q" }
local FORMAT = { l = "i8", L = "I8", q = "i8", Q = "I8", i = "i4", I = "I4" }

local function list(a) return table.concat(a:slice(), " ") end

--- Raises with that in its message, and the array is what it was.
local function refuses(a, pattern, f)
  local before = a:tostring()
  helper.raises(pattern, f)
  assert.are.equal(before, a:tostring())
end

describe("an array", function()
  it("has so many zeros, or the elements of a list", function()
    for _, code in ipairs{ "d", "f", table.unpack(INTEGERS) } do
      local a, b = mp.Array(code, 3), mp.RawArray(code, { 1, 2, 3, 4 })
      assert.are.equal(3, #a)
      assert.are.same({ 0, 0, 0 }, a:slice())
      assert.are.equal(4, #b)
      assert.are.same({ 1, 2, 3, 4 }, b:slice())
    end
    assert.are.same({ true, false }, mp.Array("?", { true, false }):slice())
    assert.are.equal(0, #mp.Array("i", 0))
    assert.are.equal(0, #mp.Array("i", {}))
    assert.are.same({}, mp.Array("i", 0):slice())
    assert.are.equal(2, #mp.Array("i", 2.0))
  end)

  it("gives and takes elements; beyond its ends there is nothing", function()
    local a = mp.Array("i", { 10, 20, 30 })
    assert.are.equal(10, a[1])
    assert.are.equal(30, a[3])
    assert.are.equal(30, a[3.0])
    for _, i in ipairs{ 0, -1, 4, 1.5, 2 ^ 62, math.mininteger, 0 / 0 } do
      assert.is_nil(a[i])
      refuses(a, "out of range %(1 to 3%)", function() a[i] = 1 end)
    end
    assert.is_nil(a["1"])
    assert.is_nil(a.nothing)
    refuses(a, "cannot set '1'", function() a["1"] = 1 end)
    refuses(a, "cannot set 'x'", function() a.x = 1 end)
    refuses(a, "does not fit typecode 'i'", function() a[1] = 2 ^ 31 end)
    refuses(a, "a nil does not fit", function() a[1] = nil end)
    a[2] = -7
    assert.are.equal("10 -7 30", list(a))
  end)

  it("is walked by ipairs and pairs", function()
    local a = mp.Array("h", { 5, 6, 7 })
    for _, walk in ipairs{ ipairs, pairs } do
      local seen = {}
      for i, x in walk(a) do seen[#seen + 1] = { i, x } end
      assert.are.same({ { 1, 5 }, { 2, 6 }, { 3, 7 } }, seen)
    end
    for _ in pairs(mp.Array("h", 0)) do error("nothing is there") end
  end)

  it("refuses what it cannot be made of", function()
    for message, f in pairs{
      ["Array: the number of elements"] = function() mp.Array("i", -1) end,
      ["RawArray: the number of elem"] = function() mp.RawArray("i", 1.5) end,
      ["a list was expected, not a string"] = function()
        mp.Array("i", "12")
      end,
      ["a list was expected, not a nil"] = function() mp.Array("i") end,
      ["unknown typecode 'x'"] = function() mp.Array("x", 1) end,
      ["Array: element 2: 256 does not fit"] = function()
        mp.Array("B", { 1, 256 })
      end,
      ["Array: element 3: a string does not"] = function()
        mp.Array("d", { 1, 2, "3" })
      end,
      ["Array: [%a ]+memory"] = function()
        mp.Array("d", 2 ^ 40 | 0)
      end,
      ["Array: .*memory"] = function()
        mp.Array("b", math.maxinteger)
      end,
    } do
      helper.raises(message, f)
    end
  end)

  it("tells what it is, and can be closed", function()
    local kept
    do
      local a <close> = mp.Array("d", 12)
      assert.matches("^mp.Array %('d', 12%)", tostring(a))
      kept = a
    end
    assert.are.equal("mp.Array (closed)", tostring(kept))
    for _, f in ipairs{ function() return kept[1] end,
      function() kept[1] = 1 end, function() return #kept end,
      function() return pairs(kept) end, function() kept:fill(1) end } do
      assert.has_error(f)
    end
  end)
end)

describe("in bulk", function()
  it("slices count as string.sub does", function()
    local a = mp.Array("q", { 1, 2, 3, 4, 5 })
    for i = -7, 7 do
      for j = -7, 7 do
        local want = ("12345"):sub(i, j)
        assert.are.equal(want, table.concat(a:slice(i, j)))
      end
      assert.are.equal(("12345"):sub(i), table.concat(a:slice(i)))
    end
    assert.has_error(function() a:slice(1.5) end)
  end)

  it("fill counts so, too", function()
    for i = -7, 7 do
      for j = -7, 7 do
        local a = mp.Array("H", { 1, 2, 3, 4, 5 })
        a:fill(9, i, j)
        local n = #("12345"):sub(i, j)
        local from = n > 0 and ("12345"):find(("12345"):sub(i, j), 1, true)
        local want = "12345"
        if n > 0 then
          want = want:sub(1, from - 1) .. ("9"):rep(n) .. want:sub(from + n)
        end
        assert.are.equal(want, table.concat(a:slice()))
      end
    end
    local a = mp.Array("b", 1000)
    a:fill(-3)
    assert.are.equal(("\xfd"):rep(1000), a:tostring())
    refuses(a, "fill: 128 does not fit", function() a:fill(128) end)
    refuses(a, "bad argument #1", function() a:fill() end)
  end)

  it("assign takes lists and packed strings", function()
    local a = mp.Array("i", 6)
    a:assign(2, { 7, 8 })
    assert.are.equal("0 7 8 0 0 0", list(a))
    a:assign(5, string.pack("i4i4", -1, -2))
    assert.are.equal("0 7 8 0 -1 -2", list(a))
    a:assign(-3, { 4, 5, 6 })
    assert.are.equal("0 7 8 4 5 6", list(a))
    a:assign(7, {})
    a:assign(7, "")
    refuses(a, "element 2: a string does not fit", function()
      a:assign(1, { 1, "x", 3 })
    end)
    refuses(a, "element 3: 2147483648 does not fit", function()
      a:assign(1, { 1, 2, 2 ^ 31 | 0 })
    end)
    refuses(a, "more elements than", function() a:assign(5, { 1, 2, 3 }) end)
    refuses(a, "more elements than", function() a:assign(7, { 1 }) end)
    refuses(a, "out of range", function() a:assign(8, {}) end)
    refuses(a, "out of range", function() a:assign(0, { 1 }) end)
    refuses(a, "out of range", function() a:assign(-7, { 1 }) end)
    refuses(a, "whole number of elements", function() a:assign(1, "abc") end)
    refuses(a, "table or string", function() a:assign(1, 5) end)
    refuses(a, "more elements than", function()
      a:assign(1, ("\1"):rep(28))
    end)
  end)

  it("many come over whole, whatever the typecode", function()
    for _, code in ipairs(INTEGERS) do
      local n = 1000
      local values = {}
      for i = 1, n do values[i] = i % 120 end
      local a = mp.Array(code, values)
      assert.are.same(values, a:slice())
      local packed = {}
      for i = 1, n do
        packed[i] = string.pack("=" .. (FORMAT[code] or code), values[i])
      end
      assert.are.equal(table.concat(packed), a:tostring())
      local b = mp.RawArray(code, n)
      b:assign(1, a:tostring())
      assert.are.same(values, b:slice())
    end
  end)

  it("a failing assign of many changes nothing", function()
    for _, code in ipairs{ "d", "f", "q", "B" } do
      local values = {}
      for i = 1, 5000 do values[i] = i % 200 end
      local a = mp.Array(code, values)
      for i = 1, 5000 do values[i] = 1 end
      values[4999] = {}
      refuses(a, "element 4999: a table does not fit", function()
        a:assign(1, values)
      end)
    end
  end)

  it("doubles come over bit for bit", function()
    local values = { 0.1, -0.0, 1 / 0, 2 ^ -1074, 3 }
    local a = mp.Array("d", values)
    assert.are.equal(string.pack("ddddd", table.unpack(values)), a:tostring())
    assert.are.equal("float", math.type(a[5]))
  end)
end)

describe("an array of bytes", function()
  it("is a string", function()
    local a = mp.Array("c", "hello")
    assert.are.equal(5, #a)
    assert.are.equal("hello", a.value)
    assert.are.equal("hello", a.raw)
    assert.are.equal("e", a[2])
    assert.are.equal("ell", a:slice(2, 4))
    a[1] = "J"
    assert.are.equal("Jello", a.value)
    a.value = "ab" -- as ctypes: a NUL behind it, the rest is left
    assert.are.equal("ab", a.value)
    assert.are.equal("ab\0lo", a.raw)
    a.raw = "xyz"
    assert.are.equal("xyzlo", a.raw)
    a:fill("-", 2, 3)
    a:assign(4, "..")
    assert.are.equal("x--..", a:tostring())
    a.value = "12345"
    assert.are.equal("12345", a.value)
    refuses(a, "6 bytes, and room for 5", function() a.value = "123456" end)
    refuses(a, "at most 5 bytes", function() a.raw = "123456" end)
    refuses(a, "string was expected", function() a.value = 5 end)
    refuses(a, "one byte", function() a[1] = "ab" end)
    assert.are.equal("\0\0", mp.Array("c", 2).raw)
    assert.are.equal("", mp.Array("c", 2).value)
    assert.are.equal("", mp.Array("c", 0).value)
    assert.is_nil(mp.Array("b", 1).value)
    assert.are.same("ab", mp.Array("c", { "a", "b" }).raw)
  end)
end)

describe("an array that travels", function()
  it("is the same array under every method", function()
    for method, ctx in helper.methods() do
      local a = mp.Array("d", 100)
      local p = ctx.Process(function(arg)
        for i = 1, #a do a[i] = a[i] + i end
        return arg == a, a
      end, a):start()
      local same, back = p:result()
      assert.is_true(same and rawequal(back, a), method)
      assert.are.equal(100.0, a[100])
    end
  end)

  it("is found by whoever got it through a third", function()
    local ctx = mp.get_context("spawn")
    local here, there = mp.Pipe()
    local p = ctx.Process(function()
      local a = there:recv().deep[1]
      local q = mp.Process(function() a:fill(5) end):start()
      q:join()
      return a[1] + a[#a]
    end):start()
    local a = mp.Array("i", 1000)
    here:send({ deep = { a } })
    assert.are.equal(10, (p:result()))
    assert.are.equal(5, a[500])
    here:close()
    there:close()
  end)
end)

describe("large arrays", function()
  it("of a quarter of a gibibyte are worked on by several", function()
    helper.slow(30)
    local n = 2 ^ 25 | 0
    local a <close> = mp.RawArray("d", n)
    assert.are.equal(0.0, a[n])
    local p = mp.Process(function() a:fill(1.5, n // 2 + 1) end):start()
    a:fill(2.5, 1, n // 2)
    p:join()
    assert.are.same({ 2.5, 1.5 }, a:slice(n // 2, n // 2 + 1))
    assert.are.equal(1.5, a[n])
  end)

  it("that find no space are an error, and nothing is lost", function()
    local out = helper.output([[
      local held = {}
      local ok, why
      repeat
        ok, why = pcall(mp.RawArray, "d", 1 << 20)
        if ok then
          why:fill(#held)
          held[#held + 1] = why
        end
      until not ok or #held > 100
      print(#held > 2 and #held < 100, why)
      for i, a in ipairs(held) do assert(a[1] == i - 1 and a[#a] == i - 1) end
      held, a = nil, nil
      collectgarbage()
      collectgarbage()
      local b = mp.RawArray("d", 1 << 20)
      print(b[1 << 20])
    ]], { before = "prlimit --fsize=67108864" })
    assert.matches("^true\tRawArray: File too large\n0.0\n", out)
  end)

  it("go when they are dropped", function()
    local out = helper.output([[
      local ok = 0
      for i = 1, 40 do
        local a = mp.RawArray("d", 1 << 21) -- 16 MiB
        a[#a] = i
        ok = ok + 1
      end
      print(ok)
    ]], { before = "prlimit --fsize=268435456" })
    assert.are.equal("40\n", out)
  end)
end)
