--- Clients of a manager's server in the family: known by their process,
--- answered through a pipe each.
local error_types = require "mp.error"
local jobs = require "mp.managers.jobs"

local member = {}

local Member = {}
Member.__index = Member

--- false, why: the message cannot be sent.  That nobody reads it is no failure
--- here: the end of the client's process tells.
function Member:send(message)
  return pcall(self.replies.send, self.replies, message)
end

function Member:answer(seq, ...)
  local ok, why = self:send { seq, true, select("#", ...), ... }
  if not ok then self:fail(seq, why, "") end
end

function Member:can_take() return self.process:is_alive() end

function Member:fail(seq, err, traceback)
  local text = jobs.misuse_text(err)
  if text then
    self:send { seq, nil, text }
  elseif not self:send { seq, false, err, traceback } then
    self:send { seq, false, error_types.text(err), traceback }
  end
end

--- For a client in the family: the parts that it makes a proxy of.
function Member:present(entry)
  return entry.ident, entry.kind, self.server.store:lease(entry.ident),
    entry.methods
end

---@param server table
---@param id integer
---@param replies mp.Connection
---@param process mp.Process
function member.new(server, id, replies, process)
  return setmetatable({ server = server, id = id, replies = replies,
    process = process, jobs = {}, held = jobs.holdings() }, Member)
end

return member
