/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog.h - a value log: large values kept outside of an index, in an object store.
 *
 * The model. A value log is a set of immutable segments, objects of a store. A segment is a row of
 * records, each a key with its value. Where a record lies is told by a handle {segment, offset,
 * size}, and the handles are kept by the program, in an index of its own: an LSM tree, a B-tree, a
 * hash table in memory. Whatever the index does not point to is garbage. Garbage collection copies
 * what the index still points to out of segments that are mostly garbage, tells the index the new
 * handles, and drops the segments.
 *
 *   writing      writer_open, put…, commit -> the program commits its index -> pin_release
 *   reading      the index gives a handle -> get; the bytes are verified, always
 *   collecting   note_stale as values are overwritten -> gc -> drop_stale
 *
 * Durability. When lsvd_vlog_commit() returns, everything put into the writer is in the store and
 * part of the log, whatever happens then. Commit before the index is made durable, release the pin
 * after: then every crash leaves garbage at worst, never a handle that leads nowhere.
 *
 * One writing process at a time: opening a log takes it from whoever has it open (LSVD_E_FENCED
 * there, and nothing of it is lost that was committed). Any number may have it open to read. The
 * index has to keep its own writers apart: whoever takes the log takes the index after it, before
 * the first collection or drop, and the one before must not change the index from then on.
 *
 * Threads. Every function may be called from any thread at any time, but: one writer or one
 * iterator is used by one thread at a time. Calls block on the store. The program's functions
 * (index, cache, compressor, strategy) are called without locks, on the calling thread (cache and
 * decompressor: perhaps on one of the library's), and may call the log again, unless said
 * otherwise.
 *
 * Errors are those of <lsvd/error.h>, and each call may fail with -ENOMEM, LSVD_E_UNAVAILABLE (the
 * store cannot be reached; what can be repeated has been, for some seconds) and LSVD_E_FENCED.
 * Outputs are untouched on failure.
 */
#ifndef LSVD_VLOG_H
#define LSVD_VLOG_H

#include <lsvd/base.h>
#include <lsvd/store.h>

LSVD_BEGIN_DECLS

/* Keys have 1 to so many bytes, values 0 to so many. */
#define LSVD_VLOG_KEY_MAX 65535u
#define LSVD_VLOG_VALUE_MAX UINT64_C(4294967295)
/* Metadata of the program's own in a segment. */
#define LSVD_VLOG_METADATA_MAX 65536u

struct lsvd_vlog;

/* ----------------------------------------------------------------------------------- plain data */

/*
 * Where a record is. All zero is never one. `segment` is a number that is never given again, so
 * that an old handle never leads to another value; `size` is the length of the whole record, so
 * that one request of that length brings it.
 */
struct lsvd_vlog_handle {
	uint64_t segment;
	uint64_t offset;         /* bytes from the segment's beginning */
	uint64_t size;           /* bytes of the record: head, key and stored value */
};

/*
 * The most bytes that an encoded handle has: three variable-length numbers. Mostly it has 8 to 11.
 */
#define LSVD_VLOG_HANDLE_MAX 25u

/* Writes the handle; returns how many bytes. */
LSVD_API size_t lsvd_vlog_handle_encode(const struct lsvd_vlog_handle *handle,
					unsigned char out[LSVD_VLOG_HANDLE_MAX]);
/* Reads one from the first of `len` bytes; returns how many it had, or LSVD_E_CORRUPT. */
LSVD_API LSVD_MUST_USE int lsvd_vlog_handle_decode(struct lsvd_vlog_handle *ret, const void *bytes,
						   size_t len);

/* Borrowed bytes. */
struct lsvd_vlog_slice {
	const void *data;
	size_t size;
};

/* A value that was read: immutable, counted, shared by whoever has a reference. */
struct lsvd_vlog_value;

LSVD_API const void *lsvd_vlog_value_data(const struct lsvd_vlog_value *value);
LSVD_API size_t lsvd_vlog_value_size(const struct lsvd_vlog_value *value);
LSVD_API struct lsvd_vlog_value *lsvd_vlog_value_ref(struct lsvd_vlog_value *value);
/* NULL does nothing. */
LSVD_API void lsvd_vlog_value_unref(struct lsvd_vlog_value *value);
/*
 * A value of the caller's bytes, copied; for caches that bring values from
 * elsewhere. NULL: no memory.
 */
LSVD_API struct lsvd_vlog_value *lsvd_vlog_value_new(const void *data, size_t size);

/* ---------------------------------------------------------------------------------------- cache */

/*
 * Values by handle, kept in memory. One cache may serve any number of logs and be used by any
 * number of threads.
 */
struct lsvd_vlog_cache;

struct lsvd_vlog_cache_stats {
	uint32_t size;           /* sizeof, set by the caller */
	uint32_t reserved0;
	uint64_t hits, misses, inserts, evictions;
	uint64_t bytes, values;  /* held now */
	uint64_t reserved[8];
};

/*
 * The built-in one: the values used last, in shards, at most `bytes` bytes. A full one takes a
 * value that a get had to read only if it has lately been asked for more often than what would have
 * to go; what was prefetched it takes always.
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_cache_new(struct lsvd_vlog_cache **ret, uint64_t bytes);

/*
 * One of the program's own. `log` tells logs apart: lsvd_vlog_id(). Functions may be called on any
 * thread, several at once, and must not call the log.
 */
struct lsvd_vlog_cache_ops {
	uint32_t size;           /* sizeof(struct lsvd_vlog_cache_ops) */
	uint32_t reserved0;
	/* May keep the value, with a reference of its own; may do nothing. */
	void (*insert)(void *ctx, uint64_t log, const struct lsvd_vlog_handle *handle,
		       struct lsvd_vlog_value *value);
	/* A new reference, or NULL. */
	struct lsvd_vlog_value *(*get)(void *ctx, uint64_t log,
				       const struct lsvd_vlog_handle *handle);
	/*
	 * Nothing of this segment is asked for any more; of no segment of the log: UINT64_MAX. May
	 * be NULL.
	 */
	void (*drop)(void *ctx, uint64_t log, uint64_t segment);
	/* The cache's end, or NULL. */
	void (*close)(void *ctx);
	/* Fills the counters, but for size; or NULL. */
	void (*stats)(void *ctx, struct lsvd_vlog_cache_stats *ret);
	/* As insert, of a value that was prefetched: somebody is going to want it. NULL: insert. */
	void (*bring)(void *ctx, uint64_t log, const struct lsvd_vlog_handle *handle,
		      struct lsvd_vlog_value *value);
};

/*
 * `ops` must outlive the cache. -EINVAL if insert or get is missing; then ctx stays the caller's.
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_cache_new_ops(struct lsvd_vlog_cache **ret,
						   const struct lsvd_vlog_cache_ops *ops,
						   void *ctx);
/* No open log may use it. NULL does nothing. */
LSVD_API void lsvd_vlog_cache_free(struct lsvd_vlog_cache *cache);
LSVD_API LSVD_MUST_USE int lsvd_vlog_cache_stats(struct lsvd_vlog_cache *cache,
						 struct lsvd_vlog_cache_stats *ret);

/* ---------------------------------------------------------------------------------- compressors */

/* Built in. The codec is written in each record: what was stored with one is read with it, whatever
 * the log is opened with. What does not get smaller is stored as it is. */
enum lsvd_vlog_codec {
	LSVD_VLOG_CODEC_NONE = 0,
	LSVD_VLOG_CODEC_LZ4 = 1,
	LSVD_VLOG_CODEC_ZLIB = 2,
	LSVD_VLOG_CODEC_ZSTD = 3     /* LSVD_E_UNSUPPORTED where it was not built */
};
/* Codecs of the program's own have numbers from here to 255. */
#define LSVD_VLOG_CODEC_OWN 16u

/* A codec. Values longer than 1 MiB are handed over in pieces of 64 KiB. */
struct lsvd_vlog_codec_ops {
	uint32_t size;           /* sizeof(struct lsvd_vlog_codec_ops) */
	uint32_t codec;          /* LSVD_VLOG_CODEC_OWN to 255; stored with each value:
				  * never change it */
	/* The compressed length, or 0: it needs more than `cap` bytes. */
	size_t (*compress)(void *ctx, const void *src, size_t len, void *dst, size_t cap);
	/* Exactly `raw` bytes from exactly these: 0, or negative: that cannot be. */
	int (*decompress)(void *ctx, const void *src, size_t len, void *dst, size_t raw);
};

/* ------------------------------------------------------------------ creating, listing, deleting */

struct lsvd_vlog_info {
	uint32_t size;           /* sizeof, set by the caller */
	uint32_t reserved0;
	char name[65];
	char uuid[37];
	uint8_t reserved1[2];
	int64_t created_ms;      /* wall clock of the creating host, since 1970; only shown */
	uint64_t reserved[8];
};

/*
 * Creates a log. Names are those of volumes (which have a name space of their own). -EEXIST:
 * nothing is changed; -EINVAL for a bad name; LSVD_E_UNSUPPORTED if the store cannot
 * create-if-absent.
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_create(struct lsvd_store *store, const char *name);
/* The same with flags: 0 or LSVD_VLOG_UNSAFE_STORE. */
LSVD_API LSVD_MUST_USE int lsvd_vlog_create_flags(struct lsvd_store *store, const char *name,
						  uint32_t flags);
/* -ENOENT if there is none. Puts nothing. */
LSVD_API LSVD_MUST_USE int lsvd_vlog_lookup(struct lsvd_store *store, const char *name,
					    struct lsvd_vlog_info *ret);
/* Non-zero ends the walk. `info` is valid during the call only. */
typedef int (*lsvd_vlog_fn)(void *ctx, const struct lsvd_vlog_info *info);
/* In order of their names. */
LSVD_API LSVD_MUST_USE int lsvd_vlog_list(struct lsvd_store *store, lsvd_vlog_fn fn, void *ctx);
/*
 * Deletes a log: takes it away from whoever has it open, then its name, then its objects.
 * Interrupted, it leaves objects without a name. -ENOENT; LSVD_E_UNSUPPORTED as above.
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_delete(struct lsvd_store *store, const char *name);
/* The same with flags: 0 or LSVD_VLOG_UNSAFE_STORE. */
LSVD_API LSVD_MUST_USE int lsvd_vlog_delete_flags(struct lsvd_store *store, const char *name,
						  uint32_t flags);

/* ----------------------------------------------------------------------------- opening, closing */

/*
 * Nothing is taken, put or deleted. It sees what was committed when it was opened; the writer may
 * drop what is being read: LSVD_E_STALE then.
 */
#define LSVD_VLOG_READONLY 0x1u
/* The log is made if there is none. Not together with READONLY. */
#define LSVD_VLOG_CREATE 0x2u
/*
 * Write to a store that cannot create an object only if it is absent, or was found to do it
 * wrongly: nothing keeps a second writer from destroying the log. With a message at each open.
 */
#define LSVD_VLOG_UNSAFE_STORE 0x10u

struct lsvd_vlog_options {
	uint32_t size;           /* sizeof, set by LSVD_VLOG_OPTIONS_INIT */
	uint32_t flags;          /* LSVD_VLOG_… */
	/* A segment is full when its records have at least so many bytes: 4 KiB … 1 GiB, default
	 * 64 MiB. The record that fills it is in it whole. A writer keeps up to three in memory. */
	uint64_t segment_bytes;
	/*
	 * What new values are compressed with: enum lsvd_vlog_codec,
	 * or one of `codecs`. Default none.
	 */
	uint32_t codec;
	/* Codecs of the program's own, copied; the program's data must outlive the log. */
	uint32_t codec_count;
	const struct lsvd_vlog_codec_ops *codecs;
	void *codec_ctx;
	/* NULL: none. Must outlive the log. */
	struct lsvd_vlog_cache *cache;
	/* Commits between two checkpoints: default 64. An open reads what was committed since. */
	uint32_t checkpoint_commits;
	/* Records of get_many and of iterators that are not further apart are one request: default
	 * 16 KiB, at most 1 MiB; UINT32_MAX: only neighbours are. */
	uint32_t join_bytes;
	uint64_t reserved[8];
};
#ifdef __cplusplus
#define LSVD_VLOG_OPTIONS_INIT { (uint32_t)sizeof(struct lsvd_vlog_options) }
#else
#define LSVD_VLOG_OPTIONS_INIT { .size = (uint32_t)sizeof(struct lsvd_vlog_options) }
#endif

/*
 * Opens the log `name`; `options` may be NULL. The store must stay open until the log is closed.
 * -ENOENT; -EINVAL or LSVD_E_CONFIG (an option out of bounds: the text says which); LSVD_E_CORRUPT
 * (what the log consists of is damaged or missing: nothing is deleted); LSVD_E_VERSION;
 * LSVD_E_UNSUPPORTED (the store); LSVD_E_FENCED (another opener came after this one).
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_open(struct lsvd_vlog **ret, struct lsvd_store *store,
					  const char *name,
					  const struct lsvd_vlog_options *options);

/*
 * Saves the statistics in a checkpoint and frees the handle, whatever it returns. Writers, pins,
 * iterators and values read must have been given back before; values may be kept. 0, or why the
 * checkpoint could not be written: nothing that was committed is lost. NULL is 0.
 */
LSVD_API int lsvd_vlog_close(struct lsvd_vlog *log);

LSVD_API const char *lsvd_vlog_name(const struct lsvd_vlog *log);
/* A number for this open handle that no other of this process ever has: what caches know it by. */
LSVD_API uint64_t lsvd_vlog_id(const struct lsvd_vlog *log);
/* Segments that are part of the log, those entirely stale included. */
LSVD_API size_t lsvd_vlog_segment_count(struct lsvd_vlog *log);
/* Writes the statistics and what was committed into a checkpoint now. */
LSVD_API LSVD_MUST_USE int lsvd_vlog_checkpoint(struct lsvd_vlog *log);

/* -------------------------------------------------------------------------------------- writing */

/*
 * A writer makes segments that are no part of the log until they are committed. Any number may be
 * open; they commit in any order. While one is open nothing that is done to the log disturbs it.
 */
struct lsvd_vlog_writer;
/*
 * Keeps segments: what is pinned is not collected and not dropped, whatever the statistics say.
 */
struct lsvd_vlog_pin;

LSVD_API LSVD_MUST_USE int lsvd_vlog_writer_open(struct lsvd_vlog *log,
						 struct lsvd_vlog_writer **ret);
/* The handle that the next put will return, but for its size: 0. */
LSVD_API LSVD_MUST_USE int lsvd_vlog_next_handle(struct lsvd_vlog_writer *writer,
						 struct lsvd_vlog_handle *ret);
/*
 * Adds a record; both are copied. Keys should ascend: merge scans and range reads are then fast.
 * The handle leads to the value once it is committed. Blocks while two full segments are on their
 * way to the store. -EINVAL: an empty key, or bytes at NULL; -E2BIG: a key or value that is too
 * long; then the writer goes on. Any other error is the writer's last: only abort is left. `ret`
 * may be NULL.
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_put(struct lsvd_vlog_writer *writer, const void *key,
					 size_t key_len, const void *value, size_t len,
					 struct lsvd_vlog_handle *ret);
/*
 * Bytes of the program's own, at most LSVD_VLOG_METADATA_MAX, copied: stored with the segment being
 * written, and with those begun after it, until others are set. -E2BIG; -EINVAL: bytes at NULL.
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_writer_metadata(struct lsvd_vlog_writer *writer,
						     const void *bytes, size_t len);
/*
 * Makes all of it part of the log, or nothing, and frees the writer in any case. On success
 * *ret_pin keeps its segments until the program has made its index durable and releases it; until
 * then the log takes it that the index may not know the values yet. A crash in between leaves
 * values that the index may or may not know: garbage collection and drops ask it. Waits for a store
 * that is away, as long as it takes. An empty writer is a success. -E2BIG: more than a hundred
 * thousand segments. On LSVD_E_FENCED and LSVD_E_SHUTDOWN the outcome is not known.
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_commit(struct lsvd_vlog_writer *writer,
					    struct lsvd_vlog_pin **ret_pin);
/* Removes what it has stored and frees it; what cannot be removed is garbage. NULL does nothing. */
LSVD_API void lsvd_vlog_abort(struct lsvd_vlog_writer *writer);

/*
 * Pins every segment that the log has now: for a reader that goes on using what an index says now.
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_snapshot(struct lsvd_vlog *log, struct lsvd_vlog_pin **ret);
/* Of a commit: the index is durable. NULL does nothing. */
LSVD_API void lsvd_vlog_pin_release(struct lsvd_vlog_pin *pin);

/* -------------------------------------------------------------------------------------- reading */

/*
 * The value, verified. LSVD_E_STALE: its segment has been dropped, or was never committed; -ENOENT:
 * no record begins there, or the number was never given to a segment; LSVD_E_CORRUPT: the record,
 * or its segment, is damaged, cut short or missing; LSVD_E_UNSUPPORTED: its codec is not known
 * here.
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_get(struct lsvd_vlog *log,
					 const struct lsvd_vlog_handle *handle,
					 struct lsvd_vlog_value **ret);
/* The same, and the record must be of this key: else -ENOENT. */
LSVD_API LSVD_MUST_USE int lsvd_vlog_get_checked(struct lsvd_vlog *log,
						 const struct lsvd_vlog_handle *handle,
						 const void *key, size_t key_len,
						 struct lsvd_vlog_value **ret);
/*
 * The same as lsvd_vlog_get(), and brings up to `after` of the records behind it (at most 1 MiB)
 * into the cache, without waiting for them. What goes wrong with those is nobody's failure.
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_get_prefetch(struct lsvd_vlog *log,
						  const struct lsvd_vlog_handle *handle,
						  unsigned after, struct lsvd_vlog_value **ret);
/* Brings values into the cache without waiting: best effort. Without a cache it does nothing. */
LSVD_API void lsvd_vlog_prefetch(struct lsvd_vlog *log, const struct lsvd_vlog_handle *handles,
				 size_t n);

/* One of many. */
struct lsvd_vlog_request {
	struct lsvd_vlog_handle handle;
	struct lsvd_vlog_slice key;     /* checked if data is not NULL */
	struct lsvd_vlog_value *value;  /* the answer, a reference; NULL if err is not 0 */
	int err;
	uint32_t reserved;
};
/*
 * Answers all: near ones are one request of the store, and requests are made at the same time. 0 if
 * the calls could be made: each has its own err.
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_get_many(struct lsvd_vlog *log,
					      struct lsvd_vlog_request *requests, size_t n);
/*
 * `len` bytes of the value from `off` on, into `buf`; *ret_len: how many there were. Of a value
 * longer than 1 MiB only the pieces of 64 KiB that are touched are read and verified; of others
 * all.
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_read_range(struct lsvd_vlog *log,
						const struct lsvd_vlog_handle *handle, uint64_t off,
						void *buf, size_t len, size_t *ret_len);

/* ------------------------------------------------------------------------------------- scanning */

/* Of equal keys only the newest: that of the newest commit, and of that the last one written. */
#define LSVD_VLOG_SCAN_NEWEST 0x0u
/* All, the newest first. */
#define LSVD_VLOG_SCAN_ALL 0x1u
/* Values are not read: value of items is empty. */
#define LSVD_VLOG_SCAN_KEYS 0x2u
/* One segment after the other, each in the order in which it was written; implies ALL. */
#define LSVD_VLOG_SCAN_STORED 0x4u
/* A damaged record is an item with err set; without it, it ends the scan with its error. */
#define LSVD_VLOG_SCAN_DAMAGED 0x8u

struct lsvd_vlog_scan {
	uint32_t size;           /* sizeof, set by the caller */
	uint32_t flags;
	const uint64_t *segments;/* NULL: all */
	size_t segment_count;
	/*
	 * Keys from `first` on and up to `last`, both included, in order of their bytes. data NULL:
	 * no bound. Must stay until the iterator is closed. Not with STORED.
	 */
	struct lsvd_vlog_slice first, last;
	/*
	 * About so much memory is used for what is read ahead of indices and values, if there is a
	 * choice: 8 KiB of each segment, and a record, are always needed. Default 64 MiB. Beyond it
	 * indices are read
	 * in parts, and twice.
	 */
	uint64_t memory_bytes;
	uint64_t reserved[3];
};

struct lsvd_vlog_item {
	struct lsvd_vlog_slice key, value;  /* valid until the next call on the iterator */
	struct lsvd_vlog_handle handle;
	uint64_t raw_bytes;      /* of the value, also with SCAN_KEYS */
	uint32_t codec;          /* that it is stored with; not with SCAN_KEYS */
	int err;                 /* with SCAN_DAMAGED */
};

struct lsvd_vlog_iter;

/*
 * Begins a scan; `scan` NULL: the newest of all keys. Pins the segments. A segment that is not
 * there: LSVD_E_STALE, or -ENOENT if its number was never given. -EINVAL: a flag that there is not,
 * or bounds of keys with STORED.
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_iter_open(struct lsvd_vlog *log,
					       const struct lsvd_vlog_scan *scan,
					       struct lsvd_vlog_iter **ret);
/* 1 and the next item; 0 at the end, however often it is asked; negative. */
LSVD_API LSVD_MUST_USE int lsvd_vlog_iter_next(struct lsvd_vlog_iter *iter,
					       struct lsvd_vlog_item *ret);
LSVD_API void lsvd_vlog_iter_close(struct lsvd_vlog_iter *iter);

/* Told of each damaged record (`handle`), or segment (offset and size 0); may be NULL. */
typedef void (*lsvd_vlog_bad_fn)(void *ctx, const struct lsvd_vlog_handle *handle, int err,
				 const char *text);
/*
 * Reads everything, and goes on after what is damaged; *ret_bad: how many records are. A segment
 * that cannot be read at all counts with all of its records. 0 if everything could be asked for.
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_verify(struct lsvd_vlog *log, lsvd_vlog_bad_fn fn, void *ctx,
					    uint64_t *ret_bad);

/* ----------------------------------------------------------------------------------- statistics */

/*
 * What is in a segment cannot be told from the statistics: the index will be asked. It was
 * committed, or being collected, when the last writer ended.
 */
#define LSVD_VLOG_SEGMENT_UNCERTAIN 0x1u
/* Something in it was found damaged: it is not collected. */
#define LSVD_VLOG_SEGMENT_DAMAGED 0x2u

struct lsvd_vlog_segment {
	uint32_t size;           /* sizeof, set by the caller */
	uint32_t flags;          /* LSVD_VLOG_SEGMENT_… */
	uint64_t id;
	uint64_t commit;         /* segments of one commit have the same; later ones a higher one */
	uint64_t items, stale_items;
	uint64_t raw_bytes, stale_raw_bytes;   /* of values, before compression */
	uint64_t record_bytes, stale_bytes;    /* of whole records, as they are stored */
	uint64_t stored_bytes;   /* of values, as they are stored */
	uint64_t object_bytes;   /* of the object */
	int64_t created_ms;      /* wall clock of the writer */
	uint32_t pins, reserved0;
	uint64_t reserved[4];
};

/* Non-zero ends the walk. Valid during the call only. */
typedef int (*lsvd_vlog_segment_fn)(void *ctx, const struct lsvd_vlog_segment *segment);
/* By number. What is told is the state of one moment. */
LSVD_API LSVD_MUST_USE int lsvd_vlog_segments(struct lsvd_vlog *log, lsvd_vlog_segment_fn fn,
					      void *ctx);
/*
 * What a segment says of itself: metadata, and its least and greatest key, as values (references).
 * Each may be NULL. Errors as lsvd_vlog_get().
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_segment_info(struct lsvd_vlog *log, uint64_t segment,
						  struct lsvd_vlog_value **ret_metadata,
						  struct lsvd_vlog_value **ret_first,
						  struct lsvd_vlog_value **ret_last);

/*
 * The index has stopped to refer to this record, for good: what it counts for is subtracted from
 * what lives. `raw_bytes` is the length of the value. No I/O; saved with the next checkpoint. After
 * a crash it may be lost, or be repeated: neither loses data. LSVD_E_STALE, -ENOENT as
 * lsvd_vlog_get().
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_note_stale(struct lsvd_vlog *log,
						const struct lsvd_vlog_handle *handle,
						uint64_t raw_bytes);

struct lsvd_vlog_report {
	uint32_t size;           /* sizeof, set by the caller */
	uint32_t reserved0;
	uint64_t segments, stale_segments;     /* of these, entirely stale */
	uint64_t items, stale_items;
	uint64_t raw_bytes, stale_raw_bytes;
	uint64_t record_bytes, stale_bytes;
	uint64_t object_bytes;
	uint64_t uncertain_segments, damaged_segments, pinned_segments;
	uint64_t dangling;       /* scan: references to segments that are not there */
	uint64_t doubled;        /* scan: references beyond what their segments have */
	uint64_t reserved[8];
};
#ifdef __cplusplus
#define LSVD_VLOG_REPORT_INIT { (uint32_t)sizeof(struct lsvd_vlog_report) }
#else
#define LSVD_VLOG_REPORT_INIT { .size = (uint32_t)sizeof(struct lsvd_vlog_report) }
#endif

/* What the statistics say now. */
LSVD_API LSVD_MUST_USE int lsvd_vlog_report(struct lsvd_vlog *log, struct lsvd_vlog_report *ret);
/* Stale bytes of values by all, 0 … 1; 0 if there are none. */
LSVD_API double lsvd_vlog_report_stale_ratio(const struct lsvd_vlog_report *report);
/* Bytes of values stored for each that lives; 0 if nothing is stored, or nothing lives. */
LSVD_API double lsvd_vlog_report_space_amp(const struct lsvd_vlog_report *report);
/* The same of the log as it is now. */
LSVD_API double lsvd_vlog_space_amp(struct lsvd_vlog *log);
/*
 * The report as text for people, or as JSON, into `buf` of `len` bytes, always ended by a 0;
 * returns the length that it has, as snprintf does.
 */
LSVD_API int lsvd_vlog_report_text(const struct lsvd_vlog_report *report, char *buf, size_t len);
LSVD_API int lsvd_vlog_report_json(const struct lsvd_vlog_report *report, char *buf, size_t len);

/* 1 and the next reference that the index has (raw_bytes: length of the value), 0 at the end, or
 * negative: the scan ends with it. */
typedef int (*lsvd_vlog_next_fn)(void *ctx, struct lsvd_vlog_handle *ret, uint64_t *ret_raw_bytes);
/*
 * Counts anew, by every reference that the index has, how much of each segment is stale. Nothing is
 * held up meanwhile: segments committed since it began are left as they are, those dropped are
 * passed over, and what is noted as stale meanwhile counts. `ret` may be NULL.
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_scan_for_stats(struct lsvd_vlog *log, lsvd_vlog_next_fn next,
						    void *ctx, struct lsvd_vlog_report *ret);

/* --------------------------------------------------------------------------- garbage collection */

/* A record, and whether the index refers to it. */
struct lsvd_vlog_query {
	struct lsvd_vlog_slice key;
	struct lsvd_vlog_handle handle;
	uint64_t raw_bytes;
	uint32_t live;           /* the answer: 1 if the index has exactly this handle
				  * under this key */
	uint32_t reserved;
};

/* A record that was copied. */
struct lsvd_vlog_move {
	struct lsvd_vlog_slice key;
	struct lsvd_vlog_handle from, to;
	uint64_t raw_bytes;
};

/* The program's index, as garbage collection sees it. */
struct lsvd_vlog_index {
	uint32_t size;           /* sizeof(struct lsvd_vlog_index) */
	uint32_t reserved0;
	void *ctx;
	/*
	 * Sets `live` of each. Negative ends the collection with this error. Whatever a snapshot of
	 * the index refers to must be pinned by a snapshot of the log: only the present is asked
	 * for.
	 */
	int (*is_live)(void *ctx, struct lsvd_vlog_query *queries, size_t n);
	/*
	 * To be done by finish, where the index still has `from` then, and nowhere else: if the key
	 * was written or deleted meanwhile, that stands.
	 */
	int (*relocate)(void *ctx, const struct lsvd_vlog_move *moves, size_t n);
	/* Does all of it or nothing, durably; *ret_applied: how many there were. */
	int (*finish)(void *ctx, uint64_t *ret_applied);
	/* Forgets what relocate was told. May be NULL. */
	void (*abort)(void *ctx);
};

/* Which segments are to be collected. */
enum lsvd_vlog_pick {
	LSVD_VLOG_PICK_STALE = 1,   /* those with a share of stale bytes of at least
				     * `value`, 0 … 1 */
	LSVD_VLOG_PICK_SPACE = 2,   /* the most stale first, until the space amplification is at
				     * most `value`, 1 … */
	LSVD_VLOG_PICK_COST = 3,    /* the same; of two that are equally stale the older one */
	LSVD_VLOG_PICK_OLDEST = 4,  /* the oldest share of all segments, 0 … 1,
				     * if anything in it is stale */
	LSVD_VLOG_PICK_OWN = 5      /* `pick` */
};

struct lsvd_vlog_strategy {
	uint32_t size;           /* sizeof, set by the caller */
	uint32_t kind;           /* enum lsvd_vlog_pick */
	double value;
	/*
	 * Writes the numbers of segments to be collected into `ret`, which has room for n, and
	 * returns how many, or negative.
	 */
	int (*pick)(void *ctx, const struct lsvd_vlog_segment *segments, size_t n, uint64_t *ret);
	void *ctx;
	uint64_t reserved[2];
};

struct lsvd_vlog_gc_limits {
	uint32_t size;           /* sizeof, set by the caller */
	uint32_t reserved0;
	uint64_t bytes;          /* of records copied, at most;
				  * one segment is always done. 0: no limit */
	uint64_t bytes_per_s;    /* read and written; 0: no limit */
	/*
	 * Looked at between requests: if it is not 0, the round under way is given up, and nothing
	 * of it has happened; -ECANCELED. NULL: never.
	 */
	const volatile int *cancel;
	uint64_t reserved[4];
};

struct lsvd_vlog_gc_result {
	uint32_t size;           /* sizeof, set by the caller */
	uint32_t rounds;         /* commits */
	uint64_t picked;         /* segments collected, those included that were entirely stale */
	uint64_t gone, pinned;   /* segments asked for that are not there;
				  * passed over since they are pinned */
	uint64_t damaged;        /* segments left as they are, because something in
				  * them is damaged */
	uint64_t read_bytes, written_bytes;
	uint64_t moved_items, moved_bytes;     /* records that are in new segments now */
	uint64_t lost_races;     /* of these, overwritten in the index meanwhile:
				  * the copies are stale */
	uint64_t reclaimable_bytes; /* of objects, that lsvd_vlog_drop_stale() would free now */
	uint64_t dropped, freed_bytes; /* drop_stale: segments, bytes of objects that are gone */
	uint64_t orphans;        /* drop_stale: objects of dead writers that were removed */
	uint64_t reserved[8];
};
#ifdef __cplusplus
#define LSVD_VLOG_GC_RESULT_INIT { (uint32_t)sizeof(struct lsvd_vlog_gc_result) }
#else
#define LSVD_VLOG_GC_RESULT_INIT { .size = (uint32_t)sizeof(struct lsvd_vlog_gc_result) }
#endif

/*
 * Copies what lives in the segments that the strategy picks, compressed as it is, into new
 * segments; tells the index; and marks the old ones stale. In rounds of about one segment's length:
 * copy, commit, relocate, finish. It deletes nothing: readers may be using the old handles. If a
 * round fails nothing of it has happened; earlier ones stand. Entirely stale segments are picked by
 * every strategy, and not read. Copies keep the metadata of their segment, and lie in no segment
 * with those that had another. Only one collection or drop at a time: others wait. `limits` and
 * `ret` may be NULL; `ret` is filled also on failure.
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_gc(struct lsvd_vlog *log,
					const struct lsvd_vlog_strategy *strategy,
					const struct lsvd_vlog_index *index,
					const struct lsvd_vlog_gc_limits *limits,
					struct lsvd_vlog_gc_result *ret);
/*
 * The same for these segments; ids NULL: for all. LSVD_E_STALE if all that were asked for are gone.
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_rollover(struct lsvd_vlog *log, const uint64_t *ids, size_t n,
					      const struct lsvd_vlog_index *index,
					      const struct lsvd_vlog_gc_limits *limits,
					      struct lsvd_vlog_gc_result *ret);
/*
 * Drops the segments that are entirely stale, and those of which that is not certain if so it turns
 * out; not those that are pinned. The index is asked for every record of them first: a statistic
 * that is wrong loses nothing, it is put right. Then handles into them are LSVD_E_STALE. The space
 * is free when this returns. What dead writers and failed collections have left is removed, too.
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_drop_stale(struct lsvd_vlog *log,
						const struct lsvd_vlog_index *index,
						struct lsvd_vlog_gc_result *ret);
/*
 * Drops everything: the program has emptied its index. Pinned segments stay, and are stale; those
 * of open writers are not part of the log yet.
 */
LSVD_API LSVD_MUST_USE int lsvd_vlog_clear(struct lsvd_vlog *log);

/* ------------------------------------------------------------------------------------- counters */

struct lsvd_vlog_stats {
	uint32_t size;           /* sizeof, set by the caller */
	uint32_t reserved0;
	uint64_t puts, put_bytes;              /* records and bytes of values given to writers */
	uint64_t commits, aborts;
	uint64_t gets, get_bytes;              /* values answered, from wherever */
	uint64_t cache_hits;
	uint64_t get_requests, get_request_bytes; /* asked of the store by gets, scans and gc */
	uint64_t prefetches, prefetch_failures;
	uint64_t segment_puts, segment_put_bytes;
	uint64_t note_puts, note_put_bytes;    /* objects of the chain */
	uint64_t checkpoints, checkpoint_bytes;
	uint64_t removed;
	uint64_t corrupt;                      /* records that did not verify */
	uint64_t reserved[8];
};
LSVD_API LSVD_MUST_USE int lsvd_vlog_stats(struct lsvd_vlog *log, struct lsvd_vlog_stats *ret);

LSVD_END_DECLS

#endif
