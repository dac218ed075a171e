--- Clients of a manager's server that come through a socket.
--
-- What they send is data (no functions, unless the server was told to trust
-- them).  Objects that they hold are counted, and given back at their end.
local codec = require "mp.codec"
local error_types = require "mp.error"
local jobs = require "mp.managers.jobs"
local proxy = require "mp.managers.proxy"
local stream = require "mp.stream"

local remote = {}

local MAX_JOBS = 64        -- requests under way, of one client
local MAX_QUEUED = 1 << 30 -- bytes of answers that one client has not read

local Client = {}
Client.__index = Client

--- Take in whoever has come.
function remote.accept(server)
  local limit = server.config.max_clients or 4096
  while true do
    local conn, reason = server.listener:accept(0)
    if not conn then
      if reason == "timeout" then return end
    elseif server.nstreams and server.nstreams >= limit then
      conn:close()
    else
      local client = setmetatable({ stream = stream.new(conn), jobs = {},
        held = jobs.holdings(), server = server, entries = {},
        decoding = { code = server.config.trusted == true } }, Client)
      server.streams[client] = true
      server.nstreams = (server.nstreams or 0) + 1
      server.changed = true
      client:put { 0, server.name, server.process.pid }
    end
  end
end

--- What comes from one that waits is its end, or that it gives up.
function Client:can_take()
  return not self.dead and not self.stream.conn.closed
    and not self.stream.conn:poll()
end

--- Those whose answers wait for room.
function remote.stuck(server)
  local fds, whose = {}, {}
  for client in pairs(server.streams) do
    if client.stream:stuck() then
      fds[#fds + 1], whose[#whose + 1] = client.stream.fd, client
    end
  end
  return fds, whose
end

function Client:forget()
  self.server.nstreams = self.server.nstreams - 1
  for entry, n in pairs(self.entries) do
    entry.holders[self] = nil
    self.entries[entry] = n and nil
  end
  self.stream:close()
end

function Client:writable()
  if not self.stream:flush() then self.server:farewell(self) end
end

--- The server ends: what has been answered is still to go out.
function Client:finish()
  self.stream:flush()
  self.stream:close()
end

function Client:holds(entry)
  self.entries[entry] = (self.entries[entry] or 0) + 1
  entry.holders[self] = true
end

local function let_go(self, entry)
  local n = entry and self.entries[entry]
  if not n then return end
  self.entries[entry] = n > 1 and n - 1 or nil
  if n == 1 then
    entry.holders[self] = nil
    self.server.sweep_soon = true
  end
end

--- What the client makes a proxy of.
function Client:present(entry)
  self:holds(entry)
  return setmetatable({ entry.ident, entry.kind, entry.methods }, Client)
end

function Client:put(message)
  if self.stream.conn.closed then return end
  local bytes = codec.encode(message)
  if not self.stream:send(bytes) or self.stream.queued > MAX_QUEUED then
    self.dead = true
  end
end

--- Proxies that are results go as what they stand for.
local function as_made(self, value)
  if getmetatable(value) == Client then return setmetatable(value, nil) end
  local state = proxy.state(value)
  local entry = state and self.server.store.entries[state.ident]
  if not entry or state.link ~= self.server.link then return nil end
  self:holds(entry)
  return { entry.ident, entry.kind, entry.methods }
end

function Client:answer(seq, ...)
  local n = select("#", ...)
  local message = { seq, true, n, ... }
  for i = 1, n do
    local value = message[3 + i]
    if type(value) == "table" then
      local made = as_made(self, value)
      if made then
        message.proxies = message.proxies or {}
        message.proxies[i], message[3 + i] = made, false
      end
    end
  end
  local ok, why = pcall(self.put, self, message)
  if not ok then self:fail(seq, why, "") end
end

function Client:fail(seq, err, traceback)
  local text = jobs.misuse_text(err)
  if text then return self:put { seq, nil, text } end
  if not pcall(self.put, self, { seq, false, err, traceback }) then
    self:put { seq, false, error_types.text(err), traceback }
  end
end

local function count(t)
  local n = 0
  for _ in pairs(t) do n = n + 1 end
  return n
end

--- Is it what a client of ours sends?
local function is_request(m)
  return type(m) == "table" and math.type(m[1]) == "integer"
    and math.type(m[2]) == "integer" and type(m[3]) == "string"
    and math.type(m[4]) == "integer" and m[4] >= 0 and m[4] < 1000
end

local function arguments(self, m)
  local server = self.server
  for i, ident in pairs(type(m.proxies) == "table" and m.proxies or {}) do
    local entry = server.store.entries[ident]
    if math.type(i) == "integer" and entry then
      m[4 + i] = proxy.make(server.link, ident, entry.kind,
        server.store:lease(ident), entry.methods)
    end
  end
  return table.unpack(m, 5, 4 + m[4])
end

local function serve(self, bytes)
  local m, why = codec.decode(bytes, self.decoding)
  if not is_request(m) then
    -- It has one request under way at most: this is about that one.
    self:fail((self.seq or 0) + 1, "the server could not read the message: "
      .. tostring(why or "it is no request"), "")
    self.seq = (self.seq or 0) + 1
    return
  end
  self.seq = m[1]
  for _, ident in pairs(type(m.gone) == "table" and m.gone or {}) do
    let_go(self, self.server.store.entries[ident])
  end
  if count(self.jobs) >= MAX_JOBS then
    return self:fail(m[1], "too many requests at once", "")
  end
  self.server:serve(self, m[1], m[2], m[3], arguments(self, m))
end

--- Serve what has come; a few requests, then the others have their turn.
function Client:readable()
  for _ = 1, 16 do
    if self.dead or self.stream.conn.closed then break end
    local bytes, reason = self.stream:receive()
    if not bytes then
      if reason ~= "timeout" then self.dead = true end
      break
    end
    serve(self, bytes)
    jobs.drain()
  end
  if self.dead or self.stream.conn.closed then
    self.server:farewell(self)
  end
end

return remote
