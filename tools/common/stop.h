/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stop.h - signals as something a tool can wait for: a descriptor to poll, or a flag to look at.
 *
 * stop_start() blocks the signals in the calling thread, hence in all threads made later, and gives
 * them to a thread of its own. So no system call of anybody's is ever interrupted, and the second
 * signal ends the process at once however long the main thread is inside a call: what has been
 * acknowledged is in the local log by then, which is what makes this safe.
 *
 * A pipe that nobody reads, and a file that reaches its limit (ulimit -f), are errors of the call
 * that writes, not signals.
 *
 * A program that is started from here must be given an empty signal mask, and the default of
 * SIGPIPE and SIGXFSZ back (POSIX_SPAWN_SETSIGMASK, POSIX_SPAWN_SETSIGDEF, stop_ignored()).
 */
#ifndef COMMON_STOP_H
#define COMMON_STOP_H

#include <signal.h>
#include <stdbool.h>

#define STOP_TERM  0x1u /* SIGTERM, SIGINT, SIGQUIT */
#define STOP_HUP   0x2u /* SIGHUP */
#define STOP_CHILD 0x4u /* SIGCHLD */

/* The exit status of the second STOP_TERM. */
#define STOP_EXIT_NOW 4

/* Call first of all in main(), once. 0 or -errno. */
int stop_start(void);

/* The signals that are ignored from then on. */
void stop_ignored(sigset_t *ret);

/* Readable as long as stop_take() would return something. */
int stop_fd(void);

/* What has come since the last call, and forgets it. */
unsigned stop_take(void);

/* True from the first STOP_TERM on. */
bool stop_requested(void);

/* As if SIGTERM had come, for the tool's own reasons to end. */
void stop_now(void);

#endif
