/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_probe.h - may a volume be written on this store? (include/lsvd/probe.h)
 */
#ifndef LOG_LOG_PROBE_H
#define LOG_LOG_PROBE_H

#include <stdbool.h>

#include <lsvd/probe.h>

#include "io/port.h"

/* A procedure: the probe itself. `ret` says how many races by how many, and receives the rest. */
int lsvd_probe_store(struct port *port, struct lsvd_store_probe *ret);

/* With the flags: takes the driver's word. Deleting takes away, whatever the store does. */
#define CHECK_NO_PROBE 0x80000000u

/*
 * A procedure, for who is about to write: 0 if the store creates only if absent, by its driver's
 * word, by what the cache directory remembers (`cache`: there is one), or by a probe; or if `flags`
 * has LSVD_OPEN_UNSAFE_STORE, with a warning each time. LSVD_E_UNSUPPORTED, or what kept the store
 * from being probed. `probe` receives what it cost.
 */
int lsvd_probe_check(struct port *port, uint32_t flags, bool cache,
			 struct lsvd_store_probe *probe);

#endif
