--- Containers and values inside a manager's server, and the objects of others.
local jobs = require "mp.managers.jobs"
local options = require "mp.options"
local proxy = require "mp.managers.proxy"

local objects = {}

local class = jobs.class

--- A table that was given, or is behind a proxy.
local function copy_of(what, t)
  if t == nil then return {} end
  if proxy.state(t) then t = t:_value() end
  if type(t) ~= "table" then
    jobs.misuse("%s: a table was expected, not a %s", what, type(t))
  end
  return t
end

local function check_function(f)
  if not options.callable(f) then
    jobs.misuse("_update: a function was expected, not a %s", type(f))
  end
end

local function is_key(key) return key ~= nil and key == key end

-- dict -----------------------------------------------------------------------

local Dict = class "get set len value update setdefault pop keys merge clear"
objects.dict = Dict

local function size(t)
  local n = 0
  for _ in pairs(t) do n = n + 1 end
  return n
end

function Dict.new(_, t)
  t = copy_of("dict", t)
  return setmetatable({ t = t, n = size(t) }, Dict)
end

function Dict:get(key) return self.t[key] end

function Dict:set(key, value)
  if not is_key(key) then jobs.misuse("set: a key cannot be nil or NaN") end
  local t = self.t
  if t[key] == nil then
    if value ~= nil then self.n = self.n + 1 end
  elseif value == nil then
    self.n = self.n - 1
  end
  t[key] = value
end

function Dict:len() return self.n end

function Dict:value() return self.t end

--- Nobody else sees or changes the key meanwhile.
function Dict:update(key, f)
  check_function(f)
  self:set(key, f(self.t[key]))
  return self.t[key]
end

function Dict:setdefault(key, value)
  if self.t[key] == nil then self:set(key, value) end
  return self.t[key]
end

function Dict:pop(key)
  local value = self.t[key]
  if value ~= nil then self:set(key, nil) end
  return value
end

function Dict:keys()
  local keys = {}
  for key in pairs(self.t) do keys[#keys + 1] = key end
  return keys
end

function Dict:merge(t)
  for key, value in pairs(copy_of("_merge", t)) do self:set(key, value) end
end

function Dict:clear() self.t, self.n = {}, 0 end

-- list -----------------------------------------------------------------------

local List = class("get set len value append extend insert pop update "
  .. "sort clear")
objects.list = List

function List.new(_, t)
  t = copy_of("list", t)
  return setmetatable({ t = table.move(t, 1, #t, 1, {}) }, List)
end

function List:get(i) return self.t[i] end

function List:set(i, value)
  local t = self.t
  local n = #t
  if math.type(i) ~= "integer" or i < 1 or i > n + 1
    or value == nil and i ~= n then
    jobs.misuse("list: index %s is out of range (%d elements)", i, n)
  end
  t[i] = value
end

function List:len() return #self.t end

function List:value() return self.t end

function List:append(...)
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    if value == nil then jobs.misuse("append: nil cannot be an element") end
    self.t[#self.t + 1] = value
  end
end

function List:extend(t)
  t = copy_of("extend", t)
  table.move(t, 1, #t, #self.t + 1, self.t)
end

function List:insert(i, value)
  if math.type(i) ~= "integer" or i < 1 or i > #self.t + 1 or value == nil
  then
    jobs.misuse("insert: index out of range, or nil as element")
  end
  table.insert(self.t, i, value)
end

function List:pop(i)
  local n = #self.t
  if n == 0 then return nil end
  i = i == nil and n or i
  if math.type(i) ~= "integer" or i < 1 or i > n then
    jobs.misuse("pop: index %s is out of range (%d elements)", i, n)
  end
  return table.remove(self.t, i)
end

function List:update(i, f)
  check_function(f)
  if math.type(i) ~= "integer" or i < 1 or i > #self.t then
    jobs.misuse("_update: index %s is out of range", i)
  end
  self:set(i, f(self.t[i]))
  return self.t[i]
end

function List:sort(f) table.sort(self.t, f) end

function List:clear() self.t = {} end

-- set ------------------------------------------------------------------------

local Set = class "add discard has len values value clear"
objects.set = Set

function Set.new(_, list)
  local self = setmetatable({ t = {}, n = 0 }, Set)
  for _, value in ipairs(copy_of("set", list)) do self:add(value) end
  return self
end

function Set:add(value)
  if not is_key(value) then jobs.misuse("add: nil and NaN are no elements") end
  if self.t[value] then return false end
  self.t[value], self.n = true, self.n + 1
  return true
end

function Set:discard(value)
  if value == nil or not self.t[value] then return false end
  self.t[value], self.n = nil, self.n - 1
  return true
end

function Set:has(value) return value ~= nil and self.t[value] == true end

function Set:len() return self.n end

function Set:values()
  local list = {}
  for value in pairs(self.t) do list[#list + 1] = value end
  return list
end

Set.value = Set.values

function Set:clear() self.t, self.n = {}, 0 end

-- Namespace ------------------------------------------------------------------

local Namespace = class "get set value len update"
objects.Namespace = Namespace
Namespace.get, Namespace.set, Namespace.value, Namespace.len, Namespace.update
  = Dict.get, Dict.set, Dict.value, Dict.len, Dict.update

function Namespace.new(_, t)
  t = copy_of("Namespace", t)
  return setmetatable({ t = t, n = size(t) }, Namespace)
end

-- Value and Array ------------------------------------------------------------

-- What a typecode can hold, as string.pack checks and rounds it.
local FORMATS = {
  b = "<b", B = "<B", h = "<h", H = "<H", i = "<i4", I = "<I4", l = "<i8",
  L = "<I8", q = "<i8", Q = "<I8", f = "<f", d = "<d",
}

local function check_typecode(what, code)
  if not FORMATS[code] and code ~= "c" and code ~= "?" then
    jobs.misuse("%s: unknown typecode '%s'", what, tostring(code))
  end
end

--- The value as it is held under a typecode.
local function held(code, value)
  if code == "?" then return value and true or false end
  if code == "c" then
    if type(value) ~= "string" or #value ~= 1 then
      jobs.misuse("value: typecode 'c' holds strings of one byte")
    end
    return value
  end
  local format = FORMATS[code]
  if type(value) == "number" then
    local ok, bytes = pcall(string.pack, format, value)
    if ok then return (string.unpack(format, bytes)) end
  end
  jobs.misuse("value: %s does not fit typecode '%s'",
    type(value) == "number" and tostring(value) or "a " .. type(value), code)
end

local Value = class "get set add exchange compare_exchange"
objects.Value = Value

function Value.new(_, code, value)
  check_typecode("Value", code)
  if value == nil then value = code == "c" and "\0" or 0 end
  return setmetatable({ code = code, v = held(code, value) }, Value)
end

function Value:get(key)
  if key == "value" then return self.v end
end

function Value:set(key, value)
  if key ~= "value" then
    jobs.misuse("Value: cannot set '%s'", tostring(key))
  end
  self.v = held(self.code, value)
end

function Value:add(n)
  local old = self.v
  if type(old) ~= "number" or type(n) ~= "number" then
    jobs.misuse("add: a number was expected")
  end
  self.v = held(self.code, old + n)
  return old
end

function Value:exchange(value)
  local old = self.v
  self.v = held(self.code, value)
  return old
end

function Value:compare_exchange(old, new)
  local seen = self.v
  if seen ~= held(self.code, old) then return false, seen end
  self.v = held(self.code, new)
  return true, seen
end

local Array = class "get len value set slice assign fill"
objects.Array = Array

function Array.new(_, code, from)
  check_typecode("Array", code)
  local t, zero = {}, code == "c" and "\0" or code == "?" and false or 0
  if math.type(from) == "integer" and from >= 0 then
    for i = 1, from do t[i] = held(code, zero) end
  else
    for i, value in ipairs(copy_of("Array", from)) do
      t[i] = held(code, value)
    end
  end
  return setmetatable({ code = code, t = t }, Array)
end

function Array:get(i) return self.t[i] end

function Array:len() return #self.t end

function Array:value() return self.t end

function Array:set(i, value)
  if self.t[i] == nil then
    jobs.misuse("array: index %s is out of range (%d elements)",
      tostring(i), #self.t)
  end
  self.t[i] = held(self.code, value)
end

function Array:slice(i, j)
  return table.move(self.t, i or 1, math.min(j or #self.t, #self.t), 1, {})
end

function Array:assign(i, list)
  list = copy_of("assign", list)
  if math.type(i) ~= "integer" or i < 1 or i + #list - 1 > #self.t then
    jobs.misuse("assign: out of range (%d elements)", #self.t)
  end
  local values = {}
  for k, value in ipairs(list) do values[k] = held(self.code, value) end
  table.move(values, 1, #values, i, self.t)
end

function Array:fill(value, i, j)
  value = held(self.code, value)
  for k = math.max(i or 1, 1), math.min(j or #self.t, #self.t) do
    self.t[k] = value
  end
end

-- What a registered constructor gave -----------------------------------------

local Object = class "call apply get set len"
objects.Object = Object

function Object.wrap(value) return setmetatable({ it = value }, Object) end

local function check_name(name)
  if type(name) ~= "string" or name:sub(1, 1) == "_" then
    jobs.misuse("'%s' is private", tostring(name))
  end
end

function Object:call(name, ...)
  check_name(name)
  local it = self.it
  local method = it[name]
  if method == nil then jobs.misuse("there is no method '%s'", name) end
  return method(it, ...)
end

function Object:apply(...) return self.it(...) end

function Object:get(name)
  if type(name) == "string" then check_name(name) end
  return self.it[name]
end

function Object:set(name, value)
  if type(name) == "string" then check_name(name) end
  self.it[name] = value
end

function Object:len() return #self.it end

--- The names of its methods: those of a table, and of what it inherits from.
function Object.methods(value)
  local names, seen = {}, {}
  local function look(t, depth)
    if type(t) ~= "table" or depth > 16 or seen[t] then return end
    seen[t] = true
    for name, f in next, t do
      if type(name) == "string" and type(f) == "function"
        and name:sub(1, 1) ~= "_" then
        names[name] = true
      end
    end
    local mt = getmetatable(t)
    if type(mt) == "table" then look(rawget(mt, "__index"), depth + 1) end
  end
  look(value, 0)
  if type(value) == "userdata" then
    local mt = debug.getmetatable(value)
    look(mt and mt.__index, 0)
  end
  return names
end

return objects
