-- examples.lua -- runs every example and looks at what it prints.
--
-- Called from the root of the tree: lua5.4 spec/examples.lua.  Environment:
-- LUAMP, the command.  The last line is "N passed, N failed".

local LUAMP = os.getenv("LUAMP") or "build/bin/luamp"

-- What each must print, as patterns; some are run on more than one thing.
local expected = {
  hello = { {
    "Hello, world, from process %d+\n", "letters in the name:\t5\n",
    "exit code:\t0\n",
  } },
  pipeline = { { "^500 even squares, sum 167167000\n$" } },
  lock = { { "^counted to 300\nthen:\ttrue\tabandoned\n$" } },
  queue = { { "^%d%d+ pieces by %d+ workers: 3.141592654\n$" } },
  start_methods = { {
    "fork +42, worked out in another process\n",
    "spawn +42, worked out in another process\n",
    "forkserver +42, worked out in another process\n",
    "thread +42, worked out in this process\n",
  } },
  process_value = { {
    "the watcher saw worker end with exit code 7\n",
    "the same process:\ttrue\n",
  } },
  pool_progress = {
    { "^.*%d+ files below /usr/include\n", "longest identifier: %d+ letters" },
    { arg = "/nonexistent", "0 files below /nonexistent\n" },
  },
  executor = { { "^0:  a positive number was expected\n",
    "the most steps: 350; failed: 1\n", "taken back: true\n$" } },
  imap_pipeline = { { "^last hexadecimal digits of squares: 0 1 4 9\n$" } },
  crunch_array = { { "^sum of 400000 roots: 168655124.6\n",
    "the last one: 632.4555\n$" } },
  shared_array = {
    { "^78498 primes up to 1000000, the largest is 999983\n$" },
    { arg = "100", "^25 primes up to 100, the largest is 97\n$" },
  },
  rounds = { {
    "a works in round 3\n", "d waits no more\n", "broken: true\n$",
  } },
  event_loop = { { "sum 55; the timer ran meanwhile: true\n" } },
  shared_memory = { {
    "the sum here: 100\n", "the sum in Python: 100\n",
    "Python says:\tdone\n",
  } },
  manager = { {
    "balance:\t60\tchildren:\t3\n", "another account:\t5\n",
    "refused:\tfalse\tnot enough money\n", "votes:\tyes\t2\n",
    "votes:\tno\t2\n",
  } },
  python_queue = { {
    "python counted 3 letters in one\n", "6 letters in twelve\n",
    "3 letters in \u{e9}t\u{e9}\n", "python: no more jobs\n",
    "results left: 0\n$",
  } },
  wordfreq = {
    {
      "%d+ text files, [%d.]+ MiB below /%S+\n",
      "%d+ different words; the most frequent:\n  %a+ +%d+\n",
      "one process: +[%d.]+ s\n", "%d+ processes: +[%d.]+ s\n",
      "speedup: +[%d.]+\n", "results equal: true\n$",
    },
    { arg = "examples", "results equal: true\n$" },
    { arg = "/nonexistent", "0 text files", "results equal: true\n$" },
  },
}

-- Without luv there is nothing to show; the example says so.
if not pcall(require, "luv") then
  expected.event_loop[1] = { "luv is not installed" }
end

if not os.execute("python3 -c pass 2>/dev/null") then
  expected.shared_memory[1] = { "the sum here: 100\n", "there is no python3" }
end

local passed, failed = 0, 0

local function check(name, case)
  local command = ("timeout 60 %s examples/%s.lua %s 2>&1 </dev/null"):format(
    LUAMP, name, case.arg or "")
  if case.command then command = case.command .. " 2>&1" end
  local pipe = assert(io.popen(command))
  local output = pipe:read("a")
  local ok, how, code = pipe:close()
  local missing = ok and {} or { ("%s %d"):format(how, code) }
  for _, pattern in ipairs(case) do
    if not output:find(pattern) then missing[#missing + 1] = pattern end
  end
  local title = ("%s %s"):format(name, case.arg or "")
  if #missing == 0 then
    passed = passed + 1
    print("ok     " .. title)
  else
    failed = failed + 1
    print(("FAILED %s: %s\n%s"):format(
      title, table.concat(missing, "; "), output))
  end
end

-- A program of C with scripts of its own, built beside the command.
local host = LUAMP:gsub("bin/[^/]*$", "host/example") ..
  " examples/embed/pool.lua examples/embed/work.lua"
check("embed", { command = "seq 1 100 | " .. host .. " 3",
  "^1: 1\n2: 3\n", "\n100: 5050\n$" })
check("embed, workers that crash", {
  command = "! printf '10\\ncrash\\nerror\\n7\\n' | " .. host .. " 1",
  "^10: 55\nfailed: a worker ended with exit code 9\n" ..
    "failed: no such job\n7: 28\n$",
})

check("c/readings", {
  command = LUAMP:gsub("bin/[^/]*$", "host/readings") ..
    " examples/c/readings.lua",
  "worker 1 is done\n", "worker 2 is done\n",
  "1000 readings, sum 250250\nnoted 2000 times, the highest 500\n$",
})

local files <close> = assert(io.popen("ls examples/*.lua"))
for path in files:lines() do
  local name = path:match("([^/]+)%.lua$")
  for _, case in ipairs(expected[name] or { { "nothing is expected" } }) do
    check(name, case)
  end
  expected[name] = nil
end
for name in pairs(expected) do
  failed = failed + 1
  print("FAILED examples/" .. name .. ".lua is not there")
end

print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0)
