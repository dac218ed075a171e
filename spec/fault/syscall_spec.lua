-- T3: each system call fails once, the n-th time, in what the API does; and
-- whoever comes to it for the n-th time is killed there.
--
-- A dry run under strace lists the calls of a scenario behind its mark, of the
-- process and of its children.  Then each of them fails with each error that it
-- may have, wherever it is the n-th of a process: that may be an error of
-- Lua's, or go unnoticed: but the program ends in time, by no signal, leaves no
-- process and no name, and what it says is right.  Killed instead, all the
-- others end in time.
--
-- SYSCALLS=n takes the first n calls of a name, of each process; EVERY=n one in
-- n of the runs, EVERY's rest from SEED.
local helper = require "helper"
local host = helper.host
local scenarios = dofile "spec/fault/scenarios.lua"

local FEW = tonumber(os.getenv("SYSCALLS")) or 8
local EVERY = tonumber(os.getenv("EVERY")) or 1
local SEED = tonumber(os.getenv("SEED")) or os.time()

-- What can happen to them.  What is not here cannot fail for a reason that we
-- should survive (exit), or is the C library's own (mprotect), or the script's
-- way to tell us (write).
local ERRORS = {
  memfd_create = { "EMFILE", "ENFILE", "ENOMEM", "ENOSYS", "EPERM" },
  fallocate = { "ENOSPC", "EINTR", "EIO", "EPERM" },
  mmap = { "ENOMEM", "EPERM" }, munmap = { "ENOMEM" },
  socketpair = { "EMFILE", "ENFILE", "ENOMEM" },
  eventfd2 = { "EMFILE", "ENFILE", "ENOMEM" },
  epoll_create1 = { "EMFILE", "ENFILE", "ENOMEM" },
  epoll_ctl = { "ENOMEM", "ENOSPC", "EPERM" },
  epoll_wait = { "EINTR" }, epoll_pwait2 = { "EINTR", "ENOSYS", "EPERM" },
  pidfd_open = { "EMFILE", "ENFILE", "ENOMEM", "ENOSYS", "EPERM" },
  pidfd_send_signal = { "EPERM", "ENOSYS" },
  clone3 = { "EAGAIN", "ENOMEM", "ENOSYS", "EPERM" },
  clone = { "EAGAIN", "ENOMEM", "EPERM" }, vfork = { "EAGAIN", "ENOMEM" },
  waitid = { "EINTR" }, wait4 = { "EINTR" },
  futex_waitv = { "ENOSYS", "EPERM", "EINTR", "EAGAIN", "ENOMEM" },
  sendmsg = { "EINTR", "ENOBUFS", "EAGAIN", "ENOMEM", "EIO" },
  recvmsg = { "EINTR", "ENOMEM", "EIO" },
  sendto = { "EINTR", "ENOBUFS", "ENOMEM" }, recvfrom = { "EINTR", "ENOMEM" },
  poll = { "EINTR", "ENOMEM" }, ppoll = { "EINTR", "ENOMEM" },
  pipe2 = { "EMFILE", "ENFILE" }, socket = { "EMFILE", "ENFILE", "EPERM" },
  bind = { "EADDRINUSE", "EPERM", "ENOSPC" },
  accept4 = { "ECONNABORTED", "EMFILE", "ENFILE", "EINTR", "ENOMEM" },
  connect = { "ECONNREFUSED", "EINTR", "EAGAIN" }, listen = { "EADDRINUSE" },
  linkat = { "EEXIST", "EPERM", "ENOSPC", "EIO" },
  unlink = { "EACCES", "EIO" }, mkdir = { "ENOSPC", "EPERM", "EEXIST" },
  rmdir = { "EIO" }, ftruncate = { "EINTR", "EIO" },
  execve = { "ENOMEM", "E2BIG", "EPERM", "EIO" },
  getrandom = { "EINTR", "ENOSYS", "EPERM" },
  close_range = { "ENOSYS", "EPERM" }, madvise = { "ENOMEM" },
  flock = { "EINTR", "EIO" }, statx = { "ENOSYS", "EPERM" },
  dup3 = { "EMFILE", "EINTR" }, fcntl = { "EMFILE", "EPERM" },
  openat = { "EMFILE", "ENFILE", "ENOMEM", "EINTR", "EIO" },
  read = { "EINTR", "EIO" }, ioctl = { "EIO" }, fstat = { "EIO" },
  getsockopt = { "ENOMEM" }, setsockopt = { "ENOMEM" },
  setsid = { "EPERM" }, prctl = { "EPERM" }, rt_sigprocmask = { "EINVAL" },
  sched_getaffinity = { "EPERM", "ENOSYS" }, prlimit64 = { "EPERM" },
  getdents64 = { "EIO" }, shutdown = { "ENOTCONN" }, chmod = { "EPERM" },
  fchmod = { "EPERM" },
}

local MARK = "/luamp/mark"

local function script(text)
  return ([[
    io.open(%q)
    local ok, why = xpcall(function() %s end, debug.traceback)
    print(ok and "ok" or "error: " .. tostring(why))]]):format(MARK, text)
end

-- Which calls come behind the mark: name -> those numbers of it that some
-- process comes to, counted in each process for itself, as strace does.  Not
-- those that the first one comes to before the mark: it would never get there.
local function listed(text)
  local log = os.tmpname()
  local r = helper.run(script(text), { before = "strace -f -qq -o " .. log })
  assert.equal("ok\n", r.out, r.err)
  local calls, counts, behind, before, marked = {}, {}, {}, {}, false
  for line in io.lines(log) do
    local pid, name = line:match "^(%d+) +([%w_]+)%("
    if line:find(MARK, 1, true) then marked = true end
    if name then
      local key = pid .. name
      counts[key] = (counts[key] or 0) + 1
      if not marked then
        before[name] = counts[key]
      elseif counts[key] > (before[name] or 0)
        and (behind[key] or 0) < FEW then
        behind[key] = (behind[key] or 0) + 1
        calls[name] = calls[name] or {}
        calls[name][counts[key]] = true
      end
    end
  end
  os.remove(log)
  return calls
end

local function names_of_ours()
  local names = {}
  for _, name in ipairs(host.list "/dev/shm") do
    if name:find "^psm_" then names[name] = true end
  end
  return names
end

-- Other suites that run meanwhile have names of their own, which go.
local function none_is_left(before)
  local new = names_of_ours()
  helper.eventually(function()
    local now = names_of_ours()
    for name in pairs(new) do
      if now[name] and not before[name] then return false end
    end
    return true
  end, 10, "the end of a name")
end

local function run(text, what)
  return helper.run(script(text), { limit = 20,
    before = "strace -f -qq -o /dev/null -e inject=" .. what })
end

local function said(r) return "\n" .. r.out .. r.err end

local function fails(text, what)
  local before = names_of_ours()
  local r = run(text, what)
  assert(r.code == 0 or r.code == 1, "ended by " .. r.code .. said(r))
  assert(r.out:find "ok\n" or r.out:find "error: " or r.err ~= "",
    "says nothing")
  assert(not r.out:find "assertion failed", "is wrong" .. said(r))
  if text == scenarios.block and not what:find "^unlink" then
    none_is_left(before)
  end
end

-- timeout's own SIGKILL would look like that of the script, but it takes
-- strace, and the time, with it.
local function kills(text, what)
  local from = host.now()
  local r = run(text, what)
  assert(host.now() - from < 19, "hangs" .. said(r))
  assert(r.code == 0 or r.code == 1 or r.code == -9,
    "ended by " .. r.code .. said(r))
  assert(not r.out:find "assertion failed", "is wrong" .. said(r))
end

-- Names that the killed could not take away.
local function clear_names()
  for _, name in ipairs(host.list "/dev/shm") do
    if name:find "^psm_" then os.remove("/dev/shm/" .. name) end
  end
end

local function numbers(list)
  local sorted = {}
  for n in pairs(list) do sorted[#sorted + 1] = n end
  table.sort(sorted)
  return sorted
end

local turn = SEED

-- All that is to be done to a scenario: f(what) for each.
local function each(text, variants, f)
  local wrong, n = {}, 0
  for name, list in pairs(listed(text)) do
    for _, variant in ipairs(variants(name)) do
      for _, at in ipairs(numbers(list)) do
        turn = turn + 1
        if turn % EVERY == 0 then
          local what = ("%s:%s:when=%d"):format(name, variant, at)
          local good, why = pcall(f, text, what)
          n = n + 1
          if not good then wrong[#wrong + 1] = what .. ": " .. tostring(why) end
        end
      end
    end
  end
  print(("  %d runs, %d wrong"):format(n, #wrong))
  assert.equal("", table.concat(wrong, "\n"))
end

local function errors_of(name)
  local list = {}
  for i, errno in ipairs(ERRORS[name] or {}) do list[i] = "error=" .. errno end
  return list
end

local names = {}
for name in pairs(scenarios) do names[#names + 1] = name end
table.sort(names)

describe("system calls that fail:", function()
  for _, name in ipairs(names) do
    it("T3 " .. name, function()
      helper.slow(900)
      each(scenarios[name], errors_of, fails)
    end)
  end
end)

describe("killed at each system call:", function()
  for _, name in ipairs(names) do
    it("T3 " .. name, function()
      helper.slow(900)
      finally(clear_names)
      each(scenarios[name], function(call)
        return call == "exit_group" and {} or { "signal=SIGKILL" }
      end, kills)
    end)
  end
end)
