-- Writing and reading JSON, as far as the bench's own files need it.

local json = {}

local function quoted(text)
  return '"' .. text:gsub('[%c"\\]', function(c)
    return ("\\u%04x"):format(c:byte())
  end) .. '"'
end

--- A table with a first element is an array; keys come in order.
function json.encode(v)
  if type(v) ~= "table" then
    return type(v) == "string" and quoted(v) or tostring(v)
  end
  local out = {}
  if #v > 0 then
    for i, item in ipairs(v) do out[i] = json.encode(item) end
    return "[" .. table.concat(out, ",") .. "]"
  end
  for key, item in pairs(v) do
    table.insert(out, quoted(key) .. ":" .. json.encode(item))
  end
  table.sort(out)
  return "{" .. table.concat(out, ",") .. "}"
end

local value -- text, position -> value, position after it

local function sequence(text, at, closing, item)
  local out = {}
  at = text:match("^%s*()", at)
  while text:sub(at, at) ~= closing do
    at = item(out, at)
    at = text:match("^%s*,?%s*()", at)
  end
  return out, at + 1
end

local readers = {
  ["{"] = function(text, at)
    return sequence(text, at + 1, "}", function(out, from)
      local key
      key, from = value(text, from)
      out[key], from = value(text, text:match("^%s*:()", from))
      return from
    end)
  end,
  ["["] = function(text, at)
    return sequence(text, at + 1, "]", function(out, from)
      out[#out + 1], from = value(text, from)
      return from
    end)
  end,
  ['"'] = function(text, at)
    local raw, after = text:match('^"([^"]*)"()', at)
    return raw:gsub("\\u(%x+)", function(hex)
      return string.char(tonumber(hex, 16))
    end), after
  end,
}

function value(text, at)
  at = text:match("^%s*()", at)
  local reader = readers[text:sub(at, at)]
  if reader then return reader(text, at) end
  local word, after = text:match("^([%w.+-]+)()", at)
  if word == "true" or word == "false" then return word == "true", after end
  return assert(tonumber(word), "not what json.encode has written"), after
end

function json.decode(text)
  return (value(text, 1))
end

--- nil when there is no such file.
function json.load(path)
  local file <close> = io.open(path)
  return file and json.decode(file:read("a"))
end

function json.save(path, v)
  local file <close> = assert(io.open(path, "w"))
  file:write(json.encode(v), "\n")
end

return json
