--- Events: a flag that processes wait for.
local core = require "mp.core"

local event = {}

--- The methods; those of the core are what Lua calls.
---@class mp.Event
local Event = {
  set = core.event_set,
  clear = core.event_clear,
  is_set = core.event_is_set,
  wait = core.event_wait,
  fileno = core.event_fileno,
  -- as luasocket's select, copas and cqueues look for it
  getfd = core.event_fileno,
  pollfd = core.event_fileno,
  _ready = core.event_ready,
  -- Is it up without select telling so?  (luasocket, copas)
  dirty = core.event_ready,
}

--- What to wait for.  (cqueues)
function Event:events() -- luacheck: ignore self
  return "r"
end

--- When to look again at the latest: never.  (cqueues)
function Event:timeout() -- luacheck: ignore self
  return nil
end

local mt = core.metatable("mp.Event")
mt.__index = Event
mt.__close = core.event_close

function mt.__newindex(_, key)
  error(("mp.Event: cannot set '%s'"):format(tostring(key)), 2)
end

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
