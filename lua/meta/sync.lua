---@meta _
-- The reference of what processes wait for each other with.

---@class mp
local mp = {}

-- Locks -------------------------------------------------------------------

--- A lock.  Travels through any message by reference.  If its holder dies,
--- execs or ends without releasing it, the next `acquire` gets it at once and
--- gives true, "abandoned": what the lock protects may be half changed.
--- One that ends in order and holds it still says so in a warning (`warn`, and
--- the logger), with the number that `tostring` shows in every process.
---@class mp.Lock
local Lock = {}

--- Wait for the lock and take it.  A Lock does not know its holder again: a
--- second acquire waits.
---@param timeout? number seconds
---@return boolean acquired
---@return "timeout"|"abandoned"? reason
function Lock:acquire(timeout) end

--- Let others have it.  Any process may release a Lock, only the owner an
--- RLock.  Raises when it is not held.
function Lock:release() end

--- Does somebody who lives hold it?
---@return boolean
function Lock:locked() end

--- Acquire it until the end of a block: local held <close> = lock:guard()
---@param timeout? number seconds
---@return mp.Guard? guard
---@return "timeout"|"abandoned"? reason
function Lock:guard(timeout) end

--- Call f(...) with the lock held.  An error in it releases the lock, too.
---@param f function
---@param ... any
---@return any ... what f returned
function Lock:with(f, ...) end

--- A lock that its owner, a process or a thread, may acquire again; it is free
--- when it was released as often.
---@class mp.RLock : mp.Lock

--- One acquisition, given back once: by `release`, at the end of its block, or
--- when it is collected.  A forked child's copy does nothing.
---@class mp.Guard
local Guard = {}

--- Give it back now.  Raises when somebody has released the lock meanwhile.
function Guard:release() end

---@return mp.Lock
function mp.Lock() end

---@return mp.RLock
function mp.RLock() end
-- Semaphores --------------------------------------------------------------

--- A number of permits.  Travels through any message by reference.  Permits
--- that a process acquired and did not release return when it ends, until a
--- process that holds none releases one: then it is used for signalling, and
--- permits are nobody's.
---@class mp.Semaphore
local Semaphore = {}

--- Wait for a permit and take it.
---@param timeout? number seconds
---@return boolean acquired
---@return "timeout"? reason
function Semaphore:acquire(timeout) end

--- Give a permit back, or signal.  Raises above 2147483647 permits; a
--- BoundedSemaphore above its first value, in any process.
function Semaphore:release() end

--- How many permits are left.
---@return integer
function Semaphore:get_value() end

--- Is none left?
---@return boolean
function Semaphore:locked() end

--- Acquire until the end of a block: local held <close> = sem:guard()
---@param timeout? number seconds
---@return mp.Guard? guard
---@return "timeout"? reason
function Semaphore:guard(timeout) end

--- Call f(...) with a permit in hand.  An error in it gives it back, too.
---@param f function
---@param ... any
---@return any ... what f returned
function Semaphore:with(f, ...) end

--- A descriptor that is readable while there may be a permit, for mp.wait and
--- event loops; belongs to this object.
---@return integer
function Semaphore:fileno() end

--- fileno, as luasocket and copas look for it.
---@return integer fd
function Semaphore:getfd() end

--- Is there a permit?  (luasocket, copas)
---@return boolean
function Semaphore:dirty() end

--- fileno, as cqueues looks for it.
---@return integer fd
function Semaphore:pollfd() end

--- What cqueues waits for.
---@return "r"
function Semaphore:events() end

--- When cqueues looks again at the latest: never.
---@return nil
function Semaphore:timeout() end

---@class mp.BoundedSemaphore : mp.Semaphore

---@class mp.SemaphoreOptions
---@field signalling? boolean true: permits are nobody's from the start

---@param n? integer permits, 0 to 2147483647; default 1
---@param options? mp.SemaphoreOptions
---@return mp.Semaphore
function mp.Semaphore(n, options) end

--- A semaphore that raises when it is released above its first value.
---@param n? integer permits, default 1
---@return mp.BoundedSemaphore
function mp.BoundedSemaphore(n) end

-- Conditions --------------------------------------------------------------

--- Where processes that hold a lock wait for each other's word.  Travels
--- through any message by reference.  A notification of a process that is
--- killed before it has the lock again goes to another, so a wait may end
--- without one that was meant for it: ask again for what you wait for.
---@class mp.Condition
local Condition = {}

--- Acquire the lock, as its own method.
---@param timeout? number seconds
---@return boolean acquired
---@return "timeout"|"abandoned"? reason
function Condition:acquire(timeout) end

--- Release the lock, as its own method.
function Condition:release() end

--- Is the lock held?
---@return boolean
function Condition:locked() end

--- Acquire the lock until the end of a block.
---@param timeout? number seconds
---@return mp.Guard? guard
---@return "timeout"|"abandoned"? reason
function Condition:guard(timeout) end

--- Call f(...) with the lock held.
---@param f function
---@param ... any
---@return any ... what f returned
function Condition:with(f, ...) end

--- Release the lock (all levels of an RLock), wait to be notified, and acquire
--- it again.  Raises when the caller does not hold it.  "abandoned" says that
--- its holder died with it meanwhile (after "timeout": the third result).  When
--- a signal's hook raises (Ctrl-C), the lock is acquired again before the error
--- goes on; a second error ends that, and the lock is then not held.
---@param timeout? number seconds
---@return boolean notified
---@return "timeout"|"abandoned"? reason
---@return "abandoned"?
function Condition:wait(timeout) end

--- Wait until pred() is true; it is called with the lock held.
---@param pred function
---@param timeout? number seconds
---@return any result of pred; or false, "timeout"
---@return "timeout"|"abandoned"? reason
---@return "abandoned"?
function Condition:wait_for(pred, timeout) end

--- Wake the n that have waited longest.  Raises when the caller does not hold
--- the lock.
---@param n? integer default 1
function Condition:notify(n) end

--- Wake all.  Raises when the caller does not hold the lock.
function Condition:notify_all() end

--- A condition over a lock; several may share one.
---@param lock? mp.Lock|mp.RLock default: an RLock of its own
---@return mp.Condition
function mp.Condition(lock) end

-- Barriers ----------------------------------------------------------------

--- Where a number of parties wait for each other.  Travels through any message
--- by reference.  One that is killed while it waits breaks it for the others.
---@class mp.Barrier
---@field parties integer
---@field n_waiting integer
---@field broken boolean
local Barrier = {}

--- Wait until as many as `parties` do, then go on with them.  The last to come
--- runs the action; an error in it breaks the barrier and is raised there.  One
--- whose time is up breaks it for the others.  One that Ctrl-C has interrupted
--- has not come.
---@param timeout? number seconds; default: the barrier's
---@return integer? index 1 to parties, in the order of arrival
---@return "timeout"|"broken"? reason
function Barrier:wait(timeout) end

--- Empty it, and make it whole.  Those who wait get "broken".
function Barrier:reset() end

--- Break it: who waits, and who comes, gets "broken", until a reset.
function Barrier:abort() end

---@class mp.BarrierOptions
---@field action? function called by the last to come, before all go on.  It
--- must be able to travel: other processes call it as it was when the barrier
--- was made; the process that made it, and its forks, call the function itself.
---@field timeout? number seconds, of a wait without one of its own

---@param parties integer 1 to 65535
---@param options? mp.BarrierOptions
---@return mp.Barrier
function mp.Barrier(parties, options) end

-- Events ------------------------------------------------------------------

--- A flag that processes wait for.  Travels through any message by reference.
---@class mp.Event : mp.Pollable
local Event = {}

--- Put it up, and wake all who wait.  Who had begun to wait succeeds, also when
--- it is cleared at once.
function Event:set() end

--- Take it down.
function Event:clear() end

--- Is it up, just now?
---@return boolean
function Event:is_set() end

--- Wait until it is set.
---@param timeout? number seconds
---@return boolean set
---@return "timeout"? reason
function Event:wait(timeout) end

--- A descriptor that is readable while it is set, for mp.wait and event loops;
--- belongs to this object.
---@return integer
function Event:fileno() end

--- An event, not set.
---@return mp.Event
function mp.Event() end
