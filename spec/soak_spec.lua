-- Everything at once, for a moment; `make soak TIME=3600` is the same for
-- longer.
local helper = require "helper"

local seconds = tonumber(os.getenv("SOAK")) or 3

describe("everything at once", function()
  it("comes through kills, stops and ends", function()
    helper.slow(60 + 5 * seconds)
    local r = helper.run(("arg = { [0] = 'soak', %d, %q } dofile(%q)"):format(
      seconds, os.getenv("SEED") or "", helper.root
      .. "/spec/stress/soak.lua"))
    if seconds > 3 then print(r.out) end
    assert.matches("%f[%d]%d+ passed, 0 failed\n$", r.out, r.err)
  end)
end)
