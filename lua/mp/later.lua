--- Names of a module that are loaded when they are first used.
--
-- What is not used costs nothing: a program that requires mp for a Process
-- does not load pools.  An object that arrives in a message brings its module
-- by itself.
---@param module table gets a metatable
---@param names table<string, string> name -> the module that has it; the whole
--- of a module that is called like it ("mp.pool" of pool)
---@return table module
return function(module, names)
  return setmetatable(module, {
    __index = function(self, key)
      local name = names[key]
      if not name then return nil end
      local value = require(name)
      if name:match("[^.]*$") ~= key then value = value[key] end
      rawset(self, key, value)
      return value
    end,
    __names = names,
  })
end
