--- The server of a manager: one thread that never waits for one client.
--
-- It takes requests from the door (a pipe that all clients in the family write
-- to) and from sockets, and answers each at once, or later: see jobs.lua.
local connection = require "mp.connection"
local jobs = require "mp.managers.jobs"
local life = require "mp.life"
local link = require "mp.managers.link"
local listen = require "mp.listen"
local error_types = require "mp.error"
local member = require "mp.managers.member"
local objects = require "mp.managers.objects"
local operations = require "mp.managers.operations"
local pool = require "mp.managers.pool"
local proc = require "mp.proc"
local proxy = require "mp.managers.proxy"
local queues = require "mp.managers.queues"
local remote = require "mp.managers.remote"
local store = require "mp.managers.store"
local stream = require "mp.stream"
local sync = require "mp.managers.sync"

local unpack = table.unpack
local SERVER = link.SERVER

-- Seconds to wait at the door alone after a request, which is cheap for both
-- sides, unlike its descriptor: where others may come, and where they cannot.
local HOT, HOTTER = 0.0002, 0.02
local ROUND = 64 -- requests from the door between two looks at the rest

---@class mp.managers.Server
local Server = {}
Server.__index = Server

local builtin = {}
for _, module in ipairs { objects, sync, queues, pool } do
  for kind, class in pairs(module) do builtin[kind] = class end
end
builtin.Object, builtin.AsyncResult = nil, nil

-- Objects --------------------------------------------------------------------

--- A registered type's object, or one of ours.
---@return table entry
function Server:create(kind, ...)
  local make = self.registry[kind]
  if make == nil then jobs.misuse("no type '%s' is registered", kind) end
  if make == true then
    return self.store:adopt(kind, builtin[kind].new(self, ...))
  end
  local object = make(...)
  return self.store:adopt(kind, objects.Object.wrap(object),
    objects.Object.methods(object))
end

--- Those who wait for a result of a pool: a queue to park on.
function Server:watch(result)
  local watch = self.watches[result]
  if not watch then
    watch = { result = result, queue = jobs.queue() }
    self.watches[result] = watch
  end
  self.changed = true
  return watch.queue
end

function Server:look_at_results()
  for result, watch in pairs(self.watches) do
    if result:ready() then
      self.watches[result], self.changed = nil, true
      jobs.wake_all(watch.queue)
    end
  end
end

--- What a proxy of ours stands for; any other value is itself.
function Server:object_of(value)
  local state = proxy.state(value)
  local entry = state and state.link == self.link
    and self.store.entries[state.ident]
  return entry and entry.object or value
end

--- Give up what nobody holds any more.
function Server:sweep()
  self.store:sweep()
  self.swept_at = self.served
end

-- Requests -------------------------------------------------------------------

local function answer_or_fail(client, seq, ok, ...)
  jobs.client = nil
  if ok then return client:answer(seq, ...) end
  local failure = ...
  client:fail(seq, failure.err, failure.traceback)
end

local function note(err)
  if jobs.misuse_text(err) then return { err = err, traceback = "" } end
  return { err = err, traceback = debug.traceback(
    type(err) == "string" and err or error_types.text(err), 2) }
end

local function raw_note(...)
  local ok, err = ...
  if ok or type(err) == "table" and err.traceback then return ... end
  return ok, { err = err, traceback = error_types.text(err) }
end

--- Serve one request; its arguments follow.
function Server:serve(client, seq, ident, method, ...)
  self.served = self.served + 1
  local f, object
  if ident == SERVER then
    f, object = operations[method], self
  else
    local entry = self.store.entries[ident]
    if not entry then
      return client:fail(seq, jobs.as_misuse(store.GONE))
    end
    client.undo = nil
    local class = entry.class
    object, f = entry.object, class.public[method] and class[method]
    if class.blocking[method] then
      return jobs.start(client, seq, f, object, ...)
    end
  end
  if not f then
    return client:fail(seq, jobs.as_misuse(("there is no method '%s'")
      :format(tostring(method))))
  end
  jobs.client = client
  return answer_or_fail(client, seq, raw_note(xpcall(f, note, object, ...)))
end

--- A call from a function that runs here already.
function Server:call_here(ident, method, ...)
  local entry = self.store.entries[ident]
  if not entry then error(store.GONE, 0) end
  local job = jobs.job
  jobs.job = nil -- it may not wait
  local results = table.pack(pcall(entry.class[method], entry.object, ...))
  jobs.job = job
  if not results[1] then
    error(jobs.misuse_text(results[2]) or results[2], 3)
  end
  return unpack(results, 2, results.n)
end

-- Members -------------------------------------------------------------------

--- A family member joins: it must not be told apart from a dead one for long.
function Server:welcome(replies, process)
  for _, old in pairs(self.members) do
    if old.process == process then self:farewell(old) end
  end
  local id = self.next_id
  self.next_id = id + 1
  local client = member.new(self, id, replies, process)
  self.members[id] = client
  self.changed = true
  client:send { 0, id }
end

--- A client is gone: what it held goes back.
function Server:farewell(client)
  jobs.forsake(client)
  for object in pairs(client.held) do object:forsake(client) end
  client.held = jobs.holdings()
  if client.replies then
    self.members[client.id] = nil
    client.replies:close()
  else
    self.streams[client] = nil
    client:forget()
  end
  self.changed = true
  jobs.drain()
  self.sweep_soon = true
end

-- The door -------------------------------------------------------------------

--- A message that could not be read: whoever waits for an answer asks whether
--- it was theirs.
function Server:unreadable(why)
  self.last_error = error_types.text(why)
  for _, client in pairs(self.members) do
    if not client.nudged then
      client.nudged = true
      client:send { 0 }
    end
  end
end

--- Did the request `seq` arrive?
local function probed(self, client, seq)
  client.nudged = nil
  if client.jobs[seq] or client.last_seq == seq then return end
  client:fail(seq, "the server could not read the message: "
    .. tostring(self.last_error), "")
end

function Server:from_door(m)
  local id = m[1]
  if id == 0 then return self:welcome(m[2], m[3]) end
  local client = self.members[id]
  if not client then return end
  local seq = m[2]
  if m[4] == "probe" and m[3] == SERVER then
    return probed(self, client, seq)
  end
  client.last_seq, client.nudged = seq, nil
  if m[5] == 0 then
    self:serve(client, seq, m[3], m[4])
  else
    self:serve(client, seq, m[3], m[4], unpack(m, 6, 5 + m[5]))
  end
  jobs.drain()
end

--- A request from the door; nil when there is none within `seconds`.
function Server:next_request(seconds)
  local ok, m = pcall(self.door.recv, self.door, seconds)
  if not ok then
    self:unreadable(m)
    return nil, true
  end
  return m
end

-- The rest -------------------------------------------------------------------

--- Listen on a socket as well; nil, message, errno when that cannot be.
function Server:listen(opts)
  local listener, message, code = connection.Listener {
    address = opts.address, family = opts.family, authkey = opts.authkey,
    auth_timeout = opts.auth_timeout, require = opts.require,
    any_user = opts.any_user, backlog = opts.backlog,
    max_message = opts.max_message or 64 << 20,
  }
  if not listener then return nil, message, code end
  self.listener, self.changed = listener, true
  self.where = listen.address_text(listener.address)
  return true
end

--- The descriptors to wait for beside the door's, and what each is about.
function Server:watch_list()
  local fds, about = {}, {}
  local function add(fd, what)
    fds[#fds + 1], about[#about + 1] = fd, what
  end
  if self.listener then add(self.listener:fileno(), self.listener) end
  for _, client in pairs(self.members) do
    add(client.process.sentinel, client)
  end
  for client in pairs(self.streams) do add(client.stream.fd, client) end
  for result in pairs(self.watches) do
    for _, fd in ipairs(result:_filenos()) do add(fd, false) end
  end
  self.fds, self.about, self.changed = fds, about, false
end

--- Behind the others.  Only who sleeps asks for the door's descriptor: whoever
--- sends then has to ring.
function Server:watch_door(sleeping)
  local fds, n = self.fds, #self.about
  fds[n + 1], fds[n + 2] = nil, nil
  if not sleeping then return end
  fds[n + 1] = self.door:fileno()
  fds[n + 2] = self.alive and self.alive:fileno()
end

function Server:ready(what)
  if not what then return end
  if what == self.listener then
    remote.accept(self)
  elseif what.stream then
    what:readable()
  elseif not what.process:is_alive() then
    self:farewell(what)
  end
end

--- Wait for everything, for at most `seconds` (nil: for ever).
function Server:look_around(seconds)
  -- Which descriptors a pool has changes with its workers.
  if self.changed or next(self.watches) then self:watch_list() end
  self:watch_door(seconds ~= 0)
  local writers, whose = remote.stuck(self)
  local about = self.about
  for _, i in ipairs(stream.wait(writers, self.fds, seconds)) do
    if i <= #writers then
      whose[i]:writable()
    else
      self:ready(about[i - #writers])
    end
  end
  if self.alive and self.alive:poll() then self.stopping = true end
  if next(self.watches) then self:look_at_results() end
  jobs.expire()
  jobs.drain()
end

--- How long nothing can happen without a descriptor: what was dropped is looked
--- for once after there was something to do.
function Server:patience()
  local seconds = jobs.patience()
  if self.sweep_soon or self.swept_at ~= self.served then
    return math.min(seconds or 1, 1), true
  end
  return seconds
end

function Server:idle()
  local seconds, sweeping = self:patience()
  local before = self.served
  self:look_around(seconds)
  if sweeping and before == self.served and not self.door:poll()
    and (self.sweep_soon or not jobs.patience()) then
    self.sweep_soon = nil
    self:sweep()
  end
end

function Server:hot()
  if self.listener or next(self.streams) or next(self.watches) then
    return HOT
  end
  return math.min(jobs.patience() or HOTTER, HOTTER)
end

function Server:serve_forever()
  local busy = 0
  self.process = self.process or proc.current_process()
  while not self.stopping do
    local m, again = self:next_request(busy > 0 and self:hot() or 0)
    if m then
      self:from_door(m)
      busy = busy + 1
      if busy >= ROUND then
        busy = 1
        self:look_around(0)
      end
    elseif not again then
      busy = 0
      self:idle()
    end
  end
  self:close()
end

function Server:close()
  if self.listener then self.listener:close() end
  for client in pairs(self.streams) do client:finish() end
  self.streams = {}
end

-- Making one -----------------------------------------------------------------

local server = { BUILTIN = {} }

for kind in pairs(builtin) do table.insert(server.BUILTIN, kind) end

--- A server in this process.
---@param config table registry and the options of the listener
---@param door mp.Connection
---@param writer mp.Connection the other end of the door
---@param alive? mp.Connection closed when its owner is gone
function server.new(config, door, writer, alive)
  local self = setmetatable({
    config = config, registry = config.registry, name = config.name,
    process = proc.current_process(),
    door = door, writer = writer, alive = alive,
    store = store.new(), served = 0, swept_at = 0,
    members = {}, next_id = 1, streams = {}, watches = {}, changed = true,
  }, Server)
  self.link = link.here_in(self)
  stream.lazy(door)
  proxy.serving = self
  return self
end

--- The main function of a manager's process.
function server.main(config, door, writer, alive, report)
  life.ignore_interrupt()
  local self = server.new(config, door, writer, alive)
  if config.address or config.family then
    local good, message, code = self:listen(config)
    if not good then
      report:send { false, message, code }
      return
    end
  end
  if config.init then
    local ok, err = xpcall(config.init, note, unpack(config.initargs or {}))
    if not ok then
      report:send { nil, error_types.text(err.err), err.traceback }
      return
    end
  end
  report:send { true, self.listener and self.listener.address }
  report:close()
  self:serve_forever()
end

return server
