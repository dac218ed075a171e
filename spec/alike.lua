--- For specs of the command: the same words under luamp and under lua.

local alike = {
  luamp = os.getenv("LUAMP") or "build/bin/luamp",
  lua = os.getenv("LUA") or "lua5.4",
  dir = nil, -- of the test that runs
}

local function quote(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

local function slurp(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

-- The text without what depends on the program: its name, addresses, and how
-- much of the stack it uses itself.
local function neutral(text, program)
  local plain = program:gsub("%p", "%%%0")
  text = text:gsub("^" .. plain .. ":", "PROGRAM:")
  text = text:gsub("\n" .. plain .. ":", "\nPROGRAM:")
  text = text:gsub("usage: " .. plain, "usage: PROGRAM")
  text = text:gsub("%(skipping %d+ levels%)", "(skipping levels)")
  return (text:gsub("0x%x+", "ADDRESS"))
end

--- A directory for each test of a `describe`.
function alike.use_dir()
  before_each(function()
    alike.dir = os.tmpname()
    os.remove(alike.dir)
    assert(os.execute("mkdir " .. alike.dir))
  end)
  after_each(function() os.execute("rm -r " .. alike.dir) end)
end

--- A file in the test's own directory.
function alike.file(name, content)
  local f <close> = assert(io.open(alike.dir .. "/" .. name, "wb"))
  f:write(content)
  return alike.dir .. "/" .. name
end

--- Run `program words`; options: env, stdin, stdout (a redirection).
--- The environment is empty but for what the case sets.
function alike.run(program, words, options)
  options = options or {}
  local line = {"env", "-u LUA_INIT -u LUA_INIT_5_4 -u LUA_PATH",
    "-u LUA_CPATH -u LUA_PATH_5_4 -u LUA_CPATH_5_4", options.env or ""}
  line[#line + 1] = "timeout 20"
  line[#line + 1] = program
  for _, word in ipairs(words) do line[#line + 1] = quote(word) end
  line[#line + 1] = "<" .. alike.file("stdin", options.stdin or "")
  line[#line + 1] = ">" .. alike.file("stdout", "")
  line[#line + 1] = options.stdout
  line[#line + 1] = "2>" .. alike.file("stderr", "")
  local _, how, code = os.execute(table.concat(line, " "))
  return {
    out = neutral(slurp(alike.dir .. "/stdout"), program),
    err = neutral(slurp(alike.dir .. "/stderr"), program),
    how = how,
    code = code,
  }
end

--- Both must do the same; returns what luamp did.
function alike.same(words, options)
  local theirs = alike.run(alike.lua, words, options)
  local ours = alike.run(alike.luamp, words, options)
  assert.same(theirs, ours)
  return ours
end

return alike
