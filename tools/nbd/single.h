/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * single.h - the two ways of serving without an address of one's own making: standard input and
 * output (-s), and a command that is run beside the server (--run).
 *
 * Threads: the main thread only.
 */
#ifndef NBD_SINGLE_H
#define NBD_SINGLE_H

#include <sys/types.h>

/*
 * A socket whose other side is standard input and output; these are no longer to be used by
 * others. -errno on failure.
 */
int single_open(void);

/* After the socket was closed: some seconds for what was sent to leave by standard output. */
void single_finish(void);

/* What --run tells its command, in variables of these names. */
struct run_vars {
	const char *uri, *unixsocket, *exportname;
};

/* Starts `sh -c command`; -errno on failure. */
int run_start(pid_t *ret, const char *command, const struct run_vars *vars);

/* 1 and its exit status (128 + signal, if one ended it) if the child has ended, 0 if not. */
int run_ended(pid_t child, int *ret_status);

#endif
