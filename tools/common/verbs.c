/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verbs.c - requests of administrators as a table of verbs.
 *
 * A verb takes the members of its request apart by itself: what is missing, of the wrong type or
 * not known is an error that says so, before anything is done.
 *
 * Waiting goes in steps, between which the host is asked whether it wants to stop; what is waited
 * for is fixed when the request begins, so that it ends on a volume that is written to all the
 * time.
 */
#include "common/verbs.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lsvd/error.h>
#include <lsvd/gc.h>
#include <lsvd/snapshot.h>
#include <lsvd/stats.h>

#include "common/facts.h"
#include "common/verb_stats.h"

#define STEP_MS	   200u
/* What gc leaves, unless it is told otherwise: bytes stored for each 100 that are alive. */
#define GC_PERCENT 130

struct call {
	struct lsvd_volume *volume;
	const json_t *request;
	const struct verb_host *host;
	json_t *result;
	char text[512];      /* of a failure that is not the library's */
	json_error_t error;  /* of taking the request apart */
};

static int refuse(struct call *c, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The text may hold words of the request, but nothing that a terminal obeys. */
static int refuse(struct call *c, int err, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(c->text, sizeof c->text, format, ap); /* cut if too long */
	va_end(ap);
	for (char *p = c->text; *p; p++)
		if (iscntrl((unsigned char)*p))
			*p = '?';
	return err;
}

static int no_memory(struct call *c)
{
	return refuse(c, -ENOMEM, "out of memory");
}

/* Gives the result away to the reply; NULL: there was no memory to make it. */
static int give(struct call *c, json_t *result)
{
	c->result = result;
	return result ? 0 : no_memory(c);
}

static bool stopped(const struct call *c)
{
	return c->host->stopping && c->host->stopping(c->host->ctx);
}

static bool in_use(const struct call *c, const char *snapshot)
{
	return c->host->in_use && c->host->in_use(c->host->ctx, snapshot);
}

static void tell(const struct call *c, const char *what, uint64_t done, uint64_t total)
{
	if (c->host->progress)
		c->host->progress(c->host->ctx, what, done, total);
}

/* The members of the request, as json_unpack() has them; there must be no others. */
#define UNPACK(c, format, ...)                                                                     \
	unpack_result(c, json_unpack_ex((json_t *)(uintptr_t)(c)->request, &(c)->error, 0,         \
					"{s:s, " format "!}", "verb", &(const char *){0},          \
					##__VA_ARGS__))

static int unpack_result(struct call *c, int result)
{
	return result < 0 ? refuse(c, -EINVAL, "the request is not as lsvd-control(5) has it: %s",
				   c->error.text)
			  : 0;
}

/* ------------------------------------------------------------------------------ storing things */

/* Waits until everything acknowledged before now is in the store. */
static int store_all(struct call *c)
{
	struct lsvd_stats s = LSVD_STATS_INIT;
	uint64_t last, total;
	int err = lsvd_volume_stats(c->volume, &s);

	last = s.last_op;
	total = s.unstored_bytes;
	while (!err && s.stored_op < last) {
		tell(c, "store", s.unstored_bytes < total ? total - s.unstored_bytes : 0, total);
		if (stopped(c))
			return refuse(c, LSVD_E_SHUTDOWN,
				      "stopped: not everything is in the store");
		err = lsvd_volume_sync(c->volume, STEP_MS);
		if (err == 0 || err == -ETIMEDOUT)
			err = lsvd_volume_stats(c->volume, &s);
	}
	return err;
}

static int give_stored(struct call *c)
{
	struct lsvd_stats s = LSVD_STATS_INIT;
	int err = lsvd_volume_stats(c->volume, &s);

	if (err)
		return err;
	return give(c, json_pack("{s:I, s:I, s:I}", "last_op", (json_int_t)s.last_op, "stored_op",
				 (json_int_t)s.stored_op, "unstored_bytes",
				 (json_int_t)s.unstored_bytes));
}

static int run_seal(struct call *c)
{
	int wait = 0;
	int err = UNPACK(c, "s?b", "wait", &wait);

	if (!err)
		err = lsvd_volume_seal(c->volume);
	if (!err && wait)
		err = store_all(c);
	return err ? err : give_stored(c);
}

static int run_checkpoint(struct call *c)
{
	int err = UNPACK(c, "");

	if (!err)
		err = store_all(c);
	if (!err)
		err = lsvd_volume_checkpoint(c->volume, UINT32_MAX);
	return err ? err : give_stored(c);
}

/* --------------------------------------------------------------------------- space and size */

struct spent {
	char (*names)[LSVD_NAME_MAX + 1];
	size_t n;
	bool no_memory;
};

/* What lsvd_volume_clone() calls a snapshot that it makes: "for-" and a UUID. */
static bool is_for_clone(const char *name)
{
	static const char form[] = "for-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (strlen(name) != strlen(form) || strncmp(name, form, 4) != 0)
		return false;
	for (size_t i = 4; form[i]; i++)
		if (form[i] == 'x' ? !isxdigit((unsigned char)name[i]) : name[i] != form[i])
			return false;
	return true;
}

static int note_spent(void *ctx, const struct lsvd_snapshot_info *info)
{
	struct spent *s = ctx;
	void *p;

	if (!is_for_clone(info->name))
		return 0;
	p = realloc(s->names, (s->n + 1) * sizeof *s->names);
	s->no_memory = !p;
	if (!p)
		return 1;
	s->names = p;
	memcpy(s->names[s->n++], info->name, sizeof *s->names);
	return 0;
}

/* Snapshots that were made for a clone go when it has gone. */
static int drop_spent(struct call *c, unsigned *ret)
{
	struct spent s = {.n = 0};
	int err = lsvd_snapshot_list(c->volume, note_spent, &s);

	*ret = 0;
	if (!err && s.no_memory)
		err = no_memory(c);
	for (size_t i = 0; i < s.n && !err; i++) {
		err = lsvd_snapshot_delete(c->volume, s.names[i], UINT32_MAX);
		*ret += !err;
		if (err == -EBUSY)
			err = 0; /* its clone is there */
	}
	free(s.names);
	return err;
}

static int give_collected(struct call *c, const struct lsvd_gc_status *s,
			  unsigned snapshots)
{
	return give(c, json_pack("{s:i, s:b, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
				 "deleted_snapshots", (int)snapshots, "automatic",
				 !!(s->flags & LSVD_GC_AUTOMATIC), "running",
				 !!(s->flags & LSVD_GC_RUNNING), "paused",
				 !!(s->flags & LSVD_GC_PAUSED), "rounds", (json_int_t)s->rounds,
				 "copied_bytes", (json_int_t)s->copied_bytes, "deleted_objects",
				 (json_int_t)s->deleted_objects, "deleted_bytes",
				 (json_int_t)s->deleted_bytes, "orphans", (json_int_t)s->orphans,
				 "live_bytes", (json_int_t)s->live_bytes, "stored_bytes",
				 (json_int_t)s->stored_bytes, "damaged_objects",
				 (json_int_t)s->damaged_objects));
}

/* A collection that is waited for. */
struct collecting {
	struct call *call;
	const char *what;        /* as progress calls it */
	struct lsvd_gc_status before, after;
	unsigned snapshots;      /* deleted before it */
};

static int on_collected(void *ctx, const struct lsvd_gc_status *s)
{
	const struct collecting *g = ctx;
	uint64_t done = s->copied_bytes - g->before.copied_bytes;

	tell(g->call, g->what, done, s->left_bytes ? done + s->left_bytes : 0);
	return stopped(g->call);
}

/* What is counted since the open is told as what this request has done. */
static int collect_now(struct collecting *g, uint32_t flags, uint32_t percent)
{
	const struct lsvd_gc_status blank = LSVD_GC_STATUS_INIT;
	struct lsvd_collect_options o = LSVD_COLLECT_OPTIONS_INIT;
	int err = store_all(g->call);

	o.flags = flags;
	o.percent = percent;
	o.progress = on_collected;
	o.ctx = g;
	g->before = g->after = blank;
	if (!err)
		err = drop_spent(g->call, &g->snapshots);
	if (!err)
		err = lsvd_volume_gc_status(g->call->volume, &g->before);
	if (!err)
		err = lsvd_volume_collect(g->call->volume, &o, &g->after);
	if (err)
		return err;
	g->after.rounds -= g->before.rounds;
	g->after.copied_bytes -= g->before.copied_bytes;
	g->after.deleted_objects -= g->before.deleted_objects;
	g->after.deleted_bytes -= g->before.deleted_bytes;
	g->after.orphans -= g->before.orphans;
	return 0;
}

static int gc_start(struct call *c, json_int_t percent, bool orphans)
{
	struct collecting g = {.call = c, .what = "collect"};
	int err = collect_now(&g, orphans ? LSVD_COLLECT_ORPHANS : 0, (uint32_t)percent);

	return err ? err : give_collected(c, &g.after, g.snapshots);
}

static int gc_control(struct call *c, uint32_t verb)
{
	struct lsvd_gc_status s = LSVD_GC_STATUS_INIT;
	int err = verb ? lsvd_volume_gc_control(c->volume, verb) : 0;

	if (!err)
		err = lsvd_volume_gc_status(c->volume, &s);
	return err ? err : give_collected(c, &s, 0);
}

static int run_gc(struct call *c)
{
	const char *action = "";
	json_int_t percent = GC_PERCENT;
	int orphans = 0;
	int err = UNPACK(c, "s:s, s?I, s?b", "action", &action, "percent", &percent, "orphans",
			 &orphans);

	if (err)
		return err;
	if (percent < 100 || percent > 10000)
		return refuse(c, -EINVAL, "gc: percent is %lld, must be 100 to 10000",
			      (long long)percent);
	if (strcmp(action, "start") == 0)
		return gc_start(c, percent, orphans);
	if (strcmp(action, "pause") == 0)
		return gc_control(c, LSVD_GC_PAUSE);
	if (strcmp(action, "resume") == 0)
		return gc_control(c, LSVD_GC_RESUME);
	if (strcmp(action, "cancel") == 0)
		return gc_control(c, LSVD_GC_CANCEL);
	if (strcmp(action, "status") == 0)
		return gc_control(c, 0);
	return refuse(c, LSVD_E_UNSUPPORTED, "gc: the action \"%s\" is not known", action);
}

static int run_resize(struct call *c)
{
	json_int_t bytes = 0;
	int cut = 0;
	uint64_t before = lsvd_volume_bytes(c->volume);
	int err = UNPACK(c, "s:I, s?b", "bytes", &bytes, "cut", &cut);

	if (!err && bytes < 0)
		err = refuse(c, -EINVAL, "resize: bytes is %lld, below 0", (long long)bytes);
	if (!err)
		err = lsvd_volume_resize(c->volume, (uint64_t)bytes, cut ? LSVD_RESIZE_CUT : 0);
	if (err)
		return err;
	return give(c, json_pack("{s:I, s:I}", "bytes",
				 (json_int_t)lsvd_volume_bytes(c->volume), "bytes_before",
				 (json_int_t)before));
}

static int run_flatten(struct call *c)
{
	struct collecting g = {.call = c, .what = "flatten"};
	int err = UNPACK(c, "");

	if (!err)
		err = collect_now(&g, LSVD_COLLECT_FLATTEN, 0);
	if (err)
		return err;
	return give(c, json_pack("{s:i, s:I, s:I, s:I}", "deleted_snapshots", (int)g.snapshots,
				 "copied_bytes", (json_int_t)g.after.copied_bytes, "live_bytes",
				 (json_int_t)g.after.live_bytes, "stored_bytes",
				 (json_int_t)g.after.stored_bytes));
}

/*
 * Of the objects it counts those in which something is alive: others may have been deleted already.
 */
static int run_pack(struct call *c)
{
	struct collecting g = {.call = c, .what = "pack"};
	int err = UNPACK(c, "");

	if (!err)
		err = collect_now(&g, LSVD_COLLECT_PACK, 0);
	if (err)
		return err;
	return give(c, json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
				 "deleted_snapshots", (int)g.snapshots, "copied_bytes",
				 (json_int_t)g.after.copied_bytes, "deleted_objects",
				 (json_int_t)g.after.deleted_objects, "deleted_bytes",
				 (json_int_t)g.after.deleted_bytes, "data_objects_before",
				 (json_int_t)g.before.data_objects, "data_objects",
				 (json_int_t)g.after.data_objects, "stored_bytes_before",
				 (json_int_t)(g.before.stored_bytes - g.before.dead_bytes),
				 "stored_bytes",
				 (json_int_t)(g.after.stored_bytes - g.after.dead_bytes),
				 "live_bytes", (json_int_t)g.after.live_bytes));
}

/* ---------------------------------------------------------------------------------- snapshots */

static json_t *snapshot_json(const struct lsvd_snapshot_info *info)
{
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "snapshot", info->name, "uuid",
			 info->uuid, "bytes", (json_int_t)info->bytes, "created_ms",
			 (json_int_t)info->created_ms, "op", (json_int_t)info->op, "epoch",
			 (json_int_t)info->epoch, "seq", (json_int_t)info->seq);
}

static int snapshot_create(struct call *c, const char *name)
{
	struct lsvd_snapshot_info info = LSVD_SNAPSHOT_INFO_INIT;
	int err = store_all(c);

	if (!err)
		err = lsvd_snapshot_create(c->volume, name, UINT32_MAX, &info);
	return err ? err : give(c, snapshot_json(&info));
}

static int snapshot_delete(struct call *c, const char *name, bool force)
{
	int err;

	if (!force && in_use(c, name))
		return refuse(c, -EBUSY, "clients are reading snapshot %s: disconnect "
					 "them, or use force",
			      name);
	err = lsvd_snapshot_delete(c->volume, name, UINT32_MAX);
	return err ? err : give(c, json_pack("{s:s}", "snapshot", name));
}

static int snapshot_rollback(struct call *c, const char *name, bool force)
{
	int err;

	if (!force && in_use(c, NULL))
		return refuse(c, -EBUSY, "clients are connected, who would not know that volume %s "
					 "is another: disconnect them, or use force",
			      lsvd_volume_name(c->volume));
	err = store_all(c);
	if (!err)
		err = lsvd_snapshot_rollback(c->volume, name, UINT32_MAX);
	if (err)
		return err;
	return give(c, json_pack("{s:s, s:I}", "snapshot", name, "bytes",
				 (json_int_t)lsvd_volume_bytes(c->volume)));
}

static int add_snapshot(void *ctx, const struct lsvd_snapshot_info *info)
{
	return facts_rows_add(ctx, snapshot_json(info));
}

static int snapshot_list(struct call *c)
{
	struct facts_rows all;
	json_t *array;
	int err;

	facts_rows_begin(&all);
	err = lsvd_snapshot_list(c->volume, add_snapshot, &all);
	array = facts_rows_end(&all);
	if (!err)
		return give(c, json_pack("{s:o}", "snapshots", array));
	json_decref(array);
	return err;
}

static int run_snapshot(struct call *c)
{
	const char *action = "", *name = NULL;
	int force = 0;
	int err = UNPACK(c, "s:s, s?s, s?b", "action", &action, "snapshot", &name, "force", &force);

	if (err)
		return err;
	if (strcmp(action, "list") == 0)
		return snapshot_list(c);
	if (!name)
		return refuse(c, -EINVAL, "snapshot: %s needs a member \"snapshot\"", action);
	if (strcmp(action, "create") == 0)
		return snapshot_create(c, name);
	if (strcmp(action, "delete") == 0)
		return snapshot_delete(c, name, force);
	if (strcmp(action, "rollback") == 0)
		return snapshot_rollback(c, name, force);
	return refuse(c, LSVD_E_UNSUPPORTED, "snapshot: the action \"%s\" is not known", action);
}

/* --------------------------------------------------------------------------------- looking */

static int run_stats(struct call *c)
{
	struct lsvd_stats s = LSVD_STATS_INIT;
	char text[512] = "";
	json_t *stats;
	int status, err = UNPACK(c, "");

	if (!err)
		err = lsvd_volume_stats(c->volume, &s);
	if (err)
		return err;
	status = lsvd_volume_status(c->volume, text, sizeof text);
	stats = verb_stats_json(&s);
	return give(c, json_pack("{s:s, s:I, s:s, s:o, s:o}", "name", lsvd_volume_name(c->volume),
				 "bytes", (json_int_t)lsvd_volume_bytes(c->volume), "status",
				 status ? lsvd_error_name(status) : "ok", "status_text",
				 facts_text(status ? text : ""), "stats", stats));
}

/* ----------------------------------------------------------------------------------- the table */

static const struct {
	const char *verb;
	int (*run)(struct call *c);
} verbs[] = {
	{"stats", run_stats},
	{"seal", run_seal},
	{"checkpoint", run_checkpoint},
	{"gc", run_gc},
	{"resize", run_resize},
	{"flatten", run_flatten},
	{"pack", run_pack},
	{"snapshot", run_snapshot},
};

static int run(struct call *c)
{
	const json_t *name = json_object_get(c->request, "verb");

	if (!json_is_string(name))
		return refuse(c, -EINVAL, "the request is no object with a member \"verb\"");
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (strcmp(verbs[i].verb, json_string_value(name)) == 0)
			return verbs[i].run(c);
	return refuse(c, LSVD_E_UNSUPPORTED, "the verb \"%s\" is not known",
		      json_string_value(name));
}

json_t *verb_failure(int err, const char *text)
{
	return json_pack("{s:b, s:s, s:o}", "ok", 0, "error", lsvd_error_name(err), "text",
			 facts_text(text));
}

json_t *verb_run(struct lsvd_volume *volume, const json_t *request, const struct verb_host *host)
{
	struct call c = {.volume = volume, .request = request, .host = host};
	int err = run(&c);

	if (!err)
		return json_pack("{s:b, s:o}", "ok", 1, "result", c.result);
	json_decref(c.result);
	return verb_failure(err, c.text[0] ? c.text : lsvd_last_error());
}
