/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_ahead.c - read-ahead that adapts: it begins with the second read of a row that missed,
 * doubles its window from 64 KiB each time the reader comes halfway to its end, and ends with the
 * row.
 *
 * A place (struct ahead_stream) is first only a guess: some read missed and ended there. If the
 * very next read to begin there comes, it is a stream. Reads of a stream may come a little out of
 * order, as several connections or a deep queue deliver them. A read that goes on from nowhere only
 * takes the place that has been quiet for longest: random access reads nothing ahead.
 *
 * What is read ahead goes the way of a prefetch, through the maps into the misses (vol_miss.h), and
 * from there into the read cache; without one it is held in memory for a while. A stream that finds
 * everything in the cache already has nothing to gain: it lives on credit, which each miss renews,
 * and when that is used up it only watches. Bounded: by the window, by the places, and by the
 * memory that misses may hold. Nobody waits for it: its requests are queued after those of the read
 * that set it off, and misses give way to those that somebody needs.
 */
#include "volume/vol_ahead.h"

#include "base/alloc.h"
#include "volume/volume_internal.h"

#define WINDOW_LEAST (65536u / SECTOR_BYTES)
#define PIECE_SECTORS (MISS_MAX_BYTES / SECTOR_BYTES)
#define CREDIT_SECTORS (16u * PIECE_SECTORS)
/* How far before and beyond the expected place a read may be to belong to a stream. */
#define LATE_SECTORS PIECE_SECTORS
#define EARLY_SECTORS (PIECE_SECTORS / 4)

struct ahead_req {
	struct read_req req;
	struct lsvd_io io;
	unsigned place;
	uint64_t born;
};

void lsvd_vol_ahead_init(struct lsvd_volume *v, uint32_t bytes)
{
	/* A store in memory answers before anything could be read ahead of it. */
	bool instant = v->world->obj->caps(v->world) & LSVD_STORE_CAP_INLINE;

	v->ahead = (struct ahead){ .most = instant || bytes == UINT32_MAX ? 0
							   : bytes / SECTOR_BYTES };
}

/* --------------------------------------------------------------------------------------- places */

static bool goes_on(const struct ahead_stream *s, uint64_t lba, uint64_t sectors)
{
	if (!s->next)
		return false;
	if (!s->window)
		return lba == s->next;
	return lba <= s->next + EARLY_SECTORS && lba + sectors + LATE_SECTORS > s->next;
}

static struct ahead_stream *find(struct ahead *a, uint64_t lba, uint64_t sectors)
{
	for (unsigned i = 0; i < AHEAD_STREAMS; i++)
		if (goes_on(&a->streams[i], lba, sectors))
			return &a->streams[i];
	return NULL;
}

/* The place that has been quiet for longest is given to a new guess. */
static void begin(struct ahead *a, uint64_t next)
{
	struct ahead_stream *s = &a->streams[0];

	for (unsigned i = 1; i < AHEAD_STREAMS; i++)
		if (a->streams[i].used < s->used)
			s = &a->streams[i];
	if (s->window)
		a->active--;
	a->clock++;
	*s = (struct ahead_stream){ .next = next, .used = a->clock, .born = a->clock };
}

/* -------------------------------------------------------------------------------------- reading */

static void ahead_done(struct read_req *req)
{
	struct ahead_req *r = lsvd_container_of(req, struct ahead_req, req);
	struct ahead_stream *s = &req->v->ahead.streams[r->place];
	uint64_t sectors = r->io.len / SECTOR_BYTES;

	if (s->born == r->born && !req->missed)
		s->credit -= min_u64(s->credit, sectors);
	lsvd_free(r);
}

static bool start_piece(struct lsvd_volume *v, struct ahead_stream *s, uint64_t end)
{
	struct ahead_req *r = lsvd_calloc(1, sizeof *r);

	if (!r)
		return false;
	r->place = (unsigned)(s - v->ahead.streams);
	r->born = s->born;
	r->io = (struct lsvd_io){ .kind = LSVD_IO_PREFETCH, .off = s->done * SECTOR_BYTES,
				  .len = (end - s->done) * SECTOR_BYTES };
	r->req = (struct read_req){ .v = v, .io = &r->io, .prefetch = true, .ahead = true,
				    .done = ahead_done };
	s->done = end;
	lsvd_vol_read_begin(&r->req);
	return true;
}

/*
 * The end of the next piece: whole pieces, so that streams of any stride ask for the same ranges.
 */
static uint64_t piece_end(const struct ahead_stream *s, uint64_t end)
{
	return min_u64(end, (s->done / PIECE_SECTORS + 1) * PIECE_SECTORS);
}

static void read_ahead(struct lsvd_volume *v, struct ahead_stream *s)
{
	uint64_t end;

	if (s->done < s->next)
		s->done = s->next;
	if (s->credit == 0 || s->done - s->next > s->window / 2)
		return;
	s->window = min_u64(2 * s->window, v->ahead.most);
	end = min_u64(s->next + s->window, v->sectors);
	while (s->done < end && lsvd_miss_ahead_room(v) >= MISS_MAX_BYTES)
		if (!start_piece(v, s, piece_end(s, end)))
			return;
}

void lsvd_vol_ahead_read(struct lsvd_volume *v, uint64_t lba, uint64_t sectors, bool missed)
{
	struct ahead *a = &v->ahead;
	struct ahead_stream *s;

	if (!a->most || v->closing || (!missed && !a->active))
		return;
	s = find(a, lba, sectors);
	if (!s) {
		if (missed)
			begin(a, lba + sectors);
		return;
	}
	s->used = ++a->clock;
	if (missed)
		s->credit = CREDIT_SECTORS;
	if (!s->window) {
		s->window = max_u64(WINDOW_LEAST, sectors) / 2; /* doubled before it is used */
		a->active++;
	}
	s->next = max_u64(s->next, lba + sectors);
	read_ahead(v, s);
}
