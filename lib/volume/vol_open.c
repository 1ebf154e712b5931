/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_open.c - opening a volume: procedures, on the caller's thread.
 *
 * In order: the volume record (name to identity and size), the local log as it is found, the chain
 * (which decides whether that log is still part of the volume, and takes the next epoch), the
 * newest root and the chain after it into the store map, and then the log's operations that the
 * store does not have: into the overlay, and as segments on their way again.
 */
#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/err.h"
#include "io/world_real.h"
#include "log/lineage.h"
#include "log/log_probe.h"
#include "volume/shared_rcache.h"
#include "volume/vol_mirror.h"
#include "volume/vol_rebuild.h"
#include "volume/volume_internal.h"

#define RACE_TRIES 10u
#define READ_TRIES 5u
#define OPEN_RACES 1u           /* the long form is for creation, and for who asks */

static const enum codec codec_of[] = {
	[LSVD_COMPRESS_NONE] = CODEC_RAW,
	[LSVD_COMPRESS_LZ4] = CODEC_LZ4,
	[LSVD_COMPRESS_ZLIB] = CODEC_ZLIB,
};

void lsvd_vol_destroy(struct lsvd_volume *v)
{
	lsvd_port_settle(&v->port);
	lsvd_vol_close_lowers(v);
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

static int find_volume(struct lsvd_volume *v)
{
	struct fmt_volume record;
	int err;

	if (v->going)
		return 0;
	err = lsvd_lineage_find(&v->port, OBJECT_VOLUME, v->name, &record);
	if (err)
		return err;
	v->uuid = record.uuid;
	v->stats.recovery_gets++;
	v->stats.recovery_get_bytes += FMT_VOLUME_BYTES;
	v->created_ms = record.created_ms;
	v->owner = lsvd_uuid_seed(&v->uuid);
	lsvd_vol_set_bytes(v, record.bytes);
	err = record.base.ancestors ? lsvd_vol_take_base(v, &record.base) : 0;
	if (err || !record.lowers.count)
		return err;
	lsvd_vol_take_lowers(v, &record.lowers);
	return v->listing ? 0 : lsvd_vol_open_lowers(v, &record.lowers);
}

static void start_mirror(struct lsvd_volume *v)
{
	lsvd_port_enter(&v->port);
	lsvd_mirror_start(v, false);
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
	return lsvd_vol_new_map(v);
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
	int err = lsvd_vol_open_log(v, found);

	for (unsigned i = 0; i < READ_TRIES && err == LSVD_E_CORRUPT && v->readonly; i++) {
		before = v->opened;
		err = forget_all(v);
		if (!err)
			err = lsvd_vol_open_log(v, found);
		if (err == LSVD_E_CORRUPT && same_end(&before, &v->opened))
			break;
	}
	return err;
}

static int read_snapshot(struct lsvd_volume *v, const struct snapshot *s)
{
	const struct log_options o = { .volume = v->uuid, .volume_bytes = s->bytes,
				       .name = v->name };
	int err;

	lsvd_vol_set_bytes(v, s->bytes);
	err = lsvd_log_read(&v->port, &o, &lsvd_vol_log_ops, v, s->root, s->at.epoch, s->at.seq);
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
		w->hides = v->hides;
		w->opt.map_memory_bytes = v->opt.map_memory_bytes;
		err = v->base ? lsvd_vol_take_base(w, v->base) : 0;
	}
	if (!err)
		err = lsvd_vol_new_map(w);
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
	err = lsvd_vol_open_log(v, &none);
	v->listing = false;
	if (err)
		return err;
	found = lsvd_snapshots_by_name(&v->snapshots, name);
	if (!found)
		return lsvd_fail(-ENOENT, "volume %s has no snapshot \"%s\"", v->name, name);
	s = *found;
	v->past = s.id;
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

static int open_rcache(struct lsvd_volume *v)
{
	if (!v->opt.cache_dir || v->opt.rcache_bytes == UINT64_MAX || v->tiny ||
	    (v->readonly && !(v->opt.flags & LSVD_OPEN_RCACHE)))
		return 0;
	return lsvd_shared_rcache_get(&v->rcache, v->opt.cache_dir, v->opt.rcache_bytes);
}

/* What of the cache directory cannot be used is found out before anything is claimed. */
static int open_reading(struct lsvd_volume *v, struct wal_found *found)
{
	int err = v->listing || v->opt.snapshot ? 0 : lsvd_vol_open_wal(v, found);

	if (!err)
		err = open_rcache(v);
	if (err)
		return err;
	return v->opt.snapshot ? open_snapshot(v) : open_log_patiently(v, found);
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
		err = lsvd_vol_new_map(v);
	if (!err)
		err = open_reading(v, &found);
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
		lsvd_report(LSVD_LOG_WARN, "volume %s: went on from what the store has, operation "
			    "%llu, as asked", v->name, (unsigned long long)v->opened.last_op);
	if (v->offline)
		lsvd_report(LSVD_LOG_WARN, "volume %s: the store is not used: nothing is stored, "
			    "and what the cache does not have cannot be read, until it is opened "
			    "again with the store", v->name);
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
	v->tiny = !own_world;
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

/* Takes the volume, also on failure. */
static int open_new(struct lsvd_volume **ret, struct lsvd_volume *v,
		    const struct lsvd_volume_options *opt)
{
	int err;

	v->opt = *opt;
	v->readonly = opt->flags & LSVD_OPEN_READONLY;
	v->seg_opt = (struct seg_options){ .codec = codec_of[opt->compression],
					   .unit_bytes = opt->unit_bytes };
	v->offline = opt->flags & LSVD_OPEN_OFFLINE;
	lsvd_vol_ahead_init(v, opt->read_ahead_bytes);
	err = open_parts(v);
	if (err) {
		char text[512];

		/* survives the clean-up */
		(void)snprintf(text, sizeof text, "%s", lsvd_last_error());
		lsvd_vol_stop(v, LSVD_E_SHUTDOWN);
		lsvd_vol_destroy(v);
		lsvd_error_restore(text);
		return err;
	}
	if (!v->listing)
		report_opened(v);
	lsvd_port_enter(&v->port);
	lsvd_vol_gc_look(v);
	lsvd_port_leave(&v->port, true);
	*ret = v;
	return 0;
}

static int open_on(struct lsvd_volume **ret, struct world *world, bool own_world, const char *name,
		   const struct lsvd_volume_options *opt, bool listing, struct rebuild *rebuild)
{
	struct lsvd_volume *v = lsvd_vol_new(world, own_world, name);

	if (!v) {
		if (own_world)
			lsvd_world_real_close(world);
		return lsvd_fail_plain(-ENOMEM);
	}
	v->listing = listing;
	v->rebuild = rebuild;
	return open_new(ret, v, opt);
}

int lsvd_vol_open_under(struct lsvd_volume **ret, const struct lsvd_volume *upper, const char *name,
			const struct lsvd_volume_options *opt)
{
	struct lsvd_volume *v = lsvd_vol_new(upper->world, false, name);

	if (!v)
		return lsvd_fail_plain(-ENOMEM);
	v->tiny = upper->tiny;
	return open_new(ret, v, opt);
}

static int check_name(const char *name)
{
	if (!name || !lsvd_name_valid(name))
		return lsvd_fail(-EINVAL, "volume name \"%s\": must be 1 to %u of A-Z a-z "
				 "0-9 _ . - and not begin with . or -", name ? name : "(null)",
				 LSVD_NAME_MAX);
	return 0;
}

int lsvd_volume_open_world(struct lsvd_volume **ret, struct world *world, const char *name,
			   const struct lsvd_volume_options *options)
{
	struct lsvd_volume_options o;
	int err = check_name(name);

	if (!err)
		err = lsvd_vol_set_options(&o, options, &lsvd_vol_tiny_limits);
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
		err = lsvd_vol_set_options(&o, options, &lsvd_vol_public_limits);
	if (!err && o.flags & LSVD_OPEN_OFFLINE)
		err = lsvd_fail(-EINVAL,
				"flag LSVD_OPEN_OFFLINE: a repair is of what the store has");
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
	if (!err && !store && !world)
		err = lsvd_fail(-EINVAL, "volume %s: no store", name);
	if (!err)
		err = lsvd_vol_set_options(&o, &given, &lsvd_vol_public_limits);
	if (!err && store)
		err = lsvd_world_real_open(&world, store, NULL, false);
	return err ? err : open_on(ret, world, store != NULL, name, &o, true, NULL);
}

int lsvd_vol_open_going(struct lsvd_volume **ret, struct world *world, bool tiny,
			const struct uuid *uuid)
{
	static const struct lsvd_volume_options reading = { .flags = LSVD_OPEN_READONLY };
	char text[UUID_TEXT_LEN + 1];
	struct lsvd_volume *v;

	lsvd_uuid_format(uuid, text);
	v = lsvd_vol_new(world, false, text);
	if (!v)
		return lsvd_fail_plain(-ENOMEM);
	v->tiny = tiny;
	v->listing = v->going = true;
	v->uuid = *uuid;
	v->owner = lsvd_uuid_seed(uuid);
	return open_new(ret, v, &reading);
}

int lsvd_volume_open(struct lsvd_volume **ret, struct lsvd_store *store, const char *name,
		     const struct lsvd_volume_options *options)
{
	struct lsvd_volume_options o;
	int err = check_name(name);

	if (!err)
		err = lsvd_vol_set_options(&o, options, &lsvd_vol_public_limits);
	if (err)
		return err;
	if (!store && !(o.flags & LSVD_OPEN_OFFLINE))
		return lsvd_fail(-EINVAL, "volume %s: no store", name);
	err = open_real(ret, store, name, &o);
	/*
	 * Another claimed it in between, and may have been refused in its turn: without another try
	 * two that open at the same instant could both fail. Our cache has noted our claim, so if
	 * nobody has come to serve it needs no flag. If somebody has, a rollback was not accepted
	 * for what he acknowledges; a takeover loses nothing that was flushed, and whoever comes
	 * last has it: a claim that is refused fences a writer, too, and then nobody could write.
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
