/* damage_fuzz.c -- any stray writes at all to the family's memory, before its
 * members' operations and between them.
 *
 * They may fail, do nothing or the wrong thing, find the memory damaged and end
 * the process; they may not touch what is not the family's, nor go on for ever.
 */
#include "damage.h"

enum {
  PIPE_A,
  PIPE_B,
  QUEUE,
  TASKS,
  SIMPLE,
  MUTEX,
  SEM,
  COND,
  EVENT,
  BARRIER,
  ARRAY,
  PROC,
  HELD
};

static mp_ref ref[HELD];
static char scratch[MP_INLINE_MAX];

static void put(mp_ref to, size_t len, unsigned nrefs, int is_pipe) {
  static char bytes[40000];
  struct mp_iov iov = {bytes, len};
  struct mp_out out = {&iov, 1, nrefs, ref};

  if (is_pipe)
    (void)mp_pipe_send(to, &out, MP_NOW);
  else
    (void)mp_queue_put(to, &out, MP_NOW, NULL);
}

/* All of it is read, as its receiver would. */
static void take(mp_ref from, int is_pipe) {
  struct mp_msg m = {0};
  volatile char sum = 0;
  size_t i;
  int rc = is_pipe ? mp_pipe_recv(from, &m, scratch, MP_NOW)
                   : mp_queue_get(from, &m, scratch, MP_NOW);

  if (rc < 0)
    return;
  for (i = 0; i < m.len; i++)
    sum = (char)(sum + m.data[i]);
  for (i = 0; i < m.nrefs; i++)
    sum = (char)(sum + (char)m.refs[i]);
  mp_msg_close(&m);
}

static void use_array(void) {
  struct mp_cell view;
  mp_ref lock;

  mp_cell_view(ref[ARRAY], &view);
  memset(view.data, 1, view.n * view.size);
  (void)mp_cell_lock(ref[ARRAY], &lock);
}

static void use_barrier(void) {
  struct mp_arrival a = {0};

  (void)mp_barrier_wait(ref[BARRIER], &a, MP_NOW);
  mp_barrier_reset(ref[BARRIER]);
  (void)mp_barrier_broken(ref[BARRIER]);
}

static void use_condition(void) {
  struct mp_waiter w = {0};

  if (mp_mutex_acquire(ref[MUTEX], MP_NOW) < 0)
    return;
  (void)mp_cond_wait(ref[COND], &w, MP_NOW);
  (void)mp_cond_notify(ref[COND], 2);
  (void)mp_mutex_release(ref[MUTEX]);
}

static void use_process(void) {
  mp_ref p;

  if (mp_proc_open(&p, "child", 0) == 0)
    mp_ref_close(&p);
  (void)mp_proc_join(ref[PROC], MP_NOW);
}

static void use_queue(mp_ref q) {
  uint32_t which[4];

  (void)mp_queue_void(q, 1, 4, which, 4);
  (void)mp_queue_len(q);
  (void)mp_queue_join(q, MP_NOW);
  (void)mp_queue_done(q);
  (void)mp_queue_lost(q, MP_REF_EMPTY, which);
}

static void dup_one(unsigned which) {
  mp_ref held;

  if (mp_ref_dup(ref[which % HELD], &held) == 0)
    mp_ref_close(&held);
}

/* What the last holder of everything leaves to the collector. */
static void close_all(void) {
  mp_ref mine[HELD];
  int i;

  memcpy(mine, ref, sizeof mine);
  for (i = 0; i < HELD; i++)
    mp_ref_close(&mine[i]);
}

static void share(void) {
  mp_ref held;

  if (mp_fd_share(2, 0, &held) < 0)
    return;
  mp_fd_close(mp_fd_get(held));
  mp_ref_close(&held);
}

static void operate(unsigned op) {
  switch (op % 24) {
  case 0:
    put(ref[PIPE_A], 100, 0, 1);
    break;
  case 1:
    put(ref[PIPE_A], 40000, 2, 1);
    break;
  case 2:
    take(ref[PIPE_B], 1);
    break;
  case 3:
    put(ref[QUEUE], 8000, 0, 0);
    break;
  case 4:
    put(ref[QUEUE], 9000, HELD, 0);
    break;
  case 5:
    take(ref[QUEUE], 0);
    break;
  case 6:
    put(ref[TASKS], 10, 0, 0);
    break;
  case 7:
    take(ref[TASKS], 0);
    break;
  case 8:
    use_queue(ref[TASKS]);
    break;
  case 9:
    use_queue(ref[QUEUE]);
    break;
  case 10:
    take(ref[SIMPLE], 0);
    break;
  case 11:
    (void)mp_mutex_acquire(ref[MUTEX], MP_NOW);
    break;
  case 12:
    (void)mp_mutex_release(ref[MUTEX]);
    break;
  case 13:
    (void)mp_sem_acquire(ref[SEM], MP_NOW);
    break;
  case 14:
    (void)mp_sem_release(ref[SEM]);
    break;
  case 15:
    use_condition();
    break;
  case 16:
    mp_event_set(ref[EVENT]);
    break;
  case 17:
    (void)mp_event_wait(ref[EVENT], 0, MP_NOW);
    break;
  case 18:
    use_barrier();
    break;
  case 19:
    use_array();
    break;
  case 20:
    use_process();
    break;
  case 21:
    dup_one(op / 24);
    break;
  case 22:
    share();
    break;
  default:
    (void)mp__scan();
    break;
  }
}

static void make_family(void) {
  struct mp_cell array = {.n = 3000, .code = 'd'};
  int bad;

  enter_family();
  bad = mp_pipe_open(&ref[PIPE_A], &ref[PIPE_B], 0) |
        mp_queue_open(&ref[QUEUE], MP_TYPE_QUEUE, 0) |
        mp_queue_open(&ref[TASKS], MP_TYPE_JOINABLE, 5) |
        mp_queue_open(&ref[SIMPLE], MP_TYPE_SIMPLE, 0) |
        mp_mutex_open(&ref[MUTEX], 1) | mp_sem_open(&ref[SEM], 2, 0) |
        mp_event_open(&ref[EVENT]) |
        mp_barrier_open(&ref[BARRIER], 2, 1.0, NULL) |
        mp_proc_open(&ref[PROC], "one", 0) |
        mp_cell_open(&ref[ARRAY], MP_TYPE_ARRAY, &array);
  if (bad || mp_cond_open(&ref[COND], ref[MUTEX]) < 0)
    abort();
  put(ref[PIPE_A], 100, 0, 1);
  put(ref[PIPE_A], 40000, 2, 1);
  put(ref[QUEUE], 100, 3, 0);
  put(ref[SIMPLE], 3000, 0, 0);
  put(ref[TASKS], 10, 0, 0);
  put(ref[TASKS], 10, 0, 0);
  take(ref[TASKS], 0);
  keep_memory();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  struct input in = {data, data + len};
  unsigned op;

  if (!piece[0].copy)
    make_family();
  put_back();
  if (setjmp(end_of_input) == 0) {
    while (in.at < in.end) {
      op = byte_of(&in);
      if (op >= 160)
        damage(&in);
      else
        operate(op);
    }
    close_all();
  }
  return 0;
}
