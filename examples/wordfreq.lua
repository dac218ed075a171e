-- Count the words of a real body of text, in one process and in as many as
-- there are CPUs.
--
--   luamp examples/wordfreq.lua [directory]
local mp = require "mp"

local LIMIT = 48 * 1024 * 1024 -- bytes of text; a few seconds of work
local BATCH = 16 -- files to a message

--- The lines that a shell command prints.
local function lines_of(command)
  local list = {}
  local pipe <close> = assert(io.popen(command))
  for line in pipe:lines() do list[#list + 1] = line end
  return list
end

--- The largest directory of text that this machine has.
local function some_text()
  local largest = lines_of("du -sk /usr/share/doc /usr/include /usr/share/perl "
    .. "/usr/lib/python3 /usr/share/common-licenses 2>/dev/null | sort -rn")
  return assert(largest[1], "no text here: name a directory"):match("%s(.*)$")
end

--- Paths of plain files, LIMIT bytes of them.
local function files_of(dir)
  local files, bytes = {}, 0
  local found = lines_of("find '" .. dir:gsub("'", "'\\''")
    .. "' -type f ! -name '*.gz' -size -2048k -printf '%s %p\\n' | sort -k2")
  for _, line in ipairs(found) do
    local size, path = line:match("^(%d+) (.*)$")
    bytes = bytes + size
    if bytes > LIMIT then break end
    files[#files + 1] = path
  end
  return files
end

--- Add the words of a file to `counts`.
local function count_file(counts, path)
  local file <close> = io.open(path, "rb")
  local text = file and file:read("a") or ""
  for word in text:gmatch("%a%a%a+") do
    word = word:lower()
    counts[word] = (counts[word] or 0) + 1
  end
end

local function count_alone(files)
  local counts = {}
  for _, path in ipairs(files) do count_file(counts, path) end
  return counts
end

--- What each worker does: take batches until there are no more.
local function worker(tasks)
  local counts = {}
  for batch in function() return (tasks:recv()) end do
    for _, path in ipairs(batch) do count_file(counts, path) end
  end
  return counts
end

local function count_together(files, n)
  local tasks, feeder = mp.Pipe(false) -- all workers read the same end
  local workers = {}
  for i = 1, n do
    workers[i] = mp.Process(function()
      feeder:close()
      return worker(tasks)
    end):start()
  end
  tasks:close() -- the workers have it now
  for i = 1, #files, BATCH do
    feeder:send(table.move(files, i, math.min(i + BATCH - 1, #files), 1, {}))
  end
  feeder:close() -- the end of the stream is the end of the work
  local total = {}
  for _, p in ipairs(workers) do
    for word, times in pairs(p:result()) do
      total[word] = (total[word] or 0) + times
    end
  end
  return total
end

local function timed(f, ...)
  local now = require "mp.core".now
  local start = now()
  local result = f(...)
  return result, now() - start
end

local function same(a, b)
  for word, times in pairs(a) do if b[word] ~= times then return false end end
  for word in pairs(b) do if not a[word] then return false end end
  return true
end

local dir = arg[1] or some_text()
local files = files_of(dir)
assert(#files > 0, "no files in " .. dir)
local n = mp.process_cpu_count()
print(("%d files of %s"):format(#files, dir))

local alone, t1 = timed(count_alone, files)
local together, tn = timed(count_together, files, n)

local words = {}
for word in pairs(together) do words[#words + 1] = word end
table.sort(words, function(a, b)
  local x, y = together[a], together[b]
  return x > y or x == y and a < b
end)
for i = 1, math.min(10, #words) do
  print(("%8d %s"):format(together[words[i]], words[i]))
end
print(("%d different words"):format(#words))
print(("one process: %.2f s, %d processes: %.2f s, speedup %.2f"):format(
  t1, n, tn, t1 / tn))
assert(same(alone, together), "the results differ")
print("both results are equal")
