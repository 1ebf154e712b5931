/* SPDX-License-Identifier: BSD-2-Clause */
/* cmd_gc.c - "lsvd-admin gc": gives space back now, through the volume's server if it has one. */
#include <stdio.h>
#include <string.h>

#include "admin/cmd.h"
#include "admin/long.h"
#include "admin/output.h"
#include "admin/reach.h"

struct gc {
	struct admin admin;
	struct reach_options reach;
	uint64_t percent;
	bool orphans;
	const char *action;
};

static int print_collected(const struct gc *g, json_t *facts)
{
	char sentence[256], deleted[32], copied[32], stored[32];

	output_bytes(deleted, reach_number(facts, "deleted_bytes"));
	output_bytes(copied, reach_number(facts, "copied_bytes"));
	output_bytes(stored, reach_number(facts, "stored_bytes"));
	(void)snprintf(sentence, sizeof sentence,
		       "volume %s: %s copied, %llu objects (%s) deleted; %s of data stored",
		       g->admin.name, copied,
		       (unsigned long long)reach_number(facts, "deleted_objects"), deleted, stored);
	return output_sentence(sentence, facts, g->admin.json);
}

static int collect(void *ctx)
{
	struct gc *g = ctx;
	json_t *facts, *request;
	int status;

	request = json_pack("{s:s, s:s, s:I, s:b}", "verb", "gc", "action", "start", "percent",
			    (json_int_t)g->percent, "orphans", g->orphans);
	facts = reach_ask(&g->admin, &g->reach, request, &status);
	return facts ? print_collected(g, facts) : status;
}

/* pause, resume, cancel, status: only a server has something of that to be asked about. */
static int control(void *ctx)
{
	struct gc *g = ctx;
	char sentence[128];
	int status;
	json_t *facts = reach_ask_server(&g->admin, &g->reach,
					 json_pack("{s:s, s:s}", "verb", "gc", "action", g->action),
					 &status);

	if (!facts)
		return status;
	(void)snprintf(sentence, sizeof sentence, "volume %s: collection is %s", g->admin.name,
		       json_is_true(json_object_get(facts, "paused"))	 ? "paused"
		       : json_is_true(json_object_get(facts, "running")) ? "running"
									  : "idle");
	return output_sentence(sentence, facts, g->admin.json);
}

static bool is_action(const char *text)
{
	return strcmp(text, "pause") == 0 || strcmp(text, "resume") == 0 ||
	       strcmp(text, "cancel") == 0 || strcmp(text, "status") == 0;
}

static int run(int argc, char **argv)
{
	struct gc g = {.percent = 130};
	/* clang-format off */
	const struct args_option options[] = {
		ADMIN_CONFIG(&g.admin),
		ADMIN_NAME(&g.admin, "the volume"),
		{ARGS_NUMBER, 0, "percent", &g.percent, "N",
		 "until so much is stored for each 100 bytes alive (default: 130)", 100,
		 10000, false},
		{ARGS_FLAG, 0, "orphans", &g.orphans, NULL,
		 "remove what earlier writers left half-way, too", 0, 0, false},
		REACH_OPTIONS(&g.reach),
		ADMIN_UNSAFE(&g.admin),
		ADMIN_OPTIONS(&g.admin),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin gc",
		.usage = "-c FILE -n NAME [--percent N] [--orphans] [-p DIR] [--json]\n"
			 "       lsvd-admin gc pause|resume|cancel|status -c FILE -n NAME "
			 "[-p DIR] [--json]",
		.about = "Copies what is alive out of objects that are mostly not, "
			 "and deletes what is dead.\n"
			 "The volume may be served meanwhile.",
		.options = options,
	};
	int status;

	if (argc > 1 && is_action(argv[1])) {
		g.action = argv[1];
		argc--;
		argv++;
	}
	if (admin_parse(&g.admin, &args, argc, argv, &status) < 0)
		return status;
	return admin_do_long(&g.admin, 0, g.action ? control : collect, &g);
}

const struct admin_cmd cmd_gc = {"gc", "give space back", run};
