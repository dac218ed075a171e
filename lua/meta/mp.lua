---@meta mp
-- The reference of the public API, for the Lua language server and for
-- readers.  In this file: processes, pipes, queues, values, errors; the rest is
-- in sockets.lua, memory.lua, sync.lua, pools.lua, managers.lua, proxies.lua
-- and log.lua.
--
-- Timeouts are seconds; nil waits for ever, <= 0 only looks, NaN or a non-number
-- raises.  Names follow Python's multiprocessing (docs.python.org,
-- library/multiprocessing).

---@alias mp.Reason "timeout"|"full"|"empty"|"closed"|"truncated"|"protocol"
---@alias mp.StartMethod "fork"|"spawn"|"forkserver"|"thread"

---@class mp
local mp = {}

mp._VERSION = "luamp 0.1.0"

-- Processes ---------------------------------------------------------------

--- A process, in whatever process it is held.  Travels through any message by
--- reference; in one process the same process is always the same Lua value.
--- Leaving a block joins it (`local p <close> = ...`), leaving it by an error
--- terminates it first.
---@class mp.Process
---@field name string 1 to 63 bytes; default "Process-1", nested "Process-1:2"
---@field daemon boolean ends with its starter; inherited; only before start
---@field pid? integer nil before start; of a thread: the host's
---@field exitcode? integer nil before the end; 0; N of os.exit(N); 1 after an
--- uncaught error; -N when signal N ended it; 255 when nobody could learn it
---@field sentinel integer a descriptor, readable once the process has ended;
--- belongs to this object
---@field authkey string 32 bytes that the family shares
---@overload fun(options: mp.ProcessOptions): mp.Process
---@overload fun(target?: function, ...: any): mp.Process
mp.Process = {}

---@class mp.ProcessOptions
---@field target? function what it is to do; what it returns is `result`
---@field args? any[] list of arguments; a field `n` counts nils
---@field name? string
---@field daemon? boolean default: that of the calling process

--- Start the process.  Under fork target and arguments are used as they are;
--- under every other method they are sent now.  Raises when it was started
--- before, by a process that did not make it, in a child that is still being
--- set up, when what it is to do cannot be sent (the message names the path),
--- or when the system has no more processes; nothing is started then.
---@return mp.Process self
function mp.Process:start() end

--- The work: calls the target.  A subclass has its own.
---@return any ...
function mp.Process:run() end

--- Wait for the end.  Any process may; raises for oneself and before start.
---@param timeout? number seconds
---@return boolean ended
---@return "timeout"? reason
function mp.Process:join(timeout) end

--- Does it run?  Not before start, and not after the end.
---@return boolean
function mp.Process:is_alive() end

--- Send SIGINT: "interrupted!" is raised in it.
function mp.Process:interrupt() end

--- Send SIGTERM; a thread stops at its next Lua instruction (exitcode -15).
function mp.Process:terminate() end

--- Send SIGKILL; a thread stops at its next Lua instruction (exitcode -9).
function mp.Process:kill() end

--- Give this handle up.  Raises while the process runs.
function mp.Process:close() end

--- What the target returned.  Raises mp.RemoteError with an error of the
--- target's, mp.ProcessDied when the process ended without an answer.
---@param timeout? number seconds
---@return any ... or nil, "timeout"
function mp.Process:result(timeout) end

--- A subclass: `run(self)` and further methods.  An instance's fields reach
--- the child.
---@param class table
---@return mp.Process class
function mp.Process:extend(class) end

--- The process we are in.
---@return mp.Process
function mp.current_process() end

--- The process that started this one.
---@return mp.Process? parent nil in the first process
function mp.parent_process() end

--- The children that run; those that have ended are waited for.
---@return mp.Process[]
function mp.active_children() end

--- CPUs of the machine.
---@return integer
function mp.cpu_count() end

--- CPUs that this process may use: affinity and cgroup quota.
---@return integer
function mp.process_cpu_count() end

-- Start methods -----------------------------------------------------------

--- Every start method there is, the default first.
---@return mp.StartMethod[]
function mp.get_all_start_methods() end

--- Default: fork in a process with one thread, forkserver in one with more.
---@return mp.StartMethod
function mp.get_start_method() end

--- Raises for an unknown name, and for a second call without `force`.
---@param name mp.StartMethod
---@param force? boolean
function mp.set_start_method(name, force) end

---@class mp.Context : mp

--- The same API bound to one method.
---@param name? mp.StartMethod default: the default method
---@return mp.Context
function mp.get_context(name) end

--- The program that spawn and forkserver run.  Default: the interpreter that
--- runs; in another host the `luamp` beside the module or on PATH.
---@param path string
function mp.set_executable(path) end

--- Modules that a fork server loads before it forks.
---@param modules string[]
function mp.set_forkserver_preload(modules) end

--- The API of mp with threads for processes.
mp.dummy = mp.get_context("thread")

-- Pipes -------------------------------------------------------------------

--- What event loops look for in everything that has a `fileno`.
---@class mp.Pollable
local Pollable = {}

--- fileno, for luasocket and copas.
---@return integer fd
function Pollable:getfd() end

--- Is something there that fileno does not show?  (luasocket, copas)
---@return boolean
function Pollable:dirty() end

--- fileno, for cqueues.
---@return integer fd
function Pollable:pollfd() end

--- What fileno is to be watched for (cqueues).
---@return "r"|"w"
function Pollable:events() end

--- No timeout of its own (cqueues).
---@return nil
function Pollable:timeout() end

--- One end of a pipe, or a framed connection over a descriptor.  Travels
--- through any message by reference.  `<close>` closes it.
---@class mp.Connection : mp.Pollable
---@field closed boolean
---@field readable boolean
---@field writable boolean
local Connection = {}

--- Any value that travels.  Waits while the pipe is full (two segments of
--- 64 KiB of short messages, 16 MiB of long ones).  Raises for a value that
--- cannot be sent; nothing has been sent then.
---@param value any
---@return boolean sent
---@return "closed"|"truncated"? reason
function Connection:send(value) end

--- Send bytes as they are, for `recv_bytes` or a Python process.
---@param s string
---@param i? integer as in string.sub
---@param j? integer
---@return boolean sent
---@return "closed"|"truncated"? reason
function Connection:send_bytes(s, i, j) end

--- The next value.  A received nil is told apart by a nil reason.
---@param timeout? number seconds
---@return any value
---@return mp.Reason? reason
function Connection:recv(timeout) end

--- The next message as bytes.  One that is longer than `maxlength` raises and
--- closes the connection.
---@param maxlength? integer bytes
---@return string? bytes
---@return mp.Reason? reason
function Connection:recv_bytes(maxlength) end

--- Would recv return at once (a message, or the end of the stream)?
---@param timeout? number seconds, default 0; nil given: for ever
---@return boolean
function Connection:poll(timeout) end

--- A descriptor for event loops: readable while recv would not block.  It
--- belongs to this object.
---@return integer fd
function Connection:fileno() end

--- Let go of this handle; other holders keep theirs.
function Connection:close() end

--- Two connected ends.
---@param duplex? boolean default true; false: reader, writer
---@return mp.Connection
---@return mp.Connection
function mp.Pipe(duplex) end

mp.connection = {}

--- A connection over a stream descriptor, which it takes over.  Framing is
--- that of Python's multiprocessing.connection; values that arrive are decoded
--- with code = false.
---@param fd integer
---@param readable? boolean default true
---@param writable? boolean default true
---@return mp.Connection
function mp.connection.Connection(fd, readable, writable) end

mp.connection.Pipe = mp.Pipe

--- Wait until at least one is ready: a connection to receive from, a queue to
--- get from, a process that has ended, a descriptor to read, anything with
--- `fileno` or `sentinel`.
---@param list any[]
---@param timeout? number seconds
---@return any[] ready in the order of the list
function mp.wait(list, timeout) end

mp.connection.wait = mp.wait

-- Queues ------------------------------------------------------------------

--- Any number of producers and consumers, in any processes; first in, first
--- out for each producer.  When `put` returns, the item is in the queue,
--- whatever becomes of the one who put it.  A handle that is no longer needed
--- is simply dropped; leaving a block (`<close>`) closes the queue.
---@class mp.Queue : mp.Pollable
local Queue = {}

--- Any value that travels.  Waits while the queue is full.  Raises for a value
--- that cannot be sent, and for want of memory; nothing has been put then.
---@param value any
---@param timeout? number seconds
---@return boolean done
---@return "full"|"closed"? reason
function Queue:put(value, timeout) end

--- put, without waiting.
---@param value any
---@return boolean done
---@return "full"|"closed"? reason
function Queue:put_nowait(value) end

--- The next item.  A nil that was put is told apart by a nil reason.
---@param timeout? number seconds
---@return any value
---@return "empty"|"closed"? reason
function Queue:get(timeout) end

--- get, without waiting.
---@return any value
---@return "empty"|"closed"? reason
function Queue:get_nowait() end

--- How many items are in it, exactly; another process may change that at once.
---@return integer
function Queue:qsize() end

--- Is nothing in it, just now?
---@return boolean
function Queue:empty() end

--- Never, without a limit.
---@return boolean
function Queue:full() end

--- End it for everybody: nothing more can be put, what is in it can be got.
function Queue:close() end

--- A descriptor for event loops: readable while `get` would not block (now and
--- then for nothing, when another was faster).  It belongs to this object.
---@return integer fd
function Queue:fileno() end

--- A queue that knows which items have been dealt with.  An item that was got
--- is on the account of the process that got it, until `task_done`.
---@class mp.JoinableQueue: mp.Queue
local JoinableQueue = {}

--- One item more has been dealt with: one of the caller's, or if it has none
--- any that was got.  Raises "task_done() called too many times" when there is
--- no such item.
function JoinableQueue:task_done() end

--- Wait until every item that was put has been dealt with.  Items of a process
--- that ended without `task_done` count as dealt with: the first join to see
--- that (and all that waited then) answers true, "lost".
---@param timeout? number seconds
---@return boolean done
---@return "lost"|"timeout"? reason
function JoinableQueue:join(timeout) end

--- A queue without a limit, with `put`, `get`, `empty`, `close`, `fileno`.
---@class mp.SimpleQueue : mp.Pollable
local SimpleQueue = {}
SimpleQueue.put = Queue.put
SimpleQueue.get = Queue.get
SimpleQueue.empty = Queue.empty
SimpleQueue.close = Queue.close
SimpleQueue.fileno = Queue.fileno

---@param maxsize? integer how many items it holds; default, and <= 0: any number
---@return mp.Queue
function mp.Queue(maxsize) end

---@param maxsize? integer as in mp.Queue
---@return mp.JoinableQueue
function mp.JoinableQueue(maxsize) end

---@return mp.SimpleQueue
function mp.SimpleQueue() end

-- Values ------------------------------------------------------------------

--- Any value that travels, but mp objects, as bytes.  Raises with the path to
--- what cannot.
---@param value any
---@return string
function mp.encode(value) end

--- Damaged bytes give nil and a message.
---@param s string
---@param options? {code: boolean} code = false refuses every function
---@return any value
---@return string? message
function mp.decode(s, options) end

--- Python's pickle, as far as it is data.  str, bytes and bytearray become
--- strings, lists, tuples, dicts and sets tables.
mp.pickle = {}

--- Strings become str, or bytes when they are not valid UTF-8; tables with an
--- element 1 or a field n become lists, others dicts.  Raises for what is no
--- data.
---@param value any
---@return string
function mp.pickle.dumps(value) end

--- What would need Python objects, or is damaged, gives nil and a message that
--- names it; nothing is ever called.
---@param s string
---@param options? {none: any} what stands for None in tables; default nil
---@return any value
---@return string? message
function mp.pickle.loads(s, options) end

--- Say what a table is to become.
---@param t? table
---@return table t
function mp.pickle.list(t) end

--- Likewise a dict.
---@param t? table
---@return table t
function mp.pickle.dict(t) end

--- Likewise a set.
---@param t? table its keys are the elements
---@return table t
function mp.pickle.set(t) end

--- A tuple of these elements.
---@param ... any
---@return table
function mp.pickle.tuple(...) end

--- A string that is to become bytes, also when it is valid UTF-8.
---@param s string
---@return table
function mp.pickle.bytes(s) end

--- None, where a table cannot hold nil.
mp.pickle.None = {}

-- Managers ----------------------------------------------------------------

--- See managers.lua, and proxies.lua.
mp.managers = {}

--- A SyncManager, started.
---@param options? mp.ManagerOptions
---@return mp.managers.SyncManager? manager
---@return string? message the address cannot be listened at
---@return integer? errno
function mp.Manager(options) end

-- Errors ------------------------------------------------------------------

--- An error raised in another process; tostring shows all.
---@class mp.RemoteError
---@field message any the original error value
---@field traceback string
---@field process string
---@field pid integer
mp.RemoteError = {}

--- A process that ended without an answer.
---@class mp.ProcessDied
---@field process string
---@field pid integer
---@field exitcode integer
---@field task? integer in a pool: which of the tasks, from 1
---@field name? string in a pool: the function
mp.ProcessDied = {}

--- What a pool raises that could not keep its workers alive: an initializer
--- raised, or too many workers died in a row.
---@class mp.BrokenPool
---@field cause any the error that broke it
mp.BrokenPool = {}

return mp
