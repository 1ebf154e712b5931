/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_v1.h - reading folders of fjall-rs/value-log, format V1, for those who come from there.
 *
 * Such a folder has `.vlog` (which version), `vlog_manifest` (which segments) and
 * `segments/<number>`. It is read with nothing of it changed, and every record is verified by its
 * checksum. What is read is put into a log of vlog.h by the program, which also has the index to
 * rewrite: an item tells the handle that the old index has for it, lsvd_vlog_put() the new one.
 * `lsvd-admin vlog import` does the first and writes down the second.
 *
 *	while ((err = lsvd_vlog_v1_next(folder, &item)) > 0)
 *		… lsvd_vlog_put(writer, item.key.data, …, &handle);
 *
 * The folder must not be in use. A handle of this header is used by one thread at a time. Calls
 * block on the file system. Errors are those of <lsvd/error.h>; each call may fail with -ENOMEM,
 * and with the code of a system call that failed; the text names the file.
 */
#ifndef LSVD_VLOG_V1_H
#define LSVD_VLOG_V1_H

#include <lsvd/base.h>
#include <lsvd/vlog.h>

LSVD_BEGIN_DECLS

struct lsvd_vlog_v1;

/*
 * What the values were stored with. The format does not say it: the program that wrote them knows.
 */
enum lsvd_vlog_v1_codec {
	LSVD_VLOG_V1_STORED = 0,     /* nothing, or something that the program undoes itself */
	LSVD_VLOG_V1_LZ4 = 1         /* an LZ4 block behind its raw length, a u32,
				      * least byte first */
};

/*
 * Reads every file in segments/ that has a number for a name, whether the manifest lists it or not,
 * and reads no manifest at all: for folders whose manifest is lost. What writers had not finished
 * is among them then, and is told as damage.
 */
#define LSVD_VLOG_V1_ALL 0x1u

struct lsvd_vlog_v1_options {
	uint32_t size;           /* sizeof, set by LSVD_VLOG_V1_OPTIONS_INIT */
	uint32_t flags;          /* LSVD_VLOG_V1_ALL */
	uint32_t codec;          /* enum lsvd_vlog_v1_codec */
	uint32_t reserved0;
	uint64_t reserved[4];
};
#ifdef __cplusplus
#define LSVD_VLOG_V1_OPTIONS_INIT { (uint32_t)sizeof(struct lsvd_vlog_v1_options) }
#else
#define LSVD_VLOG_V1_OPTIONS_INIT { .size = (uint32_t)sizeof(struct lsvd_vlog_v1_options) }
#endif

/*
 * Opens the folder; `options` may be NULL. -ENOENT: there is none, or no marker or manifest in it;
 * LSVD_E_VERSION: another version; LSVD_E_CORRUPT: marker or manifest are no such, or the manifest
 * lists nothing while there are segments (LSVD_VLOG_V1_ALL reads these).
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_v1_open(struct lsvd_vlog_v1 **ret, const char *path,
					     const struct lsvd_vlog_v1_options *options);
/* NULL does nothing. */
LSVD_API void lsvd_vlog_v1_close(struct lsvd_vlog_v1 *folder);

/* Segments that will be read. */
LSVD_API size_t lsvd_vlog_v1_segment_count(const struct lsvd_vlog_v1 *folder);

/* A record. */
struct lsvd_vlog_v1_item {
	uint64_t segment, offset;       /* its handle there */
	/* Valid until the next call on the folder. */
	struct lsvd_vlog_slice key, value;
	uint64_t stored_bytes;          /* of the value, in the file */
};

/*
 * 1 and the next record: segments in order of their numbers, records in the order in which they
 * were written. 0 at the end. LSVD_E_CORRUPT: a record or a segment is damaged, cut short or
 * missing; it is named in the text, and in segment and offset of the item. The next call goes on
 * behind it: with the next record if this one's length can be believed, else with the next segment.
 * After other errors only closing is left.
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_v1_next(struct lsvd_vlog_v1 *folder,
					     struct lsvd_vlog_v1_item *ret);

/* Reads a handle as an index of there has it encoded; returns its length, or LSVD_E_CORRUPT. */
LSVD_API LSVD_MUST_USE int lsvd_vlog_v1_handle_decode(const void *bytes, size_t len,
						      uint64_t *ret_segment, uint64_t *ret_offset);

LSVD_END_DECLS

#endif
