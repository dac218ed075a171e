-- luamp run.lua [option...] [pattern...]
--
-- Runs the workloads whose names match a pattern (without one, all): each side
-- is a program of its own, and the sides take turns (A B C A B C ...), since
-- only what was measured side by side can be compared.  Prints the medians as a
-- table and writes everything to build/bench/result.json, and a picture of it
-- to result.svg.  Figures never fail a run; a side of ours that does not work
-- does.
--
--   --quick      once, smaller, and only luamp, python and C
--   --rounds N   5 unless said
--   --list       the workloads and their sides
--   --curves     measure the curves instead, into build/bench/curves.json
--   --full       their longest points, too;  --most X: none above X
--   --draw       only draw result.svg again from the two files
--   --readme     only print the README's table of what result.json has

local dir = arg[0]:match("^(.*)/") or "."
package.path = dir .. "/?.lua;" .. package.path
local curves = require "curves"
local json = require "json"
local judge = require "judge"
local picture = require "picture"
local readme = require "readme"
local workloads = require "workloads"
local now = require("mp.core").now

local build = (arg[-1] or ""):match("^(.*)/bin/luamp$") or "build"
local RESULT = build .. "/bench/result.json"
local CURVES = build .. "/bench/curves.json"
local PICTURE = build .. "/bench/result.svg"
local factor, short = judge.factor, judge.short

-- options --------------------------------------------------------------------

local options = {rounds = 5, scale = 1, patterns = {}}
local FLAGS = {list = true, curves = true, full = true, draw = true,
  readme = true}

local i = 1
while arg[i] do
  local flag = arg[i]:match("^%-%-(.*)")
  if flag == "quick" then
    options.quick, options.rounds, options.scale = true, 1, 0.05
  elseif flag == "rounds" or flag == "most" then
    i = i + 1
    options[flag] = math.tointeger(arg[i])
      or error("--" .. flag .. " wants a number")
  elseif flag then
    if not FLAGS[flag] then error("no such option: " .. arg[i]) end
    options[flag] = true
  else
    table.insert(options.patterns, arg[i])
  end
  i = i + 1
end

local function wanted(workload)
  for _, pattern in ipairs(options.patterns) do
    if workload.name:find(pattern) then return true end
  end
  return #options.patterns == 0 and not (options.quick and workload.slow)
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

-- A shim in the way of python3 would be measured, too.
local python = ask("python3 -c 'import sys; print(sys.executable)'")
  or "python3"

local function filled(command, words)
  words.BUILD, words.PYTHON = build, python
  words.SCALE = tostring(options.scale)
  return (command:gsub("%u+", words))
end

local function run(command)
  return ask("exec timeout --foreground -k 5 300 env " .. command)
end

local installed = {}

--- Is there the program that a side needs?
local function has(side)
  local program = workloads.programs[side]
  if not program then return true end
  if installed[program] == nil then
    installed[program] = ask("command -v " .. program) ~= nil
    if not installed[program] then
      print(("%s is not installed: measured without"):format(program))
    end
  end
  return installed[program]
end

local function command_of(workload, side, heap)
  local command = workload.run and workload.run[side] or workloads.sides[side]
  return filled(command, {NAME = workload.name, HEAP = heap})
end

local QUICK = {luamp = true, python = true, floor = true}

local function sides_of(workload)
  local sides = {}
  for side in workload.sides:gmatch("%S+") do
    if has(side) and (QUICK[side] or not options.quick) then
      table.insert(sides, side)
    end
  end
  return sides
end

-- measuring ------------------------------------------------------------------

--- Side -> its runs summed up, or what went wrong.
local function measure(workload, heap)
  local runs, failed, result = {}, {}, {}
  local sides = sides_of(workload)
  for _ = 1, options.rounds do
    for _, side in ipairs(sides) do
      if not failed[side] then
        local last, why = run(command_of(workload, side, heap))
        local value = tonumber(last)
        runs[side] = runs[side] or {}
        table.insert(runs[side], value)
        if not value then failed[side] = why or "no number: " .. last end
      end
    end
  end
  for side, list in pairs(runs) do
    local why = failed[side]
    result[side] = why and {failed = why} or judge.summary(list)
  end
  return result
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

local function verdict_text(verdicts)
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
    verdict_text(verdicts)))
  local others = {}
  for _, side in ipairs(sides_of(workload)) do
    if not QUICK[side] then
      table.insert(others, side .. " " .. median(result, side))
    end
  end
  if #others > 0 then print("    " .. table.concat(others, ", ")) end
  io.stdout:flush()
end

-- what can be asked for ------------------------------------------------------

local function about_the_machine()
  return {
    machine = (ask("uname -srm")), cpus = tonumber((ask("nproc"))),
    date = os.date("!%Y-%m-%dT%H:%M:%SZ"),
    rounds = options.rounds, scale = options.scale,
  }
end

local function draw()
  local file <close> = assert(io.open(PICTURE, "w"))
  file:write(picture.draw(workloads, json.load(RESULT), json.load(CURVES)))
  print("picture: " .. PICTURE)
end

local function say_failures(notes)
  local ours = 0
  for _, note in ipairs(notes) do
    print("not measured: " .. note.text)
    if note.side == "luamp" then ours = ours + 1 end
  end
  return ours == 0
end

local function run_workload(workload, heap, notes)
  local begin = now()
  local result = measure(workload, heap)
  for side, r in pairs(result) do
    if r.failed then
      table.insert(notes, {side = side, text = ("%s, %s: %s"):format(
        workload.name, side, r.failed)})
    end
  end
  local verdicts = judge.verdicts(workload, result)
  print_row(workload, result, verdicts)
  return {
    name = workload.name, unit = workload.unit, sides = result,
    verdicts = verdicts, took = now() - begin,
  }
end

local function run_workloads()
  make_floor()
  local heap = ask(filled(workloads.sides.luamp, {NAME = "heap"})) or "200"
  local report, notes, missing = about_the_machine(), {}, 0
  print(("%d rounds on %s, %d CPUs; x: how many times better luamp is")
    :format(report.rounds, report.machine, report.cpus))
  print(ROW:format("", "", "luamp", "", "python", "x", "C", "x", "wanted"))
  report.workloads = {}
  for _, workload in ipairs(workloads) do
    if wanted(workload) then
      local row = run_workload(workload, heap, notes)
      table.insert(report.workloads, row)
      for _, v in ipairs(row.verdicts) do
        if v.kind == "goal" and not v.met then missing = missing + 1 end
      end
    end
  end
  json.save(RESULT, report)
  local fine = say_failures(notes)
  print(("goals not met: %d; results in %s"):format(missing, RESULT))
  return fine
end

local function print_curve(curve)
  print(("%s: %s by %s"):format(curve.title, curve.y, curve.x))
  for _, line in ipairs(curve.lines) do
    local out = {}
    for k, x in ipairs(line.x) do
      out[k] = ("%d: %s"):format(x, short(line.y[k]))
    end
    print(("    %-20s %s"):format(line.label, table.concat(out, "  ")))
  end
  io.stdout:flush()
end

local function run_curves()
  local report, notes = about_the_machine(), {}
  report.curves = {}
  for _, curve in ipairs(curves) do
    if wanted(curve) then
      local result = curves.measure(curve, function(command)
        return run(filled(command, {}))
      end, has, options, notes)
      print_curve(result)
      table.insert(report.curves, result)
    end
  end
  json.save(CURVES, report)
  return say_failures(notes)
end

if options.list then
  for _, w in ipairs(workloads) do print(w.name, w.sides) end
  for _, c in ipairs(curves) do print(c.name, "curve") end
elseif options.readme then
  readme.print(workloads, assert(json.load(RESULT), "nothing is measured yet"),
    function(w)
      return #options.patterns > 0 and wanted(w) or w.goals or w.aims
    end)
elseif options.draw then
  draw()
else
  local fine = (options.curves and run_curves or run_workloads)()
  draw()
  os.exit(fine, true)
end
