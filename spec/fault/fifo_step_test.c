/* fifo_step_test.c -- queues, killed at every point; see step.h. */
#include "step.h"

static mp_ref q;
static char piece[900];

static void open_queue(enum mp_type type, uint32_t max) {
  REQUIRE(mp_queue_open(&q, type, max) == 0);
  holds[nholds++] = q; /* closed with the rest */
}

static void prepare_queue(void) {
  memset(piece, 'p', sizeof piece);
  open_queue(MP_TYPE_QUEUE, 0);
}

/* It is empty then. */
static void queue_works(void) {
  static char bytes[20000];
  int64_t end = mp_now() + SURVIVOR_NS;

  CHECK_EQ(mp_queue_len(q), 0);
  CHECK_EQ(put_bytes(q, bytes, sizeof bytes, end), 0);
  CHECK_EQ(put_bytes(q, "y", 1, end), 0);
  CHECK_EQ(mp_queue_len(q), 2);
  CHECK_EQ(get_bytes(q, bytes, sizeof bytes, end), sizeof bytes);
  CHECK_EQ(get_bytes(q, bytes, 1, end), 1);
  CHECK(mp_now() < end);
}

/* Putting */

static void put_short(void) {
  (void)put_bytes(q, "short message", 13, MP_FOREVER);
}

static void look_short(void) {
  char bytes[16];
  int64_t n = get_bytes(q, bytes, sizeof bytes, MP_NOW);

  CHECK(n == 13 || n == -MP_EEMPTY);
  if (n == 13)
    CHECK(memcmp(bytes, "short message", 13) == 0);
  queue_works();
}

STEPPED(put_a_short_item, prepare_queue, put_short, look_short)

/* Copied by steps, not by one instruction. */
static void put_long(void) {
  struct mp_iov pieces[11];
  const struct mp_out out = {pieces, 11, 0, NULL};
  int i;

  for (i = 0; i < 11; i++)
    pieces[i] = (struct mp_iov){piece, sizeof piece};
  (void)mp_queue_put(q, &out, MP_FOREVER, NULL);
}

static void look_long(void) {
  static char bytes[9900];
  int64_t n = get_bytes(q, bytes, sizeof bytes, MP_NOW);

  CHECK(n == 9900 || n == -MP_EEMPTY);
  for (; n > 0; n--)
    if (!CHECK_EQ(bytes[n - 1], 'p'))
      break;
  queue_works();
}

STEPPED(put_a_long_item, prepare_queue, put_long, look_long)

static void prepare_full_segment(void) {
  int i;

  prepare_queue();
  for (i = 0; i < 4; i++)
    CHECK_EQ(put_bytes(q, piece, 500, MP_NOW), 0);
}

static void look_full_segment(void) {
  char bytes[900];
  int i;

  for (i = 0; i < 4; i++)
    CHECK_EQ(get_bytes(q, bytes, sizeof bytes, MP_NOW), 500);
  look_short();
}

STEPPED(put_into_the_next_segment, prepare_full_segment, put_short,
        look_full_segment)

/* It sleeps once: counted in, a nap, counted out. */
static void prepare_full(void) {
  open_queue(MP_TYPE_QUEUE, 1);
  CHECK_EQ(put_bytes(q, "short message", 13, MP_NOW), 0);
}

static void put_in_vain(void) {
  (void)put_bytes(q, "x", 1, mp_now() + 1000000);
}

static void look_full(void) {
  char bytes[16];

  CHECK_EQ(put_bytes(q, "x", 1, MP_NOW), -MP_EFULL);
  CHECK_EQ(get_bytes(q, bytes, sizeof bytes, MP_NOW), 13);
  CHECK_EQ(put_bytes(q, "x", 1, MP_NOW), 0);
}

STEPPED(sleep_for_room, prepare_full, put_in_vain, look_full)

static void prepare_bell(void) {
  prepare_queue();
  mp_fd_close(mp_queue_fd(q));
}

STEPPED(put_and_ring, prepare_bell, put_short, look_short)

static void ask_for_fd(void) {
  (void)mp_queue_fd(q);
}

STEPPED(ask_for_a_bell, prepare_queue, ask_for_fd, look_short)

/* Getting */

static void get(void) {
  static char bytes[900];

  (void)get_bytes(q, bytes, sizeof bytes, MP_NOW);
}

static void prepare_short(void) {
  prepare_queue();
  put_short();
}

STEPPED(get_a_short_item, prepare_short, get, look_short)

/* The view is not copied: that would be a long walk without an event. */
static void get_parcel(void) {
  static char scratch[MP_INLINE_MAX];
  struct mp_msg m;

  if (mp_queue_get(q, &m, scratch, MP_NOW) == 0)
    mp_msg_close(&m);
}

static void prepare_long(void) {
  prepare_queue();
  put_long();
}

STEPPED(get_a_long_item, prepare_long, get_parcel, look_long)

static void prepare_two_segments(void) {
  prepare_full_segment();
  put_short();
}

static void get_five(void) {
  int i;

  for (i = 0; i < 5; i++)
    get();
}

static void look_drained(void) {
  static char bytes[900];

  while (get_bytes(q, bytes, sizeof bytes, MP_NOW) > 0)
    ;
  queue_works();
}

STEPPED(get_across_segments, prepare_two_segments, get_five, look_drained)

static void get_and_sleep(void) {
  char byte;

  (void)get_bytes(q, &byte, 1, mp_now() + 1000000);
}

STEPPED(sleep_for_an_item, prepare_queue, get_and_sleep, look_short)

/* The queue itself */

static void open_one(void) {
  mp_ref x;

  (void)mp_queue_open(&x, MP_TYPE_QUEUE, 0);
}

STEPPED(open_a_queue, NULL, open_one, NULL)

static void open_fill_and_drop(void) {
  mp_ref x;

  if (mp_queue_open(&x, MP_TYPE_JOINABLE, 0) < 0)
    return;
  (void)put_bytes(x, "x", 1, MP_NOW);
  (void)put_bytes(x, "y", 1, MP_NOW);
  (void)get_bytes(x, piece, 1, MP_NOW);
  mp_ref_close(&x);
}

STEPPED(open_fill_and_drop_a_queue, NULL, open_fill_and_drop, NULL)

static void close_it(void) {
  mp_queue_close(q);
}

static void prepare_bell_and_item(void) {
  prepare_bell();
  put_short();
}

/* Closed for all, or not. */
static void look_closed(void) {
  char bytes[16];
  int rc = put_bytes(q, "y", 1, MP_NOW);

  CHECK(rc == 0 || rc == -MP_ECLOSED);
  CHECK_EQ(rc == 0, !mp_queue_is_closed(q));
  CHECK_EQ(get_bytes(q, bytes, sizeof bytes, MP_NOW), 13);
  if (rc == 0)
    CHECK_EQ(get_bytes(q, bytes, sizeof bytes, MP_NOW), 1);
  CHECK_EQ(get_bytes(q, bytes, sizeof bytes, MP_NOW),
           rc == 0 ? -MP_EEMPTY : -MP_ECLOSED);
  mp_queue_close(q);
  CHECK_EQ(get_bytes(q, bytes, sizeof bytes, MP_FOREVER), -MP_ECLOSED);
}

STEPPED(close_a_queue, prepare_bell_and_item, close_it, look_closed)

/* Joinable: two items, numbers 1 and 2, and the victim takes the first. */

static void prepare_joinable(void) {
  memset(piece, 'p', sizeof piece);
  open_queue(MP_TYPE_JOINABLE, 0);
  put_short();
  put_short();
}

static int64_t until(void) {
  return mp_now() + SURVIVOR_NS;
}

static int join_queue(void) {
  int rc;

  do
    rc = mp_queue_join(q, until());
  while (rc == -EINTR);
  return rc;
}

/* How many were lost; all of them the first. */
static int lost(void) {
  uint32_t number;
  int n = 0;

  for (; mp_queue_lost(q, MP_REF_EMPTY, &number); n++)
    CHECK_EQ(number, 1);
  return n;
}

static void finish_the_rest(int was_lost) {
  static char bytes[16];

  while (get_bytes(q, bytes, sizeof bytes, MP_NOW) > 0) {
    CHECK_EQ(mp_queue_join(q, MP_NOW), -MP_ETIMEOUT);
    CHECK_EQ(mp_queue_done(q), 0);
  }
  CHECK(join_queue() <= was_lost);
  CHECK_EQ(join_queue(), 0);
  if (!was_lost)
    CHECK_EQ(mp_queue_done(q), -MP_EDONE);
}

/* Taken out and lost, or neither. */
static void look_taken(void) {
  uint32_t left = mp_queue_len(q);

  CHECK_EQ(lost(), 2 - (int)left);
  finish_the_rest(0);
}

STEPPED(get_from_a_joinable, prepare_joinable, get, look_taken)

/* Rows are there: of one who has ended. */
static int take_one(void *arg) {
  (void)arg;
  get();
  return mp_queue_done(q);
}

static void prepare_used(void) {
  struct crew crew = {.threads = 0};

  open_queue(MP_TYPE_JOINABLE, 0);
  CHECK_EQ(put_bytes(q, "x", 1, MP_NOW), 0);
  crew_start(&crew, take_one, NULL);
  crew_join(&crew);
  put_short();
  put_short();
}

static void look_taken_later(void) {
  uint32_t left = mp_queue_len(q);
  uint32_t number;

  CHECK_EQ(mp_queue_lost(q, MP_REF_EMPTY, &number), 2 - (int)left);
  if (left < 2)
    CHECK_EQ(number, 2);
  CHECK_EQ(lost(), 0);
  finish_the_rest(0);
}

STEPPED(get_with_a_row_that_was_used, prepare_used, get, look_taken_later)

static void prepare_joinable_long(void) {
  memset(piece, 'p', sizeof piece);
  open_queue(MP_TYPE_JOINABLE, 0);
  put_long();
  put_short();
}

STEPPED(get_a_long_item_from_a_joinable, prepare_joinable_long, get_parcel,
        look_taken)

static void get_and_finish(void) {
  get();
  (void)mp_queue_done(q);
}

/* Lost, or finished, or never taken. */
static void look_finished(void) {
  uint32_t left = mp_queue_len(q);

  CHECK(lost() <= 2 - (int)left);
  finish_the_rest(0);
}

STEPPED(get_and_finish_an_item, prepare_joinable, get_and_finish, look_finished)

/* We have it, and the victim tells of its end. */
static void prepare_taken(void) {
  prepare_joinable();
  get();
}

static void finish_any(void) {
  (void)mp_queue_done(q);
}

static void look_finished_for_us(void) {
  int rc = mp_queue_done(q);

  CHECK(rc == 0 || rc == -MP_EDONE);
  CHECK_EQ(lost(), 0);
  finish_the_rest(0);
}

STEPPED(finish_what_another_has, prepare_taken, finish_any,
        look_finished_for_us)

/* Somebody died over the first item; the victim finds out. */
static int take_and_keep(void *arg) {
  (void)arg;
  get();
  return 0;
}

static void prepare_lost(void) {
  struct crew crew = {.threads = 0};

  prepare_joinable();
  crew_start(&crew, take_and_keep, NULL);
  crew_join(&crew);
}

static void join_a_while(void) {
  (void)mp_queue_join(q, mp_now() + 1000000);
}

static void look_joined(void) {
  CHECK(lost() <= 1);
  finish_the_rest(1);
}

STEPPED(join_over_a_lost_item, prepare_lost, join_a_while, look_joined)

static void ask_what_is_lost(void) {
  uint32_t number;

  (void)mp_queue_lost(q, MP_REF_EMPTY, &number);
}

STEPPED(ask_what_is_lost, prepare_lost, ask_what_is_lost, look_joined)

static void join_now(void) {
  (void)mp_queue_join(q, MP_FOREVER);
}

static void prepare_finished(void) {
  prepare_lost();
  get();
  CHECK_EQ(mp_queue_done(q), 0);
}

STEPPED(join_a_finished_queue, prepare_finished, join_now, look_joined)

/* Both are taken back, and passed over by the next who comes. */
static void void_both(void) {
  uint32_t which[2];

  (void)mp_queue_void(q, 1, 2, which, 2);
}

static void look_voided(void) {
  uint32_t which[2];

  CHECK(mp_queue_void(q, 1, 2, which, 2) <= 2);
  CHECK_EQ(mp_queue_void(q, 1, 2, which, 2), 0);
  finish_the_rest(0);
}

STEPPED(take_items_back, prepare_joinable, void_both, look_voided)

static void prepare_voided(void) {
  prepare_joinable_long();
  void_both();
}

STEPPED(pass_over_what_was_taken_back, prepare_voided, get_parcel, look_voided)

/* One died with a claim, or with the item, and the lock in its hand; who
 * cleans up after it is killed, too. */

static mp_ref first;
static int in_hand;

static void first_dies(void) {
  struct mp__fifo *f = mp__at(MP_REF_ID(q));
  static char scratch[MP_INLINE_MAX];
  struct mp_msg m;
  siginfo_t info;
  int rc;

  REQUIRE(mp_proc_open(&first, "first", 0) == 0);
  rc = mp_proc_fork(first);
  REQUIRE(rc >= 0);
  if (rc == 0) {
    (void)mp__claim_lock(f, MP_NOW);
    (void)mp__claim(f, MP_NOW);
    if (in_hand)
      (void)mp__queue_take(&f->q, &m, scratch, MP_NOW);
    (void)raise(SIGKILL);
  }
  CHECK_EQ(waitid(P_PID, (id_t)mp_proc_pid(first), &info,
                  WEXITED | WNOWAIT | __WALL),
           0);
}

static void death_with_a_claim(void) {
  in_hand = 0;
  first_dies();
}

static void death_with_an_item(void) {
  in_hand = 1;
  first_dies();
}

static void look_first(void) {
  CHECK_EQ(join_until(first, until()), 0);
  mp_ref_close(&first);
}

/* The victim took one, or none. */
static void look_after_a_claim(void) {
  uint32_t left = mp_queue_len(q);

  look_first();
  CHECK_EQ(lost(), 2 - (int)left);
  finish_the_rest(0);
}

static void look_after_an_item(void) {
  uint32_t left = mp_queue_len(q);
  uint32_t number;
  int n = 0;

  look_first();
  while (mp_queue_lost(q, MP_REF_EMPTY, &number))
    n++;
  CHECK_EQ(n, 2 - (int)left);
  finish_the_rest(0);
}

STEPPED_AFTER(get_after_a_claim_of_the_dead, prepare_joinable, get,
              look_after_a_claim, death_with_a_claim)
STEPPED_AFTER(get_after_an_item_of_the_dead, prepare_joinable, get,
              look_after_an_item, death_with_an_item)
