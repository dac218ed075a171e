/* step_test.c -- pipes, holds, processes, descriptors and blocks, killed at
 * every point; see step.h.
 */
#include "step.h"

/* Sending */

static void send_short(void) {
  (void)send_bytes(a, "short message", 13, MP_FOREVER);
}

static void look_short(void) {
  char bytes[16];
  int64_t n = recv_bytes(b, bytes, sizeof bytes, MP_NOW);

  CHECK(n == 13 || n == -MP_ETIMEOUT);
  if (n == 13)
    CHECK(memcmp(bytes, "short message", 13) == 0);
}

STEPPED(send_a_short_message, NULL, send_short, look_short)

static char piece[900];
static struct mp_iov pieces[11]; /* copied by steps, not by one instruction */

static void send_long(void) {
  const struct mp_out out = {pieces, 11, 0, NULL};

  (void)send_out(a, &out, MP_FOREVER);
}

static void prepare_long(void) {
  int i;

  memset(piece, 'p', sizeof piece);
  for (i = 0; i < 11; i++)
    pieces[i] = (struct mp_iov){piece, sizeof piece};
}

static void look_long(void) {
  static char bytes[9900];
  int64_t n = recv_bytes(b, bytes, sizeof bytes, MP_NOW);

  CHECK(n == 9900 || n == -MP_ETIMEOUT);
  for (; n > 0; n--)
    if (!CHECK_EQ(bytes[n - 1], 'p'))
      break;
}

STEPPED(send_a_long_message, prepare_long, send_long, look_long)

static void send_some_refs(void) {
  mp_ref refs[4];

  refs[0] = refs[1] = c;
  refs[2] = d;
  refs[3] = d; /* not of the same pipe: that would be a cycle */
  (void)send_refs(a, "four", 4, refs, 4, MP_FOREVER);
}

static void look_refs(void) {
  char scratch[MP_INLINE_MAX];
  struct mp_msg m;
  int rc = recv_msg(b, &m, scratch, MP_NOW);

  CHECK(rc == 0 || rc == -MP_ETIMEOUT);
  if (rc != 0)
    return;
  CHECK_EQ(m.len, 4);
  CHECK_EQ(m.nrefs, 4);
  CHECK_EQ(m.refs[1], MP_REF_ID(c));
  CHECK_EQ(m.refs[2], MP_REF_ID(d));
  mp_msg_close(&m);
}

STEPPED(send_a_message_with_refs, NULL, send_some_refs, look_refs)

/* Fill the first segment, so that the next message needs another. */
static void prepare_full_segment(void) {
  char bytes[500];

  memset(bytes, 'f', sizeof bytes);
  CHECK_EQ(send_bytes(a, bytes, 500, MP_NOW), 0);
  CHECK_EQ(send_bytes(a, bytes, 500, MP_NOW), 0);
  CHECK_EQ(send_bytes(a, bytes, 500, MP_NOW), 0);
  CHECK_EQ(send_bytes(a, bytes, 500, MP_NOW), 0);
}

static void send_into_next(void) {
  struct mp_out out = {pieces, 1, 0, NULL};

  (void)send_out(a, &out, MP_FOREVER);
  (void)send_out(a, &out, MP_FOREVER);
}

static void look_full_segment(void) {
  char bytes[900];
  int i;

  for (i = 0; i < 4; i++)
    CHECK_EQ(recv_bytes(b, bytes, sizeof bytes, MP_NOW), 500);
}

static void prepare_next(void) {
  prepare_long();
  prepare_full_segment();
}

STEPPED(send_into_the_next_segment, prepare_next, send_into_next,
        look_full_segment)

/* A full pipe: the sender counts itself as a sleeper, and leaves. */
static void prepare_full(void) {
  int n = 0;

  prepare_long();
  while (send_bytes(a, piece, sizeof piece, MP_NOW) == 0)
    REQUIRE(n++ < 1000);
}

static void send_in_vain(void) {
  (void)send_bytes(a, piece, sizeof piece, MP_NOW);
}

static void look_full(void) {
  char bytes[900];

  while (recv_bytes(b, bytes, sizeof bytes, MP_NOW) > 0)
    ;
  CHECK_EQ(poll_until(b, MP_NOW), 0);
}

STEPPED(send_into_a_full_pipe, prepare_full, send_in_vain, look_full)

/* With a bell: the sender rings. */
static void prepare_bell(void) {
  struct mp_ready r = MP_READY_EMPTY;

  CHECK(mp_pipe_ready(b, &r) > 2);
  mp_ready_close(&r);
}

STEPPED(send_and_ring, prepare_bell, send_short, look_short)

static void ask_for_fd(void) {
  struct mp_ready r = MP_READY_EMPTY;

  (void)mp_pipe_ready(b, &r);
}

STEPPED(ask_for_a_bell, NULL, ask_for_fd, NULL)

/* Receiving */

static void receive(void) {
  static char bytes[10000];

  (void)recv_bytes(b, bytes, sizeof bytes, MP_NOW);
}

static void prepare_short(void) {
  CHECK_EQ(send_bytes(a, "short message", 13, MP_NOW), 0);
}

STEPPED(receive_a_short_message, prepare_short, receive, look_short)

static void prepare_received_long(void) {
  prepare_long();
  send_long();
}

/* The view is not copied: that would be a long walk without an event. */
static void receive_parcel(void) {
  static char scratch[MP_INLINE_MAX];
  struct mp_msg m;

  if (recv_msg(b, &m, scratch, MP_NOW) == 0)
    mp_msg_close(&m);
}

STEPPED(receive_a_long_message, prepare_received_long, receive_parcel,
        look_long)

static void receive_refs(void) {
  static char scratch[MP_INLINE_MAX];
  struct mp_msg m;
  mp_ref held[4];
  unsigned i;

  if (recv_msg(b, &m, scratch, MP_NOW) < 0)
    return;
  for (i = 0; i < m.nrefs && i < 4; i++)
    (void)mp_ref_dup(m.refs[i], &held[i]);
  mp_msg_close(&m);
}

STEPPED(receive_a_message_with_refs, send_some_refs, receive_refs, look_refs)

static void prepare_two_segments(void) {
  prepare_full_segment();
  prepare_long();
  send_into_next();
}

static void receive_five(void) {
  int i;

  for (i = 0; i < 5; i++)
    receive();
}

STEPPED(receive_across_segments, prepare_two_segments, receive_five, NULL)

static void receive_in_vain(void) {
  char byte;

  (void)recv_bytes(b, &byte, 1, MP_NOW);
}

STEPPED(receive_from_an_empty_pipe, NULL, receive_in_vain, NULL)

/* It sleeps once: counted in, a nap, counted out. */
static void receive_and_sleep(void) {
  char byte;

  (void)recv_bytes(b, &byte, 1, mp_now() + 1000000);
}

STEPPED(sleep_for_a_message, NULL, receive_and_sleep, NULL)

/* Holds */

static void open_pipe(void) {
  mp_ref x, y;

  (void)mp_pipe_open(&x, &y, 0);
}

STEPPED(open_a_pipe, NULL, open_pipe, NULL)

static void open_and_close(void) {
  mp_ref x, y;

  (void)mp_pipe_open(&x, &y, 0);
  mp_ref_close(&x);
  mp_ref_close(&y);
}

STEPPED(open_and_close_a_pipe, NULL, open_and_close, NULL)

static void dup_and_close(void) {
  mp_ref x;

  (void)mp_ref_dup(a, &x);
  mp_ref_close(&x);
}

STEPPED(dup_and_close_a_hold, NULL, dup_and_close, NULL)

/* The child's ledger is full: the next hold moves it. */
static void prepare_many_holds(void) {
  while (MP__HEAD && nholds < 400 && mp__me()->ledger_free == 0 ? 1
                                                                : nholds < 8)
    REQUIRE(mp_ref_dup(a, &holds[nholds++]) == 0);
}

static void dup_many(void) {
  mp_ref x;
  int i;

  for (i = 0; i < 12; i++)
    (void)mp_ref_dup(b, &x);
}

STEPPED(grow_a_ledger, prepare_many_holds, dup_many, NULL)

/* The child is the only holder of a pipe with messages in it. */
static void close_full(void) {
  mp_ref x, y;

  if (mp_pipe_open(&x, &y, 0) < 0)
    return;
  (void)send_refs(x, "x", 1, &c, 1, MP_NOW);
  (void)send_refs(y, "y", 1, &a, 1, MP_NOW);
  mp_ref_close(&y);
  mp_ref_close(&x);
}

STEPPED(close_a_pipe_with_messages, NULL, close_full, NULL)

/* Recovery: one member died with the big lock in its hand and a transaction
 * committed but not written; who cleans up after it is killed, too. */

static mp_ref first;

static void die_in_commit(void) {
  struct mp__txn t;
  mp_ref x, y, held;

  (void)mp_pipe_open(&x, &y, 0);
  (void)send_refs(x, "x", 1, &c, 1, MP_NOW);
  mp__begin(&t);
  (void)mp__hold(&t, mp__me(), a, &held);
  mp__ref(&t, a);
  mp__store64_rel(&MP__HEAD->njournal, t.n);
  (void)raise(SIGKILL);
}

static void die_in_put(void) {
  struct mp__queue *q = &((struct check_pipe *)mp__at(MP_REF_ID(a)))->q[0];

  (void)mp__lock_take(&q->put_lock);
  (void)raise(SIGKILL);
}

static void first_dies(void (*how)(void)) {
  siginfo_t info;
  int rc;

  REQUIRE(mp_proc_open(&first, "first", 0) == 0);
  rc = mp_proc_fork(first);
  REQUIRE(rc >= 0);
  if (rc == 0)
    how();
  CHECK_EQ(waitid(P_PID, (id_t)mp_proc_pid(first), &info,
                  WEXITED | WNOWAIT | __WALL),
           0);
}

static void death_in_commit(void) {
  first_dies(die_in_commit);
}

static void death_in_put(void) {
  first_dies(die_in_put);
}

static void sweep(void) {
  (void)mp__scan();
}

static void look_first(void) {
  CHECK_EQ(join_until(first, in_ms(1000)), 0);
  mp_ref_close(&first);
}

static void look_first_and_short(void) {
  look_first();
  look_short();
}

STEPPED_AFTER(sweep_a_dead_one, NULL, sweep, look_first, death_in_commit)
STEPPED_AFTER(take_a_lock_from_a_dead_one, NULL, send_short,
              look_first_and_short, death_in_put)
STEPPED_AFTER(replay_what_a_dead_one_committed, NULL, dup_and_close, look_first,
              death_in_commit)

/* Processes and descriptors */

static void enter(void) {
  (void)mp_enter();
}

STEPPED_BY_THE_HOST(enter_after_a_fork_of_the_host_s, enter)

static void open_proc(void) {
  mp_ref p;

  (void)mp_proc_open(&p, "x", 0);
}

STEPPED(open_a_process, NULL, open_proc, NULL)

/* Two free seats wait in the list. */
static void prepare_free_seats(void) {
  int i;

  for (i = 0; i < 3; i++)
    REQUIRE(mp_proc_open(&holds[i], NULL, 0) == 0);
  for (i = 0; i < 3; i++)
    mp_ref_close(&holds[i]);
}

static void open_and_close_proc(void) {
  mp_ref p;

  (void)mp_proc_open(&p, "x", 0);
  mp_ref_close(&p);
}

STEPPED(open_and_close_a_process, prepare_free_seats, open_and_close_proc, NULL)

static void set_plan(void) {
  struct mp_iov iov = {"plan", 4};
  mp_ref refs[2] = {a, c};
  struct mp_out out = {&iov, 1, 2, refs};
  mp_ref p;

  if (mp_proc_open(&p, "x", 0) < 0)
    return;
  (void)mp_proc_set_plan(p, &out);
  mp_ref_close(&p);
}

STEPPED(give_a_process_a_plan, NULL, set_plan, NULL)

static void share_fd(void) {
  mp_ref f;

  (void)mp_fd_share(a_fd, 1, &f);
}

STEPPED(share_a_descriptor, NULL, share_fd, NULL)

static void share_and_close(void) {
  mp_ref f, g;

  (void)mp_fd_share(a_fd, 1, &f);
  (void)mp_fd_share(a_fd, 1, &g);
  mp_fd_close(mp_fd_get(g));
  mp_ref_close(&f);
  mp_ref_close(&g);
}

STEPPED(share_and_drop_descriptors, NULL, share_and_close, NULL)

/* The vault is full, of live ones and holes: to share one more it is turned
 * round. */
static void prepare_full_vault(void) {
  int i, fd;

  MP__HEAD->vault_room = 4096;
  (void)mp__sys_sndbuf(mp__here.vault[0], 4096);
  for (i = 0; i < 40; i++) {
    fd = mp__sys_eventfd((unsigned)i + 1);
    REQUIRE(fd > 2);
    if (mp_fd_share(fd, 1, &holds[i]) < 0)
      break;
    mp_fd_close(fd);
    nholds++;
  }
  mp_fd_close(fd);
  REQUIRE(i > 3 && i < 40);
  for (i = 1; i < nholds; i += 2)
    mp_ref_close(&holds[i]);
}

static void look_full_vault(void) {
  uint64_t n;
  int i, fd;

  for (i = 0; i < nholds; i += 2) {
    n = 0;
    fd = mp_fd_get(holds[i]);
    if (!CHECK(fd > 2))
      continue;
    CHECK_EQ(mp__sys_read(fd, &n, sizeof n), 8);
    CHECK_EQ(n, i + 1);
    mp_fd_close(fd);
  }
  for (i = 0; i < nholds; i += 2) /* leave room for what follows */
    mp_ref_close(&holds[i]);
}

STEPPED(share_in_a_full_vault, prepare_full_vault, share_fd, look_full_vault)

/* Values and arrays */

static void make_cells(void) {
  struct mp_cell value = {.code = 'i', .n = 1, .lock = holds[0]};
  struct mp_cell array = {.code = 'd', .n = 30};
  mp_ref v, w;

  if (mp_cell_open(&v, MP_TYPE_VALUE, &value) < 0)
    return;
  if (mp_cell_open(&w, MP_TYPE_ARRAY, &array) == 0)
    mp_ref_close(&w);
  mp_ref_close(&v);
}

static void prepare_lock(void) {
  REQUIRE(mp_mutex_open(&holds[0], 0) == 0);
  nholds = 1;
}

STEPPED(make_and_drop_a_value_and_an_array, prepare_lock, make_cells, NULL)

static void prepare_value(void) {
  struct mp_cell value = {.code = 'i', .n = 1};

  REQUIRE(mp_cell_open(&holds[0], MP_TYPE_VALUE, &value) == 0);
  nholds = 1;
}

static void ask_for_lock(void) {
  mp_ref lock;

  (void)mp_cell_lock(holds[0], &lock);
}

static void look_lock(void) {
  mp_ref lock;

  CHECK_EQ(mp_cell_lock(holds[0], &lock), 0);
  CHECK_EQ(mp_ref_type(lock), MP_TYPE_RLOCK);
  CHECK_EQ(mp_mutex_locked(lock), 0);
}

STEPPED(ask_for_the_lock_of_a_value, prepare_value, ask_for_lock, look_lock)

static int nothing(void *arg) {
  (void)arg;
  return 0;
}

/* The starter is killed; what it starts ends at once by itself, when it was
 * started at all. */
static void start_fork(void) {
  mp_ref p;

  if (mp_proc_open(&p, "x", 0) < 0)
    return;
  if (mp_proc_fork(p) == 0)
    mp_exit(nothing(NULL));
}

/* The grandchild is nobody's: it must be over before all is counted. */
static void look_started(void) {
  int64_t end = mp_now() + SURVIVOR_NS;
  uint64_t i;
  int alive;

  do {
    alive = 0;
    (void)mp__scan();
    for (i = 1; i <= MP__HEAD->nslots; i++) {
      struct mp__slot *s = mp__slot_at(MP__SLOTS + i * MP__SLOT_SIZE);

      if ((s->obj.type & 0xff) == MP_TYPE_PROC && s != mp__me() &&
          !(s->flags & MP__PROC_SWEPT) && s->pid && !mp__slot_verify(s))
        alive++;
    }
  } while (alive && mp_now() < end);
  CHECK_EQ(alive, 0);
}

STEPPED(start_a_process, NULL, start_fork, look_started)

/* Named memory: whoever is killed, its name is gone, and so is the memory. */

static char block_name[40];

static void prepare_name(void) {
  (void)snprintf(block_name, sizeof block_name, "luamp-step-%d", getpid());
}

static void look_name(void) {
  struct mp_map m;
  mp_ref x;

  CHECK_EQ(mp_block_attach(block_name, &x, &m), -ENOENT);
}

static void make_block(void) {
  struct mp_map m;
  mp_ref x;

  (void)mp_block_create(block_name, 100, &x, &m);
}

STEPPED(make_a_block, prepare_name, make_block, look_name)

static void make_and_unlink_blocks(void) {
  struct mp_map m, n;
  mp_ref x, y;

  (void)mp_block_create(block_name, 100, &x, &m);
  (void)mp_block_create(NULL, 100, &y, &n);
  (void)mp_block_unlink(x);
  mp_ref_close(&x);
  mp_ref_close(&y);
  mp__block_leave();
}

STEPPED(make_and_unlink_blocks, prepare_name, make_and_unlink_blocks, look_name)

static void make_and_send_block(void) {
  struct mp_map m;
  mp_ref x;

  if (mp_block_create(block_name, 100, &x, &m) < 0)
    return;
  (void)mp_block_share(x, &m);
  (void)send_refs(a, "block", 5, &x, 1, MP_NOW);
}

/* It came, and can be used without its name; or it did not. */
static void look_sent(void) {
  char scratch[MP_INLINE_MAX];
  struct mp_msg msg;
  struct mp_map m;
  int rc = recv_msg(b, &msg, scratch, MP_NOW);

  look_name();
  CHECK(rc == 0 || rc == -MP_ETIMEOUT);
  if (rc < 0)
    return;
  CHECK_EQ(mp_block_map(msg.refs[0], &m), 0);
  CHECK_EQ(m.size, 100);
  mp_map_close(&m);
  mp_msg_close(&msg);
}

STEPPED(send_a_block, prepare_name, make_and_send_block, look_sent)

/* One that none of us has made. */
static void prepare_foreign(void) {
  struct mp_map m;
  int fd;

  prepare_name();
  (void)shm_unlink(block_name);
  fd = shm_open(block_name, O_CREAT | O_EXCL | O_RDWR, 0600);
  REQUIRE(fd >= 0 && ftruncate(fd, 100) == 0);
  (void)close(fd);
  REQUIRE(mp_block_attach(block_name, &holds[nholds++], &m) == 0);
  mp_map_close(&m);
}

static void unlink_foreign(void) {
  (void)mp_block_unlink(holds[0]);
}

static void look_foreign(void) {
  int rc = mp_block_unlink(holds[0]);

  CHECK(rc == 0 || rc == -ENOENT);
  look_name();
}

STEPPED(unlink_a_block, prepare_foreign, unlink_foreign, look_foreign)

/* Dies with two names; who sweeps it is killed, too. */
static void die_with_blocks(void) {
  make_block();
  make_block();
  (void)raise(SIGKILL);
}

static void death_with_blocks(void) {
  first_dies(die_with_blocks);
}

static void look_first_and_name(void) {
  look_first();
  look_name();
}

STEPPED_AFTER(sweep_one_with_blocks, prepare_name, sweep, look_first_and_name,
              death_with_blocks)
/* Semaphores: holds[0].  What the victim had in hand is back afterwards. */

#define SEM holds[0]

static void open_sem(uint32_t value, unsigned flags) {
  REQUIRE(mp_sem_open(&SEM, value, flags) == 0);
  nholds = 1;
}

static void prepare_sem(void) {
  open_sem(2, 0);
}

static void take_and_give(void) {
  (void)mp_sem_acquire(SEM, MP_NOW);
  (void)mp_sem_acquire(SEM, MP_NOW);
  (void)mp_sem_acquire(SEM, MP_NOW); /* in vain */
  (void)mp_sem_release(SEM);
  (void)mp_sem_release(SEM);
}

/* As many permits as it says, and not one more. */
static void look_permits(uint32_t least, uint32_t most) {
  uint32_t i, n = mp_sem_value(SEM);

  CHECK(n >= least && n <= most);
  for (i = 0; i < n; i++)
    CHECK_EQ(mp_sem_acquire(SEM, MP_NOW), 0);
  CHECK_EQ(mp_sem_acquire(SEM, MP_NOW), -MP_ETIMEOUT);
  for (i = 0; i < n; i++)
    CHECK_EQ(mp_sem_release(SEM), 0);
  CHECK_EQ(mp_sem_value(SEM), n);
}

static void look_two(void) {
  look_permits(2, 2);
}

STEPPED(take_and_give_permits, prepare_sem, take_and_give, look_two)

static void take_two(void) {
  (void)mp_sem_acquire(SEM, MP_NOW);
  (void)mp_sem_acquire(SEM, MP_NOW);
}

STEPPED(die_with_permits, prepare_sem, take_two, look_two)

static void die_in_take(void) {
  struct check_sem *s = mp__at(MP_REF_ID(SEM));

  (void)mp_sem_acquire(SEM, MP_NOW);
  (void)mp__lock_take(&s->lock);
  s->holders.row[0].value = 2; /* taken, and the copy of the value is old */
  (void)raise(SIGKILL);
}

static void death_in_take(void) {
  first_dies(die_in_take);
}

static void look_first_and_two(void) {
  look_first();
  look_permits(2, 2);
}

STEPPED_AFTER(take_permits_from_a_dead_one, prepare_sem, take_two,
              look_first_and_two, death_in_take)

/* The roster is full of others. */
static void prepare_crowd(void) {
  struct check_sem *s;
  int i;

  open_sem(8, MP_SEM_BOUNDED);
  s = mp__at(MP_REF_ID(SEM));
  for (i = 0; i < MP__ROSTER_FIRST; i++) {
    struct mp__slot *p;

    REQUIRE(mp_proc_open(&holds[nholds], NULL, 0) == 0);
    p = mp__at(MP_REF_ID(holds[nholds++]));
    s->holders.row[i].who = mp__slot_index(p) | p->gen << 16;
    s->holders.row[i].value = 1;
    s->value--;
  }
}

static void look_crowd(void) {
  look_permits(5, 5);
}

STEPPED(take_a_permit_beside_many, prepare_crowd, take_two, look_crowd)

static void give_only(void) {
  (void)mp_sem_release(SEM);
  (void)mp_sem_release(SEM);
}

static void look_signals(void) {
  look_permits(2, 4);
}

STEPPED(begin_to_signal, prepare_sem, give_only, look_signals)

static void prepare_signalling(void) {
  open_sem(3, MP_SEM_SIGNALLING);
}

static void look_signalling(void) {
  look_permits(0, 3);
}

STEPPED(take_and_give_signals, prepare_signalling, take_and_give,
        look_signalling)

static void prepare_polled(void) {
  open_sem(0, 0);
  mp_fd_close(mp_sem_fd(SEM));
}

static void look_polled(void) {
  look_permits(0, 2);
}

STEPPED(signal_and_ring, prepare_polled, give_only, look_polled)

static void ask_sem_for_fd(void) {
  (void)mp_sem_fd(SEM);
}

STEPPED(ask_a_semaphore_for_a_bell, prepare_sem, ask_sem_for_fd, look_two)

static void prepare_none(void) {
  open_sem(0, MP_SEM_SIGNALLING);
}

static void sleep_for_permit(void) {
  (void)mp_sem_acquire(SEM, mp_now() + 1000000);
}

static void look_none(void) {
  look_permits(0, 0);
}

STEPPED(sleep_for_a_permit, prepare_none, sleep_for_permit, look_none)

static void make_sem(void) {
  mp_ref s, t;

  if (mp_sem_open(&s, 1, MP_SEM_BOUNDED) < 0)
    return;
  mp_ref_close(&s);
  (void)mp_sem_open(&t, 1, 0);
}

STEPPED(make_semaphores, NULL, make_sem, NULL)

/* Barriers: holds[0].  The survivor waits there, and learns the end of it. */

#define BAR holds[0]
static struct mp_arrival mine;

static void open_barrier(const char *action) {
  struct mp_iov iov = {action, action ? strlen(action) : 0};
  struct mp_out out = {&iov, 1, 0, NULL};
  struct check_barrier *bar;

  REQUIRE(mp_barrier_open(&BAR, 2, 0, action ? &out : NULL) == 0);
  nholds = 1;
  bar = mp__at(MP_REF_ID(BAR));
  bar->waiting.row[0].who = mp__member();
  bar->waiting.row[0].value = 1 << 1; /* phase 0, index 1 */
  mine.row = mp__off(&bar->waiting.row[0]);
}

static void prepare_barrier(void) {
  open_barrier(NULL);
}

static void prepare_acting(void) {
  open_barrier("act");
}

static int wait_at(struct mp_arrival *at, int64_t deadline) {
  int rc;

  do
    rc = mp_barrier_wait(BAR, at, deadline);
  while (rc == -EINTR);
  return rc;
}

static void come_last(void) {
  struct mp_arrival at = {0};

  if (wait_at(&at, MP_FOREVER) == 0)
    (void)mp_barrier_acted(BAR, &at, 1);
}

/* Passed, broken, or the victim had not come. */
static void look_barrier(void) {
  struct mp_arrival at = {0};
  int rc = wait_at(&mine, mp_now() + 20000000);

  CHECK(rc == 1 || rc == -MP_EBROKEN || rc == -MP_ETIMEOUT);
  if (rc == -MP_ETIMEOUT)
    CHECK_EQ(mp_barrier_broken(BAR), 1);
  if (mp_barrier_broken(BAR))
    CHECK_EQ(wait_at(&at, MP_FOREVER), -MP_EBROKEN);
  mp_barrier_reset(BAR);
  CHECK_EQ(mp_barrier_broken(BAR), 0);
  CHECK_EQ(mp_barrier_waiting(BAR), 0);
  CHECK_EQ(wait_at(&at, MP_NOW), -MP_ETIMEOUT);
}

STEPPED(come_last_to_a_barrier, prepare_barrier, come_last, look_barrier)
STEPPED(come_last_and_act, prepare_acting, come_last, look_barrier)

/* Alone there: one party too few. */
static void prepare_lonely(void) {
  prepare_barrier();
  mp_barrier_leave(BAR, &mine);
}

static void come_first(void) {
  struct mp_arrival at = {0};

  (void)wait_at(&at, mp_now() + 1000000);
}

/* Dead there, or its time was up: broken; or it had not come. */
static void look_lonely(void) {
  struct mp_arrival at = {0};
  int rc = wait_at(&at, MP_NOW);

  CHECK(rc == -MP_EBROKEN || rc == -MP_ETIMEOUT);
  mp_barrier_reset(BAR);
  CHECK_EQ(mp_barrier_waiting(BAR), 0);
}

STEPPED(wait_at_a_barrier, prepare_lonely, come_first, look_lonely)

/* For the survivor, which has come first or not at all. */
static void leave_barrier(void) {
  struct mp_arrival at = mine;

  mp_barrier_leave(BAR, &at);
}

static void look_left(void) {
  struct mp_arrival at = {0};
  int rc = wait_at(&at, MP_NOW);

  CHECK(rc == 2 || rc == -MP_ETIMEOUT);
  mp_barrier_reset(BAR);
}

STEPPED(leave_a_barrier, prepare_barrier, leave_barrier, look_left)

static void abort_and_reset(void) {
  mp_barrier_abort(BAR);
  mp_barrier_reset(BAR);
}

STEPPED(break_a_barrier, prepare_barrier, abort_and_reset, look_barrier)

static void reset_only(void) {
  mp_barrier_reset(BAR);
  mp_barrier_reset(BAR);
}

/* The survivor's row may be of an older phase only if it is cut. */
static void look_reset(void) {
  CHECK(wait_at(&mine, mp_now() + 20000000) < 0);
  mp_barrier_reset(BAR);
  CHECK_EQ(mp_barrier_waiting(BAR), 0);
}

STEPPED(reset_a_barrier, prepare_barrier, reset_only, look_reset)

static void make_barriers(void) {
  struct mp_iov iov = {"act", 3};
  mp_ref refs[1] = {c};
  struct mp_out out = {&iov, 1, 1, refs};
  mp_ref x, y;

  if (mp_barrier_open(&x, 2, 0, &out) < 0)
    return;
  mp_ref_close(&x);
  (void)mp_barrier_open(&y, 2, 0, &out);
}

STEPPED(make_barriers_with_an_action, NULL, make_barriers, NULL)

/* Conditions: holds[0] over the lock holds[1].  Two that have waited longer
 * than the victim are there, who are not real: open processes. */

#define COND holds[0]
#define COND_LOCK holds[1]

static int acquire_lock(void) {
  int rc;

  do
    rc = mp_mutex_acquire(COND_LOCK, MP_FOREVER);
  while (rc == -EINTR);
  return rc;
}

static int wait_for_notice(int64_t deadline) {
  struct mp_waiter w = {0};
  int rc;

  do
    rc = mp_cond_wait(COND, &w, deadline);
  while (rc == -EINTR);
  return rc < 0 ? rc : w.notified;
}

static struct check_cond *cond_at(void) {
  return mp__at(MP_REF_ID(COND));
}

static void prepare_cond(void) {
  REQUIRE(mp_mutex_open(&COND_LOCK, 1) == 0);
  REQUIRE(mp_cond_open(&COND, COND_LOCK) == 0);
  nholds = 2;
}

static void stand_in(int n, uint64_t state) {
  struct mp__row *row = &cond_at()->waiters.row[n];
  struct mp__slot *p;

  REQUIRE(mp_proc_open(&holds[nholds], NULL, 0) == 0);
  p = mp__at(MP_REF_ID(holds[nholds++]));
  row->who = mp__slot_index(p) | p->gen << 16;
  row->value = (uint64_t)++cond_at()->order << 2 | state;
}

static void prepare_waited(void) {
  prepare_cond();
  stand_in(0, 1);
  stand_in(1, 2);
}

/* What is said to nobody is lost, what is said to a waiter comes; and the
 * levels of the lock are whole. */
static void look_cond(void) {
  struct mp__walk w = MP__WALK(&cond_at()->waiters);
  struct mp__row *row;
  int i;

  for (i = 0; i < 2; i++)
    CHECK(acquire_lock() >= 0);
  CHECK_EQ(mp_cond_notify(COND, MP_NOTIFY_ALL), 0);
  (void)wait_for_notice(MP_NOW); /* a grant of the dead may come late */
  CHECK_EQ(wait_for_notice(MP_NOW), 0);
  for (i = 0; i < 2; i++)
    CHECK_EQ(mp_mutex_release(COND_LOCK), 0);
  CHECK_EQ(mp_mutex_release(COND_LOCK), -MP_ENOTHELD);
  while ((row = mp__walk(&w)))
    CHECK(row->value == 0 || !mp__member_dead(row->who));
}

/* The stand-ins have been granted, both or the older, or none. */
static void look_waited(void) {
  struct mp__row *row = cond_at()->waiters.row;

  CHECK((row[0].value & 3) == 3 || (row[1].value & 3) != 3);
  look_cond();
  CHECK((row[0].value & 3) == 3 && (row[1].value & 3) == 3);
}

static void acquire_and_wait(void) {
  (void)acquire_lock();
  (void)acquire_lock();
  (void)wait_for_notice(mp_now() + 1000000);
  (void)mp_mutex_release(COND_LOCK);
  (void)mp_mutex_release(COND_LOCK);
}

STEPPED(wait_for_a_condition, prepare_cond, acquire_and_wait, look_cond)
STEPPED(wait_beside_others, prepare_waited, acquire_and_wait, look_waited)

static void acquire_and_notify(void) {
  (void)acquire_lock();
  (void)mp_cond_notify(COND, 1);
  (void)mp_mutex_release(COND_LOCK);
}

static void acquire_and_notify_all(void) {
  (void)acquire_lock();
  (void)mp_cond_notify(COND, MP_NOTIFY_ALL);
  (void)mp_mutex_release(COND_LOCK);
}

STEPPED(notify_one, prepare_waited, acquire_and_notify, look_waited)
STEPPED(notify_all_waiters, prepare_waited, acquire_and_notify_all, look_waited)

/* One has died with a grant; whoever passes it on is killed. */
static void die_granted(void) {
  struct mp__row *row = &cond_at()->waiters.row[2];

  row->who = mp__member();
  row->value = (uint64_t)++cond_at()->order << 2 | 3;
  (void)raise(SIGKILL);
}

static void death_granted(void) {
  first_dies(die_granted);
}

static void look_passed_on(void) {
  look_first();
  look_waited();
}

static void sweep_and_wait(void) {
  (void)mp__scan();
  acquire_and_wait();
}

STEPPED_AFTER(pass_a_grant_on, prepare_waited, sweep_and_wait, look_passed_on,
              death_granted)

/* Woken by another: granted beforehand, the row is freed with the lock. */
static void leave_cond(void) {
  struct mp_waiter w = {.stage = MP_WAITER_ASLEEP, .levels = 1};
  struct mp__row *row = &cond_at()->waiters.row[2];

  row->who = mp__member();
  row->value = (uint64_t)++cond_at()->order << 2 | 3;
  w.row = mp__off(row);
  mp_cond_leave(COND, &w);
  (void)mp_cond_wait(COND, &w, MP_FOREVER);
  (void)mp_mutex_release(COND_LOCK);
}

STEPPED(leave_a_condition, prepare_waited, leave_cond, look_waited)

static void make_conds(void) {
  mp_ref m, x, y;

  if (mp_mutex_open(&m, 0) < 0)
    return;
  (void)mp_cond_open(&x, m);
  mp_ref_close(&m);
  (void)mp_ref_dup(mp_cond_mutex(x), &m);
  (void)mp_cond_open(&y, m);
  mp_ref_close(&y);
  mp_ref_close(&x);
}

STEPPED(make_conditions, NULL, make_conds, NULL)
