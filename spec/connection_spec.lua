-- Pipes and what every Connection can do.  Connections over descriptors:
-- connection_fd_spec.lua; waiting for several: wait_spec.lua.

local helper = require "helper"
local mp = require "mp"
local lfs = require "lfs"

local KiB, MiB = 1024, 1024 * 1024
local LONG, PROMPT = helper.LONG, helper.PROMPT
local start, finish, elapsed = helper.child, helper.finish, helper.elapsed
local each_method = helper.each_method
local blob, get_bytes = helper.blob, helper.get_bytes

-- Sizes around the limits of what lies in a queue itself, of a segment, of
-- pages, and beyond all that a pipe keeps.
local SIZES = {
  0, 1, 7, 8, 9, 2047, 2048, 2049, 8 * KiB - 1, 8 * KiB, 8 * KiB + 1,
  16 * KiB, 16 * KiB + 1, 64 * KiB - 1, 64 * KiB, 64 * KiB + 1, MiB, 17 * MiB,
}

local function count_fds()
  local n = 0
  for _ in lfs.dir("/proc/self/fd") do n = n + 1 end
  return n
end

local function rss_bytes()
  local file <close> = assert(io.open("/proc/self/statm"))
  return tonumber(file:read("a"):match("^%d+ (%d+)")) * 4 * KiB
end

local function collect()
  collectgarbage()
  collectgarbage()
end

-- Without printing megabytes.
local function assert_blob(n, got)
  assert.equal(n, #got)
  assert(got == blob(n), "other bytes than were sent")
end

describe("connection:", function()
  describe("Pipe", function()
    it("is duplex", function()
      local a, b = mp.Pipe()
      for _, conn in ipairs { a, b } do
        assert.is_true(conn.readable)
        assert.is_true(conn.writable)
        assert.is_false(conn.closed)
      end
      assert.is_true(a:send("there"))
      assert.is_true(b:send("back"))
      assert.equal("there", b:recv(LONG))
      assert.equal("back", a:recv(LONG))
    end)

    it("with false gives a reader and a writer", function()
      local reader, writer = mp.Pipe(false)
      assert.is_true(reader.readable)
      assert.is_false(reader.writable)
      assert.is_false(writer.readable)
      assert.is_true(writer.writable)
      assert.is_true(writer:send(1))
      assert.equal(1, reader:recv(LONG))
    end)

    it("refuses the wrong direction at once", function()
      local reader, writer = mp.Pipe(false)
      assert.error_matches(function() reader:send(1) end, "read%-only")
      assert.error_matches(function() reader:send_bytes("") end, "read%-only")
      assert.error_matches(function() writer:recv() end, "write%-only")
      assert.error_matches(function() writer:recv_bytes() end, "write%-only")
      assert.error_matches(function() writer:poll() end, "write%-only")
      assert.is_true(writer:send("still good"))
      assert.equal("still good", reader:recv(LONG))
    end)

    it("refuses what is no boolean", function()
      assert.error_matches(function() mp.Pipe(0) end, "boolean")
      assert.error_matches(function() mp.Pipe { duplex = true } end, "boolean")
    end)
  end)

  describe("attributes:", function()
    it("a telling tostring", function()
      local a, b = mp.Pipe()
      local reader, writer = mp.Pipe(false)
      assert.matches("^mp.Connection %(duplex%)", tostring(a))
      assert.matches("^mp.Connection %(read%-only%)", tostring(reader))
      assert.matches("^mp.Connection %(write%-only%)", tostring(writer))
      assert.not_equal(tostring(a), tostring(b))
      a:close()
      assert.matches("^mp.Connection %(closed%)", tostring(a))
    end)

    it("none can be set, unknown ones are nil", function()
      local a = mp.Pipe()
      for _, name in ipairs { "closed", "readable", "send", "mine" } do
        assert.error_matches(function() a[name] = 1 end, name)
      end
      assert.is_nil(a.mine)
      assert.is_nil(a[1])
    end)

    it("methods want a connection", function()
      local a = mp.Pipe()
      for _, name in ipairs { "send", "recv", "poll", "send_bytes",
        "recv_bytes", "fileno", "close" } do
        assert.error_matches(function() a[name]("x", "x") end,
          "mp.Connection")
        assert.error_matches(function() a[name](io.stdout, "x") end,
          "mp.Connection")
        assert.error_matches(function()
          a[name](mp.current_process(), "x")
        end, "mp.Connection")
      end
    end)
  end)

  describe("send and recv", function()
    it("carry values", function()
      local a, b = mp.Pipe()
      local values = { true, false, 0, -1, math.maxinteger, math.mininteger,
        0.5, -0.0, math.huge, "", "text", "\0\255", { 1, { x = "y" } } }
      for _, v in ipairs(values) do a:send(v) end
      for _, v in ipairs(values) do
        local got = b:recv(LONG)
        assert.same(v, got)
        assert.equal(math.type(v), math.type(got))
      end
    end)

    it("carry nil, told apart by no reason", function()
      local a, b = mp.Pipe()
      a:send(nil)
      local got = table.pack(b:recv(LONG))
      assert.same({ n = 1 }, got)
    end)

    it("carry nothing only when nothing is given: an error", function()
      local a, b = mp.Pipe()
      assert.error_matches(function() a:send() end, "value expected")
      assert.is_false(b:poll())
    end)

    it("refuse with the path, and nothing was sent", function()
      local a, b = mp.Pipe()
      local co = coroutine.create(function() end)
      assert.error_matches(function() a:send { cb = { co } } end,
        "cb.*cannot send a thread")
      assert.is_false(b:poll())
      a:send("next")
      assert.equal("next", b:recv(LONG))
    end)

    it("keep order, whatever the size", function()
      local a, b = mp.Pipe()
      local sizes = { 1, 9000, 3, 70000, 0, 8192, 8193, 5 }
      for i, n in ipairs(sizes) do a:send { i, blob(n) } end
      for i, n in ipairs(sizes) do
        local got = b:recv(LONG)
        assert.equal(i, got[1])
        assert_blob(n, got[2])
      end
    end)

    it("raise for bytes that are no value, and go on", function()
      local a, b = mp.Pipe()
      a:send_bytes("no value at all")
      a:send(2)
      assert.has_error(function() b:recv(LONG) end)
      assert.equal(2, b:recv(LONG))
    end)
  end)

  describe("send_bytes and recv_bytes", function()
    for _, n in ipairs(SIZES) do
      it("carry " .. n .. " bytes", function()
        local a, b = mp.Pipe()
        assert.is_true(a:send_bytes(blob(n)))
        assert_blob(n, get_bytes(b))
        assert.is_false(b:poll())
      end)
    end

    it("take i and j as string.sub does", function()
      local a, b = mp.Pipe()
      local limits = { 0, 1, 2, 5, 6, 7, 8, 100, math.maxinteger,
        -1, -2, -6, -7, -8, -100, math.mininteger }
      for _, text in ipairs { "", "x", "abcdefg" } do
        for _, i in ipairs(limits) do
          assert.is_true(a:send_bytes(text, i))
          assert.equal(text:sub(i), get_bytes(b))
          for _, j in ipairs(limits) do
            assert.is_true(a:send_bytes(text, i, j))
            assert.equal(text:sub(i, j), get_bytes(b), i .. ", " .. j)
          end
        end
        a:send_bytes(text, nil, 2)
        assert.equal(text:sub(1, 2), get_bytes(b))
      end
    end)

    it("refuse what is no string or index", function()
      local a, b = mp.Pipe()
      for _, bad in ipairs { {}, true, print } do
        assert.error_matches(function() a:send_bytes(bad) end, "string")
      end
      assert.error_matches(function() a:send_bytes(nil) end, "string")
      assert.error_matches(function() a:send_bytes("x", 1.5) end, "integer")
      assert.error_matches(function() a:send_bytes("x", 1, "z") end, "number")
      assert.is_false(b:poll())
    end)

    it("let maxlength bytes pass", function()
      local a, b = mp.Pipe()
      for _, n in ipairs { 0, 1, 8192, 8193, 100000 } do
        a:send_bytes(blob(n))
        assert_blob(n, get_bytes(b, n))
      end
    end)

    for _, n in ipairs { 1, 8192, 8193, 100000 } do
      it("raise and close for more than maxlength: " .. n, function()
        local a, b = mp.Pipe()
        a:send_bytes(blob(n))
        assert.has_error(function() get_bytes(b, n - 1) end)
        assert.is_true(b.closed)
        assert.same({ false, "closed" }, { a:send(1) })
      end)
    end

    it("refuse a negative or wrong maxlength and lose nothing", function()
      local a, b = mp.Pipe()
      a:send_bytes("here")
      assert.error_matches(function() b:recv_bytes(-1) end, "maxlength")
      assert.error_matches(function() b:recv_bytes("x") end, "number")
      assert.equal("here", get_bytes(b))
    end)
  end)

  describe("timeouts:", function()
    it("none left: only a look", function()
      local a, b = mp.Pipe()
      for _, timeout in ipairs { 0, 0.0, -0.0, -1, -1e308, -math.huge } do
        assert.same({ n = 2, nil, "timeout" }, table.pack(b:recv(timeout)))
        assert.is_false(b:poll(timeout))
        a:send(timeout)
        assert.is_true(b:poll(timeout))
        assert.equal(timeout, b:recv(timeout))
      end
    end)

    it("are waited for", function()
      local _, b = mp.Pipe()
      local took, value, reason = elapsed(b.recv, b, 0.05)
      assert.is_nil(value)
      assert.equal("timeout", reason)
      assert.is_true(took >= 0.05)
      took, value = elapsed(b.poll, b, 0.05)
      assert.is_false(value)
      assert.is_true(took >= 0.05)
    end)

    it("NaN and what is no number raise, and nothing is lost", function()
      local a, b = mp.Pipe()
      a:send("here")
      for _, bad in ipairs { 0 / 0, -(0 / 0), "1", "x", {}, true } do
        assert.has_error(function() b:recv(bad) end)
        assert.has_error(function() b:poll(bad) end)
      end
      assert.equal("here", b:recv(LONG))
    end)

    it("poll without one only looks", function()
      local a, b = mp.Pipe()
      assert.is_false(b:poll())
      a:send(1)
      assert.is_true(b:poll())
      assert.is_true(b:poll()) -- takes nothing
    end)

    each_method("nil and the endless ones wait", function(ctx)
      local a, b = mp.Pipe()
      start(ctx, function(conn)
        while conn:recv() do conn:send("answer") end
      end, b)
      for _, timeout in ipairs { math.huge, 1e300, 1e18, 2 ^ 63 / 1e9 } do
        a:send("question")
        assert.is_true(a:poll(timeout))
        assert.equal("answer", a:recv(timeout))
        a:send("question")
        assert.equal("answer", a:recv(timeout))
      end
      a:send("question")
      assert.is_true(a:poll(nil))
      assert.equal("answer", a:recv())
      a:send(false)
    end)
  end)

  describe("the end of the stream", function()
    it("comes behind what was sent", function()
      local a, b = mp.Pipe()
      a:send(1)
      a:send_bytes(blob(9000))
      a:send(nil)
      a:close()
      assert.is_true(b:poll())
      assert.equal(1, b:recv())
      assert_blob(9000, b:recv_bytes())
      assert.same({ n = 1 }, table.pack(b:recv()))
      for _ = 1, 3 do
        assert.is_true(b:poll())
        assert.is_true(b:poll(nil))
        assert.same({ n = 2, nil, "closed" }, table.pack(b:recv()))
        assert.same({ n = 2, nil, "closed" }, table.pack(b:recv(0)))
        assert.same({ n = 2, nil, "closed" }, table.pack(b:recv_bytes()))
      end
      assert.is_false(b.closed) -- this handle is still ours
    end)

    it("is told to a sender", function()
      for _, duplex in ipairs { true, false } do
        local a, b = mp.Pipe(duplex)
        a:close()
        for _ = 1, 2 do
          assert.same({ false, "closed" }, { b:send(1) })
          assert.same({ false, "closed" }, { b:send_bytes("x") })
          assert.same({ false, "closed" }, { b:send_bytes(blob(MiB)) })
        end
      end
    end)

    it("comes when the other end is collected", function()
      local a, b = mp.Pipe()
      b:send(1)
      assert.is_true(a:poll())
      a = nil -- luacheck: ignore
      collect()
      assert.same({ nil, "closed" }, { b:recv(LONG) })
    end)

    it("comes at the end of a block", function()
      local _, b
      do
        local a <close>, other = mp.Pipe()
        _, b = a, other
      end
      assert.same({ nil, "closed" }, { b:recv(LONG) })
    end)
  end)

  describe("close", function()
    it("may be called again", function()
      local a = mp.Pipe()
      a:close()
      a:close()
      assert.is_true(a.closed)
    end)

    it("makes every other method raise", function()
      local a = mp.Pipe()
      a:close()
      for _, name in ipairs { "send", "recv", "poll", "send_bytes",
        "recv_bytes", "fileno", "getfd", "pollfd" } do
        assert.error_matches(function()
          a[name](a, name:find("send") and "x" or nil)
        end, "closed", nil, nil, name)
      end
    end)

    it("of an end that somebody else has leaves it open", function()
      local a, b = mp.Pipe()
      local carrier, taker = mp.Pipe()
      carrier:send(a) -- on its way
      a:close()
      assert.is_true(b:send("kept"))
      assert.is_false(b:poll())
      local again = taker:recv(LONG)
      assert.equal("kept", again:recv(LONG))
      assert.is_true(again:send("alive"))
      assert.equal("alive", b:recv(LONG))
      again:close()
      assert.same({ nil, "closed" }, { b:recv(LONG) })
    end)

    it("of both ends drops ends in messages nobody took", function()
      local a, b = mp.Pipe()
      local carrier, taker = mp.Pipe()
      carrier:send { a }
      a:close()
      carrier:close()
      taker:close()
      assert.same({ nil, "closed" }, { b:recv(LONG) })
    end)
  end)

  describe("an end in a message", function()
    it("is the same Lua value", function()
      local a, b = mp.Pipe()
      local through, out = mp.Pipe()
      local seen = { [a] = "a", [b] = "b" }
      through:send { a, b, a, { [a] = true } }
      local got = out:recv(LONG)
      assert.equal(a, got[1])
      assert.equal(b, got[2])
      assert.equal(a, got[3])
      assert.is_true(got[4][a])
      assert.equal("a", seen[got[1]])
      assert.not_equal(got[1], got[2])
      through:send(through)
      assert.equal(through, out:recv(LONG))
      through:send(out)
      assert.equal(out, out:recv(LONG))
    end)

    it("in a table in a closure's upvalue", function()
      local a, b = mp.Pipe()
      local through, out = mp.Pipe()
      local state = { deep = { conn = a } }
      through:send { call = function(v) return state.deep.conn:send(v) end }
      assert.is_true(out:recv(LONG).call("by closure"))
      assert.equal("by closure", b:recv(LONG))
    end)

    it("in an end in an end in an end", function()
      local depth = 20
      local a, b = mp.Pipe()
      local inner = a
      for _ = 1, depth do
        local x, y = mp.Pipe()
        x:send(inner)
        x:close()
        inner = y
      end
      a, inner = nil, inner -- luacheck: ignore
      collect()
      assert.is_false(b:poll())
      for _ = 1, depth do inner = inner:recv(LONG) end
      inner:send("found")
      assert.equal("found", b:recv(LONG))
    end)

    it("cannot be sent once it is closed", function()
      local a, b = mp.Pipe()
      local through, out = mp.Pipe()
      a:close()
      assert.error_matches(function() through:send { x = a } end, "closed")
      assert.is_false(out:poll())
      assert.is_not_nil(b)
    end)

    it("many of them", function()
      local through, out = mp.Pipe()
      local list = {}
      for i = 1, 200 do
        local x, y = mp.Pipe()
        list[2 * i - 1], list[2 * i] = x, y
      end
      through:send(list)
      assert.same(list, out:recv(LONG))
    end)
  end)

  describe("between processes:", function()
    each_method("sizes there and back", function(ctx)
      local a, b = mp.Pipe()
      start(ctx, function(conn)
        while conn:send_bytes((conn:recv_bytes())) do end
      end, b)
      for _, n in ipairs(SIZES) do
        assert.is_true(a:send_bytes(blob(n)))
        assert_blob(n, get_bytes(a))
      end
    end)

    each_method("values there and back, ends too", function(ctx)
      local a, b = mp.Pipe()
      local x, y = mp.Pipe()
      local child = start(ctx, function(conn)
        local message = conn:recv()
        conn:send(message)
        conn:send(message.x == message[1] and message.x ~= message.y)
        return message.y:recv()
      end, b)
      a:send { x = x, y = y, x }
      local back = a:recv(LONG)
      assert.equal(x, back.x)
      assert.equal(y, back.y)
      assert.is_true(a:recv(LONG))
      x:send("for the child")
      assert.equal("for the child", finish(child))
    end)

    each_method("the end comes with a child's end", function(ctx)
      local a, b = mp.Pipe()
      local child = start(ctx, function(conn)
        conn:send("last words")
      end, b)
      b:close()
      assert.equal("last words", a:recv(LONG))
      assert.same({ nil, "closed" }, { a:recv(LONG) })
      assert.same({ false, "closed" }, { a:send(1) })
      finish(child)
    end)

    each_method("a child keeps its end until it closes it", function(ctx)
      local a, b = mp.Pipe()
      local order, orders = mp.Pipe()
      start(ctx, function(conn, line)
        line:send("here")
        line:recv()
        conn:close()
        line:send("closed it")
        line:recv()
      end, b, orders)
      b:close()
      orders:close()
      assert.equal("here", order:recv(LONG))
      assert.is_false(a:poll())
      assert.is_true(a:send("nobody reads this"))
      order:send(true)
      assert.equal("closed it", order:recv(LONG))
      assert.same({ nil, "closed" }, { a:recv(LONG) })
    end)

    each_method("a child's end goes with its last one", function(ctx, method)
      if method == "fork" then return end -- it has its parent's stack
      local a, b = mp.Pipe()
      local order, orders = mp.Pipe()
      start(ctx, function(line)
        local conn = line:recv()
        conn:send("here")
        line:recv()
        conn = nil -- luacheck: ignore
        collectgarbage()
        collectgarbage()
        line:recv()
      end, orders)
      order:send(b)
      b:close()
      assert.equal("here", a:recv(LONG))
      assert.is_false(a:poll())
      order:send(true)
      assert.same({ nil, "closed" }, { a:recv(LONG) })
    end)

    it("a forked child has the ends its parent had open", function()
      local a, b = mp.Pipe()
      local order, orders = mp.Pipe()
      start("fork", function()
        orders:recv()
        b:close()
        orders:send("closed it")
        orders:recv()
      end)
      b:close()
      assert.is_false(a:poll())
      order:send(true)
      assert.equal("closed it", order:recv(LONG))
      assert.same({ nil, "closed" }, { a:recv(LONG) })
    end)

    each_method("an end handed from child to child", function(ctx)
      local a, b = mp.Pipe()
      local inbox, outbox = mp.Pipe()
      local writer = start(ctx, function(conn)
        return conn:recv():send("from the second")
      end, outbox)
      local carrier = start(ctx, function(conn, to)
        return to:send(conn)
      end, b, inbox)
      b:close()
      inbox:close()
      outbox:close()
      assert.is_true(finish(carrier))
      assert.equal("from the second", a:recv(LONG))
      assert.is_true(finish(writer))
      assert.same({ nil, "closed" }, { a:recv(LONG) })
    end)
  end)

  describe("several processes on one end:", function()
    each_method("each message whole and to one receiver", function(ctx)
      local readers, count = 3, 600
      local sizes = { 0, 100, 5000, 8193, 20000 }
      local reader, writer = mp.Pipe(false)
      local children = {}
      for i = 1, readers do
        children[i] = start(ctx, function(conn, other)
          other:close() -- a forked child would have it
          local got = {}
          while true do
            local message, reason = conn:recv()
            if reason then return got end
            local whole = message.text == ("%d "):format(message.n)
              :rep(message.len):sub(1, message.len)
            got[#got + 1] = whole and message.n or -1
          end
        end, reader, writer)
      end
      reader:close()
      for n = 1, count do
        local len = sizes[n % #sizes + 1]
        assert.is_true(writer:send {
          n = n, len = len, text = ("%d "):format(n):rep(len):sub(1, len),
        })
      end
      writer:close()
      local seen, total = {}, 0
      for _, child in ipairs(children) do
        local last = 0
        for _, n in ipairs(finish(child)) do
          assert.is_true(n > last, "out of order, or torn")
          last = n
          assert.is_nil(seen[n])
          seen[n] = true
          total = total + 1
        end
      end
      assert.equal(count, total)
    end)

    each_method("first in, first out for each sender", function(ctx)
      local writers, count = 3, 400
      local reader, writer = mp.Pipe(false)
      for w = 1, writers do
        start(ctx, function(conn)
          local sizes = { 1, 3000, 8192, 8193, 30000 }
          for n = 1, count do
            conn:send { w, n, ("x"):rep(sizes[(w + n) % #sizes + 1]) .. w }
          end
        end, writer)
      end
      writer:close()
      local last = {}
      for _ = 1, writers * count do
        local message = assert(reader:recv(LONG))
        local w, n, text = table.unpack(message)
        assert.equal((last[w] or 0) + 1, n)
        last[w] = n
        assert.equal(tostring(w), text:match("^x*(%d)$"))
      end
      assert.same({ nil, "closed" }, { reader:recv(LONG) })
    end)
  end)

  describe("more than fits:", function()
    each_method("a sender waits for room", function(ctx)
      local a, b = mp.Pipe()
      local child = start(ctx, function(conn)
        local sent = 0
        for i = 1, 3 do
          sent = sent + (conn:send_bytes(("%d"):format(i):rep(17 << 20))
            and 1 or 0)
        end
        for i = 1, 12000 do conn:send(i) end
        return sent
      end, b)
      b:close()
      for i = 1, 3 do
        local got = get_bytes(a)
        assert.equal(17 * MiB, #got)
        assert.is_true(got == tostring(i):rep(17 * MiB))
      end
      for i = 1, 12000 do assert.equal(i, a:recv(LONG)) end
      assert.equal(3, finish(child))
    end)

    if os.getenv("MP_HUGE") == "1" then
      it("4 GiB and a byte", function()
        local n = 4 * 1024 * MiB + 1
        local a, b = mp.Pipe()
        do
          -- string.rep makes 2 GiB at most
          local giga = ("0123456789abcdef"):rep(1 << 26)
          assert.is_true(a:send_bytes(giga .. giga .. giga .. giga .. "0"))
        end
        collect()
        local got = get_bytes(b)
        assert.equal(n, #got)
        assert.equal("0123456789abcdef0", got:sub(-17))
        assert.equal("f0123", got:sub(16, 20))
        assert.equal("f0", got:sub(1 << 32))
      end)
    end
  end)

  describe("killed processes:", function()
    each_method("the only writer, while a reader waits (B6)", function(ctx)
      local a, b = mp.Pipe()
      local child = start(ctx, function(conn)
        conn:send("ready")
        conn:recv()
      end, b)
      b:close()
      assert.equal("ready", a:recv(LONG))
      local killer = start("fork", function()
        child:kill()
      end)
      local took, value, reason = elapsed(a.recv, a, LONG)
      assert.is_nil(value)
      assert.equal("closed", reason)
      assert.is_true(took < PROMPT, took)
      finish(killer)
    end)

    each_method("a writer inside a message (B6)", function(ctx)
      for _, n in ipairs { 64, 8000, 100000, 4 * MiB } do
        local a, b = mp.Pipe()
        local child = start(ctx, function(conn)
          local text = ("%d"):format(n % 10):rep(n)
          while conn:send_bytes(text) do end
        end, b)
        b:close()
        assert.equal(n, #get_bytes(a))
        child:kill()
        local got, reason
        repeat
          assert.is_true(a:poll(LONG))
          got, reason = a:recv_bytes()
          assert.is_true(reason == nil or reason == "closed", reason)
          assert.is_true(got == nil or got == tostring(n % 10):rep(n))
        until not got
        assert.is_true(child:join(LONG))
      end
    end)

    each_method("the only reader, while a writer waits (B7)", function(ctx)
      for _, n in ipairs { 1000, 3 * MiB } do
        local reader, writer = mp.Pipe(false)
        local idle = mp.Pipe()
        local sleeper = start(ctx, function(conn, line)
          return line:recv(), conn
        end, reader, idle)
        local child = start(ctx, function(conn, other)
          other:close()
          local text, sent = ("x"):rep(n), 0
          while true do
            local ok, reason = conn:send_bytes(text)
            if not ok then return reason, sent end
            sent = sent + 1
          end
        end, writer, reader)
        reader:close()
        writer:close()
        assert.is_false(child:join(0.2)) -- it waits for room
        sleeper:kill()
        local took = elapsed(child.join, child, LONG)
        assert.equal("closed", (finish(child)))
        assert.is_true(took < PROMPT, took)
      end
    end)

    each_method("one of several readers harms no other", function(ctx)
      local a, b = mp.Pipe()
      local victim = start(ctx, function(conn)
        conn:send("victim waits")
        conn:recv()
      end, b)
      local other = start(ctx, function(conn)
        return conn:recv()
      end, b)
      assert.equal("victim waits", a:recv(LONG))
      victim:kill()
      victim:join()
      a:send("for the other")
      assert.equal("for the other", finish(other))
    end)
  end)

  describe("leaves nothing behind:", function()
    local function churn(n, each)
      for i = 1, n do
        each(mp.Pipe(i % 2 == 0))
        if i % 500 == 0 then collect() end
      end
      collect()
    end

    local function bounded(n, each)
      churn(n, each)
      local fds, rss = count_fds(), rss_bytes()
      for _ = 1, 5 do churn(n, each) end
      assert.equal(fds, count_fds())
      local grown = rss_bytes() - rss
      assert.is_true(grown < (4 + helper.slack) * MiB, "grew by " .. grown)
    end

    it("thousands of pipes, dropped", function()
      bounded(2000, function() end)
    end)

    it("thousands of pipes, closed", function()
      bounded(2000, function(a, b) a:close() b:close() end)
    end)

    it("thousands of pipes with messages in them", function()
      local text = blob(20000)
      bounded(2000, function(_, b)
        b:send("short")
        b:send { mp.Pipe() }
        b:send_bytes(text)
      end)
    end)

    it("hundreds of pipes with descriptors", function()
      bounded(400, function(a, b)
        b:send("ring")
        a:fileno()
        b:fileno()
      end)
    end)

    it("a megabyte at a time through one pipe", function()
      local a, b = mp.Pipe()
      local text = blob(MiB)
      local function exchange(n)
        for _ = 1, n do
          a:send_bytes(text)
          b:recv_bytes()
        end
        collect()
      end
      exchange(50)
      local rss = rss_bytes()
      exchange(200)
      assert.is_true(rss_bytes() - rss < (8 + helper.slack) * MiB)
    end)

    for method, ctx in helper.methods() do
      it("children that hold ends (" .. method .. ")", function()
        local function round()
          for _ = 1, 20 do
            local a, b = mp.Pipe()
            local x, y = mp.Pipe()
            local child = ctx.Process(function(conn)
              local other = conn:recv()
              other:send(1)
            end, b):start()
            a:send(x)
            assert.equal(1, y:recv(LONG))
            child:join()
            child:close()
          end
          collect()
        end
        round()
        local fds = count_fds()
        round()
        assert.equal(fds, count_fds())
      end)
    end
  end)
end)
