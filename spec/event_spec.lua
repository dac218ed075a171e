-- Event: a flag that processes wait for.

local helper = require "helper"
local mp = require "mp"

local host = helper.host

local PROMPT = helper.PROMPT
local start = helper.child

-- Waits for the event; says so before and after.
local function wait_and_say(event, say, timeout)
  say:send("waits")
  say:send({ event:wait(timeout) })
end

describe("an event", function()
  it("is set and cleared", function()
    local event = mp.Event()
    assert.is_false(event:is_set())
    assert.equal(0, select("#", event:set()))
    assert.is_true(event:is_set())
    event:set()
    assert.same({ true }, { event:wait() })
    assert.equal(0, select("#", event:clear()))
    event:clear()
    assert.is_false(event:is_set())
  end)

  it("tells its state", function()
    local event = mp.Event()
    assert.matches("^mp%.Event %(not set%): ", tostring(event))
    event:set()
    assert.matches("^mp%.Event %(set%): ", tostring(event))
    assert.equal("mp object", getmetatable(event))
    assert.error_matches(function() event.name = 1 end, "cannot set 'name'")
    assert.error_matches(function() event.set(mp.Lock()) end,
      "mp.Event expected, got mp.Lock")
  end)

  it("gives up when the time is up", function()
    local event = mp.Event()
    for _, timeout in ipairs{ 0, -1, 0.001, 0.05 } do
      local from = host.now()
      assert.same({ false, "timeout" }, { event:wait(timeout) })
      assert.is_true(host.now() - from >= timeout)
    end
    for _, bad in ipairs{ false, "1", {}, 0 / 0 } do
      assert.is_false(pcall(event.wait, event, bad))
    end
  end)

  it("wakes all who wait, even if it is cleared at once", function()
    for method, ctx in helper.methods() do
      local event = mp.Event()
      local here, there = mp.Pipe()
      for _ = 1, 3 do start(ctx, wait_and_say, event, there, PROMPT) end
      for _ = 1, 3 do assert.equal("waits", here:recv(PROMPT)) end
      for _ = 1, 3 do
        repeat -- they may not have begun when they said so
          event:set()
          event:clear()
        until here:poll(0.05)
        assert.same({ true }, here:recv(), method)
      end
    end
  end)

  it("is set and cleared by any process", function()
    for _, ctx in helper.methods() do
      local event = mp.Event()
      start(ctx, function(e) e:set() end, event)
      assert.is_true(event:wait(PROMPT))
      start(ctx, function(e) e:clear() end, event):join()
      assert.is_false(event:is_set())
    end
  end)

  it("does not mind that a waiter is killed", function()
    for _, ctx in helper.methods() do
      local event = mp.Event()
      local here, there = mp.Pipe()
      local first = start(ctx, wait_and_say, event, there)
      start(ctx, wait_and_say, event, there, PROMPT)
      for _ = 1, 2 do assert.equal("waits", here:recv(PROMPT)) end
      first:kill()
      first:join()
      event:set()
      assert.same({ true }, here:recv(PROMPT))
      event:clear()
      assert.is_false(event:is_set())
    end
  end)

  it("does not mind that a waiter is stopped", function()
    for _, ctx in helper.methods{ thread = true } do
      local event = mp.Event()
      local here, there = mp.Pipe()
      local process = start(ctx, wait_and_say, event, there, PROMPT)
      assert.equal("waits", here:recv(PROMPT))
      assert(host.kill(process.pid, helper.SIGSTOP))
      event:set()
      assert.is_true(event:wait(0))
      assert(host.kill(process.pid, helper.SIGCONT))
      assert.same({ true }, here:recv(PROMPT))
    end
  end)

  it("can be waited for with others", function()
    for _, ctx in helper.methods() do
      local event, other = mp.Event(), mp.Event()
      assert.same({}, mp.wait({ event, other }, 0))
      start(ctx, function(e) e:set() end, event)
      assert.same({ event }, mp.wait({ other, event }, PROMPT))
      assert.same({ event }, mp.wait({ other, event }, 0))
      event:clear()
      assert.same({}, mp.wait({ other, event }, 0.01))
      other:set()
      assert.same({ other }, mp.wait({ other, event }))
      event:set()
      assert.same({ other, event }, mp.wait({ other, event }))
    end
  end)

  it("has a descriptor that is readable while it is set", function()
    local event = mp.Event()
    local fd = event:fileno()
    assert.equal(fd, event:fileno())
    assert.same({}, mp.wait({ fd }, 0))
    for _ = 1, 3 do
      event:set()
      assert.same({ fd }, mp.wait({ fd }, 0))
      event:clear()
      assert.same({}, mp.wait({ fd }, 0))
    end
  end)

  it("travels, and stays the same", function()
    local event = mp.Event()
    local a, b = mp.Pipe()
    a:send{ event, { event } }
    local got = b:recv()
    assert.equal(event, got[1])
    assert.equal(event, got[2][1])
  end)

  it("is interrupted by Ctrl-C while it is waited for", function()
    local script <close> = helper.start[[
      local event = mp.Event()
      print "waiting" io.stdout:flush()
      print(pcall(event.wait, event))
      print(event:wait(0))
    ]]
    assert.equal("waiting", script:line())
    script:asleep()
    script:kill(helper.SIGINT)
    assert.matches("^false.*interrupted!", script:line())
    assert.equal("false\ttimeout", script:line())
  end)
end)
