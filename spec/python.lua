--- The Pythons of this machine, for specs that talk to one.
local python = {}

local function capture(command)
  local pipe <close> = assert(io.popen(command .. " 2>/dev/null"))
  return pipe:read("a")
end

-- A shim is slow, and only leads to those in versions/.
local WORKS = [[for p in python3 python3.6 python3.7 python3.8 python3.9 \
  python3.10 python3.11 python3.12 python3.13 python3.14 \
  "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3; do
  case $(command -v "$p") in '' | */shims/python3.*) continue ;; esac
  "$p" -ISc 'import sys, _multiprocessing
print("%d.%d" % sys.version_info[:2], sys.executable)'; done]]

local found

--- version ("3.11") -> program; the one that is called python3 always among
--- them.
function python.all()
  if found then return found end
  found = {}
  for version, program in capture(WORKS):gmatch("(%S+) (%S+)\n") do
    found[version] = found[version] or program
  end
  return found
end

--- Start a script; read what it prints with :read, its end with :close.
---@return file* output
function python.start(program, script, ...)
  local words = { program, "-c", script, ... }
  for i, word in ipairs(words) do
    words[i] = "'" .. tostring(word):gsub("'", "'\\''") .. "'"
  end
  return assert(io.popen("exec " .. table.concat(words, " ") .. " 2>&1"))
end

return python
