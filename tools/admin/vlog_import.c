/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_import.c - "lsvd-admin vlog import": a new value log from a folder of fjall-rs/value-log.
 *
 * Each segment there becomes a commit here, in the same order, so that of equal keys the same one
 * is the newest. Where each record is now stands in the file of --handles, a line for each; the
 * index of the program has to be rewritten by it:
 *
 *   SEGMENT OFFSET  SEGMENT OFFSET SIZE BYTES      there; here, and the length of the value
 *
 * Unless all of it has been imported the new log is deleted again; with --keep-going damaged
 * records are left out, and the status tells of them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <lsvd/vlog_v1.h>

#include "admin/handle_list.h"
#include "admin/long.h"
#include "admin/output.h"
#include "admin/progress.h"
#include "admin/vlog_actions.h"

struct import {
	struct admin admin;
	const char *folder_path, *handles_path;
	bool lz4, all, keep_going;
	struct lsvd_vlog_v1 *folder;
	struct lsvd_vlog *log;
	struct lsvd_vlog_writer *writer; /* NULL: nothing is to be committed */
	uint64_t segment;		 /* of there, being written */
	FILE *handles;
	uint64_t records, bytes, damaged;
};

static int commit(struct import *i)
{
	struct lsvd_vlog_pin *pin = NULL;
	int err = i->writer ? lsvd_vlog_commit(i->writer, &pin) : 0;

	i->writer = NULL;
	lsvd_vlog_pin_release(pin);
	return err < 0 ? admin_fail() : ADMIN_OK;
}

static int note_handle(struct import *i, const struct lsvd_vlog_v1_item *item,
		       const struct lsvd_vlog_handle *h)
{
	if (!i->handles ||
	    fprintf(i->handles, "%llu %llu %llu %llu %llu %llu\n",
		    (unsigned long long)item->segment, (unsigned long long)item->offset,
		    (unsigned long long)h->segment, (unsigned long long)h->offset,
		    (unsigned long long)h->size, (unsigned long long)item->value.size) > 0)
		return ADMIN_OK;
	(void)admin_error("%s: %s", i->handles_path, strerror(errno));
	return ADMIN_FAILED;
}

static int put(struct import *i, const struct lsvd_vlog_v1_item *item)
{
	struct lsvd_vlog_handle h;
	int status = ADMIN_OK;

	if (item->segment != i->segment)
		status = commit(i);
	i->segment = item->segment;
	if (status == ADMIN_OK && !i->writer && lsvd_vlog_writer_open(i->log, &i->writer) < 0)
		status = admin_fail();
	if (status != ADMIN_OK)
		return status;
	if (lsvd_vlog_put(i->writer, item->key.data, item->key.size, item->value.data,
			  item->value.size, &h) < 0)
		return admin_fail();
	i->records++;
	i->bytes += item->value.size;
	progress_show(i->bytes);
	return note_handle(i, item, &h);
}

static int copy(struct import *i)
{
	struct lsvd_vlog_v1_item item;
	int status = ADMIN_OK, more;

	progress_begin("import", 0);
	while (status == ADMIN_OK && (more = lsvd_vlog_v1_next(i->folder, &item)) != 0) {
		if (admin_stopped())
			status = (admin_error("stopped"), ADMIN_FAILED);
		else if (more > 0)
			status = put(i, &item);
		else if (more == LSVD_E_CORRUPT && i->keep_going)
			i->damaged++, (void)admin_fail(); /* told, and left out */
		else
			status = admin_fail();
	}
	progress_end();
	return status == ADMIN_OK ? commit(i) : status;
}

/* What it says is true only now. */
static int end_handles(struct import *i)
{
	FILE *f = i->handles;

	i->handles = NULL;
	if (!f)
		return ADMIN_OK;
	if (fflush(f) == 0 && fsync(fileno(f)) == 0 && fclose(f) == 0)
		return ADMIN_OK;
	(void)admin_error("%s: %s", i->handles_path, strerror(errno));
	return ADMIN_FAILED;
}

static int fill(struct import *i)
{
	int status = copy(i);

	if (status == ADMIN_OK)
		status = end_handles(i);
	lsvd_vlog_abort(i->writer);
	return vlog_close(i->log, status);
}

static int report(const struct import *i)
{
	char sentence[256], size[32];
	int status;

	output_bytes(size, i->bytes);
	(void)snprintf(sentence, sizeof sentence,
		       "value log %s has %llu records, %s, of %zu segments; %llu were damaged",
		       i->admin.name, (unsigned long long)i->records, size,
		       lsvd_vlog_v1_segment_count(i->folder), (unsigned long long)i->damaged);
	status = output_sentence(sentence,
				 json_pack("{s:s, s:I, s:I, s:I, s:I}", "name", i->admin.name,
					   "records", (json_int_t)i->records, "bytes",
					   (json_int_t)i->bytes, "segments",
					   (json_int_t)lsvd_vlog_v1_segment_count(i->folder),
					   "damaged", (json_int_t)i->damaged),
				 i->admin.json);
	return i->damaged && status == ADMIN_OK ? ADMIN_UNSOUND : status;
}

static int import_into_new(struct import *i)
{
	int status;

	if (lsvd_vlog_create_flags(i->admin.store, i->admin.name, admin_flags(&i->admin)) < 0)
		return admin_fail();
	i->log = vlog_open(&i->admin, 0);
	status = i->log ? fill(i) : ADMIN_FAILED;
	if (status == ADMIN_OK)
		return report(i);
	if (lsvd_vlog_delete_flags(i->admin.store, i->admin.name, admin_flags(&i->admin)) < 0)
		(void)admin_fail(); /* the status is that of the import */
	return status;
}

static int open_both(struct import *i)
{
	struct lsvd_vlog_v1_options options = LSVD_VLOG_V1_OPTIONS_INIT;

	options.flags = i->all ? LSVD_VLOG_V1_ALL : 0;
	options.codec = i->lz4 ? LSVD_VLOG_V1_LZ4 : LSVD_VLOG_V1_STORED;
	if (lsvd_vlog_v1_open(&i->folder, i->folder_path, &options) < 0)
		return admin_fail();
	if (!i->handles_path)
		return ADMIN_OK;
	i->handles = handle_list_create(i->handles_path);
	return i->handles ? ADMIN_OK : ADMIN_FAILED;
}

int vlog_import(int argc, char **argv)
{
	struct import i = {.lz4 = false};
	/* clang-format off */
	const struct args_option options[] = {
		ADMIN_CONFIG(&i.admin),
		ADMIN_NAME(&i.admin, "value log, made new"),
		{ARGS_STRING, 0, "handles", &i.handles_path, "FILE",
		 "write where each record was and is; must not exist", 0, 0, false},
		{ARGS_FLAG, 0, "lz4", &i.lz4, NULL, "values are LZ4 behind their length", 0,
		 0, false},
		{ARGS_FLAG, 0, "all", &i.all, NULL,
		 "every segment there is, whatever the manifest says", 0, 0, false},
		{ARGS_FLAG, 0, "keep-going", &i.keep_going, NULL, "leave out what is damaged", 0, 0,
		 false},
		ADMIN_UNSAFE(&i.admin),
		ADMIN_OPTIONS(&i.admin),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin vlog import",
		.usage = "-c FILE -n NAME [--handles FILE] [--lz4] [--all] [--keep-going]\n"
			 "                              [--unsafe-store] [--json] FOLDER",
		.about = "Makes a value log of a folder of fjall-rs/value-log, format V1.",
		.options = options,
	};
	int status;

	if (admin_parse_operand(&i.admin, &args, argc, argv, "the folder", &i.folder_path,
				&status) < 0)
		return status;
	status = admin_begin_long();
	if (status == ADMIN_OK)
		status = admin_open(&i.admin, 0);
	if (status == ADMIN_OK)
		status = open_both(&i);
	if (status == ADMIN_OK)
		status = import_into_new(&i);
	if (i.handles)
		(void)unlink(i.handles_path); /* of no use: it speaks of a log that is not there */
	lsvd_vlog_v1_close(i.folder);
	if (i.handles)
		(void)fclose(i.handles); /* nor is what it could not write */
	admin_close(&i.admin);
	return status;
}
