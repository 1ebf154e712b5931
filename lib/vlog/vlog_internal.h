/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_internal.h - an open value log, and what its files share.
 *
 *   vlog_admin.c       create, look up, list, delete
 *   vlog_open.c        open, recover, close
 *   vlog_note.c        records put into the chain, and what they change
 *   vlog_checkpoint.c  roots, and the removal of what is dead
 *   vlog_writer.c      put, commit, abort; pins
 *   vlog_fetch.c       parts of segments from the store; footers
 *   vlog_index.c       the index of a segment, walked
 *   vlog_read.c        get, in its forms
 *   vlog_prefetch.c    the same without waiting
 *   vlog_iter.c        scans, verification
 *   vlog_stats.c       statistics and reports
 *   vlog_choose.c      which segments are collected
 *   vlog_gc.c          collection; vlog_gc_copy.c, vlog_gc_round.c: its rounds
 *   vlog_drop.c        dropping, clearing, what dead writers left
 *
 *   vlog_record.c, vlog_build.c, vlog_table.c, vlog_codec.c, vlog_handle.c, vlog_value.c  pure
 *   vlog_cache.c       values in memory
 *
 * Everything here is procedures: a call does its work on the caller's thread and waits for the
 * store. The table and the log's state are protected by the port's lock, which is never held over
 * I/O or a function of the program's.
 */
#ifndef VLOG_VLOG_INTERNAL_H
#define VLOG_VLOG_INTERNAL_H

#include <lsvd/vlog.h>

#include "io/port.h"
#include "log/lineage.h"
#include "log/log.h"
#include "vlog/vlog_build.h"
#include "vlog/vlog_cache.h"
#include "vlog/vlog_table.h"
#include "vlog/vlog_value.h"

/* What gets count, on a thread's own line of memory mostly. Atomic, added up when somebody asks. */
#define VLOG_COUNTERS 8u
struct vlog_counter {
	uint64_t gets, bytes, hits;
	uint64_t apart[13];
};

struct lsvd_vlog {
	/* immutable while open */
	struct world *world;
	bool own_world, readonly;
	uint32_t flags;                /* of the open */
	char name[LSVD_NAME_MAX + 1];
	struct uuid uuid;
	uint64_t owner, id;
	uint64_t segment_bytes;
	uint32_t join_bytes, checkpoint_commits, anchor_every;
	struct vlog_codecs codecs;
	struct lsvd_vlog_codec_ops *own_codecs;
	struct lsvd_vlog_cache *cache;
	struct log_opened opened;
	struct port port;

	/* protected by the port's lock */
	struct log *log;         /* the pointer: immutable while open */
	struct vlog_table table;
	size_t coming_segments, coming_dead; /* of records on their way: there will be room */
	uint64_t given;          /* the newest number given to a segment */
	struct root_ref root;    /* the newest, epoch 0: none */
	uint64_t root_named_by;  /* the first chain object that names it */
	unsigned commits_since_root;
	bool dirty;              /* statistics have changed since the root */
	bool checkpointing, collecting, closing;
	uint64_t prefetching;    /* bytes on their way */
	unsigned scans;          /* of the index, under way: at most one */
	int failed;              /* LSVD_E_FENCED, …: nothing can be put any more */
	struct lsvd_vlog_stats stats;

	struct vlog_counter counters[VLOG_COUNTERS];
};

/* ---- vlog_open.c */
int lsvd_vlog_open_world(struct lsvd_vlog **ret, struct world *world, const char *name,
			 const struct lsvd_vlog_options *options);
int lsvd_vlog_create_world(struct world *world, const char *name, uint32_t flags);
/*
 * A procedure: may the store be written? Only UNSAFE_STORE of `flags`, and CHECK_NO_PROBE, count.
 */
int lsvd_vlog_check_store(struct port *port, uint32_t flags);
/* -EROFS, LSVD_E_FENCED, …: what a call that puts something ends with at once; lock held. */
int lsvd_vlog_refuse_write(const struct lsvd_vlog *log);
/* A procedure waits so long. */
void lsvd_vlog_pause(struct lsvd_vlog *log, uint64_t ms);

/* ---- vlog_note.c; procedures */
/* Puts the record and applies it when it is acknowledged; `change` is taken over, also on failure.
 * *ret_sent: after a failure it may be in the chain all the same. */
int lsvd_vlog_note(struct lsvd_vlog *log, int type, struct vlog_change *change, bool *ret_sent);
/* A chain object that says nothing but where the root is. */
int lsvd_vlog_note_root(struct lsvd_vlog *log);
/* Recovery. */
int lsvd_vlog_replay_record(void *ctx, const struct object_head *head,
			    const struct chain_part *chain, const struct record *record);
int lsvd_vlog_replay_object(void *ctx, const struct object_head *head,
			    const struct chain_part *chain, const struct seg_extent *extents,
			    uint32_t extent_count);
/* lock held: a segment that has left the table goes when nobody needs it. */
void lsvd_vlog_settle_segment(struct vlog_segment *s);

/* ---- vlog_checkpoint.c; procedures */
int lsvd_vlog_write_root(struct lsvd_vlog *log);
/*
 * Does an acknowledged chain object say where the newest root is? Of what was there
 * at open, one does.
 */
bool lsvd_vlog_root_is_named(struct lsvd_vlog *log);
/*
 * The root that is due now and then; before it, the removal of what the one before has made dead.
 */
int lsvd_vlog_write_root_in_turn(struct lsvd_vlog *log);
/*
 * A root, and then the removal of everything that is dead; *freed (may be NULL): bytes of segments.
 */
int lsvd_vlog_remove_dead(struct lsvd_vlog *log, uint64_t *freed);
/* Removes free objects and roots that nothing ever named. */
int lsvd_vlog_remove_free(struct lsvd_vlog *log, const struct vlog_dead *objects, size_t n);

/* ---- vlog_fetch.c; procedures */
struct vlog_fetch {
	uint64_t segment, off;
	size_t len;
	uint8_t *buf;
	bool record;             /* -ENOENT unless all of it lies where records do */
	int err;
	char key[KEY_CAP];       /* of the object, once it is known */
	/* its own */
	struct lsvd_vlog *log;
	struct vlog_segment *of;
	struct vlog_group *group;
	struct obj_io io;
};
/*
 * Reads all of them, at the same time; each has its result.
 * An object that ends early is LSVD_E_CORRUPT.
 */
void lsvd_vlog_fetch(struct lsvd_vlog *log, struct vlog_fetch *f, unsigned n);
int lsvd_vlog_fetch1(struct lsvd_vlog *log, struct vlog_fetch *f);
/* lock held: the segment; or LSVD_E_STALE, -ENOENT. */
int lsvd_vlog_find(struct lsvd_vlog *log, uint64_t id, struct vlog_segment **ret);
int lsvd_vlog_no_segment(const struct lsvd_vlog *log, uint64_t id);
/* lock held */
void lsvd_vlog_segment_key(char key[KEY_CAP], const struct lsvd_vlog *log, struct vlog_segment *s);
/* The footer of a segment, and where it begins. */
int lsvd_vlog_footer_get(struct lsvd_vlog *log, uint64_t id, struct vlog_footer *ret,
			 uint64_t *ret_at);

/* A part of a segment, kept while records next to one another are read. */
struct vlog_window {
	uint64_t segment, off;
	size_t len, room;
	uint8_t *buf;
	char key[KEY_CAP];
};
/*
 * The record of the handle, verified, at *ret_bytes within the window; what is read reaches to
 * `want_end` if that is beyond it. `hash` may be NULL.
 */
int lsvd_vlog_window_get(struct lsvd_vlog *log, struct vlog_window *w,
			 const struct lsvd_vlog_handle *h, uint64_t want_end,
			 struct vlog_record *ret, const uint8_t **ret_bytes, uint64_t *hash);
void lsvd_vlog_window_fini(struct vlog_window *w);
/* What a record that does not verify is: LSVD_E_CORRUPT, or -ENOENT: none begins there. */
int lsvd_vlog_judge(struct lsvd_vlog *log, const struct lsvd_vlog_handle *h, int err);
void lsvd_vlog_mark_damaged(struct lsvd_vlog *log, uint64_t segment);

/* ---- vlog_index.c; procedures */
/* The index of a segment being walked: cursor.entry is where the walk is. */
struct vlog_index {
	uint64_t segment, footer_at;
	struct vlog_footer footer; /* its index: the part that is here */
	struct vlog_cursor cursor;
	size_t part, longest;    /* bytes read at once; of the longest entry */
	uint64_t whole, loaded;  /* bytes of the index; up to here it has been here */
	uint64_t *hashes;        /* of the parts, or NULL: all of it is here */
};
/*
 * Before the first entry. Of an index longer than 2 * part only parts are kept.
 * *ret stays where it is.
 */
int lsvd_vlog_index_open(struct lsvd_vlog *log, uint64_t segment, size_t part,
			 struct vlog_index *ret);
void lsvd_vlog_index_fini(struct vlog_index *x);
/* As lsvd_vlog_cursor_next(). */
int lsvd_vlog_index_next(struct lsvd_vlog *log, struct vlog_index *x);

/* ---- vlog_read.c */
/*
 * The value of a verified record; `owned` (may be NULL) is the memory it lies in,
 * and is taken over.
 */
int lsvd_vlog_open_value(const struct lsvd_vlog *log, const struct vlog_record *r,
			 const uint8_t *bytes, struct lsvd_vlog_value *owned, const char *what,
			 struct lsvd_vlog_value **ret);
/* Could it be one? -EINVAL, LSVD_E_STALE, -ENOENT. */
int lsvd_vlog_check_handle(struct lsvd_vlog *log, const struct lsvd_vlog_handle *h);
/* lock held: could a record be there? -ENOENT. */
int lsvd_vlog_check_place(const struct lsvd_vlog *log, const struct vlog_segment *s, uint64_t off,
			  uint64_t len);
/* No lock: those that gets have counted. */
void lsvd_vlog_count_gets(const struct lsvd_vlog *log, struct lsvd_vlog_stats *ret);

/* ---- vlog_writer.c */
struct lsvd_vlog_pin {
	struct lsvd_vlog *log;
	bool commit;
	size_t count;
	struct vlog_segment *segments[];
};
/* What is copied from here on has this metadata, and lies in no segment with what had another. */
int lsvd_vlog_writer_set_apart(struct lsvd_vlog_writer *w, const void *metadata, size_t len);
/* Copies a verified record. */
int lsvd_vlog_writer_copy(struct lsvd_vlog_writer *w, const struct vlog_record *r,
			  const uint8_t *bytes, uint64_t hash, uint64_t commit,
			  struct lsvd_vlog_handle *ret);
uint64_t lsvd_vlog_writer_bytes(const struct lsvd_vlog_writer *w);
/* lsvd_vlog_commit() of a collection out of these segments. */
int lsvd_vlog_commit_collected(struct lsvd_vlog_writer *w, const uint64_t *ids, size_t n,
			       struct lsvd_vlog_pin **ret_pin);
int lsvd_vlog_pin_ids(struct lsvd_vlog *log, const uint64_t *ids, size_t n,
		      struct lsvd_vlog_pin **ret);

/* ---- vlog_stats.c, lock held */
void lsvd_vlog_describe_segment(const struct vlog_segment *s, struct lsvd_vlog_segment *ret);
/* The state of all, allocated. */
int lsvd_vlog_all_segments(struct lsvd_vlog *log, struct lsvd_vlog_segment **ret, size_t *ret_n);

/* ---- vlog_choose.c */
int lsvd_vlog_strategy_check(const struct lsvd_vlog_strategy *strategy);
/* The numbers of those picked out of n, which are sorted anew, into `ids` with room for 2 n. */
int lsvd_vlog_choose(const struct lsvd_vlog_strategy *strategy, struct lsvd_vlog_segment *segments,
		     size_t n, uint64_t *ids);

/* ---- vlog_drop.c; procedures */
/* The numbers of segments for which `fits`, or of all; allocated. */
int lsvd_vlog_list_ids(struct lsvd_vlog *log, bool (*fits)(const struct vlog_segment *s),
		       uint64_t **ret, size_t *ret_n);
/* To the caller, if it wants it; the result of the call. */
int lsvd_vlog_give_result(struct lsvd_vlog_gc_result *ret, const struct lsvd_vlog_gc_result *r,
			  int err);
/* One collection, drop or clear at a time. */
int lsvd_vlog_collection_begin(struct lsvd_vlog *log);
void lsvd_vlog_collection_end(struct lsvd_vlog *log);
/* Asks the index for each of n queries, in batches. */
int lsvd_vlog_ask(const struct lsvd_vlog_index *index, struct lsvd_vlog_query *q, size_t n);
/* What is given to a collection or a drop: `ret` may be NULL. */
int lsvd_vlog_collection_check(const struct lsvd_vlog_index *index,
			       const struct lsvd_vlog_gc_result *ret);
/* What a segment says that is in it: each record as a question to be asked, and its commit. */
struct vlog_survey {
	struct vlog_footer footer;
	struct lsvd_vlog_query *queries; /* footer.items of them; their keys lie in `keys` */
	uint64_t *commits;
	uint8_t *keys;
};
/* LSVD_E_CORRUPT, LSVD_E_STALE, …; nothing is to be freed then. */
int lsvd_vlog_survey(struct lsvd_vlog *log, uint64_t id, struct vlog_survey *ret);
void lsvd_vlog_survey_fini(struct vlog_survey *s);

#endif
