/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snapshot.h - the past of a volume kept, read, gone back to, and gone on from elsewhere.
 *
 * A snapshot is the volume as it was at one place of its history, with a name. It is made without
 * copying anything, however large the volume is, and costs nothing but what is overwritten or
 * trimmed afterwards and would otherwise be given back. It exists from the moment the store has
 * acknowledged its record, and survives everything the volume survives; until then it does not
 * exist, whatever happens in between.
 *
 * Reading one: lsvd_volume_open() with LSVD_OPEN_READONLY and the option `snapshot`. The tools
 * write it as VOLUME@SNAPSHOT.
 *
 * A clone is a volume of its own that begins as a snapshot of another, its *base*. It holds only
 * what is written to it; what it has not overwritten stays in the base's objects, which the
 * snapshot keeps. So a snapshot with clones cannot be deleted, nor can its volume, before the
 * clones are deleted or *flattened*: given a copy of what they still need.
 *
 * A volume may also lie over any snapshots of other volumes, its *lowers*: see the end.
 *
 * Names of snapshots follow the rule of volume names (LSVD_NAME_MAX).
 *
 * Threads: as for volumes. The calls here that change something exclude each other on one handle:
 * whoever comes second waits. Reads and writes go on meanwhile, but for rollback.
 *
 * Blocking: all calls but lsvd_snapshot_list() wait for the store, at most `timeout_ms` for each
 * step (UINT32_MAX: for ever). After -ETIMEDOUT what was begun may still happen: list to see.
 *
 * Common errors: -EROFS (opened read-only), LSVD_E_UNAVAILABLE (the store, or opened offline),
 * LSVD_E_FENCED, LSVD_E_FAILED, LSVD_E_SHUTDOWN, -ETIMEDOUT, -ENOMEM, -EINVAL (no valid name).
 */
#ifndef LSVD_SNAPSHOT_H
#define LSVD_SNAPSHOT_H

#include <lsvd/base.h>
#include <lsvd/store.h>
#include <lsvd/volume.h>

LSVD_BEGIN_DECLS

struct lsvd_snapshot_info {
	uint32_t size;           /* sizeof, set by LSVD_SNAPSHOT_INFO_INIT */
	uint32_t reserved0;
	char name[LSVD_NAME_MAX + 1];
	char uuid[37];           /* its identity: a name may be used again, this is not */
	uint8_t reserved1[2];
	uint64_t bytes;          /* the volume's size then */
	int64_t created_ms;      /* wall clock of the creating host, since 1970; only shown */
	uint64_t op;             /* it holds operations 1 to this one */
	uint64_t epoch, seq;     /* its place in the chain */
	uint64_t reserved[5];
};
#define LSVD_SNAPSHOT_INFO_INIT { (uint32_t)sizeof(struct lsvd_snapshot_info), 0, { 0 }, { 0 }, \
				  { 0, 0 }, 0, 0, 0, 0, 0, { 0, 0, 0, 0, 0 } }

/*
 * Makes a snapshot of everything that was acknowledged before the call; what is acknowledged during
 * it may be in it, in order. Stores what is not stored yet. -EEXIST: there is one of that name.
 * `ret` may be NULL.
 */
LSVD_API LSVD_MUST_USE int lsvd_snapshot_create(struct lsvd_volume *volume, const char *name,
						uint32_t timeout_ms,
						struct lsvd_snapshot_info *ret);

/*
 * Deletes a snapshot, in any order. It is gone when this returns; its space comes back after the
 * next checkpoint, which lsvd_volume_gc() writes. Whoever has it open read-only gets -ESTALE for
 * what is then deleted. -ENOENT; -EBUSY: it has clones, the text names them.
 */
LSVD_API LSVD_MUST_USE int lsvd_snapshot_delete(struct lsvd_volume *volume, const char *name,
						uint32_t timeout_ms);

/*
 * Makes the volume what it was at the snapshot, size included. What was written since is lost,
 * unless another snapshot has it; all snapshots stay. Stores what is not stored yet, during which
 * the volume is served, and then waits for collection and checkpoints on their way. Nothing is
 * copied: it takes as long as opening the snapshot and writing a checkpoint. Atomic: whatever
 * happens, the volume is found afterwards either as it was before or as it is afterwards.
 * Interrupted by a crash it may have to be opened with the store once, before it can be opened
 * offline again.
 *
 * -EBUSY: operations are in flight when all is stored. Those that come after that fail with
 * -EBUSY until it ends. -ENOENT: there is no such snapshot. -ETIMEDOUT: the store has not taken
 * what was to be stored, or what was on its way did not end, within `timeout_ms`; nothing has
 * changed. LSVD_E_CORRUPT, LSVD_E_UNAVAILABLE: what the snapshot needs cannot be read; nothing
 * has changed. If it fails in the middle, for want of time, of the local disk or because another
 * writer came (LSVD_E_FAILED, LSVD_E_FENCED), the handle is of no more use, reads included, and
 * the next open finds the volume before or after it.
 */
LSVD_API LSVD_MUST_USE int lsvd_snapshot_rollback(struct lsvd_volume *volume, const char *name,
						  uint32_t timeout_ms);

/* Non-zero ends the walk early. `info` is valid during the call only. */
typedef int (*lsvd_snapshot_fn)(void *ctx, const struct lsvd_snapshot_info *info);

/* Calls `fn` for every snapshot of an open volume, oldest first. Does not block on the store. A
 * volume opened offline has a list that may be old; one opened at a snapshot has none. */
LSVD_API LSVD_MUST_USE int lsvd_snapshot_list(struct lsvd_volume *volume, lsvd_snapshot_fn fn,
					      void *ctx);

/*
 * The same of a volume that is not open here: reads the newest checkpoint's list and the headers of
 * what came after it. Puts and deletes nothing. -ENOENT: no such volume.
 */
LSVD_API LSVD_MUST_USE int lsvd_snapshot_list_store(struct lsvd_store *store, const char *volume,
						    lsvd_snapshot_fn fn, void *ctx);

/* --------------------------------------------------------------------------------------- clones */

/*
 * Creates the volume `name` as a clone of `snapshot` of the volume `base`, of the same size,
 * whatever the base's size: a record, and an entry at the base that protects the snapshot.
 *
 * `snapshot` NULL: of the base as it is now. For that the base is opened with `options`, as by
 * lsvd_volume_open(), and gets a snapshot named "for-" and the clone's UUID, which stays until it
 * is deleted as any other ("lsvd-admin gc" does that once the clone is gone); so it must not be
 * open elsewhere. Otherwise `options` may be NULL, and nothing but LSVD_OPEN_UNSAFE_STORE counts.
 *
 * -EEXIST: there is a volume `name`; -ENOENT: no such base or snapshot; -EBUSY: the snapshot is
 * being deleted, or was meanwhile: there is no clone; LSVD_E_UNSUPPORTED: the store cannot
 * create-if-absent. `ret` may be NULL.
 */
LSVD_API LSVD_MUST_USE int lsvd_volume_clone(struct lsvd_store *store, const char *base,
					     const char *snapshot, const char *name,
					     const struct lsvd_volume_options *options,
					     struct lsvd_volume_info *ret);

/*
 * Copies into an open clone what it still reads from its ancestors, its base and that one's
 * bases, and ends the protection there. Reads and writes go on. Takes as long as reading and
 * writing that; ended half-way, by a crash too, it may be called again, and goes on where it was.
 * A volume that is no clone, or is flat: 0 at once, or nearly. lsvd_volume_collect() with
 * LSVD_COLLECT_FLATTEN is the same, with progress; it can be paused and cancelled as a collection
 * is.
 *
 * Who has the clone open read-only since before the call may get -ESTALE when the base is deleted
 * after it.
 *
 * -EBUSY: snapshots of the clone, made before this call or during it, need the base, too; the text
 * names them. Delete them, and call again. -EBUSY, too, while another collection by hand goes on,
 * or the volume is rolled back. LSVD_E_CORRUPT: something that it needs does not verify; all
 * else was copied, and the base is still protected.
 */
LSVD_API LSVD_MUST_USE int lsvd_volume_flatten(struct lsvd_volume *volume, uint32_t timeout_ms);

/* What a clone began as, and whether it still needs that. */
struct lsvd_base_info {
	uint32_t size;           /* sizeof, set by LSVD_BASE_INFO_INIT */
	uint32_t is_flat;        /* 1: it needs nothing of its base any more, which may go */
	/* The names; "": there is none of that UUID any more, or the base cannot be read. */
	char volume[LSVD_NAME_MAX + 1];
	char snapshot[LSVD_NAME_MAX + 1];
	char volume_uuid[37];    /* of a volume that is no clone all of this is "" and 0 */
	char snapshot_uuid[37];
	uint8_t reserved0[4];
	uint64_t reserved[4];
};
#define LSVD_BASE_INFO_INIT { (uint32_t)sizeof(struct lsvd_base_info), 0, { 0 }, { 0 }, { 0 }, \
			      { 0 }, { 0 }, { 0, 0, 0, 0 } }

/*
 * Fills `ret` for the volume `name`, open somewhere or not. Puts nothing. Of a clone it takes a
 * request for every volume that comes before the base when they are in order of their names, for
 * each clone that the snapshot ever had, and a few more; so lsvd_volume_lookup() does not say it.
 * -ENOENT: no such volume.
 */
LSVD_API LSVD_MUST_USE int lsvd_volume_base(struct lsvd_store *store, const char *name,
					    struct lsvd_base_info *ret);

/* ------------------------------------------------------------------------------- lower volumes */

/* At most; but each may have lowers itself. */
#define LSVD_LOWERS_MAX 32u

struct lsvd_lower {
	const char *volume;      /* of the same store */
	const char *snapshot;    /* of that volume */
	uint64_t bytes;          /* how much of it shows; not looked at when a volume is created */
};

/*
 * Creates a volume that lies over `count` snapshots of other volumes: where it has nothing itself,
 * the last of them that has something shows; where none has, zeroes. What is written to it covers
 * them, as does what is trimmed or zeroed in it. They are never changed.
 *
 * `bytes` 0: as large as the largest of them. They show up to that size; what the volume grows to
 * reads as zeroes. It cannot be made smaller than what they show (LSVD_E_UNSUPPORTED).
 *
 * They are part of the volume: its record lists them, and each lsvd_volume_open() opens them with
 * it, as readers, which nobody can forget to do. If one cannot be read the open fails, and so does
 * a read that needs it; the text names it. The snapshots cannot be deleted before the volume,
 * and what is done to their volumes afterwards does not show.
 *
 * A volume has nothing where nothing was ever written to it; one that does not lie over others
 * itself also where it was trimmed: what is below its snapshot shows there.
 * lsvd_volume_block_status() has LSVD_STATUS_HOLE where no level has anything, and what was trimmed
 * over lowers is LSVD_STATUS_ZERO once it is stored, and takes a little of the map for each 4 MiB.
 *
 * Snapshots, clones, garbage collection, checks and rollback are those of the volume's own data; a
 * clone has the same lowers. Such a volume cannot be opened offline (LSVD_E_UNAVAILABLE), and
 * lsvd_volume_cache_status() tells of its own data alone.
 *
 * -EINVAL (names, size, count), -EEXIST: there is a volume `name`; -ENOENT: no such volume or
 * snapshot; -EBUSY: a snapshot is being deleted; LSVD_E_UNSUPPORTED: the store cannot
 * create-if-absent. `flags`: 0 or LSVD_OPEN_UNSAFE_STORE. `ret` may be NULL.
 */
LSVD_API LSVD_MUST_USE int lsvd_volume_create_over(struct lsvd_store *store, const char *name,
						   uint64_t bytes, const struct lsvd_lower *lowers,
						   unsigned count, uint32_t flags,
						   struct lsvd_volume_info *ret);

/* Non-zero ends the walk early. `lower` is valid during the call only. */
typedef int (*lsvd_lower_fn)(void *ctx, const struct lsvd_lower *lower);

/* Calls `fn` for the lowers of a volume, the uppermost last. -ENOENT: no such volume. */
LSVD_API LSVD_MUST_USE int lsvd_volume_lowers(struct lsvd_store *store, const char *name,
					      lsvd_lower_fn fn, void *ctx);

LSVD_END_DECLS

#endif
