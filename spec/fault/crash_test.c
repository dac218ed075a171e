/* crash_test.c -- a process is killed at each named fault point, at its n-th
 * passage, in the middle of everything that the core does.
 *
 * Needs a core that was built with MP_FAULTS.  The names are read from the
 * sources, so that a new point cannot be forgotten.
 */
#include "../core/joiner.h"

#include "roster.h"

#define SOURCES "runtime/core"
#define SECONDS 5 /* a survivor may need this long at most, for all it does */

static char names[100][40];
static int nnames;

static void note(const char *line) {
  const char *at = strstr(line, "MP_FAULT(\"");
  size_t len;
  int i;

  if (!at)
    return;
  at += strlen("MP_FAULT(\"");
  len = strcspn(at, "\"");
  REQUIRE(len < sizeof names[0]);
  for (i = 0; i < nnames; i++)
    if (strncmp(names[i], at, len) == 0 && names[i][len] == '\0')
      return;
  REQUIRE(nnames < 100);
  memcpy(names[nnames++], at, len);
}

static void read_names(void) {
  DIR *dir = opendir(SOURCES);
  struct dirent *d;
  char line[400], path[400];

  REQUIRE(dir != NULL);
  while ((d = readdir(dir)) != NULL) {
    size_t n = strlen(d->d_name);
    FILE *f;

    if (n < 2 || strcmp(d->d_name + n - 2, ".c") != 0)
      continue;
    (void)snprintf(path, sizeof path, SOURCES "/%s", d->d_name);
    f = fopen(path, "r");
    REQUIRE(f != NULL);
    while (fgets(line, sizeof line, f))
      note(line);
    (void)fclose(f);
  }
  (void)closedir(dir);
}

/* The victim: all that the core does, once or twice. */

static mp_ref a, b;
static char bytes[20000];

static void messages(void) {
  mp_ref c, d, refs[2];
  int64_t end = in_ms(2000);
  int i;

  if (mp_pipe_open(&c, &d, 0) < 0)
    return;
  refs[0] = c;
  refs[1] = d;
  for (i = 0; i < 3; i++) {
    (void)send_bytes(a, "short", 5, end);
    (void)send_bytes(a, bytes, sizeof bytes, end);
    (void)send_refs(a, "refs", 4, refs, 2, end);
    (void)recv_bytes(b, bytes, sizeof bytes, end);
    (void)recv_bytes(b, bytes, sizeof bytes, end);
    (void)recv_bytes(b, bytes, sizeof bytes, end);
  }
  for (i = 0; i < 12; i++) /* over a segment's end */
    (void)send_bytes(a, bytes, 900, end);
  for (i = 0; i < 12; i++)
    (void)recv_bytes(b, bytes, sizeof bytes, end);
  (void)send_refs(c, "refs", 4, &a, 1, end);
  mp_ref_close(&c);
  mp_ref_close(&d); /* with a message in it */
}

static void descriptors(void) {
  struct mp_ready r = MP_READY_EMPTY;
  mp_ref f, g;

  (void)mp_pipe_ready(b, &r);
  (void)send_bytes(a, "ring", 4, in_ms(2000));
  (void)recv_bytes(b, bytes, sizeof bytes, in_ms(2000));
  mp_ready_close(&r);
  if (mp_fd_share(1, 1, &f) == 0 && mp_fd_share(2, 1, &g) == 0) {
    mp_ref_close(&f);
    mp_fd_close(mp_fd_get(g));
    mp_ref_close(&g);
  }
  if (mp_fd_share(1, 1, &f) == 0)
    mp_ref_close(&f);
}

/* The survivor has it, too. */
static mp_ref queue;

/* One that takes what is there and ends: with the lock in its hand, or with
 * the item. */
static void taker(int in_the_act) {
  struct mp__fifo *f = mp__at(MP_REF_ID(queue));
  mp_ref p;
  int rc;

  if (mp_proc_open(&p, NULL, 0) < 0)
    return;
  rc = mp_proc_fork(p);
  if (rc == 0) {
    if (in_the_act) {
      (void)mp__claim_lock(f, MP_NOW);
      (void)mp__claim(f, MP_NOW);
      (void)raise(SIGKILL);
    }
    (void)get_bytes(queue, bytes, sizeof bytes, MP_NOW);
    mp_exit(0);
  }
  if (rc > 0)
    (void)join_until(p, MP_FOREVER);
  mp_ref_close(&p);
}

static void queues(void) {
  int64_t end = in_ms(2000);
  uint32_t which[8];
  mp_ref own;
  int i, fd;

  for (i = 0; i < 2; i++) {
    (void)put_bytes(queue, "short", 5, end);
    (void)put_bytes(queue, bytes, sizeof bytes, end);
    (void)put_bytes(queue, "short", 5, end);
    (void)get_bytes(queue, bytes, sizeof bytes, end);
    (void)mp_queue_done(queue);
    taker(1);
    taker(0);
    (void)mp_queue_join(queue, MP_NOW);
    (void)get_bytes(queue, bytes, sizeof bytes, end);
    (void)mp_queue_done(queue);
    (void)put_bytes(queue, "void", 4, end);
    (void)put_bytes(queue, bytes, sizeof bytes, end);
    (void)mp_queue_void(queue, 1, 1000, which, 8);
    (void)get_bytes(queue, bytes, sizeof bytes, MP_NOW);
  }
  if (mp_queue_open(&own, MP_TYPE_QUEUE, 1) < 0)
    return;
  fd = mp_queue_fd(own);
  (void)put_bytes(own, "ring", 4, end);
  mp_queue_close(own);
  mp_queue_rearm(own, fd);
  mp_fd_close(fd);
  mp_ref_close(&own);
}

/* The survivor has these, too. */
static mp_ref lock, event;

/* A holder dies, so the lock is taken from a dead one. */
static void locks(void) {
  mp_ref p;
  int rc;

  if (mp_proc_open(&p, NULL, 0) < 0)
    return;
  rc = mp_proc_fork(p);
  if (rc == 0) {
    (void)mp_mutex_acquire(lock, in_ms(2000));
    (void)raise(SIGKILL);
  }
  if (rc > 0)
    (void)join_until(p, MP_FOREVER);
  mp_ref_close(&p);
  if (mp_mutex_acquire(lock, in_ms(2000)) >= 0)
    (void)mp_mutex_release(lock);
  mp_event_set(event);
}

/* The survivor has these, too: 2 permits, a condition over the lock, a barrier
 * for more than ever come. */
static mp_ref sem, cond, barrier;

/* A child that takes part in one of them and waits there; in *c it says that
 * it has the lock. */
static mp_ref partner(int what, mp_ref c) {
  struct mp_arrival arrival = {0};
  struct mp_waiter w = {0};
  mp_ref p;
  int rc;

  if (mp_proc_open(&p, NULL, MP_PROC_DAEMON) < 0)
    return MP_REF_EMPTY;
  rc = mp_proc_fork(p);
  if (rc != 0)
    return p;
  if (what == 's') {
    (void)mp_sem_acquire(sem, in_ms(2000));
    (void)raise(SIGKILL);
  } else if (what == 'b') {
    (void)mp_barrier_wait(barrier, &arrival, MP_FOREVER);
  } else if (mp_mutex_acquire(lock, in_ms(2000)) >= 0) {
    (void)send_bytes(c, "in", 2, in_ms(2000));
    (void)mp_cond_wait(cond, &w, MP_FOREVER);
    (void)mp_mutex_release(lock);
  }
  mp_exit(0);
  return MP_REF_EMPTY;
}

/* Has it come to where it waits?  0 when it was killed before. */
static int came(mp_ref p, mp_ref d) {
  int64_t end = in_ms(2000);

  while (mp_now() < end) {
    if (recv_bytes(d, bytes, sizeof bytes, mp_now() + 5000000) == 2)
      return 1;
    if (!p || join_until(p, MP_NOW) == 0)
      return 0;
  }
  return 0;
}

static void end_of(mp_ref *p, int kill) {
  if (!*p)
    return;
  if (kill)
    (void)mp_proc_signal(*p, SIGKILL);
  (void)join_until(*p, in_ms(2000));
  mp_ref_close(p);
}

/* Permits of a dead one, and one that is given by who has none. */
static void permits(void) {
  mp_ref p = partner('s', 0), own;

  end_of(&p, 0);
  (void)mp_sem_acquire(sem, in_ms(2000));
  (void)mp_sem_release(sem);
  if (mp_sem_open(&own, 0, 0) < 0)
    return;
  (void)mp_sem_release(own);
  (void)mp_sem_acquire(own, MP_NOW);
  mp_ref_close(&own);
}

/* The first of two is notified and killed: the second is notified then.  Then
 * we wait for nobody. */
static void conditions(void) {
  struct mp_waiter w = {0};
  mp_ref c, d, p[2];
  int i;

  if (mp_pipe_open(&c, &d, 0) < 0)
    return;
  for (i = 0; i < 2; i++) {
    p[i] = partner('c', c);
    (void)came(p[i], d);
  }
  if (mp_mutex_acquire(lock, in_ms(2000)) >= 0) {
    (void)mp_cond_notify(cond, 1);
    end_of(&p[0], 1);
    (void)mp_cond_notify(cond, 0);
    (void)mp_mutex_release(lock);
  }
  end_of(&p[1], 0);
  if (mp_mutex_acquire(lock, in_ms(2000)) >= 0) {
    (void)mp_cond_wait(cond, &w, MP_NOW);
    (void)mp_mutex_release(lock);
  }
  mp_ref_close(&c);
  mp_ref_close(&d);
}

/* As many wait at the barrier; fewer where they are killed before. */
static void crowd(mp_ref *p, int n) {
  int64_t end = in_ms(2000);
  int i;

  for (i = 0; i < n; i++) {
    p[i] = partner('b', 0);
    while (mp_barrier_waiting(barrier) <= (uint32_t)i && mp_now() < end &&
           p[i] && join_until(p[i], MP_NOW) < 0)
      (void)usleep(200);
  }
}

/* Behind more than there is room for at first; after one that died there;
 * then barriers of our own. */
static void barriers(void) {
  struct mp_iov iov = {"act", 3};
  struct mp_out action = {.iov = &iov, .niov = 1};
  struct mp_arrival arrival = {0};
  mp_ref p[MP__ROSTER_FIRST], own;
  int i;

  crowd(p, MP__ROSTER_FIRST);
  (void)mp_barrier_wait(barrier, &arrival, MP_NOW); /* breaks it */
  for (i = 0; i < MP__ROSTER_FIRST; i++)
    end_of(&p[i], 0);
  mp_barrier_reset(barrier);
  crowd(p, 1);
  end_of(&p[0], 1);
  (void)mp_barrier_wait(barrier, &arrival, MP_NOW);
  mp_barrier_reset(barrier);
  for (i = 1; i <= 3; i++) { /* passed, timed out, with an action */
    if (mp_barrier_open(&own, i == 2 ? 2 : 1, 0, i == 3 ? &action : NULL) < 0)
      return;
    arrival = (struct mp_arrival){0};
    if (mp_barrier_wait(own, &arrival, MP_NOW) == 0)
      (void)mp_barrier_acted(own, &arrival, 1);
    mp_ref_close(&own);
  }
}

static char block_name[40];

static void name_block(void) {
  (void)snprintf(block_name, sizeof block_name, "luamp-crash-%d", getpid());
}

static void blocks(void) {
  struct mp_map m = MP_MAP_EMPTY, n = MP_MAP_EMPTY;
  mp_ref x, y;
  int i;

  for (i = 0; i < 2; i++) { /* the second one is left for the end */
    if (mp_block_create(block_name, 100, &x, &m) < 0)
      return;
    (void)mp_block_share(x, &m);
    (void)send_refs(a, "block", 5, &x, 1, in_ms(2000));
    (void)recv_bytes(b, bytes, sizeof bytes, in_ms(2000));
    if (mp_block_attach(block_name, &y, &n) == 0)
      mp_ref_close(&y);
    mp_map_close(&m);
    mp_map_close(&n);
    if (i == 0)
      (void)mp_block_unlink(x);
    mp_ref_close(&x);
  }
}

static void cells(void) {
  struct mp_cell what = {.code = 'd', .n = 100};
  mp_ref x, name;

  if (mp_cell_open(&x, MP_TYPE_ARRAY, &what) < 0)
    return;
  (void)mp_cell_lock(x, &name);
  mp_ref_close(&x);
}

/* A child that runs, and one that is killed; 1 if one did not as it ought. */
static int child(enum mp_method how) {
  int bad = 0, code = 0;
  mp_ref p;

  if (start_plan(&p, how, 'e', 7, NULL, 0) < 0) {
    mp_ref_close(&p);
    return 1;
  }
  bad |= join_until(p, MP_FOREVER) < 0;
  bad |= !mp_proc_exitcode(p, &code) || code != 7;
  mp_ref_close(&p);
  if (start_plan(&p, how, 'w', 0, NULL, MP_PROC_DAEMON) < 0) {
    mp_ref_close(&p);
    return 1;
  }
  bad |= mp_proc_signal(p, SIGKILL) < 0;
  bad |= join_until(p, MP_FOREVER) < 0;
  mp_ref_close(&p);
  return bad;
}

/* A fork of the host's own, which sits down by itself. */
static int hosts_fork(void) {
  int status = 0;
  pid_t pid = fork();

  if (pid == 0)
    _exit(mp_enter() < 0);
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
    ;
  return status != 0;
}

static int scenario(void) {
  int bad = 0;

  messages();
  descriptors();
  queues();
  locks();
  permits();
  conditions();
  barriers();
  blocks();
  cells();
  bad |= hosts_fork();
  bad |= child(MP_FORK);
  bad |= child(MP_SPAWN);
  bad |= child(MP_FORKSERVER);
  if (finish() < 0)
    return 1;
  return test_has_child() ? 2 : bad;
}

/* The survivor */

/* Those that the victim started, and left behind. */
static void wait_for_orphans(void) {
  int64_t end = in_ms(SECONDS * 1000);
  uint64_t i;
  int alive;

  do {
    alive = 0;
    (void)mp__scan();
    for (i = 1; i <= MP__HEAD->nslots; i++) {
      struct mp__slot *s = mp__slot_at(MP__SLOTS + i * MP__SLOT_SIZE);

      if ((s->obj.type & 0xff) != MP_TYPE_PROC || s == mp__me() ||
          s->flags & MP__PROC_SWEPT || s->state < MP_STARTING)
        continue;
      if (!mp__slot_verify(s))
        alive++;
    }
    if (alive)
      (void)usleep(1000);
  } while (alive && mp_now() < end);
  CHECK_EQ(alive, 0);
}

/* All permits are there, and all else works. */
static void look_at_meetings(int64_t end) {
  struct mp_arrival arrival = {0};
  struct mp_waiter w = {0};

  CHECK_EQ(mp_sem_acquire(sem, end), 0);
  CHECK_EQ(mp_sem_acquire(sem, end), 0);
  CHECK_EQ(mp_sem_acquire(sem, MP_NOW), -MP_ETIMEOUT);
  CHECK_EQ(mp_sem_release(sem), 0);
  CHECK_EQ(mp_sem_release(sem), 0);
  CHECK(mp_mutex_acquire(lock, end) >= 0);
  CHECK_EQ(mp_cond_wait(cond, &w, MP_NOW), 0);
  CHECK_EQ(mp_cond_notify(cond, MP_NOTIFY_ALL), 0);
  CHECK_EQ(mp_mutex_release(lock), 0);
  mp_barrier_reset(barrier);
  CHECK_EQ(mp_barrier_waiting(barrier), 0);
  CHECK_EQ(mp_barrier_wait(barrier, &arrival, MP_NOW), -MP_ETIMEOUT);
}

static void look(void) {
  int64_t n, end = in_ms(1000);
  struct mp_map m;
  mp_ref x;

  CHECK_EQ(mp_block_attach(block_name, &x, &m), -ENOENT);

  CHECK_EQ(send_bytes(a, "end", 3, end), 0);
  do
    n = recv_bytes(b, bytes, sizeof bytes, end);
  while (n >= 0 && (n != 3 || memcmp(bytes, "end", 3) != 0));
  CHECK_EQ(n, 3);
  CHECK_EQ(send_bytes(b, bytes, sizeof bytes, end), 0);
  CHECK_EQ(recv_bytes(a, bytes, sizeof bytes, end), sizeof bytes);
  descriptors();
  while (get_bytes(queue, bytes, sizeof bytes, MP_NOW) >= 0)
    CHECK_EQ(mp_queue_done(queue), 0);
  CHECK(mp_queue_join(queue, end) >= 0);
  CHECK_EQ(put_bytes(queue, "end", 3, end), 0);
  CHECK_EQ(mp_queue_join(queue, MP_NOW), -MP_ETIMEOUT);
  CHECK_EQ(get_bytes(queue, bytes, sizeof bytes, end), 3);
  CHECK_EQ(mp_queue_done(queue), 0);
  CHECK_EQ(mp_queue_join(queue, MP_NOW), 0);
  CHECK(mp_mutex_acquire(lock, end) >= 0); /* abandoned or not */
  CHECK_EQ(mp_mutex_release(lock), 0);
  mp_event_set(event);
  CHECK_EQ(mp_event_wait(event, 0, end), 0);
  look_at_meetings(end);
  CHECK(mp_now() < end);
}

/* 1 if somebody was killed at the point. */
static int crash(const char *name, int n, const struct check_use *use) {
  char spec[60];
  int code = -1, rc;
  mp_ref p;

  (void)snprintf(spec, sizeof spec, "%s:%d", name, n);
  test_name = spec;
  REQUIRE(mp_pipe_open(&a, &b, 0) == 0);
  REQUIRE(mp_queue_open(&queue, MP_TYPE_JOINABLE, 0) == 0);
  REQUIRE(mp_mutex_open(&lock, 0) == 0);
  REQUIRE(mp_event_open(&event) == 0);
  REQUIRE(mp_sem_open(&sem, 2, 0) == 0);
  REQUIRE(mp_cond_open(&cond, lock) == 0);
  REQUIRE(mp_barrier_open(&barrier, 20, 0, NULL) == 0);
  REQUIRE(mp_proc_open(&p, "victim", 0) == 0);
  REQUIRE(setenv("MP_CRASH", "none:1", 1) == 0);
  rc = mp_proc_fork(p);
  REQUIRE(rc >= 0);
  if (rc == 0) {
    (void)setenv("MP_CRASH", spec, 1);
    mp_exit(scenario());
  }
  CHECK_EQ(join_until(p, in_ms(SECONDS * 1000)), 0);
  CHECK_EQ(mp_proc_exitcode(p, &code), 1);
  CHECK(code == 0 || code == 1 || code == -SIGKILL);
  mp_ref_close(&p);
  wait_for_orphans();
  look();
  mp_ref_close(&a);
  mp_ref_close(&b);
  mp_ref_close(&queue);
  mp_ref_close(&lock);
  mp_ref_close(&event);
  mp_ref_close(&sem);
  mp_ref_close(&cond);
  mp_ref_close(&barrier);
  CHECK(check_same(spec, use));
  if (getenv("TEST_VERBOSE"))
    printf("%s: code %d\n", spec, code);
  return code != 0;
}

TEST_LIMIT(a_crash_at_every_point, 120) {
  static const int passages[] = {1, 2, 3, 10, 40, 150, 500};
  const char *self = test_name;
  struct check_use use;
  unsigned k;
  int i;

  read_names();
  name_block();
  CHECK(nnames > 10);
  REQUIRE(mp_enter() == 0);
  CHECK(check_arena("at first", &use));
  for (i = 0; i < nnames && test_failures == 0; i++)
    for (k = 0; k < sizeof passages / sizeof *passages; k++) {
      int killed = crash(names[i], passages[k], &use);

      /* What a dead server does is done by the next, and seen by nobody. */
      if (k == 0 && strncmp(names[i], "server.", 7) != 0)
        CHECK(killed);
      if (!killed)
        break;
    }
  test_name = self;
  check_leave();
}

/* Without a crash the scenario comes through, and leaves nothing. */
TEST(no_crash) {
  struct check_use use;

  REQUIRE(mp_enter() == 0);
  name_block();
  CHECK(check_arena("at first", &use));
  CHECK_EQ(crash("none", 1, &use), 0);
  check_leave();
}
