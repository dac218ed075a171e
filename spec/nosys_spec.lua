-- Kernels that lack system calls: what is done without them, or said.
local helper = require "helper"

-- The program that takes them away, built beside the command.
local function build()
  local program = helper.luamp:gsub("/bin/[^/]*$", "") .. "/spec/nosys"
  assert(os.execute(("[ %s -nt spec/nosys.c ] || { mkdir -p %s && "
    .. "${CC:-cc} -Wall -o %s.$$ spec/nosys.c && mv %s.$$ %s; }"):format(
    program, program:match("^(.*)/"), program, program, program)))
  return program
end

local nosys = build()
local possible = os.execute(nosys .. " clone3 true")

--- Run a script without these calls.
local function without(names, script)
  return helper.run(script, { before = nosys .. " " .. names })
end

-- Starts, ends, kills, messages, waits and daemons by every method.
local EVERYTHING = [[
for _, method in ipairs(mp.get_all_start_methods()) do
  local ctx = mp.get_context(method)
  local a, b = mp.Pipe()
  local p = ctx.Process(function(c)
    c:send(c:recv() + 1)
    return "done"
  end, b):start()
  a:send(41)
  assert(a:recv() == 42)
  assert(p:result() == "done" and p.exitcode == 0)
  local q = ctx.Process(function() os.exit(7) end):start()
  q:join()
  assert(q.exitcode == 7)
  local busy = ctx.Process(function() while true do end end):start()
  assert(#mp.wait({busy}, 0) == 0)
  busy:kill()
  assert(mp.wait({busy})[1] == busy and busy:join())
  assert(busy.exitcode == -9)
  -- One that is killed while it waits leaves its message to the next.
  local first = ctx.Process(function(c) c:recv() end, b):start()
  first:kill()
  first:join()
  local second = ctx.Process(function(c) return c:recv() end, b):start()
  a:send("x")
  assert(second:result() == "x")
  local daemon = ctx.Process{daemon = true, target = function(c)
    c:recv() end, args = {b}}:start()
  daemon:terminate()
  assert(daemon:join())
  print(method)
end]]

describe("a kernel without", function()
  local it_can = possible and it or pending

  for _, names in ipairs{ "clone3", "close_range", "futex_waitv",
    "clone3,close_range,futex_waitv" } do
    it_can(names .. ": everything works", function()
      helper.slow(60)
      local r = without(names, EVERYTHING)
      assert.same({ "fork\nspawn\nforkserver\nthread\n", 0 },
        { r.out, r.code }, r.err)
    end)
  end

  for _, name in ipairs{ "memfd_create", "pidfd_open", "pidfd_send_signal" } do
    it_can(name .. ": said at the first use, and only then", function()
      local r = without(name, [[
        print(mp.cpu_count() > 0, mp.decode(mp.encode(1)))
        local fds = #host.list("/proc/self/fd")
        for _, f in ipairs{mp.Pipe, mp.Process, mp.current_process} do
          print((select(2, pcall(f))))
        end
        print(#host.list("/proc/self/fd") == fds)]])
      local why = "luamp needs memfd_create, pidfd_open and "
        .. "pidfd_send_signal (Linux 5.3)"
      assert.equal(0, r.code, r.err)
      local _, said = r.out:gsub(why:gsub("%p", "%%%0"), "")
      assert.equal(3, said, r.out)
      assert.matches("^true\t1\n", r.out)
      assert.matches("\ntrue\n$", r.out)
    end)
  end
end)
