--- Python's pickle, as far as it is data: what two programs need to exchange
--- values through multiprocessing.connection.
--
-- Nothing is ever looked up or called by a name that the bytes hold, so there
-- is no way from a pickle to code: opcodes that would make an object are
-- refused.  Written is protocol 3 (4 when there are sets), which every Python 3
-- reads; read are protocols 2 to 5.
local options = require "mp.options"

local pickle = {}

local pack, unpack, char, byte = string.pack, string.unpack, string.char,
  string.byte
local sub, concat, len = string.sub, table.concat, utf8.len

-- Which Python type a table is, where its fields do not tell.
local LIST = { __name = "mp.pickle.list" }
local DICT = { __name = "mp.pickle.dict" }
local TUPLE = { __name = "mp.pickle.tuple" }
local SET = { __name = "mp.pickle.set" }
local BYTES = { __name = "mp.pickle.bytes" }

--- A None that a table can hold.
pickle.None = setmetatable({}, {
  __name = "mp.pickle.None", __tostring = function() return "None" end,
})

---@param t? table elements 1 .. n; a field n counts nils
---@return table t to be written as a list, also when it is empty
function pickle.list(t) return setmetatable(t or {}, LIST) end

---@return table t to be written as a dict, also when its keys are 1 .. n
function pickle.dict(t) return setmetatable(t or {}, DICT) end

---@return table tuple
function pickle.tuple(...) return setmetatable(table.pack(...), TUPLE) end

---@param t? table the elements are its keys
---@return table t to be written as a set
function pickle.set(t) return setmetatable(t or {}, SET) end

---@param s string
---@return table bytes to be written as bytes, also when it is valid UTF-8
function pickle.bytes(s) return setmetatable({ s }, BYTES) end

-- Writing --------------------------------------------------------------------

local put -- of a value: put(out, value, memo)

local function put_integer(out, v)
  if v >= 0 and v <= 255 then
    out[#out + 1] = "K" .. char(v)
  elseif v >= 0 and v <= 65535 then
    out[#out + 1] = pack("<c1I2", "M", v)
  elseif v >= -0x80000000 and v <= 0x7fffffff then
    out[#out + 1] = pack("<c1i4", "J", v)
  else
    out[#out + 1] = pack("<c1Bi8", "\x8a", 8, v)
  end
end

local function put_bytes(out, s)
  if #s <= 255 then
    out[#out + 1] = "C" .. char(#s)
  elseif #s <= 0xffffffff then
    out[#out + 1] = pack("<c1I4", "B", #s)
  else
    out.protocol = 4
    out[#out + 1] = pack("<c1I8", "\x8e", #s)
  end
  out[#out + 1] = s
end

local function put_string(out, s)
  if not len(s) then return put_bytes(out, s) end
  if #s <= 0xffffffff then
    out[#out + 1] = pack("<c1I4", "X", #s)
  else
    out.protocol = 4
    out[#out + 1] = pack("<c1I8", "\x8d", #s)
  end
  out[#out + 1] = s
end

--- So that a table met again is the same object at the other end.
local function memoize(out, memo, t)
  local n = memo.n
  memo[t], memo.n = n, n + 1
  out[#out + 1] = n < 256 and "q" .. char(n) or pack("<c1I4", "r", n)
end

local function put_sequence(out, t, memo)
  for i = 1, t.n or #t do put(out, t[i], memo) end
end

local function put_list(out, t, memo)
  out[#out + 1] = "]"
  memoize(out, memo, t)
  out[#out + 1] = "("
  put_sequence(out, t, memo)
  out[#out + 1] = "e"
end

local function put_dict(out, t, memo)
  out[#out + 1] = "}"
  memoize(out, memo, t)
  out[#out + 1] = "("
  for key, value in next, t do
    put(out, key, memo)
    put(out, value, memo)
  end
  out[#out + 1] = "u"
end

local function put_tuple(out, t, memo)
  if memo.open[t] then error("dumps: a tuple cannot hold itself", 0) end
  memo.open[t] = true
  out[#out + 1] = "("
  put_sequence(out, t, memo)
  out[#out + 1] = "t"
  memoize(out, memo, t)
  memo.open[t] = nil
end

local function put_set(out, t, memo)
  out.protocol = 4
  out[#out + 1] = "\x8f"
  memoize(out, memo, t)
  out[#out + 1] = "("
  for key in next, t do put(out, key, memo) end
  out[#out + 1] = "\x90"
end

local function put_table(out, t, memo)
  local known = memo[t]
  if known then
    out[#out + 1] = known < 256 and "h" .. char(known)
      or pack("<c1I4", "j", known)
    return
  end
  if t == pickle.None then out[#out + 1] = "N" return end
  local mt = getmetatable(t)
  if mt == BYTES then return put_bytes(out, t[1]) end
  if mt == TUPLE then return put_tuple(out, t, memo) end
  if mt == SET then return put_set(out, t, memo) end
  if mt == LIST or mt == nil
    and (t[1] ~= nil or math.type(t.n) == "integer") then
    return put_list(out, t, memo)
  end
  if mt ~= DICT and mt ~= nil then
    error("dumps: cannot pickle a table with a metatable of its own", 0)
  end
  return put_dict(out, t, memo)
end

local PUT = {
  ["nil"] = function(out) out[#out + 1] = "N" end,
  boolean = function(out, v) out[#out + 1] = v and "\x88" or "\x89" end,
  number = function(out, v)
    if math.type(v) == "integer" then return put_integer(out, v) end
    out[#out + 1] = pack(">c1d", "G", v)
  end,
  string = put_string,
  table = put_table,
}

function put(out, v, memo)
  local f = PUT[type(v)]
  if not f then error("dumps: cannot pickle a " .. type(v), 0) end
  return f(out, v, memo)
end

--- The pickle of a value.  Strings become str, or bytes when they are not valid
--- UTF-8; tables with an element 1, or a field n, become lists, others dicts
--- (see list, dict, tuple, set, bytes).  Raises for what is not data.
---@param value any
---@return string
function pickle.dumps(value)
  local out = { "", protocol = 3 }
  local ok, why = pcall(put, out, value, { n = 0, open = {} })
  if not ok then error(why, 2) end
  out[1] = char(0x80, out.protocol)
  out[#out + 1] = "."
  return concat(out)
end

-- Reading --------------------------------------------------------------------

local MARK, NONE = {}, {} -- on the stack of the machine

--- The machine: s, at (the next byte), stack, top, memo, none.
local ops = {}

local function bad(m, why) error({ why = why, at = m.at - 1 }, 0) end

local function push(m, v)
  if v == nil then v = NONE end
  local top = m.top + 1
  m.top, m.stack[top] = top, v
end

local function pop(m)
  local top = m.top
  local v = m.stack[top]
  if top == 0 or v == MARK then bad(m, "nothing on the stack") end
  m.top, m.stack[top] = top - 1, nil
  return v
end

--- The index of the topmost mark.
local function mark(m)
  local stack = m.stack
  for i = m.top, 1, -1 do
    if stack[i] == MARK then return i end
  end
  bad(m, "there is no mark")
end

--- Take away the mark at `i`, and all above it.
local function cut(m, i)
  for k = m.top, i, -1 do m.stack[k] = nil end
  m.top = i - 1
end

local function take(m, format, size)
  local at = m.at
  if at + size - 1 > #m.s then bad(m, "it ends too early") end
  m.at = at + size
  return (unpack(format, m.s, at))
end

local function take_bytes(m, n)
  local at = m.at
  if n < 0 or n > #m.s - at + 1 then bad(m, "it ends too early") end
  m.at = at + n
  return sub(m.s, at, at + n - 1)
end

--- What a table of ours holds for a value of the stack.
local function plain(m, v)
  if v == NONE then return m.none end
  return v
end

local function add(m, list, v)
  if getmetatable(list) ~= LIST then bad(m, "this is no list") end
  v = plain(m, v)
  local n = (list.n or #list) + 1
  list[n] = v
  if v == nil or list.n then list.n = n end
end

local function is_key(key)
  return key ~= nil and key == key
end

local function set(m, dict, key, v)
  if getmetatable(dict) ~= DICT then bad(m, "this is no dict") end
  key = plain(m, key)
  if not is_key(key) then bad(m, "None and NaN cannot be keys here") end
  dict[key] = plain(m, v)
end

local function container(mt)
  return function(m) push(m, setmetatable({}, mt)) end
end

local function op(code, f) ops[byte(code)] = f end

local function constant(code, v) op(code, function(m) push(m, v) end) end

local function number(code, format, size)
  op(code, function(m) push(m, take(m, format, size)) end)
end

local function string_of(code, format, size)
  op(code, function(m) push(m, take_bytes(m, take(m, format, size))) end)
end

local function long(m, n)
  if n < 0 then bad(m, "a negative length") end
  if n > 8 then
    -- Python writes a sign byte more for what needs all 64 bits.
    local s = take_bytes(m, n)
    local fill = byte(s, 8) < 128 and "\0" or "\xff"
    if sub(s, 9) ~= fill:rep(n - 8) then
      bad(m, "an integer has more than 64 bits")
    end
    return push(m, (unpack("<i8", s)))
  end
  push(m, n == 0 and 0 or take(m, "<i" .. n, n))
end

local function tuple_of(code, n)
  op(code, function(m)
    local t = setmetatable({ n = n }, TUPLE)
    for i = n, 1, -1 do t[i] = plain(m, pop(m)) end
    push(m, t)
  end)
end

local function remember(m, n)
  if m.top == 0 or m.stack[m.top] == MARK then
    bad(m, "nothing on the stack")
  end
  m.memo[n] = m.stack[m.top]
end

local function recall(m, n)
  local v = m.memo[n]
  if v == nil then bad(m, "it refers to what is not there") end
  push(m, v)
end

op("\x80", function(m)
  if take(m, "B", 1) > 5 then bad(m, "a protocol after 5") end
end)
op("\x95", function(m) take(m, "<i8", 8) end) -- a frame: only a hint
op("(", function(m) push(m, MARK) end)
constant("\x88", true)
constant("\x89", false)
op("N", function(m) push(m, NONE) end)
number("K", "B", 1)
number("M", "<I2", 2)
number("J", "<i4", 4)
number("G", ">d", 8)
op("\x8a", function(m) long(m, take(m, "B", 1)) end)
op("\x8b", function(m) long(m, take(m, "<i4", 4)) end)
string_of("\x8c", "B", 1)
string_of("X", "<I4", 4)
string_of("\x8d", "<i8", 8)
string_of("C", "B", 1)
string_of("B", "<I4", 4)
string_of("\x8e", "<i8", 8)
string_of("\x96", "<i8", 8)
op("]", container(LIST))
op("}", container(DICT))
op("\x8f", container(SET))
tuple_of(")", 0)
tuple_of("\x85", 1)
tuple_of("\x86", 2)
tuple_of("\x87", 3)
op("q", function(m) remember(m, take(m, "B", 1)) end)
op("r", function(m) remember(m, take(m, "<I4", 4)) end)
op("\x94", function(m)
  m.memoized = m.memoized + 1
  remember(m, m.memoized - 1)
end)
op("h", function(m) recall(m, take(m, "B", 1)) end)
op("j", function(m) recall(m, take(m, "<I4", 4)) end)
op("0", function(m)
  if m.top > 0 and m.stack[m.top] == MARK then return cut(m, m.top) end
  pop(m)
end)
op("1", function(m) cut(m, mark(m)) end)

op("a", function(m)
  local v = pop(m)
  add(m, m.stack[m.top], v)
end)

op("e", function(m)
  local at = mark(m)
  for i = at + 1, m.top do add(m, m.stack[at - 1], m.stack[i]) end
  cut(m, at)
end)

op("s", function(m)
  local v = pop(m)
  local key = pop(m)
  set(m, m.stack[m.top], key, v)
end)

op("u", function(m)
  local at = mark(m)
  if (m.top - at) % 2 ~= 0 then bad(m, "a key without a value") end
  for i = at + 1, m.top, 2 do
    set(m, m.stack[at - 1], m.stack[i], m.stack[i + 1])
  end
  cut(m, at)
end)

op("t", function(m)
  local at = mark(m)
  local t = setmetatable({ n = m.top - at }, TUPLE)
  for i = at + 1, m.top do t[i - at] = plain(m, m.stack[i]) end
  cut(m, at)
  push(m, t)
end)

local function add_all(m, t, at)
  if getmetatable(t) ~= SET then bad(m, "this is no set") end
  for i = at + 1, m.top do
    local key = plain(m, m.stack[i])
    if not is_key(key) then bad(m, "None and NaN cannot be elements here") end
    t[key] = true
  end
  cut(m, at)
end

op("\x90", function(m)
  local at = mark(m)
  add_all(m, m.stack[at - 1], at)
end)

op("\x91", function(m)
  local at, t = mark(m), setmetatable({}, SET)
  add_all(m, t, at)
  push(m, t)
end)

-- What would make an object, or run a function: refused, by its name if it
-- has one.
local function refuse(m, module, name)
  bad(m, ("it holds a Python object (%s.%s)"):format(module, name))
end

op("c", function(m)
  local module, name = m.s:match("^([^\n]*)\n([^\n]*)\n", m.at)
  refuse(m, module or "?", name or "?")
end)

op("\x93", function(m)
  local name = pop(m)
  local module = pop(m)
  if type(name) ~= "string" or type(module) ~= "string" then
    refuse(m, "?", "?")
  end
  refuse(m, module, name)
end)

for code in ("R\x81\x92iobPQ\x82\x83\x84\x97\x98"):gmatch(".") do
  op(code, function(m) bad(m, "it holds a Python object") end)
end

local STOP = byte(".")

local function run(m)
  while true do
    local code = byte(m.s, m.at)
    if not code then bad(m, "it ends too early") end
    m.at = m.at + 1
    if code == STOP then
      local v = pop(m)
      if m.top > 0 then bad(m, "it ends with values left over") end
      return plain(m, v)
    end
    local f = ops[code]
    if not f then bad(m, ("no opcode: 0x%02x"):format(code)) end
    f(m)
  end
end

local LOADS = { none = true }

--- The value of a pickle.  str, bytes and bytearray become strings; lists,
--- tuples, dicts and sets become tables that dumps writes as what they were;
--- None becomes nil (a list with one has a field n), or opts.none.
---@param s string
---@param opts? {none: any}
---@return any value
---@return string? message for what is damaged, or holds objects: nil, message
function pickle.loads(s, opts)
  if type(s) ~= "string" then
    error("loads: a string was expected, not a " .. type(s), 2)
  end
  if opts then options.check("loads", opts, LOADS) end
  local ok, value = pcall(run, {
    s = s, at = 1, stack = {}, top = 0, memo = {}, memoized = 0,
    none = opts and opts.none,
  })
  if ok then return value end
  if type(value) ~= "table" or not value.why then error(value, 0) end
  return nil, ("loads: %s (byte %d)"):format(value.why, value.at)
end

return pickle
