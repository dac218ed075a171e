-- Processes that are threads: what is different with them.
local helper = require "helper"
local host = helper.host
local mp = require "mp"

local ctx = mp.get_context("thread")

-- A thread that runs `body(b)` after it has said that it runs.
local function running(body)
  local a, b = mp.Pipe()
  local p = ctx.Process(function()
    b:send("running")
    return body(b)
  end):start()
  a:recv()
  return p, a
end

describe("a thread", function()
  it("has a Lua state of its own and the host's pid", function()
    _G.shared = "here"
    local p <close> = ctx.Process(function()
      local before = rawget(_G, "unset")
      rawset(_G, "unset", 1)
      return before, require "host".getpid()
    end):start()
    assert.same({ n = 2, nil, host.getpid() }, table.pack(p:result()))
    assert.equal(host.getpid(), p.pid)
    assert.is_nil(rawget(_G, "unset"))
    _G.shared = nil
  end)

  it("is ended by os.exit alone", function()
    local p <close> = ctx.Process(function() os.exit(5, true) end):start()
    p:join()
    assert.equal(5, p.exitcode)
    local q <close> = ctx.Process(function()
      -- one that has made processes of its own, too
      ctx.Process(function() end):start():join()
      os.exit(6)
    end):start()
    q:join()
    assert.equal(6, q.exitcode)
  end)

  it("stops at its next instruction, whatever catches errors", function()
    for name, code in pairs{ terminate = -15, kill = -9 } do
      for _, body in ipairs{
        function() while true do end end,
        function()
          while true do pcall(function() while true do end end) end
        end,
        function()
          while true do
            xpcall(function() while true do end end, debug.traceback)
          end
        end,
        function() coroutine.wrap(function() while true do end end)() end,
        function()
          while true do
            local co = coroutine.create(function() while true do end end)
            coroutine.resume(co)
          end
        end,
        function() while true do ("x"):rep(100):gsub(".", "%0") end end,
        function(b) while true do b:poll(0.001) end end,
        function(b) b:recv() end,
        function() mp.parent_process():join() end,
        function(b) mp.wait{ b } end,
        function()
          local _ <close> = setmetatable({}, { __close = function()
            while true do end
          end })
        end,
      } do
        local p <close>, a = running(body)
        p[name](p)
        assert.is_true(p:join(5))
        assert.equal(code, p.exitcode)
        a:close()
      end
    end
  end)

  it("stops wherever it is when it is told to", function()
    for i = 1, 200 do
      local p <close> = ctx.Process(function()
        local a, b = mp.Pipe()
        while true do
          b:send{ 1 }
          a:recv()
        end
      end):start()
      if i % 2 == 0 then host.sleep(i / 1e6) end
      p:terminate()
      assert.is_true(p:join(5))
      assert.equal(-15, p.exitcode)
    end
  end)

  it("that is interrupted gets an error that it may catch", function()
    local a, b = mp.Pipe()
    local p <close> = ctx.Process(function()
      local ok, why = pcall(function()
        b:send(1)
        while true do end
      end)
      local ok2, why2 = pcall(function()
        b:send(2)
        b:recv()
      end)
      return ok, why, ok2, why2
    end):start()
    for i = 1, 2 do
      assert.equal(i, a:recv())
      p:interrupt()
    end
    local ok, why, ok2, why2 = p:result()
    assert.is_false(ok)
    assert.is_false(ok2)
    assert.matches("interrupted!", why)
    assert.matches("interrupted!", why2)
  end)

  it("cannot fork", function()
    local p <close> = ctx.Process(function()
      local child = mp.get_context("fork").Process(function() end)
      return pcall(child.start, child)
    end):start()
    local ok, why = p:result()
    assert.is_false(ok)
    assert.matches("cannot fork", why)
  end)

  it("may start processes of every other kind", function()
    for _, method in ipairs{ "spawn", "forkserver", "thread" } do
      local p <close> = ctx.Process(function()
        local q = mp.get_context(method).Process(function(x)
          return x * 2, mp.parent_process().name
        end, 21):start()
        return q:result()
      end):start()
      assert.same({ 42, p.name }, { p:result() })
    end
  end)

  it("takes none of the program's signals", function()
    assert.equal("got 10\n", helper.output[[
      local a, b = mp.Pipe()
      local p = mp.get_context("thread").Process(function() b:recv() end)
      p:start()
      local got
      host.signal(10, function(sig) got = sig end)
      host.kill(host.getpid(), 10)
      while not got do end
      a:send(1)
      p:join()
      print("got " .. got)]])
  end)

  it("finds modules that were preloaded or given a path", function()
    local p <close> = ctx.Process(function()
      return require "host".getpid() > 0, require("mp") == mp,
        package.loaded.mp ~= nil
    end):start()
    assert.same({ true, true, true }, { p:result() })
  end)

  it("may be many", function()
    local list = {}
    local a, b = mp.Pipe()
    for i = 1, 50 do
      list[i] = ctx.Process(function() return b:recv() * 2 end):start()
    end
    for i = 1, 50 do a:send(i) end
    local sum = 0
    for i = 1, 50 do sum = sum + list[i]:result() end
    assert.equal(50 * 51, sum)
  end)
end)
