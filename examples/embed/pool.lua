--- The pool of host.c: jobs out, results back, whatever becomes of a worker.
local mp = require "mp"

local pool = {}

--- What a worker does: load the script once, then a job after the other.
local function serve(script, conn)
  local f = dofile(script)
  while true do
    local job, reason = conn:recv()
    if reason then return end -- the host has hung up
    local ok, value = pcall(f, job)
    conn:send { ok = ok, value = value }
  end
end

local function start(script)
  local ours, theirs = mp.Pipe()
  local process = mp.get_context("spawn").Process {
    target = serve, args = { script, theirs }, daemon = true,
  }
  process:start()
  theirs:close()
  return { process = process, conn = ours }
end

--- Run script(job) for each of the jobs in so many processes.
---@return table[] results {ok =, value =} in the order of the jobs
function pool.run(script, workers, jobs)
  local results, done, given = {}, 0, 0
  local by_conn = {}

  --- Give the worker a job, if there is one left; else let it go.
  local function feed(w)
    if given == #jobs then
      w.conn:close()
      by_conn[w.conn] = nil
      return
    end
    given = given + 1
    w.job = given
    w.conn:send(jobs[given])
  end

  local function add()
    local w = start(script)
    by_conn[w.conn] = w
    feed(w)
  end

  for _ = 1, math.min(workers, #jobs) do add() end
  while done < #jobs do
    local conns = {}
    for conn in pairs(by_conn) do conns[#conns + 1] = conn end
    for _, conn in ipairs(mp.wait(conns)) do
      local w = by_conn[conn]
      local result, reason = conn:recv()
      done = done + 1
      if not reason then
        results[w.job] = result
        feed(w)
      else -- it died over its job
        w.process:join()
        results[w.job] = { ok = false, value = "a worker ended with exit code "
          .. w.process.exitcode }
        by_conn[conn] = nil
        if given < #jobs then add() end
      end
    end
  end
  return results
end

return pool
