--- Managers: a server process with objects, and proxies for them anywhere.
local blame = require "mp.error".blame
local connection = require "mp.connection"
local context = require "mp.context"
local error_types = require "mp.error"
local link = require "mp.managers.link"
local listen = require "mp.listen"
local options = require "mp.options"
local proc = require "mp.proc"
local server = require "mp.managers.server"

local managers = {}

local SERVER = link.SERVER

--- What belongs to a manager, its key among it, that no tostring shows.
local private = setmetatable({}, { __mode = "k" })

---@class mp.managers.BaseManager
---@field address mp.Address
local BaseManager = { __name = "mp.managers.BaseManager" }
managers.BaseManager = BaseManager

local OPTIONS = {
  address = true, family = "string", authkey = "string", trusted = "boolean",
  require = "string", any_user = "boolean", auth_timeout = "number",
  max_message = "number", max_clients = "number", backlog = "number",
  timeout = "number", context = "table", name = "string",
}

-- Classes --------------------------------------------------------------------

--- A registered type's name is a method that makes one on the server.
local function maker(kind)
  return function(self, ...)
    local own = private[self]
    if not own.link then
      blame(kind .. ": the manager was not started or connected")
    end
    return own.link:make(SERVER, "create", kind, ...)
  end
end

local FIELDS = {}

function FIELDS.address(own)
  if own.address == nil and own.process then
    own.address = own.link:call(SERVER, "address")
  end
  return own.address
end

function FIELDS.process(own) return own.process end

local function new_class(parent, fields)
  local class = fields or {}
  local makers = setmetatable({}, { __index = parent and parent._makers })
  class._makers = makers
  class._registry = setmetatable({},
    { __index = parent and parent._registry })
  setmetatable(class, { __index = parent,
    __call = parent and getmetatable(parent).__call })
  class._instance = {
    __name = class.__name or parent and parent.__name,
    __index = function(self, key)
      local field = FIELDS[key]
      if field then return field(private[self]) end
      return makers[key] or class[key]
    end,
    __newindex = function(_, key)
      error(("manager: cannot set '%s'"):format(tostring(key)), 2)
    end,
    __close = function(self) self:shutdown() end,
    __reduce = function(self) return class._reduce(self) end,
    __tostring = function(self) return class._describe(self) end,
  }
  return class
end

local function construct(class, opts, what)
  opts = opts or {}
  what = what or (class.__name or "manager"):match("[^.]*$")
  options.check(what, opts, OPTIONS)
  local self = setmetatable({}, class._instance)
  private[self] = { class = class, opts = opts, address = opts.address,
    authkey = opts.authkey or proc.current_process().authkey }
  return self
end

new_class(nil, BaseManager)
getmetatable(BaseManager).__call = function(class, opts)
  return construct(class, opts)
end

function BaseManager:_describe()
  local own = private[self]
  local how = own.closed and "shut down" or own.process and "started"
    or own.link and "connected" or "initial"
  local where = own.address and listen.address_text(own.address)
  return ("%s (%s%s)"):format(own.class.__name, how,
    where and ", " .. where or "")
end

--- A class of managers with types of its own.
---@param fields? table
---@return table class
function BaseManager:extend(fields)
  return new_class(self, fields)
end

--- Make a type known.  manager:NAME(...) calls the constructor on the server
--- and gives a proxy: its methods are called there.  Those who only connect
--- need no constructor.
---@param name string
---@param constructor? function
function BaseManager:register(name, constructor)
  if type(name) ~= "string" or name == "" then
    error("register: name must be a string", 2)
  end
  if constructor ~= nil and not options.callable(constructor) then
    error("register: constructor must be callable, not a "
      .. type(constructor), 2)
  end
  if FIELDS[name] or BaseManager[name] ~= nil then
    error(("register: '%s' is a manager's own"):format(name), 2)
  end
  self._registry[name] = constructor
  self._makers[name] = maker(name)
end

--- In a message: a manager of the same server, with the same types.  It is not
--- the owner.
function BaseManager:_reduce()
  local own = private[self]
  if not own.process then
    error("a manager that this process has not started cannot be sent", 0)
  end
  return managers._attached, own.link.door, own.process,
    own.link:call(SERVER, "names")
end

---@param door mp.Connection
---@param process mp.Process
---@param names table<string, boolean>
function managers._attached(door, process, names)
  local class = BaseManager:extend { __name = "mp.managers.Manager" }
  for name in pairs(names) do class:register(name) end
  local self = class()
  local own = private[self]
  own.process, own.link = process, link.family(door, process)
  return self
end

-- Life -----------------------------------------------------------------------

--- All that is registered, inherited or not.
local function registered(class)
  local all = {}
  while class do
    for name, constructor in pairs(rawget(class, "_registry") or {}) do
      all[name] = all[name] or constructor
    end
    class = (getmetatable(class) or {}).__index
  end
  return all
end

local function config_of(self, init, ...)
  local own = private[self]
  local config = { registry = registered(own.class), init = init,
    initargs = { ... }, authkey = own.authkey }
  for name, value in pairs(own.opts) do
    if name ~= "context" then config[name] = value end
  end
  return config
end

local started = 0

-- What a fork server loads beforehand starts a manager four times as fast.
table.insert(proc.preload, "mp.managers.server")

--- Not forked from here, where an interpreter is to be had: the server would
--- keep alive whatever its starter has open, and all its garbage.
local function process_class(opts)
  if opts.context then return opts.context.Process end
  local method = proc.can_spawn() and "forkserver"
    or context.get_start_method()
  return proc.Process:extend { _method = method }
end

local function start(self, config, link_ends)
  local own = private[self]
  local report, reporter = connection.Pipe(false)
  local Process = process_class(own.opts)
  started = started + 1
  config.name = own.opts.name
    or ("%s-%d"):format(own.class.__name:match("[^.]*$"), started)
  local process = Process { target = server.main, daemon = true,
    name = config.name,
    args = { config, link_ends.door, link_ends.writer, link_ends.alive,
      reporter } }
  process:start()
  reporter:close()
  local answer
  repeat answer = report:recv(0.5) until answer or not process:is_alive()
  answer = answer or report:recv(0)
  report:close()
  link_ends.door:close()
  link_ends.alive:close()
  return process, answer
end

--- Start the server.  Daemonic: it ends with this process, at the latest.
---@param init? function called in the server first
---@return table? self
---@return string? message the address cannot be listened at
---@return integer? errno
function BaseManager:start(init, ...)
  local own = private[self]
  if own.link or own.closed then
    error("start: the manager was started or connected before", 2)
  end
  if init ~= nil and not options.callable(init) then
    error("start: init must be callable, not a " .. type(init), 2)
  end
  local ends = {}
  ends.door, ends.writer = connection.Pipe(false)
  ends.alive, own.life = connection.Pipe(false)
  local process, answer = start(self, config_of(self, init, ...), ends)
  if not answer or not answer[1] then
    own.life:close()
    own.life = nil
    process:join()
    if answer and answer[1] == false then return nil, answer[2], answer[3] end
    if answer then
      error(setmetatable({ message = answer[2], traceback = answer[3],
        process = process.name, pid = process.pid },
        error_types.RemoteError), 2)
    end
    error(setmetatable({ process = process.name, pid = process.pid,
      exitcode = process.exitcode }, error_types.ProcessDied), 2)
  end
  own.process, own.owner = process, proc.current_process()
  own.address = answer[2]
  own.link = link.family(ends.writer, process)
  own.link.manager = self -- proxies keep it, and so the server
  return self
end

--- Reach a server that another program has started.
---@return table? self
---@return string? reason
---@return integer? errno
function BaseManager:connect()
  local own = private[self]
  if own.link then
    error("connect: the manager was started or connected before", 2)
  end
  if own.address == nil then error("connect: where to? no address", 2) end
  local opts = { address = own.address, authkey = own.authkey }
  for _, name in ipairs { "trusted", "require", "timeout", "any_user" } do
    opts[name] = own.opts[name]
  end
  local reached, message, code = link.remote(opts)
  if not reached then return nil, message, code end
  own.link = reached
  return self
end

--- A server for this process: server:serve_forever().
---@return table? server
---@return string? message
---@return integer? errno
function BaseManager:get_server()
  local door, writer = connection.Pipe(false)
  local config = config_of(self)
  config.name = private[self].opts.name or proc.current_process().name
  local made = server.new(config, door, writer)
  local good, message, code = made:listen(config)
  if not good then return nil, message, code end
  made.address = made.listener.address
  return made
end

--- Stop the server that this manager started.
function BaseManager:shutdown()
  local own = private[self]
  if own.closed or not own.process then return end
  if own.owner ~= proc.current_process() then return end
  own.closed = true
  pcall(own.link.call, own.link, SERVER, "shutdown")
  own.life:close()
  if not own.process:join(5) then own.process:kill() end
  own.process:join()
end

--- Wait for the server's end.
---@param timeout? number
function BaseManager:join(timeout)
  local process = private[self].process
  if not process then error("join: the manager was not started", 2) end
  return process:join(timeout)
end

--- How many objects the server has.
---@return integer
function BaseManager:number_of_objects()
  return private[self].link:call(SERVER, "count")
end

-- SyncManager ----------------------------------------------------------------

local SyncManager = BaseManager:extend {
  __name = "mp.managers.SyncManager",
}
managers.SyncManager = SyncManager

-- Types that the server knows itself.
for _, name in ipairs(server.BUILTIN) do
  SyncManager:register(name)
  SyncManager._registry[name] = true
end

-- SharedMemoryManager --------------------------------------------------------

--- Blocks of shared memory that go away with their manager.
local SharedMemoryManager = BaseManager:extend {
  __name = "mp.managers.SharedMemoryManager",
}
managers.SharedMemoryManager = SharedMemoryManager

-- In the server, whose end takes the names of what it has made along.
SharedMemoryManager:register("_blocks", function()
  local shared_memory = require "mp.shared_memory"
  local held = {}
  local Blocks = {}
  function Blocks:memory(size) -- luacheck: ignore self
    local block = shared_memory.SharedMemory { create = true, size = size }
    held[#held + 1] = block
    return block.name
  end
  function Blocks:list(values) -- luacheck: ignore self
    local list = shared_memory.ShareableList(values)
    held[#held + 1] = list
    return list.shm.name
  end
  return Blocks
end)

local function blocks_of(self)
  local own = private[self]
  own.blocks = own.blocks or self:_blocks()
  return own.blocks
end

--- A block of its own name, of at least `size` bytes.
---@param size integer
---@return mp.SharedMemory
function SharedMemoryManager:SharedMemory(size)
  return require "mp.shared_memory".SharedMemory {
    name = blocks_of(self):memory(size),
  }
end

---@param values any[]
---@return mp.ShareableList
function SharedMemoryManager:ShareableList(values)
  return require "mp.shared_memory".ShareableList {
    name = blocks_of(self):list(values),
  }
end

--- A started SyncManager.
---@param opts? table as SyncManager's
---@return table? manager
---@return string? message the address cannot be listened at
---@return integer? errno
function managers.Manager(opts)
  return construct(SyncManager, opts, "Manager"):start()
end

return managers
