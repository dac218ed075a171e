-- A process is a value: one process starts it, another waits for it.
local mp = require "mp"

local a, b = mp.Pipe()

local watcher = mp.Process(function()
  local p = b:recv() -- a process
  p:join()
  b:send(("%s ended with %d"):format(p.name, p.exitcode))
  b:send(p)
end):start()

local worker = mp.Process { name = "Worker", target = function()
  os.exit(7)
end }:start()

a:send(worker)
print(a:recv())
assert(a:recv() == worker) -- the same value came back
watcher:join()
