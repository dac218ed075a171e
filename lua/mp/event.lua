--- Events: a flag that processes wait for.
local core = require "mp.core"
local handle = require "mp.handle"

local event = {}

--- The methods; those of the core are what Lua calls.
---@class mp.Event
local Event = handle.pollable({
  set = core.event_set,
  clear = core.event_clear,
  is_set = core.event_is_set,
  wait = core.event_wait,
}, core.event_fileno, core.event_ready)

local mt = handle.metatable("mp.Event")
mt.__index = Event
mt.__close = core.event_close

function mt:__tostring()
  local ok, set = pcall(core.event_is_set, self)
  return ("mp.Event (%s): %p"):format(
    not ok and "closed" or set and "set" or "not set", self)
end

--- An event, not set.
---@return mp.Event
function event.Event()
  return core.event()
end

return event
