--- soak.lua SECONDS [SEED] -- everything at once, with kills and stops.
--
-- A crowd of processes by every method, each with a part: they put and get
-- items, hold locks and permits, add to values, meet at events, exchange
-- messages, make blocks, start children of their own.  At random some are
-- killed, stopped for a while, or hit by signals; others come.  In the end:
--
--   items      none twice; none that was not put; of those whose put returned
--              as many are missing as consumers were killed, at most; each
--              producer's in its order
--   locks      what is written under one is whole, or said to be abandoned
--   permits    all back
--   values     the sum of what all have added, give or take one a dead one
--   the end    everybody comes to it; nothing with a name is left
--
-- Who stalls for STALL seconds is asked for its stacks (gdb).  The last line
-- is "N passed, N failed".
local mp = require "mp"
local host = require "host"

local STALL = 30
local CROWD = 8
local ITEMS = 200 -- of a producer
local PRODUCERS = 4000 -- at most, one after the other

local seconds = tonumber(arg[1]) or 60
local seed = tonumber(arg[2]) or math.tointeger(host.now() * 1e6 // 1)
math.randomseed(seed)

-- What all share.  seen[i] counts how often item i was got; puts[p] how many
-- puts of producer p have returned; adds[p] what process p has added.
local shared = {
  queue = mp.Queue(50), lock = mp.Lock(), rlock = mp.RLock(),
  event = mp.Event(), stop = mp.Event(), permits = mp.Semaphore(3),
  cond = mp.Condition(), pair = mp.RawArray("q", 2), sum = mp.Value("q"),
  adds = mp.RawArray("q", PRODUCERS), puts = mp.RawArray("I", PRODUCERS),
  seen = mp.RawArray("B", PRODUCERS * ITEMS), wrong = mp.RawArray("I", 8),
  items = ITEMS, prefix = ("soak-%d-%x-"):format(host.getpid(), seed),
}

local parts = {}

function parts.produce(s, me)
  for i = 1, s.items do
    if s.stop:is_set() then return end
    local item = { me, i, ("x"):rep(i % 40 == 0 and 20000 or i) }
    repeat
      if s.stop:is_set() then return end
    until s.queue:put(item, 0.1)
    s.puts[me] = i
  end
end

function parts.consume(s)
  local last = {}
  for _ = 1, 400 do
    if s.stop:is_set() then return end
    local item = s.queue:get(0.05)
    if item then
      local at = (item[1] - 1) * s.items + item[2]
      s.seen[at] = s.seen[at] + 1
      if item[2] <= (last[item[1]] or 0) then s.wrong[1] = 1 end
      if #item[3] ~= (item[2] % 40 == 0 and 20000 or item[2]) then
        s.wrong[2] = 1
      end
      last[item[1]] = item[2]
    end
  end
end

function parts.lock(s)
  for _ = 1, 3000 do
    if s.stop:is_set() then return end
    local lock = math.random(2) == 1 and s.lock or s.rlock
    local ok, why = lock:acquire(5)
    if ok and lock == s.lock then
      local a, b = s.pair[1], s.pair[2]
      if a ~= b and why ~= "abandoned" then s.wrong[3] = 1 end
      s.pair[1] = a + 1
      s.pair[2] = a + 1
    end
    if ok then lock:release() end
  end
end

function parts.permit(s)
  for _ = 1, 3000 do
    if s.stop:is_set() then return end
    if s.permits:acquire(5) then s.permits:release() end
  end
end

function parts.add(s, me)
  for i = 1, 5000 do
    if s.stop:is_set() then return end
    s.sum:add(1)
    s.adds[me] = i
  end
end

function parts.meet(s)
  for _ = 1, 300 do
    if s.stop:is_set() then return end
    if math.random(2) == 1 then
      s.event:set()
      s.event:clear()
    else
      s.event:wait(0.01)
    end
    if s.cond:acquire(5) then
      if math.random(2) == 1 then s.cond:notify_all() else s.cond:wait(0.01) end
      s.cond:release()
    end
  end
end

function parts.talk(s)
  local library = require "mp"
  for _ = 1, 8 do
    if s.stop:is_set() then return end
    local a, b = library.Pipe()
    local p = library.get_context "fork".Process{ daemon = true,
      target = function()
        a:close() -- the child has it, too
        local x = b:recv()
        while x do b:send(x) x = b:recv() end
      end }
    if not pcall(p.start, p) then return end -- a thread cannot fork
    b:close()
    for i = 1, 20 do
      a:send{ i, ("y"):rep(i * 1000) }
      if a:recv(5) == nil then s.wrong[4] = 1 end
    end
    a:close()
    p:join()
  end
end

function parts.block(s, me)
  local library = require "mp"
  for i = 1, 200 do
    if s.stop:is_set() then return end
    local m = library.shared_memory.SharedMemory{ create = true, size = 5000,
      name = ("%s%d-%d"):format(s.prefix, me, i) }
    if m then
      m.buf:write(0, ("z"):rep(5000))
      m:close()
      m:unlink()
    end
  end
end

local names = {}
for name in pairs(parts) do names[#names + 1] = name end
table.sort(names)

--
-- The crowd
--

local crowd, used, killed, killed_consumers = {}, 0, 0, 0
local methods = { "fork", "fork", "spawn", "forkserver", "thread" }

local function add_one()
  if used == PRODUCERS then return end
  used = used + 1
  local part = names[math.random(#names)]
  local method = methods[math.random(#methods)]
  local p = mp.get_context(method).Process(parts[part], shared, used)
  p.name = part .. "-" .. used
  p:start()
  crowd[#crowd + 1] = { process = p, part = part, method = method }
end

local function stacks(process)
  io.stderr:write(tostring(process), " stalls:\n")
  os.execute(("gdb -batch -p %d -ex 'thread apply all bt' 2>/dev/null "
    .. "| grep -E '^(#|Thread)' >&2"):format(process.pid))
end

-- It may be stopped with a lock of the core's, for which we wait then, too: so
-- somebody else has to let it go on.
local function stop_for(pid, time)
  os.execute(("{ kill -STOP %d; sleep %.2f; kill -CONT %d; } "
    .. "2>/dev/null </dev/null >/dev/null &"):format(pid, time, pid))
end

-- One of the things that happen to processes.
local function disturb()
  local i = math.random(#crowd)
  local one = crowd[i]
  local p = one.process
  local what = math.random(10)
  if one.method == "thread" then return end -- all of us would be hit
  if what <= 3 then
    killed = killed + 1
    if one.part == "consume" then killed_consumers = killed_consumers + 1 end
    p:kill()
  elseif what <= 5 then
    stop_for(p.pid, math.random() * 0.3)
  end
end

local function reap(patience)
  for i = #crowd, 1, -1 do
    local p = crowd[i].process
    if p:join(patience) then
      if p.exitcode ~= 0 and p.exitcode ~= -9 then shared.wrong[5] = 1 end
      p:close()
      table.remove(crowd, i)
    end
  end
end

--
-- What must be so in the end
--

local passed, failed = 0, 0

local function demand(good, what, ...)
  if good then
    passed = passed + 1
  else
    failed = failed + 1
    print(what:format(...))
  end
end

local function count_items()
  local twice, never, missing, got = 0, 0, 0, 0
  for p = 1, used do
    for i = 1, ITEMS do
      local n = shared.seen[(p - 1) * ITEMS + i]
      got = got + n
      if n > 1 then twice = twice + 1 end
      if n == 0 and i <= shared.puts[p] then missing = missing + 1 end
      if n > 0 and i > shared.puts[p] + 1 then never = never + 1 end
    end
  end
  demand(twice == 0, "%d items came twice", twice)
  demand(never == 0, "%d items came that were never put", never)
  demand(missing <= killed_consumers, "%d items are missing, %d consumers "
    .. "were killed", missing, killed_consumers)
  return got, missing
end

--- Of ours: others may use /dev/shm, too.
local function names_left()
  local n = 0
  for _, name in ipairs(host.list "/dev/shm") do
    if name:find(shared.prefix, 1, true) == 1 then n = n + 1 end
  end
  return n
end

local function check_all()
  local got, missing = count_items()
  local added = 0
  for p = 1, used do added = added + shared.adds[p] end
  local more = shared.sum.value - added
  demand(more >= 0 and more <= killed, "the sum is %d too large", more)
  local what = { "an item out of order", "an item that is not whole",
    "a lock that did not exclude", "a message that did not come",
    "an exit code that is none" }
  for i, text in ipairs(what) do demand(shared.wrong[i] == 0, "%s", text) end
  demand(shared.lock:acquire(1) and shared.rlock:acquire(1), "a lock is held")
  local n = 0
  while shared.permits:acquire(0) do n = n + 1 end
  demand(n == 3, "%d permits, not 3", n)
  demand(shared.queue:empty() and shared.queue:qsize() == 0, "items are left")
  demand(#mp.active_children() == 0, "children are left")
  demand(names_left() == 0, "a name is left")
  print(("%d processes, %d killed; %d items, %d lost; %d added"):format(used,
    killed, got, missing, added))
end

local function main()
  local finish = host.now() + seconds
  print("seed " .. seed)
  while host.now() < finish do
    while #crowd < CROWD and used < PRODUCERS do add_one() end
    if #crowd == 0 then break end
    host.sleep(math.random() * 0.02)
    disturb()
    reap(0)
  end
  shared.stop:set()
  local deadline = host.now() + STALL
  while #crowd > 0 and host.now() < deadline do reap(0.1) end
  for _, one in ipairs(crowd) do
    demand(false, "%s does not end", one.process.name)
    stacks(one.process)
    one.process:kill()
  end
  reap(5)
  while not shared.queue:empty() do
    parts.consume(setmetatable({ stop = { is_set = function()
      return shared.queue:empty()
    end } }, { __index = shared }))
  end
  check_all()
end

main()
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0)
