--- What is raised here for what went wrong in another process.
local error_types = {}

--- A text for any value; one whose __tostring raises included.
---@param value any
---@return string
function error_types.text(value)
  local ok, text = pcall(tostring, value)
  if ok and type(text) == "string" then return text end
  return ("(error object is a %s value)"):format(type(value))
end

--- An error that another process raised.
---@class mp.RemoteError
---@field message any the original error value
---@field traceback string where it was raised, there
---@field process string the process's name
---@field pid integer
local RemoteError = { __name = "mp.RemoteError" }
RemoteError.__index = RemoteError
error_types.RemoteError = RemoteError

function RemoteError:__tostring()
  return ("%s\n\nraised in %s (pid %s):\n%s"):format(
    error_types.text(self.message), self.process, self.pid, self.traceback)
end

--- A process that ended without an answer.
---@class mp.ProcessDied
---@field process string
---@field pid integer
---@field exitcode integer -N when signal N ended it
local ProcessDied = { __name = "mp.ProcessDied" }
ProcessDied.__index = ProcessDied
error_types.ProcessDied = ProcessDied

function ProcessDied:__tostring()
  local how = self.exitcode < 0 and "was ended by signal " .. -self.exitcode
    or "ended with exit code " .. self.exitcode
  return ("%s (pid %s) %s before it answered"):format(
    self.process, self.pid, how)
end

return error_types
