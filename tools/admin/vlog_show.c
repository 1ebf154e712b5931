/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_show.c - "lsvd-admin vlog list | inspect | verify": what there is, and whether it is sound.
 */
#include <stdio.h>
#include <string.h>

#include "admin/long.h"
#include "admin/output.h"
#include "admin/progress.h"
#include "admin/vlog_actions.h"
#include "common/facts.h"

/* ---------------------------------------------------------------------------------------- list */

static const struct output_field log_fields[] = {
	{"name", "NAME", OUTPUT_TEXT},
	{"created", "CREATED", OUTPUT_TEXT},
	{"uuid", "UUID", OUTPUT_TEXT},
	{NULL, NULL, OUTPUT_TEXT},
};

/* What a walk has gathered that ended with `err`. */
static int print_rows(const struct admin *a, const struct output_field *fields, const char *key,
		      struct facts_rows *rows, int err)
{
	json_t *array = facts_rows_end(rows);

	if (!err)
		return output_rows(fields, key, array, a->json);
	json_decref(array);
	return admin_fail();
}

static int add_log(void *ctx, const struct lsvd_vlog_info *info)
{
	char created[OUTPUT_TIME];

	output_time(created, info->created_ms);
	return facts_rows_add(ctx, json_pack("{s:s, s:s, s:s}", "name", info->name, "created",
					     created, "uuid", info->uuid));
}

static int show_logs(const struct admin *a)
{
	struct facts_rows rows;
	int err;

	facts_rows_begin(&rows);
	err = lsvd_vlog_list(a->store, add_log, &rows);
	return print_rows(a, log_fields, "value_logs", &rows, err);
}

int vlog_list(int argc, char **argv)
{
	struct admin a = {.json = false};
	const struct args_option options[] = {
		ADMIN_CONFIG(&a),
		ADMIN_OPTIONS(&a),
	};
	const struct args args = {
		.program = "lsvd-admin vlog list",
		.usage = "-c FILE [--json]",
		.about = "Lists the value logs of the store.",
		.options = options,
	};
	int status;

	if (admin_parse(&a, &args, argc, argv, &status) < 0)
		return status;
	status = admin_open(&a, LSVD_STORE_READONLY);
	if (status == ADMIN_OK)
		status = show_logs(&a);
	admin_close(&a);
	return status;
}

/* Opens the store and the log, changes nothing, and closes both. */
static int read_log(struct admin *a, int (*act)(const struct admin *a, struct lsvd_vlog *log))
{
	struct lsvd_vlog *log;
	int status = admin_open(a, LSVD_STORE_READONLY);

	if (status == ADMIN_OK) {
		log = vlog_open(a, LSVD_VLOG_READONLY);
		status = log ? vlog_close(log, act(a, log)) : ADMIN_FAILED;
	}
	admin_close(a);
	return status;
}

/* ------------------------------------------------------------------------------------- inspect */

static const struct output_field segment_fields[] = {
	{"segment", "SEGMENT", OUTPUT_NUMBER},	  {"commit", "COMMIT", OUTPUT_NUMBER},
	{"records", "RECORDS", OUTPUT_NUMBER},	  {"stale_records", "STALE", OUTPUT_NUMBER},
	{"stored", "STORED", OUTPUT_BYTES_SHORT}, {"values", "VALUES", OUTPUT_BYTES_SHORT},
	{"stale", "STALE", OUTPUT_BYTES_SHORT},	  {"created", "CREATED", OUTPUT_TEXT},
	{"uncertain", "UNCERTAIN", OUTPUT_BOOL},  {"damaged", "DAMAGED", OUTPUT_BOOL},
	{NULL, NULL, OUTPUT_TEXT},
};

static int add_segment(void *ctx, const struct lsvd_vlog_segment *s)
{
	char created[OUTPUT_TIME];

	output_time(created, s->created_ms);
	return facts_rows_add(
		ctx, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:b, s:b}", "segment",
			       (json_int_t)s->id, "commit", (json_int_t)s->commit, "records",
			       (json_int_t)s->items, "stale_records", (json_int_t)s->stale_items,
			       "stored", (json_int_t)s->object_bytes, "values",
			       (json_int_t)s->raw_bytes, "stale", (json_int_t)s->stale_raw_bytes,
			       "created", created, "uncertain",
			       (s->flags & LSVD_VLOG_SEGMENT_UNCERTAIN) != 0, "damaged",
			       (s->flags & LSVD_VLOG_SEGMENT_DAMAGED) != 0));
}

static int show_segments(const struct admin *a, struct lsvd_vlog *log)
{
	struct facts_rows rows;
	int err;

	facts_rows_begin(&rows);
	err = lsvd_vlog_segments(log, add_segment, &rows);
	return print_rows(a, segment_fields, "segments", &rows, err);
}

/* The library writes the report in both forms. */
static int show_report(const struct admin *a, struct lsvd_vlog *log)
{
	struct lsvd_vlog_report report = LSVD_VLOG_REPORT_INIT;
	char text[4096];
	int n;

	if (lsvd_vlog_report(log, &report) < 0)
		return admin_fail();
	n = a->json ? lsvd_vlog_report_json(&report, text, sizeof text)
		    : lsvd_vlog_report_text(&report, text, sizeof text);
	if (n < 0 || (size_t)n >= sizeof text)
		return admin_error("the report has %d bytes", n), ADMIN_FAILED;
	(void)fputs(text, stdout);
	if (n > 0 && text[n - 1] != '\n')
		(void)fputs("\n", stdout);
	return ADMIN_OK;
}

int vlog_inspect(int argc, char **argv)
{
	struct admin a = {.json = false};
	bool segments = false;
	/* clang-format off */
	const struct args_option options[] = {
		ADMIN_CONFIG(&a),
		ADMIN_NAME(&a, "value log"),
		{ARGS_FLAG, 0, "segments", &segments, NULL, "a row for each segment", 0, 0, false},
		ADMIN_OPTIONS(&a),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin vlog inspect",
		.usage = "-c FILE -n NAME [--segments] [--json]",
		.about = "Says what a value log has, and how much of it is stale as far "
			 "as it was told.",
		.options = options,
	};
	int status;

	if (admin_parse(&a, &args, argc, argv, &status) < 0)
		return status;
	return read_log(&a, segments ? show_segments : show_report);
}

/* -------------------------------------------------------------------------------------- verify */

struct faults {
	struct facts_rows rows;
	bool json;
};

static void add_fault(void *ctx, const struct lsvd_vlog_handle *handle, int err, const char *text)
{
	struct faults *f = ctx;

	if (!f->json)
		(void)admin_error("segment %llu, byte %llu: %s",
				  (unsigned long long)handle->segment,
				  (unsigned long long)handle->offset, text);
	else /* without memory it is said at the end */
		(void)facts_rows_add(&f->rows,
				     json_pack("{s:I, s:I, s:I, s:s, s:o}", "segment",
					       (json_int_t)handle->segment, "offset",
					       (json_int_t)handle->offset, "size",
					       (json_int_t)handle->size, "error",
					       lsvd_error_name(err), "text", facts_text(text)));
}

static int verify(const struct admin *a, struct lsvd_vlog *log)
{
	struct faults faults = {.json = a->json};
	struct lsvd_vlog_report report = LSVD_VLOG_REPORT_INIT;
	char sentence[200];
	uint64_t bad = 0;
	json_t *array;
	int status, err;

	facts_rows_begin(&faults.rows);
	err = lsvd_vlog_report(log, &report);
	if (!err)
		err = lsvd_vlog_verify(log, add_fault, &faults, &bad);
	array = facts_rows_end(&faults.rows);
	if (err < 0) {
		json_decref(array);
		return admin_fail();
	}
	(void)snprintf(sentence, sizeof sentence, "value log %s: %llu of %llu records are damaged",
		       a->name, (unsigned long long)bad, (unsigned long long)report.items);
	status = output_sentence(sentence,
				 json_pack("{s:s, s:I, s:I, s:o}", "name", a->name, "records",
					   (json_int_t)report.items, "damaged", (json_int_t)bad,
					   "faults", array),
				 a->json);
	return bad && status == ADMIN_OK ? ADMIN_UNSOUND : status;
}

int vlog_verify(int argc, char **argv)
{
	struct admin a = {.json = false};
	const struct args_option options[] = {
		ADMIN_CONFIG(&a),
		ADMIN_NAME(&a, "value log"),
		ADMIN_OPTIONS(&a),
	};
	const struct args args = {
		.program = "lsvd-admin vlog verify",
		.usage = "-c FILE -n NAME [--json]",
		.about = "Reads every record of a value log and names those that are damaged.",
		.options = options,
	};
	int status;

	if (admin_parse(&a, &args, argc, argv, &status) < 0)
		return status;
	return read_log(&a, verify);
}
