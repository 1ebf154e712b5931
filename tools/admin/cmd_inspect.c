/* SPDX-License-Identifier: BSD-2-Clause */
/* cmd_inspect.c - "lsvd-admin inspect": one volume, and what the store holds of it. */
#include "admin/cmd.h"
#include "admin/output.h"

static const struct output_field fields[] = {
	{"name", "name", OUTPUT_TEXT},
	{"uuid", "uuid", OUTPUT_TEXT},
	{"bytes", "size", OUTPUT_BYTES},
	{"created", "created", OUTPUT_TEXT},
	{"epoch", "epoch", OUTPUT_NUMBER},
	{"operations", "operations stored", OUTPUT_NUMBER},
	{"objects", "objects", OUTPUT_NUMBER},
	{"segments", "  segments", OUTPUT_NUMBER},
	{"checkpoints", "  checkpoints", OUTPUT_NUMBER},
	{"claims", "  claims", OUTPUT_NUMBER},
	{"stored_bytes", "stored", OUTPUT_BYTES},
	{"segment_bytes", "  segments", OUTPUT_BYTES},
	{"checkpoint_bytes", "  checkpoints", OUTPUT_BYTES},
	{"closed_cleanly", "closed cleanly", OUTPUT_BOOL},
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
		{"checkpoints", usage->checkpoints},
		{"claims", usage->claims},
		{"stored_bytes", usage->bytes},
		{"segment_bytes", usage->segment_bytes},
		{"checkpoint_bytes", usage->checkpoint_bytes},
	};
	json_t *all = output_volume(info);
	int err = 0;

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

static int inspect(struct admin *a)
{
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;
	struct lsvd_volume_usage usage = {.size = sizeof usage};

	if (lsvd_volume_lookup(a->store, a->name, &info) < 0 ||
	    lsvd_volume_usage(a->store, a->name, &usage) < 0)
		return admin_fail();
	return output_record(fields, facts(&info, &usage), a->json);
}

static int run(int argc, char **argv)
{
	struct admin a = {.json = false};
	const struct args_option options[] = {
		ADMIN_CONFIG(&a),
		ADMIN_NAME(&a, "the volume"),
		ADMIN_OPTIONS(&a),
	};
	const struct args args = {
		.program = "lsvd-admin inspect",
		.usage = "-c FILE -n NAME [--json]",
		.about = "Shows a volume and what the store holds of it. Nothing is changed, and\n"
			 "the volume may be served meanwhile.",
		.options = options,
	};
	int status;

	if (admin_parse(&a, &args, argc, argv, &status) < 0)
		return status;
	status = admin_open(&a, LSVD_STORE_READONLY);
	if (status == ADMIN_OK)
		status = inspect(&a);
	admin_close(&a);
	return status;
}

const struct admin_cmd cmd_inspect = {"inspect", "show a volume and what the store holds of it",
				      run};
