/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vol_log.c - local log and chain as parts of a volume: how they are opened, and what they ask and
 * tell it (log_ops).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "log/lineage.h"
#include "log/log_probe.h"
#include "volume/vol_mirror.h"
#include "volume/vol_rebuild.h"
#include "volume/volume_internal.h"

/* A segment must not fill the log alone, which may be smaller than asked for: it was there. */
static void fit_segments(struct lsvd_volume *v)
{
	struct wal_stats s;

	lsvd_wal_stats(v->wal, &s);
	while (v->opt.segment_bytes > lsvd_vol_tiny_limits.segment_least &&
	       v->opt.segment_bytes > s.capacity / 4)
		v->opt.segment_bytes /= 2;
}

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
	if (err == LSVD_E_LOCKED)
		return lsvd_fail_context(err, "volume %s is served here, or a command "
					 "is at work on it", v->name);
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

static int cache_holds(void *ctx, uint64_t stored_op, bool cut, uint64_t *ret_last_op,
		       bool *ret_cut)
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
		(void)snprintf(v->store_text, sizeof v->store_text,
			       "the store is full, and is tried again: %s", what);
	else
		(void)snprintf(v->store_text, sizeof v->store_text,
			       "the store refuses, and is asked again every %u s: %s",
			       v->opt.denied_retry_ms / 1000, what);
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
	/* A mirror would not say whose the objects are, nor what is below. */
	if (!v->readonly && !v->ancestry && !v->hides)
		lsvd_mirror_open(v);
	err = v->base && !opened->root.epoch ? lsvd_vol_load_base(v, &lsvd_vol_log_ops) : 0;
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

const struct log_ops lsvd_vol_log_ops = {
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

int lsvd_vol_open_log(struct lsvd_volume *v, const struct wal_found *found)
{
	struct log_options o = {
		.volume = v->uuid,
		.volume_bytes = v->bytes,
		.first_object = v->ancestry ? v->ancestry->own_first : 0,
		.readonly = v->readonly,
		.also_deleted = v->going,
		.accept_rollback = v->opt.flags & LSVD_OPEN_ACCEPT_ROLLBACK,
		.takeover = v->opt.flags & LSVD_OPEN_TAKEOVER,
		.flush_remote = v->opt.flush == LSVD_FLUSH_REMOTE,
		.put_window = v->opt.put_window,
		.anchor_every = v->tiny ? lsvd_vol_tiny_limits.anchor_every
					: lsvd_vol_public_limits.anchor_every,
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
	return lsvd_log_open(&v->log, &v->opened, &v->port, &o, &lsvd_vol_log_ops, v);
}
