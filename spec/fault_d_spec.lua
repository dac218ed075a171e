-- D: nothing left of descriptors, memory, processes, or room.
local helper = require "helper"
local scripts = require "scripts"

-- Every object once, used; raises when something is wrong.
local EACH = [[
  local each = {
    function()
      local a, b = mp.Pipe()
      b:send{ 1 }
      assert(a:recv()[1] == 1)
      a:fileno()
    end,
    function()
      local q = mp.Queue(2)
      q:put "x"
      assert(q:get() == "x")
      q:fileno()
    end,
    function()
      local e = mp.Event()
      e:set()
      assert(e:wait(0))
      e:fileno()
    end,
    function()
      local l = mp.Lock()
      assert(l:acquire())
      l:release()
    end,
    function()
      local v = mp.Value("i", 5)
      assert(v:add(1) == 5 or v.value == 6)
      assert(#mp.Array("d", 100) == 100)
    end,
    function()
      local m = assert(mp.shared_memory.SharedMemory{ create = true,
        size = 100 })
      m.buf:set("i", 0, 7)
      m:close()
      m:unlink()
    end,
    function()
      local l = assert(mp.connection.Listener())
      l:close()
    end,
    function()
      local p = mp.Process(function() return 1 end):start()
      assert(p:result() == 1)
    end,
    function()
      local pool = mp.Pool(1)
      local ok, why = pcall(pool.apply, pool, function() return 2 end)
      pool:terminate()
      pool:join()
      assert(ok, why)
    end,
  }
]]

local works, strace = scripts.works(EACH), scripts.strace

describe("exhaustion:", function()
  it("D2 the family's memory cannot be cut", function()
    works[[
      each[1]()
      local found
      for _, fd in ipairs(host.list("/proc/self/fd")) do
        local path = "/proc/self/fd/" .. fd
        if (host.readlink(path) or ""):find("memfd:luamp", 1, true) then
          found = true
          assert(not os.execute(("truncate -s 4096 %s 2>/dev/null"):format(
            path:gsub("self", host.getpid()))))
        end
      end
      assert(found)
      for _, f in ipairs(each) do f() end]]
  end)

  it("D3 without descriptors each call is an error, and changes nothing",
    function()
      helper.slow(60)
      works[[
        for _, f in ipairs(each) do f() end
        collectgarbage()
        collectgarbage()
        local open = #host.list("/proc/self/fd")
        local failed = 0
        for limit = open + 8, open - 3, -1 do
          for i, f in ipairs(each) do
            host.limit("nofile", limit)
            local ok, why = pcall(f)
            host.limit("nofile", 1024)
            if not ok then
              failed = failed + 1
              assert(tostring(why):find("file"), i .. tostring(why))
            end
          end
        end
        assert(failed > 10)
        for _, f in ipairs(each) do f() end
        collectgarbage() -- pools that could not be ended then
        collectgarbage()
        while #mp.active_children() > 0 do
          assert(mp.wait(mp.active_children(), 10)[1], "workers live on")
        end
        local now = #host.list("/proc/self/fd")
        assert(now <= open, now - open)]]
    end)

  it("D4 a descriptor that arrives where there is room for none", function()
    works[[
      local m = mp.shared_memory.SharedMemory{ create = true, size = 100 }
      m.buf:set("i", 0, 7)
      local ask, answer = mp.Pipe()
      local p = mp.get_context "spawn".Process(function()
        local sys = require "host"
        answer:send(1)
        answer:poll(5)
        local open = #sys.list("/proc/self/fd")
        sys.limit("nofile", 3)
        local ok, why = pcall(answer.recv, answer)
        sys.limit("nofile", 1024)
        collectgarbage()
        local now = #sys.list("/proc/self/fd")
        return ok, why, now - open
      end):start()
      ask:recv()
      ask:send(m)
      local ok, why, leaked = p:result()
      assert(not ok and why:find("[no] file"), why)
      assert(leaked == 0)
      m:unlink()]]
  end)

  it("D6 without memory for a process, start raises", function()
    for _, call in ipairs{ "clone", "clone3" } do
      works([[
        for _, method in ipairs(mp.get_all_start_methods()) do
          local p = mp.get_context(method).Process(function() return 1 end)
          for _ = 1, 3 do
            local ok, why = pcall(p.start, p)
            if ok then break end
            assert(why:find("memory"), why)
            assert(not p.pid)
          end
          assert(p:result() == 1)
        end
        for _, f in ipairs(each) do f() end]],
        strace(call .. ":error=ENOMEM:when=1"))
    end
  end)

  it("D6 without memory in the family, an error and nothing else", function()
    for _, errno in ipairs{ "ENOMEM", "ENOSPC" } do
      for n = 1, 8 do
        works([[
          local failed = 0
          for _ = 1, 3 do
            for _, f in ipairs(each) do
              local ok, why = pcall(f)
              if not ok then
                failed = failed + 1
                why = tostring(why)
                assert(why:find "memory" or why:find "No space", why)
              end
            end
          end
          assert(failed <= 2, failed)]],
          strace(("fallocate:error=%s:when=%d"):format(errno, n)))
      end
    end
  end)

  it("D7 a pool that can start no worker says so, and works later", function()
    if not scripts.is_root() then
      pending "the limit counts all processes of a user"
    end
    works[[
      assert(host.setuid(54321))
      local pool = mp.Pool(2)
      host.limit("nproc", 0)
      local ok, why = pcall(pool.apply, pool, function() return 1 end)
      assert(not ok and tostring(why):find("Resource temporarily"), why)
      host.limit("nproc", 1000)
      assert(pool:apply(function() return 1 end) == 1)
      pool:close()
      pool:join()]]
  end)

  it("D8 a worker that the system kills costs its task, which says so",
    function()
      works[[
        local pool = mp.Pool(1)
        local ok, why = pcall(pool.apply, pool, function()
          local sys = require "host"
          sys.kill(sys.getpid(), 9)
        end)
        why = tostring(why)
        assert(not ok and why:find("signal 9") and why:find("memory"), why)
        assert(pool:apply(function() return 1 end) == 1)
        pool:close()
        pool:join()]]
    end)

  it("D9 a thread that cannot be made is an error, and all goes on", function()
    -- asan does not bear that it cannot map
    for _, call in ipairs{ "clone3",
      helper.sanitizer ~= "asan" and "mmap" or nil } do
      works([[
        local ctx = mp.get_context "thread"
        for _ = 1, 5 do
          local p = ctx.Process(function() return 1 end)
          local ok, why = pcall(p.start, p)
          assert(ok or not p.pid, why)
          if ok then assert(p:result() == 1) end
        end
        assert(#mp.active_children() == 0)]],
        strace(call .. ":error=EAGAIN:when=" .. (call == "mmap" and 60 or 1)))
    end
  end)

  it("D10 a full disk behind stderr changes no exit code", function()
    for _, to in ipairs{ "/dev/full", "/dev/null" } do
      works([[
        for _, method in ipairs(mp.get_all_start_methods()) do
          local ctx = mp.get_context(method)
          local p = ctx.Process(function() error "this goes nowhere" end)
          p:start():join()
          assert(p.exitcode == 1, method)
          local q = ctx.Process(function() io.stderr:write "x" end)
          q:start():join()
          assert(q.exitcode == 0, method)
        end]], { redirect = "2>" .. to })
    end
  end)

  it("D11 put into a full queue ends at its time, though nobody is left",
    function()
      works[[
        for _, kind in ipairs{ "Queue", "JoinableQueue" } do
          local q = mp[kind](1)
          local p = mp.Process(function() q:get() q:get() end):start()
          q:put(1)
          while not q:empty() do host.sleep(0.001) end
          p:kill()
          p:join()
          q:put(2)
          local before = host.now()
          local ok, why = q:put(3, 0.3)
          assert(not ok and why == "full", why)
          assert(host.now() - before >= 0.3)
          assert(q:get() == 2)
          assert(q:put(4, 0))
        end]]
    end)
end)
