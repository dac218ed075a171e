-- Queues whose producers and consumers are killed, and queues between branches
-- of the family that know nothing of each other.

local helper = require "helper"
local mp = require "mp"
local host = helper.host

local LONG = helper.LONG
local start, finish = helper.child, helper.finish
local each_method = helper.each_method

describe("queue:", function()
  describe("deaths:", function()
    -- Items say who made them and the how-manieth; what a consumer has taken
    -- it tells at once.
    local function produce(q, who, n)
      for i = 1, n do
        q:put { who = who, i = i, body = ("x"):rep(i % 50 == 0 and 9000 or i) }
      end
      return n
    end

    local function consume(q, told, me)
      while true do
        local item, why = q:get()
        if why then return why end
        if #item.body ~= (item.i % 50 == 0 and 9000 or item.i) then
          told:put { torn = true }
        end
        told:put { me = me, who = item.who, i = item.i }
      end
    end

    -- Each consumer's items of a producer are in order; none comes twice;
    -- returns how many of the first `n` (or up to the last) are missing.
    local function account(list, who, n)
      local last, seen, top = {}, {}, 0
      for _, item in ipairs(list) do
        assert.is_nil(item.torn)
        if item.who == who then
          assert.is_true(item.i > (last[item.me] or 0), "order")
          assert.is_nil(seen[item.i], "twice")
          last[item.me], seen[item.i] = item.i, true
          top = math.max(top, item.i)
        end
      end
      local missing = 0
      for k = 1, n or top do missing = missing + (seen[k] and 0 or 1) end
      return missing, top
    end

    local function kills(ctx)
      local N = 400
      local q, told = ctx.Queue(20), ctx.SimpleQueue()
      local makers, takers, list = {}, {}, {}
      for me = 1, 3 do takers[me] = start(ctx, consume, q, told, me) end
      for who = 1, 3 do
        makers[who] = start(ctx, produce, q, who, who == 1 and N or 1 << 30)
      end
      for k = 1, 700 do
        list[k] = told:get(LONG)
        if k == 300 then makers[2]:kill() end
        if k == 500 then takers[1]:kill() end
        if k == 700 then makers[3]:kill() end
      end
      assert.equal(N, finish(makers[1]))
      makers[2]:join()
      makers[3]:join()
      takers[1]:join()
      helper.eventually(function() return q:empty() end)
      q:close()
      assert.equal("closed", finish(takers[2]))
      assert.equal("closed", finish(takers[3]))
      while not told:empty() do list[#list + 1] = told:get() end
      local missing = account(list, 1, N) + account(list, 2)
        + account(list, 3)
      assert.is_true(missing <= 1, missing .. " items are missing")
      assert.equal(0, q:qsize())
    end

    for method, ctx in helper.methods { thread = true } do
      it("of producers and consumers cost one item each at most (" .. method
        .. ")", function()
        helper.slow(30)
        kills(ctx)
      end)
    end

    each_method("of those who wait are seen by nobody", function(ctx)
      local empty, full, ready = ctx.Queue(), ctx.Queue(1), ctx.SimpleQueue()
      full:put(1)
      local waiting = {}
      for i = 1, 4 do
        waiting[i] = start(ctx, function(from, to, here)
          here:put(true)
          if from then from:get() else to:put(2) end
        end, i % 2 == 0 and empty or nil, full, ready)
      end
      for _ = 1, 4 do ready:get(LONG) end
      for i = 1, 4 do waiting[i]:kill() end
      for i = 1, 4 do waiting[i]:join() end
      assert.is_true(empty:put("x", LONG))
      assert.equal("x", empty:get(LONG))
      assert.equal(1, full:get(LONG))
      assert.is_true(full:put(3, LONG))
      assert.equal(3, full:get(LONG))
    end)

    each_method("of the last producer leave a timeout", function(ctx)
      local q = ctx.Queue()
      local process = start(ctx, function(to)
        to:put("last")
        to:put(("x"):rep(100000))
        os.exit(3)
      end, q)
      process:join()
      assert.equal("last", q:get(LONG))
      assert.equal(100000, #q:get(LONG))
      assert.same({ n = 2, nil, "empty" }, table.pack(q:get(0.02)))
    end)

    each_method("of all consumers leave a full queue full", function(ctx)
      local q, ready = ctx.Queue(1), ctx.SimpleQueue()
      local consumer = start(ctx, function(from, here)
        from:get()
        here:put(true)
        here.get(require "mp".Queue())
      end, q, ready)
      q:put(1)
      ready:get(LONG)
      q:put(2)
      consumer:kill()
      consumer:join()
      local from = host.now()
      assert.same({ false, "full" }, { q:put(3, 0.1) })
      assert.is_true(host.now() - from >= 0.1)
      assert.equal(2, q:get(LONG))
    end)

    it("of the parent leave the children their queue", function()
      local q, answer = mp.Queue(), mp.Queue()
      local parent = start(mp.get_context("spawn"), function(there, back)
        local m = require "mp"
        for i = 1, 2 do
          m.Process(function()
            local n = there:get()
            there:put(n + 1)
            back:put(i)
          end):start()
        end
        back:put("started")
        there.get(m.Queue())
      end, q, answer)
      assert.equal("started", answer:get(LONG))
      parent:kill()
      parent:join()
      q:put(1)
      assert.equal(3, answer:get(LONG) + answer:get(LONG))
      assert.equal(3, q:get(LONG))
    end)
  end)

  describe("unrelated branches:", function()
    -- Grandchildren of two children meet in a queue that they were sent.
    for method, ctx in helper.methods() do
      it("meet in a queue (" .. method .. ")", function()
        local there, back = ctx.Queue(), ctx.Queue()
        local function branch(kind, from, to, put)
          local m = require "mp"
          local p = m.get_context(kind).Process(function(a, b, first)
            if first then a:put(b) end
            local inner = first or a:get(8)
            if first then return b:get(8) end
            inner:put("met")
          end, from, to, put):start()
          p:join()
          return p:result()
        end
        local one = start(ctx, branch, "spawn", there, back, true)
        local two = start(ctx, branch, "forkserver", there, back, nil)
        assert.equal("met", finish(one))
        finish(two)
      end)
    end

    it("more processes than CPUs share one queue", function()
      local q, sums = mp.Queue(8), mp.SimpleQueue()
      for _, ctx in helper.methods() do
        for _ = 1, 2 do
          start(ctx, function(from, to)
            local sum = 0
            while true do
              local n = from:get()
              if not n then return to:put(sum) end
              sum = sum + n
            end
          end, q, sums)
        end
      end
      for i = 1, 4000 do q:put(i) end
      q:close()
      local sum = 0
      for _ = 1, 8 do sum = sum + sums:get(LONG) end
      assert.equal(8002000, sum)
    end)
  end)
end)
