--- Reads the stubs in lua/meta: what they say, as a list of items in order.
--
-- An item: kind ("section", "class", "function", "value", "type"), name (whole,
-- as "mp.Process:join"), owner ("mp.Process"), text (lines of prose), notes
-- (list of {tag =, text =} of its ---@ lines), params (of a function), line.
local reader = {}

local function push_note(pending, tag, text)
  pending.notes[#pending.notes + 1] = { tag = tag, text = text }
end

--- A line of a comment; text behind an ---@ line continues it.
local function take_comment(pending, line)
  local tag, rest = line:match("^%-%-%-%s?@(%w+)%s*(.*)$")
  if tag then return push_note(pending, tag, rest) end
  local text = line:match("^%-%-%-%s?(.*)$")
  local last = pending.notes[#pending.notes]
  if last then
    last.text = last.text .. " " .. text:gsub("^%s+", "")
  else
    pending.text[#pending.text + 1] = text
  end
end

local function note_of(pending, tag)
  for _, note in ipairs(pending.notes) do
    if note.tag == tag then return note.text end
  end
end
reader.note_of = note_of

local function split(params)
  local list = {}
  for name in params:gmatch("[^,%s]+") do list[#list + 1] = name end
  return list
end

local function new_file(path, items)
  local file = { path = path, items = items, class_of = {}, line = 0 }

  function file.reset() file.pending = { text = {}, notes = {} } end
  file.reset()

  --- "Connection" -> "mp.Connection", what the variable stands for
  function file.whole(variable)
    return file.class_of[variable] or variable
  end

  function file.add(kind, fields)
    local item = file.pending
    item.kind, item.path, item.line = kind, path, file.line
    for key, value in pairs(fields) do item[key] = value end
    items[#items + 1] = item
    file.reset()
  end

  --- A comment that ends without a name of Lua: a class or type by itself.
  function file.flush()
    local class = note_of(file.pending, "class")
    local alias = note_of(file.pending, "alias")
    if class then
      local name, parent = class:match("^([%w_.]+)%s*:?%s*([%w_.]*)")
      file.add("class", { name = name, parent = parent ~= "" and parent })
    elseif alias then
      file.add("type", { name = alias:match("^[%w_.]+") })
    else
      file.reset()
    end
  end
  return file
end

local function take_code(file, line)
  local owner, sep, name, params =
    line:match("^function ([%w_.]+)([.:])([%w_]+)%((.-)%) end$")
  if owner then
    owner = file.whole(owner)
    return file.add("function", { name = owner .. sep .. name, owner = owner,
      params = split(params) })
  end
  local variable = line:match("^local ([%w_]+) = {}$")
    or line:match("^([%w_.]+) = {}$")
  local class = note_of(file.pending, "class")
  if variable and class then
    file.class_of[variable] = class:match("^[%w_.]+")
    return file.flush()
  end
  local left, right = line:match("^([%w_]+%.[%w_.]+) = (.+)$")
  if left then
    local base, last = left:match("^(.*)%.([%w_]+)$")
    return file.add("value", { name = file.whole(base) .. "." .. last,
      owner = file.whole(base), value = right })
  end
  file.flush()
end

--- Read one file of stubs into the list `items`.
function reader.read(path, items)
  local file = new_file(path, items)
  for line in io.lines(path) do
    file.line = file.line + 1
    local section = line:match("^%-%- (.-) %-%-%-+$")
    if section then
      file.flush()
      file.add("section", { name = section })
    elseif line:find("^%-%-%-") then
      take_comment(file.pending, line)
    elseif line == "" then
      file.flush()
    else
      take_code(file, line)
    end
  end
  file.flush()
  return items
end

local FILES = { "mp", "sockets", "memory", "sync", "pools", "managers",
  "proxies", "log" }

--- All stubs of the tree, in the order of the reference.
function reader.read_all()
  local items, listed = {}, {}
  for _, name in ipairs(FILES) do
    local path = ("lua/meta/%s.lua"):format(name)
    listed[path] = true
    reader.read(path, items)
  end
  local files <close> = assert(io.popen("ls lua/meta/*.lua"))
  for path in files:lines() do
    if not listed[path] then error(path .. " is not in the reference") end
  end
  return items
end

return reader
