-- Lua itself in a child: errors, finalizers, coroutines, hooks.
local helper = require "helper"
local mp = require "mp"

-- For each method: run `body` as the target, in a script; what `check` gives
-- of the process is printed.
local function each(body, check, wanted, opts)
  for method in helper.methods() do
    local r = helper.run(([[
      local p = mp.get_context(%q).Process(function() %s end):start()
      p:join()
      local ok, e = pcall(p.result, p)
      print(%s)]]):format(method, body, check), opts)
    assert.equal(wanted .. "\n", r.out, method .. r.err)
    assert.equal(0, r.code, method)
  end
end

local FAILED = "p.exitcode, ok, type(e.message), e.message"

describe("an error in a child", function()
  it("may be any value [I1]", function()
    each("error 'text'", "p.exitcode, e.message:match ': (.*)'", "1\ttext")
    each("error('text', 0)", FAILED, "1\tfalse\tstring\ttext")
    each("error(nil)", "p.exitcode, e.message", "1\tnil")
    each("error()", "p.exitcode, e.message", "1\tnil")
    each("error(42)", FAILED, "1\tfalse\tnumber\t42")
    each("error{ code = 7 }", "p.exitcode, e.message.code", "1\t7")
    each("error(io.stderr)", "p.exitcode, e.message == io.stderr", "1\ttrue")
    each("error(io.tmpfile())", "p.exitcode, e.message:match '^file %('",
      "1\tfile (")
    each("error(print)", "p.exitcode, e.message == print", "1\ttrue")
  end)

  it("may have a __tostring that raises, or gives no string [I1]", function()
    each([[
      error(setmetatable({}, { __tostring = function() error "no" end }))]],
      "p.exitcode, type(e.message), type(tostring(e))", "1\ttable\tstring")
    each([[error(setmetatable({}, { __tostring = function() return 1 end }))]],
      "p.exitcode, type(e.message), type(tostring(e))", "1\ttable\tstring")
    each([[error(setmetatable({}, { __name = "mine" }))]],
      "p.exitcode, type(e.message)", "1\ttable")
  end)

  it("may be a lack of stack or of memory [I1]", function()
    each("local function f() return f() + 1 end f()",
      "p.exitcode, e.message:find 'stack overflow' ~= nil", "1\ttrue")
    each("local function f() return pcall(f) and error(f) end f() error 'x'",
      "p.exitcode, ok", "1\tfalse")
    each("local t = {} t.x = ('x'):rep(1 << 40)", "p.exitcode, ok", "1\tfalse")
  end)

  it("may come of recursion in error handling [I1]", function()
    each([[
      local function loop(x) return xpcall(loop, loop, x) end
      loop() error "end"]], "p.exitcode, ok", "1\tfalse")
    each([[
      local mt = {} mt.__index = function(t, k) return t[k] end
      local x = setmetatable({}, mt).y]], "p.exitcode, ok", "1\tfalse")
  end)

  it("may come of arithmetic, or of long keys [I11]", function()
    each("return 1 // 0", "p.exitcode, ok", "1\tfalse")
    each("return 1 % 0", "p.exitcode, ok", "1\tfalse")
    each("return { [('k'):rep(50)] = 1 }", "e[('k'):rep(50)]", "1")
  end)

  it("raised by __close or a finalizer is lua's [I2 I3]", function()
    each([[
      local x <close> = setmetatable({}, { __close = function()
        error("closing", 0)
      end })]], "p.exitcode, e.message", "1\tclosing")
    each([[
      setmetatable({}, { __gc = function() error "in gc" end })
      collectgarbage()
      return 5]], "p.exitcode, e", "0\t5")
    each([[
      local order = {}
      pcall(function()
        local a <close> = setmetatable({}, { __close = function(_, e)
          order[#order + 1] = e
        end })
        error("first", 0)
      end)
      return order[1]
    ]], "p.exitcode, e", "0\tfirst")
  end)

  it("warns when asked to, as lua does [I2]", function()
    local r = helper.run([[
      mp.get_context("fork").Process(function()
        warn "@on"
        setmetatable({}, { __gc = function() error("in gc", 0) end })
        collectgarbage()
      end):start():join()]])
    assert.matches("Lua warning: error in __gc", r.err)
  end)
end)

describe("in a coroutine", function()
  it("waits block and end; a yield across them cannot happen [I5]", function()
    for _, ctx in helper.methods() do
      local co = coroutine.wrap(function()
        local a, b = mp.Pipe()
        local p <close> = ctx.Process(function() return b:recv() end):start()
        coroutine.yield(p:join(0))
        a:send(8)
        coroutine.yield(p:result())
      end)
      assert.is_false(co())
      assert.equal(8, co())
      co()
    end
  end)

  it("dropped in the middle nothing is leaked [I6]", function()
    for _, ctx in helper.methods() do
      local inner
      local co = coroutine.create(function()
        local a, b = mp.Pipe()
        local p <close> = ctx.Process(function() b:recv() end):start()
        inner = p
        coroutine.yield(a.closed)
      end)
      assert.same({ true, false }, { coroutine.resume(co) })
      assert.is_true(inner:is_alive())
      inner:kill()
      assert.is_true(coroutine.close(co))
      assert.equal(-9, inner.exitcode)
    end
  end)

  it("a child of fork may be started, and ends there", function()
    local p = coroutine.wrap(function()
      return mp.get_context("fork").Process(function()
        return coroutine.isyieldable()
      end):start()
    end)()
    assert.is_boolean(p:result())
  end)
end)

describe("a hook that raises", function()
  it("leaves starts and waits as they were [I8]", function()
    for method in helper.methods() do
      assert.equal("ok\n", helper.output(([[
        local ctx, me = mp.get_context(%q), host.getpid()
        local raised = 0
        for n = 1, 300, 7 do
          local p = ctx.Process(function() return 1 end)
          local ok, why = pcall(function()
            debug.sethook(function() debug.sethook() error "hook" end, "", n)
            p:start()
            p:join()
            debug.sethook()
          end)
          debug.sethook()
          if host.getpid() ~= me then -- a fork came back out of start
            io.stdout:write("astray\n")
            host.leave(1)
          end
          if not ok then
            raised = raised + 1
            assert(tostring(why):find("hook"), why)
          end
          if p.pid then
            assert(p:join(5))
          else
            assert(p:start():result() == 1)
          end
        end
        assert(raised > 10)
        print "ok"]]):format(method)), method)
    end
  end)
end)

describe("a collector at work", function()
  it("in any mode takes nothing that is in use [I7]", function()
    for _, mode in ipairs{ "generational", "incremental" } do
      collectgarbage(mode)
      if mode == "incremental" then collectgarbage("incremental", 1, 1000) end
      for _, ctx in helper.methods() do
        for i = 1, 20 do
          local p = ctx.Process(function(t)
            collectgarbage(t.mode)
            return { t, t }
          end, { mode = mode, i }):start()
          local back = p:result()
          assert.equal(back[1], back[2])
          assert.equal(i, back[1][1])
        end
      end
    end
    collectgarbage("incremental", 200, 100)
  end)

  it("does not end a process whose handle is dropped", function()
    for _, ctx in helper.methods() do
      local a, b = mp.Pipe()
      ctx.Process(function() b:send(b:recv() + 1) end):start()
      collectgarbage()
      collectgarbage()
      assert.equal(1, #mp.active_children())
      a:send(1)
      assert.equal(2, a:recv())
      for _, p in ipairs(mp.active_children()) do p:join() end
    end
  end)
end)
