/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check.c - the check of a volume: its stages in order, and what becomes of what they find.
 *
 * Each stage needs what the ones before it found: without a path of the history there is no map,
 * and then what is left is each object by itself.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/options.h"
#include "io/world_real.h"
#include "log/lineage.h"
#include "volume/vol_check.h"
#include "volume/vol_users.h"

const char *const lsvd_check_advice_data =
	"restore the object from a copy of the store; what lies in it reads as errors until it is "
	"written again";
const char *const lsvd_check_advice_chain =
	"restore the object from a copy of the store; without it nothing after it can be read";

#define MEMORY_DEFAULT (UINT64_C(64) << 20)

/* -------------------------------------------------------------------------------- what is found */

static void count_finding(struct check *c, const struct check_fault *f)
{
	struct lsvd_check_report *r = &c->report;

	if (f->severity == LSVD_CHECK_ERROR) {
		r->errors++;
		c->unrepairable |= !f->checkpoint;
	} else if (f->severity == LSVD_CHECK_WARNING) {
		r->warnings++;
	} else {
		r->infos++;
	}
	r->affected_bytes += f->affected;
}

static void tell(struct check *c, const struct check_fault *f, const char *text)
{
	const struct lsvd_check_finding finding = {
		.size = sizeof finding,
		.severity = (uint32_t)f->severity,
		.kind = (uint32_t)f->kind,
		.range_count = f->range_count,
		.object = f->object ? f->object : "",
		.off = f->off,
		.len = f->len,
		.ranges = f->ranges,
		.affected_bytes = f->affected,
		.text = text,
		.advice = f->advice ? f->advice : "",
	};

	count_finding(c, f);
	if (c->opt.finding)
		c->opt.finding(c->opt.ctx, &finding);
}

void lsvd_check_found(struct check *c, const struct check_fault *f, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof text, format, ap); /* cut at worst */
	va_end(ap);
	tell(c, f, text);
}

void lsvd_check_found_last(struct check *c, const struct check_fault *f)
{
	char text[512];

	(void)snprintf(text, sizeof text, "%s", lsvd_last_error()); /* the caller's may change it */
	tell(c, f, text);
}

enum lsvd_check_kind lsvd_check_kind_of(int err)
{
	return err == -ENOENT ? LSVD_CHECK_MISSING
	       : err == LSVD_E_VERSION ? LSVD_CHECK_NEWER : LSVD_CHECK_DAMAGED;
}

int lsvd_check_progress(struct check *c, enum lsvd_check_stage stage, uint64_t done, uint64_t total)
{
	c->report.stage = (uint32_t)stage;
	if (!c->opt.progress || !c->opt.progress(c->opt.ctx, (uint32_t)stage, done, total))
		return 0;
	return lsvd_fail(-ECANCELED, "volume %s: the check was ended before it was over",
			 c->v->name);
}

void lsvd_check_add_range(struct check_ranges *r, uint64_t lba, uint64_t sectors)
{
	uint64_t off = lba * SECTOR_BYTES, len = sectors * SECTOR_BYTES;
	struct lsvd_check_range *last = r->count ? &r->at[r->count - 1] : NULL;

	r->bytes += len;
	if (last && last->off + last->len == off)
		last->len += len;
	else if (r->count < CHECK_RANGES)
		r->at[r->count++] = (struct lsvd_check_range){ off, len };
}

/* ----------------------------------------------------------------------------------- the stages */

static int check_record(struct check *c)
{
	struct check_fault f = { .severity = LSVD_CHECK_ERROR };
	struct lsvd_volume *v = c->v;
	struct fmt_volume record;
	char key[KEY_CAP];
	int err = lsvd_lineage_find(&v->port, OBJECT_VOLUME, v->name, &record);

	if (err == LSVD_E_CORRUPT || err == LSVD_E_VERSION) {
		lsvd_key_record(key, OBJECT_VOLUME, v->name);
		f.object = key;
		f.kind = lsvd_check_kind_of(err);
		f.advice = "restore this object from a copy: nothing else says which objects "
			   "are the volume's";
		lsvd_check_found_last(c, &f);
		return 1;
	}
	if (err)
		return err;
	v->uuid = record.uuid;
	v->owner = lsvd_uuid_seed(&v->uuid);
	v->bytes = record.bytes;
	v->sectors = v->bytes / SECTOR_BYTES;
	lsvd_vol_take_lowers(v, &record.lowers);
	return record.base.ancestors ? lsvd_vol_take_base(v, &record.base) : 0;
}

static void say_dead(void *ctx, const struct uuid *snapshot, const char *clone)
{
	struct check_fault f = { .severity = LSVD_CHECK_INFO, .kind = LSVD_CHECK_ORPHAN,
				 .advice = "it goes with the snapshot, which it does not keep "
					   "from being deleted" };
	struct check *c = ctx;
	char key[KEY_CAP];

	lsvd_key_slot(key, &c->v->uuid, snapshot, 0);
	f.object = key;
	lsvd_check_found(c, &f, "volume %s has an entry of a clone %s, which is not there",
			 c->v->name, clone);
}

/* Does it know of clones that were begun and never made? */
static int check_clones(struct check *c)
{
	int err = lsvd_vol_each_dead_user(c->v, say_dead, c);

	if (err == LSVD_E_CORRUPT) {
		struct check_fault f = { .severity = LSVD_CHECK_WARNING, .kind = LSVD_CHECK_DAMAGED,
					 .advice = "restore it from a copy: until then snapshots "
						   "of the volume cannot be deleted" };

		f.object = c->v->name;
		lsvd_check_found_last(c, &f);
		return 0;
	}
	return err;
}

static int run_stages(struct check *c)
{
	int err = lsvd_check_progress(c, LSVD_CHECK_LISTING, 0, 0);

	if (!err)
		err = check_record(c);
	if (!err)
		err = lsvd_check_lock(c);
	if (!err)
		err = lsvd_check_list(c);
	if (!err)
		err = lsvd_check_claims(c);
	if (!err)
		err = check_clones(c);
	if (!err)
		err = lsvd_check_path(c);
	if (!err)
		err = lsvd_check_root(c);
	if (!err)
		err = lsvd_check_replay(c);
	if (!err)
		err = lsvd_check_map(c);
	if (!err)
		err = lsvd_check_cache(c);
	if (!err && c->opt.flags & LSVD_CHECK_DEEP)
		err = lsvd_check_data(c);
	if (!err)
		err = lsvd_check_unchanged(c);
	if (err > 0)
		return 0; /* no stage can go on, and it has been said why */
	c->report.complete = !err && !c->partial;
	return err;
}

static int check_on(struct world *world, bool own_world, const char *name,
		    const struct lsvd_check_options *opt, struct rebuild *rebuild,
		    struct lsvd_check_report *report)
{
	struct lsvd_check_report r = LSVD_CHECK_REPORT_INIT;
	struct check c = { .opt = *opt, .report = r, .rebuild = rebuild };
	int err;

	c.v = lsvd_vol_new(world, own_world, name);
	if (!c.v) {
		if (own_world)
			lsvd_world_real_close(world);
		return lsvd_fail_plain(-ENOMEM);
	}
	c.v->readonly = true;
	c.anchor_every = own_world ? CHAIN_ANCHOR_EVERY : VOL_TINY_ANCHOR_EVERY;
	err = lsvd_vol_new_map(c.v);
	if (!err)
		err = run_stages(&c);
	c.report.gets = c.v->stats.recovery_gets;
	c.report.get_bytes = c.v->stats.recovery_get_bytes;
	c.report.repairable = c.report.errors && !c.unrepairable && c.checkpoint_bad;
	lsvd_vol_destroy(c.v);
	lsvd_free(c.objects);
	lsvd_free(c.legs);
	if (report) {
		int fill = lsvd_options_fill(report, &c.report, sizeof c.report, sizeof c.report,
					     "check report");
		err = err ? err : fill;
	}
	return err;
}

/* ------------------------------------------------------------------------------------- the call */

int lsvd_check_options(struct lsvd_check_options *ret, const struct lsvd_check_options *given)
{
	int err = lsvd_options_copy(ret, sizeof *ret, given, sizeof *ret, "check options");

	if (!err && ret->flags & ~LSVD_CHECK_DEEP)
		err = lsvd_fail(-EINVAL, "flags are %#x, may be %#x", ret->flags, LSVD_CHECK_DEEP);
	for (unsigned i = 0; i < LSVD_ARRAY_LEN(ret->reserved) && !err; i++)
		if (ret->reserved[i])
			err = lsvd_fail(-E2BIG, "option reserved[%u] is set: it means nothing to "
					"this library (use the INIT macro)", i);
	if (!ret->memory_bytes)
		ret->memory_bytes = MEMORY_DEFAULT;
	return err;
}

int lsvd_volume_check_world(struct world *world, const char *name,
			    const struct lsvd_check_options *options,
			    struct lsvd_check_report *report)
{
	struct lsvd_check_options opt;
	int err = lsvd_check_options(&opt, options);

	return err ? err : check_on(world, false, name, &opt, NULL, report);
}

static int check_in(struct lsvd_store *store, const char *name,
		    const struct lsvd_check_options *options, struct rebuild *rebuild,
		    struct lsvd_check_report *report)
{
	struct lsvd_check_options opt;
	struct world *world;
	int err = lsvd_check_options(&opt, options);

	if (!err && (!name || !lsvd_name_valid(name)))
		err = lsvd_fail(-EINVAL, "\"%s\" cannot be the name of a volume",
				name ? name : "(null)");
	if (!err)
		err = lsvd_options_check(report, sizeof *report, "check report");
	if (!err && !store)
		err = lsvd_fail(-EINVAL, "volume %s: no store", name);
	if (!err)
		err = lsvd_world_real_open(&world, store, opt.cache_dir, false);
	return err ? err : check_on(world, true, name, &opt, rebuild, report);
}

int lsvd_check_for_rebuild(struct lsvd_store *store, const char *name, struct rebuild *rebuild,
			   struct lsvd_check_report *report)
{
	return check_in(store, name, NULL, rebuild, report);
}

int lsvd_volume_check(struct lsvd_store *store, const char *name,
		      const struct lsvd_check_options *options, struct lsvd_check_report *report)
{
	return check_in(store, name, options, NULL, report);
}
