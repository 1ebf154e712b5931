/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_check.c - "lsvd-admin check": is what the store has of a volume whole?
 *
 * What is found is printed as it is found, one finding with its facts below it; with --json it is
 * gathered. What is only information is shown with --verbose.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <lsvd/check.h>

#include "admin/cmd.h"
#include "admin/long.h"
#include "admin/output.h"
#include "admin/progress.h"
#include "admin/reach.h"
#include "common/facts.h"

struct check {
	struct admin admin;
	struct reach_options reach;
	bool deep, verbose, repair;
	struct lsvd_repair_report repaired;
	bool store_only;
	struct facts_rows findings; /* --json */
	json_t *repaired_findings;  /* what a repair was to mend; NULL: there was none */
	uint32_t shown; /* the stage whose line stands there, and 1; 0: none */
};

static const char *const severities[] = {"info", "warning", "error"};
static const char *const kinds[] = {"",        "damaged", "length", "missing", "foreign",
				    "newer",   "astray",  "orphan", "cache",   "torn"};
static const char *const stages[] = {"listing", "claims", "chain", "map", "data"};

static const char *name_in(const char *const *names, size_t n, uint32_t i)
{
	return i < n ? names[i] : "?";
}
#define NAME(names, i) name_in(names, sizeof(names) / sizeof *(names), i)

/* ------------------------------------------------------------------------------------- findings */

static void print_ranges(const struct lsvd_check_finding *f)
{
	char bytes[32];

	if (!f->affected_bytes)
		return;
	output_bytes(bytes, f->affected_bytes);
	(void)printf("  cannot be read: %s of the volume, at", bytes);
	for (uint32_t i = 0; i < f->range_count; i++)
		(void)printf("%s %llu+%llu", i ? "," : "", (unsigned long long)f->ranges[i].off,
			     (unsigned long long)f->ranges[i].len);
	(void)printf("\n");
}

static void print_finding(const struct lsvd_check_finding *f)
{
	progress_clear();
	(void)printf("%s: %s: %s\n", NAME(severities, f->severity), NAME(kinds, f->kind), f->text);
	if (f->len)
		(void)printf("  object %s, bytes %llu to %llu\n", f->object,
			     (unsigned long long)f->off, (unsigned long long)(f->off + f->len - 1));
	print_ranges(f);
	if (*f->advice)
		(void)printf("  what to do: %s\n", f->advice);
}

static void keep_finding(struct check *c, const struct lsvd_check_finding *f)
{
	struct facts_rows ranges;

	facts_rows_begin(&ranges);
	for (uint32_t i = 0; i < f->range_count; i++)
		/* the end says it */
		(void)facts_rows_add(&ranges, json_pack("{s:I, s:I}", "offset",
							(json_int_t)f->ranges[i].off, "length",
							(json_int_t)f->ranges[i].len));
	(void)facts_rows_add(&c->findings, /* so does that of these */
			     json_pack("{s:s, s:s, s:o, s:I, s:I, s:I, s:o, s:o, s:s}", "severity",
				       NAME(severities, f->severity), "kind", NAME(kinds, f->kind),
				       "object", facts_text(f->object), "offset",
				       (json_int_t)f->off, "length", (json_int_t)f->len,
				       "affected_bytes", (json_int_t)f->affected_bytes, "ranges",
				       facts_rows_end(&ranges), "text", facts_text(f->text),
				       "advice", f->advice));
}

static void take_finding(void *ctx, const struct lsvd_check_finding *f)
{
	struct check *c = ctx;

	if (c->admin.json)
		keep_finding(c, f);
	else if (f->severity > LSVD_CHECK_INFO || c->verbose)
		print_finding(f);
}

/* ------------------------------------------------------------------------------------- progress */

static void begin_stage(uint32_t stage, uint64_t total)
{
	if (stage == LSVD_CHECK_CLAIMS)
		progress_begin_count("check", "claims", total);
	else if (stage == LSVD_CHECK_CHAIN)
		progress_begin_count("check", "objects", total);
	else if (stage == LSVD_CHECK_MAP)
		progress_begin_count("check", "sectors", total);
	else
		progress_begin("check", total);
}

static int take_progress(void *ctx, uint32_t stage, uint64_t done, uint64_t total)
{
	struct check *c = ctx;

	if (total && c->shown != stage + 1) {
		c->shown = stage + 1;
		begin_stage(stage, total);
	}
	if (total)
		progress_show(done);
	return admin_stopped();
}

/* -------------------------------------------------------------------------------------- the end */

static json_t *facts(struct check *c, const struct lsvd_check_report *r)
{
	return json_pack(
		"{s:s, s:b, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
		"s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:b, s:o, s:O*}",
		"name", c->admin.name, "sound", r->errors == 0 && r->complete, "complete",
		(int)r->complete, "deep", (int)c->deep, "errors", (json_int_t)r->errors, "warnings",
		(json_int_t)r->warnings, "objects", (json_int_t)r->objects, "stored_bytes",
		(json_int_t)r->bytes, "chain_objects", (json_int_t)r->chain_objects, "pages",
		(json_int_t)r->pages, "extents", (json_int_t)r->extents, "live_bytes",
		(json_int_t)r->live_bytes, "data_objects", (json_int_t)r->data_objects,
		"verified_objects", (json_int_t)r->verified_objects, "verified_bytes",
		(json_int_t)r->verified_bytes, "orphans", (json_int_t)r->orphans, "orphan_bytes",
		(json_int_t)r->orphan_bytes, "dead_objects", (json_int_t)r->dead_objects,
		"dead_bytes", (json_int_t)r->dead_bytes, "affected_bytes",
		(json_int_t)r->affected_bytes, "requests", (json_int_t)r->gets, "request_bytes",
		(json_int_t)r->get_bytes, "stage", NAME(stages, r->stage), "repaired",
		(int)c->repaired.repaired, "findings", facts_rows_end(&c->findings),
		"repaired_findings", c->repaired_findings);
}

static int print_text(const struct check *c, const struct lsvd_check_report *r)
{
	char bytes[32], verified[32], live[32], orphans[32];

	output_bytes(bytes, r->bytes);
	output_bytes(verified, r->verified_bytes);
	output_bytes(live, r->live_bytes);
	output_bytes(orphans, r->orphan_bytes);
	(void)printf("volume %s: %s: %llu errors, %llu warnings\n", c->admin.name,
		     r->errors ? "damaged" : r->complete ? "sound" : "not all of it was looked at",
		     (unsigned long long)r->errors, (unsigned long long)r->warnings);
	(void)printf("  %llu objects, %s; %llu extents, %s live\n", (unsigned long long)r->objects,
		     bytes, (unsigned long long)r->extents, live);
	if (c->deep)
		(void)printf("  every byte of %llu data objects verified, %s\n",
			     (unsigned long long)r->verified_objects, verified);
	if (r->orphans)
		(void)printf("  %llu objects, %s, that nothing leads to\n",
			     (unsigned long long)r->orphans, orphans);
	return ferror(stdout) ? ADMIN_FAILED : ADMIN_OK;
}

static int status_of(const struct check *c, int err, const struct lsvd_check_report *r)
{
	if (err == -ECANCELED) {
		(void)admin_error("volume %s: the check was ended while it was at the %s: %llu "
				  "errors up to there", c->admin.name, NAME(stages, r->stage),
				  (unsigned long long)r->errors);
		return ADMIN_STOPPED;
	}
	if (err < 0)
		return admin_fail();
	return r->errors || !r->complete ? ADMIN_UNSOUND : ADMIN_OK;
}

static int look(struct check *c, struct lsvd_check_report *report)
{
	struct lsvd_check_options options = LSVD_CHECK_OPTIONS_INIT;
	const char *cache = lsvd_config_cache_path(c->admin.config);
	int err;

	options.flags = c->deep ? LSVD_CHECK_DEEP : 0;
	options.finding = take_finding;
	options.progress = take_progress;
	options.ctx = c;
	if (c->reach.cache)
		cache = c->reach.cache;
	else if (cache && access(cache, F_OK) < 0 && errno == ENOENT)
		cache = NULL; /* this host has never written a volume */
	if (!c->store_only)
		options.cache_dir = cache;
	c->shown = 0;
	err = lsvd_volume_check(c->admin.store, c->admin.name, &options, report);
	progress_end();
	return err;
}

/*
 * A new checkpoint; and whether that was all, a second check says.
 * 1: it has been said what is wrong.
 */
static int repair(struct check *c, struct lsvd_check_report *report)
{
	struct lsvd_volume_options options = LSVD_VOLUME_OPTIONS_INIT;
	struct lsvd_repair_report repaired = LSVD_REPAIR_REPORT_INIT;

	if (!report->repairable) {
		(void)admin_error("volume %s: nothing that a new checkpoint would mend: "
				  "nothing was changed", c->admin.name);
		return 0;
	}
	reach_volume_options(&c->admin, &c->reach, &options);
	if (lsvd_volume_repair(c->admin.store, c->admin.name, &options, &repaired) < 0) {
		(void)admin_fail(); /* so does the status */
		return 1;
	}
	c->repaired = repaired;
	if (c->admin.json) {
		c->repaired_findings = facts_rows_end(&c->findings);
		if (!c->repaired_findings)
			return admin_error("out of memory"), 1;
		facts_rows_begin(&c->findings);
	} else if (!repaired.repaired) {
		(void)printf("not repaired: by then there was nothing to repair\n");
	} else {
		(void)printf("repaired: a new checkpoint, of %llu extents, made from %llu objects "
			     "in epoch %llu; nothing was overwritten or deleted\n",
			     (unsigned long long)repaired.extents,
			     (unsigned long long)repaired.replayed_objects,
			     (unsigned long long)repaired.epoch);
	}
	return look(c, report);
}

static int check(void *ctx)
{
	struct check *c = ctx;
	struct lsvd_check_report report = LSVD_CHECK_REPORT_INIT;
	int err = look(c, &report), status, printed = ADMIN_OK;

	if (!err && c->repair && report.errors) {
		err = repair(c, &report);
		if (err > 0)
			return ADMIN_FAILED;
	}
	status = status_of(c, err, &report);
	if (c->admin.json)
		printed = output_record(NULL, facts(c, &report), true);
	else if (!err)
		printed = print_text(c, &report);
	return printed ? printed : status;
}

static int run(int argc, char **argv)
{
	struct check c = {.deep = false};
	const struct args_option options[] = {
		ADMIN_CONFIG(&c.admin),
		ADMIN_NAME(&c.admin, "the volume, which nobody writes meanwhile"),
		{ARGS_FLAG, 0, "deep", &c.deep, NULL,
		 "verify every byte of all data that lives, too", 0, 0, false},
		{ARGS_FLAG, 0, "repair", &c.repair, NULL,
		 "make a lost or damaged checkpoint anew from the rest", 0, 0, false},
		REACH_OPTIONS(&c.reach),
		ADMIN_UNSAFE(&c.admin),
		{ARGS_FLAG, 0, "store-only", &c.store_only, NULL,
		 "leave this host's cache directory alone", 0, 0, false},
		{ARGS_FLAG, 'v', "verbose", &c.verbose, NULL,
		 "show also what is no fault", 0, 0, false},
		ADMIN_OPTIONS(&c.admin),
	};
	const struct args args = {
		.program = "lsvd-admin check",
		.usage = "-c FILE -n NAME [--deep] [--repair] [-p DIR] [--json]",
		.about = "Looks whether all that the store has of a volume is whole, "
			 "and names what is\n"
			 "not. Nothing is changed; "
			 "with --repair a lost or damaged checkpoint is made\n"
			 "anew, if that is all, and nothing else is touched.",
		.epilogue = "Exit status: 0 sound, 1 it could not be checked, 2 wrong usage, "
			    "5 damaged or\n"
			    "not all of it could be looked at, 6 ended by a signal.",
		.options = options,
	};
	int status;

	if (admin_parse(&c.admin, &args, argc, argv, &status) < 0)
		return status;
	facts_rows_begin(&c.findings);
	status = admin_do_long(&c.admin, c.repair ? 0 : LSVD_STORE_READONLY, check, &c);
	json_decref(facts_rows_end(&c.findings)); /* if nobody came to print them */
	json_decref(c.repaired_findings);
	return status;
}

const struct admin_cmd cmd_check = {"check", "see whether a volume is whole", run};
