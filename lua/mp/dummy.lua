--- The API of mp with threads for processes, as Python's
--- multiprocessing.dummy has it.
return require "mp".get_context("thread")
