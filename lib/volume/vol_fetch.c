/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_fetch.c - parts of a read that lie in objects: from the read cache, or by a ranged GET.
 *
 * Extents of one object that lie close together are one fetch. Its states:
 *
 *   CACHED ----> VERIFY -> done           all its lines are in the read cache, and nobody is
 *     |                                   fetching them
 *     | a unit does not verify, or a read fails
 *     v
 *   MISS ------> VERIFY -> done, and the bytes fill the read cache
 *     | the store is away, full or denies access: again, with growing pauses, until read_timeout_ms
 *     | a unit is longer than was guessed: again, to its end
 *     | a unit does not verify, or is cut short: once again, then LSVD_E_CORRUPT for this part
 *     | the object is not there
 *     v
 *   LOOK ------> done                     by a newer writer, perhaps: LSVD_E_FENCED; else damage, if the
 *                                         store can say so: before that it is away
 *
 * A miss (vol_miss.h) is a GET that others may share. What is read ahead is not tried again: who
 * needs it will. Verification and copying are done without the lock.
 */
#include <assert.h>
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "format/fmt_key.h"
#include "rcache/rcache.h"
#include "segment/unit.h"
#include "volume/vol_line.h"
#include "volume/volume_internal.h"

#define JOIN_GAP_BYTES 16384u
#define FETCH_MAX_BYTES MISS_MAX_BYTES
#define BACKOFF_MIN_MS 50u
#define BACKOFF_MAX_MS 2000u
#define GC_RETRIES 32u          /* for all of a round, with no answer in between */

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

static void start_get(struct fetch *f);

void lsvd_vol_object_key(char key[KEY_CAP], const struct lsvd_volume *v, const struct object_entry *e)
{
	const struct uuid *u = e->ancestor ? &v->ancestry->list[e->ancestor - 1].volume : &v->uuid;

	if (lsvd_object_is_in_chain(e))
		lsvd_key_chain(key, u, e->epoch, e->seq);
	else
		lsvd_key_free(key, u, e->epoch, e->seq);
}

static void free_fetch(struct fetch *f)
{
	lsvd_miss_leave(&f->want, f->verdict);
	lsvd_free(f->line_ios);
	lsvd_free(f->scratch);
	lsvd_free(f->buf);
	lsvd_free(f);
}

void lsvd_vol_read_is_over(struct lsvd_volume *v, uint64_t object)
{
	struct object_entry *o = lsvd_object_table_get(&v->objects, object);

	if (o && --o->readers == 0 && o->ancestor)
		lsvd_port_changed(&v->port); /* a clone that leaves its base waits for that */
}

static void answer(struct fetch *f, int err)
{
	struct read_req *req = f->req;

	f->req = NULL;
	if (err && !req->err) /* the first is the request's */
		req->bad_object = f->object;
	lsvd_vol_read_is_over(f->v, f->object);
	lsvd_vol_read_part_done(req, err);
}

/* ---------------------------------------------------------------------------------------- extents */

/*
 * Where a compressed unit ends at the latest: it takes no more than its raw data, and what follows it
 * in the address most often follows it in the object, too. A guess that is too short costs a second
 * GET; the extent, which may have been cut to what is read, says less than the map does.
 */
static uint64_t unit_end(const struct lsvd_volume *v, const struct map_extent *e)
{
	struct map_extent whole = *e, next;
	uint64_t end;

	/* e comes from the map, but it may have been overwritten since: what collection reads takes a while. */
	if (!lsvd_store_map_find(v->map, e->lba, &whole) || whole.object != e->object ||
	    whole.off != e->off)
		whole = *e;
	end = e->off + unit_space((uint32_t)min_u64((whole.sub + (uint64_t)whole.len) *
						    SECTOR_BYTES, UNIT_MAX_BYTES));
	if (lsvd_store_map_find(v->map, whole.lba + whole.len, &next) && next.kind != MAP_ZERO &&
	    next.object == e->object && next.off > e->off)
		end = min_u64(end, next.off);
	return end;
}

static uint64_t raw_end(const struct map_extent *e)
{
	uint64_t sectors = (uint64_t)e->sub + e->len;

	return e->off + (sectors + BLOCK_SECTORS - 1) / BLOCK_SECTORS * unit_space(UNIT_RAW_BYTES);
}

uint64_t lsvd_vol_reach(const struct lsvd_volume *v, const struct map_extent *e)
{
	const struct object_entry *o = lsvd_object_table_get(&v->objects, e->object);
	uint64_t end = e->kind == FETCH_BLOB ? (uint64_t)e->off + e->len
		       : e->kind == MAP_RAW  ? raw_end(e)
					     : unit_end(v, e);

	/* Beyond the object there may be a line of the cache that can never be filled. */
	return o && o->bytes > e->off ? min_u64(end, o->bytes) : end;
}

/* Verified, as lsvd_unit_open() does; what is damaged is opened again, to say which it was. */
static int open_unit(struct fetch *f, uint64_t at, uint64_t lba, const uint8_t **ret, uint32_t *ret_bytes,
		     uint32_t *ret_need)
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

static struct line_range lines_of(const struct fetch *f)
{
	return (struct line_range){ f->v, f->object, f->first, f->have, f->buf };
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

/* Memory for the lines of [first, end), which stay the same when the end moves. */
static bool alloc_lines(struct fetch *f)
{
	struct line_range r;

	lsvd_free(f->line_ios);
	lsvd_free(f->buf);
	f->line_ios = NULL;
	f->buf = lsvd_malloc(f->end - f->first);
	f->have = f->end - f->first;
	f->bytes = f->buf;
	r = lines_of(f);
	f->lines_left = lsvd_line_count(&r);
	if (f->buf)
		f->line_ios = lsvd_calloc(f->lines_left, sizeof *f->line_ios);
	return f->line_ios != NULL;
}

/* Before memory is asked for: a round of garbage collection asks for much that is not. */
static bool are_cached(const struct fetch *f)
{
	const struct line_range r = { f->v, f->object, f->first, f->end - f->first, NULL };

	for (unsigned i = 0, n = lsvd_line_count(&r); i < n; i++)
		if (!lsvd_rcache_has(f->v->rcache, f->owner, f->object, lsvd_line_first(&r) + i))
			return false;
	return true;
}

/* Reads all lines from the cache; false if the index lacks one, or memory is short. */
static bool start_cached(struct fetch *f)
{
	struct lsvd_volume *v = f->v;
	struct line_range r;
	uint64_t slot;

	if (!v->rcache || !are_cached(f) || !alloc_lines(f))
		return false;
	f->verdict = 0;
	r = lines_of(f);
	for (unsigned i = 0; i < f->lines_left; i++) {
		struct file_io *io = &f->line_ios[i];

		if (!lsvd_rcache_find(v->rcache, f->owner, f->object, lsvd_line_first(&r) + i,
				      &slot))
			return false;
		lsvd_line_io(&r, i, slot, io);
		io->io.owner = f;
		io->io.kind = IO_FILE_READ;
		io->io.done = line_read;
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
		f->verdict = LSVD_E_UNAVAILABLE;
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

/* The object's name, for people. */
static const char *key_of(const struct fetch *f, char key[KEY_CAP])
{
	const struct object_entry *o = lsvd_object_table_get(&f->v->objects, f->object);

	key[0] = '\0';
	if (o)
		lsvd_vol_object_key(key, f->v, o);
	return key;
}

static void report_failed(const struct fetch *f, int err)
{
	char key[KEY_CAP];

	if (!f->want.ahead)
		lsvd_report(LSVD_LOG_ERROR, "volume %s: object %s could not be read: %s", f->v->name,
			    key_of(f, key), lsvd_error_name(err));
}

static void report_damage(const struct fetch *f)
{
	char key[KEY_CAP];

	if (f->want.ahead)
		return;
	f->v->stats.corrupt++;
	lsvd_report(LSVD_LOG_ERROR, "volume %s: object %s is damaged in [%llu, %llu): sector %llu and "
		    "following", f->v->name, key_of(f, key), (unsigned long long)f->first,
		    (unsigned long long)f->end, (unsigned long long)f->extents[0].lba);
}

static void missing(struct fetch *f)
{
	struct lsvd_volume *v = f->v;
	char key[KEY_CAP];

	v->stats.corrupt++;
	v->stats.missing_objects++;
	lsvd_report(LSVD_LOG_ERROR, "volume %s: object %s is not in the store: sector %llu and "
		    "following cannot be read", v->name, key_of(f, key),
		    (unsigned long long)f->extents[0].lba);
	answer(f, LSVD_E_CORRUPT);
	free_fetch(f);
}

/*
 * A round of garbage collection reads hundreds of parts, and is nothing if one is lacking; there will be
 * another round. Each of them insisting for as long as a user's read would be a load on a store in trouble.
 */
static bool is_worth_it(struct read_req *req)
{
	return !req->sink || (!req->err && req->retries++ < GC_RETRIES);
}

/* True: after a pause, if there is time for one. */
static bool try_later(struct fetch *f)
{
	struct lsvd_volume *v = f->v;
	uint64_t now = lsvd_vol_now(v);

	if (now + f->backoff_ms >= f->deadline_ms || v->closing || f->want.ahead ||
	    !is_worth_it(f->req))
		return false;
	v->stats.retries++;
	f->timer.io.kind = IO_TIMER;
	f->timer.io.done = again_due;
	f->timer.at_ms = now + lsvd_vol_some_of(v, f->backoff_ms);
	f->backoff_ms = (uint32_t)min_u64(2 * f->backoff_ms, BACKOFF_MAX_MS);
	lsvd_port_start(&v->port, &f->timer.io);
	return true;
}

/* Not called missing: a newer writer may have removed it, or the volume is about to close. */
static void undecided(struct fetch *f)
{
	char key[KEY_CAP];

	if (!f->v->closing)
		lsvd_report(LSVD_LOG_ERROR, "volume %s: object %s is not in the store, which does not say "
			    "now whether a newer writer has removed it", f->v->name, key_of(f, key));
	answer(f, LSVD_E_UNAVAILABLE);
	free_fetch(f);
}

/* Unavailable: nobody can tell now whether the volume is still ours, so both are asked again. */
static void looked(struct log_look *look, int err)
{
	struct fetch *f = look->owner;

	if (err == LSVD_E_UNAVAILABLE && try_later(f))
		return;
	if (err == 0) {
		missing(f);
		return;
	}
	if (err == LSVD_E_UNAVAILABLE) {
		undecided(f);
		return;
	}
	answer(f, err);
	free_fetch(f);
}

/*
 * What a reader reads is what was there when it was opened; a writer does not wait for it, and deletes
 * what neither it nor a snapshot needs. To open again helps, if that is why.
 */
static void deleted_meanwhile(struct fetch *f)
{
	struct lsvd_volume *v = f->v;
	char key[KEY_CAP];

	v->stats.missing_objects++;
	lsvd_report(LSVD_LOG_ERROR, "volume %s: object %s is not in the store any more: it was deleted "
		    "after the volume was opened read-only, or is lost; open it again", v->name,
		    key_of(f, key));
	answer(f, -ESTALE);
	free_fetch(f);
}

/* A writer's objects are removed by newer writers only: is there one? */
static void not_there(struct fetch *f)
{
	struct lsvd_volume *v = f->v;

	if (f->want.ahead) {
		answer(f, LSVD_E_CORRUPT); /* who needs it will look */
		free_fetch(f);
		return;
	}
	if (v->readonly && v->log) {
		deleted_meanwhile(f);
		return;
	}
	if (!v->log) {
		missing(f);
		return;
	}
	if (v->closing) {
		undecided(f);
		return;
	}
	f->look.done = looked;
	f->look.owner = f;
	lsvd_log_look(v->log, &f->look);
}

static void get_failed(struct fetch *f, int err)
{
	if (err == -ENOENT) {
		not_there(f);
		return;
	}
	if (may_pass(err) && try_later(f))
		return;
	report_failed(f, err);
	/* Whose bucket has gone did nothing wrong by reading: no EINVAL for a front end to show. */
	answer(f, err == LSVD_E_CONFIG ? LSVD_E_UNAVAILABLE : err);
	free_fetch(f);
}

static void bytes_here(struct fetch *f)
{
	f->bytes = lsvd_miss_bytes(&f->want, &f->have);
	lsvd_port_start(&f->v->port, &f->step);
}

static void got(struct miss_want *w, int err)
{
	struct fetch *f = lsvd_container_of(w, struct fetch, want);

	if (err)
		get_failed(f, err);
	else
		bytes_here(f);
}

static void start_get(struct fetch *f)
{
	int here;

	if (!lsvd_object_table_get(&f->v->objects, f->object)) {
		lsvd_report(LSVD_LOG_ERROR, "volume %s: the map names object %llu, which is not in "
			    "its table", f->v->name, (unsigned long long)f->object);
		f->v->stats.corrupt++;
		answer(f, LSVD_E_CORRUPT);
		free_fetch(f);
		return;
	}
	f->from_cache = false;
	f->req->missed = true;
	f->want.first = f->first;
	f->want.end = f->end;
	here = lsvd_miss_want(f->v, &f->want);
	if (here < 0)
		get_failed(f, here);
	else if (here > 0)
		bytes_here(f);
}

/* Not what is here: asks again, for bytes from another GET. */
static void get_again(struct fetch *f)
{
	lsvd_miss_leave(&f->want, f->verdict);
	start_get(f);
}

/* A unit was longer than guessed: everything again, up to its end. */
static void extend(struct fetch *f)
{
	bool cached = f->from_cache;

	lsvd_miss_leave(&f->want, f->verdict);
	f->end = f->need_end;
	if (!cached || !start_cached(f))
		start_get(f);
}

/* What a user reads: no page of the map. */
static void count_read(const struct fetch *f)
{
	if (f->from_cache)
		f->v->stats.read_rcache_bytes += f->have;
	else
		f->v->stats.read_store_bytes += min_u64(f->have, f->end - f->first);
}

static void verified(struct io *io)
{
	struct fetch *f = lsvd_container_of(io, struct fetch, step);
	struct lsvd_volume *v = f->v;
	uint64_t limit = f->end + UNIT_MAX_BYTES + UNIT_FRAME_BYTES;

	if (f->verdict == -ENODATA && f->need_end > f->end && f->need_end <= limit) {
		extend(f);
		return;
	}
	if (f->verdict == -ENODATA)
		f->verdict = LSVD_E_CORRUPT;
	if (f->verdict == LSVD_E_CORRUPT && f->from_cache) {
		/* Mostly this part of a line was never fetched: it comes to lie beside the others. */
		start_get(f);
		return;
	}
	if (f->verdict == LSVD_E_CORRUPT && !f->tried_again && !f->want.ahead) {
		f->tried_again = true;
		v->stats.bad_gets++;
		get_again(f);
		return;
	}
	if (f->verdict == LSVD_E_CORRUPT)
		report_damage(f);
	else if (!f->req->blob && !f->req->sink)
		count_read(f);
	if (!f->verdict)
		f->req->retries = 0; /* the store does answer */
	answer(f, f->verdict);
	free_fetch(f);
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

static int start_fetch(struct read_req *req, const struct map_extent *extents, unsigned n)
{
	struct lsvd_volume *v = req->v;
	struct fetch *f = lsvd_calloc(1, sizeof *f + n * sizeof *extents);
	struct object_entry *o;

	if (!f)
		return lsvd_fail_plain(-ENOMEM);
	f->req = req;
	f->v = v;
	f->object = extents[0].object;
	f->owner = lsvd_vol_owner_of(v, f->object);
	f->first = extents[0].off;
	f->end = f->first;
	f->n = n;
	for (unsigned i = 0; i < n; i++) {
		f->extents[i] = extents[i];
		f->end = max_u64(f->end, lsvd_vol_reach(v, &extents[i]));
	}
	f->deadline_ms = lsvd_vol_now(v) + v->opt.read_timeout_ms;
	f->backoff_ms = BACKOFF_MIN_MS;
	f->step = (struct io){ .kind = IO_STEP, .prepare = verify, .done = verified };
	f->want = (struct miss_want){ .object = f->object, .ahead = req->ahead, .once = req->sink,
				      .got = got };
	if (needs_scratch(f)) {
		f->scratch = lsvd_malloc(UNIT_MAX_BYTES);
		if (!f->scratch) {
			free_fetch(f);
			return lsvd_fail_plain(-ENOMEM);
		}
	}
	req->left++;
	o = lsvd_object_table_get(&v->objects, f->object);
	if (o)
		o->readers++; /* it is not deleted before answer() */
	if (lsvd_miss_covering(v, f->object, f->first, f->end) || !start_cached(f))
		start_get(f);
	return 0;
}

/* Extents that become one fetch. */
struct batch {
	struct map_extent extents[256];
	unsigned n;
	uint64_t gap;                 /* bytes between two of them, at most */
	uint64_t end;
	struct miss *miss;            /* has, or will have, all of them; NULL: none */
};

static bool joins(const struct batch *b, const struct map_extent *next, uint64_t next_end,
		  const struct miss *miss)
{
	const struct map_extent *first = &b->extents[0];

	return b->n < LSVD_ARRAY_LEN(b->extents) && miss == b->miss &&
	       next->object == first->object && next->off >= first->off &&
	       next->off <= b->end + b->gap && next_end - first->off <= FETCH_MAX_BYTES;
}

static int start_batch(struct read_req *req, struct batch *b)
{
	unsigned n = b->n;

	b->n = 0;
	return n ? start_fetch(req, b->extents, n) : 0;
}

/*
 * A long raw extent is cut, so that one fetch stays bounded and several go in parallel; and where a
 * miss ends that has the beginning of it.
 */
static struct map_extent head_of(struct lsvd_volume *v, const struct map_extent *e)
{
	uint64_t max = FETCH_MAX_BYTES / unit_space(UNIT_RAW_BYTES);
	struct map_extent head = *e;
	uint64_t end;

	if (e->kind != MAP_RAW)
		return head;
	end = lsvd_miss_end(v, e->object, e->off);
	if (end && (end - e->off) / unit_space(UNIT_RAW_BYTES) > 0)
		max = min_u64(max, (end - e->off) / unit_space(UNIT_RAW_BYTES));
	if (e->sub + (uint64_t)e->len > max * BLOCK_SECTORS)
		head.len = (uint32_t)(max * BLOCK_SECTORS) - e->sub;
	return head;
}

static int add_extent(struct read_req *req, struct batch *b, const struct map_extent *e)
{
	uint64_t end = lsvd_vol_reach(req->v, e);
	struct miss *miss = lsvd_miss_covering(req->v, e->object, e->off, end);
	int err = 0;

	if (b->n && !joins(b, e, end, miss))
		err = start_batch(req, b);
	if (!b->n) {
		b->miss = miss;
		b->end = end;
	}
	b->extents[b->n++] = *e;
	b->end = max_u64(b->end, end);
	return err;
}

int lsvd_vol_fetch(struct read_req *req, const struct map_extent *extents, unsigned n)
{
	struct batch b; /* not cleared: it is large, and this is on the way of every read */
	int err = 0;

	b.n = 0;
	b.gap = req->sink ? GC_JOIN_GAP_BYTES : JOIN_GAP_BYTES;
	for (unsigned i = 0; i < n && !err; i++) {
		struct map_extent rest = extents[i];

		for (;;) {
			struct map_extent e = head_of(req->v, &rest);

			err = add_extent(req, &b, &e);
			if (err || e.len == rest.len)
				break;
			rest = lsvd_map_extent_advance(&rest, e.len);
		}
	}
	return err ? err : start_batch(req, &b);
}
