/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_offline.c - opening a volume on its cache alone, while the store is away.
 *
 * The mirror (vol_mirror.c) is the store map after some object of the acknowledged chain; the local
 * log holds what came later. Together they are the volume, as far as this cache can know: whether
 * another host has taken it meanwhile shows when it is opened with the store again. So an offline
 * open
 *
 *   - takes a new run of the log, and no epoch: its writes go on in the history of the cache, and
 *     an ordinary open finds them as it finds those of a writer that was killed;
 *   - asks the store for nothing and puts nothing; reads that neither log nor read cache can answer
 *     try the store, and fail if it does not;
 *   - stays what it is until it is closed.
 *
 * The mirror is taken for what it is only if
 *
 *   - its head, every record of its snapshot and every header in it verify;
 *   - it was made for this log, by a run since which the log was never emptied: else it could be of
 *     a history that was given up, and its operations have the numbers of others;
 *   - it ends where the log begins, or later, and not behind the log's end: else the log is an old
 *     copy, brought back.
 *
 * If the newer file is not good the other one may be: it was written to until the newer was
 * complete.
 *
 * The mirror may be a little behind the store. Should what lies between be torn off the log's end
 * (it cannot be, but for damage), the offline run would give its operations the numbers of others.
 * So where it begins is noted in the log, and a store that has as much is not gone on from.
 *
 * What the mirror covers is given up in the log, so it must last: it is synced and then read past
 * the page cache, which after a failed sync shows what the disk never got.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/err.h"
#include "volume/checkpoint.h"
#include "volume/shared_rcache.h"
#include "volume/mirror_read.h"
#include "volume/vol_mirror.h"

static int cannot(const struct lsvd_volume *v, const char *why)
{
	return lsvd_fail(LSVD_E_UNAVAILABLE, "volume %s: cannot be opened offline: %s",
			 v->name, why);
}

/* -------------------------------------------------------------------------------------- records */

/* First of all: is it one piece, and how far does it go? */
static int measure(struct mirror_in *in, uint32_t kind, const uint8_t *payload, uint32_t bytes)
{
	struct mirror_chain r;
	int err;

	if (kind != MIRROR_CHAIN)
		return 0;
	err = lsvd_mirror_chain_decode(in, &r, payload, bytes);
	return err ? err : lsvd_mirror_chain_follow(in, &r);
}

static int load_pages(struct mirror_in *in, const uint8_t *p, uint32_t left)
{
	struct lsvd_volume *v = in->v;
	/* It may have been of another size when it was begun. */
	const uint64_t pages = LSVD_VOLUME_MAX_BYTES / SECTOR_BYTES / STORE_MAP_PAGE_SECTORS;

	while (left >= MIRROR_PAGE_ENTRY_BYTES) {
		uint64_t page = le64_get(p);
		uint32_t bytes = le32_get(p + 8);
		int err;

		p += MIRROR_PAGE_ENTRY_BYTES;
		left -= MIRROR_PAGE_ENTRY_BYTES;
		if (bytes > left || page >= pages || lsvd_store_map_page_present(v->map, page))
			return lsvd_fail(LSVD_E_CORRUPT, "%s: page %llu with %u bytes of %u",
					 in->name, (unsigned long long)page, bytes, left);
		err = lsvd_store_map_decode_page(v->map, page, p, bytes);
		if (err)
			return lsvd_fail_context(err, "%s", in->name);
		p += bytes;
		left -= bytes;
	}
	return left ? lsvd_fail(LSVD_E_CORRUPT, "%s: %u bytes after the pages", in->name, left) : 0;
}

static int load_objects(struct mirror_in *in, const uint8_t *p, uint32_t left)
{
	for (; left >= MIRROR_OBJECT_ENTRY_BYTES; left -= MIRROR_OBJECT_ENTRY_BYTES,
	     p += MIRROR_OBJECT_ENTRY_BYTES) {
		uint64_t number = le64_get(p);
		struct object_entry e = { .epoch = le64_get(p + 8), .seq = le64_get(p + 16),
					  .bytes = (uint32_t)le64_get(p + 24),
					  .data = le32_get(p + 32),
					  .home = (uint8_t)le32_get(p + 36) };
		int err;

		if (number >= in->head.next_object || !e.epoch ||
		    !lsvd_object_is_data(&e))
			return lsvd_fail(LSVD_E_CORRUPT, "%s: object %llu, expected one below %llu",
					 in->name, (unsigned long long)number,
					 (unsigned long long)in->head.next_object);
		err = lsvd_vol_apply_object(in->v, number, &e);
		if (err)
			return err;
	}
	return left ? lsvd_fail(LSVD_E_CORRUPT, "%s: %u bytes after the objects", in->name, left)
		    : 0;
}

static int load_snapshot(struct mirror_in *in, uint32_t kind, const uint8_t *payload,
			 uint32_t bytes)
{
	if (kind == MIRROR_PAGES)
		return load_pages(in, payload, bytes);
	if (kind == MIRROR_OBJECTS)
		return load_objects(in, payload, bytes);
	return 0;
}

static int load_records(struct mirror_in *in, const struct mirror_chain *r, const uint8_t *header)
{
	struct record_walk walk;
	struct record record;
	int err;

	lsvd_record_walk(&walk, header, &r->chain, in->name);
	while ((err = lsvd_record_next(&walk, &record)) > 0) {
		if (record.type != RECORD_ADOPT)
			continue; /* snapshots: not all that there are would be known */
		err = lsvd_vol_record(in->v, &r->head, &r->chain, &record);
		if (err < 0)
			break;
	}
	return err;
}

static int load_chain(struct mirror_in *in, uint32_t kind, const uint8_t *payload, uint32_t bytes)
{
	struct seg_extent *extents = NULL;
	struct mirror_chain r;
	uint32_t count = 0;
	int err;

	if (kind != MIRROR_CHAIN)
		return 0;
	err = lsvd_mirror_chain_decode(in, &r, payload, bytes);
	if (!err && r.head.kind == OBJECT_DATA)
		err = lsvd_segment_extents(&extents, &count, payload, &r.head, &r.chain, in->name);
	if (!err)
		err = lsvd_vol_replay(in->v, &r.head, &r.chain, extents, count);
	if (!err && (r.head.kind == OBJECT_DATA || r.head.kind == OBJECT_NOTE))
		err = load_records(in, &r, payload);
	lsvd_free(extents);
	return err;
}

/*
 * What lives of each object, counted anew: the pages of a snapshot are of different moments, and so
 * was the count.
 */
static void count_live(struct lsvd_volume *v)
{
	struct object_table *t = &v->objects;
	struct map_extent e;

	for (uint64_t n = lsvd_object_table_next(t, 0); n != UINT64_MAX;
	     n = lsvd_object_table_next(t, n + 1))
		lsvd_object_table_get(t, n)->live = 0;
	t->live = 0;
	for (uint64_t lba = 0; lsvd_store_map_find(v->map, lba, &e); lba = e.lba + e.len)
		if (e.kind != MAP_ZERO)
			lsvd_object_table_live(t, e.object, (int64_t)e.len * (int64_t)SECTOR_BYTES,
					       (struct place){ 0, 0 });
}

/* ------------------------------------------------------------------------------- the two files */

static void close_mirror(struct mirror_in *in)
{
	if (in->file)
		in->v->world->file->close(in->file);
	in->file = NULL;
	lsvd_mirror_in_fini(in);
}

/* Opens a file and reads its head; without a complete mirror in it, in->file is NULL. */
static int open_mirror(struct mirror_in *in, struct lsvd_volume *v, unsigned which)
{
	const struct file_ops *ops = v->world->file;
	uint8_t *p;
	int err;

	*in = (struct mirror_in){ .v = v, .past_cache = !v->readonly };
	lsvd_mirror_name(in->name, sizeof in->name, v->name, which);
	err = ops->open(v->world, in->name, v->readonly ? FILE_READONLY : 0, &in->file);
	if (err)
		return err == -ENOENT ? 0 : err;
	err = ops->size(in->file, &in->bytes);
	if (!err && !v->readonly) {
		struct file_io io = { .io = { .kind = IO_FILE_SYNC }, .file = in->file };

		err = lsvd_port_run1(&v->port, &io.io);
	}
	if (!err)
		err = lsvd_mirror_look(in, 0, MIRROR_HEAD_BYTES, &p);
	if (!err)
		err = lsvd_mirror_head_decode(&in->head, p, in->name);
	if (!err && !(in->head.flags & MIRROR_COMPLETE))
		err = -ENODATA;
	if (err)
		close_mirror(in);
	return err == -ENODATA || err == LSVD_E_CORRUPT ? 0 : err;
}

static int take_any(struct mirror_in *in, uint32_t kind, const uint8_t *payload, uint32_t bytes)
{
	(void)in, (void)kind, (void)payload, (void)bytes;
	return 0;
}

/* Of a file that is not complete, being made, nothing is said. */
int lsvd_mirror_verify(struct lsvd_volume *v, unsigned which)
{
	struct mirror_in in;
	int err = open_mirror(&in, v, which);

	if (!err && in.file)
		err = lsvd_mirror_each(&in, take_any);
	close_mirror(&in);
	return err;
}

/* The newer one first. */
static int open_mirrors(struct mirror_in in[2], struct lsvd_volume *v)
{
	int err = open_mirror(&in[0], v, 0);

	in[1] = (struct mirror_in){ .v = v };
	if (!err)
		err = open_mirror(&in[1], v, 1);
	if (err)
		return err;
	if (in[1].file && (!in[0].file || in[1].head.generation > in[0].head.generation)) {
		struct mirror_in newer = in[1];

		in[1] = in[0];
		in[0] = newer;
	}
	if (!in[0].file)
		return cannot(v, "its cache directory has no copy of its map");
	return 0;
}

/* Does it go with the log? */
static int check_mirror(struct mirror_in *in, const struct wal_found *found)
{
	struct lsvd_volume *v = in->v;
	uint64_t has;
	bool cut;
	int err;

	in->last_op = in->head.last_op;
	in->volume_bytes = in->head.volume_bytes;
	if (lsvd_uuid_equal(&in->head.cache_id, &found->cache_id) && in->head.run > found->run)
		return lsvd_fail(LSVD_E_ROLLBACK, "volume %s: the local log was last opened in run "
				 "%llu, the copy of its map in %llu: the log was rolled back",
				 v->name, (unsigned long long)found->run,
				 (unsigned long long)in->head.run);
	if (!lsvd_uuid_equal(&in->head.volume, &v->uuid) ||
	    !lsvd_uuid_equal(&in->head.cache_id, &found->cache_id) ||
	    in->head.run < found->whole_run)
		return cannot(v, "the copy of its map belongs to another log");
	err = lsvd_mirror_each(in, measure);
	if (err == LSVD_E_CORRUPT)
		return lsvd_fail_context(LSVD_E_UNAVAILABLE, "volume %s: cannot be opened offline",
					 v->name);
	if (err)
		return err;
	if (in->last_op + 1 < found->first_op)
		return lsvd_fail(LSVD_E_UNAVAILABLE, "volume %s: cannot be opened offline: the "
				 "copy of its map ends at operation %llu, the local log "
				 "begins with %llu", v->name, (unsigned long long)in->last_op,
				 (unsigned long long)found->first_op);
	err = lsvd_wal_holds(v->wal, in->last_op, false, &has, &cut);
	if (!err && in->last_op > has)
		err = lsvd_fail(LSVD_E_ROLLBACK, "volume %s: the local log ends at operation %llu, "
				"the copy of its map at %llu: the log was rolled back", v->name,
				(unsigned long long)has, (unsigned long long)in->last_op);
	return err;
}

/* The map, from the first that goes with the log. */
static int load_map(struct mirror_in in[2], const struct wal_found *found, uint64_t *ret_op)
{
	struct mirror_in *good = &in[0];
	int err = check_mirror(good, found);
	char text[512];

	if (err == LSVD_E_UNAVAILABLE && in[1].file) {
		/* fits: as long as it */
		(void)snprintf(text, sizeof text, "%s", lsvd_last_error());
		good = &in[1];
		err = check_mirror(good, found);
		if (err)
			lsvd_error_restore(text);
	}
	if (err)
		return err;
	err = lsvd_mirror_each(good, load_snapshot);
	if (!err)
		err = lsvd_mirror_each(good, load_chain);
	if (err == LSVD_E_CORRUPT)
		err = lsvd_fail_context(LSVD_E_UNAVAILABLE, "volume %s: cannot be opened offline",
					good->v->name);
	if (!err)
		count_live(good->v);
	lsvd_vol_set_bytes(good->v, good->volume_bytes);
	*ret_op = good->last_op;
	return err;
}

/* ------------------------------------------------------------------------------------- the open */

static int open_log(struct lsvd_volume *v, struct wal_found *found)
{
	int err = lsvd_vol_open_wal(v, found);

	if (err == LSVD_E_FOREIGN_CACHE)
		return cannot(v, "the copy of its map belongs to another log");
	if (!err && found->fresh)
		err = cannot(v, "its local log is not there, or in use, or was never used");
	return err;
}

static int go_on(struct lsvd_volume *v, const struct wal_found *found, uint64_t stored_op)
{
	int err;

	v->opened = (struct log_opened){
		.epoch = found->epoch,
		.base_epoch = found->base_epoch,
		.last_op = stored_op,
		.next_object = v->objects.count,
		.volume_bytes = v->bytes,
		.cache_current = true,
	};
	v->stored_op = v->last_op = stored_op;
	v->stored_seq = 1;
	err = lsvd_wal_settle(v->wal, stored_op, false);
	if (!err && !v->readonly)
		err = lsvd_wal_begin_offline(v->wal);
	if (!err && v->opt.rcache_bytes != UINT64_MAX && v->own_world && !v->readonly)
		err = lsvd_shared_rcache_get(&v->rcache, v->opt.cache_dir, v->opt.rcache_bytes);
	return err ? err : lsvd_vol_replay_wal(v);
}

static void take_identity(struct lsvd_volume *v, const struct mirror_head *h)
{
	v->uuid = h->volume;
	v->owner = lsvd_uuid_seed(&v->uuid);
	lsvd_vol_set_bytes(v, h->volume_bytes);
}

int lsvd_vol_open_offline(struct lsvd_volume *v)
{
	struct mirror_in in[2];
	struct wal_found found;
	uint64_t stored_op = 0;
	int err = open_mirrors(in, v);

	if (!err)
		take_identity(v, &in[0].head);
	if (!err)
		err = lsvd_extent_map_new(&v->overlay);
	if (!err)
		err = lsvd_store_map_new(&v->map);
	if (!err)
		err = open_log(v, &found);
	if (!err)
		err = load_map(in, &found, &stored_op);
	close_mirror(&in[0]);
	close_mirror(&in[1]);
	return err ? err : go_on(v, &found, stored_op);
}

int lsvd_vol_refuse_offline(const struct lsvd_volume *v, const char *what)
{
	if (!v->offline)
		return 0;
	return lsvd_fail(LSVD_E_UNAVAILABLE, "volume %s is open offline: %s when it is opened "
			 "with the store", v->name, what);
}
