---@meta mp
-- The reference of the public API, for the Lua language server and for
-- readers.  Timeouts are seconds; nil waits for ever, <= 0 only looks, NaN or a
-- non-number raises.  Names follow Python's multiprocessing (docs.python.org,
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

--- A path (a leading NUL: an abstract name), or {host, port}.
---@alias mp.Address string|{[1]: string, [2]: integer}

---@class mp.PeerOptions
---@field address? mp.Address
---@field family? "AF_UNIX"|"AF_INET"|"AF_INET6" default: the address's
---@field authkey? string both sides show that they have it (HMAC, as Python's
--- multiprocessing does; nothing is encrypted: beyond this machine use a
--- tunnel)
---@field auth_timeout? number seconds for the handshake; default 20
---@field require? "sha256" refuse a peer that knows only md5 (Python < 3.12)
---@field any_user? boolean unix sockets: also peers of other users
---@field trusted? boolean what arrives may hold functions; default false
---@field max_message? integer bytes; a longer one raises and closes the
--- connection

---@class mp.ListenerOptions : mp.PeerOptions
---@field backlog? integer default 1024

---@class mp.ClientOptions : mp.PeerOptions
---@field timeout? number seconds for connecting, handshake included

--- Takes in processes outside the family.  `<close>` closes it.
---@class mp.Listener
---@field address mp.Address where it listens; a port 0 is resolved
---@field last_accepted? mp.Address where the last client came from
---@field closed boolean
local Listener = {}

--- The next client; with an authkey, the next that has shown that it has it.
--- Silent or hostile clients keep nobody waiting; handshakes under way go on in
--- the next call.
---@param timeout? number seconds
---@return mp.Connection? connection
---@return string? reason "timeout"; "auth: ..." when a client was turned away
function Listener:accept(timeout) end

--- A descriptor for event loops: readable while accept has something to do.
---@return integer fd
function Listener:fileno() end

--- Stop listening; the file of a unix socket goes away with its creator's.
function Listener:close() end

--- Listen.  Default: a unix socket of mode 0600 in a new directory of mode
--- 0700.  An address where somebody listens is refused; the file of a listener
--- that was killed is replaced.  Abstract names need an authkey.
---@param options? mp.ListenerOptions
---@return mp.Listener? listener
---@return string? message or "auth: the key is empty"
---@return integer? errno
function mp.connection.Listener(options) end

--- Connect to a Listener, ours or Python's.
---@param options mp.ClientOptions
---@return mp.Connection? connection
---@return string? reason "timeout", "auth: ...", or a message
---@return integer? errno
function mp.connection.Client(options) end

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

-- Shared memory with a name -----------------------------------------------

mp.shared_memory = {}

---@class mp.SharedMemoryOptions
---@field name? string of the file in /dev/shm, up to 255 bytes, no slash;
--- default with create: "psm_" and eight hexadecimal digits
---@field create? boolean default false: attach to the block of that name
---@field size? integer bytes, with create

--- A block of memory that has a name, the same for Python's SharedMemory.
--- Travels through any message by reference, also when the name is gone by
--- then.  `<close>` closes it.
---
--- The name goes away by `unlink`, at the end of the process that created the
--- block, or through any other process of the family when that one is killed;
--- not by `close`.  (Python 3.11 unlinks at its end what it has only attached
--- to: there, `resource_tracker.unregister(shm._name, "shared_memory")` keeps
--- the name; from 3.13 on, `track=False`.)
---
--- Memory is allocated when a part is first used, 64 KiB at a time: a lack of
--- it raises.  A program that shortens the file takes away what we use; that
--- ends us by SIGBUS, as it would any program that has it mapped.
---@class mp.SharedMemory
---@field name string
---@field size integer bytes, exactly as created
---@field buf? mp.Buffer its bytes; nil once it is closed
local SharedMemory = {}

--- End this process's use of the block.
function SharedMemory:close() end

--- Take the name away; whoever has the block keeps it.  Any process may, also
--- after `close`.  The name is left alone when another block has it by now.
---@return true? done
---@return string? message
---@return integer? errno ENOENT (2): it has gone already
function SharedMemory:unlink() end

--- Create a block, all zero, or attach to one.  Raises for want of space,
--- memory or descriptors.
---@param options mp.SharedMemoryOptions
---@return mp.SharedMemory? block
---@return string? message the name exists, or does not
---@return integer? errno EEXIST (17), ENOENT (2), EACCES (13), EINVAL (22), ...
function mp.shared_memory.SharedMemory(options) end

--- The bytes of a block, mapped into this process; `#buf` is their number.
--- Offsets are byte distances, from 0; what does not lie in the block raises.
--- An aligned number is read and written whole; all else wants a lock.
---@class mp.Buffer
local Buffer = {}

--- The number (or boolean, or character) at an offset, little-endian.  Q and L
--- from 2^63 on come as the negative integer of the same bits.
---@param typecode mp.Typecode
---@param offset integer
---@return any value
function Buffer:get(typecode, offset) end

--- Raises when the value does not fit the typecode; nothing is written then.
---@param typecode mp.Typecode
---@param offset integer
---@param value any
function Buffer:set(typecode, offset, value) end

--- A copy of n bytes.
---@param offset integer
---@param n integer bytes
---@return string
function Buffer:read(offset, n) end

--- Copy a string's bytes into the block.
---@param offset integer
---@param s string
function Buffer:write(offset, s) end

--- A list in a block of its own, in the layout of Python's ShareableList: its
--- length stays, an element may be an integer, a float, a boolean, a string or
--- nil, and a string may be as long as its place (8 bytes, or the first string
--- there rounded up).  Strings lose zero bytes at their end; those that are
--- valid UTF-8 are str to Python, others bytes.
---
--- `list[i]`, `list[i] = v`, `#list`, `ipairs` (to the first nil), `pairs` (all
--- of them).  Two that use an element at once want a lock.  Travels through any
--- message by reference.  `<close>` closes its block.
---@class mp.ShareableList
---@field shm mp.SharedMemory
---@field format string of all elements, as Python's struct has it
---@field [integer] integer|number|boolean|string|nil
local ShareableList = {}

--- The place of the first element that is equal; raises when there is none.
---@param value any
---@return integer
function ShareableList:index(value) end

--- How many elements are equal to it.
---@param value any
---@return integer
function ShareableList:count(value) end

--- `{1, "two", nil, n = 3}` creates (with `name = ` in a block of that name),
--- `{name = n}` alone attaches.
---@param elements table
---@return mp.ShareableList? list
---@return string? message
---@return integer? errno
function mp.shared_memory.ShareableList(elements) end

-- Locks -------------------------------------------------------------------

--- A lock.  Travels through any message by reference.  If its holder dies,
--- execs or ends without releasing it, the next `acquire` gets it at once and
--- gives true, "abandoned": what the lock protects may be half changed.
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
-- Shared values -----------------------------------------------------------

--- b B h H i I l L q Q (char, short, int, long, long long; capital: unsigned),
--- f d (float, double), ? (boolean), c (a byte, as a string).  A number of L or
--- Q from 2^63 on is read as the integer of the same bits, as string.unpack
--- does, and written as a float.
---@alias mp.Typecode
---| "b" | "B" | "h" | "H" | "i" | "I" | "l" | "L" | "q" | "Q"
---| "f" | "d" | "?" | "c"

---@class mp.CellOptions
---@field lock? boolean|mp.Lock|mp.RLock default: an RLock of its own; false:
--- none

--- One number, boolean, byte or struct in shared memory.  Travels through any
--- message by reference.  A store that does not fit the typecode raises and
--- changes nothing.  A load or store of `value` is one step that nobody sees
--- half of; it takes no lock.
--- `<close>` lets go of this handle.
---@class mp.Value
---@field value any of a struct: a table of all fields; what is set is the
--- whole, fields left out are zero
---@field [string] any a struct's fields
local Value = {}

--- The lock that belongs to it, an RLock unless another was given.  Raises
--- when it was made without.
---@return mp.RLock|mp.Lock
function Value:get_lock() end

--- Atomically add.  Raises when the sum does not fit; nothing is done then.
---@param n number
---@return number old
function Value:add(n) end

--- Atomically set.
---@param value any
---@return any old
function Value:exchange(value) end

--- Atomically set to `new` if it is `old`.  Floats are compared as numbers.
---@param old any
---@param new any
---@return boolean done
---@return any seen what was there
function Value:compare_exchange(old, new) end

---@param typecode mp.Typecode|mp.Struct
---@param initial? any default: zero
---@param options? mp.CellOptions
---@return mp.Value
function mp.Value(typecode, initial, options) end

--- A Value without a lock.
---@param typecode mp.Typecode|mp.Struct
---@param initial? any
---@return mp.Value
function mp.RawValue(typecode, initial) end

--- A fixed number of them.  `a[i]` counts from 1 and is nil beyond the end;
--- to set there raises.  `#a`, `ipairs` and `pairs` work.  An element is never
--- seen half written; of what is done in bulk others may see a part.
--- Of structs `a[i]` is a view with the fields, which keeps the array alive;
--- `a[i] = {x = 1}` sets the whole element.
---@class mp.Array
---@field value string of an array of c: the bytes up to the first NUL; what is
--- set is followed by a NUL if there is room
---@field raw string of an array of c: all bytes
---@field [integer] any
---@operator len: integer
local Array = {}

--- The lock that the array was made with.
---@return mp.RLock|mp.Lock
function Array:get_lock() end

--- Elements i to j, as string.sub counts.  Structs are tables; of an array of
--- c it is a string.
---@param i? integer default 1
---@param j? integer default -1
---@return any[]|string
function Array:slice(i, j) end

--- Set the elements from i on (-1: the last).  Raises, and has changed nothing,
--- when something does not fit.
---@param i integer
---@param values any[]|string a list, or packed as in memory (string.pack)
function Array:assign(i, values) end

--- Set elements i to j, as string.sub counts, to one value.
---@param value any
---@param i? integer default 1
---@param j? integer default -1
function Array:fill(value, i, j) end

--- The bytes of all elements, as in memory (string.unpack).
---@return string
function Array:tostring() end

---@param typecode mp.Typecode|mp.Struct
---@param init integer|any[]|string how many, all zero; or a list; of c a string
---@param options? mp.CellOptions
---@return mp.Array
function mp.Array(typecode, init, options) end

--- An Array without a lock.
---@param typecode mp.Typecode|mp.Struct
---@param init integer|any[]|string
---@return mp.Array
function mp.RawArray(typecode, init) end

--- Fields in place of a typecode, laid out as C does.
---@class mp.Struct

--- A value of it is a table: by the fields' names, or in their order.
---@param fields table[] {name, typecode}, or {name, "c", length} for a string
---@return mp.Struct
function mp.Struct(fields) end

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

--- Is it up?
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

--- fileno, as luasocket and copas look for it.
---@return integer fd
function Event:getfd() end

--- Is it up?  (luasocket, copas)
---@return boolean
function Event:dirty() end

--- fileno, as cqueues looks for it.
---@return integer fd
function Event:pollfd() end

--- What to wait for.  (cqueues)
---@return "r"
function Event:events() end

--- When to look again at the latest: never.  (cqueues)
---@return nil
function Event:timeout() end

--- An event, not set.
---@return mp.Event
function mp.Event() end

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

mp.futures.ALL_COMPLETED = "ALL_COMPLETED"
mp.futures.FIRST_COMPLETED = "FIRST_COMPLETED"
mp.futures.FIRST_EXCEPTION = "FIRST_EXCEPTION"

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

--- Has it an outcome, or was it cancelled?
---@return boolean
function Future:done() end

--- Wait for the outcome.
---@param timeout? number seconds
---@return boolean ready
---@return string? reason "timeout"
function Future:wait(timeout) end

--- A descriptor for event loops: readable when results have come.
---@return integer fd
function Future:fileno() end

--- The API of mp with threads for processes.
mp.dummy = mp.get_context("thread")

-- Managers ----------------------------------------------------------------

--- See managers.lua.
mp.managers = {}

--- A SyncManager, started.
---@return mp.managers.SyncManager
function mp.Manager() end

-- Logging -----------------------------------------------------------------

---@alias mp.Level "DEBUG"|"INFO"|"WARN"|"ERROR"|"FATAL"|"OFF"

--- Silent until it has an output.  What descendants log that were started since
--- reaches the outputs of the process that has them, in order for each; when
--- that process logs, flushes, joins a process, or ends.
---@class mp.Logger
local Logger = {}

--- Log at a level, if it is not left out.
---@param level mp.Level
---@param message any a text, a format, or a function that gives the text
---@param ... any arguments of the format or the function
function Logger:log(level, message, ...) end

--- log("DEBUG", ...)
---@param message any
---@param ... any
function Logger:debug(message, ...) end

--- log("INFO", ...)
---@param message any
---@param ... any
function Logger:info(message, ...) end

--- log("WARN", ...)
---@param message any
---@param ... any
function Logger:warn(message, ...) end

--- log("ERROR", ...)
---@param message any
---@param ... any
function Logger:error(message, ...) end

--- log("FATAL", ...)
---@param message any
---@param ... any
function Logger:fatal(message, ...) end

--- What is below it is left out; default "WARN".
---@param level mp.Level
function Logger:setLevel(level) end

--- What is below it is left out.
---@return mp.Level
function Logger:getLevel() end

--- One more output: f(logger, level, message), as LuaLogging's appenders are, or
--- a LuaLogging logger.
---@param output function|table
function Logger:addOutput(output) end

--- Hand out what descendants have logged.
function Logger:flush() end

--- The logger of this process.
---@return mp.Logger
function mp.get_logger() end

--- The logger, writing "[LEVEL/Process-1] message" to stderr from now on.
---@param level? mp.Level
---@return mp.Logger
function mp.log_to_stderr(level) end

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
