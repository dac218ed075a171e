-- Value: one number in shared memory, its limits, its atomics, its lock.
local helper = require "helper"
local mp = require "mp"

local KINDS = {
  b = { -2 ^ 7 // 1 | 0, 2 ^ 7 - 1 | 0 }, B = { 0, 2 ^ 8 - 1 | 0 },
  h = { -2 ^ 15 | 0, 2 ^ 15 - 1 | 0 }, H = { 0, 2 ^ 16 - 1 | 0 },
  i = { -2 ^ 31 | 0, 2 ^ 31 - 1 | 0 }, I = { 0, 2 ^ 32 - 1 | 0 },
  l = { math.mininteger, math.maxinteger }, L = { 0, math.maxinteger },
  q = { math.mininteger, math.maxinteger }, Q = { 0, math.maxinteger },
}

--- Raises with that in its message, and the value is what it was.
local function refuses(v, pattern, f)
  local before = v.value
  helper.raises(pattern, f)
  assert.are.equal(before, v.value)
end

describe("a value", function()
  it("has the initial value, or zero", function()
    assert.are.equal(5, mp.Value("i", 5).value)
    assert.are.equal(0, mp.Value("i").value)
    assert.are.equal("integer", math.type(mp.Value("Q").value))
    assert.are.equal(0.0, mp.Value("d").value)
    assert.are.equal("float", math.type(mp.Value("f", 3).value))
    assert.are.equal(false, mp.Value("?").value)
    assert.are.equal("\0", mp.RawValue("c").value)
    assert.are.equal("x", mp.RawValue("c", "x").value)
  end)

  it("holds the limits of its typecode, and nothing beyond", function()
    for code, range in pairs(KINDS) do
      local v = mp.Value(code)
      for _, limit in ipairs(range) do
        v.value = limit
        assert.are.equal(limit, v.value)
      end
      refuses(v, "does not fit typecode '" .. code .. "'", function()
        v.value = range[1] + 0.0 - 2.0 ^ 12
      end)
      refuses(v, "does not fit", function() v.value = 2.0 ^ 64 end)
      refuses(v, "does not fit", function() v.value = 0.5 end)
      refuses(v, "does not fit", function() v.value = 0 / 0 end)
      refuses(v, "does not fit", function() v.value = 1 / 0 end)
      refuses(v, "a string does not fit", function() v.value = "1" end)
      refuses(v, "a nil does not fit", function() v.value = nil end)
      refuses(v, "a table does not fit", function() v.value = {} end)
      v.value = 7.0 -- a whole number is one
      assert.are.equal("integer", math.type(v.value))
      if #tostring(range[2]) < 15 then
        refuses(v, "does not fit", function() v.value = range[2] + 1 end)
        refuses(v, "does not fit", function() v.value = range[1] - 1 end)
      end
    end
  end)

  it("takes unsigned numbers beyond Lua's integers as floats", function()
    for _, code in ipairs{ "L", "Q" } do
      local v = mp.Value(code, 2.0 ^ 63)
      assert.are.equal(math.mininteger, v.value) -- as string.unpack does
      assert.are.equal(math.mininteger, v:add(-1))
      assert.are.equal(math.maxinteger, v:add(1))
      assert.are.same({ true, math.mininteger },
        { v:compare_exchange(v.value, 2.0 ^ 64 - 2048) })
      assert.are.equal(-2048, v.value)
      refuses(v, "does not fit", function() v.value = -1 end)
      refuses(v, "does not fit", function() v.value = 2.0 ^ 64 end)
      v:exchange(0)
      refuses(v, "sum does not fit", function() v:add(-1) end)
    end
  end)

  it("holds floats", function()
    local d, f = mp.Value("d"), mp.Value("f")
    for _, x in ipairs{ 0.1, -0.0, 1e308, 2 ^ -1074, 1 / 0, -1 / 0, 3 } do
      d.value = x
      assert.are.equal(string.pack("d", x), string.pack("d", d.value))
    end
    d.value = 0 / 0
    assert.is_true(d.value ~= d.value)
    f.value = 0.1
    assert.are.equal((string.unpack("f", string.pack("f", 0.1))), f.value)
    refuses(f, "1e%+39 does not fit typecode 'f'", function()
      f.value = 1e39
    end)
    f.value = 1 / 0
    assert.are.equal(1 / 0, f.value)
    d.value = 1
    refuses(d, "a boolean does not fit", function() d.value = true end)
  end)

  it("holds booleans and bytes", function()
    local b, c = mp.Value("?", true), mp.Value("c", "\0")
    assert.is_true(b.value)
    b.value = false
    assert.is_false(b.value)
    refuses(b, "does not fit", function() b.value = 1 end)
    refuses(b, "does not fit", function() b.value = nil end)
    c.value = "\255"
    assert.are.equal("\255", c.value)
    refuses(c, "string of one byte", function() c.value = "ab" end)
    refuses(c, "string of one byte", function() c.value = "" end)
    refuses(c, "string of one byte", function() c.value = 65 end)
  end)

  it("refuses what it does not know", function()
    local v = mp.Value("i", 1)
    refuses(v, "cannot set 'valeu'", function() v.valeu = 3 end)
    assert.is_nil(v.nothing)
    for message, f in pairs{
      ["Value: unknown typecode 'z'"] = function() mp.Value("z") end,
      ["Value: unknown typecode 'ii'"] = function() mp.Value("ii") end,
      ["Value: a typecode or an mp.Struct"] = function() mp.Value() end,
      ["Value: 300 does not fit"] = function() mp.Value("b", 300) end,
      ["RawValue: a string does not"] = function() mp.RawValue("i", "") end,
      ["unknown option 'lok' %(valid: lock"] = function()
        mp.Value("i", 0, { lok = true })
      end,
      ["option 'lock' must be"] = function()
        mp.Value("i", 0, { lock = 1 })
      end,
      ["table of options"] = function() mp.Value("i", 0, false) end,
    } do
      helper.raises(message, f)
    end
  end)

  it("tells what it is, and can be closed", function()
    local text
    do
      local v <close> = mp.Value("i", 42)
      assert.matches("^mp.Value %('i', 42%)", tostring(v))
      text = v
    end
    assert.are.equal("mp.Value (closed)", tostring(text))
    assert.has_error(function() return text.value end)
    assert.has_error(function() text:add(1) end)
  end)
end)

describe("atomics", function()
  it("add, exchange and compare", function()
    for _, code in ipairs{ "b", "B", "h", "H", "i", "I", "l", "L", "q", "Q",
      "f", "d" } do
      local v = mp.RawValue(code, 5)
      assert.are.equal(5, v:add(3))
      assert.are.equal(8, v:add(-2))
      assert.are.equal(6, v:exchange(9))
      local done, seen = v:compare_exchange(8, 1)
      assert.is_false(done)
      assert.are.equal(9, seen)
      done, seen = v:compare_exchange(9, 1)
      assert.is_true(done)
      assert.are.equal(9, seen)
      assert.are.equal(1, v.value)
    end
  end)

  it("do nothing when the number does not fit", function()
    for code, range in pairs(KINDS) do
      local v = mp.RawValue(code, range[2])
      if code ~= "L" and code ~= "Q" then
        refuses(v, "sum does not fit", function() v:add(1) end)
      end
      v.value = range[1]
      refuses(v, "sum does not fit", function() v:add(-1) end)
      refuses(v, "does not fit", function() v:add(0.5) end)
      refuses(v, "does not fit", function() v:add("1") end)
      refuses(v, "does not fit", function() v:add() end)
      refuses(v, "does not fit", function() v:exchange(2.0 ^ 70) end)
      refuses(v, "does not fit", function() v:compare_exchange(0, 0.5) end)
      refuses(v, "bad argument #2", function() v:compare_exchange(0) end)
    end
    local f = mp.RawValue("f", 3e38)
    refuses(f, "sum does not fit", function() f:add(3e38) end)
  end)

  it("know booleans and bytes, which have no sum", function()
    local b, c = mp.RawValue("?", true), mp.RawValue("c", "a")
    assert.is_true(b:exchange(false))
    assert.are.same({ true, false }, { b:compare_exchange(false, true) })
    assert.are.equal("a", c:exchange("b"))
    assert.are.same({ false, "b" }, { c:compare_exchange("a", "c") })
    refuses(b, "is no number", function() b:add(1) end)
    refuses(c, "is no number", function() c:add(1) end)
  end)

  it("lose nothing between processes, under every method", function()
    for _, ctx in helper.methods() do
      local v, d = mp.Value("q"), mp.Value("d")
      local children = {}
      for i = 1, 3 do
        children[i] = ctx.Process(function()
          for _ = 1, 20000 do
            v:add(1)
            d:add(0.5)
          end
        end):start()
      end
      for _, p in ipairs(children) do p:join() end
      assert.are.equal(60000, v.value)
      assert.are.equal(30000.0, d.value)
    end
  end)
end)

describe("a value that travels", function()
  it("is the same value everywhere", function()
    for method, ctx in helper.methods() do
      local v = mp.Value("i", 1)
      local here, there = mp.Pipe()
      local p = ctx.Process(function(arg)
        local other = there:recv()
        other.value = other.value + 1
        return arg == v, v == other, { v }, v:add(10)
      end, v):start()
      here:send(v)
      local a, b, list, old = p:result()
      assert.is_true(a and b, method)
      assert.is_true(rawequal(list[1], v))
      assert.are.equal(2, old)
      assert.are.equal(12, v.value)
      here:close()
      there:close()
    end
  end)

  it("lives as long as anybody holds it", function()
    local here, there = mp.Pipe()
    mp.Process(function()
      there:send(mp.Value("q", 77))
    end):start():join()
    local v = here:recv()
    assert.are.equal(77, v.value)
    v.value = 78
    assert.are.equal(78, v.value)
    here:close()
    there:close()
  end)

  it("cannot be in a string", function()
    local ok, message = pcall(mp.encode, { mp.Value("i") })
    assert.is_false(ok)
    assert.matches("mp object", message)
  end)
end)

describe("the lock", function()
  it("is an RLock, made when asked for, the same for all", function()
    for method, ctx in helper.methods() do
      for _, v in ipairs{ mp.Value("i"), mp.Array("i", 3) } do
        local lock
        if method ~= "spawn" then lock = v:get_lock() end -- or there first
        local p = ctx.Process(function()
          local mine = v:get_lock()
          mine:acquire()
          mine:release()
          return mine
        end):start()
        local theirs = p:result()
        assert.is_true(rawequal(theirs, v:get_lock()), method)
        assert.is_true(lock == nil or rawequal(lock, theirs))
        assert.matches("^mp.RLock", tostring(theirs))
        assert.is_true(theirs:acquire(0))
        assert.is_true(theirs:acquire(0))
        theirs:release()
        theirs:release()
      end
    end
  end)

  it("may be another's", function()
    local v
    do
      local lock = mp.Lock()
      v = mp.Value("i", 0, { lock = lock })
      local a = mp.Array("d", 3, { lock = v:get_lock() })
      assert.is_true(rawequal(lock, a:get_lock()))
    end
    local r = mp.RLock()
    assert.is_true(rawequal(r, mp.Value("?", nil, { lock = r }):get_lock()))
    assert.matches("^mp.RLock",
      tostring(mp.Value("i", 0, { lock = true }):get_lock()))
    collectgarbage()
    local p = mp.get_context("spawn").Process(function()
      return v:get_lock():acquire(0)
    end):start()
    assert.is_true((p:result()))
  end)

  it("is not there when none is wanted", function()
    for _, v in ipairs{ mp.RawValue("i"), mp.RawArray("i", 1),
      mp.Value("i", 0, { lock = false }),
      mp.Array("i", 1, { lock = false }) } do
      local ok, message = pcall(v.get_lock, v)
      assert.is_false(ok)
      assert.matches("without a lock", message)
    end
  end)

  it("guards what takes more than one step", function()
    for _, ctx in helper.methods() do
      local v = mp.Value("q")
      local children = {}
      for i = 1, 2 do
        children[i] = ctx.Process(function()
          for _ = 1, 1000 do
            v:get_lock():with(function() v.value = v.value + 1 end)
          end
        end):start()
      end
      for _, p in ipairs(children) do p:join() end
      assert.are.equal(2000, v.value)
    end
  end)

  it("tells that its holder was killed inside an update", function()
    for method, ctx in helper.methods{ thread = true } do
      local a, begun = mp.Array("q", 1000), mp.Value("q")
      for round = 1, 5 do
        local before = begun.value
        local p = ctx.Process(function()
          while true do
            local _held <close> = a:get_lock():guard()
            local x = a[1] + 1
            for i = 1, #a do a[i] = x end
            begun:add(1)
          end
        end):start()
        helper.eventually(function() return begun.value > before + round end)
        p:kill()
        p:join()
        local got, how = a:get_lock():acquire(5)
        assert.is_true(got, method)
        -- It held the lock for nearly all of its life.
        local whole = true
        for i = 1, #a do
          assert.is_true(a[i] == a[1] or a[i] == a[1] - 1)
          whole = whole and a[i] == a[1]
        end
        assert.is_true(whole or how == "abandoned")
        a:fill(a[1])
        a:get_lock():release()
        got, how = a:get_lock():acquire(5)
        assert.is_true(got)
        assert.is_nil(how)
        a:get_lock():release()
      end
    end
  end)
end)

describe("killed while it stores", function()
  it("a number is the old one or the new", function()
    for _, code in ipairs{ "Q", "d", "I", "H" } do
      local size = string.packsize("=" .. ({ Q = "I8", d = "d", I = "I4",
        H = "I2" })[code])
      local function of(byte)
        return (string.unpack(({ Q = "I8", d = "d", I = "I4",
          H = "I2" })[code], byte:rep(size)))
      end
      local one, two = of("\x11"), of("\x22")
      local v, begun = mp.RawValue(code, one), mp.RawValue("i")
      local p = mp.Process(function()
        while true do
          v.value = two
          v.value = one
          begun.value = 1
        end
      end):start()
      helper.eventually(function() return begun.value == 1 end)
      for _ = 1, 20000 do
        local seen = v.value
        assert(seen == one or seen == two)
      end
      p:kill()
      p:join()
      assert.is_true(v.value == one or v.value == two)
    end
  end)
end)

describe("a million values", function()
  it("made and dropped leave the memory where it was", function()
    local out = helper.output([[
      local function blocks()
        for line in io.lines("/proc/self/smaps") do
          if line:find("memfd:luamp", 1, true) then blocks_seen = true end
          local kib = blocks_seen and line:match("^Rss: +(%d+)")
          if kib then
            blocks_seen = nil
            return tonumber(kib)
          end
        end
      end
      local function round(n)
        for i = 1, n do local v = mp.RawValue("i", i) end
        collectgarbage()
        collectgarbage()
      end
      round(50000)
      local before = blocks()
      round(200000)
      print(before > 0, blocks() <= before * 2)
    ]])
    assert.are.equal("true\ttrue\n", out)
  end)
end)
