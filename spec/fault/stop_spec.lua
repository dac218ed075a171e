-- A process is stopped inside a lock of the core's: what Lua programs see.
-- Needs a luamp with fault points; stop_test.c has all the places.
local helper = require "helper"

local OUT = os.getenv("OUT") or "build"
local faulty = (os.getenv("LUAMP") or ""):find("/fault/", 1, true)
  and os.getenv("LUAMP") or OUT .. "/fault/bin/luamp"

-- stopped(f) -> a child that f stops at the fault point
local STOPPED = [[
  local function is_stopped(p)
    local file <close> = assert(io.open("/proc/" .. p.pid .. "/stat"))
    return file:read("a"):find("%) T") ~= nil
  end
  local function stopped(f)
    local p = mp.get_context "fork".Process(f):start()
    while not is_stopped(p) do host.sleep(0.001) end
    return p
  end
]]

local function works(point, text)
  assert.equal("ok\n", helper.output(STOPPED .. text .. " print 'ok'",
    { program = faulty, before = "MP_STOP=" .. point }))
end

describe("a process that is stopped in a lock", function()
  it("E5 of a queue: timeouts hold, Ctrl-C comes, the item is there",
    function()
      works("queue.put.copied:2", [[
        local q = mp.Queue()
        local p = stopped(function() q:put "a" q:put "b" end)
        local ok, why = q:put("c", 0.05)
        assert(not ok and why == "full", why)
        ok, why = q:put_nowait "c"
        assert(not ok and why == "full", why)
        assert(q:get(0) == "a")
        assert(select(2, q:get(0.05)) == "empty")
        os.execute(("(sleep 0.2; kill -INT %d) &"):format(host.getpid()))
        ok, why = pcall(q.put, q, "c")
        assert(not ok and why:find "interrupted!", why)
        assert(is_stopped(p))
        host.kill(p.pid, 18)
        assert(p:join() and p.exitcode == 0)
        assert(q:get() == "b" and q:qsize() == 0)]])
    end)

  it("E5 of the family: what needs it says so in time, the rest goes on",
    function()
      works("vault.sent:1", [[
        local q, s, c = mp.Queue(), mp.Semaphore(2), mp.Condition()
        local e, l = mp.Event(), mp.Lock()
        local big = ("x"):rep(20000)
        local p = stopped(function() q:fileno() end)
        assert(q:put(1) and q:get() == 1)
        assert(select(2, q:put(big, 0.05)) == "full")
        assert(s:acquire(0) and s:release() == nil)
        assert(l:acquire(0) and l:release() == nil)
        assert(select(2, e:wait(0.05)) == "timeout")
        c:acquire()
        assert(select(2, c:wait(0.05)) == "timeout")
        c:release()
        assert(select(2, p:join(0.05)) == "timeout")
        do local dropped <close> = s:guard() end
        collectgarbage()
        os.execute(("(sleep 0.2; kill -INT %d) &"):format(host.getpid()))
        local ok, why = pcall(q.put, q, big)
        assert(not ok and why:find "interrupted!", why)
        assert(is_stopped(p))
        host.kill(p.pid, 18)
        assert(p:join() and p.exitcode == 0)
        assert(q:put(big) and q:get() == big)]])
    end)

  it("E5 of the family: the timeouts of pools and waits hold", function()
    works("vault.sent:1", [[
      local q, long = mp.Queue(), { ("x"):rep(20000) }
      local pool = mp.Pool(1)
      local worker = pool:apply(host.getpid)
      local answering = mp.Process(function() return q end):start()
      host.sleep(0.1)
      local p = stopped(function() q:fileno() end)
      host.kill(worker, 9)
      local from = host.now()
      local later = pool:apply_async(math.abs, { -1 })
      assert(select(2, later:get(0.1)) == "timeout")
      assert(select(2, later:wait(0.1)) == "timeout")
      local list, why = pool:map(string.len, long, { timeout = 0.1 })
      assert(not list and why == "timeout", why)
      local step = pool:imap(string.len, long, { timeout = 0.1 })
      local ok, what = pcall(step)
      assert(not ok and what == "timeout", what)
      assert(#mp.wait({ q, later }, 0.1) == 0)
      assert(select(2, answering:result(0.1)) == "timeout")
      os.execute(("(sleep 0.2; kill -INT %d) &"):format(host.getpid()))
      ok, what = pcall(later.get, later)
      assert(not ok and what:find "interrupted!", what)
      assert(host.now() - from < 3)
      assert(is_stopped(p))
      host.kill(p.pid, 18)
      assert(answering:result() == q)
      assert(later:get() == 1 and select(2, step()) == 20000)
      pool:terminate()
      pool:join()]])
  end)

  it("E5 of a semaphore, in release, too", function()
    works("sem.taken:2", [[
      local s = mp.Semaphore(3)
      assert(s:acquire())
      local p = stopped(function() s:acquire() end)
      assert(select(2, s:acquire(0.05)) == "timeout")
      os.execute(("(sleep 0.2; kill -INT %d) &"):format(host.getpid()))
      local ok, why = pcall(s.release, s)
      assert(not ok and why:find "interrupted!", why)
      assert(is_stopped(p))
      host.kill(p.pid, 18)
      assert(p:join() and p.exitcode == 0)
      s:release()
      assert(s:get_value() == 3)]])
  end)
end)

describe("a fork server's child that has yet to begin", function()
  it("E3 hears Ctrl-C", function()
    works("server.child:1", [[
      local p = mp.get_context "forkserver".Process(function()
        while true do host.sleep(0.01) end
      end):start()
      while not is_stopped(p) do host.sleep(0.001) end
      host.kill(p.pid, 2)
      host.kill(p.pid, 18)
      assert(p:join(5))
      assert(p.exitcode == 1, p.exitcode)]])
  end)
end)
