/* history.c -- the file that keeps what was typed at the prompt.
 *
 * An entry a line, newlines and backslashes within it written as \n and \\.
 * Each entry is appended as soon as it was typed, in one write: sessions side
 * by side keep their entries whole, and one that is killed loses nothing.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

/* Where it is; empty: nothing is kept.  Set once, by cmd_history_load. */
static char path[PATH_MAX - sizeof(".new")];

/* $LUAMP_HISTORY, or a file in the user's home. */
static int find_path(void) {
  const char *file = getenv("LUAMP_HISTORY");
  const char *home = getenv("HOME");
  int n;

  if (file)
    n = snprintf(path, sizeof(path), "%s", file);
  else
    n = snprintf(path, sizeof(path), "%s/.luamp_history", home ? home : "");
  if (n < 0 || (size_t)n >= sizeof(path) || (!file && !home))
    path[0] = '\0';
  return path[0] != '\0';
}

/* The entry as a line of the file, malloced. */
static char *escape(const char *entry, size_t *len) {
  char *line = malloc(2 * strlen(entry) + 2);
  char *to = line;

  if (!line)
    return NULL;
  for (; *entry; entry++) {
    if (*entry == '\\' || *entry == '\n')
      *to++ = '\\';
    *to++ = *entry == '\n' ? 'n' : *entry;
  }
  *to++ = '\n';
  *len = (size_t)(to - line);
  return line;
}

/* A line of the file as it was typed, in place. */
static void unescape(char *line) {
  char *to = line;

  for (; *line && *line != '\n'; line++) {
    if (*line == '\\' && line[1] != '\0' && line[1] != '\n')
      *to++ = *++line == 'n' ? '\n' : *line;
    else
      *to++ = *line;
  }
  *to = '\0';
}

static void append(int fd, const char *entry) {
  size_t len;
  char *line = escape(entry, &len);

  /* A full disk is no reason to bother who types. */
  if (line && write(fd, line, len) < 0)
    path[0] = '\0';
  free(line);
}

static size_t count_lines(FILE *f) {
  size_t n = 0;
  int c;

  while ((c = getc(f)) != EOF)
    n += c == '\n';
  rewind(f);
  return n;
}

/* Give the last entries to `add`, and keep only these in the file if it has
 * become twice as long.
 */
static void load(FILE *f, int (*add)(const char *entry)) {
  size_t lines = count_lines(f);
  size_t skip = lines > CMD_HISTORY_MAX ? lines - CMD_HISTORY_MAX : 0;
  char fresh[PATH_MAX];
  int fd = -1;
  char *line = NULL;
  size_t cap = 0;

  (void)snprintf(fresh, sizeof(fresh), "%s.new", path);
  if (skip > CMD_HISTORY_MAX)
    fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  while (getline(&line, &cap, f) > 0) {
    if (skip > 0) {
      skip--;
      continue;
    }
    unescape(line);
    add(line);
    if (fd >= 0)
      append(fd, line);
  }
  free(line);
  if (fd >= 0) {
    (void)close(fd);
    (void)rename(fresh, path);
  }
}

void cmd_history_load(int (*add)(const char *entry)) {
  FILE *f = find_path() ? fopen(path, "re") : NULL;

  if (!f)
    return;
  load(f, add);
  (void)fclose(f);
}

void cmd_history_append(const char *entry) {
  int fd = -1;

  if (path[0] != '\0')
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0)
    return;
  append(fd, entry);
  (void)close(fd);
}
