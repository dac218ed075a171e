-- Waiting for processes, and what they answered.
local helper = require "helper"
local host = helper.host
local mp = require "mp"

local waiting = helper.waiting

local function child_of(ctx, ...) return ctx.Process(...):start() end

describe("join", function()
  it("returns true when the process has ended, as often as asked", function()
    for _, ctx in helper.methods() do
      local p <close>, go = waiting(ctx)
      go:send(1)
      assert.is_true(p:join())
      assert.is_true(p:join())
      assert.is_true(p:join(0))
      assert.is_true(p:join(-1))
    end
  end)

  it("gives false, 'timeout' when it has not [E9]", function()
    for _, ctx in helper.methods() do
      local p <close>, go = waiting(ctx)
      for _, timeout in ipairs{ 0, -1, -math.huge, 0.01, 1e-9 } do
        assert.same({ false, "timeout" }, { p:join(timeout) })
        assert.same({ nil, "timeout", n = 2 },
          table.pack(p:result(timeout)))
      end
      assert.is_true(p:is_alive())
      go:send(1)
    end
  end)

  it("waits for ever with inf, and long with what overflows [E9]", function()
    for _, ctx in helper.methods() do
      for _, timeout in ipairs{ math.huge, 1e300, 2.0 ^ 63 / 1e9, 1 << 62 } do
        local p <close>, go = waiting(ctx)
        go:send(1)
        assert.is_true(p:join(timeout))
      end
    end
  end)

  it("raises for a timeout that is none [E9]", function()
    for _, ctx in helper.methods() do
      local p <close>, go = waiting(ctx)
      for _, timeout in ipairs{ 0 / 0, "1s", true, {} } do
        assert.has_error(function() p:join(timeout) end)
        assert.has_error(function() p:result(timeout) end)
      end
      go:send(1)
    end
  end)

  it("of a process that has not started raises", function()
    assert.has_error(function() mp.Process(print):join() end)
    assert.has_error(function() mp.Process(print):result() end)
  end)

  it("of oneself raises", function()
    assert.has_error(function() mp.current_process():join() end)
    assert.has_error(function() mp.current_process():join(0) end)
    for _, ctx in helper.methods() do
      local p <close> = child_of(ctx, function()
        return (pcall(mp.current_process().join, mp.current_process()))
      end)
      assert.is_false(p:result())
    end
  end)

  it("leaves no zombie, nor do is_alive and active_children [F5]", function()
    for _, ctx in helper.methods{ thread = true } do
      for _, reap in ipairs{ "join", "is_alive", "active_children" } do
        local p <close>, go = waiting(ctx)
        go:send(1)
        host.read(p.sentinel, 5)
        if reap == "active_children" then
          mp.active_children()
        else
          p[reap](p)
        end
        assert.is_nil(helper.children()[p.pid])
        assert.equal(0, p.exitcode)
      end
    end
  end)
end)

describe("result", function()
  local function result(...)
    local p <close> = child_of(...)
    return table.pack(p:result())
  end

  it("is all that the target returned, nils too", function()
    for _, ctx in helper.methods() do
      assert.same({ n = 0 }, result(ctx, function() end))
      assert.same({ n = 1 }, result(ctx, function() return nil end))
      assert.same({ n = 4, nil, false, nil, nil },
        result(ctx, function() return nil, false, nil, nil end))
      assert.same({ n = 2, { a = { 1.5 } }, "\0\xff" },
        result(ctx, function() return { a = { 1.5 } }, "\0\xff" end))
    end
  end)

  it("can be asked for again, and is then equal", function()
    for _, ctx in helper.methods() do
      local p <close> = child_of(ctx, function() return { 1 }, 2 end)
      assert.same({ { 1 }, 2 }, { p:result() })
      assert.same({ { 1 }, 2 }, { p:result(0) })
    end
  end)

  it("may be long", function()
    for _, ctx in helper.methods() do
      local p <close> = child_of(ctx, function() return ("x"):rep(1 << 22) end)
      assert.equal(1 << 22, #p:result())
    end
  end)

  it("raises the error of the target with its original value [I1]", function()
    local values = { "text", 5, 2.5, false, { code = 7, { 1 } } }
    for method, ctx in helper.methods() do
      for _, value in ipairs(values) do
        local p <close> = helper.quiet(child_of, ctx, function()
          error(value, 0)
        end)
        local ok, e = helper.quiet(pcall, p.result, p)
        assert.is_false(ok)
        assert.equal(mp.RemoteError, getmetatable(e))
        assert.same(value, e.message)
        assert.matches("stack traceback:", e.traceback)
        -- It ends with the target: below are the module's frames, and those of
        -- the parent that a forked process has on its stack.
        assert.matches("join_spec.lua:%d+: in function <[^\n]*>$", e.traceback)
        assert.equal(p.name, e.process)
        assert.equal(p.pid, e.pid)
        if type(value) ~= "table" then
          assert.matches(tostring(value), tostring(e), 1, true)
        end
        assert.matches(p.name, tostring(e), 1, true, method)
      end
    end
  end)

  it("raises the error's text when the value cannot travel [H6]", function()
    for method in helper.methods() do
      assert.equal("true\n", helper.output(([[
        local p = mp.get_context(%q).Process(function()
          error(setmetatable({ coroutine.create(print) },
            { __tostring = function() return "odd one" end }))
        end):start()
        local ok, e = pcall(p.result, p)
        print(e.message == "odd one")]]):format(method)))
    end
  end)

  it("raises with the path when what is returned cannot travel [H6]",
    function()
      for method in helper.methods() do
        local r = helper.run(([[
          local p = mp.get_context(%q).Process(function()
            return 1, { x = coroutine.create(print) }
          end):start()
          local ok, e = pcall(p.result, p)
          print(ok, e.message, p.exitcode)]]):format(method))
        assert.matches("^false\t[^\n]*%.x[^\n]*: cannot send a thread\t",
          r.out)
      end
    end)

  it("raises ProcessDied when the process did not answer", function()
    for method, ctx in helper.methods() do
      local p <close> = child_of(ctx, os.exit, 3)
      local ok, e = pcall(p.result, p)
      assert.is_false(ok)
      assert.equal(mp.ProcessDied, getmetatable(e))
      assert.same({ p.name, p.pid, 3 }, { e.process, e.pid, e.exitcode })
      assert.matches("exit code 3", tostring(e))
      local q <close>, go = waiting(ctx)
      q:kill()
      ok, e = pcall(q.result, q)
      assert.is_false(ok)
      assert.equal(-9, e.exitcode, method)
      assert.matches("signal 9", tostring(e))
      go:close()
    end
  end)
end)

describe("closing a process", function()
  it("gives up the handle of one that has ended", function()
    for _, ctx in helper.methods() do
      local p <close> = child_of(ctx, print)
      p:join()
      p:close()
      p:close()
      for _, f in ipairs{ function() return p.pid end,
        function() p:join() end, function() p:is_alive() end,
        function() p:result() end, function() p:start() end } do
        assert.has_error(f)
      end
    end
  end)

  it("raises while it runs", function()
    for _, ctx in helper.methods() do
      local p <close>, go = waiting(ctx)
      assert.has_error(function() p:close() end)
      go:send(1)
    end
  end)

  it("by leaving a block joins it", function()
    for _, ctx in helper.methods() do
      local outer
      do
        local p <close>, go = waiting(ctx)
        outer = p
        go:send(1)
      end
      assert.equal(0, outer.exitcode)
    end
  end)

  it("by leaving a block through an error ends it first", function()
    for _, ctx in helper.methods() do
      local outer
      assert.has_error(function()
        local p <close> = waiting(ctx)
        outer = p
        error "out"
      end)
      assert.equal(-15, outer.exitcode)
    end
  end)
end)

describe("a sentinel", function()
  it("is a descriptor that is readable once the process has ended", function()
    for _, ctx in helper.methods() do
      local p <close>, go = waiting(ctx)
      assert.equal("integer", math.type(p.sentinel))
      assert.same({ nil, "timeout" }, { host.read(p.sentinel, 0) })
      assert.equal(p.sentinel, p.sentinel)
      go:send(1)
      assert.same({ p.sentinel }, mp.wait({ p.sentinel }, 5))
      assert.is_false(p:is_alive())
      assert.same({ p.sentinel }, mp.wait({ p.sentinel }, 0))
    end
  end)

  it("of a process that ended before it was asked for is readable", function()
    for _, ctx in helper.methods() do
      local p <close> = child_of(ctx, print)
      p:join()
      assert.same({ p.sentinel }, mp.wait({ p.sentinel }, 0))
    end
  end)

  it("before the start raises", function()
    assert.has_error(function() return mp.Process(print).sentinel end)
  end)

  it("is what mp.wait takes of a process, among others", function()
    local list, go = {}, {}
    for _, ctx in helper.methods() do
      local p, a = waiting(ctx)
      list[#list + 1], go[#go + 1] = p, a
    end
    assert.same({}, mp.wait(list, 0))
    for i, p in ipairs(list) do
      go[i]:send(1)
      assert.equal(p, mp.wait(list, 5)[1])
      p:join()
      table.remove(list, i)
      table.insert(list, i, p)
      list[i] = go[i] -- never ready again: its other end is held here
    end
  end)

  it("is not kept from firing by a grandchild", function()
    local r, w = host.pipe()
    local a, b = mp.Pipe()
    local p <close> = mp.get_context("fork").Process(function()
      local pid = host.fork()
      if pid == 0 then
        host.close(w)
        host.read(r, 9) -- until the test closes the other end
        host.leave(0)
      end
      b:send(pid)
      os.exit(0)
    end):start()
    a:recv()
    assert.same({ p }, mp.wait({ p }, 5))
    host.close(w)
    host.close(r)
  end)
end)

describe("the children of a process", function()
  it("are listed while they run", function()
    for _, ctx in helper.methods() do
      assert.same({}, mp.active_children())
      local p <close>, go = waiting(ctx)
      local q <close>, go2 = waiting(ctx)
      local list = mp.active_children()
      assert.equal(2, #list)
      assert.is_true(list[1] == p or list[2] == p)
      assert.is_true(list[1] == q or list[2] == q)
      go:send(1)
      p:join()
      assert.same({ q }, mp.active_children())
      go2:send(1)
      q:join()
      assert.same({}, mp.active_children())
    end
  end)

  it("know their parent, and themselves", function()
    assert.is_nil(mp.parent_process())
    assert.equal(mp.current_process(), mp.current_process())
    for _, ctx in helper.methods() do
      local p <close> = child_of(ctx, function()
        local me, parent = mp.current_process(), mp.parent_process()
        return me.name, me.pid, me, parent, parent.name, parent:is_alive(),
          me:is_alive()
      end)
      assert.same({ p.name, p.pid, p, mp.current_process(), "MainProcess",
        true, true }, { p:result() })
    end
  end)
end)
