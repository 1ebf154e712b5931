/* SPDX-License-Identifier: BSD-2-Clause */
/* cmd_list.c - "lsvd-admin list": every volume of the store, by name. */
#include "admin/cmd.h"
#include "admin/output.h"

static const struct output_field fields[] = {
	{"name", "NAME", OUTPUT_TEXT},	   {"bytes", "SIZE", OUTPUT_BYTES_SHORT},
	{"bytes", "BYTES", OUTPUT_NUMBER}, {"created", "CREATED", OUTPUT_TEXT},
	{"uuid", "UUID", OUTPUT_TEXT},	   {NULL, NULL, OUTPUT_TEXT},
};

struct rows {
	json_t *array;
	bool no_memory;
};

static int add_row(void *ctx, const struct lsvd_volume_info *info)
{
	struct rows *rows = ctx;

	rows->no_memory = json_array_append_new(rows->array, output_volume(info)) < 0;
	return rows->no_memory; /* ends the walk */
}

static int list(struct admin *a)
{
	struct rows rows = {.array = json_array()};

	if (rows.array && lsvd_volume_list(a->store, add_row, &rows) < 0) {
		json_decref(rows.array);
		return admin_fail();
	}
	if (rows.no_memory) {
		json_decref(rows.array);
		rows.array = NULL; /* half a list is none */
	}
	return output_rows(fields, "volumes", rows.array, a->json);
}

static int run(int argc, char **argv)
{
	struct admin a = {.json = false};
	const struct args_option options[] = {
		ADMIN_CONFIG(&a),
		ADMIN_OPTIONS(&a),
	};
	const struct args args = {
		.program = "lsvd-admin list",
		.usage = "-c FILE [--json]",
		.about = "Lists the volumes of the store.",
		.options = options,
	};
	int status;

	if (admin_parse(&a, &args, argc, argv, &status) < 0)
		return status;
	status = admin_open(&a, LSVD_STORE_READONLY);
	if (status == ADMIN_OK)
		status = list(&a);
	admin_close(&a);
	return status;
}

const struct admin_cmd cmd_list = {"list", "list the volumes of the store", run};
