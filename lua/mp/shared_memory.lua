--- Shared memory with a name, as Python's multiprocessing.shared_memory has it.
local blame = require "mp.error".blame
local core = require "mp.core"
local handle = require "mp.handle"
local options = require "mp.options"

local shared_memory = {}

--
-- SharedMemory
--

---@class mp.SharedMemory
local SharedMemory = {
  close = core.block_close,
  unlink = core.block_unlink,
}

local ATTRIBUTES = {
  name = core.block_name,
  size = core.block_size,
  buf = core.block_buf,
}

local mt = handle.metatable("mp.SharedMemory")

function mt:__index(key)
  local get = ATTRIBUTES[key]
  if get then return get(self) end
  return SharedMemory[key]
end

function mt:__close()
  core.block_close(self)
end

function mt:__tostring()
  return ("mp.SharedMemory %q (%d bytes%s)"):format(
    self.name, self.size, self.buf and "" or ", closed")
end

local VALID = { name = "string", create = "boolean", size = "number" }

--- Make a block, or attach to one.
---@param given mp.SharedMemoryOptions
---@return mp.SharedMemory? block
---@return string? message
---@return integer? errno
function shared_memory.SharedMemory(given)
  if type(given) ~= "table" then
    error("SharedMemory: a table of options was expected, not a "
      .. type(given), 2)
  end
  options.check("SharedMemory", given, VALID)
  if not given.create then
    if not given.name then
      error("SharedMemory: a name is needed unless create = true", 2)
    end
    return core.block_attach(given.name)
  end
  local size = math.tointeger(given.size)
  if not size or size <= 0 then
    error("SharedMemory: size must be a positive integer", 2)
  end
  return core.block_create(given.name, size)
end

--
-- ShareableList: the layout of Python's, which is
--
--   8 bytes        n, the number of elements
--   8 * (n + 1)    where each begins in the data, and where the last ends
--   ...            the data: 8 bytes for what is no string, else its room
--   8 * n          the format of each, as of Python's struct
--   n              what it becomes: 0 as it is, 1 str, 2 bytes, 3 None
--

local WORD = 8
local FORMAT_MAX = 8 -- characters of a format
local INTEGER, FLOAT, BOOLEAN, NONE = "q", "d", "xxxxxxx?", "xxxxxx?x"
local PLAIN, STR, BYTES, NIL = 0, 1, 2, 3

--- What is known of a list here; the fields of the Lua value itself are its
--- elements, and none is there.
local states = setmetatable({}, { __mode = "k" })
--- block -> list: the same list is the same value.
local lists = setmetatable({}, { __mode = "k" })

---@class mp.ShareableList
local ShareableList = {}
local list_mt = { __name = "mp.ShareableList" }

--- Format and code of a value; `room` is that of its place, if it has one.
local function describe(value, room)
  local kind = math.type(value) or type(value)
  if kind == "integer" then return INTEGER, PLAIN end
  if kind == "float" then return FLOAT, PLAIN end
  if kind == "boolean" then return BOOLEAN, PLAIN end
  if kind == "nil" then return NONE, NIL end
  if kind ~= "string" then return nil, kind end
  room = room or WORD * (#value // WORD + 1)
  return ("%ds"):format(room), utf8.len(value) and STR or BYTES
end

local function store(buf, at, format, value)
  if format == INTEGER then
    buf:set("q", at, value)
  elseif format == FLOAT then
    buf:set("d", at, value)
  elseif format == BOOLEAN then
    buf:write(at, ("\0"):rep(7) .. (value and "\1" or "\0"))
  elseif format == NONE then
    buf:write(at, ("\0"):rep(8))
  else
    local room = tonumber(format:match("^%d+"))
    buf:write(at, value .. ("\0"):rep(room - #value))
  end
end

local function fetch(buf, at, format)
  if format == INTEGER then return buf:get("q", at) end
  if format == FLOAT then return buf:get("d", at) end
  if format == BOOLEAN then return buf:get("?", at + 7) end
  if format == NONE then return nil end
  local room = format:match("^(%d+)s$")
  if not room then
    blame(("ShareableList: an element of format %q"):format(format))
  end
  -- As Python does: zero bytes at the end are not the string's.
  return (buf:read(at, tonumber(room)):match("^(.-)%z*$"))
end

local function buffer(state)
  return state.shm.buf or blame("ShareableList: the list is closed")
end

local function get_format(buf, state, i)
  return (buf:read(state.formats + (i - 1) * WORD, WORD):match("^%Z*"))
end

local function put(buf, state, i, format, code, value)
  buf:write(state.formats + (i - 1) * WORD,
    format .. ("\0"):rep(WORD - #format))
  buf:set("b", state.codes + i - 1, code)
  store(buf, state.data + state.offsets[i], format, value)
end

--- The list that lies in a block; offsets[i] as the block has them.
local function new_list(shm, n, offsets)
  local data = (n + 2) * WORD
  local formats = data + offsets[n + 1]
  local list = setmetatable({}, list_mt)
  states[list] = { shm = shm, n = n, offsets = offsets, data = data,
    formats = formats, codes = formats + n * WORD }
  lists[shm] = list
  return list
end

local function create(given, name)
  local n = given.n or #given
  local formats, codes, offsets = {}, {}, { 0 }
  for i = 1, n do
    local format, code = describe(given[i])
    if not format then
      blame(("ShareableList: element %d is a %s"):format(i, code))
    elseif #format > FORMAT_MAX then
      blame(("ShareableList: element %d: a string of %d bytes is too long")
        :format(i, #given[i]))
    end
    formats[i], codes[i] = format, code
    offsets[i + 1] = offsets[i] + (tonumber(format:match("^%d+")) or WORD)
  end
  local size = (n + 2) * WORD + offsets[n + 1] + n * WORD + n
  local shm, message, errno = core.block_create(name, size)
  if not shm then return nil, message, errno end
  local list = new_list(shm, n, offsets)
  local buf, state = shm.buf, states[list]
  buf:set("q", 0, n)
  for i = 1, n + 1 do buf:set("q", i * WORD, offsets[i]) end
  for i = 1, n do put(buf, state, i, formats[i], codes[i], given[i]) end
  return list
end

--- What is in a block may be anything.
local function read_offsets(buf)
  if #buf < 2 * WORD then return nil end
  local n = buf:get("q", 0)
  if n < 0 or n > #buf // (2 * WORD) then return nil end
  local room = #buf - (n + 2) * WORD - n * (WORD + 1)
  local offsets = {}
  for i = 1, n + 1 do
    local offset = buf:get("q", i * WORD)
    if offset < (offsets[i - 1] or 0) or offset > room then return nil end
    offsets[i] = offset
  end
  return n, offsets
end

--- The list in a block; also what a received list is made of.
local function list_in(shm)
  if lists[shm] then return lists[shm] end
  local buf = shm.buf
  local n, offsets
  if buf then n, offsets = read_offsets(buf) end
  if not n then return nil, shm.name .. ": holds no ShareableList", 22 end
  return new_list(shm, n, offsets)
end
shared_memory._list_in = list_in

local function is_empty(given)
  for key in pairs(given) do
    if key ~= "name" then return false end
  end
  return true
end

local function check_list(given)
  if type(given) ~= "table" then
    blame("ShareableList: a table was expected, not a " .. type(given))
  end
  for key in pairs(given) do
    if key ~= "name" and key ~= "n" and math.type(key) ~= "integer" then
      blame(("ShareableList: unknown option '%s' (valid: n, name)"):format(
        tostring(key)))
    end
  end
  if given.name ~= nil and type(given.name) ~= "string" then
    blame("ShareableList: name must be a string, not a "
      .. type(given.name))
  end
  local n = given.n
  if n ~= nil and (math.type(n) ~= "integer" or n < 0) then
    blame("ShareableList: n must be a number of elements")
  end
end

--- A list in a block of its own, or the one in the block of that name.
---@param given table elements and name; or only a name: attach
---@return mp.ShareableList? list
---@return string? message
---@return integer? errno
function shared_memory.ShareableList(given)
  check_list(given)
  if not given.name or not is_empty(given) then
    return create(given, given.name)
  end
  local shm, message, errno = core.block_attach(given.name)
  if not shm then return nil, message, errno end
  return list_in(shm)
end

--- The first place of a value.  Raises when it is not there.
function ShareableList:index(value)
  for i = 1, states[self].n do
    if self[i] == value then return i end
  end
  error(("ShareableList: %s is not in the list"):format(tostring(value)), 2)
end

function ShareableList:count(value)
  local found = 0
  for i = 1, states[self].n do
    if self[i] == value then found = found + 1 end
  end
  return found
end

local FIELDS = {
  shm = function(state) return state.shm end,
  format = function(state)
    local buf, formats = buffer(state), {}
    for i = 1, state.n do formats[i] = get_format(buf, state, i) end
    return table.concat(formats)
  end,
}

function list_mt:__index(key)
  local i = math.tointeger(key)
  local state = states[self]
  if not i then
    local field = FIELDS[key]
    if field then return field(state) end
    return ShareableList[key]
  end
  if i < 1 or i > state.n then return nil end
  local buf = buffer(state)
  return fetch(buf, state.data + state.offsets[i], get_format(buf, state, i))
end

function list_mt:__newindex(key, value)
  local i, state = math.tointeger(key), states[self]
  if not i or i < 1 or i > state.n then
    error(("ShareableList: no place %s in a list of %d"):format(
      tostring(key), state.n), 2)
  end
  local buf = buffer(state)
  local room = state.offsets[i + 1] - state.offsets[i]
  local format, code = describe(value, room)
  if not format then
    error(("ShareableList: cannot hold a %s"):format(code), 2)
  elseif type(value) == "string" and #value > room then
    error(("ShareableList: a string of %d bytes, the place has %d"):format(
      #value, room), 2)
  end
  put(buf, state, i, format, code, value)
end

function list_mt:__len()
  return states[self].n
end

function list_mt:__pairs()
  local n = states[self].n
  return function(list, i)
    if i < n then return i + 1, list[i + 1] end
  end, self, 0
end

function list_mt:__close()
  core.block_close(states[self].shm)
end

function list_mt:__reduce()
  return list_in, states[self].shm
end

function list_mt:__tostring()
  local shm = states[self].shm
  return ("mp.ShareableList %q (%d elements%s)"):format(
    shm.name, states[self].n, shm.buf and "" or ", closed")
end

return shared_memory
