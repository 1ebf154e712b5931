/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * v1_segment.c - reading a segment of fjall-rs/value-log: trailer, metadata, then every record.
 *
 * A record is taken only if its checksum is right. The metadata is compared when the last one has
 * been seen, so that a segment which lost records in its middle does not pass for whole. Lengths
 * are compared with what the file has before memory is asked for.
 */
#include "vlog/v1_segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lsvd/error.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"

#define RECORD_MAGIC "VLGBLOB\1"
#define METADATA_MAGIC "VLOGSMD\1"
#define TRAILER_MAGIC "VLOGTRL\1"
#define MAGIC_BYTES 8u
#define RECORD_HEAD 18u          /* magic, checksum, length of the key */
#define METADATA_HEAD 32u
#define TRAILER_BYTES 256u
#define READ_BYTES (256u << 10)  /* at once, if there is so much */

static int system_fail(const struct v1_segment *s, const char *what, int error)
{
	return lsvd_fail(-error, "%.400s: %s: %s", s->path, what, strerror(error));
}

/* ----------------------------------------------------------------------------------- the buffer */

static int read_fully(const struct v1_segment *s, uint8_t *p, size_t len, uint64_t off)
{
	while (len) {
		ssize_t n = pread(s->fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return system_fail(s, "read", errno);
		if (n == 0)
			return lsvd_fail(-EIO, "%.400s: ends at byte %llu while it is read",
					 s->path, (unsigned long long)off);
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int have_room(struct v1_segment *s, size_t len)
{
	uint8_t *p;

	if (len <= s->buf_room)
		return 0;
	p = lsvd_realloc(s->buf, len);
	if (!p)
		return lsvd_fail_plain(-ENOMEM);
	s->buf = p;
	s->buf_room = len;
	return 0;
}

/* Makes [off, off + len) readable, which lies before `limit`; bytes behind it are read with it. */
static int look_at(struct v1_segment *s, uint64_t off, uint64_t len, uint64_t limit, uint8_t **ret)
{
	uint64_t want;
	int err;

	if (off < s->buf_at || off + len > s->buf_at + s->buf_len) {
		want = max_u64(len, min_u64(READ_BYTES, limit - off));
		err = have_room(s, want);
		if (err < 0)
			return err;
		s->buf_len = 0;
		err = read_fully(s, s->buf, want, off);
		if (err < 0)
			return err;
		s->buf_at = off;
		s->buf_len = want;
	}
	*ret = s->buf + (off - s->buf_at);
	return 0;
}

/* ----------------------------------------------------------------------- trailer and metadata */

static int read_trailer(struct v1_segment *s, uint64_t bytes)
{
	uint64_t at = bytes - TRAILER_BYTES;
	uint8_t *p;
	int err = look_at(s, at, TRAILER_BYTES, bytes, &p);

	if (err < 0)
		return err;
	if (memcmp(p + TRAILER_BYTES - MAGIC_BYTES, TRAILER_MAGIC, MAGIC_BYTES) != 0)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "%.400s: no trailer at byte %llu: unfinished or damaged", s->path,
				 (unsigned long long)at);
	s->end = be64_get(p);
	if (s->end > at || at - s->end < METADATA_HEAD + 4)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "%.400s: its trailer puts the metadata at byte %llu, of %llu",
				 s->path, (unsigned long long)s->end, (unsigned long long)bytes);
	return 0;
}

static int read_metadata(struct v1_segment *s, uint64_t limit)
{
	uint8_t *p;
	int err = look_at(s, s->end, METADATA_HEAD, limit, &p);

	if (err < 0)
		return err;
	if (memcmp(p, METADATA_MAGIC, MAGIC_BYTES) != 0)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "%.400s: no metadata at byte %llu, where its trailer has it",
				 s->path, (unsigned long long)s->end);
	s->items = be64_get(p + 8);
	s->stored_bytes = be64_get(p + 16);
	return 0;
}

static int open_file(struct v1_segment *s, uint64_t *ret_bytes)
{
	struct stat st;

	/* without NONBLOCK a pipe of this name would hold the caller up */
	s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (s->fd < 0 && errno == ENOENT)
		return lsvd_fail(LSVD_E_CORRUPT,
				 "%.400s: the manifest lists it, and it is missing", s->path);
	if (s->fd < 0)
		return system_fail(s, "open", errno);
	if (fstat(s->fd, &st) < 0)
		return system_fail(s, "stat", errno);
	if (!S_ISREG(st.st_mode))
		return lsvd_fail(LSVD_E_CORRUPT, "%.400s: not a file", s->path);
	*ret_bytes = (uint64_t)st.st_size;
	return 0;
}

int lsvd_v1_segment_open(struct v1_segment *s, const char *folder, uint64_t id)
{
	uint64_t bytes = 0;
	int n, err;

	lsvd_v1_segment_close(s);
	s->id = id;
	s->at = s->end = s->items = s->stored_bytes = s->items_seen = s->stored_seen = 0;
	n = snprintf(s->path, sizeof s->path, "%s/segments/%llu", folder, (unsigned long long)id);
	if (n < 0 || (size_t)n >= sizeof s->path)
		return lsvd_fail(-ENAMETOOLONG, "%.200s: a path of %d bytes", folder, n);
	err = open_file(s, &bytes);
	if (err == 0 && bytes < TRAILER_BYTES + METADATA_HEAD + 4)
		err = lsvd_fail(LSVD_E_CORRUPT, "%.400s: %llu bytes, a segment has at least %u",
				s->path, (unsigned long long)bytes,
				TRAILER_BYTES + METADATA_HEAD + 4);
	if (err == 0)
		err = read_trailer(s, bytes);
	if (err == 0)
		err = read_metadata(s, bytes);
	if (err < 0)
		lsvd_v1_segment_close(s);
	return err;
}

void lsvd_v1_segment_close(struct v1_segment *s)
{
	if (s->fd >= 0)
		(void)close(s->fd); /* it was only read */
	s->fd = -1;
	s->buf_len = 0;
}

/* -------------------------------------------------------------------------------------- records */

/* What is at `at` is no record: nothing says where the next one is. */
static int lost(struct v1_segment *s, const char *why)
{
	uint64_t at = s->at;

	s->at = s->end;
	s->items_seen = s->items; /* said once is enough */
	s->stored_seen = s->stored_bytes;
	return lsvd_fail(LSVD_E_CORRUPT,
			 "%.400s: byte %llu: %s; what follows is lost up to byte %llu", s->path,
			 (unsigned long long)at, why, (unsigned long long)s->end);
}

static int compare_metadata(struct v1_segment *s)
{
	uint64_t items = s->items_seen, stored = s->stored_seen;

	if (items == s->items && stored == s->stored_bytes)
		return 0;
	s->items_seen = s->items;
	s->stored_seen = s->stored_bytes;
	return lsvd_fail(LSVD_E_CORRUPT, "%.400s: %llu records with %llu bytes of values, its "
			 "metadata has %llu with %llu", s->path, (unsigned long long)items,
			 (unsigned long long)stored, (unsigned long long)s->items,
			 (unsigned long long)s->stored_bytes);
}

/* The lengths of the record at `at`, which lies before `end` whole; its checksum. */
static int read_head(struct v1_segment *s, struct v1_record *r, uint64_t *ret_sum)
{
	uint64_t left = s->end - s->at;
	uint8_t *p;
	int err;

	if (left < RECORD_HEAD)
		return lost(s, "no room for a record");
	err = look_at(s, s->at, RECORD_HEAD, s->end, &p);
	if (err < 0)
		return err;
	if (memcmp(p, RECORD_MAGIC, MAGIC_BYTES) != 0)
		return lost(s, "no record begins there");
	*ret_sum = be64_get(p + MAGIC_BYTES);
	r->key_len = be16_get(p + 16);
	if (left < RECORD_HEAD + r->key_len + 4)
		return lost(s, "a key longer than the segment");
	err = look_at(s, s->at, RECORD_HEAD + (uint64_t)r->key_len + 4, s->end, &p);
	if (err < 0)
		return err;
	r->stored_len = be32_get(p + RECORD_HEAD + r->key_len);
	if (left < RECORD_HEAD + (uint64_t)r->key_len + 4 + r->stored_len)
		return lost(s, "a value longer than the segment");
	return 0;
}

int lsvd_v1_segment_next(struct v1_segment *s, struct v1_record *ret)
{
	struct v1_record r = { .offset = s->at };
	uint64_t sum = 0, found, len;
	uint8_t *p;
	int err;

	if (s->at == s->end)
		return compare_metadata(s);
	err = read_head(s, &r, &sum);
	if (err < 0)
		return err;
	len = RECORD_HEAD + (uint64_t)r.key_len + 4 + r.stored_len;
	err = look_at(s, s->at, len, s->end, &p);
	if (err < 0)
		return err;
	s->at += len;
	s->items_seen++;
	s->stored_seen += r.stored_len;
	p += RECORD_HEAD;
	memmove(p + 4, p, r.key_len); /* next to the value, as the checksum has them */
	r.bytes = p + 4;
	found = lsvd_hash(r.bytes, (size_t)r.key_len + r.stored_len);
	if (found != sum)
		return lsvd_fail(LSVD_E_CORRUPT, "%.400s: record at byte %llu: checksum %016llx, "
				 "its bytes have %016llx", s->path, (unsigned long long)r.offset,
				 (unsigned long long)sum, (unsigned long long)found);
	*ret = r;
	return 1;
}
