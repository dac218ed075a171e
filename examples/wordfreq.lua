-- Counts the words of real text, once in one process and once with a process
-- for each CPU.
--
--   luamp examples/wordfreq.lua [directory]
local mp = require "mp"

local MiB = 1024 * 1024
local CAP = 64 * MiB -- enough to see a difference, and over in seconds
local SHARE = 4 -- batches a process: so that no process is left with a lot
local PLACES = {
  "/usr/share/doc", "/usr/include", "/usr/share/perl*", "/usr/lib/python3*",
}

local function seconds()
  local file <close> = assert(io.open("/proc/uptime"))
  return file:read("n")
end

local function read(path)
  local file <close> = io.open(path, "rb")
  return file and file:read("a") or ""
end

-- The text files below a directory, CAP bytes at most.  Each is read here
-- once, so that both counts find it in memory.
local function text_files(directory)
  local find <close> = assert(io.popen("find " .. directory ..
    " -type f -size -4096k ! -name '*.gz' 2>/dev/null | sort"))
  local files = { bytes = 0 }
  for path in find:lines() do
    local text = read(path)
    local size = text:find("\0", 1, true) and 0 or #text
    if size > 0 then
      files[#files + 1] = { path = path, size = size }
      files.bytes = files.bytes + size
    end
    if files.bytes >= CAP then break end
  end
  return files
end

-- Add the words of a file to counts.
local function count_words(path, counts)
  for word in read(path):lower():gmatch("%a%a%a+") do
    counts[word] = (counts[word] or 0) + 1
  end
end

local function in_one_process(files)
  local counts = {}
  for _, file in ipairs(files) do count_words(file.path, counts) end
  return counts
end

-- Lists of paths, about so many bytes each.
local function batches(files, size)
  return coroutine.wrap(function()
    local paths, bytes = {}, 0
    for _, file in ipairs(files) do
      paths[#paths + 1], bytes = file.path, bytes + file.size
      if bytes >= size then
        coroutine.yield(paths)
        paths, bytes = {}, 0
      end
    end
    coroutine.yield(paths)
  end)
end

local function count_batch(paths)
  local counts = {}
  for _, path in ipairs(paths) do count_words(path, counts) end
  return counts
end

local function in_many_processes(files, n)
  local pool <close> = mp.Pool(n)
  local total = {}
  for _, counts in pool:imap_unordered(count_batch,
    batches(files, files.bytes // (SHARE * n))) do
    for word, count in pairs(counts) do
      total[word] = (total[word] or 0) + count
    end
  end
  return total
end

local function same(a, b)
  for word, count in pairs(a) do
    if b[word] ~= count then return false end
  end
  for word in pairs(b) do
    if a[word] == nil then return false end
  end
  return true
end

local function most_frequent(counts)
  local words = {}
  for word in pairs(counts) do words[#words + 1] = word end
  table.sort(words, function(a, b)
    if counts[a] ~= counts[b] then return counts[a] > counts[b] end
    return a < b
  end)
  return words
end

local function largest()
  local best = { bytes = -1 }
  for _, place in ipairs(PLACES) do
    local files = text_files(place)
    if files.bytes > best.bytes then best, files.place = files, place end
    if best.bytes >= CAP then break end
  end
  return best, best.place
end

local function timed(f, ...)
  local from = seconds()
  local result = f(...)
  collectgarbage()
  return result, math.max(seconds() - from, 0.01)
end

local cpus = mp.process_cpu_count()
local files, place
if arg[1] then
  place = arg[1]
  files = text_files("'" .. place:gsub("'", "'\\''") .. "'")
else
  files, place = largest()
end
print(("%d text files, %.1f MiB below %s"):format(
  #files, files.bytes / MiB, place))

local alone, alone_took = timed(in_one_process, files)
local together, together_took = timed(in_many_processes, files, cpus)

local words = most_frequent(together)
print(("%d different words; the most frequent:"):format(#words))
for i = 1, math.min(10, #words) do
  print(("  %-12s %9d"):format(words[i], together[words[i]]))
end
print(("one process:   %6.2f s"):format(alone_took))
print(("%d processes:   %6.2f s"):format(cpus, together_took))
print(("speedup:       %6.2f"):format(alone_took / together_took))
print("results equal: " .. tostring(same(alone, together)))
os.exit(same(alone, together))
