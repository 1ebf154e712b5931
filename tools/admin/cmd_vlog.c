/* SPDX-License-Identifier: BSD-2-Clause */
/* cmd_vlog.c - "lsvd-admin vlog ACTION": finds the action. */
#include <string.h>

#include "admin/vlog_actions.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} actions[] = {
	{"list", vlog_list},	 {"inspect", vlog_inspect}, {"verify", vlog_verify},
	{"import", vlog_import}, {"gc", vlog_gc},	    {"delete", vlog_delete},
};

struct lsvd_vlog *vlog_open(const struct admin *a, uint32_t flags)
{
	struct lsvd_vlog_options options = LSVD_VLOG_OPTIONS_INIT;
	struct lsvd_vlog *log;

	options.flags = flags | (admin_flags(a) ? LSVD_VLOG_UNSAFE_STORE : 0);
	if (lsvd_vlog_open(&log, a->store, a->name, &options) == 0)
		return log;
	(void)admin_fail(); /* the caller's status says it */
	return NULL;
}

int vlog_close(struct lsvd_vlog *log, int status)
{
	return lsvd_vlog_close(log) < 0 ? admin_fail() : status;
}

static int run(int argc, char **argv)
{
	const struct args_option options[] = {
		{ARGS_HELP, 'h', "help", NULL, NULL, "print this help; after an action, its own", 0,
		 0, false},
		{ARGS_END, 0, NULL, NULL, NULL, NULL, 0, 0, false},
	};
	const struct args args = {
		.program = "lsvd-admin vlog",
		.usage = "list|inspect|verify|import|gc|delete -c FILE [OPTION ...]",
		.about = "Shows, verifies, fills, cleans and deletes value logs.",
		.options = options,
	};

	for (size_t i = 0; argc > 1 && i < sizeof actions / sizeof actions[0]; i++)
		if (strcmp(argv[1], actions[i].name) == 0)
			return actions[i].run(argc - 1, argv + 1);
	if (argc > 1 && argv[1][0] == '-' && args_parse(&args, 2, argv, NULL) > 0)
		return ADMIN_OK;
	(void)args_fail(&args,
			"the first word must be list, inspect, verify, import, gc or delete");
	return ADMIN_USAGE;
}

const struct admin_cmd cmd_vlog = {"vlog", "the same for value logs", run};
