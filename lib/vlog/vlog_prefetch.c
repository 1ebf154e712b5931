/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_prefetch.c - values brought into the cache while nobody waits.
 *
 * A request is on its own: it holds its memory and its segment's description until it is over, and
 * verifies and hands over what it read on the thread that ended it. Nobody hears of what goes
 * wrong. At most BYTES_OUT_MAX are on their way; what is beyond is not asked for.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "vlog/vlog_internal.h"

#define BYTES_OUT_MAX (16u << 20)
#define AFTER_BYTES_MAX (1u << 20)
#define GUESS_BYTES_MIN 4096u

struct prefetch {
	struct lsvd_vlog *log;
	struct vlog_segment *segment;
	struct obj_io io;
	unsigned records;        /* at most so many */
	unsigned inserted;
	uint8_t buf[];
};

/* One record at `p`; its length, or 0: none, or not all of it is there. */
static uint64_t insert_record(struct prefetch *f, const uint8_t *p, uint64_t offset, size_t len)
{
	struct lsvd_vlog *log = f->log;
	const struct vlog_place at = { log->owner, f->segment->id, offset };
	struct lsvd_vlog_handle h = { f->segment->id, offset, 0 };
	struct lsvd_vlog_value *v;
	struct vlog_record r;

	if (len < VLOG_RECORD_HEAD ||
	    lsvd_vlog_record_decode(&r, p, 0, &at, f->io.key) < 0 || vlog_record_bytes(&r) > len)
		return 0;
	h.size = vlog_record_bytes(&r);
	if (lsvd_vlog_record_verify(&r, p, h.size, &at, NULL, f->io.key) < 0)
		return 0;
	if (lsvd_vlog_open_value(log, &r, p, NULL, f->io.key, &v) == 0) {
		lsvd_vlog_cache_bring(log->cache, log->id, &h, v);
		lsvd_vlog_value_unref(v);
		f->inserted++;
	}
	return h.size;
}

/* Without the lock, on the thread that ended the request. */
static void take_records(struct io *io)
{
	struct prefetch *f = lsvd_container_of(io, struct prefetch, io.io);
	size_t at = 0;

	for (unsigned i = 0; io->err == 0 && i < f->records; i++) {
		uint64_t n = insert_record(f, f->buf + at, f->io.off + at, f->io.ret_len - at);

		if (!n)
			break;
		at += n;
	}
}

static void prefetched(struct io *io)
{
	struct prefetch *f = lsvd_container_of(io, struct prefetch, io.io);
	struct lsvd_vlog *log = f->log;

	log->prefetching -= f->io.len;
	log->stats.prefetches += f->inserted;
	log->stats.prefetch_failures += f->inserted == 0;
	log->stats.get_requests++;
	log->stats.get_request_bytes += f->io.ret_len;
	f->segment->readers--;
	lsvd_vlog_settle_segment(f->segment);
	lsvd_free(f);
}

/* lock held */
static void start(struct lsvd_vlog *log, struct vlog_segment *s, uint64_t off, uint64_t len,
		  unsigned records)
{
	struct prefetch *f;

	if (off >= s->footer_at || log->prefetching + len > BYTES_OUT_MAX)
		return;
	len = min_u64(len, s->footer_at - off);
	f = lsvd_calloc(1, sizeof *f + len);
	if (!f)
		return;
	f->log = log;
	f->segment = s;
	f->records = records;
	f->io.io = (struct io){ .kind = IO_GET, .conclude = take_records, .done = prefetched };
	f->io.background = true;
	f->io.off = off;
	f->io.buf = f->buf;
	f->io.len = len;
	lsvd_vlog_segment_key(f->io.key, log, s);
	s->readers++;
	log->prefetching += len;
	lsvd_port_start(&log->port, &f->io.io);
}

static bool is_cached(struct lsvd_vlog *log, const struct lsvd_vlog_handle *h)
{
	struct lsvd_vlog_value *v = lsvd_vlog_cache_get(log->cache, log->id, h);

	lsvd_vlog_value_unref(v);
	return v != NULL;
}

void lsvd_vlog_prefetch(struct lsvd_vlog *log, const struct lsvd_vlog_handle *handles, size_t n)
{
	for (size_t i = 0; log->cache && i < n; i++) {
		const struct lsvd_vlog_handle *h = &handles[i];
		struct vlog_segment *s;

		if (is_cached(log, h))
			continue;
		lsvd_port_enter(&log->port);
		s = lsvd_vlog_table_find(&log->table, h->segment);
		if (s && range_within(h->offset, h->size, s->footer_at))
			start(log, s, h->offset, h->size, 1);
		lsvd_port_leave(&log->port, false);
	}
}

/*
 * How long the records behind are nobody knows; as long as this one, perhaps. What the guess cuts
 * off is not brought.
 */
static void prefetch_after(struct lsvd_vlog *log, const struct lsvd_vlog_handle *h, unsigned after)
{
	uint64_t len = min_u64(max_u64(h->size * after + h->size / 4, GUESS_BYTES_MIN),
			       AFTER_BYTES_MAX);
	struct vlog_segment *s;

	lsvd_port_enter(&log->port);
	s = lsvd_vlog_table_find(&log->table, h->segment);
	if (s)
		start(log, s, h->offset + h->size, len, after);
	lsvd_port_leave(&log->port, false);
}

int lsvd_vlog_get_prefetch(struct lsvd_vlog *log, const struct lsvd_vlog_handle *h, unsigned after,
			   struct lsvd_vlog_value **ret)
{
	bool was_cached = log->cache && is_cached(log, h);
	int err = lsvd_vlog_get(log, h, ret);

	if (!err && log->cache && after && !was_cached)
		prefetch_after(log, h, after);
	return err;
}
