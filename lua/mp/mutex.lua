--- Locks.
local core = require "mp.core"
local handle = require "mp.handle"
local options = require "mp.options"

local mutex = {}

--- Call f(...) with the lock held; gives what it returns.  An error in it
--- releases the lock, and goes on with its traceback.
local function with(lock, f, ...)
  options.check_callable("with", f)
  local _held <close> = lock:guard()
  return f(...)
end

--- The methods are C functions in the table that __index is: nothing between
--- a script and the core.
local function set_type(name, methods)
  local mt = handle.metatable(name)
  methods.locked = core.mutex_locked
  methods.guard = core.mutex_guard
  methods.with = with
  mt.__index = methods
  mt.__close = core.mutex_close

  function mt:__tostring()
    local ok, holder, number = pcall(core.mutex_holder, self)
    if not ok then return ("%s (closed): %p"):format(name, self) end
    return ("%s %d (%s): %p"):format(name, number,
      holder and "held by " .. holder or "free", self)
  end
end

set_type("mp.Lock",
  { acquire = core.lock_acquire, release = core.lock_release })
set_type("mp.RLock",
  { acquire = core.rlock_acquire, release = core.rlock_release })

--- A lock.  Any process may release it.
---@return mp.Lock
function mutex.Lock()
  return core.lock()
end

--- A lock that its owner may acquire again; only the owner may release it.
---@return mp.RLock
function mutex.RLock()
  return core.rlock()
end

return mutex
