/* SPDX-License-Identifier: BSD-2-Clause */
/* cmd_pack.c - "lsvd-admin pack": all that is alive, in as few objects as possible. */
#include <stdio.h>

#include "admin/cmd.h"
#include "admin/long.h"
#include "admin/output.h"
#include "admin/reach.h"

struct pack {
	struct admin admin;
	struct reach_options reach;
};

static int print_packed(const struct pack *p, json_t *facts)
{
	char sentence[256], before[32], after[32], copied[32];

	output_bytes(before, reach_number(facts, "stored_bytes_before"));
	output_bytes(after, reach_number(facts, "stored_bytes"));
	output_bytes(copied, reach_number(facts, "copied_bytes"));
	(void)snprintf(sentence, sizeof sentence,
		       "volume %s: %llu objects with data (%s) instead of %llu (%s); %s copied",
		       p->admin.name, (unsigned long long)reach_number(facts, "data_objects"),
		       after, (unsigned long long)reach_number(facts, "data_objects_before"),
		       before, copied);
	return output_sentence(sentence, facts, p->admin.json);
}

static int pack(void *ctx)
{
	struct pack *p = ctx;
	int status;
	json_t *facts = reach_ask(&p->admin, &p->reach,
				  json_pack("{s:s}", "verb", "pack"), &status);

	return facts ? print_packed(p, facts) : status;
}

static int run(int argc, char **argv)
{
	struct pack p = {.admin = {.json = false}};
	/* clang-format off */
	const struct args_option options[] = {
		ADMIN_CONFIG(&p.admin),
		ADMIN_NAME(&p.admin, "the volume"),
		REACH_OPTIONS(&p.reach),
		ADMIN_UNSAFE(&p.admin),
		ADMIN_OPTIONS(&p.admin),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin pack",
		.usage = "-c FILE -n NAME [-p DIR] [--json]",
		.about = "Copies what is alive in all objects that are not full of it into as few "
			 "as possible,\n"
			 "and deletes what is dead. Meant for a volume that rests; it "
			 "may be served.",
		.options = options,
	};
	int status;

	if (admin_parse(&p.admin, &args, argc, argv, &status) < 0)
		return status;
	return admin_do_long(&p.admin, 0, pack, &p);
}

const struct admin_cmd cmd_pack = {"pack",
				   "put what is alive into as few objects as possible", run};
