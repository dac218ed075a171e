-- run.lua SUITE... -- run test suites and add up what they count.
--
-- A suite is a list of commands.  What a command counts is read from what it
-- prints (counted, busted), or it is one test that its exit status decides
-- (single).  One that ends badly without having counted a failure (it
-- crashed, hung, or printed no counts) counts as one failed; so does a suite
-- with nothing to run.
--
-- Called by make from the root of the tree.  Environment: OUT, where the build
-- is; LUA, a plain Lua 5.4; LIMIT, the seconds a command may take.

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
local root = lines("pwd")[1]

--
-- Kinds of commands: how their output becomes counts
--

-- The last line "N passed, N failed".
local function counted(command)
  return {command = command, count = function(output)
    local passed, failed
    for p, f in output:gmatch("%f[^\n\0](%d+) passed, (%d+) failed\n") do
      passed, failed = tonumber(p), tonumber(f)
    end
    return passed, failed
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
    return map(function(test)
      return counted("valgrind -q --error-exitcode=99 --leak-check=full " ..
        test)
    end, lines("ls " .. out .. "/test/*_test"))
  end,
  embed = function()
    return map(counted, lines("ls " .. out .. "/host/*_test"))
  end,
  luamp = function() return {busted(luamp)} end,
  lua = function() return {busted(plain)} end,
  fault = function()
    local tests = map(counted, lines("ls " .. out .. "/fault/*_test"))
    tests[#tests + 1] = busted(luamp, "spec/fault")
    return tests
  end,
  explore = function()
    return {counted(("%s/explore/explore --seconds=%s"):format(out,
      os.getenv("EXPLORE_SECONDS") or "10"))}
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
  "TSAN_OPTIONS=log_path=%s:exitcode=99; "):format(reports, reports, reports)
local flavour = out:match("/(%a*san)$")
if flavour then
  sanitizers = sanitizers .. "export SPEC_SANITIZER=" .. flavour ..
    " SPEC_LIMIT=60; "
end
local setup = sanitizers .. "export LUAMP=" .. luamp .. "; "

-- Runs one command; returns what it counted and its output.  The output goes
-- through a file: a pipe would keep us waiting for an orphan that holds it.
local function run(test)
  local log = os.tmpname()
  local wrapped = ("%stimeout -k 5 %s %s >%s 2>&1 </dev/null"):format(
    setup, limit, test.command, log)
  local good, _, status = os.execute(wrapped)
  local output = read(log)
  os.remove(log)
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
  return passed, failed, pending or 0, output
end

-- Runs a suite; returns its counts.
local function run_suite(name)
  local tests = assert(suites[name], "no such suite: " .. name)()
  local log = ("%s/%s.log"):format(results, name)
  local passed, failed, pending = 0, 0, 0
  print(("== %s"):format(name))
  write(log, "")
  for _, test in ipairs(tests) do
    local p, f, skipped, output = run(test)
    io.write(output)
    io.flush()
    write(log, read(log) .. output)
    passed, failed, pending = passed + p, failed + f, pending + skipped
  end
  if #tests == 0 then
    print(name .. ": nothing to run")
    failed = 1
  end
  write(("%s/%s.txt"):format(results, name),
    ("%d passed, %d failed, %d pending\n"):format(passed, failed, pending))
  return passed, failed, pending
end

local function main(names)
  local passed, failed = 0, 0
  local summary = {}
  os.execute(("mkdir -p %s && rm -f %s.*"):format(results, reports))
  for _, name in ipairs(names) do
    local start = os.time()
    local p, f, skipped = run_suite(name)
    passed, failed = passed + p, failed + f
    summary[#summary + 1] =
      ("  %-10s %5d passed, %d failed, %d pending  (%d s)"):format(
        name, p, f, skipped, os.time() - start)
  end
  for _, report in ipairs(lines("ls " .. reports .. ".* 2>/dev/null")) do
    io.write(read(report))
    failed = failed + 1
    summary[#summary + 1] = "  " .. report
  end
  print("==\n" .. table.concat(summary, "\n"))
  print(("%d passed, %d failed"):format(passed, failed))
  os.exit(failed == 0)
end

main(arg)
