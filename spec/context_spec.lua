-- Start methods, contexts, and what a child finds around it.
local helper = require "helper"
local host = helper.host
local mp = require "mp"

local started = { fork = true } -- to leave out: no program of its own

describe("start methods", function()
  it("are four", function()
    assert.same({ "fork", "spawn", "forkserver", "thread" },
      mp.get_all_start_methods())
    mp.get_all_start_methods()[1] = "x"
    assert.equal("fork", mp.get_all_start_methods()[1])
  end)

  it("are fork by default, forkserver with several threads [F10]", function()
    assert.equal("fork forkserver Process-1 9 17\n", helper.output[[
      io.write(mp.get_start_method(), " ")
      host.threads(8)
      io.write(mp.get_start_method(), " ")
      local p = mp.Process(function() return 9 end):start()
      -- and fork itself, when it is asked for
      local q = mp.get_context("fork").Process(function() return 17 end)
      print(p.name .. " " .. p:result() .. " " .. q:start():result())]])
  end)

  it("can be set once, or again with force", function()
    assert.equal("spawn false thread true forkserver\n", helper.output[[
      mp.set_start_method("spawn")
      io.write(mp.get_start_method(), " ")
      io.write(tostring(pcall(mp.set_start_method, "fork")), " ")
      mp.set_start_method("thread", true)
      io.write(mp.get_start_method(), " ")
      local p = mp.Process(function() end):start()
      io.write(tostring(p.pid == host.getpid()), " ")
      p:join()
      mp.set_start_method("forkserver", true)
      print(mp.get_start_method())]])
  end)

  it("that do not exist are refused with a list of those that do", function()
    for _, f in ipairs{ mp.set_start_method, mp.get_context } do
      for _, name in ipairs{ "vfork", 1, {}, "" } do
        local ok, why = pcall(f, name)
        assert.is_false(ok)
        assert.matches("valid: fork, spawn, forkserver, thread", why)
      end
    end
  end)

  it("are bound by contexts with the same API", function()
    for method, ctx in helper.methods() do
      assert.equal(ctx, mp.get_context(method))
      assert.equal(method, ctx.get_start_method())
      for name in pairs(mp) do assert.is_truthy(ctx[name], name) end
      assert.equal(mp.Pipe, ctx.Pipe)
    end
    assert.equal(mp, mp.get_context())
  end)

  it("share their default names", function()
    assert.equal("Process-1 Process-2 Process-3\n", helper.output[[
      print(mp.Process().name .. " " .. mp.get_context("spawn").Process().name
        .. " " .. mp.get_context("thread").Process().name)]])
  end)
end)

describe("a child inherits", function()
  it("package.path and cpath as they are at the start", function()
    helper.with_dir(function(dir)
      local file = assert(io.open(dir .. "/only_here.lua", "w"))
      file:write("return { value = 41 }")
      file:close()
      for method in helper.methods() do
        assert.equal("41\ttrue\n", helper.output(([[
          mp.get_context(%q).Process(function() end):start():join()
          package.path = package.path .. ";%s/?.lua"
          package.cpath = package.cpath .. ";/nowhere/?.so"
          local p = mp.get_context(%q).Process(function(cpath)
            return require "only_here".value, package.cpath == cpath
          end, package.cpath):start()
          print(p:result())]]):format(method, dir, method)), method)
      end
    end)
  end)

  it("the working directory as it is at the start", function()
    for method in helper.methods() do
      assert.equal("/\ttrue\n", helper.output(([[
        local ctx = mp.get_context(%q)
        local function cwd()
          return require "host".readlink("/proc/self/cwd")
        end
        local first = cwd()
        local p = ctx.Process(cwd):start()
        p:join()
        host.chdir("/")
        print(ctx.Process(cwd):start():result(), p:result() == first)]])
        :format(method)))
    end
  end)

  it("arg", function()
    for method in helper.methods() do
      assert.equal("true\ta b\tc\n", helper.output(([[
        local script = arg[0]
        print(mp.get_context(%q).Process(function()
          return arg[0] == script, arg[1], arg[2]
        end):start():result())]]):format(method), { args = "'a b' c" }))
    end
  end)

  it("the environment, but not LUA_INIT's code once more [I9]", function()
    for method in helper.methods() do
      assert.equal("init\nvalue\n", helper.output(([[
        io.stdout:flush()
        print(mp.get_context(%q).Process(function()
          return os.getenv("SOME_NAME")
        end):start():result())]]):format(method), {
        before = "env SOME_NAME=value LUA_INIT='print [[init]]'" }), method)
    end
  end)

  it("stdout and stderr; its stdin is /dev/null", function()
    for method in helper.methods() do
      local r = helper.run(([[
        print(mp.get_context(%q).Process(function()
          io.stdout:write("out ") io.stdout:flush()
          io.stderr:write("err\n")
          return io.read("a"), require "host".readlink("/proc/self/fd/0")
        end):start():result())
        print(io.read("a"))]]):format(method),
        { redirect = "<<'EOF'\nthe parent's\nEOF" })
      if method == "thread" then
        -- It has the process's descriptors, and so its stdin.
        assert.matches("^out ", r.out)
      else
        assert.equal("out \t/dev/null\nthe parent's\n\n", r.out, method)
      end
      assert.equal("err\n", r.err)
    end
  end)

  it("no descriptor under spawn and forkserver", function()
    for _, method in ipairs{ "spawn", "forkserver" } do
      local out = helper.output(([[
        local secret = host.open("/etc/passwd")
        host.dup2(secret, 77)
        local r, w = host.pipe()
        local conns = { mp.Pipe() }
        local sentinel = mp.get_context("spawn").Process():start().sentinel
        local p = mp.get_context(%q).Process(function()
          local sys = require "host"
          local open = {}
          for _, fd in ipairs(sys.list("/proc/self/fd")) do
            open[fd] = sys.readlink("/proc/self/fd/" .. fd)
          end
          return open
        end):start()
        for fd, what in pairs(p:result()) do print(fd, what) end]])
        :format(method))
      local files = 0
      for fd, what in out:gmatch("(%d+)\t([^\n]*)") do
        if tonumber(fd) > 2 then
          -- A fork server has /dev/null at hand for its children.
          local null = method == "forkserver" and what == "/dev/null"
          if not null then files = files + 1 end
          assert.is_truthy(null or what:find("memfd") or what:find("socket:"),
            method .. " " .. fd .. ": " .. what)
        end
      end
      -- The family's memory and its two sockets.
      assert.equal(3, files, out)
    end
  end)

  it("the default signals under spawn and forkserver [E10]", function()
    for _, method in ipairs{ "spawn", "forkserver" } do
      local out = helper.output(([[
        host.signal(1, "ignore")
        host.signal(10, function() end)
        host.block(12, 15)
        print(mp.get_context(%q).Process(function()
          local f <close> = io.open("/proc/self/status")
          local text = f:read("a")
          local ignored = tonumber(text:match("SigIgn:%%s*(%%x+)"), 16)
          -- 32 and 33 are the C library's own.
          return text:match("SigBlk:%%s*(%%x+)"), ignored & ~(3 << 31),
            require "host".disposition(10)
        end):start():result())]]):format(method))
      assert.equal("0000000000000000\t0\tdefault\n", out,
        method)
    end
  end)

  it("no core file, no secret on its command line [J4]", function()
    for method in helper.methods(started) do
      local a, b = mp.Pipe()
      local p = mp.get_context(method).Process(function() b:recv() end)
      p:start()
      local line = helper.slurp(("/proc/%d/cmdline"):format(p.pid))
      local env = helper.slurp(("/proc/%d/environ"):format(p.pid))
      local hex = p.authkey:gsub(".", function(c)
        return ("%02x"):format(c:byte())
      end)
      for _, text in ipairs{ line, env } do
        assert.is_nil(text:find(p.authkey, 1, true))
        assert.is_nil(text:find(hex, 1, true))
      end
      a:send(1)
      p:join()
    end
  end)
end)

describe("set_executable", function()
  it("names the program that spawn and forkserver run", function()
    helper.with_dir(function(dir)
      local wrapper = dir .. "/wrapper"
      local file = assert(io.open(wrapper, "w"))
      file:write(("#!/bin/sh\necho $0 >> %s/log\nexec %s \"$@\"\n"):format(
        dir, helper.program))
      file:close()
      os.execute("chmod +x " .. wrapper)
      for _, method in ipairs{ "spawn", "forkserver" } do
        assert.equal("5\n", helper.output(([[
          mp.set_executable(%q)
          print(mp.get_context(%q).Process(function() return 5 end)
            :start():result())]]):format(wrapper, method)))
      end
      assert.equal((wrapper .. "\n"):rep(2), helper.slurp(dir .. "/log"))
    end)
  end)

  it("with what cannot be run makes start raise, with nothing started",
    function()
      for _, method in ipairs{ "spawn", "forkserver" } do
        assert.equal("false\ttrue\tnil\t0\n5\n", helper.output(([[
          mp.set_executable("/no/such/program")
          local p = mp.get_context(%q).Process(function() return 5 end)
          local ok, why = pcall(p.start, p)
          print(ok, why:find("/no/such/program", 1, true) ~= nil, p.pid,
            #mp.active_children())
          mp.set_executable(host.readlink("/proc/self/exe"))
          print(p:start():result())]]):format(method)))
      end
    end)

  it("refuses what is no path", function()
    assert.has_error(function() mp.set_executable(1) end)
    assert.has_error(function() mp.set_executable() end)
  end)
end)

describe("set_forkserver_preload", function()
  it("loads modules before the server forks", function()
    helper.with_dir(function(dir)
      local file = assert(io.open(dir .. "/slow_one.lua", "w"))
      file:write("return { pid = require 'host'.getpid() }")
      file:close()
      assert.equal("true\ttrue\n", helper.output(([[
        package.path = package.path .. ";%s/?.lua"
        mp.set_forkserver_preload{ "slow_one", "no.such.module" }
        local function pid() return require "slow_one".pid end
        local ctx = mp.get_context("forkserver")
        local a, b = ctx.Process(pid):start(), ctx.Process(pid):start()
        print(a:result() == b:result(), a:result() ~= a.pid)]]):format(dir)))
    end)
  end)

  it("refuses what is no list of names", function()
    assert.has_error(function() mp.set_forkserver_preload("x") end)
    assert.has_error(function() mp.set_forkserver_preload{ 1 } end)
  end)
end)

describe("counting CPUs", function()
  it("gives those of the machine and those that may be used", function()
    assert.is_true(mp.cpu_count() >= mp.process_cpu_count())
    assert.is_true(mp.process_cpu_count() >= 1)
    assert.equal("1\n", helper.output("print(mp.process_cpu_count())",
      { before = "taskset -c 0" }))
  end)
end)

describe("a module that travels by name", function()
  it("may be one that was loaded under busted", function()
    local p <close> = mp.get_context("spawn").Process(function()
      return helper.count{ 1, 2 }, host.getpid()
    end):start()
    assert.same({ 2, p.pid }, { p:result() })
  end)

  it("may be loaded only now, for what is used of it", function()
    local make, lock = mp.Queue, mp.Lock
    for method, ctx in helper.methods { fork = true } do
      local p = ctx.Process(function()
        local q = make()
        q:put(lock())
        return tostring(q:get()), package.loaded["mp.shared_memory"] == nil
      end):start()
      local text, late = p:result()
      assert.matches("^mp%.Lock", text, method)
      assert.is_true(late, method)
    end
  end)

  it("lists every name, though they are loaded late", function()
    assert.equal("true\tfunction\ttable\n", helper.output [[
      local names = {}
      print(package.loaded["mp.queue"] == nil, (function()
        for name in pairs(mp) do names[name] = type(mp[name]) end
        return names.Queue, names.connection
      end)())]])
  end)
end)

describe("a child", function()
  it("loads nothing more for a function that goes well", function()
    for method, ctx in helper.methods { fork = true, forkserver = true } do
      local p = ctx.Process(function()
        local names = {}
        for name in pairs(package.loaded) do
          if name:find "^mp" then names[#names + 1] = name end
        end
        table.sort(names)
        return table.concat(names, " ")
      end):start()
      assert.equal(method == "thread" and ""
        or "mp.child mp.core mp.later mp.life", p:result(), method)
    end
  end)
end)

describe("require 'mp'", function()
  it("loads only what is used then", function()
    assert.equal("mp mp.core mp.later\n", helper.output [[
      local mp, names = require "mp", {}
      for name in pairs(package.loaded) do
        if name:find "^mp" then names[#names + 1] = name end
      end
      table.sort(names)
      print(table.concat(names, " "))]])
  end)
end)
