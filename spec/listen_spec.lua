-- Listener and Client: addresses, keys, and everybody who may be at the
-- other end, a Python among them.
local helper = require "helper"
local mp = require "mp"
local python = require "python"

local host = helper.host
local Listener, Client = mp.connection.Listener, mp.connection.Client
local KEY = "secret"
local LONG = helper.LONG

local function start(f, ...)
  return mp.get_context("fork").Process(f, ...):start()
end

--- A process that connects, and what it then returns is `result`.
local function client(listener, opts, f)
  return start(function()
    opts.address = listener.address
    local conn, why = Client(opts)
    if not conn then return nil, why end
    if f then return f(conn) end
    return conn:recv()
  end)
end

local function path_of(name)
  return ("/tmp/luamp_spec_%d_%s"):format(host.getpid(), name)
end

local keyed = helper.it_with "libcrypto"

describe("Listener:", function()
  it("each family connects, and resolves port 0", function()
    for _, family in ipairs { "AF_UNIX", "AF_INET", "AF_INET6" } do
      local listener <close> = assert(Listener { family = family })
      assert.same({ nil, "timeout" }, { listener:accept(0) })
      local there <close> = assert(Client { address = listener.address })
      assert.same({ listener }, mp.wait({ listener }, LONG))
      local here <close> = assert(listener:accept(LONG))
      there:send({ "value", 1.5 })
      assert.same({ "value", 1.5 }, here:recv(LONG))
      here:send_bytes("bytes")
      assert.equal("bytes", there:recv_bytes())
      if family ~= "AF_UNIX" then
        assert.is_true(listener.address[2] > 0)
        assert.is_true(listener.last_accepted[2] > 0)
      end
    end
  end)

  it("an own socket is 0600 in a directory 0700, both gone at close",
    function()
      local listener = assert(Listener())
      local dir = listener.address:match("^(.*)/")
      local modes = io.popen(("stat -c %%a %s %s"):format(listener.address,
        dir))
      assert.equal("600\n700\n", modes:read("a"))
      modes:close()
      listener:close()
      assert.is_true(listener.closed)
      assert.is_nil(host.list(dir))
      assert.has_error(function() listener:accept(0) end)
    end)

  keyed("an address in use is refused, and left alone", function()
    local path = path_of("used")
    local one <close> = assert(Listener { address = path })
    local two, message, code = Listener { address = path }
    assert.is_nil(two)
    assert.equal("Listener: Address already in use", message)
    assert.equal(98, code)
    local other <close> = assert(Client { address = one.address })
    local mine <close> = assert(one:accept(LONG))
    mine:send(1)
    assert.equal(1, other:recv())
  end)

  it("the file of a killed owner is replaced", function()
    local path = path_of("stale")
    local owner = start(function()
      _G.kept = assert(Listener { address = path })
      mp.current_process():kill()
    end)
    owner:join()
    assert.equal(-9, owner.exitcode)
    local listener <close> = assert(Listener { address = path })
    local there <close> = assert(Client { address = path })
    assert(listener:accept(LONG)):close()
    assert.is_false(there.closed)
  end)

  keyed("bad addresses are refused with the reason", function()
    local long = "/tmp/" .. ("x"):rep(200)
    assert.same({ nil, "Listener: File name too long", 36 },
      { Listener { address = long } })
    assert.same({ nil, "Client: No such file or directory", 2 },
      { Client { address = "/nonexistent/socket" } })
    assert.same({ nil, "Client: Connection refused", 111 },
      { Client { address = { "127.0.0.1", 1 } } })
    local none, message = Client { address = { "no.such.host.invalid", 80 } }
    assert.is_nil(none)
    assert.matches("names nothing", message)
    for _, bad in ipairs { "", "a\0b", {}, { 1, 2 }, { "h", 70000 },
      { "h", -1 }, { "h\0", 1 }, 12, true } do
      assert.has_error(function() Client { address = bad } end)
      assert.has_error(function() Listener { address = bad } end)
    end
    assert.has_error(function() Client {} end)
    assert.has_error(function()
      Listener { address = "/tmp/x", family = "AF_INET" }
    end)
    assert.has_error(function() Listener { family = "AF_IRDA" } end)
    assert.error_matches(function() Listener { adress = "/tmp/x" } end,
      "unknown option 'adress'")
  end)

  keyed("abstract names are had with a key only", function()
    local name = "\0luamp-spec-" .. host.getpid()
    assert.error_matches(function() Listener { address = name } end,
      "needs an authkey")
    local listener <close> = assert(Listener { address = name,
      authkey = KEY })
    assert.matches("@luamp%-spec", tostring(listener))
    local process <close> = client(listener, { authkey = KEY })
    local conn <close> = assert(listener:accept(LONG))
    conn:send(7)
    assert.equal(7, process:result(LONG))
  end)
end)

describe("a key:", function()
  local function try(ours, theirs, opts)
    opts = opts or {}
    opts.authkey = ours
    opts.auth_timeout = opts.auth_timeout or 0.3
    local listener <close> = assert(Listener(opts))
    local process <close> = client(listener, { authkey = theirs,
      auth_timeout = 0.3 })
    local conn, why = listener:accept(LONG)
    if conn then conn:send("good") end
    return why or "good", table.pack(process:result(LONG))
  end

  keyed("both have it", function()
    local why, theirs = try(KEY, KEY)
    assert.equal("good", why)
    assert.equal("good", theirs[1])
  end)

  keyed("it may be any bytes, however long", function()
    assert.equal("good", try(("k"):rep(1000), ("k"):rep(1000)))
    assert.equal("good", try("\0", "\0"))
  end)

  keyed("a wrong one is told to both", function()
    local why, theirs = try(KEY, "Secret")
    assert.equal("auth: wrong key", why)
    assert.equal("auth: wrong key", theirs[2])
  end)

  keyed("one side alone has it: an error in time", function()
    local why, theirs = try(KEY, nil)
    assert.matches("^auth: ", why)
    assert.is_nil(theirs[1])
    local listener <close> = assert(Listener())
    assert.same({ nil, "auth: the peer did not answer in time" },
      { Client { address = listener.address, authkey = KEY,
        auth_timeout = 0.05 } })
    assert.same({ nil, "timeout" },
      { Client { address = listener.address, authkey = KEY,
        timeout = 0.05 } })
  end)

  it("an empty one is refused", function()
    assert.same({ nil, "auth: the key is empty" },
      { Listener { authkey = "" } })
    local listener <close> = assert(Listener { authkey = KEY })
    assert.same({ nil, "auth: the key is empty" },
      { Client { address = listener.address, authkey = "" } })
  end)

  keyed("silent clients do not keep a good one waiting", function()
    local listener <close> = assert(Listener { authkey = KEY })
    local silent = {}
    for i = 1, 100 do
      silent[i] = assert(Client { address = listener.address })
    end
    local process <close> = client(listener, { authkey = KEY })
    local begin = host.now()
    local conn <close> = assert(listener:accept(LONG))
    conn:send(1)
    assert.equal(1, process:result(LONG))
    assert.is_true(host.now() - begin < LONG / 2)
    for _, other in ipairs(silent) do other:close() end
  end)

  keyed("an accept that times out leaves the handshake to the next", function()
    local listener <close> = assert(Listener { authkey = KEY })
    local process <close> = client(listener, { authkey = KEY })
    local tries = 0
    local conn
    helper.eventually(function()
      tries = tries + 1
      conn = listener:accept(0)
      return conn
    end, LONG)
    assert.is_true(tries > 1)
    conn:send(1)
    conn:close()
    assert.equal(1, process:result(LONG))
  end)

  it("is in no tostring", function()
    local listener <close> = assert(Listener { authkey = "the key" })
    assert.is_nil(tostring(listener):find("the key", 1, true))
    assert.is_nil(listener.authkey)
  end)

  keyed("libcrypto is not loaded before it is used", function()
    local out = helper.output([[
      local l <close> = mp.connection.Listener()
      local c <close> = mp.connection.Client{address = l.address}
      local function loaded()
        return io.open("/proc/self/maps"):read("a"):find("libcrypto") ~= nil
      end
      print(loaded())
      mp.connection.Client{address = l.address, authkey = "k",
        auth_timeout = 0.01}
      print(loaded())]])
    assert.equal("false\ntrue\n", out)
  end)
end)

describe("what a peer sends", function()
  it("holds no functions, unless it is trusted", function()
    for _, trusted in ipairs { false, true } do
      local listener <close> = assert(Listener { trusted = trusted })
      local there <close> = assert(Client { address = listener.address })
      local here <close> = assert(listener:accept(LONG))
      there:send { f = function() return 42 end }
      local got, why = here:recv(LONG)
      if trusted then
        assert.equal(42, got.f())
      else
        assert.same({ nil, "protocol" }, { got, why })
        assert.is_true(here.closed)
      end
    end
  end)

  it("is no longer than max_message", function()
    local listener <close> = assert(Listener { max_message = 1000 })
    local there <close> = assert(Client { address = listener.address })
    local here <close> = assert(listener:accept(LONG))
    there:send_bytes(("x"):rep(1000))
    assert.equal(1000, #here:recv_bytes())
    there:send_bytes(("x"):rep(1001))
    assert.error_matches(function() here:recv_bytes() end, "too long")
    assert.is_true(here.closed)
  end)

  it("a connection goes on to another process, trust and all", function()
    local listener <close> = assert(Listener { trusted = true })
    local there <close> = assert(Client { address = listener.address })
    local here = assert(listener:accept(LONG))
    local a, b = mp.Pipe()
    local process <close> = start(function(pipe)
      local conn = pipe:recv()
      return conn:recv(LONG)()
    end, b)
    a:send(here)
    there:send(function() return "ran" end)
    assert.equal("ran", process:result(LONG))
    here:close()
    a:close()
    b:close()
  end)
end)

describe("no descriptors left:", function()
  keyed("accept and connect raise, and go on later", function()
    local out = helper.output([[
      local l = assert(mp.connection.Listener())
      local c = assert(mp.connection.Client{address = l.address})
      local held = {}
      while true do
        local file = io.open("/dev/null")
        if not file then break end
        held[#held + 1] = file
      end
      print(pcall(l.accept, l, 0))
      print(pcall(mp.connection.Client, {address = l.address}))
      print(pcall(mp.connection.Listener))
      held[#held]:close()
      print(l:accept(0) ~= nil)]], { before = "prlimit --nofile=40" })
    assert.equal(3, select(2, out:gsub("[no] file", "")))
    assert.matches("true\n$", out)
  end)
end)

-- Python ---------------------------------------------------------------------

local AS_CLIENT = [[
import sys
from multiprocessing.connection import Client
where = sys.argv[1] if len(sys.argv) == 3 else (sys.argv[1], int(sys.argv[3]))
try:
    with Client(where, authkey=sys.argv[2].encode()) as c:
        c.send_bytes(c.recv_bytes()[::-1])
        c.send({"n": [1, None, "x"]})
        print("done")
except Exception as e:
    print(type(e).__name__)
]]

local AS_LISTENER = [[
import sys
from multiprocessing.connection import Listener
l = Listener(None, sys.argv[1], authkey=sys.argv[2].encode())
a = l.address
print(a if isinstance(a, str) else "%s %d" % a, flush=True)
try:
    with l.accept() as c:
        c.send_bytes(c.recv_bytes()[::-1])
        print("done")
except Exception as e:
    print(type(e).__name__)
l.close()
]]

for version, program in pairs(python.all()) do
  describe("Python " .. version, function()
    for _, family in ipairs { "AF_UNIX", "AF_INET" } do
      keyed("as client over " .. family, function()
        local listener <close> = assert(Listener { family = family,
          authkey = KEY })
        local address = listener.address
        local peer <close> = family == "AF_UNIX"
          and python.start(program, AS_CLIENT, address, KEY)
          or python.start(program, AS_CLIENT, address[1], KEY, address[2])
        local conn <close> = assert(listener:accept(LONG))
        conn:send_bytes("abc")
        assert.equal("cba", conn:recv_bytes())
        local value = mp.pickle.loads(conn:recv_bytes())
        assert.same({ 1, nil, "x", n = 3 },
          { value.n[1], value.n[2], value.n[3], n = value.n.n })
        assert.equal("done\n", peer:read("a"))
      end)

      keyed("as listener over " .. family, function()
        local peer <close> = python.start(program, AS_LISTENER, family, KEY)
        local line = peer:read()
        local ip, port = line:match("^(%S+) (%d+)$")
        local conn <close> = assert(Client { authkey = KEY, timeout = LONG,
          address = ip and { ip, math.tointeger(port) } or line })
        conn:send_bytes(("xyz"):rep(100000))
        assert.equal(("zyx"):rep(100000), conn:recv_bytes())
        assert.equal("done\n", peer:read("a"))
      end)
    end

    keyed("with another key", function()
      local listener <close> = assert(Listener { authkey = "other" })
      local peer <close> = python.start(program, AS_CLIENT, listener.address,
        KEY)
      assert.same({ nil, "auth: wrong key" }, { listener:accept(LONG) })
      assert.equal("AuthenticationError\n", peer:read("a"))
      local peer2 <close> = python.start(program, AS_LISTENER, "AF_UNIX", KEY)
      assert.same({ nil, "auth: wrong key" },
        { Client { address = peer2:read(), authkey = "other" } })
      assert.equal("AuthenticationError\n", peer2:read("a"))
    end)

    keyed("with sha256 demanded", function()
      local new = tonumber(version:match("%.(%d+)")) >= 12
      local listener <close> = assert(Listener { authkey = KEY,
        require = "sha256" })
      local peer <close> = python.start(program, AS_CLIENT, listener.address,
        KEY)
      local conn, why = listener:accept(LONG)
      assert.equal(new, conn ~= nil)
      if conn then conn:close() end
      if not new then assert.equal("auth: the peer knows only md5", why) end
      peer:read("a")
    end)
  end)
end
