-- The pages that say how names of others map to ours.

local function slurp(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

describe("the page for those who come from Python", function()
  it("has every name of multiprocessing and concurrent.futures", function()
    local page = slurp("lua/doc/coming-from-python.md")
    local pipe <close> = assert(io.popen("python3 spec/stub/names.py"))
    local missing, n = {}, 0
    for name in pipe:lines() do
      n = n + 1
      if not page:find("`[^`\n]*%f[%w_]" .. name .. "%f[^%w_]") then
        missing[#missing + 1] = name
      end
    end
    assert.is_true(n > 100)
    assert.same({}, missing)
  end)
end)

describe("the tables of the tree", function()
  it("name every file", function()
    local pages = slurp("README.md") .. slurp("runtime/README.md")
    local missing = {}
    local files <close> = assert(io.popen(
      "ls runtime/core/*.c runtime/bind/*.c lua/mp/*.lua"))
    for path in files:lines() do
      local name, stem = path:match("(([%w_]+)%.%a+)$")
      if not pages:find("`" .. name .. "`", 1, true)
        and not pages:find("`" .. stem .. "`", 1, true) then
        missing[#missing + 1] = path
      end
    end
    assert.same({}, missing)
  end)
end)

describe("links", function()
  it("lead to files that are there", function()
    local pages <close> = assert(io.popen(
      "ls README.md runtime/README.md lua/doc/*.md"))
    for page in pages:lines() do
      local dir = page:match("^(.*/)") or ""
      for target in slurp(page):gmatch("%]%(([^)#]+)") do
        if not target:find("^https?:") then
          local file = io.open(dir .. target)
          assert.is_truthy(file, page .. ": " .. target)
          file:close()
        end
      end
    end
  end)
end)
