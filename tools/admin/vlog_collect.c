/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vlog_collect.c - "lsvd-admin vlog gc": space back from a value log nobody is using.
 *
 * The index is the program's, so the program writes down what it refers to (--live, handle_list.h),
 * and does not use the log meanwhile. Collecting is then done in three steps:
 *
 *   1. vlog gc --live L --moves M    copies what lives out of segments that are mostly stale; M has
 *                                    a line for each: where it was, where it is, the value's length
 *   2. the program changes its index by M, durably, and writes L anew
 *   3. vlog gc --live L --drop       drops what is entirely stale
 *
 * Cut short after any of them nothing is lost.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "admin/handle_list.h"
#include "admin/long.h"
#include "admin/output.h"
#include "admin/vlog_actions.h"

struct collect {
	struct admin admin;
	const char *live_path, *moves_path;
	uint64_t stale_percent;
	bool drop;
	struct handle_list live;
	size_t counted; /* of the live ones */
	FILE *moves;
	uint64_t moved; /* since the last finish */
};

/* ------------------------------------------------------------------ the index, as it is written */

static int next_live(void *ctx, struct lsvd_vlog_handle *ret, uint64_t *ret_bytes)
{
	struct collect *c = ctx;

	if (c->counted == c->live.count)
		return 0;
	*ret = c->live.entries[c->counted].handle;
	*ret_bytes = c->live.entries[c->counted].bytes;
	c->counted++;
	return 1;
}

static int is_live(void *ctx, struct lsvd_vlog_query *queries, size_t n)
{
	const struct collect *c = ctx;

	for (size_t i = 0; i < n; i++)
		queries[i].live = handle_list_has(&c->live, &queries[i].handle);
	return admin_stopped() ? -ECANCELED : 0;
}

static int relocate(void *ctx, const struct lsvd_vlog_move *moves, size_t n)
{
	struct collect *c = ctx;

	for (size_t i = 0; i < n; i++) {
		const struct lsvd_vlog_handle *a = &moves[i].from, *b = &moves[i].to;

		if (fprintf(c->moves, "%llu %llu %llu %llu %llu %llu %llu\n",
			    (unsigned long long)a->segment, (unsigned long long)a->offset,
			    (unsigned long long)a->size, (unsigned long long)b->segment,
			    (unsigned long long)b->offset, (unsigned long long)b->size,
			    (unsigned long long)moves[i].raw_bytes) < 0)
			return -EIO;
	}
	c->moved += n;
	return 0;
}

static int finish(void *ctx, uint64_t *ret_applied)
{
	struct collect *c = ctx;

	if (fflush(c->moves) || fsync(fileno(c->moves)) < 0)
		return -EIO;
	*ret_applied = c->moved;
	c->moved = 0;
	return 0;
}

/* ------------------------------------------------------------------------------------- the work */

static int report(const struct collect *c, const struct lsvd_vlog_gc_result *r)
{
	char sentence[256], freed[32];

	output_bytes(freed, c->drop ? r->freed_bytes : r->reclaimable_bytes);
	(void)snprintf(sentence, sizeof sentence,
		       c->drop ? "value log %s: %llu segments dropped, %s freed"
			       : "value log %s: %llu records moved, %s can be freed by --drop",
		       c->admin.name, (unsigned long long)(c->drop ? r->dropped : r->moved_items),
		       freed);
	return output_sentence(
		sentence,
		json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "name", c->admin.name,
			  "picked", (json_int_t)r->picked, "moved", (json_int_t)r->moved_items,
			  "moved_bytes", (json_int_t)r->moved_bytes, "damaged",
			  (json_int_t)r->damaged, "reclaimable", (json_int_t)r->reclaimable_bytes,
			  "dropped", (json_int_t)r->dropped, "freed", (json_int_t)r->freed_bytes),
		c->admin.json);
}

static int collect(struct collect *c, struct lsvd_vlog *log)
{
	const struct lsvd_vlog_index index = {
		.size = sizeof index,
		.ctx = c,
		.is_live = is_live,
		.relocate = relocate,
		.finish = finish,
	};
	const struct lsvd_vlog_strategy stale = {
		.size = sizeof stale,
		.kind = LSVD_VLOG_PICK_STALE,
		.value = (double)c->stale_percent / 100,
	};
	struct lsvd_vlog_gc_result r = LSVD_VLOG_GC_RESULT_INIT;
	struct lsvd_vlog_report counted = LSVD_VLOG_REPORT_INIT;
	int err = lsvd_vlog_scan_for_stats(log, next_live, c, &counted);

	if (err == 0 && counted.dangling) {
		(void)admin_error("%s: %llu handles lead into segments that value log %s does not "
				  "have; nothing was done", c->live_path,
				  (unsigned long long)counted.dangling, c->admin.name);
		return ADMIN_FAILED;
	}
	if (err == 0 && c->drop)
		err = lsvd_vlog_drop_stale(log, &index, &r);
	else if (err == 0)
		err = lsvd_vlog_gc(log, &stale, &index, NULL, &r);
	return err < 0 ? admin_fail() : report(c, &r);
}

static int open_files(struct collect *c)
{
	if (handle_list_read(&c->live, c->live_path) < 0)
		return ADMIN_FAILED;
	if (c->drop)
		return ADMIN_OK;
	c->moves = handle_list_create(c->moves_path);
	return c->moves ? ADMIN_OK : ADMIN_FAILED;
}

static int act(struct collect *c)
{
	struct lsvd_vlog *log;
	int status = admin_begin_long();

	if (status == ADMIN_OK)
		status = admin_open(&c->admin, 0);
	if (status == ADMIN_OK)
		status = open_files(c);
	if (status != ADMIN_OK)
		return status;
	log = vlog_open(&c->admin, 0);
	if (!log)
		return ADMIN_FAILED;
	return vlog_close(log, collect(c, log));
}

int vlog_gc(int argc, char **argv)
{
	struct collect c = {.stale_percent = 50};
	/* clang-format off */
	const struct args_option options[] = {
		ADMIN_CONFIG(&c.admin),
		ADMIN_NAME(&c.admin, "value log"),
		{ARGS_STRING, 0, "live", &c.live_path, "FILE",
		 "what the index has: SEGMENT OFFSET SIZE BYTES, a line each", 0, 0, true},
		{ARGS_STRING, 0, "moves", &c.moves_path, "FILE",
		 "write where records were and are; must not exist", 0, 0, false},
		{ARGS_NUMBER, 0, "stale", &c.stale_percent, "PERCENT",
		 "collect segments of which so much is stale (50)", 0, 100, false},
		{ARGS_FLAG, 0, "drop", &c.drop, NULL, "drop what is entirely stale instead", 0,
		 0, false},
		ADMIN_UNSAFE(&c.admin),
		ADMIN_OPTIONS(&c.admin),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin vlog gc",
		.usage = "-c FILE -n NAME --live FILE --moves FILE [--stale PERCENT]\n"
			 "                          [--unsafe-store] [--json]\n"
			 "       lsvd-admin vlog gc -c FILE -n NAME --live FILE --drop "
			 "[--unsafe-store] [--json]",
		.about = "Collects the garbage of a value log that no program is using, "
			 "by a list of what\n"
			 "lives. Whoever has it open is cut off.",
		.options = options,
	};
	int status;

	if (admin_parse(&c.admin, &args, argc, argv, &status) < 0)
		return status;
	if (c.drop == (c.moves_path != NULL)) {
		(void)args_fail(&args, "either --moves or --drop is needed");
		return ADMIN_USAGE;
	}
	status = act(&c);
	handle_list_free(&c.live);
	if (c.moves && status != ADMIN_OK && ftell(c.moves) == 0)
		(void)unlink(c.moves_path); /* nothing has moved: out of the way of the next try */
	if (c.moves && fclose(c.moves) && status == ADMIN_OK)
		status = (admin_error("%s: %s", c.moves_path, strerror(errno)), ADMIN_FAILED);
	admin_close(&c.admin);
	return status;
}
