--- Locks, conditions, events and barriers inside a manager's server.
--
-- Plain objects: nothing else runs while a method does, so they need no locks
-- themselves.  `blocking` names the methods that may park.  forsake(client) is
-- called when a client that `hold`s the object has died.
local jobs = require "mp.managers.jobs"
local options = require "mp.options"

local sync = {}

local class = jobs.class

local function hold(object) jobs.client.held[object] = true end

local function count_of(what, n)
  n = n == nil and 1 or n
  if math.type(n) ~= "integer" or n < 0 then
    jobs.misuse("%s: an integer of at least 0 was expected", what)
  end
  return n
end

local function options_of(what, opts, valid)
  if opts == nil then return {} end
  if type(opts) ~= "table" then
    jobs.misuse("%s: options must be a table, not a %s", what, type(opts))
  end
  local fault = options.fault(what, opts, valid)
  if fault then jobs.misuse("%s", fault) end
  return opts
end

-- Locks ----------------------------------------------------------------------

local Lock = class("release locked", "acquire")
sync.Lock = Lock

function Lock.new(_)
  return setmetatable({ waiters = jobs.queue() }, Lock)
end

--- It is ours: true, and "abandoned" when its last owner died with it.
local function take(self)
  local abandoned = self.abandoned
  self.owner, self.depth, self.abandoned = jobs.client, 1, nil
  hold(self)
  local client = jobs.client
  jobs.on_cancel(function()
    if self.owner == client then self:let_go() end
  end)
  if abandoned then return true, "abandoned" end
  return true
end

function Lock:acquire(timeout)
  local deadline = jobs.deadline("acquire", timeout)
  while self.owner do
    if not jobs.park(self.waiters, deadline) then return false, "timeout" end
  end
  return take(self)
end

function Lock:let_go()
  self.owner, self.depth = nil, nil
  jobs.wake(self.waiters)
end

function Lock:release()
  if not self.owner then jobs.misuse("release: the lock is not held") end
  self:let_go()
end

function Lock:locked() return self.owner ~= nil end

function Lock:forsake(client)
  if self.owner ~= client then return end
  self.abandoned = true
  self:let_go()
end

local RLock = class("release locked", "acquire")
sync.RLock = RLock
RLock.locked, RLock.let_go, RLock.forsake =
  Lock.locked, Lock.let_go, Lock.forsake

function RLock.new(_)
  return setmetatable({ waiters = jobs.queue() }, RLock)
end

function RLock:acquire(timeout)
  if self.owner ~= jobs.client then return Lock.acquire(self, timeout) end
  self.depth = self.depth + 1
  jobs.on_cancel(function() self.depth = self.depth - 1 end)
  return true
end

function RLock:release()
  if self.owner ~= jobs.client then
    jobs.misuse("release: the lock is not held by this process")
  end
  self.depth = self.depth - 1
  if self.depth == 0 then self:let_go() end
end

-- Semaphores -----------------------------------------------------------------

local Semaphore = class("release get_value", "acquire")
sync.Semaphore = Semaphore

local function new_semaphore(c, n, opts)
  n = count_of("Semaphore", n)
  return setmetatable({ value = n, initial = n, waiters = jobs.queue(),
    taken = {}, signalling = opts and opts.signalling }, c)
end

function Semaphore.new(_, n, opts)
  return new_semaphore(Semaphore, n,
    options_of("Semaphore", opts, { signalling = "boolean" }))
end

function Semaphore:acquire(timeout)
  local deadline = jobs.deadline("acquire", timeout)
  while self.value == 0 do
    if not jobs.park(self.waiters, deadline) then return false, "timeout" end
  end
  local client = jobs.client
  self.value = self.value - 1
  self.taken[client] = (self.taken[client] or 0) + 1
  hold(self)
  jobs.on_cancel(function() self:give_back(client) end)
  return true
end

function Semaphore:give_back(client)
  local mine = self.taken[client]
  if mine then
    self.taken[client] = mine > 1 and mine - 1 or nil
  else
    self.signalling = true -- a permit that the giver had not taken
  end
  self.value = self.value + 1
  jobs.wake(self.waiters)
end

function Semaphore:release() self:give_back(jobs.client) end

function Semaphore:get_value() return self.value end

function Semaphore:forsake(client)
  local mine = self.taken[client] or 0
  self.taken[client] = nil
  if self.signalling then return end
  for _ = 1, mine do
    self.value = self.value + 1
    jobs.wake(self.waiters)
  end
end

local BoundedSemaphore = class("release get_value", "acquire")
sync.BoundedSemaphore = BoundedSemaphore
for name, f in pairs(Semaphore) do
  BoundedSemaphore[name] = BoundedSemaphore[name] or f
end

function BoundedSemaphore.new(_, n)
  return new_semaphore(BoundedSemaphore, n)
end

function BoundedSemaphore:release()
  if self.value >= self.initial then
    jobs.misuse("release: the semaphore was released too often")
  end
  self:give_back(jobs.client)
end

-- Condition ------------------------------------------------------------------

local Condition = class("release locked notify notify_all", "acquire wait")
sync.Condition = Condition

function Condition.new(server, lock)
  lock = lock == nil and RLock.new() or server:object_of(lock)
  if getmetatable(lock) ~= Lock and getmetatable(lock) ~= RLock then
    jobs.misuse("Condition: a Lock or RLock of this manager was expected")
  end
  return setmetatable({ lock = lock, waiters = jobs.queue() }, Condition)
end

function Condition:acquire(timeout) return self.lock:acquire(timeout) end

function Condition:release() return self.lock:release() end

function Condition:locked() return self.lock:locked() end

local function must_own(self, what)
  if self.lock.owner ~= jobs.client then
    jobs.misuse("%s: the condition's lock is not held", what)
  end
end

function Condition:wait(timeout)
  must_own(self, "wait")
  local deadline = jobs.deadline("wait", timeout)
  local depth = self.lock.depth
  self.lock:let_go()
  jobs.job.soft = true -- it comes back with the lock, whatever happens
  local woken = jobs.park(self.waiters, deadline)
  Lock.acquire(self.lock)
  self.lock.depth = depth
  jobs.on_cancel(nil)
  if woken then return true end
  return false, "timeout"
end

function Condition:notify(n)
  must_own(self, "notify")
  for _ = 1, count_of("notify", n) do
    if not jobs.wake(self.waiters) then return end
  end
end

function Condition:notify_all()
  must_own(self, "notify_all")
  jobs.wake_all(self.waiters)
end

-- Event ----------------------------------------------------------------------

local Event = class("set clear is_set", "wait")
sync.Event = Event

function Event.new(_)
  return setmetatable({ flag = false, waiters = jobs.queue() }, Event)
end

function Event:set()
  self.flag = true
  jobs.wake_all(self.waiters)
end

function Event:clear() self.flag = false end

function Event:is_set() return self.flag end

function Event:wait(timeout)
  local deadline = jobs.deadline("wait", timeout)
  if self.flag or jobs.park(self.waiters, deadline) then return true end
  return false, "timeout"
end

-- Barrier --------------------------------------------------------------------

local Barrier = class("reset abort get", "wait")
sync.Barrier = Barrier

local function new_round() return { n = 0, queue = jobs.queue() } end

function Barrier.new(_, parties, opts)
  if math.type(parties) ~= "integer" or parties < 1 then
    jobs.misuse("Barrier: parties must be a positive integer")
  end
  opts = options_of("Barrier", opts, { action = true, timeout = "number" })
  return setmetatable({ parties = parties, action = opts.action,
    timeout = opts.timeout, round = new_round() }, Barrier)
end

--- End the round: how it ended is what those who wait see.
local function end_round(self, how)
  local round = self.round
  round.how = how
  if how == "broken" then self.broken = true end
  self.round = new_round()
  jobs.wake_all(round.queue)
end

local function last_one(self, round)
  if self.action then
    local ok, err = pcall(self.action)
    if not ok then
      end_round(self, "broken")
      error(err, 0)
    end
  end
  end_round(self, "passed")
  return round.n
end

function Barrier:wait(timeout)
  if timeout == nil then timeout = self.timeout end
  local deadline = jobs.deadline("wait", timeout)
  if self.broken then return nil, "broken" end
  local round = self.round
  round.n = round.n + 1
  local place = round.n
  if place == self.parties then return last_one(self, round) end
  -- A party that is killed here breaks it for the others.
  local _ <close> = setmetatable({}, { __close = function()
    if not round.how then end_round(self, "broken") end
  end })
  local woken = jobs.park(round.queue, deadline)
  if not woken then return nil, "timeout" end
  if round.how == "broken" then return nil, "broken" end
  return place
end

function Barrier:reset()
  local round = self.round
  if round.n > 0 then end_round(self, "broken") end
  self.broken = nil
end

function Barrier:abort()
  end_round(self, "broken")
end

function Barrier:get(name)
  if name == "parties" then return self.parties end
  if name == "broken" then return self.broken or false end
  if name == "n_waiting" then return self.round.n end
end

return sync
