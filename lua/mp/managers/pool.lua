--- A pool inside a manager's server.
--
-- Its workers are the server's children.  The server never waits for them: what
-- a client waits for is watched like everything else that it waits for.
local jobs = require "mp.managers.jobs"

local pool = {}

local Pool = jobs.class("apply_async map_async starmap_async close terminate",
  "apply map starmap join")
pool.Pool = Pool

local AsyncResult = jobs.class("ready successful", "get wait")
pool.AsyncResult = AsyncResult

--- Call a function of the library for a client: what it raises as a text is an
--- error of the client's, and gets its place there.  On a stack of its own it
--- has none here.
---@param name string what the client called
local function for_client(name, f, ...)
  local co = coroutine.create(f)
  local ok, result = coroutine.resume(co, ...)
  coroutine.close(co)
  if ok then return result end
  if type(result) ~= "string" then error(result, 0) end
  jobs.misuse("%s", (result:gsub("^" .. name .. "_async: ", name .. ": ")))
end

function Pool.new(server, ...)
  local made = for_client("Pool", require "mp.pool".Pool, ...)
  return setmetatable({ server = server, pool = made, pending = {} }, Pool)
end

--- Wait for a result of the pool's: true, or false when the time is up.
local function await(server, result, deadline)
  while not result:ready() do
    if not jobs.park(server:watch(result), deadline) then return false end
  end
  return true
end

local function submit(self, name, async, ...)
  local result = for_client(name, self.pool[async], self.pool, ...)
  self.pending[result] = true
  return result
end

local function take(self, result)
  self.pending[result] = nil
  return result:get(0)
end

--- The deadline that options give, and what else they have.
local function bounds(name, opts)
  if type(opts) ~= "table" then return nil, opts end
  local bare = {}
  for key, value in pairs(opts) do bare[key] = value end
  bare.timeout = nil
  return jobs.deadline(name, opts.timeout), bare
end

for _, name in ipairs { "apply", "map", "starmap" } do
  local async = name .. "_async"

  --- As the pool's; opts.timeout bounds it.
  Pool[name] = function(self, f, list, opts)
    local deadline, bare = bounds(name, opts)
    local result = submit(self, name, async, f, list, bare)
    if not await(self.server, result, deadline) then
      return nil, "timeout"
    end
    return take(self, result)
  end

  --- The result is an object of its own, and a proxy to the client.
  Pool[async] = function(self, ...)
    local result = submit(self, async, async, ...)
    return jobs.client:present(self.server.store:adopt("AsyncResult",
      setmetatable({ pool = self, result = result }, AsyncResult)))
  end
end

function Pool:close()
  self.ended = true
  self.pool:close()
end

function Pool:terminate()
  self.ended = true
  self.pool:terminate()
end

function Pool:join()
  if self.ended then
    for result in pairs(self.pending) do
      await(self.server, result)
      self.pending[result] = nil
    end
  end
  for_client("join", self.pool.join, self.pool)
end

function AsyncResult:get(timeout)
  local deadline = jobs.deadline("get", timeout)
  if not await(self.pool.server, self.result, deadline) then
    return nil, "timeout"
  end
  return take(self.pool, self.result)
end

function AsyncResult:wait(timeout)
  local deadline = jobs.deadline("wait", timeout)
  if await(self.pool.server, self.result, deadline) then return true end
  return false, "timeout"
end

function AsyncResult:ready() return self.result:ready() end

function AsyncResult:successful()
  return for_client("successful", self.result.successful, self.result)
end

return pool
