/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_keys.c - the table of all keys: block, kind, bounds, field; and judging a value by it.
 *
 * lsvd.conf(5) says the same to people; a test compares the two.
 */
#include "config/config_keys.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <lsvd/config.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/secret.h"
#include "config/config_units.h"

#define KIB    UINT64_C(1024)
#define MIB    (KIB << 10)
#define GIB    (MIB << 10)
#define TIB    (GIB << 10)
#define DAY_MS UINT64_C(86400000)

static const struct config_word never[] = {{"never", UINT32_MAX}, {NULL, 0}};
static const struct config_word never_gives_up[] = {{"never", 0}, {NULL, 0}};
static const struct config_word no_cache[] = {{"none", UINT64_MAX}, {NULL, 0}};
static const struct config_word no_ahead[] = {{"none", UINT32_MAX}, {NULL, 0}};
static const struct config_word flushes[] = {
	{"local", LSVD_FLUSH_LOCAL}, {"remote", LSVD_FLUSH_REMOTE}, {NULL, 0}};
static const struct config_word no_limit[] = {{"none", UINT64_MAX}, {NULL, 0}};
static const struct config_word no_space[] = {{"none", 0}, {NULL, 0}};
static const struct config_word gc_modes[] = {
	{"auto", LSVD_GC_AUTO}, {"off", LSVD_GC_OFF}, {NULL, 0}};
static const struct config_word gc_strategies[] = {{"cost-benefit", LSVD_GC_COST_BENEFIT},
						   {"space", LSVD_GC_SPACE},
						   {"stale", LSVD_GC_STALE},
						   {"separate", LSVD_GC_SEPARATE},
						   {NULL, 0}};
static const struct config_word clients[] = {{"auto", 0}, {"curl", 1}, {"libs3", 2}, {NULL, 0}};
static const struct config_word compressions[] = {{"lz4", LSVD_COMPRESS_LZ4},
						  {"zlib", LSVD_COMPRESS_ZLIB},
						  {"none", LSVD_COMPRESS_NONE},
						  {NULL, 0}};

#define FIELD(name)                                                                                \
	offsetof(struct lsvd_volume_options, name),                                                \
		sizeof(((struct lsvd_volume_options *)NULL)->name)

const struct config_key lsvd_config_keys[CONFIG_KEYS] = {
	[KEY_CACHE_PATH] = {"cache_path", BLOCK_TOP, KIND_TEXT, 0, 0, NULL, 0, 0},
	[KEY_FILE_PATH] = {"file_path", BLOCK_STORAGE, KIND_TEXT, 0, 0, NULL, 0, 0},
	[KEY_BUCKET] = {"bucket", BLOCK_S3, KIND_TEXT, 0, 0, NULL, 0, 0},
	[KEY_REGION] = {"region", BLOCK_S3, KIND_TEXT, 0, 0, NULL, 0, 0},
	[KEY_ACCESS_KEY] = {"access_key", BLOCK_S3, KIND_SECRET, 0, 0, NULL, 0, 0},
	[KEY_SECRET_KEY] = {"secret_key", BLOCK_S3, KIND_SECRET, 0, 0, NULL, 0, 0},
	[KEY_SESSION_TOKEN] = {"session_token", BLOCK_S3, KIND_SECRET, 0, 0, NULL, 0, 0},
	[KEY_CREDENTIALS_FILE] = {"credentials_file", BLOCK_S3, KIND_TEXT, 0, 0, NULL, 0, 0},
	[KEY_PROFILE] = {"profile", BLOCK_S3, KIND_TEXT, 0, 0, NULL, 0, 0},
	[KEY_METADATA] = {"metadata", BLOCK_S3, KIND_TEXT, 0, 0, NULL, 0, 0},
	[KEY_DIRECTORY] = {"directory", BLOCK_S3, KIND_TEXT, 0, 0, NULL, 0, 0},
	[KEY_HOST] = {"host", BLOCK_S3, KIND_TEXT, 0, 0, NULL, 0, 0},
	[KEY_CLIENT] = {"client", BLOCK_S3, KIND_WORD, 0, 0, clients, 0, 0},
	[KEY_CA_FILE] = {"ca_file", BLOCK_S3, KIND_TEXT, 0, 0, NULL, 0, 0},
	[KEY_CONNECTIONS] = {"connections", BLOCK_S3, KIND_COUNT, 1, 256, NULL, 0, 0},
	[KEY_CONNECT_TIMEOUT] = {"connect_timeout", BLOCK_S3, KIND_TIME, 100, 600000, NULL, 0, 0},
	[KEY_S3_STALL_TIMEOUT] = {"stall_timeout", BLOCK_S3, KIND_TIME, 1000, 3600000, NULL, 0, 0},
	[KEY_OPTIONS] = {"log_size", BLOCK_TOP, KIND_SIZE, MIB, TIB, NULL, FIELD(log_bytes)},
	{"segment_size", BLOCK_TOP, KIND_SIZE, 64 * KIB, 64 * MIB, NULL, FIELD(segment_bytes)},
	{"seal_after", BLOCK_TOP, KIND_TIME, 1, DAY_MS, never, FIELD(seal_after_ms)},
	{"flush", BLOCK_TOP, KIND_WORD, 0, 0, flushes, FIELD(flush)},
	{"compression", BLOCK_TOP, KIND_WORD, 0, 0, compressions, FIELD(compression)},
	{"unit_size", BLOCK_TOP, KIND_POWER, 4 * KIB, 64 * KIB, NULL, FIELD(unit_bytes)},
	{"put_window", BLOCK_TOP, KIND_COUNT, 1, 64, NULL, FIELD(put_window)},
	{"memory_size", BLOCK_TOP, KIND_SIZE, 4 * MIB, 4 * GIB, NULL, FIELD(memory_bytes)},
	{"map_memory", BLOCK_TOP, KIND_SIZE, MIB, TIB, NULL, FIELD(map_memory_bytes)},
	{"rcache_size", BLOCK_TOP, KIND_SIZE, MIB, 64 * TIB, no_cache, FIELD(rcache_bytes)},
	{"stall_timeout", BLOCK_TOP, KIND_TIME, 1, DAY_MS, never_gives_up, FIELD(stall_timeout_ms)},
	{"read_timeout", BLOCK_TOP, KIND_TIME, 1, DAY_MS, NULL, FIELD(read_timeout_ms)},
	{"lease_check", BLOCK_TOP, KIND_TIME, 1, DAY_MS, never, FIELD(lease_check_ms)},
	{"denied_retry", BLOCK_TOP, KIND_TIME, 100, DAY_MS, NULL, FIELD(denied_retry_ms)},
	{"read_ahead", BLOCK_TOP, KIND_SIZE, 64 * KIB, 64 * MIB, no_ahead, FIELD(read_ahead_bytes)},
	{"gc", BLOCK_TOP, KIND_WORD, 0, 0, gc_modes, FIELD(gc)},
	{"gc_strategy", BLOCK_TOP, KIND_WORD, 0, 0, gc_strategies, FIELD(gc_strategy)},
	{"gc_target", BLOCK_TOP, KIND_COUNT, 101, 10000, NULL, FIELD(gc_target_percent)},
	{"gc_idle", BLOCK_TOP, KIND_TIME, 1, DAY_MS, never, FIELD(gc_idle_ms)},
	{"gc_rate", BLOCK_TOP, KIND_SIZE, 4 * KIB, TIB, no_limit, FIELD(gc_bytes_per_second)},
	{"gc_space", BLOCK_TOP, KIND_SIZE, MIB, 1024 * TIB, no_space, FIELD(gc_space_bytes)},
	{"checkpoint_segments", BLOCK_TOP, KIND_COUNT, 1, 65536, NULL, FIELD(checkpoint_segments)},
};

int lsvd_config_fail(const struct lsvd_config *c, size_t k, const char *format, ...)
{
	char why[320];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(why, sizeof why, format, ap); /* cut at the end, which is all we ask */
	va_end(ap);
	return lsvd_fail(LSVD_E_CONFIG, "%.200s:%u: %s: %s", c->name, c->line[k],
			 lsvd_config_keys[k].name, why);
}

static void format_bound(char text[CONFIG_UNIT_TEXT], enum config_kind kind, uint64_t bound)
{
	if (kind == KIND_TIME)
		lsvd_format_duration(text, bound);
	else if (kind == KIND_COUNT)
		(void)snprintf(text, CONFIG_UNIT_TEXT, "%llu", /* 20 digits */
			       (unsigned long long)bound);
	else
		lsvd_format_size(text, bound);
}

static const char *kind_name(enum config_kind kind)
{
	switch (kind) {
	case KIND_SIZE:
		return "a size";
	case KIND_POWER:
		return "a power of two";
	case KIND_TIME:
		return "a duration (ms s m h d)";
	default:
		return "a number";
	}
}

/* "a size from 1M to 1T or "none"": all that may stand there. */
static void describe(char *text, size_t size, const struct config_key *key)
{
	char min[CONFIG_UNIT_TEXT], max[CONFIG_UNIT_TEXT];
	size_t n = 0;

	if (key->kind != KIND_WORD) {
		format_bound(min, key->kind, key->min);
		format_bound(max, key->kind, key->max);
		n = (size_t)snprintf(text, size, "%s from %s to %s", kind_name(key->kind), min,
				     max);
	}
	for (const struct config_word *w = key->words; w && w->name && n < size; w++)
		n += (size_t)snprintf(text + n, size - n, "%s\"%s\"", n ? " or " : "", w->name);
}

static int value_fail(const struct lsvd_config *c, size_t k)
{
	char expected[128];

	describe(expected, sizeof expected, &lsvd_config_keys[k]);
	return lsvd_config_fail(c, k, "\"%.64s\" is not %s", c->text[k], expected);
}

/* False if the text is not written as its kind is. */
static bool parse_number(enum config_kind kind, const char *text, uint64_t *ret)
{
	const char *end;

	if (kind == KIND_TIME)
		return lsvd_parse_duration(text, ret) == 0;
	if (kind == KIND_SIZE || kind == KIND_POWER)
		return lsvd_parse_size(text, ret) == 0;
	end = lsvd_parse_digits(text, ret);
	return end && !*end;
}

static bool within(const struct config_key *key, uint64_t n)
{
	return n >= key->min && n <= key->max && (key->kind != KIND_POWER || (n & (n - 1)) == 0);
}

static int take_number(struct lsvd_config *c, size_t k)
{
	const struct config_key *key = &lsvd_config_keys[k];
	uint64_t n;

	for (const struct config_word *w = key->words; w && w->name; w++)
		if (strcmp(c->text[k], w->name) == 0) {
			c->number[k] = w->value;
			return 0;
		}
	if (key->kind == KIND_WORD || !parse_number(key->kind, c->text[k], &n) || !within(key, n))
		return value_fail(c, k);
	c->number[k] = n;
	return 0;
}

static int twice_fail(const struct lsvd_config *c, size_t k, unsigned line, const char *value)
{
	if (lsvd_config_keys[k].kind == KIND_SECRET)
		return lsvd_fail(LSVD_E_CONFIG, "%.200s:%u: %s a second time, first in line %u",
				 c->name, line, lsvd_config_keys[k].name, c->line[k]);
	return lsvd_fail(LSVD_E_CONFIG,
			 "%.200s:%u: %s a second time: \"%.64s\" here, \"%.64s\" in line %u",
			 c->name, line, lsvd_config_keys[k].name, value, c->text[k], c->line[k]);
}

/*
 * Every "KEY = VALUE" has been through lsvd_config_hide(). Were one not, it would count as empty.
 */
static char *copy_value(const struct lsvd_config *c, size_t k, unsigned line, const char *value)
{
	const char *text = lsvd_config_hidden(c, line);

	if (lsvd_config_keys[k].kind != KIND_SECRET)
		return lsvd_strdup(value);
	return text ? lsvd_secret_dup(text, strlen(text)) : lsvd_secret_dup("", 0);
}

int lsvd_config_take(struct lsvd_config *c, size_t k, unsigned line, const char *value)
{
	enum config_kind kind = lsvd_config_keys[k].kind;

	if (c->line[k])
		return twice_fail(c, k, line, value);
	c->line[k] = line;
	c->text[k] = copy_value(c, k, line, value);
	if (!c->text[k])
		return lsvd_fail_plain(-ENOMEM);
	return kind == KIND_TEXT || kind == KIND_SECRET ? 0 : take_number(c, k);
}
