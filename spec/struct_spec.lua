-- Struct: fields in place of a typecode, in values and arrays.
local helper = require "helper"
local mp = require "mp"

local Point = mp.Struct{ { "x", "d" }, { "y", "d" } }
local Mixed = mp.Struct{ { "c", "c" }, { "d", "d" }, { "ok", "?" },
  { "h", "h" }, { "name", "c", 13 }, { "i", "i" }, { "last", "B" } }

local refuses = helper.raises

describe("a struct", function()
  it("is a list of fields", function()
    assert.are.equal("mp.Struct {x d, y d}", tostring(Point))
    assert.matches("name c%[13%]", tostring(Mixed))
    assert.are.same({ "x", "d" }, { table.unpack(Point[1]) })
  end)

  it("refuses what is none", function()
    local long = ("n"):rep(48)
    for message, fields in pairs{
      ["1 to 1024 fields"] = {},
      ["field 1: {name, typecode}"] = { "x" },
      ["field 2: a name has"] = { { "x", "d" }, { 1, "d" } },
      ["field 1: a name has 1 to 47"] = { { long, "d" } },
      ["field 1: a name has 1"] = { { "", "d" } },
      ["none of them NUL"] = { { "a\0b", "d" } },
      ["two fields 'x'"] = { { "x", "d" }, { "x", "i" } },
      ["'x': unknown typecode"] = { { "x", "z" } },
      ["'y': unknown typecode"] = { { "y" } },
      ["only an array of c"] = { { "x", "d", 3 } },
      ["'s': only an array"] = { { "s", "c", 0 } },
      ["the name 'value' is taken"] = { { "value", "d" } },
      ["the name 'get_lock' is taken"] = { { "get_lock", "d" } },
    } do
      refuses(message, function() mp.Struct(fields) end)
      refuses(message, function() mp.Value(fields) end)
    end
    refuses("table of fields", function() mp.Struct("d") end)
  end)

  it("is laid out as in C", function()
    local a = mp.RawArray(Mixed, { { c = "C", d = 1.5, ok = true, h = -2,
      name = "thirteen byte", i = -3, last = 255 } })
    assert.are.equal(string.pack("!c1dBhc13iB!8Xd", "C", 1.5, 1, -2,
      "thirteen byte", -3, 255), a:tostring())
  end)
end)

describe("a value of a struct", function()
  it("has its fields", function()
    local v = mp.Value(Point, { x = 1.5, y = -2 })
    assert.are.equal(1.5, v.x)
    assert.are.equal(-2.0, v.y)
    v.x = 7
    assert.are.equal(7.0, v.x)
    assert.are.same({ x = 7.0, y = -2.0 }, v.value)
    v.value = { y = 3 } -- the whole of it
    assert.are.same({ x = 0.0, y = 3.0 }, v.value)
    v.value = { 8, 9 } -- in the fields' order
    assert.are.same({ x = 8.0, y = 9.0 }, v.value)
    assert.are.same({ x = 0.0, y = 0.0 }, mp.Value(Point).value)
    assert.is_nil(v.z)
    assert.matches("struct of 2", tostring(v))
  end)

  it("keeps what it has when something does not fit", function()
    local v = mp.Value(Mixed, { h = 5, name = "abc" })
    refuses("cannot set 'z'", function() v.z = 1 end)
    refuses("h: 40000 does not fit typecode 'h'", function() v.h = 40000 end)
    refuses("name: a string of 14 bytes", function() v.name = ("x"):rep(14) end)
    refuses("h: a string does not fit", function()
      v.value = { name = "new", h = "x" }
    end)
    refuses("no field 'q'", function() v.value = { h = 1, q = 2 } end)
    refuses("no field '8'", function() v.value = { [8] = 2 } end)
    refuses("table of fields", function() v.value = 5 end)
    refuses("Value: the struct has no field", function()
      mp.Value(Point, { z = 1 })
    end)
    refuses("a struct is no number", function() v:add(1) end)
    refuses("a struct is no number", function() v:exchange(1) end)
    assert.are.equal(5, v.h)
    assert.are.equal("abc", v.name)
  end)

  it("has strings in arrays of c", function()
    local v = mp.Value(Mixed)
    assert.are.equal("", v.name)
    v.name = "thirteen byte"
    assert.are.equal("thirteen byte", v.name)
    v.name = "short"
    assert.are.equal("short", v.name)
    v.c = "\200"
    assert.are.equal("\200", v.c)
  end)

  it("may be large", function()
    local Big = mp.Struct{ { "a", "c", 100000 }, { "z", "i" } }
    local v = mp.Value(Big, { a = ("a"):rep(100000), z = 3 })
    assert.are.equal(("a"):rep(100000), v.a)
    assert.are.equal(3, v.z)
    v.value = { z = 4 }
    assert.are.equal("", v.a)
    local fields = {}
    for i = 1, 1024 do fields[i] = { "f" .. i, "i" } end
    local w = mp.Value(fields)
    w.f1024 = 9
    assert.are.equal(9, w.value.f1024)
  end)
end)

describe("an array of structs", function()
  it("gives views of its elements", function()
    local a = mp.Array(Point, { { x = 1 }, { 2, 3 }, {} })
    assert.are.equal(3, #a)
    assert.are.equal(3.0, a[2].y)
    a[3].x = 5
    a[1] = { y = 6 }
    assert.are.same({ { x = 0.0, y = 6.0 }, { x = 2.0, y = 3.0 },
      { x = 5.0, y = 0.0 } }, a:slice())
    assert.are.equal(a[2], a[2])
    assert.are_not.equal(a[2], a[1])
    assert.is_nil(a[4])
    assert.is_nil(a[1].z)
    refuses("no field 'z'", function() a[1].z = 1 end)
    refuses("x: a string", function() a[1].x = "1" end)
    refuses("out of range", function() a[4] = {} end)
    local seen = {}
    for name, value in pairs(a[2]) do seen[#seen + 1] = name .. value end
    assert.are.same({ "x2.0", "y3.0" }, seen)
    assert.matches("^mp.Element 2 of", tostring(a[2]))
    local n = 0
    for i, e in ipairs(a) do n = n + i * e.x end
    assert.are.equal(19.0, n)
  end)

  it("takes lists, packed strings and one for all", function()
    local a = mp.Array(Point, 4)
    a:fill({ x = 1 }, 2, 3)
    a:assign(4, { { 7, 8 } })
    a:assign(1, string.pack("dd", 5, 6))
    assert.are.same({ { x = 5.0, y = 6.0 }, { x = 1.0, y = 0.0 },
      { x = 1.0, y = 0.0 }, { x = 7.0, y = 8.0 } }, a:slice())
    local before = a:tostring()
    refuses("x: a string does not fit", function()
      a:assign(1, { { 1, 2 }, { x = "x" } })
    end)
    refuses("element 2: a table of fields", function()
      a:assign(1, { { 1, 2 }, 5 })
    end)
    refuses("whole number of elements", function() a:assign(1, "12345678") end)
    assert.are.equal(before, a:tostring())
  end)

  it("a view keeps the array alive", function()
    local e = mp.Array(Point, { { 1, 2 }, { 3, 4 } })[2]
    for _ = 1, 5 do
      collectgarbage()
      mp.Array(Point, 2):fill({ 9, 9 })
    end
    assert.are.equal(3.0, e.x)
    local a = mp.Array(Point, 1)
    local view = a[1]
    do local _ <close> = a end
    assert.has_error(function() return view.x end)
  end)

  it("views and structs travel, under every method", function()
    for method, ctx in helper.methods() do
      local a = mp.Array(Mixed, 3)
      local v = mp.Value(Point, { 1, 2 })
      local e = a[2]
      local p = ctx.Process(function()
        e.name = "from there"
        a[3].i = 42
        v.x = v.x + v.y
        local b = mp.Array(Point, { { 5, 6 } })
        return e, e == a[2], Point, b, b[1]
      end):start()
      local back, same, S, b, view = p:result()
      assert.is_true(same, method)
      assert.are.equal(e, back)
      assert.are.equal("from there", a[2].name)
      assert.are.equal(42, a[3].i)
      assert.are.equal(3.0, v.x)
      assert.are.equal("mp.Struct {x d, y d}", tostring(S))
      assert.are.equal(6.0, b[1].y)
      assert.are.equal(b[1], view)
      assert.are.equal(0.0, mp.Value(S).x)
    end
  end)
end)
