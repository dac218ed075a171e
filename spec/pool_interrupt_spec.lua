-- Ctrl-C and SIGTERM while pools work: one message, no trace of the workers.
local helper = require "helper"
local mp = require "mp"
local host = helper.host

--- Processes of a session that run.
local function members(session)
  local pids = {}
  for _, name in ipairs(host.list("/proc")) do
    local file <close> = name:find("^%d+$") and io.open("/proc/" .. name
      .. "/stat")
    local text = file and file:read("a") or ""
    local state, sid = text:match("^.*%) (%a) %d+ %d+ (%d+)")
    if sid and tonumber(sid) == session and not state:find("[ZX]") then
      pids[#pids + 1] = tonumber(name)
    end
  end
  return pids
end

local function all_gone(session)
  helper.eventually(function() return #members(session) == 0 end, 2,
    "the end of all workers")
end

-- What the scripts do; "ready" comes when the signal may come.
local MOMENTS = {
  ["as it starts"] = [[
    print "ready"
    io.stdout:flush()
    local pool OWN = CTX.Pool(4)
    local list = {}
    for i = 1, 5000 do list[i] = i end
    pool:map(function(x) for i = 1, 1e5 do x = x + i end return x end, list)
  ]],
  ["in map"] = [[
    local pool OWN = CTX.Pool(2)
    local seen = mp.SimpleQueue()
    local list = {}
    for i = 1, 5000 do list[i] = i end
    local result = pool:map_async(function(x)
      if x == 1 then seen:put(1) end
      for i = 1, 1e5 do x = x + i end
      return x
    end, list, { chunksize = 1 })
    seen:get()
    print "ready"
    io.stdout:flush()
    result:get()
  ]],
  ["while workers wait"] = [[
    local pool OWN = CTX.Pool(2)
    pool:map(function(x) return x end, { 1, 2, 3, 4 }, { chunksize = 1 })
    print "ready"
    io.stdout:flush()
    host.sleep(100)
    while true do end
  ]],
  ["in imap, with progress"] = [[
    local pool OWN = CTX.Pool(2)
    for i in pool:imap(function(x)
      for i = 1, 1e5 do x = x + i end
      return x
    end, function() return 1 end, { progress = "work" }) do
      if i == 5 then
        print "ready"
        io.stdout:flush()
      end
    end
  ]],
  ["in a callback"] = [[
    local pool OWN = CTX.Pool(1)
    pool:apply_async(function() return 1 end, {}, { callback = function()
      print "ready"
      io.stdout:flush()
      while true do end
    end }):get()
    print "not here"
  ]],
  ["in an executor"] = [[
    local pool OWN = mp.futures.ProcessPoolExecutor { max_workers = 2,
      context = CTX }
    local seen = mp.SimpleQueue()
    local list = {}
    for i = 1, 4 do
      list[i] = pool:submit(function()
        seen:put(1)
        while true do host.sleep(0.01) end
      end)
    end
    seen:get()
    print "ready"
    io.stdout:flush()
    mp.futures.wait(list)
  ]],
  ["in join"] = [[
    local pool OWN = CTX.Pool(2)
    local seen = mp.SimpleQueue()
    pool:apply_async(function() seen:put(1) while true do end end)
    seen:get()
    pool:close()
    print "ready"
    io.stdout:flush()
    pool:join()
  ]],
}

local OWN = { ["in a block"] = "<close>", ["without one"] = "" }

local function script_of(text, method, own)
  return (text:gsub("CTX", ('mp.get_context("%s")'):format(method))
    :gsub("OWN", own))
end

describe("E3: Ctrl-C", function()
  for moment, text in pairs(MOMENTS) do
    it(moment .. " ends everything, with one message", function()
      helper.slow(30)
      for method in helper.methods() do
        for how, own in pairs(OWN) do
          local what = method .. ", " .. how
          local script <close> = helper.start(script_of(text, method, own))
          assert.equal("ready", script:line())
          if moment == "as it starts" then
            host.sleep(math.random() * 0.02)
          end
          script:kill_all(helper.SIGINT)
          local code, err = script:wait(5)
          assert.equal(1, code, what .. ": " .. err)
          local _, times = err:gsub("interrupted!", "")
          assert.equal(1, times, what .. ": " .. err)
          local _, traces = err:gsub("stack traceback", "")
          assert.equal(1, traces, what .. ": " .. err)
          all_gone(script.pid)
        end
      end
    end)
  end

  -- The hook of Ctrl-C fires once, at whatever instruction, call or return
  -- comes next: here, in turn, at each.
  it("at any instruction raises, and nothing else", function()
    helper.slow(30)
    local function stat(x) return host and x * x end -- a module, by its name
    local list = { 1, 2, 3, 4, 5 }
    local function interrupted_at(n, opts)
      local pool <close> = mp.get_context("thread").Pool(1) -- no hook there
      local count = 0
      local ok, err = pcall(function()
        debug.sethook(function()
          count = count + 1
          if count < n then return end
          debug.sethook()
          error("interrupted!", 0)
        end, "cr", 1)
        local result = pool:map(stat, list, opts)
        debug.sethook()
        return result
      end)
      debug.sethook()
      pool:terminate()
      return count >= n, ok, err
    end
    for _, opts in ipairs { {}, { chunksize = 1 } } do
      local n = 0
      repeat
        n = n + 1
        local fired, ok, err = interrupted_at(n, opts)
        if fired then
          assert.same({ false, "interrupted!" }, { ok, (tostring(err):gsub(
            "^.*: interrupted!$", "interrupted!")) }, "at " .. n)
        end
      until not fired
      assert.is_true(n > 500)
    end
  end)

  it("caught leaves a pool that can go on", function()
    for _, ctx in helper.methods() do
      local pool <close> = ctx.Pool(2)
      local seen, gate = mp.SimpleQueue(), mp.SimpleQueue()
      local result = pool:apply_async(function()
        seen:put(true)
        return gate:get()
      end)
      seen:get()
      host.signal(helper.SIGUSR1, function() error("interrupted!", 0) end)
      local ok, err = pcall(function()
        host.kill(host.getpid(), helper.SIGUSR1)
        result:get()
      end)
      host.disposition(helper.SIGUSR1, "default")
      assert.same({ false, "interrupted!" }, { ok, err })
      gate:put("later")
      assert.equal("later", result:get())
      assert.equal(4, pool:apply(function(x) return x * x end, { 2 }))
    end
  end)
end)

describe("E4: SIGTERM to the owner", function()
  it("ends its workers, busy or not", function()
    for method in helper.methods() do
      for _, moment in ipairs { "in map", "while workers wait" } do
        local script <close> = helper.start(
          script_of(MOMENTS[moment], method, ""))
        assert.equal("ready", script:line())
        script:kill(helper.SIGTERM)
        local code, err = script:wait(5)
        assert.same({ -15, "" }, { code, err }, method)
        all_gone(script.pid)
      end
    end
  end)
end)
