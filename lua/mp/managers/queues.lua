--- Queues inside a manager's server.
--
-- As sync.lua: plain objects, whose methods that may wait park.
local jobs = require "mp.managers.jobs"

local queues = {}

local QUEUE = "put_nowait get_nowait qsize empty full close "
local Queue = jobs.class(QUEUE, "put get")
queues.Queue = Queue

local function new_queue(c, maxsize)
  if maxsize ~= nil and math.type(maxsize) ~= "integer" then
    jobs.misuse("Queue: maxsize must be an integer")
  end
  return setmetatable({ items = {}, first = 1, last = 0,
    max = maxsize and maxsize > 0 and maxsize or math.huge,
    getters = jobs.queue(), putters = jobs.queue(), unfinished = 0,
    taken = {}, joiners = jobs.queue() }, c)
end

function Queue.new(_, maxsize) return new_queue(Queue, maxsize) end

function Queue:qsize() return self.last - self.first + 1 end

function Queue:empty() return self.last < self.first end

function Queue:full() return self:qsize() >= self.max end

function Queue:put(value, timeout)
  local deadline = jobs.deadline("put", timeout)
  while not self.closed and self:full() do
    if not jobs.park(self.putters, deadline) then return false, "full" end
  end
  if self.closed then return false, "closed" end
  self.last = self.last + 1
  self.items[self.last] = value
  self.unfinished = self.unfinished + 1
  jobs.wake(self.getters)
  return true
end

function Queue:get(timeout)
  local deadline = jobs.deadline("get", timeout)
  while self:empty() do
    if self.closed then return nil, "closed" end
    if not jobs.park(self.getters, deadline) then return nil, "empty" end
  end
  local value, client = self.items[self.first], jobs.client
  self.items[self.first] = nil
  self.first = self.first + 1
  self:took(client, 1)
  jobs.wake(self.putters)
  jobs.on_cancel(function()
    self.first = self.first - 1
    self.items[self.first] = value
    self:took(client, -1)
    jobs.wake(self.getters)
  end)
  return value
end

-- Who has taken an item matters where somebody waits for them to be finished.
function Queue.took() end

function Queue:put_nowait(value) return self:put(value, 0) end

function Queue:get_nowait() return self:get(0) end

function Queue:close()
  self.closed = true
  jobs.wake_all(self.getters)
  jobs.wake_all(self.putters)
end

local JoinableQueue = jobs.class(QUEUE .. "task_done", "put get join")
queues.JoinableQueue = JoinableQueue
for name, f in pairs(Queue) do
  JoinableQueue[name] = JoinableQueue[name] or f
end

function JoinableQueue.new(_, maxsize)
  return new_queue(JoinableQueue, maxsize)
end

function JoinableQueue:took(client, n)
  self.taken[client] = (self.taken[client] or 0) + n
  client.held[self] = true
end

local function finished(self, n)
  self.unfinished = self.unfinished - n
  if self.unfinished == 0 then jobs.wake_all(self.joiners) end
end

function JoinableQueue:task_done()
  if self.unfinished == 0 then
    jobs.misuse("task_done: called more often than there were items")
  end
  local mine = self.taken[jobs.client] or 0
  if mine > 0 then self.taken[jobs.client] = mine - 1 end
  finished(self, 1)
end

function JoinableQueue:join(timeout)
  local deadline = jobs.deadline("join", timeout)
  while self.unfinished > 0 do
    if not jobs.park(self.joiners, deadline) then return false, "timeout" end
  end
  local lost = self.lost
  self.lost = nil
  if lost then return true, "lost" end
  return true
end

--- What it had taken and not finished will not be finished.  Somebody else may
--- have finished some of it.
function JoinableQueue:forsake(client)
  local mine = math.min(self.taken[client] or 0,
    self.unfinished - self:qsize())
  self.taken[client] = nil
  if mine <= 0 then return end
  self.lost = true
  finished(self, mine)
end

return queues
