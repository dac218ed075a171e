--- coverage.lua [FILE...] -- which lines and branches of the core have run.
--
-- After the suites have run in FLAVOUR=cov: a table, and for the files that
-- are named (queue, lock, ...) the lines that have not.  Environment: OUT.
local out = os.getenv("OUT") or "build/cov"

-- Every line of these has to run.
local WHOLE = { queue = true, lock = true, claim = true, mutex = true,
  event = true, conn = true, auth = true, lmp_unpack = true }

local function lines(command)
  local pipe <close> = assert(io.popen(command))
  local list = {}
  for line in pipe:lines() do list[#list + 1] = line end
  return list
end

local function share(text)
  local percent, n = (text or ""):match("([%d.]+)%% of (%d+)")
  n = tonumber(n) or 0
  return math.floor(n * (tonumber(percent) or 0) / 100 + 0.5), n
end

-- What gcov says of a source: executed and all lines, taken and all branches.
local function look(source)
  local dir, name = source:match("runtime/(%w+)/([%w_]+)%.c$")
  local text = table.concat(lines(
    ("gcov -b -n -o %s/obj/%s/%s.o %s 2>/dev/null"):format(out, dir, name,
      source)), "\n")
  local own = text:match("File '" .. source:gsub("%p", "%%%0") .. "'(.*)")
  if not own then return 0, 0, 0, 0 end
  own = own:gsub("\nFile '.*", "")
  local l, ls = share(own:match("Lines executed:([^\n]*)"))
  local b, bs = share(own:match("Taken at least once:([^\n]*)"))
  return l, ls, b, bs
end

-- Its lines that have not run.
local function show(source)
  local dir, name = source:match("runtime/(%w+)/([%w_]+)%.c$")
  for _, line in ipairs(lines(("gcov -t -o %s/obj/%s/%s.o %s 2>/dev/null")
    :format(out, dir, name, source))) do
    if line:find("Source:", 1, true) then
      dir = line:find(source, 1, true)
    elseif dir and line:find("^ *#####:") then
      print(name .. ": " .. line:gsub("^ *#####: *", ""))
    end
  end
end

local function percent(part, all)
  return all == 0 and 100 or 100 * part / all
end

local sources = lines("ls runtime/core/*.c runtime/bind/lmp_unpack.c")
local all = { 0, 0, 0, 0 }
local passed, failed = 0, 0
local function demand(good, what, ...)
  if good then passed = passed + 1 return end
  failed = failed + 1
  print(what:format(...))
end

print(("%-12s %6s %7s %9s %7s"):format("file", "lines", "", "branches", ""))
for _, source in ipairs(sources) do
  local name = source:match("([%w_]+)%.c$")
  local l, ls, b, bs = look(source)
  print(("%-12s %6d %6.1f%% %9d %6.1f%%"):format(name, ls, percent(l, ls), bs,
    percent(b, bs)))
  if source:find("/core/", 1, true) then
    for i, n in ipairs{ l, ls, b, bs } do all[i] = all[i] + n end
  end
  if WHOLE[name] then
    demand(l == ls, "%s: %d lines have not run", name, ls - l)
  end
end
local covered = percent(all[1], all[2])
local taken = percent(all[3], all[4])
print(("%-12s %6d %6.1f%% %9d %6.1f%%"):format("core", all[2], covered, all[4],
  taken))
demand(covered >= 95, "%.1f %% of the core's lines, and not 95", covered)
demand(taken >= 90, "%.1f %% of the core's branches, and not 90", taken)
for _, name in ipairs(arg) do
  for _, source in ipairs(sources) do
    if source:match("([%w_]+)%.c$") == name then show(source) end
  end
end
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0)
