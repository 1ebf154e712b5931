/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mirror_read.h - the records of a mirror, one after the other, verified.
 *
 * Procedures. Everything comes from a disk and is checked.
 */
#ifndef VOLUME_MIRROR_READ_H
#define VOLUME_MIRROR_READ_H

#include "format/fmt_mirror.h"
#include "format/fmt_chain.h"
#include "volume/vol_mirror.h"

/* A mirror being read. */
struct mirror_in {
	struct lsvd_volume *v;
	char name[MIRROR_NAME_CAP];
	struct file *file;       /* NULL: there is none, or no head in it */
	struct mirror_head head;
	uint64_t bytes;
	bool past_cache;
	uint8_t *window;
	uint64_t window_off, window_len, window_room;
	uint64_t last_op;        /* the newest operation that it covers */
	uint64_t volume_bytes;   /* in the end */
	uint64_t end;            /* behind the last record that was good */
	uint64_t nonce;          /* of the records there */
	bool marked;             /* lsvd_mirror_reach(): a mark was found, and … */
	struct place at;         /* … this is the newest object that the file has */
};

/* What is done with a record. */
typedef int (*record_fn)(struct mirror_in *in, uint32_t kind, const uint8_t *payload,
			 uint32_t bytes);

/* Makes [off, off + len) readable; -ENODATA beyond the file's end. */
int lsvd_mirror_look(struct mirror_in *in, uint64_t off, uint64_t len, uint8_t **ret);
/* All records, in order, up to the first that does not verify; the snapshot must be whole. */
int lsvd_mirror_each(struct mirror_in *in, record_fn fn);

/*
 * How far does a complete file get, and where does it end? Looks at what is behind the snapshot
 * only, and sets `marked`, `at`, `last_op`, `end` and `nonce`.
 */
int lsvd_mirror_reach(struct mirror_in *in);

struct mirror_chain {
	struct object_head head;
	struct chain_part chain;
};
int lsvd_mirror_chain_decode(const struct mirror_in *in, struct mirror_chain *ret,
			     const uint8_t *payload, uint32_t bytes);
/* Its operations must follow in->last_op; that, and the size, are then what it says. */
int lsvd_mirror_chain_follow(struct mirror_in *in, const struct mirror_chain *r);

/* The file is the caller's. */
void lsvd_mirror_in_fini(struct mirror_in *in);

#endif
