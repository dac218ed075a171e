---@meta mp.managers
-- The reference of mp.managers: servers with objects, and proxies of these.

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
---@return mp.managers.SyncManager
function mp.managers.Manager() end

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

-- Proxies -----------------------------------------------------------------

--- d[key], d[key] = value, #d (how many keys), pairs(d) over a copy.  As names
--- are keys, its methods begin with _.
---@class mp.managers.dict
local dict = {}

--- A copy.
---@return table
function dict:_value() end

--- d[key] = f(d[key]), on the server: nobody comes between.
---@param key any
---@param f fun(old: any): any
---@return any new
function dict:_update(key, f) end

--- Take a key out.
---@param key any
---@return any value
function dict:_pop(key) end

--- The value of a key, which it gets if it has none.
---@param key any
---@param value any
---@return any value
function dict:_setdefault(key, value) end

--- The keys, in no order.
---@return any[]
function dict:_keys() end

--- Assign all pairs of a table.
---@param t table
function dict:_merge(t) end

--- Take all out.
function dict:_clear() end

--- l[i], l[#l + 1] = v, l[#l] = nil, #l, ipairs, and pairs over a copy.  What
--- would leave a hole raises.
---@class mp.managers.list
local list = {}

--- A copy.
---@return any[]
function list:_value() end

--- l[i] = f(l[i]), on the server: nobody comes between.
---@param i integer
---@param f fun(old: any): any
---@return any new
function list:_update(i, f) end

--- Add elements at the end, in one go.
---@param ... any
function list:append(...) end

--- Add the elements of a list at the end.
---@param t any[]
function list:extend(t) end

--- Put an element before the i-th.
---@param i integer
---@param value any
function list:insert(i, value) end

--- Take an element out; nil when there is none.
---@param i? integer default: the last
---@return any value
function list:pop(i) end

--- table.sort.
---@param f? fun(a: any, b: any): boolean called on the server
function list:sort(f) end

--- Take all out.
function list:clear() end

--- #s: how many.
---@class mp.managers.set
local set = {}

--- Put a value in.
---@param value any
---@return boolean added false: it was there
function set:add(value) end

--- Take a value out.
---@param value any
---@return boolean removed false: it was not there
function set:discard(value) end

--- Is it there?
---@param value any
---@return boolean
function set:has(value) end

--- The elements, in no order.
---@return any[]
function set:values() end

--- The same as `values`.
---@return any[]
function set:_value() end

--- Take all out.
function set:clear() end

--- Fields: ns.x, ns.x = value, pairs(ns) over a copy.
---@class mp.managers.Namespace
local Namespace = {}

--- A copy.
---@return table
function Namespace:_value() end

--- ns[name] = f(ns[name]), on the server: nobody comes between.
---@param name string
---@param f fun(old: any): any
---@return any new
function Namespace:_update(name, f) end

---@class mp.managers.Value
---@field value any raises when it does not fit the typecode
local Value = {}

--- Add a number.
---@param n number
---@return number old
function Value:add(n) end

--- Put in another value.
---@param value any
---@return any old
function Value:exchange(value) end

--- Put in another value if the old one is as expected.
---@param old any
---@param new any
---@return boolean exchanged
---@return any seen
function Value:compare_exchange(old, new) end

--- a[i], a[i] = value, #a, ipairs, and pairs over a copy.
---@class mp.managers.Array
local Array = {}

--- The elements i to j.
---@param i? integer default 1
---@param j? integer default #a
---@return any[]
function Array:slice(i, j) end

--- Set the elements from the i-th on, all or none.
---@param i integer
---@param list any[]
function Array:assign(i, list) end

--- Set the elements i to j to one value.
---@param value any
---@param i? integer default 1
---@param j? integer default #a
function Array:fill(value, i, j) end

--- A copy.
---@return any[]
function Array:_value() end

---@class mp.managers.Lock
local Lock = {}

--- Get it.  "abandoned": its last owner died with it.
---@param timeout? number seconds
---@return boolean acquired
---@return "timeout"|"abandoned"? reason
function Lock:acquire(timeout) end

--- Let others have it.  Raises when it is not held.
function Lock:release() end

--- Does somebody hold it?
---@return boolean
function Lock:locked() end

--- Acquire it until the end of a block: local held <close> = lock:guard()
---@param timeout? number seconds
---@return mp.managers.Guard? guard
---@return "timeout"|"abandoned"? reason
function Lock:guard(timeout) end

--- Call f(...) with the lock held.  An error in it releases the lock, too.
---@param f function
---@param ... any
---@return any ... what f returned
function Lock:with(f, ...) end

--- Raises when another than the owner releases it.
---@class mp.managers.RLock : mp.managers.Lock

--- One acquisition, given back once: by `release`, or at the end of its block.
---@class mp.managers.Guard
local Guard = {}

--- Give it back now.
function Guard:release() end

---@class mp.managers.Semaphore
local Semaphore = {}

--- Take a permit.
---@param timeout? number seconds
---@return boolean acquired
---@return "timeout"? reason
function Semaphore:acquire(timeout) end

--- Give one back.
function Semaphore:release() end

--- How many are there to be taken?
---@return integer
function Semaphore:get_value() end

--- Take a permit until the end of a block.
---@param timeout? number seconds
---@return mp.managers.Guard? guard
---@return "timeout"? reason
function Semaphore:guard(timeout) end

--- Call f(...) with a permit.
---@param f function
---@param ... any
---@return any ... what f returned
function Semaphore:with(f, ...) end

--- Its `release` raises when there are as many as at first.
---@class mp.managers.BoundedSemaphore : mp.managers.Semaphore

--- With the methods of its lock.
---@class mp.managers.Condition : mp.managers.Lock
local Condition = {}

--- Let go of the lock, wait for a notification, and get the lock again.
---@param timeout? number seconds
---@return boolean notified
---@return "timeout"? reason
function Condition:wait(timeout) end

--- Wait until pred() is true; it is called here, with the lock held.
---@param pred fun(): any
---@param timeout? number seconds
---@return any value what pred gave; false when the time is up
---@return "timeout"? reason
function Condition:wait_for(pred, timeout) end

--- Let so many of those who wait go on.
---@param n? integer default 1
function Condition:notify(n) end

--- Let all go on.
function Condition:notify_all() end

---@class mp.managers.Event
local Event = {}

--- Set the flag; who waits goes on.
function Event:set() end

--- Take it back.
function Event:clear() end

--- Is it set?
---@return boolean
function Event:is_set() end

--- Wait for the flag.
---@param timeout? number seconds
---@return boolean set
---@return "timeout"? reason
function Event:wait(timeout) end

---@class mp.managers.Barrier
---@field parties integer
---@field n_waiting integer
---@field broken boolean
local Barrier = {}

--- Wait for the others.  A timeout breaks it, and so does the death of one that
--- waits; an action that raises does too, and the last to come gets its error.
---@param timeout? number seconds; default that of the barrier
---@return integer? place of arrival, from 1
---@return "timeout"|"broken"? reason
function Barrier:wait(timeout) end

--- Make it anew; those who wait get "broken".
function Barrier:reset() end

--- Break it.
function Barrier:abort() end

---@class mp.managers.Queue
local Queue = {}

--- Put an item in.
---@param value any
---@param timeout? number seconds
---@return boolean put
---@return "full"|"closed"? reason
function Queue:put(value, timeout) end

--- Take an item out.
---@param timeout? number seconds
---@return any item
---@return "empty"|"closed"? reason
function Queue:get(timeout) end

--- put(value, 0)
---@param value any
---@return boolean put
---@return "full"|"closed"? reason
function Queue:put_nowait(value) end

--- get(0)
---@return any item
---@return "empty"|"closed"? reason
function Queue:get_nowait() end

--- How many items there are.
---@return integer
function Queue:qsize() end

--- Is there none?
---@return boolean
function Queue:empty() end

--- Is there no room?
---@return boolean
function Queue:full() end

--- Nothing more comes in; what is in it can still be taken.
function Queue:close() end

---@class mp.managers.JoinableQueue : mp.managers.Queue
local JoinableQueue = {}

--- An item that was taken is finished.
function JoinableQueue:task_done() end

--- Wait until all items are finished.  "lost": since the last time some went
--- with a client that died.
---@param timeout? number seconds
---@return boolean finished
---@return "timeout"|"lost"? reason
function JoinableQueue:join(timeout) end

--- See mp.Pool; the *_async give proxies of results.
---@class mp.managers.Pool
local Pool = {}

--- Call f(unpack(args)) in a worker.
---@param f function
---@param args? any[]
---@param opts? {timeout: number}
---@return any ... what f returned
function Pool:apply(f, args, opts) end

--- f(element) for each element.
---@param f function
---@param list any[]
---@param opts? table as mp.Pool's
---@return any[]? results
---@return "timeout"? reason
function Pool:map(f, list, opts) end

--- f(unpack(element)) for each element.
---@param f function
---@param list any[][]
---@param opts? table as mp.Pool's
---@return any[]? results
---@return "timeout"? reason
function Pool:starmap(f, list, opts) end

--- `apply` that does not wait.
---@param f function
---@param args? any[]
---@param opts? table as mp.Pool's
---@return mp.managers.AsyncResult
function Pool:apply_async(f, args, opts) end

--- `map` that does not wait.
---@param f function
---@param list any[]
---@param opts? table as mp.Pool's
---@return mp.managers.AsyncResult
function Pool:map_async(f, list, opts) end

--- `starmap` that does not wait.
---@param f function
---@param list any[][]
---@param opts? table as mp.Pool's
---@return mp.managers.AsyncResult
function Pool:starmap_async(f, list, opts) end

--- No more tasks.
function Pool:close() end

--- End the workers at once.
function Pool:terminate() end

--- Wait for the workers' end, after close or terminate.
function Pool:join() end

---@class mp.managers.AsyncResult
local AsyncResult = {}

--- The result; raises what the task raised.
---@param timeout? number seconds
---@return any result
---@return "timeout"? reason
function AsyncResult:get(timeout) end

--- Wait for it.
---@param timeout? number seconds
---@return boolean ready
---@return "timeout"? reason
function AsyncResult:wait(timeout) end

--- Is it there?
---@return boolean
function AsyncResult:ready() end

--- Did the task not raise?  Raises when it is not ready.
---@return boolean
function AsyncResult:successful() end

return mp.managers
