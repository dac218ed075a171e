/* search.c -- owns the choice of schedules.
 *
 * A schedule is the list of the choices taken where there was one.  All of
 * them: the last choice that has an alternative left takes it, and what comes
 * after it begins anew at 0.  The number of preemptions is bounded: almost
 * every mistake needs few, and without a bound there are too many schedules.
 */
#include "explore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define POINTS 20000

static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";

static struct search *how;
static struct point { unsigned char pick, n; } points[POINTS];
static int npoints; /* that are laid down */
static int at;      /* how many have been passed */
static int preemptions;
static uint64_t seed, random_state;

static uint64_t next_random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

/* Mostly it goes on; the rest is anything. */
static int at_random(int n) {
  return next_random() % 4 ? 0 : (int)(next_random() % (uint64_t)n);
}

int search_pick(int n) {
  struct point *p = &points[at];

  if (n == 1)
    return 0;
  if (how->random)
    return at_random(n);
  if (at == POINTS)
    sim_fail("too many choices");
  if (at == npoints) {
    p->pick = 0;
    p->n = (unsigned char)n;
    npoints++;
  }
  p->n = p->n ? p->n : (unsigned char)n; /* of a given path: not known yet */
  at++;
  if (p->n != n || p->pick >= n)
    sim_fail("not the same choices as the last time");
  return p->pick;
}

int search_may_preempt(void) {
  return how->random || preemptions < how->preemptions;
}

void search_preempted(void) {
  preemptions++;
}

const char *search_replay(void) {
  static char text[POINTS + 40];
  int len = at;
  int i;

  if (how->random) {
    (void)snprintf(text, sizeof text, "again: --seed=%llu",
                   (unsigned long long)seed);
    return text;
  }
  while (len > 0 && points[len - 1].pick == 0)
    len--;
  i = sprintf(text, "again: --preemptions=%d --path=", how->preemptions);
  for (int k = 0; k < len; k++)
    text[i++] = digits[points[k].pick];
  text[i] = '\0';
  return text;
}

/* On to the next schedule; 0: that was the last. */
static int advance(void) {
  if (how->random) {
    seed++;
    return 1;
  }
  while (npoints > 0 && points[npoints - 1].pick + 1 >= points[npoints - 1].n)
    npoints--;
  if (npoints == 0)
    return 0;
  points[npoints - 1].pick++;
  return 1;
}

static double seconds(void) {
  struct timespec ts;

  (void)clock_gettime(CLOCK_MONOTONIC, &ts);
  return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void given_path(const char *path) {
  for (npoints = 0; path[npoints]; npoints++) {
    points[npoints].pick =
        (unsigned char)(strchr(digits, path[npoints]) - digits);
    points[npoints].n = 0;
  }
}

int search_run(struct search *s) {
  double end = seconds() + s->seconds;

  how = s;
  npoints = 0;
  seed = s->seed;
  s->schedules = 0;
  s->complete = 0;
  if (s->path)
    given_path(s->path);
  for (;;) {
    at = preemptions = 0;
    random_state = seed * 2862933555777941757u + 3037000493u;
    sim_run();
    s->schedules++;
    if (sim_failed())
      return -1;
    if (s->path || !advance()) {
      s->complete = 1;
      return 0;
    }
    if (s->seconds > 0 && s->schedules % 64 == 0 && seconds() > end)
      return 0;
  }
}
