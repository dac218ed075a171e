---@meta _
-- The reference of what managers make: proxies of objects in their servers.

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
