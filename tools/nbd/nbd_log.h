/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nbd_log.h - the server's messages: one line each on standard error, as text or as JSON.
 *
 * Each line is one write(2), so lines of several threads never mix. Messages that a client can
 * provoke go through log_limited(): ten a second for all of them together, then a count of what
 * was left out.
 */
#ifndef NBD_LOG_H
#define NBD_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include <lsvd/error.h>
#include <lsvd/stats.h>

enum log_format { LOG_TEXT, LOG_JSON };

/* Before any thread is made. Takes the library's messages too. */
void log_init(enum lsvd_log_level level, enum log_format format);

bool log_wants(enum lsvd_log_level level);

void log_line(enum lsvd_log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void log_limited(enum lsvd_log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Shown whatever the level: the line that says that clients are served. */
void log_ready(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What a volume has done in the last minute. */
void log_stats(const char *volume, const struct lsvd_stats *now, const struct lsvd_stats *before);

/* What the library said of the failure `err`, or what the code means if it said nothing. */
const char *log_reason(int err);

/* Copies text from outside for a message: cut to `len`, control characters as '?'. */
const char *log_clean(char *ret, size_t len, const char *text);

#endif
