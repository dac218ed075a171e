--- Logging: what processes tell of themselves, silent by default.
--
-- A process that has outputs is the logger of its descendants: what they log
-- goes to it, in order for each.  To stderr they write themselves, a record a
-- call; for any other output records go through a queue that the logger empties
-- whenever it logs, is flushed, or waits for a process.
local error_types = require "mp.error"
local life = require "mp.life"
local options = require "mp.options"
local proc = require "mp.proc"
local queue = require "mp.queue"

local log = {}

local LEVELS = { DEBUG = 1, INFO = 2, WARN = 3, ERROR = 4, FATAL = 5, OFF = 6 }

---@class mp.Logger
local Logger = { __name = "mp.Logger" }
Logger.__index = Logger

-- stderr: write to it; outputs: functions(self, level, message); upstream: the
-- queue of an ancestor's logger; inbox: our own, once there is an output.
local logger = setmetatable({ level = "WARN", stderr = false, outputs = {},
  owner = nil }, Logger)

local function check_level(what, level)
  if not LEVELS[level] then
    error(("%s: unknown level '%s' (valid: DEBUG, INFO, WARN, ERROR, FATAL, "
      .. "OFF)"):format(what, tostring(level)), 3)
  end
  return level
end

-- Descent --------------------------------------------------------------------

--- What a child is to know of its parent's logger; nil: it is silent.
local function legacy(self)
  if not self.stderr and not self.outputs[1] and not self.upstream then
    return nil
  end
  return { level = self.level, stderr = self.stderr,
    queues = { self.inbox, self.upstream } }
end

--- In the child.
function log.inherit(from)
  logger.level, logger.stderr = from.level, from.stderr
  logger.outputs, logger.inbox = {}, nil
  logger.upstream = from.queues[1] or from.queues[2]
  logger.owner = proc.current_process()
end

--- A process that was forked finds its parent's logger in its memory.
local function settle(self)
  local me = proc.current_process()
  if self.owner == me then return end
  if self.owner then log.inherit(legacy(self) or { level = self.level,
    stderr = self.stderr, queues = {} }) end
  self.owner = me
end

-- Records --------------------------------------------------------------------

local function emit(self, level, name, message)
  if self.stderr then
    pcall(io.stderr.write, io.stderr,
      ("[%s/%s] %s\n"):format(level, name, message))
  end
  for _, output in ipairs(self.outputs) do
    pcall(output, self, level, ("%s: %s"):format(name, message))
  end
end

--- Hand out what descendants have sent.
function Logger:flush()
  local inbox = self.inbox
  if not inbox or self.owner ~= proc.current_process() then return end
  while true do
    local record = inbox:get(0)
    if not record then return end
    -- They wrote it to stderr themselves.
    for _, output in ipairs(self.outputs) do
      pcall(output, self, record[1], ("%s: %s"):format(record[2], record[3]))
    end
    if self.upstream then self.upstream:put(record) end
  end
end

local function text(message, ...)
  if type(message) == "function" then message = message(...)
  elseif select("#", ...) > 0 then message = tostring(message):format(...) end
  return error_types.text(message)
end

--- Log a message: text, a format and its arguments, or a function that is
--- called only if the record is wanted.
---@param level string
function Logger:log(level, message, ...)
  check_level("log", level)
  if LEVELS[level] < LEVELS[self.level] or level == "OFF" then return end
  settle(self)
  self:flush()
  if not self.stderr and not self.outputs[1] and not self.upstream then
    return
  end
  local name, line = proc.current_process().name, text(message, ...)
  emit(self, level, name, line)
  if self.upstream then self.upstream:put { level, name, line } end
end

function Logger:debug(...) return self:log("DEBUG", ...) end
function Logger:info(...) return self:log("INFO", ...) end
function Logger:warn(...) return self:log("WARN", ...) end
function Logger:error(...) return self:log("ERROR", ...) end
function Logger:fatal(...) return self:log("FATAL", ...) end

--- Leave out what is below a level.  Children learn of it when they start.
---@param level string
function Logger:setLevel(level)
  self.level = check_level("setLevel", level)
end

---@return string
function Logger:getLevel() return self.level end

--- One more output: a function(logger, level, message), as LuaLogging's
--- appenders are, or a LuaLogging logger.
---@param output function|table
function Logger:addOutput(output)
  settle(self)
  if type(output) == "table" and type(output.log) == "function" then
    local plugged = output
    output = function(_, level, message) plugged:log(level, message) end
  end
  if not options.callable(output) then
    error("addOutput: a function or a logger was expected, not a "
      .. type(output), 2)
  end
  table.insert(self.outputs, output)
  if self.inbox then return end
  self.inbox = queue.Queue() -- before a child is forked
  -- Made after the inbox, so that it is finalized before it.
  self.ending = setmetatable({}, { __gc = log.at_close })
end

function Logger:__tostring()
  return ("mp.Logger (%s)"):format(self.level)
end

-- What processes do at their start, and when they have waited for another.
proc.log = {
  legacy = function()
    settle(logger)
    return legacy(logger)
  end,
  flush = function() logger:flush() end,
}

life.end_by(proc.log.flush)

--- A script's end: what the children still say while they are waited for.
function log.at_close()
  if life.interpreter() and logger.owner == proc.current_process() then
    life.finish()
  end
end

--- For those who cannot know whether there is an output.
function log.warn(message) logger:warn("%s", message) end

--- The logger of this process.
---@return mp.Logger
function log.get_logger()
  settle(logger)
  return logger
end

--- The logger, writing to stderr from now on, also in children yet to start.
---@param level? string
---@return mp.Logger
function log.log_to_stderr(level)
  settle(logger)
  if level ~= nil then logger.level = check_level("log_to_stderr", level) end
  logger.stderr = true
  return logger
end

return log
