/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * v1_segment.h - one segment file of fjall-rs/value-log, format V1, read from front to back.
 *
 * All integers are big-endian.
 *
 *   record    "VLGBLOB" 1, u64 checksum, u16 length, key, u32 length, stored value
 *   metadata  "VLOGSMD" 1, u64 records, u64 stored bytes, u64 raw bytes of values, u16 length,
 *             least key, u16 length, greatest key
 *   trailer   u64 offset of the metadata, zeroes, "VLOGTRL" 1: the last 256 bytes
 *
 * The checksum is XXH3-64 of key and stored value. Nothing else has one, so what metadata and
 * trailer say is believed only as far as it agrees with the records.
 */
#ifndef VLOG_V1_SEGMENT_H
#define VLOG_V1_SEGMENT_H

#include <stddef.h>
#include <stdint.h>

struct v1_segment {
	uint64_t id;
	char path[4200];
	int fd;                  /* -1: not open */
	uint64_t end;            /* where the records end and the metadata begins */
	uint64_t at;             /* where the next record begins */
	uint64_t items, stored_bytes;        /* as the metadata has them */
	uint64_t items_seen, stored_seen;
	uint8_t *buf;            /* bytes of the file from `buf_at` on */
	size_t buf_len, buf_room;
	uint64_t buf_at;
};

struct v1_record {
	uint64_t offset;
	const uint8_t *bytes;    /* the key, and the stored value right behind it;
				  * till the next call */
	uint32_t key_len, stored_len;
};

/* The memory of an earlier segment is kept. Fails as lsvd_vlog_v1_next() says. */
int lsvd_v1_segment_open(struct v1_segment *s, const char *folder, uint64_t id);
/*
 * 1 and the next record, verified; 0 at the end. On LSVD_E_CORRUPT `at` has moved on behind the
 * record, or to the end of the segment if nothing says where the next one is.
 */
int lsvd_v1_segment_next(struct v1_segment *s, struct v1_record *ret);
/* Closes the file. */
void lsvd_v1_segment_close(struct v1_segment *s);

#endif
