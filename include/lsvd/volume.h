/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * volume.h - a virtual disk: create, open, read, write, flush, trim, close.
 *
 * The model. A volume is a row of 512-byte sectors that reads as zeroes until written. Every write,
 * trim and write_zeroes has a place in one order, the volume's history. It is acknowledged when its
 * record is in the local log (handed to the kernel: it survives the death of the process);
 * a flush that returns makes everything acknowledged before it survive power loss; segments of the
 * history are stored in the object store in the background, in order. Whatever happens, what is
 * found afterwards is the volume after some prefix of the history: docs/guarantees.md.
 *
 * Threads. Any number of threads may use one volume at once, with blocking calls, with submitted
 * operations or with both. A write that has been acknowledged is seen by every later read on any
 * thread. Overlapping operations in flight together may take effect in either order, but the order
 * that was seen is the order that stays.
 *
 * Blocking. The plain calls return when the operation is over. lsvd_volume_submit() returns at once
 * and calls back. Writers wait while the local log is full of data the store has not yet taken;
 * nothing else waits for the store but reads of data that is only there, flushes with
 * LSVD_FLUSH_REMOTE, open and close.
 *
 * Units. Offsets and lengths are bytes, multiples of 512; -EINVAL otherwise, and when the range
 * ends beyond the volume (writes: -ENOSPC). A length of 0 succeeds and does nothing.
 */
#ifndef LSVD_VOLUME_H
#define LSVD_VOLUME_H

#include <sys/uio.h>

#include <lsvd/base.h>
#include <lsvd/store.h>

LSVD_BEGIN_DECLS

struct lsvd_volume;

/* [A-Za-z0-9_][A-Za-z0-9._-]{0,63} */
#define LSVD_NAME_MAX 64u
/* Volumes have at least one and at most this many bytes (1 PiB), a multiple of 512. */
#define LSVD_VOLUME_MAX_BYTES (UINT64_C(1) << 50)
/* A write up to this long is all there or not at all after a crash; longer ones are cut in order
 * (so are they at an eighth of the local log, if that is less). */
#define LSVD_ATOMIC_BYTES (UINT32_C(1) << 20)
/*
 * The longest single read, write or prefetch. Trim and write_zeroes have no limit
 * but the volume's end.
 */
#define LSVD_IO_MAX_BYTES (UINT32_C(64) << 20)

/* ---------------------------------------------------------------- creating, listing, deleting */

struct lsvd_volume_info {
	uint32_t size;           /* sizeof, set by LSVD_VOLUME_INFO_INIT before a call fills it */
	uint32_t reserved0;
	char name[LSVD_NAME_MAX + 1];
	char uuid[37];           /* 8-4-4-4-12 lower case hexadecimal digits */
	uint8_t reserved1[2];
	uint64_t bytes;          /* the size it was created with; lsvd_volume_usage:
				  * the one it has */
	int64_t created_ms;      /* wall clock of the creating host, since 1970; only shown */
	/* Of a clone: the volume it began as a snapshot of; else "". See lsvd_volume_base(). */
	char base_uuid[37];
	uint8_t reserved2[3];
	uint64_t reserved[3];
};
#define LSVD_VOLUME_INFO_INIT { (uint32_t)sizeof(struct lsvd_volume_info), 0, { 0 }, { 0 }, \
				{ 0, 0 }, 0, 0, { 0 }, { 0, 0, 0 }, { 0, 0, 0 } }

/*
 * Creates a volume of `bytes` bytes. `uuid` (36 characters) may be NULL: one is made. Blocks on the
 * store. -EEXIST if there is a volume of that name (nothing is changed), -EINVAL or LSVD_E_CONFIG
 * for a bad name, size or uuid, LSVD_E_UNSUPPORTED if the store cannot create-if-absent.
 * `ret` may be NULL.
 */
LSVD_API LSVD_MUST_USE int lsvd_volume_create(struct lsvd_store *store, const char *name,
					      uint64_t bytes, const char *uuid,
					      struct lsvd_volume_info *ret);
/* The same with flags: 0 or LSVD_OPEN_UNSAFE_STORE. */
LSVD_API LSVD_MUST_USE int lsvd_volume_create_flags(struct lsvd_store *store, const char *name,
						    uint64_t bytes, const char *uuid,
						    uint32_t flags,
						    struct lsvd_volume_info *ret);

/* Fills `ret` with what the store says of the volume; -ENOENT if there is none. Makes no PUT. */
LSVD_API LSVD_MUST_USE int lsvd_volume_lookup(struct lsvd_store *store, const char *name,
					      struct lsvd_volume_info *ret);

/* Non-zero ends the walk early. `info` is valid during the call only. */
typedef int (*lsvd_volume_fn)(void *ctx, const struct lsvd_volume_info *info);

/* Calls `fn` for every volume of the store, in order of their names. */
LSVD_API LSVD_MUST_USE int lsvd_volume_list(struct lsvd_store *store, lsvd_volume_fn fn, void *ctx);

/* What the store holds of one volume, counted by listing it. */
struct lsvd_volume_usage {
	uint32_t size;            /* sizeof, set by the caller */
	uint32_t closed_cleanly;  /* 1 if the last writer ended its chain */
	uint64_t objects;         /* all objects of the volume, its record among them */
	uint64_t bytes;           /* their bytes */
	uint64_t segments;        /* objects that carry data */
	uint64_t checkpoints;     /* roots of the map */
	uint64_t epoch;           /* the newest activated epoch, 0 before the first open */
	uint64_t ops;             /* operations the store has */
	uint64_t segment_bytes;   /* of the bytes, by what they are for */
	uint64_t checkpoint_bytes;
	uint64_t claims;          /* objects that keep writers apart: they are never deleted */
	uint64_t volume_bytes;    /* its size now; that of lsvd_volume_info is the one it was
				   * created with */
	/*
	 * Pages of the map; data that collection has moved, or that users wrote over old data, if
	 * that is kept apart (LSVD_GC_SEPARATE): which of them, only the map knows.
	 */
	uint64_t free_objects, free_bytes;
	uint64_t reserved[2];
};

LSVD_API LSVD_MUST_USE int lsvd_volume_usage(struct lsvd_store *store, const char *name,
					     struct lsvd_volume_usage *ret);

/*
 * Deletes a volume: first takes it away from whoever serves it, then its name, then its objects;
 * only the claims, which keep a late writer out, stay. Interrupted, it leaves the volume, which
 * nobody opens before it is deleted again, or objects without a name. -EBUSY, and nothing is
 * changed: it has clones, the text names them; or another deletion that goes on at the same time
 * has found some, and kept it: try again. -ENOENT if there is none; LSVD_E_LOCKED is not known
 * here: a server elsewhere finds itself fenced.
 */
LSVD_API LSVD_MUST_USE int lsvd_volume_delete(struct lsvd_store *store, const char *name);
/* The same with flags: 0 or LSVD_OPEN_UNSAFE_STORE. */
LSVD_API LSVD_MUST_USE int lsvd_volume_delete_flags(struct lsvd_store *store, const char *name,
						    uint32_t flags);
/*
 * Ends a deletion that was interrupted, when the name is gone: removes what is left below the UUID
 * but for the claims. 0, also if nothing was left; -EBUSY if the volume was not deleted, or has a
 * name; -EINVAL if it is no UUID.
 */
LSVD_API LSVD_MUST_USE int lsvd_volume_purge(struct lsvd_store *store, const char *uuid);

/* ----------------------------------------------------------------------------- opening, closing */

/* No epoch is taken and nothing is put, deleted or written anywhere. Writes are -EROFS. */
#define LSVD_OPEN_READONLY 0x1u
/* Go on from what the store has, though the last writer's cache is missing or behind. */
#define LSVD_OPEN_ACCEPT_ROLLBACK 0x2u
/* The same, but only if the last writer ran with LSVD_FLUSH_REMOTE: no flush is lost. */
#define LSVD_OPEN_TAKEOVER 0x4u
/*
 * Open on the cache alone, while the store is away. No epoch is taken, and the store is asked for
 * nothing but the data of reads that neither log nor read cache can answer. What is written goes to
 * the local log, as far as it has room (then writers wait), and is stored when the volume is opened
 * with the store again, which this one never turns into. Whether another host has taken the volume
 * meanwhile shows then: if so, what was written offline is refused with LSVD_E_FOREIGN_CACHE.
 * Flushes are local; with LSVD_FLUSH_REMOTE they fail with LSVD_E_UNAVAILABLE. Not together with
 * ACCEPT_ROLLBACK and TAKEOVER. LSVD_E_UNAVAILABLE if the cache does not have all that it takes.
 */
#define LSVD_OPEN_OFFLINE 0x8u
/*
 * Write to a store that cannot create an object only if it is absent, or was found to do it
 * wrongly: nothing keeps a second writer from destroying the volume. With a message at each open.
 */
#define LSVD_OPEN_UNSAFE_STORE 0x10u

/*
 * With READONLY: the read cache of cache_dir is used, and what is read from the store is put there.
 */
#define LSVD_OPEN_RCACHE 0x20u

enum lsvd_flush_policy {
	LSVD_FLUSH_LOCAL = 0,    /* a flush waits for the local device (the default) */
	LSVD_FLUSH_REMOTE = 1    /* a flush waits until the store has everything before it */
};

enum lsvd_compression {
	LSVD_COMPRESS_DEFAULT = 0, /* LZ4 */
	LSVD_COMPRESS_NONE = 1,
	LSVD_COMPRESS_LZ4 = 2,
	LSVD_COMPRESS_ZLIB = 3
};

enum lsvd_gc_mode {
	LSVD_GC_DEFAULT = 0,     /* automatic */
	LSVD_GC_OFF = 1,         /* only when asked for */
	LSVD_GC_AUTO = 2
};

/* Which objects are collected first. */
enum lsvd_gc_strategy {
	LSVD_GC_COST_BENEFIT = 0, /* those with much garbage, the older of equals */
	LSVD_GC_SPACE = 1,       /* those with the most garbage */
	LSVD_GC_STALE = 2,       /* all with a share of garbage above that of the target */
	/*
	 * As COST_BENEFIT; and while there is garbage to collect, what is written over old data
	 * gets objects of its own: less is copied, and there are about half as many requests again.
	 */
	LSVD_GC_SEPARATE = 3
};

/* Told after an object of the volume's data is safely stored, in order. */
struct lsvd_segment_event {
	uint64_t epoch, seq;     /* its place in the chain */
	uint64_t first_op, last_op; /* the operations it holds */
	uint64_t bytes;          /* its size in the store */
	uint64_t user_bytes;     /* what was written by users into it */
};

/*
 * Runs on one of the library's threads, without locks; must not block for long and must not close
 * the volume.
 */
typedef void (*lsvd_segment_fn)(void *ctx, const struct lsvd_segment_event *event);

/* Set with LSVD_VOLUME_OPTIONS_INIT; 0 or NULL in a field means its default. */
struct lsvd_volume_options {
	uint32_t size;           /* sizeof, set by the macro */
	uint32_t flags;          /* LSVD_OPEN_… */
	/* Directory of the local log and read cache; made if absent. Mandatory unless READONLY. */
	const char *cache_dir;
	/* Size of the local log when it is made: 1 MiB … 1 TiB, default 512 MiB. Fixed afterwards.
	 * It bounds the writes that the store has not taken yet. */
	uint64_t log_bytes;
	/* User bytes in one stored segment: 64 KiB … 64 MiB, default 8 MiB. */
	uint32_t segment_bytes;
	/* A segment that has had no write for so long, or is ten times as old, is stored though not
	 * full: default 5,000 ms, at most 1 day; UINT32_MAX: never. */
	uint32_t seal_after_ms;
	/* enum lsvd_flush_policy, enum lsvd_compression */
	uint32_t flush;
	uint32_t compression;
	/* Largest compression unit: 4 … 64 KiB, a power of two, default 16 KiB. Reads of compressed
	 * data fetch whole units. */
	uint32_t unit_bytes;
	/* Objects being stored at once: 1 … 64, default 8. */
	uint32_t put_window;
	/* Memory for data not yet stored, and for what a round of collection copies (a quarter of
	 * it at most, half by hand, but always one segment): 4 MiB … 4 GiB, default 64 MiB. Beyond
	 * it segments are read back from the local log when their turn comes. What is being
	 * stored, filled or read stays, so there may be more: writers wait when it is exceeded by
	 * two segments and 16 MiB. Compressed copies of what is being stored are not counted: half
	 * as much again, or one segment. */
	uint64_t memory_bytes;
	/* Disk space of the read cache that the volumes of this process share in cache_dir:
	 * default 1 GiB; UINT64_MAX: no read cache. */
	uint64_t rcache_bytes;
	/* Writers waiting for a full log give up with -EIO after so long; 0: they wait for ever. */
	uint32_t stall_timeout_ms;
	/* Reads that need the store give up with -EIO after so long; default 30,000 ms. */
	uint32_t read_timeout_ms;
	/* A writer looks for a newer claim on the volume when the last look is older than this and
	 * something was acknowledged since: default 10,000 ms; UINT32_MAX: never. */
	uint32_t lease_check_ms;
	/* Segments between two checkpoints of the map: default 64. */
	uint32_t checkpoint_segments;
	/* Called for each stored segment, or NULL. */
	lsvd_segment_fn segment_fn;
	void *segment_ctx;
	/*
	 * While the store denies access, or its configuration is wrong, it is asked again so often:
	 * default 30,000 ms. (A store that is away is asked after 0.1 s, and ever more rarely, up
	 * to every 30 s.)
	 */
	uint32_t denied_retry_ms;
	/* Most that is read ahead of one sequential stream of reads that miss: 64 KiB … 64 MiB,
	 * default 8 MiB; UINT32_MAX: nothing is. */
	uint32_t read_ahead_bytes;
	/* Only with READONLY: open the snapshot of this name (lsvd/snapshot.h) instead of the
	 * volume as it is. -ENOENT if there is none. */
	const char *snapshot;
	/*
	 * Memory for the map of what is stored: 1 MiB … 1 TiB, default 64 MiB. Beyond it, parts
	 * that have not been used for longest go, and are read again when they are needed. What has
	 * changed since the last checkpoint stays; as does all of it without a log of writes:
	 * opened read-only or offline.
	 */
	uint64_t map_memory_bytes;
	/* Garbage collection (<lsvd/gc.h>): enum lsvd_gc_mode, enum lsvd_gc_strategy. */
	uint32_t gc;
	uint32_t gc_strategy;
	/*
	 * What all data objects hold, in percent of what is alive in them: more is collected. 101 …
	 * 10,000, default 125. It costs the more writing the less it is: docs/performance.md, N9.
	 */
	uint32_t gc_target_percent;
	/*
	 * When nothing was written for so long objects with little in them are packed: default
	 * 10,000 ms, at most 1 day; UINT32_MAX: never.
	 */
	uint32_t gc_idle_ms;
	/*
	 * Bytes a second that are copied while the target is hardly exceeded: default 32 MiB;
	 * UINT64_MAX: as many as possible. The further it is exceeded the more, from 4 % on as many
	 * as possible.
	 */
	uint64_t gc_bytes_per_second;
	/*
	 * Bytes that the volume should not exceed in the store; from seven eighths of them on as
	 * much is given back as there is, as quickly as possible. Writes are never refused.
	 * Default: no limit.
	 */
	uint64_t gc_space_bytes;
	uint64_t reserved[1];
};
#define LSVD_VOLUME_OPTIONS_INIT { (uint32_t)sizeof(struct lsvd_volume_options), 0, NULL, 0, 0, 0, \
				   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, \
				   0, 0, NULL, 0, 0, 0, 0, 0, 0, 0, { 0 } }

/*
 * Opens the volume `name` of `store`: takes the next epoch (which fences any other writer),
 * recovers from the newest checkpoint, the segments after it and the local log. Blocks on both. The
 * store must stay open until the volume is closed. With LSVD_OPEN_OFFLINE it may be NULL.
 *
 * -ENOENT (no such volume), LSVD_E_CONFIG or -EINVAL (an option out of bounds: the text says
 * which), LSVD_E_LOCKED, LSVD_E_FOREIGN_CACHE, LSVD_E_ROLLBACK, LSVD_E_CORRUPT, LSVD_E_VERSION,
 * LSVD_E_UNAVAILABLE, LSVD_E_UNSUPPORTED, -ENOMEM, -ENOSPC (no room for the log), other -errno of
 * the cache directory. On failure nothing of the volume has changed but perhaps its newest claim.
 */
LSVD_API LSVD_MUST_USE int lsvd_volume_open(struct lsvd_volume **ret, struct lsvd_store *store,
					    const char *name,
					    const struct lsvd_volume_options *options);

/*
 * Ends an open volume: waits for operations in flight, flushes, tries for `drain_ms` milliseconds
 * (UINT32_MAX: as long as it takes) to store everything, and frees the handle, whatever it returns.
 * No call may be begun on the volume after this one; calls of other threads that wait for the store
 * end with LSVD_E_SHUTDOWN. Not to be called from a callback.
 *
 * 0: everything is in the store, and the next open may be anywhere. 1: all is safe in the local
 * cache, but not everything in the store: open with the same cache next. Negative: what the local
 * log's failure or a fence has made of it. NULL is 0.
 */
LSVD_API int lsvd_volume_close(struct lsvd_volume *volume, uint32_t drain_ms);

/* Size in bytes; changes with lsvd_volume_resize() and lsvd_snapshot_rollback(). */
LSVD_API uint64_t lsvd_volume_bytes(const struct lsvd_volume *volume);
LSVD_API const char *lsvd_volume_name(const struct lsvd_volume *volume);
LSVD_API int lsvd_volume_readonly(const struct lsvd_volume *volume);
/*
 * What lsvd_volume_lookup() says, of an open volume and without asking the store. created_ms is 0
 * and base_uuid "" of one that was opened offline. Does not block. -EINVAL for a size that is none.
 */
LSVD_API LSVD_MUST_USE int lsvd_volume_describe(const struct lsvd_volume *volume,
						struct lsvd_volume_info *ret);

/* ------------------------------------------------------------------------------------------ I/O */

/* With write, trim, write_zeroes: return when this operation, and all before it, survive power
 * loss (or are in the store, with LSVD_FLUSH_REMOTE). */
#define LSVD_IO_FUA 0x1u
/* With write_zeroes: the range stays allocated (block status says zero, not hole). */
#define LSVD_IO_NO_HOLE 0x2u

/*
 * The blocking calls. 0, or: -ESTALE (opened read-only: a writer has deleted since what is to be
 * read; open it again), -EINVAL, -ENOSPC (a write beyond the end), -EROFS, -EIO, -ENOMEM,
 * LSVD_E_CORRUPT (for exactly the damaged range), LSVD_E_FENCED, LSVD_E_FAILED, LSVD_E_UNAVAILABLE,
 * LSVD_E_SHUTDOWN. After a failed read the buffer's content is undefined; after a failed write the
 * range may hold old or new data, each 4 KiB block one of them.
 */
LSVD_API LSVD_MUST_USE int lsvd_volume_read(struct lsvd_volume *volume, void *buf, uint64_t off,
					    uint32_t len);
LSVD_API LSVD_MUST_USE int lsvd_volume_write(struct lsvd_volume *volume, const void *buf,
					     uint64_t off, uint32_t len, uint32_t flags);
LSVD_API LSVD_MUST_USE int lsvd_volume_readv(struct lsvd_volume *volume, const struct iovec *iov,
					     int iovcnt, uint64_t off);
LSVD_API LSVD_MUST_USE int lsvd_volume_writev(struct lsvd_volume *volume, const struct iovec *iov,
					      int iovcnt, uint64_t off, uint32_t flags);
LSVD_API LSVD_MUST_USE int lsvd_volume_flush(struct lsvd_volume *volume);
LSVD_API LSVD_MUST_USE int lsvd_volume_trim(struct lsvd_volume *volume, uint64_t off, uint64_t len,
					    uint32_t flags);
LSVD_API LSVD_MUST_USE int lsvd_volume_write_zeroes(struct lsvd_volume *volume, uint64_t off,
						    uint64_t len, uint32_t flags);

enum lsvd_io_kind {
	LSVD_IO_READ = 1,
	LSVD_IO_WRITE = 2,
	LSVD_IO_FLUSH = 3,
	LSVD_IO_TRIM = 4,
	LSVD_IO_WRITE_ZEROES = 5,
	LSVD_IO_PREFETCH = 6,    /* bring the range into the read cache; best effort, bounded */
	LSVD_IO_MAP = 7          /* see lsvd_volume_block_status_known() */
};

struct lsvd_io;

/*
 * The end of a submitted operation; io->err holds its result. Runs on the submitting thread (inside
 * lsvd_volume_submit) or on one of the library's, without locks; it may submit again, but must not
 * make a blocking call on the same volume: what it waits for may need this thread. The library does
 * not touch `io` afterwards: it may be freed or reused here.
 */
typedef void (*lsvd_io_fn)(struct lsvd_io *io);

/*
 * One submitted operation. The caller owns it and everything it points to, and leaves them alone
 * until `done` is called, which happens exactly once.
 */
struct lsvd_io {
	uint32_t kind;           /* enum lsvd_io_kind */
	uint32_t flags;          /* LSVD_IO_FUA, LSVD_IO_NO_HOLE */
	uint64_t off, len;       /* bytes */
	const struct iovec *iov; /* data of read and write: lengths sum up to `len` */
	int iovcnt;
	int err;                 /* result: 0 or a negative code */
	lsvd_io_fn done;
	void *user;              /* the caller's own */
	struct lsvd_io *next;    /* the caller's until submitted, then the library's */
	uint64_t priv[8];        /* the library's */
};

/*
 * Submits the operations of a list linked by `next` (NULL ends it), in that order. What is
 * submitted together goes into the local log together: batches are how it gets fast. Never blocks
 * on I/O but the log's write to the page cache; never fails: errors are the operations' own.
 */
LSVD_API void lsvd_volume_submit(struct lsvd_volume *volume, struct lsvd_io *list);

/* --------------------------------------------------------------------------------- block status */

#define LSVD_STATUS_HOLE 0x1u    /* nothing is allocated */
#define LSVD_STATUS_ZERO 0x2u    /* reads as zeroes */

struct lsvd_status_extent {
	uint64_t len;            /* bytes */
	uint32_t flags;          /* LSVD_STATUS_…; 0: data */
	uint32_t reserved;
};

/*
 * Describes [off, off + len) as at most `max` extents, neighbours with equal flags joined, from
 * `off` on; returns their count (at least 1 for a non-empty range), or -EINVAL. The extents may end
 * before the range does, if `max` is reached or after some thousand extents of the map: ask again
 * from there. Blocks on the store where the map of the range is not in memory; its errors: those of
 * a read.
 */
LSVD_API LSVD_MUST_USE int lsvd_volume_block_status(struct lsvd_volume *volume, uint64_t off,
						    uint64_t len, struct lsvd_status_extent *ret,
						    size_t max);

/*
 * The same without blocking: the extents end before what is not in memory, and their count is 0 if
 * that is where they begin. An operation LSVD_IO_MAP (off, len; no data) brings the map's part for
 * the first sectors of its range that are not in memory, and perhaps more; then ask again.
 */
LSVD_API LSVD_MUST_USE int lsvd_volume_block_status_known(struct lsvd_volume *volume, uint64_t off,
							  uint64_t len,
							  struct lsvd_status_extent *ret,
							  size_t max);

#define LSVD_STATUS_CACHED 0x4u  /* only of the next call: in the read cache */

/*
 * The same for what the read cache holds: extents are LSVD_STATUS_CACHED where data is stored and,
 * as far as the cache's index of 64 KiB lines tells, in the cache; 0 elsewhere. -EINVAL also if the
 * volume has no read cache. Blocks as lsvd_volume_block_status() does.
 */
LSVD_API LSVD_MUST_USE int lsvd_volume_cache_status(struct lsvd_volume *volume, uint64_t off,
						    uint64_t len, struct lsvd_status_extent *ret,
						    size_t max);

/* -------------------------------------------------------------------------------------- control */

/*
 * Seals the open segment and starts to store it, and what the store has refused until now at once;
 * returns at once. 0, -EROFS or LSVD_E_….
 */
LSVD_API int lsvd_volume_seal(struct lsvd_volume *volume);

/*
 * Waits until everything acknowledged before the call is in the store, at most `timeout_ms`
 * (UINT32_MAX: for ever). 0, -ETIMEDOUT, -EROFS, LSVD_E_FENCED, LSVD_E_FAILED, LSVD_E_SHUTDOWN,
 * LSVD_E_UNAVAILABLE (opened offline: nothing is stored).
 */
LSVD_API LSVD_MUST_USE int lsvd_volume_sync(struct lsvd_volume *volume, uint32_t timeout_ms);

/* Writes a checkpoint of the map now, after lsvd_volume_sync(). Errors as there, and -ENOMEM or
 * LSVD_E_UNAVAILABLE: none was written, and the next open reads more segments. */
LSVD_API LSVD_MUST_USE int lsvd_volume_checkpoint(struct lsvd_volume *volume, uint32_t timeout_ms);

/*
 * Gives space back: what is alive in objects that are mostly dead is copied into new ones, until
 * all data objects together hold at most `percent` (100 to 10000) of what is alive, or none of them
 * holds anything dead; then a checkpoint is written, and what is dead is deleted. Blocks; reads and
 * writes go on. The newest objects of this open stay, also if they are dead: the next open's turn.
 * Each step takes at most `timeout_ms`. Errors as lsvd_volume_checkpoint(), and -EBUSY
 * (<lsvd/gc.h>).
 */
LSVD_API LSVD_MUST_USE int lsvd_volume_gc(struct lsvd_volume *volume, uint32_t percent,
					  uint32_t timeout_ms);

/* With resize: cut off data, too. */
#define LSVD_RESIZE_CUT 0x1u

/*
 * Makes the volume `bytes` long, a multiple of 512. Blocks on the store: the new size is part of
 * the volume when this returns 0, and survives what the volume survives. What is grown reads as
 * zeroes, also where an earlier, larger size had data.
 *
 * Shrinking fails with -ENOTEMPTY, and changes nothing, if anything is allocated in what would be
 * cut off, unless LSVD_RESIZE_CUT is given: then that is trimmed first. Operations that begin
 * during and after a shrinking end beyond the new size: reads with -EINVAL, writes with -ENOSPC.
 * Snapshots keep their size and their data. A crash during it leaves the old size or the new one;
 * with LSVD_RESIZE_CUT perhaps the old size with the end trimmed.
 *
 * -EINVAL (size or flags), -EROFS, LSVD_E_UNAVAILABLE (the store, or opened offline),
 * LSVD_E_FENCED, LSVD_E_FAILED, LSVD_E_SHUTDOWN, -ENOMEM.
 */
LSVD_API LSVD_MUST_USE int lsvd_volume_resize(struct lsvd_volume *volume, uint64_t bytes,
					      uint32_t flags);

LSVD_END_DECLS

#endif
