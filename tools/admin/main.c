/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - lsvd-admin: finds the command in the table, runs it, and makes sure of its output.
 *
 * Standard output is facts and nothing else; a fact that could not be written (a full disk, a
 * closed pipe) makes the status 1, whatever the command returned.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "admin/cmd.h"
#include "common/std_fds.h"

static const struct admin_cmd *const cmds[] = {
	&cmd_init,   &cmd_list,	   &cmd_inspect, &cmd_stats,  &cmd_delete,
	&cmd_resize, &cmd_seal, &cmd_gc, &cmd_pack, &cmd_snapshot, &cmd_clone, &cmd_flatten,
	&cmd_import, &cmd_export,  &cmd_sha256,	 &cmd_warm,   &cmd_check,  &cmd_doctor,
	&cmd_vlog,
};
#define CMDS (sizeof cmds / sizeof cmds[0])

static const struct args_option options[] = {
	{ARGS_HELP, 'h', "help", NULL, NULL, "print this help; after a command, its own", 0, 0,
	 false},
	{ARGS_VERSION, 'V', "version", NULL, NULL, "print the version", 0, 0, false},
	{ARGS_END, 0, NULL, NULL, NULL, NULL, 0, 0, false},
};

static void describe(char *text, size_t size)
{
	size_t n = (size_t)snprintf(text, size,
				    "Makes, lists, shows, copies and deletes volumes, and examines "
				    "stores. Commands:\n");

	for (size_t i = 0; i < CMDS && n < size; i++)
		n += (size_t)snprintf(text + n, size - n, "\n  %-10s %s", cmds[i]->name,
				      cmds[i]->summary);
}

/* argv[1] is no command. */
static int run_without_command(int argc, char **argv)
{
	char about[2048];
	const struct args args = {
		.program = "lsvd-admin",
		.usage = "COMMAND -c FILE [OPTION ...]",
		.about = about,
		.epilogue =
			"Exit status: 0 success, 1 failure, 2 wrong usage or configuration; "
			"3 of doctor:\n"
			"the store is not fit for volumes; "
			"4 ended at once by a second signal; 5 of check\n"
			"and vlog: something is damaged; 6 of check: a signal ended it. "
			"See lsvd-admin(1).",
		.options = options,
	};

	describe(about, sizeof about);
	if (argc > 1 && argv[1][0] == '-')
		return args_parse(&args, 2, argv, NULL) > 0 ? ADMIN_OK : ADMIN_USAGE;
	(void)args_fail(&args, argc > 1 ? "%s: no such command" : "a command is missing%s",
			argc > 1 ? argv[1] : ""); /* the status says it */
	return ADMIN_USAGE;
}

static int run(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < CMDS; i++)
		if (strcmp(argv[1], cmds[i]->name) == 0)
			return cmds[i]->run(argc - 1, argv + 1);
	return run_without_command(argc, argv);
}

int main(int argc, char **argv)
{
	int err = std_fds_occupy();
	int status = err ? ADMIN_FAILED : run(argc, argv);

	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	(void)fprintf(stderr, "lsvd-admin: standard output: %s\n", strerror(errno));
	return status ? status : ADMIN_FAILED;
}
