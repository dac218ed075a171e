--- A crew: worker processes and the two queues between them and their owner.
-- What pools and executors are made of; they know only this interface:
-- submit, pump, fileno, revoke, close, terminate, join.
--
-- A *job* is what somebody waits for; it has the methods
--   job:_deliver(first, list, n, failures)   results of its tasks first..
--   job:_fail(first, n, err)                 these tasks will have no result
-- An *item* is what travels to a worker: tasks first..first+n-1 of a job.
-- Items have numbers that grow in the order of the queue.
--
-- A worker that dies lets go of the item it held; the queue tells its number,
-- the worker's cells which task of the item it was at.  That task fails; those
-- of the item without a result yet go back to the queue.
local codec = require "mp.codec"
local error_types = require "mp.error"
local proc = require "mp.proc"
local queue = require "mp.queue"
local cell = require "mp.cell"
local worker_main = require "mp.worker"

local Crew = {}
Crew.__index = Crew

--- How many functions that nobody uses just now the workers keep.
local IDLE_FUNCTIONS = 64

local crew = {
  ONE = worker_main.ONE, RUN = worker_main.RUN,
  CALL = worker_main.CALL, STAR = worker_main.STAR,
}
local ONE, CALL = crew.ONE, crew.CALL

local function rethrow(err) error(err, 0) end

-- Functions

local function describe(f)
  if type(f) ~= "function" then return error_types.text(f) end
  local info = debug.getinfo(f, "S")
  return info.what == "C" and "a C function"
    or ("function <%s:%d>"):format(info.short_src, info.linedefined)
end

--- Drop the function that was idle longest.
local function evict(self)
  local oldest
  for _, entry in pairs(self.functions) do
    if entry.uses == 0 and (not oldest or entry.stamp < oldest.stamp) then
      oldest = entry
    end
  end
  if not oldest then return end
  self.functions[oldest.code] = nil
  self.nfunctions = self.nfunctions - 1
  if not oldest.id then return end
  for _, w in pairs(self.workers) do w.control:put { oldest.id, false } end
end

local function register(self, entry)
  self.last_id = self.last_id + 1
  entry.id = self.last_id
  for _, w in pairs(self.workers) do
    w.control:put { entry.id, entry.code }
  end
end

--- How a function goes to the workers: {send = what an item carries, ...}.
--- One that comes again, or has many tasks, is sent to each worker once.
---@param f any what can be called
---@param many boolean
function Crew:use(f, many)
  local ok, code = pcall(codec.encode, f)
  if not ok then -- it holds objects of the family: it travels with each item
    return { send = f, uses = 1, name = describe(f) }
  end
  local entry = self.functions[code]
  if not entry then
    if self.nfunctions >= IDLE_FUNCTIONS then evict(self) end
    entry = { code = code, uses = 0, name = describe(f) }
    self.functions[code] = entry
    self.nfunctions = self.nfunctions + 1
  end
  if not entry.id and (many or entry.again) then register(self, entry) end
  entry.again = true
  entry.send = entry.id or code
  entry.uses = entry.uses + 1
  self.uses = self.uses + 1
  entry.stamp = self.uses
  return entry
end

--- One call less needs the function.
function crew.release(entry)
  entry.uses = entry.uses - 1
end

-- Workers

local function start_worker(self, index)
  local control = queue.SimpleQueue()
  for _, entry in pairs(self.functions) do
    if entry.id then control:put { entry.id, entry.code } end
  end
  self.started = self.started + 1
  local process = self.Process {
    target = worker_main.main,
    args = { index,
      { tasks = self.tasks, results = self.results, control = control,
        cells = self.cells },
      self.setup },
    name = ("%s-%d"):format(self.name, self.started), daemon = true,
  }
  process:start()
  self.workers[index] = { process = process, control = control }
  self.live = self.live + 1
end

--- One more worker, if there is more to do than there are workers.
local function staff(self)
  if self.live >= self.size or self.pending <= self.live then return end
  for index = 1, self.size do
    if not self.workers[index] then
      local ok, err = pcall(start_worker, self, index)
      if not ok and self.live == 0 then rethrow(err) end
      return
    end
  end
end

local function new_died(process, item, place)
  return setmetatable({
    process = process and process.name or "a worker",
    pid = process and process.pid, exitcode = process and process.exitcode,
    task = place, name = item and item.entry.name,
  }, error_types.ProcessDied)
end

-- Items

local function put(self, item)
  local tag = self.last_tag + 1
  item.number = self.tasks:_put(
    { item.entry.send, item.kind, item.payload, item.n }, tag)
  self.last_tag, self.last_number = tag, item.number
  item.tag = tag
  self.items[tag], self.numbered[item.number] = item, item
  self.pending = self.pending + 1
end

--- Queue tasks first..first+n-1 of a job.  Raises, with nothing queued, when
--- the payload cannot be sent, or there is no worker and none can be started.
---@param job table
---@param entry table from `use`
---@param kind integer ONE, RUN, CALL or STAR
---@param first integer
---@param n integer number of tasks; for CALL: of arguments
---@param payload any
---@return table item
function Crew:submit(job, entry, kind, first, n, payload)
  if self.broken then rethrow(self.broken) end
  local item = { job = job, entry = entry, kind = kind, first = first,
    n = n, payload = payload, at = 1 }
  put(self, item)
  local ok, err = pcall(staff, self)
  if not ok then
    self.tasks:_void(item.number, item.number)
    self.items[item.tag], self.numbered[item.number] = nil, nil
    self.pending = self.pending - 1
    rethrow(err)
  end
  return item
end

local function tasks_of(item)
  return (item.kind == ONE or item.kind == CALL) and 1 or item.n
end

local function forget(self, item)
  self.items[item.tag], self.numbered[item.number] = nil, nil
  self.pending = self.pending - 1
  if self.closing and self.pending == 0 then self:close() end
end

--- Has a worker taken the item?
function Crew:taken(item)
  return self.tasks:_took(item.number)
end

local function drop(self, number)
  local item = self.numbered[number]
  local n = tasks_of(item) - item.at + 1
  forget(self, item)
  item.job:_revoked(item.first + item.at - 1, n)
end

--- Take items that no worker has begun out of the queue; how many.
local function revoke(self, from, to)
  local numbers = self.tasks:_void(from, to)
  for _, number in ipairs(numbers) do drop(self, number) end
  return #numbers
end

--- Take an item back.
---@return boolean whether it was still there
function Crew:revoke_item(item)
  return revoke(self, item.number, item.number) == 1
end

--- Take all of a job back that no worker has begun.
function Crew:revoke(job)
  local mine = {}
  for _, item in pairs(self.items) do
    if item.job == job then mine[#mine + 1] = item.number end
  end
  table.sort(mine)
  local i = 1
  while i <= #mine do
    local last = i
    while mine[last + 1] == mine[last] + 1 do last = last + 1 end
    revoke(self, mine[i], mine[last])
    i = last + 1
  end
end

--- Take everything back that no worker has begun.
function Crew:revoke_all()
  if self.pending > 0 then
    revoke(self, self.last_number - 0x7fffffff, self.last_number)
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

--- Break the crew: whatever is pending fails, and all that comes later.
local function break_crew(self, cause)
  self.broken = setmetatable({ cause = cause }, error_types.BrokenPool)
  local items = self.items
  self.items, self.numbered, self.pending = {}, {}, 0
  for _, w in pairs(self.workers) do w.process:terminate() end
  for _, item in pairs(items) do
    item.job:_fail(item.first + item.at - 1, tasks_of(item) - item.at + 1,
      self.broken)
  end
end

local function take_run(self, item, reply)
  local first, list, n, failures, seconds = table.unpack(reply, 1, 5)
  local place = item.first + first - 1
  if failures then
    for i, failure in pairs(failures) do
      failures[i] = as_error(item, place + i - 1, failure)
    end
  end
  item.at = first + n
  if seconds then
    local each = seconds / n
    local entry = item.entry
    entry.seconds = entry.seconds and (entry.seconds + each) / 2 or each
  end
  if item.at > item.n then forget(self, item) end
  item.job:_deliver(place, list, n, failures)
end

local function take_whole(self, item, reply)
  forget(self, item)
  if reply[1] == true then
    item.job:_deliver(item.first, { reply[2] }, 1)
  elseif reply[1] == "call" then
    item.job:_deliver(item.first, { reply[2] }, 1, nil, true)
  else
    item.job:_fail(item.first, tasks_of(item),
      as_error(item, item.first, reply[2]))
  end
end

local function take(self, tag, ok, reply)
  local item = self.items[tag]
  if tag == 0 then -- an initializer
    return break_crew(self, as_error({ entry = { name = "initializer" } },
      nil, reply[2]))
  end
  if not item then return end -- revoked, or the crew is broken
  self.failures = 0
  if not ok then
    reply = { false, { message = reply,
      traceback = error_types.text(reply) } }
  end
  if type(reply[1]) == "number" then return take_run(self, item, reply) end
  take_whole(self, item, reply)
end

local function drain(self)
  while true do
    local tag, ok, reply = self.results:_get(0)
    if not tag then return end
    self.results:task_done()
    take(self, tag, ok, reply)
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
  put(self, rest)
end

--- The item's worker died at its task `at`, or before it had begun one.
local function give_up(self, item, at, process)
  local last = tasks_of(item)
  at = math.max(item.at, math.min(at, last))
  if not self.ending then
    again(self, item, item.at, at - 1)
    again(self, item, at + 1, last)
  end
  forget(self, item)
  local place = item.first + at - 1
  item.job:_fail(place, 1, new_died(process, item, place))
end

local function bury(self, dead)
  local lost = self.tasks:_lost()
  local process = dead[1] and dead[1].process
  for _, number in ipairs(lost) do
    local item, at = self.numbered[number], 1
    for _, w in ipairs(item and dead or {}) do
      if self.cells[2 * w.index - 1] == item.tag & 0xffffffff then
        process, at = w.process, self.cells[2 * w.index]
      end
    end
    if item then give_up(self, item, at, process) end
  end
end

--- Look for workers that have ended; their places are free then.
local function look(self)
  local dead = {}
  for index, w in pairs(self.workers) do
    if not w.process:is_alive() then
      w.index = index
      dead[#dead + 1] = w
    end
  end
  if #dead == 0 then return end
  drain(self) -- what they left was sent before they ended
  for _, w in ipairs(dead) do
    w.process:join()
    self.workers[w.index] = nil
    self.live = self.live - 1
    if w.process.exitcode ~= 0 then
      self.failures = self.failures + 1
      self.last_death = new_died(w.process)
    end
  end
  bury(self, dead)
  if self.failures > self.max_restarts and not self.ending then
    return break_crew(self, self.last_death)
  end
  if not self.ending and not self.broken then
    while self.live < self.size and self.pending > self.live do
      local live = self.live
      staff(self)
      if self.live == live then break end
    end
  end
end

--- Have a callback run inside one of the owner's next calls.
function Crew:later(call, ...)
  self.todo[#self.todo + 1] = { call, table.pack(...) }
end

local function run_callbacks(self)
  while self.todo[1] do
    local entry = table.remove(self.todo, 1)
    local args = entry[2]
    local ok, err = xpcall(entry[1], debug.traceback,
      table.unpack(args, 1, args.n))
    if not ok then
      pcall(io.stderr.write, io.stderr,
        ("%s: a callback raised: %s\n"):format(self.name, err))
    end
  end
end

--- Take in what the workers have left, waiting for it if need be.
---@param timeout? number seconds; nil: for ever; 0: only look
---@return boolean something has come, or a worker has ended
function Crew:pump(timeout)
  local tag, ok, reply, deaths = self.results:_get(timeout, self.deaths)
  if tag then
    self.results:task_done()
    take(self, tag, ok, reply)
  elseif ok == "death" then
    self.deaths = deaths
    look(self)
  else
    return false
  end
  if self.todo[1] then run_callbacks(self) end
  return true
end

--- The descriptor that tells of results.
function Crew:fileno()
  return self.results:fileno()
end

--- All that is to be waited for: results, and the ends of workers.
function Crew:filenos()
  local list = { self.results:fileno() }
  for _, w in pairs(self.workers) do list[#list + 1] = w.process.sentinel end
  return list
end

--- What it is doing, for a progress display.
function Crew:stats()
  return { workers = self.live, pending = self.pending,
    busy = math.min(self.live, self.pending) }
end

-- The end

--- No more items: workers end when the queue is empty.
function Crew:close()
  self.ending = self.ending or "closed"
  self.tasks:close()
end

--- The same once nothing is pending; a task whose worker dies goes back.
function Crew:close_when_idle()
  if self.ending or self.closing then return end
  self.closing = true
  if self.pending == 0 then self:close() end
end

--- End the workers now; pending tasks fail with `err`.
---@param err any
---@param signal? "kill" default: terminate
function Crew:terminate(err, signal)
  if self.ending == "terminated" then return end
  self.ending = "terminated"
  self.tasks:close()
  local items = self.items
  self.items, self.numbered, self.pending = {}, {}, 0
  for _, w in pairs(self.workers) do
    w.process[signal or "terminate"](w.process)
  end
  for _, item in pairs(items) do
    item.job:_fail(item.first + item.at - 1, tasks_of(item) - item.at + 1, err)
  end
end

--- Wait for what is pending, then for the workers to end.
---@param deadline? number
---@return boolean ended
function Crew:join(deadline)
  local function left() return deadline and deadline - proc.now() end
  while self.pending > 0 do
    if not self:pump(left()) then return false end
  end
  for index, w in pairs(self.workers) do
    if not w.process:join(left()) then return false end
    w.process:close()
    self.workers[index] = nil
    self.live = self.live - 1
  end
  if self.todo[1] then run_callbacks(self) end
  return true
end

--- A new crew, without workers yet.
---@param options table size, Process (a class), initializer, initargs,
--- quota (tasks a worker), max_restarts, name
function crew.new(options)
  local size = options.size
  return setmetatable({
    size = size, Process = options.Process, name = options.name,
    setup = { initializer = options.initializer,
      initargs = options.initargs, quota = options.quota },
    max_restarts = options.max_restarts or 10,
    tasks = queue.JoinableQueue(), results = queue.JoinableQueue(),
    cells = cell.RawArray("I", 2 * size),
    owner = proc.current_process().pid, deaths = 0,
    workers = {}, live = 0, started = 0, failures = 0, todo = {},
    items = {}, numbered = {}, pending = 0, last_tag = 0,
    functions = {}, nfunctions = 0, last_id = 0, uses = 0,
  }, Crew)
end

return crew
