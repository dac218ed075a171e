-- F: who is who, and hosts that do as they please.
local helper = require "helper"
local scripts = require "scripts"

local works, strace = scripts.works(scripts.WORK), scripts.strace

describe("hosts:", function()
  it("F3 with threads that reap whatever child there is steal no code",
    function()
      works[[
        host.threads(2)
        local seen = 0
        host.signal(17, function()
          while (host.waitpid(-1, true) or 0) > 0 do seen = seen + 1 end
        end)
        host.signal(14, function()
          while (host.waitpid(-1, true) or 0) > 0 do seen = seen + 1 end
        end)
        host.alarm(0.001, 0.001)
        for _ = 1, 5 do work() end
        host.alarm(0)]]
      works[[ host.threads(2) host.signal(17, "ignore") work() ]]
    end)

  it("F3 with threads that were faster than join: it ends all the same",
    function()
      works[[
        host.threads(2) -- so that fork has to be the C library's
        local stolen = 0
        host.signal(17, function()
          while (host.waitpid(-1, true) or 0) > 0 do stolen = stolen + 1 end
        end)
        local fork = mp.get_context "fork"
        local p = fork.Process(os.exit, 3):start()
        while stolen < 1 do end
        assert(p:join() and p.exitcode == 3 and not p:is_alive())
        p = fork.Process(function() host.sleep(1000) end):start()
        host.kill(p.pid, 9) -- as somebody else would: we do not know of it
        while stolen < 2 do end
        assert(not p:is_alive() and p:join() and #mp.wait({ p }) == 1)
        assert(p.exitcode == 255 or p.exitcode == -9, p.exitcode) -- lost
        local ok, why = pcall(p.result, p)
        assert(not ok and getmetatable(why) == mp.ProcessDied)
        p = fork.Process(function() host.sleep(1000) end):start()
        p:kill()
        while stolen < 3 do end
        assert(p:join() and p.exitcode == -9)
        assert(#mp.active_children() == 0)]]
    end)

  it("F5 that never join have no zombies, nor leave any", function()
    works[[
      local function zombies()
        local n = 0
        for _, tid in ipairs(host.list "/proc/self/task") do
          local f <close> = io.open("/proc/self/task/" .. tid .. "/children")
          for pid in (f and f:read "a" or ""):gmatch "%d+" do
            local s <close> = io.open("/proc/" .. pid .. "/stat")
            local state = s and s:read("a"):match "%) (%a)"
            if state == "Z" then n = n + 1 end
          end
        end
        return n
      end
      for _, method in ipairs{ "fork", "spawn", "forkserver" } do
        local ctx = mp.get_context(method)
        for i = 1, 10 do
          local p = ctx.Process(function() end):start()
          if i % 2 == 0 then p = nil collectgarbage() end
        end
        local deadline = host.now() + 5
        while #mp.active_children() > 0 do
          assert(host.now() < deadline, method)
          host.sleep(0.005)
        end
        assert(zombies() == 0, method)
      end]]
    local s <close> = helper.start[[
      for _, method in ipairs{ "fork", "spawn", "forkserver" } do
        print(mp.get_context(method).Process(function() end):start().pid)
      end]]
    local pids = { s:line(), s:line(), s:line() }
    s:wait()
    for _, pid in ipairs(pids) do
      helper.eventually(function()
        return helper.status(pid, "State") == nil
      end)
    end
  end)

  it("F8 see a process that has just ended as gone", function()
    for n = 2, 5 do -- the first is a look whether there is such a call
      works([[
        for _, method in ipairs{ "fork", "spawn", "forkserver" } do
          local a, b = mp.Pipe()
          local p = mp.get_context(method).Process(function()
            b:close()
          end):start()
          b:close()
          assert(a:recv() == nil)
          host.sleep(0.05)
          p:kill()
          p:terminate()
          assert(p:join(5) and not p:is_alive(), method)
          assert(p.exitcode == 0 or p.exitcode == -9, p.exitcode)
        end]], strace("pidfd_open:error=EINVAL:when=" .. n))
    end
  end)

  it("F9 with a PID namespace of their own start and join, too", function()
    if not scripts.is_root() then pending "only root may" end
    works([[
      mp.Process():start():join()
      assert(host.unshare_pid())
      local p = mp.Process(function()
        return require "host".getpid(), mp.current_process().name
      end):start()
      local ok, why = pcall(p.result, p)
      assert(ok and why == 1 or tostring(why):find "amespace", why)]],
      { before = helper.leaks_unseen })
  end)
end)

describe("pids:", function()
  it("F7 whoever has a dead one's pid owns nothing of its", function()
    local same = helper.output[[
      local l, r = mp.Lock(), mp.RLock()
      local a, b = mp.Pipe()
      local same = 0
      local ctx = mp.get_context "fork"
      for _ = 1, 100 do
        local p = ctx.Process(function()
          l:acquire()
          r:acquire()
          b:send "has them"
          require "host".sleep(1000)
        end):start()
        a:recv()
        p:kill()
        p:join()
        local f <close> = io.open("/proc/sys/kernel/ns_last_pid", "w")
        if f then
          f:write(p.pid - 1)
          f:flush()
        end
        local q = ctx.Process(function()
          local free = pcall(r.release, r)
          local _, first = l:acquire(5)
          local _, second = r:acquire(5)
          l:release()
          r:release()
          return free, first, second
        end):start()
        local free, first, second = q:result()
        assert(not free and first == "abandoned" and second == "abandoned")
        assert(p.exitcode == -9 and not p:is_alive())
        if q.pid == p.pid then same = same + 1 end
        if same == 3 then break end
      end
      print(same)]]
    if same == "0\n" then pending "no process had the pid of another" end
  end)
end)

describe("kernels:", function()
  it("F19 without futex_waitv, or where it is forbidden, all works",
    function()
      helper.slow(30)
      for _, errno in ipairs{ "ENOSYS", "EPERM" } do
        works("work() work()", strace("futex_waitv:error=" .. errno))
      end
    end)
end)
