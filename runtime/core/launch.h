/* launch.h -- how processes come to be, for the core's files. */
#ifndef MP_LAUNCH_H
#define MP_LAUNCH_H

#include "family.h"

#include <signal.h>

enum { MP__PROC_HIDDEN = 0x2000 }; /* a fork server: no child to be seen */

/* Around the making of a child: one that is to be quiet must not find a moment
 * in which Ctrl-C reaches what it has of its parent's, or an interpreter's. */
struct mp__hush {
  sigset_t before;
  int hushed;
};
void mp__hush(struct mp__hush *h, const struct mp__slot *s);
void mp__unhush(struct mp__hush *h); /* in the parent */

/* start.c: the part that all methods share */
int mp__start_prepare(struct mp__slot *s, enum mp_method method);
void mp__start_undo(struct mp__slot *s);
/* In the new process: leave what is the parent's alone; sit down, with the
 * daemon's tie to the parent. */
void mp__start_afresh(void *robust_head);
void mp__start_child(struct mp__slot *s, void *robust_head);
int mp__start_tie(const struct mp__slot *s);

/* spawn.c */
int mp__spawn(struct mp__slot *s, const char *const *argv, int sock);

/* child.c */
void mp__child_note(struct mp__slot *s); /* one that others might wait for */
void mp__child_keep(struct mp__slot *s, int pidfd); /* the same; or -errno */
void mp__child_forget_all(void);
void mp__child_tidy(void);
/* Our own child: 1 when it is over and buried, 0 when it runs; -EINTR */
int mp__child_reap(struct mp__slot *s, enum mp__wait how);

/* host.c */
void mp__heed_interrupt(void); /* let Ctrl-C through */

/* server.c */
/* Of the calling member: it shall end; and, once that was waited for, what is
 * left of it. */
void mp__server_dismiss(void);
void mp__server_close(void);
void mp__server_forget(void); /* in a forked child: the parent's */

/* thread.c */
int mp__thread_stop(struct mp__slot *s, int sig);

#endif
