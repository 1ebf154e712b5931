/* SPDX-License-Identifier: BSD-2-Clause */
/* wal_internal.h - the local log's state, shared by the files of this folder. */
#ifndef WAL_WAL_INTERNAL_H
#define WAL_WAL_INTERNAL_H

#include "wal/wal.h"

/* Life of a superblock update: one slot is never written before the other is synced. */
enum super_state {
	SUPER_IDLE,      /* the newest one is synced */
	SUPER_WRITING,
	SUPER_WRITTEN,   /* a sync that starts now makes it count */
	SUPER_SYNCING,
};

/*
 * What cannot be read between groups that can, or before the log's end. More than WAL_GAPS_MAX are
 * one up to the end.
 */
#define WAL_GAPS_MAX 16u
struct wal_gap {
	uint64_t pos, end;           /* positions */
	uint64_t first_op, last_op;  /* last_op = first_op - 1: none is lost; UINT64_MAX: unknown */
	uint64_t run;                /* of the group before it */
	bool vouched;                /* it was durable once: no torn tail */
	bool known;                  /* by its header, which is whole;
				      * else by what lies behind it */
	const char *why;
};

struct wal {
	/* immutable after open */
	struct port *port;
	const struct wal_ops *ops;
	void *ctx;
	struct file *file;
	char name[96];
	uint64_t owner;              /* seed of the volume */
	uint64_t ring_bytes;
	bool readonly;

	/* procedures only, then constant while running */
	struct wal_super super;      /* the newest written */
	struct wal_gap gaps[WAL_GAPS_MAX + 1];
	unsigned gap_count;
	bool unmade;                 /* nothing of it is in the file yet */
	struct job_io making;
	char making_text[512];       /* why that failed */

	/* protected by the port's lock */
	int failure;                 /* 0, or why the log is FAILED */
	bool running;
	bool filling;                /* the job `making` is in the world */
	uint64_t head, published, durable, stored, given_up;
	uint64_t dirty;              /* end of the newest published group with records */
	uint64_t next_op, published_op, durable_op;
	uint64_t stored_op, stored_run;
	uint64_t last_run;           /* run of the group at head */
	struct list groups;
	struct wal_group **at_block; /* by data block of the ring */
	struct chunk_pool pool;

	struct list tickets;         /* in order of arrival */
	struct file_io sync_io;
	bool syncing;
	uint64_t sync_pos, sync_op;  /* what the sync in the world will make durable */

	struct file_io super_io;
	uint8_t *super_buf;          /* WAL_SLOT_BYTES, aligned */
	enum super_state super_state;
	bool super_wanted;
	bool room_wanted;

	struct timer_io mark_timer;  /* writes the watermark of a flush with nothing behind it */
	bool mark_armed;
	uint64_t marked;             /* the newest watermark written down */

	struct wal_stats stats;
};

/* wal.c */
struct wal_group *lsvd_wal_group_new(struct wal *w, uint32_t records, uint32_t blocks);
void lsvd_wal_group_free(struct wal *w, struct wal_group *g);
void lsvd_wal_group_index(struct wal *w, struct wal_group *g);
void lsvd_wal_fail(struct wal *w, int err);
void lsvd_wal_group_done(struct io *io);
void lsvd_wal_group_prepare(struct io *io);
/* wal_sync.c */
void lsvd_wal_sync_init(struct wal *w);
void lsvd_wal_start_sync(struct wal *w);
void lsvd_wal_fail_tickets(struct wal *w, int err);
void lsvd_wal_push_super(struct wal *w);
/* wal_replay.c */
int lsvd_wal_replay(struct wal *w, struct wal_found *found);

#endif
