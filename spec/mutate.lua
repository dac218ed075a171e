--- mutate.lua [FILE...] -- do the tests notice a mistake?
--
-- Each mutant is a file of the core with one small mistake: a wake or another
-- call that is left out, a comparison that is off by one or turned around, a
-- bit that is lost, a step of 0 instead of 1.  It is built into the file's C
-- tests and its schedules in the explorer; some of them must fail.
-- Environment: OUT, COMPILE (the compiler's command), LINK (the explorer's),
-- EVERY (the n-th only), FROM (beginning with).
local out = os.getenv("OUT") or "build"
local compile = assert(os.getenv "COMPILE", "run by make mutate")
local link = os.getenv "EXPLORER"
local every = tonumber(os.getenv "EVERY") or 1
local from = tonumber(os.getenv "FROM") or 1
local dir = out .. "/mutate"

-- What would notice.  (Tests: quick ones first.)
local TESTS = {
  lock = { "lock_test", explore = "core-" },
  mutex = { "mutex_test", explore = "lock rlock" },
  event = { "event_test", explore = "event" },
  claim = { "claim_test", "fifo_test" },
  recall = { "claim_test" },
  queue = { "queue_test", "fifo_test", "claim_test", explore = "queue" },
}
local ORDER = { "lock", "mutex", "event", "claim", "recall", "queue" }

-- Mistakes that nobody can notice: file, part of the line, why.
local EQUAL = {
  { "MP_FAULT", "a point to be killed at" },
  { "mp__pause", "only a hint" },
}

local function capture(command)
  local pipe <close> = assert(io.popen(command))
  return pipe:read("a")
end

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
end

-- A line's mutants: each occurrence of each of these, one at a time.
local RULES = {
  { " < ", " <= " }, { " <= ", " < " }, { " > ", " >= " }, { " >= ", " > " },
  { " == ", " != " }, { " != ", " == " }, { " && ", " || " },
  { " || ", " && " }, { " + 1", " + 0" }, { " - 1", " - 0" },
  { " += ", " -= " }, { "++", "--" }, { " | ", " & " }, { " & ", " | " },
  { "if (!", "if (" }, { "return 0;", "return 1;" },
  { "return 1;", "return 0;" },
}

local function replaced(line, old, new, found)
  local at = 1
  while true do
    local i, j = line:find(old, at, true)
    if not i then return end
    found(line:sub(1, i - 1) .. new .. line:sub(j + 1))
    at = j + 1
  end
end

local function is_code(line)
  return line:find("^ ") and not line:find("^ %*") and not line:find("^ */%*")
end

local function mutants_of(line, found)
  for _, rule in ipairs(RULES) do
    replaced(line, rule[1], rule[2], found)
  end
  -- a call that stands alone on its line
  if line:find("^ +%(?v?o?i?d?%)?[%w_]+%(.*%);$") then found("  ;") end
  if line:find("^ +[^=(]+|= [^;]+;$") then found("  ;") end
end

local function equal(line)
  for _, e in ipairs(EQUAL) do
    if line:find(e[1], 1, true) then return true end
  end
  -- declarations are no code
  return line:find("^ +struct [%w_ ]+%*?[%w_]+ = ") ~= nil
end

local function all_mutants(name)
  local lines, list = {}, {}
  for line in io.lines(("runtime/core/%s.c"):format(name)) do
    lines[#lines + 1] = line
  end
  for i, line in ipairs(lines) do
    if is_code(line) and not equal(line) then
      mutants_of(line, function(mutant)
        list[#list + 1] = { at = i, line = mutant }
      end)
    end
  end
  return lines, list
end

local function run(command)
  return os.execute("(" .. command .. ") >/dev/null 2>&1 </dev/null")
end

-- The other objects, and those of the tests.
local function others(name, objects)
  local list = {}
  for path in capture("ls " .. objects .. "/*.o"):gmatch("%S+") do
    if not path:find("/" .. name .. ".o", 1, true) then
      list[#list + 1] = path
    end
  end
  return table.concat(list, " ")
end

local function prepare(name)
  for _, test in ipairs(TESTS[name]) do
    assert(run(("%s -c -o %s/%s.o spec/core/%s.c"):format(compile, dir, test,
      test)), test)
  end
end

-- "killed", "equal" (it does not compile), or nil: it lives.
local function try(name)
  local source = ("%s/%s.c"):format(dir, name)
  local object = ("%s/%s.o"):format(dir, name)
  if not run(("%s -w -c -o %s %s"):format(compile, object, source)) then
    return "equal"
  end
  local rest = others(name, out .. "/obj/core")
  for _, test in ipairs(TESTS[name]) do
    assert(run(("%s -o %s/test %s/%s.o %s %s -lm"):format(compile, dir, dir,
      test, object, rest)))
    if not run(("timeout -k 1 30 %s/test"):format(dir)) then return "killed" end
  end
  local schedules = TESTS[name].explore
  if schedules and link then
    local objects = others(name, out .. "/explore/obj/core")
    assert(run(("%s -w -o %s/explore spec/explore/*.c %s %s -lm -ldl"):format(
      link, dir, source, objects)))
    if not run(("timeout -k 1 120 %s/explore --seconds=4 %s"):format(dir,
      schedules)) then
      return "killed"
    end
  end
end

local function mutate(name)
  local lines, list = all_mutants(name)
  local killed, alive = 0, 0
  prepare(name)
  for i = from, #list, every do
    local m = list[i]
    local original = lines[m.at]
    lines[m.at] = m.line
    write(("%s/%s.c"):format(dir, name), table.concat(lines, "\n") .. "\n")
    lines[m.at] = original
    local outcome = try(name)
    if outcome == "killed" then
      killed = killed + 1
    elseif not outcome then
      alive = alive + 1
      print(("%s.c:%d lives: %s"):format(name, m.at, m.line == "  ;"
        and "without " .. original or m.line))
      io.stdout:flush()
    end
  end
  print(("%s: %d mutants, %d killed, %d live"):format(name, #list, killed,
    alive))
  return killed, alive
end

local passed, failed = 0, 0
os.execute("mkdir -p " .. dir)
for _, name in ipairs(#arg > 0 and arg or ORDER) do
  local k, a = mutate(name)
  passed, failed = passed + k, failed + a
end
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0)
