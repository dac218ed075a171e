-- The progress of pools on stderr.
local helper = require "helper"
local host = helper.host

--- Run a script with stderr (and all else) on a terminal of so many columns;
--- what it shows.  `during(fd, text)` is called with what has come so far.
local function on_terminal(script, columns, during, env)
  return helper.with_dir(function(dir)
    local file <close> = assert(io.open(dir .. "/script.lua", "w"))
    file:write('local mp, host = require "mp", require "host" ', script)
    file:close()
    local pid, fd = host.forkpty()
    if pid == 0 then
      host.resize(0, columns)
      host.exec("/bin/sh", "-c", ("exec env LUA_PATH=%s LUA_CPATH=%s %s %s %s")
        :format(helper.quote(package.path), helper.quote(package.cpath),
          env or "NO_COLOR=", helper.program, dir .. "/script.lua"))
      host.leave(127)
    end
    local text = ""
    while true do
      local bytes = host.read(fd, 5)
      if not bytes or bytes == "" then break end
      text = text .. bytes
      if during then during(fd, text) end
    end
    host.close(fd)
    host.waitpid(pid)
    return text
  end)
end

--- The lines that were shown one over the other.
local function updates(text)
  local list = {}
  for line in text:gmatch("\r([^\r\n]+)\27%[K") do list[#list + 1] = line end
  return list
end

local GATED = [[
  local pool <close> = mp.Pool(2)
  local n = 0
  local function slow(x)
    host.sleep(0.03)
    if x == 3 then error("three") end
    return x
  end
  local list = {}
  for i = 1, 20 do list[i] = i end
  pcall(pool.map, pool, slow, list, { chunksize = 1, progress = "resizing" })
]]

describe("progress", function()
  it("is a line kept up to date on a terminal", function()
    local text = on_terminal(GATED, 100)
    local lines = updates(text)
    assert.is_true(#lines >= 2, text)
    local last = lines[#lines]
    assert.matches("resizing  %[####################%] 20/20 100%%", last)
    assert.matches("%d/s  in 0:0%d", last)
    assert.matches("%d/%d busy  1 failed", last)
    assert.matches("^\27%[31m.*\27%[0m$", last)
    for i = 1, #lines - 1 do
      assert.matches("^\27%[3[12]m.*%[#*%-+%] %d+/20 ", lines[i])
      -- Before the first task is done nobody can say how long it will take.
      assert.equal(not lines[i]:find " 0/20", lines[i]:find " left" ~= nil)
    end
    -- nothing but updates, then one end of line
    local rest = text:gsub("\r[^\r\n]+\27%[K", "")
    assert.equal("\r\n", rest)
  end)

  it("follows the terminal's size", function()
    local resized
    local text = on_terminal(GATED, 100, function(fd, sofar)
      if not resized and #updates(sofar) >= 1 then
        resized = #updates(sofar)
        host.resize(fd, 30)
      end
    end)
    local lines = updates(text)
    local function width(line) return #(line:gsub("\27%[%d+m", "")) end
    assert.is_true(width(lines[1]) > 30)
    assert.is_true(width(lines[#lines]) <= 29, lines[#lines])
    assert.matches("resizing  20/20", lines[#lines])
  end)

  it("has no colours when there are to be none", function()
    local text = on_terminal(GATED, 100, nil, "NO_COLOR=1")
    assert.is_true(#updates(text) >= 2)
    assert.is_nil(text:find("\27%[%d*m"))
  end)

  it("is a plain line when stderr is a file", function()
    local r = helper.run([[
      local pool <close> = mp.Pool(2)
      local sum = 0
      for _, v in pool:imap(function(x) return x end, { 1, 2, 3 },
        { progress = "reading" }) do sum = sum + v end
      pool:map(function(x) return x end, { 1, 2 }, { progress = true })
      for _ in pool:imap_unordered(function(x) return x end, function()
        sum = sum + 1
        if sum < 10 then return sum end
      end, { progress = "lazy" }) do end
      print(sum)
    ]])
    assert.equal("10\n", r.out)
    local first, second, third = r.err:match("^([^\n]*)\n([^\n]*)\n([^\n]*)\n$")
    assert.matches("^reading  3/3 100%%  %S+/s  in 0:00  %d/%d busy$", first)
    assert.matches("^tasks  2/2 100%%  %S+/s  in 0:00  %d/%d busy$", second)
    assert.matches("^lazy  3  %S+/s  %d/%d busy$", third)
  end)

  it("counts failures of chunks, and of workers", function()
    local r = helper.run([[
      local pool <close> = mp.Pool(2)
      local step = pool:imap(function(x)
        if x % 2 == 0 then error("even") end
        if x == 9 then os.exit(1) end
        return x
      end, { 1, 2, 3, 4, 5, 6, 7, 8, 9 }, { progress = "some",
        chunksize = 4 })
      repeat
        local ok, i = pcall(step)
      until ok and i == nil
    ]])
    assert.matches("^some  9/9 100%% .* 5 failed\n$", r.err)
  end)

  it("ends with the loop, and with an error", function()
    local r = helper.run([[
      local pool <close> = mp.Pool(1)
      for i in pool:imap(function(x) return x end, { 1, 2, 3 },
        { progress = "left" }) do break end
      pcall(pool.map, pool, error, { "x" }, { progress = "raised" })
    ]])
    assert.matches("^left  %d/3 [^\n]*\nraised  1/1 100%% [^\n]*1 failed\n$",
      r.err)
  end)

  it("stops no work when it cannot be written", function()
    local r = helper.run([[
      local pool <close> = mp.Pool(1)
      print(pool:map(function(x) return x end, { 1, 2 },
        { progress = true }).n)
    ]], { redirect = "2>/dev/full" })
    assert.equal("2\n", r.out)
    assert.equal(0, r.code)
  end)
end)
