--- How the functions of tasks reach a crew's workers.
--
-- A function that comes again, or has many tasks, gets a number and is sent
-- once to each worker's control queue: {number, code}, and {number, false}
-- when it is dropped.  Any other travels with its items.
local codec = require "mp.codec"
local error_types = require "mp.error"

local Functions = {}
Functions.__index = Functions

local functions = {}

--- How many that nobody uses just now the workers keep.
local IDLE = 64
local LAST_ID = 0x7ffff -- what an item's tag has room for

local function describe(f)
  if type(f) ~= "function" then return error_types.text(f) end
  local info = debug.getinfo(f, "S")
  return info.what == "C" and "a C function"
    or ("function <%s:%d>"):format(info.short_src, info.linedefined)
end

--- A function without upvalues is always the same.
local function is_constant(f)
  if type(f) ~= "function" then return false end
  local info = debug.getinfo(f, "Su")
  return info.what == "Lua" and info.nups == 0
end

--- Drop the one that was idle longest; who still has it sends its code.
local function evict(self)
  local oldest
  for _, entry in pairs(self.entries) do
    if entry.pending == 0 and (not oldest or entry.stamp < oldest.stamp) then
      oldest = entry
    end
  end
  if not oldest then return end
  self.entries[oldest.code] = nil
  self.n = self.n - 1
  if not oldest.id then return end
  self.staff:tell { oldest.id, false }
  oldest.id = nil
end

local function register(self, entry)
  if self.last_id == LAST_ID then return end
  self.last_id = self.last_id + 1
  entry.id = self.last_id
  self.staff:tell { entry.id, entry.code }
end

--- How a function goes to the workers: {id = its number, or send = what items
--- carry}.
---@param f any what can be called
---@param many boolean it has many tasks
function Functions:use(f, many)
  local ok, code = true, self.codes[f]
  if not code then
    ok, code = pcall(codec.encode, f)
    if error_types.interrupted(not ok and code) then error(code, 0) end
    if ok and is_constant(f) then self.codes[f] = code end
  end
  if not ok then -- it holds objects of the family: it travels with each item
    return { send = f, pending = 0, name = describe(f) }
  end
  local entry = self.entries[code]
  if not entry then
    if self.n >= IDLE then evict(self) end
    entry = { code = code, send = code, pending = 0, name = describe(f) }
    self.entries[code] = entry
    self.n = self.n + 1
  elseif not entry.id then
    many = true
  end
  if many and not entry.id then register(self, entry) end
  self.uses = self.uses + 1
  entry.stamp = self.uses
  return entry
end

--- Tell a new worker of all those that have a number.
---@param control table its control queue
function Functions:introduce(control)
  for _, entry in pairs(self.entries) do
    if entry.id then control:put { entry.id, entry.code } end
  end
end

---@param staff table the workers
function functions.new(staff)
  return setmetatable({
    staff = staff, entries = {}, n = 0, last_id = 0, uses = 0,
    codes = setmetatable({}, { __mode = "k" }), -- of constant functions
  }, Functions)
end

return functions
