/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_import.c - "lsvd-admin import": a new volume with the content of an image.
 *
 * A volume that is there is whole. Whatever goes wrong on the way - the source, the sum, the store,
 * a signal - the volume is deleted again. Should even that not be possible, because the process is
 * killed or the store is away, what stays behind cannot be taken for the image:
 *
 *  (1) Its first MiB, where boot sectors, partition tables and file systems begin, is written last,
 *      after the sum has been compared. The volume's history has an order, so no crash can show it
 *      without everything else.
 *  (2) Its chain is not closed, and its local log lay in a directory of the import's own, so
 *      opening it for writing is refused.
 *
 * States:  CREATED -> OPEN -> WRITTEN (all but the head) -> VERIFIED -> CLOSED -> (read back) ->
 * done, and from each of them, on failure, to deleted.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/cmd.h"
#include "admin/long.h"
#include "admin/output.h"
#include "admin/progress.h"
#include "admin/reader.h"
#include "admin/source.h"
#include "admin/sum.h"
#include "admin/writer.h"
#include "common/stop.h"

#define HEAD_BYTES  WRITER_CHUNK
#define LOG_BYTES   (UINT64_C(128) << 20)
#define SYNC_MS     200u
#define CLOSE_MS    60000u

struct import {
	struct admin admin;
	const char *from;
	uint64_t size;       /* 0: the source's */
	const char *uuid, *verify, *ca_file;
	int format;
	bool read_back;

	struct source *source;
	struct lsvd_volume_info info;
	struct lsvd_volume *volume;
	struct writer *writer;
	char *cache_dir;     /* of the import alone */
	uint8_t *head;       /* HEAD_BYTES, held back */
	uint32_t head_len;
	uint64_t bytes;      /* read from the source */
	uint64_t data_bytes; /* of these, not zero */
	bool summed;
	struct sum sum;
	char hex[SUM_TEXT];
};

/* ----------------------------------------------------------------------------- the new volume */

static uint64_t round_up(uint64_t n)
{
	return (n + LSVD_SECTOR_BYTES - 1) / LSVD_SECTOR_BYTES * LSVD_SECTOR_BYTES;
}

/* How large the volume is to be. */
static int decide_size(struct import *im)
{
	const struct source *s = im->source;
	uint64_t need = s->bytes == SOURCE_UNKNOWN ? 0 : s->bytes;

	if (need > LSVD_VOLUME_MAX_BYTES)
		return admin_error("%s has %llu bytes, a volume at most %llu", s->name,
				   (unsigned long long)need,
				   (unsigned long long)LSVD_VOLUME_MAX_BYTES);
	if (s->bytes == SOURCE_UNKNOWN && !im->size)
		return admin_error("%s does not say how long it is: give the volume's size, --size",
				   s->name);
	if (s->bytes == 0 && !im->size)
		return admin_error("%s is empty: give the volume's size, --size", s->name);
	if (im->size && im->size < need)
		return admin_error("%s has %llu bytes, more than --size, %llu", s->name,
				   (unsigned long long)need, (unsigned long long)im->size);
	if (!im->size)
		im->size = round_up(need);
	return 0;
}

/* A directory in the cache's, so that it lies on the disk that is meant for such things. */
static int make_cache_dir(struct import *im)
{
	const char *cache = lsvd_config_cache_path(im->admin.config);

	if (!cache)
		return admin_error("%s: cache_path is missing: an import needs a local log",
				   im->admin.config_path);
	if (asprintf(&im->cache_dir, "%s/import.%s", cache, im->info.uuid) < 0) {
		im->cache_dir = NULL;
		return admin_error("out of memory");
	}
	return 0;
}

static void remove_cache_dir(struct import *im)
{
	DIR *dir = im->cache_dir ? opendir(im->cache_dir) : NULL;
	struct dirent *entry;

	if (dir) {
		while ((entry = readdir(dir)))
			if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
				(void)unlinkat(dirfd(dir), entry->d_name, 0); /* rmdir says it */
		(void)closedir(dir);
		if (rmdir(im->cache_dir) < 0)
			(void)admin_error("%s: %s", im->cache_dir, strerror(errno));
	}
	free(im->cache_dir);
	im->cache_dir = NULL;
}

static int open_volume(struct import *im)
{
	struct lsvd_volume_options options = LSVD_VOLUME_OPTIONS_INIT;

	if (make_cache_dir(im) < 0)
		return -1;
	lsvd_config_volume_options(im->admin.config, &options);
	options.flags |= admin_flags(&im->admin);
	options.cache_dir = im->cache_dir;
	options.rcache_bytes = UINT64_MAX;
	if (!options.log_bytes || options.log_bytes > LOG_BYTES)
		options.log_bytes = LOG_BYTES;
	if (lsvd_volume_open(&im->volume, im->admin.store, im->admin.name, &options) < 0) {
		(void)admin_fail(); /* the status says it */
		return -1;
	}
	return 0;
}

/* ----------------------------------------------------------------------------- source to volume */

static int source_grew(const struct import *im)
{
	return admin_error("%s has more than %llu bytes, the volume's size", im->source->name,
			   (unsigned long long)im->size);
}

/* The buffer's `len` bytes belong to `off`: written, or held back. */
static int put(struct import *im, uint8_t *buf, uint64_t off, size_t len)
{
	uint32_t padded = (uint32_t)round_up(len);

	if (im->summed)
		sum_add(&im->sum, buf, len);
	memset(buf + len, 0, padded - len);
	if (off == 0) {
		memcpy(im->head, buf, padded);
		im->head_len = padded;
		return 0;
	}
	writer_put(im->writer, off, padded);
	return 0;
}

static size_t chunk_len(const struct import *im, uint64_t off, uint64_t left)
{
	uint64_t n = WRITER_CHUNK - off % WRITER_CHUNK;

	n = n < left ? n : left;
	return (size_t)(n < im->size - off ? n : im->size - off);
}

/* `len` bytes of data; fewer only if the source ends. */
static int copy_data(struct import *im, uint64_t len, bool *ret_end)
{
	uint64_t end = im->bytes + len;

	while (im->bytes < end && !*ret_end) {
		uint8_t *buf = writer_buffer(im->writer);
		size_t n = chunk_len(im, im->bytes, end - im->bytes), got;

		if (!buf || im->source->ops->read(im->source, im->bytes, buf, n, &got) < 0)
			return -1;
		*ret_end = got < n;
		if (got && put(im, buf, im->bytes, got) < 0)
			return -1;
		im->bytes += got;
		progress_show(im->bytes);
	}
	return 0;
}

static int skip_hole(struct import *im, uint64_t len)
{
	if (im->summed)
		sum_add_zeroes(&im->sum, len);
	im->bytes += len;
	progress_show(im->bytes);
	return admin_stopped() ? -1 : 0;
}

static int copy_known(struct import *im)
{
	struct source *s = im->source;
	bool end = false;

	while (im->bytes < s->bytes && !end) {
		uint64_t len = s->bytes - im->bytes;
		bool hole = false;

		if (im->bytes < HEAD_BYTES) /* in one piece, holes or not */
			len = len < HEAD_BYTES ? len : HEAD_BYTES;
		else if (s->ops->stretch && s->ops->stretch(s, im->bytes, &len, &hole) < 0)
			return -1;
		if ((hole ? skip_hole(im, len) : copy_data(im, len, &end)) < 0)
			return -1;
	}
	if (im->bytes < s->bytes)
		return admin_error("%s ended after %llu bytes, expected %llu", s->name,
				   (unsigned long long)im->bytes, (unsigned long long)s->bytes);
	return 0;
}

/* Until it ends; if it goes on beyond the volume's end, that is an error. */
static int copy_unknown(struct import *im)
{
	bool end = false;
	char more;
	size_t got;

	if (copy_data(im, im->size, &end) < 0)
		return -1;
	if (end)
		return 0;
	if (im->source->ops->read(im->source, im->bytes, &more, 1, &got) < 0)
		return -1;
	return got ? source_grew(im) : 0;
}

/* For a source of known length: nothing may come after it; of a URL, this is where a cut shows. */
static int copy(struct import *im)
{
	size_t got;
	char more;

	if (im->source->bytes == SOURCE_UNKNOWN)
		return copy_unknown(im);
	if (copy_known(im) < 0)
		return -1;
	if (im->source->ops->stretch)
		return 0;
	if (im->source->ops->read(im->source, im->bytes, &more, 1, &got) < 0)
		return -1;
	return got ? admin_error("%s goes on after the %llu bytes that it said it has",
				 im->source->name, (unsigned long long)im->bytes) : 0;
}

/* -------------------------------------------------------------------------------------- the end */

static int verify(struct import *im)
{
	if (im->summed)
		sum_end(&im->sum, im->hex);
	if (im->verify && !sum_equal(im->hex, im->verify))
		return admin_error("%s: SHA-256 is %s, expected %s", im->source->name, im->hex,
				   im->verify);
	return 0;
}

static int write_head(struct import *im)
{
	uint8_t *buf;

	if (writer_finish(im->writer) < 0)
		return -1;
	if (!im->head_len)
		return 0;
	buf = writer_buffer(im->writer);
	if (!buf)
		return -1;
	memcpy(buf, im->head, im->head_len);
	writer_put(im->writer, 0, im->head_len);
	return writer_finish(im->writer);
}

/* Into the store, looking at the signals now and then. */
static int sync_volume(struct import *im)
{
	int err;

	do {
		if (admin_stopped())
			return -1;
		progress_show(im->bytes);
		err = lsvd_volume_sync(im->volume, SYNC_MS);
	} while (err == -ETIMEDOUT);
	if (err < 0)
		(void)admin_fail(); /* the status says it */
	return err < 0 ? -1 : 0;
}

static int close_volume(struct import *im, uint32_t drain_ms)
{
	struct lsvd_volume *v = im->volume;
	int err;

	im->volume = NULL;
	err = lsvd_volume_close(v, drain_ms);
	if (err < 0)
		return admin_error("volume %s: %s", im->admin.name, lsvd_last_error());
	return err ? admin_error("volume %s: not everything could be stored", im->admin.name) : 0;
}

/* From the store: a reader without a cache has nothing else. */
static int read_back(struct import *im)
{
	struct lsvd_volume_options options = LSVD_VOLUME_OPTIONS_INIT;
	struct lsvd_volume *v;
	char hex[SUM_TEXT];
	int err;

	options.flags = LSVD_OPEN_READONLY;
	if (lsvd_volume_open(&v, im->admin.store, im->admin.name, &options) < 0) {
		(void)admin_fail(); /* the status says it */
		return -1;
	}
	err = admin_sum_range(v, 0, im->bytes, "read back", hex);
	if (lsvd_volume_close(v, 0) < 0 && !err)
		err = admin_error("%s", lsvd_last_error());
	if (!err && !sum_equal(hex, im->hex))
		err = admin_error("volume %s: what was read back has SHA-256 %s, expected %s",
				  im->admin.name, hex, im->hex);
	return err;
}

static int fill_volume(struct import *im)
{
	int err;

	im->writer = writer_new(im->volume);
	im->head = malloc(HEAD_BYTES);
	if (!im->writer || !im->head)
		return im->writer ? admin_error("out of memory") : -1;
	progress_begin("import", im->source->bytes == SOURCE_UNKNOWN ? 0 : im->source->bytes);
	err = copy(im);
	if (!err)
		err = verify(im);
	if (!err)
		err = write_head(im);
	if (!err)
		err = sync_volume(im);
	im->data_bytes = writer_bytes(im->writer);
	progress_end();
	return err;
}

/* Nothing that looks whole stays behind. */
static void undo(struct import *im)
{
	if (im->volume)
		(void)lsvd_volume_close(im->volume, 0); /* it is to be deleted */
	im->volume = NULL;
	if (stop_requested())
		(void)admin_error("interrupted");
	if (lsvd_volume_delete_flags(im->admin.store, im->admin.name, admin_flags(&im->admin)) < 0)
		(void)admin_error("volume %s is incomplete and could not be deleted: %s",
				  im->admin.name, lsvd_last_error());
	else
		(void)admin_error("volume %s: not imported, nothing is left of it", im->admin.name);
}

static int import_into(struct import *im)
{
	int err = open_volume(im);

	if (!err)
		err = fill_volume(im);
	if (!err)
		err = close_volume(im, CLOSE_MS);
	if (!err && im->read_back)
		err = read_back(im);
	if (err)
		undo(im);
	writer_free(im->writer); /* after the close, which ends what waits */
	free(im->head);
	remove_cache_dir(im);
	return err;
}

/* ---------------------------------------------------------------------------------- the command */

static json_t *facts(const struct import *im)
{
	json_t *all = output_volume(&im->info);
	int err = json_object_set_new(all, "source_bytes", json_integer((json_int_t)im->bytes));

	err |= json_object_set_new(all, "data_bytes", json_integer((json_int_t)im->data_bytes));
	err |= json_object_set_new(all, "sha256", im->summed ? json_string(im->hex) : json_null());
	err |= json_object_set_new(all, "read_back", json_boolean(im->read_back));
	if (!err)
		return all;
	json_decref(all);
	return NULL;
}

static int print_imported(struct import *im)
{
	char size[32], data[32], sentence[512];

	output_bytes(size, im->info.bytes);
	output_bytes(data, im->data_bytes);
	(void)snprintf(sentence, sizeof sentence,
		       "volume %s imported: %s (%llu bytes), %s of them data, uuid %s%s%s",
		       im->info.name, size, (unsigned long long)im->info.bytes, data, im->info.uuid,
		       im->summed ? ", sha256 " : "", im->summed ? im->hex : "");
	return output_sentence(sentence, facts(im), im->admin.json);
}

static int import(struct import *im)
{
	const struct source_web web = {im->verify != NULL, im->ca_file};
	int status;

	im->source = source_open(im->from, (enum source_format)im->format, &web);
	if (!im->source || decide_size(im) < 0)
		return ADMIN_FAILED;
	status = admin_open(&im->admin, LSVD_STORE_CREATE);
	if (status != ADMIN_OK)
		return status;
	im->summed = im->verify || im->read_back;
	sum_init(&im->sum);
	if (lsvd_volume_create_flags(im->admin.store, im->admin.name, im->size, im->uuid,
				     admin_flags(&im->admin), &im->info) < 0)
		return admin_fail();
	if (import_into(im) < 0)
		return ADMIN_FAILED;
	return print_imported(im);
}

static int check(const struct import *im, const struct args *args)
{
	if (im->size % LSVD_SECTOR_BYTES)
		return args_fail(args, "option --size: %llu is not a multiple of %u",
				 (unsigned long long)im->size, LSVD_SECTOR_BYTES);
	if (im->uuid && !admin_good_uuid(im->uuid))
		return args_fail(args, "option --uuid: '%s' is not 8-4-4-4-12 hexadecimal digits",
				 im->uuid);
	if (im->verify && !sum_is_one(im->verify))
		return args_fail(args, "option --verify: '%s' is not 64 hexadecimal digits",
				 im->verify);
	return 0;
}

static int run(int argc, char **argv)
{
	struct import im = {.info = LSVD_VOLUME_INFO_INIT};
	/* clang-format off */
	const struct args_option options[] = {
		ADMIN_CONFIG(&im.admin),
		ADMIN_NAME(&im.admin, "name of the new volume"),
		{ARGS_CHOICE, 'f', "format", &im.format, "auto|raw|qcow2",
		 "of the image (default: raw; what looks like qcow2 is refused)", 0, 0, false},
		{ARGS_SIZE, 's', "size", &im.size, "SIZE",
		 "the volume's size (default: the image's); also -S",
		 LSVD_SECTOR_BYTES, LSVD_VOLUME_MAX_BYTES, false},
		{ARGS_SIZE, 'S', NULL, &im.size, "SIZE", NULL,
		 LSVD_SECTOR_BYTES, LSVD_VOLUME_MAX_BYTES, false},
		{ARGS_STRING, 'u', "uuid", &im.uuid, "UUID", "its UUID (default: a random one)",
		 0, 0, false},
		{ARGS_STRING, 0, "verify", &im.verify, "SHA256",
		 "the sum that the image's bytes must have", 0, 0, false},
		{ARGS_STRING, 0, "ca-file", &im.ca_file, "FILE",
		 "certificates to trust for an https URL (default: the system's)", 0, 0, false},
		{ARGS_FLAG, 0, "read-back", &im.read_back, NULL,
		 "read everything from the store again and compare", 0, 0, false},
		ADMIN_UNSAFE(&im.admin),
		ADMIN_OPTIONS(&im.admin),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin import",
		.usage = "-c FILE -n NAME [-f FORMAT] [-s SIZE] [--verify SHA256] [--read-back]\n"
			 "                         [--ca-file FILE] [-u UUID] "
			 "[--unsafe-store] [--json]\n"
			 "                         FILE | URL | -",
		.about = "Makes a volume with the content of an image: a file, "
			 "a block device, an http\n"
			 "or https URL, or standard input. Zeroes become holes. "
			 "If anything goes wrong,\n"
			 "there is no volume.",
		.options = options,
	};
	int status;

	if (admin_parse_operand(&im.admin, &args, argc, argv, "FILE, URL or -", &im.from, &status) <
	    0)
		return status;
	if (check(&im, &args) < 0)
		return ADMIN_USAGE;
	status = admin_begin_long();
	if (status == ADMIN_OK)
		status = import(&im);
	source_close(im.source);
	admin_close(&im.admin);
	return status;
}

const struct admin_cmd cmd_import = {"import", "make a volume from an image", run};
