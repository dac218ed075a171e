-- Pools of workers.
local helper = require "helper"
local mp = require "mp"

local function square(x) return x * x end

local function each_method(f)
  for name, ctx in helper.methods() do f(ctx, name) end
end

describe("a pool", function()
  it("calls a function in a worker", function()
    each_method(function(ctx)
      local pool <close> = ctx.Pool(2)
      assert.equal(7, pool:apply(function(a, b) return a + b end, { 3, 4 }))
      assert.same({ n = 3, 1, nil, 3 }, table.pack(
        pool:apply(function(...) return ... end, { n = 3, 1, nil, 3 })))
      assert.is_nil(pool:apply(function() end))
    end)
  end)

  it("maps a list, in order, however it is cut", function()
    each_method(function(ctx)
      local pool <close> = ctx.Pool(2)
      local list, wanted = {}, { n = 1000 }
      for i = 1, 1000 do list[i], wanted[i] = i, i * i end
      assert.same(wanted, pool:map(square, list))
      for _, chunksize in ipairs { 1, 7, 1000, 5000 } do
        assert.same(wanted, pool:map(square, list, { chunksize = chunksize }))
      end
    end)
  end)

  it("keeps nils in lists and in results", function()
    local pool <close> = mp.Pool(2)
    local result = pool:map(function(x) return x end,
      { n = 5, 1, nil, 3, nil, nil })
    assert.same({ n = 5, 1, nil, 3 }, result)
    assert.same({ n = 0 }, pool:map(square, {}))
    assert.same({ n = 2 }, pool:map(function() end, { n = 2 },
      { chunksize = 1 }))
  end)

  it("maps argument tables", function()
    local pool <close> = mp.Pool(2)
    local function sub(a, b) return a - (b or 0) end
    assert.same({ n = 3, 3, 5, -1 },
      pool:starmap(sub, { { 5, 2 }, { 5 }, { 0, 1 } }))
    assert.same({ n = 1, 3 }, pool:starmap_async(sub, { { 5, 2 } }):get())
  end)

  it("runs tasks that travel alone, whatever becomes of some", function()
    local pool <close> = mp.Pool { processes = 2, max_restarts = 20 }
    local list = {}
    for i = 1, 300 do list[i] = i end
    local function task(i)
      if i % 100 == 7 then os.exit(3) end
      if i % 100 == 9 then error("nine") end
      if i == 50 then return coroutine.create(print) end
      if i == 60 then return nil end
      return i
    end
    local all = pool:map_async(task, list, { chunksize = 1 })
    assert.is_true(all:wait())
    for i = 1, 300 do
      local none = i % 100 == 7 or i % 100 == 9 or i == 50 or i == 60
      assert.equal(not none and i or nil, all.results[i])
    end
    assert.equal(7, all.failed)
    assert.equal(7, all.err.task)
    assert.equal("mp.ProcessDied", getmetatable(all.err).__name)
    list[200] = coroutine.create(print)
    local ok, err = pcall(pool.map, pool, square, list, { chunksize = 1 })
    assert.is_false(ok)
    assert.matches("list%[200%]: cannot send a thread", tostring(err))
    assert.same({ n = 3, 1, 4, 9 },
      pool:map(square, { 1, 2, 3 }, { chunksize = 1 }))
    -- One of the first list may still be at a task: not pending for ever.
    pool:close()
    pool:join()
    assert.equal(0, pool._crew.items.pending)
  end)

  it("maps long strings, a few at a time", function()
    local pool <close> = mp.Pool(2)
    local list = {}
    for i = 1, 40 do list[i] = string.char(64 + i):rep(i * 10000) end
    list.n = 40
    local most = 0
    local submit = pool._crew.submit
    function pool._crew.submit(...)
      local item = submit(...)
      most = math.max(most, pool._crew.items.pending)
      return item
    end
    assert.same(list, pool:map(function(s) return s end, list))
    assert.is_true(most > 0 and most <= 4)
    for _, opts in ipairs { {}, { chunksize = 1 }, { chunksize = 7 } } do
      assert.same(list, pool:map(function(s) return s end, list, opts))
      assert.same(list,
        pool:map_async(function(s) return s end, list, opts):get())
    end
  end)

  it("maps what only behaves like a list, as it is at the call", function()
    local pool <close> = mp.Pool(2)
    local proxy = setmetatable({},
      { __index = function(_, i) return i ~= "n" and 10 * i or nil end,
        __len = function() return 5 end })
    assert.same({ n = 5, 100, 400, 900, 1600, 2500 }, pool:map(square, proxy))
    local list = { "exit", 1, 2, 3, 4 }
    local later = pool:map_async(function(x)
      if x == "exit" then os.exit(3) end
      return x
    end, list, { chunksize = 5 })
    for i = 1, 5 do list[i] = "changed" end
    later:wait() -- the rest is sent again
    assert.same({ nil, 1, 2, 3, 4 }, later.results)
  end)

  it("gives results later", function()
    local pool <close> = mp.Pool(2)
    local one = pool:apply_async(square, { 3 })
    local all = pool:map_async(square, { 1, 2, 3 })
    assert.is_true(one:wait())
    assert.is_true(one:ready())
    assert.is_true(one:successful())
    assert.equal(9, one:get())
    assert.equal(9, one:get())
    assert.same({ n = 3, 1, 4, 9 }, all:get())
  end)

  it("runs out of time when it is told to", function()
    local pool = mp.Pool(1)
    local gate = mp.SimpleQueue()
    local held = pool:apply_async(function() return gate:get() end)
    assert.same({ n = 2, nil, "timeout" }, table.pack(held:get(0.01)))
    assert.same({ n = 2, false, "timeout" }, table.pack(held:wait(0)))
    assert.is_false(held:ready())
    assert.has_error(function() held:successful() end,
      "successful: the result is not ready")
    assert.same({ n = 2, nil, "timeout" }, table.pack(
      pool:map(square, { 1, 2, 3 }, { timeout = 0.01 })))
    gate:put("open")
    assert.equal("open", held:get())
    assert.same({ n = 1, 16 }, pool:map(square, { 4 }))
    pool:close()
    pool:join()
  end)

  it("drops what has not started when a map's time is up", function()
    local pool <close> = mp.Pool(1)
    local gate, ran = mp.SimpleQueue(), mp.SimpleQueue()
    local held = pool:apply_async(function() return gate:get() end)
    assert.is_nil(pool:map(function(x) ran:put(x) end, { 1, 2, 3 },
      { timeout = 0.01, chunksize = 1 }))
    gate:put(true)
    held:get()
    pool:apply(square, { 1 })
    assert.is_true(ran:empty())
  end)
end)

describe("an error in a task", function()
  it("arrives with its traceback, the task's index and name", function()
    each_method(function(ctx)
      local pool <close> = ctx.Pool(2)
      local function fail(x) if x == 3 then error { code = x } end return x end
      local ok, err = pcall(pool.map, pool, fail, { 1, 2, 3, 4 },
        { chunksize = 1 })
      assert.is_false(ok)
      assert.equal(3, err.task)
      assert.matches("pool_spec.lua:%d+: in function <[^\n]*>$", err.traceback)
      ok, err = pcall(pool.map, pool, fail, { 1, 2, 3, 4 }, { chunksize = 2 })
      assert.is_false(ok)
      assert.equal(mp.RemoteError, getmetatable(err))
      assert.same({ code = 3 }, err.message)
      assert.equal(3, err.task)
      assert.matches("pool_spec.lua:%d+", err.name)
      assert.matches("stack traceback", err.traceback)
      assert.matches("pool_spec.lua:%d+: in function <[^\n]*>$", err.traceback)
      assert.matches("task 3", tostring(err))
      assert.matches("^PoolWorker%-%d$", err.process)
      assert.is_number(err.pid)
    end)
  end)

  it("has the frames of a deep stack that a traceback of Lua has", function()
    local function dive(n)
      if n == 0 then error("deep") end
      return 1 + dive(n - 1)
    end
    local pool <close> = mp.Pool(1)
    local _, err = pcall(pool.apply, pool, dive, { 50 })
    local _, above = xpcall(dive, debug.traceback, 50)
    local _, shown = err.traceback:gsub("\n", "")
    local _, of_lua = above:gsub("\n", "")
    assert.equal(of_lua, shown)
    assert.matches("skipping 31 levels", err.traceback)
    _, err = pcall(pool.apply, pool, dive, { 150000 })
    assert.matches("skipping %d+ levels", err.traceback)
  end)

  it("costs no other task", function()
    local pool <close> = mp.Pool(2)
    local ran = mp.SimpleQueue()
    assert.has_error(function()
      pool:map(function(x)
        if x == 1 then error("no") end
        ran:put(x)
      end, { 1, 2, 3, 4, 5 }, { chunksize = 5 })
    end)
    local sum = 0
    while not ran:empty() do sum = sum + ran:get() end
    assert.equal(14, sum)
  end)

  it("comes from a result or an argument that cannot travel", function()
    local pool <close> = mp.Pool(2)
    local co = coroutine.create(print)
    local ok, err = pcall(pool.apply, pool, square, { { x = co } })
    assert.is_false(ok)
    assert.matches("args%[1%]%.x: cannot send a thread", err)
    ok, err = pcall(pool.map, pool, square, { 1, { co } }, { chunksize = 2 })
    assert.is_false(ok)
    assert.matches("list%[2%]%[1%]: cannot send a thread", err)
    ok, err = pcall(pool.map, pool, square, { 1, { co } }, { chunksize = 1 })
    assert.is_false(ok)
    assert.matches("list%[2%]%[1%]: cannot send a thread", err)
    ok, err = pcall(pool.apply, pool,
      function() return { coroutine.create(print) } end)
    assert.is_false(ok)
    assert.matches("result%[1%]: cannot send a thread", tostring(err))
    local all = pool:map_async(function(x)
      return x == 2 and coroutine.create(print) or x
    end, { 1, 2, 3 }, { chunksize = 3 })
    ok, err = pcall(all.get, all)
    assert.is_false(ok)
    assert.equal(2, err.task)
    assert.matches("cannot send a thread", tostring(err))
    assert.equal(4, pool:apply(square, { 2 }))
  end)
end)

describe("callbacks", function()
  it("run inside the owner's calls, with the result or the error", function()
    local pool <close> = mp.Pool(2)
    local seen = {}
    local opts = {
      callback = function(r) seen.result = r end,
      error_callback = function(e) seen.err = e end,
    }
    pool:apply_async(square, { 3 }, opts):wait()
    assert.equal(9, seen.result)
    pool:apply_async(error, { "no" }, opts):wait()
    assert.equal("no", seen.err.message)
    pool:map_async(square, { 1, 2 }, opts):wait()
    assert.same({ n = 2, 1, 4 }, seen.result)
  end)

  it("that raise break nothing", function()
    local pool <close> = mp.Pool(1)
    local result = pool:apply_async(square, { 3 },
      { callback = function() error("broken callback") end })
    assert.equal(9, result:get())
    assert.equal(4, pool:apply(square, { 2 }))
  end)
end)

describe("imap", function()
  it("gives index and result in order", function()
    each_method(function(ctx)
      local pool <close> = ctx.Pool(2)
      for _, chunksize in ipairs { 1, 3, 100 } do
        local count = 0
        for i, r in pool:imap(square, { 1, 2, 3, 4, 5, 6, 7 },
          { chunksize = chunksize }) do
          count = count + 1
          assert.equal(count, i)
          assert.equal(i * i, r)
        end
        assert.equal(7, count)
      end
    end)
  end)

  it("takes an iterator and reads it as needed", function()
    local pool <close> = mp.Pool(2)
    local read = 0
    local function source()
      read = read + 1
      return read
    end
    for i, r in pool:imap(square, source, { chunksize = 1 }) do
      assert.equal(i * i, r)
      if i == 20 then break end
      assert.is_true(read - i <= 20)
    end
    assert.equal(1, pool:apply(square, { 1 }))
  end)

  it("keeps nil results", function()
    local pool <close> = mp.Pool(2)
    local n = 0
    for i, r in pool:imap(function(x) if x % 2 == 0 then return x end end,
      { 1, 2, 3, 4 }) do
      n = n + 1
      if i % 2 == 0 then assert.equal(i, r) else assert.is_nil(r) end
    end
    assert.equal(4, n)
  end)

  it("unordered gives every index once, the ready ones first", function()
    local pool <close> = mp.Pool(2)
    local gate = mp.SimpleQueue()
    local seen = {}
    local function task(x)
      if x == 1 then gate:get() end
      return -x
    end
    for i, r in pool:imap_unordered(task, { 1, 2, 3, 4 }, { chunksize = 1 }) do
      assert.equal(-i, r)
      seen[#seen + 1] = i
      if #seen == 3 then gate:put(true) end
    end
    assert.equal(4, #seen)
    assert.equal(1, seen[4])
  end)

  it("raises the error of a task at its place, and goes on", function()
    local pool <close> = mp.Pool(2)
    local function task(x) if x == 2 then error("two") end return x end
    local step = pool:imap(task, { 1, 2, 3 })
    assert.equal(1, (step()))
    assert.has_error(step)
    assert.equal(3, (step()))
    assert.is_nil(step())
  end)

  it("cancels what has not started when the loop is left", function()
    local pool <close> = mp.Pool(1)
    local ran = mp.SimpleQueue()
    for i in pool:imap(function(x) ran:put(x) return x end,
      { 1, 2, 3, 4, 5, 6, 7, 8 }, { chunksize = 1 }) do
      if i == 1 then break end
    end
    pool:apply(square, { 1 })
    local n = 0
    while not ran:empty() do
      ran:get()
      n = n + 1
    end
    assert.is_true(n < 8)
  end)

  it("raises what its source raises", function()
    local pool <close> = mp.Pool(1)
    local n = 0
    assert.has_error(function()
      for _ in pool:imap(square, function()
        n = n + 1
        if n == 3 then error("no more") end
        return n
      end, { chunksize = 1 }) do end
    end)
    assert.equal(4, pool:apply(square, { 2 }))
  end)

  it("raises when its time is up", function()
    local pool = mp.Pool(1)
    local gate = mp.SimpleQueue()
    local step = pool:imap(function() gate:get() end, { 1 }, { timeout = 0.01 })
    assert.has_error(step, "timeout")
    gate:put(true)
    pool:close()
    pool:join()
  end)
end)

describe("workers", function()
  it("start when there is work", function()
    local pool <close> = mp.Pool(2)
    assert.equal(0, #mp.active_children())
    pool:apply(square, { 1 })
    assert.equal(1, #mp.active_children())
    pool:map(square, { 1, 2, 3, 4 }, { chunksize = 1 })
    assert.equal(2, #mp.active_children())
    assert.is_true(mp.active_children()[1].daemon)
  end)

  it("run the initializer with its arguments", function()
    each_method(function(ctx)
      local pool <close> = ctx.Pool { processes = 2,
        initializer = function(a, b) rawset(_G, "pool_spec_sum", a + b) end,
        initargs = { 3, 4 } }
      assert.same({ n = 2, 7, 7 }, pool:map(function()
        return rawget(_G, "pool_spec_sum")
      end, { 1, 2 }, { chunksize = 1 }))
    end)
  end)

  it("are replaced after so many tasks", function()
    local pool <close> = mp.Pool { processes = 1, maxtasksperchild = 2 }
    local pids, different = {}, 0
    for _ = 1, 6 do
      local pid = pool:apply(function() return mp.current_process().pid end)
      if not pids[pid] then different = different + 1 end
      pids[pid] = true
    end
    assert.equal(3, different)
  end)

  it("get a function once, and closures as they are at the call", function()
    local pool <close> = mp.Pool(1)
    local k = 1
    local function f(x) return x + k end
    assert.equal(11, pool:apply(f, { 10 }))
    k = 2
    assert.equal(12, pool:apply(f, { 10 }))
    assert.equal(12, pool:apply(f, { 10 }))
    assert.same({ n = 2, 12, 22 }, pool:map(f, { 10, 20 }))
    for i = 1, 200 do
      assert.equal(i, pool:apply(function() return i end))
      assert.same({ n = 2, i, i }, pool:map(function() return i end, { 1, 2 }))
    end
  end)

  it("may have pools of their own", function()
    local pool <close> = mp.Pool(2)
    assert.same({ n = 2, 5, 20 }, pool:map(function(x)
      local inner <close> = mp.Pool(2)
      local sum = 0
      for _, r in ipairs(inner:map(function(y) return y * x end,
        { 1, 2, 2 })) do
        sum = sum + r
      end
      return sum * x
    end, { 1, 2 }))
  end)
end)

describe("a worker that dies", function()
  local KILLS = {
    ["os.exit"] = function() os.exit(3) end,
    SIGKILL = function() mp.current_process():kill() end,
  }

  it("costs its task only", function()
    each_method(function(ctx, method)
      for name, kill in pairs(KILLS) do
        local pool <close> = ctx.Pool(2)
        local done = mp.SimpleQueue()
        local ok, err = pcall(pool.map, pool, function(x)
          if x == 3 then kill() end
          done:put(x)
          return x
        end, { 1, 2, 3, 4, 5, 6 }, { chunksize = 1 })
        assert.is_false(ok)
        assert.equal(mp.ProcessDied, getmetatable(err))
        assert.equal(3, err.task)
        assert.equal(name == "os.exit" and 3 or -9, err.exitcode, method)
        local sum = 0
        while not done:empty() do sum = sum + done:get() end
        assert.equal(18, sum)
        assert.equal(4, pool:apply(square, { 2 }))
      end
    end)
  end)

  it("gives the other tasks of its batch back", function()
    local pool <close> = mp.Pool(2)
    local all = pool:map_async(function(x)
      if x == 5 then mp.current_process():kill() end
      return x
    end, { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, { chunksize = 10 })
    local ok, err = pcall(all.get, all)
    assert.is_false(ok)
    assert.equal(5, err.task)
    assert.matches("signal 9", tostring(err))
  end)

  it("breaks the pool when it goes on and on", function()
    local pool <close> = mp.Pool { processes = 2, max_restarts = 3 }
    local results = {}
    for i = 1, 8 do
      results[i] = pool:apply_async(function() os.exit(7) end)
    end
    local broken
    for i = 1, 8 do
      local ok, err = pcall(results[i].get, results[i])
      assert.is_false(ok)
      broken = broken or getmetatable(err) == mp.BrokenPool and err
    end
    assert.is_truthy(broken)
    assert.equal(7, broken.cause.exitcode)
    local ok, err = pcall(pool.apply, pool, square, { 2 })
    assert.is_false(ok)
    assert.equal(mp.BrokenPool, getmetatable(err))
    assert.matches("exit code 7", tostring(err))
  end)

  it("breaks the pool when its initializer raises", function()
    each_method(function(ctx)
      local pool <close> = ctx.Pool { processes = 2,
        initializer = function() error("not today") end }
      local ok, err = pcall(pool.map, pool, square, { 1, 2, 3 })
      assert.is_false(ok)
      assert.equal(mp.BrokenPool, getmetatable(err))
      assert.matches("not today", tostring(err))
    end)
  end)
end)

describe("the end of a pool", function()
  it("comes by close and join, with all results", function()
    local pool = mp.Pool(2)
    local result = pool:map_async(square, { 1, 2, 3 }, { chunksize = 1 })
    pool:close()
    assert.has_error(function() pool:apply(square, { 1 }) end,
      "apply: the pool is closed")
    pool:join()
    assert.same({ n = 3, 1, 4, 9 }, result:get())
    assert.equal(0, #mp.active_children())
  end)

  it("comes at once by terminate", function()
    local pool = mp.Pool(2)
    local gate = mp.SimpleQueue()
    local result = pool:apply_async(function() return gate:get() end)
    pool:terminate()
    pool:join()
    assert.has_error(function() result:get() end, "the pool was terminated")
    assert.has_error(function() pool:apply(square) end,
      "apply: the pool is terminated")
  end)

  it("needs close or terminate before join", function()
    local pool <close> = mp.Pool(1)
    assert.has_error(function() pool:join() end,
      "join: the pool still runs; close or terminate it first")
  end)

  it("comes with an error that leaves the block", function()
    local gate = mp.SimpleQueue()
    assert.has_error(function()
      local pool <close> = mp.Pool(2)
      pool:apply_async(function() return gate:get() end)
      error("out", 0)
    end, "out")
    assert.equal(0, #mp.active_children())
  end)

  it("comes when it is collected", function()
    local pool = mp.Pool(1)
    pool:apply(square, { 1 })
    local worker = mp.active_children()[1]
    pool = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.is_true(worker:join())
  end)
end)

describe("a pool's face", function()
  it("lists the options there are", function()
    assert.has_error(function() mp.Pool { process = 2 } end, "Pool: unknown "
      .. "option 'process' (valid: context, initargs, initializer, "
      .. "max_restarts, maxtasksperchild, processes)")
    for _, bad in ipairs { 0, -1, 1.5, "2", { processes = 0 },
      { initializer = 1 }, { maxtasksperchild = 0 }, { context = "x" } } do
      assert.has_error(function() mp.Pool(bad) end)
    end
    local pool <close> = mp.Pool(1)
    assert.has_error(function() pool:map(1, {}) end,
      "map: a function was expected, not a number")
    assert.has_error(function() pool:map(square) end,
      "map: a list was expected, not a nil")
    assert.has_error(function() pool:map(square, {}, { chunks = 1 }) end)
    assert.has_error(function() pool:map(square, {}, { chunksize = 0 }) end)
    assert.has_error(function() pool:imap(square, {}, { timeout = 0 / 0 }) end)
    assert.has_error(function() pool:starmap(square, { 1 }) end)
  end)

  it("names the line of a mistake", function()
    local said = helper.output [[
      local pool <close> = mp.Pool(1)
      local executor <close> = mp.futures.ProcessPoolExecutor(1)
      local function try(f) print(select(2, pcall(f))) end
      try(function() pool:map(42, {}) end)
      try(function() pool:map(math.abs, {}, { chunksize = 0 }) end)
      try(function() pool:starmap_async(math.abs, 1) end)
      try(function() pool:imap(42, {}) end)
      try(function() pool:imap(math.abs, {}, { chunksize = 0 }) end)
      try(function() executor:map(math.abs, 5) end)
      try(function() executor:map(math.abs, {}, { chunksize = 0 }) end)
      try(function() executor:map(math.abs, {}, { buffersize = 0 }) end)
      try(function() executor:submit(math.abs, 1):result "x" end)
      pool:close()
      try(function() pool:map(math.abs, {}) end)
      try(function() pool:imap(math.abs, {}) end)
      try(function() pool:apply(math.abs) end)]]
    local n = 0
    for line in said:gmatch "%C+" do
      assert.matches("^[^:]*script%.lua:%d+: ", line)
      n = n + 1
    end
    assert.equal(12, n)
  end)

  it("belongs to its process", function()
    local pool <close> = mp.Pool(1)
    local ok, err = pcall(mp.encode, pool)
    assert.is_false(ok)
    assert.matches("a Pool belongs to the process that made it", err)
    local p <close> = mp.get_context("fork").Process(function()
      return pcall(pool.apply, pool, square, { 2 })
    end):start()
    local worked, why = p:result()
    assert.is_false(worked)
    assert.matches("belongs to the process that made it", why)
  end)

  it("wants its options in a table", function()
    local pool <close> = mp.Pool(1)
    for _, what in ipairs { "map", "starmap", "map_async" } do
      local ok, err = pcall(pool[what], pool, square, { { 1 } }, 5)
      assert.is_false(ok)
      assert.matches(what .. ": options must be a table, not a number", err)
    end
  end)

  it("shows its state", function()
    local pool = mp.Pool(2)
    assert.matches("^mp.Pool %(running, 0 of 2 workers%)", tostring(pool))
    pool:close()
    assert.matches("^mp.Pool %(closed", tostring(pool))
    pool:join()
  end)

  it("can be waited for through its results", function()
    local pool <close> = mp.Pool(1)
    local result = pool:apply_async(square, { 3 })
    assert.same({ result }, mp.wait({ result }))
    assert.equal(9, result:get())
  end)
end)
