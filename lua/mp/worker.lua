--- A worker of a crew: takes items, runs their tasks, leaves the results.
--
-- An item is a payload and a tag; a reply is a value and a tag.
--
--   bits of an item's tag            of a reply's
--   0..25   the item's slot          the same; 0: the initializer failed
--   26..28  ONE, RUN, CALL, STAR     VALUE, FAILURE, RESULTS, PART
--   29..44  how many tasks (CALL: arguments)  of PART: how many results
--   45..63  the function's id; 0: the payload is {function, payload}
--
-- A function with an id was sent to each worker's own control queue; one
-- without is itself, or encoded.  VALUE is what the one task returned, RESULTS
-- the table.pack of what a call returned, and PART {first, list, n, failures,
-- seconds}: n results of a run, from `first` on.
local codec = require "mp.codec"
local error_types = require "mp.error"
local life = require "mp.life"
local proc = require "mp.proc"
require "mp.queue" -- the methods of what arrives with the work
require "mp.cell"

local worker = {
  SLOT = 0x3ffffff, KIND = 26, COUNT = 29, FUNCTION = 45,
  ONE = 0, -- the payload is the argument
  RUN = 1, -- ... a list of arguments
  CALL = 2, -- ... the arguments of one call
  STAR = 3, -- ... a list of argument tables
  VALUE = 0, FAILURE = 1, RESULTS = 2, PART = 3,
}
local SLOT, KIND = worker.SLOT, worker.KIND
local ONE, RUN, CALL = worker.ONE, worker.RUN, worker.CALL
local FAILURE, RESULTS = worker.FAILURE << KIND, worker.RESULTS << KIND
local PART = worker.PART << KIND

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

--- A function that finds the function of an item.
local function new_finder(control)
  local known = {}
  local function read_until(id)
    while known[id] == nil do
      local message = control:get()
      known[message[1]] = message[2] and codec.decode(message[2]) or nil
    end
    return known[id]
  end
  return function(id, f)
    if id ~= 0 then return known[id] or read_until(id) end
    if type(f) == "string" then return assert(codec.decode(f)) end
    return f
  end
end

--- The message for a result that cannot be sent: the path begins with it.
local function unsent(why, place)
  return (error_types.text(why):gsub("^" .. place, "result"))
end

local Worker = {}
Worker.__index = Worker

local function fail(self, slot, failure)
  local put, results = self.put, self.results
  if pcall(put, results, failure, FAILURE | slot) then return end
  failure.message = error_types.text(failure.message)
  put(results, failure, FAILURE | slot)
end

--- Send what a task has returned, or why it cannot be sent.
local function reply(self, slot, kind, value)
  local ok, why = pcall(self.put, self.results, value, kind | slot)
  if not ok then fail(self, slot, as_failure(unsent(why, "value"))) end
end

local function run_one(self, slot, f, arg)
  local ok, result = xpcall(f, failure_of, arg)
  if ok then return reply(self, slot, 0, result) end
  fail(self, slot, as_failure(result))
end

local function run_call(self, slot, f, args, n)
  local results = table.pack(xpcall(f, failure_of, table.unpack(args, 1, n)))
  if not results[1] then return fail(self, slot, as_failure(results[2])) end
  if results.n <= 2 then return reply(self, slot, 0, results[2]) end
  local count = results.n - 1
  table.move(results, 2, results.n, 1)
  results[results.n], results.n = nil, count
  reply(self, slot, RESULTS, results)
end

--- One of the results of a part cannot be sent, or runs code when it is packed
--- or unpacked, which may fail and is to cost no other: send each alone.
local function send_each(self, slot, part)
  local first, list, n, failures = table.unpack(part, 1, 4)
  local tag = PART | slot | 1 << worker.COUNT
  for i = 1, n do
    local failure = failures and failures[i]
    local one = { first + i - 1, { list[i] }, 1, failure and { failure } }
    self.cells[self.index] = slot << 32 | one[1]
    local ok, why = pcall(self.put, self.results, one, tag)
    if not ok then
      if failure then
        failure.message = error_types.text(failure.message)
      end
      one[2] = {}
      one[4] = { failure or as_failure(unsent(why, "value%[2%]%[1%]")) }
      self.put(self.results, one, tag)
    end
  end
end

local function send_part(self, slot, part)
  local tag = PART | slot | part[3] << worker.COUNT
  if not pcall(self.put, self.results, part, tag, true) then
    send_each(self, slot, part)
  end
end

--- Tasks that belong together; the worker's cell tells which one is running.
--- One protected call runs several, until it is time to look at the clock or
--- one of them fails.
local function run_many(self, slot, f, list, n, star)
  local cells, index, now = self.cells, self.index, proc.now
  local mark, started = slot << 32, now()
  local first, results, failures = 1, {}, nil
  local at = 0 -- the task that runs
  local function go()
    repeat
      at = at + 1
      cells[index] = mark | at
      local result
      if star then
        result = f(unpack_args(list[at]))
      else
        result = f(list[at])
      end
      results[at - first + 1] = result
    until at < 16 or at % 16 == 0 or at == n
  end
  repeat
    local ok, err = xpcall(go, failure_of)
    if not ok then
      failures = failures or {}
      failures[at - first + 1] = as_failure(err)
    end
    local seconds = now() - started
    if at == n or seconds > FLUSH then
      send_part(self, slot,
        { first, results, at - first + 1, failures, seconds })
      first, results, failures = at + 1, {}, nil
      started = now()
    end
  until at == n
end

local function run(self, tag, payload)
  local slot, kind = tag & SLOT, tag >> KIND & 7
  local n, id = tag >> worker.COUNT & 0xffff, tag >> worker.FUNCTION
  local f
  if id == 0 then f, payload = payload[1], payload[2] end
  local ok
  ok, f = pcall(self.find, id, f)
  if not ok then return fail(self, slot, as_failure(f)) end
  if kind == ONE then return run_one(self, slot, f, payload) end
  if kind == CALL then return run_call(self, slot, f, payload, n) end
  return run_many(self, slot, f, payload, n, kind ~= RUN)
end

--- Take items until the queue is closed or the quota of tasks is used up.
function Worker:work(quota)
  local tasks, cells, index = self.tasks, self.cells, self.index
  local get, task_done = tasks._get, tasks.task_done
  local left = quota or math.huge
  repeat
    local tag, ok, payload = get(tasks)
    if not tag then return end
    cells[index] = (tag & SLOT) << 32 | 1
    if ok then
      run(self, tag, payload)
    else
      fail(self, tag & SLOT, as_failure(payload))
    end
    task_done(tasks)
    local kind = tag >> KIND & 7
    left = left - ((kind == ONE or kind == CALL) and 1
      or tag >> worker.COUNT & 0xffff)
  until left <= 0
  cells[index] = 0 -- retired
end

--- The main function of a worker process.
---@param index integer its place in the crew
---@param shared table tasks, results, control: queues; cells: an Array of a
--- number a worker: the slot of the item it holds << 32, which of its tasks
---@param setup table initializer, initargs, quota
function worker.main(index, shared, setup)
  life.ignore_interrupt()
  local self = setmetatable({
    index = index, tasks = shared.tasks, results = shared.results,
    cells = shared.cells, find = new_finder(shared.control),
    put = shared.results._put,
  }, Worker)
  if setup.initializer then
    local ok, err = xpcall(setup.initializer, failure_of,
      unpack_args(setup.initargs or {}))
    if not ok then return fail(self, 0, as_failure(err)) end
  end
  self:work(setup.quota)
end

return worker
