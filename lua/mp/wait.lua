--- One wait for everything that can be waited for.
local core = require "mp.core"

local wait = {}

--- The descriptor that tells when an item is ready.
local function descriptor(item)
  if math.type(item) == "integer" then return item end
  local kind = type(item)
  if kind == "userdata" or kind == "table" then
    local fileno = item.fileno
    if fileno then return fileno(item) end
    local sentinel = item.sentinel
    if sentinel then return sentinel end
  end
  return nil
end

local function descriptors(list)
  local fds = {}
  for i = 1, #list do
    local ok, fd = pcall(descriptor, list[i])
    if not ok then error(("wait: list[%d]: %s"):format(i, fd), 3) end
    fds[i] = fd or error(
      ("wait: list[%d] (a %s) cannot be waited for"):format(i, type(list[i])),
      3)
  end
  return fds
end

--- A descriptor may ring late, when the message is taken already: what has
-- a method `_ready` is asked.
local function is_ready(item)
  local kind = type(item)
  local ask = (kind == "userdata" or kind == "table") and item._ready
  return not ask or ask(item)
end

--- Wait until at least one of the items is ready.
--- A connection is ready when `recv` would not block, a queue when `get` would
--- not, a process when it has ended, a descriptor when it is readable.
---@param list (mp.Connection|mp.Queue|mp.Event|mp.Process|integer)[]
---@param timeout? number seconds; nil: for ever; <= 0: only look
---@return any[] ready the items that are, in the order of the list
function wait.wait(list, timeout)
  if type(list) ~= "table" then
    error("wait: a list was expected, not a " .. type(list), 2)
  end
  local from, left = core.now(), timeout
  while true do
    local ready = {}
    for _, index in ipairs(core.wait(descriptors(list), left)) do
      local item = list[index]
      if is_ready(item) then ready[#ready + 1] = item end
    end
    left = timeout and timeout - (core.now() - from)
    if #ready > 0 or left and left <= 0 then return ready end
  end
end

return wait
