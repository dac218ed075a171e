-- Processes in hosts and systems that misbehave.
local helper = require "helper"
local scripts = require "scripts"

local works = scripts.works(scripts.WORK)

describe("processes work when the host", function()
  it("ignores SIGCHLD [F2]", function()
    works[[ host.signal(17, "ignore") work() ]]
  end)

  it("reaps whatever child it finds [F1]", function()
    works[[
      host.signal(17, function() host.waitpid(-1, true) end)
      host.signal(14, function() host.waitpid(-1, true) end)
      host.alarm(0.0005, 0.0005)
      for _ = 1, 5 do work() end
      host.alarm(0)]]
  end)

  it("sends itself a thousand signals a second [E1]", function()
    works[[
      local n = 0
      host.signal(10, function() n = n + 1 end)
      local me = host.getpid()
      local storm = host.fork()
      if storm == 0 then
        while host.getppid() == me do
          host.kill(me, 10)
          host.sleep(0.0005)
        end
        host.leave(0)
      end
      for _ = 1, 10 do work() end
      -- Timeouts are neither cut short nor taken for an answer.
      local p = mp.Process(function() host.sleep(100) end):start()
      local before = host.now()
      assert(not p:join(0.3) and host.now() - before >= 0.3)
      assert(#mp.wait({ p }, 0.3) == 0 and host.now() - before >= 0.6)
      p:kill()
      p:join()
      host.kill(storm, 9)
      host.waitpid(storm)
      assert(n > 50, n)]]
  end)

  it("has blocked its signals [E10]", function()
    works[[ host.block(2, 10, 14, 15, 17) work() ]]
  end)

  it("has closed stdin, stdout and stderr [F14]", function()
    helper.with_dir(function(dir)
      local text = scripts.WORK .. ([[
        work()
        for fd = 0, 2 do
          local what = host.readlink("/proc/self/fd/" .. fd)
          assert(not what or not what:find("memfd") and
            not what:find("socket"), what)
        end
        local f = io.open("%s/done", "w")
        f:write("ok")
        f:close()]]):format(dir)
      assert.equal(0, helper.run(text, { redirect = "<&- >&- 2>&-" }).code)
      assert.equal("ok", helper.slurp(dir .. "/done"))
    end)
  end)

  it("has eight threads, under fork too [F10]", function()
    works[[ host.threads(8) for _ = 1, 20 do work() end ]]
  end)

  it("drops its privileges, or changes the directory or root [F16]",
    function()
      if helper.status("self", "Uid"):match("%d+") ~= "0" then
        pending "only root may"
      end
      works[[
        work()
        host.chdir("/")
        assert(host.setuid(65534))
        for _, method in ipairs(mp.get_all_start_methods()) do
          local p = mp.get_context(method).Process(function()
            local f <close> = io.open("/proc/self/status")
            return f:read("a"):match("Uid:%s*(%d+)")
          end):start()
          assert(p:result() == "65534", method)
        end
        work()]]
      works([[
        work()
        local p = mp.Process():start()
        assert(host.chroot("/proc") and host.chdir("/"))
        p:join()
        local q = mp.get_context("fork").Process(function() return 1 end)
        assert(q:start():result() == 1)
        local r = mp.get_context("spawn").Process()
        local ok, why = pcall(r.start, r) -- there is no program here
        assert(not ok and why:find("start '.*': No such file"), why)]],
        -- Without /proc asan's search for leaks never ends.
        { before = 'env ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0"' })
    end)

  it("replaces or deletes the program that runs [F18]", function()
    helper.with_dir(function(dir)
      local name = helper.program:match("[^/]*$")
      os.execute(("cp %s %s/"):format(helper.program, dir))
      works(([[
        work()
        os.remove("%s/%s")
        work()]]):format(dir, name), { program = dir .. "/" .. name })
    end)
  end)
end)

describe("a host's own fork", function()
  it("uses what it has inherited, and leaves it to its parent [F11]",
    function()
      for _, ending in ipairs{ "host.leave(0)", "os.exit(0)",
        "os.exit(0, true)" } do
        works(([[
          local a, b = mp.Pipe()
          local p = mp.Process(function() return b:recv() end):start()
          local pid = host.fork()
          if pid == 0 then
            assert(p:is_alive() and p.exitcode == nil)
            assert(not pcall(p.start, p))
            assert(not p:join(0.01))
            a:send("from the fork")
            assert(p:join(5) and p.exitcode == 0)
            -- a family member like any other
            assert(mp.Process(function() return 3 end):start():result() == 3)
            collectgarbage()
            %s
          end
          local _, code = host.waitpid(pid)
          assert(code == 0, code)
          assert(p:result() == "from the fork")
          work()]]):format(ending))
      end
    end)

  it("that is an os.execute or io.popen does not disturb it [F11]", function()
    works[[
      local before = io.popen("ls /proc/self/fd | wc -l"):read("n")
      local p = mp.Process(function()
        host.sleep(0.05)
        return 1
      end):start()
      os.execute("true")
      assert(io.popen("ls /proc/self/fd | wc -l"):read("n") == before)
      assert(p:result() == 1)]]
  end)
end)

-- Under plain lua: a state that a C module makes has no modules built in.
describe("several states in one program", function()
  local plain = { program = helper.lua }
  local with_lua5_4 = helper.it_with "lua5.4"
  local function with_lua(title, f)
    with_lua5_4(title, function()
      -- A stock lua cannot load a module with a sanitizer in it.
      if helper.sanitizer then pending "plain lua" end
      f()
    end)
  end

  with_lua("each have their processes, also in threads [F12]", function()
    works([[
      work()
      local text = ]] .. ("%q"):format([[
        local mp = require "mp"
        local sum = 0
        for _, method in ipairs{ "spawn", "forkserver", "thread" } do
          for i = 1, 5 do
            local p = mp.get_context(method).Process(function() return i end)
            sum = sum + p:start():result()
          end
        end
        return sum]]) .. [[
      for _, n in ipairs{ 0, 1, 4 } do
        for _, answer in ipairs{ host.state(text, n) } do
          assert(answer == "45", answer)
        end
      end
      work()]], plain)
  end)

  with_lua("may close with children that live [F17]", function()
    works([[
      local text = [=[
        local mp = require "mp"
        local a, b = mp.Pipe()
        for _, method in ipairs{ "spawn", "forkserver", "thread" } do
          mp.get_context(method).Process{ daemon = true, target = function()
            b:recv()
          end }:start()
        end
        return "closing"]=]
      for _, n in ipairs{ 0, 1, 4 } do
        for _, answer in ipairs{ host.state(text, n) } do
          assert(answer == "closing", answer)
        end
      end]], plain)
  end)
end)

describe("a child that", function()
  it("runs another program has none of our descriptors there [F13]",
    function()
      local out = helper.output[[
        os.execute "ls /proc/self/fd"
        for _, method in ipairs{ "fork", "spawn", "forkserver" } do
          print "--"
          local p = mp.get_context(method).Process(function()
            require "host".exec("/bin/ls", "/proc/self/fd")
          end):start()
          assert(mp.wait({ p }, 5)[1] == p)
          assert(p:join() and p.exitcode == 0)
        end]]
      local before, forked, rest = out:match("^(.-)%-%-\n(.-)%-%-\n(.*)$")
      assert.equal(before, forked)
      assert.equal("0\n1\n2\n3\n--\n0\n1\n2\n3\n", rest)
    end)

  it("runs another program is waited for and signalled still [F13]",
    function()
      works[[
        for _, method in ipairs{ "fork", "spawn", "forkserver" } do
          local r, w = host.pipe()
          local a, b = mp.Pipe()
          local p = mp.get_context(method).Process(function()
            b:send(1)
            require "host".exec("/bin/sleep", "100")
          end):start()
          a:recv()
          while true do
            local f <close> = io.open(("/proc/%d/comm"):format(p.pid))
            if f:read("a") == "sleep\n" then break end
          end
          assert(p:is_alive() and not p:join(0.01) and not p.exitcode)
          p:terminate()
          assert(p:join(5) and p.exitcode == -15, p.exitcode)
        end]]
    end)

  it("closes all descriptors gets errors, and no others' [F15]", function()
    works[[
      for _, method in ipairs{ "fork", "spawn", "forkserver" } do
        local ctx = mp.get_context(method)
        local p = ctx.Process(function()
          local sys = require "host"
          sys.closefrom(3)
          local results = {}
          for i = 1, 8 do sys.open("/dev/null") end -- in their place
          for _, inner in ipairs{ "spawn", "forkserver" } do
            local q = mp.get_context(inner).Process(function() end)
            results[#results + 1] = pcall(q.start, q)
          end
          local open = #sys.list("/proc/self/fd")
          return results, open
        end):start()
        local results = p:result()
        assert(#results == 2 and not results[1] and not results[2], method)
      end
      work()]]
  end)

  it("is killed while it starts has exit code -9 [B13]", function()
    works[[
      for _, method in ipairs{ "fork", "spawn", "forkserver" } do
        for i = 1, 30 do
          local p = mp.get_context(method).Process(function() end):start()
          if i > 1 then host.sleep(i / 1e5) end
          p:kill()
          assert(p:join(5), "hangs")
          assert(p.exitcode == -9 or p.exitcode == 0, p.exitcode)
        end
      end]]
  end)
end)

describe("with nothing left", function()
  it("of descriptors, start raises and changes nothing [D3]", function()
    works[[
      -- The server, and what a fork keeps for the next ones, are there.
      for _, method in ipairs{ "forkserver", "fork" } do
        mp.get_context(method).Process():start():join()
      end
      local open = #host.list("/proc/self/fd")
      for limit = open + 12, open - 2, -1 do
        host.limit("nofile", limit)
        for _, method in ipairs(mp.get_all_start_methods()) do
          local p = mp.get_context(method).Process(function() return 1 end)
          local ok, why = pcall(p.start, p)
          if ok then
            local good, answer = pcall(p.result, p)
            host.limit("nofile", 1024)
            p:join()
            host.limit("nofile", limit)
          else
            assert(tostring(why):find("file"), why)
            assert(p.pid == nil)
          end
        end
      end
      host.limit("nofile", 1024)
      collectgarbage()
      collectgarbage()
      assert(#host.list("/proc/self/fd") == open)
      work()]]
  end)

  it("of processes, start raises and works again later [D7]", function()
    if helper.status("self", "Uid"):match("%d+") ~= "0" then
      pending "the limit counts all processes of a user"
    end
    works[[
      work()
      assert(host.setuid(54321))
      host.limit("nproc", 0)
      for _, method in ipairs{ "fork", "spawn", "thread" } do
        local p = mp.get_context(method).Process(function() return 1 end)
        local ok, why = pcall(p.start, p)
        assert(not ok, method)
        assert(why:find("Resource temporarily unavailable"), why)
        assert(not p.pid and not p:is_alive())
        host.limit("nproc", 1000)
        assert(p:start():result() == 1)
        host.limit("nproc", 0)
      end
      host.limit("nproc", 1000)
      -- The fork server has a limit of its own.
      work("forkserver")]]
  end)

  it("but 1 GiB of address space, all works", function()
    if helper.sanitizer == "asan" then pending "asan needs 16 TiB" end
    works("work()", { before = "prlimit --as=1073741824" })
  end)

  it("in /dev/shm, all works", function()
    if not os.execute("unshare -m true 2>/dev/null") then
      pending "no mount namespaces"
    end
    works("work()", { before = "unshare -m sh -c "
      .. [['mount -t tmpfs -o size=4k,ro x /dev/shm; exec "$@"' x]] })
  end)
end)

describe("Ctrl-C", function()
  it("ends a program that waits, as in lua, and leaves nothing [E3]",
    function()
      for _, wait in ipairs{ "p:join()", "p:result()", "mp.wait{ a }",
        "a:recv()", "a:poll(1e6)", "while true do b:send 'x' end" } do
        local s <close> = helper.start(([[
          local list = {}
          for i, method in ipairs{ "fork", "spawn", "forkserver" } do
            list[i] = mp.get_context(method).Process(function()
              while true do require "host".sleep(0.01) end
            end):start()
          end
          local p = list[3]
          local a, b = mp.Pipe()
          for i = 1, 3 do print(list[i].pid) end
          io.stdout:flush()
          local ok, why = pcall(function() %s end)
          io.stdout:write(tostring(why), "\n")
          io.stdout:flush()
          error(why, 0)]]):format(wait))
        local pids = { s:line(), s:line(), s:line() }
        s:asleep()
        s:kill_all(helper.SIGINT)
        assert.matches("interrupted!", s:line(), wait)
        for _, pid in ipairs(pids) do
          helper.eventually(function() return not helper.runs(pid) end, 2)
        end
        local code, err = s:wait()
        assert.equal(1, code, wait) -- as lua's
        assert.matches("interrupted!", err)
      end
    end)
end)
