-- The same closure under every start method.
local mp = require "mp"

local seen = { from = "the parent" }

for _, method in ipairs(mp.get_all_start_methods()) do
  local ctx = mp.get_context(method)
  local p = ctx.Process(function()
    return seen.from, mp.current_process().name, mp.parent_process().name
  end):start()
  print(("%-10s"):format(method), p:result())
end
