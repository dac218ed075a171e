-- mp.wait, and descriptors of connections in other people's event loops.

local helper = require "helper"
local mp = require "mp"

local LONG, PROMPT = helper.LONG, helper.PROMPT
local start, elapsed = helper.child, helper.elapsed
local each_method = helper.each_method

local function optional(name)
  local ok, module = pcall(require, name)
  return ok and module or nil
end

local luv, socket = optional "luv", optional "socket"
local cqueues = optional "cqueues"

-- Debian has copas for 5.1 and 5.2 only; it is plain Lua and runs here.
local function find_copas()
  local copas = optional "copas"
  if copas or not socket then return copas end
  local file = loadfile "/usr/share/lua/5.2/copas.lua"
  package.loaded.coxpcall = package.loaded.coxpcall
    or { pcall = pcall, xpcall = xpcall, running = coroutine.running }
  local ok, module = pcall(file or error)
  return ok and module or nil
end

-- With a library, or pending.
local function with(library, name, title, test)
  if library then
    it(title, test)
  else
    it(title, function() pending("no " .. name) end)
  end
end

describe("wait:", function()
  it("is mp.connection.wait", function()
    assert.equal(mp.wait, mp.connection.wait)
  end)

  it("gives the ready ones in the list's order", function()
    local ends, others = {}, {}
    for i = 1, 5 do ends[i], others[i] = mp.Pipe() end
    assert.same({}, mp.wait(ends, 0))
    others[4]:send("x")
    others[2]:send("x")
    assert.same({ ends[2], ends[4] }, mp.wait(ends, 0))
    assert.same({ ends[2], ends[4] }, mp.wait(ends))
    assert.same({ ends[4], ends[2] },
      mp.wait { ends[4], ends[3], ends[2], ends[1] })
    ends[2]:recv(LONG)
    assert.same({ ends[4] }, mp.wait(ends, 0))
    ends[4]:recv(LONG)
    assert.same({}, mp.wait(ends, 0))
  end)

  it("takes an item twice", function()
    local a, b = mp.Pipe()
    b:send(1)
    assert.same({ a, a }, mp.wait { a, a })
  end)

  it("leaves the list as it was", function()
    local a, b = mp.Pipe()
    local list = { a, b }
    a:send(1)
    assert.same({ b }, mp.wait(list))
    assert.equal(a, list[1])
    assert.equal(b, list[2])
    assert.equal(2, #list)
  end)

  it("takes many items", function()
    local ends, others = {}, {}
    for i = 1, 300 do ends[i], others[i] = mp.Pipe() end
    assert.same({}, mp.wait(ends, 0))
    for i = 1, 300, 3 do others[i]:send(i) end
    local ready = mp.wait(ends)
    assert.equal(100, #ready)
    for i, conn in ipairs(ready) do
      assert.equal(3 * i - 2, conn:recv(LONG))
    end
    assert.same({}, mp.wait(ends, 0))
  end)

  it("of nothing is over at its timeout", function()
    assert.same({}, mp.wait({}, 0))
    assert.same({}, mp.wait({}, -1))
    local took, ready = elapsed(mp.wait, {}, 0.05)
    assert.same({}, ready)
    assert.is_true(took >= 0.05)
  end)

  it("is over at its timeout", function()
    local a = mp.Pipe()
    for _, timeout in ipairs { 0, -1, -math.huge } do
      assert.same({}, mp.wait({ a }, timeout))
    end
    local took, ready = elapsed(mp.wait, { a }, 0.05)
    assert.same({}, ready)
    assert.is_true(took >= 0.05)
  end)

  it("raises for a timeout that is no number", function()
    local a, b = mp.Pipe()
    b:send(1)
    for _, bad in ipairs { 0 / 0, "1", {}, true } do
      assert.has_error(function() mp.wait({ a }, bad) end)
    end
    assert.same({ a }, mp.wait({ a }, math.huge))
    assert.same({ a }, mp.wait({ a }, 1e300))
  end)

  it("counts the end of the stream as ready", function()
    local a, b = mp.Pipe()
    local reader, writer = mp.Pipe(false)
    a:fileno()
    b:close()
    writer:close()
    assert.same({ a, reader }, mp.wait { a, reader })
    assert.same({ a, reader }, mp.wait { a, reader })
  end)

  it("sees the end come while it looks at a descriptor", function()
    local a, b = mp.Pipe()
    assert.same({}, mp.wait({ a }, 0))
    b:send(1)
    b:close()
    assert.same({ a }, mp.wait { a })
    assert.equal(1, a:recv(LONG))
    assert.same({ a }, mp.wait { a })
    assert.same({ nil, "closed" }, { a:recv(LONG) })
  end)

  describe("names what cannot be waited for:", function()
    local a = mp.Pipe()
    a:fileno() -- made now, so that no test is the first to ask
    local closed = mp.Pipe()
    closed:close()
    local cases = {
      ["a string"] = "text", ["a boolean"] = true, ["a float"] = 1.5,
      ["a table"] = {}, ["a function"] = print, ["a file"] = io.stdout,
      ["a coroutine"] = coroutine.create(print),
      ["a connection that was closed"] = closed,
      ["a process that was not started"] = mp.Process(print),
      ["a descriptor that is not open"] = 999999,
      ["a negative descriptor"] = -1,
      ["an impossible descriptor"] = 1 << 40,
    }
    for what, item in pairs(cases) do
      it(what, function()
        assert.error_matches(function() mp.wait({ a, item }, 0) end,
          "list%[2%]")
        assert.error_matches(function() mp.wait({ item, a }, 0) end,
          "list%[1%]")
      end)
    end

    it("no list at all", function()
      assert.error_matches(function() mp.wait(a, 0) end, "list")
      assert.error_matches(function() mp.wait(nil, 0) end, "list")
      assert.error_matches(function() mp.wait("x", 0) end, "list")
    end)
  end)

  each_method("for a process", function(ctx)
    local order, orders = mp.Pipe()
    local child = start(ctx, function(line) return line:recv() end, orders)
    assert.same({}, mp.wait({ child }, 0))
    order:send("end")
    assert.same({ child }, mp.wait({ child }, LONG))
    assert.is_false(child:is_alive())
    assert.same({ child }, mp.wait({ child }))
    assert.equal("end", child:result())
  end)

  each_method("for connections, processes and descriptors", function(ctx)
    local a, b = mp.Pipe()
    local order, orders = mp.Pipe()
    local child = start(ctx, function(conn, line)
      line:recv()
      conn:send("sent")
      line:recv()
    end, b, orders)
    local list = { child, a, child.sentinel, a:fileno(), order }
    assert.same({}, mp.wait(list, 0))
    order:send(1)
    assert.same({ a, a:fileno() }, mp.wait(list, LONG))
    assert.equal("sent", a:recv(LONG))
    assert.same({}, mp.wait(list, 0))
    order:send(1)
    repeat until #mp.wait({ child }, LONG) == 1
    assert.same({ child, list[3] }, mp.wait({ child, list[3] }))
  end)

  each_method("is woken by another process", function(ctx)
    local lines, ends = {}, {}
    for i = 1, 4 do
      local a, b = mp.Pipe()
      lines[i], ends[i] = b, a
    end
    start(ctx, function(conns)
      for i = 1, 100 do
        local conn = conns[i % #conns + 1]
        conn:send(i)
        conn:recv()
      end
    end, lines)
    for i = 1, 100 do
      local ready = mp.wait(ends, LONG)
      assert.same({ ends[i % 4 + 1] }, ready)
      assert.equal(i, ready[1]:recv(0))
      ready[1]:send(true)
    end
  end)

  each_method("wakes every process that waits", function(ctx)
    local a, b = mp.Pipe()
    local back, answers = mp.Pipe()
    local children = {}
    for i = 1, 3 do
      children[i] = start(ctx, function(conn, answer)
        answer:send("waits")
        local n = #mp.wait({ conn })
        answer:send("woken")
        return n
      end, a, answers)
    end
    for _ = 1, 3 do assert.equal("waits", back:recv(LONG)) end
    b:send("for one of you")
    for _ = 1, 3 do assert.equal("woken", back:recv(LONG)) end
    for _, child in ipairs(children) do
      child:join(LONG)
      assert.equal(1, child:result())
    end
    assert.equal("for one of you", a:recv(LONG))
  end)

  each_method("sees the writer killed, promptly", function(ctx)
    local a, b = mp.Pipe()
    local child = start(ctx, function(conn)
      conn:send("ready")
      conn:recv()
    end, b)
    b:close()
    assert.equal("ready", a:recv(LONG))
    assert.same({}, mp.wait({ a, child }, 0))
    local killer = start("fork", function() child:kill() end)
    local took, ready = elapsed(mp.wait, { a }, LONG)
    assert.same({ a }, ready)
    assert.is_true(took < PROMPT, took)
    assert.same({ nil, "closed" }, { a:recv(0) })
    assert.is_true(killer:join(LONG))
  end)

  each_method("sees a process killed, promptly", function(ctx)
    local a, b = mp.Pipe()
    local child = start(ctx, function(conn) conn:recv() end, b)
    local killer = start("fork", function() child:kill() end)
    local took, ready = elapsed(mp.wait, { child }, LONG)
    assert.same({ child }, ready)
    assert.is_true(took < PROMPT, took)
    assert.is_true(killer:join(LONG))
    assert.is_not_nil(a)
  end)
end)

describe("event loops:", function()
  it("fileno is one number while it is open", function()
    local a, b = mp.Pipe()
    local fd = a:fileno()
    assert.equal("integer", math.type(fd))
    assert.equal(fd, a:fileno())
    assert.equal(fd, a:getfd())
    assert.equal(fd, a:pollfd())
    assert.not_equal(fd, b:fileno())
  end)

  it("have the names that they look for", function()
    local reader, writer = mp.Pipe(false)
    assert.equal("r", reader:events())
    assert.equal("w", writer:events())
    assert.is_nil(reader:timeout())
    assert.is_false(reader:dirty())
    writer:send(1)
    assert.is_true(reader:dirty())
    assert.is_false(writer:dirty())
    reader:close()
    assert.is_false(reader:dirty())
  end)

  -- Is the descriptor readable?  Asked of the system, not of us.
  local function readable(fd)
    local ready = socket.select({ { getfd = function() return fd end } },
      nil, 0)
    return #ready == 1
  end

  with(socket, "luasocket", "readable exactly while recv would not block",
    function()
      local a, b = mp.Pipe()
      local fd = a:fileno()
      assert.is_false(readable(fd))
      b:send(1)
      assert.is_true(readable(fd))
      assert.is_true(readable(fd)) -- a level, not an edge
      b:send(2)
      assert.equal(1, a:recv(0))
      assert.is_true(readable(fd))
      assert.equal(2, a:recv(0))
      assert.is_false(readable(fd))
      assert.same({ nil, "timeout" }, { a:recv(0) })
      assert.is_false(readable(fd))
      b:send_bytes(("x"):rep(100000))
      assert.is_true(a:poll())
      assert.is_true(readable(fd))
      assert.equal(100000, #a:recv_bytes())
      assert.is_false(readable(fd))
      b:send(a) -- an end that names itself
      assert.is_true(readable(fd))
      assert.equal(a, a:recv(0))
      assert.is_false(readable(fd))
      b:close()
      assert.is_true(readable(fd))
      assert.same({ nil, "closed" }, { a:recv(0) })
      assert.is_true(readable(fd))
    end)

  with(socket, "luasocket", "readable at once for what came before",
    function()
      local a, b = mp.Pipe()
      b:send(1)
      assert.is_true(readable(a:fileno()))
      local x, y = mp.Pipe()
      y:close()
      assert.is_true(readable(x:fileno()))
    end)

  with(socket, "luasocket", "random steps keep the level", function()
    local a, b = mp.Pipe()
    local fd = a:fileno()
    local queued, sent = 0, 0
    local state = 42
    for _ = 1, 3000 do
      state = (state * 1103515245 + 12345) % 2 ^ 31 // 1
      if state // 65536 % 2 == 0 and queued < 20 then
        sent, queued = sent + 1, queued + 1
        b:send(sent % 7 == 0 and ("x"):rep(9000) or sent)
      else
        local _, reason = a:recv(0)
        assert.equal(queued == 0 and "timeout" or nil, reason)
        queued = math.max(queued - 1, 0)
      end
      assert.equal(queued > 0, readable(fd))
      assert.equal(queued > 0, a:poll())
    end
  end)

  -- What a loop does.  A ring may come late, when another look has found the
  -- message already, so a loop must expect "timeout".
  local function hear(conn)
    while true do
      local ready = socket.select({ conn }, nil, LONG)
      if #ready == 0 then return nil, "select heard nothing" end
      assert.equal(conn, ready[1])
      local value, reason = conn:recv(0)
      if reason ~= "timeout" then return value, reason end
    end
  end

  for method, ctx in helper.methods() do
    with(socket, "luasocket", "luasocket's select (" .. method .. ")",
      function()
        local a, b = mp.Pipe()
        assert.same({}, (socket.select({ a }, nil, 0)))
        start(ctx, function(conn)
          for i = 1, 50 do
            conn:send(i)
            conn:recv()
          end
        end, b)
        for i = 1, 50 do
          assert.equal(i, hear(a))
          a:send(i)
        end
      end)
  end

  local copas = find_copas()

  with(copas, "copas", "copas", function()
    local a, b = mp.Pipe()
    local got = {}
    -- What copas calls on a socket that is ready.
    local client = {
      getfd = function() return a:getfd() end,
      dirty = function() return a:dirty() end,
      receive = function()
        local value, reason = a:recv(0)
        return value, reason, ""
      end,
      close = function() a:close() end,
    }
    copas.addthread(function()
      for i = 1, 3 do got[i] = copas.receive(client) end
    end)
    start("fork", function()
      for i = 1, 3 do b:send("number " .. i) end
    end)
    while #got < 3 do copas.step(LONG) end
    assert.same({ "number 1", "number 2", "number 3" }, got)
  end)

  with(cqueues, "cqueues", "cqueues", function()
    local a, b = mp.Pipe()
    local loop = cqueues.new()
    local got = {}
    loop:wrap(function()
      for i = 1, 3 do
        while not a:poll() do cqueues.poll(a) end
        got[i] = a:recv(0)
      end
    end)
    start("fork", function()
      for i = 1, 3 do b:send("number " .. i) end
    end)
    assert(loop:loop(LONG))
    assert.same({ "number 1", "number 2", "number 3" }, got)
  end)

  with(luv, "luv", "luv", function()
    local a, b = mp.Pipe()
    local got = {}
    local watch = luv.new_poll(a:fileno())
    watch:start("r", function(err)
      assert.is_nil(err)
      local value, reason = a:recv(0)
      if not reason then
        got[#got + 1] = value
      elseif reason ~= "timeout" then
        watch:close()
      end
    end)
    local order, orders = mp.Pipe()
    start("fork", function()
      for i = 1, 3 do b:send("number " .. i) end
      b:close()
      orders:recv() -- stay
    end)
    b:close()
    luv.run()
    order:send("go")
    assert.same({ "number 1", "number 2", "number 3" }, got)
  end)

  for method, ctx in helper.methods() do
    for _, way in ipairs { "returns", "is killed" } do
      with(socket, "luasocket", ("hear of the end when the writer %s (%s)")
        :format(way, method), function()
          local a, b = mp.Pipe()
          local order, orders = mp.Pipe()
          local child = start(ctx, function(conn, line)
            conn:send("ready")
            line:recv()
          end, b, orders)
          b:close()
          assert.equal("ready", a:recv(LONG))
          a:fileno() -- the loop knows it before the end
          if way == "returns" then order:send(1) else child:kill() end
          local took, value, reason = elapsed(hear, a)
          assert.is_nil(value)
          assert.equal("closed", reason)
          assert.is_true(took < PROMPT, took)
        end)
    end
  end
end)
