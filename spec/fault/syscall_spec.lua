-- T3: each system call fails once, the n-th time, in what the API does.
--
-- A dry run under strace lists the calls of a scenario after its mark; then
-- each of them (the first few of a name) fails with each of its errors, in the
-- process and in its children.  It may be an error of Lua's, or go unnoticed:
-- but the program ends in time, by no signal, leaves no process and no name,
-- and what it says is right.
local helper = require "helper"
local host = helper.host

local FEW = tonumber(os.getenv("SYSCALLS")) or 4 -- of a name, a scenario

-- What can happen to them; all others only lack.
local ERRORS = {
  memfd_create = { "EMFILE", "ENOMEM" }, fallocate = { "ENOSPC", "EINTR" },
  mmap = { "ENOMEM" }, socketpair = { "EMFILE" }, eventfd2 = { "EMFILE" },
  epoll_create1 = { "EMFILE" }, epoll_ctl = { "ENOMEM", "ENOSPC" },
  epoll_wait = { "EINTR" }, epoll_pwait2 = { "EINTR", "ENOSYS" },
  pidfd_open = { "EMFILE", "ENOMEM" }, pidfd_send_signal = { "EPERM" },
  clone3 = { "EAGAIN", "ENOMEM" }, clone = { "EAGAIN" }, vfork = { "EAGAIN" },
  waitid = { "EINTR" }, futex_waitv = { "ENOSYS", "EPERM", "EINTR" },
  sendmsg = { "EINTR", "ENOBUFS", "EAGAIN" }, recvmsg = { "EINTR", "ENOMEM" },
  sendto = { "EINTR" }, recvfrom = { "EINTR" },
  poll = { "EINTR", "ENOMEM" }, ppoll = { "EINTR", "ENOMEM" },
  pipe2 = { "EMFILE" }, socket = { "EMFILE" }, bind = { "EADDRINUSE" },
  accept4 = { "ECONNABORTED", "EMFILE", "EINTR" },
  connect = { "ECONNREFUSED" }, listen = { "EADDRINUSE" },
  linkat = { "EEXIST", "EPERM" }, unlink = { "EACCES" },
  ftruncate = { "EINTR" }, execve = { "ENOMEM", "E2BIG" },
  getrandom = { "EINTR", "ENOSYS" },
  close_range = { "ENOSYS" }, madvise = { "ENOMEM" },
  flock = { "EINTR" }, statx = { "ENOSYS" }, dup3 = { "EMFILE" },
}

local MARK = "/luamp/mark"

local SCENARIOS = {
  fork = [[
    local p = mp.get_context "fork".Process(function(x) return x end, 5)
    assert(p:start():result() == 5 and p.exitcode == 0)
    local q = mp.get_context "fork".Process{ daemon = true,
      target = function() require "host".sleep(100) end }:start()
    q:kill()
    assert(q:join() and q.exitcode == -9)]],
  spawn = [[
    local p = mp.get_context "spawn".Process(function(x) return x end, 5)
    assert(p:start():result() == 5 and p.exitcode == 0)]],
  forkserver = [[
    local p = mp.get_context "forkserver".Process(function(x) return x end, 5)
    assert(p:start():result() == 5 and p.exitcode == 0)]],
  thread = [[
    local p = mp.get_context "thread".Process(function(x) return x end, 5)
    assert(p:start():result() == 5 and p.exitcode == 0)]],
  pipe = [[
    local a, b = mp.Pipe()
    local long = ("x"):rep(1 << 20)
    a:send(long)
    assert(b:recv() == long)
    a:fileno()
    b:send{ a }
    assert(a:recv()[1] == a)
    local p = mp.Process(function() a:send(b:recv()) end):start()
    a:send "x"
    p:join()]],
  queue = [[
    local q, e = mp.JoinableQueue(2), mp.Event()
    local p = mp.Process{ daemon = true, target = function()
      while true do q:get() q:task_done() e:set() end
    end }:start()
    for i = 1, 5 do
      if not q:put({ i, ("x"):rep(10000) }, 3) then error "no consumer" end
    end
    if not q:join(3) or not e:wait(3) then error "no consumer" end
    q:fileno()
    mp.wait({ q }, 0)
    p:kill()
    p:join()]],
  lock = [[
    local l = mp.Lock()
    local p = mp.Process(function() l:acquire() end):start()
    p:join()
    local ok, why = l:acquire(5)
    assert(ok and why == "abandoned" or p.exitcode == 1)
    if ok then l:release() end
    local v = mp.Value("i", 1)
    v:get_lock()
    assert(#mp.Array("d", 20000) == 20000)]],
  block = [[
    local m = assert(mp.shared_memory.SharedMemory{ create = true,
      size = 200000 })
    m.buf:set("i", 100000, 7)
    local p = mp.Process(function() return m.buf:get("i", 100000) end)
    assert(p:start():result() == 7)
    m:close()
    m:unlink()]],
  socket = [[
    local l = assert(mp.connection.Listener{ authkey = "key" })
    local p = mp.Process{ daemon = true, target = function()
      local c = assert(mp.connection.Client{ address = l.address,
        authkey = "key" })
      c:send(c:recv())
    end }:start()
    local c = l:accept(3) or error "no client"
    c:send "x"
    assert(c:recv() == "x")
    p:join()
    c:close()
    l:close()]],
  pool = [[
    local pool <close> = mp.Pool(2)
    local list = {}
    for i = 1, 20 do list[i] = i end
    assert(pool:map(function(x) return x * 2 end, list)[20] == 40)]],
}

local function script(text)
  return ([[
    io.open(%q)
    local ok, why = xpcall(function() %s end, debug.traceback)
    print(ok and "ok" or "error: " .. tostring(why))]]):format(MARK, text)
end

-- Which calls of each name come behind the mark: name -> first, last.
local function listed(text)
  local log = os.tmpname()
  local r = helper.run(script(text), { before = "strace -qq -o " .. log })
  assert.equal("ok\n", r.out, r.err)
  local calls, marked = {}, false
  for line in io.lines(log) do
    local name = line:match "^([%w_]+)%("
    if line:find(MARK, 1, true) then marked = true end
    if name and ERRORS[name] then
      local c = calls[name] or { first = 1, last = 0 }
      calls[name] = c
      c.last = c.last + 1
      if not marked then c.first = c.last + 1 end
    end
  end
  os.remove(log)
  return calls
end

local function names_of_ours()
  local n = 0
  for _, name in ipairs(host.list "/dev/shm") do
    if name:find "^psm_" then n = n + 1 end
  end
  return n
end

local function fails(text, what)
  local dir = names_of_ours()
  local r = helper.run(script(text), { limit = 20,
    before = "strace -f -qq -o /dev/null -e inject=" .. what })
  assert.is_true(r.code == 0 or r.code == 1, what .. ": ended by "
    .. r.code .. "\n" .. r.out .. r.err)
  assert.is_true(r.out:find "ok\n" ~= nil or r.out:find "error: " ~= nil
    or r.err ~= "", what .. ": says nothing")
  assert.not_matches("assertion failed", r.out, what)
  if not what:find "^unlink" then
    assert.is_true(names_of_ours() <= dir, what .. ": a name is left")
  end
end

describe("system calls that fail:", function()
  for name, text in pairs(SCENARIOS) do
    it("T3 " .. name, function()
      helper.slow(600)
      local wrong = {}
      for call, c in pairs(listed(text)) do
        for _, errno in ipairs(ERRORS[call]) do
          for n = c.first, math.min(c.last, c.first + FEW - 1) do
            local what = ("%s:error=%s:when=%d"):format(call, errno, n)
            local good, why = pcall(fails, text, what)
            if not good then wrong[#wrong + 1] = tostring(why) end
          end
        end
      end
      assert.equal("", table.concat(wrong, "\n"))
    end)
  end
end)
