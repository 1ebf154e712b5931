/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_inspect.c - "lsvd-admin inspect": one volume, what the store holds of it, and what for.
 *
 * The objects are counted by listing them; what they are for is in the map of the volume, which is
 * opened read-only for that. Between the two the volume may go on: what the map knows nothing of is
 * the chain's, or newer.
 */
#include <stdio.h>

#include <lsvd/usage.h>

#include "admin/clone_base.h"
#include "admin/cmd.h"
#include "admin/long.h"
#include "admin/lowers.h"
#include "admin/output.h"
#include "common/facts.h"

struct inspect {
	struct admin admin;
	bool quick;
	struct facts_rows rows;
	json_t *snapshots; /* of the space */
	uint64_t live, stale, held, waiting, map, pinned, base;
};

static const struct output_field fields[] = {
	{"name", "name", OUTPUT_TEXT},
	{"uuid", "uuid", OUTPUT_TEXT},
	{"bytes", "size", OUTPUT_BYTES},
	{"created", "created", OUTPUT_TEXT},
	{"epoch", "epoch", OUTPUT_NUMBER},
	{"operations", "operations stored", OUTPUT_NUMBER},
	{"objects", "objects", OUTPUT_NUMBER},
	{"segments", "  segments", OUTPUT_NUMBER},
	{"free_objects", "  other data, pages of the map", OUTPUT_NUMBER},
	{"checkpoints", "  checkpoints", OUTPUT_NUMBER},
	{"claims", "  claims", OUTPUT_NUMBER},
	{"links", "  record, links of the chain", OUTPUT_NUMBER},
	{"stored_bytes", "stored", OUTPUT_BYTES},
	{"segment_bytes", "  segments", OUTPUT_BYTES},
	{"free_bytes", "  other data, pages of the map", OUTPUT_BYTES},
	{"checkpoint_bytes", "  checkpoints", OUTPUT_BYTES},
	{"closed_cleanly", "closed cleanly", OUTPUT_BOOL},
	{NULL, NULL, OUTPUT_TEXT},
};

static const struct output_field space_fields[] = {
	{"live_bytes", "  read by the volume", OUTPUT_BYTES},
	{"overwritten_bytes", "  overwritten, in the same objects", OUTPUT_BYTES},
	{"held_bytes", "    of it held by snapshots", OUTPUT_BYTES},
	{"snapshot_bytes", "  needed by snapshots alone", OUTPUT_BYTES},
	{"waiting_bytes", "  waiting to be deleted", OUTPUT_BYTES},
	{"map_bytes", "  the map", OUTPUT_BYTES},
	{"chain_bytes", "  claims, record, links of the chain", OUTPUT_BYTES},
	{"base_bytes", "elsewhere, in objects of its bases", OUTPUT_BYTES},
	{NULL, NULL, OUTPUT_TEXT},
};

static const struct output_field snapshot_fields[] = {
	{"snapshot", "SNAPSHOT", OUTPUT_TEXT},
	{"bytes", "NEEDS ALONE", OUTPUT_BYTES_SHORT},
	{"objects", "OBJECTS", OUTPUT_NUMBER},
	{"held_bytes", "HOLDS", OUTPUT_BYTES_SHORT},
	{NULL, NULL, OUTPUT_TEXT},
};

/* NULL: no memory. */
static json_t *facts(const struct lsvd_volume_info *info, const struct lsvd_volume_usage *usage)
{
	const struct {
		const char *key;
		uint64_t value;
	} numbers[] = {
		{"epoch", usage->epoch},
		{"operations", usage->ops},
		{"objects", usage->objects},
		{"segments", usage->segments},
		{"free_objects", usage->free_objects},
		{"checkpoints", usage->checkpoints},
		{"claims", usage->claims},
		{"links", usage->objects - usage->segments - usage->free_objects -
				  usage->checkpoints - usage->claims},
		{"stored_bytes", usage->bytes},
		{"segment_bytes", usage->segment_bytes},
		{"free_bytes", usage->free_bytes},
		{"checkpoint_bytes", usage->checkpoint_bytes},
	};
	struct lsvd_volume_info now = *info;
	json_t *all;
	int err = 0;

	now.bytes = usage->volume_bytes ? usage->volume_bytes : info->bytes;
	all = output_volume(&now);

	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		err |= json_object_set_new(all, numbers[i].key,
					   json_integer((json_int_t)numbers[i].value));
	/* Without a first writer there is nobody who could have closed it, well or badly. */
	err |= json_object_set_new(all, "closed_cleanly",
				   usage->epoch ? json_boolean(usage->closed_cleanly)
						: json_null());
	if (err) {
		json_decref(all);
		return NULL;
	}
	return all;
}

/* ----------------------------------------------------------------------------------- the space */

static int add_space(void *ctx, const struct lsvd_space_row *row)
{
	struct inspect *in = ctx;

	if (row->kind == LSVD_SPACE_LIVE)
		in->live = row->bytes;
	else if (row->kind == LSVD_SPACE_STALE)
		in->stale = row->bytes;
	else if (row->kind == LSVD_SPACE_WAITING)
		in->waiting = row->bytes;
	else if (row->kind == LSVD_SPACE_MAP)
		in->map = row->bytes;
	else if (row->kind == LSVD_SPACE_BASE)
		in->base = row->bytes;
	if (row->kind != LSVD_SPACE_SNAPSHOT)
		return 0;
	in->pinned += row->bytes;
	in->held += row->held_bytes;
	return facts_rows_add(&in->rows, json_pack("{s:s, s:I, s:I, s:I}", "snapshot",
						   row->snapshot, "bytes", (json_int_t)row->bytes,
						   "objects", (json_int_t)row->objects,
						   "held_bytes", (json_int_t)row->held_bytes));
}

static int ask_space(struct inspect *in)
{
	struct lsvd_volume *volume = admin_open_reader(&in->admin, 0);
	int err;

	if (!volume)
		return -1; /* it has been said */
	facts_rows_begin(&in->rows);
	err = lsvd_volume_space(volume, add_space, in);
	in->snapshots = facts_rows_end(&in->rows); /* without, there is no JSON, which says it */
	if (err < 0)
		(void)admin_fail();
	(void)lsvd_volume_close(volume, 0); /* read-only: nothing can be lost */
	return err;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/*
 * Takes nothing over. NULL: no memory. What waits to be deleted may have been since the map was
 * saved: of objects with data and pages no more wait than are there.
 */
static json_t *space_json(const struct inspect *in, const struct lsvd_volume_usage *usage)
{
	uint64_t known = in->live + in->stale + in->map + in->pinned;
	uint64_t there = less(usage->segment_bytes + usage->free_bytes + usage->checkpoint_bytes,
			      known);
	uint64_t waiting = in->waiting < there ? in->waiting : there;

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:O}", "live_bytes",
			 (json_int_t)in->live, "overwritten_bytes", (json_int_t)in->stale,
			 "held_bytes", (json_int_t)in->held, "snapshot_bytes",
			 (json_int_t)in->pinned, "waiting_bytes", (json_int_t)waiting, "map_bytes",
			 (json_int_t)in->map, "chain_bytes",
			 (json_int_t)less(usage->bytes, known + waiting), "base_bytes",
			 (json_int_t)in->base, "snapshots", in->snapshots);
}

/* Takes `all` over. */
static int print_all(struct inspect *in, json_t *all, json_t *space)
{
	int status;

	if (in->admin.json)
		return output_record(NULL, all, true);
	status = output_record(fields, json_incref(all), false);
	if (status == ADMIN_OK)
		status = clone_base_print(all);
	if (status == ADMIN_OK)
		status = lowers_print(all);
	json_decref(all);
	if (status != ADMIN_OK || !space)
		return status;
	(void)printf("of what is stored\n");
	status = output_record(space_fields, json_incref(space), false);
	if (status != ADMIN_OK || !json_array_size(in->snapshots))
		return status;
	return output_rows(snapshot_fields, "snapshots", json_incref(in->snapshots), false);
}

static int inspect(struct inspect *in)
{
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;
	struct lsvd_volume_usage usage = {.size = sizeof usage};
	json_t *all, *space = NULL;
	int status;

	if (lsvd_volume_lookup(in->admin.store, in->admin.name, &info) < 0 ||
	    lsvd_volume_usage(in->admin.store, in->admin.name, &usage) < 0)
		return admin_fail();
	all = facts(&info, &usage);
	if (all && (clone_base_add(&in->admin, &info, in->quick, all) < 0 ||
		    lowers_add(&in->admin, all) < 0)) {
		json_decref(all);
		return ADMIN_FAILED;
	}
	if (!in->quick && usage.epoch) {
		if (ask_space(in) < 0) {
			json_decref(all);
			return ADMIN_FAILED;
		}
		space = space_json(in, &usage);
		if (!space || json_object_set(all, "space", space) < 0) {
			json_decref(all);
			all = NULL;
		}
	}
	status = print_all(in, all, space);
	json_decref(space);
	return status;
}

static int run(int argc, char **argv)
{
	struct inspect in = {.quick = false};
	/* clang-format off */
	const struct args_option options[] = {
		ADMIN_CONFIG(&in.admin),
		ADMIN_NAME(&in.admin, "the volume"),
		{ARGS_FLAG, 'q', "quick", &in.quick, NULL,
		 "do not read the map, which knows what the space is for, nor look for names", 0, 0,
		 false},
		ADMIN_OPTIONS(&in.admin),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin inspect",
		.usage = "-c FILE -n NAME [--quick] [--json]",
		.about = "Shows a volume, what the store holds of it, and what for. "
			 "Nothing is changed,\n"
			 "and the volume may be served meanwhile.",
		.options = options,
	};
	int status;

	if (admin_parse(&in.admin, &args, argc, argv, &status) < 0)
		return status;
	status = admin_open(&in.admin, LSVD_STORE_READONLY);
	if (status == ADMIN_OK)
		status = inspect(&in);
	json_decref(in.snapshots);
	admin_close(&in.admin);
	return status;
}

const struct admin_cmd cmd_inspect = {
	"inspect", "show a volume, what the store holds of it, and what for", run};
