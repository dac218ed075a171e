--- A worker of a crew: takes items, runs their tasks, leaves the results.
--
-- An item is {function, KIND, payload, n}; its number comes beside it, so it is
-- known even when the item cannot be decoded.  The function is an id (found in
-- the worker's own control queue, sent once), an encoded one, or itself.
-- A reply carries the item's number and is one of
--   {true, result}            the one task of the item
--   {false, failure}          the one task, or the item as a whole
--   {"call", results}         table.pack of what a call returned
--   {first, list, n, failures, seconds}   n tasks of a run, from `first` on
local codec = require "mp.codec"
local error_types = require "mp.error"
local life = require "mp.life"
local proc = require "mp.proc"
require "mp.queue" -- the methods of what arrives with the work
require "mp.cell"

local worker = {
  ONE = 1, -- payload is the argument
  RUN = 2, -- payload is a list of n arguments
  CALL = 3, -- payload holds the n arguments of one call
  STAR = 4, -- payload is a list of n argument tables
}
local ONE, RUN, CALL = worker.ONE, worker.RUN, worker.CALL

--- After so many seconds the results of a run are sent, not kept until its end.
local FLUSH = 0.002

local function unpack_args(args)
  return table.unpack(args, 1, args.n or #args)
end

local Failure = {}

--- What the owner is told of an error: the value itself if it can travel.
local function failure_of(err)
  local text = error_types.text(err)
  return setmetatable(
    { message = err, traceback = debug.traceback(text, 2) }, Failure)
end

--- xpcall gives the raw value when the handler had no stack left.
local function as_failure(err)
  if getmetatable(err) ~= Failure then
    err = { message = err, traceback = error_types.text(err) }
  end
  local self = proc.current_process()
  err.process, err.pid = self.name, self.pid
  return setmetatable(err, nil)
end

--- The functions that this worker knows, id -> function.
local function new_functions(control)
  local known = {}
  local function read_until(id)
    while known[id] == nil do
      local message = control:get()
      local new = message[2]
      if type(new) == "string" then new = codec.decode(new) end
      known[message[1]] = new or nil
    end
    return known[id]
  end
  return function(f)
    local kind = type(f)
    if kind == "number" then return known[f] or read_until(f) end
    if kind == "string" then return assert(codec.decode(f)) end
    return f
  end
end

--- The message for a result that cannot be sent: the path begins with it.
local function unsent(why, place)
  return (error_types.text(why):gsub("^" .. place, "result"))
end

local Worker = {}
Worker.__index = Worker

--- Send a reply; what cannot be sent is replaced by the reason.
function Worker:reply(tag, value)
  local ok, why = pcall(self.results._put, self.results, value, tag)
  if ok then return end
  if type(value[1]) == "number" then
    return self:reply_each(tag, value)
  end
  local failure = value[2]
  if value[1] == false then
    failure.message = error_types.text(failure.message)
  else
    failure = as_failure(unsent(why, "value%[2%]"))
  end
  self.results:_put({ false, failure }, tag)
end

--- One of the results of a run cannot be sent: send each alone.
function Worker:reply_each(tag, run)
  local first, list, n, failures = table.unpack(run, 1, 4)
  for i = 1, n do
    local failure = failures and failures[i]
    local one = { first + i - 1, { list[i] }, 1, failure and { failure } }
    local ok, why = pcall(self.results._put, self.results, one, tag)
    if not ok then
      if failure then
        failure.message = error_types.text(failure.message)
      end
      one[2] = {}
      one[4] = { failure or as_failure(unsent(why, "value%[2%]%[1%]")) }
      self.results:_put(one, tag)
    end
  end
end

function Worker:run_one(tag, f, arg)
  local ok, result = xpcall(f, failure_of, arg)
  if ok then return self:reply(tag, { true, result }) end
  self:reply(tag, { false, as_failure(result) })
end

function Worker:run_call(tag, f, args, n)
  local results = table.pack(xpcall(f, failure_of, table.unpack(args, 1, n)))
  if not results[1] then
    return self:reply(tag, { false, as_failure(results[2]) })
  end
  if results.n <= 2 then return self:reply(tag, { true, results[2] }) end
  local count = results.n - 1
  table.move(results, 2, results.n, 1)
  results[results.n], results.n = nil, count
  self:reply(tag, { "call", results })
end

--- Tasks that belong together; `place` tells the owner which one is running.
function Worker:run_many(tag, f, list, n, star)
  local cells, place, now = self.cells, 2 * self.index, proc.now
  local started = now()
  local first, results, failures = 1, {}, nil
  for i = 1, n do
    cells[place] = i
    local ok, result
    if star then
      ok, result = xpcall(f, failure_of, unpack_args(list[i]))
    else
      ok, result = xpcall(f, failure_of, list[i])
    end
    if ok then
      results[i - first + 1] = result
    else
      failures = failures or {}
      failures[i - first + 1] = as_failure(result)
    end
    if i == n or i % 16 == 0 or i < 16 then
      local seconds = now() - started
      if i == n or seconds > FLUSH then
        self:reply(tag, { first, results, i - first + 1, failures, seconds })
        first, results, failures = i + 1, {}, nil
        started = now()
      end
    end
  end
end

function Worker:run(tag, item)
  local ok, f = pcall(self.find, item[1])
  if not ok then return self:reply(tag, { false, as_failure(f) }) end
  local kind, payload, n = item[2], item[3], item[4]
  if kind == ONE then return self:run_one(tag, f, payload) end
  if kind == CALL then return self:run_call(tag, f, payload, n) end
  return self:run_many(tag, f, payload, n, kind ~= RUN)
end

--- Take items until the queue is closed or the quota of tasks is used up.
function Worker:work(quota)
  local tasks, cells, index = self.tasks, self.cells, self.index
  local mark, place = 2 * index - 1, 2 * index
  local done = 0
  repeat
    local tag, ok, item = tasks:_get()
    if not tag then return end
    cells[place] = 1
    cells[mark] = tag & 0xffffffff
    if ok then
      self:run(tag, item)
      done = done + (item[2] ~= CALL and item[4] or 1)
    else
      self:reply(tag, { false, as_failure(item) })
      done = done + 1
    end
    tasks:task_done()
  until quota and done >= quota
end

--- The main function of a worker process.
---@param index integer its place in the crew
---@param shared table tasks, results, control: queues; cells: an Array of
--- two numbers a worker: the item it holds, and which of its tasks
---@param setup table initializer, initargs, quota
function worker.main(index, shared, setup)
  life.ignore_interrupt()
  local self = setmetatable({
    index = index, tasks = shared.tasks, results = shared.results,
    cells = shared.cells, find = new_functions(shared.control),
  }, Worker)
  if setup.initializer then
    local ok, err = xpcall(setup.initializer, failure_of,
      unpack_args(setup.initargs or {}))
    if not ok then return self:reply(0, { false, as_failure(err) }) end
  end
  self:work(setup.quota)
end

return worker
