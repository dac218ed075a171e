--- What somebody waits for: the tasks of one call, and their results.
local blame = require "mp.error".blame
local proc = require "mp.proc"
local run = require "mp.run"

--- A call's outcome, to be waited for.
---@class mp.AsyncResult
local Job = { __name = "mp.AsyncResult" }
Job.__index = Job

local job = { Job = Job }
local NONE = {}

local function owned(self)
  if self.crew.owner ~= proc.current_process().pid then
    blame("a result can be waited for only where its pool was made")
  end
end

function Job:__tostring()
  return ("%s (%s): %p"):format(getmetatable(self).__name,
    not self.ready_now and "pending" or self.err and "failed" or "ready", self)
end

function Job:__reduce()
  error(("a %s belongs to the process of its pool; send what it gives")
    :format(getmetatable(self).__name), 0)
end

--- A job of n tasks (nil: not known yet).
---@param class table
---@param pool table with a crew; it is kept while there is something to do
---@param what string the method, for messages
---@param n? integer
---@param opts? table callback, error_callback
function job.new(class, pool, what, n, opts)
  return setmetatable({
    crew = pool._crew, pool = pool, what = what,
    n = n, left = n, finished = 0, failed = 0, results = run.list(n or 0),
    callback = opts and opts.callback,
    error_callback = opts and opts.error_callback,
  }, class)
end

local function finish(self)
  self.ready_now, self.pool = true, nil
  local call = self.callback
  if self.err ~= nil then call = self.error_callback end
  if call then self.crew:later(call, self:_outcome()) end
end
job.finish = finish

--- What the callbacks get.
function Job:_outcome()
  if self.err ~= nil then return self.err end
  return self:_value()
end

--- What `get` gives.
function Job:_value()
  self.results.n = self.n
  return self.results
end

local function note_error(self, place, err)
  self.failed = self.failed + 1
  if self.err == nil or place < self.err_place then
    self.err, self.err_place = err, place
  end
end

local function count(self, n)
  self.finished = self.finished + n
  if not self.left then return end
  self.left = self.left - n
  if self.left == 0 then finish(self) end
end

-- What the crew calls

function Job:_deliver(first, list, n, failures)
  run.move(list, 1, n, self.results, first)
  for i, err in pairs(failures or NONE) do
    note_error(self, first + i - 1, err)
  end
  count(self, n)
end

--- The results of n tasks that travelled alone are in self.results.
function Job:_came(n)
  count(self, n)
end

function Job:_one(place, value)
  self.results[place] = value
  count(self, 1)
end

function Job:_fail(first, n, err)
  note_error(self, first, err)
  self.failed = self.failed + n - 1
  count(self, n)
end

function Job:_revoked(_, n)
  count(self, n)
end

-- What its owner calls

--- Seconds until the deadline, nil when there is none.
function job.left(deadline)
  return deadline and deadline - proc.now()
end

--- Take in what comes until the job is ready.
---@param deadline? number
---@return boolean
function job.await(self, deadline)
  local crew = self.crew
  crew:call_back()
  while not self.ready_now do
    local left = job.left(deadline)
    if left and left <= 0 then
      crew:pump(0)
      return self.ready_now or false
    end
    crew:pump(left)
  end
  return true
end

--- nil, or when that many seconds will have passed.
function job.deadline(what, timeout)
  if timeout == nil then return nil end
  if type(timeout) ~= "number" or timeout ~= timeout then
    blame(("%s: timeout must be a number of seconds"):format(what))
  end
  return proc.now() + timeout
end

--- What the call returned; raises its error.
---@param timeout? number seconds
---@return any value nil, "timeout" when the time ran out
function Job:get(timeout)
  owned(self)
  if not job.await(self, job.deadline("get", timeout)) then
    return nil, "timeout"
  end
  if self.err ~= nil then error(self.err, 0) end
  return self:_value()
end

function job.wait(self, timeout, what)
  owned(self)
  if job.await(self, job.deadline(what, timeout)) then return true end
  return false, "timeout"
end

--- Wait for the outcome.
---@param timeout? number seconds
---@return boolean ready
---@return string? reason "timeout"
function Job:wait(timeout)
  return job.wait(self, timeout, "wait")
end

--- Has the outcome come?
---@return boolean
function Job:ready()
  owned(self)
  self.crew:call_back()
  while not self.ready_now and self.crew:pump(0) do end
  return self.ready_now or false
end

--- Did the call return?  Raises when it is not ready.
---@return boolean
function Job:successful()
  if not self:ready() then blame("successful: the result is not ready") end
  return self.err == nil
end

--- For mp.wait.
function Job:fileno()
  return self.crew:fileno()
end

Job._ready = Job.ready

--- For mp.wait: a worker's end may decide it, too.
function Job:_filenos()
  return self.crew:filenos()
end

--- A class with the methods of another, to be given further ones.
function job.derive(parent, name)
  local class = {}
  for key, method in pairs(parent) do class[key] = method end
  class.__name, class.__index = name, class
  return class
end

--- The outcome of one call: all that it returned.
local Call = job.derive(Job, "mp.AsyncResult")
job.Call = Call

function Call:_value()
  local results = self.several
  if results then return table.unpack(results, 1, results.n) end
  return self.returned
end

function Call:_one(_, value, several)
  if several then self.several = value else self.returned = value end
  count(self, 1)
end

return job
