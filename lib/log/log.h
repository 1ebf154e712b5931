/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.h - the generic segment log: a chain of objects, written by one writer at a time.
 *
 * The log knows nothing of blocks or keys. It keeps the order, the only order: chain object (epoch,
 * seq) is part of the log when it and all before it are acknowledged by the store. Free objects
 * (map pages, roots, later GC output and value-log segments) have names of their own and mean
 * nothing until a chain object, put after their acknowledgement, names them.
 *
 * Fencing. An epoch is claimed by creating an object; the claimer then ends the chain before it
 * with a fence object, on the first free place of that chain, and goes on from there. Whoever finds
 * its own place taken is fenced. A claim says from which epoch it was made to go on, and is void if
 * a later one has been activated: of those who race one gets it, and nobody else stops it. The
 * order of an open is that of lsvd_log_open() below; why each step is where it is: docs/design.md,
 * "Fencing".
 *
 *   States:  OPENING -> RUNNING -> CLOSED       by lsvd_log_open(), a close object acknowledged
 *            RUNNING -> FENCED                  a place taken by another, or a newer claim seen
 *
 * Invariants:
 *  (1) An object is put under its key with the same bytes however often it is tried.
 *  (2) acked_seq grows by one, in order; `acked` is called once for each put, in that order.
 *  (3) After FENCED nothing is put and nothing is acknowledged.
 *
 * Threads: everything but lsvd_log_open() and lsvd_log_recover() is called with the port's lock
 * held; callbacks are made with it held.
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include <stdbool.h>

#include "format/fmt_chain.h"
#include "format/fmt_key.h"
#include "format/fmt_record.h"
#include "io/port.h"
#include "segment/segment.h"

struct log;

/*
 * At most so many chain objects are in the world at once: as many as from one anchor to the next.
 */
#define LOG_WINDOW_MAX CHAIN_ANCHOR_EVERY

/* What the opener's cache is, by its own superblock. */
struct log_cache {
	bool present;            /* there is a cache with a history (not one just made) */
	struct uuid id;          /* also of one just made */
	uint64_t epoch;          /* the epoch its superblock names */
	uint64_t base_epoch;     /* and the activated epoch that one went on from */
	uint64_t last_op;        /* newest operation in its log */
	uint64_t first_op;       /* the log holds first_op … last_op (last_op = first_op-1: none) */
	uint64_t offline_op;     /* what was written offline begins with this one; 0: nothing was */
	bool damaged;            /* not all of it can be read: see log_ops.cache_holds */
};

struct log_options {
	struct uuid volume;
	uint64_t volume_bytes;
	uint64_t first_object;   /* a clone's own first; 0: 1 */
	bool readonly;           /* look only: no claim, no put */
	bool also_deleted;       /* also if its newest claim is a deletion's */
	bool accept_rollback;    /* LSVD_OPEN_ACCEPT_ROLLBACK */
	bool takeover;           /* LSVD_OPEN_TAKEOVER */
	bool flush_remote;       /* noted in every chain object */
	uint32_t put_window;     /* chain objects in the world at once, 1 … LOG_WINDOW_MAX */
	uint32_t anchor_every;   /* 0: CHAIN_ANCHOR_EVERY. Others only in simulations */
	bool rebuild;            /* recover from the beginning, without what was deleted of it */
	uint32_t denied_retry_ms; /* between tries while a person has to mend it; 0: 30,000 */
	struct log_cache cache;
	const char *name;        /* of the volume, for texts; lives as long as the log */
	const char *host;        /* of the opener, shown to people who ask who has it;
				  * may be NULL */
	uint64_t pid;
};

/* How the open went. */
struct log_opened {
	uint64_t epoch;          /* ours; the newest activated one if readonly;
				  * 0: an empty volume */
	uint64_t base_epoch, base_seq; /* what it goes on from; 0, 0: nothing (a new volume) */
	uint64_t last_op;        /* R: the newest operation in the store */
	uint64_t next_object;
	uint64_t volume_bytes;   /* as the chain says, or log_options.volume_bytes */
	struct root_ref root;    /* the newest root to recover from; epoch 0: none */
	bool cache_current;      /* the cache's history is the store's: replay it */
	bool rolled_back;        /* opened by a flag, or the cache was stale: it has been emptied */
	bool closed;             /* the base was closed cleanly */
};

struct log_ops {
	/*
	 * Asked about a damaged cache (may be NULL): given that the store has all operations up to
	 * `stored_op`, where does it end? LSVD_E_CORRUPT: what is missing was durable, and the
	 * store does not have it; with `cut` that is *ret_cut instead, and it ends before. Changes
	 * nothing.
	 */
	int (*cache_holds)(void *ctx, uint64_t stored_op, bool cut, uint64_t *ret_last_op,
			   bool *ret_cut);
	/*
	 * Open, before the first claim, a procedure without the lock (may be NULL): 0, or why not.
	 */
	int (*may_claim)(void *ctx);
	/*
	 * Open, step 5, a procedure without the lock: note {epoch, base_epoch} in the cache's
	 * superblock, synced, before object 1 is put. `discard`: the cache's records are not part
	 * of the volume and must be gone when this returns. `last_op`: R, the newest operation that
	 * the store has.
	 */
	int (*commit_epoch)(void *ctx, uint64_t epoch, uint64_t base_epoch, bool discard,
			    uint64_t last_op);
	/*
	 * A procedure without the lock (may be NULL): the open has taken its place, and while the
	 * last of its requests are on their way there is time for lsvd_log_recover(log). An error
	 * is the open's; after 0 it may yet fail, and nothing may be served before it returns.
	 */
	int (*recover)(void *ctx, struct log *log, const struct log_opened *opened);
	/*
	 * Recovery: the root's whole object (verified header); called first. -EBADMSG: it does not
	 * verify, nothing was taken from it; it is called again, once, with what is read then.
	 */
	int (*load_root)(void *ctx, const struct object_head *head, const uint8_t *object,
			 size_t len);
	/* Recovery (may be NULL): the whole header of the next chain object, before its replay. */
	int (*header)(void *ctx, const struct object_head *head, const struct chain_part *chain,
		      const uint8_t *bytes);
	/* Recovery: the next chain object, in order. `extents` only of DATA; the log frees them. */
	int (*replay)(void *ctx, const struct object_head *head, const struct chain_part *chain,
		      const struct seg_extent *extents, uint32_t extent_count);
	/*
	 * Recovery: a record of that chain object, after its replay. 1: taken; 0: of a type that is
	 * not known here, so the log refuses the object unless the record says that it may be
	 * passed over. NULL: none is known.
	 */
	int (*record)(void *ctx, const struct object_head *head, const struct chain_part *chain,
		      const struct record *record);
	/*
	 * lock held: the state went to FENCED; err is LSVD_E_FENCED, or LSVD_E_CORRUPT: the store
	 * keeps a part of an object. lsvd_last_error() says which.
	 */
	void (*fenced)(void *ctx, int err);
	/*
	 * lock held: requests fail and are being tried again (true; again if the reason gets worse:
	 * away, full, denied), or have all got through (false). lsvd_last_error() is the store's
	 * text.
	 */
	void (*unavailable)(void *ctx, bool yes, int err);
};

/*
 * A procedure: the whole protocol of an open.
 *
 *  1 look      newest claim, newest activated epoch, its end; decide: is the cache current, or the
 *              chain closed, or a flag given? A refusal (LSVD_E_ROLLBACK, LSVD_E_FOREIGN_CACHE)
 *              leaves no claim behind.
 *  2 claim     create the next epoch's claim; taken: look again. Shut the epochs claimed between
 *              the newest activated one and ours, each by a fence in the place of its object 1; one
 *              of them is activated: our claim is void, look again.
 *  3 scan      the newest activated epoch's chain to its end; create the fence there; taken: go on.
 *  4 decide    again, with what the scan saw. The cache is old only if an epoch of another was
 *              activated after its own.
 *  5 note      ops->commit_epoch()
 *  6 activate  put object 1 with base = (fenced epoch, its end); meanwhile ops->recover()
 *  7 re-check  a claim newer than ours, and not void: LSVD_E_FENCED. Only now may the volume serve.
 */
int lsvd_log_open(struct log **ret, struct log_opened *opened, struct port *port,
		  const struct log_options *options, const struct log_ops *ops, void *ctx);

/*
 * A procedure, for ops->recover or after lsvd_log_open(): the root, then every chain object after
 * it up to the base's end, headers fetched many at a time and replayed in order.
 */
int lsvd_log_recover(struct log *log);

/*
 * A procedure: what lsvd_log_recover() does, for a past state, of this volume or of another
 * (options->volume): `root`, and the chain after it up to the object at (epoch, seq). Only looks.
 */
int lsvd_log_read(struct port *port, const struct log_options *options, const struct log_ops *ops,
		  void *ctx, struct root_ref root, uint64_t epoch, uint64_t seq);

void lsvd_log_free(struct log *log);   /* nothing may be in the world */

/* Gives away the next object number and place in the chain; never an anchor's. */
struct log_place {
	uint64_t seq, object;
};
void lsvd_log_reserve(struct log *log, struct log_place *ret);
/* How many places there are to give away before the next anchor's. */
unsigned lsvd_log_until_anchor(const struct log *log);
/* The place given by the newest acknowledged anchor: what lies before it may be deleted. */
uint64_t lsvd_log_anchored(const struct log *log);
/* The next object number alone, for a free object. */
uint64_t lsvd_log_reserve_object(struct log *log);

/* An object on its way, or out of the store: the log's own part of puts and removals. */
struct log_upload {
	struct list link;          /* log->paused or log->ending, else in none */
	struct log *log;
	struct obj_io io;          /* the PUT; if the name was taken, the GET of what has it */
	const struct iovec *iov;
	int iovcnt;
	uint8_t there[OBJECT_HEAD_BYTES];
	enum io_kind kind;         /* IO_PUT, IO_REMOVE */
	uint8_t other[OBJECT_HEAD_BYTES]; /* another's header, as it was read back before */
	unsigned others;           /* how often one was */
	bool failing;              /* counted in log->failing */
	unsigned torn;             /* how often a part of it was */
	void (*ended)(struct log_upload *up, int err);
};

#define LOG_NOTE_RECORDS_AT (OBJECT_HEAD_BYTES + CHAIN_PART_BYTES)

static inline uint32_t log_note_bytes(uint32_t record_bytes)
{
	return (LOG_NOTE_RECORDS_AT + record_bytes + 15) & ~UINT32_C(15);
}

/* A chain object on its way. The caller owns it until acked is called. */
struct log_put {
	struct log_place place;
	int kind;                  /* OBJECT_DATA, OBJECT_NOTE, OBJECT_CLOSE */
	struct segment *segment;   /* OBJECT_DATA: built; finished by the log in its turn */
	/*
	 * OBJECT_NOTE with records: the whole header, log_note_bytes() long, with the records at
	 * LOG_NOTE_RECORDS_AT and zeroes behind them. The owner's memory, until acked.
	 */
	uint8_t *note;
	uint32_t record_count, record_bytes;
	uint64_t first_op, last_op;
	/* From this object on, in every header; 0, epoch 0: as before it. */
	uint64_t volume_bytes;
	struct root_ref new_root;
	struct root_ref root;      /* set by the log: what it names */
	/* lock held: it and all before it are acknowledged (err 0), or never will be. */
	void (*acked)(struct log_put *put, int err);
	void *owner;
	uint64_t put_bytes;        /* set by the log when it is first sent */
	/* the log's own */
	struct list link;          /* log->puts, by seq */
	struct log_upload up;
	uint8_t header[OBJECT_HEAD_BYTES + CHAIN_PART_BYTES]; /* of what has nothing else */
	struct iovec header_iov;
	int state;
};
/*
 * Puts may be handed over in any order of their seq; the log starts them in order. `acked` is never
 * called before this returns, even if the log is fenced already.
 */
void lsvd_log_put(struct log *log, struct log_put *put);

/*
 * A free object: pages, roots, what garbage collection copied. Its first piece holds at least the
 * fixed part of its header.
 */
struct log_free_put {
	char key[KEY_CAP];
	const struct iovec *iov;
	int iovcnt;
	/*
	 * lock held: 0 when it is in the store under this name with these bytes, -EEXIST when other
	 * bytes have the name, LSVD_E_CORRUPT when a part of them has, else why the log gave it
	 * up. Never called before put_free returns.
	 */
	void (*done)(struct log_free_put *put, int err);
	void *owner;
	struct log_upload up;      /* the log's own */
};
void lsvd_log_put_free(struct log *log, struct log_free_put *put);

/* From now on chain objects name this root. Returns the place of the first that will. */
uint64_t lsvd_log_set_root(struct log *log, struct root_ref root);

/*
 * Looks for a claim newer than ours and calls `done` with 0, LSVD_E_FENCED, or LSVD_E_UNAVAILABLE
 * (cannot tell now). Looks that wait together share one request, which is sent after they came.
 */
struct log_look {
	struct list link;
	void (*done)(struct log_look *look, int err);
	void *owner;
};
void lsvd_log_look(struct log *log, struct log_look *look);

/*
 * Deletion. Names that may be probed are not free to be deleted: of chain objects only DATA and
 * NOTEs that are no anchors may be, and of this epoch only what lies before the place that its
 * newest acknowledged anchor calls acknowledged, where every opener's search begins
 * (docs/design.md, "Deletion"). What lies later is left, and may be asked for again.
 */
#define LOG_REMOVALS 8u

struct log_victim {
	enum key_kind kind;        /* KEY_CHAIN, KEY_FREE, KEY_ROOT */
	uint64_t epoch, number;
	bool gone;                 /* set by the log */
};

struct log_delete;
struct log_removal {
	struct log_upload up;
	struct log_delete *of;
	struct log_victim *victim;
};

/* The caller owns it, and the victims, until done is called. */
struct log_delete {
	struct log_victim *victims;
	unsigned count;
	/*
	 * A chain object of this epoch, acknowledged, that names a root in which
	 * all of them are dead.
	 */
	uint64_t seq;
	/*
	 * lock held: 0, though some may have been left; LSVD_E_FENCED and the like,
	 * LSVD_E_UNAVAILABLE: it could not be seen whether this writer is still the one, and
	 * nothing was deleted; else what the store said to a removal. Never called before
	 * lsvd_log_delete() returns.
	 */
	void (*done)(struct log_delete *d, int err);
	void *owner;
	/* the log's own */
	struct log *log;
	struct log_look look;
	struct log_removal removals[LOG_REMOVALS];
	uint64_t before;           /* chain objects of this epoch from here on stay */
	unsigned next, out;
	int err;
};
void lsvd_log_delete(struct log *log, struct log_delete *d);

uint64_t lsvd_log_epoch(const struct log *log);
uint64_t lsvd_log_acked_seq(const struct log *log);
uint64_t lsvd_log_acked_op(const struct log *log);
uint64_t lsvd_log_looked_ms(const struct log *log);  /* monotonic time of the newest good look */
bool lsvd_log_fenced(const struct log *log);
/* Tries at once what waits for the store to come back: somebody has reason to think that it has. */
void lsvd_log_retry(struct log *log);
/*
 * Gives up everything that waits or is being retried: each ends with `err`, what is in the world
 * when it comes back. Nothing can be put afterwards. For closing.
 */
void lsvd_log_cancel(struct log *log, int err);

struct log_stats {
	uint64_t fence_requests, retries, recovery_gets, recovery_get_bytes;
	uint64_t chain_puts, chain_put_bytes, free_puts, free_put_bytes, replayed, removed;
	uint64_t fence_bytes;
	uint64_t unavailable, full, denied; /* failures of requests, by reason */
	uint64_t read_backs;         /* looks who has a name that is taken */
	uint64_t torn;               /* objects that the store has in part */
	uint64_t passed_over;        /* rebuild: chain objects that are not there */
	uint64_t bad_gets;           /* answers that did not verify and were asked for again */
};
void lsvd_log_stats(const struct log *log, struct log_stats *ret);

#endif
