/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_seal.c - "lsvd-admin seal": what is only in the local log goes into the store now.
 *
 * Of a volume that is not served, opening it here and closing it again does that.
 */
#include "admin/cmd.h"
#include "admin/long.h"
#include "admin/output.h"
#include "admin/reach.h"

struct seal {
	struct admin admin;
	struct reach_options reach;
	bool no_wait, checkpoint;
};

static int print_sealed(const struct seal *s, json_t *facts)
{
	uint64_t left = reach_number(facts, "unstored_bytes");
	char sentence[256], bytes[32];

	output_bytes(bytes, left);
	if (s->no_wait && left)
		(void)snprintf(sentence, sizeof sentence, "volume %s: %s are being stored",
			       s->admin.name, bytes);
	else
		(void)snprintf(sentence, sizeof sentence,
			       "volume %s: everything is in the store%s", s->admin.name,
			       s->checkpoint ? ", with a checkpoint" : "");
	return output_sentence(sentence, facts, s->admin.json);
}

static int seal(void *ctx)
{
	struct seal *s = ctx;
	json_t *facts, *request;
	int status;

	request = s->checkpoint ? json_pack("{s:s}", "verb", "checkpoint")
				: json_pack("{s:s, s:b}", "verb", "seal", "wait", !s->no_wait);
	facts = reach_ask(&s->admin, &s->reach, request, &status);
	return facts ? print_sealed(s, facts) : status;
}

static int run(int argc, char **argv)
{
	struct seal s = {.no_wait = false};
	/* clang-format off */
	const struct args_option options[] = {
		ADMIN_CONFIG(&s.admin),
		ADMIN_NAME(&s.admin, "the volume"),
		{ARGS_FLAG, 0, "no-wait", &s.no_wait, NULL,
		 "begin to store, and do not wait until it is done", 0, 0, false},
		{ARGS_FLAG, 0, "checkpoint", &s.checkpoint, NULL,
		 "write a checkpoint of the map, too", 0, 0, false},
		REACH_OPTIONS(&s.reach),
		ADMIN_UNSAFE(&s.admin),
		ADMIN_OPTIONS(&s.admin),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin seal",
		.usage = "-c FILE -n NAME [--no-wait | --checkpoint] [-p DIR] [--json]",
		.about = "Stores what a volume has only in its local log, "
			 "and returns when that is done.\n"
			 "The volume may be served meanwhile.",
		.options = options,
	};
	int status;

	if (admin_parse(&s.admin, &args, argc, argv, &status) < 0)
		return status;
	if (s.no_wait && s.checkpoint) {
		(void)args_fail(&args, "--no-wait and --checkpoint exclude each other");
		return ADMIN_USAGE;
	}
	return admin_do_long(&s.admin, 0, seal, &s);
}

const struct admin_cmd cmd_seal = {"seal", "store what is only in the local log", run};
