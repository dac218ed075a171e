-- mp.pickle: what goes to a Python and comes back, and what is refused.
local helper = require "helper"
local pickle = require "mp.pickle"
local python = require "python"

local dumps, loads = pickle.dumps, pickle.loads

local function unhex(s)
  return (s:gsub("%s", ""):gsub("..", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

local GOLDEN = unhex "8004952f000000000000007d948c0161945d94284b014affffffff"
  .. unhex "8a06000000000001473ff80000000000004e888c02c3a9944301009465732e"

-- What Python makes of it, and what we make of what Python sends back.
local ECHO = [[
import pickle, sys
for line in sys.stdin.buffer:
    v = pickle.loads(bytes.fromhex(line.decode().strip()))
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        print(pickle.dumps(v, protocol).hex())
    print(repr(v).encode("ascii", "backslashreplace").decode(), flush=True)
]]

local function hex(s)
  return (s:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

--- Through Python, all at once: f(case, repr, values of each protocol).
local function through(program, cases, first, f)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  for _, case in ipairs(cases) do file:write(hex(dumps(case[1])), "\n") end
  file:close()
  local out <close> = assert(io.popen(("%s -c '%s' <%s"):format(program, ECHO,
    name)))
  local lines, n = {}, 0
  for line in out:lines() do
    lines[#lines + 1] = line
    if not line:find("^80%x+2e$") then -- the repr
      local values = {}
      for i = first, #lines - 1 do
        values[#values + 1] = table.pack(loads(unhex(lines[i])))
      end
      n = n + 1
      f(cases[n], line, values)
      lines = {}
    end
  end
  os.remove(name)
  assert.equal(#cases, n)
end

local CASES = {
  { nil, "None" }, { true, "True" }, { false, "False" }, { 0, "0" },
  { 255, "255" }, { 256, "256" }, { 65535, "65535" }, { 65536, "65536" },
  { -1, "-1" }, { -129, "-129" }, { 2 ^ 31 | 0, "2147483648" },
  { -0x80000000, "-2147483648" }, { -0x80000001, "-2147483649" },
  { math.maxinteger, "9223372036854775807" },
  { math.mininteger, "-9223372036854775808" },
  { 1.5, "1.5" }, { -0.0, "-0.0" }, { 1e300, "1e+300" },
  { math.huge, "inf" }, { "", "''" }, { "abc", "'abc'" },
  { "\u{e9}", "'\\xe9'" }, { ("x"):rep(300), "'" .. ("x"):rep(300) .. "'" },
  { { 1, 2, 3 }, "[1, 2, 3]" }, { { a = 1 }, "{'a': 1}" }, { {}, "{}" },
  { pickle.list {}, "[]" }, { pickle.list { n = 2 }, "[None, None]" },
  { pickle.tuple(), "()" }, { pickle.tuple(1, nil, "x"), "(1, None, 'x')" },
  { pickle.tuple(1, 2, 3, 4), "(1, 2, 3, 4)" },
  { pickle.dict { 7 }, "{1: 7}" }, { { { { 1 } } }, "[[[1]]]" },
}

local BINARY = {
  { "\255", "b'\\xff'" }, { pickle.bytes "ab", "b'ab'" },
  { ("\200"):rep(300), "b'" .. ("\\xc8"):rep(300) .. "'" },
}

for version, program in pairs(python.all()) do
  describe("pickles with Python " .. version, function()
    it("every value is the same there and back", function()
      through(program, CASES, 1, function(case, repr, values)
        assert.equal(case[2], repr)
        for _, got in ipairs(values) do
          assert.is_nil(got[2])
          assert.same(case[1], got[1])
          assert.equal(math.type(case[1]), math.type(got[1]))
        end
      end)
    end)

    it("bytes, from protocol 3", function()
      through(program, BINARY, 2, function(case, repr, values)
        assert.equal(case[2], repr)
        for _, got in ipairs(values) do
          assert.equal(type(case[1]) == "table" and case[1][1] or case[1],
            got[1])
        end
      end)
    end)

    it("sets, from protocol 4", function()
      local cases = { { pickle.set { [3] = true }, "{3}" } }
      through(program, cases, 3, function(_, repr, values)
        assert.equal("{3}", repr)
        for _, got in ipairs(values) do
          assert.same({ [3] = true }, got[1])
        end
      end)
    end)

    it("shared and cyclic tables stay so", function()
      local list = { { 1 } }
      list[2] = list[1]
      list[3] = list
      through(program, { { list } }, 1, function(_, repr, values)
        assert.equal("[[1], [1], [...]]", repr)
        for _, got in ipairs(values) do
          assert.is_true(rawequal(got[1][1], got[1][2]))
          assert.is_true(rawequal(got[1], got[1][3]))
        end
      end)
    end)
  end)
end

describe("pickle", function()
  it("reads what Python's connection sends", function()
    local v = assert(loads(GOLDEN))
    assert.same({ 1, -1, 1 << 40, 1.5, nil, true, "\u{e9}", "\0" },
      { table.unpack(v.a, 1, 8) })
    assert.equal(8, v.a.n)
  end)

  it("None can be kept", function()
    local v = assert(loads(GOLDEN, { none = pickle.None }))
    assert.equal(pickle.None, v.a[5])
    assert.equal(8, #v.a)
    assert.equal("]\x71\0(Ne.", dumps({ pickle.None }):sub(3))
  end)

  it("what is not data raises", function()
    for _, bad in ipairs { print, coroutine.create(print), io.stdout,
      setmetatable({}, {}), { { print } } } do
      assert.error_matches(function() dumps(bad) end, "cannot pickle")
    end
    local t = pickle.tuple(1)
    t[1] = t
    assert.error_matches(function() dumps(t) end, "hold itself")
    assert.has_error(function() loads(12) end)
    assert.has_error(function() loads("", { nome = 1 }) end)
  end)

  it("objects and calls are refused, by name", function()
    for bytes, name in pairs {
      ["cos\nsystem\n(S'true'\ntR."] = "os.system",
      ["\x80\4\x8c\2os\x8c\6system\x93\x8c\4true\x85R."] = "os.system",
      ["\x80\2)\x81."] = "object", ["\x80\2}b."] = "object",
      ["ios\nsystem\n."] = "object", ["P1\n."] = "object",
      ["\x82\1."] = "object", ["\x97."] = "object",
    } do
      local value, why = loads(bytes)
      assert.is_nil(value)
      assert.matches(name, why)
    end
  end)

  it("no damaged bytes crash it, take long, or much memory", function()
    helper.slow(30)
    local seed = dumps { 1, "two", { three = 3.5 }, pickle.tuple(1, 2),
      pickle.set { [1] = true }, pickle.bytes "x", 1 << 40 }
    local rnd = 12345
    local function random(n)
      rnd = (rnd * 1103515245 + 12345) & 0x7fffffff
      return (rnd >> 8) % n
    end
    for _, good in ipairs { seed, GOLDEN } do
      for i = 0, #good - 1 do
        local value, why = loads(good:sub(1, i))
        assert.is_nil(value)
        assert.matches("^loads: ", why)
      end
      for _ = 1, 20000 do
        local bytes = { good:byte(1, -1) }
        for _ = 0, random(3) do bytes[random(#bytes) + 1] = random(256) end
        local value, why = loads(string.char(table.unpack(bytes)))
        assert.is_true(why == nil or value == nil)
      end
    end
    assert.is_nil(loads "\x80\4\x8e\255\255\255\255\255\255\255\127x.")
    assert.is_nil(loads "\x80\4B\255\255\255\255x.")
    assert.is_nil(loads "\x80\4\x8b\255\255\255\255x.")
    assert.is_nil(loads "\x80\4\x8a\9\0\0\0\0\0\0\0\0\1.")
    assert.equal(math.maxinteger, loads
      "\x80\4\x8a\9\255\255\255\255\255\255\255\127\0.")
  end)

  it("depth is bounded by memory alone", function()
    local n = 100000
    local v = assert(loads("\x80\3" .. ("]"):rep(n) .. ("a"):rep(n - 1)
      .. "."))
    local depth = 0
    while v do v, depth = v[1], depth + 1 end
    assert.equal(n, depth)
  end)
end)
