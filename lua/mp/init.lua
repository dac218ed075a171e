--- The public table of luamp: processes as first-class values.
-- What a name does is said where it is made: proc.lua (processes),
-- context.lua (start methods), connection.lua (pipes), queue.lua, cell.lua
-- (shared values), wait.lua, codec.lua.
local context = require "mp.context"
local error_types = require "mp.error"
local later = require "mp.later"
local proc = require "mp.proc"

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

  RemoteError = error_types.RemoteError,
  ProcessDied = error_types.ProcessDied,
  BrokenPool = error_types.BrokenPool,
}

later(mp, {
  Pipe = "mp.connection",
  Pool = "mp.pool",
  Manager = "mp.managers",
  get_logger = "mp.log",
  log_to_stderr = "mp.log",
  wait = "mp.wait",
  Queue = "mp.queue",
  JoinableQueue = "mp.queue",
  SimpleQueue = "mp.queue",
  Lock = "mp.mutex",
  RLock = "mp.mutex",
  Event = "mp.event",
  Semaphore = "mp.semaphore",
  BoundedSemaphore = "mp.semaphore",
  Condition = "mp.condition",
  Barrier = "mp.barrier",
  Value = "mp.cell",
  Array = "mp.cell",
  RawValue = "mp.cell",
  RawArray = "mp.cell",
  Struct = "mp.cell",
  encode = "mp.codec",
  decode = "mp.codec",
}, {
  connection = "mp.connection",
  dummy = "mp.dummy",
  futures = "mp.futures",
  managers = "mp.managers",
  pickle = "mp.pickle",
  pool = "mp.pool",
  shared_memory = "mp.shared_memory",
})

--- The same API bound to one start method.
---@param name? mp.StartMethod default: the default method
---@return mp.Context
function mp.get_context(name)
  return context.bind(mp, name)
end

return mp
