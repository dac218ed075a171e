--- What the Lua types of objects have in common.
local core = require "mp.core"

local handle = {}

--- The metatable of a type of the binding's; its values take no fields.
---@param name string
---@return table
function handle.metatable(name)
  local mt = core.metatable(name)
  function mt.__newindex(_, key)
    error(("%s: cannot set '%s'"):format(name, tostring(key)), 2)
  end
  return mt
end

local function events() return "r" end
local function timeout() return nil end

--- Add what event loops look for.
---@param methods table
---@param fileno function the descriptor
---@param ready function is something there, whatever the descriptor says?
---@return table methods
function handle.pollable(methods, fileno, ready)
  methods.fileno = fileno
  methods._ready = ready -- mp.wait
  methods.getfd, methods.dirty = fileno, ready -- luasocket, copas
  methods.pollfd, methods.events, methods.timeout = fileno, events, timeout
  return methods -- the line above: cqueues
end

return handle
