/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbd_options.h - the command line of lsvd-nbd.
 */
#ifndef NBD_OPTIONS_H
#define NBD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define DEFAULT_ADDRESS "localhost:8989"
#define LOOPS_MAX	64u

struct options {
	const char *config, *name, *cache, *address, *unix_path, *run, *pid_file;
	bool readonly, single, print_uri, exit_with_parent, debug;
	bool accept_rollback, takeover, offline, unsafe_store;
	int log_level, log_format;
	uint64_t poll_us, threads, connections, drain_s;
};

/* The defaults, then what is said. 0: go on; else the end, as args_parse() answers. */
int options_parse(struct options *o, int argc, char **argv);

/* How many this process may run on. */
uint64_t options_cpus(void);

#endif
