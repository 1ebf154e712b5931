/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * v1_folder.c - a folder of fjall-rs/value-log: its marker, its manifest, and its segments in turn.
 *
 *   .vlog           "VLG" and the version, 1
 *   vlog_manifest   u64 count, then so many u64: the numbers of the segments, in any order
 *
 * Big-endian, without a checksum. A manifest of zeroes reads as "no segments", and its own library
 * would then delete them all; here it is damage as long as there are any. Nothing is written, ever.
 */
#include <lsvd/vlog_v1.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/options.h"
#include "format/fmt_varint.h"
#include "segment/seg_codec.h"
#include "vlog/v1_segment.h"

#define MANIFEST_ROOM (8u << 20) /* a million segments */
#define LZ4_RATIO 255u           /* no block of LZ4 gets longer than so many times its length */

struct lsvd_vlog_v1 {
	char *path;
	uint32_t flags, codec;
	uint64_t *ids;
	size_t count, next;      /* the one after that which is open */
	struct v1_segment segment;
	uint8_t *raw;            /* the value, decompressed */
	size_t raw_room;
};

/* ------------------------------------------------------------------------------- small files */

static int file_fail(const struct lsvd_vlog_v1 *f, const char *name, int error)
{
	return lsvd_fail(-error, "%.400s/%s: %s", f->path, name, strerror(error));
}

/* The whole file, at most `room` bytes; *ret_len: how many there are, more than room if so. */
static int read_file(const struct lsvd_vlog_v1 *f, int fd, const char *name, uint8_t *p,
		     size_t room, size_t *ret_len)
{
	uint8_t beyond;

	for (*ret_len = 0; *ret_len <= room;) {
		size_t left = room - *ret_len;
		ssize_t n = read(fd, left ? p + *ret_len : &beyond, left ? left : 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return file_fail(f, name, errno);
		if (n == 0)
			break;
		*ret_len += (size_t)n;
	}
	return 0;
}

static int load_file(const struct lsvd_vlog_v1 *f, const char *name, uint8_t *p, size_t room,
		     size_t *ret_len)
{
	char path[4200];
	int n = snprintf(path, sizeof path, "%s/%s", f->path, name), fd, err;

	if (n < 0 || (size_t)n >= sizeof path)
		return file_fail(f, name, ENAMETOOLONG);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return file_fail(f, name, errno);
	err = read_file(f, fd, name, p, room, ret_len);
	(void)close(fd); /* it was only read */
	return err;
}

static int read_marker(const struct lsvd_vlog_v1 *f)
{
	uint8_t marker[4];
	size_t len;
	int err = load_file(f, ".vlog", marker, sizeof marker, &len);

	if (err < 0)
		return err;
	if (len != sizeof marker || memcmp(marker, "VLG", 3) != 0)
		return lsvd_fail(LSVD_E_CORRUPT, "%.400s/.vlog: %zu bytes that mark no value log",
				 f->path, len);
	if (marker[3] != 1)
		return lsvd_fail(LSVD_E_VERSION, "%.400s/.vlog: version %u, this reads 1", f->path,
				 marker[3]);
	return 0;
}

/* ------------------------------------------------------------------------------ which segments */

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int add_id(struct lsvd_vlog_v1 *f, uint64_t id)
{
	uint64_t *p;

	if ((f->count & (f->count - 1)) == 0) {
		p = lsvd_realloc(f->ids, (f->count ? 2 * f->count : 1) * sizeof *p);
		if (!p)
			return lsvd_fail_plain(-ENOMEM);
		f->ids = p;
	}
	f->ids[f->count++] = id;
	return 0;
}

/* A number as the files have it: digits, no more, no zeroes before. */
static bool is_number(const char *name, uint64_t *ret)
{
	char again[24];
	char *end;

	errno = 0;
	*ret = strtoull(name, &end, 10);
	if (errno || *end)
		return false;
	(void)snprintf(again, sizeof again, "%llu", (unsigned long long)*ret);
	return strcmp(again, name) == 0;
}

static int read_entries(struct lsvd_vlog_v1 *f, DIR *d)
{
	struct dirent *e;
	uint64_t id;
	int err = 0;

	for (errno = 0; err == 0 && (e = readdir(d)); errno = 0)
		if (is_number(e->d_name, &id))
			err = add_id(f, id);
	if (err == 0 && errno)
		err = file_fail(f, "segments", errno);
	return err;
}

/* All files that could be segments. */
static int list_files(struct lsvd_vlog_v1 *f)
{
	char path[4200];
	int n = snprintf(path, sizeof path, "%s/segments", f->path), err;
	DIR *d;

	if (n < 0 || (size_t)n >= sizeof path)
		return file_fail(f, "segments", ENAMETOOLONG);
	d = opendir(path);
	if (!d)
		return file_fail(f, "segments", errno);
	err = read_entries(f, d);
	(void)closedir(d); /* it was only read */
	return err;
}

static int decode_manifest(struct lsvd_vlog_v1 *f, const uint8_t *p, size_t len)
{
	uint64_t count = len >= 8 ? be64_get(p) : 0;
	int err = 0;

	if (len > MANIFEST_ROOM)
		return lsvd_fail(-EFBIG, "%.400s/vlog_manifest: more than %u bytes", f->path,
				 MANIFEST_ROOM);
	if (len < 8 || count != (len - 8) / 8 || len % 8)
		return lsvd_fail(LSVD_E_CORRUPT, "%.400s/vlog_manifest: %zu bytes for %llu "
				 "segments; all files can be read without it", f->path, len,
				 (unsigned long long)count);
	for (uint64_t i = 0; err == 0 && i < count; i++)
		err = add_id(f, be64_get(p + 8 + 8 * i));
	return err;
}

static int read_manifest(struct lsvd_vlog_v1 *f)
{
	uint8_t *p = lsvd_malloc(MANIFEST_ROOM);
	size_t len;
	int err;

	if (!p)
		return lsvd_fail_plain(-ENOMEM);
	err = load_file(f, "vlog_manifest", p, MANIFEST_ROOM, &len);
	if (err == 0)
		err = decode_manifest(f, p, len);
	lsvd_free(p);
	return err;
}

/* No segments and no files is an empty log; no segments and files is one whose manifest is lost. */
static int nothing_listed(struct lsvd_vlog_v1 *f)
{
	size_t files;
	int err = list_files(f);

	if (err < 0)
		return err;
	files = f->count;
	f->count = 0;
	if (files)
		return lsvd_fail(LSVD_E_CORRUPT, "%.400s/vlog_manifest: lists no segment, and "
				 "segments/ has %zu files; these can be read without it",
				 f->path, files);
	return 0;
}

static int find_segments(struct lsvd_vlog_v1 *f)
{
	int err = f->flags & LSVD_VLOG_V1_ALL ? list_files(f) : read_manifest(f);

	if (err < 0)
		return err;
	if (f->count == 0)
		return f->flags & LSVD_VLOG_V1_ALL ? 0 : nothing_listed(f);
	qsort(f->ids, f->count, sizeof *f->ids, by_number);
	for (size_t i = 1; i < f->count; i++)
		if (f->ids[i] == f->ids[i - 1])
			return lsvd_fail(LSVD_E_CORRUPT,
					 "%.400s/vlog_manifest: lists segment %llu twice", f->path,
					 (unsigned long long)f->ids[i]);
	return 0;
}

/* ----------------------------------------------------------------------------- opening, closing */

static int take_options(struct lsvd_vlog_v1 *f, const struct lsvd_vlog_v1_options *options)
{
	struct lsvd_vlog_v1_options o;
	int err = lsvd_options_copy(&o, sizeof o, options, sizeof o, "lsvd_vlog_v1_options");

	if (err < 0)
		return err;
	if (o.flags & ~LSVD_VLOG_V1_ALL)
		return lsvd_fail(-EINVAL, "value log of format 1: flags 0x%x, known are 0x%x",
				 o.flags, LSVD_VLOG_V1_ALL);
	if (o.codec > LSVD_VLOG_V1_LZ4)
		return lsvd_fail(-EINVAL, "value log of format 1: codec %u, known are 0 to %u",
				 o.codec, LSVD_VLOG_V1_LZ4);
	f->flags = o.flags;
	f->codec = o.codec;
	return 0;
}

int lsvd_vlog_v1_open(struct lsvd_vlog_v1 **ret, const char *path,
		      const struct lsvd_vlog_v1_options *options)
{
	struct lsvd_vlog_v1 *f;
	int err;

	if (!ret || !path || !*path) /* below an empty one would be the root directory */
		return lsvd_fail(-EINVAL, "value log of format 1: no path given");
	f = lsvd_calloc(1, sizeof *f);
	if (!f)
		return lsvd_fail_plain(-ENOMEM);
	f->segment.fd = -1;
	f->path = lsvd_strdup(path);
	err = f->path ? take_options(f, options) : lsvd_fail_plain(-ENOMEM);
	if (err == 0)
		err = read_marker(f);
	if (err == 0)
		err = find_segments(f);
	if (err < 0)
		lsvd_vlog_v1_close(f);
	else
		*ret = f;
	return err;
}

void lsvd_vlog_v1_close(struct lsvd_vlog_v1 *f)
{
	if (!f)
		return;
	lsvd_v1_segment_close(&f->segment);
	lsvd_free(f->segment.buf);
	lsvd_free(f->raw);
	lsvd_free(f->ids);
	lsvd_free(f->path);
	lsvd_free(f);
}

size_t lsvd_vlog_v1_segment_count(const struct lsvd_vlog_v1 *f)
{
	return f->count;
}

/* -------------------------------------------------------------------------------------- records */

static int undo_lz4(struct lsvd_vlog_v1 *f, struct lsvd_vlog_v1_item *item)
{
	const uint8_t *p = item->value.data;
	size_t stored = item->value.size;
	uint32_t raw = stored >= 4 ? le32_get(p) : 0;
	uint8_t *room;

	if (stored < 4 || raw > LZ4_RATIO * (uint64_t)(stored - 4))
		return lsvd_fail(LSVD_E_CORRUPT,
				 "%.400s: record at byte %llu: %zu bytes are no LZ4 block of %u",
				 f->segment.path, (unsigned long long)item->offset, stored, raw);
	if (raw > f->raw_room) {
		room = lsvd_realloc(f->raw, raw);
		if (!room)
			return lsvd_fail_plain(-ENOMEM);
		f->raw = room;
		f->raw_room = raw;
	}
	if (raw && lsvd_decompress(CODEC_LZ4, f->raw, raw, p + 4, (uint32_t)stored - 4) < 0)
		return lsvd_fail(LSVD_E_CORRUPT, "%.400s: record at byte %llu: %zu bytes do not "
				 "decompress into %u", f->segment.path,
				 (unsigned long long)item->offset, stored, raw);
	item->value = (struct lsvd_vlog_slice){ f->raw, raw };
	return 0;
}

/* 1 and a record of the segment that is open, 0 at its end. */
static int next_record(struct lsvd_vlog_v1 *f, struct lsvd_vlog_v1_item *item)
{
	struct v1_record r;
	int err;

	item->offset = f->segment.at;
	err = lsvd_v1_segment_next(&f->segment, &r);
	if (err <= 0)
		return err;
	item->key = (struct lsvd_vlog_slice){ r.bytes, r.key_len };
	item->value = (struct lsvd_vlog_slice){ r.bytes + r.key_len, r.stored_len };
	item->stored_bytes = r.stored_len;
	err = f->codec == LSVD_VLOG_V1_LZ4 ? undo_lz4(f, item) : 0;
	return err < 0 ? err : 1;
}

int lsvd_vlog_v1_next(struct lsvd_vlog_v1 *f, struct lsvd_vlog_v1_item *ret)
{
	int err;

	for (;;) {
		memset(ret, 0, sizeof *ret);
		if (f->segment.fd >= 0) {
			ret->segment = f->segment.id;
			err = next_record(f, ret);
			if (err)
				return err;
			lsvd_v1_segment_close(&f->segment);
		}
		if (f->next == f->count)
			return 0;
		ret->segment = f->ids[f->next];
		f->next++;
		err = lsvd_v1_segment_open(&f->segment, f->path, ret->segment);
		if (err < 0)
			return err;
	}
}

int lsvd_vlog_v1_handle_decode(const void *bytes, size_t len, uint64_t *ret_segment,
			       uint64_t *ret_offset)
{
	uint64_t offset, segment;
	size_t n = lsvd_varint_get(bytes, len, &offset);
	size_t m = n ? lsvd_varint_get((const uint8_t *)bytes + n, len - n, &segment) : 0;

	if (!m)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "handle of format 1: %zu bytes are not two numbers", len);
	*ret_segment = segment;
	*ret_offset = offset;
	return (int)(n + m);
}
