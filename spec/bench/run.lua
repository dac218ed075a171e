-- luamp run.lua [--quick] [--rounds N] [--list] [pattern...]
--
-- Runs the workloads whose names match a pattern (without one, all that are
-- not marked `todo`): each side is a program of its own, and the sides take
-- turns (A B C A B C ...), since only what was measured side by side can be
-- compared.  Prints the medians as a table and writes everything to
-- build/bench/result.json.  Figures never fail a run; a side of ours that does
-- not work does.

local dir = arg[0]:match("^(.*)/") or "."
package.path = dir .. "/?.lua;" .. package.path
local workloads = require "workloads"

local build = (arg[-1] or ""):match("^(.*)/bin/luamp$") or "build"

-- options --------------------------------------------------------------------

local options = {rounds = 5, scale = 1, patterns = {}}

local i = 1
while arg[i] do
  if arg[i] == "--quick" then
    options.quick, options.rounds, options.scale = true, 2, 0.2
  elseif arg[i] == "--rounds" then
    i = i + 1
    options.rounds = math.tointeger(arg[i]) or error("--rounds wants a number")
  elseif arg[i] == "--list" then
    options.list = true
  else
    table.insert(options.patterns, arg[i])
  end
  i = i + 1
end

local function wanted(workload)
  for _, pattern in ipairs(options.patterns) do
    if workload.name:find(pattern) then return true end
  end
  return #options.patterns == 0 and not workload.todo
end

-- running commands -----------------------------------------------------------

--- The last line that a command prints, or nil and what it said.
local function ask(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local said = pipe:read("a")
  local ok, how, code = pipe:close()
  if ok then return said:match("([^\n]*)\n*$") end
  return nil, ("%s %d, %s"):format(how, code, said:sub(1, 400))
end

local function from_env(name, default)
  local value = os.getenv(name)
  return value and value ~= "" and value or default
end

--- Compile the C programs if they are missing or older than their sources.
local function make_floor()
  local target = build .. "/bench/floor"
  local check = "test -e %s && test -z \"$(find %s/floor -newer %s)\""
  if os.execute(check:format(target, dir, target)) then return end
  local incdir = from_env("LUA_INCDIR",
    "$(pkg-config --variable=includedir lua5.4)/lua5.4")
  local lib = from_env("LUA_LIB",
    "$(pkg-config --variable=libdir lua5.4)/liblua5.4.a")
  local compile = ("mkdir -p %s/bench && %s -std=gnu11 -O2 -Wall -Wextra "
    .. "-Werror -isystem %s -o %s %s/floor/*.c %s -pthread -lm -ldl"):format(
      build, from_env("CC", "cc"), incdir, target, dir, lib)
  print(compile)
  assert(os.execute(compile), "the C programs do not compile")
end

local function command_of(workload, side, heap)
  local words = {
    BUILD = build, NAME = workload.name, SCALE = tostring(options.scale),
    HEAP = heap,
  }
  local command = workload.run and workload.run[side] or workloads.sides[side]
  command = command:gsub("%u+", words)
  return "exec timeout --foreground -k 5 120 env " .. command
end

-- measuring ------------------------------------------------------------------

local function summary(runs)
  local sorted = table.move(runs, 1, #runs, 1, {})
  table.sort(sorted)
  local n = #sorted
  return {
    runs = runs, -- in the order of the rounds
    min = sorted[1], max = sorted[n],
    median = (sorted[(n + 1) // 2] + sorted[n // 2 + 1]) / 2,
  }
end

--- Side -> its runs summed up, or what went wrong.
local function measure(workload, heap)
  local runs, failed, result = {}, {}, {}
  for _ = 1, options.rounds do
    for side in workload.sides:gmatch("%S+") do
      local skip = failed[side] or (side == "luamp" and workload.todo)
      if not skip then
        local last, why = ask(command_of(workload, side, heap))
        local value = tonumber(last)
        runs[side] = runs[side] or {}
        table.insert(runs[side], value)
        if not value then failed[side] = why or "no number: " .. last end
      end
    end
  end
  for side, list in pairs(runs) do
    result[side] = failed[side] and {failed = failed[side]} or summary(list)
  end
  return result
end

-- judging --------------------------------------------------------------------

--- 1234567 -> "1.23 M"
local function short(x)
  if not x then return "-" end
  if x >= 1e9 then return ("%.3g G"):format(x / 1e9) end
  if x >= 1e6 then return ("%.3g M"):format(x / 1e6) end
  if x >= 1e4 then return ("%.3g k"):format(x / 1e3) end
  return ("%.4g"):format(x)
end

--- How many times better luamp is than `side`: the median of the rounds'
--- factors, since the machine's speed may drift from one round to the next.
local function factor(workload, result, side)
  local ours, theirs = result.luamp, result[side]
  if not ours or not theirs or ours.failed or theirs.failed then return nil end
  local factors = {}
  for round, value in ipairs(ours.runs) do
    local f = value / theirs.runs[round]
    factors[round] = workload.less and 1 / f or f
  end
  return summary(factors).median
end

local function judge_one(workload, key, want, result)
  local ours = result.luamp and result.luamp.median
  if key == "least" then
    return ">= " .. short(want), ours and ours >= want
  elseif key == "most" then
    return "<= " .. short(want), ours and ours <= want
  end
  local got = factor(workload, result, key)
  return ("%g x %s"):format(want, key), got and got >= want
end

--- {kind, text, met} of each goal and aim, in the order of their names.
local function judge(workload, result)
  local verdicts = {}
  for _, kind in ipairs{"goal", "aim"} do
    local keys = {}
    for key in pairs(workload[kind .. "s"] or {}) do keys[#keys + 1] = key end
    table.sort(keys)
    for _, key in ipairs(keys) do
      local want = workload[kind .. "s"][key]
      local text, met = judge_one(workload, key, want, result)
      table.insert(verdicts, {kind = kind, text = text, met = met or false})
    end
  end
  return verdicts
end

-- printing -------------------------------------------------------------------

local ROW = "%-32s %-5s %8s %-17s %8s %6s %8s %6s  %s"

local function times(workload, result, side)
  local f = factor(workload, result, side)
  return f and ("%.2f"):format(f) or "-"
end

local function median(result, side)
  return short(result[side] and result[side].median)
end

local function verdict_text(workload, verdicts)
  if workload.todo then return "not written yet" end
  local out = {}
  for _, v in ipairs(verdicts) do
    local text = (v.kind == "aim" and "aim " or "") .. v.text
    table.insert(out, text .. (v.met and " ok" or " NO"))
  end
  return table.concat(out, ", ")
end

local function print_row(workload, result, verdicts)
  local ours = result.luamp
  local spread = ours and ours.median
    and ("%s..%s"):format(short(ours.min), short(ours.max)) or ""
  print(ROW:format(workload.name, workload.unit,
    median(result, "luamp"), spread,
    median(result, "python"), times(workload, result, "python"),
    median(result, "floor"), times(workload, result, "floor"),
    verdict_text(workload, verdicts)))
  local others = {}
  for side in workload.sides:gmatch("%S+") do
    if side ~= "luamp" and side ~= "python" and side ~= "floor" then
      table.insert(others, side .. " " .. median(result, side))
    end
  end
  if #others > 0 then print("    " .. table.concat(others, ", ")) end
  io.stdout:flush()
end

local function json(v)
  if type(v) == "table" then
    local out = {}
    if #v > 0 then
      for k, item in ipairs(v) do out[k] = json(item) end
      return "[" .. table.concat(out, ",") .. "]"
    end
    for k, item in pairs(v) do
      table.insert(out, json(k) .. ":" .. json(item))
    end
    table.sort(out)
    return "{" .. table.concat(out, ",") .. "}"
  elseif type(v) == "string" then
    return '"' .. v:gsub('[%c"\\]', function(c)
      return ("\\u%04x"):format(c:byte())
    end) .. '"'
  end
  return tostring(v)
end

-- ----------------------------------------------------------------------------

if options.list then
  for _, w in ipairs(workloads) do print(w.name, w.sides) end
  return
end

make_floor()
local sides = workloads.sides
local heap = ask((sides.luamp:gsub("%u+",
  {BUILD = build, NAME = "heap", SCALE = "1"}))) or "200"
local report = {
  machine = (ask("uname -srm")), cpus = tonumber((ask("nproc"))),
  date = os.date("!%Y-%m-%dT%H:%M:%SZ"),
  rounds = options.rounds, scale = options.scale, workloads = {},
}
print(("%d rounds on %s, %d CPUs; x: how many times better luamp is")
  :format(report.rounds, report.machine, report.cpus))
print(ROW:format("", "", "luamp", "", "python", "x", "C", "x", "wanted"))

local broken, missing, notes = 0, 0, {}
for _, workload in ipairs(workloads) do
  if wanted(workload) then
    local result = measure(workload, heap)
    for side, r in pairs(result) do
      if r.failed then
        local text = "%s, %s: %s"
        table.insert(notes, text:format(workload.name, side, r.failed))
        if side == "luamp" then broken = broken + 1 end
      end
    end
    local verdicts = judge(workload, result)
    print_row(workload, result, verdicts)
    for _, v in ipairs(workload.todo and {} or verdicts) do
      if v.kind == "goal" and not v.met then missing = missing + 1 end
    end
    table.insert(report.workloads, {
      name = workload.name, unit = workload.unit, sides = result,
      verdicts = verdicts,
    })
  end
end

for _, note in ipairs(notes) do print("not measured: " .. note) end
print(("goals not met: %d; results in %s/bench/result.json")
  :format(missing, build))
local file <close> = assert(io.open(build .. "/bench/result.json", "w"))
file:write(json(report), "\n")
os.exit(broken == 0, true)
