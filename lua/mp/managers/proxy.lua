--- Proxies: values here that stand for objects in a manager's server.
--
-- A proxy is an empty table whose metatable asks the server; what it stands for
-- lies under the key STATE: link (how to reach the server), ident, kind, lease
-- (an end of a pipe: the object lives while anybody holds one), methods (of a
-- registered object).  In one process an object has one proxy.
local options = require "mp.options"

local proxy = { serving = nil } -- serving: the server that runs here

local STATE = {}

--- What a proxy stands for; nil for any other value.
---@return table? state
function proxy.state(value)
  return type(value) == "table" and rawget(value, STATE) or nil
end

-- What each kind can do ------------------------------------------------------

local function method(name)
  return function(self, ...)
    local state = self[STATE]
    return state.link:call(state.ident, name, ...)
  end
end

local function methods(names)
  local t = {}
  for name in names:gmatch("%S+") do t[name] = method(name) end
  return t
end

--- Gives back once, by itself at the end of its block.
local Guard = { __name = "mp.managers.Guard" }
Guard.__index = Guard

function Guard:release()
  local lock = self.lock
  self.lock = nil
  if lock then lock:release() end
end

Guard.__close = Guard.release

--- Hold the lock until the end of the block: local held <close> = lock:guard()
local function guard(self, timeout)
  local acquired, how = self:acquire(timeout)
  if not acquired then return nil, how end
  return setmetatable({ lock = self }, Guard), how
end

--- Call f with the lock held.
local function with(self, f, ...)
  options.check_callable("with", f)
  local _ <close> = guard(self)
  return f(...)
end

local function lock_methods(names)
  local t = methods(names)
  t.guard, t.with = guard, with
  return t
end

local condition = lock_methods "acquire release locked wait notify notify_all"

--- Wait until pred() is true; it is called here, with the lock held.
function condition:wait_for(pred, timeout)
  options.check_callable("wait_for", pred)
  local now = proxy.now
  local deadline = timeout and now() + timeout
  while true do
    local value = pred()
    if value then return value end
    local left = deadline and deadline - now()
    if left and left <= 0 then return false, "timeout" end
    self:wait(left)
  end
end

-- Where names are keys, methods begin with _.
local dict = {
  _value = method "value", _update = method "update", _pop = method "pop",
  _setdefault = method "setdefault", _keys = method "keys",
  _merge = method "merge", _clear = method "clear",
}

local list = methods "append extend insert pop sort clear"
list._value, list._update = method "value", method "update"

local METHODS = {
  dict = dict,
  list = list,
  set = methods "add discard has values clear",
  Namespace = { _value = method "value", _update = method "update" },
  Value = methods "add exchange compare_exchange",
  Array = methods "slice assign fill",
  Lock = lock_methods "acquire release locked",
  RLock = lock_methods "acquire release locked",
  Semaphore = lock_methods "acquire release get_value",
  BoundedSemaphore = lock_methods "acquire release get_value",
  Condition = condition,
  Event = methods "set clear is_set wait",
  Barrier = methods "wait reset abort",
  Queue = methods
    "put get put_nowait get_nowait qsize empty full close",
  JoinableQueue = methods
    "put get put_nowait get_nowait qsize empty full close task_done join",
  Pool = methods "apply map starmap close terminate join",
  AsyncResult = methods "get wait ready successful",
}

for _, name in ipairs { "apply_async", "map_async", "starmap_async" } do
  METHODS.Pool[name] = function(self, ...)
    local state = self[STATE]
    return state.link:make(state.ident, name, ...)
  end
end

METHODS.set._value = method "value"
METHODS.Array._value = method "value"

-- Kinds that are indexed: their fields are the server's.
local INDEXED = {
  dict = true, list = true, Namespace = true, Value = true, Array = true,
}

-- Metatables -----------------------------------------------------------------

local function describe(self)
  local state = self[STATE]
  return ("mp.managers.%s (%s, object %d)"):format(state.kind,
    state.link:where(), state.ident)
end

--- For a message: what makes the proxy anew where it arrives.
local function reduce(self)
  local state = self[STATE]
  return state.link:reduce(state)
end

local function collected(self)
  local state = rawget(self, STATE)
  if state and state.link.dropped then state.link:dropped(state) end
end

local function base(kind)
  return {
    __name = "mp.managers." .. kind, __tostring = describe,
    __reduce = reduce, __gc = collected, __metatable = "mp.managers." .. kind,
  }
end

local function snapshot(self)
  local state = self[STATE]
  return next, state.link:call(state.ident, "value"), nil
end

local function indexed(kind, mt)
  local own = METHODS[kind]
  function mt:__index(key)
    local state = rawget(self, STATE)
    local f = own[key]
    if f then return f end
    return state.link:call(state.ident, "get", key)
  end
  function mt:__newindex(key, value)
    if own[key] then
      error(("%s: '%s' is a method"):format(kind, tostring(key)), 2)
    end
    local state = rawget(self, STATE)
    return state.link:call(state.ident, "set", key, value)
  end
  if kind ~= "Value" then mt.__pairs = snapshot end
end

local FIELDS = {
  Barrier = { parties = true, broken = true, n_waiting = true },
}

local function plain(kind, mt)
  local own = METHODS[kind]
  mt.__index = own
  local fields = FIELDS[kind]
  if fields then
    function mt:__index(key)
      if not fields[key] then return own[key] end
      local state = rawget(self, STATE)
      return state.link:call(state.ident, "get", key)
    end
  end
  function mt.__newindex(_, key)
    error(("mp.managers.%s: cannot set '%s'"):format(kind, tostring(key)), 2)
  end
end

--- Objects of registered types: their methods are known by name, all else is a
--- field.
local function object(mt)
  function mt:__index(key)
    local state = rawget(self, STATE)
    if not state.methods[key] then
      return state.link:call(state.ident, "get", key)
    end
    local stub = state.stubs[key]
    if not stub then
      stub = function(this, ...)
        local s = this[STATE]
        return s.link:call(s.ident, "call", key, ...)
      end
      state.stubs[key] = stub
    end
    return stub
  end
  function mt:__newindex(key, value)
    local state = rawget(self, STATE)
    return state.link:call(state.ident, "set", key, value)
  end
  function mt:__call(...)
    local state = rawget(self, STATE)
    return state.link:call(state.ident, "apply", ...)
  end
end

local metatables = {}

local function metatable(kind)
  local mt = metatables[kind]
  if mt then return mt end
  mt = base(kind)
  if INDEXED[kind] then
    indexed(kind, mt)
  elseif METHODS[kind] then
    plain(kind, mt)
  else
    object(mt)
  end
  if not METHODS[kind] or INDEXED[kind] or kind == "set" then
    function mt:__len()
      local state = rawget(self, STATE)
      return state.link:call(state.ident, "len")
    end
  end
  metatables[kind] = mt
  return mt
end

for kind in pairs(METHODS) do metatable(kind) end

--- The proxy of an object here.
---@param link table
---@param ident integer
---@param kind string
---@param lease? mp.Connection
---@param names? table<string, true> methods of a registered object
function proxy.make(link, ident, kind, lease, names)
  local known = link.proxies[ident]
  if known then return known end
  local it = setmetatable({ [STATE] = {
    link = link, ident = ident, kind = kind, lease = lease,
    methods = names, stubs = names and {},
  } }, metatable(kind))
  link.proxies[ident] = it
  return it
end

--- The proxy of what a call has made: its parts, or itself through a socket.
function proxy.made(link, ident, kind, lease, names)
  if type(ident) == "table" then return ident end
  return proxy.make(link, ident, kind, lease, names)
end

return proxy
