/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_stats.c - how much of each segment is stale: noted, counted, told.
 *
 * The statistics choose what is collected; they never decide what is deleted (vlog_drop.c). So they
 * may be wrong, as they are after a crash, and what is noted twice is cut at the totals.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/options.h"
#include "vlog/vlog_internal.h"

/* ------------------------------------------------------------------------------------- segments */

void lsvd_vlog_describe_segment(const struct vlog_segment *s, struct lsvd_vlog_segment *ret)
{
	*ret = (struct lsvd_vlog_segment){
		.size = sizeof *ret,
		.flags = (s->uncertain ? LSVD_VLOG_SEGMENT_UNCERTAIN : 0) |
			 (s->damaged ? LSVD_VLOG_SEGMENT_DAMAGED : 0),
		.id = s->id,
		.commit = s->commit,
		.items = s->totals.items,
		.stale_items = s->stale_items,
		.raw_bytes = s->totals.raw,
		.stale_raw_bytes = s->stale_raw,
		.record_bytes = s->totals.records,
		.stale_bytes = s->stale_records,
		.stored_bytes = s->totals.stored,
		.object_bytes = s->object_bytes,
		.created_ms = s->created_ms,
		.pins = s->pins,
	};
}

int lsvd_vlog_all_segments(struct lsvd_vlog *log, struct lsvd_vlog_segment **ret, size_t *ret_n)
{
	struct lsvd_vlog_segment *s;
	size_t n;

	lsvd_port_enter(&log->port);
	n = log->table.count;
	s = lsvd_calloc(n + 1, sizeof *s);
	for (size_t i = 0; s && i < n; i++)
		lsvd_vlog_describe_segment(log->table.at[i], &s[i]);
	lsvd_port_leave(&log->port, false);
	if (!s)
		return lsvd_fail_plain(-ENOMEM);
	*ret = s;
	*ret_n = n;
	return 0;
}

int lsvd_vlog_segments(struct lsvd_vlog *log, lsvd_vlog_segment_fn fn, void *ctx)
{
	struct lsvd_vlog_segment *s;
	size_t n;
	int err = lsvd_vlog_all_segments(log, &s, &n);

	if (err)
		return err;
	for (size_t i = 0; i < n; i++)
		if (fn(ctx, &s[i]))
			break;
	lsvd_free(s);
	return 0;
}

static int copy_out(const void *data, size_t len, struct lsvd_vlog_value **to)
{
	*to = lsvd_vlog_value_new(data, len);
	return *to ? 0 : lsvd_fail_plain(-ENOMEM);
}

int lsvd_vlog_segment_info(struct lsvd_vlog *log, uint64_t segment,
			   struct lsvd_vlog_value **ret_metadata,
			   struct lsvd_vlog_value **ret_first, struct lsvd_vlog_value **ret_last)
{
	struct lsvd_vlog_value *v[3] = { NULL, NULL, NULL };
	struct vlog_cursor c;
	struct vlog_footer f;
	uint64_t footer_at;
	int more, err = lsvd_vlog_footer_get(log, segment, &f, &footer_at);

	if (err)
		return err;
	lsvd_vlog_cursor_init(&c, &f, segment, footer_at);
	err = copy_out(f.metadata, f.metadata_bytes, &v[0]);
	while (!err && (more = lsvd_vlog_cursor_next(&c)) != 0) {
		err = more < 0 ? more : 0;
		if (!err && !v[1])
			err = copy_out(c.entry.key, c.entry.key_len, &v[1]);
	}
	if (!err)
		err = copy_out(c.key, c.entry.key_len, &v[2]);
	lsvd_vlog_cursor_fini(&c);
	lsvd_vlog_footer_free(&f);
	struct lsvd_vlog_value **to[] = { ret_metadata, ret_first, ret_last };

	for (unsigned i = 0; i < 3; i++) {
		if (!err && to[i])
			*to[i] = v[i];
		else
			lsvd_vlog_value_unref(v[i]);
	}
	return err;
}

int lsvd_vlog_note_stale(struct lsvd_vlog *log, const struct lsvd_vlog_handle *h,
			 uint64_t raw_bytes)
{
	struct vlog_segment *s = NULL;
	int err;

	raw_bytes = min_u64(raw_bytes, LSVD_VLOG_VALUE_MAX); /* sums do not wrap around */
	lsvd_port_enter(&log->port);
	err = lsvd_vlog_find(log, h->segment, &s);
	if (!err) {
		lsvd_vlog_add_stale(s, 1, raw_bytes, h->size);
		s->noted_items++;
		s->noted_raw += raw_bytes;
		s->noted_records += min_u64(h->size, VLOG_RECORD_LIMIT);
		log->dirty = true;
	}
	lsvd_port_leave(&log->port, false);
	return err;
}

/* -------------------------------------------------------------------------------------- reports */

static void add_to_report(struct lsvd_vlog_report *r, const struct vlog_segment *s)
{
	r->segments++;
	r->stale_segments += vlog_entirely_stale(s);
	r->items += s->totals.items;
	r->stale_items += s->stale_items;
	r->raw_bytes += s->totals.raw;
	r->stale_raw_bytes += s->stale_raw;
	r->record_bytes += s->totals.records;
	r->stale_bytes += s->stale_records;
	r->object_bytes += s->object_bytes;
	r->uncertain_segments += s->uncertain;
	r->damaged_segments += s->damaged;
	r->pinned_segments += s->pins != 0;
}

static void make_report(struct lsvd_vlog *log, struct lsvd_vlog_report *r)
{
	lsvd_port_enter(&log->port);
	for (size_t i = 0; i < log->table.count; i++)
		add_to_report(r, log->table.at[i]);
	lsvd_port_leave(&log->port, false);
}

int lsvd_vlog_report(struct lsvd_vlog *log, struct lsvd_vlog_report *ret)
{
	struct lsvd_vlog_report r = { .size = sizeof r };

	make_report(log, &r);
	return lsvd_options_fill(ret, &r, sizeof r, sizeof r, "value log report");
}

double lsvd_vlog_report_stale_ratio(const struct lsvd_vlog_report *r)
{
	return r->raw_bytes ? (double)r->stale_raw_bytes / (double)r->raw_bytes : 0;
}

double lsvd_vlog_report_space_amp(const struct lsvd_vlog_report *r)
{
	uint64_t live = r->raw_bytes - r->stale_raw_bytes;

	return live ? (double)r->raw_bytes / (double)live : 0;
}

double lsvd_vlog_space_amp(struct lsvd_vlog *log)
{
	struct lsvd_vlog_report r = { .size = sizeof r };

	make_report(log, &r);
	return lsvd_vlog_report_space_amp(&r);
}

int lsvd_vlog_report_text(const struct lsvd_vlog_report *r, char *buf, size_t len)
{
	return snprintf(buf, len,
			"segments          %llu (%llu entirely stale, %llu uncertain, "
			"%llu damaged)\n"
			"records           %llu (%llu stale)\n"
			"bytes of values   %llu (%llu stale, %.1f %%)\n"
			"bytes of records  %llu (%llu stale)\n"
			"bytes stored      %llu\n"
			"amplification     %.3f\n",
			(unsigned long long)r->segments, (unsigned long long)r->stale_segments,
			(unsigned long long)r->uncertain_segments,
			(unsigned long long)r->damaged_segments, (unsigned long long)r->items,
			(unsigned long long)r->stale_items, (unsigned long long)r->raw_bytes,
			(unsigned long long)r->stale_raw_bytes,
			100 * lsvd_vlog_report_stale_ratio(r), (unsigned long long)r->record_bytes,
			(unsigned long long)r->stale_bytes, (unsigned long long)r->object_bytes,
			lsvd_vlog_report_space_amp(r));
}

int lsvd_vlog_report_json(const struct lsvd_vlog_report *r, char *buf, size_t len)
{
	return snprintf(buf, len,
			"{\"segments\":%llu,\"stale_segments\":%llu,\"uncertain_segments\":%llu,"
			"\"damaged_segments\":%llu,\"pinned_segments\":%llu,\"items\":%llu,"
			"\"stale_items\":%llu,\"raw_bytes\":%llu,\"stale_raw_bytes\":%llu,"
			"\"record_bytes\":%llu,\"stale_bytes\":%llu,\"object_bytes\":%llu,"
			"\"dangling\":%llu,\"doubled\":%llu,\"stale_ratio\":%.6f,"
			"\"space_amp\":%.6f}",
			(unsigned long long)r->segments, (unsigned long long)r->stale_segments,
			(unsigned long long)r->uncertain_segments,
			(unsigned long long)r->damaged_segments,
			(unsigned long long)r->pinned_segments, (unsigned long long)r->items,
			(unsigned long long)r->stale_items, (unsigned long long)r->raw_bytes,
			(unsigned long long)r->stale_raw_bytes, (unsigned long long)r->record_bytes,
			(unsigned long long)r->stale_bytes, (unsigned long long)r->object_bytes,
			(unsigned long long)r->dangling, (unsigned long long)r->doubled,
			lsvd_vlog_report_stale_ratio(r), lsvd_vlog_report_space_amp(r));
}

/* ---------------------------------------------------------------------------- counting all anew */

/*
 * Those that are there now and that no commit holds: what the index does not say of them is stale.
 */
static void begin_scan(struct lsvd_vlog *log)
{
	lsvd_port_enter(&log->port);
	while (log->scans)
		lsvd_port_wait(&log->port);
	log->scans = 1;
	for (size_t i = 0; i < log->table.count; i++) {
		struct vlog_segment *s = log->table.at[i];

		s->scanned = !s->unconfirmed;
		s->seen_items = s->seen_raw = s->seen_records = 0;
		s->noted_items = s->noted_raw = s->noted_records = 0;
	}
	lsvd_port_leave(&log->port, true);
}

static void see(struct lsvd_vlog *log, const struct lsvd_vlog_handle *h, uint64_t raw,
		struct lsvd_vlog_report *r)
{
	struct vlog_segment *s;

	lsvd_port_enter(&log->port);
	s = lsvd_vlog_table_find(&log->table, h->segment);
	r->dangling += !s;
	if (s && s->scanned) {
		s->seen_items++;
		s->seen_raw += min_u64(raw, LSVD_VLOG_VALUE_MAX);
		s->seen_records += min_u64(h->size, VLOG_RECORD_LIMIT);
	}
	lsvd_port_leave(&log->port, false);
}

/* lock held */
static void take_scan(struct vlog_segment *s, struct lsvd_vlog_report *r)
{
	const struct vlog_totals *t = &s->totals;

	if (s->seen_items > t->items)
		r->doubled += s->seen_items - t->items;
	s->stale_items = t->items - min_u64(s->seen_items, t->items);
	s->stale_raw = t->raw - min_u64(s->seen_raw, t->raw);
	s->stale_records = t->records - min_u64(s->seen_records, t->records);
	lsvd_vlog_add_stale(s, s->noted_items, s->noted_raw, s->noted_records);
	s->uncertain = false;
}

static void end_scan(struct lsvd_vlog *log, bool take, struct lsvd_vlog_report *r)
{
	lsvd_port_enter(&log->port);
	for (size_t i = 0; i < log->table.count; i++) {
		struct vlog_segment *s = log->table.at[i];

		if (s->scanned && take)
			take_scan(s, r);
		s->scanned = false;
	}
	log->dirty |= take;
	log->scans = 0;
	lsvd_port_changed(&log->port);
	lsvd_port_leave(&log->port, true);
}

int lsvd_vlog_scan_for_stats(struct lsvd_vlog *log, lsvd_vlog_next_fn next, void *ctx,
			     struct lsvd_vlog_report *ret)
{
	struct lsvd_vlog_report r = { .size = sizeof r };
	struct lsvd_vlog_handle h;
	uint64_t raw;
	int more = lsvd_options_check(ret, sizeof *ret, "value log report");

	if (more < 0)
		return more;
	begin_scan(log);
	while ((more = next(ctx, &h, &raw)) > 0)
		see(log, &h, raw, &r);
	end_scan(log, more == 0, &r);
	if (more < 0)
		return more;
	make_report(log, &r);
	return ret ? lsvd_options_fill(ret, &r, sizeof r, sizeof r, "value log report") : 0;
}

/* ------------------------------------------------------------------------------------- counters */

int lsvd_vlog_stats(struct lsvd_vlog *log, struct lsvd_vlog_stats *ret)
{
	struct lsvd_vlog_stats s;

	lsvd_port_enter(&log->port);
	s = log->stats;
	lsvd_vlog_count_gets(log, &s);
	lsvd_port_leave(&log->port, false);
	s.size = sizeof s;
	return lsvd_options_fill(ret, &s, sizeof s, sizeof s, "value log statistics");
}
