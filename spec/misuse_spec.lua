-- Misuse raises where the library was called, under the name that was called,
-- and says which argument it was.
require "helper"
local mp = require "mp"

local co = coroutine.create(print)
local function one() return 1 end

local function odd_one()
  return setmetatable({}, { __reduce = function() error("boom", 0) end })
end

-- fails(text, f): f raises that, at its own place.  (`f` is not to call in a
-- tail position: its place would be gone.)
local function fails(text, f)
  local ok, why = pcall(f)
  assert.is_false(ok, text)
  assert.are.equal(text, why:match("^%S*spec/misuse_spec%.lua:%d+: (.*)$")
    or why)
end

local SENT = ": cannot send a thread"

describe("what cannot be sent is named, with function and place:", function()
  it("put, send, encode", function()
    local q, a = mp.Queue(), mp.Pipe()
    fails("put: value.x[1]" .. SENT, function() q:put { x = { co } } end)
    fails("put_nowait: value" .. SENT, function() q:put_nowait(co) end)
    fails("send: value[1]" .. SENT, function() a:send { co } end)
    fails("encode: value.x" .. SENT, function() mp.encode { x = co } end)
    fails("encode: value: cannot send an mp object in a string",
      function() mp.encode(q) end)
    fails("encode: value: boom", function() mp.encode(odd_one()) end)
  end)

  it("Process", function()
    for _, method in ipairs { "spawn", "forkserver", "thread" } do
      local Process = mp.get_context(method).Process
      fails("start: args[2][1]" .. SENT, function()
        Process(one, 1, { co }):start()
      end)
      fails("start: target, upvalue 'co'" .. SENT, function()
        Process(function() return co end):start()
      end)
      fails("start: args[1]: boom", function()
        Process(one, odd_one()):start()
      end)
    end
  end)

  it("pools and executors", function()
    local pool <close> = mp.Pool(1)
    local executor <close> = mp.futures.ProcessPoolExecutor(1)
    local function odd() return co end
    fails("apply: args[2].x" .. SENT, function()
      pool:apply(one, { 1, { x = co } })
    end)
    fails("apply: function, upvalue 'co'" .. SENT, function()
      pool:apply(odd)
    end)
    fails("apply_async: args[1]" .. SENT, function()
      pool:apply_async(one, { co })
    end)
    for _, name in ipairs { "map", "map_async" } do
      fails(name .. ": list[2]" .. SENT, function()
        pool[name](pool, one, { 1, co })
      end)
    end
    fails("map: list[2]: boom", function() pool:map(one, { 1, odd_one() }) end)
    fails("starmap: list[1][1]" .. SENT, function()
      pool:starmap(one, { { co } })
    end)
    fails("imap: list[1]" .. SENT, function() pool:imap(one, { co })() end)
    fails("submit: args[1]" .. SENT, function() executor:submit(one, co) end)
    fails("submit: args[2]" .. SENT, function() executor:submit(one, 1, co) end)
    fails("map: list[1]" .. SENT, function() executor:map(one, { co })() end)
    local other <close> = mp.Pool { initializer = one, initargs = { co },
      context = "spawn" }
    fails("Pool: initargs[1]" .. SENT, function() other:apply(one) end)
  end)

  it("Barrier", function()
    fails("Barrier: action, upvalue 'co'" .. SENT, function()
      mp.Barrier(2, { action = function() return co end })
    end)
  end)

  it("what a manager has", function()
    local manager <close> = mp.Manager()
    local dict, queue = manager:dict(), manager:Queue()
    fails("set: argument #2" .. SENT, function() dict.x = co end)
    fails("put: argument #1.x" .. SENT, function() queue:put { x = co } end)
    fails("dict: argument #1.x" .. SENT, function()
      manager:dict { x = co }
    end)
  end)
end)

describe("a misuse is the caller's:", function()
  it("Process", function()
    local p = mp.Process(one)
    fails("join: process not started", function() p:join(1) end)
    fails("result: process not started", function() p:result(1) end)
    fails("kill: process not started", function() p:kill() end)
    fails("terminate: process not started", function() p:terminate() end)
    fails("interrupt: process not started", function() p:interrupt() end)
    fails("bad argument #1 to 'join' (number (seconds) or nil expected, got "
      .. "string)", function() p:join "1" end)
    p:close()
    fails("calling 'join' on bad self (process is closed)",
      function() p:join() end)
    fails("join: a process cannot wait for itself",
      function() mp.current_process():join() end)
  end)

  it("but what a hook raises is not", function()
    local named = require "mp.error".blame_as
    for _, err in ipairs { "alarm: too late", "interrupted!" } do
      assert.has_error(function() named("result", err, "join", 1) end, err)
    end
  end)

  it("functions, lists, timeouts", function()
    local lock, cond = mp.Lock(), mp.Condition()
    local q = mp.Queue()
    fails("with: a function was expected, not a number",
      function() lock:with(1) end)
    fails("with: a function was expected, not a number",
      function() cond:with(1) end)
    fails("bad argument #2 to 'wait' (number (seconds) or nil expected, got "
      .. "string)", function() mp.wait({ q }, "1") end)
    fails("bad argument #2 to 'wait_for' (timeout is not a number (NaN))",
      function() cond:wait_for(one, 0 / 0) end)
    fails("decode: a string was expected, not a number",
      function() mp.decode(1) end)
    fails("bad argument #1 to 'Condition' (mp.Lock expected, got number)",
      function() mp.Condition(1) end)
    fails("Client: address must be a path or {host, port}",
      function() mp.connection.Client {} end)
    fails("ShareableList: element 1 is a thread",
      function() mp.shared_memory.ShareableList { co } end)
  end)

  it("pools", function()
    local pool <close> = mp.Pool(1)
    for _, name in ipairs { "apply", "apply_async", "map", "map_async",
      "starmap", "starmap_async", "imap", "imap_unordered" } do
      fails(name .. ": a function was expected, not a number",
        function() pool[name](pool, 1, {}) end)
    end
    for _, name in ipairs { "map", "map_async", "starmap", "starmap_async" } do
      fails(name .. ": a list was expected, not a number",
        function() pool[name](pool, one, 1) end)
      fails(name .. ": chunksize must be a positive integer",
        function() pool[name](pool, one, {}, { chunksize = 0 }) end)
    end
    for _, name in ipairs { "map", "starmap", "imap", "imap_unordered" } do
      fails(name .. ": timeout must be a number of seconds",
        function() pool[name](pool, one, {}, { timeout = "1" }) end)
    end
    fails("starmap: list[2] must be a table of arguments, not a number",
      function() pool:starmap(one, { {}, 1 }) end)
    fails("apply_async: option 'callback' must be a function, not a number",
      function() pool:apply_async(one, {}, { callback = 1 }) end)
    fails("get_context: unknown start method 'x' (valid: fork, spawn, "
      .. "forkserver, thread)", function() mp.Pool { context = "x" } end)
    fails("join: the pool still runs; close or terminate it first",
      function() pool:join() end)
  end)

  it("executors and futures", function()
    local executor <close> = mp.futures.ThreadPoolExecutor(1)
    local future = executor:submit(one)
    fails("map: a list or an iterator was expected, not a number",
      function() executor:map(one, 1) end)
    fails("result: timeout must be a number of seconds",
      function() future:result "1" end)
    fails("exception: timeout must be a number of seconds",
      function() future:exception "1" end)
  end)

  it("what a manager has", function()
    local manager <close> = mp.Manager()
    local pool, dict = manager:Pool(1), manager:dict()
    local value = manager:Value("i", 0)
    for _, name in ipairs { "apply", "map", "starmap", "apply_async",
      "map_async", "starmap_async" } do
      fails(name .. ": a function was expected, not a number",
        function() pool[name](pool, 1) end)
    end
    fails("map: a list was expected, not a number",
      function() pool:map(one, 1) end)
    fails("map: unknown option 'bogus' (valid: callback, chunksize, "
      .. "error_callback)", function() pool:map(one, {}, { bogus = 1 }) end)
    fails("join: the pool still runs; close or terminate it first",
      function() pool:join() end)
    fails("Pool: processes must be a positive integer",
      function() manager:Pool(0) end)
    fails("_update: a function was expected, not a number",
      function() dict:_update("x", 1) end)
    fails("value: a string does not fit typecode 'i'",
      function() value.value = "x" end)
    assert.same({ 1, 1, n = 2 }, pool:map(one, { 1, 2 }, { timeout = 9 }))
    assert.same({ n = 2, nil, "timeout" }, table.pack(pool:map(function()
      local mp_ = require "mp"
      mp_.Event():wait(60)
    end, { 1 }, { timeout = 0.05 })))
    pool:terminate()
    pool:join()
  end)

  it("in a function that a server calls back, it is that function's", function()
    local manager <close> = mp.Manager()
    local dict = manager:dict()
    local ok, why = pcall(function()
      dict:_update("x", function() require "mp".Queue "x" end)
    end)
    assert.is_false(ok)
    assert.matches("spec/misuse_spec.lua:%d+: Queue: maxsize must be an "
      .. "integer", why.message)
  end)
end)
