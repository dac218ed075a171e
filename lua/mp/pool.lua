--- Pools of worker processes.
local batch = require "mp.batch"
local blame = require "mp.error".blame
local crews = require "mp.crew"
local job = require "mp.job"
local options = require "mp.options"
local proc = require "mp.proc"
local run = require "mp.run"

--- A pool of worker processes that run tasks.
---@class mp.Pool
local Pool = { __name = "mp.Pool" }
Pool.__index = Pool

local pool = {}

-- Making one

local OPTIONS = {
  processes = true, initializer = true, initargs = "table",
  maxtasksperchild = true, max_restarts = true, context = true,
}

local function whole(what, name, value)
  if math.type(value) ~= "integer" or value < 1 then
    blame(("%s: %s must be a positive integer"):format(what, name))
  end
  return value
end

--- The class of processes that a context makes.
local function process_class(what, ctx)
  if ctx == nil then return proc.Process end
  if type(ctx) == "string" then ctx = require "mp".get_context(ctx) end
  if type(ctx) ~= "table" or not ctx.Process then
    blame(what .. ": context must be a context or a start method's name")
  end
  return ctx.Process
end

--- The crew for a set of options, as pools and executors have them.
function pool._crew(what, o)
  local initializer = o.initializer
  if initializer ~= nil and not options.callable(initializer) then
    blame(what .. ": initializer must be callable")
  end
  return crews.new {
    size = o.size and whole(what, o.size_name, o.size)
      or proc.process_cpu_count(),
    Process = process_class(what, o.context), name = o.name,
    setup = { initializer = initializer, initargs = o.initargs,
      quota = o.quota and whole(what, o.quota_name, o.quota) },
    what = what, max_restarts = o.max_restarts
      and whole(what, "max_restarts", o.max_restarts),
  }
end

--- A pool.  Its workers start when there is work for them; they are daemons.
--- Leaving a block by an error terminates it, leaving it normally closes and
--- joins it.
---@param first? integer|table number of workers (default: the CPUs that this
--- process may use), or options: processes, initializer (called in each worker
--- with initargs), initargs, maxtasksperchild (a worker is replaced after so
--- many tasks), max_restarts (default 10: workers that may die in a row without
--- a finished task), context (a context, or a start method's name)
---@return mp.Pool
function pool.Pool(first)
  local o = first
  if type(first) ~= "table" then o = { processes = first } end
  options.check("Pool", o, OPTIONS)
  local crew = pool._crew("Pool", {
    size = o.processes, size_name = "processes", context = o.context,
    initializer = o.initializer, initargs = o.initargs,
    quota = o.maxtasksperchild, quota_name = "maxtasksperchild",
    max_restarts = o.max_restarts, name = "PoolWorker",
  })
  return setmetatable({ _crew = crew }, Pool)
end

--- A pool of a context's processes.
function pool._bound(ctx, first)
  local o = { context = ctx }
  if type(first) == "table" then
    for name, value in pairs(first) do o[name] = value end
  else
    o.processes = first
  end
  return pool.Pool(o)
end

--- A pool of threads, each with a Lua state of its own.
---@param first? integer|table as Pool
---@return mp.Pool
function pool.ThreadPool(first)
  return pool._bound("thread", first)
end

function Pool:__tostring()
  local crew = self._crew
  return ("mp.Pool (%s, %d of %d workers): %p"):format(
    crew.broken and "broken" or crew.ending or crew.closing and "closed"
    or "running", crew.staff.live, crew.size, self)
end

function Pool.__reduce()
  error("a Pool belongs to the process that made it; make one there", 0)
end

local function owned(self, what)
  local crew = self._crew
  if crew.owner ~= proc.current_process().pid then
    blame(what .. ": the pool belongs to the process that made it")
  end
  return crew
end

local function running(self, what)
  local crew = owned(self, what)
  if crew.broken then error(crew.broken, 0) end
  if crew.closing or crew.ending then
    blame(what .. ": the pool is " .. (crew.ending or "closed"))
  end
  return crew
end

local function check_options(what, opts, valid)
  options.check(what, opts, valid)
  if opts.chunksize then whole(what, "chunksize", opts.chunksize) end
  job.deadline(what, opts.timeout)
  for _, name in ipairs { "callback", "error_callback" } do
    if opts[name] ~= nil and not options.callable(opts[name]) then
      blame(("%s: option '%s' must be a function, not a %s"):format(what, name,
        type(opts[name])))
    end
  end
end

-- One call

local CALL_OPTIONS = { callback = true, error_callback = true }

local function check_call(what, f, args)
  options.check_callable(what, f)
  if args ~= nil and type(args) ~= "table" then
    blame(("%s: args must be a table, not a %s"):format(what, type(args)))
  end
end

local function call(pool_, what, crew, f, args, opts)
  local self = job.new(job.Call, pool_, what, 1, opts)
  self.entry = crew:use(f, false)
  args = args or {}
  batch.submit(self, crews.CALL, 1, args.n or #args, args)
  return self
end

--- Call f(table.unpack(args)) in a worker and wait for what it returns.
---@param f function
---@param args? any[]
---@return any ...
function Pool:apply(f, args)
  check_call("apply", f, args)
  local crew = running(self, "apply")
  return call(self, "apply", crew, f, args):get()
end

--- The same without waiting.
---@param f function
---@param args? any[]
---@param opts? {callback: function, error_callback: function} called in the
--- owner, inside its calls on the pool, with the result or the error
---@return mp.AsyncResult
function Pool:apply_async(f, args, opts)
  check_call("apply_async", f, args)
  if opts ~= nil then check_options("apply_async", opts, CALL_OPTIONS) end
  return call(self, "apply_async", running(self, "apply_async"), f, args, opts)
end

-- Lists

local MAP_OPTIONS = {
  chunksize = true, callback = true, error_callback = true, progress = true,
  timeout = true,
}
local ASYNC_OPTIONS = {
  chunksize = true, callback = true, error_callback = true,
}

local function check_map(what, f, list, opts, valid)
  options.check_callable(what, f)
  if type(list) ~= "table" then
    blame(("%s: a list was expected, not a %s"):format(what, type(list)))
  end
  check_options(what, opts, valid)
end

local function check_arguments(what, list, n)
  for i = 1, n do
    local kind = type(list[i])
    if kind ~= "table" and kind ~= "userdata" then
      blame(("%s: list[%d] must be a table of arguments, not a %s"):format(
        what, i, kind))
    end
  end
end

-- What it is given was looked at.
local function start_map(self, what, kind, f, list, opts, valid)
  local crew = running(self, what)
  local n = list.n or #list
  -- a copy of what may change meanwhile, or is not what it seems
  if valid == ASYNC_OPTIONS or getmetatable(list) ~= nil then
    list = run.slice(list, 1, n)
  end
  if kind == crews.STAR then check_arguments(what, list, n) end
  local map = job.new(job.Job, self, what, n, opts)
  map.entry = crew:use(f, n > 1)
  if n == 0 then job.finish(map) end
  return map, batch.of_list(map, kind, list, n, opts.chunksize)
end

local function map(self, what, kind, f, list, opts)
  opts = opts or {}
  check_map(what, f, list, opts, MAP_OPTIONS)
  local deadline = job.deadline(what, opts.timeout)
  if deadline and not proc.settle(opts.timeout) then return nil, "timeout" end
  local result, feed = start_map(self, what, kind, f, list, opts, MAP_OPTIONS)
  self._crew:reads(result, true)
  local ok, err = pcall(batch.run, result, feed, deadline, opts.progress)
  self._crew:reads(result, nil)
  if not ok then
    batch.drop(result)
    error(err, 0)
  end
  if not result.ready_now then
    batch.drop(result)
    return nil, "timeout"
  end
  return result:get()
end

local function map_async(self, what, kind, f, list, opts)
  opts = opts or {}
  check_map(what, f, list, opts, ASYNC_OPTIONS)
  local result, feed = start_map(self, what, kind, f, list, opts,
    ASYNC_OPTIONS)
  local ok, err = pcall(feed, math.huge)
  if not ok then
    batch.drop(result)
    error(err, 0)
  end
  return result
end

--- f of each element, in order.  Waits for all of them; then raises the error
--- of the first that failed.  A worker that dies costs the task it was at;
--- others of its chunk whose results it had not sent yet run once more.
---@param f function
---@param list any[] with holes if it has a field n
---@param opts? {chunksize: integer, progress: boolean|string, timeout: number,
--- callback: function, error_callback: function}
---@return any[] results, with a field n; nil, "timeout"
function Pool:map(f, list, opts)
  return map(self, "map", crews.RUN, f, list, opts)
end

--- The same without waiting.
---@param f function
---@param list any[]
---@param opts? {chunksize: integer, callback: function,
--- error_callback: function}
---@return mp.AsyncResult
function Pool:map_async(f, list, opts)
  return map_async(self, "map_async", crews.RUN, f, list, opts)
end

--- map with an argument table for each call.
---@param f function
---@param list any[][]
---@param opts? table as map's
---@return any[] results, with a field n; nil, "timeout"
function Pool:starmap(f, list, opts)
  return map(self, "starmap", crews.STAR, f, list, opts)
end

--- The same without waiting.
---@param f function
---@param list any[][]
---@param opts? table as map_async's
---@return mp.AsyncResult
function Pool:starmap_async(f, list, opts)
  return map_async(self, "starmap_async", crews.STAR, f, list, opts)
end

-- Iterators

function pool._check_source(what, source)
  if type(source) ~= "table" and not options.callable(source) then
    blame(("%s: a list or an iterator was expected, not a %s"):format(what,
      type(source)))
  end
end

local IMAP_OPTIONS = { chunksize = true, progress = true, timeout = true }

local function imap(self, what, f, source, opts)
  opts = opts or {}
  options.check_callable(what, f)
  pool._check_source(what, source)
  check_options(what, opts, IMAP_OPTIONS)
  running(self, what)
  return batch.iterate(self, what, f, source, opts, what == "imap")
end

--- An iterator of index and result, in order.  The input is read as it is
--- needed; leaving the loop cancels what has not started.  It raises the error
--- of a task in its turn and can be called again; an error of the source ends
--- it.
---@param f function
---@param source any[]|fun(): any a list, or an iterator that ends with nil
---@param opts? {chunksize: integer, progress: boolean|string, timeout: number}
---@return fun(): integer?, any iterator
function Pool:imap(f, source, opts)
  return imap(self, "imap", f, source, opts)
end

--- The same in the order in which results come.
---@param f function
---@param source any[]|fun(): any
---@param opts? table as imap's
---@return fun(): integer?, any iterator
function Pool:imap_unordered(f, source, opts)
  return imap(self, "imap_unordered", f, source, opts)
end

-- The end

--- No more tasks; the workers end when those there are have been done.
function Pool:close()
  owned(self, "close"):close()
end

--- End the workers at once; what is pending fails.
function Pool:terminate()
  local crew = owned(self, "terminate")
  crew:terminate("the pool was terminated")
  crew:call_back()
end

--- Wait for the workers to end, after close or terminate.  An imap that has not
--- read all of its source reads no more.
function Pool:join()
  local crew = owned(self, "join")
  if not (crew.closing or crew.ending or crew.broken) then
    blame("join: the pool still runs; close or terminate it first")
  end
  crew:join()
end

function Pool:__close(err)
  if err ~= nil then self:terminate() else self:close() end
  self:join()
end

function Pool:__gc()
  local crew = rawget(self, "_crew")
  if crew and crew.owner == proc.current_process().pid then
    crew:terminate("the pool was collected")
  end
end

Pool.fileno = function(self) return self._crew:fileno() end

return pool
