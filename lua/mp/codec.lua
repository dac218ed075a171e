--- Values to strings and back.
local core = require "mp.core"
local options = require "mp.options"

local codec = {}

--- Any value that travels, but mp objects, as a string of bytes.
--- Raises with the path to what cannot travel.
---@param value any
---@return string
codec.encode = core.encode

local OPTIONS = { code = "boolean" }

--- The value of a string that `encode` made.
---@param s string
---@param opts? {code: boolean} code = false refuses every function
---@return any value
---@return string? message when the bytes are damaged: nil, message
function codec.decode(s, opts)
  if type(s) ~= "string" then
    error("decode: a string was expected, not a " .. type(s), 2)
  end
  if opts then options.check("decode", opts, OPTIONS) end
  return core.decode(s, not (opts and opts.code == false))
end

return codec
