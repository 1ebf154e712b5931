/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_fetch.h - a fetch: extents of one object that lie close together, and the bytes they need.
 *
 * vol_batch.c makes fetches of what a read finds in objects, vol_fetch.c gets their bytes,
 * vol_unpack.c opens what is in them. Nobody else knows of them.
 */
#ifndef VOLUME_VOL_FETCH_H
#define VOLUME_VOL_FETCH_H

#include "volume/volume_internal.h"

struct fetch {
	struct read_req *req;         /* NULL once it has been answered */
	struct lsvd_volume *v;
	uint64_t object, owner;       /* owner: whose it is */
	uint64_t first, end;          /* bytes of the object */
	const uint8_t *bytes;         /* from `first` on: of `buf` or of the miss */
	uint8_t *buf, *scratch;       /* buf: what is read from the cache */
	size_t have;                  /* bytes there are */
	uint64_t need_end;            /* a unit goes on to there */
	int verdict;                  /* of the verification */
	bool from_cache, tried_again;
	uint64_t deadline_ms;
	uint32_t backoff_ms;
	struct miss_want want;
	struct log_look look;
	struct io step;
	struct timer_io timer;
	struct file_io *line_ios;     /* reads of the cache file */
	unsigned lines_left;
	unsigned n;
	struct map_extent extents[];
};

/* One of n extents, in order, of one object. Lock held. */
int lsvd_fetch_start(struct read_req *req, const struct map_extent *extents, unsigned n);

/* The step between: bytes to verdict. Without the lock. */
void lsvd_fetch_unpack(struct io *io);

#endif
