/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_export.c - "lsvd-admin export": a volume's content as an image.
 *
 * The volume is opened for reading, which changes nothing anywhere. It is read with many requests
 * in flight and written in order, holes left out. While a file is unfinished, a record beside it
 * (export_state.h) says which windows of it are written, synced, and with what sum: --resume reads
 * these windows of the file again, keeps those whose sum is right, and exports all others.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/cmd.h"
#include "admin/long.h"
#include "admin/export_state.h"
#include "admin/output.h"
#include "admin/progress.h"
#include "admin/reader.h"
#include "admin/target.h"
#include "common/facts.h"

/* Windows that are written between two syncs. */
#define BATCH 16u

enum { FORMAT_RAW, FORMAT_QCOW2 };

struct export
{
	struct admin admin;
	const char *to;
	int format;
	bool resume;

	struct lsvd_volume_info info;
	struct lsvd_volume *volume;
	struct target *target;
	bool recorded;       /* there is a state, on the way */
	struct export_state state;
	uint64_t data_bytes; /* read from the volume */
	uint64_t kept_bytes; /* found in the file */

	/* the window that is being written */
	struct sum sum;
	uint64_t window;     /* where it begins */
	uint64_t at;         /* how far its sum is */
	bool has_data;
	struct export_window batch[BATCH];
	unsigned batched;
};

/* ------------------------------------------------------------------------------------- windows */

static uint64_t window_end(const struct export *e, uint64_t off)
{
	uint64_t end = (off / WINDOW_BYTES + 1) * WINDOW_BYTES;

	return end < e->info.bytes ? end : e->info.bytes;
}

static int record_batch(struct export *e)
{
	unsigned n = e->batched;

	e->batched = 0;
	if (!n)
		return 0;
	if (e->target->ops->sync(e->target) < 0)
		return -1;
	return export_state_add(&e->state, e->batch, n);
}

static int end_window(struct export *e)
{
	struct export_window *w = &e->batch[e->batched];

	if (!e->has_data)
		return 0;
	e->has_data = false;
	w->off = e->window;
	sum_end(&e->sum, w->hex);
	return ++e->batched == BATCH ? record_batch(e) : 0;
}

/* Counts [e->at, e->at + len) into the window's sum, and ends it if that is its end. */
static int sum_part(struct export *e, const uint8_t *data, uint64_t len)
{
	if (!e->has_data && data) {
		e->has_data = true;
		sum_init(&e->sum);
		sum_add_zeroes(&e->sum, e->at - e->window);
	}
	if (e->has_data && data)
		sum_add(&e->sum, data, (size_t)len);
	else if (e->has_data)
		sum_add_zeroes(&e->sum, len);
	e->at += len;
	if (e->at < window_end(e, e->window))
		return 0;
	if (end_window(e) < 0)
		return -1;
	e->window = e->at;
	return 0;
}

/* The piece's part of the windows' sums. Of a long hole, whole windows are passed over. */
static int sum_piece(struct export *e, const struct reader_piece *p)
{
	uint64_t end = p->off + p->len;

	while (e->recorded && e->at < end) {
		uint64_t stop = window_end(e, e->at);

		if (!p->data && e->at == e->window && end - e->at >= WINDOW_BYTES) {
			e->at = e->window = end / WINDOW_BYTES * WINDOW_BYTES;
			continue;
		}
		stop = stop < end ? stop : end;
		if (sum_part(e, p->data ? p->data + (e->at - p->off) : NULL, stop - e->at) < 0)
			return -1;
	}
	return 0;
}

/* ------------------------------------------------------------------------------------ exporting */

static int write_piece(struct export *e, const struct reader_piece *p)
{
	struct target *t = e->target;

	if (!p->data)
		return t->ops->zero(t, p->off, p->len);
	e->data_bytes += p->len;
	return t->ops->write(t, p->off, p->data, (size_t)p->len);
}

/* [off, end) begins and ends with windows, or with the volume. */
static int export_range(struct export *e, uint64_t off, uint64_t end)
{
	struct reader *reader;
	struct reader_piece piece;
	int more = -1;

	if (off == end)
		return 0;
	if (e->target->resumed && e->target->ops->zero(e->target, off, end - off) < 0)
		return -1;
	e->window = e->at = off;
	reader = reader_new(e->volume, off, end - off);
	while (reader && (more = reader_next(reader, &piece)) > 0) {
		if (write_piece(e, &piece) < 0 || sum_piece(e, &piece) < 0) {
			more = -1;
			break;
		}
		progress_show(piece.off + piece.len);
	}
	reader_free(reader);
	return more;
}

/* Everything but the windows that are there. */
static int export_rest(struct export *e)
{
	uint64_t off = 0;
	int err = 0;

	progress_begin("export", e->info.bytes);
	for (size_t i = 0; i < e->state.count && !err; i++) {
		err = export_range(e, off, e->state.windows[i].off);
		off = window_end(e, e->state.windows[i].off);
	}
	if (!err)
		err = export_range(e, off, e->info.bytes);
	if (e->recorded && record_batch(e) < 0)
		err = -1;
	progress_end();
	return err;
}

/* ------------------------------------------------------------------------------------- resuming */

static int window_is_there(struct export *e, const struct export_window *w, uint8_t *buf)
{
	uint64_t len = window_end(e, w->off) - w->off;
	char hex[SUM_TEXT];
	struct sum sum;

	if (e->target->ops->read(e->target, w->off, buf, (size_t)len) < 0)
		return -1;
	sum_init(&sum);
	sum_add(&sum, buf, (size_t)len);
	sum_end(&sum, hex);
	if (!sum_equal(hex, w->hex))
		return 0;
	e->kept_bytes += len;
	return 1;
}

/* Leaves in the state the windows that the file still has. */
static int check_windows(struct export *e)
{
	uint8_t *buf = malloc(WINDOW_BYTES);
	size_t kept = 0;
	int there = 0;

	if (!buf)
		return admin_error("out of memory");
	progress_begin("check", e->info.bytes);
	for (size_t i = 0; i < e->state.count && there >= 0; i++) {
		there = admin_stopped() || e->state.windows[i].off >= e->info.bytes
				? -1
				: window_is_there(e, &e->state.windows[i], buf);
		if (there > 0)
			e->state.windows[kept++] = e->state.windows[i];
		progress_show(e->state.windows[i].off);
	}
	progress_end();
	free(buf);
	if (there >= 0 && kept < e->state.count)
		(void)fprintf(stderr, "lsvd-admin: %s: %zu of %zu windows are not as they were "
			      "written: exported anew\n", e->to, e->state.count - kept,
			      e->state.count);
	e->state.count = kept;
	return there < 0 ? -1 : 0;
}

/* 1: there is something to go on with. 0: there is not. */
static int find_earlier(struct export *e)
{
	int found = export_state_load(&e->state);

	if (found)
		return found;
	if (access(e->to, F_OK) == 0)
		return admin_error("%s is there, but no %s: it is not an interrupted export", e->to,
				   e->state.path);
	return 0;
}

/* ---------------------------------------------------------------------------------- the command */

static int describe(struct export *e, char line[160])
{
	struct lsvd_stats st = LSVD_STATS_INIT;

	if (lsvd_volume_lookup(e->admin.store, e->admin.name, &e->info) < 0 ||
	    lsvd_volume_stats(e->volume, &st) < 0) {
		(void)admin_fail(); /* the status says it */
		return -1;
	}
	e->info.bytes = lsvd_volume_bytes(e->volume);
	(void)snprintf(line, 160, "volume %s %llu %llu %llu %s", e->info.uuid, /* fits */
		       (unsigned long long)e->info.bytes, (unsigned long long)st.epoch,
		       (unsigned long long)st.last_op,
		       e->format == FORMAT_QCOW2 ? "qcow2" : "raw");
	return 0;
}

/* With a record of what is written. */
static int export_file(struct export *e)
{
	int earlier = e->resume ? find_earlier(e) : 0;

	if (earlier < 0)
		return -1;
	e->target = target_open(e->to, e->format == FORMAT_QCOW2, e->info.bytes, earlier);
	if (!e->target)
		return -1;
	if (earlier && check_windows(e) < 0)
		return -1;
	if (export_state_begin(&e->state) < 0)
		return -1;
	e->recorded = true;
	return export_rest(e);
}

static int export_stdout(struct export *e)
{
	e->target = target_open(e->to, false, e->info.bytes, false);
	return e->target ? export_rest(e) : -1;
}

/* A new file that no record tells of could be neither gone on with nor exported to again. */
static bool is_of_no_use(const struct export *e)
{
	return strcmp(e->to, "-") != 0 && !e->target->resumed && !e->recorded;
}

static int end_export(struct export *e, int err)
{
	struct target *t = e->target;
	bool useless = err && t && is_of_no_use(e);

	e->target = NULL;
	if (!err)
		err = t->ops->end(t);
	else if (t)
		t->ops->abandon(t);
	if (useless)
		(void)unlink(e->to); /* if not, the next export says so */
	if (!err && e->recorded)
		err = export_state_remove(&e->state);
	if (err && admin_stopped())
		(void)admin_error("interrupted");
	if (err && e->recorded)
		(void)admin_error("%s is not complete; --resume goes on with it", e->to);
	return err;
}

static int export_volume(struct export *e)
{
	bool file = strcmp(e->to, "-") != 0;
	char line[160];
	int err;

	e->volume = admin_open_reader(&e->admin, 0);
	if (!e->volume || describe(e, line) < 0 || export_state_init(&e->state, e->to, line) < 0)
		return -1;
	err = end_export(e, file ? export_file(e) : export_stdout(e));
	export_state_fini(&e->state);
	return err;
}

static int print_exported(const struct export *e)
{
	char data[32], size[32], sentence[512];
	json_t *facts = output_volume(&e->info);
	int err;

	if (strcmp(e->to, "-") == 0) {
		json_decref(facts);
		return ADMIN_OK; /* standard output is the image */
	}
	err = json_object_set_new(facts, "file", facts_text(e->to));
	err |= json_object_set_new(facts, "format",
				   json_string(e->format == FORMAT_QCOW2 ? "qcow2" : "raw"));
	err |= json_object_set_new(facts, "data_bytes", json_integer((json_int_t)e->data_bytes));
	err |= json_object_set_new(facts, "kept_bytes", json_integer((json_int_t)e->kept_bytes));
	if (err) {
		json_decref(facts);
		facts = NULL;
	}
	output_bytes(size, e->info.bytes);
	output_bytes(data, e->data_bytes);
	(void)snprintf(sentence, sizeof sentence,
		       "volume %s exported to %.300s: %s, %s of them data", e->info.name, e->to,
		       size, data);
	return output_sentence(sentence, facts, e->admin.json);
}

static int check(const struct export *e, const struct args *args)
{
	if (strcmp(e->to, "-") != 0)
		return 0;
	if (e->format == FORMAT_QCOW2)
		return args_fail(args, "a qcow2 image is written to a file only");
	if (e->resume)
		return args_fail(args, "what went to standard output cannot be resumed");
	if (e->admin.json)
		return args_fail(args, "standard output is the image: no --json");
	if (isatty(STDOUT_FILENO))
		return args_fail(args, "an image is not for a terminal");
	return 0;
}

static int export(struct export *e)
{
	int status = admin_begin_long(), err;

	if (status == ADMIN_OK)
		status = admin_open(&e->admin, LSVD_STORE_READONLY);
	if (status != ADMIN_OK)
		return status;
	err = export_volume(e);
	if (lsvd_volume_close(e->volume, 0) < 0 && !err)
		err = admin_error("%s", lsvd_last_error());
	return err ? ADMIN_FAILED : print_exported(e);
}

static int run(int argc, char **argv)
{
	struct export e = {.info = LSVD_VOLUME_INFO_INIT};
	/* clang-format off */
	const struct args_option options[] = {
		ADMIN_CONFIG(&e.admin),
		ADMIN_NAME(&e.admin, "the volume"),
		{ARGS_CHOICE, 'f', "format", &e.format, "raw|qcow2",
		 "of the image (default: raw)", 0, 0, false},
		{ARGS_FLAG, 0, "resume", &e.resume, NULL,
		 "go on with an export that was interrupted", 0, 0, false},
		ADMIN_OPTIONS(&e.admin),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin export",
		.usage = "-c FILE -n NAME [-f FORMAT] [--resume] [--json] FILE | -",
		.about = "Writes a volume's content to a new, sparse file, or to standard output.\n"
			 "Nothing of the volume is changed; of one that is being served, "
			 "what the store\n"
			 "has is exported.",
		.options = options,
	};
	int status;

	if (admin_parse_operand(&e.admin, &args, argc, argv, "FILE or -", &e.to, &status) < 0)
		return status;
	if (check(&e, &args) < 0)
		return ADMIN_USAGE;
	status = export(&e);
	admin_close(&e.admin);
	return status;
}

const struct admin_cmd cmd_export = {"export", "write a volume's content to an image", run};
