-- The corners of pools and executors, where Python's documentation is precise.
local helper = require "helper"
local mp = require "mp"

local futures = mp.futures

local function square(x) return x * x end

-- A pool of one worker that is busy until the gate is opened.
local function busy(options)
  options = options or {}
  options.processes = 1
  local pool = mp.Pool(options)
  local gate, seen = mp.SimpleQueue(), mp.SimpleQueue()
  local first = pool:apply_async(function()
    seen:put(true)
    return gate:get()
  end)
  seen:get()
  return pool, gate, first
end

describe("close", function()
  it("lets an open imap read on, and join ends it", function()
    local pool = mp.Pool(1)
    local step = pool:imap(square, { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 },
      { chunksize = 1 })
    assert.equal(1, (step()))
    pool:close()
    assert.has_error(function() pool:imap(square, {}) end,
      "imap: the pool is closed")
    for i = 2, 10 do assert.same({ i, i * i }, { step() }) end
    assert.is_nil(step())
    pool:join()

    pool = mp.Pool(1)
    step = pool:imap(square, function() return 2 end, { chunksize = 1 })
    pool:close()
    pool:join()
    local given, err = 0, nil
    repeat
      local ok, i, r = pcall(step)
      if ok then
        given = given + 1
        assert.same({ given, 4 }, { i, r })
      else
        err = i
      end
    until not ok
    assert.is_true(given > 0)
    assert.equal("the pool is closed", err)
    assert.is_nil(step())
  end)

  it("and terminate may come twice, in any order", function()
    local pool = mp.Pool(1)
    pool:apply(square, { 1 })
    pool:close()
    pool:close()
    pool:terminate()
    pool:terminate()
    pool:close()
    pool:join()
    pool:join()
    assert.equal(0, #mp.active_children())
  end)

  it("inside a callback is heard", function()
    local pool = mp.Pool(1)
    local all = pool:map_async(square, { 1, 2, 3 }, { chunksize = 1,
      callback = function() pool:close() end })
    assert.equal(3, all:get().n)
    pool:join()
  end)
end)

describe("terminate", function()
  it("fails what is pending, and tells its callbacks", function()
    local pool, _, first = busy()
    local told = {}
    local opts = {
      error_callback = function(err) told[#told + 1] = err end,
    }
    local second = pool:map_async(square, { 1, 2 }, opts)
    local step = pool:imap(square, { 1, 2 })
    pool:terminate()
    assert.same({ "the pool was terminated" }, told)
    pool:join()
    assert.has_error(function() first:get() end, "the pool was terminated")
    assert.has_error(function() second:get() end, "the pool was terminated")
    assert.has_error(step, "the pool was terminated")
  end)
end)

describe("callbacks", function()
  it("of a map of nothing run, too", function()
    local pool <close> = mp.Pool(1)
    local seen
    local result = pool:map_async(square, {}, {
      callback = function(r) seen = r end })
    assert.same({ n = 0 }, result:get())
    assert.same({ n = 0 }, seen)
    assert.equal(0, #mp.active_children())
  end)

  it("may use the pool", function()
    local pool <close> = mp.Pool(2)
    local seen
    pool:apply_async(square, { 3 }, { callback = function(r)
      seen = pool:apply(square, { r })
    end }):wait()
    assert.equal(81, seen)
  end)

  it("get the error of the first task that failed, once", function()
    local pool <close> = mp.Pool(2)
    local errors = {}
    pool:map_async(function(x) error({ x }) end, { 1, 2, 3 }, {
      chunksize = 1,
      error_callback = function(err) errors[#errors + 1] = err end,
    }):wait()
    assert.equal(1, #errors)
    assert.same({ 1 }, errors[1].message)
  end)
end)

describe("an AsyncResult", function()
  it("keeps its pool alive until it is ready", function()
    local function pending()
      local pool = mp.Pool(1)
      local gate = mp.SimpleQueue()
      return pool:apply_async(function() return gate:get() end), gate
    end
    local result, gate = pending()
    collectgarbage()
    collectgarbage()
    gate:put("still")
    assert.equal("still", result:get())
    local sum = 0
    for _, r in mp.Pool(1):imap(square, { 1, 2, 3 }, { chunksize = 1 }) do
      collectgarbage()
      sum = sum + r
    end
    assert.equal(14, sum)
    assert.equal(4, mp.Pool(1):apply(square, { 2 }))
    collectgarbage()
    collectgarbage()
    helper.eventually(function() return #mp.active_children() == 0 end)
  end)

  it("and a future belong to their process", function()
    local pool <close> = mp.Pool(1)
    local executor <close> = futures.ProcessPoolExecutor(1)
    for name, value in pairs {
      AsyncResult = pool:apply_async(square, { 1 }),
      Future = executor:submit(square, 1),
    } do
      local ok, err = pcall(mp.encode, value)
      assert.is_false(ok)
      assert.matches(("a mp%%.%s belongs to the process of its pool; "
        .. "send what it gives"):format(name), err)
      local p <close> = mp.get_context("fork").Process(function()
        return pcall(value.wait, value)
      end):start()
      local worked, why = p:result()
      assert.is_false(worked)
      assert.matches("can be waited for only where its pool was made", why)
    end
  end)

  it("and its pool leave the owner's alone in a fork", function()
    local pool <close> = mp.Pool(1)
    local executor <close> = futures.ProcessPoolExecutor(1)
    local p <close> = mp.get_context("fork").Process(function()
      local answers = {}
      for i, call in ipairs {
        function() pool:close() end, function() pool:terminate() end,
        function() pool:join() end, function() executor:shutdown() end,
        function() executor:kill_workers() end,
      } do
        local ok, err = pcall(call)
        answers[i] = not ok
          and err:find("belongs to the process that made it", 1, true)
      end
      return #answers
    end):start()
    assert.equal(5, p:result())
    assert.equal(4, pool:apply(square, { 2 }))
    assert.equal(4, executor:submit(square, 2):result())
  end)

  it("of a map is successful when all are", function()
    local pool <close> = mp.Pool(2)
    local good = pool:map_async(square, { 1, 2, 3 }, { chunksize = 1 })
    local bad = pool:map_async(function(x) error(x) end, { 1, 2 })
    good:wait()
    bad:wait()
    assert.is_true(good:successful())
    assert.is_false(bad:successful())
  end)
end)

describe("a pool", function()
  it("refuses options that mean nothing", function()
    local pool <close> = mp.Pool(1)
    assert.has_error(function()
      pool:map_async(square, {}, { timeout = 1 })
    end, "map_async: unknown option 'timeout' (valid: callback, chunksize, "
      .. "error_callback)")
    local seen
    pool:map(square, { 3 }, { callback = function(r) seen = r end })
    assert.same({ n = 1, 9 }, seen)
  end)

  it("takes as many arguments as there may be, and no more", function()
    local pool <close> = mp.Pool(1)
    local function count(...) return select("#", ...) end
    assert.equal(60000, pool:apply(count, { n = 60000 }))
    assert.has_error(function() pool:apply(count, { n = 70000 }) end,
      "too many arguments")
    assert.equal(1, pool:apply(count, { 1 }))
  end)

  it("cuts a list into chunks of any size", function()
    local pool <close> = mp.Pool(2)
    local list = {}
    for i = 1, 70000 do list[i] = i end
    local result = pool:map(function(x) return x end, list,
      { chunksize = 70000 })
    assert.equal(70000, result.n)
    assert.equal(70000, result[70000])
    local n = 0
    for i, r in pool:imap(function(x) return x end, list,
      { chunksize = 70000 }) do
      n = n + 1
      assert(i == r)
    end
    assert.equal(70000, n)
  end)

  it("may be used from several coroutines", function()
    local pool <close> = mp.Pool(2)
    local sums = {}
    local threads = {}
    for k = 1, 3 do
      threads[k] = coroutine.create(function()
        sums[k] = 0
        for _, r in pool:imap(square, { k, k, k, k, k }, { chunksize = 1 }) do
          sums[k] = sums[k] + r
          coroutine.yield()
        end
        sums[k] = sums[k] + pool:apply(square, { 10 })
      end)
    end
    local running = 3
    while running > 0 do
      for k = 1, 3 do
        if coroutine.status(threads[k]) == "suspended" then
          assert(coroutine.resume(threads[k]))
          if coroutine.status(threads[k]) == "dead" then
            running = running - 1
          end
        end
      end
    end
    assert.same({ 105, 120, 145 }, sums)
  end)

  it("may be made inside a task, under every method", function()
    for method in helper.methods() do
      local pool <close> = mp.get_context(method).Pool(2)
      local results = pool:map(function(x)
        local inner <close> = require "mp".get_context(method).Pool(2)
        local sum = 0
        for _, r in ipairs(inner:map(function(y) return y + x end, { 1, 2 })) do
          sum = sum + r
        end
        return sum
      end, { 1, 2, 3 }, { chunksize = 1 })
      assert.same({ n = 3, 5, 7, 9 }, results)
    end
  end)

  it("that is dropped ends its workers in the middle of a task", function()
    for method, ctx in helper.methods { thread = true } do
      local pool = ctx.Pool(1)
      local seen = mp.SimpleQueue()
      pool:apply_async(function()
        seen:put(true)
        while true do end
      end)
      seen:get()
      local worker = mp.active_children()[1]
      pool = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      assert.is_true(worker:join(5), method)
    end
  end)

  it("keeps no descriptors of workers that it has replaced", function()
    local pool <close> = mp.Pool { processes = 1, maxtasksperchild = 1 }
    local function round()
      local result = pool:apply_async(square, { 3 })
      mp.wait { result }
      assert.equal(9, result:get())
    end
    collectgarbage "stop"
    for _ = 1, 3 do round() end
    local before = helper.count(helper.descriptors())
    for _ = 1, 20 do round() end
    local after = helper.count(helper.descriptors())
    collectgarbage "restart"
    assert.is_true(after - before < 5, after - before)
  end)
end)

describe("a pool with as many pending items as it can number", function()
  it("says so, and goes on when some are done", function()
    assert.equal("ok\n", helper.output [[
      require "mp.worker".SLOT = 7 -- as if memory were so small
      local pool <close> = mp.Pool(1)
      local gate, list = mp.SimpleQueue(), {}
      for i = 1, 20 do list[i] = i end
      local held = pool:apply_async(function() return gate:get() end)
      local function add(x) return x + 1 end
      local ok, why = pcall(pool.map_async, pool, add, list,
        { chunksize = 2 })
      assert(not ok and why:find("7 pending items", 1, true), why)
      local some = {}
      for i = 1, 9 do
        ok, why = pcall(pool.apply_async, pool, add, { i })
        if not ok then break end
        some[i] = why
      end
      assert(not ok and why:find("7 pending items", 1, true), why)
      gate:put "opened"
      assert(held:get() == "opened")
      for i, result in ipairs(some) do assert(result:get() == i + 1) end
      assert(pool:map(add, list, { chunksize = 4 })[20] == 21)
      print "ok"
    ]])
  end)

  it("works with the highest of its numbers, far above a million", function()
    local highest = require "mp.worker".SLOT
    assert.is_true(highest > 60000000)
    local pool <close> = mp.Pool(1)
    local list = {}
    for i = 1, 50 do list[i] = i end
    for _, chunksize in ipairs { 1, 7, 50 } do
      pool._crew.items.free = { highest }
      assert.equal(2500, pool:map(square, list, { chunksize = chunksize })[50])
    end
    pool._crew.items.free = { highest }
    assert.has_error(function() pool:apply(function() error "this one" end) end)
  end)
end)

describe("an idle worker", function()
  it("hardly ever wakes", function()
    local pool <close> = mp.Pool(1)
    local pid = pool:apply(function() return mp.current_process().pid end)
    local function wakes()
      return tonumber(helper.status(pid, "voluntary_ctxt_switches"))
    end
    helper.host.sleep(2.5)
    local before = wakes()
    helper.host.sleep(1.8)
    assert.is_true(wakes() - before <= 2, wakes() - before)
  end)
end)

describe("imap", function()
  it("raises an error of its source in its turn, and ends", function()
    local pool <close> = mp.Pool(1)
    local n = 0
    local step = pool:imap_unordered(square, function()
      n = n + 1
      if n == 3 then error("no more", 0) end
      return n
    end, { chunksize = 2 })
    assert.equal(1, (step()))
    assert.equal(2, (step()))
    assert.has_error(step, "no more")
    assert.is_nil(step())
  end)

  it("can be asked again when its time was up", function()
    local pool, gate = busy()
    local step = pool:imap(square, { 1, 2 }, { timeout = 0.01 })
    assert.has_error(step, "timeout")
    gate:put(1)
    helper.eventually(function()
      local ok, i, r = pcall(step)
      return ok and i == 1 and r == 1
    end)
    helper.eventually(function()
      local ok, i, r = pcall(step)
      return ok and i == 2 and r == 4
    end)
    pool:close()
    pool:join()
  end)
end)

describe("several executors", function()
  it("can be waited for when the first future of one is over", function()
    local a = futures.ProcessPoolExecutor { max_workers = 1 }
    local b = futures.ProcessPoolExecutor { max_workers = 1 }
    local gate = mp.SimpleQueue()
    local function wait_for_gate() return gate:get() end
    local list = { a:submit(square, 1), a:submit(wait_for_gate),
      b:submit(wait_for_gate) }
    assert.equal(1, list[1]:result())
    gate:put "one"
    gate:put "two"
    local done = futures.wait(list)
    assert.equal(3, #done)
    local seen = 0
    for future in futures.as_completed { a:submit(square, 2),
      b:submit(square, 3) } do
      seen = seen + future:result()
    end
    assert.equal(13, seen)
    a:shutdown()
    b:shutdown()
  end)
end)

describe("a future", function()
  it("that is cancelled while others are awaited counts as over", function()
    local executor <close> = futures.ProcessPoolExecutor { max_workers = 1 }
    local gate = mp.SimpleQueue()
    local list = { executor:submit(square, 2) }
    for i = 2, 4 do list[i] = executor:submit(function() gate:get() end) end
    local over = {}
    for future in futures.as_completed(list) do
      over[#over + 1] = future
      if #over == 1 then
        for i = 3, 4 do assert.is_true(list[i]:cancel()) end
        gate:put(true)
      end
    end
    assert.equal(4, #over)
  end)

  it("leaves nothing behind when it is polled", function()
    local executor = futures.ProcessPoolExecutor { max_workers = 1 }
    local gate = mp.SimpleQueue()
    local future = executor:submit(function() gate:get() end)
    futures.wait({ future }, { timeout = 0 })
    collectgarbage()
    local before = collectgarbage "count"
    for _ = 1, 10000 do futures.wait({ future }, { timeout = 0 }) end
    collectgarbage()
    assert.is_true(collectgarbage "count" - before < 100)
    gate:put(true)
    executor:shutdown()
  end)

  it("of a broken executor has the cause", function()
    local executor <close> = futures.ProcessPoolExecutor { max_workers = 1,
      initializer = function() error("not today") end }
    local list = { executor:submit(square, 1), executor:submit(square, 2) }
    for _, future in ipairs(list) do
      assert.equal(mp.BrokenPool, getmetatable(future:exception()))
      assert.matches("not today", tostring(future:exception()))
    end
    assert.has_error(function() executor:submit(square, 3) end)
  end)
end)
