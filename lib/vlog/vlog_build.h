/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_build.h - a segment of a value log: being built, and its footer read back.
 *
 *    head       struct object_head, kind VALUES; then {i64 created_ms, u64 0}
 *    records    one behind the other (vlog_record.h)
 *    index      for each record, by key, of equal ones the last written first, as varints: bytes
 *               shared with the key before, bytes that follow, those; offset, size, length of the
 *               value, and the commit it was first part of if collection has copied it, else 0
 *    metadata   of the program's own
 *    tail       {u64 magic, u64 where the index begins, u64 bytes of the index, u64 bytes of
 *               metadata, u64 records, u64 checksum of index, metadata and tail, bound to the
 *               segment}
 *
 * Index, metadata and tail are the footer. A segment means nothing until a chain object commits it;
 * that says, too, where the footer is.
 *
 * Pure but for memory.
 */
#ifndef VLOG_VLOG_BUILD_H
#define VLOG_VLOG_BUILD_H

#include <sys/uio.h>

#include "format/fmt_object.h"
#include "vlog/vlog_codec.h"
#include "vlog/vlog_record.h"

#define VLOG_SEGMENT_HEADER (OBJECT_HEAD_BYTES + 16u)
#define VLOG_TAIL_BYTES 48u
#define VLOG_FOOTER_MAX (UINT64_C(1) << 32)

/* A record of a segment, as its index has it. */
struct vlog_entry {
	const uint8_t *key;
	uint32_t key_len, raw;
	uint64_t offset, size, commit;
};

/* What a segment consists of. */
struct vlog_totals {
	uint64_t items;
	uint64_t raw;            /* bytes of values, */
	uint64_t stored;         /* and as they are stored */
	uint64_t records;        /* bytes of whole records */
};

struct vlog_build {
	struct uuid log;
	uint64_t owner, id, epoch;
	int64_t created_ms;
	uint8_t header[VLOG_SEGMENT_HEADER];
	struct vlog_chunk {
		uint8_t *bytes;
		size_t len, room;
	} *chunks;
	unsigned chunk_count, chunk_room;
	uint64_t offset;         /* where the next record will be */
	struct vlog_entry *entries;
	size_t entry_room;
	bool unsorted;
	struct vlog_totals totals;
	/* once sealed */
	uint64_t footer_at, object_bytes;
	uint8_t *footer;
	struct iovec *iov;
	int iovcnt;
};

/* An empty one. -ENOMEM. */
int lsvd_vlog_build_new(struct vlog_build **ret, const struct uuid *log, uint64_t epoch,
			uint64_t id);
void lsvd_vlog_build_free(struct vlog_build *b);
/*
 * Adds a record of that key and value, packed if `packer` (may be NULL) can; *ret: its handle.
 * After a failure nothing but freeing is left.
 */
int lsvd_vlog_build_add(struct vlog_build *b, struct vlog_packer *packer, uint8_t codec,
			const void *key, size_t key_len, const void *value, size_t len,
			struct lsvd_vlog_handle *ret);
/* Adds a verified record with hash H as it is, of `commit`. */
int lsvd_vlog_build_copy(struct vlog_build *b, const struct vlog_record *r, const uint8_t *bytes,
			 uint64_t hash, uint64_t commit, struct lsvd_vlog_handle *ret);
/* Index, tail and header; then iov is ready. */
int lsvd_vlog_build_seal(struct vlog_build *b, const void *metadata, size_t metadata_len);

/* ---- a footer */
struct vlog_footer {
	uint8_t *bytes;          /* all of it, its own */
	const uint8_t *index;
	size_t index_bytes;
	const uint8_t *metadata;
	uint32_t metadata_bytes;
	uint64_t items;
};
/* Takes the bytes over, also on failure. LSVD_E_CORRUPT. */
int lsvd_vlog_footer_decode(struct vlog_footer *ret, uint8_t *bytes, size_t len, uint64_t owner,
			    uint64_t id, uint64_t footer_at, const char *what);
void lsvd_vlog_footer_free(struct vlog_footer *f);

/* Walks the index, in order. The entry's key is the cursor's, until the next step. */
struct vlog_cursor {
	const struct vlog_footer *footer;
	const uint8_t *p;
	uint64_t left, segment;
	struct vlog_entry entry;
	uint8_t *key;
	size_t key_room;
	uint64_t footer_at;      /* no record reaches beyond */
};
void lsvd_vlog_cursor_init(struct vlog_cursor *c, const struct vlog_footer *f, uint64_t segment,
			   uint64_t footer_at);
void lsvd_vlog_cursor_fini(struct vlog_cursor *c);
/* 1: entry is the next; 0: there are no more; LSVD_E_CORRUPT, -ENOMEM. */
int lsvd_vlog_cursor_next(struct vlog_cursor *c);

/* As keys are ordered: by bytes, then by length. */
int lsvd_vlog_key_compare(const void *a, size_t a_len, const void *b, size_t b_len);

#endif
