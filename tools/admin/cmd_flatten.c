/* SPDX-License-Identifier: BSD-2-Clause */
/* cmd_flatten.c - "lsvd-admin flatten": gives a clone what it still needs of its base. */
#include <stdio.h>

#include "admin/cmd.h"
#include "admin/long.h"
#include "admin/output.h"
#include "admin/reach.h"

struct flatten {
	struct admin admin;
	struct reach_options reach;
};

static int flatten(void *ctx)
{
	struct flatten *f = ctx;
	char sentence[160], copied[32];
	int status;
	json_t *facts = reach_ask(&f->admin, &f->reach, json_pack("{s:s}", "verb", "flatten"),
				  &status);

	if (!facts)
		return status;
	output_bytes(copied, reach_number(facts, "copied_bytes"));
	(void)snprintf(sentence, sizeof sentence, "volume %s needs no base: %s copied",
		       f->admin.name, copied);
	return output_sentence(sentence, facts, f->admin.json);
}

static int run(int argc, char **argv)
{
	struct flatten f = {.admin = {.json = false}};
	/* clang-format off */
	const struct args_option options[] = {
		ADMIN_CONFIG(&f.admin),
		ADMIN_NAME(&f.admin, "the clone"),
		REACH_OPTIONS(&f.reach),
		ADMIN_UNSAFE(&f.admin),
		ADMIN_OPTIONS(&f.admin),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin flatten",
		.usage = "-c FILE -n NAME [-p DIR] [--json]",
		.about = "Copies into a clone what it still reads from its base, "
			 "which it then protects no\n"
			 "more. The clone may be served meanwhile.",
		.options = options,
	};
	int status;

	if (admin_parse(&f.admin, &args, argc, argv, &status) < 0)
		return status;
	return admin_do_long(&f.admin, 0, flatten, &f);
}

const struct admin_cmd cmd_flatten = {"flatten",
				      "copy into a clone what it needs of its base", run};
