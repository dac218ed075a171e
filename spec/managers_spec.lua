-- Managers: proxies, blocking calls, clients and servers that die, sockets.
local helper = require "helper"
local mp = require "mp"

local host = helper.host
local LONG = helper.LONG
local Process = mp.get_context("fork").Process

local manager -- one for most tests; started when first needed

local function start(f, ...) return Process(f, ...):start() end

--- Start f, and wait until it has said that it is where it should be.
local function start_at(f, ...)
  local reader, writer = mp.Pipe(false)
  local process = start(f, writer, ...)
  assert.is_true(reader:recv(LONG))
  reader:close()
  writer:close()
  return process
end

local function kill(process)
  process:kill()
  assert.is_true(process:join(LONG))
  process:close()
end

local keyed = helper.it_with "libcrypto"

describe("manager:", function()
  setup(function() manager = mp.Manager() end)

  teardown(function()
    manager:shutdown()
    manager = nil
    collectgarbage()
    collectgarbage()
  end)

  describe("dict", function()
    it("behaves as a table", function()
      local d = manager:dict { a = 1, [2] = "two" }
      d.b, d[1.5], d[true] = { 1, { 2 } }, "x", false
      assert.same({ 1, "two", { 1, { 2 } }, "x", false },
        { d.a, d[2], d.b, d[1.5], d[true] })
      assert.equal(5, #d)
      d.a = nil
      assert.is_nil(d.a)
      assert.equal(4, #d)
      local seen = {}
      for key, value in pairs(d) do seen[key] = value end
      assert.same(d:_value(), seen)
      assert.equal("two", seen[2])
    end)

    it("changes a key in one go", function()
      local d = manager:dict { n = 0 }
      local function count()
        for _ = 1, 50 do
          d:_update("n", function(n) return n + 1 end)
        end
      end
      local team = { start(count), start(count) }
      for _, process in ipairs(team) do process:join() end
      assert.equal(100, d.n)
      assert.equal(1, d:_setdefault("m", 1))
      assert.equal(1, d:_setdefault("m", 2))
      assert.equal(1, d:_pop("m"))
      assert.is_nil(d:_pop("m"))
      d:_merge { x = 1, y = 2 }
      local keys = d:_keys()
      table.sort(keys)
      assert.same({ "n", "x", "y" }, keys)
      d:_clear()
      assert.equal(0, #d)
    end)

    it("method names and bad keys are refused", function()
      local d = manager:dict()
      assert.has_error(function() d._value = 1 end)
      assert.error_matches(function() d[0 / 0] = 1 end, "key cannot be")
      assert.error_matches(function() manager:dict(3) end,
        "a table was expected")
    end)
  end)

  it("list behaves as a table", function()
    local l = manager:list { "a", "b" }
    l[3] = "c"
    l[#l + 1] = "d"
    local seen = {}
    for i, value in ipairs(l) do seen[i] = value end
    assert.same({ "a", "b", "c", "d" }, seen)
    assert.same(seen, l:_value())
    assert.error_matches(function() l[9] = 1 end, "out of range")
    assert.error_matches(function() l[1] = nil end, "out of range")
    l[4] = nil
    l:append("x", "y")
    l:insert(1, "first")
    assert.equal("y", l:pop())
    assert.equal("first", l:pop(1))
    l:extend { "p", "q" }
    l:sort(function(a, b) return a > b end)
    assert.same({ "x", "q", "p", "c", "b", "a" }, l:_value())
    assert.equal("XX", l:_update(1, function(v) return v:upper():rep(2) end))
    l:clear()
    assert.equal(0, #l)
    assert.is_nil(l:pop())
  end)

  it("set, Namespace, Value and Array", function()
    local s = manager:set { 1, 2, 2 }
    assert.is_true(s:add(3))
    assert.is_false(s:add(3))
    assert.is_true(s:has(1))
    assert.is_true(s:discard(1))
    assert.is_false(s:discard(1))
    assert.equal(2, #s)
    local values = s:values()
    table.sort(values)
    assert.same({ 2, 3 }, values)

    local ns = manager:Namespace { x = 1 }
    ns.y = "why"
    assert.same({ x = 1, y = "why" }, ns:_value())

    local v = manager:Value("i", 7)
    v.value = v.value + 1
    assert.equal(8, v:add(2))
    assert.equal(10, v:exchange(1))
    assert.same({ false, 1 }, { v:compare_exchange(5, 6) })
    assert.same({ true, 1 }, { v:compare_exchange(1, 6) })
    assert.error_matches(function() v.value = 1 << 31 end, "does not fit")
    assert.error_matches(function() v.value = "x" end, "does not fit")
    assert.error_matches(function() manager:Value("z", 1) end, "typecode")

    local a = manager:Array("d", 3)
    a[1], a[3] = 1.5, 2.5
    assert.same({ 1.5, 0.0, 2.5 }, a:_value())
    assert.equal(3, #a)
    assert.same({ 0.0, 2.5 }, a:slice(2, 3))
    a:fill(9, 1, 2)
    a:assign(3, { 4 })
    assert.same({ 9.0, 9.0, 4.0 }, manager:Array("d", a:_value()):_value())
    assert.error_matches(function() a[4] = 1 end, "out of range")
  end)

  it("proxies nest, travel, and are one object", function()
    local d, l = manager:dict(), manager:list()
    d.list = l
    d.deep = { { l } }
    assert.is_true(rawequal(d.list, l))
    assert.is_true(rawequal(d.deep[1][1], l))
    d.list:append(1)
    for _, ctx in helper.methods() do
      local process <close> = ctx.Process(function(dict, t)
        dict.list:append(t[1][1] ~= nil)
        return dict.list
      end, d, { { l } }):start()
      assert.is_true(rawequal(l, process:result(LONG)))
    end
    assert.same({ 1, true, true, true, true }, l:_value())
    assert.equal(5, d:_update("n", function() return #d.list end))
  end)

  it("the manager itself travels, as one that has been connected",
    function()
      for _, ctx in helper.methods() do
        local process <close> = ctx.Process(function(m)
          local l = m:list { 1, 2 }
          m:shutdown() -- only its owner can
          return l, m.dict ~= nil, m.nothing == nil
        end, manager):start()
        local l, known, unknown = process:result(LONG)
        assert.same({ { 1, 2 }, true, true }, { l:_value(), known, unknown })
      end
      assert.is_true(manager.process:is_alive())
    end)

  it("objects that nobody holds go away", function()
    local m <close> = mp.Manager()
    local kept = m:dict()
    for i = 1, 50 do kept[i] = m:list { i } end
    assert.equal(51, m:number_of_objects())
    for i = 2, 50 do kept[i] = nil end
    collectgarbage()
    collectgarbage()
    assert.equal(2, m:number_of_objects())
    assert.same({ 1 }, kept[1]:_value())
    local process = start_at(function(pipe)
      _G.held = { m:dict(), m:list() }
      pipe:send(true)
      host.sleep(100)
    end)
    assert.equal(4, m:number_of_objects())
    kill(process)
    helper.eventually(function()
      return m:number_of_objects() == 2
    end, LONG)
  end)

  describe("Lock", function()
    for _, kind in ipairs { "Lock", "RLock" } do
      it(kind .. ": one at a time, others wait for their turn", function()
        local lock = manager[kind](manager)
        assert.is_true(lock:acquire())
        local process <close> = start_at(function(pipe)
          local got, why = lock:acquire(0)
          pipe:send(got == false and why == "timeout")
          local held <close>, how = lock:guard()
          return lock:locked() and how == nil and held ~= nil
        end)
        lock:release()
        assert.is_true(process:result(LONG))
        assert.same({ false, "timeout" },
          { Process(function() return lock:acquire(0.02) end) and
            lock:acquire(0) and false, "timeout" })
        lock:release()
        assert.equal("in", lock:with(function() return "in" end))
        local guard = lock:guard()
        guard:release()
        guard:release() -- gives back once
        assert.error_matches(function() lock:release() end, "not held")
      end)

      it(kind .. ": comes back from a dead client, abandoned", function()
        local lock = manager[kind](manager)
        local process = start_at(function(pipe)
          lock:acquire()
          pipe:send(true)
          host.sleep(100)
        end)
        assert.same({ false, "timeout" }, { lock:acquire(0.01) })
        local killer = start(function()
          host.sleep(0.05)
          process:kill()
        end)
        local guard, how = lock:guard(LONG)
        assert.equal("abandoned", how)
        guard:release()
        assert.same({ true }, { lock:acquire(0) })
        killer:join()
        kill(process)
      end)
    end

    it("an RLock counts, and is its owner's to release", function()
      local lock = manager:RLock()
      assert.is_true(lock:acquire() and lock:acquire())
      lock:release()
      local process <close> = start(function()
        return pcall(lock.release, lock)
      end)
      assert.is_false(process:result(LONG))
      lock:release()
      assert.is_false(lock:locked())
    end)

    it("a Lock may be released by another", function()
      local lock = manager:Lock()
      lock:acquire()
      start(function() lock:release() end):join()
      assert.is_false(lock:locked())
    end)
  end)

  it("Semaphores: permits of the dead return", function()
    local s, b = manager:Semaphore(2), manager:BoundedSemaphore(1)
    local process = start_at(function(pipe)
      s:acquire()
      b:acquire()
      pipe:send(true)
      host.sleep(100)
    end)
    assert.same({ 1, 0 }, { s:get_value(), b:get_value() })
    kill(process)
    assert.is_true(b:acquire(LONG))
    assert.equal(2, s:get_value())
    b:release()
    assert.error_matches(function() b:release() end, "too often")
    s:release() -- without having taken one: it signals
    assert.equal(3, s:get_value())
  end)

  it("Condition: wait, notify, and a waiter that dies", function()
    local c, box = manager:Condition(), manager:dict { n = 0 }
    local function wait(pipe)
      c:acquire()
      pipe:send(true)
      local ok = c:wait_for(function() return box.n > 0 end)
      c:release()
      return ok
    end
    local team = { start_at(wait), start_at(wait), start_at(wait) }
    c:with(function() end) -- all of them wait by now
    kill(table.remove(team))
    box.n = 1
    c:acquire()
    c:notify(1)
    c:notify_all()
    c:release()
    for _, process in ipairs(team) do
      assert.is_true(process:result(LONG))
    end
    assert.error_matches(function() c:notify() end, "not held")
    c:acquire()
    assert.same({ false, "timeout" }, { c:wait(0.01) })
    assert.is_true(c:locked())
    c:release()
    local lock = manager:Lock()
    local on_lock = manager:Condition(lock)
    on_lock:acquire()
    assert.is_true(lock:locked())
    on_lock:release()
    assert.error_matches(function() manager:Condition(box) end, "Lock")
  end)

  it("Event", function()
    local e = manager:Event()
    assert.same({ false, "timeout" }, { e:wait(0.01) })
    local process <close> = start_at(function(pipe)
      pipe:send(true)
      return e:wait(LONG)
    end)
    e:set()
    assert.is_true(process:result(LONG))
    assert.is_true(e:is_set())
    e:clear()
    assert.is_false(e:is_set())
  end)

  it("Barrier: passes, breaks, is mended", function()
    local done = manager:list()
    local b = manager:Barrier(3, { action = function() done:append(1) end })
    local function arrive(pipe)
      pipe:send(true)
      return b:wait(LONG)
    end
    local one, two = start_at(arrive), start_at(arrive)
    local place = b:wait(LONG)
    local places = { place, one:result(LONG), (two:result(LONG)) }
    table.sort(places)
    assert.same({ 1, 2, 3 }, places)
    assert.same({ 3, 0, false }, { b.parties, b.n_waiting, b.broken })
    assert.equal(1, #done)
    assert.same({ nil, "timeout" }, { b:wait(0.01) })
    assert.same({ nil, "broken" }, { b:wait(0.01) })
    b:reset()
    local victim = start_at(arrive)
    helper.eventually(function() return b.n_waiting == 1 end)
    local other = start_at(arrive)
    helper.eventually(function() return b.n_waiting == 2 end)
    kill(victim)
    assert.same({ nil, "broken" }, { other:result(LONG) })
    one:close()
    two:close()
    other:close()
  end)

  it("Queue: order, bounds, waiting, the end", function()
    local q = manager:Queue(2)
    assert.is_true(q:put(1))
    q:put(nil)
    assert.same({ false, "full" }, { q:put(3, 0.01) })
    assert.same({ false, "full" }, { q:put_nowait(3) })
    assert.same({ 2, true, false }, { q:qsize(), q:full(), q:empty() })
    assert.equal(1, q:get())
    assert.same({ n = 1 }, table.pack(q:get()))
    assert.same({ nil, "empty" }, { q:get(0.01) })
    assert.same({ nil, "empty" }, { q:get_nowait() })
    local process <close> = start_at(function(pipe)
      pipe:send(true)
      return q:get(), select(2, q:get())
    end)
    q:put("item")
    helper.eventually(function() return q:empty() end)
    q:close()
    assert.same({ "item", "closed" }, { process:result(LONG) })
    assert.same({ false, "closed" }, { q:put(1) })
  end)

  it("JoinableQueue: items of the dead count as finished", function()
    local q = manager:JoinableQueue()
    q:put(1)
    q:put(2)
    assert.same({ false, "timeout" }, { q:join(0.01) })
    q:get()
    q:task_done()
    local process = start_at(function(pipe)
      q:get()
      pipe:send(true)
      host.sleep(100)
    end)
    kill(process)
    assert.same({ true, "lost" }, { q:join(LONG) })
    assert.same({ true }, { q:join(LONG) })
    assert.error_matches(function() q:task_done() end, "more often")
    process = start_at(function(pipe)
      q:put(1)
      q:put(2)
      q:get()
      pipe:send(true)
      host.sleep(100)
    end)
    q:task_done() -- what the other one had taken
    kill(process)
    assert.same({ false, "timeout" }, { q:join(0.05) })
    assert.equal(2, q:get())
    q:task_done()
    assert.same({ true }, { q:join(LONG) })
  end)

  it("Pool: on the server's workers, while others are served", function()
    local pool, d = manager:Pool(2), manager:dict()
    assert.equal(42, pool:apply(function(x) return x * 2 end, { 21 }))
    local squares = pool:map(function(x) return x * x end, { 1, 2, 3 })
    assert.same({ 1, 4, 9 }, { squares[1], squares[2], squares[3] })
    local gate = mp.Queue()
    local slow = pool:apply_async(function() return gate:get() end)
    assert.same({ nil, "timeout" }, { slow:get(0.01) })
    assert.is_false(slow:ready())
    local waiter <close> = start_at(function(pipe)
      pipe:send(true)
      return slow:get(LONG)
    end)
    d.x = 1
    assert.equal(1, d.x)
    gate:put("at last")
    assert.equal("at last", waiter:result(LONG))
    local failed = pool:apply_async(function() error { code = 3 } end)
    local ok, err = pcall(failed.get, failed, LONG)
    assert.is_false(ok)
    assert.same({ code = 3 }, err.message)
    pool:close()
    pool:join()
    assert.has_error(function() manager:Pool(-1) end)
  end)

  it("a blocked client holds up nobody", function()
    local q, lock, d = manager:Queue(), manager:Lock(), manager:dict()
    lock:acquire()
    local team = {}
    for i = 1, 10 do
      team[i] = start_at(function(pipe)
        pipe:send(true)
        if i % 2 == 0 then q:get() else lock:acquire() end
      end)
    end
    for i = 1, 100 do d[i] = i end
    assert.equal(100, #d)
    for _, process in ipairs(team) do kill(process) end
    lock:release()
    assert.is_true(lock:acquire(LONG))
    q:put("still there")
    assert.equal("still there", q:get(LONG))
  end)

  it("an interrupted call takes nothing along", function()
    for _, call in ipairs { "q:get()", "lock:acquire()" } do
      local out = helper.output([[
        local m <close> = mp.Manager()
        local q, lock = m:Queue(), m:Lock()
        lock:acquire()
        local p = mp.get_context "fork".Process(function(pid)
          host.sleep(0.1)
          host.kill(pid, 2)
        end, mp.current_process().pid):start()
        local ok, why = pcall(function() return ]] .. call .. [[ end)
        print(ok, (tostring(why):match("interrupted!")))
        p:join()
        q:put("kept")
        lock:release()
        print(q:get(1), q:qsize(), lock:locked())
        print(lock:acquire(1))]])
      assert.equal("false\tinterrupted!\nkept\t0\tfalse\ntrue\n", out)
    end
  end)

  it("errors come back with their traceback", function()
    local d = manager:dict()
    local ok, err = pcall(function()
      d:_update("x", function() error { code = 7 } end)
    end)
    assert.is_false(ok)
    assert.equal(mp.RemoteError, getmetatable(err))
    assert.same({ code = 7 }, err.message)
    assert.equal("string", type(err.traceback))
    assert.matches("SyncManager", err.process)
    ok, err = pcall(function()
      d:_update("x", function(v) return v.field end)
    end)
    assert.is_false(ok)
    assert.matches("attempt to index a nil value", tostring(err))
    assert.is_nil(d.x)
  end)

  it("a message that the server cannot read is an error of its sender's",
    function()
      local d = manager:dict()
      local ok, err = pcall(function()
        d.x = setmetatable({}, { __reduce = function()
          return error, "not here"
        end })
      end)
      assert.is_false(ok)
      assert.matches("could not read the message: .*not here", tostring(err))
      d.x = 1
      assert.equal(1, d.x)
    end)
end)

describe("the server", function()
  it("dies: calls before, inside and after raise ProcessDied", function()
    local m = mp.Manager()
    local q, d = m:Queue(), m:dict()
    local process <close> = start_at(function(pipe)
      pipe:send(true)
      local ok, err = pcall(q.get, q)
      return ok, getmetatable(err) == mp.ProcessDied, err.exitcode
    end)
    host.sleep(0.05)
    m.process:kill()
    assert.same({ false, true, -9 }, { process:result(LONG) })
    local ok, err = pcall(function() return d.x end)
    assert.is_false(ok)
    assert.equal(mp.ProcessDied, getmetatable(err))
    assert.equal(-9, err.exitcode)
    assert.equal(m.process.pid, err.pid)
    m:shutdown()
  end)

  it("dies in the middle of calls: all hear of it, none is repeated [C5]",
    function()
      local function call(pipe, value)
        local answered, ok, err = 0, true, nil
        while ok do
          ok, err = pcall(value.add, value, 1)
          if ok then answered = answered + 1 end
          if answered == 10 then pipe:send(true) end
        end
        return getmetatable(err) == mp.ProcessDied, answered
      end
      for _ = 1, 10 do
        local seen = mp.Value("q", 0) -- counts where it outlives the server
        local Counting = mp.managers.BaseManager:extend()
        Counting:register("Counter", function()
          return { add = function() seen:add(1) end }
        end)
        local m = Counting():start()
        local counter = m:Counter()
        local team = { start_at(call, counter), start_at(call, counter) }
        m.process:kill()
        local answered = 0
        for _, process in ipairs(team) do
          local died, n = process:result(LONG)
          assert.is_true(died)
          answered = answered + n
          process:close()
        end
        -- One call at most of each was done and not answered.
        assert.is_true(seen.value >= answered)
        assert.is_true(seen.value <= answered + #team)
        m:shutdown()
      end
    end)

  it("dies with many that wait: all hear of it [C5]", function()
    local m = mp.Manager()
    local lock, q, e = m:Lock(), m:Queue(), m:Event()
    lock:acquire()
    local team = {}
    for i = 1, 12 do
      team[i] = start_at(function(pipe)
        pipe:send(true)
        local ok, err = pcall(({ lock.acquire, q.get, e.wait })[i % 3 + 1],
          ({ lock, q, e })[i % 3 + 1])
        return ok, getmetatable(err) == mp.ProcessDied
      end)
    end
    m.process:kill()
    for _, process in ipairs(team) do
      assert.same({ false, true }, { process:result(LONG) })
      process:close()
    end
    m:shutdown()
  end)

  it("keeps nothing of 1000 clients that are killed [C7]", function()
    helper.slow(60)
    local m <close> = mp.Manager()
    local shared = m:dict()
    for _ = 1, 20 do
      local batch = {}
      for i = 1, 50 do
        batch[i] = start(function()
          local mine = {}
          while true do
            mine[#mine % 5 + 1] = m:list { m:dict() }
            shared[i] = #mine
          end
        end)
      end
      for _, process in ipairs(batch) do process:kill() end
      for _, process in ipairs(batch) do
        process:join()
        process:close()
      end
    end
    helper.eventually(function() return m:number_of_objects() == 1 end, LONG)
    shared.x = "served"
    assert.equal("served", shared.x)
  end)

  it("keeps no lock that is gone for those that held it", function()
    local m <close> = mp.Manager()
    local d = m:dict { kb = 0 }
    local function held()
      return d:_update("kb", function()
        collectgarbage()
        collectgarbage()
        return collectgarbage("count")
      end)
    end
    local function use(n)
      for _ = 1, n do
        local lock = m:Lock()
        lock:acquire()
        lock:release()
      end
      collectgarbage()
      collectgarbage()
      assert.equal(1, m:number_of_objects())
    end
    use(100)
    local before = held()
    use(1000)
    assert.is_true(held() - before < 150)
  end)

  it("ends with its manager, and not before its proxies", function()
    local m = mp.Manager()
    local process = m.process
    local d = m:dict { x = 1 }
    m = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.equal(1, d.x)
    d = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.is_true(process:join(LONG))
    m = mp.Manager()
    process = m.process
    m:shutdown()
    assert.equal(0, process.exitcode)
    m:shutdown()
  end)

  it("ends with a killed owner", function()
    local script <close> = helper.start([[
      local m = mp.Manager()
      print(m.process.pid)
      io.stdout:flush()
      host.sleep(100)]])
    local pid = tonumber(script:line())
    script:kill(helper.SIGKILL)
    helper.eventually(function() return not helper.runs(pid) end, LONG)
  end)

  it("runs an init function; one that fails is told", function()
    local m <close> = mp.managers.SyncManager():start(function(x)
      _G.answer = x
    end, 42)
    local d = m:dict()
    assert.equal(42, d:_update("x", function() return _G.answer end))
    assert.error_matches(function()
      mp.managers.SyncManager():start(function() error("no init") end)
    end, "no init")
  end)
end)

describe("registered types", function()
  local Counters = mp.managers.BaseManager:extend()
  Counters:register("Counter", function(from)
    local Counter = {}
    Counter.__index = Counter
    function Counter:add(n) self.n = self.n + n return self.n end
    function Counter:fail() error("on purpose: " .. self.n) end
    function Counter._private() end
    return setmetatable({ n = from, name = "c" }, Counter)
  end)

  it("methods are called on the server, fields are read there", function()
    local m <close> = Counters():start()
    local c = m:Counter(5)
    assert.equal(7, c:add(2))
    assert.same({ 7, "c" }, { c.n, c.name })
    c.name = "d"
    assert.equal("d", c.name)
    local process <close> = start(function() return c:add(1) end)
    assert.equal(8, process:result(LONG))
    assert.error_matches(function() c:fail() end, "on purpose: 8")
    assert.has_error(function() return c._private end)
    assert.matches("Counter", tostring(c))
    assert.is_nil(m.dict)
    assert.has_error(function() Counters():Counter() end)
  end)

  keyed("over a socket: who connects needs no constructor", function()
    local m <close> = assert(Counters { address = { "127.0.0.1", 0 },
      authkey = "k" }:start())
    local Visitors = mp.managers.BaseManager:extend()
    Visitors:register("Counter")
    local r = assert(Visitors { address = m.address, authkey = "k" }:connect())
    local c = r:Counter(1)
    assert.same({ 3, 3, "c" }, { c:add(2), c.n, c.name })
    assert.error_matches(function() c:fail() end, "on purpose: 3")
    assert.error_matches(function() Visitors():Counter(1) end, "not started")
  end)

  it("registration is checked", function()
    assert.has_error(function() Counters:register("start", print) end)
    assert.has_error(function() Counters:register("x", 12) end)
    assert.has_error(function() Counters:register() end)
    assert.has_error(function() Counters { addres = "/tmp/x" } end)
  end)
end)

describe("SharedMemoryManager:", function()
  it("its blocks go away with it", function()
    local m = mp.managers.SharedMemoryManager():start()
    local block, list = m:SharedMemory(100), m:ShareableList { 1, "two" }
    block.buf:write(0, "hello")
    local name, list_name = block.name, list.shm.name
    local process <close> = start(function()
      local same = mp.shared_memory.SharedMemory { name = name }
      local text = same.buf:read(0, 5)
      same:close()
      return text
    end)
    assert.equal("hello", process:result(LONG))
    assert.same({ 1, "two" }, { list[1], list[2] })
    block:close()
    list.shm:close()
    m:shutdown()
    for _, gone in ipairs { name, list_name } do
      assert.is_nil((mp.shared_memory.SharedMemory { name = gone }))
    end
  end)
end)

describe("over a socket:", function()
  local KEY = "manager key"
  local SyncManager = mp.managers.SyncManager

  local function serve(opts)
    opts = opts or {}
    opts.address = opts.address or { "127.0.0.1", 0 }
    opts.authkey = opts.authkey or KEY
    return assert(SyncManager(opts):start())
  end

  local function reach(m, opts)
    opts = opts or {}
    opts.address, opts.authkey = m.address, opts.authkey or KEY
    return assert(SyncManager(opts):connect())
  end

  keyed("a remote client has the same objects", function()
    local m <close> = serve()
    local r = reach(m)
    local d = r:dict { a = 1 }
    d.b = { 1, 2 }
    assert.same({ 1, { 1, 2 }, 2 }, { d.a, d.b, #d })
    local l = r:list { 1 }
    d.l = l
    assert.is_true(rawequal(l, d.l))
    d.l:append(2)
    assert.same({ 1, 2 }, l:_value())
    local q = r:Queue()
    local process <close> = start(function() return q:get(LONG) end)
    q:put("through")
    assert.equal("through", process:result(LONG))
    assert.error_matches(function() l[7] = 1 end, "out of range")
    local ok, err = pcall(function()
      d:_update("a", function() return 1 end)
    end)
    assert.is_false(ok)
    assert.matches("code, refused", tostring(err))
    assert.equal(1, d.a)
  end)

  keyed("any process can be a server", function()
    local reader, writer = mp.Pipe(false)
    local process = start(function()
      local server = assert(SyncManager { address = { "127.0.0.1", 0 },
        authkey = KEY }:get_server())
      writer:send(server.address)
      server:serve_forever()
    end)
    local r = assert(SyncManager { address = reader:recv(LONG),
      authkey = KEY }:connect())
    local d = r:dict { a = 1 }
    assert.equal(1, d.a)
    kill(process)
    assert.error_matches(function() return d.a end, "exit code 255")
  end)

  keyed("functions go where they are trusted", function()
    local m <close> = serve { trusted = true }
    local r = reach(m, { trusted = true })
    local d = r:dict { a = 1 }
    assert.equal(2, d:_update("a", function(n) return n + 1 end))
  end)

  keyed("a wrong key is refused, a taken address too", function()
    local m <close> = serve()
    assert.same({ nil, "auth: wrong key" }, { SyncManager { authkey = "no",
      address = m.address }:connect() })
    local other, message = SyncManager { address = m.address,
      authkey = KEY }:start()
    assert.is_nil(other)
    assert.matches("in use", message)
  end)

  keyed("what a dead client held comes back", function()
    local m <close> = serve()
    local lock = m:Lock()
    local before = m:number_of_objects()
    local process = start_at(function(pipe)
      local r = reach(m)
      local mine = r:dict()
      mine.lock = r:Lock()
      _G.held = { mine, mine.lock }
      mine.lock:acquire()
      pipe:send(mine ~= nil)
      host.sleep(100)
    end)
    assert.equal(before + 2, m:number_of_objects())
    kill(process)
    helper.eventually(function()
      return m:number_of_objects() == before
    end, LONG)
    assert.is_true(lock:acquire(LONG))
  end)

  keyed("a lock of a dead client comes back abandoned [C6]", function()
    local m <close> = serve()
    local lock = m:Lock()
    local shared = m:dict { lock = lock }
    local process = start_at(function(pipe)
      local r = reach(m)
      local mine = r:dict()
      mine.x = shared.lock ~= nil
      assert(lock:acquire())
      pipe:send(true)
      host.sleep(100)
    end)
    kill(process)
    assert.same({ true, "abandoned" }, { lock:acquire(LONG) })
  end)

  keyed("the address of a manager of the family opens on demand", function()
    local m <close> = mp.Manager()
    assert.matches("^/", m.address)
    local r = SyncManager { address = m.address }:connect()
    local d = r:dict { a = 1 }
    assert.equal(1, d.a)
    assert.is_nil(tostring(m):find(KEY, 1, true))
  end)

  keyed("the server's end is ProcessDied", function()
    local m = serve()
    local d = reach(m):dict()
    m.process:kill()
    m.process:join()
    local ok, err = pcall(function() return d.x end)
    assert.is_false(ok)
    assert.equal(mp.ProcessDied, getmetatable(err))
    m:shutdown()
  end)

  keyed("hostile and silent clients hold up nobody", function()
    local m <close> = serve()
    local d = m:dict { a = 1 }
    local crowd = {}
    for i = 1, 40 do
      local conn = assert(mp.connection.Client { address = m.address,
        authkey = i % 2 == 0 and KEY or nil, trusted = true })
      if i % 4 == 0 then conn:send_bytes("\255garbage") end
      if i % 4 == 1 then conn:send_bytes(("x"):rep(10000)) end
      if i % 4 == 2 then conn:send { 1, 2, 3 } end
      crowd[i] = conn
    end
    local r = reach(m)
    local mine = r:dict { b = 2 }
    assert.same({ 1, 2 }, { d.a, mine.b })
    for _, conn in ipairs(crowd) do conn:close() end
    assert.same({ 1, 2 }, { d.a, mine.b })
  end)

  keyed("many clients: all that they held is given back", function()
    local m <close> = serve()
    local before = m:number_of_objects()
    local process = start_at(function(pipe)
      local links = {}
      for i = 1, 200 do
        local conn = assert(mp.connection.Client { address = m.address,
          authkey = KEY, trusted = true })
        conn:recv()
        conn:send { 1, 0, "create", 1, "dict" }
        if i % 2 == 0 then conn:recv() end
        if i % 3 == 0 then conn:send_bytes("cut off") end
        links[i] = conn
      end
      _G.held = links
      pipe:send(true)
      host.sleep(100)
    end)
    kill(process)
    helper.eventually(function()
      return m:number_of_objects() == before
    end, LONG)
  end)
end)
