--- coverage.lua [FILE...] -- which lines and branches of the core have run.
--
-- After the suites have run in FLAVOUR=cov, and the explorer in
-- FLAVOUR=cov-explore: a table, and for the files that are named (queue, lock,
-- ...) the lines that have not, and those that have gone one way only.
-- Environment: OUT.
--
-- A line or a branch has run if it has in either build.  Branches are gcov's:
-- one for each way that a condition can go, each part of an && or || for
-- itself, each case of a switch.  At -O0 the compiler adds none of its own, and
-- fault points and calls have none.
package.path = "./spec/bench/?.lua;" .. package.path
local json = require "json"

local out = os.getenv("OUT") or "build/cov"

-- Every line of these has to run.
local WHOLE = {}
for name in ([[lmp_unpack conn auth mac lock mutex event queue fifo claim
  recall]]):gmatch "%S+" do
  WHOLE[name] = true
end

local function lines(command)
  local pipe <close> = assert(io.popen(command))
  local list = {}
  for line in pipe:lines() do list[#list + 1] = line end
  return list
end

-- Adds to `seen` (line -> true or false, and its branches' the same) what gcov
-- says of a source in one build.
local function look(build, source, seen)
  local dir, name = source:match("runtime/(%w+)/([%w_]+)%.c$")
  local object = ("%s/obj/%s/%s.o"):format(build, dir, name)
  local text = table.concat(lines(("gcov -b -j -t -o %s %s 2>/dev/null")
    :format(object, source)), "\n")
  for _, file in ipairs(text == "" and {} or json.decode(text).files) do
    for _, line in ipairs(file.file == source and file.lines or {}) do
      local n = line.line_number
      local was = seen[n] or { ran = false, branches = {} }
      seen[n] = was
      was.ran = was.ran or line.count > 0
      for i, branch in ipairs(line.branches) do
        was.branches[i] = was.branches[i] or branch.count > 0
      end
    end
  end
end

local function covered(source)
  local seen = {}
  look(out, source, seen)
  if source:find "/core/" then look(out .. "-explore", source, seen) end
  return seen
end

-- Lines and those that have run, branches and those that were taken.
local function count(seen)
  local l, ls, b, bs = 0, 0, 0, 0
  for _, line in pairs(seen) do
    ls, l = ls + 1, l + (line.ran and 1 or 0)
    for _, taken in ipairs(line.branches) do
      bs, b = bs + 1, b + (taken and 1 or 0)
    end
  end
  return l, ls, b, bs
end

local function show(source, seen)
  local name, n = source:match("([%w_]+)%.c$"), 0
  for text in io.lines(source) do
    n = n + 1
    local line, missing = seen[n], {}
    for i, taken in ipairs(line and line.branches or {}) do
      if not taken then missing[#missing + 1] = i end
    end
    local what = line and not line.ran and "never"
      or #missing > 0 and "not " .. table.concat(missing, " ")
    if what then print(("%s:%d: [%s] %s"):format(name, n, what, text)) end
  end
end

local function percent(part, all)
  return all == 0 and 100 or 100 * part / all
end

local named = {}
for _, name in ipairs(arg) do named[name] = true end
local all = { 0, 0, 0, 0 }
local passed, failed = 0, 0
local function demand(good, what, ...)
  if good then passed = passed + 1 return end
  failed = failed + 1
  print(what:format(...))
end

print(("%-12s %6s %7s %9s %7s"):format("file", "lines", "", "branches", ""))
for _, source in ipairs(lines "ls runtime/core/*.c runtime/bind/lmp_unpack*.c")
do
  local name = source:match("([%w_]+)%.c$")
  local seen = covered(source)
  local l, ls, b, bs = count(seen)
  print(("%-12s %6d %6.1f%% %9d %6.1f%%"):format(name, ls, percent(l, ls), bs,
    percent(b, bs)))
  if source:find("/core/", 1, true) then
    for i, n in ipairs{ l, ls, b, bs } do all[i] = all[i] + n end
  end
  if WHOLE[name] then
    demand(ls > 0 and l == ls, "%s: %d lines have not run", name, ls - l)
  end
  if named[name] then show(source, seen) end
end
local ran = percent(all[1], all[2])
local taken = percent(all[3], all[4])
print(("%-12s %6d %6.1f%% %9d %6.1f%%"):format("core", all[2], ran, all[4],
  taken))
demand(ran >= 95, "%.1f %% of the core's lines, and not 95", ran)
demand(taken >= 90, "%.1f %% of the core's branches, and not 90", taken)
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0)
