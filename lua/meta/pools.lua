---@meta _
-- The reference of pools and executors.

---@class mp
local mp = {}

-- Pools -------------------------------------------------------------------

--- Worker processes that run tasks.  They start when there is work for them,
--- are daemons, and are replaced when they die: the task that one held fails
--- with mp.ProcessDied, those that came with it go to another (one of them may
--- run twice if its result had not been sent yet).  A function travels to each
--- worker once, as it is at the call.  Callbacks run, and workers are replaced,
--- inside the owner's calls on the pool, its results or mp.wait.  A pool belongs
--- to the process that made it.
---
--- Leaving a block (`<close>`) closes and joins it; by an error, terminates it.
---@class mp.Pool
local Pool = {}

--- Call f(table.unpack(args)) in a worker and wait for what it returns.
---@param f function
---@param args? any[]
---@return any ...
function Pool:apply(f, args) end

--- The same without waiting.
---@param f function
---@param args? any[]
---@param opts? {callback: function, error_callback: function} called in the
--- owner, inside its calls on the pool, with the result or the error
---@return mp.AsyncResult
function Pool:apply_async(f, args, opts) end

--- f of each element, in order.  Waits for all of them; then raises the error
--- of the first that failed.  A worker that dies costs the task it was at;
--- others of its chunk whose results it had not sent yet run once more.
---@param f function
---@param list any[] with holes if it has a field n
---@param opts? {chunksize: integer, progress: boolean|string, timeout: number,
--- callback: function, error_callback: function}
---@return any[] results, with a field n; nil, "timeout"
function Pool:map(f, list, opts) end

--- The same without waiting.
---@param f function
---@param list any[]
---@param opts? {chunksize: integer, callback: function,
--- error_callback: function}
---@return mp.AsyncResult
function Pool:map_async(f, list, opts) end

--- map with an argument table for each call.
---@param f function
---@param list any[][]
---@param opts? table as map's
---@return any[] results, with a field n; nil, "timeout"
function Pool:starmap(f, list, opts) end

--- The same without waiting.
---@param f function
---@param list any[][]
---@param opts? table as map_async's
---@return mp.AsyncResult
function Pool:starmap_async(f, list, opts) end

--- An iterator of index and result, in order.  The input is read as it is
--- needed; leaving the loop cancels what has not started.  It raises the error
--- of a task in its turn and can be called again; an error of the source ends
--- it.
---@param f function
---@param source any[]|fun(): any a list, or an iterator that ends with nil
---@param opts? {chunksize: integer, progress: boolean|string, timeout: number}
---@return fun(): integer?, any iterator
function Pool:imap(f, source, opts) end

--- The same in the order in which results come.
---@param f function
---@param source any[]|fun(): any
---@param opts? table as imap's
---@return fun(): integer?, any iterator
function Pool:imap_unordered(f, source, opts) end

--- No more tasks; the workers end when those there are have been done.
function Pool:close() end

--- End the workers at once; what is pending fails.
function Pool:terminate() end

--- Wait for the workers to end, after close or terminate.  An imap that has not
--- read all of its source reads no more.
function Pool:join() end

--- A descriptor for event loops: readable when results have come.
---@return integer fd
function Pool:fileno() end

mp.pool = {}

--- A pool.  Its workers start when there is work for them; they are daemons.
--- Leaving a block by an error terminates it, leaving it normally closes and
--- joins it.
---@param first? integer|table number of workers (default: the CPUs that this
--- process may use), or options: processes, initializer (called in each worker
--- with initargs), initargs, maxtasksperchild (a worker is replaced after so
--- many tasks), max_restarts (default 10: workers that may die in a row without
--- a finished task), context (a context, or a start method's name)
---@return mp.Pool
function mp.pool.Pool(first) end

--- A pool of threads, each with a Lua state of its own.
---@param first? integer|table as Pool
---@return mp.Pool
function mp.pool.ThreadPool(first) end

mp.Pool = mp.pool.Pool

--- What will have come of one call, or of a list of them.
---@class mp.AsyncResult
local AsyncResult = {}

--- What the call returned; raises its error.
---@param timeout? number seconds
---@return any value nil, "timeout" when the time ran out
function AsyncResult:get(timeout) end

--- Wait for the outcome.
---@param timeout? number seconds
---@return boolean ready
---@return string? reason "timeout"
function AsyncResult:wait(timeout) end

--- Has the outcome come?
---@return boolean
function AsyncResult:ready() end

--- Did the call return?  Raises when it is not ready.
---@return boolean
function AsyncResult:successful() end

--- For mp.wait.
function AsyncResult:fileno() end

-- Executors ---------------------------------------------------------------

mp.futures = {}

--- For `return_when`: wait for all of them.
mp.futures.ALL_COMPLETED = "ALL_COMPLETED"
--- ... for the first that is over.
mp.futures.FIRST_COMPLETED = "FIRST_COMPLETED"
--- ... for the first that failed, or all.
mp.futures.FIRST_EXCEPTION = "FIRST_EXCEPTION"

--- An executor of worker processes.
---@param o? table max_workers (default: the CPUs that this process may use),
--- initializer, initargs, max_tasks_per_child, context
---@return mp.ProcessPoolExecutor
function mp.futures.ProcessPoolExecutor(o) end

--- An executor of threads, each with a Lua state of its own.
---@param o? table max_workers, initializer, initargs, max_tasks_per_child
---@return mp.ThreadPoolExecutor
function mp.futures.ThreadPoolExecutor(o) end

--- Wait for several futures.
---@param list mp.Future[]
---@param o? {timeout: number, return_when: string} return_when:
--- "ALL_COMPLETED" (default), "FIRST_COMPLETED", "FIRST_EXCEPTION"
---@return mp.Future[] done
---@return mp.Future[] not_done
function mp.futures.wait(list, o) end

--- An iterator over futures as they complete.
---@param list mp.Future[]
---@param timeout? number seconds for all of them; then it raises "timeout"
---@return fun(): mp.Future?
function mp.futures.as_completed(list, timeout) end

---@class mp.ProcessPoolExecutor
local Executor = {}

--- Have f(...) called in a worker.
---@param f function
---@param ... any
---@return mp.Future
function Executor:submit(f, ...) end

--- An iterator of index and result, in order.
---@param f function
---@param source any[]|fun(): any
---@param opts? {chunksize: integer, timeout: number, buffersize: integer}
--- timeout: of the whole, from this call on, then the iterator raises;
--- buffersize: how many tasks are read ahead at most
---@return fun(): integer?, any iterator
function Executor:map(f, source, opts) end

--- Take no more work.
---@param o? {wait: boolean, cancel_futures: boolean} wait (default true) for
--- what is there and for the workers' end; cancel_futures: only for what has
--- begun
function Executor:shutdown(o) end

--- End the workers at once by SIGTERM; what is pending fails.
function Executor:terminate_workers() end

--- End the workers at once by SIGKILL; what is pending fails.
function Executor:kill_workers() end

---@class mp.ThreadPoolExecutor: mp.ProcessPoolExecutor

--- The outcome of one submitted call.
---@class mp.Future
local Future = {}

--- What the call returned; raises its error.
---@param timeout? number seconds
---@return any ... nil, "timeout"; nil, "cancelled"
function Future:result(timeout) end

--- The error that the call raised.
---@param timeout? number seconds
---@return any err nil when it returned; nil, "timeout"; nil, "cancelled"
---@return string? reason
function Future:exception(timeout) end

--- Has it an outcome, or was it cancelled?
---@return boolean
function Future:done() end

--- Has a worker taken it, without an outcome yet?
---@return boolean
function Future:running() end

--- Take it back, unless a worker has begun it.
---@return boolean cancelled
function Future:cancel() end

--- Was it taken back?
---@return boolean
function Future:cancelled() end

--- Have `callback(future)` called once there is an outcome: inside a call of
--- its owner on the executor, its futures or mp.wait; at once if it is there.
---@param callback function
function Future:add_done_callback(callback) end

--- Wait for the outcome.
---@param timeout? number seconds
---@return boolean ready
---@return string? reason "timeout"
function Future:wait(timeout) end

--- A descriptor for event loops: readable when results have come.
---@return integer fd
function Future:fileno() end
