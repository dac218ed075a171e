-- What a test of the stand-alone interpreter has to cover: options, stdin,
-- LUA_INIT, arg, warnings, signals.  Each case runs under luamp and under lua,
-- and both must do the same, byte for byte.
local alike = require "alike"
local file, run, same = alike.file, alike.run, alike.same

local SHOW = [[
local low = 0
while arg[low - 1] do low = low - 1 end
for i = low + 1, #arg do print(i, arg[i]) end
print(low, #arg, ...)
]]

describe("luamp and lua, from outside:", function()
  alike.use_dir()

  describe("scripts", function()
    it("with a mark of UTF-8, a first comment, or both", function()
      for _, start in ipairs{"", "\xEF\xBB\xBF", "# x\n", "#x",
        "\xEF\xBB\xBF# comment\n", "\xEF\xBB\xBF#", "#\n", "\n#"} do
        same{file("s.lua", start .. "print('x', debug.traceback())")}
        same{file("s.lua", start)}
      end
    end)

    it("in binary, behind a comment, damaged, or where text is meant",
      function()
        local code = string.dump(assert(load("print('b', ...) return 1")))
        same{file("s", "# a comment\n" .. code), "a"}
        same{file("s", "#\n" .. code:sub(1, -6)), "a"}
        same({"-"}, {stdin = code})
        same({"-"}, {stdin = "\xEF\xBB\xBF" .. code})
      end)

    it("that end without a newline, or in the middle of something", function()
      for _, text in ipairs{"print(1)--", "x = '", "x = [[", "--[[", "return",
        "return 1, 2", "goto x", "::a:: ::a::", "break",
        "local x <const> = 1 x = 2", "\0", "x = \0", "print('a\0b')", "\27"} do
        same{file("s.lua", text)}
        same({}, {stdin = text})
      end
    end)

    it("named like options, or strangely", function()
      file("-", "print('minus', ...)")
      file("-x.lua", "print('x', ...)")
      file("a b.lua", "print('a b', arg[0])")
      local here = {env = "-C " .. alike.dir}
      local there = alike.luamp:sub(1, 1) == "/" and alike.luamp
        or io.popen("pwd"):read() .. "/" .. alike.luamp
      local function both(words)
        assert.same(run(alike.lua, words, here), run(there, words, here))
      end
      both{"--", "-", "a"}
      both{"--", "-x.lua", "-y"}
      both{"./-x.lua", "-e", "--"}
      both{"a b.lua"}
      both{"-x.lua"}
      both{""}
    end)

    it("that read on in their own stdin", function()
      same({file("s.lua", "print(io.read('l', 'n', 'a'))")},
        {stdin = "one\n2 three\nfour"})
      same({"-e", "print(io.read('a'))"}, {stdin = "all of it"})
      same({"-e", "print(io.read('l'))", "-"}, {stdin = "first\nprint('rest')"})
      same({"-"}, {stdin = "print(io.read('a'))\nprint('not code')"})
    end)

    it("that return values, which nobody sees", function()
      assert.equal(0, same{file("s.lua", "return 7")}.code)
      assert.equal(0, same{"-e", "return false"}.code)
    end)
  end)

  describe("arg", function()
    it("for every way to say what runs", function()
      local script = file("s.lua", SHOW)
      same{"-e", "", "-i", "-W", script, "a", "-b"}
      same{"-lstring", "-l", "t=table", "--", script}
      same({"-v", "-", "a", "b"}, {stdin = SHOW})
      same({"-e", SHOW, "--", "-"}, {stdin = "print(1)"})
      same({"-E", "-e", SHOW, "-v"})
      same({}, {stdin = SHOW})
    end)

    it("in LUA_INIT, -e and modules, before the script", function()
      local script = file("s.lua", "print('script', ...)")
      file("m.lua", SHOW)
      local env = "LUA_INIT='print(#arg, arg[0]) arg[1] = 1' LUA_PATH='" ..
        alike.dir .. "/?.lua'"
      same({"-lm", "-e", SHOW .. " arg[3] = 'c'", script, "a", "b"},
        {env = env})
    end)

    it("that is no list", function()
      local script = file("s.lua", "print(...)")
      for _, to in ipairs{"nil", "1", "'text'", "{n = 3}", "{nil, 2}",
        "setmetatable({}, {__len = function() return 2 end})",
        "setmetatable({}, {__len = function() return 'x' end})",
        "setmetatable({}, {__index = function(_, i) return i end})"} do
        same{"-e", "arg = " .. to, script, "a"}
      end
    end)

    it("of many and of long words", function()
      local script = file("s.lua", "print(#arg, #(...), select('#', ...))")
      local words = {script, ("x"):rep(100000)}
      for i = 1, 3000 do words[i + 2] = tostring(i) end
      same(words)
    end)
  end)

  describe("options", function()
    it("joined, repeated, in any order", function()
      for _, words in ipairs{{"-iv"}, {"-ei"}, {"-e"}, {"-e", "-"},
        {"-e", "--"},
        {"-l"}, {"-l", "-l"}, {"-h"}, {"--h"}, {"-?"}, {"-EE"}, {"-W1"},
        {"-w"}, {"-e=1"}, {"-e", "x=1", "-eprint(x)", "-e", "print(x, 2)"},
        {"-v", "-v"}, {"-W", "-W", "-e", "warn'a'"}, {"-e", "error'x'", "-z"},
        {"-v", "-z"}, {"-i", "-z"}, {"-E", "-E", "-e", "print(1)"},
        {"-e", ""}, {"-e", "", ""}, {"-v", "--"}, {"-v", "-"}} do
        same(words, {stdin = "print('stdin')"})
      end
    end)

    it("-l: names with dots, hyphens and marks; what loads what", function()
      file("a.lua", "print('a', ...) return {b = require 'b'}")
      file("b.lua", "print('b', ...) x = 1")
      file("v-c.lua", "return 'hyphen'")
      assert(os.execute("mkdir " .. alike.dir .. "/d"))
      file("d/e.lua", "return 'dotted'")
      local options = {env = "LUA_PATH='" .. alike.dir .. "/?.lua'"}
      same({"-la", "-lb", "-e", "print(type(a), a.b, b, x)"}, options)
      same({"-l", "d.e", "-e", "print(_G['d.e'], d)"}, options)
      same({"-l", "g=d.e", "-e", "print(g)"}, options)
      same({"-l", "v-c", "-e", "print(_G['v-c'], c, v)"}, options)
      same({"-l", "v=", "-e", "print(v)"}, options)
      same({"-l", "=a", "-e", "print(_G[''])"}, options)
      same({"-l", "g=a=b"}, options)
      same({"-la", "-e", "error('after')"}, options)
    end)

    it("-l of modules that fail", function()
      file("bad.lua", "x = = 1")
      file("fails.lua", "error('inside')")
      file("object.lua", "error({})")
      file("loop.lua", "return require 'loop'")
      local options = {env = "LUA_PATH='" .. alike.dir .. "/?.lua'"}
      for _, name in ipairs{"bad", "fails", "object", "loop", "not-there"} do
        assert.equal(1, same({"-l", name, "-e", "print(1)"}, options).code)
      end
      same{"-e", "require = nil", "-l", "string"}
    end)

    it("-E: nothing of the environment is heard", function()
      local env = "LUA_INIT='print(1)' LUA_INIT_5_4='print(2)' " ..
        "LUA_PATH=a LUA_PATH_5_4=b LUA_CPATH=c LUA_CPATH_5_4=d"
      local show = "print(package.path, package.cpath)"
      same({"-E", "-e", show}, {env = env})
      same({"-e", show, "-E"}, {env = env})
      same({"-e", show}, {env = env})
    end)

    it("LUA_PATH_5_4 before LUA_PATH, and ;; for what it would be", function()
      local show = {"-e", "print(package.path) print(package.cpath)"}
      for _, path in ipairs{"", ";;", "x;;", ";;x", "x;;y", ";", "x;;y;;"} do
        same(show, {env = ("LUA_PATH='%s' LUA_CPATH='%s'"):format(path, path)})
        same(show, {env = ("LUA_PATH=no LUA_PATH_5_4='%s' " ..
          "LUA_CPATH=no LUA_CPATH_5_4='%s'"):format(path, path)})
      end
    end)

    it("LUA_INIT: a file, code, an error; under the right name", function()
      for _, name in ipairs{"LUA_INIT", "LUA_INIT_5_4"} do
        for _, code in ipairs{"print(debug.getinfo(1, 'S').source)", "error()",
          "x = = 1", "error(setmetatable({}, {__tostring = " ..
          "function() return 'mine' end}))", "os.exit(3)", "@", "@/", "",
          "-- nothing", "return 1"} do
          same({"-e", "print('after')"},
            {env = ('%s="%s"'):format(name, code)})
        end
      end
      local init = file("i.lua", "print('i', ...) error('in file')")
      same({"-v"}, {env = "LUA_INIT=@" .. init})
      same({"-z"}, {env = "LUA_INIT=@" .. init})
    end)
  end)

  describe("warnings", function()
    it("by warn: switched, in pieces, with control words", function()
      for _, code in ipairs{"warn('@on', 'x')", "warn('a', '@on')",
        "warn('@off') warn('a')", "warn('@on') warn('', '', 'c')",
        "warn('@unknown') warn('@on') warn('b')", "warn()", "warn(1, {})",
        "warn('@on') warn('two\\nlines')", "warn('@on') warn('@off') " ..
        "warn('no') warn('@on') warn('yes')"} do
        same{"-e", code}
        same{"-W", "-e", code}
      end
    end)

    it("by finalizers, while it runs and at the end", function()
      local fails = "x = setmetatable({}, {__gc = function() %s end})"
      for _, code in ipairs{"error('in gc')", "error({})", "error()",
        "error(setmetatable({}, {__tostring = function() return 't' end}))"} do
        same{"-W", "-e", fails:format(code)}
        same{"-W", "-e", fails:format(code), "-e", "x = nil collectgarbage()"}
        same{"-e", fails:format(code)}
        same{"-W", "-e", fails:format(code), "-e", "error('main')"}
      end
    end)
  end)

  describe("the end", function()
    it("by errors of every kind", function()
      for _, value in ipairs{"", "nil", "false", "0.5", "2^53", "'a\\0b'", "{}",
        "print", "coroutine.create(print)", "io.stdout",
        "setmetatable({}, {__tostring = function() return nil end})",
        "setmetatable({}, {__tostring = function() return 1 end})",
        "setmetatable({}, {__tostring = function(s) error(s) end})",
        "setmetatable({}, {__tostring = function() return 'a\\nb' end})",
        "setmetatable({}, {__name = 'My.Type'})",
        "setmetatable({}, {__name = 'My.Type', __tostring = 1})",
        "'level', 0", "'level', 1", "'level', 2"} do
        assert.equal(1, same{"-e", "error(" .. value .. ")"}.code)
        same{file("s.lua", "local function f() error(" .. value .. ") end f()")}
      end
    end)

    it("by a stack that overflows, a memory that does not suffice", function()
      same{"-e", "local function f() return 1 + f() end f()"}
      same{"-e", "local t = setmetatable({}, {}) getmetatable(t).__index = " ..
        "function(t, k) return t[k + 1] end print(t[1])"}
      same{"-e", "string.rep('x', 1 << 40)"}
      same{"-e", "('x'):rep(-1 >> 1)"}
    end)

    it("by os.exit, with and without closing the state", function()
      for _, how in ipairs{"", "true", "false", "0", "7", "-1", "300",
        "true, true", "false, true", "5, true", "'x'", "1.5"} do
        same{"-e", [[
          local c <close> = setmetatable({}, {__close = function()
            print('closed') end})
          g = setmetatable({}, {__gc = function() print('collected') end})
          io.write('no newline')
          os.exit(]] .. how .. ")"}
      end
    end)

    it("in a coroutine", function()
      same{"-e", "coroutine.wrap(function() os.exit(4, true) end)()"}
      same{"-e", [[
        local co = coroutine.wrap(function()
          local x <close> = setmetatable({}, {__close = function(_, e)
            print('closing', e) end})
          error('inside')
        end)
        co()]]}
    end)

    it("by a signal", function()
      -- The shell that popen starts is a child of the interpreter.
      local kill = "io.popen('kill -%s $PPID; sleep 9'):read('a') print('on')"
      for _, signal in ipairs{"TERM", "KILL", "HUP", "PIPE", "USR1"} do
        same{"-e", kill:format(signal)}
      end
    end)

    it("by Ctrl-C: an error where it is, which can be caught", function()
      -- Where it comes is a matter of chance, what it says is not.
      local kill = "local p = io.popen('kill -INT $PPID; echo') " ..
        "p:read('a') p:close() while true do end "
      for _, handler in ipairs{"function(m) return 'caught ' .. " ..
        "m:match('interrupted!$') end", "function() error('again') end"} do
        same{"-e", "print(xpcall(function() " .. kill .. "end, " .. handler ..
          ")) print('goes on')"}
      end
      for _, program in ipairs{alike.lua, alike.luamp} do
        local did = run(program, {"-e", kill})
        assert.equal(1, did.code)
        assert.matches("^PROGRAM: .*interrupted!\nstack traceback:\n", did.err)
      end
    end)
  end)

  describe("output", function()
    it("that cannot be written", function()
      for _, to in ipairs{">&-", ">/dev/full", "<&-", "2>&-"} do
        for _, code in ipairs{"print('x')", "io.write('x'):write('y')",
          "print(io.write(('x'):rep(1 << 16)))", "io.stdout:setvbuf('no') " ..
          "print(io.write('x'))", "print(io.stdout:close())",
          "io.stderr:write('e')", "error('x')", "print(io.read())"} do
          same({"-e", code}, {stdout = to})
        end
        same({"-v"}, {stdout = to})
        same({"-z"}, {stdout = to})
        same({"-i"}, {stdout = to})
      end
    end)

    it("whose reader is gone", function()
      same{"-e", [[
        local program = arg[0]
        local p = io.popen(program .. [=[ -e "for i = 1, 1e5 do print(i) end"]=]
          .. ' | head -1')
        print(p:read('a'))]]}
    end)

    it("in the order in which it was written", function()
      same({"-e", "io.write('1 ') io.stderr:write('2 ') print(3) " ..
        "io.stdout:setvbuf('line') io.write('4\\n') io.stderr:write('5')"},
        {stdout = "2>&1"})
    end)
  end)
end)
