/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_probe.h - may a volume be written on this store? (include/lsvd/probe.h)
 */
#ifndef LOG_LOG_PROBE_H
#define LOG_LOG_PROBE_H

#include <stdbool.h>

#include <lsvd/probe.h>

#include "io/port.h"

/* Asked for at most. */
#define PROBE_RACES_MAX 1000u
#define PROBE_RACERS_MAX 32u

/*
 * A procedure: the probe itself. `ret` says how many races by how many, and receives the rest.
 * `known` (may be NULL) is called with what comes of it while what was put is yet to be removed.
 */
int lsvd_probe_store(struct port *port, struct lsvd_store_probe *ret,
			 void (*known)(void *ctx, int err), void *ctx);
/* What a volume needs is good. */
bool lsvd_probe_fit(const struct lsvd_store_probe *r);

/* With the flags: takes the driver's word. Deleting takes away, whatever the store does. */
#define CHECK_NO_PROBE 0x80000000u

/*
 * For who is about to write: does the store create only if absent, by its driver's word, by what
 * the cache directory remembers, or by a probe?
 */
struct probe_check {
	struct job_io job;
	struct port *port;
	uint32_t flags;          /* of the open */
	bool cache;              /* there is a cache directory */
	struct lsvd_store_probe probe; /* asked, and what it found and cost */
	/* protected by the port's lock */
	bool known, over;
	int err;
	char text[512];
};

/*
 * A procedure: begins it, `races` races if it is a probe that is needed. An error: it is over, and
 * the store is not to be written. Else _known and _end have to be called, in this order, once or
 * more.
 */
int lsvd_probe_check_begin(struct probe_check *c, struct port *port, uint32_t flags, bool cache,
			 uint32_t races);
/*
 * A procedure: waits for what comes of it. 0, also if `flags` had LSVD_OPEN_UNSAFE_STORE, with a
 * warning each time; LSVD_E_UNSUPPORTED, or what kept the store from being probed.
 */
int lsvd_probe_check_known(struct probe_check *c);
/*
 * A procedure: waits until it is over, and nothing of it in the world. One that never began is.
 * What lsvd_last_error() says stays.
 */
void lsvd_probe_check_end(struct probe_check *c);

/* All of it. */
int lsvd_probe_check(struct port *port, uint32_t flags, bool cache);

#endif
