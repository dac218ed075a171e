--- Barriers.
local core = require "mp.core"
local error_types = require "mp.error"
local handle = require "mp.handle"
local options = require "mp.options"

local barrier = {}

local Barrier = {
  wait = core.barrier_wait,
  reset = core.barrier_reset,
  abort = core.barrier_abort,
}

local ATTRIBUTES = {
  parties = core.barrier_parties,
  n_waiting = core.barrier_waiting,
  broken = core.barrier_broken,
}

local mt = handle.metatable "mp.Barrier"
mt.__close = core.barrier_close

function mt:__index(key)
  local method = Barrier[key]
  if method then return method end
  local attribute = ATTRIBUTES[key]
  return attribute and attribute(self)
end

function mt:__tostring()
  local ok, waiting = pcall(core.barrier_waiting, self)
  local state = not ok and "closed"
    or core.barrier_broken(self) and "broken"
    or ("%d of %d waiting"):format(waiting, core.barrier_parties(self))
  return ("mp.Barrier (%s): %p"):format(state, self)
end

local OPTIONS = { action = true, timeout = "number" }

--- A barrier: `wait` returns when as many as `parties` have called it.
---@param parties integer
---@param opts? {action: function, timeout: number} action: called by the last
--- to come, before all go on; other processes get it as it is now.
--- timeout: of a wait without one.
---@return mp.Barrier
function barrier.Barrier(parties, opts)
  local n = math.type(parties) and math.tointeger(parties)
  if not n or n < 1 or n > 65535 then
    error(("Barrier: a number of parties from 1 to 65535 expected, not %s")
      :format(math.type(parties) and tostring(parties)
        or "a " .. type(parties)), 2)
  end
  if opts == nil then return core.barrier(n) end
  if type(opts) ~= "table" then
    error("Barrier: options must be a table, not a " .. type(opts), 2)
  end
  options.check("Barrier", opts, OPTIONS)
  if opts.timeout ~= opts.timeout then
    error("Barrier: timeout is not a number (NaN)", 2)
  end
  if opts.action ~= nil and not options.callable(opts.action) then
    error("Barrier: action must be a function, not a " .. type(opts.action), 2)
  end
  local ok, made = pcall(core.barrier, n, opts.timeout, opts.action)
  if not ok then error_types.blame_as("Barrier", made, "Barrier") end
  return made
end

return barrier
