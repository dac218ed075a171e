-- luamp behaves as lua 5.4 does: each case runs under both, and what they
-- print to stdout and stderr and their exit codes must be the same.

local alike = require "alike"
local LUAMP, LUA = alike.luamp, alike.lua
local file, run, same = alike.file, alike.run, alike.same

describe("luamp", function()
  alike.use_dir()

  describe("runs code like lua:", function()
    it("-e", function()
      assert.equal("1\n2\n", same{"-e", "print(1)", "-eprint(2)"}.out)
    end)

    it("-e shares globals with the script", function()
      local script = file("s.lua", "print(x)")
      assert.equal("7\n", same{"-e", "x = 7", script}.out)
    end)

    it("-l", function()
      file("m.lua", "return 'm ' .. (...)")
      local env = "LUA_PATH='" .. alike.dir .. "/?.lua'"
      for _, words in ipairs{{"-l", "m"}, {"-lm"}} do
        words[#words + 1] = "-eprint(m)"
        assert.equal("m m\n", same(words, {env = env}).out)
      end
    end)

    it("-l g=mod", function()
      file("m.lua", "return 'm'")
      local env = "LUA_PATH='" .. alike.dir .. "/?.lua'"
      assert.equal("m\tnil\n",
        same({"-l", "g=m", "-e", "print(g, m)"}, {env = env}).out)
    end)

    it("-l of what is not there", function()
      assert.equal(1, same{"-l", "no.such"}.code)
    end)

    it("options in their order", function()
      same{"-e", "print(1)", "-l", "string", "-e", "print(2)", "-W",
        "-e", "warn('on')", "-e", "error('x')", "-e", "print(3)"}
    end)

    it("-v", function()
      assert.matches("^Lua 5%.4", same{"-v"}.out)
      same{"-v", "-e", "print(1)"}
    end)

    it("-W and warn", function()
      assert.equal("Lua warning: a\n", same{"-W", "-e", "warn('a')"}.err)
      same{"-e", "warn('off')"}
      same{"-e", "warn('@on') warn('a', 'b') warn('@off') warn('c')"}
    end)

    it("-E", function()
      local env = "LUA_INIT='print(1)' LUA_PATH=nowhere"
      local shown = {"-E", "-e", "print(package.path, package.cpath)"}
      assert.not_matches("nowhere", same(shown, {env = env}).out)
      table.remove(shown, 1)
      assert.matches("nowhere", same(shown, {env = env}).out)
    end)

    it("a script from stdin", function()
      assert.equal("hi\n", same({}, {stdin = "print('hi')"}).out)
      assert.equal("a b\n",
        same({"-", "a", "b"}, {stdin = "print((...), arg[2])"}).out
          :gsub("\t", " "))
      same({}, {stdin = "error('x')"})
      same({"-"}, {stdin = "error('x')"})
      same({"-"}, {stdin = "x ="})
    end)

    it("--", function()
      local script = file("-s.lua", "print(arg[0], ...)")
      same{"--", script, "-e", "--"}
      same({"--"}, {stdin = "print('stdin')"})
      assert.equal(1, same({"--", "-"}, {stdin = "print('stdin')"}).code)
    end)

    it("a script with a shebang line", function()
      same{file("s.lua", "#!/usr/bin/env lua\nprint('x')\nerror('line 3')")}
    end)

    it("a binary script", function()
      local f = assert(load("print('bin', ...)", "=code"))
      same{file("s.luac", string.dump(f)), "a"}
    end)

    -- What is small lies elsewhere than in lua (state.c).
    it("deep calls, large stacks, and arrays as large as a record of a call",
      function()
        same{"-e", [[
          local function deep(n, four)
            four = four or {n, n, n, n}
            if n == 0 then return 0 end
            local more = deep(n - 1, n % 3 == 0 and four or nil)
            four[5] = more
            return more + #four - 4
          end
          for round = 1, 5 do
            for _, n in ipairs{3, 20, 60, 500, 100000, 7} do
              print(round, n, deep(n))
              print(select("#", table.unpack({}, 1, n)))
              collectgarbage(round % 2 == 0 and "step" or "collect")
            end
          end
          print(pcall(function() local function f() return 1 + f() end f() end))
          print(coroutine.wrap(function() return deep(1000) end)())
        ]]}
      end)

    it("in generational mode", function()
      same{"-e", "print(collectgarbage('incremental'))"}
    end)
  end)

  describe("gives scripts what lua gives:", function()
    local show = [[
      local low = 0
      while arg[low - 1] do low = low - 1 end
      for i = low + 1, #arg do print(i, arg[i]) end
      print(low, #arg, select('#', ...), ...)]]

    it("arg, with negative indices", function()
      local script = file("s.lua", show)
      same{script}
      same{script, "a", "", "-e", "b c"}
      same{"-W", "-e", "x = 1", script, "a"}
      same({"-", "a"}, {stdin = show})
      same{"-e", show, script, "a"}
    end)

    it("arg[0] and before: the command itself", function()
      local script = file("s.lua", "print(arg[-1])")
      assert.equal(LUAMP .. "\n", run(LUAMP, {script}).out)
      assert.equal(LUAMP .. "\n", run(LUAMP, {"-e", "print(arg[0])"}).out)
    end)

    it("arguments that were changed in arg", function()
      local script = file("s.lua", "print(...)")
      same{"-e", "arg = {'x', 'y'}", script, "a"}
      same{"-e", "arg = nil", script, "a"}
    end)

    it("LUA_INIT", function()
      local init = file("init.lua", "print('init', arg[0] ~= nil) y = 8")
      same({"-e", "print(x)"}, {env = "LUA_INIT='x = 1'"})
      same({"-e", "print(y)"}, {env = "LUA_INIT=@" .. init})
      same({"-e", "print(x)"}, {env = "LUA_INIT='x = 1' LUA_INIT_5_4='x = 2'"})
      same({"-e", "print(x)"}, {env = "LUA_INIT='x = 1' LUA_INIT_5_4="})
    end)

    it("errors of LUA_INIT", function()
      assert.equal(1, same({"-e", "print(1)"}, {env = "LUA_INIT='x ='"}).code)
      same({"-e", "print(1)"}, {env = "LUA_INIT='error(1)'"})
      same({"-e", "print(1)"}, {env = "LUA_INIT_5_4='error{}'"})
      same({"-e", "print(1)"}, {env = "LUA_INIT=@/no/such/file"})
    end)
  end)

  describe("fails like lua:", function()
    it("errors in a script", function()
      local script = file("s.lua", [[
        local function f(n) if n == 0 then error('deep') end f(n - 1) end
        local t = setmetatable({}, {__index = function() f(3) end})
        print(pcall(error, 'caught'))
        local _ = t.x]])
      assert.equal(1, same{script}.code)
    end)

    it("errors in a coroutine and in a C function", function()
      same{"-e", "coroutine.wrap(function() error('co') end)()"}
      same{"-e", "string.rep()"}
      same{"-e", "local function f() return f() + 1 end f()"}
    end)

    it("error objects", function()
      same{"-e", "error()"}
      same{"-e", "error(nil)"}
      same{"-e", "error(42)"}
      same{"-e", "error(true)"}
      same{"-e", "error({})"}
      same{"-e", "error(print)"}
      same{"-e", "error('no position', 0)"}
      local object = "error(setmetatable({}, {__tostring = function() %s end}))"
      assert.equal("PROGRAM: text\n",
        same{"-e", object:format("return 'text'")}.err)
      same{"-e", object:format("return {}")}
      same{"-e", object:format("error('in handler')")}
    end)

    it("syntax errors", function()
      assert.equal(1, same{"-e", "x = = 1"}.code)
      same{"-e", "for"}
      same{file("s.lua", "local x\nx = )\n")}
      same{file("s.luac", "\27Lua damaged")}
    end)

    it("a script that is not there", function()
      assert.equal(1, same{"/no/such/script.lua"}.code)
      same{"--", "-e"}
      same{alike.dir} -- a directory
    end)

    it("options that lua does not have", function()
      for _, word in ipairs{"-z", "-vv", "-Ex", "-Wx", "-ix", "---"} do
        assert.equal(1, same{word, "-e", "print(1)"}.code)
      end
    end)

    it("options without their argument", function()
      for _, word in ipairs{"-e", "-l"} do
        assert.equal(1, same{word}.code)
        same{word, "-v"}
      end
      same{"-e", ""}
    end)

    it("os.exit", function()
      for _, code in ipairs{"", "0", "1", "7", "255", "256", "true", "false",
        "3, true"} do
        same{"-e", "print('x') os.exit(" .. code .. ")"}
      end
      assert.equal(7, same{"-e", "os.exit(7)"}.code)
    end)

    it("__gc and __close at the end of the script", function()
      same{"-e", "setmetatable({}, {__gc = function() print('gc') end})"}
      same{"-e", "t = setmetatable({}, {__close = function() print('c') end})"
        .. " local t <close> = t error('x')"}
    end)

    it("a closed stdout", function()
      local options = {stdout = ">&-"}
      same({"-e", "print(1)"}, options)
      same({"-v"}, options)
      same({"-e", "assert(io.write('x'))", "-e", "assert(io.stdout:flush())"},
        options)
    end)

    it("a full stdout", function()
      same({"-e", "print(1) assert(io.stdout:flush())"},
        {stdout = ">/dev/full"})
    end)

    it("Ctrl-C", function()
      local did = same{"-e", "local f = io.popen('echo $PPID') " ..
        "local pid = f:read('n') f:close() " ..
        "os.execute('(sleep 0.2; kill -INT ' .. pid .. ') &') " ..
        "while true do end"}
      assert.matches("^PROGRAM: .*interrupted!\nstack traceback", did.err)
      assert.equal(1, did.code)
    end)
  end)

  describe("reads, evaluates and prints like lua:", function()
    -- A lua with readline repeats each line that it reads.
    local function without_echo(out, input)
      local at = 1
      for line in input:gmatch("[^\n]+") do
        local first, last = out:find(line .. "\n", at, true)
        if not first then return out end
        out, at = out:sub(1, first - 1) .. out:sub(last + 1), first
      end
      return out
    end

    local function session(text, words)
      local theirs = run(LUA, words or {"-i"}, {stdin = text})
      local ours = run(LUAMP, words or {"-i"}, {stdin = text})
      theirs.out = without_echo(theirs.out, text)
      assert.same(theirs, ours)
      return ours
    end

    it("expressions, statements, unfinished lines", function()
      session("1+1\n=2\nx = 3\nx, nil, 'a'\nfor i = 1, 2 do\nprint(i)\nend\n")
      session("return\nlocal y = 1\ny\n--comment\n")
      session("x = (\n(\n1\n) + 1\n)\nx\n")
      session("'a\\\nb'\n")
      session("1 + 1") -- no newline at the end
    end)

    it("errors, which do not end it", function()
      local did = session("error('a')\nx = = 1\nerror({})\nnil + 1\n'after'\n")
      assert.matches("after", did.out)
      assert.equal(0, did.code)
    end)

    it("prompts of one's own", function()
      session("_PROMPT = 'p1 '\n_PROMPT2 = 42\nx = (\n1)\nx\n")
      session("_PROMPT = setmetatable({}, {__tostring = function() " ..
        "return 'obj ' end})\n1\n")
    end)

    it("a broken print", function()
      session("print = 1\n1\n")
      session("function print() error('mine') end\n1\n")
    end)

    it("after a script, unless it failed", function()
      local good = file("good.lua", "x = 5 print(...)")
      local bad = file("bad.lua", "error('x')")
      session("x\n", {"-i", good, "a"})
      session("print('not reached')\n", {"-i", bad})
    end)
  end)

  describe("has more than lua:", function()
    it("--version and --help", function()
      local version = run(LUAMP, {"--version"})
      assert.matches("^luamp %d+%.%d+%.%d+ %(Lua 5%.4%.%d+%)\n$", version.out)
      assert.equal(0, version.code)
      local help = run(LUAMP, {"--help"})
      assert.matches("^usage: PROGRAM %[options%]", help.out)
      assert.equal("", help.err)
      assert.equal(0, help.code)
    end)

    it("mp, without any path", function()
      local did = run(LUAMP, {"-e", [[
        local mp = require('mp')
        assert(mp == require('multiprocessing'))
        print(type(require('mp.core')), select(2, require('mp.core')))]]},
        {env = "LUA_PATH=nowhere LUA_CPATH=nowhere"})
      assert.same({out = "table\n", err = "", how = "exit", code = 0}, did)
    end)

    it("nothing of it loaded before it is required", function()
      same{"-e", [[
        local names = {}
        for name in pairs(package.loaded) do names[#names + 1] = name end
        table.sort(names)
        print(table.concat(names, ' '))]]}
    end)

    it("names in tracebacks that say where", function()
      local did = run(LUAMP, {"-e", [[
        local mp = require('mp')
        print(debug.getinfo(mp.Process.start, 'S').source)]]})
      assert.matches("^@mp/[%w_/]+%.lua\n$", did.out)
    end)

    require "helper".it_with "cjson" ("C modules of other people", function()
      local did = same{"-e", [[
        local cjson = require('cjson')
        print(cjson.encode({1, 'a', cjson.decode('{"x": null}').x}))]]}
      assert.same('[1,"a",null]\n', did.out)
    end)
  end)
end)
