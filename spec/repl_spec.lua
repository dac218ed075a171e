-- The prompt on a terminal: line editing, history, and what lua does there.
local helper = require "helper"
local host, quote = helper.host, helper.quote

--- A program at a terminal.
local Terminal = {}
Terminal.__index = Terminal

--- Start `program words` on a terminal of its own.  env: what to set.
local function terminal(program, words, env)
  local pid, fd = host.forkpty()
  if pid == 0 then
    host.exec("/bin/sh", "-c", ("exec env -u LUA_INIT -u LUA_INIT_5_4 " ..
      "-u LUAMP_HISTORY TERM=xterm %s %s %s"):format(env or "", program,
      words or ""))
    host.leave(127)
  end
  return setmetatable({ pid = pid, fd = fd, seen = "", at = 1 }, Terminal)
end

--- Wait until it shows `text`, after what was found before.
function Terminal:expect(text)
  while true do
    local first, last = self.seen:find(text, self.at, true)
    if first then
      self.at = last + 1
      return self
    end
    local bytes, why = host.read(self.fd, helper.limit * 0.7)
    if not bytes or bytes == "" then
      error(("%q was not shown (%s), but %q"):format(text, why or "end",
        self.seen:sub(self.at)), 2)
    end
    self.seen = self.seen .. bytes
  end
end

function Terminal:type(text)
  assert(host.write(self.fd, text))
  return self
end

--- Wait for its end; the exit code.
function Terminal:wait()
  -- To read from a terminal that nobody has open is an error.
  while host.read(self.fd, helper.limit * 0.7) do end
  local _, code = host.waitpid(self.pid)
  self.ended = true
  return code
end

--- Ctrl-D, as often as it takes, each on an empty line (Ctrl-U): one that comes
--- between libedit's prompt and its switching of the terminal is a character.
function Terminal:finish()
  repeat
    host.write(self.fd, "\21\4")
    local bytes, why = host.read(self.fd, 0.2)
  until not bytes and why ~= "timeout"
  return self:wait()
end

function Terminal:__close()
  if not self.ended then
    host.kill(self.pid, helper.SIGKILL)
    host.waitpid(self.pid)
  end
  host.close(self.fd)
end

local UP = "\27[A"
local BACKSPACE = "\127"

describe("luamp at a terminal", function()
  local dir

  before_each(function()
    dir = os.tmpname()
    os.remove(dir)
    assert(os.execute("mkdir " .. dir))
  end)

  after_each(function() os.execute("rm -r " .. dir) end)

  local function luamp(words, env)
    return terminal(helper.luamp, words, "HOME=" .. dir .. " " .. (env or ""))
  end

  local function maps(t)
    return helper.slurp(("/proc/%d/maps"):format(t.pid))
  end

  -- The libraries are Debian's; elsewhere there may be none.
  local has_libedit = os.execute(
    "ldconfig -p 2>/dev/null | grep -q 'libedit\\.so'")
  local with_libedit = has_libedit and helper.it_with "libedit" or pending

  it("greets, prompts, prints values, and ends as lua does", function()
    for _, program in ipairs{ helper.lua, helper.luamp } do
      local t <close> = terminal(program, "", "HOME=" .. dir)
      t:expect("Lua.org, PUC-Rio\r\n"):expect("> ")
      t:type("1 + 1, nil, 'x'\n"):expect("2\tnil\tx\r\n"):expect("> ")
      t:type("= 7\n"):expect("7\r\n"):expect("> ")
      t:type("error('no')\n"):expect("stdin:1: no\r\nstack traceback:\r\n")
      t:expect("> "):type("x = (\n"):expect(">> "):type("5)\n"):expect("> ")
      t:type("x\n"):expect("5\r\n"):expect("> ")
      assert.equal(0, t:finish())
    end
  end)

  it("shows _PROMPT and _PROMPT2", function()
    local t <close> = luamp()
    t:expect("> "):type("_PROMPT, _PROMPT2 = 'one$ ', 'two$ '\n")
    t:expect("one$ "):type("x = (\n"):expect("two$ "):type("6)\n")
    t:expect("one$ "):type("x\n"):expect("6\r\n"):expect("one$ ")
  end)

  it("ends with the code of os.exit", function()
    local t <close> = luamp()
    t:expect("> "):type("os.exit(3)\n")
    assert.equal(3, t:wait())
  end)

  it("stops a loop, or a wait, at Ctrl-C and goes on", function()
    local t <close> = luamp("-e 'mp = require \"mp\"' -i")
    t:expect("> "):type("print('in it') while true do end\n")
    t:expect("\nin it"):type("\3"):expect("interrupted!"):expect("> ")
    t:type("a, b = mp.Pipe() print('wait') a:recv()\n"):expect("\nwait")
    t:type("\3"):expect("interrupted!"):expect("> ")
    t:type("'go' .. 'es on'\n"):expect("goes on\r\n")
  end)

  it("is ended by Ctrl-C at the prompt, as lua is", function()
    for _, program in ipairs{ helper.lua, helper.luamp } do
      local t <close> = terminal(program, "", "HOME=" .. dir)
      -- The second prompt: the terminal is as the editor wants it.
      t:expect("> "):type("'ready' .. '!'\n"):expect("ready!"):expect("> ")
      t:type("abc\3")
      assert.equal(-helper.SIGINT, t:wait())
    end
  end)

  it("sends functions that were typed to processes", function()
    local t <close> = luamp("-e 'mp = require \"mp\"' -i")
    t:expect("> "):type("n = 20\n"):expect("> ")
    t:type("function twice(x) return 2 * x end\n"):expect("> ")
    t:type("function f(x)\n"):expect(">> "):type("return twice(x) + n\n")
    t:expect(">> "):type("end\n"):expect("> ")
    for _, method in ipairs{ "fork", "spawn", "forkserver", "thread" } do
      t:type(("p = mp.get_context('%s').Process(f, 11)\n"):format(method))
      t:expect("> "):type("p:start():result()\n"):expect("42\r\n")
      t:expect("> ")
    end
    assert.equal(0, t:finish())
  end)

  describe("with libedit", function()
    with_libedit("loads it, and never readline", function()
      local t <close> = luamp()
      t:expect("> ")
      assert.matches("libedit%.so", maps(t))
      assert.not_matches("readline", maps(t))
    end)

    with_libedit("loads it for nothing but a prompt", function()
      local script = dir .. "/s.lua"
      local f <close> = assert(io.open(script, "w"))
      f:write("print('here') io.read()")
      f:flush()
      local t <close> = luamp(script)
      t:expect("here")
      assert.not_matches("libedit%.so", maps(t))
      local dumb <close> = luamp("", "TERM=dumb")
      dumb:expect("> "):type("1 + 1\n"):expect("\n2\r\n"):expect("> ")
      assert.not_matches("libedit%.so", maps(dumb))
      local out = helper.output(("print(io.popen(%q):read('a'))"):format(
        "echo 'print(io.open(\"/proc/self/maps\"):read(\"a\"))' | "
          .. helper.luamp .. " -i"))
      assert.not_matches("libedit%.so", out)
    end)

    with_libedit("edits lines, and keeps the locale of scripts", function()
      local t <close> = luamp("", "LC_ALL=C.UTF-8")
      t:expect("> "):type("'a\u{e9}" .. BACKSPACE .. "b' .. '!'\n")
      t:expect("\nab!\r\n"):expect("> ")
      t:type("os.setlocale()\n"):expect("\nC\r\n")
    end)

    with_libedit("remembers entries, whole, within and between sessions",
      function()
        local t <close> = luamp()
        t:expect("> "):type("for i = 1, 2 do\n"):expect(">> ")
        t:type("print('\\\\', i)\n"):expect(">> "):type("end\n")
        t:expect("\\\t2\r\n"):expect("> "):type(UP .. "\n")
        t:expect("\\\t2\r\n"):expect("> "):type("os.exit()\n")
        t:wait()
        local file = dir .. "/.luamp_history"
        assert.equal("for i = 1, 2 do\\nprint('\\\\\\\\', i)\\nend\n",
          helper.slurp(file):match("^[^\n]*\n"))
        local mode <close> = io.popen("stat -c %a " .. file)
        assert.equal("600\n", mode:read("a"))

        local again <close> = luamp()
        again:expect("> "):type(UP .. UP .. "\n"):expect("\\\t2\r\n")
      end)

    with_libedit("keeps the file where LUAMP_HISTORY says, or none", function()
      local file = dir .. "/elsewhere"
      for env, kept in pairs{ [quote(file)] = true, [""] = false } do
        local t <close> = luamp("", "LUAMP_HISTORY=" .. env)
        t:expect("> "):type("'ty' .. 'ped'\n"):expect("typed"):expect("> ")
        t:finish()
        assert.equal(kept, os.remove(file) ~= nil)
      end
      local t <close> = luamp("-E", "LUAMP_HISTORY=" .. quote(file))
      t:expect("> "):type("'ty' .. 'ped'\n"):expect("typed"):expect("> ")
        t:finish()
      assert.is_nil(io.open(file))
      assert.is_nil(io.open(dir .. "/.luamp_history"))
    end)

    with_libedit("does not let the file grow for ever", function()
      local file = dir .. "/.luamp_history"
      local f = assert(io.open(file, "w"))
      for i = 1, 2500 do f:write("x = ", i, "\n") end
      f:close()
      local t <close> = luamp()
      t:expect("> "):type(UP .. " print(x)\n"):expect("\n2500\r\n")
      t:expect("> "):finish()
      local lines = {}
      for line in io.lines(file) do lines[#lines + 1] = line end
      assert.equal(1001, #lines)
      assert.equal("x = 1501", lines[1])
      assert.equal("x = 2500 print(x)", lines[1001])
    end)
  end)
end)
