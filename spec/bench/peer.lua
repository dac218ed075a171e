-- lua peer.lua serialize_OBJECT_LIBRARY [SCALE]: encodings that Debian has for
-- Lua.  Runs under 5.1 too, as not all of them are packaged for 5.4.

package.path = "spec/bench/?.lua;" .. package.path
local objects = require "objects"

local name, scale = arg[1], tonumber(arg[2] or 1)
local object, library = name:match("^serialize_(%w+)_(%w+)$")

local codecs = {
  cjson = function()
    local cjson = require "cjson"
    return cjson.encode, cjson.decode
  end,
  mpack = function()
    local mpack = require "mpack"
    local encode = mpack.encode or mpack.pack
    local decode = mpack.decode or mpack.unpack
    return encode, decode
  end,
  messagepack = function()
    local messagepack = require "MessagePack"
    return messagepack.pack, messagepack.unpack
  end,
}

--- Seconds by CLOCK_MONOTONIC; without a library for it, of CPU time, which
--- is the same for one busy process on a machine with a CPU to spare.
local function clock()
  local found, core = pcall(require, "mp.core")
  if found then return core.now end
  local posix
  found, posix = pcall(require, "posix.time")
  if not found then return os.clock end
  return function()
    local t = posix.clock_gettime(posix.CLOCK_MONOTONIC)
    return t.tv_sec + t.tv_nsec * 1e-9
  end
end

-- They are slow; a run should still take less than a second.
local pace = {cjson = 0.3, mpack = 0.2, messagepack = 0.13}

local encode, decode = codecs[library]()
local value = objects[object]()
local data = encode(value)
local back = decode(data)
assert(object ~= "record" or back.name == "abc")
assert(object == "record" or #back == #value)

local now = clock()
local n = math.max(1, math.floor(objects.times[object] * pace[library] * scale))
local begin = now()
for _ = 1, n do encode(value) end
for _ = 1, n do decode(data) end
print(string.format("%.6g", n / (now() - begin)))
