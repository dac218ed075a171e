-- check.lua -- is every public name stubbed, documented and tested?
--
-- Called from the root of the tree: luamp spec/stub/check.lua.  What is public
-- is asked of the modules themselves: every name of the table `mp` and of the
-- modules in it, and every method and field of the types that they make, but
-- for names that begin with "_".  The last line is "N passed, N failed".
package.path = "./spec/stub/?.lua;" .. package.path
local reader = require "reader"
local mp = require "mp"

local passed, failed = 0, 0

local function check(good, what, ...)
  if good then
    passed = passed + 1
  else
    failed = failed + 1
    print("stubs: " .. what:format(...))
  end
end

-- What there is --------------------------------------------------------------

local function is_public(key)
  return type(key) == "string" and not key:find("^_")
end

local function is_public_type(name)
  return type(name) == "string" and name:find("^mp%.") ~= nil
end

--- The types: every table with a __name of ours that our modules can reach.
local function find_types()
  local types, seen = {}, {}
  local function walk(value)
    if type(value) ~= "table" and type(value) ~= "function" or seen[value] then
      return
    end
    seen[value] = true
    if type(value) == "function" then
      local i = 1
      while debug.getupvalue(value, i) do
        walk((select(2, debug.getupvalue(value, i))))
        i = i + 1
      end
      return
    end
    if value == _G or value == package.loaded then return end
    local name = rawget(value, "__name")
    if is_public_type(name) then types[name] = value end
    for _, element in next, value do walk(element) end
    walk(debug.getmetatable(value))
  end
  for name, module in pairs(package.loaded) do
    if name:find("^mp%f[.\0]") then walk(module) end
  end
  for name, value in pairs(debug.getregistry()) do
    if is_public_type(name) then types[name] = value end
  end
  return types
end

local is_module = {}
for _, module in pairs(package.loaded) do is_module[module] = true end

--- Names of methods and fields that an __index gives.
local function members(index, into)
  if is_module[index] then return into end
  if type(index) == "table" then
    for key in pairs(index) do
      if is_public(key) then into[key] = true end
    end
  elseif type(index) == "function" then
    -- The tables that it looks in are its upvalues.
    local i = 1
    while debug.getupvalue(index, i) do
      local _, value = debug.getupvalue(index, i)
      if type(value) == "table" then members(value, into) end
      i = i + 1
    end
  end
  return into
end

--- Whole name -> true, for everything public.
local function find_public(types)
  local public = {}
  local function walk(path, module)
    for key, value in pairs(module) do
      local name = path .. "." .. tostring(key)
      if is_public(key) and not public[name] then
        public[name] = true
        if type(value) == "table" and not types[name]
          and not debug.getmetatable(value) then
          walk(name, value)
        end
      end
    end
  end
  walk("mp", mp)
  for name, mt in pairs(types) do
    for key in pairs(members(rawget(mt, "__index"), {})) do
      public[name .. ":" .. key] = true
    end
  end
  return public
end

-- What the stubs say ---------------------------------------------------------

--- Whole name -> item, methods with ":", fields of classes too.
local function index(items)
  local by_name, parents, classes = {}, {}, {}
  for _, item in ipairs(items) do
    if item.kind == "class" then
      classes[item.name] = item
      by_name[item.name], parents[item.name] = item, item.parent
      for _, note in ipairs(item.notes) do
        local field = note.tag == "field" and note.text:match("^([%w_]+)")
        if field then
          by_name[item.name .. ":" .. field] = { kind = "field",
            name = item.name .. ":" .. field, text = { note.text } }
        end
      end
    elseif item.kind == "function" or item.kind == "value" then
      by_name[item.name] = item
    end
  end
  return by_name, parents, classes
end

--- The stub of a name; a method's may be its class's parent's.
local function lookup(by_name, parents, name)
  local class, key = name:match("^(.-):([%w_]+)$")
  if not class then return by_name[name] end
  repeat
    local found = by_name[class .. ":" .. key] or by_name[class .. "." .. key]
    if found then return found end
    class = parents[class]
  until not class
end

local function is_documented(item)
  return item ~= nil and table.concat(item.text):find("%S") ~= nil
end

--- `class`: the class of the same name, whose words a constructor shares.
local function check_item(item, class, where)
  check(is_documented(item) or is_documented(class),
    "%s: %s has no word of documentation", where, item.name)
  local noted = {}
  for _, note in ipairs(item.notes or {}) do
    local name = note.tag == "param" and note.text:match("^([%w_.]+)")
    if name then noted[name] = true end
  end
  for _, name in ipairs(item.params or {}) do
    check(noted[name], "%s: %s: no @param for %s", where, item.name, name)
    noted[name] = nil
  end
  for name in pairs(noted) do
    check(false, "%s: %s has no parameter %s", where, item.name, name)
  end
end

-- What the specs mention -----------------------------------------------------

local function read_specs()
  local texts = {}
  local files <close> = assert(io.popen(
    "find spec examples -name '*.lua' ! -path '*/stub/*' ! -path '*/bench/*'"))
  for path in files:lines() do
    local file <close> = assert(io.open(path))
    texts[#texts + 1] = file:read("a")
  end
  return table.concat(texts, "\n")
end

local function main()
  local files <close> = assert(io.popen("ls lua/mp/*.lua"))
  for path in files:lines() do
    local name = path:match("([%w_]+)%.lua$")
    if name ~= "init" then require("mp." .. name) end
  end
  local items = reader.read_all()
  local by_name, parents, classes = index(items)
  local types = find_types()
  local public = find_public(types)
  local specs = read_specs()

  local names = {}
  for name in pairs(public) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local key = name:match("[%w_]+$")
    check(lookup(by_name, parents, name), "%s has no stub in lua/meta", name)
    check(specs:find("%f[%w_]" .. key .. "%f[^%w_]"),
      "%s is in no spec and no example", name)
  end
  for _, item in ipairs(items) do
    local where = ("%s:%d"):format(item.path, item.line)
    if item.kind == "function" then
      check_item(item, classes[item.name], where)
    end
    local known = item.kind ~= "function" and item.kind ~= "value"
      or item.name:find("[.:]_[%w_]*$") or public[item.name]
    if not known then
      local class, key = item.name:match("^(.*)[.:]([%w_]+)$")
      known = public[class .. ":" .. key] or public[class .. "." .. key]
        or not types[class] and by_name[class]
    end
    check(known, "%s: %s is not there", where, item.name)
  end
  print(("%d passed, %d failed"):format(passed, failed))
  os.exit(failed == 0)
end

main()
