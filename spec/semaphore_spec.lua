-- Semaphores: permits are counted, whoever dies.

local helper = require "helper"
local mp = require "mp"

local host = helper.host

local LONG, PROMPT = helper.LONG, helper.PROMPT
local start, elapsed = helper.child, helper.elapsed
local each_method = helper.each_method

-- Takes n permits, says so, and waits to be killed.
local function hold(sem, n, say)
  for _ = 1, n do assert(sem:acquire()) end
  say:send("held")
  say:recv()
end

local function held_by_another(ctx, sem, n)
  local here, there = mp.Pipe()
  local process = start(ctx, hold, sem, n, there)
  assert.equal("held", here:recv(PROMPT))
  return process
end

describe("a semaphore", function()
  for _, kind in ipairs{ "Semaphore", "BoundedSemaphore" } do
    local Semaphore = mp[kind]

    it(kind .. " counts its permits", function()
      local sem = Semaphore(3)
      for left = 2, 0, -1 do
        assert.same({ true }, { sem:acquire() })
        assert.equal(left, sem:get_value())
      end
      assert.is_true(sem:locked())
      for _, timeout in ipairs{ 0, -1, 0.05 } do
        local took, ok, why = elapsed(sem.acquire, sem, timeout)
        assert.same({ false, "timeout" }, { ok, why })
        assert.is_true(took >= timeout)
      end
      for left = 1, 3 do
        assert.equal(0, select("#", sem:release()))
        assert.equal(left, sem:get_value())
      end
      assert.is_false(sem:locked())
      assert.equal(1, Semaphore():get_value())
      assert.equal(0, Semaphore(0):get_value())
    end)

    it(kind .. " refuses what is no argument", function()
      for _, bad in ipairs{ "1", {}, true, 1.5, 0 / 0, -1, 1 << 31 } do
        assert.error_matches(function() Semaphore(bad) end,
          kind .. ": a number of permits")
      end
      local sem = Semaphore(1)
      for _, bad in ipairs{ false, "1", {}, 0 / 0 } do
        assert.is_false(pcall(sem.acquire, sem, bad))
        assert.is_false(pcall(sem.guard, sem, bad))
      end
      assert.equal(1, sem:get_value())
      assert.error_matches(function() sem.name = 1 end, "cannot set 'name'")
      assert.error_matches(function() sem.acquire({}) end, "expected, got")
      assert.is_nil(sem.nothing)
    end)

    it(kind .. " tells its state", function()
      local sem = Semaphore(2)
      assert.matches("^mp%." .. kind .. " %(2 left%): ", tostring(sem))
      local other = sem
      do local _closed <close> = other end
      assert.matches("%(closed%)", tostring(sem))
      assert.error_matches(function() sem:acquire() end, "closed")
    end)

    it(kind .. " is released at the end of a block, once", function()
      local sem = Semaphore(2)
      do
        local held <close> = sem:guard()
        assert.equal(1, sem:get_value())
        do local _again <close> = sem:guard(0) end
        assert.is_nil(held.nothing)
        held:release()
        assert.equal(2, sem:get_value())
      end
      assert.equal(2, sem:get_value())
      assert.same({ 1, nil, 1, n = 3 }, table.pack(sem:with(
        function(a, b) return a, b, sem:get_value() end, 1, nil)))
      assert.is_false(pcall(sem.with, sem, error, "x"))
      assert.equal(2, sem:get_value())
      sem:acquire()
      sem:acquire()
      assert.same({ nil, "timeout" }, { sem:guard(0) })
      sem:release()
      local guard = sem:guard()
      guard = guard and nil
      collectgarbage()
      assert.equal(1, sem:get_value())
      assert.is_nil(guard)
    end)

    it(kind .. " lets no more in than it has permits", function()
      for _, ctx in helper.methods() do
        local sem, inside = Semaphore(2), mp.Semaphore(2)
        for _ = 1, 4 do
          start(ctx, function(s, i)
            for _ = 1, 100 do
              s:acquire()
              assert(i:acquire(0))
              i:release()
              s:release()
            end
          end, sem, inside)
        end
        helper.finish_all()
        assert.equal(2, sem:get_value())
      end
    end)

    it(kind .. " gets back the permits of a killed process", function()
      for _, ctx in helper.methods() do
        local sem = Semaphore(3)
        local process = held_by_another(ctx, sem, 3)
        assert.equal(0, sem:get_value())
        process:kill()
        for _ = 1, 3 do assert.is_true(sem:acquire(PROMPT)) end
        assert.same({ false, "timeout" }, { sem:acquire(0) })
        for _ = 1, 3 do sem:release() end
        assert.equal(3, sem:get_value())
      end
    end)

    it(kind .. " gets back the permits of one that returns or exits", function()
      for _, ctx in helper.methods() do
        local sem = Semaphore(2)
        for _, leave in ipairs{ function() end, function() os.exit(3) end } do
          local process = start(ctx, function(s, f)
            s:acquire()
            f()
          end, sem, leave)
          assert.is_true(process:join(PROMPT))
          assert.equal(2, sem:get_value())
        end
      end
    end)

    it(kind .. " belongs to who acquired, not to a forked child", function()
      local sem = Semaphore(2)
      sem:acquire()
      local held <close> = sem:guard()
      local process = start(mp.get_context "fork", function()
        held:release()
        collectgarbage()
        return sem:get_value()
      end)
      assert.equal(0, process:result(PROMPT))
      assert.equal(0, sem:get_value())
      sem:release()
    end)

    it(kind .. " can be waited for", function()
      local sem = Semaphore(1)
      assert.same({ sem }, mp.wait({ sem }, LONG))
      sem:acquire()
      assert.same({}, mp.wait({ sem }, 0))
      assert.same({}, mp.wait({ sem }, 0.05))
      sem:release()
      assert.same({ sem }, mp.wait({ sem }, LONG))
      assert.equal(sem:fileno(), sem:getfd())
      for _, ctx in helper.methods() do
        sem = Semaphore(1)
        local process = held_by_another(ctx, sem, 1)
        assert.same({}, mp.wait({ sem }, 0))
        process:kill()
        assert.same({ sem }, mp.wait({ sem }, PROMPT))
        assert.is_true(sem:acquire(0))
      end
    end)
  end

  each_method("is used for signals", function(ctx)
    for _, options in ipairs{ { signalling = false }, { signalling = true } } do
      local ask, answer = mp.Semaphore(0, options), mp.Semaphore(0)
      local process = start(ctx, function(a, b)
        for _ = 1, 200 do
          a:acquire()
          b:release()
        end
      end, ask, answer)
      for _ = 1, 200 do
        ask:release()
        assert.is_true(answer:acquire(LONG))
      end
      assert.is_true(process:join(LONG))
      assert.equal(0, ask:get_value() + answer:get_value())
    end
  end)

  each_method("keeps what was signalled by the dead", function(ctx)
    local sem = mp.Semaphore(1)
    local process = start(ctx, function(s)
      s:release()
      s:release()
      s:acquire()
    end, sem)
    assert.is_true(process:join(LONG))
    assert.equal(2, sem:get_value())
    local signals = mp.Semaphore(2, { signalling = true })
    local holder = held_by_another(ctx, signals, 1)
    holder:kill()
    holder:join()
    assert.equal(1, signals:get_value())
  end)

  it("has options that are known", function()
    assert.error_matches(function() mp.Semaphore(1, { x = 1 }) end,
      "unknown option 'x' %(valid: signalling%)")
    assert.error_matches(function() mp.Semaphore(1, { signalling = 1 }) end,
      "must be a boolean")
    assert.error_matches(function() mp.Semaphore(1, true) end,
      "options must be a table")
  end)

  it("that is bounded is not released above its first value", function()
    local sem = mp.BoundedSemaphore(2)
    local message = "release: released too many times"
    assert.error_matches(function() sem:release() end, message)
    sem:acquire()
    for _, ctx in helper.methods() do
      -- Any process may release; from then on permits are nobody's.
      start(ctx, function(s) s:release() end, sem):join()
      assert.equal(2, sem:get_value())
      assert.error_matches(function() sem:release() end, message)
      assert.is_false(start(ctx, function(s) return pcall(s.release, s) end,
        sem):result(PROMPT))
      assert.equal(2, sem:get_value())
      sem:acquire()
    end
  end)

  it("holds no more than Python's", function()
    local sem = mp.Semaphore(0x7fffffff)
    assert.error_matches(function() sem:release() end, "too many")
    assert.equal(0x7fffffff, sem:get_value())
  end)

  it("is the same for all its holders", function()
    local sem = mp.Semaphore(1)
    local a, b = mp.Pipe()
    a:send({ sem, inside = { sem } })
    local got = b:recv()
    assert.equal(sem, got[1])
    assert.equal(sem, got.inside[1])
  end)

  it("passes a permit by one that was killed as it was woken", function()
    for _, ctx in helper.methods{ thread = true } do
      local sem = mp.Semaphore(0, { signalling = true })
      local here, there = mp.Pipe()
      local processes = {}
      for i = 1, 2 do
        processes[i] = start(ctx, function(s, say)
          say:send("waits")
          s:acquire()
          say:send("has it")
          say:recv()
        end, sem, there)
        assert.equal("waits", here:recv(PROMPT))
      end
      host.sleep(0.05)
      for i = 1, 2 do assert(host.kill(processes[i].pid, helper.SIGSTOP)) end
      sem:release()
      processes[1]:kill()
      assert(host.kill(processes[2].pid, helper.SIGCONT))
      assert.equal("has it", here:recv(PROMPT))
    end
  end)

  it("is not taken from a stopped process", function()
    for _, ctx in helper.methods{ thread = true } do
      local sem = mp.Semaphore(1)
      local process = held_by_another(ctx, sem, 1)
      assert(host.kill(process.pid, helper.SIGSTOP))
      assert.same({ false, "timeout" }, { sem:acquire(0.6) })
      assert(host.kill(process.pid, helper.SIGCONT))
      assert.equal(0, sem:get_value())
    end
  end)

  it("makes no system call when nobody waits", function()
    if not os.execute "command -v strace >/dev/null" then
      return pending "no strace"
    end
    helper.with_dir(function(dir)
      helper.output([[
        local plain = mp.Semaphore(2)
        local signals = mp.Semaphore(2, { signalling = true })
        io.stderr:write "from here\n"
        for _ = 1, 1000 do
          plain:acquire() signals:acquire() plain:get_value()
          plain:release() signals:release()
        end
        io.stderr:write "to here\n"
      ]], { before = "strace -f -o " .. dir .. "/trace" })
      local between = helper.slurp(dir .. "/trace"):match(
        '"from here\\n".-\n(.-)[^\n]*"to here')
      assert.equal("", (between:gsub("[^\n]*brk[^\n]*\n", "")))
    end)
  end)

  it("is interrupted by Ctrl-C while it waits", function()
    local script <close> = helper.start[[
      local sem = mp.Semaphore(0)
      print "waiting" io.stdout:flush()
      print(pcall(sem.acquire, sem))
      print(sem:get_value())
    ]]
    assert.equal("waiting", script:line())
    script:asleep()
    script:kill(helper.SIGINT)
    assert.matches("^false.*interrupted!", script:line())
    assert.equal("0", script:line())
  end)

  it("gets back the permits of 3000 semaphores of one dead", function()
    local list = {}
    for i = 1, 3000 do list[i] = mp.Semaphore(1) end
    local here, there = mp.Pipe()
    local process = start(mp.get_context "fork", function()
      for _, sem in ipairs(list) do sem:acquire() end
      there:send "held"
      there:recv()
    end)
    assert.equal("held", here:recv(PROMPT))
    process:kill()
    process:join()
    for _, sem in ipairs(list) do assert(sem:acquire(0)) end
  end)
end)
