--- The public table of luamp: processes as first-class values.
-- What a name does is said where it is made: proc.lua (processes),
-- context.lua (start methods), connection.lua (pipes), queue.lua, cell.lua
-- (shared values), wait.lua, codec.lua.
local barrier = require "mp.barrier"
local cell = require "mp.cell"
local codec = require "mp.codec"
local condition = require "mp.condition"
local connection = require "mp.connection"
local context = require "mp.context"
local error_types = require "mp.error"
local event = require "mp.event"
local mutex = require "mp.mutex"
local proc = require "mp.proc"
local queue = require "mp.queue"
local shared_memory = require "mp.shared_memory"
local semaphore = require "mp.semaphore"
local wait = require "mp.wait"

local mp = {
  _VERSION = "luamp " .. proc.version(),

  Process = proc.Process,
  current_process = proc.current_process,
  parent_process = proc.parent_process,
  active_children = proc.active_children,
  cpu_count = proc.cpu_count,
  process_cpu_count = proc.process_cpu_count,

  get_all_start_methods = context.get_all_start_methods,
  get_start_method = context.get_start_method,
  set_start_method = context.set_start_method,
  set_executable = context.set_executable,
  set_forkserver_preload = context.set_forkserver_preload,

  Pipe = connection.Pipe,
  connection = connection,
  wait = wait.wait,

  Queue = queue.Queue,
  JoinableQueue = queue.JoinableQueue,
  SimpleQueue = queue.SimpleQueue,
  shared_memory = shared_memory,
  Lock = mutex.Lock,
  RLock = mutex.RLock,
  Event = event.Event,
  Value = cell.Value,
  Array = cell.Array,
  RawValue = cell.RawValue,
  RawArray = cell.RawArray,
  Struct = cell.Struct,
  Semaphore = semaphore.Semaphore,
  BoundedSemaphore = semaphore.BoundedSemaphore,
  Condition = condition.Condition,
  Barrier = barrier.Barrier,

  encode = codec.encode,
  decode = codec.decode,

  RemoteError = error_types.RemoteError,
  ProcessDied = error_types.ProcessDied,
  BrokenPool = error_types.BrokenPool,
}

-- What not every program needs is loaded when it is first named.
local MODULES = {
  pool = "mp.pool", futures = "mp.futures", dummy = "mp.dummy",
  managers = "mp.managers", pickle = "mp.pickle",
}
local MEMBERS = {
  Pool = "mp.pool", Manager = "mp.managers",
  get_logger = "mp.log", log_to_stderr = "mp.log",
}

setmetatable(mp, { __index = function(self, name)
  local value
  if MODULES[name] then
    value = require(MODULES[name])
  elseif MEMBERS[name] then
    value = require(MEMBERS[name])[name]
  end
  rawset(self, name, value)
  return value
end })

--- The same API bound to one start method.
---@param name? mp.StartMethod default: the default method
---@return mp.Context
function mp.get_context(name)
  return context.bind(mp, name)
end

return mp
