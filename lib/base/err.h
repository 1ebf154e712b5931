/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * err.h - saying once, where the fact is known, what went wrong (include/lsvd/error.h).
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <lsvd/error.h>

/*
 * Writes the text into the thread's own buffer, without allocating, and returns `err`:
 *     return lsvd_fail(LSVD_E_CORRUPT, "object %s: header checksum %016llx, expected %016llx", …);
 * One line, no capital, object named, both values printed.
 */
LSVD_PRINTF(2, 3) int lsvd_fail(int err, const char *format, ...);

/* Puts "context: " before the text that is already there, for what only the caller knows. */
LSVD_PRINTF(2, 3) int lsvd_fail_context(int err, const char *format, ...);

/* lsvd_fail() with the plain text of the code, for failures that need no other. */
int lsvd_fail_plain(int err);

/* Sets the thread's text, for one carried over from another thread. */
void lsvd_error_restore(const char *text);

/* A message nobody waits for, to the application's log function. */
LSVD_PRINTF(2, 3) void lsvd_report(enum lsvd_log_level level, const char *format, ...);

#endif
