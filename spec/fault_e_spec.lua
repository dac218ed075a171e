-- E: signals and time.
local helper = require "helper"
local scripts = require "scripts"

local host = helper.host
local works = scripts.works ""

-- What waits for something that does not come: wait(timeout) -> answer.
local WAITS = [[
  local full = mp.Queue(1)
  full:put(1)
  local a, b = mp.Pipe()
  local held = mp.Lock()
  local owner = mp.Process{ daemon = true, target = function()
    held:acquire()
    b:send "held"
    require "host".sleep(1000)
  end }
  owner:start()
  a:recv()
  local todo = mp.JoinableQueue()
  todo:put(1)
  local waits = {
    join = function(t) return owner:join(t) end,
    result = function(t) return owner:result(t) end,
    wait = function(t) return #mp.wait({ owner, a }, t) == 1 end,
    recv = function(t) return a:recv(t) end,
    poll = function(t) return a:poll(t) end,
    get = function(t) return mp.Queue():get(t) end,
    put = function(t) return full:put(2, t) end,
    acquire = function(t) return held:acquire(t) end,
    event = function(t) return mp.Event():wait(t) end,
    finished = function(t) return todo:join(t) end,
  }
]]
local DONE = [[
  owner:kill()
  owner:join()
]]

describe("signals:", function()
  it("E1 a thousand alarms a second disturb no wait and no transfer",
    function()
      works(WAITS .. [[
        local n = 0
        host.signal(14, function() n = n + 1 end)
        host.alarm(0.001, 0.001)
        for name, wait in pairs(waits) do
          local before = host.now()
          local ok, answer = pcall(wait, 0.1)
          assert(not ok or not answer, name)
          assert(host.now() - before >= 0.1, name)
        end
        local q, c, d = mp.Queue(4), mp.Pipe()
        local body = ("x"):rep(20000)
        local p = mp.Process(function()
          for i = 1, 300 do q:put{ i, body } end
          d:send(("y"):rep(1 << 24))
        end):start()
        for i = 1, 300 do
          local item = q:get()
          assert(item[1] == i and item[2] == body)
        end
        assert(#c:recv() == 1 << 24)
        assert(p:join() and p.exitcode == 0)
        local pool = mp.Pool(2)
        local list = {}
        for i = 1, 200 do list[i] = i end
        assert(pool:map(function(x) return x * 2 end, list)[200] == 400)
        pool:close()
        pool:join()
        host.alarm(0)
        assert(n > 50, n)]] .. DONE)
    end)

  it("E2 SIGPIPE ends nobody, and is the host's as it was", function()
    works[[
      assert(host.disposition(13) == "default")
      for _, how in ipairs{ "pipe", "socket" } do
        local r, w = host.pipe()
        local listener, c, d
        if how == "pipe" then
          c = mp.connection.Connection(w, false, true)
          host.close(r)
        else
          listener = mp.connection.Listener()
          local there = mp.Process(function()
            mp.connection.Client{ address = listener.address }:close()
          end)
          there:start()
          c = listener:accept(5)
          there:join()
          listener:close()
          host.close(r)
          host.close(w)
        end
        local sent, why
        for _ = 1, 100 do
          sent, why = c:send "x"
          if not sent then break end
        end
        assert(not sent and why == "closed", why)
        c:close()
      end
      local a, b = mp.Pipe()
      b:close()
      assert(a:send(1) == false)
      assert(host.disposition(13) == "default")]]
  end)

  it("E4 SIGTERM ends a program as it does, and its daemons with it",
    function()
      local s <close> = helper.start[[
        for _, method in ipairs{ "fork", "spawn", "forkserver" } do
          local p = mp.get_context(method).Process{ daemon = true,
            target = function() require "host".sleep(1000) end }:start()
          print(p.pid)
        end
        print "up"
        io.stdout:flush()
        mp.wait({ mp.Pipe() }, 1000)]]
      local pids = { s:line(), s:line(), s:line() }
      assert.equal("up", s:line())
      s:kill(helper.SIGTERM)
      assert.equal(-helper.SIGTERM, (s:wait()))
      for _, pid in ipairs(pids) do
        helper.eventually(function() return not helper.runs(pid) end, 5)
      end
    end)

  it("E5 a stopped process is not taken for dead, and goes on later",
    function()
      works[[
        for _, method in ipairs{ "fork", "spawn", "forkserver" } do
          local q, l = mp.Queue(), mp.Lock()
          local a, b = mp.Pipe()
          local p = mp.get_context(method).Process(function()
            l:acquire()
            b:send "has it"
            local x = q:get()
            l:release()
            b:send(x)
          end):start()
          assert(a:recv() == "has it")
          host.kill(p.pid, 19)
          local before = host.now()
          assert(not l:acquire(0.2))
          assert(not p:join(0.2) and p:is_alive() and p.exitcode == nil)
          assert(a:recv(0.2) == nil)
          assert(host.now() - before >= 0.6)
          q:put "x"
          host.kill(p.pid, 18)
          assert(a:recv() == "x")
          local ok, why = l:acquire()
          assert(ok and why == nil, why)
          l:release()
          assert(p:join() and p.exitcode == 0)
        end]]
    end)

  it("E6 a Lua signal handler may use everything", function()
    works[[
      local e, q, l = mp.Event(), mp.Queue(), mp.Lock()
      local n = 0
      host.signal(10, function()
        n = n + 1
        q:put(n)
        if l:acquire(0) then l:release() end
        if n == 20 then e:set() end
      end)
      local me = host.getpid()
      local p = mp.Process(function()
        local sys = require "host"
        while not e:is_set() do
          sys.kill(me, 10)
          sys.sleep(0.002)
        end
      end):start()
      for i = 1, 20 do assert(q:get() == i) end
      assert(e:wait(5))
      p:join()
      assert(p.exitcode == 0)]]
  end)
end)

describe("time:", function()
  it("E7 nothing asks for the wall clock", function()
    local log = os.tmpname()
    works(WAITS .. [[
      for _, wait in pairs(waits) do pcall(wait, 0.02) end
      local pool = mp.Pool(1)
      assert(pool:apply(function() return 1 end) == 1)
      pool:close()
      pool:join() ]] .. DONE, { before = "strace -f -qq -o " .. log
      .. " -e trace=futex,futex_waitv,clock_gettime,gettimeofday,"
      .. "timerfd_create,clock_nanosleep,time" })
    local text = helper.slurp(log)
    os.remove(log)
    assert.matches("futex", text)
    -- the specs' own sleep is relative
    for _, word in ipairs{ "FUTEX_CLOCK_REALTIME", "gettimeofday",
      "CLOCK_REALTIME, TIMER_ABSTIME", "timerfd_create%(CLOCK_REALTIME",
      "clock_gettime%(CLOCK_REALTIME", "FUTEX2.*CLOCK_REALTIME" } do
      assert.not_matches(word, text)
    end
  end)

  it("E8 a pause of the whole program only lengthens its waits", function()
    local s <close> = helper.start(WAITS .. [[
      print "up"
      io.stdout:flush()
      for name, wait in pairs(waits) do
        local before = host.now()
        local ok, answer = pcall(wait, 0.05)
        assert(not ok or not answer, name)
        assert(host.now() - before >= 0.05, name)
      end
      local p = mp.Process(function(x) return x + 1 end, 1):start()
      assert(p:result() == 2) ]] .. DONE .. [[
      print "ok"
      io.stdout:flush()]])
    assert.equal("up", s:line())
    for _ = 1, 5 do
      s:kill_all(helper.SIGSTOP)
      host.sleep(0.1)
      s:kill_all(helper.SIGCONT)
      host.sleep(0.05)
    end
    assert.equal("ok", s:line())
    assert.equal(0, (s:wait()))
  end)

  it("E9 timeouts of every kind mean what they say, everywhere", function()
    works(WAITS .. [[
      for name, wait in pairs(waits) do
        for _, t in ipairs{ 0, -1, -1e300, -math.huge, math.mininteger,
          1e-300 } do
          local before = host.now()
          local ok, answer = pcall(wait, t)
          assert(not ok or not answer, name)
          assert(host.now() - before < 5, name)
        end
        for _, t in ipairs{ 0 / 0, "soon", {}, true } do
          local ok, why = pcall(wait, t)
          why = tostring(why)
          assert(not ok and why:find "bad argument"
            and (why:find "seconds" or why:find "timeout"), name .. why)
        end
      end
      -- without an end: something comes
      local e = mp.Event()
      local p = mp.Process(function()
        require "host".sleep(0.05)
        e:set()
      end):start()
      for _, t in ipairs{ math.huge, 1e300, math.maxinteger, 1e10 } do
        assert(e:wait(t))
        assert(p:join(t))
        assert(mp.wait({ p }, t)[1] == p)
        local q = mp.Queue(1)
        assert(q:put(1, t) and q:get(t) == 1)
        assert(mp.Lock():acquire(t))
      end ]] .. DONE)
  end)
end)
