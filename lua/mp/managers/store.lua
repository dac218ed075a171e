--- The objects of a manager's server, and who holds them.
--
-- An entry: ident (its number), object, kind, class (of `object`), methods (of
-- a registered object), leases (the ends of pipes whose other ends proxies in
-- the family hold), holders (clients behind sockets).
local connection = require "mp.connection"

local FIRST_SWEEP = 64 -- objects

local store = { GONE = "the object is gone from the server" }

local Store = {}
Store.__index = Store

--- Give an object a number of its own.
---@return table entry
function Store:adopt(kind, object, methods)
  local ident = self.next_ident
  self.next_ident = ident + 1
  self.count = self.count + 1
  if self.count > self.sweep_at then self:sweep() end
  local entry = { ident = ident, object = object, kind = kind,
    class = getmetatable(object), methods = methods, holders = {} }
  self.entries[ident] = entry
  return entry
end

--- The end of a pipe that keeps an object alive: while anybody holds it, or a
--- message does, or an object here.
---@return mp.Connection? lease nil: it is gone
function Store:lease(ident)
  local entry = self.entries[ident]
  if not entry then return nil end
  local reader, writer = connection.Pipe(false)
  entry.leases = entry.leases or {}
  table.insert(entry.leases, reader)
  return writer
end

local function is_held(entry)
  if next(entry.holders) then return true end
  local leases = entry.leases or {}
  for i = #leases, 1, -1 do
    if not leases[i]:poll() then return true end
    leases[i]:close()
    table.remove(leases, i)
  end
  return false
end

--- Give up what nobody holds any more.
function Store:sweep()
  local again
  repeat
    again = false
    collectgarbage() -- proxies that objects here held
    for ident, entry in pairs(self.entries) do
      if not is_held(entry) then
        self.entries[ident] = nil
        self.count = self.count - 1
        again = true
      end
    end
  until not again
  self.sweep_at = 2 * self.count + FIRST_SWEEP
end

function store.new()
  return setmetatable({ entries = {}, next_ident = 1, count = 0,
    sweep_at = FIRST_SWEEP }, Store)
end

return store
