--- Option tables: every name is known, or the message lists those that are.
local error_types = require "mp.error"

local options = {}

--- What is wrong with a table of options, or nil.
---@param what string the function, for the message
---@param given table
---@param valid table<string, true|string> name -> true, or its Lua type
---@return string?
function options.fault(what, given, valid)
  if type(given) ~= "table" then
    return ("%s: options must be a table, not a %s"):format(what, type(given))
  end
  for name, value in pairs(given) do
    local kind = valid[name]
    if not kind then
      local names = {}
      for known in pairs(valid) do names[#names + 1] = known end
      table.sort(names)
      return ("%s: unknown option '%s' (valid: %s)"):format(
        what, tostring(name), table.concat(names, ", "))
    end
    if kind ~= true and type(value) ~= kind then
      return ("%s: option '%s' must be a %s, not a %s"):format(
        what, name, kind, type(value))
    end
  end
end

--- Raise what is wrong with them, where this library was called.
function options.check(what, given, valid)
  local fault = options.fault(what, given, valid)
  if fault then error_types.blame(fault) end
end

--- Can the value be called?
function options.callable(value)
  if type(value) == "function" then return true end
  local mt = getmetatable(value)
  return type(mt) == "table" and mt.__call ~= nil
end

--- Raise, where this library was called, what is no function.
---@param what string
---@param value any
function options.check_callable(what, value)
  if not options.callable(value) then
    error_types.blame(("%s: a function was expected, not a %s"):format(what,
      type(value)))
  end
end

--- The same for what is no timeout, argument n, as the core says it.
---@param what string
---@param n integer
---@param value any
function options.check_timeout(what, n, value)
  if value == nil or math.type(value) and value == value then return end
  local why = math.type(value) and "timeout is not a number (NaN)"
    or "number (seconds) or nil expected, got " .. type(value)
  error_types.blame(("bad argument #%d to '%s' (%s)"):format(n, what, why))
end

return options
