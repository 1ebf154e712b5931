/* SPDX-License-Identifier: BSD-2-Clause */
/* vlog_todo.c - what of <lsvd/vlog.h> is not built yet: LSVD_E_UNSUPPORTED. */
#include <lsvd/vlog.h>

#include "base/err.h"

int lsvd_vlog_create(struct lsvd_store *store, const char *name)
{
	(void)store;
	(void)name;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_lookup(struct lsvd_store *store, const char *name, struct lsvd_vlog_info *ret)
{
	(void)store;
	(void)name;
	(void)ret;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_list(struct lsvd_store *store, lsvd_vlog_fn fn, void *ctx)
{
	(void)store;
	(void)fn;
	(void)ctx;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_delete(struct lsvd_store *store, const char *name)
{
	(void)store;
	(void)name;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_open(struct lsvd_vlog **ret, struct lsvd_store *store, const char *name,
		   const struct lsvd_vlog_options *options)
{
	(void)ret;
	(void)store;
	(void)name;
	(void)options;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_close(struct lsvd_vlog *log)
{
	(void)log;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

const char *lsvd_vlog_name(const struct lsvd_vlog *log)
{
	(void)log;
	return NULL;
}

uint64_t lsvd_vlog_id(const struct lsvd_vlog *log)
{
	(void)log;
	return 0;
}

size_t lsvd_vlog_segment_count(struct lsvd_vlog *log)
{
	(void)log;
	return 0;
}

int lsvd_vlog_checkpoint(struct lsvd_vlog *log)
{
	(void)log;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_writer_open(struct lsvd_vlog *log, struct lsvd_vlog_writer **ret)
{
	(void)log;
	(void)ret;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_next_handle(struct lsvd_vlog_writer *writer, struct lsvd_vlog_handle *ret)
{
	(void)writer;
	(void)ret;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_put(struct lsvd_vlog_writer *writer, const void *key, size_t key_len,
		  const void *value, size_t len, struct lsvd_vlog_handle *ret)
{
	(void)writer;
	(void)key;
	(void)key_len;
	(void)value;
	(void)len;
	(void)ret;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_writer_metadata(struct lsvd_vlog_writer *writer, const void *bytes, size_t len)
{
	(void)writer;
	(void)bytes;
	(void)len;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_commit(struct lsvd_vlog_writer *writer, struct lsvd_vlog_pin **ret_pin)
{
	(void)writer;
	(void)ret_pin;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

void lsvd_vlog_abort(struct lsvd_vlog_writer *writer)
{
	(void)writer;
}

int lsvd_vlog_snapshot(struct lsvd_vlog *log, struct lsvd_vlog_pin **ret)
{
	(void)log;
	(void)ret;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

void lsvd_vlog_pin_release(struct lsvd_vlog_pin *pin)
{
	(void)pin;
}

int lsvd_vlog_get(struct lsvd_vlog *log, const struct lsvd_vlog_handle *handle,
		  struct lsvd_vlog_value **ret)
{
	(void)log;
	(void)handle;
	(void)ret;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_get_checked(struct lsvd_vlog *log, const struct lsvd_vlog_handle *handle,
			  const void *key, size_t key_len, struct lsvd_vlog_value **ret)
{
	(void)log;
	(void)handle;
	(void)key;
	(void)key_len;
	(void)ret;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_get_prefetch(struct lsvd_vlog *log, const struct lsvd_vlog_handle *handle,
			   unsigned after, struct lsvd_vlog_value **ret)
{
	(void)log;
	(void)handle;
	(void)after;
	(void)ret;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

void lsvd_vlog_prefetch(struct lsvd_vlog *log, const struct lsvd_vlog_handle *handles, size_t n)
{
	(void)log;
	(void)handles;
	(void)n;
}

int lsvd_vlog_get_many(struct lsvd_vlog *log, struct lsvd_vlog_request *requests, size_t n)
{
	(void)log;
	(void)requests;
	(void)n;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_read_range(struct lsvd_vlog *log, const struct lsvd_vlog_handle *handle, uint64_t off,
			 void *buf, size_t len, size_t *ret_len)
{
	(void)log;
	(void)handle;
	(void)off;
	(void)buf;
	(void)len;
	(void)ret_len;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_iter_open(struct lsvd_vlog *log, const struct lsvd_vlog_scan *scan,
			struct lsvd_vlog_iter **ret)
{
	(void)log;
	(void)scan;
	(void)ret;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_iter_next(struct lsvd_vlog_iter *iter, struct lsvd_vlog_item *ret)
{
	(void)iter;
	(void)ret;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

void lsvd_vlog_iter_close(struct lsvd_vlog_iter *iter)
{
	(void)iter;
}

int lsvd_vlog_verify(struct lsvd_vlog *log, lsvd_vlog_bad_fn fn, void *ctx, uint64_t *ret_bad)
{
	(void)log;
	(void)fn;
	(void)ctx;
	(void)ret_bad;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_segments(struct lsvd_vlog *log, lsvd_vlog_segment_fn fn, void *ctx)
{
	(void)log;
	(void)fn;
	(void)ctx;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_segment_info(struct lsvd_vlog *log, uint64_t segment,
			   struct lsvd_vlog_value **ret_metadata,
			   struct lsvd_vlog_value **ret_first, struct lsvd_vlog_value **ret_last)
{
	(void)log;
	(void)segment;
	(void)ret_metadata;
	(void)ret_first;
	(void)ret_last;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_note_stale(struct lsvd_vlog *log, const struct lsvd_vlog_handle *handle,
			 uint64_t raw_bytes)
{
	(void)log;
	(void)handle;
	(void)raw_bytes;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_report(struct lsvd_vlog *log, struct lsvd_vlog_report *ret)
{
	(void)log;
	(void)ret;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

double lsvd_vlog_report_stale_ratio(const struct lsvd_vlog_report *report)
{
	(void)report;
	return 0;
}

double lsvd_vlog_report_space_amp(const struct lsvd_vlog_report *report)
{
	(void)report;
	return 0;
}

double lsvd_vlog_space_amp(struct lsvd_vlog *log)
{
	(void)log;
	return 0;
}

int lsvd_vlog_report_text(const struct lsvd_vlog_report *report, char *buf, size_t len)
{
	(void)report;
	(void)buf;
	(void)len;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_report_json(const struct lsvd_vlog_report *report, char *buf, size_t len)
{
	(void)report;
	(void)buf;
	(void)len;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_scan_for_stats(struct lsvd_vlog *log, lsvd_vlog_next_fn next, void *ctx,
			     struct lsvd_vlog_report *ret)
{
	(void)log;
	(void)next;
	(void)ctx;
	(void)ret;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_gc(struct lsvd_vlog *log, const struct lsvd_vlog_strategy *strategy,
		 const struct lsvd_vlog_index *index, const struct lsvd_vlog_gc_limits *limits,
		 struct lsvd_vlog_gc_result *ret)
{
	(void)log;
	(void)strategy;
	(void)index;
	(void)limits;
	(void)ret;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_rollover(struct lsvd_vlog *log, const uint64_t *ids, size_t n,
		       const struct lsvd_vlog_index *index,
		       const struct lsvd_vlog_gc_limits *limits, struct lsvd_vlog_gc_result *ret)
{
	(void)log;
	(void)ids;
	(void)n;
	(void)index;
	(void)limits;
	(void)ret;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_drop_stale(struct lsvd_vlog *log, const struct lsvd_vlog_index *index,
			 struct lsvd_vlog_gc_result *ret)
{
	(void)log;
	(void)index;
	(void)ret;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_clear(struct lsvd_vlog *log)
{
	(void)log;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}

int lsvd_vlog_stats(struct lsvd_vlog *log, struct lsvd_vlog_stats *ret)
{
	(void)log;
	(void)ret;
	return lsvd_fail(LSVD_E_UNSUPPORTED, "value log: not built yet");
}
