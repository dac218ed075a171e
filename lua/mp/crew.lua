--- A crew: worker processes and the two queues between them and their owner.
-- What pools and executors are made of.  Its parts: staff.lua, the processes;
-- functions.lua, how functions reach them; items.lua, what is under way;
-- run.lua and batch.lua, how lists become items; worker.lua, what the processes
-- run.
--
-- Who uses one knows
--   to give   use, submit, submit_each, reads (an iteration is open)
--   to take   pump, call_back, later, taken, fileno, filenos, stats
--   to undo   revoke_item, revoke
--   to end    close, terminate, join
-- and reads size, owner, broken (the error), closing, ending (why there are no
-- more items), end_error, items.pending and staff.live.
--
-- A *job* is what somebody waits for (job.lua, batch.lua); it has the methods
--   job:_deliver(first, list, n, failures)   results of its tasks first..
--   job:_one(place, value, several)          that of one task
--   job:_came(n)                             so many are in job.results
--   job:_fail(first, n, err)                 these tasks will have no result
--   job:_revoked(first, n)                   these were taken back
-- An *item* is what travels to a worker: tasks first..first+n-1 of a job.
-- An item has a slot here while it is pending, and a number in the queue.
-- Of tasks that are to travel alone, a *series* (EACH) has one slot, and as
-- many numbers as tasks; whether a task of it is settled stands in `done`.
--
-- A worker that dies lets go of the item it held; the queue tells its number,
-- the worker's cell which task of the item it was at.  That task fails; those
-- of the item without a result yet go back to the queue.  What runs code when
-- it is packed or unpacked (__reduce) travels alone, so that a death in there
-- is one task's.
local error_types = require "mp.error"
local functions = require "mp.functions"
local items = require "mp.items"
local proc = require "mp.proc"
local queue = require "mp.queue"
local run = require "mp.run"
local staffs = require "mp.staff"
local worker_main = require "mp.worker"

local Crew = {}
Crew.__index = Crew

local crew = {
  ONE = worker_main.ONE, RUN = worker_main.RUN,
  CALL = worker_main.CALL, STAR = worker_main.STAR,
  MOST = 0xffff, -- tasks of an item
}
local ONE, CALL, EACH = crew.ONE, crew.CALL, worker_main.EACH
local rename, tasks_of = items.rename, items.tasks_of
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

local function put(self, item, plain)
  local entry, slot = item.entry, self.items:slot()
  local id, payload, from, n = entry.id or 0, item.payload, item.from, item.n
  if id == 0 then
    if from then payload, from = run.slice(payload, from, n), nil end
    payload = { entry.send, payload }
  end
  local tag = slot | item.kind << KIND | n << COUNT | id << FUNCTION
  local ok, number = pcall(self.put, self.tasks, payload, tag, plain, from, n)
  if not ok then
    if not error_types.interrupted(number) then self.items:unused(slot) end
    error(rename(number, item), 0)
  end
  self.items:add(item, slot, number, 1)
end

--- No more items: the workers end when the queue is empty.
local function close(self)
  self.ending, self.end_error = "closed", "the pool is closed"
  self.tasks:close()
end

local function close_if_idle(self)
  if self.closing and not self.ending and self.items.pending == 0
    and not next(self.readers) then
    close(self)
  end
end

local function settle(self, item, n)
  self.items:settle(item, n)
  close_if_idle(self)
end

local function new_item(self, job, entry, kind, first, n)
  if self.broken or self.ending then
    rethrow(self.broken or self.end_error)
  end
  return self.items:new(job, entry, kind, first, n)
end

--- Queue tasks first..first+n-1 of a job.  Raises, with nothing queued, when
--- the payload cannot be sent, or there is no worker and none can be started.
---@param job table
---@param entry table from `use`
---@param kind integer ONE, RUN, CALL or STAR
---@param first integer
---@param n integer number of tasks; for CALL: of arguments; MOST at most
---@param payload any
---@param from? integer the payload is n elements of that list, from there on;
--- the list stays as it is, for it may have to be read again
---@return table? item valid while it is pending; nil: the tasks cannot go
--- together, submit each alone
function Crew:submit(job, entry, kind, first, n, payload, from)
  if n > crew.MOST then error("too many arguments", 0) end
  local item = new_item(self, job, entry, kind, first, n)
  item.payload, item.from = payload, from
  if n > 1 and kind ~= CALL then
    local ok, err = pcall(put, self, item, true)
    if error_types.interrupted(not ok and err) then rethrow(err) end
    if not ok then return nil end
  else
    put(self, item)
  end
  local staff = self.staff
  if staff.live < staff.size then
    local ok, err = pcall(staff.grow, staff, self.items.pending)
    if not ok then
      self.tasks:_void(item.number, item.number)
      settle(self, item, 1)
      rethrow(err)
    end
  end
  return item
end

--- A task of a series is settled, without a result.
local function fail_one(self, item, index, err)
  local job, place = item.job, item.first + index - 1
  item.done[index] = true
  settle(self, item, 1)
  job:_fail(place, 1, err)
end

--- Queue tasks first..first+n-1 of a job, each to travel alone.  Their results
--- go straight into job.results; job:_came(n) tells how many came.  Raises when
--- one of them cannot be sent, or no worker can be started; tasks before it are
--- queued.
---@param entry table from `use`, with an id
---@param list any[] read at first..
---@param n integer MOST at most
function Crew:submit_each(job, entry, list, first, n)
  local item = new_item(self, job, entry, EACH, first, n)
  local under_way, staff = self.items, self.staff
  local slot = under_way:slot()
  local sent, number, err = self.tasks:_put_each(list, first, n,
    slot | EACH << KIND | entry.id << FUNCTION)
  item.n, item.done = sent, {}
  if sent > 0 then
    under_way:add(item, slot, number, sent)
  elseif not error_types.interrupted(err) then
    under_way:unused(slot)
  end
  if err ~= nil then
    error(rename(err, { job = job, entry = entry, kind = ONE,
      first = first + sent }), 0)
  end
  while staff.live < staff.size and staff:grow(under_way.pending) do end
end

--- Has a worker taken the item?
function Crew:taken(item)
  return self.tasks:_took(item.number)
end

--- The item of that number is no longer in the queue.
local function drop(self, item, number)
  local job, first, n = item.job, item.first, tasks_of(item)
  if item.kind == EACH then
    local index = number - item.number + 1
    item.done[index] = true
    first, n = first + index - 1, 1
  end
  settle(self, item, 1)
  job:_revoked(first, n)
end

--- Take an item back.
---@return boolean whether no worker had it
function Crew:revoke_item(item)
  if #self.tasks:_void(item.number, item.number) == 0 then return false end
  drop(self, item, item.number)
  return true
end

--- Take all back that no worker has begun.
---@param job? table only what is this job's
function Crew:revoke(job)
  self.items:revoke(job,
    function(from, to) return self.tasks:_void(from, to) end,
    function(item, number) drop(self, item, number) end)
end

-- What comes back

local function as_error(item, place, failure)
  return setmetatable({
    message = failure.message, traceback = failure.traceback,
    process = failure.process, pid = failure.pid,
    task = place, name = item.entry.name,
  }, error_types.RemoteError)
end

--- All that is pending fails.
local function fail_all(self, err)
  for _, item in ipairs(self.items:clear()) do
    if item.kind == EACH then
      for i = 1, item.n do
        if not item.done[i] then item.job:_fail(item.first + i - 1, 1, err) end
      end
    else
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
  if item.at > item.n then settle(self, item, 1) end
  job:_deliver(place, list, n, failures)
end

--- The next n tasks of an item have failed together; 0: all the rest.
local function take_failure(self, item, n, failure)
  local job, place = item.job, item.first + item.at - 1
  local err = as_error(item, place, failure)
  if n == 0 then n = tasks_of(item) - item.at + 1 end
  item.at = item.at + n
  if item.at > tasks_of(item) then settle(self, item, 1) end
  job:_fail(place, n, err)
end

--- What this process says of a message that it cannot decode.
local function undecoded(why)
  local itself = proc.current_process()
  return { message = why, traceback = why, process = itself.name,
    pid = itself.pid }
end

local take

--- A reply of a series; the results that are there behind it go with it.
local function take_each(self, item, kind, index, value)
  if kind == worker_main.FAILURE then
    local err = as_error(item, item.first + index - 1, value)
    return fail_one(self, item, index, err)
  end
  local job, results, done = item.job, item.job.results, item.done
  local before = item.first - 1
  results[before + index], done[index] = value, true
  local n, tag, ok, more = self.collect(self.results, item.slot, results,
    before, done)
  settle(self, item, n + 1)
  job:_came(n + 1)
  if tag then return take(self, tag, ok, more) end
end

function take(self, tag, ok, value)
  local slot, kind = tag & SLOT, tag >> KIND & 7
  local item = self.items.list[slot]
  if not ok then kind, value = worker_main.FAILURE, undecoded(value) end
  if slot == 0 then
    return break_crew(self, as_error({ entry = { name = "initializer" } },
      nil, value))
  end
  if not item then return end -- the crew was broken or terminated meanwhile
  self.staff.failures = 0
  if item.kind == EACH then
    return take_each(self, item, kind, tag >> COUNT & 0xffff, value)
  end
  if kind == worker_main.PART then return take_part(self, item, value) end
  if kind == worker_main.FAILURE then
    return take_failure(self, item, tag >> COUNT, value)
  end
  local job, first = item.job, item.first
  settle(self, item, 1)
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

--- Queue some of its tasks once more.
local function again(self, item, from, to)
  if from > to then return end
  local rest = { job = item.job, entry = item.entry, kind = item.kind,
    first = item.first + from - 1, n = to - from + 1, at = 1,
    payload = item.payload, from = item.from + from - 1 }
  local ok, err = pcall(put, self, rest)
  if not ok then rest.job:_fail(rest.first, rest.n, err) end
  if error_types.interrupted(not ok and err) then rethrow(err) end
end

--- The item's worker died at its task `at`, or before it had begun one.
local function give_up(self, item, at, process)
  local name = item.entry.name
  if item.kind == EACH then
    if item.done[at] then return end
    local err = staffs.new_died(process, item.first + at - 1, name)
    return fail_one(self, item, at, err)
  end
  local last = tasks_of(item)
  at = math.max(item.at, math.min(at, last))
  if not (self.ending or self.broken or item.job.dropped) then
    again(self, item, item.at, at - 1)
    again(self, item, at + 1, last)
  end
  local job, place = item.job, item.first + at - 1
  local err = staffs.new_died(process, place, name)
  settle(self, item, 1)
  job:_fail(place, 1, err)
end

--- What a worker held when it died, and which of its tasks it was at.
local function bury(self, process, word)
  local number = self.tasks:_lost(process)
  if not number then return end
  local item, at = self.items:find(number)
  if not item then return end
  if item.kind ~= EACH and word >> 32 == item.slot then
    at = word & 0xffffffff
  end
  give_up(self, item, at, process)
end

--- New workers for those that have ended.
local function replace(self)
  local staff = self.staff
  local ok, more
  repeat
    ok, more = pcall(staff.grow, staff, self.items.pending)
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
  local from = timeout and proc.now()
  local tag, ok, value, deaths =
    self.get(self.results, timeout, self.deaths)
  if tag then
    take(self, tag, ok, value)
  elseif ok == "death" then
    local left = timeout and timeout - (proc.now() - from)
    if not proc.settle(left) then return false end -- another look sees it
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
  local live, pending = self.staff.live, self.items.pending
  return { workers = live, pending = pending, busy = math.min(live, pending) }
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
  while self.items.pending > 0 do self:pump() end
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
    size = options.size, name = options.name, what = options.what,
    staff = staff, functions = staff.functions,
    tasks = tasks, results = results, put = tasks._put, get = results._get,
    collect = results._collect,
    owner = proc.current_process().pid, deaths = 0, todo = {},
    readers = setmetatable({}, { __mode = "k" }),
    items = items.new(),
  }, Crew)
end

return crew
