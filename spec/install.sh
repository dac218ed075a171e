#!/usr/bin/env bash
# install.sh -- does what `make install` lays out work, from there alone?
#
# Prints what went wrong, then "N passed, N failed".
LUA=${LUA:-lua5.4}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
dir=$work/usr
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
    printf 'install: %s\n' "$title"
    sed 's/^/  /' "$work/log"
  fi
}

# Do work in another process, so that all parts are needed.
script=$work/work.lua
cat >"$script" <<'EOF'
local mp = require("mp")
assert(mp == require("multiprocessing"))
local from = debug.getinfo(mp.Process.start).source
for _, method in ipairs({"fork", "spawn", "forkserver", "thread"}) do
  local p = mp.get_context(method).Process(function() return 6 * 7 end)
  assert(p:start():result() == 42, method)
end
print(from)
EOF

# The same in a C program that carries luamp with it.
cat >"$work/host.c" <<'EOF'
#include <lauxlib.h>
#include <lualib.h>
#include <luamp.h>
#include <mp.h>
#include <stdio.h>

int main(void) {
  lua_State *L = luaL_newstate();
  int status;

  luaL_openlibs(L);
  luamp_preload(L);
  status = luaL_dostring(
    L, "local mp = require 'mp'\n"
       "local p = mp.get_context('fork').Process(function() return 42 end)\n"
       "assert(p:start():result() == 42)\n");
  if (status != LUA_OK)
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
  lua_close(L);
  return status != LUA_OK || mp_cpu_count() < 1;
}
EOF

# The core without Lua: a queue, a fork, and a value through it.
cat >"$work/core.c" <<'EOF'
#include <mp.h>

int main(void) {
  struct mp_value got, v = MP_VALUE_INTEGER(42);
  char bytes[16], scratch[MP_INLINE_MAX];
  struct mp_iov iov = {bytes, 0};
  struct mp_out out = {&iov, 1, 0, NULL};
  struct mp_values rest;
  struct mp_msg m;
  mp_ref queue, p;

  iov.len = (size_t)mp_value_encode(&v, bytes, sizeof bytes);
  if (mp_enter() < 0 || mp_queue_open(&queue, MP_TYPE_QUEUE, 0) < 0 ||
      mp_proc_open(&p, NULL, 0) < 0)
    return 1;
  if (mp_proc_fork(p) == 0)
    mp_exit(mp_queue_put(queue, &out, MP_FOREVER, NULL) < 0);
  return mp_queue_get(queue, &m, scratch, MP_FOREVER) < 0 ||
         mp_value_decode(m.data, m.len, &got, &rest) < 0 ||
         got.as.integer != 42 || mp_proc_join(p, MP_FOREVER) < 0;
}
EOF

plain_lua() (
  export LUA_PATH="$dir/share/lua/5.4/?.lua;$dir/share/lua/5.4/?/init.lua;;"
  export LUA_CPATH="$dir/lib/lua/5.4/?.so;;"
  cd / && "$LUA" "$script" >"$work/from"
)
installed_luamp() (
  unset LUA_PATH LUA_CPATH
  cd / && env -i PATH=/nowhere "$dir/bin/luamp" "$script" >"$work/from"
)
compile() (
  export PKG_CONFIG_PATH=$dir/lib/pkgconfig
  # shellcheck disable=SC2046 -- words
  "${CC:-cc}" -Wall -Werror -o "$work/host" "$work/host.c" \
    $(pkg-config --cflags --libs luamp)
)
compile_static() (
  export PKG_CONFIG_PATH=$dir/lib/pkgconfig
  # shellcheck disable=SC2046 -- words
  "${CC:-cc}" -Wall -Werror -o "$work/static" "$work/host.c" \
    $(pkg-config --cflags --libs luamp |
      sed 's/-l\(lua[0-9.-]\+\)/-l:lib\1.a/') -ldl && ! readelf -d "$work/static" | grep -q 'NEEDED.*liblua'
)
compile_core() {
  "${CC:-cc}" -Wall -Werror -I"$dir/include" -o "$work/core" "$work/core.c" \
    -L"$dir/lib" -lluamp -lm -pthread
}
make_install() {
  make install DEPS=no BUILD="${OUT:-build}" "$@"
}
manual() {
  local options
  # Whatever groff or man complains about is printed.
  [ -z "$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 \
    -l -Tutf8 -Z "$dir/share/man/man1/luamp.1" 2>&1 >/dev/null)" ] || return
  # Each option of --help is there.
  options=$("$dir/bin/luamp" --help | sed -n 's/^  \(-[^ ]*\).*/\1/p')
  for option in $options; do
    grep -qF -- "${option//-/\\-}" "$dir/share/man/man1/luamp.1" || {
      echo "$option is not in luamp.1"
      return 1
    }
  done
}
# complete WORD...: what bash offers for the last word
complete_words() {
  PATH=$dir/bin:$PATH bash -c '
    . "$0"
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    _luamp
    printf "%s\n" "${COMPREPLY[@]}"
  ' "$dir/share/bash-completion/completions/luamp" "$@"
}
offers() {
  local want=$1
  shift
  complete_words "$@" | tee /dev/stderr | grep -qxF -- "$want"
}
staged() (
  make_install PREFIX=/opt/luamp DESTDIR="$work/stage" &&
    test -x "$work/stage/opt/luamp/bin/luamp" &&
    grep -q '^prefix=/opt/luamp$' \
      "$work/stage/opt/luamp/lib/pkgconfig/luamp.pc"
)
stubs_stay() {
  ! find "$dir/share" -path '*meta*' | grep .
}

finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
  exit
}

unset MAKEFLAGS MAKELEVEL MFLAGS
check "make install PREFIX=dir" make_install PREFIX="$dir"
[ "$failed" -eq 0 ] || finish
for file in bin/luamp lib/lua/5.4/mp/core.so share/lua/5.4/mp/init.lua \
  share/lua/5.4/multiprocessing.lua lib/libluamp.a include/luamp.h \
  include/mp.h lib/pkgconfig/luamp.pc; do
  check "$file is there" test -s "$dir/$file"
done
check "the stubs for editors are not" stubs_stay
check "luamp works, with no path set" installed_luamp
check "its modules are the built-in ones" grep '^@mp/' "$work/from"
check "plain Lua works" plain_lua
check "its modules are the installed ones" grep "^@$dir/" "$work/from"
check "a C program builds with the .pc file" compile
check "the C program works" "$work/host"
check "a C program builds with a static Lua" compile_static
check "it works without a shared one" "$work/static"
check "a C program builds with the core alone" compile_core
check "it works" "$work/core"
check "DESTDIR is honoured" staged
if command -v man >/dev/null; then
  check "the manual page is in order" manual
fi
touch "$work/script.lua"
check "bash completes options" offers --version luamp --v
check "bash completes modules" offers multiprocessing luamp -l mult
check "bash completes scripts" offers "$work/script.lua" luamp -W "$work/scr"
check "bash completes arguments" offers "$work/host.c" luamp x.lua "$work/ho"
if command -v zsh >/dev/null; then
  check "zsh can read its completion" zsh -n \
    "$dir/share/zsh/site-functions/_luamp"
fi

finish
