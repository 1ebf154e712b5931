/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_open.c - opening and closing a volume: procedures, on the caller's thread.
 *
 * Open, in order: the volume record (name to identity and size), the local log as it is found, the
 * chain (which decides whether that log is still part of the volume, and takes the next epoch), the
 * newest root and the chain after it into the store map, and then the log's operations that the
 * store does not have: into the overlay, and as segments on their way again.
 *
 * Close, in order: no more operations, those in flight end, the log is synced, what is left is sealed
 * and stored as long as there is time, a last checkpoint, a close object that says nothing is
 * missing, and a last superblock.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/options.h"
#include "format/fmt_key.h"
#include "io/world_real.h"
#include "volume/shared_rcache.h"
#include "volume/vol_mirror.h"
#include "volume/vol_rebuild.h"
#include "log/lineage.h"
#include "log/log_probe.h"
#include "volume/volume_internal.h"

/* ----------------------------------------------------------------------------------------- options */

#define RACE_TRIES 10u
#define READ_TRIES 5u
#define OPEN_RACES 1u           /* the long form is for creation, and for who asks */
#define DAY_MS (24u * 60 * 60 * 1000)

struct bound {
	const char *name;
	uint64_t value, least, most;
};

static int check_bounds(const struct bound *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (b[i].value < b[i].least || b[i].value > b[i].most)
			return lsvd_fail(-EINVAL, "option %s is %llu, must be %llu to %llu", b[i].name,
					 (unsigned long long)b[i].value,
					 (unsigned long long)b[i].least,
					 (unsigned long long)b[i].most);
	return 0;
}

static void default_u32(uint32_t *field, uint32_t value)
{
	if (!*field)
		*field = value;
}

static void default_u64(uint64_t *field, uint64_t value)
{
	if (!*field)
		*field = value;
}

/* What a volume may be asked for; the simulator's are tiny, so that everything wraps and fills. */
struct limits {
	uint64_t log_least, segment_least, memory_least, map_least;
	uint32_t anchor_every;
};

static const struct limits public_limits = { 1u << 20, 64u << 10, 4u << 20, 1u << 20, 0 };
static const struct limits tiny_limits = { 64u << 10, 4u << 10, 64u << 10, 1,
					    VOL_TINY_ANCHOR_EVERY };

static int set_options(struct lsvd_volume_options *o, const struct lsvd_volume_options *given,
		       const struct limits *limits)
{
	int err = lsvd_options_copy(o, sizeof *o, given, sizeof *o, "volume options");

	if (err)
		return err;
	default_u64(&o->log_bytes, UINT64_C(512) << 20);
	default_u32(&o->segment_bytes, 8u << 20);
	default_u32(&o->seal_after_ms, 5000);
	default_u32(&o->compression, LSVD_COMPRESS_LZ4);
	default_u32(&o->unit_bytes, 16384);
	default_u32(&o->put_window, 8);
	default_u64(&o->memory_bytes, UINT64_C(64) << 20);
	default_u64(&o->map_memory_bytes, UINT64_C(64) << 20);
	default_u64(&o->rcache_bytes, UINT64_C(1) << 30);
	default_u32(&o->read_timeout_ms, 30000);
	default_u32(&o->lease_check_ms, 10000);
	default_u32(&o->checkpoint_segments, 64);
	default_u32(&o->denied_retry_ms, 30000);
	default_u32(&o->read_ahead_bytes, 8u << 20);
	default_u32(&o->gc, LSVD_GC_AUTO);
	default_u32(&o->gc_target_percent, 125);
	default_u32(&o->gc_idle_ms, 10000);
	default_u64(&o->gc_bytes_per_second, UINT64_C(32) << 20);
	const struct bound bounds[] = {
		{ "flags", o->flags, 0, 0x3f },
		{ "log_bytes", o->log_bytes, limits->log_least, UINT64_C(1) << 40 },
		{ "segment_bytes", o->segment_bytes, limits->segment_least, 64u << 20 },
		{ "seal_after_ms", o->seal_after_ms == UINT32_MAX ? 1 : o->seal_after_ms, 1,
		  DAY_MS },
		{ "flush", o->flush, 0, LSVD_FLUSH_REMOTE },
		{ "compression", o->compression, LSVD_COMPRESS_NONE, LSVD_COMPRESS_ZLIB },
		{ "unit_bytes", o->unit_bytes, 4096, 65536 },
		{ "put_window", o->put_window, 1, 64 },
		{ "memory_bytes", o->memory_bytes, limits->memory_least, UINT64_C(4) << 30 },
		{ "map_memory_bytes", o->map_memory_bytes, limits->map_least, UINT64_C(1) << 40 },
		{ "denied_retry_ms", o->denied_retry_ms, 100, DAY_MS },
		{ "read_ahead_bytes", o->read_ahead_bytes == UINT32_MAX ? 64u << 10
									: o->read_ahead_bytes,
		  64u << 10, 64u << 20 },
		{ "gc", o->gc, 0, LSVD_GC_AUTO },
		{ "gc_strategy", o->gc_strategy, 0, LSVD_GC_STALE },
		{ "gc_target_percent", o->gc_target_percent, 101, 10000 },
		{ "gc_idle_ms", o->gc_idle_ms == UINT32_MAX ? 1 : o->gc_idle_ms, 1, DAY_MS },
		{ "gc_bytes_per_second", o->gc_bytes_per_second, 4096, UINT64_MAX },
	};
	err = check_bounds(bounds, LSVD_ARRAY_LEN(bounds));
	if (!err && o->snapshot &&
	    (!(o->flags & LSVD_OPEN_READONLY) || o->flags & LSVD_OPEN_OFFLINE))
		err = lsvd_fail(-EINVAL, "option snapshot: snapshots can only be read, and only with "
				"the store");
	for (unsigned i = 0; i < LSVD_ARRAY_LEN(o->reserved) && !err; i++)
		if (o->reserved[i])
			err = lsvd_fail(-E2BIG, "option reserved[%u] is set: it means nothing to this "
					"library (use the INIT macro)", i);
	if (!err && (o->unit_bytes & (o->unit_bytes - 1)))
		err = lsvd_fail(-EINVAL, "option unit_bytes is %u, must be a power of two",
				o->unit_bytes);
	if (!err && o->flags & LSVD_OPEN_RCACHE &&
	    !(o->flags & LSVD_OPEN_READONLY && o->cache_dir))
		err = lsvd_fail(-EINVAL, "flag LSVD_OPEN_RCACHE is for readers, with a cache_dir: "
				"writers have their cache without it");
	if (!err && !o->cache_dir && !(o->flags & LSVD_OPEN_READONLY))
		err = lsvd_fail(-EINVAL, "option cache_dir is missing: a volume that is written "
				"needs a directory for its local log");
	if (!err && o->flags & LSVD_OPEN_OFFLINE && !o->cache_dir)
		err = lsvd_fail(-EINVAL, "option cache_dir is missing: the cache is all there is "
				"offline");
	if (!err && o->flags & LSVD_OPEN_OFFLINE &&
	    o->flags & (LSVD_OPEN_ACCEPT_ROLLBACK | LSVD_OPEN_TAKEOVER))
		err = lsvd_fail(-EINVAL, "option flags is %#x: offline nothing can be taken over or "
				"rolled back", o->flags);
	return err;
}

/* A segment must not fill the log alone, which may be smaller than asked for: it was there. */
static void fit_segments(struct lsvd_volume *v)
{
	struct wal_stats s;

	lsvd_wal_stats(v->wal, &s);
	while (v->opt.segment_bytes > tiny_limits.segment_least &&
	       v->opt.segment_bytes > s.capacity / 4)
		v->opt.segment_bytes /= 2;
}

static const enum codec codec_of[] = {
	[LSVD_COMPRESS_NONE] = CODEC_RAW,
	[LSVD_COMPRESS_LZ4] = CODEC_LZ4,
	[LSVD_COMPRESS_ZLIB] = CODEC_ZLIB,
};

/* --------------------------------------------------------------------------------------- the parts */

static bool is_gone(void *ctx, const struct uuid *other)
{
	struct lsvd_volume *v = ctx;

	return lsvd_lineage_is_gone(&v->port, other);
}

int lsvd_vol_open_wal(struct lsvd_volume *v, struct wal_found *found)
{
	char name[LSVD_NAME_MAX + 8];
	struct wal_options o = { .name = name, .volume = v->uuid, .log_bytes = v->opt.log_bytes,
				 .readonly = v->readonly, .existing = v->offline,
				 .is_gone = v->offline ? NULL : is_gone };
	int err;

	memset(found, 0, sizeof *found);
	found->fresh = true;
	if (!v->opt.cache_dir)
		return 0;
	(void)snprintf(name, sizeof name, "%s.log", v->name); /* LSVD_NAME_MAX + 4 */
	err = lsvd_wal_open(&v->wal, found, &v->port, &o, &lsvd_vol_wal_ops, v);
	if ((v->readonly && (err == -ENOENT || err == LSVD_E_LOCKED)) ||
	    (v->offline && err == -ENOENT)) {
		found->fresh = true;
		return 0; /* a reader sees what the store has; offline, there is nothing */
	}
	if (!err)
		fit_segments(v);
	return err;
}

/* Open, step 5: the epoch, noted in the local log's superblock. */
static int commit_epoch(void *ctx, uint64_t epoch, uint64_t base_epoch, bool discard,
			uint64_t last_op)
{
	struct lsvd_volume *v = ctx;
	uint64_t next;
	int err;

	if (!discard) {
		err = lsvd_wal_settle(v->wal, last_op, v->opt.flags & LSVD_OPEN_ACCEPT_ROLLBACK);
		if (err)
			return err;
	}
	next = lsvd_wal_next_op(v->wal);
	/* A log that holds nothing of this volume's history starts where the store ends. */
	if (next <= last_op)
		discard = true;
	return lsvd_wal_begin_run(v->wal, epoch, base_epoch, discard,
				  discard ? last_op + 1 : next);
}

/* What could still refuse the open must not do so when a claim has been made. */
static int may_claim(void *ctx)
{
	struct lsvd_volume *v = ctx;

	int err = lsvd_probe_check_known(&v->store_check);

	return err ? err : lsvd_wal_made(v->wal);
}

static int cache_holds(void *ctx, uint64_t stored_op, bool cut, uint64_t *ret_last_op, bool *ret_cut)
{
	struct lsvd_volume *v = ctx;

	return lsvd_wal_holds(v->wal, stored_op, cut, ret_last_op, ret_cut);
}

static void fenced(void *ctx, int err)
{
	if (err == LSVD_E_FENCED)
		lsvd_vol_fail(ctx, err, "another writer has taken the volume: writes are refused, "
			      "reads show what it was");
	else
		lsvd_vol_fail(ctx, err, lsvd_last_error());
}

/* Of the codes for what passes by itself there is one. */
static int store_error(int err)
{
	switch (err) {
	case -EDQUOT:
		return -ENOSPC;
	case -ENOSPC:
	case -EACCES:
	case -EPERM:
	case -EROFS:
	case LSVD_E_CONFIG:
	case LSVD_E_UNSUPPORTED:
		return err;
	default:
		return LSVD_E_UNAVAILABLE;
	}
}

static void describe_trouble(struct lsvd_volume *v, int err)
{
	const char *what = lsvd_last_error();

	if (err == LSVD_E_UNAVAILABLE)
		(void)snprintf(v->store_text, sizeof v->store_text, "the store fails, and is tried "
			       "again: %s", what); /* all three are cut at worst */
	else if (err == -ENOSPC)
		(void)snprintf(v->store_text, sizeof v->store_text, "the store is full, and is tried "
			       "again: %s", what);
	else
		(void)snprintf(v->store_text, sizeof v->store_text, "the store refuses, and is asked "
			       "again every %u s: %s", v->opt.denied_retry_ms / 1000, what);
}

static void unavailable(void *ctx, bool yes, int err)
{
	struct lsvd_volume *v = ctx;

	if (!yes && v->store_err)
		lsvd_report(LSVD_LOG_INFO, "volume %s: the store is back", v->name);
	v->store_err = yes ? store_error(err) : 0;
	v->store_text[0] = '\0';
	if (yes) {
		describe_trouble(v, v->store_err);
		lsvd_report(v->store_err == LSVD_E_UNAVAILABLE ? LSVD_LOG_WARN : LSVD_LOG_ERROR,
			    "volume %s: %s; writes go on while the local log has room", v->name,
			    v->store_text);
	}
	lsvd_port_changed(&v->port);
}

static const struct log_ops log_ops;

/* What the store has, while the open is yet to be confirmed. */
static int recover(void *ctx, struct log *log, const struct log_opened *opened)
{
	struct lsvd_volume *v = ctx;
	int err;

	v->opened = *opened;
	if (v->readonly && v->wal && opened->cache_current) {
		err = lsvd_wal_settle(v->wal, opened->last_op,
				      v->opt.flags & LSVD_OPEN_ACCEPT_ROLLBACK);
		if (err)
			return err;
	}
	if (opened->volume_bytes)
		lsvd_vol_set_bytes(v, opened->volume_bytes);
	if (!v->readonly && !v->ancestry) /* a mirror would not say whose the objects are */
		lsvd_mirror_open(v);
	err = v->base && !opened->root.epoch ? lsvd_vol_load_base(v, &log_ops) : 0;
	if (!err)
		err = lsvd_log_recover(log);
	if (!err && v->rebuild) {
		struct log_stats s;

		lsvd_log_stats(log, &s);
		err = lsvd_rebuild_judge(v, s.passed_over);
	}
	v->stored_op = v->last_op = opened->last_op;
	v->stored_seq = 1;
	return err;
}

static const struct log_ops log_ops = {
	.cache_holds = cache_holds,
	.may_claim = may_claim,
	.commit_epoch = commit_epoch,
	.recover = recover,
	.load_root = lsvd_vol_load_root,
	.header = lsvd_mirror_header,
	.replay = lsvd_vol_replay,
	.record = lsvd_vol_record,
	.fenced = fenced,
	.unavailable = unavailable,
};

static int open_log(struct lsvd_volume *v, const struct wal_found *found)
{
	struct log_options o = {
		.volume = v->uuid,
		.volume_bytes = v->bytes,
		.first_object = v->ancestry ? v->ancestry->own_first : 0,
		.readonly = v->readonly,
		.accept_rollback = v->opt.flags & LSVD_OPEN_ACCEPT_ROLLBACK,
		.takeover = v->opt.flags & LSVD_OPEN_TAKEOVER,
		.flush_remote = v->opt.flush == LSVD_FLUSH_REMOTE,
		.put_window = v->opt.put_window,
		.anchor_every = v->own_world ? public_limits.anchor_every : tiny_limits.anchor_every,
		.denied_retry_ms = v->opt.denied_retry_ms,
		.rebuild = v->rebuild != NULL,
		.name = v->name,
		.cache = { .present = !found->fresh, .id = found->cache_id, .epoch = found->epoch,
			   .base_epoch = found->base_epoch, .first_op = found->first_op,
			   .last_op = found->last_op, .damaged = found->gaps > 0,
			   .offline_op = found->offline_op },
	};
	char host[65] = "";

	/* Only shown to people, by whoever finds the claim. */
	if (v->own_world && gethostname(host, sizeof host - 1) == 0)
		o.host = host;
	if (v->own_world)
		o.pid = (uint64_t)getpid();
	if (v->wal)
		o.cache.id = *lsvd_wal_cache_id(v->wal);
	return lsvd_log_open(&v->log, &v->opened, &v->port, &o, &log_ops, v);
}

/* ---------------------------------------------------------------------------- the log's operations */

static uint64_t group_last_op(const struct wal_group *g)
{
	return g->head.first_op + g->head.records - 1;
}

/*
 * What the store has needs no replay. Offline it is still good for reading it, if all that followed
 * it can be read: what the log has lost is in the map alone.
 */
static int replay_stored(struct lsvd_volume *v, struct wal_group *g, bool whole)
{
	int err = 0;

	if (v->offline && whole)
		err = lsvd_extent_map_reserve(v->overlay, g->head.records);
	if (!err && v->offline && whole)
		lsvd_vol_put_in_overlay(v, g);
	if (!err && !v->readonly)
		lsvd_mirror_note(v, g, group_last_op(g), NULL, 0);
	return err;
}

/*
 * The cache may not have heard of a change of size, when it was opened offline after it. In the chain an
 * operation beyond the end would be damage: it refuses the open while there is no object of it yet.
 */
static int check_size(const struct lsvd_volume *v, const struct wal_group *g)
{
	for (uint32_t i = 0; i < g->head.records && !v->offline; i++)
		if (g->records[i].lba + g->records[i].sectors > v->sectors)
			return lsvd_fail(LSVD_E_FOREIGN_CACHE, "volume %s: operation %llu of the local log "
					 "is beyond the volume's end, %llu: it was written offline, and "
					 "the cache did not know of a change of size", v->name,
					 (unsigned long long)(g->head.first_op + i),
					 (unsigned long long)v->bytes);
	return 0;
}

/* Lock held. What the store has not is newer than the store map. */
static int replay_group(struct lsvd_volume *v, struct wal_group *g, bool whole)
{
	int err;

	if (g->head.records == 0)
		return 0;
	if (group_last_op(g) <= v->opened.last_op)
		return replay_stored(v, g, whole);
	err = check_size(v, g);
	if (!err)
		err = lsvd_extent_map_reserve(v->overlay, g->head.records);
	if (!err && !v->readonly)
		err = lsvd_vol_spare_segments(v, 1);
	if (err)
		return err;
	lsvd_vol_put_in_overlay(v, g);
	v->last_op = group_last_op(g);
	v->stats.replayed_ops += g->head.records;
	if (!v->readonly)
		lsvd_vol_take_group(v, g);
	return 0;
}

/* The newest group that could not be read, or NULL. */
static struct wal_group *newest_lost(struct lsvd_volume *v)
{
	struct wal_group *lost = NULL;

	list_for_each(n, lsvd_wal_groups(v->wal))
		if (list_entry(n, struct wal_group, link)->lost)
			lost = list_entry(n, struct wal_group, link);
	return lost;
}

int lsvd_vol_replay_wal(struct lsvd_volume *v)
{
	struct wal_group *lost;
	int err = 0;

	if (!v->wal || !v->opened.cache_current)
		return 0;
	lsvd_port_enter(&v->port);
	lost = newest_lost(v);
	list_for_each(n, lsvd_wal_groups(v->wal)) {
		struct wal_group *g = list_entry(n, struct wal_group, link);

		err = replay_group(v, g, !lost || g->head.pos > lost->head.pos);
		if (err)
			break;
	}
	lsvd_port_leave(&v->port, true);
	return err;
}

/* --------------------------------------------------------------------------------------------- open */

void lsvd_vol_destroy(struct lsvd_volume *v)
{
	lsvd_port_settle(&v->port);
	lsvd_vol_drop_segments(v);
	lsvd_misses_fini(&v->misses);
	lsvd_log_free(v->log);
	lsvd_mirror_free(v);
	lsvd_wal_close(v->wal);
	lsvd_shared_rcache_put(v->rcache);
	lsvd_extent_map_free(v->overlay);
	lsvd_store_map_free(v->map);
	lsvd_object_table_fini(&v->objects);
	lsvd_page_table_fini(&v->pages);
	lsvd_vol_free_deletion(v);
	lsvd_vol_free_round(v);
	lsvd_vol_free_snapshot_op(v);
	lsvd_snapshots_fini(&v->snapshots);
	lsvd_free(v->ancestry);
	lsvd_free(v->base);
	lsvd_port_fini(&v->port);
	if (v->own_world)
		lsvd_world_real_close(v->world);
	lsvd_free(v);
}

static void stop_everything(struct lsvd_volume *v, int err);

static int find_volume(struct lsvd_volume *v)
{
	struct fmt_volume record;
	int err = lsvd_lineage_find(&v->port, OBJECT_VOLUME, v->name, &record);

	if (err)
		return err;
	v->uuid = record.uuid;
	v->stats.recovery_gets++;
	v->stats.recovery_get_bytes += FMT_VOLUME_BYTES;
	v->created_ms = record.created_ms;
	v->owner = lsvd_uuid_seed(&v->uuid);
	lsvd_vol_set_bytes(v, record.bytes);
	return record.base.ancestors ? lsvd_vol_take_base(v, &record.base) : 0;
}

static void start_mirror(struct lsvd_volume *v)
{
	lsvd_port_enter(&v->port);
	lsvd_mirror_start(v);
	lsvd_port_leave(&v->port, false);
}

/* Would a second writer be kept out? To be known before anything is claimed. */
static int begin_check(struct lsvd_volume *v)
{
	return v->readonly ? 0 : lsvd_probe_check_begin(&v->store_check, &v->port, v->opt.flags,
						      v->opt.cache_dir != NULL, OPEN_RACES);
}

static void end_check(struct lsvd_volume *v)
{
	lsvd_probe_check_end(&v->store_check);
	v->stats.probe_requests = v->store_check.probe.requests;
	v->stats.probe_bytes = v->store_check.probe.put_bytes + v->store_check.probe.get_bytes;
}

static bool same_end(const struct log_opened *a, const struct log_opened *b)
{
	return a->base_epoch == b->base_epoch && a->base_seq == b->base_seq &&
	       a->root.epoch == b->root.epoch && a->root.number == b->root.number;
}

int lsvd_vol_forget_map(struct lsvd_volume *v)
{
	lsvd_store_map_free(v->map);
	v->map = NULL;
	lsvd_object_table_fini(&v->objects);
	lsvd_page_table_fini(&v->pages);
	lsvd_snapshots_fini(&v->snapshots);
	return lsvd_store_map_new(&v->map);
}

/* As before the first try. */
static int forget_all(struct lsvd_volume *v)
{
	lsvd_log_free(v->log);
	v->log = NULL;
	return lsvd_vol_forget_map(v);
}

/*
 * A writer that is serving may write a checkpoint and delete the one before it while a reader is
 * reading that. So what is missing is looked for again, as long as there is something newer.
 */
static int open_log_patiently(struct lsvd_volume *v, const struct wal_found *found)
{
	struct log_opened before;
	int err = open_log(v, found);

	for (unsigned i = 0; i < READ_TRIES && err == LSVD_E_CORRUPT && v->readonly; i++) {
		before = v->opened;
		err = forget_all(v);
		if (!err)
			err = open_log(v, found);
		if (err == LSVD_E_CORRUPT && same_end(&before, &v->opened))
			break;
	}
	return err;
}

static int read_snapshot(struct lsvd_volume *v, const struct snapshot *s)
{
	const struct log_options o = { .volume = v->uuid, .volume_bytes = s->bytes, .name = v->name };
	int err;

	lsvd_vol_set_bytes(v, s->bytes);
	err = lsvd_log_read(&v->port, &o, &log_ops, v, s->root, s->at.epoch, s->at.seq);
	lsvd_snapshots_fini(&v->snapshots); /* of the past */
	v->opened.epoch = s->at.epoch;
	v->opened.last_op = v->stored_op = v->last_op = s->op;
	return err;
}

/* The log of w is none: what it reads of the map stays away, as far as it can. */
int lsvd_vol_load_past(struct lsvd_volume **ret, struct lsvd_volume *v, const struct snapshot *s)
{
	struct lsvd_volume *w = lsvd_vol_new(v->world, false, v->name);
	int err = w ? 0 : lsvd_fail_plain(-ENOMEM);

	if (!err) {
		w->uuid = v->uuid;
		w->owner = v->owner;
		w->opt.map_memory_bytes = v->opt.map_memory_bytes;
		err = v->base ? lsvd_vol_take_base(w, v->base) : 0;
	}
	if (!err)
		err = lsvd_store_map_new(&w->map);
	if (!err)
		err = read_snapshot(w, s);
	if (err && w)
		lsvd_vol_destroy(w);
	else
		*ret = w;
	return err;
}

/* First the list, with nothing else; then what the snapshot stands for. */
static int find_and_read(struct lsvd_volume *v, const char *name)
{
	const struct wal_found none = { .fresh = true };
	const struct snapshot *found;
	struct snapshot s;
	int err;

	v->listing = true;
	err = open_log(v, &none);
	v->listing = false;
	if (err)
		return err;
	found = lsvd_snapshots_by_name(&v->snapshots, name);
	if (!found)
		return lsvd_fail(-ENOENT, "volume %s has no snapshot \"%s\"", v->name, name);
	s = *found;
	lsvd_snapshots_fini(&v->snapshots);
	return read_snapshot(v, &s);
}

/* It may be deleted while it is read: then it is not in the list any more. */
static int open_snapshot(struct lsvd_volume *v)
{
	int err = find_and_read(v, v->opt.snapshot);

	for (unsigned i = 0; i < READ_TRIES && err == LSVD_E_CORRUPT; i++) {
		err = forget_all(v);
		if (!err)
			err = find_and_read(v, v->opt.snapshot);
	}
	v->opt.snapshot = NULL; /* the caller's */
	return err;
}

static int open_reading(struct lsvd_volume *v, struct wal_found *found)
{
	int err;

	if (v->opt.snapshot)
		return open_snapshot(v);
	err = v->listing ? 0 : lsvd_vol_open_wal(v, found);
	return err ? err : open_log_patiently(v, found);
}

static int open_parts(struct lsvd_volume *v)
{
	struct wal_found found = { .fresh = true };
	int err;

	if (v->offline)
		return lsvd_vol_open_offline(v);
	err = begin_check(v);
	if (!err)
		err = find_volume(v);
	if (!err)
		err = lsvd_extent_map_new(&v->overlay);
	if (!err)
		err = lsvd_store_map_new(&v->map);
	if (!err)
		err = open_reading(v, &found);
	if (!err && v->opt.cache_dir && v->opt.rcache_bytes != UINT64_MAX && v->own_world &&
	    (!v->readonly || v->opt.flags & LSVD_OPEN_RCACHE))
		err = lsvd_shared_rcache_get(&v->rcache, v->opt.cache_dir, v->opt.rcache_bytes);
	if (!err)
		lsvd_vol_gc_init(v);
	if (!err)
		err = lsvd_vol_replay_wal(v);
	v->chain_bytes = v->bytes;
	if (!err)
		start_mirror(v);
	end_check(v);
	return err;
}

static void report_opened(const struct lsvd_volume *v)
{
	lsvd_report(LSVD_LOG_INFO, "volume %s: open%s%s in epoch %llu, %llu segments read, %llu "
		    "operations from the local log", v->name, v->readonly ? " read-only" : "",
		    v->offline ? " offline" : "",
		    (unsigned long long)v->opened.epoch,
		    (unsigned long long)v->stats.replayed_segments,
		    (unsigned long long)v->stats.replayed_ops);
	if (v->opened.rolled_back)
		lsvd_report(LSVD_LOG_WARN, "volume %s: went on from what the store has, operation %llu, "
			    "as asked", v->name, (unsigned long long)v->opened.last_op);
	if (v->offline)
		lsvd_report(LSVD_LOG_WARN, "volume %s: the store is not used: nothing is stored, and "
			    "what the cache does not have cannot be read, until it is opened again "
			    "with the store", v->name);
}

struct lsvd_volume *lsvd_vol_new(struct world *world, bool own_world, const char *name)
{
	struct lsvd_volume *v = lsvd_calloc(1, sizeof *v);

	if (!v)
		return NULL;
	if (lsvd_port_init(&v->port, world) < 0) {
		lsvd_free(v);
		return NULL;
	}
	v->world = world;
	v->own_world = own_world;
	(void)snprintf(v->name, sizeof v->name, "%s", name); /* checked to fit */
	list_init(&v->writes);
	list_init(&v->segments);
	list_init(&v->spares);
	list_init(&v->remote_waiters);
	list_init(&v->adoptions);
	lsvd_misses_init(&v->misses);
	list_init(&v->pager.loads);
	return v;
}

static int open_on(struct lsvd_volume **ret, struct world *world, bool own_world, const char *name,
		   const struct lsvd_volume_options *opt, bool listing, struct rebuild *rebuild)
{
	struct lsvd_volume *v = lsvd_vol_new(world, own_world, name);
	int err;

	if (!v) {
		if (own_world)
			lsvd_world_real_close(world);
		return lsvd_fail_plain(-ENOMEM);
	}
	v->opt = *opt;
	v->listing = listing;
	v->rebuild = rebuild;
	v->readonly = opt->flags & LSVD_OPEN_READONLY;
	v->seg_opt = (struct seg_options){ .codec = codec_of[opt->compression],
					   .unit_bytes = opt->unit_bytes };
	v->offline = opt->flags & LSVD_OPEN_OFFLINE;
	lsvd_vol_ahead_init(v, opt->read_ahead_bytes);
	err = open_parts(v);
	if (err) {
		char text[512];

		(void)snprintf(text, sizeof text, "%s", lsvd_last_error()); /* survives the clean-up */
		stop_everything(v, LSVD_E_SHUTDOWN);
		lsvd_vol_destroy(v);
		lsvd_error_restore(text);
		return err;
	}
	if (!listing)
		report_opened(v);
	*ret = v;
	return 0;
}

static int check_name(const char *name)
{
	if (!name || !lsvd_name_valid(name))
		return lsvd_fail(-EINVAL, "volume name \"%s\": must be 1 to %u of A-Z a-z 0-9 _ . - and "
				 "not begin with . or -", name ? name : "(null)", LSVD_NAME_MAX);
	return 0;
}

int lsvd_volume_open_world(struct lsvd_volume **ret, struct world *world, const char *name,
			   const struct lsvd_volume_options *options)
{
	struct lsvd_volume_options o;
	int err = check_name(name);

	if (!err)
		err = set_options(&o, options, &tiny_limits);
	return err ? err : open_on(ret, world, false, name, &o, false, NULL);
}

static int open_real(struct lsvd_volume **ret, struct lsvd_store *store, const char *name,
		     const struct lsvd_volume_options *opt)
{
	struct world *world;
	int err = lsvd_world_real_open(&world, store, opt->cache_dir,
				       !(opt->flags & LSVD_OPEN_READONLY) ||
				       opt->flags & LSVD_OPEN_RCACHE);

	return err ? err : open_on(ret, world, true, name, opt, false, NULL);
}

int lsvd_vol_open_rebuilding(struct lsvd_volume **ret, struct lsvd_store *store, const char *name,
			     const struct lsvd_volume_options *options, struct rebuild *rebuild)
{
	struct lsvd_volume_options o;
	struct world *world;
	int err = check_name(name);

	if (!err)
		err = set_options(&o, options, &public_limits);
	if (!err && o.flags & LSVD_OPEN_OFFLINE)
		err = lsvd_fail(-EINVAL, "flag LSVD_OPEN_OFFLINE: a repair is of what the store has");
	if (!err)
		err = lsvd_world_real_open(&world, store, o.cache_dir,
					   !(o.flags & LSVD_OPEN_READONLY));
	return err ? err : open_on(ret, world, true, name, &o, false, rebuild);
}

int lsvd_vol_open_listing(struct lsvd_volume **ret, struct lsvd_store *store, struct world *world,
			  const char *name)
{
	static const struct lsvd_volume_options usual = LSVD_VOLUME_OPTIONS_INIT;
	struct lsvd_volume_options given = usual, o;
	int err = check_name(name);

	given.flags = LSVD_OPEN_READONLY;
	if (!err)
		err = set_options(&o, &given, &public_limits);
	if (!err && store)
		err = lsvd_world_real_open(&world, store, NULL, false);
	return err ? err : open_on(ret, world, store != NULL, name, &o, true, NULL);
}

int lsvd_volume_open(struct lsvd_volume **ret, struct lsvd_store *store, const char *name,
		     const struct lsvd_volume_options *options)
{
	struct lsvd_volume_options o;
	int err = check_name(name);

	if (!err)
		err = set_options(&o, options, &public_limits);
	if (err)
		return err;
	if (!store && !(o.flags & LSVD_OPEN_OFFLINE))
		return lsvd_fail(-EINVAL, "volume %s: no store", name);
	err = open_real(ret, store, name, &o);
	/*
	 * Another claimed it in between, and may have been refused in its turn: without another try
	 * two that open at the same instant could both fail. Our cache has noted our claim, so if
	 * nobody has come to serve it needs no flag. If somebody has, a rollback was not accepted for
	 * what he acknowledges; a takeover loses nothing that was flushed, and whoever comes last has
	 * it: a claim that is refused fences a writer, too, and then nobody could write.
	 */
	o.flags &= ~LSVD_OPEN_ACCEPT_ROLLBACK;
	for (unsigned i = 0; i < RACE_TRIES && err == LSVD_E_FENCED; i++) {
		err = open_real(ret, store, name, &o);
		if (err == LSVD_E_ROLLBACK)
			return lsvd_fail(LSVD_E_FENCED, "volume %s: another opener has taken it "
					 "meanwhile", name);
	}
	return err;
}

/* -------------------------------------------------------------------------------------------- close */

struct alarm {
	struct timer_io timer;
	bool rang;
};

static void ring(struct io *io)
{
	lsvd_container_of(io, struct alarm, timer.io)->rang = true;
}

/* lock held: waits until `holds` does, at most until the clock says `deadline` (UINT64_MAX: never). */
static bool wait_for(struct lsvd_volume *v, vol_cond_fn holds, const void *arg, uint64_t deadline)
{
	struct alarm a = { .timer = { .io = { .kind = IO_TIMER, .done = ring },
				      .at_ms = deadline } };
	bool armed = deadline != UINT64_MAX && !holds(v, arg);

	if (armed)
		lsvd_port_start(&v->port, &a.timer.io);
	while (!holds(v, arg) && !(armed && a.rang))
		lsvd_port_wait(&v->port);
	while (armed && !a.rang) {
		/* Once it is in the world it can be cancelled, and comes back through ring(). */
		v->world->clk->cancel(v->world, &a.timer);
		lsvd_port_wait(&v->port);
	}
	return holds(v, arg);
}

static bool wait_until(struct lsvd_volume *v, vol_cond_fn holds, uint64_t deadline)
{
	return wait_for(v, holds, NULL, deadline);
}

static uint64_t deadline_in(const struct lsvd_volume *v, uint32_t ms)
{
	return ms == UINT32_MAX ? UINT64_MAX : lsvd_vol_now(v) + ms;
}

int lsvd_vol_wait(struct lsvd_volume *v, vol_cond_fn holds, const void *arg, uint32_t timeout_ms)
{
	if (!wait_for(v, holds, arg, deadline_in(v, timeout_ms)))
		return lsvd_fail(-ETIMEDOUT, "volume %s: not stored within %u ms", v->name,
				 timeout_ms);
	if (v->failed)
		return lsvd_fail(v->failed, "volume %s: %s", v->name, v->status_text);
	return v->closing ? lsvd_fail_plain(LSVD_E_SHUTDOWN) : 0;
}

static bool no_ops(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	return v->ops == 0;
}

static bool all_stored(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	return v->failed || (list_empty(&v->segments) && !v->applying);
}

static bool no_checkpoint(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	return v->failed || !v->checkpoint;
}

static bool nothing_in_world(struct lsvd_volume *v)
{
	return v->port.in_world == 0 && list_empty(&v->port.out) && list_empty(&v->port.calls);
}

static void cancel_timer(struct lsvd_volume *v, struct timer_io *t, bool armed)
{
	if (armed)
		v->world->clk->cancel(v->world, t);
}

/* A timer that is still queued is not cancelled by this, but by the next call. */
static void cancel_timers(struct lsvd_volume *v)
{
	if (v->wal)
		lsvd_wal_quiesce(v->wal);
	cancel_timer(v, &v->seal_timer, v->seal_armed);
	cancel_timer(v, &v->again_timer, v->again_armed);
	cancel_timer(v, &v->stall_timer, v->stall_armed);
	cancel_timer(v, &v->look_timer, v->look_armed);
	lsvd_mirror_stop(v);
	lsvd_gc_stop(&v->gc);
}

/* Ends whatever still waits and waits for what is in the world. */
static void stop_everything(struct lsvd_volume *v, int err)
{
	lsvd_port_enter(&v->port);
	v->closing = v->stopping = true;
	lsvd_mirror_stop(v);
	lsvd_vol_fail_writes(v, err);
	lsvd_vol_fail_flushes(v, err);
	if (v->log)
		lsvd_log_cancel(v->log, err);
	while (!nothing_in_world(v) || v->collectors || v->changing) {
		cancel_timers(v);
		lsvd_port_wait(&v->port);
	}
	lsvd_port_leave(&v->port, true);
}

/* The chain's last object, which says that nothing is missing: the next open may be anywhere. */
static void close_acked(struct log_put *put, int err)
{
	struct lsvd_volume *v = put->owner;

	v->close_state = err ? CLOSE_FAILED : CLOSE_STORED;
}

static bool close_is_over(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	return v->failed || v->close_state != CLOSE_PUTTING;
}

static int put_close(struct lsvd_volume *v, uint64_t deadline)
{
	lsvd_log_reserve(v->log, &v->close_put.place);
	v->close_put.kind = OBJECT_CLOSE;
	v->close_put.first_op = v->stored_op + 1;
	v->close_put.last_op = v->stored_op;
	v->close_put.acked = close_acked;
	v->close_put.owner = v;
	v->close_state = CLOSE_PUTTING;
	lsvd_log_put(v->log, &v->close_put);
	(void)wait_until(v, close_is_over, deadline);
	return v->close_state == CLOSE_STORED ? 0 : 1;
}

static bool mirror_is_settled(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	return v->failed || lsvd_mirror_is_settled(v);
}

static int drain(struct lsvd_volume *v, uint64_t deadline)
{
	int err = 1;

	if (v->offline)
		return v->failed ? v->failed : !list_empty(&v->segments);
	lsvd_vol_seal(v);
	if (wait_until(v, all_stored, deadline) && !v->failed) {
		if (v->segments_since_root)
			lsvd_vol_start_checkpoint(v);
		(void)wait_until(v, no_checkpoint, deadline); /* without it the next open reads more */
		err = put_close(v, deadline);
	}
	lsvd_mirror_want_room(v);
	(void)wait_until(v, mirror_is_settled, deadline); /* else the next open reads more of the log */
	return v->failed ? v->failed : err;
}

static void synced(struct wal_ticket *t, int err)
{
	(void)err; /* the volume has failed, and says so */
	t->pos = UINT64_MAX;
}

static bool is_synced(struct lsvd_volume *v, const void *arg)
{
	(void)arg;
	return v->close_ticket.pos == UINT64_MAX;
}

/* Whatever becomes of the store: what was acknowledged survives power loss from here on. */
static void sync_log(struct lsvd_volume *v)
{
	v->close_ticket.pos = lsvd_wal_flush_pos(v->wal);
	v->close_ticket.done = synced;
	lsvd_wal_sync(v->wal, &v->close_ticket);
	(void)wait_until(v, is_synced, UINT64_MAX);
}

/* There is no more time: flushes that wait for the store, now or in a moment, are told so. */
static bool no_ops_without_store(struct lsvd_volume *v, const void *arg)
{
	lsvd_vol_fail_flushes(v, LSVD_E_SHUTDOWN);
	return no_ops(v, arg);
}

static int end_writing(struct lsvd_volume *v, uint32_t drain_ms)
{
	uint64_t deadline;
	int err;

	lsvd_port_enter(&v->port);
	deadline = deadline_in(v, drain_ms);
	v->closing = true;
	if (v->log)
		lsvd_log_retry(v->log); /* there may be less time than a pause takes */
	lsvd_gc_stop(&v->gc);
	lsvd_port_changed(&v->port); /* lsvd_volume_sync() on another thread ends */
	lsvd_vol_fail_writes(v, LSVD_E_SHUTDOWN); /* not acknowledged: they waited for room */
	if (!wait_until(v, no_ops, deadline))
		(void)wait_until(v, no_ops_without_store, UINT64_MAX);
	sync_log(v);
	err = drain(v, deadline);
	lsvd_port_leave(&v->port, true);
	return err;
}

int lsvd_volume_close(struct lsvd_volume *v, uint32_t drain_ms)
{
	int err = 0, end;

	if (!v)
		return 0;
	if (!v->readonly)
		err = end_writing(v, drain_ms);
	stop_everything(v, LSVD_E_SHUTDOWN);
	if (!v->readonly) {
		end = lsvd_wal_end_run(v->wal);
		if (end < 0 && err >= 0)
			err = end;
	}
	lsvd_report(LSVD_LOG_INFO, "volume %s: closed%s", v->name,
		    err == 0 ? "" : err == 1 ? ", not everything is in the store" : " after a failure");
	lsvd_vol_destroy(v);
	return err;
}
