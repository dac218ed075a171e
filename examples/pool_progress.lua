-- A parallel map over real files, with a progress line on stderr.
--
--   luamp examples/pool_progress.lua [directory]
local mp = require "mp"

local directory = arg and arg[1] or "/usr/include"

local function paths()
  local find <close> = assert(io.popen(
    ("find '%s' -type f -name '*.h' 2>/dev/null | sort | head -n 2000")
      :format((directory:gsub("'", "'\\''")))))
  local list = {}
  for path in find:lines() do list[#list + 1] = path end
  return list
end

-- The longest identifier of a file; a file that cannot be read has none.
local function longest(path)
  local file <close> = io.open(path, "rb")
  local best = ""
  for word in (file and file:read("a") or ""):gmatch("[%a_][%w_]*") do
    if #word > #best then best = word end
  end
  return best
end

local pool <close> = mp.Pool()
local files = paths()
local words = pool:map(longest, files, { progress = "files" })

local best = 0
for i = 1, words.n do
  if best == 0 or #words[i] > #words[best] then best = i end
end
print(("%d files below %s"):format(words.n, directory))
if best > 0 then
  print(("longest identifier: %d letters"):format(#words[best]))
end
