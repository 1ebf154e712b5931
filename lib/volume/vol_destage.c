/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_destage.c - from the local log to the store: segments, in order; and from their
 * acknowledgement into the store map.
 *
 * Published groups join the open segment. It is sealed when it is full, when it has been quiet for
 * seal_after_ms or ten times as old as that, when somebody waits for the store, or when the log
 * needs its room. Sealed segments take their turn: groups that memory has forgotten are read back
 * and verified, the object is built on a processor's thread, and it is put once the log below its
 * end is durable (the store is never ahead of an intact cache). Acknowledged in order, it is
 * applied to the store map, a few hundred extents at a time so that nobody waits long for the lock;
 * reads do not notice, for the overlay still answers for everything in it.
 *
 * Nothing here gives up: an allocation that fails is tried again a little later, and the store's
 * failures are the log's business.
 */
#include <assert.h>
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/hash.h"
#include "volume/vol_adopt.h"
#include "volume/vol_mirror.h"

#define SEGMENT_RECORDS_MAX 65536u
#define APPLY_EXTENTS 512u
#define ANNOUNCE_EXTENTS 32u
#define INSERT_SECTORS (UINT32_C(1) << 30) /* in one call: more does not fit an extent's length */
#define AGAIN_MS 50u
#define SEAL_AGE_FACTOR 10u
#define QUICK_MS 2000u

/* A group being read back. */
struct vload {
	struct file_io io;
	struct vseg *seg;
	struct wal_group *g;
	struct slice slice;
	uint64_t *plain;         /* the plain hashes of its blocks */
};

static void again(struct lsvd_volume *v);

/* -------------------------------------------------------------------------------- the open segment */

int lsvd_vol_spare_segments(struct lsvd_volume *v, unsigned groups)
{
	while (v->spare_count < groups) {
		struct vseg *s = lsvd_calloc(1, sizeof *s);

		if (!s)
			return lsvd_fail_plain(-ENOMEM);
		list_add_tail(&v->spares, &s->link);
		v->spare_count++;
	}
	return 0;
}

static struct vseg *open_segment(struct lsvd_volume *v)
{
	struct vseg *s;

	if (list_empty(&v->segments))
		return NULL;
	s = list_last(&v->segments, struct vseg, link);
	return s->state == VSEG_OPEN ? s : NULL;
}

static void seal_due(struct io *io);

static void arm_seal(struct lsvd_volume *v, uint64_t at_ms)
{
	if (v->seal_armed || v->opt.seal_after_ms == UINT32_MAX)
		return;
	v->seal_armed = true;
	v->seal_timer.io.kind = IO_TIMER;
	v->seal_timer.io.done = seal_due;
	v->seal_timer.io.owner = v;
	v->seal_timer.at_ms = at_ms;
	lsvd_port_start(&v->port, &v->seal_timer.io);
}

static void seal_due(struct io *io)
{
	struct lsvd_volume *v = io->owner;
	struct vseg *s = open_segment(v);
	uint64_t quiet = v->last_write_ms + v->opt.seal_after_ms, due;

	v->seal_armed = false;
	if (io->err || !s)
		return;
	/* A trickle of writes is never quiet; it is not left local-only either. */
	due = min_u64(quiet, s->opened_ms + (uint64_t)SEAL_AGE_FACTOR * v->opt.seal_after_ms);
	if (due > lsvd_vol_now(v))
		arm_seal(v, due);
	else
		lsvd_vol_seal(v);
}

static struct vseg *begin_segment(struct lsvd_volume *v, struct wal_group *g)
{
	struct vseg *s = list_entry(list_pop(&v->spares), struct vseg, link);

	assert(v->spare_count);
	v->spare_count--;
	s->volume = v;
	s->state = VSEG_OPEN;
	s->first = g;
	s->first_op = g->head.first_op;
	s->opened_ms = lsvd_vol_now(v);
	list_add_tail(&v->segments, &s->link);
	arm_seal(v, s->opened_ms + v->opt.seal_after_ms);
	return s;
}

void lsvd_vol_take_group(struct lsvd_volume *v, struct wal_group *g)
{
	struct vseg *s = open_segment(v);

	if (g->head.records == 0)
		return; /* pads and watermarks: whatever segment follows covers their room */
	if (!s)
		s = begin_segment(v, g);
	s->last = g;
	s->last_op = g->head.first_op + g->head.records - 1;
	s->groups++;
	s->records += g->head.records;
	s->data_bytes += g->head.data_bytes;
	for (uint32_t i = 0; i < g->head.records; i++)
		if (g->records[i].kind == WAL_DATA)
			s->user_bytes += g->records[i].sectors * SECTOR_BYTES;
	v->last_write_ms = lsvd_vol_now(v);
	if (s->data_bytes >= v->opt.segment_bytes || s->records >= SEGMENT_RECORDS_MAX)
		lsvd_vol_seal(v);
}

void lsvd_vol_seal(struct lsvd_volume *v)
{
	struct vseg *s = open_segment(v);

	if (s)
		s->state = VSEG_SEALED;
	lsvd_vol_destage(v);
}

/* ------------------------------------------------------------------------------- groups of a segment */

static struct wal_group *next_group(const struct vseg *s, struct wal_group *g)
{
	return g == s->last ? NULL : list_entry(g->link.next, struct wal_group, link);
}

#define for_each_group(g, s) \
	for (struct wal_group *g = (s)->first; g; g = next_group(s, g))

static void pin_groups(struct vseg *s)
{
	for_each_group(g, s)
		g->refs++;
}

static void unpin_groups(struct vseg *s)
{
	for_each_group(g, s) {
		lsvd_wal_unref(s->volume->wal, g);
		lsvd_wal_forget(s->volume->wal, g);
	}
}

/* Over the budget: what is sealed and not begun is forgotten, the newest first. */
static void save_memory(struct lsvd_volume *v)
{
	struct wal_stats stats;

	lsvd_wal_stats(v->wal, &stats);
	for (struct list *n = v->segments.prev; n != &v->segments; n = n->prev) {
		struct vseg *s = list_entry(n, struct vseg, link);

		if (stats.memory <= v->opt.memory_bytes)
			return;
		if (s->state != VSEG_SEALED)
			continue;
		for_each_group(g, s)
			lsvd_wal_forget(v->wal, g);
		lsvd_wal_stats(v->wal, &stats);
	}
}

/* -------------------------------------------------------------------------------------- building */

static void free_build(struct vseg *s)
{
	for (unsigned i = 0; i < s->load_count; i++)
		lsvd_free(s->loads[i].plain);
	lsvd_free(s->loads);
	lsvd_free(s->recs);
	s->loads = NULL;
	s->recs = NULL;
	s->load_count = 0;
}

static const enum seg_kind seg_kind_of[] = {
	[WAL_DATA] = SEG_RAW,
	[WAL_ZERO] = SEG_ZERO,
	[WAL_HOLE] = SEG_HOLE,
};

static const uint64_t *plain_hashes(const struct vseg *s, const struct wal_group *g)
{
	for (unsigned i = 0; i < s->load_count; i++)
		if (s->loads[i].g == g)
			return s->loads[i].plain;
	return g->hashes;
}

/* Without the lock: the groups are pinned and do not change. */
static void run_build(struct job_io *job)
{
	struct vseg *s = lsvd_container_of(job, struct vseg, build);
	struct lsvd_volume *v = s->volume;
	uint32_t n = 0;

	for_each_group(g, s) {
		const uint64_t *hashes = plain_hashes(s, g);

		for (uint32_t i = 0; i < g->head.records; i++) {
			const struct wal_record *r = &g->records[i];

			s->recs[n++] = (struct seg_record){
				.lba = r->lba,
				.sectors = r->sectors,
				.kind = (uint8_t)seg_kind_of[r->kind],
				.data = wal_data(g) + (size_t)r->block * BLOCK_BYTES,
				.hashes = hashes + r->block,
			};
		}
	}
	job->io.err = lsvd_segment_build(&s->built, s->recs, n, v->owner, s->put.place.object,
					 &v->seg_opt);
}

static void maybe_put(struct vseg *s);

static void build_done(struct io *io)
{
	struct vseg *s = lsvd_container_of(io, struct vseg, build.io);
	struct lsvd_volume *v = s->volume;

	if (io->err == -ENOMEM) {
		again(v); /* stays BUILDING without a job: lsvd_vol_destage() starts it again */
		s->build.run = NULL;
		return;
	}
	free_build(s);
	if (io->err) {
		lsvd_vol_fail(v, LSVD_E_FAILED, "data waiting to be stored was damaged in memory");
		return;
	}
	v->stats.coalesced_bytes += s->built->coalesced_bytes;
	v->stats.compressed_from += s->built->compressed_from;
	v->stats.compressed_to += s->built->compressed_to;
	s->state = VSEG_READY;
	maybe_put(s);
}

static void start_build(struct vseg *s)
{
	if (!s->recs)
		s->recs = lsvd_malloc(s->records * sizeof *s->recs);
	s->state = VSEG_BUILDING;
	s->build.run = NULL;
	if (!s->recs) {
		again(s->volume);
		return;
	}
	s->build.run = run_build;
	s->build.io.kind = IO_JOB;
	s->build.io.done = build_done;
	lsvd_port_start(&s->volume->port, &s->build.io);
}

/* --------------------------------------------------------------------------------------- reading back */

/* Without the lock. */
static void load_conclude(struct io *io)
{
	struct vload *l = lsvd_container_of(io, struct vload, io.io);
	const struct wal_group *g = l->g;
	const uint8_t *data = l->slice.data + g->head.header_bytes;

	for (uint32_t i = 0; i < g->head.records && !io->err; i++) {
		const struct wal_record *r = &g->records[i];

		for (uint32_t b = 0; b < wal_record_blocks(r); b++) {
			const uint8_t *p = data + (size_t)(r->block + b) * BLOCK_BYTES;
			uint32_t n = wal_block_bytes(r, b);

			l->plain[r->block + b] = lsvd_hash(p, n);
			if (!lsvd_wal_verify_hash(g->wal, g, r->block + b, l->plain[r->block + b]))
				io->err = LSVD_E_CORRUPT;
		}
	}
}

static void loads_are_over(struct vseg *s)
{
	struct lsvd_volume *v = s->volume;

	if (!s->load_err) {
		start_build(s);
		return;
	}
	if (s->load_err == -ENOMEM) {
		free_build(s);
		s->load_err = 0;
		again(v); /* LOADING without loads: begins again */
		return;
	}
	lsvd_report(LSVD_LOG_ERROR, "volume %s: operations %llu to %llu cannot be read back from the "
		    "local log: %s", v->name, (unsigned long long)s->first_op,
		    (unsigned long long)s->last_op, lsvd_error_name(s->load_err));
	lsvd_vol_fail(v, LSVD_E_FAILED, "data waiting to be stored is damaged in the local log");
}

static void load_done(struct io *io)
{
	struct vload *l = lsvd_container_of(io, struct vload, io.io);
	struct vseg *s = l->seg;

	if (io->err)
		s->load_err = io->err;
	lsvd_wal_recalled(s->volume->wal, l->g, &l->slice, !io->err);
	if (--s->loads_left == 0)
		loads_are_over(s);
}

static int prepare_load(struct vseg *s, struct vload *l, struct wal_group *g)
{
	struct lsvd_volume *v = s->volume;

	l->seg = s;
	l->g = g;
	l->plain = lsvd_malloc(g->head.data_bytes / BLOCK_BYTES * sizeof *l->plain);
	if (!l->plain)
		return -ENOMEM;
	if (lsvd_wal_recall(v->wal, g, &l->slice) < 0) {
		lsvd_free(l->plain);
		l->plain = NULL;
		return -ENOMEM;
	}
	l->io.io.kind = IO_FILE_READ;
	l->io.io.conclude = load_conclude;
	l->io.io.done = load_done;
	l->io.file = lsvd_wal_file(v->wal);
	l->io.off = lsvd_wal_file_off(v->wal, wal_data_pos(g));
	l->io.buf = l->slice.data + g->head.header_bytes;
	l->io.len = g->head.data_bytes;
	l->io.past_cache = l->io.len >= FILE_LONG_BYTES; /* as it was written */
	return 0;
}

/* A group whose plain hashes or whose data are not in memory. */
static bool needs_load(const struct wal_group *g)
{
	return g->head.data_bytes && (!wal_data(g) || g->bound);
}

static void start_loads(struct vseg *s)
{
	unsigned n = 0;

	for_each_group(g, s)
		n += needs_load(g);
	if (n == 0) {
		start_build(s);
		return;
	}
	s->loads = lsvd_calloc(n, sizeof *s->loads);
	if (!s->loads) {
		again(s->volume);
		return;
	}
	s->loads_left = 1;
	for_each_group(g, s) {
		struct vload *l = &s->loads[s->load_count];

		if (!needs_load(g))
			continue;
		if (prepare_load(s, l, g) < 0) {
			s->load_err = -ENOMEM;
			break;
		}
		s->load_count++;
		s->loads_left++;
		lsvd_port_start(&s->volume->port, &l->io.io);
	}
	if (--s->loads_left == 0)
		loads_are_over(s);
}

/* -------------------------------------------------------------------------------------- storing */

/* At its pace of the last few segments, would the store take a whole log in QUICK_MS? */
bool lsvd_vol_store_is_quick(const struct lsvd_volume *v)
{
	uint64_t began = v->acked_ms[v->acks % LSVD_ARRAY_LEN(v->acked_ms)];
	struct wal_stats s;

	if (v->acks < LSVD_ARRAY_LEN(v->acked_ms))
		return false;
	lsvd_wal_stats(v->wal, &s);
	return (lsvd_vol_now(v) - began) * s.capacity <=
	       QUICK_MS * (uint64_t)LSVD_ARRAY_LEN(v->acked_ms) * v->opt.segment_bytes;
}

static void acked(struct log_put *put, int err)
{
	struct vseg *s = lsvd_container_of(put, struct vseg, put);
	struct lsvd_volume *v = s->volume;

	if (err)
		return; /* fenced, or closing: said elsewhere; the segment stays what it is */
	s->state = VSEG_ACKED;
	v->segments_out--;
	v->acked_ms[v->acks++ % LSVD_ARRAY_LEN(v->acked_ms)] = lsvd_vol_now(v);
	v->stats.data_puts++;
	v->stats.data_put_bytes += put->put_bytes;
	lsvd_vol_apply(v);
	lsvd_vol_destage(v);
	lsvd_vol_delete_dead(v);
}

static void maybe_put(struct vseg *s)
{
	if (s->state != VSEG_READY || !s->durable || s->volume->failed)
		return;
	s->state = VSEG_PUTTING;
	s->put.kind = OBJECT_DATA;
	s->put.segment = s->built;
	s->put.first_op = s->first_op;
	s->put.last_op = s->last_op;
	s->put.acked = acked;
	lsvd_log_put(s->volume->log, &s->put);
}

static void locally_durable(struct wal_ticket *t, int err)
{
	struct vseg *s = lsvd_container_of(t, struct vseg, ticket);

	if (err)
		return;
	s->durable = true;
	maybe_put(s);
}

static void start_segment(struct vseg *s)
{
	struct lsvd_volume *v = s->volume;

	s->state = VSEG_LOADING;
	v->segments_out++;
	pin_groups(s);
	lsvd_log_reserve(v->log, &s->put.place);
	s->ticket.pos = s->last->head.pos + s->last->span;
	s->ticket.done = locally_durable;
	lsvd_wal_sync(v->wal, &s->ticket);
	start_loads(s);
}

/* How many segments may be between the log and the store, by their number and by memory. */
static unsigned window(const struct lsvd_volume *v)
{
	uint64_t by_memory = v->opt.memory_bytes / 2 / v->opt.segment_bytes;

	return (unsigned)max_u64(1, min_u64(v->opt.put_window, by_memory));
}

static void seal_for_room(struct lsvd_volume *v)
{
	struct vseg *s = open_segment(v);

	if (v->want_room && s && list_first(&v->segments, struct vseg, link) == s)
		s->state = VSEG_SEALED;
	v->want_room = false;
}

void lsvd_vol_destage(struct lsvd_volume *v)
{
	if (v->offline)
		save_memory(v);
	if (v->failed || !v->log)
		return;
	seal_for_room(v);
	list_for_each_safe(n, &v->segments) {
		struct vseg *s = list_entry(n, struct vseg, link);

		if (s->state == VSEG_LOADING && !s->loads)
			start_loads(s);
		else if (s->state == VSEG_BUILDING && !s->build.run)
			start_build(s);
		else if (s->state == VSEG_SEALED && v->segments_out < window(v))
			start_segment(s);
	}
	save_memory(v);
}

static void again_due(struct io *io)
{
	struct lsvd_volume *v = io->owner;

	v->again_armed = false;
	if (io->err)
		return;
	lsvd_vol_destage(v);
	lsvd_vol_apply(v);
}

static void again(struct lsvd_volume *v)
{
	if (v->again_armed || v->failed)
		return;
	v->again_armed = true;
	v->again_timer.io.kind = IO_TIMER;
	v->again_timer.io.done = again_due;
	v->again_timer.io.owner = v;
	v->again_timer.at_ms = lsvd_vol_now(v) + AGAIN_MS;
	lsvd_port_start(&v->port, &v->again_timer.io);
}

/* ---------------------------------------------------------------------------- into the store map */

static void gone(void *ctx, const struct map_extent *e)
{
	struct lsvd_volume *v = ctx;

	/* What is of the object itself is there from a try that had no memory: not counted yet. */
	if (e->kind == MAP_ZERO || e->object == v->applying_object)
		return;
	lsvd_object_table_live(&v->objects, e->object, -(int64_t)e->len * (int64_t)SECTOR_BYTES,
			       v->applying_at);
	lsvd_vol_gc_lost(v, lsvd_object_table_get(&v->objects, e->object));
}

static int apply_range(struct lsvd_volume *v, uint64_t object, const struct seg_extent *e)
{
	struct map_extent m = { .lba = e->lba, .object = object, .off = e->off };
	uint64_t left = e->sectors;
	int err;

	m.kind = map_kind_of(e);
	if (m.kind == MAP_ZERO)
		m.object = m.off = 0;
	if (e->kind == SEG_HOLE) {
		/* Above lower volumes what was trimmed must not become what was never written. */
		left = e->lba < v->hides ? min_u64(left, v->hides - e->lba) : 0;
		err = lsvd_store_map_remove(v->map, e->lba + left, e->sectors - left, gone, v);
		if (err)
			return err;
	}
	for (; left; left -= m.len, m.lba += m.len) {
		/* Cut between pages of the map, so that what it has of zeroes stays as large. */
		m.len = (uint32_t)min_u64(left, INSERT_SECTORS - m.lba % STORE_MAP_PAGE_SECTORS);
		err = lsvd_store_map_insert(v->map, &m, gone, v);
		if (err)
			return err;
	}
	return 0;
}

int lsvd_vol_insert(struct lsvd_volume *v, const struct map_extent *e)
{
	return lsvd_store_map_insert(v->map, e, gone, v);
}

int lsvd_vol_apply_extent(struct lsvd_volume *v, uint64_t object, const struct seg_extent *e)
{
	bool data = e->kind == SEG_RAW || e->kind == SEG_UNIT;
	int err;

	err = apply_range(v, object, e);
	if (!err && data)
		lsvd_object_table_live(&v->objects, object, (int64_t)(e->sectors * SECTOR_BYTES),
				       v->applying_at);
	return err;
}

int lsvd_vol_apply_object(struct lsvd_volume *v, uint64_t object, const struct object_entry *entry)
{
	int err = lsvd_object_table_reserve(&v->objects, object);

	if (!err && !lsvd_object_table_get(&v->objects, object))
		lsvd_object_table_set(&v->objects, object, entry);
	v->applying_object = object;
	v->applying_at = entry->born;
	return err;
}

void lsvd_vol_note_is_in(struct lsvd_volume *v, const struct log_place *place, uint64_t bytes)
{
	const struct place at = { lsvd_log_epoch(v->log), place->seq };
	const struct object_entry e = { .epoch = at.epoch, .seq = at.seq, .born = at, .died = at,
					.bytes = (uint32_t)bytes, .home = HOME_NOTE };

	/* Else nobody knows of it until the chain is read again, or somebody looks for orphans. */
	if (!v->encoding && lsvd_object_table_reserve(&v->objects, place->object) == 0)
		lsvd_object_table_set(&v->objects, place->object, &e);
}

void lsvd_vol_applied(struct lsvd_volume *v, uint64_t object)
{
	const struct object_entry *e = lsvd_object_table_get(&v->objects, object);

	/* Of trims and zeroes alone: never of use to the map. */
	if (e->live == 0)
		lsvd_object_table_died(&v->objects, object, v->applying_at);
	v->applying_object = 0;
}

struct event_call {
	struct call call;
	struct lsvd_volume *v;
	struct lsvd_segment_event event;
};

static void tell(struct call *call)
{
	struct event_call *e = lsvd_container_of(call, struct event_call, call);

	e->v->opt.segment_fn(e->v->opt.segment_ctx, &e->event);
	lsvd_free(e);
}

static void queue_event(struct vseg *s)
{
	struct lsvd_volume *v = s->volume;
	struct event_call *e;

	if (!v->opt.segment_fn)
		return;
	e = lsvd_malloc(sizeof *e);
	if (!e) {
		lsvd_report(LSVD_LOG_WARN, "volume %s: no memory to tell of a stored segment",
			    v->name);
		return;
	}
	e->v = v;
	e->call.fn = tell;
	e->event = (struct lsvd_segment_event){
		.epoch = lsvd_log_epoch(v->log), .seq = s->put.place.seq,
		.first_op = s->first_op, .last_op = s->last_op,
		.bytes = s->put.put_bytes, .user_bytes = s->user_bytes,
	};
	lsvd_port_call(&v->port, &e->call);
}

static void segment_is_stored(struct vseg *s)
{
	struct lsvd_volume *v = s->volume;

	v->written += s->user_bytes;
	v->stored_op = s->last_op;
	v->stored_seq = s->put.place.seq;
	v->segments_since_root++;
	v->stats.segments++;
	queue_event(s);
	/* Before anything that may begin another mirror: that one begins with what is noted. */
	lsvd_mirror_note(v, s->last, s->last_op, s->built->header, s->built->header_bytes);
	unpin_groups(s);
	list_del(&s->link);
	lsvd_segment_free(s->built);
	lsvd_free(s);
	lsvd_port_changed(&v->port);
}

/* Tells the map of the next extents before they are looked up: the cache misses then overlap. */
static void announce(struct lsvd_volume *v, const struct segment *built, uint32_t from)
{
	uint32_t end = (uint32_t)min_u64(built->extent_count, (uint64_t)from + ANNOUNCE_EXTENTS);

	for (uint32_t i = from; i < end; i++)
		lsvd_store_map_prefetch(v->map, built->extents[i].lba);
}

/* Some extents of the first acknowledged segment; true when it is all in the map. */
static int apply_some(struct vseg *s, bool *ret_all)
{
	struct lsvd_volume *v = s->volume;
	const struct place at = { lsvd_log_epoch(v->log), s->put.place.seq };
	const struct object_entry entry = { .epoch = at.epoch, .seq = at.seq, .born = at,
					    .bytes = (uint32_t)s->put.put_bytes,
					    .data = (uint32_t)s->built->data_bytes,
					    .written = v->written + s->user_bytes,
					    .sealed = v->written + s->user_bytes,
					    .home = HOME_CHAIN };
	uint32_t end;
	int err;

	assert(!v->frozen);
	s->begun = true;
	err = lsvd_vol_apply_object(v, s->put.place.object, &entry);
	if (err)
		return err;
	end = (uint32_t)min_u64(s->built->extent_count, (uint64_t)s->applied + APPLY_EXTENTS);
	for (; s->applied < end; s->applied++) {
		if (s->applied % ANNOUNCE_EXTENTS == 0)
			announce(v, s->built, s->applied);
		err = lsvd_vol_apply_extent(v, s->put.place.object, &s->built->extents[s->applied]);
		if (err)
			return err;
	}
	*ret_all = s->applied == s->built->extent_count;
	if (*ret_all)
		lsvd_vol_applied(v, s->put.place.object);
	return 0;
}

bool lsvd_vol_is_between(const struct lsvd_volume *v)
{
	const struct vseg *s;

	if (lsvd_vol_adoption_is_between(v))
		return true;
	if (list_empty(&v->segments))
		return false;
	s = list_first(&v->segments, struct vseg, link);
	return s->begun;
}

static void apply_stepped(struct io *io)
{
	struct lsvd_volume *v = io->owner;

	v->applying = false;
	lsvd_vol_apply(v);
}

/* More of it, or the next one, after the lock has been free for a moment. */
static void apply_more(struct lsvd_volume *v)
{
	v->applying = true;
	v->apply_step = (struct io){ .kind = IO_STEP, .done = apply_stepped, .owner = v };
	lsvd_port_start(&v->port, &v->apply_step);
}

/* What garbage collection has moved takes its turn among the segments. */
static void apply_adoption(struct lsvd_volume *v)
{
	if (lsvd_vol_apply_adoption(v) < 0)
		again(v);
	else
		apply_more(v);
	if (!lsvd_vol_adoption_is_between(v))
		lsvd_vol_maybe_checkpoint(v);
}

void lsvd_vol_apply(struct lsvd_volume *v)
{
	struct vseg *s;
	bool all = false;

	if (v->applying || v->frozen)
		return;
	if (lsvd_vol_snapshot_is_next(v)) {
		lsvd_vol_snapshot_apply(v);
		lsvd_vol_maybe_checkpoint(v);
		if (v->frozen)
			return;
	}
	if (lsvd_vol_adoption_is_next(v)) {
		apply_adoption(v);
		return;
	}
	if (list_empty(&v->segments))
		return;
	s = list_first(&v->segments, struct vseg, link);
	if (s->state != VSEG_ACKED)
		return;
	if (apply_some(s, &all) < 0) {
		again(v);
		return;
	}
	if (all) {
		segment_is_stored(s);
		lsvd_vol_stored_more(v);
		lsvd_vol_maybe_checkpoint(v);
		lsvd_vol_form_groups(v);
		lsvd_vol_delete_dead(v); /* it was stored before the newest root, and no other comes */
		lsvd_vol_gc_poke(v);
	}
	apply_more(v);
}

/* Closing: nothing of them is in the world any more. */
void lsvd_vol_drop_segments(struct lsvd_volume *v)
{
	struct list *n;

	while ((n = list_pop(&v->segments))) {
		struct vseg *s = list_entry(n, struct vseg, link);

		free_build(s);
		lsvd_segment_free(s->built);
		lsvd_free(s);
	}
	while ((n = list_pop(&v->spares)))
		lsvd_free(list_entry(n, struct vseg, link));
}
