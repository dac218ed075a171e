-- Queues: every method and its edges, in every kind of process.

local helper = require "helper"
local mp = require "mp"
local host = helper.host

local LONG = helper.LONG
local start, finish, elapsed = helper.child, helper.finish, helper.elapsed
local each_method = helper.each_method

local KINDS = { "Queue", "JoinableQueue", "SimpleQueue" }

local function each_kind(title, test)
  for _, kind in ipairs(KINDS) do
    it(kind .. " " .. title, function() test(mp[kind](), kind) end)
  end
end

describe("queue:", function()
  describe("one process:", function()
    each_kind("gives back in order what was put", function(q)
      for i = 1, 1000 do assert.is_true(q:put(i)) end
      for i = 1, 1000 do assert.equal(i, q:get()) end
      assert.is_true(q:empty())
    end)

    each_kind("tells a nil from nothing", function(q)
      assert.is_true(q:put(nil))
      assert.same({ n = 1 }, table.pack(q:get()))
      assert.same({ n = 2, nil, "empty" }, table.pack(q:get(0)))
    end)

    each_kind("takes items of every size", function(q)
      for _, n in ipairs { 0, 1, 63, 64, 4095, 4096, 8191, 8192, 8193, 65536,
        1 << 20, 20 << 20 } do
        local s = ("\0\255x"):rep(n // 3 + 1):sub(1, n)
        assert.is_true(q:put(s))
        assert.is_true(q:get(LONG) == s)
      end
    end)

    each_kind("is a type of its own", function(q, kind)
      assert.equal("mp." .. kind, getmetatable(q) and debug.getmetatable(q)
        .__name)
      assert.truthy(tostring(q):find("^mp%." .. kind .. " %(0 items%): 0x"))
      q:put(1)
      assert.truthy(tostring(q):find("(1 item):", 1, true))
      q:close()
      assert.truthy(tostring(q):find("(1 item, closed):", 1, true))
      assert.is_nil(q.nothing)
      assert.has_error(function() q.x = 1 end,
        "mp." .. kind .. ": cannot set 'x'")
    end)

    each_kind("is closed for good", function(q)
      q:put("left")
      q:close()
      q:close()
      assert.same({ false, "closed" }, { q:put(1) })
      assert.equal("left", q:get())
      assert.same({ n = 2, nil, "closed" }, table.pack(q:get()))
      assert.same({ n = 2, nil, "closed" }, table.pack(q:get(0)))
    end)

    each_kind("closes when a block is left", function(q)
      do
        local again <close> = q
        again:put(1)
      end
      assert.same({ false, "closed" }, { q:put(2) })
    end)

    it("counts exactly", function()
      local q = mp.Queue()
      assert.equal(0, q:qsize())
      assert.is_true(q:empty())
      assert.is_false(q:full())
      q:put(1)
      q:put("long: " .. ("x"):rep(100000))
      assert.equal(2, q:qsize())
      assert.is_false(q:empty())
      q:get()
      assert.equal(1, q:qsize())
    end)

    it("has a limit", function()
      local q = mp.Queue(2)
      assert.is_true(q:put(1))
      assert.is_false(q:full())
      assert.is_true(q:put_nowait(2))
      assert.is_true(q:full())
      assert.same({ false, "full" }, { q:put_nowait(3) })
      assert.same({ false, "full" }, { q:put(3, 0) })
      assert.same({ false, "full" }, { q:put(3, -1) })
      local seconds, ok, why = elapsed(q.put, q, 3, 0.05)
      assert.same({ false, "full" }, { ok, why })
      assert.is_true(seconds >= 0.05)
      assert.equal(1, q:get_nowait())
      assert.is_true(q:put(3))
      assert.equal(2, q:get(1))
      assert.equal(3, q:get())
      assert.same({ n = 2, nil, "empty" }, table.pack(q:get_nowait()))
    end)

    it("has none with zero, a negative number or nil", function()
      for _, n in ipairs { 0, -1, math.mininteger } do
        local q = mp.Queue(n)
        for i = 1, 100 do assert.is_true(q:put_nowait(i)) end
        assert.is_false(q:full())
      end
      assert.is_true(mp.Queue(math.maxinteger):put_nowait(1))
      assert.is_true(mp.JoinableQueue(1.0):put_nowait(1))
    end)

    it("waits for an item as long as it was told", function()
      local seconds, v, why = elapsed(mp.Queue().get, mp.Queue(), 0.05)
      assert.is_nil(v)
      assert.equal("empty", why)
      assert.is_true(seconds >= 0.05)
    end)

    it("refuses what is no argument", function()
      local q = mp.Queue()
      for _, bad in ipairs { "1", {}, true, 1.5, 0 / 0 } do
        assert.error_matches(function() mp.Queue(bad) end, "^.*Queue: maxsize")
      end
      assert.error_matches(function() q:put() end, "value expected")
      assert.error_matches(function() q:put(1, "1") end, "number %(seconds%)")
      assert.error_matches(function() q:get(0 / 0) end, "NaN")
      assert.error_matches(function() q.get({}) end, "mp.Queue expected")
      assert.error_matches(function() q:put { a = coroutine.create(print) } end,
        "value.a: cannot send a thread")
      assert.equal(0, q:qsize())
    end)
  end)

  describe("between processes:", function()
    each_method("work goes there and back", function(ctx)
      local tasks, results = ctx.Queue(), ctx.SimpleQueue()
      local worker = start(ctx, function(from, to)
        while true do
          local f, why = from:get()
          if why then return why end
          to:put(f())
        end
      end, tasks, results)
      for i = 1, 100 do tasks:put(function() return i * i end) end
      tasks:close()
      assert.equal("closed", finish(worker))
      for i = 1, 100 do assert.equal(i * i, results:get(LONG)) end
    end)

    each_method("a queue travels in a queue", function(ctx)
      local q, inner = ctx.Queue(), ctx.JoinableQueue(3)
      local worker = start(ctx, function(from)
        local got = from:get()
        got.q:put("hello")
        return got.q == got.again, got.q:full()
      end, q)
      q:put { q = inner, again = inner }
      assert.same({ true, false }, { finish(worker) })
      assert.equal("hello", inner:get(LONG))
    end)
  end)

  describe("descriptors:", function()
    local function is_readable(fd)
      return #mp.wait({ fd }, 0) == 1
    end

    each_kind("tells an event loop", function(q)
      local fd = q:fileno()
      assert.equal(fd, q:fileno())
      assert.equal(fd, q:getfd())
      assert.equal(fd, q:pollfd())
      assert.equal("r", q:events())
      assert.is_nil(q:timeout())
      for _ = 1, 3 do
        assert.is_false(is_readable(fd))
        assert.is_false(q:dirty())
        q:put(1)
        q:put(2)
        assert.is_true(is_readable(fd))
        assert.is_true(q:dirty())
        q:get()
        assert.is_true(is_readable(fd))
        q:get()
      end
      assert.is_false(is_readable(fd))
      q:close()
      assert.is_true(is_readable(fd))
      q:get()
      assert.is_true(is_readable(fd))
    end)

    it("wait takes queues beside other things", function()
      local q, r, reader, writer = mp.Queue(), mp.SimpleQueue(), mp.Pipe(false)
      local list = { q, reader, r }
      assert.same({}, mp.wait(list, 0))
      r:put(1)
      assert.same({ r }, mp.wait(list))
      writer:send(1)
      q:close()
      assert.same({ q, reader, r }, mp.wait(list))
      r:get()
      reader:recv()
      assert.same({ q }, mp.wait(list))
      reader:close()
      writer:close()
    end)

    it("an item that another took makes nothing ready", function()
      local q, done = mp.Queue(), mp.SimpleQueue()
      q:fileno()
      start(mp.get_context("fork"), function()
        q:put(1)
        done:put((q:get()))
      end)
      assert.equal(1, done:get(LONG))
      assert.same({}, mp.wait({ q }, 0.05))
    end)

    each_method("a waiter hears of an item", function(ctx)
      local q, back = ctx.Queue(), ctx.Queue()
      for i = 1, 3 do
        start(ctx, function(from, to)
          local n = 0
          while true do
            require "mp".wait { from }
            local v, why = from:get_nowait()
            if why == "closed" then break end
            n = n + (v or 0)
          end
          to:put(n)
        end, q, back)
        q:put(i)
      end
      for i = 4, 100 do q:put(i) end
      q:close()
      local sum = 0
      for _ = 1, 3 do sum = sum + back:get(LONG) end
      assert.equal(5050, sum)
    end)
  end)

  describe("what it costs:", function()
    it("no system call when nobody waits", function()
      helper.with_dir(function(dir)
        helper.output([[
          local simple, joinable = mp.SimpleQueue(), mp.JoinableQueue(10)
          local plain = mp.Queue()
          local function round(n)
            for i = 1, n do
              simple:put { id = i, name = "abc", value = 3.14 }
              simple:get()
              joinable:put(i)
              joinable:get()
              joinable:task_done()
              plain:put_nowait("x")
              plain:qsize()
              plain:get(1)
            end
          end
          round(10000) -- the segments have their size then
          host.write(2, "begin")
          round(10000)
          host.write(2, "end")
        ]], { before = "strace -f -o " .. dir .. "/trace" })
        local between = helper.slurp(dir .. "/trace"):match(
          '"begin", 5%) *= 5\n(.*)%f[^\n]%d+ +write%(2, "end"')
        for line in between:gmatch("[^\n]+") do
          -- the collector's, and a sanitizer's; musl's heap grows by
          -- private mappings
          assert.truthy(line:find("^%d+ +brk%(") or line:find("munmap")
            or helper.libc == "musl"
              and line:find("MAP_PRIVATE|MAP_ANON", 1, true)
            or helper.sanitizer and line:find("mmap"), line)
        end
      end)
    end)

    it("queues that are dropped leave nothing", function()
      helper.slow(60)
      helper.output [[
        local core = require "mp.core"
        local function used()
          local file <close> = io.open("/proc/self/smaps")
          local kib, inside = 0, false
          for line in file:lines() do
            if line:find("^%x+%-%x+ ") then
              inside = line:find("memfd:luamp", 1, true)
            elseif inside then
              kib = kib + (line:match("^Rss: +(%d+)") or 0)
            end
          end
          return kib
        end
        local function round(n)
          for i = 1, n do
            local q = mp.Queue()
            if i % 10 == 0 then q:put(i) end
            if i % 100 == 0 then q:put(q) end -- a cycle, until it is taken
            if i % 100 == 0 then q:get() q:get() end
          end
          collectgarbage()
          collectgarbage()
        end
        round(20000)
        local before = used()
        assert(before > 0)
        round(1000000)
        assert(used() <= before + 64, used() .. " KiB, was " .. before)
      ]]
    end)
  end)

  describe("JoinableQueue", function()
    local TOO_MANY = "task_done() called too many times"

    it("is joined when each item is done", function()
      local q = mp.JoinableQueue()
      assert.same({ n = 1, true }, table.pack(q:join()))
      q:put(1)
      q:put(2)
      assert.same({ false, "timeout" }, { q:join(0) })
      q:get()
      q:get()
      local seconds, ok, why = elapsed(q.join, q, 0.05)
      assert.same({ false, "timeout" }, { ok, why })
      assert.is_true(seconds >= 0.05)
      q:task_done()
      assert.is_false((q:join(-1)))
      q:task_done()
      assert.same({ n = 1, true }, table.pack(q:join()))
    end)

    it("refuses more ends than items", function()
      local q = mp.JoinableQueue()
      assert.has_error(function() q:task_done() end, TOO_MANY)
      q:put(1)
      assert.has_error(function() q:task_done() end, TOO_MANY)
      q:get()
      q:task_done()
      assert.has_error(function() q:task_done() end, TOO_MANY)
      assert.error_matches(function() q:join("1") end, "number %(seconds%)")
      assert.error_matches(function() q.task_done(mp.Queue()) end,
        "mp.JoinableQueue expected")
      assert.is_nil(mp.Queue().join)
    end)

    each_method("waits for workers", function(ctx)
      local q = ctx.JoinableQueue()
      local sums = ctx.SimpleQueue()
      for _ = 1, 2 do
        start(ctx, function(from, to)
          local sum = 0
          while true do
            local n = from:get()
            if n == nil then break end
            sum = sum + n
            from:task_done()
          end
          to:put(sum)
        end, q, sums)
      end
      for i = 1, 500 do q:put(i) end
      assert.same({ n = 1, true }, table.pack(q:join(LONG)))
      q:close()
      assert.equal(125250, sums:get(LONG) + sums:get(LONG))
    end)

    each_method("loses what the dead had not done", function(ctx)
      local q, seen = ctx.JoinableQueue(), ctx.SimpleQueue()
      local never = ctx.SimpleQueue()
      local process = start(ctx, function(from, to)
        to:put((from:get()))
        to:put((from:get()))
        from:task_done()
        to:put("done")
        never:get()
      end, q, seen)
      for i = 1, 3 do q:put(i) end
      assert.equal(1, seen:get(LONG))
      assert.equal(2, seen:get(LONG))
      assert.equal("done", seen:get(LONG))
      process:kill()
      assert.is_true(process:join(LONG))
      assert.is_false((q:join(0.01)))
      assert.equal(3, q:get(LONG))
      q:task_done()
      local from = host.now()
      assert.same({ true, "lost" }, { q:join(LONG) })
      assert.is_true(host.now() - from < 1)
      assert.same({ n = 1, true }, table.pack(q:join()))
    end)

    it("tells a crew what was lost, each once", function()
      local q = mp.JoinableQueue()
      assert.equal(1, q:_put("a", 10))
      assert.equal(2, q:_put(("b"):rep(100000), 20))
      local reduced = setmetatable({}, { __reduce = function()
        return print
      end })
      assert.has_error(function() q:_put({ reduced }, 30, true) end,
        "value[1]: cannot send what has a __reduce")
      assert.equal(3, q:_put("c", 30, true))
      assert.same({ n = 3, 10, true, "a" }, table.pack(q:_get()))
      assert.is_nil((q:_lost(mp.current_process())))
      local seen, never = mp.SimpleQueue(), mp.SimpleQueue()
      local process = start(mp.get_context("fork"), function()
        q:_get()
        seen:put(1)
        never:get()
      end)
      assert.equal(1, seen:get(LONG))
      assert.is_nil((q:_lost(process)))
      process:kill()
      process:join()
      assert.is_nil((q:_lost(mp.current_process())))
      assert.equal(2, q:_lost(process))
      assert.is_nil((q:_lost(process)))
      q:_get()
      for _ = 1, 2 do q:task_done() end
      assert.same({ n = 1, true }, table.pack(q:join()))
      q:close()
      assert.same({ false, "closed" }, { q:_put(1, 1) })
      assert.same({ n = 2, nil, "closed" }, table.pack(q:_get()))
    end)

    it("hands out a tag also when its item cannot be decoded", function()
      local q = mp.JoinableQueue()
      local bad = setmetatable({}, { __reduce = function()
        return function() error("not here") end
      end })
      q:_put(bad, 7)
      q:_put("good", 8)
      local tag, ok, why = q:_get()
      assert.same({ 7, false }, { tag, ok })
      assert.matches("not here", why)
      assert.same({ n = 3, 8, true, "good" }, table.pack(q:_get()))
    end)

    it("takes back what nobody has taken", function()
      local q = mp.JoinableQueue()
      for i = 1, 300 do
        q:_put(i % 3 == 0 and ("x"):rep(20000) or i, i)
      end
      assert.equal(1, q:_get())
      assert.is_true(q:_took(1))
      assert.is_false(q:_took(2))
      assert.same({ 2, 3 }, q:_void(1, 3))
      assert.same({}, q:_void(1, 3))
      assert.equal(4, q:_get())
      assert.equal(295, #q:_void(5, 299))
      assert.equal(300, q:_get())
      assert.same({ nil, "empty" }, { q:_get(0) })
      q:_put("more", 301)
      assert.equal(1, #q:_void(301, 301))
      assert.same({ nil, "empty" }, { q:_get(0) })
      q:_put("more", 302)
      assert.same({ n = 3, 302, true, "more" }, table.pack(q:_get()))
      for _ = 1, 4 do q:task_done() end
      assert.has_error(function() q:task_done() end)
    end)

    it("returns from waiting when a process of the family dies", function()
      for _, ctx in helper.methods() do
        local q = mp.JoinableQueue()
        local gate = mp.SimpleQueue()
        local process = start(ctx, function() gate:get() end)
        local _, why, _, deaths = q:_get(0, -1)
        assert.equal("death", why)
        assert.same({ nil, "empty" }, { q:_get(0, deaths) })
        gate:put(1)
        _, why, _, deaths = q:_get(LONG, deaths)
        assert.equal("death", why)
        process:join()
        assert.is_number(deaths)
      end
    end)
  end)
end)
