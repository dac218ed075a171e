-- Nothing is used up by starting and ending processes, often.
local helper = require "helper"
local mp = require "mp"

local CYCLES = { fork = 1000, spawn = 300, forkserver = 1000, thread = 1000 }

describe("many processes, one after the other", function()
  for method, ctx in helper.methods() do
    it(("leave nothing: %d times %s"):format(CYCLES[method], method),
      function()
        helper.slow(60)
        local function cycle(n)
          for i = 1, n do
            local p = ctx.Process(function(x) return x end, i):start()
            if i % 3 == 0 then
              assert(p:result() == i)
            elseif i % 3 == 1 then
              assert(p:join())
            end -- else it is dropped, and collected
            if i % 50 == 0 then mp.active_children() end
            if i % 100 == 0 then collectgarbage() end
          end
          for _, p in ipairs(mp.active_children()) do p:join() end
          collectgarbage()
          collectgarbage()
        end
        cycle(100)
        local lua, own = collectgarbage("count"), helper.memory()
        local shared = tonumber(
          helper.status("self", "RssShmem"):match("%d+"))
        cycle(CYCLES[method])
        assert.is_true(collectgarbage("count") - lua < 200)
        assert.is_true(helper.memory() - own < 4 + helper.slack)
        assert.is_true(tonumber(
          helper.status("self", "RssShmem"):match("%d+")) - shared < 1024)
      end)
  end

  it("and at once: 200 of each", function()
    helper.slow(60)
    for _, ctx in helper.methods() do
      local list = {}
      for i = 1, 200 do
        list[i] = ctx.Process(function() os.exit(i % 100) end):start()
      end
      for i, p in ipairs(list) do
        assert.is_true(p:join())
        assert.equal(i % 100, p.exitcode)
      end
    end
  end)
end)
