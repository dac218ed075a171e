--- Listener and Client: connections to processes outside the family.
local blame = require "mp.error".blame
local core = require "mp.core"
local handle = require "mp.handle"
local options = require "mp.options"

local listen = {}

-- Addresses ------------------------------------------------------------------

local function is_host(address)
  return type(address) == "table" and type(address[1]) == "string"
    and (address[2] == nil or math.type(address[2]) == "integer")
end

--- The family that an address belongs to.
local function family_of(address)
  if type(address) == "string" then return "AF_UNIX" end
  if is_host(address) then
    return address[1]:find(":", 1, true) and "AF_INET6" or "AF_INET"
  end
end

local FAMILIES = { AF_UNIX = true, AF_INET = true, AF_INET6 = true }

--- Family, name and port of an address; raises for what is none.
local function parse(what, address, family)
  if family ~= nil and not FAMILIES[family] then
    blame(("%s: unknown family '%s' (valid: AF_INET, AF_INET6, AF_UNIX)")
      :format(what, tostring(family)))
  end
  local implied = family_of(address)
  if not implied or (family == "AF_UNIX") ~= (implied == "AF_UNIX")
    and family ~= nil then
    blame(("%s: address must be %s"):format(what, family == "AF_UNIX"
      and "a path" or family and "{host, port}" or "a path or {host, port}"))
  end
  if implied == "AF_UNIX" then
    if address == "" or address:find("\0", 2, true) then
      blame(what .. ": a path has at least one byte, and no NUL in it")
    end
    return "AF_UNIX", address
  end
  local port = address[2] or 0
  if port < 0 or port > 65535 or address[1]:find("\0", 1, true) then
    blame(what .. ": a port is 0 to 65535, a host has no NUL in it")
  end
  return family or implied, address[1], port
end

--- The address as scripts know it.
local function compose(family, name, port)
  if family == nil or family == "AF_UNIX" then return name end
  return { name, port }
end

local function text(family, name, port)
  if family ~= "AF_UNIX" then
    return (family == "AF_INET6" and "[%s]:%d" or "%s:%d"):format(name, port)
  end
  return (name:gsub("^%z", "@"))
end

--- The text of an address, for messages.
---@param address string|table
---@return string
function listen.address_text(address)
  if type(address) == "string" then return text("AF_UNIX", address) end
  return text(family_of(address), address[1], address[2] or 0)
end

-- Options --------------------------------------------------------------------

local COMMON = {
  address = true, family = "string", authkey = "string", require = "string",
  auth_timeout = "number", any_user = "boolean", trusted = "boolean",
  max_message = "number",
}

local LISTENER, CLIENT = { backlog = "number" }, { timeout = "number" }
for name, kind in pairs(COMMON) do
  LISTENER[name], CLIENT[name] = kind, kind
end

local function check(what, opts, valid)
  if type(opts) ~= "table" then
    blame(what .. ": a table of options was expected, not a " .. type(opts))
  end
  options.check(what, opts, valid)
  if opts.require ~= nil and opts.require ~= "sha256" then
    blame(what .. ": option 'require' can only be \"sha256\"")
  end
  local patience = opts.auth_timeout
  if patience and not (patience > 0 and patience < 1e9) then
    blame(what .. ": option 'auth_timeout' must be positive")
  end
  local limit = opts.max_message
  if limit and not (math.type(limit) == "integer" and limit >= 0) then
    blame(what .. ": option 'max_message' must be a number of bytes")
  end
end

-- Listener -------------------------------------------------------------------

---@class mp.Listener
---@field address string|table where it listens; a port 0 resolved
---@field last_accepted string|table|nil where the last client came from
---@field closed boolean
local Listener = { fileno = core.listener_fileno }

-- What belongs to a listener, its key among it, that no tostring shows.
local private = setmetatable({}, { __mode = "k" })

--- The next client that has shown that it has the key.
---@param timeout? number seconds
---@return mp.Connection? connection
---@return string? reason "timeout"; "auth: ..." when one was turned away
function Listener:accept(timeout)
  local own = private[self]
  if not own then error("accept: a mp.Listener was expected", 2) end
  local conn, family, name, port =
    core.accept(self, own, own.authkey, timeout)
  if not conn then return nil, family end
  own.last_accepted = compose(family, name, port)
  return conn
end

--- Stop listening; the file of a unix socket goes away.
function Listener:close()
  core.listener_close(self)
end

local mt = handle.metatable("mp.Listener")

function mt:__index(key)
  if key == "address" then return private[self].address end
  if key == "last_accepted" then return private[self].last_accepted end
  if key == "closed" then return core.listener_address(self) == nil end
  return Listener[key]
end

function mt:__close() core.listener_close(self) end

function mt:__tostring()
  return ("mp.Listener (%s%s): %p"):format(
    listen.address_text(private[self].address),
    self.closed and ", closed" or "", self)
end

--- Listen.  Without an address: on a unix socket of mode 0600 in a directory
--- of its own.
---@param opts? mp.ListenerOptions
---@return mp.Listener? listener
---@return string? message why not
---@return integer? errno
function listen.Listener(opts)
  opts = opts or {}
  check("Listener", opts, LISTENER)
  local address, family, key = opts.address, opts.family, opts.authkey
  if key == "" then return nil, "auth: the key is empty" end
  if address == nil and family and family ~= "AF_UNIX" then
    address = { family == "AF_INET6" and "::1" or "127.0.0.1", 0 }
  end
  local listener, message, code
  local backlog = math.tointeger(opts.backlog or 1024)
  if not backlog or backlog < 1 or backlog > 0x7fffffff then
    error("Listener: option 'backlog' must be a positive integer", 2)
  end
  if address == nil then
    listener, message, code = core.listen(opts, backlog)
  else
    local kind, name, port = parse("Listener", address, family)
    if kind == "AF_UNIX" and name:sub(1, 1) == "\0" and not key then
      error("Listener: an abstract name has no file that others cannot open, "
        .. "so it needs an authkey", 2)
    end
    listener, message, code = core.listen(opts, backlog, kind, name, port)
  end
  if not listener then return nil, message, code end
  private[listener] = {
    authkey = key, trusted = opts.trusted, max_message = opts.max_message,
    address = compose(core.listener_address(listener)),
  }
  return listener
end

--- Connect to a Listener, ours or Python's.
---@param opts mp.ClientOptions
---@return mp.Connection? connection
---@return string? reason "timeout", "auth: ...", or a message
---@return integer? errno
function listen.Client(opts)
  check("Client", opts, CLIENT)
  local family, name, port = parse("Client", opts.address, opts.family)
  return core.dial(family, name, port, opts, opts.authkey, opts.timeout)
end

return listen
