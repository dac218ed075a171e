-- C, G to J: names that go away, foreign memory, sizes, exits, secrets.
local scripts = require "scripts"

local works = scripts.works ""

describe("from outside:", function()
  it("C9 a name that is removed hurts no user; a new one finds nothing",
    function()
      works[[
        local SharedMemory = mp.shared_memory.SharedMemory
        local m = SharedMemory{ create = true, size = 100 }
        local other = SharedMemory{ name = m.name }
        assert(os.remove("/dev/shm/" .. m.name))
        m.buf:set("i", 0, 7)
        assert(other.buf:get("i", 0) == 7)
        local p = mp.Process(function() return m.buf:get("i", 0) end):start()
        assert(p:result() == 7)
        local no, why = SharedMemory{ name = m.name }
        assert(not no and why:find "No such file", why)
        m:unlink()

        local connection = mp.connection
        local l = connection.Listener()
        local there = mp.Process(function()
          local c = connection.Client{ address = l.address }
          local x = c:recv()
          c:send(x)
        end):start()
        local c = l:accept(5)
        assert(os.remove(l.address))
        c:send "still"
        assert(c:recv(5) == "still")
        there:join()
        local none, what = connection.Client{ address = l.address }
        assert(not none and what:find "No such file", what)
        l:close()]]
    end)

  it("G12 a block full of noise is no list, and never more than bytes",
    function()
      works[[
        local s = mp.shared_memory
        local m = s.SharedMemory{ create = true, size = 4096 }
        math.randomseed(12)
        for round = 1, 300 do
          for i = 0, 511 do
            local n = math.random(0, 1) == 0 and math.random(0, 64)
              or math.random(0)
            m.buf:set("q", i * 8, round % 2 == 0 and i == 0 and 10 or n)
          end
          local ok, list = pcall(s.ShareableList, nil, { name = m.name })
          if not ok then
            ok, list = pcall(s.ShareableList, { name = m.name })
          end
          if ok and list then
            for i = 1, math.min(#list, 40) do
              pcall(function() return list[i] end)
              pcall(function() list[i] = i end)
            end
            pcall(list.count, list, 1)
          end
        end
        m:close()
        m:unlink()]]
    end)

  it("J6 another user's process is turned away", function()
    if not scripts.is_root() then pending "only root can be another user" end
    works[[
      local connection = mp.connection
      for _, open in ipairs{ false, true } do
        local l = connection.Listener()
        if open then -- as a careless administrator might
          os.execute("chmod 777 " .. l.address .. " $(dirname "
            .. l.address .. ")")
        end
        local p = mp.Process(function()
          assert(require "host".setuid(65534))
          local c = connection.Client{ address = l.address }
          return c and c:send "x" and c:recv(2)
        end):start()
        local ok, c = pcall(l.accept, l, 1)
        assert(not ok or c == nil, c)
        assert(not p:result())
        l:close()
      end]]
  end)

  it("J5 a key does not travel by accident", function()
    works[[
      local me = mp.current_process()
      local key = me.authkey
      assert(#key >= 32)
      assert(not tostring(me):find(key, 1, true))
      for _, f in ipairs{ mp.encode, mp.pickle.dumps } do
        local ok, text = pcall(f, { me })
        assert(not ok or not text:find(key, 1, true))
      end
      local p = mp.Process(function() end):start()
      p:join()
      local r, w = host.pipe()
      local c = mp.connection.Connection(w, false, true)
      assert(not pcall(c.send, c, p))
      c:close()
      host.close(r)]]
  end)
end)

describe("sizes:", function()
  it("H2 what is larger than a queue goes through it", function()
    works[[
      local long = ("x"):rep(40 << 20)
      for _, q in ipairs{ mp.Queue(1), mp.JoinableQueue(1),
        mp.SimpleQueue() } do
        q:put(long)
        assert(q:get() == long)
      end
      local a, b = mp.Pipe()
      assert(a:send(long))
      assert(b:recv() == long)]]
  end)
end)

describe("os.exit", function()
  it("I4 loses nothing that was put or sent", function()
    works[[
      for _, method in ipairs(mp.get_all_start_methods()) do
        local q = mp.Queue()
        local a, b = mp.Pipe()
        local p = mp.get_context(method).Process(function()
          for i = 1, 500 do q:put{ i, ("x"):rep(i) } end
          b:send(("y"):rep(100000))
          coroutine.wrap(function() os.exit(5) end)()
        end):start()
        p:join()
        assert(p.exitcode == 5, method)
        for i = 1, 500 do assert(#q:get(0)[2] == i) end
        assert(#a:recv(0) == 100000)
      end]]
  end)

  it("I4 in a task costs that task, and says the code", function()
    works[[
      local pool = mp.Pool(2)
      for _, f in ipairs{ function() os.exit(3) end,
        function() os.exit(3, true) end,
        function() coroutine.wrap(os.exit)(3) end } do
        local ok, why = pcall(pool.apply, pool, f)
        assert(not ok and tostring(why):find "3", why)
      end
      assert(pool:apply(function() return "on" end) == "on")
      pool:close()
      pool:join()]]
  end)
end)
