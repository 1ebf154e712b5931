/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_fetch.c - parts of a read that lie in objects: from the read cache, or by a ranged GET.
 *
 * Extents of one object that lie close together are one fetch. Its states:
 *
 *   CACHED ----> VERIFY -> done           all its lines are in the read cache
 *     | a unit does not verify, or a read fails
 *     v
 *   GET -------> VERIFY -> done, and the bytes fill the read cache
 *     | the store is away, full or denies access: again, with growing pauses, until read_timeout_ms
 *     | a unit is longer than was guessed: again, to its end
 *     | a unit does not verify, or is cut short: once again, then LSVD_E_CORRUPT for this part
 *     | the object is not there
 *     v
 *   LOOK ------> done                     by a newer writer, perhaps: LSVD_E_FENCED; else damage
 *
 * Verification and copying are done without the lock.
 */
#include <assert.h>
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "format/fmt_key.h"
#include "rcache/rcache.h"
#include "segment/unit.h"
#include "volume/volume_internal.h"

#define JOIN_GAP_BYTES 16384u
#define FETCH_MAX_BYTES (1u << 20)
#define BACKOFF_MIN_MS 50u
#define BACKOFF_MAX_MS 2000u

struct fetch {
	struct read_req *req;         /* NULL once it has been answered */
	struct lsvd_volume *v;
	uint64_t object;
	uint64_t first, end;          /* bytes of the object */
	uint8_t *buf, *scratch;
	size_t have;                  /* bytes in buf */
	uint64_t need_end;            /* a unit goes on to there */
	int verdict;                  /* of the verification */
	bool from_cache, tried_again;
	bool unkept;                  /* not for the read cache */
	uint64_t deadline_ms;
	uint32_t backoff_ms;
	struct obj_io get;
	struct log_look look;
	struct io step;
	struct timer_io timer;
	struct file_io *line_ios;     /* reads or writes of the cache file */
	unsigned lines_left;
	unsigned n;
	struct map_extent extents[];
};

static void start_get(struct fetch *f);

static void free_fetch(struct fetch *f)
{
	lsvd_free(f->line_ios);
	lsvd_free(f->scratch);
	lsvd_free(f->buf);
	lsvd_free(f);
}

static void answer(struct fetch *f, int err)
{
	struct read_req *req = f->req;
	struct object_entry *o = lsvd_object_table_get(&f->v->objects, f->object);

	f->req = NULL;
	if (err)
		req->bad_object = f->object;
	if (o)
		o->readers--;
	lsvd_vol_read_part_done(req, err);
}

/* ---------------------------------------------------------------------------------------- extents */

/* How far the extent may reach in its object; a guess for compressed units, never too long by much. */
static uint64_t reach(const struct map_extent *e)
{
	uint64_t sectors = (uint64_t)e->sub + e->len;

	if (e->kind == MAP_RAW) {
		uint64_t units = sectors / BLOCK_SECTORS, rest = sectors % BLOCK_SECTORS;

		return e->off + units * unit_space(UNIT_RAW_BYTES) +
		       (rest ? unit_space(UNIT_RAW_BYTES) : 0);
	}
	return e->off + unit_space((uint32_t)min_u64(sectors * SECTOR_BYTES, UNIT_MAX_BYTES));
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
	err = lsvd_unit_open(f->buf + at, f->have - at, f->v->owner, f->object, unit_lba,
			     f->scratch, &data, &bytes, &need, f->v->name);
	if (err == -ENODATA)
		f->need_end = unit_off + need;
	if (err)
		return err;
	if (skip * SECTOR_BYTES >= bytes)
		return lsvd_fail(LSVD_E_CORRUPT, "volume %s: object %llu at %llu: unit of %u bytes, "
				 "expected more than %u", f->v->name,
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

static int copy_extent(struct fetch *f, const struct map_extent *e)
{
	uint64_t done = 0, off = e->off, unit_lba = e->lba - e->sub;
	uint32_t skip = e->sub;
	int err;

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

/* Without the lock. */
static void verify(struct io *io)
{
	struct fetch *f = lsvd_container_of(io, struct fetch, step);

	f->need_end = 0;
	f->verdict = 0;
	for (unsigned i = 0; i < f->n && !f->verdict; i++)
		f->verdict = copy_extent(f, &f->extents[i]);
}

/* ------------------------------------------------------------------------------------ the read cache */

static uint32_t line_of(uint64_t off)
{
	return (uint32_t)(off / RCACHE_LINE_BYTES);
}

static unsigned line_count(const struct fetch *f)
{
	return line_of(f->first + f->have - 1) - line_of(f->first) + 1;
}

static void fill_done(struct io *io)
{
	struct fetch *f = io->owner;

	/* A fill that fails leaves a line that will not verify: a miss. */
	if (--f->lines_left == 0)
		free_fetch(f);
}

/* The file range of the part of [first, first + have) that lies in line number first_line + i. */
static void line_part(const struct fetch *f, unsigned i, uint64_t slot, struct file_io *io)
{
	uint64_t line_start = (uint64_t)(line_of(f->first) + i) * RCACHE_LINE_BYTES;
	uint64_t from = max_u64(f->first, line_start);
	uint64_t to = min_u64(f->first + f->have, line_start + RCACHE_LINE_BYTES);

	io->file = lsvd_rcache_file(f->v->rcache);
	io->off = slot + (from - line_start);
	io->buf = f->buf + (from - f->first);
	io->len = to - from;
	io->io.owner = (void *)(uintptr_t)f;
}

static bool alloc_line_ios(struct fetch *f)
{
	lsvd_free(f->line_ios);
	f->lines_left = line_count(f);
	f->line_ios = lsvd_calloc(f->lines_left, sizeof *f->line_ios);
	return f->line_ios != NULL;
}

/* After an answered GET: keeps the bytes, if there is a cache and memory to do it. */
static void fill_cache(struct fetch *f)
{
	struct lsvd_volume *v = f->v;
	unsigned n;

	if (!v->rcache || f->from_cache || f->unkept || f->verdict || v->closing || f->have == 0 ||
	    !alloc_line_ios(f)) {
		free_fetch(f);
		return;
	}
	n = f->lines_left;
	for (unsigned i = 0; i < n; i++) {
		struct file_io *io = &f->line_ios[i];

		line_part(f, i, lsvd_rcache_place(v->rcache, v->owner, f->object,
						  line_of(f->first) + i), io);
		io->io.kind = IO_FILE_WRITE;
		io->io.done = fill_done;
		v->stats.rcache_writes++;
		v->stats.rcache_write_bytes += io->len;
		lsvd_port_start(&v->port, &io->io);
	}
}

static void line_read(struct io *io)
{
	struct fetch *f = io->owner;

	if (io->err)
		f->verdict = io->err;
	if (--f->lines_left)
		return;
	if (f->verdict)
		start_get(f);
	else
		lsvd_port_start(&f->v->port, &f->step);
}

/* Reads all lines from the cache; false if the index lacks one. */
static bool start_cached(struct fetch *f)
{
	struct lsvd_volume *v = f->v;
	uint64_t slot;

	f->have = f->end - f->first;
	f->verdict = 0;
	if (!v->rcache || !alloc_line_ios(f))
		return false;
	for (unsigned i = 0; i < f->lines_left; i++) {
		if (!lsvd_rcache_find(v->rcache, v->owner, f->object, line_of(f->first) + i, &slot))
			return false;
		line_part(f, i, slot, &f->line_ios[i]);
		f->line_ios[i].io.kind = IO_FILE_READ;
		f->line_ios[i].io.done = line_read;
	}
	f->from_cache = true;
	for (unsigned i = 0, n = f->lines_left; i < n; i++)
		lsvd_port_start(&v->port, &f->line_ios[i].io);
	return true;
}

/* ---------------------------------------------------------------------------------------------- GET */

static void again_due(struct io *io)
{
	struct fetch *f = lsvd_container_of(io, struct fetch, timer.io);

	if (io->err || f->v->closing) {
		answer(f, LSVD_E_UNAVAILABLE);
		free_fetch(f);
		return;
	}
	start_get(f);
}

/* Access may be given again, by a person: but no longer than a read waits for anything. */
static bool may_pass(int err)
{
	return err == LSVD_E_UNAVAILABLE || err == -EIO || err == -ENOMEM || err == -ETIMEDOUT ||
	       err == -EACCES || err == LSVD_E_CONFIG;
}

static void count_failure(struct lsvd_volume *v, int err)
{
	if (err == -EACCES || err == LSVD_E_CONFIG)
		v->stats.store_denied++;
	else if (err != -ENOENT)
		v->stats.store_away++;
}

static void missing(struct fetch *f)
{
	struct lsvd_volume *v = f->v;

	v->stats.corrupt++;
	v->stats.missing_objects++;
	lsvd_report(LSVD_LOG_ERROR, "volume %s: object %s is not in the store: sector %llu and "
		    "following cannot be read", v->name, f->get.key,
		    (unsigned long long)f->extents[0].lba);
	answer(f, LSVD_E_CORRUPT);
	free_fetch(f);
}

/* Unavailable: nobody can tell now whether the volume is still ours, but that it is not there. */
static void looked(struct log_look *look, int err)
{
	struct fetch *f = look->owner;

	if (err == 0 || err == LSVD_E_UNAVAILABLE) {
		missing(f);
		return;
	}
	answer(f, err);
	free_fetch(f);
}

/* A writer's objects are removed by newer writers only: is there one? */
static void not_there(struct fetch *f)
{
	struct lsvd_volume *v = f->v;

	if (v->readonly || !v->log || v->closing) {
		missing(f);
		return;
	}
	f->look.done = looked;
	f->look.owner = f;
	lsvd_log_look(v->log, &f->look);
}

static void get_failed(struct fetch *f, int err)
{
	struct lsvd_volume *v = f->v;
	uint64_t now = lsvd_vol_now(v);

	count_failure(v, err);
	if (err == -ENOENT) {
		not_there(f);
		return;
	}
	if (may_pass(err) && now + f->backoff_ms < f->deadline_ms && !v->closing) {
		v->stats.retries++;
		f->timer.io.kind = IO_TIMER;
		f->timer.io.done = again_due;
		f->timer.at_ms = now + lsvd_vol_some_of(v, f->backoff_ms);
		f->backoff_ms = (uint32_t)min_u64(2 * f->backoff_ms, BACKOFF_MAX_MS);
		lsvd_port_start(&v->port, &f->timer.io);
		return;
	}
	lsvd_report(LSVD_LOG_ERROR, "volume %s: object %s could not be read: %s", v->name,
		    f->get.key, lsvd_error_name(err));
	answer(f, err);
	free_fetch(f);
}

static void got(struct io *io)
{
	struct fetch *f = lsvd_container_of(io, struct fetch, get.io);

	f->v->stats.data_gets++;
	if (io->err == -ENOENT && f->v->offline)
		io->err = LSVD_E_UNAVAILABLE; /* an empty mount point is no damage */
	if (io->err) {
		get_failed(f, io->err);
		return;
	}
	f->have = f->get.ret_len;
	f->v->stats.data_get_bytes += f->have;
	lsvd_port_start(&f->v->port, &f->step);
}

static void start_get(struct fetch *f)
{
	const struct object_entry *o = lsvd_object_table_get(&f->v->objects, f->object);

	if (!o) {
		lsvd_report(LSVD_LOG_ERROR, "volume %s: the map names object %llu, which is not in "
			    "its table", f->v->name, (unsigned long long)f->object);
		f->v->stats.corrupt++;
		answer(f, LSVD_E_CORRUPT);
		free_fetch(f);
		return;
	}
	f->from_cache = false;
	if (o->home == HOME_CHAIN)
		lsvd_key_chain(f->get.key, &f->v->uuid, o->epoch, o->seq);
	else
		lsvd_key_free(f->get.key, &f->v->uuid, o->epoch, o->seq);
	f->get.io.kind = IO_GET;
	f->get.io.done = got;
	f->get.off = f->first;
	f->get.buf = f->buf;
	f->get.len = f->end - f->first;
	lsvd_port_start(&f->v->port, &f->get.io);
}

/* A unit was longer than guessed: everything again, up to its end. */
static int extend(struct fetch *f)
{
	uint8_t *buf = lsvd_realloc(f->buf, f->need_end - f->first);

	if (!buf)
		return lsvd_fail_plain(-ENOMEM);
	f->buf = buf;
	f->end = f->need_end;
	return 0;
}

static void verified(struct io *io)
{
	struct fetch *f = lsvd_container_of(io, struct fetch, step);
	struct lsvd_volume *v = f->v;
	uint64_t limit = f->end + UNIT_MAX_BYTES + UNIT_FRAME_BYTES;

	if (f->verdict == -ENODATA) {
		f->verdict = f->need_end > f->end && f->need_end <= limit ? extend(f)
									   : LSVD_E_CORRUPT;
		if (!f->verdict) {
			if (!f->from_cache || !start_cached(f))
				start_get(f);
			return;
		}
	}
	if (f->verdict == LSVD_E_CORRUPT && f->from_cache) {
		/* Mostly this part of a line was never fetched: it comes to lie beside the others. */
		start_get(f);
		return;
	}
	if (f->verdict == LSVD_E_CORRUPT && !f->tried_again) {
		f->tried_again = true;
		v->stats.bad_gets++;
		start_get(f);
		return;
	}
	if (f->verdict == LSVD_E_CORRUPT) {
		v->stats.corrupt++;
		lsvd_report(LSVD_LOG_ERROR, "volume %s: object %s is damaged in [%llu, %llu): sector "
			    "%llu and following", v->name, f->get.key, (unsigned long long)f->first,
			    (unsigned long long)f->end, (unsigned long long)f->extents[0].lba);
	} else if (f->from_cache) {
		v->stats.read_rcache_bytes += f->have;
	} else {
		v->stats.read_store_bytes += f->have;
	}
	answer(f, f->verdict);
	fill_cache(f);
}

/* ------------------------------------------------------------------------------------------ starting */

/* Only what is compressed has to be unpacked somewhere. */
static bool needs_scratch(const struct fetch *f)
{
	for (unsigned i = 0; i < f->n; i++)
		if (f->extents[i].kind == MAP_UNIT)
			return true;
	return false;
}

/* A guess may reach beyond the object, to a line of the cache that can never be filled. */
static uint64_t within_object(const struct lsvd_volume *v, uint64_t object, uint64_t first,
			      uint64_t end)
{
	const struct object_entry *o = lsvd_object_table_get(&v->objects, object);

	return o && o->bytes > first ? min_u64(end, o->bytes) : end;
}

static int start_fetch(struct read_req *req, const struct map_extent *extents, unsigned n)
{
	struct lsvd_volume *v = req->v;
	struct fetch *f = lsvd_calloc(1, sizeof *f + n * sizeof *extents);
	struct object_entry *o;

	if (!f)
		return lsvd_fail_plain(-ENOMEM);
	f->req = req;
	f->unkept = req->sink != NULL;
	f->v = v;
	f->object = extents[0].object;
	f->first = extents[0].off;
	f->end = f->first;
	f->n = n;
	for (unsigned i = 0; i < n; i++) {
		f->extents[i] = extents[i];
		f->end = max_u64(f->end, reach(&extents[i]));
	}
	f->end = within_object(v, f->object, f->first, f->end);
	f->deadline_ms = lsvd_vol_now(v) + v->opt.read_timeout_ms;
	f->backoff_ms = BACKOFF_MIN_MS;
	f->step = (struct io){ .kind = IO_STEP, .prepare = verify, .done = verified };
	f->buf = lsvd_malloc(f->end - f->first);
	if (needs_scratch(f))
		f->scratch = lsvd_malloc(UNIT_MAX_BYTES);
	if (!f->buf || (needs_scratch(f) && !f->scratch)) {
		free_fetch(f);
		return lsvd_fail_plain(-ENOMEM);
	}
	req->left++;
	o = lsvd_object_table_get(&v->objects, f->object);
	if (o)
		o->readers++; /* it is not deleted before answer() */
	if (!start_cached(f))
		start_get(f);
	return 0;
}

static bool joins(const struct map_extent *first, uint64_t end, const struct map_extent *next)
{
	return next->object == first->object && next->off >= first->off &&
	       next->off <= end + JOIN_GAP_BYTES && reach(next) - first->off <= FETCH_MAX_BYTES;
}

/* A long raw extent is cut, so that one fetch stays bounded and several go in parallel. */
static struct map_extent head_of(const struct map_extent *e)
{
	const uint32_t max = FETCH_MAX_BYTES / unit_space(UNIT_RAW_BYTES) * BLOCK_SECTORS;
	struct map_extent head = *e;

	if (e->kind == MAP_RAW && e->sub + e->len > max)
		head.len = max - e->sub;
	return head;
}

int lsvd_vol_fetch(struct read_req *req, const struct map_extent *extents, unsigned n)
{
	struct map_extent batch[64];
	unsigned count = 0;
	uint64_t end = 0;
	int err = 0;

	for (unsigned i = 0; i < n && !err; i++) {
		struct map_extent rest = extents[i];

		while (rest.len && !err) {
			struct map_extent e = head_of(&rest);

			if (count && (count == LSVD_ARRAY_LEN(batch) || !joins(&batch[0], end, &e))) {
				err = start_fetch(req, batch, count);
				count = 0;
			}
			batch[count++] = e;
			end = reach(&e);
			if (e.len == rest.len)
				break;
			rest = lsvd_map_extent_advance(&rest, e.len);
		}
	}
	if (count && !err)
		err = start_fetch(req, batch, count);
	return err;
}
