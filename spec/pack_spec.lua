-- The codec: which values travel, what becomes of them, what is refused.
local helper = require "helper"
local mp = require "mp"

local function travel(v, opts) return mp.decode(mp.encode(v), opts) end

-- Functions of this file have busted's environment; these have the globals.
local function code(text, ...) return assert(load(text, "=code"))(...) end

-- A generator of numbers of our own: the same everywhere.
local function random(seed)
  local x = seed
  return function(n)
    x = (x * 6364136223846793005 + 1442695040888963407)
    return (x >> 33) % n + 1
  end
end

local function same_scalar(a, b)
  if math.type(a) == "float" and math.type(b) == "float" then
    return string.pack("<n", a) == string.pack("<n", b)
  end
  return rawequal(a, b) and math.type(a) == math.type(b)
end

-- Are two graphs of tables the same but for identity?  Tables that are keys
-- have a field `id`, by which their likes are found.
local function same(a, b, seen)
  seen = seen or { to = {}, from = {} }
  if type(a) ~= "table" then return same_scalar(a, b) end
  if type(b) ~= "table" then return false end
  if seen.to[a] or seen.from[b] then
    return seen.to[a] == b and seen.from[b] == a
  end
  seen.to[a], seen.from[b] = b, a
  local n = 0
  for k, v in next, a do
    local like = k
    if type(k) == "table" then
      like = nil
      for other in next, b do
        if type(other) == "table" and rawget(other, "id") == rawget(k, "id")
        then
          like = other
        end
      end
      if not like or not same(k, like, seen) then return false end
    end
    if not same(v, rawget(b, like), seen) then return false end
    n = n + 1
  end
  for _ in next, b do n = n - 1 end
  return n == 0
    and same(debug.getmetatable(a) or false, debug.getmetatable(b) or false,
      seen)
end

local function assert_travels(v, what)
  local got, message = travel(v)
  assert.is_nil(message, what)
  assert.is_true(same(v, got), what)
end

local function refusal(v)
  local ok, message = pcall(mp.encode, v)
  assert.is_false(ok)
  return (message:gsub("^encode: ", ""))
end

describe("scalars", function()
  local float = function(bits) return (string.unpack("<n",
    string.pack("<i8", bits))) end

  it("travel bit for bit", function()
    local list = {
      false, true, 0, -1, 1, -16, -17, 79, 80, 127, -128, 255, 2 ^ 53 // 1 | 0,
      math.maxinteger, math.mininteger, 0.0, -0.0, 1.0, 0.1, -3.5, 1 / 0,
      -1 / 0, 2 ^ 63, -2 ^ 63, 2 ^ -1074, float(0x7FF8000000000001),
      float(-1), float(0x7FF0DEADBEEF0001),
    }
    for i, v in ipairs(list) do
      assert_travels(v, tostring(v) .. " alone, number " .. i)
      assert_travels({ x = v }, tostring(v) .. " in a table")
      assert_travels({ v, "x", v }, tostring(v) .. " in an array")
    end
    assert.is_nil(travel(nil))
    assert.are.equal(1, select("#", travel(nil)))
    for shift = 0, 63 do
      for d = -2, 2 do
        assert_travels((1 << shift) + d)
        assert_travels(-(1 << shift) + d)
      end
    end
  end)

  it("keep NaN apart from NaN as bits", function()
    local nan = travel(float(0x7FF8000000000123))
    assert.are.equal(0x7FF8000000000123,
      (string.unpack("<i8", string.pack("<n", nan))))
  end)

  it("are strings of any length and bytes", function()
    for _, n in ipairs { 0, 1, 39, 40, 41, 62, 63, 64, 65, 127, 128, 4095,
      4096, 4097, 70000 } do
      assert_travels(("\0\xFFa"):rep(n):sub(1, n), n)
      assert_travels({ [("k"):rep(n)] = ("v"):rep(n) }, n)
      assert_travels({ ("k"):rep(n), ("v"):rep(n), 1 }, n)
    end
  end)

  it("send a long string once, however often it is there", function()
    local long = ("x"):rep(100000)
    local s = mp.encode { long, long, { k = long, [long] = 1 } }
    assert.is_true(#s < 100100)
    assert_travels { long, long, { k = long, [long] = 1 } }
  end)
end)

describe("arrays", function()
  it("of numbers are packed at every width and length", function()
    for _, top in ipairs { 1, 127, 128, 32767, 32768, 1 << 31, (1 << 31) - 1,
      1 << 32, math.maxinteger } do
      for n = 0, 16 do
        local plus, minus, mixed = {}, {}, {}
        for i = 1, n do
          plus[i] = i == n and top or i
          minus[i] = i == 1 and -top - 1 or -i
          mixed[i] = i % 5 == 0 and i + 0.5 or i
        end
        assert_travels(plus, n)
        assert_travels(minus, n)
        assert_travels(mixed, n)
      end
    end
    local t = {}
    for i = 1, 3000 do t[i] = i end
    assert.is_true(#mp.encode(t) < 6100)
    assert_travels(t)
    for i = 1, 3000 do t[i] = i * 1.0 end
    assert_travels(t)
    t[256], t[257], t[512], t[513] = 1, "x", "y", 7
    assert_travels(t)
  end)

  it("keep floats apart from integers, and both from strings", function()
    assert_travels { 1, 2, 3, 4, 5, 6, 7, 8.0, 9, 10, 11, 12, 13, 14 }
    assert_travels { 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8, 9.0, 10.0, 11.0 }
    assert_travels { 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, "8.5", 9.5, 10.5 }
    assert_travels { 1, 2, 3, 4, 5, 6, 7, "8", 9, 10, 11, 12, 13, 14, 15 }
  end)

  it("may have holes", function()
    for mask = 0, 1023 do
      local t = { nil, nil, nil, nil, nil, nil, nil, nil, nil, nil }
      for i = 1, 10 do
        if mask >> (i - 1) & 1 == 1 then t[i] = i end
      end
      assert_travels(t, mask)
    end
  end)

  it("may lie wholly or partly among the pairs", function()
    for n = 1, 40 do
      local back, late, extra = {}, {}, { ["1"] = 1, [2.5] = 2, [-1] = 3 }
      for i = n, 1, -1 do back[i] = i end
      for i = 1, n do late["k" .. i] = i end
      for i = 1, n do late["k" .. i] = nil end
      for i = 1, n do late[i] = i end
      for i = 1, n do extra[i] = tostring(i) extra[tostring(i + 1)] = i end
      extra[0], extra[n + 2], extra[1 << 40] = 1, 2, 3
      assert_travels(back, n)
      assert_travels(late, n)
      assert_travels(extra, n)
    end
    -- No element is sent twice: the size tells.
    local text = { "return {" }
    for i = 1, 100 do text[#text + 1] = ("[%d] = 's',"):format(i) end
    for i = 1, 20 do text[#text + 1] = ("k%d = 's',"):format(i) end
    assert.is_true(#mp.encode(code(table.concat(text) .. "}")) < 400)
  end)

  it("are not confused by strings that look like indices", function()
    for n = 0, 12 do
      for more = 1, 8 do
        local text = { "return {" }
        for i = 1, n do text[#text + 1] = i * 10 .. "," end
        for i = n + 1, n + more do
          text[#text + 1] = ("['%d'] = 's%d', [%d] = %d,"):format(i, i, i, i)
        end
        assert_travels(code(table.concat(text) .. "}"), n .. " " .. more)
      end
    end
  end)
end)

describe("tables", function()
  it("keep cycles, shared references, and themselves as keys", function()
    local t = { id = 1 }
    t.self, t[t] = t, t
    t.list = { t, { t }, t }
    t.list.up = t.list
    local got = travel(t)
    assert.are.equal(got, got.self)
    assert.are.equal(got, got[got])
    assert_travels(t)
    local shared = {}
    got = travel { shared, shared, { shared } }
    assert.are.equal(got[1], got[2])
    assert.are.equal(got[1], got[3][1])
    assert.are_not.equal(shared, got[1])
  end)

  it("that are equal but not the same stay two", function()
    local got = travel { {}, {} }
    assert.are_not.equal(got[1], got[2])
  end)

  it("have keys of all kinds", function()
    assert_travels {
      [true] = 1, [false] = 2, [1.5] = 3, [-7] = 4, [1 << 62] = 5,
      [""] = 6, ["a b"] = 7, [1 / 0] = 8, [{ id = "key" }] = 9,
      [("long"):rep(2000)] = 10,
    }
  end)

  it("with more keys than there are numbers for keys", function()
    local t = {}
    for i = 1, 1000 do t[i] = { ["key" .. i % 700] = i, fixed = "key" } end
    assert_travels(t)
  end)

  it("may be nested as deep as 100,000, in every way", function()
    local function nest(wrap)
      local v = 1
      for _ = 1, 100000 do v = wrap(v) end
      local got = travel(v)
      for _ = 1, 100000 do
        assert(type(got) == "table" and getmetatable(got) == nil or true)
        local k = next(got)
        got = type(k) == "table" and k or got[k]
      end
      assert.are.equal(1, got)
    end
    nest(function(v) return { v } end)
    nest(function(v) return { x = v } end)
    nest(function(v) return { [v] = v } end)
  end)

  it("that are nested too deep are an error on both sides", function()
    local v = 1
    for _ = 1, 250000 do v = { v } end
    assert.matches("%[1%]: cannot send so deep a nesting$", refusal(v))
    local s = "\xA1\0" .. ("\xE0\1"):rep(500000) .. "\1"
    local got, message = mp.decode(s)
    assert.is_nil(got)
    assert.matches("nested too deep", message)
    s = "\xA1\0" .. ("\xC1"):rep(500000)
    assert.matches("nested too deep", select(2, mp.decode(s)))
  end)

  it("do not run metamethods", function()
    local boom = function() error "ran" end
    local t = setmetatable({ 1, x = 2 }, {
      __index = boom, __newindex = boom, __len = boom, __pairs = boom,
      __eq = boom,
    })
    local got = travel(t, {})
    assert.are.equal(1, rawget(got, 1))
    assert.are.equal(2, rawget(got, "x"))
  end)
end)

describe("any graph", function()
  local function scalar(r)
    local kind = r(9)
    if kind == 1 then return r(2) == 1 end
    if kind == 2 then return r(1000) / 8 end
    if kind == 3 then return -r(1 << 30) end
    if kind == 4 then return r(1 << 30) * r(1 << 30) end
    if kind == 5 then return ("s"):rep(r(70)) .. r(100) end
    if kind == 6 then return r(3) == 1 and ("l"):rep(5000) or "" end
    return kind < 8 and r(100) or "name" .. r(20)
  end

  local function graph(r)
    local nodes = {}
    for i = 1, r(12) do nodes[i] = { id = i } end
    local function any()
      if r(3) == 1 then return nodes[r(#nodes)] end
      return scalar(r)
    end
    for _, node in ipairs(nodes) do
      for _ = 1, r(10) - 1 do
        local key = any()
        if key ~= "id" then node[key] = any() end
      end
      local numbers = r(4) == 1
      for i = 1, r(14) - 1 do
        if r(8) > 1 then node[i] = numbers and r(2) == 1 and i or any() end
      end
      if r(6) == 1 then setmetatable(node, nodes[r(#nodes)]) end
    end
    return nodes[r(#nodes)]
  end

  it("comes out the same", function()
    local r = random(20240229)
    for i = 1, 4000 do
      local g = graph(r)
      local got, message = travel(g)
      assert(message == nil, message)
      if not same(g, got) then error("graph " .. i .. " differs") end
    end
  end)

  it("comes out the same whatever the collector does", function()
    helper.slow(30)
    finally(function()
      collectgarbage("incremental", 200, 100)
      collectgarbage("restart")
    end)
    for _, mode in ipairs { "generational", "incremental" } do
      collectgarbage(mode)
      if mode == "incremental" then
        collectgarbage("incremental", 1, 1000, 1) -- a step at each allocation
      end
      local r = random(7)
      for _ = 1, 200 do
        local g = graph(r)
        assert.is_true(same(g, travel(g)))
        local f = code([[local g = ... return function() return g end]], g)
        assert.is_true(same(g, travel(f)()))
      end
    end
  end)
end)

describe("metatables", function()
  it("travel by value, shared and in cycles", function()
    local meta = { __index = { x = 1 }, __eq = false }
    local got = travel { setmetatable({}, meta), setmetatable({ 2 }, meta) }
    assert.are.equal(1, got[1].x)
    assert.are.equal(getmetatable(got[1]), getmetatable(got[2]))
    local own = {}
    setmetatable(own, own)
    own.__index = own
    got = travel(own)
    assert.are.equal(got, getmetatable(got))
  end)

  it("hidden by __metatable travel, too", function()
    local got = travel(setmetatable({}, { __metatable = "no" }))
    assert.are.equal("no", getmetatable(got))
  end)

  it("with __gc finalize what arrived", function()
    local make = code [[
      local meta = {__gc = function(t) rawset(t.log, 1, t[1]) end}
      return function(...) return setmetatable({...}, meta), meta end]]
    local t, meta = make(5)
    t.log = {}
    meta.inside = t -- its metatable is not complete when t is
    for _, root in ipairs { t, { t }, meta } do
      local got = travel(root)
      local log = got.log or (got.inside or got[1]).log
      got = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      assert.are.equal(5, log[1])
    end
  end)

  it("with __gc may be complete only after their objects", function()
    local meta, log = { __gc = code [[return function(t)
      t.log[1] = t.log[1] + 1 end]] }, { 0 }
    for i = 1, 40 do meta["k" .. i] = setmetatable({ log = log }, meta) end
    local got = travel(meta)
    log = got.k1.log
    got = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.are.equal(40, log[1])
  end)
end)

describe("__reduce", function()
  local Point = code [[
    local Point = {}
    Point.__index = Point
    local function make(x, y) return setmetatable({x = x, y = y}, Point) end
    Point.__reduce = function(p) calls = (calls or 0) + 1
      return make, p.x, p.y end
    Point.make = make
    return Point]]

  after_each(function() _G.calls = nil end)

  it("gives a constructor and its arguments", function()
    local got = travel(Point.make(1, { 2 }))
    assert.are.equal(1, got.x)
    assert.are.equal(2, got.y[1])
  end)

  it("is called once for an object that is shared", function()
    _G.calls = 0
    local p = Point.make(1)
    local got = travel { p, p, { p } }
    assert.are.equal(1, _G.calls)
    assert.are.equal(got[1], got[2])
    assert.are.equal(got[1], got[3][1])
  end)

  it("may nest, and share what lies within", function()
    local inner = Point.make(1)
    local got = travel { Point.make(inner, inner), inner }
    assert.are.equal(got[1].x, got[1].y)
    assert.are.equal(got[1].x, got[2])
  end)

  it("may give trailing and inner nils, and nil itself", function()
    local meta = { __reduce = function()
      return select, "#", nil, 2, nil
    end }
    assert.are.equal(3, travel(setmetatable({}, meta)))
    local none = setmetatable({}, { __reduce = function()
      return rawget, {}, 1
    end })
    local got = travel { none, none, x = none }
    assert.is_nil(next(got))
  end)

  it("is refused where the object refers to itself by it", function()
    local p = Point.make(1)
    p.y = { p }
    assert.matches("^value, __reduce%[3%]%[1%]: cannot send a table whose own",
      refusal(p))
  end)

  it("that raises or gives no constructor is named", function()
    local function bad(f) return { a = setmetatable({}, { __reduce = f }) } end
    assert.are.equal("value.a: boom",
      refusal(bad(function() error("boom", 0) end)))
    assert.matches("^value.a: its __reduce raised a table",
      refusal(bad(function() error {} end)))
    assert.matches("^value.a: cannot send what its __reduce gives",
      refusal(bad(function() end)))
  end)

  it("may itself encode, and change what is being sent", function()
    local root = {}
    for i = 1, 50 do
      root["k" .. i] = setmetatable({}, { __reduce = function()
        for k = 1, 50 do root[k * i] = mp.encode { k, ("x"):rep(5000) } end
        root["k" .. i % 50 + 1] = nil
        collectgarbage "step"
        return tostring, mp.decode(mp.encode(i))
      end })
    end
    for _ = 1, 20 do pcall(mp.encode, root) end
    assert.are.equal(3, travel(3))
  end)

  it("whose temporary values die at once shares none of them", function()
    local meta = { __reduce = function(o)
      return rawget, { { o.i, {} } }, 1
    end }
    local list = {}
    for i = 1, 300 do list[i] = setmetatable({ i = i }, meta) end
    collectgarbage("incremental", 1, 1000, 1)
    local got = travel(list)
    collectgarbage("incremental", 200, 100)
    for i = 1, 300 do assert.are.equal(i, got[i][1]) end
    assert.are_not.equal(got[1][2], got[2][2])
  end)

  it("may drop what was already sent", function()
    local last = {}
    local meta = { __reduce = function(o)
      last.t = nil
      collectgarbage()
      last = { t = { o.i } }
      return rawget, last, "t"
    end }
    local list = {}
    for i = 1, 100 do list[i] = setmetatable({ i = i }, meta) end
    local got = travel(list)
    for i = 1, 100 do assert.are.equal(i, got[i] and got[i][1]) end
  end)

  it("whose constructor raises makes decode answer the message", function()
    local o = setmetatable({}, { __reduce = function()
      return error, "not here", 0
    end })
    local got, message = travel(o)
    assert.is_nil(got)
    assert.matches("byte %d+: a constructor raised: not here", message)
  end)
end)

describe("functions", function()
  it("bring their upvalues, arguments and results", function()
    local f = code [[
      local a, b, t = 1, "two", {3}
      return function(...) return a, b, t[1], select("#", ...), ... end]]
    assert.are.same({ 1, "two", 3, 2, 8, 9 }, { travel(f)(8, 9) })
  end)

  it("share upvalues within a message, as they did", function()
    local list = code [[
      local n, other = 0, 5
      return {
        inc = function() n = n + 1 return n end,
        get = function() return n, other end,
        both = function() return function() n = n + 10 other = n end end,
      }]]
    local got = travel(list)
    got.inc()
    assert.are.equal(1, (got.get()))
    got.both()()
    assert.are.same({ 11, 11 }, { got.get() })
    assert.are.equal(12, got.inc())
    assert.are.same({ 0, 5 }, { list.get() })
  end)

  it("do not share what they did not share", function()
    local make = code [[return function(n)
      return function() n = n + 1 return n end end]]
    local a, b = make(0), make(0)
    local got = travel { a, b, a }
    assert.are.equal(got[1], got[3])
    got[1]()
    assert.are.equal(2, got[1]())
    assert.are.equal(1, got[2]())
  end)

  it("may call themselves and each other", function()
    local fact, even, odd = code [[
      local function fact(n) return n < 2 and 1 or n * fact(n - 1) end
      local even, odd
      function even(n) return n == 0 or odd(n - 1) end
      function odd(n) return n ~= 0 and even(n - 1) end
      return fact, even, odd]]
    assert.are.equal(120, travel(fact)(5))
    assert.is_true(travel(even)(10))
    assert.is_false(travel { odd }[1](10))
    local self = {}
    self.f = code([[local self = ... return function() return self end]], self)
    local got = travel(self)
    assert.are.equal(got, got.f())
  end)

  it("nest prototypes, upvalues of upvalues", function()
    local f = code [[
      local a = 1
      return function(b) return function(c)
        return function() a = a + 1 return a + b + c end end end]]
    local got = travel(f)(10)(100)
    assert.are.equal(112, got())
    assert.are.equal(113, got())
    assert.are.equal(114, travel(got)())
  end)

  it("keep their names and lines for tracebacks", function()
    local f = code "\n\nreturn function()\n error 'here' end"
    local _, message = pcall(travel(f))
    assert.are.equal("code:4: here", message)
  end)

  it("may be stripped", function()
    local f = load(string.dump(code [[local a = 5
      return function() a = a + 1 return a, tostring(a) end]], true))
    debug.setupvalue(f, 1, 5)
    debug.setupvalue(f, 2, _G)
    assert.are.same({ 6, "6" }, { travel(f)() })
  end)

  it("have the receiver's globals, in whatever upvalue", function()
    local first = code "return function() return _ENV end"
    assert.are.equal(_G, travel(first)())
    local second = code [[local x = 7
      return function() return x, _ENV, print end]]
    assert.are.same({ 7, _G, print }, { travel(second)() })
    local nothing = code [[local x
      return function() return x end]]
    assert.is_nil(travel(nothing)())
  end)

  it("bring an environment of their own as a value", function()
    local f = code [[local _ENV = {x = 5, y = {}}
      return {function() x = x + 1 return x, y end, y}]]
    local got = travel(f)
    local x, y = got[1]()
    assert.are.equal(6, x)
    assert.are.equal(got[2], y)
  end)

  it("may have 255 upvalues and thousands of constants", function()
    local names, sum = {}, {}
    for i = 1, 200 do names[i] = "u" .. i sum[i] = "u" .. i end
    local f = code("local " .. table.concat(names, ",") .. " = "
      .. ("1,"):rep(199) .. "1\n return function() return "
      .. table.concat(sum, "+") .. " end")
    assert.are.equal(200, travel(f)())
  end)

  it("are sent in great number", function()
    local list = code [[local t = {}
      for i = 1, 2000 do t[i] = function() return t, i end end return t]]
    local got = travel(list)
    for i = 1, 2000 do
      local t, n = got[i]()
      assert(t == got and n == i)
    end
  end)

  it("may be chained 50,000 deep by their upvalues", function()
    local f = code [[local f
      for i = 1, 50000 do
        local inner = f
        f = function() return inner, i end
      end
      return f]]
    local got, i = travel(f), nil
    for _ = 1, 50000 do got, i = got() end
    assert.are.equal(1, i)
    assert.is_nil(got)
  end)

  it("and a wrapped coroutine's cannot", function()
    assert.matches("^value: cannot send a C function",
      refusal(coroutine.wrap(print)))
    assert.matches("^value: cannot send a C function",
      refusal(string.gmatch("a", "a")))
  end)
end)

describe("globals", function()
  -- Encode with globals set, decode without them.
  local function arrive(names, text)
    for k, v in pairs(names) do _G[k] = v end
    local f = code(text)
    for k in pairs(names) do names[k] = _G[k] end
    local s = mp.encode(f)
    for k in pairs(names) do _G[k] = nil end
    return assert(mp.decode(s))
  end

  local function cleanup(...)
    local names = { ... }
    finally(function()
      for _, name in ipairs(names) do _G[name] = nil end
    end)
  end

  it("that a function mentions travel along, and only those", function()
    cleanup("g_number", "g_other", "g_false")
    local f = arrive({ g_number = 5, g_other = 6, g_false = false },
      "return function() return g_number, g_false end")
    assert.are.same({ 5, false }, { f() })
    assert.is_nil(_G.g_other)
    assert.are.equal(5, _G.g_number)
  end)

  it("do not replace the receiver's own", function()
    cleanup "g_number"
    _G.g_number = 5
    local s = mp.encode(code "return function() return g_number end")
    _G.g_number = 77
    assert.are.equal(77, mp.decode(s)())
    _G.g_number = false
    assert.are.equal(false, mp.decode(s)())
  end)

  it("that are functions bring theirs, in circles too", function()
    cleanup("g_a", "g_b", "g_c", "g_fact")
    local f = arrive({ g_a = 1, g_b = 1, g_c = 42 }, [[
      function g_a(n) return n == 0 and g_c or g_b(n - 1) end
      function g_b(n) return g_a(n) end
      return function() return g_a(3) end]])
    assert.are.equal(42, f())
    local fact = arrive({ g_fact = 1 }, [[
      function g_fact(n) return n < 2 and 1 or n * g_fact(n - 1) end
      return g_fact]])
    assert.are.equal(120, fact(5))
    assert.are.equal(fact, _G.g_fact)
  end)

  it("are found in nested functions, methods, and any expression", function()
    cleanup("g_t", "g_u", "g_v", "g_w")
    local f = arrive({ g_t = { x = { 1 } }, g_u = "u", g_v = 3, g_w = 4 }, [[
      return function()
        local t = {g_t.x[1], k = -g_v}
        return (function() return function()
          for i = g_w, g_w do return t[1], t.k, g_u:upper(), i end
        end end)()()
      end]])
    assert.are.same({ 1, -3, "U", 4 }, { f() })
  end)

  it("are found behind many constants, and with long names", function()
    local long = "g_" .. ("x"):rep(60)
    cleanup("g_last", "g_zz", long)
    local lines = { "return function() local t = {" }
    for i = 1, 400 do lines[#lines + 1] = "'constant " .. i .. "'," end
    lines[#lines + 1] = "} return g_last, " .. long .. ", g_zz.y, #t end"
    local f = arrive({ g_last = 7, g_zz = { y = 8 }, [long] = 9 },
      table.concat(lines))
    assert.are.same({ 7, 9, 8, 400 }, { f() })
    lines[1] = "return function() local a = {"
    for i = 1, 140000 do lines[i + 1] = i + 0.5 .. "," end
    lines[#lines + 1] = "} return g_last, #a end"
    f = arrive({ g_last = 7 }, table.concat(lines))
    assert.are.same({ 7, 140000 }, { f() })
  end)

  it("of the standard library never travel", function()
    local print, string = print, string
    finally(function() _G.print, _G.string = print, string end)
    local f = code "return function() return print, string, _G end"
    local s = mp.encode(f)
    local size = #s
    local mine = function() end
    _G.print, _G.string = mine, {}
    s = mp.encode(f)
    assert.are.equal(size, #s)
    local here = { mp.decode(s)() }
    local theirs = _G.string
    _G.string = string
    assert.are.equal(mine, here[1])
    assert.are.equal(theirs, here[2])
    assert.are.equal(_G, here[3])
  end)

  it("that hold a module bring its name", function()
    cleanup "g_mp"
    local f = arrive({ g_mp = mp }, "return function() return g_mp end")
    assert.are.equal(mp, f())
  end)

  it("are not set by a damaged message", function()
    cleanup "g_number"
    _G.g_number = 5
    local s = mp.encode { code "return function() return g_number end", 1 }
    _G.g_number = nil
    assert.is_nil((mp.decode(s .. "x")))
    assert.is_nil(_G.g_number)
    assert.is_truthy(mp.decode(s))
    assert.are.equal(5, _G.g_number)
  end)

  it("through a local _ENV are none", function()
    local f = code [[return function(_ENV) return g_number end]]
    assert.are.equal(3, travel(f) { g_number = 3 })
  end)
end)

describe("what require finds", function()
  -- A module in a file of its own; returns its name and its table.
  local function module(text)
    local name = os.tmpname()
    local dir, base = name:match "^(.*)/([^/]*)$"
    local file = assert(io.open(name .. ".lua", "w"))
    file:write(text)
    file:close()
    local path = package.path
    package.path = dir .. "/?.lua;" .. path
    finally(function()
      package.path, package.loaded[base] = path, nil
      os.remove(name)
      os.remove(name .. ".lua")
    end)
    return base, require(base), name .. ".lua"
  end

  it("travels by name: libraries and their functions", function()
    for _, v in ipairs { string, string.format, print, io, io.stdout,
      io.stderr, io.stdin, math.floor, _G, coroutine, coroutine.wrap, mp,
      package.loaded, require, debug.sethook, utf8.char, table.unpack } do
      assert.are.equal(v, travel(v))
      assert.are.equal(v, travel { x = { v, v } }.x[2])
    end
    assert.is_true(#mp.encode(string.format) < 20)
  end)

  it("is called by any name it has", function()
    local t = { string.rep, ("x").rep, table.insert, next }
    assert.are.same(t, travel(t))
  end)

  it("is a module, its functions, its metatables and classes", function()
    local _, m = module [[
      local m = {Class = {}, meta = {}, data = {1}}
      m.Class.__index = m.Class
      function m.Class.get(o) return o.x end
      function m.f() return m end
      m.new = function() return setmetatable({}, m.meta) end
      return m]]
    assert.are.equal(m, travel(m))
    assert.are.equal(m.f, travel(m.f))
    assert.are.equal(m.Class, travel { m.Class }[1])
    local o = travel(setmetatable({ x = 5 }, m.Class))
    assert.are.equal(m.Class, getmetatable(o))
    assert.are.equal(5, o:get())
    assert.are.equal(m.meta, getmetatable(travel(m.new())))
    -- Plain data of a module is a value as any other.
    local data = travel(m.data)
    assert.are_not.equal(m.data, data)
    assert.are.same(m.data, data)
  end)

  it("is noticed when it was loaded after the first message", function()
    mp.encode(print)
    local _, m = module "return {f = function() end, g = {h = print}}"
    assert.are.equal(m.f, travel { {}, {}, m.f }[3])
    local _, n = module "return setmetatable({x = 1}, {})"
    assert.are.equal(n, travel { n }[1])
  end)

  it("is checked again when a module has changed", function()
    local _, m = module "return {f = function() return 1 end}"
    local old = m.f
    assert.are.equal(old, travel(old))
    m.f = function() return 2 end
    local got = travel(old)
    assert.are_not.equal(m.f, got)
    assert.are.equal(1, got())
  end)

  it("is loaded by the receiver when need be", function()
    local name, m = module "return {f = function() return 'new' end}"
    local s = mp.encode { m.f, m }
    package.loaded[name] = nil
    local got = assert(mp.decode(s))
    assert.are.equal(package.loaded[name], got[2])
    assert.are.equal(package.loaded[name].f, got[1])
    assert.are_not.equal(m, got[2])
  end)

  it("and is missing there makes decode answer so", function()
    local name, m, path = module "return {f = function() end}"
    local s = mp.encode { x = m.f }
    m.f = nil
    local got, message = mp.decode(s)
    assert.is_nil(got)
    assert.matches("module '" .. name .. "' has no field 'f'", message, 1, true)
    package.loaded[name] = nil
    os.remove(path)
    got, message = mp.decode(s)
    assert.is_nil(got)
    assert.matches("cannot load module '" .. name .. "'", message, 1, true)
  end)

  it("is not what was put into package.loaded by hand", function()
    local m = { f = code "return function() return 9 end" }
    package.loaded["by hand"] = m
    finally(function() package.loaded["by hand"] = nil end)
    local got = travel { m, m.f }
    assert.are_not.equal(m, got[1])
    assert.are.equal(got[1].f, got[2])
    assert.are.equal(9, got[2]())
  end)
end)

describe("what cannot travel", function()
  local co = coroutine.create(print)

  it("is named with the path to it", function()
    local cb = code([[local co = ... return function() return co end]], co)
    assert.are.equal("value: cannot send a thread", refusal(co))
    assert.are.equal("value.cb, upvalue 'co': cannot send a thread",
      refusal { cb = cb })
    assert.are.equal("value[2].x[3]: cannot send a thread",
      refusal { 1, { x = { 1, 2, co } } })
    assert.are.equal('value["odd key"][1.5][true][-3]: cannot send a thread',
      refusal { ["odd key"] = { [1.5] = { [true] = { [-3] = co } } } })
    assert.are.equal("value.a, key: cannot send a thread",
      refusal { a = { [co] = 1 } })
    assert.are.equal("value.a, key.b: cannot send a thread",
      refusal { a = { [{ b = co }] = 1 } })
    assert.are.equal("value.a[a table]: cannot send a thread",
      refusal { a = { [{}] = co } })
    assert.are.equal("value.a, metatable.__index: cannot send a thread",
      refusal { a = setmetatable({}, { __index = co }) })
    assert.matches("^value%[\"x%.%.%.\"%]:", (refusal {
      [("x"):rep(500)] = co }):gsub("x+", "x"))
  end)

  it("in a global of a function is named, too", function()
    _G.g_co, _G.g_f = co, code "return function() return g_co end"
    finally(function() _G.g_co, _G.g_f = nil, nil end)
    local f = code "return function() return g_f end"
    assert.are.equal(
      "value[1], global 'g_f', global 'g_co': cannot send a thread",
      refusal { f })
  end)

  it("is told by its type", function()
    local file <close> = io.tmpfile()
    assert.are.equal("value.f: cannot send a userdata (FILE*)",
      refusal { f = file })
    assert.are.equal("value: cannot send a C function",
      refusal(file.read))
    assert.are.equal("value: cannot send a light userdata",
      refusal(debug.upvalueid(function() return co end, 1)))
  end)

  it("has a path of bearable length", function()
    local v = { co }
    for _ = 1, 5000 do v = { v } end
    local message = refusal(v)
    assert.is_true(#message < 300)
    assert.matches("^value%[1%].* %.%.%. .*%[1%]: cannot send a thread",
      message)
  end)

  it("leaves the codec as it was", function()
    for i = 1, 300 do
      refusal { 1, ("x"):rep(5000), { co } }
      assert.are.same({ i, { i } }, travel { i, { i } })
    end
  end)

  it("may say itself how it travels", function()
    assert.are.equal(1, travel(setmetatable({ co }, { __reduce = function()
      return rawlen, { 1 }
    end })))
  end)
end)

describe("decode", function()
  it("raises for what is no string", function()
    for _, v in ipairs { 1, true, {}, print } do
      assert.has_error(function() mp.decode(v) end)
    end
    assert.has_error(function() mp.decode() end)
    assert.has_error(function() mp.encode() end)
  end)

  it("with code = false gives plain data only", function()
    local plain = { 1, "x", { y = 2.5 }, true }
    plain.self = plain
    assert.is_true(same(plain, travel(plain, { code = false })))
    local marked = setmetatable({}, { __reduce = function()
      return print, 1
    end })
    for _, v in ipairs { print, string, io.stdout, _G, mp,
      function() end, setmetatable({}, {}), marked } do
      for _, inner in ipairs { { v }, { x = v }, { [v] = 1 } } do
        local got, message = travel(inner, { code = false })
        assert.is_nil(got)
        assert.matches("byte %d+: .*refused", message)
      end
    end
  end)

  local samples = {
    { 1, 2, 3, x = { y = "z", [2.5] = false } },
    { ("long"):rep(2000), { ("long"):rep(2000) } },
    { 1, 2, 3, 4, 5, 6, 7, 8, 1e9 // 1, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5 },
    { { id = 1, name = "a" }, { id = 2, name = "b" }, { id = 3, name = "c" } },
    "just a string of more than sixty-three bytes, so that it has a length",
  }
  samples[1].self = samples[1]
  samples[1][samples[1].x] = samples[1].x

  it("names the byte of damage", function()
    local _, message = mp.decode "\xA1\0\xC1\x81a\6\5ab"
    assert.are.equal("damaged message: byte 5: truncated", message)
    _, message = mp.decode "nonsense"
    assert.are.equal("damaged message: byte 0: not a message of this format",
      message)
  end)

  it("says what is wrong with a reference, a name, a number", function()
    local ff = ("\xFF"):rep(9)
    for bytes, why in pairs{
      ["\4" .. ff .. "\2"] = "number too long", -- 65 bits
      ["\4" .. ff] = "truncated",
      ["\8"] = "truncated", ["\9"] = "truncated", ["\13"] = "truncated",
      ["\9\0"] = "bad reference to an object",
      ["\10"] = "a metatable, but no table",
      ["\10\1"] = "a metatable, but no table",
      ["\11\1\8\0"] = "reference to what is not complete",
    } do
      local got, message = mp.decode("\xA1\1" .. bytes)
      assert.is_nil(got)
      assert.matches(why, message, 1, true)
    end
    assert.equal(-1 << 63, mp.decode("\xA1\0\4" .. ff .. "\1"))
  end)

  it("refuses every prefix, and anything behind the end", function()
    for _, v in ipairs(samples) do
      local s = mp.encode(v)
      for n = 0, #s - 1, #s > 1000 and 37 or 1 do
        local got, message = mp.decode(s:sub(1, n))
        assert(got == nil and type(message) == "string")
      end
      assert.matches("bytes after the end", select(2, mp.decode(s .. "\1")))
    end
  end)

  it("refuses what no encoder writes", function()
    for what, s in pairs {
      ["nil key"] = "\xC1\1\x30\0", ["NaN key"] =
        "\xC1\5" .. string.pack("<n", 0 / 0) .. "\x30\0",
      ["bad reference"] = "\8\0", ["forward reference"] = "\xE0\1\8\5",
      ["bad key reference"] = "\xC1\x15\0\x30\0", ["unknown tag"] = "\x1F",
      ["a run outside"] = "\x10\1\0\0\0\1", ["end outside"] = "\0",
      ["long varint"] = "\4" .. ("\xFF"):rep(10) .. "\1",
      ["object"] = "\9\0", ["join"] = "\xE0\1\x0F\0",
    } do
      for flags = 0, 3 do
        local got, message = mp.decode("\xA1" .. string.char(flags) .. s)
        assert(got == nil and type(message) == "string", what)
      end
    end
    assert.matches("format", select(2, mp.decode "\xA1\x80\1"))
  end)

  it("does not believe in huge counts", function()
    local huge = ("\xFF"):rep(8) .. "\x7F"
    collectgarbage()
    local before = collectgarbage "count"
    for _, s in ipairs {
      "\6" .. huge, "\7" .. huge, "\x08" .. huge, "\xE0" .. huge,
      "\xFF" .. huge, "\xDF" .. ("\xDF"):rep(50),
      "\xE0\x10\x13\xFF\xFF\xFF\xFF",
      "\x0B" .. huge, "\x0D" .. huge, "\x0E\xFF\xFF\xFF\x7F",
      "\xE0\xFF\x7F" .. ("\xE0\xFF\x7F"):rep(6000),
      "\xE0\xFF\x7F" .. ("\xDE"):rep(16384),
    } do
      collectgarbage "stop"
      local got, message = mp.decode("\xA1\1" .. s)
      local used = (collectgarbage "count" - before) * 1024
      collectgarbage "restart"
      collectgarbage()
      assert(got == nil and type(message) == "string")
      assert.is_true(used < 300 * #s + 100000, #s .. " took " .. used)
    end
  end)

  it("survives any change of the bytes", function()
    local r = random(99)
    local texts = {}
    for i, v in ipairs(samples) do texts[i] = mp.encode(v) end
    texts[#texts + 1] = mp.encode { f = code [[local a = 1
      return function() a = a + 1 return a, print end]], string, io.stdout }
    texts[#texts + 1] = mp.encode(setmetatable({ 1 }, { x = {} }))
    for _ = 1, 30000 do
      local s = texts[r(#texts)]
      for _ = 1, r(3) do
        local at = #s > 300 and r(4) > 1 and r(60) or r(#s)
        local kind = r(4)
        local byte = string.char(r(256) - 1)
        if kind == 1 then
          s = s:sub(1, at - 1) .. byte .. s:sub(at + 1)
        elseif kind == 2 then
          s = s:sub(1, at) .. byte .. s:sub(at + 1)
        elseif kind == 3 then
          s = s:sub(1, at - 1) .. s:sub(at + r(8))
        else
          local from = r(#s)
          s = s:sub(1, at) .. s:sub(from, from + r(20)) .. s:sub(at + 1)
        end
        if s == "" then break end
      end
      local got, message = mp.decode(s, { code = false })
      assert(message == nil or got == nil and message:find "byte %d+: ")
    end
  end)

  it("does not load a function whose bytes have changed", function()
    local f = code [[local a, b = 1, {}
      return function(x) for i = 1, a do b[i] = print end
        return function() return x, b, a, mp end end]]
    local whole = mp.encode(f)
    local from = assert(whole:find("\27Lua", 1, true))
    local r = random(5)
    for at = 2, #whole do
      local byte = string.char(whole:byte(at) ~ (1 << r(8) - 1))
      local got, message = mp.decode(whole:sub(1, at - 1) .. byte
        .. whole:sub(at + 1))
      local inside = at >= from and at < from + 100
      assert(not inside or got == nil and message:find "byte 2: ")
    end
    for n = 0, #whole - 1 do assert(mp.decode(whole:sub(1, n)) == nil) end
  end)

  it("takes time in proportion to the input", function()
    local s = "\xA1\1\xE0\xFF\xFF\x03" .. ("\xC0"):rep(30000)
      .. ("\8\1"):rep(35535)
    local start = os.clock()
    assert.is_truthy(mp.decode(s))
    assert.is_truthy(mp.decode("\xA1\0\xE0\xE0\xA7\x12"
      .. ("\xC0"):rep(300000)))
    assert.is_true(os.clock() - start < 2)
  end)
end)
