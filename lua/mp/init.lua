--- The public table of luamp: processes as first-class values.
-- What a name does is said where it is made: proc.lua (processes),
-- context.lua (start methods), connection.lua (pipes), queue.lua, cell.lua
-- (shared values), wait.lua, codec.lua.
local core = require "mp.core"
local later = require "mp.later"

local mp = { _VERSION = "luamp " .. core.version() }

later(mp, {
  Process = "mp.proc",
  current_process = "mp.proc",
  parent_process = "mp.proc",
  active_children = "mp.proc",
  cpu_count = "mp.proc",
  process_cpu_count = "mp.proc",
  get_all_start_methods = "mp.context",
  get_start_method = "mp.context",
  set_start_method = "mp.context",
  set_executable = "mp.context",
  set_forkserver_preload = "mp.context",
  RemoteError = "mp.error",
  ProcessDied = "mp.error",
  BrokenPool = "mp.error",
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
  return require "mp.context".bind(mp, name)
end

return mp
