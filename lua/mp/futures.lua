--- Executors and futures, as Python's concurrent.futures has them.
local batch = require "mp.batch"
local blame = require "mp.error".blame
local crews = require "mp.crew"
local job = require "mp.job"
local options = require "mp.options"
local pool = require "mp.pool"
local proc = require "mp.proc"
local wait = require "mp.wait"

local futures = {}

-- Futures

--- The outcome of one submitted call.
---@class mp.Future
local Future = job.derive(job.Call, "mp.Future")
Future.get, Future.successful, Future.ready = nil, nil, nil

local function state(self)
  if self._cancelled then return "cancelled" end
  if self.ready_now then return self.err ~= nil and "failed" or "finished" end
  return "pending"
end

function Future:__tostring()
  return ("mp.Future (%s): %p"):format(state(self), self)
end

function Future:_revoked()
  self._cancelled = true
  job.finish(self)
end

--- What the call returned; raises its error.
---@param timeout? number seconds
---@return any ... nil, "timeout"; nil, "cancelled"
function Future:result(timeout)
  local ready, reason = job.wait(self, timeout, "result")
  if not ready then return nil, reason end
  if self._cancelled then return nil, "cancelled" end
  if self.err ~= nil then error(self.err, 0) end
  return self:_value()
end

--- The error that the call raised.
---@param timeout? number seconds
---@return any err nil when it returned; nil, "timeout"; nil, "cancelled"
---@return string? reason
function Future:exception(timeout)
  local ready, reason = job.wait(self, timeout, "exception")
  if not ready then return nil, reason end
  if self._cancelled then return nil, "cancelled" end
  return self.err
end

--- Has it an outcome, or was it cancelled?
---@return boolean
Future.done = job.Job.ready

--- Has a worker taken it, without an outcome yet?
---@return boolean
function Future:running()
  return not self:done() and self.crew:taken(self.item)
end

--- Take it back, unless a worker has begun it.
---@return boolean cancelled
function Future:cancel()
  if self._cancelled then return true end
  if self:done() then return false end
  local cancelled = self.crew:revoke_item(self.item)
  self.crew:call_back()
  return cancelled
end

---@return boolean
function Future:cancelled()
  return self._cancelled or false
end

--- Have `callback(future)` called once there is an outcome: inside a call of
--- its owner on the executor, its futures or mp.wait; at once if it is there.
---@param callback function
function Future:add_done_callback(callback)
  options.check_callable("add_done_callback", callback)
  if self.ready_now then
    self.crew:later(callback, self)
    self.crew:call_back()
    return
  end
  self.watchers = self.watchers or {}
  self.watchers[#self.watchers + 1] = callback
end

function Future:_outcome() return self end

--- Every watcher, when it is over.
local function watch(self)
  return function()
    for _, callback in ipairs(self.watchers or {}) do
      self.crew:later(callback, self)
    end
  end
end

-- Executors

---@class mp.ProcessPoolExecutor
local Executor = { __name = "mp.ProcessPoolExecutor" }
Executor.__index = Executor

---@class mp.ThreadPoolExecutor
local ThreadExecutor = { __name = "mp.ThreadPoolExecutor" }

local OPTIONS = {
  max_workers = true, initializer = true, initargs = "table",
  max_tasks_per_child = true, context = true,
}

local function new_executor(class, what, o)
  if o ~= nil and type(o) ~= "table" then o = { max_workers = o } end
  o = o or {}
  options.check(what, o, OPTIONS) -- its callers end in a tail call
  local crew = pool._crew(what, {
    size = o.max_workers, size_name = "max_workers", context = o.context,
    initializer = o.initializer, initargs = o.initargs,
    quota = o.max_tasks_per_child, quota_name = "max_tasks_per_child",
    name = what .. "Worker",
  })
  return setmetatable({ _crew = crew }, class)
end

--- An executor of worker processes.
---@param o? table max_workers (default: the CPUs that this process may use),
--- initializer, initargs, max_tasks_per_child, context
---@return mp.ProcessPoolExecutor
function futures.ProcessPoolExecutor(o)
  return new_executor(Executor, "ProcessPoolExecutor", o)
end

--- An executor of threads, each with a Lua state of its own.
---@param o? table max_workers, initializer, initargs, max_tasks_per_child
---@return mp.ThreadPoolExecutor
function futures.ThreadPoolExecutor(o)
  if o ~= nil and type(o) ~= "table" then o = { max_workers = o } end
  local given = { context = "thread" }
  for name, value in pairs(o or {}) do given[name] = value end
  return new_executor(ThreadExecutor, "ThreadPoolExecutor", given)
end

function Executor:__tostring()
  local crew = self._crew
  return ("%s (%s, %d of %d workers): %p"):format(getmetatable(self).__name,
    crew.broken and "broken" or (crew.ending or crew.closing) and "shut down"
    or "running", crew.staff.live, crew.size, self)
end

function Executor.__reduce()
  error("an executor belongs to the process that made it; make one there", 0)
end

local function owned(self, what)
  local crew = self._crew
  if crew.owner ~= proc.current_process().pid then
    blame(what .. ": the executor belongs to the process that made it")
  end
  return crew
end

local function running(self, what)
  local crew = owned(self, what)
  if crew.broken then error(crew.broken, 0) end
  if crew.closing or crew.ending then
    blame(what .. ": the executor was shut down")
  end
  return crew
end

--- Have f(...) called in a worker.
---@param f function
---@param ... any
---@return mp.Future
function Executor:submit(f, ...)
  options.check_callable("submit", f)
  local crew = running(self, "submit")
  local future = job.new(Future, self, "submit", 1)
  future.arguments = true
  future.entry = crew:use(f, false)
  future.callback = watch(future)
  future.error_callback = future.callback
  local n = select("#", ...)
  if n == 1 then
    future.item = batch.submit(future, crews.ONE, 1, 1, (...))
  else
    future.item = batch.submit(future, crews.CALL, 1, n, { ... })
  end
  return future
end

local MAP_OPTIONS = { chunksize = true, timeout = true, buffersize = true }

--- An iterator of index and result, in order.
---@param f function
---@param source any[]|fun(): any
---@param opts? {chunksize: integer, timeout: number, buffersize: integer}
--- timeout: of the whole, from this call on, then the iterator raises;
--- buffersize: how many tasks are read ahead at most
---@return fun(): integer?, any iterator
function Executor:map(f, source, opts)
  opts = opts or {}
  options.check_callable("map", f)
  pool._check_source("map", source)
  options.check("map", opts, MAP_OPTIONS)
  for _, name in ipairs { "chunksize", "buffersize" } do
    local n = opts[name]
    if n and (math.type(n) ~= "integer" or n < 1) then
      blame(("map: %s must be a positive integer"):format(name))
    end
  end
  running(self, "map")
  return batch.iterate(self, "map", f, source, {
    chunksize = opts.chunksize, buffersize = opts.buffersize,
    deadline = job.deadline("map", opts.timeout),
  }, true)
end

local SHUTDOWN_OPTIONS = { wait = "boolean", cancel_futures = "boolean" }

--- Take no more work.
---@param o? {wait: boolean, cancel_futures: boolean} wait (default true) for
--- what is there and for the workers' end; cancel_futures: only for what has
--- begun
function Executor:shutdown(o)
  o = o or {}
  options.check("shutdown", o, SHUTDOWN_OPTIONS)
  local crew = owned(self, "shutdown")
  if o.cancel_futures then crew:revoke() end
  crew:close()
  crew:call_back()
  if o.wait ~= false then crew:join() end
end

--- End the workers at once by SIGTERM; what is pending fails.
function Executor:terminate_workers()
  local crew = owned(self, "terminate_workers")
  crew:terminate("the workers were terminated")
  crew:call_back()
end

--- End the workers at once by SIGKILL; what is pending fails.
function Executor:kill_workers()
  local crew = owned(self, "kill_workers")
  crew:terminate("the workers were killed", "kill")
  crew:call_back()
end

function Executor:__close(err)
  if err ~= nil then
    self:terminate_workers()
    self._crew:join()
  else
    self:shutdown()
  end
end

function Executor:__gc()
  local crew = rawget(self, "_crew")
  if crew and crew.owner == proc.current_process().pid then
    crew:terminate("the executor was collected")
  end
end

for name, value in pairs(Executor) do
  if ThreadExecutor[name] == nil then ThreadExecutor[name] = value end
end
ThreadExecutor.__index = ThreadExecutor

-- Several futures

local function check_list(what, list)
  if type(list) ~= "table" then
    blame(("%s: a list of futures was expected, not a %s"):format(
      what, type(list)))
  end
  for i, future in ipairs(list) do
    if getmetatable(future) ~= Future then
      blame(("%s: list[%d] is not a future"):format(what, i))
    end
  end
end

local function filenos_of(item) return item.crew:filenos() end
local function pump_now(item) return item.crew:pump(0) end

--- The executors of futures, for mp.wait: ready when something has come.
local function crews_of(list)
  local seen, some = {}, {}
  for _, future in ipairs(list) do
    if not seen[future.crew] then
      seen[future.crew] = true
      some[#some + 1] = { crew = future.crew, _filenos = filenos_of,
        _ready = pump_now }
    end
  end
  return some
end

--- Take in what the executors have, or wait for it.
local function take_in(some, left)
  if #some == 1 then return some[1].crew:pump(left) end
  for _, item in ipairs(some) do
    if item.crew:call_back() then return end
  end
  wait.wait(some, left)
end

--- The futures that are over, in the order in which that came; and what notes
--- it.
local function track(list)
  local over = { failed = false }
  local function note(future)
    over[#over + 1] = future
    over.failed = over.failed
      or future.err ~= nil and not future._cancelled
  end
  for _, future in ipairs(list) do
    if future.ready_now then
      note(future)
    else
      future.watchers = future.watchers or {}
      table.insert(future.watchers, note)
    end
  end
  return over, note
end

local function forget(future, note)
  for i, watcher in ipairs(future.watchers) do
    if watcher == note then return table.remove(future.watchers, i) end
  end
end

local ENOUGH = {
  ALL_COMPLETED = function(over, n) return #over == n end,
  FIRST_COMPLETED = function(over, n) return #over > 0 or n == 0 end,
  FIRST_EXCEPTION = function(over, n) return over.failed or #over == n end,
}

local WAIT_OPTIONS = { timeout = true, return_when = "string" }

--- Wait for several futures.
---@param list mp.Future[]
---@param o? {timeout: number, return_when: string} return_when:
--- "ALL_COMPLETED" (default), "FIRST_COMPLETED", "FIRST_EXCEPTION"
---@return mp.Future[] done
---@return mp.Future[] not_done
function futures.wait(list, o)
  o = o or {}
  check_list("wait", list)
  options.check("wait", o, WAIT_OPTIONS)
  local enough = ENOUGH[o.return_when or "ALL_COMPLETED"]
  if not enough then
    error("wait: return_when must be one of ALL_COMPLETED, FIRST_COMPLETED, "
      .. "FIRST_EXCEPTION", 2)
  end
  local deadline = job.deadline("wait", o.timeout)
  local over, note = track(list)
  local some, n = crews_of(list), #list
  for _, item in ipairs(some) do
    while item.crew:pump(0) do end
  end
  while not enough(over, n) do
    local left = job.left(deadline)
    if left and left <= 0 then break end
    take_in(some, left)
  end
  local done, pending = {}, {}
  for _, future in ipairs(list) do
    if not future.ready_now then forget(future, note) end
    table.insert(future.ready_now and done or pending, future)
  end
  return done, pending
end

--- An iterator over futures as they complete.
---@param list mp.Future[]
---@param timeout? number seconds for all of them; then it raises "timeout"
---@return fun(): mp.Future?
function futures.as_completed(list, timeout)
  check_list("as_completed", list)
  local deadline = job.deadline("as_completed", timeout)
  local over, some, n = track(list), crews_of(list), #list
  local given = 0
  return function()
    if given == n then return nil end
    while not over[given + 1] do
      local left = job.left(deadline)
      if left and left <= 0 then error("timeout", 0) end
      take_in(some, left)
    end
    given = given + 1
    return over[given]
  end
end

futures.ALL_COMPLETED = "ALL_COMPLETED"
futures.FIRST_COMPLETED = "FIRST_COMPLETED"
futures.FIRST_EXCEPTION = "FIRST_EXCEPTION"

return futures
