/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_table.h - the segments of a value log with their statistics, what is dead, and how all that
 * is written down: in the records of the chain and in roots (docs/format.md, "Value logs").
 *
 * The table is the state after a place in the chain, and is changed by records alone, when their
 * object is acknowledged or replayed. Only the statistics change in between: they are estimates,
 * and saved with roots. What is dead has left the table and goes from the store once a root without
 * it is named by the chain (vlog_checkpoint.c).
 *
 * Pure but for memory; the owner locks.
 */
#ifndef VLOG_VLOG_TABLE_H
#define VLOG_VLOG_TABLE_H

#include <stdbool.h>

#include "format/fmt_key.h"
#include "vlog/vlog_build.h"

struct vlog_segment {
	uint64_t id, epoch, commit;
	uint64_t object_bytes, footer_at;
	struct vlog_totals totals;
	int64_t created_ms;
	/* estimates; never above the totals */
	uint64_t stale_items, stale_raw, stale_records;
	bool uncertain;          /* they may be anything: the index has to be asked */
	/* of this open only */
	char key[88];            /* the object's name, once it is needed */
	bool damaged;
	bool doomed;             /* a record that drops it is on its way: nobody pins it any more */
	bool retired;            /* no more in the table; freed when nobody reads it */
	unsigned readers;        /* requests on their way */
	unsigned pins;           /* by snapshots, commits, iterators, collection */
	unsigned unconfirmed;    /* of these: by commits whose index is not durable yet,
				  * by collection */
	uint64_t seen_items, seen_raw, seen_records; /* by the scan under way, if `scanned` */
	uint64_t noted_items, noted_raw, noted_records; /* as stale, since it began */
	bool scanned;
};

/* An object that the log does not need any more. */
struct vlog_dead {
	enum key_kind kind;      /* KEY_CHAIN (a note), KEY_FREE, KEY_ROOT */
	uint64_t epoch, number;
	uint64_t bytes;          /* 0: not known */
	bool listed;             /* the newest root says that it is dead; not written down */
};

struct vlog_table {
	struct vlog_segment **at; /* by id */
	size_t count, room;
	uint64_t commits;         /* the number of the newest */
	struct vlog_dead *dead;
	size_t dead_count, dead_room;
};

void lsvd_vlog_table_fini(struct vlog_table *t);
struct vlog_segment *lsvd_vlog_table_find(const struct vlog_table *t, uint64_t id);
/* Room for so many more of both: what follows cannot fail then. */
int lsvd_vlog_table_reserve(struct vlog_table *t, size_t segments, size_t dead);
/* Takes the segment over; there is room, and none of that id. */
void lsvd_vlog_table_add(struct vlog_table *t, struct vlog_segment *s);
/* Out of the table and among the dead; the segment is the caller's. */
void lsvd_vlog_table_retire(struct vlog_table *t, struct vlog_segment *s);
void lsvd_vlog_table_bury(struct vlog_table *t, const struct vlog_dead *d);

static inline bool vlog_entirely_stale(const struct vlog_segment *s)
{
	return s->stale_items >= s->totals.items;
}

/* Entirely stale, or `items` with so many bytes of it more; never beyond the totals. */
void lsvd_vlog_all_stale(struct vlog_segment *s);
void lsvd_vlog_add_stale(struct vlog_segment *s, uint64_t items, uint64_t raw, uint64_t records);

/* ---- records of the chain */
enum {
	RECORD_VLOG_COMMIT = 16,
	RECORD_VLOG_RETIRE = 17,
};

/* What a record says. */
struct vlog_change {
	struct vlog_segment **add; /* COMMIT: owned */
	size_t add_count;
	uint64_t *ids;             /* COMMIT: collected into these; RETIRE: dropped */
	size_t id_count;
};
void lsvd_vlog_change_fini(struct vlog_change *c);
/* An upper bound on the payload. */
size_t lsvd_vlog_change_room(const struct vlog_change *c);
size_t lsvd_vlog_change_encode(uint8_t *p, int type, const struct vlog_change *c);
/* LSVD_E_CORRUPT, -ENOMEM. */
int lsvd_vlog_change_decode(struct vlog_change *ret, int type, const uint8_t *p, size_t len,
			    const char *what);

/*
 * ---- roots: {u64 epoch, u64 seq, u64 commits, u32 segments, u32 dead,
 *              u64 checksum of the body}
 */
#define VLOG_ROOT_HEADER (OBJECT_HEAD_BYTES + 48u)
/* The whole object, allocated; `head` has all but lengths and checksum. `seq`: the place it is the
 * state of. */
int lsvd_vlog_root_encode(const struct vlog_table *t, struct object_head *head, uint64_t seq,
			  uint8_t **ret, size_t *ret_len);
/* Into an empty table, of a verified header. -EBADMSG: it does not verify. */
int lsvd_vlog_root_decode(struct vlog_table *t, const struct object_head *head,
			  const uint8_t *object, size_t len, const char *what);

#endif
