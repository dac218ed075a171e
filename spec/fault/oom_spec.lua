-- When memory runs out: builds and runs spec/fault/*_oom.c.
local helper = require "helper"

local luamp = os.getenv("LUAMP") or "build/bin/luamp"
local out = luamp:gsub("/bin/[^/]*$", "")

local function survives(name, flags)
  helper.slow(120)
  local command = ("${CC:-cc} -D_GNU_SOURCE -std=gnu11 -O1 -g "
    .. "$(pkg-config --cflags lua5.4) -Iruntime/include -Iruntime/core %s "
    .. "-o %s/spec/%s spec/fault/%s.c %s/libluamp.a "
    .. "$(pkg-config --variable=libdir lua5.4)/liblua5.4.a -lm -ldl "
    .. "-pthread 2>&1 && %s/spec/%s 2>&1"):format(flags or "", out, name, name,
    out, out, name)
  local pipe = assert(io.popen(command))
  local output = pipe:read("a")
  pipe:close()
  assert.matches("%d+ passed, 0 failed\n$", output)
end

describe("when memory runs out", function()
  it("D5 the codec survives the failure of any allocation", function()
    survives "pack_oom"
  end)

  it("D5 so does all else, of shared memory too", function()
    survives("api_oom",
      "-Wl,--wrap=malloc,--wrap=calloc,--wrap=mp__alloc")
  end)
end)
