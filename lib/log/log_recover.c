/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log_recover.c - from the newest root to the end of the history, object by object, in order.
 *
 * The history is a path through epochs: each goes on from a place in an earlier one, named by its
 * object 1. The path is found backwards, from the end to the epoch in which the root stands (or to
 * the first of all), and replayed forwards. Headers are read WINDOW at a time. Each must name the
 * checksum of the one before: what is replayed is one chain or nothing.
 */
#include "log/log_internal.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"

#define WINDOW 32u
#define GUESS_BYTES 65536u              /* of each object at first: its header, nearly always */
#define ROOT_MAX_BYTES (UINT64_C(1) << 30)
#define REPORT_EVERY 4096u

/* Objects first … last of an epoch. */
struct leg {
	uint64_t epoch, first, last;
};

struct path {
	struct leg *legs;        /* from the end backwards */
	unsigned count, room;
	uint64_t objects;
};

struct recovery {
	struct log *log;
	struct path path;
	uint64_t root_epoch, root_seq; /* where the root stands; 0: there is none */
	uint64_t checksum;       /* of the object before; 0: not known */
	uint64_t done;
};

/* ------------------------------------------------------------------------------------ the root */

static int get_object(struct log *log, const char *key, uint8_t **ret, size_t *ret_len)
{
	struct log_call call;
	uint64_t bytes;
	int err;

	lsvd_call_init(&call, IO_HEAD);
	memcpy(call.io.key, key, KEY_CAP);
	err = lsvd_call_run(log, &call, 1);
	if (err == 0 && call.err < 0)
		err = lsvd_fail(LSVD_E_CORRUPT, "volume %s: root %s is missing", log->options.name, key);
	if (err < 0)
		return err;
	bytes = call.io.ret_bytes;
	if (bytes < OBJECT_HEAD_BYTES + 16 || bytes > ROOT_MAX_BYTES)
		return lsvd_fail(LSVD_E_CORRUPT, "object %s: %llu bytes, expected %u to %llu", key,
				 (unsigned long long)bytes, OBJECT_HEAD_BYTES + 16,
				 (unsigned long long)ROOT_MAX_BYTES);
	*ret = lsvd_malloc((size_t)bytes);
	if (!*ret)
		return lsvd_fail_plain(-ENOMEM);
	lsvd_call_init(&call, IO_GET);
	memcpy(call.io.key, key, KEY_CAP);
	call.io.buf = *ret;
	call.io.len = (size_t)bytes;
	err = lsvd_call_run(log, &call, 1);
	if (err == 0 && (call.err < 0 || call.io.ret_len != bytes))
		err = lsvd_fail(LSVD_E_CORRUPT, "object %s: %zu bytes, expected %llu", key,
				call.io.ret_len, (unsigned long long)bytes);
	log->stats.recovery_gets++;
	log->stats.recovery_get_bytes += call.io.ret_len;
	*ret_len = call.io.ret_len;
	return err;
}

/* The kind's own part of a root begins with the chain object whose state it is. */
static int load_root(struct recovery *r)
{
	struct log *log = r->log;
	struct root_ref root = log->base_root;
	struct object_head head;
	char key[KEY_CAP];
	uint8_t *bytes = NULL;
	size_t len = 0;
	int err;

	lsvd_key_root(key, &log->options.volume, root.epoch, root.number);
	err = get_object(log, key, &bytes, &len);
	if (err < 0)
		goto out;
	err = lsvd_object_head_decode(&head, bytes, len, key);
	if (err == -ENODATA || (err == 0 && head.header_bytes < OBJECT_HEAD_BYTES + 16))
		err = lsvd_fail(LSVD_E_CORRUPT, "object %s: %zu bytes with a header of %u", key, len,
				head.header_bytes);
	if (err == 0)
		err = lsvd_object_head_expect(&head, &log->options.volume, OBJECT_ROOT, root.epoch,
					      root.number, key);
	if (err < 0)
		goto out;
	r->root_epoch = le64_get(bytes + OBJECT_HEAD_BYTES);
	r->root_seq = le64_get(bytes + OBJECT_HEAD_BYTES + 8);
	err = log->ops->load_root(log->ctx, &head, bytes, len);
out:
	lsvd_free(bytes);
	return err;
}

/* ------------------------------------------------------------------------------------ the path */

static int add_leg(struct path *p, uint64_t epoch, uint64_t first, uint64_t last)
{
	if (p->count == p->room) {
		unsigned room = p->room ? p->room * 2 : 16;
		struct leg *legs = lsvd_realloc(p->legs, room * sizeof *legs);

		if (!legs)
			return lsvd_fail_plain(-ENOMEM);
		p->legs = legs;
		p->room = room;
	}
	p->legs[p->count++] = (struct leg){ .epoch = epoch, .first = first, .last = last };
	if (last >= first)
		p->objects += last - first + 1;
	return 0;
}

static int root_astray(const struct recovery *r)
{
	return lsvd_fail(LSVD_E_CORRUPT, "volume %s: root %llu of epoch %llu stands at object %llu of "
			 "epoch %llu, which is not part of the history up to object %llu of epoch %llu",
			 r->log->options.name, (unsigned long long)r->log->base_root.number,
			 (unsigned long long)r->log->base_root.epoch,
			 (unsigned long long)r->root_seq, (unsigned long long)r->root_epoch,
			 (unsigned long long)r->log->base_seq,
			 (unsigned long long)r->log->base_epoch);
}

static int find_path(struct recovery *r)
{
	struct log *log = r->log;
	uint64_t epoch = log->base_epoch, last = log->base_seq;
	struct log_header base;
	int err;

	while (epoch > r->root_epoch) {
		err = add_leg(&r->path, epoch, 1, last);
		if (err < 0)
			return err;
		err = lsvd_base_get(log, epoch, &base);
		if (err < 0)
			return err;
		epoch = base.chain.base_epoch;
		last = base.chain.base_seq;
		lsvd_headers_free(&base, 1);
	}
	if (epoch != r->root_epoch || r->root_seq > last)
		return root_astray(r);
	return epoch ? add_leg(&r->path, epoch, r->root_seq + 1, last) : 0;
}

/* ---------------------------------------------------------------------------------- the replay */

static int check_link(const struct recovery *r, const struct log_header *h)
{
	if (!r->checksum || h->chain.prev_checksum == r->checksum)
		return 0;
	return lsvd_fail(LSVD_E_CORRUPT, "volume %s: object %llu of epoch %llu follows a header with "
			 "checksum %016llx, expected %016llx", r->log->options.name,
			 (unsigned long long)h->head.seq, (unsigned long long)h->head.epoch,
			 (unsigned long long)h->chain.prev_checksum,
			 (unsigned long long)r->checksum);
}

static int replay_data(struct log *log, const struct log_header *h)
{
	struct seg_extent *extents = NULL;
	uint32_t count = 0;
	char key[KEY_CAP];
	int err;

	lsvd_key_chain(key, &log->options.volume, h->head.epoch, h->head.seq);
	err = lsvd_segment_extents(&extents, &count, h->bytes, &h->head, &h->chain, key);
	if (err < 0)
		return err;
	err = log->ops->replay(log->ctx, &h->head, &h->chain, extents, count);
	lsvd_free(extents);
	return err;
}

static int replay_one(struct recovery *r, const struct leg *leg, uint64_t seq,
		      const struct log_header *h)
{
	struct log *log = r->log;
	int err;

	if (h->err < 0 || h->head.kind == OBJECT_FENCE)
		return lsvd_fail(LSVD_E_CORRUPT, "volume %s: object %llu of epoch %llu %s, though %llu "
				 "belong to the history", log->options.name,
				 (unsigned long long)seq, (unsigned long long)leg->epoch,
				 h->err < 0 ? "is missing" : "is a fence",
				 (unsigned long long)leg->last);
	err = check_link(r, h);
	if (err < 0)
		return err;
	r->checksum = h->head.checksum;
	log->stats.replayed++;
	if (++r->done % REPORT_EVERY == 0)
		lsvd_report(LSVD_LOG_INFO, "volume %s: %llu of %llu objects read", log->options.name,
			    (unsigned long long)r->done, (unsigned long long)r->path.objects);
	if (h->head.kind == OBJECT_DATA)
		return replay_data(log, h);
	return log->ops->replay(log->ctx, &h->head, &h->chain, NULL, 0);
}

static int replay_leg(struct recovery *r, const struct leg *leg)
{
	struct log_header headers[WINDOW];
	int err = 0;

	for (uint64_t seq = leg->first; seq <= leg->last && err == 0; seq += WINDOW) {
		unsigned n = (unsigned)min_u64(WINDOW, leg->last - seq + 1);

		err = lsvd_headers_get(r->log, leg->epoch, seq, n, GUESS_BYTES, headers);
		if (err < 0)
			return err;
		for (unsigned i = 0; i < n && err == 0; i++)
			err = replay_one(r, leg, seq + i, &headers[i]);
		lsvd_headers_free(headers, n);
	}
	return err;
}

int lsvd_log_recover(struct log *log)
{
	struct recovery r = { .log = log };
	int err = 0;

	if (log->base_root.epoch)
		err = load_root(&r);
	if (err == 0)
		err = find_path(&r);
	if (err == 0)
		lsvd_report(LSVD_LOG_INFO, "volume %s: %llu objects to read after %s",
			    log->options.name, (unsigned long long)r.path.objects,
			    r.root_epoch ? "the checkpoint" : "the beginning");
	for (unsigned i = r.path.count; i-- > 0 && err == 0;)
		err = replay_leg(&r, &r.path.legs[i]);
	lsvd_free(r.path.legs);
	return err;
}
