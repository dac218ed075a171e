--- Connections of a server that must never wait for one client: messages are
--- taken in and given out a part at a time.
local core = require "mp.core"

local stream = {}

local Stream = {}
Stream.__index = Stream

--- Take a connection over a descriptor over.
---@param conn mp.Connection
function stream.new(conn)
  return setmetatable({ conn = conn, fd = conn:fileno(), out = {}, first = 1,
    last = 0, at = 1, queued = 0 }, Stream)
end

--- The next message, as bytes.
---@return string? message
---@return string? reason "timeout": there is none yet, whole
function Stream:receive()
  return core.conn_gather(self.conn)
end

local function frame(bytes)
  if #bytes <= 0x7fffffff then return string.pack(">s4", bytes) end
  return "\xff\xff\xff\xff" .. string.pack(">s8", bytes)
end

--- Send bytes as a message; what does not go at once is kept for `flush`.
---@return boolean? sent nil: the peer is gone
function Stream:send(bytes)
  bytes = frame(bytes)
  self.last = self.last + 1
  self.out[self.last] = bytes
  self.queued = self.queued + #bytes
  if self.last > self.first then return true end
  return self:flush()
end

--- Write what can be written.
---@return boolean? good nil: the peer is gone
function Stream:flush()
  while self.first <= self.last do
    local bytes = self.out[self.first]
    local at = core.conn_push(self.conn, bytes, self.at)
    if not at then return nil end
    if at <= #bytes then
      self.at = at
      return true
    end
    self.out[self.first] = nil
    self.first, self.at = self.first + 1, 1
    self.queued = self.queued - #bytes
  end
  return true
end

--- Is there something to be flushed?
function Stream:stuck() return self.first <= self.last end

function Stream:close() self.conn:close() end

--- Wait until a descriptor is ready.
---@param writers integer[] to be written to
---@param readers integer[]
---@param timeout? number
---@return integer[] indices into writers .. readers
function stream.wait(writers, readers, timeout)
  local all = table.move(readers, 1, #readers, #writers + 1,
    table.move(writers, 1, #writers, 1, {}))
  local found = core.wait(all, timeout, #writers)
  return found or error("wait: a descriptor was closed under the server", 2)
end

--- For a pipe that is read without pause, and whose `fileno` is asked for
--- before each wait: senders then need not ring while it is being read.
---@param conn mp.Connection
function stream.lazy(conn) core.conn_lazy(conn) end

stream.now = core.now

return stream
