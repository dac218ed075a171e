--- What the specs of faults need for their scripts (helper.run).
local helper = require "helper"

local scripts = {}

--- A beginning for `works`: every method once, the codes as they must be.
scripts.WORK = [[
  local function work(leave_out)
    for _, method in ipairs(mp.get_all_start_methods()) do
      if method ~= leave_out then
        local ctx = mp.get_context(method)
        local a, b = mp.Pipe()
        local p = ctx.Process(function(x) b:send(x) return b:recv() end,
          { 1 }):start()
        assert(a:recv()[1] == 1)
        assert(p:join(0.01) == false)
        a:send "answer"
        assert(p:result() == "answer" and p.exitcode == 0)
        local q = ctx.Process(os.exit, 7):start()
        assert(q:join() and q.exitcode == 7, q.exitcode)
        local r = ctx.Process(function() b:recv() end):start()
        r:kill()
        assert(mp.wait({ r }, 5)[1] == r)
        assert(r:join() and r.exitcode == -9, r.exitcode)
      end
    end
    assert(#mp.active_children() == 0)
  end
]]

--- f(text, opts): the script `prelude` and `text` runs to its end.
function scripts.works(prelude)
  return function(text, opts)
    assert.equal("ok\n", helper.output(prelude .. text .. " print 'ok'", opts))
  end
end

--- Options for a script whose system calls fail: "openat:error=ENOMEM", ...
function scripts.strace(...)
  local words = { "strace -f -qq -o /dev/null" }
  for _, what in ipairs{ ... } do
    words[#words + 1] = "-e inject=" .. what
  end
  return { before = table.concat(words, " ") }
end

function scripts.is_root()
  return helper.status("self", "Uid"):match("%d+") == "0"
end

return scripts
