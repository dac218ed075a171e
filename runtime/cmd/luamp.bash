# bash completion for luamp

# Modules that are found on the path: names for -l
_luamp_modules() {
  luamp -e 'for path in package.path:gmatch("[^;]+") do
    local before, after = path:match("^(.-)%?(.*)$")
    if before and before:find("^/") then print(before .. "\t" .. after) end
  end' 2>/dev/null | while IFS=$'\t' read -r before after; do
    for file in "$before"*"$after"; do
      if [ -e "$file" ]; then
        file=${file#"$before"}
        echo "${file%"$after"}"
      fi
    done
  done
  echo mp
  echo multiprocessing
}

_luamp() {
  local cur=${COMP_WORDS[COMP_CWORD]}
  local prev=${COMP_WORDS[COMP_CWORD - 1]}
  local i

  COMPREPLY=()
  # Behind the script everything is an argument of the script.
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
    -e | -l) i=$((i + 1)) ;;
    --) ;;
    - | [!-]*)
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      return
      ;;
    esac
  done
  case $prev in
  -e) return ;;
  -l)
    mapfile -t COMPREPLY < <(compgen -W "$(_luamp_modules | sort -u)" -- "$cur")
    return
    ;;
  esac
  case $cur in
  -*)
    local options='-e -i -l -v -E -W -- -'
    [ "$COMP_CWORD" -gt 1 ] || options="$options --help --version"
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    ;;
  *)
    mapfile -t COMPREPLY < <(
      compgen -f -X '!*.lua' -- "$cur"
      compgen -d -- "$cur"
    )
    compopt -o filenames 2>/dev/null
    ;;
  esac
}

complete -F _luamp luamp
