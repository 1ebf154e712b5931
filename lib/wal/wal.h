/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wal.h - the local log: acknowledged operations on the local disk until the store has them.
 *
 * The log is a ring in one file (format/fmt_wal.h). It takes groups of records: reserved under the
 * port's lock, filled and written without it, published in the order of the log whatever order the
 * writes end in. Its owner, the volume, says what a record means; the log knows places.
 *
 *   States of a group:  RESERVED -> WRITING -> WRITTEN -> PUBLISHED -> freed
 *   States of the log:  OPENED -> RUNNING -> FAILED     lsvd_wal_begin_run(); a write or sync fails
 *
 * Positions, all in bytes since the log was made, in this order:
 *
 *   oldest <= given_up <= stored <= published <= head,   durable <= published
 *   head - oldest <= ring_bytes
 *
 * oldest: groups from here on are in memory and may be read. given_up: the tail in the newest
 * synced superblock; replay starts there, so what is older may be overwritten once nobody reads it.
 * stored: the store has everything below. durable: a sync that began after all below was written
 * has succeeded.
 *
 * A failed write or sync is final: no retry, no later sync is acknowledged (a page cache that lost
 * a write reports it once). The log is then FAILED until the file is opened again, and that reads
 * past the page cache what no watermark vouches for.
 *
 * Protected by the port's lock, but for the functions marked "procedure", which are called without
 * it before and after the log is shared.
 */
#ifndef WAL_WAL_H
#define WAL_WAL_H

#include "format/fmt_wal.h"
#include "io/port.h"
#include "wal/chunk.h"

struct wal;

enum wal_group_state {
	WAL_RESERVED,
	WAL_WRITING,
	WAL_WRITTEN,
	WAL_PUBLISHED,
};

struct wal_group {
	struct list link;           /* wal->groups, oldest first */
	struct wal_group_head head;
	uint32_t span;              /* bytes of the ring it takes */
	enum wal_group_state state;
	unsigned refs;              /* readers; it is neither purged nor forgotten meanwhile */
	struct slice slice;         /* header and data; empty: only in the file */
	struct wal_record *records; /* head.records */
	uint64_t *hashes;           /* of each data block: plain, or bound if `bound` */
	bool bound;                 /* read back by replay: hashes are as they stand in the file */
	bool replayed;
	bool lost;                  /* damaged: stands for what lay there, and has no records */
	uint64_t lost_ops;          /* operations that were in it */
	/* The owner's: copies the data into lsvd_wal_data() and sets hashes; without the lock. */
	void (*fill)(struct wal_group *g);
	void *owner;
	struct file_io io;
	struct wal *wal;
};

struct wal_ops {
	/* In log order. err 0: acknowledge; else the group will never be part of the log. */
	void (*published)(void *ctx, struct wal_group *g, int err);
	/* The group's ring space is about to be reused: forget every place in it. */
	void (*purge)(void *ctx, struct wal_group *g);
	/* A reservation failed for want of room: store what is held back. */
	void (*want_room)(void *ctx);
	/* There may be room now. */
	void (*room)(void *ctx);
	/* The log went to FAILED; called once. */
	void (*failed)(void *ctx, int err);
};

/* What is found in the file, before anything is decided. */
struct wal_found {
	bool fresh;              /* made by this open, or never used */
	struct uuid cache_id;
	uint64_t epoch, base_epoch;
	uint64_t run;            /* the newest */
	uint64_t whole_run;      /* the run that began the history anew, 0: none did */
	uint64_t offline_op;     /* the first operation written offline since that epoch, 0: none */
	uint64_t first_op, last_op; /* in the groups found; last_op = first_op - 1: none */
	uint64_t groups, bytes;
	unsigned gaps;           /* what cannot be read in between: lsvd_wal_holds() */
	bool cut;                /* a torn tail was cut */
};

struct wal_options {
	const char *name;        /* file name in the cache directory */
	struct uuid volume;
	uint64_t log_bytes;      /* if it has to be made */
	bool readonly;
	bool existing;           /* do not make it */
	/*
	 * Does nobody need this volume's log any more? Then it may be made anew. NULL: never.
	 * Called with the ctx of lsvd_wal_open(), and may run the port.
	 */
	bool (*is_gone)(void *ctx, const struct uuid *volume);
};

/*
 * Procedure: opens the file or begins to make it, checks it, and reads its groups; some may be
 * damaged. LSVD_E_LOCKED, LSVD_E_FOREIGN_CACHE (another volume's), LSVD_E_CORRUPT (both
 * superblocks), LSVD_E_VERSION, -ENOENT (readonly or existing, and no file), -errno.
 */
int lsvd_wal_open(struct wal **ret, struct wal_found *found, struct port *port,
		  const struct wal_options *options, const struct wal_ops *ops, void *ctx);

/*
 * Procedure: waits until a log that is being made is there, and says what keeps it from it:
 * -ENOSPC, -errno. To begin a run does the same; this is for who must know earlier.
 */
int lsvd_wal_made(struct wal *w);

/*
 * Procedure: what the log holds, given that the store has all operations up to `stored_op`. What is
 * damaged and stored does not matter: the rest goes on behind it. Where something else is missing
 * the log ends; if it had been durable that is LSVD_E_CORRUPT, or *ret_cut if `cut` says that it
 * may be given up. Changes nothing.
 */
int lsvd_wal_holds(const struct wal *w, uint64_t stored_op, bool cut, uint64_t *ret_last_op,
		   bool *ret_cut);
/*
 * Procedure: makes it so, with the same errors; to be called before a run is begun
 * or groups are read.
 */
int lsvd_wal_settle(struct wal *w, uint64_t stored_op, bool cut);

/*
 * Procedure: starts a new run, synced: from now on groups can be reserved. `discard`: what was
 * found is void and the next operation is next_op; else next_op must follow what was found.
 */
int lsvd_wal_begin_run(struct wal *w, uint64_t epoch, uint64_t base_epoch, bool discard,
		       uint64_t next_op);
/* Procedure: the same without an epoch of its own: goes on in the one before, and notes where. */
int lsvd_wal_begin_offline(struct wal *w);

/*
 * Procedure: what it holds is void, and a new run of the same epoch begins, synced. The store has
 * all of it, nobody reads it or knows a place in it, and nothing is reserved meanwhile.
 */
int lsvd_wal_empty(struct wal *w);

/* Procedure: a last superblock, synced, if the log has not failed. Nothing may be in the world. */
int lsvd_wal_end_run(struct wal *w);
void lsvd_wal_close(struct wal *w);

/*
 * Room for `records` records and `blocks` data blocks; NULL with *ret_err -ENOSPC (no room now:
 * want_room was called, room will be), -ENOMEM or LSVD_E_FAILED. The caller sets records, fill and
 * owner, then writes.
 */
struct wal_group *lsvd_wal_reserve(struct wal *w, uint32_t records, uint32_t blocks,
				   int *ret_err);
void lsvd_wal_write(struct wal *w, struct wal_group *g);

/* Largest group that a log of this size should be asked for, in data blocks. */
uint32_t lsvd_wal_group_blocks(const struct wal *w);

/* Somebody waits until the log below `pos` survives power loss. */
struct wal_ticket {
	struct list link;
	uint64_t pos;
	void (*done)(struct wal_ticket *t, int err);  /* lock held */
};
void lsvd_wal_sync(struct wal *w, struct wal_ticket *t);

/* Where a flush of everything published so far ends; lsvd_wal_durable() may already be there. */
uint64_t lsvd_wal_flush_pos(const struct wal *w);
uint64_t lsvd_wal_durable(const struct wal *w);
/* The newest operation below the durable mark. */
uint64_t lsvd_wal_durable_op(const struct wal *w);
uint64_t lsvd_wal_next_op(const struct wal *w);

/* The store has every operation of the groups up to and with `g`. */
void lsvd_wal_stored(struct wal *w, struct wal_group *g, uint64_t stored_op);

/* The group whose data lies at `pos`; it must be one a reader got from the overlay. */
struct wal_group *lsvd_wal_group_at(struct wal *w, uint64_t pos);
static inline uint64_t wal_data_pos(const struct wal_group *g)
{
	return g->head.pos + g->head.header_bytes;
}
/* The data in memory, NULL if only the file has it. */
static inline uint8_t *wal_data(const struct wal_group *g)
{
	return g->slice.data ? g->slice.data + g->head.header_bytes : NULL;
}
void lsvd_wal_unref(struct wal *w, struct wal_group *g);
/* Gives the memory back if nobody reads; the file keeps the data. */
void lsvd_wal_forget(struct wal *w, struct wal_group *g);
/*
 * Memory to read a forgotten group into, header and all; then the group gets it, or it goes back.
 */
int lsvd_wal_recall(struct wal *w, struct wal_group *g, struct slice *ret);
void lsvd_wal_recalled(struct wal *w, struct wal_group *g, struct slice *slice, bool good);

struct file *lsvd_wal_file(const struct wal *w);
/* Where position `pos` lies in the file. */
uint64_t lsvd_wal_file_off(const struct wal *w, uint64_t pos);
/* Does data block `block` of the group match its hash? `plain`: its lsvd_hash(). */
bool lsvd_wal_verify_hash(const struct wal *w, const struct wal_group *g, uint32_t block,
			  uint64_t plain);
bool lsvd_wal_verify(const struct wal *w, const struct wal_group *g, uint32_t block,
		     const void *data, uint32_t bytes);

struct list *lsvd_wal_groups(struct wal *w);   /* oldest first */
/* Cancels the timer; for closing. */
void lsvd_wal_quiesce(struct wal *w);

struct wal_stats {
	uint64_t groups, bytes, syncs, used, capacity, memory;
};
void lsvd_wal_stats(const struct wal *w, struct wal_stats *ret);
int lsvd_wal_failure(const struct wal *w);
const struct uuid *lsvd_wal_cache_id(const struct wal *w);
uint64_t lsvd_wal_run(const struct wal *w);
/* The run since which its history is one: what was before it was voided. 0: all. */
uint64_t lsvd_wal_whole_run(const struct wal *w);
uint64_t lsvd_wal_stored_pos(const struct wal *w);
void lsvd_wal_check(const struct wal *w);

#endif
