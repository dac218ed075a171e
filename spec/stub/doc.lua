-- doc.lua -- writes the reference as Markdown, from the stubs.
--
-- Called by `make doc` from the root of the tree; prints to stdout.
package.path = "./spec/stub/?.lua;" .. package.path
local reader = require "reader"

local function write(format, ...) io.write(format:format(...), "\n") end

--- A type as in the stubs, for a table: "a|b" would end a column.
local function code(text) return "`" .. text:gsub("|", " or ") .. "`" end

--- "timeout? number seconds" -> "timeout", "number?", "seconds"; the type is
--- one word, or ends with its brackets.
local function take_apart(note)
  local name, rest = note:match("^([%w_.]+%??)%s*(.*)$")
  if not name then return "", note, "" end
  local optional = name:sub(-1) == "?"
  local kind = rest:match("^fun%b():?%s*[%w_.]*") or rest:match("^%b{}")
    or rest:match("^%S+") or ""
  local words = rest:sub(#kind + 1):gsub("^%s+", "")
  return optional and name:sub(1, -2) or name,
    optional and kind .. "?" or kind, words
end

local function prose(item)
  if #item.text == 0 then return end
  write("\n%s", table.concat(item.text, "\n"))
end

--- What a class is made of, as a table.
local function fields(item)
  local any
  for _, note in ipairs(item.notes) do
    if note.tag == "field" then
      if not any then write("\n| field | type | |\n|---|---|---|") end
      any = true
      local name, kind, words = take_apart(note.text)
      write("| `%s` | %s | %s |", name, code(kind), (words:gsub("|", "\\|")))
    end
  end
end

local function overloads(item)
  for _, note in ipairs(item.notes) do
    if note.tag == "overload" then
      write("\n`%s%s`", item.name, (note.text:gsub("^fun", "")))
    end
  end
end

local function parameters(item)
  for _, note in ipairs(item.notes) do
    if note.tag == "param" then
      local name, kind, words = take_apart(note.text)
      write("- `%s` (%s) %s", name, kind, words)
    end
  end
end

local function results(item)
  local list = {}
  for _, note in ipairs(item.notes) do
    if note.tag == "return" then
      local kind = note.text:match("^%S+")
      local words = note.text:sub(#kind + 1):gsub("^%s+", "")
      list[#list + 1] = code(kind) .. (words ~= "" and " " .. words or "")
    end
  end
  if #list > 0 then write("- returns %s", table.concat(list, "; ")) end
end

local WRITE = {
  section = function(item) write("\n## %s", item.name) end,
  class = function(item)
    if #item.text == 0 and #item.notes == 1 then return end -- a mere name
    write("\n### %s", item.name)
    if item.parent then write("\nHas everything of `%s`.", item.parent) end
    prose(item)
    overloads(item)
    fields(item)
  end,
  ["function"] = function(item)
    write("\n#### %s(%s)", item.name, table.concat(item.params, ", "))
    prose(item)
    write("")
    parameters(item)
    results(item)
  end,
  value = function(item)
    write("\n#### %s", item.name)
    prose(item)
    write("\nIs `%s`.", item.value)
  end,
  type = function(item)
    write("\n### %s", item.name)
    prose(item)
    local values = reader.note_of(item, "alias"):match("^[%w_.]+%s*(.*)$")
    write("\n%s", (values:gsub("|", " or ")))
  end,
}

write([[
# The reference of luamp

Written by `make doc` from the stubs in `lua/meta/`.  Timeouts are seconds:
`nil` waits for ever, 0 and less only look, NaN raises.]])
for _, item in ipairs(reader.read_all()) do WRITE[item.kind](item) end
