#!/usr/bin/env bash
# dist.sh -- does the release archive build from itself, without a network, and
# do its single-file sources?
#
# Prints what went wrong, then "N passed, N failed".
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
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
    printf 'dist: %s\n' "$title"
    tail -n 40 "$work/log" | sed 's/^/  /'
  fi
}

# Away from every network, where the kernel lets us.
offline() {
  if unshare -n true 2>/dev/null; then
    unshare -n "$@"
  else
    "$@"
  fi
}
cc=${CC:-cc}
lua_h=-isystem${LUA_INCDIR:-$(pkg-config --variable=includedir lua5.4)/lua5.4}
clang=${CLANG:-clang}
strict='-std=c11 -O0 -Wall -Wextra -Wpedantic -Wconversion -Werror'

unpack() {
  make dist DEPS=no BUILD="$work" && tar xzf "$work"/luamp-*.tar.gz -C "$work"
}
# shellcheck disable=SC2086 # a list of words
build_host() {
  "$1" $strict "$lua_h" -Ibuild/amalgam -o build/amalgam/host \
    examples/embed/host.c build/amalgam/luamp.c \
    "${LUA_LIB:--llua5.4}" -lm -ldl -pthread
}
run_host() {
  [ "$(seq 3 | build/amalgam/host examples/embed/pool.lua \
    examples/embed/work.lua)" = $'1: 1\n2: 3\n3: 6' ]
}
# Only the core: neither Lua's headers nor its functions.
# shellcheck disable=SC2086
build_core() {
  "$1" $strict -DLUAMP_CORE_ONLY -c -o "$work/core.o" build/amalgam/luamp.c &&
    ! nm -u "$work/core.o" | grep ' lua'
}

unset MAKEFLAGS MAKELEVEL MFLAGS
if git rev-parse HEAD >/dev/null 2>&1; then
  check "make dist" unpack
  cd "$work"/luamp-*/ || exit 1
fi
check "it builds" offline make DEPS=no CFLAGS=-O0 BUILD=build
check "its luamp works" build/bin/luamp examples/hello.lua
check "make amalgam" offline make amalgam DEPS=no CFLAGS=-O0 \
  BUILD=build
for with in "$cc" "$clang"; do
  if ! command -v "$with" >/dev/null; then
    echo "dist: no $with here: the single file is not built with it"
    continue
  fi
  check "the single file builds in a host, $with" build_host "$with"
  check "the host works, $with" run_host
  check "the single file builds without Lua, $with" build_core "$with"
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
