/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * usage.h - what a store holds, and whose it is: sums that add up.
 *
 * One listing of everything in the store. Each object is counted in exactly one row, so that the
 * rows together are the store. What comes and goes during the listing may be counted or not.
 */
#ifndef LSVD_USAGE_H
#define LSVD_USAGE_H

#include <lsvd/base.h>
#include <lsvd/store.h>
#include <lsvd/volume.h>

LSVD_BEGIN_DECLS

enum lsvd_usage_kind {
	LSVD_USAGE_VOLUME = 1,
	LSVD_USAGE_VLOG = 2,     /* a value log */
	/*
	 * What no name leads to: of a deleted volume the claims stay; whatever else is there was
	 * left by a deletion that was interrupted, or by a writer that was cut off.
	 */
	LSVD_USAGE_DELETED = 3,
	LSVD_USAGE_PROBE = 4,    /* below probe/: one row */
	LSVD_USAGE_OTHER = 5     /* what is not of this library: one row */
};

struct lsvd_usage_row {
	uint32_t size;           /* sizeof */
	uint32_t kind;           /* enum lsvd_usage_kind */
	char name[LSVD_NAME_MAX + 1]; /* of a volume or value log, else "" */
	char uuid[37];           /* of these and of deleted ones, else "" */
	uint8_t reserved0[2];
	uint64_t objects, bytes; /* all of its objects, its record and claims among them */
	uint64_t claims, claim_bytes;
	uint64_t volume_bytes;   /* a volume's size now */
	int64_t created_ms;      /* as in struct lsvd_volume_info, */
	char base_uuid[37];      /* and so is this */
	uint8_t reserved1[3];
	uint64_t reserved2[1];
};

/* Non-zero ends the walk early. `row` is valid during the call only. */
typedef int (*lsvd_usage_fn)(void *ctx, const struct lsvd_usage_row *row);

/*
 * Calls `fn` for every row: volumes by name, value logs by name, what was deleted, and the rest if
 * there is any. Blocks on the store: a request for each thousand objects, and two for each volume.
 * LSVD_E_UNAVAILABLE, LSVD_E_CORRUPT (a record), -ENOMEM, other -errno of the store.
 */
LSVD_API LSVD_MUST_USE int lsvd_store_usage(struct lsvd_store *store, lsvd_usage_fn fn, void *ctx);

/* --------------------------------------------------------------- what one volume's space is for */

enum lsvd_space_kind {
	LSVD_SPACE_LIVE = 1,     /* what the volume reads */
	/*
	 * overwritten or trimmed, in objects that are alive in part:
	 * what lsvd_volume_gc() gives back, but for what snapshots need of it
	 */
	LSVD_SPACE_STALE = 2,
	LSVD_SPACE_SNAPSHOT = 3, /* objects that only snapshots need; a row for each snapshot that
				  * is the oldest to need some */
	LSVD_SPACE_WAITING = 4,  /* dead, and deleted after the next checkpoint */
	LSVD_SPACE_MAP = 5,      /* the newest checkpoint */
	LSVD_SPACE_BASE = 6      /* of a clone: objects of its bases that it, or its snapshots,
				  * read: they are stored there */
};

struct lsvd_space_row {
	uint32_t size;           /* sizeof */
	uint32_t kind;           /* enum lsvd_space_kind */
	char snapshot[LSVD_NAME_MAX + 1]; /* its name, or "" */
	uint8_t reserved0[7];
	uint64_t objects;        /* that are in this row alone; of STALE 0: they are in LIVE */
	uint64_t bytes;          /* as stored */
	/*
	 * Of SNAPSHOT: beside its bytes, what is overwritten in objects that the volume reads, too,
	 * and that no older snapshot needs. It is part of STALE, and comes back when no snapshot is
	 * left that needs these.
	 */
	uint64_t held_bytes;
	uint64_t reserved1[3];
};

typedef int (*lsvd_space_fn)(void *ctx, const struct lsvd_space_row *row);

/*
 * Calls `fn` for every row, LIVE first, then the others in their order, without those that are
 * empty. They tell of every object that the volume's map knows; beside these, the store has what
 * keeps the chain together (claims, bases, fences, anchors, notes). Bytes of objects alive in part
 * are shared out by what they were made of. Does not block on the store; looks at every object of
 * the map. -ENOMEM.
 */
LSVD_API LSVD_MUST_USE int lsvd_volume_space(struct lsvd_volume *volume, lsvd_space_fn fn,
					     void *ctx);

LSVD_END_DECLS

#endif
