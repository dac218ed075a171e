/* fault.h -- named fault points, empty unless built with MP_FAULTS.
 *
 * MP_FAULT("queue.put.copied") marks a line at which a process may be killed;
 * the fault suite sets MP_CRASH=name:n, and the n-th passage raises SIGKILL
 * (MP_STOP=name:n: SIGSTOP).
 */
#ifndef MP_FAULT_H
#define MP_FAULT_H

#ifdef MP_FAULTS
void mp__fault(const char *name);
#define MP_FAULT(name) mp__fault(name)
#else
#define MP_FAULT(name) ((void)0)
#endif

#endif
