/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_build.c - groups of the local log to the object that a segment is.
 *
 * Groups that memory has forgotten are read back and verified; then the object is built, on a
 * processor's thread. What there is no memory for is tried again when destaging is.
 */
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/hash.h"
#include "volume/vol_cold.h"

/* A group being read back. */
struct vload {
	struct file_io io;
	struct vseg *seg;
	struct wal_group *g;
	struct slice slice;
	uint64_t *plain;         /* the plain hashes of its blocks */
};

/* ------------------------------------------------------------------------------------- building */

void lsvd_vseg_free_build(struct vseg *s)
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
	struct seg_options options = v->seg_opt;
	uint32_t n = 0;

	vseg_for_each_group(g, s) {
		const uint64_t *hashes = plain_hashes(s, g);

		for (uint32_t i = 0; i < g->head.records; i++) {
			const struct wal_record *r = &g->records[i];

			s->recs[n] = (struct seg_record){
				.lba = r->lba,
				.sectors = r->sectors,
				.kind = (uint8_t)seg_kind_of[r->kind],
				.data = wal_data(g) + (size_t)r->block * BLOCK_BYTES,
				.hashes = hashes + r->block,
				.cold = s->recs[n].cold,
			};
			n++;
		}
	}
	options.part = s->cold ? SEG_NOT_COLD : SEG_ALL;
	job->io.err = lsvd_segment_build(&s->built, s->recs, n, v->owner, s->put.place.object,
					 &options);
	if (!job->io.err && s->cold)
		job->io.err = lsvd_vseg_build_cold(s, n);
}

static void build_done(struct io *io)
{
	struct vseg *s = lsvd_container_of(io, struct vseg, build.io);
	struct lsvd_volume *v = s->volume;

	if (io->err && s->cold) {
		lsvd_moved_fini(&s->cold->moved);
		lsvd_segment_free(s->built);
		s->built = NULL;
	}
	if (io->err == -ENOMEM) {
		lsvd_vol_destage_again(v); /* stays BUILDING without a job: that starts it again */
		s->build.run = NULL;
		return;
	}
	lsvd_vseg_free_build(s);
	if (io->err) {
		lsvd_vol_fail(v, LSVD_E_FAILED, "data waiting to be stored was damaged in memory");
		return;
	}
	if (s->cold && !s->cold->moved.built->extent_count)
		lsvd_vseg_free_cold(s); /* all of it was overwritten in the segment itself */
	s->state = VSEG_READY;
	lsvd_vseg_is_built(s);
}

void lsvd_vseg_build(struct vseg *s)
{
	if (!s->recs)
		s->recs = lsvd_calloc(s->records, sizeof *s->recs);
	s->state = VSEG_BUILDING;
	s->build.run = NULL;
	if (!s->recs) {
		lsvd_vol_destage_again(s->volume);
		return;
	}
	lsvd_vseg_find_cold(s);
	s->build.run = run_build;
	s->build.io.kind = IO_JOB;
	s->build.io.done = build_done;
	lsvd_port_start(&s->volume->port, &s->build.io);
}

/* --------------------------------------------------------------------------------- reading back */

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
		lsvd_vseg_build(s);
		return;
	}
	if (s->load_err == -ENOMEM) {
		lsvd_vseg_free_build(s);
		s->load_err = 0;
		lsvd_vol_destage_again(v); /* LOADING without loads: begins again */
		return;
	}
	lsvd_report(LSVD_LOG_ERROR, "volume %s: operations %llu to %llu cannot be read back from "
		    "the local log: %s", v->name, (unsigned long long)s->first_op,
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

void lsvd_vseg_load(struct vseg *s)
{
	unsigned n = 0;

	vseg_for_each_group(g, s)
		n += needs_load(g);
	if (n == 0) {
		lsvd_vseg_build(s);
		return;
	}
	s->loads = lsvd_calloc(n, sizeof *s->loads);
	if (!s->loads) {
		lsvd_vol_destage_again(s->volume);
		return;
	}
	s->loads_left = 1;
	vseg_for_each_group(g, s) {
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
