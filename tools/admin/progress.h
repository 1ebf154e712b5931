/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * progress.h - how far a long command is: a line on the terminal, drawn over and over.
 *
 *   import  43 % [#########            ]  1.2 GiB of 2.8 GiB  312 MiB/s  0:05 left
 *
 * Only if standard error is a terminal, and only once the command has taken a moment; on a pipe
 * nothing at all. There is one line at a time, so there is no handle. Main thread only.
 */
#ifndef ADMIN_PROGRESS_H
#define ADMIN_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Begins a line. `total` 0: nobody knows. `what` is static. */
void progress_begin(const char *what, uint64_t total);
/* The same of things, not bytes, such as "objects". */
void progress_begin_count(const char *what, const char *things, uint64_t total);
/* What has been done so far; draws if the last time is long ago. */
void progress_show(uint64_t done);
/* Takes the line away, so that something else can be printed. */
void progress_clear(void);
/* Takes it away for good. */
void progress_end(void);

/*
 * The text of a line of at most `width` columns, without control characters; for tests, too.
 * `things` NULL: bytes.
 */
void progress_line(char *text, size_t size, unsigned width, const char *what, const char *things,
		   uint64_t done, uint64_t total, double rate);

#endif
