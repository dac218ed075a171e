-- A Lua process takes part in a queue.Queue of Python: a Python program serves
-- two queues with a BaseManager and works on what comes through one of them.
-- The two share a key, which goes through a pipe and is in no command line.
local mp = require "mp"
local pickle = mp.pickle

if not os.execute("command -v python3 >/dev/null") then
  print("python3 is not installed")
  return
end

-- What multiprocessing.managers says to its server: a connection for each
-- request, or one for all calls on an object.
local Manager = {}
Manager.__index = Manager

local function ask(conn, request)
  assert(conn:send_bytes(pickle.dumps(request)))
  local reply = assert(pickle.loads(assert(conn:recv_bytes())))
  local kind, value = reply[1], reply[2]
  if kind == "#RETURN" then return value end
  error(("the manager says %s: %s"):format(kind, value))
end

function Manager:connect()
  return assert(mp.connection.Client { address = self.address,
    authkey = self.authkey, timeout = 10 })
end

function Manager:request(name, ...)
  local conn <close> = self:connect()
  return ask(conn, pickle.tuple(pickle.None, name, pickle.tuple(...),
    pickle.dict {}))
end

--- An object of the manager: its methods are called there.
function Manager:object(name)
  local made = self:request("create", name) -- (ident, exposed methods)
  local ident = made[1]
  self:request("incref", ident)
  local conn = self:connect()
  ask(conn, pickle.tuple(pickle.None, "accept_connection",
    pickle.tuple("lua"), pickle.dict {}))
  return setmetatable({}, {
    __index = function(_, method)
      return function(_, ...)
        return ask(conn, pickle.tuple(ident, method, pickle.tuple(...),
          pickle.dict {}))
      end
    end,
    __close = function()
      conn:close()
      self:request("decref", ident)
    end,
  })
end

-- The Python program: we read what it prints, and write through a FIFO of the
-- shell's own.
local function random_key()
  local file <close> = assert(io.open("/dev/urandom", "rb"))
  return (file:read(16):gsub(".", function(c)
    return ("%02x"):format(c:byte())
  end))
end

local dir = arg[0]:match("^(.*)/") or "."
local key, fifo = random_key(), os.tmpname()
os.remove(fifo)
assert(os.execute("mkfifo -m 600 " .. fifo))
local peer <close> = assert(io.popen(("exec python3 %s/python_queue.py <%s")
  :format(dir, fifo)))
local to_peer <close> = assert(io.open(fifo, "w"))
os.remove(fifo)
to_peer:write(key, "\n"):flush()

local manager = setmetatable({ authkey = key,
  address = { "127.0.0.1", assert(peer:read("n"), "python3 did not start") },
}, Manager)
local jobs <close> = manager:object("jobs")
local results <close> = manager:object("results")

for _, text in ipairs { "one", "twelve", "\u{e9}t\u{e9}" } do
  jobs:put { text = text }
end
for _ = 1, 3 do
  local result = results:get()
  print(("python counted %d letters in %s"):format(result.length,
    result.text))
end
jobs:put(pickle.None)
peer:read()
print((peer:read()))
print(("results left: %d"):format(results:qsize()))
