/* main.c -- explore [--seconds=S] [--preemptions=N] [--seed=N] [--path=P]
 * [--first] [name...]: runs the scenarios whose names contain a word; with
 * --first no more after one that failed.
 *
 * Each is searched with 0, 1, 2, ... preemptions, as far as its share of the
 * time goes; scenarios of three and more then run at random until it is over.
 * Those of two have a double share, for the bound is that of the worst of them,
 * and are through without preemptions at least; what one leaves over, the
 * others have.
 * The last line is "N passed, N failed".
 */
#include "scenarios.h"

#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct scenario *const lists[] = {
    core_lock_scenarios, lock_scenarios,    event_scenarios, sem_scenarios,
    cond_scenarios,      barrier_scenarios, queue_scenarios, join_scenarios,
    arena_scenarios,     nap_scenarios};
#define LISTS (sizeof lists / sizeof *lists)

static struct search options = {.seconds = 10, .preemptions = -1};
static char **words;
static int only_first; /* a failure is enough */

static int wanted(const struct scenario *s) {
  char **w;

  for (w = words; *w; w++)
    if (strstr(s->name, *w))
      return 1;
  return *words == NULL;
}

static double now(void) {
  struct timespec ts;

  (void)clock_gettime(CLOCK_MONOTONIC, &ts);
  return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int tell(const struct scenario *s, const struct search *how, int rc) {
  if (how->random)
    printf("%-22s at random from %llu: %llu schedules%s\n", s->name,
           (unsigned long long)how->seed, (unsigned long long)how->schedules,
           rc < 0 ? ", one failed" : "");
  else
    printf("%-22s %d preemptions: %llu schedules%s\n", s->name,
           how->preemptions, (unsigned long long)how->schedules,
           rc < 0          ? ", one failed"
           : how->complete ? ", all"
                           : "");
  (void)fflush(stdout);
  return rc;
}

/* Of all scenarios of two processes: all schedules with so many preemptions
 * were tried.  Shared with the processes that try them. */
static int *bound;

/* All schedules with few preemptions, then more; the rest at random. */
static int search_all(const struct scenario *s, double seconds) {
  struct search how = options;
  double end = now() + seconds;
  uint64_t before = 0;
  int best = -1;
  int rc = 0;

  if (options.path || options.seed) {
    how.random = !options.path;
    how.seconds = 0.001;
    rc = search_run(&how);
    return tell(s, &how, rc);
  }
  for (how.preemptions = 0; rc == 0; how.preemptions++) {
    if (options.preemptions >= 0)
      how.preemptions = options.preemptions;
    how.seconds = (end - now()) * (s->n > 2 ? 0.6 : 1);
    if (s->n == 2 && how.preemptions == 0)
      how.seconds = 0; /* the least bound, however little time there is */
    else if (how.seconds <= 0)
      break;
    rc = tell(s, &how, search_run(&how));
    if (how.complete)
      best = how.schedules == before ? INT_MAX : how.preemptions;
    if (!how.complete || how.schedules == before || options.preemptions >= 0)
      break;
    before = how.schedules; /* as many as with one less: that is all */
  }
  if (s->n == 2 && best < *bound)
    *bound = best;
  if (rc < 0 || how.complete || s->n == 2)
    return rc;
  how.random = 1;
  how.seed = (uint64_t)time(NULL) * 1000;
  how.seconds = end - now();
  if (how.seconds <= 0)
    return 0;
  return tell(s, &how, search_run(&how));
}

/* Each in a process of its own: what the core keeps begins anew. */
static int run(const struct scenario *s, double seconds) {
  int status = 0;
  pid_t pid = fork();

  if (pid == 0) {
    sim_make(s);
    _exit(search_all(s, seconds) < 0);
  }
  (void)waitpid(pid, &status, 0);
  if (!WIFEXITED(status))
    printf("%s: ended by signal %d\n", s->name, WTERMSIG(status));
  return status == 0;
}

static int parse(const char *arg) {
  if (strncmp(arg, "--seconds=", 10) == 0)
    options.seconds = atof(arg + 10);
  else if (strncmp(arg, "--preemptions=", 14) == 0)
    options.preemptions = atoi(arg + 14);
  else if (strncmp(arg, "--seed=", 7) == 0)
    options.seed = strtoull(arg + 7, NULL, 10);
  else if (strncmp(arg, "--path=", 7) == 0)
    options.path = arg + 7;
  else if (strcmp(arg, "--first") == 0)
    only_first = 1;
  else
    return 0;
  return 1;
}

static int shares(const struct scenario *s) {
  return wanted(s) ? (s->n == 2 ? 2 : 1) : 0;
}

int main(int argc, char **argv) {
  int left = 0, passed = 0, failed = 0;
  const struct scenario *s;
  double end;
  unsigned i;

  (void)argc;
  bound = mmap(NULL, sizeof *bound, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (bound == MAP_FAILED)
    return 2;
  *bound = INT_MAX;
  for (words = argv + 1; *words && parse(*words); words++)
    ;
  for (i = 0; i < LISTS; i++)
    for (s = lists[i]; s->name; s++)
      left += shares(s);
  end = now() + options.seconds;
  for (i = 0; i < LISTS; i++)
    for (s = lists[i]; s->name; s++)
      if (wanted(s) && !(failed && only_first)) {
        double till = now() + (end - now()) * shares(s) / left;

        if (run(s, till - now()))
          passed++;
        else
          failed++;
        left -= shares(s);
        end += now() > till ? now() - till : 0; /* not at others' cost */
      }
  if (*bound >= 0 && *bound < INT_MAX)
    printf("two processes: all schedules with up to %d preemptions\n", *bound);
  printf("%d passed, %d failed\n", passed, failed);
  return failed > 0;
}
