/* SPDX-License-Identifier: BSD-2-Clause */
/* nbd_log.c - lines on standard error, as text or JSON, with a bound on what clients can cause. */
#include "nbd/nbd_log.h"

#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES	   1024
#define LIMITED_PER_SECOND 10u

static enum lsvd_log_level most = LSVD_LOG_INFO;
static enum log_format style = LOG_TEXT;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

static void put(const char *text, size_t len)
{
	(void)!write(STDERR_FILENO, text, len); /* nowhere is left to complain */
}

static void put_text(enum lsvd_log_level level, const char *text)
{
	char line[LINE_MAX_BYTES + 32];
	int n;

	if (level == LSVD_LOG_INFO)
		n = snprintf(line, sizeof line, "lsvd-nbd: %s\n", text);
	else
		n = snprintf(line, sizeof line, "lsvd-nbd: %s: %s\n", level_names[level], text);
	if (n > 0)
		put(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

static void stamp(char ret[static 40])
{
	struct timespec now;
	struct tm tm;
	size_t n;

	(void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
	(void)gmtime_r(&now.tv_sec, &tm);
	n = strftime(ret, 40, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(ret + n, 40 - n, ".%03ldZ", now.tv_nsec / 1000000);
}

/* Takes over `more` (may be NULL): further members of the line's object. */
static void put_json(enum lsvd_log_level level, const char *text, json_t *more)
{
	json_t *object;
	char when[40];
	char *line;
	size_t len;

	stamp(when);
	/* NULL if the text is not UTF-8, which a path may cause: then it goes out as text. */
	object = json_pack("{s:s, s:s, s:s}", "time", when, "level", level_names[level], "msg",
			   text);
	if (object && more)
		(void)json_object_update(object, more); /* without memory the line is shorter */
	json_decref(more);
	line = object ? json_dumps(object, JSON_COMPACT) : NULL;
	json_decref(object);
	if (!line) {
		put_text(level, text);
		return;
	}
	len = strlen(line);
	line[len] = '\n'; /* in place of the terminator, which nobody needs any more */
	put(line, len + 1);
	free(line);
}

static void emit(enum lsvd_log_level level, const char *text)
{
	if (style == LOG_JSON)
		put_json(level, text, NULL);
	else
		put_text(level, text);
}

static void vemit(enum lsvd_log_level level, const char *format, va_list ap)
{
	char text[LINE_MAX_BYTES];

	(void)vsnprintf(text, sizeof text, format, ap); /* cut at the end if too long */
	emit(level, text);
}

static void from_library(void *ctx, enum lsvd_log_level level, const char *text)
{
	(void)ctx;
	emit(level, text);
}

void log_init(enum lsvd_log_level level, enum log_format format)
{
	most = level;
	style = format;
	lsvd_set_log(from_library, NULL, level);
}

const char *log_reason(int err)
{
	const char *text = lsvd_last_error();

	return text[0] ? text : lsvd_strerror(err);
}

bool log_wants(enum lsvd_log_level level)
{
	return level <= most;
}

void log_line(enum lsvd_log_level level, const char *format, ...)
{
	va_list ap;

	if (!log_wants(level))
		return;
	va_start(ap, format);
	vemit(level, format, ap);
	va_end(ap);
}

/* True if another limited line may be shown now; `*ret_dropped` counts those that were not. */
static bool allowed(unsigned *ret_dropped)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static unsigned shown, dropped; /* in this second; since one was shown */
	static time_t second;
	struct timespec now;
	bool yes;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	pthread_mutex_lock(&lock);
	if (now.tv_sec != second) {
		second = now.tv_sec;
		shown = 0;
	}
	yes = shown < LIMITED_PER_SECOND;
	*ret_dropped = dropped;
	if (yes) {
		shown++;
		dropped = 0;
	} else {
		dropped++;
	}
	pthread_mutex_unlock(&lock);
	return yes;
}

void log_limited(enum lsvd_log_level level, const char *format, ...)
{
	unsigned dropped;
	va_list ap;

	if (!log_wants(level) || !allowed(&dropped))
		return;
	if (dropped)
		log_line(LSVD_LOG_WARN, "%u messages about clients left out", dropped);
	va_start(ap, format);
	vemit(level, format, ap);
	va_end(ap);
}

void log_ready(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vemit(LSVD_LOG_INFO, format, ap);
	va_end(ap);
}

#define PLACE(x) { #x, offsetof(struct lsvd_stats, x) }

struct stats_member {
	const char *name;
	size_t place;
};

/* Since the last line. */
static const struct stats_member counts[] = {
	PLACE(reads), PLACE(read_bytes), PLACE(writes), PLACE(write_bytes), PLACE(trims),
	PLACE(zeroes), PLACE(flushes), PLACE(errors), PLACE(stalls), PLACE(corrupt),
	/* the store, by cause */
	PLACE(data_puts), PLACE(data_put_bytes), PLACE(data_gets), PLACE(data_get_bytes),
	PLACE(checkpoint_puts), PLACE(checkpoint_put_bytes), PLACE(recovery_gets),
	PLACE(recovery_get_bytes), PLACE(gc_requests), PLACE(gc_bytes), PLACE(fence_requests),
	PLACE(fence_put_bytes), PLACE(probe_requests), PLACE(probe_bytes), PLACE(retries),
	/* the store, what went wrong */
	PLACE(store_away), PLACE(store_full), PLACE(store_denied), PLACE(read_backs),
	PLACE(missing_objects), PLACE(bad_gets), PLACE(torn_objects),
};

/* As it is now. */
static const struct stats_member gauges[] = {
	PLACE(log_used), PLACE(log_capacity), PLACE(unstored_bytes), PLACE(live_bytes),
	PLACE(stored_bytes),
};
#undef PLACE

static uint64_t member(const struct lsvd_stats *s, const struct stats_member *m)
{
	uint64_t n;

	memcpy(&n, (const char *)s + m->place, sizeof n);
	return n;
}

/* NULL: no memory. */
static json_t *stats_json(const char *volume, const struct lsvd_stats *now,
			  const struct lsvd_stats *before)
{
	json_t *o = json_pack("{s:s}", "volume", volume);
	int err = 0;

	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
		err |= json_object_set_new(
			o, counts[i].name,
			json_integer((json_int_t)(member(now, &counts[i]) -
						  member(before, &counts[i]))));
	for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++)
		err |= json_object_set_new(o, gauges[i].name,
					   json_integer((json_int_t)member(now, &gauges[i])));
	if (!err)
		return o;
	json_decref(o);
	return NULL;
}

static void stats_text(char *text, size_t len, const char *volume, const struct lsvd_stats *now,
		       const struct lsvd_stats *before)
{
#define COUNT(x) (now->x - before->x)
	(void)snprintf(text, len,
		       "%s: %" PRIu64 " reads (%" PRIu64 " KiB), %" PRIu64 " writes (%" PRIu64
		       " KiB), %" PRIu64 " trims and zeroes, %" PRIu64 " flushes, %" PRIu64
		       " errors, %" PRIu64 " objects put, %" PRIu64
		       " KiB not yet stored, log %" PRIu64 "%% full; store requests: %" PRIu64
		       " data, %" PRIu64 " checkpoint, %" PRIu64 " recovery, %" PRIu64
		       " gc, %" PRIu64 " fence, %" PRIu64 " probe, %" PRIu64 " retries",
		       volume, COUNT(reads), COUNT(read_bytes) >> 10, COUNT(writes),
		       COUNT(write_bytes) >> 10, COUNT(trims) + COUNT(zeroes), COUNT(flushes),
		       COUNT(errors), COUNT(data_puts), now->unstored_bytes >> 10,
		       now->log_capacity ? now->log_used * 100 / now->log_capacity : 0,
		       COUNT(data_puts) + COUNT(data_gets), COUNT(checkpoint_puts),
		       COUNT(recovery_gets), COUNT(gc_requests), COUNT(fence_requests),
		       COUNT(probe_requests), COUNT(retries)); /* fits, or is cut */
#undef COUNT
}

void log_stats(const char *volume, const struct lsvd_stats *now, const struct lsvd_stats *before)
{
	char text[LINE_MAX_BYTES];

	if (!log_wants(LSVD_LOG_INFO))
		return;
	stats_text(text, sizeof text, volume, now, before);
	if (style == LOG_JSON)
		put_json(LSVD_LOG_INFO, "statistics", stats_json(volume, now, before));
	else
		put_text(LSVD_LOG_INFO, text);
}

const char *log_clean(char *ret, size_t len, const char *text)
{
	size_t n = 0;

	for (; n + 1 < len && text[n]; n++)
		ret[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
	ret[n] = '\0';
	return ret;
}
