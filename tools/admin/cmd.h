/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd.h - the commands of lsvd-admin, and what all of them need.
 *
 * A command is one file, cmd_<name>.c, with one struct admin_cmd; main.c has the table. Its run()
 * parses its own arguments, opens what it needs, and returns the exit status. Facts go to standard
 * output through output.h, messages and questions to standard error.
 */
#ifndef ADMIN_CMD_H
#define ADMIN_CMD_H

#include <stdbool.h>
#include <stdint.h>

#include <lsvd/lsvd.h>

#include "admin/sum.h"
#include "common/args.h"

/* Exit statuses, as lsvd-admin(1) has them. */
enum admin_exit {
	ADMIN_OK = 0,
	ADMIN_FAILED = 1,
	ADMIN_USAGE = ARGS_EXIT_USAGE, /* or configuration */
};

struct admin_cmd {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

extern const struct admin_cmd cmd_init, cmd_list, cmd_inspect, cmd_delete;
extern const struct admin_cmd cmd_import, cmd_export, cmd_sha256, cmd_warm;

/* What the command line of every command may hold, and what it opens. */
struct admin {
	const char *config_path;
	const char *name;
	bool json;
	bool debug;
	struct lsvd_config *config;
	struct lsvd_store *store;
};

/* Rows for a command's table of options; ADMIN_OPTIONS ends it. */
/* clang-format off */
#define ADMIN_CONFIG(a) \
	{ARGS_STRING, 'c', "config", &(a)->config_path, "FILE", "configuration, lsvd.conf(5)", \
	 0, 0, true}
#define ADMIN_NAME(a, help) \
	{ARGS_STRING, 'n', "name", &(a)->name, "NAME", help, 0, 0, true}
#define ADMIN_OPTIONS(a) \
	{ARGS_FLAG, 0, "json", &(a)->json, NULL, "print JSON instead of text", 0, 0, false}, \
	{ARGS_FLAG, 'D', "debug", &(a)->debug, NULL, \
	 "print the library's messages (also: LSVD_DEBUG in the environment)", 0, 0, false}, \
	{ARGS_HELP, 'h', "help", NULL, NULL, "print this help", 0, 0, false}, \
	{ARGS_VERSION, 'V', "version", NULL, NULL, "print the version", 0, 0, false}, \
	{ARGS_END, 0, NULL, NULL, NULL, NULL, 0, 0, false}
/* clang-format on */

/*
 * Parses the arguments of a command that takes no operands and checks a->name, if given. 0: go on;
 * else the command ends with *ret_exit.
 */
int admin_parse(struct admin *a, const struct args *args, int argc, char **argv, int *ret_exit);

/*
 * Loads the configuration and opens its store with `store_flags`. Returns an exit status: what is
 * wrong with the configuration is the user's to mend, as a wrong option is.
 */
int admin_open(struct admin *a, uint32_t store_flags);

/* Closes what is open; also after a failed admin_open(). */
void admin_close(struct admin *a);

/* Prints the library's text of the last failure; returns ADMIN_FAILED. */
int admin_fail(void);
/* Prints a message of the tool's own; returns -1. Not for what the library calls back from. */
int admin_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* True if it is 8-4-4-4-12 hexadecimal digits. */
bool admin_good_uuid(const char *text);

/* ---- for commands that take long */

/* The same for a command with one operand, which `what` names for people. */
int admin_parse_operand(struct admin *a, const struct args *args, int argc, char **argv,
			const char *what, const char **ret_operand, int *ret_exit);

/*
 * Signals end the command from here on at the next moment that it looks, and at once the second
 * time. An exit status.
 */
int admin_begin_long(void);
/* The user wants it to end. */
bool admin_stopped(void);

/* The volume for reading, with more LSVD_OPEN_ flags; NULL: it has been said why not. */
struct lsvd_volume *admin_open_reader(struct admin *a, uint32_t flags);

/* The sum of a range, whose length may end within a sector; -1: it has been said why not. */
int admin_sum_range(struct lsvd_volume *volume, uint64_t off, uint64_t len, const char *what,
		    char hex[static SUM_TEXT]);

struct admin_range {
	uint64_t off, len;   /* len UINT64_MAX: to the end */
};

/* "OFFSET:LENGTH", each a size, each may be missing; returns -1 after a message. */
int admin_parse_range(const struct args *args, const char *text, struct admin_range *ret);
/* Sets a length that was not given; -1 after a message if the range is not within the volume. */
int admin_fit_range(struct admin_range *range, const struct lsvd_volume *volume);

#endif
