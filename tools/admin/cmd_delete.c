/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_delete.c - "lsvd-admin delete": a volume and everything stored of it, after one question.
 *
 * Without a terminal to ask on, --yes is demanded: a script says so or nothing happens.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "admin/cmd.h"
#include "admin/output.h"

struct delete
{
	struct admin admin;
	bool yes;
};

/* Asks on standard error; only a line that is "y" or "yes" is a yes. */
static bool confirmed(const struct lsvd_volume_info *info)
{
	char size[32], answer[16];

	output_bytes(size, info->bytes);
	(void)fprintf(stderr, "Delete volume %s (%s, uuid %s) and all its data? [y/N] ", info->name,
		      size, info->uuid);
	if (!fgets(answer, sizeof answer, stdin))
		return false;
	return strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0;
}

static int print_deleted(const struct lsvd_volume_info *info, bool json)
{
	json_t *facts = output_volume(info);
	char sentence[256];

	if (json_object_set_new(facts, "deleted", json_true()) < 0) {
		json_decref(facts);
		facts = NULL;
	}
	(void)snprintf(sentence, sizeof sentence, "volume %s deleted, uuid %s", info->name,
		       info->uuid);
	return output_sentence(sentence, facts, json);
}

static int delete_volume(struct delete *d)
{
	struct lsvd_volume_info info = LSVD_VOLUME_INFO_INIT;

	if (lsvd_volume_lookup(d->admin.store, d->admin.name, &info) < 0)
		return admin_fail();
	if (!d->yes && !confirmed(&info)) {
		(void)fprintf(stderr, "lsvd-admin: volume %s: not deleted\n", info.name);
		return ADMIN_FAILED;
	}
	if (lsvd_volume_delete_flags(d->admin.store, d->admin.name, admin_flags(&d->admin)) < 0)
		return admin_fail();
	return print_deleted(&info, d->admin.json);
}

static int run(int argc, char **argv)
{
	struct delete d = {.yes = false};
	const struct args_option options[] = {
		ADMIN_CONFIG(&d.admin),
		ADMIN_NAME(&d.admin, "the volume"),
		{ARGS_FLAG, 'y', "yes", &d.yes, NULL, "do not ask", 0, 0, false},
		ADMIN_UNSAFE(&d.admin),
		ADMIN_OPTIONS(&d.admin),
	};
	const struct args args = {
		.program = "lsvd-admin delete",
		.usage = "-c FILE -n NAME [--yes] [--unsafe-store] [--json]",
		.about =
			"Deletes a volume and everything stored of it, for good. Whoever serves it\n"
			"is cut off first. Asks on a terminal; elsewhere --yes is needed.",
		.options = options,
	};
	int status;

	if (admin_parse(&d.admin, &args, argc, argv, &status) < 0)
		return status;
	if (!d.yes && !isatty(STDIN_FILENO)) {
		(void)args_fail(&args, "no terminal to ask on: say --yes"); /* the status says it */
		return ADMIN_USAGE;
	}
	status = admin_open(&d.admin, 0);
	if (status == ADMIN_OK)
		status = delete_volume(&d);
	admin_close(&d.admin);
	return status;
}

const struct admin_cmd cmd_delete = {"delete", "delete a volume and everything stored of it", run};
