/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check_cache.c - the cache directory of a volume: its local log and its mirror, against the store.
 *
 * Both are read as an open reads them, and nothing is written. What is damaged in the log and
 * stored already does no harm; what is not stored is lost, which an open would refuse. The mirror
 * is a copy of what the store has, for opening without it.
 *
 * The log is opened, and locked, before anything else is looked at: whoever serves the volume is
 * met at once, and nobody begins to meanwhile.
 */
#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "volume/vol_check.h"
#include "volume/vol_mirror.h"

static void say(struct check *c, enum lsvd_check_severity severity, const char *file,
		const char *advice)
{
	const struct check_fault f = { .severity = severity, .kind = LSVD_CHECK_CACHE,
				       .object = file, .advice = advice };

	lsvd_check_found_last(c, &f);
}

static void log_name(const struct check *c, char name[static LSVD_NAME_MAX + 8])
{
	(void)snprintf(name, LSVD_NAME_MAX + 8, "%s.log", c->v->name); /* LSVD_NAME_MAX + 4 */
}

/* What the store has, by its newest chain object. */
static int stored(struct check *c, uint64_t *ret_op)
{
	struct check_header h;
	int err;

	*ret_op = 0;
	if (!c->leg_count)
		return 0;
	h = (struct check_header){ .epoch = c->legs[0].epoch, .seq = c->legs[0].last };
	err = lsvd_check_headers(c, &h, 1, true);
	if (err)
		return err;
	if (!h.err)
		*ret_op = h.chain.last_op;
	lsvd_check_free_headers(&h, 1);
	return 0;
}

static void check_groups(struct check *c, const struct wal *w, const struct wal_found *found,
			 uint64_t stored_op, const char *file)
{
	uint64_t last = 0;
	bool cut = false;
	int err = lsvd_wal_holds(w, stored_op, false, &last, &cut);

	if (err == LSVD_E_CORRUPT) {
		say(c, LSVD_CHECK_ERROR, file, "open it with --accept-rollback: what is damaged "
		    "was not stored yet, and is lost");
		return;
	}
	if (found->gaps) {
		(void)lsvd_fail(LSVD_E_CORRUPT, "%s: damaged in %u places, which the store has",
				file, found->gaps);
		say(c, LSVD_CHECK_WARNING, file, "nothing: the next open passes over it");
	}
	if (found->last_op > stored_op && found->last_op >= found->first_op) {
		(void)lsvd_fail(-EAGAIN, "%s: has %llu operations that the store does not have",
				file, (unsigned long long)(found->last_op - stored_op));
		say(c, LSVD_CHECK_INFO, file, "open the volume with this cache next");
	} else if (!found->fresh && found->last_op < stored_op) {
		(void)lsvd_fail(-EAGAIN, "%s: ends with operation %llu, the store has %llu", file,
				(unsigned long long)found->last_op, (unsigned long long)stored_op);
		say(c, LSVD_CHECK_WARNING, file,
		    "it is older than the store: another cache, or a copy that was put back");
	}
}

int lsvd_check_lock(struct check *c)
{
	char name[LSVD_NAME_MAX + 8];
	const struct wal_options o = { .name = name, .volume = c->v->uuid, .readonly = true,
				       .existing = true };
	int err;

	if (!c->opt.cache_dir)
		return 0;
	log_name(c, name);
	c->log = (struct wal_found){ .fresh = true };
	err = lsvd_wal_open(&c->v->wal, &c->log, &c->v->port, &o, &lsvd_vol_wal_ops, c->v);
	if (err == LSVD_E_CORRUPT || err == LSVD_E_VERSION || err == LSVD_E_FOREIGN_CACHE) {
		say(c, LSVD_CHECK_ERROR, name, "open the volume with an empty cache directory and "
		    "--accept-rollback");
		return 0;
	}
	c->log_open = !err;
	if (err == LSVD_E_LOCKED)
		return lsvd_fail_context(err, "volume %s is served here, or a command is at work "
					 "on it: end that first", c->v->name);
	return err == -ENOENT ? 0 : err;
}

static int check_log(struct check *c)
{
	char name[LSVD_NAME_MAX + 8];
	uint64_t stored_op = 0;
	int err;

	if (!c->log_open)
		return 0;
	log_name(c, name);
	err = stored(c, &stored_op);
	if (!err)
		check_groups(c, c->v->wal, &c->log, stored_op, name);
	return err;
}

int lsvd_check_cache(struct check *c)
{
	int err;

	if (!c->opt.cache_dir)
		return 0;
	err = check_log(c);
	for (unsigned i = 0; i < 2 && !err; i++) {
		char name[MIRROR_NAME_CAP];

		lsvd_mirror_name(name, sizeof name, c->v->name, i);
		err = lsvd_mirror_verify(c->v, i);
		if (err == LSVD_E_CORRUPT || err == LSVD_E_VERSION) {
			say(c, LSVD_CHECK_WARNING, name, "nothing: the next open makes it anew; "
			    "until then the volume cannot be opened offline");
			err = 0;
		}
	}
	return err;
}
