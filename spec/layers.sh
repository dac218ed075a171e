#!/usr/bin/env bash
# layers.sh OUT -- does each layer know only what it may?
#
# core (C, no Lua) <- bind (Lua's C API, no system calls) <- lua/mp (Lua, no
# descriptors).  Prints each violation, then "N passed, N failed".
out=${1:-build}
passed=0
failed=0

# check TITLE VIOLATIONS: passed if there are none
check() {
  if [ -z "$2" ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'layers: %s\n' "$1"
    printf '%s\n' "$2" | sed 's/^/  /'
  fi
}

# The undefined symbols of object files: "file: symbol"
undefined() {
  local object
  for object; do
    nm -u --format=posix "$object" | awk -v f="${object##*/}" '{print f ": " $1}'
  done
}

# Sanitizers bring symbols of their own; the plain build is looked at.
core=("$out"/obj/core/*.o)
bind=("$out"/obj/bind/*.o)
check "core objects exist" "$([ -e "${core[0]}" ] || echo "${core[0]}")"
check "bind objects exist" "$([ -e "${bind[0]}" ] || echo "${bind[0]}")"

check "core must not use Lua" \
  "$(undefined "${core[@]}" | grep -E ': lua')"

check "bind may use only Lua, the core, mem* and str*" \
  "$(undefined "${bind[@]}" |
    grep -vE ': (lua|mp_|lmp_|mem|str|__|_GLOBAL_OFFSET_TABLE_)')"

check "core headers must not include Lua's" \
  "$(grep -nE '#include.*(lua|lauxlib|lualib)\.h' runtime/core/*)"

check "core files must include mp.h first" "$(
  for file in runtime/core/*.c; do
    first=$(grep -m 1 '#include' "$file")
    [ "$first" = '#include "mp.h"' ] || echo "$file: $first"
  done
)"

# Of the files of bind's own, lmp*.h.
check "bind may include only mp.h, lmp*.h, luamp.h, Lua and plain C" "$(
  grep -nE '#include' runtime/bind/* |
    grep -vE '"(mp|lmp\w*|luamp|lua|lauxlib|lualib)\.h"' |
    grep -vE '<(lua|lauxlib|lualib|std\w+|string|limits|math|float)\.h>'
)"

# What is built on processes, pipes and queues, not beside them.
above='context child pool managers futures dummy'
check "only stems may use mp.core" "$(
  for name in $above; do
    for file in lua/mp/$name.lua lua/mp/$name/*.lua; do
      [ -e "$file" ] && grep -nHE "[\"']mp\.core[\"']" "$file"
    done
  done
)"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
