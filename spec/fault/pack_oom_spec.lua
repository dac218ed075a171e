-- The codec when memory runs out: builds and runs spec/fault/pack_oom.c.
local helper = require "helper"

local luamp = os.getenv("LUAMP") or "build/bin/luamp"
local out = luamp:gsub("/bin/[^/]*$", "")

describe("the codec", function()
  it("survives the failure of any allocation", function()
    helper.slow(120)
    local command = ("${CC:-cc} -D_GNU_SOURCE -std=gnu11 -O1 -g "
      .. "$(pkg-config --cflags lua5.4) -Iruntime/include "
      .. "-o %s/spec/pack_oom spec/fault/pack_oom.c %s/libluamp.a "
      .. "$(pkg-config --variable=libdir lua5.4)/liblua5.4.a -lm -ldl "
      .. "-pthread 2>&1 && %s/spec/pack_oom 2>&1"):format(out, out, out)
    local pipe = assert(io.popen(command))
    local output = pipe:read("a")
    pipe:close()
    assert.matches("%d+ passed, 0 failed\n$", output)
  end)
end)
