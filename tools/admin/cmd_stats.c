/* SPDX-License-Identifier: BSD-2-Clause */
/* cmd_stats.c - "lsvd-admin stats": what a volume that is served has done, and how it is. */
#include <inttypes.h>
#include <stdio.h>

#include "admin/cmd.h"
#include "admin/output.h"
#include "admin/reach.h"

struct stats {
	struct admin admin;
	struct reach_options reach;
};

/* A line for each number, by the name it has in the library. */
static int print_stats(json_t *facts, bool json)
{
	const char *key;
	json_t *value;

	if (json)
		return output_record(NULL, facts, true);
	(void)printf("%-22s %s\n", "volume", json_string_value(json_object_get(facts, "name")));
	(void)printf("%-22s %" JSON_INTEGER_FORMAT "\n", "bytes",
		     json_integer_value(json_object_get(facts, "bytes")));
	(void)printf("%-22s %s\n", "status", json_string_value(json_object_get(facts, "status")));
	json_object_foreach(json_object_get(facts, "stats"), key, value)
		(void)printf("%-22s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(value));
	json_decref(facts);
	return ADMIN_OK;
}

static int stats(struct stats *s)
{
	json_t *facts;
	int status;

	facts = reach_ask_server(&s->admin, &s->reach, json_pack("{s:s}", "verb", "stats"),
				 &status);
	return facts ? print_stats(facts, s->admin.json) : status;
}

static int run(int argc, char **argv)
{
	struct stats s = {.admin = {.json = false}};
	/* clang-format off */
	const struct args_option options[] = {
		ADMIN_CONFIG(&s.admin),
		ADMIN_NAME(&s.admin, "the volume"),
		{ARGS_STRING, 'p', "cache", &s.reach.cache, "DIR",
		 "directory of log and cache (default: cache_path)", 0, 0, false},
		ADMIN_OPTIONS(&s.admin),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin stats",
		.usage = "-c FILE -n NAME [-p DIR] [--json]",
		.about = "Shows what a volume that is served from this host has done since "
			 "it was opened,\n"
			 "and how it is now.",
		.options = options,
	};
	int status;

	if (admin_parse(&s.admin, &args, argc, argv, &status) < 0)
		return status;
	status = admin_load(&s.admin);
	if (status == ADMIN_OK)
		status = stats(&s);
	admin_close(&s.admin);
	return status;
}

const struct admin_cmd cmd_stats = {"stats", "show what a served volume has done", run};
