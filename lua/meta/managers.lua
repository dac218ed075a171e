---@meta mp.managers
-- The reference of mp.managers: servers with objects.  What is done with these
-- is in proxies.lua.

---@class mp
local mp = {}

-- Managers ----------------------------------------------------------------

---@class mp.ManagerOptions : mp.PeerOptions
---@field context? mp.Context what starts the server; default: the fork server
---@field name? string of the server's process
---@field max_clients? integer through the socket; default 4096
---@field backlog? integer
---@field timeout? number of connect, seconds

--- A server process with objects, and a handle on it.  Proxies travel through
--- any message and mean the same object everywhere; in one process an object
--- has one proxy.  The server has one thread and waits for nobody: a call that
--- has to wait (a lock, a queue) is answered later, and others meanwhile.
---
--- It ends with `shutdown`, with its owner, or when neither the manager nor a
--- proxy is left in the process that started it.  Then calls raise
--- mp.ProcessDied; so does one that was under way, and none is ever repeated.
--- Locks, permits and unfinished items of a client that died come back
--- ("abandoned", "lost").  `<close>` shuts it down.
---@class mp.managers.BaseManager
---@field address mp.Address where it listens; without an address given, asking
--- makes the server listen at a unix socket of its own
---@field process mp.Process the server, if it was started here
---@overload fun(options?: mp.ManagerOptions): mp.managers.BaseManager
mp.managers.BaseManager = {}

--- Start the server.  Raises what `init` raised there.
---@param init? function called in the server first
---@param ... any its arguments
---@return mp.managers.BaseManager? self
---@return string? message nobody can listen at the address
---@return integer? errno
function mp.managers.BaseManager:start(init, ...) end

--- Reach a server that was started elsewhere.  Values go without functions
--- unless both sides have trusted = true; proxies then go as arguments and
--- results alone, not inside tables.
---@return mp.managers.BaseManager? self
---@return string? reason "auth: ...", "timeout", or a message
---@return integer? errno
function mp.managers.BaseManager:connect() end

--- A server for this process.
---@return mp.managers.Server? server
---@return string? message nobody can listen at the address
---@return integer? errno
function mp.managers.BaseManager:get_server() end

--- Stop the server and wait for its end; only in the process that started it.
function mp.managers.BaseManager:shutdown() end

--- Wait for the server's end, however it comes.
---@param timeout? number seconds
---@return boolean ended
---@return "timeout"? reason
function mp.managers.BaseManager:join(timeout) end

--- How many objects are held in the server.
---@return integer
function mp.managers.BaseManager:number_of_objects() end

--- A class with types of its own, beside those of this one.
---@param fields? table methods of the class; a `__name`
---@return mp.managers.BaseManager class
function mp.managers.BaseManager:extend(fields) end

--- manager:NAME(...) calls the constructor on the server and gives a proxy:
--- `proxy:method(...)`, `proxy.field`, `#proxy`, `proxy(...)`.  Names that begin
--- with _ are private.  A method must not block: all clients would wait.
---@param name string
---@param constructor? function not needed by those who only connect
function mp.managers.BaseManager:register(name, constructor) end

--- A server in this process, as get_server gives it.
---@class mp.managers.Server
---@field address mp.Address
local Server = {}

--- Serve for as long as this process lives.
function Server:serve_forever() end

--- A manager with the types of this module.  A timeout is the last argument of
--- its proxies' methods.
---@class mp.managers.SyncManager : mp.managers.BaseManager
mp.managers.SyncManager = {}

--- A table with any keys.
---@param t? table its first contents, copied
---@return mp.managers.dict
function mp.managers.SyncManager:dict(t) end

--- A list without holes.
---@param t? any[] its first elements, copied
---@return mp.managers.list
function mp.managers.SyncManager:list(t) end

--- A set of values.
---@param list? any[] its first elements
---@return mp.managers.set
function mp.managers.SyncManager:set(list) end

--- A table of named fields.
---@param t? table its first fields, copied
---@return mp.managers.Namespace
function mp.managers.SyncManager:Namespace(t) end

--- A lock that whoever comes may release.
---@return mp.managers.Lock
function mp.managers.SyncManager:Lock() end

--- A lock that its owner, a process, may acquire again.
---@return mp.managers.RLock
function mp.managers.SyncManager:RLock() end

--- Permits to take and to give back.
---@param n? integer permits at first; default 1
---@param options? {signalling: boolean} true: those that a dead client had
--- taken stay away
---@return mp.managers.Semaphore
function mp.managers.SyncManager:Semaphore(n, options) end

--- A semaphore that never has more permits than at first.
---@param n? integer default 1
---@return mp.managers.BoundedSemaphore
function mp.managers.SyncManager:BoundedSemaphore(n) end

--- Wait for something that others tell of.
---@param lock? mp.managers.Lock of the same manager; default a new RLock
---@return mp.managers.Condition
function mp.managers.SyncManager:Condition(lock) end

--- A flag to wait for.
---@return mp.managers.Event
function mp.managers.SyncManager:Event() end

--- A place where so many wait for each other.
---@param parties integer
---@param options? {action: function, timeout: number} the action runs on the
--- server
---@return mp.managers.Barrier
function mp.managers.SyncManager:Barrier(parties, options) end

--- A queue of any values, nil among them.
---@param maxsize? integer items; default, or <= 0: no bound
---@return mp.managers.Queue
function mp.managers.SyncManager:Queue(maxsize) end

--- A queue that knows which items are finished.
---@param maxsize? integer
---@return mp.managers.JoinableQueue
function mp.managers.SyncManager:JoinableQueue(maxsize) end

--- A number, or a byte, of a typecode.
---@param typecode mp.Typecode
---@param value? any default 0
---@return mp.managers.Value
function mp.managers.SyncManager:Value(typecode, value) end

--- Numbers of one typecode.
---@param typecode mp.Typecode
---@param from integer|any[] how many, or which
---@return mp.managers.Array
function mp.managers.SyncManager:Array(typecode, from) end

--- A pool whose workers are the server's children.
---@param ... any as mp.Pool
---@return mp.managers.Pool
function mp.managers.SyncManager:Pool(...) end

--- A SyncManager, started.
---@param options? mp.ManagerOptions
---@return mp.managers.SyncManager? manager
---@return string? message the address cannot be listened at
---@return integer? errno
function mp.managers.Manager(options) end

--- Blocks of shared memory that go away with their manager.
---@class mp.managers.SharedMemoryManager : mp.managers.BaseManager
mp.managers.SharedMemoryManager = {}

--- A new block, under a name of its own.
---@param size integer bytes
---@return mp.SharedMemory
function mp.managers.SharedMemoryManager:SharedMemory(size) end

--- A new ShareableList in a block of its own.
---@param values any[]
---@return mp.ShareableList
function mp.managers.SharedMemoryManager:ShareableList(values) end

return mp.managers
