--- What clients ask of a manager's server itself; self is the server.
local jobs = require "mp.managers.jobs"
local store = require "mp.managers.store"

local operations = {}

--- The parts of a proxy for a new object.
function operations:create(kind, ...)
  local entry = self:create(kind, ...)
  return jobs.client:present(entry)
end

--- The caller was interrupted: nobody waits for the answer to `seq` any more.
function operations.cancel(_, seq)
  local client = jobs.client
  local job = client.jobs[seq]
  if job then return jobs.cancel(job) end
  local undo = client.undo
  client.undo = nil
  if undo and client.undo_seq == seq then undo() end
end

--- How many objects somebody holds.
function operations:count()
  self:sweep()
  return self.store.count
end

--- The registered types, for a manager that travels.
function operations:names()
  local names = {}
  for name in pairs(self.registry) do names[name] = true end
  return names
end

--- Where it listens; from now on, if it did not.
function operations:address()
  if not self.listener then
    local good, message = self:listen(self.config)
    if not good then error(message, 0) end
  end
  return self.listener.address
end

--- A client behind a socket has got a proxy by another way than an answer.
function operations:hold(ident)
  local entry = self.store.entries[ident]
  if not entry then jobs.misuse(store.GONE) end
  jobs.client:holds(entry)
end

function operations:shutdown()
  self.stopping = true
end

return operations
