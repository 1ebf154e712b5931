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
#include <stdio.h>

#include <lsvd/lsvd.h>

#include "common/args.h"

/* Exit statuses, as lsvd-admin(1) has them. */
enum admin_exit {
	ADMIN_OK = 0,
	ADMIN_FAILED = 1,
	ADMIN_USAGE = ARGS_EXIT_USAGE, /* or configuration */
	ADMIN_UNSAFE_STORE = 3, /* doctor: the store lacks something that volumes need */
	ADMIN_UNSOUND = 5,      /* check, vlog: something is damaged, or could not be looked at */
	ADMIN_STOPPED = 6,      /* check: ended by a signal */
};

struct admin_cmd {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

extern const struct admin_cmd cmd_init, cmd_list, cmd_inspect, cmd_delete, cmd_doctor;
extern const struct admin_cmd cmd_vlog;
extern const struct admin_cmd cmd_import, cmd_export, cmd_sha256, cmd_warm, cmd_seal, cmd_stats;
extern const struct admin_cmd cmd_snapshot, cmd_clone, cmd_flatten, cmd_resize, cmd_gc, cmd_pack;
extern const struct admin_cmd cmd_check;

/* What the command line of every command may hold, and what it opens. */
struct admin {
	const char *config_path;
	const char *name;
	bool json;
	bool debug;
	bool unsafe_store;
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
#define ADMIN_UNSAFE(a) \
	{ARGS_FLAG, 0, "unsafe-store", &(a)->unsafe_store, NULL, \
	 "write though the store cannot keep two writers apart", 0, 0, false}
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

/* Only loads the configuration. An exit status, as above. */
int admin_load(struct admin *a);

/* The library's flags for --unsafe-store. */
uint32_t admin_flags(const struct admin *a);

/* Closes what is open; also after a failed admin_open(). */
void admin_close(struct admin *a);

/* Prints the library's text of the last failure; returns ADMIN_FAILED. */
int admin_fail(void);
/* Prints a message of the tool's own; returns -1. Not for what the library calls back from. */
int admin_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * A text to be read, or to be written anew; NULL: it has been said why not. Of pipes, one that
 * nobody writes into is empty, and one that nobody reads an error: neither is waited for.
 */
FILE *admin_read_text(const char *path);
FILE *admin_write_text(const char *path);

/* True if it is 8-4-4-4-12 hexadecimal digits. */
bool admin_good_uuid(const char *text);

/* As admin_parse(), for a command with one operand, which `what` names for people. */
int admin_parse_operand(struct admin *a, const struct args *args, int argc, char **argv,
			const char *what, const char **ret_operand, int *ret_exit);

/* … with any number of operands, from argv[*ret_first] on. */
int admin_parse_operands(struct admin *a, const struct args *args, int argc, char **argv,
			 int *ret_first, int *ret_exit);

/* Takes "VOLUME" or "VOLUME@SNAPSHOT" apart; no snapshot: "". -1 after a message. */
int admin_parse_place(const struct args *args, const char *text, char volume[LSVD_NAME_MAX + 1],
		      char snapshot[LSVD_NAME_MAX + 1]);

#endif
