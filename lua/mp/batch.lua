--- From lists and iterators to items of a crew, and back.
--
-- Tasks travel in runs.  How long a run is, unless `chunksize` says: what is
-- left is dealt out in ever smaller parts, so that the workers end together,
-- and no run takes much longer than TARGET, or much less than SHORT, by what
-- tasks of this function took so far.
local crews = require "mp.crew"
local error_types = require "mp.error"
local job = require "mp.job"
local proc = require "mp.proc"
local progress = require "mp.progress"

local batch = {}

local TARGET = 0.01 -- seconds of work in a run
local SHORT = 0.0002 -- what takes less is not worth a run of its own
local ITERATED = 0.002 -- the same when results are wanted one by one
local MOST = crews.MOST
local AHEAD = 4 -- runs under way, a worker
local WINDOW = 512 -- runs under way at most, when workers are fast

-- A run of long strings ends where it is heavy, and few such runs are under
-- way: their shared memory is then used again and again, not touched for the
-- first time, which takes several times as long as copying.
local LONG = 4096 -- bytes of a string
local HEAVY = 0x40000 -- bytes of a run
local HEAVY_AHEAD = 2 -- runs under way, a worker

--- Queue an item of a job.
function batch.submit(self, kind, first, n, payload, from)
  return self.crew:submit(self, self.entry, kind, first, n, payload, from)
end

local function run_length(self, left, target)
  local n = (left + AHEAD * self.crew.size - 1) // (AHEAD * self.crew.size)
  local seconds = self.entry.seconds
  if seconds and seconds > 0 then
    n = math.min(n, math.ceil(target / seconds))
    n = math.max(n, math.floor(SHORT / seconds))
  end
  return math.max(1, math.min(n, MOST))
end

--- How many of the next n elements make a run that is not too heavy, and is it
--- heavy?  Long strings weigh; nobody looks at lists of anything else.
local function weigh(list, first, n)
  local bytes = 0
  for i = first, first + n - 1 do
    local value = list[i]
    if type(value) ~= "string" or #value < LONG then break end
    bytes = bytes + #value
    if bytes >= HEAVY then return i - first + 1, true end
  end
  return n, false
end

--- Give the crew the next n elements of a list.
local function deal(self, kind, list, first, n)
  if n > 1 and batch.submit(self, kind, first, n, list, first) then return end
  for i = first, first + n - 1 do
    if kind == crews.RUN then
      batch.submit(self, crews.ONE, i, 1, list[i])
    else
      batch.submit(self, kind, i, 1, list, i)
    end
  end
end

--- A function that deals out a list (raw), until `window` items are under way.
---@param chunksize? integer
---@return fun(window: integer)
function batch.of_list(self, kind, list, n, chunksize)
  local next_one = 1
  local crew, entry = self.crew, self.entry
  local few = HEAVY_AHEAD * crew.size
  if chunksize == 1 and kind == crews.RUN and entry.id
    and not select(2, weigh(list, 1, 1)) then
    return function(window)
      while next_one <= n and crew.items.pending <= window // 2 do
        local room = window - crew.items.pending
        local length = math.min(room, n - next_one + 1, MOST)
        local first = next_one
        next_one = first + length
        crew:submit_each(self, entry, list, first, length)
      end
    end
  end
  return function(window)
    while next_one <= n and crew.items.pending < window do
      local left = n - next_one + 1
      local length = chunksize or run_length(self, left, TARGET)
      length = math.min(length, left, MOST)
      local lighter, is_heavy = weigh(list, next_one, length)
      if is_heavy and crew.items.pending >= few and window < math.huge then
        return
      end
      if not chunksize then length = lighter end
      local first = next_one
      next_one = first + length
      deal(self, kind, list, first, length)
    end
  end
end

--- Nobody waits for the job any more.
function batch.drop(self)
  self.dropped, self.callback, self.error_callback = true, nil, nil
  self.crew:revoke(self)
end

--- Deal out and take in until the job is ready or its time is up.  What is
--- under way grows while the workers nearly run out of it.
function batch.run(self, feed, deadline, label)
  local crew = self.crew
  local window = AHEAD * crew.size + 2
  local display = label and progress.open(label, self, crew)
  local _ <close> = display
  while not self.ready_now do
    if crew.items.pending <= crew.size then
      window = math.min(2 * window, WINDOW)
    end
    if deadline and not proc.settle(job.left(deadline)) then return end
    feed(window)
    if self.ready_now then break end
    local left = job.left(deadline)
    if left and left <= 0 then
      crew:pump(0)
      return
    end
    if display then
      display:show()
      left = math.min(left or math.huge, display.period)
    end
    crew:pump(left)
    for _ = 1, window // 2 do
      if self.ready_now or not crew:pump(0) then break end
    end
  end
end

-- Iterators

--- The elements of a list or an iterator, one a call: more?, element.
local function reader(source)
  if type(source) == "table" and not (getmetatable(source) or {}).__call then
    local i, n = 0, source.n or #source
    return function()
      i = i + 1
      if i <= n then return true, source[i] end
    end, n
  end
  return function()
    local value = source()
    if value ~= nil then return true, value end
  end
end

local Iteration = job.derive(job.Job, nil)

function Iteration:_deliver(first, list, n, failures)
  self.finished = self.finished + n
  for i = 1, n do
    local place, err = first + i - 1, failures and failures[i]
    if err then self.failed = self.failed + 1 end
    self.results[place] = list[i]
    self.state[place] = err and { err } or true
    if not self.ordered then
      self.came = self.came + 1
      self.order[self.came] = place
    end
  end
end

function Iteration:_one(place, value)
  self:_deliver(place, { value }, 1)
end

function Iteration:_fail(first, n, err)
  for place = first, first + n - 1 do
    self:_deliver(place, {}, 1, { err })
  end
end

function Iteration:_revoked(_, n)
  self.read = self.read - n
end

--- The length of the next run.
local function stride(self)
  if self.chunksize then return math.min(self.chunksize, MOST) end
  local seconds = self.entry.seconds
  if not seconds then return 1 end
  if seconds <= 0 then return 256 end
  return math.max(1, math.min(math.ceil(ITERATED / seconds), 1024))
end

--- No more is read; what was is queued.
local function end_reading(self)
  self.ended = true
  self.crew:reads(self, nil)
end

--- At most n more elements, and how many.  An error of the source is raised in
--- its turn, behind the results of what came before it.
local function read(self, n)
  local list = {}
  for i = 1, n do
    local ok, more, value = pcall(self.next_value)
    if not ok then
      if error_types.interrupted(more) then error(more, 0) end
      self.cut = { more }
    end
    if not ok or not more then
      self.ended = true
      return list, i - 1
    end
    list[i] = value
  end
  return list, n
end

--- An element that cannot be sent is its own task's failure.
local function deal_iterated(self, first, value)
  local ok, err = pcall(batch.submit, self, crews.ONE, first, 1, value)
  if ok then return end
  local crew = self.crew
  if crew.broken or crew.ending or error_types.interrupted(err) then
    error(err, 0)
  end
  self:_fail(first, 1, err)
end

--- Read ahead while fewer than AHEAD runs a worker are read and not given.
local function feed_iteration(self)
  local crew = self.crew
  local ahead = AHEAD * crew.size
  while not self.ended do
    if crew.broken or crew.ending then
      self.cut = { crew.broken or crew.end_error }
      return end_reading(self)
    end
    local length = stride(self)
    local room = (self.buffersize or ahead * length) - (self.read - self.given)
    if room <= 0 then return end
    local first, list, n = self.read + 1, read(self, math.min(length, room))
    self.read = self.read + n
    if n < 2 or not batch.submit(self, crews.RUN, first, n, list, 1) then
      for i = 1, n do deal_iterated(self, first + i - 1, list[i]) end
    end
    if self.ended then end_reading(self) end
  end
end

--- Results in order come by their place, others as they have come.
local function next_place(self)
  if self.ordered then
    local place = self.given + 1
    return self.state[place] and place
  end
  local place = self.order[self.taken + 1]
  if not place then return nil end
  self.order[self.taken + 1] = nil
  self.taken = self.taken + 1
  return place
end

local function give(self, place)
  local state, result = self.state[place], self.results[place]
  self.state[place], self.results[place] = nil, nil
  self.given = self.given + 1
  if state ~= true then error(state[1], 0) end
  return place, result
end

local function close_iteration(self)
  if self.closed then return end
  self.closed, self.pool = true, nil
  end_reading(self)
  batch.drop(self)
  if self.display then self.display:close() end
end

local function step(self)
  local deadline = self.deadline or job.deadline(self.what, self.timeout)
  while not self.closed do
    if deadline and not proc.settle(job.left(deadline)) then
      error("timeout", 0)
    end
    feed_iteration(self)
    local place = next_place(self)
    if place then
      if self.display then self.display:show() end
      return give(self, place)
    end
    if self.given == self.read and self.ended then
      close_iteration(self)
      if self.cut then error(self.cut[1], 0) end
      return nil
    end
    local left = job.left(deadline)
    if left and left <= 0 then error("timeout", 0) end
    if self.display then
      left = math.min(left or math.huge, self.display.period)
    end
    self.crew:pump(left)
  end
  return nil
end

--- The iterator of imap: a function, and what ends it with the loop.
function batch.iterate(pool, what, f, source, opts, ordered)
  local self = job.new(Iteration, pool, what, nil, nil)
  local crew = self.crew
  self.entry = crew:use(f, true)
  self.next_value, self.n = reader(source)
  self.ordered, self.order, self.came, self.taken = ordered, {}, 0, 0
  self.state, self.read, self.given = {}, 0, 0
  self.chunksize, self.buffersize = opts.chunksize, opts.buffersize
  self.timeout, self.deadline = opts.timeout, opts.deadline
  if opts.progress then
    self.display = progress.open(opts.progress, self, crew)
  end
  local closer = setmetatable({}, { __close = function()
    close_iteration(self)
  end })
  crew:reads(self, true)
  -- What would have to wait is for the first step, which has a deadline.
  if not (self.deadline or self.timeout) or proc.settle(0) then
    feed_iteration(self)
  end
  return function() return step(self) end, nil, nil, closer
end

return batch
