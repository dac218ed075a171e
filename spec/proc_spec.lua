-- Processes as values, in the process that made them.
local helper = require "helper"
local host = helper.host
local mp = require "mp"

local function child_of(ctx, ...) return ctx.Process(...):start() end

describe("the constructor of a process", function()
  it("takes a function and its arguments", function()
    local p <close> = mp.Process(function(...) return ... end, 1, nil, 3)
    assert.same({ n = 3, 1, nil, 3 }, table.pack(p:start():result()))
  end)

  it("takes a table of options", function()
    local p <close> = mp.Process{
      target = function(...) return select("#", ...), ... end,
      args = { n = 3, "a", nil, nil }, name = "worker", daemon = true,
    }
    assert.equal("worker", p.name)
    assert.is_true(p.daemon)
    assert.same({ n = 4, 3, "a", nil, nil }, table.pack(p:start():result()))
  end)

  it("takes what can be called as a target", function()
    local callable = setmetatable({}, { __call = function(_, x) return x end })
    local p <close> = mp.Process(callable, 7):start()
    assert.equal(7, p:result())
  end)

  it("takes no target: nothing is done", function()
    for _, ctx in helper.methods() do
      local p <close> = ctx.Process():start()
      assert.is_true(p:join())
      assert.equal(0, p.exitcode)
      assert.equal(0, select("#", p:result()))
    end
  end)

  it("lists the options that there are when it gets another", function()
    assert.has_error(function() mp.Process{ traget = print } end,
      "Process: unknown option 'traget' (valid: args, daemon, name, target)")
  end)

  it("refuses options of a wrong type", function()
    for _, options in ipairs{ { args = 1 }, { name = 1 }, { daemon = 1 },
      { target = 1 }, { target = "f" }, { name = "" }, { name = "a\0b" },
      { name = ("x"):rep(64) } } do
      assert.has_error(function() mp.Process(options) end)
    end
    assert.has_error(function() mp.Process(1) end)
    assert.has_error(function() mp.Process("f") end)
  end)
end)

describe("a process's name", function()
  it("is Process-N by default, N counting up", function()
    local a, b = mp.Process(print), mp.get_context("spawn").Process(print)
    local n = tonumber(a.name:match("^Process%-(%d+)$"))
    assert.equal("Process-" .. n + 1, b.name)
  end)

  it("tells the parents", function()
    for method in helper.methods() do
      assert.equal("MainProcess Process-1 Process-1:1 Process-1:2\n",
        helper.output(([[
          local function name() return mp.current_process().name end
          local ctx = mp.get_context("%s")
          print(name(), ctx.Process(function()
            local leaf = mp.get_context(%q).Process
            return name(), leaf(name):start():result(),
              leaf(name):start():result()
          end):start():result())]]):format(method,
          method == "fork" and "fork" or "spawn")):gsub("\t", " "))
    end
  end)

  it("can be changed, and the child has it", function()
    for _, ctx in helper.methods() do
      local p <close> = ctx.Process(function()
        return mp.current_process().name
      end)
      p.name = "other"
      assert.equal("other", p:start():result())
      assert.has_error(function() p.name = 1 end)
      assert.has_error(function() p.name = "" end)
    end
  end)
end)

describe("the fields of a process", function()
  it("are nil before the start, but name and daemon", function()
    local p = mp.Process(print)
    assert.is_nil(p.pid)
    assert.is_nil(p.exitcode)
    assert.is_false(p.daemon)
    assert.is_false(p:is_alive())
  end)

  it("are read-only where they tell of the process", function()
    local p = mp.Process(print)
    for _, field in ipairs{ "pid", "exitcode", "sentinel", "authkey" } do
      assert.has_error(function() p[field] = 1 end,
        ("mp.Process: '%s' is read-only"):format(field))
    end
  end)

  it("tell of the child while it runs and afterwards", function()
    for method, ctx in helper.methods() do
      local a, b = mp.Pipe()
      local p <close> = child_of(ctx, function() return b:recv() end)
      assert.equal("number", type(p.pid))
      assert.equal(method == "thread", p.pid == host.getpid())
      assert.is_nil(p.exitcode)
      assert.is_true(p:is_alive())
      a:send("go")
      assert.equal("go", p:result())
      assert.equal(0, p.exitcode)
      assert.is_false(p:is_alive())
      a:close()
      b:close()
    end
  end)

  it("share one authkey of 32 bytes in the whole family", function()
    local key = mp.current_process().authkey
    assert.equal(32, #key)
    for _, ctx in helper.methods() do
      local p <close> = child_of(ctx, function()
        return mp.current_process().authkey
      end)
      assert.equal(key, p:result())
    end
  end)

  it("are shown by tostring", function()
    for _, ctx in helper.methods() do
      local a, b = mp.Pipe()
      local p <close> = ctx.Process{ target = function() b:recv() end,
        name = "shown", daemon = true }
      assert.equal("mp.Process (shown, initial, daemon)", tostring(p))
      p:start()
      assert.equal("mp.Process (shown, started, daemon)", tostring(p))
      a:send(1)
      p:join()
      assert.equal("mp.Process (shown, exitcode 0, daemon)", tostring(p))
      p:close()
      assert.matches("closed", tostring(p))
    end
  end)
end)

describe("daemon", function()
  it("is inherited", function()
    for method, ctx in helper.methods() do
      local p <close> = ctx.Process{ daemon = true, target = function()
        local inner = mp.get_context(method == "fork" and "fork" or "spawn")
        local child = inner.Process(function()
          return mp.current_process().daemon
        end)
        return child.daemon, child:start():result()
      end }:start()
      assert.same({ true, true }, { p:result() })
    end
  end)

  it("can be set until the start", function()
    for _, ctx in helper.methods() do
      local p <close> = ctx.Process(function()
        return mp.current_process().daemon
      end)
      p.daemon = true
      assert.has_error(function() p.daemon = "yes" end)
      assert.is_true(p:start():result())
      assert.has_error(function() p.daemon = false end)
    end
  end)
end)

describe("the exit code of a process", function()
  local function code(ctx, ...)
    local p <close> = child_of(ctx, ...)
    p:join()
    return p.exitcode
  end

  it("is 0 when the target returns", function()
    for _, ctx in helper.methods() do
      assert.equal(0, code(ctx, function() end))
      assert.equal(0, code(ctx, function() return 5 end))
    end
  end)

  it("is that of os.exit [I4]", function()
    for _, ctx in helper.methods() do
      for _, given in ipairs{ 0, 7, 255, true, false } do
        local wanted = given == true and 0 or given or 1
        assert.equal(wanted, code(ctx, os.exit, given))
        assert.equal(wanted, code(ctx, os.exit, given, true))
      end
      assert.equal(0, code(ctx, os.exit))
      assert.equal(44, code(ctx, os.exit, 300))
      assert.equal(255, code(ctx, os.exit, -1))
    end
  end)

  it("is that of os.exit in a coroutine, a pcall or a finalizer [I4]",
    function()
      for _, ctx in helper.methods() do
        assert.equal(7, code(ctx, function()
          coroutine.wrap(function() os.exit(7) end)()
        end))
        assert.equal(8, code(ctx, function()
          while true do pcall(os.exit, 8) end
        end))
        assert.equal(9, code(ctx, function()
          setmetatable({}, { __gc = function() os.exit(9) end })
          collectgarbage()
          return 1
        end))
      end
    end)

  it("is 1 after an error, whose traceback goes to stderr [I1]", function()
    for method in helper.methods() do
      local r = helper.run(([[
        local p = mp.get_context(%q).Process{ name = "bad",
          target = function() local function inner() error("oh") end inner() end
        }:start()
        p:join()
        os.exit(p.exitcode + 40)]]):format(method))
      assert.equal(41, r.code)
      assert.matches("^bad %(pid %d+%):\n[^\n]*:2: oh\nstack traceback:\n",
        r.err)
      assert.matches("in [^\n]*'inner'", r.err)
    end
  end)

  it("is -N when signal N ended it", function()
    for _, ctx in helper.methods{ thread = true } do
      -- The address sanitizer takes SIGSEGV for itself.
      local segv = helper.sanitizer == "asan" and 10 or 11
      for _, sig in ipairs{ 6, 9, 10, segv, 15, 34 } do
        assert.equal(-sig, code(ctx, function()
          local sys = require "host"
          sys.kill(sys.getpid(), sig)
          while true do sys.sleep(1) end
        end))
      end
    end
  end)

  it("stays when it is asked for again", function()
    for _, ctx in helper.methods() do
      local p <close> = child_of(ctx, os.exit, 3)
      for _ = 1, 3 do
        assert.is_true(p:join())
        assert.equal(3, p.exitcode)
      end
    end
  end)
end)

describe("with hardly any C stack left", function()
  it("a fork runs, or raises what there is too little of", function()
    local Process = mp.get_context("fork").Process
    local started, raised = {}, {}
    local function try()
      local p = Process(function() return 1 end)
      local ok, why = pcall(p.start, p)
      if ok then
        started[#started + 1] = p
      else
        raised[#raised + 1] = { p, why }
      end
    end
    local function deep(n)
      if n > 150 then pcall(try) end
      string.gsub("x", "x", function() deep(n + 1) end)
    end
    assert.is_false(pcall(deep, 1))
    assert.truthy(#started > 0 and #raised > 0)
    for i, p in ipairs(started) do
      p:join() -- the last may have had no room to say why they failed
      assert.truthy(p.exitcode == 0 or p.exitcode == 1 and i > #started - 5)
    end
    for _, case in ipairs(raised) do
      assert.is_nil(case[1].pid)
      assert.truthy(case[2]:find("stack overflow", 1, true), case[2])
      case[1]:start():join()
      assert.equal(0, case[1].exitcode)
    end
  end)
end)

describe("ending a process", function()
  local signals = { interrupt = helper.SIGINT, terminate = helper.SIGTERM,
    kill = helper.SIGKILL }

  it("by a signal: interrupt, terminate, kill", function()
    for _, ctx in helper.methods() do
      for name, sig in pairs(signals) do
        local a, b = mp.Pipe()
        local p <close> = helper.quiet(child_of, ctx, function()
          b:send(1)
          while true do end
        end)
        a:recv()
        p[name](p)
        p:join()
        -- As in lua, SIGINT is an error: "interrupted!".
        assert.equal(name == "interrupt" and 1 or -sig, p.exitcode)
      end
    end
  end)

  it("that waits", function()
    for _, ctx in helper.methods() do
      for _, name in ipairs{ "terminate", "kill" } do
        local a, b = mp.Pipe()
        local p <close> = child_of(ctx, function(from)
          from:send(1)
          from:recv()
        end, b)
        a:recv()
        p[name](p)
        assert.is_true(p:join(5))
        assert.equal(-signals[name], p.exitcode)
      end
    end
  end)

  it("that has ended does nothing", function()
    for _, ctx in helper.methods() do
      local p <close> = child_of(ctx, os.exit, 4)
      p:join()
      for name in pairs(signals) do p[name](p) end
      assert.equal(4, p.exitcode)
    end
  end)

  it("that has not started raises", function()
    local p = mp.Process(print)
    for name in pairs(signals) do
      assert.has_error(function() p[name](p) end)
    end
  end)
end)
