-- pool_soak.lua -- pools under load while their workers are killed at random.
--
--   TIME=60 SEED=1 luamp spec/stress/pool_soak.lua
--
-- Each task has an account: it has exactly one outcome, which is the right
-- result, or ProcessDied with signal 9 when one of our kills can have hit it.
-- A kill costs one task at most; at the end nothing is left over.  What is
-- counted as passed are the rounds: so many tasks each.
local mp = require "mp"

local TIME = tonumber(os.getenv "TIME") or 3
local SEED = tonumber(os.getenv "SEED") or os.time() ~ mp.current_process().pid
local WORKERS = 4
math.randomseed(SEED)
print(("seed %d, %g seconds"):format(SEED, TIME))

local started = require "mp.proc".now()
local function elapsed() return require "mp.proc".now() - started end

local count = { tasks = 0, died = 0, kills = 0, failed = 0, passed = 0 }

local function check(ok, what)
  if ok then return end
  count.failed = count.failed + 1
  print("FAILED (seed " .. SEED .. "): " .. what)
end

local function answer_of(x) return x * 7 + 1 end

local function task(x)
  local spin = x % 50 == 0 and 20000 or x % 7 * 100
  local sum = 0
  for i = 1, spin do sum = sum + i end
  return x * 7 + 1, sum
end

local function one(x) return (task(x)) end
local function text(x) return ("%d "):format(x):rep(x % 3000) end

local function kill_some()
  local workers = mp.active_children()
  if #workers > 0 and math.random() < 0.3 then
    workers[math.random(#workers)]:kill()
    count.kills = count.kills + 1
  end
end

local function outcome(ok, result, wanted, what)
  count.tasks = count.tasks + 1
  if ok then return check(result == wanted, what .. ": a wrong result") end
  count.died = count.died + 1
  check(getmetatable(result) == mp.ProcessDied and result.exitcode == -9,
    what .. ": " .. tostring(result))
end

-- Ways to use a pool; each settles the account of all of its tasks.
local ways = {}

function ways.apply_async(pool)
  local results = {}
  for i = 1, 200 do
    results[i] = pool:apply_async(one, { i })
    if i % 50 == 0 then kill_some() end
  end
  for i = 1, 200 do
    local ok, result = pcall(results[i].get, results[i])
    outcome(ok, result, answer_of(i), "apply_async")
  end
end

local function iterate(pool, what, f, wanted_of)
  local n, k = 1000, 0
  local seen = {}
  local function source()
    k = k + 1
    if k % 200 == 0 then kill_some() end
    if k <= n then return k end
  end
  local chunksize = ({ false, 1, 10, 100 })[math.random(4)] or nil
  local step = pool[what](pool, f, source, { chunksize = chunksize })
  for _ = 1, n do
    local ok, i, result = pcall(step)
    local place = ok and i or type(i) == "table" and i.task
    check(place and not seen[place], what .. ": a task twice, or lost")
    seen[place or 0] = true
    if ok then
      outcome(true, result, wanted_of(i), what)
    else
      outcome(false, i, nil, what)
    end
  end
  check(step() == nil, what .. ": more results than tasks")
end

function ways.imap(pool) iterate(pool, "imap", one, answer_of) end

function ways.imap_unordered(pool)
  iterate(pool, "imap_unordered", one, answer_of)
end

function ways.long_texts(pool) iterate(pool, "imap", text, text) end

function ways.map(pool)
  local list = {}
  for i = 1, 3000 do list[i] = i end
  local result = pool:map_async(one, list)
  kill_some()
  local ok, all = pcall(result.get, result)
  count.tasks = count.tasks + 3000
  if not ok then
    count.died = count.died + 1
    return check(getmetatable(all) == mp.ProcessDied, "map: " .. tostring(all))
  end
  local right = all.n == 3000
  for i = 1, 3000 do right = right and all[i] == answer_of(i) end
  check(right, "map: wrong results")
end

function ways.futures(_, executor)
  local list = {}
  for i = 1, 200 do
    list[i] = executor:submit(one, i)
    if i % 50 == 0 then kill_some() end
  end
  local wanted = {}
  for i, future in ipairs(list) do wanted[future] = answer_of(i) end
  for future in mp.futures.as_completed(list) do
    local err = future:exception()
    outcome(err == nil, err or future:result(), wanted[future], "futures")
    wanted[future] = nil
  end
  check(next(wanted) == nil, "futures: some have no outcome")
end

-- Not with popen: what is listed could have a second end of its pipe, still.
local function open_files()
  local name = os.tmpname()
  os.execute(("ls /proc/%d/fd | wc -l >%s"):format(mp.current_process().pid,
    name))
  local file <close> = assert(io.open(name))
  os.remove(name)
  return file:read("n")
end

local names = {}
for name in pairs(ways) do names[#names + 1] = name end
table.sort(names)

-- Sessions of a few seconds each, so that pools come and go, too.
local methods = { "fork", "spawn", "forkserver", "thread" }
-- What a process opens once and keeps: /dev/null at its first fork, the way to
-- its fork server.
for _, method in ipairs { "fork", "forkserver" } do
  mp.get_context(method).Process(function() end):start():join()
end
local before
while elapsed() < TIME do
  local context = methods[math.random(#methods)]
  local until_then = math.min(elapsed() + 5, TIME)
  do
    local pool <close> = mp.Pool { processes = WORKERS, context = context,
      max_restarts = 1000000 }
    local executor <close> = mp.futures.ProcessPoolExecutor {
      max_workers = WORKERS, context = context }
    repeat
      local failed = count.failed
      ways[names[math.random(#names)]](pool, executor)
      if failed == count.failed then count.passed = count.passed + 1 end
    until elapsed() > until_then
    check(pool._crew.items.pending == 0, "a pool with something left over")
  end
  check(#mp.active_children() == 0, "a worker was left")
  collectgarbage()
  collectgarbage()
  before = before or open_files()
  check(open_files() <= before, "descriptors were left")
end
check(count.died <= count.kills, "more tasks died than workers were killed")
print(("%d tasks, %d workers killed, %d tasks died with them"):format(
  count.tasks, count.kills, count.died))
print(("%d passed, %d failed"):format(count.passed, count.failed))
os.exit(count.failed == 0)
