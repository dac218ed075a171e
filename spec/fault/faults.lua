--- faults.lua [check | ID...] -- what luamp survives, shown fault by fault.
--
-- Runs the tests that index.lua names and prints a line for each fault: id,
-- outcome, promise.  With ids (D3, or D for a group) only those.  `check` runs
-- nothing: does every fault have an entry, and does each named test exist?
-- What the tests print is kept in OUT/results/faults.
-- Environment: OUT, where the build is; LUAMP.
local mp = require "mp"

local index = dofile "spec/fault/index.lua"

local COUNTS = { A = 20, B = 14, C = 11, D = 13, E = 10, F = 19, G = 15, H = 6,
  I = 11, J = 8 }

local out = os.getenv("OUT") or "build"
local luamp = os.getenv("LUAMP") or out .. "/bin/luamp"

local function capture(command)
  local pipe <close> = assert(io.popen(command))
  return pipe:read("a")
end

local function read(path)
  local file <close> = io.open(path)
  return file and file:read("a")
end

--- "core/mutex_test a_killed_holder" -> its file, its words
local function split(test)
  return test:match("^(%S+) (.*)$")
end

local function source(file)
  return read("spec/" .. file .. ".lua") or read("spec/" .. file .. ".c")
end

--
-- The check
--

local function check_test(test, id, wrong)
  local file, words = split(test)
  local text = file and source(file)
  if not text then
    wrong("%s: no such file: %s", id, test)
  elseif not text:find(words, 1, true) then
    wrong("%s: no such test: %s", id, test)
  end
end

local function check()
  local passed, failed = 0, 0
  local function wrong(...)
    print((...):format(select(2, ...)))
    failed = failed + 1
  end
  local seen = {}
  for _, entry in ipairs(index) do
    local before, id = failed, entry[1]
    if seen[id] then wrong("%s is there twice", id) end
    seen[id] = true
    if not entry[3] and not entry.why then wrong("%s has no test", id) end
    for i = 3, #entry do check_test(entry[i], id, wrong) end
    if failed == before then passed = passed + 1 end
  end
  for letter, n in pairs(COUNTS) do
    for i = 1, n do
      if not seen[letter .. i] then wrong("%s%d is missing", letter, i) end
    end
  end
  return passed, failed
end

--
-- The run: each file's tests once, side by side, and then
-- file -> outcome(words) -> passed, failed, skipped
--

local LIMIT = 3600 -- seconds a file's tests may take

local function program(file)
  local dir, name = file:match("^(%w+)/(.*)$")
  if dir == "core" then return out .. "/test/" .. name end
  if dir == "embed" then return out .. "/host/" .. name end
  if dir == "explore" then return out .. "/explore/explore --seconds=20" end
  return out .. "/fault/fault/" .. name
end

local function is_spec(file) return read("spec/" .. file .. ".lua") ~= nil end

--- Programs at full size (MP_HUGE).
local function command_of(file)
  if not is_spec(file) then return "MP_HUGE=1", program(file) end
  return "LUAMP=" .. luamp, ("%s %s -o TAP spec/%s.lua"):format(luamp,
    capture("command -v busted"):match("%S+"), file)
end

local function spec_outcome(text)
  local list = {}
  for good, name in text:gmatch("%f[^\n\0](n?o?t? ?ok) %d+ %- ([^\n]*)") do
    local outcome = good == "ok" and 1 or 2
    if name:find("^# SKIP") then outcome = 3 end
    list[#list + 1] = { name, outcome }
  end
  return function(words)
    local counts = { 0, 0, 0 }
    for _, test in ipairs(list) do
      if test[1]:find(words, 1, true) then
        counts[test[2]] = counts[test[2]] + 1
      end
    end
    return counts[1], counts[2], counts[3]
  end
end

--- It prints "name: failed", "name: skipped", or "name: what" (the explorer).
local function program_outcome(text)
  local ended = text:find("%d+ passed, %d+ failed\n$")
  return function(words)
    for line in text:gmatch("[^\n]+") do
      if line:find(words, 1, true) == 1 and line:find(": skipped", 1, true) then
        return 0, 0, 1
      elseif line:find(words, 1, true) and line:find(": failed", 1, true)
        or line:find(words .. ": ", 1, true) == 1 then
        return 0, 1, 0
      end
    end
    if not ended then return 0, 1, 0 end
    return 1, 0, 0
  end
end

local said = {} -- by a command

--- Run what the entries need, one command more at a time than there are CPUs:
--- the specs wait half of their time.
local function run_all(entries)
  local dir = out .. "/results/faults"
  os.execute(("rm -rf %s && mkdir -p %s"):format(dir, dir))
  local commands = {}
  for _, entry in ipairs(entries) do
    for i = 3, #entry do
      local file = split(entry[i])
      local setting, command = command_of(file)
      if not said[command] then
        said[command] = ""
        commands[#commands + 1] = { setting, command,
          ("%s/%s.log"):format(dir, (file:gsub("/", "_"))) }
      end
    end
  end
  local pool <close> = mp.Pool(mp.cpu_count() + 1)
  for _, done in pool:imap_unordered(function(job)
    local begin = os.time()
    os.execute(("env %s timeout -k 5 %d %s >%s 2>&1 </dev/null"):format(
      job[1], LIMIT, job[2], job[3]))
    return { job[2], read(job[3]), os.time() - begin }
  end, commands) do
    said[done[1]] = done[2]
    io.stderr:write(("-- %s (%d s)\n"):format(done[1], done[3]))
  end
end

local function outcome(test)
  local file, words = split(test)
  local _, command = command_of(file)
  return (is_spec(file) and spec_outcome or program_outcome)(said[command])(
    words)
end

--- passed | FAILED | skipped (one of them is enough) | cannot happen, and how
-- many tests
local function judge(entry)
  local passed, failed, skipped, missing = 0, 0, 0, 0
  for i = 3, #entry do
    local p, f, s = outcome(entry[i])
    passed, failed, skipped = passed + p, failed + f, skipped + s
    if p + f + s == 0 then
      io.stderr:write("did not run: ", entry[i], "\n")
      missing = missing + 1
    end
  end
  if failed + missing > 0 then return "FAILED", failed + missing end
  if skipped > 0 then return "skipped", skipped end
  if passed > 0 then return "passed", passed end
  if entry.why then return "cannot", 0 end
  return "NO TEST", 0
end

local function chosen(id)
  if #arg == 0 then return true end
  for _, word in ipairs(arg) do
    if id == word or id:match("^%a") == word then return true end
  end
  return false
end

local function run()
  local counts = setmetatable({}, { __index = function() return 0 end })
  local entries = {}
  for _, entry in ipairs(index) do
    if chosen(entry[1]) then entries[#entries + 1] = entry end
  end
  run_all(entries)
  for _, entry in ipairs(entries) do
    local what, n = judge(entry)
    counts[what] = counts[what] + 1
    print(("%-4s %-8s %3d  %s%s"):format(entry[1], what, n, entry[2],
      entry.why and " [" .. entry.why .. "]" or ""))
  end
  print(("shown by tests %d, cannot happen %d, skipped %d, not covered %d, "
    .. "failed %d"):format(counts.passed, counts.cannot, counts.skipped,
    counts["NO TEST"], counts.FAILED))
  return counts.passed + counts.cannot + counts.skipped,
    counts.FAILED + counts["NO TEST"]
end

local passed, failed = (arg[1] == "check" and check or run)()
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0)
