/* sim.h -- included before every file of the core in the explorer's build:
 * each atomic operation is a point at which another process may go on, or
 * this one may die.
 *
 * The operations themselves are those of atomic.h.  Interleavings are
 * sequentially consistent: what weaker orders allow is for TSan to find.
 */
#ifndef SIM_H
#define SIM_H

#include "atomic.h"

#define MP__LOCK_SPINS 1 /* more of the same is nothing new */

void sim_step(void);  /* before an atomic operation */
void sim_pause(void); /* a poller lets others go on */

#define mp__load32_rlx(p) (sim_step(), mp__load32_rlx(p))
#define mp__load32_acq(p) (sim_step(), mp__load32_acq(p))
#define mp__load32_seq(p) (sim_step(), mp__load32_seq(p))
#define mp__store32_rlx(p, v) (sim_step(), mp__store32_rlx(p, v))
#define mp__store32_rel(p, v) (sim_step(), mp__store32_rel(p, v))
#define mp__store32_seq(p, v) (sim_step(), mp__store32_seq(p, v))
#define mp__swap32_seq(p, v) (sim_step(), mp__swap32_seq(p, v))
#define mp__add32_seq(p, v) (sim_step(), mp__add32_seq(p, v))
#define mp__or32_seq(p, v) (sim_step(), mp__or32_seq(p, v))
#define mp__cas32_acq(p, s, v) (sim_step(), mp__cas32_acq(p, s, v))
#define mp__cas32_seq(p, s, v) (sim_step(), mp__cas32_seq(p, s, v))
#define mp__load64_rlx(p) (sim_step(), mp__load64_rlx(p))
#define mp__load64_acq(p) (sim_step(), mp__load64_acq(p))
#define mp__load64_seq(p) (sim_step(), mp__load64_seq(p))
#define mp__store64_rlx(p, v) (sim_step(), mp__store64_rlx(p, v))
#define mp__store64_rel(p, v) (sim_step(), mp__store64_rel(p, v))
#define mp__store64_seq(p, v) (sim_step(), mp__store64_seq(p, v))
#define mp__cas64_acq(p, s, v) (sim_step(), mp__cas64_acq(p, s, v))
#define mp__cas64_seq(p, s, v) (sim_step(), mp__cas64_seq(p, s, v))
#define mp__pause() sim_pause()

#endif
