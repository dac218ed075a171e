-- mp.connection.Connection: framed messages over a descriptor.

local helper = require "helper"
local mp = require "mp"
local lfs = require "lfs"

local KiB, MiB = 1024, 1024 * 1024
local LONG, start = helper.LONG, helper.child
local blob, get_bytes = helper.blob, helper.get_bytes

local found, luv = pcall(require, "luv")
if not found then
  pending("connections over descriptors: no luv")
  return
end

local Connection = mp.connection.Connection

local function frame(text) return string.pack(">s4", text) end

local function long_frame(text)
  return "\255\255\255\255" .. string.pack(">s8", text)
end

local function is_open(fd)
  return lfs.symlinkattributes("/proc/self/fd/" .. fd) ~= nil
end

describe("connection over a descriptor:", function()
  local open = {}

  -- Descriptors of ours, closed after the test.
  local function ours(fd)
    open[#open + 1] = fd
    return fd
  end

  local function close_fd(fd)
    for i, other in ipairs(open) do
      if other == fd then
        table.remove(open, i)
        assert(luv.fs_close(fd))
        return
      end
    end
  end

  -- A connection and the plain descriptor at its other end.
  local function half()
    local pair = assert(luv.socketpair())
    return Connection(pair[1]), ours(pair[2])
  end

  local function both()
    local pair = assert(luv.socketpair())
    return Connection(pair[1]), Connection(pair[2])
  end

  local function write(fd, text)
    while #text > 0 do
      text = text:sub(assert(luv.fs_write(fd, text)) + 1)
    end
  end

  local function clean_up()
    while open[1] do close_fd(open[1]) end
  end

  -- Cleans up inside the test, before anybody counts what is left.
  local function it_works(title, test)
    it(title, function()
      local _ <close> = setmetatable({}, { __close = clean_up })
      test()
    end)
  end

  describe("the constructor", function()
    it_works("wants an open descriptor", function()
      for _, bad in ipairs { "x", {}, 1.5, -1, 99999, 1 << 40 } do
        assert.has_error(function() Connection(bad) end)
      end
      assert.has_error(function() Connection() end)
    end)

    it_works("wants a direction", function()
      local pair = assert(luv.socketpair())
      ours(pair[1])
      ours(pair[2])
      assert.has_error(function() Connection(pair[1], false, false) end)
      assert.is_true(is_open(pair[1]))
    end)

    it_works("takes the descriptor over", function()
      local pair = assert(luv.socketpair())
      ours(pair[2])
      local conn = Connection(pair[1])
      assert.equal(pair[1], conn:fileno())
      assert.is_true(conn.readable)
      assert.is_true(conn.writable)
      conn:close()
      assert.is_true(conn.closed)
      assert.is_false(is_open(pair[1]))
      assert.has_error(function() conn:recv_bytes() end)
    end)

    it_works("closes the descriptor when it is collected", function()
      local pair = assert(luv.socketpair())
      ours(pair[2])
      local fd = Connection(pair[1]):fileno()
      collectgarbage()
      collectgarbage()
      assert.is_false(is_open(fd))
    end)

    it_works("keeps to the directions it was given", function()
      local pipe = assert(luv.pipe())
      local reader = Connection(pipe.read, true, false)
      local writer = Connection(pipe.write, false, true)
      assert.error_matches(function() reader:send_bytes("") end, "read%-only")
      assert.error_matches(function() writer:recv_bytes() end, "write%-only")
      assert.is_true(writer:send_bytes("through a pipe of the system"))
      assert.equal("through a pipe of the system", get_bytes(reader))
      writer:close()
      assert.same({ nil, "closed" }, { reader:recv_bytes() })
    end)
  end)

  describe("framing:", function()
    it_works("four bytes of length, then the bytes", function()
      local conn, fd = half()
      conn:send_bytes("abc")
      assert.equal("\0\0\0\3abc", luv.fs_read(fd, 100))
      conn:send_bytes("abc", 2, 2)
      assert.equal("\0\0\0\1b", luv.fs_read(fd, 100))
      conn:send_bytes("")
      assert.equal("\0\0\0\0", luv.fs_read(fd, 100))
    end)

    it_works("both forms of the header are read", function()
      local conn, fd = half()
      write(fd, frame("short") .. long_frame("long") .. frame("")
        .. long_frame("") .. frame("last"))
      for _, text in ipairs { "short", "long", "", "", "last" } do
        assert.equal(text, get_bytes(conn))
      end
      assert.is_false(conn:poll())
    end)

    it_works("pieces make a message", function()
      local conn, fd = half()
      for _, text in ipairs { frame("in pieces"), long_frame("in pieces") } do
        for i = 1, #text - 1 do
          write(fd, text:sub(i, i))
          if i < 4 then
            assert.same({ nil, "timeout" }, { conn:recv(0) })
          end
        end
        write(fd, text:sub(-1))
        assert.equal("in pieces", get_bytes(conn))
      end
    end)

    for name, make in pairs { short = frame, long = long_frame } do
      it_works("cut at every byte of a " .. name .. " frame (G1)", function()
        local text = make("cut")
        for n = 0, #text - 1 do
          local conn, fd = half()
          write(fd, text:sub(1, n))
          close_fd(fd)
          assert.is_true(conn:poll(LONG))
          assert.same({ nil, n == 0 and "closed" or "truncated" },
            { conn:recv_bytes() }, n)
          assert.is_true(conn.closed)
        end
      end)
    end

    it_works("negative lengths break the protocol (G2)", function()
      for _, n in ipairs { -2, -3, -1000, -2 ^ 31 // 1 | 0 } do
        local conn, fd = half()
        write(fd, string.pack(">i4", n) .. "follows")
        assert.same({ nil, "protocol" }, { conn:recv_bytes() })
        assert.is_true(conn.closed)
      end
    end)

    it_works("lengths that cannot be break the protocol (G3)", function()
      for _, n in ipairs { math.mininteger, -1, -1000 } do
        local conn, fd = half()
        write(fd, "\255\255\255\255" .. string.pack(">i8", n) .. "follows")
        assert.same({ nil, "protocol" }, { conn:recv() })
        assert.is_true(conn.closed)
      end
    end)

    it_works("huge claims cost nothing (G3)", function()
      for _, n in ipairs { 1 << 31, 1 << 40, math.maxinteger } do
        local conn, fd = half()
        write(fd, "\255\255\255\255" .. string.pack(">i8", n) .. "follows")
        close_fd(fd)
        assert.same({ nil, "truncated" }, { conn:recv_bytes() })
        assert.is_true(conn.closed)
      end
    end)

    it_works("more than maxlength raises and closes (G4)", function()
      for _, claim in ipairs { 11, 1 << 30, 1 << 31, math.maxinteger } do
        local conn, fd = half()
        local head = claim < 1 << 31 and string.pack(">I4", claim)
          or "\255\255\255\255" .. string.pack(">I8", claim)
        write(fd, frame(("x"):rep(10)) .. head)
        assert.equal(("x"):rep(10), get_bytes(conn, 10))
        assert.has_error(function() conn:recv_bytes(10) end)
        assert.is_true(conn.closed)
      end
    end)
  end)

  describe("the peer", function()
    it_works("has closed: nil, closed; false, closed; no signal", function()
      local conn, fd = half()
      close_fd(fd)
      assert.same({ false, "closed" }, { conn:send_bytes("x") })
      assert.is_true(conn:poll())
      assert.same({ nil, "closed" }, { conn:recv() })
    end)

    it_works("has closed its end of a system's pipe", function()
      local pipe = assert(luv.pipe())
      local writer = Connection(pipe.write, false, true)
      luv.fs_close(pipe.read)
      assert.same({ false, "closed" }, { writer:send_bytes(blob(100000)) })
    end)

    it_works("sends nothing: timeouts", function()
      local conn = half()
      for _, timeout in ipairs { 0, -1, 0.02 } do
        assert.same({ nil, "timeout" }, { conn:recv(timeout) })
        assert.is_false(conn:poll(timeout))
      end
      assert.has_error(function() conn:recv(0 / 0) end)
      assert.has_error(function() conn:recv("1") end)
    end)
  end)

  describe("values", function()
    it_works("travel without code", function()
      local a, b = both()
      local value = { 1, 2.5, "x", { y = true } }
      value.self = value
      a:send(value)
      local got = b:recv(LONG)
      assert.equal(got, got.self)
      assert.same({ y = true }, got[4])
      a:send(nil)
      assert.same({ n = 1 }, table.pack(b:recv(LONG)))
    end)

    it_works("with a function break the protocol", function()
      for _, value in ipairs { function() return 1 end, print,
        { deep = { string.format } } } do
        local a, b = both()
        a:send(value)
        assert.same({ nil, "protocol" }, { b:recv(LONG) })
        assert.is_true(b.closed)
      end
    end)

    it_works("with mp objects are refused by the sender", function()
      local a, b = both()
      local object = mp.Pipe()
      assert.has_error(function() a:send { object } end)
      assert.is_false(b:poll())
    end)

    it_works("from hostile bytes: a value or an end, never more", function()
      local good = mp.encode { 1, "two", { three = 3.0 }, true }
      local state = 7
      local function random(n)
        state = (state * 6364136223846793005 + 1442695040888963407)
        return (state >> 33) % n
      end
      for _ = 1, 1000 do
        local bytes = { good:byte(1, -1) }
        for _ = 0, random(4) do
          bytes[random(#bytes) + 1] = random(256)
        end
        local conn, fd = half()
        write(fd, frame(string.char(table.unpack(bytes, 1, random(#bytes)))))
        local value, reason = conn:recv(LONG)
        assert.is_true(reason == nil or reason == "protocol", reason)
        assert.equal(reason ~= nil, conn.closed)
        assert.not_equal("function", type(value))
        conn:close()
        close_fd(fd)
      end
    end)
  end)

  describe("other processes:", function()
    it_works("sizes there and back through a socket", function()
      local a, b = both()
      start("fork", function()
        a:close()
        while b:send_bytes((b:recv_bytes())) do end
      end)
      b:close()
      for _, n in ipairs { 0, 1, 16 * KiB - 1, 16 * KiB, 16 * KiB + 1,
        64 * KiB - 1, 64 * KiB, 64 * KiB + 1, 17 * MiB } do
        assert.is_true(a:send_bytes(blob(n)))
        local got = get_bytes(a)
        assert.equal(n, #got)
        assert.is_true(got == blob(n))
      end
    end)

    for method, ctx in helper.methods() do
      it_works("travels through a pipe (" .. method .. ")", function()
        local a, b = both()
        local here, there = mp.Pipe()
        local child = start(ctx, function(line)
          local got = line:recv()
          local conn = got[1]
          local same = conn == got.again
          line:send(conn)
          conn:send_bytes("from the child")
          return same, conn:recv_bytes()
        end, there)
        here:send { b, again = b }
        assert.equal(b, here:recv(LONG))
        b:close()
        assert.equal("from the child", get_bytes(a))
        a:send_bytes("to the child")
        assert.is_true(child:join(LONG))
        assert.same({ true, "to the child" }, { child:result() })
        assert.is_true(a:poll(LONG / 4), "the end is not seen")
        assert.same({ nil, "closed" }, { a:recv_bytes() })
      end)

      it_works("travels with its directions (" .. method .. ")", function()
        local pipe = assert(luv.pipe())
        local reader = Connection(pipe.read, true, false)
        local writer = Connection(pipe.write, false, true)
        local child = start(ctx, function(conn)
          conn:send_bytes("written there")
          return conn.readable, conn.writable
        end, writer)
        assert.equal("written there", get_bytes(reader))
        assert.is_true(child:join(LONG))
        reader:close()
        writer:close()
        assert.same({ false, true }, { child:result() })
      end)
    end

    it_works("many through one pipe leave no descriptor behind", function()
      local here, there = mp.Pipe()
      local function count()
        local n = 0
        for _ in lfs.dir("/proc/self/fd") do n = n + 1 end
        return n
      end
      local before = count()
      for _ = 1, 300 do
        local a, b = both()
        here:send(b)
        b:close()
        local again = there:recv(LONG)
        again:send_bytes("ok")
        assert.equal("ok", get_bytes(a))
      end
      collectgarbage()
      collectgarbage()
      assert.equal(before, count())
    end)

    -- Ctrl-C in the middle of a message must not shift the next one.
    it_works("an interrupted message is seen through or given up", function()
      local conn, fd = half()
      local line, lines = mp.Pipe()
      local pcall = pcall
      local child = start("fork", function()
        lines:send((pcall(conn.recv_bytes, conn)))
        local again, text = pcall(conn.recv_bytes, conn)
        return again, text
      end)
      write(fd, frame(("x"):rep(100)):sub(1, 54))
      while conn:poll() do end -- the child takes it
      child:interrupt()
      assert.is_false(line:recv(LONG))
      write(fd, ("x"):rep(50) .. frame("next"))
      close_fd(fd)
      conn:close()
      assert.is_true(child:join(LONG))
      local again, text = child:result()
      assert.is_true(not again or text == nil or text == "next"
        or text == ("x"):rep(100), text)
    end)
  end)

  describe("Python", function()
    local which = io.popen("command -v python3")
    local python = which:read("a"):match("%S+")
    which:close()

    local function talk(title, script, test)
      if not python then
        pending(title .. ": no python3")
        return
      end
      it_works(title, function()
        local conn, fd = half()
        local code
        local child = assert(luv.spawn(python, {
          args = { "-c", "from multiprocessing.connection import Connection\n"
            .. "c = Connection(3)\n" .. script },
          stdio = { nil, 1, 2, fd },
        }, function(status) code = status end))
        close_fd(fd)
        test(conn)
        conn:close()
        luv.run()
        child:close()
        luv.run()
        assert.equal(0, code)
      end)
    end

    talk("sends back what it got", [[
try:
  while True:
    c.send_bytes(c.recv_bytes())
except EOFError:
  pass
]], function(conn)
      for _, n in ipairs { 0, 1, 4, 16 * KiB - 1, 16 * KiB, 16 * KiB + 1,
        64 * KiB - 1, 64 * KiB, 64 * KiB + 1, MiB, 17 * MiB } do
        assert.is_true(conn:send_bytes(blob(n)))
        local got = get_bytes(conn)
        assert.equal(n, #got)
        assert.is_true(got == blob(n))
      end
    end)

    talk("is waited for, and its end is seen", [[
c.send_bytes(b"first")
assert c.recv_bytes() == b"go on"
c.send_bytes(b"second")
]], function(conn)
      assert.same({ conn }, mp.wait({ conn }, LONG))
      assert.equal("first", conn:recv_bytes())
      assert.same({}, mp.wait({ conn }, 0))
      conn:send_bytes("go on")
      assert.equal("second", get_bytes(conn))
      assert.same({ conn }, mp.wait({ conn }, LONG))
      assert.same({ nil, "closed" }, { conn:recv_bytes() })
    end)

    talk("sees a message over 2 GiB announced as ours is", [[
import struct
c._send(struct.pack("!iQ", -1, 5) + b"hello")
assert c.recv_bytes() == b"done"
]], function(conn)
      assert.equal("hello", get_bytes(conn))
      conn:send_bytes("done")
    end)
  end)
end)
