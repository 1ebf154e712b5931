/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_open.c - a value log is opened, recovered and closed.
 *
 * It is a lineage of the generic log without operations: everything acknowledged is in the store,
 * so a new opener may always take over, as from a volume that flushes to the store. The newest root
 * has the table of segments; records of notes after it are applied to it. There is no local state
 * at all.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/options.h"
#include "io/world_real.h"
#include "log/log_probe.h"
#include "store/store.h"
#include "vlog/vlog_internal.h"

#define LOOKS_MAX 5u
#define ANCHOR_EVERY_SIMULATED 8u
#define SEGMENT_MIN (4u << 10)
#define SEGMENT_MAX (UINT64_C(1) << 30)
#define JOIN_MAX (1u << 20)
#define PUTS_AT_ONCE 8u
#define SEGMENTS_KEPT_OPEN 64u

/* -------------------------------------------------------------------------------------- options */

static int bad_option(const char *what, uint64_t is, uint64_t least, uint64_t most)
{
	return lsvd_fail(-EINVAL, "%s is %llu, must be %llu to %llu", what, (unsigned long long)is,
			 (unsigned long long)least, (unsigned long long)most);
}

static int check_options(struct lsvd_vlog_options *o)
{
	if (!o->segment_bytes)
		o->segment_bytes = UINT64_C(64) << 20;
	if (!o->checkpoint_commits)
		o->checkpoint_commits = 64;
	if (!o->join_bytes)
		o->join_bytes = 16u << 10;
	else if (o->join_bytes == UINT32_MAX)
		o->join_bytes = 0;
	if (o->flags & ~(LSVD_VLOG_READONLY | LSVD_VLOG_CREATE | LSVD_VLOG_UNSAFE_STORE) ||
	    (o->flags & LSVD_VLOG_READONLY && o->flags & LSVD_VLOG_CREATE))
		return lsvd_fail(-EINVAL, "flags %#x cannot be", o->flags);
	if (o->segment_bytes < SEGMENT_MIN || o->segment_bytes > SEGMENT_MAX)
		return bad_option("segment_bytes", o->segment_bytes, SEGMENT_MIN, SEGMENT_MAX);
	if (o->join_bytes > JOIN_MAX)
		return bad_option("join_bytes", o->join_bytes, 1, JOIN_MAX);
	if (o->codec_count && !o->codecs)
		return lsvd_fail(-EINVAL, "%u codecs, and none given", o->codec_count);
	return 0;
}

static int take_options(struct lsvd_vlog *log, const struct lsvd_vlog_options *given)
{
	struct lsvd_vlog_options o;
	int err;

	err = lsvd_options_copy(&o, sizeof o, given, sizeof o, "value log options");
	if (!err)
		err = check_options(&o);
	if (err)
		return err;
	log->readonly = o.flags & LSVD_VLOG_READONLY;
	log->flags = o.flags;
	log->segment_bytes = o.segment_bytes;
	log->join_bytes = o.join_bytes;
	log->checkpoint_commits = o.checkpoint_commits;
	log->cache = o.cache;
	if (o.codec_count) {
		log->own_codecs = lsvd_calloc(o.codec_count, sizeof *log->own_codecs);
		if (!log->own_codecs)
			return lsvd_fail_plain(-ENOMEM);
		for (uint32_t i = 0; i < o.codec_count && !err; i++)
			err = lsvd_options_copy(&log->own_codecs[i], sizeof *log->own_codecs,
						&o.codecs[i], sizeof *log->own_codecs, "codec");
	}
	return err ? err : lsvd_vlog_codecs_init(&log->codecs, log->own_codecs, o.codec_count,
						 o.codec_ctx, o.codec);
}

/* -------------------------------------------------------------------------------------- the log */

static int commit_epoch(void *ctx, uint64_t epoch, uint64_t base_epoch, bool discard,
			uint64_t last_op)
{
	(void)ctx;
	(void)epoch;
	(void)base_epoch;
	(void)discard;
	(void)last_op;
	return 0; /* there is no local state to note it in */
}

static int load_root(void *ctx, const struct object_head *head, const uint8_t *object, size_t len)
{
	struct lsvd_vlog *log = ctx;
	char key[KEY_CAP];
	int err;

	lsvd_key_root(key, &log->uuid, head->epoch, head->seq);
	err = lsvd_vlog_root_decode(&log->table, head, object, len, key);
	if (!err)
		log->root = (struct root_ref){ head->epoch, head->seq };
	return err;
}

static void fenced(void *ctx, int err)
{
	struct lsvd_vlog *log = ctx;

	log->failed = err;
	lsvd_report(LSVD_LOG_ERROR, "value log %s: %s", log->name, lsvd_last_error());
	lsvd_port_changed(&log->port);
}

static void unavailable(void *ctx, bool yes, int err)
{
	struct lsvd_vlog *log = ctx;

	if (yes)
		lsvd_report(LSVD_LOG_WARN, "value log %s: the store refuses (%s), trying again",
			    log->name, lsvd_error_name(err));
	else
		lsvd_report(LSVD_LOG_INFO, "value log %s: the store serves again", log->name);
}

static const struct log_ops log_ops = {
	.commit_epoch = commit_epoch,
	.load_root = load_root,
	.replay = lsvd_vlog_replay_object,
	.record = lsvd_vlog_replay_record,
	.fenced = fenced,
	.unavailable = unavailable,
};

static int open_log(struct lsvd_vlog *log)
{
	struct log_options o = {
		.volume = log->uuid,
		.volume_bytes = SECTOR_BYTES, /* what has none says one */
		.readonly = log->readonly,
		.takeover = true,
		.flush_remote = true,
		.put_window = PUTS_AT_ONCE,
		.anchor_every = log->anchor_every,
		.name = log->name,
	};
	char host[65] = "";
	int err;

	/* Only shown to people, by whoever finds the claim. */
	if (log->own_world && gethostname(host, sizeof host - 1) == 0)
		o.host = host;
	if (log->own_world)
		o.pid = (uint64_t)getpid();
	err = lsvd_log_open(&log->log, &log->opened, &log->port, &o, &log_ops, log);
	return err ? err : lsvd_log_recover(log->log);
}

static void forget_log(struct lsvd_vlog *log)
{
	lsvd_port_settle(&log->port);
	log->port.ending = false;
	lsvd_log_free(log->log);
	log->log = NULL;
	lsvd_vlog_table_fini(&log->table);
	log->root = (struct root_ref){ 0, 0 };
	log->commits_since_root = 0;
}

/*
 * A writer that is serving may delete what a reader is about to read: what is missing then is not
 * missed when it looks again.
 */
static int open_log_patiently(struct lsvd_vlog *log)
{
	int err = open_log(log);

	for (unsigned i = 1; log->readonly && err == LSVD_E_CORRUPT && i < LOOKS_MAX; i++) {
		forget_log(log);
		err = open_log(log);
	}
	return err;
}

/* ----------------------------------------------------------------------------- opening, closing */

static uint64_t next_id(void)
{
	static uint64_t ids; /* atomic: any threads may open */

	return __atomic_add_fetch(&ids, 1, __ATOMIC_RELAXED);
}

static void free_log(struct lsvd_vlog *log)
{
	lsvd_log_free(log->log);
	lsvd_vlog_table_fini(&log->table);
	lsvd_port_fini(&log->port);
	if (log->own_world)
		lsvd_world_real_close(log->world);
	lsvd_free(log->own_codecs);
	lsvd_free(log);
}

static int find_record(struct lsvd_vlog *log)
{
	struct fmt_volume record;
	int err = lsvd_lineage_find(&log->port, OBJECT_VLOG, log->name, &record);

	if (err == -ENOENT && log->flags & LSVD_VLOG_CREATE) {
		err = lsvd_vlog_create_world(log->world, log->name,
					     log->flags & LSVD_VLOG_UNSAFE_STORE);
		if (!err || err == -EEXIST)
			err = lsvd_lineage_find(&log->port, OBJECT_VLOG, log->name, &record);
	}
	if (err)
		return err;
	log->uuid = record.uuid;
	log->owner = lsvd_uuid_seed(&record.uuid);
	return 0;
}

static int open_it(struct lsvd_vlog *log, const struct lsvd_vlog_options *options)
{
	int err;

	err = take_options(log, options);
	if (!err)
		err = find_record(log);
	if (!err && !log->readonly)
		err = lsvd_vlog_check_store(&log->port, log->flags);
	if (!err)
		err = open_log_patiently(log);
	if (err)
		return err;
	log->given = log->opened.next_object - 1;
	log->dirty = false;
	lsvd_report(LSVD_LOG_INFO, "value log %s: open, epoch %llu, %zu segments", log->name,
		    (unsigned long long)log->opened.epoch, log->table.count);
	return 0;
}

static int open_on(struct lsvd_vlog **ret, struct world *world, bool own, const char *name,
		   const struct lsvd_vlog_options *options)
{
	struct lsvd_vlog *log;
	int err;

	if (!name || !lsvd_name_valid(name))
		return lsvd_fail(-EINVAL, "\"%s\" cannot be the name of a value log",
				 name ? name : "(null)");
	log = lsvd_calloc(1, sizeof *log);
	if (!log)
		return lsvd_fail_plain(-ENOMEM);
	(void)snprintf(log->name, sizeof log->name, "%s", name); /* checked to fit */
	log->world = world;
	log->anchor_every = own ? CHAIN_ANCHOR_EVERY : ANCHOR_EVERY_SIMULATED;
	log->id = next_id();
	err = lsvd_port_init(&log->port, world);
	if (err) {
		lsvd_free(log);
		return err;
	}
	log->own_world = own;
	err = open_it(log, options);
	if (err) {
		log->own_world = false; /* the world is still the caller's */
		free_log(log);
		return err;
	}
	*ret = log;
	return 0;
}

int lsvd_vlog_open_world(struct lsvd_vlog **ret, struct world *world, const char *name,
			 const struct lsvd_vlog_options *options)
{
	return open_on(ret, world, false, name, options);
}

int lsvd_vlog_open(struct lsvd_vlog **ret, struct lsvd_store *store, const char *name,
		   const struct lsvd_vlog_options *options)
{
	struct world *world;
	int err;

	if (!store)
		return lsvd_fail(-EINVAL, "value log %s: no store", name ? name : "(null)");
	err = lsvd_world_real_open(&world, store, NULL, false);
	if (err)
		return err;
	lsvd_store_keep_open(store, SEGMENTS_KEPT_OPEN);
	err = open_on(ret, world, true, name, options);
	if (err)
		lsvd_world_real_close(world);
	return err;
}

static bool nothing_in_world(const struct lsvd_vlog *log)
{
	return log->port.in_world == 0 && list_empty(&log->port.out) &&
	       list_empty(&log->port.calls);
}

int lsvd_vlog_close(struct lsvd_vlog *log)
{
	int err = 0;

	if (!log)
		return 0;
	if (log->dirty && !log->readonly && !log->failed)
		err = lsvd_vlog_write_root(log);
	if (!err && !log->readonly && !log->failed && !lsvd_vlog_root_is_named(log))
		err = lsvd_vlog_note_root(log); /* else the next open does not find it */
	lsvd_port_enter(&log->port);
	log->closing = true;
	lsvd_log_cancel(log->log, LSVD_E_SHUTDOWN);
	while (!nothing_in_world(log))
		lsvd_port_wait(&log->port);
	lsvd_port_leave(&log->port, true);
	lsvd_port_settle(&log->port);
	lsvd_vlog_cache_drop(log->cache, log->id, UINT64_MAX);
	free_log(log);
	return err;
}

/* ------------------------------------------------------------------------------------- the rest */

int lsvd_vlog_refuse_write(const struct lsvd_vlog *log)
{
	if (log->readonly)
		return lsvd_fail(-EROFS, "value log %s is open read-only", log->name);
	if (log->failed)
		return lsvd_fail(log->failed, "value log %s: %s", log->name,
				 lsvd_strerror(log->failed));
	if (log->closing)
		return lsvd_fail_plain(LSVD_E_SHUTDOWN);
	return 0;
}

void lsvd_vlog_pause(struct lsvd_vlog *log, uint64_t ms)
{
	struct timer_io t = { .io = { .kind = IO_TIMER } };

	t.at_ms = log->world->clk->now_ms(log->world) + ms;
	(void)lsvd_port_run1(&log->port, &t.io); /* a timer ends; early would do as well */
}

const char *lsvd_vlog_name(const struct lsvd_vlog *log)
{
	return log->name;
}

uint64_t lsvd_vlog_id(const struct lsvd_vlog *log)
{
	return log->id;
}

size_t lsvd_vlog_segment_count(struct lsvd_vlog *log)
{
	size_t n;

	lsvd_port_enter(&log->port);
	n = log->table.count;
	lsvd_port_leave(&log->port, false);
	return n;
}
