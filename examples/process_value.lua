-- A process is a value: it travels through a pipe, and whoever receives it
-- may wait for it and ask how it ended.
local mp = require "mp"

local here, there = mp.Pipe()

local worker = mp.Process {
  name = "worker",
  target = function() os.exit(7) end,
}

-- The watcher is no relative of the worker: a sibling.
local watcher = mp.Process {
  name = "watcher",
  target = function(conn)
    local process = conn:recv()
    process:join()
    conn:send { process = process, exitcode = process.exitcode }
  end,
  args = { there },
}:start()

here:send(worker:start())

local report = here:recv()
print(("the watcher saw %s end with exit code %d"):format(
  report.process.name, report.exitcode))

-- What came back is not a copy; it is the very same object.
print("the same process:", report.process == worker)
watcher:join()
assert(report.exitcode == 7 and report.process == worker)
