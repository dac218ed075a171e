-- Executors and futures.
local helper = require "helper"
local mp = require "mp"

local futures = mp.futures
local function square(x) return x * x end

local function executors()
  return {
    process = futures.ProcessPoolExecutor, thread = futures.ThreadPoolExecutor,
  }
end

-- An executor of one worker that is busy until the gate is opened.
local function busy()
  local executor = futures.ProcessPoolExecutor { max_workers = 1 }
  local gate, seen = mp.SimpleQueue(), mp.SimpleQueue()
  local first = executor:submit(function()
    seen:put(true)
    return gate:get()
  end)
  seen:get()
  return executor, gate, first
end

describe("an executor", function()
  it("gives futures for calls", function()
    for _, new in pairs(executors()) do
      local executor <close> = new { max_workers = 2 }
      local future = executor:submit(function(...) return ... end, 1, nil, 3)
      assert.same({ n = 3, 1, nil, 3 }, table.pack(future:result()))
      assert.equal(9, executor:submit(square, 3):result())
      assert.equal(0, executor:submit(select, "#"):result())
      assert.is_true(future:done())
      assert.is_false(future:running())
      assert.is_false(future:cancelled())
      assert.is_nil(future:exception())
    end
  end)

  it("works under every start method", function()
    for _, ctx in helper.methods() do
      local executor <close> = futures.ProcessPoolExecutor {
        max_workers = 2, context = ctx }
      assert.equal(9, executor:submit(square, 3):result())
    end
  end)

  it("maps in order, lazily", function()
    local executor <close> = futures.ProcessPoolExecutor { max_workers = 2 }
    local sum, read = 0, 0
    for i, r in executor:map(square, function()
      read = read + 1
      if read <= 50 then return read end
    end, { chunksize = 1, buffersize = 3 }) do
      assert.equal(i * i, r)
      assert.is_true(read - i <= 4)
      sum = sum + r
    end
    assert.equal(42925, sum)
  end)

  it("raises when a map's time is up", function()
    local executor, gate = busy()
    local step = executor:map(square, { 1 }, { timeout = 0.01 })
    assert.has_error(step, "timeout")
    gate:put(1)
    executor:shutdown()
  end)

  it("takes nothing after shutdown", function()
    local executor, gate, first = busy()
    executor:shutdown { wait = false }
    assert.has_error(function() executor:submit(square, 1) end,
      "submit: the executor was shut down")
    gate:put("late")
    assert.equal("late", first:result())
    executor:shutdown()
    assert.equal(0, #mp.active_children())
  end)

  it("cancels what waits at shutdown, when told to", function()
    local executor, gate, first = busy()
    local waiting = executor:submit(square, 2)
    gate:put("done")
    executor:shutdown { cancel_futures = true }
    assert.equal("done", first:result())
    assert.is_true(waiting:cancelled() or waiting:result() == 4)
  end)

  it("ends its workers at once", function()
    for _, how in ipairs { "terminate_workers", "kill_workers" } do
      local executor, _, first = busy()
      executor[how](executor)
      assert.has_error(function() first:result() end)
      executor:shutdown()
      assert.equal(0, #mp.active_children())
    end
  end)

  it("runs the initializer, and replaces workers", function()
    local executor <close> = futures.ProcessPoolExecutor { max_workers = 1,
      initializer = function(x) rawset(_G, "futures_spec_x", x) end,
      initargs = { 5 }, max_tasks_per_child = 1 }
    local pids = {}
    for _ = 1, 3 do
      local x, pid = executor:submit(function()
        return rawget(_G, "futures_spec_x"), mp.current_process().pid
      end):result()
      assert.equal(5, x)
      assert.is_nil(pids[pid])
      pids[pid] = true
    end
  end)

  it("shows its state and lists its options", function()
    local executor <close> = futures.ProcessPoolExecutor(1)
    assert.matches("^mp.ProcessPoolExecutor %(running, 0 of 1 workers%)",
      tostring(executor))
    assert.has_error(function()
      futures.ProcessPoolExecutor { workers = 2 }
    end, "ProcessPoolExecutor: unknown option 'workers' (valid: context, "
      .. "initargs, initializer, max_tasks_per_child, max_workers)")
    assert.has_error(function() executor:submit(1) end,
      "submit: a function was expected, not a number")
    local ok, err = pcall(mp.encode, executor)
    assert.is_false(ok)
    assert.matches("an executor belongs to the process that made it", err)
  end)
end)

describe("a future", function()
  it("has the call's error", function()
    for _, new in pairs(executors()) do
      local executor <close> = new { max_workers = 1 }
      local future = executor:submit(error, { code = 7 })
      assert.equal(7, future:exception().message.code)
      assert.has_error(function() future:result() end)
      assert.equal(mp.RemoteError, getmetatable(future:exception()))
    end
  end)

  it("tells of a worker that died", function()
    for _, ctx in helper.methods() do
      local executor <close> = futures.ProcessPoolExecutor {
        max_workers = 1, context = ctx }
      local future = executor:submit(function() os.exit(5) end)
      assert.equal(5, future:exception().exitcode)
      assert.equal(4, executor:submit(square, 2):result())
    end
  end)

  it("runs out of time", function()
    local executor, gate, first = busy()
    assert.same({ nil, "timeout" }, { first:result(0.01) })
    assert.same({ nil, "timeout" }, { first:exception(0) })
    assert.is_true(first:running())
    assert.is_false(first:done())
    gate:put(1)
    executor:shutdown()
  end)

  it("can be taken back until a worker has it", function()
    local executor, gate, first = busy()
    local ran = mp.SimpleQueue()
    local second = executor:submit(function() ran:put(true) end)
    local third = executor:submit(square, 3)
    assert.is_false(second:running())
    assert.is_false(first:cancel())
    assert.is_true(second:cancel())
    assert.is_true(second:cancel())
    assert.is_true(second:cancelled())
    assert.is_true(second:done())
    assert.same({ nil, "cancelled" }, { second:result() })
    assert.same({ nil, "cancelled" }, { second:exception() })
    gate:put(1)
    assert.equal(9, third:result())
    assert.is_false(third:cancel())
    assert.is_true(ran:empty())
    executor:shutdown()
  end)

  it("calls back once it is over, cancelled ones too", function()
    local executor, gate, first = busy()
    local second = executor:submit(square, 2)
    local over = {}
    for _, future in ipairs { first, second } do
      future:add_done_callback(function(f) over[#over + 1] = f end)
      future:add_done_callback(function() error("no matter") end)
    end
    assert.is_true(second:cancel())
    gate:put(1)
    first:result()
    executor:shutdown()
    assert.same({ second, first }, over)
    local late
    first:add_done_callback(function(f) late = f end)
    assert.equal(first, late)
  end)

  it("can be waited for by mp.wait, beside other things", function()
    local executor <close> = futures.ProcessPoolExecutor { max_workers = 1 }
    local queue = mp.Queue()
    local future = executor:submit(square, 4)
    assert.same({ future }, mp.wait { queue, future })
    local doomed = executor:submit(function() os.exit(1) end)
    assert.same({ doomed }, mp.wait { queue, doomed })
    assert.error_matches(function() mp.wait { doomed, 999999 } end,
      "wait: list%[2%] is not an open descriptor")
  end)
end)

describe("futures.wait", function()
  it("waits for all, the first, or the first error", function()
    local executor, gate, first = busy()
    local second = executor:submit(error, "no")
    local list = { first, second }
    local done, pending = futures.wait(list, { timeout = 0 })
    assert.same({ 0, 2 }, { #done, #pending })
    gate:put("go")
    done = futures.wait(list, { return_when = "FIRST_COMPLETED" })
    assert.equal(first, done[1])
    done = futures.wait(list, { return_when = futures.FIRST_EXCEPTION })
    assert.equal(2, #done)
    done, pending = futures.wait(list, { return_when = futures.ALL_COMPLETED })
    assert.same({ 2, 0 }, { #done, #pending })
    done, pending = futures.wait {}
    assert.same({ 0, 0 }, { #done, #pending })
    assert.has_error(function() futures.wait({}, { return_when = "x" }) end)
    assert.has_error(function() futures.wait { 1 } end,
      "wait: list[1] is not a future")
    executor:shutdown()
  end)

  it("waits for futures of several executors", function()
    local a <close> = futures.ProcessPoolExecutor { max_workers = 1 }
    local b <close> = futures.ThreadPoolExecutor { max_workers = 1 }
    local list = { a:submit(square, 1), b:submit(square, 2) }
    local done = futures.wait(list)
    assert.equal(2, #done)
    assert.equal(4, list[2]:result())
  end)
end)

describe("as_completed", function()
  it("gives each future once, as they come", function()
    local executor, gate, first = busy()
    local a = executor:submit(square, 1)
    local list = { a, first, executor:submit(square, 2) }
    gate:put("go")
    local order = {}
    for future in futures.as_completed(list) do
      order[#order + 1] = future
    end
    assert.equal(3, #order)
    assert.equal(first, order[1])
    executor:shutdown()
  end)

  it("raises when its time is up", function()
    local executor, gate, first = busy()
    assert.has_error(futures.as_completed({ first }, 0.01), "timeout")
    gate:put(1)
    executor:shutdown()
  end)
end)

describe("mp.dummy", function()
  it("is the API over threads", function()
    assert.equal("thread", mp.dummy.get_start_method())
    local pool <close> = mp.dummy.Pool(2)
    assert.same({ n = 2, 1, 4 }, pool:map(square, { 1, 2 }))
    local threads <close> = mp.pool.ThreadPool(1)
    local pid = threads:apply(function() return mp.current_process().pid end)
    assert.equal(mp.current_process().pid, pid)
  end)
end)
