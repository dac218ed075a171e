--- A leak guard and a watchdog around each test.
--
-- Leak guard: a test that leaves another number of open descriptors or of
-- children than it found fails; what a failed one leaves is killed, so that
-- the next are not judged by it.  Watchdog: a test that runs for more than
-- LIMIT seconds is stopped with a traceback; if it cannot be stopped the run
-- is killed.  SPEC_LIMIT sets another limit (sanitizers, slow machines).
local helper = require "helper"
local mp = require "mp"

local host, count = helper.host, helper.count
local LIMIT = helper.limit

local function difference(what, before, after)
  local lines = { ("leak: %d %s before, %d after"):format(count(before), what,
    count(after)) }
  for key, value in pairs(after) do
    if before[key] == nil then
      lines[#lines + 1] = ("  new: %s %s"):format(key, tostring(value))
    end
  end
  return table.concat(lines, "\n")
end

--- Does the fork server, or the child that stands by there, have that pid?
--- Their ticket names a socket; a process that was started is known to mp.
local function serves(pid, started)
  local file <close> = io.open(("/proc/%d/cmdline"):format(pid))
  return not started[pid]
    and (file and file:read "a" or ""):find "\0%d+,%d+,%d+,%d+,%d+,%d+\0$"
end

local function children()
  local started, set = {}, helper.children()
  for _, process in ipairs(mp.active_children()) do
    started[process.pid] = true
  end
  for pid in pairs(set) do
    if serves(pid, started) then set[pid] = nil end
  end
  return set
end

local function census()
  return { descriptors = helper.descriptors(), children = children() }
end

--- Fails when the numbers are not those of `before`.
local function check_leaks(before)
  local after
  for attempt = 1, 6 do
    after = census()
    if count(after.descriptors) == count(before.descriptors)
      and count(after.children) == count(before.children) then
      return
    end
    -- What is only held by garbage is no leak, nor what a thread that has
    -- just ended still has in its hands.
    collectgarbage()
    collectgarbage()
    if attempt > 2 then host.sleep(0.01) end
  end
  for what, set in pairs(after) do
    if count(set) ~= count(before[what]) then
      error(difference(what, before[what], set), 0)
    end
  end
end

--
-- Around each test
--

-- Kill what a failed test has left running: what mp knows of, threads among
-- it, then all others.
local function kill_left(before)
  for _, process in ipairs(mp.active_children()) do
    if not before.children[process.pid] then
      process:kill()
      process:join(2)
    end
  end
  for pid in pairs(children()) do
    if not before.children[pid] then
      host.kill(pid, helper.SIGKILL)
      host.waitpid(pid)
    end
  end
end

local before -- the running test; nil: no test runs

local function guard(test)
  local run, on_end = test.run, test.env.finally
  -- What the test before has left must not go during this one.
  collectgarbage()
  collectgarbage()
  before = census()
  local last
  function finally(f) -- luacheck: ignore
    last = f
    on_end(function() if last then last() end end)
  end
  test.run = function()
    host.signal(helper.SIGALRM, function()
      error(debug.traceback("watchdog: the test runs too long"), 0)
    end)
    host.alarm(helper.limit, helper.limit)
    run()
    local f = last
    last = nil
    if f then f() end
    helper.stop_children()
    check_leaks(before)
  end
end

--- More time for the test that runs.
function helper.slow(seconds)
  helper.limit = LIMIT * seconds / 10
  host.alarm(helper.limit, helper.limit)
end

-- busted gives specs an environment of its own, which would travel to
-- children with every function; they get the real one.
local function use_globals(busted)
  for _, name in ipairs{ "describe", "it", "before_each", "after_each",
    "setup", "teardown", "assert", "pending", "spy", "stub", "match" } do
    _G[name] = busted[name]
  end
  busted.subscribe({ "file", "start" }, function(file)
    local chunk = (debug.getmetatable(file.run) or {}).__call or file.run
    debug.setupvalue(chunk, 1, _G)
    return nil, true
  end)
end

local function watch_tests()
  local busted = require "busted"
  use_globals(busted)
  busted.subscribe({ "test", "start" }, function(test)
    if test.run and test.env then
      pending = test.env.pending -- luacheck: ignore
      guard(test)
    end
    return nil, true
  end)
  busted.subscribe({ "test", "end" }, function(_, _, status)
    host.alarm(0)
    helper.limit = LIMIT
    if before and status ~= "success" then
      helper.stop_children()
      kill_left(before)
    end
    before = nil
    return nil, true
  end)
  -- Made when first needed and kept: the family, the fork server.
  for _, method in ipairs(mp.get_all_start_methods()) do
    mp.get_context(method).Process(function() end):start():join()
  end
end

watch_tests()
