-- mutate_equal.lua -- mistakes that nobody can notice, for mutate.lua: of each
-- file the statement, what becomes of it ("*": whatever does), and why.
local POLLING = "whether and how long one polls changes no outcome"
local NANOSECOND = "the same but in one nanosecond"
local ABOVE_2 = "descriptors of ours are never 0 (mp__sys_high)"
local AT_ONCE = "what would wait then has no time, either"
local COPY = "looked at again with the lock: a copy in vain"
local CALLED_IN_VAIN = "who is called looks, and whether any sleeps is asked"
local IN_VAIN = "a ring in vain: who polls looks, and quiets it"

return {
  lock = {
    { "if (!mp__cas32_acq(&l->word, &seen, mine | WAITERS))",
      "if (!mp__cas32_acq(&l->word, &seen, mine))",
      "others that sleep look every 2 ms, and set the bit again" },
    { "int64_t late = p->since > p->deadline ? p->since : p->deadline;",
      "int64_t late = p->since >= p->deadline ? p->since : p->deadline;",
      "the two are the same then" },
    { "if (now < p->deadline)", "if (now <= p->deadline)", NANOSECOND },
    { "return now - p->since >= TURN_NS && holder_stopped(seen) ? -EINTR : 0;",
      "return now - p->since > TURN_NS && holder_stopped(seen) ? -EINTR : 0;",
      NANOSECOND },
    { "return now - late >= LATE_NS || holder_stopped(seen) ? " ..
      "-MP_ETIMEOUT : 0;",
      "return now - late > LATE_NS || holder_stopped(seen) ? -MP_ETIMEOUT : 0;",
      NANOSECOND },
    { "for (i = 0; i < MP__LOCK_SPINS; i++) {",
      "for (i = 0; i <= MP__LOCK_SPINS; i++) {", POLLING },
  },
  mutex = {
    { "for (n = 1; n <= PAUSES_MAX && mp__load64_rlx(&m->word) != 0; n *= 2)",
      "*", POLLING },
    { "for (i = 0; i < n; i++)", "for (i = 0; i <= n; i++)", POLLING },
    { "return mp__load64_rlx(&m->word) == 0;", "*", POLLING },
    { "if (spins++ < SPINS && mp__may_spin() && poll_word(m))", "*", POLLING },
    { "if (seen & SLEEPERS)", "if (seen | SLEEPERS)", CALLED_IN_VAIN },
    { "if (seen & SLEEPERS)", "if (seen)", CALLED_IN_VAIN },
  },
  sem = {
    { "if (fd >= 0)", "if (fd > 0)", ABOVE_2 },
    { "if (deadline > MP_NOW && mp__spin(&s->value, value_of(s) & " ..
      "SIGNALLING, UINT64_MAX))", "if (deadline >= MP_NOW && " ..
      "mp__spin(&s->value, value_of(s) & SIGNALLING, UINT64_MAX))", POLLING },
    { "if (deadline > MP_NOW && mp__spin(&s->value, value_of(s) & " ..
      "SIGNALLING, UINT64_MAX))", "if (deadline > MP_NOW && " ..
      "mp__spin(&s->value, value_of(s), UINT64_MAX))", POLLING },
  },
  cond = {
    { "if (is_waiting(value) && value >> ORDER_SHIFT < least && " ..
      "!mp__member_dead(row->who)) {",
      "if (is_waiting(value) && value >> ORDER_SHIFT <= least && " ..
      "!mp__member_dead(row->who)) {", "no two came at the same time" },
    { "if (deadline <= MP_NOW || !mp__spin(&row->value, value, UINT64_MAX))",
      "if (deadline < MP_NOW || !mp__spin(&row->value, value, UINT64_MAX))",
      POLLING },
  },
  barrier = {
    { "int changed = deadline > MP_NOW && mp__spin(&b->phase, seen, " ..
      "UINT64_MAX);", "int changed = deadline >= MP_NOW && " ..
      "mp__spin(&b->phase, seen, UINT64_MAX);", POLLING },
  },
  claim = {
    { "for (i = 0; i < ROWS; i++) {", "for (i = 0; i <= ROWS; i++) {",
      "the first one once more" },
    { "if (rc > 0)", "if (rc >= 0)", "it may be done at any time" },
    { "mp__claim_told(f);", ";",
      "who joins is woken by the death that they were lost by" },
  },
  recall = {
    { "mp__queue_roomy(q, INT32_MAX);", "mp__queue_roomy(q, 1);",
      "whoever has put calls the next one, as long as there is room" },
  },
  fifo = {
    { "if (deadline <= MP_NOW)", "if (deadline < MP_NOW)", AT_ONCE },
    { "if (fd >= 0)", "if (fd > 0)", ABOVE_2 },
  },
  queue = {
    { "if (deadline <= MP_NOW)", "if (deadline < MP_NOW)", AT_ONCE },
    { "uint64_t len = last->len < LAST_SEG / 4 ? last->len * 4 : LAST_SEG;",
      "uint64_t len = last->len <= LAST_SEG / 4 ? last->len * 4 : LAST_SEG;",
      "the two are the same then" },
    { "return rc < 0 ? rc : one_more(q, full);",
      "return rc <= 0 ? rc : one_more(q, full);", COPY },
    { "if (q->max_items && mp__load32_seq(&q->room_sleepers) && " ..
      "one_more(q, full) == 0)", "if (q->max_items || " ..
      "mp__load32_seq(&q->room_sleepers) && one_more(q, full) == 0)",
      CALLED_IN_VAIN },
    { "if (q->max_items && mp__load32_seq(&q->room_sleepers) && " ..
      "one_more(q, full) == 0)", "if (q->max_items && " ..
      "mp__load32_seq(&q->room_sleepers) || one_more(q, full) == 0)",
      CALLED_IN_VAIN },
    { "if (q->spare == 0 && s->len >= LAST_SEG / 2)",
      "if (q->spare == 0 && s->len > LAST_SEG / 2)",
      "no block leaves just so many" },
    { "if (mp__load32_seq(&q->item_sleepers) && !mp__queue_empty(q))",
      "if (mp__load32_seq(&q->item_sleepers) || !mp__queue_empty(q))",
      CALLED_IN_VAIN },
  },
  event = {
    { "if (fd >= 0)", "if (fd > 0)", ABOVE_2 },
    { "if (mp__load64_seq(&e->word) & SET)",
      "if (mp__load64_seq(&e->word) | SET)", IN_VAIN },
    { "if (mp__load64_seq(&e->word) & SET)", "if (mp__load64_seq(&e->word))",
      IN_VAIN },
    { "if (!(seen & SET) || !mp__cas64_seq(&e->word, &seen, seen & ~SET))",
      "if (!(seen | SET) || !mp__cas64_seq(&e->word, &seen, seen & ~SET))",
      "a swap of a flag that is down changes nothing, nor does a quiet" },
    { "if (!(seen & SET) || !mp__cas64_seq(&e->word, &seen, seen & ~SET))",
      "if (!(seen) || !mp__cas64_seq(&e->word, &seen, seen & ~SET))",
      "a swap of a flag that is down changes nothing, nor does a quiet" },
  },
}
