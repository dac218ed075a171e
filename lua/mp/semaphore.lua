--- Semaphores.
local core = require "mp.core"
local handle = require "mp.handle"
local options = require "mp.options"

local semaphore = {}

--- Call f(...) with a permit in hand; gives what it returns.  An error in it
--- releases the permit, and goes on with its traceback.
local function with(sem, f, ...)
  local _held <close> = core.sem_guard(sem)
  return f(...)
end

local function set_type(name, acquire, release)
  local mt = handle.metatable(name)
  mt.__index = handle.pollable({
    acquire = acquire,
    release = release,
    get_value = core.sem_value,
    locked = core.sem_locked,
    guard = core.sem_guard,
    with = with,
    _silent = true, -- a holder that had dropped its handle may die
  }, core.sem_fileno, core.sem_ready)
  mt.__close = core.sem_close

  function mt:__tostring()
    local ok, value = pcall(core.sem_value, self)
    return ("%s (%s): %p"):format(name, ok and value .. " left" or "closed",
      self)
  end
end

set_type("mp.Semaphore", core.sem_acquire, core.sem_release)
set_type("mp.BoundedSemaphore", core.bounded_acquire, core.bounded_release)

local function permits(what, n)
  if n == nil then return 1 end
  local value = math.type(n) and math.tointeger(n)
  if not value or value < 0 or value > 0x7fffffff then
    error(("%s: a number of permits from 0 to 2147483647 expected, not %s")
      :format(what, type(n) == "number" and tostring(n) or "a " .. type(n)), 3)
  end
  return value
end

local OPTIONS = { signalling = "boolean" }

--- A semaphore.  Permits that a process acquired and did not give back return
--- when it ends, until a process that holds none releases one.
---@param n? integer permits, default 1
---@param opts? {signalling: boolean} permits are nobody's from the start
---@return mp.Semaphore
function semaphore.Semaphore(n, opts)
  if opts ~= nil and type(opts) ~= "table" then
    error("Semaphore: options must be a table, not a " .. type(opts), 2)
  end
  options.check("Semaphore", opts or {}, OPTIONS)
  return core.semaphore(permits("Semaphore", n), opts and opts.signalling)
end

--- A semaphore that raises when it is released above its first value.
---@param n? integer permits, default 1
---@return mp.BoundedSemaphore
function semaphore.BoundedSemaphore(n)
  return core.bounded_semaphore(permits("BoundedSemaphore", n))
end

return semaphore
