/* sys_wait.c -- owns waiting for a child in the kernel.
 *
 * Nothing tells of a child's end as fast as a wait that sleeps: the kernel
 * lets us run where the child ran, at once, when all of it is over.  But a
 * signal that is handled just before the call wakes nobody, and what its
 * handler has asked for would have to wait for the child's end.  So there is
 * an armed wait, which sleeps only if no signal was handled since mp__sys_arm:
 *
 *   arm; look what the handlers may have asked for; wait armed, or -EINTR.
 *
 * It is a restartable sequence (rseq(2)), of which the C library has told the
 * kernel.  Armed means that the thread's word names our sequence.  The kernel
 * clears the word when it handles a signal (or has let another run) outside of
 * the sequence; inside, it goes on at the sequence's abort.  The sequence is
 * the look at the word and the call's own instruction, and once the call has
 * begun a signal ends it as any other.
 *
 * Not armed: other machines, C libraries without rseq, valgrind, and processes
 * with more than one thread, where another may handle our signal.
 */
#include "mp.h"

#include "sys.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

#define OPTIONS (WEXITED | __WALL)

#if defined(__x86_64__) && defined(__LP64__)

/* As in sys/rseq.h since glibc 2.35; 0 when it is switched off. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

#define WORD_AT 8 /* rseq_cs in the thread's struct rseq */

extern const char mp__sequence[] __attribute__((visibility("hidden")));
__attribute__((visibility("hidden"))) int
mp__armed_waitid(int type, int id, siginfo_t *si, int options, uint64_t *word);

__asm__(".pushsection .data.rel.ro, \"aw\"\n"
        ".balign 32\n"
        ".globl mp__sequence\n"
        ".hidden mp__sequence\n"
        "mp__sequence:\n"
        "  .long 0, 0\n"          /* version, flags */
        "  .quad 1f, 2f - 1f, 3f" /* start, length, abort */
        "\n.popsection\n"
        ".pushsection .text\n"
        ".globl mp__armed_waitid\n"
        ".hidden mp__armed_waitid\n"
        ".type mp__armed_waitid, @function\n"
        "mp__armed_waitid:\n"
        "  movq %r8, %r9\n"   /* word */
        "  movq %rcx, %r10\n" /* options */
        "  leaq mp__sequence(%rip), %rcx\n"
        "  xorl %r8d, %r8d\n"   /* no rusage */
        "  movl $247, %eax\n"   /* SYS_waitid */
        "1: cmpq %rcx, (%r9)\n" /* still armed? */
        "  jne 4f\n"
        "  syscall\n"
        "2: movq $0, (%r9)\n"
        "  ret\n"
        "  .byte 0x0f, 0xb9, 0x3d\n" /* before an abort: ud1, and glibc's */
        "  .long 0x53053053\n"       /* signature */
        "3:\n"
        "4: movl $-4, %eax\n" /* -EINTR */
        "  ret\n"
        ".size mp__armed_waitid, . - mp__armed_waitid\n"
        ".popsection\n");

static uint64_t *word(void) {
  char *thread;

  if (!mp__sys_single() || !&__rseq_size || __rseq_size == 0)
    return NULL;
  __asm__("movq %%fs:0, %0" : "=r"(thread));
  return (uint64_t *)(void *)(thread + __rseq_offset + WORD_AT);
}

int mp__sys_arm(void) {
  uint64_t *w = word();

  if (!w)
    return 0;
  __atomic_store_n(w, (uint64_t)(uintptr_t)mp__sequence, __ATOMIC_RELAXED);
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  return 1;
}

int mp__sys_armed(void) {
  uint64_t *w = word();

  return w && __atomic_load_n(w, __ATOMIC_RELAXED) ==
                  (uint64_t)(uintptr_t)mp__sequence;
}

static int armed_waitid(int type, int id, siginfo_t *si) {
  uint64_t *w = word();

  return w ? mp__armed_waitid(type, id, si, OPTIONS, w) : -EINTR;
}

#else

int mp__sys_arm(void) {
  return 0;
}

int mp__sys_armed(void) {
  return 0;
}

static int armed_waitid(int type, int id, siginfo_t *si) {
  (void)type;
  (void)id;
  (void)si;
  return -EINTR;
}

#endif

int mp__sys_wait(int pid, int pidfd, enum mp__wait how, int *status) {
  int type = pidfd ? P_PIDFD : P_PID;
  int id = pidfd ? pidfd : pid;
  siginfo_t si;
  int rc;

  si.si_pid = 0;
  if (how == MP__WAIT_ARMED)
    rc = armed_waitid(type, id, &si);
  else if (waitid((idtype_t)type, (id_t)id, &si,
                  OPTIONS | (how == MP__WAIT_NOT ? WNOHANG : 0)) < 0)
    rc = -errno;
  else
    rc = 0;
  if (rc < 0)
    return rc;
  *status = si.si_code == CLD_EXITED ? si.si_status << 8 : si.si_status;
  return si.si_pid != 0;
}
