/* SPDX-License-Identifier: BSD-2-Clause */
/* err.c - error codes, their texts and classes; the thread's last failure; the message callback. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <lsvd/base.h>

#include "base/compiler.h"

#define TEXT_MAX 512

static _Thread_local char last[TEXT_MAX];

static const struct {
	int err;
	const char *name;
	const char *text;
	int class;
} codes[] = {
	{ LSVD_E_CORRUPT, "LSVD_E_CORRUPT", "data at rest is damaged", EIO },
	{ LSVD_E_FENCED, "LSVD_E_FENCED", "a newer writer has taken the volume", ESHUTDOWN },
	{ LSVD_E_ROLLBACK, "LSVD_E_ROLLBACK", "the local cache lacks the last writer's data", EIO },
	{ LSVD_E_FOREIGN_CACHE, "LSVD_E_FOREIGN_CACHE",
	  "the cache belongs to another volume or history", EIO },
	{ LSVD_E_LOCKED, "LSVD_E_LOCKED", "the volume's log is open elsewhere", EBUSY },
	{ LSVD_E_VERSION, "LSVD_E_VERSION", "the format is newer than this library", EIO },
	{ LSVD_E_FAILED, "LSVD_E_FAILED", "the local log has failed", EIO },
	{ LSVD_E_CONFIG, "LSVD_E_CONFIG", "the configuration cannot be understood", EINVAL },
	{ LSVD_E_UNSUPPORTED, "LSVD_E_UNSUPPORTED", "the store cannot do that", ENOTSUP },
	{ LSVD_E_UNAVAILABLE, "LSVD_E_UNAVAILABLE", "the store cannot be reached", EIO },
	{ LSVD_E_SHUTDOWN, "LSVD_E_SHUTDOWN", "the volume is closing", ESHUTDOWN },
	{ LSVD_E_STALE, "LSVD_E_STALE", "the value has been dropped", ESTALE },
};

static int find(int err)
{
	for (size_t i = 0; i < LSVD_ARRAY_LEN(codes); i++)
		if (codes[i].err == err)
			return (int)i;
	return -1;
}

static bool is_errno(int err)
{
	return err < 0 && err > -4096;
}

const char *lsvd_strerror(int err)
{
	int i = find(err);
	const char *text;

	if (i >= 0)
		return codes[i].text;
	if (err >= 0)
		return "success";
	text = is_errno(err) ? strerrordesc_np(-err) : NULL;
	return text ? text : "unknown error";
}

const char *lsvd_error_name(int err)
{
	int i = find(err);
	const char *name;

	if (i >= 0)
		return codes[i].name;
	name = is_errno(err) ? strerrorname_np(-err) : NULL;
	return name ? name : "?";
}

int lsvd_error_errno(int err)
{
	int i = find(err);

	if (err >= 0)
		return 0;
	if (i >= 0)
		return codes[i].class;
	return is_errno(err) ? -err : EIO;
}

const char *lsvd_last_error(void)
{
	return last;
}

void lsvd_error_restore(const char *text)
{
	(void)snprintf(last, sizeof last, "%s", text); /* cut at the end, which is all we ask */
}

int lsvd_fail(int err, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(last, sizeof last, format, ap);
	va_end(ap);
	return err;
}

int lsvd_fail_context(int err, const char *format, ...)
{
	char old[TEXT_MAX];
	va_list ap;
	int n;

	memcpy(old, last, sizeof old);
	va_start(ap, format);
	n = vsnprintf(last, sizeof last, format, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof last)
		(void)snprintf(last + n, sizeof last - (size_t)n, ": %s", old);
	return err;
}

int lsvd_fail_plain(int err)
{
	return lsvd_fail(err, "%s", lsvd_strerror(err));
}

static lsvd_log_fn log_fn;
static void *log_ctx;
static enum lsvd_log_level log_level;

void lsvd_set_log(lsvd_log_fn fn, void *ctx, enum lsvd_log_level level)
{
	log_fn = fn;
	log_ctx = ctx;
	log_level = level;
}

void lsvd_report(enum lsvd_log_level level, const char *format, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	if (!log_fn || level > log_level)
		return;
	va_start(ap, format);
	(void)vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	log_fn(log_ctx, level, text);
}

const char *lsvd_version(void)
{
#define STR2(x) #x
#define STR(x) STR2(x)
	return STR(LSVD_VERSION_MAJOR) "." STR(LSVD_VERSION_MINOR) "." STR(LSVD_VERSION_PATCH);
}
