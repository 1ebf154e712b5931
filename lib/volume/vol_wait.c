/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_wait.c - procedures that wait for a volume to be in some state, at most for some time.
 */
#include <errno.h>

#include "base/err.h"
#include "volume/volume_internal.h"

struct alarm {
	struct timer_io timer;
	bool rang;
};

static void ring(struct io *io)
{
	lsvd_container_of(io, struct alarm, timer.io)->rang = true;
}

static bool wait_for(struct lsvd_volume *v, vol_cond_fn holds, const void *arg, uint64_t deadline)
{
	struct alarm a = { .timer = { .io = { .kind = IO_TIMER, .done = ring },
				      .at_ms = deadline } };
	bool armed = deadline != UINT64_MAX && !holds(v, arg);

	if (armed)
		lsvd_port_start(&v->port, &a.timer.io);
	while (!holds(v, arg) && !(armed && a.rang))
		lsvd_port_wait(&v->port);
	while (armed && !a.rang) {
		/* Once it is in the world it can be cancelled, and comes back through ring(). */
		v->world->clk->cancel(v->world, &a.timer);
		lsvd_port_wait(&v->port);
	}
	return holds(v, arg);
}

bool lsvd_vol_wait_until(struct lsvd_volume *v, vol_cond_fn holds, uint64_t deadline)
{
	return wait_for(v, holds, NULL, deadline);
}

uint64_t lsvd_vol_deadline(const struct lsvd_volume *v, uint32_t ms)
{
	return ms == UINT32_MAX ? UINT64_MAX : lsvd_vol_now(v) + ms;
}

int lsvd_vol_wait(struct lsvd_volume *v, vol_cond_fn holds, const void *arg, uint32_t timeout_ms)
{
	if (!wait_for(v, holds, arg, lsvd_vol_deadline(v, timeout_ms)))
		return lsvd_fail(-ETIMEDOUT, "volume %s: not stored within %u ms", v->name,
				 timeout_ms);
	if (v->failed)
		return lsvd_fail(v->failed, "volume %s: %s", v->name, v->status_text);
	return v->closing ? lsvd_fail_plain(LSVD_E_SHUTDOWN) : 0;
}
