--- What a started process runs first, and how it ends.
local later = require "mp.later"
local life = require "mp.life"

local child = {}

-- A function that goes well needs none of these.
local modules = later({}, {}, {
  error = "mp.error",
  log = "mp.log",
  proc = "mp.proc",
})

--- A failed run, with the traceback of where it failed.
local Failure = {}

---@param level? integer where the traceback begins
function child.note_failure(message, level)
  local text = modules.error.text(message)
  return setmetatable({
    message = message,
    traceback = modules.error.traceback(text, level or 2),
  }, Failure)
end

--- What xpcall gave may be raw: the handler itself had no stack left.
local function as_failure(err)
  if getmetatable(err) == Failure then return err end
  return setmetatable(
    { message = err, traceback = modules.error.text(err) }, Failure)
end

local function report(failure)
  local self = modules.proc.current_process()
  local text = ("%s (pid %d):\n%s\n"):format(self.name, self.pid,
    failure.traceback)
  if not life.report(text) then pcall(io.stderr.write, io.stderr, text) end
end

--- Leave the failure where `result` finds it; the value itself when it can
--- travel, else its text.
local function answer_failure(failure)
  local message, traceback = failure.message, failure.traceback
  local plain = { failed = true, message = message, traceback = traceback }
  if pcall(life.answer, plain) then return end
  plain.message = modules.error.text(message)
  pcall(life.answer, plain)
end

local function answer(results)
  local ok, why = pcall(life.answer, results)
  if not ok then
    answer_failure { message = why, traceback = modules.error.text(why) }
  end
end

--- What the work returned, or its error: the exit code.
function child.settle_run(ok, ...)
  if ok then
    if select("#", ...) > 0 then answer(table.pack(...)) end
    return 0
  end
  local failure = as_failure((...))
  if not life.exiting then
    answer_failure(failure)
    report(failure)
  end
  return 1
end

--- The work of a subclass, of an instance with fields, or of a child whose
--- parent logs.
function child.run(work)
  local self = modules.proc.current_process()
  if work.log then modules.log.inherit(work.log) end
  modules.proc.take_work(self, work)
  return self:run()
end

--- The end of a fork's child, inside the parent's call of `start`: never
--- returns.
function child.settle(ok, ...)
  local code = child.settle_run(ok, ...)
  life.finish()
  life.leave(code)
end

--- The program that spawn starts: arg[1] is the ticket.
---@param preload? string[] modules for a fork server to load
function child.main(preload)
  local serving = life.join_family(arg[1])
  if not serving then
    life.own_exit(life.close_and_exit)
    local code = life.work()
    life.finish()
    life.close_and_exit(code)
  end
  require "mp" -- before: its children shall load nothing
  local codec = require "mp.codec"
  require "mp.context"
  for _, name in ipairs(preload or {}) do pcall(require, name) end
  life.own_exit(life.leave)
  local surroundings = codec.encode {
    path = package.path, cpath = package.cpath,
  }
  local work = codec.encode { target = function() end }
  collectgarbage()
  local code = life.serve(surroundings, work) -- returns in each child
  life.finish()
  life.leave(code)
end

return child
