/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_index.c - the index of a segment, walked with only a part of it in memory.
 *
 * The whole of it is read and verified once, at the beginning: its checksum is that of all. If it
 * is longer than what may be kept, hashes of its parts are, and each part is read again and
 * compared when the walk gets there. An entry may begin in one part and end in the next: as much as
 * the longest entry needs is always there before the next one is taken.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "vlog/vlog_internal.h"

/* How long the longest entry is; all of them are possible, or LSVD_E_CORRUPT. */
static int survey(const struct vlog_index *x, size_t *ret_longest)
{
	struct vlog_cursor c;
	size_t longest = 0;
	int more;

	lsvd_vlog_cursor_init(&c, &x->footer, x->segment, x->footer_at);
	do {
		const uint8_t *begin = c.p;

		more = lsvd_vlog_cursor_next(&c);
		longest = max_u64(longest, (size_t)(c.p - begin));
	} while (more > 0);
	lsvd_vlog_cursor_fini(&c);
	*ret_longest = longest;
	return more;
}

/* Of the footer only the first part is kept, with the hashes of all. */
static int keep_a_part(struct vlog_index *x)
{
	struct vlog_footer *f = &x->footer;
	size_t parts = (f->index_bytes + x->part - 1) / x->part;
	uint8_t *room = lsvd_malloc(x->part + x->longest);

	x->hashes = lsvd_calloc(parts, sizeof *x->hashes);
	if (!room || !x->hashes) {
		lsvd_free(room);
		return lsvd_fail_plain(-ENOMEM);
	}
	for (size_t i = 0; i < parts; i++)
		x->hashes[i] = lsvd_hash(f->index + i * x->part,
					 min_u64(f->index_bytes - i * x->part, x->part));
	memcpy(room, f->index, x->part);
	x->whole = f->index_bytes;
	x->loaded = x->part;
	lsvd_free(f->bytes);
	f->bytes = room;
	f->index = room;
	f->index_bytes = x->part;
	f->metadata = NULL;
	return 0;
}

int lsvd_vlog_index_open(struct lsvd_vlog *log, uint64_t segment, size_t part,
			 struct vlog_index *ret)
{
	struct vlog_index x = { .segment = segment, .part = part };
	int err = lsvd_vlog_footer_get(log, segment, &x.footer, &x.footer_at);

	if (err)
		return err;
	x.whole = x.loaded = x.footer.index_bytes;
	if (x.whole > 2 * part) {
		err = survey(&x, &x.longest);
		if (!err)
			err = keep_a_part(&x);
	}
	if (err) {
		lsvd_vlog_index_fini(&x);
		return err;
	}
	*ret = x;
	lsvd_vlog_cursor_init(&ret->cursor, &ret->footer, segment, ret->footer_at);
	return 0;
}

void lsvd_vlog_index_fini(struct vlog_index *x)
{
	lsvd_vlog_cursor_fini(&x->cursor);
	lsvd_vlog_footer_free(&x->footer);
	lsvd_free(x->hashes);
	x->hashes = NULL;
}

/* The next part to `to`. */
static int read_part(struct lsvd_vlog *log, const struct vlog_index *x, uint8_t *to, size_t len)
{
	struct vlog_fetch f = { .segment = x->segment, .off = x->footer_at + x->loaded, .len = len,
				.buf = to };
	int err = lsvd_vlog_fetch1(log, &f);

	if (err || lsvd_hash(to, len) == x->hashes[x->loaded / x->part])
		return err;
	return lsvd_fail(LSVD_E_CORRUPT,
			 "object %s: %zu bytes of the index at %llu are not what they were", f.key,
			 len, (unsigned long long)f.off);
}

/* Drops what the walk has passed, and reads on behind what it has not. */
static int load(struct lsvd_vlog *log, struct vlog_index *x)
{
	struct vlog_footer *f = &x->footer;
	size_t rest = (size_t)(f->index + f->index_bytes - x->cursor.p);
	size_t len = min_u64(x->part, x->whole - x->loaded);
	int err;

	memmove(f->bytes, x->cursor.p, rest);
	x->cursor.p = f->index;
	f->index_bytes = rest;
	err = read_part(log, x, f->bytes + rest, len);
	if (err == LSVD_E_CORRUPT)
		err = read_part(log, x, f->bytes + rest, len); /* an answer may be damaged */
	if (err)
		return err;
	f->index_bytes += len;
	x->loaded += len;
	return 0;
}

int lsvd_vlog_index_next(struct lsvd_vlog *log, struct vlog_index *x)
{
	int err = 0;

	while (!err && x->loaded < x->whole &&
	       (size_t)(x->footer.index + x->footer.index_bytes - x->cursor.p) < x->longest)
		err = load(log, x);
	return err ? err : lsvd_vlog_cursor_next(&x->cursor);
}
