--- One wait for everything that can be waited for.
local core = require "mp.core"
local options = require "mp.options"

local wait = {}

--- The descriptors that tell when an item is ready.
local function descriptors_of(item)
  if math.type(item) == "integer" then return { item } end
  local kind = type(item)
  if kind == "userdata" or kind == "table" then
    local several = item._filenos
    if several then return several(item) end
    local fileno = item.fileno
    if fileno then return { fileno(item) } end
    local sentinel = item.sentinel
    if sentinel then return { sentinel } end
  end
  return nil
end

--- All descriptors, and which of them is whose.
local function descriptors(list)
  local fds, owner = {}, {}
  for i = 1, #list do
    local ok, some = pcall(descriptors_of, list[i])
    if not ok then error(("wait: list[%d]: %s"):format(i, some), 3) end
    if not some then
      error(("wait: list[%d] (a %s) cannot be waited for"):format(
        i, type(list[i])), 3)
    end
    for _, fd in ipairs(some) do
      fds[#fds + 1] = fd
      owner[#fds] = i
    end
  end
  return fds, owner
end

--- A descriptor may ring late, when the message is taken already: what has
-- a method `_ready` is asked.
local function is_ready(item)
  local kind = type(item)
  local ask = (kind == "userdata" or kind == "table") and item._ready
  return not ask or ask(item)
end

local LOOK = 0.25 -- seconds

--- How long to wait at a time: an item with `_silent` may be ready without a
-- ring, when somebody has died (its fileno then rings).
local function until_look(list, left)
  for i = 1, #list do
    if type(list[i]) == "userdata" and list[i]._silent then
      return math.min(left or LOOK, LOOK)
    end
  end
  return left
end

--- Wait until at least one of the items is ready.
--- A connection is ready when `recv` would not block, a queue when `get` would
--- not, a semaphore when it has a permit, an event when it is set, a process
--- when it has ended, a descriptor when it is readable.
---@param list any[] what has a descriptor, or is one
---@param timeout? number seconds; nil: for ever; <= 0: only look
---@return any[] ready the items that are, in the order of the list
function wait.wait(list, timeout)
  if type(list) ~= "table" then
    error("wait: a list was expected, not a " .. type(list), 2)
  end
  options.check_timeout("wait", 2, timeout)
  local from, left = core.now(), nil
  -- A descriptor that is asked for the first time is a change of the family.
  if not core.settle(timeout) then return {} end
  if timeout then left = timeout - (core.now() - from) end
  while true do
    local ready, last = {}, 0
    local fds, owner = descriptors(list)
    local found, bad = core.wait(fds, until_look(list, left))
    if not found then
      error(("wait: list[%d] is not an open descriptor"):format(owner[bad]), 2)
    end
    for _, index in ipairs(found) do
      local i = owner[index]
      if i ~= last and is_ready(list[i]) then ready[#ready + 1] = list[i] end
      last = i
    end
    left = timeout and timeout - (core.now() - from)
    if #ready > 0 or left and left <= 0 then return ready end
  end
end

return wait
