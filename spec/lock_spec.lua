-- Lock and RLock: one at a time, whoever dies.

local helper = require "helper"
local mp = require "mp"

local host = helper.host

local PROMPT = helper.PROMPT
local start, elapsed = helper.child, helper.elapsed

-- Holds the lock until it is killed; says so first.
local function hold(lock, say, depth)
  for _ = 1, depth or 1 do assert(lock:acquire()) end
  say:send("held")
  say:recv()
end

local function held_by_another(ctx, lock, depth)
  local here, there = mp.Pipe()
  local process = start(ctx, hold, lock, there, depth)
  assert.equal("held", here:recv(PROMPT))
  return process, here
end

describe("a lock", function()
  for _, kind in ipairs{ "Lock", "RLock" } do
    local Lock = mp[kind]

    it(kind .. " is acquired and released", function()
      local lock = Lock()
      assert.is_false(lock:locked())
      assert.is_true(lock:acquire())
      assert.is_true(lock:locked())
      assert.equal(0, select("#", lock:release()))
      assert.is_false(lock:locked())
      assert.is_true(lock:acquire(0))
      lock:release()
    end)

    it(kind .. " raises when it is released but not held", function()
      local lock = Lock()
      assert.error_matches(function() lock:release() end,
        "release: the lock is not held")
      assert.is_true(lock:acquire(0))
      lock:release()
    end)

    it(kind .. " takes only numbers as timeouts", function()
      local lock = Lock()
      for _, bad in ipairs{ false, true, "1", {}, 0 / 0 } do
        assert.is_false(pcall(lock.acquire, lock, bad))
        assert.is_false(pcall(lock.guard, lock, bad))
      end
      assert.is_false(lock:locked())
      assert.error_matches(function() lock.acquire(mp.Pipe()) end,
        "expected, got")
      assert.is_false(pcall(lock.acquire))
      assert.error_matches(function() lock.name = "x" end, "cannot set 'name'")
    end)

    it(kind .. " tells its state", function()
      local lock = Lock()
      assert.matches("^mp%." .. kind .. " %d+ %(free%): ", tostring(lock))
      lock:acquire()
      assert.matches("%d %(held by MainProcess%)", tostring(lock))
      lock:release()
    end)

    it(kind .. " gives up when the time is up", function()
      for _, ctx in helper.methods() do
        local lock = Lock()
        local process = held_by_another(ctx, lock)
        for _, timeout in ipairs{ 0, -1, 0.05 } do
          local took, ok, why = elapsed(lock.acquire, lock, timeout)
          assert.is_false(ok)
          assert.equal("timeout", why)
          assert.is_true(took >= timeout)
        end
        assert.same({ nil, "timeout" }, { lock:guard(0.01) })
        process:kill()
        assert.same({ true, "abandoned" }, { lock:acquire(PROMPT) })
        lock:release()
      end
    end)

    it(kind .. " is abandoned by a killed holder, said once", function()
      for _, ctx in helper.methods() do
        local lock = Lock()
        local process = held_by_another(ctx, lock)
        process:kill()
        assert.same({ true, "abandoned" }, { lock:acquire(PROMPT) })
        lock:release()
        process:join()
        assert.is_false(lock:locked())
        assert.same({ true }, { lock:acquire(0) })
        lock:release()
      end
    end)

    it(kind .. " is abandoned by a holder that returns or exits", function()
      for _, ctx in helper.methods() do
        local lock = Lock()
        for _, leave in ipairs{ function() end, function() os.exit(3) end,
          function() os.exit(0, true) end } do
          local process = start(ctx, function(l, f)
            l:acquire()
            f()
          end, lock, leave)
          assert.is_true(process:join(PROMPT))
          assert.same({ true, "abandoned" }, { lock:acquire(PROMPT) })
          lock:release()
        end
      end
    end)

    it(kind .. " that a script leaves is named, too, when it wants to know",
      function()
        for _, leave in ipairs{ "os.exit(3)", "os.exit(0, true)" } do
          local r = helper.run(([[
            warn "@on"
            mp.Process(function() end):start():join()
            local lock = mp.%s()
            lock:acquire()
            lock:release()
            local c = mp.Condition(lock)
            c:acquire()
            %s]]):format(kind, leave))
          assert.matches("^Lua warning: MainProcess %(pid %d+%) ends and "
            .. "holds mp%." .. kind .. " %d+\n$", r.err)
        end
      end)

    it(kind .. " that a script holds when it returns is named", function()
      for _, text in ipairs{
        "%s", "local lock %s", "mp.Process(math.abs, 1):start():join() %s",
        "%s mp.Process(math.abs, 1):start():join()",
        "%s mp.Condition(lock):notify()" } do
        local take = ("lock = mp.%s() lock:acquire()"):format(kind)
        local r = helper.run('warn "@on" ' .. text:format(take))
        assert.matches("^Lua warning: MainProcess %(pid %d+%) %l+ "
          .. "[^\n]*mp%." .. kind .. " %d+[^\n]*\n$", r.err)
      end
      local r = helper.run(([[
        warn "@on"
        local lock = mp.%s()
        local c = mp.Condition(lock)
        c:acquire()
        lock = nil
        collectgarbage()
        c:release()
        local held = mp.Lock():guard()]]):format(kind))
      assert.equal("", r.err)
    end)

    it(kind .. " that is left by one who ends is named in a warning", function()
      for ctx in helper.methods() do
        for _, leave in ipairs{ "", "os.exit(3)", "os.exit(0, true)" } do
          local r = helper.run(([[
            mp.log_to_stderr()
            local lock = mp.%s()
            print(tostring(lock):match "^mp%%.%%a+ %%d+")
            local p = mp.get_context "%s".Process{ name = "culprit",
              target = function() lock:acquire() %s end }
            p:start():join()]]):format(kind, ctx, leave))
          assert.matches("^%[WARN/culprit%] culprit %(pid %d+%) "
            .. "ends and holds " .. r.out:match "%C+" .. "\n$", r.err)
        end
      end
    end)

    it(kind .. " excludes all others", function()
      for _, ctx in helper.methods() do
        local lock = Lock()
        local a, b = mp.Pipe()
        b:send(0)
        for _ = 1, 3 do
          start(ctx, function(l, from, to)
            for _ = 1, 200 do
              l:acquire()
              to:send(from:recv() + 1) -- one number, passed through a pipe
              l:release()
            end
          end, lock, a, b)
        end
        helper.finish_all()
        assert.equal(600, a:recv())
        assert.is_false(lock:locked())
      end
    end)

    it(kind .. " is released at the end of a block, once", function()
      local lock = Lock()
      do
        local held <close> = lock:guard()
        assert.matches("^mp%.Guard", tostring(held))
        assert.is_true(lock:locked())
      end
      assert.is_false(lock:locked())
      do
        local held <close> = lock:guard()
        held:release()
        assert.is_false(lock:locked())
        held:release()
      end
      for _ = 1, 3 do
        local _held <close> = lock:guard()
        if lock:locked() then break end
      end
      assert.is_false(lock:locked())
      assert.is_false(pcall(function()
        local _held <close> = lock:guard()
        error "x"
      end))
      assert.is_false(lock:locked())
    end)

    it(kind .. " is released when a guard is collected", function()
      local lock = Lock()
      local guard = lock:guard()
      guard = guard and nil
      collectgarbage()
      assert.is_false(lock:locked())
      assert.is_nil(guard)
    end)

    it(kind .. " stays held when a child drops the parent's guard", function()
      local lock = Lock()
      local held <close> = lock:guard()
      local process = start(mp.get_context "fork", function()
        held:release()
        collectgarbage()
        return lock:locked()
      end)
      assert.is_true(process:result(PROMPT))
      assert.is_true(lock:locked())
    end)

    it(kind .. ":with gives what the function gives", function()
      local lock = Lock()
      assert.same({ 1, nil, true, n = 3 }, table.pack(lock:with(
        function(a, b) return a, b, lock:locked() end, 1, nil)))
      assert.is_false(lock:locked())
      local function fails() error({ "x" }) end
      local trace
      local ok, err = xpcall(lock.with, function(e)
        trace = debug.traceback()
        return e
      end, lock, fails)
      assert.is_false(ok)
      assert.same({ "x" }, err)
      assert.matches("local 'f'", trace)
      assert.is_false(lock:locked())
    end)

    it(kind .. " is the same for all its holders", function()
      local lock = Lock()
      local a, b = mp.Pipe()
      a:send({ lock, inside = { lock } })
      local got = b:recv()
      assert.equal(lock, got[1])
      assert.equal(lock, got.inside[1])
    end)

    it(kind .. " can be dropped while it is held", function()
      do
        local lock <close> = Lock()
        lock:acquire()
      end
      local lock = Lock()
      getmetatable(lock) -- hidden, but no error
      assert.equal("mp object", getmetatable(lock))
    end)
  end

  it("Lock may be released by any process", function()
    for _, ctx in helper.methods() do
      local lock = mp.Lock()
      lock:acquire()
      start(ctx, function(l) l:release() end, lock):join()
      assert.is_false(lock:locked())
      assert.is_true(lock:acquire(0))
      lock:release()
    end
  end)

  it("Lock does not know its holder again", function()
    local lock = mp.Lock()
    lock:acquire()
    assert.same({ false, "timeout" }, { lock:acquire(0.01) })
    lock:release()
  end)

  it("RLock counts, and only its owner releases it", function()
    for _, ctx in helper.methods() do
      local lock = mp.RLock()
      for _ = 1, 3 do assert.is_true(lock:acquire()) end
      lock:release()
      assert.same({ false, "release: the lock is held by another" },
        { start(ctx, function(l) return pcall(l.release, l) end,
          lock):result(PROMPT) })
      lock:release()
      assert.is_true(lock:locked())
      lock:release()
      assert.is_false(lock:locked())
    end
  end)

  it("RLock of a dead owner begins again at depth 1", function()
    for _, ctx in helper.methods() do
      for _, depth in ipairs{ 1, 2, 100 } do
        local lock = mp.RLock()
        local process = held_by_another(ctx, lock, depth)
        process:kill()
        assert.same({ true, "abandoned" }, { lock:acquire(PROMPT) })
        lock:release()
        assert.is_false(lock:locked())
      end
    end
  end)

  it("is not taken from a stopped process", function()
    for method, ctx in helper.methods{ thread = true } do
      local lock = mp.Lock()
      local process = held_by_another(ctx, lock)
      assert(host.kill(process.pid, helper.SIGSTOP))
      local took, ok, why = elapsed(lock.acquire, lock, 0.7)
      assert.same({ false, "timeout" }, { ok, why }, method)
      assert.is_true(took >= 0.7)
      assert(host.kill(process.pid, helper.SIGCONT))
      assert.is_true(lock:locked())
    end
  end)

  it("is given to one of those who wait for a killed holder", function()
    for _, ctx in helper.methods() do
      local lock = mp.Lock()
      local process = held_by_another(ctx, lock)
      local here, there = mp.Pipe()
      for _ = 1, 3 do
        start(ctx, function(l, say)
          local _, why = l:acquire()
          l:release()
          say:send(why or "got it")
        end, lock, there)
      end
      host.sleep(0.05)
      process:kill()
      local said = {}
      for _ = 1, 3 do
        local why = here:recv(PROMPT)
        said[why] = (said[why] or 0) + 1
      end
      assert.same({ abandoned = 1, ["got it"] = 2 }, said)
    end
  end)

  -- As many calls for one round as for two thousand.
  it("makes no system call when nobody else wants it", function()
    if not os.execute("command -v strace >/dev/null") then
      pending("no strace")
    end
    local function calls(rounds)
      return helper.with_dir(function(dir)
        helper.output(([[
          local lock, rlock, event = mp.Lock(), mp.RLock(), mp.Event()
          for _ = 1, %d do
            lock:acquire() lock:release()
            lock:acquire(0) lock:locked() lock:release()
            rlock:acquire() rlock:acquire() rlock:release() rlock:release()
            event:set() event:is_set() event:wait() event:clear()
          end
        ]]):format(rounds), { before = "strace -f -qq -o " .. dir .. "/calls" })
        local _, n = helper.slurp(dir .. "/calls"):gsub("\n", "\n")
        return n
      end)
    end
    calls(1)
    assert.near(calls(1), calls(2000), 100)
  end)

  it("survives a holder that calls exec", function()
    local lock = mp.Lock()
    local here, there = mp.Pipe()
    local process = start(mp.get_context "fork", function()
      lock:acquire()
      there:send("held")
      host.exec("/bin/sleep", "8")
    end)
    assert.equal("held", here:recv(PROMPT))
    assert.same({ true, "abandoned" }, { lock:acquire(PROMPT) })
    assert.is_true(process:is_alive())
  end)

  it("belongs to nobody in a child of the host's own fork", function()
    local lock = mp.RLock()
    lock:acquire()
    local pid = host.fork()
    if pid == 0 then
      local ok, why = pcall(lock.release, lock)
      local got = lock:acquire(0)
      host.leave(not ok and why:find("held by another") and not got and 7 or 1)
    end
    local _, status = host.waitpid(pid)
    assert.equal(7, status)
    lock:release()
  end)

  it("is interrupted by Ctrl-C while it waits", function()
    local script <close> = helper.start[[
      local lock = mp.Lock()
      lock:acquire()
      print "waiting" io.stdout:flush()
      local ok, why = pcall(lock.acquire, lock)
      print(ok, why)
    ]]
    assert.equal("waiting", script:line())
    script:asleep()
    script:kill(helper.SIGINT)
    assert.matches("^false.*interrupted!", script:line())
  end)
end)
