--- The beginning and the end of the process we are in.
local core = require "mp.core"

local life = {
  join_family = core.join_family,
  serve = core.serve,
  claim = core.claim,
  leave = core.exit,
  ignore_interrupt = core.ignore_interrupt,
  terminal_width = core.terminal_width,
  work = core.work,
  answer = core.proc_set_answer,
  report = core.report,
  hosted = core.hosted,
  --- was the end of the process taken care of?  A thread's is, from the start
  begun = core.is_thread(),
}

--- What is to be done at the end, after the children's.
function life.end_by(f)
  life.at_end = f
  core.end_in_lua()
end

--- Join the children and end the daemons; Ctrl-C ends the waiting.
function life.finish()
  local ok, why = pcall(core.finish)
  if life.at_end then life.at_end() end
  return ok, why
end

local function exit_code(code)
  if code == nil or code == true then return 0 end
  if code == false then return 1 end
  return code
end

local system_exit = os.exit

--- Close the state, finalizers and all, and exit.
function life.close_and_exit(code)
  core.claim(code)
  system_exit(code, true)
end

--- How this process leaves: nil as the system does, else leave(code, close).
local leave_by

--- Let os.exit come to the end of the process as a return does: children
--- joined, daemons ended, then `leave(code, close)`.
function life.own_exit(leave)
  life.begun = true -- or the first Process made here would do it again
  leave_by = leave
  if os.exit == system_exit then
    os.exit = function(code, close) -- luacheck: ignore
      life.finish()
      if core.is_fork() then life.leave(exit_code(code)) end
      leave_by(exit_code(code), close)
    end
  end
end

local function call_owning(f, ...)
  life.own_exit(life.leave)
  return f(...)
end

--- In the parent of a fork: f, and its arguments, so that it finds os.exit to
--- be ours.  Mostly it is already.
function life.with_exit(f, ...)
  if os.exit ~= system_exit then return f, ... end
  return call_owning, f, ...
end

--- Is the program that runs an interpreter, whose end is the script's end?
local function is_interpreter(program)
  local name = program:match("[^/]*$")
  return name:find("^luamp") or name:find("^lua[%d.%-]*$")
end

local interpreter

--- The running interpreter, nil in another host: the file (the link works
--- also when the program was replaced meanwhile, but not for a process that has
--- dropped its privileges), and its name.
function life.interpreter()
  if core.hosted() then return nil end
  local program = core.program()
  if program and not interpreter then
    program = program:gsub(" %(deleted%)$", "")
    interpreter = is_interpreter(program) and program
  end
  if interpreter then
    return program and "/proc/self/exe" or interpreter, interpreter
  end
end

--- Once, in the first process of a script.
function life.begin()
  if life.begun then return end
  life.begun = true
  if not life.interpreter() then return end
  core.finish_at_close()
  life.own_exit(function(code, close)
    core.claim(code)
    system_exit(code, close)
  end)
end

return life
