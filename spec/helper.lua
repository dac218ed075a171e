--- For every spec: a leak guard, a watchdog, and ways to run other processes.
--
-- Leak guard: a test that leaves another number of open descriptors or of
-- children than it found fails; what a failed one leaves is killed, so that
-- the next are not judged by it.  Watchdog: a test that runs for more than
-- LIMIT seconds is stopped with a traceback; if it cannot be stopped the run
-- is killed.  SPEC_LIMIT sets another limit (sanitizers, slow machines).
local LIMIT = tonumber(os.getenv("SPEC_LIMIT")) or 10

local helper = { limit = LIMIT }

--- "asan", "ubsan", "tsan", or nil: what the program was built with.
helper.sanitizer = os.getenv("SPEC_SANITIZER")
--- MiB that a process may grow by and be none the worse: asan keeps what was
--- freed.
helper.slack = helper.sanitizer == "asan" and 64 or 0

local function capture(command)
  local pipe <close> = assert(io.popen(command))
  return (pipe:read("a"):gsub("%s+$", ""))
end

local root = capture("pwd")
local LUAMP = os.getenv("LUAMP") or "build/bin/luamp"
if LUAMP:sub(1, 1) ~= "/" then LUAMP = root .. "/" .. LUAMP end

-- The module of spec/host.c, built beside the command it is used with.
local function build_host()
  local dir = LUAMP:gsub("/bin/[^/]*$", "") .. "/spec"
  local so, source = dir .. "/host.so", root .. "/spec/host.c"
  local made = os.execute(("[ %s -nt %s ] || { mkdir -p %s && "
    .. "${CC:-cc} -D_GNU_SOURCE -std=gnu11 -O1 -g -fPIC -shared -pthread %s "
    .. "-I${LUA_INCDIR:-/usr/include/lua5.4} $(pkg-config --cflags lua5.4) "
    .. "-o %s.$$ %s && mv %s.$$ %s; }"):format(so, source, dir,
    helper.sanitizer == "msan" and "-fsanitize=memory" or "", so, source, so,
    so))
  assert(made, "cannot build spec/host.c")
  package.cpath = dir .. "/?.so;" .. package.cpath
  return require "host"
end

-- Paths that hold wherever a process goes.
local function absolute(path)
  return (path:gsub("%f[^;\0]%./", root .. "/"))
end
package.path = absolute(package.path)
package.cpath = absolute(package.cpath)

local host = build_host()
helper.host = host
local mp = require "mp"
-- Load all of it now: busted forgets what is loaded after a file has begun, and
-- a module that is loaded twice makes its types twice.
if package.loaded["busted.core"] then
  for _ in pairs(mp) do end -- luacheck: ignore 542
  require "mp.listen"
end

helper.SIGHUP, helper.SIGINT, helper.SIGKILL, helper.SIGUSR1 = 1, 2, 9, 10
helper.SIGALRM, helper.SIGTERM, helper.SIGCHLD = 14, 15, 17
helper.SIGCONT, helper.SIGSTOP = 18, 19

--
-- What is open, and what runs
--

--- The descriptors of a process, number -> what it is.
function helper.descriptors(pid)
  local dir = ("/proc/%s/fd"):format(pid or "self")
  local open = {}
  for _, fd in ipairs(host.list(dir) or {}) do
    -- The one that lists is gone again.
    open[tonumber(fd)] = host.readlink(dir .. "/" .. fd)
  end
  return open
end

--- The children of this process, zombies too: a set of pids.
function helper.children()
  local set = {}
  for _, tid in ipairs(host.list("/proc/self/task")) do
    local file <close> = io.open(("/proc/self/task/%s/children"):format(tid))
    for pid in (file and file:read("a") or ""):gmatch("%d+") do
      set[tonumber(pid)] = true
    end
  end
  return set
end

local function count(set)
  local n = 0
  for _ in pairs(set) do n = n + 1 end
  return n
end
helper.count = count

--- One field of /proc/PID/status; nil when there is no such process.
function helper.status(pid, field)
  local file <close> = io.open(("/proc/%s/status"):format(pid))
  local text = file and file:read("a") -- nil when it is gone by now
  return text and text:match("%f[^\n\0]" .. field .. ":%s*([^\n]*)")
end

--- Does a process run?  A zombie does not.
function helper.runs(pid)
  local state = helper.status(pid, "State")
  return state ~= nil and not state:find("^[ZX]")
end

--- Megabytes of memory that this process uses itself.
function helper.memory()
  return tonumber(helper.status("self", "RssAnon"):match("%d+")) / 1024
end

local function difference(what, before, after)
  local lines = { ("leak: %d %s before, %d after"):format(count(before), what,
    count(after)) }
  for key, value in pairs(after) do
    if before[key] == nil then
      lines[#lines + 1] = ("  new: %s %s"):format(key, tostring(value))
    end
  end
  return table.concat(lines, "\n")
end

local function census()
  return { descriptors = helper.descriptors(), children = helper.children() }
end

--- Fails when the numbers are not those of `before`.
local function check_leaks(before)
  local after
  for attempt = 1, 6 do
    after = census()
    if count(after.descriptors) == count(before.descriptors)
      and count(after.children) == count(before.children) then
      return
    end
    -- What is only held by garbage is no leak, nor what a thread that has
    -- just ended still has in its hands.
    collectgarbage()
    collectgarbage()
    if attempt > 2 then host.sleep(0.01) end
  end
  for what, set in pairs(after) do
    if count(set) ~= count(before[what]) then
      error(difference(what, before[what], set), 0)
    end
  end
end

--
-- Around each test
--

-- Kill what a failed test has left running: what mp knows of, threads among
-- it, then all others.
local function kill_left(before)
  for _, process in ipairs(mp.active_children()) do
    if not before.children[process.pid] then
      process:kill()
      process:join(2)
    end
  end
  for pid in pairs(helper.children()) do
    if not before.children[pid] then
      host.kill(pid, helper.SIGKILL)
      host.waitpid(pid)
    end
  end
end

local before -- the running test; nil: no test runs

local function guard(test)
  local run, on_end = test.run, test.env.finally
  -- What the test before has left must not go during this one.
  collectgarbage()
  collectgarbage()
  before = census()
  local last
  function finally(f) -- luacheck: ignore
    last = f
    on_end(function() if last then last() end end)
  end
  test.run = function()
    host.signal(helper.SIGALRM, function()
      error(debug.traceback("watchdog: the test runs too long"), 0)
    end)
    host.alarm(helper.limit, helper.limit)
    run()
    local f = last
    last = nil
    if f then f() end
    check_leaks(before)
  end
end

--- More time for the test that runs.
function helper.slow(seconds)
  helper.limit = LIMIT * seconds / 10
  host.alarm(helper.limit, helper.limit)
end

-- Only in the process that runs the specs: a child may require us, too.
local running = package.loaded["busted.core"] ~= nil

-- busted gives specs an environment of its own, which would travel to
-- children with every function; they get the real one.
local function use_globals(busted)
  for _, name in ipairs{ "describe", "it", "before_each", "after_each",
    "setup", "teardown", "assert", "pending", "spy", "stub", "match" } do
    _G[name] = busted[name]
  end
  busted.subscribe({ "file", "start" }, function(file)
    local chunk = (debug.getmetatable(file.run) or {}).__call or file.run
    debug.setupvalue(chunk, 1, _G)
    return nil, true
  end)
end

local function watch_tests()
  local busted = require "busted"
  use_globals(busted)
  busted.subscribe({ "test", "start" }, function(test)
    if test.run and test.env then
      pending = test.env.pending -- luacheck: ignore
      guard(test)
    end
    return nil, true
  end)
  busted.subscribe({ "test", "end" }, function(_, _, status)
    host.alarm(0)
    helper.limit = LIMIT
    if before and status ~= "success" then kill_left(before) end
    before = nil
    return nil, true
  end)
  -- Made when first needed and kept: the family, the fork server.
  for _, method in ipairs(mp.get_all_start_methods()) do
    mp.get_context(method).Process(function() end):start():join()
  end
end

if running then watch_tests() end

--
-- Other processes
--

--- Each start method with its context: for method, ctx in helper.methods()
---@param leave_out? table<string, boolean>
function helper.methods(leave_out)
  local names = mp.get_all_start_methods()
  local i = 0
  return function()
    repeat i = i + 1 until not (leave_out and leave_out[names[i]])
    if names[i] then return names[i], mp.get_context(names[i]) end
  end
end

--- Ask until it is true; a failure when it is not within `seconds`.
function helper.eventually(f, seconds, what)
  local deadline = host.now() + (seconds or 5)
  while true do
    local value = f()
    if value then return value end
    if host.now() > deadline then
      error((what or "it") .. " did not happen in time", 2)
    end
    host.sleep(0.002)
  end
end

--- Run `f` with stderr going nowhere.
function helper.quiet(f, ...)
  local saved = host.dup2(2, 200)
  local null = host.open("/dev/null", true)
  host.dup2(null, 2)
  host.close(null)
  local results = table.pack(pcall(f, ...))
  host.dup2(saved, 2)
  host.close(saved)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

--- The interpreter that runs the specs.
helper.program = os.getenv("INTERPRETER") or host.readlink("/proc/self/exe")
helper.luamp = LUAMP
helper.lua = os.getenv("LUA") or "lua5.4"
helper.root = root

local function quote(word) return "'" .. word:gsub("'", "'\\''") .. "'" end
helper.quote = quote

local function slurp(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end
helper.slurp = slurp

--- A directory of its own for `f(dir)`.
function helper.with_dir(f)
  local dir = os.tmpname()
  os.remove(dir)
  assert(os.execute("mkdir " .. dir))
  local results = table.pack(pcall(f, dir))
  os.execute("rm -rf " .. dir)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

--- What a script begins with.
local PRELUDE = 'local mp, host = require "mp", require "host" '

local function write_script(dir, text)
  local path = dir .. "/script.lua"
  local file <close> = assert(io.open(path, "w"))
  file:write(PRELUDE, text)
  return path
end

-- The leak sanitizer stops its own process to look at it, which neither strace
-- nor a process of another namespace lets it do.
helper.leaks_unseen = "env ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0"

local function wrapped(opts)
  local words = opts.before or ""
  if helper.sanitizer == "asan" and words:find "strace" then
    words = helper.leaks_unseen .. " " .. words
  end
  return words
end

--- The shell's words that run a script.
--- opts: program, args (a string), before (a command that runs it: "setsid")
local function command(path, opts)
  return ("env LUA_PATH=%s LUA_CPATH=%s LUAMP=%s %s %s %s %s"):format(
    quote(package.path), quote(package.cpath), LUAMP, wrapped(opts),
    opts.program or helper.program, path, opts.args or "")
end

--- Run a script in a fresh interpreter to its end.  Within it `mp` and `host`
--- are loaded, and it is on line 1.
---@param opts? table program, args, before, redirect (shell), limit
---@return table result out, err, code (-N: signal N)
function helper.run(text, opts)
  opts = opts or {}
  return helper.with_dir(function(dir)
    local path = write_script(dir, text)
    local _, how, code = os.execute(
      ("timeout -s KILL %d %s >%s/out 2>%s/err </dev/null %s"):format(
        opts.limit or helper.limit * 0.8, command(path, opts), dir, dir,
        opts.redirect or ""))
    if how == "signal" then
      code = -code
    elseif code > 128 then -- the shell's or timeout's way to say signal
      code = 128 - code
    end
    return { out = slurp(dir .. "/out"), err = slurp(dir .. "/err"),
      code = code }
  end)
end

--- Run a script and return its output; a failure when it did not end well.
function helper.output(text, opts)
  local r = helper.run(text, opts)
  if r.code ~= 0 then
    error(("script: exit code %d\n%s%s"):format(r.code, r.out, r.err), 2)
  end
  return r.out
end

--- A script that runs beside the test, in a session of its own.
local Script = {}
Script.__index = Script

---@param opts? table as helper.run; stderr = true leaves stderr alone
---@return table script pid; :line() :kill(sig) :wait()
function helper.start(text, opts)
  opts = opts or {}
  local dir = os.tmpname()
  os.remove(dir)
  assert(os.execute("mkdir " .. dir))
  local path = write_script(dir, text)
  local r, w = host.pipe()
  local pid = assert(host.fork())
  if pid == 0 then
    host.setsid()
    host.dup2(w, 1)
    host.exec("/bin/sh", "-c", "exec " .. command(path, opts)
      .. (" 2>%s/err </dev/null"):format(dir))
    host.leave(127)
  end
  host.close(w)
  return setmetatable({ pid = pid, fd = r, dir = dir, text = "" }, Script)
end

--- The next line that it prints; nil at the end.
function Script:line(seconds)
  while not self.text:find("\n", 1, true) do
    local bytes, why = host.read(self.fd, seconds or 5)
    if not bytes then
      error("no line from the script: " .. why .. "\n"
        .. slurp(self.dir .. "/err"), 2)
    end
    if bytes == "" then return nil end
    self.text = self.text .. bytes
  end
  local line, rest = self.text:match("^([^\n]*)\n(.*)$")
  self.text = rest
  return line
end

function Script:kill(sig) assert(host.kill(self.pid, sig)) end

--- The whole session, as the terminal's Ctrl-C.
function Script:kill_all(sig) host.kill(-self.pid, sig) end

--- Wait for its end, and for what it left behind: the exit code, stderr.
function Script:wait(seconds)
  local code
  helper.eventually(function()
    local pid, status = host.waitpid(self.pid, true)
    code = status
    return pid ~= 0
  end, seconds, "the script's end")
  self.ended = true
  local err = slurp(self.dir .. "/err")
  self:close()
  return code, err
end

function Script:close()
  if not self.fd then return end
  host.close(self.fd)
  self.fd = nil
  if not self.ended then
    host.kill(-self.pid, helper.SIGKILL)
    host.waitpid(self.pid)
  end
  os.execute("rm -rf " .. self.dir)
end
Script.__close = Script.close

package.loaded.helper = helper
return helper
