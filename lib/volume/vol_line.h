/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_line.h - a range of an object as lines of the read cache: what goes where in the cache's
 * file.
 */
#ifndef VOLUME_VOL_LINE_H
#define VOLUME_VOL_LINE_H

#include "rcache/rcache.h"
#include "volume/volume_internal.h"

/* Bytes [first, first + have) of an object, in memory at `buf`; have > 0. */
struct line_range {
	struct lsvd_volume *v;
	uint64_t object, first;
	size_t have;
	uint8_t *buf;
};

static inline uint32_t lsvd_line_first(const struct line_range *r)
{
	return (uint32_t)(r->first / RCACHE_LINE_BYTES);
}

static inline unsigned lsvd_line_count(const struct line_range *r)
{
	return (uint32_t)((r->first + r->have - 1) / RCACHE_LINE_BYTES) - lsvd_line_first(r) + 1;
}

/* The part of the range that lies in its line number `i`, which begins at `slot` of the file. */
static inline void lsvd_line_io(const struct line_range *r, unsigned i, uint64_t slot,
				struct file_io *io)
{
	uint64_t line_start = (uint64_t)(lsvd_line_first(r) + i) * RCACHE_LINE_BYTES;
	uint64_t from = max_u64(r->first, line_start);
	uint64_t to = min_u64(r->first + r->have, line_start + RCACHE_LINE_BYTES);

	io->file = lsvd_rcache_file(r->v->rcache);
	io->off = slot + (from - line_start);
	io->buf = r->buf + (from - r->first);
	io->len = to - from;
}

#endif
