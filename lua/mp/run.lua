--- Lists of tasks and of results, gone through by the binding; for crews.
local core = require "mp.core"

local run = {
  list = core.run_list, -- (n): empty, with room for n elements
  move = core.run_move, -- (list, first, n, to, at)
  tasks = core.run_tasks, -- see lmp_run.c
}

--- Elements first .. first+n-1 of a list, as a list of their own.
function run.slice(list, first, n)
  local slice = run.list(n)
  if getmetatable(list) == nil then
    run.move(list, first, n, slice, 1)
    return slice
  end
  return table.move(list, first, first + n - 1, 1, slice)
end

return run
