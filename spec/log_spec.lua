-- Logging: silent by default, and in order from every descendant.
local helper = require "helper"

describe("logger:", function()
  it("is silent until it is told where to", function()
    local r = helper.run [[
      mp.get_logger():error("nobody hears this")
      print(mp.get_logger() == mp.get_logger(), mp.get_logger())]]
    assert.same({ "true\tmp.Logger (WARN)\n", "" }, { r.out, r.err })
  end)

  it("writes to stderr what is not below its level", function()
    local r = helper.run [[
      local log = mp.log_to_stderr()
      log:debug("no")
      log:warn("yes %d", 1)
      log:setLevel("DEBUG")
      assert(log:getLevel() == "DEBUG")
      log:debug(function() return "made when wanted" end)
      log:setLevel("OFF")
      log:fatal("no")
      print(pcall(log.setLevel, log, "LOUD"))
      print(pcall(mp.log_to_stderr, "LOUD"))]]
    assert.equal("[WARN/MainProcess] yes 1\n"
      .. "[DEBUG/MainProcess] made when wanted\n", r.err)
    assert.equal(2, select(2, r.out:gsub("unknown level 'LOUD'", "")))
  end)

  for method in helper.methods() do
    it("children write, too: " .. method, function()
      local r = helper.run(([[
        local log = mp.log_to_stderr("INFO")
        local ctx = mp.get_context %q
        ctx.Process{name = "Child", target = function(a, b)
          mp.get_logger():info("%%s and %%s", a, b)
          mp.get_logger():debug("no")
        end, args = {1, 2}}:start():join()
        log:info("after")]]):format(method))
      assert.equal("[INFO/Child] 1 and 2\n[INFO/MainProcess] after\n", r.err)
    end)

    it("an output of the parent's gets all, in order: " .. method, function()
      local out = helper.output(([[
        local log = mp.get_logger()
        log:setLevel("INFO")
        log:addOutput(function(_, level, message) print(level, message) end)
        local ctx = mp.get_context %q
        local team = {}
        for i = 1, 3 do
          team[i] = ctx.Process{name = "P" .. i, target = function()
            for k = 1, 20 do mp.get_logger():info("%%d", k) end
            if i == 3 then
              mp.get_context "fork".Process{name = "Grandchild",
                target = function() mp.get_logger():warn("hello") end,
              }:start():join()
            end
          end}:start()
        end
        for _, p in ipairs(team) do p:join() end]]):format(
          method == "thread" and "spawn" or method))
      local next_of = {}
      for name, k in out:gmatch("INFO\t(P%d): (%d+)\n") do
        assert.equal(next_of[name] or 1, tonumber(k))
        next_of[name] = k + 1
      end
      assert.same({ P1 = 21, P2 = 21, P3 = 21 }, next_of)
      assert.matches("WARN\tGrandchild: hello\n", out)
    end)
  end

  it("a child with an output writes what its own children say", function()
    for method in helper.methods() do
      local out = helper.output(([[
        local ctx = mp.get_context %q
        ctx.Process(function()
          mp.get_logger():addOutput(function(_, _, message) print(message) end)
          ctx.Process(function() mp.get_logger():warn "heard" end):start()
        end):start()]]):format(method))
      assert.equal("Process-1:1: heard\n", out, method)
    end
  end)

  it("a LuaLogging logger can be plugged in", function()
    local out = helper.output [[
      local plugged = { log = function(_, level, message)
        print("plugged", level, message)
      end }
      mp.get_logger():addOutput(plugged)
      mp.get_logger():error("here")
      mp.Process{name = "Child", target = function()
        mp.get_logger():error("there")
      end}:start()
      print(pcall(mp.get_logger().addOutput, mp.get_logger(), 1))]]
    assert.matches("^plugged\tERROR\tMainProcess: here\n", out)
    assert.matches("plugged\tERROR\tChild: there\n$", out)
    assert.matches("a function or a logger was expected", out)
  end)
end)
