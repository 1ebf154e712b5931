/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_read.c - reads: a range is resolved into parts under the lock and answered without it.
 *
 * The overlay is asked first, the store map where it has nothing. A part lies in memory (its group
 * has not been stored yet), in the local log, in objects (vol_batch.c), or nowhere: zeroes. Groups
 * that are read from are pinned, so that neither their memory nor their ring space is reused
 * meanwhile. Memory parts and zeroes are answered in one step on this thread; a part in the log is
 * one pread and is verified against the hashes of its blocks before a byte of it counts.
 *
 * Where a page of the store map is away the read stops until it is here, and goes on from there,
 * not from the beginning: however few pages there is room for, each that comes brings it further.
 */
#include <assert.h>
#include <errno.h>

#include "base/alloc.h"
#include "base/err.h"
#include "volume/volume_internal.h"

/* A part of the request that memory answers: a copy, or zeroes. */
struct memory_part {
	struct wal_group *g;         /* NULL: zeroes */
	const uint8_t *from;
	uint64_t off, len;           /* bytes of the request */
};

/* A part that one read of the log answers. */
struct log_part {
	struct file_io io;
	struct read_req *req;
	struct wal_group *g;
	uint64_t off, len;           /* bytes of the request */
	uint32_t skip;               /* bytes before the part in what is read */
	uint32_t block;              /* first block read */
	uint8_t *bounce;             /* NULL: read straight into the user's memory */
};

#define STEP_PARTS 32u

/* The parts that memory answers, some at a time: a step without the lock. */
struct memory_step {
	struct io io;
	struct read_req *req;
	unsigned count;
	struct memory_part parts[STEP_PARTS];
};

static void end_request(struct read_req *req)
{
	struct lsvd_volume *v = req->v;
	struct lsvd_io *io = req->io;
	int err = req->err;

	if (req->done) {
		req->done(req);
		return;
	}
	lsvd_free(req);
	lsvd_vol_end(v, io, err);
}

/* lock held */
void lsvd_vol_read_part_done(struct read_req *req, int err)
{
	if (err && !req->err)
		req->err = err;
	if (--req->left == 0)
		end_request(req);
}

/* --------------------------------------------------------------------------------- memory parts */

static void step_prepare(struct io *io)
{
	struct memory_step *s = lsvd_container_of(io, struct memory_step, io);
	const struct lsvd_io *op = s->req->io;

	for (unsigned i = 0; i < s->count; i++) {
		const struct memory_part *p = &s->parts[i];

		if (p->g)
			lsvd_iov_to(op->iov, op->iovcnt, p->off, p->from, p->len);
		else
			lsvd_iov_zero(op->iov, op->iovcnt, p->off, p->len);
	}
}

static void step_done(struct io *io)
{
	struct memory_step *s = lsvd_container_of(io, struct memory_step, io);
	struct read_req *req = s->req;
	struct lsvd_volume *v = req->v;

	for (unsigned i = 0; i < s->count; i++) {
		if (s->parts[i].g) {
			v->stats.read_memory_bytes += s->parts[i].len;
			lsvd_wal_unref(v->wal, s->parts[i].g);
		} else {
			v->stats.read_zero_bytes += s->parts[i].len;
		}
	}
	lsvd_free(s);
	lsvd_vol_read_part_done(req, 0); /* memory does not fail */
}

static void start_step(struct read_req *req, struct memory_step **step)
{
	struct memory_step *s = *step;

	*step = NULL;
	if (!s)
		return;
	req->left++;
	lsvd_port_start(&req->v->port, &s->io);
}

static int add_memory(struct read_req *req, struct memory_step **step, struct wal_group *g,
		      const uint8_t *from, uint64_t off, uint64_t len)
{
	struct memory_step *s = *step;

	if (req->prefetch)
		return 0;
	if (s && s->count == STEP_PARTS) {
		start_step(req, step);
		s = NULL;
	}
	if (!s) {
		s = lsvd_malloc(sizeof *s);
		if (!s)
			return lsvd_fail_plain(-ENOMEM);
		s->io = (struct io){ .kind = IO_STEP, .prepare = step_prepare, .done = step_done };
		s->req = req;
		s->count = 0;
		*step = s;
	}
	if (g)
		g->refs++;
	s->parts[s->count++] = (struct memory_part){ g, from, off, len };
	return 0;
}

/* ------------------------------------------------------------------------------------ log parts */

/* The record of a group that has data block `block`. */
static const struct wal_record *record_of(const struct wal_group *g, uint32_t block)
{
	uint32_t lo = 0, hi = g->head.records;

	/* The last record that begins at or before the block; of records without data at the same
	 * place the one with data is the last but those after it. */
	while (hi - lo > 1) {
		uint32_t mid = (lo + hi) / 2;

		if (g->records[mid].block <= block)
			lo = mid;
		else
			hi = mid;
	}
	while (lo > 0 && wal_record_blocks(&g->records[lo]) == 0)
		lo--;
	return &g->records[lo];
}

static void log_part_conclude(struct io *io)
{
	struct log_part *p = lsvd_container_of(io, struct log_part, io.io);
	const struct lsvd_io *op = p->req->io;
	const struct wal_record *r = record_of(p->g, p->block);
	const uint8_t *at = p->io.buf;
	uint64_t left = p->io.len;

	if (io->err)
		return;
	for (uint32_t b = p->block; left; b++) {
		uint32_t n = wal_block_bytes(r, b - r->block);

		if (!lsvd_wal_verify(p->g->wal, p->g, b, at, n)) {
			io->err = lsvd_fail(LSVD_E_CORRUPT, "volume %s: local log at %llu: block "
					    "of sector %llu does not verify", p->req->v->name,
					    (unsigned long long)wal_data_pos(p->g) +
					    b * BLOCK_BYTES,
					    (unsigned long long)(r->lba + (b - r->block) *
								 BLOCK_SECTORS));
			return;
		}
		at += n;
		left -= n;
	}
	if (p->bounce)
		lsvd_iov_to(op->iov, op->iovcnt, p->off, p->bounce + p->skip, p->len);
}

static void log_part_done(struct io *io)
{
	struct log_part *p = lsvd_container_of(io, struct log_part, io.io);
	struct read_req *req = p->req;
	struct lsvd_volume *v = req->v;

	v->stats.read_log_bytes += p->len;
	if (io->err == LSVD_E_CORRUPT) {
		v->stats.corrupt++;
		lsvd_report(LSVD_LOG_ERROR, "volume %s: the local log is damaged at sector %llu",
			    v->name, (unsigned long long)((req->io->off + p->off) / SECTOR_BYTES));
	}
	lsvd_wal_unref(v->wal, p->g);
	lsvd_free(p->bounce);
	int err = io->err;

	lsvd_free(p);
	lsvd_vol_read_part_done(req, err);
}

/* Where the part is read to: the user's own memory if it can be verified there. */
static int choose_buffer(struct log_part *p)
{
	const struct lsvd_io *op = p->req->io;

	if (p->skip == 0 && p->len == p->io.len) {
		p->io.buf = lsvd_iov_piece(op->iov, op->iovcnt, p->off, (size_t)p->len);
		if (p->io.buf)
			return 0;
	}
	p->bounce = lsvd_aligned_alloc(BLOCK_BYTES, round_up(p->io.len, BLOCK_BYTES));
	if (!p->bounce)
		return lsvd_fail_plain(-ENOMEM);
	p->io.buf = p->bounce;
	return 0;
}

static int add_log(struct read_req *req, struct wal_group *g, uint64_t at, uint64_t off,
		   uint64_t len)
{
	struct lsvd_volume *v = req->v;
	struct log_part *p;
	const struct wal_record *r;
	uint64_t record_end, end;
	int err;

	if (req->prefetch)
		return 0;
	p = lsvd_calloc(1, sizeof *p);
	if (!p)
		return lsvd_fail_plain(-ENOMEM);
	p->req = req;
	p->g = g;
	p->off = off;
	p->len = len;
	p->block = (uint32_t)(at / BLOCK_BYTES);
	p->skip = (uint32_t)(at % BLOCK_BYTES);
	r = record_of(g, p->block);
	record_end = (uint64_t)r->block * BLOCK_BYTES + r->sectors * SECTOR_BYTES;
	end = min_u64(round_up(at + len, BLOCK_BYTES), record_end);
	p->io.file = lsvd_wal_file(v->wal);
	p->io.off = lsvd_wal_file_off(v->wal, wal_data_pos(g) + (uint64_t)p->block * BLOCK_BYTES);
	p->io.len = end - (uint64_t)p->block * BLOCK_BYTES;
	err = choose_buffer(p);
	if (err) {
		lsvd_free(p);
		return err;
	}
	p->io.io.kind = IO_FILE_READ;
	p->io.io.conclude = log_part_conclude;
	p->io.io.done = log_part_done;
	g->refs++;
	req->left++;
	lsvd_port_start(&v->port, &p->io.io);
	return 0;
}

/* ------------------------------------------------------------------------------------ resolving */

static int add_overlay(struct read_req *req, struct memory_step **step, const struct extent *e,
		       uint64_t lba, uint64_t sectors)
{
	struct lsvd_volume *v = req->v;
	uint64_t off = lba * SECTOR_BYTES - req->io->off, len = sectors * SECTOR_BYTES;
	struct wal_group *g;
	uint64_t pos, at;

	if (e->kind != EXTENT_DATA)
		return add_memory(req, step, NULL, NULL, off, len);
	pos = (e->value + (lba - e->lba)) * SECTOR_BYTES;
	g = lsvd_wal_group_at(v->wal, pos);
	at = pos - wal_data_pos(g);
	if (wal_data(g))
		return add_memory(req, step, g, wal_data(g) + at, off, len);
	return add_log(req, g, at, off, len);
}

#define FETCH_EXTENTS 64u

/* The extents of objects that a stretch of the range needs, gathered for one fetch. */
struct stretch {
	struct map_extent extents[FETCH_EXTENTS];
	unsigned n;
};

static int fetch_stretch(struct read_req *req, struct stretch *s)
{
	unsigned n = s->n;

	s->n = 0;
	if (n == 0)
		return 0;
	return lsvd_vol_fetch(req, s->extents, n);
}

#define MAP_NOTHING 4u /* not of the map: a hole */

/*
 * What the store map says of [lba, end): a hole up to where the next extent begins, or an extent
 * cut to the range. Returns where it ends.
 */
static uint64_t next_stored(const struct lsvd_volume *v, uint64_t lba, uint64_t end,
			    struct map_extent *ret)
{
	struct map_extent e;
	bool found = lsvd_store_map_find(v->map, lba, &e);

	if (!found || e.lba > lba) {
		*ret = (struct map_extent){ .lba = lba, .kind = MAP_NOTHING };
		return found ? min_u64(e.lba, end) : end;
	}
	if (e.lba < lba)
		e = lsvd_map_extent_advance(&e, (uint32_t)(lba - e.lba));
	e.len = (uint32_t)min_u64(e.len, end - lba);
	*ret = e;
	return lba + e.len;
}

/* What was never written: what a lower volume shows there, or zeroes. */
static int add_hole(struct read_req *req, struct memory_step **step, uint64_t lba, uint64_t end)
{
	int err = 0;

	for (uint64_t stop; lba < end && !err; lba = stop) {
		struct lsvd_volume *w = lsvd_vol_showing(req->v, lba);

		stop = w ? min_u64(end, w->shows) : end;
		if (w)
			err = lsvd_vol_read_lower(req, w, lba, stop);
		else
			err = add_memory(req, step, NULL, NULL, lba * SECTOR_BYTES - req->io->off,
					 (stop - lba) * SECTOR_BYTES);
	}
	return err;
}

/* A range the overlay knows nothing of, and whose pages are here. */
static int add_known(struct read_req *req, struct memory_step **step, uint64_t lba, uint64_t end)
{
	struct stretch s = { .n = 0 };
	struct map_extent e;
	uint64_t stop;
	int err = 0;

	for (; lba < end && !err; lba = stop) {
		stop = next_stored(req->v, lba, end, &e);
		if (e.kind >= MAP_ZERO || s.n == FETCH_EXTENTS)
			err = fetch_stretch(req, &s);
		if (e.kind < MAP_ZERO)
			s.extents[s.n++] = e;
		else if (!err && e.kind == MAP_NOTHING && req->v->below)
			err = add_hole(req, step, lba, stop);
		else if (!err)
			err = add_memory(req, step, NULL, NULL, lba * SECTOR_BYTES - req->io->off,
					 (stop - lba) * SECTOR_BYTES);
	}
	return err ? err : fetch_stretch(req, &s);
}

/* 1: only up to a page that is away; req->wait and req->next say so. */
static int add_stored(struct read_req *req, struct memory_step **step, uint64_t lba, uint64_t end)
{
	uint64_t page = lsvd_vol_away(req->v, lba, end);
	int err;

	if (page == UINT64_MAX)
		return add_known(req, step, lba, end);
	req->wait.page = page;
	req->next = max_u64(lba, page * STORE_MAP_PAGE_SECTORS);
	err = add_known(req, step, lba, req->next);
	return err ? err : 1;
}

static uint64_t end_of(const struct lsvd_io *io)
{
	return (io->off + io->len) / SECTOR_BYTES;
}

static int resolve(struct read_req *req, struct memory_step **step)
{
	struct lsvd_volume *v = req->v;
	uint64_t lba = req->next, end = end_of(req->io);
	struct extent e;
	int err = 0;

	while (lba < end && !err) {
		uint64_t stop;

		if (!lsvd_extent_map_find(v->overlay, lba, &e) || e.lba >= end) {
			err = add_stored(req, step, lba, end);
			break;
		}
		if (e.lba > lba) {
			err = add_stored(req, step, lba, e.lba);
			lba = e.lba;
			continue;
		}
		stop = min_u64(e.lba + e.len, end);
		err = add_overlay(req, step, &e, lba, stop - lba);
		lba = stop;
	}
	return err;
}

static void go_on(struct read_req *req)
{
	struct memory_step *step = NULL;
	int err = resolve(req, &step);

	start_step(req, &step);
	if (err > 0) {
		err = lsvd_vol_want_page(req->v, &req->wait);
		if (!err) {
			lsvd_vol_want_soon(req->v, req->next, end_of(req->io), PAGES_SOON);
			return;
		}
	}
	if (!req->prefetch)
		lsvd_vol_ahead_read(req->v, req->io->off / SECTOR_BYTES,
				    req->io->len / SECTOR_BYTES, req->missed);
	lsvd_vol_read_part_done(req, err);
}

static void page_came(struct page_wait *w, int err)
{
	struct read_req *req = lsvd_container_of(w, struct read_req, wait);

	if (err)
		lsvd_vol_read_part_done(req, err);
	else
		go_on(req);
}

void lsvd_vol_read_begin(struct read_req *req)
{
	req->left = 1;
	req->next = req->io->off / SECTOR_BYTES;
	req->wait.done = page_came;
	go_on(req);
}

void lsvd_vol_read(struct lsvd_volume *v, struct lsvd_io *io)
{
	struct read_req *req;

	if (io->len == 0) {
		lsvd_vol_end(v, io, 0);
		return;
	}
	req = lsvd_malloc(sizeof *req);
	if (!req) {
		lsvd_vol_end(v, io, lsvd_fail_plain(-ENOMEM));
		return;
	}
	*req = (struct read_req){ .v = v, .io = io, .prefetch = io->kind == LSVD_IO_PREFETCH };
	lsvd_vol_read_begin(req);
}
