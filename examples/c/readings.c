/* readings.c -- a C program that produces, Lua processes that consume.
 *
 *   readings readings.lua
 *
 * The script makes two queues, a lock and an array, and starts two workers.
 * The program puts its readings into the one queue and gets what became of
 * them out of the other; program and workers keep {how many, the highest} in
 * the array, each under the lock.  None of that passes a Lua state here.
 *
 * Build it with: cc readings.c $(pkg-config --cflags --libs luamp) -o readings
 */
#include <errno.h>
#include <stdio.h>

#include <lauxlib.h>
#include <lualib.h>
#include <luamp.h>

#define READINGS 1000

static const struct luamp_host host = {.program = "/proc/self/exe"};

/* What the program shares with the workers. */
struct shared {
  mp_ref readings, summaries; /* queues */
  mp_ref lock;
  double *seen; /* in the array: how many, the highest */
};

/* Note a reading; 0, or what went wrong. */
static int note(const struct shared *s, double value) {
  int rc;

  do
    rc = mp_mutex_acquire(s->lock, MP_FOREVER);
  while (rc == -EINTR);
  if (rc < 0)
    return rc;
  /* MP_EABANDONED: whoever had the lock is dead, and it is ours now; what it
   * was at is two numbers, of which either may be old. */
  s->seen[0] += 1;
  if (value > s->seen[1])
    s->seen[1] = value;
  return mp_mutex_release(s->lock);
}

/* Put {number, value, unit}; 0, or what went wrong. */
static int put_reading(mp_ref queue, int i) {
  struct mp_value of[] = {MP_VALUE_INTEGER(i), MP_VALUE_FLOAT(i * 0.5),
                          MP_VALUE_STRING("mm", 2)};
  struct mp_value reading = MP_VALUE_LIST(of, 3);
  char bytes[64];
  struct mp_iov iov = {bytes, 0};
  struct mp_out out = {.iov = &iov, .niov = 1};
  int rc;

  iov.len = (size_t)mp_value_encode(&reading, bytes, sizeof bytes);
  do
    rc = mp_queue_put(queue, &out, MP_FOREVER, NULL);
  while (rc == -EINTR); /* a signal; a program may want to look at it */
  return rc;
}

/* Get {name, count, sum} and print it; the count. */
static int64_t get_summary(mp_ref queue, double *total) {
  char scratch[MP_INLINE_MAX];
  struct mp_value list, name, n, sum;
  struct mp_values rest;
  struct mp_msg m;
  int rc;

  do
    rc = mp_queue_get(queue, &m, scratch, MP_FOREVER);
  while (rc == -EINTR);
  if (rc < 0)
    return rc;
  rc = mp_value_decode(m.data, m.len, &list, &rest);
  if (rc < 0 || list.kind != MP_LIST || mp_value_next(&rest, &name) != 1 ||
      mp_value_next(&rest, &n) != 1 || mp_value_next(&rest, &sum) != 1 ||
      name.kind != MP_STRING || n.kind != MP_INTEGER || sum.kind != MP_FLOAT) {
    mp_msg_close(&m);
    return -MP_EPROTOCOL;
  }
  printf("%.*s is done\n", (int)name.len, name.as.string);
  *total += sum.as.number;
  mp_msg_close(&m); /* name.as.string lay in it */
  return n.as.integer;
}

/* The values on the stack keep the objects alive. */
static int share(lua_State *L, struct shared *s) {
  struct mp_cell array;
  mp_ref seen = luamp_ref(L, 4);

  s->readings = luamp_ref(L, 1);
  s->summaries = luamp_ref(L, 2);
  s->lock = luamp_ref(L, 3);
  if (!s->readings || !s->summaries || !s->lock || !seen)
    return 0;
  mp_cell_view(seen, &array);
  s->seen = array.data;
  return array.code == 'd' && array.n == 2;
}

static int work(lua_State *L, const char *script) {
  struct shared s;
  double total = 0;
  int64_t count = 0, n = 0;
  int i, rc = 0;

  if (luaL_dofile(L, script) != LUA_OK) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    return 1;
  }
  if (!share(L, &s))
    return 1;
  for (i = 1; i <= READINGS && rc == 0; i++) {
    rc = note(&s, i * 0.5);
    if (rc == 0)
      rc = put_reading(s.readings, i);
  }
  mp_queue_close(s.readings); /* the workers get what is left, and then end */
  for (i = 0; i < lua_tointeger(L, 5) && n >= 0; i++)
    count += n = get_summary(s.summaries, &total);
  if (rc < 0 || n < 0) {
    fprintf(stderr, "%s\n", mp_err_text(rc < 0 ? rc : (int)n));
    return 1;
  }
  printf("%d readings, sum %g\n", (int)count, total);
  printf("noted %g times, the highest %g\n", s.seen[0], s.seen[1]);
  return 0;
}

int main(int argc, char **argv) {
  int code = luamp_child_main(argc, argv, &host);
  lua_State *L;

  if (code >= 0)
    return code;
  if (argc != 2) {
    fprintf(stderr, "usage: %s readings.lua\n", argv[0]);
    return 1;
  }
  L = luaL_newstate();
  if (!L)
    return 1;
  luaL_openlibs(L);
  luamp_preload(L);
  luamp_set_host(L, &host);
  code = work(L, argv[1]);
  lua_close(L);
  return code;
}
