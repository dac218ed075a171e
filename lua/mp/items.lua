--- The items of a crew that are under way: their slots, and what numbers they
-- have in the queue.
local error_types = require "mp.error"
local worker_main = require "mp.worker"

local ONE, CALL, EACH = worker_main.ONE, worker_main.CALL, worker_main.EACH

local Items = {}
Items.__index = Items

local items = {}

--- How many tasks a worker has once it has taken it, but for a series.
function items.tasks_of(item)
  local kind = item.kind
  return (kind == ONE or kind == CALL) and 1 or item.n
end

local function task_path(path, item)
  if not item.entry.id then
    local n
    path, n = path:gsub("^value%[1%]", "function")
    if n > 0 then return path end
    path = path:gsub("^value%[2%]", "value")
  end
  if item.kind == CALL then return (path:gsub("^value", "args")) end
  if item.kind == ONE then
    local root = item.job.arguments and "args[%d]" or "list[%d]"
    return (path:gsub("^value", root:format(item.first)))
  end
  return (path:gsub("^value%[(%d+)%]", function(i)
    return ("list[%d]"):format(item.first + i - 1)
  end))
end

--- What cannot be sent: the path names the task, not the message, and before it
--- stands which method of a pool it was, called where.
function items.rename(err, item)
  if type(err) ~= "string" or not err:find("^value[%[.,:]") then
    return err
  end
  return ("%s%s: %s"):format(error_types.where(), item.job.what,
    task_path(err, item))
end

--- An item that is not under way yet.
function Items:new(job, entry, kind, first, n)
  local spare = self.spare
  local item = spare[#spare] or {}
  spare[#spare] = nil
  item.job, item.entry, item.kind, item.first = job, entry, kind, first
  item.n, item.at = n, 1
  return item
end

--- A slot for the next one: nobody else gets it, so that the replies to one
--- whose owner was interrupted (Ctrl-C, between any two instructions) before it
--- was added are nobody's.
function Items:slot()
  local free = self.free
  local slot = free[#free]
  if slot then
    free[#free] = nil
    return slot
  end
  slot = #self.list + 1
  if slot > worker_main.SLOT then
    error(("the pool has %d pending items, and takes more only when some are "
      .. "done: use a larger chunksize, or imap"):format(worker_main.SLOT), 0)
  end
  self.list[slot] = false
  return slot
end

--- Nothing went to the queue for that slot.
function Items:unused(slot)
  self.free[#self.free + 1] = slot
end

--- It is under way, in its slot, and waits for n replies.
---@param number integer its first, in the queue
function Items:add(item, slot, number, n)
  item.slot, item.number, item.left = slot, number, n
  self.list[slot] = item -- whole
  item.entry.pending = item.entry.pending + n
  self.pending = self.pending + n
end

--- So many of the replies have come, or will not come.
function Items:settle(item, n)
  local slot, spare = item.slot, self.spare
  self.pending = self.pending - n
  item.entry.pending = item.entry.pending - n
  item.left = item.left - n
  if item.left > 0 then return end
  self.list[slot] = false
  self.free[#self.free + 1] = slot
  item.job, item.payload, item.done = nil, nil, nil
  if #spare < 1024 then spare[#spare + 1] = item end
end

--- Its last number in the queue.
local function last_number(item)
  return item.number + (item.kind == EACH and item.n or 1) - 1
end

--- The item of that number, and which of its own numbers it is.
function Items:find(number)
  for _, item in ipairs(self.list) do
    local i = item and number - item.number & 0xffffffff
    if i and i <= last_number(item) - item.number then return item, i + 1 end
  end
end

local function by_number(a, b) return a.number < b.number end

--- Have all of them struck out whose number `void` gives back.
---@param job? table only those that are this job's
---@param void fun(from, to): integer[]
---@param drop fun(item, number)
function Items:revoke(job, void, drop)
  local mine = {}
  for _, item in ipairs(self.list) do
    if item and (not job or item.job == job) then mine[#mine + 1] = item end
  end
  table.sort(mine, by_number)
  local i = 1
  while i <= #mine do
    local last = i
    while mine[last + 1]
      and mine[last + 1].number == last_number(mine[last]) + 1 do
      last = last + 1
    end
    for _, number in ipairs(void(mine[i].number, last_number(mine[last]))) do
      while number > last_number(mine[i]) do i = i + 1 end
      drop(mine[i], number)
    end
    i = last + 1
  end
end

--- None is under way any more.
---@return table[] those that were
function Items:clear()
  local were = {}
  for _, item in ipairs(self.list) do
    if item then were[#were + 1] = item end
  end
  self.list, self.free, self.spare, self.pending = {}, {}, {}, 0
  return were
end

function items.new()
  return setmetatable({ list = {}, free = {}, spare = {}, pending = 0 }, Items)
end

return items
