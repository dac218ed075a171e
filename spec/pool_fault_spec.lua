-- Pools and executors whose tasks, workers and surroundings fail.
local helper = require "helper"
local mp = require "mp"
local host = helper.host

local futures = mp.futures

local function square(x) return x * x end

-- Ways to end a task, and what its caller is told.
local FAULTS = {
  error = function() error("boom") end,
  exit = function() os.exit(3) end,
  kill = function() mp.current_process():kill() end,
  abort = function() require "host".abort() end,
}
local CODES = { exit = 3, kill = -9, abort = -6 }

local function check_error(name, err, what)
  if name == "error" then
    assert.equal(mp.RemoteError, getmetatable(err), what .. tostring(err))
    assert.matches("boom", tostring(err))
    return
  end
  assert.equal(mp.ProcessDied, getmetatable(err), what .. tostring(err))
  assert.equal(CODES[name], err.exitcode, what)
end

-- A value that meets its fault in the receiver, and one that does in the
-- sender.
local function bad_to_decode(fault)
  return setmetatable({}, { __reduce = function() return fault end })
end

local function bad_to_encode(fault)
  return setmetatable({}, { __reduce = function() fault() end })
end

-- Where it happens: what to call, and with what.
local PHASES = {
  ["while the task is decoded"] = function(fault)
    return function() return "never" end, bad_to_decode(fault)
  end,
  ["while it runs"] = function(fault)
    return function() fault() end, 1
  end,
  ["while the result is encoded"] = function(fault)
    return function() return bad_to_encode(fault) end, 1
  end,
}

-- Each fault in its phase among good tasks, singly and in one chunk.
local function matrix(faults, phases, check)
  for phase, prepare in pairs(phases) do
    for name, fault in pairs(faults) do
      local f, arg = prepare(fault)
      local function task(x)
        if type(x) == "number" then return x * x end
        if x.bad then return f() end
        return f(x)
      end
      local bad = type(arg) == "table" and arg or { bad = true }
      check(task, { 1, 2, bad, 4, 5 }, name, phase .. ": " .. name .. ": ")
    end
  end
end

local function faults_for(method)
  if method ~= "thread" then return FAULTS end
  return { error = FAULTS.error, exit = FAULTS.exit, kill = FAULTS.kill }
end

local function check_results(get, name, what)
  for i = 1, 5 do
    local ok, result = pcall(get, i)
    if i == 3 then
      assert.is_false(ok, what)
      check_error(name, result, what)
    else
      assert.is_true(ok, what .. tostring(result))
      assert.equal(i * i, result, what)
    end
  end
end

describe("B9: a task that fails or ends its worker costs no other", function()
  for method, ctx in helper.methods() do
    it("in a pool, singly, under " .. method, function()
      local pool <close> = ctx.Pool(2)
      matrix(faults_for(method), PHASES, function(task, list, name, what)
        local results = {}
        for i, x in ipairs(list) do
          results[i] = pool:apply_async(task, { x })
        end
        check_results(function(i) return results[i]:get() end, name, what)
        assert.equal(25, pool:apply(square, { 5 }), what)
      end)
    end)

    it("in a pool, in a chunk, under " .. method, function()
      local pool <close> = ctx.Pool(2)
      matrix(faults_for(method), PHASES, function(task, list, name, what)
        local step = pool:imap(task, list, { chunksize = 5 })
        check_results(function(i)
          local place, result = step()
          assert.equal(i, place)
          return result
        end, name, what)
        assert.is_nil(step())
        local all = pool:map_async(task, list, { chunksize = 5 })
        local ok, err = pcall(all.get, all)
        assert.is_false(ok)
        check_error(name, err, what)
        assert.equal(3, err.task, what)
      end)
    end)

    it("in an executor, under " .. method, function()
      local executor <close> = futures.ProcessPoolExecutor {
        max_workers = 2, context = ctx }
      matrix(faults_for(method), PHASES, function(task, list, name, what)
        local results = {}
        for i, x in ipairs(list) do results[i] = executor:submit(task, x) end
        local done = futures.wait(results)
        assert.equal(5, #done)
        check_results(function(i) return results[i]:result() end, name, what)
        assert.equal(25, executor:submit(square, 5):result(), what)
      end)
    end)

    it("in an initializer it breaks the pool, under " .. method, function()
      for name, fault in pairs(faults_for(method)) do
        local pool = ctx.Pool { processes = 2, max_restarts = 1,
          initializer = fault }
        local results = {}
        for i = 1, 5 do results[i] = pool:apply_async(square, { i }) end
        for i = 1, 5 do
          local ok, err = pcall(results[i].get, results[i])
          assert.is_false(ok)
          assert.equal(mp.BrokenPool, getmetatable(err), name)
          check_error(name, err.cause, name)
        end
        local ok, err = pcall(pool.apply, pool, square, { 1 })
        assert.is_false(ok)
        assert.equal(mp.BrokenPool, getmetatable(err))
        pool:terminate()
        pool:join()
        local executor <close> = futures.ProcessPoolExecutor {
          max_workers = 1, context = ctx, initializer = fault }
        assert.equal(mp.BrokenPool, getmetatable(
          executor:submit(square, 1):exception()))
      end
    end)
  end

  it("when its result cannot be decoded here", function()
    for _, ctx in helper.methods() do
      local pool <close> = ctx.Pool(2)
      local function task(x)
        if x ~= 3 then return x * x end
        return setmetatable({}, { __reduce = function()
          return function() error("boom") end
        end })
      end
      local list, single = { 1, 2, 3, 4, 5 }, {}
      for i, x in ipairs(list) do single[i] = pool:apply_async(task, { x }) end
      check_results(function(i) return single[i]:get() end, "error", "")
      local step = pool:imap(task, list, { chunksize = 5 })
      check_results(function() return select(2, step()) end, "error", "")
      assert.is_nil(step())
      assert.equal(25, pool:apply(square, { 5 }))
    end
  end)

  it("and a callback that raises costs nothing", function()
    helper.quiet(function()
      for _, ctx in helper.methods() do
        local pool <close> = ctx.Pool(1)
        local function fail() error("boom") end
        local opts = { callback = fail, error_callback = fail }
        assert.equal(9, pool:apply_async(square, { 3 }, opts):get())
        assert.has_error(function()
          pool:apply_async(error, { "no" }, opts):get()
        end)
        assert.equal(3, pool:map_async(square, { 1, 2, 3 }, opts):get().n)
        local executor <close> = futures.ProcessPoolExecutor {
          max_workers = 1, context = ctx }
        local future = executor:submit(square, 3)
        future:add_done_callback(fail)
        assert.equal(9, future:result())
      end
    end)
  end)
end)

-- The pids of a pool's workers, all of them started.
local function workers_of(pool, n)
  local gate = mp.SimpleQueue()
  local seen = mp.SimpleQueue()
  local all = {}
  for i = 1, n do
    all[i] = pool:apply_async(function()
      seen:put(true)
      gate:get()
      return mp.current_process().pid
    end)
  end
  for _ = 1, n do seen:get() end
  for _ = 1, n do gate:put(true) end
  local pids = {}
  for i = 1, n do pids[i] = all[i]:get() end
  return pids
end

-- Killed, and none but its parent's.
local function kill_and_wait(pid)
  host.kill(pid, helper.SIGKILL)
  helper.eventually(function() return not helper.runs(pid) end)
end

local function processes_only(f)
  for method, ctx in helper.methods { thread = true } do f(ctx, method) end
end

describe("a worker", function()
  it("B10: killed while idle is replaced, and costs nothing", function()
    processes_only(function(ctx)
      local pool <close> = ctx.Pool(2)
      for _ = 1, 3 do
        for _, pid in ipairs(workers_of(pool, 2)) do kill_and_wait(pid) end
        assert.same({ n = 4, 1, 4, 9, 16 }, pool:map(square, { 1, 2, 3, 4 }))
      end
    end)
  end)

  it("B10: killed between a chunk's tasks costs one, others run", function()
    processes_only(function(ctx)
      local pool <close> = ctx.Pool(2)
      local seen, gate = mp.SimpleQueue(), mp.SimpleQueue()
      local function task(x)
        if x == 4 then
          seen:put(mp.current_process().pid)
          gate:get()
        end
        return x * x
      end
      local list = { 1, 2, 3, 4, 5, 6, 7, 8 }
      local step = pool:imap_unordered(task, list, { chunksize = 8 })
      kill_and_wait(seen:get())
      local good, failed = 0, 0
      for _ = 1, 8 do
        local ok, i, r = pcall(step)
        if ok then
          assert.equal(i * i, r)
          good = good + 1
        else
          assert.equal(4, i.task)
          assert.equal(-9, i.exitcode)
          failed = failed + 1
        end
      end
      assert.same({ 7, 1 }, { good, failed })
      assert.is_nil(step())
    end)
  end)

  it("that becomes another program is a worker that died", function()
    local pool <close> = mp.Pool(1)
    local ok, err = pcall(pool.apply, pool, function()
      require "host".exec("/bin/sleep", "1000")
    end)
    assert.is_false(ok)
    assert.equal(mp.ProcessDied, getmetatable(err))
    assert.equal(4, pool:apply(square, { 2 }))
  end)

  it("D8: killed by the system: the message names a likely cause", function()
    local pool <close> = mp.Pool(1)
    local ok, err = pcall(pool.apply, pool, FAULTS.kill)
    assert.is_false(ok)
    assert.matches("signal 9 %(killed; perhaps the system ran out of memory%)",
      tostring(err))
    assert.matches("task 1 %(function <[^>]*pool_fault_spec.lua:%d+>%)",
      tostring(err))
  end)

  it("I4: that calls os.exit in any way gives its code", function()
    for method, ctx in helper.methods() do
      local pool <close> = ctx.Pool(1)
      local function code_of(f)
        local ok, err = pcall(pool.apply, pool, f)
        assert.is_false(ok)
        assert.equal(mp.ProcessDied, getmetatable(err), method)
        return err.exitcode
      end
      assert.equal(0, code_of(function() os.exit() end))
      assert.equal(0, code_of(function() os.exit(true, true) end))
      assert.equal(1, code_of(function() os.exit(false) end))
      assert.equal(7, code_of(function() os.exit(7, true) end))
      assert.equal(8, code_of(function()
        coroutine.wrap(function() os.exit(8) end)()
      end))
      assert.equal(9, code_of(function()
        setmetatable({}, { __gc = function() os.exit(9) end })
        collectgarbage()
        collectgarbage()
      end))
      local queue = mp.SimpleQueue()
      assert.equal(4, code_of(function()
        for i = 1, 100 do queue:put(i) end
        os.exit(4)
      end))
      for i = 1, 100 do assert.equal(i, queue:get(1)) end
      assert.equal(4, pool:apply(square, { 2 }))
    end
  end)
end)

describe("B11: workers that all die, again and again", function()
  it("break the pool, with the reason, and are not started for ever", function()
    processes_only(function(ctx)
      local born = mp.Value("q", 0)
      local pool <close> = ctx.Pool { processes = 2, max_restarts = 4,
        initializer = function()
          born:add(1)
          os.exit(0)
        end }
      local all = pool:map_async(square, { 1, 2, 3 }, { chunksize = 1 })
      local ok, err = pcall(all.get, all)
      assert.is_false(ok)
      assert.equal(mp.BrokenPool, getmetatable(err))
      assert.equal(0, err.cause.exitcode)
      assert.is_true(born.value <= 7, born.value)
    end)
  end)

  it("break it promptly when they are not even born", function()
    local said = helper.output([[
      local name <const> = os.tmpname()
      local file = io.open(name, "w")
      file:write "#!/bin/sh\nsleep 0.01\n"
      file:close()
      os.execute("chmod +x " .. name)
      local _ <close> = setmetatable({}, { __close = function()
        os.remove(name)
      end })
      mp.set_start_method "spawn"
      mp.set_executable(name)
      local executor = mp.futures.ProcessPoolExecutor(2)
      local from = host.now()
      local err = executor:submit(math.abs, -1):exception()
      print(getmetatable(err) == mp.BrokenPool, err.cause.exitcode)
      print(host.now() - from < ]] .. helper.PROMPT .. ")")
    assert.equal("true\t0\ntrue\n", said)
  end)

  it("do not when each has done something first", function()
    local pool <close> = mp.Pool { processes = 2, max_restarts = 2 }
    for i = 1, 20 do
      assert.has_error(function() pool:apply(FAULTS.kill) end)
      assert.equal(i * i, pool:apply(square, { i }))
    end
  end)

  it("do not when they have only come to the end of their quota", function()
    local pool <close> = mp.Pool { processes = 8, max_restarts = 1,
      maxtasksperchild = 1 }
    local list = {}
    for i = 1, 64 do list[i] = i end
    assert.equal(64, pool:map(square, list, { chunksize = 1 }).n)
  end)
end)

describe("B12: a worker killed while its pool ends", function()
  local function stuck(submit, n)
    local seen, gate = mp.SimpleQueue(), mp.SimpleQueue()
    local all = {}
    for i = 1, n do
      all[i] = submit(function()
        seen:put(mp.current_process().pid)
        gate:get()
        return i
      end)
    end
    local pids = {}
    for i = 1, 2 do pids[i] = seen:get() end
    return all, pids, gate
  end

  it("by close and join: every result is there", function()
    processes_only(function(ctx)
      local pool = ctx.Pool(2)
      local all, pids, gate = stuck(function(f)
        return pool:apply_async(f)
      end, 5)
      pool:close()
      host.kill(pids[1], helper.SIGKILL)
      for _ = 1, 4 do gate:put(true) end
      pool:join()
      local died = 0
      for i = 1, 5 do
        assert.is_true(all[i]:ready())
        local ok, value = pcall(all[i].get, all[i])
        if not ok then
          assert.equal(mp.ProcessDied, getmetatable(value))
          died = died + 1
        else
          assert.equal(i, value)
        end
      end
      assert.equal(1, died)
    end)
  end)

  it("by terminate", function()
    processes_only(function(ctx)
      local pool = ctx.Pool(2)
      local all, pids = stuck(function(f) return pool:apply_async(f) end, 5)
      host.kill(pids[1], helper.SIGKILL)
      pool:terminate()
      pool:join()
      for i = 1, 5 do
        assert.is_true(all[i]:ready())
        assert.is_false(pcall(all[i].get, all[i]))
      end
    end)
  end)

  it("by shutdown, with and without cancelling", function()
    processes_only(function(ctx)
      for _, cancel in ipairs { true, false } do
        local executor = futures.ProcessPoolExecutor { max_workers = 2,
          context = ctx }
        local all, pids, gate = stuck(function(f)
          return executor:submit(f)
        end, 5)
        executor:shutdown { wait = false, cancel_futures = cancel }
        host.kill(pids[2], helper.SIGKILL)
        for _ = 1, 4 do gate:put(true) end
        executor:shutdown()
        for i = 1, 5 do assert.is_true(all[i]:done()) end
        local done = futures.wait(all)
        assert.equal(5, #done)
      end
    end)
  end)

  it("one that shrugs SIGTERM off is killed in the end", function()
    local pool = mp.Pool(1)
    local seen = mp.SimpleQueue()
    local result = pool:apply_async(function()
      require "host".disposition(15, "ignore")
      seen:put(true)
      while true do require "host".sleep(1) end
    end)
    seen:get()
    pool:terminate()
    pool:join()
    assert.has_error(function() result:get() end, "the pool was terminated")
    assert.equal(0, #mp.active_children())
  end)
end)

describe("the system's limits", function()
  local NOBODY = { before = helper.leaks_unseen }
  local AS_NOBODY = [[
    local uid = 60000 + host.getpid() % 5000
    require "mp.pool"
    mp.current_process()
    assert(host.setuid(uid))
  ]]

  it("D7: no process at all: the call raises, and the pool stays", function()
    for _, method in ipairs { "fork", "spawn" } do
      local out = helper.output(AS_NOBODY .. ([[
        local pool = mp.get_context("%s").Pool(2)
        host.limit("nproc", 1)
        local function f(x) return x + 1 end
        local ok, err = pcall(pool.apply, pool, f, { 1 })
        print(ok, (tostring(err):gsub("^.*start", "start")))
        ok, err = pcall(pool.map, pool, f, { 1, 2, 3 })
        print(ok)
        host.limit("nproc", 1000)
        print(pool:apply(f, { 1 }))
        pool:close()
        pool:join()
      ]]):format(method))
      assert.matches("^false\tstart.*[Rr]esource.*\nfalse\n2\n$", out)
    end
  end)

  it("D7: too few processes: the pool works with fewer", function()
    local out = helper.output(AS_NOBODY .. [[
      local pool = mp.Pool(8)
      host.limit("nproc", 3)
      local sum, list = 0, {}
      for i = 1, 100 do list[i] = i end
      for _, r in ipairs(pool:map(function(x) return x end, list,
        { chunksize = 1 })) do sum = sum + r end
      print(sum, #mp.active_children())
      pool:close()
      pool:join()
    ]], NOBODY)
    assert.equal("5050\t2\n", out)
  end)

  it("D7: the last worker dies and none can be started: broken", function()
    local out = helper.output(AS_NOBODY .. [[
      local pool = mp.Pool(1)
      local gate, seen = mp.SimpleQueue(), mp.SimpleQueue()
      local first = pool:apply_async(function() seen:put(1) gate:get() end)
      local second = pool:apply_async(function() end)
      seen:get()
      host.limit("nproc", 1)
      mp.active_children()[1]:kill()
      print(getmetatable(select(2, pcall(first.get, first))) == mp.ProcessDied)
      local ok, err = pcall(second.get, second)
      print(ok, getmetatable(err) == mp.BrokenPool)
    ]], NOBODY)
    assert.equal("true\nfalse\ttrue\n", out)
  end)

  it("D6: no memory for a message is an error, the pool goes on", function()
    if helper.sanitizer == "asan" then pending "asan needs 16 TiB" end
    local out = helper.output([[
      local pool = mp.Pool(1)
      print(pool:apply(function(s) return #s end, { "abc" }))
      local kib = tonumber(io.open("/proc/self/status"):read("a")
        :match("VmSize:%s*(%d+)"))
      host.limit("as", (kib + 65536) * 1024)
      local text = ("x"):rep(1 << 20)
      local list = {}
      local ok, err = pcall(function()
        for i = 1, 200 do
          list[i] = text .. i
        end
      end)
      local done, why = pcall(pool.apply, pool, function(...)
        return select("#", ...)
      end, list)
      list = nil
      collectgarbage()
      print(done or type(why))
      print(pool:apply(function(s) return #s end, { "abcd" }))
      pool:close()
      pool:join()
    ]])
    assert.matches("^3\n.*\n4\n$", out)
  end)

  it("D12: a hundred workers at once", function()
    local pool <close> = mp.Pool(100)
    local seen, gate = mp.SimpleQueue(), mp.SimpleQueue()
    local all = {}
    for i = 1, 100 do
      all[i] = pool:apply_async(function()
        seen:put(mp.current_process().pid)
        gate:get()
        return i
      end)
    end
    local pids = {}
    for _ = 1, 100 do pids[seen:get()] = true end
    assert.equal(100, helper.count(pids))
    for _ = 1, 100 do gate:put(true) end
    for i = 1, 100 do assert.equal(i, all[i]:get()) end
  end)

  it("D13: pools made and ended leave nothing behind", function()
    local function round()
      local pool <close> = mp.Pool(1)
      assert.equal(4, pool:apply(square, { 2 }))
      local result = pool:apply_async(square, { 3 })
      mp.wait { result }
    end
    for _ = 1, 20 do round() end
    collectgarbage()
    collectgarbage()
    local before = helper.memory()
    local fds = helper.count(helper.descriptors())
    for _ = 1, 200 do round() end
    collectgarbage()
    collectgarbage()
    assert.equal(fds, helper.count(helper.descriptors()))
    assert.is_true(helper.memory() - before < 2)
  end)
end)

describe("messages", function()
  it("H2: of any size go both ways", function()
    for _, ctx in helper.methods() do
      local pool <close> = ctx.Pool(1)
      local text = ("x"):rep(1 << 20):rep(33)
      assert.equal(text, pool:apply(function(s) return s end, { text }))
    end
  end)

  it("H6: that cannot be sent fail their own task, here or there", function()
    for _, ctx in helper.methods() do
      local pool <close> = ctx.Pool(2)
      local co = coroutine.create(print)
      local list = { 1, 2, { deep = co }, 4, 5 }
      local step = pool:imap(square, list, { chunksize = 5 })
      for i = 1, 5 do
        local ok, place, result = pcall(step)
        if i == 3 then
          assert.is_false(ok)
          assert.matches("list%[3%]%.deep: cannot send a thread", place)
        else
          assert.same({ true, i, i * i }, { ok, place, result })
        end
      end
      assert.is_nil(step())
      local function task(x)
        if x == 2 then return { co = coroutine.create(print) } end
        if x == 3 then error { co = coroutine.create(print) } end
        if x == 4 then
          error(setmetatable({}, { __tostring = function() error("no") end }))
        end
        return x
      end
      step = pool:imap(task, { 1, 2, 3, 4, 5 }, { chunksize = 5 })
      for i = 1, 5 do
        local ok, err = pcall(step)
        assert.equal(i == 1 or i == 5, ok)
        if i == 2 then
          assert.matches("result%.co: cannot send a thread", tostring(err))
        elseif i == 3 then
          assert.matches("^table: ", tostring(err))
        end
      end
      assert.equal(4, pool:apply(square, { 2 }))
    end
  end)
end)

describe("a script", function()
  it("I9: gives its workers package.path, arg and what it requires", function()
    helper.with_dir(function(dir)
      local file <close> = assert(io.open(dir .. "/mine.lua", "w"))
      file:write("return { answer = function() return 42, arg[1] end }")
      file:close()
      for method in helper.methods() do
        local out = helper.output(([[
          package.path = %q .. "/?.lua;" .. package.path
          local mine = require "mine"
          local pool <close> = mp.get_context(%q).Pool(1)
          print(pool:apply(mine.answer))
          print(pool:apply(function() return require "mine".answer() end))
        ]]):format(dir, method), { args = "word" })
        assert.equal("42\tword\n42\tword\n", out, method)
      end
    end)
  end)

  it("I10: needs no guard: workers do not run it again", function()
    for method in helper.methods() do
      local out = helper.output(([[
        print "main"
        local pool <close> = mp.get_context(%q).Pool(2)
        print(pool:map(function(x) return x end, { 1, 2, 3 }).n)
      ]]):format(method))
      assert.equal("main\n3\n", out, method)
    end
  end)
end)
