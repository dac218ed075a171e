-- A matrix in shared memory: four processes fill in a row each, in place, and
-- python3 (if there is one) adds it up without copying it.
local mp = require "mp"

local N <const>, DOUBLE <const> = 4, 8
local shm <close> = mp.shared_memory.SharedMemory{
  create = true, size = N * N * DOUBLE }

local rows = {}
for row = 1, N do
  rows[row] = mp.Process(function()
    for column = 1, N do
      shm.buf:set("d", ((row - 1) * N + column - 1) * DOUBLE, row * column)
    end
  end):start()
end
for _, process in ipairs(rows) do process:join() end

local sum = 0
for i = 0, N * N - 1 do sum = sum + shm.buf:get("d", i * DOUBLE) end
print(("the sum here: %g"):format(sum))

-- A list beside it, for what is no number.
local note = mp.shared_memory.ShareableList{ shm.name, N, "?" }

local python = io.popen(("python3 - %s 2>&1 <<'END'\n"):format(note.shm.name)
  .. [[
import sys
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory, ShareableList
note = ShareableList(name=sys.argv[1])
name, n, _ = note
shm = SharedMemory(name=name)
for block in (note.shm, shm):  # they are not Python's to take away
    resource_tracker.unregister(block._name, "shared_memory")
numbers = shm.buf.cast("d")
print(f"the sum in Python: {sum(numbers):g}")
note[2] = "done"
numbers.release()
END
]])
local said = python:read("a")
if python:close() then
  io.write(said)
  print("Python says:", note[3])
else
  print("there is no python3")
end
