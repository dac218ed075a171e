--- A crew: worker processes and the two queues between them and their owner.
-- What pools and executors are made of; they know only this interface:
-- use, submit, pump, fileno, revoke, close, terminate, join.
--
-- A *job* is what somebody waits for; it has the methods
--   job:_deliver(first, list, n, failures)   results of its tasks first..
--   job:_fail(first, n, err)                 these tasks will have no result
-- An *item* is what travels to a worker: tasks first..first+n-1 of a job.
-- An item has a slot here while it is pending, and a number in the queue.
--
-- A worker that dies lets go of the item it held; the queue tells its number,
-- the worker's cell which task of the item it was at.  That task fails; those
-- of the item without a result yet go back to the queue.  What runs code when
-- it is packed or unpacked (__reduce) travels alone, so that a death in there
-- is one task's.
local error_types = require "mp.error"
local functions = require "mp.functions"
local proc = require "mp.proc"
local queue = require "mp.queue"
local staffs = require "mp.staff"
local worker_main = require "mp.worker"

local Crew = {}
Crew.__index = Crew

local crew = {
  ONE = worker_main.ONE, RUN = worker_main.RUN,
  CALL = worker_main.CALL, STAR = worker_main.STAR,
  MOST = 0xffff, -- tasks of an item
}
local ONE, CALL = crew.ONE, crew.CALL
local SLOT, KIND = worker_main.SLOT, worker_main.KIND
local COUNT, FUNCTION = worker_main.COUNT, worker_main.FUNCTION

local function rethrow(err) error(err, 0) end

--- How a function goes to the workers: what `submit` wants.
---@param f any what can be called
---@param many boolean it has many tasks
function Crew:use(f, many)
  return self.functions:use(f, many)
end

-- Items

local function tasks_of(item)
  local kind = item.kind
  return (kind == ONE or kind == CALL) and 1 or item.n
end

--- The path of an error names the task, not the message.
local function rename(err, item)
  if type(err) ~= "string" then return err end
  if not item.entry.id then
    err = err:gsub("^value%[1%]", "the function"):gsub("^value%[2%]", "value")
  end
  if item.kind == CALL then return (err:gsub("^value", "args")) end
  if item.kind == ONE then
    return (err:gsub("^value", ("list[%d]"):format(item.first)))
  end
  return (err:gsub("^value%[(%d+)%]", function(i)
    return ("list[%d]"):format(item.first + i - 1)
  end))
end

local function put(self, item, plain)
  local items, free, entry = self.items, self.free, item.entry
  local slot = free[#free] or #items + 1
  if slot > SLOT then error("too many tasks are queued", 0) end
  local id, payload = entry.id or 0, item.payload
  if id == 0 then payload = { entry.send, payload } end
  local tag = slot | item.kind << KIND | item.n << COUNT | id << FUNCTION
  local ok, number = pcall(self.put, self.tasks, payload, tag, plain)
  if not ok then error(rename(number, item), 0) end
  free[#free] = nil
  items[slot], item.slot, item.number = item, slot, number
  entry.pending = entry.pending + 1
  self.pending = self.pending + 1
end

--- No more items: the workers end when the queue is empty.
local function close(self)
  self.ending, self.end_error = "closed", "the pool is closed"
  self.tasks:close()
end

local function close_if_idle(self)
  if self.closing and not self.ending and self.pending == 0
    and not next(self.readers) then
    close(self)
  end
end

local function forget(self, item)
  local slot, spare = item.slot, self.spare
  self.items[slot] = false
  self.free[#self.free + 1] = slot
  self.pending = self.pending - 1
  item.entry.pending = item.entry.pending - 1
  item.job, item.payload = nil, nil
  if #spare < 1024 then spare[#spare + 1] = item end
  close_if_idle(self)
end

--- Queue tasks first..first+n-1 of a job.  Raises, with nothing queued, when
--- the payload cannot be sent, or there is no worker and none can be started.
---@param job table
---@param entry table from `use`
---@param kind integer ONE, RUN, CALL or STAR
---@param first integer
---@param n integer number of tasks; for CALL: of arguments; MOST at most
---@param payload any
---@return table? item valid while it is pending; nil: the tasks cannot go
--- together, submit each alone
function Crew:submit(job, entry, kind, first, n, payload)
  if self.broken or self.ending then
    rethrow(self.broken or self.end_error)
  end
  if n > crew.MOST then error("too many arguments", 0) end
  local spare = self.spare
  local item = spare[#spare] or {}
  spare[#spare] = nil
  item.job, item.entry, item.kind, item.first = job, entry, kind, first
  item.n, item.payload, item.at = n, payload, 1
  if n > 1 and kind ~= CALL then
    local ok, err = pcall(put, self, item, true)
    if error_types.interrupted(not ok and err) then rethrow(err) end
    if not ok then return nil end
  else
    put(self, item)
  end
  local staff = self.staff
  if staff.live < staff.size then
    local ok, err = pcall(staff.grow, staff, self.pending)
    if not ok then
      self.tasks:_void(item.number, item.number)
      forget(self, item)
      rethrow(err)
    end
  end
  return item
end

--- Has a worker taken the item?
function Crew:taken(item)
  return self.tasks:_took(item.number)
end

local function drop(self, item)
  local job, first, n = item.job, item.first, tasks_of(item)
  forget(self, item)
  job:_revoked(first, n)
end

--- Take an item back.
---@return boolean whether no worker had it
function Crew:revoke_item(item)
  if #self.tasks:_void(item.number, item.number) == 0 then return false end
  drop(self, item)
  return true
end

local function by_number(a, b) return a.number < b.number end

--- Take all back that no worker has begun.
---@param job? table only what is this job's
function Crew:revoke(job)
  local mine = {}
  for _, item in ipairs(self.items) do
    if item and (not job or item.job == job) then mine[#mine + 1] = item end
  end
  table.sort(mine, by_number)
  local i = 1
  while i <= #mine do
    local last = i
    while mine[last + 1] and mine[last + 1].number == mine[last].number + 1 do
      last = last + 1
    end
    local numbers = self.tasks:_void(mine[i].number, mine[last].number)
    for _, number in ipairs(numbers) do
      drop(self, mine[i + number - mine[i].number])
    end
    i = last + 1
  end
end

-- What comes back

local function as_error(item, place, failure)
  return setmetatable({
    message = failure.message, traceback = failure.traceback,
    process = failure.process, pid = failure.pid,
    task = place, name = item.entry.name,
  }, error_types.RemoteError)
end

--- All that is pending fails; the slots are new ones.
local function fail_all(self, err)
  local items = self.items
  self.items, self.free, self.spare, self.pending = {}, {}, {}, 0
  for _, item in ipairs(items) do
    if item then
      item.job:_fail(item.first + item.at - 1, tasks_of(item) - item.at + 1,
        err)
    end
  end
end

--- Break the crew: whatever is pending fails, and all that comes later.
local function break_crew(self, cause)
  if self.broken then return end
  self.broken = setmetatable({ cause = cause }, error_types.BrokenPool)
  self.staff:signal "terminate"
  fail_all(self, self.broken)
end

local function take_part(self, item, part)
  local first, list, n, failures, seconds = table.unpack(part, 1, 5)
  local job, place = item.job, item.first + first - 1
  for i, failure in pairs(failures or {}) do
    failures[i] = as_error(item, place + i - 1, failure)
  end
  if seconds then
    local each, entry = seconds / n, item.entry
    entry.seconds = entry.seconds and (entry.seconds + each) / 2 or each
  end
  item.at = first + n
  if item.at > item.n then forget(self, item) end
  job:_deliver(place, list, n, failures)
end

--- The next n tasks of an item have failed together; 0: all the rest.
local function take_failure(self, item, n, failure)
  local job, place = item.job, item.first + item.at - 1
  local err = as_error(item, place, failure)
  if n == 0 then n = tasks_of(item) - item.at + 1 end
  item.at = item.at + n
  if item.at > tasks_of(item) then forget(self, item) end
  job:_fail(place, n, err)
end

--- What this process says of a message that it cannot decode.
local function undecoded(why)
  local itself = proc.current_process()
  return { message = why, traceback = why, process = itself.name,
    pid = itself.pid }
end

local function take(self, tag, ok, value)
  local slot, kind = tag & SLOT, tag >> KIND & 7
  local item = self.items[slot]
  if not ok then kind, value = worker_main.FAILURE, undecoded(value) end
  if slot == 0 then
    return break_crew(self, as_error({ entry = { name = "initializer" } },
      nil, value))
  end
  if not item then return end -- the crew was broken or terminated meanwhile
  self.staff.failures = 0
  if kind == worker_main.PART then return take_part(self, item, value) end
  if kind == worker_main.FAILURE then
    return take_failure(self, item, tag >> COUNT, value)
  end
  local job, first = item.job, item.first
  forget(self, item)
  job:_one(first, value, kind == worker_main.RESULTS)
end

local function drain(self)
  while true do
    local tag, ok, value = self.results:_get(0)
    if not tag then return end
    take(self, tag, ok, value)
  end
end

-- Workers that have ended

local function slice(item, from, to)
  if item.kind == ONE or item.kind == CALL then return item.payload end
  return table.move(item.payload, from, to, 1, {})
end

local function again(self, item, from, to)
  if from > to then return end
  local rest = { job = item.job, entry = item.entry, kind = item.kind,
    first = item.first + from - 1, n = to - from + 1, at = 1,
    payload = slice(item, from, to) }
  local ok, err = pcall(put, self, rest)
  if not ok then rest.job:_fail(rest.first, rest.n, err) end
end

--- The item's worker died at its task `at`, or before it had begun one.
local function give_up(self, item, at, process)
  local last = tasks_of(item)
  at = math.max(item.at, math.min(at, last))
  if not (self.ending or self.broken or item.job.dropped) then
    again(self, item, item.at, at - 1)
    again(self, item, at + 1, last)
  end
  local job, place = item.job, item.first + at - 1
  local err = staffs.new_died(process, place, item.entry.name)
  forget(self, item)
  job:_fail(place, 1, err)
end

local function find_number(self, number)
  for _, item in ipairs(self.items) do
    if item and item.number == number then return item end
  end
end

--- What a worker held when it died, and which of its tasks it was at.
local function bury(self, process, word)
  local number = self.tasks:_lost(process)
  local item, at = number and find_number(self, number), 1
  if not item then return end
  if word >> 32 == item.slot then at = word & 0xffffffff end
  give_up(self, item, at, process)
end

--- New workers for those that have ended.
local function replace(self)
  local staff = self.staff
  local ok, more
  repeat
    ok, more = pcall(staff.grow, staff, self.pending)
  until not (ok and more)
  if ok then return end
  if error_types.interrupted(more) then rethrow(more) end
  break_crew(self, more) -- nobody is left to do the rest
end

--- Look for workers that have ended; others take their places.
local function look(self)
  local staff = self.staff
  local dead = staff:ended()
  if not dead then return end
  drain(self) -- what they left was sent before they ended
  for index, process in pairs(dead) do
    bury(self, process, staff:discharge(index, process))
    process:close()
  end
  if self.ending or self.broken then return end
  if staff:hopeless() then return break_crew(self, staff.last_death) end
  replace(self)
end

--- Have a callback run inside one of the owner's next calls.
function Crew:later(call, ...)
  self.todo[#self.todo + 1] = { call, table.pack(...) }
end

local function run_callback(self, call, args)
  local ok, err = xpcall(call, function(err)
    return error_types.interrupted(err) and err
      or debug.traceback(error_types.text(err), 2)
  end, table.unpack(args, 1, args.n))
  if ok then return end
  if error_types.interrupted(err) then rethrow(err) end
  pcall(io.stderr.write, io.stderr,
    ("%s: a callback raised: %s\n"):format(self.name, err))
end

--- Run the callbacks that are due.
---@return boolean were there any?
function Crew:call_back()
  if not self.todo[1] then return false end
  while self.todo[1] do
    local entry = table.remove(self.todo, 1)
    run_callback(self, entry[1], entry[2])
  end
  return true
end

--- Take in what the workers have left, waiting for it if need be.
---@param timeout? number seconds; nil: for ever; 0: only look
---@return boolean something has come, or a worker has ended
function Crew:pump(timeout)
  if self.todo[1] then return self:call_back() end
  local tag, ok, value, deaths =
    self.get(self.results, timeout, self.deaths)
  if tag then
    take(self, tag, ok, value)
  elseif ok == "death" then
    self.deaths = deaths
    look(self)
  else
    return false
  end
  if self.todo[1] then self:call_back() end
  return true
end

--- The descriptor that tells of results.
function Crew:fileno()
  return self.results:fileno()
end

--- All that is to be waited for: results, and the ends of workers.
function Crew:filenos()
  local list = { self.results:fileno() }
  self.staff:sentinels(list)
  return list
end

--- What it is doing, for a progress display.
function Crew:stats()
  local live = self.staff.live
  return { workers = live, pending = self.pending,
    busy = math.min(live, self.pending) }
end

-- The end

--- No more items once nothing is pending and nobody reads a source; a task
--- whose worker dies goes back.
function Crew:close()
  self.closing = true
  close_if_idle(self)
end

--- An iteration begins, or ends: what it has not read yet is to come.
---@param reader table
---@param open true? nil: it ends
function Crew:reads(reader, open)
  self.readers[reader] = open
  close_if_idle(self)
end

--- End the workers now; pending tasks fail with `err`.
---@param err any
---@param signal? "kill" default: terminate
function Crew:terminate(err, signal)
  if self.ending == "terminated" then return end
  self.tasks:close()
  self.staff:signal(signal or "terminate")
  self.ending, self.end_error = "terminated", err
  fail_all(self, err)
end

--- Wait for what is pending, then for the workers to end.
function Crew:join()
  self.readers = {}
  close_if_idle(self)
  while self.pending > 0 do self:pump() end
  self.staff:join(self.broken or self.ending == "terminated")
  self:call_back()
end

--- A new crew, without workers yet.
---@param options table size, Process (a class), setup (initializer, initargs,
--- quota: tasks a worker), max_restarts, name
function crew.new(options)
  local tasks, results = queue.JoinableQueue(), queue.SimpleQueue()
  local staff = staffs.new(options, tasks, results)
  staff.functions = functions.new(staff)
  return setmetatable({
    size = options.size, name = options.name,
    staff = staff, functions = staff.functions,
    tasks = tasks, results = results, put = tasks._put, get = results._get,
    owner = proc.current_process().pid, deaths = 0, todo = {},
    readers = setmetatable({}, { __mode = "k" }),
    items = {}, free = {}, spare = {}, pending = 0,
  }, Crew)
end

return crew
