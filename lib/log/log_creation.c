/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_creation.c - an opener's small objects: claims, fences, object 1, each created if its name
 * is free.
 *
 * A request whose answer was lost is sent again, and finds the name taken: by itself, perhaps. So
 * what has the name is read, and what has the very same bytes is ours. Claims have a nonce,
 * fences and object 1 name the epoch of the opener, so the bytes are never another's.
 *
 * Deliberately absent: what it means that a name is another's; that is for each step to say.
 */
#include "log/log_opening.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"

void lsvd_creation_init(struct log *log, struct creation *c, const void *bytes, size_t len)
{
	lsvd_call_init(&c->call, IO_PUT);
	c->iov = (struct iovec){ .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	c->call.io.iov = &c->iov;
	c->call.io.iovcnt = 1;
	log->stats.fence_requests++;
	log->stats.fence_bytes += len;
}

/* The name is taken: by these very bytes, after a lost answer? -EEXIST: no. */
static int read_back(struct log *log, const char *key, const void *bytes, size_t len)
{
	uint8_t there[FMT_CLAIM_BYTES];
	struct log_call call;
	int err;

	lsvd_call_init(&call, IO_GET);
	memcpy(call.io.key, key, KEY_CAP);
	call.io.buf = there;
	call.io.len = sizeof there;
	log->stats.fence_requests++;
	err = lsvd_call_run(log, &call, 1);
	if (err < 0)
		return err;
	if (call.err == 0 && call.io.ret_len == len && memcmp(there, bytes, len) == 0)
		return 0;
	return -EEXIST;
}

int lsvd_creation_conclude(struct log *log, const struct creation *c)
{
	if (c->call.err != -EEXIST)
		return c->call.err;
	return read_back(log, c->call.io.key, c->iov.iov_base, c->iov.iov_len);
}

int lsvd_creation_run(struct log *log, struct creation *c, const struct log_also *also)
{
	struct log_call *calls = lsvd_calloc(1 + (also ? also->n : 0), sizeof *calls);
	int err;

	if (!calls)
		return lsvd_fail_plain(-ENOMEM);
	calls[0] = c->call;
	err = lsvd_call_run_with(log, calls, 1, also);
	c->call = calls[0];
	lsvd_free(calls);
	return err < 0 ? err : lsvd_creation_conclude(log, c);
}

/* -------------------------------------------------------------------------- objects of a chain */

struct chain_part lsvd_opening_part(const struct log *log, const struct chain_end *end)
{
	return (struct chain_part){
		.prev_checksum = end->checksum,
		.first_op = end->chain.last_op + 1,
		.last_op = end->chain.last_op,
		.root = end->chain.root,
		.volume_bytes = end->epoch ? end->chain.volume_bytes : log->options.volume_bytes,
		.next_object = end->chain.next_object,
		.flags = log->options.flush_remote ? CHAIN_FLUSH_REMOTE : 0,
	};
}

uint64_t lsvd_opening_object(struct log *log, uint8_t bytes[OBJECT_HEADER_BYTES], int kind,
			     uint64_t epoch, uint64_t seq, const struct chain_part *chain)
{
	struct object_head head = {
		.kind = (uint16_t)kind,
		.header_bytes = OBJECT_HEADER_BYTES,
		.volume = log->options.volume,
		.epoch = epoch,
		.seq = seq,
	};

	lsvd_chain_part_encode(bytes + OBJECT_HEAD_BYTES, chain);
	lsvd_object_head_encode(bytes, &head);
	return head.checksum;
}
