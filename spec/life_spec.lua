-- The end of a process, and of those around it.  Each case is a script of
-- its own, for it is about how an interpreter ends.
local helper = require "helper"
local host = helper.host

-- Ways for a script to come to its end, and the code that it then has.
local ENDS = {
  { "", 0 }, { "os.exit(3)", 3 }, { "os.exit(true, true)", 0 },
  { "os.exit(false)", 1 }, { "error 'the end'", 1 },
  { "coroutine.wrap(function() os.exit(4) end)()", 4 },
}

local methods = { "fork", "spawn", "forkserver", "thread" }
local processes = { "fork", "spawn", "forkserver" }

-- A script's child that prints its pid and then sleeps or waits.
local SLEEPER = [[
  local function sleeper(daemon, method)
    local a, b = mp.Pipe()
    local p = mp.get_context(method).Process{ daemon = daemon,
      target = function()
        b:send(1)
        while true do require "host".sleep(0.01) end
      end }:start()
    a:recv()
    return p
  end
]]

local function gone(pid)
  helper.eventually(function() return not helper.runs(pid) end, 1,
    "the end of " .. pid)
end

describe("at its end a process", function()
  it("joins its children", function()
    for _, method in ipairs(methods) do
      for _, way in ipairs(ENDS) do
        local r = helper.run(([[
          local a, b = mp.Pipe()
          local p = mp.get_context(%q).Process(function()
            b:recv()
            require "host".sleep(0.02)
            io.stdout:write("child\n")
          end):start()
          a:send(1)
          %s]]):format(method, way[1]))
        assert.same({ "child\n", way[2] }, { r.out, r.code }, method)
      end
    end
  end)

  it("ends its daemons", function()
    for _, method in ipairs(methods) do
      for _, way in ipairs(ENDS) do
        local r = helper.run(SLEEPER .. ([[
          print(sleeper(true, %q).pid)
          %s]]):format(method, way[1]))
        assert.equal(way[2], r.code, method)
        assert.is_false(helper.runs(r.out:match("%d+")), method)
      end
    end
  end)

  it("that is a child itself joins its own and ends its daemons", function()
    for _, method in ipairs(methods) do
      for _, way in ipairs{ "", "os.exit(0)", "error 'x'" } do
        local r = helper.run(SLEEPER .. ([[
          local inner = %q
          local p = mp.get_context(%q).Process(function()
            io.stdout:write(sleeper(true, inner).pid, "\n")
            mp.get_context(inner).Process(function()
              require "host".sleep(0.02)
              io.stdout:write("grandchild\n")
            end):start()
            io.stdout:flush()
            %s
          end):start()
          p:join()
          io.stdout:write("joined\n")]]):format(
          method == "fork" and method or "spawn", method, way))
        local pid = r.out:match("^(%d+)\ngrandchild\njoined\n$")
        assert.is_truthy(pid, method .. ": " .. r.out .. r.err)
        assert.is_false(helper.runs(pid))
      end
    end
  end)

  it("runs finalizers and to-be-closed variables as lua does [I2 I3]",
    function()
      for _, method in ipairs(methods) do
        local r = helper.run(([[
          local p = mp.get_context(%q).Process(function()
            local x <close> = setmetatable({}, { __close = function()
              io.stdout:write("closed\n")
            end })
            setmetatable({}, { __gc = function() error "in gc" end })
            collectgarbage()
          end):start()
          p:join()
          print(p.exitcode)]]):format(method))
        assert.equal("closed\n0\n", r.out, method)
      end
    end)

  it("writes what it had buffered, once", function()
    for _, method in ipairs(methods) do
      assert.equal("parent child end\n", helper.output(([[
        io.stdout:setvbuf("full")
        io.stdout:write("parent ")
        if %q ~= "fork" then io.stdout:flush() end
        mp.get_context(%q).Process(function()
          io.stdout:write("child ")
        end):start():join()
        io.stdout:write("end\n")]]):format(method, method)), method)
    end
  end)
end)

describe("when a parent is killed", function()
  it("its daemons die within a second [C1]", function()
    for _, method in ipairs(processes) do
      local s <close> = helper.start(SLEEPER .. ([[
        for _ = 1, 3 do print(sleeper(true, %q).pid) end
        io.stdout:flush()
        host.sleep(100)]]):format(method))
      local pids = { s:line(), s:line(), s:line() }
      assert.is_true(helper.runs(pids[3]))
      s:kill(helper.SIGKILL)
      for _, pid in ipairs(pids) do gone(pid) end
      assert.equal(-9, (s:wait()))
    end
  end)

  it("daemons of its daemons die, too", function()
    local s <close> = helper.start(SLEEPER .. [[
      mp.Process{ daemon = true, target = function()
        io.stdout:write(sleeper(true, "fork").pid, "\n")
        io.stdout:flush()
        host.sleep(100)
      end }:start()
      host.sleep(100)]])
    local pid = s:line()
    s:kill(helper.SIGKILL)
    gone(pid)
    s:wait()
  end)

  it("the others live on and see it [C1]", function()
    for _, method in ipairs(processes) do
      local s <close> = helper.start(([[
        local a, b = mp.Pipe()
        local p = mp.get_context(%q).Process(function()
          local parent = mp.parent_process()
          b:send(parent:is_alive())
          parent:join()
          io.stdout:write(tostring(parent:is_alive()), " ",
            tostring(parent.exitcode), "\n")
          io.stdout:flush()
          -- and can still do all they could
          local q = mp.get_context("spawn").Process(function()
            return mp.parent_process():is_alive()
          end):start()
          io.stdout:write(tostring(q:result()), "\n")
        end):start()
        assert(a:recv())
        print(p.pid)
        io.stdout:flush()
        host.sleep(100)]]):format(method))
      local pid = s:line()
      s:kill(helper.SIGKILL)
      assert.matches("^false ", s:line())
      assert.equal("true", s:line(), method)
      gone(pid)
      s:wait()
    end
  end)

  it("so does a fork server that is idle [C4]", function()
    local s <close> = helper.start[[
      mp.get_context("forkserver").Process(print):start():join()
      local f = io.open(("/proc/self/task/%d/children"):format(host.getpid()))
      print(f:read("a"))
      io.stdout:flush()
      host.sleep(100)]]
    assert.equal("", s:line())
    local pid = s:line():match("%d+")
    assert.is_true(helper.runs(pid))
    s:kill(helper.SIGKILL)
    gone(pid)
    s:wait()
  end)

  it("with all of its family nothing is left [C10]", function()
    local before = {}
    for _, name in ipairs(host.list("/dev/shm") or {}) do
      before[name] = true
    end
    local s <close> = helper.start(SLEEPER .. [[
      for _, method in ipairs(mp.get_all_start_methods()) do
        print(sleeper(method == "fork", method).pid)
      end
      io.stdout:flush()
      host.sleep(100)]])
    local pids = {}
    for i = 1, 4 do pids[i] = s:line() end
    s:kill_all(helper.SIGKILL)
    for _, pid in ipairs(pids) do gone(pid) end
    s:wait()
    -- Names of others, who run beside us, come and go.
    for _, name in ipairs(host.list("/dev/shm") or {}) do
      helper.eventually(function()
        local file <close> = io.open("/dev/shm/" .. name)
        return before[name] or not file
      end, nil, "the end of " .. name)
    end
  end)
end)

-- In scripts: the fork server's pid, as the only child that is left.
local SERVER = [[
  local ctx = mp.get_context("forkserver")
  local function server()
    local f <close> = io.open(
      ("/proc/self/task/%d/children"):format(host.getpid()))
    return tonumber(f:read("a"):match("%d+"))
  end
  ctx.Process(function() end):start():join()
]]

describe("a fork server", function()
  it("that was killed is started again, once [C3]", function()
    assert.equal("5 5 5\ntrue\n", helper.output(SERVER .. [[
      local function start()
        return ctx.Process(function() return 5 end):start():result()
      end
      local first = server()
      host.kill(first, 9)
      -- One child stood by, perhaps, and outlives its server.
      io.write(start(), " ", start(), " ")
      local second = server()
      print(start())
      print(second == server() and second ~= first)]]))
  end)

  it("whose child that stands by was killed has another [C3]", function()
    assert.equal("5 0 true\n", helper.output(SERVER .. [[
      local function children()
        local f <close> = io.open(
          ("/proc/self/task/%d/children"):format(host.getpid()))
        local pids = {}
        for pid in f:read("a"):gmatch("%d+") do pids[#pids + 1] = pid end
        return pids
      end
      local function standby()
        while not children()[2] do host.sleep(0.001) end
        return tonumber(children()[2])
      end
      local function kill(pid)
        host.kill(pid, 9)
        repeat
          local f <close> = io.open(("/proc/%d/stat"):format(pid))
        until f:read("a"):match("%) (%a)") == "Z"
        return pid
      end
      local first = server()
      for i = 1, 5 do
        local killed = kill(standby())
        local p = ctx.Process(function() return 5 end):start()
        assert(p:result() == 5 and p.exitcode == 0 and p.pid ~= killed)
      end
      local last = standby()
      host.kill(first, 19) -- or it would have another stand by
      kill(last)
      kill(first)
      local p = ctx.Process(function() return 5 end):start()
      io.write(p:result(), " ", p.exitcode, " ")
      -- Nothing but the server and who stands by: no zombies.
      standby()
      print(#children() == 2)]]))
  end)

  it("that is killed does not hurt the children it made [C3]", function()
    assert.equal("7\t0\n3\n", helper.output(SERVER .. [[
      local first = server()
      local a, b = mp.Pipe()
      local p = ctx.Process(function() return b:recv() end):start()
      local q = ctx.Process(function() b:recv() os.exit(3) end):start()
      host.kill(first, 9)
      a:send(7)
      a:send(7)
      if not p:join(5) then error "p" end
      if not q:join(5) then error "q" end
      if p.exitcode == 3 then p, q = q, p end
      print(p:result(), p.exitcode)
      print(q.exitcode)]]))
  end)

  it("is killed at any time: no start hangs [C3 B13]", function()
    helper.slow(20)
    -- A sanitizer's takes longer to begin than it would be left alive: it is
    -- left alone until something was started, if that is not too long.
    local patience = helper.sanitizer and 40 or 1 -- times 5 ms
    assert.equal("ok\n", helper.output(SERVER .. "local patience = "
      .. patience .. [[

      local started = mp.Value("i", 0)
      local killer = mp.get_context("fork").Process{ daemon = true,
        target = function(parent)
          while true do
            local f <close> = io.open(
              ("/proc/%d/task/%d/children"):format(parent, parent))
            for pid in f:read("a"):gmatch("%d+") do
              local c <close> = io.open("/proc/" .. pid .. "/cmdline")
              if c and c:read("a"):find("mp.child", 1, true)
                and tonumber(pid) ~= host.getpid() then
                host.kill(tonumber(pid), 9)
              end
            end
            local before = started.value
            for _ = 1, patience do
              host.sleep(0.005)
              if started.value > before then break end
            end
          end
        end, args = { host.getpid() } }:start()
      for i = 1, 100 do
        local p = ctx.Process(function(x) return x end, i)
        -- A server killed twice within one start is an error; then again.
        while not pcall(p.start, p) do assert(not p.pid) end
        started.value = i
        assert(p:join(5), "hangs")
        assert(p.exitcode == 0 or p.exitcode == -9, p.exitcode)
      end
      killer:kill()
      print "ok"]]))
  end)

  it("ignores SIGINT and ends with its parent's end [C4]", function()
    local pid = helper.output(SERVER .. [[
      host.kill(server(), 2)
      local before = server()
      ctx.Process(function() end):start():join()
      assert(before == server())
      print(before)]])
    gone(tonumber(pid))
  end)
end)
