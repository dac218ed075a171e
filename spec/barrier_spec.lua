-- Barriers: all or none pass, and nobody waits for the dead.

local helper = require "helper"
local mp = require "mp"

local LONG, PROMPT = helper.LONG, helper.PROMPT
local start, each_method = helper.child, helper.each_method

local function until_waiting(barrier, n)
  helper.eventually(function() return barrier.n_waiting == n end, PROMPT,
    n .. " waiting")
end

-- Waits there; what it got.
local function come(barrier, timeout)
  return barrier:wait(timeout)
end

describe("a barrier", function()
  each_method("lets all go when all are there", function(ctx)
    local barrier = mp.Barrier(3)
    assert.equal(3, barrier.parties)
    for _ = 1, 3 do
      local a, b = start(ctx, come, barrier), start(ctx, come, barrier)
      until_waiting(barrier, 2)
      local seen = {}
      seen[barrier:wait(LONG)] = true
      seen[a:result(PROMPT)] = true
      seen[b:result(PROMPT)] = true
      assert.same({ true, true, true }, seen)
      assert.equal(0, barrier.n_waiting)
      assert.is_false(barrier.broken)
    end
  end)

  each_method("keeps its parties in step", function(ctx)
    local barrier, count = mp.Barrier(3), mp.Semaphore(0)
    for _ = 1, 3 do
      start(ctx, function(bar, n)
        for i = 1, 100 do
          n:release()
          assert(bar:wait())
          assert(n:get_value() >= 3 * i)
          assert(bar:wait())
        end
      end, barrier, count)
    end
    helper.finish_all()
    assert.equal(300, count:get_value())
  end)

  it("is for one, too", function()
    local barrier = mp.Barrier(1)
    for _ = 1, 3 do assert.equal(1, barrier:wait(0)) end
  end)

  it("refuses what is no argument", function()
    for _, bad in ipairs{ 0, -1, 65536, 1.5, "2", {}, 0 / 0 } do
      assert.error_matches(function() mp.Barrier(bad) end,
        "Barrier: a number of parties")
    end
    assert.error_matches(function() mp.Barrier() end, "number of parties")
    assert.error_matches(function() mp.Barrier(1, { actoin = print }) end,
      "unknown option 'actoin' %(valid: action, timeout%)")
    assert.error_matches(function() mp.Barrier(1, { action = 1 }) end,
      "action must be a function")
    assert.error_matches(function() mp.Barrier(1, { timeout = "1" }) end,
      "must be a number")
    assert.error_matches(function() mp.Barrier(1, { timeout = 0 / 0 }) end,
      "NaN")
    assert.error_matches(function() mp.Barrier(1, print) end, "a table")
    assert.error_matches(function()
      local co = coroutine.create(print)
      mp.Barrier(1, { action = function() return co end })
    end, "action.*co.*cannot send a thread")
    local barrier = mp.Barrier(2)
    for _, bad in ipairs{ false, "1", {}, 0 / 0 } do
      assert.is_false(pcall(barrier.wait, barrier, bad))
    end
    assert.is_false(barrier.broken)
    assert.error_matches(function() barrier.parties = 3 end, "cannot set")
    assert.is_nil(barrier.nothing)
  end)

  it("tells its state", function()
    local barrier = mp.Barrier(2)
    assert.matches("^mp%.Barrier %(0 of 2 waiting%): ", tostring(barrier))
    barrier:abort()
    assert.matches("%(broken%)", tostring(barrier))
    do local _closed <close> = barrier end
    assert.matches("%(closed%)", tostring(barrier))
    assert.error_matches(function() barrier:wait() end, "closed")
  end)

  each_method("breaks when the time of one is up", function(ctx)
    local barrier = mp.Barrier(3)
    local other = start(ctx, function(bar)
      local _, why = bar:wait()
      return why
    end, barrier)
    until_waiting(barrier, 1)
    assert.same({ n = 2, nil, "timeout" }, table.pack(barrier:wait(0.05)))
    assert.equal("broken", other:result(PROMPT))
    assert.is_true(barrier.broken)
    assert.same({ n = 2, nil, "broken" }, table.pack(barrier:wait()))
    barrier:reset()
    assert.is_false(barrier.broken)
    assert.same({ n = 2, nil, "timeout" }, table.pack(barrier:wait(0)))
  end)

  it("has a time of its own", function()
    local barrier = mp.Barrier(2, { timeout = 0.02 })
    assert.same({ n = 2, nil, "timeout" }, table.pack(barrier:wait()))
    for _, ctx in helper.methods() do
      barrier:reset()
      local other = start(ctx, function(bar)
        local _, why = bar:wait()
        return why
      end, barrier)
      assert.equal("timeout", other:result(PROMPT))
    end
  end)

  each_method("is broken by abort and by reset", function(ctx)
    for _, how in ipairs{ "abort", "reset" } do
      local barrier = mp.Barrier(3)
      local waiting = {}
      for i = 1, 2 do
        waiting[i] = start(ctx, function(bar)
          local _, why = bar:wait()
          return why
        end, barrier)
      end
      until_waiting(barrier, 2)
      barrier[how](barrier)
      for i = 1, 2 do assert.equal("broken", waiting[i]:result(PROMPT)) end
      assert.equal(how == "abort", barrier.broken)
      assert.equal(0, barrier.n_waiting)
    end
  end)

  each_method("is broken when a party is killed there", function(ctx)
    local barrier = mp.Barrier(4)
    local victim = start(ctx, come, barrier)
    until_waiting(barrier, 1)
    local others = {}
    for i = 1, 2 do
      others[i] = start(ctx, function(bar)
        local _, why = bar:wait()
        return why
      end, barrier)
    end
    until_waiting(barrier, 3)
    victim:kill()
    for i = 1, 2 do assert.equal("broken", others[i]:result(PROMPT)) end
    assert.is_true(barrier.broken)
    barrier:reset()
    assert.is_false(barrier.broken)
    local late = start(ctx, come, barrier)
    until_waiting(barrier, 1)
    victim:join()
    late:kill()
    late:join()
    -- The next to come finds the dead one.
    assert.same({ n = 2, nil, "broken" }, table.pack(barrier:wait(LONG)))
  end)

  each_method("runs its action once, before all go", function(ctx)
    local done = mp.Semaphore(0)
    local barrier = mp.Barrier(2, { action = function() done:release() end })
    for round = 1, 4 do
      local other = start(ctx, function(bar, sem)
        local index = bar:wait()
        return index, sem:get_value()
      end, barrier, done)
      local index = barrier:wait(LONG)
      assert.equal(round, done:get_value())
      local its, seen = other:result(PROMPT)
      assert.equal(3, index + its)
      assert.equal(round, seen)
    end
  end)

  each_method("is broken when its action fails", function(ctx)
    local barrier = mp.Barrier(2, { action = function() error("oh no", 0) end })
    local other = start(ctx, function(bar)
      local index, why = bar:wait()
      return index, why
    end, barrier)
    until_waiting(barrier, 1)
    assert.error_matches(function() barrier:wait() end, "oh no")
    assert.same({ n = 2, nil, "broken" }, table.pack(other:result(PROMPT)))
    assert.is_true(barrier.broken)
    barrier:reset()
    -- Now the other is the last to come.
    other = start(ctx, function(bar)
      while bar.n_waiting == 0 do end -- luacheck: ignore
      return pcall(bar.wait, bar)
    end, barrier)
    assert.same({ nil, "broken" }, { barrier:wait(LONG) })
    assert.same({ false, "oh no" }, { other:result(PROMPT) })
  end)

  it("is broken when a party is killed in the action", function()
    for _, ctx in helper.methods() do
      local here, there = mp.Pipe()
      local barrier = mp.Barrier(2, { action = function()
        there:send("acting")
        there:recv()
      end })
      local other = start(ctx, function(bar)
        local _, why = bar:wait()
        return why
      end, barrier)
      until_waiting(barrier, 1)
      local victim = start(ctx, come, barrier)
      assert.equal("acting", here:recv(PROMPT))
      victim:kill()
      assert.equal("broken", other:result(PROMPT))
      here:close()
      there:close()
    end
  end)

  it("may be reset and aborted from its action", function()
    local barrier
    barrier = mp.Barrier(1, { action = function() barrier:abort() end })
    assert.same({ n = 2, nil, "broken" }, table.pack(barrier:wait()))
    barrier = mp.Barrier(1, { action = function() barrier:reset() end })
    assert.same({ n = 2, nil, "broken" }, table.pack(barrier:wait()))
    assert.is_false(barrier.broken)
  end)

  it("lets more than its parties pass in groups", function()
    for _, ctx in helper.methods() do
      local barrier = mp.Barrier(2)
      local all = {}
      for i = 1, 4 do all[i] = start(ctx, come, barrier) end
      local sum = 0
      for i = 1, 4 do sum = sum + all[i]:result(PROMPT) end
      assert.equal(6, sum)
    end
  end)

  it("is the same for all its holders", function()
    local barrier = mp.Barrier(1, { action = function() end })
    local a, b = mp.Pipe()
    a:send({ barrier, inside = { barrier } })
    local got = b:recv()
    assert.equal(barrier, got[1])
    assert.equal(barrier, got.inside[1])
  end)

  it("does without one that Ctrl-C has interrupted", function()
    local script <close> = helper.start[[
      local barrier = mp.Barrier(2)
      print "waiting" io.stdout:flush()
      print(pcall(barrier.wait, barrier))
      print(barrier.n_waiting, barrier.broken)
      local p = mp.Process(function() return barrier:wait(5) end):start()
      print(barrier:wait(5) + p:result())
    ]]
    assert.equal("waiting", script:line())
    script:asleep()
    script:kill(helper.SIGINT)
    assert.matches("^false.*interrupted!", script:line())
    assert.equal("0\tfalse", script:line())
    assert.equal("3", script:line())
  end)
end)
