--- Start methods: which, with what program, and contexts bound to one.
local error_types = require "mp.error"
local options = require "mp.options"
local proc = require "mp.proc"

local context = {}

---@alias mp.StartMethod "fork"|"spawn"|"forkserver"|"thread"
local METHODS = { "fork", "spawn", "forkserver", "thread" }
local KNOWN = {}
for _, name in ipairs(METHODS) do KNOWN[name] = true end

local function check(what, name)
  if not KNOWN[name] then
    error_types.blame(("%s: unknown start method '%s' (valid: %s)"):format(
      what, tostring(name), table.concat(METHODS, ", ")))
  end
  return name
end

---@return mp.StartMethod[]
function context.get_all_start_methods()
  return { table.unpack(METHODS) }
end

local chosen

--- The method that `Process` uses: the one that was set, else fork in a
--- process with one thread and forkserver in one with more.
---@return mp.StartMethod
function context.get_start_method()
  return chosen or (proc.single_threaded() and "fork" or "forkserver")
end

--- Choose the method; raises when it was chosen before, unless `force`.
---@param name mp.StartMethod
---@param force? boolean
function context.set_start_method(name, force)
  check("set_start_method", name)
  if chosen and not force then
    error("set_start_method: the start method is already '" .. chosen .. "'",
      2)
  end
  chosen = name
end

--- The program that spawn and forkserver run; default: the interpreter that
--- runs, in another host the `luamp` beside the module or on PATH.
---@param path string
function context.set_executable(path)
  if type(path) ~= "string" then
    error("set_executable: path must be a string, not a " .. type(path), 2)
  end
  proc.executable = path
end

--- Modules that the fork server loads before it forks; ones that cannot be
--- loaded are left out.
---@param modules string[]
function context.set_forkserver_preload(modules)
  if type(modules) ~= "table" then
    error("set_forkserver_preload: a list of names was expected", 2)
  end
  for i, name in ipairs(modules) do
    if type(name) ~= "string" then
      error(("set_forkserver_preload: modules[%d] must be a string, not a %s")
        :format(i, type(name)), 2)
    end
  end
  proc.preload = { table.unpack(modules) }
end

local bound = {}

--- The API `mp` with `Process` bound to one method.
---@param mp table
---@param name? mp.StartMethod
---@return mp.Context
function context.bind(mp, name)
  if name == nil then return mp end
  check("get_context", name)
  local ctx = bound[name]
  if not ctx then
    ctx = setmetatable({
      Process = proc.Process:extend { _method = name, _bound = true },
      get_start_method = function() return name end,
      Pool = function(first) return require "mp.pool"._bound(ctx, first) end,
    }, { __index = mp, __name = "mp.Context" })
    bound[name] = ctx
  end
  return ctx
end

context.callable = options.callable
return context
