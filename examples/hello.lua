-- Start a process, wait for it, take its result.
local mp = require "mp"

local greeting = "Hello"

local function greet(name)
  -- A closure like any other: `greeting` came along.
  print(("%s, %s, from process %d"):format(
    greeting, name, mp.current_process().pid))
  return #name
end

local process = mp.Process(greet, "world"):start()
print("letters in the name:", process:result())
print("exit code:", process.exitcode)
assert(process.pid ~= mp.current_process().pid)
