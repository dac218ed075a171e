--- What the API does, a script each: spec/fault/syscall_spec.lua makes the
-- system calls in it fail, one at a time, and kills at each.
--
-- Every wait that depends on a child has a time limit, or looks at the child's
-- end: a child that could not be started, or that was killed, is no reason to
-- hang.  What cannot be when a call has failed says "assertion failed"; all
-- other errors are answers.
local scenarios = {}

scenarios.fork = [[
  local p = mp.get_context "fork".Process(function(x) return x end, 5)
  assert(p:start():result() == 5 and p.exitcode == 0)
  local q = mp.get_context "fork".Process{ daemon = true,
    target = function() require "host".sleep(100) end }:start()
  q:kill()
  assert(q:join() and q.exitcode ~= 0)]]

scenarios.spawn = [[
  local p = mp.get_context "spawn".Process(function(x) return x end, 5)
  assert(p:start():result() == 5 and p.exitcode == 0)]]

scenarios.forkserver = [[
  local ctx = mp.get_context "forkserver"
  for i = 1, 2 do
    local p = ctx.Process(function(x) return x end, i)
    assert(p:start():result() == i and p.exitcode == 0)
  end]]

scenarios.thread = [[
  local p = mp.get_context "thread".Process(function(x) return x end, 5)
  assert(p:start():result() == 5 and p.exitcode == 0)]]

scenarios.pipe = [[
  local a, b = mp.Pipe()
  local long = ("x"):rep(1 << 20)
  a:send(long)
  assert(b:recv() == long)
  a:fileno()
  b:send{ a }
  assert(a:recv()[1] == a)
  local p = mp.Process(function() a:send(b:recv()) end):start()
  a:send "x"
  p:join()]]

scenarios.queue = [[
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
  p:join()]]

-- A child that holds it ends: the next one is told.
scenarios.lock = [[
  local l = mp.Lock()
  local p = mp.Process(function() l:acquire() end):start()
  p:join()
  local ok, why = l:acquire(5)
  assert(ok and (why == "abandoned" or p.exitcode ~= 0))
  l:release()
  local r = mp.RLock()
  assert(r:acquire() and r:acquire())
  r:release()
  r:release()]]

scenarios.semaphore = [[
  local s = mp.Semaphore(2)
  local p = mp.Process(function() s:acquire() end):start()
  p:join()
  assert(s:acquire(5) and s:acquire(5) and not s:acquire(0))
  s:release()
  s:release()
  local b = mp.BoundedSemaphore(1)
  assert(b:acquire() and not pcall(function()
    b:release()
    b:release()
  end))]]

scenarios.condition = [[
  local c, v = mp.Condition(), mp.Value("i", 0)
  local p = mp.Process{ daemon = true, target = function()
    c:acquire()
    v.value = 1
    c:notify_all()
    c:release()
  end }
  c:acquire()
  p:start()
  c:wait_for(function() return v.value == 1 end, 3)
  c:release()
  p:join()
  assert(v.value == 1 or p.exitcode ~= 0)]]

scenarios.event = [[
  local e, back = mp.Event(), mp.Event()
  local p = mp.Process{ daemon = true, target = function()
    if e:wait(3) then back:set() end
  end }:start()
  e:set()
  local seen = back:wait(3)
  p:join()
  assert(e:is_set() and (seen or p.exitcode ~= 0))
  e:clear()
  assert(not e:wait(0))]]

scenarios.barrier = [[
  local b = mp.Barrier(2)
  local p = mp.Process{ daemon = true, target = function() b:wait(3) end }
  p:start()
  local place = b:wait(3)
  p:join()
  assert(place or b.broken)
  b:reset()
  assert(not b.broken)]]

scenarios.cell = [[
  local v, a = mp.Value("i", 1), mp.Array("d", 20000)
  local p = mp.Process(function()
    v:add(1)
    a[20000] = 2.5
  end):start()
  p:join()
  assert(v.value == 2 and a[20000] == 2.5 or p.exitcode ~= 0)
  v:get_lock():acquire()
  v:get_lock():release()
  assert(#a == 20000)]]

scenarios.block = [[
  local m = assert(mp.shared_memory.SharedMemory{ create = true,
    size = 200000 })
  m.buf:set("i", 100000, 7)
  local p = mp.Process(function() return m.buf:get("i", 100000) end)
  assert(p:start():result() == 7)
  local again = mp.shared_memory.SharedMemory{ name = m.name }
  if again then again:close() end
  m:close()
  m:unlink()]]

scenarios.socket = [[
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
  l:close()]]

scenarios.tcp = [[
  local l = assert(mp.connection.Listener{ address = { "127.0.0.1", 0 } })
  local p = mp.Process{ daemon = true, target = function()
    local c = assert(mp.connection.Client{ address = l.address })
    c:send(c:recv())
  end }:start()
  local c = l:accept(3) or error "no client"
  c:send(("x"):rep(300000))
  assert(#c:recv() == 300000)
  p:join()
  c:close()
  l:close()]]

scenarios.wait = [[
  local a, b = mp.Pipe()
  local p = mp.Process{ daemon = true, target = function() b:send "x" end }
  p:start()
  assert(#mp.wait({ a, p }, 5) > 0)
  p:join()]]

scenarios.pool = [[
  local pool <close> = mp.Pool(2)
  local list = {}
  for i = 1, 20 do list[i] = i end
  assert(pool:map(function(x) return x * 2 end, list)[20] == 40)]]

scenarios.executor = [[
  local ex <close> = mp.futures.ProcessPoolExecutor(1)
  local f = ex:submit(function(x) return x * 2 end, 4)
  assert(f:result() == 8)]]

scenarios.manager = [[
  local m <close> = mp.Manager()
  local d = m:dict{ a = 1 }
  d.b = 2
  assert(d.a == 1 and d.b == 2)
  local p = mp.Process(function() d.c = 3 end):start()
  p:join()
  assert(d.c == 3 or p.exitcode ~= 0)]]

return scenarios
