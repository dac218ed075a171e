--- Pipes and connections.
local core = require "mp.core"
local handle = require "mp.handle"
local later = require "mp.later"

local connection = later({}, {
  Listener = "mp.listen",
  Client = "mp.listen",
  wait = "mp.wait",
})

--- The methods; those of the core take their arguments as they are.
---@class mp.Connection
---@field closed boolean
---@field readable boolean
---@field writable boolean
local Connection = handle.pollable({
  send = core.conn_send,
  send_bytes = core.conn_send_bytes,
  recv = core.conn_recv,
  recv_bytes = core.conn_recv_bytes,
  poll = core.conn_poll,
  close = core.conn_close,
}, core.conn_fileno, function(self)
  return not self.readable or self:poll()
end)

--- Is something there that select would not tell of?  (luasocket, copas)
function Connection:dirty()
  return not self.closed and self.readable and self:poll()
end

--- What to wait for.  (cqueues)
function Connection:events()
  return self.readable and "r" or "w"
end

local ATTRIBUTES = { closed = 1, readable = 2, writable = 3 }

local mt = handle.metatable("mp.Connection")

function mt:__index(key)
  local method = Connection[key]
  if method then return method end
  local nth = ATTRIBUTES[key]
  return nth and (select(nth, core.conn_state(self)))
end

function mt:__close()
  core.conn_close(self)
end

function mt:__tostring()
  local closed, readable, writable = core.conn_state(self)
  local state = closed and "closed"
    or readable and writable and "duplex"
    or readable and "read-only" or "write-only"
  return ("mp.Connection (%s): %p"):format(state, self)
end

--- A pipe: two connected ends.
---@param duplex? boolean default true; false: a reader and a writer
---@return mp.Connection a with duplex = false the reader
---@return mp.Connection b with duplex = false the writer
function connection.Pipe(duplex)
  if duplex ~= nil and type(duplex) ~= "boolean" then
    error("Pipe: duplex must be a boolean, not a " .. type(duplex), 2)
  end
  return core.pipe(duplex ~= false)
end

--- A connection over a descriptor: a connected stream socket, or an end of a
--- pipe of the system.  Framing as in Python's multiprocessing.connection;
--- what arrives is decoded without code.
---@param fd integer taken over: `close` closes it
---@param readable? boolean default true
---@param writable? boolean default true
---@return mp.Connection
function connection.Connection(fd, readable, writable)
  return core.connection(fd, readable, writable)
end

return connection
