-- A lock that no death can keep, and an event that starts everybody at once.
local mp = require "mp"

local lock, go = mp.Lock(), mp.Event()
local name = os.tmpname()

local function write(text)
  local file <close> = assert(io.open(name, "w"))
  file:write(text)
end

local function read()
  local file <close> = assert(io.open(name))
  return file:read("n")
end

local function add(n)
  go:wait()
  for _ = 1, n do
    local _held <close> = lock:guard() -- until the end of the block
    write(read() + 1)
  end
end

write(0)
local workers = {}
for i = 1, 3 do workers[i] = mp.Process(add, 100):start() end
go:set()
for _, worker in ipairs(workers) do worker:join() end
print("counted to " .. read())

-- One that is killed with the lock in its hand holds up nobody.
local entered = mp.Event()
local unlucky = mp.Process(function()
  lock:acquire()
  entered:set()
  while true do end
end):start()
entered:wait()
unlucky:kill()
print("then:", lock:acquire())
lock:release()
os.remove(name)
