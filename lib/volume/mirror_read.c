/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mirror_read.c - reads the records of a mirror through a window, past the page cache if it is to
 * be relied on, up to the first that does not verify.
 */
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "volume/mirror_read.h"

#define WINDOW_BYTES (1u << 20)

/* -------------------------------------------------------------------------------------- reading */

int lsvd_mirror_look(struct mirror_in *in, uint64_t off, uint64_t len, uint8_t **ret)
{
	struct file_io io;
	int err;

	if (!range_within(off, len, in->bytes))
		return -ENODATA;
	if (off >= in->window_off && off + len <= in->window_off + in->window_len) {
		*ret = in->window + (off - in->window_off);
		return 0;
	}
	if (len > in->window_room) {
		lsvd_free(in->window);
		in->window_room = max_u64(WINDOW_BYTES, round_up(len, BLOCK_BYTES));
		in->window = lsvd_aligned_alloc(BLOCK_BYTES, in->window_room);
		if (!in->window)
			in->window_room = 0;
	}
	in->window_off = off;
	in->window_len = 0;
	if (!in->window)
		return lsvd_fail_plain(-ENOMEM);
	io = (struct file_io){ .io = { .kind = IO_FILE_READ }, .file = in->file, .off = off,
			       .buf = in->window, .len = min_u64(in->window_room, in->bytes - off),
			       .past_cache = in->past_cache };
	err = lsvd_port_run1(&in->v->port, &io.io);
	if (err)
		return err;
	in->window_len = io.len;
	*ret = in->window;
	return 0;
}

/* The record at `off`: its span, 0 if there is none that verifies, or a negative code. */
static int64_t read_record(struct mirror_in *in, const struct mirror_head *head, uint64_t off,
			   uint32_t *ret_kind, uint32_t *ret_bytes, uint8_t **ret)
{
	uint8_t *p;
	int err = lsvd_mirror_look(in, off, MIRROR_RECORD_BYTES, &p);

	if (err)
		return err == -ENODATA ? 0 : err;
	if (!lsvd_mirror_record_peek(p, head, off, ret_kind, ret_bytes))
		return 0;
	err = lsvd_mirror_look(in, off, mirror_span(*ret_bytes), &p);
	if (err)
		return err == -ENODATA ? 0 : err;
	if (!lsvd_mirror_record_verify(p, head, *ret_bytes))
		return 0;
	*ret = p + MIRROR_RECORD_BYTES;
	return (int64_t)mirror_span(*ret_bytes);
}

static int each_from(struct mirror_in *in, uint64_t off, record_fn fn)
{
	struct mirror_head head = in->head;
	uint32_t kind, bytes;
	uint8_t *payload = NULL;
	struct mirror_mark mark;
	int64_t span = 0;
	int err = 0;

	while (!err && (span = read_record(in, &head, off, &kind, &bytes, &payload)) > 0) {
		if (kind == MIRROR_MARK && bytes == MIRROR_MARK_BYTES) {
			lsvd_mirror_mark_decode(&mark, payload);
			head.nonce = mark.nonce;
		}
		err = fn(in, kind, payload, bytes);
		off += (uint64_t)span;
	}
	in->end = off;
	in->nonce = head.nonce;
	return span < 0 ? (int)span : err;
}

int lsvd_mirror_each(struct mirror_in *in, record_fn fn)
{
	int err = each_from(in, MIRROR_HEAD_BYTES, fn);

	if (!err && in->end < in->head.snapshot_end)
		err = lsvd_fail(LSVD_E_CORRUPT, "%s: damaged at %llu, within its snapshot of %llu "
				"bytes", in->name, (unsigned long long)in->end,
				(unsigned long long)in->head.snapshot_end);
	return err;
}

/* -------------------------------------------------------------------------------------- records */

int lsvd_mirror_chain_decode(const struct mirror_in *in, struct mirror_chain *ret,
			     const uint8_t *payload, uint32_t bytes)
{
	int err = lsvd_object_head_decode(&ret->head, payload, bytes, in->name);

	if (!err)
		err = lsvd_object_head_expect(&ret->head, &in->head.volume, 0, ret->head.epoch,
					      ret->head.seq, in->name);
	if (!err)
		err = lsvd_chain_part_decode(&ret->chain, payload, &ret->head, in->name);
	return err == -ENODATA ? lsvd_fail(LSVD_E_CORRUPT, "%s: a header is cut short", in->name)
			       : err;
}

int lsvd_mirror_chain_follow(struct mirror_in *in, const struct mirror_chain *r)
{
	if (r->chain.first_op != in->last_op + 1 || r->chain.last_op + 1 < r->chain.first_op)
		return lsvd_fail(LSVD_E_CORRUPT, "%s: operations %llu to %llu follow "
				 "operation %llu", in->name, (unsigned long long)r->chain.first_op,
				 (unsigned long long)r->chain.last_op,
				 (unsigned long long)in->last_op);
	in->last_op = r->chain.last_op;
	in->volume_bytes = r->chain.volume_bytes;
	return 0;
}

static int follow(struct mirror_in *in, uint32_t kind, const uint8_t *payload, uint32_t bytes)
{
	struct mirror_mark mark;
	struct mirror_chain r;
	int err;

	if (kind == MIRROR_MARK && bytes == MIRROR_MARK_BYTES) {
		lsvd_mirror_mark_decode(&mark, payload);
		in->marked = true;
		in->at = (struct place){ mark.epoch, mark.seq };
		in->last_op = mark.last_op;
	}
	if (kind != MIRROR_CHAIN || !in->marked)
		return 0;
	err = lsvd_mirror_chain_decode(in, &r, payload, bytes);
	if (!err)
		err = lsvd_mirror_chain_follow(in, &r);
	in->at = (struct place){ r.head.epoch, r.head.seq };
	return err;
}

int lsvd_mirror_reach(struct mirror_in *in)
{
	return each_from(in, in->head.snapshot_end, follow);
}

void lsvd_mirror_in_fini(struct mirror_in *in)
{
	lsvd_free(in->window);
	in->window = NULL;
}
