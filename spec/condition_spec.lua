-- Conditions: a notification reaches one that lives.

local helper = require "helper"
local mp = require "mp"

local host = helper.host

local LONG, PROMPT = helper.LONG, helper.PROMPT
local start, each_method = helper.child, helper.each_method

-- Says that it waits, waits, and says what it got.
local function listen(cond, say, timeout)
  cond:acquire()
  say:send("waits")
  local ok, why, third = cond:wait(timeout)
  say:send({ ok, why, third })
  cond:release()
end

local function listener(ctx, cond, timeout)
  local here, there = mp.Pipe()
  local process = start(ctx, listen, cond, there, timeout)
  assert.equal("waits", here:recv(PROMPT))
  cond:with(function() end) -- it has let go of the lock: it waits
  return process, here
end

local function notify(cond, n)
  cond:with(function() cond:notify(n) end)
end

describe("a condition", function()
  for _, kind in ipairs{ "its own RLock", "a Lock", "an RLock" } do
    local function new()
      if kind == "a Lock" then return mp.Condition(mp.Lock()) end
      return mp.Condition(kind == "an RLock" and mp.RLock() or nil)
    end

    it("over " .. kind .. " wants it held", function()
      local cond = new()
      for _, method in ipairs{ "wait", "notify", "notify_all", "release" } do
        assert.error_matches(function() cond[method](cond) end,
          method .. ": the lock is not held")
      end
      assert.is_true(cond:acquire())
      assert.is_true(cond:locked())
      assert.equal(0, select("#", cond:notify()))
      assert.equal(0, select("#", cond:notify_all()))
      assert.same({ false, "timeout" }, { cond:wait(0) })
      assert.same({ false, "timeout" }, { cond:wait(-1) })
      assert.same({ false, "timeout" }, { cond:wait(0.02) })
      cond:release()
      assert.is_false(cond:locked())
    end)

    it("over " .. kind .. " wakes as many as it is told", function()
      for _, ctx in helper.methods() do
        local cond = new()
        local ends = {}
        for i = 1, 4 do _, ends[i] = listener(ctx, cond) end
        notify(cond, 0)
        assert.same({}, mp.wait(ends, 0))
        notify(cond)
        assert.same({ true }, ends[1]:recv(PROMPT))
        notify(cond, 2)
        assert.same({ true }, ends[2]:recv(PROMPT))
        assert.same({ true }, ends[3]:recv(PROMPT))
        assert.same({}, mp.wait({ ends[4] }, 0.02))
        cond:with(function() cond:notify_all() end)
        assert.same({ true }, ends[4]:recv(PROMPT))
        helper.stop_children()
      end
    end)
  end

  it("belongs to the process that holds the lock", function()
    for _, ctx in helper.methods() do
      local cond = mp.Condition()
      cond:acquire()
      local process = start(ctx, function(c)
        return (pcall(c.wait, c, 0)), (pcall(c.notify, c)),
          (pcall(c.release, c)), (c:acquire(0))
      end, cond)
      assert.same({ false, false, false, false },
        { process:result(PROMPT) })
      cond:release()
    end
  end)

  it("gives all levels of an RLock back, and takes them again", function()
    for _, ctx in helper.methods() do
      local cond = mp.Condition()
      for _ = 1, 3 do cond:acquire() end
      start(ctx, function(c) c:with(function() c:notify() end) end, cond)
      assert.same({ true }, { cond:wait(LONG) })
      for _ = 1, 3 do cond:release() end
      assert.is_false(cond:locked())
    end
  end)

  it("refuses what is no argument", function()
    for _, bad in ipairs{ 1, "x", true, false, {}, mp.Semaphore(1),
      mp.Pipe() } do
      assert.is_false(pcall(mp.Condition, bad))
    end
    local cond = mp.Condition()
    cond:acquire()
    for _, bad in ipairs{ false, "1", {}, 0 / 0 } do
      assert.is_false(pcall(cond.wait, cond, bad))
      assert.is_false(pcall(cond.wait_for, cond, function() end, bad))
    end
    assert.is_false(pcall(cond.notify, cond, "x"))
    assert.error_matches(function() cond:wait_for(1) end,
      "wait_for: a function was expected")
    assert.error_matches(function() cond.x = 1 end, "cannot set 'x'")
    assert.is_nil(cond.nothing)
    cond:release()
  end)

  it("tells its state", function()
    local cond = mp.Condition()
    assert.matches("^mp%.Condition %(mp%.RLock %d+ %(free%): .*%): ",
      tostring(cond))
    do local _closed <close> = cond end
    assert.matches("%(closed%)", tostring(cond))
    assert.error_matches(function() cond:acquire() end, "closed")
  end)

  it("is released at the end of a block", function()
    local cond = mp.Condition(mp.Lock())
    do
      local _held <close> = cond:guard()
      assert.is_true(cond:locked())
    end
    assert.is_false(cond:locked())
    assert.same({ 1, nil, 2, n = 3 }, table.pack(cond:with(
      function(...) return ... end, 1, nil, 2)))
    assert.is_false(pcall(cond.with, cond, error, "x"))
    assert.is_false(cond:locked())
  end)

  it("shares a lock with others", function()
    local lock = mp.RLock()
    local full, empty = mp.Condition(lock), mp.Condition(lock)
    for _, ctx in helper.methods() do
      local _, ears = listener(ctx, full)
      notify(empty)
      assert.is_false(ears:poll(0.02))
      lock:with(function() full:notify() end)
      assert.same({ true }, ears:recv(PROMPT))
    end
  end)

  each_method("waits for a predicate", function(ctx)
    local cond, count = mp.Condition(), mp.Semaphore(0)
    start(ctx, function(c, n)
      for _ = 1, 5 do
        c:with(function()
          n:release()
          c:notify_all()
        end)
      end
    end, cond, count)
    cond:acquire()
    assert.same({ "enough" }, { cond:wait_for(function()
      return count:get_value() >= 5 and "enough"
    end, LONG) })
    local asked = 0
    assert.same({ false, "timeout" }, { cond:wait_for(function()
      asked = asked + 1
      return false
    end, 0.03) })
    assert.is_true(asked >= 2)
    asked = 0
    assert.same({ false, "timeout" }, { cond:wait_for(function()
      asked = asked + 1
    end, 0) })
    assert.equal(1, asked)
    assert.error_matches(function()
      cond:wait_for(function() error "oh" end)
    end, "oh")
    cond:release()
  end)

  it("passes by a waiter that was killed", function()
    for _, ctx in helper.methods() do
      local cond = mp.Condition()
      local victim = listener(ctx, cond)
      local _, ears = listener(ctx, cond)
      victim:kill()
      notify(cond) -- it may look alive still
      -- A thread dies with the lock in hand.
      assert.is_true(ears:recv(PROMPT)[1])
    end
  end)

  it("passes on what one was notified of that was killed then", function()
    for _, ctx in helper.methods{ thread = true } do
      for _, stop_first in ipairs{ true, false } do
        local cond = mp.Condition()
        local victim = listener(ctx, cond)
        local _, ears = listener(ctx, cond)
        cond:acquire()
        if stop_first then host.kill(victim.pid, helper.SIGSTOP) end
        cond:notify()
        if not stop_first then host.sleep(0.03) end -- it waits for the lock
        victim:kill()
        cond:release()
        assert.is_true(ears:recv(PROMPT)[1])
      end
    end
  end)

  it("never blocks who notifies the dead", function()
    for _, ctx in helper.methods() do
      local cond = mp.Condition()
      for _ = 1, 5 do listener(ctx, cond):kill() end
      for _ = 1, 20 do notify(cond) end
      cond:with(function() cond:notify_all() end)
      local _, ears = listener(ctx, cond)
      notify(cond)
      assert.is_true(ears:recv(PROMPT)[1])
    end
  end)

  it("says that the lock was abandoned", function()
    for _, ctx in helper.methods() do
      local cond = mp.Condition()
      local function hold(c, say, how)
        c:acquire()
        if how then c[how](c) end
        say:send("held")
        say:recv()
      end
      local here, there = mp.Pipe()
      local victim = start(ctx, hold, cond, there)
      assert.equal("held", here:recv(PROMPT))
      victim:kill()
      assert.same({ true, "abandoned" }, { cond:acquire(PROMPT) })
      cond:release()
      -- Killed after it has notified all of three, with the lock.
      local ears = {}
      for i = 1, 3 do _, ears[i] = listener(ctx, cond) end
      victim = start(ctx, hold, cond, there, "notify_all")
      assert.equal("held", here:recv(PROMPT))
      victim:kill()
      local abandoned = 0
      for i = 1, 3 do
        local got = ears[i]:recv(PROMPT)
        assert.is_true(got[1])
        if got[2] == "abandoned" then abandoned = abandoned + 1 end
      end
      assert.equal(1, abandoned)
      -- Killed with it while one's time runs out; if it came too late to
      -- have the lock by then, once more with more time.
      local time, got = 0.05
      repeat
        local _, ear = listener(ctx, cond, time)
        victim = start(ctx, hold, cond, there)
        assert.equal("held", here:recv(PROMPT))
        host.sleep(2 * time)
        victim:kill()
        got = ear:recv(PROMPT)
        cond:with(function() end) -- not abandoned any more
        time = 2 * time
      until got[3] or time > 1
      assert.same({ false, "timeout", "abandoned" }, got)
    end
  end)

  it("is the same for all its holders, and so is its lock", function()
    local lock = mp.Lock()
    local cond = mp.Condition(lock)
    local a, b = mp.Pipe()
    a:send({ cond, lock })
    local got = b:recv()
    assert.equal(cond, got[1])
    assert.equal(lock, got[2])
    for _, ctx in helper.methods() do
      local process = start(ctx, function(c, l)
        l:acquire()
        local ok = c:wait(0)
        l:release()
        return ok, tostring(c):find(tostring(l), 1, true) ~= nil
      end, cond, lock)
      assert.same({ false, true }, { process:result(PROMPT) })
    end
  end)

  it("has the lock again when Ctrl-C interrupts a wait", function()
    local script <close> = helper.start[[
      local cond = mp.Condition()
      cond:acquire()
      cond:acquire()
      print "waiting" io.stdout:flush()
      print(pcall(cond.wait, cond))
      cond:release()
      print(cond:locked())
      cond:release()
      print(cond:locked())
      cond:acquire()
      print(cond:wait(0.01))
    ]]
    assert.equal("waiting", script:line())
    script:asleep()
    script:kill(helper.SIGINT)
    assert.matches("^false.*interrupted!", script:line())
    assert.equal("true", script:line())
    assert.equal("false", script:line())
    assert.equal("false\ttimeout", script:line())
  end)

  it("gives the lock up when it is interrupted a second time", function()
    local script <close> = helper.start[[
      local cond, ready = mp.Condition(), mp.Semaphore(0)
      local here, there = mp.Pipe()
      host.signal(10, function() error("again", 0) end)
      cond:acquire()
      local holder = mp.Process(function()
        cond:acquire()
        ready:release()
        there:recv()
      end):start()
      print "waiting" io.stdout:flush()
      print(pcall(cond.wait, cond))
      print(ready:acquire(0), pcall(cond.release, cond))
      holder:kill()
    ]]
    assert.equal("waiting", script:line())
    host.sleep(0.2)
    script:kill(helper.SIGUSR1)
    host.sleep(0.1)
    script:kill(helper.SIGUSR1)
    assert.equal("false\tagain", script:line())
    assert.matches("^true\tfalse.*held by another", script:line())
  end)
end)
