/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stats.h - what an open volume has done since it was opened, and how it is.
 *
 * Threads: lsvd_volume_stats() and lsvd_volume_status() may be called at any time from any thread;
 * they take the volume's lock for less than a microsecond.
 */
#ifndef LSVD_STATS_H
#define LSVD_STATS_H

#include <lsvd/base.h>
#include <lsvd/volume.h>

LSVD_BEGIN_DECLS

/* Counters count from open; gauges say how it is now. Bytes unless the name says otherwise. */
struct lsvd_stats {
	uint32_t size;            /* sizeof, set by LSVD_STATS_INIT before the call */
	uint32_t reserved0;

	/* what users did */
	uint64_t reads, writes, flushes, trims, zeroes, prefetches;  /* operations that ended */
	uint64_t read_bytes, write_bytes;
	uint64_t errors;          /* operations that ended with an error */

	/* the local log */
	uint64_t log_groups;      /* vectored writes */
	uint64_t log_bytes;       /* written, headers and padding included */
	uint64_t log_syncs;       /* fdatasync calls */
	uint64_t log_used;        /* gauge: not yet given back */
	uint64_t log_capacity;    /* gauge */
	uint64_t stalls;          /* writes that waited for room in the log */

	/* where reads were answered */
	uint64_t read_memory_bytes, read_log_bytes, read_rcache_bytes, read_store_bytes;
	uint64_t read_zero_bytes; /* unwritten or zeroed */
	uint64_t corrupt;         /* ranges that failed verification */

	/* the store, by cause */
	uint64_t data_puts, data_put_bytes; /* objects stored; requests: and `retries` */
	uint64_t checkpoint_puts, checkpoint_put_bytes;
	uint64_t recovery_gets, recovery_get_bytes;
	uint64_t data_gets, data_get_bytes;
	uint64_t fence_requests;  /* claims, fences, looks for a newer claim, chain objects
				   * without data */
	uint64_t retries;         /* requests tried again */

	/* segments */
	uint64_t segments;        /* stored */
	uint64_t coalesced_bytes; /* user bytes overwritten before they were stored */
	/* bytes into and out of the compressor, where kept */
	uint64_t compressed_from, compressed_to;

	/* gauges */
	uint64_t epoch;
	uint64_t last_op;         /* newest acknowledged operation */
	uint64_t durable_op;      /* newest that survives power loss */
	uint64_t stored_op;       /* newest that the store has */
	uint64_t unstored_bytes;  /* user bytes acknowledged and not stored */
	uint64_t unstored_ms;     /* age of the oldest of them */
	uint64_t map_extents, map_bytes; /* of the map, in memory */
	uint64_t memory_bytes;    /* data held until stored */
	uint64_t replayed_ops;    /* operations taken from the local log at open */
	uint64_t replayed_segments; /* segments read after the checkpoint at open */

	uint64_t rcache_writes, rcache_write_bytes; /* fills of the read cache */
	uint64_t live_bytes;      /* gauge: user bytes that the map finds in objects */
	uint64_t stored_bytes;    /* gauge: bytes of all data objects the map knows */

	/* the store: what failed, and what was done about it (docs/s3.md has the table) */
	uint64_t store_away;      /* failures that pass by themselves: no answer, 5xx, 409 */
	uint64_t store_full;      /* … the store has no room */
	uint64_t store_denied;    /* … that a person has to mend: access denied, no such bucket */
	uint64_t read_backs;      /* looks who has a name that was taken: ours, or another writer */
	uint64_t missing_objects; /* objects the map names that the store does not have */
	uint64_t bad_gets;        /* answers that did not verify and were asked for again */
	uint64_t torn_objects;    /* objects that the store has in part */
	/* more of the store, by cause */
	uint64_t fence_put_bytes;
	uint64_t probe_requests, probe_bytes; /* <lsvd/probe.h>, both directions */
	uint64_t gc_requests, gc_bytes;
	/* reads that need the store */
	uint64_t shared_gets;     /* reads that joined a GET made for another */
	uint64_t ahead_gets, ahead_get_bytes; /* of data_gets: read ahead */
	uint64_t ahead_used_bytes; /* of these, read from memory before they were let go */
	uint64_t gc_copied_bytes; /* user bytes that garbage collection stored anew */
	uint64_t deleted_objects, deleted_bytes; /* that were not needed any more */
	uint64_t checkpoint_bytes; /* gauge: of pages and roots in the store */
	uint64_t map_loads;       /* pages of the map that were brought when they were needed, */
	uint64_t map_gets, map_get_bytes; /* and the requests that took, data_gets apart */
	uint64_t gc_damaged;      /* objects that garbage collection leaves alone: damaged */
	uint64_t reserved[4];
};
#ifdef __cplusplus
#define LSVD_STATS_INIT { (uint32_t)sizeof(struct lsvd_stats) }
#else
#define LSVD_STATS_INIT { .size = (uint32_t)sizeof(struct lsvd_stats) }
#endif

/* Fills `ret`, whose size field says how much of it the caller knows. -EINVAL for a bad size. */
LSVD_API LSVD_MUST_USE int lsvd_volume_stats(struct lsvd_volume *volume, struct lsvd_stats *ret);

/*
 * The first failure in the background, which stays: 0 while all is well, LSVD_E_FENCED,
 * LSVD_E_FAILED, LSVD_E_CORRUPT (the store keeps a part of an object that was being stored: close,
 * and open again). Or what is wrong with the store, which passes: LSVD_E_UNAVAILABLE while it
 * cannot be reached, -ENOSPC while it is full, -EACCES, LSVD_E_CONFIG and the like while a person
 * has to mend something. `text` (may be NULL) receives up to `text_len` bytes of explanation,
 * always terminated.
 */
LSVD_API int lsvd_volume_status(struct lsvd_volume *volume, char *text, size_t text_len);

LSVD_END_DECLS

#endif
