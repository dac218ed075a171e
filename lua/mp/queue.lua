--- Queues: any number of producers and consumers, in any process.
local core = require "mp.core"
local handle = require "mp.handle"

local queue = {}

--- What every queue can do; the core's functions are methods as they are.
local common = handle.pollable({
  put = core.queue_put,
  get = core.queue_get,
  empty = core.queue_empty,
  close = core.queue_close,
}, core.queue_fileno, core.queue_ready)

local function new_type(name, base, methods)
  for key, method in pairs(base) do methods[key] = method end
  local mt = handle.metatable("mp." .. name)
  mt.__index = methods
  mt.__close = core.queue_close
  function mt:__tostring()
    local len, closed = core.queue_state(self)
    return ("mp.%s (%d item%s%s): %p"):format(name, len,
      len == 1 and "" or "s", closed and ", closed" or "", self)
  end
  return methods
end

local Queue = new_type("Queue", common, {
  put_nowait = core.queue_put_nowait,
  get_nowait = core.queue_get_nowait,
  qsize = core.queue_qsize,
  full = core.queue_full,
})

new_type("JoinableQueue", Queue, {
  task_done = core.queue_task_done,
  join = core.queue_join,
  -- for crews: see lmp_task.c
  _put = core.task_put,
  _get = core.task_get,
  _lost = core.task_lost,
  _void = core.task_void,
  _took = core.task_took,
  _put_each = core.each_put,
  _serve = core.each_serve,
})

new_type("SimpleQueue", common, {
  _put = core.task_put,
  _get = core.task_get,
  _collect = core.each_collect,
})

local function limit(what, maxsize)
  if maxsize == nil then return 0 end
  local n = math.type(maxsize) and math.tointeger(maxsize)
  if not n then
    error(("%s: maxsize must be an integer, not %s"):format(what,
      type(maxsize) == "number" and tostring(maxsize)
        or "a " .. type(maxsize)), 3)
  end
  return n > 0 and n or 0
end

--- A queue of at most `maxsize` items.
---@param maxsize? integer default, and <= 0: no limit
---@return mp.Queue
function queue.Queue(maxsize)
  return core.queue("mp.Queue", limit("Queue", maxsize))
end

--- A queue that knows which items have been dealt with.
---@param maxsize? integer default, and <= 0: no limit
---@return mp.JoinableQueue
function queue.JoinableQueue(maxsize)
  return core.queue("mp.JoinableQueue", limit("JoinableQueue", maxsize))
end

--- A queue without a limit, and with just the methods that one needs.
---@return mp.SimpleQueue
function queue.SimpleQueue()
  return core.queue("mp.SimpleQueue", 0)
end

return queue
