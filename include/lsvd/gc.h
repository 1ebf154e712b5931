/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gc.h - garbage collection of an open volume: by hand, paused, how it stands.
 *
 * What is overwritten or trimmed stays in the store until the object it lies in is deleted, and
 * that needs all that is alive in it to be copied elsewhere. A volume does this by itself, as its
 * options say (gc, gc_target_percent and the rest in <lsvd/volume.h>); or it is asked to, here.
 * Reads and writes go on meanwhile. What does not verify is never copied: its object is reported,
 * and left as it is.
 *
 * Threads: all calls may be made from any thread, at any time.
 */
#ifndef LSVD_GC_H
#define LSVD_GC_H

#include <lsvd/base.h>
#include <lsvd/volume.h>

LSVD_BEGIN_DECLS

#define LSVD_GC_AUTOMATIC 0x1u   /* the volume collects by itself */
#define LSVD_GC_RUNNING 0x2u     /* something is being copied */
#define LSVD_GC_PAUSED 0x4u
#define LSVD_GC_BY_HAND 0x8u     /* somebody is in lsvd_volume_collect() or lsvd_volume_gc() */

struct lsvd_gc_status {
	uint32_t size;            /* sizeof, set by LSVD_GC_STATUS_INIT before a call fills it */
	uint32_t flags;           /* LSVD_GC_… */
	uint32_t target_percent;  /* of the automatic one */
	uint32_t reserved0;
	/* since the open */
	uint64_t rounds;          /* that ended, each of some objects; */
	uint64_t failed_rounds;   /* of these */
	uint64_t packed_rounds;   /* of these: objects with little in them were put together */
	uint64_t objects;         /* chosen */
	uint64_t copied_bytes;    /* user bytes */
	uint64_t damaged_objects; /* left alone, because something in them does not verify */
	uint64_t deleted_objects, deleted_bytes;
	/* gauges: bytes of all data objects */
	uint64_t stored_bytes;    /* as stored, and of these those of objects in which
				   * nothing is alive: */
	uint64_t dead_bytes;
	uint64_t data_bytes;      /* user bytes in objects of which something is alive,
				   * and of these */
	uint64_t live_bytes;      /* what is */
	uint64_t map_bytes;       /* of pages and roots */
	/* orphans, found by lsvd_volume_collect() */
	uint64_t orphans, orphan_bytes; /* removed */
	/*
	 * Gauges: data objects in which something is alive; and user bytes that a run which packs
	 * or flattens has yet to copy.
	 */
	uint64_t data_objects;
	uint64_t left_bytes;
	uint64_t reserved[4];
};
#ifdef __cplusplus
#define LSVD_GC_STATUS_INIT { (uint32_t)sizeof(struct lsvd_gc_status) }
#else
#define LSVD_GC_STATUS_INIT { .size = (uint32_t)sizeof(struct lsvd_gc_status) }
#endif

/* How it stands now. -EINVAL for a bad size. */
LSVD_API LSVD_MUST_USE int lsvd_volume_gc_status(struct lsvd_volume *volume,
						 struct lsvd_gc_status *ret);

/*
 * Remove objects, too, that no table knows: what a collection, a checkpoint or an upload left when
 * it was cut off. Looked at are objects of epochs before this open's: whoever could have made them
 * part of the volume is fenced, and the chain says that it did not. So there is no age to wait for,
 * and no clock; what this open itself leaves behind is the next one's.
 */
#define LSVD_COLLECT_ORPHANS 0x1u
/* Do not copy: delete what is dead, and with LSVD_COLLECT_ORPHANS remove orphans. */
#define LSVD_COLLECT_NO_COPY 0x2u
/*
 * Of a clone: copy what lives in objects of its ancestors, and leave its base:
 * lsvd_volume_flatten() in <lsvd/snapshot.h>. Nothing else. `percent` has no meaning.
 */
#define LSVD_COLLECT_FLATTEN 0x4u
/*
 * Pack: copy what lives in all objects that are not full of it, so that as few as possible are
 * left. What is written meanwhile is not packed, nor is what a snapshot keeps. Packed again,
 * nothing is copied. `percent` has no meaning.
 */
#define LSVD_COLLECT_PACK 0x8u

/* Called now and then on the calling thread, without locks. Non-zero: give up. */
typedef int (*lsvd_collect_fn)(void *ctx, const struct lsvd_gc_status *status);

struct lsvd_collect_options {
	uint32_t size;            /* sizeof, set by LSVD_COLLECT_OPTIONS_INIT */
	uint32_t flags;           /* LSVD_COLLECT_… */
	/*
	 * Until all data objects together hold at most so much of what is alive: 100 … 10,000;
	 * default: the volume's gc_target_percent. 100: until none of them holds anything dead.
	 */
	uint32_t percent;
	/* Each step takes at most so long; default and UINT32_MAX: for ever. */
	uint32_t timeout_ms;
	lsvd_collect_fn progress; /* or NULL */
	void *ctx;
	uint64_t reserved[4];
};
#define LSVD_COLLECT_OPTIONS_INIT { (uint32_t)sizeof(struct lsvd_collect_options), 0, 0, 0, NULL, \
				    NULL, { 0, 0, 0, 0 } }

/*
 * Collects now, whatever the pace is, and waits for it: what is alive in objects that mostly are
 * not is copied into new ones until the target is reached, a checkpoint is written, and all that is
 * dead is deleted. Fills `ret` (may be NULL). A paused volume waits until it is resumed.
 *
 * 0; -ECANCELED by lsvd_volume_gc_control() or the progress function; -EBUSY: another call collects
 * already, or the volume is being rolled back; -ETIMEDOUT, -EROFS, -EINVAL, -ENOMEM,
 * LSVD_E_UNAVAILABLE, LSVD_E_FENCED, LSVD_E_FAILED, LSVD_E_SHUTDOWN. What was done until then stays
 * done, and nothing else has happened.
 */
LSVD_API LSVD_MUST_USE int lsvd_volume_collect(struct lsvd_volume *volume,
					       const struct lsvd_collect_options *options,
					       struct lsvd_gc_status *ret);

enum lsvd_gc_verb {
	LSVD_GC_PAUSE = 1,        /* nothing more is begun, until: */
	LSVD_GC_RESUME = 2,
	LSVD_GC_CANCEL = 3        /* what runs by hand ends */
};

/* Returns at once. -EINVAL, -EROFS. */
LSVD_API LSVD_MUST_USE int lsvd_volume_gc_control(struct lsvd_volume *volume, uint32_t verb);

LSVD_END_DECLS

#endif
