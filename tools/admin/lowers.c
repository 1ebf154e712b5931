/* SPDX-License-Identifier: BSD-2-Clause */
/* lowers.c - the lower volumes of a volume: what its record says of them, and how that is shown. */
#include "admin/lowers.h"

#include <lsvd/snapshot.h>

#include "admin/output.h"
#include "common/facts.h"

static const struct output_field fields[] = {
	{"volume", "LOWER", OUTPUT_TEXT},
	{"snapshot", "SNAPSHOT", OUTPUT_TEXT},
	{"bytes", "SHOWS", OUTPUT_BYTES_SHORT},
	{NULL, NULL, OUTPUT_TEXT},
};

static int add_lower(void *ctx, const struct lsvd_lower *lower)
{
	return facts_rows_add(ctx, json_pack("{s:s, s:s, s:I}", "volume", lower->volume, "snapshot",
					     lower->snapshot, "bytes", (json_int_t)lower->bytes));
}

int lowers_add(const struct admin *a, json_t *facts)
{
	struct facts_rows rows;
	json_t *lowers;
	int err;

	facts_rows_begin(&rows);
	err = lsvd_volume_lowers(a->store, a->name, add_lower, &rows);
	lowers = facts_rows_end(&rows);
	if (err < 0) {
		json_decref(lowers);
		(void)admin_fail(); /* the caller's status says it */
		return -1;
	}
	if (json_object_set_new(facts, "lowers", lowers) < 0)
		return admin_error("out of memory");
	return 0;
}

int lowers_print(const json_t *facts)
{
	json_t *lowers = json_object_get(facts, "lowers");

	if (!json_array_size(lowers))
		return ADMIN_OK;
	return output_rows(fields, "lowers", json_incref(lowers), false);
}
