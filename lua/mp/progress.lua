--- The progress of a job, on stderr: a line that is kept up to date on a
--- terminal, one now and then elsewhere.
local life = require "mp.life"
local proc = require "mp.proc"

local progress = {}

local Display = {}
Display.__index = Display

local LIVE = 0.1 -- seconds between updates on a terminal
local PLAIN = 5 -- ... elsewhere
local BAR = 20

--- 3725 -> "1:02:05"
local function clock(seconds)
  local s = math.floor(seconds + 0.5)
  if s < 3600 then return ("%d:%02d"):format(s // 60, s % 60) end
  return ("%d:%02d:%02d"):format(s // 3600, s // 60 % 60, s % 60)
end

local function rate_of(rate)
  if rate >= 1e6 then return ("%.1fM/s"):format(rate / 1e6) end
  if rate >= 1e3 then return ("%.1fk/s"):format(rate / 1e3) end
  return ("%.1f/s"):format(rate)
end

local function bar(share)
  local full = math.floor(share * BAR)
  return "[" .. ("#"):rep(full) .. ("-"):rep(BAR - full) .. "] "
end

local function line(self, now, with_bar)
  local job, stats = self.job, self.crew:stats()
  local seconds = now - self.began
  local rate = seconds > 0 and job.finished / seconds or 0
  local parts = { self.label }
  local count = tostring(job.finished)
  if job.n then
    local share = job.n > 0 and job.finished / job.n or 1
    if with_bar then count = bar(share) .. count end
    count = ("%s/%d %3d%%"):format(count, job.n, math.floor(share * 100))
  end
  parts[#parts + 1] = count
  parts[#parts + 1] = rate_of(rate)
  if job.n and job.finished < job.n and rate > 0 then
    parts[#parts + 1] = clock((job.n - job.finished) / rate) .. " left"
  elseif job.n == job.finished then
    parts[#parts + 1] = "in " .. clock(seconds)
  end
  parts[#parts + 1] = ("%d/%d busy"):format(stats.busy, stats.workers)
  if job.failed > 0 then parts[#parts + 1] = job.failed .. " failed" end
  return table.concat(parts, "  ")
end

local COLOURS = { failed = "\27[31m", running = "\27[32m" }

local function write(text)
  pcall(io.stderr.write, io.stderr, text) -- a full disk stops no work
end

local function draw(self, now)
  local width = life.terminal_width()
  if not width then
    return write(line(self, now, false) .. "\n")
  end
  local text = line(self, now, width >= 72):sub(1, width - 1)
  if self.colour then
    local colour = self.job.failed > 0 and COLOURS.failed or COLOURS.running
    text = colour .. text .. "\27[0m"
  end
  write("\r" .. text .. "\27[K")
  self.drawn = true
end

--- Show how far the job is, if it is time.
function Display:show()
  local now = proc.now()
  if now < self.due then return end
  self.due = now + self.period
  draw(self, now)
end

--- The last word.
function Display:close()
  if self.closed then return end
  self.closed = true
  draw(self, proc.now())
  if self.drawn then write("\n") end
end

Display.__close = Display.close

--- A display of a job's progress.
---@param label true|string
---@param job table n (nil: unknown), finished, failed
---@param crew table stats()
function progress.open(label, job, crew)
  local live = life.terminal_width() ~= nil
  local now = proc.now()
  local no_colour = os.getenv("NO_COLOR")
  return setmetatable({
    label = type(label) == "string" and label or "tasks",
    job = job, crew = crew, began = now,
    period = live and LIVE or PLAIN, due = now + (live and LIVE or PLAIN),
    colour = live and (no_colour == nil or no_colour == ""),
  }, Display)
end

return progress
