/* mp.h -- the whole contract of the core.
 *
 * The core knows no Lua.  Every function that can fail returns an int:
 * >= 0 is success, < 0 is -errno or one of the MP_E codes below.  Nothing
 * here prints, exits, installs a signal handler or reads errno back.
 *
 * Time: `deadline` is an absolute CLOCK_MONOTONIC time in nanoseconds;
 * MP_FOREVER waits for ever, MP_NOW (or anything past) does not wait.  A call
 * with a deadline comes back by it also while another process is stopped with
 * a lock of the core's in its hand; by a few milliseconds more.
 * Blocking calls return -EINTR when a signal arrived, or may have arrived (now
 * and then without one); call again with the same deadline to go on.
 */
#ifndef MP_H
#define MP_H

#include <stdint.h>
#include <stddef.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MP_VERSION "0.1.0"

#define MP_FOREVER INT64_MAX
#define MP_NOW 0

/* err.c -- owns codes, names, messages */

enum {
  MP_ETIMEOUT = 4096, /* the deadline passed */
  MP_EFULL,           /* a bounded queue stayed full */
  MP_EEMPTY,          /* nothing was there */
  MP_ECLOSED,         /* the other side is gone, or the queue was closed */
  MP_EBROKEN,         /* a barrier broke */
  MP_ETRUNCATED,      /* the peer died inside a message */
  MP_EPROTOCOL,       /* a frame that no peer of ours sends */
  MP_ETOOLONG,        /* longer than the receiver allows */
  MP_EABANDONED,      /* the holder died; the lock is now ours */
  MP_ESTALE,          /* a handle of another life (closed, forked away) */
  MP_ESTARTED,        /* started already */
  MP_ENOTSTARTED,     /* not started yet */
  MP_ENOTOURS,        /* only the process that made it may do this */
  MP_ESELF,           /* a process cannot wait for itself */
  MP_EFAMILY,         /* the family's descriptors were closed under us */
  MP_EVERSION,        /* a child of another build */
  MP_EADDRESS,        /* an address that names nothing */
  MP_EAUTH,           /* the peer has another key */
  MP_EAUTHTIME,       /* the peer did not answer in time */
  MP_EAUTHGONE,       /* the peer left in the middle of it */
  MP_EAUTHFORM,       /* what came is no step of it */
  MP_EAUTHWEAK,       /* the peer knows only md5 */
  MP_EAUTHUSER,       /* the peer is another user's */
  MP_EAUTHEMPTY,      /* our own key is empty */
  MP_ECRYPTO,         /* there is no libcrypto */
  MP_EDONE,           /* task_done without an item to it */
  MP_EDEATH,          /* a member of the family has died */
  MP_ENOTHELD,        /* release of a lock that nobody holds */
  MP_ENOTOWNER,       /* release of a recursive lock that another holds */
  MP_ETOOMANY,        /* a semaphore released too often */
  MP_EKERNEL,         /* a system call that we cannot do without is missing */
  MP_EDAMAGED,        /* the family's memory, by a stray write of a member */
  MP_ELAST
};

/* "timeout", "full", ... for the codes that a correct program expects and
 * that travel to scripts as a reason; NULL for every other code. */
const char *mp_err_reason(int code);
/* A sentence for any code of this core, errno values included. */
const char *mp_err_text(int code);
/* 1: we are short of something (memory, descriptors, processes), which is to
 * be raised; 0: the world outside is not as the caller thought. */
int mp_err_is_want(int code);

/* sys.c -- owns the clock */

int64_t mp_now(void);
/* now + seconds, clamped; a negative or zero timeout gives MP_NOW */
int64_t mp_deadline(double seconds);

/* family.c -- owns who is alive and what each holds
 *
 * A mp_ref names an object of the family.  Bits 0..37 are its offset in the
 * shared memory (objects are 64-byte aligned, so the low six bits are a tag:
 * bit 0 is the end of a pipe).  Bits 38..63 are the holder's ledger entry:
 * zero in a ref that is only a name (as inside a message), non-zero in one
 * that this process holds and must close.
 */
typedef uint64_t mp_ref;

#define MP_REF_EMPTY ((mp_ref)0)
#define MP_REF_BITS 38
#define MP_REF_ID(ref) ((ref) & (((mp_ref)1 << MP_REF_BITS) - 1))

enum mp_type {
  MP_TYPE_NONE,
  MP_TYPE_PROC,
  MP_TYPE_PIPE,
  MP_TYPE_PARCEL,
  MP_TYPE_FD,
  MP_TYPE_QUEUE,
  MP_TYPE_JOINABLE,
  MP_TYPE_SIMPLE,
  MP_TYPE_LOCK,
  MP_TYPE_RLOCK,
  MP_TYPE_SEM,
  MP_TYPE_BOUNDED,
  MP_TYPE_COND,
  MP_TYPE_EVENT,
  MP_TYPE_BARRIER,
  MP_TYPE_VALUE,
  MP_TYPE_ARRAY,
  MP_TYPE_BLOCK,
  MP_TYPES
};

/* Found the family, or do nothing if this process belongs to one.  A process
 * that the host forked by itself is entered as a new member. */
int mp_enter(void);
/* 1 when this process belongs to a family already. */
int mp_entered(void);
/* Hold what `name` names; the caller must know it alive (it holds it, or a
 * message that it holds names it). */
int mp_ref_dup(mp_ref name, mp_ref *held);
/* Let go; total, leaves MP_REF_EMPTY. */
void mp_ref_close(mp_ref *held);
enum mp_type mp_ref_type(mp_ref ref);
/* After a fork that was the host's own (mp_generation has changed), a handle
 * is held anew: -MP_ESTALE when the object it meant is gone. */
int mp_ref_adopt(mp_ref name, uint64_t serial, mp_ref *held);
uint64_t mp_ref_serial(mp_ref name);
/* A number that changes when this process turns out to be a fork. */
uint32_t mp_generation(void);

/* sweep.c -- owns the end of others */

/* How many members' ends have been noticed so far. */
uint32_t mp_deaths(void);
/* Wait while a process that is stopped keeps everybody from the changes that
 * the end of another, or a start, asks for: 0, -MP_ETIMEOUT, -EINTR. */
int mp_settle(int64_t deadline);

/* vault.c -- owns descriptors that travel: a copy is kept where every member
 * can get at it. */
/* fd stays the caller's; modes: MP_PIPE_READABLE, ..., not 0 */
int mp_fd_share(int fd, unsigned modes, mp_ref *held);
unsigned mp_fd_modes(mp_ref ref);
int mp_fd_get(mp_ref ref); /* a new descriptor, the caller's */
int mp_fd_is_open(int fd);
void mp_fd_close(int fd);

/* parcel.c -- owns messages: bytes, and the objects they name
 *
 * An outgoing message is a list of pieces that lie in the caller's memory;
 * it is copied once, to where it is going.  `refs` are names of objects that
 * the caller keeps alive during the call.
 */
struct mp_iov {
  const void *base;
  size_t len;
};

struct mp_out {
  const struct mp_iov *iov;
  unsigned niov;
  unsigned nrefs;
  const mp_ref *refs;
};

/* An incoming message.  `data` and `refs` are valid until mp_msg_close. */
struct mp_msg {
  const char *data;
  size_t len;
  const mp_ref *refs; /* names, for mp_ref_dup */
  unsigned nrefs;
  mp_ref parcel; /* held; empty when data lies in the caller's scratch */
};

#define MP_MSG_EMPTY ((struct mp_msg){NULL, 0, NULL, 0, 0})
/* A message of at most this size arrives in the receiver's scratch. */
#define MP_INLINE_MAX 8192

void mp_msg_close(struct mp_msg *m);

/* value.c -- owns flat values in messages: what a script puts and a C program
 * gets, and the other way round
 *
 * A flat value is nil, a boolean, an integer, a float, a string, or a list of
 * such (a Lua table without pairs, in which nil may stand, but no string of
 * 4 KiB or more twice: the second one is a reference to the first).
 */
enum mp_kind { MP_NIL, MP_BOOLEAN, MP_INTEGER, MP_FLOAT, MP_STRING, MP_LIST };

struct mp_value {
  enum mp_kind kind;
  size_t len; /* string: bytes; list: elements */
  union {
    int boolean;
    int64_t integer;
    double number;
    const char *string;          /* decoded: within the message */
    const struct mp_value *list; /* decoded: NULL, see mp_value_next */
  } as;
};

#define MP_VALUE_INTEGER(n)                                                    \
  ((struct mp_value){.kind = MP_INTEGER, .as.integer = (n)})
#define MP_VALUE_FLOAT(x)                                                      \
  ((struct mp_value){.kind = MP_FLOAT, .as.number = (x)})
#define MP_VALUE_STRING(s, n)                                                  \
  ((struct mp_value){.kind = MP_STRING, .len = (n), .as.string = (s)})
#define MP_VALUE_LIST(v, n)                                                    \
  ((struct mp_value){.kind = MP_LIST, .len = (n), .as.list = (v)})

/* The message of a value: its length, whatever the room; what is beyond `cap`
 * is not written.  -EINVAL: a list in a list. */
int64_t mp_value_encode(const struct mp_value *v, void *to, size_t cap);

/* Where one is in a message; value.c's own. */
struct mp_values {
  const unsigned char *at;
  const unsigned char *end;
  uint64_t left;       /* elements to come */
  uint32_t run;        /* numbers to come of one item */
  unsigned tag, width; /* of it */
};

/* The value of a message; of a list only how many elements it has.  0,
 * -MP_EPROTOCOL (damaged), -ENOTSUP (a value that is not flat). */
int mp_value_decode(const void *data, size_t len, struct mp_value *v,
                    struct mp_values *rest);
/* The list's next element: 1; 0 after the last; -MP_EPROTOCOL, -ENOTSUP. */
int mp_value_next(struct mp_values *rest, struct mp_value *v);

/* pipe.c -- owns pipes: two queues, two ends, each held by any number */

enum { MP_PIPE_SIMPLEX = 1 };
enum { MP_PIPE_READABLE = 1, MP_PIPE_WRITABLE = 2 };

int mp_pipe_open(mp_ref *a, mp_ref *b, unsigned flags);
unsigned mp_pipe_modes(mp_ref end);
/* 0, -MP_ECLOSED (no reader is left), -MP_ETIMEOUT, -EINTR, -ENOMEM */
int mp_pipe_send(mp_ref end, const struct mp_out *out, int64_t deadline);
/* 0 and a message, -MP_ECLOSED at the end of the stream, -MP_ETIMEOUT,
 * -EINTR.  `scratch` has room for MP_INLINE_MAX bytes. */
int mp_pipe_recv(mp_ref end, struct mp_msg *m, void *scratch, int64_t deadline);
/* 1 when recv would not block (a message, or the end), 0 at the deadline */
int mp_pipe_poll(mp_ref end, int64_t deadline);
/* ready.c -- owns the descriptor that tells when an end can be read */

#define MP_READY_PEERS 8
struct mp_ready {
  int fd;   /* for event loops: readable while recv would not block */
  int bell; /* -1: empty, like fd */
  unsigned n;
  int peer_fd[MP_READY_PEERS];   /* pidfds of holders of the other end */
  uint64_t peer[MP_READY_PEERS]; /* their seats */
  uint64_t life[MP_READY_PEERS]; /* and which life of these: the serial */
  uint64_t owner;                /* the member that opened it, by its serial */
};

#define MP_READY_EMPTY ((struct mp_ready){.fd = -1, .bell = -1})

/* Open it, or bring it up to date; r->fd, or < 0. */
int mp_pipe_ready(mp_ref end, struct mp_ready *r);
/* Before a recv: has a watched peer died? */
void mp_pipe_look(mp_ref end, struct mp_ready *r);
/* After each recv, and before one waits for the descriptor. */
void mp_pipe_rearm(mp_ref end, struct mp_ready *r);
void mp_ready_close(struct mp_ready *r);

/* fifo.c -- owns queues: any number of producers and consumers, one end each
 *
 * What one producer puts comes out in its order.  A message is in the queue
 * when put returns, whatever becomes of the producer; one that get has taken
 * out is the consumer's alone.
 */

/* type: MP_TYPE_QUEUE, MP_TYPE_JOINABLE, MP_TYPE_SIMPLE; max_items 0: no
 * limit */
int mp_queue_open(mp_ref *held, enum mp_type type, uint32_t max_items);
/* 0, -MP_EFULL at the deadline, -MP_ECLOSED, -EINTR, -ENOMEM.  `number`, unless
 * NULL: which message of this queue it is, counted from 1 (modulo 2^32). */
int mp_queue_put(mp_ref queue, const struct mp_out *out, int64_t deadline,
                 uint32_t *number);
/* 0 and a message, -MP_EEMPTY at the deadline, -MP_ECLOSED when it is closed
 * and nothing is left, -EINTR.  `scratch` has room for MP_INLINE_MAX bytes. */
int mp_queue_get(mp_ref queue, struct mp_msg *m, void *scratch,
                 int64_t deadline);
/* The same as get; also -MP_EDEATH, when the queue is empty and that number is
 * no longer *deaths, which it becomes. */
int mp_queue_get_or_death(mp_ref queue, struct mp_msg *m, void *scratch,
                          int64_t deadline, uint32_t *deaths);
uint32_t mp_queue_len(mp_ref queue);
uint32_t mp_queue_max(mp_ref queue);
/* For everybody: nothing more comes in, what is in comes out. */
void mp_queue_close(mp_ref queue);
int mp_queue_is_closed(mp_ref queue);
/* 1 when get would not block (a message, or closed) */
int mp_queue_poll(mp_ref queue);
/* A descriptor that is readable while get would not block, the caller's.  To
 * be rearmed after each get, and before one waits for it. */
int mp_queue_fd(mp_ref queue);
void mp_queue_rearm(mp_ref queue, int fd);

/* claim.c -- owns what consumers of a MP_TYPE_JOINABLE have not finished
 *
 * What a consumer has taken is on its account until mp_queue_done; a consumer
 * that ends before that has lost it, and it counts as finished. */

/* One item more is finished: one of the caller's; if it has none, any.
 * -MP_EDONE when nobody has one; -EINTR as of mp_sem_release. */
int mp_queue_done(mp_ref queue);
/* 0 when nothing is unfinished; 1 when it is so because items were lost (told
 * by one join, and by all that waited then); -MP_ETIMEOUT, -EINTR. */
int mp_queue_join(mp_ref queue, int64_t deadline);
/* Take the lost items of one process off the books (MP_REF_EMPTY: of any): 1
 * and the number of the last item that it took, 0 when there is none.  What is
 * told here no join finds. */
int mp_queue_lost(mp_ref queue, mp_ref consumer, uint32_t *number);

/* recall.c -- owns messages that are taken back before anybody took them */

/* Of a joinable one: take messages numbered from..to back that no consumer has
 * taken; which (n at most), and how many. */
unsigned mp_queue_void(mp_ref queue, uint32_t from, uint32_t to,
                       uint32_t *which, unsigned n);
/* 1 when that message has left the queue. */
int mp_queue_took(mp_ref queue, uint32_t number);

/* map.c -- owns the mapping of a named block: where it lies here
 *
 * A block gets its memory (64 KiB at a time) before it is used for the first
 * time, so that no space is an error, never a signal: mp_map_use before each
 * access.  What others may do to the file is theirs: one who makes it shorter
 * takes away pages that we use.
 */
struct mp_map {
  char *at;              /* NULL: not mapped */
  uint64_t size;         /* bytes; stays after mp_map_close */
  uint64_t ino;          /* the file behind fd: a host may close what is ours */
  uint64_t left;         /* chunks that are not yet known to have memory */
  unsigned char *backed; /* a bit for each chunk; NULL: all are */
  int fd;                /* -1: none */
};

#define MP_MAP_EMPTY ((struct mp_map){.fd = -1})

/* Before bytes [off, off + len) are looked at or written; they must lie in the
 * block.  0, -ENOSPC, ... */
int mp_map_use(struct mp_map *m, uint64_t off, uint64_t len);
void mp_map_close(struct mp_map *m); /* total */

/* block.c -- owns named shared memory, as Python's SharedMemory knows it
 *
 * A block is a file of /dev/shm, mode 0600.  The name that a member has made
 * goes away by mp_block_unlink, at the member's end, or when its death is
 * noticed by another; the memory stays for those who have it mapped, or hold
 * it in a message.
 */
#define MP_BLOCK_NAME_MAX 255

/* A new one of `size` bytes, all zero; `name` NULL makes one up ("psm_" and
 * eight digits).  -EEXIST, -ENOSPC, -EINVAL (no name for a block), ... */
int mp_block_create(const char *name, uint64_t size, mp_ref *held,
                    struct mp_map *m);
/* The one of that name, whoever made it; -ENOENT, -EACCES, -ENODATA (it has
 * no bytes).  Its name stays when we go. */
int mp_block_attach(const char *name, mp_ref *held, struct mp_map *m);
/* Before the block is named in a message. */
int mp_block_share(mp_ref ref, const struct mp_map *m);
/* Map one that came in a message. */
int mp_block_map(mp_ref ref, struct mp_map *m);
int mp_block_name(mp_ref ref, char name[MP_BLOCK_NAME_MAX + 1]);
/* Take the name away, whoever made it.  -ENOENT: it has gone already, or is
 * another block's by now. */
int mp_block_unlink(mp_ref ref);

/* num.c -- owns typecodes: numbers of C's types in shared memory
 *
 * The letters are those of Python's array and ctypes: b B h H i I l L q Q
 * (char, short, int, long, long long; capital: unsigned), f d, ? (a bool, one
 * byte), c (a byte).  No operation on an element ever tears it, whoever else
 * is at it and whoever dies, as long as it is aligned to its size.
 */
#define MP_CODES "bBhHiIlLqQfd?c"

union mp_num {
  int64_t i;  /* b h i l q; what is added to any integer */
  uint64_t u; /* B H I L Q ? c */
  double d;   /* f d */
};

/* Bytes of one; 0: no typecode. */
size_t mp_num_size(char code);
/* 0 for what only a double can hold (infinities fit). */
int mp_num_fits_float(double d);
union mp_num mp_num_load(char code, const void *at);
void mp_num_store(char code, void *at, union mp_num v);
/* Atomically, all of them in one order.  add: -ERANGE, and nothing is done,
 * when the sum does not fit; -EINVAL for ? and c.  compare_exchange: 1 when
 * `old` was there, else 0; what was there through *found. */
int mp_num_add(char code, void *at, union mp_num n, union mp_num *old);
union mp_num mp_num_exchange(char code, void *at, union mp_num v);
int mp_num_compare_exchange(char code, void *at, union mp_num old,
                            union mp_num v, union mp_num *found);
/* Whole elements, from and to shared memory (`at`): each for itself untorn,
 * all of them not. */
void mp_num_read(void *to, const void *at, size_t len);
void mp_num_write(void *at, const void *from, size_t len);
void mp_num_fill(void *at, const void *element, size_t size, uint64_t n);

/* cell.c -- owns shared values and arrays
 *
 * A cell's data is 64-byte aligned, and each element as C aligns it.  The
 * memory is there from the beginning: want of it is an error of mp_cell_open
 * (-ENOMEM, -ENOSPC, -EFBIG), never a signal later.  All of it is zero then.
 */
#define MP_STRUCT 'S'    /* in place of a typecode */
#define MP_FIELD_NAME 47 /* bytes of a field's name */
#define MP_FIELDS_MAX 1024

struct mp_field {
  char name[MP_FIELD_NAME + 1];
  uint64_t offset; /* bytes from the struct's begin */
  uint32_t count;  /* 1, or the length of an array of c */
  char code;       /* a typecode */
  char pad[3];
};

enum { MP_CELL_RAW = 1 }; /* it has no lock */

/* What a process knows of a cell; holds while it holds the cell. */
struct mp_cell {
  void *data;
  uint64_t n;    /* elements; of a value 1 */
  uint64_t size; /* bytes of an element; to be given for a struct only */
  char code;
  unsigned flags;
  unsigned nfields; /* of a struct */
  const struct mp_field *fields;
  mp_ref lock; /* a name; MP_REF_EMPTY: made when first asked for, or none */
};

/* Fill in the offsets, as C lays a struct out; its size, or -EINVAL. */
int64_t mp_struct_layout(struct mp_field *fields, unsigned n);
/* MP_TYPE_VALUE or MP_TYPE_ARRAY, like `what` (its data is not looked at). */
int mp_cell_open(mp_ref *held, enum mp_type type, const struct mp_cell *what);
void mp_cell_view(mp_ref cell, struct mp_cell *view);
/* The lock that belongs to it: a borrowed name, alive as long as the cell;
 * MP_REF_EMPTY for a raw one. */
int mp_cell_lock(mp_ref cell, mp_ref *lock);

/* proc.c, end.c -- own processes as values: record; status, signals, waiting */

enum {
  MP_PROC_DAEMON = 1,
  MP_PROC_QUIET = 2 /* Ctrl-C is blocked until it calls mp_ignore_interrupt */
};
enum mp_method { MP_FORK, MP_SPAWN, MP_FORKSERVER, MP_THREAD };
enum mp_state { MP_NEW, MP_STARTING, MP_RUNNING, MP_ENDED };

#define MP_NAME_MAX 63

/* A new process, not started; `name` NULL gives the next default name. */
int mp_proc_open(mp_ref *held, const char *name, unsigned flags);
/* The calling process (a borrowed name, alive as long as the caller). */
mp_ref mp_proc_self(void);
/* The process that started this one; empty in the first process. */
mp_ref mp_proc_parent(void);
/* The i-th (from 0) child of the caller that has started and was not yet
 * waited for; -ENOENT past the last.  The caller closes it. */
int mp_proc_child(unsigned i, mp_ref *held);

int mp_proc_name(mp_ref p, char name[MP_NAME_MAX + 1]);
int mp_proc_rename(mp_ref p, const char *name);
int mp_proc_flags(mp_ref p);
int mp_proc_set_flags(mp_ref p, unsigned flags); /* -MP_ESTARTED */
int mp_proc_state(mp_ref p);
int mp_proc_method(mp_ref p);
/* 0 before start */
int mp_proc_pid(mp_ref p);
/* 1 and the code, 0 while it runs or has not started */
int mp_proc_exitcode(mp_ref p, int *code);
/* 1 running, 0 not */
int mp_proc_alive(mp_ref p);
/* 1 when it is no longer a member of the family: it has died (a moment before
 * it can be waited for), or called exec. */
int mp_proc_gone(mp_ref p);
/* 0, -MP_ETIMEOUT, -MP_ESELF, -MP_ENOTSTARTED, -EINTR */
int mp_proc_join(mp_ref p, int64_t deadline);
/* Arm, look what signal handlers may have asked for, join for ever: then the
 * join sleeps until the end of a child of ours, and is told of that soonest.
 * A signal that is handled after the arming ends it with -EINTR, also one that
 * came before it began.  0: that cannot be done here, and a join looks up now
 * and then, as one does that is not armed. */
int mp_arm(void);
int mp_proc_signal(mp_ref p, int sig);
/* A descriptor that becomes readable at the process's end; the caller's. */
int mp_proc_fd(mp_ref p);

/* What the child is to do, and what it answered; any bytes.  set is done
 * once, by the starter (plan) and by the child (answer). */
int mp_proc_set_plan(mp_ref p, const struct mp_out *out);
int mp_proc_plan(mp_ref p, struct mp_msg *m);
void mp_proc_drop_plan(void); /* the caller's own, once it has it */
int mp_proc_set_answer(mp_ref p, const struct mp_out *out);
int mp_proc_answer(mp_ref p, struct mp_msg *m);

/* Start.  Fork returns 0 in the child, 1 in the parent. */
int mp_proc_fork(mp_ref p);
/* argv[0] is the file to run, the rest its argument vector, in which the word
 * "%d" stands for the ticket of mp_join. */
int mp_proc_spawn(mp_ref p, const char *const *argv);
/* Through the caller's own fork server, started with argv when needed; argv
 * NULL: -ENOENT then, and nothing has happened. */
int mp_proc_serve(mp_ref p, const char *const *argv);
int mp_proc_thread(mp_ref p, int (*run)(void *arg), void *arg);

/* server.c, spawn.c -- in the child */

/* Take the seat that a ticket ("fd,fd,fd,slot") names.  Returns 0 for a
 * spawned child, 1 for a fork server (call mp_serve next). */
int mp_join(const char *ticket);
/* The fork server's life: returns 0 in each child, once there is work for it;
 * never returns in the server itself.  Each child is forked ahead, and calls
 * rehearse(ud) first, unless that is NULL: to touch what its start will touch.
 * It must leave the family alone, for the child has no seat yet. */
int mp_serve(void (*rehearse)(void *ud), void *ud);

/* The end: wait for the children that are no daemons, end those that are.
 * Interruptible. */
int mp_finish(void);
/* 1 for the first who asks to do so when the program ends. */
int mp_finish_claim(void);
/* Leave by the one door: record the code and _exit.  In a thread, record
 * the code and return. */
void mp_exit(int code);
/* 1 in a process that was forked for us: it leaves by mp_exit. */
int mp_is_fork(void);
/* Only record it: the caller is about to leave by another door. */
void mp_claim(int code);
/* The signal that somebody sent to the calling thread-process, or 0. */
int mp_stopping(void);
void mp_stop_clear(void);
/* What that thread is to do when it is signalled: runs in a signal handler,
 * in the thread itself. */
void mp_on_stop(void (*hook)(void));

/* "" or why not; the working directory, and the program that runs. */
int mp_getcwd(char *to, size_t cap);
int mp_chdir(const char *path);
int mp_program(char *to, size_t cap);
/* 1 when the file can be executed */
int mp_is_program(const char *path);
/* The whole process no longer hears Ctrl-C, also if it was blocked. */
void mp_ignore_interrupt(void);
/* Columns of the terminal that stderr is, 0: it is none. */
int mp_terminal_width(void);
/* 32 random bytes that the whole family shares */
int mp_authkey(unsigned char key[32]);

int mp_cpu_count(void);
/* honours affinity and the cgroup's quota (rounded up) */
int mp_cpu_usable(void);
/* 1 when this process has exactly one thread */
int mp_single_threaded(void);

/* mutex.c -- owns locks that scripts hold
 *
 * A recursive one belongs to the thread that acquired it and counts; the other
 * kind may be released by anyone.  The holder is a thread: a member, or a
 * thread of a host, which gets a seat of its own when it first acquires one.
 */

int mp_mutex_open(mp_ref *held, int recursive);
/* 0; MP_EABANDONED (it is ours, but its last holder ended without releasing
 * it: said once); -MP_ETIMEOUT, -EINTR, -EOVERFLOW (acquired 2^32 - 1 times),
 * -EAGAIN or -ENOMEM (no seat for this thread) */
int mp_mutex_acquire(mp_ref ref, int64_t deadline);
/* 0, -MP_ENOTHELD, -MP_ENOTOWNER */
int mp_mutex_release(mp_ref ref);
/* 1 when somebody who lives holds it */
int mp_mutex_locked(mp_ref ref);
/* The next of those that the caller holds, and has a handle of (or of a
 * condition over it); *at: 0 at first.  MP_REF_EMPTY: no more. */
mp_ref mp_mutex_left(uint64_t *at);
/* 1 when the calling thread does */
int mp_mutex_mine(mp_ref ref);
/* The lock that the handle stands for, if the caller holds it and has no other
 * handle to release it by. */
mp_ref mp_mutex_last(mp_ref held);
/* 1 and the holder's name (as of now: it may change at once), or 0 */
int mp_mutex_holder(mp_ref ref, char name[MP_NAME_MAX + 1]);
/* sem.c -- owns semaphores
 *
 * Permits that a member took and did not give back return at its death, until
 * one that holds none releases: then it is used for signalling, and permits
 * are nobody's.
 */
enum { MP_SEM_BOUNDED = 1, MP_SEM_SIGNALLING = 2 };
#define MP_SEM_MAX 0x7fffffff

/* value: at most MP_SEM_MAX */
int mp_sem_open(mp_ref *held, uint32_t value, unsigned flags);
/* 0, -MP_ETIMEOUT, -EINTR, -ENOMEM */
int mp_sem_acquire(mp_ref ref, int64_t deadline);
/* 0, -MP_ETOOMANY: above the initial value of a bounded one, or MP_SEM_MAX;
 * -EINTR: nothing is done, as a stopped process has the semaphore's lock */
int mp_sem_release(mp_ref ref);
/* permits left just now */
uint32_t mp_sem_value(mp_ref ref);
/* A descriptor, the caller's: readable while there may be a permit. */
int mp_sem_fd(mp_ref ref);
/* Is there one?  If not, quiet that descriptor. */
int mp_sem_ready(mp_ref ref, int fd);

/* cond.c -- owns conditions
 *
 * A waiter that is killed before it has the lock again passes its notification
 * on, so a wait may end without one of its own.
 */
#define MP_NOTIFY_ALL UINT64_MAX

enum { MP_WAITER_NEW, MP_WAITER_ASLEEP, MP_WAITER_BACK };

/* What a wait keeps from call to call. */
struct mp_waiter {
  uint64_t row;
  uint32_t levels; /* of a recursive lock */
  int stage;
  int notified;  /* 0: the time was up */
  int abandoned; /* 1: the last holder of the lock has ended with it */
};

/* mutex: a Lock or RLock, which the condition keeps */
int mp_cond_open(mp_ref *held, mp_ref mutex);
mp_ref mp_cond_mutex(mp_ref ref); /* its name */
/* 0: the lock is held again, as deep as before.  -MP_ENOTHELD, -ENOMEM: it was
 * no wait.  -EINTR: go on with the same `w`; or mp_cond_leave, and go on, which
 * only gets the lock back. */
int mp_cond_wait(mp_ref ref, struct mp_waiter *w, int64_t deadline);
void mp_cond_leave(mp_ref ref, struct mp_waiter *w);
/* Those that have waited longest, n at most; -MP_ENOTHELD; -EINTR as of
 * mp_sem_release */
int mp_cond_notify(mp_ref ref, uint64_t n);

/* barrier.c -- owns barriers: parties that wait for each other
 *
 * One that dies while it waits breaks the barrier for the others.
 */
#define MP_BARRIER_MAX 65535

/* What a wait keeps from call to call. */
struct mp_arrival {
  uint64_t row; /* 0: not there (yet, or any more) */
};

/* 1 <= parties <= MP_BARRIER_MAX.  patience (seconds) and the message that is
 * the action (NULL: none) are only kept, for those who ask. */
int mp_barrier_open(mp_ref *held, uint32_t parties, double patience,
                    const struct mp_out *action);
uint32_t mp_barrier_parties(mp_ref ref);
double mp_barrier_patience(mp_ref ref);
/* 0 and the action, -ENOENT, -ENOMEM */
int mp_barrier_action(mp_ref ref, struct mp_msg *m);
/* > 0: passed, as the n-th to come.  0: the last to come where there is an
 * action: run it, then mp_barrier_acted.  -MP_ETIMEOUT (and the barrier is
 * broken for the others), -MP_EBROKEN, -EINTR: go on with the same `a`, or
 * mp_barrier_leave; -ENOMEM */
int mp_barrier_wait(mp_ref ref, struct mp_arrival *a, int64_t deadline);
/* > 0 or -MP_EBROKEN; good 0: the action failed, which breaks the barrier */
int mp_barrier_acted(mp_ref ref, struct mp_arrival *a, int good);
/* As if it had not come. */
void mp_barrier_leave(mp_ref ref, struct mp_arrival *a);
void mp_barrier_reset(mp_ref ref);
void mp_barrier_abort(mp_ref ref);
uint32_t mp_barrier_waiting(mp_ref ref);
int mp_barrier_broken(mp_ref ref);

/* event.c -- owns events: a flag that is waited for
 *
 * Who begins to wait with s = mp_event_sets(e) succeeds by any set after that,
 * also when the flag is cleared at once.  mp_event_set makes no system call
 * when nobody waits, and may be called by a signal's handler as long as nobody
 * has asked for the descriptor.
 */

int mp_event_open(mp_ref *held);
void mp_event_set(mp_ref ref);
void mp_event_clear(mp_ref ref);
int mp_event_is_set(mp_ref ref);
uint64_t mp_event_sets(mp_ref ref);
/* 0, -MP_ETIMEOUT, -EINTR (go on with the same `since`) */
int mp_event_wait(mp_ref ref, uint64_t since, int64_t deadline);
/* A descriptor that is readable while the flag is up; the caller's. */
int mp_event_fd(mp_ref ref);
/* After it was found down: make it so again. */
void mp_event_rearm(mp_ref ref, int fd);

/* conn.c -- owns framed messages over a stream descriptor (Python's framing)
 *
 * The descriptor may be blocking or not, a socket or a pipe; its flags are
 * never changed and SIGPIPE is never raised.  The deadline bounds waiting: it
 * is looked at whenever no byte can be moved.  Sending and receiving fail
 * each on its own; a direction that has lost its place in the stream fails
 * with the same code from then on.
 */

struct mp_conn {
  int fd;                 /* -1: closed */
  int is_pipe;            /* 1: found to be no socket */
  int naps;               /* 1: a read that waits comes back now and then */
  int send_err;           /* what sending fails with from now on, or 0 */
  int recv_err;           /* the same of receiving */
  uint64_t sent;          /* bytes written of a message that -EINTR halved */
  uint64_t sending;       /* its size; both with the header */
  uint64_t left;          /* bytes of the body not yet read */
  unsigned nhead;         /* bytes of the next message's header seen so far */
  unsigned char head[12]; /* that header */
};

#define MP_CONN_EMPTY ((struct mp_conn){.fd = -1})

/* 0, -MP_ECLOSED (nobody reads any more), -MP_ETIMEOUT, -EINTR, -errno.  After
 * -EINTR the message may be half sent: call again with the same pieces, or
 * mp_conn_abandon.  Any other failure ends the message; if it was half sent,
 * the next ones fail with -MP_ETRUNCATED (-MP_ECLOSED). */
int mp_conn_send(struct mp_conn *c, const struct mp_iov *iov, unsigned niov,
                 int64_t deadline);
/* To be called before another message than the one that -EINTR interrupted.
 * If that was half sent, nothing more can be sent; else it does nothing. */
void mp_conn_abandon(struct mp_conn *c);
/* The next message's length, once its header is in: through *len.
 * -MP_ECLOSED at a clean end, -MP_ETRUNCATED, -MP_EPROTOCOL, -MP_ETIMEOUT,
 * -EINTR.  Nothing is lost by calling again, until the body was begun. */
int mp_conn_head(struct mp_conn *c, uint64_t *len, int64_t deadline);
/* Some bytes of the body, up to `cap` and never past its end; how many through
 * *got: 0 if it failed, or if the body is read whole. */
int mp_conn_body(struct mp_conn *c, void *to, size_t cap, size_t *got,
                 int64_t deadline);
/* The body was read whole: ready for the next header.  (If it was not, nothing
 * more can be received: -MP_ETRUNCATED.) */
void mp_conn_next(struct mp_conn *c);
/* For event loops, which make the frames themselves: as many of the bytes as
 * go without waiting; how many (0: none for now), -MP_ECLOSED, -errno. */
int64_t mp_conn_push(struct mp_conn *c, const void *bytes, size_t n);
/* 1 when there is something to receive, be it the end or an error; 0 at the
 * deadline; -EINTR */
int mp_conn_poll(struct mp_conn *c, int64_t deadline);
void mp_conn_close(struct mp_conn *c);

/* auth.c, mac.c -- own the handshake of two that share a key (Python's)
 *
 * A machine that is driven by what comes in: `step` moves it on as far as it
 * goes without waiting.  It has no time of its own.
 */

enum {
  MP_AUTH_LISTENER = 1, /* challenges first, then answers */
  MP_AUTH_STRONG = 2    /* refuse a peer that knows only md5 */
};

#define MP_AUTH_FRAME 256 /* the longest message of a handshake */

struct mp_auth {
  unsigned flags;
  unsigned done;               /* of its six steps */
  uint64_t len;                /* of the frame that comes in */
  unsigned got;                /* bytes of it that are in */
  int begun;                   /* 1: its length is known */
  unsigned char challenge[48]; /* ours: "{sha256}" and 40 random bytes */
  unsigned char frame[MP_AUTH_FRAME];
};

/* Prepare; loads the hashes when it is the process's first.  -MP_ECRYPTO */
int mp_auth_begin(struct mp_auth *a, unsigned flags);
/* 1: both know that the other has the key; 0: call again when the connection
 * is readable; -MP_EAUTH... */
int mp_auth_step(struct mp_auth *a, struct mp_conn *c, const void *key,
                 size_t len);
/* The same with waiting: 0, -MP_EAUTH..., -EINTR. */
int mp_auth_run(struct mp_auth *a, struct mp_conn *c, const void *key,
                size_t len, int64_t deadline);

/* dial.c -- owns connecting to an address */

enum mp_net { MP_UNIX, MP_INET, MP_INET6 };

#define MP_PATH_MAX 107 /* the longest path, or abstract name, of a socket */

struct mp_addr {
  enum mp_net family;
  unsigned port; /* not of a unix socket */
  unsigned len;
  char name[256]; /* a host, a path, or NUL and an abstract name */
};

struct mp_dial {
  int fd;
  int waiting; /* 1: a connect is under way */
  int why;     /* what the last address failed with */
  struct addrinfo *list, *next;
};

#define MP_DIAL_EMPTY ((struct mp_dial){.fd = -1})

enum { MP_NET_ANY_USER = 4 }; /* unix: the peer may be another user's */

/* -MP_EADDRESS, -ENAMETOOLONG, -ENOMEM.  A name is looked up here. */
int mp_dial_open(struct mp_dial *d, const struct mp_addr *a);
/* 0: connected, and c has the descriptor; -ECONNREFUSED..., -MP_ETIMEOUT,
 * -MP_EAUTHUSER, -EINTR */
int mp_dial_wait(struct mp_dial *d, struct mp_conn *c, unsigned flags,
                 int64_t deadline);
void mp_dial_close(struct mp_dial *d); /* total */

/* listen.c -- owns listening, and the handshakes under way there
 *
 * A listener is an epoll set: its socket, and the clients that are in the
 * middle of a handshake.  All of these move on in every accept.
 */

struct mp_pending;

struct mp_listener {
  int fd; /* -1: closed */
  int set;
  int muted;      /* 1: too many handshakes, the socket is not in the set */
  int pid;        /* of the process that the set belongs to */
  int creator;    /* of the process that made the socket */
  unsigned flags; /* MP_AUTH_STRONG, MP_NET_ANY_USER */
  int64_t patience_ns;             /* for a handshake */
  struct mp_pending *first, *last; /* the oldest first */
  unsigned npending;
  uint64_t serial;   /* of the last of them */
  uint64_t dev, ino; /* of a unix socket's file */
  int own_dir;       /* 1: the file's directory was made for it */
  struct mp_addr addr;
};

#define MP_LISTENER_EMPTY ((struct mp_listener){.fd = -1, .set = -1})

/* a NULL: a unix socket in a directory of its own.  -EADDRINUSE when somebody
 * listens there; the file of one that is gone is replaced. */
int mp_listen(struct mp_listener *l, const struct mp_addr *a, int backlog,
              unsigned flags, int64_t patience_ns);
/* 0: c is the next client, which has shown that it knows the key (if there is
 * one: key not NULL).  -MP_EAUTH...: a client was turned away; -MP_ETIMEOUT,
 * -EINTR, -EMFILE... */
int mp_accept(struct mp_listener *l, const void *key, size_t len,
              struct mp_conn *c, struct mp_addr *peer, int64_t deadline);
/* A descriptor that is readable when accept has something to do. */
int mp_listener_fd(struct mp_listener *l);
void mp_listener_close(struct mp_listener *l); /* total */

/* wait.c -- one wait for descriptors */

struct mp_poll {
  int fd;
  int ready;
  int to_write; /* 1: ready when it can be written to */
};

/* Number of ready ones, 0 at the deadline, -EINTR, -errno. */
int mp_poll(struct mp_poll *list, unsigned n, int64_t deadline);

/* watch.c -- the same for descriptors of the family's objects: in between it
 * looks after members that have died, whose ends then close. */
int mp_watch(struct mp_poll *list, unsigned n, int64_t deadline);

#ifdef __cplusplus
}
#endif
#endif
