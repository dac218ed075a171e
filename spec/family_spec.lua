-- A process held by other processes than the one that made it; subclasses.
local helper = require "helper"
local host = helper.host
local mp = require "mp"

local waiting = helper.waiting

local function child_of(ctx, ...) return ctx.Process(...):start() end

describe("a process sent to another", function()
  it("is the same value when it comes back", function()
    for _, ctx in helper.methods() do
      local p <close>, go = waiting(ctx)
      local a, b = mp.Pipe()
      local _echo <close> = child_of(ctx, function(arg)
        local got = b:recv()
        b:send{ got, got == arg, [got] = "key" }
      end, p)
      a:send(p)
      local back = a:recv()
      assert.equal(p, back[1])
      assert.is_true(rawequal(p, back[1]))
      assert.is_true(back[2])
      assert.equal("key", back[p])
      go:send(1)
    end
  end)

  it("shows its fields there", function()
    for _, ctx in helper.methods() do
      local p <close>, go = waiting(ctx)
      local reader <close> = child_of(ctx, function(it)
        return it.name, it.pid, it.daemon, it.exitcode, it:is_alive()
      end, p)
      assert.same({ n = 5, p.name, p.pid, false, nil, true },
        table.pack(reader:result()))
      go:send(1)
    end
  end)

  it("can be waited for there, by several, and here [F4]", function()
    for _, ctx in helper.methods() do
      local p <close>, go = waiting(ctx)
      local list = {}
      for i = 1, 4 do
        list[i] = child_of(ctx, function(it)
          local early = it:join(0)
          go:send("ready")
          if i % 2 == 0 then mp.wait{ it } end
          return early, it:join(), it:is_alive(), it.exitcode, it:result()
        end, p)
      end
      -- The four talk to p's own pipe: its first message ends it.
      for _, q in ipairs(list) do
        local early, joined, alive, code, answer = q:result()
        assert.is_true(joined)
        assert.is_false(alive)
        assert.equal(0, code)
        assert.equal("ready", answer)
        assert.equal("boolean", type(early))
      end
      assert.is_true(p:join())
    end
  end)

  it("has its exit code there, before and after its parent asked", function()
    for _, ctx in helper.methods() do
      for _, first in ipairs{ true, false } do
        local a, b = mp.Pipe()
        local p <close> = child_of(ctx, function() b:recv() os.exit(7) end)
        local watcher <close> = child_of(ctx, function(it)
          it:join()
          return it.exitcode
        end, p)
        a:send(1)
        if first then p:join() end
        assert.equal(7, watcher:result())
        assert.equal(7, p:join() and p.exitcode)
      end
    end
  end)

  it("can be signalled there", function()
    for _, ctx in helper.methods() do
      for name, sig in pairs{ terminate = 15, kill = 9 } do
        local p <close>, go = waiting(ctx)
        local killer <close> = child_of(ctx, function(it)
          it[name](it)
          it:join()
          return it.exitcode
        end, p)
        assert.equal(-sig, killer:result())
        assert.is_true(p:join(5))
        assert.equal(-sig, p.exitcode)
        go:close()
      end
    end
  end)

  it("can be started only by the one that made it", function()
    for method, ctx in helper.methods() do
      local p = ctx.Process(print)
      local q <close> = child_of(ctx, function(it)
        return (pcall(it.start, it))
      end, p)
      assert.is_false(q:result(), method)
      p:start():join()
      assert.equal(0, p.exitcode)
    end
  end)

  it("outlives the process that made it, and can be waited for", function()
    for method, ctx in helper.methods{ thread = true } do
      local a, b = mp.Pipe()
      local maker <close> = child_of(ctx, function()
        local inner = mp.get_context(method)
        b:send(inner.Process(function() b:recv() os.exit(5) end):start())
        require("host").kill(require("host").getpid(), 9)
      end)
      local orphan = a:recv()
      maker:join()
      assert.is_true(orphan:is_alive())
      a:send(1)
      assert.is_true(orphan:join(5))
      assert.is_false(orphan:is_alive())
      assert.equal(5, orphan.exitcode)
    end
  end)

  it("may be started by a child's child, and its answer read here", function()
    for method, ctx in helper.methods() do
      local p <close> = child_of(ctx, function()
        local inner = mp.get_context(method == "thread" and "spawn" or method)
        local child = inner.Process(function() return "deep" end):start()
        child:join()
        return child
      end)
      local inner = p:result()
      assert.same({ "deep", 0, p.name .. ":1" },
        { inner:result(), inner.exitcode, inner.name })
    end
  end)
end)

describe("signals to a process whose pid was given away", function()
  it("reach nobody else [F6]", function()
    for method, ctx in helper.methods{ thread = true } do
      local p <close> = child_of(ctx, os.exit, 3)
      p:join()
      local other, why = host.fork_as(p.pid)
      if not other then pending("no child of a chosen pid: " .. why) end
      finally(function()
        host.kill(other, 9)
        host.waitpid(other)
      end)
      assert.equal(p.pid, other)
      p:kill()
      p:terminate()
      assert.is_false(p:is_alive())
      assert.equal(3, p.exitcode)
      assert.is_true(p:join(0))
      -- and from a process that never waited for it
      local q <close> = child_of(ctx, function(it)
        it:kill()
        return it:is_alive(), it.exitcode, it:join(0)
      end, p)
      assert.same({ false, 3, true }, { q:result() }, method)
      assert.equal(0, host.waitpid(other, true))
      host.kill(other, 9)
      host.waitpid(other)
      finally(function() end)
    end
  end)
end)

describe("a subclass of Process", function()
  local Counter = mp.Process:extend{
    run = function(self) return self:count() + self.step, self.list end,
  }
  function Counter:count() return self.first * 2 end

  it("has run and methods, and its fields reach the child", function()
    for method, ctx in helper.methods() do
      local Class = ctx.Process:extend{ run = Counter.run,
        count = Counter.count }
      local p <close> = Class{ name = "counter " .. method }
      p.first, p.step, p.list = 5, 3, { "x" }
      assert.equal(10, p:count())
      assert.same({ 13, { "x" } }, { p:start():result() })
      assert.equal("counter " .. method, p.name)
    end
  end)

  it("may be extended again, and call its parent's run", function()
    for _, ctx in helper.methods() do
      local Base = ctx.Process:extend{ greet = function() return "hi" end }
      local Leaf = Base:extend{}
      function Leaf:run(...)
        return self:greet(), self.word, Base.run(self, ...)
      end
      local p <close> = Leaf(function(x) return x end, 9)
      p.word = "there"
      assert.same({ "hi", "there", 9 }, { p:start():result() })
    end
  end)

  it("keeps later changes of the parent's fields to the parent", function()
    for method, ctx in helper.methods() do
      local a, b = mp.Pipe()
      local list = { 1 }
      local p <close> = ctx.Process(function(t)
        b:recv()
        return t[1], mp.current_process().field
      end, list)
      p.field = "old"
      p:start()
      list[1], p.field = 2, "new"
      a:send(1)
      assert.same({ 1, "old" }, { p:result() }, method)
      assert.equal("new", p.field)
    end
  end)

  it("needs a table", function()
    assert.has_error(function() mp.Process:extend(1) end)
    assert.has_error(function() mp.Process:extend() end)
  end)
end)

describe("starting", function()
  it("twice raises", function()
    for _, ctx in helper.methods() do
      local p <close> = child_of(ctx, print)
      assert.has_error(function() p:start() end)
      p:join()
      assert.has_error(function() p:start() end)
    end
  end)

  it("with what cannot travel raises with the path, and starts nothing",
    function()
      for method, ctx in helper.methods{ fork = true } do
        local p <close> = ctx.Process(function() return 1 end,
          { cb = coroutine.create(print) })
        local ok, why = pcall(p.start, p)
        assert.is_false(ok)
        assert.matches("args[1].cb: cannot send a thread", why, 1, true,
          method)
        assert.is_nil(p.pid)
        assert.same({}, mp.active_children())
      end
    end)

  it("under fork takes what cannot travel", function()
    local co = coroutine.wrap(function() coroutine.yield(1) end)
    local p <close> = child_of(mp.get_context("fork"), function(f)
      return f()
    end, co)
    assert.equal(1, p:result())
  end)

  it("in a child that is being set up raises [I10]", function()
    for method in helper.methods{ fork = true } do
      assert.equal("false\ttrue\n", helper.output(([[
        local p = mp.get_context(%q).Process(function(x) return x end,
          setmetatable({}, { __reduce = function()
            return function()
              local inner = require "mp"
              local ok, why = pcall(function()
                inner.Process(function() end):start()
              end)
              return { ok, why }
            end
          end }))
        local r = p:start():result()
        print(r[1], r[2]:find("set up") ~= nil)]]):format(method)))
    end
  end)

  it("runs the script once: nothing is imported twice [I10]", function()
    for method in helper.methods() do
      assert.equal("main\nchild\n", helper.output(([[
        print "main" io.stdout:flush()
        local p = mp.get_context(%q).Process(function() print "child" end)
        p:start():join()]]):format(method)))
    end
  end)
end)
