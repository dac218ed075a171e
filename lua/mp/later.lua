--- Names of a module that are loaded when they are first used.
--
-- What is not used costs nothing: a program that requires mp for a Process
-- does not load queues.  An object that arrives in a message brings its module
-- by itself.
---@param module table gets a metatable
---@param members table<string, string> name -> the module that has it
---@param modules? table<string, string> name -> the module that it is
---@return table module
return function(module, members, modules)
  return setmetatable(module, {
    __index = function(self, name)
      local value
      if members[name] then
        value = require(members[name])[name]
      elseif modules and modules[name] then
        value = require(modules[name])
      end
      rawset(self, name, value)
      return value
    end,
    -- For those who want to know every name, as editors do.
    __pairs = function(self)
      for name in next, members do local _ = self[name] end
      for name in next, modules or {} do local _ = self[name] end
      return next, self
    end,
  })
end
