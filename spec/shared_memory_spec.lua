-- Named shared memory: SharedMemory, ShareableList, and python3 on the other
-- side of both.

local helper = require "helper"
local mp = require "mp"
local host = helper.host

local SharedMemory = mp.shared_memory.SharedMemory
local ShareableList = mp.shared_memory.ShareableList
local ENOENT, EEXIST, EINVAL = 2, 17, 22

local function is_there(name)
  return host.readlink("/dev/shm/" .. name) ~= nil
    or io.open("/dev/shm/" .. name) ~= nil
end

-- Names that no other run uses.
local nth = 0
local function fresh_name()
  nth = nth + 1
  return ("luamp-spec-%d-%d"):format(mp.current_process().pid, nth)
end

--- Runs a Python program; `shm` and `track` are there for it.
local function python(program, ...)
  local words = { "python3", "-c", helper.quote([[
import sys
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory, ShareableList
arg = sys.argv[1:]
def untrack(shm):  # or 3.11 unlinks at its end what it only attached to
    resource_tracker.unregister(shm._name, "shared_memory")
]] .. program) }
  for _, word in ipairs{ ... } do words[#words + 1] = helper.quote(word) end
  local pipe <close> = assert(io.popen(table.concat(words, " ") .. " 2>&1"))
  return (pipe:read("a"):gsub("\n$", ""))
end

-- What each test makes goes away with it.
local made = {}
local function unmake()
  for _, shm in ipairs(made) do
    shm:close()
    shm:unlink()
  end
  made = {}
end

local function keep(shm)
  finally(unmake)
  made[#made + 1] = shm
  return shm
end

local function make(size, name)
  return keep(assert(SharedMemory{ create = true, size = size, name = name }))
end

local function make_list(elements)
  local list = assert(ShareableList(elements))
  keep(list.shm)
  return list
end

describe("SharedMemory", function()
  it("is a file of /dev/shm with a name and a mode like Python's", function()
    local shm = make(1000)
    assert.matches("^psm_%x%x%x%x%x%x%x%x$", shm.name)
    assert.equal(1000, shm.size)
    assert.equal(1000, #shm.buf)
    local stat <close> = io.popen("stat -c '%a %s %h' /dev/shm/" .. shm.name)
    assert.equal("600 1000 1", stat:read("l"))
    assert.equal(("\0"):rep(1000), shm.buf:read(0, 1000))
  end)

  it("has the name that one gives it", function()
    local name = fresh_name()
    local shm = make(10, name)
    assert.equal(name, shm.name)
    local other = assert(SharedMemory{ name = name })
    other.buf:write(3, "abc")
    assert.equal("abc", shm.buf:read(3, 3))
    assert.are_not.equal(shm, other)
  end)

  it("answers nil, message, errno where the world is otherwise", function()
    local name = fresh_name()
    make(10, name)
    local shm, message, errno = SharedMemory{ name = name, create = true,
      size = 10 }
    assert.is_nil(shm)
    assert.equal(name .. ": File exists", message)
    assert.equal(EEXIST, errno)
    shm, message, errno = SharedMemory{ name = name .. "-not" }
    assert.is_nil(shm)
    assert.equal(name .. "-not: No such file or directory", message)
    assert.equal(ENOENT, errno)
    assert.equal(EINVAL, select(3, SharedMemory{ name = "a/b" }))
    assert.equal(EINVAL, select(3, SharedMemory{ name = "", create = true,
      size = 1 }))
  end)

  it("raises for what makes no sense", function()
    local function raises(pattern, options)
      local ok, message = pcall(SharedMemory, options)
      assert.is_false(ok)
      assert.matches(pattern, message)
    end
    raises("a table of options was expected, not a nil")
    raises("a table of options was expected, not a string", "name")
    raises("a name is needed unless create = true", {})
    raises("size must be a positive integer", { create = true })
    raises("size must be a positive integer", { create = true, size = 0 })
    raises("size must be a positive integer", { create = true, size = -1 })
    raises("size must be a positive integer", { create = true, size = 1.5 })
    raises("option 'name' must be a string", { name = 1 })
    raises("unknown option 'sise' %(valid: create, name, size%)",
      { create = true, sise = 1 })
    raises("a name has no NUL bytes", { name = "a\0b" })
    raises("No space left on device", { create = true, size = 1 << 60 })
    assert.has_error(function() make(1).name = "x" end,
      "mp.SharedMemory: cannot set 'name'")
  end)

  it("closes and unlinks, in any order, each for itself", function()
    local shm = make(10)
    local other = assert(SharedMemory{ name = shm.name })
    other.buf:write(0, "x")
    shm:close()
    shm:close()
    assert.is_nil(shm.buf)
    assert.equal(10, shm.size)
    assert.matches("closed", tostring(shm))
    assert.is_true(is_there(shm.name))
    assert.is_true(shm:unlink())
    assert.is_false(is_there(shm.name))
    assert.equal("x", other.buf:read(0, 1))
    local ok, message, errno = shm:unlink()
    assert.is_nil(ok)
    assert.matches("No such file", message)
    assert.equal(ENOENT, errno)
    other:close()
  end)

  it("is closed by the end of its block, by name it lives on", function()
    local kept, name
    do
      local shm <close> = make(10)
      kept, name = shm.buf, shm.name
    end
    assert.has_error(function() kept:read(0, 1) end,
      "calling 'read' on bad self (shared memory is closed)")
    assert.is_true(is_there(name))
  end)

  it("keeps a buffer alive that somebody has", function()
    local buf = make(100000).buf
    made[1]:unlink()
    made = {}
    collectgarbage()
    collectgarbage()
    buf:set("q", 99992, 7)
    assert.equal(7, buf:get("q", 99992))
  end)

  it("does not unlink what has its name by now", function()
    local name = fresh_name()
    local first = make(10, name)
    assert(os.remove("/dev/shm/" .. name))
    local second = make(20, name)
    assert.equal(ENOENT, select(3, first:unlink()))
    assert.is_true(is_there(name))
    assert.is_true(second:unlink())
  end)
end)

describe("a buffer", function()
  local LIMITS = {
    b = { -128, 127 }, B = { 0, 255 }, h = { -32768, 32767 }, H = { 0, 65535 },
    i = { -2 ^ 31, 2 ^ 31 - 1 }, I = { 0, 2 ^ 32 - 1 },
    l = { math.mininteger, math.maxinteger }, L = { 0, math.maxinteger },
    q = { math.mininteger, math.maxinteger }, Q = { 0, math.maxinteger },
  }
  local PACKED = { b = "b", B = "B", h = "h", H = "H", i = "i", I = "I",
    l = "l", L = "L", q = "i8", Q = "I8", f = "f", d = "d" }

  it("holds each kind of integer, and no other than fits", function()
    local buf = make(64).buf
    for code, limits in pairs(LIMITS) do
      for _, value in ipairs(limits) do
        value = math.tointeger(value)
        buf:set(code, 3, value)
        assert.equal(value, buf:get(code, 3), code)
        assert.equal("integer", math.type(buf:get(code, 3)))
        assert.equal(string.pack("<" .. PACKED[code], value),
          buf:read(3, string.packsize("<" .. PACKED[code])))
      end
      buf:set(code, 3, 5.0)
      assert.equal(5, buf:get(code, 3))
      for _, value in ipairs{ limits[1] - 1, limits[2] + 1, 0.5, 2 ^ 65,
        0 / 0, 1 / 0 } do
        -- 64 bits wrap in Lua; that is no value beyond them.
        local wraps = math.type(value) == "integer" and code:find("[lq]")
          or value == limits[2] + 1 and code:find("[LQ]")
        if not wraps then
          local ok, message = pcall(buf.set, buf, code, 3, value)
          assert.is_false(ok, code)
          assert.matches("does not fit typecode '" .. code, message)
          assert.equal(5, buf:get(code, 3))
        end
      end
      for _, value in ipairs{ "5", true, {} } do
        assert.is_false(pcall(buf.set, buf, code, 3, value))
      end
    end
  end)

  it("holds unsigned numbers beyond Lua's integers", function()
    local buf = make(8).buf
    buf:set("Q", 0, 2 ^ 63)
    assert.equal(math.mininteger, buf:get("Q", 0))
    assert.is_false(pcall(buf.set, buf, "Q", 0, 2 ^ 64))
    assert.is_false(pcall(buf.set, buf, "Q", 0, -1))
  end)

  it("holds floats, booleans and characters", function()
    local buf = make(64).buf
    for _, value in ipairs{ 0.1, -0.0, 1e308, 1 / 0, -1 / 0, 3 } do
      buf:set("d", 1, value)
      assert.equal(value, buf:get("d", 1))
      assert.equal("float", math.type(buf:get("d", 1)))
    end
    buf:set("d", 1, 0 / 0)
    assert.are_not.equal(buf:get("d", 1), buf:get("d", 1))
    buf:set("f", 1, 0.1)
    assert.equal(string.unpack("f", string.pack("f", 0.1)), buf:get("f", 1))
    buf:set("f", 1, 1 / 0)
    assert.equal(1 / 0, buf:get("f", 1))
    assert.is_false(pcall(buf.set, buf, "f", 1, 1e39))
    assert.is_false(pcall(buf.set, buf, "d", 1, "1"))
    buf:set("?", 0, true)
    assert.is_true(buf:get("?", 0))
    assert.equal("\1", buf:read(0, 1))
    buf:set("?", 0, false)
    assert.is_false(buf:get("?", 0))
    assert.is_false(pcall(buf.set, buf, "?", 0, 1))
    buf:set("c", 0, "\255")
    assert.equal("\255", buf:get("c", 0))
    assert.is_false(pcall(buf.set, buf, "c", 0, "ab"))
    assert.is_false(pcall(buf.set, buf, "c", 0, ""))
  end)

  it("names what does not lie in it", function()
    local buf = make(16).buf
    assert.has_error(function() buf:get("i", 13) end, "bad argument #2 to "
      .. "'get' (offset 13: 4 bytes there do not lie in a block of 16 bytes)")
    assert.has_error(function() buf:set("b", -1, 0) end, "bad argument #2 to "
      .. "'set' (offset -1: 1 bytes there do not lie in a block of 16 bytes)")
    assert.has_error(function() buf:get("z", 0) end, "bad argument #1 to "
      .. "'get' (not a typecode (one of bBhHiIlLqQfd?c))")
    for _, offset in ipairs{ -1, 17, math.maxinteger, math.mininteger } do
      assert.is_false(pcall(buf.read, buf, offset, 0))
      assert.is_false(pcall(buf.write, buf, offset, ""))
    end
    assert.is_false(pcall(buf.read, buf, 0, 17))
    assert.is_false(pcall(buf.read, buf, 16, 1))
    assert.is_false(pcall(buf.read, buf, 0, -1))
    assert.is_false(pcall(buf.read, buf, 1, math.maxinteger))
    assert.is_false(pcall(buf.write, buf, 10, "1234567"))
    assert.is_false(pcall(buf.get, buf, "i", "x"))
    assert.is_false(pcall(buf.get, {}, "i", 0))
    assert.is_false(pcall(buf.get, io.stdout, "i", 0))
    assert.equal("", buf:read(16, 0))
    buf:write(16, "")
    buf:write(0, ("x"):rep(16))
    assert.equal(("x"):rep(16), buf:read(0, 16))
  end)

  it("reads and writes many bytes", function()
    local text = ("0123456789abcde\n"):rep(20000)
    local buf = make(#text + 7).buf
    buf:write(7, text)
    assert.is_true(buf:read(7, #text) == text)
    assert.is_true(buf:read(9, 5000) == text:sub(3, 5002))
    assert.equal(("\0"):rep(7), buf:read(0, 7))
  end)
end)

describe("shared memory in messages", function()
  for method, ctx in helper.methods() do
    it("means the same block under " .. method, function()
      local shm = make(100000)
      shm.buf:write(99995, "start")
      local list = make_list{ 1, "two", 3.0 }
      local p = ctx.Process(function()
        local seen = shm.buf:read(99995, 5)
        shm.buf:write(99995, "child")
        list[2] = "zwei"
        return seen, shm, { list }, #list
      end):start()
      local seen, back, lists, n = p:result()
      assert.equal("start", seen)
      assert.equal("child", shm.buf:read(99995, 5))
      assert.equal("zwei", list[2])
      assert.equal(3, n)
      assert.equal(shm, back)
      assert.equal(list, lists[1])
      p:join()
    end)

    it("goes on when its maker is gone, under " .. method, function()
      local here, there = mp.Pipe()
      local p = ctx.Process(function()
        local shm = require "mp".shared_memory.SharedMemory{ create = true,
          size = 100000 }
        shm.buf:write(0, "left behind")
        there:send(shm)
        there:send(shm.name)
      end):start()
      p:join()
      local shm, name = here:recv(), here:recv()
      assert.is_false(is_there(name))
      assert.equal(name, shm.name)
      assert.equal("left behind", shm.buf:read(0, 11))
      shm:close()
      here:close()
      there:close()
    end)
  end

  it("may have lost its name when it arrives", function()
    local here, there = mp.Pipe()
    local name
    do
      local shm = make(10)
      name = shm.name
      shm.buf:write(0, "unnamed")
      here:send({ shm })
      shm:close()
      shm:unlink()
    end
    made = {}
    collectgarbage()
    local shm = there:recv()[1]
    assert.equal(name, shm.name)
    assert.is_false(is_there(name))
    here:close()
    there:close()
    assert.has_error(function() here:send(shm) end)
  end)

  it("cannot be sent once it is closed", function()
    local here, there = mp.Pipe()
    local shm = make(10)
    shm:close()
    local ok, message = pcall(here.send, here, { shm })
    assert.is_false(ok)
    assert.matches("shared memory is closed", message)
    here:close()
    there:close()
  end)

  it("is refused by mp.encode", function()
    assert.is_false(pcall(mp.encode, make(10)))
  end)
end)

describe("the name of a block goes away", function()
  -- The name that a process made, which then waits for its end.
  local function maker(ctx, how)
    local here, there = mp.Pipe()
    local p = ctx.Process(function()
      local sm = require "mp".shared_memory
      local shm = sm.SharedMemory{ create = true, size = 10 }
      there:send(shm.name)
      shm:close()
      there:recv()
      if how then os.exit(how) end
    end):start()
    local name = here:recv()
    assert.is_true(is_there(name))
    return p, name, here, there
  end

  for method, ctx in helper.methods() do
    it("at its creator's end, under " .. method, function()
      for _, how in ipairs{ false, 3 } do
        local p, name, here, there = maker(ctx, how)
        here:send(1)
        p:join()
        assert.is_false(is_there(name))
        here:close()
        there:close()
      end
    end)

    it("when its creator is killed, under " .. method, function()
      local p, name, here, there = maker(ctx)
      p:kill()
      if method == "thread" then here:send(1) end
      p:join()
      helper.eventually(function() return not is_there(name) end)
      here:close()
      there:close()
    end)
  end

  it("through a survivor that only ends", function()
    local script <close> = helper.start([[
      local here, there = mp.Pipe()
      local p = mp.Process(function()
        local q = mp.Process(function()
          local sm = require "mp".shared_memory
          local shm = sm.SharedMemory{ create = true, size = 10 }
          there:send{ shm.name, mp.current_process().pid }
          there:recv()
        end):start()
        host.sleep(60)
      end):start()
      local got = here:recv()
      print(got[1])
      host.kill(p.pid, 9)
      host.kill(got[2], 9)
      repeat
        local file = io.open(("/proc/%d/stat"):format(got[2]))
        local text = file and file:read("a") -- nil when it is gone by now
        local state = text and text:match("%) (%a)")
        if file then file:close() end
      until not state or state == "Z"
    ]])
    local name = script:line()
    assert.equal(0, (script:wait()))
    assert.is_false(is_there(name))
  end)

  it("at the end of a script, however it ends", function()
    for _, ending in ipairs{ "", "os.exit(0)", "os.exit(true, true)",
      "error('x')", "shm = nil collectgarbage()" } do
      local r = helper.run([[
        shm = mp.shared_memory.SharedMemory{ create = true, size = 10 }
        print(shm.name)
        list = mp.shared_memory.ShareableList{ 1, 2 }
        print(list.shm.name) ]] .. ending)
      for name in r.out:gmatch("psm_%x+") do
        assert.is_false(is_there(name), ending)
      end
      assert.equal(2, select(2, r.out:gsub("psm_%x+", "")))
    end
  end)

  it("but not at the end of who only attached", function()
    local shm = make(10)
    helper.output(([[
      local shm = mp.shared_memory.SharedMemory{ name = %q }
      shm.buf:write(0, "x")
    ]]):format(shm.name))
    assert.is_true(is_there(shm.name))
    assert.equal("x", shm.buf:read(0, 1))
    local p = mp.Process(function() return shm.size end):start()
    assert.equal(10, p:result())
    p:join()
    assert.is_true(is_there(shm.name))
  end)

  it("and does not by the host's own fork", function()
    local shm = make(10)
    local pid = host.fork()
    if pid == 0 then
      shm.buf:write(0, "forked")
      host.leave(0)
    end
    host.waitpid(pid)
    assert.equal("forked", shm.buf:read(0, 6))
    assert.is_true(is_there(shm.name))
  end)
end)

describe("ShareableList", function()
  it("has elements of every kind that Python's has", function()
    local list = make_list{ 1, -2.5, "three", true, nil, "\255\0x", false,
      math.mininteger, "", n = 10 }
    assert.equal(10, #list)
    assert.same({ 1, -2.5, "three", true, nil, "\255\0x", false,
      math.mininteger, "", nil }, { table.unpack(list, 1, 10) })
    assert.equal("integer", math.type(list[1]))
    assert.equal("qd8sxxxxxxx?xxxxxx?x8sxxxxxxx?q8sxxxxxx?x", list.format)
    assert.is_nil(list[0])
    assert.is_nil(list[11])
    assert.is_nil(list.nothing)
    local seen = {}
    for i, value in pairs(list) do seen[i] = value == nil and "nil" or value end
    assert.same({ 1, -2.5, "three", true, "nil", "\255\0x", false,
      math.mininteger, "", "nil" }, seen)
    local n = 0
    for i in ipairs(list) do n = i end
    assert.equal(4, n)
    assert.matches("mp.ShareableList \"psm_%x+\" %(10 elements%)",
      tostring(list))
  end)

  it("is assigned to, also with other kinds of values", function()
    local list = make_list{ 1, "a string", false }
    list[1] = 2.5
    list[2] = nil
    list[3] = "eight by"
    assert.same({ 2.5, nil, "eight by" }, { table.unpack(list, 1, 3) })
    list[2] = "sixteen bytes!!!"
    list[1] = true
    assert.equal("sixteen bytes!!!", list[2])
    assert.equal("xxxxxxx?16s8s", list.format)
  end)

  it("refuses what has no place", function()
    local list = make_list{ 1, "12345678" }
    local function raises(message, key, value)
      assert.has_error(function() list[key] = value end,
        "ShareableList: " .. message)
      assert.same({ 1, "12345678" }, { list[1], list[2] })
    end
    raises("a string of 9 bytes, the place has 8", 1, "123456789")
    raises("a string of 17 bytes, the place has 16", 2, ("x"):rep(17))
    raises("cannot hold a table", 1, {})
    raises("no place 3 in a list of 2", 3, 1)
    raises("no place 0 in a list of 2", 0, 1)
    raises("no place x in a list of 2", "x", 1)
    assert.has_error(function() ShareableList{ 1, print } end,
      "ShareableList: element 2 is a function")
    assert.has_error(function() ShareableList{ ("x"):rep(1e7) } end,
      "ShareableList: element 1: a string of 10000000 bytes is too long")
    assert.has_error(function() ShareableList(1) end,
      "ShareableList: a table was expected, not a number")
    assert.has_error(function() ShareableList{ 1, nom = "x" } end,
      "ShareableList: unknown option 'nom' (valid: n, name)")
    assert.has_error(function() ShareableList{ 1, name = 1 } end,
      "ShareableList: name must be a string, not a number")
  end)

  it("finds and counts", function()
    local list = make_list{ 3, "x", 3, true, 3.0 }
    assert.equal(1, list:index(3))
    assert.equal(4, list:index(true))
    assert.equal(3, list:count(3))
    assert.equal(0, list:count("y"))
    assert.has_error(function() list:index("y") end,
      "ShareableList: y is not in the list")
  end)

  it("is attached to by name", function()
    local name = fresh_name()
    local list = make_list{ 1, 2, name = name }
    assert.equal(name, list.shm.name)
    local other = assert(ShareableList{ name = name })
    other[2] = "second"
    assert.equal("second", list[2])
    assert.equal(ENOENT, select(3, ShareableList{ name = name .. "-not" }))
    assert.equal(EEXIST, select(3, ShareableList{ 1, name = name }))
    local empty = make_list{ n = 0, name = fresh_name() }
    assert.equal(0, #empty)
    assert.equal(0, #ShareableList{ name = empty.shm.name })
    assert.equal(16, make_list{}.shm.size)
  end)

  it("is not found where there is none, whatever lies there", function()
    local shm = make(64)
    for _, words in ipairs{ { -1 }, { 4 }, { 1 << 40 }, { 1, 0, -8 },
      { 1, 8, 0 }, { 2, 0, 8, 1 << 50 }, { 1, 0, 40 } } do
      shm.buf:write(0, ("\0"):rep(64))
      for i, word in ipairs(words) do shm.buf:set("q", (i - 1) * 8, word) end
      local list, message, errno = ShareableList{ name = shm.name }
      assert.is_nil(list, table.concat(words, " "))
      assert.matches("holds no ShareableList", message)
      assert.equal(EINVAL, errno)
    end
    assert.equal(EINVAL, select(3, ShareableList{ name = make(8).name }))
  end)

  it("survives formats that make no sense", function()
    local list = make_list{ 1, "x" }
    local buf = list.shm.buf
    for _, format in ipairs{ "zzzzzzzz", "9999999s", "-1s", "s", "", "?" } do
      buf:write(4 * 8 + 16, (format .. ("\0"):rep(8)):sub(1, 8))
      assert.is_false(pcall(function() return list[1] end))
    end
    list[1] = 5
    assert.equal(5, list[1])
  end)

  it("raises once it is closed", function()
    local list = make_list{ 1 }
    do local _ <close> = list end
    assert.has_error(function() return list[1] end,
      "ShareableList: the list is closed")
    assert.has_error(function() list[1] = 1 end,
      "ShareableList: the list is closed")
    assert.equal(1, #list)
  end)
end)

describe("python3", function()
  it("attaches to our block", function()
    local shm = make(100001)
    shm.buf:write(100000, "L")
    assert.equal("100001 L", python([[
shm = SharedMemory(name=arg[0])
untrack(shm)
print(shm.size, chr(shm.buf[100000]))
shm.buf[0:4] = (258).to_bytes(4, "little")
]], shm.name))
    assert.equal(258, shm.buf:get("I", 0))
  end)

  it("makes a block that we attach to", function()
    local name = fresh_name()
    assert.equal("", python([[
shm = SharedMemory(name=arg[0], create=True, size=70000)
untrack(shm)
shm.buf[69999] = 7
]], name))
    local shm = assert(SharedMemory{ name = name })
    keep(shm)
    assert.equal(70000, shm.size)
    assert.equal(7, shm.buf:get("B", 69999))
    assert.is_true(shm:unlink())
  end)

  it("reads and writes our list", function()
    local list = make_list{ 1, 2.5, "h\xC3\xA9llo", true, nil, "\255\254", "",
      n = 7 }
    assert.equal("[1, 2.5, 'h\xC3\xA9llo', True, None, b'\\xff\\xfe', '']\n"
      .. list.format, python([[
l = ShareableList(name=arg[0])
untrack(l.shm)
print(list(l))
print(l.format)
l[0] = -3.5
l[1] = None
l[2] = "p\u00e9"
l[3] = b"\x00\x01"
l[4] = 12
l[6] = False
]], list.shm.name))
    assert.same({ -3.5, nil, "p\xC3\xA9", "\0\1", 12, "\255\254", false },
      { table.unpack(list, 1, 7) })
  end)

  it("makes a list that we read and write", function()
    local name = fresh_name()
    assert.equal("", python([[
l = ShareableList([7, "a str", b"bytes\0", None, 1e300, False], name=arg[0])
untrack(l.shm)
]], name))
    local list = assert(ShareableList{ name = name })
    keep(list.shm)
    assert.equal(6, #list)
    assert.same({ 7, "a str", "bytes", nil, 1e300, false },
      { table.unpack(list, 1, 6) })
    list[1], list[2], list[4] = "seven", nil, -1
    assert.equal("['seven', None, b'bytes', -1, 1e+300, False]", python([[
l = ShareableList(name=arg[0])
untrack(l.shm)
print(list(l))
]], name))
  end)
end)

describe("a lack of room", function()
  -- In a mount of its own, of 1 MiB.
  local SMALL = "unshare -m sh -c 'mount -t tmpfs -o size=1m tmpfs /dev/shm "
    .. "&& exec \"$@\"' -"
  local may = os.execute(SMALL .. " true 2>/dev/null")

  local function check(title, script)
    it(title, function()
      if not may then
        pending("unshare -m is not permitted here: no small /dev/shm")
      end
      assert.equal("done\n", helper.output(script, { before = SMALL }))
    end)
  end

  check("is an error when a block is made", [[
    local SharedMemory = mp.shared_memory.SharedMemory
    local ok, message = pcall(SharedMemory, { create = true, size = 2 << 20 })
    assert(not ok and message:find("No space left on device"), message)
    local kept = {}
    for i = 1, 20 do -- 64 KiB each
      ok, kept[i] = pcall(SharedMemory, { create = true, size = 65536 })
      if not ok then break end
    end
    assert(not ok and #kept == 17, #kept)
    assert(kept[17]:find("No space left on device"))
    kept[1]:unlink()
    kept[1]:close()
    assert(SharedMemory{ create = true, size = 65536 })
    print("done")
  ]])

  check("is an error when a block is used, and no signal", [[
    local SharedMemory = mp.shared_memory.SharedMemory
    local a = SharedMemory{ create = true, size = 700000 }
    local b = SharedMemory{ create = true, size = 700000 }
    a.buf:write(0, ("x"):rep(700000))
    local ok, message = pcall(b.buf.write, b.buf, 0, ("x"):rep(700000))
    assert(not ok and message:find("No space left on device"), message)
    ok, message = pcall(b.buf.get, b.buf, "b", 699999)
    assert(ok or message:find("No space left on device"), message)
    a:unlink()
    a:close()
    b.buf:write(0, ("x"):rep(700000))
    print("done")
  ]])
end)

describe("a crowd of blocks", function()
  it("leaves nothing", function()
    local before = helper.count(helper.descriptors())
    for i = 1, 2000 do
      local shm = SharedMemory{ create = true, size = i * 50 }
      shm.buf:set("i", i, i)
      if i % 2 == 0 then shm:close() end
      assert(shm:unlink())
    end
    collectgarbage()
    collectgarbage()
    assert.equal(before, helper.count(helper.descriptors()))
    local mine = ("luamp-spec-%d-"):format(mp.current_process().pid)
    for _, name in ipairs(host.list("/dev/shm")) do
      assert.is_nil(name:find(mine, 1, true))
    end
  end)

  it("is collected before descriptors run out", function()
    assert.equal("done\n", helper.output([[
      for _ = 1, 2000 do
        mp.shared_memory.SharedMemory{ create = true, size = 10 }:unlink()
      end
      print("done")
    ]], { before = "sh -c 'ulimit -n 200 && exec \"$@\"' -" }))
  end)
end)
