--- Requests that may have to wait, inside a manager's server.
--
-- The server has one thread and never waits for one client.  A method that may
-- have to runs as a job, a coroutine: where it has to wait it parks on a queue,
-- and goes on when somebody wakes the queue, or at its deadline.  When its
-- client has died, or has given the request up, the coroutine is closed.
local stream = require "mp.stream"

local jobs = {
  client = nil, -- whose request runs
  job = nil,    -- that request, if it may wait
}

--- A class of objects in the server: the methods that clients may call, and
--- those of them that may wait.
---@param public string names
---@param blocking? string
function jobs.class(public, blocking)
  local class = { public = {}, blocking = {} }
  class.__index = class
  for name in public:gmatch("%S+") do class.public[name] = true end
  for name in (blocking or ""):gmatch("%S+") do
    class.public[name], class.blocking[name] = true, true
  end
  return class
end

--- What a client holds, to be given back at its end: of the objects that are
--- still there.
function jobs.holdings() return setmetatable({}, { __mode = "k" }) end

local now = stream.now
local parked, runnable = {}, {}
local earliest -- deadline of those parked, or something before it

--- An error of the caller's, to be raised there as if it were local.
local Misuse = {}

function jobs.misuse(text, ...)
  error(setmetatable({ text = text:format(...) }, Misuse), 0)
end

function jobs.as_misuse(text) return setmetatable({ text = text }, Misuse) end

--- Its text, or nil when `err` is another error.
function jobs.misuse_text(err)
  return getmetatable(err) == Misuse and err.text or nil
end

--- When a timeout that a caller gave is over; nil: never.
function jobs.deadline(what, timeout)
  if timeout == nil then return nil end
  if type(timeout) ~= "number" or timeout ~= timeout then
    jobs.misuse("%s: timeout must be a number or nil", what)
  end
  return now() + timeout
end

-- Queues of those who wait ---------------------------------------------------

function jobs.queue() return { first = 1, last = 0 } end

local function unpark(job)
  local queue = job.queue
  if not queue then return end
  queue[job.index] = nil
  job.queue, job.deadline, parked[job] = nil, nil, nil
end

--- The first whose client is there to take what it waits for: one that was
--- killed, which we have yet to hear of, is not to swallow a wake.
local function next_of(queue)
  local first
  for i = queue.first, queue.last do
    local job = queue[i]
    first = first or job and i
    if job and job.client:can_take() then
      queue.first = first
      return job
    end
  end
  if not first then queue.first, queue.last = 1, 0 end
end

--- Wait to be woken: true; false at the deadline.
function jobs.park(queue, deadline)
  if deadline and deadline <= now() then return false end
  local job = jobs.job
  if not job then
    jobs.misuse("this call would make the server wait for itself")
  end
  queue.last = queue.last + 1
  queue[queue.last] = job
  job.queue, job.index, job.deadline = queue, queue.last, deadline
  parked[job] = true
  if deadline and (not earliest or deadline < earliest) then
    earliest = deadline
  end
  return coroutine.yield()
end

--- Let the first one go on; false: nobody waits.
function jobs.wake(queue)
  local job = next_of(queue)
  if not job then return false end
  unpark(job)
  runnable[#runnable + 1] = job
  return true
end

function jobs.wake_all(queue)
  while jobs.wake(queue) do end
end

-- Running --------------------------------------------------------------------

local function finish(job, ok, ...)
  local client = job.client
  client.jobs[job.seq] = nil
  if ok and job.undo then
    client.undo_seq, client.undo = job.seq, job.undo
  end
  if ok then return client:answer(job.seq, ...) end
  local err = ...
  client:fail(job.seq, err,
    debug.traceback(job.co, type(err) == "string" and err or nil))
end

local function ran(job, ok, ...)
  jobs.job, jobs.client = nil, nil
  if not ok or coroutine.status(job.co) == "dead" then
    finish(job, ok, ...)
    if not ok then coroutine.close(job.co) end
  end
end

local function resume(job, ...)
  jobs.job, jobs.client = job, job.client
  return ran(job, coroutine.resume(job.co, ...))
end

--- Those who were woken, and those whom they wake.
function jobs.drain()
  local i = 1
  while runnable[i] do
    local job = runnable[i]
    runnable[i] = false
    i = i + 1
    if job and not job.dead then resume(job, true) end
  end
  if i > 1 then runnable = {} end
end

--- Begin a request that may have to wait: f(...).
function jobs.start(client, seq, f, ...)
  local job = { client = client, seq = seq, co = coroutine.create(f) }
  client.jobs[seq] = job
  resume(job, ...)
end

--- What is to be done if the caller does not take the result.
function jobs.on_cancel(undo)
  if jobs.job then jobs.job.undo = undo end
end

--- The caller has given up.  A job that is `soft` (it must put something right
--- first) sees its time run out, and answers all the same.
---@return boolean answers
function jobs.cancel(job)
  if job.soft then
    if job.queue then
      unpark(job)
      resume(job, false)
    end
    return true
  end
  job.dead = true
  unpark(job)
  job.client.jobs[job.seq] = nil
  jobs.client = job.client
  coroutine.close(job.co)
  jobs.client = nil
  return false
end

--- The client is gone: so are its requests.
function jobs.forsake(client)
  for _, job in pairs(client.jobs) do
    job.soft = nil
    jobs.cancel(job)
  end
end

--- Seconds until somebody's time runs out; nil: never.
function jobs.patience()
  return earliest and math.max(0, earliest - now())
end

--- Tell those whose time has run out.
function jobs.expire()
  if not earliest or earliest > now() then return end
  local t, late = now(), {}
  earliest = nil
  for job in pairs(parked) do
    if job.deadline and job.deadline <= t then
      late[#late + 1] = job
    elseif job.deadline and (not earliest or job.deadline < earliest) then
      earliest = job.deadline
    end
  end
  for _, job in ipairs(late) do
    if job.queue then -- nobody has woken it meanwhile
      unpark(job)
      resume(job, false)
    end
  end
end

return jobs
