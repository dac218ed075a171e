--- The script of the pool: a function from a job to its result.
return function(job)
  if job == "crash" then os.exit(9) end
  if job == "error" then error("no such job", 0) end
  local n = math.tointeger(tonumber(job)) or #job
  local sum = 0
  for i = 1, n do sum = sum + i end
  return ("%s: %d"):format(job, sum)
end
