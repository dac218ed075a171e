--- The same table under Python's name.
return require "mp"
