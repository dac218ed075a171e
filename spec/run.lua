-- run.lua SUITE... -- run test suites and add up what they count.
--
-- A suite is a list of commands.  What a command counts is read from what it
-- prints (counted, busted), or it is one test that its exit status decides
-- (single).  One that ends badly without having counted a failure (it
-- crashed, hung, or printed no counts) counts as one failed; so does a suite
-- with nothing to run.
--
-- The commands of all suites run side by side, each with its output to the
-- end: one more than there are CPUs, for the specs wait half of their time.
-- They begin in the order of their suites, so what takes long is named first.
--
-- Called by make from the root of the tree.  Environment: OUT, where the build
-- is; LUA, a plain Lua 5.4; LIMIT, the seconds a command may take; LANES, how
-- many run at a time.

local function env(name, default)
  local value = os.getenv(name)
  return value and value ~= "" and value or default
end

local function read(path)
  local file = io.open(path)
  if not file then return "" end
  local text = file:read("a")
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local function lines(command)
  local pipe <close> = assert(io.popen(command))
  local list = {}
  for line in pipe:lines() do list[#list + 1] = line end
  return list
end

local out = lines("realpath -m " .. env("OUT", "build"))[1]
local lua = env("LUA", "lua5.4")
local luamp = out .. "/bin/luamp"
local results = out .. "/results"
local limit = env("LIMIT", "600")
local lanes = env("LANES", tostring(lines("nproc")[1] + 1))
local SLOWEST = 10 -- commands whose times are shown
local root = lines("pwd")[1]

--
-- Kinds of commands: how their output becomes counts
--

-- The last line "N passed, N failed" or "N passed, N failed, N skipped".
local function counted(command)
  return {command = command, count = function(output)
    local passed, failed, skipped
    for p, f, rest in
      output:gmatch("%f[^\n\0](%d+) passed, (%d+) failed([^\n]*)\n") do
      passed, failed = tonumber(p), tonumber(f)
      skipped = tonumber(rest:match("^, (%d+) skipped$"))
    end
    return passed, failed, skipped
  end}
end

-- busted's summary.
local function busted(interpreter, arguments)
  local pattern = "(%d+) success%a* / (%d+) fail%a* / (%d+) error%a* / (%d+) "
  local found = lines("command -v busted")[1] or "/usr/bin/busted"
  local command = ("%s %s %s"):format(interpreter, found, arguments or "")
  return {command = command, count = function(output)
    local passed, failures, errors, pending = output:match(pattern)
    if not passed then return nil end
    return tonumber(passed), failures + errors, tonumber(pending)
  end}
end

-- No counts: the exit status decides.  The output is shown if it failed.
local function single(command)
  return {command = command, quiet = true, count = function(_, good)
    return good and 1 or 0, good and 0 or 1
  end}
end

local function map(f, list)
  local mapped = {}
  for i, value in ipairs(list) do mapped[i] = f(value) end
  return mapped
end

--
-- The suites
--

-- Each file in a process of its own.
local function specs(interpreter)
  return map(function(file) return busted(interpreter, file) end,
    lines("ls spec/*_spec.lua"))
end

-- Plain Lua sees the tree as if it were installed.
local plain = ("env LUA_PATH='%s/lua/?.lua;%s/lua/?/init.lua;;' " ..
  "LUA_CPATH='%s/lib/?.so;;' %s"):format(root, root, out, lua)
local sources = "$(find runtime spec examples -name '*.[ch]')"

-- They run for TIME seconds each.
local function soaks()
  return map(function(script) return counted(luamp .. " " .. script) end,
    lines("ls spec/stress/*_soak.lua"))
end

local suites = {
  lint = function()
    return {
      single("luacheck -q --no-color lua spec examples rockspec/*"),
      single("clang-format --dry-run -Werror " .. sources),
    }
  end,
  layers = function() return {counted("spec/layers.sh " .. out)} end,
  core = function()
    return map(counted, lines("ls " .. out .. "/test/*_test"))
  end,
  valgrind = function()
    local skipped = table.concat(dofile("spec/memcheck.lua"), " ")
    return map(function(test)
      return counted(("env TEST_MEMCHECK=1 TEST_SLOWER=6 TEST_SKIP='%s' " ..
        "LD_PRELOAD=%s/memcheck.so valgrind -q --error-exitcode=99 " ..
        "--leak-check=full --errors-for-leak-kinds=definite %s"):format(
        skipped, out, test))
    end, lines("ls " .. out .. "/test/*_test"))
  end,
  embed = function()
    return map(counted, lines("ls " .. out .. "/host/*_test"))
  end,
  luamp = function() return specs(luamp) end,
  -- Built with a Lua that does not know where Debian has modules.
  decoders = function()
    local paths = ("env LUA_PATH='%s' LUA_CPATH='%s' "):format(
      lines(lua .. " -e 'print(package.path)'")[1],
      lines(lua .. " -e 'print(package.cpath)'")[1])
    return map(function(name)
      return busted(paths .. luamp, "spec/" .. name .. "_spec.lua")
    end, {"pack", "pickle"})
  end,
  -- A share of what `make fuzz` and `make fault` do.
  share = function()
    return {
      counted("env -u MAKEFLAGS make -s TIME=1 fuzz"),
      busted("env EVERY=40 " .. luamp, "spec/fault/syscall_spec.lua"),
    }
  end,
  lua = function() return specs(plain) end,
  fault = function()
    local tests = map(counted, lines("ls " .. out .. "/fault/*_test"))
    tests[#tests + 1] = busted(luamp, "spec/fault")
    return tests
  end,
  explore = function()
    return {counted(("%s/explore/explore --seconds=%s"):format(out,
      os.getenv("EXPLORE_SECONDS") or "20"))}
  end,
  mutants = function()
    return {counted("spec/explore/mutants.sh " .. out .. "/explore")}
  end,
  stress = function()
    -- The C tests, those of messages over 4 GiB included.
    local tests = map(function(test)
      return counted("env MP_HUGE=1 " .. test)
    end, lines("ls " .. out .. "/test/*_test"))
    for _, test in ipairs(soaks()) do tests[#tests + 1] = test end
    return tests
  end,
  soak = soaks,
  examples = function()
    return {counted(luamp .. " spec/examples.lua")}
  end,
  install = function() return {counted("spec/install.sh")} end,
  stubs = function()
    return {counted(luamp .. " spec/stub/check.lua")}
  end,
  dist = function() return {counted("spec/dist.sh")} end,
  rock = function() return {counted("spec/rock.sh")} end,
  promises = function()
    return {counted(luamp .. " spec/fault/faults.lua check")}
  end,
}

--
-- Running
--

-- Sanitizers write there what they find, in whichever process they find it.
local reports = results .. "/sanitizer"
-- Freed memory is kept for a while, and would look like a leak; the specs
-- know by SPEC_SANITIZER what they cannot ask for then.
local sanitizers = ("export ASAN_OPTIONS=log_path=%s:exitcode=99:" ..
  "quarantine_size_mb=32 " ..
  "UBSAN_OPTIONS=log_path=%s:print_stacktrace=1 " ..
  "MSAN_OPTIONS=log_path=%s:exitcode=99 " ..
  "TSAN_OPTIONS=log_path=%s:exitcode=99; "):format(reports, reports, reports,
  reports)
local flavour = out:match("/(%a*san)$")
if flavour then
  sanitizers = sanitizers .. "export SPEC_SANITIZER=" .. flavour ..
    " TEST_SLOWER=6" ..
    (flavour == "msan" and " SPEC_LIMIT=240; " or " SPEC_LIMIT=60; ")
end
local setup = sanitizers .. "export LUAMP=" .. luamp .. "; "

-- One command: prints its number, status and start and end in hundredths of a
-- second.  Its output goes to a file: a pipe would keep us waiting for an
-- orphan that holds it.
local function script(job)
  return ([[
now() { read -r up _ </proc/uptime; echo "${up%%.*}${up#*.}"; }
from=$(now)
( %s exec timeout -k 5 %s %s ) >%s.out 2>&1 </dev/null
echo "%d $? $from $(now)"
]]):format(setup, limit, job.test.command, job.path, job.number)
end

-- Reads what a command has left: the counts and the output into the job.
local function finish(job, status)
  local test, good = job.test, status == 0
  local output = read(job.path .. ".out")
  local passed, failed, pending = test.count(output, good)
  if test.quiet then
    output = good and "" or output
    output = output .. (good and "ok " or "FAILED ") .. test.command .. "\n"
  end
  if not passed or (not good and failed == 0) then
    local why = status == 124 and "timed out" or "status " .. status
    output = ("%s%s: %s\n"):format(output, test.command, why)
    passed, failed = passed or 0, 1
  end
  job.passed, job.failed, job.pending = passed, failed, pending or 0
  job.output = output
end

-- The commands of the suites, each in a script of its own in `dir`.
local function prepare(names, dir)
  local jobs = {}
  for _, name in ipairs(names) do
    for _, test in ipairs(assert(suites[name], "no such suite: " .. name)()) do
      local n = #jobs + 1
      jobs[n] = {number = n, suite = name, test = test,
        path = ("%s/%d"):format(dir, n)}
      write(jobs[n].path, script(jobs[n]))
    end
  end
  return jobs
end

-- What a command is called in what we print: its last word that is a file.
local function title(job)
  local word = job.test.command:match("[^%s]*spec/[^%s]+_spec%.lua")
    or job.test.command:match("[^%s]+")
  return job.suite .. " " .. word:match("[^/]*$")
end

local function run_all(jobs, dir)
  local pipe <close> = assert(io.popen(
    ("seq %d | xargs -P %s -I '{}' sh %s/'{}'"):format(#jobs, lanes, dir)))
  for line in pipe:lines() do
    local n, status, from, to = line:match("^(%d+) (%d+) (%d+) (%d+)$")
    local job = jobs[tonumber(n)]
    finish(job, tonumber(status))
    job.seconds = (to - from) / 100
    print(("== %s (%.1f s)"):format(title(job), job.seconds))
    io.write(job.output)
    io.flush()
  end
end

-- Adds up a suite; returns its counts.
local function sum(name, jobs)
  local passed, failed, pending, seconds = 0, 0, 0, 0
  local log = {}
  for _, job in ipairs(jobs) do
    if job.suite == name then
      passed, failed = passed + job.passed, failed + job.failed
      pending, seconds = pending + job.pending, seconds + job.seconds
      log[#log + 1] = job.output
    end
  end
  if #log == 0 then
    log[1] = name .. ": nothing to run\n"
    io.write(log[1])
    failed = 1
  end
  write(("%s/%s.log"):format(results, name), table.concat(log))
  write(("%s/%s.txt"):format(results, name),
    ("%d passed, %d failed, %d pending\n"):format(passed, failed, pending))
  return passed, failed, pending, seconds
end

local function show_slowest(jobs)
  table.sort(jobs, function(a, b) return a.seconds > b.seconds end)
  local list = {}
  for i = 1, math.min(SLOWEST, #jobs) do
    list[i] = ("%s %.1f"):format(title(jobs[i]), jobs[i].seconds)
  end
  print("  slowest (s): " .. table.concat(list, ", "))
end

-- The leak checker says so of threads that end while it looks: no finding.
local function findings(report)
  return (read(report):gsub("==%d+==[^\n]*was not suspended[^\n]*\n", "")
    :gsub("==%d+==Unable to get registers from thread[^\n]*\n", ""))
end

local function main(names)
  local start = os.time()
  local passed, failed = 0, 0
  local dir = results .. "/jobs"
  os.execute(("rm -rf %s %s.* && mkdir -p %s"):format(dir, reports, dir))
  local jobs = prepare(names, dir)
  run_all(jobs, dir)
  print("==")
  for _, name in ipairs(names) do
    local p, f, pending, seconds = sum(name, jobs)
    passed, failed = passed + p, failed + f
    print(("  %-10s %5d passed, %d failed, %d pending  (%.0f s)"):format(
      name, p, f, pending, seconds))
  end
  show_slowest(jobs)
  for _, report in ipairs(lines("ls " .. reports .. ".* 2>/dev/null")) do
    local text = findings(report)
    if text ~= "" then
      print(report)
      io.write(text)
      failed = failed + 1
    end
  end
  print(("  %d commands in %d s, %s at a time"):format(#jobs,
    os.time() - start, lanes))
  print(("%d passed, %d failed"):format(passed, failed))
  os.exit(failed == 0)
end

main(arg)
