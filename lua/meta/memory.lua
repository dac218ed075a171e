---@meta _
-- The reference of shared memory: blocks with a name, values, arrays.

---@class mp
local mp = {}

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
