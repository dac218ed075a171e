rockspec_format = "3.0"
package = "luamp"
version = "scm-1"
source = {
  url = "git+file://.",
}
description = {
  summary = "Multiprocessing for Lua 5.4",
  detailed = [[
Processes, pipes and values that travel between them, after the model of
Python's multiprocessing: any Lua function runs in another process.]],
  license = "MIT",
}
dependencies = {
  "lua ~> 5.4",
}
supported_platforms = { "linux" }
-- The Makefile is the one list of sources.
build = {
  type = "make",
  build_variables = {
    BUILD = "build/rock",
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    LUA_LIBDIR = "$(LUA_LIBDIR)",
    DEPS = "no",
  },
  install_variables = {
    BUILD = "build/rock",
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    PREFIX = "$(PREFIX)",
    BINDIR = "$(BINDIR)",
    LIBDIR = "$(LIBDIR)",
    LUADIR = "$(LUADIR)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    LUA_LIBDIR = "$(LUA_LIBDIR)",
    DEPS = "no",
  },
}
