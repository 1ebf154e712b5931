/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loop.h - one event loop: a thread, the connections pinned to it, their memory.
 *
 * The server has a few of them. A connection stays with its loop for life, so nothing of it is
 * locked; other threads only leave messages (a new connection, an export found, the end) and
 * completions of operations.
 *
 * The end comes in two steps: after loop_stop() requests are refused and what is in flight goes on;
 * when the volumes are closed, so that nothing can be in flight any more, loop_end() sends what is
 * to be sent and closes the connections.
 */
#ifndef NBD_LOOP_H
#define NBD_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "nbd/export.h"
#include "nbd/nbd_conn.h"

struct loop;

/* What all loops share; constant but for the atomics. */
struct loop_config {
	struct exports *exports;
	struct nbd_limits limits;
	struct nbd_budget budget;
	uint32_t poll_us;	 /* look for work so long before sleeping */
	uint32_t handshake_ms;	 /* from accept to transmission */
	uint32_t stall_ms;	 /* without progress of a reply, or of a large payload */
	atomic_uint connections; /* open now, in all loops */
	void (*closed)(void);	 /* after a connection was closed, or NULL; on the loop's thread */
};

int loop_start(struct loop **ret, struct loop_config *config, unsigned number);

/* Takes the connected socket `fd`; `peer` is for messages. Any thread. */
void loop_add(struct loop *loop, int fd, const char *peer);

/* Connections it has, those included that it has not yet seen. Any thread. */
unsigned loop_load(const struct loop *loop);

/* From now on requests are refused. Any thread. */
void loop_stop(struct loop *loop);

/* True once loop_stop() was seen and nothing is in flight. Any thread. */
bool loop_quiet(const struct loop *loop);

/* Closes all connections, waits for the thread and frees the loop. NULL does nothing. */
void loop_end(struct loop *loop);

#endif
