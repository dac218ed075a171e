-- mutate.lua [FILE...] -- do the tests notice a mistake?
--
-- Each mutant is a file of the core with one small mistake: a wake or another
-- statement that is left out, a compare-and-swap that does not compare, a bit
-- that is lost, a comparison that is off by one or turned around, a step of 0
-- instead of 1.  It is built into the file's schedules in the explorer and its
-- C tests; one of them must fail.  What nobody can notice is listed, with the
-- reason, in mutate_equal.lua; an entry there that fits no mutant is a failure.
--
-- Environment: OUT, COMPILE (the compiler's command), EXPLORER (the
-- explorer's), EVERY (the n-th only), FROM (beginning with), LANES (so many at
-- a time), CHECK=1 (try what is said to be equal, too), AGAIN=file (just those
-- that live by the output of another run).
local equal = dofile "spec/mutate_equal.lua"

local out = os.getenv("OUT") or "build"
local compile = assert(os.getenv "COMPILE", "run by make mutate")
local explorer = assert(os.getenv "EXPLORER")
local every = tonumber(os.getenv "EVERY") or 1
local from = tonumber(os.getenv "FROM") or 1
local check = os.getenv "CHECK"
local again = os.getenv "AGAIN"
local dir = out .. "/mutate"

-- What would notice: schedules, C tests.  (Quick ones first.)
local TESTS = {
  lock = { "lock_test", explore = "core- arena join-work-2-death" },
  mutex = { "mutex_test", "mutex_death_test", "full_test",
    explore = "lock rlock" },
  event = { "event_test", "full_test", explore = "event" },
  sem = { "sem_test", "full_test", "roster_test", explore = "sem" },
  cond = { "cond_test", "full_test", explore = "cond" },
  barrier = { "barrier_test", "full_test", explore = "barrier" },
  roster = { "roster_test", "sem_test", "cond_test", "barrier_test",
    explore = "sem cond barrier" },
  claim = { "claim_test", "full_test", "fifo_test", explore = "join" },
  fifo = { "recall_test", "full_test", "claim_test", "queue_test", "fifo_test",
    explore = "queue join recall" },
  recall = { "recall_test", "claim_test", "fifo_test", explore = "recall" },
  queue = { "queue_test", "full_test", "recall_test", "claim_test", "fifo_test",
    explore = "queue join" },
}
local ORDER = { "lock", "mutex", "event", "sem", "cond", "barrier", "roster",
  "claim", "recall", "fifo", "queue" }

local QUICK, LONG = 2, 4 -- seconds of schedules before and after the tests
local MOST = 6 -- seconds for each C test; a late one has failed

--
-- Files and commands
--

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
end

local function capture(command)
  local pipe <close> = assert(io.popen(command))
  return pipe:read("a")
end

local function run(...)
  return os.execute("(" .. string.format(...) .. ") >/dev/null 2>&1 </dev/null")
end

local function must(...)
  return run(...) or error("failed: " .. string.format(...))
end

--
-- Mutants
--

-- Each occurrence of each of these, one at a time: pattern and what becomes
-- of it.
local RULES = {
  { " < ", " <= " }, { " <= ", " < " }, { " > ", " >= " }, { " >= ", " > " },
  { " == ", " != " }, { " != ", " == " }, { " && ", " || " },
  { " || ", " && " }, { " %+ 1", " + 0" }, { " %- 1", " - 0" },
  { " %+= ", " -= " }, { "%+%+", "--" }, { " | ", " & " }, { " & ", " | " },
  { " | [%u_]+", "" }, { " & ~?[%u_]+", "" }, -- a bit is lost, or kept
  { "if %(!", "if (" }, { "while %(!", "while (" },
  { "return 0;", "return 1;" }, { "return 1;", "return 0;" },
  { "INT32_MAX", "1" }, -- one wakes instead of all
  { "mp__cas(%d+)_%l+%(", "MUTANT_CAS%1(" }, -- it does not compare
}

local HEADER = "#define MUTANT_CAS32(p, s, v) (mp__store32_seq(p, v), 1)\n" ..
  "#define MUTANT_CAS64(p, s, v) (mp__store64_seq(p, v), 1)\n#line 1\n"

local function replaced(line, old, new, found)
  local at = 1
  while true do
    local i, j = line:find(old, at)
    if not i then return end
    found(line:sub(1, i - 1) .. line:sub(i, j):gsub(old, new)
      .. line:sub(j + 1))
    at = j + 1
  end
end

local function mutants_of(line, found)
  for _, rule in ipairs(RULES) do
    replaced(line, rule[1], rule[2], found)
  end
  -- a statement that stands alone: a call, an assignment
  if line:find("^ +[%w_%(][^=?]*%(.*%);$") and not line:find("^ +return")
    and not line:find("^ *while") or
    line:find("^ +[%w_%(%*%)][%w_>%.%[%]%-%(%)%*&]* [%+%-|&]?= .*;$") or
    line:find("^ +[%w_>%.%-]+[%+%-][%+%-];$") then
    found("  ;")
  end
end

-- The statements of a file: comments are blank, and what stands in brackets
-- is one line.
local function statements(name)
  local text = read(("runtime/core/%s.c"):format(name))
  text = text:gsub("/%*.-%*/", function(s) return (s:gsub("[^\n]", "")) end)
  local list, open = {}, 0
  local macro = false
  for line in text:gmatch("(.-)\n") do
    line = line:gsub(" +$", "")
    macro = macro and macro:find("\\$") and line or line:find("^#") and line
    if open > 0 then
      local first = list[#list]
      while first.joined do first = first.joined end
      first.text = first.text .. " " .. line:gsub("^ +", "")
      list[#list + 1] = { text = "", joined = first }
    else
      list[#list + 1] = { text = line }
    end
    if not macro then
      local _, opened = line:gsub("%(", "")
      local _, closed = line:gsub("%)", "")
      open = open + opened - closed
    end
  end
  return list
end

-- Only functions' bodies; not points to be killed at, nor mere hints.
local function is_code(text)
  return text:find("^ ") and not text:find("MP_FAULT", 1, true)
    and not text:find("mp__pause", 1, true)
end

local function all_mutants(name)
  local lines, list = statements(name), {}
  local in_body = false
  for i, line in ipairs(lines) do
    if line.text:find("^[%w].*{$") and not line.text:find("^struct [%w_]+ {$")
      and not line.text:find("^enum") then
      in_body = true
    elseif line.text:find("^}") then
      in_body = false
    elseif in_body and is_code(line.text) then
      mutants_of(line.text, function(text)
        list[#list + 1] = { at = i, was = line.text, text = text }
      end)
    end
  end
  return lines, list
end

local function source(lines, mutant)
  local list = {}
  for i, line in ipairs(lines) do
    list[i] = mutant and i == mutant.at and mutant.text or line.text
  end
  return HEADER .. table.concat(list, "\n") .. "\n"
end

local function trim(text)
  return (text:gsub("^ +", ""))
end

-- The reason why nobody can notice it, or nil.
local function why_equal(name, mutant)
  for _, e in ipairs(equal[name] or {}) do
    if e[1] == trim(mutant.was) and (e[2] == trim(mutant.text)
      or e[2] == "*") then
      e.used = true
      return e[3]
    end
  end
end

--
-- Trying one
--

local function others(name, objects)
  local list = {}
  for path in capture("ls " .. objects .. "/*.o"):gmatch("%S+") do
    if not path:find("/" .. name .. ".o", 1, true) then
      list[#list + 1] = path
    end
  end
  return table.concat(list, " ")
end

-- What all mutants of a file share: the tests, the other objects in one, the
-- file as it is.
local function prepare(name)
  local base = dir .. "/" .. name
  must("rm -rf %s && mkdir -p %s/base", base, base)
  for _, test in ipairs(TESTS[name]) do
    must("%s -c -o %s/%s.o spec/core/%s.c", compile, base, test, test)
  end
  must("ld -r -o %s/rest.o %s", base, others(name, out .. "/obj/core"))
  write(base .. "/base/" .. name .. ".c", source((statements(name))))
end

local function build(name, at)
  return run("%s -w -g0 -c -o %s/%s.o %s/%s.c && md5sum <%s/%s.o >%s/sum",
    compile, at, name, at, name, at, name, at)
end

local function schedules(name, at, seconds)
  return run("timeout -k 1 %d %s/explore --seconds=%d --first %s",
    30 + seconds * 4, at, seconds, TESTS[name].explore)
end

local function tests(name, at)
  for _, test in ipairs(TESTS[name]) do
    must("%s -o %s/test %s/%s/%s.o %s/%s.o %s/%s/rest.o -lm", compile, at, dir,
      name, test, at, name, dir, name)
    if not run("TEST_FIRST=1 TEST_MOST=%d %s/test", MOST, at) then
      return false
    end
  end
  return true
end

local function build_explorer(name, at)
  must("%s -w -c -o %s/explore.o %s/%s.c", explorer, at, at, name)
  must("%s -w -o %s/explore %s/explore.o %s/explore/*.o %s -lm -ldl", explorer,
    at, at, dir, others(name, out .. "/explore/obj/core"))
end

-- What became of it: "invalid" (it does not compile), "same" (the compiler
-- makes the same code of it), "killed by ...", "lives".
local function try(name, at)
  if not build(name, at) then return "invalid" end
  if read(at .. "/sum") == read(("%s/%s/base/sum"):format(dir, name)) then
    return "same"
  end
  build_explorer(name, at)
  if not schedules(name, at, QUICK) then return "killed by schedules" end
  if not tests(name, at) then return "killed by tests" end
  if not schedules(name, at, LONG) then return "killed by many schedules" end
  return "lives"
end

-- In a process of its own: mutant n of a file; 0 is the file as it is.
local function try_one(name, n)
  local lines, list = all_mutants(name)
  local at = ("%s/%s/%d"):format(dir, name, n)
  must("mkdir -p %s", at)
  write(("%s/%s.c"):format(at, name), source(lines, list[n]))
  print(name, n, try(name, at))
  run("rm -rf %s", at)
end

--
-- All of them
--

-- The unchanged files pass, or nothing is worth anything.
local function try_unchanged(name)
  prepare(name)
  local at = ("%s/%s/base"):format(dir, name)
  assert(build(name, at), name)
  build_explorer(name, at)
  must("%s/explore --seconds=%d --first %s", at, QUICK, TESTS[name].explore)
  assert(tests(name, at), name .. ": its tests fail as it is")
end

local function prepare_explorer()
  must("rm -rf %s && mkdir -p %s/explore", dir, dir)
  for path in capture("ls spec/explore/*.c"):gmatch("%S+") do
    must("%s -w -c -o %s/explore/%s.o %s", explorer, dir,
      path:match("([%w_]+)%.c$"), path)
  end
end

local function title(mutant)
  return mutant.text == "  ;" and "without " .. trim(mutant.was)
    or trim(mutant.text)
end

local function tell(name, mutant, outcome)
  print(("%s.c:%d %s: %s"):format(name, mutant.at, outcome, title(mutant)))
  io.stdout:flush()
end

local sum = { mutants = 0, killed = 0, same = 0, equal = 0, lives = 0 }

local function count(name, mutant, outcome, why)
  if outcome == "invalid" then return end
  sum.mutants = sum.mutants + 1
  if outcome == "same" then
    sum.same = sum.same + 1
  elseif outcome:find("^killed") then
    sum.killed = sum.killed + 1
    if why then
      sum.lives = sum.lives + 1
      tell(name, mutant, outcome .. ", said to be equal")
    end
  elseif why then
    sum.equal = sum.equal + 1
  else
    sum.lives = sum.lives + 1
    tell(name, mutant, outcome)
  end
end

-- Those that the output of another run calls alive, by what they are.
local function chosen_again()
  local list = {}
  for line in read(again):gmatch("[^\n]+") do
    local name, text = line:match("^(%w+)%.c:%d+ lives: (.*)$")
    if name then list[name .. " " .. text] = true end
  end
  return list
end

local function mutate(names)
  local jobs, mutants = {}, {}
  local only = again and chosen_again()
  for _, name in ipairs(names) do
    local _, list = all_mutants(name)
    mutants[name] = list
    for i, m in ipairs(list) do
      m.why = why_equal(name, m)
      m.chosen = i >= from and (i - from) % every == 0
        and (not only or only[name .. " " .. title(m)])
      if m.chosen and m.why and not check then
        count(name, m, "equal", m.why)
      elseif m.chosen then
        jobs[#jobs + 1] = name .. " " .. i
      end
    end
  end
  write(dir .. "/jobs", table.concat(jobs, "\n") .. "\n")
  local pipe <close> = assert(io.popen(
    ("xargs -r -P %s -L 1 %s %s --try <%s/jobs"):format(
      os.getenv "LANES" or "$(nproc)", arg[-1], arg[0], dir)))
  local done = 0
  for line in pipe:lines() do
    local name, n, outcome = line:match("^(%S+)\t(%d+)\t(.*)$")
    local m = mutants[name][tonumber(n)]
    count(name, m, outcome, m.why)
    done = done + 1
  end
  assert(done == #jobs, "some were not tried")
end

local function check_list(names)
  for _, name in ipairs(names) do
    for _, e in ipairs(equal[name] or {}) do
      if not e.used then
        sum.lives = sum.lives + 1
        print(("mutate_equal.lua: %s: fits nothing: %s"):format(name, e[1]))
      end
    end
  end
end

if arg[1] == "--try" then
  try_one(arg[2], tonumber(arg[3]))
  os.exit(true)
end
local names = #arg > 0 and arg or ORDER
prepare_explorer()
for _, name in ipairs(names) do try_unchanged(name) end
mutate(names)
check_list(names)
print(("%d mutants: %d killed, %d equal (%d for a reason given, %d the same " ..
  "code), %d live"):format(sum.mutants, sum.killed, sum.equal + sum.same,
  sum.equal, sum.same, sum.lives))
print(("%d passed, %d failed"):format(sum.mutants - sum.lives, sum.lives))
os.exit(sum.lives == 0)
