/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_list.c - "lsvd-admin list": every volume of the store by name, what is stored of it, and what
 * else is in the store, so that the numbers add up to what the store itself reports.
 */
#include <inttypes.h>
#include <stdio.h>

#include <lsvd/usage.h>

#include "admin/clone_base.h"
#include "admin/cmd.h"
#include "admin/output.h"

struct list {
	struct admin admin;
	bool quick;
	json_t *volumes, *vlogs, *deleted; /* arrays; NULL: no memory */
	struct lsvd_usage_row probe, other, total;
	bool no_memory;
};

static const struct output_field quick_fields[] = {
	{"name", "NAME", OUTPUT_TEXT},
	{"bytes", "SIZE", OUTPUT_BYTES_SHORT},
	{"bytes", "BYTES", OUTPUT_NUMBER},
	{"created", "CREATED", OUTPUT_TEXT},
	{"clone_of", "CLONE OF", OUTPUT_TEXT},
	{"uuid", "UUID", OUTPUT_TEXT},
	{NULL, NULL, OUTPUT_TEXT},
};

static const struct output_field volume_fields[] = {
	{"name", "NAME", OUTPUT_TEXT},
	{"bytes", "SIZE", OUTPUT_BYTES_SHORT},
	{"bytes", "BYTES", OUTPUT_NUMBER},
	{"stored_bytes", "STORED", OUTPUT_BYTES_SHORT},
	{"objects", "OBJECTS", OUTPUT_NUMBER},
	{"created", "CREATED", OUTPUT_TEXT},
	{"clone_of", "CLONE OF", OUTPUT_TEXT},
	{"uuid", "UUID", OUTPUT_TEXT},
	{NULL, NULL, OUTPUT_TEXT},
};

/* -------------------------------------------------------------------------------------- quick */

static int add_volume(void *ctx, const struct lsvd_volume_info *info)
{
	json_t *volume = output_volume(info);
	struct list *l = ctx;

	l->no_memory = json_object_set_new(volume, "base", clone_base_json(info->base_uuid)) < 0 ||
		       json_array_append(l->volumes, volume) < 0;
	json_decref(volume);
	return l->no_memory; /* ends the walk */
}

/* All are there: what they are clones of. */
static void name_bases(struct list *l)
{
	if (!l->no_memory)
		l->no_memory = clone_base_name(l->volumes) < 0 ||
			       (!l->admin.json && clone_base_label(l->volumes) < 0);
}

static int list_quickly(struct list *l)
{
	if (lsvd_volume_list(l->admin.store, add_volume, l) < 0)
		return admin_fail();
	name_bases(l);
	return output_rows(quick_fields, "volumes", l->no_memory ? NULL : json_incref(l->volumes),
			   l->admin.json);
}

/* ----------------------------------------------------------------------------- what is stored */

static json_t *row_json(const struct lsvd_usage_row *row)
{
	char created[OUTPUT_TIME];
	json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:I}", "uuid", row->uuid, "stored_bytes",
			      (json_int_t)row->bytes, "objects", (json_int_t)row->objects, "claims",
			      (json_int_t)row->claims, "claim_bytes", (json_int_t)row->claim_bytes);
	int err = 0;

	if (row->kind == LSVD_USAGE_DELETED)
		return o;
	output_time(created, row->created_ms);
	err |= json_object_set_new(o, "name", json_string(row->name));
	err |= json_object_set_new(o, "created", json_string(created));
	if (row->kind == LSVD_USAGE_VOLUME) {
		err |= json_object_set_new(o, "bytes", json_integer((json_int_t)row->volume_bytes));
		err |= json_object_set_new(o, "base", clone_base_json(row->base_uuid));
	}
	if (!err)
		return o;
	json_decref(o);
	return NULL;
}

static int add_row(void *ctx, const struct lsvd_usage_row *row)
{
	struct list *l = ctx;
	json_t *to = row->kind == LSVD_USAGE_VOLUME   ? l->volumes
		     : row->kind == LSVD_USAGE_VLOG    ? l->vlogs
		     : row->kind == LSVD_USAGE_DELETED ? l->deleted
						       : NULL;

	l->total.objects += row->objects;
	l->total.bytes += row->bytes;
	if (row->kind == LSVD_USAGE_PROBE)
		l->probe = *row;
	if (row->kind == LSVD_USAGE_OTHER)
		l->other = *row;
	if (to)
		l->no_memory = json_array_append_new(to, row_json(row)) < 0;
	return l->no_memory;
}

static json_t *sum_json(const struct lsvd_usage_row *row)
{
	return json_pack("{s:I, s:I}", "objects", (json_int_t)row->objects, "stored_bytes",
			 (json_int_t)row->bytes);
}

static int print_json(struct list *l)
{
	json_t *all = json_pack("{s:O, s:O, s:O, s:o, s:o, s:o}", "volumes", l->volumes,
				"value_logs", l->vlogs, "deleted", l->deleted, "probes",
				sum_json(&l->probe), "unknown", sum_json(&l->other), "total",
				sum_json(&l->total));

	return output_record(NULL, l->no_memory ? NULL : all, true);
}

static void print_sum(const char *what, uint64_t objects, uint64_t bytes, const char *remark)
{
	char text[32];

	if (!objects)
		return;
	output_bytes(text, bytes);
	(void)printf("%-18s %12s %8" PRIu64 " objects%s\n", what, text, objects, remark);
}

/* Claims of deleted volumes stay on purpose; what else they have can go. */
static void print_deleted(const struct list *l)
{
	uint64_t claims = 0, claim_bytes = 0;
	size_t i;
	json_t *o;

	json_array_foreach(l->deleted, i, o) {
		uint64_t mine = (uint64_t)json_integer_value(json_object_get(o, "claims"));
		uint64_t bytes = (uint64_t)json_integer_value(json_object_get(o, "claim_bytes"));
		char remark[128];

		claims += mine;
		claim_bytes += bytes;
		(void)snprintf(remark, sizeof remark, " of %s, whose deletion was not finished",
			       json_string_value(json_object_get(o, "uuid")));
		print_sum("deleted volume",
			  (uint64_t)json_integer_value(json_object_get(o, "objects")) - mine,
			  (uint64_t)json_integer_value(json_object_get(o, "stored_bytes")) - bytes,
			  remark);
	}
	print_sum("deleted volumes", claims, claim_bytes, ", claims, which stay");
}

static void print_rest(const struct list *l)
{
	size_t i;
	json_t *o;

	json_array_foreach(l->vlogs, i, o) {
		char remark[128];

		(void)snprintf(remark, sizeof remark, " of %s",
			       json_string_value(json_object_get(o, "name")));
		print_sum("value log", (uint64_t)json_integer_value(json_object_get(o, "objects")),
			  (uint64_t)json_integer_value(json_object_get(o, "stored_bytes")), remark);
	}
	print_deleted(l);
	print_sum("probes", l->probe.objects, l->probe.bytes, "");
	print_sum("unknown", l->other.objects, l->other.bytes, ", not of this program");
	print_sum("all", l->total.objects, l->total.bytes, "");
}

static int list_all(struct list *l)
{
	int status;

	if (lsvd_store_usage(l->admin.store, add_row, l) < 0)
		return admin_fail();
	name_bases(l);
	if (l->admin.json || l->no_memory)
		return print_json(l);
	status = output_rows(volume_fields, "volumes", json_incref(l->volumes), false);
	if (status == ADMIN_OK && l->total.objects)
		(void)printf("\n");
	print_rest(l);
	return status;
}

static int list(struct list *l)
{
	int status;

	l->volumes = json_array();
	l->vlogs = json_array();
	l->deleted = json_array();
	l->no_memory = !l->volumes || !l->vlogs || !l->deleted;
	status = l->quick ? list_quickly(l) : list_all(l);
	json_decref(l->volumes);
	json_decref(l->vlogs);
	json_decref(l->deleted);
	return status;
}

static int run(int argc, char **argv)
{
	struct list l = {.quick = false};
	/* clang-format off */
	const struct args_option options[] = {
		ADMIN_CONFIG(&l.admin),
		{ARGS_FLAG, 'q', "quick", &l.quick, NULL,
		 "only names, and the sizes volumes were made with: count no objects", 0, 0, false},
		ADMIN_OPTIONS(&l.admin),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin list",
		.usage = "-c FILE [--quick] [--json]",
		.about = "Lists the volumes of the store, what is stored of each, and what "
			 "else is there.",
		.options = options,
	};
	int status;

	if (admin_parse(&l.admin, &args, argc, argv, &status) < 0)
		return status;
	status = admin_open(&l.admin, LSVD_STORE_READONLY);
	if (status == ADMIN_OK)
		status = list(&l);
	admin_close(&l.admin);
	return status;
}

const struct admin_cmd cmd_list = {"list", "list the volumes of the store, and what it holds", run};
