--- Shared values and arrays; what they can do is the binding's.
local core = require "mp.core"

local cell = {
  Value = core.value,
  RawValue = core.raw_value,
  Array = core.array,
  RawArray = core.raw_array,
  Struct = core.struct,
}

-- In a field of this module, so that a Struct can travel.
local Struct = core.metatable("mp.Struct")
cell.StructType = Struct

function Struct:__tostring()
  local fields = {}
  for i, field in ipairs(self) do
    fields[i] = ("%s %s%s"):format(field[1], field[2],
      field[3] and "[" .. field[3] .. "]" or "")
  end
  return ("mp.Struct {%s}"):format(table.concat(fields, ", "))
end

return cell
