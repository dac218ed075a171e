--- A tool of the build: all sources in, luamp.c and luamp.h out.
--
--   luamp amalgam.lua DIR FILE.c ...
--
-- luamp.h is luamp.h and mp.h.  In luamp.c the other headers are written once,
-- before everything, system headers once each.  What two files call by the same
-- name (a static function, a struct's tag, a constant) gets the file's name
-- behind it; macros end with their file.

local PUBLIC = { ["mp.h"] = true, ["luamp.h"] = true }
local DIRS = { "runtime/core/", "runtime/bind/", "runtime/embed/",
  "runtime/include/" }

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

local function find_header(name)
  for _, dir in ipairs(DIRS) do
    local file = io.open(dir .. name)
    if file then
      file:close()
      return dir .. name
    end
  end
end

--- The text without its includes, which are collected.
local function strip(path, seen, headers, systems)
  return (read(path):gsub("([^\n]*)\n", function(line)
    local own = line:match('^#include "([^"]+)"')
    local system = line:match("^#include (<[^>]+>)")
      or own and not find_header(own) and "<" .. own .. ">"
    if system then
      if not seen[system] then
        seen[system] = true
        systems[#systems + 1] = system
      end
      return ""
    end
    if not own then return line .. "\n" end
    if not seen[own] and not PUBLIC[own] then
      seen[own] = true
      local text = strip(find_header(own), seen, headers, systems)
      headers[#headers + 1] = { name = own, text = text }
    end
    return ""
  end))
end

local function without_comments(text) return (text:gsub("/%*.-%*/", "")) end

--- Names that a C file defines for itself; macros apart.
local function definitions(text)
  local names, macros = {}, {}
  text = "\n" .. without_comments(text)
  for name in text:gmatch("\n#%s*define%s+([%w_]+)") do macros[name] = true end
  for head in text:gmatch("\nstatic([^;{=]*)[;{=]") do
    head = head:gsub("__attribute__%s*%b()", ""):gsub("%b[]", "")
      :gsub("%[.*", "")
    local name = head:match("%(%*([%w_]+)%)") or head:match("([%w_]+)%s*%(")
      or head:match("([%w_]+)%s*$")
    if name and name ~= "struct" then names[name] = true end
  end
  for name in text:gmatch("\nstatic[%w%s_]*struct[%w%s_]*%b{}%s*([%w_]+)") do
    names[name] = true
  end
  for tag in text:gmatch("\n%a*%s*struct ([%w_]+) {") do names[tag] = true end
  for tag in text:gmatch("\n%a*%s*enum ([%w_]+) {") do names[tag] = true end
  for body in text:gmatch("\nenum%s*[%w_]*%s*(%b{})") do
    for name in body:gmatch("[{,]%s*([%a_][%w_]*)") do names[name] = true end
  end
  return names, macros
end

local function sorted(set)
  local list = {}
  for name in pairs(set) do list[#list + 1] = name end
  table.sort(list)
  return list
end

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  assert(file:write(text))
end

local GUARD = "#ifndef LUAMP_CORE_ONLY\n%s\n#endif\n"

local function public_header()
  local lua = read("runtime/include/luamp.h"):gsub('#include "mp.h"\n', "")
  return "/* Written by amalgam.lua; do not edit.  With LUAMP_CORE_ONLY "
    .. "nothing of it needs\n * Lua.  In two parts: mp.h, luamp.h. */\n"
    .. read("runtime/core/mp.h") .. GUARD:format(lua)
end

--- Where the members of structs are declared: position -> true.
local function in_structs(text)
  local inside = {}
  for first, last in text:gmatch("struct[%s%w_]*()%b{}()") do
    for i = first, last - 1 do inside[i] = true end
  end
  return inside
end

--- Rename what `shared` has; members of structs keep their names.
local function rename(text, shared, stem)
  local inside = in_structs(text)
  return (text:gsub("()%f[%w_]([%a_][%w_]*)", function(at, name)
    if not shared[name] then return nil end
    local before = text:sub(math.max(1, at - 8), at - 1)
    local is_member = before:find("%.$") and not before:find("%.%.%.$")
      or before:find("%->$")
      or inside[at] and not before:find("struct $")
    return not is_member and ("%s_of_%s"):format(name, stem) or nil
  end))
end

--- A file in luamp.c, with what it shares with others renamed.
local function body(file, users)
  local shared, after = {}, {}
  for name in pairs(file.names) do shared[name] = users[name] > 1 or nil end
  for _, name in ipairs(sorted(file.macros)) do
    after[#after + 1] = ("#undef %s\n"):format(name)
  end
  return ("\n/* %s */\n%s%s"):format(file.path, rename(file.text, shared,
    file.path:match("([%w_]+)%.c$")), table.concat(after))
end

local function main(dir, paths)
  local seen, headers, systems, files, users = {}, {}, {}, {}, {}
  for i, path in ipairs(paths) do
    local text = strip(path, seen, headers, systems)
    local names, macros = definitions(text)
    files[i] = { path = path, text = text, macros = macros, names = names }
    for name in pairs(names) do users[name] = (users[name] or 0) + 1 end
  end

  local out = { "/* Written by amalgam.lua; do not edit.  LUAMP_CORE_ONLY "
    .. "leaves out all that\n * needs Lua. */\n",
    "#ifndef _GNU_SOURCE\n#define _GNU_SOURCE 1\n#endif\n" }
  local function add(text, needs_lua)
    out[#out + 1] = needs_lua and GUARD:format(text) or text
  end
  -- Functions of headers, which nobody misses there, are in a C file here.
  add('#pragma GCC diagnostic ignored "-Wunused-function"\n')
  add('#include "luamp.h"\n')
  for _, system in ipairs(systems) do
    add(("#include %s\n"):format(system),
      system:find("^<lua") or system:find("^<lauxlib"))
  end
  for _, header in ipairs(headers) do
    add(header.text, not find_header(header.name):find("/core/"))
  end
  for _, file in ipairs(files) do
    add(body(file, users), not file.path:find("/core/"))
  end
  write(dir .. "/luamp.c", table.concat(out))
  write(dir .. "/luamp.h", public_header())
end

main(arg[1], table.move(arg, 2, #arg, 1, {}))
