--- What is raised here for what went wrong in another process.
local core = require "mp.core"

local error_types = {}

--- A text for any value; one whose __tostring raises included.
---@param value any
---@return string
function error_types.text(value)
  local ok, text = pcall(tostring, value)
  if ok and type(text) == "string" then return text end
  return ("(error object is a %s value)"):format(type(value))
end

-- Of a traceback Lua prints so many frames from the top, so many from the end.
local FIRST, LAST = 10, 11
-- The way to a frame is walked from the top each time: a deeper stack is not
-- looked through.
local DEEP = 1000

local xpcall = xpcall
local callers = {
  [core.proc_fork] = true, [core.work] = true, [core.serve] = true,
}

--- A function of ours that calls what a user gave: tracebacks end above it.
---@param f function
function error_types.ends_traceback(f) callers[f] = true end

--- What only calls for us: xpcall, and C functions that have no name.
local function is_between(level)
  local info = debug.getinfo(level + 1, "Sfn")
  return info.func == xpcall or info.what == "C" and not info.name
end

--- The last level of what a user wrote.  In a forked process the stack goes on
--- below it with that of the parent.
local function last_level(level)
  level = level + 1
  local last = level
  local info = debug.getinfo(last, "f")
  while info and not callers[info.func] do
    last = last + 1
    info = debug.getinfo(last, "f")
  end
  last = last - 1
  while last > level and is_between(last) do last = last - 1 end
  return last - 1
end

--- As debug.traceback, without the frames of ours that lie below.
---@param text string
---@param level integer where it begins; 1 is who calls
---@return string
function error_types.traceback(text, level)
  level = level + 1
  if debug.getinfo(level + DEEP, "l") then
    return debug.traceback(text, level)
  end
  local last = last_level(level)
  local lines = { text, "stack traceback:" }
  local at = level
  while at <= last do
    if at == level + FIRST and last - at >= LAST then
      local skipped = last - at - LAST + 1
      lines[#lines + 1] = ("\t...\t(skipping %d levels)"):format(skipped)
      at = at + skipped
    end
    lines[#lines + 1] = debug.traceback("", at):match("\n(\t[^\n]*)")
    at = at + 1
  end
  return table.concat(lines, "\n")
end

-- What this library's chunks are called begins so.
local OURS = debug.getinfo(1, "S").source:match("^(.*)error%.lua$")

--- Where this library was called, for a message: "script.lua:3: ", or "".
---@return string
function error_types.where()
  local level = 2
  local info = debug.getinfo(level, "Sl")
  while info and (info.what == "C" or info.source:find(OURS, 1, true) == 1) do
    level = level + 1
    info = debug.getinfo(level, "Sl")
  end
  if not info or info.currentline < 1 then return "" end
  return ("%s:%d: "):format(info.short_src, info.currentline)
end

--- Raise an error of whoever called this library, however deep we are in it.
---@param text string
function error_types.blame(text)
  error(error_types.where() .. text, 0)
end

--- Without the place in this library at which it was raised.
local function without_place(err)
  local rest = err:match("^%S-%.lua:%d+: (.*)$")
  if rest and (err:find(OURS:sub(2), 1, true) == 1 or err:find("^%.%.%.")) then
    return rest
  end
  return err
end

--- The same with what the core has raised, under the name that scripts know;
--- any other error, such as a hook's, goes on as it is.
---@param what string
---@param err any
---@param was string what the core calls it
---@param hidden? integer arguments that scripts do not see as such: 1, self
function error_types.blame_as(what, err, was, hidden)
  if type(err) ~= "string" then error(err, 0) end
  hidden = hidden or 0
  local text = without_place(err)
  local n, why = text:match("^bad argument #(%d+) to '[^']*' (%(.*%))$")
  if n and n - hidden == 0 then
    err = ("calling '%s' on bad self %s"):format(what, why)
  elseif n then
    err = ("bad argument #%d to '%s' %s"):format(n - hidden, what, why)
  elseif text:find("^" .. was .. "[: ]") then
    err = what .. text:sub(#was + 1)
  else
    error(err, 0)
  end
  error_types.blame(err)
end

--- Is it what Ctrl-C raises?  Who keeps errors from going on lets it pass.
---@param err any
---@return boolean
function error_types.interrupted(err)
  return type(err) == "string" and err:find("interrupted!$") ~= nil
end

--- An error that another process raised.
---@class mp.RemoteError
---@field message any the original error value
---@field traceback string where it was raised, there
---@field process string the process's name
---@field pid integer
---@field task? integer in a pool: which of the tasks, from 1
---@field name? string in a pool: the function
local RemoteError = { __name = "mp.RemoteError" }
RemoteError.__index = RemoteError
error_types.RemoteError = RemoteError

--- Which task of a pool it was, for a text.
local function task_of(err)
  if not err.name then return "" end
  if not err.task then return (" by the %s"):format(err.name) end
  return (" by task %d (%s)"):format(err.task, err.name)
end

function RemoteError:__tostring()
  return ("%s\n\nraised%s in %s (pid %s):\n%s"):format(
    error_types.text(self.message), task_of(self), self.process, self.pid,
    self.traceback)
end

--- A process that ended without an answer.
---@class mp.ProcessDied
---@field process string
---@field pid integer
---@field exitcode integer -N when signal N ended it
---@field task? integer in a pool: which of the tasks, from 1
---@field name? string in a pool: the function
local ProcessDied = { __name = "mp.ProcessDied" }
ProcessDied.__index = ProcessDied
error_types.ProcessDied = ProcessDied

--- The kernel kills with SIGKILL when memory runs out; so do people.
local function hint(code)
  return code == -9 and " (killed; perhaps the system ran out of memory)" or ""
end

function ProcessDied:__tostring()
  local code = self.exitcode
  local how = not code and "ended"
    or code < 0 and "was ended by signal " .. -code .. hint(code)
    or "ended with exit code " .. code
  local what = self.task
    and ("while it ran task %d (%s)"):format(self.task, self.name)
    or "before it answered"
  return ("%s (pid %s) %s %s"):format(self.process, self.pid, how, what)
end

--- What a pool raises that could not keep its workers alive.
---@class mp.BrokenPool
---@field cause any the error that broke it
local BrokenPool = { __name = "mp.BrokenPool" }
BrokenPool.__index = BrokenPool
error_types.BrokenPool = BrokenPool

function BrokenPool:__tostring()
  return "the pool is broken: " .. error_types.text(self.cause)
end

return error_types
