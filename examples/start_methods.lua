-- The same closure under every start method.
--
--   fork        a copy of this process; the quickest
--   spawn       a new program; inherits nothing but what is sent
--   forkserver  forked off a small server; safe beside threads
--   thread      a thread with a Lua state of its own, in this process
local mp = require "mp"

local factor = 6

local function multiply(by)
  return factor * by, mp.current_process().pid
end

for _, method in ipairs(mp.get_all_start_methods()) do
  local process = mp.get_context(method).Process(multiply, 7):start()
  local product, pid = process:result()
  local where = pid == mp.current_process().pid and "this" or "another"
  print(("%-10s  %d, worked out in %s process"):format(method, product, where))
  assert(product == 42 and (where == "this") == (method == "thread"))
end
