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
mkdir -p "$dir/scenarios"
for file in spec/explore/*.c; do
  sh "$out/link" -w -c -o "$dir/scenarios/$(basename "$file" .c).o" "$file"
done

# mutant FILE SCENARIOS TITLE SED
mutant() {
  sed "$4" "runtime/core/$1.c" > "$dir/$1.c"
  objects=()
  for object in "$out"/obj/core/*.o; do
    [ "$object" = "$out/obj/core/$1.o" ] || objects+=("$object")
  done
  if cmp -s "runtime/core/$1.c" "$dir/$1.c"; then
    why="nothing to change"
  elif ! sh "$out/link" -w -o "$dir/explore" "$dir"/scenarios/*.o "$dir/$1.c" \
    "${objects[@]}" -lm -ldl; then
    why="does not compile"
  elif timeout 60 "$dir/explore" --seconds=10 --first $2 > "$dir/said"; then
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
  's/if (slept && holder_died(seen))/if (0)/'
mutant sem sem-2 "a wake does not count up" \
  '/mp__add32_seq(&s->seq, 1);/d'
mutant sem sem-2 "a permit that is not taken" \
  '/mp__store64_rel(&s->value, value_of(s) - 1);/d'
mutant sem sem-2-death "permits die with their holder" \
  's/if (row->value && mp__member_dead(row->who))/if (0)/'
mutant sem sem-refused "one above the limit" \
  's/>= s->limit/> s->limit/'
mutant sem sem-given-3 "a permit is taken without comparing" \
  's/mp__cas64_seq(&s->value, &v, v - 1)/(mp__store64_seq(\&s->value, v - 1), 1)/'
mutant sem sem-poll "nobody knows that a ring was half done" \
  '/mp__bell_forget(bell);/d'
mutant cond cond-2 "a grant wakes nobody" \
  '/if ((value & STATE) == ASLEEP)/,+1d'
mutant cond cond-chain-3-death "a dead one keeps its grant" \
  '/^static void bury/,/^}/s/(void)grant_oldest(c);/;/'
mutant cond cond-timeout "a late one does not see its grant" \
  's/if (mp__cas64_seq(&row->value, &value, 0))$/if (mp__store64_seq(\&row->value, 0), 1)/'
mutant cond cond-rlock "one level too few" \
  's/mp__store32_rlx(&m->depth, w->levels)/mp__store32_rlx(\&m->depth, w->levels - 1)/'
mutant barrier barrier-2 "the next phase wakes nobody" \
  '/^static void wake_all/,/^}/s/if (.*)$/if (0)/'
mutant barrier barrier-2 "one too few" \
  's/rc = arrive_held(b, a, n + 1,/rc = arrive_held(b, a, n + 2,/'
mutant barrier barrier-2-death "a dead one does not break it" \
  '/^static unsigned census/,/^}/s/if (is_of(value, b->phase))/if (0)/'
mutant barrier barrier-reset "a reset lets those pass who wait" \
  's/value | CUT)/value)/'
mutant roster cond-chain "a row that is given out twice" \
  's/mp__load64_rlx(&(\*row)->value) != 0/mp__load64_rlx(\&(*row)->value) == 1/'
mutant sweep event-poll-2-death "nobody rings for a dead setter" \
  '/mp__event_died(name);/d'
mutant bell queue-poll "a quiet that is half done silences the bell" \
  '/^void mp__bell_forget/,/^}/s/(void)mp__swap32_seq(&b->rung, 0);/(void)b;/'
mutant queue queue-poll-2-death "nobody rings for a dead producer" \
  '/^void mp__queue_died/,/^}/s/mp__bell_ring_held(&q->bell);/;/'
mutant nap nap-3-death "who is woken by a death leaves it to others" \
  's/^    sweep_listed(v, n);/    (void)sweep_listed;/'
mutant nap nap-3-death "a death that is told between the look and the nap" \
  's/v\[n++\].val = deaths;/v[n++].val = mp__load32_seq(\&MP__HEAD->deaths);/'
mutant claim join-2 "the last task_done wakes nobody" \
  '/mp__futex_wake(&f->join_seq, INT32_MAX);/d'
mutant claim join-lost "a claim of what was not taken" \
  '/^int mp__claim_lock/,/^}/s/undo_claims(f);/;/'
mutant claim join-lost "a claim that forgets which" \
  's/(by > 0 ? number : (uint32_t)seen)/(uint32_t)seen/'
mutant claim join-work "a lost item counts for ever" \
  's/mp__set(&t, &r->word, 0);/;/'
mutant recall recall-join "who joins is not told of what is taken back" \
  '/mp__claim_told(f);/d'
mutant recall recall-2 "what is taken back is taken" \
  's/if (rc < 0 || !(r->kind & MP__VOID))/if (1)/'
mutant arena arena-2-death "words without their number in the journal" \
  's/mp__store64_rel(&h->njournal, t->n);/;/'
mutant arena arena-2-death "a replay that stops short" \
  's/i < n && i < MP__TXN_MAX/i + 1 < n \&\& i < MP__TXN_MAX/'

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
