/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check.h - is what the store has of a volume whole? And what to do if it is not.
 *
 * A check reads and never puts, deletes or writes anything, neither in the store nor in the cache
 * directory. It goes through everything that the next open, and every read after it, would rely on:
 *
 *   fast   volume record, claims, the chain of each epoch, the root with its nodes and pages, the
 *          chain after it, every object by name and length, the map against the objects, live
 *          bytes; with a cache directory its log and mirror
 *   deep   besides, every byte of every object that lives, against its checksums
 *
 * What the fast check cannot see is damage within the data of an object whose length is right.
 *
 * The volume must not be written meanwhile: an object that garbage collection deletes under the
 * eyes of a check is missing to it. If the chain has grown by the end the result is -EBUSY, and
 * what was found is to be taken for nothing.
 */
#ifndef LSVD_CHECK_H
#define LSVD_CHECK_H

#include <lsvd/base.h>
#include <lsvd/store.h>
#include <lsvd/volume.h>

LSVD_BEGIN_DECLS

enum lsvd_check_severity {
	LSVD_CHECK_INFO = 0,     /* nothing is wrong */
	LSVD_CHECK_WARNING = 1,  /* wrong, but nothing that the volume is made of */
	LSVD_CHECK_ERROR = 2     /* the volume cannot be opened, or a part of it not be read */
};

enum lsvd_check_kind {
	LSVD_CHECK_DAMAGED = 1,  /* bytes do not match their checksum, or cannot be */
	LSVD_CHECK_LENGTH = 2,   /* shorter or longer than it was made */
	LSVD_CHECK_MISSING = 3,  /* not there, and needed */
	LSVD_CHECK_FOREIGN = 4,  /* whole, but of another name, volume or kind */
	LSVD_CHECK_NEWER = 5,    /* made by a newer version: nothing can be said about it */
	LSVD_CHECK_ASTRAY = 6,   /* whole, but contradicts another one */
	LSVD_CHECK_ORPHAN = 7,   /* nothing leads to it: it only takes space */
	LSVD_CHECK_CACHE = 8,    /* of the local log or the mirror */
	LSVD_CHECK_TORN = 9      /* a part of an object at the chain's end, never acknowledged */
};

/* Bytes of the volume. */
struct lsvd_check_range {
	uint64_t off, len;
};

/* Valid during the call only. */
struct lsvd_check_finding {
	uint32_t size;
	uint32_t severity;       /* enum lsvd_check_severity */
	uint32_t kind;           /* enum lsvd_check_kind */
	uint32_t range_count;
	const char *object;      /* name in the store, or the file in the cache directory;
				  * never NULL */
	uint64_t off, len;       /* bytes of it; len 0: all of it */
	/* What cannot be read for that, in order of address: the first few, and how much in all. */
	const struct lsvd_check_range *ranges;
	uint64_t affected_bytes;
	const char *text;        /* what is wrong: one line */
	const char *advice;      /* what to do: one line, or "" */
	uint64_t reserved[4];
};

typedef void (*lsvd_check_fn)(void *ctx, const struct lsvd_check_finding *finding);

enum lsvd_check_stage {
	LSVD_CHECK_LISTING = 0,
	LSVD_CHECK_CLAIMS = 1,   /* done, total: claims */
	LSVD_CHECK_CHAIN = 2,    /* chain objects */
	LSVD_CHECK_MAP = 3,      /* sectors of the volume */
	LSVD_CHECK_DATA = 4      /* deep: bytes */
};

/* Non-zero ends the check. */
typedef int (*lsvd_check_progress_fn)(void *ctx, uint32_t stage, uint64_t done, uint64_t total);

#define LSVD_CHECK_DEEP 0x1u

/* Set with LSVD_CHECK_OPTIONS_INIT. */
struct lsvd_check_options {
	uint32_t size;
	uint32_t flags;          /* LSVD_CHECK_DEEP */
	const char *cache_dir;   /* its log and mirror, too; NULL: the store alone */
	lsvd_check_fn finding;   /* both are called on the calling thread; may be NULL */
	lsvd_check_progress_fn progress;
	void *ctx;
	uint64_t memory_bytes;   /* deep: objects in memory at once; 0: 64 MiB. One always is */
	uint64_t reserved[6];
};
#ifdef __cplusplus
#define LSVD_CHECK_OPTIONS_INIT { (uint32_t)sizeof(struct lsvd_check_options) }
#else
#define LSVD_CHECK_OPTIONS_INIT { .size = (uint32_t)sizeof(struct lsvd_check_options) }
#endif

struct lsvd_check_report {
	uint32_t size;           /* set by LSVD_CHECK_REPORT_INIT */
	uint32_t complete;       /* 1: it came to its end, and nothing kept it from
				  * looking everywhere */
	uint64_t errors, warnings, infos;
	uint64_t objects, bytes; /* listed */
	uint64_t chain_objects;  /* read */
	uint64_t pages;          /* of the map */
	uint64_t extents;        /* of the map */
	uint64_t live_bytes;     /* that the map refers to */
	uint64_t data_objects;   /* that live */
	uint64_t verified_objects, verified_bytes; /* deep */
	uint64_t orphans, orphan_bytes;
	uint64_t dead_objects, dead_bytes; /* still there, to be deleted */
	uint64_t affected_bytes; /* of the volume, that cannot be read */
	uint64_t gets, get_bytes;
	uint32_t stage;          /* the last one begun: enum lsvd_check_stage */
	uint32_t repairable;     /* 1: all errors are in the checkpoint;
				  * lsvd_volume_repair() may help */
	uint64_t reserved[8];
};
#ifdef __cplusplus
#define LSVD_CHECK_REPORT_INIT { (uint32_t)sizeof(struct lsvd_check_report) }
#else
#define LSVD_CHECK_REPORT_INIT { .size = (uint32_t)sizeof(struct lsvd_check_report) }
#endif

/*
 * Checks the volume `name`. Blocks. `options` and `report` may be NULL. *report is also filled on
 * failure, as far as it went.
 *
 * 0: it was looked at everywhere that could be looked at; report->errors says whether it is sound.
 * -ECANCELED: progress ended it. -EBUSY: it was written meanwhile. LSVD_E_LOCKED: this machine
 * serves it (with cache_dir: known before anything is looked at). -ENOENT: no such volume.
 * LSVD_E_UNAVAILABLE and other errors of the store; -EINVAL; -ENOMEM.
 */
LSVD_API LSVD_MUST_USE int lsvd_volume_check(struct lsvd_store *store, const char *name,
					     const struct lsvd_check_options *options,
					     struct lsvd_check_report *report);

struct lsvd_repair_report {
	uint32_t size;           /* set by LSVD_REPAIR_REPORT_INIT */
	uint32_t repaired;       /* 0: there was nothing to repair */
	uint64_t epoch;          /* that was taken for it */
	uint64_t replayed_objects;
	uint64_t pages, extents; /* of the new checkpoint */
	uint64_t reserved[8];
};
#ifdef __cplusplus
#define LSVD_REPAIR_REPORT_INIT { (uint32_t)sizeof(struct lsvd_repair_report) }
#else
#define LSVD_REPAIR_REPORT_INIT { .size = (uint32_t)sizeof(struct lsvd_repair_report) }
#endif

/*
 * Makes a new checkpoint where the old one is damaged or lost, from the chain: takes the volume
 * over as lsvd_volume_open() with the same options does, and puts it. Only adds: nothing is
 * overwritten or deleted. The map that comes of the chain must be certain to be the one that was:
 * it is if nothing of the history has been deleted yet, or if the old checkpoint's table of objects
 * can be read and agrees. Blocks. `report` may be NULL.
 *
 * 0: repaired, or there was nothing to repair. LSVD_E_UNSUPPORTED: something else than the
 * checkpoint is damaged, or the map is not certain, and nothing was changed; the text says which.
 * Errors as lsvd_volume_check() and lsvd_volume_open(); 1 as lsvd_volume_close().
 */
LSVD_API LSVD_MUST_USE int lsvd_volume_repair(struct lsvd_store *store, const char *name,
					      const struct lsvd_volume_options *options,
					      struct lsvd_repair_report *report);

LSVD_END_DECLS

#endif
