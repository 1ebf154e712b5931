/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verbs.h - what is asked of an open volume by its administrator: one JSON object in, one out.
 *
 * The requests and replies are those of the control socket, lsvd-control(5). lsvd-nbd runs them on
 * volumes that it serves, lsvd-admin on volumes that it has opened itself: what a command does is
 * the same code wherever the volume is open.
 *
 * Threads: any; a request that takes long blocks its caller.
 */
#ifndef COMMON_VERBS_H
#define COMMON_VERBS_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include <lsvd/volume.h>

/* Who runs requests. */
struct verb_host {
	void *ctx;
	/* How far the request is; `total` 0: nobody knows. May be NULL. */
	void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total);
	/* True: nobody waits for the end any more, or there is no time for it. May be NULL. */
	bool (*stopping)(void *ctx);
	/*
	 * True: clients use the volume (NULL), or its snapshot of that name.
	 * May be NULL: nobody does.
	 */
	bool (*in_use)(void *ctx, const char *snapshot);
};

/* The reply to `request`, whatever that holds; NULL: no memory. */
json_t *verb_run(struct lsvd_volume *volume, const json_t *request, const struct verb_host *host);

/* The reply that says of a failure; NULL: no memory. `err` is a negative code. */
json_t *verb_failure(int err, const char *text);

#endif
