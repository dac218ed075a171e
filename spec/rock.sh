#!/usr/bin/env bash
# rock.sh -- does luarocks build, install and find luamp?
#
# Installs into a tree of its own and runs specs with that tree alone, under
# its luamp and under plain Lua.  Then the same for a Lua that is known by
# LUA_INCDIR and LUA_LIBDIR only.  Prints what went wrong, then
# "N passed, N failed".
LUA=${LUA:-lua5.4}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree
rockspec=rockspec/luamp-scm-1.rockspec
quick='-O0 -fPIC' # what is slow is to optimise
passed=0
failed=0

# check TITLE COMMAND...: passed if the command succeeds
check() {
  local title=$1
  shift
  if "$@" >"$work/log" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'rock: %s\n' "$title"
    tail -n 40 "$work/log" | sed 's/^/  /'
  fi
}

rocks() {
  luarocks --lua-version 5.4 --tree "$tree" "$@"
}

# Specs that start processes in every way, away from our own sources; what each
# part does is shown elsewhere.
mkdir "$work/away"
cp -r spec "$work/away/spec"
cat >"$work/away/.busted" <<'END'
return { _all = { helper = "spec/helper.lua", lpath = "./spec/?.lua" } }
END
specs='spec/proc_spec.lua spec/pool_spec.lua'
busted=$(command -v busted)

use_tree() {
  eval "$(rocks path)"
  unset LUA_INIT LUA_INIT_5_4
  export LUAMP=$tree/bin/luamp
  cd "$work/away" || return
}
# shellcheck disable=SC2086 # a list of words
tree_luamp() (use_tree && "$tree/bin/luamp" "$busted" $specs)
# shellcheck disable=SC2086
tree_lua() (use_tree && "$LUA" "$busted" $specs)
finds_tree() (
  use_tree && "$LUA" -e '
    local mp = require "mp"
    local function where()
      return package.searchpath("mp", package.path),
        package.searchpath("mp.core", package.cpath)
    end
    for _, method in ipairs(mp.get_all_start_methods()) do
      local p = mp.get_context(method).Process(where)
      for _, path in ipairs { p:start():result() } do
        assert(path:find(arg[1], 1, true) == 1, method .. ": " .. path)
      end
    end' - "$tree" </dev/null
)
is_clean() {
  rocks remove luamp && ! find "$tree" -name '*luamp*' | grep .
}

# Hosts get the Lua that it was built with, not the system's.
own_pc() {
  cat "$1"
  grep -q "^Libs:.* $work/own/lib/liblua.a" "$1" &&
    grep -q "^Cflags: -I$work/own/include" "$1" && ! grep -q '^Requires' "$1"
}

# A Lua that no .pc file knows of.
own_lua() (
  mkdir -p "$work/own/include" "$work/own/lib" &&
    cp "$(pkg-config --variable=includedir lua5.4)"/lua5.4/*.h \
      "$work/own/include" &&
    cp "$(pkg-config --variable=libdir lua5.4)/liblua5.4.a" \
      "$work/own/lib/liblua.a" &&
    make install DEPS=no CFLAGS="$quick" BUILD="$work/build" \
      PREFIX="$work/own/inst" LUA_INCDIR="$work/own/include" "$@" &&
    "$work/own/inst/bin/luamp" -e 'assert(require("mp").Pipe())' &&
    own_pc "$work/own/inst/lib/pkgconfig/luamp.pc"
)

unset MAKEFLAGS MAKELEVEL MFLAGS
check "luarocks lint" luarocks lint "$rockspec"
check "luarocks make" rocks make "$rockspec" CFLAGS="$quick"
check "specs with the tree's luamp" tree_luamp
check "specs with plain Lua" tree_lua
check "children find the tree's modules" finds_tree
check "luarocks remove leaves nothing" is_clean
check "a Lua known by LUA_INCDIR" own_lua
check "a Lua known by LUA_INCDIR and LUA_LIBDIR" \
  own_lua LUA_LIBDIR="$work/own/lib"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
