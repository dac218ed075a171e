--- Processes as values.
local core = require "mp.core"
local error_types = require "mp.error"
local life = require "mp.life"
local options = require "mp.options"

local proc = {
  version = core.version,
  cpu_count = core.cpu_count,
  process_cpu_count = core.cpu_usable,
  single_threaded = core.single_threaded,
  now = core.now,
  gone = core.proc_gone,
  settle = core.settle,
  executable = nil, -- see context.set_executable
  log = nil, -- mp.log, once something is logged
  preload = {}, -- see context.set_forkserver_preload
}

--- A process, in whatever process it is held.
---@class mp.Process
---@field name string
---@field daemon boolean
---@field pid? integer nil before start
---@field exitcode? integer nil while it runs; -N when signal N ended it
---@field sentinel integer a descriptor, readable once the process has ended
---@field authkey string
local Process = {}
proc.Process = Process

local proc_field = core.proc_field

-- The handle is the core's box; what belongs to this instance alone lies in
-- its user values: class, the user's own fields, target, args.

local mt = core.metatable("mp.Process")

--- Call what the core does for a method; see error_types.blame_as.
local function named(what, was, f, ...)
  local ok, one, two = pcall(f, ...)
  if not ok then error_types.blame_as(what, one, was, 1) end
  return one, two
end

local GETTERS = {
  name = core.proc_name,
  daemon = core.proc_daemon,
  pid = core.proc_pid,
  exitcode = core.proc_exitcode,
  sentinel = core.proc_sentinel,
  authkey = function() return core.authkey() end,
}

local SETTERS = {
  name = function(self, value)
    if type(value) ~= "string" then
      error("mp.Process: name must be a string, not a " .. type(value), 3)
    end
    named("name", "name", core.proc_name, self, value)
  end,
  daemon = function(self, value)
    if type(value) ~= "boolean" then
      error("mp.Process: daemon must be a boolean, not a " .. type(value), 3)
    end
    core.proc_daemon(self, value)
  end,
}

function mt:__index(key)
  local get = GETTERS[key]
  if get then return get(self) end
  return proc_field(self, key, Process)
end

function mt:__newindex(key, value)
  local set = SETTERS[key]
  if set then
    set(self, value)
  elseif GETTERS[key] then
    error(("mp.Process: '%s' is read-only"):format(key), 2)
  else
    local class, fields = core.proc_class(self)
    if not fields then
      fields = {}
      core.proc_assign(self, class, fields, core.proc_work(self))
    end
    fields[key] = value
  end
end

local function status(self)
  if core.proc_closed(self) then return "closed" end
  if not core.proc_pid(self) then return "initial" end
  local code = core.proc_exitcode(self)
  return code and "exitcode " .. code or "started"
end

function mt:__tostring()
  local closed = core.proc_closed(self)
  return ("mp.Process (%s, %s%s)"):format(closed and "?" or self.name,
    status(self), not closed and self.daemon and ", daemon" or "")
end

--- Leaving a block joins the process; leaving it by an error ends it first.
function mt:__close(err)
  if core.proc_closed(self) or not core.proc_pid(self) then return end
  if err ~= nil then self:terminate() end
  self:join()
end

-- Making one

local itself -- the process we are in: its fields are to stay

local OPTIONS = {
  target = true, args = "table", name = "string", daemon = "boolean",
}

local function construct(class, first, ...)
  local target, args, name, daemon = first, nil, nil, nil
  if type(first) == "table" and not options.callable(first) then
    options.check("Process", first, OPTIONS)
    target, args, name = first.target, first.args, first.name
    daemon = first.daemon
  elseif select("#", ...) > 0 then
    args = table.pack(...)
  end
  if target ~= nil and not options.callable(target) then
    error("Process: target must be callable, not a " .. type(target), 2)
  end
  if name and (#name == 0 or #name > 63 or name:find("\0", 1, true)) then
    error("Process: a name has 1 to 63 bytes, none of them NUL", 2)
  end
  life.begin()
  return core.proc_new(name, daemon, class._quiet, class, target, args)
end

local function make_class(class, parent)
  return setmetatable(class, { __index = parent, __call = construct })
end

make_class(Process, nil)

--- A subclass; `class` may define `run(self)` and further methods.  The
--- fields of an instance reach the child.
---@param class table
---@return mp.Process class to be called like mp.Process
function Process:extend(class)
  if type(class) ~= "table" then
    error("extend: a table was expected, not a " .. type(class), 2)
  end
  return make_class(class, self)
end

-- What it does

--- The work: calls the target with its arguments.  A subclass may have its
--- own.
function Process:run()
  local target, args = core.proc_work(self)
  if target == nil then return end
  if args == nil then return target() end
  return target(table.unpack(args, 1, args.n or #args))
end

-- Starting

--- What the new process needs before it can decode its work.
local function setup(path, cpath, cwd)
  return { path = path, cpath = cpath, cwd = cwd, arg = rawget(_G, "arg") }
end

local function set_plan(self, surroundings)
  local class, fields = core.proc_class(self)
  local target, args = core.proc_work(self)
  local legacy = proc.log and proc.log.legacy()
  if legacy then fields = fields or {} end -- not plain: see child.run
  core.proc_set_plan(self, surroundings, {
    -- A context's class is of no use to one that has been started.
    class = class ~= Process and not rawget(class, "_bound") and class or nil,
    fields = fields, target = target, args = args, log = legacy,
  })
end

--- In the child: what set_plan sent.
function proc.take_work(self, work)
  core.proc_assign(self, work.class, work.fields, work.target, work.args)
end

--- The luamp that was installed with this module, or the one on PATH.
local function find_luamp()
  local module = package.searchpath("mp.core", package.cpath)
  local prefix = module and module:match("^(.*)/lib/lua/5%.4/mp/core%.so$")
  local dirs = { prefix and prefix .. "/bin" }
  for dir in (os.getenv("PATH") or ""):gmatch("[^:]+") do
    dirs[#dirs + 1] = dir
  end
  for _, dir in ipairs(dirs) do
    if core.is_program(dir .. "/luamp") then return dir .. "/luamp" end
  end
end

--- The file to run, and what it is to be called.
local function program()
  if not proc.executable then
    local file, name = life.interpreter()
    if file then return file, name end
  end
  local _, own = life.hosted()
  local path = proc.executable or own or find_luamp()
  if not path then
    error("start: no luamp was found beside the module or on PATH; name the "
      .. "program with mp.set_executable", 0)
  end
  return path, path
end

--- Is there a program that a spawned process can run?
function proc.can_spawn() return (pcall(program)) end

--- The command line of a child; "%d" becomes its ticket.
local function command(preload)
  local names = {}
  for i, name in ipairs(preload or {}) do
    names[i] = ("%q"):format(name)
  end
  local file, name = program()
  return file, name, "-E", "-e",
    ("package.path, package.cpath = %q, %q require 'mp.core'.preload() "
      .. "require 'mp.child'.main{%s}")
      :format(package.path, package.cpath, table.concat(names, ",")),
    "-", "%d"
end

local START = {}

--- What the child is to call, with as little around it as can be: what it
--- runs and writes before, and after, costs it page faults.
local function work_of(self)
  local target, args = core.proc_work(self)
  local run = self.run
  if run ~= Process.run or type(target) ~= "function" then
    return run, self
  elseif args == nil then
    return target
  end
  return target, table.unpack(args, 1, args.n or #args)
end

local child -- the module, from the first fork on

local function fork(self)
  if core.is_thread() then
    error_types.blame("start: a process that is a thread cannot fork; use "
      .. "another method")
  end
  -- Before: the child shall load nothing.  Once: a write is a page to copy.
  if not child then child = require "mp.child" end
  local failed = core.proc_fork(self, child.note_failure, child.settle,
    life.with_exit(work_of(self)))
  if failed then error_types.blame_as("start", failed, "start") end
end

function START.spawn(self)
  set_plan(self, setup())
  core.proc_spawn(self, command())
end

function START.forkserver(self)
  set_plan(self, setup(package.path, package.cpath, core.getcwd()))
  if not core.proc_serve(self) then
    core.proc_serve(self, command(proc.preload))
  end
end

function START.thread(self)
  set_plan(self, setup(package.path, package.cpath))
  core.proc_thread(self)
end

--- Start the process.  Raises when it was started before, when it is another
--- process's to start, when what it is to do cannot be sent (every method but
--- fork), or when the system has no more processes; nothing is started then.
---@return mp.Process self
function Process:start()
  if core.setting_up() then
    error("start: this process is still being set up itself", 2)
  end
  if core.proc_pid(self) then error("start: process already started", 2) end
  local method = self._method or require "mp.context".get_start_method()
  if method == "fork" then
    fork(self)
    return self
  end
  local ok, err = pcall(START[method], self)
  if not ok then
    error_types.blame_as("start", err, "start")
  end
  return self
end

-- Watching it

local function join(self, timeout, what)
  local ended, reason = named(what, "join", core.proc_join, self, timeout)
  if proc.log then proc.log.flush() end
  return ended, reason
end

--- Wait for the end.
---@param timeout? number seconds
---@return boolean ended
---@return string? reason "timeout"
function Process:join(timeout)
  return join(self, timeout, "join")
end

---@return boolean
Process.is_alive = core.proc_alive

local SIGINT, SIGKILL, SIGTERM = 2, 9, 15

--- Send SIGINT: Lua raises "interrupted!" in it.
function Process:interrupt()
  named("interrupt", "signal", core.proc_signal, self, SIGINT)
end

--- Send SIGTERM; a thread stops at its next Lua instruction.
function Process:terminate()
  named("terminate", "signal", core.proc_signal, self, SIGTERM)
end

--- Send SIGKILL; a thread stops at its next Lua instruction.
function Process:kill()
  named("kill", "signal", core.proc_signal, self, SIGKILL)
end

--- Give the handle up; the process must have ended.
function Process:close()
  if core.proc_closed(self) then return end
  if core.proc_pid(self) and core.proc_alive(self) then
    error("close: the process still runs; join it or end it first", 2)
  end
  core.proc_close(self)
end

--- What the target returned.  Raises mp.RemoteError for an error of the
--- target, mp.ProcessDied when the process ended without an answer.
---@param timeout? number seconds
---@return any ... or nil, "timeout"
function Process:result(timeout)
  local from = timeout and core.now()
  local ended, reason = join(self, timeout, "result")
  if not ended then return nil, reason end
  -- Objects in the answer become ours: a change of the family.
  if from and not core.settle(timeout - (core.now() - from)) then
    return nil, "timeout"
  end
  local answered, value = core.proc_answer(self)
  if not answered then
    local code = core.proc_exitcode(self)
    if code == 0 then return end
    error(setmetatable({ process = self.name, pid = self.pid,
      exitcode = code }, error_types.ProcessDied), 2)
  end
  if value.failed then
    error(setmetatable({ message = value.message, traceback = value.traceback,
      process = self.name, pid = self.pid }, error_types.RemoteError), 2)
  end
  return table.unpack(value, 1, value.n)
end

-- The family

--- The process we are in.
---@return mp.Process
function proc.current_process()
  local self = core.proc_self()
  -- Written once: each write is a page to be copied after a fork.
  if not rawequal(self, itself) then itself = self end
  return self
end

--- The process that started this one; nil in the first.
---@return mp.Process?
function proc.parent_process() return (core.proc_parent()) end

--- The children that run.  Those that have ended are waited for.
---@return mp.Process[]
function proc.active_children() return core.proc_children() end

return proc
