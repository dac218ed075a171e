---@meta _
-- The reference of listeners and clients: processes outside the family.

---@class mp
local mp = {}

-- Sockets -----------------------------------------------------------------

--- A path (a leading NUL: an abstract name), or {host, port}.
---@alias mp.Address string|{[1]: string, [2]: integer}

---@class mp.PeerOptions
---@field address? mp.Address
---@field family? "AF_UNIX"|"AF_INET"|"AF_INET6" default: the address's
---@field authkey? string both sides show that they have it (HMAC, as Python's
--- multiprocessing does; nothing is encrypted: beyond this machine use a
--- tunnel)
---@field auth_timeout? number seconds for the handshake; default 20
---@field require? "sha256" refuse a peer that knows only md5 (Python < 3.12)
---@field any_user? boolean unix sockets: also peers of other users
---@field trusted? boolean what arrives may hold functions; default false
---@field max_message? integer bytes; a longer one raises and closes the
--- connection

---@class mp.ListenerOptions : mp.PeerOptions
---@field backlog? integer default 1024

---@class mp.ClientOptions : mp.PeerOptions
---@field timeout? number seconds for connecting, handshake included

--- Takes in processes outside the family.  `<close>` closes it.
---@class mp.Listener
---@field address mp.Address where it listens; a port 0 is resolved
---@field last_accepted? mp.Address where the last client came from
---@field closed boolean
local Listener = {}

--- The next client; with an authkey, the next that has shown that it has it.
--- Silent or hostile clients keep nobody waiting; handshakes under way go on in
--- the next call.
---@param timeout? number seconds
---@return mp.Connection? connection
---@return string? reason "timeout"; "auth: ..." when a client was turned away
function Listener:accept(timeout) end

--- A descriptor for event loops: readable while accept has something to do.
---@return integer fd
function Listener:fileno() end

--- Stop listening; the file of a unix socket goes away with its creator's.
function Listener:close() end

--- Listen.  Default: a unix socket of mode 0600 in a new directory of mode
--- 0700.  An address where somebody listens is refused; the file of a listener
--- that was killed is replaced.  Abstract names need an authkey.
---@param options? mp.ListenerOptions
---@return mp.Listener? listener
---@return string? message or "auth: the key is empty"
---@return integer? errno
function mp.connection.Listener(options) end

--- Connect to a Listener, ours or Python's.
---@param options mp.ClientOptions
---@return mp.Connection? connection
---@return string? reason "timeout", "auth: ...", or a message
---@return integer? errno
function mp.connection.Client(options) end
