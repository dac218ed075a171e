--- A worker of a crew: takes items, runs their tasks, leaves the results.
--
-- An item is a payload and a tag; a reply is a value and a tag.
--
--   bits of an item's tag            of a reply's
--   0..25   the item's slot          the same; 0: the initializer failed
--   26..28  ONE, RUN, CALL, STAR, EACH  VALUE, FAILURE, RESULTS, PART
--   29..44  how many tasks (CALL: arguments)  of PART: how many results
--           EACH: which of the series         the same
--   45..63  the function's id; 0: the payload is {function, payload}
--
-- A function with an id was sent to each worker's own control queue; one
-- without is itself, or encoded.  VALUE is what the one task returned, RESULTS
-- the table.pack of what a call returned, and PART {first, list, n, failures,
-- seconds}: n results of a run, from `first` on.
--
-- Most of the work of single tasks (ONE, EACH) is done by lmp_each.c, which
-- knows these tags, too.
local codec = require "mp.codec"
local error_types = require "mp.error"
local life = require "mp.life"
local proc = require "mp.proc"
local runs = require "mp.run"
require "mp.queue" -- the methods of what arrives with the work
require "mp.cell"

local worker = {
  SLOT = 0x3ffffff, KIND = 26, COUNT = 29, FUNCTION = 45,
  ONE = 0, -- the payload is the argument
  RUN = 1, -- ... a list of arguments
  CALL = 2, -- ... the arguments of one call
  STAR = 3, -- ... a list of argument tables
  EACH = 4, -- as ONE; a series of such items shares a slot
  VALUE = 0, FAILURE = 1, RESULTS = 2, PART = 3,
}
local SLOT, KIND = worker.SLOT, worker.KIND
local ONE, RUN, CALL, EACH = worker.ONE, worker.RUN, worker.CALL, worker.EACH
local FAILURE, RESULTS = worker.FAILURE << KIND, worker.RESULTS << KIND
local PART = worker.PART << KIND

--- After so many seconds the results of a run are sent, not kept until its end.
local FLUSH = 0.002
--- Room for so many of them is made before it is known how many there will be.
local LIKELY = 0x4000

local function unpack_args(args)
  return table.unpack(args, 1, args.n or #args)
end

local Failure = {}

--- What the owner is told of an error: the value itself if it can travel.
local function failure_of(err)
  local text = error_types.text(err)
  return setmetatable(
    { message = err, traceback = error_types.traceback(text, 2) }, Failure)
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

--- A function that finds the function of an item, and those that it knows.
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
  end, known
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

error_types.ends_traceback(run_one)
error_types.ends_traceback(run_call)
error_types.ends_traceback(runs.tasks)

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
--- One protected call runs many, until it is time to send a part or one of
--- them fails.
local function run_many(self, slot, f, list, n)
  local cells, index, now = self.cells, self.index, proc.now
  local mark, started = slot << 32, now()
  local first, results, failures = 1, runs.list(math.min(n, LIKELY)), nil
  local at = 0 -- the last task that has run
  repeat
    local ok, last = xpcall(runs.tasks, failure_of, f, list, at + 1, n,
      results, first, cells, index, mark, started + FLUSH)
    if ok then
      at = last
    else
      at = cells[index] - mark
      failures = failures or {}
      failures[at - first + 1] = as_failure(last)
    end
    local seconds = now() - started
    if at == n or seconds > FLUSH then
      local length = at - first + 1
      send_part(self, slot, { first, results, length, failures, seconds })
      first, failures, started = at + 1, nil, now()
      results = runs.list(math.min(n - at, length))
    end
  until at == n
end

--- What a reply's tag has from its item's: the slot, and which of a series.
local function reply_tag(tag)
  local index = tag >> KIND & 7 == EACH and 0xffff << worker.COUNT or 0
  return tag & (SLOT | index)
end

local function tasks_of(tag)
  local kind = tag >> KIND & 7
  if kind == ONE or kind == CALL or kind == EACH then return 1 end
  return tag >> worker.COUNT & 0xffff
end

local function run(self, tag, payload)
  local slot, kind = reply_tag(tag), tag >> KIND & 7
  local n, id = tag >> worker.COUNT & 0xffff, tag >> worker.FUNCTION
  local f
  if id == 0 then f, payload = payload[1], payload[2] end
  local ok
  ok, f = pcall(self.find, id, f)
  if not ok then return fail(self, slot, as_failure(f)) end
  if kind == ONE or kind == EACH then return run_one(self, slot, f, payload) end
  if kind == CALL then return run_call(self, slot, f, payload, n) end
  if kind == RUN then return run_many(self, slot, f, payload, n) end
  run_many(self, slot, function(args)
    if type(args) ~= "table" then
      error("starmap: a table of arguments was expected, not a "
        .. type(args), 0)
    end
    return f(unpack_args(args))
  end, payload, n)
end

--- Take items until the queue is closed or the quota of tasks is used up.
function Worker:work(quota)
  local tasks, results, cells = self.tasks, self.results, self.cells
  local left = quota or math.maxinteger
  while left > 0 do
    local ran, what, tag, value = tasks:_serve(results, cells, self.known,
      failure_of, self.index, left)
    left = left - ran
    if what == "item" then
      run(self, tag, value)
    elseif what == "unsent" then
      fail(self, reply_tag(tag), as_failure(unsent(value, "value")))
    elseif what then -- "raised", "damaged"
      fail(self, reply_tag(tag), as_failure(value))
    elseif left > 0 then
      return -- the queue is closed
    end
    if tag then
      tasks:task_done()
      left = left - tasks_of(tag)
    end
  end
  cells[self.index] = 0 -- retired
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
    cells = shared.cells, put = shared.results._put,
  }, Worker)
  self.find, self.known = new_finder(shared.control)
  error_types.ends_traceback(self.tasks._serve)
  if setup.initializer then
    local ok, err = xpcall(setup.initializer, failure_of,
      unpack_args(setup.initargs or {}))
    if not ok then return fail(self, 0, as_failure(err)) end
  end
  self:work(setup.quota)
end

error_types.ends_traceback(worker.main)

return worker
