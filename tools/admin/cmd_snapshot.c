/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_snapshot.c - "lsvd-admin snapshot create | delete | rollback | list".
 *
 * All but list change the volume, through its server if it has one; list asks the store alone.
 */
#include <stdio.h>
#include <string.h>

#include <lsvd/snapshot.h>

#include "admin/cmd.h"
#include "admin/long.h"
#include "admin/output.h"
#include "admin/reach.h"
#include "common/facts.h"

struct snapshot {
	struct admin admin;
	struct reach_options reach;
	const char *action;
	char volume[LSVD_NAME_MAX + 1], name[LSVD_NAME_MAX + 1];
	bool force;
};

static const struct output_field fields[] = {
	{"snapshot", "SNAPSHOT", OUTPUT_TEXT}, {"bytes", "SIZE", OUTPUT_BYTES_SHORT},
	{"op", "OPERATIONS", OUTPUT_NUMBER},   {"created", "CREATED", OUTPUT_TEXT},
	{"uuid", "UUID", OUTPUT_TEXT},	       {NULL, NULL, OUTPUT_TEXT},
};

/* ------------------------------------------------------------------------------------- list */

static int add_row(void *ctx, const struct lsvd_snapshot_info *info)
{
	char created[OUTPUT_TIME];

	output_time(created, info->created_ms);
	return facts_rows_add(ctx, json_pack("{s:s, s:s, s:I, s:s, s:I}", "snapshot", info->name,
					     "uuid", info->uuid, "bytes", (json_int_t)info->bytes,
					     "created", created, "op", (json_int_t)info->op));
}

static int list(void *ctx)
{
	struct snapshot *s = ctx;
	struct facts_rows rows;
	json_t *array;
	int err;

	facts_rows_begin(&rows);
	err = lsvd_snapshot_list_store(s->admin.store, s->admin.name, add_row, &rows);
	array = facts_rows_end(&rows);
	if (!err)
		return output_rows(fields, "snapshots", array, s->admin.json);
	json_decref(array);
	return admin_fail();
}

/* ---------------------------------------------------------------------------------- the others */

static void say_done(const struct snapshot *s, char *text, size_t size)
{
	if (strcmp(s->action, "rollback") == 0)
		(void)snprintf(text, size, "volume %s is what it was at %s", s->volume, s->name);
	else
		(void)snprintf(text, size, "snapshot %s@%s %sd", s->volume, s->name, s->action);
}

/* The date as people read it, in place of the number. */
static int show_created(json_t *facts)
{
	json_t *ms = json_object_get(facts, "created_ms");
	char text[OUTPUT_TIME];
	int err;

	if (!ms)
		return 0;
	output_time(text, json_integer_value(ms));
	err = json_object_set_new(facts, "created", json_string(text));
	return err | json_object_del(facts, "created_ms");
}

static int change(void *ctx)
{
	struct snapshot *s = ctx;
	char sentence[256];
	json_t *facts, *request;
	int status;

	request = json_pack("{s:s, s:s, s:s, s:b}", "verb", "snapshot", "action", s->action,
			    "snapshot", s->name, "force", s->force);
	facts = reach_ask(&s->admin, &s->reach, request, &status);
	if (!facts)
		return status;
	say_done(s, sentence, sizeof sentence);
	if (show_created(facts) < 0) {
		json_decref(facts);
		facts = NULL;
	}
	return output_sentence(sentence, facts, s->admin.json);
}

/* ------------------------------------------------------------------------------- command line */

static bool is_action(const char *text)
{
	static const char *const actions[] = {"create", "delete", "rollback", "list"};

	for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
		if (strcmp(text, actions[i]) == 0)
			return true;
	return false;
}

/* Takes the operand apart. */
static int name_it(struct snapshot *s, const struct args *args, const char *operand)
{
	bool listing = strcmp(s->action, "list") == 0;

	if (admin_parse_place(args, operand, s->volume, s->name) < 0)
		return -1;
	if (listing && s->name[0])
		return args_fail(args, "list takes a volume, not a snapshot");
	if (!listing && !s->name[0])
		return args_fail(args, "'%s' is no NAME@SNAPSHOT", operand);
	s->admin.name = s->volume;
	return 0;
}

static int run(int argc, char **argv)
{
	struct snapshot s = {.force = false};
	/* clang-format off */
	const struct args_option options[] = {
		ADMIN_CONFIG(&s.admin),
		{ARGS_FLAG, 0, "force", &s.force, NULL,
		 "roll back, or delete, though clients are connected", 0, 0, false},
		REACH_OPTIONS(&s.reach),
		ADMIN_UNSAFE(&s.admin),
		ADMIN_OPTIONS(&s.admin),
	};
	/* clang-format on */
	const struct args args = {
		.program = "lsvd-admin snapshot",
		.usage = "create|delete|rollback -c FILE NAME@SNAPSHOT [-p DIR] [--json]\n"
			 "       lsvd-admin snapshot list -c FILE NAME [--json]",
		.about = "Makes or deletes a snapshot of a volume, "
			 "makes the volume what it was at one, or\n"
			 "lists them. The volume may be served meanwhile.",
		.options = options,
	};
	const char *operand;
	bool acts = argc > 1 && is_action(argv[1]);
	int status;

	if (acts) {
		s.action = argv[1];
		argc--;
		argv++;
	}
	if (admin_parse_operand(&s.admin, &args, argc, argv,
				acts ? "the snapshot" : "create, delete, rollback or list",
				&operand, &status) < 0)
		return status;
	if (!acts) {
		(void)args_fail(&args, "the first word must be create, delete, rollback or list");
		return ADMIN_USAGE;
	}
	if (name_it(&s, &args, operand) < 0)
		return ADMIN_USAGE;
	if (strcmp(s.action, "list") == 0)
		return admin_do_long(&s.admin, LSVD_STORE_READONLY, list, &s);
	return admin_do_long(&s.admin, 0, change, &s);
}

const struct admin_cmd cmd_snapshot = {"snapshot", "make, delete, list or go back to snapshots",
				       run};
