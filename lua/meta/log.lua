---@meta _
-- The reference of logging.

---@class mp
local mp = {}

-- Logging -----------------------------------------------------------------

---@alias mp.Level "DEBUG"|"INFO"|"WARN"|"ERROR"|"FATAL"|"OFF"

--- Silent until it has an output.  What descendants log that were started since
--- reaches the outputs of the process that has them, in order for each; when
--- that process logs, flushes, joins a process, or ends.
---@class mp.Logger
local Logger = {}

--- Log at a level, if it is not left out.
---@param level mp.Level
---@param message any a text, a format, or a function that gives the text
---@param ... any arguments of the format or the function
function Logger:log(level, message, ...) end

--- log("DEBUG", ...)
---@param message any
---@param ... any
function Logger:debug(message, ...) end

--- log("INFO", ...)
---@param message any
---@param ... any
function Logger:info(message, ...) end

--- log("WARN", ...)
---@param message any
---@param ... any
function Logger:warn(message, ...) end

--- log("ERROR", ...)
---@param message any
---@param ... any
function Logger:error(message, ...) end

--- log("FATAL", ...)
---@param message any
---@param ... any
function Logger:fatal(message, ...) end

--- What is below it is left out; default "WARN".
---@param level mp.Level
function Logger:setLevel(level) end

--- What is below it is left out.
---@return mp.Level
function Logger:getLevel() end

--- One more output: f(logger, level, message), as LuaLogging's appenders are, or
--- a LuaLogging logger.
---@param output function|table
function Logger:addOutput(output) end

--- Hand out what descendants have logged.
function Logger:flush() end

--- The logger of this process.
---@return mp.Logger
function mp.get_logger() end

--- The logger, writing "[LEVEL/Process-1] message" to stderr from now on.
---@param level? mp.Level
---@return mp.Logger
function mp.log_to_stderr(level) end
