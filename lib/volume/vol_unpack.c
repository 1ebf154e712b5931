/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_unpack.c - what a fetch has brought: verified, unpacked and handed to who asked for it.
 *
 * Runs without the lock, on bytes that stay what they are meanwhile. A unit's checksum is bound
 * to volume, object and address, so that the bytes of another place do not pass for it. What is
 * verified goes to the user's memory, to the request's `sink`, or, of a blob, to `blob`, which
 * verifies for itself; what is only read ahead goes nowhere.
 *
 * It leaves the fetch a verdict:
 *
 *   0          all of its extents have been handed over
 *   -ENODATA   the bytes end too early; `need_end` says how far they must reach, if that helps
 *   other      the first failure: LSVD_E_CORRUPT with a text
 *
 * Deliberately absent: what is done about a failure. vol_fetch.c decides, and may have it done
 * again.
 */
#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "segment/unit.h"
#include "volume/vol_fetch.h"

/* Verified, as lsvd_unit_open() does; what is damaged is opened again, to say which it was. */
static int open_unit(struct fetch *f, uint64_t at, uint64_t lba, const uint8_t **ret,
		     uint32_t *ret_bytes, uint32_t *ret_need)
{
	char what[96];
	int err = lsvd_unit_open(f->bytes + at, f->have - at, f->owner, f->object, lba, f->scratch,
				 ret, ret_bytes, ret_need, "");

	if (err != LSVD_E_CORRUPT)
		return err;
	(void)snprintf(what, sizeof what, "%llu of volume %s", (unsigned long long)f->object,
		       f->v->name); /* fits */
	return lsvd_unit_open(f->bytes + at, f->have - at, f->owner, f->object, lba, f->scratch,
			      ret, ret_bytes, ret_need, what);
}

/* The unit that sector `s` (counted from the first unit's start) of the extent lies in. */
static int copy_unit(struct fetch *f, const struct map_extent *e, uint64_t unit_off,
		     uint64_t unit_lba, uint32_t skip, uint64_t *sectors_done)
{
	const struct lsvd_io *op = f->req->io;
	uint64_t at = unit_off - f->first;
	const uint8_t *data;
	uint32_t bytes, need = 0;
	uint64_t lba = e->lba + *sectors_done;
	uint64_t want, n;
	int err;

	if (at >= f->have) {
		f->need_end = unit_off + UNIT_FRAME_BYTES;
		return -ENODATA;
	}
	err = open_unit(f, at, unit_lba, &data, &bytes, &need);
	if (err == -ENODATA)
		f->need_end = unit_off + need;
	if (err)
		return err;
	if (skip * SECTOR_BYTES >= bytes)
		return lsvd_fail(LSVD_E_CORRUPT, "volume %s: object %llu at %llu: unit of %u "
				 "bytes, expected more than %u", f->v->name,
				 (unsigned long long)f->object, (unsigned long long)unit_off, bytes,
				 skip * SECTOR_BYTES);
	want = (e->len - *sectors_done) * SECTOR_BYTES;
	n = min_u64(want, bytes - skip * SECTOR_BYTES);
	if (f->req->sink)
		f->req->sink(f->req, lba, data + skip * SECTOR_BYTES, n);
	else if (!f->req->prefetch)
		lsvd_iov_to(op->iov, op->iovcnt, lba * SECTOR_BYTES - op->off,
			    data + skip * SECTOR_BYTES, n);
	*sectors_done += n / SECTOR_BYTES;
	return 0;
}

static int take_blob(struct fetch *f, const struct map_extent *e)
{
	if (e->off - f->first + e->len > f->have)
		return -ENODATA; /* the object ends there */
	return f->req->blob(f->req, f->bytes + (e->off - f->first));
}

static int copy_extent(struct fetch *f, const struct map_extent *e)
{
	uint64_t done = 0, off = e->off, unit_lba = e->lba - e->sub;
	uint32_t skip = e->sub;
	int err;

	if (e->kind == FETCH_BLOB)
		return take_blob(f, e);
	while (done < e->len) {
		if (done && e->kind == MAP_UNIT)
			return lsvd_fail(LSVD_E_CORRUPT, "volume %s: object %llu at %u: unit ends "
					 "%llu sectors early", f->v->name,
					 (unsigned long long)f->object, e->off,
					 (unsigned long long)(e->len - done));
		err = copy_unit(f, e, off, unit_lba, skip, &done);
		if (err)
			return err;
		off += unit_space(UNIT_RAW_BYTES);
		unit_lba += BLOCK_SECTORS;
		skip = 0;
	}
	return 0;
}

void lsvd_fetch_unpack(struct io *io)
{
	struct fetch *f = lsvd_container_of(io, struct fetch, step);

	f->need_end = 0;
	f->verdict = 0;
	for (unsigned i = 0; i < f->n && !f->verdict; i++)
		f->verdict = copy_extent(f, &f->extents[i]);
}
