--- For every spec: what is open and what runs, ways to run other processes.
-- Each test is guarded: see guard.lua.

--- Seconds that a test may take.
local helper = { limit = tonumber(os.getenv("SPEC_LIMIT")) or 10 }

--- "asan", "ubsan", "tsan", or nil: what the program was built with.
helper.sanitizer = os.getenv("SPEC_SANITIZER")
--- MiB that a process may grow by and be none the worse: asan keeps what was
--- freed.
helper.slack = helper.sanitizer == "asan" and 64 or 0

--- "musl" when the program was built with it (.ci/musl).
helper.libc = os.getenv("SPEC_LIBC")

--- `it`, for tests that need a library.  Debian's are glibc's, so where the
--- program is not they are pending.
function helper.it_with(library)
  if helper.libc ~= "musl" then return it end
  return function(title)
    it(title, function() pending("no " .. library .. " for musl") end)
  end
end

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
  if not helper.sanitizer then -- plain Lua refuses such a module
    package.cpath = dir:gsub("/spec$", "/lib/?.so;") .. package.cpath
  end
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

--
-- Processes that a test starts
--

--- A timeout that only a broken build meets.
helper.LONG = 8
--- The same where a death is waited for; it is to be seen within a second.
helper.PROMPT = 5

local started = {}

--- Start f(...) in another process, which does not outlive the test.
---@param ctx string|mp.Context a context, or a start method's name
function helper.child(ctx, f, ...)
  if type(ctx) == "string" then ctx = mp.get_context(ctx) end
  local process = ctx.Process(f, ...):start()
  started[#started + 1] = process
  return process
end

--- What it returned, once it has ended by itself.
function helper.finish(process)
  assert(process:join(helper.LONG), "a child does not end")
  return process:result()
end

function helper.stop_children()
  for i, process in ipairs(started) do
    process:kill()
    process:join()
    started[i] = nil
  end
  collectgarbage()
end

--- All that were started end by themselves, and well.
function helper.finish_all()
  for _, process in ipairs(started) do helper.finish(process) end
  helper.stop_children()
end

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

--- A test for each start method: test(ctx, method).
function helper.each_method(title, test)
  for method, ctx in helper.methods() do
    it(title .. " (" .. method .. ")", function() test(ctx, method) end)
  end
end

--- f raises, with that in its message.
function helper.raises(pattern, f)
  local ok, message = pcall(f)
  assert.is_false(ok)
  assert.matches(pattern, message)
end

--- The seconds that f(...) takes, and what it returns.
function helper.elapsed(f, ...)
  local from = host.now()
  local results = table.pack(f(...))
  return host.now() - from, table.unpack(results, 1, results.n)
end

--- n bytes of every kind; different n, different bytes.
function helper.blob(n)
  local piece = string.pack("<I8", n) .. "\0\255\1\n\r\127\128%"
  return (piece:rep(n // #piece + 1):sub(1, n))
end

--- recv_bytes has no timeout of its own.
function helper.get_bytes(conn, ...)
  assert(conn:poll(helper.LONG), "no message came")
  return conn:recv_bytes(...)
end

--- A process that waits for a message; the pipe's end to send it with.
function helper.waiting(ctx)
  local a, b = mp.Pipe()
  return ctx.Process(function() return b:recv() end):start(), a
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

--- Wait until it sleeps: in what it waits for, when that comes next.
function Script:asleep()
  helper.eventually(function()
    return (helper.status(self.pid, "State") or ""):find("^S") ~= nil
  end, 5, "its sleep")
end

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
-- Only in the process that runs the specs: a child may require us, too.
if package.loaded["busted.core"] then require "guard" end
return helper
