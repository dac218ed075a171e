--- Ways from here to a manager's server: through the family's pipes, through a
-- socket, or none, in the server itself.
--
-- A request is {seq, ident, method, n, arguments}; in the family, where all
-- clients write into one pipe (the door), the client's number comes before it.
-- The answer is {seq, true, n, results}, {seq, false, message, traceback}, or
-- {seq, nil, text} for a misuse.  A client has one request under way; if that
-- is interrupted it is taken back, so that nobody gets a lock or an item that
-- nobody waits for any more.
local connection = require "mp.connection"
local error_types = require "mp.error"
local listen = require "mp.listen"
local proc = require "mp.proc"
local proxy = require "mp.managers.proxy"
local stream = require "mp.stream"

local link = {}

proxy.now = stream.now
local unpack = table.unpack
local current_process = proc.current_process

local SERVER = 0 -- the ident of the server itself
local LOOK = 0.5 -- seconds between two looks whether the server is alive
link.SERVER = SERVER

-- Errors that came from elsewhere already, as they are.
local PASSED = {
  [error_types.RemoteError] = true, [error_types.ProcessDied] = true,
  [error_types.BrokenPool] = true,
}

local function died(self)
  local code = 255
  if self.process then
    self.process:join(2) -- it is ending: its code is to come
    code = self.process.exitcode or 255
  end
  return setmetatable({ process = self:name(), pid = self:pid(),
    exitcode = code }, error_types.ProcessDied)
end

-- What both kinds have in common ---------------------------------------------

local common = {}

--- Give a request that was interrupted back: the server forgets it, or undoes
--- it.  What it answers last is for `seq` itself, or for the giving back.
local function take_back(self, seq)
  local last = seq + 1
  self.seq = last
  if not self:post(last, SERVER, "cancel", 1, seq) then return end
  repeat
    local reply, reason = self:receive()
    local done = reply and (reply[1] == last or reply[1] == seq)
  until done or not reply and reason ~= "timeout"
end

--- The answer to the request `seq`, or nil: the server has died.
local function await(self, seq)
  while true do
    local ok, reply, reason = pcall(self.receive, self)
    if not ok then
      pcall(take_back, self, seq)
      error(reply, 0)
    end
    if reply then
      if reply[1] == seq then return reply end
      if reply[1] == 0 then self:probe(seq) end
    elseif reason ~= "timeout" or not self:is_alive() then
      return nil
    end
  end
end

-- level: of the user's code, seen from here.
local function ask(self, level, ident, method, ...)
  self:reach()
  local seq = self.seq + 1
  self.seq = seq
  local reply = self:post(seq, ident, method, select("#", ...), ...)
    and await(self, seq)
  if not reply then error(died(self), level) end
  local ok, n = reply[2], reply[3]
  if ok then
    if n == 1 then return reply[4] end
    return unpack(reply, 4, 3 + n)
  end
  if ok == nil or PASSED[getmetatable(n)] then error(n, level) end
  error(setmetatable({ message = n, traceback = reply[4], process = self:name(),
    pid = self:pid() }, error_types.RemoteError), level)
end

--- Call a method of an object there.
function common:call(ident, method, ...)
  return ask(self, 2, ident, method, ...)
end

--- The proxy of what a method makes.
function common:make(ident, method, ...)
  return proxy.made(self, ask(self, 3, ident, method, ...))
end

-- What the name of is an argument, in place of a method.
local NAMED = { create = true, call = true }

--- A request could not be sent: say which argument of what, and where.
---@param lead integer elements of the request before the arguments
local function refused(err, lead, method, ...)
  local i, path = tostring(err):match("^send: value%[(%d+)%](.*)$")
  if not i then error(err, 0) end
  i = i - lead
  if NAMED[method] then method, i = ..., i - 1 end
  error_types.blame(("%s: argument #%d%s"):format(method, i, path))
end

-- The family -----------------------------------------------------------------

local Family = setmetatable({}, { __index = common })
Family.__index = Family

local doors = setmetatable({}, { __mode = "v" }) -- door -> link

--- The link through a door.
---@param door mp.Connection where requests are put in
---@param process mp.Process the server
function link.family(door, process)
  local serving = proxy.serving
  if serving and serving.writer == door then return serving.link end
  local self = doors[door]
  if not self then
    self = setmetatable({ door = door, process = process, seq = 0,
      proxies = setmetatable({}, { __mode = "v" }) }, Family)
    doors[door] = self
  end
  return self
end

function Family:name() return self.process.name end
function Family:pid() return self.process.pid end
function Family:where() return self.process.name end
function Family:is_alive() return self.process:is_alive() end

--- Be known to the server: each process by itself, a forked one too.
function Family:reach()
  local me = current_process()
  if self.owner == me then return end
  local reader, writer = connection.Pipe(false)
  if not self.door:send { 0, writer, me } then error(died(self), 3) end
  writer:close()
  self.replies, self.owner = reader, me
  local hello
  repeat hello = self:receive() until hello or not self:is_alive()
  if not hello then
    self.owner = nil
    error(died(self), 3)
  end
  self.id = hello[2]
end

function Family:post(seq, ident, method, n, ...)
  local ok, sent = pcall(self.door.send, self.door,
    { self.id, seq, ident, method, n, ... })
  if not ok then refused(sent, 5, method, ...) end
  return sent
end

function Family:receive() return self.replies:recv(LOOK) end

--- A message could not be read there: was it ours?
function Family:probe(seq) self:post(seq, SERVER, "probe", 0) end

function Family:reduce(state)
  return link.from_family, self.door, self.process, state.ident, state.kind,
    state.lease, state.methods
end

--- A proxy that came in a message.
function link.from_family(door, process, ident, kind, lease, methods)
  return proxy.make(link.family(door, process), ident, kind, lease, methods)
end

-- Sockets --------------------------------------------------------------------

local Remote = setmetatable({}, { __index = common })
Remote.__index = Remote

local addresses = setmetatable({}, { __mode = "v" }) -- text -> link
local keys = {} -- text -> options to connect with, the key among them

local function options_of(opts)
  return { address = opts.address, authkey = opts.authkey,
    trusted = opts.trusted, require = opts.require, timeout = opts.timeout,
    any_user = opts.any_user }
end

--- The link to an address, known or by the options given.
---@return table? link
---@return string? message
---@return integer? errno
function link.remote(opts)
  local where = listen.address_text(opts.address)
  local self = addresses[where]
  if self and self.conn and not self.conn.closed then return self end
  self = self or setmetatable({ address = opts.address, text = where, seq = 0,
    gone = {}, proxies = setmetatable({}, { __mode = "v" }) }, Remote)
  keys[where] = options_of(opts)
  local good, message, code = self:connect()
  if not good then return nil, message, code end
  addresses[where] = self
  return self
end

function Remote:name() return self.server_name or self.text end
function Remote:pid() return self.server_pid or 0 end
function Remote:where() return self.text end
-- The end of the server is the end of the connection.
function Remote.is_alive() return true end
function Remote.probe() end

function Remote:connect()
  local opts = keys[self.text]
  if not opts then
    opts = options_of { address = self.address,
      authkey = current_process().authkey }
  end
  local conn, message, code = connection.Client(opts)
  if not conn then return nil, message, code end
  self.conn, self.owner = conn, current_process()
  self.gone, self.seq = {}, 0
  local hello = self:receive()
  if type(hello) ~= "table" or hello[1] ~= 0 then
    conn:close()
    return nil, "protocol"
  end
  self.server_name, self.server_pid = hello[2], hello[3]
  for ident in pairs(self.proxies) do self:hold(ident) end
  return true
end

--- A forked process has a connection of its own.
function Remote:reach()
  if self.owner == current_process() and not self.conn.closed then return end
  if self.owner == current_process() then error(died(self), 3) end
  self.conn:close()
  if not self:connect() then error(died(self), 3) end
end

--- Proxies that are arguments go as the numbers of their objects.
local function without_proxies(self, message, n, ...)
  for i = 1, n do
    local value = select(i, ...)
    local state = proxy.state(value)
    if state then
      if state.link ~= self then
        error_types.blame("a proxy of another manager cannot go to "
          .. self.text)
      end
      message.proxies = message.proxies or {}
      message.proxies[i], message[4 + i] = state.ident, false
    end
  end
end

function Remote:post(seq, ident, method, n, ...)
  local message = { seq, ident, method, n, ... }
  if n > 0 then without_proxies(self, message, n, ...) end
  if self.gone[1] then message.gone, self.gone = self.gone, {} end
  local ok, sent = pcall(self.conn.send, self.conn, message)
  if not ok then refused(sent, 4, method, ...) end
  return sent
end

function Remote:receive()
  local reply, reason = self.conn:recv()
  for i, made in pairs(reply and reply.proxies or {}) do
    reply[3 + i] = link.here(self, made)
  end
  return reply, reason
end

--- The proxy that an answer speaks of; the server counts it for us already.
function link.here(self, made)
  local ident = made[1]
  if self.proxies[ident] then self.gone[#self.gone + 1] = ident end
  return proxy.make(self, ident, made[2], nil, made[3])
end

function Remote:hold(ident)
  self:call(SERVER, "hold", ident)
end

--- In a finalizer: only noted, and told with the next request.
function Remote:dropped(state)
  if self.owner == current_process() then
    self.gone[#self.gone + 1] = state.ident
  end
end

function Remote:reduce(state)
  return link.from_remote, self.address, state.ident, state.kind,
    state.methods
end

--- A proxy that came in a message.  The key is not in it: it is the one with
--- which this process has connected before, or its own.
function link.from_remote(address, ident, kind, methods)
  local where = listen.address_text(address)
  local serving = proxy.serving
  if serving and serving.where == where then
    return proxy.make(serving.link, ident, kind, nil, methods)
  end
  local known = addresses[where]
  local self = known
  if not self then
    local opts = keys[where] or { address = address,
      authkey = current_process().authkey }
    local message
    self, message = link.remote(opts)
    if not self then
      error(("cannot reach the manager at %s: %s"):format(where, message), 0)
    end
  end
  local fresh = not self.proxies[ident]
  local it = proxy.make(self, ident, kind, nil, methods)
  if fresh then self:hold(ident) end
  return it
end

-- In the server itself -------------------------------------------------------

local Here = {}
Here.__index = Here

--- Calls without a way: for functions that run on the server.
function link.here_in(server)
  return setmetatable({ server = server,
    proxies = setmetatable({}, { __mode = "v" }) }, Here)
end

function Here:where() return self.server.name end

function Here:call(ident, method, ...)
  return self.server:call_here(ident, method, ...)
end

function Here:make(ident, method, ...)
  return proxy.made(self, self:call(ident, method, ...))
end

function Here:reduce(state)
  local server = self.server
  return link.from_family, server.writer, server.process, state.ident,
    state.kind, state.lease or server.store:lease(state.ident), state.methods
end

return link
