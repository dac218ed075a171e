--- The worker processes of a crew: starting them, finding out which have ended,
--- ending them.  What they work on is the crew's.
local cell = require "mp.cell"
local error_types = require "mp.error"
local proc = require "mp.proc"
local queue = require "mp.queue"
local worker_main = require "mp.worker"

local Staff = {}
Staff.__index = Staff

local staff = {}

--- After a terminate, seconds until a worker that does not end is killed.
local GRACE = 2

local function start(self, index)
  local control = queue.SimpleQueue()
  self.functions:introduce(control)
  self.started = self.started + 1
  self.cells[index] = 1 -- not retired
  local process = self.Process {
    target = worker_main.main,
    args = { index,
      { tasks = self.tasks, results = self.results, control = control,
        cells = self.cells },
      self.setup },
    name = ("%s-%d"):format(self.name, self.started), daemon = true,
  }
  local ok, err = pcall(process.start, process)
  if not ok then
    error(type(err) == "string" and err:gsub("start: args%[3%]%.",
      self.what .. ": ") or err, 0)
  end
  self.workers[index] = { process = process, control = control }
  self.live = self.live + 1
end

--- One more worker, if there are more items than workers.  Raises when it
--- cannot be started and there is none.
---@param pending integer items
---@return boolean started
function Staff:grow(pending)
  if self.live >= self.size or pending <= self.live then return false end
  local index = 1
  while self.workers[index] do index = index + 1 end
  local ok, err = pcall(start, self, index)
  if not ok and (self.live == 0 or error_types.interrupted(err)) then
    error(err, 0)
  end
  return ok
end

--- Send a message to each worker's control queue.
function Staff:tell(message)
  for _, w in pairs(self.workers) do w.control:put(message) end
end

--- A worker that has just been killed still runs for a moment; one that has
--- become another program runs on, but is none of ours.
local function has_ended(process)
  if not proc.gone(process) then return not process:is_alive() end
  process:kill()
  return true
end

--- Those that have ended.
---@return table<integer, mp.Process>? index -> process; nil: none
function Staff:ended()
  local dead = {}
  for index, w in pairs(self.workers) do
    if has_ended(w.process) then dead[index] = w.process end
  end
  return next(dead) and dead
end

local function strike_off(self, index)
  self.workers[index] = nil
  self.live = self.live - 1
end

--- Strike off one that has ended; its process is the caller's to close.
---@return integer word what it was at: slot << 32 | task; 0: it has retired
function Staff:discharge(index, process)
  process:join()
  strike_off(self, index)
  local word = self.cells[index]
  if word ~= 0 then
    self.failures = self.failures + 1
    self.last_death = staff.new_died(process)
  end
  return word
end

--- Have so many died that it makes no sense to go on?
function Staff:hopeless()
  return self.failures > self.max_restarts
end

---@param signal string a method of a process: terminate, kill
function Staff:signal(signal)
  for _, w in pairs(self.workers) do -- without descriptors this raises
    w.process[signal](w.process)
  end
end

--- Wait for all to end.
---@param forced boolean do not wait long
function Staff:join(forced)
  local deadline = proc.now() + GRACE
  for index, w in pairs(self.workers) do
    if forced and not w.process:join(deadline - proc.now()) then
      w.process:kill()
    end
    w.process:join()
    w.process:close()
    strike_off(self, index)
  end
end

--- What tells of their ends.
---@param list any[] the sentinels are appended
function Staff:sentinels(list)
  for _, w in pairs(self.workers) do list[#list + 1] = w.process.sentinel end
end

---@param process? table
---@param task? integer
---@param name? string of the task
function staff.new_died(process, task, name)
  return setmetatable({
    process = process and process.name or "a worker",
    pid = process and process.pid, exitcode = process and process.exitcode,
    task = task, name = name,
  }, error_types.ProcessDied)
end

--- Nobody yet.  `functions` is to be set before the first is started.
---@param o table size, Process (a class), setup (initializer, initargs, quota),
--- max_restarts, name
function staff.new(o, tasks, results)
  return setmetatable({
    size = o.size, name = o.name, what = o.what, setup = o.setup,
    Process = o.Process:extend { _bound = true, _quiet = true },
    max_restarts = o.max_restarts or 10,
    tasks = tasks, results = results, cells = cell.RawArray("Q", o.size),
    workers = {}, live = 0, started = 0, failures = 0,
  }, Staff)
end

return staff
