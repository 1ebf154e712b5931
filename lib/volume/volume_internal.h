/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * volume_internal.h - an open volume: the parts it is made of, and who owns what.
 *
 *   vol_options.c     what a volume may be opened with
 *   vol_open.c        volume record, cache, chain, checkpoint, log: in that order
 *   vol_log.c         local log and chain as parts of it, and what they ask and tell it
 *   vol_replay.c      what the local log has and the store has not
 *   vol_close.c       the end, in order
 *   vol_wait.c        until it is in some state
 *   vol_op.c          operations: checks, dispatch, the end of each
 *   vol_write.c       operations to groups of the local log, published into the overlay
 *   vol_flush.c       who waits for what to be durable, here and in the store
 *   vol_read.c        overlay and map to parts; memory, log, zeroes
 *   vol_batch.c       parts that lie in objects, made into fetches
 *   vol_fetch.c       their bytes: read cache, ranged GET
 *   vol_unpack.c      what is in these, verified
 *   vol_miss.c        GETs, each for all who need it; what fills the read cache
 *   vol_ahead.c       sequential streams, and what is read ahead of them
 *   vol_destage.c     published groups to segments, and these to the store, in order
 *   vol_build.c       the object that a segment is
 *   vol_cold.c        what users write over what was old, in objects of its own
 *   vol_apply.c       what the store has acknowledged into the store map
 *   vol_checkpoint.c  the store map's changed pages, and a root that names all of them; its bytes:
 *                     checkpoint_encode.c
 *   vol_pages.c       the store map's pages, when they are needed
 *   vol_gc.c          what there is to collect, for the machine that decides
 *   vol_gc_survey.c   what lives in a victim
 *   vol_gc_move.c     copies of that; these two of a round (vol_gc_round.h)
 *   vol_adopt.c       moved objects into the store map
 *   vol_collect.c     garbage collection as users see it: by hand, paused, how it stands
 *   vol_orphans.c     objects that nobody knows
 *   vol_delete.c      what is dead out of the store
 *   snapshot_table.c  the list of snapshots, and which objects they need
 *   root_codec.c      roots and their nodes as bytes
 *   vol_blobs.c       many parts of page objects at once
 *   vol_recover.c     a root and the chain after it, back into the store map
 *   vol_mirror.c      a copy of the store map in the cache directory
 *   vol_offline.c     opening with that copy and the log, without the store
 *   vol_snapshot.c    snapshots: made, deleted, listed
 *   vol_rollback.c    a volume that becomes what it was at a snapshot
 *   vol_resize.c      another size
 *   vol_clone.c       volumes that begin as a snapshot of another
 *   vol_slots.c       who uses a snapshot, written down
 *   vol_users.c       may a snapshot or a volume go?
 *   vol_base.c        what a clone began as, for people
 *   vol_flatten.c     a clone that needs its base no more
 *   vol_lower.c       volumes that show others where they have nothing
 *   vol_status.c      block status; statistics
 *   vol_cached.c      which data the read cache has
 *   vol_admin.c       create, look up, list, usage, delete
 *   check*.c          is all of it whole? (vol_check.h)
 *   shared_rcache.c   one read cache for all volumes of a process
 *
 * The two parts of the map. The *store map* is exactly the state after the last object of the
 * acknowledged chain; only it is checkpointed. The *overlay* says where newer data lies in the
 * local log. An object's extents enter the store map when it joins the acknowledged prefix; its
 * overlay entries stay, as hints, until their ring space is reused. Reads ask the overlay first.
 *
 * One lock: the port's. Everything below is protected by it unless said otherwise.
 */
#ifndef VOLUME_VOLUME_INTERNAL_H
#define VOLUME_VOLUME_INTERNAL_H

#include <lsvd/stats.h>
#include <lsvd/volume.h>

#include "io/port.h"
#include "log/log.h"
#include "log/log_gc.h"
#include "log/log_probe.h"
#include "map/extent_map.h"
#include "map/store_map.h"
#include "segment/segment.h"
#include "volume/object_table.h"
#include "volume/page_table.h"
#include "volume/snapshot_table.h"
#include "volume/vol_ahead.h"
#include "volume/vol_miss.h"
#include "volume/vol_pages.h"
#include "wal/wal.h"

struct rcache;
struct mirror;
struct gc_round;
struct collect;
struct moved;
struct cold;
struct deletion;
struct snapshot_op;
struct blob_want;
struct rebuild;
struct check;
struct anchoring;

/* The library's part of a struct lsvd_io. */
struct vol_op {
	struct call call;              /* the callback at the end */
	union {
		struct {
			struct list queue;
			uint64_t progress; /* bytes already in groups */
		} write;               /* writes: waiting for a group */
		struct wal_ticket ticket; /* flushes: waiting for the local log */
		struct log_look look;  /* remote flushes: waiting for the look after the ack */
		struct {
			struct list link;
			uint64_t op;   /* remote flushes: waiting until the store has it */
		} remote;
	} w;
	uint32_t left;                 /* writes: records not yet published, + 1 while queued */
	uint16_t stalled;              /* writes: waited for room in the log */
	uint16_t era;                  /* volume->ops_of counts it there */
};

static inline struct vol_op *vol_op(struct lsvd_io *io)
{
	return (struct vol_op *)(void *)io->priv;
}

static inline struct lsvd_io *vol_op_io(struct vol_op *op)
{
	return (struct lsvd_io *)(void *)((char *)op - offsetof(struct lsvd_io, priv));
}

/*
 * A segment on its way from the log to the store.
 *
 *   OPEN -> SEALED -> LOADING -> BUILDING -> READY -> (COLD) -> PUTTING -> ACKED
 *        -> (applied, freed)
 *
 * SEALED: waits for its turn. LOADING: forgotten groups are read back. READY: built; waits until
 * the log below its end is durable, so that the store is never ahead of an intact cache. COLD: its
 * cold part is put (vol_cold.c), if it has one.
 */
enum vseg_state {
	VSEG_OPEN,
	VSEG_SEALED,
	VSEG_LOADING,
	VSEG_BUILDING,
	VSEG_READY,
	VSEG_COLD,
	VSEG_PUTTING,
	VSEG_ACKED,
};

struct vseg {
	struct list link;              /* volume->segments, oldest first */
	struct lsvd_volume *volume;
	enum vseg_state state;
	uint64_t first_op, last_op;    /* last_op = first_op - 1: none */
	struct wal_group *first, *last;
	uint32_t groups, records;
	uint64_t data_bytes;           /* of its groups, in the log */
	uint64_t user_bytes;
	uint64_t opened_ms;
	struct vload *loads;           /* groups read back from the log */
	unsigned load_count, loads_left;
	int load_err;
	struct seg_record *recs;       /* while building */
	struct segment *built;
	struct cold *cold;             /* its cold part, or NULL */
	bool whole;                    /* it is to have none */
	struct job_io build;
	struct wal_ticket ticket;
	bool durable;
	struct log_put put;
	bool begun;                    /* the store map may have a part of it */
	uint32_t applied;              /* extents already in the store map */
};

struct lsvd_volume {
	/* immutable after open */
	struct port port;
	struct world *world;
	bool own_world;
	bool tiny;                     /* the world is a simulation's */
	char name[LSVD_NAME_MAX + 1];
	struct uuid uuid;
	int64_t created_ms;          /* 0: not known */
	uint64_t owner;                /* lsvd_uuid_seed(uuid) */
	uint64_t bytes, sectors;       /* the bound of operations; see lsvd_vol_set_bytes() */
	uint64_t chain_bytes;          /* as the chain says; more than bytes while it shrinks */
	struct ancestry *ancestry;     /* of a clone, else NULL */
	struct fmt_base *base;         /* what it began as, */
	bool loading_base;             /* and is being read */
	struct lower_set *lowers;      /* vol_lower.c: opened with it, and closed with
					* it; or NULL */
	struct lsvd_volume *below;     /* shows where this one has nothing, or NULL */
	uint64_t shows;                /* sectors of this one that show, if it is below another */
	uint64_t hides;                /* sectors below which a trim hides what is below; 0: none */
	struct uuid past;              /* the snapshot it was opened at */
	bool readonly;
	bool offline;                  /* opened on the cache alone: no log, nothing is stored */
	struct lsvd_volume_options opt;
	struct seg_options seg_opt;

	struct wal *wal;               /* NULL: read-only without a cache */
	struct log *log;               /* NULL: offline */
	struct mirror *mirror;         /* vol_mirror.c; NULL: none */
	struct rcache *rcache;         /* has a lock of its own; NULL: none */
	struct extent_map *overlay;
	struct store_map *map;
	struct object_table objects;
	struct snapshot_table snapshots;

	/* operations */
	unsigned ops;                  /* begun and not ended */
	/* Of these, writes by the era they began in, 0 or 1, and the rest. A new era begins when
	 * somebody has to see the end of all writes that have begun. */
	unsigned ops_of[3];
	unsigned era;
	bool closing, stopping;        /* stopping: what is not in the world is not begun */
	int failed;                    /* sticky: LSVD_E_FENCED, LSVD_E_FAILED */
	char status_text[256];
	int store_err;                 /* passing: why requests to the store are being retried */
	char store_text[256];

	/* vol_write.c */
	struct list writes;            /* waiting for a group, in order */
	unsigned groups_out;           /* reserved and not published */
	unsigned records_out;          /* in them: what the overlay has memory for */
	bool waits_for_room;
	uint64_t room_since_ms;
	struct timer_io stall_timer;
	bool stall_armed;
	uint64_t last_op;              /* newest published */

	/* vol_miss.c, vol_ahead.c */
	struct misses misses;
	struct ahead ahead;

	struct pager pager;            /* vol_pages.c */

	/* vol_flush.c */
	struct list remote_waiters;    /* until the store has an operation */
	struct timer_io look_timer;    /* looks again for those that the store has,
					* and cannot tell */
	bool look_armed;
	uint32_t look_pause_ms;
	struct log_look lease_look;
	bool lease_looking;
	uint64_t lease_tried_ms;

	/* vol_destage.c, vol_apply.c */
	struct list segments;          /* the last one may be OPEN */
	struct list spares;            /* one for each group that may be published */
	unsigned spare_count;
	struct io apply_step;
	unsigned segments_out;         /* LOADING … PUTTING */
	bool seal_armed, want_room;
	struct timer_io seal_timer;
	uint64_t last_write_ms;
	uint64_t stored_op;            /* newest operation the store map has */
	uint64_t stored_seq;
	uint64_t applying_object;      /* whose extents go into the map, */
	struct place applying_at;      /* and its place */
	struct timer_io again_timer;   /* tries destaging again after a failed allocation */
	bool again_armed;
	bool applying;
	uint64_t acked_ms[4];          /* when the last segments were, in a ring */
	uint64_t acks;

	/* vol_checkpoint.c */
	struct checkpoint *checkpoint; /* being written, or NULL */
	uint64_t segments_since_root;
	struct page_table pages;       /* of the newest root, or of the one being put */
	bool frozen;                   /* nothing may be applied to the store map */
	bool encoding;                 /* nor may its pages come or go: another thread reads it */
	bool checkpoint_wanted, checkpoints_off;
	bool pages_lost;               /* some are marked saved, and are not in the store */
	int checkpoint_err;            /* why the last that was not made was not */
	uint64_t checkpoints;
	uint64_t root_number;          /* of the newest root; 0: none */
	struct place root_at;          /* the chain object it stands at */
	uint64_t root_bytes;           /* the volume's size there, while it is loaded */
	bool leaving_base;             /* checkpoints empty page objects of ancestors, too */

	/* vol_delete.c */
	uint64_t root_first_seq;       /* the chain object that names it first;
					* 0: it is as old as the open */
	uint64_t root_named_by;        /* what is dead in it goes when this is in; 0: seen to */
	struct deletion *deletion;     /* on its way, or NULL */
	struct log_put note_put;
	bool note_out;
	struct anchoring *anchoring;   /* notes up to an anchor, or NULL */
	uint64_t held_bytes;           /* dead, and not before an anchor:
					* left by the last deletion, */
	uint64_t held_before;          /* the place of which was this */

	/* vol_snapshot.c */
	bool changing;                 /* a call that changes more than content is on its way */
	bool listing;                  /* opened for its list of snapshots, and for nothing else */
	bool going;                    /* by its UUID, whether it has a name and a future or not */
	struct snapshot_op *snapshot_op; /* a note on its way, or NULL */
	int snapshot_err;              /* what the last one ended with */

	/*
	 * vol_rollback.c. While it is ON nothing is begun: no operation, collection, checkpoint,
	 * deletion. LOST: it failed when the map had been exchanged and the chain did not say so;
	 * nothing of the map means anything any more.
	 */
	enum { ROLL_NONE, ROLL_ON, ROLL_LOST } rolling;

	/* vol_gc.c */
	struct log_gc gc;
	/*
	 * What is copied out of by hand: what is mostly dead; what a clone's ancestors have; what
	 * is not full of what lives.
	 */
	enum gc_scope { GC_DEAD, GC_ANCESTORS, GC_NOT_FULL } gc_scope;
	uint64_t gc_below;             /* GC_NOT_FULL: of objects before this one;
					* the rest is new */
	struct gc_round *gc_round;     /* on its way, or NULL */
	uint64_t written;              /* user bytes stored: what collection takes for the time */
	uint64_t lifespan;             /* in these, of hot segments; 0: not known */
	struct collect *collect;       /* the call of lsvd_volume_collect() under way, or NULL */
	uint64_t orphans, orphan_bytes;
	uint64_t died_at_root;         /* objects.died_bytes when the last checkpoint began,
					* less what lsvd_vol_gc_look() has found: may wrap around */

	/* vol_adopt.c */
	struct list adoptions;         /* by seq */

	/* vol_close.c */
	struct wal_ticket close_ticket;
	struct log_put close_put;
	enum { CLOSE_NONE, CLOSE_PUTTING, CLOSE_STORED, CLOSE_FAILED } close_state;

	/*
	 * A check (vol_check.h), else NULL: told of a part of a page object (want; NULL: its
	 * header; no key: an object that is in no table) that cannot be used, with the text of the
	 * failure. 0: go on without it.
	 */
	int (*bad_blob)(struct lsvd_volume *v, const struct blob_want *want,
			const char *key, int err);
	struct check *check;
	struct rebuild *rebuild;       /* opened without its checkpoint: nothing is deleted;
					* else NULL */

	struct lsvd_stats stats;
	struct log_opened opened;
	struct probe_check store_check; /* while it is opened */
};

/* ---- vol_op.c */
/* The bound changes; it is read without the lock, too. */
static inline void lsvd_vol_set_bytes(struct lsvd_volume *v, uint64_t bytes)
{
	__atomic_store_n(&v->bytes, bytes, __ATOMIC_RELAXED);
	v->sectors = bytes / SECTOR_BYTES;
}
static inline uint64_t lsvd_vol_bytes(const struct lsvd_volume *v)
{
	return __atomic_load_n(&v->bytes, __ATOMIC_RELAXED);
}
/* A blocking operation of our own, for which no bound holds. Without the lock. */
int lsvd_vol_run(struct lsvd_volume *v, struct lsvd_io io);
/* lock held: all writes that have begun end. */
int lsvd_vol_end_writes(struct lsvd_volume *v, uint32_t timeout_ms);
/* -EBUSY: the volume is being rolled back; what it failed with, if that was in the middle. */
int lsvd_vol_refuse_rolling(const struct lsvd_volume *v);
void lsvd_vol_begin(struct lsvd_volume *v, struct lsvd_io *io);
void lsvd_vol_end(struct lsvd_volume *v, struct lsvd_io *io, int err);
void lsvd_vol_fail(struct lsvd_volume *v, int err, const char *why);
uint64_t lsvd_vol_now(const struct lsvd_volume *v);
/*
 * Between half of a pause and the whole of it, by chance: who failed together returns one by one.
 */
uint64_t lsvd_vol_some_of(const struct lsvd_volume *v, uint32_t ms);

/* Copies between an operation's vector and plain memory; `off` is within the operation. */
void lsvd_iov_to(const struct iovec *iov, int iovcnt, uint64_t off, const void *src, size_t len);
void lsvd_iov_from(const struct iovec *iov, int iovcnt, uint64_t off, void *dst, size_t len);
void lsvd_iov_zero(const struct iovec *iov, int iovcnt, uint64_t off, size_t len);
/* The one piece of memory that holds the range, NULL if it is spread. */
void *lsvd_iov_piece(const struct iovec *iov, int iovcnt, uint64_t off, size_t len);
/* The range as a vector of its own, at most as long; its length. */
int lsvd_iov_cut(const struct iovec *iov, int iovcnt, uint64_t off, size_t len, struct iovec *ret);

/* ---- vol_write.c */
void lsvd_vol_write(struct lsvd_volume *v, struct lsvd_io *io);
void lsvd_vol_form_groups(struct lsvd_volume *v);
void lsvd_vol_fail_writes(struct lsvd_volume *v, int err);
void lsvd_vol_put_in_overlay(struct lsvd_volume *v, struct wal_group *g);
extern const struct wal_ops lsvd_vol_wal_ops;

/* ---- vol_flush.c */
void lsvd_vol_flush(struct lsvd_volume *v, struct lsvd_io *io);
void lsvd_vol_stored_more(struct lsvd_volume *v);
void lsvd_vol_fail_flushes(struct lsvd_volume *v, int err);
void lsvd_vol_check_lease(struct lsvd_volume *v);

/* ---- vol_read.c, vol_batch.c, vol_fetch.c */
struct read_req;
void lsvd_vol_read(struct lsvd_volume *v, struct lsvd_io *io);
/* A stretch of the request lies in objects, at the extents given; lock held. */
int lsvd_vol_fetch(struct read_req *req, const struct map_extent *extents, unsigned n);
/*
 * In what collection reads, the most between two extents that are one request:
 * nobody waits for the bytes.
 */
#define GC_JOIN_GAP_BYTES 65536u
/* one that its `readers` counts */
void lsvd_vol_read_is_over(struct lsvd_volume *v, uint64_t object);
/* How far an extent of the store map, perhaps cut, may reach in its object. */
uint64_t lsvd_vol_reach(const struct lsvd_volume *v, const struct map_extent *e);

struct read_req {
	struct lsvd_volume *v;
	struct lsvd_io *io;
	unsigned left;                 /* parts not done, + 1 while resolving */
	int err;
	bool prefetch;                 /* nothing is copied to a user */
	bool ahead;                    /* nobody waits for it */
	bool missed;                   /* a part of it is, or was to be, asked of the store */
	void (*done)(struct read_req *req); /* NULL: a user's operation */
	/*
	 * Garbage collection (io is NULL): gets what is verified, without the lock; and which
	 * object it was that failed.
	 */
	void (*sink)(struct read_req *req, uint64_t lba, const uint8_t *data, size_t bytes);
	/* Of an extent of kind FETCH_BLOB: verifies and takes its bytes, without the lock. */
	int (*blob)(struct read_req *req, const uint8_t *bytes);
	uint64_t bad_object;
	unsigned retries;              /* of all its parts, if it has a sink */
	struct page_wait wait;         /* vol_read.c: for a page of the map, */
	uint64_t next;                 /* to go on from this sector */
};
/* Not of the map: [off, off + len) of the object, bytes that req->blob knows how to verify. */
#define FETCH_BLOB 3u

/* A range to be resolved into parts; ends with lsvd_vol_read_part_done() to the last of them. */
void lsvd_vol_read_begin(struct read_req *req);
void lsvd_vol_read_part_done(struct read_req *req, int err);
/* The name of a data object. */
void lsvd_vol_object_key(char key[KEY_CAP], const struct lsvd_volume *v,
			 const struct object_entry *e);

/* ---- vol_status.c */
void lsvd_vol_look_up(struct lsvd_volume *v, struct lsvd_io *io);

/* ---- vol_destage.c */
/* Memory for the segments that `groups` groups may begin when they are published. */
int lsvd_vol_spare_segments(struct lsvd_volume *v, unsigned groups);
void lsvd_vol_take_group(struct lsvd_volume *v, struct wal_group *g);
void lsvd_vol_seal(struct lsvd_volume *v);
void lsvd_vol_destage(struct lsvd_volume *v);
void lsvd_vol_drop_segments(struct lsvd_volume *v);
bool lsvd_vol_store_is_quick(const struct lsvd_volume *v);

/* ---- vol_apply.c */
int lsvd_vol_apply_extent(struct lsvd_volume *v, uint64_t object, const struct seg_extent *e);
/* What the map calls an extent's kind; a hole is not in it. */
static inline uint8_t map_kind_of(const struct seg_extent *e)
{
	return e->kind == SEG_RAW ? MAP_RAW : e->kind == SEG_UNIT ? MAP_UNIT : MAP_ZERO;
}
/* Into the store map, whole; what it replaces is counted off. */
int lsvd_vol_insert(struct lsvd_volume *v, const struct map_extent *e);
int lsvd_vol_apply_object(struct lsvd_volume *v, uint64_t object,
			  const struct object_entry *entry);
/* A note is in the chain: of no more use than until the next root. Its number is in the table. */
void lsvd_vol_note_is_in(struct lsvd_volume *v, const struct log_place *place, uint64_t bytes);
/* All of its extents are in the map. */
void lsvd_vol_applied(struct lsvd_volume *v, uint64_t object);
void lsvd_vol_apply(struct lsvd_volume *v);
/* Is the store map between two objects, with a part of the second in it? */
bool lsvd_vol_is_between(const struct lsvd_volume *v);

/* ---- vol_checkpoint.c, vol_recover.c */
void lsvd_vol_start_checkpoint(struct lsvd_volume *v);
void lsvd_vol_maybe_checkpoint(struct lsvd_volume *v);
/*
 * While rolling, and with none on its way: of the state that begins at the chain object `at`, which
 * is yet to be put, with another size. When it is over, and v->root_number is another, the root is
 * in the store, and that object has to name it.
 */
void lsvd_vol_start_rolled_checkpoint(struct lsvd_volume *v, struct place at, uint64_t bytes);

/* ---- vol_delete.c */
void lsvd_vol_root_is_put(struct lsvd_volume *v);
/* A chain object was acknowledged. */
void lsvd_vol_delete_dead(struct lsvd_volume *v);
/* Nothing is frozen any more. */
void lsvd_vol_deleted_more(struct lsvd_volume *v);
/* Sees to it that a chain object names the newest root: lsvd_vol_root_is_named(), soon. */
void lsvd_vol_name_root(struct lsvd_volume *v);
bool lsvd_vol_root_is_named(const struct lsvd_volume *v);
/*
 * If that would let something go: brings about an anchor, and deletes again. False: it would not.
 */
bool lsvd_vol_anchor(struct lsvd_volume *v);
/* An object was stored, or nobody writes: what the last deletion had to leave may go now. */
void lsvd_vol_release_held(struct lsvd_volume *v);
void lsvd_vol_free_deletion(struct lsvd_volume *v); /* nothing is in the world */
/* ---- vol_status.c; lock held */
/* Everything acknowledged is in the store and in the store map. */
int lsvd_vol_store_all(struct lsvd_volume *v, uint32_t timeout_ms);
/*
 * The public calls; -ECANCELED as soon as *stop, which is set with the lock held, and all are told.
 * What was begun goes on.
 */
int lsvd_vol_sync_unless(struct lsvd_volume *v, uint32_t timeout_ms, const bool *stop);
int lsvd_vol_checkpoint_unless(struct lsvd_volume *v, uint32_t timeout_ms, const bool *stop);
/* ---- vol_clone.c */
/* Whose the object is: the name below which it lies, and what its checksums are bound to. */
static inline const struct uuid *lsvd_vol_uuid_of(const struct lsvd_volume *v, uint64_t object)
{
	unsigned i = ancestor_of(v->ancestry, object);

	return i ? &v->ancestry->list[i - 1].volume : &v->uuid;
}
static inline uint64_t lsvd_vol_owner_of(const struct lsvd_volume *v, uint64_t object)
{
	unsigned i = ancestor_of(v->ancestry, object);

	return i ? v->ancestry->list[i - 1].owner : v->owner;
}
/* Procedures. The record says that it is a clone; what it began as, if it has no root yet. */
int lsvd_vol_take_base(struct lsvd_volume *v, const struct fmt_base *base);
int lsvd_vol_load_base(struct lsvd_volume *v, const struct log_ops *ops);
/* The clone needs its base no more. The lock is free. */
int lsvd_vol_drop_base(struct lsvd_volume *v);
/* ---- vol_base.c */
/*
 * A procedure: what failed was read of the volume's base `uuid`. If it is damaged the text says
 * whose it is, and what to do.
 */
int lsvd_vol_base_fails(struct lsvd_volume *v, const struct uuid *uuid, int err);
/* ---- vol_users.c, vol_slots.c */
/*
 * Nobody may clone the snapshot any more: -EBUSY if somebody has. And its slots, when it is gone.
 */
int lsvd_vol_close_slots(struct lsvd_volume *v, const struct snapshot *s);
void lsvd_vol_remove_slots(struct port *port, const struct uuid *volume, const struct snapshot *s);
/* ---- vol_lower.c */
struct fmt_lowers;
/* Procedures. What the record says of lowers, for who reads no data; and they are opened. */
void lsvd_vol_take_lowers(struct lsvd_volume *v, const struct fmt_lowers *lowers);
int lsvd_vol_open_lowers(struct lsvd_volume *v, const struct fmt_lowers *lowers);
void lsvd_vol_close_lowers(struct lsvd_volume *v);
/* No lock: v is about to be closed: reads that wait below it end. */
void lsvd_vol_hurry_lowers(struct lsvd_volume *v);
/* The first below v that shows sector lba; NULL: none does. */
struct lsvd_volume *lsvd_vol_showing(const struct lsvd_volume *v, uint64_t lba);
/* Lock held: [lba, end) of the request is what `w` shows. */
int lsvd_vol_read_lower(struct read_req *req, struct lsvd_volume *w, uint64_t lba, uint64_t end);
/* LSVD_IO_MAP has done what v itself can do; it is ended, now or later. */
void lsvd_vol_look_below(struct lsvd_volume *v, struct lsvd_io *io);
#define STATUS_BELOW 0x80000000u /* a flag between the two: nothing is known of it, look below */
typedef int (*vol_status_fn)(struct lsvd_volume *v, uint64_t off, uint64_t len,
			     struct lsvd_status_extent *ret, size_t max, bool wait);
/* Without the lock: block status of v and all below it, each as `own` tells. */
int lsvd_vol_status_below(struct lsvd_volume *v, uint64_t off, uint64_t len,
			  struct lsvd_status_extent *ret, size_t max, bool wait,
			  vol_status_fn own);
/* An empty store map. */
int lsvd_vol_new_map(struct lsvd_volume *v);
/* ---- vol_snapshot.c */
/* lock held: a note from which on the volume has another size, and its end. */
int lsvd_vol_put_size(struct lsvd_volume *v, uint64_t bytes, uint32_t timeout_ms);
/*
 * lock held: the note at a place that was reserved, with which the volume is what it was at `s`, as
 * `root` has it; and its end.
 */
int lsvd_vol_put_rollback(struct lsvd_volume *v, const struct snapshot *s,
			  const struct log_place *place, struct root_ref root, uint32_t timeout_ms);
int lsvd_vol_refuse_snapshot(const struct lsvd_volume *v, const char *name);
int lsvd_vol_no_such_snapshot(const struct lsvd_volume *v, const char *name);
/* Is a note of ours the next thing whose place the store map has to reach? */
bool lsvd_vol_snapshot_is_next(const struct lsvd_volume *v);
void lsvd_vol_snapshot_apply(struct lsvd_volume *v);
/* One is acknowledged and not listed yet: nothing may be chosen for deletion. */
bool lsvd_vol_snapshot_is_between(const struct lsvd_volume *v);
void lsvd_vol_free_snapshot_op(struct lsvd_volume *v); /* nothing is in the world */
int lsvd_vol_snapshot_record(struct lsvd_volume *v, const struct object_head *head,
			     const struct chain_part *chain, const struct record *record);
/* One at a time: waits for its turn. Every begin that gave 0 has its end. Lock held. */
int lsvd_vol_begin_change(struct lsvd_volume *v, uint32_t timeout_ms);
void lsvd_vol_end_change(struct lsvd_volume *v);
/* ---- vol_gc.c */
/* The store map is there. */
void lsvd_vol_gc_init(struct lsvd_volume *v);
/* Is it to be copied out of by a run of that scope? */
bool lsvd_vol_gc_takes(const struct lsvd_volume *v, uint64_t number, const struct object_entry *e,
		       enum gc_scope scope);
/* Something was stored. */
void lsvd_vol_gc_poke(struct lsvd_volume *v);
/* The volume is open, or a snapshot was deleted: there may be garbage that nobody has told of. */
void lsvd_vol_gc_look(struct lsvd_volume *v);
/* An object has lost a part of what lived in it. */
void lsvd_vol_gc_lost(struct lsvd_volume *v, const struct object_entry *e);
/* ---- vol_gc_move.c */
/* of a round: counts as data not yet stored */
uint64_t lsvd_vol_gc_memory(const struct lsvd_volume *v);
void lsvd_vol_free_round(struct lsvd_volume *v); /* nothing is in the world */

/* ---- vol_adopt.c */
/* The part of `e`, an extent of the map, that lies in [lba, end). */
struct map_extent lsvd_vol_extent_part(const struct map_extent *e, uint64_t lba, uint64_t end);
int lsvd_vol_record(void *ctx, const struct object_head *head, const struct chain_part *chain,
		    const struct record *record);
int lsvd_vol_load_root(void *ctx, const struct object_head *head, const uint8_t *object,
		       size_t len);
int lsvd_vol_replay(void *ctx, const struct object_head *head, const struct chain_part *chain,
		    const struct seg_extent *extents, uint32_t extent_count);

/* ---- vol_offline.c: a procedure; the volume's parts from the cache alone */
int lsvd_vol_open_offline(struct lsvd_volume *v);
/* 0, or LSVD_E_UNAVAILABLE with a text if the volume is offline, and so cannot do `what`. */
int lsvd_vol_refuse_offline(const struct lsvd_volume *v, const char *what);

/* ---- vol_options.c */
/* What a volume may be asked for; the simulator's are tiny, so that everything wraps and fills. */
struct vol_limits {
	uint64_t log_least, segment_least, memory_least, map_least;
	uint32_t anchor_every;
};

#define VOL_TINY_ANCHOR_EVERY 8u
extern const struct vol_limits lsvd_vol_public_limits, lsvd_vol_tiny_limits;
/* *o is what was given, whole; -EINVAL, -E2BIG with a text that names the option. */
int lsvd_vol_set_options(struct lsvd_volume_options *o, const struct lsvd_volume_options *given,
			 const struct vol_limits *limits);

/* ---- vol_log.c: procedures */
extern const struct log_ops lsvd_vol_log_ops;
int lsvd_vol_open_wal(struct lsvd_volume *v, struct wal_found *found);
int lsvd_vol_open_log(struct lsvd_volume *v, const struct wal_found *found);

/* ---- vol_replay.c: a procedure */
int lsvd_vol_replay_wal(struct lsvd_volume *v);

/* ---- vol_wait.c; lock held */
typedef bool (*vol_cond_fn)(struct lsvd_volume *v, const void *arg);
/* When the clock says what it does in `ms` (UINT32_MAX: never). */
uint64_t lsvd_vol_deadline(const struct lsvd_volume *v, uint32_t ms);
/* Waits until `holds` does, at most until the deadline (UINT64_MAX: for ever). Does it? */
bool lsvd_vol_wait_until(struct lsvd_volume *v, vol_cond_fn holds, uint64_t deadline);
/* The same, and as an error: 0, -ETIMEDOUT, or what failed the volume. */
int lsvd_vol_wait(struct lsvd_volume *v, vol_cond_fn holds, const void *arg, uint32_t timeout_ms);

/* ---- vol_close.c */
/* A procedure: ends whatever still waits, and waits for what is in the world. */
void lsvd_vol_stop(struct lsvd_volume *v, int err);

/* ---- vol_open.c */
/* Read-only, for its list of snapshots alone: of a store, or (NULL) in a simulated world. */
int lsvd_vol_open_listing(struct lsvd_volume **ret, struct lsvd_store *store, struct world *world,
			  const char *name);
/* The same of one that may be on its way out, name or not. `tiny`: the world is a simulation's. */
int lsvd_vol_open_going(struct lsvd_volume **ret, struct world *world, bool tiny,
			const struct uuid *uuid);
/* A procedure: what the volume was at a snapshot, in parts of a volume that is nothing else. */
int lsvd_vol_load_past(struct lsvd_volume **ret, struct lsvd_volume *v, const struct snapshot *s);
/* A reader of a snapshot, in the world of `upper`, for it alone. The options are checked ones. */
int lsvd_vol_open_under(struct lsvd_volume **ret, const struct lsvd_volume *upper, const char *name,
			const struct lsvd_volume_options *opt);
/* A volume that has no parts yet; NULL: no memory, or its name is too long. */
struct lsvd_volume *lsvd_vol_new(struct world *world, bool own_world, const char *name);
void lsvd_vol_destroy(struct lsvd_volume *v); /* nothing is in the world */
/* What a root that could not be taken has left in map and tables. */
int lsvd_vol_forget_map(struct lsvd_volume *v);
/* For the simulator, on a world of its own */
int lsvd_volume_open_world(struct lsvd_volume **ret, struct world *world, const char *name,
			   const struct lsvd_volume_options *options);
/* ---- vol_admin.c */
int lsvd_volume_create_world(struct world *world, const char *name, uint64_t bytes,
			     const char *uuid, struct lsvd_volume_info *ret);
int lsvd_volume_delete_world(struct world *world, const char *name);

void lsvd_vol_check_parts(struct lsvd_volume *v);

/* ---- vol_admin.c */
struct visit;
struct fmt_volume;
/* A volume's size, as its newest chain object (of a listing) has it. */
int lsvd_vol_size_now(struct visit *v, const struct fmt_volume *record, uint64_t epoch,
		      uint64_t seq, uint64_t *ret);
/* The name of the volume of that UUID. -ENOENT: the store has none. */
int lsvd_vol_find_uuid(struct port *port, const struct uuid *uuid,
		       char ret_name[LSVD_NAME_MAX + 1]);

#endif
