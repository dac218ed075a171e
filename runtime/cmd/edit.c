/* edit.c -- line editing at a terminal, through libedit.
 *
 * The library is looked for when a prompt comes up on a terminal, never
 * before: no other run of the command pays for it, and where it is missing
 * the terminal's own editing has to do.  (Not readline: its licence would
 * become ours.)
 */
#include <dlfcn.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

/* Of libedit's <editline/readline.h>; NULL while it is not loaded. */
static struct {
  char *(*readline)(const char *prompt);
  int (*add_history)(const char *entry);
  int (*stifle_history)(int most);
} libedit;

/* The user's character set, and only while a line is edited: a script is to
 * see the locale "C", as under lua.
 */
static locale_t users;

static locale_t enter(void) {
  return users ? uselocale(users) : (locale_t)0;
}

static void leave(locale_t before) {
  if (users)
    uselocale(before);
}

static void *find_library(void) {
  static const char *const names[] = {"libedit.so.2", "libedit.so.0",
                                      "libedit.so"};
  size_t i;

  for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);

    if (library)
      return library;
  }
  return NULL;
}

/* POSIX wants that a function pointer can be had this way. */
static int find(void *library, const char *name, void *function) {
  void *symbol = dlsym(library, name);

  memcpy(function, &symbol, sizeof(symbol));
  return symbol != NULL;
}

static int is_editable(void) {
  const char *term = getenv("TERM");

  return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && *term &&
         strcmp(term, "dumb") != 0;
}

int cmd_edit_open(int keep) {
  void *library = is_editable() ? find_library() : NULL;
  const char **program;
  locale_t before;

  if (!library)
    return 0;
  if (!find(library, "readline", &libedit.readline) ||
      !find(library, "add_history", &libedit.add_history) ||
      !find(library, "stifle_history", &libedit.stifle_history)) {
    memset(&libedit, 0, sizeof(libedit));
    dlclose(library);
    return 0;
  }
  /* Who we are, for the user's ~/.editrc. */
  if (find(library, "rl_readline_name", &program))
    *program = "luamp";
  users = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
  before = enter();
  libedit.stifle_history(CMD_HISTORY_MAX); /* it learns the character set */
  if (keep)
    cmd_history_load(libedit.add_history);
  leave(before);
  return 1;
}

char *cmd_edit_line(const char *prompt) {
  locale_t before = enter();
  char *line = libedit.readline(prompt);

  leave(before);
  return line;
}

void cmd_edit_save(const char *entry) {
  locale_t before;

  if (!libedit.add_history)
    return;
  before = enter();
  libedit.add_history(entry);
  leave(before);
  cmd_history_append(entry);
}
