--- Conditions.
local core = require "mp.core"
local error_types = require "mp.error"
local handle = require "mp.handle"
local mutex = require "mp.mutex"
local options = require "mp.options"

local condition = {}

local Condition = {
  acquire = core.cond_acquire,
  release = core.cond_release,
  wait = core.cond_wait,
  notify = core.cond_notify,
  notify_all = core.cond_notify_all,
}

--- Acquire, and release at the end of the block:
--- `local held <close> = cond:guard()`
function Condition:guard(timeout)
  return core.cond_lock(self):guard(timeout)
end

--- Call f(...) with the lock held; gives what it returns.
function Condition:with(f, ...)
  options.check_callable("with", f)
  local _held <close> = core.cond_lock(self):guard()
  return f(...)
end

--- Does somebody hold the lock?
function Condition:locked()
  return core.cond_lock(self):locked()
end

--- Wait until pred() is true.
---@param pred function called with the lock held
---@param timeout? number seconds
---@return any result of pred; or false, "timeout"
---@return string? "abandoned"
function Condition:wait_for(pred, timeout)
  options.check_callable("wait_for", pred)
  options.check_timeout("wait_for", 2, timeout)
  local from, left, abandoned = core.now(), timeout, nil
  while true do
    local result = pred()
    if result then return result, abandoned end
    if left and left <= 0 then return false, "timeout", abandoned end
    local ok, why, third = core.cond_wait(self, left)
    abandoned = abandoned or third or ok and why or nil
    left = timeout and timeout - (core.now() - from)
  end
end

local mt = handle.metatable "mp.Condition"
mt.__index = Condition
mt.__close = core.cond_close

function mt:__tostring()
  local ok, lock = pcall(core.cond_lock, self)
  return ("mp.Condition (%s): %p"):format(ok and tostring(lock) or "closed",
    self)
end

--- A condition over a lock; several may share one.
---@param lock? mp.Lock|mp.RLock default: an RLock of its own
---@return mp.Condition
function condition.Condition(lock)
  local ok, made = pcall(core.condition, lock == nil and mutex.RLock() or lock)
  if not ok then error_types.blame_as("Condition", made, "Condition") end
  return made
end

return condition
