/* SPDX-License-Identifier: BSD-2-Clause */
/* vlog_delete.c - "lsvd-admin vlog delete": a value log and everything stored of it. */
#include <stdio.h>

#include "admin/output.h"
#include "admin/vlog_actions.h"

int vlog_delete(int argc, char **argv)
{
	struct admin a = {.json = false};
	bool yes = false;
	char sentence[200];
	/* clang-format off */
	const struct args_option options[] = {
		ADMIN_CONFIG(&a),
		ADMIN_NAME(&a, "value log"),
		{ARGS_FLAG, 'y', "yes", &yes, NULL, "needed: nothing is asked", 0, 0, true},
		ADMIN_UNSAFE(&a),
		ADMIN_OPTIONS(&a),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin vlog delete",
		.usage = "-c FILE -n NAME --yes [--unsafe-store] [--json]",
		.about = "Deletes a value log and everything stored of it, for good.",
		.options = options,
	};
	int status;

	if (admin_parse(&a, &args, argc, argv, &status) < 0)
		return status;
	status = admin_open(&a, 0);
	if (status == ADMIN_OK && lsvd_vlog_delete_flags(a.store, a.name, admin_flags(&a)) < 0)
		status = admin_fail();
	if (status == ADMIN_OK) {
		(void)snprintf(sentence, sizeof sentence, "value log %s deleted", a.name);
		status = output_sentence(sentence, json_pack("{s:s, s:b}", "name", a.name,
							     "deleted", 1),
					 a.json);
	}
	admin_close(&a);
	return status;
}
