/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_fetch.c - the bytes of a fetch: from the read cache, or by a ranged GET.
 *
 * Its states:
 *
 *   CACHED ----> UNPACK -> done           all its lines are in the read cache, and nobody is
 *     |                                   fetching them
 *     | a unit does not verify, or a read fails
 *     v
 *   MISS ------> UNPACK -> done, and the bytes fill the read cache
 *     | the store is away, full or denies access: again, with growing pauses, until read_timeout_ms
 *     | a unit is longer than was guessed: again, to its end
 *     | a unit does not verify, or is cut short: once again, then LSVD_E_CORRUPT for this part
 *     | the object is not there
 *     v
 *   LOOK ------> done                     by a newer writer, perhaps: LSVD_E_FENCED; else damage,
 *                                         if the store can say so: before that it is away
 *
 * A miss (vol_miss.h) is a GET that others may share. What is read ahead is not tried again: who
 * needs it will.
 *
 * Invariants:
 *  (1) A fetch ends once, with finish(); its object's `readers` counts it until then, so the
 *      object is not deleted.
 *  (2) It is in one of these at a time: the cache's reads, the miss, the step, the timer, the look.
 */
#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/err.h"
#include "format/fmt_key.h"
#include "rcache/rcache.h"
#include "segment/unit.h"
#include "volume/vol_fetch.h"
#include "volume/vol_line.h"

#define BACKOFF_MIN_MS 50u
#define BACKOFF_MAX_MS 2000u
#define GC_RETRIES 32u          /* for all of a round, with no answer in between */

static void start_get(struct fetch *f);

void lsvd_vol_object_key(char key[KEY_CAP], const struct lsvd_volume *v,
			 const struct object_entry *e)
{
	const struct uuid *u = e->ancestor ? &v->ancestry->list[e->ancestor - 1].volume : &v->uuid;

	if (lsvd_object_is_in_chain(e))
		lsvd_key_chain(key, u, e->epoch, e->seq);
	else
		lsvd_key_free(key, u, e->epoch, e->seq);
}

/* ------------------------------------------------------------------------------- the end of it */

void lsvd_vol_read_is_over(struct lsvd_volume *v, uint64_t object)
{
	struct object_entry *o = lsvd_object_table_get(&v->objects, object);

	if (o && --o->readers == 0 && o->ancestor)
		lsvd_port_changed(&v->port); /* a clone that leaves its base waits for that */
}

static void free_fetch(struct fetch *f)
{
	lsvd_miss_leave(&f->want, f->verdict);
	lsvd_free(f->line_ios);
	lsvd_free(f->scratch);
	lsvd_free(f->buf);
	lsvd_free(f);
}

static void finish(struct fetch *f, int err)
{
	struct read_req *req = f->req;

	f->req = NULL;
	if (err && !req->err) /* the first is the request's */
		req->bad_object = f->object;
	lsvd_vol_read_is_over(f->v, f->object);
	lsvd_vol_read_part_done(req, err);
	free_fetch(f);
}

/* ------------------------------------------------------------------------------ the read cache */

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

/* -------------------------------------------------------------------------------- again, later */

static void again_due(struct io *io)
{
	struct fetch *f = lsvd_container_of(io, struct fetch, timer.io);

	if (io->err || f->v->closing) {
		f->verdict = LSVD_E_UNAVAILABLE;
		finish(f, LSVD_E_UNAVAILABLE);
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

/*
 * A round of garbage collection reads hundreds of parts, and is nothing if one is lacking; there
 * will be another round. Each of them insisting for as long as a user's read would be a load on a
 * store in trouble.
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

/* ----------------------------------------------------------------------- what is not to be had */

/* The object's name, for people: whoever mends it has to know whose it is. */
#define NAME_CAP (KEY_CAP + UUID_TEXT_LEN + 64u)
static const char *name_of(const struct fetch *f, char name[NAME_CAP])
{
	const struct object_entry *o = lsvd_object_table_get(&f->v->objects, f->object);
	char key[KEY_CAP], id[UUID_TEXT_LEN + 1];

	name[0] = '\0';
	if (!o)
		return name;
	lsvd_vol_object_key(key, f->v, o);
	lsvd_uuid_format(lsvd_vol_uuid_of(f->v, f->object), id);
	if (o->ancestor) /* fits, both */
		(void)snprintf(name, NAME_CAP, "%s (of its base, volume %s: check that one)", key,
			       id);
	else
		(void)snprintf(name, NAME_CAP, "%s", key);
	return name;
}

static void report_failed(const struct fetch *f, int err)
{
	char name[NAME_CAP];

	if (!f->want.ahead)
		lsvd_report(LSVD_LOG_ERROR, "volume %s: object %s could not be read: %s",
			    f->v->name, name_of(f, name), lsvd_error_name(err));
}

static void report_damage(const struct fetch *f)
{
	char name[NAME_CAP];

	if (f->want.ahead)
		return;
	f->v->stats.corrupt++;
	lsvd_report(LSVD_LOG_ERROR, "volume %s: object %s is damaged in [%llu, %llu): sector %llu "
		    "and following", f->v->name, name_of(f, name), (unsigned long long)f->first,
		    (unsigned long long)f->end, (unsigned long long)f->extents[0].lba);
}

static void missing(struct fetch *f)
{
	struct lsvd_volume *v = f->v;
	char name[NAME_CAP];

	v->stats.corrupt++;
	v->stats.missing_objects++;
	lsvd_report(LSVD_LOG_ERROR, "volume %s: object %s is not in the store: sector %llu and "
		    "following cannot be read", v->name, name_of(f, name),
		    (unsigned long long)f->extents[0].lba);
	finish(f, LSVD_E_CORRUPT);
}

/* Not called missing: a newer writer may have removed it, or the volume is about to close. */
static void undecided(struct fetch *f)
{
	char name[NAME_CAP];

	if (!f->v->closing)
		lsvd_report(LSVD_LOG_ERROR, "volume %s: object %s is not in the store, which does "
			    "not say now whether a newer writer has removed it", f->v->name,
			    name_of(f, name));
	finish(f, LSVD_E_UNAVAILABLE);
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
	finish(f, err);
}

/*
 * What a reader reads is what was there when it was opened; a writer does not wait for it, and
 * deletes what neither it nor a snapshot needs. To open again helps, if that is why.
 */
static void deleted_meanwhile(struct fetch *f)
{
	struct lsvd_volume *v = f->v;
	char name[NAME_CAP];

	v->stats.missing_objects++;
	lsvd_report(LSVD_LOG_ERROR, "volume %s: object %s is not in the store any more: it was "
		    "deleted after the volume was opened read-only, or is lost; open it again",
		    v->name, name_of(f, name));
	finish(f, -ESTALE);
}

/* A writer's objects are removed by newer writers only: is there one? */
static void not_there(struct fetch *f)
{
	struct lsvd_volume *v = f->v;

	if (f->want.ahead) {
		finish(f, LSVD_E_CORRUPT); /* who needs it will look */
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
	finish(f, err == LSVD_E_CONFIG ? LSVD_E_UNAVAILABLE : err);
}

/* ----------------------------------------------------------------------------------------- GET */

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
		finish(f, LSVD_E_CORRUPT);
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

/* ----------------------------------------------------------------- unpacked, and the beginning */

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
		/* Mostly this part of a line was never fetched: it joins the others there. */
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
	finish(f, f->verdict);
}

/* Only what is compressed has to be unpacked somewhere. */
static bool needs_scratch(const struct fetch *f)
{
	for (unsigned i = 0; i < f->n; i++)
		if (f->extents[i].kind == MAP_UNIT)
			return true;
	return false;
}

/* NULL: no memory. */
static struct fetch *new_fetch(struct read_req *req, const struct map_extent *extents, unsigned n)
{
	struct lsvd_volume *v = req->v;
	struct fetch *f = lsvd_calloc(1, sizeof *f + n * sizeof *extents);

	if (!f)
		return NULL;
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
	f->step = (struct io){ .kind = IO_STEP, .prepare = lsvd_fetch_unpack, .done = verified };
	f->want = (struct miss_want){ .object = f->object, .ahead = req->ahead, .once = req->sink,
				      .got = got };
	if (!needs_scratch(f))
		return f;
	f->scratch = lsvd_malloc(UNIT_MAX_BYTES);
	if (f->scratch)
		return f;
	free_fetch(f);
	return NULL;
}

int lsvd_fetch_start(struct read_req *req, const struct map_extent *extents, unsigned n)
{
	struct lsvd_volume *v = req->v;
	struct fetch *f = new_fetch(req, extents, n);
	struct object_entry *o;

	if (!f)
		return lsvd_fail_plain(-ENOMEM);
	req->left++;
	o = lsvd_object_table_get(&v->objects, f->object);
	if (o)
		o->readers++; /* it is not deleted before finish() */
	if (lsvd_miss_covering(v, f->object, f->first, f->end) || !start_cached(f))
		start_get(f);
	return 0;
}
