#!/usr/bin/env bash
# mutants.sh OUT -- does the explorer find mistakes?
#
# Each mutant is a file of the core with one mistake, put in by sed; it is
# built into an explorer of its own, which must fail.  Prints "N passed, N
# failed".
out=$1
dir=$out/mutants
passed=0
failed=0
mkdir -p "$dir"

# mutant FILE SCENARIOS TITLE SED
mutant() {
  sed "$4" "runtime/core/$1.c" > "$dir/$1.c"
  objects=()
  for object in "$out"/obj/core/*.o; do
    [ "$object" = "$out/obj/core/$1.o" ] || objects+=("$object")
  done
  if cmp -s "runtime/core/$1.c" "$dir/$1.c"; then
    why="nothing to change"
  elif ! sh "$out/link" -w -o "$dir/explore" spec/explore/*.c "$dir/$1.c" \
    "${objects[@]}" -lm -ldl; then
    why="does not compile"
  elif timeout 60 "$dir/explore" --seconds=10 $2 > "$dir/said"; then
    why="not found"
  elif grep -q 'ended by signal' "$dir/said"; then
    why="found by a crash"
  else
    passed=$((passed + 1))
    return
  fi
  failed=$((failed + 1))
  echo "mutants: $1: $3: $why"
}

mutant mutex lock-2 "release wakes nobody" \
  's/if (seen & SLEEPERS)$/if (seen \& SLEEPERS \&\& seen == 0)/'
mutant mutex lock-3 "who has slept forgets that others may" \
  '/mine |= SLEEPERS/d'
mutant mutex lock-timeout-3 "who is woken gives up without a look" \
  '/^static int acquire_slowly/,/^}/{
     s/  int got;/  int got = -MP_ETIMEOUT;/
     s/while (\(.*\)) {/while (!(mine \& SLEEPERS \&\& mp_now() >= deadline) \&\& \1) {/
   }'
mutant mutex lock-2-death "a take-over is not told" \
  's/return died ? MP_EABANDONED : 0/return 0/'
mutant mutex lock-3-death "a take-over that others may make, too" \
  's/while (!mp__cas64_seq(&m->word, seen, mine/while (died ? mp__store64_rlx(\&m->word, mine), 0 : !mp__cas64_seq(\&m->word, seen, mine/'
mutant mutex rlock-2 "a depth that outlives its owner" \
  's/m->depth == 1/m->depth <= 2/'
mutant event event "set wakes nobody" \
  's/if (mp__load32_seq(&e->sleepers))/if (0)/'
mutant event event-turns "set looks for sleepers first" \
  's/uint64_t seen = mp__load64_seq(&e->word);/uint64_t seen = mp__load64_seq(\&e->word); uint32_t n = mp__load32_seq(\&e->sleepers);/; s/if (mp__load32_seq(&e->sleepers))/if (n)/; s/uint32_t n = [^;]*;\(.*\)$/uint32_t n __attribute__((unused)) = mp__load32_seq(\&e->sleepers);\1/'
mutant event event-pulse "a clear takes the set back" \
  's/return word & SET || word \/ ONCE != since/return (void)since, word \& SET/'
mutant queue queue-1p1c "a wake does not count up" \
  '/mp__add32_seq(seq, 1);/d'
mutant queue queue-1p1c "a record is filled behind the lock" \
  '/^static int put_short/,/^}/{
     /mp__out_copy/d
     s/  mp__lock_drop(&q->put_lock);/&  if (rc == 0) mp__out_copy(r + 1, out);/
   }'
mutant lock core-3 "who has slept forgets that others may" \
  's/&seen, mine | WAITERS))$/\&seen, mine))/'
mutant lock core-2-death "a dead holder keeps it" \
  's/holder_died(seen) && take_over/seen == 1 \&\& take_over/'

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
