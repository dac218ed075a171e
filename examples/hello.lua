-- A process from a closure: no main guard, nothing to pickle.
local mp = require "mp"

local greeting = "hello"

local p = mp.Process(function(name)
  print(greeting .. ", " .. name .. ", from " .. mp.current_process().name)
  return #name
end, "world"):start()

print("it returned " .. p:result())
