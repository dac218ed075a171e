-- Tables of options: a name that is not known raises, with those that are.
require "helper"
local mp = require "mp"

local WRONG = { bogus = 1 }
local function one() return 1 end

-- Each calls what its name says, with an option that it does not have.
local CASES = {
  Process = function() mp.Process { target = one, bogus = 1 }:start() end,
  Pool = function() mp.Pool(WRONG):close() end,
  ProcessPoolExecutor = function()
    mp.futures.ProcessPoolExecutor(WRONG):shutdown()
  end,
  ThreadPoolExecutor = function()
    mp.futures.ThreadPoolExecutor(WRONG):shutdown()
  end,
  wait = function() mp.futures.wait({}, WRONG) end,
  Value = function() mp.Value("i", 0, WRONG):get() end,
  Array = function() mp.Array("i", 2, WRONG):get() end,
  Semaphore = function() mp.Semaphore(1, WRONG):acquire() end,
  Barrier = function() mp.Barrier(2, WRONG):abort() end,
  Manager = function() mp.Manager(WRONG):dict() end,
  BaseManager = function() mp.managers.BaseManager(WRONG):start() end,
  SyncManager = function() mp.managers.SyncManager(WRONG):start() end,
  SharedMemoryManager = function()
    mp.managers.SharedMemoryManager(WRONG):start()
  end,
  SharedMemory = function() mp.shared_memory.SharedMemory(WRONG):close() end,
  ShareableList = function() mp.shared_memory.ShareableList(WRONG):len() end,
  Listener = function() mp.connection.Listener(WRONG):close() end,
  Client = function() mp.connection.Client(WRONG):close() end,
  decode = function() mp.decode(mp.encode(1), WRONG):x() end,
  loads = function() mp.pickle.loads("N.", WRONG):x() end,
}

local POOL = { "map", "map_async", "starmap", "starmap_async", "imap",
  "imap_unordered", "apply_async" }

-- fails(name, f): f raises where it is called, and says what there is.
local function fails(name, f)
  local ok, why = pcall(f)
  assert.is_false(ok, name)
  assert.matches("^.*spec/options_spec%.lua:%d+: " .. name
    .. ": unknown option 'bogus' %(valid: %l[%l_, ]*%)$", why)
end

describe("an unknown option raises in", function()
  for name, f in pairs(CASES) do
    it(name, function() fails(name, f) end)
  end

  it("every context", function()
    for _, method in ipairs(mp.get_all_start_methods()) do
      local ctx = mp.get_context(method)
      fails("Process", function() ctx.Process(WRONG):start() end)
      fails("Pool", function() ctx.Pool(WRONG):close() end)
    end
    fails("Process", function() mp.dummy.Process(WRONG):start() end)
    fails("Pool", function() mp.dummy.Pool(WRONG):close() end)
  end)

  it("what a pool does", function()
    local pool <close> = mp.Pool(1)
    for _, name in ipairs(POOL) do
      fails(name, function()
        local result = pool[name](pool, one, {}, WRONG)
        return result
      end)
    end
  end)

  it("what an executor does", function()
    local executor <close> = mp.futures.ThreadPoolExecutor(1)
    fails("map", function() executor:map(one, {}, WRONG)() end)
    fails("shutdown", function() assert(executor:shutdown(WRONG)) end)
  end)

  it("and so does what is no table", function()
    local executor <close> = mp.futures.ThreadPoolExecutor(1)
    local shut = executor.shutdown
    for name, f in pairs { shutdown = function() shut(executor, 1) end,
      BaseManager = function() mp.managers.BaseManager(1):start() end,
      Pool = function() mp.Pool("x"):close() end } do
      local ok, why = pcall(f)
      assert.is_false(ok)
      assert.matches("spec/options_spec%.lua:%d+: " .. name .. ": ", why)
    end
  end)

  it("what a manager makes", function()
    local manager <close> = mp.Manager()
    fails("Semaphore", function() manager:Semaphore(1, WRONG):release() end)
    fails("Barrier", function() manager:Barrier(2, WRONG):abort() end)
  end)
end)
